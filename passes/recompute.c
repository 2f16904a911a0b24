/* recompute.c -- marks what gradients are to compute again instead of keeping it (--memory: passes/memory.c says how much).
 *
 * Requires: no CALL.  Ensures: values of the first c->recompute->parts parts of the computation of a loss carry the number of their
 * part (Node.recompute < 0), as if a @checkpoint call had computed each part; the pass `grad` does the rest.
 *
 * A computation is its nodes in the order of the text, cut where few bytes cross. What crosses a cut is kept, and so is what costs more
 * than c->recompute->most operations a byte: its number tells only that its own gradient sees its part's copies (Node.kept). Loops
 * are kept; where `loops` is set, their reverse keeps the carries alone. */
#include "passes/pass.h"

#include <math.h>
#include <string.h>

enum { FIRST = 1 << 20 }; /* numbers of parts; those of @checkpoint calls are smaller */

typedef struct Marker {
    PassContext *c;
    const Recompute *o;
    const Graph *g;
    bool *wanted; /* by id: a loss depends on it, and it may be computed again */
    int *part;    /* by id */
    bool *crosses; /* by id: another part, or nobody's, reads it */
} Marker;

static double value_of(const Marker *m, Size s) {
    int64_t v;
    return size_eval(s, m->o->sizes, &v) ? (double)v : 0;
}

static double count_of(const Marker *m, const Type *t) {
    double n = 1;
    for (int i = 0; i < t->rank; i++) n *= value_of(m, t->dim[i]);
    return n;
}

/* Bytes of memory of its own. */
static double bytes_of(const Marker *m, const Node *n) {
    OpClass k = op_row(n->op)->class;
    if (k == CLASS_LEAF || k == CLASS_VIEW || k == CLASS_MARK || n->type.rank < 0) return 0;
    return count_of(m, &n->type) * dtype_bytes(n->type.dtype);
}

static double contract_operations(const Marker *m, const Node *n) {
    double product = 2 * count_of(m, &n->in[0]->type);
    for (int i = 0; i < n->in[1]->type.rank; i++)
        if (!strchr(n->attrs.labels[0], n->attrs.labels[1][i])) product *= value_of(m, n->in[1]->type.dim[i]);
    return product;
}

/* About how many operations it takes to compute it. */
static double operations_of(const Marker *m, const Node *n) {
    switch (op_row(n->op)->class) {
    case CLASS_LEAF:
    case CLASS_VIEW:
    case CLASS_MARK: return 0;
    case CLASS_REDUCE: return count_of(m, &n->in[0]->type);
    case CLASS_ANCHOR:
        if (n->op == OP_CONTRACT) return contract_operations(m, n);
        if (n->op == OP_CONV) /* each element of the result takes a filter: of one channel of w, [o c/groups u v] */
            return 2 * count_of(m, &n->type) * count_of(m, &n->in[1]->type) / fmax(value_of(m, n->in[1]->type.dim[0]), 1);
        return 16 * count_of(m, &n->in[0]->type);
    default: return count_of(m, &n->type);
    }
}

static bool may_be_made_again(const Node *n) {
    if (n->op == OP_SCAN || n->op == OP_GRAD || n->op == OP_CALL || n->recompute || op_row(n->op)->class == CLASS_LEAF) return false;
    return n->op != OP_GET || n->in[0]->op == OP_CUSTOM;
}

static bool find_wanted(Marker *m) {
    int n = m->g->nodes.n;
    bool any = false, *reached = NEW_ARRAY(m->c->scratch, bool, n);
    for (int i = n - 1; i >= 0; i--) {
        const Node *x = m->g->nodes.at[i];
        if (x->op == OP_GRAD) reached[x->in[0]->id] = true;
        if (!reached[i]) continue;
        any |= m->wanted[i] = may_be_made_again(x);
        for (int k = 0; k < x->n_in; k++) reached[x->in[k]->id] = true;
    }
    return any;
}

/* cost[i]: bytes that cross a cut before node i. */
static double *find_crossing(const Marker *m) {
    int n = m->g->nodes.n;
    double *cost = NEW_ARRAY(m->c->scratch, double, n + 1);
    int *last = NEW_ARRAY(m->c->scratch, int, n);
    for (int i = 0; i < n; i++) {
        const Node *x = m->g->nodes.at[i];
        for (int k = 0; m->wanted[i] && k < x->n_in; k++) {
            Node *base = x->in[k];
            while (op_row(base->op)->class == CLASS_VIEW) base = base->in[0];
            last[base->id] = i;
        }
    }
    for (int i = 0; i < n; i++) { /* it crosses the cuts before i + 1 .. last[i] */
        if (!m->wanted[i] || last[i] <= i) continue;
        cost[i + 1] += bytes_of(m, m->g->nodes.at[i]);
        cost[last[i] + 1] -= bytes_of(m, m->g->nodes.at[i]);
    }
    for (int i = 1; i <= n; i++) cost[i] += cost[i - 1];
    return cost;
}

/* Parts of about equal bytes, each ended at the cheapest cut within half a part of where it should. */
static void find_parts(Marker *m) {
    int n = m->g->nodes.n, part = 0, best = -1;
    double *crossing = find_crossing(m), all = 0, so_far = 0;
    for (int i = 0; i < n; i++) all += m->wanted[i] ? bytes_of(m, m->g->nodes.at[i]) : 0;
    int from = 0; /* nodes before it have their part */
    for (int i = 0; i < n; i++) {
        if (!m->wanted[i]) continue;
        double want = all * (part + 1) / m->o->windows, half = all / m->o->windows / 2;
        so_far += bytes_of(m, m->g->nodes.at[i]);
        if (so_far >= want - half && (best < 0 || crossing[i + 1] <= crossing[best])) best = i + 1;
        if (so_far < want + half || part == m->o->windows - 1) continue;
        while (from < best) m->part[from++] = part;
        part++;
        best = -1;
    }
    while (from < n) m->part[from++] = part;
}

/* What a node of another part reads: that node, and what it is a view of. */
static void find_crosses(Marker *m) {
    for (int i = m->g->nodes.n - 1; i >= 0; i--) {
        const Node *x = m->g->nodes.at[i];
        bool view = op_row(x->op)->class == CLASS_VIEW;
        for (int k = 0; k < x->n_in; k++) {
            const Node *q = x->in[k];
            bool other = !m->wanted[i] || m->part[i] != m->part[q->id];
            if (m->wanted[q->id] && (other || (view && m->crosses[i]))) m->crosses[q->id] = true;
        }
    }
    for (int i = 0; i < m->g->results.n; i++) m->crosses[m->g->results.at[i].value->id] = true;
    for (int i = 0; i < m->g->effects.n; i++)
        if (m->g->effects.at[i].value) m->crosses[m->g->effects.at[i].value->id] = true;
}

static bool stays(const Marker *m, const Node *n) {
    return m->crosses[n->id] || operations_of(m, n) > m->o->most * bytes_of(m, n);
}

/* In a body, with `loops`: everything, under one number. */
static bool marked(const Marker *m, const Node *n) {
    if (m->g->n_args) return m->o->loops && may_be_made_again(n);
    return m->wanted[n->id] && m->part[n->id] < m->o->parts;
}

Graph *pass_recompute(PassContext *c, const Graph *g) {
    if (!c->recompute) return (Graph *)g;
    Rewrite r = rewrite_begin(c, g);
    int n = g->nodes.n;
    Marker m = {.c = c, .o = c->recompute, .g = g};
    m.wanted = NEW_ARRAY(c->scratch, bool, n);
    m.part = NEW_ARRAY(c->scratch, int, n);
    m.crosses = NEW_ARRAY(c->scratch, bool, n);
    if (!g->n_args && find_wanted(&m)) {
        find_parts(&m);
        find_crosses(&m);
    }
    for (int i = 0; i < n; i++) {
        const Node *x = g->nodes.at[i];
        if (!r.live[i]) continue;
        r.map[i] = rewrite_copy(&r, x);
        if (!marked(&m, x)) continue;
        r.map[i]->recompute = -(FIRST + m.part[i]);
        r.map[i]->kept = !g->n_args && stays(&m, x);
        if (!r.map[i]->kept) c->recompute->operations += operations_of(&m, x);
    }
    return rewrite_end(&r);
}
