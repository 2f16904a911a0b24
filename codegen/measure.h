/* measure.h -- a program run while it is compiled: calibration, and budgets of accuracy.
 *
 * What is run is the program itself, compiled to memory for this machine in a variant that the caller makes. */
#ifndef CODEGEN_MEASURE_H
#define CODEGEN_MEASURE_H
#include "ir/graph.h"
#include "runtime/mdl.h"

typedef void MeasurePrepare(void *context, Program *p);
typedef struct Measure {
    /* Elaborates the program again, with one entry alone, lets `prepare` change it before the passes see it, and compiles it to memory.
     * *program: that variant; it and the model live until `release`. NULL: it was said why. One variant at a time. */
    const mdl_model *(*compile)(void *compiler, const char *entry, MeasurePrepare *prepare, void *context, Program **program);
    void (*release)(void *compiler);
    void *compiler;
    Arena *arena;
    Diag *diag;
    bool verbose; /* say what was seen, on standard error */
} Measure;

/* Fills p->observed for the weights whose `quantize` names samples. Ends the process where the samples are at fault. False: it was said
 * why. */
bool measure_calibrate(const Measure *m, Program *p);

/* The same for one run of an entry, with the words ENTRY NAME=SOURCE ... --batch N that were given, for all marked weights; results in
 * p->observed. who: what messages begin with. */
bool measure_observe(const Measure *m, Program *p, const char *who, int n_words, char **words, int64_t samples);

/* Holds budgets of accuracy, those of p and of its directives: the float program and the quantized one are measured, and where that
 * loses too much, layers go back to float, those first that give back most for their bytes. Requires: measure_calibrate. False: it was
 * said why. */
bool measure_accuracy(const Measure *m, Program *p);

/* What mdlrun takes, cut at spaces; an entry's name comes first where the text has none. */
typedef LIST(char *) MeasureWords;
MeasureWords measure_words(Arena *arena, const char *entry, const char *text);

/* p->observed as JSON, "modelc calibration": what `calibrate = "FILE.json"` reads. malloc. */
char *measure_json(const Program *p);

#endif
