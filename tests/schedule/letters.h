/* letters.h -- random products, for the tests of their schedules: operands that have the axes of given letters. */
#ifndef TESTS_SCHEDULE_LETTERS_H
#define TESTS_SCHEDULE_LETTERS_H
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

typedef struct Case {
    Program *p;
    Graph *g;
    Entry *e;
    Rng r;
    Size size[26]; /* of letters */
    bool weights;  /* operands of fixed sizes are parameters */
    bool codes;    /* products of i8 by i8 */
} Case;

void case_begin(Case *c, const char *program); /* p, g and e, in an arena of their own */
/* Runs it on random values; frees all but h, and the Case is over. False: what differs was printed. */
bool case_run(Case *c, Harness *h, const int64_t *sizes, const char *name);
void case_end(Case *c); /* without a run */
Node *case_weight(Case *c, DType d, int rank, const Size *dim);
Node *case_input(Case *c, DType d, int rank, const Size *dim); /* a parameter, where weights are wanted and it is of fixed sizes */
void case_shuffle(Rng *r, char *s);
/* A value with the axes of letters, in some way made by views from an input. */
Node *case_operand(Case *c, DType d, const char *letters);
void case_results(Case *c, DType d, Node *y, bool maps); /* y; maps: another one, too, by maps behind it: a bias, the larger of that and 0 */
Tensor *case_tensor(Case *c, const Type *type, const int64_t *sizes); /* -1 .. 1; whole numbers */

#endif
