/* op_reduce.c -- along axes: reduce, cumsum, sort_ids, topk_ids. Sums are made in double, rounded once. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <math.h>
#include <stdlib.h>

/* Sums of 8 and 16 bits are made and returned in 32. */
static DType sum_dtype(DType d) { return d == DT_I8 || d == DT_U8 || d == DT_I16 ? DT_I32 : d; }

/* ---- types --------------------------------------------------------------------------------------------------------------- */

static bool reducible(Infer *i, DType d) {
    switch ((ReduceFn)i->attrs->fn) {
    case REDUCE_SUM:
    case REDUCE_MAX:
    case REDUCE_MIN:
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: return d != DT_BOOL;
    case REDUCE_VAR: return dtype_is_float(d);
    case REDUCE_ANY:
    case REDUCE_ALL: return d == DT_BOOL;
    }
    return false;
}

bool infer_REDUCE(Infer *i) {
    const Type *x = &i->in[0]->type;
    const Attrs *a = i->attrs;
    if (!reducible(i, x->dtype)) return infer_fail(i, "function %d of %s", a->fn, dtype_name(x->dtype));
    bool places = a->fn == REDUCE_ARGMAX || a->fn == REDUCE_ARGMIN;
    if (places && a->n_axes != 1) return infer_fail(i, "places along %d axes", a->n_axes);
    if (a->n_axes < 0 || a->n_axes > x->rank) return infer_fail(i, "%d axes of rank %d", a->n_axes, x->rank);
    i->out = (Type){.dtype = places ? DT_I32 : a->fn == REDUCE_SUM ? sum_dtype(x->dtype) : x->dtype};
    for (int k = 0; k < a->n_axes; k++) {
        if (a->axes[k] < 0 || a->axes[k] >= x->rank) return infer_fail(i, "axis %d of rank %d", a->axes[k], x->rank);
        if (k && a->axes[k] <= a->axes[k - 1]) return infer_fail(i, "axes are not sorted");
    }
    for (int k = 0, next = 0; k < x->rank; k++) {
        if (next < a->n_axes && a->axes[next] == k) next++;
        else i->out.dim[i->out.rank++] = x->dim[k];
    }
    return true;
}

bool infer_CUMSUM(Infer *i) {
    i->out = i->in[0]->type;
    if (i->out.dtype == DT_BOOL) return infer_fail(i, "bool");
    i->out.dtype = sum_dtype(i->out.dtype);
    return (i->attrs->axis >= 0 && i->attrs->axis < i->out.rank) ||
           infer_fail(i, "axis %d of rank %d", i->attrs->axis, i->out.rank);
}

bool infer_SORT_IDS(Infer *i) {
    i->out = i->in[0]->type;
    if (i->out.rank < 1) return infer_fail(i, "a scalar");
    if (i->out.dtype == DT_BOOL) return infer_fail(i, "bool");
    i->out.dtype = DT_I32;
    return true;
}

bool infer_TOPK_IDS(Infer *i) {
    if (!infer_SORT_IDS(i)) return false;
    if (!i->attrs->extent) return infer_fail(i, "no extent");
    int64_t low, high;
    size_range(size_sub(i->out.dim[i->out.rank - 1], i->attrs->extent), &low, &high);
    if (high < 0)
        return infer_fail(i, "%s of %s", size_text(i->g->arena, i->attrs->extent),
                          size_text(i->g->arena, i->out.dim[i->out.rank - 1]));
    i->out.dim[i->out.rank - 1] = i->attrs->extent;
    return true;
}

/* ---- reduce -------------------------------------------------------------------------------------------------------------- */

/* Is a before b, looking for the largest (sign 1) or smallest (-1)? A NaN wins over all others. */
static bool beats(const Tensor *x, int64_t a, int64_t b, int sign) {
    if (!x->f) return sign > 0 ? x->i[a] > x->i[b] : x->i[a] < x->i[b];
    if (isnan(x->f[a])) return !isnan(x->f[b]);
    return sign > 0 ? x->f[a] > x->f[b] : x->f[a] < x->f[b];
}

/* One result: the elements x[base + offset[j]]. */
static void reduce_one(Eval *e, ReduceFn fn, Tensor *y, int64_t at, const Tensor *x, int64_t base, int64_t n,
                       const int64_t *offset) {
    double sum = 0, mean = 0;
    uint64_t whole = 0;
    int64_t best = 0;
    switch (fn) {
    case REDUCE_SUM:
        for (int64_t j = 0; j < n; j++) {
            if (x->f) sum += x->f[base + offset[j]];
            else whole += (uint64_t)x->i[base + offset[j]];
        }
        if (y->f) y->f[at] = eval_round(e, y->dtype, sum);
        else y->i[at] = wrap_int(y->dtype, whole);
        break;
    case REDUCE_VAR:
        for (int64_t j = 0; j < n; j++) mean += x->f[base + offset[j]];
        mean /= (double)n;
        for (int64_t j = 0; j < n; j++) sum += (x->f[base + offset[j]] - mean) * (x->f[base + offset[j]] - mean);
        y->f[at] = eval_round(e, y->dtype, sum / (double)n);
        break;
    case REDUCE_ANY:
    case REDUCE_ALL:
        y->i[at] = fn == REDUCE_ALL;
        for (int64_t j = 0; j < n; j++)
            if ((x->i[base + offset[j]] != 0) == (fn == REDUCE_ANY)) y->i[at] = fn == REDUCE_ANY;
        break;
    case REDUCE_MAX:
    case REDUCE_MIN:
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: {
        int sign = fn == REDUCE_MAX || fn == REDUCE_ARGMAX ? 1 : -1;
        if (!n) { /* what never wins, or place 0 */
            if (y->f) y->f[at] = sign > 0 ? -INFINITY : INFINITY;
            else if (fn == REDUCE_MAX || fn == REDUCE_MIN) y->i[at] = saturate_whole(y->dtype, sign > 0 ? INT64_MIN : INT64_MAX);
            else y->i[at] = 0;
            break;
        }
        for (int64_t j = 1; j < n; j++)
            if (beats(x, base + offset[j], base + offset[best], sign)) best = j;
        if (fn == REDUCE_MAX || fn == REDUCE_MIN) element_copy(y, at, x, base + offset[best]);
        else y->i[at] = best;
        break;
    }
    }
}

bool eval_REDUCE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *x = in[0];
    if (!y) return false;
    int64_t stride[MAX_RANK], inner[MAX_RANK] = {0}, inner_step[MAX_RANK] = {0}, outer_step[MAX_RANK] = {0}, count = 1;
    row_major(x->rank, x->dim, stride);
    int n_inner = 0, n_outer = 0;
    for (int a = 0; a < x->rank; a++) {
        if (n_inner < n->attrs.n_axes && n->attrs.axes[n_inner] == a) {
            inner[n_inner] = x->dim[a];
            inner_step[n_inner++] = stride[a];
            count *= x->dim[a];
        } else {
            outer_step[n_outer++] = stride[a];
        }
    }
    int64_t *offset = calloc((size_t)count + 1, sizeof *offset), index[MAX_RANK] = {0}; /* element counts were checked: fits */
    if (!offset) return eval_fail(e, MDL_MEMORY, "no memory for a reduction");
    for (int64_t j = 0; j < count; j++, index_next(n_inner, inner, index))
        for (int a = 0; a < n_inner; a++) offset[j] += index[a] * inner_step[a];
    int64_t place[MAX_RANK] = {0};
    for (int64_t k = 0; k < y->count; k++, index_next(y->rank, y->dim, place)) {
        int64_t base = 0;
        for (int a = 0; a < n_outer; a++) base += place[a] * outer_step[a];
        reduce_one(e, (ReduceFn)n->attrs.fn, y, k, x, base, count, offset);
    }
    free(offset);
    return true;
}

void grad_REDUCE(GradRule *r) {
    Graph *g = r->g;
    Node *x = r->y->in[0];
    const Attrs *a = &r->y->attrs;
    Size count = size_const(g->program->sizes, 1);
    for (int k = 0; k < a->n_axes; k++) count = size_mul(count, x->type.dim[a->axes[k]]);
    switch ((ReduceFn)a->fn) {
    case REDUCE_SUM: r->dx[0] = node_unreduce(g, r->dy, x, a->n_axes, a->axes); break;
    case REDUCE_VAR: { /* dy * 2 / count * (x - mean): the way through the mean sums up to 0 */
        Node *one = node_reciprocal_count(g, count, 1, x->type.dtype), *two = node_reciprocal_count(g, count, 2, x->type.dtype);
        Node *sum = node_reduce(g, REDUCE_SUM, x, a->n_axes, a->axes);
        Node *mean = node_map2(g, OP_MUL, sum, node_expand_like(g, one, sum));
        Node *scaled = node_map2(g, OP_MUL, r->dy, node_expand_like(g, two, r->dy));
        Node *away = node_map2(g, OP_SUB, x, node_unreduce(g, mean, x, a->n_axes, a->axes));
        r->dx[0] = node_map2(g, OP_MUL, node_unreduce(g, scaled, x, a->n_axes, a->axes), away);
        break;
    }
    case REDUCE_MAX:
    case REDUCE_MIN: { /* equals share */
        Node *hit = node_map2(g, OP_EQ, x, node_unreduce(g, r->y, x, a->n_axes, a->axes));
        Node *hits = node_reduce(g, REDUCE_SUM, node_cast(g, hit, x->type.dtype), a->n_axes, a->axes);
        Node *share = node_map2(g, OP_DIV, r->dy, hits);
        r->dx[0] = node_map3(g, OP_WHERE, hit, node_unreduce(g, share, x, a->n_axes, a->axes), node_like(g, x, 0));
        break;
    }
    case REDUCE_ANY:
    case REDUCE_ALL:
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: break;
    }
}

/* ---- cumsum -------------------------------------------------------------------------------------------------------------- */

bool eval_CUMSUM(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *x = in[0];
    if (!y) return false;
    int64_t stride[MAX_RANK], index[MAX_RANK] = {0}, length = y->dim[n->attrs.axis];
    row_major(y->rank, y->dim, stride);
    int64_t step = stride[n->attrs.axis];
    for (int64_t k = 0; k < y->count; k++, index_next(y->rank, y->dim, index)) {
        if (index[n->attrs.axis] != 0) continue;
        double sum = 0;
        uint64_t whole = 0;
        for (int64_t j = 0; j < length; j++) {
            int64_t at = k + (n->attrs.flag ? length - 1 - j : j) * step;
            if (y->f) y->f[at] = eval_round(e, y->dtype, sum += x->f[at]);
            else y->i[at] = wrap_int(y->dtype, whole += (uint64_t)x->i[at]);
        }
    }
    return true;
}

void grad_CUMSUM(GradRule *r) {
    r->dx[0] = graph_add(r->g, OP_CUMSUM, &(Attrs){.axis = r->y->attrs.axis, .flag = !r->y->attrs.flag}, 1, &r->dy);
}

/* ---- order --------------------------------------------------------------------------------------------------------------- */

/* A stable merge sort of places by the elements x[base + place]; a NaN is larger than anything. */
static void sort_places(const Tensor *x, int64_t base, int64_t *place, int64_t *room, int64_t n, bool descending) {
    if (n < 2) return;
    int64_t half = n / 2, i = 0, j = half, k = 0;
    sort_places(x, base, place, room, half, descending);
    sort_places(x, base, place + half, room, n - half, descending);
    while (i < half && j < n) {
        int64_t a = base + place[i], b = base + place[j];
        bool later_first = descending ? beats(x, b, a, 1) : beats(x, a, b, 1);
        room[k++] = later_first ? place[j++] : place[i++];
    }
    while (i < half) room[k++] = place[i++];
    while (j < n) room[k++] = place[j++];
    for (k = 0; k < n; k++) place[k] = room[k];
}

static bool eval_order(Eval *e, const Node *n, const Tensor *x, Tensor **out, bool descending) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    int64_t length = x->dim[x->rank - 1], keep = y->dim[y->rank - 1];
    if (keep > length) return eval_fail(e, MDL_RANGE, "the %lld largest of %lld", (long long)keep, (long long)length);
    int64_t *place = calloc((size_t)length * 2 + 1, sizeof *place);
    if (!place) return eval_fail(e, MDL_MEMORY, "no memory to sort");
    for (int64_t row = 0; keep && row < y->count / keep; row++) {
        for (int64_t k = 0; k < length; k++) place[k] = k;
        sort_places(x, row * length, place, place + length, length, descending);
        for (int64_t k = 0; k < keep; k++) y->i[row * keep + k] = place[k];
    }
    free(place);
    return true;
}

bool eval_SORT_IDS(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    return eval_order(e, n, in[0], out, n->attrs.flag != 0);
}
bool eval_TOPK_IDS(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_order(e, n, in[0], out, true); }
