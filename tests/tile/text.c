/* The text form: print, parse, print gives the same bytes, for every statement and operation; the printed form of a kernel;
 * messages of the parser. */
#include "tests/tile/jit.h"

static const char EVERYTHING[] =
    "// a comment\n"
    "kernel all<b in 1..64, c in 0.., d, K = 3 * 4 - 2, VL = 8>(x: f32[b, -1..c + 1] stride(c + 2, 1) offset(1) alias, w: "
    "bf16[K*b] const, s: f32, on: bool, ids: i64[b],\n"
    "    y: f32[b, K, VL] out, z: f64[b, VL] inout) {\n"
    "  const TW = K / 4 % 3\n"
    "  parallel i in 0..b by R = 4 rest { parallel j in 0..K {\n"
    "    index e = clamp(ids[i]) in 0..b    index q = i / 3 in 0..b  // one more\n"
    "    reg t: f32xVL[2, 3] = 0.5  reg u: f32xVL\n"
    "    buf p: f32[R, -1..8] stack\n"
    "    buf g: u8[100] arena\n"
    "    for k in 0..c by 8 masked { let v = x[e, k : VL < c else -1e30] u = v t[1, 2] = fma(v, -t[0, 0], t[1, 2]) }\n"
    "    for k in 0..c by 2 rest { u = u + 1 }\n"
    "    for k in 1..c + 1 step 2 { u = max(u, f32(k)) }\n"
    "    unroll n in 0..2 { if and(i < 3, s != inf) { t[n, 0] = select(u <= nan, -u, hmax(tile_max(t[n])) - (u - (u + 1))) } "
    "}\n"
    "    transpose t prefetch x[e, 3] prefetch x[e, 2] second\n"
    "    y[i, j, 0 : VL] = u * (t[0, 0] + 2) / (3 - u) - 1.0 % 2.5\n"
    "  } }\n"
    "}\n";

static const char PRINTED[] = "kernel all<b in 1..64, c in 0.., d, K = 10, VL = 8>(x: f32[b, -1..c + 1] stride(c + 2, 1) "
                              "offset(1) alias, w: bf16[K * b] const, s: f32, on: bool, ids: i64[b], "
                              "y: f32[b, K, VL] out, z: f64[b, VL] inout) {\n"
                              "  const TW = K / 4 % 3\n"
                              "  parallel i in 0..b by R = 4 rest {\n"
                              "    parallel j in 0..K {\n"
                              "      index e = clamp(ids[i]) in 0..b\n"
                              "      index q = i / 3 in 0..b\n"
                              "      reg t: f32xVL[2, 3] = 0.5\n"
                              "      reg u: f32xVL\n"
                              "      buf p: f32[R, -1..8] stack\n"
                              "      buf g: u8[100] arena\n"
                              "      for k in 0..c by 8 masked {\n"
                              "        let v = x[e, k : VL < c else -1e+30]\n"
                              "        u = v\n"
                              "        t[1, 2] = fma(v, neg(t[0, 0]), t[1, 2])\n"
                              "      }\n"
                              "      for k in 0..c by 2 rest {\n"
                              "        u = u + 1\n"
                              "      }\n"
                              "      for k in 1..c + 1 step 2 {\n"
                              "        u = max(u, f32(k))\n"
                              "      }\n"
                              "      unroll n in 0..2 {\n"
                              "        if and(i < 3, s != inf) {\n"
                              "          t[n, 0] = select(u <= nan, neg(u), hmax(tile_max(t[n])) - (u - (u + 1)))\n"
                              "        }\n"
                              "      }\n"
                              "      transpose t\n"
                              "      prefetch x[e, 3]\n"
                              "      prefetch x[e, 2] second\n"
                              "      y[i, j, 0 : VL] = u * (t[0, 0] + 2) / (3 - u) - 1.0 % 2.5\n"
                              "    }\n"
                              "  }\n"
                              "}\n";

static char *printed(const TileKernel *k) {
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    tile_print(f, k);
    fclose(f);
    return text;
}

static void round_trip(const char *text, const char *wanted) {
    Arena *a = arena_new();
    char *first = printed(parse_or_die(a, text, NULL, NULL, 0)), *second = printed(parse_or_die(a, first, NULL, NULL, 0));
    if (wanted && strcmp(first, wanted) != 0) die("printed otherwise", first);
    if (strcmp(first, second) != 0) die("no round trip", second);
    free(first);
    free(second);
    arena_free(a);
}

/* Each operation with its number of arguments. */
static void every_operation(void) {
    for (int op = 0; op < TO_COUNT; op++) {
        char text[300], args[60] = "";
        const TileOpRow *row = &tile_op_row[op];
        for (int i = 0; i < row->args; i++) strcat(args, i ? ", x[0]" : "x[0]");
        if (op <= TO_NE)
            snprintf(text, sizeof text, "kernel k(x: f32[1], y: f32[1] out) {\n  y[0] = (x[0] %s 1) %s (x[0] %s 2)\n}\n",
                     row->name, row->name, row->name);
        else snprintf(text, sizeof text, "kernel k(x: f32[1], y: f32[1] out) {\n  y[0] = %s(%s)\n}\n", row->name, args);
        round_trip(text, NULL);
    }
}

static const struct {
    const char *text, *message;
} ERRORS[] = {
    {"", "line 1: no kernel at all, near \"\""},
    {"kernel k(x: f32[1])", "line 1: expected {, near \"\""},
    {"kernel k(x: f32[1]) {\n y[0] = 1 }", "line 2: unknown name y, near \"[0] = 1 }\""},
    {"kernel k(x: f33[1]) { }", "line 1: unknown type f33, near \"[1]) { }\""},
    {"kernel k(x: i4[1]) { }", "line 1: i4 is no element type of a kernel, near \"[1]) { }\""},
    {"kernel k(x: f32xQ[1]) { }", "line 1: unknown lane count Q, near \"[1]) { }\""},
    {"kernel k(x: f32[2, 2] out) { x[0] = 1 }", "line 1: x has 2 indices, near \" = 1 }\""},
    {"kernel k(x: f32[2] out) { x[0] = foo(1) }", "line 1: unknown operation foo, near \"(1) }\""},
    {"kernel k(x: f32[2] out) { x[0] = exp(1, 2) }", "line 1: expected ), near \", 2) }\""},
    {"kernel k(x: f32[2] out) { buf t: f32[2] heap }", "line 1: expected stack or arena, near \"heap }\""},
    {"kernel k(x: f32[2] out) { x[0 : 2 < 2 else x] = 1 }", "line 1: expected [, near \"] = 1 }\""},
    {"kernel k(x: f32[2] out) { x[0] = 99999999999999999999 }",
     "line 1: the number 99999999999999999999 does not fit 64 bits, near \"99999999999999999999\""},
    {"kernel k<n in 5..3>(x: f32[2] out) { x[0] = 1 }",
     "line 1: the range of n is empty or negative, near \">(x: f32[2] out) { x\""},
    {"kernel k<K = 1 / 0>(x: f32[2] out) { x[0] = 1 }", "line 1: division by zero, near \">(x: f32[2] out) { x\""},
    {"kernel k(x: f32[2] const out) { x[0] = 1 }", "line 1: x is const and an output, near \") { x[0] = 1 }\""},
};

static void messages(void) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
        Arena *a = arena_new();
        const char *error;
        if (tile_parse(a, ERRORS[i].text, NULL, NULL, 0, &error)) die(ERRORS[i].text, "was accepted");
        if (strcmp(error, ERRORS[i].message) != 0) die(ERRORS[i].text, error);
        arena_free(a);
    }
}

/* Kernels found by name, parameters and sizes replaced. */
static void binds(void) {
    static const char two[] = "kernel a(y: f32[1] out) { y[0] = 1 }\nkernel b<n, K = 4>(y: f32[n] out) {\n  y[K] = 1\n}\n";
    Arena *a = arena_new();
    TileBind bind[] = {{"K", 7}, {"n", 9}};
    char *text = printed(parse_or_die(a, two, "b", bind, 2));
    if (strcmp(text, "kernel b<n = 9, K = 7>(y: f32[n] out) {\n  y[K] = 1\n}\n") != 0) die("binds", text);
    free(text);
    arena_free(a);
}

int main(void) {
    round_trip(EVERYTHING, PRINTED);
    every_operation();
    messages();
    binds();
    return 0;
}
