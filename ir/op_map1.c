/* op_map1.c -- maps of one operand: types, meaning, derivatives. The rules of derivatives are those of INTRINSICS.md section 3;
 * where dy is 0 they pass on 0 (grad_scale), whatever the factor is. */
#include "ir/op.h"

#include <math.h>

/* ---- types: which kinds of operands (f float, i signed, u unsigned, b bool) ---------------------------------------------- */

static bool infer_map1(Infer *i, const char *kinds) {
    i->out = i->in[0]->type;
    for (; *kinds; kinds++)
        if (dtype_kind(i->out.dtype) == *kinds) return true;
    return infer_fail(i, "not for %s", dtype_name(i->out.dtype));
}

bool infer_NEG(Infer *i) { return infer_map1(i, "fiu"); }
bool infer_EXP(Infer *i) { return infer_map1(i, "f"); }
bool infer_EXPM1(Infer *i) { return infer_map1(i, "f"); }
bool infer_LOG(Infer *i) { return infer_map1(i, "f"); }
bool infer_LOG1P(Infer *i) { return infer_map1(i, "f"); }
bool infer_SQRT(Infer *i) { return infer_map1(i, "f"); }
bool infer_RSQRT(Infer *i) { return infer_map1(i, "f"); }
bool infer_SIN(Infer *i) { return infer_map1(i, "f"); }
bool infer_COS(Infer *i) { return infer_map1(i, "f"); }
bool infer_TANH(Infer *i) { return infer_map1(i, "f"); }
bool infer_ERF(Infer *i) { return infer_map1(i, "f"); }
bool infer_SIGMOID(Infer *i) { return infer_map1(i, "f"); }
bool infer_ABS(Infer *i) { return infer_map1(i, "fiu"); }
bool infer_SIGN(Infer *i) { return infer_map1(i, "fiu"); }
bool infer_FLOOR(Infer *i) { return infer_map1(i, "f"); }
bool infer_CEIL(Infer *i) { return infer_map1(i, "f"); }
bool infer_ROUND(Infer *i) { return infer_map1(i, "f"); }
bool infer_NOT(Infer *i) { return infer_map1(i, "b"); }

bool infer_ISNAN(Infer *i) {
    if (!infer_map1(i, "f")) return false;
    i->out.dtype = DT_BOOL;
    return true;
}

bool infer_CAST(Infer *i) {
    i->out = i->in[0]->type;
    i->out.dtype = i->attrs->dtype;
    return true;
}

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

typedef double FloatFunction(double x);
typedef uint64_t WholeFunction(int64_t x);

static bool eval_map1(Eval *e, const Node *n, Tensor *const *in, Tensor **out, FloatFunction *f, WholeFunction *whole) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *x = in[0];
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) {
        if (y->f) y->f[k] = eval_round(e, y->dtype, f(x->f[k]));
        else y->i[k] = wrap_int(y->dtype, whole(x->i[k]));
    }
    return true;
}

static double neg(double x) { return -x; }
static double rsqrt(double x) { return 1 / sqrt(x); }
static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double sign(double x) { return isnan(x) ? x : (double)((x > 0) - (x < 0)); }
static uint64_t whole_neg(int64_t x) { return 0 - (uint64_t)x; }
static uint64_t whole_abs(int64_t x) { return x < 0 ? 0 - (uint64_t)x : (uint64_t)x; }
static uint64_t whole_sign(int64_t x) { return (uint64_t)(int64_t)((x > 0) - (x < 0)); }
static uint64_t whole_not(int64_t x) { return x == 0; }

bool eval_NEG(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, neg, whole_neg); }
bool eval_EXP(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, exp, NULL); }
bool eval_EXPM1(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, expm1, NULL); }
bool eval_LOG(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, log, NULL); }
bool eval_LOG1P(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, log1p, NULL); }
bool eval_SQRT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, sqrt, NULL); }
bool eval_RSQRT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, rsqrt, NULL); }
bool eval_SIN(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, sin, NULL); }
bool eval_COS(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, cos, NULL); }
bool eval_TANH(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, tanh, NULL); }
bool eval_ERF(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, erf, NULL); }
bool eval_SIGMOID(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, sigmoid, NULL); }
bool eval_ABS(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, fabs, whole_abs); }
bool eval_SIGN(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, sign, whole_sign); }
bool eval_FLOOR(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, floor, NULL); }
bool eval_CEIL(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, ceil, NULL); }
bool eval_ROUND(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, rint, NULL); }
bool eval_NOT(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return eval_map1(e, n, in, out, NULL, whole_not); }

bool eval_ISNAN(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) y->i[k] = isnan(in[0]->f[k]);
    return true;
}

bool eval_CAST(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *x = in[0];
    if (!y) return false;
    for (int64_t k = 0; k < y->count; k++) {
        if (y->f) y->f[k] = eval_round(e, y->dtype, x->f ? x->f[k] : (double)x->i[k]);
        else if (y->dtype == DT_BOOL) y->i[k] = x->f ? x->f[k] != 0 : x->i[k] != 0;
        else y->i[k] = x->f ? saturate_int(y->dtype, x->f[k]) : saturate_whole(y->dtype, x->i[k]);
    }
    return true;
}

/* ---- derivatives: dx of y = f(x), given dy ------------------------------------------------------------------------------- */

static Node *mul(Graph *g, Node *a, Node *b) { return node_map2(g, OP_MUL, a, b); }
static Node *div_node(Graph *g, Node *a, Node *b) { return node_map2(g, OP_DIV, a, b); }

void grad_NEG(GradRule *r) { r->dx[0] = node_map1(r->g, OP_NEG, r->dy); }
void grad_EXP(GradRule *r) { r->dx[0] = grad_scale(r->g, r->dy, r->y); }

void grad_EXPM1(GradRule *r) { /* y + 1 */
    Node *one = node_like(r->g, r->y, 1);
    r->dx[0] = grad_scale(r->g, r->dy, node_map2(r->g, OP_ADD, r->y, one));
}

void grad_LOG(GradRule *r) { /* 1 / x */
    Node *x = r->y->in[0];
    r->dx[0] = grad_scale(r->g, r->dy, div_node(r->g, node_like(r->g, x, 1), x));
}

void grad_LOG1P(GradRule *r) { /* 1 / (1 + x) */
    Node *x = r->y->in[0], *one = node_like(r->g, x, 1);
    r->dx[0] = grad_scale(r->g, r->dy, div_node(r->g, one, node_map2(r->g, OP_ADD, x, one)));
}

void grad_SQRT(GradRule *r) { /* 1 / (2 * y) */
    r->dx[0] = grad_scale(r->g, r->dy, div_node(r->g, node_like(r->g, r->y, 0.5), r->y));
}

void grad_RSQRT(GradRule *r) { /* -0.5 * y * y * y */
    Node *half = node_like(r->g, r->y, -0.5);
    r->dx[0] = grad_scale(r->g, r->dy, mul(r->g, half, mul(r->g, r->y, mul(r->g, r->y, r->y))));
}

void grad_SIN(GradRule *r) { r->dx[0] = grad_scale(r->g, r->dy, node_map1(r->g, OP_COS, r->y->in[0])); }

void grad_COS(GradRule *r) {
    Node *sine = node_map1(r->g, OP_SIN, r->y->in[0]);
    r->dx[0] = node_map1(r->g, OP_NEG, grad_scale(r->g, r->dy, sine));
}

void grad_TANH(GradRule *r) { /* 1 - y * y */
    Node *square = mul(r->g, r->y, r->y);
    r->dx[0] = grad_scale(r->g, r->dy, node_map2(r->g, OP_SUB, node_like(r->g, r->y, 1), square));
}

void grad_ERF(GradRule *r) { /* 2 / sqrt(pi) * exp(-x * x) */
    Node *x = r->y->in[0];
    Node *bell = node_map1(r->g, OP_EXP, node_map1(r->g, OP_NEG, mul(r->g, x, x)));
    r->dx[0] = grad_scale(r->g, r->dy, mul(r->g, node_like(r->g, x, M_2_SQRTPI), bell));
}

void grad_SIGMOID(GradRule *r) { /* y * (1 - y) */
    Node *rest = node_map2(r->g, OP_SUB, node_like(r->g, r->y, 1), r->y);
    r->dx[0] = grad_scale(r->g, r->dy, mul(r->g, r->y, rest));
}

void grad_ABS(GradRule *r) { r->dx[0] = grad_scale(r->g, r->dy, node_map1(r->g, OP_SIGN, r->y->in[0])); }

void grad_CAST(GradRule *r) { /* back; nothing through integers, bool and floats of 8 bits */
    DType from = r->y->in[0]->type.dtype;
    if (dtype_has_gradient(from) && dtype_has_gradient(r->y->type.dtype)) r->dx[0] = node_cast(r->g, r->dy, from);
}
