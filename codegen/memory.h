/* memory.h -- what memory a session with one thread takes from its caller (mdl_options.memory), to the byte, as far as it does not follow
 * from run-time sizes: for the header. Computed as the runtime lays it out (runtime/core/session.c, slots.c, packs.c). */
#ifndef CODEGEN_MEMORY_H
#define CODEGEN_MEMORY_H
#include "codegen/artifact.h"
#include "codegen/entry.h"
#include "codegen/external.h"

/* As the runtime hands out blocks: whole multiples of 64 bytes, at least one. */
static inline int64_t memory_aligned(int64_t bytes) { return ((bytes ? bytes : 1) + 63) / 64 * 64; }

typedef struct SessionMemory {
    int64_t weights; /* values inside the library, or in the file beside it, which no session copies */
    int64_t opened;  /* that open takes */
    int64_t *called; /* by entry: open and calls of this entry; -1: its run-time sizes decide */
} SessionMemory;

/* layout: rt_session_layout of the target's runtime. data[i]: is there a value of slot i that is used where it lies? unit: generated. */
SessionMemory memory_needed(Arena *arena, const ArtifactOptions *options, const EntryUnit *unit, const int32_t layout[5], const bool *data);

#endif
