/* lower_random.c -- Philox4x32-10 and what is made of its words, bit for bit as INTRINSICS.md, section 9, says: no
 * contraction (LLVM makes none that is not asked for), fma rounded once on every machine. */
#include "codegen/cpu/lower_impl.h"

static T vector(Lower *L, T element, int n) {
    (void)L;
    return LLVMVectorType(element, (unsigned)n);
}

V random_low(Lower *L, V wide, int n) {
    return LLVMBuildTrunc(L->b, wide, vector(L, L->i32, n), "");
}

static V low_half(Lower *L, V x) {
    return l_and(L, x, lower_int(L, x, 0xffffffff));
}

static V high_half(Lower *L, V x) {
    return l_lshr(L, x, lower_int(L, x, 32));
}

/* Ten rounds on n counters. The 32-bit words lie in 64-bit lanes, upper halves zero: a product is one instruction and its
 * halves a shift and a mask, with no narrowing in between. */
static void rounds(Lower *L, V c[4], const V key[2], int n) {
    V k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        V p0 = l_mul(L, c[0], lower_int(L, c[0], 0xD2511F53)), p1 = l_mul(L, c[2], lower_int(L, c[2], 0xCD9E8D57));
        V a = lower_splat(L, LLVMBuildZExt(L->b, k0, L->i64, ""), n),
          b = lower_splat(L, LLVMBuildZExt(L->b, k1, L->i64, ""), n);
        V next[4] = {l_xor(L, l_xor(L, high_half(L, p1), c[1]), a), low_half(L, p1),
                     l_xor(L, l_xor(L, high_half(L, p0), c[3]), b), low_half(L, p0)};
        for (int i = 0; i < 4; i++) c[i] = next[i];
        k0 = l_add(L, k0, lower_int(L, k0, 0x9E3779B9));
        k1 = l_add(L, k1, lower_int(L, k1, 0xBB67AE85));
    }
    for (int i = 0; i < 4; i++) c[i] = random_low(L, c[i], n);
}

static V iota64(Lower *L, int n) {
    V lane[TILE_LANES];
    for (int i = 0; i < n; i++) lane[i] = lower_i64(L, i);
    return LLVMConstVector(lane, (unsigned)n);
}

static V shuffle(Lower *L, V a, V b, const int *lanes, int n) {
    V at[2 * TILE_LANES];
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, lanes[i]);
    return LLVMBuildShuffleVector(L->b, a, b, LLVMConstVector(at, (unsigned)n), "");
}

/* a0 b0 a1 b1 .. */
static V interleave(Lower *L, V a, V b) {
    int n = lower_lanes(a), at[2 * TILE_LANES];
    for (int i = 0; i < n; i++) {
        at[2 * i] = i;
        at[2 * i + 1] = n + i;
    }
    return shuffle(L, a, b, at, 2 * n);
}

static void counters(Lower *L, V block, V step_lo, V step_hi, int n, V c[4]) {
    c[0] = low_half(L, block);
    c[1] = high_half(L, block);
    c[2] = lower_splat(L, LLVMBuildZExt(L->b, step_lo, L->i64, ""), n);
    c[3] = lower_splat(L, LLVMBuildZExt(L->b, step_hi, L->i64, ""), n);
}

/* Words of elements element .. element + n - 1. Aligned runs take each block once; else every lane computes its own block
 * and picks its word. */
V random_philox(Lower *L, V key[4], V element, bool by_four, int n) {
    V c[4];
    if (by_four && n % 4 == 0) {
        int m = n / 4, width = m < 2 ? 2 : m; /* two lanes at least, so that everything is a vector */
        V first = lower_splat(L, l_lshr(L, element, lower_i64(L, 2)), width);
        counters(L, l_add(L, first, iota64(L, width)), key[2], key[3], width, c);
        rounds(L, c, key, width);
        V words = interleave(L, interleave(L, c[0], c[2]),
                             interleave(L, c[1], c[3])); /* w0 w1 w2 w3 of block 0, then of block 1 .. */
        if (width == m) return words;
        int at[4] = {0, 1, 2, 3};
        return shuffle(L, words, words, at, 4);
    }
    int width = n < 2 ? 2 : n;
    V each = l_add(L, lower_splat(L, element, width), iota64(L, width));
    counters(L, l_lshr(L, each, lower_int(L, each, 2)), key[2], key[3], width, c);
    rounds(L, c, key, width);
    V word = random_low(L, l_and(L, each, lower_int(L, each, 3)), width);
    V r = c[0];
    for (int i = 1; i < 4; i++) r = l_select(L, l_icmp(L, LLVMIntEQ, word, lower_int(L, word, i)), c[i], r);
    return n < 2 ? l_extract(L, r, 0) : r;
}

V random_uniform(Lower *L, V word) {
    V bits = l_lshr(L, word, lower_int(L, word, 8)); /* 24 bits: exact as f32 */
    int n = lower_lanes(word);
    V f = LLVMBuildSIToFP(L->b, bits, n > 1 ? vector(L, L->f32, n) : L->f32, "");
    return l_fmul(L, f, lower_float(L, f, 0x1p-24));
}

static V horner9(Lower *L, const double c[9], V x) {
    V p = lower_float(L, x, c[0]);
    for (int i = 1; i < 9; i++) p = math_fma_exact(L, p, x, lower_float(L, x, c[i]));
    return p;
}

/* -log(v) for 0 < v <= 1, v normal. The constants are the f32 values of the definition. */
static V neg_log(Lower *L, V v) {
    static const double A[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f, 1.4249322787e-1f,
                                -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    T t = LLVMTypeOf(v);
    V i = l_bits(L, v, int_type_of(L, v));
    V e = l_sub(L, l_lshr(L, i, lower_int(L, i, 23)), lower_int(L, i, 126)); /* frexp: v = m * 2^e, m in 1/2 .. 1 */
    V m = l_bits(L, l_or(L, l_and(L, i, lower_int(L, i, 0x7fffff)), lower_int(L, i, 0x3f000000)), t);
    V small = l_fcmp(L, LLVMRealOLT, m, lower_float(L, m, 0.70710678f));
    m = l_select(L, small, l_fadd(L, m, m), m);
    e = l_select(L, small, l_sub(L, e, lower_int(L, e, 1)), e);
    V ef = LLVMBuildSIToFP(L->b, e, t, "");
    V f = l_fsub(L, m, lower_float(L, m, 1)), s = l_fmul(L, f, f), fs = l_fmul(L, f, s), y = l_fmul(L, horner9(L, A, f), fs);
    y = math_fma_exact(L, lower_float(L, v, -2.12194440e-4f), ef, y);
    y = math_fma_exact(L, lower_float(L, v, -0.5), s, y);
    V fy = l_fadd(L, f, y);
    return l_fneg(L, math_fma_exact(L, lower_float(L, v, 0.693359375), ef, fy));
}

V random_normal(Lower *L, V word) {
    static const double MID[9] = {2.81022636e-8f,  3.43273939e-7f,  -3.5233877e-6f, -4.39150654e-6f, 2.1858087e-4f,
                                  -1.25372503e-3f, -4.17768164e-3f, 2.46640727e-1f, 1.50140941f};
    static const double TAIL[9] = {-2.00214257e-4f, 1.00950558e-4f, 1.34934322e-3f, -3.67342844e-3f, 5.73950773e-3f,
                                   -7.6224613e-3f,  9.43887047e-3f, 1.00167406f,    2.83297682f};
    int n = lower_lanes(word);
    if (n == 1) return l_extract(L, random_normal(L, lower_splat(L, word, 4)), 0);
    V k = l_lshr(L, word, lower_int(L, word, 9));
    V i = l_sub(L, l_add(L, k, k), lower_int(L, k, (1 << 23) - 1));
    V x = LLVMBuildSIToFP(L->b, i, vector(L, L->f32, n), "");
    x = l_fmul(L, x, lower_float(L, x, 0x1p-23));
    V one = lower_float(L, x, 1), low = l_fsub(L, one, x), up = l_fadd(L, one, x);
    V w = neg_log(L, l_fmul(L, low, up));
    V mid = horner9(L, MID, l_fsub(L, w, lower_float(L, w, 2.5)));
    V tail = horner9(L, TAIL, l_fsub(L, lower_intrinsic1(L, "llvm.sqrt", w), lower_float(L, w, 3)));
    V p = l_select(L, l_fcmp(L, LLVMRealOLT, w, lower_float(L, w, 5)), mid, tail);
    return l_fmul(L, lower_float(L, x, 1.41421356f), l_fmul(L, p, x));
}
