/* fuse_parts.c -- maps of equal slices of a product's last axis: gates.
 *
 *   z = h u + b    i, f, g, o = slices of z    c' = sigmoid(f) c + sigmoid(i) tanh(g)    →  one kernel: %c ; part
 *
 * Such a map has one value for an element of a slice. It joins the product, whose schedule has the sums of all slices at hand when it comes
 * to the maps behind them. */
#include "passes/fuse.h"

#include <string.h>

enum { PART_LEAST = 8 }; /* elements of a slice */

static bool is_convolution(const Node *operand) {
    for (; node_is_view(operand); operand = operand->in[0])
        if (operand->op == OP_WINDOW) return true;
    return false;
}

/* Floats as they are written, the last axis is one of one operand, and nothing else shapes the loops: no windows (Winograd), no values that are
 * made on the way. */
static bool has_parts(Planner *p, const Group *c) {
    const Node *y = c->anchor;
    if (p->options->device || y->type.rank == 0 || (y->type.dtype != DT_F32 && y->type.dtype != DT_F64)) return false;
    char last = y->attrs.labels[2][y->type.rank - 1];
    if (strchr(y->attrs.labels[0], last) && strchr(y->attrs.labels[1], last)) return false;
    for (int k = 0; k < 2; k++) {
        const Node *base = plan_base(y->in[k]);
        if (is_convolution(y->in[k]) || (node_is_computed(base) && !p->home[base->id])) return false;
    }
    return y->in[0]->type.dtype == y->type.dtype;
}

/* Into how many equal slices x cuts the last axis of its operand; 0: it is no such slice. */
static int slices_of(const Node *x) {
    int64_t all, part;
    int last = x->type.rank - 1;
    if (x->op != OP_SLICE || last < 0) return 0;
    if (!size_is_const(x->in[0]->type.dim[last], &all) || !size_is_const(x->type.dim[last], &part)) return 0;
    if (part < PART_LEAST || all % part || all / part < 2 || all / part > SLICES_MOST) return 0;
    return plan_part(x, (int)(all / part)) >= 0 ? (int)(all / part) : 0;
}

int fuse_parts(Planner *p, const Group *c, const Node *n) {
    int parts = c->parts;
    if (c->kind != KERNEL_CONTRACT || n->op == OP_RANDOM || op_row(n->op)->class != CLASS_MAP || n->type.rank == 0) return 0;
    for (int k = 0; k < n->n_in; k++) {
        Edge e = edge_of(n->in[k]);
        if (p->home[e.base->id] != c) continue;
        if (p->level[e.base->id] == LEVEL_PART && e.kind == EDGE_SAME) continue;
        int slices = p->level[e.base->id] == LEVEL_FULL && n->in[k]->n_in && n->in[k]->in[0] == e.base ? slices_of(n->in[k]) : 0;
        if (!slices || (parts && slices != parts) || !plan_same_shape(&e.base->type, &c->anchor->type)) return 0;
        parts = slices;
    }
    if (!parts || size_scale(type_count(p->g, &n->type), parts) != c->count) return 0;
    return c->parts || has_parts(p, c) ? parts : 0;
}
