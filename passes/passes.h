/* passes.h -- graphs in, plans out. The table of passes is passes.def; each works on one graph and makes a new one.
 *
 *   passes_run      every pass over every entry and the init graph of a program
 *   plan_entry      one graph → kernels, their order, places in memory
 *   plan_verify     the promises of ir/plan.h, checked
 *   plan_interpret  kernel by kernel in the interpreter, over planned memory: the oracle of plans */
#ifndef PASSES_PASSES_H
#define PASSES_PASSES_H
#include "ir/eval.h"
#include "ir/plan.h"

typedef enum {
#define PASS(function, name, level, help) PASS_##function,
#include "passes/passes.def"
#undef PASS
    PASS_COUNT
} Pass;

typedef struct PassRow {
    const char *name;
    int level;
    const char *help;
} PassRow;
const PassRow *pass_row(Pass p);
bool pass_parse(const char *name, Pass *p);

typedef struct PassOptions {
    int level;         /* -O: 0 leaves every op as it is */
    const char *after; /* stop after the pass of this name; NULL: run all. Must be a name (pass_parse) */
    double *seconds;   /* PASS_COUNT values, added to; NULL: no timing */
    FILE *dump;        /* after each pass: its name and the program, "(unchanged)" if so; NULL: nothing */
} PassOptions;

/* What gradients of an entry are to compute again (passes/recompute.c). */
typedef struct Recompute {
    int windows;          /* into how many parts the computation of a loss is cut */
    int parts;            /* of those, so many are computed again, from the first on */
    double most;          /* but nothing that takes more operations a byte */
    bool loops;           /* reverse loops, too, compute all of a step again */
    const int64_t *sizes; /* values of the size names */
    double operations;    /* out, added to: of what is computed again, about */
} Recompute;

/* Replaces the graphs of p's entries and its init graph. False after a user's error (reported in d); the program is then as far
 * as passes went. */
bool passes_run(Program *p, const PassOptions *o, Diag *d);

/* A table of the weights that the pass quantize stored in fewer bits, where program->measure_quantized was set before: bytes; of those
 * whose values are known at compile time (`load`, --load) also signal to noise, cosine, range and the share of clipped elements; of those
 * that calibration saw, range and clipped share of what flows in. */
void quantized_print(FILE *f, const Program *p);

typedef struct PlanOptions {
    int level; /* 0: every op a kernel of its own */
    bool blas; /* products are left alone, for a library to compute */
    bool device; /* for a device, too: no product stores into a frame */
} PlanOptions;

/* Sets Entry.recompute of every entry whose arena, at the largest sizes that are allowed, would take more than `bytes`: so that it fits
 * with the fewest operations that are found; where nothing fits, so that it takes the least. p: before the passes; it is left so. */
void memory_choose(Program *p, int64_t bytes, const PlanOptions *o);

/* Plans a graph that went through the passes: an entry's, an init graph or a part of one. The plan has a graph of its own
 * (plan->graph, a copy with copy nodes where memory must be made). Memory: arena. NULL after a user's error. */
Plan *plan_entry(Arena *arena, const Graph *g, const PlanOptions *o, Diag *d);

/* "step: 5 of 12 parts are computed again, 1234567 operations"; "": nothing is. */
const char *memory_text(Arena *arena, const Program *p);

/* False: *message says which promise of ir/plan.h is broken and by which kernel. Arena overlaps are looked for at several
 * values of sizes. */
bool plan_verify(const Plan *p, Arena *arena, const char **message);

/* Runs the plan: e->inputs and e->slots as for eval_graph; results[] in the order of the graph's results. Every kernel sees
 * only bytes that inputs, slots and earlier kernels left at the planned places. False: e->status and e->error. */
bool plan_interpret(Eval *e, const Plan *p, Tensor **results);

/* The same, with kernels of the kinds MAP to ROUTINE computed by a function of the caller's (the tile interpreter, say): it
 * reads and writes the bytes at plan_run_memory of the values that the kernel reads and writes, those of bodies of scans too.
 * False: it set the status and error of plan_run_eval. */
typedef struct PlanRun PlanRun;
typedef bool PlanKernel(void *context, PlanRun *run, const Kernel *k);
bool plan_interpret_with(Eval *e, const Plan *p, Tensor **results, PlanKernel *kernel, void *context);
void *plan_run_memory(PlanRun *r, const Node *n);
Eval *plan_run_eval(PlanRun *r);
const Plan *plan_run_plan(const PlanRun *r); /* the entry's, or a body's */

#endif
