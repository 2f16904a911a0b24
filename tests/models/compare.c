/* compare.c -- the comparison of runs that the tests of this folder rest on tells two seeds apart, and one rate of training
 * from another; and it finds a run equal to itself. */
#include "tests/models/kit.h"

#include <math.h>
#include <string.h>

static Run trained(const Model *m, uint64_t seed, int steps) {
    Run r = run_new(m, seed);
    for (int i = 0; i < steps; i++) run_call(&r, "step", "batch=5 y<10");
    r.records.n = 0; /* what is left at the end counts */
    run_slots(&r);
    return r;
}

static int expect(bool equal, const Run *a, const Run *b, const char *what) {
    if (run_compare(a, b, what) == equal) return 0;
    printf("%s: they are%s equal\n", what, equal ? " not" : "");
    return 1;
}

int main(void) {
    Model m = model_make("mlp.mdl", NULL, "hidden=8", BY_O2);
    Run a = trained(&m, 1, 1), same = trained(&m, 1, 1), seed = trained(&m, 2, 1), longer = trained(&m, 1, 2);
    int wrong = expect(true, &a, &same, "the same run") + expect(false, &a, &seed, "another seed");
    wrong += expect(false, &a, &longer, "one more step");
    for (int i = 0; i < same.records.n; i++) { /* one element of one moment, by 2e-3 of the largest */
        Record *r = &same.records.at[i];
        double largest = 0;
        for (int64_t k = 0; k < r->count; k++) largest = fmax(largest, fabs(r->at[k]));
        if (!strcmp(r->name, "opt.m.net.0.weight")) r->at[r->count - 1] += 2e-3 * largest;
    }
    wrong += expect(false, &a, &same, "one moment changed");
    run_free(&a), run_free(&same), run_free(&seed), run_free(&longer);
    model_free(&m);
    return wrong ? 1 : 0;
}
