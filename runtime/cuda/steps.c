/* steps.c -- what the code of an entry asks of the device: kernels, copies, zeros, one after another. They are written down first, and sent when the
 * entry is at its end or the processor wants to see a value (of an assert, say): what lies between two such points is a part of the call. If
 * a part asks for exactly what it asked for in the last call of its entry (the same kernels, sizes and addresses), the driver captures it as one
 * graph; as long as it asks for the same, the graph is launched instead of the steps. What differs from call to call and is small (the random
 * counter, scalars) lies in memory that is filled before, and is no part of the graph. MDL_GRAPHS=0 in the environment: no graphs. */
#include "runtime/checksum.h"
#include "runtime/cuda/device.h"
#include "runtime/host/libc.h"

enum { THREADS = 128, WARPS = THREADS / 32, PARAMETERS = 256, MOST = 1 << 16 /* steps of a graph */ };
typedef enum { STEP_RUN, STEP_COPY, STEP_CLEAR } StepKind;
/* In words: STEP_RUN kernel blocks n, n parameters; STEP_COPY to from bytes; STEP_CLEAR to bytes 0 */
enum { HEAD = 4 };

bool cu_graphs_wanted(void) {
    const char *v = getenv("MDL_GRAPHS");
    return !v || v[0] != '0' || v[1];
}

/* ---- writing down */

/* Room for a step of n words behind its head; NULL: there is none, and the call fails. */
static int64_t *step_add(RtDeviceState *d, StepKind kind, int64_t a, int64_t b, int64_t c, int n) {
    if (d->n_words + HEAD + n > d->cap_words) {
        int64_t more = 2 * d->cap_words + HEAD + PARAMETERS;
        int64_t *list = rt_host_take(more * (int64_t)sizeof *list);
        if (!list) {
            cu_check(d, CU_OUT_OF_MEMORY, "the processor's memory");
            return NULL;
        }
        if (d->n_words) memcpy(list, d->words, (size_t)d->n_words * sizeof *list);
        rt_host_give(d->words);
        d->words = list;
        d->cap_words = more;
    }
    int64_t *step = d->words + d->n_words;
    d->n_words += HEAD + n;
    d->n_steps++;
    step[0] = kind;
    step[1] = a;
    step[2] = b;
    step[3] = c;
    return step + HEAD;
}

/* ---- sending */

static void run(RtDeviceState *d, int64_t *step) {
    void *parameters[PARAMETERS + 1]; /* NULL behind them */
    const RtDeviceKernel *row = &d->session->program->device->kernels[step[1]];
    int n = (int)step[3];
    for (int i = 0; i < n; i++) parameters[i] = &step[HEAD + i];
    parameters[n] = NULL;
    cu_check(d, d->driver->launch(d->functions[step[1]], (unsigned)step[2], 1, 1, THREADS, 1, 1, (unsigned)row->group, d->stream, parameters, NULL), row->name);
}

static void steps_send(RtDeviceState *d) {
    const CuDriver *c = d->driver;
    for (int64_t at = 0; at < d->n_words && !d->error;) {
        int64_t *step = d->words + at;
        switch ((StepKind)step[0]) {
        case STEP_RUN: run(d, step); break;
        case STEP_COPY: cu_check(d, c->copy_inside((CuAddress)step[1], (CuAddress)step[2], (size_t)step[3], d->stream), "a copy"); break;
        case STEP_CLEAR: cu_check(d, c->memory_set((CuAddress)step[1], 0, (size_t)step[2], d->stream), "zeros"); break;
        }
        at += HEAD + (step[0] == STEP_RUN ? step[3] : 0);
    }
}

/* ---- graphs */

static void graph_forget(RtDeviceState *d, Graph *g) {
    if (g->graph) d->driver->graph_free(g->graph);
    rt_host_give(g->words);
    *g = (Graph){.last = g->last};
}

/* False: the driver makes none, and nothing was sent. */
static bool graph_make(RtDeviceState *d, Graph *g) {
    const CuDriver *c = d->driver;
    CuHandle captured = NULL;
    const char *text = NULL;
    int64_t bytes = d->n_words * (int64_t)sizeof *d->words;
    char note[RT_ERROR];
    graph_forget(d, g);
    g->words = rt_host_take(bytes);
    if (!g->words) return false;
    memcpy(g->words, d->words, (size_t)bytes);
    g->n_words = d->n_words;
    int code = c->capture_begin(d->stream, CU_CAPTURE_RELAXED);
    if (!code) {
        steps_send(d);
        int end = c->capture_end(d->stream, &captured);
        code = d->error ? d->error : end;
    }
    if (!code) code = c->graph_new(&g->graph, captured, 0);
    if (captured) c->captured_free(captured);
    if (!code) return true;
    g->graph = NULL;
    d->error = 0;
    d->graphs_wanted = false;
    c->error_text(code, &text);
    rt_text(note, sizeof note, "%s: the driver makes no graph: %s (%d)", d->session->model->name, text ? text : "an unknown error", code);
    if (d->session->log) d->session->log(d->session->log_context, 1, note);
    return false;
}

/* Its words are all that it knows: where they are equal, it has the addresses of this call, whoever had that memory in between. */
static bool graph_does(const RtDeviceState *d, const Graph *g) {
    bool same = g->graph && g->n_words == d->n_words;
    for (int64_t i = 0; same && i < d->n_words; i++) same = g->words[i] == d->words[i];
    return same;
}

/* The graph of the part that ends, made if it is time; NULL: its steps are sent one by one. */
static Graph *graph_of(RtDeviceState *d) {
    if (!d->graphs_wanted || d->part >= CU_PARTS) return NULL;
    Graph *g = &d->graphs[d->entry * CU_PARTS + d->part];
    if (graph_does(d, g)) return g;
    uint64_t now = checksum_add(0, d->words, d->n_words * (int64_t)sizeof *d->words), last = g->last;
    g->last = now;
    return now == last && d->n_steps > 1 && d->n_steps <= MOST && graph_make(d, g) ? g : NULL;
}

void cu_flush(RtDeviceState *d) {
    if (!d->n_words || d->error) return;
    Graph *g = graph_of(d);
    cu_small_send(d);
    if (!g) steps_send(d);
    else if (!d->error) cu_check(d, d->driver->graph_launch(g->graph, d->stream), "its kernels");
    d->n_words = d->n_steps = 0;
    d->part++;
}

void cu_graphs_free(RtDeviceState *d) {
    for (int i = 0; d->graphs && i < CU_PARTS * d->session->program->n_entries; i++) graph_forget(d, &d->graphs[i]);
}

/* ---- what the code of entries calls */

/* A call's parameters but for the device's scratch, in words: arguments where the device finds them, sizes. */
static void call_words(RtDeviceState *d, int64_t *word, int32_t n_args, void *const *args, const int64_t *bytes, int32_t n_sizes, const int64_t *sizes) {
    for (int i = 0; i < n_args; i++) word[i] = (int64_t)cu_bring(d, args[i], bytes[i]);
    for (int i = 0; i < n_sizes; i++) word[n_args + i] = sizes[i];
}

/* The maps of a call with these arguments and sizes, where the device finds them; 0: its lanes copy. They are small values, which do not change from
 * call to call as long as addresses do not. */
static CuAddress maps_bring(RtDeviceState *d, const RtDeviceKernel *k, const int64_t *word, int32_t n_args) {
    _Alignas(64) char maps[RT_MAPS * RT_MAP_BYTES];
    if (!d->by_maps || d->error || !cu_maps_make(d->driver->map_make, k, word, word + n_args, maps)) return 0;
    return cu_small(d, maps, k->n_maps * RT_MAP_BYTES);
}

static int64_t blocks_of(const RtDeviceKernel *k, int64_t count) { return count <= 0 ? 0 : k->group ? count : (count + WARPS - 1) / WARPS; }

/* Calls that run at once: blocks for each in proportion to what it has to do, and each call's first one. The table of them is a small value on
 * its way, so what differs from call to call is no part of a graph. What it is in words: codegen/cuda/lower.h. Returns all blocks. */
static int64_t table_fill(RtDeviceState *d, const RtDeviceKernel *k, int64_t *table, int32_t rows, int32_t n_args, void *const *args, const int64_t *bytes, int32_t n_sizes,
                          const int64_t *sizes, const int64_t *counts, int64_t most) {
    int64_t wanted = 0, first = 0;
    int words = 1 + n_args + n_sizes;
    for (int i = 0; i < rows; i++) wanted += blocks_of(k, counts[i]);
    for (int i = 0; i < rows; i++) {
        int64_t blocks = blocks_of(k, counts[i]);
        table[i * words] = first;
        call_words(d, table + i * words + 1, n_args, args + i * n_args, bytes + i * n_args, n_sizes, sizes + i * n_sizes);
        if (wanted > most && blocks > 1) blocks = blocks * most / wanted > 1 ? blocks * most / wanted : 1;
        first += blocks;
    }
    return table[rows * words] = first;
}

/* word: table, rows; returns all blocks. */
static int64_t table_bring(RtDeviceState *d, const RtDeviceKernel *k, int64_t *word, int32_t rows, int32_t n_args, void *const *args, const int64_t *bytes, int32_t n_sizes,
                           const int64_t *sizes, const int64_t *counts, int64_t most) {
    int64_t size = ((1 + n_args + n_sizes) * (int64_t)rows + 1) * (int64_t)sizeof *word;
    int64_t *table = rt_host_take(size);
    if (!table) {
        cu_check(d, CU_OUT_OF_MEMORY, "the processor's memory");
        return 0;
    }
    cu_small_launch(d, rows * n_args, args, bytes, size);
    int64_t blocks = table_fill(d, k, table, rows, n_args, args, bytes, n_sizes, sizes, counts, most);
    word[0] = blocks && !d->error ? (int64_t)cu_small(d, table, size) : 0;
    word[1] = rows;
    rt_host_give(table);
    return blocks;
}

void rt_device_run(RtFrame *f, const RtKernel *k, int32_t kernel, int32_t rows, int32_t n_args, void *const *args, const int64_t *bytes, int32_t n_sizes,
                   const int64_t *sizes, const int64_t *counts) {
    RtDeviceState *d = f->session->device;
    const RtDeviceKernel *row = &f->session->program->device->kernels[kernel];
    int64_t word[PARAMETERS], blocks, most = (int64_t)d->processors * (row->memory ? 2 : 16);
    int n = (rows ? 2 : n_args + n_sizes) + 1;
    bool fits = n <= PARAMETERS;
    (void)k;
    if (d->error) return;
    for (int i = 0; i < (rows ? rows : 1); i++) fits = fits && counts[i] <= INT32_MAX;
    if (!fits) {
        cu_check(d, 1, row->name);
        return;
    }
    if (rows) {
        blocks = table_bring(d, row, word, rows, n_args, args, bytes, n_sizes, sizes, counts, most);
    } else {
        blocks = blocks_of(row, counts[0]) < most ? blocks_of(row, counts[0]) : most;
        cu_small_launch(d, n_args, args, bytes, row->n_maps * RT_MAP_BYTES);
        if (blocks) call_words(d, word, n_args, args, bytes, n_sizes, sizes);
    }
    if (!blocks || d->error) return;
    if (row->memory && !cu_block_need(d, &d->scratch, row->memory * WARPS * blocks)) return;
    word[n - 1] = (int64_t)(row->n_maps ? maps_bring(d, row, word, n_args) : d->scratch.at);
    int64_t *step = step_add(d, STEP_RUN, kernel, blocks, n, n);
    if (step) memcpy(step, word, (size_t)n * sizeof *word);
}

void rt_device_copy(RtFrame *f, void *to, const void *from, int64_t bytes) {
    RtDeviceState *d = f->session->device;
    if (bytes <= 0 || d->error) return;
    CuAddress source = cu_bring(d, from, bytes);
    if (!d->error) step_add(d, STEP_COPY, (int64_t)(uintptr_t)to, (int64_t)source, bytes, 0);
}

void rt_device_clear(RtFrame *f, void *to, int64_t bytes) {
    RtDeviceState *d = f->session->device;
    if (bytes > 0 && !d->error) step_add(d, STEP_CLEAR, (int64_t)(uintptr_t)to, bytes, 0, 0);
}
