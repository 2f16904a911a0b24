/* ways_odd_mlp.c -- a classifier with one hidden unit and one with more than a block of them; batches of 1, 65 and 101. */
#include "tests/models/kit.h"

static void script(Run *r) {
    run_call(r, "predict", "batch=1");
    run_call(r, "predict", "batch=101");
    run_call(r, "step", "batch=1 y<10");
    run_call(r, "step", "batch=65 y<10");
    run_call(r, "predict", "batch=2");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O2, BY_O2_V2, BY_TILE};
    int wrong = ways_agree("mlp.mdl", NULL, "hidden=1", script, 3, ways);
    wrong += ways_agree("mlp.mdl", NULL, "hidden=131", script, 3, ways);
    return wrong ? 1 : 0;
}
