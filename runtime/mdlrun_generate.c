/* mdlrun_generate.c -- `generate`: text in, text out; tokens are bytes, or a tokenizer's.
 *
 * Without ENTRY the runner feeds prefill(ids: [batch, t]) -> logits and decode(id: [batch]) -> logits and samples itself; when
 * the context is full it resets and prefills the last half. With ENTRY everything is one call. The number for token i of a text
 * is philox_word(seed, "mdlrun.sample", i, ...): the same seed writes the same text. */
#include "runtime/mdlrun_token.h"
#include "runtime/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Candidate {
    double p;
    int64_t token;
} Candidate;

typedef struct Writer {
    Tokenizer *k;    /* NULL: tokens are bytes */
    Decoder decoder; /* of k */
    int64_t vocab;   /* without k, above 256: tokens are written as numbers */
    Candidate *c;    /* vocab of them */
    int64_t *tokens; /* prompt and text */
    int64_t n_tokens;
} Writer;

/* Best first; ties by token, so that the order is one. */
static int candidate_compare(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->p != y->p) return x->p > y->p ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

/* Draws a token from row 0 of logits: temperature, then the top_k likeliest, then the fewest that reach top_p together. */
static int64_t token_sample(Tool *t, Writer *w, const Array *logits, int64_t draw) {
    double largest = -INFINITY;
    int64_t best = 0, n = w->vocab;
    for (int64_t i = 0; i < n; i++) {
        double v = element_double(logits->data, logits->dtype, i);
        if (isnan(v)) tool_fail(t, EXIT_ARTIFACT, "logit %lld of token %lld is not a number", (long long)i, (long long)draw);
        if (v > largest) {
            largest = v;
            best = i;
        }
    }
    if (t->o.temperature <= 0 || isinf(largest)) return best;
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        w->c[i] = (Candidate){exp((element_double(logits->data, logits->dtype, i) - largest) / t->o.temperature), i};
        total += w->c[i].p;
    }
    bool filter_k = t->o.top_k > 0 && t->o.top_k < n, filter_p = t->o.top_p < 1.0;
    if (filter_k || filter_p) qsort(w->c, (size_t)n, sizeof *w->c, candidate_compare);
    if (filter_k) {
        n = t->o.top_k;
        total = 0;
        for (int64_t i = 0; i < n; i++) total += w->c[i].p;
    }
    if (filter_p) {
        double sum = 0;
        int64_t keep = 0;
        while (keep < n && (keep == 0 || sum < t->o.top_p * total)) sum += w->c[keep++].p;
        n = keep;
        total = sum;
    }
    uint32_t site = philox_site("mdlrun.sample");
    uint64_t bits =
        (uint64_t)philox_word(t->o.seed, site, (uint64_t)draw, 0) << 32 | philox_word(t->o.seed, site, (uint64_t)draw, 1);
    double u = (double)(bits >> 11) * 0x1p-53 * total;
    for (int64_t i = 0; i < n; i++) {
        u -= w->c[i].p;
        if (u < 0) return w->c[i].token;
    }
    return w->c[n - 1].token; /* rounding */
}

static void token_write(Writer *w, int64_t token) {
    if (w->k) decoder_write(&w->decoder, stdout, token);
    else if (w->vocab > 256) printf("%lld ", (long long)token);
    else putchar((int)(token & 255));
    fflush(stdout);
}

static void text_end(Writer *w) {
    if (w->k) decoder_end(&w->decoder, stdout);
    putchar('\n');
}

/* The prompt, --prompt or --prompt-file, as tokens for input v of an entry. */
static void prompt_read(Tool *t, Writer *w, const char *entry, const mdl_value *v) {
    size_t bytes = 0;
    const char *text = t->o.prompt;
    if (t->o.prompt && t->o.prompt_file) tool_fail(t, EXIT_USAGE, "--prompt and --prompt-file: one of them");
    if (t->o.prompt_file) text = tool_file_read(t, t->o.prompt_file, &bytes);
    else if (text) bytes = strlen(text);
    if (bytes == 0)
        tool_fail(t, EXIT_USAGE, "generate needs a prompt of at least one byte: --prompt TEXT or --prompt-file FILE");
    w->k = tokenizer_of(t);
    Ids ids = {0};
    size_t length = bytes; /* in tokens */
    if (w->k) {
        tokens_fit(t, w->k, entry, v);
        tokens_add_prompt(t, w->k, t->o.prompt_file ? t->o.prompt_file : "the prompt", text, (int64_t)bytes, &ids);
        if (ids.n == 0) tool_fail(t, EXIT_USAGE, "generate: the prompt has no token of %s", w->k->path);
        w->decoder = (Decoder){.k = w->k, .begun = !t->o.quiet};
        length = (size_t)ids.n;
    }
    w->tokens = tool_alloc(t, sizeof *w->tokens * (length + (size_t)t->o.n));
    for (size_t i = 0; i < length; i++) w->tokens[w->n_tokens++] = w->k ? ids.at[i] : (unsigned char)text[i];
    if (!t->o.quiet) fwrite(text, 1, bytes, stdout);
    fflush(stdout);
}

/* The tokens first..last as an i64 array of `rows` equal rows (a fixed batch is filled with the same text). */
static Array tokens_array(Tool *t, const Writer *w, int64_t first, int64_t last, int64_t rows, int rank) {
    int64_t n = last - first, shape[2] = {rows, n};
    Array a = array_new(t, element_type("i64"), rank, shape);
    for (int64_t r = 0; r < rows; r++) memcpy(a.data + r * n * 8, w->tokens + first, (size_t)n * 8);
    return a;
}

/* The rows of an input: a fixed first axis, else the smallest batch. */
static int64_t rows_of(Tool *t, const Call *c, const mdl_value *v) {
    if (v->rank == 0) return 1;
    if (v->dims[0] >= 0) return v->dims[0];
    for (int i = 0; i < c->entry->n_sizes; i++) {
        const mdl_size *z = &t->model->sizes[c->entry->sizes[i]];
        if (v->dims[0] == MDL_NAMED - c->entry->sizes[i] && z->low > 1) return z->low;
    }
    return 1;
}

/* The largest number of tokens an input [batch, t] takes. */
static int64_t context_of(Tool *t, const Call *c, const mdl_value *v) {
    if (v->dims[1] >= 0) return v->dims[1];
    for (int i = 0; i < c->entry->n_sizes; i++) {
        const mdl_size *z = &t->model->sizes[c->entry->sizes[i]];
        if (v->dims[1] == MDL_NAMED - c->entry->sizes[i] && z->high >= 0) return z->high;
    }
    return INT64_MAX;
}

static void sizes_forget(Call *c) {
    for (int i = 0; i < c->entry->n_sizes; i++) c->sizes[i] = -1;
}

/* Resets the session and prefills the last `n` tokens; leaves logits in c->outputs[0]. */
static void prefill(Tool *t, Call *c, const Writer *w, int64_t n) {
    tool_check(t, t->model->reset(t->session), c->entry->name);
    sizes_forget(c);
    Array ids = tokens_array(t, w, w->n_tokens - n, w->n_tokens, rows_of(t, c, &c->entry->inputs[0]), 2);
    Array old = c->inputs[0];
    call_set_input(t, c, 0, &ids);
    tool_release(t, ids.data);
    tool_release(t, old.data);
    call_run(t, c);
}

static void logits_check(Tool *t, const Call *c, int rank) {
    const mdl_entry *e = c->entry;
    if (e->n_inputs != 1 || e->n_outputs < 1 || e->inputs[0].rank != rank || e->outputs[0].rank != 2)
        tool_fail(t, EXIT_INPUT, "generate: %s is not %s(%s) -> logits[batch, vocab]", e->name, e->name,
                  rank == 2 ? "ids[batch, t]" : "id[batch]");
}

static int generate_stepwise(Tool *t) {
    if (model_entry(t, "prefill") < 0 || model_entry(t, "decode") < 0)
        tool_fail(t, EXIT_INPUT, "%s has no entries prefill and decode: name the entry that writes", t->model->name);
    Call fill = call_new(t, "prefill"), decode = call_new(t, "decode");
    logits_check(t, &fill, 2);
    logits_check(t, &decode, decode.entry->inputs[0].rank == 2 ? 2 : 1);
    Writer w = {0};
    prompt_read(t, &w, "prefill", &fill.entry->inputs[0]);
    int64_t context = context_of(t, &fill, &fill.entry->inputs[0]), n = w.n_tokens < context ? w.n_tokens : context;
    prefill(t, &fill, &w, n);
    const Array *logits = &fill.outputs[0];
    w.vocab = logits->shape[1];
    w.c = tool_alloc(t, sizeof *w.c * (size_t)(w.vocab + 1));
    int64_t position = n, rows = rows_of(t, &decode, &decode.entry->inputs[0]);
    for (int64_t i = 0; i < t->o.n && !stop_asked(); i++) {
        int64_t token = token_sample(t, &w, logits, i);
        w.tokens[w.n_tokens++] = token;
        token_write(&w, token);
        if (i + 1 == t->o.n) break;
        int code = MDL_RANGE;
        if (position < context) {
            Array id = tokens_array(t, &w, w.n_tokens - 1, w.n_tokens, rows, 2), old = decode.inputs[0];
            if (decode.entry->inputs[0].rank == 1) id.rank = 1; /* [rows] */
            sizes_forget(&decode);
            call_set_input(t, &decode, 0, &id);
            tool_release(t, id.data);
            tool_release(t, old.data);
            code = call_try(t, &decode);
            if (code != MDL_OK && code != MDL_ASSERT) tool_check(t, code, NULL);
            logits = &decode.outputs[0];
            position++;
        }
        if (code == MDL_OK) continue;
        /* The context is full, by the program's range of t or by its own assertion. */
        int64_t half = (context == INT64_MAX ? position : context) / 2;
        if (half < 1) half = 1;
        if (half > w.n_tokens) half = w.n_tokens;
        prefill(t, &fill, &w, half);
        logits = &fill.outputs[0];
        position = half;
    }
    text_end(&w);
    return stop_asked() ? EXIT_INTERRUPTED : EXIT_DONE;
}

/* ENTRY(ids: [batch, t], n, temperature, ...) -> out: [batch, n] */
static int generate_whole(Tool *t, const char *entry, int n, char **words) {
    Call c = call_new(t, entry);
    Writer w = {0};
    int ids = -1;
    for (int i = 0; i < c.entry->n_inputs; i++) {
        const mdl_value *v = &c.entry->inputs[i];
        if (v->rank == 2 && (v->dtype.code == 0 || v->dtype.code == 1) && ids < 0) ids = i;
    }
    if (ids < 0 || c.entry->n_outputs < 1) tool_fail(t, EXIT_INPUT, "generate: %s has no input of tokens [batch, t]", entry);
    for (int i = 0; i < n; i++) {
        Binding b;
        int64_t value;
        if (!binding_split(t, words[i], &b)) tool_fail(t, EXIT_USAGE, "\"%s\" is not NAME=VALUE", words[i]);
        int input = call_input(&c, b.name);
        if (input >= 0) {
            Array a = value_read(t, b.text);
            call_set_input(t, &c, input, &a);
        } else if (call_size(t, &c, b.name) >= 0 && tool_int(b.text, &value)) {
            call_set_size(t, &c, b.name, value, "as given");
        } else {
            tool_fail(t, EXIT_USAGE, "%s takes no %s", entry, b.name);
        }
    }
    const struct {
        const char *name;
        double value;
    } scalars[] = {{"temperature", t->o.temperature}, {"top_p", t->o.top_p}, {"top_k", (double)t->o.top_k}};
    for (size_t k = 0; k < sizeof scalars / sizeof *scalars; k++) {
        int input = call_input(&c, scalars[k].name);
        if (input < 0 || c.inputs[input].data) continue;
        bool whole = c.entry->inputs[input].dtype.code < 2;
        Array a = value_read(t, tool_printf(t, whole ? "%.0f" : "%.17g", scalars[k].value));
        call_set_input(t, &c, input, &a);
    }
    int size = call_size(t, &c, "n");
    if (size >= 0 && c.sizes[size] < 0) call_set_size(t, &c, "n", t->o.n, "-n");
    prompt_read(t, &w, entry, &c.entry->inputs[ids]);
    Array tokens = tokens_array(t, &w, 0, w.n_tokens, rows_of(t, &c, &c.entry->inputs[ids]), 2);
    call_set_input(t, &c, ids, &tokens);
    call_run(t, &c);
    const Array *out = &c.outputs[0];
    if (out->dtype.code > 1 || out->rank < 1 || out->rank > 2) tool_fail(t, EXIT_INPUT, "generate: %s gives no tokens", entry);
    int64_t length = out->shape[out->rank - 1];
    for (int64_t i = 0; i < length; i++)
        if (element_int(out->data, out->dtype, i) > 255) w.vocab = 257;
    for (int64_t i = 0; i < length; i++) token_write(&w, element_int(out->data, out->dtype, i));
    text_end(&w);
    return EXIT_DONE;
}

int command_generate(Tool *t, int n, char **words) {
    if (t->o.n < 0) t->o.n = 200;
    if (t->o.temperature < 0 || t->o.top_p <= 0 || t->o.top_k < 0)
        tool_fail(t, EXIT_USAGE, "generate: temperature >= 0, top-k >= 0, top-p > 0");
    stop_watch();
    if (n && !strchr(words[0], '=')) return generate_whole(t, words[0], n - 1, words + 1);
    if (n) tool_fail(t, EXIT_USAGE, "generate takes NAME=VALUE only with an ENTRY");
    return generate_stepwise(t);
}
