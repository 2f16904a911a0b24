/* mdlrun_bench.c -- `bench`: how long a call of an entry takes. Inputs that are not given are made up: floats from the normal
 * distribution, integers 0, bools true (a mask hides nothing). Caches that run full are reset between calls, outside the clock. With --profile the session counts
 * the time of each kernel; mdlrun_profile.c prints it, and writes --trace. */
#include "runtime/mdlrun.h"
#include "runtime/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int double_compare(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sizes nobody gave: of the whole model (a batch) by --batch, run { } or the least; of the entry alone (a length) the largest,
 * when that is no more than 4096. */
static void sizes_make(Tool *t, Call *c) {
    for (int i = 0; i < c->entry->n_sizes; i++) {
        const mdl_size *z = &t->model->sizes[c->entry->sizes[i]];
        if (c->sizes[i] >= 0) continue;
        bool batch = !strcmp(z->name, "batch") || !strcmp(z->name, "b");
        int64_t least = z->low > 1 ? z->low : 1, value = least;
        if (batch && t->o.batch >= 0) value = t->o.batch;
        else if (batch) value = run_int(t, "batch", least);
        else if (z->entry >= 0 && z->high >= 0 && z->high <= 4096) value = z->high;
        call_set_size(t, c, z->name, value, "made up");
    }
}

static void input_make(Tool *t, Call *c, int i) {
    const mdl_value *v = &c->entry->inputs[i];
    int64_t shape[RANK_MAX];
    const char *missing;
    if (!call_shape(t, c, v, shape, &missing)) tool_fail(t, EXIT_USAGE, "%s: give %s=NUMBER", c->entry->name, missing);
    Array a = array_new(t, v->dtype, v->rank, shape);
    for (int64_t k = 0; v->dtype.code == 2 && k < a.count; k++) {
        /* the sum of four uniform numbers, near enough to the normal distribution; f16 stays 0 */
        double sum = 0;
        for (int64_t j = 0; j < 4; j++)
            sum += philox_word(t->o.seed, philox_site(v->name), 0, 4 * (uint64_t)k + (uint64_t)j) * 0x1p-32 - 0.5;
        double wide = sum * 1.7320508075688772;
        float narrow = (float)wide;
        if (v->dtype.bits == 64) memcpy(a.data + 8 * k, &wide, 8);
        if (v->dtype.bits == 32) memcpy(a.data + 4 * k, &narrow, 4);
    }
    if (v->dtype.code == 6) memset(a.data, true, (size_t)a.count);
    c->inputs[i] = a;
}

void call_make(Tool *t, Call *c) {
    sizes_make(t, c);
    for (int i = 0; i < c->entry->n_inputs; i++)
        if (!c->inputs[i].data) input_make(t, c, i);
}

static const char *const figure_names[] = {"median_ms", "min_ms", "bytes", "relative"};
enum { FIGURES = sizeof figure_names / sizeof *figure_names, PRODUCTS = 5 };

int command_bench(Tool *t, int n, char **words) {
    budget_names_check(t, figure_names, FIGURES);
    if (n == 0) tool_fail(t, EXIT_USAGE, "bench: which entry?");
    Call c = call_new(t, words[0]);
    for (int pass = 0; pass < 2; pass++) { /* sizes, then arrays */
        for (int i = 1; i < n; i++) {
            Binding b;
            int64_t value;
            if (!binding_split(t, words[i], &b)) tool_fail(t, EXIT_USAGE, "\"%s\" is not NAME=VALUE", words[i]);
            int input = call_input(&c, b.name);
            if (input >= 0 && pass) {
                Array a = value_read(t, b.text);
                call_set_input(t, &c, input, &a);
            } else if (input < 0 && !pass) {
                if (call_size(t, &c, b.name) < 0 || !tool_int(b.text, &value))
                    tool_fail(t, EXIT_USAGE, "%s takes no %s", words[0], b.name);
                call_set_size(t, &c, b.name, value, "as given");
            }
        }
    }
    call_make(t, &c);

    enum { TRACED = 10 }; /* calls in a trace, where nobody says how many: enough to look at */
    int64_t most = t->o.rounds > 0 ? t->o.rounds : t->o.trace ? TRACED : 100000, rounds = 0;
    double *seconds = tool_alloc(t, sizeof *seconds * (size_t)most);
    bool compared = t->o.json || t->o.budget;
    double plain = compared ? product_seconds(t, PRODUCTS) : 1;
    call_run(t, &c); /* warm: caches made, pages touched */
    if (t->o.profile) profile_begin(t);
    trace_begin(t);
    double begin = tool_now();
    bool fresh = true; /* nothing but a reset since the last success: a second failure is real */
    while (rounds < most && (t->o.rounds > 0 || rounds < 10 || tool_now() - begin < 1.0)) {
        double start = tool_now();
        int code = call_try(t, &c);
        double end = tool_now();
        if (code != MDL_OK && fresh) tool_check(t, code, NULL);
        fresh = code != MDL_OK;
        if (fresh) tool_check(t, t->model->reset(t->session), NULL);
        else seconds[rounds++] = end - start, trace_call(t, words[0], start, end);
    }
    trace_write(t);
    if (compared) plain = fmin(plain, product_seconds(t, PRODUCTS));
    qsort(seconds, (size_t)rounds, sizeof *seconds, double_compare);
    double median = rounds % 2 ? seconds[rounds / 2] : 0.5 * (seconds[rounds / 2 - 1] + seconds[rounds / 2]);
    int64_t bytes = t->model->bytes ? t->model->bytes(c.index, c.sizes) : -1;
    int64_t flops = t->model->size > offsetof(mdl_model, flops) && t->model->flops ? t->model->flops(c.index, c.sizes) : -1;
    char *sizes = tool_printf(t, "%s", "");
    for (int i = 0; i < c.entry->n_sizes; i++)
        sizes =
            tool_printf(t, "%s%s%s=%lld", sizes, i ? " " : "", t->model->sizes[c.entry->sizes[i]].name, (long long)c.sizes[i]);
    if (t->o.json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:I}", "model", t->model->name, "entry", words[0], "sizes",
                              sizes, "rounds", (json_int_t)rounds, "median_ms", 1e3 * median, "min_ms", 1e3 * seconds[0],
                              "relative", seconds[0] / plain, "bytes", (json_int_t)bytes, "flops", (json_int_t)flops);
        if (o && t->o.profile) json_object_set_new(o, "profile", profile_json(t, rounds));
        char *text = o ? json_dumps(o, JSON_SORT_KEYS | JSON_REAL_PRECISION(6)) : NULL;
        json_decref(o);
        if (!text) tool_fail(t, EXIT_INPUT, "not enough memory");
        puts(text);
        free(text);
    } else {
        printf("%s%s%s: median %.4g ms, min %.4g ms, %lld rounds", words[0], *sizes ? " " : "", sizes, 1e3 * median,
               1e3 * seconds[0], (long long)rounds);
        if (flops > 0) printf(", %.4g GFLOP/s", (double)flops / median * 1e-9);
        if (bytes >= 0) printf(", %.1f MiB", (double)bytes / 1048576);
        putchar('\n');
        if (t->o.profile) profile_print(t, rounds);
    }
    const double values[FIGURES] = {1e3 * median, 1e3 * seconds[0], (double)bytes, seconds[0] / plain};
    Figure figures[FIGURES];
    for (int i = 0; i < FIGURES; i++) figures[i] = (Figure){figure_names[i], values[i]};
    return budget_status(t, figures, FIGURES);
}
