/* arena.h -- memory by lifetime. An arena is named by what it holds (source, graph, unit) and is freed as a whole; nothing in it is
 * freed alone. Under ASan every object is a malloc of its own, so that stale and stray use is caught. */
#ifndef IR_ARENA_H
#define IR_ARENA_H
#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);                                        /* never NULL: out of memory ends the compiler with a message, exit 70 */
void arena_free(Arena *a);                                     /* the only free; NULL is fine */
void *arena_alloc(Arena *a, size_t bytes);                     /* zeroed, aligned to 16; bytes may be 0 */
char *arena_copy(Arena *a, const char *text, size_t n);        /* n bytes and a final 0 */
char *arena_printf(Arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *a, const char *format, va_list ap);
/* A file's first bytes where they lie, to read; NULL with errno: they cannot be mapped. What is cut off meanwhile raises
 * SIGBUS. bytes > 0. */
const void *arena_map(Arena *a, int fd, size_t bytes);
void *arena_grow(Arena *a, void *old, size_t old_bytes, size_t new_bytes); /* a larger zeroed block that begins with the old one's bytes */

#define NEW(arena, T) ((T *)arena_alloc((arena), sizeof(T)))
#define NEW_ARRAY(arena, T, n) ((T *)arena_alloc((arena), sizeof(T) * (size_t)(n)))

/* PUSH(arena, list, x): list is a struct with the fields T *at; int n, cap; */
#define LIST(T) struct { T *at; int n, cap; }
#define PUSH(arena, list, x)                                                                                                   \
    do {                                                                                                                       \
        if ((list).n == (list).cap) {                                                                                          \
            int cap_ = (list).cap ? 2 * (list).cap : 8;                                                                        \
            (list).at = arena_grow((arena), (list).at, sizeof *(list).at * (size_t)(list).n, sizeof *(list).at * (size_t)cap_); \
            (list).cap = cap_;                                                                                                 \
        }                                                                                                                      \
        (list).at[(list).n++] = (x);                                                                                           \
    } while (0)

#endif
