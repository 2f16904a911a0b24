/* ways_odd.c -- widths that no vector divides: a transformer of heads of 4 and of 2, a vocabulary of 50 and 51, a context of 9; a classifier
 * with one hidden unit and with more than a block of them. */
#include "tests/models/kit.h"

static void transformer(Run *r) {
    run_call(r, "evaluate", "b=5 n=10 ids<50");
    run_call(r, "evaluate", "b=1 n=2 ids<50");
    run_call(r, "prefill", "batch=2 t=5 ids<50");
    run_call(r, "decode", "batch=2 id<50");
    run_call(r, "generate", "batch=2 t=1 n=8 temperature=0.7 ids<50");
    run_call(r, "step", "b=5 n=10 ids<50");
    run_call(r, "step", "b=1 n=2 ids<50");
    run_call(r, "step", "b=2 n=5 ids<50");
    run_call(r, "evaluate", "b=2 n=7 ids<50");
    run_slots(r);
}

static void mlp(Run *r) {
    run_call(r, "predict", "batch=1");
    run_call(r, "predict", "batch=101");
    run_call(r, "step", "batch=1 y<10");
    run_call(r, "step", "batch=65 y<10");
    run_call(r, "predict", "batch=2");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O2, BY_O2_V2, BY_TILE};
    int wrong = ways_agree("transformer.mdl", NULL, "layers=1 d=20 heads=5 vocab=51 context=9 dropout=0.3", transformer, 3, ways);
    wrong += ways_agree("transformer.mdl", NULL, "layers=3 d=6 heads=3 vocab=50 context=9", transformer, 3, ways);
    wrong += ways_agree("transformer.mdl", NULL, "layers=1 d=33 heads=1 vocab=257 context=17", transformer, 3, ways);
    wrong += ways_agree("mlp.mdl", NULL, "hidden=1", mlp, 3, ways);
    wrong += ways_agree("mlp.mdl", NULL, "hidden=131", mlp, 3, ways);
    return wrong ? 1 : 0;
}
