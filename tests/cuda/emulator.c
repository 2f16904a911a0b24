/* emulator.c -- see emulator.h. A thread of the device is a fiber with a stack of its own. */
#include "tests/cuda/emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef __x86_64__
#error "fibers are written for x86-64"
#endif

enum { THREADS = 1024, WARP = 32, ARGUMENTS = 128, STACK = 256 << 10 };

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
static int n_threads, running, live;
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

/* Every parameter is one word, and more of them than a kernel has do no harm. */
#define A8(i) arguments[i], arguments[i + 1], arguments[i + 2], arguments[i + 3], arguments[i + 4], arguments[i + 5], arguments[i + 6], arguments[i + 7]
#define A32(i) A8(i), A8(i + 8), A8(i + 16), A8(i + 24)
#define W8 long long, long long, long long, long long, long long, long long, long long, long long
#define W32 W8, W8, W8, W8
typedef void Kernel(W32, W32, W32, W32);

static void fiber_main(void) {
    ((Kernel *)the_kernel)(A32(0), A32(32), A32(64), A32(96));
    fibers[running].done = 1;
    live--;
    void *unused;
    nt_switch(&unused, scheduler);
}

static void yield(void) {
    int me = running;
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

void nt_sync(void) {
    static const char what[] = "sync";
    meet(what, 0);
}

unsigned nt_shuffle(unsigned x, int lane) {
    static const char what[] = "shuffle";
    int warp = running / WARP, meeting = meet(what, x);
    return warps[warp].value[meeting][lane & 31];
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
}

static void block_run(int shared) {
    memset(nt_shared_memory, 0xff, (size_t)shared);
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
    nt_grid_size.x = (unsigned)blocks;
    order_now = order;
    random_state = order * 2654435761u + 1;
    *problem = 0;
    nt_shared_memory = aligned_alloc(64, (size_t)(shared + 127) / 64 * 64);
    for (int b = 0; b < blocks && !*problem; b++) {
        nt_block_index.x = (unsigned)(order == 1 ? blocks - 1 - b : b);
        block_run(shared);
    }
    free(nt_shared_memory);
    return *problem ? problem : NULL;
}
