/* remake.c -- marks what weights' gradients are to compute again because it is a few maps of what gradients keep anyway.
 *
 * Requires: no CALL.  Ensures: a product with a weight whose other operand is such a value carries the number of a part (Node.recompute
 * < 0) that its maps carry too; the pass `grad` lets the weight's gradient see a copy of them.
 *   %h = gelu %u; %y = contract %h, %w   →   dw reads gelu %u, made when it is needed: %u is kept for the gradient of gelu, %h is not
 *
 * The maps begin at leaves, at statistics (what is expanded over rows), and at values that a product of the chain rule reads: factors
 * of a multiplication whose other factor has a gradient, too (Rumelhart et al. 1986, as every sweep in reverse has it). A sum keeps
 * nothing: a value that goes into sums alone ends the search, and what is stored stays stored. */
#include "passes/fuse.h"
#include "passes/grad.h"

enum { MAPS_MOST = 12, HEAVY_MOST = 1, ELEMENTS_LEAST = 4096, READERS_MOST = 16 /* of products that read a value */, LARGE_MOST = 8 };

typedef struct Reader {
    int node, operand; /* of the graph as it was */
    struct Reader *next;
} Reader;

typedef struct Remake {
    PassContext *c;
    const Graph *g;
    bool *wanted;    /* by id: a loss depends on it */
    bool *active;    /* .. and has a gradient */
    bool *varies;    /* by id: depends on what an entry is called with; else it is a weight, or made of weights */
    Reader **readers; /* by id of what is no view: who reads it, through views or not */
    int *part, parts; /* by id: number of its part, or 0 */
    bool *kept;      /* .. is a product that sees it */
} Remake;

/* The maps that make a value, and what they begin at. */
typedef struct Cone {
    const Node *node[2 * MAPS_MOST]; /* views among them */
    int n, maps, heavy;
    const Node *large[LARGE_MOST]; /* what must be kept */
    bool read[LARGE_MOST];         /* .. and is, by a gradient */
    int n_large;
} Cone;

static bool is_view(const Node *n) { return op_row(n->op)->class == CLASS_VIEW; }
static bool is_leaf(const Node *n) { return op_row(n->op)->class == CLASS_LEAF; }

static const Node *base_of(const Node *n) {
    while (is_view(n)) n = n->in[0];
    return n;
}

static void find_active(Remake *m) {
    const Graph *g = m->g;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *x = g->nodes.at[i];
        m->varies[i] = x->op == OP_INPUT || x->op == OP_ARG;
        for (int k = 0; k < x->n_in; k++) m->varies[i] |= m->varies[x->in[k]->id];
    }
    for (int i = g->nodes.n - 1; i >= 0; i--) {
        const Node *x = g->nodes.at[i];
        if (x->op == OP_GRAD) {
            m->wanted[x->in[0]->id] = true;
            bool *depends = grad_depends(m->c, g, x->n_in - 1, x->in + 1);
            for (int k = 0; k < g->nodes.n; k++) m->active[k] |= depends[k];
        }
        for (int k = 0; k < x->n_in && m->wanted[i] && x->op != OP_GRAD; k++) m->wanted[x->in[k]->id] = true;
    }
}

static void find_readers(Remake *m) {
    for (int i = 0; i < m->g->nodes.n; i++) {
        const Node *x = m->g->nodes.at[i];
        for (int k = 0; k < x->n_in && !is_view(x); k++) {
            int from = base_of(x->in[k])->id;
            Reader *r = NEW(m->c->scratch, Reader);
            *r = (Reader){i, k, m->readers[from]};
            m->readers[from] = r;
        }
    }
}

static bool add_large(Cone *c, const Node *n, bool read) {
    int i = 0;
    while (i < c->n_large && c->large[i] != n) i++;
    if (i == LARGE_MOST) return false;
    c->n_large += i == c->n_large;
    c->large[i] = n;
    c->read[i] |= read;
    return true;
}

/* Is it read by maps alone? What a sum over rows or a product reads is in memory anyway. */
static bool passes_through(const Remake *m, const Node *n) {
    for (const Reader *r = m->readers[n->id]; r; r = r->next)
        if (op_row(m->g->nodes.at[r->node]->op)->class != CLASS_MAP) return false;
    return true;
}

/* read: a gradient reads n, or what n is made into. */
static bool grow(const Remake *m, Cone *c, const Node *n, bool read) {
    const Node *below = n;
    for (; is_view(below); below = below->in[0])
        if (below->op == OP_EXPAND && !is_leaf(base_of(below))) return true; /* a statistic, small */
    if (is_leaf(below)) return true;
    bool heavy = node_is_heavy(below->op), known = false;
    for (int i = 0; i < c->n; i++) known |= c->node[i] == below;
    if (op_row(below->op)->class != CLASS_MAP || below->op == OP_RANDOM || below->recompute || m->part[below->id] ||
        (c->maps && !passes_through(m, below)) || (!known && (c->maps == MAPS_MOST || c->heavy + heavy > HEAVY_MOST)))
        return add_large(c, below, read);
    for (; is_view(n); n = n->in[0]) {
        if (n->op == OP_SLICE || c->n == 2 * MAPS_MOST) return false;
        c->node[c->n++] = n;
    }
    if (!known) {
        if (c->n == 2 * MAPS_MOST) return false;
        c->node[c->n++] = below;
        c->maps++;
        c->heavy += heavy;
    }
    bool both = (below->op == OP_MUL || below->op == OP_DIV) && m->active[below->in[0]->id] && m->active[below->in[1]->id];
    for (int k = 0; k < below->n_in; k++)
        if (!grow(m, c, below->in[k], read || both)) return false;
    return true;
}

/* Does its gradient do without x? */
static bool is_linear(const Node *n) { return n->op == OP_ADD || n->op == OP_SUB || n->op == OP_NEG || (n->op == OP_REDUCE && n->attrs.fn == REDUCE_SUM); }

static bool is_product(const Node *n) { return n->op == OP_CONTRACT || n->op == OP_CONV; }

/* Of who reads v: all products with weights whose gradients do, into product[]; their number, 0 if anything else keeps it. */
static int products_of(const Remake *m, const Node *v, const Node **product) {
    int n = 0;
    for (const Reader *r = m->readers[v->id]; r; r = r->next) {
        const Node *x = m->g->nodes.at[r->node];
        if (!m->wanted[r->node] || is_linear(x)) continue;
        if (!is_product(x) || r->operand > 1 || m->varies[x->in[1 - r->operand]->id]) return 0;
        if (!m->active[x->in[1 - r->operand]->id]) continue; /* a frozen one */
        if (x->recompute || m->part[x->id] || n == READERS_MOST) return 0;
        product[n++] = x;
    }
    return n;
}

static void mark_views(Remake *m, const Node *n) {
    for (; is_view(n); n = n->in[0]) m->part[n->id] = m->parts;
}

static void mark(Remake *m, const Node *v) {
    const Node *product[READERS_MOST];
    int64_t count;
    bool small = size_is_const(type_count(m->g, &v->type), &count) && count < ELEMENTS_LEAST;
    if (op_row(v->op)->class != CLASS_MAP || !m->wanted[v->id] || !m->active[v->id] || m->part[v->id] || v->recompute || small) return;
    int n = products_of(m, v, product);
    Cone c = {0};
    if (!n || !grow(m, &c, v, false) || c.n == 0) return;
    for (int i = 0; i < c.n_large; i++)
        if (!c.read[i]) return;
    m->parts++;
    for (int i = 0; i < c.n; i++) m->part[c.node[i]->id] = m->parts;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 2; k++)
            if (base_of(product[i]->in[k]) == v) mark_views(m, product[i]->in[k]);
        m->part[product[i]->id] = m->parts;
        m->kept[product[i]->id] = true;
    }
}

Graph *pass_remake(PassContext *c, const Graph *g) {
    int n = g->nodes.n;
    bool any = false;
    for (int i = 0; i < n; i++) any |= g->nodes.at[i]->op == OP_GRAD;
    if (!any) return (Graph *)g;
    Remake m = {.c = c, .g = g};
    m.wanted = NEW_ARRAY(c->scratch, bool, n);
    m.active = NEW_ARRAY(c->scratch, bool, n);
    m.varies = NEW_ARRAY(c->scratch, bool, n);
    m.readers = NEW_ARRAY(c->scratch, Reader *, n);
    m.part = NEW_ARRAY(c->scratch, int, n);
    m.kept = NEW_ARRAY(c->scratch, bool, n);
    find_active(&m);
    find_readers(&m);
    for (int i = 0; i < n; i++) mark(&m, g->nodes.at[i]);
    if (!m.parts) return (Graph *)g;
    Rewrite r = rewrite_begin(c, g);
    for (int i = 0; i < n; i++) {
        if (!r.live[i]) continue;
        r.map[i] = rewrite_copy(&r, g->nodes.at[i]);
        if (!m.part[i]) continue;
        r.map[i]->recompute = -(NODE_REMADE + m.part[i]);
        r.map[i]->kept = m.kept[i];
    }
    return rewrite_end(&r);
}
