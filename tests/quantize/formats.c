/* formats.c -- codes and scales against the formulas of quantize.h in plain C, to the bit, and what comes back of them.
 *
 * Weights: random ones, zeros, one large element, elements halfway between two codes, the smallest and largest numbers whose scale
 * an f16 still holds, and beyond. */
#include "ir/eval.h"
#include "passes/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static uint64_t seed = 1;
static double unit(void) { /* -1 .. 1 */
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(int32_t)(seed >> 32) * 0x1p-31;
}

/* To the nearest f16, halves to even (IEEE 754), from the definition: a multiple of the step of its binade. */
static float to_f16(float x) {
    int e;
    if (x == 0 || isnan(x)) return x;
    frexpf(x, &e); /* |x| in 2^(e-1) .. 2^e: steps of 2^(e-11), of 2^-24 for subnormal numbers */
    double step = ldexp(1, e - 11 > -24 ? e - 11 : -24);
    return (float)(nearbyint(x / step) * step);
}

static float clampf(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/* The format: codes (a code each, int4 not packed), scale. */
static float encode(const float *w, int n, QuantScheme scheme, bool grouped, int *codes) {
    float high = w[0], low = w[0], largest = 0;
    for (int i = 0; i < n; i++) {
        high = fmaxf(high, w[i]);
        low = fminf(low, w[i]);
        largest = fmaxf(largest, fabsf(w[i]));
    }
    float scale = scheme == QUANT_INT8 ? largest / 127.0f : (high > -low ? high : low) / -8.0f;
    if (grouped) scale = to_f16(clampf(scale, -65504, 65504));
    float unit_of = scale == 0 ? 1 : scale;
    for (int i = 0; i < n; i++) {
        float x = nearbyintf(w[i] / unit_of);
        codes[i] = (int)(scheme == QUANT_INT8 ? clampf(x, -127, 127) : clampf(x + 8, 0, 15));
    }
    return scale;
}

static void fill(float *w, int n, int kind) {
    static const float SIZE[] = {1, 0, 1, 1, 1e-5f, 5e5f, 3e-7f, 1e9f};
    for (int i = 0; i < n; i++) w[i] = (float)unit() * SIZE[kind];
    if (kind == 2) w[n / 2] = -100;
    for (int i = 0; kind == 3 && i < n; i++) w[i] = (float)(i % 16 - 8) + 0.5f * (float)(i % 3);
}

typedef struct Case {
    QuantScheme scheme;
    int group, channels, length;
} Case;

static QuantPlan plan_of(const Case *c) {
    QuantPlan q = {.scheme = c->scheme, .group = c->group, .channels = c->channels, .length = c->length};
    q.groups = c->group ? (c->length + c->group - 1) / c->group : 0;
    return q;
}

static int code_of(const Case *c, const Tensor *codes, int run, int i, int n) {
    if (c->scheme == QUANT_INT8) return (int)codes->i[run * n + i];
    int64_t byte = codes->i[run * (n / 2) + i % (n / 2)];
    return (int)(i < n / 2 ? byte & 15 : byte >> 4);
}

static void compare(const Case *c, const float *w, Tensor *const *result) {
    int n = c->group ? c->group : c->length, per = c->group ? (c->length + n - 1) / n : 1, codes[4096];
    for (int run = 0; run < c->channels * per; run++) {
        float row[4096] = {0};
        int first = run % per * n, have = c->length - first < n ? c->length - first : n;
        memcpy(row, w + run / per * c->length + first, sizeof *row * (size_t)have);
        float scale = encode(row, n, c->scheme, c->group > 0, codes);
        bool bad = result[1]->f[run] != scale;
        for (int i = 0; i < n && !bad; i++) {
            bad = code_of(c, result[0], run, i, n) != codes[i];
            float value = (float)(codes[i] - (c->scheme == QUANT_INT4 ? 8 : 0)) * scale;
            if (c->group) bad |= result[2]->f[run * n + i] != value;
        }
        if (bad && failures++ < 8) printf("scheme %d group %d length %d: run %d differs\n", c->scheme, c->group, c->length, run);
    }
}

static void check(const Case *c, int kind) {
    Arena *a = arena_new();
    Program p = {.arena = a, .sizes = size_table_new(a), .name = "formats"};
    Graph *g = graph_new(a, &p);
    QuantPlan q = plan_of(c);
    float *w = arena_alloc(a, sizeof *w * (size_t)(c->channels * c->length));
    for (int i = 0; i < c->channels; i++) fill(w + i * c->length, c->length, kind);
    Size dim[] = {size_const(p.sizes, c->channels), size_const(p.sizes, c->length)};
    Node *codes, *scales, *in = node_leaf(g, OP_TENSOR, &(Attrs){.data = w}, type_of(DT_F32, 2, dim));
    quantize_encode(g, &q, in, &codes, &scales);
    graph_result(g, "codes", codes);
    graph_result(g, "scales", scales);
    if (c->group) {
        Size grouped[] = {dim[0], size_const(p.sizes, q.groups), codes->type.dim[1]};
        graph_result(g, "values", quantize_decode(g, &q, node_reshape(g, codes, 3, grouped), node_reshape(g, scales, 2, grouped)));
    }
    Tensor *result[3];
    Eval e = {.arena = a, .program = &p};
    if (eval_graph(&e, g, result)) compare(c, w, result);
    else failures++, printf("%s\n", e.error);
    arena_free(a);
}

int main(void) {
    static const Case CASES[] = {{QUANT_INT8, 0, 3, 70},  {QUANT_INT8, 32, 2, 70},  {QUANT_INT8, 8, 5, 8},
                                 {QUANT_INT4, 32, 3, 64}, {QUANT_INT4, 64, 2, 70}, {QUANT_INT4, 128, 1, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (int kind = 0; kind < 8; kind++) check(&CASES[i], kind);
    return failures != 0;
}
