/* ways_mlp.c -- the digit classifier by the interpreter, without optimization and with it, for all instruction sets:
 * inference, training with dropout (the same random numbers everywhere), weights and moments afterwards, odd batches. */
#include "tests/models/kit.h"

static void script(Run *r) {
    run_slots(r); /* initial values: random numbers */
    run_call(r, "predict", "batch=1");
    run_call(r, "predict", "batch=3");
    run_call(r, "step", "batch=3 y<10");
    run_call(r, "step", "batch=1 y<10");
    for (int i = 0; i < 4; i++) run_call(r, "step", "batch=29 y<10");
    run_call(r, "predict", "batch=7");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2, BY_O2_V3, BY_O2_V2, BY_TILE, BY_TILE_V2, BY_TILE_O0};
    int wrong = ways_agree("mlp.mdl", NULL, "hidden=37", script, 7, ways);
    wrong += ways_agree("mlp.mdl", NULL, NULL, script, 2, ways);
    return wrong ? 1 : 0;
}
