/* measure.c -- calibration: a variant of the program that tells what flows into its layers (passes/observe.c) is run over samples. */
#include "codegen/measure.h"

#include "runtime/observe.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { BAD_OPTION = 305 };

/* ---- one run --------------------------------------------------------------------------------------------------------------- */

static void prepare_observed(void *context, Program *variant) {
    (void)context;
    variant->observe = true;
}

/* What was seen, in the arena of p: the variant goes. */
static void keep(Program *p, const Observation *o, const Observed *told) {
    Observed kept = {.path = arena_printf(p->arena, "%s", o->path), .lo = o->lo, .hi = o->hi, .method = o->method, .clipped = o->clipped, .length = told->length};
    size_t bytes = sizeof(double) * (size_t)(o->length * o->length);
    if (o->gram) kept.gram = memcpy(arena_alloc(p->arena, bytes), o->gram, bytes);
    for (int i = 0; i < p->observed.n; i++)
        if (!strcmp(p->observed.at[i].path, o->path)) return; /* the first product of a shared weight has the sums of all */
    PUSH(p->arena, p->observed, kept);
}

static const Slot *slot_observed(const Program *p, const char *path) {
    for (int i = 0; i < p->slots.n; i++) {
        const char *weight = p->slots.at[i]->path;
        if (!strcmp(observed_path(p->arena, weight), path) || !strcmp(pooled_path(p->arena, weight), path)) return p->slots.at[i];
    }
    return NULL;
}

bool measure_observe(const Measure *m, Program *p, const char *who, int n_words, char **words, int64_t samples) {
    Program *variant;
    const mdl_model *model = m->compile(m->compiler, words[0], prepare_observed, NULL, &variant);
    if (!model) return false;
    int n = variant->observed.n;
    if (n == 0) {
        m->release(m->compiler);
        fprintf(stderr, "%s: no product with a marked weight is in `%s`\n", who, words[0]);
        return false;
    }
    Observation *at = NEW_ARRAY(m->arena, Observation, n);
    for (int i = 0; i < n; i++) {
        const Observed *told = &variant->observed.at[i];
        at[i] = (Observation){.path = told->path, .method = told->method, .length = told->length};
        at[i].percentile = slot_observed(variant, told->path)->quant.percentile;
    }
    int64_t seen = mdlrun_observe(who, model, n_words, words, samples, n, at);
    if (m->verbose) fprintf(stderr, "%s: %lld samples through `%s`\n", who, (long long)seen, words[0]);
    for (int i = 0; i < n; i++) {
        keep(p, &at[i], &variant->observed.at[i]);
        free(at[i].bins);
        free(at[i].gram);
    }
    m->release(m->compiler);
    return true;
}

/* ---- what the directives ask for ------------------------------------------------------------------------------------------- */

static bool has_suffix(const char *text, const char *suffix) {
    size_t n = strlen(text), k = strlen(suffix);
    return n > k && !strcmp(text + n - k, suffix);
}

static bool reads_slot(const Graph *g, int slot) {
    for (int i = 0; i < g->nodes.n; i++)
        if (g->nodes.at[i]->op == OP_SLOT && g->nodes.at[i]->attrs.index == slot) return true;
    return false;
}

/* The entry that samples go through: `on`, else the first that reads the weight and trains nothing; NULL: none does. */
static const Entry *entry_for(const Program *p, const Slot *s) {
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        if (s->quant.on ? !strcmp(e->name, s->quant.on) : !e->train && reads_slot(e->graph, s->index)) return e;
    }
    return NULL;
}

MeasureWords measure_words(Arena *arena, const char *entry, const char *text) {
    MeasureWords words = {0};
    for (const char *at = text; *(at += strspn(at, " "));) {
        size_t n = strcspn(at, " ");
        char *word = (char *)arena_copy(arena, at, n);
        if (!words.n && (strchr(word, '=') || word[0] == '-')) PUSH(arena, words, (char *)arena_printf(arena, "%s", entry));
        PUSH(arena, words, word);
        at += n;
    }
    return words;
}

/* "c.npz" → predict x=c.npz:x y=c.npz:y; "x=a.npy" → predict x=a.npy; "predict x=a.npy" → the same. */
static MeasureWords words_of(const Measure *m, const Entry *e, const char *text) {
    MeasureWords words = {0};
    if (strchr(text, '=')) return measure_words(m->arena, e->name, text);
    PUSH(m->arena, words, (char *)arena_printf(m->arena, "%s", e->name));
    for (int i = 0; i < e->n_inputs; i++)
        PUSH(m->arena, words, (char *)arena_printf(m->arena, "%s=%s:%s", e->inputs[i].name, text, e->inputs[i].name));
    return words;
}

static bool calibrate_slot(const Measure *m, Program *p, const Slot *s) {
    int line, column;
    Loc loc = s->quant.loc;
    loc_line_column(loc, &line, &column);
    const char *who = arena_printf(m->arena, "%s:%d:%d: calibrate", loc.source->name, line, column);
    const Entry *e = entry_for(p, s);
    if (!e) {
        Report *r = diag_error(m->diag, loc, BAD_OPTION, "no entry reads `%s` without training it, so no samples can be seen", s->path);
        diag_help(r, "name the entry: on = \"predict\"");
        return false;
    }
    if (!strchr(s->quant.calibrate, '=') && !has_suffix(s->quant.calibrate, ".npz") && !has_suffix(s->quant.calibrate, ".safetensors")) {
        diag_error(m->diag, loc, BAD_OPTION, "\"%s\" is neither FILE.npz, FILE.safetensors, FILE.json nor \"NAME=SOURCE ...\"",
                   s->quant.calibrate);
        return false;
    }
    MeasureWords words = words_of(m, e, s->quant.calibrate);
    return measure_observe(m, p, who, words.n, words.at, s->quant.samples);
}

/* Was a run over the same samples made for another weight already? */
static bool same_run(const Quant *a, const Quant *b) {
    bool on = a->on && b->on ? !strcmp(a->on, b->on) : a->on == b->on;
    return b->calibrate && on && !strcmp(a->calibrate, b->calibrate) && a->samples == b->samples;
}

bool measure_calibrate(const Measure *m, Program *p) {
    for (int i = 0; i < p->slots.n; i++) {
        const Slot *s = p->slots.at[i];
        if (!s->quant.calibrate || has_suffix(s->quant.calibrate, ".json")) continue;
        bool done = program_observed(p, observed_path(p->arena, s->path));
        for (int k = 0; k < i && !done; k++) done = same_run(&s->quant, &p->slots.at[k]->quant);
        if (!done && !calibrate_slot(m, p, s)) return false;
    }
    return true;
}

char *measure_json(const Program *p) {
    json_t *values = json_object(), *all = json_object();
    for (int i = 0; i < p->observed.n; i++) {
        const Observed *o = &p->observed.at[i];
        json_t *row = json_pack("{s:f, s:f, s:s, s:f}", "lo", o->lo, "hi", o->hi, "method", o->method, "clipped", o->clipped);
        json_object_set_new(values, o->path, row);
    }
    json_object_set_new(all, "format", json_string("modelc calibration"));
    json_object_set_new(all, "values", values);
    char *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(all);
    if (!text) bug("no memory for JSON");
    return text;
}
