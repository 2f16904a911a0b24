/* plan_limit.c -- scores of keys that no query sees: three kernels that need not go there.
 *
 *   kernel a  %z = where (ge (add iota(i), %pos), iota(j)), %s, -inf      j < rows + pos, or -inf
 *   kernel b  %p = exp (%z - max %z) / sum ..                             0 where %z is -inf
 *   kernel c  %y = contract %p, %v over j                                 adds nothing there
 *
 * With a cache of 1,024 keys of which 256 are filled, that is a quarter of the work. Nobody else may read %z and %p: what lies
 * beyond stays undefined. (0 times a value that is infinite or NaN would be NaN; a cache holds no values that nobody wrote.) */
#include "passes/fuse.h"

#include <math.h>
#include <string.h>

typedef enum { FILL_UNKNOWN, FILL_LOW, FILL_ZERO } Fill; /* elements beyond the limit: -inf, 0 */

typedef struct Limits {
    Planner *p;
    const bool *stored;
    const Group *g;    /* whose nodes are looked at */
    const Node *known; /* a stored value that is -inf beyond the limit, or NULL: looked for */
    Limit limit;       /* what was found */
} Limits;

static bool is_low(const Node *n) {
    return n->op == OP_CONST && dtype_is_float(n->type.dtype) && n->attrs.number == -INFINITY;
}

static bool is_zero(const Node *n) {
    return n->op == OP_CONST && n->attrs.number == 0;
}

bool mask_is_causal(const Node *mask, Causal *c) {
    if (mask->op == OP_AND) return mask_is_causal(mask->in[0], c) || mask_is_causal(mask->in[1], c);
    if (mask->op != OP_GE || mask->type.rank < 2) return false;
    const Node *row = mask->in[0], *column = mask->in[1];
    int last = mask->type.rank - 1;
    *c = (Causal){.plus = 0};
    for (int k = 0; row->op == OP_ADD && k < 2; k++) {
        if (row->in[k]->op != OP_IOTA) continue;
        c->offset = plan_base(row->in[1 - k]);
        row = row->in[k];
        break;
    }
    if (row->op != OP_IOTA || row->attrs.axis == last || column->op != OP_IOTA || column->attrs.axis != last) return false;
    c->row_axis = row->attrs.axis;
    if (c->offset && c->offset->op == OP_CONST && c->offset->type.rank == 0 && c->offset->attrs.whole >= 0) {
        c->plus = c->offset->attrs.whole;
        c->offset = NULL;
    }
    return true;
}

/* Sets what is seen by the last row of a causal mask. */
static bool is_causal(Limits *l, const Node *mask) {
    Causal c;
    int64_t whole;
    if (!mask_is_causal(mask, &c)) return false;
    Size columns = mask->type.dim[mask->type.rank - 1], rows = mask->type.dim[c.row_axis];
    if (!size_is_const(columns, &whole) || whole < 1 || size_is(rows, 0)) return false;
    Size plus = size_add(rows, size_const(l->p->sizes, c.plus));
    if (c.offset && (c.offset->type.rank != 0 || c.offset->type.dtype != DT_I32 ||
                     !(node_is_memory(c.offset) || (l->p->home[c.offset->id] && l->stored[c.offset->id]))))
        return false;
    int64_t low, high;
    size_range(plus, &low, &high);
    Size seen = high <= whole ? plus : size_min(plus, columns);
    if (!c.offset && (low < 1 || low >= whole || size_is_static(seen))) return false;
    l->limit = (Limit){.seen = c.offset ? columns : seen, .offset = c.offset, .plus = plus};
    return true;
}

static Fill fill_of(Limits *l, const Node *n);

/* Of an operand that runs over the same elements. */
static Fill fill_behind(Limits *l, Node *operand) {
    Edge e = edge_of(operand);
    return e.kind == EDGE_SAME ? fill_of(l, e.base) : FILL_UNKNOWN;
}

static Fill fill_of(Limits *l, const Node *n) {
    if (n == l->known) return FILL_LOW;
    if (!group_has(l->g, n)) return FILL_UNKNOWN;
    switch (n->op) {
    case OP_WHERE: {
        Fill kept = fill_behind(l, n->in[1]);
        if (is_low(n->in[2]) && (kept == FILL_LOW || (!l->known && is_causal(l, n->in[0])))) return FILL_LOW;
        return is_zero(n->in[2]) && kept == FILL_ZERO ? FILL_ZERO : FILL_UNKNOWN;
    }
    case OP_CAST: return dtype_is_float(n->type.dtype) ? fill_behind(l, n->in[0]) : FILL_UNKNOWN;
    case OP_SUB: return edge_of(n->in[1]).kind == EDGE_ROW ? fill_behind(l, n->in[0]) : FILL_UNKNOWN;
    case OP_EXP: return fill_behind(l, n->in[0]) == FILL_LOW ? FILL_ZERO : FILL_UNKNOWN;
    case OP_DIV: return fill_behind(l, n->in[0]) == FILL_ZERO && edge_of(n->in[1]).kind == EDGE_ROW ? FILL_ZERO : FILL_UNKNOWN;
    default: return FILL_UNKNOWN;
    }
}

/* The only value that the group stores, and the only group that reads it. */
static Node *only_store(Limits *l, const Group *g, Group **reader) {
    Node *only = NULL;
    *reader = NULL;
    for (int i = 0; i < g->nodes.n; i++) {
        Node *n = g->nodes.at[i];
        if (!l->stored[n->id]) continue;
        if (only || l->p->must[n->id]) return NULL;
        only = n;
    }
    for (int i = 0; only && i < l->p->groups.n; i++) {
        Group *r = l->p->groups.at[i];
        NodeList reads = r->dead || r == g ? (NodeList){NULL, 0, 0} : group_reads(l->p, r);
        for (int k = 0; k < reads.n; k++) {
            if (reads.at[k] != only) continue;
            if (*reader) return NULL;
            *reader = r;
        }
    }
    return *reader ? only : NULL;
}

/* Do the rows of g, made of `z` alone, come out right without what lies beyond? Maxima of -inf, sums of 0. */
static bool rows_allow(Limits *l, Group *g, const Node *z) {
    const Type *t = &z->type;
    if (g->kind != KERNEL_MAP || g->row != 1 || g->row_length != t->dim[t->rank - 1]) return false;
    NodeList reads = group_reads(l->p, g);
    for (int i = 0; i < reads.n; i++)
        if (reads.at[i] != z && reads.at[i]->type.rank != 0) return false;
    for (int i = 0; i < g->nodes.n + g->extra.n; i++) {
        const Node *n = i < g->nodes.n ? g->nodes.at[i] : g->extra.at[i - g->nodes.n];
        if (op_row(n->op)->class == CLASS_ACCESS) return false;
        if (n->op != OP_REDUCE) continue;
        Fill fill = fill_behind(l, n->in[0]);
        if (!(n->attrs.fn == REDUCE_MAX && fill == FILL_LOW) && !(n->attrs.fn == REDUCE_SUM && fill == FILL_ZERO)) return false;
    }
    return true;
}

/* Is p, as it stands, an operand of the product alone, summed over its last axis and no other? */
static bool product_allows(const Group *g, const Node *p) {
    if (g->kind != KERNEL_CONTRACT) return false;
    const Node *n = g->anchor;
    int side = n->in[0] == p ? 0 : 1;
    const char *result = n->attrs.labels[2], *labels = n->attrs.labels[side];
    if (n->in[side] != p || plan_base(n->in[1 - side]) == p) return false;
    for (int i = 0; labels[i]; i++)
        if (!strchr(result, labels[i]) != (i == p->type.rank - 1)) return false;
    for (const Node *v = n->in [1 - side]; node_is_view(v); v = v->in[0])
        if (v->op != OP_PERMUTE && v->op != OP_SLICE) return false;
    for (int i = 0; i < g->nodes.n + g->extra.n; i++) {
        const Node *m = i < g->nodes.n ? g->nodes.at[i] : g->extra.at[i - g->nodes.n];
        for (int k = 0; m != n && k < m->n_in; k++)
            if (plan_base(m->in[k]) == p) return false;
    }
    return true;
}

static bool same_shape(const Node *a, const Node *b) {
    if (a->type.rank != b->type.rank) return false;
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.dim[i] != b->type.dim[i]) return false;
    return true;
}

/* The name of min(offset + plus, all): the one of an earlier layer, if there is one. l->seen: all, so far. */
static Size seen_name(Planner *p, const Limit *l) {
    for (int i = 0; i < p->groups.n; i++) {
        const Limit *other = &p->groups.at[i]->limit;
        int64_t low, high;
        if (!other->seen || other->offset != l->offset || other->plus != l->plus) continue;
        size_range(other->seen, &low, &high);
        if (high == size_value(l->seen)) return other->seen;
    }
    return size_named(p->sizes, size_declare_data(p->sizes, "seen", 1, size_value(l->seen)));
}

static void limit_from(Planner *p, Group *scores, const bool *stored) {
    Limits l = {.p = p, .stored = stored, .g = scores};
    Group *rows, *product;
    Node *z = only_store(&l, scores, &rows);
    if (!z || !same_shape(z, scores->anchor) || fill_of(&l, z) != FILL_LOW || !l.limit.seen) return;
    l.g = rows;
    l.known = z;
    Node *weights = rows_allow(&l, rows, z) ? only_store(&l, rows, &product) : NULL;
    if (!weights || !same_shape(weights, z) || fill_of(&l, weights) != FILL_ZERO || !product_allows(product, weights)) return;
    if (l.limit.offset) l.limit.seen = seen_name(p, &l.limit);
    l.limit.axis = z->type.rank - 1;
    scores->limit = rows->limit = product->limit = l.limit;
    product->limit.axis = -1;
    group_changed(scores);
    group_changed(rows);
    group_changed(product);
}

void plan_limits(Planner *p) {
    bool *stored = NEW_ARRAY(p->scratch, bool, p->g->nodes.n);
    if (p->options->level == 0) return;
    plan_stored(p, stored);
    for (int i = 0; i < p->groups.n; i++) {
        Group *g = p->groups.at[i];
        if (!g->dead && g->kind == KERNEL_CONTRACT) limit_from(p, g, stored);
    }
}
