/* fake.c -- training of weights that will be quantized: an entry with `quantize` in its body computes with what their codes stand for.
 *
 * Requires: the passes up to `hoist`; gradients are not taken yet.  Ensures: no entry has fakes.
 *
 *   %w: f32[32, 16] = slot net.weight
 *   →   %v: f32[32, 16] = what the codes of %w stand for      (quantize.h, so it is what the deployed weight is, to the bit)
 *       %s: f32[32, 16] = add (stop %v), (sub %w, (stop %w))
 *
 * %s is %v, and its gradient goes to %w as it is: the straight-through estimator (Bengio et al., 2013). Products, convolutions and gathers
 * read %s; optimizers and penalties %w. */
#include "passes/quantize.h"

#include <string.h>

enum { LEFT = 713 };

typedef struct FakePass {
    Rewrite r;
    QuantPlan **plan; /* by slot; NULL: it is computed with as it is */
    Node **value; /* %s, once made */
} FakePass;

static const Entry *entry_of(const Graph *g) {
    for (int i = 0; i < g->program->entries.n; i++)
        if (g->program->entries.at[i]->graph == g) return g->program->entries.at[i];
    return NULL;
}

static Node *straight_through(FakePass *f, Node *w, const QuantPlan *q) {
    Graph *g = f->r.to;
    Node *v = node_map1(g, OP_STOP, quantize_fake(g, q, w));
    return node_map2(g, OP_ADD, v, node_map2(g, OP_SUB, w, node_map1(g, OP_STOP, w)));
}

/* n, a view of a slot that is quantized, as a view of what its codes stand for. */
static Node *faked(FakePass *f, const Node *n) {
    if (n->op == OP_SLOT) {
        int slot = n->attrs.index;
        if (!f->value[slot]) f->value[slot] = straight_through(f, f->r.map[n->id], f->plan[slot]);
        return f->value[slot];
    }
    return graph_copy_node(f->r.to, n, (Node *[]){faked(f, n->in[0])});
}

static bool is_faked(const FakePass *f, const Node *n) {
    int axis[MAX_RANK], slot = quantize_trace(NULL, n, axis);
    return slot >= 0 && f->plan[slot];
}

/* Does operand k of n go into a product, a convolution, a gather or a loop that has them? */
static bool reads_values(const Node *n, int k) {
    if (n->op == OP_SCAN) return k < n->attrs.counts[0];
    return n->op == OP_CONTRACT || (n->op == OP_CONV && k == 1) || (n->op == OP_GATHER && k == 0);
}

static Node *rewritten(FakePass *f, const Node *n) {
    Node **in = rewrite_operands(&f->r, n);
    for (int k = 0; k < n->n_in; k++)
        if (reads_values(n, k) && is_faked(f, n->in[k])) in[k] = faked(f, n->in[k]);
    rewrite_at(f->r.to, n);
    if (!n->attrs.body) return graph_copy_node(f->r.to, n, in);
    return rewrite_with(f->r.to, n, &n->attrs, n->n_in, in);
}

static void plans_make(FakePass *f, const Entry *e) {
    PassContext *c = f->r.c;
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
    FakePass f = {.r = rewrite_begin(c, from)};
    int slots = from->program->slots.n;
    f.plan = NEW_ARRAY(c->scratch, QuantPlan *, slots + 1);
    f.value = NEW_ARRAY(c->scratch, Node *, slots + 1);
    plans_make(&f, e);
    for (int i = 0; i < from->nodes.n; i++) {
        const Node *n = from->nodes.at[i];
        if (!f.r.live[i]) continue;
        rewrite_at(f.r.to, n);
        f.r.map[i] = rewritten(&f, n);
    }
    ((Entry *)e)->fakes.n = 0;
    return rewrite_end(&f.r);
}
