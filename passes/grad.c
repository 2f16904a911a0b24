/* grad.c -- gradients, written out.
 *
 * Requires: no CALL.  Ensures: no GRAD, STOP, CUSTOM.
 *   %g = grad %loss, %w;  %d = get %g 0    →    the reverse sweep's nodes for %loss, and %d is the last of them
 *
 * Every GRAD is expanded in the order of the text into the new graph, where inner gradients are ordinary nodes by then: second
 * order needs nothing more. One sweep: the nodes that depend on an x, from y backwards; each hands the gradient of its result
 * to its operands by the rule of its op (ir/op_*.c); contributions to one value are added in reverse order of the text. STOP
 * ends a path. CUSTOM's operands
 * 1.. get what its body makes of dy and them; its value gets nothing. A second rewrite then drops STOP and CUSTOM. */
#include "passes/pass.h"

typedef struct Sweep {
    PassContext *c;
    Graph *g;
    bool *depends;   /* by id, of nodes that were there when the sweep began: depends on an x */
    Node **gradient; /* likewise: so far */
} Sweep;

static bool differentiable(const Node *n) {
    return n->type.rank < 0 || dtype_is_float(n->type.dtype); /* rank -1: several results, seen through GET */
}

static void sweep_give(Sweep *s, const Node *to, Node *gradient) {
    if (!gradient || !s->depends[to->id]) return;
    Node *old = s->gradient[to->id];
    s->gradient[to->id] = old ? node_map2(s->g, OP_ADD, old, gradient) : gradient;
}

static void sweep_custom(Sweep *s, const Node *n, Node *dy) {
    const Graph *body = n->attrs.body;
    Node **args = NEW_ARRAY(s->c->scratch, Node *, n->n_in);
    args[0] = dy;
    for (int i = 1; i < n->n_in; i++) args[i] = n->in[i];
    if (body->n_args != n->n_in) bug("custom with %d operands has a body with %d arguments", n->n_in, body->n_args);
    Node **out = rewrite_inline(s->c, s->g, body, args);
    for (int i = 0; i < body->results.n && i + 1 < n->n_in; i++) sweep_give(s, n->in[i + 1], out[i]);
}

static void sweep_node(Sweep *s, Node *n) {
    Node *dy = s->gradient[n->id];
    bool *want = NEW_ARRAY(s->c->scratch, bool, n->n_in);
    bool any = false;
    for (int i = 0; i < n->n_in; i++) any |= want[i] = s->depends[n->in[i]->id];
    if (!any) return;
    rewrite_at(s->g, n);
    s->g->recompute = 0;
    if (n->op == OP_CUSTOM) {
        sweep_custom(s, n, dy);
        return;
    }
    if (n->op == OP_GET && n->in[0]->op == OP_CUSTOM) {
        sweep_give(s, n->in[0], dy);
        return;
    }
    if (n->op == OP_SCAN || n->op == OP_GET) {
        Report *r = diag_error(s->c->diag, n->loc, 1101, "the gradient of a scan is not supported yet");
        diag_label(r, "this loop lies between the loss and a parameter");
        diag_help(r, "use stop_gradient on what the loop takes or gives");
        return;
    }
    GradFunction *rule = op_grad(n->op);
    if (!rule) return;
    GradRule q = {.g = s->g, .y = n, .dy = dy, .dx = NEW_ARRAY(s->c->scratch, Node *, n->n_in), .want = want};
    rule(&q);
    for (int i = 0; i < n->n_in; i++)
        if (want[i]) sweep_give(s, n->in[i], q.dx[i]);
}

/* Gradients of y with respect to xs, nodes of g, into out[]. */
static void sweep_run(PassContext *c, Graph *g, const Node *grad, Node *y, Node *const *xs, int n_xs, Node **out) {
    int n = g->nodes.n;
    Sweep s = {c, g, NEW_ARRAY(c->scratch, bool, n), NEW_ARRAY(c->scratch, Node *, n)};
    for (int i = 0; i < n_xs; i++) s.depends[xs[i]->id] = true;
    for (int i = 0; i < n; i++) {
        const Node *x = g->nodes.at[i];
        if (s.depends[i] || x->op == OP_STOP || !differentiable(x)) continue;
        for (int k = x->op == OP_CUSTOM ? 1 : 0; k < x->n_in; k++)
            if (s.depends[x->in[k]->id]) s.depends[i] = true;
    }
    rewrite_at(g, grad);
    if (s.depends[y->id]) s.gradient[y->id] = node_scalar(g, y->type.dtype, 1.0);
    for (int i = y->id; i >= 0; i--)
        if (s.gradient[i]) sweep_node(&s, g->nodes.at[i]);
    rewrite_at(g, grad);
    for (int i = 0; i < n_xs; i++) out[i] = s.gradient[xs[i]->id] ? s.gradient[xs[i]->id] : node_const(g, xs[i]->type, 0.0);
}

static Graph *marks_drop(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        bool gone = n->op == OP_STOP || n->op == OP_CUSTOM || (n->op == OP_GET && n->in[0]->op == OP_CUSTOM);
        r.map[i] = gone ? r.map[n->in[0]->id] : graph_copy_node(r.to, n, rewrite_operands(&r, n));
        if (r.map[i] && !r.map[i]->name) r.map[i]->name = n->name;
    }
    return rewrite_end(&r);
}

Graph *pass_grad(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    Node ***gradients = NEW_ARRAY(c->scratch, Node **, g->nodes.n); /* by id of a GRAD */
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        if (n->op == OP_GRAD) {
            Node **in = rewrite_operands(&r, n);
            gradients[i] = NEW_ARRAY(c->scratch, Node *, n->n_in - 1);
            sweep_run(c, r.to, n, in[0], in + 1, n->n_in - 1, gradients[i]);
        } else if (n->op == OP_GET && gradients[n->in[0]->id]) {
            r.map[i] = gradients[n->in[0]->id][n->attrs.index];
        } else {
            r.map[i] = rewrite_copy(&r, n);
        }
    }
    return marks_drop(c, rewrite_end(&r));
}
