/* layout_frame.c -- frames of [n, h, w, c], windows over them, and phases.
 *
 * The transpose of windows with a stride s falls apart into s phases along each axis: element q of x is met by the taps u whose
 * distance u * dilation is q + before modulo s, so each phase is the transpose of windows without a stride, over a part of the
 * taps. */
#include "passes/layout_frame.h"

static Size constant(const Graph *g, int64_t n) {
    return size_const(g->program->sizes, n);
}

Size frame_reach(Size out, int taps, int stride, int dilation) {
    Size one = size_const(out->table, 1);
    return size_add(size_scale(size_sub(out, one), stride), size_const(out->table, (int64_t)(taps - 1) * dilation + 1));
}

/* max(s, 0), without an atom where the sign is known. Windows of one element reach nowhere, however far they lie apart. */
static Size not_negative(Size s) {
    int64_t low, high;
    size_range(s, &low, &high);
    return low >= 0 ? s : high <= 0 || size_at_most_zero(s) ? size_const(s->table, 0) : size_max(s, size_const(s->table, 0));
}

Node *frame(Graph *g, Node *x, const int64_t *from, const Size *n, double fill) {
    Size lo[4], hi[4];
    for (int i = 0; i < 4; i++) {
        bool along = i == 1 || i == 2;
        lo[i] = constant(g, along && from[i - 1] > 0 ? from[i - 1] : 0);
        hi[i] = x->type.dim[i];
        int64_t left, unused;
        size_range(size_sub(hi[i], lo[i]), &unused, &left);
        if (left <= 0) { /* it lies beyond x */
            Type type = x->type;
            type.dim[1] = n[0];
            type.dim[2] = n[1];
            return node_const(g, type, fill);
        }
    }
    x = node_slice(g, x, lo, hi);
    Attrs attrs = {.number = fill};
    bool any = false;
    for (int i = 0; i < 4; i++) {
        bool along = i == 1 || i == 2;
        attrs.lo[i] = constant(g, along && from[i - 1] < 0 ? -from[i - 1] : 0);
        attrs.hi[i] = along ? not_negative(size_sub(n[i - 1], size_add(attrs.lo[i], x->type.dim[i]))) : constant(g, 0);
        any = any || !size_is(attrs.lo[i], 0) || !size_is(attrs.hi[i], 0);
    }
    return any ? graph_add(g, OP_PAD, &attrs, 1, &x) : x;
}

static Node *window(Graph *g, Node *x, int axis, Size out, int taps, int stride, int dilation) {
    Attrs attrs = {
        .axis = axis, .extent = out, .window = {.taps = {taps, 1}, .stride = {stride, 1}, .dilation = {dilation, 1}}};
    return graph_add(g, OP_WINDOW, &attrs, 1, &x);
}

Node *frame_windows(Graph *g, Node *x, const Size *out, const int *taps, const int *stride, const int *dilation) {
    Node *rows = window(g, x, 1, out[0], taps[0], stride[0], dilation[0]);
    return window(g, rows, 3, out[1], taps[1], stride[1], dilation[1]);
}

Node *frame_tap(Graph *g, Node *x, const int64_t *at, const Size *out, const int *stride) {
    Size lo[4], hi[4];
    for (int i = 0; i < 4; i++) {
        bool along = i == 1 || i == 2;
        lo[i] = constant(g, along ? at[i - 1] : 0);
        hi[i] = along ? size_add(lo[i], frame_reach(out[i - 1], 1, stride[i - 1], 1)) : x->type.dim[i];
    }
    x = node_slice(g, x, lo, hi);
    Size dim[4] = {x->type.dim[0], out[0], out[1], x->type.dim[3]};
    for (int i = 0; i < 2; i++) {
        if (stride[i] == 1) continue;
        Size part[4] = {x->type.dim[0], x->type.dim[1], x->type.dim[2], x->type.dim[3]};
        part[1 + i] = dim[1 + i];
        x = node_reshape(g, window(g, x, 1 + i, out[i], 1, stride[i], 1), 4, part);
    }
    return x;
}

/* ---- phases */

static int common_divisor(int a, int b) {
    return b ? common_divisor(b, a % b) : a;
}

Phase phase_of(const Window *w, int axis, int phase) {
    int s = w->stride[axis], d = w->dilation[axis], place = phase + w->before[axis], rest = place % s;
    Phase p = {.every = s / common_divisor(s, d)};
    p.step = d * p.every / s;
    for (p.tap = 0; p.tap < p.every && p.tap * d % s != rest; p.tap++) continue;
    if (p.tap == p.every || p.tap >= w->taps[axis]) return (Phase){0};
    p.taps = (w->taps[axis] - 1 - p.tap) / p.every + 1;
    p.first = (int64_t)(p.tap * d - rest) / s - place / s;
    return p;
}

Node *phases_join(Graph *g, Node **phase, const int *stride, const Size *dim) {
    int n = stride[0] * stride[1];
    Node *x = phase[0];
    Size rows = x->type.dim[1], columns = x->type.dim[2], batch = x->type.dim[0], channels = x->type.dim[3];
    if (n > 1) {
        Node **part = NEW_ARRAY(g->arena, Node *, n);
        for (int i = 0; i < n; i++)
            part[i] = node_reshape(g, phase[i], 5, (Size[]){batch, rows, columns, constant(g, 1), channels});
        x = graph_add(g, OP_CONCAT, &(Attrs){.axis = 3}, n, part);
        x = node_reshape(g, x, 6, (Size[]){batch, rows, columns, constant(g, stride[0]), constant(g, stride[1]), channels});
        x = node_permute(g, x, (int[]){0, 1, 3, 2, 4, 5});
        x = node_reshape(g, x, 4, (Size[]){batch, size_scale(rows, stride[0]), size_scale(columns, stride[1]), channels});
    }
    Size zero = constant(g, 0);
    return node_slice(g, x, (Size[]){zero, zero, zero, zero}, (Size[]){batch, dim[0], dim[1], channels});
}
