/* device.h -- what a session keeps of its device; private to runtime/cuda. */
#ifndef RUNTIME_CUDA_DEVICE_H
#define RUNTIME_CUDA_DEVICE_H
#include "runtime/cuda/driver.h"
#include "runtime/internal.h"

typedef struct Block { /* memory of the device */
    CuAddress at;
    int64_t bytes;
} Block;

typedef struct Constant { /* of the artifact, and its copy */
    const void *here;
    CuAddress there;
} Constant;

enum { CU_PARTS = 8 }; /* of a call, that may be graphs */
typedef struct Graph { /* of a part of an entry's calls (steps.c) */
    CuHandle graph;   /* NULL: none */
    int64_t *words, n_words; /* the steps that it does: all addresses that it knows */
    uint64_t last;    /* the checksum of what the last call asked for that had another graph, or none */
} Graph;

typedef enum { SLOT_HERE, SLOT_BOTH, SLOT_THERE } SlotState; /* where the newest value is */

typedef struct RtDeviceState RtDeviceState;
struct RtDeviceState {
    mdl_session *session;
    const CuDriver *driver;
    int number, device, processors; /* 1 of cuda:1; the driver's handle */
    CuHandle context, stream, module;
    bool by_maps;         /* its code is for sm_90a, and the driver makes maps */
    CuHandle *functions;  /* by number of the kernel */
    Block *blocks;        /* all that was taken, by address */
    int n_blocks, cap_blocks;
    Constant *constants;
    int n_constants, cap_constants;
    Block arena, io, shared, scratch, cells, ring;
    char *small;          /* small values on their way to the ring, each in its place */
    int64_t small_bytes, small_at, small_sent; /* room, taken, sent */
    int64_t small_all, small_most; /* taken by the call, more than there may be room; the most that a launch of it wanted behind that */
    int64_t small_there;  /* so far from its beginning the ring has what stands here, but for what is not sent yet */
    bool small_new;       /* .. of which something is not what the ring has */
    int64_t *words, n_words, cap_words; /* steps not sent yet */
    int64_t n_steps;
    int entry, part;      /* of the call under way */
    bool graphs_wanted;
    Graph *graphs;        /* by entry and part */
    char **slots;         /* by slot: the device's memory, NULL: none so far */
    int64_t *slot_bytes;
    unsigned char *slot_state;
    char **inputs, **outputs; /* of the call under way */
    Block *foreign;       /* .. those that lie in the caller's memory on the device */
    int n_foreign;
    CuHandle before;      /* the context that the caller's thread had */
    char *host;           /* rt_device_host */
    int64_t host_bytes;
    int error;            /* the driver's, the first of this call */
    const char *failed;   /* what it was asked for */
    int64_t wanted;       /* bytes, where that was memory */
    int64_t needs;        /* of the call under way: bytes of slots, values, inputs and outputs */
};

/* memory.c: each notes an error, and does nothing after one. */
bool cu_check(RtDeviceState *d, int code, const char *what);
bool cu_block_need(RtDeviceState *d, Block *b, int64_t bytes); /* grown; what was in it is lost */
void cu_block_give(RtDeviceState *d, Block *b);
bool cu_holds(const RtDeviceState *d, const void *p); /* does it lie in the device's memory? */
void cu_to(RtDeviceState *d, CuAddress to, const void *from, int64_t bytes);
void cu_from(RtDeviceState *d, void *to, CuAddress from, int64_t bytes); /* and waits */
CuAddress cu_bring(RtDeviceState *d, const void *p, int64_t bytes); /* where the device finds it: there already, a constant, a small value */
CuAddress cu_small(RtDeviceState *d, const void *p, int64_t bytes); /* there until the next flush: a small value, which may change from call to call */
void cu_small_begin(RtDeviceState *d); /* of a call: room for its small values */
/* Of a launch: room for those among n arguments and for a table of so many bytes, so that none takes the place of another. */
void cu_small_launch(RtDeviceState *d, int n, void *const *args, const int64_t *bytes, int64_t table);
void cu_small_send(RtDeviceState *d);  /* those that were brought since */

/* device.c */
void cu_enter(RtDeviceState *d); /* the thread's context becomes the session's, until cu_leave */
void cu_leave(RtDeviceState *d);
int cu_failure(RtDeviceState *d, const char *entry); /* the code and the sentence of d->error */

int cu_take(mdl_session *s, int64_t bytes, mdl_managed **out); /* managed.c: RtDeviceRuntime.take */

/* steps.c */
bool cu_graphs_wanted(void);
void cu_flush(RtDeviceState *d); /* the steps that were not sent yet are, not waited for */
void cu_graphs_free(RtDeviceState *d);
#endif
