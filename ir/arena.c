/* arena.c -- chunks in a list; under ASan one chunk per object. */
#include "ir/arena.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ONE_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ONE_EACH 1
#endif
#endif
#ifndef ONE_EACH
#define ONE_EACH 0
#endif

typedef struct Chunk Chunk;
struct Chunk {
    Chunk *next;
    size_t used, size; /* bytes after the header */
};
/* A graph of thousands of nodes spent more time on first touches of pages than on anything else: what outgrows a first chunk gets its
 * pages all at once. (Huge pages cost more where a hypervisor takes free ones back.) */
enum { FIRST_CHUNK = 64 << 10, LATER_CHUNK = 512 << 10, SPARE_MOST = 128 << 20 };
#define HEADER ((sizeof(Chunk) + 15) & ~(size_t)15)

typedef struct Mapping Mapping;
struct Mapping {
    Mapping *next;
    void *at;
    size_t bytes;
};

struct Arena {
    Chunk *chunks; /* the one being filled first */
    Mapping *mappings;
};

static void *must(void *p) {
    if (!p) {
        fputs("modelc: out of memory\n", stderr);
        exit(70);
    }
    return p;
}

Arena *arena_new(void) { return must(calloc(1, sizeof(Arena))); }

static bool is_mapped(size_t bytes) { return !ONE_EACH && bytes > FIRST_CHUNK; }

/* Chunks of freed arenas, zero again: a program has thousands of kernels, each with an arena for a moment, and a large weight is converted in
 * pieces of one size; the system takes longer to map and clear pages than they are used. */
static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static Chunk *spare;
static size_t spare_bytes;

static Chunk *spare_take(size_t size) {
    pthread_mutex_lock(&spare_lock);
    Chunk **at = &spare, *c;
    while ((c = *at) != NULL && HEADER + c->size != size) at = &c->next;
    if (c) {
        *at = c->next;
        spare_bytes -= size;
    }
    pthread_mutex_unlock(&spare_lock);
    return c;
}

/* False: there are enough. */
static bool spare_put(Chunk *c) {
    size_t size = HEADER + c->size;
    pthread_mutex_lock(&spare_lock);
    bool room = size <= SPARE_MOST - spare_bytes;
    spare_bytes += room ? size : 0;
    pthread_mutex_unlock(&spare_lock);
    if (!room) return false;
    memset((char *)c + HEADER, 0, c->used);
    c->used = 0;
    pthread_mutex_lock(&spare_lock);
    c->next = spare;
    spare = c;
    pthread_mutex_unlock(&spare_lock);
    return true;
}

/* Zeros, size bytes with the header. */
static Chunk *chunk_new(size_t size) {
    if (!is_mapped(size)) return must(calloc(1, size));
    Chunk *known = spare_take(size);
    if (known) return known;
    int now = size == LATER_CHUNK ? MAP_POPULATE : 0; /* a larger object may stay empty */
    Chunk *c = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | now, -1, 0);
    if (c == MAP_FAILED) must(NULL);
    return c;
}

void arena_free(Arena *a) {
    if (!a) return;
    for (Mapping *m = a->mappings; m; m = m->next) munmap(m->at, m->bytes);
    for (Chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        if (!is_mapped(HEADER + c->size)) free(c);
        else if (!spare_put(c)) munmap(c, HEADER + c->size);
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t bytes) {
    if (bytes > (size_t)1 << 46) must(NULL);
    size_t need = (bytes + 15) & ~(size_t)15;
    Chunk *c = a->chunks;
    if (ONE_EACH || !c || c->size - c->used < need) {
        size_t chunk = (c ? LATER_CHUNK : FIRST_CHUNK) - HEADER;
        size_t size = ONE_EACH ? (bytes ? bytes : 1) : need > chunk ? need : chunk;
        c = chunk_new(HEADER + size);
        c->size = size;
        c->next = a->chunks;
        a->chunks = c;
        if (ONE_EACH) return (char *)c + HEADER;
    }
    void *p = (char *)c + HEADER + c->used;
    c->used += need;
    return p;
}

const void *arena_map(Arena *a, int fd, size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) return NULL;
    Mapping *m = NEW(a, Mapping);
    *m = (Mapping){a->mappings, at, bytes};
    a->mappings = m;
    return at;
}

char *arena_copy(Arena *a, const char *text, size_t n) {
    char *p = arena_alloc(a, n + 1);
    if (n) memcpy(p, text, n);
    return p;
}

void *arena_grow(Arena *a, void *old, size_t old_bytes, size_t new_bytes) {
    void *p = arena_alloc(a, new_bytes);
    if (old_bytes) memcpy(p, old, old_bytes);
    return p;
}

char *arena_vprintf(Arena *a, const char *format, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    char *p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
    vsnprintf(p, (size_t)(n < 0 ? 0 : n) + 1, format, again);
    va_end(again);
    return p;
}

char *arena_printf(Arena *a, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    char *p = arena_vprintf(a, format, ap);
    va_end(ap);
    return p;
}
