/* processor.c -- what this processor can run: an artifact compiled for more is refused when it is opened, not by a signal later. */
#include "runtime/internal.h"

#if defined __riscv
static int processor(void) { return rt_host_processor() >> ('V' - 'A') & 1; } /* 1: it has the vector extension */
#elif !defined __x86_64__
static int processor(void) { return 0; }
#else
#include <cpuid.h>

/* The micro-architecture levels of the x86-64 psABI; AVX state must be enabled by the system too (XCR0). */
static int processor(void) {
    unsigned a, b, c, d, b7, c7, d7, xcr = 0, high = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
    const unsigned v2 = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23; /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT */
    if ((c & v2) != v2) return 1;
    const unsigned v3 = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA MOVBE OSXSAVE AVX F16C */
    if ((c & v3) != v3) return 2;
    __asm__ volatile("xgetbv" : "=a"(xcr), "=d"(high) : "c"(0));
    if ((xcr & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 2;
    const unsigned v3b = 1u << 3 | 1u << 5 | 1u << 8; /* BMI1 AVX2 BMI2 */
    if ((b7 & v3b) != v3b) return 2;
    const unsigned v4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* AVX512 F DQ CD BW VL */
    if ((xcr & 0xe6) != 0xe6 || (b7 & v4) != v4) return 3;
    if (!(c7 & 1u << 11)) return 4; /* AVX512_VNNI */
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1u << 5 ? 6 : 5; /* AVX512_BF16 */
}
#endif

const char *rt_cpu_name(int level) {
    static const char name[][16] = {"x86-64", "x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni", "x86-64-v4+bf16"};
    return name[level];
}

/* -1: MDL_CPU names no level. */
static int allowed(void) {
    const char *most = rt_host_cpu();
    for (int level = 2; most && level < 6; level++)
        if (rt_text_order(most, rt_cpu_name(level)) == 0) return level;
    return !most || rt_text_order(most, rt_cpu_name(6)) == 0 ? 6 : -1;
}

int rt_cpu_level(void) {
    int here = processor(), most = here ? allowed() : 0;
    return here < most ? here : most;
}

#ifdef __riscv
const char *rt_cpu_lacks(int level) {
    return processor() < level ? "vector extension" : NULL;
}
#endif

const RtProgram *rt_choose(const RtProgram *const *programs) {
    int level = rt_cpu_level();
    const RtProgram *best = *programs;
    for (; *programs; programs++)
        if ((*programs)->cpu_level <= level) best = *programs;
    return best;
}
