/* elaborate_minimize.c -- minimize LOSS over SELECTION using OPT, ...;
 *
 * One grad node gives the gradients with respect to the current values of the selected, unfrozen parameters. Then, in this
 * order: the mean over `accumulate` calls, clip_value, clip_norm (one norm over all clauses), and for each parameter one call
 * of its optimizer, a layer (w, g, step) -> w whose states are slots of that parameter. With accumulate = n every slot that the
 * update changes takes where(go, new, old): go is true in every n-th call. With skip_nan it is true only where all gradients of
 * the call are finite, and a call that has others is not counted or added up either.
 *
 * loss_scale = S takes the gradients of S times the loss and divides them by S, so that small ones survive a small type on the
 * way. `dynamic` looks for the largest S that does not overflow: it halves where a gradient is not finite (that call changes
 * nothing else) and doubles after 2000 calls that went well. The numbers are those of PyTorch's GradScaler, the limits are not.
 */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

typedef struct Update { /* one parameter */
    SlotInfo *slot;
    Inst *opt;
    Node *w, *g;
    const Ast *clause;
} Update;

typedef struct Options {
    Value clip_norm, clip_value;
    int64_t accumulate;
    bool skip_nan;
    LossScale loss_scale;
} Options;

static const double FIRST_SCALE = 0x1p16, LEAST_SCALE = 1, MOST_SCALE = 0x1p24;
enum { CALLS_TO_DOUBLE = 2000 };

typedef LIST(Update) Updates;

/* W0807 asks at the end which of them nobody trains. */
static void note_vectors(Elab *el, const Ast *sels, Env *env) {
    const Ast *list = ast_kid(sels, 0);
    for (int i = 0; i < list->n; i++) {
        const Ast *x = ast_kid(list, i);
        if (!ast_is(x, AST_CALL) || !ast_is(ast_kid(x, 0), AST_NAME) || strcmp(ast_kid(x, 0)->text, "matrices")) continue;
        WeightList all = {0};
        Values base = {0};
        for (int k = 0; k < ast_kid(x, 1)->n; k++) select_values(el, ast_kid(ast_kid(x, 1), k), env, &base);
        for (int k = 0; k < base.n; k++) value_weights(el, base.at[k], &all);
        for (int k = 0; k < all.n; k++) PUSH(el->arena, el->beside, ((Beside){x, all.at[k]}));
    }
}

static void add_clause(Elab *el, const Ast *clause, Env *env, Updates *out) {
    const Ast *sels = ast_kid(clause, 0), *using = ast_kid(clause, 1);
    WeightList weights = {0};
    select_weights(el, sels, env, &weights);
    note_vectors(el, sels, env);
    Value opt = ev(el, using, env);
    if (opt.kind == V_LAYER) {
        fault(el, using, 607, "`%s` is a layer, not an optimizer instance", ast_text(el->arena, using));
        fault_help(el, "make one at file level: opt = %s(lr = 1e-3);", opt.layer->name);
        fault_throw(el);
    }
    if (opt.kind != V_INST) {
        fault(el, using, 607, "not an optimizer");
        fault_label(el, "this is %s", value_a(el, opt));
        fault_throw(el);
    }
    int before = out->n;
    const Ast *first = ast_kid(ast_kid(sels, 0), 0);
    for (int i = 0; i < weights.n; i++) {
        Weight *w = weights.at[i];
        if (w->kind != SLOT_PARAM || is_frozen(el, w->path)) continue;
        SlotInfo *s = weight_slot(el, w, first);
        if (!dtype_has_gradient(s->type.type.dtype)) {
            fault(el, first, 203, "`%s` cannot be trained: %s has no gradient", s->path, dtype_text(&s->type));
            fault_label(el, "%s is %s", s->path, typev_text(el, &s->type));
            fault_help(el, "leave it as it is: freeze %s;", s->path);
            fault_throw(el);
        }
        for (int k = 0; k < out->n; k++) {
            if (out->at[k].slot != s) continue;
            fault(el, first, 608, "`%s` is updated twice by one minimize", s->path);
            fault_label(el, "again here");
            fault_help(el, "leave it out: over %s except %s using ...", ast_text(el->arena, first), s->path);
            fault_throw(el);
        }
        w->trained = true;
        PUSH(el->arena, *out, ((Update){.slot = s, .opt = opt.inst, .clause = clause}));
    }
    if (out->n > before) return;
    fault(el, first, 502, "every parameter selected here is frozen");
    fault_throw(el);
}

/* Ranges of what flows into updated weights go with these (passes/fake_input.c gives them gradients). */
static void add_ranges(Elab *el, Updates *u) {
    for (int i = 0, n = u->n; i < n; i++) {
        const SlotInfo *s = u->at[i].slot;
        if (s->type.type.rank < 2 || !learns_range(el, s->path)) continue;
        Update x = u->at[i];
        x.slot = slot_range(el, s->path, false, el->cx.user);
        PUSH(el->arena, *u, x);
        if (!stands_behind_pool(el, el->cx.g, s->slot)) continue;
        x.slot = slot_range(el, s->path, true, el->cx.user);
        PUSH(el->arena, *u, x);
    }
}

LossScale read_loss_scale(Elab *el, const Ast *n, Env *env) {
    if (ast_is(n, AST_NAME) && !strcmp(n->text, "dynamic")) return (LossScale){.dynamic = true};
    Value v = ev_const(el, n, env);
    if ((v.kind == V_INT || v.kind == V_NUM) && number_value(v) > 0 && number_value(v) <= 0x1p100)
        return (LossScale){.factor = number_value(v)};
    fault(el, n, 305, "`loss_scale` must be a number above 0, or the word dynamic");
    fault_label(el, "this is %s", value_text(el, v));
    fault_throw(el);
}

static Options read_options(Elab *el, const Ast *tail, Env *env) {
    Options o = {.accumulate = 1, .loss_scale = el->loss_scale};
    static const char *const known[] = {"clip_norm", "clip_value", "accumulate", "skip_nan", "loss_scale"};
    for (int i = 0; i < tail->n; i++) {
        const Ast *x = ast_kid(tail, i);
        if (!ast_is(x, AST_NAMED)) continue;
        Names names = {0};
        int which = -1;
        for (int k = 0; k < 5; k++) {
            names_push(el, &names, known[k]);
            if (!strcmp(known[k], x->text)) which = k;
        }
        if (which < 0) {
            fault(el, x, 609, "`minimize` has no option `%s`", x->text);
            fault_close(el, &names, x->text);
            fault_throw(el);
        }
        if (which == 4) {
            o.loss_scale = read_loss_scale(el, ast_kid(x, 0), env);
            continue;
        }
        Value v = ev_const(el, ast_kid(x, 0), env);
        bool good = which == 2   ? v.kind == V_INT && v.whole >= 1 && v.whole <= 1000000
                    : which == 3 ? v.kind == V_BOOL
                                 : (v.kind == V_INT || v.kind == V_NUM) && number_value(v) > 0;
        if (!good) {
            fault(el, ast_kid(x, 0), 305, "`%s` must be %s", x->text,
                  which == 2   ? "a whole number from 1"
                  : which == 3 ? "true or false"
                               : "a number above 0");
            fault_label(el, "%s = %s", x->text, value_text(el, v));
            fault_throw(el);
        }
        if (which == 0) o.clip_norm = v;
        else if (which == 1) o.clip_value = v;
        else if (which == 2) o.accumulate = v.whole;
        else o.skip_nan = v.truth;
    }
    return o;
}

static Node *scaled(Elab *el, Node *x, Node *scalar) {
    Node *wide = emit_expand(el, scalar, x->type.rank, x->type.dim);
    return emit2(el, OP_MUL, x, wide);
}

static Node *reduced(Elab *el, ReduceFn fn, Node *x) {
    int axes[MAX_RANK];
    for (int k = 0; k < MAX_RANK; k++) axes[k] = k;
    return emit_reduce(el, fn, x, x->type.rank, axes);
}

/* Is no element of any gradient NaN or infinite? The largest of numbers with a NaN is NaN, and NaN is not less. */
static Node *all_finite(Elab *el, const Updates *u) {
    Node *good = NULL;
    for (int i = 0; i < u->n; i++) {
        Node *g = u->at[i].g, *largest = reduced(el, REDUCE_MAX, emit1(el, OP_ABS, g));
        Node *finite = emit2(el, OP_LT, largest, emit_scalar(el, g->type.dtype, INFINITY));
        good = good ? emit2(el, OP_AND, good, finite) : finite;
    }
    return good;
}

static SlotInfo *extra_of_first(Elab *el, const Updates *u, const char *name, Type type) {
    const Update *x = &u->at[0];
    return slot_extra(el, arena_printf(el->arena, "%s.%s.%s", x->opt->path, name, x->slot->path), x->slot->path, type);
}

static SlotInfo *scale_slot(Elab *el, const Updates *u) {
    SlotInfo *s = extra_of_first(el, u, "scale", type_scalar(DT_F32));
    s->first = FIRST_SCALE;
    return s;
}

/* What the loss is multiplied by; NULL: nothing. */
static Node *loss_scale(Elab *el, const Updates *u, const LossScale *s) {
    if (s->dynamic) return slot_get(el, scale_slot(el, u));
    return s->factor > 0 ? emit_scalar(el, DT_F32, s->factor) : NULL;
}

/* The next scale, from whether the gradients of this call are finite. */
static void scale_follow(Elab *el, const Updates *u, Node *finite) {
    Type counter = type_scalar(DT_I64);
    SlotInfo *scale = scale_slot(el, u), *calls = extra_of_first(el, u, "good", counter);
    Node *now = slot_get(el, scale), *none = emit_whole(el, counter, 0);
    Node *good = emit2(el, OP_ADD, slot_get(el, calls), emit_whole(el, counter, 1));
    Node *grow = emit2(el, OP_EQ, good, emit_whole(el, counter, CALLS_TO_DOUBLE));
    Node *more = emit2(el, OP_MIN, emit2(el, OP_MUL, now, emit_scalar(el, DT_F32, 2)), emit_scalar(el, DT_F32, MOST_SCALE));
    Node *less = emit2(el, OP_MAX, emit2(el, OP_MUL, now, emit_scalar(el, DT_F32, 0.5)), emit_scalar(el, DT_F32, LEAST_SCALE));
    slot_set(el, scale, emit_where(el, finite, emit_where(el, grow, more, now), less));
    slot_set(el, calls, emit_where(el, emit2(el, OP_AND, finite, emit1(el, OP_NOT, grow)), good, none));
}

/* Adds this call's gradients to the pending sums, unless `good` is given and false; returns whether this call is the n-th, g
 * becomes the mean. */
static Node *accumulated(Elab *el, Updates *u, int64_t n, Node *good) {
    Type counter = type_scalar(DT_I64);
    SlotInfo *calls = extra_of_first(el, u, "calls", counter);
    Node *before = slot_get(el, calls), *done = emit2(el, OP_ADD, before, emit_whole(el, counter, 1));
    Node *go = emit2(el, OP_EQ, done, emit_whole(el, counter, n)), *none = emit_whole(el, counter, 0);
    if (good) go = emit2(el, OP_AND, go, good);
    Node *counted = emit_where(el, go, none, done);
    slot_set(el, calls, good ? emit_where(el, good, counted, before) : counted);
    Node *share = emit_scalar(el, DT_F32, 1.0 / (double)n);
    for (int i = 0; i < u->n; i++) {
        Update *x = &u->at[i];
        SlotInfo *sum =
            slot_extra(el, arena_printf(el->arena, "%s.sum.%s", x->opt->path, x->slot->path), x->slot->path, x->g->type);
        Node *part = scaled(el, x->g, emit_cast(el, share, x->g->type.dtype)), *old = slot_get(el, sum);
        Node *total = emit2(el, OP_ADD, old, part), *zero = emit_const(el, total->type, 0);
        Node *pending = emit_where(el, go, zero, total);
        slot_set(el, sum, good ? emit_where(el, good, pending, old) : pending);
        x->g = total;
    }
    return go;
}

static void clip(Elab *el, Updates *u, const Options *o) {
    if (o->clip_value.kind != V_NONE)
        for (int i = 0; i < u->n; i++) {
            double limit = number_value(o->clip_value);
            Node *g = u->at[i].g, *low = emit_const(el, g->type, -limit), *high = emit_const(el, g->type, limit);
            u->at[i].g = emit3(el, OP_CLAMP, g, low, high);
        }
    if (o->clip_norm.kind == V_NONE) return;
    Node *total = NULL;
    for (int i = 0; i < u->n; i++) {
        Node *g = u->at[i].g, *square = emit2(el, OP_MUL, g, g);
        Node *sum = emit_cast(el, reduced(el, REDUCE_SUM, square), DT_F32);
        total = total ? emit2(el, OP_ADD, total, sum) : sum;
    }
    Node *limit = emit_scalar(el, DT_F32, number_value(o->clip_norm)), *one = emit_scalar(el, DT_F32, 1);
    Node *ratio = emit2(el, OP_DIV, limit, emit1(el, OP_SQRT, total));
    Node *factor = emit2(el, OP_MIN, one, ratio);
    for (int i = 0; i < u->n; i++) u->at[i].g = scaled(el, u->at[i].g, emit_cast(el, factor, u->at[i].g->type.dtype));
}

static void update(Elab *el, const Ast *st, Update *x, Node *go) {
    SlotInfo *counter =
        slot_extra(el, arena_printf(el->arena, "%s.step.%s", x->opt->path, x->slot->path), x->slot->path, type_scalar(DT_I64));
    int known = el->slots.n; /* slots that exist before the update, and their values */
    Node **before = go ? NEW_ARRAY(el->arena, Node *, known) : NULL;
    Node *first;
    for (int i = 0; go && i < known; i++) before[i] = slot_now(el, el->slots.at[i], &first);
    Node *old_step = slot_get(el, counter), *one = emit_whole(el, type_scalar(DT_I64), 1),
         *step = emit2(el, OP_ADD, old_step, one);
    Context saved = el->cx;
    el->cx.slot_of = x->slot->path;
    x->opt->pack_bound = false; /* `...` of the optimizer is this parameter's shape */
    Args args = {0};
    PUSH(el->arena, args, ((Arg){value_tensor(x->w, false), st, NULL}));
    PUSH(el->arena, args, ((Arg){value_tensor(x->g, false), st, NULL}));
    PUSH(el->arena, args, ((Arg){value_tensor(emit_cast(el, step, DT_F32), false), st, NULL}));
    Value r = call_value(el, (Value){.kind = V_INST, .inst = x->opt}, &args, st);
    el->cx = saved;
    if (r.kind != V_TENSOR || !type_equal(tensor_type(r), &x->w->type)) {
        fault(el, ast_kid(x->clause, 1), 607, "`%s` does not return a new parameter",
              ast_text(el->arena, ast_kid(x->clause, 1)));
        fault_label(el, "it returns %s for %s", r.kind == V_TENSOR ? tensor_text(el, r) : value_a(el, r),
                    tensor_text(el, value_tensor(x->w, false)));
        fault_throw(el);
    }
    slot_set(el, counter, step);
    slot_set(el, x->slot, r.node);
    if (!go) return;
    for (int i = 0; i < el->slots.n; i++) { /* what changed, changes only where this call updates */
        SlotInfo *s = el->slots.at[i];
        Node *now = slot_now(el, s, &first), *old = i < known && before[i] ? before[i] : first;
        if (now && old && now != old) slot_set(el, s, emit_where(el, go, now, old));
    }
}

/* Does the loss depend on any of the parameters as they are here? One that was computed before an earlier minimize, or outside
 * of the scan around, belongs to other values: its gradients would be zeros. */
static void need_dependence(Elab *el, const Ast *loss, Node *y, const Updates *u) {
    y = use(el, y);
    bool *seen = NEW_ARRAY(el->arena, bool, el->cx.g->nodes.n);
    for (int i = 0; i < u->n; i++) seen[u->at[i].w->id] = true;
    for (int i = 0; i < el->cx.g->nodes.n && !seen[y->id]; i++) {
        const Node *n = el->cx.g->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) seen[i] = seen[i] || seen[n->in[k]->id];
    }
    if (seen[y->id]) return;
    fault(el, loss, 618, "the loss does not depend on the parameters");
    fault_label(el, "not on %s, as it is here%s", u->at[0].slot->path, u->n > 1 ? ", nor on the others" : "");
    fault_help(el, "compute it here: after a minimize, and in each step of a scan, parameters are new");
    fault_throw(el);
}

void ev_minimize(Elab *el, const Ast *st, Env *env) {
    const Ast *loss_node = ast_kid(st, 0), *tail = ast_kid(st, 2);
    if (!el->entry || !ast_is(el->entry, AST_TRAIN)) {
        const char *name = el->entry ? el->entry->text : "?";
        fault(el, st, 603, "`minimize` in entry %s, which runs in inference mode", name);
        fault_help(el, "declare it with `train %s(...)` instead of `entry`", name);
        fault_throw(el);
    }
    el->minimized = el->trains = true;
    Value loss = ev(el, loss_node, env);
    if (loss.kind == V_POISON) fault_silent(el);
    if (!is_strong(loss) || tensor_rank(loss) || tensor_checked(loss) != DT_F32) {
        fault(el, loss_node, 606, "the loss must be one f32 number");
        fault_label(el, "this is %s", loss.kind == V_TENSOR ? tensor_text(el, loss) : value_a(el, loss));
        fault_help(el, "reduce it with mean(...) or sum(...)");
        fault_throw(el);
    }
    Options options = read_options(el, tail, env);
    Updates u = {0};
    add_clause(el, ast_kid(st, 1), env, &u);
    for (int i = 0; i < tail->n; i++)
        if (ast_is(ast_kid(tail, i), AST_CLAUSE)) add_clause(el, ast_kid(tail, i), env, &u);
    at(el, st);
    add_ranges(el, &u);
    Node **in = NEW_ARRAY(el->arena, Node *, u.n + 1);
    Node *scale = loss_scale(el, &u, &options.loss_scale);
    in[0] = emit_cast(el, loss.node, DT_F32);
    if (scale) in[0] = emit2(el, OP_MUL, in[0], scale);
    for (int i = 0; i < u.n; i++) in[i + 1] = u.at[i].w = slot_get(el, u.at[i].slot);
    need_dependence(el, loss_node, loss.node, &u);
    Node *grad = emit(el, OP_GRAD, NULL, u.n + 1, in),
         *back = scale ? emit2(el, OP_DIV, emit_scalar(el, DT_F32, 1), scale) : NULL;
    for (int i = 0; i < u.n; i++) {
        DType narrow; /* from here on in f32 at least: sums, norms and the optimizer */
        u.at[i].g = value_widened(el, emit_get(el, grad, i, u.at[i].w->type), &narrow);
        u.at[i].w = value_widened(el, u.at[i].w, &narrow);
        if (scale) u.at[i].g = scaled(el, u.at[i].g, emit_cast(el, back, u.at[i].w->type.dtype));
    }
    Node *go = options.skip_nan || options.loss_scale.dynamic ? all_finite(el, &u) : NULL;
    if (options.loss_scale.dynamic) scale_follow(el, &u, go);
    if (options.accumulate > 1) go = accumulated(el, &u, options.accumulate, go);
    clip(el, &u, &options);
    for (int i = 0; i < u.n; i++) update(el, st, &u.at[i], go);
}
