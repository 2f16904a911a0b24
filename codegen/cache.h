/* cache.h -- artifacts that were made before, found by what they were made of. A folder that any number of processes may use at once:
 *
 *   XX/KEY.made      JSON: which files were read for this key (compiler, options, model), their hashes, and the result; newest first
 *   XX/HASH.result   a line of JSON (what a build reports), then the library, then the header; HASH is that of its bytes
 *
 *   XX/KEY.object    a hash of the rest, then a compiled module; KEY is that of the compiler and the module's code
 *
 * A file appears whole (written aside, renamed) and is checked when it is read: a result by its name. What does not hold together is
 * reported and as if it were not there. */
#ifndef CODEGEN_CACHE_H
#define CODEGEN_CACHE_H
#include "codegen/elf.h"

#include <jansson.h>

typedef struct Cache {
    Arena *arena;
    const char *folder;   /* NULL: nothing is kept */
    const char *compiler; /* what it is, as text (digest_compiler) */
    LIST(const char *) notes; /* what went wrong, a sentence each; nothing of it hurts a result */
    LIST(struct CacheDigest) digests; /* of files read so far: a variant's files are mostly the others' */
} Cache;

struct CacheDigest {
    const char *path, *hash; /* hash NULL: it cannot be read */
};

typedef struct CacheResult {
    json_t *report;
    Bytes library, header, weights; /* weights: of --weights=external, else empty */
} CacheResult;

/* folder NULL: $MODELC_CACHE, $XDG_CACHE_HOME/modelc, $HOME/.cache/modelc; "": no cache. */
Cache *cache_open(Arena *arena, const char *folder);
bool cache_find(Cache *c, const char *key, CacheResult *result);
/* files: all that were read for it. Nothing is kept where one of them has changed since (seconds of the clock): what was read is not
 * known then. */
void cache_store(Cache *c, const char *key, const char *const *files, int n, double since, const CacheResult *result);

/* The object of a module of code. */
bool cache_object_find(Cache *c, const char *key, Bytes *object);
void cache_object_store(Cache *c, const char *key, Bytes object);
/* Removes what was used least recently until the files take no more than limit bytes of disk. */
void cache_trim(Cache *c, int64_t limit);
void cache_used(const char *path); /* a file of the cache has been read */
void cache_note(Cache *c, const char *text); /* once each */
void cache_notes_print(const Cache *c); /* to standard error */

/* A file's bytes; false with errno set. */
bool cache_read_file(Arena *arena, const char *path, Bytes *bytes);

#endif
