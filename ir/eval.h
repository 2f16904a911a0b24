/* eval.h -- the reference interpreter: plain loops, double accumulation. It defines every op, folds constants, runs
 * `modelc run --interpret`, and is the oracle of every back end. */
#ifndef IR_EVAL_H
#define IR_EVAL_H
#include "ir/graph.h"

/* A value. Floats are kept in f (after each op rounded to their dtype, unless `exact`), integers and bool in i. */
typedef struct Tensor {
    DType dtype;
    int rank;
    int64_t dim[MAX_RANK];
    int64_t count;
    double *f;
    int64_t *i;
} Tensor;

typedef struct Eval {
    Arena *arena;
    const Program *program;
    const int64_t *sizes;  /* values of the size names, by index */
    Tensor **inputs;       /* of the entry */
    Tensor **slots;        /* by slot index; stores replace them at the end */
    uint64_t seed, step;
    bool exact;            /* every float is f64: for finite differences */
    int status;            /* MDL_OK or an mdl_status of runtime/mdl.h */
    const char *error;     /* sentence, when status != 0 */
    FILE *print;           /* where `print` goes; NULL: nowhere */
} Eval;

Tensor *tensor_new(Arena *a, DType d, int rank, const int64_t *dim);          /* zeros */
Tensor *tensor_from_bytes(Arena *a, DType d, int rank, const int64_t *dim, const void *data);
void tensor_to_bytes(const Tensor *t, void *data);                            /* in its dtype, row-major */

/* Runs a whole graph: results[] in the order of g->results. Slots change only if all goes well. False: e->status and e->error. */
bool eval_graph(Eval *e, const Graph *g, Tensor **results);
/* One node from its operands' values (several results: out[k]); what passes use to fold constants and to check kernels one by one. */
bool eval_node(Eval *e, const Node *n, Tensor *const *in, Tensor **out);

#endif
