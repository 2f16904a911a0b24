/* prefill.c -- a prompt through `prefill`, then token after token through `decode`, gives the logits that the whole text
 * gives at once, and the context cannot overflow. Several prompts, one and three at a time. */
#include "tests/models/kit.h"

#include <math.h>
#include <string.h>

enum { CONTEXT = 24, VOCAB = 61, BATCH = 3 };

static const char forward[] =
    "entry forward[b, t in 1..context](ids: i32[b, t]) -> (logits: float[b, t, vocab]) { return net(ids); }\n";

static int compare(const Record *got, const Record *whole, int batch, int at, int prompt) {
    for (int b = 0; b < batch; b++) {
        for (int v = 0; v < VOCAB; v++) {
            double x = got->at[b * VOCAB + v], y = whole->at[(b * CONTEXT + at) * VOCAB + v];
            if (fabs(x - y) <= 1e-5 + 1e-4 * fabs(y)) continue;
            printf("batch %d, prompt of %d: %s[%d, %d] after %d tokens is %.9g, the whole text gives %.9g\n", batch, prompt,
                   got->name, b, v, at + 1, x, y);
            return 1;
        }
    }
    return 0;
}

static int check(const Model *m, int batch, int prompt) {
    Run r = run_new(m, 1);
    Arena *a = r.arena;
    int32_t ids[BATCH * CONTEXT], first[BATCH * CONTEXT], next[BATCH];
    for (int i = 0; i < batch * CONTEXT; i++) ids[i] = (i * i + 7 * i + prompt) % VOCAB;
    for (int b = 0; b < batch; b++) memcpy(first + b * prompt, ids + b * CONTEXT, sizeof *first * (size_t)prompt);
    Record whole = *run_call_with(&r, "forward", arena_printf(a, "b=%d t=%d", batch, CONTEXT), ids);
    const Record *last = run_call_with(&r, "prefill", arena_printf(a, "batch=%d t=%d", batch, prompt), first);
    int wrong = compare(last, &whole, batch, prompt - 1, prompt);
    for (int t = prompt; t < CONTEXT && !wrong; t++) {
        for (int b = 0; b < batch; b++) next[b] = ids[b * CONTEXT + t];
        wrong = compare(run_call_with(&r, "decode", arena_printf(a, "batch=%d", batch), next), &whole, batch, t, prompt);
    }
    const char *message;
    int code = run_try(&r, "decode", arena_printf(a, "batch=%d id=0", batch), &message);
    if (code != MDL_ASSERT || !strstr(message, "the context is full")) {
        printf("batch %d, prompt of %d: one token too many gives %d, %s\n", batch, prompt, code, message);
        wrong = 1;
    }
    run_free(&r);
    return wrong;
}

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2};
    static const int prompts[] = {1, 2, 7, 23, 24};
    int wrong = 0;
    for (int w = 0; w < 2; w++) {
        Model m = model_make("transformer.mdl", forward, "layers=2 d=32 heads=2 vocab=61 context=24", ways[w]);
        for (int i = 0; i < 5; i++) wrong += check(&m, 1, prompts[i]) + check(&m, 3, prompts[i]);
        model_free(&m);
    }
    return wrong ? 1 : 0;
}
