/* ways_scan.c -- models with loops, trained through them: an LSTM over texts of different lengths, a GRU over clips that also
 * runs step by step, and the other recurrent layers. */
#include "tests/models/kit.h"

static void text(Run *r) {
    run_slots(r);
    run_call(r, "predict", "batch=3 t=7 ids<50 lengths<8");
    run_call(r, "evaluate", "batch=1 t=1 ids<50 lengths<2");
    for (int i = 0; i < 3; i++) run_call(r, "step", i == 1 ? "batch=1 t=1 ids<50 lengths<2" : "batch=5 t=9 ids<50 lengths<10");
    run_call(r, "predict", "batch=2 t=5 ids<50 lengths<6");
    run_slots(r);
}

static void stream(Run *r) {
    for (int i = 0; i < 3; i++) run_call(r, "hear", "batch=3");
    r->model->table->reset(r->session);
    run_call(r, "hear", "batch=3");
    run_call(r, "step", "b=2 t=12 y<3");
    run_call(r, "step", "b=1 t=10 y<3");
    run_call(r, "hear", "batch=3");
    run_slots(r);
    run_call(r, "restart", "");
    for (int i = 0; i < 2; i++) run_call(r, "hear", "batch=2");
    run_slots(r);
}

/* Every recurrent layer after another: a cell in a loop of its own, two LSTMs with dropout between them, both directions. */
static const char *const stack = "\
layer Stack {\n\
    one = RNNCell(5); two = LSTM(6, layers = 2, dropout = 0.25); three = GRU(4); both = BiLSTM(3); out = Linear(2);\n\
    fn [b, t](x: float[b, t, 3]) -> float[b, 2] {\n\
        let h = zeros(float[b, 5]);\n\
        let y = scan xt in x along 1 { h = one(xt, h); yield h; };\n\
        let (y2, _) = two(y);\n\
        let (y3, last) = three(y2);\n\
        let (_, ends) = both(y3);\n\
        return out(concat([ends, last], -1));\n\
    }\n\
}\n\
deep = Stack();\n\
sgd = SGD(lr = 0.1);\n\
train fit[b, t in 1..20](x: float[b, t, 3], y: i32[b]) -> (loss: f32) {\n\
    let loss = cross_entropy(deep(x), y);\n\
    minimize loss over deep using sgd;\n\
    return loss;\n\
}\n";

static void deep(Run *r) {
    run_slots(r);
    run_call(r, "fit", "b=3 t=6 y<2");
    run_call(r, "fit", "b=1 t=1 y<2");
    run_call(r, "fit", "b=17 t=3 y<2");
    run_slots(r);
}

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2, BY_TILE};
    int wrong = 0;
    wrong += ways_agree("lstm_text.mdl", NULL, "vocab=50 width=6 hidden=5", text, 3, ways);
    wrong += ways_agree("lstm_text.mdl", NULL, "vocab=50 width=17 hidden=16", text, 3, ways);
    wrong += ways_agree("stream_gru.mdl", NULL, "hidden=6 words=3 bands=5", stream, 3, ways);
    wrong += ways_agree("stream_gru.mdl", stack, "hidden=6 words=3 bands=5", deep, 3, ways);
    return wrong ? 1 : 0;
}
