/* fuse_attention.c -- softmax-weighted products as one kernel, so that no scores are stored.
 *
 *   kernel a  %z = maps of contract %q, %k                      [.., rows, keys]
 *   kernel b  %w = exp(%z - max %z) / sum ..            →       one kernel: a, b and c, which stores %y alone
 *   kernel c  %y = contract %w, %v over keys, and maps
 *
 * For a device that may be in bf16 or f16, but for the softmax: its matrix units multiply what is %z and %w here as it is made.
 *
 * Nobody else may read %z and %w. Between the quotient and %w may stand what keeps zeros and is linear: a product with something
 * that knows nothing of the maximum and the sum (dropout), a choice between it and 0. Few rows (a step over a cache) stay three
 * kernels: they read each key once as it is. */
#include "passes/fuse_attention.h"

#include <math.h>
#include <string.h>

enum {
    ROWS_FEW = 4,     /* queries up to which three kernels are as good */
    DEPTH_MOST = 512, /* elements of a key, and of a value: a block of keys is packed whole */
    HALF_MOST = 128,  /* .. of two bytes: beyond that no warp has the registers (schedule_attention_mma.c), and three kernels multiply on matrix units */
};

typedef struct Finder {
    Planner *p;
    const bool *stored;
    Group *a, *b, *c;
    Node *z; /* what a stores for b */
    Attention found;
    bool *after; /* by node id: depends on the maximum or the sum */
} Finder;

/* ---- who makes and who reads */

/* The only group that reads n; NULL: none, or several. */
static Group *only_reader(Planner *p, const Node *n) {
    Group *reader = NULL;
    for (int i = 0; i < p->groups.n; i++) {
        Group *r = p->groups.at[i];
        NodeList reads = r->dead || r == p->home[n->id] ? (NodeList){NULL, 0, 0} : group_reads(p, r);
        for (int k = 0; k < reads.n; k++) {
            if (reads.at[k] != n) continue;
            if (reader) return NULL;
            reader = r;
        }
    }
    return reader;
}

static bool stores_only(const Finder *f, const Group *g, const Node *n) {
    for (int i = 0; i < g->nodes.n; i++)
        if (f->stored[g->nodes.at[i]->id] && g->nodes.at[i] != n) return false;
    return !f->p->must[n->id];
}

static Node *member(const Group *g, int i) {
    return i < g->nodes.n ? g->nodes.at[i] : g->extra.at[i - g->nodes.n];
}

static int members(const Group *g) {
    return g->nodes.n + g->extra.n;
}

/* Do all nodes of g but `except` read n element by element, as maps do? */
static bool read_in_place(const Group *g, const Node *n, const Node *except) {
    for (int i = 0; i < members(g); i++) {
        const Node *m = member(g, i);
        for (int k = 0; m != except && k < m->n_in; k++) {
            Edge e = edge_of(m->in[k]);
            if (e.base == n && (e.kind != EDGE_SAME || op_row(m->op)->class == CLASS_ACCESS)) return false;
        }
    }
    return true;
}

bool attention_same_shape(const Node *a, const Node *b) {
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.rank != b->type.rank || a->type.dim[i] != b->type.dim[i]) return false;
    return a->type.rank == b->type.rank;
}

/* ---- the letters of the products */

/* Is what the letters of operand `side` say that the result does not, static and no more than DEPTH_MOST elements? */
bool attention_depth_fits(const Node *n, int side, const char *but) {
    int64_t depth = 1, size;
    for (int i = 0; n->attrs.labels[side][i]; i++) {
        if (strchr(but, n->attrs.labels[side][i])) continue;
        if (!size_is_const(n->in[side]->type.dim[i], &size)) return false;
        depth *= size;
    }
    return depth >= 1 && depth <= (dtype_bytes(n->type.dtype) == 2 ? HALF_MOST : DEPTH_MOST);
}

bool attention_operands_stored(const Group *g, const Node *n, const Node *except) {
    for (int k = 0; k < 2; k++)
        if (n->in[k] != except && (group_has(g, plan_base(n->in[k])) || node_is_free(plan_base(n->in[k])) ||
                                   !dtype_is_float(n->in[k]->type.dtype)))
            return false;
    return true;
}

/* Scores: the last letter of the result is of the keys and of them alone; no other letter is of the keys alone. */
bool attention_scores_fit(const Group *g, const Node *s) {
    const char *out = s->attrs.labels[2], last = out[strlen(out) - 1];
    int key = strchr(s->attrs.labels[1], last) != NULL;
    const char *q = s->attrs.labels[!key], *k = s->attrs.labels[key];
    int64_t rows = 1, low, high;
    if (strchr(q, last) || !attention_operands_stored(g, s, NULL) || !attention_depth_fits(s, key, out)) return false;
    for (int i = 0; k[i]; i++)
        if (k[i] != last && strchr(out, k[i]) && !strchr(q, k[i])) return false;
    for (int i = 0; q[i]; i++) {
        if (!strchr(out, q[i]) && !strchr(k, q[i])) return false;
        if (!strchr(out, q[i]) || strchr(k, q[i])) continue;
        size_range(s->in[!key]->type.dim[i], &low, &high);
        rows = high > ROWS_FEW || rows > ROWS_FEW ? ROWS_FEW + 1 : rows * high;
    }
    return rows > ROWS_FEW;
}

/* The other product: the last letter of the weights is the one summed over; what the values share with the weights beside it,
 * they share with the keys. */
static bool product_fits(const Group *g, const Node *y, int side, const Node *s) {
    const char *w = y->attrs.labels[side], *v = y->attrs.labels[!side], *out = y->attrs.labels[2];
    int keys = (int)strlen(w) - 1, key = strchr(s->attrs.labels[1], s->attrs.labels[2][keys]) != NULL;
    if (!attention_operands_stored(g, y, y->in[side]) || plan_base(y->in[!side]) == y->in[side] || !attention_depth_fits(y, !side, w)) return false;
    for (int i = 0; w[i]; i++) {
        if (!strchr(out, w[i]) != (i == keys)) return false;
        if (i < keys && strchr(v, w[i]) && !strchr(s->attrs.labels[key], s->attrs.labels[2][i])) return false;
    }
    for (int i = 0; v[i]; i++)
        if (!strchr(w, v[i]) && !strchr(out, v[i])) return false;
    return strchr(v, w[keys]) != NULL;
}

/* ---- the softmax */

/* Is operand k of n made of `base` by nothing but views of this kind? */
static bool operand_is(const Node *n, int k, const Node *base, EdgeKind kind) {
    Edge e = edge_of(n->in[k]);
    return e.base == base && e.kind == kind;
}

static bool is_after(const Finder *f, Node *operand) {
    return f->after[plan_base(operand)->id];
}

/* The quotient behind the weights, through what may stand between. */
static Node *quotient_of(Finder *f, Node *w) {
    while (group_has(f->b, w) && w->op != OP_DIV) {
        Node *next = NULL;
        if (w->op == OP_WHERE && w->in[2]->op == OP_CONST && w->in[2]->attrs.number == 0) {
            EdgeKind kind = edge_of(w->in[0]).kind;
            if (kind == EDGE_ROW || (kind == EDGE_SAME && !is_after(f, w->in[0]))) next = w->in[1];
        }
        if (w->op == OP_CAST && dtype_is_float(w->type.dtype)) next = w->in[0];
        for (int k = 0; k < 2 && w->op == OP_MUL && !next; k++)
            if (is_after(f, w->in[k]) && !is_after(f, w->in[1 - k])) next = w->in[k];
        if (!next || edge_of(next).kind != EDGE_SAME || edge_of(next).base == w) return NULL;
        w = edge_of(next).base;
    }
    return group_has(f->b, w) ? w : NULL;
}

static void mark_after(Finder *f) {
    for (int i = 0; i < f->p->g->nodes.n; i++) {
        Node *n = f->p->g->nodes.at[i];
        f->after[i] = group_has(f->b, n) && n->op == OP_REDUCE;
        for (int k = 0; k < n->n_in && group_has(f->b, n); k++) f->after[i] |= is_after(f, n->in[k]);
    }
}

static bool find_softmax(Finder *f) {
    Attention *a = &f->found;
    for (int i = 0; i < f->b->nodes.n; i++) {
        Node *n = f->b->nodes.at[i];
        if (n->op != OP_REDUCE) continue;
        Node **to = n->attrs.fn == REDUCE_MAX ? &a->max : n->attrs.fn == REDUCE_SUM ? &a->sum : NULL;
        if (!to || *to || n->attrs.n_axes != 1) return false;
        *to = n;
    }
    if (!a->max || !a->sum || edge_of(a->max->in[0]).kind != EDGE_SAME || edge_of(a->sum->in[0]).kind != EDGE_SAME) return false;
    a->logits = edge_of(a->max->in[0]).base;
    Node *e = edge_of(a->sum->in[0]).base, *d = e->op == OP_EXP ? edge_of(e->in[0]).base : NULL;
    if (!d || d->op != OP_SUB || !operand_is(d, 0, a->logits, EDGE_SAME) || !operand_is(d, 1, a->max, EDGE_ROW)) return false;
    if (!operand_is(e, 0, d, EDGE_SAME) || !group_has(f->b, e) || !group_has(f->b, d)) return false;
    mark_after(f);
    a->quotient = quotient_of(f, a->weights);
    if (!a->quotient || !operand_is(a->quotient, 0, e, EDGE_SAME) || !operand_is(a->quotient, 1, a->sum, EDGE_ROW)) return false;
    return true;
}

static bool uses_scores(const Finder *f, const Node *n) {
    if (n == f->found.scores) return true;
    if (!group_has(f->a, n) && !group_has(f->b, n)) return false;
    for (int i = 0; i < n->n_in; i++)
        if (uses_scores(f, plan_base(n->in[i]))) return true;
    return false;
}

/* Is every node of b that depends on the maximum a part of the softmax, or one value a row? */
static bool only_softmax(Finder *f) {
    const Attention *a = &f->found;
    Size scores = type_count(f->p->g, &a->scores->type), rows = type_count(f->p->g, &a->max->type);
    NodeList chain = {NULL, 0, 0};
    for (Node *w = a->weights; w != a->quotient;) {
        PUSH(f->p->scratch, chain, w);
        bool second = w->op == OP_WHERE || !is_after(f, w->in[0]);
        const Node *factor = w->n_in > 1 && !is_after(f, w->in[!second]) ? plan_base(w->in[!second]) : NULL; /* known when the scores are gone */
        if (factor && uses_scores(f, factor)) return false;
        w = edge_of(w->in[second]).base;
    }
    Node *e = edge_of(a->sum->in[0]).base, *d = edge_of(e->in[0]).base;
    for (int i = 0; i < members(f->b); i++) {
        Node *n = member(f->b, i);
        Size count = type_count(f->p->g, &n->type);
        if (op_row(n->op)->class == CLASS_ACCESS && f->after[n->id]) return false;
        if (count != scores && count != rows && n->type.rank != 0) return false;
        if (!f->after[n->id] || count != scores || n == e || n == d || n == a->quotient) continue;
        bool between = false;
        for (int k = 0; k < chain.n; k++) between |= chain.at[k] == n;
        if (!between) return false;
    }
    return true;
}

/* ---- the triangle */

static bool is_low(const Node *n) {
    return n->op == OP_CONST && n->attrs.number == -INFINITY;
}

/* where (ge (iota(i) + reach - 1, iota(keys)), .., -inf), in the logits. */
static void find_triangle(Finder *f) {
    Attention *a = &f->found;
    a->triangle = -1;
    Node *n = a->logits->op == OP_CAST ? edge_of(a->logits->in[0]).base : a->logits;
    for (; n->op == OP_WHERE && is_low(n->in[2]); n = edge_of(n->in[1]).base) {
        Causal c;
        if (!attention_same_shape(n, a->scores)) return;
        if (!mask_is_causal(n->in[0], &c) || c.offset) continue;
        a->triangle = c.row_axis;
        a->reach = size_const(f->p->sizes, c.plus + 1);
        return;
    }
}

/* ---- one group of three */

void group_take(Planner *p, Group *to, Group *from) {
    for (int i = 0; i < from->nodes.n; i++) {
        p->home[from->nodes.at[i]->id] = to;
        PUSH(p->scratch, to->nodes, from->nodes.at[i]);
        PUSH(p->scratch, to->before, from->nodes.at[i]);
    }
    for (int i = 0; i < from->extra.n; i++) {
        if (!group_has(to, from->extra.at[i])) PUSH(p->scratch, to->extra, from->extra.at[i]);
        PUSH(p->scratch, to->before, from->extra.at[i]);
    }
    from->dead = true;
}

/* A map that is computed again before and behind the product would need two levels. */
static bool shares_nothing(const Group *before, const Group *c) {
    for (int i = 0; i < before->extra.n; i++)
        if (before->extra.at[i]->type.rank > 0 && group_has(c, before->extra.at[i])) return false;
    return true;
}

/* The logits, or what maps of b make them of: a value of all scores that a product stores. NULL: neither. */
static Node *stored_scores(Finder *f) {
    if (!group_has(f->b, f->found.logits)) return f->found.logits;
    NodeList reads = group_reads(f->p, f->b);
    for (int i = 0; i < reads.n; i++) {
        const Group *home = f->p->home[reads.at[i]->id];
        if (home && home->kind == KERNEL_CONTRACT && home != f->c && attention_same_shape(home->anchor, reads.at[i])) return reads.at[i];
    }
    return NULL;
}

/* Does nobody else read what the three groups hand on? */
static bool is_alone(const Finder *f) {
    Node *w = f->found.weights;
    return stores_only(f, f->b, w) && only_reader(f->p, w) == f->c && stores_only(f, f->a, f->z) && only_reader(f->p, f->z) == f->b;
}

/* All in f32; or products in two bytes that a device may have, of operands of that type, around a softmax in f32. */
static bool types_fit(const Finder *f) {
    const Attention *a = &f->found;
    const Node *s = a->scores, *y = f->c->anchor;
    DType d = s->type.dtype;
    if (a->logits->type.dtype != DT_F32 || a->quotient->type.dtype != DT_F32 || a->weights->type.dtype != d || y->type.dtype != d) return false;
    if (d == DT_F32) return true;
    if (!f->p->options->device || (d != DT_BF16 && d != DT_F16)) return false;
    const Node *v = y->in[!a->side];
    for (int k = 0; k < 2; k++)
        if (s->in[k]->type.dtype != d) return false;
    return v->type.dtype == d;
}

static bool attention_from(Finder *f, int side) {
    Planner *p = f->p;
    Node *y = f->c->anchor, *w = y->in[side];
    Attention *a = &f->found;
    *a = (Attention){.weights = w, .side = side};
    f->b = p->home[w->id];
    if (!f->b || f->b->kind != KERNEL_MAP || f->b->row != 1 || f->b->row_length != w->type.dim[w->type.rank - 1]) return false;
    if (!read_in_place(f->c, w, y) || !find_softmax(f)) return false;
    Node *z = f->z = stored_scores(f);
    f->a = z ? p->home[z->id] : NULL;
    if (!f->a || f->a == f->b || f->a->kind != KERNEL_CONTRACT) return false;
    a->scores = f->a->anchor;
    if (!types_fit(f) || !attention_same_shape(a->scores, z) || !attention_same_shape(z, w) || !attention_same_shape(a->logits, w)) return false;
    if (!read_in_place(f->b, z, NULL) || !attention_scores_fit(f->a, a->scores) || !product_fits(f->c, y, side, a->scores)) return false;
    if (!only_softmax(f) || !shares_nothing(f->a, f->c) || !shares_nothing(f->b, f->c)) return false;
    return group_again(f->a) == group_again(f->c) && group_again(f->b) == group_again(f->c);
}

static void attention_make(Finder *f) {
    find_triangle(f);
    Attention *a = NEW(f->p->arena, Attention);
    *a = f->found;
    f->c->kind = KERNEL_ATTENTION;
    f->c->attention = a;
    group_take(f->p, f->c, f->a);
    group_take(f->p, f->c, f->b);
    group_changed(f->c);
}

void plan_attention(Planner *p) {
    if (p->options->level == 0) return;
    bool *stored = NEW_ARRAY(p->scratch, bool, p->g->nodes.n);
    Finder f = {.p = p, .stored = stored, .after = NEW_ARRAY(p->scratch, bool, p->g->nodes.n)};
    plan_stored(p, stored);
    for (int i = 0; i < p->groups.n; i++) {
        f.c = p->groups.at[i];
        if (f.c->dead || f.c->kind != KERNEL_CONTRACT) continue;
        if (!attention_from(&f, 0) && !attention_from(&f, 1)) continue;
        if (is_alone(&f)) {
            attention_make(&f);
        } else {
            AttentionParts parts = {.p = p, .stored = stored, .scores = f.a, .rows = f.b, .product = f.c, .softmax = &f.found};
            if (!attention_gradient_find(&parts)) continue;
            attention_make(&f);
            attention_gradient_make(&parts);
            plan_stored(p, stored);
        }
    }
}

Level attention_level(Planner *p, const Group *g, const Node *n, const Level *level) {
    if (n->op == OP_REDUCE) return LEVEL_ROW;
    if (n == g->attention->scores) return LEVEL_A;
    if (n->type.rank == 0) return LEVEL_SCALAR;
    bool rows = type_count(p->g, &n->type) == type_count(p->g, &g->attention->max->type);
    for (int i = 0; i < n->n_in && rows; i++) { /* a single key: rows are scores */
        Edge e = edge_of(n->in[i]);
        if (p->mark[e.base->id] == p->stamp && e.kind == EDGE_SAME && level[e.base->id] == LEVEL_A) rows = false;
    }
    return rows ? LEVEL_ROW : LEVEL_A;
}

bool attention_before(const Group *g, const Node *n) {
    for (int i = 0; i < g->before.n; i++)
        if (g->before.at[i] == n) return true;
    return false;
}
