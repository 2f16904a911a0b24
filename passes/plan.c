/* plan.c -- from a graph to a plan: one call per stage. A scan's body is planned by itself, like an entry whose arguments are
 * places.
 *
 *   node → group → kernel:   %3 = contract..; %4 = add %3, %b; %5 = max %4, 0    →   kernel 0 contract (x, w, b) -> %5 */
#include "passes/planner.h"

#include <stdlib.h>
#include <string.h>

/* Values of the run-time sizes for which choices are made: near 64, all different, so that different sizes are not taken for
 * equal. */
static int64_t *reference_sizes(Planner *p) {
    static const int PRIME[] = {61, 67, 59, 71, 53, 73, 47, 79, 43, 83, 41, 89, 37, 97, 31, 101};
    int n = size_names(p->sizes);
    int64_t *v = NEW_ARRAY(p->scratch, int64_t, n);
    for (int i = 0; i < n; i++) {
        const SizeName *s = size_name_at(p->sizes, i);
        v[i] = PRIME[i % (int)(sizeof PRIME / sizeof *PRIME)];
        if (v[i] > s->high) v[i] = s->high;
        if (v[i] < s->low) v[i] = s->low;
    }
    return v;
}

/* ---- levels */

static Level level_by_operands(Planner *p, const Node *n, const Level *level, bool *found) {
    Level best = LEVEL_SCALAR;
    *found = false;
    for (int i = 0; i < n->n_in; i++) {
        Edge e = edge_of(n->in[i]);
        if (p->mark[e.base->id] != p->stamp || level[e.base->id] == LEVEL_SCALAR) continue;
        Level l = level[e.base->id];
        if (e.kind == EDGE_ROW || (e.kind == EDGE_SCALAR && n->type.rank > 0)) l = LEVEL_FULL;
        if (!*found || l == LEVEL_FULL) best = l;
        *found = true;
    }
    return best;
}

/* Marks what a product computes of its second operand by itself (is_unpacked of fuse.c): maps of this kernel that are at home nowhere. */
static void mark_prologue(Planner *p, Node *n, bool *before) {
    n = plan_base(n);
    if (p->mark[n->id] != p->stamp || p->home[n->id]) return;
    before[n->id] = true;
    for (int i = 0; i < n->n_in; i++) mark_prologue(p, n->in[i], before);
}

static Level level_of(Planner *p, const Group *g, const Node *n, const Level *level) {
    if (g->gradient) return attention_gradient_level(p, g, n);
    if (g->attention && attention_before(g, n)) return attention_level(p, g, n, level);
    if (p->home[n->id] == g && p->level[n->id] == LEVEL_FRAME) return LEVEL_FRAME;
    if (n == g->anchor || n->op == OP_GET || g->space.rank == 0) return LEVEL_FULL;
    if (n->op == OP_REDUCE) return g->kind == KERNEL_REDUCE ? LEVEL_FINAL : LEVEL_ROW;
    if (g->parts && n->type.rank > 0 && size_scale(type_count(p->g, &n->type), g->parts) == g->count) return LEVEL_PART;
    bool found;
    Level l = level_by_operands(p, n, level, &found);
    if (found) return l;
    Size count = type_count(p->g, &n->type);
    bool scalar = n->type.rank == 0;
    if (p->home[n->id] == g) return p->level[n->id];
    if (scalar) return LEVEL_SCALAR;
    if (count == g->count) return LEVEL_FULL;
    if (g->rows && count == g->rows) return LEVEL_ROW;
    if (g->final && count == g->final) return LEVEL_FINAL;
    bug("node %d (%s) fits no level of its kernel", n->id, op_row(n->op)->name);
}

/* ---- kernels */

static int by_id(const void *a, const void *b) {
    const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

/* n after its operands of the same kernel (those marked with p->stamp). */
static void nodes_visit(Planner *p, Kernel *k, Node *n) {
    if (p->mark[n->id] != p->stamp) return;
    p->mark[n->id] = 0;
    for (int i = 0; i < n->n_in; i++) nodes_visit(p, k, plan_base(n->in[i]));
    PUSH(p->arena, k->nodes, n);
}

/* The kernel's nodes, operands first, in an order that depends on what is stored and how it is made, not on where the nodes
 * stand in the graph: kernels of different layers get equal keys. */
static void kernel_nodes(Planner *p, Kernel *k, const Group *g, const bool *stored) {
    NodeList all = {NULL, 0, 0};
    for (int i = 0; i < g->nodes.n; i++) PUSH(p->scratch, all, g->nodes.at[i]);
    for (int i = 0; i < g->extra.n; i++) PUSH(p->scratch, all, g->extra.at[i]);
    if (all.n) qsort(all.at, (size_t)all.n, sizeof *all.at, by_id);
    group_members(p, g);
    if (g->anchor) nodes_visit(p, k, g->anchor);
    for (int i = 0; i < all.n; i++)
        if (p->home[all.at[i]->id] == g && stored[all.at[i]->id]) nodes_visit(p, k, all.at[i]);
    for (int i = 0; i < all.n; i++) nodes_visit(p, k, all.at[i]);
}

/* Stored values it reads, in order of first use. */
static void kernel_reads(Planner *p, Kernel *k, Group *g) {
    NodeList reads = group_reads(p, g);
    p->stamp++;
    for (int i = 0; i < reads.n; i++) p->mark[reads.at[i]->id] = p->stamp; /* wanted */
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        for (int j = 0; j < n->n_in && n->op != OP_GET; j++) {
            Node *base = plan_base(n->in[j]);
            if (p->mark[base->id] != p->stamp) continue;
            p->mark[base->id] = 0;
            PUSH(p->arena, k->reads, base);
        }
    }
    for (int i = 0; i < reads.n; i++)
        if (p->mark[reads.at[i]->id] == p->stamp) PUSH(p->arena, k->reads, reads.at[i]); /* of an effect, a limit */
}

/* level: by node id, for any kernel: those of its nodes are written before they are read. before: by node id, all false. */
static Kernel *kernel_make(Planner *p, Group *g, int index, const bool *stored, Level *level, bool *before) {
    Kernel *k = NEW(p->arena, Kernel);
    k->kind = g->kind;
    k->index = index;
    k->anchor = g->anchor;
    k->space = g->space;
    k->row = g->row_length ? g->row : 0;
    k->parts = g->parts;
    k->effect = g->effect;
    k->limit = g->limit;
    k->attention = g->attention;
    k->gradient = g->gradient;
    k->body_buffer = -1;
    k->together = 1;
    kernel_nodes(p, k, g, stored);
    kernel_reads(p, k, g);
    group_members(p, g);
    if (k->kind == KERNEL_CONTRACT) mark_prologue(p, k->anchor->in[1], before);
    for (int i = 0; i < k->nodes.n; i++) {
        Node *n = k->nodes.at[i];
        level[n->id] = before[n->id] ? LEVEL_B : level_of(p, g, n, level);
        before[n->id] = false;
        PUSH(p->arena, k->levels, level[n->id]);
        if (p->home[n->id] == g && stored[n->id]) PUSH(p->arena, k->writes, n);
    }
    return k;
}

Plan *plan_make(Arena *arena, const Graph *g, const Node *scan, const Planner *outer, const PlanOptions *o, Diag *d) {
    Planner p = {.arena = arena, .scratch = arena_new(), .scan = scan, .outer = outer};
    p.options = o;
    p.diag = d;
    p.sizes = g->program->sizes;
    p.reference = reference_sizes(&p);
    plan_plain(&p, g);
    plan_prepare(&p, g);
    int nodes = p.g->nodes.n;
    int groups = p.g->effects.n; /* at most */
    for (int i = 0; i < nodes; i++) groups += node_is_computed(p.g->nodes.at[i]);
    p.words = groups / 64 + 1;
    p.home = NEW_ARRAY(p.scratch, Group *, nodes);
    p.level = NEW_ARRAY(p.scratch, Level, nodes);
    p.must = NEW_ARRAY(p.scratch, bool, nodes);
    p.mark = NEW_ARRAY(p.scratch, int, nodes);
    for (int i = 0; i < p.targets.n; i++) p.must[p.targets.at[i].value->id] = true;
    for (int i = 0; i < nodes; i++) p.must[i] |= p.g->nodes.at[i]->op == OP_GET;
    plan_fuse(&p);
    group_groups_of_effects(&p);
    plan_limits(&p);
    plan_attention(&p);
    plan_place(&p);

    Plan *plan = NEW(arena, Plan);
    plan->graph = p.g;
    plan->places = p.places;
    bool *stored = NEW_ARRAY(p.scratch, bool, nodes);
    plan_stored(&p, stored);
    Level *level = NEW_ARRAY(p.scratch, Level, nodes);
    bool *before = NEW_ARRAY(p.scratch, bool, nodes);
    for (int i = 0; i < p.n_order; i++) {
        Kernel *k = kernel_make(&p, p.order[i], i, stored, level, before);
        if (k->kind == KERNEL_SCAN) k->body = plan_make(arena, k->anchor->attrs.body, k->anchor, &p, o, d);
        PUSH(arena, plan->kernels, k);
    }
    for (int i = 0; i < p.copies.n; i++) PUSH(arena, plan->copies, p.copies.at[i]);
    if (o->device && o->level > 0) plan_together(&p, plan);
    plan_memory(&p, plan);
    plan_packs(&p, plan);
    plan_keys(&p, plan);
    arena_free(p.scratch);
    return plan;
}

Plan *plan_entry(Arena *arena, const Graph *g, const PlanOptions *o, Diag *d) {
    bug_context("planning", NULL);
    Plan *plan = plan_make(arena, g, NULL, NULL, o, d);
    const char *message;
    if (!plan_verify(plan, arena, &message)) bug("the plan breaks a promise: %s", message);
    bug_context(NULL, NULL);
    return plan;
}
