/* mdlrun_data.c -- the data of an entry. Each input is fed by a source:
 *
 *   samples   axis 0 counts them; a sample is converted, and reshaped where it has as many elements in another shape
 *   stream    one axis, given to an input of two axes [b, n]: cut into windows of n
 *   number    the same scalar in every call (value_read)
 *   texts     rows of different length, bytes or tokens, padded to the longest or to the input's fixed length; inputs called
 *             lengths and mask are filled from them where no source is given. An entry with such an input knows where rows end,
 *             so each batch is only as wide as its own longest row, unless a result has that width
 *
 * All samples sources have equally many samples; streams are as long as each other. Order in training: the samples of epoch e
 * are shuffled by Fisher and Yates with random numbers philox_word(seed, "mdlrun.shuffle", e, i); window r of step s begins at
 * philox_word(seed, "mdlrun.window", s, r) modulo the possible places (two words, 64 bits). So every batch is a function of
 * seed, epoch and step alone, and a resumed training sees what it would have seen. */
#include "runtime/mdlrun_data.h"
#include "runtime/mdlrun_token.h"

#include <stdlib.h>
#include <string.h>

Call *data_call(Data *d) {
    return &d->call;
}
int64_t data_tokens(const Data *d) {
    return d->window;
}
int64_t data_batch(const Data *d) {
    return d->batch;
}

int data_size_of_dim(const Call *c, const mdl_value *v, int k) {
    for (int i = 0; i < c->entry->n_sizes; i++)
        if (v->dims[k] == MDL_NAMED - c->entry->sizes[i]) return i;
    return -1;
}

/* The window of a stream's input [b, n]: fixed by the program, given as a number, in run { }, or the largest that n may be. */
static int64_t window_of(Tool *t, Data *d, const mdl_value *v) {
    if (v->dims[1] >= 0) return v->dims[1];
    int k = data_size_of_dim(&d->call, v, 1);
    if (k < 0)
        tool_fail(t, EXIT_INPUT, "%s: the window of %s: %s follows from no size of the entry", d->call.entry->name, v->name,
                  v->shape);
    if (d->call.sizes[k] >= 0) return d->call.sizes[k];
    const mdl_size *z = &t->model->sizes[d->call.entry->sizes[k]];
    int64_t wanted = run_int(t, z->name, z->high == INT64_MAX ? -1 : z->high);
    if (wanted < 0)
        tool_fail(t, EXIT_USAGE, "%s: how long are the windows of %s? Give %s=NUMBER", d->call.entry->name, v->name, z->name);
    call_set_size(t, &d->call, z->name, wanted, "run { }");
    return wanted;
}

/* Elements a sample of input v wants, where all its dims but the first are known; -1 otherwise. */
static int64_t sample_wanted(Data *d, const mdl_value *v) {
    int64_t count = 1;
    for (int k = 1; k < v->rank; k++) {
        int size = data_size_of_dim(&d->call, v, k);
        int64_t dim = size >= 0 ? d->call.sizes[size] : v->dims[k];
        if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) return -1;
    }
    return count;
}

void texts_widen(Tool *t, const Call *c, Array *rows, const mdl_value *v, const char *text) {
    const char *entry = c->entry->name;
    const Tokenizer *k = rows->tokens;
    if (v->rank != 2 || v->dtype.code > 1) /* no place for text: a column of numbers was meant */
        tool_fail(t, EXIT_INPUT, "%s: %s is %s, and %s", entry, v->name, v->shape, rows->strange);
    if (k) tokens_fit(t, k, entry, v);
    int size = data_size_of_dim(c, v, 1);
    const mdl_size *z = size >= 0 ? &t->model->sizes[c->entry->sizes[size]] : NULL;
    int64_t longest = rows->shape[1], width = v->dims[1] >= 0 ? v->dims[1] : z ? c->sizes[size] : -1;
    int64_t room = width >= 0 ? width : z && z->high >= 0 ? z->high : INT64_MAX;
    bool by_file = k && k->most >= 0 && k->most < room && k->most < longest;
    if (by_file) room = k->most;
    if (longest > room && !t->o.truncate && by_file)
        tool_fail(t, EXIT_INPUT, "%s allows %lld tokens (truncation.max_length), and a row of %s has %lld: --truncate cuts it",
                  k->path, (long long)room, text, (long long)longest);
    if (longest > room && !t->o.truncate)
        tool_fail(t, EXIT_INPUT, "%s: %s is %s, and a row of %s has %lld %s: --truncate cuts it", entry, v->name, v->shape,
                  text, (long long)longest, k ? "tokens" : "bytes");
    int64_t marks = k ? k->after.n : 0, size_of_one = element_size(rows->dtype);
    if (longest > room && k && room < k->before.n + marks)
        tool_fail(t, EXIT_INPUT, "%s: %s is %s: rows of %lld have no room for the marks of %s", entry, v->name, v->shape,
                  (long long)room, k->path);
    if (width < 0) width = longest < room ? longest : room;
    if (z && width < z->low) width = z->low;
    int64_t shape[2] = {rows->shape[0], width};
    Array wide = array_new(t, rows->dtype, 2, shape);
    wide.tokens = k;
    wide.strange = rows->strange;
    wide.lengths = tool_alloc(t, sizeof *wide.lengths * (size_t)(shape[0] + 1));
    for (int64_t i = 0; i < shape[0]; i++) {
        int64_t n = rows->lengths[i];
        char *row = rows->data + i * longest * size_of_one;
        if (n > room) { /* the marks move up */
            memmove(row + (room - marks) * size_of_one, row + (n - marks) * size_of_one, (size_t)(marks * size_of_one));
            n = room;
        }
        text_row_set(&wide, i, row, n);
    }
    *rows = wide;
}

static void feed_samples(Tool *t, Data *d, Feed *f, const mdl_value *v, const char *text) {
    const char *entry = d->call.entry->name;
    if (f->a.shape[0] == 0) tool_fail(t, EXIT_INPUT, "%s has no samples", text);
    if (f->a.lengths) texts_widen(t, &d->call, &f->a, v, text);
    f->sample = f->a.count / f->a.shape[0];
    if (v->rank == 0) tool_fail(t, EXIT_INPUT, "%s: %s is one number a call, and %s has samples", entry, v->name, text);
    if (d->samples >= 0 && d->samples != f->a.shape[0])
        tool_fail(t, EXIT_INPUT, "%s has %lld samples, other data %lld", text, (long long)f->a.shape[0], (long long)d->samples);
    d->samples = f->a.shape[0];
    if (f->a.rank == v->rank) { /* sizes of a sample's own axes follow from the file */
        for (int k = 1; k < v->rank; k++) {
            int size = data_size_of_dim(&d->call, v, k);
            if (size >= 0) call_set_size(t, &d->call, t->model->sizes[d->call.entry->sizes[size]].name, f->a.shape[k], text);
        }
    }
    int64_t wanted = sample_wanted(d, v);
    if (wanted != f->sample)
        tool_fail(t, EXIT_INPUT, "%s: %s is %s, and %s has %s", entry, v->name, v->shape, text, array_shape_text(t, &f->a));
}

/* The batch: as asked for, limited by the program. Sets d->batch and d->fixed. */
static void batch_settle(Tool *t, Data *d, int64_t asked) {
    bool given = asked >= 0;
    if (!given) asked = run_int(t, "batch", -1);
    int64_t fallback = asked >= 0 ? asked : 32;
    d->batch = -1;
    for (int i = 0; i < d->n_feeds; i++) {
        const Feed *f = &d->feeds[i];
        const mdl_value *v = &d->call.entry->inputs[f->input];
        if (f->constant) continue;
        int64_t fixed = v->dims[0] >= 0 ? v->dims[0] : -1;
        int size = data_size_of_dim(&d->call, v, 0);
        if (fixed < 0 && size < 0)
            tool_fail(t, EXIT_INPUT, "%s: the first axis of %s: %s is no plain size", d->call.entry->name, v->name, v->shape);
        const mdl_size *z = size >= 0 ? &t->model->sizes[d->call.entry->sizes[size]] : NULL;
        if (z && d->call.sizes[size] >= 0) fixed = d->call.sizes[size];
        if (z && z->high >= 0 && z->low == z->high) fixed = z->low;
        if (fixed < 0 && z && !given && z->high >= 0 && fallback > z->high) fallback = z->high;
        if (fixed < 0 && z && !given && fallback < z->low) fallback = z->low;
        if (fixed < 0 && z && (fallback < z->low || (z->high >= 0 && fallback > z->high)))
            tool_fail(t, EXIT_INPUT, "%s: a batch of %lld: %s is in %lld..%lld", d->call.entry->name, (long long)fallback,
                      z->name, (long long)z->low, (long long)z->high);
        if (fixed >= 0) d->fixed = true;
        int64_t batch = fixed >= 0 ? fixed : fallback;
        if (given && fixed >= 0 && asked != fixed)
            tool_fail(t, EXIT_INPUT, "%s: a batch of %lld, but the program fixes %lld", d->call.entry->name, (long long)asked,
                      (long long)fixed);
        if (d->batch >= 0 && d->batch != batch)
            tool_fail(t, EXIT_INPUT, "%s: the inputs have different first axes", d->call.entry->name);
        d->batch = batch;
    }
    if (d->batch < 1) tool_fail(t, EXIT_INPUT, "%s: a batch of %lld", d->call.entry->name, (long long)d->batch);
}

/* Numbers given for sizes. */
static void sizes_bind(Tool *t, Data *d, const Bindings *b) {
    const char *entry = d->call.entry->name;
    for (int i = 0; i < b->n; i++) {
        const char *name = b->at[i].name;
        int64_t value;
        if (call_input(&d->call, name) >= 0) continue;
        if (call_size(t, &d->call, name) < 0 && b->at[i].optional) continue;
        if (call_size(t, &d->call, name) < 0) tool_fail(t, EXIT_USAGE, "%s has no input %s", entry, name);
        if (!tool_int(b->at[i].text, &value)) tool_fail(t, EXIT_USAGE, "%s is a size: give %s=NUMBER", name, name);
        call_set_size(t, &d->call, name, value, "as given");
    }
}

/* Opens the source of one input. */
static void feed_open(Tool *t, Data *d, Feed *f, const char *text) {
    const mdl_value *v = &d->call.entry->inputs[f->input];
    char *end = NULL;
    (void)strtod(text, &end);
    if (*text && !*end) { /* a number */
        f->constant = true;
        f->a = value_read(t, text);
        call_set_input(t, &d->call, f->input, &f->a);
        return;
    }
    f->text = text;
    f->a = sample_read(t, text);
    f->stream = f->a.rank == 1 && v->rank == 2;
    if (!f->stream) {
        feed_samples(t, d, f, v, text);
        return;
    }
    if (f->a.tokens) tokens_fit(t, f->a.tokens, d->call.entry->name, v);
    f->sample = window_of(t, d, v);
    if (d->length && (d->length != f->a.count || d->window != f->sample))
        tool_fail(t, EXIT_INPUT, "%s: the streams are cut differently", d->call.entry->name);
    d->length = f->a.count;
    d->window = f->sample;
    if (d->length < d->window || d->window < 1)
        tool_fail(t, EXIT_INPUT, "%s has %lld elements, and a window is %lld", text, (long long)d->length,
                  (long long)d->window);
}

/* An input without a source: lengths and mask follow from a text that another input has. */
static void feed_from_texts(Tool *t, Data *d, Feed *f) {
    const mdl_value *v = &d->call.entry->inputs[f->input];
    const Array *texts = NULL;
    for (int i = 0; i < d->n_feeds; i++)
        if (d->feeds[i].a.lengths) texts = &d->feeds[i].a;
    if (!texts || !text_follows(t, texts, v->name, &f->a))
        tool_fail(t, EXIT_USAGE, "%s needs data for %s: %s", d->call.entry->name, v->name, v->shape);
    f->follows = true;
    feed_samples(t, d, f, v, v->name);
}

/* Looks for rows of text of which each batch may have a width of its own. */
static void width_settle(Data *d, const Bindings *b, const mdl_model *m) {
    const mdl_entry *e = d->call.entry;
    const Feed *texts = NULL;
    bool ends = false;
    for (int i = 0; i < d->n_feeds; i++) {
        const Feed *f = &d->feeds[i];
        if (f->a.lengths && texts) return; /* two texts have one width */
        if (f->a.lengths) texts = f;
        ends = ends || f->follows;
    }
    int width = texts && ends ? data_size_of_dim(&d->call, &e->inputs[texts->input], 1) : -1;
    if (width < 0 || binding_find(b, m->sizes[e->sizes[width]].name)) return;
    for (int i = 0; i < d->n_feeds; i++) {
        const mdl_value *v = &e->inputs[d->feeds[i].input];
        bool own = &d->feeds[i] == texts || d->feeds[i].follows;
        for (int k = 0; k < v->rank && !own; k++)
            if (v->dims[k] < 0 && (k || d->feeds[i].constant)) return;
    }
    for (int i = 0; i < e->n_outputs; i++)
        for (int k = 1; k < e->outputs[i].rank; k++)
            if (e->outputs[i].dims[k] < 0) return;
    d->texts = texts;
    d->width = width;
}

Data *data_open(Tool *t, const char *entry, const Bindings *b, int64_t batch) {
    Data *d = tool_alloc(t, sizeof *d);
    d->call = call_new(t, entry);
    d->samples = -1;
    d->order_epoch = -1;
    const mdl_entry *e = d->call.entry;
    d->feeds = tool_alloc(t, sizeof *d->feeds * (size_t)(e->n_inputs + 1));
    sizes_bind(t, d, b);
    for (int pass = 0; pass < 2; pass++) { /* what has a source, then what follows from that */
        for (int i = 0; i < e->n_inputs; i++) {
            const char *text = binding_find(b, e->inputs[i].name);
            if ((text == NULL) != (pass == 1)) continue;
            Feed *f = &d->feeds[d->n_feeds];
            f->input = i;
            if (text) feed_open(t, d, f, text);
            else feed_from_texts(t, d, f);
            d->n_feeds++;
        }
    }
    if (d->window && d->samples >= 0) tool_fail(t, EXIT_INPUT, "%s: a stream and samples do not go together", entry);
    if (!d->window && d->samples < 0) tool_fail(t, EXIT_USAGE, "%s: no input has data", entry);
    d->windows = d->window > 0;
    if (d->windows) d->samples = d->length / d->window;
    if (d->samples == 0) tool_fail(t, EXIT_INPUT, "%s: the data has no sample", entry);
    batch_settle(t, d, batch);
    if (!d->windows && d->fixed && d->samples < d->batch)
        tool_fail(t, EXIT_INPUT, "%s: the program fixes a batch of %lld, and there are %lld samples", entry,
                  (long long)d->batch, (long long)d->samples);
    width_settle(d, b, t->model);
    data_batches_new(t, d);
    return d;
}

int64_t data_epoch_steps(const Data *d) {
    int64_t steps = d->fixed ? d->samples / d->batch : (d->samples + d->batch - 1) / d->batch;
    return steps < 1 ? 1 : steps;
}

int64_t data_left_out(const Data *d) {
    int64_t rest = d->fixed ? d->samples % d->batch : 0;
    return d->windows ? rest * d->window + d->length % d->window : rest;
}
