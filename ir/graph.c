/* graph.c -- making graphs. graph_add is the one place where nodes come into being: it infers the type, keeps the attributes
 * that the op's row names and clears the others, and notes for whom and where in the source the node is made.
 *
 * Leaves (input, slot, const, tensor, iota, size, arg) and random cannot infer their type: it comes in attrs.dtype, n_shape and
 * shape, which stay there as a mirror of the type, so that attributes of such a node may be handed to graph_add again. A slot
 * without a shape takes its slot's type; a size without a dtype is i64. node_leaf is the short form. */
#include "ir/op.h"

#include <math.h>
#include <string.h>

Graph *graph_new(Arena *arena, Program *program) {
    Graph *g = NEW(arena, Graph);
    g->arena = arena;
    g->program = program;
    return g;
}

/* ---- types --------------------------------------------------------------------------------------------------------------- */

Type type_of(DType d, int rank, const Size *dim) {
    if (rank < 0 || rank > MAX_RANK) bug("a type of rank %d", rank);
    Type t = {.dtype = d, .rank = rank};
    for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
    return t;
}

Type type_scalar(DType d) { return (Type){.dtype = d}; }

bool type_equal(const Type *a, const Type *b) {
    if (a->rank != b->rank) return false;
    if (a->rank < 0) return true;
    if (a->dtype != b->dtype) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

Size type_count(const Graph *g, const Type *t) {
    Size count = size_const(g->program->sizes, 1);
    for (int i = 0; i < t->rank; i++) count = size_mul(count, t->dim[i]);
    return count;
}

Type type_packed(SizeTable *t, const Type *type) {
    Type packed = *type;
    if (!dtype_is_nibble(type->dtype)) return packed;
    packed.dtype = DT_U8;
    int last = type->rank - 1;
    if (last >= 0) packed.dim[last] = size_ceildiv(type->dim[last], size_const(t, 2));
    return packed;
}

int64_t type_fixed_bytes(const Type *t) {
    bool halves = dtype_is_nibble(t->dtype);
    int64_t bytes = halves ? 1 : dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        int64_t d = size_value(t->dim[i]);
        if (halves && i == t->rank - 1) d = d / 2 + d % 2;
        if (__builtin_mul_overflow(bytes, d, &bytes)) return -1;
    }
    return bytes;
}

const char *type_text(Arena *a, const Type *t) {
    if (t->rank < 0) return "(several)";
    const char *text = arena_printf(a, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) text = arena_printf(a, "%s%s%s", text, i ? ", " : "", size_text(a, t->dim[i]));
    return arena_printf(a, "%s]", text);
}

const char *type_said(Arena *a, const Type *t) { return t->rank == 0 ? dtype_name(t->dtype) : type_text(a, t); }

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static bool typed_by_attrs(Op op) { return op_row(op)->class == CLASS_LEAF || op == OP_RANDOM; }

/* The attributes that the row names. */
static Attrs attrs_of_row(Op op, const Attrs *a) {
    unsigned has = op_row(op)->attrs;
    Attrs out = {0};
    if (has & A_INDEX) out.index = a->index;
    if (has & A_NAME) out.name = a->name;
    if (has & A_NUMBER) out.number = a->number, out.whole = a->whole;
    if (has & A_DATA) out.data = a->data;
    if (has & A_AXIS) out.axis = a->axis;
    if (has & A_AXES) {
        out.n_axes = a->n_axes;
        memcpy(out.axes, a->axes, sizeof(int) * (size_t)a->n_axes);
    }
    if (has & A_SHAPE) {
        out.n_shape = a->n_shape;
        memcpy(out.shape, a->shape, sizeof(Size) * (size_t)a->n_shape);
    }
    if (has & A_RANGE) {
        memcpy(out.lo, a->lo, sizeof out.lo);
        memcpy(out.hi, a->hi, sizeof out.hi);
    }
    if (has & A_LABELS) memcpy(out.labels, a->labels, sizeof out.labels);
    if (has & A_FN) out.fn = a->fn;
    if (has & A_SITE) out.site = a->site, out.step = a->step;
    if (has & A_DTYPE) out.dtype = a->dtype;
    if (has & A_EXTENT) out.extent = a->extent;
    if (has & A_FLAG) out.flag = a->flag;
    if (has & A_BODY) out.body = a->body;
    if (has & A_COUNTS) memcpy(out.counts, a->counts, sizeof out.counts);
    if (has & A_WINDOW) out.window = a->window;
    return out;
}

/* Both forms of a constant of an integer type or bool; data and words of an arena of their own are the caller's care. */
static void settle_number(Attrs *a, DType d) {
    if (dtype_is_float(d)) {
        a->whole = 0;
        if (dtype_bytes(d) < 4) a->number = round_float(d, a->number);
    } else {
        if (a->whole == 0 && a->number != 0) a->whole = saturate_int(DT_I64, a->number);
        a->whole = d == DT_BOOL ? a->whole != 0 : wrap_int(d, (uint64_t)a->whole);
        a->number = (double)a->whole;
    }
}

/* A view or a frame of what is computed again is, too: made sooner, it would be kept in its place. */
static int recompute_of(const Graph *g, Op op, int n, Node *const *in) {
    OpClass k = op_row(op)->class;
    bool follows = n == 1 && (k == CLASS_VIEW || k == CLASS_ACCESS) && in[0]->recompute > 0;
    return g->recompute == 0 && follows ? in[0]->recompute : g->recompute;
}

Node *graph_add(Graph *g, Op op, const Attrs *attrs, int n, Node *const *in) {
    Attrs none = {0};
    if (!attrs) attrs = &none;
    for (int k = 0; k < n; k++)
        if (!in[k] || in[k]->graph != g)
            bug("operand %d of a new `%s` is %s", k, op_row(op)->name, in[k] ? "of another graph" : "missing");
    Infer i = {.g = g, .attrs = attrs, .n = n, .in = in};
    if (typed_by_attrs(op)) i.out = type_of(attrs->dtype, attrs->n_shape, attrs->shape);
    if (!op_infer(op, &i)) bug("a new `%s` does not fit: %s", op_row(op)->name, i.error);
    Node *node = NEW(g->arena, Node);
    node->op = op;
    node->id = g->nodes.n;
    node->n_in = n;
    node->in = NEW_ARRAY(g->arena, Node *, n);
    if (n) memcpy(node->in, in, sizeof(Node *) * (size_t)n);
    node->type = i.out;
    node->attrs = attrs_of_row(op, attrs);
    node->graph = g;
    if (op_row(op)->attrs & A_NUMBER) settle_number(&node->attrs, i.out.dtype);
    if (op == OP_SLOT) node->attrs.name = g->program->slots.at[attrs->index]->path;
    if (typed_by_attrs(op)) {
        node->attrs.dtype = i.out.dtype;
        node->attrs.n_shape = i.out.rank;
        memcpy(node->attrs.shape, i.out.dim, sizeof(Size) * (size_t)i.out.rank);
    }
    node->loc = g->loc;
    node->path = g->path;
    node->recompute = recompute_of(g, op, n, in);
    PUSH(g->arena, g->nodes, node);
    return node;
}

Node *node_leaf(Graph *g, Op op, const Attrs *attrs, Type type) {
    if (!typed_by_attrs(op)) bug("`%s` is no leaf", op_row(op)->name);
    Attrs a = attrs ? *attrs : (Attrs){0};
    a.dtype = type.dtype;
    a.n_shape = type.rank;
    memcpy(a.shape, type.dim, sizeof a.shape);
    return graph_add(g, op, &a, 0, NULL);
}

Node *graph_copy_node(Graph *g, const Node *n, Node *const *in) {
    Node *copy = graph_add(g, n->op, &n->attrs, n->n_in, in);
    copy->loc = n->loc;
    copy->path = n->path;
    copy->name = n->name;
    copy->recompute = n->recompute;
    copy->kept = n->kept;
    if (n->op == OP_ARG) {
        if (n->attrs.index != g->n_args) bug("argument %d copied as argument %d", n->attrs.index, g->n_args);
        g->args = arena_grow(g->arena, g->args, sizeof(Node *) * (size_t)g->n_args, sizeof(Node *) * (size_t)(g->n_args + 1));
        g->args[g->n_args++] = copy;
    }
    return copy;
}

void graph_result(Graph *g, const char *name, Node *value) {
    if (!value || value->graph != g) bug("result `%s` is of another graph", name ? name : "?");
    PUSH(g->arena, g->results, ((Result){name, value}));
}

void graph_effect(Graph *g, Effect e) {
    if (e.value && e.value->graph != g) bug("the value of an effect is of another graph");
    if (!e.loc.source) e.loc = g->loc;
    PUSH(g->arena, g->effects, e);
}

Node *graph_arg(Graph *g, Type type) {
    Node *n = node_leaf(g, OP_ARG, &(Attrs){.index = g->n_args}, type);
    g->args = arena_grow(g->arena, g->args, sizeof(Node *) * (size_t)g->n_args, sizeof(Node *) * (size_t)(g->n_args + 1));
    g->args[g->n_args++] = n;
    return n;
}

void graph_inline(Graph *g, const Graph *body, Node *const *args, Node **results) {
    Node **map = NEW_ARRAY(g->arena, Node *, body->nodes.n);
    for (int k = 0; k < body->nodes.n; k++) {
        const Node *n = body->nodes.at[k];
        if (n->op == OP_ARG) {
            map[n->id] = args[n->attrs.index];
            continue;
        }
        Node **in = NEW_ARRAY(g->arena, Node *, n->n_in);
        for (int i = 0; i < n->n_in; i++) in[i] = map[n->in[i]->id];
        map[n->id] = graph_copy_node(g, n, in);
    }
    for (int k = 0; k < body->effects.n; k++) {
        Effect e = body->effects.at[k];
        if (e.value) e.value = map[e.value->id];
        graph_effect(g, e);
    }
    for (int k = 0; k < body->results.n; k++) results[k] = map[body->results.at[k].value->id];
}

/* ---- short forms --------------------------------------------------------------------------------------------------------- */

Node *node_const(Graph *g, Type type, double number) { return node_leaf(g, OP_CONST, &(Attrs){.number = number}, type); }
Node *node_scalar(Graph *g, DType d, double number) { return node_const(g, type_scalar(d), number); }
Node *node_like(Graph *g, Node *x, double number) { return node_const(g, x->type, number); }
Node *node_map1(Graph *g, Op op, Node *x) { return graph_add(g, op, NULL, 1, &x); }
Node *node_map2(Graph *g, Op op, Node *a, Node *b) { return graph_add(g, op, NULL, 2, (Node *[]){a, b}); }
Node *node_map3(Graph *g, Op op, Node *a, Node *b, Node *c) { return graph_add(g, op, NULL, 3, (Node *[]){a, b, c}); }

Node *node_cast(Graph *g, Node *x, DType d) {
    if (x->type.dtype == d) return x;
    return graph_add(g, OP_CAST, &(Attrs){.dtype = d}, 1, &x);
}

static bool same_shape(const Type *t, int rank, const Size *dim) {
    if (t->rank != rank) return false;
    for (int i = 0; i < rank; i++)
        if (t->dim[i] != dim[i]) return false;
    return true;
}

static Node *shaped(Graph *g, Op op, Node *x, int rank, const Size *dim) {
    if (same_shape(&x->type, rank, dim)) return x;
    Attrs a = {.n_shape = rank};
    for (int i = 0; i < rank; i++) a.shape[i] = dim[i];
    return graph_add(g, op, &a, 1, &x);
}

Node *node_reshape(Graph *g, Node *x, int rank, const Size *dim) { return shaped(g, OP_RESHAPE, x, rank, dim); }
Node *node_expand(Graph *g, Node *x, int rank, const Size *dim) { return shaped(g, OP_EXPAND, x, rank, dim); }
Node *node_expand_like(Graph *g, Node *x, Node *like) { return node_expand(g, x, like->type.rank, like->type.dim); }

Node *node_permute(Graph *g, Node *x, const int *order) {
    Attrs a = {.n_axes = x->type.rank};
    bool identity = true;
    for (int i = 0; i < a.n_axes; i++) {
        a.axes[i] = order[i];
        identity = identity && order[i] == i;
    }
    return identity ? x : graph_add(g, OP_PERMUTE, &a, 1, &x);
}

Node *node_slice(Graph *g, Node *x, const Size *lo, const Size *hi) {
    Attrs a = {0};
    bool identity = true;
    for (int i = 0; i < x->type.rank; i++) {
        a.lo[i] = lo[i];
        a.hi[i] = hi[i];
        identity = identity && size_is(lo[i], 0) && hi[i] == x->type.dim[i];
    }
    return identity ? x : graph_add(g, OP_SLICE, &a, 1, &x);
}

Node *node_reduce(Graph *g, ReduceFn fn, Node *x, int n_axes, const int *axes) {
    Attrs a = {.fn = (int)fn, .n_axes = n_axes};
    for (int i = 0; i < n_axes; i++) { /* kept sorted */
        int k = i;
        for (; k > 0 && a.axes[k - 1] > axes[i]; k--) a.axes[k] = a.axes[k - 1];
        a.axes[k] = axes[i];
    }
    bool widens = fn == REDUCE_SUM && (x->type.dtype == DT_I8 || x->type.dtype == DT_U8 || x->type.dtype == DT_I16);
    bool places = fn == REDUCE_ARGMAX || fn == REDUCE_ARGMIN;
    if (n_axes == 0 && fn != REDUCE_VAR && !widens && !places) return x;
    return graph_add(g, OP_REDUCE, &a, 1, &x);
}

Node *node_contract(Graph *g, Node *a, Node *b, const char *la, const char *lb, const char *lo) {
    const char *const labels[3] = {la, lb, lo};
    Attrs attrs = {0};
    for (int i = 0; i < 3; i++) attrs.labels[i] = arena_copy(g->arena, labels[i], strlen(labels[i]));
    return graph_add(g, OP_CONTRACT, &attrs, 2, (Node *[]){a, b});
}

Node *node_get(Graph *g, Node *x, int index) { return graph_add(g, OP_GET, &(Attrs){.index = index}, 1, &x); }

/* ---- what derivatives are made of ---------------------------------------------------------------------------------------- */

bool node_is_number(const Node *x, double *number) {
    while (x->op == OP_EXPAND || x->op == OP_RESHAPE || x->op == OP_PERMUTE || x->op == OP_SLICE) x = x->in[0];
    if (x->op != OP_CONST) return false;
    if (number) *number = x->attrs.number;
    return true;
}

bool node_follows_codes(const Node *n) {
    switch (n->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_NEG:
    case OP_MAX:
    case OP_MIN:
    case OP_CLAMP:
    case OP_PAD:
    case OP_CONCAT:
    case OP_WINDOW_TAKE: return true;
    default: return op_row(n->op)->class == CLASS_VIEW;
    }
}

bool node_is_statistic(const Node *n) {
    bool first = false;
    if (n->op != OP_REDUCE || n->attrs.n_axes != n->in[0]->type.rank - 1) return false;
    for (int i = 0; i < n->attrs.n_axes; i++) first |= n->attrs.axes[i] == 0;
    return first;
}

/* Never infinite or NaN? */
static bool always_finite(const Node *x) {
    double number;
    while (x->op == OP_EXPAND || x->op == OP_RESHAPE || x->op == OP_PERMUTE || x->op == OP_SLICE) x = x->in[0];
    if (node_is_number(x, &number)) return isfinite(number);
    if (x->op == OP_CAST) return !dtype_is_float(x->in[0]->type.dtype) && dtype_bytes(x->type.dtype) >= 4;
    return x->op == OP_SIZE || x->op == OP_IOTA;
}

Node *grad_scale(Graph *g, Node *dy, Node *factor) {
    double number;
    if (node_is_number(factor, &number) && number == 1.0) return dy;
    return node_map2(g, always_finite(factor) ? OP_MUL : OP_MULZ, dy, factor);
}

Node *node_count(Graph *g, Size count, DType d) {
    int64_t value;
    if (size_is_const(count, &value)) return node_scalar(g, d, (double)value);
    return node_cast(g, node_leaf(g, OP_SIZE, &(Attrs){.extent = count}, type_scalar(DT_I64)), d);
}

Node *node_reciprocal_count(Graph *g, Size count, double numerator, DType d) {
    int64_t value;
    if (size_is_const(count, &value)) return node_scalar(g, d, numerator / (double)value);
    return node_map2(g, OP_DIV, node_scalar(g, d, numerator), node_count(g, count, d));
}

Node *node_unreduce(Graph *g, Node *reduced, Node *x, int n_axes, const int *axes) {
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = x->type.dim[i];
    for (int i = 0; i < n_axes; i++) dim[axes[i]] = size_const(g->program->sizes, 1);
    return node_expand_like(g, node_reshape(g, reduced, x->type.rank, dim), x);
}

void program_file(Program *p, const char *path) {
    for (int i = 0; i < p->files.n; i++)
        if (!strcmp(p->files.at[i], path)) return;
    PUSH(p->arena, p->files, path);
}

const Observed *program_observed(const Program *p, const char *path) {
    for (int i = 0; i < p->observed.n; i++)
        if (!strcmp(p->observed.at[i].path, path)) return &p->observed.at[i];
    return NULL;
}

static const char *path_beside(Arena *arena, const char *weight, const char *name) {
    const char *dot = strrchr(weight, '.');
    size_t n = dot && !strcmp(dot, ".weight") ? (size_t)(dot - weight) : strlen(weight);
    return arena_printf(arena, "%.*s.%s", (int)n, weight, name);
}

const char *observed_path(Arena *arena, const char *weight) { return path_beside(arena, weight, "input"); }

const char *pooled_path(Arena *arena, const char *weight) { return path_beside(arena, weight, "pooled"); }

const char *range_path(Arena *arena, const char *observed) { return arena_printf(arena, "%s.range", observed); }
