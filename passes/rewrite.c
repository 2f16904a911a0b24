/* rewrite.c -- from one graph to a new one. A pass walks the live nodes of the old graph in order and says for each what stands
 * for it in the new one: a copy, something else, an operand. Dead nodes are not walked, so every pass removes them on the way.
 * */
#include "passes/pass.h"

#include <math.h>
#include <string.h>

Rewrite rewrite_begin(PassContext *c, const Graph *from) {
    Rewrite r = {c, from, graph_new(from->arena, from->program), NULL, NULL, NULL};
    int n = from->nodes.n;
    r.map = NEW_ARRAY(c->scratch, Node *, n);
    r.live = NEW_ARRAY(c->scratch, bool, n);
    r.uses = NEW_ARRAY(c->scratch, int, n);
    for (int i = 0; i < from->results.n; i++) {
        r.live[from->results.at[i].value->id] = true;
        r.uses[from->results.at[i].value->id]++;
    }
    for (int i = 0; i < from->effects.n; i++) {
        const Node *v = from->effects.at[i].value;
        if (!v) continue;
        r.live[v->id] = true;
        r.uses[v->id]++;
    }
    for (int i = n - 1; i >= 0; i--) {
        if (!r.live[i]) continue;
        const Node *x = from->nodes.at[i];
        for (int k = 0; k < x->n_in; k++) {
            r.live[x->in[k]->id] = true;
            r.uses[x->in[k]->id]++;
        }
    }
    for (int i = 0; i < from->n_args; i++) {
        const Node *a = from->args[i];
        rewrite_at(r.to, a);
        Node *b = graph_arg(r.to, a->type);
        b->name = a->name;
        r.map[a->id] = b;
        r.live[a->id] = false; /* done */
    }
    return r;
}

Node **rewrite_operands(const Rewrite *r, const Node *n) {
    Node **in = NEW_ARRAY(r->c->scratch, Node *, n->n_in);
    for (int i = 0; i < n->n_in; i++) {
        in[i] = r->map[n->in[i]->id];
        if (!in[i]) bug("operand %d of node %d (%s) has no counterpart", i, n->id, op_row(n->op)->name);
    }
    return in;
}

void rewrite_at(Graph *to, const Node *n) {
    to->loc = n->loc;
    to->path = n->path;
    to->recompute = n->recompute;
}

Node *rewrite_with(Graph *to, const Node *n, const Attrs *attrs, int n_in, Node *const *in) {
    rewrite_at(to, n);
    Node *m = graph_add(to, n->op, attrs, n_in, in);
    if (!m->name) m->name = n->name;
    return m;
}

Node *rewrite_copy(Rewrite *r, const Node *n) {
    Node **in = rewrite_operands(r, n);
    if (!n->attrs.body) return graph_copy_node(r->to, n, in);
    Attrs attrs = n->attrs;
    attrs.body = rewrite_body(r->c, n->attrs.body);
    return rewrite_with(r->to, n, &attrs, n->n_in, in);
}

Graph *rewrite_end(Rewrite *r) {
    for (int i = 0; i < r->from->results.n; i++) {
        const Result *q = &r->from->results.at[i];
        graph_result(r->to, q->name, r->map[q->value->id]);
    }
    for (int i = 0; i < r->from->effects.n; i++) {
        Effect e = r->from->effects.at[i];
        if (e.value) e.value = r->map[e.value->id];
        graph_effect(r->to, e);
    }
    return r->to;
}

Graph *rewrite_body(PassContext *c, const Graph *body) {
    if (!c->function) return (Graph *)body;
    for (int i = 0; i < c->bodies_from.n; i++)
        if (c->bodies_from.at[i] == body) return c->bodies_to.at[i];
    Graph *g = c->function(c, body);
    PUSH(c->scratch, c->bodies_from, body);
    PUSH(c->scratch, c->bodies_to, g);
    return g;
}

Node **rewrite_inline(PassContext *c, Graph *to, const Graph *body, Node *const *args) {
    Node **map = NEW_ARRAY(c->scratch, Node *, body->nodes.n);
    for (int i = 0; i < body->n_args; i++) map[body->args[i]->id] = args[i];
    for (int i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (map[n->id]) continue;
        Node **in = NEW_ARRAY(c->scratch, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++) in[k] = map[n->in[k]->id];
        map[n->id] = graph_copy_node(to, n, in);
    }
    Node **results = NEW_ARRAY(c->scratch, Node *, body->results.n);
    for (int i = 0; i < body->results.n; i++) results[i] = map[body->results.at[i].value->id];
    for (int i = 0; i < body->effects.n; i++) {
        Effect e = body->effects.at[i];
        if (e.value) e.value = map[e.value->id];
        graph_effect(to, e);
    }
    return results;
}

bool const_is(const Node *n, double v) {
    if (n->op != OP_CONST) return false;
    double x = n->attrs.number;
    if (dtype_is_int(n->type.dtype)) return v == (double)(int64_t)v && n->attrs.whole == (int64_t)v;
    return x == v && signbit(x) == signbit(v);
}

Node *node_filled(Graph *g, const Node *like, const Type *type) {
    Node *c = node_const(g, *type, like->attrs.number);
    c->attrs.whole = like->attrs.whole;
    return c;
}

Size type_product(const Graph *g, const Type *t, int from, int to) {
    Size p = size_const(g->program->sizes, 1);
    for (int i = from; i < to; i++) p = size_mul(p, t->dim[i]);
    return p;
}

static bool text_same(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool node_same_op(const Node *a, const Node *b) {
    if (a->op != b->op || !type_equal(&a->type, &b->type) || a->n_in != b->n_in) return false;
    const Attrs *x = &a->attrs, *y = &b->attrs;
    unsigned has = op_row(a->op)->attrs;
    if ((has & A_INDEX) && x->index != y->index) return false;
    if ((has & A_NAME) && !text_same(x->name, y->name)) return false;
    if ((has & A_NUMBER) && (memcmp(&x->number, &y->number, sizeof x->number) != 0 || x->whole != y->whole)) return false;
    if ((has & A_DATA) && x->data != y->data) return false;
    if ((has & A_AXIS) && x->axis != y->axis) return false;
    if (has & A_AXES) {
        if (x->n_axes != y->n_axes) return false;
        for (int i = 0; i < x->n_axes; i++)
            if (x->axes[i] != y->axes[i]) return false;
    }
    if (has & A_RANGE)
        for (int i = 0; i < MAX_RANK; i++)
            if (x->lo[i] != y->lo[i] || x->hi[i] != y->hi[i]) return false;
    if (has & A_LABELS)
        for (int i = 0; i < 3; i++)
            if (!text_same(x->labels[i], y->labels[i])) return false;
    if ((has & A_FN) && x->fn != y->fn) return false;
    if ((has & A_SITE) && (x->site != y->site || x->step != y->step)) return false;
    if ((has & A_EXTENT) && x->extent != y->extent) return false;
    if ((has & A_FLAG) && x->flag != y->flag) return false;
    if ((has & A_BODY) && x->body != y->body) return false;
    if ((has & A_WINDOW) && memcmp(&x->window, &y->window, sizeof x->window) != 0) return false;
    if ((has & A_COUNTS) && memcmp(x->counts, y->counts, sizeof x->counts) != 0) return false;
    return true;
}

static uint64_t mix(uint64_t h, uint64_t v) {
    return (h ^ v) * 0x100000001b3ull;
}

uint64_t node_hash(const Node *n) {
    uint64_t h = mix(0xcbf29ce484222325ull, (uint64_t)n->op);
    h = mix(h, (uint64_t)n->type.dtype);
    for (int i = 0; i < n->type.rank; i++) h = mix(h, (uint64_t)n->type.dim[i]->id);
    uint64_t bits;
    memcpy(&bits, &n->attrs.number, sizeof bits);
    h = mix(h, bits ^ (bits >> 32));
    h = mix(h, (uint64_t)n->attrs.index * 31 + (uint64_t)n->attrs.axis);
    h = mix(h, (uint64_t)n->attrs.fn * 31 + (uint64_t)n->attrs.site);
    for (int i = 0; i < n->attrs.n_axes; i++) h = mix(h, (uint64_t)n->attrs.axes[i]);
    return h;
}

bool graph_stores(const Graph *g) {
    for (int i = 0; i < g->effects.n; i++)
        if (g->effects.at[i].kind == EFFECT_STORE) return true;
    return false;
}

static bool *steady_nodes(Arena *a, const Graph *g, bool statistics) {
    bool *steady = NEW_ARRAY(a, bool, g->nodes.n);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        OpClass class = op_row(n->op)->class;
        bool pure = class == CLASS_MAP || class == CLASS_VIEW || class == CLASS_REDUCE;
        steady[i] = class == CLASS_LEAF ? n->op != OP_INPUT && n->op != OP_ARG : pure && n->op != OP_RANDOM;
        for (int k = 0; k < n->n_in; k++) steady[i] = steady[i] && steady[n->in[k]->id];
        steady[i] |= statistics && node_is_statistic(n);
    }
    return steady;
}

bool *nodes_steady(Arena *a, const Graph *g) { return steady_nodes(a, g, false); }

bool *nodes_steady_but_statistics(Arena *a, const Graph *g) { return steady_nodes(a, g, true); }
