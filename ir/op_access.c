/* op_access.c -- moving elements to and from places known at run time: slice_at, update_at, gather, scatter_add. Indices out of
 * range are refused by an effect of kind range before; here they are clamped, so that nothing outside a tensor is touched. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <inttypes.h>

static bool axis_ok(Infer *i, int axis, int rank) {
    return (axis >= 0 && axis < rank) || infer_fail(i, "axis %d of rank %d", axis, rank);
}

static bool start_ok(Infer *i, const Node *start) {
    if (start->type.rank == 0 && start->type.dtype == DT_I32) return true;
    return infer_fail(i, "the start is %s, not an i32 scalar", type_text(i->g->arena, &start->type));
}

/* ---- types --------------------------------------------------------------------------------------------------------------- */

bool infer_SLICE_AT(Infer *i) {
    i->out = i->in[0]->type;
    if (!axis_ok(i, i->attrs->axis, i->out.rank) || !start_ok(i, i->in[1])) return false;
    if (!i->attrs->extent) return infer_fail(i, "no extent");
    i->out.dim[i->attrs->axis] = i->attrs->extent;
    return true;
}

bool infer_UPDATE_AT(Infer *i) {
    i->out = i->in[0]->type;
    if (!axis_ok(i, i->attrs->axis, i->out.rank) || !start_ok(i, i->in[2])) return false;
    Type part = i->in[1]->type;
    if (part.rank == i->out.rank) part.dim[i->attrs->axis] = i->out.dim[i->attrs->axis];
    if (type_equal(&part, &i->out)) return true;
    return infer_fail(i, "%s into %s", type_text(i->g->arena, &i->in[1]->type), type_text(i->g->arena, &i->out));
}

/* The type of gather's result (and of scatter_add's v) for a table of type x. */
static bool gathered(Infer *i, const Type *x, const Type *ids, Type *out) {
    int axis = i->attrs->axis;
    if (!axis_ok(i, axis, x->rank)) return false;
    if (!dtype_is_int(ids->dtype)) return infer_fail(i, "ids are %s", dtype_name(ids->dtype));
    if (i->attrs->flag) {
        *out = *ids;
        out->dtype = x->dtype;
        bool fits = ids->rank == x->rank;
        for (int k = 0; fits && k < x->rank; k++) fits = k == axis || ids->dim[k] == x->dim[k];
        return fits ||
               infer_fail(i, "ids are %s along axis %d of %s", type_text(i->g->arena, ids), axis, type_text(i->g->arena, x));
    }
    if (x->rank - 1 + ids->rank > MAX_RANK) return infer_fail(i, "rank %d, more than %d", x->rank - 1 + ids->rank, MAX_RANK);
    int rank = 0;
    *out = (Type){.dtype = x->dtype};
    for (int k = 0; k < axis; k++) out->dim[rank++] = x->dim[k];
    for (int k = 0; k < ids->rank; k++) out->dim[rank++] = ids->dim[k];
    for (int k = axis + 1; k < x->rank; k++) out->dim[rank++] = x->dim[k];
    out->rank = rank;
    return true;
}

bool infer_GATHER(Infer *i) { return gathered(i, &i->in[0]->type, &i->in[1]->type, &i->out); }

bool infer_SCATTER_ADD(Infer *i) {
    Type want;
    i->out = type_of(i->in[0]->type.dtype, i->attrs->n_shape, i->attrs->shape);
    if (i->out.dtype == DT_BOOL) return infer_fail(i, "bool");
    if (!gathered(i, &i->out, &i->in[1]->type, &want)) return false;
    if (type_equal(&want, &i->in[0]->type)) return true;
    return infer_fail(i, "v is %s, not %s", type_text(i->g->arena, &i->in[0]->type), type_text(i->g->arena, &want));
}

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

static int64_t clamp_to(int64_t x, int64_t low, int64_t high) { return x > high ? high : x < low ? low : x; }

bool eval_SLICE_AT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    int axis = n->attrs.axis;
    if (!y) return false;
    if (y->dim[axis] > in[0]->dim[axis])
        return eval_fail(e, MDL_RANGE, "a slice of %" PRId64 " of %" PRId64, y->dim[axis], in[0]->dim[axis]);
    int64_t start = clamp_to(in[1]->i[0], 0, in[0]->dim[axis] - y->dim[axis]);
    int64_t stride[MAX_RANK], index[MAX_RANK] = {0};
    row_major(in[0]->rank, in[0]->dim, stride);
    for (int64_t k = 0; k < y->count; k++, index_next(y->rank, y->dim, index)) {
        int64_t at = start * stride[axis];
        for (int a = 0; a < y->rank; a++) at += index[a] * stride[a];
        element_copy(y, k, in[0], at);
    }
    return true;
}

bool eval_UPDATE_AT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *v = in[1];
    int axis = n->attrs.axis;
    if (!y) return false;
    if (v->dim[axis] > y->dim[axis])
        return eval_fail(e, MDL_RANGE, "%" PRId64 " elements into an axis of %" PRId64, v->dim[axis], y->dim[axis]);
    for (int64_t k = 0; k < y->count; k++) element_copy(y, k, in[0], k);
    int64_t start = clamp_to(in[2]->i[0], 0, y->dim[axis] - v->dim[axis]);
    int64_t stride[MAX_RANK], index[MAX_RANK] = {0};
    row_major(y->rank, y->dim, stride);
    for (int64_t k = 0; k < v->count; k++, index_next(v->rank, v->dim, index)) {
        int64_t at = start * stride[axis];
        for (int a = 0; a < v->rank; a++) at += index[a] * stride[a];
        element_copy(y, at, v, k);
    }
    return true;
}

/* Where element `index` of a gathered tensor lies in the table x: false if x is empty along the axis. */
static bool table_place(const Node *n, const int64_t *x_dim, const Tensor *ids, const int64_t *index, const int64_t *stride,
                        int x_rank, int64_t *place) {
    int axis = n->attrs.axis;
    int64_t id_stride[MAX_RANK], id_at = 0;
    row_major(ids->rank, ids->dim, id_stride);
    for (int k = 0; k < ids->rank; k++) id_at += index[n->attrs.flag ? k : axis + k] * id_stride[k];
    if (x_dim[axis] == 0) return false;
    int64_t at = clamp_to(ids->i[id_at], 0, x_dim[axis] - 1) * stride[axis];
    for (int a = 0; a < x_rank; a++)
        if (a != axis) at += index[n->attrs.flag || a < axis ? a : a + ids->rank - 1] * stride[a];
    *place = at;
    return true;
}

bool eval_GATHER(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    int64_t stride[MAX_RANK], index[MAX_RANK] = {0}, at;
    row_major(in[0]->rank, in[0]->dim, stride);
    for (int64_t k = 0; k < y->count; k++, index_next(y->rank, y->dim, index)) {
        if (!table_place(n, in[0]->dim, in[1], index, stride, in[0]->rank, &at))
            return eval_fail(e, MDL_RANGE, "an index into an empty axis");
        element_copy(y, k, in[0], at);
    }
    return true;
}

bool eval_SCATTER_ADD(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *v = in[0];
    if (!y) return false;
    int64_t stride[MAX_RANK], index[MAX_RANK] = {0}, at;
    row_major(y->rank, y->dim, stride);
    for (int64_t k = 0; k < v->count; k++, index_next(v->rank, v->dim, index)) {
        if (!table_place(n, y->dim, in[1], index, stride, y->rank, &at))
            return eval_fail(e, MDL_RANGE, "an index into an empty axis");
        if (y->f) y->f[at] += v->f[k];
        else y->i[at] = wrap_int(y->dtype, (uint64_t)y->i[at] + (uint64_t)v->i[k]);
    }
    for (int64_t k = 0; y->f && k < y->count; k++) y->f[k] = eval_round(e, y->dtype, y->f[k]);
    return true;
}

/* ---- derivatives --------------------------------------------------------------------------------------------------------- */

void grad_SLICE_AT(GradRule *r) {
    Node *x = r->y->in[0];
    Node *in[3] = {node_like(r->g, x, 0), r->dy, r->y->in[1]};
    r->dx[0] = graph_add(r->g, OP_UPDATE_AT, &(Attrs){.axis = r->y->attrs.axis}, 3, in);
}

void grad_UPDATE_AT(GradRule *r) {
    Node *v = r->y->in[1], *start = r->y->in[2];
    int axis = r->y->attrs.axis;
    if (r->want[0]) {
        Node *in[3] = {r->dy, node_like(r->g, v, 0), start};
        r->dx[0] = graph_add(r->g, OP_UPDATE_AT, &(Attrs){.axis = axis}, 3, in);
    }
    if (r->want[1]) {
        Node *in[2] = {r->dy, start};
        r->dx[1] = graph_add(r->g, OP_SLICE_AT, &(Attrs){.axis = axis, .extent = v->type.dim[axis]}, 2, in);
    }
}

void grad_GATHER(GradRule *r) {
    DType d = r->dy->type.dtype; /* many rows may meet in one: of 16 bits the sums are those of f32 */
    Node *x = r->y->in[0], *in[2] = {dtype_bytes(d) < 4 ? node_cast(r->g, r->dy, DT_F32) : r->dy, r->y->in[1]};
    Attrs a = {.axis = r->y->attrs.axis, .flag = r->y->attrs.flag, .n_shape = x->type.rank};
    for (int k = 0; k < x->type.rank; k++) a.shape[k] = x->type.dim[k];
    r->dx[0] = node_cast(r->g, graph_add(r->g, OP_SCATTER_ADD, &a, 2, in), d);
}

void grad_SCATTER_ADD(GradRule *r) {
    Node *in[2] = {r->dy, r->y->in[1]};
    r->dx[0] = graph_add(r->g, OP_GATHER, &(Attrs){.axis = r->y->attrs.axis, .flag = r->y->attrs.flag}, 2, in);
}
