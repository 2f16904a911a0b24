/* arm.c -- what compilers call on 32-bit ARM for 64-bit whole numbers, for artifacts without libgcc (Run-time ABI for the ARM
 * architecture, 4.2 and 4.1.2). Hidden, as memory.c is. */
#include "runtime/internal.h"

#ifdef __arm__
#define HELPER __attribute__((pcs("aapcs"))) /* helpers take floats in whole registers, whatever the others do */

__attribute__((used)) uint64_t rt_divide(uint64_t n, uint64_t d, uint64_t *rest);
__attribute__((used)) int64_t rt_divide_signed(int64_t n, int64_t d, int64_t *rest);
HELPER int64_t __aeabi_d2lz(double v);
HELPER uint64_t __aeabi_d2ulz(double v);
HELPER int64_t __aeabi_f2lz(float v);
HELPER uint64_t __aeabi_f2ulz(float v);
HELPER double __aeabi_ul2d(uint64_t v);
HELPER double __aeabi_l2d(int64_t v);
HELPER float __aeabi_ul2f(uint64_t v);
HELPER float __aeabi_l2f(int64_t v);
void __aeabi_memcpy(void *to, const void *from, size_t n);
void __aeabi_memmove(void *to, const void *from, size_t n);
void __aeabi_memset(void *to, size_t n, int byte);
void __aeabi_memclr(void *to, size_t n);

/* Shift and subtract, but for the usual case of 32 bits, which the processor divides. d = 0: 0, as the processor does. */
uint64_t rt_divide(uint64_t n, uint64_t d, uint64_t *rest) {
    uint64_t q = 0;
    if (!(n >> 32) && !(d >> 32)) {
        uint32_t a = (uint32_t)n, b = (uint32_t)d, c = b ? a / b : 0;
        *rest = a - c * b;
        return c;
    }
    if (d && n >= d) {
        int shift = __builtin_clzll(d) - __builtin_clzll(n);
        d <<= shift;
        for (; shift >= 0; shift--, d >>= 1) {
            q <<= 1;
            if (n < d) continue;
            n -= d;
            q |= 1;
        }
    }
    *rest = n;
    return q;
}

int64_t rt_divide_signed(int64_t n, int64_t d, int64_t *rest) {
    uint64_t r, q = rt_divide(n < 0 ? -(uint64_t)n : (uint64_t)n, d < 0 ? -(uint64_t)d : (uint64_t)d, &r);
    *rest = (int64_t)(n < 0 ? -r : r);
    return (int64_t)((n < 0) != (d < 0) ? -q : q);
}

/* The quotient in r0 and r1, the rest in r2 and r3: no C function returns that. */
#define DIVIDE(name, function) \
    __asm__(".pushsection .text." name ",\"ax\",%progbits\n" \
            ".hidden " name "\n.globl " name "\n.type " name ",%function\n.p2align 2\n" \
            name ":\n" \
            "push {r6, lr}\nsub sp, sp, #16\nadd r6, sp, #8\nstr r6, [sp]\n" \
            "bl " function "\n" \
            "ldr r2, [sp, #8]\nldr r3, [sp, #12]\nadd sp, sp, #16\npop {r6, pc}\n" \
            ".popsection\n")
#ifdef __thumb__
__asm__(".thumb\n.syntax unified\n");
#endif
DIVIDE("__aeabi_uldivmod", "rt_divide");
DIVIDE("__aeabi_ldivmod", "rt_divide_signed");

#if __ARM_FP & 8 /* else in double.c */
HELPER double __aeabi_ul2d(uint64_t v) { return (double)(uint32_t)(v >> 32) * 0x1p32 + (double)(uint32_t)v; }
HELPER double __aeabi_l2d(int64_t v) { return (double)(int32_t)(v >> 32) * 0x1p32 + (double)(uint32_t)v; }
#endif

/* Towards zero; what does not fit becomes the nearest number that does. */
HELPER uint64_t __aeabi_d2ulz(double v) {
    uint64_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    int exponent = (int)(bits >> 52 & 2047) - 1075;
    uint64_t mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    if (bits >> 63 || exponent < -52) return 0;
    if (exponent > 11) return exponent == 972 && mantissa != (uint64_t)1 << 52 ? 0 : UINT64_MAX;
    return exponent < 0 ? mantissa >> -exponent : mantissa << exponent;
}

HELPER int64_t __aeabi_d2lz(double v) {
    uint64_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    bool negative = bits >> 63;
    bits &= INT64_MAX;
    double positive;
    __builtin_memcpy(&positive, &bits, sizeof bits);
    uint64_t whole = __aeabi_d2ulz(positive);
    if (whole > INT64_MAX) return negative ? INT64_MIN : INT64_MAX;
    return negative ? -(int64_t)whole : (int64_t)whole;
}

HELPER uint64_t __aeabi_f2ulz(float v) { return __aeabi_d2ulz(v); }
HELPER int64_t __aeabi_f2lz(float v) { return __aeabi_d2lz(v); }

/* Rounded once: what a double would round away first is kept as a lowest bit that is set. */
HELPER float __aeabi_ul2f(uint64_t v) {
    int spare = v ? 40 - __builtin_clzll(v) : 0; /* bits beyond 24 */
    if (spare <= 0) return (float)(uint32_t)v;
    uint64_t top = v >> spare, rest = v & (((uint64_t)1 << spare) - 1), half = (uint64_t)1 << (spare - 1);
    if (rest > half || (rest == half && top & 1)) top++;
    float scale;
    uint32_t bits = (uint32_t)(127 + spare) << 23;
    __builtin_memcpy(&scale, &bits, sizeof scale);
    return (float)(uint32_t)top * scale;
}

HELPER float __aeabi_l2f(int64_t v) {
    float f = __aeabi_ul2f(v < 0 ? -(uint64_t)v : (uint64_t)v);
    return v < 0 ? -f : f;
}

/* Compilers promise an alignment by the names that end in 4 and 8. */
void __aeabi_memcpy(void *to, const void *from, size_t n) { memcpy(to, from, n); }
void __aeabi_memmove(void *to, const void *from, size_t n) { memmove(to, from, n); }
void __aeabi_memset(void *to, size_t n, int byte) { memset(to, byte, n); }
void __aeabi_memclr(void *to, size_t n) { memset(to, 0, n); }
#define SAME(name, as) extern __typeof(as) name __attribute__((alias(#as)));
SAME(__aeabi_memcpy4, __aeabi_memcpy) SAME(__aeabi_memcpy8, __aeabi_memcpy)
SAME(__aeabi_memmove4, __aeabi_memmove) SAME(__aeabi_memmove8, __aeabi_memmove)
SAME(__aeabi_memset4, __aeabi_memset) SAME(__aeabi_memset8, __aeabi_memset)
SAME(__aeabi_memclr4, __aeabi_memclr) SAME(__aeabi_memclr8, __aeabi_memclr)
#endif
