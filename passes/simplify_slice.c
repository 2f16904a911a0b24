/* simplify_slice.c -- slices, moved towards leaves past whatever nobody else reads: only what is used is computed.
 *
 *   slice (mul %x, %y)       →  mul (slice %x), (slice %y)
 *   slice (contract %a, %b)  →  contract (slice %a), (slice %b)       the logits of the last token alone
 *   a, b = slices of (add %memory, %bias)   →  a = add (slice %memory), (slice %bias) ..     nobody wants the whole
 * Several equal slices of a value become one by sharing, and then it is the only reader: norms and residuals follow in later
 * rounds, up to a value that somebody wants whole. */
#include "passes/simplify.h"

#include <string.h>

enum { MAPS_MOST = 8 }; /* that several slices do, each for its part */

typedef struct Cut { /* of a value in as many axes: lo <= index < hi */
    Size lo[MAX_RANK], hi[MAX_RANK];
} Cut;

static Node *cut(Simplify *s, const Node *old, Node *x, const Cut *c);

static Cut cut_nothing(const Simplify *s, const Type *t) {
    Cut c;
    for (int i = 0; i < t->rank; i++) {
        c.lo[i] = size_const(s->g->program->sizes, 0);
        c.hi[i] = t->dim[i];
    }
    return c;
}

/* Of a shape, what the cut leaves. */
static Type cut_type(const Type *t, const Cut *c) {
    Type left = *t;
    for (int i = 0; i < t->rank; i++) left.dim[i] = size_sub(c->hi[i], c->lo[i]);
    return left;
}

static Node *cut_reduce(Simplify *s, const Node *old, Node *x, const Cut *c) {
    Cut in = cut_nothing(s, &x->in[0]->type);
    for (int i = 0, k = 0; i < x->in[0]->type.rank; i++) {
        bool reduced = false;
        for (int a = 0; a < x->attrs.n_axes; a++) reduced = reduced || x->attrs.axes[a] == i;
        if (reduced) continue;
        in.lo[i] = c->lo[k];
        in.hi[i] = c->hi[k++];
    }
    return node_reduce(s->g, x->attrs.fn, cut(s, old->in[0], x->in[0], &in), x->attrs.n_axes, x->attrs.axes);
}

static Node *cut_contract(Simplify *s, const Node *old, Node *x, const Cut *c) {
    const char *result = x->attrs.labels[2];
    Node *operand[2];
    for (int side = 0; side < 2; side++) {
        Cut in = cut_nothing(s, &x->in[side]->type);
        for (int i = 0; i < x->in[side]->type.rank; i++) {
            const char *place = strchr(result, x->attrs.labels[side][i]);
            if (!place) continue;
            in.lo[i] = c->lo[place - result];
            in.hi[i] = c->hi[place - result];
        }
        operand[side] = cut(s, old->in[side], x->in[side], &in);
    }
    return node_contract(s->g, operand[0], operand[1], x->attrs.labels[0], x->attrs.labels[1], result);
}

static Node *cut_permute(Simplify *s, const Node *old, Node *x, const Cut *c) {
    Cut in;
    for (int i = 0; i < x->type.rank; i++) {
        in.lo[x->attrs.axes[i]] = c->lo[i];
        in.hi[x->attrs.axes[i]] = c->hi[i];
    }
    return node_permute(s->g, cut(s, old->in[0], x->in[0], &in), x->attrs.axes);
}

static Node *cut_expand(Simplify *s, const Node *old, Node *x, const Cut *c) {
    const Type *from = &x->in[0]->type;
    int more = x->type.rank - from->rank;
    Cut in = cut_nothing(s, from);
    for (int i = 0; i < from->rank; i++) {
        if (from->dim[i] != x->type.dim[more + i]) continue;
        in.lo[i] = c->lo[more + i];
        in.hi[i] = c->hi[more + i];
    }
    Type left = cut_type(&x->type, c);
    return node_expand(s->g, cut(s, old->in[0], x->in[0], &in), left.rank, left.dim);
}

/* The one axis from `begin` on, before `end`, that is not of size 1; -1: none or several. */
static int only_axis(const Type *t, int begin, int end) {
    int axis = -1;
    for (int i = begin; i < end; i++) {
        if (size_is(t->dim[i], 1)) continue;
        if (axis >= 0) return -1;
        axis = i;
    }
    return axis;
}

/* NULL: an axis that is cut was made of several, or a part of one. */
static Node *cut_reshape(Simplify *s, const Node *old, Node *x, const Cut *c) {
    const Type *from = &x->in[0]->type;
    ReshapeGroups g;
    if (!reshape_groups(x, &g)) return NULL;
    Cut in = cut_nothing(s, from);
    for (int k = 0; k < g.n; k++) {
        for (int i = g.to[k]; i < g.to[k + 1]; i++) {
            if (size_is(c->lo[i], 0) && c->hi[i] == x->type.dim[i]) continue;
            int axis = only_axis(from, g.from[k], g.from[k + 1]);
            if (axis < 0 || only_axis(&x->type, g.to[k], g.to[k + 1]) != i) return NULL;
            in.lo[axis] = c->lo[i];
            in.hi[axis] = c->hi[i];
        }
    }
    Type left = cut_type(&x->type, c);
    return node_reshape(s->g, cut(s, old->in[0], x->in[0], &in), left.rank, left.dim);
}

static Node *cut_map(Simplify *s, const Node *old, Node *x, const Cut *c) {
    Node *in[3];
    for (int i = 0; i < x->n_in; i++) {
        Type left = cut_type(&x->in[i]->type, c);
        in[i] = node_is_const(x->in[i]) ? node_filled(s->g, x->in[i], &left) : cut(s, old->in[i], x->in[i], c);
    }
    return graph_add(s->g, x->op, &x->attrs, x->n_in, in);
}

/* A few maps of what lies in memory, which nothing but slices reads: each of those reads its own part. */
static bool is_read_in_parts(const Simplify *s, const Node *n, int *budget) {
    OpClass class = op_row(n->op)->class;
    if (class == CLASS_VIEW) return is_read_in_parts(s, n->in[0], budget);
    if (class == CLASS_LEAF) return true;
    if (class != CLASS_MAP || n->op == OP_RANDOM || --*budget < 0) return false;
    for (int i = 0; i < n->n_in; i++) {
        const Node *q = n->in[i];
        if (op_row(q->op)->class == CLASS_MAP && s->r->uses[q->id] != 1) return false;
        if (!is_read_in_parts(s, q, budget)) return false;
    }
    return true;
}

static bool may_cut(const Simplify *s, const Node *old) {
    int budget = MAPS_MOST;
    return s->r->uses[old->id] == 1 || (s->r->uses[old->id] == s->slices[old->id] && is_read_in_parts(s, old, &budget));
}

/* The cut of x made from cuts of its operands; old: x in the graph before. NULL: it must be cut itself. */
static Node *cut_operands(Simplify *s, const Node *old, Node *x, const Cut *c) {
    if (!may_cut(s, old) || old->op != x->op || old->n_in != x->n_in) return NULL;
    switch (x->op) {
    case OP_REDUCE: return cut_reduce(s, old, x, c);
    case OP_CONTRACT: return cut_contract(s, old, x, c);
    case OP_PERMUTE: return cut_permute(s, old, x, c);
    case OP_EXPAND: return cut_expand(s, old, x, c);
    case OP_RESHAPE: return cut_reshape(s, old, x, c);
    default: return op_row(x->op)->class == CLASS_MAP && x->op != OP_RANDOM ? cut_map(s, old, x, c) : NULL;
    }
}

static void stand_for(Node *made, const Node *x) {
    made->loc = x->loc;
    made->path = x->path;
    made->name = x->name;
    made->recompute = x->recompute;
}

static Node *cut(Simplify *s, const Node *old, Node *x, const Cut *c) {
    bool whole = true;
    for (int i = 0; i < x->type.rank; i++) whole = whole && size_is(c->lo[i], 0) && c->hi[i] == x->type.dim[i];
    if (whole) return x;
    Node *made = cut_operands(s, old, x, c);
    if (!made) return node_slice(s->g, x, c->lo, c->hi);
    stand_for(made, x);
    return made;
}

Node *simplify_slice(Simplify *s, const Node *n, Node *x) {
    Cut c;
    memcpy(c.lo, n->attrs.lo, sizeof c.lo);
    memcpy(c.hi, n->attrs.hi, sizeof c.hi);
    Node *made = cut_operands(s, n->in[0], x, &c);
    if (made) stand_for(made, x);
    return made;
}
