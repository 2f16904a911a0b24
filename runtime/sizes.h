/* sizes.h -- what the bytes of an artifact are: the rows of `modelc size`, whose names are those of budgets, too. Every byte of the
 * file belongs to one part. */
#ifndef RUNTIME_SIZES_H
#define RUNTIME_SIZES_H
#include <stdint.h>

/* X(name in C, name for people, what it is) */
#define SIZE_PARTS(X)                                                                                                          \
    X(KERNELS, "kernels", "machine code that computes")                                                                        \
    X(ENTRIES, "entries", "machine code that calls kernels, in order, and computes sizes")                                     \
    X(RUNTIME, "runtime", "machine code of sessions, threads, checkpoints")                                                    \
    X(WEIGHTS, "weights", "values of parameters and constant tensors")                                                         \
    X(TABLES, "tables", "names, shapes and other constants")                                                                   \
    X(LINKING, "linking", "what the loader reads: exports, imports, relocations")                                              \
    X(DESCRIPTION, "description", "what is read without loading it")                                                           \
    X(SYMBOLS, "symbols", "names for debuggers")                                                                               \
    X(PADDING, "padding", "headers, and gaps where the next part begins on a boundary")

typedef enum {
#define X(name, said, help) SIZE_##name,
    SIZE_PARTS(X)
#undef X
    SIZE_PART_COUNT
} SizePart;

/* Names of budgets beside the parts: the whole file, and the largest memory that a call of any entry needs. */
#define SIZE_LIBRARY "library"
#define SIZE_ARENA   "arena"

/* A generated function: "k2_contract", "contract 384 x 128", "net.0", "gpt.mdl:29"; the last three may be "". */
typedef struct SizeKernel {
    const char *function, *name, *path, *source;
    int64_t bytes;
} SizeKernel;

typedef struct Sizes {
    int64_t file, bytes[SIZE_PART_COUNT]; /* the parts add up to the file */
    SizeKernel *kernels;                  /* by bytes, the largest first */
    int n_kernels;
} Sizes;
#endif
