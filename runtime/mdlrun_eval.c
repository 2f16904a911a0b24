/* mdlrun_eval.c -- `eval`: an entry over a data set, once, in order. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Does a result depend on a cache? The description says so ("cached"); mdl.h's tables do not. */
static bool output_cached(const Tool *t, const Call *c, int output) {
    const json_t *entry = json_array_get(json_object_get(t->meta, "entries"), (size_t)c->index);
    const json_t *row = json_array_get(json_object_get(entry, "outputs"), (size_t)output);
    return json_is_true(json_object_get(row, "cached"));
}

static bool output_is_number(const mdl_value *v) {
    return v->rank == 0;
}

/* A tensor result of all batches, one behind the other along the first axis. */
typedef struct Pile {
    Array a;
    int64_t room; /* bytes */
} Pile;

static void pile_add(Tool *t, Pile *p, const char *name, const Array *a) {
    int64_t size = element_size(a->dtype), bytes = a->count * size;
    if (!p->a.data) {
        p->a = *a;
        p->a.data = NULL;
        p->a.count = 0;
        p->a.shape[0] = 0;
    }
    if (p->a.rank != a->rank || memcmp(p->a.shape + 1, a->shape + 1, sizeof *a->shape * (size_t)(a->rank - 1)))
        tool_fail(t, EXIT_INPUT, "%s has another shape in another batch: it cannot be stored as one array", name);
    int64_t have = p->a.count * size;
    if (have + bytes > p->room || !p->a.data) {
        int64_t more = 2 * p->room > have + bytes ? 2 * p->room : have + bytes;
        p->a.data = tool_resize(t, p->a.data, (size_t)have, (size_t)more);
        p->room = more;
    }
    memcpy(p->a.data + have, a->data, (size_t)bytes);
    p->a.count += a->count;
    p->a.shape[0] += a->shape[0];
}

Results eval_pass(Tool *t, Data *d, const char *folder, int64_t epoch) {
    Call *c = data_call(d);
    int n = c->entry->n_outputs;
    Pile *piles = tool_alloc(t, sizeof *piles * (size_t)(n + 1));
    bool *keep = tool_alloc(t, sizeof *keep * (size_t)(n + 1));
    for (int i = 0; i < n; i++) keep[i] = folder || picture_wanted(t, c->entry->outputs[i].name);
    Results r = {.names = tool_alloc(t, sizeof *r.names * (size_t)(n + 1)),
                 .values = tool_alloc(t, sizeof *r.values * (size_t)(n + 1))};
    for (int i = 0; i < n; i++)
        if (output_is_number(&c->entry->outputs[i])) r.names[r.n++] = c->entry->outputs[i].name;
    tool_check(t, t->model->reset(t->session), c->entry->name);
    int64_t samples;
    for (int64_t i = 0; !stop_asked() && (samples = data_next(t, d, i)) > 0; i++) {
        data_call_run(t, d, -1);
        for (int k = 0, scalar = 0; k < n; k++) {
            const Array *a = &c->outputs[k];
            if (output_is_number(&c->entry->outputs[k])) {
                double v = element_double(a->data, a->dtype, 0);
                if (output_cached(t, c, k)) r.values[scalar] = v;
                else r.values[scalar] += v * (double)samples;
                scalar++;
            } else if (keep[k]) {
                pile_add(t, &piles[k], c->entry->outputs[k].name, a);
            }
        }
        r.samples += samples;
    }
    for (int k = 0, scalar = 0; k < n; k++) {
        if (output_is_number(&c->entry->outputs[k])) {
            if (!output_cached(t, c, k) && r.samples) r.values[scalar] /= (double)r.samples;
            scalar++;
        } else if (piles[k].a.data) {
            const char *name = c->entry->outputs[k].name;
            if (folder) npy_write(t, tool_printf(t, "%s/%s.npy", folder, name), &piles[k].a);
            if (!stop_asked()) t->pictures->write(t, name, &piles[k].a, epoch);
            tool_release(t, piles[k].a.data);
        }
    }
    return r;
}

static void results_print(Tool *t, const Results *r) {
    if (!t->o.json) {
        for (int i = 0; i < r->n; i++) printf("%s = %.6g\n", r->names[i], r->values[i]);
        return;
    }
    json_t *o = json_object();
    for (int i = 0; i < r->n; i++) /* JSON has no NaN */
        json_object_set_new(o, r->names[i], isfinite(r->values[i]) ? json_real(r->values[i]) : json_null());
    json_object_set_new(o, "samples", json_integer((json_int_t)r->samples));
    char *text = json_dumps(o, JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    json_decref(o);
    if (!text) tool_fail(t, EXIT_INPUT, "not enough memory");
    puts(text);
    free(text);
}

/* --budget against the results; before the pass (r NULL) its names alone. */
static int results_budget(Tool *t, const mdl_entry *e, const Results *r) {
    const char **names = tool_alloc(t, sizeof *names * (size_t)(e->n_outputs + 1));
    Figure *figures = tool_alloc(t, sizeof *figures * (size_t)(e->n_outputs + 1));
    int n = 0;
    for (int i = 0; i < e->n_outputs; i++)
        if (output_is_number(&e->outputs[i])) names[n++] = e->outputs[i].name;
    if (!r) budget_names_check(t, names, n);
    for (int i = 0; r && i < n; i++) figures[i] = (Figure){r->names[i], r->values[i]};
    return r ? budget_status(t, figures, n) : EXIT_DONE;
}

int command_eval(Tool *t, int n, char **words) {
    const char *entry, *defaults = t->o.test_data ? t->o.test_data : run_text(t, "test_data");
    Bindings b = bindings_merge(t, n, words, defaults, &entry);
    if (!entry) entry = t->o.test ? t->o.test : run_text(t, "test");
    if (!entry) tool_fail(t, EXIT_USAGE, "eval: which entry?");
    Data *d = data_open(t, entry, &b, t->o.batch);
    if (t->o.out) tool_folder(t, t->o.out);
    const mdl_entry *e = data_call(d)->entry;
    t->pictures->check(t, &e, 1);
    results_budget(t, e, NULL);
    stop_watch();
    Results r = eval_pass(t, d, t->o.out, -1);
    if (stop_asked()) tool_fail(t, EXIT_INTERRUPTED, "interrupted");
    const char *plural = r.samples == 1 ? "" : "s";
    int64_t rest = data_left_out(d);
    if (data_tokens(d)) tool_note(t, "%lld window%s of %lld", (long long)r.samples, plural, (long long)data_tokens(d));
    else tool_note(t, "%lld sample%s", (long long)r.samples, plural);
    if (rest) tool_note(t, "left out: the last %lld %s", (long long)rest, data_tokens(d) ? "elements" : "samples");
    results_print(t, &r);
    if (t->o.out && !t->o.quiet && r.n < data_call(d)->entry->n_outputs) tool_note(t, "arrays are in %s", t->o.out);
    if (t->o.save) model_save(t, t->o.save);
    return results_budget(t, e, &r);
}
