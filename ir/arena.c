/* arena.c -- chunks in a list; under ASan one chunk per object. */
#include "ir/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
/* A larger chunk comes from the system, and as zeros: calloc need not write them. */
enum { FIRST_CHUNK = 64 << 10, LATER_CHUNK = 256 << 10 };
#define HEADER ((sizeof(Chunk) + 15) & ~(size_t)15)

struct Arena {
    Chunk *chunks; /* the one being filled first */
};

static void *must(void *p) {
    if (!p) {
        fputs("modelc: out of memory\n", stderr);
        exit(70);
    }
    return p;
}

Arena *arena_new(void) { return must(calloc(1, sizeof(Arena))); }

void arena_free(Arena *a) {
    if (!a) return;
    for (Chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
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
        c = must(calloc(1, HEADER + size));
        c->size = size;
        c->next = a->chunks;
        a->chunks = c;
        if (ONE_EACH) return (char *)c + HEADER;
    }
    void *p = (char *)c + HEADER + c->used;
    c->used += need;
    return p;
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
