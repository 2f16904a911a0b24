/* lower.h -- tile IR to LLVM IR, and LLVM modules to object code.
 *
 * tile_lower adds three functions to a module:
 *   void    NAME(ptr buffers.., scalars.., i64 sizes.., ptr scratch, i64 p0, i64 p1)                          internal linkage
 *   void    NAME.thunk(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1)        external, hidden
 *   int64_t NAME.count(const int64_t *sizes)                                                                external, hidden
 * p0..p1: iterations of the flattened parallel space, 0 <= p0 <= p1 <= count. Scratch: tile_scratch(k) bytes, aligned to 64.
 * args: in order of declaration, scalars by pointer. */
#ifndef CODEGEN_CPU_LOWER_H
#define CODEGEN_CPU_LOWER_H
#include "codegen/target.h"

#include <llvm-c/Core.h>

/* A module under construction with its context and target machine. Two Emits may be used by two threads at once. */
typedef struct Emit Emit;
/* optimize false: fastest compilation, slow code (-O0). NULL: this LLVM has no code generator for the platform. */
Emit *emit_new(const char *module_name, const Platform *platform, bool optimize);
/* From here on as if made with optimize false. */
void emit_plain(Emit *e);
void emit_free(Emit *e);
LLVMModuleRef emit_module(Emit *e);
/* Results live in the arena. false and *error: LLVM refused (a fault of ours). emit_object may be called once; nothing else
 * after it. */
bool emit_verify(Emit *e, Arena *a, const char **error);
bool emit_object(Emit *e, Arena *a, const char **bytes, size_t *n, const char **error);
bool emit_asm(Emit *e, Arena *a, const char **text, const char **error); /* GNU assembler text */
const char *emit_ir(Emit *e, Arena *a);
/* The module as bitcode, for its hash; free it with LLVMDisposeMemoryBuffer. Before emit_object, which changes the module. */
LLVMMemoryBufferRef emit_bitcode(Emit *e);

/* The kernel must have passed tile_verify. false and *error (kernel's arena) when something has no lowering. */
bool tile_lower(TileKernel *k, const TileTarget *t, LLVMModuleRef m, const char *name, const char **error);

#endif
