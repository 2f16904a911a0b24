/* mdlrun_data.h -- a data set between the one that opens it (mdlrun_data.c) and the one that makes batches of it (mdlrun_batch.c). */
#ifndef RUNTIME_MDLRUN_DATA_H
#define RUNTIME_MDLRUN_DATA_H
#include "runtime/mdlrun.h"

#include <pthread.h>

typedef struct Feed {
    int input; /* which input of the entry */
    bool constant, stream;
    Array a;          /* as the file has it */
    int64_t sample;   /* elements a sample, or the window */
    const char *text; /* the source as it was given */
    bool follows;     /* lengths or mask, from a text */
} Feed;

/* Which batch: of a step of training by a seed, or of a pass in order. */
typedef struct Ask {
    bool train;
    uint64_t seed;
    int64_t index;
} Ask;

typedef struct Batch {
    Call call;       /* its own inputs and sizes; no results */
    int64_t n;       /* samples; 0: the pass is over */
    int64_t *rows;   /* samples, or first elements of windows */
    int status;      /* what tool_fail says once the batch is asked for; EXIT_DONE: nothing stands against it */
    char fault[512];
} Batch;

struct Data {
    Call call;
    Feed *feeds;
    int n_feeds;
    int64_t samples; /* of every samples source; windows are counted where there are only streams */
    int64_t length;  /* elements of the streams; 0: none */
    int64_t window;
    int64_t batch;
    bool fixed;        /* batch is fixed by the program: no smaller last one */
    bool windows;      /* streams only */
    const Feed *texts; /* whose width each batch has for itself; NULL: none */
    int width;         /* then: which of the entry's sizes that is */

    Batch batches[2];
    int taken; /* the one that the call has */

    /* The reader makes the other one meanwhile. It alone touches that batch and `order` from ASKED to READY. */
    pthread_t reader;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    enum { IDLE, ASKED, READY, STOP } state;
    Ask ask;
    bool started;
    int64_t *order; /* of the epoch order_epoch by order_seed */
    int64_t order_epoch;
    uint64_t order_seed;
    Data *next; /* another data set of the Tool that has a reader */
};

/* The size that dim k of a value is, as a position in entry->sizes, or -1. */
int data_size_of_dim(const Call *c, const mdl_value *v, int k);
/* Makes room for batches: the last step of data_open. */
void data_batches_new(Tool *t, Data *d);

#endif
