/* grad_scan.c -- the gradient of a loop: a loop in the other direction.
 *
 *   scan: c' = tanh(c @ w), c' also a y      →   the same with c as one more y, and after it, from the last step to the first
 *                                                scan dc: dz = (dc + dy) * (1 - c'^2);  dc' = dz @ w^T;  y: dz
 *                                                dw = contract of all c and all dz, over steps and rows at once
 *
 * How it goes (the fields of Turn are filled in this order):
 *   carries   those that a gradient passes through: floats that depend on something wanted and reach a result with a gradient
 *   sheet     a graph where the body stands together with its gradient: the body's nodes, an argument for the gradient of each
 *             result, and what the sweep makes of them. "Backward" nodes depend on such an argument, the others are "forward"
 *   sums      a gradient of an invariant adds up over all steps. If it is a product of two values of the step, both leave the
 *             loops and one contract over (step, rows) follows; sums over a value of the step and rows scattered by ids
 *             likewise; anything else is added up in a carry
 *   kept      values of the forward loop that become ys of it: carries as they enter a step, results of heavy ops that the
 *             reverse body reads, factors of those products. Cheap ops are computed again, draws too: the reverse loop has the
 *             same step numbers
 *   the scans the forward one is changed in place, the reverse one is made
 *
 * A scan that may end early (counts[4]) gives one more y, `ran`: true, and so false in steps that did not run. The reverse loop
 * goes through these too, but hands on what it came with: where(ran, .., carry), and what it gives of them is 0.
 *
 * What a @checkpoint call in the body computed is computed again in the reverse loop, whatever it costs: `again` of grad.c has
 * made copies of it on the sheet (recompute > 0), which are never kept.
 *
 * The body of a nested loop turns round by the same means, when the sweep over the sheet meets it. */
#include "passes/grad.h"

#include <string.h>

typedef LIST(Node *) Nodes;

typedef struct Turn {
    PassContext *c;
    Graph *g;    /* where the scan is */
    Node *scan;
    int invariants, carries, sequences, results; /* of the scan as it was; results: last carries and ys */
    Node *const *dys;
    const bool *want;
    bool *active;      /* by carry */
    Graph *sheet;
    Node **result;     /* of the body, on the sheet */
    Node **d_result;   /* arguments of the sheet, by result; NULL: none */
    Node **gradient;   /* by argument of the body: on the sheet; NULL: none */
    bool *backward, *of_step; /* by id on the sheet; of_step: not the same in all steps */
    bool *outside;     /* by invariant: its gradient is added up by ops after the loop */
    Nodes kept;        /* forward nodes of the sheet */
    Nodes kept_stacks; /* in g, their values of all steps */
    Nodes extra;       /* backward nodes of the sheet that are ys of the reverse loop */
    Nodes extra_stacks;
    Node *stop;        /* of the body, on the sheet: ends the loop; NULL: it runs to its end */
    Node *ran;         /* in g: bool[steps], if there is a stop */
    bool failed;
} Turn;

static int place_of(const Nodes *list, const Node *n) {
    for (int i = 0; i < list->n; i++)
        if (list->at[i] == n) return i;
    return -1;
}

static void list_once(Turn *t, Nodes *list, Node *n) {
    if (place_of(list, n) >= 0) return;
    PUSH(t->c->scratch, *list, n);
    if (n->type.rank < MAX_RANK || t->failed) return;
    t->failed = true;
    Report *r = diag_error(t->c->diag, t->scan->loc, 205, "no gradient through a scan with values of %d dimensions", MAX_RANK);
    diag_label(r, "the gradient needs %s of every step", type_said(t->g->arena, &n->type));
    diag_help(r, "use stop_gradient on what the loop takes or gives");
}

/* ---- carries ------------------------------------------------------------------------------------------------------------- */

/* Carries that a wanted operand reaches, and that reach a result with a gradient. */
static void find_carries(Turn *t) {
    Arena *a = t->c->scratch;
    const Graph *body = t->scan->attrs.body;
    int n = t->carries, first = 1 + t->invariants;
    bool *live = NEW_ARRAY(a, bool, n), *useful = NEW_ARRAY(a, bool, n), **reach = NEW_ARRAY(a, bool *, n);
    Nodes wanted = {0};
    for (int i = 0; i < t->scan->n_in; i++)
        if (t->want[i]) PUSH(a, wanted, body->args[1 + i]);
    const bool *from_wanted = grad_depends(t->c, body, wanted.n, wanted.at);
    for (int i = 0; i < n; i++) {
        bool is_float = dtype_has_gradient(body->args[first + i]->type.dtype);
        live[i] = is_float && (t->want[t->invariants + i] || from_wanted[body->results.at[i].value->id]);
        useful[i] = is_float && t->dys[i];
        reach[i] = grad_depends(t->c, body, 1, &body->args[first + i]);
        for (int k = n; k < t->results && is_float; k++)
            if (t->dys[k] && reach[i][body->results.at[k].value->id]) useful[i] = true;
    }
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < n; k++) {
                if (!reach[i][body->results.at[k].value->id] || !dtype_has_gradient(body->args[first + i]->type.dtype)) continue;
                bool onward = live[i] && !live[k], back = useful[k] && !useful[i];
                if (onward) live[k] = true;
                if (back) useful[i] = true;
                more = more || onward || back;
            }
        }
    }
    t->active = NEW_ARRAY(a, bool, n);
    for (int i = 0; i < n; i++) t->active[i] = live[i] && useful[i];
}

/* ---- the sheet ----------------------------------------------------------------------------------------------------------- */

/* Which nodes of the sheet depend on one of these, in any way? */
static bool *follow(Turn *t, const bool *start) {
    bool *mark = NEW_ARRAY(t->c->scratch, bool, t->sheet->nodes.n);
    for (int i = 0; i < t->sheet->nodes.n; i++) {
        const Node *n = t->sheet->nodes.at[i];
        mark[i] = n->op == OP_ARG && start[n->attrs.index];
        for (int k = 0; k < n->n_in; k++) mark[i] = mark[i] || mark[n->in[k]->id];
    }
    return mark;
}

static void make_sheet(Turn *t) {
    Arena *a = t->c->scratch;
    const Graph *body = t->scan->attrs.body;
    Graph *w = t->sheet = graph_new(t->g->arena, t->g->program);
    rewrite_at(w, t->scan);
    w->recompute = 0; /* the scan itself may be computed again: that is no matter of its body */
    Node **args = NEW_ARRAY(a, Node *, body->n_args);
    for (int i = 0; i < body->n_args; i++) {
        args[i] = graph_arg(w, body->args[i]->type);
        args[i]->name = body->args[i]->name;
    }
    Node **map = NEW_ARRAY(a, Node *, body->nodes.n);
    for (int i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        Node **in = NEW_ARRAY(a, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++) in[k] = map[n->in[k]->id];
        map[i] = n->op == OP_ARG ? args[n->attrs.index] : graph_copy_node(w, n, in);
    }
    for (int i = 0; i < body->effects.n; i++) {
        Effect e = body->effects.at[i];
        if (e.value) e.value = map[e.value->id];
        graph_effect(w, e);
    }
    t->result = NEW_ARRAY(a, Node *, t->results);
    t->d_result = NEW_ARRAY(a, Node *, t->results);
    if (t->scan->attrs.counts[4]) t->stop = map[body->results.at[t->results].value->id];
    Nodes ys = {0}, dys = {0}, xs = {0};
    rewrite_at(w, t->scan);
    w->recompute = 0;
    for (int i = 0; i < t->results; i++) {
        t->result[i] = map[body->results.at[i].value->id];
        bool has = i < t->carries ? t->active[i] : t->dys[i] && dtype_has_gradient(t->result[i]->type.dtype);
        if (!has) continue;
        t->d_result[i] = graph_arg(w, t->result[i]->type);
        PUSH(a, ys, t->result[i]);
        PUSH(a, dys, t->d_result[i]);
    }
    for (int i = 0; i < t->scan->n_in; i++) {
        int carry = i - t->invariants;
        bool is_carry = carry >= 0 && carry < t->carries;
        if (is_carry ? t->active[carry] : t->want[i]) PUSH(a, xs, args[1 + i]);
    }
    Node **out = NEW_ARRAY(a, Node *, xs.n);
    grad_sweep(t->c, w, ys.n, ys.at, dys.at, xs.n, xs.at, out);
    t->gradient = NEW_ARRAY(a, Node *, body->n_args);
    for (int i = 0; i < xs.n; i++) t->gradient[xs.at[i]->attrs.index] = out[i];

    bool *start = NEW_ARRAY(a, bool, w->n_args);
    for (int i = body->n_args; i < w->n_args; i++) start[i] = true;
    t->backward = follow(t, start);
    for (int i = 0; i < w->n_args; i++) start[i] = i < 1 || i > t->invariants;
    t->of_step = follow(t, start);
}

/* ---- where the values of all steps are ----------------------------------------------------------------------------------- */

/* The value in g that holds an argument of the sheet for all steps already: a sequence, the gradient of a y; else NULL. */
static Node *stack_of_argument(const Turn *t, const Node *q) {
    if (q->op != OP_ARG) return NULL;
    int first_sequence = 1 + t->invariants + t->carries, i = q->attrs.index;
    if (i >= first_sequence && i <= t->scan->n_in) return t->scan->in[i - 1];
    for (int k = t->carries; k < t->results; k++)
        if (t->d_result[k] == q) return t->dys[k];
    return NULL;
}

/* q's values of all steps will be wanted in g. */
static void stack_want(Turn *t, Node *q) {
    if (!stack_of_argument(t, q)) list_once(t, t->backward[q->id] ? &t->extra : &t->kept, q);
}

static Node *zeros(Graph *g, const Type *type) {
    return node_const(g, *type, 0.0);
}

static Node *where_ran(Graph *g, Node *ran, Node *yes, Node *no) {
    Type type = yes->type;
    type.dtype = DT_BOOL;
    if (ran->type.rank) { /* of all steps: one for each slice of yes */
        Size dim[MAX_RANK] = {type.dim[0]};
        for (int i = 1; i < type.rank; i++) dim[i] = size_const(g->program->sizes, 1);
        ran = node_reshape(g, ran, type.rank, dim);
    }
    return node_map3(g, OP_WHERE, node_expand(g, ran, type.rank, type.dim), yes, no);
}

/* A sequence or gradient of all steps, 0 in those that did not run. */
static Node *stack_masked(const Turn *t, Node *stack) {
    return t->ran ? where_ran(t->g, t->ran, stack, zeros(t->g, &stack->type)) : stack;
}

static Node *stack_get(Turn *t, const Node *q) {
    Node *stack = stack_of_argument(t, q);
    if (stack) return stack_masked(t, stack);
    int k = place_of(&t->kept, q), e = place_of(&t->extra, q);
    if (k < 0 && e < 0) bug("node %d (%s) of a turned scan is not stacked", q->id, op_row(q->op)->name);
    return k >= 0 ? t->kept_stacks.at[k] : t->extra_stacks.at[e];
}

/* ---- sums over all steps ------------------------------------------------------------------------------------------------- */

typedef enum { SUM_IN_LOOP, SUM_ADD, SUM_THROUGH, SUM_PRODUCT, SUM_REDUCE, SUM_SCATTER } SumKind;

static Node *unpermuted(Node *q) {
    while (q->op == OP_PERMUTE) q = q->in[0];
    return q;
}

/* Is it what a @checkpoint call in the body computes again? */
static bool made_again(const Node *n) {
    return n->recompute > 0 || (n->op == OP_GET && n->in[0]->recompute > 0);
}

/* Values that are made again are not kept, so a sum of them stays in the loop. */
static bool of_step(const Turn *t, const Node *q) {
    return t->of_step[q->id] && q->type.rank < MAX_RANK && !made_again(q);
}

/* How the sum of q over all steps is computed from values outside. */
static SumKind sum_kind(const Turn *t, const Node *q) {
    switch (q->op) {
    case OP_ADD: return SUM_ADD;
    case OP_NEG:
    case OP_PERMUTE:
    case OP_RESHAPE: return SUM_THROUGH;
    case OP_PAD: return q->attrs.number == 0 ? SUM_THROUGH : SUM_IN_LOOP;
    case OP_CONTRACT: return of_step(t, unpermuted(q->in[0])) && of_step(t, unpermuted(q->in[1])) ? SUM_PRODUCT : SUM_IN_LOOP;
    case OP_REDUCE: return q->attrs.fn == REDUCE_SUM && of_step(t, q->in[0]) ? SUM_REDUCE : SUM_IN_LOOP;
    case OP_SCATTER_ADD:
        if (q->attrs.flag || q->attrs.axis != 0) return SUM_IN_LOOP;
        return of_step(t, q->in[0]) && of_step(t, q->in[1]) ? SUM_SCATTER : SUM_IN_LOOP;
    default: return SUM_IN_LOOP;
    }
}

static bool sum_goes_outside(const Turn *t, const Node *q) {
    switch (sum_kind(t, q)) {
    case SUM_IN_LOOP: return false;
    case SUM_ADD: return sum_goes_outside(t, q->in[0]) && sum_goes_outside(t, q->in[1]);
    case SUM_THROUGH: return sum_goes_outside(t, q->in[0]);
    default: return true;
    }
}

static void sum_want(Turn *t, const Node *q) {
    switch (sum_kind(t, q)) {
    case SUM_IN_LOOP: break;
    case SUM_THROUGH: sum_want(t, q->in[0]); break;
    case SUM_REDUCE: stack_want(t, q->in[0]); break;
    case SUM_ADD:
        sum_want(t, q->in[0]);
        sum_want(t, q->in[1]);
        break;
    case SUM_PRODUCT:
        stack_want(t, unpermuted(q->in[0]));
        stack_want(t, unpermuted(q->in[1]));
        break;
    case SUM_SCATTER:
        stack_want(t, q->in[0]);
        stack_want(t, q->in[1]);
        break;
    }
}

/* A letter for the steps, then those of q's axes, seen through permutes: axis i of a permute is axis axes[i] below. */
static const char *letters_of_steps(Turn *t, const Node *q, const char *letters, char step) {
    char *now = arena_copy(t->g->arena, letters, strlen(letters));
    for (; q->op == OP_PERMUTE; q = q->in[0]) {
        char *below = arena_copy(t->g->arena, now, strlen(now));
        for (int i = 0; i < q->type.rank; i++) below[q->attrs.axes[i]] = now[i];
        now = below;
    }
    return arena_printf(t->g->arena, "%c%s", step, now);
}

static Node *sum_product(Turn *t, const Node *q) {
    const char *const *letters = q->attrs.labels;
    char step = 'a';
    while (strchr(letters[0], step) || strchr(letters[1], step) || strchr(letters[2], step)) step++;
    const char *la = letters_of_steps(t, q->in[0], letters[0], step), *lb = letters_of_steps(t, q->in[1], letters[1], step);
    return node_contract(t->g, stack_get(t, unpermuted(q->in[0])), stack_get(t, unpermuted(q->in[1])), la, lb, letters[2]);
}

static Node *sum_build(Turn *t, const Node *q) {
    switch (sum_kind(t, q)) {
    case SUM_IN_LOOP: break;
    case SUM_ADD: {
        Node *a = sum_build(t, q->in[0]);
        return node_map2(t->g, OP_ADD, a, sum_build(t, q->in[1]));
    }
    case SUM_THROUGH: return graph_copy_node(t->g, q, (Node *[]){sum_build(t, q->in[0])});
    case SUM_PRODUCT: return sum_product(t, q);
    case SUM_REDUCE: {
        int axes[MAX_RANK] = {0}, n = 1;
        for (int i = 0; i < q->attrs.n_axes; i++) axes[n++] = q->attrs.axes[i] + 1;
        return node_reduce(t->g, REDUCE_SUM, stack_get(t, q->in[0]), n, axes);
    }
    case SUM_SCATTER: return graph_copy_node(t->g, q, (Node *[]){stack_get(t, q->in[0]), stack_get(t, q->in[1])});
    }
    bug("node %d (%s) of a turned scan has no sum outside", q->id, op_row(q->op)->name);
}

/* ---- what is kept -------------------------------------------------------------------------------------------------------- */

/* Too dear to be computed again, if a @checkpoint call does not ask for it. */
static bool heavy(const Node *n) {
    OpClass k = op_row(n->op)->class;
    if (made_again(n)) return false;
    return k == CLASS_ANCHOR || k == CLASS_REDUCE || k == CLASS_GET || n->op == OP_GATHER;
}

/* By id on the sheet: nodes that the reverse body reads or makes; forward ones that it should not make become `kept`. */
static bool *find_needed(Turn *t) {
    bool *needed = NEW_ARRAY(t->c->scratch, bool, t->sheet->nodes.n);
    const Graph *body = t->scan->attrs.body;
    for (int i = 1; i < body->n_args; i++) {
        bool invariant = i <= t->invariants, sequence = i > t->invariants + t->carries;
        if (t->gradient[i] && !sequence && !(invariant && t->outside[i - 1])) needed[t->gradient[i]->id] = true;
    }
    for (int i = 0; i < t->extra.n; i++) needed[t->extra.at[i]->id] = true;
    for (int i = t->sheet->nodes.n - 1; i >= 0; i--) {
        Node *n = t->sheet->nodes.at[i];
        if (!needed[i]) continue;
        bool carry = n->op == OP_ARG && n->attrs.index > t->invariants && n->attrs.index <= t->invariants + t->carries;
        if (carry || (!t->backward[i] && heavy(n))) list_once(t, &t->kept, n);
        if (place_of(&t->kept, n) >= 0) continue;
        for (int k = 0; k < n->n_in; k++) needed[n->in[k]->id] = true;
    }
    return needed;
}

/* ---- the two loops ------------------------------------------------------------------------------------------------------- */

static Node **operands_of(Turn *t, Node *const *map, const Node *n) {
    Node **in = NEW_ARRAY(t->c->scratch, Node *, n->n_in);
    for (int k = 0; k < n->n_in; k++) in[k] = map[n->in[k]->id];
    return in;
}

/* The forward scan, in place: the body from the sheet, with kept values as more ys. */
static void forward_scan(Turn *t) {
    Arena *a = t->c->scratch;
    const Graph *body = t->scan->attrs.body, *w = t->sheet;
    bool *live = NEW_ARRAY(a, bool, w->nodes.n);
    for (int i = 0; i < t->results; i++) live[t->result[i]->id] = true;
    for (int i = 0; i < t->kept.n; i++) live[t->kept.at[i]->id] = true;
    if (t->stop) live[t->stop->id] = true;
    for (int i = 0; i < w->effects.n; i++)
        if (w->effects.at[i].value) live[w->effects.at[i].value->id] = true;
    for (int i = w->nodes.n - 1; i >= 0; i--)
        for (int k = 0; live[i] && k < w->nodes.at[i]->n_in; k++) live[w->nodes.at[i]->in[k]->id] = true;

    Graph *f = graph_new(t->g->arena, t->g->program);
    Node **map = NEW_ARRAY(a, Node *, w->nodes.n);
    for (int i = 0; i < body->n_args; i++) {
        rewrite_at(f, w->args[i]);
        map[w->args[i]->id] = graph_arg(f, w->args[i]->type);
        map[w->args[i]->id]->name = w->args[i]->name;
    }
    for (int i = 0; i < w->nodes.n; i++) {
        const Node *n = w->nodes.at[i];
        if (live[i] && n->op != OP_ARG) map[i] = graph_copy_node(f, n, operands_of(t, map, n));
    }
    for (int i = 0; i < w->effects.n; i++) {
        Effect e = w->effects.at[i];
        if (e.value) e.value = map[e.value->id];
        graph_effect(f, e);
    }
    for (int i = 0; i < t->results; i++) graph_result(f, body->results.at[i].name, map[t->result[i]->id]);
    int *index = NEW_ARRAY(a, int, t->kept.n);
    for (int i = 0; i < t->kept.n; i++) {
        index[i] = -1;
        for (int k = t->carries; k < t->results; k++)
            if (t->result[k] == t->kept.at[i]) index[i] = k; /* a y already */
        if (index[i] >= 0) continue;
        index[i] = f->results.n;
        graph_result(f, NULL, map[t->kept.at[i]->id]);
    }
    int ran = f->results.n;
    if (t->stop) {
        rewrite_at(f, t->scan);
        Type type = type_scalar(DT_BOOL);
        graph_result(f, NULL, node_const(f, type, 1.0));
        graph_result(f, NULL, map[t->stop->id]);
    }
    t->scan->attrs.body = f;
    t->scan->attrs.counts[3] = f->results.n - t->carries - t->scan->attrs.counts[4];
    if (t->stop) t->ran = node_get(t->g, t->scan, ran);
    for (int i = 0; i < t->kept.n; i++) PUSH(a, t->kept_stacks, node_get(t->g, t->scan, index[i]));
}

/* Operands of the reverse scan, and arguments of its body. */
typedef struct Reverse {
    Turn *t;
    Graph *body;
    Node **map; /* from the sheet */
    Nodes in;
    int counts[4];
} Reverse;

/* One more operand; `from`: what it stands for on the sheet, or NULL. */
static Node *reverse_operand(Reverse *r, int kind, Node *value, Node *from, const Type *type) {
    Node *arg = graph_arg(r->body, *type);
    if (from) r->map[from->id] = arg;
    PUSH(r->t->c->scratch, r->in, value);
    r->counts[kind]++;
    return arg;
}

/* Makes the reverse scan: its carries are the gradients of active carries, then sums over all steps. Returns the scan. */
static Node *reverse_scan(Turn *t, const bool *needed) {
    Arena *a = t->c->scratch;
    const Graph *w = t->sheet;
    Reverse r = {.t = t, .body = graph_new(t->g->arena, t->g->program), .map = NEW_ARRAY(a, Node *, w->nodes.n)};
    rewrite_at(r.body, t->scan);
    r.map[w->args[0]->id] = graph_arg(r.body, w->args[0]->type);
    for (int i = 0; i < t->invariants; i++) {
        Node *arg = w->args[1 + i];
        if (needed[arg->id]) reverse_operand(&r, 0, t->scan->in[i], arg, &arg->type);
    }
    for (int i = 0; i < t->carries; i++) {
        if (!t->active[i]) continue;
        const Type *type = &t->d_result[i]->type;
        reverse_operand(&r, 1, t->dys[i] ? t->dys[i] : zeros(t->g, type), t->d_result[i], type);
    }
    Nodes sums = {0};
    for (int i = 0; i < t->invariants; i++) {
        if (!t->gradient[1 + i] || t->outside[i]) continue;
        const Type *type = &t->gradient[1 + i]->type;
        PUSH(a, sums, reverse_operand(&r, 1, zeros(t->g, type), NULL, type));
    }
    for (int i = 0; i < t->kept.n; i++) {
        Node *q = t->kept.at[i];
        if (needed[q->id]) reverse_operand(&r, 2, t->kept_stacks.at[i], q, &q->type);
    }
    for (int i = 0; i < w->n_args; i++) {
        Node *arg = w->args[i], *stack = stack_of_argument(t, arg);
        if (stack && needed[arg->id] && !r.map[arg->id]) reverse_operand(&r, 2, stack, arg, &arg->type);
    }
    Type flag = type_scalar(DT_BOOL);
    Node *ran = t->ran ? reverse_operand(&r, 2, t->ran, NULL, &flag) : NULL;

    for (int i = 0; i < w->nodes.n; i++) {
        const Node *n = w->nodes.at[i];
        if (!needed[i] || r.map[i]) continue;
        r.map[i] = graph_copy_node(r.body, n, operands_of(t, r.map, n));
        r.map[i]->recompute = 0; /* the reverse body has nothing else to keep apart from it */
    }
    rewrite_at(r.body, t->scan);
    for (int i = 0; i < t->carries; i++) {
        if (!t->active[i]) continue;
        Node *d = t->gradient[1 + t->invariants + i];
        d = d ? r.map[d->id] : zeros(r.body, &t->d_result[i]->type);
        graph_result(r.body, NULL, ran ? where_ran(r.body, ran, d, r.map[t->d_result[i]->id]) : d);
    }
    for (int i = 0, k = 0; i < t->invariants; i++) {
        if (!t->gradient[1 + i] || t->outside[i]) continue;
        Node *before = sums.at[k++], *sum = node_map2(r.body, OP_ADD, before, r.map[t->gradient[1 + i]->id]);
        graph_result(r.body, NULL, ran ? where_ran(r.body, ran, sum, before) : sum);
    }
    for (int i = 0; i < t->extra.n; i++) {
        Node *x = r.map[t->extra.at[i]->id];
        graph_result(r.body, NULL, ran ? where_ran(r.body, ran, x, zeros(r.body, &x->type)) : x);
    }
    r.counts[3] = t->extra.n;

    Attrs attrs = {.body = r.body, .extent = t->scan->attrs.extent, .flag = !t->scan->attrs.flag};
    memcpy(attrs.counts, r.counts, sizeof r.counts);
    Node *scan = graph_add(t->g, OP_SCAN, &attrs, r.in.n, r.in.at);
    for (int i = 0; i < t->extra.n; i++) PUSH(a, t->extra_stacks, node_get(t->g, scan, r.counts[1] + i));
    return scan;
}

void grad_scan(PassContext *c, Node *scan, Node *const *dys, const bool *want, Node **dx) {
    const int *counts = scan->attrs.counts;
    Turn t = {.c = c, .g = scan->graph, .scan = scan, .dys = dys, .want = want};
    t.invariants = counts[0];
    t.carries = counts[1];
    t.sequences = counts[2];
    t.results = counts[1] + counts[3];
    find_carries(&t);
    make_sheet(&t);

    t.outside = NEW_ARRAY(c->scratch, bool, t.invariants);
    for (int i = 0; i < t.invariants; i++) {
        Node *d = t.gradient[1 + i];
        t.outside[i] = d && sum_goes_outside(&t, d);
        if (t.outside[i]) sum_want(&t, d);
    }
    int first = t.invariants + t.carries; /* operand: the first sequence */
    for (int i = first; i < scan->n_in; i++)
        if (t.gradient[1 + i]) stack_want(&t, t.gradient[1 + i]);
    const bool *needed = find_needed(&t);
    if (t.failed) return;

    forward_scan(&t);
    Node *reverse = reverse_scan(&t, needed);
    int carry = 0;
    for (int i = 0; i < t.carries; i++) {
        if (!t.active[i]) continue;
        if (want[t.invariants + i]) dx[t.invariants + i] = node_get(t.g, reverse, carry);
        carry++;
    }
    for (int i = 0; i < t.invariants; i++) {
        Node *d = t.gradient[1 + i];
        if (d) dx[i] = t.outside[i] ? sum_build(&t, d) : node_get(t.g, reverse, carry++);
    }
    for (int i = first; i < scan->n_in; i++)
        if (t.gradient[1 + i]) dx[i] = stack_get(&t, t.gradient[1 + i]);
}
