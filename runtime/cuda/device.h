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

typedef enum { SLOT_HERE, SLOT_BOTH, SLOT_THERE } SlotState; /* where the newest value is */

typedef struct RtDeviceState RtDeviceState;
struct RtDeviceState {
    mdl_session *session;
    const CuDriver *driver;
    int device, processors;
    CuHandle context, stream, module;
    CuHandle *functions;  /* by number of the kernel */
    Block *blocks;        /* all that was taken, by address */
    int n_blocks, cap_blocks;
    Constant *constants;
    int n_constants, cap_constants;
    Block arena, io, shared, scratch, cells, ring;
    int64_t ring_at;      /* small values on their way: each in its place, until they are used */
    char **slots;         /* by slot: the device's memory, NULL: none so far */
    int64_t *slot_bytes;
    unsigned char *slot_state;
    char **inputs, **outputs; /* of the call under way */
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
#endif
