/* mdlrun_train.c -- `train`: steps over data, with a line of progress, tests, checkpoints, a log and a curve.
 *
 * A checkpoint knows where the training stood: the notes mdlrun.step (steps done), mdlrun.seed, mdlrun.best and mdlrun.stale
 * travel in it. Batches are functions of seed and step alone (mdlrun_data.c), so --resume goes on bit for bit. */
#include "runtime/mdlrun.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CURVES_MAX = 4 }; /* losses in one plot */

typedef struct Training {
    Data *data, *test;    /* test NULL: none */
    Call look;            /* --look; entry NULL: none */
    int64_t start, total; /* steps done before, steps in all */
    int64_t test_every;
    int n_scalars; /* scalar results of the step */
    int *scalars;  /* which outputs */
    int loss;      /* position in scalars of the loss */
    double *sums;  /* since the last line */
    int64_t summed;
    int curves[CURVES_MAX], n_curves; /* positions in scalars of what --plot draws */
    double *losses;                   /* [step - start, n_curves] */
    Curve tested;   /* the test's loss by step */
    int test_loss;  /* which of its results */
    FILE *log;
    const char *best_name; /* --keep-best */
    bool best_largest;
    double best;
    int64_t stale;        /* tests since the best */
    double begin, paused; /* seconds: start, time spent in tests and saves */
    double last_shown;
    int64_t samples; /* since the start */
    bool tty, line_open, warned;
} Training;

/* ---- checkpoints --------------------------------------------------------------------------------------------------------- */

static void note_set(Tool *t, const char *key, const char *value) {
    if (t->model->size >= offsetof(mdl_model, flops) && t->model->note)
        tool_check(t, t->model->note(t->session, key, value, NULL, 0), NULL);
}

/* "" where the checkpoint has no such note. */
static const char *note_get(Tool *t, const char *key) {
    char *value = tool_alloc(t, 64);
    if (t->model->size < offsetof(mdl_model, flops) || !t->model->note) return value;
    if (t->model->note(t->session, key, NULL, value, 64) != MDL_OK) value[0] = 0;
    return value;
}

static void checkpoint_save(Tool *t, Training *r, const char *path, int64_t step) {
    double begin = tool_now();
    note_set(t, "mdlrun.step", tool_printf(t, "%" PRId64, step));
    note_set(t, "mdlrun.seed", tool_printf(t, "%" PRIu64, t->o.seed));
    note_set(t, "mdlrun.batch", tool_printf(t, "%" PRId64, data_batch(r->data)));
    note_set(t, "mdlrun.best", tool_printf(t, "%.17g", r->best));
    note_set(t, "mdlrun.stale", tool_printf(t, "%" PRId64, r->stale));
    model_save(t, path);
    r->paused += tool_now() - begin;
}

static void training_resume(Tool *t, Training *r) {
    tool_check(t, t->model->load(t->session, t->o.resume), NULL);
    const char *step = note_get(t, "mdlrun.step");
    if (!tool_int(step, &r->start) || r->start < 0)
        tool_fail(t, EXIT_INPUT, "%s does not say at which step it was saved: start from it by --load", t->o.resume);
    uint64_t seed = strtoull(note_get(t, "mdlrun.seed"), NULL, 10);
    if (!t->o.seed_given) t->o.seed = seed;
    if (t->o.seed != seed) tool_check(t, t->model->seed(t->session, t->o.seed), NULL); /* the same one would count steps from 0 again */
    int64_t batch;
    if (tool_int(note_get(t, "mdlrun.batch"), &batch) && batch != data_batch(r->data))
        tool_note(t, "%s was trained in batches of %lld: other batches follow than would have", t->o.resume, (long long)batch);
    r->best = strtod(note_get(t, "mdlrun.best"), NULL);
    tool_int(note_get(t, "mdlrun.stale"), &r->stale);
}

/* "net.safetensors" -> "net.best.safetensors" */
static char *best_path(Tool *t, const char *path) {
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (!dot || (slash && dot < slash)) return tool_printf(t, "%s.best", path);
    return tool_printf(t, "%.*s.best%s", (int)(dot - path), path, dot);
}

/* ---- what is shown ------------------------------------------------------------------------------------------------------- */

/* "1:02:03", "4:05" */
static char *clock_text(Tool *t, double seconds) {
    int64_t s = seconds > 0 ? (int64_t)ceil(seconds) : 0;
    if (s >= 3600)
        return tool_printf(t, "%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
    return tool_printf(t, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
}

/* 12345678 -> "12,345,678" */
static char *grouped(Tool *t, int64_t v) {
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)v);
    size_t n = strlen(digits);
    char *out = tool_alloc(t, 2 * n + 1), *to = out;
    for (size_t i = 0; i < n; i++) {
        *to++ = digits[i];
        if ((n - i - 1) % 3 == 0 && i + 1 < n && digits[i] != '-') *to++ = ',';
    }
    return out;
}

static void line_close(Training *r) {
    if (r->line_open) fputc('\n', stdout);
    r->line_open = false;
}

/* "step 100/2000  loss 2.345  41,000 tokens/s  0:58 left": results are means since the last line. */
static void progress_show(Tool *t, Training *r, int64_t step, bool close) {
    if (t->o.quiet || r->summed == 0) return;
    double seconds = tool_now() - r->begin - r->paused;
    int64_t done = step - r->start;
    if (seconds < 1e-9) seconds = 1e-9;
    printf("%sstep %lld/%lld", r->line_open ? "\r" : "", (long long)step, (long long)r->total);
    const mdl_entry *e = data_call(r->data)->entry;
    for (int i = 0; i < r->n_scalars; i++) printf("  %s %.4g", e->outputs[r->scalars[i]].name, r->sums[i] / (double)r->summed);
    int64_t tokens = data_tokens(r->data);
    char *rate = grouped(t, (int64_t)((double)r->samples * (double)(tokens ? tokens : 1) / seconds));
    char *left = clock_text(t, seconds / (double)done * (double)(r->total - step));
    printf("  %s %s/s  %s left", rate, tokens ? "tokens" : "samples", left);
    tool_release(t, rate);
    tool_release(t, left);
    if (r->tty) fputs("\033[K", stdout);
    r->line_open = true;
    if (close) line_close(r);
    fflush(stdout);
    r->last_shown = tool_now();
    for (int i = 0; close && i < r->n_scalars; i++) r->sums[i] = 0;
    if (close) r->summed = 0;
}

static void log_open(Tool *t, Training *r) {
    if (!t->o.log) return;
    r->log = fopen(t->o.log, t->o.resume ? "ae" : "we");
    if (!r->log) tool_fail(t, EXIT_INPUT, "cannot write %s", t->o.log);
    if (t->o.resume && ftell(r->log) > 0) return;
    const mdl_entry *e = data_call(r->data)->entry;
    fputs("step,epoch", r->log);
    for (int i = 0; i < r->n_scalars; i++) fprintf(r->log, ",%s", e->outputs[r->scalars[i]].name);
    const mdl_entry *test = r->test ? data_call(r->test)->entry : NULL;
    for (int i = 0; test && i < test->n_outputs; i++)
        if (test->outputs[i].rank == 0) fprintf(r->log, ",test_%s", test->outputs[i].name);
    fputc('\n', r->log);
}

static void log_row(Tool *t, Training *r, int64_t step, const Results *tested) {
    if (!r->log) return;
    const Call *c = data_call(r->data);
    fprintf(r->log, "%lld,%lld", (long long)step, (long long)((step - 1) / data_epoch_steps(r->data)));
    for (int i = 0; i < r->n_scalars; i++) {
        const Array *a = &c->outputs[r->scalars[i]];
        fprintf(r->log, ",%.9g", element_double(a->data, a->dtype, 0));
    }
    const mdl_entry *test = r->test ? data_call(r->test)->entry : NULL;
    for (int i = 0, k = 0; test && i < test->n_outputs; i++) {
        if (test->outputs[i].rank) continue;
        if (tested) fprintf(r->log, ",%.9g", tested->values[k++]);
        else fputc(',', r->log);
    }
    fputc('\n', r->log);
    if (fflush(r->log)) tool_fail(t, EXIT_INPUT, "cannot write %s", t->o.log);
}

/* ---- tests --------------------------------------------------------------------------------------------------------------- */

static int64_t epochs_done(const Training *r, int64_t step) {
    return step / data_epoch_steps(r->data);
}

static void look_run(Tool *t, Training *r, int64_t step) {
    double begin = tool_now();
    call_run(t, &r->look);
    for (int i = 0; i < r->look.entry->n_outputs; i++)
        t->pictures->write(t, r->look.entry->outputs[i].name, &r->look.outputs[i], epochs_done(r, step));
    r->paused += tool_now() - begin;
}

/* --look "ENTRY NAME=VALUE ..." */
static void look_open(Tool *t, Training *r) {
    if (!t->o.look) return;
    size_t n = strcspn(t->o.look, " \t\n");
    const char *entry = tool_copy(t, t->o.look, n);
    if (t->model->entries[model_entry_must(t, entry)].train) tool_fail(t, EXIT_USAGE, "--look %s: it trains", entry);
    r->look = call_new(t, entry);
    Bindings b = bindings_split(t, t->o.look + n);
    call_bind(t, &r->look, &b);
}

/* Tests, shows, keeps the best. Returns false when patience is at its end. */
static bool test_run(Tool *t, Training *r, int64_t step, Results *out) {
    double begin = tool_now();
    Results result = eval_pass(t, r->test, NULL, epochs_done(r, step));
    r->paused += tool_now() - begin;
    *out = result;
    if (stop_asked()) return true;
    line_close(r);
    if (!t->o.quiet) {
        printf("test after step %lld:", (long long)step);
        for (int i = 0; i < result.n; i++) printf("  %s %.4g", result.names[i], result.values[i]);
        putchar('\n');
        fflush(stdout);
    }
    if (r->test_loss >= 0) {
        r->tested.x[r->tested.n] = (double)step;
        r->tested.y[r->tested.n++] = result.values[r->test_loss];
    }
    int which = r->best_name ? -1 : r->test_loss;
    for (int i = 0; r->best_name && i < result.n; i++)
        if (!strcmp(result.names[i], r->best_name)) which = i;
    if (which < 0) return true;
    double v = result.values[which];
    bool better = r->best_largest ? v > r->best : v < r->best;
    r->stale = better ? 0 : r->stale + 1;
    if (better) r->best = v;
    if (better && r->best_name) checkpoint_save(t, r, best_path(t, t->o.save), step);
    return t->o.patience < 0 || r->stale < t->o.patience;
}

/* --keep-best RESULT[:min|max]; without a direction, accuracies and the like grow. */
static void best_parse(Tool *t, Training *r) {
    const char *text = t->o.keep_best;
    r->best = INFINITY;
    if (!text) return;
    const char *colon = strchr(text, ':');
    r->best_name = tool_copy(t, text, colon ? (size_t)(colon - text) : strlen(text));
    if (colon && strcmp(colon, ":min") && strcmp(colon, ":max"))
        tool_fail(t, EXIT_USAGE, "--keep-best %s: RESULT:min or RESULT:max", text);
    const char *growing[] = {"acc", "f1", "auc", "precision", "recall", "bleu", "top"};
    for (size_t i = 0; !colon && i < sizeof growing / sizeof *growing; i++)
        r->best_largest = r->best_largest || strstr(r->best_name, growing[i]);
    if (colon) r->best_largest = !strcmp(colon, ":max");
    if (r->best_largest) r->best = -INFINITY;
    if (!r->test) tool_fail(t, EXIT_USAGE, "--keep-best needs --test ENTRY");
    if (!t->o.save) tool_fail(t, EXIT_USAGE, "--keep-best needs --save FILE");
    const mdl_entry *e = data_call(r->test)->entry;
    for (int i = 0; i < e->n_outputs; i++)
        if (!strcmp(e->outputs[i].name, r->best_name) && e->outputs[i].rank == 0) return;
    tool_fail(t, EXIT_USAGE, "--keep-best: %s has no scalar result %s", e->name, r->best_name);
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

/* The loss among an entry's scalar results: the one called loss, else the first; -1: it has none. */
static int loss_find(const mdl_entry *e) {
    int first = -1, k = 0;
    for (int i = 0; i < e->n_outputs; i++) {
        if (e->outputs[i].rank) continue;
        if (!strcmp(e->outputs[i].name, "loss")) return k;
        if (first < 0) first = k;
        k++;
    }
    return first;
}

static const char *train_entry(Tool *t, const char *word) {
    if (word) return word;
    if (run_text(t, "each")) return run_text(t, "each");
    const char *only = NULL;
    for (int i = 0; i < t->model->n_entries; i++) {
        if (!t->model->entries[i].train) continue;
        if (only) tool_fail(t, EXIT_USAGE, "train: which entry, %s or %s?", only, t->model->entries[i].name);
        only = t->model->entries[i].name;
    }
    if (!only) tool_fail(t, EXIT_INPUT, "%s has no train entry", t->model->name);
    return only;
}

static int64_t steps_total(Tool *t, const Training *r) {
    int64_t epoch = data_epoch_steps(r->data), epochs = t->o.epochs;
    if (t->o.steps >= 0) return t->o.steps;
    if (epochs < 0 && run_int(t, "steps", -1) >= 0) return run_int(t, "steps", -1);
    if (epochs < 0) epochs = run_int(t, "epochs", 1);
    int64_t total;
    if (epochs < 0 || __builtin_mul_overflow(epoch, epochs, &total))
        tool_fail(t, EXIT_USAGE, "train: %lld epochs", (long long)epochs);
    return total;
}

static void training_prepare(Tool *t, Training *r, int n, char **words) {
    const char *word;
    Bindings b = bindings_merge(t, n, words, run_text(t, "data"), &word);
    const char *entry = train_entry(t, word), *each = run_text(t, "each"), *test = t->o.test;
    if (!test && each && !strcmp(each, entry)) test = run_text(t, "test");
    if (!t->model->entries[model_entry_must(t, entry)].train) tool_fail(t, EXIT_USAGE, "%s is not a train entry", entry);
    r->data = data_open(t, entry, &b, t->o.batch);
    const char *test_data = t->o.test_data ? t->o.test_data : run_text(t, "test_data");
    if (t->o.test && !test_data) tool_fail(t, EXIT_USAGE, "--test %s needs --test-data \"NAME=SOURCE ...\"", t->o.test);
    if (test && test_data) {
        Bindings tb = t->o.test_data ? bindings_split(t, test_data) : bindings_merge(t, 0, NULL, test_data, &word);
        r->test = data_open(t, test, &tb, -1);
    }
    best_parse(t, r);
    if (t->o.patience >= 0 && !r->test) tool_fail(t, EXIT_USAGE, "--patience needs --test ENTRY");
    if (t->o.every >= 0 && !t->o.save) tool_fail(t, EXIT_USAGE, "--every needs --save FILE");
    if (t->o.every == 0 || t->o.test_every == 0) tool_fail(t, EXIT_USAGE, "every 0 steps?");

    if (t->o.resume) training_resume(t, r); /* the checkpoint brings its seed along */
    const mdl_entry *e = data_call(r->data)->entry;
    r->scalars = tool_alloc(t, sizeof *r->scalars * (size_t)(e->n_outputs + 1));
    for (int i = 0; i < e->n_outputs; i++)
        if (e->outputs[i].rank == 0) r->scalars[r->n_scalars++] = i;
    r->loss = loss_find(e);
    r->test_loss = r->test ? loss_find(data_call(r->test)->entry) : -1;
    r->sums = tool_alloc(t, sizeof *r->sums * (size_t)(r->n_scalars + 1));
    r->total = steps_total(t, r);
    int64_t steps = r->total > r->start ? r->total - r->start : 0;
    if (steps > (int64_t)1 << 32) tool_fail(t, EXIT_USAGE, "train: %lld steps", (long long)steps);
    for (int i = 0; i < r->n_scalars && r->n_curves < CURVES_MAX; i++)
        if (i == r->loss || strstr(e->outputs[r->scalars[i]].name, "loss")) r->curves[r->n_curves++] = i;
    r->losses = tool_alloc(t, sizeof *r->losses * (size_t)((steps + 1) * (r->n_curves + 1)));
    r->test_every = t->o.test_every > 0    ? t->o.test_every
                    : data_tokens(r->data) ? (r->total + 9) / 10
                                           : data_epoch_steps(r->data);
    if (r->test_every < 1) r->test_every = 1;
    r->tested.x = tool_alloc(t, sizeof(double) * (size_t)(steps / r->test_every + 3));
    r->tested.y = tool_alloc(t, sizeof(double) * (size_t)(steps / r->test_every + 3));
    look_open(t, r);
    const mdl_entry *drawn[2];
    int n_drawn = 0;
    if (r->test) drawn[n_drawn++] = data_call(r->test)->entry;
    if (r->look.entry) drawn[n_drawn++] = r->look.entry;
    t->pictures->check(t, drawn, n_drawn);
    log_open(t, r);
    r->tty = isatty(STDOUT_FILENO);
}

static void plot(Tool *t, const Training *r, int64_t done) {
    if (!t->o.plot || r->loss < 0) return;
    /* Means of as many steps as keep the curve at 400 points: single batches hide the trend. */
    int64_t bucket = (done + 399) / 400;
    const mdl_entry *e = data_call(r->data)->entry;
    Curve curves[CURVES_MAX + 1];
    for (int k = 0; k < r->n_curves; k++) {
        Curve *c = &curves[k];
        *c = (Curve){.name = r->n_curves == 1 ? "training" : e->outputs[r->scalars[r->curves[k]]].name};
        c->x = tool_alloc(t, sizeof(double) * 401);
        c->y = tool_alloc(t, sizeof(double) * 401);
        for (int64_t i = 0; i < done; i += bucket) {
            int64_t n = done - i < bucket ? done - i : bucket;
            double sum = 0;
            for (int64_t m = 0; m < n; m++) sum += r->losses[(i + m) * r->n_curves + k];
            c->x[c->n] = (double)(r->start + i) + (double)n * 0.5;
            c->y[c->n++] = sum / (double)n;
        }
    }
    curves[r->n_curves] = r->tested;
    curves[r->n_curves].name = "test";
    curves[r->n_curves].dots = true;
    const char *what = r->n_curves == 1 ? e->outputs[r->scalars[r->curves[0]]].name : "losses";
    plot_write(t, t->o.plot, tool_printf(t, "%s: %s", t->model->name, what), curves, r->n_curves + (r->tested.n > 0));
}

/* One step; adds its results to the sums. */
static void step_run(Tool *t, Training *r, int64_t step) {
    Call *c = data_call(r->data);
    r->samples += data_train(t, r->data, t->o.seed, step);
    data_call_run(t, r->data, step);
    for (int i = 0; i < r->n_scalars; i++) {
        const Array *a = &c->outputs[r->scalars[i]];
        double v = element_double(a->data, a->dtype, 0);
        r->sums[i] += v;
        for (int k = 0; k < r->n_curves; k++)
            if (r->curves[k] == i) r->losses[(step - r->start) * r->n_curves + k] = v;
        if (!isfinite(v) && !r->warned) {
            line_close(r);
            tool_note(t, "warning: %s is %g at step %lld", c->entry->outputs[r->scalars[i]].name, v, (long long)(step + 1));
            r->warned = true;
        }
    }
    r->summed++;
}

int command_train(Tool *t, int n, char **words) {
    Training r = {.test_loss = -1};
    training_prepare(t, &r, n, words);
    if (r.start >= r.total) tool_note(t, "nothing to do: %lld of %lld steps are done", (long long)r.start, (long long)r.total);
    stop_watch();
    r.begin = r.last_shown = tool_now();
    int64_t lines = r.total > 20 ? r.total / 20 : 1, step = r.start;
    bool go_on = true;
    while (step < r.total && go_on && !stop_asked()) {
        step_run(t, &r, step++);
        Results tested = {0};
        bool last = step == r.total, line = step % lines == 0 || last;
        bool test = r.test && (step % r.test_every == 0 || last);
        if (line || test) progress_show(t, &r, step, true);
        else if (r.tty && tool_now() - r.last_shown > 0.1) progress_show(t, &r, step, false);
        if (test) go_on = test_run(t, &r, step, &tested);
        if (r.look.entry && (step % r.test_every == 0 || last)) look_run(t, &r, step);
        log_row(t, &r, step, test && !stop_asked() ? &tested : NULL);
        if (t->o.every > 0 && step % t->o.every == 0 && !last) checkpoint_save(t, &r, t->o.save, step);
    }
    if (r.summed) progress_show(t, &r, step, true);
    line_close(&r);
    bool stopped = stop_asked() && step < r.total;
    if (!go_on) tool_note(t, "stopped after step %lld: no better test in %lld", (long long)step, (long long)r.stale);
    if (t->o.save) checkpoint_save(t, &r, t->o.save, step);
    if (r.log && fclose(r.log)) tool_fail(t, EXIT_INPUT, "cannot write %s", t->o.log);
    plot(t, &r, step - r.start);
    if (stopped && t->o.save)
        tool_fail(t, EXIT_INTERRUPTED, "interrupted after step %lld; go on with --resume %s", (long long)step, t->o.save);
    if (stopped) tool_fail(t, EXIT_INTERRUPTED, "interrupted after step %lld; nothing is kept without --save", (long long)step);
    return EXIT_DONE;
}
