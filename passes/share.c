/* share.c -- common subexpressions.
 *
 * Requires: no CALL, GRAD, CUSTOM, STOP.  Ensures: no two nodes with equal op, attributes, operands, type and `recompute`
 * number.
 *   %1 = exp %x;  %2 = exp %x;  %y = add %1, %2   →   %1 = exp %x;  %y = add %1, %1
 * Operands of commutative ops are compared in order of their ids. Nodes of different @checkpoint numbers stay apart: what is
 * computed again to save memory must not be merged with its twin. Draws with one site are one value. */
#include "passes/pass.h"

static bool commutative(Op op) {
    return op == OP_ADD || op == OP_MUL || op == OP_MAX || op == OP_MIN || op == OP_EQ || op == OP_NE || op == OP_AND ||
           op == OP_OR;
}

/* Operand i of n in the order of comparison. */
static const Node *operand(const Node *n, int i) {
    if (n->n_in == 2 && commutative(n->op) && n->in[0]->id > n->in[1]->id) return n->in[1 - i];
    return n->in[i];
}

static bool same(const Node *a, const Node *b) {
    if (a->recompute != b->recompute || !node_same_op(a, b)) return false;
    for (int i = 0; i < a->n_in; i++)
        if (operand(a, i) != operand(b, i)) return false;
    return true;
}

static uint64_t hash(const Node *n) {
    uint64_t h = node_hash(n);
    for (int i = 0; i < n->n_in; i++) h = (h ^ (uint64_t)operand(n, i)->id) * 0x9e3779b97f4a7c15ull;
    return h ^ (h >> 29);
}

Graph *pass_share(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    size_t size = 64;
    while (size < 4 * (size_t)g->nodes.n) size *= 2;
    Node **table = NEW_ARRAY(c->scratch, Node *, size);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        /* The candidate is made on paper first, so that no dead twin is left behind. */
        Node candidate = *n;
        candidate.in = rewrite_operands(&r, n);
        if (n->attrs.body) candidate.attrs.body = rewrite_body(c, n->attrs.body);
        size_t at = hash(&candidate) & (size - 1);
        while (table[at] && !same(table[at], &candidate)) at = (at + 1) & (size - 1);
        if (!table[at]) table[at] = rewrite_copy(&r, n);
        else if (!table[at]->name) table[at]->name = n->name;
        r.map[i] = table[at];
    }
    return rewrite_end(&r);
}
