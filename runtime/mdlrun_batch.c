/* mdlrun_batch.c -- batches of a data set, the next one made while the model computes.
 *
 * A batch is a function of the data and an Ask alone: training or a pass in order, seed, number. There are two of them: the call
 * has one, and the reader, a thread of its own, makes the other, the one that most likely follows. Whoever asks for another one
 * (after --resume, at the start of a pass) has it made at once instead; so the order and the bits are those of a program without
 * a reader. What is wrong with a batch made ahead is said when it is asked for, not before: `fault` keeps the words till then,
 * since nothing that the reader does may end the command or ask the Tool for memory. */
#include "runtime/mdlrun_data.h"
#include "runtime/philox.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static bool fault_set(Batch *b, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Returns false. */
static bool fault_set(Batch *b, int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(b->fault, sizeof b->fault, format, ap);
    va_end(ap);
    b->status = status;
    return false;
}

/* ---- filling ------------------------------------------------------------------------------------------------------------- */

/* Elements of feed f in a row of the batch: of a sample that has the batch's width, its beginning. */
static int64_t row_elements(const Data *d, const Batch *b, const Feed *f) {
    bool wide = d->texts && (f == d->texts || (f->follows && f->a.rank == 2));
    return wide ? b->call.sizes[d->width] : f->sample;
}

/* Gives every input the shape of a batch of b->n samples; the buffers stay. No input has a computed size (mdlrun_data.c sees to
 * that), so call_shape has nothing to fail for. */
static bool batch_shape(Tool *t, const Data *d, Batch *b) {
    Call *c = &b->call;
    const mdl_entry *e = c->entry;
    if (d->texts) {
        int64_t longest = t->model->sizes[e->sizes[d->width]].low;
        for (int64_t i = 0; i < b->n; i++)
            if (d->texts->a.lengths[b->rows[i]] > longest) longest = d->texts->a.lengths[b->rows[i]];
        c->sizes[d->width] = longest;
    }
    for (int i = 0; i < d->n_feeds; i++) {
        int size = d->feeds[i].constant ? -1 : data_size_of_dim(c, &e->inputs[d->feeds[i].input], 0);
        if (size >= 0) c->sizes[size] = b->n;
    }
    for (int i = 0; i < d->n_feeds; i++) {
        const Feed *f = &d->feeds[i];
        const mdl_value *v = &e->inputs[f->input];
        if (f->constant) continue;
        Array *a = &c->inputs[f->input];
        const char *missing;
        if (!call_shape(t, c, v, a->shape, &missing))
            return fault_set(b, EXIT_USAGE, "%s: the size %s is not known; give %s=NUMBER", e->name, missing, missing);
        a->rank = v->rank;
        a->count = b->n * row_elements(d, b, f);
        int64_t count = 1;
        for (int k = 0; k < a->rank; k++) count *= a->shape[k];
        if (count != a->count)
            return fault_set(b, EXIT_INPUT, "%s: %s is %s, and a sample of the data has %lld elements", e->name, v->name, v->shape,
                             (long long)f->sample);
    }
    return true;
}

/* Copies the elements of feed f for row `row` of the batch from its source. */
static bool row_fill(const Data *d, Batch *b, const Feed *f, int64_t row) {
    const char *entry = b->call.entry->name;
    const mdl_value *v = &b->call.entry->inputs[f->input];
    int64_t n = row_elements(d, b, f), from = f->stream ? b->rows[row] : b->rows[row] * f->sample;
    char *to = b->call.inputs[f->input].data + row * n * element_size(v->dtype);
    const char *source = f->a.data + from * element_size(f->a.dtype);
    int64_t done = array_convert(to, v->dtype, source, f->a.dtype, n);
    if (done < 0)
        return fault_set(b, EXIT_INPUT, "%s: %s is %s, and the data is %s", entry, v->name, v->shape,
                         element_type_text(f->a.dtype));
    if (done < n)
        return fault_set(b, EXIT_INPUT, "%s: %s is %s, and %.17g in the data does not fit", entry, v->name, v->shape,
                         element_double(source, f->a.dtype, done));
    return true;
}

/* ---- which samples ------------------------------------------------------------------------------------------------------- */

/* A number below n from two words: the remainder's bias is below n / 2^64. */
static int64_t random_below(uint64_t seed, const char *what, int64_t step, int64_t element, int64_t n) {
    uint32_t site = philox_site(what);
    uint64_t low = philox_word(seed, site, (uint64_t)step, 2 * (uint64_t)element);
    uint64_t high = philox_word(seed, site, (uint64_t)step, 2 * (uint64_t)element + 1);
    return (int64_t)((high << 32 | low) % (uint64_t)n);
}

static void order_shuffle(Data *d, uint64_t seed, int64_t epoch) {
    if (d->order_epoch == epoch && d->order_seed == seed) return;
    for (int64_t i = 0; i < d->samples; i++) d->order[i] = i;
    for (int64_t i = d->samples - 1; i > 0; i--) {
        int64_t k = random_below(seed, "mdlrun.shuffle", epoch, i, i + 1), keep = d->order[i];
        d->order[i] = d->order[k];
        d->order[k] = keep;
    }
    d->order_epoch = epoch;
    d->order_seed = seed;
}

static void rows_train(Data *d, Batch *b, uint64_t seed, int64_t step) {
    int64_t at = 0;
    b->n = d->batch;
    if (!d->windows) {
        int64_t steps = data_epoch_steps(d);
        order_shuffle(d, seed, step / steps);
        at = step % steps * d->batch;
        if (b->n > d->samples - at) b->n = d->samples - at;
    }
    for (int64_t row = 0; row < b->n; row++)
        b->rows[row] = d->windows ? random_below(seed, "mdlrun.window", step, row, d->length - d->window + 1) : d->order[at + row];
}

static void rows_pass(const Data *d, Batch *b, int64_t i) {
    int64_t at = i * d->batch;
    b->n = d->batch;
    if (b->n > d->samples - at) b->n = d->samples > at ? d->samples - at : 0;
    if (d->fixed && b->n < d->batch) b->n = 0;
    for (int64_t row = 0; row < b->n; row++) b->rows[row] = d->windows ? (at + row) * d->window : at + row;
}

static void batch_make(Tool *t, Data *d, Batch *b, Ask ask) {
    b->status = EXIT_DONE;
    if (ask.train) rows_train(d, b, ask.seed, ask.index);
    else rows_pass(d, b, ask.index);
    if (b->n == 0 || !batch_shape(t, d, b)) return;
    for (int64_t row = 0; row < b->n; row++)
        for (int i = 0; i < d->n_feeds; i++)
            if (!d->feeds[i].constant && !row_fill(d, b, &d->feeds[i], row)) return;
}

/* ---- the reader ---------------------------------------------------------------------------------------------------------- */

typedef struct Reader {
    Tool *t;
    Data *d;
} Reader;

static void *reader_run(void *context) {
    Reader r = *(Reader *)context;
    Data *d = r.d;
    pthread_mutex_lock(&d->lock);
    while (d->state != STOP) {
        if (d->state != ASKED) {
            pthread_cond_wait(&d->changed, &d->lock);
            continue;
        }
        Batch *b = &d->batches[!d->taken];
        Ask ask = d->ask;
        pthread_mutex_unlock(&d->lock);
        batch_make(r.t, d, b, ask);
        pthread_mutex_lock(&d->lock);
        if (d->state == ASKED) d->state = READY;
        pthread_cond_broadcast(&d->changed);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* Signals stay with the thread that runs the command. Without a thread every batch is made when it is asked for. */
static void reader_start(Tool *t, Data *d) {
    Reader *r = tool_alloc(t, sizeof *r);
    *r = (Reader){t, d};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    d->started = pthread_create(&d->reader, NULL, reader_run, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!d->started) return;
    d->next = t->data;
    t->data = d;
}

void data_close(Tool *t) {
    for (Data *d = t->data; d; d = d->next) {
        pthread_mutex_lock(&d->lock);
        d->state = STOP;
        pthread_cond_broadcast(&d->changed);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->reader, NULL);
        pthread_cond_destroy(&d->changed);
        pthread_mutex_destroy(&d->lock);
    }
    t->data = NULL;
}

static void state_set(Data *d, Ask ask, int state) {
    pthread_mutex_lock(&d->lock);
    d->ask = ask;
    d->state = state;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

/* Waits till the reader is done; is the batch it made the one? */
static bool ahead_is(Data *d, Ask ask) {
    pthread_mutex_lock(&d->lock);
    while (d->state == ASKED) pthread_cond_wait(&d->changed, &d->lock);
    bool same = d->state == READY && d->ask.train == ask.train && d->ask.seed == ask.seed && d->ask.index == ask.index;
    pthread_mutex_unlock(&d->lock);
    return same;
}

bool data_ahead(Data *d) {
    pthread_mutex_lock(&d->lock);
    bool ready = d->state == READY;
    pthread_mutex_unlock(&d->lock);
    return ready;
}

/* ---- batches ------------------------------------------------------------------------------------------------------------- */

void data_batches_new(Tool *t, Data *d) {
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    const mdl_entry *e = d->call.entry;
    for (int k = 0; k < 2; k++) {
        Batch *b = &d->batches[k];
        b->call = d->call;
        b->call.outputs = NULL;
        b->call.inputs = tool_alloc(t, sizeof(Array) * (size_t)(e->n_inputs + 1));
        b->rows = tool_alloc(t, sizeof *b->rows * (size_t)d->batch);
        for (int i = 0; i < d->n_feeds; i++) { /* the buffers of a whole batch */
            int input = d->feeds[i].input;
            int64_t shape[RANK_MAX] = {d->batch, d->feeds[i].sample};
            b->call.inputs[input] = d->feeds[i].constant ? d->call.inputs[input] : array_new(t, e->inputs[input].dtype, 2, shape);
        }
    }
}

/* Gives the call the batch and has the one after it made. */
static int64_t batch_take(Tool *t, Data *d, Ask ask) {
    if (!d->started) reader_start(t, d);
    if (!ahead_is(d, ask)) batch_make(t, d, &d->batches[!d->taken], ask);
    d->taken = !d->taken;
    Batch *b = &d->batches[d->taken];
    if (b->status != EXIT_DONE) tool_fail(t, b->status, "%s", b->fault);
    d->call.inputs = b->call.inputs;
    for (int i = 0; i < d->call.entry->n_sizes; i++) /* those that batches say nothing about are the call's own */
        if (b->call.sizes[i] >= 0) d->call.sizes[i] = b->call.sizes[i];
    Ask after = ask;
    after.index++;
    state_set(d, after, d->started && b->n > 0 ? ASKED : IDLE);
    return b->n;
}

int64_t data_train(Tool *t, Data *d, uint64_t seed, int64_t step) {
    if (!d->windows && !d->order) d->order = tool_alloc(t, sizeof *d->order * (size_t)d->samples);
    return batch_take(t, d, (Ask){.train = true, .seed = seed, .index = step});
}

int64_t data_next(Tool *t, Data *d, int64_t i) {
    return batch_take(t, d, (Ask){.index = i});
}

/* ---- calls --------------------------------------------------------------------------------------------------------------- */

/* The message of a failed call, "step: y[6] = 3 is not in 0 to 2", with the place in the source where the first index is a row
 * of the batch: ": row 6 is sample 9 of y.npy". */
static const char *place_named(Tool *t, const Data *d, const char *message) {
    const char *bracket = strchr(message, '['), *name = bracket;
    while (name && name > message && name[-1] != ' ') name--;
    int64_t row = bracket ? strtoll(bracket + 1, NULL, 10) : -1;
    for (int i = 0; bracket && i < d->n_feeds; i++) {
        const Feed *f = &d->feeds[i];
        const char *input = d->call.entry->inputs[f->input].name;
        bool this = strlen(input) == (size_t)(bracket - name) && !memcmp(input, name, strlen(input));
        if (!this || !f->text || row < 0 || row >= d->batch) continue;
        return tool_printf(t, "%s: row %lld is %s %lld of %s", message, (long long)row,
                           d->windows ? "the window from element" : "sample", (long long)d->batches[d->taken].rows[row], f->text);
    }
    return message;
}

void data_call_run(Tool *t, Data *d, int64_t step) {
    if (call_try(t, &d->call) == MDL_OK) return;
    const char *why = place_named(t, d, t->model->error(t->session));
    if (step < 0) tool_fail(t, EXIT_ARTIFACT, "%s", why);
    tool_fail(t, EXIT_ARTIFACT, "%s, in step %lld of the training", why, (long long)step + 1);
}
