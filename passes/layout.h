/* layout.h -- inside pass layout: what convolutions and windows become. Tensors here are [n, h, w, c]: channels last. */
#ifndef PASSES_LAYOUT_H
#define PASSES_LAYOUT_H
#include "passes/pass.h"

/* The forms of a convolution from the other two tensors: y and x channels last, w as declared, [o, c / groups, u, v]. dim: the
 * shape of the result as declared. The form for w gives [o, c / groups, u, v]. */
Node *conv_y(Graph *g, Node *x, Node *w, const Window *win, const Size *dim);
Node *conv_x(Graph *g, Node *y, Node *w, const Window *win, const Size *dim);
Node *conv_w(Graph *g, Node *y, Node *x, const Window *win);
/* Is y made as a sum of maps over the taps? */
bool conv_is_depthwise(const Node *w, const Window *win);
/* conv_y in two steps: x in its frame of zeros; the products of that. Of integers too, whose products are i32 of i8. */
Node *conv_frame(Graph *g, Node *x, const Window *win, const Size *dim);
Node *conv_y_framed(Graph *g, Node *frame, Node *w, const Window *win, const Size *dim);

/* The largest of each window, its place, the element at a place, and the transpose of that; dim: as above. */
Node *window_max(Graph *g, Node *x, const Window *win, const Size *dim);
Node *window_argmax(Graph *g, Node *x, const Window *win, const Size *dim);
Node *window_take(Graph *g, Node *x, Node *place, const Window *win);
Node *window_put(Graph *g, Node *v, Node *place, const Window *win, const Size *dim);

#endif
