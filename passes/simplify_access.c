/* simplify_access.c -- pads that add up to a concat (the gradient of slices), indices that are known, one element a row. */
#include "passes/simplify.h"

#include <string.h>

enum { TERMS_MOST = 16 };

/* ---- pads */

/* The axis along which a pad adds something; -1: several or none. */
static int pad_axis(const Node *n) {
    int axis = -1;
    for (int i = 0; i < n->type.rank; i++) {
        if (size_is(n->attrs.lo[i], 0) && size_is(n->attrs.hi[i], 0)) continue;
        if (axis >= 0) return -1;
        axis = i;
    }
    return axis;
}

static bool collect(Node *n, Node **terms, int *count) {
    if (n->op == OP_ADD) return collect(n->in[0], terms, count) && collect(n->in[1], terms, count);
    if (n->op != OP_PAD || n->attrs.number != 0 || *count == TERMS_MOST) return false;
    terms[(*count)++] = n;
    return true;
}

Node *simplify_pads(Simplify *s, const Node *n, Node **in) {
    Node *terms[TERMS_MOST], *parts[TERMS_MOST];
    int count = 0, done = 0;
    if (!collect(in[0], terms, &count) || !collect(in[1], terms, &count)) return NULL;
    int axis = pad_axis(terms[0]);
    if (axis < 0) return NULL;
    for (int i = 0; i < count; i++)
        if (pad_axis(terms[i]) != axis) return NULL;
    Size at = size_const(s->g->program->sizes, 0);
    while (done < count) { /* the term that begins where the last one ended */
        Node *next = NULL;
        for (int i = 0; i < count && !next; i++)
            if (terms[i] && terms[i]->attrs.lo[axis] == at) {
                next = terms[i];
                terms[i] = NULL;
            }
        if (!next) return NULL;
        at = size_add(at, next->in[0]->type.dim[axis]);
        parts[done++] = next->in[0];
    }
    if (at != n->type.dim[axis]) return NULL;
    return graph_add(s->g, OP_CONCAT, &(Attrs){.axis = axis}, count, parts);
}

/* ---- one element a row */

static bool is_pick(const Node *n) {
    int last = n->type.rank - 1;
    return n->op == OP_GATHER && n->attrs.flag == 1 && n->attrs.axis == last && size_is(n->type.dim[last], 1);
}

/* x is the same along the last axis: an expand of something whose last axis has size 1. Gives that with the other axes
 * stretched. */
static Node *row_value(Simplify *s, Node *x, const Type *shape) {
    Type t = *shape;
    t.dtype = x->type.dtype;
    if (node_is_const(x)) return node_filled(s->g, x, &t);
    if (x->op != OP_EXPAND) return NULL;
    Node *z = x->in[0];
    if (z->type.rank == 0) return node_expand(s->g, z, t.rank, t.dim);
    if (!size_is(z->type.dim[z->type.rank - 1], 1) || size_is(x->type.dim[x->type.rank - 1], 1)) return NULL;
    return node_expand(s->g, z, t.rank, t.dim);
}

/* Does x hold, somewhere in its maps, a value per row? Then the pick is cheaper before the maps. */
static bool behind_rows(const Node *x, int depth) {
    if (op_row(x->op)->class != CLASS_MAP || x->op == OP_RANDOM || depth == 0) return false;
    for (int i = 0; i < x->n_in; i++) {
        const Node *q = x->in[i];
        if (q->op == OP_EXPAND && q->in[0]->type.rank == x->type.rank && size_is(q->in[0]->type.dim[x->type.rank - 1], 1))
            return true;
        if (behind_rows(q, depth - 1)) return true;
    }
    return false;
}

static Node *pick_through(Simplify *s, const Node *n, Node *x, Node *ids) {
    if (!behind_rows(x, 4)) return NULL;
    Node *in[3];
    for (int i = 0; i < x->n_in; i++) {
        in[i] = row_value(s, x->in[i], &n->type);
        if (!in[i]) in[i] = graph_add(s->g, OP_GATHER, &n->attrs, 2, (Node *[]){x->in[i], ids});
    }
    return graph_add(s->g, x->op, &x->attrs, x->n_in, in);
}

/* The gradient of a pick: dy at one place of each row. */
static Node *scatter_one(Simplify *s, const Node *n, Node *v, Node *ids) {
    int last = n->type.rank - 1;
    if (n->attrs.flag != 1 || n->attrs.axis != last || !size_is(v->type.dim[last], 1)) return NULL;
    Type t = n->type;
    t.dtype = ids->type.dtype;
    Node *here = node_leaf(s->g, OP_IOTA, &(Attrs){.axis = last}, t);
    Node *hit = node_map2(s->g, OP_EQ, here, node_expand(s->g, ids, t.rank, t.dim));
    return node_map3(s->g, OP_WHERE, hit, node_expand(s->g, v, n->type.rank, n->type.dim), node_const(s->g, n->type, 0));
}

/* Slices x[0 .. t] taken by a counter. */
static Node *gather_in_order(Simplify *s, const Node *n, Node *x, Node *ids) {
    if (n->attrs.flag != 0 || ids->op != OP_IOTA || ids->type.rank != 1) return NULL;
    int axis = n->attrs.axis;
    int64_t low, high;
    size_range(size_sub(x->type.dim[axis], ids->type.dim[0]), &low, &high);
    if (low < 0) return NULL;
    Size lo[MAX_RANK], hi[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        lo[i] = size_const(s->g->program->sizes, 0);
        hi[i] = i == axis ? ids->type.dim[0] : x->type.dim[i];
    }
    return node_slice(s->g, x, lo, hi);
}

/* Its transpose: the slices of v in order are x's first ones. */
static Node *scatter_in_order(Simplify *s, const Node *n, Node *v, Node *ids) {
    if (n->attrs.flag != 0 || ids->op != OP_IOTA || ids->type.rank != 1) return NULL;
    int axis = n->attrs.axis;
    Size left = size_sub(n->type.dim[axis], ids->type.dim[0]), zero = size_const(s->g->program->sizes, 0);
    int64_t low, high;
    size_range(left, &low, &high);
    if (low < 0) return NULL;
    Attrs attrs = {0};
    for (int i = 0; i < n->type.rank; i++) attrs.lo[i] = attrs.hi[i] = zero;
    attrs.hi[axis] = left;
    return size_is(left, 0) ? v : graph_add(s->g, OP_PAD, &attrs, 1, &v);
}

Node *simplify_access(Simplify *s, const Node *n, Node **in) {
    switch (n->op) {
    case OP_PAD:
        for (int i = 0; i < n->type.rank; i++)
            if (!size_is(n->attrs.lo[i], 0) || !size_is(n->attrs.hi[i], 0)) return NULL;
        return in[0];
    case OP_CONCAT: return n->n_in == 1 ? in[0] : NULL;
    case OP_REV: return size_is(n->type.dim[n->attrs.axis], 1) || node_is_const(in[0]) ? in[0] : NULL;
    case OP_GATHER:
        if (node_is_const(in[0])) return node_filled(s->g, in[0], &n->type);
        return is_pick(n) ? pick_through(s, n, in[0], in[1]) : gather_in_order(s, n, in[0], in[1]);
    case OP_SCATTER_ADD: {
        Node *one = scatter_one(s, n, in[0], in[1]);
        return one ? one : scatter_in_order(s, n, in[0], in[1]);
    }
    default: return NULL;
    }
}
