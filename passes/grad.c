/* grad.c -- gradients, written out.
 *
 * Requires: no CALL.  Ensures: no GRAD, STOP, CUSTOM.
 *   %g = grad %loss, %w;  %d = get %g 0    →    the reverse sweep's nodes for %loss, and %d is the last of them
 *
 * Every GRAD is expanded in the order of the text into the new graph, where inner gradients are ordinary nodes by then: second
 * order needs nothing more. One sweep: the nodes that depend on an x, from y backwards; each hands the gradient of its result
 * to its operands by the rule of its op (ir/op_*.c); contributions to one value are added in reverse order of the text. A scan
 * collects the gradients of its results from their GETs and hands them on when the sweep comes to it (grad_scan.c); CUSTOM,
 * too: its operands behind its values get what its body makes of those gradients and them; its values get nothing. STOP ends a
 * path.
 *
 * What a @checkpoint call computed (recompute < 0) is not kept for the sweep: a rule sees it through `again`, made of copies
 * with the number of the call (recompute > 0), from the values that came into the call. Only the copies that a rule reads stay
 * alive; sharing keeps them apart from what they are copies of, and the plan computes them when their first reader comes.
 *
 * A second rewrite then drops STOP and CUSTOM, in bodies too: the first one must leave them there, because the gradient of the
 * loop around them may still be asked for. */
#include "passes/grad.h"

typedef struct Sweep {
    PassContext *c;
    Graph *g;
    bool *depends;   /* by id, of nodes that were there when the sweep began: depends on an x */
    Node **gradient; /* likewise: so far */
    Node ***several; /* likewise, of a scan or custom: of each of its results */
    Node **copies;   /* likewise, of what a @checkpoint call computed */
} Sweep;

static bool differentiable(const Node *n) {
    return n->type.rank < 0 || dtype_has_gradient(n->type.dtype); /* rank -1: several results, seen through GET */
}

static void add_to(Graph *g, Node **sum, Node *gradient) {
    *sum = *sum ? node_map2(g, OP_ADD, *sum, gradient) : gradient;
}

static void sweep_give(Sweep *s, const Node *to, Node *gradient) {
    if (gradient && s->depends[to->id]) add_to(s->g, &s->gradient[to->id], gradient);
}

/* n as its gradient sees it. What another call computed, or nobody, or what is kept, is where a copy begins. */
static Node *again(Sweep *s, Node *n) {
    if (n->recompute >= 0 || op_row(n->op)->class == CLASS_LEAF) return n;
    if (s->copies[n->id]) return s->copies[n->id];
    Node **in = NEW_ARRAY(s->c->scratch, Node *, n->n_in);
    for (int i = 0; i < n->n_in; i++) in[i] = n->in[i]->recompute == n->recompute && !n->in[i]->kept ? again(s, n->in[i]) : n->in[i];
    Node *copy = graph_copy_node(s->g, n, in);
    copy->recompute = -n->recompute;
    copy->kept = false;
    return s->copies[n->id] = copy;
}

/* What a rule has made, from node `from` on, of copies and not of dy, is computed again, too: it waits for a reader as they do. */
static void again_follow(Sweep *s, int from, const Node *dy) {
    bool *gradient = NEW_ARRAY(s->c->scratch, bool, s->g->nodes.n - from);
    for (int i = from; i < s->g->nodes.n; i++) {
        Node *n = s->g->nodes.at[i];
        int number = 0;
        for (int k = 0; k < n->n_in; k++) {
            const Node *x = n->in[k];
            if (x == dy || (x->id >= from && gradient[x->id - from])) gradient[i - from] = true;
            if (x->recompute > 0) number = x->recompute;
        }
        if (!gradient[i - from]) n->recompute = number;
    }
}

/* The gradient of a GET goes to the node with several results. */
static void sweep_get(Sweep *s, const Node *get, Node *dy) {
    const Node *n = get->in[0];
    if (!s->several[n->id]) s->several[n->id] = NEW_ARRAY(s->c->scratch, Node *, node_results(n));
    add_to(s->g, &s->several[n->id][get->attrs.index], dy);
}

static void sweep_custom(Sweep *s, Node *n, Node *const *dys) {
    const Graph *body = n->attrs.body;
    int values = node_results(n);
    Node **args = NEW_ARRAY(s->c->scratch, Node *, n->n_in);
    for (int i = 0; i < values; i++) args[i] = dys[i] ? dys[i] : node_const(s->g, n->in[i]->type, 0.0);
    for (int i = values; i < n->n_in; i++) args[i] = again(s, n)->in[i];
    if (body->n_args != n->n_in) bug("custom with %d operands has a body with %d arguments", n->n_in, body->n_args);
    Node **out = rewrite_inline(s->c, s->g, body, args);
    for (int i = 0; i < body->results.n && i + values < n->n_in; i++) sweep_give(s, n->in[i + values], out[i]);
}

static void sweep_node(Sweep *s, Node *n) {
    Node *dy = s->gradient[n->id];
    bool *want = NEW_ARRAY(s->c->scratch, bool, n->n_in);
    Node **dx = NEW_ARRAY(s->c->scratch, Node *, n->n_in);
    bool any = false;
    for (int i = 0; i < n->n_in; i++) any |= want[i] = s->depends[n->in[i]->id];
    if (!any) return;
    Node *y = n->op == OP_GET || (n->recompute < -NODE_REMADE && !n->kept) ? n : again(s, n);
    rewrite_at(s->g, n);
    s->g->recompute = 0;
    if (n->op == OP_SCAN) {
        grad_scan(s->c, y, s->several[n->id], want, dx);
        for (int i = 0; i < n->n_in; i++) sweep_give(s, n->in[i], dx[i]);
        return;
    }
    if (n->op == OP_CUSTOM) {
        sweep_custom(s, n, s->several[n->id]);
        return;
    }
    if (n->op == OP_GET) {
        sweep_get(s, n, dy);
        return;
    }
    GradFunction *rule = op_grad(n->op);
    if (!rule) return;
    GradRule q = {.g = s->g, .y = y, .dy = dy, .dx = dx, .want = want};
    int from = s->g->nodes.n;
    rule(&q);
    again_follow(s, from, dy);
    for (int i = 0; i < n->n_in; i++)
        if (want[i]) sweep_give(s, n->in[i], dx[i]);
}

bool *grad_depends(PassContext *c, const Graph *g, int n_xs, Node *const *xs) {
    bool *depends = NEW_ARRAY(c->scratch, bool, g->nodes.n);
    for (int i = 0; i < n_xs; i++) depends[xs[i]->id] = true;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *x = g->nodes.at[i];
        if (depends[i] || x->op == OP_STOP || !differentiable(x)) continue;
        for (int k = x->op == OP_CUSTOM ? node_results(x) : 0; k < x->n_in; k++)
            if (depends[x->in[k]->id]) depends[i] = true;
    }
    return depends;
}

void grad_sweep(PassContext *c, Graph *g, int n_ys, Node *const *ys, Node *const *dys, int n_xs, Node *const *xs, Node **out) {
    int n = g->nodes.n;
    Sweep s = {.c = c, .g = g, .depends = grad_depends(c, g, n_xs, xs)};
    s.gradient = NEW_ARRAY(c->scratch, Node *, n);
    s.several = NEW_ARRAY(c->scratch, Node **, n);
    s.copies = NEW_ARRAY(c->scratch, Node *, n);
    for (int i = n_ys - 1; i >= 0; i--) sweep_give(&s, ys[i], dys[i]);
    for (int i = n - 1; i >= 0; i--)
        if (s.gradient[i] || s.several[i]) sweep_node(&s, g->nodes.at[i]);
    for (int i = 0; i < n_xs; i++) out[i] = s.gradient[xs[i]->id];
}

/* Gradients of the scalar y with respect to xs, nodes of g, into out[]; zeros where y does not depend on an x. */
static void expand_grad(PassContext *c, Graph *g, const Node *grad, Node *y, Node *const *xs, int n_xs, Node **out) {
    rewrite_at(g, grad);
    Node *dy = node_scalar(g, y->type.dtype, 1.0);
    grad_sweep(c, g, 1, &y, &dy, n_xs, xs, out);
    rewrite_at(g, grad);
    for (int i = 0; i < n_xs; i++)
        if (!out[i]) out[i] = node_const(g, xs[i]->type, 0.0);
}

static Graph *grads_expand(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    Node ***gradients = NEW_ARRAY(c->scratch, Node **, g->nodes.n); /* by id of a GRAD */
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        if (n->op == OP_GRAD) {
            Node **in = rewrite_operands(&r, n);
            gradients[i] = NEW_ARRAY(c->scratch, Node *, n->n_in - 1);
            expand_grad(c, r.to, n, in[0], in + 1, n->n_in - 1, gradients[i]);
        } else if (n->op == OP_GET && gradients[n->in[0]->id]) {
            r.map[i] = gradients[n->in[0]->id][n->attrs.index];
        } else {
            r.map[i] = rewrite_copy(&r, n);
        }
    }
    return rewrite_end(&r);
}

static Graph *marks_drop(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        bool gone = n->op == OP_STOP || n->op == OP_CUSTOM || (n->op == OP_GET && n->in[0]->op == OP_CUSTOM);
        const Node *value = !gone ? NULL : n->op == OP_GET ? n->in[0]->in[n->attrs.index] : n->in[0];
        r.map[i] = gone ? r.map[value->id] : rewrite_copy(&r, n);
        if (r.map[i] && !r.map[i]->name) r.map[i]->name = n->name;
        if (r.map[i] && r.map[i]->recompute < 0) r.map[i]->recompute = 0;
        if (r.map[i]) r.map[i]->kept = false;
    }
    return rewrite_end(&r);
}

/* The two rewrites, each through all bodies before the other begins. */
Graph *pass_grad(PassContext *c, const Graph *g) {
    PassContext expand = {.scratch = c->scratch, .diag = c->diag, .marks = true, .function = grads_expand};
    PassContext drop = {.scratch = c->scratch, .diag = c->diag, .marks = true, .function = marks_drop};
    return marks_drop(&drop, grads_expand(&expand, g));
}
