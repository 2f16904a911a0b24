/* entry.h -- from a plan to the straight-line code of an entry (or of a slot's initial value), and the small functions of sizes
 * beside it. */
#ifndef CODEGEN_ENTRY_H
#define CODEGEN_ENTRY_H
#include "codegen/kernel_code.h"
#include "codegen/module.h"
#include "ir/plan.h"

/* A module that kernels go to; all are compiled at the same time. */
typedef struct EntryModule {
    Scheduler *scheduler;
    LLVMModuleRef module;
} EntryModule;

/* A pack of the artifact; which slot, which layout, the kernel that makes it. */
typedef struct EntryPack {
    int slot;
    const char *text; /* Pack.text: what tells packs of a slot apart */
    const char *thunk, *said;
    int64_t bytes, count;
} EntryPack;

typedef struct EntryPackUse { /* of the entry that was generated last */
    int pack;
    Size when; /* NULL: always; else low <= value < high */
    int64_t low, high;
} EntryPackUse;

/* What a generated kernel is, where it was called first: for the description. */
typedef struct EntryKernel {
    const char *function, *name, *path, *source; /* "m1.k2_contract", "contract 384 x 128", "net.0", "gpt.mdl:29" */
} EntryKernel;

/* RtMeasure: a size, or the bytes of a plan's arena. */
typedef struct Measure {
    Size size;
    const Plan *plan; /* or NULL */
} Measure;

/* What every function of one artifact shares. */
typedef struct EntryUnit {
    Module *module;
    const Program *program;
    EntryModule
        *modules; /* kernels are dealt out over all but the first, which is `module`, with entries and tables */
    int n_modules;
    int first; /* number of the first one among all of the artifact */
    LIST(EntryPack) packs;
    LIST(EntryKernel) named;
    LIST(EntryPackUse) uses; /* of packs, by the function that entry_code made last */
    int64_t *pack_bytes;    /* by entry: of the packs that its calls use, as a session takes them; -1: run-time sizes decide */
    LIST(Node *) tensors;   /* constant tensors met so far: number i is the data called mdl.tensor.i */
    LIST(Measure) measures; /* by number; equal sizes share one */
    LIST(LLVMValueRef) infos_known; /* RtKernel made so far, and where they are */
    LIST(LLVMValueRef) infos;
    bool profiled;          /* false: the runtime has no clock, so nobody asks for a kernel's name and work */
    bool device; /* kernels run on a device: entry_device.c */
    int kernels; /* kernels called from all entries (not in loops: in the text) */
} EntryUnit;

const char *entry_place_text(Arena *arena, Loc at); /* "gpt.mdl:29"; "" without a place */

/* Schedulers number their functions alone: those of all modules but the artifact's first are renamed at the end, by this rule.
 * Functions of the runtime keep their names. module: its number in the artifact. */
const char *entry_kernel_name(Arena *arena, const char *function, int module);

/* int NAME(RtFrame *), internal. `entry`: what messages begin with. */
LLVMValueRef entry_code(EntryUnit *u, const char *name, const char *entry, const Plan *plan);
/* The bytes of the plan's arena where they do not depend on run-time sizes. */
bool entry_arena_static(const Plan *plan, int64_t *bytes);
/* The bytes where every run-time size that decides is as large as it may be; false: one of them has no upper limit. */
bool entry_arena_most(const Plan *plan, int64_t *bytes);

/* Numbers of measures. The axes that are MDL_COMPUTED of all values come before anything else, in the order of the tables. */
void measure_axes(EntryUnit *u, const Type *type);
int measure_size(EntryUnit *u, Size size);
int measure_arena(EntryUnit *u, const Plan *plan); /* bytes */
LLVMValueRef measure_function(EntryUnit *u);       /* RtMeasure, when all are known */
int64_t size_axis_code(Size s);                    /* mdl_value.dims of one axis */

/* The constant RtKernel of k, whose function does not matter. flops, bytes: of a call, NULL for none; floats: n_floats RtFloats. */
LLVMValueRef entry_kernel_info(EntryUnit *u, const EntryKernel *k, Size flops, Size bytes, int n_floats, LLVMValueRef *floats);

/* ---- for entry_scan.c: one function under construction */

/* The memory of one plan: the entry's own, or that of a loop's body. */
typedef struct EntryMemory {
    const Plan *plan;
    LLVMValueRef arena;   /* pointer */
    LLVMValueRef *offset; /* of each buffer, i64 */
    LLVMValueRef *args;   /* body: each argument in this step */
    LLVMValueRef *ys;     /* body: element of each stacked result in this step; NULL where nobody wants it */
    LLVMValueRef stop;    /* body: the byte that ends the loop; NULL: nothing ends it early */
} EntryMemory;

typedef struct EntryCode {
    EntryUnit *unit;
    Module *m;
    const char *entry;
    LLVMValueRef function, frame, session, inputs, outputs, slots, packs, shared;
    LLVMBuilderRef prologue;   /* end of the first block: stack, sizes, offsets; it dominates everything */
    LLVMBuilderRef b;          /* end of the code */
    SizeCode *sizes;           /* at the end of the prologue */
    LLVMValueRef args, counts; /* stack: argument and size arrays of the kernel being called */
    int cells;                 /* of the device, given out so far */
    bool changed;              /* RtFrame.changed has been set */
} EntryCode;

LLVMValueRef entry_stack(EntryCode *c, LLVMTypeRef type, int n);           /* stack for n of a type */
LLVMValueRef entry_pointer(EntryCode *c, const EntryMemory *mem, Node *n); /* address of a stored value or leaf */
LLVMValueRef entry_bytes(EntryCode *c, const Type *t);                     /* i64 */
LLVMValueRef entry_host(EntryCode *c, LLVMValueRef p, LLVMValueRef bytes); /* where code of the entry may load what lies at p */
LLVMValueRef entry_cell(EntryCode *c, LLVMTypeRef type);                   /* memory for one scalar that a kernel stores */
LLVMValueRef entry_advance(EntryCode *c, LLVMValueRef pointer, LLVMValueRef bytes);
void entry_copy(EntryCode *c, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes); /* rt_copy */
void entry_clear(EntryCode *c, LLVMValueRef to, LLVMValueRef bytes);                   /* rt_clear */
LLVMBasicBlockRef entry_block(EntryCode *c, const char *name);
/* Calls of a function, one behind the other in the arrays: pointers of their arguments, their sizes, their numbers of iterations. More than one:
 * they run at once. */
typedef struct EntryCalls {
    int n;
    const KernelCall *const *call;
    LLVMValueRef args, sizes, counts; /* pointers; i64; i64 */
} EntryCalls;
LLVMValueRef entry_i64s(EntryCode *c, int n, LLVMValueRef *values, LLVMValueRef room); /* an array of them: a constant where all are; room: NULL: it gets its own */
/* scheduler: of the function. */
void entry_device_calls(EntryCode *c, const EntryCalls *calls, const Scheduler *scheduler, LLVMValueRef info, LLVMTypeRef thunk);
LLVMValueRef entry_runtime(EntryCode *c, const char *name, LLVMTypeRef result, int n, LLVMTypeRef *arguments); /* a function of the runtime */
EntryMemory *entry_memory(EntryCode *c, const Plan *plan, LLVMValueRef arena); /* offsets, in the prologue */
void entry_plan(EntryCode *c, EntryMemory *mem);                               /* all kernels and copies */
void entry_scan(EntryCode *c, EntryMemory *mem, const Kernel *k);

#endif
