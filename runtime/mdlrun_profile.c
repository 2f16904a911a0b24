/* mdlrun_profile.c -- where the time of `bench` goes. --profile: a row a kernel, with what it computed and moved and which
 * share of the machine's floor that is. --trace: every kernel of every call on a line of time, in the JSON that Perfetto and
 * chrome://tracing open
 * ("Trace Event Format"). */
#include "runtime/mdlrun.h"
#include "runtime/mdlrun_probe.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row {
    const char *name, *source, *path;
    int64_t calls, ns, flops, bytes;
    double floor; /* ns that the machine would take at best; 0: nothing is known of the kernel */
} Row;

typedef struct Rows {
    Row *at;
    int n;
    int64_t ns, bytes;             /* of all */
    double flops_rate, bytes_rate; /* of the machine, a second */
} Rows;

struct Profile { /* what had been counted when the clock began, in the session's order */
    Row *at;
    int n;
};

static int row_compare(const void *a, const void *b) {
    const Row *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

static bool work_known(const Tool *t) {
    return t->model->size >= offsetof(mdl_model, work) + sizeof t->model->work && t->model->work;
}

static int threads_used(const Tool *t) {
    cpu_set_t set;
    if (t->o.threads > 0) return t->o.threads;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* Row i of the session; false: there is none. */
static bool row_read(const Tool *t, int i, Row *row) {
    *row = (Row){.path = ""};
    if (t->model->stats(t->session, i, &row->name, &row->source, &row->calls, &row->ns) != MDL_OK) return false;
    if (work_known(t)) t->model->work(t->session, i, &row->path, &row->flops, &row->bytes);
    return true;
}

void profile_begin(Tool *t) {
    Row row;
    Profile *p = t->profile = tool_alloc(t, sizeof *p);
    while (row_read(t, p->n, &row)) p->n++;
    p->at = tool_alloc(t, sizeof row * (size_t)p->n);
    for (int i = 0; i < p->n; i++) row_read(t, i, &p->at[i]);
}

/* Kernels by time, over `calls` calls of the entry since profile_begin. A kernel finds little in the caches that the whole call
 * goes through in between: so the floor of memory is that of a set as large as all that a call moves. */
static Rows rows_read(Tool *t, int64_t calls) {
    Rows r = {0};
    int all = 0;
    Row row;
    while (row_read(t, all, &row)) all++;
    r.at = tool_alloc(t, sizeof row * (size_t)all);
    for (int i = 0; i < all; i++) {
        row_read(t, i, &row);
        if (i < t->profile->n) {
            const Row *before = &t->profile->at[i];
            row.calls -= before->calls;
            row.ns -= before->ns;
            row.flops -= before->flops;
            row.bytes -= before->bytes;
        }
        if (row.calls == 0) continue; /* it made weights, or their copies */
        r.at[r.n++] = row;
        r.ns += row.ns;
        r.bytes += row.bytes;
    }
    if (r.n) qsort(r.at, (size_t)r.n, sizeof *r.at, row_compare);
    enum { LARGEST = 256 << 20 }; /* of any cache */
    int64_t set = r.bytes / calls < LARGEST ? r.bytes / calls : LARGEST;
    if (!work_known(t)) return r;
    r.flops_rate = probe_flops(threads_used(t));
    r.bytes_rate = probe_bandwidth(set, threads_used(t));
    for (int i = 0; i < r.n && r.flops_rate > 0 && r.bytes_rate > 0; i++) {
        double compute = (double)r.at[i].flops / r.flops_rate, move = (double)r.at[i].bytes / r.bytes_rate;
        r.at[i].floor = 1e9 * (compute > move ? compute : move);
    }
    return r;
}

void profile_print(Tool *t, int64_t calls) {
    Rows r = rows_read(t, calls);
    if (r.flops_rate > 0)
        printf("this machine, %d thread%s: %.4g GFLOP/s, %.3g GB/s from the %.3g MB that a call moves\n", threads_used(t),
               threads_used(t) == 1 ? "" : "s", r.flops_rate * 1e-9, r.bytes_rate * 1e-9,
               1e-6 * (double)r.bytes / (double)calls);
    printf("%10s  %6s  %6s  %7s  %8s  %5s  kernel\n", "us", "share", "calls", "GFLOP/s", "MB", "floor");
    for (int i = 0; i < r.n; i++) {
        const Row *k = &r.at[i];
        double each = 1.0 / (double)calls;
        printf("%10.1f  %5.1f%%  %6.4g", 1e-3 * (double)k->ns * each, r.ns ? 100.0 * (double)k->ns / (double)r.ns : 0.0,
               (double)k->calls * each);
        if (k->flops && k->ns) printf("  %7.1f", (double)k->flops / (double)k->ns);
        else printf("  %7s", "");
        printf("  %8.3f", 1e-6 * (double)k->bytes * each);
        if (k->floor > 0 && k->ns) printf("  %4.0f%%", 100.0 * k->floor / (double)k->ns);
        else printf("  %5s", "");
        printf("  %s%s%s%s%s\n", k->name, *k->source || *k->path ? "  // " : "", k->path, *k->path && *k->source ? " " : "",
               k->source);
    }
}

json_t *profile_json(Tool *t, int64_t calls) {
    Rows r = rows_read(t, calls);
    json_t *list = json_array();
    for (int i = 0; i < r.n; i++) {
        const Row *k = &r.at[i];
        double each = 1.0 / (double)calls;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:f}", "kernel", k->name, "layer", k->path,
                                              "source", k->source, "calls", (double)k->calls * each, "us",
                                              1e-3 * (double)k->ns * each, "flops", (json_int_t)(k->flops / calls), "bytes",
                                              (json_int_t)(k->bytes / calls), "floor_us", 1e-3 * k->floor * each));
    }
    return json_pack("{s:i, s:f, s:f, s:o}", "threads", threads_used(t), "gflops", r.flops_rate * 1e-9, "gbytes",
                     r.bytes_rate * 1e-9, "kernels", list);
}

/* ---- --trace ------------------------------------------------------------------------------------------------------------- */

typedef struct Event {
    const char *name, *path, *source;
    int thread;
    int64_t begin, end; /* ns */
} Event;

struct Trace {
    Event *at;
    int n, cap;
};

static void event_add(Tool *t, Event e) {
    Trace *r = t->trace;
    if (r->n == r->cap) {
        r->at = tool_resize(t, r->at, sizeof e * (size_t)r->cap, sizeof e * (size_t)(2 * r->cap + 256));
        r->cap = 2 * r->cap + 256;
    }
    r->at[r->n++] = e;
}

void trace_kernel(void *context, const char *name, const char *path, const char *source, int32_t thread, int64_t begin,
                  int64_t end) {
    Tool *t = context;
    if (t->trace) event_add(t, (Event){name, path, source, thread, begin, end});
}

void trace_begin(Tool *t) {
    if (t->o.trace && (t->model->size < offsetof(mdl_model, work) + sizeof t->model->work))
        tool_fail(t, EXIT_INPUT, "--trace: %s was made by an older modelc, whose artifacts tell no times", t->model->name);
    if (t->o.trace) t->trace = tool_alloc(t, sizeof *t->trace);
}

void trace_call(Tool *t, const char *entry, double begin, double end) {
    if (t->trace) event_add(t, (Event){entry, "", "", -1, (int64_t)(1e9 * begin), (int64_t)(1e9 * end)});
}

/* Lane 0 is the calls, lane 1 + i is thread i. Times in microseconds from the first event. */
void trace_write(Tool *t) {
    const Trace *r = t->trace;
    if (!r) return;
    FILE *f = tool_file_create(t, t->o.trace);
    int64_t zero = INT64_MAX;
    for (int i = 0; i < r->n; i++)
        if (r->at[i].begin < zero) zero = r->at[i].begin;
    fputs("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n", f);
    for (int i = 0; i <= threads_used(t); i++) {
        const char *name = i ? tool_printf(t, "thread %d", i - 1) : "calls";
        fprintf(f, "{\"ph\": \"M\", \"pid\": 1, \"tid\": %d, \"name\": \"thread_name\", \"args\": {\"name\": \"%s\"}}%s\n", i,
                name, r->n || i < threads_used(t) ? "," : "");
    }
    for (int i = 0; i < r->n; i++) {
        const Event *e = &r->at[i];
        json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:f, s:f, s:{s:s, s:s}}", "ph", "X", "name", e->name, "pid", 1, "tid",
                              e->thread + 1, "ts", 1e-3 * (double)(e->begin - zero), "dur", 1e-3 * (double)(e->end - e->begin),
                              "args", "layer", e->path, "source", e->source);
        if (!o || json_dumpf(o, f, JSON_SORT_KEYS | JSON_REAL_PRECISION(12)))
            tool_fail(t, EXIT_INPUT, "cannot write %s", t->o.trace);
        json_decref(o);
        fputs(i + 1 < r->n ? ",\n" : "\n", f);
    }
    fputs("]}\n", f);
    tool_file_commit(t, f, t->o.trace);
}
