/* kernel_code.h -- between the scheduler (a planned kernel → tile kernels → functions in an LLVM module) and the entries that call them. */
#ifndef CODEGEN_KERNEL_CODE_H
#define CODEGEN_KERNEL_CODE_H
#include "codegen/target.h"
#include "ir/plan.h"

/* What to pass for one pointer of a kernel's argument array. */
typedef enum {
    ARG_VALUE, /* memory of a stored node (its Place), offset 0 */
    ARG_RNG,   /* RtFrame.rng: u32[4] */
    ARG_SITE,  /* a u32 in constant memory: `site` */
    ARG_NULL,
    ARG_PACK,  /* memory of a packed copy: `pack` */
    ARG_SHARED /* scheduler_shared() bytes that all threads see, free for the calls of one kernel */
} ArgKind;

/* A copy of a slot in the order in which a product walks it; the kernel that makes it is known, but not generated before scheduler_pack asks
 * for it. Packs of one slot with equal texts are the same memory, in whatever entry and module they come up. */
typedef struct Pack {
    int slot;          /* one of the kernel's packed_slots */
    const char *text;  /* the kernel that makes it, without a name */
    int64_t bytes;
    struct Work *work; /* inside the scheduler */
} Pack;

typedef struct KernelArg {
    ArgKind kind;
    Node *node;
    uint32_t site;
    const Pack *pack;
    int64_t offset; /* ARG_SHARED: bytes from its beginning */
} KernelArg;

/* One call: rt_parallel(frame, info, function, args, sizes, count). A kernel is one or several, run one after another. */
typedef struct KernelCall {
    const char *function; /* a thunk with RtThunk's type: generated (in the module) or a routine of the runtime (rt_topk_f32) */
    int n_args, n_sizes;
    KernelArg *args;
    Size *sizes;          /* values to pass, in terms of the program's size names */
    Size count;           /* iterations */
    /* Variants: the call happens if `when` is NULL or low <= value of when < high. */
    Size when;
    int64_t low, high;
    const char *text;     /* name for people: "contract 384 x 128 + gelu" */
} KernelCall;

typedef struct KernelCode {
    int n;
    KernelCall *calls;
} KernelCode;

typedef struct Scheduler Scheduler; /* the functions made so far, by kernel key: equal kernels are generated once */

struct LLVMOpaqueModule;
Scheduler *scheduler_new(Arena *a, struct LLVMOpaqueModule *module, const Target *target);
/* Makes (or finds) the functions of one kernel. Kinds MAP to ROUTINE; the others belong to the entry's code. */
KernelCode *scheduler_kernel(Scheduler *s, const Plan *plan, const Kernel *k);
/* The call that makes a pack: its arguments are the copy (ARG_PACK) and the slot (ARG_VALUE), in this order; no sizes. */
const KernelCall *scheduler_pack(Scheduler *s, const Pack *pack);
int64_t scheduler_scratch(const Scheduler *s);                  /* most bytes of scratch a function wants */
int64_t scheduler_shared(const Scheduler *s);                   /* most bytes that the calls of a kernel hand on to each other */
void scheduler_print_tiles(const Scheduler *s, FILE *f);        /* --emit=tile */
/* Of a scheduler for a device: its kernels as CUDA C, behind cuda_prelude(); what a launch of KernelCall.function wants; NULL: a routine
 * of the runtime. */
const char *scheduler_cuda(const Scheduler *s);
int scheduler_device_kernel(const Scheduler *s, const char *function); /* its number; -1: a routine */
const struct CudaKernel *scheduler_cuda_kernels(const Scheduler *s, int *n);
const struct CudaKernel *scheduler_cuda_kernel(const Scheduler *s, const char *function);
int scheduler_functions(const Scheduler *s);
void scheduler_free(Scheduler *s);

#endif
