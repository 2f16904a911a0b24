/* mdlrun_record.c -- one call of a model, with what its layers stored: what `modelc --self-test` puts into an artifact. `selftest` has an
 * artifact compare itself with that. */
#include "runtime/mdlrun.h"
#include "runtime/philox.h"
#include "runtime/selftest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Recorder {
    Tool *t;
    Record *record;
    int room, stores;
} Recorder;

static RecordRow *row_of(Recorder *r, const char *layer, const char *source, int64_t count) {
    Record *record = r->record;
    for (int i = 0; i < record->n_rows; i++) {
        RecordRow *row = &record->rows[i];
        if (row->count == count && !strcmp(row->layer, layer) && !strcmp(row->source, source)) return row;
    }
    if (record->n_rows == r->room) {
        int room = r->room ? 2 * r->room : 64;
        record->rows = tool_resize(r->t, record->rows, sizeof *record->rows * (size_t)r->room, sizeof *record->rows * (size_t)room);
        r->room = room;
    }
    RecordRow *row = &record->rows[record->n_rows++];
    *row = (RecordRow){.layer = layer, .source = source, .count = count, .step = (count + RECORD_KEPT - 1) / RECORD_KEPT};
    row->kept = (int)((count + row->step - 1) / row->step);
    row->values = tool_alloc(r->t, sizeof *row->values * (size_t)row->kept);
    return row;
}

static void record_store(void *context, const char *layer, const char *source, const void *data, int32_t bits, int64_t count) {
    Recorder *r = context;
    if (count <= 0) return;
    RecordRow *row = row_of(r, layer, source, count);
    mdl_dtype type = {2, (uint8_t)bits, 1};
    row->order = r->stores++;
    row->largest = 0;
    for (int64_t i = 0; i < count; i++) {
        float x = (float)element_double(data, type, i);
        if (i % row->step == 0) row->values[i / row->step] = x;
        if (isfinite(x) && fabsf(x) > row->largest) row->largest = fabsf(x);
    }
}

static int row_compare(const void *a, const void *b) {
    return ((const RecordRow *)a)->order - ((const RecordRow *)b)->order;
}

/* Sample i of an array whose first axis is the sample, in the rank that the input has. */
static Array sample_take(Tool *t, const mdl_value *v, const Array *all, int i, const char *text) {
    Array a = *all;
    int64_t n = v->rank && v->dims[0] > 0 ? v->dims[0] : 1; /* of a batch with a fixed size */
    bool inside = a.rank == v->rank + 1;                    /* an input without an axis of samples */
    if (inside) n = 1;
    if (a.rank < 1 || n * (i + 1) > a.shape[0])
        tool_fail(t, EXIT_INPUT, "--self-test-data: %s has %lld samples, and sample %d is wanted", text, (long long)(a.rank ? a.shape[0] / n : 1), i);
    a.count = a.count / a.shape[0] * n;
    a.data += element_size(a.dtype) * a.count * i;
    a.shape[0] = n;
    for (int k = 0; inside && k < a.rank; k++) a.shape[k] = k + 1 < a.rank ? a.shape[k + 1] : 0;
    a.rank -= inside;
    return a;
}

static void inputs_given(Tool *t, Call *c, int sample, int n, char **given) {
    for (int i = 0; i < n; i++) {
        Binding b;
        if (!binding_split(t, given[i], &b)) tool_fail(t, EXIT_USAGE, "--self-test-data: \"%s\" is not NAME=SOURCE", given[i]);
        int input = call_input(c, b.name);
        if (input < 0) continue; /* another entry's */
        Array all = sample_read(t, b.text), one = sample_take(t, &c->entry->inputs[input], &all, sample, b.text);
        call_set_input(t, c, input, &one);
    }
}

/* Integers that are made up: ids, which the entry checks; below 256, or as far below as it allows. */
static void integers_fill(Tool *t, Call *c, const bool *given, uint32_t below) {
    for (int i = 0; i < c->entry->n_inputs; i++) {
        Array *a = &c->inputs[i];
        int64_t size = element_size(a->dtype);
        if (given[i] || a->dtype.code > 1) continue;
        for (int64_t k = 0; k < a->count; k++) {
            uint64_t v = philox_word(t->o.seed, philox_site(c->entry->inputs[i].name), 0, (uint64_t)k) % below;
            memcpy(a->data + size * k, &v, (size_t)size); /* little-endian, like all machines that modelc runs on */
        }
    }
}

static int call_filled(Tool *t, Call *c, const bool *given) {
    int code = MDL_RANGE;
    for (uint32_t below = 256; code == MDL_RANGE && below; below /= 4) {
        integers_fill(t, c, given, below);
        code = t->model->reset(t->session);
        if (!code) code = call_try(t, c);
    }
    return code;
}

static void record_call(Tool *t, Record *r, Call *c) {
    int64_t *sizes = tool_alloc(t, sizeof *sizes * SIZES_MAX), *bytes = tool_alloc(t, sizeof *bytes * (size_t)(c->entry->n_outputs + 1));
    RecordInput *inputs = tool_alloc(t, sizeof *inputs * (size_t)(c->entry->n_inputs + 1));
    memcpy(sizes, c->sizes, sizeof c->sizes);
    for (int i = 0; i < c->entry->n_inputs; i++) inputs[i] = (RecordInput){c->inputs[i].data, c->inputs[i].count * element_size(c->inputs[i].dtype)};
    for (int i = 0; i < c->entry->n_outputs; i++) bytes[i] = c->outputs[i].count * element_size(c->outputs[i].dtype);
    r->sizes = sizes;
    r->output_bytes = bytes;
    r->inputs = inputs;
    qsort(r->rows, (size_t)r->n_rows, sizeof *r->rows, row_compare);
}

/* What records point to, which lives until the process ends. */
typedef struct Kept Kept;
struct Kept {
    Tool tool;
    Kept *next;
};
static Kept *kept;

Record mdlrun_record(const char *program, const mdl_model *model, int entry, int sample, int n, char **words) {
    Kept *keep = calloc(1, sizeof *keep);
    if (!keep) {
        fprintf(stderr, "%s: no memory to record a call\n", program);
        exit(EXIT_INPUT);
    }
    keep->next = kept;
    kept = keep;
    Tool *t = &keep->tool;
    Record record = {.entry = entry, .sample = sample};
    Recorder recorder = {t, &record, 0, 0};
    tool_init(t, program);
    t->model = model;
    t->o.seed = (uint64_t)sample;
    t->o.batch = 1;
    mdl_options options = {.size = sizeof options, .threads = 1};
    tool_check(t, model->open(&t->session, &options), "--self-test");
    Call c = call_new(t, model->entries[entry].name);
    bool *given = tool_alloc(t, (size_t)c.entry->n_inputs + 1);
    inputs_given(t, &c, sample, n, words);
    for (int i = 0; i < c.entry->n_inputs; i++) given[i] = c.inputs[i].data;
    call_make(t, &c);
    tool_check(t, call_filled(t, &c, given), "--self-test");
    mdl_close(t->session);
    t->session = NULL;
    options.watch = record_store;
    options.watch_context = &recorder;
    tool_check(t, model->open(&t->session, &options), "--self-test");
    tool_check(t, call_try(t, &c), "--self-test");
    record_call(t, &record, &c);
    mdl_close(t->session);
    t->session = NULL;
    return record;
}

int command_selftest(Tool *t, int n, char **words) {
    if (n) tool_fail(t, EXIT_USAGE, "selftest takes no \"%s\"", words[0]);
    const char *layer;
    double error;
    tool_check(t, t->model->selftest(t->session, &layer, &error), NULL);
    printf("every layer stores what was recorded, within %.1g of its largest value\n", error);
    return EXIT_DONE;
}
