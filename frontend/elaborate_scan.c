/* elaborate_scan.c -- `scan`: a loop at run time becomes one node with a body.
 *
 * The body's statements are executed once, symbolically, into a scratch graph. What they use of the world outside comes in
 * through arguments: the carries (locals that the body assigns, slots that it changes), the elements of the sequences, the
 * step, and captures of outer nodes. Afterwards the scratch graph is split by dependence: what needs none of the step, carries
 * and elements is moved in front of the loop; the rest becomes the body, in which constants and views of captures are made
 * again, and everything else of the outside is an invariant operand. So the body is closed, and loop-invariant work is done
 * once.
 *
 *     scan xt in x along 1 { h = cell(xt, h); yield h; }
 *     %s = scan n invariants.., h0, permute x        body(t, invariants.., h, xt) -> h', h'
 *     h  = get %s 0;   result = permute(get %s 1)
 *
 * `stop if c` ends the step at its place in the text, and the loop with it: what stands before it counts, what stands after does
 * not. The body computes both; the carries become `where(c, what they were at the stop, what they are at the end)`, a later
 * yield `where(c, 0, ..)`, a later check passes if c holds. What remains for the loop itself is one more
 * result of the body: is this step the last? */
#include "frontend/elab.h"

#include <string.h>

typedef enum { ARG_STEP, ARG_CAPTURE, ARG_CARRY, ARG_ELEMENT } ArgKind;

typedef struct BodyArg {
    ArgKind kind;
    Node *inner; /* the argument in the scratch graph */
    Node *outer; /* the captured node, first value of the carry, or sequence */
} BodyArg;

typedef struct BodySlot {
    SlotInfo *slot;
    Node *arg, *now;
} BodySlot;

typedef struct Capture { /* of a leaf, made again inside */
    const Node *outer;
    Node *inner;
} Capture;

typedef struct Local { /* that the body assigns */
    Env *env;
    const char *name;
    Value before; /* what it was */
    Node *arg;
} Local;

typedef LIST(Local) Locals;

typedef struct Stop {
    Node *when;
    Node **locals, **slots; /* what they were at this place, in the order of the body's lists */
    int n_slots, yields;    /* how many there were */
} Stop;

struct Body {
    Body *up;
    Graph *g;
    Node *step; /* of a `gradient` NULL */
    Size count;
    LIST(BodyArg) args;
    LIST(BodySlot) slots;
    LIST(Capture) leaves;
    Values yields;
    const Ast *scan;    /* the statement; of a `gradient` NULL */
    Locals locals;
    LIST(Stop) stops;   /* in the order of the text */
    Node *stopped;      /* one of them has been met in this step; NULL: there is none so far */
};

static Node *body_arg(Elab *el, Body *b, ArgKind kind, Type type, Node *outer) {
    Node *n = graph_arg(b->g, type);
    PUSH(el->arena, b->args, ((BodyArg){kind, n, outer}));
    return n;
}

/* ---- seeing the outside */

static bool is_free_leaf(const Node *n) {
    return n->op == OP_CONST || n->op == OP_IOTA || n->op == OP_SIZE;
}

Node *body_use(Elab *el, Body *b, Node *n) {
    for (int i = 0; i < b->args.n; i++)
        if (b->args.at[i].kind == ARG_CAPTURE && b->args.at[i].outer == n) return b->args.at[i].inner;
    if (!is_free_leaf(n)) return body_arg(el, b, ARG_CAPTURE, n->type, n);
    for (int i = 0; i < b->leaves.n; i++)
        if (b->leaves.at[i].outer == n) return b->leaves.at[i].inner;
    Node *copy = graph_copy_node(b->g, n, NULL);
    PUSH(el->arena, b->leaves, ((Capture){n, copy}));
    return copy;
}

static Graph *outer_graph(Elab *el, Body *b) {
    return b->up ? b->up->g : el->root;
}

/* From here on nodes go where they did before the scan began; the context before that is returned. */
static Context leave(Elab *el, Body *b) {
    Context inside = el->cx;
    el->cx.g = outer_graph(el, b);
    el->cx.body = b->up;
    return inside;
}

static Node *outer_slot(Elab *el, Body *b, SlotInfo *s) {
    Context inside = leave(el, b);
    Node *n = slot_get(el, s);
    el->cx = inside;
    return n;
}

static BodySlot *find_slot(Body *b, SlotInfo *s) {
    for (int i = 0; i < b->slots.n; i++)
        if (b->slots.at[i].slot == s) return &b->slots.at[i];
    return NULL;
}

Node *body_slot(Elab *el, Body *b, SlotInfo *s) {
    BodySlot *found = find_slot(b, s);
    if (found) return found->now;
    Node *outer = outer_slot(el, b, s);
    Node *arg = body_arg(el, b, ARG_CARRY, s->type.type, outer);
    PUSH(el->arena, b->slots, ((BodySlot){s, arg, arg}));
    return arg;
}

Node *body_slot_now(Body *b, SlotInfo *s, Node **first) {
    BodySlot *found = find_slot(b, s);
    *first = found ? found->arg : NULL;
    return found ? found->now : NULL;
}

void body_slot_set(Elab *el, Body *b, SlotInfo *s, Node *value) {
    if (!b->scan) {
        fault_at(el, el->cx.user, 404, "a `gradient` block cannot change `%s`", s->path);
        fault_help(el, "it runs once for each gradient that is taken, or never; assign in the function itself");
        fault_throw(el);
    }
    body_slot(el, b, s);
    find_slot(b, s)->now = value;
}

Node *iteration(Elab *el) {
    Body *b = el->cx.body;
    if (!b) return NULL;
    Context inside = leave(el, b);
    Node *outer = iteration(el);
    el->cx = inside;
    if (!outer || !b->step) return outer ? use(el, outer) : b->step;
    Node *before = emit2(el, OP_MUL, outer, emit_size(el, b->count, DT_I32));
    return emit2(el, OP_ADD, before, b->step);
}

void body_yield(Elab *el, const Ast *n, Value v) {
    if (!el->cx.body || !el->cx.body->scan) {
        fault(el, n, 605, "`yield` outside a scan");
        fault_throw(el);
    }
    TypeV t = float_type(el);
    bool is_float = v.kind == V_NUM;
    if (is_number(v)) v = value_tensor(scalar_of(el, v, is_float ? t.type.dtype : DT_I32), is_float && t.policy);
    if (v.kind != V_TENSOR) {
        fault(el, ast_kid(n, 0), 202, "`yield` needs a tensor");
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    PUSH(el->arena, el->cx.body->yields, v);
}

/* ---- locals that the body assigns */

static void assigned(Elab *el, const Ast *n, Names *names) {
    if (ast_is(n, AST_ASSIGN)) {
        const Ast *target = ast_kid(n, 0);
        int count = ast_is(target, AST_TUPLE) ? target->n : 1;
        for (int i = 0; i < count; i++) {
            const Ast *t = ast_is(target, AST_TUPLE) ? ast_kid(target, i) : target;
            while (ast_is(t, AST_INDEX)) t = ast_kid(t, 0);
            if (ast_is(t, AST_NAME)) names_push(el, names, t->text);
        }
    }
    for (int i = 0; i < n->n; i++) assigned(el, ast_kid(n, i), names);
}

static void find_locals(Elab *el, Body *b, const Ast *block, Env *env) {
    Locals *out = &b->locals;
    Names names = {0};
    assigned(el, block, &names);
    for (int i = 0; i < names.n; i++) {
        Env *e = env_find(el, env, names.at[i]);
        Var *own = e ? env_own(e, names.at[i]) : NULL;
        if (!own || (e->kind != ENV_CALL && e->kind != ENV_BLOCK)) continue;
        bool again = false;
        for (int k = 0; k < out->n; k++) again = again || (out->at[k].env == e && !strcmp(out->at[k].name, names.at[i]));
        Value v = own->value;
        if (again || (v.kind != V_TENSOR && !is_number(v))) continue;
        Context inside = leave(el, b); /* the first value belongs to the outside */
        Node *first = v.kind == V_TENSOR ? use(el, v.node) : scalar_of(el, v, v.kind == V_NUM ? DT_F32 : DT_I32);
        el->cx = inside;
        Node *arg = body_arg(el, b, ARG_CARRY, first->type, first);
        PUSH(el->arena, *out, ((Local){e, names.at[i], v, arg}));
        own->value = value_tensor(arg, v.kind == V_TENSOR ? v.policy : v.kind == V_NUM);
    }
}

/* ---- splitting the scratch graph */

typedef struct Split {
    Elab *el;
    Body *b;
    Graph *final;
    bool *moves;             /* by id: depends on the step, a carry or an element */
    Node **inside;           /* by id: in the final body */
    Node **outside;          /* by id: in front of the loop */
    LIST(Node *) invariants; /* outer nodes, in order */
    LIST(Node *) invariant_args;
} Split;

static BodyArg *arg_of(Body *b, const Node *n) {
    return &b->args.at[n->attrs.index];
}

static Node *node_outside(Split *s, Node *n) {
    if (s->outside[n->id]) return s->outside[n->id];
    Elab *el = s->el;
    Node *made;
    if (n->op == OP_ARG) {
        made = use(el, arg_of(s->b, n)->outer);
    } else {
        Node **in = NEW_ARRAY(el->arena, Node *, n->n_in);
        for (int i = 0; i < n->n_in; i++) in[i] = node_outside(s, n->in[i]);
        made = graph_copy_node(el->cx.g, n, in);
    }
    s->outside[n->id] = made;
    return made;
}

/* Counts and order of the invariants must be known before the other arguments are made: pass 1 collects, pass 2 builds. */
static void collect(Split *s, Node *n) {
    if (s->moves[n->id] || is_free_leaf(n) || s->inside[n->id]) return;
    OpClass class = op_row(n->op)->class;
    if (class == CLASS_VIEW) {
        collect(s, n->in[0]);
        return;
    }
    Node *outer = node_outside(s, n);
    for (int i = 0; i < s->invariants.n; i++)
        if (s->invariants.at[i] == outer) return;
    PUSH(s->el->arena, s->invariants, outer);
}

static Node *node_inside(Split *s, Node *n) {
    if (s->inside[n->id]) return s->inside[n->id];
    Node *made = NULL;
    if (!s->moves[n->id] && !is_free_leaf(n) && op_row(n->op)->class != CLASS_VIEW) {
        Node *outer = node_outside(s, n);
        for (int i = 0; i < s->invariants.n && !made; i++)
            if (s->invariants.at[i] == outer) made = s->invariant_args.at[i];
        if (!made) bug("an invariant of a scan was not collected");
    } else {
        Node **in = NEW_ARRAY(s->el->arena, Node *, n->n_in);
        for (int i = 0; i < n->n_in; i++) in[i] = node_inside(s, n->in[i]);
        made = graph_copy_node(s->final, n, in);
    }
    s->inside[n->id] = made;
    return made;
}

static Node *final_arg(Split *s, Node *scratch) {
    Node *n = graph_arg(s->final, scratch->type);
    s->inside[scratch->id] = n;
    return n;
}

static void type_changed(Elab *el, const Ast *st, const char *name, const char *before, const char *after)
    __attribute__((noreturn));
static void type_changed(Elab *el, const Ast *st, const char *name, const char *before, const char *after) {
    fault(el, st, 611, "`%s` changes its type from one step of the scan to the next", name);
    fault_label(el, "in this scan");
    fault_fact(el, "before the first step: %s", before);
    fault_fact(el, "after a step:          %s", after);
    fault_help(el, "start with the right type: let %s = zeros(%s);", name, after);
    fault_throw(el);
}

/* Builds the final body and the scan node; kept[i] is the scratch argument of carry i, next[i] its new value. */
static Node *make_scan(Elab *el, Body *b, int carries, Node **kept, Node **next, int n_seq, Node **seq) {
    Graph *g = b->g;
    int before = el->cx.g->nodes.n;
    Split s = {.el = el, .b = b, .final = graph_new(el->program->arena, el->program)};
    s.moves = NEW_ARRAY(el->arena, bool, g->nodes.n + 1);
    s.inside = NEW_ARRAY(el->arena, Node *, g->nodes.n + 1);
    s.outside = NEW_ARRAY(el->arena, Node *, g->nodes.n + 1);
    s.moves[b->step->id] = true;
    for (int i = 0; i < carries; i++) s.moves[kept[i]->id] = true;
    for (int i = 0; i < n_seq; i++) s.moves[seq[i]->id] = true;
    for (int i = 0; i < g->nodes.n; i++) {
        Node *n = g->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) s.moves[i] = s.moves[i] || s.moves[n->in[k]->id];
    }
    /* which nodes the body needs: those that move and whatever the results and effects are */
    for (int i = 0; i < g->nodes.n; i++) {
        Node *n = g->nodes.at[i];
        if (!s.moves[i]) continue;
        for (int k = 0; k < n->n_in; k++) collect(&s, n->in[k]);
    }
    for (int i = 0; i < carries; i++) collect(&s, next[i]);
    for (int i = 0; i < b->yields.n; i++) collect(&s, b->yields.at[i].node);
    if (b->stopped) collect(&s, b->stopped);
    /* effects that do not depend on the step happen once, in front of the loop */
    for (int i = 0; i < g->effects.n; i++) {
        Effect e = g->effects.at[i];
        if (!e.value || s.moves[e.value->id] || e.kind == EFFECT_PRINT) continue;
        e.value = node_outside(&s, e.value);
        graph_effect(el->cx.g, e);
    }
    for (int i = 0; i < g->effects.n; i++)
        if (g->effects.at[i].kind == EFFECT_PRINT && g->effects.at[i].value) collect(&s, g->effects.at[i].value);

    final_arg(&s, b->step);
    for (int i = 0; i < s.invariants.n; i++) PUSH(el->arena, s.invariant_args, graph_arg(s.final, s.invariants.at[i]->type));
    for (int i = 0; i < carries; i++) final_arg(&s, kept[i]);
    for (int i = 0; i < n_seq; i++) final_arg(&s, seq[i]);
    for (int i = 0; i < g->nodes.n; i++)
        if (s.moves[i] && g->nodes.at[i]->op != OP_ARG) node_inside(&s, g->nodes.at[i]);
    for (int i = 0; i < carries; i++) graph_result(s.final, NULL, node_inside(&s, next[i]));
    for (int i = 0; i < b->yields.n; i++) graph_result(s.final, NULL, node_inside(&s, b->yields.at[i].node));
    if (b->stopped) graph_result(s.final, NULL, node_inside(&s, b->stopped));
    for (int i = 0; i < g->effects.n; i++) {
        Effect e = g->effects.at[i];
        if (e.kind != EFFECT_PRINT && (!e.value || !s.moves[e.value->id])) continue;
        if (e.value) e.value = node_inside(&s, e.value);
        graph_effect(s.final, e);
    }
    int n_in = s.invariants.n + carries + n_seq;
    Node **in = NEW_ARRAY(el->arena, Node *, n_in);
    for (int i = 0; i < s.invariants.n; i++) in[i] = s.invariants.at[i];
    for (int i = 0; i < carries; i++) in[s.invariants.n + i] = arg_of(b, kept[i])->outer;
    for (int i = 0; i < n_seq; i++) in[s.invariants.n + carries + i] = arg_of(b, seq[i])->outer;
    for (int i = before; i < el->cx.g->nodes.n; i++) el->cx.g->nodes.at[i]->recompute = region_mark(el);
    Attrs a = {.body = s.final, .extent = b->count, .counts = {s.invariants.n, carries, n_seq, b->yields.n, b->stopped != NULL}};
    return emit(el, OP_SCAN, &a, n_in, in);
}

/* The new value of a local that the body may assign, of the same type as before the loop. */
static Node *carried_value(Elab *el, const Ast *st, const Local *l) {
    Value v = env_own(l->env, l->name)->value;
    const char *before = l->before.kind == V_TENSOR ? tensor_text(el, l->before) : value_text(el, l->before);
    if (v.kind == V_POISON) fault_silent(el);
    if (v.kind == V_TENSOR && v.node == l->arg) return l->arg;
    if (is_number(v) && !(v.kind == V_NUM && !dtype_is_float(l->arg->type.dtype))) return operand(el, v, &l->arg->type);
    if (v.kind != V_TENSOR) type_changed(el, st, l->name, before, value_a(el, v));
    DType want = l->arg->type.dtype;
    bool number = !is_strong(l->before), narrows = l->before.policy && !v.policy && !number;
    bool fits = v.weak || (!narrows && tensor_checked(v) == type_checked(want, number ? v.policy : l->before.policy));
    Node *n = fits ? emit_cast(el, v.node, want) : NULL;
    if (!n || !type_equal(&n->type, &l->arg->type)) type_changed(el, st, l->name, before, tensor_text(el, v));
    return n;
}

/* ---- stop if */

void body_stop(Elab *el, const Ast *st, Value condition) {
    Body *b = el->cx.body;
    if (!b || !b->scan) {
        fault(el, st, 605, "`stop if` outside a scan");
        fault_throw(el);
    }
    if (condition.kind == V_POISON) fault_silent(el);
    if (condition.kind == V_BOOL && !condition.truth) return;
    if (condition.kind != V_BOOL) need_condition(el, ast_kid(st, 0), condition, "stop if");
    at(el, st);
    Node *when = condition.kind == V_BOOL ? emit_whole(el, type_scalar(DT_BOOL), 1) : use(el, condition.node);
    Stop s = {.when = when, .n_slots = b->slots.n, .yields = b->yields.n};
    s.locals = NEW_ARRAY(el->arena, Node *, b->locals.n);
    s.slots = NEW_ARRAY(el->arena, Node *, b->slots.n);
    for (int i = 0; i < b->locals.n; i++) s.locals[i] = carried_value(el, b->scan, &b->locals.at[i]);
    for (int i = 0; i < b->slots.n; i++) s.slots[i] = use(el, b->slots.at[i].now);
    PUSH(el->arena, b->stops, s);
    b->stopped = b->stopped ? emit2(el, OP_OR, b->stopped, when) : when;
}

Node *body_stopped(Elab *el) {
    Body *b = el->cx.body;
    if (!b) return NULL;
    Context inside = leave(el, b);
    Node *around = body_stopped(el);
    el->cx = inside;
    if (!around || !b->stopped) return around ? use(el, around) : b->stopped;
    return emit2(el, OP_OR, around, b->stopped);
}

/* The value at the end of the step, whichever `stop if` may have ended it: the first in the text that holds counts. */
static Node *local_at_end(Elab *el, Body *b, int local) {
    Node *now = carried_value(el, b->scan, &b->locals.at[local]);
    for (int i = b->stops.n; i-- > 0;) {
        const Stop *s = &b->stops.at[i];
        if (s->locals[local] != now) now = emit_where(el, s->when, s->locals[local], now);
    }
    return now;
}

static Node *slot_at_end(Elab *el, Body *b, int slot) {
    Node *now = use(el, b->slots.at[slot].now);
    for (int i = b->stops.n; i-- > 0;) {
        const Stop *s = &b->stops.at[i];
        Node *then = slot < s->n_slots ? s->slots[slot] : b->slots.at[slot].arg;
        if (then != now) now = emit_where(el, s->when, then, now);
    }
    return now;
}

static Node *yield_at_end(Elab *el, Body *b, int yield) {
    Node *y = use(el, b->yields.at[yield].node);
    for (int i = b->stops.n; i-- > 0;) {
        const Stop *s = &b->stops.at[i];
        if (s->yields <= yield) y = emit_where(el, s->when, emit_const(el, y->type, 0), y);
    }
    return y;
}

/* What `yield` gave, stacked along the axis of the scan. */
static Value yielded(Elab *el, Body *b, Node *scan, int carries, int axis) {
    Value out = value_list(el, V_TUPLE);
    for (int i = 0; i < b->yields.n; i++) {
        Type t = b->yields.at[i].node->type;
        int place = axis < 0 ? axis + t.rank + 1 : axis, order[MAX_RANK];
        if (place > t.rank) place = t.rank;
        if (place < 0) place = 0;
        if (t.rank == MAX_RANK) {
            fault_at(el, el->cx.user, 205, "a tensor has at most %d dimensions", MAX_RANK);
            fault_throw(el);
        }
        memmove(t.dim + 1, t.dim, sizeof(Size) * (size_t)t.rank);
        t.dim[0] = b->count;
        t.rank++;
        Node *stack = emit_get(el, scan, carries + i, t);
        for (int k = 0; k < t.rank; k++) order[k] = k < place ? k + 1 : k == place ? 0 : k;
        list_push(el, out, value_tensor(emit_permute(el, stack, order), b->yields.at[i].policy));
    }
    if (b->yields.n == 1) return out.list->item.at[0];
    return b->yields.n ? out : value_none();
}

static Value element_of(Elab *el, Body *b, const Ast *st, Value q, int axis, const Ast *node) {
    if (q.kind == V_RANGE) {
        Size count = size_sub(q.range->to, q.range->from);
        if (b->count && b->count != count) {
            fault(el, node, 201, "the sequences of a scan differ in length: %s and %s", size_text(el->arena, b->count),
                  size_text(el->arena, count));
            fault_throw(el);
        }
        b->count = count;
        return q;
    }
    if (q.kind != V_TENSOR || !tensor_rank(q)) {
        fault(el, node, 610, "a scan runs over a tensor or a range");
        fault_label(el, "this is %s", q.kind == V_TENSOR ? tensor_text(el, q) : value_a(el, q));
        fault_throw(el);
    }
    int rank = tensor_rank(q), ax = rank > 1 ? axis : 0, order[MAX_RANK] = {ax};
    if (ax < 0) ax += rank;
    if (ax < 0 || ax >= rank) {
        fault(el, ast_given(ast_kid(st, 3)) ? ast_kid(st, 3) : node, 407, "axis %d of %s", axis, tensor_text(el, q));
        fault_label(el, "it has %d dimension%s", rank, rank == 1 ? "" : "s");
        fault_throw(el);
    }
    Size count = tensor_type(q)->dim[ax];
    if (b->count && b->count != count) {
        fault(el, node, 201, "the sequences of a scan differ in length: %s and %s", size_text(el->arena, b->count),
              size_text(el->arena, count));
        fault_throw(el);
    }
    b->count = count;
    order[0] = ax;
    for (int i = 0, k = 1; i < rank; i++)
        if (i != ax) order[k++] = i;
    return value_tensor(emit_permute(el, q.node, order), q.policy);
}

Value ev_scan(Elab *el, const Ast *st, Env *env) {
    const Ast *pattern = ast_kid(st, 0), *over = ast_kid(st, 1), *block = ast_kid(st, 2), *along = ast_kid(st, 3);
    Value given = ev(el, over, env);
    int axis = 0;
    if (ast_given(along)) {
        Value v = ev_const(el, along, env);
        if (v.kind != V_INT) {
            fault(el, along, 305, "an axis must be an integer known at compile time");
            fault_throw(el);
        }
        axis = (int)v.whole;
    }
    at(el, st);
    Body *b = NEW(el->arena, Body);
    Context saved = el->cx;
    b->up = saved.body;
    b->scan = st;
    bool tuple = given.kind == V_TUPLE;
    int n = tuple ? given.list->item.n : 1, n_seq = 0;
    Value *item = NEW_ARRAY(el->arena, Value, n);
    for (int i = 0; i < n; i++) item[i] = element_of(el, b, st, tuple ? given.list->item.at[i] : given, axis, over);
    int64_t low, high;
    size_range(b->count, &low, &high);
    if (low < 0 && !require_ge(el, b->count, emit_size_const(el, 0), "the length of a scan is negative")) {
        fault(el, over, 217, "the length of this scan is negative");
        fault_throw(el);
    }

    b->g = graph_new(el->program->arena, el->program);
    el->cx.g = b->g;
    el->cx.body = b;
    b->step = body_arg(el, b, ARG_STEP, type_scalar(DT_I32), NULL);
    Node **seq = NEW_ARRAY(el->arena, Node *, n);
    Value items = value_list(el, V_TUPLE);
    for (int i = 0; i < n; i++) {
        if (item[i].kind == V_RANGE) {
            Node *from = emit_size(el, item[i].range->from, DT_I32);
            list_push(el, items,
                      value_tensor(size_is(item[i].range->from, 0) ? b->step : emit2(el, OP_ADD, b->step, from), false));
            continue;
        }
        Type t = *tensor_type(item[i]);
        t.rank--;
        memmove(t.dim, t.dim + 1, sizeof(Size) * (size_t)t.rank);
        seq[n_seq] = body_arg(el, b, ARG_ELEMENT, t, item[i].node);
        list_push(el, items, value_tensor(seq[n_seq++], item[i].policy));
    }
    find_locals(el, b, block, env);
    Env *inner = env_new(el, env, ENV_BLOCK);
    bind_pattern(el, pattern, tuple ? items : items.list->item.at[0], inner, false);
    if (exec_block(el, block, inner)) {
        fault(el, st, 613, "`return` inside a scan");
        fault_help(el, "give results with `yield`, or assign a local");
        fault_throw(el);
    }

    /* the carries: locals and slots that have another value after the body than before */
    int most = b->locals.n + b->slots.n, carries = 0;
    Node **kept = NEW_ARRAY(el->arena, Node *, most), **next = NEW_ARRAY(el->arena, Node *, most);
    for (int i = 0; i < b->locals.n; i++) {
        const Local *l = &b->locals.at[i];
        Node *now = local_at_end(el, b, i);
        if (now == l->arg) continue;
        kept[carries] = l->arg;
        next[carries++] = now;
    }
    for (int i = 0; i < b->slots.n; i++) {
        if (b->slots.at[i].now == b->slots.at[i].arg) continue;
        kept[carries] = b->slots.at[i].arg;
        next[carries++] = slot_at_end(el, b, i);
    }
    for (int i = 0; i < b->yields.n; i++) b->yields.at[i].node = yield_at_end(el, b, i);
    el->cx = saved;
    at(el, st);
    Node *scan = make_scan(el, b, carries, kept, next, n_seq, seq);

    /* what the loop leaves behind */
    int result = 0;
    for (int i = 0; i < b->locals.n; i++) {
        const Local *l = &b->locals.at[i];
        Value *v = &env_own(l->env, l->name)->value;
        bool changed = result < carries && kept[result] == l->arg;
        if (changed) *v = value_tensor(emit_get(el, scan, result, l->arg->type), v->kind == V_TENSOR && v->policy);
        else *v = l->before;
        result += changed;
    }
    for (int i = 0; i < b->slots.n; i++) {
        BodySlot *s = &b->slots.at[i];
        if (result >= carries || kept[result] != s->arg) continue;
        Node *last = emit_get(el, scan, result++, s->arg->type);
        if (b->up) body_slot_set(el, b->up, s->slot, last);
        else s->slot->now = last;
    }
    return yielded(el, b, scan, carries, axis);
}

/* ---- fn f(..) { .. } gradient (dy) { .. }: its body is a graph of the same kind; its first arguments are the gradients of the
 * results, one for each, then the arguments of f. Those of results that are no floats have no name and are never read. */

/* Names the gradients of the float results. */
static void name_gradients(Elab *el, Body *b, const Ast *gradient, Env *scope, const Values *r) {
    const Ast *params = ast_kid(gradient, 0);
    int wanted = 0, at = 0;
    for (int i = 0; i < r->n; i++) wanted += dtype_has_gradient(tensor_dtype(r->at[i]));
    if (params->n != wanted) {
        if (r->n == 1) fault(el, gradient, 302, "`gradient` takes one argument, the gradient of the result");
        else fault(el, gradient, 302, "`gradient` takes one argument for each float result: %d", wanted);
        fault_throw(el);
    }
    Matching m = {.env = scope, .pack = el->cx.pack};
    for (int i = 0; i < r->n; i++) {
        Value dy = value_tensor(body_arg(el, b, ARG_STEP, *tensor_type(r->at[i]), NULL), r->at[i].policy);
        if (!dtype_has_gradient(tensor_dtype(r->at[i]))) continue;
        const Ast *p = ast_kid(params, at++);
        bool again = false;
        const char *what = arena_printf(el->arena, "argument `%s` of gradient", p->text);
        if (ast_given(ast_kid(p, 0))) dy = match(el, &m, ast_kid(p, 0), dy, p, what, false, &again);
        env_set(el, scope, p->text, dy);
    }
}

/* What the block returns, as the gradients of the arguments x: results of its graph. */
static void gradient_results(Elab *el, Body *b, const Ast *gradient, Value out, int n, const Value *x) {
    bool tuple = out.kind == V_TUPLE;
    if ((tuple ? out.list->item.n : 1) != n || out.kind == V_NONE) {
        fault(el, gradient, 310, "`gradient` returns one result for each float argument: %d", n);
        fault_throw(el);
    }
    for (int i = 0; i < n; i++) {
        Value v = tuple ? out.list->item.at[i] : out;
        bool fits = is_numeric(v) || (v.kind == V_TENSOR && tensor_checked(v) == tensor_checked(x[i]) &&
                                      dims_fit(tensor_rank(v), tensor_type(v)->dim, tensor_rank(x[i]), tensor_type(x[i])->dim));
        if (!fits) {
            fault(el, gradient, 201, "result %d of `gradient` must be %s", i, tensor_text(el, x[i]));
            fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
            fault_throw(el);
        }
        Node *value = operand(el, v, tensor_type(x[i]));
        graph_result(b->g, NULL, use(el, value));
    }
}

Value custom_gradient(Elab *el, const Ast *gradient, Env *scope, Value result, int n, const Value *x) {
    Context saved = el->cx;
    Values r = {0};
    bool several = result.kind == V_TUPLE;
    for (int i = 0; i < (several ? result.list->item.n : 1); i++) {
        Value v = several ? result.list->item.at[i] : result;
        if (v.kind != V_TENSOR) {
            fault(el, gradient, 202, "the results of a function with a `gradient` must be tensors");
            fault_label(el, "%s is %s", several ? arena_printf(el->arena, "result %d", i) : "this one", value_a(el, v));
            fault_throw(el);
        }
        PUSH(el->arena, r, v);
    }
    Body *b = NEW(el->arena, Body);
    b->up = saved.body;
    b->g = graph_new(el->program->arena, el->program);
    el->cx.g = b->g;
    el->cx.body = b;
    name_gradients(el, b, gradient, scope, &r);
    for (int i = 0; i < n; i++) body_arg(el, b, ARG_CAPTURE, *tensor_type(x[i]), x[i].node);
    gradient_results(el, b, gradient, run_block(el, ast_kid(gradient, 1), scope), n, x);
    el->cx = saved;
    Node **in = NEW_ARRAY(el->arena, Node *, b->args.n);
    for (int i = 0; i < b->args.n; i++) in[i] = i < r.n ? r.at[i].node : b->args.at[i].outer;
    Node *custom = emit(el, OP_CUSTOM, &(Attrs){.body = b->g, .counts = {r.n - 1}}, b->args.n, in);
    Value out = value_list(el, V_TUPLE);
    for (int i = 0; i < r.n; i++)
        list_push(el, out, value_tensor(emit_get(el, custom, i, *tensor_type(r.at[i])), r.at[i].policy));
    return several ? out : out.list->item.at[0];
}
