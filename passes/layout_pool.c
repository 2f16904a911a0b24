/* layout_pool.c -- the largest of each window as maps over the taps, channels last.
 *
 * Places count row by row. Where windows lie side by side, each element has one window, and putting back is a map over
 * [n, i, u, j, v, c]; else it goes phase by phase, each a sum over the taps that meet it. */
#include "passes/layout_frame.h"

#include <math.h>

static Size constant(const Graph *g, int64_t n) {
    return size_const(g->program->sizes, n);
}

static Node *framed(Graph *g, Node *x, const Window *win, const Size *out, double fill) {
    int64_t from[2];
    Size n[2];
    for (int k = 0; k < 2; k++) {
        from[k] = -win->before[k];
        n[k] = frame_reach(out[k], win->taps[k], win->stride[k], win->dilation[k]);
    }
    return frame(g, x, from, n, fill);
}

static Node *tap(Graph *g, Node *x, const Window *win, const Size *out, int place) {
    int64_t at[2] = {(int64_t)(place / win->taps[1]) * win->dilation[0], (int64_t)(place % win->taps[1]) * win->dilation[1]};
    return frame_tap(g, x, at, out, win->stride);
}

static int taps_of(const Window *win) {
    return win->taps[0] * win->taps[1];
}

Node *window_max(Graph *g, Node *x, const Window *win, const Size *dim) {
    Node *all = framed(g, x, win, dim + 2, -INFINITY), *best = tap(g, all, win, dim + 2, 0);
    for (int i = 1; i < taps_of(win); i++) best = node_map2(g, OP_MAX, best, tap(g, all, win, dim + 2, i));
    return best;
}

/* A later tap wins if it is larger, or the first NaN. */
Node *window_argmax(Graph *g, Node *x, const Window *win, const Size *dim) {
    Node *all = framed(g, x, win, dim + 2, -INFINITY), *best = tap(g, all, win, dim + 2, 0);
    Type type = best->type;
    type.dtype = taps_of(win) <= 256 ? DT_U8 : DT_I32;
    Node *place = node_const(g, type, 0);
    for (int i = 1; i < taps_of(win); i++) {
        Node *one = tap(g, all, win, dim + 2, i);
        Node *not_less = node_map1(g, OP_NOT, node_map2(g, OP_LE, one, best));
        Node *wins = node_map2(g, OP_AND, not_less, node_map2(g, OP_EQ, best, best));
        best = node_map3(g, OP_WHERE, wins, one, best);
        place = node_map3(g, OP_WHERE, wins, node_const(g, type, i), place);
    }
    return place;
}

Node *window_take(Graph *g, Node *x, Node *place, const Window *win) {
    const Size *out = place->type.dim + 1;
    Node *all = framed(g, x, win, out, 0), *y = NULL;
    for (int i = 0; i < taps_of(win); i++) {
        Node *one = tap(g, all, win, out, i), *here = node_map2(g, OP_EQ, place, node_const(g, place->type, i));
        y = node_map3(g, OP_WHERE, here, one, y ? y : node_const(g, one->type, 0));
    }
    return y;
}

/* Windows side by side: element (i, u) of an axis is element u of window i. */
static Node *put_apart(Graph *g, Node *v, Node *place, const Window *win, const Size *dim) {
    const Size *d = v->type.dim;
    Size taps[2] = {constant(g, win->taps[0]), constant(g, win->taps[1])}, one = constant(g, 1);
    Size narrow[6] = {d[0], d[1], one, d[2], one, d[3]}, wide[6] = {d[0], d[1], taps[0], d[2], taps[1], d[3]};
    Type type = type_of(DT_I32, 6, wide);
    Node *u = node_leaf(g, OP_IOTA, &(Attrs){.axis = 2}, type), *w = node_leaf(g, OP_IOTA, &(Attrs){.axis = 4}, type);
    Node *here = node_map2(g, OP_ADD, node_map2(g, OP_MUL, u, node_const(g, type, win->taps[1])), w);
    Node *places = node_cast(g, node_expand(g, node_reshape(g, place, 6, narrow), 6, wide), DT_I32);
    Node *values = node_expand(g, node_reshape(g, v, 6, narrow), 6, wide);
    Node *x = node_map3(g, OP_WHERE, node_map2(g, OP_EQ, places, here), values, node_const(g, values->type, 0));
    x = node_reshape(g, x, 4, (Size[]){d[0], size_mul(d[1], taps[0]), size_mul(d[2], taps[1]), d[3]});
    return frame(g, x, (int64_t[]){win->before[0], win->before[1]}, dim + 2, 0);
}

Node *window_put(Graph *g, Node *v, Node *place, const Window *win, const Size *dim) {
    bool apart = true;
    Size n[2]; /* of each phase */
    for (int k = 0; k < 2; k++) {
        apart = apart && win->stride[k] == win->taps[k] && win->dilation[k] == 1;
        n[k] = size_ceildiv(dim[2 + k], constant(g, win->stride[k]));
    }
    if (apart) {
        Node *x = put_apart(g, v, place, win, dim);
        Size zero = constant(g, 0);
        return node_slice(g, x, (Size[]){zero, zero, zero, zero}, (Size[]){dim[0], dim[2], dim[3], dim[1]});
    }
    Node **phase = NEW_ARRAY(g->arena, Node *, win->stride[0] * win->stride[1]);
    for (int a = 0; a < win->stride[0]; a++)
        for (int b = 0; b < win->stride[1]; b++) {
            Phase p[2] = {phase_of(win, 0, a), phase_of(win, 1, b)};
            Type type = type_of(v->type.dtype, 4, (Size[]){dim[0], n[0], n[1], dim[1]});
            Node *sum = node_const(g, type, 0), *zero = sum;
            int64_t from[2];
            Size reach[2];
            for (int k = 0; k < 2; k++) {
                from[k] = -(p[k].first + (int64_t)(p[k].taps - 1) * p[k].step);
                reach[k] = frame_reach(n[k], p[k].taps, 1, p[k].step);
            }
            for (int i = 0; i < p[0].taps * p[1].taps; i++) {
                int m[2] = {i / p[1].taps, i % p[1].taps}; /* from the last one down: later windows first */
                int64_t at[2];
                for (int k = 0; k < 2; k++) at[k] = (int64_t)(p[k].taps - 1 - m[k]) * p[k].step;
                Node *values = frame_tap(g, frame(g, v, from, reach, 0), at, n, (int[]){1, 1});
                Node *places = frame_tap(g, frame(g, place, from, reach, 0), at, n, (int[]){1, 1});
                int which = (p[0].tap + m[0] * p[0].every) * win->taps[1] + p[1].tap + m[1] * p[1].every;
                Node *here = node_map2(g, OP_EQ, places, node_const(g, places->type, which));
                Node *term = node_map3(g, OP_WHERE, here, values, zero);
                sum = sum == zero ? term : node_map2(g, OP_ADD, sum, term);
            }
            phase[a * win->stride[1] + b] = sum;
        }
    return phases_join(g, phase, win->stride, dim + 2);
}
