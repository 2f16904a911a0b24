/* op_window.c -- windows over two axes: convolutions, the largest of each window, and the view that both become.
 *
 * A convolution ties three tensors together by one sum of products,
 *
 *     y[n, g*O + o, i, j] · x[n, g*C + c, i*stride + u*dilation - before, j*...] · w[g*O + o, c, u, v]
 *
 * (O, C: channels of a group; x is 0 outside). `conv` gives the one that `fn` names from the other two, in the order y, x, w.
 * So the derivative of each form is another form of the same, and a transposed convolution is the form that gives x.
 *
 * The largest of each window is taken in two steps, places and elements: window_argmax says where, window_take takes, and
 * window_put is the transpose of that. `window` is a view: overlapping windows of one axis. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- types --------------------------------------------------------------------------------------------------------------- */

static bool window_ok(Infer *i, const Window *w, int axes) {
    for (int k = 0; k < axes; k++)
        if (w->taps[k] < 1 || w->stride[k] < 1 || w->dilation[k] < 1 || w->before[k] < 0)
            return infer_fail(i, "taps %d, stride %d, dilation %d, before %d", w->taps[k], w->stride[k], w->dilation[k],
                              w->before[k]);
    return true;
}

bool infer_WINDOW(Infer *i) {
    const Type *x = &i->in[0]->type;
    const Window *w = &i->attrs->window;
    int axis = i->attrs->axis;
    if (axis < 0 || axis >= x->rank) return infer_fail(i, "axis %d of rank %d", axis, x->rank);
    if (!window_ok(i, w, 1)) return false;
    if (!i->attrs->extent) return infer_fail(i, "no number of windows");
    i->out = (Type){.dtype = x->dtype, .rank = x->rank + 1};
    for (int k = 0; k < x->rank && k < MAX_RANK - 1; k++) i->out.dim[k < axis ? k : k + 1] = x->dim[k];
    i->out.dim[axis] = i->attrs->extent;
    i->out.dim[axis + 1] = size_const(i->g->program->sizes, w->taps[0]);
    return true;
}

bool infer_CONV(Infer *i) {
    const Window *w = &i->attrs->window;
    Type t[3];
    i->out = type_of(i->in[0]->type.dtype, i->attrs->n_shape, i->attrs->shape);
    if (i->attrs->fn < CONV_Y || i->attrs->fn > CONV_W) return infer_fail(i, "no such form: %d", i->attrs->fn);
    for (int k = 0, next = 0; k < 3; k++) t[k] = k == i->attrs->fn ? i->out : i->in[next++]->type;
    if (!window_ok(i, w, 2)) return false;
    for (int k = 0; k < 3; k++) {
        if (t[k].rank != 4) return infer_fail(i, "%c has rank %d", "yxw"[k], t[k].rank);
        if (t[k].dtype != t[0].dtype || !dtype_is_float(t[k].dtype)) return infer_fail(i, "the types differ, or are not float");
    }
    Size channels, outputs;
    if (w->groups < 1 || !size_divides(t[CONV_X].dim[1], size_const(i->g->program->sizes, w->groups), &channels) ||
        !size_divides(t[CONV_Y].dim[1], size_const(i->g->program->sizes, w->groups), &outputs))
        return infer_fail(i, "%d groups of %s and %s channels", w->groups, size_text(i->g->arena, t[CONV_X].dim[1]),
                          size_text(i->g->arena, t[CONV_Y].dim[1]));
    if (t[CONV_W].dim[0] != t[CONV_Y].dim[1] || t[CONV_W].dim[1] != channels)
        return infer_fail(i, "w is %s for x %s and y %s", type_text(i->g->arena, &t[CONV_W]),
                          type_text(i->g->arena, &t[CONV_X]), type_text(i->g->arena, &t[CONV_Y]));
    if (t[CONV_X].dim[0] != t[CONV_Y].dim[0]) return infer_fail(i, "the batches differ");
    for (int k = 0; k < 2; k++)
        if (!size_is(t[CONV_W].dim[2 + k], w->taps[k]))
            return infer_fail(i, "w is %s, taps are %d and %d", type_text(i->g->arena, &t[CONV_W]), w->taps[0], w->taps[1]);
    return true;
}

/* Are x and a tensor of windows over its last two axes [n, c, ..] with the same n and c? */
static bool leading_agree(Infer *i, const Type *x, const Type *y) {
    bool good = x->rank == 4 && y->rank == 4;
    for (int k = 0; good && k < 2; k++) good = x->dim[k] == y->dim[k];
    return good || infer_fail(i, "%s and %s", type_text(i->g->arena, x), type_text(i->g->arena, y));
}

bool infer_WINDOW_ARGMAX(Infer *i) {
    const Window *w = &i->attrs->window;
    if (!window_ok(i, w, 2)) return false;
    if (i->in[0]->type.dtype == DT_BOOL) return infer_fail(i, "bool");
    i->out = type_of((int64_t)w->taps[0] * w->taps[1] <= 256 ? DT_U8 : DT_I32, i->attrs->n_shape, i->attrs->shape);
    return leading_agree(i, &i->in[0]->type, &i->out);
}

bool infer_WINDOW_TAKE(Infer *i) {
    const Type *place = &i->in[1]->type;
    if (!dtype_is_int(place->dtype)) return infer_fail(i, "places are %s", dtype_name(place->dtype));
    i->out = *place;
    i->out.dtype = i->in[0]->type.dtype;
    return window_ok(i, &i->attrs->window, 2) && leading_agree(i, &i->in[0]->type, place);
}

bool infer_WINDOW_PUT(Infer *i) {
    const Type *v = &i->in[0]->type, *place = &i->in[1]->type;
    i->out = type_of(v->dtype, i->attrs->n_shape, i->attrs->shape);
    if (!dtype_is_int(place->dtype)) return infer_fail(i, "places are %s", dtype_name(place->dtype));
    Type places = *place;
    places.dtype = v->dtype;
    if (!type_equal(v, &places)) return infer_fail(i, "places of another shape");
    return window_ok(i, &i->attrs->window, 2) && leading_agree(i, &i->out, v);
}

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

bool eval_WINDOW(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    const Tensor *x = in[0];
    const Window *w = &n->attrs.window;
    int axis = n->attrs.axis;
    int64_t windows, inner = 1, rows = 1, to = 0;
    if (!eval_size(e, n->attrs.extent, &windows)) return false;
    if (windows < 0 || (windows && (windows - 1) * w->stride[0] + (int64_t)(w->taps[0] - 1) * w->dilation[0] >= x->dim[axis]))
        return eval_fail(e, MDL_RANGE, "%" PRId64 " windows in %" PRId64, windows, x->dim[axis]);
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    for (int k = 0; k < axis; k++) rows *= x->dim[k];
    for (int k = axis + 1; k < x->rank; k++) inner *= x->dim[k];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < windows; i++)
            for (int u = 0; u < w->taps[0]; u++)
                for (int64_t k = 0; k < inner; k++)
                    element_copy(y, to++, x, (r * x->dim[axis] + i * w->stride[0] + (int64_t)u * w->dilation[0]) * inner + k);
    return true;
}

/* Where element u of window i lies on axis k of n places; false: in the padding. */
static bool window_place(const Window *w, int k, int64_t i, int64_t u, int64_t n, int64_t *at) {
    *at = i * w->stride[k] + u * w->dilation[k] - w->before[k];
    return *at >= 0 && *at < n;
}

bool eval_CONV(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    const Window *win = &n->attrs.window;
    Tensor *result = out[0] = eval_new(e, &n->type), *t[3];
    if (!result) return false;
    for (int k = 0, next = 0; k < 3; k++) t[k] = k == n->attrs.fn ? result : in[next++];
    Tensor *y = t[CONV_Y], *x = t[CONV_X], *w = t[CONV_W];
    int64_t outputs = y->dim[1] / win->groups, channels = w->dim[1];
    for (int64_t b = 0; b < y->dim[0]; b++)
        for (int64_t o = 0; o < y->dim[1]; o++)
            for (int64_t i = 0; i < y->dim[2]; i++)
                for (int64_t j = 0; j < y->dim[3]; j++) {
                    double *at_y = &y->f[((b * y->dim[1] + o) * y->dim[2] + i) * y->dim[3] + j];
                    for (int64_t c = 0; c < channels; c++)
                        for (int64_t u = 0; u < w->dim[2]; u++)
                            for (int64_t v = 0; v < w->dim[3]; v++) {
                                int64_t p, q, in_x = o / outputs * channels + c;
                                if (!window_place(win, 0, i, u, x->dim[2], &p) || !window_place(win, 1, j, v, x->dim[3], &q))
                                    continue;
                                double *at_x = &x->f[((b * x->dim[1] + in_x) * x->dim[2] + p) * x->dim[3] + q];
                                double *at_w = &w->f[((o * channels + c) * w->dim[2] + u) * w->dim[3] + v];
                                if (n->attrs.fn == CONV_Y) *at_y += *at_x * *at_w;
                                else if (n->attrs.fn == CONV_X) *at_x += *at_y * *at_w;
                                else *at_w += *at_y * *at_x;
                            }
                }
    for (int64_t k = 0; k < result->count; k++) result->f[k] = eval_round(e, result->dtype, result->f[k]);
    return true;
}

typedef void EachWindow(void *context, int64_t window, int64_t first, const Tensor *x, const Window *w, int64_t i, int64_t j);

/* Calls f for every window: `window` counts them in row-major order; first: where the plane of x begins. */
static void windows_walk(const Tensor *windows, const Tensor *x, const Window *w, EachWindow *f, void *context) {
    int64_t at = 0;
    for (int64_t p = 0; p < windows->dim[0] * windows->dim[1]; p++)
        for (int64_t i = 0; i < windows->dim[2]; i++)
            for (int64_t j = 0; j < windows->dim[3]; j++) f(context, at++, p * x->dim[2] * x->dim[3], x, w, i, j);
}

/* Element `place` of window (i, j) of a plane; false: in the padding, or no place of a window. */
static bool element_place(const Tensor *x, const Window *w, int64_t i, int64_t j, int64_t place, int64_t *at) {
    int64_t p, q;
    if (place < 0 || place >= (int64_t)w->taps[0] * w->taps[1]) return false;
    if (!window_place(w, 0, i, place / w->taps[1], x->dim[2], &p) || !window_place(w, 1, j, place % w->taps[1], x->dim[3], &q))
        return false;
    *at = p * x->dim[3] + q;
    return true;
}

static void argmax_one(void *context, int64_t window, int64_t first, const Tensor *x, const Window *w, int64_t i, int64_t j) {
    Tensor *y = context;
    int64_t best = -1, at;
    for (int64_t place = 0; place < (int64_t)w->taps[0] * w->taps[1]; place++) {
        if (!element_place(x, w, i, j, place, &at)) continue;
        at += first;
        bool wins =
            best < 0 || (x->f ? x->f[at] > x->f[best] || (isnan(x->f[at]) && !isnan(x->f[best])) : x->i[at] > x->i[best]);
        if (!wins) continue;
        best = at;
        y->i[window] = place;
    }
}

bool eval_WINDOW_ARGMAX(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    out[0] = eval_new(e, &n->type);
    if (out[0]) windows_walk(out[0], in[0], &n->attrs.window, argmax_one, out[0]);
    return out[0] != NULL;
}

typedef struct Moving {
    Tensor *y;
    const Tensor *v, *place;
} Moving;

static void take_one(void *context, int64_t window, int64_t first, const Tensor *x, const Window *w, int64_t i, int64_t j) {
    Moving *m = context;
    int64_t at;
    if (element_place(x, w, i, j, m->place->i[window], &at)) element_copy(m->y, window, x, first + at);
}

bool eval_WINDOW_TAKE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    out[0] = eval_new(e, &n->type);
    if (out[0]) windows_walk(in[1], in[0], &n->attrs.window, take_one, &(Moving){out[0], NULL, in[1]});
    return out[0] != NULL;
}

static void put_one(void *context, int64_t window, int64_t first, const Tensor *x, const Window *w, int64_t i, int64_t j) {
    Moving *m = context;
    int64_t at;
    if (!element_place(x, w, i, j, m->place->i[window], &at)) return;
    if (m->y->f) m->y->f[first + at] += m->v->f[window];
    else m->y->i[first + at] = wrap_int(m->y->dtype, (uint64_t)m->y->i[first + at] + (uint64_t)m->v->i[window]);
}

bool eval_WINDOW_PUT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    windows_walk(in[1], y, &n->attrs.window, put_one, &(Moving){y, in[0], in[1]});
    for (int64_t k = 0; y->f && k < y->count; k++) y->f[k] = eval_round(e, y->dtype, y->f[k]);
    return true;
}

/* ---- derivatives --------------------------------------------------------------------------------------------------------- */

void grad_CONV(GradRule *r) {
    const Node *y = r->y;
    for (int k = 0; k < 2; k++) {
        if (!r->want[k]) continue;
        int form = k < y->attrs.fn ? k : k + 1, n = 0; /* which of the three operand k is */
        Node *in[2];
        for (int slot = 0; slot < 3; slot++) {
            if (slot == form) continue;
            in[n++] = slot == y->attrs.fn ? r->dy : y->in[slot < y->attrs.fn ? slot : slot - 1];
        }
        Attrs a = {.fn = form, .window = y->attrs.window, .n_shape = 4};
        memcpy(a.shape, y->in[k]->type.dim, sizeof a.shape);
        r->dx[k] = graph_add(r->g, OP_CONV, &a, 2, in);
    }
}

void grad_WINDOW_TAKE(GradRule *r) {
    const Node *y = r->y;
    Attrs a = {.window = y->attrs.window, .n_shape = y->in[0]->type.rank};
    memcpy(a.shape, y->in[0]->type.dim, sizeof a.shape);
    r->dx[0] = graph_add(r->g, OP_WINDOW_PUT, &a, 2, (Node *[]){r->dy, y->in[1]});
}

void grad_WINDOW_PUT(GradRule *r) {
    const Node *y = r->y;
    r->dx[0] = graph_add(r->g, OP_WINDOW_TAKE, &(Attrs){.window = y->attrs.window}, 2, (Node *[]){r->dy, y->in[1]});
}
