/* The statements of a warp and of a group of four: their text, what the verifier refuses of them (and the nearest kernel that it does not), and what they compute in
 * the interpreter, beside plain loops. */
#include "tests/tile/jit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 21, COLUMNS = 19, DEPTH = 37, WIDE = 32 };

#define PRODUCT(TYPE_A, AS, TYPE, BS, UNITS, STEP) "kernel product(a: " TYPE_A "[21, 37], b: " TYPE "[37, 19], y: f32[32, 32] out) {\n" \
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
    "      ldmatrix g, bs[0, 16 * v] across" BS "\n"                                                                  \
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
static const char HALVES[] = PRODUCT("f16", "", "f16", "", "f16", "16"), NUMBERS[] = PRODUCT("f32", "", "f32", "", "tf32", "8"),
                  ROUNDED[] = PRODUCT("f32", " as f16", "f16", "", "f16", "16"), ROUNDED_BOTH[] = PRODUCT("f32", " as f16", "f32", " as f16", "f16", "16");

/* 85 x 51 by 51 x 70 numbers, both across: two squares of rows and two of columns, one step. */
enum { GROUP_ROWS = 85, GROUP_COLUMNS = 70, GROUP_DEPTH = 51 };
static const char GROUPS[] = "kernel product(a: f16[51, 85], b: f16[70, 51], y: f32[128, 128] out) group {\n"
                             "  reg acc: f32x128[2, 8, 8]\n"
                             "  if 0 < 1 {\n"
                             "    buf as: f16[2, 2, 64, 64] stack swizzled\n"
                             "    buf bs: f16[2, 64, 64] stack swizzled\n"
                             "    copy q in 0..64 < 51 { as[1, 0, q, 0 : 64] = a[q, 0 : 64] }\n"
                             "    copy q in 0..64 < 51 { as[1, 1, q, 0 : 64] = a[q, 64 : 64 < 85] }\n"
                             "    copy q in 0..64 { bs[0, q, 0 : 64] = b[q, 0 : 64 < 51] }\n"
                             "    copy q in 0..64 < 6 { bs[1, q, 0 : 64] = b[64 + q, 0 : 64 < 51] }\n"
                             "    commit\n"
                             "    wait 0\n"
                             "    multiply f16 acc, as[1, 0, 0, 0] across, bs[0, 0, 0]\n"
                             "    finish\n"
                             "  }\n"
                             "  buf ct: f32[128, 136] stack\n"
                             "  put ct[0, 0] = acc\n"
                             "  for r in 0..128 share {\n"
                             "    for v in 0..128 by 32 {\n"
                             "      y[r, v : 32] = ct[r, v : 32]\n"
                             "    }\n"
                             "  }\n"
                             "}\n";

typedef struct Rule {
    const char *machine, *body, *message; /* message NULL: correct */
} Rule;

static const Rule RULES[] = {
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
    {"cuda", "ldmatrix f, c[0, 0] across as f16", NULL},
    {"cuda", "ldmatrix f, c[8, 0] across as f16", "index 0 of c may leave the buffer: 8 + 15"},
    {"cuda", "ldmatrix f, s[0, 0] as f16", "a fragment is rounded from f32"},
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

static const char WARP[] = "kernel k<n>(x: bf16[n, 20], y: f32[1] out) { reg t: f32x32[8] reg f: u32x32[4]\n"
                           "buf s: bf16[16, 24] stack buf c: f32[16, 16] stack %s y[0] = 0.0 }";

static const Rule GROUP_RULES[] = {
    {"cuda", "multiply bf16 t, a[0, 0, 0, 0], b[1, 0, 0] across finish", NULL},
    {"x86-64-v4", "finish", "x86-64-v4 has no warps"},
    {"cuda", "multiply bf16 t, a[0, 1, 0, 0], b[1, 0, 0]", "index 1 of a may leave the buffer: 1 + 1"},
    {"cuda", "multiply bf16 t, a[2, 0, 0, 0], b[1, 0, 0]", "index 0 of a may leave the buffer: 2"},
    {"cuda", "multiply bf16 t, a[0, 0, 0, 0], b[2, 0, 0]", "index 0 of b may leave the buffer: 2"},
    {"cuda", "multiply bf16 t, a[0, 0, 0, 16], b[1, 0, 0]", "a factor begins with a square"},
    {"cuda", "multiply f16 t, a[0, 0, 0, 0], b[1, 0, 0]", "a factor is squares of f16, in a swizzled buffer"},
    {"cuda", "multiply bf16 t, c[0, 0], b[1, 0, 0]", "a factor is squares of bf16, in a swizzled buffer"},
    {"cuda", "multiply bf16 w, a[0, 0, 0, 0], b[1, 0, 0]", "w is not R x 4 x 8 or R x 8 x 8 of f32x128, R = 1 or 2"},
    {"cuda", "multiply bf16 t[0], a[0, 0, 0, 0], b[1, 0, 0]", "t is not R x 4 x 8 or R x 8 x 8 of f32x128, R = 1 or 2"},
    {"cuda", "mma bf16 w, f, f", "a group has no fragments: it multiplies squares"},
    {"cuda", "copy q in 0..64 < n { b[0, q, 0 : 64] = x[q, 0 : 64 < 20] }", NULL},
    {"cuda", "copy q in 0..32 < n { b[0, q, 0 : 64] = x[q, 0 : 64 < 20] }", "a copy to a swizzled buffer is of 64 whole rows of a square"},
    {"cuda", "copy q in 0..64 < n { b[0, q, 0 : 16] = x[q, 0 : 16] }", "a copy to a swizzled buffer is of 64 whole rows of a square"},
    {"cuda", "copy q in 0..64 < n { b[0, 63 - q, 0 : 64] = x[q, 0 : 64 < 20] }", "a copy to a swizzled buffer is of 64 whole rows of a square"},
    {"cuda", "put c[0, 0] = t", NULL},
    {"cuda", "put c[1, 0] = t", "index 0 of c may leave the buffer: 1 + 127"},
    {"cuda", "put b[0, 0, 0] = t", "sums are f32"},
    {"cuda", "for r in 0..128 share { y[r] = c[r, 0] }", NULL},
    {"cuda", "for r in 0..128 share { y[2] = c[r, 0] }", "two iterations of the parallel loop r may touch the same place of y"},
    {"cuda", "for r in 0..128 share { c[r, 0] = 0.0 }", "a group stores to arguments, in what its warps share"},
    {"cuda", "for r in 0..128 { y[r] = c[r, 0] }", "a group stores to arguments, in what its warps share"},
    {"cuda", "for r in 0..128 share { for q in 0..2 share { y[r] = c[r, q] } }", "one warp has nothing to share"},
    {"cuda", "for r in 0..128 share { wait 0 }", "all warps of a group do this, and no one of them alone"},
    {"cuda", "for r in 0..128 share { buf d: f32[32] stack y[r] = d[0] }", "buffers of a group lie on the stack, outside of what its warps share"},
    {"cuda", "for r in 0..128 share { y[r] = hadd(t[0, 0, 0]) }", "t is of a group: it can be put"},
    {"cuda", "for r in 0..128 share { y[r] = f32(b[0, 0, 0]) }", "b is swizzled: it is for multiply"},
    {"cuda", "buf d: f32[64, 64] stack swizzled", "swizzled are squares of 64 x 64 elements of two bytes, of a group"},
    {"cuda", "buf d: f32[8, 64] stack", "100352 bytes of stack buffers: at most 98304"},
};
static const char GROUP[] = "kernel k<n>(x: bf16[n, 20], y: f32[128] out) group { reg t: f32x128[2, 4, 8] reg f: u32x32[4] reg w: f32x32[8]\n"
                            "buf a: bf16[2, 2, 64, 64] stack swizzled buf b: bf16[2, 64, 64] stack swizzled buf c: f32[128, 96] stack %s }";

static int rules(const Rule *rule, size_t n, const char *around) {
    int wrong = 0;
    for (; n; n--, rule++) {
        Arena *a = arena_new();
        const char *error, *at, *body = strstr(around, "%s");
        const char *text = arena_printf(a, "%.*s%s%s", (int)(body - around), around, rule->body, body + 2);
        TileKernel *k = tile_parse(a, text, NULL, NULL, 0, &error);
        if (k && tile_verify(k, tile_target(rule->machine), NULL, &error)) error = NULL;
        at = error ? strstr(error, ": ") : NULL;
        if (rule->message ? !at || strcmp(at + 2, rule->message) : error != NULL) {
            printf("%s\n  says  %s\n  wants %s\n", rule->body, error ? error : "nothing", rule->message ? rule->message : "nothing");
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

static int sums(const float *y, bool wide_a, bool wide_b, bool even) {
    for (int i = 0; i < WIDE; i++)
        for (int j = 0; j < WIDE; j++) {
            float sum = 0;
            for (int d = 0; d < DEPTH && i < ROWS && j < COLUMNS; d++)
                sum = fmaf(rounded(number(i, d, wide_a), even), rounded(number(j + 4, d, wide_b), even), sum);
            sum *= (float)(i - 7);
            if (y[i * WIDE + j] != sum) return printf("sum %d, %d is %.9g, not %.9g\n", i, j, (double)y[i * WIDE + j], (double)sum), 1;
        }
    return 0;
}

static int product(TileKernel *k, bool wide_a, bool wide_b, bool even) {
    static uint16_t half_a[ROWS * DEPTH], half_b[DEPTH * COLUMNS];
    static float a[ROWS * DEPTH], b[DEPTH * COLUMNS], y[WIDE * WIDE];
    const char *error;
    void *args[] = {wide_a ? (void *)a : half_a, wide_b ? (void *)b : half_b, y};
    for (int i = 0; i < ROWS * DEPTH; i++) half_a[i] = half_of(whole(i / DEPTH, i % DEPTH)), a[i] = number(i / DEPTH, i % DEPTH, true);
    for (int i = 0; i < DEPTH * COLUMNS; i++)
        half_b[i] = half_of(whole(i % COLUMNS + 4, i / COLUMNS)), b[i] = number(i % COLUMNS + 4, i / COLUMNS, true);
    if (!tile_interp(k, args, NULL, 0, -1, &error)) return printf("%s\n", error), 1;
    return sums(y, wide_a, wide_b, even);
}

static int group_product(TileKernel *k, bool wide_a, bool wide_b, bool even) {
    static uint16_t a[GROUP_DEPTH * GROUP_ROWS], b[GROUP_COLUMNS * GROUP_DEPTH];
    static float y[TILE_GROUP * TILE_GROUP];
    const char *error;
    (void)wide_a, (void)wide_b, (void)even;
    for (int i = 0; i < GROUP_DEPTH * GROUP_ROWS; i++) a[i] = half_of(whole(i % GROUP_ROWS, i / GROUP_ROWS));
    for (int i = 0; i < GROUP_COLUMNS * GROUP_DEPTH; i++) b[i] = half_of(whole(i / GROUP_DEPTH + 4, i % GROUP_DEPTH));
    if (!tile_interp(k, (void *[]){a, b, y}, NULL, 0, -1, &error)) return printf("%s\n", error), 1;
    for (int i = 0; i < TILE_GROUP * TILE_GROUP; i++) {
        int row = i / TILE_GROUP, column = i % TILE_GROUP, sum = 0;
        for (int d = 0; d < GROUP_DEPTH && row < GROUP_ROWS && column < GROUP_COLUMNS; d++) sum += whole(row, d) * whole(column + 4, d);
        if (y[i] != (float)sum) return printf("sum %d, %d is %.9g, not %d\n", row, column, (double)y[i], sum), 1;
    }
    return 0;
}

/* So many groups of copies under way, of a group of warps. */
static int ahead(int commits, bool fine) {
    Arena *a = arena_new();
    const char *error, *wants = "kernel k, line 1: more than 4 groups of copies are under way";
    float y[TILE_GROUP];
    int wrong = 0;
    const char *text = arena_printf(a, "kernel k(y: f32[128] out) group { for i in 0..9 { commit wait 2 } for i in 2..%d { commit } wait 0 for r in 0..128 share { y[r] = 0 } }", commits);
    TileKernel *k = tile_parse(a, text, NULL, NULL, 0, &error);
    if (!k || !tile_verify(k, tile_target("cuda"), NULL, &error)) wrong = printf("%s\n", error) > 0;
    else if (tile_interp(k, (void *[]){y}, NULL, 0, -1, &error) != fine || (!fine && strcmp(error, wants))) wrong = printf("%d groups: %s\n", commits, error ? error : "nothing") > 0;
    arena_free(a);
    return wrong;
}

/* A kernel's text is what is printed of it, and it computes what it should. wide: of f32; even: halves are rounded to even. */
static int kernel(const char *source, int (*computes)(TileKernel *, bool, bool, bool), bool wide_a, bool wide_b, bool even) {
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
    wrong += computes(k, wide_a, wide_b, even);
    arena_free(a);
    return wrong;
}

int main(void) {
    int wrong = rules(RULES, sizeof RULES / sizeof *RULES, WARP) + rules(GROUP_RULES, sizeof GROUP_RULES / sizeof *GROUP_RULES, GROUP);
    wrong += kernel(HALVES, product, false, false, true) + kernel(NUMBERS, product, true, true, false);
    wrong += kernel(ROUNDED, product, true, false, true) + kernel(ROUNDED_BOTH, product, true, true, true);
    wrong += ahead(TILE_AHEAD, true) + ahead(TILE_AHEAD + 1, false);
    return wrong + kernel(GROUPS, group_product, false, false, false) != 0;
}
