/* processor.c -- what this processor can run: an artifact compiled for more is refused when it is opened, not by a signal later; of several
 * programs the best one that it runs is taken. Levels count up: what runs one runs those below. Linked where an artifact asks for it. */
#include "runtime/internal.h"

#if defined __x86_64__
#include <cpuid.h>

enum { FIRST = 2 }; /* what MDL_CPU may name */
static const char level_name[][16] = {"x86-64", "x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni", "x86-64-v4+bf16"};

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
#else
enum { FIRST = 0 };
#if defined __aarch64__
static const char level_name[][32] = {"aarch64-linux-gnu", "aarch64-linux-gnu+dotprod", "aarch64-linux-gnu+i8mm", "aarch64-linux-gnu+bf16"};

static int processor(void) {
    uint64_t more = rt_host_processor(1);
    if (!(rt_host_processor(0) >> 20 & 1)) return 0; /* HWCAP_ASIMDDP */
    if (!(more >> 13 & 1)) return 1;                 /* HWCAP2_I8MM */
    return more >> 14 & 1 ? 3 : 2;                   /* HWCAP2_BF16 */
}
#elif defined __riscv
static const char level_name[][32] = {"riscv64-linux-gnu", "riscv64-linux-gnu+v"};

static int processor(void) { return rt_host_processor(0) >> ('V' - 'A') & 1; }
#else
static const char level_name[][32] = {"any"};

static int processor(void) { return 0; }
#endif
#endif

enum { LAST = sizeof level_name / sizeof *level_name - 1 };

/* -1: MDL_CPU names no level. */
static int allowed(void) {
    const char *most = rt_host_cpu();
    for (int level = FIRST; most && level <= LAST; level++)
        if (rt_text_order(most, level_name[level]) == 0) return level;
    return most ? -1 : LAST;
}

/* The level that this processor and system run and MDL_CPU allows; -1: MDL_CPU is no level. */
static int level_here(void) {
    int here = processor(), most = allowed();
    return here < most ? here : most;
}

/* "x86-64-v2, x86-64-v3 or x86-64-v4" */
static void level_names(char *text, size_t size) {
    size_t n = 0;
    for (int level = FIRST; level <= LAST && n < size; level++)
        n += rt_text(text + n, size - n, level == FIRST ? "%s" : level < LAST ? ", %s" : " or %s", level_name[level]);
}

int rt_processor_check(const RtProgram *p) {
    const char *limit = rt_host_cpu(), *name = p->model->name;
    char names[160];
    int level = level_here();
    if (level >= p->cpu_level) return MDL_OK;
    level_names(names, sizeof names);
    if (level < 0) return rt_open_failed(MDL_TARGET, "MDL_CPU=%s: the environment's limit is %s", limit, names);
    if (limit)
        return rt_open_failed(MDL_TARGET, "%s was compiled for %s, and the limit here is %s (MDL_CPU=%s)", name, level_name[p->cpu_level], level_name[level],
                              limit);
    return rt_open_failed(MDL_TARGET, "%s was compiled for %s, and this processor runs %s at most%s", name, level_name[p->cpu_level], level_name[level],
                          FIRST > 0 && level >= FIRST ? "; compile with --target=x86-64" : "");
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
