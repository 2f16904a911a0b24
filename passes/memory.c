/* memory.c -- --memory: which activations gradients compute again, so that a call's arena fits.
 *
 * A plan is the only measure of memory, so choices are tried: passes and plan, for each of a few ways to cut a computation into
 * parts (passes/recompute.c). First only what takes few operations a byte is computed again, then products too, at last the steps of
 * loops. Of the cuts that fit, the one of the fewest operations is taken, and then of its parts only as many as are needed, from the
 * first on: those are kept longest. */
#include "passes/passes.h"

#include <inttypes.h>
#include <math.h>

/* What passes_run changes of a program. */
typedef struct ProgramState {
    int n_slots, n_quantized;
    Slot *slots;    /* what they were */
    Graph **graphs; /* by entry */
    Graph *init;
} ProgramState;

static ProgramState *state_keep(Arena *arena, const Program *p) {
    ProgramState *s = NEW(arena, ProgramState);
    s->n_slots = p->slots.n;
    s->n_quantized = p->quantized.n;
    s->slots = NEW_ARRAY(arena, Slot, p->slots.n + 1);
    s->graphs = NEW_ARRAY(arena, Graph *, p->entries.n + 1);
    s->init = p->init;
    for (int i = 0; i < p->slots.n; i++) s->slots[i] = *p->slots.at[i];
    for (int i = 0; i < p->entries.n; i++) s->graphs[i] = p->entries.at[i]->graph;
    return s;
}

static void state_restore(Program *p, const ProgramState *s) {
    p->slots.n = s->n_slots;
    p->quantized.n = s->n_quantized;
    p->init = s->init;
    for (int i = 0; i < p->slots.n; i++) *p->slots.at[i] = s->slots[i];
    for (int i = 0; i < p->entries.n; i++) p->entries.at[i]->graph = s->graphs[i];
}

typedef struct Search {
    Program *p;
    const ProgramState *before;
    Entry *entry;
    const PlanOptions *o;
    int64_t bytes;     /* wanted */
    Recompute best;    /* so far */
    int64_t best_peak; /* of it */
} Search;

static const double MOST[] = {16, INFINITY, INFINITY}; /* operations a byte; the last with loops */
static const int WINDOWS[] = {32, 12, 6, 3};
enum { TIERS = sizeof MOST / sizeof *MOST, CUTS = sizeof WINDOWS / sizeof *WINDOWS };

/* The arena of the entry, planned so, and the sizes at which it takes most. Sets r->operations. INT64_MAX: it has no limit, or no plan. */
static int64_t peak_with(Search *s, Recompute *r, const int64_t **sizes) {
    Program *p = s->p;
    Entry *first = p->entries.at[0];
    int n = p->entries.n;
    state_restore(p, s->before);
    if (r) r->operations = 0;
    s->entry->recompute = r;
    p->entries.at[0] = s->entry; /* the only one, meanwhile */
    p->entries.n = 1;
    Diag *diag = diag_new(); /* it has all been said */
    Arena *arena = arena_new();
    int64_t peak = INT64_MAX, bound;
    if (passes_run(p, &(PassOptions){.level = s->o->level}, diag)) {
        const Plan *plan = plan_entry(arena, s->entry->graph, s->o, diag);
        const SizeName *unlimited;
        const int64_t *at = plan ? plan_most(plan, &unlimited) : NULL;
        if (at) plan_peak(plan, at, &peak, &bound);
        if (sizes) *sizes = at;
    }
    arena_free(arena);
    diag_free(diag);
    p->entries.at[0] = first;
    p->entries.n = n;
    return peak;
}

/* Makes r the best if it is better: it fits, and takes fewer operations than what fits; or nothing fits, and it takes less memory. */
static void consider(Search *s, Recompute r) {
    int64_t peak = peak_with(s, &r, NULL);
    bool fits = peak <= s->bytes, fitted = s->best_peak <= s->bytes;
    if (fits && fitted ? r.operations >= s->best.operations : peak >= s->best_peak) return;
    s->best = r;
    s->best_peak = peak;
}

static void search(Search *s, const int64_t *sizes) {
    for (int tier = 0; tier < TIERS && s->best_peak > s->bytes; tier++)
        for (int cut = 0; cut < CUTS; cut++)
            consider(s, (Recompute){WINDOWS[cut], WINDOWS[cut] - 1, MOST[tier], tier == TIERS - 1, sizes, 0});
    if (s->best_peak > s->bytes) return;
    int few = 0; /* too few parts */
    while (s->best.parts - few > 1) {
        Recompute r = s->best;
        r.parts = few + (s->best.parts - few) / 2;
        int64_t peak = peak_with(s, &r, NULL);
        if (peak > s->bytes) {
            few = r.parts;
        } else {
            s->best = r;
            s->best_peak = peak;
        }
    }
}

void memory_choose(Program *p, int64_t bytes, const PlanOptions *o) {
    Arena *arena = arena_new();
    ProgramState *before = state_keep(arena, p);
    for (int i = 0; i < p->entries.n; i++) {
        Search s = {.p = p, .before = before, .entry = p->entries.at[i], .o = o, .bytes = bytes};
        const int64_t *sizes = NULL;
        s.best_peak = peak_with(&s, NULL, &sizes);
        if (sizes && s.best_peak > bytes) search(&s, sizes);
        p->entries.at[i]->recompute = NULL;
        if (!s.best.windows) continue;
        p->entries.at[i]->recompute = NEW(p->arena, Recompute);
        *p->entries.at[i]->recompute = s.best;
    }
    state_restore(p, before);
    arena_free(arena);
}

const char *memory_text(Arena *arena, const Program *p) {
    const char *text = "";
    for (int i = 0; i < p->entries.n; i++) {
        const Recompute *r = p->entries.at[i]->recompute;
        if (!r) continue;
        text = arena_printf(arena, "%s%s%s: %d of %d parts%s%s are computed again, about %.3g operations", text, *text ? "; " : "",
                            p->entries.at[i]->name, r->parts, r->windows, isinf(r->most) ? "" : " but for products",
                            r->loops ? " and all of loops" : "", r->operations);
    }
    return text;
}
