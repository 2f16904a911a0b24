/* graphs.h -- what the tests of passes share: random programs, values for their inputs, comparison of runs. */
#ifndef TESTS_PASSES_GRAPHS_H
#define TESTS_PASSES_GRAPHS_H
#include "passes/passes.h"

typedef struct Rng {
    uint64_t state;
} Rng;
uint64_t rng_next(Rng *r);
int rng_below(Rng *r, int n);
double rng_unit(Rng *r); /* -1 .. 1 */

/* The seeds that a test of random cases goes through: 0 to usual - 1, or FROM to TO - 1, or FROM alone of its arguments. */
typedef struct Seeds {
    uint64_t from, to;
} Seeds;
Seeds seeds_of(int argc, char **argv, uint64_t usual);

/* A random valid program with one entry "run": forward values, gradients of a loss, updates of slots, checks, a scan. */
Program *random_program(Arena *a, uint64_t seed);
/* The same with `gradients` only if asked. Feature bits choose what may occur. */
enum { WITH_GRAD = 1, WITH_SCAN = 2, WITH_STATE = 4, WITH_INDEX = 8, WITH_ALL = 15 };
Program *random_program_with(Arena *a, uint64_t seed, int features);

/* Values: inputs within their ranges, slots random. */
Eval random_eval(Arena *a, const Program *p, const Entry *e, uint64_t seed);
/* A copy for another run: slots are changed by runs. */
Eval eval_fork(Arena *a, const Eval *e);
/* Largest difference |x - y| / (1 + |y|) over results and slots; equal NaNs and infinities are no difference. */
double runs_differ(const Entry *e, const Program *p, const Eval *a, Tensor *const *results_a, const Eval *b,
                   Tensor *const *results_b, const char **where);

#endif
