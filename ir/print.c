/* print.c -- graphs and programs as text; parse.c reads it back, and printing that gives the same bytes.
 *
 *   program mlp
 *   size batch in 1..64
 *   slot net.0.weight param f32[16, 8]
 *   train step[batch](x: f32[batch, 8]) -> (loss: f32[])
 *     %x: f32[batch, 8] = input 0 x
 *     %1: f32[16, 8] = slot net.0.weight
 *     %2: f32[batch, 16] = contract %x[m k], %1[n k] -> [m n]   // net.0 mlp.mdl:10
 *     ...
 *     store net.0.weight = %9
 *     results loss = %loss
 *
 * A value is called by the user's name where that is free, else by its number. A body stands in braces after its node. */
#include "ir/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const reduce_names[] = {"sum", "var", "max", "min", "any", "all", "argmax", "argmin", NULL};
const char *const conv_names[] = {"y", "x", "w", NULL};
const char *const random_names[] = {"uniform", "normal", "bernoulli", "randint", NULL};
const char *const quant_names[] = {"int8", "int4", "nf4", "fp8", NULL}; /* of QuantScheme, from QUANT_INT8 */
const char *const range_names[] = {"minmax", "percentile", "entropy", "mse", NULL};
const char *const activation_names[] = {"float", "dynamic", "static", NULL};
const char *const slot_kind_names[] = {"param", "state", "cache", NULL};

/* ---- small things -------------------------------------------------------------------------------------------------------- */

static void print_type(FILE *f, const Type *t) {
    fprintf(f, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) {
        if (i) fputs(", ", f);
        size_print(f, t->dim[i]);
    }
    fputc(']', f);
}

/* The shortest decimal that reads back as x, when it is rounded to d. */
static void print_double(FILE *f, DType d, double x) {
    char text[40];
    if (isnan(x) || isinf(x)) {
        fputs(isnan(x) ? "nan" : x < 0 ? "-inf" : "inf", f);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (round_float(d, strtod(text, NULL)) == x) break;
    }
    fputs(text, f);
    if (!strpbrk(text, ".e")) fputs(".0", f);
}

static void print_number(FILE *f, const Attrs *a, DType d) {
    if (dtype_is_float(d)) print_double(f, DT_F64, a->number);
    else if (d == DT_BOOL) fputs(a->whole ? "true" : "false", f);
    else fprintf(f, "%" PRId64, a->whole);
}

static void print_string(FILE *f, const char *s) {
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c == '\n') fputs("\\n", f);
        else if (c < ' ' || c == 127) fprintf(f, "\\x%02x", c);
        else fputc(c, f);
    }
    fputc('"', f);
}

static void print_hex(FILE *f, const void *data, size_t bytes) {
    const unsigned char *p = data;
    fputs("0x", f);
    for (size_t i = 0; i < bytes; i++) fprintf(f, "%02x", p[i]);
}

/* "   // path file:line"; a path of its own is "-" where the file's name has a space. */
static void print_place(FILE *f, const char *path, Loc loc) {
    if (!path && !loc.source) return;
    fputs("   //", f);
    if (path) fprintf(f, " %s", path);
    else if (strchr(loc.source->name, ' ')) fputs(" -", f);
    if (loc.source) {
        int line, column;
        loc_line_column(loc, &line, &column);
        fprintf(f, " %s:%d", loc.source->name, line);
    }
}

/* ---- names of values ----------------------------------------------------------------------------------------------------- */

static bool name_fits(const char *name) {
    if (!name || !(isalpha((unsigned char)*name) || *name == '_')) return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '.') return false;
    return true;
}

static int compare_names(const void *a, const void *b) {
    const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
    int c = strcmp(x->name, y->name);
    return c ? c : x->id - y->id;
}

/* names[id]: the user's name if this node is the first to have it, else NULL. */
static const char **value_names(Arena *a, const Graph *g) {
    const char **names = NEW_ARRAY(a, const char *, g->nodes.n);
    Node **named = NEW_ARRAY(a, Node *, g->nodes.n);
    int n = 0;
    for (int k = 0; k < g->nodes.n; k++)
        if (name_fits(g->nodes.at[k]->name)) named[n++] = g->nodes.at[k];
    if (n) qsort(named, (size_t)n, sizeof *named, compare_names);
    for (int k = 0; k < n; k++)
        if (k == 0 || strcmp(named[k]->name, named[k - 1]->name) != 0) names[named[k]->id] = named[k]->name;
    return names;
}

static void print_value(FILE *f, const char **names, const Node *n) {
    if (names[n->id]) fprintf(f, "%%%s", names[n->id]);
    else fprintf(f, "%%%d", n->id);
}

/* ---- one node ------------------------------------------------------------------------------------------------------------ */

static void print_results_type(FILE *f, const Node *n) {
    fputc('(', f);
    for (int k = 0; k < node_results(n); k++) {
        Type t;
        if (k) fputs(", ", f);
        if (n->op == OP_CUSTOM || n->op == OP_GRAD) t = n->in[n->op == OP_GRAD ? k + 1 : k]->type;
        else t = n->attrs.body->results.at[k].value->type;
        if (n->op == OP_SCAN && k >= n->attrs.counts[1]) {
            fprintf(f, "%s[", dtype_name(t.dtype));
            size_print(f, n->attrs.extent);
            for (int i = 0; i < t.rank; i++) {
                fputs(", ", f);
                size_print(f, t.dim[i]);
            }
            fputc(']', f);
        } else {
            print_type(f, &t);
        }
    }
    fputc(')', f);
}

static void print_letters(FILE *f, const char *labels) {
    fputc('[', f);
    for (int i = 0; labels[i]; i++) fprintf(f, "%s%c", i ? " " : "", labels[i]);
    fputc(']', f);
}

static void print_tensor(FILE *f, const Node *n) {
    int64_t dim[MAX_RANK], count = 1;
    for (int i = 0; i < n->type.rank; i++) count *= dim[i] = size_value(n->type.dim[i]);
    if (count > TEXT_NUMBERS) {
        fputc(' ', f);
        print_hex(f, n->attrs.data, (size_t)type_fixed_bytes(&n->type));
        return;
    }
    Arena *room = arena_new();
    const Tensor *t = tensor_from_bytes(room, n->type.dtype, n->type.rank, dim, n->attrs.data);
    fputs(" [", f);
    for (int64_t k = 0; k < count; k++) {
        if (k) fputs(", ", f);
        if (t->f) print_double(f, t->dtype, t->f[k]);
        else if (t->dtype == DT_BOOL) fputs(t->i[k] ? "true" : "false", f);
        else fprintf(f, "%" PRId64, t->i[k]);
    }
    fputc(']', f);
    arena_free(room);
}

/* What stands between the op's name and the operands. */
static void print_before(FILE *f, const Node *n) {
    const Attrs *a = &n->attrs;
    switch (n->op) {
    case OP_INPUT: fprintf(f, " %d %s", a->index, a->name ? a->name : "?"); break;
    case OP_SLOT: fprintf(f, " %s", n->graph->program->slots.at[a->index]->path); break;
    case OP_ARG: fprintf(f, " %d", a->index); break;
    case OP_CALL:
        fputc(' ', f);
        print_string(f, a->name ? a->name : "");
        break;
    case OP_REDUCE: fprintf(f, " %s", reduce_names[a->fn]); break;
    case OP_RANDOM: fprintf(f, " %s", random_names[a->fn]); break;
    case OP_CONV: fprintf(f, " %s", conv_names[a->fn]); break;
    case OP_CONST:
        fputc(' ', f);
        print_number(f, a, n->type.dtype);
        break;
    case OP_TENSOR: print_tensor(f, n); break;
    default: break;
    }
}

static void print_ranges(FILE *f, const Node *n) {
    fputs(" [", f);
    for (int i = 0; i < n->type.rank; i++) {
        if (i) fputs(", ", f);
        size_print(f, n->attrs.lo[i]);
        fputc(':', f);
        size_print(f, n->attrs.hi[i]);
    }
    fputc(']', f);
}

/* What follows the operands. */
static void print_after(FILE *f, const Node *n) {
    const Attrs *a = &n->attrs;
    unsigned has = op_row(n->op)->attrs;
    if (has & A_RANGE) print_ranges(f, n);
    if (has & A_AXES) {
        fputs(" [", f);
        for (int i = 0; i < a->n_axes; i++) fprintf(f, "%s%d", i ? ", " : "", a->axes[i]);
        fputc(']', f);
    }
    if (n->op == OP_PAD) {
        fputs(" value ", f);
        print_number(f, a, n->type.dtype);
    }
    if (n->op == OP_GET) fprintf(f, " %d", a->index);
    if (has & A_AXIS) fprintf(f, " axis %d", a->axis);
    if (has & A_SITE) fprintf(f, " site %" PRIu32, a->site);
    if (has & A_SITE && a->step) fprintf(f, " step %" PRIu64, a->step);
    if (n->op == OP_CUSTOM && a->counts[0]) fprintf(f, " values %d", a->counts[0] + 1);
    if (n->op == OP_SCAN) {
        fprintf(f, " counts %d %d %d %d%s", a->counts[0], a->counts[1], a->counts[2], a->counts[3], a->counts[4] ? " stop" : "");
    }
    if (has & A_WINDOW) {
        const Window *w = &a->window;
        fprintf(f, " taps %d %d stride %d %d dilation %d %d before %d %d groups %d", w->taps[0], w->taps[1], w->stride[0],
                w->stride[1], w->dilation[0], w->dilation[1], w->before[0], w->before[1], w->groups);
    }
    if (has & A_FLAG && a->flag) fputs(" flag", f);
    if (n->recompute) fprintf(f, " recompute %d%s", n->recompute, n->kept ? " kept" : "");
    if (has & A_EXTENT) {
        fputs(n->op == OP_SIZE ? " " : " extent ", f);
        size_print(f, a->extent);
    }
}

static void print_lines(FILE *f, const Graph *g, const char *indent);

static void print_node(FILE *f, const char **names, const Node *n, const char *indent) {
    fputs(indent, f);
    print_value(f, names, n);
    fputs(": ", f);
    if (n->type.rank < 0) print_results_type(f, n);
    else print_type(f, &n->type);
    fprintf(f, " = %s", op_row(n->op)->name);
    print_before(f, n);
    for (int k = 0; k < n->n_in; k++) {
        fputs(k ? ", " : " ", f);
        print_value(f, names, n->in[k]);
        if (n->op == OP_CONTRACT) print_letters(f, n->attrs.labels[k]);
    }
    if (n->op == OP_CONTRACT) {
        fputs(" -> ", f);
        print_letters(f, n->attrs.labels[2]);
    }
    print_after(f, n);
    const Graph *body = op_row(n->op)->attrs & A_BODY ? n->attrs.body : NULL;
    if (body) fputs(" {", f);
    print_place(f, n->path, n->loc);
    fputc('\n', f);
    if (!body) return;
    char *deeper = malloc(strlen(indent) + 3);
    if (!deeper) bug("no memory");
    sprintf(deeper, "%s  ", indent);
    print_lines(f, body, deeper);
    free(deeper);
    fprintf(f, "%s}\n", indent);
}

/* ---- effects, results, whole graphs -------------------------------------------------------------------------------------- */

static void print_effect(FILE *f, const Graph *g, const char **names, const Effect *e) {
    switch (e->kind) {
    case EFFECT_STORE:
        fprintf(f, "store %s = ", g->program->slots.at[e->index]->path);
        print_value(f, names, e->value);
        break;
    case EFFECT_RESET: fprintf(f, "reset %s", g->program->slots.at[e->index]->path); break;
    case EFFECT_CHECK:
    case EFFECT_RANGE:
    case EFFECT_PRINT:
        fputs(e->kind == EFFECT_CHECK ? "check" : e->kind == EFFECT_RANGE ? "range" : "print", f);
        if (e->value) fputc(' ', f);
        if (e->value) print_value(f, names, e->value);
        if (e->text) fputc(' ', f);
        if (e->text) print_string(f, e->text);
        if (e->kind == EFFECT_RANGE) {
            fputs(" [", f);
            size_print(f, e->lo);
            fputc(':', f);
            size_print(f, e->hi);
            fputc(']', f);
        }
        break;
    }
    print_place(f, NULL, e->loc);
    fputc('\n', f);
}

static void print_lines(FILE *f, const Graph *g, const char *indent) {
    Arena *room = arena_new();
    const char **names = value_names(room, g);
    for (int k = 0; k < g->nodes.n; k++) print_node(f, names, g->nodes.at[k], indent);
    for (int k = 0; k < g->effects.n; k++) {
        fputs(indent, f);
        print_effect(f, g, names, &g->effects.at[k]);
    }
    if (g->results.n) {
        fprintf(f, "%sresults", indent);
        for (int k = 0; k < g->results.n; k++) {
            fputs(k ? ", " : " ", f);
            if (g->results.at[k].name) fprintf(f, "%s = ", g->results.at[k].name);
            print_value(f, names, g->results.at[k].value);
        }
        fputc('\n', f);
    }
    arena_free(room);
}

void graph_print(FILE *f, const Graph *g, const char *header_indent) { print_lines(f, g, header_indent ? header_indent : ""); }

/* ---- programs ------------------------------------------------------------------------------------------------------------ */

/* A size's name; "@index" behind it if an earlier one prints alike. */
static void print_size_name(FILE *f, const SizeTable *t, const SizeName *name) {
    fputs(name->name, f);
    for (int k = 0; k < name->index; k++) {
        if (strcmp(size_name_at(t, k)->name, name->name) != 0) continue;
        fprintf(f, "@%d", name->index);
        return;
    }
}

static void print_quant(FILE *f, const Quant *q) {
    if (q->scheme) fprintf(f, " %s group %d", quant_names[q->scheme - 1], q->group);
    if (q->one_scale) fputs(" one_scale", f);
    if (q->zero_point) fputs(" zero_point", f);
    if (q->gptq) fputs(" gptq", f);
    if (q->activations) fprintf(f, " %s", activation_names[q->activations]);
}

static void print_slot(FILE *f, const Slot *s) {
    fprintf(f, "slot %s %s ", s->path, slot_kind_names[s->kind]);
    print_type(f, &s->type);
    if (s->optimizer) fputs(" optimizer", f);
    if (s->frozen) fputs(" frozen", f);
    if (s->quant.scheme) fputs(" quantize", f);
    print_quant(f, &s->quant);
    if (s->data) {
        size_t bytes = (size_t)type_fixed_bytes(&s->type);
        fputs(" data ", f);
        if (bytes <= TEXT_DATA) print_hex(f, s->data, bytes);
        else fprintf(f, "(%zu bytes)", bytes);
    }
    print_place(f, NULL, s->loc);
    fputc('\n', f);
}

static void print_entry(FILE *f, const Program *p, const Entry *e) {
    fprintf(f, "%s %s", e->train ? "train" : "entry", e->name);
    for (int k = 0; k < e->n_sizes; k++) {
        fputs(k ? ", " : "[", f);
        print_size_name(f, p->sizes, e->sizes[k]);
    }
    if (e->n_sizes) fputc(']', f);
    fputc('(', f);
    for (int k = 0; k < e->n_inputs; k++) {
        fprintf(f, "%s%s: ", k ? ", " : "", e->inputs[k].name);
        print_type(f, &e->inputs[k].type);
    }
    fputs(") -> (", f);
    for (int k = 0; k < e->graph->results.n; k++) {
        const Result *r = &e->graph->results.at[k];
        fprintf(f, "%s%s: ", k ? ", " : "", r->name ? r->name : "?");
        print_type(f, &r->value->type);
    }
    fputc(')', f);
    if (e->draws) fprintf(f, " draws %" PRIu32, e->draws);
    if (e->symbol) fputs(" export ", f);
    if (e->symbol) print_string(f, e->symbol);
    for (int k = 0; k < e->fakes.n; k++) {
        fprintf(f, " fake %s", e->fakes.at[k].slot->path);
        print_quant(f, &e->fakes.at[k].quant);
    }
    print_place(f, NULL, e->loc);
    fputc('\n', f);
    print_lines(f, e->graph, "  ");
}

void program_print(FILE *f, const Program *p) {
    fprintf(f, "program %s\n", p->name ? p->name : "model");
    if (p->source_path) {
        fputs("source ", f);
        print_string(f, p->source_path);
        fputc('\n', f);
    }
    if (p->target) {
        fputs("target ", f);
        print_string(f, p->target);
        fputc('\n', f);
    }
    if (p->run_json) {
        fputs("run ", f);
        print_string(f, p->run_json);
        fputc('\n', f);
    }
    if (p->tf32) fputs("products tf32\n", f);
    for (int k = 0; k < size_names(p->sizes); k++) {
        const SizeName *s = size_name_at(p->sizes, k);
        fprintf(f, "size %s in %" PRId64 "..", s->name, s->low);
        if (s->high != SIZE_NO_LIMIT) fprintf(f, "%" PRId64, s->high);
        fputc('\n', f);
    }
    for (int k = 0; k < p->slots.n; k++) print_slot(f, p->slots.at[k]);
    if (p->init) {
        fputs("init\n", f);
        print_lines(f, p->init, "  ");
    }
    for (int k = 0; k < p->entries.n; k++) print_entry(f, p, p->entries.at[k]);
}
