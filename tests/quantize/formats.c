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

/* The table of the paper on QLoRA. */
static const float NF4[16] = {-1.0f,
                              -0.6961928009986877f,
                              -0.5250730514526367f,
                              -0.39491748809814453f,
                              -0.28444138169288635f,
                              -0.18477343022823334f,
                              -0.09105003625154495f,
                              0.0f,
                              0.07958029955625534f,
                              0.16093020141124725f,
                              0.24611230194568634f,
                              0.33791524171829224f,
                              0.44070982933044434f,
                              0.5626170039176941f,
                              0.7229568362236023f,
                              1.0f};

/* The nearest of the table; halfway between two: the lower. */
static int nearest(float x) {
    int best = 0;
    for (int i = 1; i < 16; i++)
        if (fabs((double)x - (double)NF4[i]) < fabs((double)x - (double)NF4[best])) best = i;
    return best;
}

/* The format with a zero point: codes from 0 to `steps`. */
static float encode_span(const float *w, int n, int steps, int *codes, int *zero) {
    float high = 0, low = 0;
    for (int i = 0; i < n; i++) {
        high = fmaxf(high, w[i]);
        low = fminf(low, w[i]);
    }
    float scale = to_f16(clampf((high - low) / (float)steps, -65504, 65504)), unit_of = scale == 0 ? 1 : scale;
    *zero = (int)clampf(nearbyintf(-low / unit_of), 0, (float)steps);
    for (int i = 0; i < n; i++) codes[i] = (int)clampf(nearbyintf(w[i] / unit_of) + (float)*zero, 0, (float)steps);
    return scale;
}

/* Number `code` of f8e4m3, code from 0 to 126: four bits of exponent, three behind the leading one. */
static double fp8(int code) { return code < 8 ? ldexp(code, -9) : ldexp(8 + code % 8, code / 8 - 10); }

/* The nearest of them, with its sign as that of the code; halfway between two: the even one. */
static int nearest_fp8(double x) {
    int best = 0;
    for (int i = 1; i < 127; i++) {
        double near = fabs(fabs(x) - fp8(best)), now = fabs(fabs(x) - fp8(i));
        if (now < near || (now == near && i % 2 == 0)) best = i;
    }
    return x < 0 ? -best : best;
}

/* The largest magnitude becomes 127, or 448 in fp8; of n elements, or of all that share the scale. */
static float encode_one(const float *w, int n, const float *sharing, int n_sharing, QuantScheme scheme, int *codes) {
    float largest = 0;
    for (int i = 0; i < n_sharing; i++) largest = fmaxf(largest, fabsf(sharing[i]));
    float scale = largest / (scheme == QUANT_FP8 ? 448.0f : 127.0f), unit_of = scale == 0 ? 1 : scale;
    for (int i = 0; i < n; i++) {
        float x = w[i] / unit_of;
        codes[i] = scheme == QUANT_FP8 ? nearest_fp8((double)x) : (int)clampf(nearbyintf(x), -127, 127);
    }
    return scale;
}

/* The format in groups: codes (a code each, those of 4 bits not packed), scale. */
static float encode(const float *w, int n, QuantScheme scheme, int *codes) {
    float high = w[0], low = w[0], largest = 0;
    for (int i = 0; i < n; i++) {
        high = fmaxf(high, w[i]);
        low = fminf(low, w[i]);
        largest = fmaxf(largest, fabsf(w[i]));
    }
    float scale = scheme == QUANT_INT8 ? largest / 127.0f : (high > -low ? high : low) / -8.0f;
    scale = to_f16(clampf(scale, -65504, 65504));
    if (scheme == QUANT_NF4) scale = to_f16(clampf(largest, -65504, 65504));
    float unit_of = scale == 0 ? 1 : scale;
    for (int i = 0; i < n; i++) {
        float x = nearbyintf(w[i] / unit_of);
        if (scheme == QUANT_NF4) {
            codes[i] = nearest(w[i] / unit_of);
            continue;
        }
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
    bool zero_point, one_scale;
} Case;

static float value_of(const Case *c, int code, int zero, float scale) {
    if (c->scheme == QUANT_NF4) return NF4[code] * scale;
    return (float)(code - (c->zero_point ? zero : c->scheme == QUANT_INT4 ? 8 : 0)) * scale;
}

static QuantPlan plan_of(const Case *c) {
    QuantPlan q = {.scheme = c->scheme, .group = c->group, .channels = c->channels, .length = c->length,
                   .zero_point = c->zero_point, .one_scale = c->one_scale};
    q.groups = c->group ? (c->length + c->group - 1) / c->group : 0;
    return q;
}

static int code_of(const Case *c, const Tensor *codes, int run, int i, int n) {
    if (c->scheme == QUANT_FP8) return nearest_fp8(codes->f[run * n + i]);
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
        int zero = 0, steps = c->scheme == QUANT_INT8 ? 255 : 15;
        float scale;
        if (c->zero_point) scale = encode_span(row, n, steps, codes, &zero);
        else if (c->group) scale = encode(row, n, c->scheme, codes);
        else scale = encode_one(row, n, c->one_scale ? w : row, c->one_scale ? c->channels * c->length : n, c->scheme, codes);
        bool bad = result[1]->f[run] != scale || (c->zero_point && result[3]->i[run] != zero);
        for (int i = 0; i < n && !bad; i++) {
            bad = code_of(c, result[0], run, i, n) != codes[i];
            if (c->group) bad |= result[2]->f[run * n + i] != value_of(c, codes[i], zero, scale);
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
    for (int i = 0; i < c->length; i++) w[i] *= 3; /* channels of another size */
    Size dim[] = {size_const(p.sizes, c->channels), size_const(p.sizes, c->length)};
    Node *in = node_leaf(g, OP_TENSOR, &(Attrs){.data = w}, type_of(DT_F32, 2, dim));
    Stored s = quantize_encode(g, &q, in), t = s;
    graph_result(g, "codes", s.codes);
    graph_result(g, "scales", s.scales);
    if (c->group) {
        Size grouped[] = {dim[0], size_const(p.sizes, q.groups), s.codes->type.dim[1]};
        t.codes = node_reshape(g, s.codes, 3, grouped);
        t.scales = node_reshape(g, s.scales, 2, grouped);
        if (s.zeros) t.zeros = node_reshape(g, s.zeros, 2, grouped);
        graph_result(g, "values", quantize_decode(g, &q, t));
    }
    if (s.zeros) graph_result(g, "zeros", s.zeros);
    Tensor *result[4];
    Eval e = {.arena = a, .program = &p};
    if (eval_graph(&e, g, result)) compare(c, w, result);
    else failures++, printf("%s\n", e.error);
    arena_free(a);
}

int main(void) {
    static const Case CASES[] = {{QUANT_INT8, 0, 3, 70, false, false},  {QUANT_INT8, 32, 2, 70, false, false}, {QUANT_INT8, 8, 5, 8, false, false},
                                 {QUANT_INT4, 32, 3, 64, false, false}, {QUANT_INT4, 64, 2, 70, false, false}, {QUANT_INT4, 128, 1, 1, false, false},
                                 {QUANT_NF4, 32, 3, 70, false, false},  {QUANT_NF4, 64, 2, 64, false, false},  {QUANT_INT8, 32, 3, 70, true, false},
                                 {QUANT_INT4, 32, 3, 70, true, false},  {QUANT_INT4, 64, 5, 64, true, false},  {QUANT_FP8, 0, 3, 70, false, false},
                                 {QUANT_INT8, 0, 5, 70, false, true},   {QUANT_FP8, 0, 4, 33, false, true}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (int kind = 0; kind < 8; kind++) check(&CASES[i], kind);
    return failures != 0;
}
