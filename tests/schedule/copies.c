/* copies.c -- random products of many rows whose operands are both given at the call: the panels of the second one are packed by a call before, or
 * tiles of rows go across panels, or both. Rows known and not known, fewer than a schedule takes them for, one or two axes of each kind, any
 * order of axes, views, f64, i32, f32 by halves, maps behind them.
 *
 *     copies [FROM [TO [LEVEL]]]     SHOW=1 prints what fails */
// plain
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORK = 17 << 20 }; /* multiplications that are worth a copy (codegen/schedule_contract.c) */

/* Two axes a, b of m, two c, d of n, two e, f of k: so many elements along the first of each, along both. */
static void choose_sizes(Case *c, Size rows, bool across) {
    SizeTable *t = c->p->sizes;
    int two[3];
    for (int i = 0; i < 3; i++) two[i] = rng_below(&c->r, 2) ? 1 : 2 + rng_below(&c->r, 3);
    int64_t m = 390 + rng_below(&c->r, across ? 700 : 200), k = across ? 8 + rng_below(&c->r, 90) : 320 + rng_below(&c->r, 200), n = 8 + rng_below(&c->r, 250);
    if (across) n = 400 + rng_below(&c->r, 200);
    else if (m * n * k < WORK) n = WORK / (m * k) + 1;
    bool known = rng_below(&c->r, 3);
    if (!known) two[0] = 5 + rng_below(&c->r, 4);
    c->size[0] = known ? size_const(t, m / two[0] + 1) : rows;
    c->size[1] = size_const(t, two[0]);
    c->size[2] = size_const(t, n / two[1] + 1);
    c->size[3] = size_const(t, two[1]);
    c->size[4] = size_const(t, k / two[2] + 1);
    c->size[5] = size_const(t, two[2]);
}

static bool agrees(Harness *h, uint64_t seed) {
    Case c = {.r = {seed}};
    case_begin(&c, "copies");
    DType t = seed % 7 == 3 ? DT_F64 : seed % 7 == 5 ? DT_I32 : DT_F32, b = t == DT_F32 && seed % 5 == 1 ? DT_BF16 : t;
    char la[8] = "abef", lb[8] = "cdef", lo[8] = "abcd";
    choose_sizes(&c, size_named(c.p->sizes, size_declare(c.p->sizes, "rows", 1, SIZE_NO_LIMIT)), seed % 3 == 2);
    if (rng_below(&c.r, 2)) case_shuffle(&c.r, la);
    if (rng_below(&c.r, 2)) case_shuffle(&c.r, lb);
    if (rng_below(&c.r, 3) == 0) case_shuffle(&c.r, lo);
    Node *y = node_contract(c.g, case_operand(&c, t, la), case_operand(&c, b, lb), la, lb, lo);
    case_results(&c, t, y, rng_below(&c.r, 2));
    int64_t sizes[] = {1 + rng_below(&c.r, rng_below(&c.r, 2) ? 100 : 9)};
    h->tolerance = 4e-4;
    return case_run(&c, h, sizes, arena_printf(c.p->arena, "seed %llu: %s %s -> %s, %s, v%d", (unsigned long long)seed, la, lb, lo, dtype_name(t), h->target.level));
}

int main(int argc, char **argv) {
    Harness h = {.show = getenv("SHOW") != NULL, .like = {"_panels"}};
    Sweep s = harness_sweep(&h, argc, argv, 60, 12, agrees);
    if (s.cases >= 12 && h.calls_like[0] < s.cases / 4) s.failures++, printf("only %d products read a copy\n", h.calls_like[0]);
    return s.failures != 0;
}
