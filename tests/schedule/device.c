/* device.c -- see device.h. */
#include "tests/schedule/device.h"

#include "codegen/cuda/lower.h"
#include "codegen/schedule.h"
#include "ir/diag.h"
#include "runtime/cuda/maps.h"
#include "tests/cuda/map.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ORDERS = 6, UNITS = 8 /* orders of a device with units for groups */, BY_LANES = 2 /* .. by which kernels with maps do without them */, MOST_BLOCKS = 3 /* fewer than a device has: warps then run several iterations */ };

typedef const char *Emulate(void *kernel, const long long *arguments, int n, int blocks, int threads, int shared, unsigned order);

struct Device {
    Arena *arena;
    const Scheduler *s;
    void *library;
    Emulate *emulate;
    int maps; /* launches with maps */
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
    {"group-wait", "nt_wait(2);", "nt_wait(3);", NULL, NULL},
    {"group-three", "nt_wait(1);", "nt_wait(2);", NULL, "nt_publish_if("}, /* of a large tile */
    {"group-meeting", "nt_sync_group();", "", "nt_publish_if(", NULL},     /* other lanes' copies, and what they still multiply */
    {"group-put", "nt_sync_group();", "", "nt_put_group(", NULL},       /* sums that other warps store .. */
    {"group-end", "nt_sync_group();", "", "nt_publish();", "}"},        /* .. and squares of the next tile, where they were */
    {"publish", "nt_publish_if(!nt_mapped);", "", NULL, NULL},
    {"publish-end", "nt_publish();", "", NULL, "nt_sync_group();"},     /* of squares by maps: the same to the units .. */
    {"ring-publish", "nt_publish();", "", "nt_barrier_begin", NULL},    /* .. and barriers */
    {"ring-meeting", "nt_sync_group();", "", "}", "}"},
    {"ring-begin", "nt_barrier_begin(ring + i);", ";", NULL, NULL},
    {"map-begin", "nt_map_begin(maps + 128 * i);", ";", NULL, NULL},
    {"expect", "nt_barrier_expect(ring + group % NT_RING, 2 * 64 * 64);", "", NULL, NULL},
    {"expect-half", "2 * 64 * 64);", "1 * 64 * 64);", NULL, NULL},
    {"barrier", "ring + group % NT_RING, rank", "ring                  , rank", NULL, NULL}, /* of a square */
    {"arrive", "nt_barrier_arrive(ring + group % NT_RING, by & (thread == 0));", "", NULL, NULL},
    {"arrive-all", "by & (thread == 0)", "by", NULL, NULL},
    {"receive", "nt_seen = nt_receive(", "nt_seen + nt_receive(", NULL, NULL}, /* the first groups are waited for, again and again */
    {"receive-fewer", "nt_sent, 2);", "nt_sent, 3);", NULL, NULL},
    {"receive-three", "nt_sent, 1);", "nt_sent, 2);", NULL, NULL},
    {"receive-last", "nt_sent, 0);", "nt_sent, 3);", NULL, NULL},
    {"phase", "seen / NT_RING % 2", "seen           % 2", NULL, NULL},
    {"all-threads", "thread == 0) {", "thread >= 0) {", NULL, "nt_barrier_expect"}, /* all ask for the square */
    {"finish", "nt_finish();", "", NULL, NULL},
    {"begin", "nt_wgmma_begin();", "", NULL, NULL},                     /* in the prelude */
    {"products-commit", "nt_wgmma_commit();", "", NULL, NULL},
    {"squares", "first + 16 * i < rows_left", "first + 16 * i >-rows_left", NULL, NULL},
    {"square-ends", "left >= 8 ? 16", "left >= 0 ? 16", NULL, NULL},
    {"swizzle", "8 * (chunk ^ (first & 7))", "8 * (chunk          )", NULL, NULL},
    {"mask-store", "if (nt_lane < (", "if (nt_lane >-(", NULL, NULL},
    {"mask-load", "= (nt_lane < ", "= (nt_lane >-", NULL, NULL},
    {"rows", "row < rows_left", "row >-rows_left", NULL, NULL},   /* of a copy, in the prelude */
    {"columns", "columns_left - column : 0", "columns + 0*column : 0", NULL, NULL},
    {"round", "*f0 = nt_tf32(nt_float_bits(*f0));", "", NULL, NULL},
    {"round-across", "*f0 = nt_tf32(p[0]);", "*(float *)f0 = p[0];", NULL, NULL},
    {"columns-odd", "column < columns_left", "column >-columns_left", NULL, NULL},
    {"keys", "(nt_lane < nt_i32_of_i64(", "(nt_lane >-nt_i32_of_i64(", NULL, NULL},     /* of an attention: those beyond the last count */
    {"row-last", " = nt_min_i64((16 * x", " = nt_max_i64((16 * x", NULL, NULL},         /* .. rows beyond the last are no copies of it */
    {"part", "nt_i64 part = nt_x0;", "nt_i64 part = 0;", NULL, NULL},                  /* of a long row */
    {"part-end", "i64((-1024 * part - j +", "i64((-1024 * part +", NULL, NULL},        /* .. which of its elements are behind the end */
    {"row", "return table + row * words;", "return table;", NULL, NULL},               /* of a table: all blocks have the first */
    {"row-first", "<= (nt_i64)blockIdx.x", "< (nt_i64)blockIdx.x", NULL, NULL},        /* a row begins a block too late */
    {"row-block", "blockIdx.x - (unsigned)row[0]", "blockIdx.x", NULL, NULL},          /* .. its warps are counted from the grid's beginning */
    {"row-blocks", "(row[words] - row[0])", "(row[words])", NULL, NULL},               /* .. and it is said to have more of them */
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

int device_free(Device *d) {
    if (d) dlclose(d->library);
    return d ? d->maps : 0;
}

/* Blocks: all that the iterations fill, or so few that warps run several. */
static int grid_of(int64_t count, bool group, unsigned order) {
    int64_t blocks = group ? count : (count + CUDA_WARPS - 1) / CUDA_WARPS, most = order % 2 ? MOST_BLOCKS : 64;
    return (int)(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

/* Calls that run at once, as codegen/cuda/lower.h says; returns the blocks. Under odd orders each has a block alone, or the one with the most
 * to do has MOST_BLOCKS. */
static int table_fill(long long *table, const KernelCall *call, int rows, void *const *args, const int64_t *sizes, const int64_t *counts, bool group,
                      unsigned order) {
    int words = 1 + call->n_args + call->n_sizes, first = 0, largest = 0;
    for (int i = 1; i < rows; i++)
        if (counts[i] > counts[largest]) largest = i;
    for (int i = 0; i < rows; i++) {
        long long *row = table + i * words;
        *row++ = first;
        for (int k = 0; k < call->n_args; k++) *row++ = (long long)(intptr_t)args[i * call->n_args + k];
        for (int k = 0; k < call->n_sizes; k++) *row++ = sizes[i * call->n_sizes + k];
        first += counts[i] <= 0 ? 0 : order % 2 && i != largest ? 1 : grid_of(counts[i], group, order);
    }
    return (int)(table[rows * words] = first);
}

/* Orders with units come behind those without; the last are without maps. */
static unsigned order_of(unsigned turn) { return turn < ORDERS ? turn : UNITS + (turn - ORDERS) % ORDERS; }

bool device_run(Device *d, const KernelCall *call, int rows, void *const *args, const size_t *bytes, const int64_t *sizes, const int64_t *counts) {
    const CudaKernel *k = scheduler_cuda_kernel(d->s, call->function);
    void *kernel = dlsym(d->library, k->name);
    if (!kernel) bug("no kernel %s", k->name);
    int n_args = rows ? rows * call->n_args : call->n_args, n = rows ? 3 : n_args + call->n_sizes + 1;
    char **before = calloc((size_t)n_args + 1, sizeof *before), **first = calloc((size_t)n_args + 1, sizeof *first);
    long long word[128], *table = calloc((size_t)((1 + call->n_args + call->n_sizes) * rows + 1), sizeof *table);
    if (n > 128) bug("%s has %d parameters", k->name, n);
    for (int i = 0; i < n_args; i++) {
        if (!rows) word[i] = (long long)(intptr_t)args[i];
        if (bytes[i]) memcpy(before[i] = malloc(bytes[i]), args[i], bytes[i]);
        if (bytes[i]) first[i] = malloc(bytes[i]);
    }
    for (int i = 0; i < call->n_sizes && !rows; i++) word[n_args + i] = sizes[i];
    size_t memory_bytes = (size_t)(k->memory * CUDA_WARPS * 64 * (rows ? rows : 1) + 64);
    char *memory = aligned_alloc(64, memory_bytes / 64 * 64);
    word[n - 1] = (long long)(intptr_t)memory;
    RtDeviceKernel row = {k->name, k->memory, k->shared, k->n_maps, k->maps};
    _Alignas(64) char maps[RT_MAPS * RT_MAP_BYTES];
    int64_t values[128];
    for (int i = 0; i < n; i++) values[i] = word[i];
    bool ok = true, mapped = k->n_maps && cu_maps_make(map_encode, &row, values, values + n_args, maps);
    unsigned turns = !k->group ? ORDERS : mapped ? 2 * ORDERS + BY_LANES : 2 * ORDERS;
    d->maps += mapped;
    unsigned first_turn = mapped && getenv("MAPS") ? ORDERS : 0;
    for (unsigned turn = first_turn; turn < turns && ok; turn++) {
        unsigned order = order_of(turn);
        if (k->n_maps) word[n - 1] = mapped && turn < 2 * ORDERS ? (long long)(intptr_t)maps : 0;
        int blocks = rows ? table_fill(table, call, rows, args, sizes, counts, k->group, order) : grid_of(counts[0], k->group, order);
        if (rows) word[0] = (long long)(intptr_t)table, word[1] = rows;
        if (rows && !blocks) break;
        for (int i = 0; i < n_args; i++)
            if (bytes[i]) memcpy(args[i], before[i], bytes[i]);
        memset(memory, 0xff, memory_bytes / 64 * 64);
        const char *problem = d->emulate(kernel, word, n, blocks, CUDA_THREADS, (int)k->shared, order);
        if (problem) printf("%s, order %u: %s\n", k->name, order, problem);
        ok = !problem;
        for (int i = 0; i < n_args && ok; i++) {
            if (!bytes[i]) continue;
            if (turn == first_turn) memcpy(first[i], args[i], bytes[i]);
            ok = memcmp(first[i], args[i], bytes[i]) == 0;
            if (!ok) printf("%s: argument %d has other bits in order %u\n", k->name, i, order);
        }
    }
    for (int i = 0; i < n_args; i++) free(before[i]), free(first[i]);
    free(before);
    free(first);
    free(table);
    free(memory);
    return ok;
}
