/* ways_precision.c -- models under `precision`, by the interpreter, which rounds after every operation, and compiled, which rounds what
 * is stored, for all instruction sets: inference, training steps, and what the slots hold afterwards. */
// plain
#include "tests/models/kit.h"

static const double bf16 = 0x1p-8, f16 = 0x1p-11;

static void digits(Run *r) {
    run_call(r, "predict", "batch=3");
    for (int i = 0; i < 3; i++) run_call(r, "step", "batch=29 y<10");
    run_call(r, "predict", "batch=7");
    run_slots(r);
}

static void words(Run *r) {
    run_call(r, "prefill", "batch=3 t=7 ids<61");
    run_call(r, "decode", "batch=3 id<61");
    run_call(r, "evaluate", "b=3 n=9 ids<61");
    run_call(r, "step", "b=3 n=17 ids<61");
    run_call(r, "evaluate", "b=3 n=9 ids<61"); /* no slots: Adam turns the noise in gradients of keys' biases, which are 0, into steps */
}

static void pictures(Run *r) {
    run_call(r, "predict", "batch=2");
    run_call(r, "step", "batch=3 y<10");
    run_call(r, "predict", "batch=3"); /* no slots: gradients in front of a norm are sums that nearly cancel, noise in bf16 */
}

int main(void) {
    static const Way all[] = {BY_O0, BY_O2, BY_O2_V2, BY_TILE}, one[] = {BY_O2}, v3[] = {BY_O2_V3};
    const char *small = "layers=1 heads=2 d=32 vocab=61 context=24";
    int wrong = ways_agree_rounded("mlp.mdl", "precision { compute = bf16; }", "hidden=37", digits, 4, all, bf16);
    wrong += ways_agree_rounded("mlp.mdl", "precision { compute = f16; loss_scale = 256; }", "hidden=37", digits, 1, v3, f16);
    wrong += ways_agree_rounded("mlp.mdl", "precision { params = bf16; compute = bf16; }", "hidden=37", digits, 1, one, bf16);
    wrong += ways_agree_rounded("mlp.mdl", "precision { params = f16; }", "hidden=37", digits, 1, one, f16);
    wrong += ways_agree_rounded("transformer.mdl", "precision { compute = bf16; }", small, words, 1, v3, bf16);
    wrong += ways_agree_rounded("transformer.mdl", "precision { compute = f16; }", small, words, 1, one, f16);
    wrong += ways_agree_rounded("fashion_cnn.mdl", "precision { compute = bf16; }", "width=8", pictures, 1, one, bf16);
    return wrong ? 1 : 0;
}
