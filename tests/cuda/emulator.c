/* emulator.c -- see emulator.h. A thread of the device is a fiber with a stack of its own.
 *
 * With NT_RACES ThreadSanitizer looks at the kernels (their text is compiled with -fsanitize=thread, this file is not: what it stores is
 * its own). A fiber is a thread to it, and nt_sync alone puts the accesses of a warp in order: a shuffle is no fence, and warps do not know of
 * each other. */
#include "tests/cuda/emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef __x86_64__
#error "fibers are written for x86-64"
#endif

enum { THREADS = 1024, WARP = 32, ARGUMENTS = 128, STACK = 256 << 10 };

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
static char race_end, race_meeting[THREADS / WARP][2];
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
    unsigned value[2][WARP]; /* of two meetings: a thread may be at the next while others read this one */
    int arrived, meeting, left;
    const char *what;
} Warp;

NtIndex nt_thread_index, nt_block_index, nt_grid_size;
char *nt_shared_memory;
static Fiber fibers[THREADS];
static Warp warps[THREADS / WARP];
static char *stacks;
static int n_threads, running, live, shared_bytes;
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

/* Waits until all threads of the warp are here; returns the number of the meeting. */
static int meet(const char *what, unsigned value) {
    int me = running, lane = me % WARP, size = n_threads - (me - lane) < WARP ? n_threads - (me - lane) : WARP;
    Warp *w = &warps[me / WARP];
    int meeting = w->meeting;
    if (w->arrived == 0) w->what = what;
    else if (w->what != what && !*problem)
        snprintf(problem, sizeof problem, "block %u: thread %d is at a %s, others of its warp at a %s", nt_block_index.x, me, what, w->what);
    w->value[meeting & 1][lane] = value;
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
    int warp = running / WARP, meeting = meet(what, x);
    return warps[warp].value[meeting][lane & 31];
}

/* What all lanes hold. The copy is of this thread: the others may be at the next meeting. */
static void gather(const char *what, unsigned x, unsigned *all) {
    int warp = running / WARP, meeting = meet(what, x);
    for (int i = 0; i < WARP; i++) all[i] = warps[warp].value[meeting][i];
}

/* ---- copies behind the back of a thread */

typedef struct Copy {
    void *to;
    const void *from;
    int size, bytes, group; /* bytes: of the source; zeros behind them */
    int waited; /* this thread knows that it is there; others do from the next meeting on */
} Copy;
enum { COPIES = 256 };
static Copy pending[THREADS][COPIES];
static int n_pending[THREADS], group_of[THREADS];

static void copy_now(const Copy *c) {
    memset(c->to, 0, (size_t)c->size);
    memcpy(c->to, c->from, (size_t)c->bytes);
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

void nt_sync(void) {
    static const char what[] = "sync";
    int warp = running / WARP, meeting = warps[warp].meeting;
    copies_land();
    races_arrive(warp, meeting);
    meet(what, 0);
    races_leave(warp, meeting);
}

/* ---- matrices, as PTX has them */

static const unsigned short *row_of(const unsigned *low, const unsigned *high, int lane) {
    return (const unsigned short *)(size_t)((unsigned long long)high[lane] << 32 | low[lane]);
}

static void matrices(unsigned *const *r, const void *row, int across) {
    static const char what[] = "ldmatrix";
    unsigned low[WARP], high[WARP];
    int lane = running % WARP;
    if ((size_t)row % 16) complain("a row of a matrix at an odd place");
    gather(what, (unsigned)(size_t)row, low);
    gather(what, (unsigned)((unsigned long long)(size_t)row >> 32), high);
    for (int m = 0; m < 4 && !*problem; m++) {
        unsigned half[2];
        for (int i = 0; i < 2; i++) {
            const unsigned short *at = across ? row_of(low, high, 8 * m + lane % 4 * 2 + i) + lane / 4 : row_of(low, high, 8 * m + lane / 4) + lane % 4 * 2 + i;
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

static float half_number(unsigned short half, Factor kind) {
    if (kind == BF16) return nt_float_bits((unsigned)half << 16);
    int e = half >> 10 & 31, m = half & 1023;
    float x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(m + 1024), e - 25) : ldexpf((float)m, -24);
    return half >> 15 ? -x : x;
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
    unsigned all_a[4][WARP], all_b[2][WARP];
    int lane = running % WARP, n = kind == TF32 ? 1 : 2;
    for (int i = 0; i < 4; i++) gather(what, a[i], all_a[i]);
    for (int i = 0; i < 2; i++) gather(what, b[i], all_b[i]);
    for (int i = 0; i < 4; i++) {
        int row = lane / 4, column = lane % 4 * 2 + i % 2;
        float sum = *c[i];
        for (int k = 0; k < 8 * n; k++) {
            int upper = k / (4 * n), at = k % (4 * n) / n;
            sum = fmaf(number(all_a[i / 2 + upper * 2][row * 4 + at], k % n, kind), number(all_b[upper][column * 4 + at], k % n, kind), sum);
        }
        *c[i] = sum;
    }
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

/* Every parameter is one word, and more of them than a kernel has do no harm. */
#define A8(i) arguments[i], arguments[i + 1], arguments[i + 2], arguments[i + 3], arguments[i + 4], arguments[i + 5], arguments[i + 6], arguments[i + 7]
#define A32(i) A8(i), A8(i + 8), A8(i + 16), A8(i + 24)
#define W8 long long, long long, long long, long long, long long, long long, long long, long long
#define W32 W8, W8, W8, W8
typedef void Kernel(W32, W32, W32, W32);

static void fiber_main(void) {
    ((Kernel *)the_kernel)(A32(0), A32(32), A32(64), A32(96));
    if (copies_land()) complain("it ends before its copies");
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
}

static void block_run(void) {
    memset(warps, 0, sizeof warps);
    for (int i = 0; i < n_threads; i++) fiber_start(i);
    live = n_threads;
    while (live && !*problem) {
        int i = next_fiber();
        if (i < 0) {
            snprintf(problem, sizeof problem, "block %u: %d threads wait for ever", nt_block_index.x, live);
            return;
        }
        running = i;
        nt_thread_index.x = (unsigned)i;
        races_run(i);
        nt_switch(&scheduler, fibers[i].stack);
    }
}

const char *nt_emulate(void *kernel, const long long *args, int n, int blocks, int threads, int shared, unsigned order) {
    if (n > ARGUMENTS || threads > THREADS) return "too many arguments or threads";
    if (!stacks) stacks = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return "no memory for stacks";
    the_kernel = kernel;
    memset(arguments, 0, sizeof arguments);
    memcpy(arguments, args, sizeof *args * (size_t)n);
    n_threads = threads;
    shared_bytes = shared;
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
