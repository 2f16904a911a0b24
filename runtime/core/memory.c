/* memory.c -- memcpy, memmove, memset: the three functions that compilers call on their own, for artifacts that have no libc. Hidden, so
 * that a program's own are not touched.
 *
 * Up to 32 bytes: two moves that may overlap. Up to 1 KB: 16 bytes at a time. Beyond: the processor's string instructions where it has
 * them, which run at the speed of memory. `step` keeps compilers from seeing a loop that copies, which they would turn into a call of
 * the very function it stands in. */
#include "runtime/internal.h"

#define LARGE 1024 /* string instructions take some 30 cycles to begin */

typedef uint8_t Block __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t Word __attribute__((aligned(1), may_alias));
typedef uint32_t Half __attribute__((aligned(1), may_alias));
typedef uint16_t Short __attribute__((aligned(1), may_alias));

static inline size_t step(size_t i) {
    __asm__("" : "+r"(i));
    return i;
}

/* n <= 32: everything is read before anything is written. */
static void move_small(char *to, const char *from, size_t n) {
    if (n >= 16) {
        Block a = *(const Block *)from, b = *(const Block *)(from + n - 16);
        *(Block *)to = a;
        *(Block *)(to + n - 16) = b;
    } else if (n >= 8) {
        uint64_t a = *(const Word *)from, b = *(const Word *)(from + n - 8);
        *(Word *)to = a;
        *(Word *)(to + n - 8) = b;
    } else if (n >= 4) {
        uint32_t a = *(const Half *)from, b = *(const Half *)(from + n - 4);
        *(Half *)to = a;
        *(Half *)(to + n - 4) = b;
    } else if (n >= 2) {
        uint16_t a = *(const Short *)from, b = *(const Short *)(from + n - 2);
        *(Short *)to = a;
        *(Short *)(to + n - 2) = b;
    } else if (n) {
        *to = *from;
    }
}

/* n > 16; the last block is read first, since the loop may write over it. */
static void move_up(char *to, const char *from, size_t n) {
    Block last = *(const Block *)(from + n - 16);
    size_t i = 0;
#ifdef __x86_64__
    if (n >= LARGE) {
        void *d = to;
        const void *s = from;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
        return;
    }
#endif
    for (; i + 16 < n; i = step(i + 16)) *(Block *)(to + i) = *(const Block *)(from + i);
    *(Block *)(to + n - 16) = last;
}

static void move_down(char *to, const char *from, size_t n) {
    Block first = *(const Block *)from;
    for (size_t i = n; i > 16; i = step(i - 16)) *(Block *)(to + i - 16) = *(const Block *)(from + i - 16);
    *(Block *)to = first;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    if (n <= 32) move_small(to, from, n);
    else move_up(to, from, n);
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    if (n <= 32) move_small(to, from, n);
    else if ((uintptr_t)to - (uintptr_t)from >= n) move_up(to, from, n); /* to lies before from, or behind its end */
    else move_down(to, from, n);
    return to;
}

void *memset(void *to, int byte, size_t n) {
    char *at = to;
    if (n < 16) {
        for (size_t i = 0; i < n; i = step(i + 1)) at[i] = (char)byte;
        return to;
    }
#ifdef __x86_64__
    if (n >= LARGE) {
        void *d = to;
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(byte) : "memory");
        return to;
    }
#endif
    Block block = (Block){0} + (uint8_t)byte;
    for (size_t i = 0; i + 16 < n; i = step(i + 16)) *(Block *)(at + i) = block;
    *(Block *)(at + n - 16) = block;
    return to;
}
