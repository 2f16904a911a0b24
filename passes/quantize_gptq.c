/* quantize_gptq.c -- codes by GPTQ (quantize.h): Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, 2022, algorithm 1 with fixed scales.
 *
 * For a row w and its codes' values v, samples see the error (w - v) H (w - v)^T, H = X^T X. Once element i is rounded, the rest of the
 * row that makes the error least moves by -(w_i - v_i) / U_ii * U_i,i+1.., where U^T U = H^-1 and U is upper triangular. Elements come in
 * the order of falling H_ii, so that those which weigh most are rounded while there is most to make up with. What that does to
 * elements beyond the current block of columns is one product a block. */
#include "passes/quantize.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 };
#define DAMPING 0.01 /* of the mean of the diagonal: samples fewer than columns leave H singular */

struct Gptq {
    int n;
    int *order;    /* [n] columns, by falling H_ii */
    double *upper; /* [n, n], row-major, in that order */
};

/* LAPACK, in OpenBLAS: the Cholesky factor of a, and from it the inverse of a; of column-major matrices, one triangle. */
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);

static void *room(size_t count, size_t size) {
    void *p = malloc(count * size + 1);
    if (!p) bug("no memory for %zu numbers of GPTQ", count);
    return p;
}

/* Columns sorted by diagonal, largest first, equal ones in order. */
static void order_columns(Gptq *t, const double *gram) {
    int n = t->n;
    for (int i = 0; i < n; i++) { /* n log n would be nicer, and is nothing beside n^3 */
        double d = gram[(size_t)i * (size_t)n + (size_t)i];
        int k = i;
        for (; k > 0 && gram[(size_t)t->order[k - 1] * ((size_t)n + 1)] < d; k--) t->order[k] = t->order[k - 1];
        t->order[k] = i;
    }
}

/* U of H + damping: false where even that is not positive definite. */
static bool factorize(Gptq *t, const double *gram, double damping) {
    size_t n = (size_t)t->n;
    double mean = 0;
    int info, size = t->n;
    for (size_t i = 0; i < n; i++) mean += gram[i * (n + 1)] / (double)n;
    if (!(mean > 0)) mean = 1; /* nothing flows in: any codes are right */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) t->upper[i * n + j] = gram[(size_t)t->order[i] * n + (size_t)t->order[j]];
    for (size_t i = 0; i < n; i++) t->upper[i * (n + 1)] += damping * mean;
    /* LAPACK sees the transpose: its lower triangle is our upper one. L L^T = A row-major is U^T U with U our upper triangle. */
    dpotrf_("L", &size, t->upper, &size, &info);
    if (info) return false;
    dpotri_("L", &size, t->upper, &size, &info);
    if (info) return false;
    dpotrf_("L", &size, t->upper, &size, &info);
    return info == 0;
}

Gptq *gptq_new(const QuantPlan *q, const double *gram) {
    Gptq *t = room(1, sizeof *t);
    t->n = (int)q->length;
    t->order = room((size_t)t->n, sizeof *t->order);
    t->upper = room((size_t)t->n * (size_t)t->n, sizeof *t->upper);
    order_columns(t, gram);
    double damping = DAMPING;
    while (!factorize(t, gram, damping)) damping *= 10;
    return t;
}

void gptq_free(Gptq *t) {
    if (!t) return;
    free(t->order);
    free(t->upper);
    free(t);
}

/* A row's group: what its codes stand for. */
typedef struct Steps {
    double scale, zero, least, most; /* value = (code - zero) * scale, least <= code <= most */
} Steps;

static Steps steps_of(const QuantPlan *q, const Tensor *scales, const Tensor *zeros, int64_t row, int64_t column) {
    int64_t groups = q->group ? q->groups : 1, at = row * groups + (q->group ? column / q->group : 0);
    bool eight = q->scheme == QUANT_INT8;
    Steps s = {.scale = scales->f[at], .zero = zeros ? (double)zeros->i[at] : eight ? 0 : 8};
    s.least = eight && !zeros ? -127 : 0;
    s.most = !eight ? 15 : zeros ? 255 : 127;
    return s;
}

static double code_for(const Steps *s, double w) {
    double code = (s->scale != 0 ? nearbyint(w / s->scale) : 0) + s->zero;
    return code < s->least ? s->least : code > s->most ? s->most : code;
}

static void store_code(const QuantPlan *q, Tensor *codes, int64_t row, int64_t column, int code) {
    int64_t run = q->group ? q->groups * q->group : q->length, half = q->group / 2;
    if (!quantize_halves(q)) {
        codes->i[row * run + column] = code;
        return;
    }
    int64_t in_group = column % q->group, byte = row * (run / 2) + column / q->group * half + in_group % half;
    if (in_group < half) codes->i[byte] = (codes->i[byte] & 0xf0) | code;
    else codes->i[byte] = (codes->i[byte] & 0x0f) | code << 4;
}

/* Columns from..to of one row: errors[] in units of U_ii, and what they do to the columns of the block that follow. */
static void round_block(const Gptq *t, const QuantPlan *q, double *w, int from, int to, double *errors, int64_t row, Tensor *codes,
                        const Tensor *scales, const Tensor *zeros) {
    for (int i = from; i < to; i++) {
        const double *u = t->upper + (size_t)i * (size_t)t->n;
        Steps s = steps_of(q, scales, zeros, row, t->order[i]);
        double code = code_for(&s, w[i]), error = (w[i] - (code - s.zero) * s.scale) / u[i];
        store_code(q, codes, row, t->order[i], (int)code);
        errors[i - from] = error;
        for (int j = i + 1; j < to; j++) w[j] -= error * u[j];
    }
}

void quantize_gptq(const Gptq *t, const QuantPlan *q, const float *rows, int64_t n, Tensor *codes, const Tensor *scales,
                   const Tensor *zeros) {
    int length = t->n;
    double *w = room((size_t)n * (size_t)length, sizeof *w), *errors = room((size_t)n * BLOCK, sizeof *errors);
    for (int64_t r = 0; r < n; r++)
        for (int i = 0; i < length; i++) w[r * length + i] = rows[r * length + t->order[i]];
    for (int from = 0; from < length; from += BLOCK) {
        int to = from + BLOCK < length ? from + BLOCK : length;
        for (int64_t r = 0; r < n; r++) round_block(t, q, w + r * length, from, to, errors + r * BLOCK, r, codes, scales, zeros);
        if (to == length) break;
        const double *u = t->upper + (size_t)from * (size_t)length + to;
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, length - to, to - from, -1, errors, BLOCK, u, length, 1, w + to,
                    length);
    }
    free(w);
    free(errors);
}
