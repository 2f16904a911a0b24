/* quantize_pool.c -- sums and means in front of products of codes, poolings by the average among them: sums of codes themselves.
 *
 *   %y: f32[b, 8] = reduce sum %x [1, 2]                         then divided by 36, limited, shown in another order ..
 *   →   %u: i8[b, 6, 6, 8] = codes of %x                          of the range `head.pooled`, where `head` reads the pooling
 *       %p: i32[b, 8] = (reduce sum %u [1, 2]) - 36 * z
 *       %y: f32[b, 8] = (cast %p) * t                             quantize_fixed.c makes codes of %p, not of %y
 *
 * So is the sum of the taps of windows, each times one number, as the pass layout writes an avg_pool of up to 64 of them, and others as
 * sums over views of windows. A mean has a far narrower range than what it is taken of, so each has a range. Codes of values that would have
 * to be rounded for it are not made; values that are nothing but what codes stand for are added up as these, of whatever range. While an
 * entry is trained for codes, fake_input.c does the same. */
#include "passes/layout.h"
#include "passes/quantize.h"

#include "ir/op.h"

enum {
    TERMS_MOST = 64,
    ELEMENTS_MOST = 1 << 23 /* sums of as many codes, 255 apart, are i32 */
};

/* Views of one value, each times one number. */
typedef struct Terms {
    const Node *tap[TERMS_MOST];
    int n;
    double share;
} Terms;

static bool add_terms(Terms *t, const Node *x) {
    if (x->op == OP_ADD) return add_terms(t, x->in[0]) && add_terms(t, x->in[1]);
    const Node *by = x->op == OP_MUL && x->type.dtype == DT_F32 ? quantize_constant(x->in[1]) : NULL;
    if (!by || t->n == TERMS_MOST) return false;
    if (t->n && (by->attrs.number != t->share || quantize_behind_views(x->in[0]) != quantize_behind_views(t->tap[0]))) return false;
    t->share = by->attrs.number;
    t->tap[t->n++] = x->in[0];
    return true;
}

static Size reduced_size(const Node *n, int i) { return n->in[0]->type.dim[n->attrs.axes[i]]; }

/* Elements that reduction n adds up to one. */
static bool has_at_most(const Node *n, int64_t most) {
    for (int i = 0; i < n->attrs.n_axes; i++) {
        int64_t low, high;
        size_range(reduced_size(n, i), &low, &high);
        most /= high > 1 ? high : 1;
    }
    return most > 0;
}

/* Before the pass layout: n is what that makes sums of. */
static bool is_average(const Node *n) {
    const Window *win = &n->attrs.window;
    const Node *w = n->in[1];
    if (n->attrs.fn != CONV_Y || w->op != OP_CONST || !size_is(w->type.dim[1], 1) || !size_is(w->type.dim[0], win->groups)) return false;
    int64_t taps = (int64_t)win->taps[0] * win->taps[1];
    return n->type.dtype == DT_F32 && taps <= ELEMENTS_MOST && (taps > 1 || !conv_is_depthwise(w, win));
}

static bool is_pool(const Node *n) {
    if (n->op == OP_ADD) {
        Terms t = {.n = 0};
        return add_terms(&t, n) && t.n > 1;
    }
    if (n->op == OP_CONV) return is_average(n);
    return n->op == OP_REDUCE && n->attrs.fn == REDUCE_SUM && n->type.dtype == DT_F32 && has_at_most(n, ELEMENTS_MOST);
}

const Node *quantize_pooled(const Node *n) {
    while (n->op == OP_ADD || n->op == OP_MUL) n = n->in[0];
    return n->op == OP_CONV || (n->op == OP_REDUCE && n->attrs.fn == REDUCE_SUM) ? n->in[0] : n;
}

/* ---- whose */

typedef struct Finder {
    QuantPlan **pools; /* by id */
    const bool *steady;
    bool *seen;
} Finder;

/* Do codes follow n, or fixed point? */
static bool passes_codes(const Finder *f, const Node *n) {
    bool by = n->op == OP_MUL || n->op == OP_DIV; /* values of channels, or a number */
    return by ? f->steady[n->in[0]->id] || f->steady[n->in[1]->id] : node_follows_codes(n);
}

static void find(Finder *f, QuantPlan *q, const Node *n) {
    if (f->seen[n->id] || f->steady[n->id] || n->type.dtype != DT_F32) return;
    f->seen[n->id] = true;
    if (is_pool(n)) {
        f->pools[n->id] = q;
        find(f, q, quantize_behind_views(quantize_pooled(n)));
        return;
    }
    for (int i = 0; i < n->n_in && passes_codes(f, n); i++) find(f, q, n->in[i]);
}

QuantPlan **quantize_pools(PassContext *c, const Graph *g, const QuantScope *scope, QuantPlan *const *plan, bool trains) {
    Finder f = {.pools = NEW_ARRAY(c->scratch, QuantPlan *, g->nodes.n), .seen = NEW_ARRAY(c->scratch, bool, g->nodes.n)};
    f.steady = trains ? nodes_steady_but_statistics(c->scratch, g) : nodes_steady(c->scratch, g);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (int k = 0; (n->op == OP_CONTRACT || n->op == OP_CONV) && k < 2; k++) {
            int axis[MAX_RANK], slot = quantize_trace(scope, n->in[k], axis);
            if (slot >= 0 && plan[slot]) find(&f, plan[slot], n->in[!k]);
        }
    }
    return f.pools;
}

/* ---- sums */

/* sums - n * zero */
static Node *without_zeros(Graph *g, Node *sums, Size n, int zero) {
    if (!zero) return sums;
    Node *count = node_count(g, n, DT_I32);
    count = node_map2(g, OP_MUL, count, node_const(g, count->type, zero));
    return node_map2(g, OP_SUB, sums, quantize_spread(g, count, sums));
}

typedef struct Pool {
    PassContext *c;
    Graph *g;
    CodedValues *made;
    const QuantStep *pooled; /* NULL: what has no codes stays floats */
    QuantStep step;          /* of the codes that are added up */
} Pool;

/* Those that x has, or of the range of what is pooled. */
static Node *codes_of(Pool *p, Node *x) {
    const Coded *exact = quantize_exact(p->made, x);
    if (!exact && !p->pooled) return NULL;
    p->step = exact ? exact->step : *p->pooled;
    return exact ? quantize_static(p->c, p->g, p->made, p->step, x) : quantize_static_known(p->c, p->g, p->made, p->step, x);
}

static Node *sum_of_elements(Pool *p, const Node *n, Node *const *map) {
    Graph *g = p->g;
    Node *u = codes_of(p, map[n->in[0]->id]);
    if (!u) return NULL;
    Size count = size_const(g->program->sizes, 1);
    for (int i = 0; i < n->attrs.n_axes; i++) count = size_mul(count, reduced_size(n, i));
    return without_zeros(g, node_reduce(g, REDUCE_SUM, u, n->attrs.n_axes, n->attrs.axes), count, p->step.zero);
}

static Node *sum_of_taps(Pool *p, const Terms *t, Node *const *map) {
    Graph *g = p->g;
    Node *sums = NULL;
    for (int i = 0; i < t->n; i++) {
        Node *u = codes_of(p, map[t->tap[i]->id]);
        if (!u) return NULL;
        u = node_cast(g, u, DT_I32);
        sums = sums ? node_map2(g, OP_ADD, sums, u) : u;
    }
    return without_zeros(g, sums, size_const(g->program->sizes, t->n), p->step.zero);
}

Node *quantize_pool(PassContext *c, Graph *g, CodedValues *made, const QuantStep *pooled, const Node *n, Node *const *map) {
    Terms t = {.share = 1};
    Pool p = {.c = c, .g = g, .made = made, .pooled = pooled};
    bool taps = n->op == OP_ADD && add_terms(&t, n);
    Node *sums = taps ? sum_of_taps(&p, &t, map) : sum_of_elements(&p, n, map);
    if (!sums) return NULL;
    Node *y = node_cast(g, sums, DT_F32);
    double factor = p.step.scale * t.share;
    y = node_map2(g, OP_MUL, y, node_const(g, y->type, factor));
    PUSH(c->scratch, made->sums, ((CodedSums){.x = y, .sums = sums, .factor = factor}));
    return y;
}
