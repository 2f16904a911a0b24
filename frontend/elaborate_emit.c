/* elaborate_emit.c -- nodes of the graph being built. Every node that elaboration makes is made here, so that three things
 * happen in one place: operands of an outer graph are captured (use), the node gets its source place and layer path, and a node
 * outside of any entry (`x` of a file-level constant) is refused. The functions otherwise mirror the builders of ir/graph.h. */
#include "frontend/elab.h"

#include <string.h>

void at(Elab *el, const Ast *n) {
    if (n->loc.source && !n->loc.source->library) el->cx.user = caret(n);
}

/* A loop inside of a @checkpoint call is computed again as a whole. */
int region_mark(const Elab *el) {
    return el->cx.body == el->cx.region_body ? -el->cx.region : 0;
}

static Graph *target(Elab *el) {
    Graph *g = el->cx.g;
    if (!g) {
        fault_at(el, el->cx.user, 416, "a tensor is made outside of an entry");
        fault_help(el, "constants of the file are numbers; tensors are made in functions, entries and initial values");
        fault_throw(el);
    }
    g->loc = el->cx.user;
    g->path = el->cx.self ? el->cx.self->path : NULL;
    g->recompute = region_mark(el);
    return g;
}

Node *use(Elab *el, Node *n) {
    if (n->graph == el->cx.g) return n;
    if (!el->cx.body) {
        if (diag_errors(el->diag)) fault_silent(el); /* left over from a statement that failed */
        fault_at(el, el->cx.user, 416, "a tensor of one entry is used in another");
        fault_throw(el);
    }
    return body_use(el, el->cx.body, n);
}

void kept_only(Elab *el, DType d) {
    if (!dtype_is_kept(d)) return;
    fault_at(el, el->cx.user, 203, "nothing is computed with %s: it is a type for storing", dtype_name(d));
    fault_help(el, "convert first: cast(.., %s)", dtype_is_float(d) ? "float" : "i32");
    fault_throw(el);
}

Node *emit(Elab *el, Op op, const Attrs *attrs, int n, Node *const *in) {
    for (int i = 0; i < n && !op_moves(op); i++) kept_only(el, in[i]->type.dtype);
    Graph *g = target(el);
    Node **here = NEW_ARRAY(el->arena, Node *, n);
    for (int i = 0; i < n; i++) here[i] = use(el, in[i]);
    return graph_add(g, op, attrs, n, here);
}

Node *emit1(Elab *el, Op op, Node *a) {
    return emit(el, op, NULL, 1, &a);
}
Node *emit2(Elab *el, Op op, Node *a, Node *b) {
    return emit(el, op, NULL, 2, (Node *[]){a, b});
}
Node *emit3(Elab *el, Op op, Node *a, Node *b, Node *c) {
    return emit(el, op, NULL, 3, (Node *[]){a, b, c});
}

/* What is looked up is rounded, not the whole table before. */
Node *emit_gather(Elab *el, Node *x, Node *ids, const Attrs *attrs) {
    x = use(el, x);
    const Node *wide = x->op == OP_CAST ? x->in[0] : NULL;
    bool rounds = wide && dtype_is_float(wide->type.dtype) && dtype_is_float(x->type.dtype) &&
                  dtype_bytes(wide->type.dtype) > dtype_bytes(x->type.dtype);
    if (!rounds) return emit(el, OP_GATHER, attrs, 2, (Node *[]){x, ids});
    return emit_cast(el, emit(el, OP_GATHER, attrs, 2, (Node *[]){x->in[0], ids}), x->type.dtype);
}

Node *emit_where(Elab *el, Node *condition, Node *yes, Node *no) {
    return emit3(el, OP_WHERE, emit_expand(el, condition, yes->type.rank, yes->type.dim), yes, no);
}

Node *emit_const(Elab *el, Type t, double number) {
    return node_leaf(target(el), OP_CONST, &(Attrs){.number = number}, t);
}

Node *emit_whole(Elab *el, Type t, int64_t whole) {
    return node_leaf(target(el), OP_CONST, &(Attrs){.number = (double)whole, .whole = whole}, t);
}

Node *emit_scalar(Elab *el, DType d, double number) {
    return emit_const(el, type_scalar(d), number);
}

Size emit_size_const(Elab *el, int64_t n) {
    return size_const(el->program->sizes, n);
}

Node *emit_size(Elab *el, Size s, DType d) {
    int64_t n;
    if (size_is_const(s, &n)) return dtype_is_float(d) ? emit_scalar(el, d, (double)n) : emit_whole(el, type_scalar(d), n);
    Graph *g = target(el);
    if (d == DT_I32 || d == DT_I64) return node_leaf(g, OP_SIZE, &(Attrs){.extent = s}, type_scalar(d));
    return emit_cast(el, node_leaf(g, OP_SIZE, &(Attrs){.extent = s}, type_scalar(DT_I64)), d);
}

Node *emit_iota(Elab *el, Type t, int axis) {
    kept_only(el, t.dtype);
    return node_leaf(target(el), OP_IOTA, &(Attrs){.axis = axis}, t);
}
Node *emit_data(Elab *el, Type t, const void *data) {
    return node_leaf(target(el), OP_TENSOR, &(Attrs){.data = data}, t);
}

Node *emit_cast(Elab *el, Node *x, DType d) {
    Graph *g = target(el);
    return node_cast(g, use(el, x), d);
}

Node *emit_expand(Elab *el, Node *x, int rank, const Size *dim) {
    Graph *g = target(el);
    return node_expand(g, use(el, x), rank, dim);
}

Node *emit_reshape(Elab *el, Node *x, int rank, const Size *dim) {
    Graph *g = target(el);
    return node_reshape(g, use(el, x), rank, dim);
}

Node *emit_permute(Elab *el, Node *x, const int *order) {
    Graph *g = target(el);
    return node_permute(g, use(el, x), order);
}

Node *emit_slice(Elab *el, Node *x, const Size *lo, const Size *hi) {
    Graph *g = target(el);
    return node_slice(g, use(el, x), lo, hi);
}

Node *emit_reduce(Elab *el, ReduceFn fn, Node *x, int n_axes, const int *axes) {
    kept_only(el, x->type.dtype);
    Graph *g = target(el);
    return node_reduce(g, fn, use(el, x), n_axes, axes);
}

Node *emit_contract(Elab *el, Node *a, Node *b, const char *la, const char *lb, const char *lo) {
    kept_only(el, a->type.dtype);
    Graph *g = target(el);
    Node *ua = use(el, a);
    return node_contract(g, ua, use(el, b), la, lb, lo);
}

Node *emit_get(Elab *el, Node *x, int index, Type type) {
    Node *get = node_get(target(el), x, index);
    if (!type_equal(&get->type, &type)) bug("result %d of %s has another type than expected", index, op_row(x->op)->name);
    return get;
}

void emit_check(Elab *el, Node *ok, const char *text) {
    Node *stopped = body_stopped(el);
    if (stopped) ok = emit2(el, OP_OR, stopped, ok);
    Graph *g = target(el);
    graph_effect(g, (Effect){.kind = EFFECT_CHECK, .value = use(el, ok), .text = text, .loc = el->cx.user});
}

/* The least size that every element is below, and whether none is negative, where the node itself says so. */
static Size known_bound(const Node *n) {
    switch (n->op) {
    case OP_RESHAPE:
    case OP_PERMUTE:
    case OP_EXPAND:
    case OP_SLICE:
    case OP_STOP:
    case OP_REV: return known_bound(n->in[0]);
    case OP_IOTA: return n->type.dim[n->attrs.axis];
    case OP_CATEGORICAL:
    case OP_TOPK_IDS:
    case OP_SORT_IDS: return n->in[0]->type.dim[n->in[0]->type.rank - 1];
    case OP_REDUCE:
        if (n->attrs.fn == REDUCE_ARGMAX || n->attrs.fn == REDUCE_ARGMIN) return n->in[0]->type.dim[n->attrs.axes[0]];
        return NULL;
    default: return NULL;
    }
}

/* What the user calls a tensor of indices: its name, or the input that it is a part of; NULL: neither. */
static const char *user_name(const Node *n) {
    for (;;) {
        if (n->name) return n->name;
        if (n->op == OP_INPUT || n->op == OP_SLOT) return n->attrs.name;
        bool part = n->op == OP_RESHAPE || n->op == OP_EXPAND || n->op == OP_PERMUTE || n->op == OP_SLICE || n->op == OP_CAST ||
                    n->op == OP_STOP;
        if (!part && n->op != OP_WHERE) return NULL;
        n = n->in[n->op == OP_WHERE ? 1 : 0];
    }
}

void emit_index_range(Elab *el, Node *ids, Size size, const char *name, const Ast *where) {
    int64_t low, high;
    Size bound = known_bound(ids);
    if (bound) {
        size_range(size_sub(size, bound), &low, &high);
        if (low >= 0) return;
    }
    const Node *n = ids;
    while (n->op == OP_RESHAPE || n->op == OP_EXPAND || n->op == OP_PERMUTE) n = n->in[0];
    if (n->op == OP_CONST) {
        size_range(size, &low, &high);
        if (n->attrs.whole >= 0 && n->attrs.whole < low) return;
        if (n->attrs.whole < 0 || (high != SIZE_NO_LIMIT && n->attrs.whole >= high)) {
            fault(el, where, 409, "index %lld in a dimension of size %s", (long long)n->attrs.whole,
                  size_text(el->arena, size));
            fault_throw(el);
        }
    }
    const char *user = user_name(ids);
    if (user) name = user;
    Node *stopped = body_stopped(el);
    if (stopped) n = ids = emit_where(el, stopped, emit_const(el, ids->type, 0), ids);
    Graph *g = target(el);
    Node *seen = use(el, n->op == OP_INPUT ? (Node *)n : ids);
    for (int i = 0; i < g->effects.n; i++) { /* the same test again says nothing new */
        const Effect *e = &g->effects.at[i];
        if (e->kind == EFFECT_RANGE && e->value == seen && e->hi == size) return;
    }
    graph_effect(
        g,
        (Effect){
            .kind = EFFECT_RANGE, .value = seen, .lo = emit_size_const(el, 0), .hi = size, .text = name, .loc = el->cx.user});
}
