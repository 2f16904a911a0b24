/* affine.c -- chains of sums and products with values that no input has a part in.
 *
 * Requires: no CALL, GRAD.  Ensures: a chain is one product and one sum an element, or less.
 *
 *   %1 = sub %x, (expand %m);  %2 = mul %1, (expand %s);  %3 = add %2, (expand %b)
 *   →   %t = add (mul (neg %m), %s), %b;  %2 = mul %x, (expand %s);  %3 = add %2, (expand %t)
 *
 * This is a batch norm with the statistics it has learned: a multiply-add in the epilogue of the product before it. The values are the
 * same but for rounding, as in every system that folds it. Entries that store something round as they are written, so that a training does
 * not depend on what is frozen; so do sums of codes, which are the same bits everywhere. */
#include "passes/pass.h"

typedef struct Affine {
    Rewrite r;
    const bool *steady; /* by id of r.from */
} Affine;

/* One step of a chain: its value is OP of `rest` and `other`, a constant or a small value stretched. */
typedef struct Link {
    const Node *rest, *other;
} Link;

/* What is stretched, through the views that lie over that; NULL: nothing is. */
static const Node *stretched(const Node *n) {
    while (n->op == OP_PERMUTE) n = n->in[0];
    return n->op == OP_EXPAND ? n->in[0] : NULL;
}

static bool stretched_alike(const Node *a, const Node *b) {
    while (a->op == OP_PERMUTE && node_same_op(a, b)) a = a->in[0], b = b->in[0];
    if (a->op != OP_EXPAND || !node_same_op(a, b)) return false;
    const Type *s = &a->in[0]->type, *t = &b->in[0]->type;
    bool same = s->rank == t->rank;
    for (int i = 0; i < s->rank && same; i++) same = s->dim[i] == t->dim[i];
    return same;
}

/* v in place of what is stretched in n */
static Node *stretch_alike(Graph *g, const Node *n, Node *v) {
    return graph_copy_node(g, n, (Node *[]){n->op == OP_EXPAND ? v : stretch_alike(g, n->in[0], v)});
}

static bool link_of(const Affine *a, const Node *n, Link *link) {
    if ((n->op != OP_ADD && n->op != OP_SUB && n->op != OP_MUL) || n->type.dtype != DT_F32) return false;
    for (int i = 1; i >= (n->op == OP_SUB); i--) {
        const Node *other = n->in[i];
        bool small = node_is_const(other) || (stretched(other) && a->steady[other->id]);
        if (!small || a->steady[n->in[1 - i]->id]) continue;
        *link = (Link){n->in[1 - i], other};
        return true;
    }
    return false;
}

enum { LINKS_MOST = 16 };

/* The chain that ends at n, its end first; all that is stretched is stretched as *like is. */
static int chain_of(const Affine *a, const Node *n, const Node *chain[], const Node **like) {
    int count = 0;
    Link link;
    *like = NULL;
    while (count < LINKS_MOST && (count == 0 || a->r.uses[n->id] == 1) && link_of(a, n, &link)) {
        if (stretched(link.other)) {
            if (*like && !stretched_alike(*like, link.other)) break;
            *like = link.other;
        }
        chain[count++] = n;
        n = link.rest;
    }
    return count;
}

static bool is_of_codes(const Node *n) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->op == OP_CAST && dtype_is_int(n->in[i]->in[0]->type.dtype)) return true;
    return false;
}

/* The value at the end of the chain as scale * x + shift; NULL: that would not be less. */
static Node *folded(Affine *a, const Node *n) {
    const Node *chain[LINKS_MOST];
    const Node *like;
    Graph *g = a->r.to;
    int count = chain_of(a, n, chain, &like), products = 0, sums = 0;
    for (int i = 0; i < count; i++) *(chain[i]->op == OP_MUL ? &products : &sums) += 1;
    if (!like || count <= (products > 0) + (sums > 0) || is_of_codes(chain[count - 1])) return NULL;
    Node *scale = NULL, *shift = NULL, *x = NULL;
    for (int i = count; i-- > 0;) {
        Link link;
        link_of(a, chain[i], &link);
        if (!x) x = a->r.map[link.rest->id];
        Node *v = a->r.map[link.other->id];
        v = node_is_const(link.other) ? node_filled(g, v, &stretched(like)->type) : a->r.map[stretched(link.other)->id];
        if (chain[i]->op == OP_MUL) {
            scale = scale ? node_map2(g, OP_MUL, scale, v) : v;
            if (shift) shift = node_map2(g, OP_MUL, shift, v);
        } else if (shift) shift = node_map2(g, chain[i]->op, shift, v);
        else shift = chain[i]->op == OP_ADD ? v : node_map1(g, OP_NEG, v);
    }
    if (scale) x = node_map2(g, OP_MUL, x, stretch_alike(g, like, scale));
    return shift ? node_map2(g, OP_ADD, x, stretch_alike(g, like, shift)) : x;
}

Graph *pass_affine(PassContext *c, const Graph *from) {
    if (graph_stores(from)) return (Graph *)from;
    Affine a = {rewrite_begin(c, from), nodes_steady(c->scratch, from)};
    for (int i = 0; i < from->nodes.n; i++) {
        const Node *n = from->nodes.at[i];
        if (!a.r.live[i]) continue;
        rewrite_at(a.r.to, n);
        Node *new = folded(&a, n);
        if (new && !new->name) new->name = n->name;
        a.r.map[i] = new ? new : rewrite_copy(&a.r, n);
    }
    return rewrite_end(&a.r);
}
