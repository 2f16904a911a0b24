/* tables.c -- what an artifact says about itself and what it exports, as LLVM constants and functions.
 *
 *   model     mdl_model of mdl.h: the public table, with the functions of the runtime in it
 *   program   RtProgram of runtime.h: what the runtime needs beside it
 *   NAME_model, NAME_open, NAME_ENTRY ..., and mdl_model_v1 in shared libraries: exported; all else is internal or hidden
 *
 * Each table is written in the order of its C struct; LLVM lays structs out as C does, and struct_check compares the sizes. */
#include "codegen/tables.h"

#include "codegen/memory.h"

#include "codegen/cuda/lower.h"
#include "codegen/initial.h"
#include "runtime/runtime.h"

#include <llvm-c/Target.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_NAME "mdl.model" /* of the public table, where several variants share it */

/* What is being written. */
typedef struct Tables {
    EntryUnit *unit;
    Module *m;
    const ArtifactOptions *options;
    const Program *program;
    const ArtifactHashes *hashes;
    const External *external;          /* NULL: none */
    int variant, level;                /* of the target's; the level of its machine */
    LLVMValueRef model;                /* the public table: that of variant 0 */
    LLVMTypeRef value_type;
} Tables;

/* ---- shared by tables, header and description ---------------------------------------------------------------------------- */

bool artifact_cached(const Entry *e, int result) {
    const Graph *g = e->graph;
    bool *cached = NEW_ARRAY(g->arena, bool, g->nodes.n);
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->op == OP_SLOT) cached[i] = g->program->slots.at[n->attrs.index]->kind == SLOT_CACHE;
        for (int k = 0; k < n->n_in; k++) cached[i] = cached[i] || cached[n->in[k]->id];
    }
    return cached[g->results.at[result].value->id];
}

static bool type_uses(const Type *t, const SizeName *name) {
    for (int i = 0; i < t->rank; i++) {
        if (size_uses(t->dim[i], name)) return true;
    }
    return false;
}

int artifact_size_entry(const Program *p, const SizeName *name) {
    int owner = -1;
    for (int i = 0; i < p->slots.n; i++) {
        if (type_uses(&p->slots.at[i]->type, name)) return -1;
    }
    for (int i = 0; i < p->entries.n; i++) {
        for (int k = 0; k < p->entries.at[i]->n_sizes; k++) {
            if (p->entries.at[i]->sizes[k] != name) continue;
            if (owner >= 0) return -1;
            owner = i;
        }
    }
    return owner;
}

/* Where pointers are as large as here, the struct must be as large as the compiler's own. */
static void struct_check(const Module *m, LLVMValueRef value, size_t size, const char *name) {
    if (m->pointer_bytes != sizeof(void *)) return;
    unsigned long long ours = LLVMABISizeOfType(LLVMGetModuleDataLayout(m->module), LLVMTypeOf(value));
    if (ours != size) bug("table %s has %llu bytes here and %zu in C", name, ours, size);
}

static LLVMValueRef hash_constant(const Module *m, const uint8_t hash[32]) {
    return LLVMConstStringInContext2(m->context, (const char *)hash, 32, true);
}

static LLVMValueRef int_array(Module *m, int n, const int *values) {
    LLVMValueRef *constants = NEW_ARRAY(m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) constants[i] = module_i32(m, values[i]);
    return module_array(m, m->i32, n, constants);
}

/* ---- values, sizes, entries ---------------------------------------------------------------------------------------------- */

/* An mdl_value. */
static LLVMValueRef value_row(Tables *t, const char *name, int kind, const Type *type) {
    Module *m = t->m;
    LLVMValueRef dims[MAX_RANK];
    for (int i = 0; i < type->rank; i++) dims[i] = module_i64(m, size_axis_code(type->dim[i]));
    LLVMValueRef dtype[] = {LLVMConstInt(m->i8, (unsigned)dtype_code(type->dtype), false),
                            LLVMConstInt(m->i8, (unsigned)dtype_bits(type->dtype), false), LLVMConstInt(m->i16, 1, false)};
    LLVMValueRef fields[] = {module_text(m, name),
                             module_i32(m, kind),
                             module_struct(m, 3, dtype),
                             module_i32(m, type->rank),
                             module_array(m, m->i64, type->rank, dims),
                             module_text(m, type_said(m->arena, type))};
    LLVMValueRef row = module_struct(m, 6, fields);
    struct_check(m, row, sizeof(mdl_value), "mdl_value");
    t->value_type = LLVMTypeOf(row);
    return row;
}

static LLVMValueRef sizes_table(Tables *t) {
    Module *m = t->m;
    int n = size_inputs(t->program->sizes);
    LLVMValueRef *rows = NEW_ARRAY(m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) {
        const SizeName *name = size_name_at(t->program->sizes, i);
        LLVMValueRef fields[] = {module_text(m, name->name), module_i64(m, name->low),
                                 module_i64(m, name->high == SIZE_NO_LIMIT ? -1 : name->high),
                                 module_i32(m, artifact_size_entry(t->program, name))};
        rows[i] = module_struct(m, 4, fields);
        struct_check(m, rows[i], sizeof(mdl_size), "mdl_size");
    }
    return n ? module_array(m, LLVMTypeOf(rows[0]), n, rows) : module_null(m);
}

static int slot_kind(SlotKind k) {
    switch (k) {
    case SLOT_PARAM: return MDL_PARAM;
    case SLOT_STATE: return MDL_STATE;
    case SLOT_CACHE: return MDL_CACHE;
    }
    bug("slot of kind %d", (int)k);
}

static LLVMValueRef slot_values(Tables *t) {
    int n = t->program->slots.n;
    LLVMValueRef *rows = NEW_ARRAY(t->m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) {
        const Slot *slot = t->program->slots.at[i];
        rows[i] = value_row(t, slot->path, slot_kind(slot->kind), &slot->type);
    }
    return n ? module_array(t->m, t->value_type, n, rows) : module_null(t->m);
}

/* An mdl_entry. */
static LLVMValueRef entry_row(Tables *t, const Entry *e) {
    Module *m = t->m;
    int n_out = e->graph->results.n, *sizes = NEW_ARRAY(m->arena, int, e->n_sizes + 1);
    LLVMValueRef *in = NEW_ARRAY(m->arena, LLVMValueRef, e->n_inputs + 1), *out = NEW_ARRAY(m->arena, LLVMValueRef, n_out + 1);
    for (int i = 0; i < e->n_sizes; i++) sizes[i] = e->sizes[i]->index;
    for (int i = 0; i < e->n_inputs; i++) in[i] = value_row(t, e->inputs[i].name, MDL_INPUT, &e->inputs[i].type);
    for (int i = 0; i < n_out; i++)
        out[i] = value_row(t, e->graph->results.at[i].name, MDL_OUTPUT, &e->graph->results.at[i].value->type);
    LLVMValueRef fields[] = {module_text(m, e->name),
                             module_i32(m, e->train),
                             module_i32(m, e->n_sizes),
                             module_i32(m, e->n_inputs),
                             module_i32(m, n_out),
                             int_array(m, e->n_sizes, sizes),
                             e->n_inputs ? module_array(m, t->value_type, e->n_inputs, in) : module_null(m),
                             n_out ? module_array(m, t->value_type, n_out, out) : module_null(m),
                             module_text(m, entry_place_text(m->arena, e->loc))};
    LLVMValueRef row = module_struct(m, 9, fields);
    struct_check(m, row, sizeof(mdl_entry), "mdl_entry");
    return row;
}

static LLVMValueRef entries_table(Tables *t) {
    int n = t->program->entries.n;
    LLVMValueRef *rows = NEW_ARRAY(t->m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) rows[i] = entry_row(t, t->program->entries.at[i]);
    return n ? module_array(t->m, LLVMTypeOf(rows[0]), n, rows) : module_null(t->m);
}

/* ---- exported functions, and what stands in the model's table ------------------------------------------------------------ */

static LLVMValueRef exported(Tables *t, const char *name, LLVMTypeRef type) {
    LLVMValueRef f = LLVMAddFunction(t->m->module, name, type);
    module_attribute(t->m, f, "nounwind");
    return f;
}

static LLVMBuilderRef body_begin(const Tables *t, LLVMValueRef function) {
    LLVMBuilderRef b = LLVMCreateBuilderInContext(t->m->context);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(t->m->context, function, ""));
    return b;
}

/* function(...) { return runtime(program, ...); }; the program is chosen at the call where there are several. */
static void forward(Tables *t, LLVMValueRef function, const char *runtime, LLVMValueRef programs) {
    Module *m = t->m;
    unsigned n = LLVMCountParams(function);
    LLVMTypeRef types[8], type = LLVMGlobalGetValueType(function);
    LLVMValueRef arguments[8];
    if (n > 7) bug("%s has %u parameters", runtime, n);
    types[0] = m->ptr;
    LLVMBuilderRef b = body_begin(t, function);
    arguments[0] = programs;
    if (t->options->target->variants > 1)
        arguments[0] = module_call(m, b, module_function(m, "rt_choose", module_type(m, m->ptr, 1, types)), 1, &programs);
    for (unsigned i = 0; i < n; i++) {
        arguments[i + 1] = LLVMGetParam(function, i);
        types[i + 1] = LLVMTypeOf(arguments[i + 1]);
    }
    LLVMTypeRef runtime_type = module_type(m, LLVMGetReturnType(type), (int)n + 1, types);
    LLVMBuildRet(b, module_call(m, b, module_function(m, runtime, runtime_type), (int)n + 1, arguments));
    LLVMDisposeBuilder(b);
}

static void model_function(Tables *t, const char *name) {
    LLVMBuilderRef b = body_begin(t, exported(t, name, module_type(t->m, t->m->ptr, 0, NULL)));
    LLVMBuildRet(b, t->model);
    LLVMDisposeBuilder(b);
}

static LLVMTypeRef scalar_type(const Module *m, DType d) {
    switch (d) {
    case DT_F32: return LLVMFloatTypeInContext(m->context);
    case DT_F64: return LLVMDoubleTypeInContext(m->context);
    default: return LLVMIntTypeInContext(m->context, (unsigned)(8 * dtype_bytes(d)));
    }
}

/* int NAME_ENTRY(mdl_session *, sizes, inputs, outputs): scalars by value, tensors and results by pointer. */
static void entry_function(Tables *t, int index, LLVMValueRef program) {
    Module *m = t->m;
    const Entry *e = t->program->entries.at[index];
    int n_out = e->graph->results.n, n = 0;
    LLVMTypeRef *types = NEW_ARRAY(m->arena, LLVMTypeRef, 1 + e->n_sizes + e->n_inputs + n_out);
    types[n++] = m->ptr;
    for (int i = 0; i < e->n_sizes; i++) types[n++] = m->i64;
    for (int i = 0; i < e->n_inputs; i++)
        types[n++] = e->inputs[i].type.rank ? m->ptr : scalar_type(m, e->inputs[i].type.dtype);
    for (int i = 0; i < n_out; i++) types[n++] = m->ptr;
    LLVMValueRef f = exported(t, entry_symbol(m->arena, t->program, e), module_type(m, m->i32, n, types));

    LLVMBuilderRef b = body_begin(t, f);
    LLVMValueRef sizes = LLVMBuildAlloca(b, LLVMArrayType2(m->i64, (uint64_t)e->n_sizes + 1), "sizes");
    LLVMValueRef inputs = LLVMBuildAlloca(b, LLVMArrayType2(m->ptr, (uint64_t)e->n_inputs + 1), "inputs");
    LLVMValueRef outputs = LLVMBuildAlloca(b, LLVMArrayType2(m->ptr, (uint64_t)n_out + 1), "outputs");
    unsigned p = 1;
    for (int i = 0; i < e->n_sizes + e->n_inputs + n_out; i++) {
        bool size = i < e->n_sizes, input = !size && i < e->n_sizes + e->n_inputs;
        LLVMValueRef value = LLVMGetParam(f, p++), array = size ? sizes : input ? inputs : outputs;
        LLVMValueRef at = module_i64(m, size ? i : input ? i - e->n_sizes : i - e->n_sizes - e->n_inputs);
        if (input && e->inputs[i - e->n_sizes].type.rank == 0) {
            LLVMValueRef memory = LLVMBuildAlloca(b, LLVMTypeOf(value), "");
            LLVMBuildStore(b, value, memory);
            value = memory;
        }
        LLVMBuildStore(b, value, LLVMBuildInBoundsGEP2(b, size ? m->i64 : m->ptr, array, &at, 1, ""));
    }
    LLVMTypeRef raw[] = {m->ptr, m->ptr, m->i32, m->ptr, m->ptr, m->ptr};
    LLVMValueRef arguments[] = {program, LLVMGetParam(f, 0), module_i32(m, index), sizes, inputs, outputs};
    LLVMBuildRet(b, module_call(m, b, module_function(m, "rt_call_raw", module_type(m, m->i32, 6, raw)), 6, arguments));
    LLVMDisposeBuilder(b);
}

/* The functions of mdl_model that know their session need no wrapper. */
static LLVMValueRef runtime_row(Tables *t, const char *name, LLVMTypeRef result, int n, const LLVMTypeRef *types) {
    return module_function(t->m, name, module_type(t->m, result, n, types));
}

static LLVMValueRef internal_function(Tables *t, const char *name, LLVMTypeRef result, int n, const LLVMTypeRef *types) {
    LLVMValueRef f = LLVMAddFunction(t->m->module, name, module_type(t->m, result, n, types));
    LLVMSetLinkage(f, LLVMInternalLinkage);
    module_attribute(t->m, f, "nounwind");
    return f;
}

static LLVMValueRef table_add(Tables *t, const char *name, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(t->m->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    return global;
}

/* Other modules of the artifact refer to it by this name. */
static LLVMValueRef table_named(LLVMValueRef table, const char *name) {
    LLVMSetValueName2(table, name, strlen(name));
    LLVMSetLinkage(table, LLVMExternalLinkage);
    LLVMSetVisibility(table, LLVMHiddenVisibility);
    return table;
}

static void model_table(Tables *t, LLVMValueRef open, LLVMValueRef shape, LLVMValueRef bytes, LLVMValueRef flops) {
    Module *m = t->m;
    const Program *p = t->program;
    LLVMTypeRef P = m->ptr, I = m->i32, L = m->i64;
    LLVMValueRef sizes = sizes_table(t), values = slot_values(t);
    bool devices = t->options->target->n_archs;
    char *version = arena_alloc(m->arena, 13);
    for (int i = 0; i < 6; i++) sprintf(version + 2 * i, "%02x", t->hashes->source[i]);
    LLVMValueRef fields[] = {
        module_i32(m, MDL_ABI),
        module_i32(m, 0), /* its own size: below */
        module_text(m, p->name),
        module_text(m, version),
        module_text(m, "modelc " MODELC_VERSION),
        module_text(m, t->options->target->name),
        hash_constant(m, t->hashes->source),
        hash_constant(m, t->hashes->interface),
        hash_constant(m, t->hashes->weights),
        module_i32(m, p->entries.n),
        module_i32(m, p->slots.n),
        module_i32(m, size_inputs(p->sizes)),
        entries_table(t),
        values,
        sizes,
        module_text(m, p->run_json),
        open,
        runtime_row(t, "rt_close", m->nothing, 1, (LLVMTypeRef[]){P}),
        runtime_row(t, "rt_call", I, 5, (LLVMTypeRef[]){P, I, P, P, P}),
        shape,
        bytes,
        runtime_row(t, "rt_load", I, 2, (LLVMTypeRef[]){P, P}),
        runtime_row(t, "rt_save", I, 3, (LLVMTypeRef[]){P, P, I}),
        runtime_row(t, "rt_get", I, 3, (LLVMTypeRef[]){P, P, P}),
        runtime_row(t, "rt_set", I, 3, (LLVMTypeRef[]){P, P, P}),
        runtime_row(t, "rt_reset", I, 1, (LLVMTypeRef[]){P}),
        runtime_row(t, "rt_seed", I, 2, (LLVMTypeRef[]){P, L}),
        runtime_row(t, "rt_error", P, 1, (LLVMTypeRef[]){P}),
        runtime_row(t, "rt_stats", I, 6, (LLVMTypeRef[]){P, I, P, P, P, P}),
        runtime_row(t, t->options->tests ? "rt_selftest_recorded" : "rt_selftest", I, 3, (LLVMTypeRef[]){P, P, P}),
        runtime_row(t, "rt_note", I, 5, (LLVMTypeRef[]){P, P, P, P, m->word}),
        flops,
        runtime_row(t, "rt_work", I, 5, (LLVMTypeRef[]){P, I, P, P, P}),
        devices ? runtime_row(t, "rt_call_managed", I, 5, (LLVMTypeRef[]){P, I, P, P, P}) : NULL,
    };
    int n = (int)(sizeof fields / sizeof *fields) - !devices; /* the table ends before it */
    LLVMTypeRef type = LLVMTypeOf(module_struct(m, n, fields));
    fields[1] = module_i32(m, (int64_t)LLVMABISizeOfType(LLVMGetModuleDataLayout(m->module), type));
    LLVMValueRef value = module_struct(m, n, fields);
    struct_check(m, value, devices ? sizeof(mdl_model) : offsetof(mdl_model, call_managed), "mdl_model");
    t->model = table_add(t, "model", value);
    if (t->options->target->variants > 1) table_named(t->model, MODEL_NAME);
}

/* ---- the runtime's tables ------------------------------------------------------------------------------------------------ */

int entry_slots(const Program *p, const Entry *e, SlotUse use, int *list) {
    bool *marked = NEW_ARRAY(p->arena, bool, p->slots.n + 1);
    const Graph *g = e->graph;
    for (int i = 0; i < g->nodes.n && use == SLOTS_TOUCHED; i++) {
        if (g->nodes.at[i]->op == OP_SLOT) marked[g->nodes.at[i]->attrs.index] = true;
    }
    for (int i = 0; i < g->effects.n; i++) {
        if (g->effects.at[i].kind == (use == SLOTS_RESET ? EFFECT_RESET : EFFECT_STORE)) marked[g->effects.at[i].index] = true;
    }
    int n = 0;
    for (int i = 0; i < p->slots.n; i++) {
        if (marked[i]) list[n++] = i;
    }
    return n;
}

/* RtPackUse of the entry whose code was made last. */
static LLVMValueRef pack_uses(Tables *t) {
    Module *m = t->m;
    int n = t->unit->uses.n;
    LLVMValueRef *rows = NEW_ARRAY(m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) {
        const EntryPackUse *use = &t->unit->uses.at[i];
        LLVMValueRef fields[] = {module_i32(m, use->pack), module_i32(m, use->when ? measure_size(t->unit, use->when) : RT_UNMEASURED),
                                 module_i64(m, use->low), module_i64(m, use->high)};
        rows[i] = module_struct(m, 4, fields);
        struct_check(m, rows[i], sizeof(RtPackUse), "RtPackUse");
    }
    return n ? module_array(m, LLVMTypeOf(rows[0]), n, rows) : module_null(m);
}

/* RtPack of the artifact. */
static LLVMValueRef packs_table(Tables *t) {
    Module *m = t->m;
    int n = t->unit->packs.n;
    LLVMTypeRef thunk_types[] = {m->ptr, m->ptr, m->ptr, m->i64, m->i64};
    LLVMValueRef *rows = NEW_ARRAY(m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) {
        const EntryPack *pack = &t->unit->packs.at[i];
        EntryKernel said = {pack->thunk, pack->said, t->program->slots.at[pack->slot]->path, ""};
        Size moved = size_const(t->program->sizes, 2 * pack->bytes);
        LLVMValueRef fields[] = {module_function(m, pack->thunk, module_type(m, m->nothing, 5, thunk_types)),
                                 entry_kernel_info(t->unit, &said, NULL, moved, 0, NULL), module_i64(m, pack->bytes),
                                 module_i64(m, pack->count), module_i32(m, pack->slot)};
        rows[i] = module_struct(m, 5, fields);
        struct_check(m, rows[i], sizeof(RtPack), "RtPack");
    }
    return n ? module_array(m, LLVMTypeOf(rows[0]), n, rows) : module_null(m);
}

/* Memory of the packs of the entry whose code was made last. */
static int64_t pack_bytes(const Tables *t) {
    const EntryUnit *u = t->unit;
    int64_t total = 0;
    for (int i = 0; i < u->uses.n; i++) {
        bool counted = false;
        if (u->uses.at[i].when) return -1;
        for (int k = 0; k < i && !counted; k++) counted = u->uses.at[k].pack == u->uses.at[i].pack;
        if (!counted) total += memory_aligned(u->packs.at[u->uses.at[i].pack].bytes);
    }
    return total;
}

static LLVMValueRef entry_runtime_row(Tables *t, int index) {
    Module *m = t->m;
    const Program *p = t->program;
    const Entry *e = p->entries.at[index];
    const Plan *plan = t->options->entries[index];
    int *slots = NEW_ARRAY(m->arena, int, 3 * p->slots.n + 1);
    int n_touched = entry_slots(p, e, SLOTS_TOUCHED, slots);
    int n_stored = entry_slots(p, e, SLOTS_STORED, slots + n_touched);
    int n_reset = entry_slots(p, e, SLOTS_RESET, slots + n_touched + n_stored);
    LLVMValueRef code = entry_code(t->unit, arena_printf(m->arena, "run.%s", e->name), e->name, plan);
    t->unit->pack_bytes[index] = pack_bytes(t);
    LLVMValueRef fields[] = {code,
                             pack_uses(t), /* known now that the code is made */
                             int_array(m, n_touched + n_stored + n_reset, slots),
                             module_i32(m, t->unit->uses.n),
                             module_i32(m, n_touched),
                             module_i32(m, n_stored),
                             module_i32(m, n_reset),
                             module_i32(m, measure_arena(t->unit, plan)),
                             module_i32(m, measure_size(t->unit, plan_flops(plan))),
                             module_i32(m, e->draws != 0)};
    LLVMValueRef row = module_struct(m, 10, fields);
    struct_check(m, row, sizeof(RtEntry), "RtEntry");
    return row;
}

static bool slot_changes(const Program *p, int slot) {
    int *stored = NEW_ARRAY(p->arena, int, p->slots.n + 1);
    for (int i = 0; i < p->entries.n; i++) {
        int n = entry_slots(p, p->entries.at[i], SLOTS_STORED, stored);
        for (int k = 0; k < n; k++) {
            if (stored[k] == slot) return true;
        }
    }
    return false;
}

static LLVMValueRef slot_runtime_row(Tables *t, int i, const char *data) {
    Module *m = t->m;
    const Slot *slot = t->program->slots.at[i];
    const Plan *plan = t->options->inits[i];
    LLVMValueRef fields[] = {
        data ? module_external(m, data) : module_null(m),
        plan ? entry_code(t->unit, arena_printf(m->arena, "init.%s", slot->path), "open", plan) : module_null(m),
        module_i32(m, plan ? measure_arena(t->unit, plan) : RT_UNMEASURED),
        LLVMConstInt(m->i16, slot->optimizer, false),
        LLVMConstInt(m->i16, slot_changes(t->program, i), false)};
    LLVMValueRef row = module_struct(m, 5, fields);
    struct_check(m, row, sizeof(RtSlot), "RtSlot");
    return row;
}

/* The measures that rt_dims asks for: before all others. */
static void values_measure(Tables *t) {
    const Program *p = t->program;
    for (int i = 0; i < p->slots.n; i++) measure_axes(t->unit, &p->slots.at[i]->type);
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        for (int k = 0; k < e->n_inputs; k++) measure_axes(t->unit, &e->inputs[k].type);
        for (int k = 0; k < e->graph->results.n; k++) measure_axes(t->unit, &e->graph->results.at[k].value->type);
    }
}

static const char *program_name(const Tables *t, int variant) {
    return arena_printf(t->m->arena, "mdl.program.%d", variant);
}

static LLVMValueRef maps_table(Module *m, const CudaKernel *k) {
    LLVMValueRef *words = NEW_ARRAY(m->arena, LLVMValueRef, k->n_words + 1);
    for (int i = 0; i < k->n_words; i++) words[i] = module_i64(m, k->maps[i]);
    return module_array(m, m->i64, k->n_words, words);
}

/* RtDevice: kernels by number, an image for each architecture, and PTX of the least behind them. */
static LLVMValueRef device_table(Tables *t) {
    Module *m = t->m;
    const Target *target = t->options->target;
    int n_kernels, n_images = target->n_archs + 1;
    const CudaKernel *k = scheduler_cuda_kernels(t->unit->modules[0].scheduler, &n_kernels);
    LLVMValueRef *kernels = NEW_ARRAY(m->arena, LLVMValueRef, n_kernels + 1), images[TARGET_ARCHS + 1];
    for (int i = 0; i < n_kernels; i++) {
        LLVMValueRef fields[] = {module_text(m, k[i].name), module_i64(m, k[i].memory), module_i64(m, k[i].group ? k[i].shared : 0), module_i64(m, k[i].n_maps),
                                 maps_table(m, &k[i])};
        kernels[i] = module_struct(m, 5, fields);
        struct_check(m, kernels[i], sizeof(RtDeviceKernel), "RtDeviceKernel");
    }
    for (int i = 0; i < n_images; i++) {
        const char *arch = target->archs[i < target->n_archs ? i : 0];
        int kind = i == target->n_archs ? 2 : strchr(arch, 'a') != NULL;
        LLVMValueRef data = module_external(m, arena_printf(m->arena, "mdl.image.%d", i));
        images[i] = module_struct(m, 3, (LLVMValueRef[]){module_i32(m, atoi(arch)), module_i32(m, kind), data});
    }
    LLVMValueRef fields[] = {module_external(m, "rt_cuda"),
                             module_external(m, "mdl.programs"),
                             module_i32(m, n_kernels),
                             module_i32(m, n_images),
                             n_kernels ? module_array(m, LLVMTypeOf(kernels[0]), n_kernels, kernels) : module_null(m),
                             module_array(m, LLVMTypeOf(images[0]), n_images, images)};
    LLVMValueRef value = module_struct(m, 6, fields);
    struct_check(m, value, sizeof(RtDevice), "RtDevice");
    return module_constant(m, value);
}

static LLVMValueRef tests_table(Tables *t) {
    if (!t->options->tests) return module_null(t->m);
    if (t->variant) return module_external(t->m, "mdl.tests");
    LLVMValueRef tests = selftest_table(t->m, t->program, t->options->tests);
    return t->options->target->variants > 1 && !LLVMIsNull(tests) ? table_named(tests, "mdl.tests") : tests;
}

static LLVMValueRef program_table(Tables *t, const char *const *data) {
    Module *m = t->m;
    const Program *p = t->program;
    LLVMValueRef *slots = NEW_ARRAY(m->arena, LLVMValueRef, p->slots.n + 1),
                 *entries = NEW_ARRAY(m->arena, LLVMValueRef, p->entries.n + 1);
    t->unit->pack_bytes = NEW_ARRAY(m->arena, int64_t, p->entries.n + 1);
    values_measure(t);
    for (int i = 0; i < p->slots.n && !t->unit->device; i++) slots[i] = slot_runtime_row(t, i, data[i]);
    for (int i = 0; i < p->entries.n; i++) entries[i] = entry_runtime_row(t, i);
    int64_t scratch = 0, shared = 0;
    for (int i = 0; i < t->unit->n_modules; i++) {
        const Scheduler *s = t->unit->modules[i].scheduler;
        if (scheduler_scratch(s) > scratch) scratch = scheduler_scratch(s);
        if (scheduler_shared(s) > shared) shared = scheduler_shared(s);
    }
    LLVMValueRef rows = module_null(m); /* initial values are made on the processor: the device's program has that one's rows */
    if (p->slots.n && t->unit->device) rows = module_external(m, "mdl.slots");
    else if (p->slots.n) rows = module_array(m, LLVMTypeOf(slots[0]), p->slots.n, slots);
    if (p->slots.n && !t->unit->device && !t->variant && t->options->target->n_archs) rows = table_named(rows, "mdl.slots");
    LLVMValueRef packs = packs_table(t);
    LLVMValueRef fields[] = {t->model,
                             measure_function(t->unit),
                             rows,
                             p->entries.n ? module_array(m, LLVMTypeOf(entries[0]), p->entries.n, entries) : module_null(m),
                             packs,
                             module_i32(m, size_inputs(p->sizes)),
                             module_i32(m, p->slots.n),
                             module_i32(m, p->entries.n),
                             module_i32(m, t->unit->packs.n),
                             module_i32(m, t->level),
                             module_i64(m, scratch),
                             module_i64(m, shared),
                             t->external ? external_table(m, t->external, t->options->weights, p->slots.n) : module_null(m),
                             tests_table(t),
                             t->level || t->options->target->variants > 1 ? module_external(m, "rt_processor_check") : module_null(m),
                             t->unit->device ? device_table(t) : module_null(m)};
    bool devices = t->options->target->n_archs; /* the table ends before that field where nothing reads it */
    LLVMValueRef value = module_struct(m, devices ? 16 : 15, fields);
    struct_check(m, value, devices ? sizeof(RtProgram) : offsetof(RtProgram, device), "RtProgram");
    LLVMValueRef program = table_add(t, "program", value);
    return t->variant ? table_named(program, program_name(t, t->variant)) : program;
}

/* An array of the programs of all variants, the least first, then NULL. */
static LLVMValueRef programs_table(Tables *t, LLVMValueRef program) {
    LLVMValueRef programs[TARGET_VARIANTS + 1] = {program};
    int n = t->options->target->variants;
    for (int i = 1; i < n; i++) programs[i] = module_external(t->m, program_name(t, i));
    programs[n] = module_null(t->m);
    LLVMValueRef table = module_array(t->m, t->m->ptr, n + 1, programs);
    return t->options->target->n_archs ? table_named(table, "mdl.programs") : table;
}

void artifact_tables(EntryUnit *u, const ArtifactOptions *options, const ArtifactHashes *hashes, const char *const *data,
                     const External *external, int variant) {
    Tables tables = {.unit = u,
                     .m = u->module,
                     .options = options,
                     .program = options->program,
                     .hashes = hashes,
                     .external = external,
                     .variant = variant,
                     .level = target_variant(options->target, variant).level},
           *t = &tables;
    Module *m = u->module;
    LLVMTypeRef P = m->ptr;
    if (variant) {
        t->model = module_external(m, MODEL_NAME);
        program_table(t, data);
        return;
    }
    LLVMValueRef open =
        exported(t, arena_printf(m->arena, "%s_open", t->program->name), module_type(m, m->i32, 2, (LLVMTypeRef[]){P, P}));
    LLVMValueRef shape = internal_function(t, "value.shape", m->i32, 3, (LLVMTypeRef[]){P, P, P});
    LLVMValueRef bytes = internal_function(t, "entry.bytes", m->i64, 2, (LLVMTypeRef[]){m->i32, P});
    LLVMValueRef flops = internal_function(t, "entry.flops", m->i64, 2, (LLVMTypeRef[]){m->i32, P});
    model_table(t, open, shape, bytes, flops);
    LLVMValueRef program = program_table(t, data);
    LLVMValueRef programs = options->target->variants > 1 ? programs_table(t, program) : program;
    forward(t, open, "rt_open", programs);
    forward(t, shape, "rt_shape", programs);
    forward(t, bytes, "rt_bytes", programs);
    forward(t, flops, "rt_flops", programs);
    model_function(t, arena_printf(m->arena, "%s_model", t->program->name));
    if (options->kind == ARTIFACT_SHARED) model_function(t, MDL_MODEL_SYMBOL);
    for (int i = 0; i < t->program->entries.n; i++) entry_function(t, i, program);
}
