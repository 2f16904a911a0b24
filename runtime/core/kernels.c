/* kernels.c -- a kernel's iterations are dealt out over threads, and counted where a profile is kept. */
#include "runtime/internal.h"

#define CHUNKS 16 /* of each thread's part: what another thread takes over at a time */

typedef struct Region {
    RtThunk *thunk;
    void *const *args;
    const int64_t *sizes;
    int64_t count;
    int threads;
    mdl_session *session;
} Region;

/* Thread i works through part i, so that it finds in its cache what it wrote before, then helps with the others' parts. */
static void run_part(void *context, int32_t i) {
    const Region *r = context;
    RtPart *own = &r->session->parts[i];
    bool traced = rt_host_clock && r->session->trace;
    if (traced) own->begin = rt_host_now();
    char *scratch = r->session->scratch + r->session->scratch_stride * i;
    for (int v = 0; v < r->threads; v++) {
        int part = (i + v) % r->threads;
        int64_t begin = r->count * part / r->threads, end = r->count * (part + 1) / r->threads;
        int64_t chunk = (end - begin + CHUNKS - 1) / CHUNKS;
        for (int64_t p0; begin < end && (p0 = begin + chunk * atomic_fetch_add(&r->session->parts[part].next, 1)) < end;)
            r->thunk(r->args, r->sizes, scratch, p0, p0 + chunk < end ? p0 + chunk : end);
    }
    if (traced) own->end = rt_host_now();
}

const char *rt_kernel_text(const RtKernel *k, RtKernelText which) {
    const char *text = (const char *)&k->floats[k->n_floats];
    for (int i = which; i > 0; text++) i -= !*text;
    return text;
}

static void count_kernel(const RtFrame *f, const RtKernel *k, int64_t ns) {
    mdl_session *s = f->session;
    int i = 0;
    while (i < s->n_counts && s->counts[i].kernel != k) i++;
    if (i == s->n_counts) {
        if (s->n_counts == s->cap_counts) {
            int cap = s->cap_counts ? 2 * s->cap_counts : 64;
            RtCount *more = rt_host_take((int64_t)sizeof *more * cap); /* it grows, so never in the caller's memory */
            if (!more) return;
            if (i) memcpy(more, s->counts, sizeof *more * (size_t)i);
            rt_host_give(s->counts);
            s->counts = more;
            s->cap_counts = cap;
        }
        s->counts[s->n_counts++] = (RtCount){.kernel = k};
    }
    s->counts[i].calls++;
    s->counts[i].ns += ns;
    if (k->flops != RT_UNMEASURED) s->counts[i].flops += s->program->measure(k->flops, f->sizes);
    if (k->bytes != RT_UNMEASURED) s->counts[i].bytes += s->program->measure(k->bytes, f->sizes);
}

static void trace_kernel(const mdl_session *s, const RtKernel *k, bool shared, int64_t begin, int64_t end) {
    for (int i = 0; i < (shared ? s->threads : 1); i++) {
        if (shared) begin = s->parts[i].begin, end = s->parts[i].end;
        if (begin) s->trace(s->trace_context, rt_kernel_text(k, RT_KERNEL_NAME), rt_kernel_text(k, RT_KERNEL_PATH), rt_kernel_text(k, RT_KERNEL_SOURCE), i, begin, end);
    }
}

void rt_parallel(RtFrame *f, const RtKernel *k, RtThunk *thunk, void *const *args, const int64_t *sizes, int64_t count) {
    mdl_session *s = f->session;
    if (count <= 0 || f->nan) return;
    bool timed = rt_host_clock && (s->flags & MDL_PROFILE || s->trace), shared = count > 1 && s->threads > 1;
    int64_t start = timed ? rt_host_now() : 0;
    Region r = {thunk, args, sizes, count, s->threads, s};
    if (!shared) {
        thunk(args, sizes, s->scratch, 0, count);
    } else {
        for (int i = 0; i < s->threads; i++) {
            atomic_store_explicit(&s->parts[i].next, 0, memory_order_relaxed);
            s->parts[i].begin = 0; /* it may come too late to take part */
        }
        if (s->parallel) s->parallel(s->parallel_pool, s->threads, run_part, &r);
        else rt_host_pool_run(s->pool, run_part, &r);
    }
    int64_t end = timed ? rt_host_now() : 0;
    if (timed && s->flags & MDL_PROFILE) count_kernel(f, k, end - start);
    if (timed && s->trace) trace_kernel(s, k, shared, start, end);
    if (f->numbers) rt_check_kernel(f, k, args);
}

int rt_stats(const mdl_session *s, int32_t kernel, const char **name, const char **source, int64_t *calls, int64_t *ns) {
    if (!rt_host_clock || !s || kernel < 0 || kernel >= s->n_counts) return MDL_ARGUMENT;
    const RtCount *c = &s->counts[kernel];
    if (name) *name = rt_kernel_text(c->kernel, RT_KERNEL_NAME);
    if (source) *source = rt_kernel_text(c->kernel, RT_KERNEL_SOURCE);
    if (calls) *calls = c->calls;
    if (ns) *ns = c->ns;
    return MDL_OK;
}

int rt_work(const mdl_session *s, int32_t kernel, const char **path, int64_t *flops, int64_t *bytes) {
    if (!rt_host_clock || !s || kernel < 0 || kernel >= s->n_counts) return MDL_ARGUMENT;
    const RtCount *c = &s->counts[kernel];
    if (path) *path = rt_kernel_text(c->kernel, RT_KERNEL_PATH);
    if (flops) *flops = c->flops;
    if (bytes) *bytes = c->bytes;
    return MDL_OK;
}
