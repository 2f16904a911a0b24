/* numbers.c -- MDL_CHECK_NUMBERS: a call looks through its inputs, then through what each kernel has stored, and stops at the first
 * NaN: the kernels after it do not run, and the call fails. Infinities pass: masks are made of them. The same way mdl_options.watch
 * is shown what each kernel has stored. */
#include "runtime/internal.h"

/* The first NaN among n floats, or -1: all bits of the exponent set and one of the fraction. */
static int64_t nan_find(const void *data, int32_t bits, int64_t n) {
    for (int64_t i = 0; i < n && bits == 32; i++) {
        uint32_t x;
        memcpy(&x, (const char *)data + 4 * i, 4);
        if ((x & 0x7fffffffu) > 0x7f800000u) return i;
    }
    for (int64_t i = 0; i < n && bits == 64; i++) {
        uint64_t x;
        memcpy(&x, (const char *)data + 8 * i, 8);
        if ((x & 0x7fffffffffffffffu) > 0x7ff0000000000000u) return i;
    }
    return -1;
}

void rt_check_kernel(RtFrame *f, const RtKernel *k, void *const *args) {
    const mdl_session *s = f->session;
    for (int i = 0; i < k->n_floats && !f->nan; i++) {
        const RtFloats *v = &k->floats[i];
        int64_t n = s->program->measure(v->elements, f->sizes);
        if (s->watch) s->watch(s->watch_context, rt_kernel_text(k, RT_KERNEL_PATH), rt_kernel_text(k, RT_KERNEL_SOURCE), args[v->arg], v->bits, n);
        if (s->flags & MDL_CHECK_NUMBERS && nan_find(args[v->arg], v->bits, n) >= 0) f->nan = k;
    }
}

int rt_check_inputs(RtFrame *f, const mdl_entry *entry) {
    for (int i = 0; i < entry->n_inputs; i++) {
        const mdl_value *v = &entry->inputs[i];
        int64_t dims[RT_MAX_RANK];
        rt_dims(f->session->program, v, f->sizes, dims);
        if (v->dtype.code == 2 && nan_find(f->inputs[i], v->dtype.bits, rt_count(dims, v->rank)) >= 0)
            return rt_fail(f->session, MDL_NUMBER, "%s: there is a NaN in the input %s", entry->name, v->name);
    }
    return MDL_OK;
}
