/* device.c -- see device.h. */
#include "tests/schedule/device.h"

#include "codegen/cuda/lower.h"
#include "codegen/schedule.h"
#include "ir/diag.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ORDERS = 6, MOST_BLOCKS = 3 /* fewer than a device has: warps then run several iterations */ };

typedef const char *Emulate(void *kernel, const long long *arguments, int n, int blocks, int threads, int shared, unsigned order);

struct Device {
    Arena *arena;
    const Scheduler *s;
    void *library;
    Emulate *emulate;
};

/* The kernels with a fault: MUTATE=before leaves out what a warp waits for before it stores what other lanes load, MUTATE=after what it waits
 * for behind that, MUTATE=mask every test of a lane against a limit. */
static const char *mutant(Arena *arena, const char *text) {
    static const char sync[] = "nt_sync();";
    const char *kind = getenv("MUTATE");
    if (!kind) return text;
    char *copy = arena_copy(arena, text, strlen(text));
    int number = 0;
    for (char *at = copy; (at = strstr(at, sync)); at += sizeof sync - 1)
        if (!strcmp(kind, number++ % 2 ? "after" : "before")) memset(at, ' ', sizeof sync - 2);
    for (char *at = copy; !strcmp(kind, "mask") && (at = strstr(at, "if (nt_lane < (")); at++) memcpy(at, "if (nt_lane >-(", 15);
    return copy;
}

/* -ffp-contract=off is --fmad=false. */
static void *text_load(Arena *arena, const char *folder, const Scheduler *s) {
    char command[1000], path[300];
    snprintf(path, sizeof path, "%s/k.c", folder);
    FILE *f = fopen(path, "w");
    if (!f) bug("cannot write %s", path);
    fputs(cuda_prelude(), f);
    fputs(mutant(arena, scheduler_cuda(s)), f);
    fclose(f);
    const char *compiler = getenv("CC") ? getenv("CC") : "gcc", *root = getenv("ROOT") ? getenv("ROOT") : ".";
    snprintf(command, sizeof command,
             "%s -w -O1 -march=native -ffp-contract=off -fno-strict-aliasing -fPIC -shared -I%s -DNT_EMULATOR -o %s/k.so %s/k.c %s/tests/cuda/emulator.c "
             "-lm",
             compiler, root, folder, folder, root);
    if (system(command)) bug("the kernels are no C: %s", path);
    snprintf(path, sizeof path, "%s/k.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) bug("%s", dlerror());
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command)) bug("cannot remove %s", folder);
    return library;
}

Device *device_new(Arena *arena, const Scheduler *s) {
    char folder[] = "/tmp/device.XXXXXX"; /* a new name each time: dlopen remembers them */
    if (!mkdtemp(folder)) bug("no folder for kernels");
    Device *d = NEW(arena, Device);
    d->arena = arena;
    d->s = s;
    d->library = text_load(arena, folder, s);
    *(void **)&d->emulate = dlsym(d->library, "nt_emulate");
    return d;
}

void device_free(Device *d) {
    if (d) dlclose(d->library);
}

/* Blocks: all that the iterations fill, or so few that warps run several. */
static int grid_of(int64_t count, unsigned order) {
    int64_t blocks = (count + CUDA_WARPS - 1) / CUDA_WARPS, most = order % 2 ? MOST_BLOCKS : 64;
    return (int)(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

bool device_run(Device *d, const KernelCall *call, void *const *args, const size_t *bytes, const int64_t *sizes, int64_t count) {
    const CudaKernel *k = scheduler_cuda_kernel(d->s, call->function);
    void *kernel = dlsym(d->library, k->name);
    if (!kernel) bug("no kernel %s", k->name);
    char **before = calloc((size_t)call->n_args + 1, sizeof *before), **first = calloc((size_t)call->n_args + 1, sizeof *first);
    long long word[128];
    int n = call->n_args + call->n_sizes + 1;
    if (n > 128) bug("%s has %d parameters", k->name, n);
    for (int i = 0; i < call->n_args; i++) {
        word[i] = (long long)(intptr_t)args[i];
        if (bytes[i]) memcpy(before[i] = malloc(bytes[i]), args[i], bytes[i]);
        if (bytes[i]) first[i] = malloc(bytes[i]);
    }
    for (int i = 0; i < call->n_sizes; i++) word[call->n_args + i] = sizes[i];
    size_t memory_bytes = (size_t)(k->memory * CUDA_WARPS * 64 + 64);
    char *memory = aligned_alloc(64, memory_bytes / 64 * 64);
    word[n - 1] = (long long)(intptr_t)memory;
    bool ok = true;
    for (unsigned order = 0; order < ORDERS && ok; order++) {
        for (int i = 0; i < call->n_args; i++)
            if (bytes[i]) memcpy(args[i], before[i], bytes[i]);
        memset(memory, 0xff, memory_bytes / 64 * 64);
        const char *problem = d->emulate(kernel, word, n, grid_of(count, order), CUDA_THREADS, (int)k->shared, order);
        if (problem) printf("%s, order %u: %s\n", k->name, order, problem);
        ok = !problem;
        for (int i = 0; i < call->n_args && ok; i++) {
            if (!bytes[i]) continue;
            if (order == 0) memcpy(first[i], args[i], bytes[i]);
            ok = memcmp(first[i], args[i], bytes[i]) == 0;
            if (!ok) printf("%s: argument %d has other bits in order %u\n", k->name, i, order);
        }
    }
    for (int i = 0; i < call->n_args; i++) free(before[i]), free(first[i]);
    free(before);
    free(first);
    free(memory);
    return ok;
}
