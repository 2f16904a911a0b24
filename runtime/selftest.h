/* selftest.h -- recorded calls: made by mdlrun_record.c, put into artifacts by codegen/selftest.c, compared by runtime/core/selftest.c. */
#ifndef RUNTIME_SELFTEST_H
#define RUNTIME_SELFTEST_H
#include "runtime/mdl.h"

#include <stdbool.h>

#define RECORD_KEPT 256 /* floats of a layer, at most */

typedef struct RecordRow { /* what a layer stored last */
    const char *layer, *source;
    int64_t count, step; /* every step-th of count is kept */
    float *values;
    int kept;
    float largest; /* of all that is finite */
    int order;
} RecordRow;

typedef struct RecordInput {
    const char *data;
    int64_t bytes;
} RecordInput;

typedef struct Record {
    int entry, sample;
    const int64_t *sizes, *output_bytes;
    const RecordInput *inputs;
    RecordRow *rows; /* in the order of their last stores */
    int n_rows;
} Record;

/* Calls an entry of a loaded model on sample `sample` (from 0) of `given`, n words NAME=SOURCE; inputs without one are made up, by the number
 * of the sample. The record lives until the process ends; a fault ends the process, with a message. */
Record mdlrun_record(const char *program, const mdl_model *model, int entry, int sample, int n, char **given);

#endif
