/* text.c -- messages without printf say what printf says: whole numbers, texts, cut texts, and doubles of every magnitude, digit for
 * digit, ties and roundings that carry included. */
#include "runtime/internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int failed;

/* Both with the same arguments: the text, and its length even where it is cut. */
#define SAME(size, ...)                                                                                       \
    do {                                                                                                      \
        char ours[400], theirs[400];                                                                          \
        memset(ours, '#', sizeof ours);                                                                       \
        size_t n = rt_text(ours, size, __VA_ARGS__), m = (size_t)snprintf(theirs, size, __VA_ARGS__);         \
        if ((n != m || ((size) && strcmp(ours, theirs)) || ours[size] != '#') && ++failed < 20)               \
            printf("line %d: \"%s\" (%zu) instead of \"%s\" (%zu)\n", __LINE__, ours, n, theirs, m);          \
    } while (0)

static void doubles(double v) {
    static const int digits[] = {1, 2, 6, 9, 17, 30};
    for (size_t i = 0; i < sizeof digits / sizeof *digits; i++) {
        char ours[400], theirs[400];
        size_t n = rt_text_double(ours, sizeof ours, v, digits[i]), m = (size_t)snprintf(theirs, sizeof theirs, "%.*g", digits[i], v);
        if ((n != m || strcmp(ours, theirs)) && ++failed < 20) printf("%s (%zu) instead of %s (%zu)\n", ours, n, theirs, m);
    }
}

int main(void) {
    volatile size_t cut = 6; /* not known to the compiler, which would warn */
    for (size_t i = 0; i < 9; i++) {
        cut = i;
        SAME(cut, "%s", "abcdef");
        SAME(cut, "ab%dcd", -123);
    }
    SAME(399, "%s: %s", "predict", "");
    SAME(399, "[%.3s] [%.*s] [%.9s] [%.0s]", "abcdef", 2, "abcdef", "abc", "ab");
    SAME(399, "%d %d %d %u %04x%02x", 0, -1, 2147483647, 4294967295u, 17, 255);
    SAME(399, "%d", (int)-2147483648LL);
    SAME(399, "%lld %lld %llu", (long long)INT64_MIN, (long long)INT64_MAX, ~0ull);
    SAME(399, "%02x %04x %x %llx%% %c", 10, 31, 0xdeadbeefu, 0xfedcba9876543210ull, 'z');
    static const double special[] = {0, -0.0, 1, -1, 0.5, 2.5, 3.5, 9.5, 99.5, 0.125, 0.375, 0.00001, 0.0001, 0.00012345, 123456, 999999.5, 1234567,
                                     999999999.5, 9999999994, DBL_MAX, DBL_MIN, -DBL_TRUE_MIN, DBL_EPSILON, INFINITY, -INFINITY, NAN, 0x1p52, 0x1p53,
                                     0x1.fffffffffffffp52, 1e22, 1e23, 5e-324, 1e-5, 1e15, 1e16, 1e17};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) doubles(special[i]);
    doubles(-(double)NAN);
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 20000; i++) { /* every exponent; then what models print; then ties */
        double v;
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        memcpy(&v, &state, sizeof v);
        if (v == v) doubles(v);
        doubles((float)(int64_t)state * 0x1p-62f);
        doubles((double)(state >> 40) / 8);
    }
    return failed != 0;
}
