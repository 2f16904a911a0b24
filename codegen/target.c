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

/* The levels of x86-64 that there are kernels for, each a target too. The last two differ in products of codes and of bf16 only. */
static const char *const levels[TARGET_VARIANTS] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni", "x86-64-v4+bf16"};
enum { PLAIN = 3, CODES, PAIRS }; /* how many of them there are for a program */

/* As many of the levels as this processor runs. */
static int native_levels(void) {
    int level = target_native_level();
    if (level < 4 || !__builtin_cpu_supports("avx512vnni")) return level - 1;
    return __builtin_cpu_supports("avx512bf16") ? PAIRS : CODES;
}

const char *target_native_machine(void) { return levels[native_levels() - 1]; }

bool target_find(const char *name, int optimize, Target *t) {
    bool native = !name || !strcmp(name, "native") || !strcmp(name, "cpu");
    if (native) name = levels[target_native_level() - 2];
    for (int i = 0; i < TARGETS; i++) {
        if (strcmp(name, targets[i].name)) continue;
        const TileTarget *machine = tile_target(targets[i].machine);
        if (!machine) bug("no machine %s", targets[i].machine);
        *t = (Target){targets[i].name, targets[i].platform, machine, targets[i].level, 1, optimize, native, false, NULL};
        if (strcmp(name, x86_64.name)) return true;
        t->name = "x86-64-v2 x86-64-v3 x86-64-v4";
        t->variants = PLAIN;
        return true;
    }
    return false;
}

/* As many of the levels as its products may want. */
static int wanted_levels(const Graph *g) {
    int wanted = PLAIN;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        int own = n->attrs.body ? wanted_levels(n->attrs.body) : PLAIN;
        if (n->op == OP_CONTRACT && n->in[0]->type.dtype == DT_I8) own = CODES;
        if ((n->op == OP_CONTRACT || n->op == OP_CONV) && n->in[0]->type.dtype == DT_BF16) own = PAIRS;
        if (own > wanted) wanted = own;
    }
    return wanted;
}

void target_fit(Target *t, const Program *p) {
    static const char *const all[] = {"x86-64-v2 x86-64-v3 x86-64-v4 x86-64-v4+vnni",
                                      "x86-64-v2 x86-64-v3 x86-64-v4 x86-64-v4+vnni x86-64-v4+bf16"};
    int wanted = PLAIN, here = native_levels();
    for (int i = 0; i < p->entries.n; i++) {
        int own = wanted_levels(p->entries.at[i]->graph);
        if (own > wanted) wanted = own;
    }
    if (wanted == PLAIN) return;
    if (t->variants > 1) {
        t->name = all[wanted - CODES];
        t->variants = wanted;
    } else if (t->native && here > PLAIN) {
        const char *name = levels[(wanted < here ? wanted : here) - 1];
        if (!target_find(name, t->optimize, t)) bug("no target %s", name);
    }
}

Target target_variant(const Target *t, int i) {
    Target one = *t;
    if (t->variants > 1 && !target_find(levels[i], t->optimize, &one)) bug("no target %s", levels[i]);
    one.blas = t->blas;
    one.tuning = t->tuning;
    return one;
}

const char *target_names(Arena *arena) {
    const char *text = "native";
    for (int i = 0; i < TARGETS; i++)
        text = arena_printf(arena, "%s%s%s", text, i + 1 < TARGETS ? ", " : " and ", targets[i].name);
    return text;
}
