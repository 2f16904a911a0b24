/* op.c -- the table of operations, made from ops.def. A new row makes the linker ask for infer_X, eval_X and grad_X; an op
 * without a derivative is listed here with the reason instead of grad_X. */
#include "ir/op.h"

#include <stdarg.h>
#include <string.h>

static const OpRow ROW[OP_COUNT] = {
#define OP(e, name, n, attrs, class, help) {name, n, attrs, class, help},
#include "ir/ops.def"
#undef OP
};

const OpRow *op_row(Op op) {
    if ((unsigned)op >= OP_COUNT) bug("op %d", (int)op);
    return &ROW[op];
}

bool op_parse(const char *name, Op *op) {
    for (int i = 0; i < OP_COUNT; i++) {
        if (strcmp(ROW[i].name, name) != 0) continue;
        *op = (Op)i;
        return true;
    }
    return false;
}

/* ---- the functions of each op -------------------------------------------------------------------------------------------- */

#define NO_DERIVATIVE(X)                                                                                                       \
    X(INPUT, "a leaf") X(SLOT, "a leaf") X(CONST, "a leaf") X(TENSOR, "a leaf") X(IOTA, "a leaf") X(SIZE, "a leaf")            \
    X(ARG, "a leaf") X(SIGN, "constant almost everywhere") X(FLOOR, "constant almost everywhere")                              \
    X(CEIL, "constant almost everywhere") X(ROUND, "constant almost everywhere") X(NOT, "bool") X(ISNAN, "bool")               \
    X(NIBBLE, "whole numbers") X(SHR, "whole numbers") X(RESCALE, "whole numbers")   \
    X(EQ, "bool") X(NE, "bool") X(LT, "bool") X(LE, "bool") X(GT, "bool") X(GE, "bool") X(AND, "bool") X(OR, "bool")           \
    X(RANDOM, "a draw") X(SORT_IDS, "places") X(TOPK_IDS, "places") X(CATEGORICAL, "a draw")                           \
    X(WINDOW, "made when gradients are taken already") X(WINDOW_ARGMAX, "places") X(SCAN, "made by the pass, a scan backward")  \
    X(CALL, "opened before gradients are taken") X(GET, "belongs to its operand")                                              \
    X(STOP, "stops gradients") X(GRAD, "expanded by the pass that takes gradients")

#define grad_INPUT NULL
#define grad_SLOT NULL
#define grad_CONST NULL
#define grad_TENSOR NULL
#define grad_IOTA NULL
#define grad_SIZE NULL
#define grad_ARG NULL
#define grad_SIGN NULL
#define grad_FLOOR NULL
#define grad_CEIL NULL
#define grad_ROUND NULL
#define grad_NOT NULL
#define grad_ISNAN NULL
#define grad_EQ NULL
#define grad_NE NULL
#define grad_LT NULL
#define grad_LE NULL
#define grad_GT NULL
#define grad_GE NULL
#define grad_NIBBLE NULL
#define grad_SHR NULL
#define grad_RESCALE NULL
#define grad_AND NULL
#define grad_OR NULL
#define grad_RANDOM NULL
#define grad_SORT_IDS NULL
#define grad_TOPK_IDS NULL
#define grad_CATEGORICAL NULL
#define grad_WINDOW NULL
#define grad_WINDOW_ARGMAX NULL
#define grad_SCAN NULL
#define grad_CALL NULL
#define grad_GET NULL
#define grad_STOP NULL
#define grad_GRAD NULL

static const struct {
    InferFunction *infer;
    EvalFunction *eval;
    GradFunction *grad;
} FUNCTION[OP_COUNT] = {
#define OP(e, name, n, attrs, class, help) {infer_##e, eval_##e, grad_##e},
#include "ir/ops.def"
#undef OP
};

GradFunction *op_grad(Op op) { return FUNCTION[op].grad; }
EvalFunction *op_eval(Op op) { return FUNCTION[op].eval; }

const char *op_no_grad_reason(Op op) {
    static const struct {
        Op op;
        const char *reason;
    } REASON[] = {
#define X(e, reason) {OP_##e, reason},
        NO_DERIVATIVE(X)
#undef X
    };
    for (size_t i = 0; i < sizeof REASON / sizeof *REASON; i++)
        if (REASON[i].op == op) return REASON[i].reason;
    return NULL;
}

/* ---- types --------------------------------------------------------------------------------------------------------------- */

bool op_moves(Op op) {
    switch (op) {
    case OP_INPUT:
    case OP_SLOT:
    case OP_CONST:
    case OP_TENSOR:
    case OP_ARG:
    case OP_CAST:
    case OP_WHERE:
    case OP_RESHAPE:
    case OP_PERMUTE:
    case OP_EXPAND:
    case OP_SLICE:
    case OP_PAD:
    case OP_CONCAT:
    case OP_REV:
    case OP_DIAGONAL:
    case OP_SLICE_AT:
    case OP_GATHER:
    case OP_UPDATE_AT:
    case OP_SCAN:
    case OP_CALL:
    case OP_GET:
    case OP_STOP:
    case OP_CUSTOM: return true;
    default: return false;
    }
}

bool infer_fail(Infer *i, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    i->error = arena_vprintf(i->g->arena, format, ap);
    va_end(ap);
    return false;
}

bool op_infer(Op op, Infer *i) {
    const OpRow *row = op_row(op);
    if (row->n_in >= 0 && i->n != row->n_in) return infer_fail(i, "%d operands, %d are wanted", i->n, row->n_in);
    for (int k = 0; k < i->n; k++)
        if (i->in[k]->type.rank < 0 && op != OP_GET) return infer_fail(i, "operand %d has several results: get one of them", k);
    for (int k = 0; k < i->n && !op_moves(op); k++)
        if (dtype_is_kept(i->in[k]->type.dtype)) return infer_fail(i, "it does not compute with %s", dtype_name(i->in[k]->type.dtype));
    if (!FUNCTION[op].infer(i)) return false;
    if (dtype_is_kept(i->out.dtype) && !op_moves(op)) return infer_fail(i, "it does not make %s", dtype_name(i->out.dtype));
    if (i->out.rank > MAX_RANK) return infer_fail(i, "rank %d, more than %d", i->out.rank, MAX_RANK);
    return true;
}
