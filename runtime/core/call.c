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

static int run_entry(mdl_session *s, int32_t index, const int64_t *sizes, char *const *inputs, char *const *outputs) {
    const RtEntry *e = &s->program->entries[index];
    const char *name = s->model->entries[index].name;
    if (s->broken && (s->broken == 2 || e->n_touched))
        return rt_fail(s, MDL_BROKEN, "%s: an earlier call failed after it had begun to change %s: %s first", name,
                       s->broken == 2 ? "weights" : "caches", s->broken == 2 ? "load a checkpoint" : "reset the session");
    const RtDeviceRuntime *device = rt_device(s->program) ? rt_device(s->program)->runtime : NULL;
    int code = rt_packs_need(s, e, sizes);
    if (!code) code = rt_slots_touch(s, e, name, sizes);
    for (int i = 0; i < e->n_stored && !code; i++) code = rt_slot_own(s, rt_stored(e)[i]);
    if (!code && !device) code = rt_arena_need(s, s->program->measure(e->arena, sizes));
    if (code) return code;
    uint64_t step = s->steps[index];
    RtFrame f = {.session = s, .sizes = sizes, .inputs = inputs, .outputs = outputs, .slots = s->slots, .packs = s->packs, .arena = s->arena,
                 .shared = s->shared,
                 .rng = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32), (uint32_t)step, (uint32_t)(step >> 32)},
                 .numbers = (s->flags & MDL_CHECK_NUMBERS) || s->watch};
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
    if (!code) code = run_entry(s, entry, values, inputs, outputs);
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

static int tensor_pointers(mdl_session *s, const mdl_entry *e, const mdl_value *values, int n, const int64_t *sizes,
                           const mdl_tensor *tensors, char **data, bool *temporary) {
    for (int i = 0; i < n; i++) {
        int64_t dims[RT_MAX_RANK];
        rt_dims(s->program, &values[i], sizes, dims);
        int code = rt_tensor_check(s, e->name, &values[i], dims, &tensors[i]);
        if (code) return code;
        data[i] = (char *)tensors[i].data + tensors[i].offset;
        int width = rt_width(tensors[i].dtype);
        if (contiguous(&tensors[i]) && (uintptr_t)data[i] % (uintptr_t)width == 0) continue;
        int64_t count = rt_count(dims, values[i].rank);
        data[i] = rt_borrow(s, count * width);
        if (!data[i]) return rt_fail(s, MDL_MEMORY, "%s: no memory for a copy of %s", e->name, values[i].name);
        temporary[i] = true;
    }
    return MDL_OK;
}

int rt_call(mdl_session *s, int32_t entry, const int64_t *sizes, const mdl_tensor *inputs, mdl_tensor *outputs) {
    if (!s) return rt_open_failed(MDL_ARGUMENT, "a call without a session");
    if (!rt_enter(s)) return MDL_BUSY;
    const RtProgram *p = s->program;
    if (entry < 0 || entry >= p->n_entries) {
        rt_leave(s);
        return rt_fail(s, MDL_ARGUMENT, "there is no entry number %d", entry);
    }
    const mdl_entry *e = &p->model->entries[entry];
    int64_t values[p->n_names + 1];
    char *in[e->n_inputs + 1], *out[e->n_outputs + 1];
    bool in_copy[e->n_inputs + 1], out_copy[e->n_outputs + 1];
    memset(values, 0, sizeof values);
    memset(in_copy, 0, sizeof in_copy);
    memset(out_copy, 0, sizeof out_copy);
    size_t memory_bytes = s->memory_bytes;
    int code = MDL_OK;
    if ((e->n_sizes && !sizes) || (e->n_inputs && !inputs) || (e->n_outputs && !outputs)) code = rt_fail(s, MDL_ARGUMENT, "%s: arguments are missing", e->name);
    if (!code) code = check_sizes(s, e, sizes, values);
    if (!code) code = tensor_pointers(s, e, e->inputs, e->n_inputs, values, inputs, in, in_copy);
    if (!code) code = tensor_pointers(s, e, e->outputs, e->n_outputs, values, outputs, out, out_copy);
    for (int i = 0; i < e->n_inputs && !code; i++)
        if (in_copy[i]) rt_tensor_copy(&inputs[i], in[i], false);
    if (!code) code = run_entry(s, entry, values, in, out);
    for (int i = 0; i < e->n_outputs && !code; i++)
        if (out_copy[i]) rt_tensor_copy(&outputs[i], out[i], true);
    for (int i = 0; i < e->n_inputs; i++)
        if (in_copy[i]) rt_release(s, in[i]);
    for (int i = 0; i < e->n_outputs; i++)
        if (out_copy[i]) rt_release(s, out[i]);
    s->memory_bytes = memory_bytes;
    rt_leave(s);
    return code;
}
