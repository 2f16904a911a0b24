/* tune.c -- see tune.h. Each candidate of a kernel is compiled and loaded into this process; they run in turn, on the same memory, and the
 * shortest of some rounds counts: what disturbs makes times longer, never shorter. Time is that of the thread. Another tile than the cost
 * model's is taken where it gains at least GAIN. */
#include "codegen/tune.h"

#include "codegen/cpu/lower.h"
#include "codegen/link.h"
#include "codegen/schedule.h"
#include "runtime/runtime.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GAIN    1.03
#define SECONDS 60   /* at most, for all products; those beyond keep the tile of the cost model */
#define SLICE   4e-4 /* seconds that a round of one candidate takes, at least a call */
enum { ROUNDS = 7 };

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct TuneBuffer {
    const Node *node;
    char *at;
} TuneBuffer;

/* One kernel, and the memory it runs on. */
typedef struct Tune {
    Arena *arena;
    const Plan *plan;
    const Kernel *k;
    Target target;
    int64_t *sizes;
    LIST(TuneBuffer) buffers;
} Tune;

typedef struct TunePack {
    const Pack *pack;
    char *at;
} TunePack;

/* One candidate, loaded. */
typedef struct Candidate {
    Tune *t;
    TileChoice choice;
    Emit *emit;
    Scheduler *s;
    KernelCode *code;
    LLVMOrcLLJITRef jit;
    RtThunk **thunks; /* by call */
    LIST(TunePack) packs;
    char *scratch, *shared;
    double best; /* seconds of a call */
} Candidate;

static int64_t size_of(const Tune *t, Size s) {
    int64_t v;
    if (!size_eval(s, t->sizes, &v)) bug("a size cannot be computed");
    return v;
}

static char *memory_new(size_t bytes) {
    char *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!p) bug("no memory to time a kernel");
    return memset(p, 0, bytes);
}

/* Numbers in -1..1 for f32, so that no product meets denormals; zeros for the rest: they are valid indices, too. */
static void memory_fill(char *at, DType d, int64_t n) {
    uint32_t state = 1;
    for (int64_t i = 0; d == DT_F32 && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float v = (float)(int32_t)state * 0x1p-31f;
        memcpy(at + 4 * i, &v, 4);
    }
}

static void *buffer_of(Tune *t, Node *n) {
    if (n->op == OP_TENSOR) return (void *)n->attrs.data;
    for (int i = 0; i < t->buffers.n; i++)
        if (t->buffers.at[i].node == n) return t->buffers.at[i].at;
    int64_t count = 1;
    for (int i = 0; i < n->type.rank; i++) count *= size_of(t, n->type.dim[i]);
    TuneBuffer b = {n, memory_new((size_t)(count * dtype_bytes(n->type.dtype)))};
    memory_fill(b.at, n->type.dtype, count);
    PUSH(t->arena, t->buffers, b);
    return b.at;
}

static void *pack_of(const Candidate *c, const Pack *pack) {
    for (int i = 0; i < c->packs.n; i++)
        if (c->packs.at[i].pack == pack) return c->packs.at[i].at;
    bug("a pack that nobody made");
}

static RtThunk *function_of(const Candidate *c, const char *name) {
    LLVMOrcExecutorAddress at;
    LLVMErrorRef e = LLVMOrcLLJITLookup(c->jit, &at, name);
    if (e) bug("%s", LLVMGetErrorMessage(e));
    return (RtThunk *)(uintptr_t)at;
}

static void call_run(Candidate *c, const KernelCall *call, RtThunk *thunk, char *made) {
    static uint32_t rng[4];
    Tune *t = c->t;
    void *args[call->n_args + 1];
    int64_t sizes[call->n_sizes + 1];
    for (int i = 0; i < call->n_args; i++) {
        const KernelArg *a = &call->args[i];
        switch (a->kind) {
        case ARG_VALUE: args[i] = buffer_of(t, a->node); break;
        case ARG_RNG: args[i] = rng; break;
        case ARG_SITE: args[i] = (void *)&a->site; break;
        case ARG_NULL: args[i] = NULL; break;
        case ARG_PACK: args[i] = a->pack ? pack_of(c, a->pack) : made; break;
        case ARG_SHARED: args[i] = c->shared; break;
        }
    }
    for (int i = 0; i < call->n_sizes; i++) sizes[i] = size_of(t, call->sizes[i]);
    thunk(args, sizes, c->scratch, 0, size_of(t, call->count));
}

static bool call_holds(const Tune *t, const KernelCall *call) {
    if (!call->when) return true;
    int64_t v = size_of(t, call->when);
    return call->low <= v && v < call->high;
}

static void candidate_run(Candidate *c) {
    for (int i = 0; i < c->code->n; i++)
        if (call_holds(c->t, &c->code->calls[i])) call_run(c, &c->code->calls[i], c->thunks[i], NULL);
}

static void function_show(const Candidate *c, const char *name) {
    LLVMValueRef f = LLVMGetNamedFunction(emit_module(c->emit), name);
    if (f) LLVMSetVisibility(f, LLVMDefaultVisibility);
}

static void candidate_compile(Candidate *c) {
    const char *error, *bytes;
    size_t n;
    if (!emit_object(c->emit, c->t->arena, &bytes, &n, &error)) bug("%s", error);
    LLVMErrorRef e = LLVMOrcCreateLLJIT(&c->jit, NULL);
    if (!e) e = LLVMOrcLLJITAddObjectFile(c->jit, LLVMOrcLLJITGetMainJITDylib(c->jit), LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, n, "tune"));
    if (e) bug("%s", LLVMGetErrorMessage(e));
}

/* The packs of all calls, and the kernels that make them. */
static void packs_find(Candidate *c, const KernelCall **calls) {
    for (int i = 0; i < c->code->n; i++)
        for (int k = 0; k < c->code->calls[i].n_args; k++) {
            const Pack *pack = c->code->calls[i].args[k].pack;
            if (!pack) continue;
            TunePack p = {pack, memory_new((size_t)pack->bytes)};
            calls[c->packs.n] = scheduler_pack(c->s, pack);
            function_show(c, calls[c->packs.n]->function);
            PUSH(c->t->arena, c->packs, p);
        }
}

static void candidate_load(Candidate *c, Tune *t, const TileChoice *choice) {
    const KernelCall *packing[64];
    *c = (Candidate){.t = t, .choice = *choice, .best = 1e30};
    tuning_force(t->target.tuning, choice);
    c->emit = emit_new("tune", t->target.platform, t->target.optimize > 0);
    c->s = scheduler_new(t->arena, emit_module(c->emit), &t->target);
    c->code = scheduler_kernel(c->s, t->plan, t->k);
    packs_find(c, packing);
    for (int i = 0; i < c->code->n; i++) function_show(c, c->code->calls[i].function);
    candidate_compile(c);
    c->scratch = memory_new((size_t)scheduler_scratch(c->s));
    c->shared = memory_new((size_t)scheduler_shared(c->s));
    c->thunks = NEW_ARRAY(t->arena, RtThunk *, c->code->n);
    for (int i = 0; i < c->code->n; i++) c->thunks[i] = function_of(c, c->code->calls[i].function);
    for (int i = 0; i < c->packs.n; i++) call_run(c, packing[i], function_of(c, packing[i]->function), c->packs.at[i].at);
}

static void candidate_free(Candidate *c) {
    LLVMErrorRef e = LLVMOrcDisposeLLJIT(c->jit);
    if (e) bug("%s", LLVMGetErrorMessage(e));
    for (int i = 0; i < c->packs.n; i++) free(c->packs.at[i].at);
    free(c->scratch);
    free(c->shared);
    scheduler_free(c->s);
    emit_free(c->emit);
}

/* The shortest of some rounds, each of as many calls as fill a slice: of all candidates (a == b), or of these two. */
static void candidates_time(Candidate *c, int n, int a, int b) {
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            if (i != a && i != b && a != b) continue;
            int calls = c[i].best > SLICE ? 1 : (int)(SLICE / (c[i].best + 1e-8));
            double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
            for (int k = 0; k < calls; k++) candidate_run(&c[i]);
            double took = (seconds_of(CLOCK_THREAD_CPUTIME_ID) - start) / calls;
            if (took < c[i].best) c[i].best = took;
        }
}

/* The fastest; where that is not the first, the two have run once more. */
static int candidates_best(Candidate *c, int n) {
    int best = 0;
    for (int i = 0; i < n; i++) candidate_run(&c[i]); /* memory is touched, code is there */
    candidates_time(c, n, 0, 0);
    for (int i = 1; i < n; i++)
        if (c[i].best < c[best].best) best = i;
    if (best == 0) return 0;
    c[0].best = c[best].best = 1e30;
    for (int i = 0; i < 3; i++) candidates_time(c, n, 0, best);
    return c[0].best < GAIN * c[best].best ? 0 : best;
}

/* What the schedules would try for the kernel. */
static const TileChoice *candidates_list(Tune *t, int *n, const char **said) {
    tuning_list(t->target.tuning);
    Scheduler *s = scheduler_new(t->arena, NULL, &t->target);
    const KernelCode *code = scheduler_kernel(s, t->plan, t->k);
    *said = code->n ? code->calls[code->n - 1].text : "";
    const TileChoice *list = tuning_offered(t->target.tuning, n);
    scheduler_free(s);
    return list;
}

static void tune_kernel(Arena *keep, const Plan *plan, const Kernel *k, const Target *target, int64_t *sizes, bool time_left) {
    Tune t = {.arena = arena_new(), .plan = plan, .k = k, .target = *target, .sizes = sizes};
    Candidate c[TUNING_MOST];
    TileChoice offered[TUNING_MOST];
    const char *said;
    int n, best = 0;
    const TileChoice *list = candidates_list(&t, &n, &said);
    memcpy(offered, list, sizeof *offered * (size_t)n);
    if (n > 1 && time_left) {
        for (int i = 0; i < n; i++) candidate_load(&c[i], &t, &offered[i]);
        best = candidates_best(c, n);
    }
    tuning_force(target->tuning, NULL);
    if (n) {
        double gain = best ? c[0].best / c[best].best : 1;
        tuning_set(target->tuning, target->machine->name, k, arena_copy(keep, said, strlen(said)), &offered[best], gain);
    }
    if (n > 1 && time_left)
        for (int i = 0; i < n; i++) candidate_free(&c[i]);
    for (int i = 0; i < t.buffers.n; i++) free(t.buffers.at[i].at);
    arena_free(t.arena);
}

static void tune_plan(Arena *a, const Plan *plan, const Target *target, int64_t *sizes, double end) {
    for (int i = 0; i < plan->kernels.n; i++) {
        const Kernel *k = plan->kernels.at[i];
        if (k->body) tune_plan(a, k->body, target, sizes, end);
        if (k->kind != KERNEL_CONTRACT || k->limit.seen || tuning_has(target->tuning, target->machine->name, k)) continue;
        tune_kernel(a, plan, k, target, sizes, seconds_of(CLOCK_MONOTONIC) < end);
    }
}

/* At run-time sizes of 64 or the nearest that is allowed. */
static void tune_plans(Arena *a, Plan *const *plans, int n, const Target *target) {
    double end = seconds_of(CLOCK_MONOTONIC) + SECONDS;
    for (int v = 0; v < target->variants; v++) {
        Target one = target_variant(target, v);
        for (int i = 0; i < n; i++) {
            SizeTable *t = plans[i]->graph->program->sizes;
            int64_t *sizes = NEW_ARRAY(a, int64_t, size_names(t) + 1);
            for (int k = 0; k < size_names(t); k++) {
                const SizeName *s = size_name_at(t, k);
                sizes[k] = s->low > 64 ? s->low : s->high < 64 ? s->high : 64;
            }
            tune_plan(a, plans[i], &one, sizes, end);
        }
    }
}

/* All machines that the target has code for must be this one, or less. */
static bool can_time(const Target *target) {
    Target native, last = target_variant(target, target->variants - 1);
    return target_find("native", 0, &native) && target->platform == native.platform && last.level <= native.level;
}

bool tune_target(Arena *a, const char *path, Plan *const *plans, int n, Target *target, const char **said) {
    if (!access(path, F_OK)) {
        target->tuning = tuning_read(a, path, said);
        return target->tuning != NULL;
    }
    *said = arena_printf(a, "--tune=%s: there is no such file, and code for %s cannot be timed here", path, target->name);
    if (!can_time(target)) return false;
    target->tuning = tuning_new(a);
    tune_plans(a, plans, n, target);
    const char *text = tuning_text(a, target->tuning);
    OutputFile file = {path, content_of((Bytes){text, strlen(text)})};
    int failed, better;
    double best;
    better = tuning_better(target->tuning, &best);
    bool done = output_write(&file, 1, &failed);
    *said = done ? arena_printf(a, "%d products, %d have a better tile, by %.2f at most", tuning_count(target->tuning), better, best)
                 : arena_printf(a, "cannot write %s: %s", path, strerror(errno));
    return done;
}
