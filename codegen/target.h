/* target.h -- what code is made for: a platform (how a library of it looks) and a machine (what its kernels may use). One row
 * of `platforms` and one of tile_targets (tile.h) describe a target; nothing else in the compiler knows any by name, but the
 * few lowerings that have better instructions on one. */
#ifndef CODEGEN_TARGET_H
#define CODEGEN_TARGET_H
#include "codegen/tile.h"
#include "ir/graph.h"

typedef struct Platform {
    const char *name;     /* "x86-64", "aarch64-linux-gnu" */
    const char *back_end; /* LLVM's: "AArch64" */
    const char *triple;
    const char *cpu, *features; /* of entries and tables, which stand beside the kernels */
    const char *runtime;        /* what the embedded objects are called: runtime-NAME.o, runtime-core-NAME.o */
    int elf_machine;            /* EM_AARCH64 */
    bool wide;                  /* addresses of 64 bits, else of 32 */
    bool wasm;                  /* modules of WebAssembly, no ELF */
    bool bare;          /* no system below: archives and objects with the runtime's core; code stays where it is linked to */
    unsigned elf_flags; /* e_flags of its objects */
} Platform;

enum { TARGET_VARIANTS = 6 /* at most */, TARGET_ARCHS = 8 };

typedef struct Target {
    const char *name; /* "x86-64-v3", "aarch64-linux-gnu"; of several: "x86-64-v2 x86-64-v3 x86-64-v4" */
    const Platform *platform;
    const TileTarget *machine; /* of several: the least */
    int level;                 /* x86-64-v: 4, 3, 2; 5: 4 with avx512vnni; 6: and avx512bf16; aarch64: 1 with dot products, 2 and bf16; 1 of riscv64
                                  with vectors; 0 elsewhere */
    bool all;                  /* it stands for all levels of its platform */
    int variants;              /* machines that the artifact has code for, chosen from when it is opened; usually 1 */
    int n_archs;               /* of NVIDIA's devices: the last variant has kernels for them, and the others are for where there is none */
    const char *archs[TARGET_ARCHS]; /* "80", "90a" */
    bool device;               /* the variant that runs there */
    int optimize;              /* 0: -O0, every op a kernel of its own; 1: convolutions as they are written; 2 */
    bool small;                /* -Os: code of few bytes; products take one form, row by row */
    bool native;               /* it was not named, but found by looking at this processor */
    bool blas;                 /* products of f32 matrices by OpenBLAS, which artifacts then need */
    struct Tuning *tuning;     /* tiles that were chosen by timing (tuning.h); NULL: by the cost model */
} Target;

/* The target of this name; NULL or "native": the processor we run on; "x86-64": all its levels that have kernels; "cuda:sm_90"
 * and several of them, behind commas, beside one of the others (native): for NVIDIA's devices, too. False: there is none. */
bool target_find(const char *name, int optimize, Target *t);
/* Where the program multiplies codes by codes or bf16 by bf16, instructions for that count too: "native" takes them if they are here, "x86-64" and
 * "aarch64-linux-gnu" get more variants. After the passes. core: there will be no system to ask for the processor. */
void target_fit(Target *t, const Program *p, bool core);
Target target_variant(const Target *t, int i); /* one of them: 0 is the least */
const char *target_names(Arena *arena);        /* "native, x86-64, ... and aarch64-linux-gnu" */
int target_native_level(void);                 /* x86-64-v of the processor we run on: 2, 3, 4 */
const char *target_native_machine(void);       /* the best row of tile_targets that it runs: what "native" may come to */

#endif
