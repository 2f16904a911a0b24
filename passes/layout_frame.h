/* layout_frame.h -- inside pass layout: frames of [n, h, w, c] and windows over them. */
#ifndef PASSES_LAYOUT_FRAME_H
#define PASSES_LAYOUT_FRAME_H
#include "passes/layout.h"

/* Rows and columns from[k] .. from[k] + n[k] - 1 of x along axes 1 and 2; what lies outside x is `fill`. What x has beyond may
 * stay: windows do not reach it. */
Node *frame(Graph *g, Node *x, const int64_t *from, const Size *n, double fill);
/* Element (u, v) of windows x[.., i * stride .., j * stride ..], out[0] by out[1] of them: [n, i, j, c]. at: u, v in elements.
 */
Node *frame_tap(Graph *g, Node *x, const int64_t *at, const Size *out, const int *stride);
/* All elements of the windows: [n, i, u, j, v, ..]. */
Node *frame_windows(Graph *g, Node *x, const Size *out, const int *taps, const int *stride, const int *dilation);
/* (out - 1) * stride + (taps - 1) * dilation + 1: what windows reach over. */
Size frame_reach(Size out, int taps, int stride, int dilation);

/* The elements of x that have a tap in common with those of the other phase q, if windows step by `stride`: element q = stride
 * * t + phase of x is element u of window i where i = t - first - m * step for the taps u = tap + m * every, m in 0..taps-1. */
typedef struct Phase {
    int taps, tap, every; /* taps 0: none */
    int64_t first;        /* may be negative */
    int step;
} Phase;
Phase phase_of(const Window *w, int axis, int phase);
/* Puts [n, t, t', c] of all phases, row by row, together again to the rows and columns dim[0] and dim[1]. */
Node *phases_join(Graph *g, Node **phase, const int *stride, const Size *dim);

#endif
