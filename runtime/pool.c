/* pool.c -- the thread pool. A worker spins for a moment after a region, since the next one usually follows within microseconds, and
 * then sleeps on a futex: waking costs tens of microseconds, spinning a fraction of one, but a thread that spins is also the first to lose
 * its processor where others compete for it.
 *
 * Nobody waits for a worker that has not begun. A region is open from the moment its generation is published until the caller has run
 * out of work; a worker joins by counting itself active and leaves again if the region has been closed meanwhile. So a worker without
 * a processor costs nothing but its help (measured, a step of the demo beside one busy process: 205 ms when all had to take part, with
 * 50 ms on one thread). Who computes what is settled by the work (run_part in session.c), and no result depends on it. */
#include "runtime/internal.h"

#include <cpuid.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPINS 2000 /* some 20 to 60 us of pauses before a thread sleeps */

struct RtPool {
    int threads;
    pthread_t *thread; /* 1 .. threads - 1 */
    void (*body)(void *context, int32_t i);
    void *context;
    atomic_bool stop;
    _Alignas(128) atomic_int generation; /* of the newest region; workers wait for it to move */
    atomic_int sleepers;
    _Alignas(128) atomic_int closed; /* generation of the newest region that takes nobody in any more */
    _Alignas(128) atomic_int active; /* workers inside a region */
    atomic_int waiting;              /* the caller sleeps on active */
};

typedef struct Worker {
    RtPool *pool;
    int index;
} Worker;

static void pause_cpu(void) { __builtin_ia32_pause(); }

static void futex_wait(atomic_int *at, int value) { syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void futex_wake(atomic_int *at, int n) { syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }

static int wait_region(RtPool *p, int seen) {
    for (int i = 0; i < SPINS; i++) {
        int now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen) return now;
        pause_cpu();
    }
    atomic_fetch_add(&p->sleepers, 1);
    int now;
    while ((now = atomic_load(&p->generation)) == seen) futex_wait(&p->generation, seen);
    atomic_fetch_sub(&p->sleepers, 1);
    return now;
}

/* The order of active and closed is what makes this safe: either the worker sees that the region is closed, or the caller sees that the
 * worker is active. Both are sequentially consistent. */
static void *work(void *argument) {
    Worker w = *(Worker *)argument;
    free(argument);
    RtPool *p = w.pool;
    for (int seen = 0;;) {
        seen = wait_region(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        atomic_fetch_add(&p->active, 1);
        if (seen - atomic_load(&p->closed) > 0) p->body(p->context, w.index);
        if (atomic_fetch_sub(&p->active, 1) == 1 && atomic_load(&p->waiting)) futex_wake(&p->active, 1);
    }
}

void rt_pool_run(RtPool *p, void (*body)(void *context, int32_t i), void *context) {
    p->body = body;
    p->context = context;
    int generation = atomic_fetch_add(&p->generation, 1) + 1;
    if (atomic_load(&p->sleepers) > 0) futex_wake(&p->generation, p->threads);
    body(context, 0);
    atomic_store(&p->closed, generation);
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->active) == 0) return;
        pause_cpu();
    }
    atomic_store(&p->waiting, 1);
    for (int left; (left = atomic_load(&p->active)) != 0;) futex_wait(&p->active, left);
    atomic_store(&p->waiting, 0);
}

RtPool *rt_pool_new(int threads) {
    RtPool *p = aligned_alloc(128, (sizeof *p + 127) / 128 * 128);
    if (!p) return NULL;
    *p = (RtPool){.threads = 1};
    p->thread = calloc((size_t)threads, sizeof *p->thread);
    for (int i = 1; p->thread && i < threads; i++) {
        Worker *w = malloc(sizeof *w);
        if (!w) break;
        *w = (Worker){p, i};
        if (pthread_create(&p->thread[i], NULL, work, w) != 0) {
            free(w);
            break;
        }
        p->threads = i + 1;
    }
    if (p->threads == threads) return p;
    rt_pool_free(p);
    return NULL;
}

void rt_pool_free(RtPool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->generation, 1);
    futex_wake(&p->generation, p->threads);
    for (int i = 1; i < p->threads; i++) pthread_join(p->thread[i], NULL);
    free(p->thread);
    free(p);
}

int rt_cpu_count(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n;
}

/* The micro-architecture levels of the x86-64 psABI; AVX state must be enabled by the system too (XCR0). */
int rt_cpu_level(void) {
    unsigned a, b, c, d, b7, c7, d7, xcr = 0, high = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
    const unsigned v2 = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23; /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT */
    if ((c & v2) != v2) return 1;
    const unsigned v3 = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA MOVBE OSXSAVE AVX F16C */
    if ((c & v3) != v3) return 2;
    __asm__ volatile("xgetbv" : "=a"(xcr), "=d"(high) : "c"(0));
    if ((xcr & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 2;
    const unsigned v3b = 1u << 3 | 1u << 5 | 1u << 8; /* BMI1 AVX2 BMI2 */
    if ((b7 & v3b) != v3b) return 2;
    const unsigned v4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* AVX512 F DQ CD BW VL */
    return (xcr & 0xe6) == 0xe6 && (b7 & v4) == v4 ? 4 : 3;
}
