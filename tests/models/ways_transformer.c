/* ways_transformer.c -- every entry of the transformer by the interpreter, without optimization and with it, for all instruction sets; windows
 * of odd length, prompts of 1, 7 and 63 tokens, one and three at a time; dropout on. */
#include "tests/models/kit.h"

static void script(Run *r) {
    run_slots(r); /* initial values: random numbers */
    run_call(r, "evaluate", "b=1 n=2 ids<61");
    run_call(r, "evaluate", "b=3 n=8 ids<61");
    run_call(r, "evaluate", "b=1 n=64 ids<61");
    run_call(r, "evaluate", "b=3 n=65 ids<61");
    run_call(r, "prefill", "batch=3 t=7 ids<61");
    for (int i = 0; i < 3; i++) run_call(r, "decode", "batch=3 id<61");
    run_call(r, "generate", "batch=3 t=7 n=9 temperature=0.8 ids<61");
    run_slots(r); /* caches */
    r->model->table->reset(r->session);
    run_call(r, "prefill", "batch=1 t=63 ids<61");
    run_call(r, "decode", "batch=1 id<61");
    run_call(r, "prefill", "batch=1 t=1 ids<61");
    run_call(r, "decode", "batch=1 id<61");
    run_call(r, "generate", "batch=1 t=1 n=63 temperature=1 ids<61");
    run_call(r, "generate", "batch=1 t=63 n=1 temperature=1 ids<61");
    run_call(r, "step", "b=3 n=64 ids<61");
    run_call(r, "step", "b=1 n=8 ids<61");
    run_call(r, "step", "b=3 n=2 ids<61");
    run_call(r, "evaluate", "b=3 n=64 ids<61");
    run_call(r, "prefill", "batch=1 t=7 ids<61");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2, BY_O2_V3, BY_O2_V2, BY_TILE, BY_TILE_V2, BY_TILE_O0};
    return ways_agree("transformer.mdl", NULL, "layers=2 d=32 heads=2 vocab=61 context=64 dropout=0.1", script, 7, ways) ? 1 : 0;
}
