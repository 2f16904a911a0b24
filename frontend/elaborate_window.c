/* elaborate_window.c -- the intrinsics over windows (INTRINSICS.md 8 and 10): convolutions and pools, in one and two
 * dimensions.
 *
 * One dimension is two with a height of 1: [n, c, t] becomes [n, c, 1, t]. An average is a convolution of each channel by
 * itself with equal weights; the largest is taken in two steps, places and elements (ir/op_window.c). */
#include "frontend/elab.h"

#include <string.h>

/* What is asked for along one axis. */
typedef struct Along {
    int64_t taps, stride, pad, dilation, out_pad;
} Along;

/* ---- arguments */

/* One integer for all axes, or a list of one an axis, each at least `least`. */
static void need_ints(Elab *el, const Arg *a, int axes, int64_t fallback, int64_t least, int64_t *out) {
    Value v = a->value;
    for (int k = 0; k < axes; k++) out[k] = fallback;
    if (v.kind == V_NONE) return;
    bool list = v.kind == V_LIST && v.list->item.n == axes && axes > 1;
    for (int k = 0; k < axes; k++) {
        Value one = list ? v.list->item.at[k] : v;
        if (one.kind != V_INT) {
            fault(el, a->node, 305, "%s must be an integer%s known at compile time", a->name,
                  axes > 1 ? " or a list of two," : "");
            fault_label(el, "this is %s", value_a(el, v));
            fault_throw(el);
        }
        if (one.whole < least || one.whole > 65535) {
            fault(el, a->node, 305, "%s is %lld, and must be in %lld to 65535", a->name, (long long)one.whole,
                  (long long)least);
            fault_throw(el);
        }
        out[k] = one.whole;
    }
}

/* The tensor x as [n, c, h, w]; dims: of the windows, 1 or 2. */
static Node *planes(Elab *el, const Call *c, const Arg *x, int dims) {
    need_float(el, x);
    Node *n = x->value.node;
    if (n->type.rank != dims + 2) {
        fault(el, x->node, 205, "%s of %s must have %d dimensions, but it has %d", x->name, c->fn->name, dims + 2,
              n->type.rank);
        fault_label(el, "this is %s", tensor_text(el, x->value));
        fault_throw(el);
    }
    if (dims == 2) return n;
    Size dim[4] = {n->type.dim[0], n->type.dim[1], emit_size_const(el, 1), n->type.dim[2]};
    return emit_reshape(el, n, 4, dim);
}

/* Back to [n, c, t]. */
static Value without_height(Elab *el, Node *y, int dims, bool policy) {
    Size dim[3] = {y->type.dim[0], y->type.dim[1], y->type.dim[3]};
    return value_tensor(dims == 2 ? y : emit_reshape(el, y, 3, dim), policy);
}

static int dims_of(const Call *c) {
    return c->fn->name[strlen(c->fn->name) - 2] - '0';
}

/* ---- sizes */

/* A number of windows must be positive: known, promised at the call, or an error. */
static void need_positive(Elab *el, const Call *c, Size out) {
    const char *text = arena_printf(el->arena, "%s: the window is larger than its input", c->fn->name);
    if (require_ge(el, out, emit_size_const(el, 1), text)) return;
    fault(el, c->node, 216, "the window is larger than its input");
    fault_fact(el, "input: %s", tensor_text(el, c->arg[0].value));
    fault_throw(el);
}

/* floor((n + 2 * pad - dilation * (taps - 1) - 1) / stride) + 1 */
static Size windows_along(Elab *el, const Call *c, Size n, const Along *a) {
    Size room = size_add(n, emit_size_const(el, 2 * a->pad - a->dilation * (a->taps - 1) - 1));
    Size out = size_add(size_floordiv(room, emit_size_const(el, a->stride)), emit_size_const(el, 1));
    need_positive(el, c, out);
    return out;
}

static Window window_of(const Along *a, int64_t groups) {
    Window w = {.groups = (int)groups};
    for (int k = 0; k < 2; k++) {
        w.taps[k] = (int)a[k].taps;
        w.stride[k] = (int)a[k].stride;
        w.dilation[k] = (int)a[k].dilation;
        w.before[k] = (int)a[k].pad;
    }
    return w;
}

/* The arguments along both axes; in one dimension the first one is trivial. */
static void along_axes(Elab *el, const Call *c, int dims, int stride, int pad, int dilation, int out_pad, Along *a) {
    int64_t v[2];
    a[0] = a[1] = (Along){1, 1, 0, 1, 0};
    Along *first = a + 2 - dims;
    need_ints(el, &c->arg[stride], dims, 1, 1, v);
    for (int k = 0; k < dims; k++) first[k].stride = v[k];
    need_ints(el, &c->arg[pad], dims, 0, 0, v);
    for (int k = 0; k < dims; k++) first[k].pad = v[k];
    if (dilation >= 0) need_ints(el, &c->arg[dilation], dims, 1, 1, v);
    for (int k = 0; k < dims && dilation >= 0; k++) first[k].dilation = v[k];
    if (out_pad >= 0) need_ints(el, &c->arg[out_pad], dims, 0, 0, v);
    for (int k = 0; k < dims && out_pad >= 0; k++) first[k].out_pad = v[k];
}

/* ---- convolutions */

static void static_kernel(Elab *el, const Arg *w, const Node *k, Along *a) {
    for (int i = 0; i < 2; i++) {
        if (size_is_const(k->type.dim[2 + i], &a[i].taps) && a[i].taps >= 1 && a[i].taps <= 65535) continue;
        fault(el, w->node, 305, "the size of a kernel must be known at compile time");
        fault_label(el, "this is %s", tensor_text(el, w->value));
        fault_throw(el);
    }
}

static void misfit(Elab *el, const Call *c, const char *why) __attribute__((noreturn));
static void misfit(Elab *el, const Call *c, const char *why) {
    fault(el, c->node, 301, "shapes do not fit %s", c->fn->name);
    fault_fact(el, "x: %s", tensor_text(el, c->arg[0].value));
    fault_fact(el, "w: %s", tensor_text(el, c->arg[1].value));
    fault_fact(el, "%s", why);
    fault_throw(el);
}

static Value fn_conv(Elab *el, Call *c) {
    int dims = dims_of(c);
    Node *x = planes(el, c, &c->arg[0], dims), *w = planes(el, c, &c->arg[1], dims);
    Value both[] = {c->arg[0].value, c->arg[1].value};
    Common t = common_type(el, c->node, 2, both, (const Ast *[]){c->arg[0].node, c->arg[1].node});
    Along a[2];
    along_axes(el, c, dims, 2, 3, 4, -1, a);
    static_kernel(el, &c->arg[1], w, a);
    int64_t groups;
    need_ints(el, &c->arg[5], 1, 1, 1, &groups);
    Size each, outputs;
    if (!size_divides(x->type.dim[1], emit_size_const(el, groups), &each) || each != w->type.dim[1])
        misfit(el, c,
               arena_printf(el->arena, "the second dimension of w must be the channels of x%s",
                            groups > 1 ? arena_printf(el->arena, " / %lld groups", (long long)groups) : ""));
    if (!size_divides(w->type.dim[0], emit_size_const(el, groups), &outputs))
        misfit(el, c, arena_printf(el->arena, "%lld groups do not divide the first dimension of w", (long long)groups));
    Attrs attrs = {.fn = CONV_Y, .window = window_of(a, groups), .n_shape = 4, .shape = {x->type.dim[0], w->type.dim[0]}};
    for (int k = 0; k < 2; k++) attrs.shape[2 + k] = windows_along(el, c, x->type.dim[2 + k], &a[k]);
    Node *y = emit(el, OP_CONV, &attrs, 2, (Node *[]){emit_cast(el, x, t.dtype), emit_cast(el, w, t.dtype)});
    return without_height(el, y, dims, t.policy);
}

/* The form of a convolution that gives x. */
static Value fn_conv_transpose(Elab *el, Call *c) {
    int dims = dims_of(c);
    Node *x = planes(el, c, &c->arg[0], dims), *w = planes(el, c, &c->arg[1], dims);
    Value both[] = {c->arg[0].value, c->arg[1].value};
    Common t = common_type(el, c->node, 2, both, (const Ast *[]){c->arg[0].node, c->arg[1].node});
    Along a[2];
    along_axes(el, c, dims, 2, 3, -1, 4, a);
    static_kernel(el, &c->arg[1], w, a);
    if (x->type.dim[1] != w->type.dim[0]) misfit(el, c, "the first dimension of w must be the channels of x");
    Attrs attrs = {.fn = CONV_X, .window = window_of(a, 1), .n_shape = 4, .shape = {x->type.dim[0], w->type.dim[1]}};
    for (int k = 0; k < 2; k++) {
        if (a[k].out_pad >= a[k].stride) {
            fault(el, c->arg[4].node, 305, "out_pad is %lld, and must be below the stride, %lld", (long long)a[k].out_pad,
                  (long long)a[k].stride);
            fault_throw(el);
        }
        Size steps = size_scale(size_sub(x->type.dim[2 + k], emit_size_const(el, 1)), a[k].stride);
        attrs.shape[2 + k] = size_add(steps, emit_size_const(el, a[k].taps - 2 * a[k].pad + a[k].out_pad));
        need_positive(el, c, attrs.shape[2 + k]);
    }
    Node *y = emit(el, OP_CONV, &attrs, 2, (Node *[]){emit_cast(el, x, t.dtype), emit_cast(el, w, t.dtype)});
    return without_height(el, y, dims, t.policy);
}

/* ---- pools */

/* x as planes, the windows over it and the shape of the result. */
static Node *pool(Elab *el, Call *c, Attrs *attrs) {
    int dims = dims_of(c);
    Node *x = planes(el, c, &c->arg[0], dims);
    Along a[2];
    int64_t size[2];
    need_ints(el, &c->arg[1], dims, 1, 1, size);
    along_axes(el, c, dims, 2, 3, -1, -1, a);
    *attrs = (Attrs){.n_shape = 4, .shape = {x->type.dim[0], x->type.dim[1]}};
    for (int k = 0; k < 2; k++) {
        int axis = k - (2 - dims);
        if (axis >= 0) a[k].taps = size[axis];
        if (axis >= 0 && c->arg[2].value.kind == V_NONE) a[k].stride = size[axis];
        if (a[k].pad > a[k].taps / 2) {
            fault(el, c->arg[3].node, 305, "pad is %lld, and must be at most half of the window, %lld", (long long)a[k].pad,
                  (long long)a[k].taps);
            fault_throw(el);
        }
        attrs->shape[2 + k] = windows_along(el, c, x->type.dim[2 + k], &a[k]);
    }
    attrs->window = window_of(a, 1);
    return x;
}

static Value fn_max_pool(Elab *el, Call *c) {
    Attrs attrs;
    Node *x = pool(el, c, &attrs), *place = emit(el, OP_WINDOW_ARGMAX, &attrs, 1, &x);
    Node *y = emit(el, OP_WINDOW_TAKE, &(Attrs){.window = attrs.window}, 2, (Node *[]){x, place});
    return without_height(el, y, dims_of(c), c->arg[0].value.policy);
}

static Value fn_avg_pool(Elab *el, Call *c) {
    Attrs attrs;
    Node *x = pool(el, c, &attrs);
    Type shape = x->type;
    int64_t channels;
    Size one = emit_size_const(el, 1);
    if (size_is_const(x->type.dim[1], &channels) && channels >= 1 && channels <= INT32_MAX) {
        attrs.window.groups = (int)channels;
    } else { /* each channel as a sample of its own */
        shape.dim[0] = attrs.shape[0] = size_mul(shape.dim[0], shape.dim[1]);
        shape.dim[1] = attrs.shape[1] = one;
    }
    double share = 1.0 / ((double)attrs.window.taps[0] * attrs.window.taps[1]);
    Type weights = {.dtype = x->type.dtype, .rank = 4, .dim = {attrs.shape[1], one}};
    for (int k = 0; k < 2; k++) weights.dim[2 + k] = emit_size_const(el, attrs.window.taps[k]);
    Node *y = emit(el, OP_CONV, &attrs, 2, (Node *[]){emit_reshape(el, x, 4, shape.dim), emit_const(el, weights, share)});
    Size dim[4] = {x->type.dim[0], x->type.dim[1], y->type.dim[2], y->type.dim[3]};
    return without_height(el, emit_reshape(el, y, 4, dim), dims_of(c), c->arg[0].value.policy);
}

const Builtin builtins_window[] = {
    {"conv1d", "x w stride? pad? dilation? groups?", fn_conv},
    {"conv2d", "x w stride? pad? dilation? groups?", fn_conv},
    {"conv_transpose1d", "x w stride? pad? out_pad?", fn_conv_transpose},
    {"conv_transpose2d", "x w stride? pad? out_pad?", fn_conv_transpose},
    {"max_pool1d", "x size stride? pad?", fn_max_pool},
    {"max_pool2d", "x size stride? pad?", fn_max_pool},
    {"avg_pool1d", "x size stride? pad?", fn_avg_pool},
    {"avg_pool2d", "x size stride? pad?", fn_avg_pool},
    {NULL, NULL, NULL},
};
