/* ways_gpt.c -- every entry of gpt.mdl by the interpreter, without optimization and with it. Its step collects gradients over
 * eight calls before it changes weights. */
// plain
#include "tests/models/kit.h"

static void script(Run *r) {
    run_slots(r); /* initial values: random numbers */
    run_call(r, "prefill", "batch=3 t=7 ids<97");
    for (int i = 0; i < 2; i++) run_call(r, "decode", "batch=3 id<97");
    run_call(r, "generate", "batch=3 t=7 n=5 temperature=0.8 ids<97");
    r->model->table->reset(r->session);
    run_call(r, "prefill", "batch=1 t=63 ids<97");
    run_call(r, "decode", "batch=1 id<97");
    run_call(r, "prefill", "batch=1 t=1 ids<97");
    run_call(r, "generate", "batch=1 t=1 n=7 temperature=1 ids<97");
    for (int i = 0; i < 9; i++) run_call(r, "step", i % 2 ? "b=3 n=8 ids<97" : "b=1 n=64 ids<97");
    run_call(r, "prefill", "batch=1 t=7 ids<97");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2, BY_TILE};
    return ways_agree("gpt.mdl", NULL, "layers=2 d=64 heads=4 vocab=97 context=64", script, 3, ways) ? 1 : 0;
}
