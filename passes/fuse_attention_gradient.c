/* fuse_attention_gradient.c -- the gradients of an attention as one kernel, which makes its weights again from maximum and sum.
 *
 *   kernel d  %a = maps of contract %dy, %v, %w                              [.., rows, keys]
 *   kernel e  %b = maps of %a, their sums along keys, %z          →          one kernel, which reads q, k, v, dy and what the
 *   kernel f  %dq = contract %b, %k     g  %dk = contract %b, %q             softmax had as maxima and sums
 *   kernel h  %dv = contract %w, %dy
 *
 * The scores %z and weights %w of the attention and all that has their shape must be read by these kernels alone. In bf16 and f16, for a
 * device, the rows of all operands must lie in memory as its matrix units want them. */
#include "passes/fuse_attention.h"

#include <string.h>

enum { KEYS_MOST = 2048 }; /* a row of scores lies in scratch memory */

static bool is_part(const AttentionParts *a, const Group *g) {
    for (int i = 0; i < a->n_more; i++)
        if (a->more[i] == g) return true;
    return g == a->scores || g == a->rows || g == a->product;
}

static DType product_type(const AttentionParts *a) {
    return a->softmax->scores->type.dtype;
}

static bool is_scores(const AttentionParts *a, const Node *n) {
    return (n->type.dtype == DT_F32 || n->type.dtype == product_type(a)) && attention_same_shape(n, a->softmax->scores);
}

/* Everybody who reads something of the shape of scores from a part is a part. */
static bool collect(AttentionParts *a) {
    Planner *p = a->p;
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < p->groups.n; i++) {
            Group *g = p->groups.at[i];
            if (g->dead || is_part(a, g)) continue;
            NodeList reads = group_reads(p, g);
            for (int k = 0; k < reads.n; k++) {
                const Group *home = p->home[reads.at[k]->id];
                if (!home || !is_part(a, home) || home == a->product || !is_scores(a, reads.at[k])) continue;
                if (a->n_more == 5) return false;
                a->more[a->n_more++] = g;
                again = true;
                break;
            }
        }
    }
    return a->n_more == 5;
}

/* Of the letters of scores: which are batches, which rows. */
static bool is_batch(const Node *scores, int axis) {
    const char *l = scores->attrs.labels[2];
    return strchr(scores->attrs.labels[0], l[axis]) && strchr(scores->attrs.labels[1], l[axis]);
}

/* Is n a product of something of the shape of scores, which it has as operand `side`, summed over keys (to_rows), or over rows? */
static bool consumer_fits(const AttentionParts *a, const Group *g, const Node *n, int side, bool to_rows) {
    const Node *s = a->softmax->scores;
    const char *w = n->attrs.labels[side], *x = n->attrs.labels[!side], *out = n->attrs.labels[2];
    int keys = s->type.rank - 1;
    if (g->nodes.n != 1 || g->extra.n || g->limit.seen || n->type.dtype != product_type(a)) return false;
    if (!attention_operands_stored(g, n, n->in[side]) || plan_base(n->in[!side]) == n->in[side]) return false;
    for (int i = 0; w[i]; i++) {
        bool kept = is_batch(s, i) || (i == keys) != to_rows;
        if ((strchr(out, w[i]) != NULL) != kept) return false;
        if (!is_batch(s, i) && (strchr(x, w[i]) != NULL) == kept) return false;
    }
    for (int i = 0; x[i]; i++)
        if (!strchr(w, x[i]) && !strchr(out, x[i])) return false;
    return attention_depth_fits(n, !side, w);
}

static bool classify_consumer(AttentionParts *a, const Group *g) {
    Node *n = g->anchor;
    for (int side = 0; side < 2; side++) {
        const Node *x = n->in[side];
        if (op_row(x->op)->class == CLASS_VIEW || !is_scores(a, x)) continue;
        Node **to = x == a->softmax->weights ? &a->found.by_v : consumer_fits(a, g, n, side, true) ? &a->found.by_q : &a->found.by_k;
        if (*to || !consumer_fits(a, g, n, side, to == &a->found.by_q)) return false;
        *to = n;
        if (to == &a->found.by_v) return true;
        if (a->found.by_scores && a->found.by_scores != x) return false;
        a->found.by_scores = n->in[side];
        return true;
    }
    return false;
}

static bool is_row_value(const AttentionParts *a, const Node *n) {
    return type_count(a->p->g, &n->type) == type_count(a->p->g, &a->softmax->max->type);
}

/* Maps of scores and rows alone, and one sum along keys. */
static bool maps_fit(AttentionParts *a, const Group *g) {
    Size scores = type_count(a->p->g, &a->softmax->scores->type);
    for (int i = 0; i < g->nodes.n + g->extra.n; i++) {
        Node *n = i < g->nodes.n ? g->nodes.at[i] : g->extra.at[i - g->nodes.n];
        if (n == g->anchor) continue;
        if (n->op == OP_REDUCE) {
            if (n->attrs.fn != REDUCE_SUM || n->attrs.n_axes != 1 || a->found.sum || edge_of(n->in[0]).kind != EDGE_SAME) return false;
            a->found.sum = n;
            continue;
        }
        if (op_row(n->op)->class != CLASS_MAP) return false;
        if (n->type.rank != 0 && type_count(a->p->g, &n->type) != scores && !is_row_value(a, n)) return false;
    }
    return true;
}

static bool classify(AttentionParts *a) {
    for (int i = 0; i < a->n_more; i++) {
        Group *g = a->more[i];
        if (g->effect || group_again(g) != group_again(a->more[0])) return false;
        if (g->kind == KERNEL_CONTRACT && is_scores(a, g->anchor)) {
            if (a->first || !attention_scores_fit(g, g->anchor) || !maps_fit(a, g)) return false;
            for (int k = 0; k < g->anchor->type.rank; k++)
                if (is_batch(g->anchor, k) != is_batch(a->softmax->scores, k)) return false;
            a->first = g;
            a->found.by_weights = g->anchor;
        } else if (g->kind == KERNEL_CONTRACT) {
            if (!classify_consumer(a, g)) return false;
        } else if (g->kind != KERNEL_MAP || g->row != 1 || !maps_fit(a, g)) {
            return false;
        }
    }
    const AttentionGradient *f = &a->found;
    return f->by_weights && f->sum && f->by_scores && f->by_q && f->by_k && f->by_v;
}

/* What the parts hand on to others: results and gradients, maxima and sums. */
static bool nothing_else_leaves(const AttentionParts *a) {
    Planner *p = a->p;
    const AttentionGradient *f = &a->found;
    for (int i = 0; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i];
        Group *home = p->home[i];
        if (!home || !is_part(a, home) || home == a->product || !a->stored[i]) continue;
        if (n == f->by_q || n == f->by_k || n == f->by_v) continue;
        if (p->must[i]) return false;
        for (int k = 0; k < p->groups.n; k++) {
            Group *r = p->groups.at[k];
            if (r->dead || is_part(a, r)) continue;
            NodeList reads = group_reads(p, r);
            for (int j = 0; j < reads.n; j++)
                if (reads.at[j] == n) return false;
        }
    }
    return true;
}

/* Would a third group have to run between two of the gradient's? */
static bool closes_cycle(const AttentionParts *a) {
    for (int i = 0; i < a->p->groups.n; i++) {
        const Group *x = a->p->groups.at[i];
        bool waits = false, waited = group_waits(a->product, x);
        if (x->dead || is_part(a, x)) continue;
        for (int k = 0; k < a->n_more; k++) {
            waits |= group_waits(x, a->more[k]);
            waited |= group_waits(a->more[k], x);
        }
        if (waits && waited) return true;
    }
    for (int k = 0; k < a->n_more; k++)
        if (group_waits(a->product, a->more[k])) return true;
    return false;
}

/* ---- of two bytes: only where a device's matrix units will have it (schedule_attention_gradient_mma.c). The parts by themselves are products
 * that such units multiply, too. */

/* Does the view leave the elements along its last axis, of which `n` lie side by side in its operand, side by side? */
static bool keeps_runs(const Node *x, int64_t n) {
    int last = x->in[0]->type.rank - 1;
    if (x->op == OP_PERMUTE) return x->attrs.axes[last] == last;
    if (x->op == OP_EXPAND) return size_is(x->type.dim[x->type.rank - 1], n);
    return x->op == OP_RESHAPE || x->op == OP_SLICE;
}

/* Do the elements along the last axis of x lie side by side in memory? */
static bool is_in_runs(const Node *x) {
    int64_t run, n;
    if (!x->type.rank || !size_is_const(x->type.dim[x->type.rank - 1], &run)) return false;
    for (; node_is_view(x); x = x->in[0]) {
        int last = x->in[0]->type.rank - 1;
        if (last < 0 || !size_is_const(x->in[0]->type.dim[last], &n) || n % run || !keeps_runs(x, n)) return false;
    }
    return true;
}

/* Is the last axis of operand `side` the only one that `but` has not? */
static bool is_of_rows(const Node *n, int side, const char *but) {
    const char *l = n->attrs.labels[side];
    for (int i = 0; l[i]; i++)
        if (!strchr(but, l[i]) != !l[i + 1]) return false;
    return is_in_runs(n->in[side]);
}

static bool are_of_rows(const AttentionParts *a) {
    const AttentionGradient *f = &a->found;
    Node *const of_scores[] = {a->softmax->scores, f->by_weights}, *const by[] = {f->by_q, f->by_k, f->by_v};
    for (int i = 0; i < 2; i++)
        for (int side = 0; side < 2; side++)
            if (!is_of_rows(of_scores[i], side, of_scores[i]->attrs.labels[2])) return false;
    for (int i = 0; i < 3; i++) {
        int side = by[i]->in[0] == (i == 2 ? a->softmax->weights : f->by_scores);
        if (!is_of_rows(by[i], side, by[i]->attrs.labels[!side])) return false;
    }
    return true;
}

bool attention_gradient_find(AttentionParts *a) {
    const Attention *s = a->softmax;
    int64_t low, high;
    size_range(s->scores->type.dim[s->scores->type.rank - 1], &low, &high);
    if (high > KEYS_MOST || a->product->limit.seen || !collect(a) || !classify(a)) return false;
    a->found.scores = s->scores;
    a->found.weights = s->weights;
    a->found.exponents = edge_of(s->sum->in[0]).base;
    return (product_type(a) == DT_F32 || are_of_rows(a)) && nothing_else_leaves(a) && !closes_cycle(a);
}

/* What n's operands need of the attention is made again, but for its maximum and sum. */
static void make_again(AttentionParts *a, Group *to, const Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        Node *x = edge_of(n->in[i]).base;
        bool from_softmax = attention_before(a->product, x) && x != a->softmax->max && x != a->softmax->sum;
        if (!from_softmax || group_has(to, x)) continue;
        PUSH(a->p->scratch, to->extra, x);
        make_again(a, to, x);
    }
}

static void join_ancestors(Planner *p, Group *to, const Group *from) {
    for (int w = 0; w < p->words; w++) to->ancestors[w] |= from->ancestors[w];
    for (int i = 0; i < p->groups.n; i++) {
        Group *x = p->groups.at[i];
        if (group_waits(x, from)) x->ancestors[to->id / 64] |= (uint64_t)1 << (to->id % 64);
    }
}

static void drop_bit(Group *g, const Group *bit) {
    g->ancestors[bit->id / 64] &= ~((uint64_t)1 << (bit->id % 64));
}

void attention_gradient_make(AttentionParts *a) {
    Planner *p = a->p;
    Group *g = a->first;
    AttentionGradient *found = NEW(p->arena, AttentionGradient);
    *found = a->found;
    found->triangle = a->softmax->triangle;
    found->reach = a->softmax->reach;
    for (int i = 0; i < a->n_more; i++) {
        if (a->more[i] == g) continue;
        join_ancestors(p, g, a->more[i]);
        group_take(p, g, a->more[i]);
    }
    for (int i = 0; i < a->n_more; i++) drop_bit(g, a->more[i]);
    for (int i = 0; i < p->groups.n; i++) {
        Group *x = p->groups.at[i];
        if (x == g || !group_waits(x, g)) continue;
        for (int w = 0; w < p->words; w++) x->ancestors[w] |= g->ancestors[w];
    }
    int own = g->nodes.n;
    for (int i = 0; i < own; i++) make_again(a, g, g->nodes.at[i]);
    for (int i = 0; i < g->extra.n; i++) make_again(a, g, g->extra.at[i]);
    g->kind = KERNEL_ATTENTION_GRADIENT;
    g->gradient = found;
    g->anchor = found->by_q;
    g->space = found->by_q->type;
    g->count = type_count(p->g, &g->space);
    g->row_length = NULL;
    g->rows = NULL;
    group_changed(g);
    if (p->options->device && (product_type(a) != DT_F32 || p->g->program->tf32)) p->must[found->sum->id] = true; /* one kernel of several hands it on */
    if (!group_link(p, g, a->product)) bug("the gradient of attention %d closes a cycle", a->product->anchor->id);
    group_drop_unused(p, a->product);
}

Level attention_gradient_level(Planner *p, const Group *g, const Node *n) {
    const AttentionGradient *a = g->gradient;
    if (n == a->by_q || n == a->by_k || n == a->by_v) return LEVEL_FULL;
    if (n->type.rank == 0) return LEVEL_SCALAR;
    if (n == a->sum) return LEVEL_ROW;
    return type_count(p->g, &n->type) == type_count(p->g, &a->scores->type) ? LEVEL_A : LEVEL_ROW;
}
