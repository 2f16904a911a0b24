/* op_leaf.c -- input, slot, const, tensor, iota, size, arg: what a graph begins with. Their type is given, not inferred. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <inttypes.h>
#include <string.h>

bool infer_INPUT(Infer *i) { return i->attrs->index >= 0 || infer_fail(i, "input %d", i->attrs->index); }

bool infer_SLOT(Infer *i) {
    const Program *p = i->g->program;
    if (i->attrs->index < 0 || i->attrs->index >= p->slots.n)
        return infer_fail(i, "slot %d of %d", i->attrs->index, p->slots.n);
    const Type *type = &p->slots.at[i->attrs->index]->type;
    bool unsaid = i->out.rank == 0 && i->out.dtype == (DType)0;
    if (!unsaid && !type_equal(&i->out, type))
        return infer_fail(i, "slot %s is %s", p->slots.at[i->attrs->index]->path, type_text(i->g->arena, type));
    i->out = *type;
    return true;
}

bool infer_CONST(Infer *i) {
    (void)i;
    return true;
}

bool infer_TENSOR(Infer *i) {
    if (!i->attrs->data) return infer_fail(i, "no data");
    for (int k = 0; k < i->out.rank; k++)
        if (!size_is_static(i->out.dim[k])) return infer_fail(i, "a run-time size");
    return true;
}

bool infer_IOTA(Infer *i) {
    if (i->out.dtype == DT_BOOL) return infer_fail(i, "bool");
    if (i->attrs->axis < 0 || i->attrs->axis >= i->out.rank)
        return infer_fail(i, "axis %d of rank %d", i->attrs->axis, i->out.rank);
    return true;
}

bool infer_SIZE(Infer *i) {
    if (!i->attrs->extent) return infer_fail(i, "no size");
    if (i->out.rank) return infer_fail(i, "not a scalar");
    if (i->out.dtype == (DType)0) i->out.dtype = DT_I64;
    return i->out.dtype != DT_BOOL || infer_fail(i, "bool");
}

bool infer_ARG(Infer *i) { return i->attrs->index >= 0 || infer_fail(i, "argument %d", i->attrs->index); }

/* A given value must have the shape that the type has for these sizes. */
static bool eval_given(Eval *e, const Node *n, const char *what, const char *name, Tensor *value, Tensor **out) {
    if (!name) name = "?";
    if (!value) return eval_fail(e, MDL_ARGUMENT, "%s `%s` has no value", what, name);
    if (value->dtype != n->type.dtype || value->rank != n->type.rank)
        return eval_fail(e, MDL_ARGUMENT, "%s `%s` is not %s", what, name, type_text(e->arena, &n->type));
    for (int i = 0; i < n->type.rank; i++) {
        int64_t d;
        if (!eval_size(e, n->type.dim[i], &d)) return false;
        if (d != value->dim[i])
            return eval_fail(e, MDL_RANGE, "axis %d of %s `%s` has size %" PRId64 ", not %" PRId64, i, what, name,
                             value->dim[i], d);
    }
    out[0] = value;
    return true;
}

bool eval_INPUT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in;
    return eval_given(e, n, "input", n->attrs.name, e->inputs[n->attrs.index], out);
}

bool eval_SLOT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in;
    return eval_given(e, n, "slot", e->program->slots.at[n->attrs.index]->path, e->slots[n->attrs.index], out);
}

bool eval_CONST(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in;
    Tensor *t = out[0] = eval_new(e, &n->type);
    if (!t) return false;
    double number = t->f ? eval_round(e, t->dtype, n->attrs.number) : 0;
    for (int64_t k = 0; k < t->count; k++) {
        if (t->f) t->f[k] = number;
        else t->i[k] = n->attrs.whole;
    }
    return true;
}

bool eval_TENSOR(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in;
    int64_t dim[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++) dim[i] = size_value(n->type.dim[i]);
    out[0] = tensor_from_bytes(e->arena, n->type.dtype, n->type.rank, dim, n->attrs.data);
    return true;
}

bool eval_IOTA(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in;
    Tensor *t = out[0] = eval_new(e, &n->type);
    if (!t) return false;
    int64_t index[MAX_RANK] = {0};
    for (int64_t k = 0; k < t->count; k++, index_next(t->rank, t->dim, index)) {
        int64_t i = index[n->attrs.axis];
        if (t->f) t->f[k] = eval_round(e, t->dtype, (double)i);
        else t->i[k] = wrap_int(t->dtype, (uint64_t)i);
    }
    return true;
}

bool eval_SIZE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in;
    int64_t value;
    Tensor *t = out[0] = eval_new(e, &n->type);
    if (!t || !eval_size(e, n->attrs.extent, &value)) return false;
    if (t->f) t->f[0] = eval_round(e, t->dtype, (double)value);
    else t->i[0] = wrap_int(t->dtype, (uint64_t)value);
    return true;
}

bool eval_ARG(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    (void)in, (void)out;
    return eval_fail(e, MDL_ARGUMENT, "argument %d outside of a body", n->attrs.index);
}
