/* The verifier: for each rule a kernel that breaks it, with the exact message, and beside it the nearest kernel that does
 * not. */
#include "tests/tile/jit.h"

typedef struct Rule {
    const char *text, *message; /* message NULL: correct */
} Rule;

static const Rule RULES[] = {
    /* bounds */
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { y[i] = 0 } }", NULL},
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { y[i + 1] = 0 } }",
     "kernel k, line 1: index 0 of y may leave the buffer: i + 1"},
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { y[i - 1] = 0 } }",
     "kernel k, line 1: index 0 of y may leave the buffer: i - 1"},
    {"kernel k<n>(y: f32[-1..n + 1] out) { parallel i in 0..n { y[i - 1] = 0 } }", NULL},
    {"kernel k<n>(x: f32[n], y: f32[1] out) { y[0] = x[0] }", NULL},
    {"kernel k<n in 0..>(x: f32[n], y: f32[1] out) { y[0] = x[0] }", "kernel k, line 1: index 0 of x may leave the buffer: 0"},
    {"kernel k<n in 2..>(x: f32[n], y: f32[1] out) { y[0] = x[1] }", NULL},
    {"kernel k<n in 2..8>(x: f32[8], y: f32[1] out) { y[0] = x[n - 1] }", NULL},
    {"kernel k<n in 2..9>(x: f32[8], y: f32[1] out) { y[0] = x[n - 1] }",
     "kernel k, line 1: index 0 of x may leave the buffer: n - 1"},
    {"kernel k<n in 1..4>(x: f32[14], y: f32[1] out) { y[0] = x[n*n + n + 1] }",
     "kernel k, line 1: index 0 of x may leave the buffer: n * n + n + 1"},
    {"kernel k<n in 1..3>(x: f32[14], y: f32[1] out) { y[0] = x[n*n + n + 1] }", NULL},
    {"kernel k<n in 1..3>(x: f32[13], y: f32[1] out) { y[0] = x[n*n + n + 1] }",
     "kernel k, line 1: index 0 of x may leave the buffer: n * n + n + 1"},
    {"kernel k<n, m in 3..>(x: f32[n*m], y: f32[1] out) { y[0] = x[n*m - m + 2] }", NULL},
    {"kernel k<n, m in 2..>(x: f32[n*m], y: f32[1] out) { y[0] = x[n*m - m + 2] }",
     "kernel k, line 1: index 0 of x may leave the buffer: n * m - m + 2"},
    {"kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n { if i > 0 { y[i] = x[i - 1] } } }", NULL},
    {"kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n { if and(2 <= i, x[0] > 1) { y[i] = x[i - 2] } } }", NULL},
    {"kernel k(x: f32[961 * 48], y: f32[961] out) { parallel i in 0..961 by 512 masked { for k in 0..512 { if i + k < 961 { "
     "y[i + k] = x[48 * (i + k) + 47] } } } }",
     NULL},
    {"kernel k(x: f32[961 * 48], y: f32[961] out) { parallel i in 0..961 by 512 masked { for k in 0..512 { if i + k < 961 { "
     "y[i + k] = x[48 * (i + k) + 48] } } } }",
     "kernel k, line 1: index 0 of x may leave the buffer: 48 * (i + k) + 48"},
    {"kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n { if or(2 <= i, x[0] > 1) { y[i] = x[i - 2] } } }",
     "kernel k, line 1: index 0 of x may leave the buffer: i - 2"},
    {"kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n by 8 { y[i : 8] = x[i : 8] } }",
     "kernel k, line 1: a run-time number of iterations by 8: say rest or masked"},
    {"kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n by 8 masked { y[i : 8 < n] = x[i : 8] } }",
     "kernel k, line 1: index 0 of x may leave the buffer: i"},
    {"kernel k<n>(x: f32[n], y: f32[n] out) { parallel i in 0..n by 8 masked { y[i : 8 < n + 1] = x[i : 8 < n] } }",
     "kernel k, line 1: index 0 of y may leave the buffer: i"},
    {"kernel k(y: f32[784] out) { parallel p in 0..25 { for v in 0..32 by 16 { if v + 32*p < 784 { y[v + 32*p : 16] = 1 } } } "
     "}",
     NULL},
    {"kernel k(y: f32[780] out) { parallel p in 0..25 { for v in 0..32 by 16 { if v + 32*p < 780 { y[v + 32*p : 16] = 1 } } } "
     "}",
     "kernel k, line 1: index 0 of y may leave the buffer: v + 32 * p"},
    {"kernel k(y: f32[784] out) { parallel p in 0..25 { for v in 0..32 by 8 { if v + 32*p < 784 { y[v + 32*p : 16] = 1 } } } }",
     "kernel k, line 1: index 0 of y may leave the buffer: v + 32 * p"},
    /* rests */
    {"kernel k(y: f32[20] out) { parallel i in 0..20 by 8 { y[i : 8] = 0 } }",
     "kernel k, line 1: 20 iterations by 8 leave a rest: say rest or masked"},
    {"kernel k(y: f32[24] out) { parallel i in 0..24 by 8 { y[i : 8] = 0 } }", NULL},
    /* types */
    {"kernel k(x: f32[8], z: i32[8], y: f32[8] out) { y[0 : 8] = x[0 : 8] + z[0 : 8] }",
     "kernel k, line 1: f32x8 against i32x8 in +"},
    {"kernel k(x: f32[8], z: i32[8], y: f32[8] out) { y[0 : 8] = x[0 : 8] + f32(z[0 : 8]) }", NULL},
    {"kernel k(z: i32[8], y: f32[8] out) { y[0 : 8] = z[0 : 8] }", "kernel k, line 1: f32x8 of y stored from i32x8"},
    {"kernel k(x: f32[8], y: f32[8] out) { y[0 : 8] = x[0 : 4] }", "kernel k, line 1: f32x8 of y stored from f32x4"},
    {"kernel k(x: f32[8], y: f32[8] out) { y[0 : 4] = x[0 : 4] + hadd(x[0 : 8]) }", NULL},
    {"kernel k(x: f32[8], y: f32[8] out) { y[0 : 8] = x[0 : 8] + x[0 : 4] }", "kernel k, line 1: 8 lanes against 4 in +"},
    {"kernel k(z: i32[8], y: i32[8] out) { y[0 : 8] = z[0 : 8] + 0.5 }", "kernel k, line 1: a fraction against i32x8 in +"},
    {"kernel k(x: bf16[8], y: bf16[8] out) { y[0 : 8] = x[0 : 8] + x[0 : 8] }",
     "kernel k, line 1: + wants numbers (floats of 16 and 8 bits and bool need a cast), not bf16x8"},
    {"kernel k(z: i32[8], y: i32[8] out) { y[0 : 8] = exp(z[0 : 8]) }", "kernel k, line 1: exp wants f32 or f64, not i32x8"},
    {"kernel k(x: f32[8], y: f32[8] out) { y[0 : 8] = select(x[0 : 8], 1.0, 0) }",
     "kernel k, line 1: select wants a bool first, not f32x8"},
    {"kernel k(x: f32[8], y: f32[8] out) { if x[0] { y[0] = 1 } }", "kernel k, line 1: if wants a bool scalar"},
    {"kernel k(x: f32[8], y: f32[8] out) { reg t: f32x4[2] t[0] = x[0 : 8] y[0] = 0 }",
     "kernel k, line 1: f32x4 set from f32x8"},
    {"kernel k(x: f32[6], y: f32[1] out) { y[0] = hadd(x[0 : 6]) }",
     "kernel k, line 1: hadd wants numbers in a power of two of lanes, not f32x6"},
    {"kernel k(y: f32[128] out) { y[0 : 128] = 1 }", "kernel k, line 1: 128 lanes"},
    {"kernel k(x: f32[8], y: f32[1] out) { y[0] = hadds(x[0 : 8]) }", "kernel k, line 1: hadds wants a register tile"},
    {"kernel k(y: f32[4] out) { reg t: f32x4[3] y[0 : 4] = hadds(t) }", "kernel k, line 1: hadds wants a power of two of vectors, not 3"},
    {"kernel k(y: f32[4] out) { reg t: f32x4[2] y[0 : 4] = hadds(t) }", "kernel k, line 1: f32x4 of y stored from f32x2"},
    /* register tiles */
    {"kernel k(y: f32[8] out) { reg t: f32x8[2] y[0 : 8] = t[2] }",
     "kernel k, line 1: index 0 of the register tile t is 2, not in 0..2"},
    {"kernel k(y: f32[8] out) { reg t: f32x8[2] for i in 0..2 { y[0 : 8] = t[i] } }",
     "kernel k, line 1: not a compile-time integer: i"},
    {"kernel k(y: f32[8] out) { reg t: f32x8[2] y[0 : 8] = t }", "kernel k, line 1: t wants 1 indices"},
    {"kernel k(y: f32[8] out) { reg t: f32x8[4] transpose t y[0 : 8] = t[0] }",
     "kernel k, line 1: transpose of 4 vectors of 8 lanes"},
    {"kernel k<n>(x: f32[8], y: f32[n] out) { for i in 0..n { prefetch x[i] y[i] = 1 } }",
     "kernel k, line 1: index 0 of x may leave the buffer: i"},
    {"kernel k(y: f32[8] out) { reg t: f32x16[200] y[0] = hadd(t[0]) }",
     "kernel k: 200 vector registers wanted, x86-64-v4 has 32"},
    /* outputs */
    {"kernel k(x: f32[8], y: f32[8] out) { x[0] = 1 y[0] = 1 }", "kernel k, line 1: x is not an output"},
    /* disjoint */
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { y[0] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n>(y: f32[n, 8] out) { parallel i in 0..n { parallel j in 0..8 { y[i, j] = 1 } } }", NULL},
    {"kernel k<n>(y: f32[n, 8] out) { parallel i in 0..n { parallel j in 0..8 { y[i, 0] = 1 } } }",
     "kernel k: two iterations of the parallel loop j may touch the same place of y"},
    {"kernel k<n, m>(y: f32[n*m] out) { parallel i in 0..n { parallel j in 0..m { y[i*m + j] = 1 } } }", NULL},
    {"kernel k<n, m in 2..>(y: f32[n*m] out) { parallel i in 0..n { parallel j in 0..m - 1 { y[i*m + j] = 1 y[i*m + j + 1] = 1 "
     "} } }",
     "kernel k: two iterations of the parallel loop j may touch the same place of y"},
    {"kernel k<n>(y: f32[4*n] out) { parallel i in 0..n { y[4*i] = 1 y[4*i + 3] = 1 } }", NULL},
    {"kernel k<n>(y: f32[4*n + 1] out) { parallel i in 0..n { y[4*i] = 1 y[4*i + 4] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { y[n - 1 - i] = 1 } }", NULL},
    {"kernel k<n in 8..>(y: f32[n + 7] out) { parallel i in 0..n { y[i : 8] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n>(x: f32[n] inout) { parallel i in 0..n { x[i] = x[i] + 1 } }", NULL},
    {"kernel k<n>(x: f32[n] inout) { parallel i in 0..n { x[i] = x[0] + 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of x"},
    {"kernel k<n>(ids: i32[n], y: f32[n] out) { parallel i in 0..n { index e = ids[i] in 0..n y[e] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n, m>(y: f32[n, m, 2] out) { parallel i in 0..n*m { index a = i / m in 0..n index b = i % m in 0..m y[a, b, 0 : 2] = 1 } }", NULL},
    {"kernel k<n, m>(y: f32[n + 1, m] out) { parallel i in 0..n*m { index a = i / m in 0..n index b = i % m in 0..m y[a, b] = 1 y[a + 1, b] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n>(y: f32[n, 4] out) { parallel i in 0..8*n { index a = i / 8 in 0..n index b = i % 4 in 0..4 y[a, b] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n>(y: f32[n, 4] out) { parallel i in 0..4*n { index a = i / 4 in 0..n index b = i % 4 in 0..4 y[a, b] = 1 y[0, b] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n, m>(y: f32[n, m] out) { parallel i in 0..n*m { index e = (i + 1) % m in 0..m index a = i / m in 0..n index b = e % m in 0..m y[a, b] = 1 } }",
     "kernel k: two iterations of the parallel loop i may touch the same place of y"},
    {"kernel k<n>(y: f32[n, 4] stride(4, 1) out) { parallel i in 0..n { y[i, 0] = 1 } }", NULL},
    {"kernel k<n>(y: f32[n, 4] stride(3, 1) out) { parallel i in 0..n { y[i, 0] = 1 } }",
     "kernel k: elements of the output y may overlap"},
    {"kernel k<n>(y: f32[n, 4] stride(1, n) out) { parallel i in 0..n { y[i, 0] = 1 } }", NULL},
    /* the nest */
    {"kernel k<n>(y: f32[n] out) { let a = 1 parallel i in 0..n { y[i] = a } }",
     "kernel k, line 1: only const and index may stand beside a parallel loop"},
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { y[i] = 1 } parallel j in 0..n { y[j] = 1 } }",
     "kernel k, line 1: two parallel loops beside each other"},
    {"kernel k<n>(y: f32[n, n] out) { parallel i in 0..n { for z in 0..1 { parallel j in 0..n { y[i, j] = 1 } } } }",
     "kernel k, line 1: a parallel loop inside other statements"},
    {"kernel k<n>(y: f32[n, n] out) { parallel i in 0..n { parallel j in 0..i { y[i, j] = 1 } } }",
     "kernel k, line 1: the number of iterations of the parallel loop j is not made of sizes"},
    /* indices */
    {"kernel k<n>(y: f32[n] out) { parallel i in 0..n { index q = i / 2 in 0..n y[i] = f32(q) } }", NULL},
    {"kernel k(y: f32[10] out) { parallel i in 0..10 { index q = i / 2 in 0..4 y[i] = f32(q) } }",
     "kernel k, line 1: the index q may leave its range"},
    {"kernel k(y: f32[10] out) { parallel i in 0..10 { index q = i % 4 in 0..3 y[i] = f32(q) } }",
     "kernel k, line 1: the index q may leave its range"},
    {"kernel k(y: f32[10] out) { parallel i in 0..10 { index q = (i - 1) % 4 in 0..4 y[i] = f32(q) } }",
     "kernel k, line 1: the dividend of the index q may be negative"},
    {"kernel k<m in 0..>(y: f32[10] out) { parallel i in 0..10 { index q = i % m in 0..m y[i] = f32(q) } }",
     "kernel k, line 1: the divisor of the index q may be zero or negative"},
    {"kernel k(y: f32[10] out) { parallel i in 0..10 { index q = min(i + 3, 9) in 0..10 y[i] = f32(q) } }", NULL},
    {"kernel k(y: f32[10] out) { parallel i in 0..10 { index q = max(i, 3) in 0..9 y[i] = f32(q) } }",
     "kernel k, line 1: the index q may leave its range"},
    {"kernel k(y: f32[10] out) { parallel i in 0..10 { index q = i / 2 % 2 * 3 in 0..4 y[i] = 1 } }",
     "kernel k, line 1: the index q is a product of a quotient: nothing is known of it"},
    {"kernel k(x: f32[9], y: f32[10] out) { parallel i in 0..10 { index q = x[i - i] in 0..9 y[i] = 1 } }",
     "kernel k, line 1: the index q wants an integer scalar"},
    /* temporaries */
    {"kernel k<n>(y: f32[n] out) { buf t: f32[n] stack y[0] = 1 }", "kernel k, line 1: not a compile-time integer: n"},
    {"kernel k(y: f32[8] out) { buf t: f32[100, 200] stack y[0] = 1 }",
     "kernel k, line 1: 80000 bytes of stack buffers: at most 65536"},
    /* addresses */
    {"kernel k<n>(x: f32[n], y: f32[n] out) { y[0] = x[(n - 1) / 2] }",
     "kernel k, line 1: not a polynomial of loop symbols and sizes: (n - 1) / 2"},
    {"kernel k(y: f32[8] out) { y[9223372036854775807 * 2] = 1 }", "kernel k, line 1: an index does not fit 64 bits"},
};

int main(void) {
    int wrong = 0;
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        Arena *a = arena_new();
        const char *error;
        TileKernel *k = tile_parse(a, RULES[i].text, NULL, NULL, 0, &error);
        if (k && tile_verify(k, tile_target("x86-64-v4"), NULL, &error)) error = NULL;
        bool same = error && RULES[i].message ? strcmp(error, RULES[i].message) == 0 : !error && !RULES[i].message;
        if (!same) {
            printf("%s\n  says  %s\n  wants %s\n", RULES[i].text, error ? error : "nothing",
                   RULES[i].message ? RULES[i].message : "nothing");
            wrong++;
        }
        arena_free(a);
    }
    return wrong != 0;
}
