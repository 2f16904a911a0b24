/* selftest.c -- MODEL_selftest: the entries are called on the samples that the compiler recorded, and what each layer stores is compared
 * with what it stored there. Only artifacts of modelc --self-test refer to this file. */
#include "runtime/internal.h"

typedef struct Watching {
    const RtTest *test;
    double tolerance, *error; /* error: by row, relative to the row's largest value; -1: not stored so far */
} Watching;

static double element(const void *data, int32_t bits, int64_t i) {
    float narrow;
    double wide;
    memcpy(&narrow, (const char *)data + 4 * i, bits == 32 ? sizeof narrow : 0);
    memcpy(&wide, (const char *)data + 8 * i, bits == 64 ? sizeof wide : 0);
    return bits == 64 ? wide : (double)narrow;
}

/* How far what is stored is from the row: NaN where one of the two alone is one. */
static double row_error(const RtTestRow *r, const void *data, int32_t bits) {
    double most = 0, unit = (double)r->largest > 1e-30 ? (double)r->largest : 1e-30;
    for (int64_t i = 0; i * r->step < r->count; i++) {
        double x = element(data, bits, i * r->step), y = (double)r->values[i];
        if (x == y || (x != x && y != y)) continue;
        double d = (x > y ? x - y : y - x) / unit;
        if (!(d <= most)) most = d;
    }
    return most;
}

/* Layers of one scan, or those that share a source line, store often: the last time counts. */
static void watch(void *context, const char *layer, const char *source, const void *data, int32_t bits, int64_t count) {
    const Watching *w = context;
    for (int i = 0; i < w->test->n_rows; i++) {
        const RtTestRow *r = &w->test->rows[i];
        if (r->count != count || rt_text_order(r->layer, layer) || rt_text_order(r->source, source)) continue;
        w->error[i] = row_error(r, data, bits);
        return;
    }
}

/* The first row that is wrong; -1: none, and *worst is the largest error. */
static int first_wrong(const Watching *w, double *worst) {
    *worst = 0;
    for (int i = 0; i < w->test->n_rows; i++) {
        if (!(w->error[i] >= 0 && w->error[i] <= w->tolerance)) return i;
        if (w->error[i] > *worst) *worst = w->error[i];
    }
    return -1;
}

static int call(mdl_session *s, const RtTest *t, Watching *w) {
    const mdl_entry *e = &s->model->entries[t->entry];
    char *outputs[e->n_outputs + 1];
    int code = rt_reset(s), n = 0;
    for (; n < e->n_outputs && !code; n++) {
        outputs[n] = rt_borrow(s, t->output_bytes[n]);
        if (!outputs[n]) code = rt_fail(s, MDL_MEMORY, "selftest: no memory for %s of %s: %lld bytes", e->outputs[n].name, e->name, (long long)t->output_bytes[n]);
    }
    s->watch = watch;
    s->watch_context = w;
    if (!code) code = rt_call_raw(s->program, s, t->entry, t->sizes, (char *const *)(uintptr_t)t->inputs, outputs);
    while (n > 0) rt_release(s, outputs[--n]);
    return code;
}

/* One sample. *layer: what to say of the first layer that is wrong, NULL: none is. */
static int test(mdl_session *s, double tolerance, const RtTest *t, const char **layer, double *error) {
    Watching w = {t, tolerance, rt_borrow(s, (int64_t)sizeof(double) * t->n_rows)};
    if (!w.error) return rt_fail(s, MDL_MEMORY, "selftest: no memory for %d layers", t->n_rows);
    for (int i = 0; i < t->n_rows; i++) w.error[i] = -1;
    int code = call(s, t, &w), wrong = code ? -1 : first_wrong(&w, error);
    if (wrong >= 0) {
        const RtTestRow *r = &t->rows[wrong];
        const char *entry = s->model->entries[t->entry].name;
        *layer = *r->layer ? r->layer : r->source;
        *error = w.error[wrong];
        bool stored = !(*error < 0);
        code = rt_fail(s, MDL_TARGET, stored ? "selftest: %s, sample %d: %s (%s) is the first layer that is wrong, by %.3g of its largest value"
                                             : "selftest: %s, sample %d: %s (%s) stored nothing", entry, t->sample, *layer, r->source, *error);
    }
    rt_release(s, w.error);
    return code;
}

/* Initial values that the session drew. */
static bool drawn(const mdl_session *s) {
    for (int i = 0; i < s->program->n_slots; i++)
        if (s->program->slots[i].init && rt_slot_value(s, i)->kind != MDL_CACHE) return true;
    return false;
}

static int run(mdl_session *s, const char **layer, double *error) {
    const RtTests *tests = s->program->tests;
    if (s->seed && drawn(s)) return rt_fail(s, MDL_ARGUMENT, "selftest: the calls were recorded in a session opened with seed 0, and initial values follow from it");
    mdl_watch *before = s->watch;
    void *context = s->watch_context;
    size_t memory_bytes = s->memory_bytes;
    int code = MDL_OK;
    double worst = 0, one = 0;
    for (int i = 0; i < tests->n && !code; i++) {
        code = test(s, (double)tests->tolerance, &tests->tests[i], layer, &one);
        s->memory_bytes = memory_bytes;
        if (code || one > worst) worst = one;
    }
    s->watch = before;
    s->watch_context = context;
    *error = worst;
    s->arena_bytes = s->memory ? 0 : s->arena_bytes;
    return code ? code : rt_reset(s);
}

int rt_selftest_recorded(mdl_session *s, const char **first_wrong_layer, double *error) {
    const char *layer = NULL;
    double by = 0;
    int code = !s ? MDL_ARGUMENT
             : rt_device(s->program) ? rt_fail(s, MDL_DEVICE, "selftest: what was recorded is compared on the processor: open a session there")
                                     : run(s, &layer, &by);
    if (first_wrong_layer) *first_wrong_layer = layer;
    if (error) *error = by;
    return code;
}
