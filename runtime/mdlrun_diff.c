/* mdlrun_diff.c -- what changed between two artifacts: what callers see (entries and their shapes), what checkpoints hold, bytes, kernels;
 * and, where both run here, the results of every entry that they share on inputs that are made up. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Side {
    Tool tool;
    const char *path;
    Sizes sizes;
    json_t *meta;
} Side;

static void side_read(Side *s, const char *program, const char *path) {
    tool_init(&s->tool, program);
    s->path = path;
    size_t n;
    char *bytes = tool_file_read(&s->tool, path, &n);
    s->sizes = sizes_of(&s->tool, path, bytes, n, &s->meta);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static bool hash_same(const Side *a, const Side *b, const char *key) {
    const char *x = text_of(a->meta, key);
    return *x && !strcmp(x, text_of(b->meta, key));
}

/* ---- names and shapes ---------------------------------------------------------------------------------------------------- */

static const json_t *named(const json_t *list, const char *name) {
    const json_t *row;
    size_t i;
    json_array_foreach(list, i, row) if (!strcmp(text_of(row, "name"), name)) return row;
    return NULL;
}

/* What a row is, as one line. */
typedef char *RowText(Side *s, const json_t *row);

static char *entry_text(Side *s, const json_t *row) {
    return meta_entry_text(&s->tool, s->meta, row);
}

static char *value_text(Side *s, const json_t *row) {
    return tool_printf(&s->tool, "%s %s: %s", text_of(row, "kind"), text_of(row, "name"), text_of(row, "shape"));
}

/* Rows of a list that differ: "- " what only a has or had, "+ " what b has. Optimizers' values belong to nobody else. */
static void rows_diff(Side *a, Side *b, const char *list, RowText *text) {
    const json_t *in_a = json_object_get(a->meta, list), *in_b = json_object_get(b->meta, list), *row;
    size_t i;
    json_array_foreach(in_a, i, row) {
        const json_t *other = named(in_b, text_of(row, "name"));
        const char *before = text(a, row), *after = other ? text(b, other) : NULL;
        if (json_is_true(json_object_get(row, "optimizer")) || (after && !strcmp(before, after))) continue;
        printf("  - %s\n", before);
        if (after) printf("  + %s\n", after);
    }
    json_array_foreach(in_b, i, row) {
        if (!json_is_true(json_object_get(row, "optimizer")) && !named(in_a, text_of(row, "name"))) printf("  + %s\n", text(b, row));
    }
}

static void bytes_line(const char *name, int64_t before, int64_t after) {
    if (before == after) return;
    printf("  %-12s %10lld -> %10lld  %+lld", name, (long long)before, (long long)after, (long long)(after - before));
    if (before) printf("  %+.1f%%", 100.0 * (double)(after - before) / (double)before);
    putchar('\n');
}

static void bytes_diff(const Side *a, const Side *b) {
    puts("bytes");
    bytes_line(SIZE_LIBRARY, a->sizes.file, b->sizes.file);
    for (int i = 0; i < SIZE_PART_COUNT; i++) bytes_line(size_part_name((SizePart)i), a->sizes.bytes[i], b->sizes.bytes[i]);
    const json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(a->meta, "entries"), i, entry) {
        const json_t *other = named(json_object_get(b->meta, "entries"), text_of(entry, "name"));
        bool most;
        int64_t before = size_arena(entry, &most), after = other ? size_arena(other, &most) : -1;
        if (before >= 0 && after >= 0) bytes_line(text_of(entry, "name"), before, after);
    }
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

static bool kernel_alike(const SizeKernel *x, const SizeKernel *y) {
    return !strcmp(x->name, y->name) && !strcmp(x->path, y->path) && !strcmp(x->source, y->source);
}

static void kernel_print(const char *sign, const SizeKernel *k) {
    printf("  %s %s%s%s%s%s  %lld bytes\n", sign, *k->name ? k->name : k->function, *k->path ? "  " : "", k->path, *k->source ? "  // " : "",
           k->source, (long long)k->bytes);
}

/* Kernels of a that b has none like, one for one. */
static int kernels_only(Tool *t, const Sizes *a, const Sizes *b, const char *sign) {
    bool *taken = tool_alloc(t, (size_t)b->n_kernels + 1);
    int n = 0;
    for (int i = 0; i < a->n_kernels; i++) {
        int k = 0;
        while (k < b->n_kernels && (taken[k] || !kernel_alike(&a->kernels[i], &b->kernels[k]))) k++;
        if (k < b->n_kernels) taken[k] = true;
        else kernel_print(sign, &a->kernels[i]);
        n += k == b->n_kernels;
    }
    return n;
}

/* ---- results ------------------------------------------------------------------------------------------------------------- */

/* Opens a session and calls the entry once on inputs made up by the seed; false: it refused, said why. */
static bool side_call(Side *s, const char *entry, Call *c) {
    Tool *t = &s->tool;
    mdl_close(t->session);
    t->session = NULL;
    t->o.quiet = true;
    t->o.batch = 4;
    model_open(t);
    *c = call_new(t, entry);
    call_make(t, c);
    if (call_try(t, c) == MDL_OK) return true;
    printf("  %s: %s refuses the call: %s\n", entry, s->path, t->model->error(t->session));
    return false;
}

static void result_compare(const char *entry, const char *name, const Array *x, const Array *y) {
    int64_t differ = 0, worst = 0;
    double most = 0, largest = 0;
    for (int64_t i = 0; i < x->count; i++) {
        double u = element_double(x->data, x->dtype, i), v = element_double(y->data, y->dtype, i), d = fabs(u - v);
        bool same = u == v || (isnan(u) && isnan(v));
        if (fabs(u) > largest && isfinite(u)) largest = fabs(u);
        if (same) continue;
        differ++;
        if (!(d <= most)) worst = i;
        if (!(d <= most)) most = d;
    }
    if (!differ) {
        printf("  %s %s: the same\n", entry, name);
        return;
    }
    printf("  %s %s: %lld of %lld differ, at most by %.3g (element %lld: %.9g and %.9g) where the largest is %.3g\n", entry, name,
           (long long)differ, (long long)x->count, most, (long long)worst, element_double(x->data, x->dtype, worst),
           element_double(y->data, y->dtype, worst), largest);
}

static void results_diff(Side *a, Side *b) {
    puts("results on made inputs, initial weights where none are inside");
    model_load(&a->tool, a->path);
    model_load(&b->tool, b->path);
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(a->meta, "entries"), i, row) {
        const char *entry = text_of(row, "name");
        const json_t *other = named(json_object_get(b->meta, "entries"), entry);
        if (!other || strcmp(entry_text(a, row), entry_text(b, other))) continue;
        Call x, y;
        if (!side_call(a, entry, &x) || !side_call(b, entry, &y)) continue;
        for (int k = 0; k < x.entry->n_outputs; k++) result_compare(entry, x.entry->outputs[k].name, &x.outputs[k], &y.outputs[k]);
    }
}

/* Made for the processor that this program runs on: the first words of both targets are of its family. */
static bool runs_here(const Side *s) {
    return tool_suffix(s->path, ".so") && !strncmp(text_of(s->meta, "target"), "x86-64", 6);
}

int mdlrun_diff(const char *program, const char *path_a, const char *path_b) {
    static Side sides[2];
    Side *a = &sides[0], *b = &sides[1];
    side_read(a, program, path_a);
    side_read(b, program, path_b);
    bool same = hash_same(a, b, "interface_hash"), weights = hash_same(a, b, "weights_hash");
    if (hash_same(a, b, "content_hash") && a->sizes.file == b->sizes.file) {
        puts("the same");
        return EXIT_DONE;
    }
    printf("interface: %s\n", same ? "the same" : "changed");
    if (strcmp(text_of(a->meta, "name"), text_of(b->meta, "name")))
        printf("  - model %s\n  + model %s\n", text_of(a->meta, "name"), text_of(b->meta, "name"));
    rows_diff(a, b, "entries", entry_text);
    printf("checkpoints: %s\n", weights ? "fit both" : "do not fit both");
    if (!weights) rows_diff(a, b, "values", value_text);
    bytes_diff(a, b);
    printf("kernels: %d -> %d\n", a->sizes.n_kernels, b->sizes.n_kernels);
    kernels_only(&a->tool, &a->sizes, &b->sizes, "-");
    kernels_only(&b->tool, &b->sizes, &a->sizes, "+");
    if (runs_here(a) && runs_here(b)) results_diff(a, b);
    json_decref(a->meta);
    json_decref(b->meta);
    tool_free(&a->tool);
    tool_free(&b->tool);
    return same ? EXIT_DONE : EXIT_INPUT;
}
