/* quantize.h -- what the files of the pass quantize share.
 *
 * A stored weight has its channels first, then what products sum over:
 *
 *     int8             codes i8[channels..., summed...]        scales f32[channels...]       w = code * scale
 *     fp8              codes f8e4m3[channels..., summed...]    scales f32[channels...]       w = code * scale
 *     int8 in groups   codes i8[channels..., G, g]             scales f16[channels..., G]    w = code * scale
 *     int4 in groups   codes u8[channels..., G, g/2]           scales f16[channels..., G]    w = (code - 8) * scale
 *     nf4 in groups    codes u8[channels..., G, g/2]           scales f16[channels..., G]    w = table[code] * scale
 *
 * The channels of a convolution of groups are two axes: its groups, the outputs of one.
 *
 * G groups of g elements along the one axis summed over, the last filled up with zeros. Byte j of a group of 4-bit codes holds element
 * j in its lower half, element j + g/2 in its upper one. With zero points, which groups alone have, there are zeros u8[channels..., G]
 * too, codes of int8 are u8, and w = (code - zero) * scale: the codes span the group from its least (or 0) to its largest (or 0). Where
 * all channels have one scale, it is stored for each. */
#ifndef PASSES_QUANTIZE_H
#define PASSES_QUANTIZE_H
#include "passes/pass.h"

/* Codes of one scale, an f32, and one zero point: x is near (code - zero) * scale. */
typedef struct QuantStep {
    double scale;
    int zero;
    Node *scale_later, *zero_later; /* f32 of rank 0 in place of these, where training moves them (fake_input.c); else NULL */
} QuantStep;

typedef struct QuantPlan {
    Slot *slot, *scale; /* the codes, which have the place of the weight; its scales */
    Slot *zero;         /* NULL: there are none */
    Slot *sum;          /* f32[channels...], sums of a channel's codes, of groups its values: where products take codes on both sides;
                           times the zero point of those, where that is known; else NULL */
    Type declared;      /* of the weight, as its products take it: .. */
    bool apart;         /* .. [g o/g c u v] where the slot is [o c u v] */
    QuantScheme scheme;
    int group;          /* 0: one scale a channel */
    bool one_scale, zero_point, gptq;
    float largest;      /* magnitude, of one scale and known values; 0: that of the rows at hand */
    Activations activations;
    bool is_static;        /* `input` is known: products take its codes */
    QuantStep input;
    bool is_pooled;        /* `pooled` is known: poolings in front of these products are sums of its codes */
    QuantStep pooled;
    int n_channels, channel[MAX_RANK]; /* axes of the weight */
    int n_summed, summed[MAX_RANK];    /* of several elements, if there are groups: exactly one */
    int64_t channels, length;          /* products of their sizes */
    int64_t groups;                    /* of a channel */
} QuantPlan;

/* Decides which marked weights of p are quantized, and how; changes their slots, adds those of scales, converts values that are
 * known and rewrites initial values that are computed. By slot: NULL where it stays. Requires: the passes up to `lower`. */
/* Where a body stands: its invariants are operands of the scan. NULL: a graph that is no body. */
typedef struct QuantScope {
    const struct QuantScope *outer;
    const Node *scan;
} QuantScope;
/* The slot that n is a view of, through permutes, reshapes that add or drop axes of size 1, and into the surroundings of a loop;
 * -1: none. axis[i]: the axis of the slot that axis i of n is, -1: an added one. */
int quantize_trace(const QuantScope *scope, const Node *n, int *axis);
/* The letters of the weight's axes in operand k of contract n, by axis of the weight; 0: an axis of size 1 that is not there. */
void quantize_letters(const QuantScope *scope, const Node *n, int k, char *letter);
QuantPlan **quantize_slots(PassContext *c, Program *p);
/* The graph of an entry where program->observe is set: gives out what flows into products with marked weights. */
Graph *observe_graph(PassContext *c, const Graph *from);

/* A weight as it is stored: nodes; zeros and sums NULL where there are none. */
typedef struct Stored {
    Node *codes, *scales, *zeros, *sums;
} Stored;
static inline bool quantize_halves(const QuantPlan *q) { return q->scheme == QUANT_INT4 || q->scheme == QUANT_NF4; } /* two codes in a byte */

/* How the slot would be stored if `quant` marked it, by what graph g does with it, whatever else it does; NULL: *why says why it would not. */
QuantPlan *quantize_plan(PassContext *c, const Graph *g, Slot *s, const Quant *quant, const char **why);
/* The values that codes of w would stand for: w, of the slot's declared type, in and out. */
Node *quantize_fake(Graph *g, const QuantPlan *q, Node *w);
/* int8 of one scale a channel: the codes of w, of its shape; scales and sums f32[channels...]. */
Stored quantize_fake_codes(Graph *g, const QuantPlan *q, Node *w);

/* f32[channels, length] as it is stored: the definition of the formats. */
Stored quantize_encode(Graph *g, const QuantPlan *q, Node *w);
/* Values of what is stored, with any axes before: f32[..., summed...]; in groups f32[..., G, g], of 4 bits f32[..., G, 2, g/2]. */
Node *quantize_decode(Graph *g, const QuantPlan *q, Stored s);
/* Rows of f32 x, over n axes, as codes i8 of x's shape, scales and offsets f32 of the other axes: x is near code * scale + offset.
 * The least of a row becomes -128, the largest 127. A row with a NaN or an infinity has such a scale or offset. */
void quantize_rows(Graph *g, Node *x, int n, const int *axes, Node **codes, Node **scales, Node **offsets);
/* The same from 0 to 255, as u8. */
void quantize_rows_unsigned(Graph *g, Node *x, int n, const int *axes, Node **codes, Node **scales, Node **offsets);
/* Does x show an element several times, as the windows of a convolution do? Its rows as codes would be as many times its codes. */
bool quantize_is_windows(const Node *x);
/* A contract, of i8 in i32; a depthwise convolution as the sum of its taps. */
Node *quantize_contract(Graph *g, Node *x, Node *w, const char *of_x, const char *of_w, const char *result);
/* rewrite_copy, but for depthwise convolutions that are products. */
Node *quantize_copy(Rewrite *r, const Node *n);
/* A number, of rank 0, as a tensor of x's shape. */
Node *quantize_spread(Graph *g, Node *number, const Node *x);
/* t = (hi - lo) / 255 (1 where that is 0) and round(-lo / t) - 128 within i8, in f32: fake_input.c computes the same when it runs. */
QuantStep quantize_step(const Observed *seen);
/* Values of one graph that have codes already. */
typedef struct Coded {
    Node *x;
    QuantStep step;
    Node *codes;
    enum {
        CODES_ROUNDED, /* of floats, or some of them */
        CODES_MOVED,   /* bytes of others */
        CODES_FIXED,   /* made in fixed point */
        CODES_EXACT    /* x is nothing but what they stand for */
    } from;
} Coded;
/* A product of codes with codes, or a sum of codes: x is (sums - corrections) * scales * factor, along one axis of it. */
typedef struct CodedSums {
    Node *x;    /* f32 */
    Node *sums; /* i32 of its shape */
    int axis;
    bool apart; /* along that and the next, which a reshape is going to join */
    Node *scales, *corrections; /* f32[channels]; NULL: 1 and 0 */
    double factor;
    Node *later; /* f32 of rank 0: times this, or NULL */
} CodedSums;
/* What passes over a graph have made of codes. */
typedef struct CodedValues {
    LIST(Coded) codes;
    LIST(CodedSums) sums;
} CodedValues;
/* f32 x as codes i8 of its shape; what lies beyond their range gets the last code there. */
Node *quantize_static(PassContext *c, Graph *g, CodedValues *made, QuantStep step, Node *x);
/* The same of what is made of sums of codes; NULL: floats would be rounded. */
Node *quantize_static_known(PassContext *c, Graph *g, CodedValues *made, QuantStep step, Node *x);
/* The codes of what x is a view of, if that is what they stand for; NULL: it is not. */
const Coded *quantize_exact(const CodedValues *made, const Node *x);
/* What x shows, in part, in another order, framed. */
const Node *quantize_behind_views(const Node *x);
/* The constant that n shows; NULL: it is none. */
const Node *quantize_constant(const Node *n);
/* By id of g's nodes: sums in front of products with weights that have a plan (by slot), through maps that codes follow; a sum goes with the
 * first product that reads it. Weights of a body are known by its scope. While it trains, a norm's statistics stand for those it will have. */
QuantPlan **quantize_pools(PassContext *c, const Graph *g, const QuantScope *scope, QuantPlan *const *plan, bool trains);
/* What sum n of these is taken of; where that is windows, one of them. */
const Node *quantize_pooled(const Node *n);
/* Such a sum as the sum of codes, of operands that map has by id; pooled NULL: of none but codes that there are; NULL: it stays one of floats. */
Node *quantize_pool(PassContext *c, Graph *g, CodedValues *made, const QuantStep *pooled, const Node *n, Node *const *map);
/* Codes of x computed from whole numbers alone; NULL: x is not made of sums of codes and of codes by additions, factors of channels, limits. */
Node *quantize_fixed(Arena *scratch, Graph *g, const CodedValues *made, QuantStep step, Node *x);
/* Would there be such codes? While it trains: once norms take the statistics that they learned. */
bool quantize_is_fixed(Arena *scratch, Graph *g, const CodedValues *made, Node *x, bool trains);
/* GPTQ (Frantar et al., 2022): the codes of a row are chosen one element after the other; what the rounding of one does to products of
 * the samples seen, the elements that follow make up for. Scales and zeros stay those of rounding to nearest. */
typedef struct Gptq Gptq;
Gptq *gptq_new(const QuantPlan *q, const double *gram); /* gram: X^T X, [length, length]; malloc */
void gptq_free(Gptq *t);                                /* NULL is fine */
/* Changes codes of rows f32[n, length]; codes, scales and zeros (or NULL) as quantize_encode made them. */
void quantize_gptq(const Gptq *t, const QuantPlan *q, const float *rows, int64_t n, Tensor *codes, const Tensor *scales,
                   const Tensor *zeros);

/* The slot's value before the pass becomes its codes, its scales, its zeros. */
void quantize_values(Program *p, const QuantPlan *q);

#endif
