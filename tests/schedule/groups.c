/* groups.c -- random products of bf16 and f16 that groups of four warps compute: sizes that are known only at run time, and then smaller than a schedule
 * takes them for, so that tiles of any size have ends inside; any order of axes, so that k runs along the operands' memory or across it; rows at
 * multiples of 16 bytes and others; batches, two axes of k, sums in parts, maps behind them. By the tile interpreter; DEVICE=1: by the emulator,
 * under all orders of threads, with and without units that multiply for four warps at once.
 *
 *     groups [FROM [TO]]     SHOW=1 prints what fails */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 5 }; /* b m n k q, as a b c d e */

/* So many batches that the tiles are 64 x 128, or 128 x 128. */
static int batches(uint64_t seed) { return seed % 8 == 3 ? 8 : seed % 8 == 7 ? 16 : 0; }

static void choose_sizes(Case *c, Size rows, Size columns, int batch) {
    const int SIZES[LETTERS][4] = {{batch, batch, batch, batch}, {64, 72, 130, 200}, {64, 80, 97, 136}, {64, 72, 131, 200}, {1, 2, 3, 2}};
    for (int i = 0; i < LETTERS; i++) c->size[i] = size_const(c->p->sizes, SIZES[i][rng_below(&c->r, 4)]);
    if (batch || rng_below(&c->r, 2)) c->size[1] = rows;
    if (batch || rng_below(&c->r, 2)) c->size[2] = columns;
    if (!batch && rng_below(&c->r, 4) == 0) c->size[3] = size_const(c->p->sizes, 1000); /* in parts */
}

static Node *product(Case *c, DType t, int batch) {
    char la[8], lb[8], lo[8];
    bool two = rng_below(&c->r, 4) == 0;
    sprintf(la, "%sbd%s", batch ? "a" : "", two ? "e" : "");
    sprintf(lb, "%scd%s", batch ? "a" : "", two ? "e" : "");
    sprintf(lo, "%sbc", batch ? "a" : "");
    if (rng_below(&c->r, 2)) case_shuffle(&c->r, la);
    if (rng_below(&c->r, 2)) case_shuffle(&c->r, lb);
    if (rng_below(&c->r, 4) == 0) case_shuffle(&c->r, lo);
    Size dim_a[4], dim_b[4];
    for (int i = 0; la[i]; i++) dim_a[i] = c->size[la[i] - 'a'];
    for (int i = 0; lb[i]; i++) dim_b[i] = c->size[lb[i] - 'a'];
    return node_contract(c->g, case_input(c, t, (int)strlen(la), dim_a), case_input(c, t, (int)strlen(lb), dim_b), la, lb, lo);
}

static bool agrees(Harness *h, uint64_t seed) {
    Case c = {.r = {seed}};
    DType t = seed % 3 == 1 ? DT_F16 : DT_BF16;
    int batch = batches(seed), most = batch ? 140 : 200;
    case_begin(&c, "groups");
    choose_sizes(&c, size_named(c.p->sizes, size_declare(c.p->sizes, "rows", 1, 4000)), size_named(c.p->sizes, size_declare(c.p->sizes, "columns", 1, 4000)), batch);
    Node *y = product(&c, t, batch);
    case_results(&c, t, y, seed % 3 == 0);
    int64_t sizes[] = {1 + rng_below(&c.r, most), 1 + rng_below(&c.r, most)};
    if (rng_below(&c.r, 2)) sizes[0] = sizes[0] / 8 * 8 + 8, sizes[1] = sizes[1] / 8 * 8 + 8;
    h->tolerance = h->of_largest = 0x1p-7; /* a sum may round to the other side */
    return case_run(&c, h, sizes, arena_printf(c.p->arena, "seed %llu, %s", (unsigned long long)seed, dtype_name(t)));
}

int main(int argc, char **argv) {
    Seeds s = seeds_of(argc, argv, 12);
    Harness h = {.show = getenv("SHOW") != NULL, .target = harness_device(2), .mode = BY_TILE, .like = {"_group_mma", "_parts"}};
    int failures = 0, cases = (int)(s.to - s.from);
    for (uint64_t seed = s.from; seed < s.to && failures < 8; seed++) failures += !agrees(&h, seed);
    if (h.calls_like[0] < (cases + 1) / 2) failures++, printf("only %d products went by groups\n", h.calls_like[0]);
    if (cases >= 16 && h.calls_like[1] < 1) failures++, printf("no sum was in parts\n");
    if (getenv("DEVICE") && cases >= 6 && h.maps < cases / 6) failures++, printf("%d launches went by maps\n", h.maps);
    if (!failures) harness_count(&h);
    return failures != 0;
}
