/* scripts.c -- see scripts.h. */
#include "tests/models/scripts.h"

const char transformer_defines[] = "layers=2 d=32 heads=2 vocab=61 context=64 dropout=0.1";

void transformer_script(Run *r) {
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
