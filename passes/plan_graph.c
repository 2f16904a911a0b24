/* plan_graph.c -- the graph that is planned: a copy in which memory is explicit.
 *
 * Copy nodes (`cast` to the same type: a map like any other) are put where a kernel cannot read through what is there:
 * constants and counters that need memory, views where a routine wants contiguous memory, results and stores whose value is a
 * leaf, a view, or has a place already. Every scan gets a GET for each of its results, so that each carry and each stacked
 * result has a node that names its memory. */
#include "passes/planner.h"

#include <string.h>

enum {
    VIEWS_MOST = 12, /* one on another */
    FEW = 16         /* elements of a map for one of a weight that is copied for it */
};

bool node_is_free(const Node *n) {
    return n->op == OP_CONST || n->op == OP_IOTA || n->op == OP_SIZE;
}
bool node_is_memory(const Node *n) {
    return n->op == OP_INPUT || n->op == OP_SLOT || n->op == OP_TENSOR || n->op == OP_ARG;
}
bool node_is_view(const Node *n) {
    return op_row(n->op)->class == CLASS_VIEW;
}
bool node_is_computed(const Node *n) {
    OpClass c = op_row(n->op)->class;
    return c == CLASS_MAP || c == CLASS_ACCESS || c == CLASS_REDUCE || c == CLASS_ANCHOR || c == CLASS_GET;
}

bool node_is_contiguous(const Node *n) {
    while (n->op == OP_RESHAPE) n = n->in[0];
    return node_is_memory(n) || node_is_computed(n);
}

bool plan_same_shape(const Type *t, const Type *u) {
    for (int i = 0; i < t->rank && t->rank == u->rank; i++)
        if (t->dim[i] != u->dim[i]) return false;
    return t->rank == u->rank;
}

Size node_bytes(const Graph *g, const Node *n) {
    return size_scale(type_count(g, &n->type), dtype_bytes(n->type.dtype));
}

int64_t plan_bytes(const Planner *p, const Node *n) {
    int64_t b;
    if (n->type.rank < 0) return 0;
    return size_eval(node_bytes(p->g, n), p->reference, &b) ? b : INT64_MAX / 4;
}

/* An expand whose stretched axes are the last ones: the product of those; NULL otherwise; 1 if nothing is stretched. */
static Size expand_row(const Graph *g, const Node *n) {
    const Type *to = &n->type, *from = &n->in[0]->type;
    int missing = to->rank - from->rank, split = to->rank;
    while (split > 0) { /* trailing axes that are 1 or missing below */
        int i = split - 1 - missing;
        if (i >= 0 && !size_is(from->dim[i], 1)) break;
        split--;
    }
    for (int k = 0; k < split; k++) {
        Size d = k < missing ? size_const(g->program->sizes, 1) : from->dim[k - missing];
        if (d != to->dim[k]) return NULL;
    }
    return type_product(g, to, split, to->rank);
}

Edge edge_of(Node *operand) {
    Edge e = {operand, EDGE_SAME, NULL};
    while (node_is_view(e.base)) {
        Node *n = e.base;
        e.base = n->in[0];
        if (n->op == OP_RESHAPE || e.kind == EDGE_OTHER) continue;
        Size row = n->op == OP_EXPAND ? expand_row(n->graph, n) : NULL;
        if (!row) e.kind = EDGE_OTHER;
        else if (!size_is(row, 1)) {
            e.row = e.kind == EDGE_ROW ? size_mul(e.row, row) : row;
            e.kind = EDGE_ROW;
        }
    }
    if (e.base->type.rank == 0) {
        e.kind = EDGE_SCALAR;
        e.row = type_count(operand->graph, &operand->type);
    }
    return e;
}

/* ---- preparing */

typedef struct Prepare {
    Planner *p;
    Node **map;    /* by id of the old graph */
    Node **copies; /* by id of the new graph: its copy node */
    Node **masks;  /* .. and what compares the same where it is read */
    int cap;
    bool *claimed; /* by id of the new graph: has a place already */
    bool *stored;  /* .. is the new value of a slot */
} Prepare;

static void prepare_grow(Prepare *q, int id) {
    while (id >= q->cap) {
        int cap = 2 * q->cap;
        q->copies = arena_grow(q->p->scratch, q->copies, sizeof *q->copies * (size_t)q->cap, sizeof *q->copies * (size_t)cap);
        q->masks = arena_grow(q->p->scratch, q->masks, sizeof *q->masks * (size_t)q->cap, sizeof *q->masks * (size_t)cap);
        q->claimed =
            arena_grow(q->p->scratch, q->claimed, sizeof *q->claimed * (size_t)q->cap, sizeof *q->claimed * (size_t)cap);
        q->stored = arena_grow(q->p->scratch, q->stored, sizeof *q->stored * (size_t)q->cap, sizeof *q->stored * (size_t)cap);
        q->cap = cap;
    }
}

/* A new node that is x in memory of its own. */
static Node *copy_fresh(Prepare *q, Node *x) {
    Graph *g = q->p->g;
    rewrite_at(g, x);
    Attrs attrs = {.dtype = x->type.dtype};
    Node *c = graph_add(g, OP_CAST, &attrs, 1, &x);
    c->name = x->name;
    prepare_grow(q, c->id);
    return c;
}

static Node *copy_shared(Prepare *q, Node *x) {
    prepare_grow(q, x->id);
    if (!q->copies[x->id]) {
        Node *c = copy_fresh(q, x);
        q->copies[x->id] = c;
    }
    return q->copies[x->id];
}

static Node *want_memory(Prepare *q, Node *x) {
    return node_is_free(plan_base(x)) ? copy_shared(q, x) : x;
}
static Node *want_contiguous(Prepare *q, Node *x) {
    return node_is_contiguous(x) ? x : copy_shared(q, x);
}
/* Operand k of a contract. A weight that changes, or its new value, which is walked in another order than it has, by several axes
 * of the sum (that of a convolution), is copied once, rather than gathered by every block of rows. */
static Node *want_product(Prepare *q, const Node *n, Node *x, int k) {
    const Node *base = plan_base(x);
    const char *letters = n->attrs.labels[k], *result = n->attrs.labels[2];
    int summed = 0;
    prepare_grow(q, base->id);
    bool changes = base->op == OP_SLOT ? q->p->plain && q->p->plain[base->attrs.index] : q->stored[base->id];
    if (!changes || node_is_contiguous(x)) return want_memory(q, x);
    for (int i = 0; letters[i]; i++) summed += !strchr(result, letters[i]) && !size_is(x->type.dim[i], 1);
    return summed > 1 ? copy_shared(q, x) : x;
}

/* Operand of a map: a few elements of a weight that is turned round, for many elements of the map (a tap of a depthwise kernel,
 * for all channels). What they are cut out of is copied once: its elements lie side by side then. */
static Node *want_vectors(Prepare *q, const Node *n, Node *x) {
    Node *chain[VIEWS_MOST]; /* x, and the views below it */
    int views = 0;
    Node *base = x;
    for (; node_is_view(base); base = base->in[0]) {
        if (views == VIEWS_MOST) return x;
        chain[views++] = base;
    }
    int turned = views;
    while (turned > 0 && (chain[turned - 1]->op == OP_RESHAPE || chain[turned - 1]->op == OP_PERMUTE)) turned--;
    if (base->op != OP_SLOT || turned == views || node_is_contiguous(chain[turned])) return x;
    if (FEW * plan_bytes(q->p, chain[turned]) > plan_bytes(q->p, n)) return x;
    Node *made = copy_shared(q, chain[turned]);
    for (int i = turned - 1; i >= 0; i--) made = graph_copy_node(q->p->g, chain[i], &made);
    return made;
}

static bool is_comparison(Op op) {
    return op == OP_EQ || op == OP_NE || op == OP_LT || op == OP_LE || op == OP_GT || op == OP_GE;
}

/* Operand of a map: one comparison a row, of what lies in memory (is a sequence over by now?), repeated along the row. Whoever reads
 * it compares by itself, so that no kernel has to come before. */
static Node *want_mask(Prepare *q, Node *x) {
    Node *chain[VIEWS_MOST], *in[2], *mask = x; /* x, and the views below it */
    int views = 0;
    for (; node_is_view(mask); mask = mask->in[0]) {
        if (views == VIEWS_MOST) return x;
        chain[views++] = mask;
    }
    if (q->p->options->level == 0 || !is_comparison(mask->op) || mask->type.rank == 0 || edge_of(x).kind != EDGE_ROW) return x;
    for (int k = 0; k < 2; k++) {
        Node *base = plan_base(mask->in[k]);
        if (!node_is_free(base) && !node_is_memory(base)) return x;
    }
    prepare_grow(q, x->id);
    if (q->masks[x->id]) return q->masks[x->id];
    rewrite_at(q->p->g, mask);
    for (int k = 0; k < 2; k++) {
        in[k] = mask->in[k];
        for (int i = views - 1; i >= 0; i--) {
            in[k] = chain[i]->op == OP_EXPAND ? node_expand(q->p->g, in[k], chain[i]->type.rank, chain[i]->type.dim)
                                              : node_reshape(q->p->g, in[k], chain[i]->type.rank, chain[i]->type.dim);
        }
    }
    Node *made = graph_add(q->p->g, mask->op, &mask->attrs, 2, in);
    prepare_grow(q, made->id);
    return q->masks[x->id] = made;
}

/* An index: a tensor in memory, or any scalar. */
static Node *want_index(Prepare *q, Node *x) {
    return x->type.rank == 0 && node_is_free(x) ? x : want_memory(q, x);
}

static void prepare_operands(Prepare *q, const Node *n, Node **in) {
    switch (n->op) {
    case OP_CONTRACT:
        for (int k = 0; k < 2; k++) in[k] = want_product(q, n, in[k], k);
        break;
    case OP_PAD:
    case OP_REV:
    case OP_DIAGONAL: in[0] = want_memory(q, in[0]); break;
    case OP_CONCAT:
        for (int i = 0; i < n->n_in; i++) in[i] = want_memory(q, in[i]);
        break;
    case OP_SLICE_AT:
    case OP_GATHER:
    case OP_SCATTER_ADD:
        in[0] = want_memory(q, in[0]);
        in[1] = want_index(q, in[1]);
        break;
    case OP_UPDATE_AT:
        in[0] = want_contiguous(q, in[0]);
        in[1] = want_memory(q, in[1]);
        in[2] = want_index(q, in[2]);
        break;
    case OP_CUMSUM:
    case OP_SORT_IDS:
    case OP_TOPK_IDS:
    case OP_CATEGORICAL:
    case OP_SCAN:
        for (int i = 0; i < n->n_in; i++) in[i] = want_contiguous(q, in[i]);
        break;
    default:
        for (int i = 0; i < n->n_in && op_row(n->op)->class == CLASS_MAP; i++) in[i] = want_mask(q, want_vectors(q, n, in[i]));
        break;
    }
}

/* All results of a scan. */
static int scan_results(const Node *scan) {
    return scan->attrs.counts[1] + scan->attrs.counts[3];
}

static void prepare_scan_gets(Prepare *q, Node *scan) {
    rewrite_at(q->p->g, scan);
    for (int k = 0; k < scan_results(scan); k++) {
        Node *get = node_get(q->p->g, scan, k);
        prepare_grow(q, get->id);
    }
}

static Node *scan_get(const Node *scan, int k) {
    Node *get = scan->graph->nodes.at[scan->id + 1 + k];
    if (get->op != OP_GET || get->in[0] != scan || get->attrs.index != k) bug("results of scan %d are not beside it", scan->id);
    return get;
}

/* x, or a copy of it, that has no place yet; it has one from now on. */
static Node *claim(Prepare *q, Node *x) {
    prepare_grow(q, x->id);
    Node *c = node_is_computed(x) && !q->claimed[x->id] ? x : copy_fresh(q, x);
    q->claimed[c->id] = true;
    return c;
}

static bool is_slot(const Node *n, int index) {
    return n->op == OP_SLOT && n->attrs.index == index;
}
static bool is_arg(const Node *n, int index) {
    return n->op == OP_ARG && n->attrs.index == index;
}

static void target_add(Planner *p, Node *value, PlaceKind kind, int index) {
    Target t = {value, {kind, index}};
    PUSH(p->scratch, p->targets, t);
}

Place plan_result_place(const Node *scan, int index) {
    if (!scan) return (Place){PLACE_RESULT, index};
    int y = index - scan->attrs.counts[1];
    return y < scan->attrs.counts[3] ? (Place){PLACE_Y, y} : (Place){PLACE_STOP, 0};
}

static void prepare_results(Prepare *q, const Graph *from) {
    Planner *p = q->p;
    int carries = p->scan ? p->scan->attrs.counts[1] : 0;
    Node **value = NEW_ARRAY(p->scratch, Node *, from->results.n);
    for (int i = carries; i < from->results.n; i++) { /* places that nobody reads: always written at once */
        Place to = plan_result_place(p->scan, i);
        value[i] = claim(q, q->map[from->results.at[i].value->id]);
        target_add(p, value[i], to.kind, to.index);
    }
    for (int i = 0; i < carries; i++) {
        value[i] = q->map[from->results.at[i].value->id];
        int arg = 1 + p->scan->attrs.counts[0] + i;
        if (is_arg(value[i], arg)) continue;
        if (!node_is_computed(value[i])) value[i] = claim(q, value[i]);
        target_add(p, value[i], PLACE_ARG, arg);
    }
    for (int i = 0; i < from->results.n; i++) graph_result(p->g, from->results.at[i].name, value[i]);
}

/* Is it a size of the call within its own range? Who calls an entry's code has checked that (check_sizes of runtime/core/call.c): sizes
 * without a limit of their own fit 32 bits. */
static bool size_checked(const Effect *e) {
    int64_t low, high, lo, hi, unused;
    if (e->kind != EFFECT_RANGE || e->value->op != OP_SIZE || !size_bare_name(e->value->attrs.extent)) return false;
    size_range(e->value->attrs.extent, &low, &high);
    size_range(e->lo, &unused, &lo);
    size_range(e->hi, &hi, &unused);
    return lo <= low && (high < INT32_MAX ? high : INT32_MAX) < hi;
}

static void prepare_effects(Prepare *q, const Graph *from) {
    Planner *p = q->p;
    for (int i = 0; i < from->effects.n; i++) {
        Effect e = from->effects.at[i];
        if (!p->scan && size_checked(&e)) continue;
        if (e.value) e.value = q->map[e.value->id];
        if (e.kind == EFFECT_STORE) {
            bool again = false; /* the last store of a slot counts */
            for (int k = i + 1; k < from->effects.n; k++)
                again |= from->effects.at[k].kind == EFFECT_STORE && from->effects.at[k].index == e.index;
            if (again || is_slot(e.value, e.index)) continue;
            if (!node_is_computed(e.value)) e.value = claim(q, e.value);
            target_add(p, e.value, PLACE_SLOT, e.index);
        } else if (e.value) {
            e.value = want_contiguous(q, e.value);
        }
        graph_effect(p->g, e);
    }
}

void plan_prepare(Planner *p, const Graph *from) {
    PassContext c = {.scratch = p->scratch, .diag = p->diag};
    Rewrite r = rewrite_begin(&c, from);
    p->g = r.to;
    Prepare q = {.p = p, .map = r.map, .cap = from->nodes.n + 64};
    q.copies = NEW_ARRAY(p->scratch, Node *, q.cap);
    q.masks = NEW_ARRAY(p->scratch, Node *, q.cap);
    q.claimed = NEW_ARRAY(p->scratch, bool, q.cap);
    q.stored = NEW_ARRAY(p->scratch, bool, q.cap);
    bool *stored = NEW_ARRAY(p->scratch, bool, from->nodes.n); /* by id of the old graph */
    for (int i = 0; i < from->effects.n; i++)
        if (from->effects.at[i].kind == EFFECT_STORE) stored[from->effects.at[i].value->id] = true;
    for (int i = 0; i < from->nodes.n; i++) {
        const Node *n = from->nodes.at[i];
        if (!r.live[i]) continue;
        if (n->op == OP_GET) {
            r.map[i] = scan_get(r.map[n->in[0]->id], n->attrs.index);
            if (!r.map[i]->name) r.map[i]->name = n->name;
            continue;
        }
        Node **in = rewrite_operands(&r, n);
        prepare_operands(&q, n, in);
        r.map[i] = graph_copy_node(r.to, n, in);
        prepare_grow(&q, r.map[i]->id);
        q.stored[r.map[i]->id] = stored[i];
        if (n->op == OP_SCAN) prepare_scan_gets(&q, r.map[i]);
        if (op_row(n->op)->class == CLASS_MARK || n->op == OP_CALL) bug("%s reached planning", op_row(n->op)->name);
    }
    prepare_results(&q, from);
    prepare_effects(&q, from);
}
