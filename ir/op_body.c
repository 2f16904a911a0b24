/* op_body.c -- ops with bodies and with several results: scan, call, get, and the marks stop, custom, grad that the pass grad
 * removes.
 *
 * A body is a graph of its own, closed: it sees its arguments only. Node.type of an op with several results has rank -1; `get`
 * takes one out. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <string.h>

static bool several(Infer *i) {
    i->out = (Type){.rank = -1};
    return true;
}

static bool body_closed(Infer *i, const Graph *body) {
    if (!body) return infer_fail(i, "no body");
    return body->program == i->g->program || infer_fail(i, "a body of another program");
}

/* ---- scan ---------------------------------------------------------------------------------------------------------------- */

static bool argument_is(Infer *i, const Graph *body, int k, const Type *want, const char *what) {
    if (type_equal(&body->args[k]->type, want)) return true;
    return infer_fail(i, "argument %d of the body is %s, %s is %s", k, type_text(i->g->arena, &body->args[k]->type), what,
                      type_text(i->g->arena, want));
}

bool infer_SCAN(Infer *i) {
    const Graph *body = i->attrs->body;
    const int *counts = i->attrs->counts;
    if (!body_closed(i, body)) return false;
    if (!i->attrs->extent) return infer_fail(i, "no number of steps");
    if (counts[0] < 0 || counts[1] < 0 || counts[2] < 0 || counts[3] < 0 || counts[0] + counts[1] + counts[2] != i->n)
        return infer_fail(i, "%d operands for %d invariants, %d carries, %d sequences", i->n, counts[0], counts[1], counts[2]);
    if (body->n_args != i->n + 1) return infer_fail(i, "the body has %d arguments, not %d", body->n_args, i->n + 1);
    if (counts[4] < 0 || counts[4] > 1) return infer_fail(i, "%d conditions that stop it", counts[4]);
    int results = counts[1] + counts[3] + counts[4];
    if (body->results.n != results) return infer_fail(i, "the body has %d results, not %d", body->results.n, results);
    Type step = type_scalar(DT_I32);
    if (!argument_is(i, body, 0, &step, "the step")) return false;
    for (int k = 0; k < i->n; k++) {
        Type want = i->in[k]->type;
        if (k >= counts[0] + counts[1]) { /* a sequence */
            if (want.rank < 1 || want.dim[0] != i->attrs->extent)
                return infer_fail(i, "operand %d is %s, the scan has %s steps", k, type_text(i->g->arena, &want),
                                  size_text(i->g->arena, i->attrs->extent));
            want = type_of(want.dtype, want.rank - 1, want.dim + 1);
        }
        if (!argument_is(i, body, k + 1, &want, "its operand")) return false;
    }
    if (counts[4]) {
        const Type *stop = &body->results.at[results - 1].value->type;
        if (stop->dtype != DT_BOOL || stop->rank) return infer_fail(i, "it stops by %s", type_text(i->g->arena, stop));
    }
    for (int k = 0; k < counts[1]; k++) {
        const Type *carry = &i->in[counts[0] + k]->type;
        if (!type_equal(&body->results.at[k].value->type, carry))
            return infer_fail(i, "carry %d is %s and becomes %s", k, type_text(i->g->arena, carry),
                              type_text(i->g->arena, &body->results.at[k].value->type));
    }
    return several(i);
}

static Tensor *step_of_sequence(Arena *a, const Tensor *x, int64_t step) {
    Tensor *t = tensor_new(a, x->dtype, x->rank - 1, x->dim + 1);
    for (int64_t k = 0; k < t->count; k++) element_copy(t, k, x, step * t->count + k);
    return t;
}

static Tensor *copied(Arena *a, const Tensor *x) {
    Tensor *t = tensor_new(a, x->dtype, x->rank, x->dim);
    for (int64_t k = 0; k < t->count; k++) element_copy(t, k, x, k);
    return t;
}

/* Memory of a step is freed when the next one has its carries. */
bool eval_SCAN(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    const Graph *body = n->attrs.body;
    const int *counts = n->attrs.counts;
    int invariants = counts[0], carries = counts[1], sequences = counts[2], ys = counts[3];
    Arena *outer = e->arena, *now = arena_new();
    int64_t steps;
    if (!eval_size(e, n->attrs.extent, &steps)) {
        arena_free(now);
        return false;
    }
    for (int k = 0; k < ys; k++) {
        Type stacked = body->results.at[carries + k].value->type;
        if (stacked.rank == MAX_RANK) bug("a scan stacks values of rank %d", MAX_RANK);
        memmove(stacked.dim + 1, stacked.dim, sizeof(Size) * (size_t)stacked.rank++);
        stacked.dim[0] = n->attrs.extent;
        out[carries + k] = eval_new(e, &stacked);
        if (!out[carries + k]) {
            arena_free(now);
            return false;
        }
    }
    Tensor **args = NEW_ARRAY(outer, Tensor *, n->n_in + 1), **results = NEW_ARRAY(outer, Tensor *, body->results.n);
    for (int k = 0; k < invariants + carries; k++) args[1 + k] = in[k];
    bool good = true, stopped = false;
    for (int64_t done = 0; good && !stopped && done < steps; done++) {
        Arena *next = arena_new();
        int64_t step = n->attrs.flag ? steps - 1 - done : done;
        e->arena = next;
        args[0] = tensor_new(next, DT_I32, 0, NULL);
        args[0]->i[0] = step;
        for (int k = 0; k < sequences; k++)
            args[1 + invariants + carries + k] = step_of_sequence(next, in[invariants + carries + k], step);
        good = eval_body(e, body, args, results);
        for (int k = 0; good && k < carries; k++) args[1 + invariants + k] = results[k];
        for (int k = 0; good && k < ys; k++) {
            const Tensor *y = results[carries + k];
            for (int64_t j = 0; j < y->count; j++) element_copy(out[carries + k], step * y->count + j, y, j);
        }
        stopped = good && counts[4] && results[carries + ys]->i[0];
        if (!good) e->error = arena_copy(outer, e->error, strlen(e->error));
        arena_free(now);
        now = next;
    }
    e->arena = outer;
    for (int k = 0; good && k < carries; k++) out[k] = copied(outer, args[1 + invariants + k]);
    arena_free(now);
    return good;
}

/* ---- call ---------------------------------------------------------------------------------------------------------------- */

bool infer_CALL(Infer *i) {
    const Graph *body = i->attrs->body;
    if (!body_closed(i, body)) return false;
    if (body->n_args != i->n) return infer_fail(i, "%d operands, the body has %d arguments", i->n, body->n_args);
    for (int k = 0; k < i->n; k++)
        if (!argument_is(i, body, k, &i->in[k]->type, "its operand")) return false;
    return several(i);
}

bool eval_CALL(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_body(e, n->attrs.body, in, out); }

/* ---- get ----------------------------------------------------------------------------------------------------------------- */

bool infer_GET(Infer *i) {
    const Node *x = i->in[0];
    int k = i->attrs->index;
    if (x->type.rank >= 0) return infer_fail(i, "`%s` has one result", op_row(x->op)->name);
    if (k < 0 || k >= node_results(x)) return infer_fail(i, "result %d of %d", k, node_results(x));
    if (x->op == OP_CUSTOM || x->op == OP_GRAD) {
        i->out = x->in[x->op == OP_GRAD ? k + 1 : k]->type;
        return true;
    }
    i->out = x->attrs.body->results.at[k].value->type;
    if (x->op == OP_SCAN && k >= x->attrs.counts[1]) { /* stacked */
        if (i->out.rank == MAX_RANK) return infer_fail(i, "rank %d, more than %d", MAX_RANK + 1, MAX_RANK);
        memmove(i->out.dim + 1, i->out.dim, sizeof(Size) * (size_t)i->out.rank++);
        i->out.dim[0] = x->attrs.extent;
    }
    return true;
}

/* Of results that are given side by side: the interpreter itself hands out[] of the operand on. */
bool eval_GET(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)e;
    out[0] = in[n->attrs.index];
    return true;
}

/* ---- marks --------------------------------------------------------------------------------------------------------------- */

bool infer_STOP(Infer *i) {
    i->out = i->in[0]->type;
    return true;
}

bool eval_STOP(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)n;
    out[0] = copied(e->arena, in[0]);
    return true;
}

/* The body's arguments are the gradients of the values, then the other operands; its results are the gradients of these, as
 * many as there are. */
bool infer_CUSTOM(Infer *i) {
    const Graph *body = i->attrs->body;
    int values = i->attrs->counts[0] + 1;
    if (!body_closed(i, body)) return false;
    if (values < 1 || i->n < values || body->n_args != i->n)
        return infer_fail(i, "%d operands, %d of them values, the body has %d arguments", i->n, values, body->n_args);
    for (int k = 0; k < i->n; k++)
        if (!argument_is(i, body, k, &i->in[k]->type, "its operand")) return false;
    if (body->results.n > i->n - values) return infer_fail(i, "%d gradients for %d operands", body->results.n, i->n - values);
    for (int k = 0; k < body->results.n; k++) {
        if (!type_equal(&body->results.at[k].value->type, &i->in[k + values]->type))
            return infer_fail(i, "the gradient of operand %d is %s", k + values,
                              type_text(i->g->arena, &body->results.at[k].value->type));
    }
    return several(i);
}

bool eval_CUSTOM(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    for (int k = 0; k < node_results(n); k++) out[k] = copied(e->arena, in[k]);
    return true;
}

void grad_CUSTOM(GradRule *r) {
    const Node *y = r->y;
    int values = node_results(y);
    Node **args = NEW_ARRAY(r->g->arena, Node *, y->n_in), **results = NEW_ARRAY(r->g->arena, Node *, y->attrs.body->results.n);
    for (int k = 0; k < y->n_in; k++) args[k] = y->in[k];
    for (int k = 0; k < values; k++) args[k] = r->dys[k] ? r->dys[k] : node_const(r->g, y->in[k]->type, 0.0);
    graph_inline(r->g, y->attrs.body, args, results);
    for (int k = 0; k < y->attrs.body->results.n; k++) r->dx[k + values] = results[k];
}

bool infer_GRAD(Infer *i) {
    if (i->n < 2) return infer_fail(i, "%d operands", i->n);
    if (i->in[0]->type.rank != 0) return infer_fail(i, "of %s, not a scalar", type_text(i->g->arena, &i->in[0]->type));
    for (int k = 0; k < i->n; k++)
        if (!dtype_is_float(i->in[k]->type.dtype))
            return infer_fail(i, "operand %d is %s", k, type_text(i->g->arena, &i->in[k]->type));
    return several(i);
}

bool eval_GRAD(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in, (void)out;
    return eval_fail(e, MDL_ARGUMENT, "the gradients of node %d were not expanded: run the pass grad first", n->id);
}
