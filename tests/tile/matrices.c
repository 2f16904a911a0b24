/* The statements of a warp: their text, what the verifier refuses of them (and the nearest kernel that it does not), and what they compute in
 * the interpreter, beside plain loops. */
#include "tests/tile/jit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 21, COLUMNS = 19, DEPTH = 37, WIDE = 32 };

#define PRODUCT(TYPE_A, AS, TYPE, UNITS, STEP) "kernel product(a: " TYPE_A "[21, 37], b: " TYPE "[37, 19], y: f32[32, 32] out) {\n" \
    "  reg acc: f32x32[2, 2, 8]\n"                                                                                    \
    "  buf as: " TYPE_A "[1, 32, 24] stack\n"                                                                         \
    "  buf bs: " TYPE "[" STEP ", 40] stack\n"                                                                        \
    "  for k in 0..37 by " STEP " masked {\n"                                                                         \
    "    copy q in 0..32 < 21 { as[0, q, 0 : " STEP "] = a[q, k : " STEP " < 37] }\n"                                 \
    "    copy q in 0.." STEP " < 37 - k { bs[q, 0 : 32] = b[k + q, 0 : 32 < 19] }\n"                                  \
    "    commit\n"                                                                                                    \
    "    wait 0\n"                                                                                                    \
    "    reg f: u32x32[2, 4]\n"                                                                                       \
    "    unroll r in 0..2 {\n"                                                                                        \
    "      ldmatrix f[r], as[0, 16 * r, 0]" AS "\n"                                                                   \
    "    }\n"                                                                                                         \
    "    unroll v in 0..2 {\n"                                                                                        \
    "      reg g: u32x32[4]\n"                                                                                        \
    "      ldmatrix g, bs[0, 16 * v] across\n"                                                                        \
    "      unroll r in 0..2 {\n"                                                                                      \
    "        mma " UNITS " acc[r, v], f[r], g\n"                                                                      \
    "      }\n"                                                                                                       \
    "    }\n"                                                                                                         \
    "  }\n"                                                                                                           \
    "  buf by: f32[36] stack\n"                                                                                       \
    "  by[0 : 32] = f32(1 + iota(32))\n"                                                                              \
    "  by[4 : 32] = f32(iota(32) - 7)\n"                                                                              \
    "  buf ct: f32[32, 40] stack\n"                                                                                   \
    "  unroll r in 0..2 {\n"                                                                                          \
    "    unroll v in 0..2 {\n"                                                                                        \
    "      weigh acc[r, v], by[4 + 16 * r]\n"                                                                          \
    "      put ct[16 * r, 16 * v] = acc[r, v]\n"                                                                      \
    "    }\n"                                                                                                         \
    "  }\n"                                                                                                           \
    "  for i in 0..32 {\n"                                                                                            \
    "    y[i, 0 : 32] = ct[i, 0 : 32]\n"                                                                              \
    "  }\n"                                                                                                           \
    "}\n"
static const char HALVES[] = PRODUCT("f16", "", "f16", "f16", "16"), NUMBERS[] = PRODUCT("f32", "", "f32", "tf32", "8"),
                  ROUNDED[] = PRODUCT("f32", " as f16", "f16", "f16", "16");

static const struct Rule {
    const char *machine, *body, *message; /* message NULL: correct */
} RULES[] = {
    {"cuda", "copy q in 0..8 < n { s[q, 0 : 16] = x[q, 0 : 16] }", NULL},
    {"x86-64-v4", "copy q in 0..8 < n { s[q, 0 : 16] = x[q, 0 : 16] }", "x86-64-v4 has no warps"},
    {"cuda", "copy q in 0..8 { s[q, 0 : 16] = x[q, 0 : 16] }", "index 0 of x may leave the buffer: q"},
    {"cuda", "copy q in 0..9 < n { s[q, 0 : 16] = x[q, 0 : 16] }", NULL},
    {"cuda", "copy q in 0..17 < n { s[q, 0 : 16] = x[q, 0 : 16] }", "index 0 of s may leave the buffer: q"},
    {"cuda", "copy q in 0..8 < n { s[q, 0 : 16] = x[q, 8 : 16] }", "index 1 of x may leave the buffer: 8"},
    {"cuda", "copy q in 0..8 < n { s[q, 0 : 16] = x[q, 8 : 16 < 20] }", NULL},
    {"cuda", "copy q in 0..8 < n { s[q, 0 : 16] = x[q, 8 : 8] }", "a copy wants rows, of vectors as long as their places"},
    {"cuda", "copy q in 0..8 < n { s[q, 0 : 8] = x[0 : 8 < n, q] }", "rows of a copy lie side by side"},
    {"cuda", "copy q in 0..8 { s[q, 0 : 16] = s[q, 8 : 16] }",
     "a copy goes from an argument that is only read to a temporary buffer, of f32 or two bytes an element"},
    {"cuda", "ldmatrix f, s[0, 8]", NULL},
    {"cuda", "ldmatrix f, s[0, 9]", "index 1 of s may leave the buffer: 9 + 15"},
    {"cuda", "ldmatrix f, s[1, 8] across", "index 0 of s may leave the buffer: 1 + 15"},
    {"cuda", "ldmatrix f, c[0, 8]", NULL},
    {"cuda", "ldmatrix f, c[0, 9]", "index 1 of c may leave the buffer: 9 + 7"},
    {"cuda", "ldmatrix f, c[1, 0]", "index 0 of c may leave the buffer: 1 + 15"},
    {"cuda", "ldmatrix f, c[8, 0] across", NULL},
    {"cuda", "ldmatrix f, c[9, 0] across", "index 0 of c may leave the buffer: 9 + 7"},
    {"cuda", "ldmatrix f, c[0, 0] as f16", NULL},
    {"cuda", "ldmatrix f, c[0, 8] as bf16", "index 1 of c may leave the buffer: 8 + 15"},
    {"cuda", "ldmatrix f, c[0, 0] across as f16", "a fragment is rounded from rows of f32"},
    {"cuda", "ldmatrix f, s[0, 0] as f16", "a fragment is rounded from rows of f32"},
    {"cuda", "ldmatrix t, s[0, 0]", "t is not 4 of u32x32"},
    {"cuda", "ldmatrix f, x[0, 0]", "a matrix lies in a temporary buffer, of f32 or two bytes an element"},
    {"cuda", "mma bf16 t, f, f", NULL},
    {"cuda", "mma tf32 t, f, f", NULL},
    {"cuda", "mma bf16 f, f, f", "f is not 8 of f32x32"},
    {"cuda", "put c[0, 0] = t", NULL},
    {"cuda", "put c[0, 1] = t", "index 1 of c may leave the buffer: 1 + 15"},
    {"cuda", "put s[0, 0] = t", "sums are f32"},
    {"cuda", "weigh t, c[3, 0]", NULL},
    {"x86-64-v4", "weigh t, c[3, 0]", "x86-64-v4 has no warps"},
    {"cuda", "weigh t, c[3, 1]", "index 1 of c may leave the buffer: 1 + 15"},
    {"cuda", "weigh f, c[3, 0]", "f is not 8 of f32x32"},
    {"cuda", "weigh t, s[3, 0]", "sums are weighed by f32 of a temporary buffer"},
    {"cuda", "weigh t, y[0]", "sums are weighed by f32 of a temporary buffer"},
};

static int rules(void) {
    int wrong = 0;
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        Arena *a = arena_new();
        const char *error, *at;
        const char *text = arena_printf(a, "kernel k<n>(x: bf16[n, 20], y: f32[1] out) { reg t: f32x32[8] reg f: u32x32[4]\n"
                                           "buf s: bf16[16, 24] stack buf c: f32[16, 16] stack %s y[0] = 0.0 }", RULES[i].body);
        TileKernel *k = tile_parse(a, text, NULL, NULL, 0, &error);
        if (k && tile_verify(k, tile_target(RULES[i].machine), NULL, &error)) error = NULL;
        at = error ? strstr(error, ": ") : NULL;
        if (RULES[i].message ? !at || strcmp(at + 2, RULES[i].message) : error != NULL) {
            printf("%s\n  says  %s\n  wants %s\n", RULES[i].body, error ? error : "nothing", RULES[i].message ? RULES[i].message : "nothing");
            wrong++;
        }
        arena_free(a);
    }
    return wrong;
}

/* Small whole numbers, which f16 has, as its bits: no sum is rounded. */
static int whole(int i, int j) { return (7 * i + 3 * j) % 11 - 5; }
static uint16_t half_of(int x) {
    int e = 0, size = x < 0 ? -x : x;
    if (!x) return 0;
    while (size >> (e + 1)) e++;
    return (uint16_t)((x < 0 ? 0x8000 : 0) | (e + 15) << 10 | (size << (10 - e) & 1023));
}

/* What tf32 or f16 has next to x: 11 bits, halves away from 0 or to even. */
static float rounded(float x, bool even) {
    int e;
    frexpf(x, &e);
    x = ldexpf(x, 11 - e);
    return ldexpf(even ? rintf(x) : roundf(x), e - 11);
}

static float number(int i, int j, bool wide) { return (float)whole(i, j) * (wide ? 1 + 0x1p-11f : 1); }

static int sums(const float *y, bool wide_a, bool wide_b) {
    for (int i = 0; i < WIDE; i++)
        for (int j = 0; j < WIDE; j++) {
            float sum = 0;
            for (int d = 0; d < DEPTH && i < ROWS && j < COLUMNS; d++)
                sum = fmaf(rounded(number(i, d, wide_a), !wide_b), rounded(number(j + 4, d, wide_b), false), sum);
            sum *= (float)(i - 7);
            if (y[i * WIDE + j] != sum) return printf("sum %d, %d is %.9g, not %.9g\n", i, j, (double)y[i * WIDE + j], (double)sum), 1;
        }
    return 0;
}

static int product(TileKernel *k, bool wide_a, bool wide_b) {
    static uint16_t half_a[ROWS * DEPTH], half_b[DEPTH * COLUMNS];
    static float a[ROWS * DEPTH], b[DEPTH * COLUMNS], y[WIDE * WIDE];
    const char *error;
    void *args[] = {wide_a ? (void *)a : half_a, wide_b ? (void *)b : half_b, y};
    for (int i = 0; i < ROWS * DEPTH; i++) half_a[i] = half_of(whole(i / DEPTH, i % DEPTH)), a[i] = number(i / DEPTH, i % DEPTH, true);
    for (int i = 0; i < DEPTH * COLUMNS; i++)
        half_b[i] = half_of(whole(i % COLUMNS + 4, i / COLUMNS)), b[i] = number(i % COLUMNS + 4, i / COLUMNS, true);
    if (!tile_interp(k, args, NULL, 0, -1, &error)) return printf("%s\n", error), 1;
    return sums(y, wide_a, wide_b);
}

/* A kernel's text is what is printed of it, and it computes what it should. */
static int kernel(const char *source, bool wide_a, bool wide_b) {
    Arena *a = arena_new();
    const char *error;
    char *text = NULL;
    size_t n;
    int wrong = 0;
    TileKernel *k = tile_parse(a, source, NULL, NULL, 0, &error);
    if (!k || !tile_verify(k, tile_target("cuda"), NULL, &error)) return printf("%s\n", error), 1;
    FILE *f = open_memstream(&text, &n);
    tile_print(f, k);
    fclose(f);
    if (strcmp(text, source)) wrong++, printf("printed:\n%s", text);
    free(text);
    wrong += product(k, wide_a, wide_b);
    arena_free(a);
    return wrong;
}

int main(void) {
    return rules() + kernel(HALVES, false, false) + kernel(NUMBERS, true, true) + kernel(ROUNDED, true, false) != 0;
}
