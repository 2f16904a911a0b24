/* managed.c -- results in memory of the device that the caller keeps (mdl_model.call_managed). It holds the device's context, not the session. */
#include "runtime/cuda/device.h"

typedef struct Managed {
    mdl_managed managed; /* first */
    int64_t shape[RT_MAX_RANK];
    CuAddress at;
    CuHandle context;
    int device;
} Managed;

static void managed_release(mdl_managed *managed) {
    Managed *m = managed->context;
    const char *why;
    const CuDriver *driver = cu_driver(&why);
    CuHandle before = NULL;
    driver->context_get(&before);
    driver->context_set(m->context);
    driver->memory_give(m->at);
    driver->context_set(before);
    driver->context_release(m->device);
    rt_host_give(m);
}

int cu_take(mdl_session *s, int64_t bytes, mdl_managed **out) {
    RtDeviceState *d = s->device;
    Managed *m = rt_host_take(sizeof *m);
    if (!m) return rt_fail(s, MDL_MEMORY, "no memory for a result");
    d->error = 0;
    d->needs = 0;
    d->wanted = bytes > 0 ? bytes : 1;
    cu_enter(d);
    bool retained = cu_check(d, d->driver->context_retain(&m->context, d->device), "a context");
    if (retained && !cu_check(d, d->driver->memory_take(&m->at, (size_t)d->wanted), "memory")) d->driver->context_release(d->device);
    int code = d->error ? cu_failure(d, "a result") : MDL_OK;
    cu_leave(d);
    if (code) {
        rt_host_give(m);
        return code;
    }
    m->device = d->device;
    m->managed = (mdl_managed){.tensor = {.data = (void *)(uintptr_t)m->at, .device = {2, d->number}, .shape = m->shape}, .context = m, .release = managed_release};
    *out = &m->managed;
    return MDL_OK;
}
