/* processor.c -- what this processor can run: an artifact compiled for more is refused when it is opened, not by a signal later. Only
 * x86-64 has levels. */
#include "runtime/internal.h"

#ifndef __x86_64__
#ifdef __riscv
static int level_here(void) { return rt_host_processor() >> ('V' - 'A') & 1; } /* 1: it has the vector extension */
#else
static int level_here(void) { return 0; }
#endif

int rt_processor_check(const RtProgram *p) {
    if (level_here() >= p->cpu_level) return MDL_OK;
    return rt_open_failed(MDL_TARGET, "%s was compiled for %s, and this processor has no vector extension", p->model->name, p->model->target);
}

const RtProgram *rt_choose(const RtProgram *const *programs) { return *programs; }
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

static const char *level_name(int level) { /* of 0..6 */
    static const char name[][16] = {"x86-64", "x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni", "x86-64-v4+bf16"};
    return name[level];
}

/* -1: MDL_CPU names no level. */
static int allowed(void) {
    const char *most = rt_host_cpu();
    for (int level = 2; most && level < 6; level++)
        if (rt_text_order(most, level_name(level)) == 0) return level;
    return !most || rt_text_order(most, level_name(6)) == 0 ? 6 : -1;
}

/* 1..4, 5 with AVX512_VNNI, 6 with AVX512_BF16 too: the level that this processor and system run and MDL_CPU allows; -1: MDL_CPU is no level. */
static int level_here(void) {
    int here = processor(), most = allowed();
    return here < most ? here : most;
}

int rt_processor_check(const RtProgram *p) {
    const char *limit = rt_host_cpu(), *name = p->model->name;
    int level = level_here();
    if (level < 0) return rt_open_failed(MDL_TARGET, "MDL_CPU=%s: the environment's limit is x86-64-v2, x86-64-v3, x86-64-v4, x86-64-v4+vnni or x86-64-v4+bf16", limit);
    if (level >= p->cpu_level) return MDL_OK;
    if (limit)
        return rt_open_failed(MDL_TARGET, "%s was compiled for %s, and the limit here is %s (MDL_CPU=%s)", name, level_name(p->cpu_level), level_name(level),
                              limit);
    return rt_open_failed(MDL_TARGET, "%s was compiled for %s, and this processor runs %s at most%s", name, level_name(p->cpu_level), level_name(level),
                          level < 2 ? "" : "; compile with --target=x86-64");
}

const RtProgram *rt_choose(const RtProgram *const *programs) {
    for (const RtProgram *const *p = programs; *p; p++)
        if (rt_device(*p)) return *p; /* whether there is one shows when a session opens */
    return rt_choose_processor(programs);
}

const RtProgram *rt_choose_processor(const RtProgram *const *programs) {
    int level = level_here();
    const RtProgram *best = *programs;
    for (; *programs; programs++)
        if (!rt_device(*programs) && (*programs)->cpu_level <= level) best = *programs;
    return best;
}
#endif
