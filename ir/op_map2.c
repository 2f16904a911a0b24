/* op_map2.c -- maps of two and three operands: types, meaning, derivatives. Operands have one shape (stretching is `expand`).
 */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <math.h>

/* ---- types --------------------------------------------------------------------------------------------------------------- */

static bool same_types(Infer *i, int first) {
    for (int k = first + 1; k < i->n; k++) {
        if (!type_equal(&i->in[first]->type, &i->in[k]->type))
            return infer_fail(i, "operands are %s and %s", type_text(i->g->arena, &i->in[first]->type),
                              type_text(i->g->arena, &i->in[k]->type));
    }
    return true;
}

static bool infer_map2(Infer *i, const char *kinds) {
    if (!same_types(i, 0)) return false;
    i->out = i->in[0]->type;
    for (; *kinds; kinds++)
        if (dtype_kind(i->out.dtype) == *kinds) return true;
    return infer_fail(i, "not for %s", dtype_name(i->out.dtype));
}

static bool infer_compare(Infer *i, const char *kinds) {
    if (!infer_map2(i, kinds)) return false;
    i->out.dtype = DT_BOOL;
    return true;
}

bool infer_ADD(Infer *i) { return infer_map2(i, "fiu"); }
bool infer_SUB(Infer *i) { return infer_map2(i, "fiu"); }
bool infer_MUL(Infer *i) { return infer_map2(i, "fiu"); }
bool infer_MULZ(Infer *i) { return infer_map2(i, "f"); }
bool infer_DIV(Infer *i) { return infer_map2(i, "f"); }
bool infer_MOD(Infer *i) { return infer_map2(i, "fiu"); }
bool infer_POW(Infer *i) { return infer_map2(i, "f"); }
bool infer_ATAN2(Infer *i) { return infer_map2(i, "f"); }
bool infer_MAX(Infer *i) { return infer_map2(i, "fiu"); }
bool infer_MIN(Infer *i) { return infer_map2(i, "fiu"); }
bool infer_EQ(Infer *i) { return infer_compare(i, "fiub"); }
bool infer_NE(Infer *i) { return infer_compare(i, "fiub"); }
bool infer_LT(Infer *i) { return infer_compare(i, "fiu"); }
bool infer_LE(Infer *i) { return infer_compare(i, "fiu"); }
bool infer_GT(Infer *i) { return infer_compare(i, "fiu"); }
bool infer_GE(Infer *i) { return infer_compare(i, "fiu"); }

bool infer_NIBBLE(Infer *i) {
    if (!infer_map2(i, "u")) return false;
    return i->out.dtype == DT_U8 || infer_fail(i, "not for %s", dtype_name(i->out.dtype));
}

bool infer_SHR(Infer *i) {
    if (!infer_map2(i, "i")) return false;
    return i->out.dtype == DT_I32 || infer_fail(i, "not for %s", dtype_name(i->out.dtype));
}

bool infer_RESCALE(Infer *i) {
    Type by = i->in[0]->type;
    i->out = by;
    by.dtype = DT_F32;
    if (i->out.dtype == DT_I32 && type_equal(&by, &i->in[1]->type)) return true;
    return infer_fail(i, "operands are %s and %s", type_text(i->g->arena, &i->in[0]->type), type_text(i->g->arena, &i->in[1]->type));
}

bool infer_AND(Infer *i) { return infer_map2(i, "b"); }
bool infer_OR(Infer *i) { return infer_map2(i, "b"); }

bool infer_CLAMP(Infer *i) { return infer_map2(i, "fiu"); }

bool infer_WHERE(Infer *i) {
    if (!same_types(i, 1)) return false;
    i->out = i->in[1]->type;
    Type cond = i->out;
    cond.dtype = DT_BOOL;
    if (type_equal(&cond, &i->in[0]->type)) return true;
    return infer_fail(i, "the condition is %s", type_text(i->g->arena, &i->in[0]->type));
}

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

typedef double FloatFunction(double a, double b);
typedef uint64_t WholeFunction(int64_t a, int64_t b);

static bool eval_map2(Eval *e, const Node *n, Tensor *const *in, Tensor **out, FloatFunction *f, WholeFunction *whole) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *a = in[0], *b = in[1];
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) {
        if (y->f) y->f[k] = eval_round(e, y->dtype, f(a->f[k], b->f[k]));
        else y->i[k] = wrap_int(y->dtype, whole(a->i[k], b->i[k]));
    }
    return true;
}

typedef bool FloatTest(double a, double b);
typedef bool WholeTest(int64_t a, int64_t b);

static bool eval_compare(Eval *e, const Node *n, Tensor *const *in, Tensor **out, FloatTest *f, WholeTest *whole) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *a = in[0], *b = in[1];
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) y->i[k] = a->f ? f(a->f[k], b->f[k]) : whole(a->i[k], b->i[k]);
    return true;
}

static double add(double a, double b) { return a + b; }
static double sub(double a, double b) { return a - b; }
static double mul(double a, double b) { return a * b; }
static double mulz(double a, double b) { return a == 0 ? 0 : a * b; }
static double divide(double a, double b) { return a / b; }
static double larger(double a, double b) { return isnan(a) ? a : isnan(b) ? b : a > b ? a : b; }
static double smaller(double a, double b) { return isnan(a) ? a : isnan(b) ? b : a < b ? a : b; }
static uint64_t whole_add(int64_t a, int64_t b) { return (uint64_t)a + (uint64_t)b; }
static uint64_t whole_sub(int64_t a, int64_t b) { return (uint64_t)a - (uint64_t)b; }
static uint64_t whole_mul(int64_t a, int64_t b) { return (uint64_t)a * (uint64_t)b; }
static uint64_t whole_larger(int64_t a, int64_t b) { return (uint64_t)(a > b ? a : b); }
static uint64_t whole_smaller(int64_t a, int64_t b) { return (uint64_t)(a < b ? a : b); }
static uint64_t whole_and(int64_t a, int64_t b) { return a && b; }
static uint64_t whole_or(int64_t a, int64_t b) { return a || b; }
static uint64_t whole_nibble(int64_t a, int64_t b) { return (uint64_t)a >> (b & 1 ? 4 : 0) & 15; }
static uint64_t whole_shr(int64_t a, int64_t b) { return (uint64_t)(a >> (b & 31)); }
static bool eq(double a, double b) { return a == b; }
static bool ne(double a, double b) { return a != b; }
static bool lt(double a, double b) { return a < b; }
static bool le(double a, double b) { return a <= b; }
static bool gt(double a, double b) { return a > b; }
static bool ge(double a, double b) { return a >= b; }
static bool whole_eq(int64_t a, int64_t b) { return a == b; }
static bool whole_ne(int64_t a, int64_t b) { return a != b; }
static bool whole_lt(int64_t a, int64_t b) { return a < b; }
static bool whole_le(int64_t a, int64_t b) { return a <= b; }
static bool whole_gt(int64_t a, int64_t b) { return a > b; }
static bool whole_ge(int64_t a, int64_t b) { return a >= b; }

bool eval_ADD(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, add, whole_add); }
bool eval_SUB(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, sub, whole_sub); }
bool eval_MUL(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, mul, whole_mul); }
bool eval_MULZ(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, mulz, NULL); }
bool eval_DIV(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, divide, NULL); }
bool eval_POW(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, pow, NULL); }
bool eval_ATAN2(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, atan2, NULL); }
bool eval_NIBBLE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, NULL, whole_nibble); }
bool eval_SHR(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, NULL, whole_shr); }
bool eval_MAX(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    return eval_map2(e, n, in, out, larger, whole_larger);
}
bool eval_MIN(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    return eval_map2(e, n, in, out, smaller, whole_smaller);
}
bool eval_AND(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, NULL, whole_and); }
bool eval_OR(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map2(e, n, in, out, NULL, whole_or); }
bool eval_EQ(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_compare(e, n, in, out, eq, whole_eq); }
bool eval_NE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_compare(e, n, in, out, ne, whole_ne); }
bool eval_LT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_compare(e, n, in, out, lt, whole_lt); }
bool eval_LE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_compare(e, n, in, out, le, whole_le); }
bool eval_GT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_compare(e, n, in, out, gt, whole_gt); }
bool eval_GE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_compare(e, n, in, out, ge, whole_ge); }

/* a - floor(a / b) * b, each operation rounded to the dtype; integers have the sign of b. */
bool eval_MOD(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *a = in[0], *b = in[1];
    if (!y) return false;
    DType d = y->dtype == DT_F64 || e->exact ? DT_F64 : DT_F32;
    for (int64_t k = 0; k < y->count; k++) {
        if (y->f) {
            double whole = floor(round_float(d, a->f[k] / b->f[k]));
            y->f[k] = eval_round(e, y->dtype, a->f[k] - round_float(d, whole * b->f[k]));
        } else if (b->i[k] == 0) {
            return eval_fail(e, MDL_RANGE, "remainder by 0");
        } else if (b->i[k] != -1) {
            int64_t r = a->i[k] % b->i[k];
            y->i[k] = r != 0 && (r < 0) != (b->i[k] < 0) ? r + b->i[k] : r;
        }
    }
    return true;
}

bool eval_RESCALE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    const float most = (1 << 30) - 64;
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) {
        float x = (float)in[0]->i[k] * (float)in[1]->f[k];
        y->i[k] = (int64_t)(x > most ? most : x > -most ? rintf(x) : -most);
    }
    return true;
}

bool eval_WHERE(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) element_copy(y, k, in[0]->i[k] ? in[1] : in[2], k);
    return true;
}

bool eval_CLAMP(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *x = in[0], *low = in[1], *high = in[2];
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) {
        if (y->f) y->f[k] = smaller(larger(x->f[k], low->f[k]), high->f[k]);
        else y->i[k] = (int64_t)whole_smaller((int64_t)whole_larger(x->i[k], low->i[k]), high->i[k]);
    }
    return true;
}

/* ---- derivatives --------------------------------------------------------------------------------------------------------- */

static Node *zero(GradRule *r) { return node_like(r->g, r->dy, 0); }
static Node *where(GradRule *r, Node *cond, Node *a, Node *b) { return node_map3(r->g, OP_WHERE, cond, a, b); }
static Node *negated(GradRule *r, Node *x) { return node_map1(r->g, OP_NEG, x); }

void grad_ADD(GradRule *r) { r->dx[0] = r->dx[1] = r->dy; }

void grad_SUB(GradRule *r) {
    r->dx[0] = r->dy;
    if (r->want[1]) r->dx[1] = negated(r, r->dy);
}

void grad_MUL(GradRule *r) {
    if (r->want[0]) r->dx[0] = grad_scale(r->g, r->dy, r->y->in[1]);
    if (r->want[1]) r->dx[1] = grad_scale(r->g, r->dy, r->y->in[0]);
}

void grad_MULZ(GradRule *r) { grad_MUL(r); }

void grad_DIV(GradRule *r) { /* 1 / b; -y / b */
    Node *b = r->y->in[1];
    double number;
    if (r->want[0] && node_is_number(b, &number) && isfinite(number) && number != 0)
        r->dx[0] = node_map2(r->g, OP_DIV, r->dy, b);
    else if (r->want[0]) r->dx[0] = grad_scale(r->g, r->dy, node_map2(r->g, OP_DIV, node_like(r->g, b, 1), b));
    if (r->want[1]) r->dx[1] = negated(r, grad_scale(r->g, r->dy, node_map2(r->g, OP_DIV, r->y, b)));
}

void grad_MOD(GradRule *r) { /* 1; -floor(a / b) */
    r->dx[0] = r->dy;
    if (!r->want[1]) return;
    Node *whole = node_map1(r->g, OP_FLOOR, node_map2(r->g, OP_DIV, r->y->in[0], r->y->in[1]));
    r->dx[1] = negated(r, grad_scale(r->g, r->dy, whole));
}

/* b * a ** (b - 1), 0 where b is 0; y * log(a), 0 where a is 0 and b >= 0. */
void grad_POW(GradRule *r) {
    Graph *g = r->g;
    Node *a = r->y->in[0], *b = r->y->in[1], *none = node_like(g, a, 0);
    double number;
    if (r->want[0] && node_is_number(b, &number)) {
        Node *power = node_map2(g, OP_POW, a, node_like(g, a, number - 1));
        r->dx[0] = number == 0 ? zero(r) : grad_scale(g, r->dy, node_map2(g, OP_MUL, node_like(g, a, number), power));
    } else if (r->want[0]) {
        Node *power = node_map2(g, OP_POW, a, node_map2(g, OP_SUB, b, node_like(g, b, 1)));
        Node *slope = node_map2(g, OP_MUL, b, power);
        r->dx[0] = grad_scale(g, r->dy, where(r, node_map2(g, OP_EQ, b, none), none, slope));
    }
    if (r->want[1]) {
        Node *edge = node_map2(g, OP_AND, node_map2(g, OP_EQ, a, none), node_map2(g, OP_GE, b, none));
        Node *slope = node_map2(g, OP_MUL, r->y, node_map1(g, OP_LOG, a));
        r->dx[1] = grad_scale(g, r->dy, where(r, edge, none, slope));
    }
}

/* x / r2; -y / r2; 0 at 0, 0. Both are divided by the larger first: their squares would leave the range. */
void grad_ATAN2(GradRule *r) {
    Graph *g = r->g;
    Node *y = r->y->in[0], *x = r->y->in[1], *none = node_like(g, x, 0);
    Node *most = node_map2(g, OP_MAX, node_map1(g, OP_ABS, y), node_map1(g, OP_ABS, x));
    Node *a = node_map2(g, OP_DIV, y, most), *b = node_map2(g, OP_DIV, x, most);
    Node *square = node_map2(g, OP_ADD, node_map2(g, OP_MUL, a, a), node_map2(g, OP_MUL, b, b));
    Node *r2 = node_map2(g, OP_MUL, square, most), *origin = node_map2(g, OP_EQ, most, none);
    Node *along_y = where(r, origin, none, node_map2(g, OP_DIV, b, r2));
    Node *along_x = where(r, origin, none, negated(r, node_map2(g, OP_DIV, a, r2)));
    if (r->want[0]) r->dx[0] = grad_scale(g, r->dy, along_y);
    if (r->want[1]) r->dx[1] = grad_scale(g, r->dy, along_x);
}

/* The winner gets dy; equals half each, but against a number only who wins strictly. */
static void grad_extreme(GradRule *r, Op wins) {
    Graph *g = r->g;
    Node *a = r->y->in[0], *b = r->y->in[1];
    Node *tie = zero(r);
    if (!node_is_number(a, NULL) && !node_is_number(b, NULL)) {
        Node *half = node_map2(g, OP_MUL, r->dy, node_like(g, r->dy, 0.5));
        tie = where(r, node_map2(g, OP_EQ, a, b), half, tie);
    }
    if (r->want[0]) r->dx[0] = where(r, node_map2(g, wins, a, b), r->dy, tie);
    if (r->want[1]) r->dx[1] = where(r, node_map2(g, wins, b, a), r->dy, tie);
}

void grad_MAX(GradRule *r) { grad_extreme(r, OP_GT); }
void grad_MIN(GradRule *r) { grad_extreme(r, OP_LT); }

void grad_WHERE(GradRule *r) {
    if (r->want[1]) r->dx[1] = where(r, r->y->in[0], r->dy, zero(r));
    if (r->want[2]) r->dx[2] = where(r, r->y->in[0], zero(r), r->dy);
}

void grad_CLAMP(GradRule *r) { /* x: inside and at the limits; a limit: where it decides */
    Graph *g = r->g;
    Node *x = r->y->in[0], *low = r->y->in[1], *high = r->y->in[2];
    if (r->want[0]) {
        Node *inside = node_map2(g, OP_AND, node_map2(g, OP_GE, x, low), node_map2(g, OP_LE, x, high));
        r->dx[0] = where(r, inside, r->dy, zero(r));
    }
    if (r->want[1]) r->dx[1] = where(r, node_map2(g, OP_LT, x, low), r->dy, zero(r));
    if (r->want[2]) r->dx[2] = where(r, node_map2(g, OP_GT, x, high), r->dy, zero(r));
}
