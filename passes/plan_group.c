/* plan_group.c -- groups: nodes that will be one kernel, with the set of groups each must wait for. */
#include "passes/fuse.h"

#include <stdlib.h>
#include <string.h>

Group *group_new(Planner *p, KernelKind kind) {
    Group *g = NEW(p->scratch, Group);
    g->id = p->groups.n;
    g->kind = kind;
    g->ancestors = NEW_ARRAY(p->scratch, uint64_t, p->words);
    if (g->id >= 64 * p->words) bug("more groups than nodes");
    PUSH(p->scratch, p->groups, g);
    return g;
}

bool group_waits(const Group *g, const Group *for_this) {
    return g->ancestors[for_this->id / 64] >> (for_this->id % 64) & 1;
}

static void waits_add(const Planner *p, Group *g, const Group *before) {
    for (int w = 0; w < p->words; w++) g->ancestors[w] |= before->ancestors[w];
    g->ancestors[before->id / 64] |= (uint64_t)1 << (before->id % 64);
}

bool group_link(Planner *p, Group *g, Group *before) {
    if (g == before || group_waits(g, before)) return true;
    if (group_waits(before, g)) return false;
    for (int i = 0; i < p->groups.n; i++) {
        Group *x = p->groups.at[i];
        if (!x->dead && (x == g || group_waits(x, g))) waits_add(p, x, before);
    }
    return true;
}

void group_members(Planner *p, const Group *g) {
    p->stamp++;
    for (int i = 0; i < g->nodes.n; i++) p->mark[g->nodes.at[i]->id] = p->stamp;
    for (int i = 0; i < g->extra.n; i++) p->mark[g->extra.at[i]->id] = p->stamp;
}

static void reads_add(Planner *p, NodeList *list, Node *operand) {
    Node *base = plan_base(operand);
    if (p->mark[base->id] == p->stamp || node_is_free(base)) return;
    p->mark[base->id] = p->stamp; /* each once */
    PUSH(p->scratch, *list, base);
}

static int by_id(const void *a, const void *b) {
    const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

void group_changed(Group *g) {
    g->reads_known = false;
}

NodeList group_reads(Planner *p, Group *g) {
    if (g->reads_known) return g->reads;
    NodeList list = {NULL, 0, 0}, all = {NULL, 0, 0};
    group_members(p, g);
    for (int i = 0; i < g->nodes.n; i++) PUSH(p->scratch, all, g->nodes.at[i]);
    for (int i = 0; i < g->extra.n; i++) PUSH(p->scratch, all, g->extra.at[i]);
    if (all.n) qsort(all.at, (size_t)all.n, sizeof *all.at, by_id);
    for (int i = 0; i < all.n; i++) {
        const Node *n = all.at[i];
        if (n->op == OP_GET) continue;
        for (int k = 0; k < n->n_in; k++) reads_add(p, &list, n->in[k]);
    }
    if (g->effect && g->effect->value) reads_add(p, &list, g->effect->value);
    if (g->limit.offset) reads_add(p, &list, g->limit.offset);
    g->reads = list;
    g->reads_known = true;
    return list;
}

void plan_stored(Planner *p, bool *stored) {
    memcpy(stored, p->must, sizeof *stored * (size_t)p->g->nodes.n);
    for (int i = 0; i < p->groups.n; i++) {
        if (p->groups.at[i]->dead) continue;
        NodeList reads = group_reads(p, p->groups.at[i]);
        for (int k = 0; k < reads.n; k++) stored[reads.at[k]->id] = true;
    }
}

/* The reduced axes are the last ones, and the whole goes as rows of a MAP kernel. */
bool reduce_is_rows(Planner *p, const Node *n) {
    const Type *x = &n->in[0]->type;
    for (int i = 0; i < n->attrs.n_axes; i++)
        if (n->attrs.axes[i] != x->rank - n->attrs.n_axes + i) return false;
    if (n->type.rank > 0 || n->attrs.fn == REDUCE_ARGMAX || n->attrs.fn == REDUCE_ARGMIN) return true;
    int64_t low, high;
    size_range(type_count(p->g, x), &low, &high);
    return high <= 65536;
}

static KernelKind anchor_kind(Op op) {
    switch (op) {
    case OP_CONTRACT: return KERNEL_CONTRACT;
    case OP_SCATTER_ADD: return KERNEL_SCATTER;
    case OP_UPDATE_AT: return KERNEL_UPDATE;
    case OP_SCAN: return KERNEL_SCAN;
    case OP_CUMSUM:
    case OP_SORT_IDS:
    case OP_TOPK_IDS:
    case OP_CATEGORICAL: return KERNEL_ROUTINE;
    default: bug("%s is no anchor", op_row(op)->name);
    }
}

Group *group_of_node(Planner *p, Node *n) {
    OpClass class = op_row(n->op)->class;
    Group *g;
    if (class == CLASS_GET) {
        g = p->home[n->in[0]->id];
        PUSH(p->scratch, g->nodes, n);
        p->home[n->id] = g;
        return g;
    }
    if (class == CLASS_REDUCE) {
        const Node *x = n->in[0];
        bool rows = reduce_is_rows(p, n);
        g = group_new(p, rows ? KERNEL_MAP : KERNEL_REDUCE);
        g->space = x->type;
        g->count = type_count(p->g, &x->type);
        if (rows) {
            g->row = n->attrs.n_axes;
            g->row_length = type_product(p->g, &x->type, x->type.rank - g->row, x->type.rank);
            g->rows = type_count(p->g, &n->type);
        } else {
            g->n_axes = n->attrs.n_axes;
            memcpy(g->axes, n->attrs.axes, sizeof g->axes);
            g->final = type_count(p->g, &n->type);
        }
        p->level[n->id] = rows ? LEVEL_ROW : LEVEL_FINAL;
    } else {
        bool map = class == CLASS_MAP || class == CLASS_ACCESS;
        g = group_new(p, map ? KERNEL_MAP : anchor_kind(n->op));
        if (!map) g->anchor = n;
        g->space = n->type;
        if (n->type.rank >= 0) g->count = type_count(p->g, &n->type);
        p->level[n->id] = LEVEL_FULL;
    }
    PUSH(p->scratch, g->nodes, n);
    p->home[n->id] = g;
    NodeList reads = group_reads(p, g);
    for (int i = 0; i < reads.n; i++) {
        const Group *before = p->home[reads.at[i]->id];
        if (before && before != g && !group_waits(g, before)) waits_add(p, g, before); /* nobody waits for a new group */
    }
    return g;
}

/* What is computed again for a @checkpoint call waits for its readers: it joins only what is computed again for the same call, never
 * what came before. Gradients may join it. */
int group_again(const Group *g) {
    int number = 0;
    for (int i = 0; i < g->nodes.n && !number; i++) number = g->nodes.at[i]->recompute;
    return number;
}

void group_groups_of_effects(Planner *p) {
    Group *last = NULL;
    for (int i = 0; i < p->g->effects.n; i++) {
        const Effect *e = &p->g->effects.at[i];
        if (e->kind == EFFECT_STORE || e->kind == EFFECT_RESET) continue;
        Group *g = group_new(p, e->kind == EFFECT_PRINT ? KERNEL_PRINT : KERNEL_CHECK);
        g->effect = e;
        g->space = type_scalar(DT_BOOL);
        g->count = size_const(p->sizes, 1);
        NodeList reads = group_reads(p, g);
        for (int k = 0; k < reads.n; k++)
            if (p->home[reads.at[k]->id]) group_link(p, g, p->home[reads.at[k]->id]);
        if (last) group_link(p, g, last);
        last = g;
    }
}
