/* jit.h -- for the unit tests of the tile IR: parse, verify, lower for one machine, run in this process. Every fault ends
 * the test with a message. */
#ifndef TESTS_TILE_JIT_H
#define TESTS_TILE_JIT_H
#include "codegen/cpu/lower.h"
#include "codegen/tile.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Thunk)(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);
typedef int64_t (*Count)(const int64_t *sizes);

typedef struct Jit {
    Arena *arena;
    TileKernel *k;
    LLVMOrcLLJITRef jit;
    Thunk run;
    Count count;
    char *scratch;
} Jit;

static inline void die(const char *what, const char *why) {
    printf("%s: %s\n", what, why);
    exit(1);
}

/* Can this machine run code for the target? */
static inline bool host_has(const TileTarget *t) {
    __builtin_cpu_init();
    if (strncmp(t->name, "x86-64", 6)) return false;
    if (t->dots == 4 && !__builtin_cpu_supports("avx512vnni")) return false;
    if (t->pairs && !__builtin_cpu_supports("avx512bf16")) return false;
    if (t->avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq");
    if (t->fma) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return true;
}

/* The same for what tests all machines: one that differs in a single operation is left to the test of that. */
static inline bool host_runs(const TileTarget *t) {
    return t->dots < 4 && host_has(t);
}

static inline void no_error(LLVMErrorRef e, const char *what) {
    if (e) die(what, LLVMGetErrorMessage(e));
}

static inline TileKernel *parse_or_die(Arena *a, const char *text, const char *name, const TileBind *binds, int n) {
    const char *error;
    TileKernel *k = tile_parse(a, text, name, binds, n, &error);
    if (!k) die("parse", error);
    return k;
}

static inline Jit jit_kernel(const char *text, const char *name, const TileBind *binds, int n, const TileTarget *t,
                             bool optimize) {
    Jit j = {.arena = arena_new()};
    const char *error, *bytes;
    size_t length;
    j.k = parse_or_die(j.arena, text, name, binds, n);
    if (!tile_verify(j.k, t, NULL, &error)) die("verify", error);
    Target host;
    if (!target_find("native", 2, &host)) die("target", "native");
    Emit *e = emit_new("test", host.platform, optimize);
    if (!tile_lower(j.k, t, emit_module(e), "k", &error)) die("lower", error);
    if (!emit_verify(e, j.arena, &error)) {
        puts(emit_ir(e, j.arena));
        die("LLVM verifier", error);
    }
    if (getenv("TILE_IR")) puts(emit_ir(e, j.arena));
    if (getenv("TILE_ASM")) {
        const char *assembly;
        if (emit_asm(e, j.arena, &assembly, &error)) puts(assembly);
    }
    LLVMSetVisibility(LLVMGetNamedFunction(emit_module(e), "k.thunk"), LLVMDefaultVisibility);
    LLVMSetVisibility(LLVMGetNamedFunction(emit_module(e), "k.count"), LLVMDefaultVisibility);
    if (!emit_object(e, j.arena, &bytes, &length, &error)) die("object", error);
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, length, "k.o");
    no_error(LLVMOrcCreateLLJIT(&j.jit, NULL), "LLJIT");
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j.jit);
    no_error(LLVMOrcLLJITAddObjectFile(j.jit, lib, buffer), "add object");
    LLVMOrcExecutorAddress at;
    no_error(LLVMOrcLLJITLookup(j.jit, &at, "k.thunk"), "lookup");
    j.run = (Thunk)(uintptr_t)at;
    no_error(LLVMOrcLLJITLookup(j.jit, &at, "k.count"), "lookup");
    j.count = (Count)(uintptr_t)at;
    j.scratch = aligned_alloc(64, (size_t)tile_scratch(j.k) + 64);
    emit_free(e);
    return j;
}

static inline void jit_free(Jit *j) {
    no_error(LLVMOrcDisposeLLJIT(j->jit), "dispose");
    free(j->scratch);
    arena_free(j->arena);
}

/* A small fixed generator: every run tests the same numbers. */
static inline uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state;
    x ^= x >> 32;
    return x * 0x9E3779B97F4A7C15u >> 16;
}
static inline double random_between(uint64_t *state, double low, double high) {
    return low + (high - low) * (double)(next_random(state) & 0xffffffffu) / 4294967296.0;
}
#endif
