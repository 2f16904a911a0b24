/* accuracy.c -- budgets of accuracy (measure.h): what quantization loses is measured with the program itself, before it ships.
 *
 * The float program gives the limits. Where the quantized one is beyond them, each layer is made float alone: what that gives back,
 * for the bytes that it costs, is the order in which layers go back to float, one after the other, until the budgets hold. A layer here
 * is the weights with one path but for their last name. */
#include "codegen/budget.h"
#include "codegen/measure.h"

#include "runtime/observe.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_FLOAT = 717, BEYOND = 1003, ON_NOTHING = 1004, RESULTS = 64, SAID_MOST = 12 };

typedef struct Layer {
    const char *path;
    int64_t bytes;    /* more of them as floats */
    bool left;        /* it goes back to float */
    double shortfall; /* of all budgets, were it float alone */
    double gain;      /* of the first budget's result, by that */
} Layer;
typedef LIST(Layer) Layers;

/* One run of an entry over data: what several budgets share. */
typedef struct Results {
    const char *names[RESULTS];
    double values[RESULTS];
    int n;
} Results;

typedef struct Held { /* a budget, once the float program was run */
    const Accuracy *accuracy;
    const char *on;
    MeasureWords words;
    bool most;
    double floats, limit, now; /* what the float program gives; what is allowed; what the quantized one gives */
} Held;

typedef struct Search {
    const Measure *m;
    Program *p;
    Layers layers;
    Held *limits;
    int n_limits;
} Search;

/* ---- variants -------------------------------------------------------------------------------------------------------------- */

static const char *layer_of(Arena *arena, const char *slot) {
    const char *dot = strrchr(slot, '.');
    return dot ? arena_copy(arena, slot, (size_t)(dot - slot)) : slot;
}

static Layer *layer_find(const Layers *layers, const char *path) {
    for (int i = 0; i < layers->n; i++)
        if (!strcmp(layers->at[i].path, path)) return &layers->at[i];
    return NULL;
}

static void leave_float(const Search *s, Program *p) {
    for (int i = 0; i < p->slots.n; i++) {
        Slot *slot = p->slots.at[i];
        const Layer *layer = slot->quant.scheme ? layer_find(&s->layers, layer_of(p->arena, slot->path)) : NULL;
        if (layer && layer->left) slot->quant = (Quant){0};
    }
}

/* A variant takes the ranges that were found, and holds no budgets of its own. */
static void prepare_left(void *context, Program *variant) {
    const Search *s = context;
    leave_float(s, variant);
    variant->observed.n = 0;
    for (int i = 0; i < s->p->observed.n; i++) PUSH(variant->arena, variant->observed, s->p->observed.at[i]);
}

static const double *result_find(const Results *r, const char *name) {
    for (int i = 0; i < r->n; i++)
        if (!name || !strcmp(r->names[i], name)) return &r->values[i];
    return NULL;
}

static bool less_is_better(const char *name) {
    static const char *const words[] = {"loss", "error", "perplexity", "mse", "mae", "nll"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(name, words[i])) return true;
    return false;
}

/* The results of the limit's entry, of the program with the layers that are left. False: it was said why. */
static bool run(const Search *s, const Held *l, Results *r) {
    Program *variant;
    const mdl_model *model = s->m->compile(s->m->compiler, l->on, prepare_left, (void *)s, &variant);
    if (!model) return false;
    const char *who = arena_printf(s->m->arena, "modelc: budget %s", l->accuracy->text);
    r->n = mdlrun_results(who, model, l->words.n, l->words.at, RESULTS, r->names, r->values);
    for (int i = 0; i < r->n; i++) r->names[i] = arena_printf(s->m->arena, "%s", r->names[i]);
    s->m->release(s->m->compiler);
    return true;
}

static void leave_all(Search *s, bool left) {
    for (int i = 0; i < s->layers.n; i++) s->layers.at[i].left = left;
}

static bool same_words(const Held *a, const Held *b) {
    if (strcmp(a->on, b->on) || a->words.n != b->words.n) return false;
    for (int i = 0; i < a->words.n; i++)
        if (strcmp(a->words.at[i], b->words.at[i])) return false;
    return true;
}

/* How far beyond its limit, as a share of it. */
static double beyond(const Held *l) {
    double by = l->most ? l->now - l->limit : l->limit - l->now;
    if (isnan(l->now)) return INFINITY;
    return by <= 0 ? 0 : by / fmax(fabs(l->limit), 1e-30);
}

/* Fills `now` of all limits; *sum: how far they are beyond, together. */
static bool run_all(const Search *s, double *sum) {
    Results r = {.n = 0};
    *sum = 0;
    for (int i = 0; i < s->n_limits; i++) {
        Held *l = &s->limits[i];
        if ((i == 0 || !same_words(l, &s->limits[i - 1])) && !run(s, l, &r)) return false;
        l->now = *result_find(&r, l->accuracy->result);
        *sum += beyond(l);
    }
    return true;
}

/* ---- limits ---------------------------------------------------------------------------------------------------------------- */

/* A string of `run { }`; NULL: it has none of this name. */
static const char *run_string(const Search *s, const char *key) {
    json_t *run_block = s->p->run_json ? json_loads(s->p->run_json, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(run_block, key));
    if (text) text = arena_printf(s->m->arena, "%s", text);
    json_decref(run_block);
    return text;
}

static bool limit_words(const Search *s, Held *l) {
    const Accuracy *a = l->accuracy;
    const char *on = a->on ? a->on : run_string(s, "test"), *data = a->data ? a->data : run_string(s, "test_data");
    if (data) l->words = measure_words(s->m->arena, on ? on : "", data);
    l->on = l->words.n ? l->words.at[0] : NULL;
    for (int i = 0; l->on && i < s->p->entries.n; i++)
        if (!strcmp(s->p->entries.at[i]->name, l->on)) return true;
    Report *r = diag_error(s->m->diag, a->loc, ON_NOTHING, "the budget %s is measured on nothing", a->text);
    if (l->on && *l->on) diag_fact(r, "no entry is called `%s`", l->on);
    if (!l->on) diag_fact(r, "budgets of bytes are called %s", budget_names(s->m->arena));
    diag_help(r, "say on what: --measure='ENTRY NAME=SOURCE ...', or run { test = \"ENTRY\"; test_data = \"NAME=SOURCE ...\"; }");
    return false;
}

/* What the float program gives, and the limit that follows. */
static bool limit_settle(const Search *s, Held *l, const Results *r) {
    const Accuracy *a = l->accuracy;
    const double *value = result_find(r, a->result);
    if (!value) {
        Report *report = diag_error(s->m->diag, a->loc, ON_NOTHING, "the budget %s is measured on nothing", a->text);
        for (int i = 0; i < r->n; i++) diag_fact(report, "`%s` has the number `%s`", l->on, r->names[i]);
        if (!r->n) diag_fact(report, "`%s` has no result that is a number", l->on);
        return false;
    }
    l->floats = *value;
    l->most = a->most;
    l->limit = a->factor * *value + a->add;
    if (a->result) return true;
    l->most = less_is_better(r->names[0]);
    l->limit = *value + (l->most ? 1 : -1) * a->add * fabs(*value);
    return true;
}

static bool limits_settle(Search *s) {
    Results r = {.n = 0};
    leave_all(s, true);
    for (int i = 0; i < s->n_limits; i++) {
        Held *l = &s->limits[i];
        if (!limit_words(s, l)) return false;
        if ((i == 0 || !same_words(l, &s->limits[i - 1])) && !run(s, l, &r)) return false;
        if (!limit_settle(s, l, &r)) return false;
    }
    leave_all(s, false);
    return true;
}

/* ---- layers ---------------------------------------------------------------------------------------------------------------- */

/* Bytes that a weight takes more as floats: codes, a scale (and a zero) a group or a channel. */
static int64_t bytes_saved(const Program *p, const Slot *s) {
    bool halves = s->quant.scheme == QUANT_INT4 || s->quant.scheme == QUANT_NF4;
    int64_t count = size_value(type_count(p->init, &s->type)), codes = halves ? count / 2 : count;
    int64_t scales = s->quant.group ? count / s->quant.group * (s->quant.zero_point ? 3 : 2) : 0;
    return 4 * count - codes - scales;
}

static void layers_collect(Search *s) {
    for (int i = 0; i < s->p->slots.n; i++) {
        const Slot *slot = s->p->slots.at[i];
        if (!slot->quant.scheme) continue;
        const char *path = layer_of(s->m->arena, slot->path);
        if (!layer_find(&s->layers, path)) PUSH(s->m->arena, s->layers, ((Layer){.path = path}));
        layer_find(&s->layers, path)->bytes += bytes_saved(s->p, slot);
    }
}

/* Each layer alone as floats. */
static bool layers_measure(Search *s) {
    for (int i = 0; i < s->layers.n; i++) {
        Layer *layer = &s->layers.at[i];
        double before = s->limits[0].now;
        layer->left = true;
        if (!run_all(s, &layer->shortfall)) return false;
        layer->gain = s->limits[0].now - before;
        layer->left = false;
        s->limits[0].now = before;
    }
    return true;
}

static double worth(const Layer *l, double shortfall) {
    return (shortfall - l->shortfall) / (double)(l->bytes > 0 ? l->bytes : 1);
}

/* The layer that gives back most for its bytes; NULL: all are left. */
static Layer *next_layer(Search *s, double shortfall) {
    Layer *best = NULL;
    for (int i = 0; i < s->layers.n; i++) {
        Layer *l = &s->layers.at[i];
        if (!l->left && (!best || worth(l, shortfall) > worth(best, shortfall))) best = l;
    }
    return best;
}

static const char *limit_text(const Search *s, const Held *l) {
    return arena_printf(s->m->arena, "%s: %.6g in float, %.6g allowed, %.6g quantized", l->accuracy->text, l->floats, l->limit, l->now);
}

/* The table: what each layer as floats would change. */
static void layers_say(const Search *s, Report *r, bool left_alone) {
    int said = 0, wanted = 0;
    for (int i = 0; i < s->layers.n; i++) {
        const Layer *l = &s->layers.at[i];
        if (left_alone && !l->left) continue;
        wanted++;
        if (said == SAID_MOST) continue;
        diag_fact(r, "`%s` as floats: %+.3g, %lld bytes more", l->path, l->gain, (long long)l->bytes);
        said++;
    }
    if (wanted > said) diag_fact(r, "and %d more layers", wanted - said);
}

/* Layers go back until the budgets hold. */
static bool restore(Search *s, double shortfall) {
    double all = shortfall;
    while (shortfall > 0) {
        Layer *l = next_layer(s, all);
        if (!l) break;
        l->left = true;
        if (!run_all(s, &shortfall)) return false;
    }
    for (int i = 0; shortfall > 0 && i < s->n_limits; i++) {
        if (beyond(&s->limits[i]) == 0) continue;
        Report *r = diag_error(s->m->diag, s->limits[i].accuracy->loc, BEYOND, "the budget %s cannot be met", s->limits[i].accuracy->text);
        diag_fact(r, "%.6g in float, %.6g allowed", s->limits[i].floats, s->limits[i].limit);
        layers_say(s, r, false);
    }
    return shortfall <= 0;
}

bool measure_accuracy(const Measure *m, Program *p) {
    double shortfall;
    Search s = {.m = m, .p = p, .n_limits = p->accuracies.n};
    if (!s.n_limits) return true;
    s.limits = NEW_ARRAY(m->arena, Held, s.n_limits);
    for (int i = 0; i < s.n_limits; i++) s.limits[i].accuracy = &p->accuracies.at[i];
    layers_collect(&s);
    if (!limits_settle(&s) || !run_all(&s, &shortfall)) return false;
    const char **before = NEW_ARRAY(m->arena, const char *, s.n_limits);
    for (int i = 0; i < s.n_limits; i++) before[i] = limit_text(&s, &s.limits[i]);
    for (int i = 0; m->verbose && i < s.n_limits; i++) fprintf(stderr, "budget %s\n", before[i]);
    if (shortfall <= 0) return true;
    if (!layers_measure(&s) || !restore(&s, shortfall)) return false;
    Loc loc = s.limits[0].accuracy->loc;
    Report *r = diag_warning(m->diag, loc, KEPT_FLOAT, "some weights stay in float, or the budget would not hold");
    for (int i = 0; i < s.n_limits; i++) diag_fact(r, "%s; now %.6g", before[i], s.limits[i].now);
    layers_say(&s, r, true);
    leave_float(&s, p);
    return true;
}
