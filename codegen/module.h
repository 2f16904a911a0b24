/* module.h -- a page of helpers over the LLVM C API for the module that holds an artifact's tables and entries: types,
 * constants that are shared, functions of the runtime. Kernels come from elsewhere (the scheduler); this file knows nothing of
 * them. */
#ifndef CODEGEN_MODULE_H
#define CODEGEN_MODULE_H
#include "ir/arena.h"
#include "ir/size.h"
#include "ir/type.h"

#include <llvm-c/Core.h>

typedef struct ModuleText {
    const char *text;
    LLVMValueRef global;
} ModuleText;

typedef struct Module {
    Arena *arena;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTypeRef ptr, nothing, i1, i8, i16, i32, i64;
    LLVMTypeRef word;  /* size_t of the target: i32 or i64 */
    int pointer_bytes; /* 4 or 8 */
    ModuleText *texts; /* open hash table of the strings made so far */
    int n_texts, cap_texts;
} Module;

Module *module_new(Arena *arena, LLVMModuleRef module);

LLVMValueRef module_i32(const Module *m, int64_t value);
LLVMValueRef module_i64(const Module *m, int64_t value);
LLVMValueRef module_null(const Module *m);
LLVMValueRef
module_text(Module *m, const char *text); /* pointer to a constant string; equal strings share one. NULL gives a null pointer */
LLVMValueRef module_struct(const Module *m, int n, LLVMValueRef *fields); /* laid out as C would */
/* A private constant holding n values of one type, and a pointer to it; n 0 gives a null pointer. */
LLVMValueRef module_array(Module *m, LLVMTypeRef element, int n, LLVMValueRef *values);
LLVMValueRef module_constant(Module *m, LLVMValueRef value); /* a private constant holding value: its address */
LLVMValueRef module_external(Module *m, const char *name);   /* address of hidden data of another object */
/* A function of the runtime or of another module of this artifact: declared hidden when first asked for. */
LLVMValueRef module_function(Module *m, const char *name, LLVMTypeRef type);
LLVMTypeRef module_type(const Module *m, LLVMTypeRef result, int n, const LLVMTypeRef *arguments);
LLVMValueRef module_call(const Module *m, LLVMBuilderRef b, LLVMValueRef function, int n, LLVMValueRef *arguments);
void module_attribute(const Module *m, LLVMValueRef function, const char *name); /* "nounwind" */

/* DLPack's description of a dtype. */

/* ---- sizes in code ------------------------------------------------------------------------------------------------------- */

/* Where sizes are computed: at the end of b, from the array `sizes` of the values of the program's size names. What was
 * computed once is used again, so everything that uses it must be dominated by b. With `checked`, additions and products that
 * leave 64 bits set *overflow. */
typedef struct SizeCode {
    Module *m;
    LLVMBuilderRef b;
    LLVMValueRef sizes;
    bool checked;
    LLVMValueRef overflow; /* i1, NULL: none so far */
    LIST(Size) known;
    LIST(LLVMValueRef) values; /* beside known */
    LLVMValueRef *names;       /* by index of the name */
} SizeCode;

SizeCode *size_code_new(Module *m, LLVMBuilderRef b, LLVMValueRef sizes, const SizeTable *table, bool checked);
LLVMValueRef size_code(SizeCode *c, Size s); /* i64 */
LLVMValueRef size_code_add(SizeCode *c, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef size_code_max(SizeCode *c, LLVMValueRef x, LLVMValueRef y);

#endif
