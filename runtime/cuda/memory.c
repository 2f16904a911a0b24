/* memory.c -- the device's memory: blocks of it, and what is brought there. Everything goes through one stream, so nothing is overwritten
 * before what was sent earlier has used it; steps that were not sent yet (steps.c) go first. */
#include "runtime/cuda/device.h"

enum { SMALL = 64, RING = 64 << 10 };

bool cu_check(RtDeviceState *d, int code, const char *what) {
    if (code && !d->error) {
        d->error = code;
        d->failed = what;
    }
    return !code;
}

/* ---- blocks */

static void *list_grow(void *old, int n, int *cap, size_t width) {
    if (n < *cap) return old;
    int more = *cap ? 2 * *cap : 64;
    void *list = rt_host_take((int64_t)(width * (size_t)more));
    if (!list) return NULL;
    if (n) memcpy(list, old, width * (size_t)n);
    rt_host_give(old);
    *cap = more;
    return list;
}

/* The place of the first block that begins above p. */
static int block_above(const RtDeviceState *d, CuAddress p) {
    int low = 0, high = d->n_blocks;
    while (low < high) {
        int middle = (low + high) / 2;
        if (d->blocks[middle].at > p) high = middle;
        else low = middle + 1;
    }
    return low;
}

static bool block_take(RtDeviceState *d, Block *b, int64_t bytes) {
    if (d->error) return false;
    d->wanted = bytes;
    Block *list = list_grow(d->blocks, d->n_blocks, &d->cap_blocks, sizeof *list);
    if (!list) return cu_check(d, CU_OUT_OF_MEMORY, "a list");
    d->blocks = list;
    CuAddress at = 0;
    if (!cu_check(d, d->driver->memory_take(&at, (size_t)bytes), "memory")) return false;
    int i = block_above(d, at);
    memmove(list + i + 1, list + i, sizeof *list * (size_t)(d->n_blocks - i));
    list[i] = *b = (Block){at, bytes};
    d->n_blocks++;
    return true;
}

void cu_block_give(RtDeviceState *d, Block *b) {
    if (!b->at) return;
    int i = block_above(d, b->at) - 1;
    d->driver->memory_give(b->at);
    d->n_blocks--;
    memmove(d->blocks + i, d->blocks + i + 1, sizeof *d->blocks * (size_t)(d->n_blocks - i));
    *b = (Block){0, 0};
}

bool cu_block_need(RtDeviceState *d, Block *b, int64_t bytes) {
    if (b->bytes >= bytes && b->at) return true;
    if (b->at) cu_flush(d); /* it may be in use */
    if (b->at) cu_check(d, d->driver->stream_wait(d->stream), "work");
    cu_block_give(d, b);
    return block_take(d, b, bytes > RT_ALIGN ? bytes : RT_ALIGN);
}

bool cu_holds(const RtDeviceState *d, const void *p) {
    CuAddress at = (CuAddress)(uintptr_t)p;
    int i = block_above(d, at) - 1;
    bool ours = i >= 0 && at - d->blocks[i].at < (CuAddress)d->blocks[i].bytes;
    for (int k = 0; k < d->n_foreign && !ours; k++) ours = at - d->foreign[k].at < (CuAddress)d->foreign[k].bytes;
    return ours;
}

/* ---- copies */

static void send(RtDeviceState *d, CuAddress to, const void *from, int64_t bytes) {
    if (!d->error && bytes > 0) cu_check(d, d->driver->copy_to(to, from, (size_t)bytes, d->stream), "a copy to the device");
}

void cu_to(RtDeviceState *d, CuAddress to, const void *from, int64_t bytes) {
    cu_flush(d);
    send(d, to, from, bytes);
}

void cu_from(RtDeviceState *d, void *to, CuAddress from, int64_t bytes) {
    if (!d->error && bytes > 0) cu_flush(d);
    if (d->error || bytes <= 0) return;
    if (cu_check(d, d->driver->copy_from(to, from, (size_t)bytes, d->stream), "a copy from the device"))
        cu_check(d, d->driver->stream_wait(d->stream), "its kernels");
}

static CuAddress constant(RtDeviceState *d, const void *p, int64_t bytes) {
    for (int i = 0; i < d->n_constants; i++)
        if (d->constants[i].here == p) return d->constants[i].there;
    Constant *list = list_grow(d->constants, d->n_constants, &d->cap_constants, sizeof *list);
    Block b = {0, 0};
    if (!list) {
        cu_check(d, CU_OUT_OF_MEMORY, "a list");
        return 0;
    }
    d->constants = list;
    if (!block_take(d, &b, bytes)) return 0;
    send(d, b.at, p, bytes); /* nothing that was not sent yet knows this memory */
    list[d->n_constants++] = (Constant){p, b.at};
    return b.at;
}

/* ---- small values: what the entry has on its stack. What is larger lies in the artifact and does not change. */

static void small_room(RtDeviceState *d, int64_t wanted) {
    if (d->error) return;
    rt_host_give(d->small);
    d->small_bytes = d->small_there = 0;
    d->small = rt_host_take(wanted);
    if (!d->small) cu_check(d, CU_OUT_OF_MEMORY, "the processor's memory");
    if (d->small && cu_block_need(d, &d->ring, wanted)) d->small_bytes = wanted;
}

void cu_small_begin(RtDeviceState *d) {
    int64_t wanted = d->small_bytes;
    while (wanted < d->small_most) wanted *= 2;
    if (d->small_new) d->small_there = 0; /* the last call failed before it sent them */
    d->small_most = d->small_all = d->small_at = d->small_sent = 0;
    d->small_new = false;
    if (wanted > d->small_bytes) small_room(d, wanted);
}

/* Nothing, where the ring has them from the call before: tables of launches do not change. */
void cu_small_send(RtDeviceState *d) {
    if (d->small_new) send(d, d->ring.at + (CuAddress)d->small_sent, d->small + d->small_sent, d->small_at - d->small_sent);
    if (d->error) d->small_there = 0;
    else if (d->small_at > d->small_there) d->small_there = d->small_at;
    d->small_sent = d->small_at;
    d->small_new = false;
}

static bool same_bytes(const char *x, const char *y, int64_t n) {
    int64_t i = 0, a, b;
    for (; i + (int64_t)sizeof a <= n; i += (int64_t)sizeof a) {
        memcpy(&a, x + i, sizeof a);
        memcpy(&b, y + i, sizeof b);
        if (a != b) return false;
    }
    for (; i < n; i++)
        if (x[i] != y[i]) return false;
    return true;
}

static int64_t small_size(int64_t bytes) { return (bytes + SMALL - 1) / SMALL * SMALL; }

/* Room for so much without a new beginning of the ring; the next call gets room for all. */
static void small_need(RtDeviceState *d, int64_t bytes) {
    int64_t wanted = d->small_bytes ? d->small_bytes : RING;
    while (wanted < bytes) wanted *= 2;
    if (d->small_all + bytes > d->small_most) d->small_most = d->small_all + bytes;
    if (d->small_at + bytes <= d->small_bytes || d->error) return;
    cu_flush(d);
    d->small_at = d->small_sent = 0;
    if (wanted > d->small_bytes) small_room(d, wanted);
}

void cu_small_launch(RtDeviceState *d, int n, void *const *args, const int64_t *bytes, int64_t table) {
    int64_t all = small_size(table);
    for (int i = 0; i < n; i++) all += args[i] && bytes[i] <= SMALL && !cu_holds(d, args[i]) ? SMALL : 0;
    if (all) small_need(d, all);
}

CuAddress cu_small(RtDeviceState *d, const void *p, int64_t bytes) {
    int64_t room = small_size(bytes);
    small_need(d, room);
    d->small_all += room;
    if (d->error) return 0;
    int64_t at = d->small_at;
    d->small_at += room;
    if (d->small_at <= d->small_there && same_bytes(d->small + at, p, bytes)) return d->ring.at + (CuAddress)at;
    d->small_new = true;
    memcpy(d->small + at, p, (size_t)bytes);
    return d->ring.at + (CuAddress)at;
}

CuAddress cu_bring(RtDeviceState *d, const void *p, int64_t bytes) {
    if (!p || cu_holds(d, p)) return (CuAddress)(uintptr_t)p;
    return bytes > SMALL ? constant(d, p, bytes) : cu_small(d, p, bytes);
}
