/* kit_tile.c -- the tile interpreter under a whole model: entries are planned and scheduled as for code of a target, and the
 * plan is run kernel by kernel over its own memory layout, each tile kernel with every access checked, iterations in order.
 * */
#include "tests/models/kit_tile.h"

#include "codegen/schedule.h"
#include "passes/passes.h"
#include "runtime/runtime.h"

#include <string.h>

typedef struct Scheduled {
    const Kernel *kernel;
    KernelCode *code;
} Scheduled;

struct TileRunner {
    Arena *arena;
    Program *program;
    Plan **plans; /* by entry */
    Scheduler *scheduler;
    LIST(Scheduled) done;
    char *shared;
};

static KernelCode *code_of(TileRunner *t, const Plan *p, const Kernel *k) {
    for (int i = 0; i < t->done.n; i++) {
        if (t->done.at[i].kernel == k) return t->done.at[i].code;
    }
    Scheduled one = {k, scheduler_kernel(t->scheduler, p, k)};
    PUSH(t->arena, t->done, one);
    return one.code;
}

static int64_t size_of(const Eval *e, Size s) {
    int64_t v;
    if (!size_eval(s, e->sizes, &v)) bug("a size cannot be computed");
    return v;
}

static RtThunk *routine(const char *name) {
    if (!strcmp(name, "rt_topk_f32")) return rt_topk_f32;
    if (!strcmp(name, "rt_sort_f32")) return rt_sort_f32;
    if (!strcmp(name, "rt_topk_f64")) return rt_topk_f64;
    if (!strcmp(name, "rt_sort_f64")) return rt_sort_f64;
    if (!strcmp(name, "rt_topk_i64")) return rt_topk_i64;
    if (!strcmp(name, "rt_sort_i64")) return rt_sort_i64;
    if (!strcmp(name, "rt_categorical_f32")) return rt_categorical_f32;
    if (!strcmp(name, "rt_cumsum_f32")) return rt_cumsum_f32;
    return NULL;
}

static bool run_call(TileRunner *t, PlanRun *run, const KernelCall *c, void *made);

/* A packed copy, made anew for each call: a slot may change between them. */
static void *pack_make(TileRunner *t, PlanRun *run, const Pack *pack) {
    char *memory = arena_alloc(plan_run_eval(run)->arena, (size_t)pack->bytes);
    return run_call(t, run, scheduler_pack(t->scheduler, pack), memory) ? memory : NULL;
}

/* made: the copy that is being made, of a kernel that packs. */
static void *argument(TileRunner *t, PlanRun *run, const KernelArg *a, uint32_t *rng, void *made) {
    switch (a->kind) {
    case ARG_VALUE: return plan_run_memory(run, a->node);
    case ARG_RNG: return rng;
    case ARG_SITE: return (void *)&a->site;
    case ARG_NULL: return NULL;
    case ARG_PACK: return a->pack ? pack_make(t, run, a->pack) : made;
    case ARG_SHARED: return t->shared;
    }
    return NULL;
}

static bool run_call(TileRunner *t, PlanRun *run, const KernelCall *c, void *made) {
    Eval *e = plan_run_eval(run);
    int64_t when = c->when ? size_of(e, c->when) : 0;
    if (c->when && (when < c->low || when >= c->high)) return true; /* another variant is for these sizes */
    uint32_t rng[4] = {(uint32_t)e->seed, (uint32_t)(e->seed >> 32), (uint32_t)e->step, (uint32_t)(e->step >> 32)};
    void **args = NEW_ARRAY(e->arena, void *, c->n_args + 1);
    int64_t *sizes = NEW_ARRAY(e->arena, int64_t, c->n_sizes + 1), count = size_of(e, c->count);
    for (int i = 0; i < c->n_args; i++) {
        args[i] = argument(t, run, &c->args[i], rng, made);
        if (c->args[i].kind == ARG_PACK && !args[i]) return false;
    }
    for (int i = 0; i < c->n_sizes; i++) sizes[i] = size_of(e, c->sizes[i]);
    RtThunk *thunk = routine(c->function);
    if (thunk) {
        thunk(args, sizes, NULL, 0, count);
        return true;
    }
    TileKernel *k = scheduler_tile(t->scheduler, c->function);
    if (!k) bug("%s is no tile kernel and no routine", c->function);
    const char *error = NULL;
    if (tile_count(k, sizes) != count) error = "another number of iterations than its call says";
    else if (tile_interp(k, args, sizes, 0, -1, &error)) return true;
    e->status = MDL_BROKEN;
    e->error = arena_printf(e->arena, "%s: %s", c->function, error);
    return false;
}

static bool run_kernel(void *context, PlanRun *run, const Kernel *k) {
    TileRunner *t = context;
    const KernelCode *code = code_of(t, plan_run_plan(run), k);
    Eval *e = plan_run_eval(run);
    const int64_t *sizes = e->sizes;
    int32_t offset = 0;
    if (k->limit.offset) memcpy(&offset, plan_run_memory(run, k->limit.offset), sizeof offset);
    e->sizes = kernel_size_values(e->arena, k, sizes, offset);
    t->shared = arena_alloc(e->arena, (size_t)scheduler_shared(t->scheduler));
    bool done = true;
    for (int i = 0; i < code->n && done; i++) done = run_call(t, run, &code->calls[i], NULL);
    e->sizes = sizes;
    return done;
}

TileRunner *tile_runner_new(Arena *arena, Program *p, const Target *target, Diag *d) {
    TileRunner *t = NEW(arena, TileRunner);
    t->arena = arena;
    t->program = p;
    t->plans = NEW_ARRAY(arena, Plan *, p->entries.n + 1);
    t->scheduler = scheduler_new(arena, NULL, target);
    for (int i = 0; i < p->entries.n; i++) {
        t->plans[i] = plan_entry(arena, p->entries.at[i]->graph, &(PlanOptions){.level = target->optimize}, d);
        if (!t->plans[i]) return NULL;
    }
    return t;
}

void tile_runner_free(TileRunner *t) {
    if (t) scheduler_free(t->scheduler);
}

bool tile_runner_run(void *runner, Eval *e, const Entry *entry, Tensor **results) {
    TileRunner *t = runner;
    int at = 0, n = t->program->slots.n;
    while (t->program->entries.at[at] != entry) at++;
    bool *missing = NEW_ARRAY(e->arena, bool, n + 1); /* caches of other entries have no size yet, and get none here */
    for (int i = 0; i < n; i++) missing[i] = !e->slots[i];
    for (int i = 0; i < entry->graph->effects.n; i++) {
        const Effect *effect = &entry->graph->effects.at[i];
        if (effect->kind == EFFECT_STORE) missing[effect->index] = false;
    }
    bool done = plan_interpret_with(e, t->plans[at], results, run_kernel, t);
    for (int i = 0; i < n; i++) {
        if (missing[i]) e->slots[i] = NULL;
    }
    return done;
}
