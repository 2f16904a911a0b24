/* fuzz.c -- random programs: the passes at every level keep the values, and so do the plans, run kernel by kernel over planned
 * memory. */
#include "runtime/mdl.h"
#include "tests/passes/graphs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TOLERANCE = 2e-3; /* sums in another order, rounded to f32 after each op, through sines and products */

typedef struct Seen {
    long kernels_o0, kernels_o2;
} Seen;

/* An index out of range: the call is refused, and no slot has changed. */
static bool refused(uint64_t seed, Arena *a, const Program *p, const Plan *plan, const Eval *values) {
    Eval e = eval_fork(a, values);
    Tensor *inputs[2] = {e.inputs[0], e.inputs[1]}, **results = NEW_ARRAY(a, Tensor *, plan->graph->results.n);
    Tensor *ids = tensor_new(a, DT_I32, inputs[1]->rank, inputs[1]->dim);
    ids->i[ids->count - 1] = 99;
    inputs[1] = ids;
    e.inputs = inputs;
    bool ok = !plan_interpret(&e, plan, results) && e.status == MDL_RANGE;
    if (!ok) printf("seed %llu: an index of 99 is not refused\n", (unsigned long long)seed);
    for (int i = 0; ok && i < p->slots.n; i++) {
        const Tensor *x = e.slots[i], *y = values->slots[i];
        for (int64_t k = 0; ok && k < x->count; k++) ok = x->f ? (float)x->f[k] == (float)y->f[k] : x->i[k] == y->i[k];
        if (!ok) printf("seed %llu: the refused call changed %s\n", (unsigned long long)seed, p->slots.at[i]->path);
    }
    return ok;
}

/* One program at one level: passes, plan, both runs against the reference. */
static bool level_agrees(uint64_t seed, int level, const Eval *values, const Eval *reference, Tensor **expected, Seen *seen) {
    Arena *a = arena_new();
    Diag *d = diag_new();
    Program *p = random_program(a, seed);
    Entry *e = p->entries.at[0];
    const char *where, *message;
    bool ok = passes_run(p, &(PassOptions){.level = level}, d);
    if (!ok) {
        printf("seed %llu: passes refuse the program\n", (unsigned long long)seed);
        diag_print(d, stdout, false);
    }
    Eval passed = eval_fork(a, values), planned = eval_fork(a, values);
    passed.program = planned.program = p;
    Tensor **results = NEW_ARRAY(a, Tensor *, e->graph->results.n), **by_kernels = NEW_ARRAY(a, Tensor *, e->graph->results.n);
    if (ok && !eval_graph(&passed, e->graph, results))
        ok = false, printf("seed %llu: %s\n", (unsigned long long)seed, passed.error);
    double far = ok ? runs_differ(e, p, &passed, results, reference, expected, &where) : 0;
    if (far > TOLERANCE)
        ok = false, printf("seed %llu level %d: passes change %s by %g\n", (unsigned long long)seed, level, where, far);
    if (ok) {
        Plan *plan = plan_entry(a, e->graph, &(PlanOptions){.level = level}, d);
        if (!plan_verify(plan, a, &message))
            ok = false, printf("seed %llu level %d: %s\n", (unsigned long long)seed, level, message);
        if (ok && !plan_interpret(&planned, plan, by_kernels))
            ok = false, printf("seed %llu level %d: %s\n", (unsigned long long)seed, level, planned.error);
        far = ok ? runs_differ(e, p, &planned, by_kernels, &passed, results, &where) : 0;
        if (far > 1e-5)
            ok = false, printf("seed %llu level %d: the plan changes %s by %g\n", (unsigned long long)seed, level, where, far);
        if (ok && seed % 5 == 0) ok = refused(seed, a, p, plan, values);
        if (!ok && getenv("SHOW")) plan_print(stdout, plan);
        *(level ? &seen->kernels_o2 : &seen->kernels_o0) += plan->kernels.n;
    }
    diag_free(d);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    const Seeds seeds = seeds_of(argc, argv, 400);
    int failures = 0, skipped = 0;
    Seen seen = {0, 0};
    for (uint64_t seed = seeds.from; seed < seeds.to && failures < 5; seed++) {
        Arena *a = arena_new();
        Diag *d = diag_new();
        Program *p = random_program(a, seed);
        Entry *e = p->entries.at[0];
        const char *message = "";
        if (!program_verify(p, a, &message)) {
            printf("seed %llu: the generator is wrong: %s\n", (unsigned long long)seed, message);
            return 1;
        }
        /* The reference: as it is, or with its gradients written out. */
        Eval values = random_eval(a, p, e, seed);
        if (!passes_run(p, &(PassOptions){.level = 0, .after = "grad"}, d)) return diag_print(d, stdout, false), 1;
        Eval reference = eval_fork(a, &values);
        Tensor **expected = NEW_ARRAY(a, Tensor *, e->graph->results.n);
        if (!eval_graph(&reference, e->graph, expected)) skipped++;
        else
            for (int level = 0; level <= 2; level += 2)
                if (!level_agrees(seed, level, &values, &reference, expected, &seen)) failures++;
        diag_free(d);
        arena_free(a);
    }
    if (getenv("SHOW")) printf("%ld kernels at -O0, %ld at -O2, %d skipped\n", seen.kernels_o0, seen.kernels_o2, skipped);
    if (seeds.to - seeds.from > 100 && (skipped > (int)(seeds.to - seeds.from) / 10 || seen.kernels_o2 > seen.kernels_o0)) {
        printf("%d skipped, %ld kernels at -O0 and %ld at -O2\n", skipped, seen.kernels_o0, seen.kernels_o2);
        failures++;
    }
    return failures != 0;
}
