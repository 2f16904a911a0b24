/* kit.h -- what the tests of ir/ share: programs from text, values for their inputs, one entry run by the interpreter. */
#ifndef TESTS_IR_KIT_H
#define TESTS_IR_KIT_H
#include "ir/op.h"

#include <stdio.h>

extern int kit_failures;

/* Counts and prints a failure unless good. */
bool kit_check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
int kit_end(void); /* the exit status */

/* A program from text; a text that does not parse or verify ends the test with its diagnostics. */
Program *kit_program(Arena *a, const char *text);
Entry *kit_entry(const Program *p, const char *name);
/* First error of a text that must not parse, or NULL. */
const char *kit_parse_error(Arena *a, const char *text);

/* A number stream: the same everywhere. */
double kit_uniform(uint64_t *state, double low, double high);
Tensor *kit_tensor(Arena *a, DType d, int rank, const int64_t *dim, const double *values);
double kit_at(const Tensor *t, int64_t k); /* element as a double */

typedef struct KitRun {
    bool good;
    int status;
    const char *error;
    Tensor **results;
    Tensor **slots;
} KitRun;

/* Inputs in order; sizes by index of the names; slots in and out may be NULL if the program has none. */
KitRun kit_run(Arena *a, const Program *p, const Graph *g, Tensor **inputs, const int64_t *sizes, Tensor **slots, bool exact);

/* A tiny reverse sweep over one graph: gradients of the scalar y by each of xs (zeros where y does not depend on it). */
void kit_gradients(Graph *g, Node *y, int n, Node *const *xs, Node **dxs);
char *kit_print(const Program *p); /* malloced */
#endif
