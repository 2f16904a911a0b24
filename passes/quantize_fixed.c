/* quantize_fixed.c -- from sums of codes to codes in fixed point: no float is stored between two products.
 *
 *     x = max((p - zero * (sum of c)) * s * t * scale + shift + residual, 0)
 *     →   v: i32 = max(rescale p, m + o + (u - z) * k, b)        in units of 2^-16 of x's own codes, from -1/2 of code 0 on
 *         codes = (v shr 16), limited to -128 .. 127
 *
 * m, a multiplier a channel, is the f32 nearest to s * t * scale, a whole number of 24 bits times a power of two. p * m is that of f32, to
 * the nearest whole number: 24 bits are what a code and the 16 below it have, sums beyond them are off by 2^-24 of themselves, and all
 * machines do it to the bit, with as many lanes as they have for i32; a product of 64 bits and a shift, or f64, has half of them. o, whole
 * numbers of channels, holds what is added to them: zero points, biases, the shift of a norm. k is a whole number. What is added to each
 * other is limited to half an i32. Factors of channels are computed once a call, in f64.
 *
 * What is understood: products of codes, values that have codes, what is constant along all axes but one; sums, differences, products with
 * constants and values of channels, limits, views. Anything else is left to floats. */
#include "passes/quantize.h"

#include <math.h>

enum {
    FRACTION = 16,      /* bits below a code */
    NODES_MOST = 256,   /* of one expression, each as often as it is met */
    MULTIPLIER = 1 << 22, /* largest of codes: u * k is at most QUARTER */
    QUARTER = 1 << 29,    /* limit of what is added to .. */
    HALF = (1 << 30) - 64, /* .. what is rescaled, or halves are of: two of QUARTER and one of HALF have a sum */
    WHOLE = INT32_MAX
};

/* number * v[i], i along an axis; v NULL: number. */
typedef struct Factor {
    double number; /* 0: nothing; with `later` its sign alone counts */
    Node *later;   /* f64 of rank 0: the number, where only the running program knows it; NULL */
    Node *v;       /* f64[channels] */
    int axis;
} Factor;

/* A value in fixed point, and what is still to be added to it. */
typedef struct Fixed {
    Node *x;       /* i32, at most .. */
    double most;   /* .. this, either way */
    Factor offset; /* number 0: nothing */
} Fixed;

typedef struct Work {
    Graph *g;
    const bool *steady; /* by id of what was there before */
    const CodedValues *made;
    const Node *top;
    const Node *last; /* behind it there are limits alone, and those of codes */
    int budget;
} Work;

static Size whole_size(const Graph *g, int64_t n) { return size_const(g->program->sizes, n); }

static Node *filled(Graph *g, const Node *like, double x) { return node_const(g, like->type, x); }

static Node *in_f64(Graph *g, Node *x) { return node_cast(g, x, DT_F64); }

/* ---- factors of channels */

/* The axes of x that are not of size 1: how many, and the last. */
static int long_axes(const Node *x, int *last) {
    int n = 0;
    for (int i = 0; i < x->type.rank; i++) {
        if (size_is(x->type.dim[i], 1)) continue;
        *last = i;
        n++;
    }
    return n;
}

static Factor factor_of(double number) { return (Factor){.number = number}; }

/* A number that the running program knows, above 0 unless it is only added. */
static Factor factor_later(Graph *g, Node *x) { return (Factor){.number = 1, .later = in_f64(g, x)}; }

static Node *number_node(Graph *g, Factor f) { return f.later ? f.later : node_const(g, type_scalar(DT_F64), f.number); }

/* The number of f as a tensor of x's shape and type f64. */
static Node *number_like(Graph *g, Factor f, const Node *x) { return f.later ? quantize_spread(g, f.later, x) : filled(g, x, f.number); }

static Node *factor_node(Graph *g, Factor f, Size channels) {
    Node *one = f.v ? f.v : node_const(g, type_of(DT_F64, 1, &channels), f.number);
    if (!f.v) return f.later ? quantize_spread(g, f.later, one) : one;
    return f.number == 1 && !f.later ? f.v : node_map2(g, OP_MUL, f.v, number_like(g, f, f.v));
}

/* The same operations on the same doubles, now or later: training sees what the deployed program computes. */
static void number_mul(Graph *g, Factor *a, Factor b) {
    if (a->later || b.later) a->later = node_map2(g, OP_MUL, number_node(g, *a), number_node(g, b));
    a->number *= b.number;
}

static void number_add(Graph *g, Factor *a, Factor b) {
    if (a->later || b.later) *a = (Factor){.number = 1, .later = node_map2(g, OP_ADD, number_node(g, *a), number_node(g, b))};
    else a->number += b.number;
}

static Factor negative(Graph *g, Factor f) {
    f.number = -f.number;
    if (f.later) f.later = node_map1(g, OP_NEG, f.later);
    return f;
}

static bool factor_mul(Graph *g, Factor *a, Factor b) {
    if (a->v && b.v && a->axis != b.axis) return false;
    number_mul(g, a, b);
    if (!b.v) return true;
    a->v = a->v ? node_map2(g, OP_MUL, a->v, b.v) : b.v;
    a->axis = b.axis;
    return true;
}

static bool factor_add(Graph *g, Factor *a, Factor b) {
    if (b.number == 0) return true;
    if (a->number == 0) {
        *a = b;
        return true;
    }
    if (a->v && b.v && a->axis != b.axis) return false;
    if (!a->v && !b.v) {
        number_add(g, a, b);
        return true;
    }
    Size channels = a->v ? a->v->type.dim[0] : b.v->type.dim[0];
    Node *sum = node_map2(g, OP_ADD, factor_node(g, *a, channels), factor_node(g, b, channels));
    *a = (Factor){.number = 1, .v = sum, .axis = a->v ? a->axis : b.axis};
    return true;
}

static bool channels_of(Work *w, Node *n, Factor *f);

/* How many elements a mean is of, where they are counted when it runs. */
static bool is_count(const Node *n) { return n->op == OP_CAST && n->in[0]->op == OP_SIZE; }

/* A map of such values, computed once a channel. */
static bool map_of_channels(Work *w, Node *n, Factor *f) {
    Factor in[3];
    const Factor *long_one = NULL;
    if (op_row(n->op)->class != CLASS_MAP || n->op == OP_RANDOM || n->op == OP_CAST || n->type.dtype != DT_F32) return false;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i]->type.dtype != DT_F32 || !channels_of(w, n->in[i], &in[i])) return false;
        if (!in[i].v) continue;
        if (long_one && long_one->axis != in[i].axis) return false;
        long_one = &in[i];
    }
    if (!long_one) return false; /* constants: a pass folds them */
    Node *x[3];
    for (int i = 0; i < n->n_in; i++) x[i] = factor_node(w->g, in[i], long_one->v->type.dim[0]);
    *f = (Factor){.number = 1, .v = graph_add(w->g, n->op, &n->attrs, n->n_in, x), .axis = long_one->axis};
    return true;
}

/* Is n constant along all axes but one, and made of slots alone? */
static bool channels_of(Work *w, Node *n, Factor *f) {
    int axis = -1;
    if (--w->budget < 0) return false;
    if (n->op == OP_CONST) {
        *f = factor_of(n->attrs.number);
        return isfinite(n->attrs.number);
    }
    if (is_count(n)) {
        *f = factor_later(w->g, n);
        return true;
    }
    if (long_axes(n, &axis) == 1) {
        if (!w->steady[n->id]) return false;
        *f = (Factor){.number = 1, .v = in_f64(w->g, node_reshape(w->g, n, 1, &n->type.dim[axis])), .axis = axis};
        return true;
    }
    if (n->op == OP_EXPAND) {
        if (!channels_of(w, n->in[0], f)) return false;
        f->axis += n->type.rank - n->in[0]->type.rank;
        return true;
    }
    if (n->op == OP_PERMUTE) {
        if (!channels_of(w, n->in[0], f)) return false;
        for (int i = 0; i < n->type.rank && f->v; i++) {
            if (n->attrs.axes[i] != f->axis) continue;
            f->axis = i;
            break;
        }
        return true;
    }
    return map_of_channels(w, n, f);
}

/* f over the axes of x. */
static Node *stretched(Graph *g, Node *v, int axis, const Node *x) {
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = i == axis ? x->type.dim[i] : whole_size(g, 1);
    return node_expand(g, node_reshape(g, v, x->type.rank, dim), x->type.rank, x->type.dim);
}

/* ---- values */

static Node *limited(Graph *g, Node *x, double most) {
    return node_map3(g, OP_CLAMP, x, filled(g, x, -most), filled(g, x, most));
}

/* a + b, limited before where the sum could be too large. */
static Fixed sum_of(Work *w, const Fixed *a, const Fixed *b) {
    const Fixed *of[2] = {a, b};
    Node *x[2];
    double most = 0;
    for (int i = 0; i < 2; i++) {
        bool fits = a->most + b->most <= WHOLE || of[i]->most <= HALF;
        x[i] = fits ? of[i]->x : limited(w->g, of[i]->x, HALF);
        most += fits ? of[i]->most : HALF;
    }
    return (Fixed){.x = node_map2(w->g, OP_ADD, x[0], x[1]), .most = most};
}

/* v with its offset. */
static Node *closed(Work *w, Fixed *v) {
    Graph *g = w->g;
    if (v->offset.number == 0) return v->x;
    Node *o = v->offset.v ? factor_node(g, v->offset, v->offset.v->type.dim[0]) : number_node(g, v->offset);
    o = node_cast(g, node_map1(g, OP_ROUND, limited(g, o, QUARTER)), DT_I32);
    o = v->offset.v ? stretched(g, o, v->offset.axis, v->x) : quantize_spread(g, o, v->x);
    *v = sum_of(w, v, &(Fixed){.x = o, .most = QUARTER});
    return v->x;
}

/* sums: i32, times a factor, as which m was taken. */
static Node *times(Work *w, Node *sums, Factor by, Node **m) {
    Graph *g = w->g;
    Node *f = by.v ? factor_node(g, by, by.v->type.dim[0]) : number_node(g, by);
    f = limited(g, node_cast(g, f, DT_F32), 1e30);
    *m = in_f64(g, f);
    return node_map2(g, OP_RESCALE, sums, by.v ? stretched(g, f, by.axis, sums) : quantize_spread(g, f, sums));
}

static bool from_sums(Work *w, const CodedSums *s, Factor scale, Factor base, Fixed *v) {
    Graph *g = w->g;
    Node *m;
    if (s->apart) return false;
    Size n = s->scales ? s->x->type.dim[s->axis] : NULL;
    Factor by = s->later ? factor_later(g, s->later) : factor_of(s->factor);
    if (s->later && s->factor != 1) number_mul(g, &by, factor_of(s->factor));
    if (s->scales) by.v = in_f64(g, node_reshape(g, s->scales, 1, &n));
    by.axis = s->axis;
    if (!factor_mul(g, &by, scale)) return false;
    *v = (Fixed){times(w, s->sums, by, &m), HALF, base};
    if (!s->corrections) return true;
    Node *zeros = node_map2(g, OP_MUL, m, in_f64(g, node_reshape(g, s->corrections, 1, &n)));
    return factor_add(g, &v->offset, (Factor){.number = -1, .v = zeros, .axis = s->axis});
}

/* A multiplier of codes: a whole number. */
static Factor whole_multiplier(Graph *g, Factor k) {
    if (!k.later) k.number = rint(k.number); /* else its sign alone counts */
    if (k.later) k.later = node_map1(g, OP_ROUND, limited(g, k.later, MULTIPLIER));
    return k;
}

static bool from_codes(Work *w, const Coded *c, Factor scale, Factor base, Fixed *v) {
    Graph *g = w->g;
    Node *u = node_cast(g, c->codes, DT_I32), *m;
    bool later = c->step.scale_later != NULL;
    number_mul(g, &scale, later ? factor_later(g, c->step.scale_later) : factor_of(c->step.scale));
    Factor minus_zero = later ? negative(g, factor_later(g, c->step.zero_later)) : factor_of(-c->step.zero);
    if (scale.v) {
        *v = (Fixed){times(w, u, scale, &m), HALF, base};
        minus_zero.v = m;
        minus_zero.axis = scale.axis;
        return factor_add(g, &v->offset, minus_zero);
    }
    Factor k = whole_multiplier(g, scale);
    if (!k.later && !(fabs(k.number) <= MULTIPLIER)) return false;
    Node *by = k.later ? quantize_spread(g, node_cast(g, k.later, DT_I32), u) : filled(g, u, k.number);
    *v = (Fixed){node_map2(g, OP_MUL, u, by), QUARTER, base};
    number_mul(g, &minus_zero, k);
    return factor_add(g, &v->offset, minus_zero);
}

static bool fixed(Work *w, Node *x, Factor scale, Factor base, Fixed *v);

static bool fixed_sum(Work *w, Node *x, Factor scale, Factor base, Fixed *v) {
    bool sub = x->op == OP_SUB;
    Factor other, minus = sub ? negative(w->g, scale) : scale;
    Fixed b;
    for (int k = 0; k < 2; k++) { /* the other operand is of channels */
        if (!channels_of(w, x->in[!k], &other)) continue;
        if (!factor_mul(w->g, &other, sub && !k ? minus : scale)) return false;
        return fixed(w, x->in[k], sub && k ? minus : scale, base, v) && factor_add(w->g, &v->offset, other);
    }
    if (!fixed(w, x->in[0], scale, base, v) || !fixed(w, x->in[1], sub ? minus : scale, factor_of(0), &b)) return false;
    Factor offset = v->offset;
    if (factor_add(w->g, &offset, b.offset)) { /* once for both */
        v->offset = offset;
        b.offset = factor_of(0);
    }
    closed(w, v);
    closed(w, &b);
    *v = sum_of(w, v, &b);
    return true;
}

static bool fixed_product(Work *w, Node *x, Factor scale, Factor base, Fixed *v) {
    Factor other;
    for (int k = 0; k < (x->op == OP_DIV ? 1 : 2); k++) {
        if (!channels_of(w, x->in[!k], &other)) continue;
        if (x->op == OP_DIV) {
            if (other.v) other.v = node_map2(w->g, OP_DIV, filled(w->g, other.v, 1), other.v);
            if (other.later) other.later = node_map2(w->g, OP_DIV, filled(w->g, other.later, 1), other.later);
            other.number = 1 / other.number;
        }
        return factor_mul(w->g, &scale, other) && fixed(w, x->in[k], scale, base, v);
    }
    return false;
}

const Node *quantize_constant(const Node *n) {
    while (n->op == OP_PERMUTE || n->op == OP_RESHAPE || n->op == OP_EXPAND || n->op == OP_SLICE) n = n->in[0];
    return n->op == OP_CONST ? n : NULL;
}

/* Does a limit lie beyond the codes, which are limited anyway? */
static bool is_beyond(Op op, double limit) {
    double unit = 1 << FRACTION;
    return op == OP_MAX ? limit <= -128 * unit + unit / 2 : limit >= 127 * unit + unit / 2;
}

/* A limit in fixed point, like y; *most: no limit is larger, or smaller than -*most. */
static Node *limit_of(Graph *g, const Node *y, double limit, Factor scale, Factor base, double *most) {
    if (!scale.later) {
        double at = fmin(fmax(rint(limit * scale.number) + base.number, -WHOLE), WHOLE);
        *most = fmax(*most, fabs(at));
        return filled(g, y, at);
    }
    Node *at = node_map2(g, OP_MUL, scale.later, filled(g, scale.later, limit));
    at = node_map2(g, OP_ADD, node_map1(g, OP_ROUND, at), number_node(g, base));
    return quantize_spread(g, node_cast(g, limited(g, at, *most), DT_I32), y);
}

/* Limits are numbers; multiplied by a scale that is not negative. */
static bool fixed_limits(Work *w, Node *x, Factor scale, Factor base, Fixed *v) {
    Node *in[3];
    const Node *limit[3];
    if (scale.v || !(scale.number > 0)) return false;
    int from = quantize_constant(x->in[0]) != NULL;
    for (int k = 0; k < x->n_in; k++) {
        limit[k] = quantize_constant(x->in[k]);
        if (!limit[k] != (k == from)) return false;
    }
    if (from && x->op == OP_CLAMP) return false;
    bool last = x == w->last;
    if (last) w->last = x->in[from];
    if (!fixed(w, x->in[from], scale, base, v)) return false;
    Node *y = closed(w, v);
    for (int k = 0; k < x->n_in; k++) {
        double at = limit[k] ? rint(limit[k]->attrs.number * scale.number) + base.number : 0;
        if (last && !scale.later && x->op != OP_CLAMP && k != from && is_beyond(x->op, at)) return true;
        in[k] = k == from ? y : limit_of(w->g, y, limit[k]->attrs.number, scale, base, &v->most);
    }
    v->x = graph_add(w->g, x->op, &x->attrs, x->n_in, in);
    return true;
}

static bool fixed_permute(Work *w, const Node *x, Factor scale, Factor base, Fixed *v) {
    if (scale.v) scale.axis = x->attrs.axes[scale.axis];
    if (!fixed(w, x->in[0], scale, base, v)) return false;
    v->x = node_permute(w->g, v->x, x->attrs.axes);
    for (int i = 0; i < x->type.rank && v->offset.v; i++) {
        if (x->attrs.axes[i] != v->offset.axis) continue;
        v->offset.axis = i;
        break;
    }
    return true;
}

static bool fixed_view(Work *w, const Node *x, Factor scale, Factor base, Fixed *v) {
    if (scale.v || !fixed(w, x->in[0], scale, base, v)) return false;
    Node *y = closed(w, v);
    v->x = graph_add(w->g, x->op, &x->attrs, 1, &y);
    return true;
}

/* x * scale + base. */
static bool fixed(Work *w, Node *x, Factor scale, Factor base, Fixed *v) {
    if (--w->budget < 0) return false;
    for (int i = 0; i < w->made->sums.n; i++)
        if (w->made->sums.at[i].x == x) return from_sums(w, &w->made->sums.at[i], scale, base, v);
    for (int i = 0; i < w->made->codes.n && x != w->top; i++)
        if (w->made->codes.at[i].x == x) return from_codes(w, &w->made->codes.at[i], scale, base, v);
    switch (x->op) {
    case OP_ADD:
    case OP_SUB: return fixed_sum(w, x, scale, base, v);
    case OP_MUL:
    case OP_DIV: return fixed_product(w, x, scale, base, v);
    case OP_NEG: return fixed(w, x->in[0], negative(w->g, scale), base, v);
    case OP_MAX:
    case OP_MIN:
    case OP_CLAMP: return fixed_limits(w, x, scale, base, v);
    case OP_PERMUTE: return fixed_permute(w, x, scale, base, v);
    case OP_RESHAPE:
    case OP_SLICE:
    case OP_WINDOW: return fixed_view(w, x, scale, base, v);
    default: return false;
    }
}

static Node *fixed_codes(Graph *g, const bool *steady, const CodedValues *made, QuantStep step, Node *x) {
    Work w = {g, steady, made, x, x, NODES_MOST};
    Fixed v = {0};
    double unit = ldexp(1, FRACTION);
    Factor scale = factor_of(unit / step.scale), base = factor_of(step.zero * unit + unit / 2);
    if (step.scale_later) {
        Node *t = in_f64(g, step.scale_later), *z = in_f64(g, step.zero_later);
        scale = factor_later(g, node_map2(g, OP_DIV, filled(g, t, unit), t));
        base = factor_later(g, node_map2(g, OP_ADD, node_map2(g, OP_MUL, z, filled(g, z, unit)), filled(g, z, unit / 2)));
    }
    if (!fixed(&w, x, scale, base, &v)) return NULL;
    Node *y = closed(&w, &v);
    return node_cast(g, node_map2(g, OP_SHR, y, filled(g, y, FRACTION)), DT_I8);
}

Node *quantize_fixed(Arena *scratch, Graph *g, const CodedValues *made, QuantStep step, Node *x) {
    return fixed_codes(g, nodes_steady(scratch, g), made, step, x);
}

bool quantize_is_fixed(Arena *scratch, Graph *g, const CodedValues *made, Node *x, bool trains) {
    const bool *steady = trains ? nodes_steady_but_statistics(scratch, g) : nodes_steady(scratch, g);
    return fixed_codes(g, steady, made, (QuantStep){.scale = 1}, x) != NULL;
}
