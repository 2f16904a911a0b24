/* mdlrun_observe.c -- calibration (observe.h): a program that tells what flows into its layers is run over samples. */
#include "runtime/observe.h"

#include "runtime/mdlrun_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what bins stand for --------------------------------------------------------------------------------------------------- */

/* Magnitude where bin k of one side begins. */
static double edge(int k) {
    return k <= 0 ? 0 : exp2(OBSERVE_LOW + (double)(k - 1) / OBSERVE_OCTAVE);
}

/* The middle of bin i, not beyond what was seen. */
static double middle(const Observation *o, int i) {
    int k = abs(i - OBSERVE_SIDE);
    double x = k ? 0.5 * (edge(k) + edge(k + 1)) : 0;
    return i < OBSERVE_SIDE ? fmax(-x, o->least) : fmin(x, o->most);
}

static double count_all(const Observation *o) {
    double n = 0;
    for (int i = 0; i < OBSERVE_BINS; i++) n += o->bins[i];
    return n;
}

/* ---- methods --------------------------------------------------------------------------------------------------------------- */

static void by_percentile(Observation *o) {
    double beyond = count_all(o) * (1 - o->percentile / 100), n = 0;
    int i = OBSERVE_BINS - 1;
    while (i > OBSERVE_SIDE && n + o->bins[i] <= beyond) n += o->bins[i--];
    if (i < OBSERVE_BINS - 1) o->hi = fmin(o->hi, edge(i - OBSERVE_SIDE + 1));
    n = 0;
    for (i = 0; i < OBSERVE_SIDE && n + o->bins[i] <= beyond; i++) n += o->bins[i];
    if (i > 0) o->lo = fmax(o->lo, -edge(OBSERVE_SIDE - i + 1));
}

/* Of 256 codes from lo to hi: rounding errs by step^2 / 12 in the middle, clipping by the distance. */
static double squared_error(const Observation *o, double lo, double hi) {
    double step = (hi - lo) / 255, sum = 0;
    for (int i = 0; i < OBSERVE_BINS; i++) {
        if (o->bins[i] == 0) continue;
        double x = middle(o, i), d = x < lo ? lo - x : x > hi ? x - hi : 0;
        sum += o->bins[i] * (d > 0 ? d * d : x == 0 ? 0 : step * step / 12);
    }
    return sum;
}

/* One end after the other, twice: each from 1 % to 100 % of what was seen. */
static void by_mse(Observation *o) {
    double best = squared_error(o, o->lo, o->hi);
    for (int round = 0; round < 4; round++) {
        double *end = round % 2 ? &o->lo : &o->hi, seen = round % 2 ? o->least : o->most, chosen = *end;
        for (int i = 1; i <= 100 && seen != 0; i++) {
            *end = seen * i / 100;
            double error = squared_error(o, o->lo, o->hi);
            if (error < best) best = error, chosen = *end;
        }
        *end = chosen;
    }
}

enum { EVEN = 2048, CODES = 128 };

/* Magnitudes in even bins from 0 to `most`: each count spread evenly over what its bin covers. */
static void even_bins(const Observation *o, double most, double *even) {
    for (int i = 0; i < OBSERVE_BINS; i++) {
        int k = abs(i - OBSERVE_SIDE);
        if (k == 0 || o->bins[i] == 0) continue; /* zeros are zeros in any range */
        double from = fmin(edge(k) / most, 1) * EVEN, to = fmin(edge(k + 1) / most, 1) * EVEN;
        if (to - from < 1e-9) from = EVEN - 1, to = EVEN;
        for (int j = (int)from; j < EVEN && j < to; j++)
            even[j] += o->bins[i] * (fmin(to, j + 1) - fmax(from, j)) / (to - from);
    }
}

/* Of the first n bins, the rest counted in the last of them, from what CODES codes make of them. */
static double divergence(const double *even, int n) {
    double p[EVEN], q[EVEN], beyond = 0, sum_p = 0, sum_q = 0, d = 0;
    for (int i = n; i < EVEN; i++) beyond += even[i];
    for (int c = 0; c < CODES; c++) {
        int from = (int)((int64_t)c * n / CODES), to = (int)((int64_t)(c + 1) * n / CODES), filled = 0;
        double sum = 0;
        for (int i = from; i < to; i++) sum += even[i], filled += even[i] > 0;
        for (int i = from; i < to; i++) q[i] = even[i] > 0 ? sum / filled : 0;
    }
    for (int i = 0; i < n; i++) {
        p[i] = even[i] + (i == n - 1 ? beyond : 0);
        sum_p += p[i];
        sum_q += q[i];
    }
    if (sum_p == 0 || sum_q == 0) return INFINITY;
    for (int i = 0; i < n; i++) {
        if (p[i] == 0) continue;
        double a = p[i] / sum_p, b = fmax(q[i] / sum_q, 1e-9);
        d += a * log(a / b);
    }
    return d;
}

static void by_entropy(Observation *o) {
    double even[EVEN] = {0}, most = fmax(o->most, -o->least), best = INFINITY;
    int chosen = EVEN;
    if (most == 0) return;
    even_bins(o, most, even);
    for (int n = CODES; n <= EVEN; n += CODES / 8) {
        double d = divergence(even, n);
        if (d < best) best = d, chosen = n;
    }
    o->hi = fmin(o->most, most * chosen / EVEN);
    o->lo = fmax(o->least, -most * chosen / EVEN);
}

void observe_range(Observation *o) {
    double all = count_all(o), beyond = 0;
    o->least = fmin(o->least, 0);
    o->most = fmax(o->most, 0);
    o->lo = o->least;
    o->hi = o->most;
    if (!strcmp(o->method, "percentile")) by_percentile(o);
    else if (!strcmp(o->method, "mse")) by_mse(o);
    else if (!strcmp(o->method, "entropy")) by_entropy(o);
    for (int i = 0; i < OBSERVE_BINS; i++)
        if (middle(o, i) < o->lo || middle(o, i) > o->hi) beyond += o->bins[i];
    o->clipped = all > 0 ? beyond / all : 0;
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */

/* Data with NaN or infinity would poison every range. */
static void data_check(Tool *t, const Data *d) {
    for (int i = 0; i < d->n_feeds; i++) {
        const Array *a = &d->feeds[i].a;
        if (a->dtype.code != 2) continue;
        for (int64_t k = 0; k < a->count; k++) {
            if (isfinite(element_double(a->data, a->dtype, k))) continue;
            int64_t row = a->rank ? a->count / a->shape[0] : 1;
            tool_fail(t, EXIT_INPUT, "%s has %s, in row %lld, element %lld", d->feeds[i].text ? d->feeds[i].text : "the data",
                      isnan(element_double(a->data, a->dtype, k)) ? "a NaN" : "an infinity", (long long)(k / row), (long long)(k % row));
        }
    }
}

static double *doubles(Tool *t, size_t n) {
    double *p = calloc(n, sizeof *p);
    if (!p) tool_fail(t, EXIT_INPUT, "not enough memory for what is observed");
    return p;
}

static void observation_begin(Tool *t, Observation *o) {
    o->least = INFINITY;
    o->most = -INFINITY;
    o->bins = doubles(t, OBSERVE_BINS);
    o->gram = o->length ? doubles(t, (size_t)o->length * (size_t)o->length) : NULL;
}

static int observation_add(Tool *t, Observation *o, const Array *results) {
    double least = element_double(results[0].data, results[0].dtype, 0), most = element_double(results[1].data, results[1].dtype, 0);
    if (!isfinite(least) || !isfinite(most)) tool_fail(t, EXIT_INPUT, "%s holds NaN or infinity for these samples", o->path);
    o->least = fmin(o->least, least);
    o->most = fmax(o->most, most);
    for (int i = 0; i < OBSERVE_BINS; i++) o->bins[i] += (double)element_int(results[2].data, results[2].dtype, i);
    for (int64_t i = 0; i < o->length * o->length; i++) o->gram[i] += element_double(results[3].data, results[3].dtype, i);
    return o->length ? 4 : 3;
}

/* One layer that is called twice sees both. */
static void observations_merge(int n, Observation *at) {
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (strcmp(at[k].path, at[i].path) != 0) k++;
        if (k == i) continue;
        at[k].least = fmin(at[k].least, at[i].least);
        at[k].most = fmax(at[k].most, at[i].most);
        for (int j = 0; j < OBSERVE_BINS; j++) at[k].bins[j] += at[i].bins[j];
        for (int64_t j = 0; at[k].gram && at[i].gram && j < at[i].length * at[i].length; j++) at[k].gram[j] += at[i].gram[j];
    }
}

/* Opens model and data that `ENTRY NAME=SOURCE ...` and options name. */
static Data *data_begin(Tool *t, const char *who, const mdl_model *m, int n_words, char **words) {
    tool_init(t, who);
    t->model = m;
    options_parse(t, &n_words, words);
    model_open(t);
    const char *entry;
    Bindings b = bindings_merge(t, n_words, words, NULL, &entry);
    if (!entry) tool_fail(t, EXIT_USAGE, "through which entry? ENTRY NAME=SOURCE ...");
    return data_open(t, entry, &b, t->o.batch);
}

int64_t mdlrun_observe(const char *who, const mdl_model *m, int n_words, char **words, int64_t samples, int n, Observation *at) {
    Tool t;
    Data *d = data_begin(&t, who, m, n_words, words);
    data_check(&t, d);
    for (int i = 0; i < n; i++) observation_begin(&t, &at[i]);
    int64_t seen = 0, more;
    for (int64_t i = 0; (samples == 0 || seen < samples) && (more = data_next(&t, d, i)) > 0; i++) {
        data_call_run(&t, d, -1);
        for (int k = 0, at_result = 0; k < n; k++) at_result += observation_add(&t, &at[k], data_call(d)->outputs + at_result);
        seen += more;
    }
    observations_merge(n, at);
    for (int i = 0; i < n; i++) observe_range(&at[i]);
    tool_free(&t);
    return seen;
}

int mdlrun_results(const char *who, const mdl_model *m, int n_words, char **words, int room, const char **names, double *values) {
    Tool t;
    Data *d = data_begin(&t, who, m, n_words, words);
    Results r = eval_pass(&t, d, NULL, -1);
    int n = r.n < room ? r.n : room;
    for (int i = 0; i < n; i++) {
        names[i] = r.names[i];
        values[i] = r.values[i];
    }
    tool_free(&t);
    return n;
}
