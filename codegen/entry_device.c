/* entry_device.c -- what the code of an entry does otherwise where kernels run on a device (runtime.h, RtDevice): it calls kernels by their
 * numbers, says how large each argument is, and asks for what it must look at itself. */
#include "codegen/cuda/lower.h"
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

void entry_device_calls(EntryCode *c, const EntryCalls *calls, const Scheduler *scheduler, LLVMValueRef info, LLVMTypeRef thunk) {
    Module *m = c->m;
    LLVMTypeRef P = m->ptr, I = m->i32;
    const KernelCall *first = calls->call[0];
    int n_args = first->n_args, kernel = scheduler_device_kernel(scheduler, first->function);
    LLVMValueRef *sizes = NEW_ARRAY(m->arena, LLVMValueRef, calls->n * n_args + 1);
    for (int i = 0; i < calls->n * n_args; i++) sizes[i] = argument_bytes(c, &calls->call[i / n_args]->args[i % n_args]);
    LLVMValueRef bytes = entry_i64s(c, calls->n * n_args, sizes, NULL);
    if (kernel < 0) {
        LLVMTypeRef types[] = {P, P, P, I, P, P, P, m->i64};
        LLVMValueRef count = LLVMBuildLoad2(c->b, m->i64, calls->counts, "");
        LLVMValueRef x[] = {c->frame, info, module_function(m, first->function, thunk), module_i32(m, n_args), calls->args, bytes, calls->sizes, count};
        module_call(m, c->b, entry_runtime(c, "rt_device_routine", m->nothing, 8, types), 8, x);
        return;
    }
    LLVMTypeRef types[] = {P, P, I, I, I, P, P, I, P, P};
    LLVMValueRef x[] = {c->frame, info, module_i32(m, kernel), module_i32(m, scheduler_cuda_kernel(scheduler, first->function)->table ? calls->n : 0), module_i32(m, n_args), calls->args,
                        bytes, module_i32(m, first->n_sizes), calls->sizes, calls->counts};
    module_call(m, c->b, entry_runtime(c, "rt_device_run", m->nothing, 10, types), 10, x);
}
