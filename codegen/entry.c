/* entry.c -- an entry as straight-line code: sizes and offsets first, then a call of the runtime for each kernel, in the plan's
 * order.
 *
 *   int run.step(RtFrame *f)
 *     first:  stack, run-time sizes, arena offsets (longest paths)     -- dominates all that follows
 *     then:   args[0] = arena + 4096; args[1] = f->slots[3]; ...  rt_parallel(f, &info, k17.thunk, args, sizes, count)
 *             if (rt_check_range(...)) return it
 *     last:   copies of values that could not be made in place
 *
 * Pointers are formed where they are used (a load or an addition); only what costs arithmetic is kept. A check that fails
 * returns before anything later runs. */
#include "codegen/entry.h"

#include "ir/op.h"
#include "runtime/runtime.h"

#include <stddef.h>
#include <string.h>

#define SHORT 64 /* calls or measures in a function that is still worth optimizing */
#define ARGUMENTS 96 /* of a kernel, on the stack of the entry; a kernel with more gets an array of its own */

/* ---- small pieces -------------------------------------------------------------------------------------------------------- */

LLVMBasicBlockRef entry_block(EntryCode *c, const char *name) {
    return LLVMAppendBasicBlockInContext(c->m->context, c->function, name);
}

LLVMValueRef entry_stack(EntryCode *c, LLVMTypeRef type, int n) {
    return LLVMBuildAlloca(c->prologue, LLVMArrayType2(type, (uint64_t)n), "");
}

LLVMValueRef entry_advance(EntryCode *c, LLVMValueRef pointer, LLVMValueRef bytes) {
    return LLVMBuildInBoundsGEP2(c->b, c->m->i8, pointer, &bytes, 1, "");
}

static LLVMValueRef element_at(EntryCode *c, LLVMBuilderRef b, LLVMTypeRef type, LLVMValueRef array, int64_t index) {
    LLVMValueRef at = module_i64(c->m, index);
    return LLVMBuildInBoundsGEP2(b, type, array, &at, 1, "");
}

static LLVMValueRef load_pointer(EntryCode *c, LLVMValueRef array, int index) {
    return LLVMBuildLoad2(c->b, c->m->ptr, element_at(c, c->b, c->m->ptr, array, index), "");
}

LLVMValueRef entry_runtime(EntryCode *c, const char *name, LLVMTypeRef result, int n, LLVMTypeRef *arguments) {
    return module_function(c->m, name, module_type(c->m, result, n, arguments));
}

LLVMValueRef entry_bytes(EntryCode *c, const Type *t) {
    Size bytes = size_const(c->unit->program->sizes, dtype_bytes(t->dtype));
    for (int i = 0; i < t->rank; i++) bytes = size_mul(bytes, t->dim[i]);
    return size_code(c->sizes, bytes);
}

/* Calls the runtime; where kernels run on a device, its function of that name for devices, which takes the frame first. */
static void memory_call(EntryCode *c, const char *what, int n, const LLVMTypeRef *types, const LLVMValueRef *arguments) {
    LLVMTypeRef t[4] = {c->m->ptr};
    LLVMValueRef x[4] = {c->frame};
    int device = c->unit->device;
    memcpy(t + device, types, sizeof *types * (size_t)n);
    memcpy(x + device, arguments, sizeof *arguments * (size_t)n);
    const char *name = arena_printf(c->m->arena, device ? "rt_device_%s" : "rt_%s", what);
    module_call(c->m, c->b, entry_runtime(c, name, c->m->nothing, n + device, t), n + device, x);
}

void entry_copy(EntryCode *c, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes) {
    memory_call(c, "copy", 3, (LLVMTypeRef[]){c->m->ptr, c->m->ptr, c->m->i64}, (LLVMValueRef[]){to, from, bytes});
}

void entry_clear(EntryCode *c, LLVMValueRef to, LLVMValueRef bytes) {
    memory_call(c, "clear", 2, (LLVMTypeRef[]){c->m->ptr, c->m->i64}, (LLVMValueRef[]){to, bytes});
}

/* Returns `status` from the entry if it is not MDL_OK. */
static void return_if(EntryCode *c, LLVMValueRef status) {
    LLVMBasicBlockRef fails = entry_block(c, "fails"), goes_on = entry_block(c, "");
    LLVMBuildCondBr(c->b, LLVMBuildICmp(c->b, LLVMIntNE, status, module_i32(c->m, MDL_OK), ""), fails, goes_on);
    LLVMPositionBuilderAtEnd(c->b, fails);
    LLVMBuildRet(c->b, status);
    LLVMPositionBuilderAtEnd(c->b, goes_on);
}

/* The place of a field of RtFrame on the target, of its place here: pointers come first. */
static LLVMValueRef frame_offset(const Module *m, size_t here) {
    size_t pointers = here < offsetof(RtFrame, rng) ? here : offsetof(RtFrame, rng);
    return module_i64(m, (int64_t)(pointers / sizeof(void *)) * m->pointer_bytes + (int64_t)(here - pointers));
}

/* ---- where values are ---------------------------------------------------------------------------------------------------- */

static LLVMValueRef tensor_pointer(EntryCode *c, Node *n) {
    EntryUnit *u = c->unit;
    int i = 0;
    while (i < u->tensors.n && u->tensors.at[i]->attrs.data != n->attrs.data) i++;
    if (i == u->tensors.n) PUSH(c->m->arena, u->tensors, n);
    return module_external(c->m, arena_printf(c->m->arena, "mdl.tensor.%d", i));
}

/* A scalar constant as bytes of its dtype. */
static LLVMValueRef scalar_constant(EntryCode *c, const Node *n) {
    const Attrs *a = &n->attrs;
    switch (n->type.dtype) {
    case DT_F64: return LLVMConstReal(LLVMDoubleTypeInContext(c->m->context), a->number);
    case DT_F32: return LLVMConstReal(LLVMFloatTypeInContext(c->m->context), a->number);
    case DT_BOOL: return LLVMConstInt(c->m->i8, a->number != 0 || a->whole != 0, false);
    default: break;
    }
    int bytes = dtype_bytes(n->type.dtype);
    if (bytes == 0) bug("a scalar constant of type %s", dtype_name(n->type.dtype));
    uint64_t bits = dtype_is_narrow(n->type.dtype) ? float_bits(n->type.dtype, a->number) : (uint64_t)a->whole;
    return LLVMConstInt(LLVMIntTypeInContext(c->m->context, (unsigned)(8 * bytes)), bits, true);
}

/* Address of a leaf that has no memory of its own; NULL: it is none. */
static LLVMValueRef leaf_pointer(EntryCode *c, const EntryMemory *mem, Node *n) {
    switch (n->op) {
    case OP_INPUT: return load_pointer(c, c->inputs, n->attrs.index);
    case OP_SLOT: return load_pointer(c, c->slots, n->attrs.index);
    case OP_TENSOR: return tensor_pointer(c, n);
    case OP_ARG: return mem->args ? mem->args[n->attrs.index] : NULL;
    case OP_CONST: return n->type.rank == 0 ? module_constant(c->m, scalar_constant(c, n)) : NULL;
    case OP_SIZE: {
        LLVMTypeRef type = LLVMIntTypeInContext(c->m->context, (unsigned)(8 * dtype_bytes(n->type.dtype)));
        LLVMValueRef memory = entry_stack(c, type, 1);
        LLVMValueRef value = LLVMBuildTrunc(c->prologue, size_code(c->sizes, n->attrs.extent), type, "");
        LLVMBuildStore(c->prologue, value, memory);
        return memory;
    }
    default: return NULL;
    }
}

static LLVMValueRef place_pointer(EntryCode *c, const EntryMemory *mem, Place p) {
    switch (p.kind) {
    case PLACE_ARENA: return entry_advance(c, mem->arena, mem->offset[p.index]);
    case PLACE_SLOT: return load_pointer(c, c->slots, p.index);
    case PLACE_INPUT: return load_pointer(c, c->inputs, p.index);
    case PLACE_RESULT: return load_pointer(c, c->outputs, p.index);
    case PLACE_ARG: return mem->args ? mem->args[p.index] : NULL;
    case PLACE_Y: return mem->ys ? mem->ys[p.index] : NULL;
    case PLACE_STOP: return mem->stop;
    case PLACE_DATA:
    case PLACE_NONE: break;
    }
    return NULL;
}

LLVMValueRef entry_pointer(EntryCode *c, const EntryMemory *mem, Node *n) {
    if (n->graph != mem->plan->graph) bug("%%%d (%s) is read in a plan of another graph", n->id, op_row(n->op)->name);
    for (;;) {
        LLVMValueRef p = place_pointer(c, mem, mem->plan->places[n->id]);
        if (!p) p = leaf_pointer(c, mem, n);
        if (p) return p;
        /* A reshape has the bytes of its operand, and so has any expansion that repeats nothing. */
        bool same = n->op == OP_RESHAPE ||
                    (n->op == OP_EXPAND && type_count(n->graph, &n->type) == type_count(n->graph, &n->in[0]->type));
        if (!same) bug("%%%d (%s) of entry %s is stored nowhere", n->id, op_row(n->op)->name, c->entry);
        n = n->in[0];
    }
}

/* Offsets of the buffers: each lies above those of below[], rounded up to 64 bytes. Returns the end of all, or NULL without
 * buffers. */
static LLVMValueRef offsets_code(SizeCode *s, const Plan *plan, LLVMValueRef *offset) {
    Module *m = s->m;
    LLVMValueRef *end = NEW_ARRAY(m->arena, LLVMValueRef, plan->buffers.n), last = NULL;
    for (int k = 0; k < plan->buffers.n; k++) {
        int i = plan->order[k];
        const Buffer *buffer = &plan->buffers.at[i];
        offset[i] = module_i64(m, 0);
        for (int j = 0; j < buffer->n_below; j++) {
            if (!end[buffer->below[j]]) bug("buffer %d lies above %d, which comes later", i, buffer->below[j]);
            offset[i] = j ? size_code_max(s, offset[i], end[buffer->below[j]]) : end[buffer->below[j]];
        }
        LLVMValueRef bytes = size_code_add(s, size_code(s, buffer->bytes), module_i64(m, 63));
        end[i] = size_code_add(s, offset[i], LLVMBuildAnd(s->b, bytes, module_i64(m, -64), ""));
        last = last ? size_code_max(s, last, end[i]) : end[i];
    }
    return last;
}

EntryMemory *entry_memory(EntryCode *c, const Plan *plan, LLVMValueRef arena) {
    EntryMemory *mem = NEW(c->m->arena, EntryMemory);
    mem->plan = plan;
    mem->arena = arena;
    mem->offset = NEW_ARRAY(c->m->arena, LLVMValueRef, plan->buffers.n);
    offsets_code(c->sizes, plan, mem->offset);
    return mem;
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

const char *entry_place_text(Arena *arena, Loc at) {
    if (!at.source) return "";
    int line, column;
    loc_line_column(at, &line, &column);
    const char *name = strrchr(at.source->name, '/');
    return arena_printf(arena, "%s:%d", name ? name + 1 : at.source->name, line);
}

/* The RtFloats of a call into rows[]: what it has stored when it returns; their number. Of several calls, each of which stores
 * a part, it is the last. What is seen in part is not looked at: beyond that part stands what was there before, and a NaN in it
 * comes out of the product behind. */
static int kernel_floats(EntryCode *c, const Kernel *k, const KernelCall *call, bool last, LLVMValueRef *rows) {
    Module *m = c->m;
    int n = 0;
    bool in_part = k->limit.seen && k->limit.axis >= 0;
    for (int i = 0; i < k->writes.n && (last || call->when) && !in_part; i++) {
        const Node *w = k->writes.at[i];
        int a = 0;
        while (a < call->n_args && (call->args[a].kind != ARG_VALUE || call->args[a].node != w)) a++;
        if (a == call->n_args || (w->type.dtype != DT_F32 && w->type.dtype != DT_F64)) continue;
        LLVMValueRef fields[] = {module_i32(m, measure_size(c->unit, type_count(w->graph, &w->type))),
                                 LLVMConstInt(m->i16, (unsigned)a, false),
                                 LLVMConstInt(m->i16, (unsigned)dtype_bits(w->type.dtype), false)};
        rows[n++] = module_struct(m, 3, fields);
    }
    return n;
}

/* The node that a kernel is named after; NULL: there is none. */
static const Node *kernel_place(const Kernel *k) {
    return k->anchor ? k->anchor : k->nodes.n ? k->nodes.at[0] : NULL;
}

LLVMValueRef entry_kernel_info(EntryUnit *u, const EntryKernel *k, Size flops, Size bytes, int n_floats, LLVMValueRef *floats) {
    Module *m = u->module;
    LLVMTypeRef row[] = {m->i32, m->i16, m->i16}, float_type = LLVMStructTypeInContext(m->context, row, 3, false);
    const char *said = u->profiled || !*k->source ? k->name : ""; /* messages name the place where there is one */
    size_t name = strlen(said) + 1, path = strlen(k->path) + 1, source = strlen(k->source) + 1;
    char *texts = arena_alloc(m->arena, name + path + source);
    memcpy(texts, said, name);
    memcpy(texts + name, k->path, path);
    memcpy(texts + name + path, k->source, source);
    LLVMValueRef fields[] = {module_i32(m, u->profiled && flops ? measure_size(u, flops) : RT_UNMEASURED),
                             module_i32(m, u->profiled && bytes ? measure_size(u, bytes) : RT_UNMEASURED), module_i32(m, n_floats),
                             LLVMConstArray2(float_type, floats, (uint64_t)n_floats),
                             LLVMConstStringInContext2(m->context, texts, name + path + source, true)};
    LLVMValueRef value = module_struct(m, 5, fields); /* equal ones are one */
    for (int i = 0; i < u->infos_known.n; i++)
        if (u->infos_known.at[i] == value) return u->infos.at[i];
    PUSH(m->arena, u->infos_known, value);
    PUSH(m->arena, u->infos, module_constant(m, value));
    return u->infos.at[u->infos.n - 1];
}

/* The constant RtKernel of a call. */
static LLVMValueRef kernel_info(EntryCode *c, const EntryMemory *mem, const Kernel *k, const KernelCall *call, bool last) {
    const Node *n = kernel_place(k);
    EntryKernel said = {"", call->text ? call->text : call->function, n && n->path ? n->path : "",
                        n ? entry_place_text(c->m->arena, n->loc) : ""};
    LLVMValueRef *floats = NEW_ARRAY(c->m->arena, LLVMValueRef, k->writes.n + 1);
    int n_floats = kernel_floats(c, k, call, last, floats);
    bool counts = last || call->when;
    return entry_kernel_info(c->unit, &said, counts && (k->kind == KERNEL_CONTRACT || k->attention || k->gradient) ? plan_kernel_flops(k) : NULL,
                             counts ? plan_kernel_bytes(mem->plan, k) : NULL, n_floats, floats);
}

/* Notes what a generated function computes; equal kernels are named after the first that calls them. */
static void kernel_note(EntryUnit *u, const char *thunk, const char *said, const char *path, Loc loc) {
    Arena *arena = u->module->arena;
    const char *end = strrchr(thunk, '.');
    if (!end || strcmp(end, ".thunk")) return; /* a routine of the runtime */
    size_t length = (size_t)(end - thunk);
    for (int i = 0; i < u->named.n; i++)
        if (!strncmp(u->named.at[i].function, thunk, length) && !u->named.at[i].function[length]) return;
    EntryKernel k = {arena_copy(arena, thunk, length), said ? said : "", path ? path : "", entry_place_text(arena, loc)};
    PUSH(arena, u->named, k);
}

/* The name to call a kernel by from the unit's first module: in that one, it has not been renamed yet. */
static const char *kernel_name(const EntryUnit *u, const char *function, int module) {
    return entry_kernel_name(u->module->arena, function, module ? u->first + module : 0);
}

/* The number of a pack in the artifact: a new one, or that of an equal one that came up before. */
static int pack_number(EntryUnit *u, const Pack *pack, int module) {
    int slot = pack->slot;
    for (int i = 0; i < u->packs.n; i++) {
        if (u->packs.at[i].slot == slot && !strcmp(u->packs.at[i].text, pack->text)) return i;
    }
    const KernelCall *call = scheduler_pack(u->modules[module].scheduler, pack);
    EntryPack made = {.slot = slot, .text = pack->text, .said = call->text, .bytes = pack->bytes};
    made.thunk = kernel_name(u, call->function, module);
    if (!size_is_const(call->count, &made.count)) bug("the size of a pack is not fixed");
    PUSH(u->module->arena, u->packs, made);
    const Slot *packed = u->program->slots.at[slot];
    kernel_note(u, made.thunk, call->text, packed->path, packed->loc);
    return u->packs.n - 1;
}

static void pack_use(EntryUnit *u, int pack, const KernelCall *call) {
    EntryPackUse use = {pack, call->when, call->low, call->high};
    for (int i = 0; i < u->uses.n; i++) {
        const EntryPackUse *known = &u->uses.at[i];
        bool covered = !known->when || (known->when == use.when && known->low == use.low && known->high == use.high);
        if (known->pack == pack && covered) return;
    }
    PUSH(u->module->arena, u->uses, use);
}

static LLVMValueRef pack_pointer(EntryCode *c, const KernelCall *call, const Pack *pack, int module) {
    int number = pack_number(c->unit, pack, module);
    pack_use(c->unit, number, call);
    return load_pointer(c, c->packs, number);
}

static LLVMValueRef argument_pointer(EntryCode *c, const EntryMemory *mem, const KernelCall *call, const KernelArg *a,
                                     int module) {
    switch (a->kind) {
    case ARG_VALUE: return entry_pointer(c, mem, a->node);
    case ARG_RNG:
        return LLVMBuildInBoundsGEP2(c->b, c->m->i8, c->frame, (LLVMValueRef[]){frame_offset(c->m, offsetof(RtFrame, rng))}, 1,
                                     "");
    case ARG_SITE: return module_constant(c->m, module_i32(c->m, (int32_t)a->site));
    case ARG_NULL: return module_null(c->m);
    case ARG_PACK: return pack_pointer(c, call, a->pack, module);
    case ARG_SHARED: return a->offset ? entry_advance(c, c->shared, module_i64(c->m, a->offset)) : c->shared;
    }
    bug("argument of kind %d", (int)a->kind);
}

/* Sizes of the calls of a kernel. One that is data is read here: what it depends on was stored by now. */
static SizeCode *kernel_sizes(EntryCode *c, const EntryMemory *mem, const Kernel *k) {
    const Limit *limit = &k->limit;
    if (!limit->offset) return c->sizes;
    SizeCode *s = size_code_new(c->m, c->b, c->sizes->sizes, c->unit->program->sizes, false);
    const SizeName *name = limit->seen->term[0].factor[0]->name;
    LLVMValueRef one = module_i64(c->m, 1), most = module_i64(c->m, name->high);
    LLVMValueRef at = entry_host(c, entry_pointer(c, mem, limit->offset), module_i64(c->m, 4));
    LLVMValueRef offset = LLVMBuildLoad2(c->b, c->m->i32, at, "");
    LLVMValueRef seen = LLVMBuildAdd(c->b, LLVMBuildSExt(c->b, offset, c->m->i64, ""), size_code(s, limit->plus), name->name);
    seen = LLVMBuildSelect(c->b, LLVMBuildICmp(c->b, LLVMIntSLT, seen, one, ""), one, seen, "");
    s->names[name->index] = LLVMBuildSelect(c->b, LLVMBuildICmp(c->b, LLVMIntSGT, seen, most, ""), most, seen, "");
    return s;
}

LLVMValueRef entry_i64s(EntryCode *c, int n, LLVMValueRef *values, LLVMValueRef room) {
    bool constant = true;
    if (n == 0) return module_null(c->m);
    for (int i = 0; i < n; i++) constant = constant && LLVMIsConstant(values[i]);
    if (constant) return module_array(c->m, c->m->i64, n, values);
    LLVMValueRef array = room && n <= ARGUMENTS ? room : entry_stack(c, c->m->i64, n);
    for (int i = 0; i < n; i++) LLVMBuildStore(c->b, values[i], element_at(c, c->b, c->m->i64, array, i));
    return array;
}

/* Size arguments of n calls. */
static LLVMValueRef size_array(EntryCode *c, SizeCode *sizes, int n, const KernelCall *const *call) {
    int each = call[0]->n_sizes;
    LLVMValueRef *values = NEW_ARRAY(c->m->arena, LLVMValueRef, n * each + 1);
    for (int i = 0; i < n * each; i++) values[i] = size_code(sizes, call[i / each]->sizes[i % each]);
    return entry_i64s(c, n * each, values, c->counts);
}

/* Pointers of the arguments of n calls. */
static LLVMValueRef pointer_array(EntryCode *c, const EntryMemory *mem, int n, const KernelCall *const *call, int module) {
    int each = call[0]->n_args;
    LLVMValueRef array = n * each <= ARGUMENTS ? c->args : entry_stack(c, c->m->ptr, n * each);
    for (int i = 0; i < n * each; i++)
        LLVMBuildStore(c->b, argument_pointer(c, mem, call[i / each], &call[i / each]->args[i % each], module), element_at(c, c->b, c->m->ptr, array, i));
    return array;
}

const char *entry_kernel_name(Arena *arena, const char *function, int module) {
    if (module == 0 || !strncmp(function, "rt_", 3)) return function;
    return arena_printf(arena, "m%d.%s", module, function);
}

static void kernel_call(EntryCode *c, const EntryMemory *mem, const Kernel *k, const KernelCall *call, bool last, int module) {
    Module *m = c->m;
    LLVMBasicBlockRef after = NULL;
    SizeCode *sizes = kernel_sizes(c, mem, k);
    if (call->when) {
        LLVMValueRef value = size_code(sizes, call->when);
        LLVMValueRef above = LLVMBuildICmp(c->b, LLVMIntSGE, value, module_i64(m, call->low), "");
        LLVMValueRef below = LLVMBuildICmp(c->b, LLVMIntSLT, value, module_i64(m, call->high), "");
        LLVMBasicBlockRef variant = entry_block(c, "variant");
        after = entry_block(c, "");
        LLVMBuildCondBr(c->b, LLVMBuildAnd(c->b, above, below, ""), variant, after);
        LLVMPositionBuilderAtEnd(c->b, variant);
    }
    LLVMTypeRef thunk_types[] = {m->ptr, m->ptr, m->ptr, m->i64, m->i64};
    const char *name = kernel_name(c->unit, call->function, module);
    const Node *n = kernel_place(k);
    if (!c->unit->device) kernel_note(c->unit, name, call->text, n ? n->path : NULL, n ? n->loc : (Loc){NULL, 0, 0});
    LLVMTypeRef types[] = {m->ptr, m->ptr, m->ptr, m->ptr, m->ptr, m->i64}, thunk = module_type(m, m->nothing, 5, thunk_types);
    LLVMValueRef array = pointer_array(c, mem, 1, &call, module);
    LLVMValueRef info = kernel_info(c, mem, k, call, last), counts = size_array(c, sizes, 1, &call), count = size_code(sizes, call->count);
    if (c->unit->device) {
        EntryCalls one = {1, &call, array, counts, entry_i64s(c, 1, &count, NULL)};
        entry_device_calls(c, &one, c->unit->modules[module].scheduler, info, thunk);
    } else {
        LLVMValueRef arguments[] = {c->frame, info, module_function(m, name, thunk), array, counts, count};
        module_call(m, c->b, entry_runtime(c, "rt_parallel", m->nothing, 6, types), 6, arguments);
    }
    if (after) {
        LLVMBuildBr(c->b, after);
        LLVMPositionBuilderAtEnd(c->b, after);
    }
    c->unit->kernels++;
}

/* The module of a kernel: by its key alone, so that the same kernels meet in the same modules whatever else a program has, and a
 * cache of compiled modules serves its variants. The first holds entries and tables, and kernels only where there is no other. */
static int module_of(const EntryUnit *u, const Kernel *k) {
    uint32_t hash = 2166136261u;
    for (const char *s = k->key ? k->key : ""; *s; s++) hash = (hash ^ (unsigned char)*s) * 16777619u;
    return u->n_modules > 1 ? 1 + (int)(hash % (uint32_t)(u->n_modules - 1)) : 0;
}

static void kernel_calls(EntryCode *c, const EntryMemory *mem, const Kernel *k) {
    int number = module_of(c->unit, k);
    KernelCode *code = scheduler_kernel(c->unit->modules[number].scheduler, mem->plan, k);
    for (int i = 0; i < code->n; i++) kernel_call(c, mem, k, &code->calls[i], i == code->n - 1, number);
}

/* Kernels that run at once on a device: call i of all of them is one launch. */
static void kernels_at_once(EntryCode *c, const EntryMemory *mem, const Kernel *first) {
    Module *m = c->m;
    int n = first->together, number = module_of(c->unit, first);
    Scheduler *scheduler = c->unit->modules[number].scheduler;
    KernelCode **code = NEW_ARRAY(m->arena, KernelCode *, n);
    for (int i = 0; i < n; i++) code[i] = scheduler_kernel(scheduler, mem->plan, mem->plan->kernels.at[first->index + i]);
    const KernelCall **call = NEW_ARRAY(m->arena, const KernelCall *, n);
    LLVMValueRef *counts = NEW_ARRAY(m->arena, LLVMValueRef, n);
    LLVMTypeRef thunk = module_type(m, m->nothing, 5, (LLVMTypeRef[]){m->ptr, m->ptr, m->ptr, m->i64, m->i64});
    for (int q = 0; q < code[0]->n; q++) {
        for (int i = 0; i < n; i++) {
            call[i] = &code[i]->calls[q];
            if (code[i]->n != code[0]->n || strcmp(call[i]->function, call[0]->function) || call[i]->when)
                bug("kernels %d and %d run at once, and are not the same: %s, %s", first->index, first->index + i, call[0]->function, call[i]->function);
            counts[i] = size_code(c->sizes, call[i]->count);
        }
        EntryCalls calls = {n, call, pointer_array(c, mem, n, call, number), size_array(c, c->sizes, n, call), entry_i64s(c, n, counts, NULL)};
        LLVMValueRef info = kernel_info(c, mem, first, call[0], q == code[0]->n - 1);
        entry_device_calls(c, &calls, scheduler, info, thunk);
        c->unit->kernels++;
    }
}

/* ---- checks and prints --------------------------------------------------------------------------------------------------- */

static void range_code(EntryCode *c, const EntryMemory *mem, const Effect *e) {
    Module *m = c->m;
    const Type *t = &e->value->type;
    LLVMValueRef dims = entry_stack(c, m->i64, t->rank ? t->rank : 1);
    for (int i = 0; i < t->rank; i++) {
        LLVMBuildStore(c->b, size_code(c->sizes, t->dim[i]), element_at(c, c->b, m->i64, dims, i));
    }
    LLVMTypeRef types[] = {m->ptr, m->ptr, m->ptr, m->ptr, m->i32, m->i32, m->i32, m->ptr, m->i64, m->i64};
    LLVMValueRef arguments[] = {c->frame,
                                module_text(m, c->entry),
                                module_text(m, e->text ? e->text : "index"),
                                entry_host(c, entry_pointer(c, mem, e->value), entry_bytes(c, t)),
                                module_i32(m, dtype_code(t->dtype)),
                                module_i32(m, dtype_bits(t->dtype)),
                                module_i32(m, t->rank),
                                dims,
                                size_code(c->sizes, e->lo),
                                size_code(c->sizes, e->hi)};
    return_if(c, module_call(m, c->b, entry_runtime(c, "rt_check_range", m->i32, 10, types), 10, arguments));
}

static void assert_code(EntryCode *c, const EntryMemory *mem, const Effect *e) {
    Module *m = c->m;
    LLVMValueRef holds = LLVMBuildLoad2(c->b, m->i8, entry_host(c, entry_pointer(c, mem, e->value), module_i64(m, 1)), "");
    LLVMBasicBlockRef fails = entry_block(c, "fails"), goes_on = entry_block(c, "");
    LLVMBuildCondBr(c->b, LLVMBuildICmp(c->b, LLVMIntNE, holds, LLVMConstInt(m->i8, 0, false), ""), goes_on, fails);
    LLVMPositionBuilderAtEnd(c->b, fails);
    LLVMTypeRef types[] = {m->ptr, m->i32, m->ptr};
    LLVMTypeRef type = LLVMFunctionType(m->i32, types, 3, true);
    const char *text = arena_printf(m->arena, "%s: %s", c->entry, e->text ? e->text : "an assert does not hold");
    LLVMValueRef arguments[] = {c->session, module_i32(m, MDL_ASSERT), module_text(m, "%s"), module_text(m, text)};
    LLVMBuildRet(c->b, module_call(m, c->b, module_function(m, "rt_fail", type), 4, arguments));
    LLVMPositionBuilderAtEnd(c->b, goes_on);
}

static void print_code(EntryCode *c, const EntryMemory *mem, const Effect *e) {
    Module *m = c->m;
    LLVMTypeRef types[] = {m->ptr, m->ptr, m->ptr, m->i32, m->i32, m->i64};
    LLVMValueRef arguments[] = {
        c->frame, module_text(m, e->text ? e->text : ""), module_null(m), module_i32(m, 0), module_i32(m, 0), module_i64(m, 0)};
    if (e->value) {
        const Type *t = &e->value->type;
        arguments[2] = entry_host(c, entry_pointer(c, mem, e->value), entry_bytes(c, t));
        arguments[3] = module_i32(m, dtype_code(t->dtype));
        arguments[4] = module_i32(m, dtype_bits(t->dtype));
        arguments[5] = size_code(c->sizes, type_count(e->value->graph, t));
    }
    module_call(m, c->b, entry_runtime(c, "rt_print", m->nothing, 6, types), 6, arguments);
}

static void check_code(EntryCode *c, const EntryMemory *mem, const Effect *e) {
    switch (e->kind) {
    case EFFECT_RANGE: range_code(c, mem, e); return;
    case EFFECT_CHECK: assert_code(c, mem, e); return;
    case EFFECT_PRINT: print_code(c, mem, e); return;
    case EFFECT_STORE:
    case EFFECT_RESET: break;
    }
    bug("a change of a slot is no kernel");
}

/* ---- a whole plan -------------------------------------------------------------------------------------------------------- */

/* Does the kernel write memory of a slot? The last carries of a scan may live there. */
static bool kernel_changes(const Plan *plan, const Kernel *k) {
    for (int i = 0; i < k->writes.n; i++) {
        if (plan->places[k->writes.at[i]->id].kind == PLACE_SLOT) return true;
    }
    if (k->kind != KERNEL_SCAN) return false;
    for (int i = 0; i < plan->graph->nodes.n; i++) {
        const Node *n = plan->graph->nodes.at[i];
        if (n->op == OP_GET && n->in[0] == k->anchor && plan->places[n->id].kind == PLACE_SLOT) return true;
    }
    return false;
}

/* From here on a failure leaves slots half written: the runtime is told. */
static void note_change(EntryCode *c) {
    if (c->changed) return;
    LLVMValueRef at = frame_offset(c->m, offsetof(RtFrame, changed));
    LLVMBuildStore(c->b, module_i32(c->m, 1), LLVMBuildInBoundsGEP2(c->b, c->m->i8, c->frame, &at, 1, ""));
    c->changed = true;
}

void entry_plan(EntryCode *c, EntryMemory *mem) {
    const Plan *plan = mem->plan;
    for (int i = 0; i < plan->kernels.n; i++) {
        const Kernel *k = plan->kernels.at[i];
        for (int j = i; j < i + k->together - k->turn; j++)
            if (kernel_changes(plan, plan->kernels.at[j])) note_change(c);
        if (c->unit->device && k->together > 1) {
            if (k->turn == 0) kernels_at_once(c, mem, k);
            continue;
        }
        switch (k->kind) {
        case KERNEL_MAP:
        case KERNEL_REDUCE:
        case KERNEL_CONTRACT:
        case KERNEL_ATTENTION:
        case KERNEL_ATTENTION_GRADIENT:
        case KERNEL_SCATTER:
        case KERNEL_UPDATE:
        case KERNEL_ROUTINE: kernel_calls(c, mem, k); break;
        case KERNEL_SCAN: entry_scan(c, mem, k); break;
        case KERNEL_CHECK:
        case KERNEL_PRINT: check_code(c, mem, k->effect); break;
        }
    }
    for (int i = 0; i < plan->copies.n; i++) {
        const Copy *copy = &plan->copies.at[i];
        if (copy->to.kind == PLACE_SLOT) note_change(c);
        LLVMValueRef to = place_pointer(c, mem, copy->to);
        if (!to) bug("a copy goes nowhere");
        entry_copy(c, to, entry_pointer(c, mem, copy->value), entry_bytes(c, &copy->value->type));
    }
}

/* ---- functions ----------------------------------------------------------------------------------------------------------- */

/* Straight-line code that runs once a call. What is short is made small; the rest LLVM compiles as it stands (a third of the time
 * of compilation otherwise). */
static void function_short(const Module *m, LLVMValueRef f, bool is_short) {
    module_attribute(m, f, is_short ? "optsize" : "optnone");
    if (is_short) module_attribute(m, f, "minsize");
}

static LLVMValueRef function_new(Module *m, const char *name, LLVMTypeRef type) {
    LLVMValueRef f = LLVMAddFunction(m->module, name, type);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    module_attribute(m, f, "nounwind");
    module_attribute(m, f, "noinline");
    return f;
}

static LLVMValueRef frame_field(EntryCode *c, size_t offset) {
    LLVMValueRef at = frame_offset(c->m, offset);
    return LLVMBuildLoad2(c->prologue, c->m->ptr, LLVMBuildInBoundsGEP2(c->prologue, c->m->i8, c->frame, &at, 1, ""), "");
}

LLVMValueRef entry_code(EntryUnit *u, const char *name, const char *entry, const Plan *plan) {
    Module *m = u->module;
    EntryCode code = {.unit = u, .m = m, .entry = entry}, *c = &code;
    c->function = function_new(m, name, module_type(m, m->i32, 1, &m->ptr));
    c->frame = LLVMGetParam(c->function, 0);
    c->prologue = LLVMCreateBuilderInContext(m->context);
    c->b = LLVMCreateBuilderInContext(m->context);
    LLVMBasicBlockRef first = entry_block(c, "first"), then = entry_block(c, "then");
    LLVMPositionBuilderAtEnd(c->prologue, first);
    LLVMPositionBuilderAtEnd(c->b, then);

    c->session = frame_field(c, offsetof(RtFrame, session));
    c->inputs = frame_field(c, offsetof(RtFrame, inputs));
    c->outputs = frame_field(c, offsetof(RtFrame, outputs));
    c->slots = frame_field(c, offsetof(RtFrame, slots));
    c->packs = frame_field(c, offsetof(RtFrame, packs));
    c->shared = frame_field(c, offsetof(RtFrame, shared));
    u->uses.n = 0;
    int kernels = u->kernels;
    c->sizes = size_code_new(m, c->prologue, frame_field(c, offsetof(RtFrame, sizes)), u->program->sizes, false);
    c->args = entry_stack(c, m->ptr, ARGUMENTS);
    c->counts = entry_stack(c, m->i64, ARGUMENTS);
    entry_plan(c, entry_memory(c, plan, frame_field(c, offsetof(RtFrame, arena))));

    LLVMBuildRet(c->b, module_i32(m, MDL_OK));
    LLVMBuildBr(c->prologue, then);
    LLVMDisposeBuilder(c->b);
    LLVMDisposeBuilder(c->prologue);
    function_short(m, c->function, u->kernels - kernels <= SHORT);
    return c->function;
}

/* ---- measures ------------------------------------------------------------------------------------------------------------ */

static int measure_add(EntryUnit *u, Size size, const Plan *plan) {
    Measure added = {size, plan};
    PUSH(u->module->arena, u->measures, added);
    return u->measures.n - 1;
}

int measure_size(EntryUnit *u, Size size) {
    for (int i = 0; i < u->measures.n; i++)
        if (u->measures.at[i].size == size) return i;
    return measure_add(u, size, NULL);
}

int64_t size_axis_code(Size s) {
    int64_t fixed;
    if (size_is_const(s, &fixed)) return fixed;
    const SizeName *name = size_bare_name(s);
    return name ? MDL_NAMED - name->index : MDL_COMPUTED;
}

void measure_axes(EntryUnit *u, const Type *type) {
    for (int i = 0; i < type->rank; i++)
        if (size_axis_code(type->dim[i]) == MDL_COMPUTED) measure_add(u, type->dim[i], NULL);
}

int measure_arena(EntryUnit *u, const Plan *plan) {
    int64_t bytes;
    if (entry_arena_static(plan, &bytes)) return measure_size(u, size_const(u->program->sizes, bytes));
    return measure_add(u, NULL, plan);
}

/* Each measure is a case; what does not fit 64 bits is INT64_MAX. */
LLVMValueRef measure_function(EntryUnit *u) {
    Module *m = u->module;
    LLVMTypeRef types[] = {m->i32, m->ptr};
    LLVMValueRef f = function_new(m, "measure", module_type(m, m->i64, 2, types));
    LLVMBuilderRef b = LLVMCreateBuilderInContext(m->context);
    LLVMBasicBlockRef first = LLVMAppendBasicBlockInContext(m->context, f, "");
    LLVMBasicBlockRef other = LLVMAppendBasicBlockInContext(m->context, f, "other");
    LLVMPositionBuilderAtEnd(b, first);
    LLVMValueRef choice = LLVMBuildSwitch(b, LLVMGetParam(f, 0), other, (unsigned)u->measures.n);
    for (int i = 0; i < u->measures.n; i++) {
        const Measure *measure = &u->measures.at[i];
        LLVMBasicBlockRef block = LLVMAppendBasicBlockInContext(m->context, f, "");
        LLVMPositionBuilderAtEnd(b, block);
        SizeCode *s = size_code_new(m, b, LLVMGetParam(f, 1), u->program->sizes, true);
        LLVMValueRef value = measure->plan ? offsets_code(s, measure->plan, NEW_ARRAY(m->arena, LLVMValueRef, measure->plan->buffers.n))
                                           : size_code(s, measure->size);
        if (s->overflow) value = LLVMBuildSelect(b, s->overflow, module_i64(m, INT64_MAX), value, "");
        LLVMBuildRet(b, value);
        LLVMAddCase(choice, module_i32(m, i), block);
    }
    LLVMPositionBuilderAtEnd(b, other);
    LLVMBuildUnreachable(b);
    LLVMDisposeBuilder(b);
    function_short(m, f, u->measures.n <= SHORT);
    return f;
}

bool entry_arena_static(const Plan *plan, int64_t *bytes) {
    for (int i = 0; i < plan->buffers.n; i++) {
        if (!size_is_static(plan->buffers.at[i].bytes)) return false;
    }
    int64_t bound;
    *bytes = 0;
    if (plan->buffers.n) plan_peak(plan, NULL, bytes, &bound);
    return true;
}

bool entry_arena_most(const Plan *plan, int64_t *bytes) {
    const SizeName *unlimited;
    const int64_t *at = plan_most(plan, &unlimited);
    int64_t bound;
    if (at) plan_peak(plan, at, bytes, &bound);
    return at != NULL;
}
