/* memory.c -- see memory.h. Blocks lie one behind the other in the order in which they are asked for; an arena takes what it wants of the
 * rest, and is given back. */
#include "codegen/memory.h"

#include "codegen/tables.h"

enum { OF_SESSION, OF_SLOT, OF_PACK, OF_ENTRY, OF_THREAD };

typedef struct Mark {
    int64_t used, most; /* bytes of blocks; the most that those and an arena took */
    bool known;         /* no run-time size has had a say */
} Mark;

static void mark_block(Mark *m, int64_t bytes) {
    m->used += memory_aligned(bytes);
    if (m->used > m->most) m->most = m->used;
}

/* plan NULL: nothing runs. */
static void mark_arena(Mark *m, const Plan *plan) {
    int64_t bytes = 0;
    if (plan && !entry_arena_static(plan, &bytes)) m->known = false;
    if (m->used + bytes > m->most) m->most = m->used + bytes;
}

static void mark_slot(Mark *m, const Slot *slot) {
    int64_t n = dtype_bytes(slot->type.dtype);
    for (int i = 0; i < slot->type.rank && m->known; i++) {
        m->known = size_is_static(slot->type.dim[i]);
        if (m->known) n *= size_value(slot->type.dim[i]);
    }
    if (m->known) mark_block(m, n);
}

/* scratch_stride and work_bytes of session.c. */
static int64_t work_bytes(const EntryUnit *unit, int32_t of_thread) {
    int64_t scratch = 0, shared = 0;
    for (int i = 0; i < unit->n_modules; i++) {
        const Scheduler *s = unit->modules[i].scheduler;
        if (scheduler_scratch(s) > scratch) scratch = scheduler_scratch(s);
        if (scheduler_shared(s) > shared) shared = scheduler_shared(s);
    }
    return (scratch + 4095) / 4096 * 4096 + 64 + of_thread + shared;
}

static Mark opened(const ArtifactOptions *options, const EntryUnit *unit, const int32_t layout[5], const bool *data) {
    const Program *p = options->program;
    Mark m = {.known = true};
    mark_block(&m, layout[OF_SESSION] + (int64_t)layout[OF_SLOT] * p->slots.n + (int64_t)layout[OF_PACK] * unit->packs.n +
                       (int64_t)layout[OF_ENTRY] * p->entries.n);
    mark_block(&m, work_bytes(unit, layout[OF_THREAD]));
    for (int i = 0; i < p->slots.n; i++) {
        if (p->slots.at[i]->kind == SLOT_CACHE || data[i]) continue;
        mark_slot(&m, p->slots.at[i]);
        mark_arena(&m, options->inits[i]);
    }
    return m;
}

/* Packs, then caches, then copies of what the entry will write, then its arena: run_entry of call.c. */
static int64_t called(const ArtifactOptions *options, const EntryUnit *unit, int entry, Mark m, const bool *data) {
    const Program *p = options->program;
    const Entry *e = p->entries.at[entry];
    int *slots = NEW_ARRAY(p->arena, int, p->slots.n + 1);
    m.known = m.known && unit->pack_bytes[entry] >= 0;
    if (m.known && unit->pack_bytes[entry]) mark_block(&m, unit->pack_bytes[entry]);
    int n = entry_slots(p, e, SLOTS_TOUCHED, slots);
    for (int i = 0; i < n; i++) {
        const Slot *slot = p->slots.at[slots[i]];
        if (slot->kind != SLOT_CACHE || data[slots[i]]) continue;
        mark_slot(&m, slot);
        mark_arena(&m, options->inits[slots[i]]);
    }
    n = entry_slots(p, e, SLOTS_STORED, slots);
    for (int i = 0; i < n; i++)
        if (data[slots[i]]) mark_slot(&m, p->slots.at[slots[i]]);
    mark_arena(&m, options->entries[entry]);
    return m.known ? m.most : -1;
}

SessionMemory memory_needed(Arena *arena, const ArtifactOptions *options, const EntryUnit *unit, const int32_t layout[5], const bool *data) {
    const Program *p = options->program;
    Mark weights = {.known = true}, open = opened(options, unit, layout, data);
    SessionMemory memory = {.opened = open.known ? open.most : -1, .called = NEW_ARRAY(arena, int64_t, p->entries.n + 1)};
    for (int i = 0; i < p->slots.n; i++)
        if (data[i]) mark_slot(&weights, p->slots.at[i]);
    memory.weights = weights.used;
    for (int i = 0; i < p->entries.n; i++) memory.called[i] = called(options, unit, i, open, data);
    return memory;
}
