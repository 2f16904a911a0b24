/* tables.h -- inside the artifact generator: the tables of mdl.h and runtime.h, the exported functions, the description. */
#ifndef CODEGEN_TABLES_H
#define CODEGEN_TABLES_H
#include "codegen/artifact.h"
#include "codegen/entry.h"
#include "codegen/external.h"
#include "codegen/selftest.h"

/* SHA-256 of the source, of what a caller sees, of what a checkpoint holds. */
typedef struct ArtifactHashes {
    uint8_t source[32], interface[32], weights[32];
} ArtifactHashes;
ArtifactHashes artifact_hashes(Arena *arena, const ArtifactOptions *options);

/* Contents of the section .mdl.meta. unit: with all entries generated, so that its kernels are known. content: the hash of all else that
 * is linked. */
Bytes artifact_meta(Arena *arena, const ArtifactOptions *options, const EntryUnit *unit, const ArtifactHashes *hashes, const External *external,
                    const uint8_t content[32]);

/* Everything but the kernels, into the unit's module: entries, initial values, tables, exported functions. data[i]: the address
 * of the value of slot i inside the artifact, or NULL. Scratch of the schedulers is known when all entries have been generated:
 * the last thing to be written. variant 0 has all tables and exports; the others only what differs, the runtime's. */
void artifact_tables(EntryUnit *u, const ArtifactOptions *options, const ArtifactHashes *hashes, const char *const *data, const External *external,
                     int variant);

typedef enum { SLOTS_TOUCHED, SLOTS_STORED, SLOTS_RESET } SlotUse; /* touched: read or stored */
int entry_slots(const Program *p, const Entry *e, SlotUse use, int *list); /* their numbers, in order; returns how many */

bool artifact_cached(const Entry *e, int result);             /* does the result depend on a cache? */
int artifact_size_entry(const Program *p, const SizeName *n); /* the entry a size belongs to, -1: several, or a slot's */

#endif
