/* ways_full.c -- the transformer at the size of the demo, where products are large enough for every block and thread:
 * training steps of the demo's batch, evaluation of a batch of 64, prompts and tokens one at a time. */
// plain
#include "tests/models/kit.h"

static void script(Run *r) {
    run_call(r, "evaluate", "b=64 n=65 ids<256");
    run_call(r, "prefill", "batch=1 t=63 ids<256");
    run_call(r, "decode", "batch=1 id<256");
    r->model->table->reset(r->session);
    run_call(r, "prefill", "batch=13 t=19 ids<256");
    run_call(r, "decode", "batch=13 id<256");
    for (int i = 0; i < 2; i++) run_call(r, "step", "b=12 n=65 ids<256");
    run_call(r, "step", "b=5 n=38 ids<256");
    run_call(r, "evaluate", "b=12 n=65 ids<256");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O2, BY_O2_V3};
    return ways_agree("transformer.mdl", NULL, NULL, script, 2, ways) ? 1 : 0;
}
