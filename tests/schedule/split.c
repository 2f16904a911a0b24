/* split.c -- random products with few results and many terms, which a device sums in parts: one to 40 rows, any order of axes, batches, one
 * or two axes of k, one of them of run-time size, down to a single term, so that parts may be empty; f32, bf16, f16, f64 and i32; operands
 * through views; maps behind the sums. By the tile interpreter; DEVICE=1: by the emulator, under all orders of threads.
 *
 *     split [FROM [TO [tf32]]]     SHOW=1 prints what fails; tf32: all of f32, in a program whose precision is that */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 5 }; /* b m n k q, as a b c d e */

static DType type_of_case(uint64_t seed, bool tf32) {
    static const DType TYPES[] = {DT_F32, DT_BF16, DT_F16, DT_F32, DT_BF16, DT_F64, DT_F32, DT_I32};
    return tf32 ? DT_F32 : TYPES[seed % 8];
}

static void choose_sizes(Case *c, Size named) {
    static const int SIZES[LETTERS][4] = {{1, 2, 3, 2}, {2, 9, 17, 40}, {16, 31, 40, 70}, {515, 640, 777, 1024}, {1, 2, 3, 7}};
    for (int i = 0; i < LETTERS; i++) c->size[i] = size_const(c->p->sizes, SIZES[i][rng_below(&c->r, 4)]);
    if (rng_below(&c->r, 3) == 0) c->size[3 + rng_below(&c->r, 2)] = named;
}

static Node *product(Case *c, DType t) {
    char la[8], lb[8], lo[8];
    bool batch = rng_below(&c->r, 4) == 0, rows = rng_below(&c->r, 4), two = rng_below(&c->r, 2);
    sprintf(la, "%s%sd%s", batch ? "a" : "", rows ? "b" : "", two ? "e" : "");
    sprintf(lb, "%scd%s", batch ? "a" : "", two ? "e" : "");
    sprintf(lo, "%s%sc", batch ? "a" : "", rows ? "b" : "");
    if (rng_below(&c->r, 2)) case_shuffle(&c->r, la);
    if (rng_below(&c->r, 2)) case_shuffle(&c->r, lb);
    if (rng_below(&c->r, 4) == 0) case_shuffle(&c->r, lo);
    return node_contract(c->g, case_operand(c, t, la), case_operand(c, t, lb), la, lb, lo);
}

static bool agrees(Harness *h, uint64_t seed, bool tf32) {
    Case c = {.r = {seed}};
    DType t = type_of_case(seed, tf32);
    case_begin(&c, "split");
    c.p->tf32 = tf32;
    choose_sizes(&c, size_named(c.p->sizes, size_declare(c.p->sizes, "terms", 1, 700)));
    Node *y = product(&c, t);
    case_results(&c, t, y, seed % 3 == 0);
    int64_t sizes[] = {rng_below(&c.r, 3) ? 1 + rng_below(&c.r, 700) : 1 + rng_below(&c.r, 20)};
    h->tolerance = dtype_bytes(t) == 2 ? 0x1p-7 : t == DT_F64 ? 1e-10 : 2e-3; /* up to 7,000 terms, in any order; 16 bits: a sum may round to the other side */
    h->of_largest = dtype_bytes(t) == 2 ? 0x1p-7 : tf32 ? 0x1p-9 : 0;
    return case_run(&c, h, sizes, arena_printf(c.p->arena, "seed %llu, %s", (unsigned long long)seed, dtype_name(t)));
}

int main(int argc, char **argv) {
    Seeds s = seeds_of(argc, argv, 40);
    Harness h = {.show = getenv("SHOW") != NULL, .target = harness_device(2), .mode = BY_TILE, .like = {"_parts", "_mma"}};
    int failures = 0, cases = (int)(s.to - s.from);
    bool tf32 = argc > 3 && !strcmp(argv[3], "tf32");
    for (uint64_t seed = s.from; seed < s.to && failures < 8; seed++) failures += !agrees(&h, seed, tf32);
    if (h.calls_like[0] < cases * 3 / 4) failures++, printf("only %d sums were in parts\n", h.calls_like[0]);
    if (cases >= 20 && h.calls_like[1] < cases / 10) failures++, printf("only %d of matrices\n", h.calls_like[1]);
    if (!failures) harness_count(&h);
    return failures != 0;
}
