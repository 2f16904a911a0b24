/* Small kernels for one feature each: code against the interpreter, bit for bit, on all targets, optimised and not, with
 * several run-time sizes and with the parallel space in one piece and split. The names say what they are for. */
#include "tests/tile/jit.h"

typedef struct Case {
    const char *name, *text;
    int64_t sizes[4][3]; /* sets of run-time sizes, ended by a first size of -1 */
    int64_t room;        /* elements of every buffer: enough for all sizes */
    int top;             /* integers are filled with 0 .. top - 1 */
} Case;

#define NO_SIZES                                                                                                               \
    {                                                                                                                          \
        {0}, {                                                                                                                 \
            -1                                                                                                                 \
        }                                                                                                                      \
    }

static const Case CASES[] = {
    {"transposed view, lanes far apart",
     "kernel k<m in 1.., n in 1.., VL = 8>(x: f32[n, m] stride(1, n) offset(3), y: f32[n, m] out) {\n"
     "  parallel i in 0..n by VL masked { parallel j in 0..m { y[i : VL < n, j] = x[i : VL < n, j] * 2 } } }",
     {{5, 7}, {1, 8}, {9, 33}, {-1}},
     400,
     9},
    {"lanes along columns of a matrix, loaded and stored",
     "kernel k<VL = 4>(x: f32[16, 20], y: f32[20, 16] out) {\n"
     "  parallel j in 0..20 { parallel i in 0..16 by VL { y[j, i : VL] = x[i : VL, j] } } }",
     NO_SIZES, 320, 9},
    {"broadcast by stride 0",
     "kernel k<m, VL = 8>(x: f32[m, 16] stride(1, 0), z: f32[m, 16] stride(0, 1), y: f32[m, 16] out) {\n"
     "  parallel i in 0..m { for j in 0..16 by VL { y[i, j : VL] = x[i, j : VL] + z[i, j : VL] } } }",
     {{1}, {7}, {-1}},
     200,
     9},
    {"broadcast by stride 0 under a limit",
     "kernel k<m, n in 1.., VL = 8>(x: f32[m, n] stride(1, 0), y: f32[m, n] out) {\n"
     "  parallel i in 0..m { for j in 0..n by VL masked { y[i, j : VL < n] = x[i, j : VL < n else -1] } } }",
     {{3, 5}, {2, 16}, {1, 17}, {-1}},
     200,
     9},
    {"run-time length, masked tail",
     "kernel k<n in 0..>(x: f32[n], y: f32[n] out, s: f32) {\n"
     "  parallel i in 0..n by 32 masked { unroll u in 0..4 { y[i + 8*u : 8 < n] = x[i + 8*u : 8 < n] * s } } }",
     {{0}, {3}, {64}, {-1}},
     100,
     9},
    {"run-time length again",
     "kernel k<n in 0..>(x: i64[n], y: i64[n] out) { parallel i in 0..n by 4 masked { y[i : 4 < n] = x[i : 4 < n] - 1 } }",
     {{1}, {4}, {7}, {-1}},
     100,
     9},
    {"three parallel loops, two run-time rests",
     "kernel k<a, b, c in 2..9, R = 3, Q = 5>(x: f32[a, b, c], y: f32[a, b, c] out) {\n"
     "  const RR = R + 0\n"
     "  parallel i in 0..a by T = RR rest { parallel j in 0..b by S = Q rest { const TS = T * S parallel l in 0..c {\n"
     "    unroll p in 0..T { unroll q in 0..S { y[i + p, j + q, l] = x[i + p, j + q, l] + f32(p * 10 + q) } } } } } }",
     {{1, 1, 2}, {7, 13, 3}, {3, 5, 9}, {-1}},
     300,
     9},
    {"parallel loops of static rests",
     "kernel k(x: f32[7, 70], y: f32[7, 70] out) {\n"
     "  parallel i in 0..7 by T = 4 rest { parallel j in 0..70 by 16 masked { unroll p in 0..T { y[i + p, j : 16 < 70] = x[i + "
     "p, j : 16 < 70] * f32(T) } } } }",
     NO_SIZES, 490, 9},
    {"no parallel loop at all", "kernel k(x: f32[16], y: f32[1] out) { let v = x[0 : 16] y[0] = hadd(v) }", NO_SIZES, 16, 9},
    {"first largest and smallest of rows, with repetitions and NaN",
     "kernel k<m, n in 1..>(x: f32[m, n], y: i32[m, 2] out) {\n"
     "  parallel r in 0..m {\n"
     "    reg best: f32x8[1] = -inf   reg place: i32x8[1] = 2147483647\n"
     "    reg low: f32x8[1] = inf   reg where: i32x8[1] = 2147483647\n"
     "    for i in 0..n by 8 masked {\n"
     "      let v = x[r, i : 8 < n else -inf]   let at = i32(i) + iota(8)\n"
     "      let c = or(v > best[0], and(v != v, best[0] == best[0]))\n"
     "      place[0] = select(c, at, place[0])   best[0] = select(c, v, best[0])\n"
     "      let u = x[r, i : 8 < n else inf]   let d = or(u < low[0], and(u != u, low[0] == low[0]))\n"
     "      where[0] = select(d, at, where[0])   low[0] = select(d, u, low[0])\n"
     "    }\n"
     "    y[r, 0] = hargmax(best[0], place[0])   y[r, 1] = hargmin(low[0], where[0])\n"
     "  } }",
     {{5, 1}, {6, 8}, {4, 29}, {-1}},
     200,
     3},
    {"sums and extremes over lanes and tiles, floats",
     "kernel k(x: f32[5, 16], y: f32[6] out) {\n"
     "  reg t: f32x16[5]   unroll i in 0..5 { t[i] = x[i, 0 : 16] }\n"
     "  y[0] = hadd(tile_add(t))   y[1] = hmax(tile_max(t))   y[2] = hmin(tile_min(t))\n"
     "  y[3] = hadd(t[3])   y[4] = hmax(x[1, 0 : 4])   y[5] = hmin(x[2, 0 : 2]) }",
     NO_SIZES, 80, 9},
    {"sums and extremes over lanes and tiles, integers",
     "kernel k(x: i32[5, 16], z: u8[16], y: i32[4] out, w: u8[1] out) {\n"
     "  reg t: i32x16[5]   unroll i in 0..5 { t[i] = x[i, 0 : 16] * 1000000007 }\n"
     "  y[0] = hadd(tile_add(t))   y[1] = hmax(tile_max(t))   y[2] = hmin(tile_min(t))   y[3] = hargmax(t[2], iota(16))   w[0] "
     "= hmax(z[0 : 16]) }",
     NO_SIZES, 80, 200},
    {"sums of the lanes of each vector of a tile",
     "kernel k<n>(x: f32[n, 5, 16], w: f64[n, 8], z: i32[n, 8], y: f32[n, 25] out, v: f64[n, 4] out, u: i32[n, 6] out) {\n"
     "  parallel j in 0..n {\n"
     "    for q in 0..1 { reg t: f32x8[2, 2]   unroll i in 0..4 { t[i / 2, i % 2] = x[j, i, 8 : 8] }\n"
     "      y[j, 0 : 4] = hadds(t)   y[j, 4 : 2] = hadds(t[1])   y[j, 6] = hadds(t[1, 1]) }\n"
     "    for q in 0..1 { reg f: f32x4[8]   unroll i in 0..8 { f[i] = x[j, i / 2, 4*(i % 2) : 4] }   y[j, 7 : 8] = hadds(f) }\n"
     "    for q in 0..1 { reg c: f32x16[2]   unroll i in 0..2 { c[i] = x[j, i, 0 : 16] * 1.25 }   y[j, 15 : 2] = hadds(c) }\n"
     "    for q in 0..1 { reg s: f32[4]   unroll i in 0..4 { s[i] = x[j, i, i] * 0.5 }   y[j, 17 : 4] = hadds(s) }\n"
     "    for q in 0..1 { reg e: f32x2[4]   unroll i in 0..4 { e[i] = x[j, i, i : 2] }   y[j, 21 : 4] = hadds(e) }\n"
     "    for q in 0..1 { reg d: f64x4[4]   unroll i in 0..4 { d[i] = w[j, i : 4] }   v[j, 0 : 4] = hadds(d) }\n"
     "    for q in 0..1 { reg a: i32x4[4]   unroll i in 0..4 { a[i] = z[j, 0 : 4] * i32(i + 1) }   u[j, 0 : 4] = hadds(a) }\n"
     "    for q in 0..1 { reg b: i32x8[2]   unroll i in 0..2 { b[i] = z[j, 0 : 8] * i32(i + 1000000007) }   u[j, 4 : 2] = hadds(b) } } }",
     {{1}, {3}, {-1}},
     300,
     9},
    {"lanes a few elements apart, masked",
     "kernel k<n>(x: f32[n, 3], z: f32[n, 2, 4], y: f32[n, 3] out, u: f32[n, 2] out, v: f64[n, 2] out) {\n"
     "  parallel i in 0..n by 16 masked {\n"
     "    unroll k in 0..3 { y[i : 16 < n, k] = x[i : 16 < n else 2, 2 - k] + z[i : 16 < n, 1, k] }\n"
     "    u[i : 16 < n, 1] = hadd(x[i : 16 < n else 0.5, 1])\n"
     "    for k in 0..16 by 8 { if i + k < n { u[i + k : 8 < n, 0] = x[i + k : 8 < n, 1] * 2   v[i + k : 8 < n, 1] = f64(x[i + k : 8 < n, 0]) } } } }",
     {{1}, {15}, {50}, {-1}},
     500,
     9},
    {"lanes a few elements apart, all of them",
     "kernel k(x: f32[48, 3], w: i32[40, 4], v: f64[24, 2], y: f32[48, 3] out, u: f64[24, 2] out, s: i32[24, 3] out, t: f32[24] out) {\n"
     "  for k in 0..48 by 16 { unroll i in 0..3 { y[k : 16, i] = x[k : 16, 2 - i] * 3 } }\n"
     "  for k in 0..24 by 8 { unroll i in 0..2 { u[k : 8, i] = v[k : 8, 1 - i] }   t[k : 8] = x[k + 7 : 8, 1] }\n"
     "  for k in 0..24 by 4 { s[k : 4, 1] = w[k : 4, 3] + w[k + 8 : 4, 0] }\n"
     "  for k in 0..24 by 8 { s[k : 8, 0] = w[k + 8 : 8, 1]   s[k : 8, 2] = s[k : 8, 1] } }",
     NO_SIZES,
     160,
     9},
    {"rows picked by index, clamped and by contract; quotient and rest by a run-time size",
     "kernel k<t in 1.., h in 1..>(ids: i32[t], table: f32[6, 8], pos: f32[h, 8], y: f32[t, 8] out) {\n"
     "  parallel i in 0..t { index e = ids[i] in 0..6   index p = i % h in 0..h   index q = clamp(ids[i] - 3) in 0..3   index "
     "d = i / h in 0..t\n"
     "    y[i, 0 : 8] = table[e, 0 : 8] + pos[p, 0 : 8] * table[q, 0 : 8] + f32(d) } }",
     {{1, 1}, {9, 4}, {8, 20}, {-1}},
     200,
     6},
    {"in place",
     "kernel k<n>(x: f32[n] inout) { parallel i in 0..n by 8 masked { x[i : 8 < n] = x[i : 8 < n] * 3 - 1 } }",
     {{1}, {8}, {50}, {-1}},
     100,
     9},
    {"bool buffers, masked and not",
     "kernel k<n>(a: bool[n], b: bool[n], y: bool[n] out, z: f32[n] out) {\n"
     "  parallel i in 0..n by 8 masked { let c = and(a[i : 8 < n], not(b[i : 8 < n else 1]))   y[i : 8 < n] = c   z[i : 8 < n] "
     "= select(c, 1.0, -1) } }",
     {{1}, {8}, {50}, {-1}},
     100,
     9},
    {"packing into arena and stack, transposed in registers",
     "kernel k<n>(x: f32[n, 8], y: f32[n, 8] out) {\n"
     "  parallel i in 0..n by T = 8 rest {\n"
     "    buf s: f32[8, 8] arena   buf q: f32[8, 9] stack   buf u: f32[16] arena\n"
     "    prefetch x[i, 7]\n"
     "    unroll r in 0..8 { s[r, 0 : 8] = 0 }\n"
     "    unroll r in 0..T { s[r, 0 : 8] = x[i + r, 0 : 8] }\n"
     "    reg t: f32x8[8]   unroll r in 0..8 { t[r] = s[r, 0 : 8] }\n"
     "    transpose t\n"
     "    unroll r in 0..8 { q[r, 1 : 8] = t[r] }\n"
     "    u[0 : 8] = q[3, 1 : 8]\n"
     "    for r in 0..T { y[i + r, 0 : 8] = q[r, 1 : 8] + u[0 : 8] }\n"
     "  } }",
     {{1}, {8}, {21}, {-1}},
     200,
     9},
    {"scalars of every type",
     "kernel k(a: f32, b: f64, c: i64, d: u32, e: bool, f: f16, g: u8, y: f32[4] out) {\n"
     "  y[0] = a + f32(b) + f32(c)   y[1] = select(e, f32(d), f32(f))   y[2] = f32(g)   y[3] = -a }",
     NO_SIZES, 16, 9},
    {"register tiles changed in branches and loops",
     "kernel k<n, m in 0..>(x: f32[n, 8], y: f32[n, 8] out) {\n"
     "  parallel i in 0..n {\n"
     "    reg t: f32x8[2] = 1   let s = x[i, 0]\n"
     "    if s > 0 { t[0] = x[i, 0 : 8] if i < 3 { t[1] = t[0] * 2 } }\n"
     "    for j in 0..m { t[1] = t[1] + t[0] if j == 2 { t[0] = t[1] } }\n"
     "    for j in 1..n + 1 step 3 { t[0] = t[0] + f32(j) }\n"
     "    y[i, 0 : 8] = t[0] - t[1]\n"
     "  } }",
     {{1, 0}, {7, 1}, {9, 6}, {-1}},
     200,
     9},
    {"rests of a run-time loop by halving",
     "kernel k<n in 0..>(x: f32[n], y: f32[1] out) {\n"
     "  reg t: f32[1] = 0   for i in 0..n by T = 6 rest { unroll u in 0..T { t[0] = t[0] * 2 + x[i + u] } }\n"
     "  y[0] = t[0] }",
     {{0}, {5}, {23}, {-1}},
     100,
     9},
    {"a loop bounded by an index",
     "kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n { index last = i / 2 + 1 in 1..n + 1\n"
     "  reg t: f32 = 0   for j in 0..last { t = t + x[j] }   y[i] = t } }",
     {{1}, {2}, {9}, {-1}},
     100,
     9},
    {"an empty loop with a run-time bound",
     "kernel k<n, m in 0..>(x: f32[n], y: f32[n] out) { parallel i in 0..n {\n"
     "  reg t: f32[1] = 5   for j in 0..m by T = 4 rest { unroll u in 0..T { t[0] = t[0] + 1 } }   y[i] = t[0] + x[i] } }",
     {{2, 0}, {3, 3}, {1, 9}, {-1}},
     100,
     9},
    {"random words, aligned and not",
     "kernel k<n>(s: u32[4], y: u32[n, 16] out, z: u32[n, 16] out, w: u32[n] out, v: u32[n, 2] out, f: u32[n, 4] out) {\n"
     "  parallel i in 0..n {\n"
     "    y[i, 0 : 16] = philox(s[0], s[1], s[2], s[3], i*16, 16)\n"
     "    z[i, 0 : 16] = philox(s[0], s[1], s[2], s[3], i*n + 17179869181, 16)\n"
     "    w[i] = philox(s[0], s[1], 7, 9, i, 1)\n"
     "    v[i, 0 : 2] = philox(s[0], s[1], 7, 9, i, 2)\n"
     "    f[i, 0 : 4] = philox(s[0], s[1], 7, 9, 4*i, 4)\n"
     "  } }",
     {{1}, {5}, {12}, {-1}},
     200,
     200},
    {"random words of a masked and of a halved loop",
     "kernel k<n>(s: u32[4], y: u32[n] out, z: u32[n + 3] out) {\n"
     "  parallel i in 0..n by 16 masked { y[i : 16 < n] = philox(s[0], s[1], s[2], s[3], i, 16)\n"
     "    for j in i..i + 16 by 4 { z[j : 4 < n] = philox(s[3], s[2], 1, 2, j + 4, 4) } } }",
     {{1}, {16}, {45}, {-1}},
     200,
     200},
    {"random words of a run-time loop with rests",
     "kernel k<n>(s: u32[4], y: u32[n, 8] out) {\n"
     "  parallel i in 0..n by T = 12 rest { unroll u in 0..T { y[i + u, 0 : 8] = philox(s[0], s[1], s[2], s[3], i + 4*u, 8) } "
     "} }",
     {{1}, {11}, {24}, {-1}},
     200,
     200},
    {"sixteen-bit floats under a mask",
     "kernel k<n>(x: f16[n], z: bf16[n], y: bf16[n] out, w: f16[n] out) {\n"
     "  parallel i in 0..n by 8 masked { y[i : 8 < n] = bf16(f32(x[i : 8 < n else 1.5]) * 3)   w[i : 8 < n] = f16(f32(z[i : 8 "
     "< n]) / 3) } }",
     {{1}, {8}, {30}, {-1}},
     100,
     9},
    {"repeat, iota, splat",
     "kernel k<n>(x: f32[n, 4], y: f32[n, 16] out, z: i32[n, 8] out) {\n"
     "  parallel i in 0..n { y[i, 0 : 16] = repeat(x[i, 0 : 4], 4)   z[i, 0 : 8] = iota(8) * i32(i) + splat(i32(n), 8) } }",
     {{1}, {5}, {12}, {-1}},
     200,
     9},
    {"stretch",
     "kernel k<n>(x: f32[n, 4], y: f32[n, 16] out, u: u8[n, 8], v: u8[n, 16] out, z: f32[n, 4] out) {\n"
     "  parallel i in 0..n { y[i, 0 : 16] = stretch(x[i, 0 : 4], 4)   v[i, 0 : 16] = stretch(u[i, 0 : 8], 2)   z[i, 0 : 4] = stretch(x[i, 1], 4) } }",
     {{1}, {5}, {12}, {-1}},
     200,
     9},
    {"braid, of bytes in order and of others",
     "kernel k<n>(x: u8[n, 64], y: u8[n, 64] out, z: i8[n, 32], w: i8[n, 32] out, u: i32[n, 16], v: i32[n, 16] out, s: u8[n, 16] out) {\n"
     "  parallel i in 0..n { y[i, 0 : 64] = braid(x[i, 0 : 16], x[i, 16 : 16], x[i, 32 : 16], x[i, 48 : 16])\n"
     "    w[i, 0 : 32] = braid(z[i, 0 : 8], z[i, 8 : 8], z[i, 16 : 8], z[i, 24 : 8])   v[i, 0 : 16] = braid(u[i, 0 : 4], u[i, 4 : 4], u[i, 8 : 4], u[i, 12 : 4])\n"
     "    s[i, 0 : 16] = braid(x[i, 3 : 4], x[i, 7 : 4], x[i, 0 : 4], x[i, 4 : 4]) } }",
     {{1}, {5}, {12}, {-1}},
     800,
     9},
    {"an index range below zero",
     "kernel k<h in 1..>(x: f32[-1..h + 1, 8], y: f32[h, 8] out) {\n"
     "  parallel i in 0..h { y[i, 0 : 8] = x[i - 1, 0 : 8] + x[i + 1, 0 : 8] } }",
     {{1}, {5}, {12}, {-1}},
     200,
     9},
};

static uint64_t state = 3;

static void fill(const TileSym *s, char *p, int64_t n, int top) {
    for (int64_t i = 0; i < n; i++) {
        double x = top <= 3 ? (double)(next_random(&state) % 3) : random_between(&state, -4, 4);
        if (top <= 3 && next_random(&state) % 40 == 0) x = NAN;
        int64_t whole = (int64_t)(next_random(&state) % (uint64_t)top);
        float f = (float)x;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        switch (s->d) {
        case DT_F64: memcpy(p + 8 * i, &x, 8); break;
        case DT_F32: memcpy(p + 4 * i, &f, 4); break;
        case DT_BF16:
            bits >>= 16;
            memcpy(p + 2 * i, &bits, 2);
            break;
        case DT_F16:
            bits = 0x3c00 + (bits & 0x3ff);
            memcpy(p + 2 * i, &bits, 2);
            break;
        case DT_BOOL: p[i] = whole & 1; break;
        default: memcpy(p + i * dtype_bytes(s->d), &whole, (size_t)dtype_bytes(s->d)); break;
        }
    }
}

static void run_case(const Case *c, const TileTarget *t, bool optimize) {
    Jit j = jit_kernel(c->text, NULL, NULL, 0, t, optimize);
    int n = j.k->args.n;
    for (int set = 0; c->sizes[set][0] >= 0; set++) {
        const int64_t *sizes = c->sizes[set];
        void *args[12], *args2[12], *args3[12];
        for (int i = 0; i < n; i++) {
            size_t bytes = (size_t)(c->room * dtype_bytes(j.k->args.at[i]->d));
            args[i] = malloc(bytes);
            args2[i] = malloc(bytes);
            args3[i] = malloc(bytes);
            fill(j.k->args.at[i], args[i], c->room, c->top);
            memcpy(args2[i], args[i], bytes);
            memcpy(args3[i], args[i], bytes);
        }
        const char *error;
        int64_t count = j.count(sizes);
        if (count != tile_count(j.k, sizes)) die(c->name, "count");
        j.run(args, sizes, j.scratch, 0, count);
        for (int64_t p = count; p > 0; p--) j.run(args2, sizes, j.scratch, p - 1, p); /* one by one, backwards */
        if (!tile_interp(j.k, args3, sizes, 0, -1, &error)) die(c->name, error);
        for (int i = 0; i < n; i++) {
            int bytes = dtype_bytes(j.k->args.at[i]->d);
            for (int64_t at = 0; at < c->room; at++) {
                const char *got = (char *)args[i] + at * bytes, *split = (char *)args2[i] + at * bytes,
                           *wanted = (char *)args3[i] + at * bytes;
                if (memcmp(got, wanted, (size_t)bytes) == 0 && memcmp(split, wanted, (size_t)bytes) == 0) continue;
                double shown[3] = {0};
                for (int v = 0; v < 3 && bytes == 4; v++) {
                    float f;
                    int32_t whole;
                    const char *p = v == 0 ? got : v == 1 ? split : wanted;
                    memcpy(&f, p, 4);
                    memcpy(&whole, p, 4);
                    shown[v] = j.k->args.at[i]->d == DT_F32 ? f : whole;
                }
                printf("%s, %s%s, sizes %d %d %d: %s[%d] is %.9g, split %.9g, interpreter %.9g\n", c->name, t->name,
                       optimize ? "" : " -O0", (int)sizes[0], (int)sizes[1], (int)sizes[2], j.k->args.at[i]->name, (int)at,
                       shown[0], shown[1], shown[2]);
                exit(1);
            }
            free(args[i]);
            free(args2[i]);
            free(args3[i]);
        }
    }
    jit_free(&j);
}

int main(void) {
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (!host_runs(t)) continue;
        for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
            run_case(&CASES[i], t, true);
            run_case(&CASES[i], t, false);
        }
    }
    return 0;
}
