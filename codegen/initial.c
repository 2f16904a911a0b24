/* initial.c -- initial values of slots: from the program's one init graph, the part that a single slot needs. */
#include "codegen/initial.h"

#include "codegen/artifact.h"

#include <string.h>

#define INLINE_BYTES 4096 /* a constant value up to this size is stored, a larger one computed when a session opens */

static const Effect *slot_store(const Graph *init, int slot) {
    const Effect *found = NULL;
    for (int i = 0; init && i < init->effects.n; i++) {
        if (init->effects.at[i].kind == EFFECT_STORE && init->effects.at[i].index == slot) found = &init->effects.at[i];
    }
    return found;
}

/* The constant that every element of the value is; NULL: it is none. */
static const Node *value_constant(const Node *n) {
    while (n->op == OP_EXPAND || n->op == OP_RESHAPE) n = n->in[0];
    return n->op == OP_CONST ? n : NULL;
}

static bool constant_zero(const Node *n) {
    if (dtype_is_float(n->type.dtype)) return n->attrs.number == 0 && !__builtin_signbit(n->attrs.number);
    return n->attrs.whole == 0 && n->attrs.number == 0;
}

SlotInitial initial_graph(Arena *arena, const Program *p, int index) {
    const Slot *slot = p->slots.at[index];
    SlotInitial result = {.kind = INITIAL_DATA, .data = slot->data};
    int64_t bytes = 0;
    bool fixed = size_is_const(type_count(p->init, &slot->type), &bytes);
    bytes *= dtype_bytes(slot->type.dtype);
    result.bytes = (size_t)bytes;
    if (slot->data) {
        if (!fixed) bug("slot %s has a value and no fixed size", slot->path);
        return result;
    }
    const Effect *store = slot_store(p->init, index);
    if (!store) bug("slot %s has no initial value", slot->path);
    const Node *constant = value_constant(store->value);
    if (constant && constant_zero(constant)) {
        result.kind = INITIAL_ZERO;
    } else if (constant && fixed && bytes <= INLINE_BYTES && constant->type.dtype == slot->type.dtype &&
               constant_bytes(arena, constant, (size_t)bytes, &result.data)) {
        result.kind = INITIAL_DATA;
    } else {
        result.kind = INITIAL_GRAPH;
    }
    return result;
}

/* Copies of n elements of a constant, for the types where that is plain. */
bool constant_bytes(Arena *arena, const Node *constant, size_t bytes, const void **data) {
    char element[8];
    size_t width = (size_t)dtype_bytes(constant->type.dtype);
    float f32 = (float)constant->attrs.number;
    double f64 = constant->attrs.number;
    int32_t i32 = (int32_t)constant->attrs.whole;
    int64_t i64 = constant->attrs.whole;
    switch (constant->type.dtype) {
    case DT_F32: memcpy(element, &f32, sizeof f32); break;
    case DT_F64: memcpy(element, &f64, sizeof f64); break;
    case DT_I32: memcpy(element, &i32, sizeof i32); break;
    case DT_I64: memcpy(element, &i64, sizeof i64); break;
    default: return false;
    }
    char *copy = arena_alloc(arena, bytes);
    for (size_t at = 0; at + width <= bytes; at += width) memcpy(copy + at, element, width);
    *data = copy;
    return true;
}

Graph *slot_init_graph(Arena *arena, const Program *p, int index) {
    const Graph *init = p->init;
    const Effect *found = slot_store(init, index);
    if (!found) bug("slot %s has no initial value", p->slots.at[index]->path);
    Effect store = *found;
    bool *needed = NEW_ARRAY(arena, bool, init->nodes.n);
    needed[store.value->id] = true;
    for (int i = init->nodes.n - 1; i >= 0; i--) {
        const Node *n = init->nodes.at[i];
        for (int k = 0; needed[i] && k < n->n_in; k++) needed[n->in[k]->id] = true;
    }
    Graph *g = graph_new(arena, init->program);
    Node **copy = NEW_ARRAY(arena, Node *, init->nodes.n);
    for (int i = 0; i < init->nodes.n; i++) {
        const Node *n = init->nodes.at[i];
        if (!needed[i]) continue;
        Node **in = NEW_ARRAY(arena, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++) in[k] = copy[n->in[k]->id];
        copy[i] = graph_copy_node(g, n, in);
    }
    store.value = copy[store.value->id];
    graph_effect(g, store);
    return g;
}

Graph *artifact_init_graph(const Program *p, int index) {
    return initial_graph(p->arena, p, index).kind == INITIAL_GRAPH ? slot_init_graph(p->arena, p, index) : NULL;
}
