/* grad.h -- what the gradient of a loop (grad_scan.c) and the reverse sweep (grad.c) need of each other. */
#ifndef PASSES_GRAD_H
#define PASSES_GRAD_H
#include "passes/pass.h"

/* By id of the nodes that g has now: is its derivative by one of xs possibly not zero? Scratch memory. */
bool *grad_depends(PassContext *c, const Graph *g, int n_xs, Node *const *xs);

/* One reverse sweep over g: out[i] is the gradient by xs[i] of what has gradient dys[k] at ys[k]; NULL: none flows there. */
void grad_sweep(PassContext *c, Graph *g, int n_ys, Node *const *ys, Node *const *dys, int n_xs, Node *const *xs, Node **out);

/* The gradients of the operands of a scan. dys[k]: that of result k, or NULL; want[i]: operand i needs one; dx[i]: out, stays NULL
 * where none flows. The scan gets more ys, in place. A loop that cannot be turned round is an error at its place. */
void grad_scan(PassContext *c, Node *scan, Node *const *dys, const bool *want, Node **dx);

#endif
