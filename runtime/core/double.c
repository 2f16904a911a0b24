/* double.c -- doubles by whole numbers, for ARM processors whose floats end at 32 bits, and artifacts without libgcc: IEEE 754,
 * rounded to nearest, ties to even (Run-time ABI for the ARM architecture, 4.1.2). Hidden, as memory.c is.
 *
 * A number is taken apart into a sign and mantissa * 2^exponent, with bit 63 of the mantissa set; `rounded` puts one together from a
 * mantissa of 64 bits whose lowest stands for all that lies below it. */
#include "runtime/internal.h"

#if defined __arm__ && !(__ARM_FP & 8)
#define HELPER __attribute__((pcs("aapcs"))) /* helpers take floats in whole registers, whatever the others do */

HELPER double __aeabi_dadd(double a, double b);
HELPER double __aeabi_dsub(double a, double b);
HELPER double __aeabi_dmul(double a, double b);
HELPER double __aeabi_ddiv(double a, double b);
HELPER int __aeabi_dcmpeq(double a, double b);
HELPER int __aeabi_dcmplt(double a, double b);
HELPER int __aeabi_dcmple(double a, double b);
HELPER int __aeabi_dcmpgt(double a, double b);
HELPER int __aeabi_dcmpge(double a, double b);
HELPER int __aeabi_dcmpun(double a, double b);
HELPER double __aeabi_i2d(int32_t v);
HELPER double __aeabi_ui2d(uint32_t v);
HELPER double __aeabi_l2d(int64_t v);
HELPER double __aeabi_ul2d(uint64_t v);
HELPER double __aeabi_f2d(float v);
HELPER float __aeabi_d2f(double v);
HELPER int32_t __aeabi_d2iz(double v);
HELPER uint32_t __aeabi_d2uiz(double v);
HELPER int64_t __aeabi_d2lz(double v);
double sqrt(double v);

#define SIGN ((uint64_t)1 << 63)
#define INFINITE ((uint64_t)2047 << 52)
#define NOT_A_NUMBER (INFINITE | (uint64_t)1 << 51)

static uint64_t bits_of(double v) {
    uint64_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits) {
    double v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
}

static bool is_nan(uint64_t v) { return (v & ~SIGN) > INFINITE; }

typedef struct Parts {
    uint64_t sign, mantissa; /* mantissa 0: zero */
    int exponent;
} Parts;

static Parts normal(uint64_t sign, uint64_t mantissa, int exponent) {
    int shift = mantissa ? __builtin_clzll(mantissa) : 0;
    return (Parts){sign, mantissa << shift, exponent - shift};
}

static Parts parts(uint64_t v) { /* finite */
    int exponent = (int)(v >> 52 & 2047);
    uint64_t mantissa = v & (((uint64_t)1 << 52) - 1);
    if (exponent) return normal(v & SIGN, mantissa | (uint64_t)1 << 52, exponent - 1075);
    return normal(v & SIGN, mantissa, -1074);
}

/* The mantissa's upper bits, `drop` fewer, rounded. */
static uint64_t dropped(uint64_t m, int drop) {
    if (drop > 64) return 0;
    uint64_t top = drop < 64 ? m >> drop : 0, rest = m - (drop < 64 ? top << drop : 0), half = (uint64_t)1 << (drop - 1);
    return top + (rest > half || (rest == half && top & 1));
}

/* A format of `width` bits behind the first one and exponents from 1 - bias: its bits, without the sign. */
static uint64_t encoded(Parts p, int width, int bias) {
    if (!p.mantissa) return 0;
    p = normal(p.sign, p.mantissa, p.exponent);
    int biased = p.exponent + 63 + bias, drop = 63 - width;
    if (biased > 2 * bias) return (uint64_t)(2 * bias + 1) << width;
    if (biased <= 0) return dropped(p.mantissa, drop + 1 - biased);
    return ((uint64_t)(biased - 1) << width) + dropped(p.mantissa, drop); /* the first bit adds 1 to the exponent */
}

static double rounded(uint64_t sign, uint64_t mantissa, int exponent) {
    return from_bits(sign | encoded((Parts){sign, mantissa, exponent}, 52, 1023));
}

HELPER double __aeabi_dadd(double a, double b) {
    uint64_t x = bits_of(a), y = bits_of(b);
    if (is_nan(x) || is_nan(y)) return from_bits(NOT_A_NUMBER);
    if ((x & ~SIGN) == INFINITE) return from_bits((y & ~SIGN) == INFINITE && x != y ? NOT_A_NUMBER : x);
    if ((y & ~SIGN) == INFINITE) return b;
    if (!(x << 1)) return y << 1 ? b : from_bits(x & y);
    if (!(y << 1)) return a;
    if ((x & ~SIGN) < (y & ~SIGN)) {
        uint64_t t = x;
        x = y;
        y = t;
    }
    Parts p = parts(x), q = parts(y);
    int apart = p.exponent - q.exponent;
    uint64_t m = p.mantissa >> 1, n = q.mantissa >> 1; /* their lowest 11 bits are zero */
    n = apart > 63 ? 1 : apart ? n >> apart | (n << (64 - apart) != 0) : n;
    m = p.sign == q.sign ? m + n : m - n;
    return m ? rounded(p.sign, m, p.exponent + 1) : from_bits(0);
}

HELPER double __aeabi_dsub(double a, double b) { return __aeabi_dadd(a, from_bits(bits_of(b) ^ SIGN)); }

HELPER double __aeabi_dmul(double a, double b) {
    uint64_t x = bits_of(a), y = bits_of(b), sign = (x ^ y) & SIGN;
    if (is_nan(x) || is_nan(y)) return from_bits(NOT_A_NUMBER);
    bool infinite = (x & ~SIGN) == INFINITE || (y & ~SIGN) == INFINITE, zero = !(x << 1) || !(y << 1);
    if (infinite) return from_bits(zero ? NOT_A_NUMBER : sign | INFINITE);
    if (zero) return from_bits(sign);
    Parts p = parts(x), q = parts(y);
    uint32_t p1 = (uint32_t)(p.mantissa >> 32), p0 = (uint32_t)p.mantissa, q1 = (uint32_t)(q.mantissa >> 32), q0 = (uint32_t)q.mantissa;
    uint64_t low = (uint64_t)p0 * q0, cross = (uint64_t)p1 * q0 + (low >> 32), other = (uint64_t)p0 * q1 + (uint32_t)cross;
    uint64_t high = (uint64_t)p1 * q1 + (cross >> 32) + (other >> 32);
    return rounded(sign, high | ((uint32_t)low || (uint32_t)other), p.exponent + q.exponent + 64);
}

HELPER double __aeabi_ddiv(double a, double b) {
    uint64_t x = bits_of(a), y = bits_of(b), sign = (x ^ y) & SIGN, quotient = 0;
    if (is_nan(x) || is_nan(y)) return from_bits(NOT_A_NUMBER);
    bool above = (x & ~SIGN) == INFINITE, below = (y & ~SIGN) == INFINITE, nothing = !(x << 1), by_nothing = !(y << 1);
    if ((above && below) || (nothing && by_nothing)) return from_bits(NOT_A_NUMBER);
    if (above || by_nothing) return from_bits(sign | INFINITE);
    if (below || nothing) return from_bits(sign);
    Parts p = parts(x), q = parts(y);
    uint64_t rest = p.mantissa >> 1, by = q.mantissa >> 1;
    for (int i = 0; i < 64; i++, rest <<= 1) {
        quotient <<= 1;
        if (rest < by) continue;
        rest -= by;
        quotient |= 1;
    }
    return rounded(sign, quotient | (rest != 0), p.exponent - q.exponent - 63);
}

/* -1, 0, 1; 2: one is no number */
static int order(double a, double b) {
    uint64_t x = bits_of(a), y = bits_of(b);
    if (is_nan(x) || is_nan(y)) return 2;
    if (!((x | y) << 1) || x == y) return 0;
    if ((x ^ y) & SIGN) return x & SIGN ? -1 : 1;
    return (x < y) != (x >> 63) ? -1 : 1;
}

HELPER int __aeabi_dcmpeq(double a, double b) { return order(a, b) == 0; }
HELPER int __aeabi_dcmplt(double a, double b) { return order(a, b) == -1; }
HELPER int __aeabi_dcmple(double a, double b) { return order(a, b) <= 0; }
HELPER int __aeabi_dcmpgt(double a, double b) { return order(a, b) == 1; }
HELPER int __aeabi_dcmpge(double a, double b) { return order(a, b) == 0 || order(a, b) == 1; }
HELPER int __aeabi_dcmpun(double a, double b) { return order(a, b) == 2; }

HELPER double __aeabi_ul2d(uint64_t v) { return rounded(0, v, 0); }
HELPER double __aeabi_l2d(int64_t v) { return v < 0 ? rounded(SIGN, -(uint64_t)v, 0) : rounded(0, (uint64_t)v, 0); }
HELPER double __aeabi_ui2d(uint32_t v) { return __aeabi_ul2d(v); }
HELPER double __aeabi_i2d(int32_t v) { return __aeabi_l2d(v); }

HELPER double __aeabi_f2d(float v) {
    uint32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    uint64_t sign = (uint64_t)(bits >> 31) << 63;
    int exponent = (int)(bits >> 23 & 255);
    uint32_t mantissa = bits & 0x7fffff;
    if (exponent == 255) return from_bits(mantissa ? NOT_A_NUMBER : sign | INFINITE);
    return rounded(sign, exponent ? mantissa | 0x800000 : mantissa, (exponent ? exponent : 1) - 150);
}

HELPER float __aeabi_d2f(double v) {
    uint64_t x = bits_of(v);
    uint32_t bits = (uint32_t)(x >> 63) << 31;
    if (is_nan(x)) bits = 0x7fc00000;
    else if ((x & ~SIGN) == INFINITE) bits |= 0x7f800000;
    else bits |= (uint32_t)encoded(parts(x), 23, 127);
    float f;
    __builtin_memcpy(&f, &bits, sizeof f);
    return f;
}

HELPER int32_t __aeabi_d2iz(double v) {
    int64_t whole = __aeabi_d2lz(v);
    return whole > INT32_MAX ? INT32_MAX : whole < INT32_MIN ? INT32_MIN : (int32_t)whole;
}

HELPER uint32_t __aeabi_d2uiz(double v) {
    int64_t whole = __aeabi_d2lz(v);
    return whole > UINT32_MAX ? UINT32_MAX : whole < 0 ? 0 : (uint32_t)whole;
}

/* Bit by bit: the root of mantissa * 2^56, where the exponent is even, has 60 bits; the rest says which way to round. */
double sqrt(double v) {
    uint64_t x = bits_of(v), root = 0, rest = 0;
    if (!(x << 1) || x == INFINITE) return v;
    if (is_nan(x) || x & SIGN) return from_bits(NOT_A_NUMBER);
    Parts p = parts(x);
    int odd = p.exponent & 1;
    uint64_t m = p.mantissa >> 1 >> (odd ? 0 : 1); /* with p.exponent + 1 or + 2, which are even */
    for (int i = 0; i < 60; i++) { /* two bits of m a step, 32 steps, then zeros */
        rest = rest << 2 | m >> 62;
        m <<= 2;
        root <<= 1;
        if (rest < 2 * root + 1) continue;
        rest -= 2 * root + 1;
        root |= 1;
    }
    return rounded(0, root << 1 | (rest != 0), (p.exponent + (odd ? 1 : 2)) / 2 - 28 - 1);
}
#endif
