/* quantize_pool.c -- sums and means in front of products of codes, poolings by the average among them: sums of codes themselves.
 *
 *   %y: f32[b, 8] = reduce sum %x [1, 2]                         then divided by 36, limited, shown in another order ..
 *   →   %u: i8[b, 6, 6, 8] = codes of %x                          of the range `head.pooled`, where `head` reads the pooling
 *       %p: i32[b, 8] = (reduce sum %u [1, 2]) - 36 * z
 *       %y: f32[b, 8] = (cast %p) * t                             quantize_fixed.c makes codes of %p, not of %y
 *
 * So is the sum of the taps of windows, each times one number, as the pass layout writes an avg_pool of up to 64 of them, and others as
 * sums over views of windows. A mean has a far narrower range than what it is taken of, so each has a range. Codes of values that would have to be rounded for it are not made. */
#include "passes/quantize.h"

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

static bool is_pool(const Node *n) {
    if (n->op == OP_ADD) {
        Terms t = {.n = 0};
        return add_terms(&t, n) && t.n > 1;
    }
    return n->op == OP_REDUCE && n->attrs.fn == REDUCE_SUM && n->type.dtype == DT_F32 && has_at_most(n, ELEMENTS_MOST);
}

const Node *quantize_pooled(const Node *n) {
    while (n->op == OP_ADD || n->op == OP_MUL) n = n->in[0];
    return n->op == OP_REDUCE && n->attrs.fn == REDUCE_SUM ? n->in[0] : n;
}

/* ---- whose */

typedef struct Finder {
    QuantPlan **pools; /* by id */
    const bool *steady;
    bool *seen;
} Finder;

/* Do codes follow n, or fixed point? */
static bool passes_codes(const Finder *f, const Node *n) {
    switch (n->op) {
    case OP_MUL: /* by values of channels, or a number */
    case OP_DIV: return f->steady[n->in[0]->id] || f->steady[n->in[1]->id];
    case OP_ADD:
    case OP_SUB:
    case OP_NEG:
    case OP_MAX:
    case OP_MIN:
    case OP_CLAMP:
    case OP_PAD:
    case OP_CONCAT: return true;
    default: return op_row(n->op)->class == CLASS_VIEW;
    }
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

QuantPlan **quantize_pools(PassContext *c, const Graph *g, const QuantScope *scope) {
    Finder f = {NEW_ARRAY(c->scratch, QuantPlan *, g->nodes.n), nodes_steady(c->scratch, g), NEW_ARRAY(c->scratch, bool, g->nodes.n)};
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (int k = 0; n->op == OP_CONTRACT && k < 2; k++) {
            int axis[MAX_RANK], slot = quantize_trace(scope, n->in[k], axis);
            if (slot >= 0 && c->quantized[slot]) find(&f, c->quantized[slot], n->in[!k]);
        }
    }
    return f.pools;
}

/* ---- sums */

static Node *whole_number(Graph *g, Size n) {
    int64_t value;
    if (size_is_const(n, &value)) return node_const(g, type_scalar(DT_I32), (double)value);
    return node_cast(g, node_leaf(g, OP_SIZE, &(Attrs){.extent = n}, type_scalar(DT_I64)), DT_I32);
}

/* sums - n * zero */
static Node *without_zeros(Graph *g, Node *sums, Size n, int zero) {
    if (!zero) return sums;
    Node *count = whole_number(g, n);
    count = node_map2(g, OP_MUL, count, node_const(g, count->type, zero));
    return node_map2(g, OP_SUB, sums, quantize_spread(g, count, sums));
}

static Node *sum_of_elements(PassContext *c, Graph *g, CodedValues *made, QuantStep step, const Node *n, Node *const *map) {
    Node *u = quantize_static_known(c, g, made, step, map[n->in[0]->id]);
    if (!u) return NULL;
    Size count = size_const(g->program->sizes, 1);
    for (int i = 0; i < n->attrs.n_axes; i++) count = size_mul(count, reduced_size(n, i));
    return without_zeros(g, node_reduce(g, REDUCE_SUM, u, n->attrs.n_axes, n->attrs.axes), count, step.zero);
}

static Node *sum_of_taps(PassContext *c, Graph *g, CodedValues *made, QuantStep step, const Terms *t, Node *const *map) {
    Node *sums = NULL;
    for (int i = 0; i < t->n; i++) {
        Node *u = quantize_static_known(c, g, made, step, map[t->tap[i]->id]);
        if (!u) return NULL;
        u = node_cast(g, u, DT_I32);
        sums = sums ? node_map2(g, OP_ADD, sums, u) : u;
    }
    return without_zeros(g, sums, size_const(g->program->sizes, t->n), step.zero);
}

Node *quantize_pool(PassContext *c, Graph *g, CodedValues *made, QuantStep step, const Node *n, Node *const *map) {
    Terms t = {.share = 1};
    bool taps = n->op == OP_ADD && add_terms(&t, n);
    Node *sums = taps ? sum_of_taps(c, g, made, step, &t, map) : sum_of_elements(c, g, made, step, n, map);
    if (!sums) return NULL;
    Node *y = node_cast(g, sums, DT_F32);
    y = node_map2(g, OP_MUL, y, node_const(g, y->type, step.scale * t.share));
    PUSH(c->scratch, made->sums, ((CodedSums){.x = y, .sums = sums, .factor = step.scale * t.share}));
    return y;
}
