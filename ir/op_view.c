/* op_view.c -- moving elements without arithmetic, places known at compile time: reshape, permute, expand, slice, pad, concat,
 * rev, diagonal. Their derivatives move dy back, sum what was repeated, and put 0 where something was left out. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <inttypes.h>
#include <string.h>

static Size number(const Infer *i, int64_t n) { return size_const(i->g->program->sizes, n); }

/* a <= b, as far as can be said: false only if a > b for all values of the names. */
static bool may_be_le(Size a, Size b) {
    int64_t low, high;
    size_range(size_sub(b, a), &low, &high);
    return high >= 0;
}

static bool axis_ok(Infer *i, int axis, int rank) {
    return (axis >= 0 && axis < rank) || infer_fail(i, "axis %d of rank %d", axis, rank);
}

/* ---- types --------------------------------------------------------------------------------------------------------------- */

bool infer_RESHAPE(Infer *i) { /* counts that cannot be compared are compared when the values are there */
    i->out = type_of(i->in[0]->type.dtype, i->attrs->n_shape, i->attrs->shape);
    Size before = type_count(i->g, &i->in[0]->type), after = type_count(i->g, &i->out);
    if (before == after || (may_be_le(before, after) && may_be_le(after, before))) return true;
    return infer_fail(i, "%s elements as %s", size_text(i->g->arena, before), type_text(i->g->arena, &i->out));
}

bool infer_PERMUTE(Infer *i) {
    const Type *x = &i->in[0]->type;
    unsigned seen = 0;
    if (i->attrs->n_axes != x->rank) return infer_fail(i, "%d axes of rank %d", i->attrs->n_axes, x->rank);
    i->out = *x;
    for (int k = 0; k < x->rank; k++) {
        int axis = i->attrs->axes[k];
        if (!axis_ok(i, axis, x->rank)) return false;
        if (seen & 1u << axis) return infer_fail(i, "axis %d twice", axis);
        seen |= 1u << axis;
        i->out.dim[k] = x->dim[axis];
    }
    return true;
}

bool infer_EXPAND(Infer *i) {
    const Type *x = &i->in[0]->type;
    i->out = type_of(x->dtype, i->attrs->n_shape, i->attrs->shape);
    int lead = i->out.rank - x->rank;
    if (lead < 0) return infer_fail(i, "rank %d to rank %d", x->rank, i->out.rank);
    for (int k = 0; k < x->rank; k++) {
        if (x->dim[k] != i->out.dim[lead + k] && !size_is(x->dim[k], 1))
            return infer_fail(i, "%s to %s", type_text(i->g->arena, x), type_text(i->g->arena, &i->out));
    }
    return true;
}

bool infer_SLICE(Infer *i) {
    const Type *x = &i->in[0]->type;
    i->out = *x;
    for (int k = 0; k < x->rank; k++) {
        Size lo = i->attrs->lo[k], hi = i->attrs->hi[k];
        if (!lo || !hi) return infer_fail(i, "no range of axis %d", k);
        if (!may_be_le(number(i, 0), lo) || !may_be_le(lo, hi) || !may_be_le(hi, x->dim[k]))
            return infer_fail(i, "axis %d: %s to %s of %s", k, size_text(i->g->arena, lo), size_text(i->g->arena, hi),
                              size_text(i->g->arena, x->dim[k]));
        i->out.dim[k] = size_sub(hi, lo);
    }
    return true;
}

bool infer_PAD(Infer *i) {
    i->out = i->in[0]->type;
    for (int k = 0; k < i->out.rank; k++) {
        Size lo = i->attrs->lo[k], hi = i->attrs->hi[k];
        if (!lo || !hi) return infer_fail(i, "no padding of axis %d", k);
        if (!may_be_le(number(i, 0), lo) || !may_be_le(number(i, 0), hi))
            return infer_fail(i, "negative padding of axis %d", k);
        i->out.dim[k] = size_add(i->out.dim[k], size_add(lo, hi));
    }
    return true;
}

bool infer_CONCAT(Infer *i) {
    if (i->n < 1) return infer_fail(i, "no operands");
    i->out = i->in[0]->type;
    int axis = i->attrs->axis;
    if (!axis_ok(i, axis, i->out.rank)) return false;
    for (int k = 1; k < i->n; k++) {
        Type other = i->in[k]->type;
        if (other.rank != i->out.rank) return infer_fail(i, "operand %d has rank %d, not %d", k, other.rank, i->out.rank);
        Size here = other.dim[axis];
        other.dim[axis] = i->out.dim[axis];
        if (!type_equal(&other, &i->out)) return infer_fail(i, "operand %d is %s", k, type_text(i->g->arena, &i->in[k]->type));
        i->out.dim[axis] = size_add(i->out.dim[axis], here);
    }
    return true;
}

bool infer_REV(Infer *i) {
    i->out = i->in[0]->type;
    return axis_ok(i, i->attrs->axis, i->out.rank);
}

bool infer_DIAGONAL(Infer *i) {
    i->out = i->in[0]->type;
    int rank = i->out.rank;
    if (rank < 2 || i->out.dim[rank - 1] != i->out.dim[rank - 2])
        return infer_fail(i, "%s is not square", type_text(i->g->arena, &i->in[0]->type));
    i->out.rank--;
    i->out.dim[rank - 1] = NULL;
    return true;
}

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

/* y[index] = x[start + sum of step[axis] * index[axis]] */
static void copy_strided(Tensor *y, const Tensor *x, int64_t start, const int64_t *step) {
    int64_t index[MAX_RANK] = {0};
    for (int64_t k = 0; k < y->count; k++, index_next(y->rank, y->dim, index)) {
        int64_t at = start;
        for (int a = 0; a < y->rank; a++) at += step[a] * index[a];
        element_copy(y, k, x, at);
    }
}

bool eval_RESHAPE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    if (y->count != in[0]->count)
        return eval_fail(e, MDL_RANGE, "%" PRId64 " elements do not make %s", in[0]->count, type_text(e->arena, &n->type));
    for (int64_t k = 0; k < y->count; k++) element_copy(y, k, in[0], k);
    return true;
}

bool eval_PERMUTE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    int64_t stride[MAX_RANK], step[MAX_RANK] = {0};
    if (!y) return false;
    row_major(in[0]->rank, in[0]->dim, stride);
    for (int a = 0; a < y->rank; a++) step[a] = stride[n->attrs.axes[a]];
    copy_strided(y, in[0], 0, step);
    return true;
}

bool eval_EXPAND(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    int64_t stride[MAX_RANK], step[MAX_RANK] = {0};
    if (!y) return false;
    row_major(in[0]->rank, in[0]->dim, stride);
    int lead = y->rank - in[0]->rank;
    for (int a = lead; a < y->rank; a++) step[a] = size_is(n->in[0]->type.dim[a - lead], 1) ? 0 : stride[a - lead];
    copy_strided(y, in[0], 0, step);
    return true;
}

bool eval_SLICE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    int64_t stride[MAX_RANK], start = 0;
    row_major(in[0]->rank, in[0]->dim, stride);
    for (int a = 0; a < in[0]->rank; a++) {
        int64_t lo, hi;
        if (!eval_size(e, n->attrs.lo[a], &lo) || !eval_size(e, n->attrs.hi[a], &hi)) return false;
        if (lo < 0 || lo > hi || hi > in[0]->dim[a])
            return eval_fail(e, MDL_RANGE, "a slice from %" PRId64 " to %" PRId64 " of %" PRId64, lo, hi, in[0]->dim[a]);
        start += lo * stride[a];
    }
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    copy_strided(y, in[0], start, stride);
    return true;
}

bool eval_PAD(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    const Tensor *x = in[0];
    int64_t lo[MAX_RANK] = {0}, stride[MAX_RANK];
    for (int a = 0; a < x->rank; a++) {
        int64_t hi;
        if (!eval_size(e, n->attrs.lo[a], &lo[a]) || !eval_size(e, n->attrs.hi[a], &hi)) return false;
        if (lo[a] < 0 || hi < 0) return eval_fail(e, MDL_RANGE, "negative padding");
    }
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    row_major(x->rank, x->dim, stride);
    int64_t index[MAX_RANK] = {0};
    double fill = y->f ? eval_round(e, y->dtype, n->attrs.number) : 0;
    for (int64_t k = 0; k < y->count; k++, index_next(y->rank, y->dim, index)) {
        int64_t at = 0;
        bool inside = true;
        for (int a = 0; a < y->rank; a++) {
            int64_t i = index[a] - lo[a];
            inside = inside && i >= 0 && i < x->dim[a];
            at += i * stride[a];
        }
        if (inside) element_copy(y, k, x, at);
        else if (y->f) y->f[k] = fill;
        else y->i[k] = n->attrs.whole;
    }
    return true;
}

bool eval_CONCAT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    int64_t outer = 1, inner = 1, to = 0;
    for (int a = 0; a < y->rank; a++) *(a < n->attrs.axis ? &outer : &inner) *= a == n->attrs.axis ? 1 : y->dim[a];
    for (int64_t o = 0; o < outer; o++) {
        for (int k = 0; k < n->n_in; k++) {
            int64_t run = in[k]->dim[n->attrs.axis] * inner;
            for (int64_t i = 0; i < run; i++) element_copy(y, to++, in[k], o * run + i);
        }
    }
    return true;
}

bool eval_REV(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    int64_t stride[MAX_RANK];
    if (!y) return false;
    row_major(y->rank, y->dim, stride);
    int64_t start = (y->dim[n->attrs.axis] - 1) * stride[n->attrs.axis];
    stride[n->attrs.axis] *= -1;
    copy_strided(y, in[0], start, stride);
    return true;
}

bool eval_DIAGONAL(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    int64_t stride[MAX_RANK];
    if (!y) return false;
    row_major(in[0]->rank, in[0]->dim, stride);
    stride[y->rank - 1] += stride[y->rank];
    copy_strided(y, in[0], 0, stride);
    return true;
}

/* ---- derivatives --------------------------------------------------------------------------------------------------------- */

void grad_RESHAPE(GradRule *r) {
    const Type *x = &r->y->in[0]->type;
    r->dx[0] = node_reshape(r->g, r->dy, x->rank, x->dim);
}

void grad_PERMUTE(GradRule *r) {
    int back[MAX_RANK] = {0};
    for (int k = 0; k < r->y->type.rank; k++) back[r->y->attrs.axes[k]] = k;
    r->dx[0] = node_permute(r->g, r->dy, back);
}

void grad_EXPAND(GradRule *r) {
    const Type *x = &r->y->in[0]->type, *y = &r->y->type;
    int lead = y->rank - x->rank, n = 0, axes[MAX_RANK];
    for (int k = 0; k < y->rank; k++)
        if (k < lead || x->dim[k - lead] != y->dim[k]) axes[n++] = k;
    r->dx[0] = node_reshape(r->g, node_reduce(r->g, REDUCE_SUM, r->dy, n, axes), x->rank, x->dim);
}

void grad_SLICE(GradRule *r) {
    const Node *y = r->y;
    Attrs a = {0};
    bool all = true;
    for (int k = 0; k < y->type.rank; k++) {
        a.lo[k] = y->attrs.lo[k];
        a.hi[k] = size_sub(y->in[0]->type.dim[k], y->attrs.hi[k]);
        all = all && size_is(a.lo[k], 0) && size_is(a.hi[k], 0);
    }
    r->dx[0] = all ? r->dy : graph_add(r->g, OP_PAD, &a, 1, &r->dy);
}

void grad_PAD(GradRule *r) {
    const Node *y = r->y;
    Size hi[MAX_RANK];
    for (int k = 0; k < y->type.rank; k++) hi[k] = size_add(y->attrs.lo[k], y->in[0]->type.dim[k]);
    r->dx[0] = node_slice(r->g, r->dy, y->attrs.lo, hi);
}

void grad_CONCAT(GradRule *r) {
    const Node *y = r->y;
    Size lo[MAX_RANK], hi[MAX_RANK];
    for (int k = 0; k < y->type.rank; k++) {
        lo[k] = size_const(r->g->program->sizes, 0);
        hi[k] = y->type.dim[k];
    }
    hi[y->attrs.axis] = lo[y->attrs.axis];
    for (int k = 0; k < y->n_in; k++) {
        lo[y->attrs.axis] = hi[y->attrs.axis];
        hi[y->attrs.axis] = size_add(hi[y->attrs.axis], y->in[k]->type.dim[y->attrs.axis]);
        if (r->want[k]) r->dx[k] = node_slice(r->g, r->dy, lo, hi);
    }
}

void grad_REV(GradRule *r) { r->dx[0] = graph_add(r->g, OP_REV, &r->y->attrs, 1, &r->dy); }

void grad_DIAGONAL(GradRule *r) { /* dy where row = column */
    Node *x = r->y->in[0];
    int rank = x->type.rank;
    Type places = x->type;
    places.dtype = DT_I32;
    Node *row = node_leaf(r->g, OP_IOTA, &(Attrs){.axis = rank - 2}, places);
    Node *column = node_leaf(r->g, OP_IOTA, &(Attrs){.axis = rank - 1}, places);
    Size dim[MAX_RANK];
    for (int k = 0; k < rank; k++) dim[k] = x->type.dim[k];
    dim[rank - 2] = size_const(r->g->program->sizes, 1);
    Node *wide = node_expand_like(r->g, node_reshape(r->g, r->dy, rank, dim), x);
    r->dx[0] = node_map3(r->g, OP_WHERE, node_map2(r->g, OP_EQ, row, column), wide, node_like(r->g, x, 0));
}
