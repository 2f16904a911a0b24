/* nibbles.c -- i4 and u4 become bytes: i8 and u8 as values, u8 with two of them where they are stored: inputs, results, slots,
 * constants. The first of a row is the lower half of its first byte; a row of odd length ends with a half of 0.
 *
 * Requires: nothing.  Ensures: no i4 and no u4, neither in a graph nor in what the program takes, gives and keeps.
 *   %w: i4[2, 3] = slot w         →   %b: u8[2, 2] = slot w;  %h = nibble (each twice), (iota);  %w: i8[2, 3] = (%h as signed)
 *   %y: u4[2, 3] = cast %x        →   %y: u8[2, 3] = min (cast %x), 15
 *   results %y                    →   %b: u8[2, 2] = (even places) + 16 * (odd places);  results %b */
#include "passes/pass.h"

#define VALUES(d) ((d) == DT_I4 ? DT_I8 : DT_U8)

static bool has_nibbles(const Graph *g) {
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (dtype_is_nibble(n->type.dtype) && n->type.rank >= 0) return true;
        if (n->attrs.body && has_nibbles(n->attrs.body)) return true;
    }
    return false;
}

static Size whole(const Graph *g, int64_t n) { return size_const(g->program->sizes, n); }
static Node *filled(Graph *g, const Node *like, double x) { return node_const(g, like->type, x); }

/* t seen as rows of its last axis: [rows, length]. */
static void as_rows(const Graph *g, const Type *t, Size dim[2]) {
    dim[0] = type_product(g, t, 0, t->rank ? t->rank - 1 : 0);
    dim[1] = t->rank ? t->dim[t->rank - 1] : whole(g, 1);
}

/* Bytes u8[.., ceil(n / 2)] → values [.., n] of the type t. */
static Node *unpacked(Graph *g, Node *bytes, const Type *t) {
    Size rows[2], half[2], zero[2] = {whole(g, 0), whole(g, 0)};
    as_rows(g, t, rows);
    as_rows(g, &bytes->type, half);
    Size one[3] = {half[0], half[1], whole(g, 1)}, two[3] = {half[0], half[1], whole(g, 2)};
    Size pairs[2] = {half[0], size_mul(half[1], two[2])};
    Node *x = node_expand(g, node_reshape(g, bytes, 3, one), 3, two);
    x = node_map2(g, OP_NIBBLE, x, node_leaf(g, OP_IOTA, &(Attrs){.axis = 2}, x->type));
    x = node_reshape(g, x, 2, pairs);
    if (pairs[1] != rows[1]) x = node_slice(g, x, zero, rows);
    if (t->dtype == DT_I4) { /* 8 to 15 stand for -8 to -1 */
        x = node_cast(g, x, DT_I8);
        x = node_map3(g, OP_WHERE, node_map2(g, OP_GT, x, filled(g, x, 7)), node_map2(g, OP_SUB, x, filled(g, x, 16)), x);
    }
    return node_reshape(g, x, t->rank, t->dim);
}

/* Values [.., n] → bytes u8[.., ceil(n / 2)], of the type t. */
static Node *packed(Graph *g, Node *x, const Type *t) {
    Type to = type_packed(g->program->sizes, t);
    Size rows[2], half[2], zero = whole(g, 0), two = whole(g, 2);
    as_rows(g, t, rows);
    as_rows(g, &to, half);
    x = node_reshape(g, x, 2, rows);
    if (t->dtype == DT_I4) {
        Node *below = node_map2(g, OP_LT, x, filled(g, x, 0));
        x = node_cast(g, node_map3(g, OP_WHERE, below, node_map2(g, OP_ADD, x, filled(g, x, 16)), x), DT_U8);
    }
    Size beyond = size_sub(size_mul(half[1], two), rows[1]);
    if (!size_is(beyond, 0)) x = graph_add(g, OP_PAD, &(Attrs){.lo = {zero, zero}, .hi = {zero, beyond}}, 1, &x);
    Size pairs[3] = {half[0], half[1], two}, first[3] = {half[0], half[1], whole(g, 1)}, none[3] = {zero, zero, zero};
    Size second[3] = {zero, zero, whole(g, 1)};
    x = node_reshape(g, x, 3, pairs);
    Node *low = node_slice(g, x, none, first), *high = node_slice(g, x, second, pairs);
    x = node_map2(g, OP_ADD, low, node_map2(g, OP_MUL, high, filled(g, high, 16)));
    return node_reshape(g, x, to.rank, to.dim);
}

/* x as a number of 4 bits: the nearest there is. */
static Node *saturated(Graph *g, Node *x, DType d) {
    x = node_cast(g, x, VALUES(d));
    x = node_map2(g, OP_MIN, x, filled(g, x, d == DT_I4 ? 7 : 15));
    return d == DT_I4 ? node_map2(g, OP_MAX, x, filled(g, x, -8)) : x;
}

static Node *rewritten(Rewrite *r, const Node *n) {
    if (n->type.rank < 0 || !dtype_is_nibble(n->type.dtype)) return rewrite_copy(r, n);
    Type values = n->type, bytes = type_packed(r->to->program->sizes, &n->type);
    values.dtype = VALUES(n->type.dtype);
    switch (n->op) {
    case OP_INPUT:
    case OP_SLOT:
    case OP_TENSOR: return unpacked(r->to, node_leaf(r->to, n->op, &n->attrs, bytes), &n->type);
    case OP_CONST: return node_leaf(r->to, n->op, &n->attrs, values);
    case OP_CAST: return saturated(r->to, r->map[n->in[0]->id], n->type.dtype);
    default: return rewrite_copy(r, n);
    }
}

/* What the program takes and keeps, once. */
static void pack_program(Program *p) {
    for (int i = 0; i < p->slots.n; i++) p->slots.at[i]->type = type_packed(p->sizes, &p->slots.at[i]->type);
    for (int i = 0; i < p->entries.n; i++) {
        Entry *e = p->entries.at[i];
        for (int k = 0; k < e->n_inputs; k++) e->inputs[k].type = type_packed(p->sizes, &e->inputs[k].type);
    }
}

static Graph *graph_of_bytes(PassContext *c, const Graph *from) {
    Rewrite r = rewrite_begin(c, from);
    r.to = graph_new(from->arena, from->program);
    for (int i = 0; i < from->n_args; i++) {
        const Node *a = from->args[i];
        Type t = a->type;
        if (dtype_is_nibble(t.dtype)) t.dtype = VALUES(t.dtype);
        rewrite_at(r.to, a);
        r.map[a->id] = graph_arg(r.to, t);
        r.map[a->id]->name = a->name;
    }
    for (int i = 0; i < from->nodes.n; i++) {
        const Node *n = from->nodes.at[i];
        if (!r.live[i]) continue;
        rewrite_at(r.to, n);
        r.map[i] = rewritten(&r, n);
        if (!r.map[i]->name) r.map[i]->name = n->name;
    }
    for (int i = 0; i < from->results.n; i++) {
        const Result *q = &from->results.at[i];
        Node *x = r.map[q->value->id];
        bool outside = q->name && dtype_is_nibble(q->value->type.dtype); /* results of bodies have no name */
        rewrite_at(r.to, q->value);
        graph_result(r.to, q->name, outside ? packed(r.to, x, &q->value->type) : x);
    }
    for (int i = 0; i < from->effects.n; i++) {
        Effect e = from->effects.at[i];
        const Node *old = e.value;
        if (old) e.value = r.map[old->id];
        if (e.kind == EFFECT_STORE && dtype_is_nibble(old->type.dtype)) e.value = packed(r.to, e.value, &old->type);
        graph_effect(r.to, e);
    }
    return r.to;
}

Graph *pass_nibbles(PassContext *c, const Graph *from) {
    pack_program(from->program);
    return has_nibbles(from) ? graph_of_bytes(c, from) : (Graph *)from;
}
