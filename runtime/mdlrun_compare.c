/* mdlrun_compare.c -- `compare`: one entry of two artifacts over the same data. What each kernel stores is compared, in the order of
 * the first artifact: the first row that is far off is the layer where they drift apart.
 *
 * Kernels belong together that store as many floats for the same layer, the k-th of the one with the k-th of the other. What only
 * one of them stores (kernels that were fused otherwise) has no row. Times are those of the first batch again, in both. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <string.h>

typedef struct Stored { /* by one kernel of a call */
    const char *layer, *source;
    double *at;
    int64_t count;
    bool taken;
} Stored;

struct Watched {
    Stored *at;
    int n, room;
};

/* Sums over all calls. */
typedef struct Row {
    const char *layer, *source;
    double signal, other, both, error; /* of a^2, b^2, a b, (a - b)^2 */
    double largest;                    /* |a - b| */
    int64_t count;
} Row;

typedef struct Rows {
    Row *at;
    int n, room;
} Rows;

void watch_floats(void *context, const char *layer, const char *source, const void *data, int32_t bits, int64_t count) {
    Tool *t = context;
    struct Watched *w = t->watched;
    if (!w) return;
    if (w->n == w->room) {
        int room = w->room ? 2 * w->room : 256;
        w->at = tool_resize(t, w->at, sizeof *w->at * (size_t)w->room, sizeof *w->at * (size_t)room);
        w->room = room;
    }
    Stored *s = &w->at[w->n++];
    *s = (Stored){layer, source, tool_alloc(t, sizeof(double) * (size_t)(count + 1)), count, false};
    mdl_dtype type = {2, (uint8_t)bits, 1};
    for (int64_t i = 0; i < count; i++) s->at[i] = element_double(data, type, i);
}

static void watched_clear(Tool *t) {
    for (int i = 0; i < t->watched->n; i++) tool_release(t, t->watched->at[i].at);
    t->watched->n = 0;
}

static Stored *partner(struct Watched *w, const Stored *s) {
    for (int i = 0; i < w->n; i++) {
        Stored *x = &w->at[i];
        if (x->taken || x->count != s->count || strcmp(x->layer, s->layer) != 0) continue;
        x->taken = true;
        return x;
    }
    return NULL;
}

static void row_add(Row *r, const Stored *a, const Stored *b) {
    for (int64_t i = 0; i < a->count; i++) {
        double x = a->at[i], y = b->at[i], d = x == y ? 0 : x - y; /* equal infinities are equal */
        if (isinf(x) && x == y) continue;
        r->signal += x * x;
        r->other += y * y;
        r->both += x * y;
        r->error += d * d;
        if (!(fabs(d) <= r->largest)) r->largest = fabs(d); /* a NaN is largest of all */
    }
    r->count += a->count;
}

/* Calls make the same kernels in the same order, so row k of one call belongs to row k of the next; where a call is otherwise (another
 * size, other kernels), it is looked for by its name. */
static void rows_add(Tool *t, Rows *rows, struct Watched *a, struct Watched *b) {
    for (int i = 0, k = 0; i < a->n; i++) {
        const Stored *s = &a->at[i], *other = partner(b, s);
        if (!other) continue;
        int at = k;
        while (at < rows->n && (strcmp(rows->at[at].layer, s->layer) || strcmp(rows->at[at].source, s->source))) at++;
        if (at == rows->n) {
            if (rows->n == rows->room) {
                int room = rows->room ? 2 * rows->room : 256;
                rows->at = tool_resize(t, rows->at, sizeof *rows->at * (size_t)rows->room, sizeof *rows->at * (size_t)room);
                rows->room = room;
            }
            rows->at[rows->n++] = (Row){.layer = s->layer, .source = s->source};
        }
        row_add(&rows->at[at], s, other);
        k = at + 1;
    }
}

static void row_print(const Row *r, int width) {
    char ratio[32] = "same";
    if (!(r->error == 0)) snprintf(ratio, sizeof ratio, "%.1f dB", 10 * log10(r->signal / r->error));
    printf("%-*s  %-20s %11lld  %9s  %9.6f  %.3g\n", width, *r->layer ? r->layer : "-", r->source, (long long)r->count, ratio,
           r->error == 0 ? 1.0 : r->both / sqrt(r->signal * r->other), r->largest);
}

enum { TIMED = 5 };

/* The least milliseconds of some calls with the data at hand, nothing kept; 0 where a call changes what the next one sees. */
static double milliseconds(Tool *t, Data *d) {
    bool changes = data_call(d)->entry->train;
    for (int i = 0; i < t->model->n_values; i++) changes |= t->model->values[i].kind == MDL_CACHE;
    if (changes) return 0;
    struct Watched *watched = t->watched;
    double least = INFINITY;
    t->watched = NULL;
    for (int i = 0; i < TIMED; i++) {
        double start = tool_now();
        call_run(t, data_call(d));
        least = fmin(least, 1e3 * (tool_now() - start));
    }
    t->watched = watched;
    return least;
}

static int64_t file_bytes(Tool *t, const char *path) {
    size_t n;
    tool_release(t, tool_file_read(t, path, &n));
    return (int64_t)n;
}

static void rows_print(Tool *t, const Rows *rows, const char *other, const double *ms) {
    int width = 5;
    for (int i = 0; i < rows->n; i++) width = (int)strlen(rows->at[i].layer) > width ? (int)strlen(rows->at[i].layer) : width;
    printf("%-*s  %-20s %11s  %9s  %9s  %s\n", width, "layer", "source", "elements", "signal", "cosine", "largest difference");
    for (int i = 0; i < rows->n; i++) row_print(&rows->at[i], width);
    int64_t a = file_bytes(t, t->artifact), b = file_bytes(t, other);
    printf("%s: %lld bytes, %s: %lld (%.1f %%)\n", t->artifact, (long long)a, other, (long long)b, 100.0 * (double)b / (double)a);
    if (ms[0] > 0 && ms[1] > 0)
        printf("%s: %.3g ms a batch, %s: %.3g (%.1f %%)\n", t->artifact, ms[0], other, ms[1], 100.0 * ms[1] / ms[0]);
}

int command_compare(Tool *t, int n, char **words) {
    if (n == 0 || strchr(words[0], '=')) tool_fail(t, EXIT_USAGE, "compare: with which artifact?");
    Tool u;
    tool_init(&u, t->program);
    u.o = t->o;
    u.pictures = t->pictures;
    u.watch = watch_floats;
    model_load(&u, words[0]);
    model_open(&u);
    const char *entry;
    Bindings b = bindings_merge(t, n - 1, words + 1, t->o.test_data ? t->o.test_data : run_text(t, "test_data"), &entry);
    if (!entry) tool_fail(t, EXIT_USAGE, "compare: which entry?");
    Data *mine = data_open(t, entry, &b, t->o.batch), *other = data_open(&u, entry, &b, t->o.batch);
    t->watched = tool_alloc(t, sizeof *t->watched);
    u.watched = tool_alloc(&u, sizeof *u.watched);
    Rows rows = {0};
    double ms[2] = {0, 0};
    stop_watch();
    int64_t samples = 0, more;
    for (int64_t i = 0; !stop_asked() && (more = data_next(t, mine, i)) > 0; i++) {
        if (data_next(&u, other, i) != more) tool_fail(t, EXIT_INPUT, "%s: the two take batches of different sizes", entry);
        data_call_run(t, mine, -1);
        data_call_run(&u, other, -1);
        rows_add(t, &rows, t->watched, u.watched);
        if (i == 0) {
            ms[0] = milliseconds(t, mine);
            ms[1] = milliseconds(&u, other);
        }
        watched_clear(t);
        watched_clear(&u);
        samples += more;
    }
    if (stop_asked()) tool_fail(t, EXIT_INTERRUPTED, "interrupted");
    if (!rows.n) tool_fail(t, EXIT_INPUT, "%s: nothing that one stores belongs to what the other stores", entry);
    tool_note(t, "%lld sample%s", (long long)samples, samples == 1 ? "" : "s");
    rows_print(t, &rows, words[0], ms);
    tool_free(&u);
    return EXIT_DONE;
}
