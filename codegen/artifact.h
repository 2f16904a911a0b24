/* artifact.h -- from planned graphs to a library: code, tables, weights, description, linked. How it is laid out:
 * ARCHITECTURE.md, "The artifact"; what the tables mean: runtime/mdl.h and runtime/runtime.h.
 *
 * artifact_new generates LLVM IR; then any one of the texts, or the file, is made of it. */
#ifndef CODEGEN_ARTIFACT_H
#define CODEGEN_ARTIFACT_H
#include "codegen/kernel_code.h"
#include "codegen/link.h"
#include "ir/plan.h"

#include <stdio.h>

#define MODELC_VERSION "0.1"

/* Kernels are dealt out over the others by what they compute. The more there are, the fewer kernels are compiled again because another of
 * their module has changed; each costs some milliseconds. */
#define ARTIFACT_MODULES 33

typedef enum { ARTIFACT_SHARED, ARTIFACT_ARCHIVE, ARTIFACT_OBJECT, ARTIFACT_MODULE } ArtifactKind; /* a module of WebAssembly */

typedef struct ArtifactOptions {
    const Program *program;
    Plan *const *entries; /* the plan of each entry */
    Plan *const *inits;   /* by slot: the plan of artifact_init_graph, NULL where that was NULL */
    const Target *target;
    const Source *source; /* the program's text, for its hash; NULL: none */
    ArtifactKind kind;
    bool core;   /* the runtime's core alone: nothing of libc, and the caller brings the memory */
    bool strip;  /* a shared library without the names of kernels and functions, which only debuggers and profilers read */
    int modules; /* of code, 1 to ARTIFACT_MODULES: where there are more, the first has entries and tables, the others kernels */
    const char *weights; /* the name of the file beside the artifact that has the values of slots; NULL: they are inside */
    const struct SelfTests *tests; /* recorded calls; NULL: none */
    struct Cache *cache; /* of compiled modules; NULL: none */
    const char *nvrtc;   /* libnvrtc.so or its folder; NULL: where it usually lies */
} ArtifactOptions;

typedef struct Artifact Artifact;

/* The graph that stores the initial value of one slot; NULL where the artifact needs none: the value was loaded, is zero
 * everywhere, or is a small constant. */
Graph *artifact_init_graph(const Program *program, int slot);

/* Can this compiler make code for the target, and has it the runtime for it inside? False: *why says what is missing. */
bool artifact_possible(Arena *arena, const Target *target, bool core, const char **why);

Artifact *artifact_new(Arena *arena, const ArtifactOptions *options); /* code of all entries, and the tables */
void artifact_free(Artifact *a);
void artifact_print_cuda(const Artifact *a, FILE *f);   /* --emit=cuda: what NVRTC compiles */
void artifact_print_cost(const Artifact *a, FILE *f);   /* what its kernels cost, on paper; of an artifact with devices */
void artifact_print_tiles(const Artifact *a, FILE *f);
const char *artifact_ir(Artifact *a); /* LLVM IR, in the arena */
const char *artifact_asm(Artifact *a);
/* Machine code. Once; the file comes after it. */
/* The kernels of devices; before artifact_compile. False and *error: there is no NVRTC. */
bool artifact_compile_device(Artifact *a, const char **error);
const char *artifact_ptx(const Artifact *a); /* --emit=ptx, after it: the text that is inside, of the first architecture */
void artifact_compile(Artifact *a);
int artifact_reused(const Artifact *a);               /* modules that the cache had */
const char *artifact_device_text(const Artifact *a); /* kernels; of each architecture bytes, and what ptxas says */
const char *artifact_compile_text(const Artifact *a); /* for people: the time of each module */
Bytes artifact_model_object(Artifact *a);             /* of the model alone, without runtime and weights */
/* The file: false with errno where the system refused memory. */
bool artifact_link(Artifact *a, Content *file);
const char *artifact_content_text(const Artifact *a); /* after artifact_link: the hash of what is inside, as text; also in the description */
int artifact_kernel_calls(const Artifact *a);     /* calls of kernels in all entries */
int artifact_kernel_functions(const Artifact *a); /* different kernels behind them */
size_t artifact_weight_bytes(const Artifact *a);                /* of those inside */
const struct External *artifact_external(const Artifact *a);    /* the file of ArtifactOptions.weights; NULL: none */
/* Value i of those inside: *slot, or NULL for a constant tensor or recorded calls. False: there are no more. */
bool artifact_value(const Artifact *a, int i, const Slot **slot, size_t *bytes);

/* What memory its sessions take (memory.h); of several variants the most. False: not known (WebAssembly, devices). */
struct SessionMemory;
bool artifact_memory(const Artifact *a, struct SessionMemory *memory);

/* NAME.h: declarations of the exported functions around the text of mdl.h. selftest: calls are recorded in it. a: or NULL, and nothing is said
 * of the memory of sessions. */
Bytes artifact_header(Arena *arena, const Program *program, Plan *const *entries, bool selftest, const Artifact *a);

#endif
