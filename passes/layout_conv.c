/* layout_conv.c -- the three forms of a convolution as products over windows, channels last.
 *
 *   - y[n i j o] = sum over u v c of X[n i u j v c] w[o c u v], X: the windows of x in its frame of zeros
 *   - w[o c u v] = sum over n i j of y[n i j o] X[n i u j v c]
 *   - x[n q r c] = phase by phase, sum over u v o of Y[n t u t' v o] w[o c -u -v]: windows of y without a stride, taps turned
 *     round; where windows do not overlap, sum over o of y[n i j o] w[o c u v] as [n i u j v c]
 *
 * Groups are one more letter, which all three have. A group of one channel for one output (depthwise) is no product: a sum of
 * maps over the taps, along the channels; of a weight that is to be quantized it becomes that in the pass quantize. An average of more
 * taps than such a sum has, or of the one channel there is, is the sum of each window, times one number. */
#include "passes/layout_frame.h"

#include <string.h>

enum {
    CHANNELS_FEW = 4,     /* of a picture */
    TAPS_MOST = 64,       /* terms of a sum of maps */
    SUMS_FEW = 64 * 1024, /* weights that make a gradient small */
    PARTS_MOST = 4,       /* of rows of a picture */
    ROWS_LEAST = 4        /* of a part */
};

static Size constant(const Graph *g, int64_t n) {
    return size_const(g->program->sizes, n);
}

static Size part_of(const Graph *g, Size whole, int groups) {
    Size part;
    if (!size_divides(whole, constant(g, groups), &part)) bug("%d groups do not divide the channels", groups);
    return part;
}

bool conv_is_depthwise(const Node *w, const Window *win) {
    return win->groups > 1 && size_is(w->type.dim[1], 1) && size_is(w->type.dim[0], win->groups) &&
           win->taps[0] * win->taps[1] <= TAPS_MOST;
}

/* Is w a view of a slot that `quantize` marks? */
static bool is_marked(const Graph *g, const Node *w) {
    while (op_row(w->op)->class == CLASS_VIEW) w = w->in[0];
    return w->op == OP_SLOT && g->program->slots.at[w->attrs.index]->quant.scheme != QUANT_NONE;
}

/* w[o c u v] as [u v g c o]: the weights of y, or [u v g o c]: those of x. */
static Node *weights_by_taps(Graph *g, Node *w, int groups, bool outputs_last) {
    Size dim[5] = {constant(g, groups), part_of(g, w->type.dim[0], groups), w->type.dim[1], w->type.dim[2], w->type.dim[3]};
    Node *x = node_reshape(g, w, 5, dim);
    return node_permute(g, x, outputs_last ? (int[]){3, 4, 0, 2, 1} : (int[]){3, 4, 0, 1, 2});
}

/* Sum over the taps of windows of x, each times w[u v g in out]. A depthwise sum: in = out = 1. */
static Node *correlate(Graph *g, Node *x, Node *w, const Size *out, const int *stride, const int *dilation, bool depthwise) {
    const Size *k = w->type.dim;
    int taps[2] = {(int)size_value(k[0]), (int)size_value(k[1])}, groups = (int)size_value(k[2]);
    if (depthwise && is_marked(g, w))
        return node_contract(g, frame_windows(g, x, out, taps, stride, dilation), node_reshape(g, w, 3, k), "niujvg", "uvg", "nijg");
    if (depthwise) {
        Node *sum = NULL, *all = node_reshape(g, w, 3, (Size[]){k[0], k[1], k[2]});
        for (int u = 0; u < taps[0]; u++)
            for (int v = 0; v < taps[1]; v++) {
                Node *tap = frame_tap(g, x, (int64_t[]){(int64_t)u * dilation[0], (int64_t)v * dilation[1]}, out, stride);
                Node *one = node_slice(g, all, (Size[]){constant(g, u), constant(g, v), constant(g, 0)},
                                       (Size[]){constant(g, u + 1), constant(g, v + 1), k[2]});
                one = node_expand(g, node_reshape(g, one, 1, &k[2]), 4, tap->type.dim);
                Node *term = node_map2(g, OP_MUL, tap, one);
                sum = sum ? node_map2(g, OP_ADD, sum, term) : term;
            }
        return sum;
    }
    if (groups == 1) {
        Node *z = frame_windows(g, x, out, taps, stride, dilation);
        return node_contract(g, z, node_reshape(g, w, 4, (Size[]){k[0], k[1], k[3], k[4]}), "niujvc", "uvco", "nijo");
    }
    x = node_reshape(g, x, 5, (Size[]){x->type.dim[0], x->type.dim[1], x->type.dim[2], k[2], k[3]});
    Node *z = frame_windows(g, x, out, taps, stride, dilation);
    Node *y = node_contract(g, z, w, "niujvgc", "uvgco", "nijgo");
    return node_reshape(g, y, 4, (Size[]){y->type.dim[0], out[0], out[1], size_mul(k[2], k[4])});
}

/* x with the zeros around it that the windows of a convolution meet. */
static Node *framed(Graph *g, Node *x, const Window *win, const Size *out) {
    int64_t from[2];
    Size n[2];
    for (int k = 0; k < 2; k++) {
        from[k] = -win->before[k];
        n[k] = frame_reach(out[k], win->taps[k], win->stride[k], win->dilation[k]);
    }
    return frame(g, x, from, n, 0);
}

/* The same for a product that reads x element by element. The few channels of a picture as it is declared stay where they are: rows
 * are copied into the frame as they lie, not gathered channel by channel. */
static Node *framed_as_declared(Graph *g, Node *x, const Window *win, const Size *out) {
    Node *f = framed(g, x, win, out);
    int64_t channels;
    bool few = size_is_const(x->type.dim[3], &channels) && channels > 1 && channels <= CHANNELS_FEW;
    if (!few || f->op != OP_PAD || f->in[0] != x || x->op != OP_PERMUTE) return f;
    Attrs attrs = f->attrs;
    for (int i = 0; i < 4; i++) {
        attrs.lo[x->attrs.axes[i]] = f->attrs.lo[i];
        attrs.hi[x->attrs.axes[i]] = f->attrs.hi[i];
    }
    return node_permute(g, graph_add(g, OP_PAD, &attrs, 1, x->in), x->attrs.axes);
}

Node *conv_frame(Graph *g, Node *x, const Window *win, const Size *dim) {
    return win->groups == 1 ? framed_as_declared(g, x, win, dim + 2) : framed(g, x, win, dim + 2);
}

/* Is w one number, of channels apart from each other? */
static bool is_average(const Node *w, const Window *win) {
    return w->op == OP_CONST && size_is(w->type.dim[1], 1) && size_is(w->type.dim[0], win->groups) && !conv_is_depthwise(w, win);
}

/* In f32 where the elements are narrower, as products add up. */
static Node *average(Graph *g, Node *frame, double share, const Window *win, const Size *dim) {
    DType dtype = frame->type.dtype;
    bool narrow = dtype_bytes(dtype) < dtype_bytes(DT_F32);
    Node *x = frame_windows(g, frame, dim + 2, win->taps, win->stride, win->dilation);
    Node *y = node_reduce(g, REDUCE_SUM, narrow ? node_cast(g, x, DT_F32) : x, 2, (int[]){2, 4});
    y = node_map2(g, OP_MUL, y, node_const(g, y->type, share));
    return narrow ? node_cast(g, y, dtype) : y;
}

Node *conv_y_framed(Graph *g, Node *frame, Node *w, const Window *win, const Size *dim) {
    if (is_average(w, win)) return average(g, frame, w->attrs.number, win, dim);
    return correlate(g, frame, weights_by_taps(g, w, win->groups, true), dim + 2, win->stride,
                     win->dilation, conv_is_depthwise(w, win));
}

Node *conv_y(Graph *g, Node *x, Node *w, const Window *win, const Size *dim) {
    return conv_y_framed(g, conv_frame(g, x, win, dim), w, win, dim);
}

/* The taps of a phase, turned round: w[u v ..]. */
static Node *phase_weights(Graph *g, Node *w, const Phase *p) {
    for (int k = 0; k < 2; k++) {
        Size lo[5], hi[5], part[5];
        for (int i = 0; i < 5; i++) {
            lo[i] = constant(g, i == k ? p[k].tap : 0);
            hi[i] = i == k ? constant(g, p[k].tap + (int64_t)(p[k].taps - 1) * p[k].every + 1) : w->type.dim[i];
            part[i] = i == k ? constant(g, p[k].taps) : w->type.dim[i];
        }
        w = node_slice(g, w, lo, hi);
        if (p[k].every > 1) {
            Attrs attrs = {.axis = k, .extent = part[k], .window = {{1, 1}, {p[k].every, 1}, {1, 1}, {0, 0}, 0}};
            w = node_reshape(g, graph_add(g, OP_WINDOW, &attrs, 1, &w), 5, part);
        }
        if (p[k].taps > 1) w = graph_add(g, OP_REV, &(Attrs){.axis = k}, 1, &w);
    }
    return w;
}

/* Do windows along both axes lie apart? Those of a single one do. */
static bool lies_apart(const Node *y, const Window *win) {
    bool apart = win->groups == 1;
    for (int k = 0; k < 2; k++)
        apart = apart && win->dilation[k] == 1 && (win->taps[k] <= win->stride[k] || size_is(y->type.dim[1 + k], 1));
    return apart;
}

static Node *conv_x_apart(Graph *g, Node *y, Node *w, const Window *win, const Size *dim) {
    Node *x = node_contract(g, y, node_permute(g, w, (int[]){2, 3, 0, 1}), "nijo", "uvoc", "niujvc");
    const Size *d = x->type.dim;
    Attrs pad = {0};
    Size n[2]; /* places of the windows, one after another */
    bool any = false;
    for (int i = 0; i < 6; i++) pad.lo[i] = pad.hi[i] = constant(g, 0);
    for (int k = 0; k < 2; k++) {
        int wide = win->stride[k] < win->taps[k] ? win->taps[k] : win->stride[k];
        pad.hi[2 * k + 2] = constant(g, wide - win->taps[k]);
        any = any || wide > win->taps[k];
        n[k] = size_scale(d[2 * k + 1], wide);
    }
    if (any) x = graph_add(g, OP_PAD, &pad, 1, &x);
    x = node_reshape(g, x, 4, (Size[]){x->type.dim[0], n[0], n[1], x->type.dim[5]});
    x = frame(g, x, (int64_t[]){win->before[0], win->before[1]}, dim + 2, 0);
    Size zero = constant(g, 0);
    return node_slice(g, x, (Size[]){zero, zero, zero, zero}, (Size[]){dim[0], dim[2], dim[3], dim[1]});
}

Node *conv_x(Graph *g, Node *y, Node *w, const Window *win, const Size *dim) {
    if (lies_apart(y, win)) return conv_x_apart(g, y, w, win, dim);
    Node *taps = weights_by_taps(g, w, win->groups, false), **phase;
    Size n[2]; /* of each phase */
    for (int k = 0; k < 2; k++) n[k] = size_ceildiv(dim[2 + k], constant(g, win->stride[k]));
    phase = NEW_ARRAY(g->arena, Node *, win->stride[0] * win->stride[1]);
    for (int a = 0; a < win->stride[0]; a++)
        for (int b = 0; b < win->stride[1]; b++) {
            Phase p[2] = {phase_of(win, 0, a), phase_of(win, 1, b)};
            Node **at = &phase[a * win->stride[1] + b];
            if (!p[0].taps || !p[1].taps) {
                *at = node_const(g, type_of(y->type.dtype, 4, (Size[]){y->type.dim[0], n[0], n[1], dim[1]}), 0);
                continue;
            }
            int64_t from[2];
            Size reach[2];
            for (int k = 0; k < 2; k++) {
                from[k] = -(p[k].first + (int64_t)(p[k].taps - 1) * p[k].step);
                reach[k] = frame_reach(n[k], p[k].taps, 1, p[k].step);
            }
            *at = correlate(g, frame(g, y, from, reach, 0), phase_weights(g, taps, p), n, (int[]){1, 1},
                            (int[]){p[0].step, p[1].step}, conv_is_depthwise(w, win));
        }
    return phases_join(g, phase, win->stride, dim + 2);
}

/* Tap by tap the sum over windows of y times x: [u v g]. */
static Node *depthwise_w(Graph *g, Node *y, Node *x, const Window *win) {
    int n = win->taps[0] * win->taps[1];
    Node **tap = NEW_ARRAY(g->arena, Node *, n);
    Size channels = y->type.dim[3], one = constant(g, 1);
    for (int i = 0; i < n; i++) {
        int64_t at[2] = {(int64_t)(i / win->taps[1]) * win->dilation[0], (int64_t)(i % win->taps[1]) * win->dilation[1]};
        Node *z = node_map2(g, OP_MUL, frame_tap(g, x, at, y->type.dim + 1, win->stride), y);
        tap[i] = node_reshape(g, node_reduce(g, REDUCE_SUM, z, 3, (int[]){0, 1, 2}), 2, (Size[]){one, channels});
    }
    Node *all = n > 1 ? graph_add(g, OP_CONCAT, &(Attrs){.axis = 0}, n, tap) : tap[0];
    Size dim[4] = {channels, one, constant(g, win->taps[0]), constant(g, win->taps[1])};
    return node_reshape(g, node_permute(g, all, (int[]){1, 0}), 4, dim);
}

/* A small sum over large pictures has little to do in parallel: rows of a picture go in so many parts, added up afterwards. */
static int64_t parts_of_rows(Size rows, Size sums) {
    int64_t n, k;
    if (!size_is_const(rows, &n) || !size_is_const(sums, &k) || k > SUMS_FEW) return 1;
    for (int64_t parts = PARTS_MOST; parts > 1; parts--)
        if (n % parts == 0 && n / parts >= ROWS_LEAST) return parts;
    return 1;
}

Node *conv_w(Graph *g, Node *y, Node *x, const Window *win) {
    const Size *out = y->type.dim + 1;
    Size inputs = part_of(g, x->type.dim[3], win->groups), outputs = part_of(g, y->type.dim[3], win->groups);
    Size u = constant(g, win->taps[0]), v = constant(g, win->taps[1]), groups = constant(g, win->groups);
    x = framed(g, x, win, out);
    if (win->groups > 1 && size_is(inputs, 1) && size_is(outputs, 1) && win->taps[0] * win->taps[1] <= TAPS_MOST)
        return depthwise_w(g, y, x, win);
    if (win->groups == 1) {
        int64_t parts = parts_of_rows(out[0], size_mul(size_mul(inputs, outputs), size_mul(u, v)));
        Node *z = frame_windows(g, x, out, win->taps, win->stride, win->dilation);
        if (parts == 1) return node_permute(g, node_contract(g, y, z, "nijo", "niujvc", "ouvc"), (int[]){0, 3, 1, 2});
        Size some = constant(g, parts), rows = constant(g, size_value(out[0]) / parts);
        y = node_reshape(g, y, 5, (Size[]){y->type.dim[0], some, rows, out[1], outputs});
        z = node_reshape(g, z, 7, (Size[]){y->type.dim[0], some, rows, u, out[1], v, inputs});
        Node *w = node_contract(g, y, z, "nsijo", "nsiujvc", "socuv");
        return node_reduce(g, REDUCE_SUM, w, 1, (int[]){0});
    }
    x = node_reshape(g, x, 5, (Size[]){x->type.dim[0], x->type.dim[1], x->type.dim[2], groups, inputs});
    y = node_reshape(g, y, 5, (Size[]){y->type.dim[0], out[0], out[1], groups, outputs});
    Node *z = frame_windows(g, x, out, win->taps, win->stride, win->dilation);
    Node *w = node_contract(g, y, z, "nijgo", "niujvgc", "gocuv");
    return node_reshape(g, w, 4, (Size[]){size_mul(groups, outputs), inputs, u, v});
}
