/* plan_pack.c -- which weights a product may read from a packed copy.
 *
 * A product walks its second operand in panels of columns. Where that operand is a weight that no entry of the program changes,
 * the panels are made once and kept by the session, instead of at each call. This file only says where that is right
 * (Kernel.packed); the order of a copy is the schedule's affair, and the copy the runtime's.
 *
 * Right means:
 *   - the graph is an entry's, or the body of a loop in one: initial values are computed once, from slots that still change
 *   - the slot is a parameter or a state of fixed sizes, and no entry stores it; a product may round it to bf16
 *   - no entry gathers from it or takes slices at run-time places: such a weight (an embedding that is tied to the last
 * product) is needed row by row anyway, and is not worth two copies.
 *
 * A map may read weights whose channels lie apart (codegen/schedule_channels.c): those that it takes slices of. One that sums up products of codes
 * (codegen/schedule_taps.c) reads codes of a weight that were widened before: these stand for the weight. */
#include "passes/planner.h"

/* What stands for the arguments of a body, outside of it: NULL outside of loops. */
typedef struct Scope {
    const struct Scope *outer;
    const Node *scan;
} Scope;

/* The slot behind an operand, through views and into the surroundings of a loop; -1: none. */
static int slot_behind(const Scope *scope, const Node *n) {
    for (;;) {
        while (op_row(n->op)->class == CLASS_VIEW) n = n->in[0];
        if (n->op == OP_SLOT) return n->attrs.index;
        bool invariant = n->op == OP_ARG && scope && n->attrs.index >= 1 && n->attrs.index <= scope->scan->attrs.counts[0];
        if (!invariant) return -1;
        n = scope->scan->in[n->attrs.index - 1];
        scope = scope->outer;
    }
}

/* Marks the slots that a graph takes parts of, at places known when it runs. */
static void mark_gathered(const Graph *g, const Scope *scope, bool * not ) {
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->op == OP_GATHER || n->op == OP_SLICE_AT) {
            int slot = slot_behind(scope, n->in[0]);
            if (slot >= 0) not [slot] = true;
        }
        if (n->op == OP_SCAN) mark_gathered(n->attrs.body, &(Scope){scope, n}, not );
    }
}

static bool type_static(const Type *t) {
    for (int i = 0; i < t->rank; i++) {
        if (!size_is_static(t->dim[i])) return false;
    }
    return true;
}

/* By slot: must it be read where it is? */
static bool *slots_left_plain(Planner *p, const Program *program) {
    bool *plain = NEW_ARRAY(p->scratch, bool, program->slots.n + 1);
    for (int i = 0; i < program->slots.n; i++) {
        const Slot *s = program->slots.at[i];
        plain[i] = s->kind == SLOT_CACHE || !type_static(&s->type);
    }
    for (int i = 0; i < program->entries.n; i++) {
        const Graph *g = program->entries.at[i]->graph;
        mark_gathered(g, NULL, plain);
        for (int k = 0; k < g->effects.n; k++) {
            if (g->effects.at[k].kind == EFFECT_STORE) plain[g->effects.at[k].index] = true;
        }
    }
    return plain;
}

static bool is_entry(const Program *p, const Graph *g) {
    for (int i = 0; i < p->entries.n; i++) {
        if (p->entries.at[i]->graph == g) return true;
    }
    return false;
}

void plan_plain(Planner *p, const Graph *from) {
    const Program *program = from->program;
    if (p->outer) p->plain = p->outer->plain;
    else if (p->options->level > 0 && is_entry(program, from)) p->plain = slots_left_plain(p, program);
}

/* The slot whose memory an operand of a contract lies in: itself, or what a loop has as an invariant; -1: none. */
static int slot_of(const Planner *p, const Node *base) {
    if (base->op == OP_SLOT) return base->attrs.index;
    bool invariant = p->outer && base->op == OP_ARG && base->attrs.index >= 1 && base->attrs.index <= p->scan->attrs.counts[0];
    return invariant ? slot_of(p->outer, plan_base(p->scan->in[base->attrs.index - 1])) : -1;
}

int plan_packed_slot(const Planner *p, const Node *x) {
    const Node *base = plan_base((Node *)x);
    if (base->op == OP_CAST && base->type.dtype == DT_BF16) base = plan_base(base->in[0]);
    int slot = p->plain ? slot_of(p, base) : -1;
    return slot < 0 || p->plain[slot] ? -1 : slot;
}

static void pack_operands(Planner *p, Kernel *k) {
    for (int i = 0; i < k->anchor->n_in; i++) {
        Node *base = plan_base(k->anchor->in[i]);
        int slot = i == 1 || base->op == OP_SLOT || base->op == OP_ARG ? plan_packed_slot(p, base) : -1;
        bool known = slot < 0 || (base->op == OP_CAST && p->home[base->id]);
        for (int j = 0; j < k->packed.n && !known; j++) known = k->packed.at[j] == base;
        if (known) continue;
        PUSH(p->arena, k->packed, base);
        PUSH(p->arena, k->packed_slots, slot);
    }
}

/* Does a node take slices of it, as a depthwise convolution does of its weight? */
static bool is_sliced(const Kernel *k, const Node *base) {
    for (int i = 0; i < k->nodes.n; i++)
        for (int j = 0; j < k->nodes.at[i]->n_in; j++) {
            const Node *x = k->nodes.at[i]->in[j];
            bool slice = false;
            for (; op_row(x->op)->class == CLASS_VIEW; x = x->in[0]) slice |= x->op == OP_SLICE;
            if (slice && x == base) return true;
        }
    return false;
}

static void pack_weights(Planner *p, Kernel *k) {
    for (int i = 0; i < k->reads.n; i++) {
        Node *x = k->reads.at[i];
        bool codes = x->op == OP_CAST && x->type.dtype == DT_I32 && x->in[0]->type.dtype == DT_I8;
        if (!codes && (!node_is_memory(x) || !is_sliced(k, x))) continue;
        int slot = plan_packed_slot(p, codes ? x->in[0] : x);
        if (slot < 0) continue;
        PUSH(p->arena, k->packed, x);
        PUSH(p->arena, k->packed_slots, slot);
    }
}

void plan_packs(Planner *p, Plan *plan) {
    for (int i = 0; p->plain && i < plan->kernels.n; i++) {
        Kernel *k = plan->kernels.at[i];
        if (k->kind == KERNEL_CONTRACT) pack_operands(p, k);
        if (k->kind == KERNEL_MAP) pack_weights(p, k);
    }
}
