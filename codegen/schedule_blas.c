/* schedule_blas.c -- --blas=openblas: products of f32 matrices by cblas_sgemm of a library that the artifact then needs.
 *
 * What such a product is: one symbol for the rows of the result at most, one for its columns, one for the sum, batches outside, and in
 * each of the three matrices one of the two strides is 1. Sums over windows (convolutions), weights in fewer bits and products
 * that are looked at in part stay generated code. The plan leaves nothing else in such a kernel (passes/fuse.c).
 *
 * The library runs on the thread that calls it: threads are the session's, and split rows, or batches. */
#include "codegen/contract.h"
#include "codegen/cpu/blas.h"

typedef struct Matrix {
    Size row, column; /* strides; NULL: one row, one column */
} Matrix;

/* Only these symbols move an address: batches, and two more (-1: none). */
static bool moved_by(const Contract *c, const Access *x, int first, int second) {
    for (int s = 0; s < c->sp->n; s++) {
        bool batch = c->sp->symbol[s].axis >= 0 && c->class[c->sp->symbol[s].axis] == GROUP_BATCH;
        if (x->at.coef[s] && !batch && s != first && s != second) return false;
    }
    return true;
}

static bool matrix_of(const Contract *c, const Access *x, int row, int column, Matrix *m) {
    *m = (Matrix){contract_stride(x, row), contract_stride(x, column)};
    if (!moved_by(c, x, row, column) || (row >= 0 && !m->row) || (column >= 0 && !m->column)) return false;
    return !m->row || !m->column || size_is(m->row, 1) || size_is(m->column, 1);
}

/* Is it in rows: does a step along a row go to the neighbour? */
static bool in_rows(const Matrix *m) {
    return !m->column || size_is(m->column, 1);
}

/* Elements from one line to the next: at least as many as a line has. */
static Size leading(const Matrix *m, bool rows, Size row_count, Size column_count) {
    Size step = rows ? m->row : m->column, line = rows ? column_count : row_count;
    return step ? size_max(step, line) : line;
}

static bool is_f32(const Access *x) {
    return x->base->type.dtype == DT_F32 && x->base->op != OP_CONST && x->base->op != OP_IOTA && x->base->op != OP_SIZE;
}

static void add_size(Work *w, Size s) {
    PUSH(w->arena, w->sizes, s);
}

bool schedule_blas(Work *w, KernelCode *code) {
    const Kernel *k = w->k;
    Contract c;
    Matrix a, b, out;
    if (k->nodes.n != 1 || k->limit.seen || k->anchor->type.dtype != DT_F32) return false;
    contract_start_as(&c, w, k, false);
    if (c.prologue || !is_f32(c.at_a) || !is_f32(c.at_b) || c.stores.n != 1) return false;
    if (c.n[GROUP_M] > 1 || c.n[GROUP_N] > 1 || c.n[GROUP_K] > 1 || c.n[GROUP_BATCH] > BLAS_BATCHES) return false;
    const Access *to = c.stores.at[0];
    if (!matrix_of(&c, c.at_a, c.sm, c.sk, &a) || !matrix_of(&c, c.at_b, c.sk, c.sn, &b) || !matrix_of(&c, to, c.sm, c.sn, &out)) return false;
    BlasForm form = {.rows = in_rows(&out), .batches = c.n[GROUP_BATCH]};
    form.turned[0] = in_rows(&a) != form.rows;
    form.turned[1] = in_rows(&b) != form.rows;
    Size one = size_const(w->table, 1), zero = size_const(w->table, 0);
    add_size(w, c.size_m);
    add_size(w, c.size_n);
    add_size(w, c.size_k);
    add_size(w, leading(&a, in_rows(&a), c.size_m, c.size_k));
    add_size(w, leading(&b, in_rows(&b), c.size_k, c.size_n));
    add_size(w, leading(&out, form.rows, c.size_m, c.size_n));
    add_size(w, a.row ? a.row : one);
    add_size(w, out.row ? out.row : one);
    const Access *const all[] = {c.at_a, c.at_b, to};
    for (int i = 0; i < 3; i++) add_size(w, all[i]->at.c ? all[i]->at.c : zero);
    w->count = form.batches ? one : size_ceildiv(c.size_m, size_const(w->table, BLAS_ROWS));
    for (int q = 0; q < form.batches; q++) {
        int s = c.symbol[GROUP_BATCH][q];
        w->count = size_mul(w->count, c.sp->symbol[s].n);
        add_size(w, c.sp->symbol[s].n);
        for (int i = 0; i < 3; i++) add_size(w, all[i]->at.coef[s] ? all[i]->at.coef[s] : zero);
    }
    for (int i = 0; i < 3; i++) PUSH(w->arena, w->args, ((KernelArg){.kind = ARG_VALUE, .node = all[i]->base}));
    w->kind = "blas";
    work_finish_blas(w, &form, code);
    return true;
}
