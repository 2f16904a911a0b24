/* entry_device.c -- what the code of an entry does otherwise where kernels run on a device (runtime.h, RtDevice): it calls kernels by their
 * numbers, says how large each argument is, and asks for what it must look at itself. */
#include "codegen/entry.h"

LLVMValueRef entry_host(EntryCode *c, LLVMValueRef p, LLVMValueRef bytes) {
    Module *m = c->m;
    if (!c->unit->device) return p;
    LLVMTypeRef types[] = {m->ptr, m->ptr, m->i64};
    return module_call(m, c->b, entry_runtime(c, "rt_device_host", m->ptr, 3, types), 3, (LLVMValueRef[]){c->frame, p, bytes});
}

LLVMValueRef entry_cell(EntryCode *c, LLVMTypeRef type) {
    Module *m = c->m;
    if (!c->unit->device) return entry_stack(c, type, 1);
    LLVMTypeRef types[] = {m->ptr, m->i32};
    return module_call(m, c->b, entry_runtime(c, "rt_device_cell", m->ptr, 2, types), 2, (LLVMValueRef[]){c->frame, module_i32(m, c->cells++)});
}

/* The bytes of each argument that may lie outside of the device's memory, or that a routine takes out of it. */
static LLVMValueRef argument_bytes(EntryCode *c, const KernelArg *a) {
    switch (a->kind) {
    case ARG_VALUE: return entry_bytes(c, &a->node->type);
    case ARG_RNG: return module_i64(c->m, 16);
    case ARG_SITE: return module_i64(c->m, 4);
    case ARG_NULL:
    case ARG_PACK:
    case ARG_SHARED: break;
    }
    return module_i64(c->m, 0);
}

/* An array of i64: a constant where all are. */
static LLVMValueRef bytes_array(EntryCode *c, const KernelCall *call) {
    Module *m = c->m;
    LLVMValueRef *values = NEW_ARRAY(m->arena, LLVMValueRef, call->n_args + 1);
    bool constant = true;
    for (int i = 0; i < call->n_args; i++) {
        values[i] = argument_bytes(c, &call->args[i]);
        constant = constant && LLVMIsConstant(values[i]);
    }
    if (constant) return module_array(m, m->i64, call->n_args, values);
    LLVMValueRef array = entry_stack(c, m->i64, call->n_args);
    for (int i = 0; i < call->n_args; i++) {
        LLVMValueRef at = module_i64(m, i);
        LLVMBuildStore(c->b, values[i], LLVMBuildInBoundsGEP2(c->b, m->i64, array, &at, 1, ""));
    }
    return array;
}

void entry_device_call(EntryCode *c, const KernelCall *call, int kernel, LLVMValueRef info, LLVMValueRef args, LLVMValueRef sizes, LLVMValueRef count,
                       LLVMTypeRef thunk) {
    Module *m = c->m;
    LLVMTypeRef P = m->ptr, I = m->i32, L = m->i64;
    LLVMValueRef bytes = bytes_array(c, call), n_args = module_i32(m, call->n_args);
    if (kernel < 0) {
        LLVMTypeRef types[] = {P, P, P, I, P, P, P, L};
        LLVMValueRef x[] = {c->frame, info, module_function(m, call->function, thunk), n_args, args, bytes, sizes, count};
        module_call(m, c->b, entry_runtime(c, "rt_device_routine", m->nothing, 8, types), 8, x);
        return;
    }
    LLVMTypeRef types[] = {P, P, I, I, P, P, I, P, L};
    LLVMValueRef x[] = {c->frame, info, module_i32(m, kernel), n_args, args, bytes, module_i32(m, call->n_sizes), sizes, count};
    module_call(m, c->b, entry_runtime(c, "rt_device_run", m->nothing, 9, types), 9, x);
}
