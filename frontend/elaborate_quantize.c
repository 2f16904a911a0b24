/* elaborate_quantize.c -- `quantize SEL [except SEL] with int8(...);`: which weights are to be stored in fewer bits.
 *
 * Here slots are marked only. What a mark becomes depends on how the weight is used, which the pass quantize knows. */
#include "frontend/elab.h"
#include "frontend/parse.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { GROUP_LEAST = 8, GROUP_MOST = 4096, GROUP_USUAL = 32 };
#define PERCENTILE_USUAL 99.99

static void no_scheme(Elab *el, const Ast *n) __attribute__((noreturn));
static void no_scheme(Elab *el, const Ast *n) {
    fault(el, n, 702, "not a quantization scheme");
    fault_help(el, "there are int8(), int8(group = 64), int4(group = 32), nf4(group = 64) and fp8()");
    fault_throw(el);
}

static void bad_value(Elab *el, const Ast *n, const char *option, const char *what, Value v) __attribute__((noreturn));
static void bad_value(Elab *el, const Ast *n, const char *option, const char *what, Value v) {
    fault(el, n, 305, "`%s` must be %s", option, what);
    if (v.kind == V_STR) fault_label(el, "%s = \"%s\"", option, v.text);
    else fault_label(el, "%s = %s", option, value_text(el, v));
    fault_throw(el);
}

/* ---- options: one reader each -------------------------------------------------------------------------------------------- */

typedef void OptionReader(Elab *el, const Ast *n, Value v, Quant *q);

/* An even number, so that two elements of 4 bits make a byte. */
static void read_group(Elab *el, const Ast *n, Value v, Quant *q) {
    const char *what = arena_printf(el->arena, "an even number from %d to %d", GROUP_LEAST, GROUP_MOST);
    if (v.kind != V_INT || v.whole < GROUP_LEAST || v.whole > GROUP_MOST || v.whole % 2) bad_value(el, n, "group", what, v);
    q->group = (int)v.whole;
}

static void read_per_channel(Elab *el, const Ast *n, Value v, Quant *q) {
    if (v.kind != V_BOOL) bad_value(el, n, "per_channel", "true or false", v);
    q->one_scale = !v.truth;
}

static void read_zero_point(Elab *el, const Ast *n, Value v, Quant *q) {
    if (v.kind != V_BOOL) bad_value(el, n, "zero_point", "true or false", v);
    if (v.truth && q->scheme == QUANT_NF4) {
        fault(el, n, 305, "`nf4` has no zero point");
        fault_help(el, "its 16 values lie to both sides of 0");
        fault_throw(el);
    }
    q->zero_point = v.truth;
}

static void read_activations(Elab *el, const Ast *n, Value v, Quant *q) {
    for (int i = 0; v.kind == V_STR && activation_names[i]; i++) {
        if (strcmp(v.text, activation_names[i]) != 0) continue;
        q->activations = (Activations)i;
        return;
    }
    bad_value(el, n, "activations", "\"float\", \"dynamic\" or \"static\"", v);
}

static void read_method(Elab *el, const Ast *n, Value v, Quant *q) {
    bool known = v.kind == V_STR && (!strcmp(v.text, "gptq") || !strcmp(v.text, "nearest"));
    if (!known) bad_value(el, n, "method", "\"nearest\" or \"gptq\"", v);
    q->gptq = !strcmp(v.text, "gptq");
}

static void read_range(Elab *el, const Ast *n, Value v, Quant *q) {
    q->learned = v.kind == V_STR && !strcmp(v.text, "learned");
    if (q->learned) return;
    for (int i = 0; v.kind == V_STR && range_names[i]; i++) {
        if (strcmp(v.text, range_names[i]) != 0) continue;
        q->range = (RangeMethod)i;
        return;
    }
    bad_value(el, n, "range", "\"minmax\", \"percentile\", \"entropy\" or \"mse\", in a `train` entry \"learned\" too", v);
}

static void read_percentile(Elab *el, const Ast *n, Value v, Quant *q) {
    if ((v.kind != V_INT && v.kind != V_NUM) || number_value(v) <= 50 || number_value(v) > 100)
        bad_value(el, n, "percentile", "a number above 50, at most 100", v);
    q->percentile = number_value(v);
}

static void bad_ranges(Elab *el, const Ast *n, const char *path, const char *why) __attribute__((noreturn));
static void bad_ranges(Elab *el, const Ast *n, const char *path, const char *why) {
    fault(el, n, 715, "\"%s\" cannot be used: %s", path, why);
    fault_help(el, "modelc calibrate MODEL.mdl ENTRY NAME=SOURCE ... -o FILE.json makes such a file");
    fault_throw(el);
}

/* Ranges that another run found: "modelc calibration". */
static void read_ranges(Elab *el, const Ast *n, const char *path) {
    json_error_t error;
    Program *p = el->program;
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &error), *o;
    if (!file && error.line < 0) bad_ranges(el, n, path, arena_printf(el->arena, "%s", error.text));
    if (!file) bad_ranges(el, n, path, arena_printf(el->arena, "line %d: %s", error.line, error.text));
    const char *format = json_string_value(json_object_get(file, "format")), *key;
    json_t *values = json_object_get(file, "values");
    if (!format || strcmp(format, "modelc calibration") || !json_is_object(values))
        bad_ranges(el, n, path, "it is no \"modelc calibration\"");
    json_object_foreach(values, key, o) {
        Observed x = {.path = arena_printf(p->arena, "%s", key)};
        const char *method = json_string_value(json_object_get(o, "method"));
        x.method = arena_printf(p->arena, "%s", method ? method : "given");
        x.lo = json_number_value(json_object_get(o, "lo"));
        x.hi = json_number_value(json_object_get(o, "hi"));
        x.clipped = json_number_value(json_object_get(o, "clipped"));
        bool numbers = json_is_number(json_object_get(o, "lo")) && json_is_number(json_object_get(o, "hi"));
        if (!numbers || !(x.lo <= 0) || !(x.hi >= 0))
            bad_ranges(el, n, path, arena_printf(el->arena, "%s: lo <= 0 <= hi is wanted", key));
        if (!program_observed(p, x.path)) PUSH(p->arena, p->observed, x);
    }
    json_decref(file);
    program_file(p, path);
}

/* A file beside the program, or words for mdlrun, which has paths of its own. */
static void read_calibrate(Elab *el, const Ast *n, Value v, Quant *q) {
    if (v.kind != V_STR || !*v.text) bad_value(el, n, "calibrate", "a file or \"NAME=SOURCE ...\"", v);
    const char *here = n->loc.source->path, *slash = strrchr(here, '/');
    bool as_it_is = strchr(v.text, '=') || v.text[0] == '/' || !slash;
    q->calibrate = as_it_is ? v.text : arena_printf(el->arena, "%.*s/%s", (int)(slash - here), here, v.text);
    const char *dot = strrchr(q->calibrate, '.');
    if (dot && !strcmp(dot, ".json")) read_ranges(el, n, q->calibrate);
    else if (!strchr(q->calibrate, '=')) program_file(el->program, q->calibrate);
}

static void read_samples(Elab *el, const Ast *n, Value v, Quant *q) {
    if (v.kind != V_INT || v.whole < 1) bad_value(el, n, "samples", "a number of samples, at least 1", v);
    q->samples = v.whole;
}

static void read_on(Elab *el, const Ast *n, Value v, Quant *q) {
    for (int i = 0; v.kind == V_STR && i < el->items.n; i++) {
        const Ast *it = el->items.at[i];
        if ((ast_is(it, AST_ENTRY) || ast_is(it, AST_TRAIN)) && !strcmp(it->text, v.text)) q->on = v.text;
    }
    if (!q->on) bad_value(el, n, "on", "the name of an entry, as a string", v);
}

static void read_data(Elab *el, const Ast *n, Value v, Quant *q) {
    if (v.kind != V_STR || !strchr(v.text, '=')) bad_value(el, n, "data", "\"NAME=SOURCE ...\"", v);
    q->data = v.text;
}

static void read_budget(Elab *el, const Ast *n, Value v, Quant *q) {
    if ((v.kind != V_INT && v.kind != V_NUM) || number_value(v) < 0 || number_value(v) >= 1)
        bad_value(el, n, "budget", "the share of a result that may be lost, from 0 to below 1", v);
    q->budget = number_value(v);
}

static const struct Option {
    const char *name;
    OptionReader *read;
} options[] = {
    {"group", read_group},           {"per_channel", read_per_channel}, {"zero_point", read_zero_point},
    {"method", read_method},         {"range", read_range},             {"percentile", read_percentile},
    {"calibrate", read_calibrate},   {"samples", read_samples},         {"on", read_on},
    {"data", read_data},             {"budget", read_budget},           {"activations", read_activations},
};
enum { N_OPTIONS = sizeof options / sizeof *options };

static void read_option(Elab *el, const Ast *x, Env *env, const char *scheme, Quant *q) {
    Names names = {0};
    if (!ast_is(x, AST_NAMED)) no_scheme(el, x);
    for (int k = 0; k < N_OPTIONS; k++) {
        names_push(el, &names, options[k].name);
        if (strcmp(options[k].name, x->text) != 0) continue;
        options[k].read(el, ast_kid(x, 0), ev_const(el, ast_kid(x, 0), env), q);
        return;
    }
    fault(el, x, 303, "`%s` has no option `%s`", scheme, x->text);
    fault_close(el, &names, x->text);
    fault_throw(el);
}

/* Does the program get weights from a file, and so perhaps the ranges that training found? */
static bool loads(const Elab *el) {
    bool found = el->options->load != NULL;
    for (int i = 0; i < el->items.n; i++) found |= ast_is(el->items.at[i], AST_LOAD);
    return found;
}

/* What only makes sense beside another option. */
static void check_options(Elab *el, const Ast *n, const Quant *q, bool in_entry) {
    const char *lacks = NULL;
    if (q->gptq && !q->calibrate) lacks = "`method = \"gptq\"` needs samples: calibrate = \"samples.npz\"";
    if (q->gptq && q->calibrate && !strcmp(strrchr(q->calibrate, '.') ? strrchr(q->calibrate, '.') : "", ".json"))
        lacks = "`method = \"gptq\"` needs the samples themselves, not their ranges";
    if (q->one_scale && (q->group || q->zero_point)) lacks = "`per_channel = false` goes with int8 and fp8 without groups and zero points";
    if (q->scheme == QUANT_FP8 && (q->group || q->zero_point || q->gptq)) lacks = "`fp8` has one scale a channel, no groups, zero points or gptq";
    if (q->gptq && q->scheme == QUANT_NF4) lacks = "`nf4` is rounded to nearest";
    if (q->activations && (q->scheme == QUANT_NF4 || q->scheme == QUANT_FP8)) lacks = "`activations` as codes go with int8 and int4, whose codes are numbers";
    if (q->activations && q->zero_point && !q->group) lacks = "`zero_point` and `activations` go together in groups alone";
    if (q->activations == ACTIVATIONS_STATIC && !q->calibrate && !in_entry && !loads(el))
        lacks = "`activations = \"static\"` needs ranges: calibrate = \"ranges.json\", or samples";
    if (q->activations == ACTIVATIONS_STATIC && (q->group || q->zero_point || q->scheme != QUANT_INT8))
        lacks = "`activations = \"static\"` goes with int8 of one scale a channel";
    if (q->learned && (!in_entry || q->activations != ACTIVATIONS_STATIC))
        lacks = "ranges are learned by the entry that trains: int8(activations = \"static\", range = \"learned\")";
    if (q->budget >= 0 && !q->on) lacks = "`budget` needs the entry that measures: on = \"evaluate\"";
    if (q->budget >= 0 && q->on && !q->data) lacks = "`budget` needs what it is measured on: data = \"x=test.npz:x ...\"";
    if (!lacks) return;
    fault(el, n, 305, "%s", lacks);
    fault_throw(el);
}

static Quant read_scheme(Elab *el, const Ast *n, Env *env, bool in_entry) {
    Quant q = {.percentile = PERCENTILE_USUAL, .budget = -1, .loc = n->loc};
    const char *name = ast_is(n, AST_CALL) && ast_is(ast_kid(n, 0), AST_NAME) ? ast_kid(n, 0)->text : "";
    if (!strcmp(name, "int8")) q.scheme = QUANT_INT8;
    else if (!strcmp(name, "int4")) q.scheme = QUANT_INT4;
    else if (!strcmp(name, "nf4")) q.scheme = QUANT_NF4;
    else if (!strcmp(name, "fp8")) q.scheme = QUANT_FP8;
    else no_scheme(el, n);
    if (q.scheme == QUANT_INT4 || q.scheme == QUANT_NF4) q.group = GROUP_USUAL;
    const Ast *args = ast_kid(n, 1);
    for (int i = 0; i < args->n; i++) read_option(el, ast_kid(args, i), env, name, &q);
    check_options(el, n, &q, in_entry);
    return q;
}

/* The budget of a directive, as a comparison with the first scalar result. */
static void declare_budget(Elab *el, const Quant *q) {
    Accuracy a = {.text = arena_printf(el->program->arena, "budget = %g", q->budget), .add = q->budget, .on = q->on, .data = q->data,
                  .loc = q->loc};
    PUSH(el->program->arena, el->program->accuracies, a);
}

typedef LIST(Slot *) SlotList;

/* The matrices of the selection; biases and scales of norms are next to nothing. */
static void select_matrices(Elab *el, const Ast *it, Env *env, SlotList *slots) {
    WeightList weights = {0};
    select_weights(el, ast_kid(it, 0), env, &weights);
    for (int i = 0; i < weights.n; i++) {
        SlotInfo *s = weight_slot(el, weights.at[i], it);
        if (s->kind == SLOT_PARAM && s->type.type.rank >= 2) PUSH(el->arena, *slots, s->slot);
    }
    if (slots->n) return;
    fault(el, ast_kid(ast_kid(ast_kid(it, 0), 0), 0), 712, "there is no matrix to quantize in this selection");
    fault_help(el, "weights of products and embeddings are quantized; biases and the scales of norms stay as they are");
    fault_throw(el);
}

void ev_quantize(Elab *el, const Ast *it, Env *env) {
    SlotList slots = {0};
    select_matrices(el, it, env, &slots);
    Quant q = read_scheme(el, ast_kid(it, 1), env, false);
    q.loc = it->loc;
    for (int i = 0; i < slots.n; i++) slots.at[i]->quant = q;
    if (q.budget >= 0) declare_budget(el, &q);
}

static const Node *behind_views(const Node *n) {
    while (op_row(n->op)->class == CLASS_VIEW || n->op == OP_CAST) n = n->in[0];
    return n;
}

/* Is what n is made of, by maps that codes may follow and views, a sum or mean of values? Calls hide what they do. */
static bool has_pool(const Node *n, bool *seen) {
    if (seen[n->id] || n->type.dtype != DT_F32) return false;
    seen[n->id] = true;
    switch (n->op) {
    case OP_REDUCE: return n->attrs.fn == REDUCE_SUM && !node_is_statistic(n);
    case OP_CONV: return n->attrs.fn == CONV_Y && n->in[1]->op == OP_CONST;
    case OP_GET:
        if (n->in[0]->op != OP_CALL) return false;
        n = n->in[0];
        break;
    case OP_MUL:
    case OP_DIV:
    case OP_CAST: break;
    default:
        if (!node_follows_codes(n)) return false;
    }
    bool has = false;
    for (int i = 0; i < n->n_in; i++) has = has || has_pool(n->in[i], seen);
    return has;
}

bool stands_behind_pool(const Elab *el, const Graph *g, const Slot *weight) {
    bool has = false;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (int k = 0; k < 2 && (n->op == OP_CONTRACT || (n->op == OP_CONV && n->attrs.fn == CONV_Y)); k++) {
            const Node *w = behind_views(n->in[k]);
            if (w->op == OP_SLOT && w->attrs.index == weight->index) has = has || has_pool(n->in[!k], NEW_ARRAY(el->arena, bool, g->nodes.n));
        }
    }
    return has;
}

void ev_quantize_entry(Elab *el, const EntryQuantize *x) {
    SlotList slots = {0};
    const Ast *scheme = ast_kid(x->st, 1);
    bool kept = false;
    for (int i = 0; i < el->program->entries.n; i++) kept |= el->program->entries.at[i] == x->entry;
    if (!kept) return;
    select_matrices(el, x->st, el->file, &slots);
    Quant q = read_scheme(el, scheme, el->file, true);
    q.loc = x->st->loc;
    if (q.calibrate || q.budget >= 0 || q.activations == ACTIVATIONS_DYNAMIC) {
        fault(el, scheme, 305, "in an entry weights are rounded to nearest, whenever it runs, and ranges are followed by training");
        fault_help(el, "`calibrate`, `budget` and `activations = \"dynamic\"` are options of a `quantize` of the file");
        fault_throw(el);
    }
    for (int i = 0; i < slots.n; i++) {
        PUSH(el->program->arena, x->entry->fakes, ((Fake){slots.at[i], q}));
        if (q.activations != ACTIVATIONS_STATIC) continue;
        slot_range(el, slots.at[i]->path, false, x->st->loc)->stored |= x->entry->train;
        if (stands_behind_pool(el, x->entry->graph, slots.at[i])) slot_range(el, slots.at[i]->path, true, x->st->loc)->stored |= x->entry->train;
    }
}

bool learns_range(Elab *el, const char *weight) {
    for (int i = 0; i < el->quantized.n; i++) {
        const EntryQuantize *x = &el->quantized.at[i];
        WeightList weights = {0};
        if (x->entry != el->running) continue;
        select_weights(el, ast_kid(x->st, 0), el->file, &weights);
        bool there = false;
        for (int k = 0; k < weights.n; k++) there |= !strcmp(weights.at[k]->path, weight);
        if (there && read_scheme(el, ast_kid(x->st, 1), el->file, true).learned) return true;
    }
    return false;
}

static const Observed *loaded_range(const Elab *el, const char *path) {
    for (int i = el->ranges.n - 1; i >= 0; i--) /* the last file wins */
        if (!strcmp(el->ranges.at[i].path, path)) return &el->ranges.at[i];
    return NULL;
}

void load_ranges(Elab *el) {
    for (int i = 0; i < el->slots.n; i++) {
        SlotInfo *s = el->slots.at[i];
        if (!s->range_of || s->data) continue;
        const Observed *o = loaded_range(el, s->range_of);
        if (!o) continue;
        float *data = NEW_ARRAY(el->program->arena, float, 2);
        data[0] = (float)o->lo;
        data[1] = (float)o->hi;
        s->data = data;
    }
}

static void observe_range(Elab *el, const char *path) {
    Program *p = el->program;
    const Observed *o = loaded_range(el, path);
    if (!o || program_observed(p, o->path)) return;
    Observed seen = *o;
    seen.lo = fmin(seen.lo, 0); /* a learned range may have left it */
    seen.hi = fmax(seen.hi, 0);
    if (seen.lo < seen.hi) PUSH(p->arena, p->observed, seen);
}

void observe_ranges(Elab *el) {
    for (int i = 0; i < el->program->slots.n; i++) {
        const Slot *s = el->program->slots.at[i];
        if (s->quant.activations != ACTIVATIONS_STATIC || s->quant.calibrate) continue;
        observe_range(el, observed_path(el->arena, s->path));
        observe_range(el, pooled_path(el->arena, s->path));
    }
}

/* The last colon outside of brackets and parentheses. */
static const char *last_colon(const char *text) {
    const char *found = NULL;
    int depth = 0;
    for (const char *p = text; *p; p++) {
        depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
        if (*p == ':' && depth == 0) found = p;
    }
    return found;
}

static void bad_option(Elab *el, const char *text) {
    Report *r = diag_error(el->diag, (Loc){0}, 702, "--quantize=%s: a selection, a colon and a scheme are wanted", text);
    diag_help(r, "as in --quantize='net except net.head: int8'");
}

const Ast *quantize_option(Elab *el, const char *text) {
    const char *colon = last_colon(text);
    if (!colon) {
        bad_option(el, text);
        return NULL;
    }
    const char *scheme = colon + 1 + strspn(colon + 1, " ");
    char *line = (char *)arena_printf(el->arena, "quantize %.*s with %s%s;\n", (int)(colon - text), text, scheme,
                                      strchr(scheme, '(') ? "" : "()");
    const Source *source = source_memory(el->arena, "--quantize", "--quantize", line, strlen(line), false);
    Ast *file = parse_file(el->arena, source, el->diag);
    const Ast *items = file ? ast_kid(file, 0) : NULL;
    if (!file) return NULL;
    if (items->n == 1 && ast_is(ast_kid(items, 0), AST_QUANTIZE)) return ast_kid(items, 0);
    bad_option(el, text);
    return NULL;
}
