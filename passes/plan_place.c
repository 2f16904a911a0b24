/* plan_place.c -- what may be written in place, and the order of kernels.
 *
 * A value that is stored to a slot (or is the next value of a carry) is computed right into the slot's memory, if every other
 * kernel that reads the old value can run before, and its own kernel reads the old value only where it writes the new one.
 * Otherwise it is computed into the arena and copied when all is done. Each decision adds edges to the graph of kernels; an
 * edge that would close a cycle is refused.
 *
 * Checks: an index is used after its check; whatever writes a slot waits for all checks, so that a refused call has changed
 * nothing. */
#include "passes/planner.h"

/* ---- checks */

static Node *index_operand(const Node *n) {
    switch (n->op) {
    case OP_GATHER:
    case OP_SCATTER_ADD:
    case OP_SLICE_AT: return n->in[1];
    case OP_UPDATE_AT: return n->in[2];
    default: return NULL;
    }
}

static void guard_list(Planner *p, Group *g, Node *const *nodes, int n, const bool *depends, Group *check) {
    for (int i = 0; i < n; i++) {
        const Node *index = index_operand(nodes[i]);
        if (index && depends[index->id]) group_link(p, g, check);
    }
}

/* Kernels that use as an index what depends on a checked value wait for the check. */
static void guard(Planner *p, Group *check) {
    const Effect *e = check->effect;
    if (e->kind != EFFECT_RANGE) return;
    bool *depends = NEW_ARRAY(p->scratch, bool, p->g->nodes.n);
    const Node *base = plan_base(e->value);
    for (int i = base->id; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i];
        depends[i] = n == base;
        for (int k = 0; k < n->n_in && !depends[i]; k++) depends[i] = depends[n->in[k]->id];
    }
    for (int i = 0; i < p->groups.n; i++) {
        Group *g = p->groups.at[i];
        if (g->dead || g->effect) continue;
        guard_list(p, g, g->nodes.at, g->nodes.n, depends, check);
        guard_list(p, g, g->extra.at, g->extra.n, depends, check);
    }
}

static bool body_can_stop(const Graph *body) {
    for (int i = 0; i < body->effects.n; i++)
        if (body->effects.at[i].kind == EFFECT_CHECK || body->effects.at[i].kind == EFFECT_RANGE) return true;
    for (int i = 0; i < body->nodes.n; i++)
        if (body->nodes.at[i]->op == OP_SCAN && body_can_stop(body->nodes.at[i]->attrs.body)) return true;
    return false;
}

/* ---- in place */

static bool lies_in(const Node *n, Old old) {
    if (old.node) return n == old.node;
    if (old.place.kind == PLACE_SLOT && n->op == OP_SLOT) return n->attrs.index == old.place.index;
    if (old.place.kind == PLACE_ARG && n->op == OP_ARG) return n->attrs.index == old.place.index;
    return false;
}

static bool reads_old(Planner *p, Group *g, Old old) {
    NodeList reads = group_reads(p, g);
    for (int i = 0; i < reads.n; i++)
        if (lies_in(reads.at[i], old)) return true;
    return false;
}

/* Which operand's memory an anchor carries on: x of update_at, the initial value of a carry; -1: none. */
int plan_carried(const Node *value) {
    if (value->op == OP_UPDATE_AT) return 0;
    if (value->op != OP_GET) return -1;
    const Node *scan = value->in[0];
    return value->attrs.index < scan->attrs.counts[1] ? scan->attrs.counts[0] + value->attrs.index : -1;
}

/* No operand of n but `except` lies in the memory. */
static bool only_operand(const Node *n, int except, Old old) {
    for (int i = 0; i < n->n_in; i++)
        if (i != except && lies_in(plan_base(n->in[i]), old)) return false;
    return true;
}

/* Every node of a list that reads the memory does so element by element, at the place of `value`. */
static bool elementwise(Planner *p, const Group *g, const NodeList *nodes, const Node *value, Old old) {
    for (int i = 0; i < nodes->n; i++) {
        const Node *n = nodes->at[i];
        for (int k = 0; k < n->n_in; k++) {
            Edge e = edge_of(n->in[k]);
            if (p->mark[e.base->id] == p->stamp || !lies_in(e.base, old)) continue;
            bool position = e.kind == EDGE_SAME || (e.kind == EDGE_SCALAR && g->space.rank == 0);
            if (n == g->anchor || op_row(n->op)->class != CLASS_MAP || !position) return false;
            if (type_count(p->g, &n->type) != type_count(p->g, &value->type)) return false;
        }
    }
    return true;
}

bool plan_in_place(Planner *p, Group *g, const Node *value, Old old) {
    if (!reads_old(p, g, old)) return true;
    switch (g->kind) {
    case KERNEL_MAP:
        if (g->row_length || p->level[value->id] != LEVEL_FULL) return false;
        break;
    case KERNEL_CONTRACT:
        if (p->level[value->id] != LEVEL_FULL && p->level[value->id] != LEVEL_PART) return false;
        break;
    case KERNEL_REDUCE: break;
    case KERNEL_UPDATE:
    case KERNEL_SCAN: return plan_carried(value) >= 0 && only_operand(g->anchor, plan_carried(value), old);
    default: return false;
    }
    group_members(p, g);
    NodeList nodes = {g->nodes.at, g->nodes.n, 0}, extra = {g->extra.at, g->extra.n, 0};
    return elementwise(p, g, &nodes, value, old) && elementwise(p, g, &extra, value, old);
}

/* Groups that read each slot and carry, and checks, which come before anything is written. */
static void find_readers(Planner *p) {
    int slots = 0, args = 0;
    for (int i = 0; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i];
        if (n->op == OP_SLOT && n->attrs.index >= slots) slots = n->attrs.index + 1;
        if (n->op == OP_ARG && n->attrs.index >= args) args = n->attrs.index + 1;
    }
    for (int i = 0; i < p->targets.n; i++) { /* some nobody reads */
        Place to = p->targets.at[i].to;
        if (to.kind == PLACE_SLOT && to.index >= slots) slots = to.index + 1;
        if (to.kind == PLACE_ARG && to.index >= args) args = to.index + 1;
    }
    p->slot_readers = NEW_ARRAY(p->scratch, Numbers, slots);
    p->arg_readers = NEW_ARRAY(p->scratch, Numbers, args);
    for (int i = 0; i < p->groups.n; i++) {
        Group *g = p->groups.at[i];
        if (g->dead) continue;
        if (g->kind == KERNEL_CHECK) PUSH(p->scratch, p->checks, i);
        NodeList reads = group_reads(p, g);
        for (int k = 0; k < reads.n; k++) {
            const Node *n = reads.at[k];
            if (n->op != OP_SLOT && n->op != OP_ARG) continue;
            Numbers *r = n->op == OP_SLOT ? &p->slot_readers[n->attrs.index] : &p->arg_readers[n->attrs.index];
            if (!r->n || r->at[r->n - 1] != i) PUSH(p->scratch, *r, i);
        }
    }
}

static bool place_in_memory(Planner *p, Node *value, Place memory) {
    Old old = {memory, NULL};
    Group *g = p->home[value->id];
    if (p->places[value->id].kind != PLACE_NONE || !g) return false;
    if (g->kind == KERNEL_SCAN && body_can_stop(g->anchor->attrs.body)) return false;
    if (!plan_in_place(p, g, value, old)) return false;
    const Numbers *readers = memory.kind == PLACE_SLOT ? &p->slot_readers[memory.index] : &p->arg_readers[memory.index];
    for (int i = 0; i < p->checks.n; i++) /* checks run before, and readers of the old value */
        if (!group_link(p, g, p->groups.at[p->checks.at[i]])) return false;
    for (int i = 0; i < readers->n; i++) {
        Group *r = p->groups.at[readers->at[i]];
        if (r != g && !group_link(p, g, r)) return false;
    }
    return true;
}

/* The operand whose memory goes on in `value` may live there from its own birth on. */
static void place_carried(Planner *p, const Node *value, Place memory) {
    int k = plan_carried(value);
    if (k < 0) return;
    const Node *anchor = value->op == OP_GET ? value->in[0] : value;
    Node *x = plan_base(anchor->in[k]);
    Group *g = p->home[value->id];
    if (!node_is_computed(x) || p->home[x->id] == g) return;
    for (int i = 0; i < anchor->n_in; i++)
        if (i != k && plan_base(anchor->in[i]) == x) return;
    for (int i = 0; i < p->groups.n; i++) { /* x itself is overwritten: its other readers come before */
        Group *r = p->groups.at[i];
        if (r->dead || r == g) continue;
        NodeList reads = group_reads(p, r);
        for (int j = 0; j < reads.n; j++)
            if (reads.at[j] == x && !group_link(p, g, r)) return;
    }
    if (!place_in_memory(p, x, memory)) return;
    p->places[x->id] = memory;
    place_carried(p, x, memory);
}

static void place_targets(Planner *p) {
    for (int i = 0; i < p->targets.n; i++) { /* nobody reads these before: results, stacked values */
        Target *t = &p->targets.at[i];
        if (t->to.kind == PLACE_RESULT || t->to.kind == PLACE_Y || t->to.kind == PLACE_STOP) p->places[t->value->id] = t->to;
    }
    for (int i = 0; i < p->targets.n; i++) {
        Target *t = &p->targets.at[i];
        if (t->to.kind != PLACE_SLOT && t->to.kind != PLACE_ARG) continue;
        if (place_in_memory(p, t->value, t->to)) {
            p->places[t->value->id] = t->to;
            if (p->options->level > 0 || p->home[t->value->id]->kind == KERNEL_SCAN) place_carried(p, t->value, t->to);
        } else {
            Copy c = {t->value, t->to};
            PUSH(p->arena, p->copies, c);
        }
    }
}

/* ---- order */

typedef struct Ordering {
    Planner *p;
    uint64_t *done; /* bit set over ids of groups: placed, or dead */
    int *weight;    /* number of ancestors */
} Ordering;

static bool is_done(const Ordering *o, int id) {
    return o->done[id / 64] >> (id % 64) & 1;
}

static void set_done(Ordering *o, int id) {
    o->done[id / 64] |= (uint64_t)1 << (id % 64);
}

/* The ancestor of g with the smallest weight that is not done; NULL: all are. */
static Group *next_ancestor(const Ordering *o, const Group *g) {
    Group *next = NULL;
    for (int w = 0; w < o->p->words; w++)
        for (uint64_t rest = g->ancestors[w] & ~o->done[w]; rest; rest &= rest - 1) {
            int i = 64 * w + __builtin_ctzll(rest);
            if (!next || o->weight[i] < o->weight[next->id]) next = o->p->groups.at[i];
        }
    return next;
}

/* The ancestor with the smallest weight first; its own come before it by recursion. */
static void order_visit(Ordering *o, Group *g) {
    if (is_done(o, g->id)) return;
    set_done(o, g->id);
    for (Group *next; (next = next_ancestor(o, g)) != NULL;) order_visit(o, next);
    o->p->order[o->p->n_order++] = g;
}

static int bits(uint64_t x) {
    return __builtin_popcountll(x);
}

static void order_groups(Planner *p) {
    int n = p->groups.n;
    Ordering o = {p, NEW_ARRAY(p->scratch, uint64_t, p->words), NEW_ARRAY(p->scratch, int, n)};
    bool *again = NEW_ARRAY(p->scratch, bool, n); /* its turn is when its first reader is reached */
    p->order = NEW_ARRAY(p->scratch, Group *, n);
    for (int i = 0; i < n; i++) {
        const Group *g = p->groups.at[i];
        for (int w = 0; w < p->words; w++) o.weight[i] += bits(g->ancestors[w]);
        if (g->dead) set_done(&o, i);
        else again[i] = group_again(g) != 0;
    }
    for (int i = 0; i < n; i++) /* checks as early as can be, in the order of the text */
        if (p->groups.at[i]->kind == KERNEL_CHECK) order_visit(&o, p->groups.at[i]);
    for (int late = 0; late < 2; late++) {
        for (;;) {
            int next = -1;
            for (int i = 0; i < n; i++) {
                if (is_done(&o, i) || (!late && again[i])) continue;
                if (next < 0 || o.weight[i] < o.weight[next]) next = i;
            }
            if (next < 0) break;
            order_visit(&o, p->groups.at[next]);
        }
    }
}

void plan_place(Planner *p) {
    p->places = NEW_ARRAY(p->arena, Place, p->g->nodes.n);
    for (int i = 0; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i];
        if (n->op == OP_INPUT) p->places[i] = (Place){PLACE_INPUT, n->attrs.index};
        if (n->op == OP_SLOT) p->places[i] = (Place){PLACE_SLOT, n->attrs.index};
        if (n->op == OP_ARG) p->places[i] = (Place){PLACE_ARG, n->attrs.index};
        if (n->op == OP_TENSOR) p->places[i] = (Place){PLACE_DATA, 0};
    }
    for (int i = 0; i < p->groups.n; i++)
        if (p->groups.at[i]->kind == KERNEL_CHECK && !p->groups.at[i]->dead) guard(p, p->groups.at[i]);
    find_readers(p);
    place_targets(p);
    order_groups(p);
}
