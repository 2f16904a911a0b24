/* harness.h -- runs a plan by the code that the schedules make, kernel by kernel: each kernel gets exactly the bytes that the
 * plan says, and everything it stores is compared with the graph interpreter on the same bytes. Memory is allocated value by
 * value, so that a stray access of an interpreted tile kernel is an error; that of lowered code meets a guard page (guard.h). */
#ifndef TESTS_SCHEDULE_HARNESS_H
#define TESTS_SCHEDULE_HARNESS_H
#include "codegen/kernel_code.h"
#include "ir/eval.h"
#include "passes/passes.h"

typedef enum { BY_TILE, BY_CODE, BY_DEVICE } HarnessMode; /* the tile interpreter, lowered code in this process, CUDA C in the emulator */

typedef struct Harness {
    HarnessMode mode;
    Target target;
    double tolerance;       /* |a - b| <= tolerance * (0.1 + |b| + largest |b| of the tensor / 100) */
    double of_largest;      /* .. or <= of_largest * largest |b| */
    const char *like[4];    /* parts of names of functions; NULL ends them */
    int calls_like[4];      /* calls of such functions so far */
    double worst;           /* |a - b| / largest |b| of kernels that called one */
    bool show;              /* print kernels and tiles of what fails */
    bool time;              /* print what each kernel takes, one thread */
    int kernels, kinds[16]; /* run so far */
    int at_once, flat;      /* launches of a device that were several kernels, of those such of any shape */
    int launches, programs; /* of a device so far; programs with one, which agree */
    int maps;               /* launches of a device by maps of matrices so far */
    int packs;              /* weights read from packed copies so far */
    int parts;              /* products with maps of slices so far */
    int prologues;          /* products that computed their second operand so far */
} Harness;

Target harness_target(int level, int optimize); /* x86-64-v<level>; 5: x86-64-v4+vnni; 6: x86-64-v4+bf16 */
Target harness_device(int optimize);            /* an NVIDIA device */
bool harness_can_run(int level);                /* this machine has the instructions */
/* The entry `run` of a new program, with an empty graph and room for so many inputs; all in `a`. */
Entry *harness_entry(Arena *a, const char *program, int inputs);
/* Plans and runs entry e of a program that went through the passes. False: what differs was printed. */
bool harness_run(Harness *h, const Program *p, const Entry *e, const Eval *values, int plan_level, const char *name);
/* Cases of seeds (tests/passes/graphs.h) through `agrees`, until eight fail: x86-64-v2, v3 and v4 in turn, by code where this
 * machine has the instructions, but every `tile`th case by the tile interpreter. A third argument of the program, LEVEL, makes it
 * code of that one alone. failures: 1 where this machine cannot run that. */
typedef struct Sweep {
    int cases, failures, level; /* level 0: all */
} Sweep;
Sweep harness_sweep(Harness *h, int argc, char **argv, uint64_t usual, unsigned tile, bool (*agrees)(Harness *h, uint64_t seed));
/* With DEVICE=1 alone: prints in how many programs a device ran a kernel, and all agreed. A case that a test leaves out, as too large or
 * refused, or that has nothing to run, is none. */
void harness_count(const Harness *h);
#endif
