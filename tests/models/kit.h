/* kit.h -- whole programs, from the text to sessions that run in this process, by every way that there is. A test writes a
 * script of calls; the script runs on two models, and what it left in the two traces is compared.
 *
 *     Model a = model_make("mlp.mdl", NULL, "hidden=9", BY_INTERPRETER), b = model_make("mlp.mdl", NULL, "hidden=9", BY_O2);
 *     Run x = run_new(&a, 1), y = run_new(&b, 1);
 *     run_call(&x, "predict", "batch=3"), run_call(&y, "predict", "batch=3");
 *     return run_compare(&x, &y, "mlp") ? 0 : 1; */
#ifndef TESTS_MODELS_KIT_H
#define TESTS_MODELS_KIT_H
#include "ir/diag.h"
#include "ir/graph.h"
#include "runtime/mdl.h"

/* The graph interpreter; code for this machine without and with optimization; optimized code for x86-64-v3 and -v2; the tile
 * interpreter on the kernels for x86-64-v4 and -v2, and on unoptimized ones. */
typedef enum { BY_INTERPRETER, BY_O0, BY_O2, BY_O2_V3, BY_O2_V2, BY_TILE, BY_TILE_V2, BY_TILE_O0 } Way;
const char *way_name(Way w);
bool way_runs(Way w); /* has this machine the instructions? */

typedef struct Model {
    Arena *arena;
    Program *program;
    const mdl_model *table;
    void *handle;            /* of dlopen; NULL: interpreted */
    int fd; /* the file of the library */
    struct TileRunner *tile; /* BY_TILE; else NULL */
} Model;

/* The program after the front end: a file of examples/, more text after it (or NULL), and "NAME=VALUE NAME=VALUE" for
 * configs. Errors end the test with the compiler's message. */
Program *program_make(Arena *arena, const char *example, const char *more, const char *defines);
/* Only one interpreted model at a time. */
Model model_make(const char *example, const char *more, const char *defines, Way way);
void model_free(Model *m);

/* A value that a call gave, or that a slot held. */
typedef struct Record {
    const char *name; /* "call 3, step: loss" */
    int32_t rank;
    int64_t shape[8], count;
    double *at;       /* numbers of all types */
    bool trained;     /* weights had been changed by training when it was made: the wider bounds */
    bool state;       /* of a slot of kind state: the moments of an optimizer, say */
} Record;

typedef struct Run {
    const Model *model;
    mdl_session *session;
    Arena *arena;
    LIST(Record) records;
    int calls;
    bool trained;
} Run;

Run run_new(const Model *m, uint64_t seed);
void run_close(Run *r); /* ends the session; the records stay */
void run_free(Run *r);

/* Calls an entry with sizes and scalars "b=3 n=8 temperature=0.5" and inputs that are functions of the number of the call:
 * floats in -1..1, bytes, integers in 0..below-1, where `below` is the word NAME<VALUE ("ids<97"). Results become records. An error
 * ends the test. */
void run_call(Run *r, const char *entry, const char *words);
/* The same with data for one integer input: as many as its shape says. Returns the record of the first result. */
const Record *run_call_with(Run *r, const char *entry, const char *words, const int32_t *data);
/* The code of a call that is expected to fail, whose message is in *message; MDL_OK: it did not. */
int run_try(Run *r, const char *entry, const char *words, const char **message);
/* Records every slot that the session has. */
void run_slots(Run *r);

/* |a - b| <= 1e-5 + 1e-4 |b|; of records after training 1e-3 (1 + |b|), and of states besides within 1e-3 of the tensor's
 * largest value: moments of an optimizer are tiny. (Weights are not: Adam turns rounding noise into steps.) False: the first
 * wrong index was printed. */
bool run_compare(const Run *reference, const Run *got, const char *what);

/* The same of values that were rounded to a relative unit on their way (2^-8 of bf16): the distance of each record is at most
 * 8 units of its norm, of states after training 32. */
bool run_compare_rounded(const Run *reference, const Run *got, const char *what, double unit);

/* Runs the script by the interpreter and by each of the ways, and compares. The number of ways that disagree. */
typedef void Script(Run *r);
int ways_agree(const char *example, const char *more, const char *defines, Script *script, int n, const Way *ways);
int ways_agree_rounded(const char *example, const char *more, const char *defines, Script *script, int n, const Way *ways,
                       double unit);

#endif
