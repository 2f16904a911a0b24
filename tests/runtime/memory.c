/* memory.c -- the core's memcpy, memmove, memset against libc's: every length up to 300 and some around where they change their way, every
 * overlap near 0, and not a byte outside. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The core's own, under other names: this program has a memcpy. */
#define memcpy core_memcpy
#define memmove core_memmove
#define memset core_memset
#include "runtime/core/memory.c"
#undef memcpy
#undef memmove
#undef memset

#define ROOM 5000
static unsigned char ours[ROOM], theirs[ROOM], from[ROOM];
static int failed;

static void fresh(void) {
    for (int i = 0; i < ROOM; i++) ours[i] = theirs[i] = (unsigned char)(i * 7 + i / 256);
}

static void compare(const char *what, size_t n, long shift) {
    if (memcmp(ours, theirs, ROOM) == 0) return;
    if (++failed < 10) printf("%s of %zu bytes, %ld apart\n", what, n, shift);
}

int main(void) {
    static const size_t large[] = {511, 512, 1000, 1023, 1024, 1025, 1040, 2000};
    for (int i = 0; i < ROOM; i++) from[i] = (unsigned char)(i * 13 + 5);
    for (size_t k = 0; k < 300 + sizeof large / sizeof *large; k++) {
        size_t n = k < 300 ? k : large[k - 300];
        for (size_t at = 64; at < 82; at += 3) {
            fresh();
            if (core_memcpy(ours + at, from + 1, n) != ours + at) failed++;
            memcpy(theirs + at, from + 1, n);
            compare("memcpy", n, (long)at);
            if (core_memset(ours + at, (int)n - 300, n) != ours + at) failed++;
            memset(theirs + at, (int)n - 300, n);
            compare("memset", n, (long)at);
        }
        for (long shift = -70; shift <= 70; shift++) {
            fresh();
            if (core_memmove(ours + 100 + shift, ours + 100, n) != ours + 100 + shift) failed++;
            memmove(theirs + 100 + shift, theirs + 100, n);
            compare("memmove", n, shift);
        }
        fresh(); /* far apart, both ways */
        core_memmove(ours + 2100, ours + 10, n), memmove(theirs + 2100, theirs + 10, n);
        core_memmove(ours + 10, ours + 2101, n), memmove(theirs + 10, theirs + 2101, n);
        compare("memmove", n, 2090);
    }
    return failed != 0;
}
