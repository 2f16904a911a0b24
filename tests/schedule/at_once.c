/* at_once.c -- random updates of several tensors, as an optimizer's: of few shapes, so that some are equal; sums of squares of all, whose root
 * scales what is added, of long tensors in parts; a moment and a parameter that are stored in place; a scalar for each; sums of columns; one tensor of run-time size. With
 * DEVICE=1 what may be one launch is one (passes/plan_together.c), and each tensor is compared: by the emulator, under all orders. Else each is a
 * kernel by itself, by the tile interpreter.
 *
 *     at_once [FROM [TO]]     SHOW=1 prints what fails */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"
#include "ir/op.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 9, SHAPES = 9 };

static const int SHAPE[SHAPES][3] = {{128, 0, 0}, {33, 7, 0}, {5, 0, 0}, {64, 40, 0}, {3, 17, 9}, {1030, 0, 0}, {70, 130, 0}, {1, 0, 0}, {23, 41, 37}};

static Node *number(Case *c, Node *x, double value) { return node_like(c->g, x, value); }

static Node *store(Case *c, const Node *slot, Node *value) {
    graph_effect(c->g, (Effect){.kind = EFFECT_STORE, .index = slot->attrs.index, .value = value});
    return value;
}

static Node *reduce_all(Case *c, ReduceFn fn, Node *x) {
    int axes[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) axes[i] = i;
    return node_reduce(c->g, fn, x, x->type.rank, axes);
}

/* Of a long row: several reductions at once, values behind them, elements that are stored on the way. */
static void long_row(Case *c, DType d) {
    Graph *g = c->g;
    Size n = size_const(c->p->sizes, 4000 + rng_below(&c->r, 4) * 1500);
    Node *x = case_input(c, d, 1, &n);
    Node *y = node_map2(g, OP_SUB, x, number(c, x, 3)); /* below 0: what lies behind the end must not count */
    Node *most = reduce_all(c, REDUCE_MAX, y), *least = reduce_all(c, REDUCE_MIN, y), *sum = reduce_all(c, REDUCE_SUM, y);
    graph_result(g, "y", y);
    graph_result(g, "most", most);
    graph_result(g, "range", node_map2(g, OP_SUB, most, least));
    graph_result(g, "sum", sum);
    graph_result(g, "all", reduce_all(c, REDUCE_ALL, node_map2(g, OP_LT, y, number(c, y, 0))));
}

/* The moment and the parameter behind a step along gradient dx. */
static void update(Case *c, int i, Node *w, Node *m, Node *dx, Node *scale, bool stored) {
    Graph *g = c->g;
    Node *t = case_input(c, w->type.dtype, 0, NULL);
    Node *rate = node_map1(g, OP_EXP, node_map2(g, OP_MUL, number(c, t, 0.5), t));
    dx = node_map2(g, OP_MUL, dx, node_expand_like(g, scale, dx));
    Node *moment = node_map2(g, OP_ADD, node_map2(g, OP_MUL, number(c, m, 0.9), m), node_map2(g, OP_MUL, number(c, dx, 0.25), dx));
    Node *by = node_map2(g, OP_MUL, node_expand_like(g, rate, moment), moment);
    Node *value = node_map2(g, OP_SUB, i % 4 == 3 ? node_map2(g, OP_MUL, number(c, w, 0.5), w) : w, by); /* some by another rule */
    if (stored) {
        store(c, m, moment);
        store(c, w, value);
    } else {
        graph_result(g, arena_printf(c->p->arena, "m%d", i), moment);
        graph_result(g, arena_printf(c->p->arena, "w%d", i), value);
    }
}

static void program(Case *c, DType d, int n, Size named) {
    Node *w[MOST], *m[MOST], *dx[MOST], *norm = NULL;
    for (int i = 0; i < n; i++) {
        const int *shape = SHAPE[rng_below(&c->r, SHAPES)];
        Size dim[3];
        int rank = 0;
        for (; rank < 3 && shape[rank]; rank++) dim[rank] = size_const(c->p->sizes, shape[rank]);
        bool any = i == n - 1 && rng_below(&c->r, 2);
        if (any) dim[rng_below(&c->r, rank)] = named;
        dx[i] = case_input(c, d, rank, dim);
        w[i] = any ? case_input(c, d, rank, dim) : case_weight(c, d, rank, dim);
        m[i] = any ? case_input(c, d, rank, dim) : case_weight(c, d, rank, dim);
        Node *square = reduce_all(c, REDUCE_SUM, node_map2(c->g, OP_MUL, dx[i], dx[i]));
        norm = norm ? node_map2(c->g, OP_ADD, norm, square) : square;
        if (rank == 2) graph_result(c->g, arena_printf(c->p->arena, "columns%d", i), node_reduce(c->g, REDUCE_SUM, dx[i], 1, (int[]){0}));
    }
    Node *scale = node_map1(c->g, OP_RSQRT, node_map2(c->g, OP_ADD, norm, number(c, norm, 1)));
    for (int i = 0; i < n; i++) update(c, i, w[i], m[i], dx[i], scale, w[i]->op == OP_SLOT);
    graph_result(c->g, "norm", norm);
    long_row(c, d);
}

static bool agrees(Harness *h, uint64_t seed) {
    static const DType TYPES[] = {DT_F32, DT_F32, DT_F64, DT_BF16};
    Case c = {.r = {seed}};
    DType t = TYPES[seed % 4];
    int64_t sizes[8] = {1 + rng_below(&c.r, 200)};
    case_begin(&c, "at_once");
    Size named = size_named(c.p->sizes, size_declare(c.p->sizes, "n", 1, 200));
    program(&c, t, 3 + rng_below(&c.r, MOST - 2), named);
    h->tolerance = t == DT_F64 ? 1e-10 : t == DT_BF16 ? 0x1p-5 : 1e-4; /* rounded on the way, and what is left of a difference */
    h->of_largest = t == DT_BF16 ? 0x1p-6 : 0;
    return case_run(&c, h, sizes, arena_printf(c.p->arena, "seed %llu, %s", (unsigned long long)seed, dtype_name(t)));
}

int main(int argc, char **argv) {
    Seeds s = seeds_of(argc, argv, 12);
    Harness h = {.show = getenv("SHOW") != NULL, .target = harness_device(2), .mode = BY_TILE, .like = {"_sums"}};
    int failures = 0, cases = (int)(s.to - s.from);
    for (uint64_t seed = s.from; seed < s.to && failures < 8; seed++) failures += !agrees(&h, seed);
    if (getenv("DEVICE") && (h.at_once < 3 * cases || h.flat < cases)) failures++, printf("only %d launches of several, %d of any shape\n", h.at_once, h.flat);
    if (cases >= 6 && h.calls_like[0] < cases + (getenv("DEVICE") != NULL)) failures++, printf("only %d sums were in parts\n", h.calls_like[0]);
    if (!failures) harness_count(&h);
    return failures != 0;
}
