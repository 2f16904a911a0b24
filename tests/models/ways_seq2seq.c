/* ways_seq2seq.c -- every entry of seq2seq.mdl, whose greedy decoding ends early by `stop if`; and training through a loop that
 * ends where its data say so. */
#include "tests/models/kit.h"

static const char *const more = "\
entry until[s in 1..context](src: i32[batch, s], n: dim in 1..context, limit: i32) -> (out: i32[batch, n], steps: i32) {\n\
    let memory = net.encode(src);\n\
    let word   = full(i32[batch], bos);\n\
    let steps  = zeros(i32);\n\
    let out = scan i in 0..n along 1 {\n\
        word = greedy(net.decode(unsqueeze(word, 1), memory, src != pad, i)[:, -1]);\n\
        steps = steps + 1;\n\
        yield word;\n\
        stop if any(word > limit);\n\
    };\n\
    return (out, steps);\n\
}\n\
\n\
layer Early {\n\
    cell = GRUCell(5);\n\
    out  = Linear(3);\n\
    fn [b, t](x: float[b, t, 4], limit: f32) -> (float[b, 3], float[b, t, 5]) {\n\
        let h = zeros(float[b, 5]);\n\
        let y = scan xt in x along 1 {\n\
            h = cell(xt, h);\n\
            yield h * h;\n\
            stop if mean(xt) > limit;\n\
            h = h + xt[:, :1];\n\
        };\n\
        return (out(h), y);\n\
    }\n\
}\n\
early = Early();\n\
sgd = SGD(lr = 0.1);\n\
train fit[b, t in 1..20](x: float[b, t, 4], y: i32[b], limit: f32) -> (loss: f32) {\n\
    let (z, all) = early(x, limit);\n\
    let loss = cross_entropy(z, y) + mean(all);\n\
    minimize loss over early using sgd;\n\
    return loss;\n\
}\n";

static void script(Run *r) {
    run_slots(r);
    run_call(r, "translate", "batch=3 s=7 n=5 src<30");
    r->model->table->reset(r->session);
    run_call(r, "until", "batch=3 s=7 n=8 src<30 limit=25");
    run_call(r, "until", "batch=3 s=2 n=8 src<30 limit=28");
    run_call(r, "until", "batch=3 s=2 n=8 src<30 limit=0");
    run_call(r, "fit", "b=2 t=7 y<3 limit=0.2");
    run_call(r, "fit", "b=1 t=20 y<3 limit=-1");
    run_call(r, "fit", "b=3 t=5 y<3 limit=1");
    run_slots(r);
    /* Biases of keys have no gradient but rounding errors: Adam's moments of them cannot be compared, what comes of them can. */
    run_call(r, "step", "b=2 s=5 n=6 src<30 dst<30");
    run_call(r, "step", "b=1 s=1 n=2 src<30 dst<30");
    run_call(r, "step", "b=2 s=5 n=6 src<30 dst<30");
}

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2, BY_TILE};
    return ways_agree("seq2seq.mdl", more, "layers=1 d=16 heads=2 ff=24 vocab=30 context=16", script, 3, ways) ? 1 : 0;
}
