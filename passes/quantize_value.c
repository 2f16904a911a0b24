/* quantize_value.c -- the formats of quantized weights, as formulas of the graph; and weights brought into them.
 *
 * Rounding is to nearest. int8: the largest magnitude of a channel or group becomes 127. int4: the element of the largest magnitude
 * becomes code 0, that is -8 times the scale, which may be negative: so all 16 codes are used. nf4 (Dettmers et al., QLoRA, 2023): the
 * largest magnitude becomes 1, and the 16 values are quantiles of the normal distribution. fp8: it becomes 448, the largest number of
 * f8e4m3 (Micikevicius et al., FP8 formats for deep learning, 2022). */
#include "passes/quantize.h"

#include "ir/op.h"

#include <math.h>
#include <string.h>

#define F16_MOST 65504.0
#define FP8_MOST 448.0
#define RANGE_LEAST 1e-30 /* 255 divided by it is finite */
#define CHUNK    (1 << 18) /* elements converted at once: the interpreter keeps every intermediate value as a double */

/* Table of nf4, as bitsandbytes has it. */
static const double NF4[16] = {-1.0,
                               -0.6961928009986877,
                               -0.5250730514526367,
                               -0.39491748809814453,
                               -0.28444138169288635,
                               -0.18477343022823334,
                               -0.09105003625154495,
                               0.0,
                               0.07958029955625534,
                               0.16093020141124725,
                               0.24611230194568634,
                               0.33791524171829224,
                               0.44070982933044434,
                               0.5626170039176941,
                               0.7229568362236023,
                               1.0};

static Size whole(const Graph *g, int64_t n) { return size_const(g->program->sizes, n); }

static Node *filled(Graph *g, const Node *like, double x) { return node_const(g, like->type, x); }

/* x[n] along rows of f32[n, length]. */
static Node *along_rows(Graph *g, Node *x, const Node *rows) {
    Size dim[2] = {rows->type.dim[0], whole(g, 1)};
    return node_expand_like(g, node_reshape(g, x, 2, dim), (Node *)rows);
}

/* The scale as it is stored: f32 of a channel, f16 of a group. */
static Node *stored_scale(Graph *g, const QuantPlan *q, Node *scale) {
    if (!q->group) return scale;
    scale = node_map3(g, OP_CLAMP, scale, filled(g, scale, -F16_MOST), filled(g, scale, F16_MOST));
    return node_cast(g, scale, DT_F16);
}

/* x in units of a stored scale, along its rows or one a row; of the scale 0: as it is. */
static Node *in_units(Graph *g, Node *x, Node *scale) {
    Node *unit = node_cast(g, scale, DT_F32), *zero = filled(g, unit, 0);
    unit = node_map3(g, OP_WHERE, node_map2(g, OP_EQ, unit, zero), filled(g, unit, 1), unit);
    return node_map2(g, OP_DIV, x, x->type.rank == unit->type.rank ? unit : along_rows(g, unit, x));
}

static Node *rounded(Graph *g, Node *x) { return node_map1(g, OP_ROUND, x); }

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

/* The place of x, in units of the largest magnitude, in the table: how many middles between its values lie below. */
static Node *in_table(Graph *g, Node *x) {
    Node *place = filled(g, x, 0);
    for (int i = 0; i < 15; i++) {
        Node *above = node_map2(g, OP_GT, x, filled(g, x, 0.5 * (NF4[i] + NF4[i + 1])));
        place = node_map2(g, OP_ADD, place, node_cast(g, above, DT_F32));
    }
    return place;
}

/* Codes from the least element (or 0) to the largest (or 0), where a zero point says which of them is 0. */
static Stored encode_span(Graph *g, const QuantPlan *q, Node *w) {
    double steps = q->scheme == QUANT_INT8 ? 255 : 15;
    int last = 1;
    Stored s;
    Node *high = node_reduce(g, REDUCE_MAX, w, 1, &last), *low = node_reduce(g, REDUCE_MIN, w, 1, &last);
    low = node_map2(g, OP_MIN, low, filled(g, low, 0));
    high = node_map2(g, OP_MAX, high, filled(g, high, 0));
    s.scales = stored_scale(g, q, node_map2(g, OP_DIV, node_map2(g, OP_SUB, high, low), filled(g, low, steps)));
    Node *zero = in_range(g, rounded(g, in_units(g, node_map1(g, OP_NEG, low), s.scales)), 0, steps);
    s.zeros = node_cast(g, zero, DT_U8);
    Node *x = node_map2(g, OP_ADD, rounded(g, in_units(g, w, s.scales)), along_rows(g, zero, w));
    x = in_range(g, x, 0, steps);
    s.codes = q->scheme == QUANT_INT8 ? node_cast(g, x, DT_U8) : in_bytes(g, x, q->group);
    return s;
}

/* The element of the largest magnitude becomes code 0. */
static Stored encode_int4(Graph *g, const QuantPlan *q, Node *w) {
    int last = 1;
    Stored s = {0};
    Node *high = node_reduce(g, REDUCE_MAX, w, 1, &last), *low = node_reduce(g, REDUCE_MIN, w, 1, &last);
    Node *up = node_map2(g, OP_GT, high, node_map1(g, OP_NEG, low)), *largest = node_map3(g, OP_WHERE, up, high, low);
    s.scales = stored_scale(g, q, node_map2(g, OP_DIV, largest, filled(g, largest, -8)));
    Node *x = rounded(g, in_units(g, w, s.scales));
    s.codes = in_bytes(g, in_range(g, node_map2(g, OP_ADD, x, filled(g, x, 8)), 0, 15), q->group);
    return s;
}

/* The largest magnitude of each row, or of all rows for each. */
static Node *largest_of(Graph *g, const QuantPlan *q, Node *w) {
    int axes[2] = {0, 1};
    if (q->largest != 0) return node_const(g, type_of(DT_F32, 1, w->type.dim), (double)q->largest);
    Node *x = node_map1(g, OP_ABS, w);
    if (!q->one_scale) return node_reduce(g, REDUCE_MAX, x, 1, axes + 1);
    Size one = whole(g, 1);
    return node_expand(g, node_reshape(g, node_reduce(g, REDUCE_MAX, x, 2, axes), 1, &one), 1, w->type.dim);
}

Stored quantize_encode(Graph *g, const QuantPlan *q, Node *w) {
    Stored s = {0};
    if (q->group) w = in_groups(g, q, w);
    if (q->zero_point) return encode_span(g, q, w);
    if (q->scheme == QUANT_INT4) return encode_int4(g, q, w);
    Node *largest = largest_of(g, q, w);
    if (q->scheme == QUANT_INT8) {
        s.scales = stored_scale(g, q, node_map2(g, OP_DIV, largest, filled(g, largest, 127)));
        s.codes = node_cast(g, rounded(g, in_range(g, in_units(g, w, s.scales), -127, 127)), DT_I8);
        return s;
    }
    if (q->scheme == QUANT_FP8) {
        s.scales = stored_scale(g, q, node_map2(g, OP_DIV, largest, filled(g, largest, FP8_MOST)));
        s.codes = node_cast(g, in_units(g, w, s.scales), DT_F8E4M3);
        return s;
    }
    s.scales = stored_scale(g, q, largest);
    s.codes = in_bytes(g, in_table(g, in_units(g, w, s.scales)), q->group);
    return s;
}

/* x as whole numbers from 0 to 255 in f32, near (x - low) * 255 / range of its row. */
static Node *row_units(Graph *g, Node *x, int n, const int *axes, Node **low, Node **scales) {
    Node *high = node_reduce(g, REDUCE_MAX, x, n, axes);
    *low = node_reduce(g, REDUCE_MIN, x, n, axes);
    Node *range = node_map2(g, OP_SUB, high, *low);
    range = node_map2(g, OP_MAX, range, filled(g, range, RANGE_LEAST));
    *scales = node_map2(g, OP_DIV, range, filled(g, range, 255));
    Node *units = node_map2(g, OP_DIV, filled(g, range, 255), range); /* one division a row */
    Node *above = node_map2(g, OP_SUB, x, node_unreduce(g, *low, x, n, axes));
    return node_map1(g, OP_ROUND, node_map2(g, OP_MUL, above, node_unreduce(g, units, x, n, axes)));
}

void quantize_rows(Graph *g, Node *x, int n, const int *axes, Node **codes, Node **scales, Node **offsets) {
    Node *low, *above = row_units(g, x, n, axes, &low, scales);
    *offsets = node_map2(g, OP_ADD, low, node_map2(g, OP_MUL, *scales, filled(g, low, 128)));
    *codes = node_cast(g, node_map2(g, OP_SUB, above, filled(g, above, 128)), DT_I8);
}

void quantize_rows_unsigned(Graph *g, Node *x, int n, const int *axes, Node **codes, Node **scales, Node **offsets) {
    *codes = node_cast(g, row_units(g, x, n, axes, offsets, scales), DT_U8);
}

/* Sums of what is stored for rows, as the slot holds them: f32[rows]. Of codes[rows, length] exact for up to 132,104 of them; of groups
 * [rows, G, ..] of their values. */
static Node *sums_of(Graph *g, const QuantPlan *q, Stored s) {
    int axes[MAX_RANK] = {1, 2, 3};
    if (q->group) {
        Node *values = quantize_decode(g, q, s);
        return node_reduce(g, REDUCE_SUM, values, values->type.rank - 1, axes);
    }
    Node *sums = node_cast(g, node_reduce(g, REDUCE_SUM, node_cast(g, s.codes, DT_I32), 1, axes), DT_F32);
    return q->is_static ? node_map2(g, OP_MUL, sums, filled(g, sums, q->input.zero)) : sums;
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

/* table[code] of codes from `first` on, n of them. */
static Node *from_table(Graph *g, Node *code, int first, int n) {
    if (n == 1) return filled(g, code, NF4[first]);
    int middle = first + n / 2;
    Node *below = node_map2(g, OP_LT, code, filled(g, code, middle));
    return node_map3(g, OP_WHERE, below, from_table(g, code, first, n / 2), from_table(g, code, middle, n / 2));
}

/* One number a group beside codes [..., G, g] or [..., G, 2, g/2], as f32. */
static Node *along_groups(Graph *g, const QuantPlan *q, Node *x) {
    bool halves = quantize_halves(q);
    if (halves) x = repeated(g, x, false, whole(g, 2));
    return node_cast(g, repeated(g, x, false, whole(g, halves ? q->group / 2 : q->group)), DT_F32);
}

/* The scale of each element, of the shape of the values. */
static Node *scale_of_each(Graph *g, const QuantPlan *q, Stored s) {
    if (q->group) return along_groups(g, q, s.scales);
    Size dim[MAX_RANK];
    for (int i = 0; i < s.codes->type.rank; i++) dim[i] = i < s.scales->type.rank ? s.codes->type.dim[i] : whole(g, 1);
    return node_expand_like(g, node_reshape(g, s.scales, s.codes->type.rank, dim), s.codes);
}

Node *quantize_decode(Graph *g, const QuantPlan *q, Stored s) {
    Node *codes = s.codes, *scale = scale_of_each(g, q, s);
    if (!q->group) return node_map2(g, OP_MUL, node_cast(g, codes, DT_F32), scale);
    if (quantize_halves(q)) {
        codes = repeated(g, codes, true, whole(g, 2));
        Node *place = node_leaf(g, OP_IOTA, &(Attrs){.axis = codes->type.rank - 2}, codes->type);
        codes = node_map2(g, OP_NIBBLE, codes, place);
    }
    Node *x = node_cast(g, codes, DT_F32);
    if (q->scheme == QUANT_NF4) x = from_table(g, x, 0, 16);
    else if (s.zeros) x = node_map2(g, OP_SUB, x, along_groups(g, q, s.zeros));
    else if (q->scheme == QUANT_INT4) x = node_map2(g, OP_SUB, x, filled(g, x, 8));
    return node_map2(g, OP_MUL, x, scale);
}

/* ---- the values of a slot ------------------------------------------------------------------------------------------------ */

/* The weight as f32[channels, length]. */
static Node *in_rows(Graph *g, const QuantPlan *q, Node *w) {
    int order[MAX_RANK], n = 0;
    for (int i = 0; i < q->n_channels; i++) order[n++] = q->channel[i];
    for (int i = 0; i < q->n_summed; i++) order[n++] = q->summed[i];
    Size dim[2] = {whole(g, q->channels), whole(g, q->length)};
    w = node_reshape(g, w, q->declared.rank, q->declared.dim);
    return node_reshape(g, node_permute(g, w, order), 2, dim);
}

/* Codes, scales and zeros of groups, counted through, as [channels, G, ..]. */
static Stored by_channels(Graph *g, const QuantPlan *q, Stored s) {
    Size grouped[3] = {whole(g, q->channels), whole(g, q->groups), s.codes->type.dim[1]};
    s.codes = node_reshape(g, s.codes, 3, grouped);
    s.scales = node_reshape(g, s.scales, 2, grouped);
    if (s.zeros) s.zeros = node_reshape(g, s.zeros, 2, grouped);
    return s;
}

Node *quantize_spread(Graph *g, Node *number, const Node *x) {
    Size ones[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) ones[i] = whole(g, 1);
    return node_expand(g, node_reshape(g, number, x->type.rank, ones), x->type.rank, x->type.dim);
}

/* f32[channels, length], or codes of that shape, with the axes of the slot, which stays what it is. */
static Node *as_declared(Graph *g, const QuantPlan *q, Node *x) {
    Size dim[MAX_RANK];
    int place[MAX_RANK], n = 0;
    for (int i = 0; i < q->n_channels; i++, n++) place[q->channel[i]] = n, dim[n] = q->declared.dim[q->channel[i]];
    for (int i = 0; i < q->n_summed; i++, n++) place[q->summed[i]] = n, dim[n] = q->declared.dim[q->summed[i]];
    return node_reshape(g, node_permute(g, node_reshape(g, x, n, dim), place), q->slot->type.rank, q->slot->type.dim);
}

Node *quantize_fake(Graph *g, const QuantPlan *q, Node *w) {
    Size zero[2] = {whole(g, 0), whole(g, 0)}, kept[2] = {whole(g, q->channels), whole(g, q->length)};
    Stored s = quantize_encode(g, q, in_rows(g, q, w));
    if (q->group) s = by_channels(g, q, s);
    Node *x = quantize_decode(g, q, s);
    if (q->group) {
        Size rows[2] = {whole(g, q->channels), whole(g, q->groups * q->group)};
        x = node_slice(g, node_reshape(g, x, 2, rows), zero, kept);
    }
    return as_declared(g, q, x);
}

Stored quantize_fake_codes(Graph *g, const QuantPlan *q, Node *w) {
    Size dim[MAX_RANK];
    for (int i = 0; i < q->n_channels; i++) dim[i] = q->declared.dim[q->channel[i]];
    Stored s = quantize_encode(g, q, in_rows(g, q, w));
    s.sums = node_reshape(g, sums_of(g, q, s), q->n_channels, dim);
    s.scales = node_reshape(g, s.scales, q->n_channels, dim);
    s.codes = as_declared(g, q, s.codes);
    return s;
}

static void store_initial(Graph *g, const Slot *slot, Node *value, Loc loc) {
    Effect store = {.kind = EFFECT_STORE, .index = slot->index, .loc = loc};
    store.value = node_reshape(g, value, slot->type.rank, slot->type.dim);
    graph_effect(g, store);
}

static void initial_values(Program *p, const QuantPlan *q) {
    Graph *g = p->init;
    for (int i = 0; i < g->effects.n; i++) {
        Effect *e = &g->effects.at[i];
        if (e->kind != EFFECT_STORE || e->index != q->slot->index) continue;
        rewrite_at(g, e->value);
        Stored s = quantize_encode(g, q, in_rows(g, q, e->value));
        e->value = node_reshape(g, s.codes, q->slot->type.rank, q->slot->type.dim);
        Loc loc = e->loc;
        store_initial(g, q->scale, s.scales, loc);
        if (q->zero) store_initial(g, q->zero, s.zeros, loc);
        if (q->sum) store_initial(g, q->sum, sums_of(g, q, q->group ? by_channels(g, q, s) : s), loc);
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

/* Half a step and what rounding a scale to f16 may add: beyond that, an element is clipped. */
#define BEYOND_ROUNDING 0.51

static void measure(Quantized *m, const QuantPlan *q, const float *rows, const Tensor *values, const Tensor *scales, int64_t n) {
    int64_t stored = values->count / n; /* of a row: with what groups are filled up with */
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < q->length; k++) {
            double w = rows[i * q->length + k], v = values->f[i * stored + k];
            m->signal += w * w;
            m->kept += v * v;
            m->both += w * v;
            m->error += (w - v) * (w - v);
            if (fabs(w - v) > BEYOND_ROUNDING * fabs(scales->f[i * stored + k])) m->clipped++;
            if (m->count == 0 || w < m->least) m->least = w;
            if (m->count == 0 || w > m->most) m->most = w;
            m->count++;
        }
    }
}

/* Evaluates a graph of its own; results[] in order. */
static void evaluate(Program *p, const QuantPlan *q, Graph *g, Tensor **results) {
    Eval e = {.arena = g->arena, .program = p};
    if (!eval_graph(&e, g, results)) bug("quantizing %s: %s", q->slot->path, e.error ? e.error : "it fails");
}

/* What a slot stores for n rows, as a node of a graph. */
static Node *stored_rows(Graph *g, const Slot *slot, const QuantPlan *q, const char *bytes, int64_t n) {
    Size dim[MAX_RANK];
    int rank = slot->type.rank - q->n_channels + 1;
    dim[0] = whole(g, n);
    for (int i = 1; i < rank; i++) dim[i] = slot->type.dim[q->n_channels + i - 1];
    return node_leaf(g, OP_TENSOR, &(Attrs){.data = bytes}, type_of(slot->type.dtype, rank, dim));
}

/* A slot's bytes, and how many of them a channel has. */
typedef struct Bytes {
    char *at;
    int64_t row;
} Bytes;

static Bytes bytes_new(Program *p, const QuantPlan *q, const Slot *s) {
    if (!s) return (Bytes){0};
    int64_t bytes = size_value(type_count(p->init, &s->type)) * dtype_bytes(s->type.dtype);
    return (Bytes){arena_alloc(p->arena, (size_t)bytes), bytes / q->channels};
}

static void code_sums(const QuantPlan *q, const char *codes, float *sums) {
    for (int64_t i = 0; i < q->channels; i++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < q->length; k++) sum += (int8_t)codes[i * q->length + k];
        sums[i] = (float)sum * (q->is_static ? (float)q->input.zero : 1);
    }
}

/* The sums beside what is stored for all channels. */
static const float *stored_sums(Program *p, const QuantPlan *q, const Bytes *from) {
    const Slot *slot[3] = {q->slot, q->scale, q->zero};
    float *sums = NEW_ARRAY(p->arena, float, q->channels);
    int64_t rows = CHUNK / q->length + 1;
    if (!q->group) {
        code_sums(q, from[0].at, sums);
        return sums;
    }
    for (int64_t first = 0; first < q->channels; first += rows) {
        int64_t n = q->channels - first < rows ? q->channels - first : rows;
        Arena *arena = arena_new();
        Graph *g = graph_new(arena, p);
        Node *part[3] = {NULL};
        Tensor *result;
        for (int i = 0; i < 3 && slot[i]; i++) part[i] = stored_rows(g, slot[i], q, from[i].at + first * from[i].row, n);
        graph_result(g, "sums", sums_of(g, q, (Stored){part[0], part[1], part[2], NULL}));
        evaluate(p, q, g, &result);
        for (int64_t i = 0; i < n; i++) sums[first + i] = (float)result->f[i];
        arena_free(arena);
    }
    return sums;
}

/* Rows of channels from `first` on, as a graph of their own; its results in their places of codes, scales and zeros. */
static void convert_chunk(Program *p, const QuantPlan *q, const float *w, int64_t first, int64_t n, const Bytes *to, const Gptq *gptq,
                          Quantized *m) {
    Arena *arena = arena_new();
    Graph *g = graph_new(arena, p);
    size_t bytes = sizeof(float) * (size_t)(n * q->length);
    float *rows = arena_alloc(arena, bytes);
    if (declared_in_order(q)) memcpy(rows, w + first * q->length, bytes);
    else
        for (int64_t k = 0; k < n * q->length; k++) rows[k] = w[declared_place(q, first * q->length + k)];
    Node *in = node_leaf(g, OP_TENSOR, &(Attrs){.data = rows}, type_of(DT_F32, 2, (Size[]){whole(g, n), whole(g, q->length)}));
    Stored s = quantize_encode(g, q, in);
    Node *parts[3] = {s.codes, s.scales, s.zeros};
    Tensor *result[3] = {NULL};
    for (int i = 0; i < 3 && parts[i]; i++) graph_result(g, "part", parts[i]);
    evaluate(p, q, g, result);
    if (gptq) quantize_gptq(gptq, q, rows, n, result[0], result[1], result[2]);
    for (int i = 0; i < 3 && parts[i]; i++) tensor_to_bytes(result[i], to[i].at + first * to[i].row);
    if (m) {
        Graph *back = graph_new(arena, p);
        const Slot *slot[3] = {q->slot, q->scale, q->zero};
        Node *in_back[3] = {NULL};
        for (int i = 0; i < 3 && slot[i]; i++) in_back[i] = stored_rows(back, slot[i], q, to[i].at + first * to[i].row, n);
        Stored stored = {in_back[0], in_back[1], in_back[2], NULL};
        graph_result(back, "values", quantize_decode(back, q, stored));
        graph_result(back, "scales", scale_of_each(back, q, stored));
        evaluate(p, q, back, result);
        measure(m, q, rows, result[0], result[1], n);
    }
    arena_free(arena);
}

/* Of n values; a NaN if there is one. */
static float largest_magnitude(const float *w, int64_t n) {
    float largest = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(w[i]) <= largest) && !isnan(largest)) largest = fabsf(w[i]);
    return largest;
}

void quantize_values(Program *p, const QuantPlan *q) {
    const Slot *slot[3] = {q->slot, q->scale, q->zero};
    Bytes to[3];
    const Observed *seen = q->gptq ? program_observed(p, observed_path(p->arena, q->slot->path)) : NULL;
    Quantized said = {.path = q->slot->path, .scheme = q->scheme, .group = q->group, .one_scale = q->one_scale,
                      .zero_point = q->zero_point, .activations = q->activations};
    said.gptq = seen && seen->gram && seen->length == q->length && q->slot->data;
    said.before = q->channels * q->length * (int64_t)sizeof(float);
    said.measured = q->slot->data && p->measure_quantized;
    initial_values(p, q);
    for (int i = 0; i < 3; i++) {
        to[i] = bytes_new(p, q, slot[i]);
        said.after += to[i].row * q->channels;
    }
    if (q->sum) said.after += q->channels * (int64_t)sizeof(float);
    PUSH(p->arena, p->quantized, said);
    if (!q->slot->data) return;
    Quantized *m = said.measured ? &p->quantized.at[p->quantized.n - 1] : NULL;
    Gptq *gptq = said.gptq ? gptq_new(q, seen->gram) : NULL;
    int64_t rows = CHUNK / q->length + 1;
    QuantPlan known = *q;
    if (q->one_scale) known.largest = largest_magnitude(q->slot->data, q->channels * q->length);
    for (int64_t first = 0; first < q->channels; first += rows) {
        int64_t n = q->channels - first < rows ? q->channels - first : rows;
        convert_chunk(p, &known, q->slot->data, first, n, to, gptq, m);
    }
    gptq_free(gptq);
    q->slot->data = to[0].at;
    q->scale->data = to[1].at;
    if (q->zero) q->zero->data = to[2].at;
    if (q->sum) q->sum->data = stored_sums(p, q, to);
}
