/* lower_math.c -- math functions as vector IR, without a library: f32 within 4 ulp (erf 1e-6, sin and cos 1e-6 up to 1e5),
 * f64 within 4 ulp (INTRINSICS.md, section 1, "Rounding"). Each function is written once for both widths, with a table of
 * constants where they differ. Scalars are computed in a vector of four lanes (two for f64), so that the same code serves.
 *
 * exp, expm1: x = k*log 2 + r, a polynomial of r; k by adding 1.5 * 2^23, which leaves it in the low bits. Cephes for f32,
 * Taylor for f64. log: Cephes logf; for f64 the series of atanh. log1p: log(1 + x) plus the rounding error of 1 + x, over 1
 * + x. sin, cos: the quadrant and the rest in f64 (Cody and Waite), Cephes polynomials for f32, Taylor for f64. */
#include "codegen/cpu/lower_impl.h"

#include <string.h>

static V like(Lower *L, V x, double c) {
    return lower_float(L, x, c);
}
static V ilike(Lower *L, V x, int64_t c) {
    return lower_int(L, x, c);
}

/* x below most, but NaN stays NaN: one min instruction */
V keep_below(Lower *L, V x, double most) {
    return l_select(L, l_fcmp(L, LLVMRealOGT, x, like(L, x, most)), like(L, x, most), x);
}
V keep_above(Lower *L, V x, double least) {
    return l_select(L, l_fcmp(L, LLVMRealOLT, x, like(L, x, least)), like(L, x, least), x);
}

V math_fma(Lower *L, V a, V b, V c) {
    if (!L->t->fma || (L->t->no_doubles && lower_is_double(a))) return l_fadd(L, l_fmul(L, a, b), c);
    T t = LLVMTypeOf(a);
    V x[3] = {a, b, c};
    return lower_intrinsic(L, "llvm.fma", &t, 1, x, 3);
}

/* a*b + c in f32, rounded once, on a machine without fma. In f64 the product is exact and the sum is rounded to odd (the
 * error of the sum says in which direction it is inexact), after which rounding to f32 is correct (Boldo and Melquiond,
 * 2008). */
V math_fma_exact(Lower *L, V a, V b, V c) {
    if (L->t->fma) return math_fma(L, a, b, c);
    int n = lower_lanes(a);
    T wide = n > 1 ? LLVMVectorType(L->f64, (unsigned)n) : L->f64, bits = n > 1 ? LLVMVectorType(L->i64, (unsigned)n) : L->i64;
    V p = l_fmul(L, LLVMBuildFPExt(L->b, a, wide, ""), LLVMBuildFPExt(L->b, b, wide, "")),
      z = LLVMBuildFPExt(L->b, c, wide, "");
    V s = l_fadd(L, p, z), z2 = l_fsub(L, s, p);
    V error = l_fadd(L, l_fsub(L, p, l_fsub(L, s, z2)), l_fsub(L, z, z2)); /* two-sum */
    V i = l_bits(L, s, bits);
    V even = l_icmp(L, LLVMIntEQ, l_and(L, i, ilike(L, i, 1)), ilike(L, i, 0));
    V inexact = l_fcmp(L, LLVMRealONE, error, like(L, error, 0));
    V outward = l_icmp(L, LLVMIntSGE, l_xor(L, i, l_bits(L, error, bits)), ilike(L, i, 0)); /* error and sum have one sign */
    V odd = l_add(L, i, l_select(L, outward, ilike(L, i, 1), ilike(L, i, -1)));
    i = l_select(L, l_and(L, even, inexact), odd, i);
    return LLVMBuildFPTrunc(L->b, l_bits(L, i, wide), LLVMTypeOf(a), "");
}

/* c[0] x^(n-1) + ... + c[n-1] */
static V horner(Lower *L, V x, const double *c, int n) {
    V r = like(L, x, c[0]);
    for (int i = 1; i < n; i++) r = math_fma(L, r, x, like(L, x, c[i]));
    return r;
}

static V absolute(Lower *L, V x) {
    return lower_intrinsic1(L, "llvm.fabs", x);
}

static V with_sign_of(Lower *L, V x, V sign) {
    T t = LLVMTypeOf(x), it = int_type_of(L, x);
    V s = l_bits(L, sign, it), top = ilike(L, s, lower_is_double(x) ? INT64_MIN : INT32_MIN);
    return l_bits(L, l_or(L, l_bits(L, x, it), l_and(L, s, top)), t);
}

/* ------------------------------------------------------------------ whole numbers */

/* Adding and taking away 2^23 (2^52) leaves a whole number, rounded half to even; what is larger is whole already. */
V math_round(Lower *L, V x) {
    if (L->t->round) return lower_intrinsic1(L, "llvm.roundeven", x);
    V size = absolute(L, x), much = like(L, x, lower_is_double(x) ? 0x1p52 : 0x1p23);
    V whole = with_sign_of(L, l_fsub(L, l_fadd(L, size, much), much), x);
    return l_select(L, l_fcmp(L, LLVMRealOLT, size, much), whole, x);
}

V math_nearest(Lower *L, V x) {
    int n = lower_lanes(x);
    bool x86 = strncmp(L->t->name, "x86-64", 6) == 0;
    if (x86 && n == 16 && L->t->avx512) {
        V a[] = {x, LLVMGetPoison(int_type_of(L, x)), LLVMConstAllOnes(L->i16), lower_i32(L, 4)};
        return lower_intrinsic(L, "llvm.x86.avx512.mask.cvtps2dq.512", NULL, 0, a, 4);
    }
    if (x86 && n == 8 && L->t->fma) return lower_intrinsic(L, "llvm.x86.avx.cvt.ps2dq.256", NULL, 0, &x, 1);
    if (x86 && n == 4) return lower_intrinsic(L, "llvm.x86.sse2.cvtps2dq", NULL, 0, &x, 1);
    return LLVMBuildFPToSI(L->b, math_round(L, x), int_type_of(L, x), "");
}

V math_floor(Lower *L, V x) {
    if (L->t->round) return lower_intrinsic1(L, "llvm.floor", x);
    V r = math_round(L, x);
    return l_select(L, l_fcmp(L, LLVMRealOGT, r, x), l_fsub(L, r, like(L, x, 1)), r);
}

V math_ceil(Lower *L, V x) {
    if (L->t->round) return lower_intrinsic1(L, "llvm.ceil", x);
    V r = math_round(L, x);
    return l_select(L, l_fcmp(L, LLVMRealOLT, r, x), with_sign_of(L, l_fadd(L, r, like(L, x, 1)), x), r);
}

/* ------------------------------------------------------------------ exp and relatives */

typedef struct Reduced {
    V k;    /* whole number, as float */
    V bits; /* the same as integer */
    V p;    /* exp(r) - 1 */
} Reduced;

static Reduced reduce(Lower *L, V x) {
    static const double f32[] = {1.9875691500E-4, 1.3981999507E-3, 8.3334519073E-3,
                                 4.1665795894E-2, 1.6666665459E-1, 5.0000001201E-1};
    static const double f64[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                                 1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5};
    bool wide = lower_is_double(x);
    V magic = like(L, x, wide ? 6755399441055744.0 : 12582912.0); /* 1.5 * 2^52, 1.5 * 2^23 */
    V t = math_fma(L, x, like(L, x, 1.44269504088896340736), magic);
    T it = int_type_of(L, x);
    Reduced r;
    r.k = l_fsub(L, t, magic);
    r.bits = l_sub(L, l_bits(L, t, it), l_bits(L, magic, it));
    V rest = math_fma(L, r.k, like(L, x, wide ? -6.93147180369123816490e-01 : -0.693359375), x);
    rest = math_fma(L, r.k, like(L, x, wide ? -1.90821492927058770002e-10 : 2.12194440e-4), rest);
    V q = wide ? horner(L, rest, f64, 12) : horner(L, rest, f32, 6);
    r.p = math_fma(L, l_fmul(L, rest, rest), q, rest);
    return r;
}

/* 2^k for k in the normal range */
static V power_of_two(Lower *L, V like_this, V k) {
    bool wide = lower_is_double(like_this);
    V biased = l_add(L, k, ilike(L, k, wide ? 1023 : 127));
    return l_bits(L, l_shl(L, biased, ilike(L, k, wide ? 52 : 23)), LLVMTypeOf(like_this));
}

/* x * 2^k with overflow to inf and underflow to 0 */
static V scale(Lower *L, V x, const Reduced *r) {
    int n = lower_lanes(x);
    bool wide = lower_is_double(x);
    if (L->t->avx512 && n == (wide ? 8 : 16)) {
        T t = LLVMTypeOf(x), mask = wide ? L->i8 : L->i16;
        V a[5] = {x, r->k, LLVMGetPoison(t), LLVMConstAllOnes(mask), lower_i32(L, 4)};
        return lower_intrinsic(L, wide ? "llvm.x86.avx512.mask.scalef.pd.512" : "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0,
                               a, 5);
    }
    V half = l_ashr(L, r->bits, ilike(L, r->bits, 1));
    x = l_fmul(L, x, power_of_two(L, x, half));
    return l_fmul(L, x, power_of_two(L, x, l_sub(L, r->bits, half)));
}

/* In f32 a result below the least normal number is 0: Intel's processors take 200 cycles for a vector in which one comes about, and what is
 * masked out in front of a softmax is -inf. */
static V exponential(Lower *L, V x) {
    bool wide = lower_is_double(x);
    double least = wide ? -746 : -87.33654475;
    Reduced r = reduce(L, keep_above(L, keep_below(L, x, wide ? 710 : 89), least));
    V power = l_fadd(L, r.p, like(L, x, 1));
    if (!wide) power = l_select(L, l_fcmp(L, LLVMRealUGE, x, like(L, x, least)), power, like(L, x, 0));
    return scale(L, power, &r);
}

/* exp(x) - 1 for |x| < 20 (f64: 40); NaN stays */
static V expm1_small(Lower *L, const Reduced *r) {
    V s = power_of_two(L, r->p, r->bits);
    return math_fma(L, s, r->p, l_fsub(L, s, like(L, s, 1)));
}

static V exponential_minus_1(Lower *L, V x) {
    bool wide = lower_is_double(x);
    double far = wide ? 40 : 20;
    x = keep_above(L, keep_below(L, x, wide ? 710 : 89), -far);
    Reduced r = reduce(L, x);
    V large = scale(L, l_fadd(L, r.p, like(L, x, 1)), &r);
    return l_select(L, l_fcmp(L, LLVMRealOGT, x, like(L, x, far)), large, expm1_small(L, &r));
}

/* em / (em + 2) with em = exp(2|x|) - 1 */
static V hyperbolic_tangent(Lower *L, V x) {
    V a = keep_below(L, absolute(L, x), lower_is_double(x) ? 20 : 10);
    Reduced r = reduce(L, l_fadd(L, a, a));
    V em = expm1_small(L, &r);
    return with_sign_of(L, l_fdiv(L, em, l_fadd(L, em, like(L, x, 2))), x);
}

static V logistic(Lower *L, V x) {
    V one = like(L, x, 1);
    return l_fdiv(L, one, l_fadd(L, one, exponential(L, l_fneg(L, x))));
}

/* ------------------------------------------------------------------ log */

static V log_f32(Lower *L, V f, V e) {
    static const double c[] = {7.0376836292E-2,  -1.1514610310E-1, 1.1676998740E-1,  -1.2420140846E-1, 1.4249322787E-1,
                               -1.6668057665E-1, 2.0000714765E-1,  -2.4999993993E-1, 3.3333331174E-1};
    V s = l_fmul(L, f, f), y = l_fmul(L, l_fmul(L, horner(L, f, c, 9), f), s);
    y = math_fma(L, e, like(L, f, -2.12194440e-4), y);
    y = math_fma(L, s, like(L, f, -0.5), y);
    return math_fma(L, e, like(L, f, 0.693359375), l_fadd(L, f, y));
}

/* s = f / (2 + f): log(1 + f) = 2 atanh s = f - (f^2/2 - s (f^2/2 + R)), R = 2 s^2/3 + 2 s^4/5 + ... for |s| < 0.1716 */
static V log_f64(Lower *L, V f, V e) {
    double c[11];
    for (int i = 0; i < 11; i++) c[i] = 2.0 / (2 * (10 - i) + 3);
    V s = l_fdiv(L, f, l_fadd(L, f, like(L, f, 2))), z = l_fmul(L, s, s), r = l_fmul(L, z, horner(L, z, c, 11));
    V half = l_fmul(L, l_fmul(L, f, f), like(L, f, 0.5));
    V low = l_fadd(L, l_fmul(L, s, l_fadd(L, half, r)), l_fmul(L, e, like(L, f, 1.90821492927058770002e-10)));
    V inner = l_fsub(L, l_fsub(L, half, low), f);
    return l_fsub(L, l_fmul(L, e, like(L, f, 6.93147180369123816490e-01)), inner);
}

static V logarithm(Lower *L, V x) {
    bool wide = lower_is_double(x);
    T t = LLVMTypeOf(x), it = int_type_of(L, x);
    int place = wide ? 52 : 23;
    V tiny = l_fcmp(L, LLVMRealOLT, x, like(L, x, wide ? 0x1p-1022 : 0x1p-126));
    V y = l_select(L, tiny, l_fmul(L, x, like(L, x, wide ? 0x1p52 : 0x1p23)), x);
    V root = ilike(L, l_bits(L, y, it),
                   wide ? 0x3fe6a09e667f3bcd : 0x3f3504f3); /* sqrt(1/2): the mantissa lies in sqrt(1/2) .. sqrt(2) */
    V i = l_sub(L, l_bits(L, y, it), root);
    V k = l_ashr(L, i, ilike(L, i, place));
    V m = l_add(L, l_and(L, i, ilike(L, i, ((int64_t)1 << place) - 1)), root);
    V e = LLVMBuildSIToFP(L->b, k, t, "");
    e = l_select(L, tiny, l_fsub(L, e, like(L, x, place)), e);
    V f = l_fsub(L, l_bits(L, m, t), like(L, x, 1));
    V r = wide ? log_f64(L, f, e) : log_f32(L, f, e);
    V inf = like(L, x, __builtin_inf());
    V edge = l_select(L, l_fcmp(L, LLVMRealOEQ, x, like(L, x, 0)), l_fneg(L, inf), like(L, x, __builtin_nan("")));
    r = l_select(L, l_fcmp(L, LLVMRealOGT, x, like(L, x, 0)), r, edge);
    return l_select(L, l_fcmp(L, LLVMRealOEQ, x, inf), inf, r);
}

static V logarithm_1p(Lower *L, V x) {
    V one = like(L, x, 1), u = l_fadd(L, x, one), r = logarithm(L, u);
    V error = l_fdiv(L, l_fsub(L, x, l_fsub(L, u, one)), u);
    V edge = l_or(L, l_fcmp(L, LLVMRealOEQ, u, like(L, x, 0)), l_fcmp(L, LLVMRealOEQ, u, like(L, x, __builtin_inf())));
    return l_select(L, edge, r, l_fadd(L, r, error));
}

/* ------------------------------------------------------------------ sin, cos */

/* x = k*pi/2 + (high + low), |high| < 0.8; the quadrant k mod 4 as a float 0..3. All in f64. */
static void quadrants(Lower *L, V x, int turn, V *high, V *low, V *quadrant) {
    V k = math_round(L, l_fmul(L, x, like(L, x, 0.63661977236758134308)));
    V r = l_fsub(
        L, x, l_fmul(L, k, like(L, x, 1.57079632673412561417e+00))); /* 33 bits of pi/2: the product is exact for |k| < 2^20 */
    V w = l_fmul(L, k, like(L, x, 6.07710050630396597660e-11)), t = r; /* 33 bits more */
    r = l_fsub(L, t, w);
    w = l_fsub(L, l_fmul(L, k, like(L, x, 2.02226624879595063154e-21)), l_fsub(L, l_fsub(L, t, r), w));
    V h = l_fsub(L, r, w);
    *low = l_fsub(L, l_fsub(L, r, h), w);
    *high = keep_above(L, keep_below(L, h, 0.8), -0.8); /* beyond the range of the reduction: somewhere in -1..1 */
    V q = l_fadd(L, k, like(L, x, turn));
    V whole = math_floor(L, l_fmul(L, q, like(L, x, 0.25)));
    *quadrant = l_fsub(L, q, l_fmul(L, whole, like(L, x, 4)));
}

static V sine(Lower *L, V x, int turn) {
    static const double s32[] = {-1.9515295891E-4, 8.3321608736E-3, -1.6666654611E-1};
    static const double c32[] = {2.443315711809948E-5, -1.388731625493765E-3, 4.166664568298827E-2};
    static const double s64[] = {-1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0,
                                 1.0 / 362880.0,         -1.0 / 5040.0,      1.0 / 120.0};
    static const double c64[] = {1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0,
                                 1.0 / 40320.0,          -1.0 / 720.0,         1.0 / 24.0};
    bool wide = lower_is_double(x);
    int n = lower_lanes(x);
    T t = LLVMTypeOf(x);
    V high, low, quadrant, s, c;
    quadrants(L, wide ? x : LLVMBuildFPExt(L->b, x, LLVMVectorType(L->f64, (unsigned)n), ""), turn, &high, &low, &quadrant);
    if (wide) {
        V z = l_fmul(L, high, high), v = l_fmul(L, z, high), half = l_fmul(L, z, like(L, x, 0.5));
        V r = horner(L, z, s64, 6);
        V a = l_fsub(L, l_fmul(L, z, l_fsub(L, l_fmul(L, low, like(L, x, 0.5)), l_fmul(L, v, r))), low);
        s = l_fsub(L, high, l_fsub(L, a, l_fmul(L, v, like(L, x, -1.0 / 6))));
        V w = l_fsub(L, like(L, x, 1), half), q = l_fmul(L, l_fmul(L, z, z), horner(L, z, c64, 7));
        V rest = l_fadd(L, l_fsub(L, l_fsub(L, like(L, x, 1), w), half), l_fsub(L, q, l_fmul(L, high, low)));
        c = l_fadd(L, w, rest);
    } else {
        V h = LLVMBuildFPTrunc(L->b, high, t, ""), z = l_fmul(L, h, h);
        s = math_fma(L, l_fmul(L, z, h), horner(L, z, s32, 3), h);
        V q = l_fmul(L, l_fmul(L, z, z), horner(L, z, c32, 3));
        c = l_fadd(L, math_fma(L, z, like(L, z, -0.5), like(L, z, 1)), q);
        quadrant = LLVMBuildFPTrunc(L->b, quadrant, t, "");
    }
    V two = like(L, x, 2), upper = l_fcmp(L, LLVMRealOGE, quadrant, two);
    V odd = l_fcmp(L, LLVMRealOEQ, l_select(L, upper, l_fsub(L, quadrant, two), quadrant), like(L, x, 1));
    V r = l_select(L, odd, c, s);
    return l_select(L, upper, l_fneg(L, r), r);
}

/* ------------------------------------------------------------------ erf */

/* A rational function of x^2 on -4..4, absolute error 6e-7. */
static V erf_f32(Lower *L, V x) {
    static const double a[] = {-2.72614225801306e-10, 2.77068142495902e-08,  -2.10102402082508e-06, -5.69250639462346e-05,
                               -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02};
    static const double b[] = {-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
                               -1.42647390514189e-02};
    x = keep_above(L, keep_below(L, x, 4), -4);
    V y = l_fmul(L, x, x);
    return l_fdiv(L, l_fmul(L, x, horner(L, y, a, 7)), horner(L, y, b, 5));
}

/* To 1 the Taylor series. Beyond, 1 - exp(-x^2) Q(t) with t = (x - 2) / (x + 2) and Q = erfc(x) exp(x^2) as a Chebyshev fit
 * of degree 17 over 1 <= x <= 6 (error 4e-19); erfc is at most 0.16 there, so a few ulp of it do not show in erf. */
static V erf_f64(Lower *L, V x) {
    static const double far[] = {-4.215301054238320988e-7, -5.322696855655786338e-7, 1.178077521562558259e-6,
                                 3.789215643758463971e-6,  1.392621183618802935e-6,  -1.396807230177146069e-5,
                                 -2.757986467430578585e-5, 2.75254803612060667e-5,   1.743611654539226372e-4,
                                 4.355560219515472207e-5,  -9.819770265678889227e-4, -8.471432509203844009e-4,
                                 6.997461739200443767e-3,  3.732892404327763925e-3,  -7.897858101573212542e-2,
                                 2.416581942424664639e-1,  -4.271858474139583965e-1, 2.553956763105057438e-1};
    double near[20], factorial = 1;
    for (int n = 0; n < 20; n++) {
        if (n) factorial *= -n;
        near[19 - n] = 1.12837916709551257390 / (factorial * (2 * n + 1)); /* 2/sqrt(pi) (-1)^n / (n! (2n + 1)) */
    }
    V one = like(L, x, 1), two = like(L, x, 2), a = absolute(L, x);
    V low = keep_below(L, a, 1), series = l_fmul(L, low, horner(L, l_fmul(L, low, low), near, 20));
    V high = keep_above(L, keep_below(L, a, 6), 1), t = l_fdiv(L, l_fsub(L, high, two), l_fadd(L, high, two));
    V tail = l_fmul(L, exponential(L, l_fneg(L, l_fmul(L, high, high))), horner(L, t, far, 18));
    V r = l_select(L, l_fcmp(L, LLVMRealOGT, a, one), l_fsub(L, one, tail), series);
    return with_sign_of(L, r, x);
}

static V error_function(Lower *L, V x) {
    return lower_is_double(x) ? erf_f64(L, x) : erf_f32(L, x);
}

static V gelu(Lower *L, V x) {
    V h = l_fmul(L, x, like(L, x, 0.5));
    return math_fma(L, h, error_function(L, l_fmul(L, x, like(L, x, 0.70710678118654752))), h);
}

/* ------------------------------------------------------------------ pow, atan2 */

static V power(Lower *L, V a, V b) {
    V one = like(L, a, 1), zero = like(L, a, 0), inf = like(L, a, __builtin_inf());
    V size = absolute(L, a), r = exponential(L, l_fmul(L, b, logarithm(L, size)));
    V whole = l_fcmp(L, LLVMRealOEQ, math_floor(L, b), b);
    V half = l_fmul(L, b, like(L, b, 0.5));
    V odd = l_and(L, whole, l_fcmp(L, LLVMRealUNE, math_floor(L, half), half));
    T it = int_type_of(L, a);
    V ia = l_bits(L, a, it), negative = l_icmp(L, LLVMIntSLT, ia, ilike(L, ia, 0));
    r = l_select(L, l_and(L, negative, odd), l_fneg(L, r), r);
    V undefined = l_and(L, l_fcmp(L, LLVMRealOLT, a, zero), l_fcmp(L, LLVMRealONE, math_floor(L, b), b));
    undefined = l_and(L, undefined, l_fcmp(L, LLVMRealONE, size, inf)); /* (-inf)**0.5 is inf, as in C */
    r = l_select(L, undefined, like(L, a, __builtin_nan("")), r);
    V flat = l_or(L, l_fcmp(L, LLVMRealOEQ, b, zero), l_fcmp(L, LLVMRealOEQ, a, one));
    flat = l_or(L, flat, l_and(L, l_fcmp(L, LLVMRealOEQ, size, one), l_fcmp(L, LLVMRealOEQ, absolute(L, b), inf)));
    return l_select(L, flat, one, r);
}

/* Cephes atanf on the smaller over the larger; absolute error below 1e-6. */
static V arc_tangent_2(Lower *L, V y, V x) {
    static const double c[] = {8.05374449538e-2, -1.38776856032E-1, 1.99777106478E-1, -3.33329491539E-1};
    V ax = absolute(L, x), ay = absolute(L, y), steep = l_fcmp(L, LLVMRealOGT, ay, ax);
    V large = l_select(L, steep, ay, ax), small = l_select(L, steep, ax, ay);
    V ratio = l_fdiv(L, small, large), one = like(L, x, 1);
    ratio = l_select(L, l_fcmp(L, LLVMRealOEQ, large, like(L, x, 0)), like(L, x, 0), ratio);
    ratio = l_select(L, l_fcmp(L, LLVMRealOEQ, small, like(L, x, __builtin_inf())), one, ratio);
    V far = l_fcmp(L, LLVMRealOGT, ratio, like(L, x, 0.41421356237309505)); /* tan(pi/8) */
    V t = l_select(L, far, l_fdiv(L, l_fsub(L, ratio, one), l_fadd(L, ratio, one)), ratio);
    V z = l_fmul(L, t, t), r = math_fma(L, l_fmul(L, horner(L, z, c, 4), z), t, t);
    r = l_fadd(L, r, l_select(L, far, like(L, x, 0.78539816339744831), like(L, x, 0)));
    r = l_select(L, steep, l_fsub(L, like(L, x, 1.57079632679489662), r), r);
    V ix = l_bits(L, x, int_type_of(L, x)), left = l_icmp(L, LLVMIntSLT, ix, ilike(L, ix, 0));
    r = l_select(L, left, l_fsub(L, like(L, x, 3.14159265358979324), r), r);
    r = with_sign_of(L, r, y);
    V nan = l_fcmp(L, LLVMRealUNO, x, y);
    return l_select(L, nan, l_fadd(L, x, y), r);
}

/* ------------------------------------------------------------------ entry points */

static V vector_op(Lower *L, TileOp op, V x) {
    switch (op) {
    case TO_EXP: return exponential(L, x);
    case TO_EXPM1: return exponential_minus_1(L, x);
    case TO_LOG: return logarithm(L, x);
    case TO_LOG1P: return logarithm_1p(L, x);
    case TO_SIN: return sine(L, x, 0);
    case TO_COS: return sine(L, x, 1);
    case TO_TANH: return hyperbolic_tangent(L, x);
    case TO_ERF: return error_function(L, x);
    case TO_SIGMOID: return logistic(L, x);
    case TO_GELU: return gelu(L, x);
    default: walk_fail(&L->w, "no lowering of %s", tile_op_row[op].name);
    }
}

static int scalar_width(V x) {
    return lower_is_double(x) ? 2 : 4;
}

V math_op(Lower *L, TileOp op, V x) {
    switch (op) {
    case TO_FLOOR: return math_floor(L, x);
    case TO_CEIL: return math_ceil(L, x);
    case TO_ROUND: return math_round(L, x);
    case TO_SQRT: return lower_intrinsic1(L, "llvm.sqrt", x);
    case TO_RSQRT: return l_fdiv(L, like(L, x, 1), lower_intrinsic1(L, "llvm.sqrt", x));
    default: break;
    }
    if (lower_lanes(x) > 1) return vector_op(L, op, x);
    return l_extract(L, vector_op(L, op, lower_splat(L, x, scalar_width(x))), 0);
}

V math_pow(Lower *L, V a, V b) {
    if (lower_lanes(a) > 1) return power(L, a, b);
    int n = scalar_width(a);
    return l_extract(L, power(L, lower_splat(L, a, n), lower_splat(L, b, n)), 0);
}

V math_atan2(Lower *L, V y, V x) {
    if (lower_lanes(y) > 1) return arc_tangent_2(L, y, x);
    int n = scalar_width(y);
    return l_extract(L, arc_tangent_2(L, lower_splat(L, y, n), lower_splat(L, x, n)), 0);
}
