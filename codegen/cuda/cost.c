/* cost.c -- see cost.h. The time of a call is the longest of: what memory has to move, what its units have to compute, instructions that warps
 * have to issue, what the nearest caches have to hand over; the latter two as far as there are warps for all of them. */
#include "codegen/cuda/cost.h"

#include "codegen/cuda/lower.h"
#include "codegen/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An H100 SXM. */
#define PROCESSORS 132.0
#define CLOCK      1.755e9
#define MEMORY     3.35e12 /* bytes a second */
#define FLOPS      (PROCESSORS * 128 * 2 * CLOCK)
#define MATRIX     989e12 /* FLOPs a second of 16-bit products */
#define TF32       (MATRIX / 2)
#define CACHE      (PROCESSORS * 128 * CLOCK)
#define ISSUE      (PROCESSORS * 4 * CLOCK) /* instructions of warps */
#define LAUNCH     2.5e-6
enum {
    SHARED_BYTES = 227 << 10,
    SHARED_EACH = 1 << 10, /* of a block, for the system */
    REGISTERS = 65536,
    REGISTERS_BESIDE = 32, /* of a thread: addresses, counters */
    WARPS_MOST = 64,
    WARPS_WANTED = 4, /* of a quarter of a processor, so that one of them has an instruction to issue */
    BY_LANES = 12, /* instructions of the copy of a square by its lanes, for one where a thread asks for it: 96 and 8 */
    SIZE_USUAL = 8, /* of a size without a limit */
};

typedef struct Row {
    const char *function, *text;
    double calls, launches, bytes, flops, matrix, tf32, seconds, least;
    double occupancy;
    const char *bound;
} Row;

typedef struct Costs {
    Arena *arena;
    Scheduler *s;
    int64_t *sizes; /* by name */
    LIST(Row) rows;
    double routines; /* calls that the processor computes */
} Costs;

static double largest(double a, double b) { return a > b ? a : b; }

/* Warps that a processor has room for. Values of a group's tiles are counted once for each warp. */
static double room(TileKernel *tile, const CudaKernel *k) {
    int live = 0;
    const char *error;
    tile_verify(tile, tile_target("cuda"), &live, &error);
    int registers = (live + REGISTERS_BESIDE + 7) / 8 * 8;
    double blocks = WARPS_MOST / CUDA_WARPS;
    if (registers > 255) registers = 255;
    blocks = fmin(blocks, floor((double)REGISTERS / (registers * CUDA_THREADS)));
    if (k->shared) blocks = fmin(blocks, floor((double)SHARED_BYTES / (double)(k->shared + SHARED_EACH)));
    if (k->memory) blocks = fmin(blocks, 2); /* rt_device_run: so much memory is there for them */
    return blocks * CUDA_WARPS;
}

/* The time of one call of `warps` iterations. */
static void time_of(Row *r, const TileCost *c, double warps, double held) {
    double active = fmin(warps / PROCESSORS, held), busy = fmin(1, active / (4 * WARPS_WANTED));
    const struct {
        double seconds;
        const char *name;
    } parts[] = {{r->bytes / MEMORY, "memory"},
                 {(r->flops - r->matrix) / FLOPS + (r->matrix - r->tf32) / MATRIX + r->tf32 / TF32, "arithmetic"},
                 {c->instructions / ISSUE / busy, busy < 1 ? "few warps" : "instructions"},
                 {(c->load_bytes + c->store_bytes) / CACHE / busy + c->unit_bytes / CACHE, busy < 1 ? "few warps" : "cache"}};
    r->occupancy = active / WARPS_MOST;
    r->least = largest(parts[0].seconds, parts[1].seconds);
    for (int i = 0; i < 4; i++) {
        if (parts[i].seconds < r->seconds) continue;
        r->seconds = parts[i].seconds;
        r->bound = parts[i].name;
    }
}

static void row_add(Costs *c, const Row *r, double times) {
    Row *to = NULL;
    for (int i = 0; i < c->rows.n && !to; i++)
        if (!strcmp(c->rows.at[i].function, r->function)) to = &c->rows.at[i];
    if (!to) {
        PUSH(c->arena, c->rows, ((Row){.function = r->function, .text = r->text}));
        to = &c->rows.at[c->rows.n - 1];
    }
    if (r->seconds * times > to->seconds) to->bound = r->bound, to->occupancy = r->occupancy;
    to->calls += times * r->calls;
    to->launches += times;
    to->bytes += times * r->bytes;
    to->flops += times * r->flops;
    to->matrix += times * r->matrix;
    to->seconds += times * r->seconds;
    to->least += times * r->least;
}

static int64_t value_of(const Costs *c, Size s) {
    int64_t v = 0;
    return size_eval(s, c->sizes, &v) ? v : 0;
}

static void cost_add(TileCost *to, const TileCost *c) {
    to->in_bytes += c->in_bytes;
    to->out_bytes += c->out_bytes;
    to->flops += c->flops;
    to->matrix += c->matrix;
    to->tf32 += c->tf32;
    to->instructions += c->instructions;
    to->copies += c->copies;
    to->load_bytes += c->load_bytes;
    to->unit_bytes += c->unit_bytes;
    to->store_bytes += c->store_bytes;
}

/* Call q of each of n kernels: one launch. */
static void launch_cost(Costs *c, KernelCode *const *code, int n, int q, double times) {
    const KernelCall *call = &code[0]->calls[q];
    if (call->when && (value_of(c, call->when) < call->low || value_of(c, call->when) >= call->high)) return;
    TileKernel *tile = scheduler_tile(c->s, call->function);
    int64_t sizes[64], warps = 0;
    if (!tile || call->n_sizes > 64) {
        c->routines += times;
        return;
    }
    TileCost cost = {.in_bytes = 0};
    for (int i = 0; i < n; i++) {
        int64_t count = value_of(c, code[i]->calls[q].count);
        for (int k = 0; k < call->n_sizes; k++) sizes[k] = value_of(c, code[i]->calls[q].sizes[k]);
        if (count <= 0) continue;
        TileCost one = tile_cost(tile, tile_target("cuda"), sizes);
        cost_add(&cost, &one);
        warps += count;
    }
    if (!warps) return;
    const CudaKernel *k = scheduler_cuda_kernel(c->s, call->function);
    if (k->n_maps) cost.instructions -= cost.copies - cost.copies / BY_LANES; /* rows are thought to begin at multiples of 16 bytes, as for all copies */
    Row r = {.function = k->name, .text = call->text, .bytes = cost.in_bytes + cost.out_bytes, .flops = cost.flops, .matrix = cost.matrix, .tf32 = cost.tf32, .calls = n};
    time_of(&r, &cost, (double)warps * (k->group ? CUDA_WARPS : 1), room(tile, k));
    row_add(c, &r, times);
}

static void plan_cost(Costs *c, const Plan *plan, double times) {
    for (int i = 0; i < plan->kernels.n; i++) {
        const Kernel *k = plan->kernels.at[i];
        if (k->kind == KERNEL_SCAN) plan_cost(c, k->body, times * (double)value_of(c, k->anchor->attrs.extent));
        if (k->kind > KERNEL_ROUTINE || k->turn) continue;
        KernelCode **code = NEW_ARRAY(c->arena, KernelCode *, k->together);
        for (int n = 0; n < k->together; n++) code[n] = scheduler_kernel(c->s, plan, plan->kernels.at[i + n]);
        for (int q = 0; q < code[0]->n; q++) launch_cost(c, code, k->together, q, times);
    }
}

static int by_seconds(const void *a, const void *b) {
    double x = ((const Row *)a)->seconds, y = ((const Row *)b)->seconds;
    return (x < y) - (x > y);
}

static void entry_print(FILE *f, Costs *c, const Entry *e) {
    Row all = {.calls = 0};
    fprintf(f, "\n%s %s\n%-18s %8s %6s %11s %9s %9s %10s %6s  %-12s %s\n", e->train ? "train" : "entry", e->name, "kernel", "launches", "calls", "bytes", "GFLOP",
            "occupancy", "us", "share", "bound by", "what");
    if (c->rows.n) qsort(c->rows.at, (size_t)c->rows.n, sizeof *c->rows.at, by_seconds);
    for (int i = 0; i < c->rows.n; i++) {
        const Row *r = &c->rows.at[i];
        fprintf(f, "%-18s %8.0f %6.0f %11.0f %9.3f %8.0f%% %10.2f %5.0f%%  %-12s %s\n", r->function, r->launches, r->calls, r->bytes, 1e-9 * r->flops,
                100 * r->occupancy, 1e6 * r->seconds, r->seconds > 0 ? 100 * r->least / r->seconds : 0, r->bound, r->text);
        all.calls += r->calls;
        all.launches += r->launches;
        all.bytes += r->bytes;
        all.flops += r->flops;
        all.matrix += r->matrix;
        all.seconds += r->seconds;
        all.least += r->least;
    }
    fprintf(f, "%-18s %8.0f %6.0f %11.0f %9.3f %9s %10.2f %5.0f%%  and %.0f us of launches; %.0f%% of the FLOPs on matrix units", "total", all.launches,
            all.calls, all.bytes, 1e-9 * all.flops, "", 1e6 * all.seconds, all.seconds > 0 ? 100 * all.least / all.seconds : 0, 1e6 * LAUNCH * all.launches,
            all.flops > 0 ? 100 * all.matrix / all.flops : 0);
    if (c->routines > 0) fprintf(f, "; beside it %.0f calls that the processor computes", c->routines);
    fputc('\n', f);
}

void cuda_cost_print(FILE *f, Arena *arena, Scheduler *s, const Program *p, Plan *const *plans) {
    int n = size_names(p->sizes);
    int64_t *sizes = NEW_ARRAY(arena, int64_t, n + 1);
    fprintf(f, "cost on paper, of an H100 (3.35 TB/s, %.1f TFLOP/s, %.0f on matrix units, in tf32 %.0f); nothing is measured.\n", 1e-12 * FLOPS,
            1e-12 * MATRIX, 1e-12 * TF32);
    fprintf(f, "Every call reads and writes memory once; scans go to their ends; registers are the live values and %d.%s", REGISTERS_BESIDE,
            n ? " Sizes:" : "");
    for (int i = 0; i < n; i++) {
        const SizeName *name = size_name_at(p->sizes, i);
        sizes[i] = name->high != SIZE_NO_LIMIT ? name->high : name->low > SIZE_USUAL ? name->low : SIZE_USUAL;
        fprintf(f, " %s = %lld", name->name, (long long)sizes[i]);
    }
    fputc('\n', f);
    for (int i = 0; i < p->entries.n; i++) {
        Costs c = {.arena = arena, .s = s, .sizes = sizes};
        plan_cost(&c, plans[i], 1);
        entry_print(f, &c, p->entries.at[i]);
    }
}
