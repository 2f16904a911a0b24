/* driver.c -- see driver.h. */
#include "runtime/cuda/driver.h"

#include "runtime/internal.h"

/* In libdl before glibc 2.34, which an artifact does not ask for; who has no dlopen has no driver either. */
void *dlopen(const char *path, int flags);
void *dlsym(void *library, const char *name);
#pragma weak dlopen
#pragma weak dlsym
enum { NOW = 2 };

static const char *const names[] = {
#define X(name, ours, arguments) "cu" #name,
    CU_DRIVER(X)
#undef X
};

/* All pointers, in the order of the names. */
static const char *driver_load(CuDriver *d) {
    if (!dlopen || !dlsym) return "this process cannot open libraries";
    void *library = dlopen("libcuda.so.1", NOW), **at = (void **)(void *)d;
    if (!library) return "there is no libcuda.so.1 (NVIDIA's driver)";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(at[i] = dlsym(library, names[i]))) return "the driver is too old";
    *(void **)(void *)&d->map_make = dlsym(library, "cuTensorMapEncodeTiled");
    return d->init(0) ? "the driver finds no device" : NULL;
}

const CuDriver *cu_driver(const char **why) {
    static CuDriver driver;
    static const char *missing;
    static atomic_int state; /* 0; 1: being loaded; 2: missing says how it went */
    int none = 0;
    if (atomic_compare_exchange_strong(&state, &none, 1)) {
        missing = driver_load(&driver);
        atomic_store(&state, 2);
    }
    while (atomic_load(&state) != 2) continue; /* another thread loads it */
    *why = missing;
    return missing ? NULL : &driver;
}
