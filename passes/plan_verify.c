/* plan_verify.c -- the promises of ir/plan.h, checked on a finished plan without knowing how it was made.
 *
 *   reads     every operand of a kernel is its own, a free leaf, or a stored value of an earlier kernel; in reads, each once
 *   forms     levels, spaces, anchors, contiguity, as the comment in ir/plan.h says
 *   places    every stored value has one; results and stores reach theirs
 *   memory    buffers alive together do not overlap, at several values of the sizes; old contents of shared memory are not
 *             read too late
 *   at once   kernels that run at once need nothing of each other */
#include "passes/planner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct Verify {
    const Plan *p;
    Arena *arena;
    const char *message;
    int *written; /* by node id: 1 + index of the kernel that stores it */
    const Kernel *k;
    int *inside; /* by node id: 1 + place in k's nodes, valid if seen == k */
    const Kernel **seen;
    const Kernel **read_by; /* by node id: k if in its reads */
} Verify;

static bool wrong(Verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(Verify *v, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const char *what = arena_vprintf(v->arena, format, ap);
    va_end(ap);
    v->message = v->k ? arena_printf(v->arena, "kernel %d: %s", v->k->index, what) : what;
    return false;
}

static Level inside_level(const Verify *v, const Node *n) {
    return v->k->levels.at[v->inside[n->id] - 1];
}
static bool is_inside(const Verify *v, const Node *n) {
    return v->seen[n->id] == v->k;
}

/* ---- reads and forms */

static bool check_edge(Verify *v, Node *n, Level level, Node *operand) {
    Edge e = edge_of(operand);
    if (node_is_free(e.base)) return true;
    if (!is_inside(v, e.base)) {
        if (v->read_by[e.base->id] != v->k)
            return wrong(v, "node %d reads node %d, which is not in its reads", n->id, e.base->id);
        return true;
    }
    if (v->inside[e.base->id] >= v->inside[n->id]) return wrong(v, "node %d comes before its operand %d", n->id, e.base->id);
    Level from = inside_level(v, e.base);
    if (level == LEVEL_FRAME)
        return (from == LEVEL_FULL && e.kind == EDGE_SAME) || wrong(v, "node %d frames node %d, which is not full", n->id, e.base->id);
    if (op_row(n->op)->class == CLASS_ACCESS && !(e.base->type.rank == 0 && operand != n->in[0]))
        return wrong(v, "node %d (%s) reads node %d of its own kernel", n->id, op_row(n->op)->name, e.base->id);
    if (from == LEVEL_SCALAR) return true;
    if (level == LEVEL_PART && from == LEVEL_FULL)
        return (operand->n_in && operand->in[0] == e.base && plan_part(operand, v->k->parts) >= 0 && plan_same_shape(&e.base->type, &v->k->anchor->type)) ||
               wrong(v, "node %d reads node %d, but no part of it", n->id, e.base->id);
    if (n->op == OP_REDUCE) {
        if (from != LEVEL_FULL || e.kind == EDGE_ROW || e.kind == EDGE_OTHER)
            return wrong(v, "reduce %d of node %d, which is not full", n->id, e.base->id);
        return true;
    }
    switch (e.kind) {
    case EDGE_SAME:
        if (from != level &&
            !(from == LEVEL_ROW && level == LEVEL_FULL &&
              size_is(type_product(v->p->graph, &v->k->space, v->k->space.rank - v->k->row, v->k->space.rank), 1)))
            return wrong(v, "node %d and its operand %d are of different levels", n->id, e.base->id);
        return true;
    case EDGE_ROW:
        if (from != LEVEL_ROW || level != LEVEL_FULL)
            return wrong(v, "node %d repeats node %d, which is not of row level", n->id, e.base->id);
        if (e.row != type_product(v->p->graph, &v->k->space, v->k->space.rank - v->k->row, v->k->space.rank))
            return wrong(v, "node %d repeats node %d by another length than a row's", n->id, e.base->id);
        return true;
    case EDGE_SCALAR:
        if (from == LEVEL_FULL && v->k->space.rank > 0) return wrong(v, "node %d is full and has rank 0", e.base->id);
        return true;
    case EDGE_OTHER: break;
    }
    return wrong(v, "node %d reads node %d of its own kernel through a view", n->id, e.base->id);
}

static bool check_level(Verify *v, const Node *n, Level level) {
    const Graph *g = v->p->graph;
    const Kernel *k = v->k;
    if (n->type.rank < 0 || n->op == OP_GET) return true;
    Size count = type_count(g, &n->type), space = k->space.rank < 0 ? NULL : type_count(g, &k->space);
    switch (level) {
    case LEVEL_FULL: return count == space || wrong(v, "node %d is full, its elements are not those of the space", n->id);
    case LEVEL_ROW:
        if (k->kind != KERNEL_MAP || k->row == 0) return wrong(v, "node %d has row level in a kernel without rows", n->id);
        return count == type_product(g, &k->space, 0, k->space.rank - k->row) ||
               wrong(v, "node %d: its elements are not the rows", n->id);
    case LEVEL_FINAL: return k->kind == KERNEL_REDUCE || wrong(v, "node %d has final level", n->id);
    case LEVEL_SCALAR: return n->type.rank == 0 || wrong(v, "node %d is no scalar", n->id);
    case LEVEL_B: return k->kind == KERNEL_CONTRACT || wrong(v, "node %d is a prologue in a kernel of another kind", n->id);
    case LEVEL_PART:
        return (k->kind == KERNEL_CONTRACT && k->parts >= 2 && k->parts <= SLICES_MOST && size_scale(count, k->parts) == space) ||
               wrong(v, "node %d is part of a product, its elements are not those of a slice", n->id);
    case LEVEL_FRAME:
        return (k->kind == KERNEL_CONTRACT && n->op == OP_PAD && is_inside(v, plan_base(n->in[0]))) || wrong(v, "node %d is no pad of a product", n->id);
    case LEVEL_A: break;
    }
    return wrong(v, "node %d has a level that is not made", n->id);
}

static bool check_reduce(Verify *v, const Node *n, Level level) {
    const Kernel *k = v->k;
    const Graph *g = v->p->graph;
    const Type *x = &n->in[0]->type;
    if (n->attrs.fn == REDUCE_VAR) return wrong(v, "node %d is a variance", n->id);
    if (type_count(g, x) != type_count(g, &k->space)) return wrong(v, "reduce %d is not over the space", n->id);
    if (k->kind == KERNEL_MAP) {
        int from = x->rank - n->attrs.n_axes;
        for (int i = 0; i < n->attrs.n_axes; i++)
            if (n->attrs.axes[i] != from + i) return wrong(v, "reduce %d is not over trailing axes", n->id);
        if (level != LEVEL_ROW) return wrong(v, "reduce %d is not of row level", n->id);
        if (type_product(g, x, from, x->rank) != type_product(g, &k->space, k->space.rank - k->row, k->space.rank))
            return wrong(v, "reduce %d is over another row", n->id);
        return true;
    }
    if (k->kind != KERNEL_REDUCE || level != LEVEL_FINAL)
        return wrong(v, "reduce %d in a kernel of kind %d", n->id, (int)k->kind);
    if (n->attrs.fn >= REDUCE_ARGMAX) return wrong(v, "argmax %d is not over a row", n->id);
    for (int i = 0; i < x->rank; i++)
        if (x->dim[i] != k->space.dim[i]) return wrong(v, "reduce %d has another shape than the space", n->id);
    if (n->type.rank > 0 && n->attrs.axes[n->attrs.n_axes - 1] == x->rank - 1)
        return wrong(v, "reduce %d mixes the last axis with others", n->id);
    return true;
}

static bool check_anchor(Verify *v, const Node *n) {
    static const char *const CONTIGUOUS = "operand %d of node %d is not contiguous in memory";
    for (int i = 0; i < n->n_in; i++) {
        bool view_allowed = n->op == OP_CONTRACT || n->op == OP_SCATTER_ADD || (n->op == OP_UPDATE_AT && i > 0);
        bool scalar = n->in[i]->type.rank == 0 && (n->op == OP_SCATTER_ADD || n->op == OP_UPDATE_AT);
        if (!node_is_contiguous(n->in[i]) && !view_allowed && !scalar) return wrong(v, CONTIGUOUS, i, n->id);
        if (node_is_free(plan_base(n->in[i])) && !scalar) return wrong(v, "operand %d of node %d has no memory", i, n->id);
        const Node *base = plan_base(n->in[i]);
        if (is_inside(v, base) && !(n->op == OP_CONTRACT && i == 1 && inside_level(v, base) == LEVEL_B)) return wrong(v, "operand %d of the anchor is made in its kernel", i);
    }
    return true;
}

/* ---- attention: levels of what comes before the anchor, and edges between them */

static const Type *scores_of(const Kernel *k) {
    return k->attention ? &k->attention->scores->type : &k->gradient->scores->type;
}

static bool is_gradient(const Kernel *k, const Node *n) {
    return k->gradient && (n == k->gradient->by_q || n == k->gradient->by_k || n == k->gradient->by_v);
}

static bool check_attention_level(Verify *v, const Node *n, Level level) {
    const Graph *g = v->p->graph;
    const Type *scores = scores_of(v->k);
    Size count = type_count(g, &n->type);
    switch (level) {
    case LEVEL_A: return count == type_count(g, scores) || wrong(v, "node %d: its elements are not the scores", n->id);
    case LEVEL_ROW:
        return count == type_product(g, scores, 0, scores->rank - 1) || wrong(v, "node %d: its elements are not the rows", n->id);
    case LEVEL_FULL:
        return is_gradient(v->k, n) || count == type_count(g, &v->k->space) ||
               wrong(v, "node %d is full, its elements are not those of the space", n->id);
    case LEVEL_SCALAR: return n->type.rank == 0 || wrong(v, "node %d is no scalar", n->id);
    case LEVEL_FINAL:
    case LEVEL_PART:
    case LEVEL_FRAME:
    case LEVEL_B: break;
    }
    return wrong(v, "node %d has a level that is not made", n->id);
}

static bool check_attention_edge(Verify *v, Node *n, Level level, Node *operand) {
    Edge e = edge_of(operand);
    const Type *scores = scores_of(v->k);
    if (node_is_free(e.base)) return true;
    if (!is_inside(v, e.base))
        return v->read_by[e.base->id] == v->k ||
               wrong(v, "node %d reads node %d, which is not in its reads", n->id, e.base->id);
    if (v->inside[e.base->id] >= v->inside[n->id]) return wrong(v, "node %d comes before its operand %d", n->id, e.base->id);
    Level from = inside_level(v, e.base);
    if (from == LEVEL_SCALAR) return true;
    if (n == v->k->anchor || is_gradient(v->k, n))
        return (operand == e.base && from == LEVEL_A) || wrong(v, "operand %d of the anchor is made in its kernel", e.base->id);
    if (op_row(n->op)->class == CLASS_ACCESS || op_row(n->op)->class == CLASS_ANCHOR)
        return wrong(v, "node %d (%s) reads node %d of its own kernel", n->id, op_row(n->op)->name, e.base->id);
    if (n->op == OP_REDUCE)
        return (from == LEVEL_A && e.kind == EDGE_SAME) || wrong(v, "reduce %d of node %d, which is no score", n->id, e.base->id);
    bool fits = (e.kind == EDGE_SAME && from == level) || (e.kind == EDGE_ROW && from == LEVEL_ROW && level == LEVEL_A &&
                                                           e.row == scores->dim[scores->rank - 1]);
    return fits || wrong(v, "node %d and its operand %d do not go together", n->id, e.base->id);
}

static bool check_attention_node(Verify *v, Node *n, Level level) {
    const Kernel *k = v->k;
    bool product = n == k->anchor || is_gradient(k, n) ||
                   (k->attention ? n == k->attention->scores : n == k->gradient->scores || n == k->gradient->by_weights);
    bool sum = k->attention ? n == k->attention->max || n == k->attention->sum : n == k->gradient->sum;
    if ((op_row(n->op)->class == CLASS_ANCHOR) != product) return wrong(v, "node %d is an anchor inside", n->id);
    if (n->op == OP_REDUCE && !sum) return wrong(v, "reduce %d is of no softmax", n->id);
    if (!check_attention_level(v, n, level)) return false;
    for (int j = 0; j < n->n_in; j++)
        if (!check_attention_edge(v, n, level, n->in[j])) return false;
    return true;
}

static bool is_stored(const Graph *g, int slot) {
    for (int i = 0; i < g->effects.n; i++) {
        if (g->effects.at[i].kind == EFFECT_STORE && g->effects.at[i].index == slot) return true;
    }
    return false;
}

static bool check_kernel(Verify *v) {
    const Kernel *k = v->k;
    for (int i = 0; i < k->reads.n; i++) {
        const Node *x = k->reads.at[i];
        if (v->read_by[x->id] == k) return wrong(v, "node %d twice in its reads", x->id);
        v->read_by[x->id] = k;
        if (!node_is_memory(x) && !v->written[x->id])
            return wrong(v, "it reads node %d (%s), which nobody stored yet", x->id, op_row(x->op)->name);
    }
    for (int i = 0; i < k->packed.n; i++) {
        const Node *x = k->packed.at[i];
        bool map = k->kind == KERNEL_MAP, cast = x->op == OP_CAST && x->type.dtype == (map ? DT_I32 : DT_BF16);
        const Node *from = cast ? plan_base(x->in[0]) : x;
        bool slot = from->op == OP_SLOT && from->attrs.index == k->packed_slots.at[i];
        if (!(map || k->kind == KERNEL_CONTRACT) || !(slot || from->op == OP_ARG) || v->read_by[map ? x->id : from->id] != k)
            return wrong(v, "node %d (%s) is said to be packed", x->id, op_row(x->op)->name);
        if (slot && is_stored(v->p->graph, from->attrs.index)) return wrong(v, "slot %d is packed, and it is stored", from->attrs.index);
    }
    for (int i = 0; i < k->nodes.n; i++) {
        v->seen[k->nodes.at[i]->id] = k;
        v->inside[k->nodes.at[i]->id] = i + 1;
    }
    for (int i = 0; i < k->nodes.n; i++) {
        Node *n = k->nodes.at[i];
        OpClass class = op_row(n->op)->class;
        if (n->op == OP_GET) continue;
        if (class == CLASS_VIEW || class == CLASS_LEAF || class == CLASS_MARK)
            return wrong(v, "node %d (%s) is not computed by kernels", n->id, op_row(n->op)->name);
        if (k->attention || k->gradient) {
            if (!check_attention_node(v, n, k->levels.at[i])) return false;
            continue;
        }
        if ((class == CLASS_ANCHOR) != (n == k->anchor)) return wrong(v, "node %d is an anchor inside", n->id);
        if (n == k->anchor && !check_anchor(v, n)) return false;
        if (!check_level(v, n, k->levels.at[i])) return false;
        if (n->op == OP_REDUCE && !check_reduce(v, n, k->levels.at[i])) return false;
        for (int j = 0; j < n->n_in && n != k->anchor && k->levels.at[i] != LEVEL_B; j++)
            if (!check_edge(v, n, k->levels.at[i], n->in[j])) return false;
    }
    for (int i = 0; i < k->writes.n; i++) {
        const Node *w = k->writes.at[i];
        if (!is_inside(v, w)) return wrong(v, "it stores node %d, which it does not compute", w->id);
        if (v->written[w->id]) return wrong(v, "node %d is stored twice", w->id);
        bool statistic = (k->attention && (w == k->attention->max || w == k->attention->sum)) || (k->gradient && w == k->gradient->sum);
        if ((k->attention || k->gradient) && inside_level(v, w) != LEVEL_FULL && !statistic)
            return wrong(v, "node %d of an attention is stored, which is made on the way", w->id);
        if (k->kind == KERNEL_REDUCE && inside_level(v, w) != LEVEL_FINAL)
            return wrong(v, "node %d of a reduction is stored before it is final", w->id);
        if (v->p->places[w->id].kind == PLACE_NONE) return wrong(v, "node %d is stored nowhere", w->id);
        v->written[w->id] = k->index + 1;
    }
    return true;
}

/* ---- memory */

static bool same_place(Place a, Place b) {
    return a.kind == b.kind && a.index == b.index && a.kind != PLACE_NONE && a.kind != PLACE_DATA;
}

/* Kernel k writes w over x, which it reads too: only equal positions. */
static bool over_elementwise(const Verify *v, const Kernel *k, const Node *w, const Node *x) {
    if (k->kind == KERNEL_UPDATE || k->kind == KERNEL_SCAN)
        return true; /* their operand by construction; bodies are checked by running */
    if (k->kind != KERNEL_MAP && k->kind != KERNEL_CONTRACT && k->kind != KERNEL_REDUCE) return false;
    if (k->kind == KERNEL_MAP && k->row > 0) return false;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        for (int j = 0; j < n->n_in; j++) {
            Edge e = edge_of(n->in[j]);
            if (e.base != x) continue;
            if (op_row(n->op)->class != CLASS_MAP || e.kind == EDGE_ROW || e.kind == EDGE_OTHER) return false;
            if (type_count(v->p->graph, &n->type) != type_count(v->p->graph, &w->type)) return false;
        }
    }
    return true;
}

/* Which kernels read each node, and which nodes have each place. */
typedef struct Uses {
    int *first; /* by node id: of its kernels in kernel[], in their order; they end where the next node's begin */
    const Kernel **kernel;
    bool *copied; /* by node id: at the end */
    struct Placed {
        Place at;
        int node;
    } *placed; /* values and memory, by place and id */
    int n_placed;
} Uses;

static int by_place(const void *a, const void *b) {
    const struct Placed *x = a, *y = b;
    if (x->at.kind != y->at.kind) return x->at.kind < y->at.kind ? -1 : 1;
    if (x->at.index != y->at.index) return x->at.index < y->at.index ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static Uses uses_find(const Verify *v) {
    const Plan *p = v->p;
    int n = p->graph->nodes.n, reads = 0;
    Uses u = {.first = NEW_ARRAY(v->arena, int, n + 2), .copied = NEW_ARRAY(v->arena, bool, n)};
    for (int i = 0; i < p->kernels.n; i++)
        for (int j = 0; j < p->kernels.at[i]->reads.n; j++, reads++) u.first[p->kernels.at[i]->reads.at[j]->id + 2]++;
    for (int i = 2; i < n + 2; i++) u.first[i] += u.first[i - 1];
    u.kernel = NEW_ARRAY(v->arena, const Kernel *, reads);
    for (int i = 0; i < p->kernels.n; i++) { /* each node's beginning moves to its end, which is the next one's beginning */
        const Kernel *k = p->kernels.at[i];
        for (int j = 0; j < k->reads.n; j++) u.kernel[u.first[k->reads.at[j]->id + 1]++] = k;
    }
    for (int i = 0; i < p->copies.n; i++) u.copied[p->copies.at[i].value->id] = true;
    u.placed = NEW_ARRAY(v->arena, struct Placed, n);
    for (int i = 0; i < n; i++)
        if (v->written[i] || node_is_memory(p->graph->nodes.at[i])) u.placed[u.n_placed++] = (struct Placed){p->places[i], i};
    if (u.n_placed) qsort(u.placed, (size_t)u.n_placed, sizeof *u.placed, by_place);
    return u;
}

/* After kernel `index` overwrote a place with w, nobody reads what was there before (x, another value of that place). */
static bool check_overwrite(Verify *v, const Uses *u, const Node *w, const Node *x) {
    int at = v->written[w->id] - 1;
    for (int i = u->first[x->id]; i < u->first[x->id + 1]; i++) {
        const Kernel *k = u->kernel[i];
        if (k->index < at) continue;
        v->k = k;
        if (k->index > at) return wrong(v, "it reads node %d after kernel %d wrote node %d over it", x->id, at, w->id);
        if (!over_elementwise(v, k, w, x))
            return wrong(v, "it writes node %d over node %d, which it reads at other places", w->id, x->id);
    }
    return !u->copied[x->id] || wrong(v, "node %d is copied at the end, node %d was written over it", x->id, w->id);
}

/* i and j, of one place: the later does not spoil the earlier. */
static bool check_sharing(Verify *v, const Uses *u, int i, int j) {
    const Graph *g = v->p->graph;
    bool before = node_is_memory(g->nodes.at[j]) ||
                  (v->written[j] && (v->written[j] < v->written[i] || (v->written[j] == v->written[i] && j < i)));
    if (!v->written[i] || !before) return true;
    if (v->written[j] == v->written[i]) return wrong(v, "nodes %d and %d of one kernel are stored at one place", i, j);
    return check_overwrite(v, u, g->nodes.at[i], g->nodes.at[j]);
}

static bool check_buffer(Verify *v, const Uses *u, int i) {
    Place at = v->p->places[i];
    if (!v->written[i] || at.kind != PLACE_ARENA) return true;
    const Buffer *b = &v->p->buffers.at[at.index];
    const Kernel *maker = v->p->kernels.at[v->written[i] - 1];
    if (b->first > maker->index - maker->turn) return wrong(v, "the buffer of node %d begins too late", i);
    const Kernel *last = u->first[i] < u->first[i + 1] ? u->kernel[u->first[i + 1] - 1] : maker;
    if (last->index - last->turn + last->together - 1 > b->last) return wrong(v, "the buffer of node %d ends too early", i);
    if (u->copied[i] && b->last < v->p->kernels.n - 1) return wrong(v, "the buffer of node %d ends before its copy", i);
    return true;
}

static bool check_places(Verify *v) {
    Uses u = uses_find(v);
    for (int from = 0, to; from < u.n_placed; from = to) {
        const struct Placed *group = &u.placed[from];
        for (to = from + 1; to < u.n_placed && same_place(group->at, u.placed[to].at);) to++;
        for (int i = from; i < to; i++) {
            for (int j = from; j < to; j++)
                if (i != j && !check_sharing(v, &u, u.placed[i].node, u.placed[j].node)) return false;
            if (!check_buffer(v, &u, u.placed[i].node)) return false;
        }
    }
    return true;
}

/* ---- kernels that run at once */

/* Is `at` the place of a value that k reads? */
static bool reads_place(const Plan *p, const Kernel *k, Place at) {
    for (int i = 0; i < k->reads.n; i++)
        if (same_place(p->places[k->reads.at[i]->id], at)) return true;
    return false;
}

static bool stores_place(const Plan *p, const Kernel *k, Place at) {
    for (int i = 0; i < k->writes.n; i++)
        if (same_place(p->places[k->writes.at[i]->id], at)) return true;
    return false;
}

static bool check_flat(Verify *v, const Kernel *k) {
    const Graph *g = v->p->graph;
    Size count = type_count(g, &k->space);
    if (!size_is_static(count) || (k->row && k->row != k->space.rank)) return wrong(v, "it is of no shape");
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        if (op_row(n->op)->class != CLASS_MAP && n->op != OP_REDUCE) return wrong(v, "node %d (%s) of a kernel of any shape", n->id, op_row(n->op)->name);
        for (int j = 0; j < n->n_in; j++) {
            Edge e = edge_of(n->in[j]);
            if (e.kind != EDGE_SAME && e.kind != EDGE_SCALAR) return wrong(v, "node %d of a kernel of any shape reads node %d through a view", n->id, e.base->id);
        }
    }
    return true;
}

static bool check_together(Verify *v, int i) {
    const Plan *p = v->p;
    const Kernel *k = p->kernels.at[i];
    v->k = k;
    int first = k->index - k->turn;
    if (k->together == 1 && k->turn == 0) return !k->flat || wrong(v, "it is alone, and of no shape");
    if (k->together < 1 || k->turn < 0 || k->turn >= k->together || first < 0 || first + k->together > p->kernels.n) return wrong(v, "it runs at once with others that are not there");
    if ((k->kind != KERNEL_MAP && k->kind != KERNEL_REDUCE) || k->limit.seen) return wrong(v, "it is no kernel to run at once with others");
    if (k->flat && !check_flat(v, k)) return false;
    for (int j = first; j < first + k->together; j++) {
        const Kernel *other = p->kernels.at[j];
        if (other->together != k->together || other->turn != j - first || other->flat != k->flat) return wrong(v, "it runs at once with kernel %d, which does not", j);
        if (!k->flat && strcmp(k->key, other->key)) return wrong(v, "it runs at once with kernel %d, which is another one", j);
        for (int w = 0; w < other->writes.n && j != i; w++) {
            Place at = p->places[other->writes.at[w]->id];
            if (reads_place(p, k, at) || stores_place(p, k, at)) return wrong(v, "it runs at once with kernel %d, whose node %d it reads or overwrites", j, other->writes.at[w]->id);
        }
    }
    for (int w = 0; w < k->writes.n; w++) {
        Place at = p->places[k->writes.at[w]->id];
        if (at.kind == PLACE_ARENA && reads_place(p, k, at)) return wrong(v, "it runs at once with others and writes over what it reads");
    }
    return true;
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Offsets for some sizes: no two buffers alive together overlap. */
static bool check_overlaps(Verify *v, uint64_t *random) {
    const Plan *p = v->p;
    SizeTable *t = p->graph->program->sizes;
    int64_t *size = NEW_ARRAY(v->arena, int64_t, size_names(t));
    for (int i = 0; i < size_names(t); i++) {
        const SizeName *s = size_name_at(t, i);
        int64_t most = s->high == SIZE_NO_LIMIT || s->high - s->low > 999 ? 999 : s->high - s->low;
        size[i] = s->low + (int64_t)(next_random(random) % (uint64_t)(most + 1));
    }
    int64_t *offset = NEW_ARRAY(v->arena, int64_t, p->buffers.n), *end = NEW_ARRAY(v->arena, int64_t, p->buffers.n);
    bool *done = NEW_ARRAY(v->arena, bool, p->buffers.n);
    for (int i = 0; i < p->buffers.n; i++) {
        int b = p->order[i];
        int64_t bytes;
        if (b < 0 || b >= p->buffers.n || done[b]) return wrong(v, "the order of the buffers is no order");
        done[b] = true;
        if (!size_eval(p->buffers.at[b].bytes, size, &bytes)) bytes = 0;
        for (int k = 0; k < p->buffers.at[b].n_below; k++) {
            int below = p->buffers.at[b].below[k];
            if (!done[below]) return wrong(v, "buffer %d lies above buffer %d, which comes later", b, below);
            if (end[below] > offset[b]) offset[b] = end[below];
        }
        end[b] = offset[b] + (bytes + 63) / 64 * 64;
    }
    for (int i = 0; i < p->buffers.n; i++)
        for (int j = 0; j < i; j++) {
            const Buffer *a = &p->buffers.at[i], *b = &p->buffers.at[j];
            if (a->first > b->last || b->first > a->last || offset[i] >= end[j] || offset[j] >= end[i]) continue;
            if (end[i] > offset[i] && end[j] > offset[j]) return wrong(v, "buffers %d and %d overlap", i, j);
        }
    return true;
}

static bool delivered(const Verify *v, const Node *n, PlaceKind kind, int index) {
    Place to = {kind, index};
    if (same_place(v->p->places[n->id], to) && v->written[n->id]) return true;
    for (int i = 0; i < v->p->copies.n; i++)
        if (v->p->copies.at[i].value == n && same_place(v->p->copies.at[i].to, to)) return v->written[n->id] > 0;
    return false;
}

static bool check_delivery(Verify *v, const Node *scan) {
    const Graph *g = v->p->graph;
    int carries = scan ? scan->attrs.counts[1] : 0;
    for (int i = 0; i < g->results.n; i++) {
        const Node *n = g->results.at[i].value;
        if (i < carries) {
            int arg = 1 + scan->attrs.counts[0] + i;
            bool unchanged = n->op == OP_ARG && n->attrs.index == arg;
            if (!unchanged && !delivered(v, n, PLACE_ARG, arg)) return wrong(v, "carry %d does not reach its place", i);
            continue;
        }
        Place to = plan_result_place(scan, i);
        if (!delivered(v, n, to.kind, to.index)) return wrong(v, "result %d does not reach its place", i);
    }
    for (int i = 0; i < g->effects.n; i++) {
        const Effect *e = &g->effects.at[i];
        if (e->kind == EFFECT_STORE && !delivered(v, e->value, PLACE_SLOT, e->index))
            return wrong(v, "the store of slot %d is lost", e->index);
    }
    return true;
}

static bool verify(const Plan *p, const Node *scan, Arena *arena, const char **message) {
    int n = p->graph->nodes.n;
    Verify v = {.p = p, .arena = arena};
    v.written = NEW_ARRAY(arena, int, n);
    v.inside = NEW_ARRAY(arena, int, n);
    v.seen = NEW_ARRAY(arena, const Kernel *, n);
    v.read_by = NEW_ARRAY(arena, const Kernel *, n);
    bool ok = true;
    for (int i = 0; i < p->kernels.n && ok; i++) {
        v.k = p->kernels.at[i];
        if (v.k->index != i) ok = wrong(&v, "it stands at place %d", i);
        ok = ok && check_kernel(&v);
        if (ok && v.k->kind == KERNEL_SCAN && !verify(v.k->body, v.k->anchor, arena, message)) return false;
    }
    for (int i = 0; i < p->kernels.n && ok; i++) ok = check_together(&v, i);
    v.k = NULL;
    ok = ok && check_delivery(&v, scan) && check_places(&v);
    uint64_t random = 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 4 && ok; i++) ok = check_overlaps(&v, &random);
    *message = v.message;
    return ok;
}

bool plan_verify(const Plan *p, Arena *arena, const char **message) {
    *message = NULL;
    return verify(p, NULL, arena, message);
}
