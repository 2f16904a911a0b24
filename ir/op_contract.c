/* op_contract.c -- contract: sum over the axis letters of a and b that the result lacks.
 * Operand 1 may be i8 beside a float: a quantized weight, whose elements are numbers of that float type; operand 0 may be u8: a row's codes.
 * Operand 1 may be f16 or bf16 beside f32: what a cache keeps, read as f32.
 *
 * A letter is batch (in a, b and the result), row (a and result), column (b and result) or inner (a and b). Both operands are
 * packed as row-major matrices [batch, row, inner] and [batch, inner, column] of double; small products are three loops, large
 * ones go to BLAS. The derivative is the same form lacking another of its three tensors: da = contract(dy, b), db = contract(a,
 * dy). */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

static bool letters_ok(Infer *i, const char *labels, const Type *t, const char *what) {
    if (!labels || (int)strlen(labels) != t->rank)
        return infer_fail(i, "%s has rank %d, its letters are %s", what, t->rank, labels ? labels : "missing");
    for (int k = 0; k < t->rank; k++) {
        char c = labels[k];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return infer_fail(i, "a letter of %s is `%c`", what, c);
        if (strchr(labels + k + 1, c)) return infer_fail(i, "the letter %c is twice in %s", c, what);
    }
    return true;
}

bool infer_CONTRACT(Infer *i) {
    const Type *a = &i->in[0]->type, *b = &i->in[1]->type;
    const char *la = i->attrs->labels[0], *lb = i->attrs->labels[1], *lo = i->attrs->labels[2];
    bool stored = dtype_is_float(a->dtype) && b->dtype == DT_I8; /* a quantized weight: counts as numbers of a's type */
    bool coded = a->dtype == DT_U8 && dtype_is_float(b->dtype);  /* a row in codes: as numbers of b's */
    bool halves = a->dtype == DT_F32 && (b->dtype == DT_F16 || b->dtype == DT_BF16);
    if (a->dtype != b->dtype && !stored && !coded && !halves) return infer_fail(i, "operands are %s and %s", dtype_name(a->dtype), dtype_name(b->dtype));
    if (a->dtype == DT_BOOL) return infer_fail(i, "bool");
    if (!letters_ok(i, la, a, "operand 0") || !letters_ok(i, lb, b, "operand 1")) return false;
    if (!lo || strlen(lo) > MAX_RANK) return infer_fail(i, "letters of the result");
    i->out = (Type){.dtype = coded ? b->dtype : a->dtype, .rank = (int)strlen(lo)};
    if (!coded && (a->dtype == DT_I8 || a->dtype == DT_U8 || a->dtype == DT_I16)) i->out.dtype = DT_I32;
    if (!letters_ok(i, lo, &i->out, "the result")) return false;
    for (int k = 0; k < i->out.rank; k++) {
        const char *in_a = strchr(la, lo[k]), *in_b = strchr(lb, lo[k]);
        if (!in_a && !in_b) return infer_fail(i, "the letter %c of the result is in no operand", lo[k]);
        i->out.dim[k] = in_a ? a->dim[in_a - la] : b->dim[in_b - lb];
    }
    for (int k = 0; k < a->rank; k++) {
        const char *in_b = strchr(lb, la[k]);
        if (in_b && b->dim[in_b - lb] != a->dim[k])
            return infer_fail(i, "the letter %c is %s and %s", la[k], size_text(i->g->arena, a->dim[k]),
                              size_text(i->g->arena, b->dim[in_b - lb]));
        if (!in_b && !strchr(lo, la[k])) return infer_fail(i, "the letter %c of operand 0 is alone", la[k]);
    }
    for (int k = 0; k < b->rank; k++)
        if (!strchr(la, lb[k]) && !strchr(lo, lb[k])) return infer_fail(i, "the letter %c of operand 1 is alone", lb[k]);
    return true;
}

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

/* Letters of one role, in one order for all three tensors. */
typedef struct Group {
    int n;
    char letter[MAX_RANK];
    int64_t dim[MAX_RANK], count;
} Group;

static int64_t letter_dim(const char *labels, const Tensor *t, char c) { return t->dim[strchr(labels, c) - labels]; }

static void group_add(Group *g, char c, int64_t dim) {
    g->letter[g->n] = c;
    g->dim[g->n++] = dim;
    g->count *= dim;
}

/* Element offsets of the letters of a group in a tensor, in row-major order of the group. */
static int64_t *group_offsets(Arena *arena, const Group *g, const char *labels, const int64_t *dim) {
    int64_t stride[MAX_RANK], index[MAX_RANK] = {0}, *offset = NEW_ARRAY(arena, int64_t, g->count);
    row_major((int)strlen(labels), dim, stride);
    for (int64_t k = 0; k < g->count; k++, index_next(g->n, g->dim, index)) {
        for (int a = 0; a < g->n; a++) {
            const char *at = strchr(labels, g->letter[a]);
            if (at) offset[k] += index[a] * stride[at - labels];
        }
    }
    return offset;
}

/* [rows, columns] of one batch element, as a matrix. */
static void pack(double *to, const Tensor *t, int64_t base, int64_t rows, const int64_t *row, int64_t columns,
                 const int64_t *column) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++) {
            int64_t at = base + row[i] + column[k];
            to[i * columns + k] = t->f ? t->f[at] : (double)t->i[at];
        }
}

static void multiply(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k) {
    memset(c, 0, sizeof(double) * (size_t)(m * n));
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++) c[i * n + j] += a[i * k + p] * b[p * n + j];
}

static bool blas_fits(int64_t m, int64_t n, int64_t k) {
    const int64_t most = 1 << 30;
    return m < most && n < most && k < most && (double)m * (double)n * (double)k > 32768;
}

bool eval_CONTRACT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    const Tensor *a = in[0], *b = in[1];
    const char *la = n->attrs.labels[0], *lb = n->attrs.labels[1], *lo = n->attrs.labels[2];
    Group batch = {.count = 1}, row = {.count = 1}, column = {.count = 1}, inner = {.count = 1};
    for (const char *c = lo; *c; c++) {
        bool in_a = strchr(la, *c), in_b = strchr(lb, *c);
        group_add(in_a && in_b ? &batch : in_a ? &row : &column, *c, letter_dim(lo, y, *c));
    }
    for (const char *c = la; *c; c++)
        if (!strchr(lo, *c)) group_add(&inner, *c, letter_dim(la, a, *c));
    Arena *room = arena_new();
    int64_t *batch_a = group_offsets(room, &batch, la, a->dim), *batch_b = group_offsets(room, &batch, lb, b->dim);
    int64_t *batch_y = group_offsets(room, &batch, lo, y->dim), *row_a = group_offsets(room, &row, la, a->dim);
    int64_t *row_y = group_offsets(room, &row, lo, y->dim), *column_b = group_offsets(room, &column, lb, b->dim);
    int64_t *column_y = group_offsets(room, &column, lo, y->dim);
    int64_t *inner_a = group_offsets(room, &inner, la, a->dim), *inner_b = group_offsets(room, &inner, lb, b->dim);
    int64_t rows = row.count, columns = column.count, k = inner.count;
    double *pa = NULL, *pb = NULL, *pc = NULL;
    if (y->f) {
        pa = NEW_ARRAY(room, double, rows * k);
        pb = NEW_ARRAY(room, double, k * columns);
        pc = NEW_ARRAY(room, double, rows * columns);
    }
    for (int64_t z = 0; z < batch.count; z++) {
        if (y->f) {
            pack(pa, a, batch_a[z], rows, row_a, k, inner_a);
            pack(pb, b, batch_b[z], k, inner_b, columns, column_b);
            if (blas_fits(rows, columns, k))
                cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)columns, (int)k, 1, pa, (int)k, pb,
                            (int)columns, 0, pc, (int)columns);
            else
                multiply(pc, pa, pb, rows, columns, k);
        }
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < columns; j++) {
                int64_t at = batch_y[z] + row_y[i] + column_y[j];
                if (y->f) {
                    y->f[at] = eval_round(e, y->dtype, pc[i * columns + j]);
                    continue;
                }
                uint64_t sum = 0;
                for (int64_t p = 0; p < k; p++)
                    sum += (uint64_t)a->i[batch_a[z] + row_a[i] + inner_a[p]] *
                           (uint64_t)b->i[batch_b[z] + inner_b[p] + column_b[j]];
                y->i[at] = wrap_int(y->dtype, sum);
            }
        }
    }
    arena_free(room);
    return true;
}

void grad_CONTRACT(GradRule *r) {
    const Node *y = r->y;
    const char *la = y->attrs.labels[0], *lb = y->attrs.labels[1], *lo = y->attrs.labels[2];
    if (r->want[0]) r->dx[0] = node_contract(r->g, r->dy, y->in[1], lo, lb, la);
    DType type = y->in[1]->type.dtype;
    if (!r->want[1] || !dtype_is_float(type)) return;
    Node *d = node_contract(r->g, y->in[0], r->dy, la, lo, lb);
    r->dx[1] = d->type.dtype == type ? d : node_cast(r->g, d, type);
}
