/* target.c -- the list of targets. A new one is a row here, a row of tile_targets, and a line of RUNTIME_TARGETS in the
 * Makefile. */
#include "codegen/target.h"

#include "ir/diag.h"

#include <elf.h>
#include <string.h>

static const Platform x86_64 = {.name = "x86-64",
                                .back_end = "X86",
                                .triple = "x86_64-unknown-linux-gnu",
                                .cpu = "x86-64",
                                .features = "",
                                .runtime = "x86-64",
                                .elf_machine = EM_X86_64,
                                .wide = true};
static const Platform aarch64 = {.name = "aarch64-linux-gnu",
                                 .back_end = "AArch64",
                                 .triple = "aarch64-unknown-linux-gnu",
                                 .cpu = "generic",
                                 .features = "",
                                 .runtime = "aarch64",
                                 .elf_machine = EM_AARCH64,
                                 .wide = true};

static const Platform riscv64 = {.name = "riscv64-linux-gnu",
                                 .back_end = "RISCV",
                                 .triple = "riscv64-unknown-linux-gnu",
                                 .cpu = "generic-rv64",
                                 .features = "+m,+a,+f,+d,+c",
                                 .runtime = "riscv64",
                                 .elf_machine = EM_RISCV,
                                 .wide = true,
                                 .elf_flags = EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE};

static const Platform armv7 = {.name = "armv7-linux-gnueabihf",
                               .back_end = "ARM",
                               .triple = "armv7-unknown-linux-gnueabihf",
                               .cpu = "cortex-a7", /* and newer: NEON with fused products */
                               .features = "",
                               .runtime = "armv7",
                               .elf_machine = EM_ARM,
                               .elf_flags = EF_ARM_EABI_VER5};

static const Platform thumbv7em = {.name = "thumbv7em-none-eabihf",
                                   .back_end = "ARM",
                                   .triple = "thumbv7em-none-unknown-eabihf",
                                   .cpu = "cortex-m4",
                                   .features = "",
                                   .runtime = "thumbv7em",
                                   .elf_machine = EM_ARM,
                                   .elf_flags = EF_ARM_EABI_VER5,
                                   .bare = true};

static const Platform wasm32 = {.name = "wasm32",
                                .back_end = "WebAssembly",
                                .triple = "wasm32-unknown-unknown",
                                .cpu = "generic",
                                .features = "+simd128",
                                .runtime = "wasm32",
                                .wasm = true,
                                .bare = true};

static const struct {
    const char *name;
    const Platform *platform;
    const char *machine;
    int level;
} targets[] = {
    {"x86-64", &x86_64, "x86-64-v2", 2},
    {"x86-64-v2", &x86_64, "x86-64-v2", 2},
    {"x86-64-v3", &x86_64, "x86-64-v3", 3},
    {"x86-64-v4", &x86_64, "x86-64-v4", 4},
    {"x86-64-v4+vnni", &x86_64, "x86-64-v4+vnni", 5},
    {"x86-64-v4+bf16", &x86_64, "x86-64-v4+bf16", 6},
    {"aarch64-linux-gnu", &aarch64, "aarch64", 0},
    {"aarch64-linux-gnu+dotprod", &aarch64, "aarch64+dotprod", 1},
    {"aarch64-linux-gnu+i8mm", &aarch64, "aarch64+i8mm", 2},
    {"aarch64-linux-gnu+bf16", &aarch64, "aarch64+bf16", 3},
    {"armv7-linux-gnueabihf", &armv7, "armv7", 0},
    {"riscv64-linux-gnu", &riscv64, "riscv64", 0},
    {"riscv64-linux-gnu+v", &riscv64, "riscv64+v", 1},
    {"thumbv7em-none-eabihf", &thumbv7em, "cortex-m4", 0},
    {"wasm32", &wasm32, "wasm32", 0},
};
enum { TARGETS = sizeof targets / sizeof *targets };

int target_native_level(void) {
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return v4 ? 4 : v3 ? 3 : 2;
}

/* The levels of a platform that there are kernels for, the least first, each a target too. */
enum { PLAIN, CODES, PAIRS, WANTED }; /* what a program multiplies: floats; codes, too; bf16, too */

typedef struct Levels {
    const char *all;    /* the target that has them in one artifact, as far as they differ for its program */
    int count[WANTED];  /* .. which is so many of them */
    const char *name[6];
} Levels;

static const Levels x86_levels = {"x86-64", {3, 4, 5}, {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni", "x86-64-v4+bf16"}};
static const Levels arm_levels = {
    "aarch64-linux-gnu",
    {1, 3, 4},
    {"aarch64-linux-gnu", "aarch64-linux-gnu+dotprod", "aarch64-linux-gnu+i8mm", "aarch64-linux-gnu+bf16"}};

static const Levels *levels_of(const Platform *p) { return p == &x86_64 ? &x86_levels : p == &aarch64 ? &arm_levels : NULL; }

/* As many of the levels as this processor runs. */
static int native_levels(void) {
    int level = target_native_level();
    if (level < 4 || !__builtin_cpu_supports("avx512vnni")) return level - 1;
    return x86_levels.count[__builtin_cpu_supports("avx512bf16") ? PAIRS : CODES];
}

const char *target_native_machine(void) { return x86_levels.name[native_levels() - 1]; }

/* "x86-64-v2 x86-64-v3 x86-64-v4" */
static const char *names_of(Arena *arena, const Levels *levels, int n) {
    const char *text = levels->name[0];
    for (int i = 1; i < n; i++) text = arena_printf(arena, "%s %s", text, levels->name[i]);
    return text;
}

static bool processor_find(const char *name, int optimize, Target *t) {
    bool native = !name || !strcmp(name, "native") || !strcmp(name, "cpu");
    if (native) name = x86_levels.name[target_native_level() - 2];
    for (int i = 0; i < TARGETS; i++) {
        if (strcmp(name, targets[i].name)) continue;
        const TileTarget *machine = tile_target(targets[i].machine);
        if (!machine) bug("no machine %s", targets[i].machine);
        *t = (Target){.name = targets[i].name, .platform = targets[i].platform, .machine = machine, .level = targets[i].level,
                      .variants = 1, .optimize = optimize, .native = native};
        const Levels *levels = levels_of(t->platform);
        t->all = levels && !strcmp(name, levels->all);
        if (!t->all) return true;
        if (levels == &x86_levels) t->name = "x86-64-v2 x86-64-v3 x86-64-v4";
        t->variants = levels->count[PLAIN];
        return true;
    }
    return false;
}

/* What NVRTC compiles for (CUDA.md): compute capabilities, with the suffix of what runs on that one alone. */
static const char *const archs[] = {"75",  "80",  "86",  "87",   "88",   "89",   "90",  "90a", "100",
                                    "100a", "103", "103a", "110", "110a", "120", "120a", "121", "121a"};

/* "cuda:sm_90a" among the first n characters. */
static bool arch_find(const char *word, size_t n, Target *t) {
    static const char prefix[] = "cuda:sm_";
    size_t skip = sizeof prefix - 1;
    if (n <= skip || strncmp(word, prefix, skip) || t->n_archs == TARGET_ARCHS) return false;
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (strlen(archs[i]) != n - skip || strncmp(word + skip, archs[i], n - skip)) continue;
        for (int k = 0; k < t->n_archs; k++)
            if (t->archs[k] == archs[i]) return true;
        t->archs[t->n_archs++] = archs[i];
        return true;
    }
    return false;
}

bool target_find(const char *name, int optimize, Target *t) {
    if (!name || !strstr(name, "cuda:")) return processor_find(name, optimize, t);
    Target devices = {.n_archs = 0};
    char processor[64] = "native";
    for (const char *word = name;;) {
        size_t n = strcspn(word, ",");
        if (!arch_find(word, n, &devices)) {
            if (n >= sizeof processor || !strncmp(word, "cuda:", 5)) return false;
            memcpy(processor, word, n);
            processor[n] = 0;
        }
        if (!word[n]) break;
        word += n + 1;
    }
    if (!processor_find(processor, optimize, t) || t->platform != &x86_64) return false;
    t->n_archs = devices.n_archs;
    memcpy(t->archs, devices.archs, sizeof t->archs);
    t->variants++;
    return true;
}

/* Whose levels its products may want. */
static int wanted_levels(const Graph *g) {
    int wanted = PLAIN;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        int own = n->attrs.body ? wanted_levels(n->attrs.body) : PLAIN;
        if (n->op == OP_CONTRACT && (n->in[0]->type.dtype == DT_I8 || n->in[0]->type.dtype == DT_U8)) own = CODES;
        if ((n->op == OP_CONTRACT || n->op == OP_CONV) && n->in[0]->type.dtype == DT_BF16) own = PAIRS;
        if (own > wanted) wanted = own;
    }
    return wanted;
}

void target_fit(Target *t, const Program *p, bool core) {
    const Levels *levels = levels_of(t->platform);
    int wanted = PLAIN, here = native_levels();
    for (int i = 0; i < p->entries.n; i++) {
        int own = wanted_levels(p->entries.at[i]->graph);
        if (own > wanted) wanted = own;
    }
    if (!wanted || !levels || (core && levels != &x86_levels)) return; /* only x86-64 tells without a system what it has */
    int count = levels->count[wanted];
    if (t->all) {
        t->name = names_of(p->arena, levels, count);
        t->variants = count + (t->n_archs > 0);
    } else if (t->native && here > levels->count[PLAIN]) {
        const char *name = levels->name[(count < here ? count : here) - 1];
        Target own;
        if (!processor_find(name, t->optimize, &own)) bug("no target %s", name);
        t->name = own.name;
        t->machine = own.machine;
        t->level = own.level;
    }
}

Target target_variant(const Target *t, int i) {
    Target one = *t;
    bool device = t->n_archs && i == t->variants - 1;
    const char *name = t->all ? levels_of(t->platform)->name[i] : NULL;
    if (name && !device && !processor_find(name, t->optimize, &one)) bug("no target %s", name);
    one.variants = 1;
    one.blas = t->blas && !device;
    one.small = t->small;
    one.tuning = device ? NULL : t->tuning;
    if (!device) return one;
    one.machine = tile_target("cuda");
    if (!one.machine) bug("no machine cuda");
    one.device = true;
    one.level = 0;
    return one;
}

const char *target_names(Arena *arena) {
    const char *text = "native";
    for (int i = 0; i < TARGETS; i++) text = arena_printf(arena, "%s, %s", text, targets[i].name);
    return arena_printf(arena, "%s and cuda:sm_80 to sm_121", text);
}
