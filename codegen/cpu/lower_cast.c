/* lower_cast.c -- conversions between element types: to integers truncated and saturated (NaN 0), to floats nearest even and
 * rounded once, without library calls: f16 goes through the machine's f32 <-> f16 instructions where it has them
 * (x86-64-v3), else through integer arithmetic, as the floats of 8 bits always do. */
#include "codegen/cpu/lower_impl.h"

#include <math.h>

static T with_lanes(T element, int n) {
    return n > 1 ? LLVMVectorType(element, (unsigned)n) : element;
}

/* f64 -> f32, inexact results made odd in the last place, so that rounding them again is like rounding once. */
static V to_f32_odd(Lower *L, V x) {
    int n = lower_lanes(x);
    V f = LLVMBuildFPTrunc(L->b, x, with_lanes(L->f32, n), ""), back = LLVMBuildFPExt(L->b, f, LLVMTypeOf(x), "");
    V i = l_bits(L, f, int_type_of(L, f));
    V even = l_icmp(L, LLVMIntEQ, l_and(L, i, lower_int(L, i, 1)), lower_int(L, i, 0));
    V inexact = l_fcmp(L, LLVMRealONE, back, x);
    V below = l_fcmp(L, LLVMRealOLT, lower_intrinsic1(L, "llvm.fabs", back), lower_intrinsic1(L, "llvm.fabs", x));
    V odd = l_add(L, i, l_select(L, below, lower_int(L, i, 1), lower_int(L, i, -1)));
    return l_bits(L, l_select(L, l_and(L, even, inexact), odd, i), LLVMTypeOf(f));
}

/* The instruction takes subnormal numbers for 0. */
static V bf16_by_instruction(Lower *L, V f) {
    int n = lower_lanes(f);
    const char *name = n == 16 ? "llvm.x86.avx512bf16.cvtneps2bf16.512" : "llvm.x86.avx512bf16.cvtneps2bf16.256";
    return l_bits(L, lower_intrinsic(L, name, NULL, 0, &f, 1), with_lanes(L->i16, n));
}

static V bf16_of(Lower *L, V f) {
    if (L->t->pairs && L->t->avx512 && (lower_lanes(f) == 16 || lower_lanes(f) == 8)) return bf16_by_instruction(L, f);
    V i = l_bits(L, f, int_type_of(L, f));
    V bias = l_add(L, l_and(L, l_lshr(L, i, lower_int(L, i, 16)), lower_int(L, i, 1)), lower_int(L, i, 0x7fff));
    V r = l_lshr(L, l_add(L, i, bias), lower_int(L, i, 16));
    V quiet = l_or(L, l_lshr(L, i, lower_int(L, i, 16)), lower_int(L, i, 0x40));
    r = l_select(L, l_fcmp(L, LLVMRealUNO, f, f), quiet, r);
    return LLVMBuildTrunc(L->b, r, with_lanes(L->i16, lower_lanes(f)), "");
}

/* Floats that integers convert: sign, exponent, mantissa, in the places that f32 has, but fewer. */
typedef struct Layout {
    int bits, mantissa, bias;
    int special; /* without the sign: codes from here on are infinite or NaN */
    int most;    /* what overflow becomes: the infinity, or the largest number .. */
    int infinity; /* .. and what an infinity does */
    int nan;
} Layout;

static const Layout layout[DT_COUNT] = {[DT_F16] = {16, 10, 15, 0x7c00, 0x7c00, 0x7c00, 0x7e00},
                                        [DT_F8E4M3] = {8, 3, 7, 0x7f, 0x7e, 0x7e, 0x7f},
                                        [DT_F8E5M2] = {8, 2, 15, 0x7c, 0x7b, 0x7c, 0x7e}};

/* Normal results: rebias and round to even in integers; subnormal ones: adding the number whose last place is their unit lets the
 * adder round. */
static V narrow_of(Lower *L, const Layout *y, V f) {
    T ft = LLVMTypeOf(f), it = int_type_of(L, f);
    int shift = 23 - y->mantissa;
    V i = l_bits(L, f, it), sign = l_and(L, i, lower_int(L, i, INT32_MIN)), a = l_xor(L, i, sign);
    V odd = l_and(L, l_lshr(L, a, lower_int(L, a, shift)), lower_int(L, a, 1));
    V below_half = lower_int(L, a, (1 << (shift - 1)) - 1 - ((127 - y->bias) << 23));
    V normal = l_lshr(L, l_add(L, l_add(L, a, below_half), odd), lower_int(L, a, shift));
    V unit = lower_float(L, f, ldexp(1, 23 + 1 - y->bias - y->mantissa));
    V small = l_sub(L, l_bits(L, l_fadd(L, l_bits(L, a, ft), unit), it), l_bits(L, unit, it));
    V most = lower_int(L, a, y->most), r = l_select(L, l_icmp(L, LLVMIntSGT, normal, most), most, normal);
    r = l_select(L, l_icmp(L, LLVMIntSLT, a, lower_int(L, a, (128 - y->bias) << 23)), small, r);
    V limit = lower_int(L, a, 0x7f800000);
    if (y->infinity != y->most) r = l_select(L, l_icmp(L, LLVMIntEQ, a, limit), lower_int(L, a, y->infinity), r);
    r = l_select(L, l_icmp(L, LLVMIntSGT, a, limit), lower_int(L, a, y->nan), r);
    r = l_or(L, r, l_lshr(L, sign, lower_int(L, a, 32 - y->bits)));
    return LLVMBuildTrunc(L->b, r, with_lanes(y->bits == 16 ? L->i16 : L->i8, lower_lanes(f)), "");
}

/* No number on the way is subnormal as an f32: vectors of armv7 take such for 0. */
static V narrow_value(Lower *L, const Layout *x, V bits) {
    int n = lower_lanes(bits), shift = 23 - x->mantissa, sign_bit = 1 << (x->bits - 1);
    T ft = with_lanes(L->f32, n), it = with_lanes(L->i32, n);
    V i = LLVMBuildZExt(L->b, bits, it, "");
    V sign = l_shl(L, l_and(L, i, lower_int(L, i, sign_bit)), lower_int(L, i, 32 - x->bits));
    V m = l_shl(L, l_and(L, i, lower_int(L, i, sign_bit - 1)), lower_int(L, i, shift));
    V normal = l_add(L, m, lower_int(L, m, (127 - x->bias) << 23));
    V least = lower_int(L, m, (128 - x->bias) << 23); /* the least normal number, of which the subnormal ones are units */
    V small = l_bits(L, l_fsub(L, l_bits(L, l_add(L, m, least), ft), l_bits(L, least, ft)), it);
    V special = l_icmp(L, LLVMIntSGE, m, lower_int(L, m, x->special << shift));
    V r = l_select(L, l_icmp(L, LLVMIntSLT, m, lower_int(L, m, 1 << 23)), small, normal);
    r = l_select(L, special, l_or(L, m, lower_int(L, m, 0x7f800000)), r);
    return l_bits(L, l_or(L, r, sign), ft);
}

static V f16_by_instruction(Lower *L, V f) {
    int n = lower_lanes(f);
    V h = LLVMBuildFPTrunc(L->b, f, with_lanes(LLVMHalfTypeInContext(L->c), n), "");
    return l_bits(L, h, with_lanes(L->i16, n));
}

static V f16_value_by_instruction(Lower *L, V bits) {
    int n = lower_lanes(bits);
    V half = l_bits(L, bits, with_lanes(LLVMHalfTypeInContext(L->c), n));
    return LLVMBuildFPExt(L->b, half, with_lanes(L->f32, n), "");
}

static V bf16_value(Lower *L, V bits) {
    int n = lower_lanes(bits);
    V i = LLVMBuildZExt(L->b, bits, with_lanes(L->i32, n), "");
    return l_bits(L, l_shl(L, i, lower_int(L, i, 16)), with_lanes(L->f32, n));
}

static V f32_of_narrow(Lower *L, V x, DType d) {
    if (d == DT_BF16) return bf16_value(L, x);
    return d == DT_F16 && L->t->half ? f16_value_by_instruction(L, x) : narrow_value(L, &layout[d], x);
}

static V narrow_of_f32(Lower *L, V x, DType d) {
    if (d == DT_BF16) return bf16_of(L, x);
    return d == DT_F16 && L->t->half ? f16_by_instruction(L, x) : narrow_of(L, &layout[d], x);
}

/* Integer of any type to i64 lanes is rarely wanted: saturate in the source type instead. */
static V int_to_int(Lower *L, V x, DType from, DType to) {
    int fb = dtype_bytes(from) * 8, tb = dtype_bytes(to) * 8, n = lower_lanes(x);
    bool fs = dtype_kind(from) == 'i', ts = dtype_kind(to) == 'i';
    T t = with_lanes(lower_element(L, to), n);
    LLVMIntPredicate above = fs ? LLVMIntSGT : LLVMIntUGT;
    int most_bits = tb - (ts ? 1 : 0), have_bits = fb - (fs ? 1 : 0);
    if (fs && !ts) x = l_select(L, l_icmp(L, LLVMIntSLT, x, lower_int(L, x, 0)), lower_int(L, x, 0), x);
    if (have_bits > most_bits) {
        V most = lower_int(L, x, (int64_t)(((uint64_t)1 << most_bits) - 1));
        x = l_select(L, l_icmp(L, above, x, most), most, x);
    }
    if (fs && ts && fb > tb) {
        V least = lower_int(L, x, -((int64_t)1 << (tb - 1)));
        x = l_select(L, l_icmp(L, LLVMIntSLT, x, least), least, x);
    }
    if (tb < fb) return LLVMBuildTrunc(L->b, x, t, "");
    if (tb == fb) return x;
    return fs && ts ? LLVMBuildSExt(L->b, x, t, "") : LLVMBuildZExt(L->b, x, t, "");
}

/* What x is the rounded value of, by math_round's instruction; NULL: x is something else. */
static V unrounded(V x) {
    V callee = LLVMIsACallInst(x) ? LLVMGetCalledValue(x) : NULL;
    return callee && LLVMGetIntrinsicID(callee) == LLVMLookupIntrinsicID("llvm.roundeven", 14) ? LLVMGetOperand(x, 0) : NULL;
}

/* To integers whose limits x can be: clamped as a float, converted to i32. LLVM's own saturation takes 8 and 16 bits, and f64, apart lane by
 * lane. What was rounded before is rounded by the conversion: the limits are whole numbers, so it does not matter which comes first. */
static V float_to_small(Lower *L, V x, DType to) {
    int bits = dtype_bytes(to) * 8, n = lower_lanes(x);
    bool is_signed = dtype_kind(to) == 'i';
    double least = is_signed ? -ldexp(1, bits - 1) : 0, most = ldexp(1, is_signed ? bits - 1 : bits) - 1;
    V low = lower_float(L, x, least), high = lower_float(L, x, most), zero = lower_float(L, x, 0);
    V nearest = bits < 32 && int_type_of(L, x) == with_lanes(L->i32, n) ? unrounded(x) : NULL;
    if (nearest) x = nearest;
    x = l_select(L, l_fcmp(L, LLVMRealUNO, x, x), zero, x);
    x = l_select(L, l_fcmp(L, LLVMRealOGT, low, x), low, x);
    x = l_select(L, l_fcmp(L, LLVMRealOLT, high, x), high, x);
    x = nearest ? math_nearest(L, x) : LLVMBuildFPToSI(L->b, x, with_lanes(L->i32, n), "");
    return bits == 32 ? x : LLVMBuildTrunc(L->b, x, with_lanes(lower_element(L, to), n), "");
}

static V float_to_int(Lower *L, V x, DType from, DType to) {
    if (dtype_bytes(to) <= 2 || (from == DT_F64 && to == DT_I32)) return float_to_small(L, x, to);
    T ov[2] = {with_lanes(lower_element(L, to), lower_lanes(x)), LLVMTypeOf(x)};
    return lower_intrinsic(L, dtype_kind(to) == 'i' ? "llvm.fptosi.sat" : "llvm.fptoui.sat", ov, 2, &x, 1);
}

V lower_cast(Lower *L, V x, TileType from, DType to) {
    int n = lower_lanes(x);
    if (from.d == to) return x;
    if (dtype_is_narrow(from.d)) {
        x = f32_of_narrow(L, x, from.d);
        from.d = DT_F32;
    }
    if (from.d == to) return x;
    bool from_float = dtype_is_float(from.d), to_float = dtype_is_float(to);
    if (to == DT_BOOL)
        return from_float ? l_fcmp(L, LLVMRealUNE, x, lower_float(L, x, 0)) : l_icmp(L, LLVMIntNE, x, lower_int(L, x, 0));
    if (from.d == DT_BOOL) {
        x = LLVMBuildZExt(L->b, x, with_lanes(L->i32, n), "");
        from.d = DT_I32;
        if (to == DT_I32 || to == DT_U32) return x;
    }
    if (!from_float && !to_float) return int_to_int(L, x, from.d, to);
    if (!to_float) return float_to_int(L, x, from.d, to);
    if (!from_float) {
        T t = with_lanes(to == DT_F64 ? L->f64 : L->f32, n);
        x = dtype_kind(from.d) == 'i' ? LLVMBuildSIToFP(L->b, x, t, "") : LLVMBuildUIToFP(L->b, x, t, "");
        from.d = to == DT_F64 ? DT_F64 : DT_F32;
    }
    if (to == DT_F64) return from.d == DT_F64 ? x : LLVMBuildFPExt(L->b, x, with_lanes(L->f64, n), "");
    if (to == DT_F32) return from.d == DT_F32 ? x : LLVMBuildFPTrunc(L->b, x, with_lanes(L->f32, n), "");
    if (from.d == DT_F64) x = to_f32_odd(L, x);
    return narrow_of_f32(L, x, to);
}
