/* mdlrun_call.c -- one call of an entry. Arrays come in; sizes follow from their shapes, or were given as numbers; results are
 * allocated, the entry is called, results are printed and stored. `run` is a row of such calls in one session. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- NAME=TEXT ----------------------------------------------------------------------------------------------------------- */

bool binding_split(Tool *t, const char *argument, Binding *b) {
    const char *equal = strchr(argument, '=');
    if (!equal || equal == argument) return false;
    b->name = tool_copy(t, argument, (size_t)(equal - argument));
    b->text = equal + 1;
    b->optional = false;
    return true;
}

Bindings bindings_split(Tool *t, const char *text) {
    Bindings list = {tool_alloc(t, sizeof(Binding) * (strlen(text) / 2 + 1)), 0};
    for (;;) {
        text += strspn(text, " \t\n");
        size_t n = strcspn(text, " \t\n");
        if (n == 0) return list;
        char *word = tool_copy(t, text, n);
        if (!binding_split(t, word, &list.at[list.n])) tool_fail(t, EXIT_USAGE, "\"%s\" is not NAME=SOURCE", word);
        list.n++;
        text += n;
    }
}

const char *binding_find(const Bindings *b, const char *name) {
    for (int i = 0; i < b->n; i++)
        if (!strcmp(b->at[i].name, name)) return b->at[i].text;
    return NULL;
}

Bindings bindings_merge(Tool *t, int n, char **words, const char *defaults, const char **first) {
    Bindings extra = defaults ? bindings_split(t, defaults) : (Bindings){NULL, 0};
    Bindings list = {tool_alloc(t, sizeof(Binding) * (size_t)(n + extra.n + 1)), 0};
    *first = NULL;
    for (int i = 0; i < n; i++) {
        if (binding_split(t, words[i], &list.at[list.n])) list.n++;
        else if (*first) tool_fail(t, EXIT_USAGE, "\"%s\" is not NAME=SOURCE", words[i]);
        else *first = words[i];
    }
    for (int i = 0; i < extra.n; i++) {
        Binding b = extra.at[i];
        char *end = NULL;
        (void)strtod(b.text, &end);
        bool number = *b.text && !*end;
        if (binding_find(&list, b.name)) continue;
        if (t->o.data && !number && *b.text != '/') b.text = tool_printf(t, "%s/%s", t->o.data, b.text);
        b.optional = true;
        list.at[list.n++] = b;
    }
    return list;
}

/* ---- the call in the making ---------------------------------------------------------------------------------------------- */

Call call_new(Tool *t, const char *entry) {
    Call c = {.index = model_entry_must(t, entry)};
    c.entry = &t->model->entries[c.index];
    if (c.entry->n_sizes > SIZES_MAX) tool_fail(t, EXIT_INPUT, "%s has more than %d sizes", entry, SIZES_MAX);
    for (int i = 0; i < c.entry->n_sizes; i++) c.sizes[i] = -1;
    c.inputs = tool_alloc(t, sizeof(Array) * (size_t)(c.entry->n_inputs + 1));
    c.outputs = tool_alloc(t, sizeof(Array) * (size_t)(c.entry->n_outputs + 1));
    return c;
}

int call_input(const Call *c, const char *name) {
    for (int i = 0; i < c->entry->n_inputs; i++)
        if (!strcmp(c->entry->inputs[i].name, name)) return i;
    return -1;
}

int call_size(const Tool *t, const Call *c, const char *name) {
    for (int i = 0; i < c->entry->n_sizes; i++)
        if (!strcmp(t->model->sizes[c->entry->sizes[i]].name, name)) return i;
    return -1;
}

void call_set_size(Tool *t, Call *c, const char *name, int64_t value, const char *why) {
    int i = call_size(t, c, name);
    const mdl_size *z = &t->model->sizes[c->entry->sizes[i]];
    if (value < z->low || (z->high >= 0 && value > z->high)) {
        if (z->high < 0 || z->high == INT64_MAX)
            tool_fail(t, EXIT_INPUT, "%s: %s = %lld (%s) is less than %lld", c->entry->name, name, (long long)value, why,
                      (long long)z->low);
        tool_fail(t, EXIT_INPUT, "%s: %s = %lld (%s) is not in %lld..%lld", c->entry->name, name, (long long)value, why,
                  (long long)z->low, (long long)z->high);
    }
    if (c->sizes[i] >= 0 && c->sizes[i] != value)
        tool_fail(t, EXIT_INPUT, "%s: %s is %lld, and %lld by %s", c->entry->name, name, (long long)c->sizes[i],
                  (long long)value, why);
    c->sizes[i] = value;
}

/* The position in entry->sizes of a dim MDL_NAMED - k; -1 for other dims. */
static int dim_size(const Call *c, int64_t dim) {
    if (dim > MDL_NAMED) return -1;
    for (int i = 0; i < c->entry->n_sizes; i++)
        if (c->entry->sizes[i] == MDL_NAMED - dim) return i;
    return -1;
}

void call_set_input(Tool *t, Call *c, int i, const Array *a) {
    const mdl_value *v = &c->entry->inputs[i];
    Array in = *a;
    if (in.rank == 0 && v->rank > 0 && v->rank <= RANK_MAX) { /* a number for an array of one element */
        in.rank = v->rank;
        for (int k = 0; k < in.rank; k++) in.shape[k] = 1;
    }
    if (in.rank != v->rank)
        tool_fail(t, EXIT_INPUT, "%s: %s is %s, and the array is %s", c->entry->name, v->name, v->shape,
                  array_shape_text(t, a));
    for (int k = 0; k < in.rank; k++) {
        int size = dim_size(c, v->dims[k]);
        if (size >= 0) {
            call_set_size(t, c, t->model->sizes[c->entry->sizes[size]].name, in.shape[k],
                          tool_printf(t, "axis %d of %s", k, v->name));
        } else if (v->dims[k] >= 0 && v->dims[k] != in.shape[k]) {
            tool_fail(t, EXIT_INPUT, "%s: %s is %s, and the array is %s", c->entry->name, v->name, v->shape,
                      array_shape_text(t, a));
        }
    }
    Array made = array_new(t, v->dtype, in.rank, in.shape);
    int64_t done = array_convert(made.data, v->dtype, in.data, in.dtype, in.count);
    if (done < 0)
        tool_fail(t, EXIT_INPUT, "%s: %s is %s, and the array is %s", c->entry->name, v->name, v->shape,
                  array_shape_text(t, a));
    if (done < in.count)
        tool_fail(t, EXIT_INPUT, "%s: %s is %s, and element %lld, %.17g, does not fit", c->entry->name, v->name, v->shape,
                  (long long)done, element_double(in.data, in.dtype, done));
    c->inputs[i] = made;
}

bool call_shape(Tool *t, const Call *c, const mdl_value *v, int64_t *shape, const char **missing) {
    bool computed = false;
    *missing = NULL;
    if (v->rank > RANK_MAX) tool_fail(t, EXIT_INPUT, "%s: %s has more than %d axes", c->entry->name, v->name, RANK_MAX);
    for (int k = 0; k < v->rank; k++) {
        int size = dim_size(c, v->dims[k]);
        computed = computed || (size < 0 && v->dims[k] < 0);
        shape[k] = size >= 0 ? c->sizes[size] : v->dims[k];
        if (size >= 0 && c->sizes[size] < 0) *missing = t->model->sizes[c->entry->sizes[size]].name;
    }
    for (int i = 0; computed && i < c->entry->n_sizes; i++)
        if (c->sizes[i] < 0) *missing = t->model->sizes[c->entry->sizes[i]].name;
    if (*missing) return false;
    if (computed) tool_check(t, t->model->shape(v, c->sizes, shape), c->entry->name);
    return true;
}

/* What nobody said: sizes with one possible value, and a size called batch by --batch. */
static void sizes_default(Tool *t, Call *c) {
    for (int i = 0; i < c->entry->n_sizes; i++) {
        const mdl_size *z = &t->model->sizes[c->entry->sizes[i]];
        if (c->sizes[i] >= 0) continue;
        if (z->high >= 0 && z->low == z->high) c->sizes[i] = z->low;
        else if (!strcmp(z->name, "batch") && t->o.batch >= 0) call_set_size(t, c, z->name, t->o.batch, "--batch");
        else tool_fail(t, EXIT_USAGE, "%s: the size %s is not known; give %s=NUMBER", c->entry->name, z->name, z->name);
    }
}

static mdl_tensor tensor_of(Array *a) {
    return (mdl_tensor){.data = a->data, .device = {1, 0}, .rank = a->rank, .dtype = a->dtype, .shape = a->shape};
}

int call_try(Tool *t, Call *c) {
    const mdl_entry *e = c->entry;
    for (int i = 0; i < e->n_inputs; i++)
        if (!c->inputs[i].data) tool_fail(t, EXIT_USAGE, "%s needs %s: %s", e->name, e->inputs[i].name, e->inputs[i].shape);
    sizes_default(t, c);
    mdl_tensor *tensors = tool_alloc(t, sizeof *tensors * (size_t)(e->n_inputs + e->n_outputs + 1)),
               *out = tensors + e->n_inputs;
    for (int i = 0; i < e->n_inputs; i++) tensors[i] = tensor_of(&c->inputs[i]);
    for (int i = 0; i < e->n_outputs; i++) {
        int64_t shape[RANK_MAX];
        const char *missing;
        if (!call_shape(t, c, &e->outputs[i], shape, &missing))
            tool_fail(t, EXIT_USAGE, "%s: the size %s is not known; give %s=NUMBER", e->name, missing, missing);
        Array *a = &c->outputs[i];
        bool same = a->data && a->rank == e->outputs[i].rank && !memcmp(a->shape, shape, sizeof *shape * (size_t)a->rank);
        if (!same) {
            tool_release(t, a->data);
            *a = array_new(t, e->outputs[i].dtype, e->outputs[i].rank, shape);
        }
        out[i] = tensor_of(a);
    }
    int code = t->model->call(t->session, c->index, c->sizes, tensors, out);
    tool_release(t, tensors);
    return code;
}

void call_run(Tool *t, Call *c) {
    tool_check(t, call_try(t, c), NULL);
}

/* ---- results ------------------------------------------------------------------------------------------------------------- */

static void element_print(FILE *f, const Array *a, int64_t i) {
    if (a->dtype.code == 6) fputs(a->data[i] ? "true" : "false", f);
    else if (a->dtype.code == 0) fprintf(f, "%lld", (long long)element_int(a->data, a->dtype, i));
    else if (a->dtype.code == 1) fprintf(f, "%llu", (unsigned long long)element_int(a->data, a->dtype, i));
    else {
        double v = element_double(a->data, a->dtype, i);
        if (isnan(v)) fputs("nan", f); /* its sign means nothing and differs between machines */
        else fprintf(f, "%.6g", v);
    }
}

static int64_t nested_print(FILE *f, const Array *a, int axis, int64_t at) {
    if (axis == a->rank) {
        element_print(f, a, at);
        return at + 1;
    }
    fputc('[', f);
    for (int64_t i = 0; i < a->shape[axis]; i++) {
        if (i) fputs(", ", f);
        at = nested_print(f, a, axis + 1, at);
    }
    fputc(']', f);
    return at;
}

void value_print(Tool *t, FILE *f, const char *name, const Array *a) {
    if (a->rank == 0) {
        fprintf(f, "%s = ", name);
        element_print(f, a, 0);
    } else {
        fprintf(f, "%s: %s", name, array_shape_text(t, a));
        if (a->count <= 64) {
            fputs(" = ", f);
            nested_print(f, a, 0, 0);
        }
    }
    fputc('\n', f);
}

/* ---- run ----------------------------------------------------------------------------------------------------------------- */

void call_bind(Tool *t, Call *c, const Bindings *b) {
    Array words = {.lengths = NULL};
    for (int i = 0; i < b->n; i++) {
        if (call_input(c, b->at[i].name) >= 0) continue;
        int64_t value;
        if (call_size(t, c, b->at[i].name) < 0) {
            char *names = tool_printf(t, "%s", "");
            for (int k = 0; k < c->entry->n_inputs; k++)
                names = tool_printf(t, "%s%s%s", names, k ? ", " : "", c->entry->inputs[k].name);
            for (int k = 0; k < c->entry->n_sizes; k++)
                names = tool_printf(t, "%s%s%s", names, *names ? ", " : "", t->model->sizes[c->entry->sizes[k]].name);
            tool_fail(t, EXIT_USAGE, "%s takes no %s; it takes %s", c->entry->name, b->at[i].name, *names ? names : "nothing");
        }
        if (!tool_int(b->at[i].text, &value))
            tool_fail(t, EXIT_USAGE, "%s is a size: give %s=NUMBER", b->at[i].name, b->at[i].name);
        call_set_size(t, c, b->at[i].name, value, "as given");
    }
    for (int i = 0; i < b->n; i++) {
        int input = call_input(c, b->at[i].name);
        if (input < 0) continue;
        Array a;
        if (text_words(t, b->at[i].text, &a)) {
            texts_widen(t, c, &a, &c->entry->inputs[input], "the text");
            words = a;
        } else {
            a = value_read(t, b->at[i].text);
        }
        call_set_input(t, c, input, &a);
    }
    for (int i = 0; words.lengths && i < c->entry->n_inputs; i++) {
        Array a;
        if (!c->inputs[i].data && text_follows(t, &words, c->entry->inputs[i].name, &a)) call_set_input(t, c, i, &a);
    }
}

int command_run(Tool *t, int n, char **words) {
    if (n == 0) tool_fail(t, EXIT_USAGE, "run: which entry?");
    int calls = 1;
    for (int i = 0; i < n; i++) calls += !strcmp(words[i], "then");
    if (t->o.out) tool_folder(t, t->o.out);
    if (!t->pictures && t->o.image) tool_fail(t, EXIT_USAGE, "--image: pictures are drawn by mdlrun alone");
    if (t->o.confusion) tool_fail(t, EXIT_USAGE, "--confusion belongs to eval and train");
    for (int k = 0, at = 0; k < calls; k++, at++) {
        if (at == n || strchr(words[at], '='))
            tool_fail(t, EXIT_USAGE, "run: an entry's name belongs %s", k ? "after then" : "first");
        Call c = call_new(t, words[at++]);
        Bindings b = {tool_alloc(t, sizeof(Binding) * (size_t)(n + 1)), 0};
        for (; at < n && strcmp(words[at], "then") != 0; at++)
            if (!binding_split(t, words[at], &b.at[b.n++])) tool_fail(t, EXIT_USAGE, "\"%s\" is not NAME=VALUE", words[at]);
        call_bind(t, &c, &b);
        if (t->pictures && k + 1 == calls) t->pictures->check(t, &c.entry, 1);
        call_run(t, &c);
        const char *folder = t->o.out && calls > 1 ? tool_printf(t, "%s/%d", t->o.out, k) : t->o.out;
        if (folder) tool_folder(t, folder);
        for (int i = 0; i < c.entry->n_outputs; i++) {
            const char *name = c.entry->outputs[i].name;
            if (!t->o.quiet) value_print(t, stdout, name, &c.outputs[i]);
            if (folder) npy_write(t, tool_printf(t, "%s/%s.npy", folder, name), &c.outputs[i]);
            if (t->pictures && k + 1 == calls) t->pictures->write(t, name, &c.outputs[i], -1);
        }
    }
    if (t->o.save) model_save(t, t->o.save);
    return EXIT_DONE;
}

int mdlrun_run_model(const char *program, const mdl_model *m, int argc, char **argv) {
    Tool t;
    tool_init(&t, program);
    int status = EXIT_DONE;
    if (options_parse(&t, &argc, argv)) {
        t.model = m;
        t.run = m->run ? json_loads(m->run, 0, NULL) : NULL;
        if (!t.o.seed_given) t.o.seed = (uint64_t)run_int(&t, "seed", 0);
        model_open(&t);
        status = command_run(&t, argc, argv);
    }
    tool_free(&t);
    return status;
}
