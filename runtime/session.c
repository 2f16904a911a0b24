/* session.c -- sessions and calls. A session owns everything that changes; an artifact's own data is never written. Every argument is
 * checked before an entry's code runs; what its code then refuses, it refuses before it changes a slot, or the session says so. */
#include "runtime/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static _Thread_local char open_error[1024];

void rt_open_error(const char *message) { snprintf(open_error, sizeof open_error, "%s", message); }

int rt_fail(mdl_session *s, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(s->error, sizeof s->error, format, ap);
    va_end(ap);
    return code;
}

const char *rt_error(const mdl_session *s) { return s ? s->error : open_error; }

int64_t rt_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- memory */

void *rt_alloc(mdl_session *s, int64_t bytes) {
    if (bytes < 0 || bytes > (int64_t)1 << 46) return NULL;
    size_t n = ((size_t)bytes + RT_ALIGN - 1) / RT_ALIGN * RT_ALIGN;
    if (n == 0) n = RT_ALIGN;
    if (s->memory) {
        if (n > s->memory_bytes - s->memory_used) return NULL;
        void *p = s->memory + s->memory_used;
        s->memory_used += n;
        return memset(p, 0, n);
    }
    size_t align = n >= (size_t)2 << 20 ? (size_t)2 << 20 : RT_ALIGN;
    size_t rounded = (n + align - 1) / align * align;
    void *p = aligned_alloc(align, rounded);
    if (!p) return NULL;
    if (align > RT_ALIGN) madvise(p, rounded, MADV_HUGEPAGE);
    return memset(p, 0, n);
}

void rt_release(mdl_session *s, void *p) {
    if (!s->memory) free(p);
}

int rt_arena_need(mdl_session *s, int64_t bytes) {
    if (bytes <= s->arena_bytes) return MDL_OK;
    if (s->memory) { /* the arena is whatever is left above the session's own blocks */
        s->arena = s->memory + s->memory_used;
        s->arena_bytes = (int64_t)(s->memory_bytes - s->memory_used);
        if (bytes <= s->arena_bytes) return MDL_OK;
        return rt_fail(s, MDL_MEMORY, "this call needs an arena of %lld bytes, and %lld of the caller's memory are left", (long long)bytes,
                       (long long)s->arena_bytes);
    }
    free(s->arena);
    s->arena = rt_alloc(s, bytes);
    s->arena_bytes = s->arena ? bytes : 0;
    return s->arena ? MDL_OK : rt_fail(s, MDL_MEMORY, "this call needs an arena of %lld bytes, more than there is", (long long)bytes);
}

/* ---- open, close */

static int open_failed(mdl_session *s, int code) {
    rt_open_error(s->error);
    rt_close(s);
    return code;
}

static int open_threads(mdl_session *s, const mdl_options *o) {
    s->threads = o->threads > 0 ? o->threads : rt_cpu_count();
    if (s->threads > 1024) return rt_fail(s, MDL_ARGUMENT, "%d threads: at most 1024", s->threads);
    s->parallel = o->parallel;
    s->parallel_pool = o->pool;
    if (!s->parallel && s->threads > 1) {
        s->pool = rt_pool_new(s->threads);
        if (!s->pool) return rt_fail(s, MDL_MEMORY, "the system refused to start %d threads", s->threads);
    }
    s->scratch_stride = (s->program->scratch + 4095) / 4096 * 4096 + RT_ALIGN; /* no two threads share a cache set pattern exactly */
    s->scratch = rt_alloc(s, s->scratch_stride * s->threads);
    s->parts = rt_alloc(s, (int64_t)sizeof *s->parts * s->threads);
    return s->scratch && s->parts ? MDL_OK : rt_fail(s, MDL_MEMORY, "no memory for %d threads", s->threads);
}

static int open_tables(mdl_session *s) {
    const RtProgram *p = s->program;
    s->slots = rt_alloc(s, (int64_t)sizeof *s->slots * p->n_slots);
    s->owned = rt_alloc(s, (int64_t)sizeof *s->owned * p->n_slots);
    s->dims = rt_alloc(s, (int64_t)sizeof *s->dims * p->n_slots);
    s->packs = rt_alloc(s, (int64_t)sizeof *s->packs * p->n_packs);
    s->pack_made = rt_alloc(s, (int64_t)sizeof *s->pack_made * p->n_packs);
    s->fixed = rt_alloc(s, (int64_t)sizeof *s->fixed * p->n_names);
    s->steps = rt_alloc(s, (int64_t)sizeof *s->steps * p->n_entries);
    if (!s->slots || !s->owned || !s->packs || !s->pack_made || !s->dims || !s->fixed || !s->steps)
        return rt_fail(s, MDL_MEMORY, "no memory for a session");
    for (int i = 0; i < p->n_names; i++) s->fixed[i] = -1;
    return MDL_OK;
}

int rt_open(const RtProgram *p, mdl_session **out, const mdl_options *options) {
    mdl_options o = {0};
    if (!out) {
        rt_open_error("open: no place to put the session");
        return MDL_ARGUMENT;
    }
    *out = NULL;
    if (options) memcpy(&o, options, options->size && options->size < sizeof o ? options->size : sizeof o);
    if (rt_cpu_level() < p->cpu_level) {
        snprintf(open_error, sizeof open_error, "%s was compiled for x86-64-v%d, and this processor runs x86-64-v%d at most; compile with --target=x86-64-v%d",
                 p->model->name, p->cpu_level, rt_cpu_level(), rt_cpu_level());
        return MDL_TARGET;
    }
    if (o.device.type > 1) {
        snprintf(open_error, sizeof open_error, "%s has code for the CPU only", p->model->name);
        return MDL_DEVICE;
    }
    if (o.flags & MDL_CHECK_NUMBERS) {
        snprintf(open_error, sizeof open_error, "MDL_CHECK_NUMBERS is not supported yet");
        return MDL_ARGUMENT;
    }
    if (o.memory && (uintptr_t)o.memory % RT_ALIGN) {
        snprintf(open_error, sizeof open_error, "the caller's memory is not aligned to %d bytes", RT_ALIGN);
        return MDL_ARGUMENT;
    }
    mdl_session *s = calloc(1, sizeof *s);
    if (!s) {
        rt_open_error("no memory for a session");
        return MDL_MEMORY;
    }
    s->model = p->model;
    s->program = p;
    s->flags = o.flags;
    s->seed = o.seed;
    s->log = o.log;
    s->log_context = o.log_context;
    s->memory = o.memory;
    s->memory_bytes = o.memory_bytes;
    int code = open_tables(s);
    if (!code) code = open_threads(s, &o);
    if (!code) code = rt_slots_open(s);
    if (!code && o.weights) code = rt_load(s, o.weights);
    if (code) return open_failed(s, code);
    s->memory_floor = s->memory_used;
    *out = s;
    return MDL_OK;
}

void rt_close(mdl_session *s) {
    if (!s) return;
    rt_pool_free(s->pool);
    for (int i = 0; s->slots && s->owned && i < s->program->n_slots; i++)
        if (s->owned[i]) rt_release(s, s->slots[i]);
    for (int i = 0; s->packs && i < s->program->n_packs; i++)
        if (s->packs[i]) rt_release(s, s->packs[i]);
    rt_release(s, s->packs);
    rt_release(s, s->pack_made);
    rt_release(s, s->slots);
    rt_release(s, s->owned);
    rt_release(s, s->dims);
    rt_release(s, s->fixed);
    rt_release(s, s->steps);
    rt_release(s, s->scratch);
    rt_release(s, s->parts);
    rt_release(s, s->arena);
    for (RtNote *n = s->notes, *next; n; n = next) {
        next = n->next;
        free(n->key);
        free(n->value);
        free(n);
    }
    free(s->counts);
    free(s);
}

bool rt_enter(mdl_session *s) { return !atomic_exchange(&s->busy, 1); }
void rt_leave(mdl_session *s) { atomic_store(&s->busy, 0); }

/* ---- kernels */

#define CHUNKS 4 /* of each thread's part: what another thread takes over at a time */

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
    char *scratch = r->session->scratch + r->session->scratch_stride * i;
    for (int v = 0; v < r->threads; v++) {
        int part = (i + v) % r->threads;
        int64_t begin = r->count * part / r->threads, end = r->count * (part + 1) / r->threads;
        int64_t chunk = (end - begin + CHUNKS - 1) / CHUNKS;
        for (int64_t p0; begin < end && (p0 = begin + chunk * atomic_fetch_add(&r->session->parts[part].next, 1)) < end;)
            r->thunk(r->args, r->sizes, scratch, p0, p0 + chunk < end ? p0 + chunk : end);
    }
}

static void count_kernel(mdl_session *s, const RtKernel *k, int64_t ns) {
    int i = 0;
    while (i < s->n_counts && s->counts[i].kernel != k) i++;
    if (i == s->n_counts) {
        if (s->n_counts == s->cap_counts) {
            int cap = s->cap_counts ? 2 * s->cap_counts : 64;
            RtCount *more = realloc(s->counts, sizeof *more * (size_t)cap);
            if (!more) return;
            s->counts = more;
            s->cap_counts = cap;
        }
        s->counts[s->n_counts++] = (RtCount){.kernel = k};
    }
    s->counts[i].calls++;
    s->counts[i].ns += ns;
}

void rt_parallel(RtFrame *f, const RtKernel *k, RtThunk *thunk, void *const *args, const int64_t *sizes, int64_t count) {
    mdl_session *s = f->session;
    if (count <= 0) return;
    int64_t start = s->flags & MDL_PROFILE ? rt_now() : 0;
    Region r = {thunk, args, sizes, count, s->threads, s};
    if (count == 1 || s->threads == 1) {
        thunk(args, sizes, s->scratch, 0, count);
    } else {
        for (int i = 0; i < s->threads; i++) atomic_store_explicit(&s->parts[i].next, 0, memory_order_relaxed);
        if (s->parallel) s->parallel(s->parallel_pool, s->threads, run_part, &r);
        else rt_pool_run(s->pool, run_part, &r);
    }
    if (s->flags & MDL_PROFILE) count_kernel(s, k, rt_now() - start);
}

int rt_stats(const mdl_session *s, int32_t kernel, const char **name, const char **source, int64_t *calls, int64_t *ns) {
    if (!s || kernel < 0 || kernel >= s->n_counts) return MDL_ARGUMENT;
    const RtCount *c = &s->counts[kernel];
    if (name) *name = c->kernel->name;
    if (source) *source = c->kernel->source;
    if (calls) *calls = c->calls;
    if (ns) *ns = c->ns;
    return MDL_OK;
}

/* ---- calls */

static int check_sizes(mdl_session *s, const mdl_entry *e, const int64_t *given, int64_t *sizes) {
    for (int i = 0; i < e->n_sizes; i++) {
        const mdl_size *z = &s->program->names[e->sizes[i]];
        int64_t v = given[i];
        if (v < z->low || (z->high >= 0 && v > z->high)) {
            if (z->high < 0) return rt_fail(s, MDL_RANGE, "%s: %s = %lld is not at least %lld", e->name, z->name, (long long)v, (long long)z->low);
            return rt_fail(s, MDL_RANGE, "%s: %s = %lld is not in %lld..%lld", e->name, z->name, (long long)v, (long long)z->low, (long long)z->high);
        }
        sizes[e->sizes[i]] = v;
    }
    return MDL_OK;
}

static int run_entry(mdl_session *s, int32_t index, const int64_t *sizes, char *const *inputs, char *const *outputs) {
    const RtEntry *e = &s->program->entries[index];
    const char *name = s->model->entries[index].name;
    if (s->broken && (s->broken == 2 || e->n_touched))
        return rt_fail(s, MDL_BROKEN, "%s: an earlier call failed after it had begun to change %s: %s first", name,
                       s->broken == 2 ? "weights" : "caches", s->broken == 2 ? "load a checkpoint" : "reset the session");
    int code = rt_packs_need(s, e, sizes);
    if (!code) code = rt_slots_touch(s, e, name, sizes);
    for (int i = 0; i < e->n_stored && !code; i++) code = rt_slot_own(s, e->stored[i]);
    if (!code) code = rt_arena_need(s, e->arena(sizes));
    if (code) return code;
    uint64_t step = s->steps[index];
    RtFrame f = {.session = s, .sizes = sizes, .inputs = inputs, .outputs = outputs, .slots = s->slots, .packs = s->packs, .arena = s->arena,
                 .rng = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32), (uint32_t)step, (uint32_t)(step >> 32)}};
    code = e->run(&f);
    if (!code) {
        s->steps[index]++;
        return MDL_OK;
    }
    for (int i = 0; f.changed && i < e->n_stored; i++) {
        int kind = s->program->slots[e->stored[i]].value->kind == MDL_CACHE ? 1 : 2;
        if (kind > s->broken) s->broken = kind;
    }
    return code;
}

int rt_call_raw(const RtProgram *p, mdl_session *s, int32_t entry, const int64_t *sizes, char *const *inputs, char *const *outputs) {
    if (!s) {
        rt_open_error("a call without a session");
        return MDL_ARGUMENT;
    }
    if (!rt_enter(s)) return MDL_BUSY;
    const mdl_entry *e = &p->model->entries[entry];
    int64_t values[p->n_names + 1];
    memset(values, 0, sizeof values);
    int code = s->program == p ? check_sizes(s, e, sizes, values) : rt_fail(s, MDL_ARGUMENT, "%s: the session is another model's", e->name);
    for (int i = 0; i < e->n_inputs && !code; i++)
        if (!inputs[i]) code = rt_fail(s, MDL_ARGUMENT, "%s: %s is NULL", e->name, e->inputs[i].name);
    for (int i = 0; i < e->n_outputs && !code; i++)
        if (!outputs[i]) code = rt_fail(s, MDL_ARGUMENT, "%s: result %s is NULL", e->name, e->outputs[i].name);
    if (!code) code = run_entry(s, entry, values, inputs, outputs);
    rt_leave(s);
    return code;
}

static int dtype_bytes(mdl_dtype t) { return t.code == 6 ? 1 : t.bits / 8; }

const char *rt_dtype_name(mdl_dtype t) {
    static const struct {
        uint8_t code, bits;
        const char *name;
    } ROW[] = {{2, 64, "f64"}, {2, 32, "f32"}, {2, 16, "f16"}, {4, 16, "bf16"}, {0, 64, "i64"}, {0, 32, "i32"},
               {0, 16, "i16"}, {0, 8, "i8"},   {1, 8, "u8"},   {1, 32, "u32"},  {6, 8, "bool"}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        if (ROW[i].code == t.code && ROW[i].bits == t.bits) return ROW[i].name;
    return "an unknown type";
}

static void shape_text(char *out, size_t size, const int64_t *dims, int rank) {
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && n < size; i++) n += (size_t)snprintf(out + n, size - n, i ? ", %lld" : "%lld", (long long)dims[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

/* A tensor of the caller against what the entry declares. */
static int check_tensor(mdl_session *s, const char *entry, const mdl_value *v, const int64_t *dims, const mdl_tensor *t) {
    char want[160], got[160];
    if (!t || !t->data) return rt_fail(s, MDL_ARGUMENT, "%s: %s has no data", entry, v->name);
    if (t->device.type > 1) return rt_fail(s, MDL_ARGUMENT, "%s: %s is not in the memory of the CPU", entry, v->name);
    if (t->dtype.code != v->dtype.code || t->dtype.bits != v->dtype.bits)
        return rt_fail(s, MDL_ARGUMENT, "%s: %s must be %s, but it is %s", entry, v->name, rt_dtype_name(v->dtype), rt_dtype_name(t->dtype));
    if (t->rank < 0 || t->rank > RT_MAX_RANK) return rt_fail(s, MDL_ARGUMENT, "%s: %s has rank %d", entry, v->name, t->rank);
    bool same = t->rank == v->rank;
    for (int i = 0; same && i < t->rank; i++) same = t->shape[i] == dims[i];
    if (same) return MDL_OK;
    shape_text(want, sizeof want, dims, v->rank);
    shape_text(got, sizeof got, t->shape, t->rank);
    return rt_fail(s, MDL_ARGUMENT, "%s: %s must be %s, but it is %s", entry, v->name, want, got);
}

static bool contiguous(const mdl_tensor *t) {
    int64_t stride = 1;
    for (int i = t->rank - 1; t->strides && i >= 0; i--) {
        if (t->shape[i] != 1 && t->strides[i] != stride) return false;
        stride *= t->shape[i];
    }
    return true;
}

/* Between a strided tensor and row-major memory. */
static void copy_strided(const mdl_tensor *t, char *flat, bool out) {
    int64_t at[RT_MAX_RANK] = {0}, n = rt_count(t->shape, t->rank), width = dtype_bytes(t->dtype);
    for (int64_t k = 0; k < n; k++) {
        int64_t offset = 0;
        for (int i = 0; i < t->rank; i++) offset += at[i] * t->strides[i];
        char *p = (char *)t->data + t->offset + offset * width;
        memcpy(out ? p : flat + k * width, out ? flat + k * width : p, (size_t)width);
        for (int i = t->rank - 1; i >= 0 && ++at[i] == t->shape[i]; i--) at[i] = 0;
    }
}

static int tensor_pointers(mdl_session *s, const mdl_entry *e, RtShapeFunction *const *shapes, const mdl_value *values, int n, const int64_t *sizes,
                           const mdl_tensor *tensors, char **data, bool *temporary) {
    for (int i = 0; i < n; i++) {
        int64_t dims[RT_MAX_RANK] = {0};
        shapes[i](sizes, dims);
        int code = check_tensor(s, e->name, &values[i], dims, &tensors[i]);
        if (code) return code;
        data[i] = (char *)tensors[i].data + tensors[i].offset;
        int width = dtype_bytes(tensors[i].dtype);
        if (contiguous(&tensors[i]) && (uintptr_t)data[i] % (uintptr_t)width == 0) continue;
        int64_t count = rt_count(dims, values[i].rank);
        data[i] = malloc((size_t)(count * width) + 1);
        if (!data[i]) return rt_fail(s, MDL_MEMORY, "%s: no memory for a copy of %s", e->name, values[i].name);
        temporary[i] = true;
    }
    return MDL_OK;
}

int rt_call(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_tensor *outputs) {
    if (!s) {
        rt_open_error("a call without a session");
        return MDL_ARGUMENT;
    }
    if (!rt_enter(s)) return MDL_BUSY;
    const RtProgram *p = s->program;
    if (entry < 0 || entry >= p->n_entries) {
        rt_leave(s);
        return rt_fail(s, MDL_ARGUMENT, "there is no entry number %d", entry);
    }
    const mdl_entry *e = &p->model->entries[entry];
    const RtEntry *r = &p->entries[entry];
    int64_t values[p->n_names + 1];
    char *in[e->n_inputs + 1], *out[e->n_outputs + 1];
    bool in_copy[e->n_inputs + 1], out_copy[e->n_outputs + 1];
    memset(values, 0, sizeof values);
    memset(in_copy, 0, sizeof in_copy);
    memset(out_copy, 0, sizeof out_copy);
    int code = MDL_OK;
    if ((e->n_sizes && !sizes) || (e->n_inputs && !inputs) || (e->n_outputs && !outputs)) code = rt_fail(s, MDL_ARGUMENT, "%s: arguments are missing", e->name);
    if (!code) code = check_sizes(s, e, sizes, values);
    if (!code) code = tensor_pointers(s, e, r->input_dims, e->inputs, e->n_inputs, values, inputs, in, in_copy);
    if (!code) code = tensor_pointers(s, e, r->output_dims, e->outputs, e->n_outputs, values, outputs, out, out_copy);
    for (int i = 0; i < e->n_inputs && !code; i++)
        if (in_copy[i]) copy_strided(&inputs[i], in[i], false);
    if (!code) code = run_entry(s, entry, values, in, out);
    for (int i = 0; i < e->n_outputs && !code; i++)
        if (out_copy[i]) copy_strided(&outputs[i], out[i], true);
    for (int i = 0; i < e->n_inputs; i++)
        if (in_copy[i]) free(in[i]);
    for (int i = 0; i < e->n_outputs; i++)
        if (out_copy[i]) free(out[i]);
    rt_leave(s);
    return code;
}

/* ---- what a program says of itself */

int64_t rt_count(const int64_t *dims, int rank) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(n, dims[i], &n) || n >> 62) return -1;
    return n;
}

/* sizes: those of the entry the value belongs to, in the order of its C function; of all names for values of the model. */
int rt_shape(const RtProgram *p, const mdl_value *v, const int64_t *sizes, int64_t *shape) {
    if (!v || !shape) return MDL_ARGUMENT;
    int64_t values[p->n_names + 1];
    memset(values, 0, sizeof values);
    for (int i = 0; i < p->n_entries; i++) {
        const mdl_entry *e = &p->model->entries[i];
        bool input = v >= e->inputs && v < e->inputs + e->n_inputs, output = v >= e->outputs && v < e->outputs + e->n_outputs;
        if (!input && !output) continue;
        if (e->n_sizes && !sizes) return MDL_ARGUMENT;
        for (int k = 0; k < e->n_sizes; k++) values[e->sizes[k]] = sizes[k];
        (input ? p->entries[i].input_dims[v - e->inputs] : p->entries[i].output_dims[v - e->outputs])(values, shape);
        return MDL_OK;
    }
    for (int i = 0; i < p->n_slots; i++) {
        if (p->slots[i].value != v) continue;
        for (int k = 0; sizes && k < p->n_names; k++) values[k] = sizes[k];
        p->slot_dims[i](values, shape);
        return MDL_OK;
    }
    return MDL_ARGUMENT;
}

int64_t rt_bytes(const RtProgram *p, int32_t entry, const int64_t *sizes) {
    int64_t values[p->n_names + 1], total = 0, round = RT_ALIGN - 1;
    memset(values, 0, sizeof values);
    if (entry >= p->n_entries || (entry >= 0 && p->model->entries[entry].n_sizes && !sizes)) return -1;
    for (int k = 0; entry >= 0 && k < p->model->entries[entry].n_sizes; k++) values[p->model->entries[entry].sizes[k]] = sizes[k];
    for (int i = 0; i < p->n_slots; i++)
        if (p->slots[i].value->kind != MDL_CACHE) total += (p->slots[i].bytes(values) + round) / RT_ALIGN * RT_ALIGN;
    total += (int64_t)p->n_slots * (int64_t)(sizeof(char *) + sizeof(bool) + sizeof(int64_t) * RT_MAX_RANK) + (p->n_names + p->n_entries) * 8 + 5 * RT_ALIGN;
    total += ((p->scratch + 4095) / 4096 * 4096 + RT_ALIGN + (int64_t)sizeof(RtPart)) * rt_cpu_count();
    total += p->n_packs * (int64_t)(sizeof(char *) + sizeof(bool)) + 2 * RT_ALIGN;
    if (entry < 0) return total;
    const RtEntry *e = &p->entries[entry];
    total += rt_packs_bytes(p, e, values);
    for (int i = 0; i < e->n_touched; i++)
        if (p->slots[e->touched[i]].value->kind == MDL_CACHE) total += (p->slots[e->touched[i]].bytes(values) + round) / RT_ALIGN * RT_ALIGN;
    int64_t arena = e->arena(values), most = arena;
    for (int i = 0; i < p->n_slots; i++) {
        int64_t need = p->slots[i].init_arena ? p->slots[i].init_arena(values) : 0;
        if (need > most) most = need;
    }
    return total + most;
}

int64_t rt_flops(const RtProgram *p, int32_t entry, const int64_t *sizes) {
    int64_t values[p->n_names + 1];
    memset(values, 0, sizeof values);
    if (entry < 0 || entry >= p->n_entries || (p->model->entries[entry].n_sizes && !sizes)) return -1;
    for (int k = 0; k < p->model->entries[entry].n_sizes; k++) values[p->model->entries[entry].sizes[k]] = sizes[k];
    return p->entries[entry].flops ? p->entries[entry].flops(values) : -1;
}

int rt_seed(mdl_session *s, uint64_t seed) {
    if (!s) return MDL_ARGUMENT;
    if (!rt_enter(s)) return MDL_BUSY;
    s->seed = seed;
    memset(s->steps, 0, sizeof *s->steps * (size_t)s->program->n_entries);
    rt_leave(s);
    return MDL_OK;
}

int rt_note(mdl_session *s, const char *key, const char *value, char *out, size_t out_size) {
    if (!s || !key) return MDL_ARGUMENT;
    RtNote **at = &s->notes; /* sorted by key: a checkpoint's bytes do not depend on the order of the notes */
    while (*at && strcmp((*at)->key, key) < 0) at = &(*at)->next;
    RtNote *n = *at && strcmp((*at)->key, key) == 0 ? *at : NULL;
    if (!value) {
        if (!n) return rt_fail(s, MDL_ARGUMENT, "there is no note %s", key);
        if (out && out_size) snprintf(out, out_size, "%s", n->value);
        return MDL_OK;
    }
    char *copy = strdup(value);
    if (!n && copy) {
        n = calloc(1, sizeof *n);
        if (n) {
            n->key = strdup(key);
            n->next = *at;
            if (n->key) *at = n;
        }
    }
    if (!copy || !n || !n->key) {
        if (n && !n->key) free(n);
        free(copy);
        return rt_fail(s, MDL_MEMORY, "no memory for a note");
    }
    free(n->value);
    n->value = copy;
    return MDL_OK;
}

/* Compares with values recorded at compile time; artifacts hold none yet. */
int rt_selftest(mdl_session *s, const char **first_wrong_layer, double *error) {
    if (first_wrong_layer) *first_wrong_layer = NULL;
    if (error) *error = 0;
    return s ? rt_fail(s, MDL_ARGUMENT, "this artifact holds no recorded values to compare with") : MDL_ARGUMENT;
}
