/* fake.c -- training of weights that will be quantized: an entry with `quantize` in its body computes with what their codes stand for.
 *
 * Requires: the passes up to `hoist`; gradients are not taken yet.  Ensures: no entry has fakes.
 *
 *   %w: f32[32, 16] = slot net.weight
 *   →   %v: f32[32, 16] = what the codes of %w stand for      (quantize.h, so it is what the deployed weight is, to the bit)
 *       %s: f32[32, 16] = custom %v, %w
 *
 * %s is %v, and its gradient goes to %w as it is: the straight-through estimator (Bengio et al., 2013). Products, convolutions and gathers
 * read %s; optimizers and penalties %w. Where what flows into a product becomes codes too, fake_input.c makes the product. */
#include "passes/fake.h"

#include <string.h>

enum { LEFT = 713 };

static const Entry *entry_of(const Graph *g) {
    for (int i = 0; i < g->program->entries.n; i++)
        if (g->program->entries.at[i]->graph == g) return g->program->entries.at[i];
    return NULL;
}

Node *fake_through(Graph *g, Node *value, Node *carrier) {
    Graph *body = graph_new(g->arena, g->program);
    Node *dy = graph_arg(body, value->type);
    graph_arg(body, carrier->type);
    graph_result(body, "d", dy);
    return node_get(g, graph_add(g, OP_CUSTOM, &(Attrs){.body = body}, 2, (Node *[]){value, carrier}), 0);
}

Node *fake_view(Graph *g, const Node *n, Node *slot) {
    if (n->op == OP_SLOT) return slot;
    Node *x = fake_view(g, n->in[0], slot);
    return x->type.dtype == n->type.dtype ? graph_copy_node(g, n, &x) : graph_add(g, n->op, &n->attrs, 1, &x);
}

Node *fake_weight(FakePass *f, const Node *n) {
    int axis[MAX_RANK], slot = quantize_trace(NULL, n, axis);
    const Node *w = n;
    while (w->op != OP_SLOT) w = w->in[0];
    if (!f->value[slot]) {
        Node *now = f->r.map[w->id];
        f->value[slot] = fake_through(f->r.to, quantize_fake(f->r.to, f->plan[slot], now), now);
    }
    return fake_view(f->r.to, n, f->value[slot]);
}

static QuantPlan *plan_of(const FakePass *f, const Node *n) {
    int axis[MAX_RANK], slot = quantize_trace(NULL, n, axis);
    return slot >= 0 ? f->plan[slot] : NULL;
}

/* Does operand k of n go into a product, a convolution, a gather or a loop that has them? */
static bool reads_values(const Node *n, int k) {
    if (n->op == OP_SCAN) return k < n->attrs.counts[0];
    return n->op == OP_CONTRACT || (n->op == OP_CONV && k == 1) || (n->op == OP_GATHER && k == 0);
}

static void say_float(FakePass *f, const QuantPlan *q) {
    if (f->said[q->slot->index]) return;
    f->said[q->slot->index] = true;
    Report *r = diag_warning(f->r.c->diag, f->entry->loc, LEFT, "`%s` computes with what flows into `%s` as it is", f->entry->name, q->slot->path);
    diag_fact(r, "its product stands in a loop, where ranges are not followed");
}

static Node *rewritten(FakePass *f, const Node *n) {
    if (n->op == OP_SLOT && f->leaf[n->attrs.index]) return f->leaf[n->attrs.index]; /* what gradients are asked of */
    Node *pool = f->pools[n->id] ? fake_pool(f, f->pools[n->id], n) : NULL;
    if (pool) return pool;
    Node **in = rewrite_operands(&f->r, n);
    for (int k = 0; k < n->n_in; k++) {
        const QuantPlan *q = reads_values(n, k) ? plan_of(f, n->in[k]) : NULL;
        if (!q) continue;
        bool codes = q->activations == ACTIVATIONS_STATIC;
        if (codes && n->op == OP_CONTRACT) return fake_product(f, q, n, k);
        if (codes && n->op == OP_CONV) return fake_convolution(f, q, n);
        if (codes && n->op == OP_SCAN) say_float(f, q);
        in[k] = fake_weight(f, n->in[k]);
    }
    rewrite_at(f->r.to, n);
    if (!n->attrs.body) return graph_copy_node(f->r.to, n, in);
    return rewrite_with(f->r.to, n, &n->attrs, n->n_in, in);
}

static void plans_make(FakePass *f) {
    PassContext *c = f->r.c;
    const Entry *e = f->entry;
    for (int i = 0; i < e->fakes.n; i++) {
        Slot *s = e->fakes.at[i].slot;
        const Quant *q = &e->fakes.at[i].quant;
        const char *why;
        f->plan[s->index] = quantize_plan(c, f->r.from, s, q, &why);
        if (f->plan[s->index]) continue;
        Report *r = diag_warning(c->diag, q->loc, LEFT, "`%s` computes with `%s` as it is", e->name, s->path);
        diag_fact(r, "%s", why);
    }
}

Graph *pass_fake(PassContext *c, const Graph *from) {
    const Entry *e = entry_of(from);
    if (!e || !e->fakes.n) return (Graph *)from;
    FakePass f = {.r = rewrite_begin(c, from), .entry = e};
    int slots = from->program->slots.n;
    f.plan = NEW_ARRAY(c->scratch, QuantPlan *, slots + 1);
    f.value = NEW_ARRAY(c->scratch, Node *, slots + 1);
    f.stored = NEW_ARRAY(c->scratch, Stored, slots + 1);
    f.range = NEW_ARRAY(c->scratch, Node *, slots + 1);
    f.leaf = NEW_ARRAY(c->scratch, Node *, slots + 1);
    f.seen = NEW_ARRAY(c->scratch, Node *, slots + 1);
    f.said = NEW_ARRAY(c->scratch, bool, slots + 1);
    plans_make(&f);
    f.pools = quantize_pools(c, from, NULL, f.plan, e->train);
    for (int i = 0; i < from->nodes.n; i++) {
        const Node *n = from->nodes.at[i];
        if (!f.r.live[i]) continue;
        rewrite_at(f.r.to, n);
        f.r.map[i] = rewritten(&f, n);
        if (!f.r.map[i]->name) f.r.map[i]->name = n->name;
    }
    ((Entry *)e)->fakes.n = 0;
    Graph *g = rewrite_end(&f.r);
    if (e->train) fake_store_ranges(&f);
    return g;
}
