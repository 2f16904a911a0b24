/* fake_input.c -- training where products will take codes on both sides: they do so now, of a range that training follows.
 *
 *   %y: f32[b, 32] = contract %x[m k], %v[k n] -> [m n]
 *   →   %r: f32[2] = slot net.input.range, moved to what %x spans                    (in entries that train)
 *       %u: i8[b, 16] = clamp(round(%x * (1 / t)) + z)        t, z: of %r, as quantize_static.c has them
 *       %p: i32[b, 32] = contract %u[m k], %c[k n] -> [m n]     %c: the codes of the weight
 *       %q: f32[b, 32] = ((cast %p) - z * (sums of %c)) * scales * t
 *       %y: f32[b, 32] = custom %q, (contract %h[m k], %s[k n] -> [m n])
 *
 * %q is what the product of the deployed program is, to the bit: where %x is made of sums of codes, the same fixed point makes its codes
 * (quantize_fixed.c, with factors that only the running program knows), and what these stand for is what everything reads from there on.
 * %h is what %u stands for, with the gradient of %x where that lies in the range, %s likewise of the weight: so gradients are those of a
 * product of floats, which itself is not computed.
 *
 * A range that an optimizer stores is learned (LSQ: Esser et al., 2020): beyond it gradients go to its ends; within, with t = (hi - lo) / 255,
 * %u * t - %x is what a larger step would change, times 1 / t. They are divided by the root of 127 times the elements of %x. It begins as others do:
 *
 * The range begins with what the first call sees, and moves by a hundredth of the way with each that follows (as PyTorch's
 * MovingAverageMinMaxObserver), to all that products of the weight have met in it; one with a NaN or an infinity does not move it. 0, 0: nothing
 * was seen, which t = 1 stands for.
 *
 * Sums and means in front of products become sums of codes likewise, of `net.pooled.range` (quantize_pool.c). */
#include "passes/fake.h"
#include "passes/layout.h"

#include "ir/op.h"

#include <stdlib.h>
#include <string.h>

#define RATE 0.01

typedef struct Step { /* f32, of rank 0 */
    Node *scale, *per_step, *zero, *low, *high; /* low, high: what the codes at the ends stand for, half a step further */
    Node *first, *last; /* the ends of a learned range, where gradients go; else NULL */
} Step;

static Size whole(const Graph *g, int64_t n) { return size_const(g->program->sizes, n); }

static Node *filled(Graph *g, const Node *like, double x) { return node_const(g, like->type, x); }

/* ---- ranges -------------------------------------------------------------------------------------------------------------- */

/* NULL: there is none. */
static const Slot *range_slot(const Program *p, const char *observed) {
    const char *path = range_path(p->arena, observed);
    for (int i = 0; i < p->slots.n; i++)
        if (!strcmp(p->slots.at[i]->path, path)) return p->slots.at[i];
    return NULL;
}

/* What x spans, with 0: f32[2]. */
static Node *span(Graph *g, Node *x) {
    static const int axes[MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    Node *low = node_reduce(g, REDUCE_MIN, x, x->type.rank, axes), *high = node_reduce(g, REDUCE_MAX, x, x->type.rank, axes), *both[2];
    Size one = whole(g, 1);
    both[0] = node_reshape(g, node_map2(g, OP_MIN, low, filled(g, low, 0)), 1, &one);
    both[1] = node_reshape(g, node_map2(g, OP_MAX, high, filled(g, high, 0)), 1, &one);
    return graph_add(g, OP_CONCAT, &(Attrs){.axis = 0}, 2, both);
}

/* Of all that f32[n] has: is it 0 (or a NaN)? */
static Node *is_zero(Graph *g, Node *x) {
    static const int first = 0;
    Node *most = node_reduce(g, REDUCE_MAX, node_map1(g, OP_ABS, x), 1, &first);
    return quantize_spread(g, node_map2(g, OP_EQ, most, filled(g, most, 0)), x);
}

/* `first` where the range is still 0, else `next`; the range where what was seen is not finite. */
static Node *followed(Graph *g, Node *range, Node *seen, Node *next) {
    next = node_map3(g, OP_WHERE, is_zero(g, range), seen, next);
    return node_map3(g, OP_WHERE, is_zero(g, node_map2(g, OP_SUB, seen, seen)), next, range);
}

static Node *moved(Graph *g, Node *range, Node *seen) {
    Node *way = node_map2(g, OP_SUB, seen, range);
    return followed(g, range, seen, node_map2(g, OP_ADD, range, node_map2(g, OP_MUL, way, filled(g, way, RATE))));
}

static const Effect *store_of(const Graph *g, const Slot *s) {
    for (int i = 0; i < g->effects.n; i++)
        if (g->effects.at[i].kind == EFFECT_STORE && g->effects.at[i].index == s->index) return &g->effects.at[i];
    return NULL;
}

static Node *end_of(Graph *g, Node *range, int i) {
    Size from = whole(g, i), to = whole(g, i + 1);
    return node_reshape(g, node_slice(g, range, &from, &to), 0, NULL);
}

/* The ends of range, whose gradients are those of all of x, in LSQ's measure. */
static void learn(Graph *g, Step *s, Node *range, const Node *x) {
    Node *n = node_leaf(g, OP_SIZE, &(Attrs){.extent = type_product(g, &x->type, 0, x->type.rank)}, type_scalar(DT_I64));
    n = node_cast(g, n, DT_F32);
    Node *part = node_map1(g, OP_RSQRT, node_map2(g, OP_MUL, n, filled(g, n, 127)));
    s->first = node_map2(g, OP_MUL, end_of(g, range, 0), part);
    s->last = node_map2(g, OP_MUL, end_of(g, range, 1), part);
}

/* What two ranges span. */
static Node *both(Graph *g, Node *a, Node *b) {
    Node *end[2];
    for (int i = 0; i < 2; i++) {
        Size from = whole(g, i), to = whole(g, i + 1);
        end[i] = node_map2(g, i ? OP_MAX : OP_MIN, node_slice(g, a, &from, &to), node_slice(g, b, &from, &to));
    }
    return graph_add(g, OP_CONCAT, &(Attrs){.axis = 0}, 2, end);
}

/* The range of a slot, which was `range` when the entry began: it moves once a call, to all that is seen of it until then. */
static Node *next_range(FakePass *f, const Slot *slot, Node *range, Node *x, bool learned) {
    Graph *g = f->r.to;
    if (!f->entry->train) return range;
    Node **seen = &f->seen[slot->index], *now = node_map1(g, OP_STOP, span(g, x));
    *seen = *seen ? both(g, *seen, now) : now;
    return learned ? followed(g, range, *seen, range) : node_map1(g, OP_STOP, moved(g, range, *seen));
}

/* The step of a range that is a slot, now that x is met. */
static Step step_of(FakePass *f, const Slot *slot, Node *x) {
    Graph *g = f->r.to;
    Node **range = &f->range[slot->index], **leaf = &f->leaf[slot->index];
    bool learned = store_of(f->r.from, slot) != NULL;
    if (!*leaf) *leaf = node_leaf(g, OP_SLOT, &(Attrs){.index = slot->index, .name = slot->path}, slot->type);
    *range = next_range(f, slot, *leaf, x, learned);
    Step s = {0};
    if (learned) learn(g, &s, *range, x);
    Node *now = learned ? node_map1(g, OP_STOP, *range) : *range;
    Node *low = end_of(g, now, 0), *high = end_of(g, now, 1), *zero = filled(g, low, 0);
    low = node_map2(g, OP_MIN, low, zero); /* which a learned range may have left */
    Node *width = node_map2(g, OP_SUB, node_map2(g, OP_MAX, high, zero), low);
    Node *t = node_map2(g, OP_DIV, width, filled(g, width, 255)), *one = filled(g, t, 1);
    s.scale = node_map3(g, OP_WHERE, node_map2(g, OP_GT, t, zero), t, one);
    s.per_step = node_map2(g, OP_DIV, one, s.scale);
    Node *z = node_map1(g, OP_ROUND, node_map2(g, OP_DIV, node_map1(g, OP_NEG, low), s.scale));
    z = node_map2(g, OP_SUB, z, filled(g, z, 128));
    s.zero = node_map3(g, OP_CLAMP, z, filled(g, z, -128), filled(g, z, 127));
    s.low = node_map2(g, OP_MUL, node_map2(g, OP_SUB, filled(g, z, -128.5), s.zero), s.scale);
    s.high = node_map2(g, OP_MUL, node_map2(g, OP_SUB, filled(g, z, 127.5), s.zero), s.scale);
    return s;
}

static Step step_of_input(FakePass *f, const QuantPlan *q, Node *x) {
    const char *path = observed_path(f->r.to->arena, q->slot->path);
    const Slot *slot = range_slot(f->r.to->program, path);
    if (!slot) bug("there is no range of %s", path);
    return step_of(f, slot, x);
}

static int by_slot(const void *a, const void *b) {
    const Effect *x = a, *y = b;
    bool last_x = x->kind == EFFECT_STORE || x->kind == EFFECT_RESET, last_y = y->kind == EFFECT_STORE || y->kind == EFFECT_RESET;
    return last_x && last_y ? (x->index > y->index) - (x->index < y->index) : last_x - last_y;
}

void fake_store_ranges(FakePass *f) {
    Graph *g = f->r.to;
    for (int i = 0; i < g->program->slots.n; i++) {
        if (!f->range[i]) continue;
        const Slot *slot = g->program->slots.at[i];
        Effect *learned = (Effect *)store_of(g, slot);
        if (learned) { /* where it begins, an optimizer has nothing to change yet */
            learned->value = node_map3(g, OP_WHERE, is_zero(g, f->leaf[slot->index]), node_map1(g, OP_STOP, f->range[i]), learned->value);
            continue;
        }
        int at = g->effects.n;
        graph_effect(g, (Effect){.kind = EFFECT_STORE, .index = slot->index, .value = f->range[i], .loc = slot->loc});
        for (; at > 0 && by_slot(&g->effects.at[at - 1], &g->effects.at[at]) > 0; at--) { /* stores stand last, in the order of slots */
            Effect e = g->effects.at[at];
            g->effects.at[at] = g->effects.at[at - 1];
            g->effects.at[at - 1] = e;
        }
    }
}

/* ---- values and their codes ---------------------------------------------------------------------------------------------- */

static Node *codes_of(Graph *g, const Step *s, Node *x) {
    Node *u = node_map1(g, OP_ROUND, node_map2(g, OP_MUL, x, quantize_spread(g, s->per_step, x)));
    u = node_map2(g, OP_ADD, u, quantize_spread(g, s->zero, x));
    return node_cast(g, node_map3(g, OP_CLAMP, u, filled(g, u, -128), filled(g, u, 127)), DT_I8);
}

static QuantStep later(const Step *s) { return (QuantStep){.scale_later = s->scale, .zero_later = s->zero}; }

/* Has the gradients of what codes u of x stand for: x's within the range; beyond, and of steps that are too large or small, the range's. */
static Node *carrier_of(Graph *g, const Step *s, Node *u, Node *x) {
    Node *low = quantize_spread(g, s->low, x), *high = quantize_spread(g, s->high, x);
    if (!s->first) return node_map3(g, OP_CLAMP, x, low, high);
    Node *steps = node_map2(g, OP_SUB, u, quantize_spread(g, s->zero, x));
    Node *off = node_map2(g, OP_SUB, steps, node_map2(g, OP_MUL, x, quantize_spread(g, s->per_step, x)));
    Node *t = node_map2(g, OP_SUB, s->last, s->first);
    t = node_map2(g, OP_DIV, t, filled(g, t, 255));
    Node *within = node_map2(g, OP_ADD, x, node_map2(g, OP_MUL, node_map1(g, OP_STOP, off), quantize_spread(g, t, x)));
    Node *y = node_map3(g, OP_WHERE, node_map2(g, OP_LT, x, low), quantize_spread(g, s->first, x), within);
    return node_map3(g, OP_WHERE, node_map2(g, OP_GT, x, high), quantize_spread(g, s->last, x), y);
}

/* What codes u of x stand for, with gradients. */
static Node *decoded(Graph *g, const Step *s, Node *u, Node *x) {
    u = node_cast(g, u, DT_F32);
    Node *value = node_map2(g, OP_MUL, node_map2(g, OP_SUB, u, quantize_spread(g, s->zero, x)), quantize_spread(g, s->scale, x));
    return fake_through(g, value, carrier_of(g, s, u, x));
}

/* In fixed point where x is made of sums of codes: these codes are what everything reads from here on. */
static Held held_leaf(FakePass *f, const Step *s, Node *x) {
    Graph *g = f->r.to;
    Node *u = quantize_fixed(f->r.c->scratch, g, &f->coded, later(s), x);
    if (!u) return (Held){x, s->scale, x, codes_of(g, s, x)};
    Node *y = decoded(g, s, u, x);
    for (int k = 0; k < f->r.from->nodes.n; k++)
        if (f->r.map[k] == x) f->r.map[k] = y;
    PUSH(f->r.c->scratch, f->coded.codes, ((Coded){.x = y, .step = later(s), .codes = u, .from = CODES_EXACT}));
    return (Held){x, s->scale, y, u};
}

static bool passes_codes(Op op) {
    static const Op ops[] = {OP_RESHAPE, OP_PERMUTE, OP_EXPAND, OP_SLICE, OP_WINDOW, OP_REV, OP_PAD, OP_CONCAT, OP_WINDOW_TAKE, OP_WINDOW_ARGMAX};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (ops[i] == op) return true;
    return false;
}

static Held held(FakePass *f, const Step *s, Node *x);

/* Views, concatenations and poolings by the largest element hand out codes as they got them, so quantize_static.c makes codes below those. */
static Held held_below(FakePass *f, const Step *s, Node *x) {
    Node **in = NEW_ARRAY(f->r.c->scratch, Node *, x->n_in);
    bool changed = false;
    for (int i = 0; i < x->n_in; i++) {
        in[i] = x->in[i]->type.dtype == DT_F32 || x->in[i]->op == OP_WINDOW_ARGMAX ? held(f, s, x->in[i]).value : x->in[i];
        changed |= in[i] != x->in[i];
    }
    Node *y = changed ? graph_copy_node(f->r.to, x, in) : x;
    return (Held){x, s->scale, y, y->type.dtype == DT_F32 ? codes_of(f->r.to, s, y) : NULL};
}

static Held held(FakePass *f, const Step *s, Node *x) {
    for (int i = 0; i < f->held.n; i++)
        if (f->held.at[i].x == x && f->held.at[i].scale == s->scale) return f->held.at[i];
    Held h = passes_codes(x->op) ? held_below(f, s, x) : held_leaf(f, s, x);
    PUSH(f->r.c->scratch, f->held, h);
    if (h.codes) PUSH(f->r.c->scratch, f->coded.codes, ((Coded){.x = x, .step = later(s), .codes = h.codes}));
    return h;
}

static const Stored *stored_of(FakePass *f, const QuantPlan *q, const Node *n) {
    Stored *s = &f->stored[q->slot->index];
    while (n->op != OP_SLOT) n = n->in[0];
    if (!s->codes) *s = quantize_fake_codes(f->r.to, q, f->r.map[n->id]);
    return s;
}

/* (sums - zero * (sums of codes)) * scales * t; channels(x): f32[channels...] along the result. */
static Node *result_of(Graph *g, const Step *s, Node *sums, Node *of_codes, Node *scales) {
    Node *y = node_cast(g, sums, DT_F32);
    y = node_map2(g, OP_SUB, y, node_map2(g, OP_MUL, of_codes, quantize_spread(g, s->zero, y)));
    y = node_map2(g, OP_MUL, y, scales);
    return node_map2(g, OP_MUL, y, quantize_spread(g, s->scale, y));
}

/* y, the result with its gradients, is made of sums of codes, along one axis of it (-1: of several). */
static Node *noted(FakePass *f, const Step *s, Node *y, Node *sums, const Stored *w, int axis) {
    Graph *g = f->r.to;
    if (axis < 0) return y;
    Size n = y->type.dim[axis];
    Node *scales = node_reshape(g, w->scales, 1, &n), *zeros = node_reshape(g, w->sums, 1, &n);
    zeros = node_map2(g, OP_MUL, zeros, quantize_spread(g, s->zero, zeros));
    CodedSums made = {.x = y, .sums = sums, .axis = axis, .scales = scales, .corrections = zeros, .factor = 1, .later = s->scale};
    PUSH(f->r.c->scratch, f->coded.sums, made);
    return y;
}

/* x[channels...] of the weight that is operand k of product n, along its result. */
static Node *along_result(Graph *g, const QuantPlan *q, const Node *n, int k, Node *x) {
    char letter[MAX_RANK];
    const char *result = n->attrs.labels[2];
    int order[MAX_RANK], kept = 0;
    Size dim[MAX_RANK], ones[MAX_RANK];
    char letters[MAX_RANK + 1] = "";
    quantize_letters(NULL, n, k, letter);
    for (int i = 0; i < q->n_channels; i++) {
        if (!letter[q->channel[i]]) continue; /* of size 1 */
        dim[kept] = x->type.dim[i];
        letters[kept++] = letter[q->channel[i]];
    }
    x = node_reshape(g, x, kept, dim);
    int at = 0;
    for (int i = 0; result[i]; i++) {
        const char *in = strchr(letters, result[i]);
        ones[i] = in ? n->type.dim[i] : whole(g, 1);
        if (in) order[at++] = (int)(in - letters);
    }
    return node_expand(g, node_reshape(g, node_permute(g, x, order), n->type.rank, ones), n->type.rank, n->type.dim);
}

/* The one axis of product n along which the channels of its operand k, a weight, lie; -1: several. */
static int channel_axis(const Graph *g, const QuantPlan *q, const Node *n, int k) {
    char letter[MAX_RANK];
    int axis = -1;
    quantize_letters(NULL, n, k, letter);
    for (int i = 0; i < q->n_channels; i++) {
        char c = letter[q->channel[i]];
        if (!c || q->declared.dim[q->channel[i]] == whole(g, 1)) continue;
        if (axis >= 0) return -1;
        axis = (int)(strchr(n->attrs.labels[2], c) - n->attrs.labels[2]);
    }
    return axis;
}

Node *fake_product(FakePass *f, const QuantPlan *q, const Node *n, int k) {
    Graph *g = f->r.to;
    const char *const *labels = n->attrs.labels;
    Node *x = f->r.map[n->in[!k]->id], *w = fake_weight(f, n->in[k]);
    const Stored *stored = stored_of(f, q, n->in[k]);
    Step s = step_of_input(f, q, x);
    Held h = held(f, &s, x);
    Node *codes = fake_view(g, n->in[k], stored->codes);
    Node *sums = node_contract(g, h.codes, codes, labels[!k], labels[k], labels[2]);
    Node *y = result_of(g, &s, sums, along_result(g, q, n, k, stored->sums), along_result(g, q, n, k, stored->scales));
    y = fake_through(g, y, node_contract(g, decoded(g, &s, h.codes, h.value), w, labels[!k], labels[k], labels[2]));
    return noted(f, &s, y, sums, stored, channel_axis(g, q, n, k));
}

/* ---- convolutions: windows of codes, as the pass layout makes them --------------------------------------------------------- */

Node *fake_convolution(FakePass *f, const QuantPlan *q, const Node *n) {
    static const int last[4] = {0, 2, 3, 1}, second[4] = {0, 3, 1, 2};
    Graph *g = f->r.to;
    const Window *win = &n->attrs.window;
    Node *x = f->r.map[n->in[0]->id], *w = fake_weight(f, n->in[1]);
    const Stored *stored = stored_of(f, q, n->in[1]);
    Step s = step_of_input(f, q, x);
    Held h = held(f, &s, x);
    Node *u = codes_of(g, &s, conv_frame(g, node_permute(g, h.value, last), win, n->type.dim)); /* zeros round it have a code */
    Node *codes = fake_view(g, n->in[1], stored->codes);
    DType type = conv_is_depthwise(n->in[1], win) ? DT_I32 : DT_I8; /* a sum of maps, not of products */
    Node *sums = conv_y_framed(g, node_cast(g, u, type), node_cast(g, codes, type), win, n->type.dim);
    sums = node_permute(g, sums, second);
    Size dim[4] = {whole(g, 1), n->type.dim[1], whole(g, 1), whole(g, 1)};
    Node *of_codes = node_expand(g, node_reshape(g, stored->sums, 4, dim), 4, n->type.dim);
    Node *scales = node_expand(g, node_reshape(g, stored->scales, 4, dim), 4, n->type.dim);
    Node *y = result_of(g, &s, sums, of_codes, scales);
    y = fake_through(g, y, graph_copy_node(g, n, (Node *[]){decoded(g, &s, h.codes, h.value), w}));
    return noted(f, &s, y, sums, stored, size_is(n->type.dim[1], 1) ? -1 : 1);
}

/* ---- sums in front of products, as quantize_pool.c makes them -------------------------------------------------------------- */

/* Will all that x shows be codes without floats being rounded? */
static bool is_of_codes(FakePass *f, Node *x) {
    if (x->op == OP_CONST) return true;
    if (!passes_codes(x->op)) return quantize_is_fixed(f->r.c->scratch, f->r.to, &f->coded, x, f->entry->train);
    for (int i = 0; i < x->n_in; i++)
        if (x->in[i]->type.dtype == DT_F32 && !is_of_codes(f, x->in[i])) return false;
    return true;
}

/* What is pooled: its codes, what they stand for, of which the pooling's gradients are taken. */
typedef struct Pooled {
    Step step;
    Node *value, *codes, *carrier;
} Pooled;

static Pooled pooled_of_range(FakePass *f, const Slot *slot, Node *x) {
    Pooled p = {.step = step_of(f, slot, x)};
    Held h = held(f, &p.step, x);
    p.value = h.value;
    p.codes = h.codes;
    p.carrier = decoded(f->r.to, &p.step, h.codes, h.value);
    return p;
}

static Pooled pooled_as_coded(Graph *g, const QuantStep *step, Node *x) {
    Step s = {.scale = step->scale_later, .zero = step->zero_later};
    s.per_step = node_map2(g, OP_DIV, filled(g, s.scale, 1), s.scale);
    return (Pooled){s, x, codes_of(g, &s, x), x};
}

/* Sums over the windows of codes u as n's result lies, zeros of the frame among them. */
static Node *window_sums(Graph *g, const Pooled *p, const Node *n, Node *ones) {
    static const int last[4] = {0, 2, 3, 1}, second[4] = {0, 3, 1, 2};
    const Window *win = &n->attrs.window;
    Node *u = codes_of(g, &p->step, conv_frame(g, node_permute(g, p->value, last), win, n->type.dim));
    Node *y = conv_y_framed(g, node_cast(g, u, DT_I32), node_cast(g, ones, DT_I32), win, n->type.dim);
    return node_permute(g, y, second);
}

static Size terms_of(const Graph *g, const Node *n) {
    if (n->op == OP_CONV) return whole(g, (int64_t)n->attrs.window.taps[0] * n->attrs.window.taps[1]);
    Size count = whole(g, 1);
    for (int i = 0; i < n->attrs.n_axes; i++) count = size_mul(count, n->in[0]->type.dim[n->attrs.axes[i]]);
    return count;
}

/* factor * t in f32, as a constant of it would be. */
static Node *times_step(Graph *g, const Step *s, double factor) {
    if (factor == 1) return s->scale;
    Node *t = node_cast(g, s->scale, DT_F64);
    return node_cast(g, node_map2(g, OP_MUL, t, filled(g, t, factor)), DT_F32);
}

Node *fake_pool(FakePass *f, const QuantPlan *q, const Node *n) {
    Graph *g = f->r.to;
    Node *x = f->r.map[n->in[0]->id];
    const Coded *exact = quantize_exact(&f->coded, x);
    const Slot *slot = range_slot(g->program, pooled_path(g->arena, q->slot->path));
    if (q->activations != ACTIVATIONS_STATIC || (!exact && (!slot || !is_of_codes(f, x)))) return NULL;
    Pooled p = exact ? pooled_as_coded(g, &exact->step, x) : pooled_of_range(f, slot, x);
    /* of few taps each is multiplied by its share; of others and of axes the sum is, afterwards */
    bool is_conv = n->op == OP_CONV, taps = is_conv && conv_is_depthwise(n->in[1], &n->attrs.window);
    Node *weights = is_conv ? filled(g, n->in[1], taps ? n->in[1]->attrs.number : 1) : NULL;
    Node *sums = is_conv ? window_sums(g, &p, n, filled(g, n->in[1], 1)) : node_reduce(g, REDUCE_SUM, p.codes, n->attrs.n_axes, n->attrs.axes);
    Node *zeros = node_map2(g, OP_MUL, node_count(g, terms_of(g, n), DT_I32), node_cast(g, p.step.zero, DT_I32));
    sums = node_map2(g, OP_SUB, sums, quantize_spread(g, zeros, sums));
    double share = taps ? weights->attrs.number : 1;
    Node *y = node_cast(g, sums, DT_F32);
    y = node_map2(g, OP_MUL, y, quantize_spread(g, times_step(g, &p.step, share), y));
    y = fake_through(g, y, graph_copy_node(g, n, (Node *[]){p.carrier, weights}));
    PUSH(f->r.c->scratch, f->coded.sums, ((CodedSums){.x = y, .sums = sums, .factor = share, .later = p.step.scale}));
    return is_conv && !taps ? node_map2(g, OP_MUL, y, filled(g, y, n->in[1]->attrs.number)) : y;
}
