/* emulator.c -- see emulator.h. A thread of the device is a fiber with a stack of its own.
 *
 * With NT_RACES ThreadSanitizer looks at the kernels (their text is compiled with -fsanitize=thread, this file is not: what it stores is
 * its own). A fiber is a thread to it, and nt_sync alone puts the accesses of a warp in order, nt_sync_group those of a block: a shuffle is no
 * fence, and other warps do not know of each other. */
#include "tests/cuda/emulator.h"

#include "tests/cuda/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef __x86_64__
#error "fibers are written for x86-64"
#endif

enum { THREADS = 1024, WARP = 32, BROUGHT = 6 /* most words that a lane brings to a meeting */, ARGUMENTS = 128, STACK = 256 << 10 };

/* ---- what ThreadSanitizer is told */

#ifdef NT_RACES
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *);
void __tsan_switch_to_fiber(void *, unsigned flags);
void __tsan_acquire(void *);
void __tsan_release(void *);
void __tsan_read2(void *);
enum { UNORDERED = 1 };
static void *race_host, *race_fiber[THREADS];
static char race_end, race_meeting[THREADS / WARP + 1][2]; /* of warps, and the block */
static void races_begin(int threads) {
    race_host = __tsan_get_current_fiber();
    for (int i = 0; i < threads; i++) race_fiber[i] = __tsan_create_fiber(0);
}
static void races_end(int threads) {
    __tsan_acquire(&race_end);
    for (int i = 0; i < threads; i++) __tsan_destroy_fiber(race_fiber[i]);
}
static void races_run(int i) { __tsan_switch_to_fiber(i < 0 ? race_host : race_fiber[i], UNORDERED); }
static void races_arrive(int warp, int meeting) { __tsan_release(&race_meeting[warp][meeting & 1]); }
static void races_leave(int warp, int meeting) { __tsan_acquire(&race_meeting[warp][meeting & 1]); }
static void races_done(void) { __tsan_release(&race_end); }
static void races_read(const void *p) { __tsan_read2((void *)p); }
#else
static void races_begin(int threads) { (void)threads; }
static void races_end(int threads) { (void)threads; }
static void races_run(int i) { (void)i; }
static void races_arrive(int warp, int meeting) { (void)warp, (void)meeting; }
static void races_leave(int warp, int meeting) { (void)warp, (void)meeting; }
static void races_done(void) {}
static void races_read(const void *p) { (void)p; }
#endif

/* ---- threads */

typedef struct Fiber {
    void *stack;
    int done;
    const char *waits; /* at what, NULL: it can run */
} Fiber;

typedef struct Warp { /* where its threads meet */
    unsigned value[2][BROUGHT][WARP]; /* of two meetings: a thread may be at the next while others read this one */
    int arrived, meeting, left;
    const char *what;
} Warp;

NtIndex nt_thread_index, nt_block_index, nt_grid_size;
char *nt_shared_memory;
static Fiber fibers[THREADS];
static Warp warps[THREADS / WARP];
static char *stacks;
static int n_threads, running, live, shared_bytes, has_wgmma;
static int group_arrived, group_meeting;
static void *scheduler;
static void *the_kernel;
static long long arguments[ARGUMENTS];
static unsigned order_now, random_state;
static char problem[200];

/* Saves what a call preserves, changes stacks, restores. */
void nt_switch(void **save, void *load);
__asm__(".text\n.globl nt_switch\n.hidden nt_switch\nnt_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

static unsigned random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static void yield(void) {
    int me = running;
    races_run(-1);
    nt_switch(&fibers[me].stack, scheduler);
    running = me;
    nt_thread_index.x = (unsigned)me;
}

/* Waits until all threads of the warp are here, with n words each; returns the number of the meeting. */
static int meet(const char *what, int n, const unsigned *value) {
    int me = running, lane = me % WARP, size = n_threads - (me - lane) < WARP ? n_threads - (me - lane) : WARP;
    Warp *w = &warps[me / WARP];
    int meeting = w->meeting;
    if (w->arrived == 0) w->what = what;
    else if (w->what != what && !*problem)
        snprintf(problem, sizeof problem, "block %u: thread %d is at a %s, others of its warp at a %s", nt_block_index.x, me, what, w->what);
    for (int i = 0; i < n; i++) w->value[meeting & 1][i][lane] = value[i];
    if (++w->arrived == size) {
        w->arrived = 0;
        w->meeting++;
        for (int i = me - lane; i < me - lane + size; i++) fibers[i].waits = NULL;
    } else {
        fibers[me].waits = what;
    }
    yield();
    return meeting & 1;
}

unsigned nt_shuffle(unsigned x, int lane) {
    static const char what[] = "shuffle";
    int warp = running / WARP, meeting = meet(what, 1, &x);
    return warps[warp].value[meeting][0][lane & 31];
}

/* What all lanes hold, n words each. The copy is of this thread: the others may be at the next meeting. */
static void gather(const char *what, int n, const unsigned *x, unsigned (*all)[WARP]) {
    int warp = running / WARP, meeting = meet(what, n, x);
    for (int k = 0; k < n; k++)
        for (int i = 0; i < WARP; i++) all[k][i] = warps[warp].value[meeting][k][i];
}

/* ---- copies behind the back of a thread */

typedef struct Copy {
    void *to;
    const void *from;
    int size, bytes, group; /* bytes: of the source; zeros behind them */
    int waited; /* this thread knows that it is there; others do from the next meeting on */
} Copy;
enum { COPIES = 256, STORES = 4096 };
static Copy pending[THREADS][COPIES];
static int n_pending[THREADS], group_of[THREADS];

static void copy_now(const Copy *c) {
    memset(c->to, 0, (size_t)c->size);
    memcpy(c->to, c->from, (size_t)c->bytes);
}

/* What the units that multiply for four warps see of shared memory, in squares: the number of one changes with it. (No function that
 * ThreadSanitizer watches.) */
enum { SQUARE = 8192, SQUARES = 32 };
static unsigned char view[SQUARES * SQUARE];
static unsigned view_number[SQUARES];

static void view_set(const void *to, const void *from, int size, int bytes) {
    unsigned char *at = view + ((const char *)to - nt_shared_memory);
    for (int i = 0; i < size; i++) at[i] = !from ? 0xff : i < bytes ? ((const unsigned char *)from)[i] : 0;
    view_number[(at - view) / SQUARE]++;
}

static void view_clear(void) {
    for (int i = 0; i < shared_bytes; i++) view[i] = 0xff;
    for (int i = 0; i < SQUARES; i++) view_number[i]++;
}

static void complain(const char *what) {
    if (!*problem) snprintf(problem, sizeof problem, "block %u: thread %d: %s", nt_block_index.x, running, what);
}

static void copy(void *to, const void *from, int size, int bytes) {
    Copy c = {to, from, size, bytes, group_of[running], 0};
    char *at = to;
    if (((size_t)to | (bytes ? (size_t)from : 0)) % (size_t)size) complain("a copy at an odd place");
    if (at < nt_shared_memory || at + size > nt_shared_memory + shared_bytes) complain("a copy beside shared memory");
    if (n_pending[running] == COPIES) complain("too many copies under way");
    if (*problem) return;
    if (order_now % 2) memset(to, 0xff, (size_t)size);
    else copy_now(&c);
    if (has_wgmma) view_set(to, NULL, size, 0);
    pending[running][n_pending[running]++] = c;
}

void nt_copy_16(void *to, const void *from, int bytes) { copy(to, from, 16, bytes); }
void nt_copy_4(void *to, const void *from, int bytes) { copy(to, from, 4, bytes); }

void nt_commit(void) { group_of[running]++; }

void nt_wait(int n) {
    for (int i = 0; i < n_pending[running]; i++) pending[running][i].waited |= pending[running][i].group < group_of[running] - n;
}

/* Copies that were waited for land now, if they are late: before the others go on. */
static int copies_land(void) {
    int left = 0;
    for (int i = 0; i < n_pending[running]; i++) {
        Copy *c = &pending[running][i];
        if (!c->waited) pending[running][left++] = *c;
        else if (order_now % 2) copy_now(c);
    }
    return n_pending[running] = left;
}

/* ---- boxes of tensors that the device brings, and the barriers that count their bytes */

typedef struct Barrier {
    const void *at;
    int bytes, arrived, by, published; /* expected and not there yet; in this phase; the thread that made it */
    unsigned phase;
} Barrier;
typedef struct Box {
    char *to;
    const char *map;
    Barrier *b;
    int at[MAP_RANK];
} Box;
enum { BARRIERS = 8, BOXES = 64, MAPS = 8 };
static Barrier barriers[BARRIERS];
static Box boxes[BOXES];
static int n_barriers, n_boxes, n_maps;
static const char *maps_known[MAPS]; /* by thread 0's fences, of this block */
static int map_by[MAPS], touched[THREADS];
static const char at_barrier[] = "barrier";

static void barriers_publish(void) {
    for (int i = 0; i < n_barriers; i++) barriers[i].published |= barriers[i].by == running;
}

static Barrier *barrier_at(const void *p) {
    for (int i = 0; i < n_barriers; i++)
        if (barriers[i].at == p && barriers[i].published) return &barriers[i];
    complain("a barrier that is none, or was not published");
    return NULL;
}

static void barrier_look(Barrier *b) {
    if (!b->arrived || b->bytes) return;
    b->arrived = 0;
    b->phase++;
    for (int i = 0; i < n_threads; i++)
        if (fibers[i].waits == at_barrier) fibers[i].waits = NULL;
}

void nt_barrier_begin(unsigned long long *p) {
    if ((size_t)p % 8 || (char *)p < nt_shared_memory || (char *)(p + 1) > nt_shared_memory + shared_bytes) complain("a barrier beside shared memory");
    if (n_barriers == BARRIERS) complain("too many barriers");
    else barriers[n_barriers++] = (Barrier){p, 0, 0, running, 0, 0};
}

void nt_barrier_expect(unsigned long long *p, int bytes) {
    Barrier *b = barrier_at(p);
    if (b) b->bytes += bytes;
}

void nt_barrier_arrive(unsigned long long *p, int who) {
    Barrier *b = who ? barrier_at(p) : NULL;
    if (b && b->arrived) complain("a barrier at which more arrive than it waits for");
    if (!b) return;
    b->arrived = 1;
    barrier_look(b);
}

void nt_barrier_wait(unsigned long long *p, unsigned parity) {
    Barrier *b = barrier_at(p);
    while (b && !*problem && b->phase % 2 == parity) {
        fibers[running].waits = at_barrier;
        yield();
    }
}

void nt_map_begin(const char *map) {
    if (n_maps == MAPS) complain("too many maps");
    else map_by[n_maps] = running, maps_known[n_maps++] = map;
}

void nt_touched(void) { touched[running] = 1; }

/* 16 bytes of a box: `place` of its bytes, so many of them inside of the tensor, from `from` on. Bits 7 to 9 of a place change bits 4 to 6. The thread
 * that asked has touched all of it: this is no thread's, and no function that ThreadSanitizer watches. */
static void chunk_land(const Box *x, unsigned place, const char *from, int inside) {
    unsigned at = (unsigned)(x->to - nt_shared_memory) + place;
    at ^= (at >> 7 & 7) << 4;
    for (int i = 0; i < 16; i++) nt_shared_memory[at + (unsigned)i] = i < inside ? from[i] : 0;
    view_set(nt_shared_memory + at, from, 16, inside);
}

static int box_bytes(const Map *m) {
    int n = m->element;
    for (unsigned i = 0; i < m->rank; i++) n *= m->box[i];
    return n;
}

static void box_land(int i) {
    Box x = boxes[i];
    boxes[i] = boxes[--n_boxes];
    Map m;
    memcpy(&m, x.map, sizeof m);
    int rows = box_bytes(&m) / (m.box[0] * m.element), row_bytes = m.box[0] * m.element;
    for (int row = 0; row < rows; row++) {
        const char *from = (const char *)(size_t)m.base + (long long)x.at[0] * m.element;
        int there = 1, left = row;
        for (unsigned d = 1; d < m.rank; d++) {
            long long at = (long long)x.at[d] + left % m.box[d];
            left /= m.box[d];
            there = there && at >= 0 && at < (long long)m.dim[d];
            from += at * (long long)m.stride[d - 1];
        }
        for (int k = 0; k < row_bytes; k += 16) {
            long long inside = ((long long)m.dim[0] - x.at[0]) * m.element - k;
            int n = !there || inside < 0 ? 0 : inside > 16 ? 16 : (int)inside;
            chunk_land(&x, (unsigned)(row * row_bytes + k), n ? from + k : (const char *)&m, n);
        }
    }
    if ((x.b->bytes -= box_bytes(&m)) < 0) complain("bytes came to a barrier that were not expected");
    barrier_look(x.b);
}

void nt_tensor(void *to, const char *map, unsigned long long *p, int rank, int x0, int x1, int x2, int x3, int x4) {
    Map m;
    Box x = {to, map, barrier_at(p), {x0, x1, x2, x3, x4}};
    int known = 0, bytes;
    for (int i = 0; i < n_maps; i++) known |= maps_known[i] == map && map_by[i] == running;
    if (!known) complain("a map that this thread has not begun with");
    memcpy(&m, map, sizeof m);
    bytes = box_bytes(&m);
    if (m.made != MAP_MADE || (int)m.rank != rank || m.span != 128 || (size_t)map % 64) complain("a map that is none, or of another rank");
    if (x.to < nt_shared_memory || x.to + bytes > nt_shared_memory + shared_bytes || (x.to - nt_shared_memory) % 1024) complain("a box beside shared memory");
    for (int i = 0; i < n_threads; i++)
        if (touched[i]) complain("a box falls on what was touched and not published");
    if (x0 < 0 || n_boxes == BOXES) complain("a box before the tensor, or too many under way");
    if (*problem) return;
    memset(to, 0xff, (size_t)bytes);
    view_set(to, NULL, bytes, 0);
    boxes[n_boxes++] = x;
    if (order_now % 2 == 0) box_land(n_boxes - 1);
}

static void *stored[THREADS][STORES]; /* and not published */
static int n_stored[THREADS];

void nt_stored(void *to) {
    if (!has_wgmma) return;
    view_set(to, NULL, 2, 0);
    if (n_stored[running] == STORES) complain("too many stores that are not published");
    else stored[running][n_stored[running]++] = to;
}

void nt_publish(void) {
    if (!has_wgmma) return;
    touched[running] = 0;
    barriers_publish();
    for (int i = 0; i < n_stored[running]; i++) view_set(stored[running][i], stored[running][i], 2, 2);
    for (int i = 0; i < n_pending[running]; i++) {
        const Copy *c = &pending[running][i];
        if (c->waited) view_set(c->to, c->from, c->size, c->bytes);
    }
    n_stored[running] = 0;
}

void nt_sync_group(void) {
    static const char what[] = "sync of the group";
    int me = running, meeting = group_meeting;
    copies_land();
    races_arrive(THREADS / WARP, meeting);
    if (++group_arrived == n_threads) {
        group_arrived = 0;
        group_meeting++;
        for (int i = 0; i < n_threads; i++)
            if (fibers[i].waits == what) fibers[i].waits = NULL;
    } else {
        fibers[me].waits = what;
    }
    yield();
    races_leave(THREADS / WARP, meeting);
}

void nt_sync(void) {
    static const char what[] = "sync";
    int warp = running / WARP, meeting = warps[warp].meeting;
    copies_land();
    races_arrive(warp, meeting);
    meet(what, 0, NULL);
    races_leave(warp, meeting);
}

/* ---- matrices, as PTX has them */

static const unsigned short *row_of(const unsigned *low, const unsigned *high, int lane) {
    return (const unsigned short *)(size_t)((unsigned long long)high[lane] << 32 | low[lane]);
}

static void matrices(unsigned *const *r, const void *row, int across) {
    static const char what[] = "ldmatrix";
    unsigned all[2][WARP];
    const unsigned mine[] = {(unsigned)(size_t)row, (unsigned)((unsigned long long)(size_t)row >> 32)};
    int lane = running % WARP;
    if ((size_t)row % 16) complain("a row of a matrix at an odd place");
    gather(what, 2, mine, all);
    for (int m = 0; m < 4 && !*problem; m++) {
        unsigned half[2];
        for (int i = 0; i < 2; i++) {
            const unsigned short *at = across ? row_of(all[0], all[1], 8 * m + lane % 4 * 2 + i) + lane / 4 : row_of(all[0], all[1], 8 * m + lane / 4) + lane % 4 * 2 + i;
            races_read(at);
            half[i] = *at;
        }
        *r[m] = half[0] | half[1] << 16;
    }
}

void nt_matrices(unsigned *r0, unsigned *r1, unsigned *r2, unsigned *r3, const void *row) {
    unsigned *const r[] = {r0, r1, r2, r3};
    matrices(r, row, 0);
}

void nt_matrices_across(unsigned *r0, unsigned *r1, unsigned *r2, unsigned *r3, const void *row) {
    unsigned *const r[] = {r0, r1, r2, r3};
    matrices(r, row, 1);
}

typedef enum { BF16, F16, TF32 } Factor;

/* The bits of the number next to x, of two the even one, that has so many places behind the point and exponents from `least` on. */
static unsigned half_bits(float x, int places, int least) {
    unsigned sign = signbit(x) ? 0x8000 : 0, infinity = (unsigned)((places == 10 ? 31 : 255) << places);
    if (x != x) return 0x7fff;
    if (x == 0 || isinf(x)) return sign | (x == 0 ? 0 : infinity);
    int e = ilogbf(x) < least ? least : ilogbf(x);
    unsigned steps = (unsigned)rintf(ldexpf(fabsf(x), places - e)), bits = ((unsigned)(e - least) << places) + steps;
    return sign | (bits < infinity ? bits : infinity);
}

unsigned nt_pair_bf16(float low, float high) { return half_bits(low, 7, -126) | half_bits(high, 7, -126) << 16; }
unsigned nt_pair_f16(float low, float high) { return half_bits(low, 10, -14) | half_bits(high, 10, -14) << 16; }

static float f16_number(unsigned half) {
    int e = half >> 10 & 31, m = half & 1023;
    float x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(m + 1024), e - 25) : ldexpf((float)m, -24);
    return half >> 15 ? -x : x;
}

static float half_number(unsigned short half, Factor kind) {
    static float known[1 << 16]; /* of f16 */
    static int filled;
    if (kind == BF16) return nt_float_bits((unsigned)half << 16);
    for (; filled < 1 << 16; filled++) known[filled] = f16_number((unsigned)filled);
    return known[half];
}

/* Number `at` of those in a register. */
static float number(unsigned x, int at, Factor kind) {
    if (kind != TF32) return half_number((unsigned short)(x >> at * 16), kind);
    if (nt_float_bits(x) == nt_float_bits(x) && x & 0x1fff) complain("a number of a product in tf32 is not rounded");
    return nt_float_bits(x);
}

/* Rows of A: 4 lanes hold one, n = 2 columns each (of tf32 n = 1), in registers 0 (columns 0 .. 4 n - 1) and 2 (as many behind), 8 rows further
 * in 1 and 3. Columns of B alike. */
static void mma(float *const *c, const unsigned *a, const unsigned *b, Factor kind) {
    static const char what[] = "mma";
    unsigned all[6][WARP], (*all_a)[WARP] = all, (*all_b)[WARP] = all + 4;
    const unsigned mine[] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    float rows[2][16], columns[2][16];
    int lane = running % WARP, n = kind == TF32 ? 1 : 2;
    gather(what, 6, mine, all);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 8 * n; k++) {
            int upper = k / (4 * n), at = k % (4 * n) / n, row = lane / 4, column = lane % 4 * 2 + i;
            rows[i][k] = number(all_a[i + upper * 2][row * 4 + at], k % n, kind);
            columns[i][k] = number(all_b[upper][column * 4 + at], k % n, kind);
        }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 8 * n; k++) *c[i] = fmaf(rows[i / 2][k], columns[i % 2][k], *c[i]);
}

#define MMA(s, kind)                                                                                                                               \
    void nt_mma_##s(float *c0, float *c1, float *c2, float *c3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {     \
        float *const c[] = {c0, c1, c2, c3};                                                                                                       \
        const unsigned a[] = {a0, a1, a2, a3}, b[] = {b0, b1};                                                                                     \
        mma(c, a, b, kind);                                                                                                                        \
    }
MMA(bf16, BF16)
MMA(f16, F16)
MMA(tf32, TF32)

/* ---- units that multiply for four warps, as PTX has them */

typedef struct Wgmma {
    float *d;
    unsigned long long a, b;
    int columns, across_a, across_b, committed, done;
    Factor kind;
} Wgmma;
enum { WGMMAS = 32, TERMS = 16, COLUMNS = 128 };
static Wgmma products[THREADS][WGMMAS];
static int n_products[THREADS], begun[THREADS];

int nt_has_wgmma(void) { return has_wgmma; }
unsigned nt_shared_place(const void *p) { return (unsigned)((const char *)p - nt_shared_memory); }

/* Element r, k of a factor, of rows of 128 bytes: along k, or (across) along r. Bits 7 to 9 of the place change bits 4 to 6. */
static float factor(unsigned long long descriptor, int across, int r, int k, Factor kind) {
    unsigned at = (unsigned)(descriptor & 0x3fff) << 4, leading = (unsigned)(descriptor >> 16 & 0x3fff) << 4, stride = (unsigned)(descriptor >> 32 & 0x3fff) << 4;
    unsigned short half;
    if (across) at += (unsigned)(r / 64) * leading + (unsigned)(r % 64) * 2 + (unsigned)(k / 8) * stride + (unsigned)(k % 8) * 128;
    else at += (unsigned)(r / 8) * stride + (unsigned)(r % 8) * 128 + (unsigned)k * 2;
    at ^= (at >> 7 & 7) << 4;
    if (at + 2 > (unsigned)shared_bytes || descriptor >> 62 != 1) {
        complain("a product of what is no matrix");
        return 0;
    }
    half = (unsigned short)(view[at] | view[at + 1] << 8);
    return half_number(half, kind);
}

/* The second factor, which all threads multiply by; kept as long as its squares are the same. */
static float (*columns_of(const Wgmma *w))[TERMS] {
    enum { KNOWN = 8 };
    static float columns[KNOWN][COLUMNS][TERMS];
    static Wgmma known[KNOWN];
    static unsigned number[KNOWN];
    static int next;
    unsigned now = 0, first = (unsigned)(w->b & 0x3fff) * 16 / SQUARE;
    for (unsigned i = 0; i < (unsigned)w->columns / 64 && first + i < SQUARES; i++) now += view_number[first + i];
    for (int i = 0; i < KNOWN; i++) {
        const Wgmma *o = &known[i];
        if (o->b == w->b && o->columns == w->columns && o->across_b == w->across_b && o->kind == w->kind && number[i] == now) return columns[i];
    }
    int at = next++ % KNOWN;
    for (int j = 0; j < w->columns; j++)
        for (int k = 0; k < TERMS; k++) columns[at][j][k] = factor(w->b, w->across_b, j, k, w->kind);
    known[at] = *w;
    number[at] = now;
    return columns[at];
}

/* This thread's sums: of a warp's 16 rows of the 64 two. */
static void wgmma_now(Wgmma *w) {
    float rows[2][TERMS], (*columns)[TERMS] = columns_of(w);
    int first = running % 128 / WARP * 16 + running % WARP / 4;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < TERMS; k++) rows[i][k] = factor(w->a, w->across_a, first + 8 * i, k, w->kind);
    for (int i = 0; i < w->columns / 2; i++) {
        const float *row = rows[i / 2 % 2], *column = columns[i / 4 * 8 + running % 4 * 2 + i % 2];
        for (int k = 0; k < TERMS; k++) w->d[i] = fmaf(row[k], column[k], w->d[i]);
    }
    w->done = 1;
}

void nt_wgmma_begin(void) { begun[running] = 1; }

void nt_wgmma(float *d, unsigned long long a, unsigned long long b, int columns, int across_a, int across_b, int f16) {
    if (!begun[running]) complain("a product before its beginning");
    if (n_products[running] == WGMMAS) complain("too many products under way");
    if (*problem) return;
    Wgmma *w = &products[running][n_products[running]++];
    *w = (Wgmma){d, a, b, columns, across_a, across_b, 0, 0, f16 ? F16 : BF16};
    if (order_now % 2 == 0) wgmma_now(w);
}

void nt_wgmma_commit(void) {
    for (int i = 0; i < n_products[running]; i++) products[running][i].committed = 1;
    begun[running] = 0;
}

void nt_wgmma_end(void) {
    int left = 0;
    for (int i = 0; i < n_products[running]; i++) {
        Wgmma *w = &products[running][i];
        if (!w->committed) products[running][left++] = *w;
        else if (!w->done) wgmma_now(w);
    }
    n_products[running] = left;
}

/* Every parameter is one word, and more of them than a kernel has do no harm. */
#define A8(i) arguments[i], arguments[i + 1], arguments[i + 2], arguments[i + 3], arguments[i + 4], arguments[i + 5], arguments[i + 6], arguments[i + 7]
#define A32(i) A8(i), A8(i + 8), A8(i + 16), A8(i + 24)
#define W8 long long, long long, long long, long long, long long, long long, long long, long long
#define W32 W8, W8, W8, W8
typedef void Kernel(W32, W32, W32, W32);

static void fiber_main(void) {
    ((Kernel *)the_kernel)(A32(0), A32(32), A32(64), A32(96));
    if (copies_land()) complain("it ends before its copies");
    if (n_products[running]) complain("it ends before its products");
    fibers[running].done = 1;
    live--;
    static void *unused; /* not of this stack, which AddressSanitizer would keep marked: nobody returns here */
    races_done();
    races_run(-1);
    nt_switch(&unused, scheduler);
}

static int next_fiber(void) {
    int ready[THREADS], n = 0;
    for (int i = 0; i < n_threads; i++)
        if (!fibers[i].done && !fibers[i].waits) ready[n++] = i;
    if (!n) return -1;
    return order_now == 0 ? ready[0] : order_now == 1 ? ready[n - 1] : ready[random_next() % (unsigned)n];
}

static void fiber_start(int i) {
    void **top = (void **)(stacks + (size_t)(i + 1) * STACK - 64);
    *--top = NULL; /* where fiber_main would return to; keeps the stack aligned as after a call */
    *--top = (void *)fiber_main;
    for (int k = 0; k < 6; k++) *--top = NULL;
    fibers[i] = (Fiber){top, 0, NULL};
    n_pending[i] = group_of[i] = 0;
    n_stored[i] = n_products[i] = begun[i] = touched[i] = 0;
}

static void block_run(void) {
    memset(warps, 0, sizeof warps);
    if (has_wgmma) view_clear();
    group_arrived = n_barriers = n_boxes = n_maps = 0;
    for (int i = 0; i < n_threads; i++) fiber_start(i);
    live = n_threads;
    while (live && !*problem) {
        int i = next_fiber();
        if (i < 0 && n_boxes) {
            box_land(order_now == 1 ? n_boxes - 1 : (int)(random_next() % (unsigned)n_boxes));
            continue;
        }
        if (i < 0) {
            snprintf(problem, sizeof problem, "block %u: %d threads wait for ever", nt_block_index.x, live);
            return;
        }
        running = i;
        nt_thread_index.x = (unsigned)i;
        races_run(i);
        nt_switch(&scheduler, fibers[i].stack);
    }
    if (n_boxes) complain("it ends before its boxes");
}

const char *nt_emulate(void *kernel, const long long *args, int n, int blocks, int threads, int shared, unsigned order) {
    if (n > ARGUMENTS || threads > THREADS || shared > (int)sizeof view) return "too many arguments or threads, or too much memory";
    if (!stacks) stacks = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return "no memory for stacks";
    the_kernel = kernel;
    memset(arguments, 0, sizeof arguments);
    memcpy(arguments, args, sizeof *args * (size_t)n);
    n_threads = threads;
    shared_bytes = shared;
    has_wgmma = order >= 8;
    order %= 8;
    nt_grid_size.x = (unsigned)blocks;
    order_now = order;
    random_state = order * 2654435761u + 1;
    *problem = 0;
    /* Each block has its own, that another one has not written to. */
    size_t room = (size_t)(shared + 63) / 64 * 64;
    char *memory = aligned_alloc(64, room * (size_t)blocks + 64);
    memset(memory, 0xff, room * (size_t)blocks);
    races_begin(threads);
    for (int b = 0; b < blocks && !*problem; b++) {
        nt_block_index.x = (unsigned)(order == 1 ? blocks - 1 - b : b);
        nt_shared_memory = memory + room * (size_t)b;
        block_run();
    }
    races_end(threads);
    free(memory);
    return *problem ? problem : NULL;
}
