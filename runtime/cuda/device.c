/* device.c -- sessions whose kernels run on a device. Slots are mirrored: a call finds the newest values there, and who reads a slot here
 * (get, save) gets them back first. Inputs go there and outputs come back with each call; the arena is there alone. */
#include "runtime/checksum.h"
#include "runtime/cuda/device.h"
#include "runtime/unpack.h"

enum { CELLS = 16 };

/* ---- which device, which image */

/* The image of the newest generation that this device runs; PTX if no machine code fits. NULL: none does. */
static const RtDeviceImage *image_for(const RtDevice *p, int capability) {
    const RtDeviceImage *best = NULL;
    for (int i = 0; i < p->n_images; i++) {
        const RtDeviceImage *m = &p->images[i];
        bool fits = m->kind == 1 ? m->arch == capability : m->kind == 2 ? m->arch <= capability : m->arch / 10 == capability / 10 && m->arch <= capability;
        if (fits && (!best || (m->kind != 2 && (best->kind == 2 || m->arch >= best->arch)))) best = m;
    }
    return best;
}

static int capability_of(const CuDriver *driver, int device) {
    int major = 0, minor = 0;
    driver->device_attribute(&major, CU_MAJOR, device);
    driver->device_attribute(&minor, CU_MINOR, device);
    return 10 * major + minor;
}

/* NULL: the device of this number runs the program. */
static const char *unfit(const CuDriver *driver, const RtDevice *p, int number) {
    int device = 0;
    if (driver->device_get(&device, number)) return "the driver finds no device";
    return image_for(p, capability_of(driver, device)) ? NULL : "it was not compiled for the device that is here";
}

/* *number: of the device that is wanted; -1: becomes that of the first one that the program runs on. NULL, or why there is none. */
static const char *missing(const RtDevice *p, int *number, char *note) {
    const char *why;
    const CuDriver *driver = cu_driver(&why);
    int n = 0, wanted = *number;
    if (!driver) return why;
    if (driver->device_count(&n) || n < 1) return "the driver finds no device";
    if (wanted >= 0 && wanted < n) return unfit(driver, p, wanted);
    if (wanted >= 0) {
        rt_text(note, RT_ERROR, "there is no cuda:%d: the driver finds %d device%s", wanted, n, n == 1 ? "" : "s");
        return note;
    }
    for (*number = 0; *number < n && (why = unfit(driver, p, *number)); ++*number) continue;
    return *number < n || n == 1 ? why : "it was not compiled for any of the devices that are here";
}

static const RtProgram *choose(const RtProgram *p, mdl_options *o) {
    char note[RT_ERROR], text[RT_ERROR];
    int number = o->device.type == 2 ? o->device.id : -1;
    const char *why = o->device.type > 2                  ? "a device is cpu (1) or cuda (2)"
                      : o->device.type == 2 && number < 0 ? "devices are numbered from 0 on"
                                                          : missing(p->device, &number, text);
    if (!why && o->flags & MDL_CHECK_NUMBERS) why = "numbers are looked at on the processor";
    if (!why && o->watch) why = "values are watched on the processor";
    if (!why && o->memory) why = "the session lies in the caller's memory";
    if (!why && o->device.type != 1) {
        o->device = (mdl_device){2, number};
        return p;
    }
    if (o->device.type > 1) {
        rt_open_failed(MDL_DEVICE, "%s: %s", p->model->name, why);
        return NULL;
    }
    rt_text(note, sizeof note, "%s runs on the processor: %s", p->model->name, why ? why : "the caller wants it");
    if (o->log && o->device.type == 0) o->log(o->log_context, 0, note);
    return rt_choose_processor(p->device->programs);
}

/* ---- open, close */

static void *zeroed(RtDeviceState *d, int64_t n, size_t width) {
    void *p = rt_host_take((n + 1) * (int64_t)width);
    if (!p) cu_check(d, CU_OUT_OF_MEMORY, "the processor's memory");
    return p;
}

int cu_failure(RtDeviceState *d, const char *entry) {
    const char *text = NULL;
    size_t left = 0, all = 0;
    int code = d->error;
    d->error = 0;
    if (code == CU_OUT_OF_MEMORY && !d->driver->memory_info(&left, &all)) {
        char needs[64] = "";
        if (d->needs) rt_text(needs, sizeof needs, "; the call needs %lld in all", (long long)d->needs);
        return rt_fail(d->session, MDL_MEMORY, "%s: no room on the device for %lld bytes: %lld of %lld are left%s", entry, (long long)d->wanted,
                       (long long)left, (long long)all, needs);
    }
    d->driver->error_text(code, &text);
    return rt_fail(d->session, MDL_DEVICE, "%s: the device refuses %s: %s (%d)", entry, d->failed, text ? text : "an unknown error", code);
}

/* The code as it was compiled, in memory of its own. */
static int image_unpack(mdl_session *s, const RtDeviceImage *image, char **code) {
    const int64_t *head = image->data, *packed = head + 4;
    bool fine = (uint64_t)head[3] == checksum_add(0, head, 24) && (uint64_t)head[2] == checksum_add(0, packed, head[1]);
    char *work = rt_host_take(RT_UNPACK_WORK);
    *code = fine ? rt_host_take(head[0]) : NULL;
    bool memory = work && (*code || !fine);
    fine = fine && memory && rt_unpack(work, (const unsigned char *)packed, head[1], (unsigned char *)*code, head[0]);
    rt_host_give(work);
    if (!memory) return rt_fail(s, MDL_MEMORY, "open: no memory for the code of the device");
    return fine ? MDL_OK : rt_fail(s, MDL_FORMAT, "open: the code for sm_%d in this library is damaged", image->arch);
}

static int functions_find(RtDeviceState *d, const RtDevice *p) {
    char *code;
    const RtDeviceImage *image = image_for(p, capability_of(d->driver, d->device));
    int status = image_unpack(d->session, image, &code);
    d->by_maps = image->kind == 1 && image->arch == 90 && d->driver->map_make;
    if (!status && !cu_check(d, d->driver->module_load(&d->module, code), "the code")) d->module = NULL;
    rt_host_give(code);
    for (int i = 0; d->module && i < p->n_kernels && d->functions; i++) {
        bool found = cu_check(d, d->driver->module_function(&d->functions[i], d->module, p->kernels[i].name), "a kernel");
        if (found && p->kernels[i].group) cu_check(d, d->driver->function_set(d->functions[i], CU_SHARED, (int)p->kernels[i].group), "a kernel's memory");
    }
    return status;
}

/* The caller's thread may have a context of its own, as PyTorch's do. */
void cu_enter(RtDeviceState *d) {
    cu_check(d, d->driver->context_get(&d->before), "the context");
    cu_check(d, d->driver->context_set(d->context), "a context");
}

void cu_leave(RtDeviceState *d) {
    if (d->context) d->driver->context_set(d->before);
}

static int device_number(const mdl_session *s) { return s->device->number; }

static int device_open(mdl_session *s, int number) {
    const RtProgram *p = s->program;
    const char *why;
    RtDeviceState *d = rt_host_take(sizeof *d);
    if (!d) return rt_fail(s, MDL_MEMORY, "no memory for a session");
    s->device = d;
    d->session = s;
    d->driver = cu_driver(&why);
    d->number = number;
    cu_check(d, d->driver->device_get(&d->device, number), "its number");
    cu_check(d, d->driver->device_attribute(&d->processors, CU_PROCESSORS, d->device), "its size");
    if (cu_check(d, d->driver->context_retain(&d->context, d->device), "a context")) {
        cu_enter(d);
        cu_check(d, d->driver->stream_new(&d->stream, 1), "a stream"); /* 1: does not wait for the default stream */
    }
    d->functions = zeroed(d, p->device->n_kernels, sizeof *d->functions);
    d->slots = zeroed(d, p->n_slots, sizeof *d->slots);
    d->slot_bytes = zeroed(d, p->n_slots, sizeof *d->slot_bytes);
    d->slot_state = zeroed(d, p->n_slots, 1);
    d->graphs = zeroed(d, p->n_entries * CU_PARTS, sizeof *d->graphs);
    d->graphs_wanted = cu_graphs_wanted();
    int code = d->error ? MDL_OK : functions_find(d, p->device);
    if (!d->error && p->shared) cu_block_need(d, &d->shared, p->shared);
    if (!code) cu_block_need(d, &d->cells, CELLS * RT_ALIGN);
    if (!code && d->error) code = cu_failure(d, "open");
    cu_leave(d);
    return code;
}

static void device_close(mdl_session *s) {
    RtDeviceState *d = s->device;
    if (d->context) cu_enter(d);
    if (d->stream) d->driver->stream_wait(d->stream);
    cu_graphs_free(d);
    for (int i = 0; i < d->n_blocks; i++) d->driver->memory_give(d->blocks[i].at);
    if (d->module) d->driver->module_free(d->module);
    if (d->stream) d->driver->stream_free(d->stream);
    cu_leave(d);
    if (d->context) d->driver->context_release(d->device);
    void *memory[] = {d->functions, d->blocks, d->constants, d->slots, d->slot_bytes, d->slot_state, d->inputs, d->outputs, d->foreign, d->host, d->graphs, d->words, d->small, d};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) rt_host_give(memory[i]);
    s->device = NULL;
}

/* ---- slots */

static int slot_read(mdl_session *s, int slot) {
    RtDeviceState *d = s->device;
    if (d->slot_state[slot] != SLOT_THERE || !s->slots[slot]) return MDL_OK;
    cu_enter(d);
    cu_from(d, s->slots[slot], (CuAddress)(uintptr_t)d->slots[slot], d->slot_bytes[slot]);
    int code = d->error ? cu_failure(d, rt_slot_value(s, slot)->name) : MDL_OK;
    cu_leave(d);
    if (code) return code;
    d->slot_state[slot] = SLOT_BOTH;
    return MDL_OK;
}

static void slot_written(mdl_session *s, int slot) {
    s->device->slot_state[slot] = SLOT_HERE;
}

static void slot_bring(RtDeviceState *d, int slot) {
    mdl_session *s = d->session;
    int64_t bytes = rt_slot_bytes(s, slot);
    Block b = {(CuAddress)(uintptr_t)d->slots[slot], d->slot_bytes[slot]};
    if (!b.at || b.bytes != bytes) {
        if (b.at) cu_check(d, d->driver->stream_wait(d->stream), "its kernels");
        cu_block_give(d, &b);
        cu_block_need(d, &b, bytes);
        d->slots[slot] = (char *)(uintptr_t)b.at;
        d->slot_bytes[slot] = b.at ? bytes : 0;
    }
    if (d->slot_state[slot] != SLOT_HERE) return;
    cu_to(d, b.at, s->slots[slot], bytes);
    d->slot_state[slot] = SLOT_BOTH;
}

/* ---- calls */

static int64_t value_bytes(const RtFrame *f, const mdl_value *v) {
    int64_t dims[RT_MAX_RANK] = {0};
    rt_dims(f->session->program, v, f->sizes, dims);
    return rt_count(dims, v->rank) * rt_width(v->dtype);
}

static int64_t rounded(int64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

static bool there(const RtFrame *f, int i) { return f->there && f->there[i]; }

/* Inputs or outputs that the caller has on the device; returns the bytes of the others. */
static int64_t foreign_note(RtDeviceState *d, const RtFrame *f, const mdl_value *values, int n, char *const *data, int first) {
    int64_t bytes = 0;
    for (int i = 0; i < n; i++) {
        if (there(f, first + i)) d->foreign[d->n_foreign++] = (Block){(CuAddress)(uintptr_t)data[i], value_bytes(f, &values[i])};
        else bytes += rounded(value_bytes(f, &values[i]));
    }
    return bytes;
}

/* Places for inputs and outputs that are not on the device, one after another. */
static void io_place(RtDeviceState *d, const RtFrame *f, const mdl_entry *entry) {
    rt_host_give(d->inputs);
    rt_host_give(d->outputs);
    rt_host_give(d->foreign);
    d->inputs = zeroed(d, entry->n_inputs, sizeof *d->inputs);
    d->outputs = zeroed(d, entry->n_outputs, sizeof *d->outputs);
    d->foreign = zeroed(d, entry->n_inputs + entry->n_outputs, sizeof *d->foreign);
    if (d->error) return;
    int64_t bytes_in = foreign_note(d, f, entry->inputs, entry->n_inputs, f->inputs, 0);
    int64_t bytes_out = foreign_note(d, f, entry->outputs, entry->n_outputs, f->outputs, entry->n_inputs);
    if (d->n_foreign) cu_check(d, d->driver->stream_wait(NULL), "the default stream"); /* it may still be writing them */
    if (!cu_block_need(d, &d->io, bytes_in + bytes_out)) return;
    char *p = (char *)(uintptr_t)d->io.at;
    for (int i = 0; i < entry->n_inputs; i++) {
        int64_t bytes = value_bytes(f, &entry->inputs[i]);
        d->inputs[i] = there(f, i) ? f->inputs[i] : p;
        if (there(f, i)) continue;
        cu_to(d, (CuAddress)(uintptr_t)p, f->inputs[i], bytes);
        p += rounded(bytes);
    }
    for (int i = 0; i < entry->n_outputs; i++) {
        bool foreign = there(f, entry->n_inputs + i);
        d->outputs[i] = foreign ? f->outputs[i] : p;
        if (!foreign) p += rounded(value_bytes(f, &entry->outputs[i]));
    }
}

static int64_t call_needs(const RtFrame *f, const RtEntry *e, const mdl_entry *entry, int64_t arena) {
    int64_t n = arena;
    for (int i = 0; i < e->n_touched; i++) n += rt_slot_bytes(f->session, e->slots[i]);
    for (int i = 0; i < entry->n_inputs; i++) n += there(f, i) ? 0 : rounded(value_bytes(f, &entry->inputs[i]));
    for (int i = 0; i < entry->n_outputs; i++) n += there(f, entry->n_inputs + i) ? 0 : rounded(value_bytes(f, &entry->outputs[i]));
    return n;
}

static int device_enter(RtFrame *f, const RtEntry *e, const mdl_entry *entry) {
    RtDeviceState *d = f->session->device;
    int64_t arena = f->session->program->measure(e->arena, f->sizes);
    d->error = 0;
    d->needs = call_needs(f, e, entry, arena);
    d->n_words = d->n_steps = 0;
    d->entry = (int)(e - f->session->program->entries);
    d->part = 0;
    cu_enter(d);
    cu_small_begin(d);
    cu_block_need(d, &d->arena, arena);
    for (int i = 0; i < e->n_touched; i++) slot_bring(d, e->slots[i]);
    io_place(d, f, entry);
    if (d->error) return cu_failure(d, entry->name);
    f->inputs = d->inputs;
    f->outputs = d->outputs;
    f->slots = d->slots;
    f->arena = (char *)(uintptr_t)d->arena.at;
    f->shared = (char *)(uintptr_t)d->shared.at;
    return MDL_OK;
}

static int device_leave(RtFrame *f, const RtEntry *e, const mdl_entry *entry, char *const *outputs, int code) {
    RtDeviceState *d = f->session->device;
    for (int i = 0; f->changed && i < e->n_stored; i++) d->slot_state[rt_stored(e)[i]] = SLOT_THERE;
    if (!code) cu_flush(d);
    d->n_words = 0; /* those of a call that failed are not sent */
    if (!code && !d->error) cu_check(d, d->driver->stream_wait(d->stream), "its kernels");
    for (int i = 0; !code && i < entry->n_outputs; i++)
        if (!there(f, entry->n_inputs + i)) cu_from(d, outputs[i], (CuAddress)(uintptr_t)d->outputs[i], value_bytes(f, &entry->outputs[i]));
    if (code && d->n_foreign) d->driver->stream_wait(d->stream); /* the caller may take his memory away */
    d->n_foreign = 0;
    if (d->error) code = cu_failure(d, entry->name);
    cu_leave(d);
    return code;
}

const RtDeviceRuntime rt_cuda = {choose, device_open, device_close, device_enter, device_leave, device_number, cu_take, slot_read, slot_written};

/* ---- what the code of entries calls */

static bool host_need(RtDeviceState *d, int64_t bytes) {
    if (bytes <= d->host_bytes) return true;
    rt_host_give(d->host);
    d->host = rt_host_take(bytes);
    d->host_bytes = d->host ? bytes : 0;
    return d->host || cu_check(d, CU_OUT_OF_MEMORY, "the processor's memory");
}

const void *rt_device_host(RtFrame *f, const void *p, int64_t bytes) {
    RtDeviceState *d = f->session->device;
    if (!cu_holds(d, p)) return p;
    static const char nothing[RT_ALIGN];
    if (!host_need(d, bytes > RT_ALIGN ? bytes : RT_ALIGN)) return nothing; /* of an error: the call ends with it */
    memset(d->host, 0, (size_t)bytes);
    cu_from(d, d->host, (CuAddress)(uintptr_t)p, bytes);
    return d->host;
}

char *rt_device_cell(RtFrame *f, int32_t i) {
    return (char *)(uintptr_t)f->session->device->cells.at + (i % CELLS) * RT_ALIGN;
}

void rt_device_routine(RtFrame *f, const RtKernel *k, RtThunk *thunk, int32_t n_args, void *const *args, const int64_t *bytes, const int64_t *sizes,
                       int64_t count) {
    RtDeviceState *d = f->session->device;
    void *here[8];
    int64_t total = 0;
    for (int i = 0; i < n_args; i++) total += rounded(bytes[i]);
    if (n_args > 8 || d->error || !host_need(d, total)) return;
    char *p = d->host;
    for (int i = 0; i < n_args; i++) {
        here[i] = args[i];
        if (!args[i] || !cu_holds(d, args[i])) continue;
        here[i] = p;
        if (i < n_args - 1) cu_from(d, p, (CuAddress)(uintptr_t)args[i], bytes[i]);
        p += rounded(bytes[i]);
    }
    if (d->error) return;
    rt_parallel(f, k, thunk, here, sizes, count);
    cu_to(d, (CuAddress)(uintptr_t)args[n_args - 1], here[n_args - 1], bytes[n_args - 1]);
    cu_check(d, d->driver->stream_wait(d->stream), "a copy"); /* the memory here is used again */
}
