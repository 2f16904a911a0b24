/* pool.c -- the thread pool. A worker spins for a moment after a region, since the next one usually follows within microseconds, and
 * then sleeps on a futex: waking costs tens of microseconds, spinning a fraction of one, but a thread that spins is also the first to lose
 * its processor where others compete for it.
 *
 * Nobody waits for a worker that has not begun. A region is open from the moment its generation is published until the caller has run
 * out of work; a worker joins by counting itself active and leaves again if the region has been closed meanwhile. So a worker without
 * a processor costs nothing but its help (measured, a step of the demo beside one busy process: 205 ms when all had to take part, with
 * 50 ms on one thread). Who computes what is settled by the work (run_part in kernels.c), and no result depends on it. */
#include "runtime/host/libc.h"
#include "runtime/internal.h"

/* Before glibc 2.34 threads are in libpthread, which an artifact does not ask for: a program that has none of its own need not load it.
 * There a session runs on one thread, whatever it wanted. */
#pragma weak pthread_create
#pragma weak pthread_join

#define SPINS 2000 /* some 20 to 60 us of pauses before a thread sleeps */

typedef struct Worker {
    RtPool *pool;
    int index;
    pthread_t thread;
} Worker;

struct RtPool {
    int threads;
    void (*body)(void *context, int32_t i);
    void *context;
    atomic_bool stop;
    _Alignas(128) atomic_int generation; /* of the newest region; workers wait for it to move */
    atomic_int sleepers;
    _Alignas(128) atomic_int closed; /* generation of the newest region that takes nobody in any more */
    _Alignas(128) atomic_int active; /* workers inside a region */
    atomic_int waiting;              /* the caller sleeps on active */
    Worker worker[];                 /* 1 .. threads - 1; the caller is 0 */
};

/* Tells the processor that this thread waits. */
static void pause_cpu(void) {
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__ || defined __arm__
    __asm__ volatile("yield");
#elif defined __riscv
    __asm__ volatile(".word 0x0100000f"); /* pause, of Zihintpause: a fence without effect for processors that have not got it */
#endif
}

static void futex_wait(atomic_int *at, int value) { syscall(RT_SYS_FUTEX, at, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void futex_wake(atomic_int *at, int n) { syscall(RT_SYS_FUTEX, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }

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
    const Worker *w = argument;
    RtPool *p = w->pool;
    for (int seen = 0;;) {
        seen = wait_region(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        atomic_fetch_add(&p->active, 1);
        if (seen - atomic_load(&p->closed) > 0) p->body(p->context, w->index);
        if (atomic_fetch_sub(&p->active, 1) == 1 && atomic_load(&p->waiting)) futex_wake(&p->active, 1);
    }
}

void rt_host_pool_run(RtPool *p, void (*body)(void *context, int32_t i), void *context) {
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

RtPool *rt_host_pool(int threads) {
    size_t bytes = sizeof(RtPool) + sizeof(Worker) * (size_t)threads;
    RtPool *p = aligned_alloc(_Alignof(RtPool), (bytes + _Alignof(RtPool) - 1) / _Alignof(RtPool) * _Alignof(RtPool));
    if (!p) return NULL;
    *p = (RtPool){.threads = 1};
    for (int i = 1; i < threads; i++) {
        p->worker[i] = (Worker){.pool = p, .index = i};
        if (pthread_create(&p->worker[i].thread, NULL, work, &p->worker[i]) != 0) {
            rt_host_pool_free(p);
            return NULL;
        }
        p->threads = i + 1;
    }
    return p;
}

void rt_host_pool_free(RtPool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->generation, 1);
    futex_wake(&p->generation, p->threads);
    for (int i = 1; i < p->threads; i++) pthread_join(p->worker[i].thread, NULL);
    free(p);
}

int rt_host_threads(int wanted) {
    if (!pthread_create || !pthread_join) return 1;
    if (wanted > 0) return wanted;
    unsigned long set[128]; /* 8192 processors; not sched_getaffinity, whose macros count with another function of libc */
    long bytes = syscall(RT_SYS_GETAFFINITY, 0, sizeof set, set);
    int n = 0;
    for (long i = 0; i < bytes / (long)sizeof *set; i++)
        for (unsigned long rest = set[i]; rest; rest &= rest - 1) n++;
    return n < 1 ? 1 : n > RT_MAX_THREADS ? RT_MAX_THREADS : n;
}
