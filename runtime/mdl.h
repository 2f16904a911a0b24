/* mdl.h -- the C interface of every artifact that modelc makes.
 *
 * An artifact exports names that begin with the model's own: gpt_model(), gpt_open(), gpt_decode() ...; its generated header
 * declares them with their shapes. Everything here is generic: it goes through the table that gpt_model() returns, so any number of
 * artifacts, of different versions, can be linked or loaded into one program, and a tool such as mdlrun needs no generated header.
 *
 * Rules. C99, no other header needed. Functions return MDL_OK or a code, and leave a sentence in mdl_error(); they never print,
 * exit, abort or raise. Every argument is checked before anything runs. A session belongs to one thread at a time (a second call
 * meanwhile gets MDL_BUSY); different sessions run in parallel. Structs only grow at their end; `size` says how much the caller knows.
 */
#ifndef MDL_H
#define MDL_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define MDL_ABI 1

enum mdl_status {
    MDL_OK = 0,
    MDL_ARGUMENT = 1, /* null, unknown name, wrong dtype or rank */
    MDL_RANGE = 2,    /* a size or an index outside what the program says */
    MDL_ASSERT = 3,   /* an `assert` of the program is false */
    MDL_MEMORY = 4,   /* not enough: mdl_error() says how much is needed */
    MDL_IO = 5,       /* the system refused: open, read, write, sync */
    MDL_FORMAT = 6,   /* a file is not what it claims to be */
    MDL_MISMATCH = 7, /* weights or checkpoint of another model */
    MDL_TARGET = 8,   /* this processor or device cannot run the artifact */
    MDL_DEVICE = 9,   /* the GPU driver reported an error */
    MDL_NUMBER = 10,  /* a NaN, with MDL_CHECK_NUMBERS: names layer and source line */
    MDL_BUSY = 11,
    MDL_INTERRUPTED = 12,
    MDL_BROKEN = 13 /* a call failed after it had begun to change weights: load a checkpoint (or reset, if only caches changed) */
};

/* Types and tensors have the layout of DLPack 1.0's DLDataType, DLDevice and DLTensor: NumPy, PyTorch and JAX arrays go in uncopied. A session on
 * a device takes tensors of that device in calls, row-major without gaps, where they lie: they are read and written after what its default
 * stream has been asked for, and results are complete when the call returns. */
typedef struct { uint8_t code, bits; uint16_t lanes; } mdl_dtype; /* code: 0 int, 1 uint, 2 float, 4 bfloat, 6 bool; 4-bit: lanes 1 */
typedef struct { int32_t type, id; } mdl_device;                  /* type: 1 cpu, 2 cuda */
typedef struct {
    void *data;
    mdl_device device;
    int32_t rank;
    mdl_dtype dtype;
    int64_t *shape;   /* rank sizes */
    int64_t *strides; /* in elements; NULL: row-major without gaps */
    uint64_t offset;  /* bytes from data to the first element */
} mdl_tensor;

/* DLPack's DLManagedTensor: a tensor whose memory belongs to somebody else, and how he is told that it is not needed any more. */
typedef struct mdl_managed {
    mdl_tensor tensor;
    void *context;                         /* the owner's */
    void (*release)(struct mdl_managed *); /* to be called once, from any thread; NULL: nothing is to be done */
} mdl_managed;

typedef struct mdl_session mdl_session;
typedef struct mdl_model mdl_model;

/* ---- what the caller may bring ------------------------------------------------------------------------------------------- */

/* Runs body(context, i) for all i in 0..n-1, from any threads, and returns when all are done. Need not be reentrant. */
typedef void mdl_parallel(void *pool, int32_t n, void (*body)(void *context, int32_t i), void *context);
/* The part of one thread that had one in a kernel, told after the kernel has ended, by the thread that called; begin and end in nanoseconds of CLOCK_MONOTONIC. */
typedef void mdl_trace(void *context, const char *name, const char *path, const char *source, int32_t thread, int64_t begin, int64_t end);
typedef void mdl_log(void *context, int level, const char *line); /* 0 note, 1 warning; also what `print` of the program says */
/* Floats that a kernel has stored: count of them, of 32 or 64 bits, for the layer "net.h.3.attn" (or ""), at "gpt.mdl:29" (or ""). */
typedef void mdl_watch(void *context, const char *layer, const char *source, const void *data, int32_t bits, int64_t count);

enum mdl_flags {
    MDL_COPY_WEIGHTS = 1,  /* on huge pages: a slower start, faster streaming; else used where they lie */
    MDL_CHECK_NUMBERS = 2, /* a call stops at the first NaN: slower */
    MDL_PROFILE = 4,       /* keep times per kernel */
    MDL_NO_INIT = 8        /* leave parameters unset: the caller loads all of them */
};

typedef struct {
    uint32_t size;       /* sizeof(mdl_options) */
    uint32_t flags;
    int32_t threads;     /* 0: as many as the process may use; 1: none beside the caller's. One, whatever is asked for, where the process has no
                            pthread_create: before glibc 2.34 without libpthread, or linked statically and not calling it */
    mdl_device device;   /* {0, 0}: the best the artifact has here (the first device that it was compiled for, or the processor, with a note in the
                            log); {1, 0}: the processor; {2, n}: device n, or the open fails */
    uint64_t seed;
    const char *weights; /* a .safetensors or a checkpoint; NULL: those inside the artifact or in the file that belongs beside it, or initial values */
    void *memory;        /* the session and its arena, 64-byte aligned: only threads, notes, profiles come from elsewhere; NULL: allocated */
    size_t memory_bytes;
    mdl_parallel *parallel; /* the caller's pool instead of our own */
    void *pool;
    mdl_log *log;
    void *log_context;
    mdl_trace *trace;    /* NULL: none */
    void *trace_context;
    mdl_watch *watch;       /* sees what each kernel has stored, in the order of the kernels, from the thread that calls: slower */
    void *watch_context;
} mdl_options;

/* ---- what an artifact says about itself: constant data, readable without a session ----------------------------------------- */

#define MDL_COMPUTED (-1)
#define MDL_NAMED (-2)
enum mdl_kind { MDL_INPUT, MDL_OUTPUT, MDL_SIZE, MDL_PARAM, MDL_STATE, MDL_CACHE };

typedef struct {
    const char *name; /* x, logits, net.0.weight, batch */
    int32_t kind;
    mdl_dtype dtype;
    int32_t rank;
    const int64_t *dims; /* per axis: >= 0 a fixed size; MDL_NAMED - i: size i of the model's table (a bare name); MDL_COMPUTED: ask shape() */
    const char *shape;   /* the same for people: "float[batch, 3 * h]" */
} mdl_value;

typedef struct {
    const char *name;
    int64_t low, high; /* allowed range; high < 0: no limit */
    int32_t entry;     /* -1: the whole model's */
} mdl_size;

typedef struct {
    const char *name;
    int32_t train; /* 1: changes parameters */
    int32_t n_sizes, n_inputs, n_outputs;
    const int32_t *sizes; /* into the sizes table, in the order of the C function's arguments */
    const mdl_value *inputs, *outputs;
    const char *source; /* "gpt.mdl:94" */
} mdl_entry;

struct mdl_model {
    uint32_t abi, size;
    const char *name, *version, *compiler, *target; /* target: "x86-64-v3 x86-64-v4 cuda:sm_90" */
    uint8_t source_hash[32], interface_hash[32], weights_hash[32]; /* SHA-256; equal weights_hash: checkpoints are exchangeable */
    int32_t n_entries, n_values, n_sizes;
    const mdl_entry *entries;
    const mdl_value *values; /* parameters, state, caches by path */
    const mdl_size *sizes;
    const char *run; /* the program's `run { }` block as JSON, or NULL */

    int (*open)(mdl_session **, const mdl_options *);
    void (*close)(mdl_session *);
    int (*call)(mdl_session *, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_tensor *outputs);
    int (*shape)(const mdl_value *, const int64_t *sizes, int64_t *shape); /* fills rank sizes */
    int64_t (*bytes)(int32_t entry, const int64_t *sizes);           /* session and arena for these sizes; entry -1: without an arena */
    int (*load)(mdl_session *, const char *path);                   /* all or nothing */
    int (*save)(mdl_session *, const char *path, int32_t optimizer); /* atomic: written aside, synced, renamed */
    int (*get)(mdl_session *, const char *path, mdl_tensor *);      /* copies out; data NULL: only asks for the shape */
    int (*set)(mdl_session *, const char *path, const mdl_tensor *);
    int (*reset)(mdl_session *); /* caches to their initial values, sizes free again */
    int (*seed)(mdl_session *, uint64_t);
    const char *(*error)(const mdl_session *); /* NULL session: why the last open of this thread failed */
    int (*stats)(const mdl_session *, int32_t kernel, const char **name, const char **source, int64_t *calls, int64_t *ns);
    /* Calls entries on recorded samples (modelc --self-test); resets caches. MDL_TARGET: a layer stores something else than it did then, *error
     * of its largest value; MDL_OK: none does, by more than *error. */
    int (*selftest)(mdl_session *, const char **first_wrong_layer, double *error);
    /* A string of the caller's, kept in checkpoints' __metadata__ (key "mdlrun.step", say): set where value is not NULL, else copied
     * to out, cut to out_size with its final 0; a key never set: MDL_ARGUMENT. */
    int (*note)(mdl_session *, const char *key, const char *value_or_null, char *out, size_t out_size);
    int64_t (*flops)(int32_t entry, const int64_t *sizes); /* additions and multiplications of the products in a call */
    /* Beside stats: the layer, and over all calls the operations of its products and the bytes that it had to move at least. */
    int (*work)(const mdl_session *, int32_t kernel, const char **path, int64_t *flops, int64_t *bytes);
    /* As call, with results in memory that is made for them where the session computes, the device's or the processor's: outputs[i] becomes one
     * that the caller releases, if need be after the session is closed. After an error all are NULL. The
     * table of a library without code for devices ends before it (size): there shape() and memory of the caller's do as well. */
    int (*call_managed)(mdl_session *, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_managed **outputs);
};

/* Every shared artifact exports this beside NAME_model(), so that tools find the table without knowing the name. */
typedef const mdl_model *mdl_model_function(void);
#define MDL_MODEL_SYMBOL "mdl_model_v1"

/* ---- generic calls: a session begins with its model ------------------------------------------------------------------------ */

static inline const mdl_model *mdl_of(const mdl_session *s) { return *(const mdl_model *const *)s; }
static inline void mdl_close(mdl_session *s) { if (s) mdl_of(s)->close(s); }
static inline int mdl_load(mdl_session *s, const char *path) { return mdl_of(s)->load(s, path); }
static inline int mdl_save(mdl_session *s, const char *path) { return mdl_of(s)->save(s, path, 1); }
static inline int mdl_reset(mdl_session *s) { return mdl_of(s)->reset(s); }
static inline int mdl_seed(mdl_session *s, uint64_t seed) { return mdl_of(s)->seed(s, seed); }
static inline const char *mdl_error(const mdl_session *s) { return s ? mdl_of(s)->error(s) : "no session: ask NAME_model()->error(NULL)"; }

#ifdef __cplusplus
}
#endif
#endif
