/* observe.h -- what calibration sees of values that flow into quantized layers, and the ranges that follow.
 *
 * Magnitudes are counted in OBSERVE_SIDE bins to each side of zero, OBSERVE_OCTAVE of them to an octave, so an edge lies within
 * 2^(1/OBSERVE_OCTAVE) - 1 = 1.1 % of any number: bin 1 begins at 2^OBSERVE_LOW, the last one ends at 2^OBSERVE_HIGH. Bin 0, in the
 * middle, has zeros and what is smaller. Numbers beyond the ends count in the last bin. */
#ifndef RUNTIME_OBSERVE_H
#define RUNTIME_OBSERVE_H
#include "runtime/mdl.h"

#include <stdbool.h>

#define OBSERVE_OCTAVE 64
#define OBSERVE_LOW    (-24)
#define OBSERVE_HIGH   16
#define OBSERVE_SIDE   (OBSERVE_OCTAVE * (OBSERVE_HIGH - OBSERVE_LOW))
#define OBSERVE_BINS   (2 * OBSERVE_SIDE + 1)

/* A value that is watched: what to do with it, and what came of it. */
typedef struct Observation {
    const char *path;   /* "net.0.input" */
    const char *method; /* minmax | percentile | entropy | mse */
    double percentile;
    int64_t length;     /* of a row, where products of its elements are asked for; 0: they are not */
    double lo, hi;      /* the range: lo <= 0 <= hi */
    double least, most; /* seen */
    double clipped;     /* share of the elements seen beyond the range */
    double *bins;       /* [OBSERVE_BINS] counts; malloc */
    double *gram;       /* [length, length]; malloc; NULL: not asked for */
} Observation;

/* Runs an entry of m whose results are, for each of at[] in order: least and most f32[], counts i32[OBSERVE_BINS], and with a length
 * X^T X f32[length, length]. words: ENTRY NAME=SOURCE ... and options of mdlrun (--batch); samples: at most, 0: all. Fills at[];
 * observations of the same path are added up in the first of them. Ends the process with a sentence behind `who` where data is
 * missing, empty, of the wrong shape, or holds NaN or infinity. Returns the samples that were seen. */
int64_t mdlrun_observe(const char *who, const mdl_model *m, int n_words, char **words, int64_t samples, int n, Observation *at);

/* Means of the scalar results of an entry over data, as `mdlrun eval` finds them; names live as long as m. words and faults as above.
 * Returns how many there are, at most `room`. */
int mdlrun_results(const char *who, const mdl_model *m, int n_words, char **words, int room, const char **names, double *values);

/* lo, hi and clipped from bins, least and most, by the method:
 *   minmax       what was seen
 *   percentile   p % of the elements lie below hi, and p % above lo
 *   mse          the least squared error of 256 evenly spaced codes
 *   entropy      the least Kullback-Leibler divergence of the codes' distribution from that of the values, for ranges to both sides of
 *                zero (the method of TensorRT: magnitudes in 2,048 even bins, 128 codes) */
void observe_range(Observation *o);

#endif
