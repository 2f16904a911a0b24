/* open.c -- calls of named formulas, put in line.
 *
 * Requires: nothing.  Ensures: no CALL.
 *   %c = call "silu" %x { %0 = arg 0; %1 = sigmoid %0; %2 = mul %0, %1; results %2 };  %y = get %c 0
 *   →   %1 = sigmoid %x;  %y = mul %x, %1
 *
 * Also here: pass dce, which is a plain rewrite. */
#include "passes/pass.h"

Graph *pass_open(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    Node ***opened = NEW_ARRAY(c->scratch, Node **, g->nodes.n); /* by id of a call: values of its results */
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        if (n->op == OP_CALL) {
            const Graph *body = rewrite_body(c, n->attrs.body); /* calls inside are opened first */
            opened[i] = rewrite_inline(c, r.to, body, rewrite_operands(&r, n));
        } else if (n->op == OP_GET && opened[n->in[0]->id]) {
            r.map[i] = opened[n->in[0]->id][n->attrs.index];
        } else {
            r.map[i] = rewrite_copy(&r, n);
        }
    }
    return rewrite_end(&r);
}

Graph *pass_dce(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    for (int i = 0; i < g->nodes.n; i++)
        if (r.live[i]) r.map[i] = rewrite_copy(&r, g->nodes.at[i]);
    return rewrite_end(&r);
}
