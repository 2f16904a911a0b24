/* fuse.c -- nodes → groups, by the three sentences of GRAPH.md.
 *
 *  1. Every contract, scatter, update, routine, scan is a group of its own; views are none; maps over leaves float: they
 *     belong to nobody and are computed by whoever reads them.
 *  2. A map or a row reduction joins the group that makes one of its operands, if it runs over the same elements or the
 *     same rows, or equal slices of a product (fuse_parts.c), and no cycle arises: of several groups the one that spares most bytes, of equals the latest. Then groups
 *     are merged (fuse_merge.c).
 *  3. A stored value that is a few maps of stored values is computed again by its readers if that moves fewer bytes
 *     (fuse_again.c).
 *  4. A product stores into the pad behind it (fuse_frame.c).
 *
 * A float is stored after all, by a group of its own, when a reader wants it in memory or through a view that changes
 * places. Every choice goes by places in the graph and in the list of groups: the same graph gives the same kernels. */
#include "passes/fuse.h"

#include <string.h>

enum {
    FLOAT_MOST = 12,    /* maps that a reader may have to compute for one floating operand */
    ROWS_OF_UNITS = 32, /* of a product that a device multiplies faster than it reads a weight once more */
};

typedef struct Fuse {
    Planner *p;
    bool *floats; /* by node id */
    int *cone;    /* by node id: floating maps in what it stands for, itself included */
    bool *dear;   /* by node id: among them one that should not be computed twice */
    int *uses;    /* by node id: operands of computed nodes that have it as a base; 2 more if it must be stored */
    bool *memory; /* by node id: some reader wants it in memory */
} Fuse;

bool group_is_library(const Planner *p, const Group *g) {
    return p->options->blas && g->kind == KERNEL_CONTRACT && g->anchor->type.dtype == DT_F32;
}

bool node_is_heavy(Op op) {
    switch (op) {
    case OP_EXP:
    case OP_EXPM1:
    case OP_LOG:
    case OP_LOG1P:
    case OP_SIN:
    case OP_COS:
    case OP_TANH:
    case OP_ERF:
    case OP_SIGMOID:
    case OP_POW:
    case OP_ATAN2:
    case OP_RANDOM: return true;
    default: return false;
    }
}

bool group_has(const Group *g, const Node *n) {
    for (int i = 0; i < g->nodes.n; i++)
        if (g->nodes.at[i] == n) return true;
    for (int i = 0; i < g->extra.n; i++)
        if (g->extra.at[i] == n) return true;
    return false;
}

Size row_length_of(const Planner *p, const Node *reduce) {
    const Type *x = &reduce->in[0]->type;
    return type_product(p->g, x, x->rank - reduce->attrs.n_axes, x->rank);
}

bool edge_inside(const Node *n, Level level, Edge e, Level from, Size row_length, bool rank0_space) {
    if (op_row(n->op)->class == CLASS_ACCESS) return false;
    if (n->op == OP_REDUCE) return from == LEVEL_FULL && e.kind == EDGE_SAME;
    if (rank0_space) return true;
    switch (e.kind) {
    case EDGE_SAME: return from == level;
    case EDGE_ROW: return from == LEVEL_ROW && level == LEVEL_FULL && e.row == row_length;
    case EDGE_SCALAR:
        if (n->type.rank == 0) return from == level;
        return from == LEVEL_ROW && level == LEVEL_FULL && e.row == row_length;
    case EDGE_OTHER: break;
    }
    return false;
}

/* ---- floats */

/* Bytes of the slots (in a loop: of what does not change in it) behind maps; -1: something else is behind them, or too many maps. */
static int64_t slots_behind(Planner *p, const Node *n, int *maps) {
    const Node *base = plan_base((Node *)n);
    bool invariant = base->op == OP_ARG && p->scan && base->attrs.index >= 1 && base->attrs.index <= p->scan->attrs.counts[0];
    if (base->op == OP_SLOT || invariant) return plan_bytes(p, base);
    if (node_is_free(base)) return 0;
    if (op_row(base->op)->class != CLASS_MAP || p->must[base->id] || ++*maps > FLOAT_MOST) return -1;
    int64_t sum = 0;
    for (int i = 0; i < base->n_in; i++) {
        int64_t bytes = slots_behind(p, base->in[i], maps);
        if (bytes < 0) return -1;
        sum += bytes;
    }
    return sum;
}

/* May the product have so many rows that a device's matrix units pay? They multiply what is stored as they want it. */
static bool is_for_units(const Planner *p, const Node *n) {
    const char *const *labels = n->attrs.labels;
    int64_t rows = 1, low, high;
    for (int i = 0; labels[0][i] && rows < ROWS_OF_UNITS; i++) {
        if (!strchr(labels[2], labels[0][i]) || strchr(labels[1], labels[0][i])) continue;
        size_range(n->in[0]->type.dim[i], &low, &high);
        rows = high < ROWS_OF_UNITS ? rows * high : ROWS_OF_UNITS;
    }
    return p->options->device && rows >= ROWS_OF_UNITS;
}

/* Is operand k of n a weight that is stored in fewer bytes than it has here, or one that is rounded and can be packed? A product
 * computes such values where it packs or reads its second operand, and they are never stored. */
static bool is_unpacked(Planner *p, const Node *n, int k) {
    int maps = 0;
    if (n->op != OP_CONTRACT || k != 1 || op_row(n->in[1]->op)->class != CLASS_MAP) return false;
    if (plan_packed_slot(p, n->in[1]) >= 0 && !p->must[n->in[1]->id] && !is_for_units(p, n)) return true;
    int64_t stored = slots_behind(p, n->in[1], &maps);
    return stored >= 0 && stored < plan_bytes(p, n->in[1]);
}

static bool wants_memory(Planner *p, const Node *reader, int operand, Edge e) {
    OpClass class = op_row(reader->op)->class;
    if (is_unpacked(p, reader, operand)) return false;
    if (class == CLASS_ANCHOR) return true;
    if (class == CLASS_ACCESS) return !(e.kind == EDGE_SCALAR && operand > 0);
    return e.kind == EDGE_OTHER;
}

static void count_uses(Fuse *f) {
    Planner *p = f->p;
    for (int i = 0; i < p->g->nodes.n; i++) {
        const Node *n = p->g->nodes.at[i];
        if (!node_is_computed(n) || n->op == OP_GET) continue;
        for (int k = 0; k < n->n_in; k++) {
            Edge e = edge_of(n->in[k]);
            f->uses[e.base->id]++;
            if (wants_memory(p, n, k, e)) f->memory[e.base->id] = true;
        }
    }
    for (int i = 0; i < p->g->effects.n; i++) {
        const Effect *e = &p->g->effects.at[i];
        if (e->value && e->kind != EFFECT_STORE) f->memory[plan_base(e->value)->id] = true;
    }
    for (int i = 0; i < p->g->nodes.n; i++)
        if (p->must[i]) f->uses[i] += 2;
}

static bool may_float(Fuse *f, const Node *n) {
    OpClass class = op_row(n->op)->class;
    if ((class != CLASS_MAP && class != CLASS_ACCESS) || f->p->must[n->id] || f->memory[n->id]) return false;
    bool dear = node_is_heavy(n->op) || class == CLASS_ACCESS;
    int cone = 1;
    for (int i = 0; i < n->n_in; i++) {
        const Node *base = plan_base(n->in[i]);
        if (node_is_free(base) || node_is_memory(base)) continue;
        if (!f->floats[base->id] || class == CLASS_ACCESS) return false;
        cone += f->cone[base->id];
        dear |= f->dear[base->id];
    }
    f->cone[n->id] = cone;
    f->dear[n->id] = dear;
    if (dear && (f->uses[n->id] > 1 || n->type.rank == 0)) return false;
    return cone <= FLOAT_MOST;
}

/* The floating maps behind n's operands become part of g, which waits for what they read of other groups. */
static void pull(Fuse *f, Group *g, const Node *n) {
    for (int i = 0; i < n->n_in; i++) {
        Node *base = plan_base(n->in[i]);
        Group *home = f->p->home[base->id];
        if (home && !group_link(f->p, g, home)) bug("a float behind node %d closes a cycle", n->id);
        if (!f->floats[base->id] || home || group_has(g, base)) continue;
        PUSH(f->p->scratch, g->extra, base);
        group_changed(g);
        pull(f, g, base);
    }
}

static void make_group(Fuse *f, Node *n);

/* Floats behind n that a kernel with rows of row_length cannot compute on the way are stored. */
static void settle_floats(Fuse *f, const Node *n, Size row_length) {
    for (int i = 0; i < n->n_in; i++) {
        Edge e = edge_of(n->in[i]);
        if (!f->floats[e.base->id] || f->p->home[e.base->id] || is_unpacked(f->p, n, i)) continue;
        if (e.kind == EDGE_ROW && e.row != row_length) make_group(f, e.base);
        else settle_floats(f, e.base, e.kind == EDGE_SAME ? row_length : NULL);
    }
}

static void make_group(Fuse *f, Node *n) {
    Planner *p = f->p;
    settle_floats(f, n, NULL);
    Group *g = group_of_node(p, n);
    pull(f, g, n);
}

/* ---- sentence 2 */

static bool joins_reduce(Planner *p, const Group *c, const Node *n) {
    Edge e = edge_of(n->in[0]);
    if (p->home[e.base->id] != c || c->kind != KERNEL_MAP || p->level[e.base->id] != LEVEL_FULL || e.kind != EDGE_SAME)
        return false;
    if (!reduce_is_rows(p, n) || type_count(p->g, &n->in[0]->type) != c->count || c->space.rank == 0) return false;
    return !c->row_length || c->row_length == row_length_of(p, n);
}

/* May n be computed in c, which makes some of its operands, and at which level? */
static bool joins(Planner *p, const Group *c, const Node *n, Level *level) {
    if (c->kind != KERNEL_MAP && c->kind != KERNEL_REDUCE && c->kind != KERNEL_CONTRACT) return false;
    if (group_is_library(p, c)) return false;
    if (n->op == OP_REDUCE) {
        *level = LEVEL_ROW;
        return joins_reduce(p, c, n);
    }
    Size count = type_count(p->g, &n->type);
    static const Level TRY[] = {LEVEL_FULL, LEVEL_ROW, LEVEL_FINAL};
    for (int i = 0; i < 3; i++) {
        Size want = TRY[i] == LEVEL_FULL ? c->count : TRY[i] == LEVEL_ROW ? c->rows : c->final;
        if (!want || want != count || (TRY[i] == LEVEL_FULL && c->kind == KERNEL_REDUCE)) continue;
        if (TRY[i] == LEVEL_FULL && n->type.rank == 0 && c->space.rank > 0) continue; /* one element, but with axes */
        bool fits = true;
        for (int k = 0; k < n->n_in && fits; k++) {
            Edge e = edge_of(n->in[k]);
            if (p->home[e.base->id] == c)
                fits = edge_inside(n, TRY[i], e, p->level[e.base->id], c->row_length, c->space.rank == 0);
        }
        if (!fits) continue;
        *level = TRY[i];
        return true;
    }
    *level = LEVEL_PART;
    return fuse_parts(p, c, n) > 0;
}

/* A scalar that is made of results of several kernels does not join one of them (a norm over all gradients would chain their
 * kernels), and the elements that a scalar scales do not go where the scalar is made, unless they are at home or read there. */
static bool sensible(Planner *p, Group *c, const Node *n) {
    bool scalar_only = n->type.rank > 0, near = false, elsewhere = false;
    NodeList reads = group_reads(p, c);
    for (int k = 0; k < n->n_in; k++) {
        Edge e = edge_of(n->in[k]);
        const Group *home = p->home[e.base->id];
        if (home == c) {
            if (e.kind != EDGE_SCALAR) scalar_only = false;
            continue;
        }
        elsewhere |= home != NULL;
        for (int i = 0; i < reads.n; i++) near |= reads.at[i] == e.base;
    }
    if (n->type.rank == 0 && c->space.rank > 0 && elsewhere) return false;
    return !scalar_only || near;
}

/* The groups that make operands of n, each once, the oldest first. Returns how many. */
static int homes_of(const Planner *p, const Node *n, Group **homes) {
    int found = 0;
    for (int k = 0; k < n->n_in; k++) {
        Group *home = p->home[plan_base(n->in[k])->id];
        int at = found;
        while (at > 0 && home && homes[at - 1]->id > home->id) at--;
        if (!home || (at > 0 && homes[at - 1] == home)) continue;
        memmove(homes + at + 1, homes + at, sizeof(Group *) * (size_t)(found++ - at));
        homes[at] = home;
    }
    return found;
}

/* The best group for n, or NULL. */
static Group *best_group(Planner *p, const Node *n, Level *level) {
    Group *best = NULL, **homes = NEW_ARRAY(p->scratch, Group *, n->n_in);
    int64_t best_gain = -1;
    int n_homes = homes_of(p, n, homes);
    for (int i = 0; i < n_homes; i++) {
        Group *c = homes[i];
        int64_t gain = 0;
        bool reads = false, waits = false;
        for (int k = 0; k < n->n_in; k++) {
            const Node *base = plan_base(n->in[k]);
            Group *home = p->home[base->id];
            if (home == c) {
                gain += plan_bytes(p, base);
                reads = true;
            } else if (home && group_waits(home, c)) {
                waits = true;
            }
        }
        Level l;
        if (n->recompute && group_again(c) != n->recompute) continue;
        if (!reads || waits || gain < best_gain || !joins(p, c, n, &l) || !sensible(p, c, n)) continue;
        best = c;
        best_gain = gain;
        *level = l;
    }
    return best;
}

static void join(Fuse *f, Group *c, Node *n, Level level) {
    Planner *p = f->p;
    if (n->op == OP_REDUCE && !c->row_length) {
        c->space = n->in[0]->type;
        c->row = n->attrs.n_axes;
        c->row_length = row_length_of(p, n);
        c->rows = type_count(p->g, &n->type);
    }
    if (level == LEVEL_PART) c->parts = fuse_parts(p, c, n);
    settle_floats(f, n, level == LEVEL_FULL ? c->row_length : NULL);
    for (int i = 0; i < n->n_in; i++) {
        Group *before = p->home[plan_base(n->in[i])->id];
        if (before && !group_link(p, c, before)) bug("node %d closes a cycle", n->id);
    }
    PUSH(p->scratch, c->nodes, n);
    group_changed(c);
    p->home[n->id] = c;
    p->level[n->id] = level;
    pull(f, c, n);
}

static void fuse_nodes(Fuse *f) {
    Planner *p = f->p;
    for (int i = 0; i < p->g->nodes.n; i++) {
        Node *n = p->g->nodes.at[i];
        if (!node_is_computed(n)) continue;
        if (n->op == OP_GET) {
            group_of_node(p, n);
            continue;
        }
        f->floats[i] = may_float(f, n);
        if (f->floats[i]) continue;
        OpClass class = op_row(n->op)->class;
        Level level;
        Group *c = class == CLASS_MAP || class == CLASS_REDUCE ? best_group(p, n, &level) : NULL;
        if (c) join(f, c, n, level);
        else make_group(f, n);
    }
}

static void each_by_itself(Planner *p) {
    for (int i = 0; i < p->g->nodes.n; i++) {
        Node *n = p->g->nodes.at[i];
        if (node_is_computed(n)) group_of_node(p, n);
    }
}

void plan_fuse(Planner *p) {
    if (p->options->level == 0) {
        each_by_itself(p);
        return;
    }
    int n = p->g->nodes.n;
    Fuse f = {.p = p};
    f.floats = NEW_ARRAY(p->scratch, bool, n);
    f.cone = NEW_ARRAY(p->scratch, int, n);
    f.dear = NEW_ARRAY(p->scratch, bool, n);
    f.uses = NEW_ARRAY(p->scratch, int, n);
    f.memory = NEW_ARRAY(p->scratch, bool, n);
    count_uses(&f);
    fuse_nodes(&f);
    fuse_merge(p);
    if (fuse_again(p)) fuse_merge(p);
    fuse_frames(p);
}
