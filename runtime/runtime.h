/* runtime.h -- between the generated code of an artifact and the runtime linked into it. Not public: both come from one modelc. */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H
#include "runtime/mdl.h"

#include <stdbool.h>

/* A kernel as the pool calls it: iterations p0..p1 of 0..count. scratch: `scratch` bytes of RtProgram, 64-byte aligned, one block a thread. */
typedef void RtThunk(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);

/* Tables hold few pointers, since each costs a relocation, three times its own size. Sizes that are computed are asked for by number, from
 * one function of the program: bytes or a number of elements for these sizes, INT64_MAX where it does not fit. Its first numbers are the
 * MDL_COMPUTED axes of all values: of the slots, then of each entry's inputs and outputs, in order. */
typedef int64_t RtMeasure(int32_t number, const int64_t *sizes);
#define RT_UNMEASURED (-1) /* instead of a number */

/* Floats that a kernel has stored when its call returns: as many as the measure `elements` says, of `bits`, at args[arg]. */
typedef struct RtFloats {
    int32_t elements;
    int16_t arg, bits;
} RtFloats;

/* What a kernel is, for messages, profiles and debuggers. */
typedef struct RtKernel {
    int32_t flops, bytes; /* measures of a call, at least: mdl_model.work; RT_UNMEASURED: none, or another call of the same kernel counts them */
    int32_t n_floats;
    RtFloats floats[];    /* behind them three texts, each with its final 0 */
} RtKernel;
typedef enum {
    RT_KERNEL_NAME,       /* "k17 contract" */
    RT_KERNEL_PATH,       /* "net.h.3.attn.proj" or "" */
    RT_KERNEL_SOURCE      /* "gpt.mdl:29" or "" */
} RtKernelText;
const char *rt_kernel_text(const RtKernel *k, RtKernelText which);

/* One call of an entry. Made by the runtime after every argument was checked. Generated code computes where its fields are, for
 * pointers of any size: pointers first, then words of 32 bits. */
typedef struct RtFrame {
    mdl_session *session;
    const int64_t *sizes;   /* values of the program's size names, by index; 0 where the entry does not use one */
    char *const *inputs;    /* scalars too: pointers to their value */
    char *const *outputs;
    char *const *slots;     /* by slot index; NULL for caches this entry does not touch */
    char *const *packs;     /* by pack index; NULL for those that this call does not use */
    char *arena;            /* at least RtEntry.arena(sizes) bytes, 64-byte aligned */
    char *shared;           /* RtProgram.shared bytes, 64-byte aligned */
    const RtKernel *nan;    /* the first that stored one; no kernel runs after it */
    uint32_t rng[4];        /* seed low, seed high, step low, step high: the counter of this call (initial values: step 2^64 - 1) */
    int32_t changed;        /* generated code sets it to 1 before the first kernel or copy that writes a slot */
    int32_t numbers;        /* 1: what kernels store is looked at (MDL_CHECK_NUMBERS, mdl_options.watch) */
#ifdef RT_DEVICES           /* generated code does not know it */
    const bool *there;      /* of inputs, then of outputs: those that lie on the device; NULL: none */
#endif
} RtFrame;

typedef int RtEntryFunction(RtFrame *f);                       /* MDL_OK or a code, with the message set by rt_fail */

/* Beside the row of the same number of mdl_model.values. */
typedef struct RtSlot {
    const void *data;           /* value inside the artifact, or NULL: init makes it */
    RtEntryFunction *init;      /* writes f->slots[this]; NULL with data */
    int32_t init_arena;         /* measure */
    int16_t optimizer;          /* 1: an optimizer's slot: saved on request */
    int16_t changes;            /* 1: some entry stores it */
} RtSlot;

/* A copy of a weight in the order in which products walk it. Made from the slot by a kernel: args = {copy, slot}, no sizes. The session makes
 * it when a call first needs it, and again after the slot has changed. */
typedef struct RtPack {
    RtThunk *thunk;
    const RtKernel *kernel;
    int64_t bytes, count;       /* of the copy; iterations of the kernel */
    int32_t slot;               /* never a cache, never stored by an entry */
} RtPack;

/* An entry uses a pack if `when` is RT_UNMEASURED or low <= that measure < high. */
typedef struct RtPackUse {
    int32_t pack, when;
    int64_t low, high;
} RtPackUse;

typedef struct RtEntry {
    RtEntryFunction *run;
    const RtPackUse *packs;     /* one pack may stand here several times, for different sizes */
    const int32_t *slots;       /* those it reads or writes, those it writes, caches that are as if untouched when it has succeeded */
    int32_t n_packs, n_touched, n_stored, n_reset;
    int32_t arena, flops;       /* measures: bytes; of the products of a call */
    int32_t draws;              /* 1: counts its successful calls for random numbers */
} RtEntry;

/* ---- a device beside the processor: a program of its own, whose kernels run there. The code of its entries is the processor's: it computes
 * sizes and addresses, and calls these instead of rt_parallel, rt_copy and rt_clear. Addresses are the device's but those of scalars that
 * the entry has (constants, sizes, the random counter) and of constant tensors: what does not lie in the device's memory is brought there. */

enum { RT_MAPS = 4, RT_MAP_RANK = 5, RT_MAP_BYTES = 128 /* a CUtensorMap */, RT_SQUARE = 64 /* rows and columns of what comes by one */ };
typedef struct RtDeviceKernel {
    const char *name;
    int64_t memory;             /* bytes a warp, of the device's scratch */
    int64_t group;              /* bytes of shared memory that its launch asks for, where a block runs an iteration; 0: warps do */
    int64_t n_maps;             /* of matrices of which squares come by TMA, RT_MAPS at most */
    const int64_t *maps;        /* of each: its argument, its rank, the dimension of a square's rows (its columns are dimension 0); its first element, then
                                   of each dimension its size and stride, in elements: polynomials of the call's sizes. A polynomial: how many
                                   terms; of each its coefficient, how many factors, the numbers of these sizes */
} RtDeviceKernel;

typedef struct RtDeviceImage {
    int32_t arch;               /* 90: of sm_90 */
    int32_t kind;               /* 0: machine code for its generation from there on, 1: for this one alone (90a), 2: PTX for all from there on */
    const int64_t *data;        /* numbers of bytes, unpacked and packed, the checksum of the packed ones (checksum.h) and that of these three
                                   words; then the packed bytes (cuda/unpack.h) */
} RtDeviceImage;

struct RtProgram;
typedef struct RtDevice {
    const struct RtDeviceRuntime *runtime; /* &rt_cuda */
    const struct RtProgram *const *programs; /* of the artifact: the processor's, the least first, the device's, NULL */
    int32_t n_kernels, n_images;
    const RtDeviceKernel *kernels;
    const RtDeviceImage *images;
} RtDevice;

extern const struct RtDeviceRuntime rt_cuda;
/* bytes: of each argument, which is where it lies; kernel: its number in RtDevice.kernels; count: iterations. rows: 0: one call; else so many
 * that run at once (or one), of a kernel that takes a table of them: args[rows][n_args], bytes and sizes alike, counts[rows]. */
void rt_device_run(RtFrame *f, const RtKernel *k, int32_t kernel, int32_t rows, int32_t n_args, void *const *args, const int64_t *bytes, int32_t n_sizes,
                   const int64_t *sizes, const int64_t *counts);
/* A routine of the runtime: on the processor, with what it reads brought there, and its last argument back. */
void rt_device_routine(RtFrame *f, const RtKernel *k, RtThunk *thunk, int32_t n_args, void *const *args, const int64_t *bytes, const int64_t *sizes,
                       int64_t count);
void rt_device_copy(RtFrame *f, void *to, const void *from, int64_t bytes);
void rt_device_clear(RtFrame *f, void *to, int64_t bytes);
const void *rt_device_host(RtFrame *f, const void *p, int64_t bytes); /* the same bytes where the processor reads them, until the next of such calls */
char *rt_device_cell(RtFrame *f, int32_t i); /* 64 bytes of the device's memory */

/* Weights in a file beside the artifact. Its functions are found through here alone, so an artifact without such a file is without them. */
typedef struct RtExternal {
    int (*open)(mdl_session *s, const struct RtExternal *e); /* MDL_OK: the file is the one, and mapped */
    void (*close)(mdl_session *s, const struct RtExternal *e);
    const char *name;      /* of the file, in the folder of the artifact */
    int64_t bytes;         /* all of it */
    const int64_t *places; /* by slot: bytes from its start; 0: not in it */
    uint8_t hash[32];      /* SHA-256 of all of it */
} RtExternal;

/* What a layer stored in a recorded call. */
typedef struct RtTestRow {
    const char *layer, *source;
    int64_t count, step; /* floats that it stored, and of which every step-th is in values */
    const float *values;
    float largest;       /* of all of them */
} RtTestRow;

typedef struct RtTest {
    int32_t entry, sample, n_rows;
    const int64_t *sizes;
    const void *const *inputs;
    const int64_t *output_bytes;
    const RtTestRow *rows; /* in the order of the last stores */
} RtTest;

typedef struct RtTests {
    int32_t n;
    float tolerance; /* of a layer's largest value */
    const RtTest *tests;
} RtTests;

typedef struct RtProgram {
    const mdl_model *model;
    RtMeasure *measure;
    const RtSlot *slots;
    const RtEntry *entries;
    const RtPack *packs;
    int32_t n_names, n_slots, n_entries, n_packs; /* the first three as in the model's table */
    int32_t cpu_level;          /* what the code needs: 0 baseline, 2, 3, 4: x86-64-v2..; core/processor.c has the others */
    int64_t scratch;            /* bytes a thread, the most that a kernel wants */
    int64_t shared;             /* bytes that the calls of one kernel hand on to each other, the most that one wants */
    const RtExternal *external; /* NULL: none */
    const RtTests *tests;       /* NULL: none */
    int (*check)(const struct RtProgram *p); /* rt_processor_check; NULL: every processor of the target runs the code */
    const RtDevice *device;     /* NULL: kernels run on the processor. Last: a program without devices ends before it */
} RtProgram;

/* Bytes of a session, of its tables for each slot, pack and entry, of what a thread has beside scratch: the compiler reads them out of the
 * runtime's object, and its headers say what memory a session takes (codegen/memory.c). */
extern const int32_t rt_session_layout[5];

/* ---- what generated code calls (all names of the runtime begin with rt_ and are hidden in a library) */

/* Runs a kernel over the session's threads; alone, without the pool, if count < 2. Returns when all is done. */
void rt_parallel(RtFrame *f, const RtKernel *k, RtThunk *thunk, void *const *args, const int64_t *sizes, int64_t count);
/* Leaves a message in the session and returns code. */
int rt_fail(mdl_session *s, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Every element of ids (mdl_dtype code and bits; contiguous) is in low <= v < high: MDL_OK, or MDL_RANGE with
 * "ENTRY: NAME[3, 7] = 50257 is not in 0 to 50256". */
int rt_check_range(RtFrame *f, const char *entry, const char *name, const void *ids, int32_t code, int32_t bits, int32_t rank, const int64_t *dims,
                   int64_t low, int64_t high);
void rt_print(RtFrame *f, const char *text, const void *data, int32_t code, int32_t bits, int64_t count); /* `print` of the program */
void rt_copy(void *to, const void *from, int64_t bytes);       /* memmove */
void rt_clear(void *to, int64_t bytes);                        /* zeros */

/* Routines row by row, called through rt_parallel as thunks: sizes = {rows, n, k, direction}, args as named. */
void rt_topk_f32(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);  /* x[rows, n], out i32[rows, k] */
void rt_sort_f32(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);  /* x[rows, n], out i32[rows, n]; direction 1: descending */
void rt_topk_f64(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);
void rt_sort_f64(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);
void rt_topk_i64(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);
void rt_sort_i64(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1);
void rt_categorical_f32(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1); /* x[rows, n], rng u32[4], site u32[1], t i32[1] or NULL,
                                                                                                    out i32[rows] */
void rt_cumsum_f32(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1); /* sizes = {outer, n, inner, from_end}: x, out */

/* Of an artifact's programs for several processors, the least first, then NULL: the one for a device, if there is one, else the best one
 * that this processor runs and that MDL_CPU allows. */
const RtProgram *rt_choose(const RtProgram *const *programs);

int rt_processor_check(const RtProgram *p); /* MDL_TARGET, with a message for error(NULL), where this processor cannot run it */

int rt_external_open(mdl_session *s, const RtExternal *e); /* host/external.c */
void rt_external_close(mdl_session *s, const RtExternal *e);

int rt_selftest_recorded(mdl_session *s, const char **first_wrong_layer, double *error); /* core/selftest.c: where there are tests */

/* ---- what the runtime implements for the model's table */
int rt_open(const RtProgram *p, mdl_session **s, const mdl_options *o);
void rt_close(mdl_session *s);
int rt_call(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_tensor *outputs);
/* Of libraries with code for devices. */
int rt_call_managed(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_managed **outputs);
/* The generated C functions: arguments as they came; inputs and outputs point at row-major data of the declared type. */
int rt_call_raw(const RtProgram *p, mdl_session *s, int32_t entry, const int64_t *sizes, char *const *inputs, char *const *outputs);
int rt_shape(const RtProgram *p, const mdl_value *v, const int64_t *sizes, int64_t *shape);
int64_t rt_bytes(const RtProgram *p, int32_t entry, const int64_t *sizes);
int64_t rt_flops(const RtProgram *p, int32_t entry, const int64_t *sizes);
int rt_load(mdl_session *s, const char *path);
int rt_save(mdl_session *s, const char *path, int32_t optimizer);
int rt_get(mdl_session *s, const char *path, mdl_tensor *t);
int rt_set(mdl_session *s, const char *path, const mdl_tensor *t);
int rt_reset(mdl_session *s);
int rt_seed(mdl_session *s, uint64_t seed);
const char *rt_error(const mdl_session *s);
int rt_note(mdl_session *s, const char *key, const char *value, char *out, size_t out_size);
int rt_stats(const mdl_session *s, int32_t kernel, const char **name, const char **source, int64_t *calls, int64_t *ns);
int rt_work(const mdl_session *s, int32_t kernel, const char **path, int64_t *flops, int64_t *bytes);
int rt_selftest(mdl_session *s, const char **first_wrong_layer, double *error);

/* The session begins with the model (mdl_of), then the program: generated functions find it there. */

#endif
