/* few.c -- random products of few rows, or of few columns: as dot products, all rows at once. Any order of axes, so that operands lie along k or are
 * copied; batches, several axes of a kind, sizes known and not known, f64, i32, f32 by halves and by codes that are unpacked on the way, maps behind them.
 *
 *     few [FROM [TO [LEVEL]]]     SHOW=1 prints what fails */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Axes a of m, b and c of n, d and e of k, f of both operands and the result. */
static void choose_sizes(Case *c, Size columns) {
    SizeTable *t = c->p->sizes;
    int64_t n = rng_below(&c->r, 3) ? 1 + rng_below(&c->r, 150) : 1 + rng_below(&c->r, 600), k = 1 + rng_below(&c->r, rng_below(&c->r, 2) ? 40 : 400);
    c->size[0] = size_const(t, 1 + rng_below(&c->r, 4));
    c->size[1] = rng_below(&c->r, 4) ? size_const(t, n) : columns;
    c->size[2] = size_const(t, rng_below(&c->r, 4) ? 1 : 2 + rng_below(&c->r, 3));
    c->size[3] = size_const(t, rng_below(&c->r, 4) ? 1 : 2 + rng_below(&c->r, 3));
    c->size[4] = size_const(t, k);
    c->size[5] = size_const(t, rng_below(&c->r, 4) ? 1 : 2);
}

static bool agrees(Harness *h, uint64_t seed) {
    Case c = {.r = {seed}};
    case_begin(&c, "few");
    DType t = seed % 7 == 3 ? DT_F64 : seed % 7 == 5 ? DT_I32 : DT_F32;
    char la[8] = "fade", lb[8] = "fbcde", lo[8] = "fabc";
    choose_sizes(&c, size_named(c.p->sizes, size_declare(c.p->sizes, "columns", 1, 200)));
    if (rng_below(&c.r, 2)) case_shuffle(&c.r, la);
    if (rng_below(&c.r, 4) == 0) case_shuffle(&c.r, lb);
    if (rng_below(&c.r, 2)) case_shuffle(&c.r, lo);
    bool first = rng_below(&c.r, 2); /* which operand has few rows */
    DType b = first && t == DT_F32 && seed % 5 == 1 ? DT_BF16 : t;
    Node *x = case_operand(&c, t, la), *w = case_operand(&c, b, lb);
    Node *y = first ? node_contract(c.g, x, w, la, lb, lo) : node_contract(c.g, w, x, lb, la, lo);
    case_results(&c, t, y, rng_below(&c.r, 2));
    int64_t sizes[] = {1 + rng_below(&c.r, rng_below(&c.r, 2) ? 200 : 9)};
    h->tolerance = 4e-4;
    return case_run(&c, h, sizes, arena_printf(c.p->arena, "seed %llu: %s %s -> %s, %s, v%d", (unsigned long long)seed, la, lb, lo, dtype_name(t), h->target.level));
}

int main(int argc, char **argv) {
    Harness h = {.show = getenv("SHOW") != NULL, .like = {"_dots"}};
    Sweep s = harness_sweep(&h, argc, argv, 180, 4, agrees);
    if (s.cases >= 60 && h.calls_like[0] < s.cases / 3) s.failures++, printf("only %d products were tiles of dot products\n", h.calls_like[0]);
    return s.failures != 0;
}
