/* timing.c -- loops around a product of ours, one of OpenBLAS, one of oneDNN, for products.py: without Python's share in a microsecond. */
#include <stdint.h>
#include <time.h>

typedef int Ours(void *session, const float *a, const float *b, float *c);
typedef void Sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                   const float *b, int ldb, float beta, float *c, int ldc);

typedef int Dnnl(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc);

double time_ours(Ours *f, void *session, const float *a, const float *b, float *c, int calls);
double time_dnnl(Dnnl *f, int m, int n, int k, const float *a, const float *b, float *c, int calls);
double time_sgemm(Sgemm *f, int m, int n, int k, const float *a, const float *b, float *c, int calls);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds a call; a negative code where one fails. */
double time_ours(Ours *f, void *session, const float *a, const float *b, float *c, int calls) {
    double start = now();
    for (int i = 0; i < calls; i++) {
        int code = f(session, a, b, c);
        if (code) return -code;
    }
    return (now() - start) / calls;
}

/* Row-major c[m, n] = a[m, k] b[k, n]. */
double time_sgemm(Sgemm *f, int m, int n, int k, const float *a, const float *b, float *c, int calls) {
    double start = now();
    for (int i = 0; i < calls; i++) f(101, 111, 111, m, n, k, 1, a, k, b, n, 0, c, n);
    return (now() - start) / calls;
}

double time_dnnl(Dnnl *f, int m, int n, int k, const float *a, const float *b, float *c, int calls) {
    double start = now();
    for (int i = 0; i < calls; i++) f('N', 'N', m, n, k, 1, a, k, b, n, 0, c, n);
    return (now() - start) / calls;
}
