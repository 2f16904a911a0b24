/* session.c -- sessions and calls. A session owns everything that changes; an artifact's own data is never written. Every argument is
 * checked before an entry's code runs; what its code then refuses, it refuses before it changes a slot, or the session says so. */
#include "runtime/internal.h"

int rt_open_failed(int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    rt_text_list(rt_host_open_error(), RT_ERROR, format, ap);
    va_end(ap);
    return code;
}

int rt_fail(mdl_session *s, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    rt_text_list(s->error, sizeof s->error, format, ap);
    va_end(ap);
    return code;
}

const char *rt_error(const mdl_session *s) { return s ? s->error : rt_host_open_error(); }

/* ---- memory */

static size_t aligned(int64_t bytes) { return (size_t)rt_aligned(bytes); }

static bool fits(const mdl_session *s, int64_t bytes) {
    return bytes >= 0 && bytes < PTRDIFF_MAX - 2 * RT_ALIGN && aligned(bytes) <= s->memory_bytes - s->memory_used;
}

void *rt_alloc(mdl_session *s, int64_t bytes) {
    if (!s->memory) return rt_host_take(bytes);
    if (!fits(s, bytes)) return NULL;
    void *p = s->memory + s->memory_used;
    s->memory_used += aligned(bytes);
    return memset(p, 0, aligned(bytes));
}

void rt_release(mdl_session *s, void *p) {
    if (!s->memory) rt_host_give(p);
}

void rt_room(mdl_session *s, int64_t bytes) {
    if (s->memory || bytes <= s->room_bytes) return; /* the caller's memory is one block */
    RtBlock *b = rt_host_take(bytes + (int64_t)sizeof *b);
    if (!b) return;
    *b = (RtBlock){.next = s->blocks, .bytes = bytes};
    s->blocks = b;
    s->room = (char *)(b + 1);
    s->room_bytes = bytes;
}

void *rt_place(mdl_session *s, int64_t bytes) {
    if (bytes < 1 || bytes > s->room_bytes) return rt_alloc(s, bytes);
    void *p = s->room;
    s->room += rt_aligned(bytes);
    s->room_bytes -= rt_aligned(bytes);
    return p;
}

void rt_displace(mdl_session *s, void *p) {
    char *at = p;
    for (RtBlock *b = s->blocks; b; b = b->next)
        if (at > (char *)b && at - (char *)(b + 1) < b->bytes) return;
    rt_release(s, p);
}

/* From the end of the caller's memory, since what a call makes at the rising mark is there to stay. */
void *rt_borrow(mdl_session *s, int64_t bytes) {
    if (!s->memory) return rt_host_take(bytes);
    if (!fits(s, bytes + RT_ALIGN - 1)) return NULL; /* the end need not be aligned */
    s->memory_bytes = (s->memory_bytes - aligned(bytes)) / RT_ALIGN * RT_ALIGN;
    s->arena_bytes = 0; /* it reached to the end */
    return s->memory + s->memory_bytes;
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
    rt_host_give(s->arena);
    s->arena = rt_alloc(s, bytes);
    s->arena_bytes = s->arena ? bytes : 0;
    return s->arena ? MDL_OK : rt_fail(s, MDL_MEMORY, "this call needs an arena of %lld bytes, more than there is", (long long)bytes);
}

/* ---- open, close */

static int64_t scratch_stride(const RtProgram *p) { /* no two threads share a cache set pattern exactly */
    return (p->scratch + 4095) / 4096 * 4096 + RT_ALIGN;
}

/* What threads work with: parts, scratch, what the calls of a kernel hand on. */
static int64_t work_bytes(const RtProgram *p, int threads) {
    return (scratch_stride(p) + (int64_t)sizeof(RtPart)) * threads + p->shared;
}

static int open_threads(mdl_session *s, const mdl_options *o) {
    if (o->threads > RT_MAX_THREADS) return rt_fail(s, MDL_ARGUMENT, "%d threads: at most %d", o->threads, RT_MAX_THREADS);
    s->parallel = o->parallel;
    s->parallel_pool = o->pool;
    s->threads = s->parallel && o->threads > 0 ? o->threads : rt_host_threads(o->threads);
    if (!s->parallel && s->threads > 1) {
        s->pool = rt_host_pool(s->threads);
        if (!s->pool) return rt_fail(s, MDL_MEMORY, "the system refused to start %d threads", s->threads);
    }
    const RtProgram *here = rt_here(s->program); /* makes initial values */
    s->scratch_stride = scratch_stride(here);
    s->parts = rt_alloc(s, work_bytes(here, s->threads));
    if (!s->parts) return rt_fail(s, MDL_MEMORY, "no memory for %d thread%s", s->threads, s->threads == 1 ? "" : "s");
    s->scratch = (char *)(s->parts + s->threads);
    s->shared = s->scratch + s->scratch_stride * s->threads;
    return MDL_OK;
}

/* The tables of a session by slot, pack and entry lie behind it. */
#define OF(field) sizeof *((mdl_session *)0)->field
enum {
    SLOT_BYTES = OF(dims) + OF(spare_bytes) + OF(slots) + OF(spare) + OF(owned),
    PACK_BYTES = OF(packs) + OF(pack_made),
    ENTRY_BYTES = OF(steps)
};
const int32_t rt_session_layout[] = {sizeof(mdl_session), SLOT_BYTES, PACK_BYTES, ENTRY_BYTES, sizeof(RtPart)};

static int64_t session_bytes(const RtProgram *p) {
    return (int64_t)sizeof(mdl_session) + SLOT_BYTES * (int64_t)p->n_slots + PACK_BYTES * (int64_t)p->n_packs + ENTRY_BYTES * (int64_t)p->n_entries;
}

/* The most aligned first. */
static void tables_place(mdl_session *s) {
    const RtProgram *p = s->program;
    s->steps = (uint64_t *)(s + 1);
    s->dims = (int64_t(*)[RT_MAX_RANK])(s->steps + p->n_entries);
    s->spare_bytes = (int64_t *)(s->dims + p->n_slots);
    s->slots = (char **)(s->spare_bytes + p->n_slots);
    s->spare = s->slots + p->n_slots;
    s->packs = s->spare + p->n_slots;
    s->owned = (bool *)(s->packs + p->n_packs);
    s->pack_made = s->owned + p->n_slots;
}

/* What can be refused before there is a session. */
static int check_options(const RtProgram *p, const mdl_options *o) {
    const char *name = p->model->name;
    int code = p->check ? p->check(p) : MDL_OK;
    if (code) return code;
    if (o->device.type > 1 && !rt_device(p)) return rt_open_failed(MDL_DEVICE, "%s has code for the CPU only", name);
    if (!rt_host_clock && (o->flags & MDL_PROFILE || o->trace))
        return rt_open_failed(MDL_ARGUMENT, "%s wants a clock, and this artifact has none: it was compiled with --runtime=core", o->trace ? "a trace" : "MDL_PROFILE");
    if (o->memory && (uintptr_t)o->memory % RT_ALIGN)
        return rt_open_failed(MDL_ARGUMENT, "the caller's memory is not aligned to %d bytes", RT_ALIGN);
    return MDL_OK;
}

/* The session itself lies in the memory that it will hand out. */
static mdl_session *session_new(const RtProgram *p, const mdl_options *o) {
    mdl_session outline = {.memory = o->memory, .memory_bytes = o->memory_bytes};
    mdl_session *s = rt_alloc(&outline, session_bytes(p));
    if (!s) return NULL;
    s->model = p->model;
    s->program = p;
    s->flags = o->flags;
    s->seed = o->seed;
    s->trace = o->trace;
    s->trace_context = o->trace_context;
    s->log = o->log;
    s->log_context = o->log_context;
    s->watch = o->watch;
    s->watch_context = o->watch_context;
    s->memory = outline.memory;
    s->memory_bytes = outline.memory_bytes;
    s->memory_used = outline.memory_used;
    tables_place(s);
    return s;
}

int rt_open(const RtProgram *p, mdl_session **out, const mdl_options *options) {
    mdl_options o = {0};
    if (!out) return rt_open_failed(MDL_ARGUMENT, "open: no place to put the session");
    *out = NULL;
    if (options) memcpy(&o, options, options->size && options->size < sizeof o ? options->size : sizeof o);
    if (rt_device(p) && !(p = p->device->runtime->choose(p, &o))) return MDL_DEVICE;
    int code = check_options(p, &o);
    if (code) return code;
    mdl_session *s = session_new(p, &o);
    if (!s) return rt_open_failed(MDL_MEMORY, "no memory for a session%s", o.memory ? "" : "; mdl_options can bring it");
    code = open_threads(s, &o);
    if (!code && rt_device(p)) code = p->device->runtime->open(s, o.device.id);
    bool elsewhere = o.weights || o.flags & MDL_NO_INIT; /* the caller brings all weights */
    if (!code && p->external && !elsewhere) code = p->external->open(s, p->external);
    if (!code) code = rt_slots_open(s);
    if (!code && o.weights) code = rt_load(s, o.weights);
    if (!code && o.flags & MDL_COPY_WEIGHTS && !s->device) code = rt_slots_copy(s);
    if (code) {
        rt_open_failed(code, "%s", s->error);
        rt_close(s);
        return code;
    }
    s->memory_floor = s->memory_used;
    *out = s;
    return MDL_OK;
}

void rt_close(mdl_session *s) {
    if (!s) return;
    if (rt_device(s->program) && s->device) s->program->device->runtime->close(s);
    rt_host_pool_free(s->pool);
    for (int i = 0; i < s->program->n_slots; i++)
        if (s->owned[i]) rt_displace(s, s->slots[i]);
    for (int i = 0; i < s->program->n_packs; i++) rt_displace(s, s->packs[i]);
    for (RtBlock *b = s->blocks, *next; b; b = next) {
        next = b->next;
        rt_host_give(b);
    }
    rt_release(s, s->parts);
    rt_release(s, s->arena);
    for (RtNote *n = s->notes, *next; n; n = next) {
        next = n->next;
        rt_host_give(n->value);
        rt_host_give(n);
    }
    rt_host_give(s->counts);
    if (s->external) s->program->external->close(s, s->program->external);
    rt_release(s, s);
}

bool rt_enter(mdl_session *s) { return !atomic_exchange(&s->busy, 1); }
void rt_leave(mdl_session *s) { atomic_store(&s->busy, 0); }

/* ---- what a program says of itself */

int64_t rt_count(const int64_t *dims, int rank) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(n, dims[i], &n) || n >> 62) return -1;
    return n;
}

/* Counts the computed axes of rows until the row `until`; false: it is none of these. */
static bool count_computed(const mdl_value *rows, int n, const mdl_value *until, int32_t *count) {
    for (int i = 0; i < n && &rows[i] != until; i++)
        for (int k = 0; k < rows[i].rank; k++) *count += rows[i].dims[k] == MDL_COMPUTED;
    return until >= rows && until < rows + n;
}

/* The measure of the first computed axis of v. */
static int32_t first_computed(const mdl_model *m, const mdl_value *v) {
    int32_t n = 0;
    bool found = count_computed(m->values, m->n_values, v, &n);
    for (int i = 0; i < m->n_entries && !found; i++)
        found = count_computed(m->entries[i].inputs, m->entries[i].n_inputs, v, &n) || count_computed(m->entries[i].outputs, m->entries[i].n_outputs, v, &n);
    return n;
}

void rt_dims(const RtProgram *p, const mdl_value *v, const int64_t *sizes, int64_t *dims) {
    int32_t number = RT_UNMEASURED;
    for (int i = 0; i < v->rank; i++) {
        int64_t d = v->dims[i];
        if (d == MDL_COMPUTED) {
            number = number < 0 ? first_computed(p->model, v) : number + 1;
            d = p->measure(number, sizes);
        } else if (d < 0) {
            d = sizes[MDL_NAMED - d];
        }
        dims[i] = d;
    }
}

/* Values of all size names of the program, from those of an entry, in the order of its C function. False: there is no such entry, or
 * sizes are missing. */
static bool sizes_of(const RtProgram *p, int32_t entry, const int64_t *sizes, int64_t *values) {
    memset(values, 0, sizeof *values * (size_t)p->n_names);
    if (entry < 0 || entry >= p->n_entries) return false;
    const mdl_entry *e = &p->model->entries[entry];
    for (int k = 0; sizes && k < e->n_sizes; k++) values[e->sizes[k]] = sizes[k];
    return sizes || !e->n_sizes;
}

static bool among(const mdl_value *v, const mdl_value *rows, int n) { return v >= rows && v < rows + n; }

/* sizes: those of the entry the value belongs to, in the order of its C function; of all names for values of the model. */
int rt_shape(const RtProgram *p, const mdl_value *v, const int64_t *sizes, int64_t *shape) {
    if (!v || !shape) return MDL_ARGUMENT;
    int64_t values[p->n_names + 1];
    bool known = among(v, p->model->values, p->n_slots);
    if (known) sizes_of(p, -1, NULL, values);
    for (int k = 0; known && sizes && k < p->n_names; k++) values[k] = sizes[k];
    for (int i = 0; i < p->n_entries && !known; i++) {
        const mdl_entry *e = &p->model->entries[i];
        known = (among(v, e->inputs, e->n_inputs) || among(v, e->outputs, e->n_outputs)) && sizes_of(p, i, sizes, values);
    }
    if (known) rt_dims(p, v, values, shape);
    return known ? MDL_OK : MDL_ARGUMENT;
}

static int64_t slot_aligned(const RtProgram *p, int slot, const int64_t *values) {
    const mdl_value *v = &p->model->values[slot];
    int64_t dims[RT_MAX_RANK];
    rt_dims(p, v, values, dims);
    return (int64_t)aligned(rt_count(dims, v->rank) * rt_width(v->dtype));
}

int64_t rt_bytes(const RtProgram *p, int32_t entry, const int64_t *sizes) {
    int64_t values[p->n_names + 1], total = (int64_t)aligned(session_bytes(p)), most = 0;
    if (!sizes_of(p, entry, sizes, values) && entry >= 0) return -1;
    for (int i = 0; i < p->n_slots; i++)
        if (p->model->values[i].kind != MDL_CACHE) total += slot_aligned(p, i, values);
    total += (int64_t)aligned(work_bytes(p, rt_host_threads(0)));
    if (entry < 0) return total;
    const RtEntry *e = &p->entries[entry];
    total += rt_packs_bytes(p, e, values);
    for (int i = 0; i < e->n_touched; i++)
        if (p->model->values[e->slots[i]].kind == MDL_CACHE) total += slot_aligned(p, e->slots[i], values);
    for (int i = -1; i < p->n_slots; i++) {
        int32_t arena = i < 0 ? e->arena : p->slots[i].init_arena;
        int64_t need = arena == RT_UNMEASURED ? 0 : (i < 0 ? p : rt_here(p))->measure(arena, values);
        if (need > most) most = need;
    }
    return total + most;
}

int64_t rt_flops(const RtProgram *p, int32_t entry, const int64_t *sizes) {
    int64_t values[p->n_names + 1];
    return sizes_of(p, entry, sizes, values) ? p->measure(p->entries[entry].flops, values) : -1;
}

int rt_seed(mdl_session *s, uint64_t seed) {
    if (!s) return MDL_ARGUMENT;
    if (!rt_enter(s)) return MDL_BUSY;
    s->seed = seed;
    memset(s->steps, 0, sizeof *s->steps * (size_t)s->program->n_entries);
    rt_leave(s);
    return MDL_OK;
}

/* ---- notes: never in the caller's memory, where a reset would take them back */

static char *text_copy(const char *text) {
    size_t n = rt_text_length(text) + 1;
    char *copy = rt_host_take((int64_t)n);
    return copy ? memcpy(copy, text, n) : NULL;
}

static RtNote *note_new(const char *key, RtNote *next) {
    RtNote *n = rt_host_take((int64_t)(sizeof *n + rt_text_length(key) + 1));
    if (!n) return NULL;
    n->next = next;
    memcpy(n->key, key, rt_text_length(key) + 1);
    return n;
}

int rt_note(mdl_session *s, const char *key, const char *value, char *out, size_t out_size) {
    if (!s || !key) return MDL_ARGUMENT;
    RtNote **at = &s->notes; /* sorted by key: a checkpoint's bytes do not depend on the order of the notes */
    while (*at && rt_text_order((*at)->key, key) < 0) at = &(*at)->next;
    RtNote *n = *at && rt_text_order((*at)->key, key) == 0 ? *at : NULL;
    if (!value) {
        if (!n) return rt_fail(s, MDL_ARGUMENT, "there is no note %s", key);
        if (out && out_size) rt_text(out, out_size, "%s", n->value);
        return MDL_OK;
    }
    char *copy = text_copy(value);
    if (copy && !n) {
        n = note_new(key, *at);
        if (n) *at = n;
    }
    if (!copy || !n) {
        rt_host_give(copy);
        return rt_fail(s, MDL_MEMORY, "no memory for a note");
    }
    rt_host_give(n->value);
    n->value = copy;
    return MDL_OK;
}

/* Of an artifact that holds no recorded values to compare with; else it is rt_selftest_recorded. */
int rt_selftest(mdl_session *s, const char **first_wrong_layer, double *error) {
    if (first_wrong_layer) *first_wrong_layer = NULL;
    if (error) *error = 0;
    return s ? rt_fail(s, MDL_ARGUMENT, "this artifact holds no recorded values to compare with") : MDL_ARGUMENT;
}
