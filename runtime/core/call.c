/* call.c -- from a call to its kernels: arguments are checked, tensors of the caller made row-major, slots, packs and the arena ready,
 * then the entry's code runs. */
#include "runtime/internal.h"

static int check_sizes(mdl_session *s, const mdl_entry *e, const int64_t *given, int64_t *sizes) {
    for (int i = 0; i < e->n_sizes; i++) {
        const mdl_size *z = &s->model->sizes[e->sizes[i]];
        int64_t v = given[i], high = z->high < 0 ? INT32_MAX : z->high;
        if (v < z->low || v > high)
            return rt_fail(s, MDL_RANGE, z->high < 0 && v < z->low ? "%s: %s = %lld is not at least %lld" : "%s: %s = %lld is not in %lld..%lld", e->name, z->name,
                           (long long)v, (long long)z->low, (long long)high);
        sizes[e->sizes[i]] = v;
    }
    return MDL_OK;
}

static int nan_said(mdl_session *s, const char *entry, const RtKernel *k) {
    const char *path = rt_kernel_text(k, RT_KERNEL_PATH), *source = rt_kernel_text(k, RT_KERNEL_SOURCE);
    const char *at = *source ? source : rt_kernel_text(k, RT_KERNEL_NAME);
    return *path ? rt_fail(s, MDL_NUMBER, "%s: first NaN in %s (%s)", entry, path, at) : rt_fail(s, MDL_NUMBER, "%s: first NaN at %s", entry, at);
}

static int run_entry(mdl_session *s, int32_t index, const int64_t *sizes, char *const *inputs, char *const *outputs, const bool *there) {
    const RtEntry *e = &s->program->entries[index];
    const char *name = s->model->entries[index].name;
    if (s->broken && (s->broken == 2 || e->n_touched))
        return rt_fail(s, MDL_BROKEN, "%s: an earlier call failed after it had begun to change %s: %s first", name,
                       s->broken == 2 ? "weights" : "caches", s->broken == 2 ? "load a checkpoint" : "reset the session");
    const RtDeviceRuntime *device = rt_device(s->program) ? rt_device(s->program)->runtime : NULL;
    int code = rt_packs_need(s, e, sizes);
    if (!code) code = rt_slots_touch(s, e, name, sizes);
    int64_t missing = 0;
    for (int i = 0; i < e->n_stored; i++) missing += rt_slot_missing(s, rt_stored(e)[i]);
    rt_room(s, missing);
    for (int i = 0; i < e->n_stored && !code; i++) code = rt_slot_own(s, rt_stored(e)[i]);
    if (!code && !device) code = rt_arena_need(s, s->program->measure(e->arena, sizes));
    if (code) return code;
    uint64_t step = s->steps[index];
    RtFrame f = {.session = s, .sizes = sizes, .inputs = inputs, .outputs = outputs, .slots = s->slots, .packs = s->packs, .arena = s->arena,
                 .shared = s->shared,
                 .rng = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32), (uint32_t)step, (uint32_t)(step >> 32)},
                 .numbers = (s->flags & MDL_CHECK_NUMBERS) || s->watch};
#ifdef RT_DEVICES
    f.there = there;
#else
    (void)there;
#endif
    code = s->flags & MDL_CHECK_NUMBERS ? rt_check_inputs(&f, &s->model->entries[index]) : MDL_OK;
    if (!code && device) code = device->enter(&f, e, &s->model->entries[index]);
    if (!code) code = e->run(&f);
    if (device) code = device->leave(&f, e, &s->model->entries[index], outputs, code);
    if (f.nan) code = nan_said(s, name, f.nan);
    if (!code) {
        s->steps[index]++;
        rt_slots_reset(s, e);
        return MDL_OK;
    }
    for (int i = 0; f.changed && i < e->n_stored; i++) {
        int kind = rt_slot_value(s, rt_stored(e)[i])->kind == MDL_CACHE ? 1 : 2;
        if (kind > s->broken) s->broken = kind;
    }
    return code;
}

int rt_call_raw(const RtProgram *p, mdl_session *s, int32_t entry, const int64_t *sizes, char *const *inputs, char *const *outputs) {
    if (!s) return rt_open_failed(MDL_ARGUMENT, "a call without a session");
    if (!rt_enter(s)) return MDL_BUSY;
    const mdl_entry *e = &p->model->entries[entry];
    int64_t values[p->n_names + 1];
    memset(values, 0, sizeof values);
    int code = s->model == p->model ? check_sizes(s, e, sizes, values) : rt_fail(s, MDL_ARGUMENT, "%s: the session is another model's", e->name);
    for (int i = 0; i < e->n_inputs && !code; i++)
        if (!inputs[i]) code = rt_fail(s, MDL_ARGUMENT, "%s: %s is NULL", e->name, e->inputs[i].name);
    for (int i = 0; i < e->n_outputs && !code; i++)
        if (!outputs[i]) code = rt_fail(s, MDL_ARGUMENT, "%s: result %s is NULL", e->name, e->outputs[i].name);
    if (!code) code = run_entry(s, entry, values, inputs, outputs, NULL);
    rt_leave(s);
    return code;
}

int rt_width(mdl_dtype t) { return t.code == 6 ? 1 : t.bits / 8; }

const char *rt_dtype_name(mdl_dtype t) {
    static const struct {
        uint8_t code, bits;
        char name[7]; /* here, not pointed at: a pointer costs a relocation */
    } ROW[] = {{2, 64, "f64"}, {2, 32, "f32"}, {2, 16, "f16"}, {4, 16, "bf16"}, {0, 64, "i64"}, {0, 32, "i32"},
               {0, 16, "i16"}, {0, 8, "i8"},   {1, 8, "u8"},   {1, 32, "u32"},  {6, 8, "bool"},
               {10, 8, "f8e4m3"}, {12, 8, "f8e5m2"}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        if (ROW[i].code == t.code && ROW[i].bits == t.bits) return ROW[i].name;
    return "an unknown type";
}

void rt_shape_text(char *out, size_t size, const int64_t *dims, int rank) {
    size_t n = rt_text(out, size, "[");
    for (int i = 0; i < rank && n < size; i++) n += rt_text(out + n, size - n, i ? ", %lld" : "%lld", (long long)dims[i]);
    if (n < size) rt_text(out + n, size - n, "]");
}

int rt_tensor_check(mdl_session *s, const char *entry, const mdl_value *v, const int64_t *dims, const mdl_tensor *t) {
    char want[160], got[160];
    if (!t || !t->data) return rt_fail(s, MDL_ARGUMENT, "%s: %s has no data", entry, v->name);
    if (t->device.type > 1) return rt_fail(s, MDL_ARGUMENT, "%s: %s is not in the memory of the CPU", entry, v->name);
    if (t->dtype.code != v->dtype.code || t->dtype.bits != v->dtype.bits)
        return rt_fail(s, MDL_ARGUMENT, "%s: %s must be %s, but it is %s", entry, v->name, rt_dtype_name(v->dtype), rt_dtype_name(t->dtype));
    if (t->rank < 0 || t->rank > RT_MAX_RANK) return rt_fail(s, MDL_ARGUMENT, "%s: %s has rank %d", entry, v->name, t->rank);
    bool same = t->rank == v->rank;
    for (int i = 0; same && i < t->rank; i++) same = t->shape[i] == dims[i];
    if (same) return MDL_OK;
    rt_shape_text(want, sizeof want, dims, v->rank);
    rt_shape_text(got, sizeof got, t->shape, t->rank);
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

void rt_tensor_copy(const mdl_tensor *t, char *flat, bool out) {
    int64_t at[RT_MAX_RANK] = {0}, n = rt_count(t->shape, t->rank), width = rt_width(t->dtype);
    char *whole = (char *)t->data + t->offset;
    if (contiguous(t)) {
        memcpy(out ? whole : flat, out ? flat : whole, (size_t)(n * width));
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        int64_t offset = 0;
        for (int i = 0; i < t->rank; i++) offset += at[i] * t->strides[i];
        char *p = (char *)t->data + t->offset + offset * width;
        memcpy(out ? p : flat + k * width, out ? flat + k * width : p, (size_t)width);
        for (int i = t->rank - 1; i >= 0 && ++at[i] == t->shape[i]; i--) at[i] = 0;
    }
}

/* Where the tensors of an entry's inputs or outputs lie, or their row-major copies. */
typedef struct Places {
    char **data;
    bool *copied;
    bool *there; /* on the device; NULL in a runtime that knows none */
} Places;

#ifdef RT_DEVICES
/* Does it lie on the session's device? */
static bool lies_there(const mdl_session *s, const mdl_tensor *t) {
    return rt_device(s->program) && t->device.type == 2 && t->device.id == s->program->device->runtime->number(s);
}

/* A tensor of a call: it may lie there. */
static int tensor_check(mdl_session *s, const char *entry, const mdl_value *v, const int64_t *dims, const mdl_tensor *t) {
    mdl_tensor here = *t;
    if (lies_there(s, t)) here.device.type = 1;
    else if (rt_device(s->program) && t->device.type > 1)
        return rt_fail(s, MDL_ARGUMENT, "%s: %s is neither in the memory of the CPU nor of cuda:%d", entry, v->name, s->program->device->runtime->number(s));
    return rt_tensor_check(s, entry, v, dims, &here);
}
#else
#define tensor_check rt_tensor_check
static bool lies_there(const mdl_session *s, const mdl_tensor *t) { return (void)s, (void)t, false; }
#endif

static int tensor_pointers(mdl_session *s, const mdl_entry *e, const mdl_value *values, int n, const int64_t *sizes, const mdl_tensor *tensors, Places p) {
    for (int i = 0; i < n; i++) {
        int64_t dims[RT_MAX_RANK];
        rt_dims(s->program, &values[i], sizes, dims);
        int code = tensor_check(s, e->name, &values[i], dims, &tensors[i]);
        if (code) return code;
        p.data[i] = (char *)tensors[i].data + tensors[i].offset;
        if (RT_KNOWS_DEVICES) p.there[i] = lies_there(s, &tensors[i]);
        int width = rt_width(tensors[i].dtype);
        if (contiguous(&tensors[i]) && (uintptr_t)p.data[i] % (uintptr_t)width == 0) continue;
        if (RT_KNOWS_DEVICES && p.there[i]) return rt_fail(s, MDL_ARGUMENT, "%s: %s lies on the device, and not row by row without gaps", e->name, values[i].name);
        int64_t count = rt_count(dims, values[i].rank);
        p.data[i] = rt_borrow(s, count * width);
        if (!p.data[i]) return rt_fail(s, MDL_MEMORY, "%s: no memory for a copy of %s", e->name, values[i].name);
        p.copied[i] = true;
    }
    return MDL_OK;
}

/* A call whose sizes are known; values: of all names. Inline: most runtimes call it once. */
__attribute__((always_inline)) static inline int call_tensors(mdl_session *s, int32_t entry, const int64_t *values, const mdl_tensor *inputs, const mdl_tensor *outputs) {
    const mdl_entry *e = &s->model->entries[entry];
    int n = e->n_inputs + e->n_outputs;
    char *data[n + 1];
    bool copied[n + 1], there[RT_KNOWS_DEVICES ? n + 1 : 1];
    memset(copied, 0, sizeof copied);
    if (RT_KNOWS_DEVICES) memset(there, 0, sizeof there);
    Places in = {data, copied, there}, out = {data + e->n_inputs, copied + e->n_inputs, RT_KNOWS_DEVICES ? there + e->n_inputs : NULL};
    size_t memory_bytes = s->memory_bytes;
    int code = tensor_pointers(s, e, e->inputs, e->n_inputs, values, inputs, in);
    if (!code) code = tensor_pointers(s, e, e->outputs, e->n_outputs, values, outputs, out);
    for (int i = 0; i < e->n_inputs && !code; i++)
        if (in.copied[i]) rt_tensor_copy(&inputs[i], in.data[i], false);
    if (!code) code = run_entry(s, entry, values, in.data, out.data, there);
    for (int i = 0; i < e->n_outputs && !code; i++)
        if (out.copied[i]) rt_tensor_copy(&outputs[i], out.data[i], true);
    for (int i = 0; i < n; i++)
        if (copied[i]) rt_release(s, data[i]);
    s->memory_bytes = memory_bytes;
    return code;
}

/* The values of all size names, if the entry is one and nothing is missing. outputs: there is a place for them. */
static int call_begin(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, bool outputs, int64_t *values) {
    if (entry < 0 || entry >= s->program->n_entries) return rt_fail(s, MDL_ARGUMENT, "there is no entry number %d", entry);
    const mdl_entry *e = &s->model->entries[entry];
    memset(values, 0, sizeof *values * (size_t)s->program->n_names);
    if ((e->n_sizes && !sizes) || (e->n_inputs && !inputs) || (e->n_outputs && !outputs)) return rt_fail(s, MDL_ARGUMENT, "%s: arguments are missing", e->name);
    return check_sizes(s, e, sizes, values);
}

int rt_call(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_tensor *outputs) {
    if (!s) return rt_open_failed(MDL_ARGUMENT, "a call without a session");
    if (!rt_enter(s)) return MDL_BUSY;
    int64_t values[s->program->n_names + 1];
    int code = call_begin(s, entry, sizes, inputs, outputs, values);
    if (!code) code = call_tensors(s, entry, values, inputs, outputs);
    rt_leave(s);
    return code;
}

/* ---- results in memory of their own: of libraries with code for devices. Others take the caller's, and are smaller. */
#ifdef RT_DEVICES

static void here_release(mdl_managed *m) { rt_host_give(m->context); }

/* The tensor and its sizes, then the memory. */
typedef struct Managed {
    mdl_managed managed; /* first */
    int64_t shape[RT_MAX_RANK];
} Managed;

static int here_take(mdl_session *s, int64_t bytes, mdl_managed **out) {
    int64_t head = (sizeof(Managed) + RT_ALIGN - 1) / RT_ALIGN * RT_ALIGN;
    Managed *m = rt_host_take(head + (bytes ? bytes : 1));
    if (!m) return rt_fail(s, MDL_MEMORY, "no memory for a result of %lld bytes", (long long)bytes);
    m->managed = (mdl_managed){.tensor = {.data = (char *)m + head, .device = {1, 0}, .shape = m->shape}, .context = m, .release = here_release};
    *out = &m->managed;
    return MDL_OK;
}

static int results_take(mdl_session *s, const mdl_entry *e, const int64_t *values, mdl_managed **outputs, mdl_tensor *tensors) {
    for (int i = 0; i < e->n_outputs; i++) {
        const mdl_value *v = &e->outputs[i];
        int64_t dims[RT_MAX_RANK];
        rt_dims(s->program, v, values, dims);
        int64_t bytes = rt_count(dims, v->rank) * rt_width(v->dtype);
        int code = rt_device(s->program) ? s->program->device->runtime->take(s, bytes, &outputs[i]) : here_take(s, bytes, &outputs[i]);
        if (code) return code;
        mdl_tensor *t = &outputs[i]->tensor;
        t->dtype = v->dtype;
        t->rank = v->rank;
        memcpy(t->shape, dims, sizeof *dims * (size_t)v->rank);
        tensors[i] = *t;
    }
    return MDL_OK;
}

int rt_call_managed(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_managed **outputs) {
    if (!s) return rt_open_failed(MDL_ARGUMENT, "a call without a session");
    if (!rt_enter(s)) return MDL_BUSY;
    int64_t values[s->program->n_names + 1];
    int code = call_begin(s, entry, sizes, inputs, outputs, values);
    if (code) {
        rt_leave(s);
        return code;
    }
    const mdl_entry *e = &s->model->entries[entry];
    mdl_tensor tensors[e->n_outputs + 1];
    for (int i = 0; i < e->n_outputs; i++) outputs[i] = NULL;
    code = results_take(s, e, values, outputs, tensors);
    if (!code) code = call_tensors(s, entry, values, inputs, tensors);
    for (int i = 0; code && i < e->n_outputs; i++) {
        if (outputs[i]) outputs[i]->release(outputs[i]);
        outputs[i] = NULL;
    }
    rt_leave(s);
    return code;
}
#endif
