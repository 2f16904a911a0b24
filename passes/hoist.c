/* hoist.c -- products that leave a loop.
 *
 * Requires: no CALL.  Ensures: no contract in the body of a scan depends on elements of sequences and invariants alone, if what
 * leads to it is made of maps, sums and views.
 *   scan %w, %c, %x { .. %z = contract %x[m k], %w[n k] -> [m n] .. }
 *   →   %s = contract %x[a m k], %w[n k] -> [a m n];  scan %c, %s { .. }
 *
 * One large product instead of one a step. It runs before the pass grad, so that the gradients of such a weight and of the
 * sequence are one product too, by the ordinary rule. What leads from a sequence to the product moves along and gets an axis
 * for the steps in front; what the body needs for other purposes also stays in it. Accesses do not move: their index may have
 * to be checked in its step. */
#include "passes/pass.h"

#include <string.h>

typedef struct Hoist {
    PassContext *c;
    Graph *to;
    const Node *scan; /* as it was */
    const Graph *body;
    Node **in;        /* the scan's operands, in `to` */
    bool *can;        /* by id in the body: has a counterpart for all steps, or is the same in all of them */
    bool *stacked;    /* the former */
    Node **outside;   /* the counterpart in `to`, once made */
} Hoist;

static bool op_lifts(const Node *n) {
    switch (n->op) {
    case OP_RESHAPE:
    case OP_PERMUTE:
    case OP_EXPAND:
    case OP_SLICE:
    case OP_CONTRACT: return true;
    case OP_REDUCE: return n->attrs.fn == REDUCE_SUM || n->attrs.fn == REDUCE_MAX || n->attrs.fn == REDUCE_MIN ||
                           n->attrs.fn == REDUCE_VAR;
    case OP_CONST:
    case OP_TENSOR:
    case OP_IOTA:
    case OP_SIZE: return true;
    case OP_RANDOM: return false;
    default: return op_row(n->op)->class == CLASS_MAP;
    }
}

static void find_movable(Hoist *h) {
    const int *counts = h->scan->attrs.counts;
    for (int i = 0; i < h->body->nodes.n; i++) {
        const Node *n = h->body->nodes.at[i];
        if (n->op == OP_ARG) {
            bool invariant = n->attrs.index >= 1 && n->attrs.index <= counts[0];
            h->stacked[i] = n->attrs.index > counts[0] + counts[1];
            h->can[i] = invariant || h->stacked[i];
            continue;
        }
        h->can[i] = op_lifts(n) && n->type.rank >= 0 && n->type.rank < MAX_RANK;
        for (int k = 0; k < n->n_in; k++) {
            h->can[i] = h->can[i] && h->can[n->in[k]->id];
            h->stacked[i] = h->stacked[i] || h->stacked[n->in[k]->id];
        }
    }
}

static Type with_steps(const Hoist *h, const Type *t) {
    Type out = *t;
    memmove(out.dim + 1, t->dim, sizeof(Size) * (size_t)t->rank);
    out.dim[0] = h->scan->attrs.extent;
    out.rank++;
    return out;
}

static Node *lift(Hoist *h, const Node *n);

/* Operand k of n with an axis of steps, even if it is the same in all of them. */
static Node *lift_stacked(Hoist *h, const Node *n, int k) {
    const Node *x = n->in[k];
    Node *out = lift(h, x);
    if (h->stacked[x->id]) return out;
    Type type = with_steps(h, &x->type);
    return node_expand(h->to, out, type.rank, type.dim);
}

static Node *lift_contract(Hoist *h, const Node *n) {
    const char *labels[3];
    char step = 'a';
    while (strchr(n->attrs.labels[0], step) || strchr(n->attrs.labels[1], step) || strchr(n->attrs.labels[2], step)) step++;
    for (int i = 0; i < 3; i++) {
        bool stacked = i == 2 || h->stacked[n->in[i]->id];
        labels[i] = stacked ? arena_printf(h->to->arena, "%c%s", step, n->attrs.labels[i]) : n->attrs.labels[i];
    }
    Node *a = lift(h, n->in[0]);
    return node_contract(h->to, a, lift(h, n->in[1]), labels[0], labels[1], labels[2]);
}

/* The steps in front, then ones for axes that expand adds, then x's own. */
static Node *lift_expand(Hoist *h, const Node *n) {
    Node *x = lift(h, n->in[0]);
    int rank = n->in[0]->type.rank, more = n->type.rank - rank;
    Type middle = with_steps(h, &n->type), type = middle;
    for (int i = 0; i < more; i++) middle.dim[1 + i] = size_const(h->to->program->sizes, 1);
    for (int i = 0; i < rank; i++) middle.dim[1 + more + i] = n->in[0]->type.dim[i];
    x = node_reshape(h->to, x, middle.rank, middle.dim);
    return node_expand(h->to, x, type.rank, type.dim);
}

static Node *lift_stacked_op(Hoist *h, const Node *n) {
    Type type = with_steps(h, &n->type);
    int axes[MAX_RANK] = {0};
    switch (n->op) {
    case OP_CONTRACT: return lift_contract(h, n);
    case OP_EXPAND: return lift_expand(h, n);
    case OP_RESHAPE: return node_reshape(h->to, lift(h, n->in[0]), type.rank, type.dim);
    case OP_PERMUTE:
        for (int i = 0; i < n->type.rank; i++) axes[i + 1] = n->attrs.axes[i] + 1;
        return node_permute(h->to, lift(h, n->in[0]), axes);
    case OP_REDUCE:
        for (int i = 0; i < n->attrs.n_axes; i++) axes[i] = n->attrs.axes[i] + 1;
        return node_reduce(h->to, (ReduceFn)n->attrs.fn, lift(h, n->in[0]), n->attrs.n_axes, axes);
    case OP_SLICE: {
        Size lo[MAX_RANK] = {size_const(h->to->program->sizes, 0)}, hi[MAX_RANK] = {h->scan->attrs.extent};
        memcpy(lo + 1, n->attrs.lo, sizeof(Size) * (size_t)n->type.rank);
        memcpy(hi + 1, n->attrs.hi, sizeof(Size) * (size_t)n->type.rank);
        return node_slice(h->to, lift(h, n->in[0]), lo, hi);
    }
    default: {
        Node **in = NEW_ARRAY(h->c->scratch, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++) in[k] = lift_stacked(h, n, k);
        return graph_copy_node(h->to, n, in);
    }
    }
}

/* n's counterpart outside of the loop: of all steps if it is stacked. */
static Node *lift(Hoist *h, const Node *n) {
    Node **out = &h->outside[n->id];
    if (*out) return *out;
    if (n->op == OP_ARG) return *out = h->in[n->attrs.index - 1];
    if (h->stacked[n->id]) {
        *out = lift_stacked_op(h, n);
    } else {
        Node **in = NEW_ARRAY(h->c->scratch, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++) in[k] = lift(h, n->in[k]);
        *out = graph_copy_node(h->to, n, in);
    }
    return *out;
}

/* The nodes of the body that are needed, if those that `leave` are given. */
static bool *find_live(const Hoist *h, const bool *leave) {
    const Graph *body = h->body;
    bool *live = NEW_ARRAY(h->c->scratch, bool, body->nodes.n);
    for (int i = 0; i < body->results.n; i++) live[body->results.at[i].value->id] = true;
    for (int i = 0; i < body->effects.n; i++)
        if (body->effects.at[i].value) live[body->effects.at[i].value->id] = true;
    for (int i = body->nodes.n - 1; i >= 0; i--) {
        const Node *n = body->nodes.at[i];
        for (int k = 0; live[i] && !leave[i] && k < n->n_in; k++) live[n->in[k]->id] = true;
    }
    return live;
}

/* The scan without what leaves, and without operands that nobody reads any more. */
static Node *remaining_scan(Hoist *h, const bool *leave, const bool *live) {
    const Graph *body = h->body;
    const int *counts = h->scan->attrs.counts;
    Graph *g = graph_new(h->to->arena, h->to->program);
    Node **map = NEW_ARRAY(h->c->scratch, Node *, body->nodes.n);
    Attrs attrs = h->scan->attrs;
    LIST(Node *) in = {0};
    attrs.body = g;
    attrs.counts[0] = attrs.counts[2] = 0;
    for (int i = 0; i < body->n_args; i++) {
        const Node *a = body->args[i];
        bool invariant = i >= 1 && i <= counts[0], sequence = i > counts[0] + counts[1];
        if ((invariant || sequence) && !live[a->id]) continue;
        rewrite_at(g, a);
        map[a->id] = graph_arg(g, a->type);
        map[a->id]->name = a->name;
        if (i) PUSH(h->c->scratch, in, h->in[i - 1]);
        attrs.counts[0] += invariant;
        attrs.counts[2] += sequence;
    }
    for (int i = 0; i < body->nodes.n; i++) {
        if (!leave[i] || !live[i]) continue;
        rewrite_at(g, body->nodes.at[i]);
        map[i] = graph_arg(g, body->nodes.at[i]->type);
        PUSH(h->c->scratch, in, h->outside[i]);
        attrs.counts[2]++;
    }
    for (int i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (!live[i] || map[i]) continue;
        Node **operands = NEW_ARRAY(h->c->scratch, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++) operands[k] = map[n->in[k]->id];
        map[i] = graph_copy_node(g, n, operands);
    }
    for (int i = 0; i < body->results.n; i++)
        graph_result(g, body->results.at[i].name, map[body->results.at[i].value->id]);
    for (int i = 0; i < body->effects.n; i++) {
        Effect e = body->effects.at[i];
        if (e.value) e.value = map[e.value->id];
        graph_effect(g, e);
    }
    return rewrite_with(h->to, h->scan, &attrs, in.n, in.at);
}

static Node *hoist_scan(Rewrite *r, const Node *scan) {
    Graph *body = rewrite_body(r->c, scan->attrs.body);
    int n = body->nodes.n;
    Hoist h = {.c = r->c, .to = r->to, .scan = scan, .body = body, .in = rewrite_operands(r, scan)};
    h.can = NEW_ARRAY(r->c->scratch, bool, n);
    h.stacked = NEW_ARRAY(r->c->scratch, bool, n);
    h.outside = NEW_ARRAY(r->c->scratch, Node *, n);
    find_movable(&h);
    bool *leave = NEW_ARRAY(r->c->scratch, bool, n), any = false;
    for (int i = 0; i < n; i++) leave[i] = body->nodes.at[i]->op == OP_CONTRACT && h.can[i] && h.stacked[i];
    const bool *live = find_live(&h, leave);
    int before = r->to->nodes.n;
    for (int i = 0; i < n; i++) {
        if (!leave[i] || !live[i]) continue;
        rewrite_at(r->to, body->nodes.at[i]);
        lift(&h, body->nodes.at[i]);
        any = true;
    }
    for (int i = before; i < r->to->nodes.n; i++) r->to->nodes.at[i]->recompute = scan->recompute;
    return any ? remaining_scan(&h, leave, live) : rewrite_copy(r, scan);
}

Graph *pass_hoist(PassContext *c, const Graph *g) {
    Rewrite r = rewrite_begin(c, g);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (r.live[i]) r.map[i] = n->op == OP_SCAN ? hoist_scan(&r, n) : rewrite_copy(&r, n);
    }
    return rewrite_end(&r);
}
