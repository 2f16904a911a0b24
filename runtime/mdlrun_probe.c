/* mdlrun_probe.c -- see mdlrun_probe.h. Each of the threads works for some milliseconds, several times; the best time counts:
 * noise only ever adds to it. One body serves all widths of vectors, compiled for each of them; which one runs is asked of the
 * processor. */
#include "runtime/mdlrun_probe.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { CHAINS = 12, ROUNDS = 8, THREADS_MAX = 256, ALIGN = 1 << 21 }; /* two units, latency 4 or 5: ten chains keep both busy */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef float Vector4 __attribute__((vector_size(16), aligned(16)));
typedef float Vector8 __attribute__((vector_size(32), aligned(32)));
typedef float Vector16 __attribute__((vector_size(64), aligned(64)));

/* A sum keeps what is computed alive; nobody reads it. */
static volatile float sink;

/* fma_N: `times` steps of CHAINS independent multiply-adds; read_N: `times` readings of n floats, a multiple of 8 vectors. */
#define BODIES(N, TARGET, FMA)                                                                                                 \
    TARGET static void fma_##N(int64_t times) {                                                                                \
        Vector##N a[CHAINS], x, y;                                                                                             \
        for (int i = 0; i < N; i++) x[i] = 1.0000001f, y[i] = 1e-9f;                                                           \
        for (int i = 0; i < CHAINS; i++) a[i] = x;                                                                             \
        for (int64_t k = 0; k < times; k++) {                                                                                  \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) a[i] = FMA;                                              \
        }                                                                                                                      \
        for (int i = 1; i < CHAINS; i++) a[0] += a[i];                                                                         \
        sink = a[0][0];                                                                                                        \
    }                                                                                                                          \
    TARGET static void read_##N(const float *at, int64_t n, int64_t times) {                                                   \
        Vector##N a[8] = {0};                                                                                                  \
        for (int64_t k = 0; k < times; k++) {                                                                                  \
            const Vector##N *p = (const Vector##N *)at, *end = p + n / N;                                                      \
            __asm__ volatile("" ::: "memory");                                                                                 \
            for (; p < end; p += 8) {                                                                                          \
                _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) a[i] += p[i];                                              \
            }                                                                                                                  \
        }                                                                                                                      \
        for (int i = 1; i < 8; i++) a[0] += a[i];                                                                              \
        sink = a[0][0];                                                                                                        \
    }

#ifdef __x86_64__
BODIES(16, __attribute__((target("avx512f"))), (Vector16)_mm512_fmadd_ps((__m512)a[i], (__m512)x, (__m512)y))
BODIES(8, __attribute__((target("avx2,fma"))), (Vector8)_mm256_fmadd_ps((__m256)a[i], (__m256)x, (__m256)y))
#endif
BODIES(4, , a[i] * x + y)

typedef struct Width {
    int lanes;
    void (*fma)(int64_t times);
    void (*read)(const float *at, int64_t n, int64_t times);
} Width;

static Width width_here(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return (Width){16, fma_16, read_16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (Width){8, fma_8, read_8};
#endif
    return (Width){4, fma_4, read_4};
}

typedef struct Work {
    Width width;
    const float *at; /* NULL: arithmetic */
    int64_t n, times;
    pthread_barrier_t *gate;
    double seconds; /* of the best round */
} Work;

static void *work_run(void *argument) {
    Work *w = argument;
    for (int round = 0; round < ROUNDS; round++) {
        if (w->gate) pthread_barrier_wait(w->gate); /* all together, or some would have the memory for themselves */
        double start = now();
        if (w->at) w->width.read(w->at, w->n, w->times);
        else w->width.fma(w->times);
        double seconds = now() - start;
        if (round == 0 || seconds < w->seconds) w->seconds = seconds;
    }
    return NULL;
}

/* All threads at once; the seconds of the slowest. */
static double run_all(Work *w, int threads) {
    pthread_t thread[THREADS_MAX];
    pthread_barrier_t gate;
    int started = 1;
    if (threads > 1 && pthread_barrier_init(&gate, NULL, (unsigned)threads)) threads = 1;
    for (int i = 0; i < threads; i++) w[i].gate = threads > 1 ? &gate : NULL;
    while (started < threads && pthread_create(&thread[started], NULL, work_run, &w[started]) == 0) started++;
    if (started < threads) return 0; /* those that wait at the gate stay there: a machine without threads has other worries */
    work_run(&w[0]);
    double slowest = w[0].seconds;
    for (int i = 1; i < threads; i++) {
        pthread_join(thread[i], NULL);
        if (w[i].seconds > slowest) slowest = w[i].seconds;
    }
    if (threads > 1) pthread_barrier_destroy(&gate);
    return slowest;
}

static int threads_sane(int threads) {
    return threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
}

double probe_flops(int threads) {
    enum { TIMES = 100000 };
    Work w[THREADS_MAX];
    Width width = width_here();
    threads = threads_sane(threads);
    for (int i = 0; i < threads; i++) w[i] = (Work){.width = width, .times = TIMES};
    double seconds = run_all(w, threads);
    return seconds > 0 ? 2.0 * TIMES * CHAINS * width.lanes * threads / seconds : 0;
}

double probe_bandwidth(int64_t bytes, int threads) {
    Work w[THREADS_MAX];
    Width width = width_here();
    threads = threads_sane(threads);
    int64_t step = 8 * (int64_t)sizeof(float) * width.lanes, each = (bytes / threads + step - 1) / step * step;
    if (each < step) each = step;
    int64_t all = each * threads, times = (16 << 20) / all + 1;
    char *at = aligned_alloc(ALIGN, (size_t)((all + ALIGN - 1) / ALIGN * ALIGN));
    if (!at) return 0;
    madvise(at, (size_t)all, MADV_HUGEPAGE);
    memset(at, 0, (size_t)all);
    for (int i = 0; i < threads; i++)
        w[i] = (Work){.width = width,
                      .at = (const float *)(const void *)(at + each * i),
                      .n = each / (int64_t)sizeof(float),
                      .times = times};
    double seconds = run_all(w, threads);
    free(at);
    return seconds > 0 ? (double)all * (double)times / seconds : 0;
}
