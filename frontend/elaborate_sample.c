/* elaborate_sample.c -- intrinsics that are formulas of graph ops: running products, windows that differ from sample to sample,
 * pictures of another size (INTRINSICS.md 4, 5, 10). Meaning and gradient are those of the formula. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

/* ---- cumprod: p' = p * x along the axis. As a loop its gradient is products of the factors before and after, without a
 * division: exact where x is 0, too. */

static Value fn_cumprod(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    DType d = x->type.dtype;
    if (d == DT_BOOL) {
        fault(el, c->arg[0].node, 203, "cumprod of bool");
        fault_throw(el);
    }
    if (d == DT_I8 || d == DT_U8 || d == DT_I16) x = emit_cast(el, x, DT_I32);
    int rank = x->type.rank, axis = need_axis(el, &c->arg[1], rank, x), order[MAX_RANK] = {axis}, back[MAX_RANK];
    for (int i = 0, k = 1; i < rank; i++)
        if (i != axis) order[k++] = i;
    for (int i = 0; i < rank; i++) back[order[i]] = i;
    Node *steps = emit_permute(el, x, order);
    Type one = type_of(x->type.dtype, rank - 1, steps->type.dim + 1);
    Graph *g = graph_new(el->program->arena, el->program);
    graph_arg(g, type_scalar(DT_I32));
    Node *before = graph_arg(g, one), *factor = graph_arg(g, one), *product = node_map2(g, OP_MUL, before, factor);
    graph_result(g, NULL, product);
    graph_result(g, NULL, product);
    Attrs scan = {.body = g, .extent = steps->type.dim[0], .counts = {0, 1, 1, 1}};
    Node *in[] = {emit_const(el, one, 1), steps};
    Node *y = emit_get(el, emit(el, OP_SCAN, &scan, 2, in), 1, steps->type);
    return like(c->arg[0].value, emit_permute(el, y, back));
}

/* ---- crop */

/* `count` elements of x along an axis from `start`: a number, a scalar, or one start for each sample (axis 0). */
static Node *window_of(Elab *el, Node *x, const Arg *start, int axis, Size count) {
    Size size = x->type.dim[axis], most = size_sub(size, count);
    Value v = start->value;
    if (is_size(v)) {
        const char *text = arena_printf(el->arena, "crop: %s = %s is not in 0 to %s", start->name, value_text(el, v),
                                        size_text(el->arena, most));
        Size lo[MAX_RANK], hi[MAX_RANK], from = value_as_size(el, v);
        if (!require_ge(el, from, emit_size_const(el, 0), text) || !require_ge(el, most, from, text)) {
            fault(el, start->node, 409, "%s", text);
            fault_throw(el);
        }
        for (int i = 0; i < x->type.rank; i++) {
            lo[i] = i == axis ? from : emit_size_const(el, 0);
            hi[i] = i == axis ? size_add(from, count) : x->type.dim[i];
        }
        return emit_slice(el, x, lo, hi);
    }
    Node *at = need_tensor(el, start);
    bool each = at->type.rank == 1 && at->type.dim[0] == x->type.dim[0];
    if (!dtype_is_int(at->type.dtype) || (at->type.rank && !each)) {
        fault(el, start->node, 201, "`%s` of crop must be one integer, or i32[%s]", start->name,
              size_text(el->arena, x->type.dim[0]));
        fault_label(el, "this is %s", tensor_text(el, v));
        fault_throw(el);
    }
    emit_index_range(el, at, size_add(most, emit_size_const(el, 1)), start->name, start->node);
    at = emit_cast(el, at, DT_I32);
    if (!each) return emit(el, OP_SLICE_AT, &(Attrs){.axis = axis, .extent = count}, 2, (Node *[]){x, at});
    Type ids = {.dtype = DT_I32, .rank = 2, .dim = {x->type.dim[0], count}}, wide = x->type;
    Size column[2] = {ids.dim[0], emit_size_const(el, 1)}, narrow[MAX_RANK];
    Node *places = emit2(el, OP_ADD, emit_expand(el, emit_reshape(el, at, 2, column), 2, ids.dim), emit_iota(el, ids, 1));
    for (int i = 0; i < wide.rank; i++) narrow[i] = i == 0 ? ids.dim[0] : i == axis ? count : emit_size_const(el, 1);
    wide.dim[axis] = count;
    places = emit_expand(el, emit_reshape(el, places, wide.rank, narrow), wide.rank, wide.dim);
    return emit(el, OP_GATHER, &(Attrs){.axis = axis, .flag = 1}, 2, (Node *[]){x, places});
}

static Value fn_crop(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int rank = x->type.rank;
    if (rank < 3) {
        fault(el, c->arg[0].node, 205, "crop needs three dimensions or more, but this has %d", rank);
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    for (int i = 0; i < 2; i++) {
        const Arg *a = &c->arg[3 + i];
        Size count = need_size(el, a, a->name), size = x->type.dim[rank - 2 + i];
        const char *text = arena_printf(el->arena, "crop: %s = %s is more than %s", a->name, size_text(el->arena, count),
                                        size_text(el->arena, size));
        if (!require_ge(el, size, count, text) || !require_ge(el, count, emit_size_const(el, 0), text)) {
            fault(el, a->node, 409, "%s", text);
            fault_throw(el);
        }
        x = window_of(el, x, &c->arg[1 + i], rank - 2 + i, count);
    }
    return like(c->arg[0].value, x);
}

/* ---- interpolate: along one axis after the other, rows gathered and weighted. Places are computed in f64, where they are
 * exact. */

static Node *with_number(Elab *el, Op op, Node *x, double number) {
    return emit2(el, op, x, emit_const(el, x->type, number));
}

static Node *with_size(Elab *el, Op op, Node *x, Size s) {
    return emit2(el, op, x, emit_expand(el, emit_size(el, s, DT_F64), 1, x->type.dim));
}

static Node *rows_at(Elab *el, Node *x, Node *ids, int axis) {
    return emit(el, OP_GATHER, &(Attrs){.axis = axis}, 2, (Node *[]){x, emit_cast(el, ids, DT_I32)});
}

/* x with n rows along the axis: the row floor(i * h / n), or a mean of two by the distance of the place from them. */
static Node *resized(Elab *el, Node *x, int axis, Size n, bool bilinear, bool corners) {
    Size h = x->type.dim[axis], one = emit_size_const(el, 1);
    Node *at = emit_iota(el, (Type){.dtype = DT_F64, .rank = 1, .dim = {n}}, 0);
    if (!bilinear) return rows_at(el, x, emit1(el, OP_FLOOR, with_size(el, OP_DIV, with_size(el, OP_MUL, at, h), n)), axis);
    if (corners) {
        at = with_size(el, OP_DIV, with_size(el, OP_MUL, at, size_sub(h, one)), size_max(size_sub(n, one), one));
    } else {
        at = with_size(el, OP_DIV, with_size(el, OP_MUL, with_number(el, OP_ADD, at, 0.5), h), n);
        at = with_number(el, OP_MAX, with_number(el, OP_SUB, at, 0.5), 0);
    }
    Node *first = emit1(el, OP_FLOOR, at), *second = with_number(el, OP_ADD, first, 1);
    second = with_size(el, OP_MIN, second, size_sub(h, one));
    Node *weight = emit_cast(el, emit2(el, OP_SUB, at, first), x->type.dtype);
    Size column[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) column[i] = i == axis ? n : one;
    weight = emit_reshape(el, weight, x->type.rank, column);
    Node *a = rows_at(el, x, first, axis), *b = rows_at(el, x, second, axis);
    weight = emit_expand(el, weight, a->type.rank, a->type.dim);
    Node *rest = emit2(el, OP_SUB, emit_const(el, weight->type, 1), weight);
    return emit2(el, OP_ADD, emit2(el, OP_MUL, a, rest), emit2(el, OP_MUL, b, weight));
}

/* The fraction with the least denominator that rounds to x, of its continued fraction: 0.1 is 1/10, 1.0 / 3.0 is 1/3. False
 * where its numbers would be so large that a product with a size may overflow. */
static bool simplest_fraction(double x, int64_t *above, int64_t *below) {
    double rest = x;
    int64_t p = 1, q = 0, before_p = 0, before_q = 1;
    while (rest < 0x1p31) {
        int64_t whole = (int64_t)floor(rest), next_p = whole * p + before_p, next_q = whole * q + before_q;
        if (next_p >= INT32_MAX || next_q >= INT32_MAX) return false;
        before_p = p, before_q = q;
        p = *above = next_p, q = *below = next_q;
        if ((double)p / (double)q == x) return true;
        rest = 1 / (rest - (double)whole);
    }
    return false;
}

/* floor(size * scale), exactly, the scale being the fraction that was meant. */
static Size scaled_size(Elab *el, const Arg *a, Value v, Size size) {
    double scale = is_number(v) && v.kind != V_SIZE ? number_value(v) : 0;
    int64_t above, below;
    if (!(scale > 0) || scale > 1e6) {
        fault(el, a->node, 305, "the scale of interpolate must be a number above 0");
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    if (simplest_fraction(scale, &above, &below)) return size_floordiv(size_scale(size, above), emit_size_const(el, below));
    fault(el, a->node, 305, "the scale %s is no fraction of numbers below 2^31", number_text(el->arena, scale));
    fault_help(el, "give the sizes: interpolate(x, size = [h, w])");
    fault_throw(el);
}

/* The new sizes of the two axes, from `size` or `scale`. */
static void new_sizes(Elab *el, Call *c, const Node *x, Size *n) {
    bool sized = c->arg[1].value.kind != V_NONE, scaled = c->arg[2].value.kind != V_NONE;
    if (sized == scaled) {
        fault(el, c->node, 304, "interpolate takes either `size` or `scale`");
        fault_throw(el);
    }
    const Arg *a = &c->arg[sized ? 1 : 2];
    bool list = a->value.kind == V_LIST;
    if (list && a->value.list->item.n != 2) {
        fault(el, a->node, 305, "`%s` of interpolate is one number, or a list of two", a->name);
        fault_throw(el);
    }
    for (int i = 0; i < 2; i++) {
        Arg one = {list ? a->value.list->item.at[i] : a->value, a->node, a->name};
        n[i] = sized ? need_size(el, &one, "size") : scaled_size(el, a, one.value, x->type.dim[2 + i]);
        const char *text = arena_printf(el->arena, "interpolate: the new size is %s, below 1", size_text(el->arena, n[i]));
        if (require_ge(el, n[i], emit_size_const(el, 1), text)) continue;
        fault(el, a->node, 217, "%s", text);
        fault_throw(el);
    }
}

static Value fn_interpolate(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    Node *x = c->arg[0].value.node;
    if (x->type.rank != 4) {
        fault(el, c->arg[0].node, 205, "interpolate needs four dimensions [n, c, h, w], but this has %d", x->type.rank);
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    Value mode = c->arg[3].value, corners = c->arg[4].value;
    bool bilinear = mode.kind == V_STR && !strcmp(mode.text, "bilinear");
    if (mode.kind != V_NONE && !bilinear && !(mode.kind == V_STR && !strcmp(mode.text, "nearest"))) {
        fault(el, c->arg[3].node, 305, "the mode of interpolate is \"nearest\" or \"bilinear\"");
        fault_label(el, "this is %s", value_a(el, mode));
        fault_throw(el);
    }
    if (corners.kind != V_NONE && corners.kind != V_BOOL) {
        fault(el, c->arg[4].node, 305, "`align_corners` is true or false");
        fault_throw(el);
    }
    if (corners.kind == V_BOOL && corners.truth && !bilinear) {
        fault(el, c->arg[4].node, 305, "`align_corners` goes with mode = \"bilinear\" only");
        fault_throw(el);
    }
    Size n[2];
    new_sizes(el, c, x, n);
    for (int i = 0; i < 2; i++) x = resized(el, x, 2 + i, n[i], bilinear, corners.kind == V_BOOL && corners.truth);
    return like(c->arg[0].value, x);
}

const Builtin builtins_sample[] = {
    {"cumprod", "x axis", fn_cumprod},
    {"crop", "x top left height width", fn_crop},
    {"interpolate", "x size? scale? mode? align_corners?", fn_interpolate},
    {NULL, NULL, NULL},
};
