/* ways_odd.c -- widths that no vector divides: a transformer with heads of 4, of 2 and of 33, a vocabulary of 50, 51 and 257, a
 * context of 9 and 17. */
// plain
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

int main(void) {
    static const Way ways[] = {BY_O2, BY_O2_V2, BY_TILE};
    int wrong = 0;
    wrong += ways_agree("transformer.mdl", NULL, "layers=1 d=20 heads=5 vocab=51 context=9 dropout=0.3", transformer, 3, ways);
    wrong += ways_agree("transformer.mdl", NULL, "layers=3 d=6 heads=3 vocab=50 context=9", transformer, 3, ways);
    wrong += ways_agree("transformer.mdl", NULL, "layers=1 d=33 heads=1 vocab=257 context=17", transformer, 3, ways);
    return wrong ? 1 : 0;
}
