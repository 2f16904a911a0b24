/* layout.c -- convolutions and windows become products and maps over tensors with their channels last.
 *
 * Requires: no GRAD.  Ensures: no CONV, no WINDOW_ARGMAX, WINDOW_TAKE, WINDOW_PUT.
 *   %y: f32[n, o, i, j] = conv y %x, %w
 *   →   %t: f32[n, h, w, c] = permute %x [0, 2, 3, 1]
 *       %z: f32[n, i, j, o] = contract (windows of the padded %t)[n i u j v c], %w[o c u v] -> [n i j o]
 *       %y: f32[n, o, i, j] = permute %z [0, 3, 1, 2]
 *
 * With the channels innermost, the elements of a window that belong to one row of the kernel lie side by side, the products run
 * along the outputs by whole vectors, and a step to the next window is a constant in an address. So the maps, reductions, pads
 * and concats behind a convolution are done in that order, too, and the permutes between them vanish: each value has one of two
 * forms, as declared or channels last, or both, made when somebody asks. A map with an operand whose natural form is channels
 * last follows it. What each op becomes stands in layout_conv.c and layout_pool.c. */
#include "passes/layout.h"

#include <string.h>

typedef struct Layout {
    Rewrite r;
    Node **last;   /* by id of the old graph: the value channels last; NULL: not made so far (r.map: as declared) */
    bool *natural; /* it was computed channels last */
} Layout;

static const int TO_LAST[4] = {0, 2, 3, 1}, FROM_LAST[4] = {0, 3, 1, 2}; /* axes: by place in the result, the place before */

static Node *declared(Layout *l, const Node *n) {
    Node **at = &l->r.map[n->id];
    if (!*at) *at = node_permute(l->r.to, l->last[n->id], FROM_LAST);
    return *at;
}

static Node *channels_last(Layout *l, const Node *n) {
    Node **at = &l->last[n->id];
    if (!*at) *at = node_permute(l->r.to, l->r.map[n->id], TO_LAST);
    return *at;
}

static void set_last(Layout *l, const Node *n, Node *value) {
    if (!value->name) value->name = n->name;
    l->last[n->id] = value;
    l->natural[n->id] = true;
}

/* ---- ops that follow their operands */

static void follow_map(Layout *l, const Node *n, const Attrs *attrs) {
    Node **in = NEW_ARRAY(l->r.c->scratch, Node *, n->n_in);
    for (int k = 0; k < n->n_in; k++) in[k] = channels_last(l, n->in[k]);
    set_last(l, n, graph_add(l->r.to, n->op, attrs, n->n_in, in));
}

static void follow_ranges(Layout *l, const Node *n) {
    Attrs attrs = n->attrs;
    for (int i = 0; i < 4; i++) {
        attrs.lo[i] = n->attrs.lo[TO_LAST[i]];
        attrs.hi[i] = n->attrs.hi[TO_LAST[i]];
    }
    follow_map(l, n, &attrs);
}

/* What is left of the axes keeps the order that it has channels last; a small permute puts it back. */
static void follow_reduce(Layout *l, const Node *n) {
    int axes[4], left[4], order[4], n_left = 0;
    bool gone[4] = {false};
    for (int k = 0; k < n->attrs.n_axes; k++) {
        gone[n->attrs.axes[k]] = true;
        axes[k] = FROM_LAST[n->attrs.axes[k]];
    }
    for (int i = 0; i < 4; i++)
        if (!gone[TO_LAST[i]]) left[n_left++] = TO_LAST[i];
    for (int i = 0, next = 0; i < 4; i++) /* order[i]: where the i-th axis left stands in `left` */
        for (int k = 0; k < n_left; k++)
            if (left[k] == i) order[next++] = k;
    Node *y = node_reduce(l->r.to, (ReduceFn)n->attrs.fn, channels_last(l, n->in[0]), n->attrs.n_axes, axes);
    l->r.map[n->id] = node_permute(l->r.to, y, order);
    if (!l->r.map[n->id]->name) l->r.map[n->id]->name = n->name;
}

/* Does n follow an operand that is channels last? */
static bool follows(const Layout *l, const Node *n) {
    bool natural = false, ranks = n->op == OP_REDUCE || n->type.rank == 4;
    OpClass class = op_row(n->op)->class;
    bool can = (class == CLASS_MAP && n->op != OP_RANDOM) || n->op == OP_REDUCE || n->op == OP_PAD || n->op == OP_SLICE ||
               n->op == OP_CONCAT;
    for (int k = 0; k < n->n_in; k++) {
        natural = natural || l->natural[n->in[k]->id];
        ranks = ranks && n->in[k]->type.rank == 4;
    }
    return can && ranks && natural;
}

static void follow(Layout *l, const Node *n) {
    Attrs attrs = n->attrs;
    switch (n->op) {
    case OP_REDUCE: follow_reduce(l, n); break;
    case OP_PAD:
    case OP_SLICE: follow_ranges(l, n); break;
    case OP_CONCAT:
        attrs.axis = FROM_LAST[n->attrs.axis];
        follow_map(l, n, &attrs);
        break;
    default: follow_map(l, n, &attrs);
    }
}

/* ---- convolutions and windows */

static void convolution(Layout *l, const Node *n) {
    Graph *g = l->r.to;
    const Window *w = &n->attrs.window;
    switch ((ConvSlot)n->attrs.fn) {
    case CONV_Y: set_last(l, n, conv_y(g, channels_last(l, n->in[0]), declared(l, n->in[1]), w, n->type.dim)); break;
    case CONV_X: set_last(l, n, conv_x(g, channels_last(l, n->in[0]), declared(l, n->in[1]), w, n->type.dim)); break;
    case CONV_W:
        l->r.map[n->id] = conv_w(g, channels_last(l, n->in[0]), channels_last(l, n->in[1]), w);
        if (!l->r.map[n->id]->name) l->r.map[n->id]->name = n->name;
        break;
    }
}

static void take(Layout *l, const Node *n) {
    const Node *x = n->in[0], *place = n->in[1];
    bool largest =
        place->op == OP_WINDOW_ARGMAX && place->in[0] == x && !memcmp(&place->attrs.window, &n->attrs.window, sizeof(Window));
    Node *in = channels_last(l, x);
    set_last(l, n,
             largest ? window_max(l->r.to, in, &n->attrs.window, n->type.dim)
                     : window_take(l->r.to, in, channels_last(l, place), &n->attrs.window));
}

Graph *pass_layout(PassContext *c, const Graph *g) {
    Layout l = {.r = rewrite_begin(c, g)};
    l.last = NEW_ARRAY(c->scratch, Node *, g->nodes.n);
    l.natural = NEW_ARRAY(c->scratch, bool, g->nodes.n);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!l.r.live[i]) continue;
        rewrite_at(l.r.to, n);
        switch (n->op) {
        case OP_CONV: convolution(&l, n); break;
        case OP_WINDOW_ARGMAX:
            set_last(&l, n, window_argmax(l.r.to, channels_last(&l, n->in[0]), &n->attrs.window, n->type.dim));
            break;
        case OP_WINDOW_TAKE: take(&l, n); break;
        case OP_WINDOW_PUT:
            set_last(
                &l, n,
                window_put(l.r.to, channels_last(&l, n->in[0]), channels_last(&l, n->in[1]), &n->attrs.window, n->type.dim));
            break;
        default:
            if (follows(&l, n)) {
                follow(&l, n);
                break;
            }
            for (int k = 0; k < n->n_in; k++) declared(&l, n->in[k]);
            l.r.map[i] = rewrite_copy(&l.r, n);
        }
    }
    for (int i = 0; i < g->results.n; i++) declared(&l, g->results.at[i].value);
    for (int i = 0; i < g->effects.n; i++)
        if (g->effects.at[i].value) declared(&l, g->effects.at[i].value);
    return rewrite_end(&l.r);
}
