/* quantize_value.c -- the formats of quantized weights, as formulas of the graph; and weights brought into them.
 *
 * Rounding is to nearest. int8: the largest magnitude of a channel or group becomes 127. int4: the element of the largest magnitude
 * becomes code 0, that is -8 times the scale, which may be negative: so all 16 codes are used. */
#include "passes/quantize.h"

#include <string.h>

#define F16_MOST 65504.0
#define CHUNK    (1 << 18) /* elements converted at once: the interpreter keeps every intermediate value as a double */

static Size whole(const Graph *g, int64_t n) { return size_const(g->program->sizes, n); }

static Node *filled(Graph *g, const Node *like, double x) { return node_const(g, like->type, x); }

/* x[n] along rows of f32[n, length]. */
static Node *along_rows(Graph *g, Node *x, const Node *rows) {
    Size dim[2] = {rows->type.dim[0], whole(g, 1)};
    return node_expand_like(g, node_reshape(g, x, 2, dim), (Node *)rows);
}

/* The values of w in units of their scale, and the scale as it is stored: f32 of a channel, f16 of a group. */
static Node *in_units(Graph *g, const QuantPlan *q, Node *w, Node *largest, double steps, Node **scales) {
    Node *scale = node_map2(g, OP_DIV, largest, filled(g, largest, steps));
    if (q->group) {
        scale = node_map3(g, OP_CLAMP, scale, filled(g, scale, -F16_MOST), filled(g, scale, F16_MOST));
        scale = node_cast(g, scale, DT_F16);
    }
    *scales = scale;
    Node *unit = node_cast(g, scale, DT_F32), *zero = filled(g, unit, 0);
    unit = node_map3(g, OP_WHERE, node_map2(g, OP_EQ, unit, zero), filled(g, unit, 1), unit);
    return node_map1(g, OP_ROUND, node_map2(g, OP_DIV, w, along_rows(g, unit, w)));
}

static Node *in_range(Graph *g, Node *x, double low, double high) {
    return node_map3(g, OP_CLAMP, x, filled(g, x, low), filled(g, x, high));
}

/* Two codes in each byte: f32[n, group] → u8[n, group/2]. */
static Node *in_bytes(Graph *g, Node *codes, int group) {
    Size n = codes->type.dim[0], half = whole(g, group / 2);
    Size lo[2] = {whole(g, 0), whole(g, 0)}, mid[2] = {n, half}, from[2] = {whole(g, 0), half};
    Node *low = node_slice(g, codes, lo, mid), *high = node_slice(g, codes, from, codes->type.dim);
    high = node_map2(g, OP_MUL, high, filled(g, high, 16));
    return node_cast(g, node_map2(g, OP_ADD, low, high), DT_U8);
}

/* f32[channels, length] → f32[channels * groups, g] */
static Node *in_groups(Graph *g, const QuantPlan *q, Node *w) {
    int64_t beyond = q->groups * q->group - q->length;
    Attrs attrs = {.lo = {whole(g, 0), whole(g, 0)}, .hi = {whole(g, 0), whole(g, beyond)}};
    if (beyond) w = graph_add(g, OP_PAD, &attrs, 1, &w);
    Size dim[2] = {size_mul(w->type.dim[0], whole(g, q->groups)), whole(g, q->group)};
    return node_reshape(g, w, 2, dim);
}

void quantize_encode(Graph *g, const QuantPlan *q, Node *w, Node **codes, Node **scales) {
    int last = 1;
    if (q->group) w = in_groups(g, q, w);
    if (q->scheme == QUANT_INT8) {
        Node *largest = node_reduce(g, REDUCE_MAX, node_map1(g, OP_ABS, w), 1, &last);
        Node *x = in_units(g, q, w, largest, 127, scales);
        *codes = node_cast(g, in_range(g, x, -127, 127), DT_I8);
        return;
    }
    Node *high = node_reduce(g, REDUCE_MAX, w, 1, &last), *low = node_reduce(g, REDUCE_MIN, w, 1, &last);
    Node *up = node_map2(g, OP_GT, high, node_map1(g, OP_NEG, low));
    Node *x = in_units(g, q, w, node_map3(g, OP_WHERE, up, high, low), -8, scales);
    *codes = in_bytes(g, in_range(g, node_map2(g, OP_ADD, x, filled(g, x, 8)), 0, 15), q->group);
}

/* x with one more axis of size n, at the end or before the last one: repeated. */
static Node *repeated(Graph *g, Node *x, bool before_last, Size n) {
    Size dim[MAX_RANK];
    int rank = x->type.rank, at = before_last ? rank - 1 : rank;
    for (int i = 0; i < rank; i++) dim[i < at ? i : i + 1] = x->type.dim[i];
    dim[at] = whole(g, 1);
    Node *y = node_reshape(g, x, rank + 1, dim);
    dim[at] = n;
    return node_expand(g, y, rank + 1, dim);
}

Node *quantize_decode(Graph *g, const QuantPlan *q, Node *codes, Node *scales) {
    bool four = q->scheme == QUANT_INT4;
    if (!q->group) {
        Size dim[MAX_RANK];
        for (int i = 0; i < codes->type.rank; i++) dim[i] = i < scales->type.rank ? codes->type.dim[i] : whole(g, 1);
        Node *wide = node_expand_like(g, node_reshape(g, scales, codes->type.rank, dim), codes);
        return node_map2(g, OP_MUL, node_cast(g, codes, DT_F32), wide);
    }
    Size two = whole(g, 2), g_half = whole(g, q->group / 2);
    if (four) {
        codes = repeated(g, codes, true, two);
        Node *place = node_leaf(g, OP_IOTA, &(Attrs){.axis = codes->type.rank - 2}, codes->type);
        codes = node_map2(g, OP_NIBBLE, codes, place);
        scales = repeated(g, scales, false, two);
    }
    scales = node_cast(g, repeated(g, scales, false, four ? g_half : whole(g, q->group)), DT_F32);
    Node *x = node_cast(g, codes, DT_F32);
    if (four) x = node_map2(g, OP_SUB, x, filled(g, x, 8));
    return node_map2(g, OP_MUL, x, scales);
}

/* ---- the values of a slot ------------------------------------------------------------------------------------------------ */

/* The weight as f32[channels, length]. */
static Node *in_rows(Graph *g, const QuantPlan *q, Node *w) {
    int order[MAX_RANK], n = 0;
    for (int i = 0; i < q->n_channels; i++) order[n++] = q->channel[i];
    for (int i = 0; i < q->n_summed; i++) order[n++] = q->summed[i];
    Size dim[2] = {whole(g, q->channels), whole(g, q->length)};
    return node_reshape(g, node_permute(g, w, order), 2, dim);
}

static void initial_values(Program *p, const QuantPlan *q) {
    Graph *g = p->init;
    Node *codes, *scales;
    for (int i = 0; i < g->effects.n; i++) {
        Effect *e = &g->effects.at[i];
        if (e->kind != EFFECT_STORE || e->index != q->slot->index) continue;
        rewrite_at(g, e->value);
        quantize_encode(g, q, in_rows(g, q, e->value), &codes, &scales);
        e->value = node_reshape(g, codes, q->slot->type.rank, q->slot->type.dim);
        Effect store = {.kind = EFFECT_STORE, .index = q->scale->index, .loc = e->loc};
        store.value = node_reshape(g, scales, q->scale->type.rank, q->scale->type.dim);
        graph_effect(g, store);
        return;
    }
}

/* Where element k of the weight, counted by channel and along it, lies in its declared order. */
static int64_t declared_place(const QuantPlan *q, int64_t k) {
    int64_t stride[MAX_RANK], at = 0, step = 1;
    for (int i = q->declared.rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= size_value(q->declared.dim[i]);
    }
    for (int i = q->n_summed + q->n_channels - 1; i >= 0; i--) {
        int axis = i < q->n_channels ? q->channel[i] : q->summed[i - q->n_channels];
        int64_t n = size_value(q->declared.dim[axis]);
        at += k % n * stride[axis];
        k /= n;
    }
    return at;
}

static bool declared_in_order(const QuantPlan *q) {
    for (int i = 0; i < q->declared.rank; i++)
        if ((i < q->n_channels ? q->channel[i] : q->summed[i - q->n_channels]) != i) return false;
    return true;
}

static void measure(Quantized *m, const QuantPlan *q, const float *rows, const Tensor *values, int64_t n) {
    int64_t stored = values->count / n; /* of a row: with what groups are filled up with */
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < q->length; k++) {
            double w = rows[i * q->length + k], v = values->f[i * stored + k];
            m->signal += w * w;
            m->kept += v * v;
            m->both += w * v;
            m->error += (w - v) * (w - v);
        }
    }
}

/* Rows of channels from `first` on, as a graph of their own; its results in their places of codes and scales. */
static void convert_chunk(Program *p, const QuantPlan *q, const float *w, int64_t first, int64_t n, char *codes,
                          char *scales, Quantized *m) {
    Arena *arena = arena_new();
    Graph *g = graph_new(arena, p);
    size_t bytes = sizeof(float) * (size_t)(n * q->length);
    float *rows = arena_alloc(arena, bytes);
    if (declared_in_order(q)) memcpy(rows, w + first * q->length, bytes);
    else
        for (int64_t k = 0; k < n * q->length; k++) rows[k] = w[declared_place(q, first * q->length + k)];
    Node *in = node_leaf(g, OP_TENSOR, &(Attrs){.data = rows}, type_of(DT_F32, 2, (Size[]){whole(g, n), whole(g, q->length)}));
    Node *out[2];
    quantize_encode(g, q, in, &out[0], &out[1]);
    graph_result(g, "codes", out[0]);
    graph_result(g, "scales", out[1]);
    Eval e = {.arena = arena, .program = p};
    if (m) graph_result(g, "values", quantize_decode(g, q, out[0], out[1]));
    Tensor *result[3];
    if (!eval_graph(&e, g, result)) bug("quantizing %s: %s", q->slot->path, e.error ? e.error : "it fails");
    int64_t codes_row = result[0]->count / n * dtype_bytes(result[0]->dtype);
    int64_t scales_row = result[1]->count / n * dtype_bytes(result[1]->dtype);
    tensor_to_bytes(result[0], codes + first * codes_row);
    tensor_to_bytes(result[1], scales + first * scales_row);
    if (m) measure(m, q, rows, result[2], n);
    arena_free(arena);
}

static int64_t slot_bytes(const Graph *g, const Slot *s) {
    return size_value(type_count(g, &s->type)) * dtype_bytes(s->type.dtype);
}

void quantize_values(Program *p, const QuantPlan *q) {
    Quantized said = {.path = q->slot->path, .scheme = q->scheme, .group = q->group};
    said.before = q->channels * q->length * (int64_t)sizeof(float);
    said.after = slot_bytes(p->init, q->slot) + slot_bytes(p->init, q->scale);
    said.measured = q->slot->data && p->measure_quantized;
    initial_values(p, q);
    PUSH(p->arena, p->quantized, said);
    if (!q->slot->data) return;
    Quantized *m = said.measured ? &p->quantized.at[p->quantized.n - 1] : NULL;
    char *codes = arena_alloc(p->arena, (size_t)slot_bytes(p->init, q->slot));
    char *scales = arena_alloc(p->arena, (size_t)slot_bytes(p->init, q->scale));
    int64_t rows = CHUNK / q->length + 1;
    for (int64_t first = 0; first < q->channels; first += rows) {
        int64_t n = q->channels - first < rows ? q->channels - first : rows;
        convert_chunk(p, q, q->slot->data, first, n, codes, scales, m);
    }
    q->slot->data = codes;
    q->scale->data = scales;
}
