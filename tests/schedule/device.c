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

/* Faults of the generator, one after another: what MUTATE names is left out everywhere in the kernels, or is too weak. A line goes away
 * where the lines before and behind it have these texts in them (NULL: whatever), or `old` in it becomes `new`. */
typedef struct Fault {
    const char *name, *old, *new, *before, *behind;
} Fault;
static const Fault faults[] = {
    {"store-before", "nt_sync();", "", " nt_t", NULL},            /* what a warp waits for before it stores what other lanes load .. */
    {"store-behind", "nt_sync();", "", "] = nt_t", NULL},         /* .. and behind that */
    {"copy", "nt_sync();", "", NULL, "nt_copy_"},                 /* what was there may still be read */
    {"commit", "nt_commit();", "", NULL, NULL},
    {"wait", "nt_wait(1);", "nt_wait(2);", NULL, NULL},
    {"wait-last", "nt_wait(0);", "nt_wait(1);", NULL, NULL},
    {"wait-meeting", "nt_sync();", "", "nt_wait(", NULL},         /* a lane waits for its own copies alone */
    {"put", "nt_sync();", "", "nt_put(", NULL},
    {"mask-store", "if (nt_lane < (", "if (nt_lane >-(", NULL, NULL},
    {"mask-load", "= (nt_lane < ", "= (nt_lane >-", NULL, NULL},
    {"rows", "row < rows_left", "row >-rows_left", NULL, NULL},   /* of a copy, in the prelude */
    {"columns", "columns_left - column : 0", "columns + 0*column : 0", NULL, NULL},
    {"round", "*f0 = nt_tf32(nt_float_bits(*f0));", "", NULL, NULL},
    {"round-across", "*f0 = nt_tf32(p[0]);", "*(float *)f0 = p[0];", NULL, NULL},
    {"columns-odd", "column < columns_left", "column >-columns_left", NULL, NULL},
};

static const char *line_before(const char *text, const char *line) {
    if (line == text) return line;
    for (line--; line > text && line[-1] != '\n';) line--;
    return line;
}

static bool line_has(const char *line, const char *what) {
    const char *at = strstr(line, what);
    return at && at < line + strcspn(line, "\n");
}

/* Blanks where the fault is: the text keeps its length. */
static void fault_make(const Fault *f, char *text) {
    size_t old = strlen(f->old), new = strlen(f->new);
    char *copy = strdup(text); /* neighbours as they were */
    for (char *at = text; (at = strstr(at, f->old)); at += old) {
        const char *line = copy + (at - text);
        while (line > copy && line[-1] != '\n') line--;
        const char *behind = line + strcspn(line, "\n");
        if (f->before && !line_has(line_before(copy, line), f->before)) continue;
        if (f->behind && !line_has(behind + (*behind != 0), f->behind)) continue;
        memset(at, ' ', old);
        memcpy(at, f->new, new);
    }
    free(copy);
}

static const char *mutant(Arena *arena, const char *text) {
    const char *kind = getenv("MUTATE");
    if (!kind) return text;
    char *copy = arena_copy(arena, text, strlen(text));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (strcmp(kind, faults[i].name)) continue;
        fault_make(&faults[i], copy);
        return copy;
    }
    bug("no fault %s", kind);
}

/* -ffp-contract=off is --fmad=false. DEVICE_SANITIZE=-fsanitize=...: what is added, with the sanitizer's library in LD_PRELOAD. */
static void *text_load(Arena *arena, const char *folder, const Scheduler *s) {
    char command[1000], path[300];
    snprintf(path, sizeof path, "%s/k.c", folder);
    FILE *f = fopen(path, "w");
    if (!f) bug("cannot write %s", path);
    fputs(mutant(arena, cuda_prelude()), f);
    fputs(mutant(arena, scheduler_cuda(s)), f);
    fclose(f);
    const char *compiler = getenv("CC") ? getenv("CC") : "gcc", *root = getenv("ROOT") ? getenv("ROOT") : ".";
    const char *sanitize = getenv("DEVICE_SANITIZE") ? getenv("DEVICE_SANITIZE") : "";
    const char *races = strstr(sanitize, "thread") ? "-fno-builtin -DNT_RACES" : sanitize;
    unsetenv("LD_PRELOAD"); /* is for this process */
    snprintf(command, sizeof command,
             "F=%s; C='%s -w -g -O1 -march=native -ffp-contract=off -fno-strict-aliasing -fPIC -I%s -DNT_EMULATOR'; $C %s -c -o $F/k.o $F/k.c && "
             "$C %s -c -o $F/e.o %s/tests/cuda/emulator.c && $C %s -shared -o $F/k.so $F/k.o $F/e.o -lm",
             folder, compiler, root, sanitize, races, root, sanitize);
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
