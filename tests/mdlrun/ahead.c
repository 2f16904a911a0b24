/* ahead.c -- mdlrun makes the next batch while the model computes: a model whose call does not return before the next batch is
 * ready comes to its end, and every batch is the one that the seed wants, whether it was made ahead or not. */
#include "runtime/mdlrun.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 50, BATCH = 8, STEPS = 20 };

static Tool tool;
static Data *data;                /* whose calls wait for the next batch; NULL: calls do not wait */
static int waited, late;          /* calls that saw the next batch ready; that gave up */
static float seen[STEPS][BATCH];  /* x of every call */
static int64_t sizes_seen[STEPS]; /* samples of every call */
static int calls;

/* ---- the model: entry step(x: f32[batch]) -> loss: f32 --------------------------------------------------------------------- */

static int call(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *in, mdl_tensor *out) {
    (void)s, (void)entry;
    for (int i = 0; data && !late && i < 20000 && !data_ahead(data); i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (data && data_ahead(data)) waited++;
    else if (data) late++;
    memcpy(seen[calls], in[0].data, sizeof(float) * (size_t)sizes[0]);
    sizes_seen[calls++] = sizes[0];
    *(float *)out[0].data = 0;
    return MDL_OK;
}

static const int64_t dims[] = {MDL_NAMED - 0};
static const int32_t sizes_of_step[] = {0};
static const mdl_value inputs[] = {{"x", MDL_INPUT, {2, 32, 1}, 1, dims, "f32[batch]"}};
static const mdl_value outputs[] = {{"loss", MDL_OUTPUT, {2, 32, 1}, 0, NULL, "f32"}};
static const mdl_size sizes[] = {{"batch", 1, -1, -1}};
static const mdl_entry entries[] = {{"step", 1, 1, 1, 1, sizes_of_step, inputs, outputs, "step:1"}};
static const mdl_model model = {.size = sizeof model, .name = "step", .n_entries = 1, .n_sizes = 1, .entries = entries,
                                .sizes = sizes, .call = call};

/* ---- the tests ----------------------------------------------------------------------------------------------------------- */

static Data *open_data(void) {
    static char source[64] = "ahead-x.npy";
    int64_t shape[] = {SAMPLES};
    Array x = array_new(&tool, (mdl_dtype){2, 32, 1}, 1, shape);
    for (int i = 0; i < SAMPLES; i++) ((float *)(void *)x.data)[i] = (float)i;
    npy_write(&tool, source, &x);
    Binding b = {.name = "x", .text = source};
    Data *d = data_open(&tool, "step", &(Bindings){&b, 1}, BATCH);
    remove(source);
    return d;
}

static int expect(bool fine, const char *what) {
    if (!fine) printf("%s\n", what);
    return !fine;
}

/* Every epoch has every sample once. */
static bool epochs_whole(void) {
    int steps = (SAMPLES + BATCH - 1) / BATCH;
    for (int first = 0; first + steps <= STEPS; first += steps) {
        int times[SAMPLES] = {0};
        for (int i = first; i < first + steps; i++)
            for (int k = 0; k < sizes_seen[i]; k++) times[(int)seen[i][k]]++;
        for (int i = 0; i < SAMPLES; i++)
            if (times[i] != 1) return false;
    }
    return true;
}

int main(void) {
    tool_init(&tool, "ahead");
    tool.model = &model;
    data = open_data();
    int wrong = 0;
    for (int i = 0; i < STEPS; i++) {
        data_train(&tool, data, 7, i);
        data_call_run(&tool, data, i);
    }
    wrong += expect(waited == STEPS && late == 0, "a batch was not made while the model computed");
    wrong += expect(epochs_whole(), "an epoch has a sample twice, or lacks one");

    /* the same batches, asked for in an order that no reader foresees, by another seed in between */
    float ahead[STEPS][BATCH];
    int64_t sizes_ahead[STEPS];
    memcpy(ahead, seen, sizeof ahead);
    memcpy(sizes_ahead, sizes_seen, sizeof sizes_ahead);
    data = NULL;
    Data *other = open_data();
    for (int i = 0; i < STEPS; i++) {
        int step = (STEPS - i) * 7 % STEPS;
        data_train(&tool, other, 8, step);
        data_train(&tool, other, 7, step);
        calls = step;
        data_call_run(&tool, other, step);
    }
    for (int i = 0; i < STEPS; i++)
        wrong += expect(sizes_ahead[i] == sizes_seen[i] && !memcmp(ahead[i], seen[i], sizeof(float) * (size_t)sizes_seen[i]),
                        "a batch that was made ahead is another than one that was not");

    /* a pass in order, twice, the first left in the middle */
    calls = 0;
    for (int i = 0; i < 3; i++) data_next(&tool, other, i);
    for (int64_t i = 0, n, sample = 0; (n = data_next(&tool, other, i)) > 0; i++) {
        data_call_run(&tool, other, -1);
        for (int k = 0; k < n; k++, sample++) wrong += expect((int64_t)seen[i][k] == sample, "a pass is not in order");
    }
    wrong += expect(calls == (SAMPLES + BATCH - 1) / BATCH, "a pass has another number of batches");
    tool_free(&tool);
    return wrong != 0;
}
