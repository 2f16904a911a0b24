/* lower.c -- reductions in the forms that kernels have (ir/plan.h).
 *
 * Requires: no GRAD (the rule of `var` is better than what its formula would give).  Ensures: no REDUCE_VAR; argmax and argmin
 * over the last axis; the axes of any other reduce are trailing ones, or leave out the last axis; a reduction of everything, of
 * more than 64 Ki elements or of an unknown number, goes by rows first, so that it runs in parallel in an order that no number
 * of threads changes; a concat has at most CONCAT_MOST operands.
 * Orders and draws are of f32, f64 or i64: other types are cast to one of them, which keeps their order. (Draws are made in
 * f32 whatever the type of their weights.)
 *   %v: f32[b] = reduce var %x[b, n] [1]        →   sum, * 1/n, x - mean, square, sum, * 1/n
 *   %s: f32[] = reduce sum %x[4096, 768] [0, 1] →   %r: f32[4096] = reduce sum %x [1];  %s = reduce sum %r [0] */
#include "passes/pass.h"

#define ROW_MOST    65536 /* elements of a row that stays in a cache */
#define CONCAT_MOST 16    /* operands: each is an index map of its own in a kernel */

/* x / number of elements along the axes that were summed. */
static Node *divide_by_count(Graph *g, Node *x, Size count) {
    int64_t n;
    if (size_is_const(count, &n)) return node_map2(g, OP_MUL, x, node_const(g, x->type, n ? 1.0 / (double)n : 1.0 / 0.0));
    Attrs attrs = {.extent = count};
    Node *size = node_cast(g, graph_add(g, OP_SIZE, &attrs, 0, NULL), x->type.dtype);
    return node_map2(g, OP_DIV, x, node_expand(g, size, x->type.rank, x->type.dim));
}

/* The result of a reduction, back in the shape of its operand. */
static Node *stretch_back(Graph *g, Node *reduced, const Node *x, int n_axes, const int *axes) {
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = x->type.dim[i];
    for (int i = 0; i < n_axes; i++) dim[axes[i]] = size_const(g->program->sizes, 1);
    return node_expand(g, node_reshape(g, reduced, x->type.rank, dim), x->type.rank, x->type.dim);
}

static Node *reduce(Graph *g, ReduceFn fn, Node *x, int n_axes, const int *axes);

static Node *variance(Graph *g, Node *x, int n_axes, const int *axes) {
    Size count = size_const(g->program->sizes, 1);
    for (int i = 0; i < n_axes; i++) count = size_mul(count, x->type.dim[axes[i]]);
    Node *mean = divide_by_count(g, reduce(g, REDUCE_SUM, x, n_axes, axes), count);
    Node *away = node_map2(g, OP_SUB, x, stretch_back(g, mean, x, n_axes, axes));
    return divide_by_count(g, reduce(g, REDUCE_SUM, node_map2(g, OP_MUL, away, away), n_axes, axes), count);
}

static Node *arg_reduce(Graph *g, ReduceFn fn, Node *x, int axis) {
    int rank = x->type.rank, order[MAX_RANK], n = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis) order[n++] = i;
    order[n] = axis;
    int last = rank - 1;
    return node_reduce(g, fn, axis == last ? x : node_permute(g, x, order), 1, &last);
}

/* The largest divisor of n that is no more than `most`. */
static int64_t divisor(int64_t n, int64_t most) {
    for (int64_t k = most; k > 1; k--)
        if (n % k == 0) return k;
    return 1;
}

static Node *reduce_all(Graph *g, ReduceFn fn, Node *x) {
    int64_t low, high;
    size_range(type_count(g, &x->type), &low, &high);
    if (high <= ROW_MOST) {
        int all[MAX_RANK];
        for (int i = 0; i < x->type.rank; i++) all[i] = i;
        return node_reduce(g, fn, x, x->type.rank, all);
    }
    if (x->type.rank > 1) {
        int last = x->type.rank - 1;
        return reduce_all(g, fn, node_reduce(g, fn, x, 1, &last));
    }
    int zero = 0;
    int64_t n, k = size_is_const(x->type.dim[0], &n) ? divisor(n, 4096) : 1;
    if (k < 64) return node_reduce(g, fn, x, 1, &zero);
    SizeTable *t = g->program->sizes;
    Size dim[2] = {size_const(t, n / k), size_const(t, k)};
    int last = 1;
    return reduce_all(g, fn, node_reduce(g, fn, node_reshape(g, x, 2, dim), 1, &last));
}

static Node *reduce(Graph *g, ReduceFn fn, Node *x, int n_axes, const int *axes) {
    if (fn == REDUCE_VAR) return variance(g, x, n_axes, axes);
    if (fn == REDUCE_ARGMAX || fn == REDUCE_ARGMIN) return arg_reduce(g, fn, x, axes[0]);
    if (n_axes == 0) return x;
    int rank = x->type.rank;
    if (n_axes == rank) return reduce_all(g, fn, x);
    int others = n_axes; /* axes[others..] are the trailing ones */
    while (others > 0 && axes[others - 1] == rank - (n_axes - others) - 1) others--;
    if (others == 0 || others == n_axes) return node_reduce(g, fn, x, n_axes, axes);
    Node *rows = node_reduce(g, fn, x, n_axes - others, axes + others);
    return reduce(g, fn, rows, others, axes);
}

static bool is_ordering(Op op) {
    return op == OP_SORT_IDS || op == OP_TOPK_IDS || op == OP_CATEGORICAL;
}

/* The type in which a routine of the runtime looks at the operand of n. */
static DType routine_type(const Node *n) {
    DType d = n->in[0]->type.dtype;
    if (n->op == OP_CATEGORICAL) return DT_F32;
    if (!dtype_is_float(d)) return DT_I64;
    return d == DT_F64 ? d : DT_F32;
}

/* sort_ids, topk_ids, categorical with an operand of a type that its routine takes. */
static Node *ordering(Rewrite *r, const Node *n) {
    Node *in[2] = {NULL, NULL};
    for (int k = 0; k < n->n_in; k++) in[k] = r->map[n->in[k]->id];
    in[0] = node_cast(r->to, in[0], routine_type(n));
    return graph_add(r->to, n->op, &n->attrs, n->n_in, in);
}

/* Parts one after another, in several steps. */
static Node *concat(Graph *g, int axis, int n, Node **in) {
    if (n <= CONCAT_MOST) return n == 1 ? in[0] : graph_add(g, OP_CONCAT, &(Attrs){.axis = axis}, n, in);
    int parts = (n + CONCAT_MOST - 1) / CONCAT_MOST;
    Node **part = NEW_ARRAY(g->arena, Node *, parts);
    for (int i = 0; i < parts; i++) {
        int from = (int)((int64_t)n * i / parts), to = (int)((int64_t)n * (i + 1) / parts);
        part[i] = concat(g, axis, to - from, in + from);
    }
    return concat(g, axis, parts, part);
}

Graph *pass_lower(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        rewrite_at(r.to, n);
        if (n->op == OP_REDUCE)
            r.map[i] = reduce(r.to, (ReduceFn)n->attrs.fn, r.map[n->in[0]->id], n->attrs.n_axes, n->attrs.axes);
        else if (is_ordering(n->op) && n->in[0]->type.dtype != routine_type(n)) r.map[i] = ordering(&r, n);
        else if (n->op == OP_CONCAT) r.map[i] = concat(r.to, n->attrs.axis, n->n_in, rewrite_operands(&r, n));
        else r.map[i] = rewrite_copy(&r, n);
        if (!r.map[i]->name) r.map[i]->name = n->name;
    }
    return rewrite_end(&r);
}
