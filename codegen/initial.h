/* initial.h -- how a slot gets its initial value. */
#ifndef CODEGEN_INITIAL_H
#define CODEGEN_INITIAL_H
#include "ir/graph.h"

typedef enum {
    INITIAL_ZERO, /* memory of a session is zero when it is made: nothing to do */
    INITIAL_DATA, /* `bytes` of `data`, inside the artifact */
    INITIAL_GRAPH /* computed when a session opens (a cache: when it is first touched) */
} InitialKind;

typedef struct SlotInitial {
    InitialKind kind;
    const void *data;
    size_t bytes;
} SlotInitial;

SlotInitial initial_graph(Arena *arena, const Program *p, int slot);
/* `bytes` of copies of a constant's element; false for types that need a conversion. */
bool constant_bytes(Arena *arena, const Node *constant, size_t bytes, const void **data);

/* A graph of its own that stores the initial value of one slot: the part of the program's init graph that it needs. */
Graph *slot_init_graph(Arena *arena, const Program *p, int slot);

#endif
