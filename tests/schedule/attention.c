/* attention.c -- softmax-weighted products with random letters: any order of axes, batches, groups of heads, several axes of depth,
 * sizes 1 to 400 and run-time sizes, operands through views; scales, causal, padding and additive masks, rows that see nothing,
 * weights that are dropped; maps behind; gradients; three machines.
 *
 * A third argument, tf32, bf16 or f16, with DEVICE=1: programs whose precision is that, on a device's matrix units; the softmax is in f32. A
 * fourth one, trained: all of them have gradients.
 *
 *     attention [FROM [TO [LEVEL | tf32 | bf16 | f16 [trained]]]]     SHOW=1 prints what fails; LEVEL 2, 3 or 4: all by code of that instruction set */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static DType precision = DT_F32; /* of the products of all programs .. */
static bool tf32;                /* .. which may be that */

static bool all_trained;
static bool deep;                /* of keys so deep that a warp has memory for 16 of them alone */

/* What a result may be off, of the largest one: scores of some 8 are rounded, and that is their exponents' relative error. */
static double off(void) {
    return precision == DT_BF16 ? 0x1p-5 : precision == DT_F16 ? 0x1p-8 : tf32 ? 0x1p-9 : 0;
}

static bool for_units(void) { return tf32 || precision != DT_F32; }

static Size random_size(Case *c, const Size *named, bool keys) {
    static const int SIZES[] = {1, 3, 5, 6, 7, 12, 16, 17, 33, 64, 97, 200, 401};
    int k = rng_below(&c->r, 20);
    if (all_trained && k < 6) k += 6; /* as matrix units want them */
    if (k < 13) return size_const(c->p->sizes, SIZES[k]);
    return keys && k == 19 ? size_add(named[1], size_const(c->p->sizes, 2)) : named[k % 3];
}

/* Rows that can be copied are wanted more often than chance makes them, for matrix units. */
static bool in_rows(Case *c) { return for_units() && (deep || all_trained || rng_below(&c->r, 8)); }

static Node *operand(Case *c, const char *letters) {
    Size dim[MAX_RANK];
    if (!in_rows(c)) return case_operand(c, precision, letters);
    for (int i = 0; letters[i]; i++) dim[i] = c->size[letters[i] - 'a'];
    return case_input(c, precision, (int)strlen(letters), dim);
}

/* A value of the rows of x, repeated along the last axis. */
static Node *along_rows(Case *c, Node *row, const Node *x) {
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = x->type.dim[i];
    dim[x->type.rank - 1] = size_const(c->p->sizes, 1);
    Node *one = node_reshape(c->g, row, x->type.rank, dim);
    return node_expand(c->g, one, x->type.rank, x->type.dim);
}

static Node *iota_of(Case *c, const Node *like, int axis) {
    return node_leaf(c->g, OP_IOTA, &(Attrs){.axis = axis}, type_of(DT_I32, like->type.rank, like->type.dim));
}

/* -inf where the mask is false. */
static Node *masked(Case *c, Node *mask, Node *x) {
    return node_map3(c->g, OP_WHERE, mask, x, node_const(c->g, x->type, -INFINITY));
}

static Node *causal(Case *c, Node *x) {
    Node *row = iota_of(c, x, rng_below(&c->r, x->type.rank - 1));
    int later = rng_below(&c->r, 2) ? rng_below(&c->r, 9) : 0;
    if (for_units() && rng_below(&c->r, 4) == 0) later = -20; /* blocks of rows that see nothing */
    if (later) row = node_map2(c->g, OP_ADD, row, node_const(c->g, row->type, later));
    return masked(c, node_map2(c->g, OP_GE, row, iota_of(c, x, x->type.rank - 1)), x);
}

/* Keys that an input hides, all of them from some batches. */
static Node *padded(Case *c, Node *x) {
    Node *hidden = case_input(c, DT_F32, 1, x->type.dim + x->type.rank - 1), *some = case_input(c, DT_F32, 1, x->type.dim);
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = i ? size_const(c->p->sizes, 1) : x->type.dim[0];
    Node *first = node_expand(c->g, node_reshape(c->g, some, x->type.rank, dim), x->type.rank, x->type.dim);
    Node *sum = node_map2(c->g, OP_ADD, node_expand_like(c->g, hidden, x), first);
    return masked(c, node_map2(c->g, OP_GT, sum, node_const(c->g, sum->type, 0.3)), x);
}

static Node *softmax(Case *c, Node *x, bool gate) {
    int last = x->type.rank - 1;
    Node *most = node_reduce(c->g, REDUCE_MAX, x, 1, &last);
    most = graph_add(c->g, OP_STOP, NULL, 1, &most); /* the shift cancels, and has no derivative */
    Node *e = node_map1(c->g, OP_EXP, node_map2(c->g, OP_SUB, x, along_rows(c, most, x)));
    Node *p = node_map2(c->g, OP_DIV, e, along_rows(c, node_reduce(c->g, REDUCE_SUM, e, 1, &last), x));
    if (!gate) return p;
    Node *seen = node_map2(c->g, OP_GT, most, node_const(c->g, most->type, -INFINITY));
    return node_map3(c->g, OP_WHERE, along_rows(c, seen, x), p, node_const(c->g, x->type, 0));
}

/* Letters of the four sides: a b batches, g m rows, n keys, k l depth of keys, d e of values. */
static void choose_letters(Case *c, char *q, char *key, char *v, char *scores, char *y, const Size *named) {
    static const int DEPTH[] = {1, 3, 8, 16, 20, 32, 64};
    const char *batch = &"ab"[rng_below(&c->r, 3)], *rows = rng_below(&c->r, 3) ? "m" : "gm";
    const char *depth = rng_below(&c->r, 4) ? "k" : "kl", *width = rng_below(&c->r, 4) ? "d" : "de";
    for (const char *x = "abgm"; *x; x++) c->size[*x - 'a'] = random_size(c, named, false);
    for (const char *x = "abg"; *x; x++)
        if (rng_below(&c->r, 2) || all_trained) c->size[*x - 'a'] = size_const(c->p->sizes, 1 + rng_below(&c->r, 3));
    c->size['n' - 'a'] = rng_below(&c->r, 3) ? random_size(c, named, true) : c->size['m' - 'a'];
    for (const char *x = "kd"; *x; x++) c->size[*x - 'a'] = size_const(c->p->sizes, DEPTH[all_trained ? 2 + rng_below(&c->r, 5) : rng_below(&c->r, 7)]);
    for (const char *x = "le"; *x; x++) c->size[*x - 'a'] = size_const(c->p->sizes, 2 + rng_below(&c->r, 3));
    if (deep) c->size['k' - 'a'] = size_const(c->p->sizes, 93), c->size['n' - 'a'] = size_const(c->p->sizes, 75), depth = "k";
    sprintf(q, "%s%s%s", batch, rows, depth);
    sprintf(key, "%sn%s", batch, depth);
    sprintf(v, "%sn%s", batch, width);
    sprintf(y, "%s%s%s", batch, rows, width);
    sprintf(scores, "%s%s", batch, rows);
    char *const letters[] = {q, key, v, y};
    for (int i = 0; i < 4; i++)
        if (!in_rows(c)) case_shuffle(&c->r, letters[i]);
    case_shuffle(&c->r, scores);
    strcat(scores, "n");
}

/* Derivatives of a weighted sum of y, and y. */
static void train(Case *c, Node *y, Node *q, Node *k, Node *v) {
    int axes[MAX_RANK];
    for (int i = 0; i < y->type.rank; i++) axes[i] = i;
    Node *weighted = node_map2(c->g, OP_MUL, node_cast(c->g, y, DT_F32), case_input(c, DT_F32, y->type.rank, y->type.dim));
    Node *in[] = {node_reduce(c->g, REDUCE_SUM, weighted, y->type.rank, axes), q, k, v};
    Node *grad = graph_add(c->g, OP_GRAD, NULL, 4, in);
    graph_result(c->g, "by_q", node_get(c->g, grad, 0));
    graph_result(c->g, "by_k", node_get(c->g, grad, 1));
    graph_result(c->g, "by_v", node_get(c->g, grad, 2));
}

static void build(Case *c, const Size *named, char *about, double *work) {
    char q[16], key[16], v[16], scores[16], y[16];
    choose_letters(c, q, key, v, scores, y, named);
    Node *x = operand(c, q), *k = operand(c, key);
    Node *s = rng_below(&c->r, 2) ? node_contract(c->g, x, k, q, key, scores) : node_contract(c->g, k, x, key, q, scores);
    int kind = rng_below(&c->r, 8), dropped = rng_below(&c->r, 4) == 0, own = rng_below(&c->r, 16) == 0 && !all_trained;
    s = node_map2(c->g, OP_MUL, s, node_const(c->g, s->type, all_trained ? 0.125 : 0.7));
    if (kind == 1) s = node_map2(c->g, OP_ADD, s, case_input(c, precision, s->type.rank, s->type.dim));
    if (kind == 2) s = node_map2(c->g, OP_ADD, s, node_expand_like(c->g, case_input(c, precision, 2, s->type.dim + s->type.rank - 2), s));
    if (kind == 3 || kind == 6) s = padded(c, s);
    if (kind >= 4 && kind <= 6) s = causal(c, s);
    s = node_cast(c->g, s, DT_F32);
    Node *p = softmax(c, s, kind == 3 || kind == 6);
    if (dropped) p = node_map2(c->g, OP_MUL, p, case_input(c, DT_F32, p->type.rank, p->type.dim));
    if (own) p = node_map2(c->g, OP_MUL, p, node_map1(c->g, OP_TANH, s)); /* scores again: three kernels */
    p = node_cast(c->g, p, precision);
    Node *values = operand(c, v);
    Node *out = rng_below(&c->r, 2) ? node_contract(c->g, p, values, scores, v, y) : node_contract(c->g, values, p, v, scores, y);
    if (rng_below(&c->r, 2)) {
        Node *bias = case_input(c, precision, 1, out->type.dim + out->type.rank - 1);
        out = node_map1(c->g, OP_TANH, node_map2(c->g, OP_ADD, out, node_expand_like(c->g, bias, out)));
    }
    graph_result(c->g, "y", out);
    bool trained = (rng_below(&c->r, 3) == 0 && precision == DT_F32) || all_trained;
    if (trained) train(c, out, x, k, values);
    sprintf(about, "%s %s -> %s, %s -> %s, mask %d%s%s", q, key, scores, v, y, kind, dropped ? ", dropped" : "",
            trained ? ", trained" : "");
    *work = 1;
    for (const char *l = scores; *l; l++) {
        int64_t n;
        int64_t high[3] = {3, 70, 300};
        if (!size_eval(c->size[*l - 'a'], high, &n)) n = 1;
        *work *= (double)n;
    }
}

static bool agrees(Harness *h, uint64_t seed) {
    Case c = {.r = {seed * 2654435761u + 1}};
    case_begin(&c, "attention");
    c.p->tf32 = tf32;
    deep = (tf32 || all_trained) && seed % 16 == 15;
    Arena *a = c.p->arena;
    Size named[3];
    static const int HIGH[3] = {3, 70, 700};
    for (int i = 0; i < 3; i++)
        named[i] = size_named(c.p->sizes, size_declare(c.p->sizes, arena_printf(a, "s%d", i), 1, i == 2 ? SIZE_NO_LIMIT : HIGH[i]));
    char about[120];
    double work;
    build(&c, named, about, &work);
    int64_t *sizes = NEW_ARRAY(a, int64_t, 3);
    for (int i = 0; i < 3; i++) sizes[i] = 1 + rng_below(&c.r, i == 2 ? 300 : HIGH[i]);
    if (work < 3e5) return case_run(&c, h, sizes, arena_printf(a, "seed %llu: %s, v%d", (unsigned long long)seed, about, h->target.level));
    case_end(&c);
    return true;
}

int main(int argc, char **argv) {
    tf32 = argc > 3 && !strcmp(argv[3], "tf32");
    if (argc > 3 && !strcmp(argv[3], "bf16")) precision = DT_BF16;
    if (argc > 3 && !strcmp(argv[3], "f16")) precision = DT_F16;
    all_trained = argc > 4 && !strcmp(argv[4], "trained");
    double tolerance = all_trained ? 4 * off() : 4e-4; /* where all but one key are hidden, differences of rounded numbers are left of what cancels */
    Harness h = {.show = getenv("SHOW") != NULL, .tolerance = tolerance, .of_largest = off(), .like = {"_attention_mma", "_attention_gradient_mma"}};
    Sweep s = harness_sweep(&h, argc, argv, 60, 4, agrees);
    int attentions = h.kinds[KERNEL_ATTENTION], gradients = h.kinds[KERNEL_ATTENTION_GRADIENT];
    if (attentions < s.cases / 3) s.failures++, printf("only %d attentions were run\n", attentions);
    if (s.cases >= 60 && precision == DT_F32 && gradients < s.cases / 12) s.failures++, printf("only %d gradients were run\n", gradients);
    if (getenv("DEVICE") && !s.failures) {
        printf("%d attentions and %d gradients", attentions, gradients);
        if (all_trained) printf(", %d and %d on matrix units; worst %g", h.calls_like[0], h.calls_like[1], h.worst);
        else if (for_units()) printf(", %d on matrix units; worst %g", h.calls_like[0], h.worst);
        putchar('\n');
        harness_count(&h);
    }
    if (s.level && !s.failures) printf("%d attentions\n", attentions);
    return s.failures != 0;
}
