/* op.h -- what the files op_*.c share: the functions that every row of ops.def must have, and small helpers. Others use
 * ir/graph.h and ir/eval.h. An op X is infer_X (type of the result), eval_X (meaning) and grad_X (derivative), side by side in
 * one op_*.c. */
#ifndef IR_OP_H
#define IR_OP_H
#include "ir/eval.h"
#include "ir/graph.h"

/* ---- types of results ---------------------------------------------------------------------------------------------------- */

/* What a rule sees, and where it leaves the type. `out` comes in as the type asked for (leaves and random have no other
 * source). */
typedef struct Infer {
    Graph *g;
    const Attrs *attrs;
    int n;
    Node *const *in;
    Type out;
    const char *error; /* why operands or attributes do not fit */
} Infer;
typedef bool InferFunction(Infer *i);

bool infer_fail(Infer *i, const char *format, ...) __attribute__((format(printf, 2, 3))); /* always false */
/* Fills i->out; false: i->error. Counts and kinds of operands are checked too. */
bool op_infer(Op op, Infer *i);

/* ---- meaning ------------------------------------------------------------------------------------------------------------- */

typedef bool EvalFunction(Eval *e, const Node *n, Tensor *const *in, Tensor **out);
EvalFunction *op_eval(Op op);

bool eval_fail(Eval *e, int status, const char *format, ...) __attribute__((format(printf, 3, 4))); /* always false */
/* A zeroed tensor of the type, sizes evaluated; NULL after eval_fail (a negative size, too many elements). */
Tensor *eval_new(Eval *e, const Type *type);
bool eval_size(Eval *e, Size s, int64_t *value);
/* A body: arguments are given, results[] go into e->arena. */
bool eval_body(Eval *e, const Graph *body, Tensor *const *args, Tensor **results);

double round_float(DType d, double x);    /* nearest even in d; f64: x */
uint64_t float_bits(DType d, double x);   /* of x, rounded; d has 8 or 16 bits */
double float_value(DType d, uint64_t bits);
int64_t wrap_int(DType d, uint64_t bits); /* two's complement, width and sign of d; bool: 0 or 1 */
int64_t saturate_int(DType d, double x);  /* truncated toward zero; NaN: 0 */
int64_t saturate_whole(DType d, int64_t x);
static inline double eval_round(const Eval *e, DType d, double x) { return e->exact ? x : round_float(d, x); }

/* Strides in elements of a row-major tensor; returns the count. */
int64_t row_major(int rank, const int64_t *dim, int64_t *stride);
/* The next index in row-major order; false after the last. */
bool index_next(int rank, const int64_t *dim, int64_t *index);
void element_copy(Tensor *to, int64_t i, const Tensor *from, int64_t k);

/* ---- derivatives --------------------------------------------------------------------------------------------------------- */

const char *op_no_grad_reason(Op op); /* why op_grad is NULL; NULL if it is not */

Node *grad_scale(Graph *g, Node *dy, Node *factor); /* dy * factor, 0 where dy is 0 even if the factor is infinite or NaN */
Node *node_like(Graph *g, Node *x, double number);  /* a constant of x's type */
Node *node_count(Graph *g, Size count, DType d);    /* a scalar: the size as a number */
Node *node_reciprocal_count(Graph *g, Size count, double numerator, DType d); /* numerator / count */
bool node_is_number(const Node *x, double *number); /* const, or views of one */
Node *node_unreduce(Graph *g, Node *reduced, Node *x, int n_axes, const int *axes); /* gives the axes back, repeated */

#define OP(e, name, n, attrs, class, help) InferFunction infer_##e; EvalFunction eval_##e; GradFunction grad_##e;
#include "ir/ops.def"
#undef OP

#endif
