/* internal.h -- inside the runtime: the session and what its files share. The headers that the core includes are the compiler's own. */
#ifndef RUNTIME_INTERNAL_H
#define RUNTIME_INTERNAL_H
#include "runtime/host.h"
#include "runtime/runtime.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#define RT_MAX_RANK 8
#define RT_MAX_THREADS 1024
#define RT_ALIGN 64

typedef struct RtNote {
    struct RtNote *next;
    char *value;
    char key[];
} RtNote;

typedef struct RtCount { /* MDL_PROFILE: one row a kernel */
    const RtKernel *kernel;
    int64_t calls, ns, flops, bytes;
} RtCount;

typedef struct RtPart { /* of a parallel region: how many of its chunks have been taken */
    _Alignas(64) atomic_int next; /* a part has CHUNKS of them, and each thread asks once too often */
    int64_t begin, end;     /* of the thread, where a trace is wanted; begin 0: it took no part */
} RtPart;

typedef struct RtBlock { /* RT_ALIGN bytes; what lies in the block follows */
    _Alignas(RT_ALIGN) struct RtBlock *next;
    int64_t bytes;
} RtBlock;

struct mdl_session {
    const mdl_model *model; /* first: mdl_of */
    const RtProgram *program;
    atomic_int busy;        /* a call is running */
    uint32_t flags;
    int broken;             /* 0; 1: caches may be half changed, a reset mends it; 2: weights, a load does */
    uint64_t seed;
    uint64_t *steps;        /* one block with the session, up to pack_made; by entry: successful calls, the random step */
    char **slots;           /* memory of each slot; NULL: a cache not touched yet */
    char **spare;           /* in the caller's memory: a place of spare_bytes that a cache had before it was reset by an entry, or NULL */
    int64_t *spare_bytes;
    const char *external;   /* RtProgram.external, mapped; NULL: none, or not wanted */
    bool *owned;            /* slots[i] may be written: it was allocated here, and is not the artifact's own data */
    RtBlock *blocks;        /* that many slots and packs lie in together; none in the caller's memory */
    char *room;             /* of the latest: what nobody has yet */
    int64_t room_bytes;
    char **packs;           /* memory of each pack; NULL: not used so far */
    bool *pack_made;        /* packs[i] agrees with its slot */
    int64_t (*dims)[RT_MAX_RANK]; /* sizes of each slot, once it has memory */
    char *arena;
    int64_t arena_bytes;
    RtPart *parts;          /* by thread; one block with scratch and shared */
    char *scratch;          /* threads * scratch_stride */
    int64_t scratch_stride;
    char *shared;           /* RtProgram.shared bytes */
    int threads;
    RtPool *pool;           /* NULL: one thread, or the caller's pool */
    mdl_parallel *parallel; /* the caller's pool */
    void *parallel_pool;
    mdl_trace *trace;       /* NULL: nobody wants to know */
    void *trace_context;
    mdl_log *log;
    void *log_context;
    mdl_watch *watch;
    void *watch_context;
    char *memory;           /* the caller's memory: a rising mark, nothing is given back; NULL: the system's */
    size_t memory_bytes, memory_used; /* the bytes fall while a call has borrowed some at the end */
    size_t memory_floor;    /* what lies above is caches: a reset goes back to here */
    struct RtDeviceState *device; /* NULL: the program is the processor's */
    RtNote *notes;
    RtCount *counts;
    int n_counts, cap_counts;
    char error[RT_ERROR];
};

/* ---- core/memory.c: what compilers call by themselves; where libc is there, artifacts keep to these all the same */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

/* ---- core/text.c: as snprintf, for %s %.80s %.*s %c %d %u %x %lld %llu %llx %% and %04x and the like; the length of the whole text */
size_t rt_text(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t rt_text_list(char *out, size_t size, const char *format, va_list ap);
size_t rt_text_double(char *out, size_t size, double v, int digits); /* as snprintf with "%.*g", of at most 40 digits */
int rt_text_order(const char *a, const char *b); /* as strcmp */
size_t rt_text_length(const char *text);

/* ---- core/session.c */
/* Zeroed, aligned to RT_ALIGN; NULL when there is no more: the caller says MDL_MEMORY. */
void *rt_alloc(mdl_session *s, int64_t bytes);
void rt_release(mdl_session *s, void *p);
/* Memory of slots and packs, zeroed, that stays until the session closes. Those that are needed at one time share a block (rt_room, with the
 * sum of rt_aligned of all of them, comes before): large pages, where each by itself might not fill one. Without room, by themselves. */
void rt_room(mdl_session *s, int64_t bytes);
void *rt_place(mdl_session *s, int64_t bytes);
void rt_displace(mdl_session *s, void *p); /* frees what stood by itself */
static inline int64_t rt_aligned(int64_t bytes) { return ((bytes ? bytes : 1) + RT_ALIGN - 1) / RT_ALIGN * RT_ALIGN; }
/* Memory for the time of one call, not zeroed. rt_call returns it: rt_release, and the caller's memory is as long as it was. */
void *rt_borrow(mdl_session *s, int64_t bytes);
int rt_arena_need(mdl_session *s, int64_t bytes);
bool rt_enter(mdl_session *s); /* false: another thread is in it (MDL_BUSY) */
void rt_leave(mdl_session *s);
const char *rt_dtype_name(mdl_dtype t); /* f32, i64, bool ... */
int rt_open_failed(int code, const char *format, ...) __attribute__((format(printf, 2, 3))); /* for error(NULL) */

const RtProgram *rt_choose_processor(const RtProgram *const *programs); /* core/processor.c: the best that this processor runs */

/* ---- core/numbers.c: MDL_CHECK_NUMBERS */
int rt_check_inputs(RtFrame *f, const mdl_entry *entry); /* MDL_NUMBER, with a message, where one has a NaN */
void rt_check_kernel(RtFrame *f, const RtKernel *k, void *const *args); /* sets f->nan */

/* ---- cuda/: what a session does with a device; linked where a program has one */
typedef struct RtDeviceRuntime {
    /* The program itself, or, with a note, that of the processor. NULL, and said: the caller asks for a device, and there is none. */
    const RtProgram *(*choose)(const RtProgram *p, mdl_options *o); /* o->device becomes the one that was chosen */
    int (*open)(mdl_session *s, int number);            /* of the device; sets s->device */
    void (*close)(mdl_session *s);
    int (*enter)(RtFrame *f, const RtEntry *e, const mdl_entry *entry); /* inputs and slots go there; the frame then points there */
    int (*leave)(RtFrame *f, const RtEntry *e, const mdl_entry *entry, char *const *outputs, int code); /* outputs come back */
    int (*number)(const mdl_session *s);                /* of its device */
    int (*take)(mdl_session *s, int64_t bytes, mdl_managed **tensor); /* memory there; of the tensor all is set but dtype, rank and sizes */
    int (*read)(mdl_session *s, int slot);              /* the session's memory of a slot has the value that the device's has */
    void (*written)(mdl_session *s, int slot);          /* .. has a newer one, or is gone */
} RtDeviceRuntime;
/* NULL in a runtime that knows no devices, whose code for them then goes away. */
#ifdef RT_DEVICES
enum { RT_KNOWS_DEVICES = 1 };
static inline const RtDevice *rt_device(const RtProgram *p) { return p->device; }
int rt_slot_read(mdl_session *s, int slot);     /* core/slots.c: before the session's memory of a slot is read */
void rt_slot_written(mdl_session *s, int slot); /* .. before it is written, or goes */
#else
enum { RT_KNOWS_DEVICES = 0 };
static inline const RtDevice *rt_device(const RtProgram *p) { return (void)p, (const RtDevice *)0; }
static inline int rt_slot_read(mdl_session *s, int slot) { return (void)s, (void)slot, MDL_OK; }
static inline void rt_slot_written(mdl_session *s, int slot) { (void)s, (void)slot; }
#endif

/* The program that makes initial values: the processor's. */
static inline const RtProgram *rt_here(const RtProgram *p) { return rt_device(p) ? rt_device(p)->programs[0] : p; }

/* ---- core/call.c, slots.c, packs.c */
int64_t rt_count(const int64_t *dims, int rank); /* -1: does not fit 62 bits */
/* The sizes of a value's axes (v->rank of them) for these values of the program's size names. */
void rt_dims(const RtProgram *p, const mdl_value *v, const int64_t *sizes, int64_t *dims);
int rt_width(mdl_dtype t); /* bytes an element */
/* A tensor of the caller against what is declared: v, with these sizes. what: the entry, "get", "set". */
int rt_tensor_check(mdl_session *s, const char *what, const mdl_value *v, const int64_t *dims, const mdl_tensor *t);
/* Between a tensor, with strides or not, aligned or not, and row-major memory; out: to the tensor. */
void rt_tensor_copy(const mdl_tensor *t, char *flat, bool out);
void rt_shape_text(char *out, size_t size, const int64_t *dims, int rank); /* [2, 3] */
static inline const mdl_value *rt_slot_value(const mdl_session *s, int slot) { return &s->model->values[slot]; }
static inline const int32_t *rt_stored(const RtEntry *e) { return e->slots + e->n_touched; }
static inline const int32_t *rt_reset_slots(const RtEntry *e) { return e->slots + e->n_touched + e->n_stored; }
int rt_slot_find(const mdl_session *s, const char *path); /* -1: none */
int64_t rt_slot_bytes(const mdl_session *s, int slot); /* of a slot that has memory */
int rt_slot_own(mdl_session *s, int slot); /* before it is written: its memory becomes the session's own, packs of it are old */
int64_t rt_slot_missing(const mdl_session *s, int slot); /* the memory that rt_slot_own will take */
int rt_slots_copy(mdl_session *s); /* weights that lie in the artifact, or the file beside it, move into one block; or MDL_MEMORY */
int rt_slot_init(mdl_session *s, int slot, const int64_t *sizes); /* memory and initial value */
int rt_slots_open(mdl_session *s); /* all parameters and states */
/* The caches that entry touches exist and have the right sizes, or MDL_RANGE. */
int rt_slots_touch(mdl_session *s, const RtEntry *e, const char *entry, const int64_t *sizes);
/* After a call that has succeeded: the caches that the entry resets are as if untouched. */
void rt_slots_reset(mdl_session *s, const RtEntry *e);
/* The packs that this call of the entry uses have memory and agree with their slots. */
int rt_packs_need(mdl_session *s, const RtEntry *e, const int64_t *sizes);
void rt_packs_old(mdl_session *s, int slot); /* the slot is about to change */
void rt_packs_forget(mdl_session *s);        /* gives back what lies above the floor of the caller's memory, before a reset */
int64_t rt_packs_bytes(const RtProgram *p, const RtEntry *e, const int64_t *sizes); /* of the packs that such a call uses */

#endif
