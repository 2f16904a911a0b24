/* parts.c -- products whose columns are slices with maps in common, as gates are: 2 to 8 slices of 8 to 70 columns, of either operand, run-time
 * and fixed rows, one and several axes of k and of rows, batches, f32 and f64, weights that are packed and operands that are not; the whole
 * product stored, too, a value that is written where it was read, masks by rows; three machines.
 *
 *     parts [FROM [TO [LEVEL]]]     SHOW=1 prints what fails */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <stdlib.h>
#include <string.h>

static Node *slice_of(Case *c, Node *y, int part, Size width) {
    Size lo[MAX_RANK], hi[MAX_RANK];
    for (int i = 0; i < y->type.rank; i++) {
        lo[i] = size_const(c->p->sizes, 0);
        hi[i] = y->type.dim[i];
    }
    lo[y->type.rank - 1] = size_scale(width, part);
    hi[y->type.rank - 1] = size_scale(width, part + 1);
    return node_slice(c->g, y, lo, hi);
}

/* A cell: all slices in turn, with a bias, a value of another tensor and, where there are rows, a mask by rows. */
static Node *cell(Case *c, Node *y, int parts, Size width) {
    static const Op FN[] = {OP_SIGMOID, OP_TANH, OP_NEG, OP_ABS};
    if (rng_below(&c->r, 3)) y = node_map2(c->g, OP_ADD, y, node_expand_like(c->g, case_input(c, y->type.dtype, 1, y->type.dim + y->type.rank - 1), y));
    if (rng_below(&c->r, 3) == 0) y = node_map2(c->g, OP_MUL, y, case_input(c, y->type.dtype, y->type.rank, y->type.dim));
    if (rng_below(&c->r, 3) == 0) graph_result(c->g, "whole", y);
    int first = rng_below(&c->r, parts);
    Node *z = node_map1(c->g, FN[rng_below(&c->r, 4)], slice_of(c, y, first, width));
    Node *old = case_input(c, z->type.dtype, z->type.rank, z->type.dim);
    z = node_map2(c->g, OP_MUL, z, old);
    if (rng_below(&c->r, 3) == 0) graph_result(c->g, "beside", node_map1(c->g, OP_NEG, old));
    for (int i = 1; i < parts; i++) {
        Node *gate = slice_of(c, y, (first + i) % parts, width);
        if (rng_below(&c->r, 3)) gate = node_map1(c->g, FN[rng_below(&c->r, 4)], gate);
        z = node_map2(c->g, rng_below(&c->r, 2) ? OP_ADD : OP_MUL, z, gate);
        if (rng_below(&c->r, 4) == 0) graph_result(c->g, arena_printf(c->p->arena, "z%d", i), z);
    }
    if (z->type.rank < 2 || rng_below(&c->r, 2)) return z;
    Size dim[MAX_RANK];
    memcpy(dim, z->type.dim, sizeof dim);
    dim[z->type.rank - 1] = size_const(c->p->sizes, 1);
    Node *lengths = case_input(c, DT_I32, z->type.rank - 1, dim), *now = case_input(c, DT_I32, 0, dim);
    Node *live = node_map2(c->g, OP_LT, node_expand_like(c->g, now, lengths), lengths);
    live = node_expand(c->g, node_reshape(c->g, live, z->type.rank, dim), z->type.rank, z->type.dim);
    return node_map3(c->g, OP_WHERE, live, z, old);
}

static bool agrees(Harness *h, uint64_t seed) {
    static const int WIDTHS[] = {8, 13, 16, 17, 31, 32, 40, 48, 64, 70}, SIZES[] = {1, 2, 3, 4, 5, 8, 13, 33, 100};
    Case c = {.r = {seed}, .weights = seed / 3 % 2};
    case_begin(&c, "parts");
    Size rows = size_named(c.p->sizes, size_declare(c.p->sizes, "rows", 1, 70));
    int parts = 2 + rng_below(&c.r, rng_below(&c.r, 4) ? 3 : 7), more = rng_below(&c.r, 3);
    Size width = size_const(c.p->sizes, WIDTHS[rng_below(&c.r, 10)]);
    for (int i = 0; i < 26; i++) c.size[i] = size_const(c.p->sizes, SIZES[rng_below(&c.r, 9)]);
    c.size['n' - 'a'] = size_scale(width, parts);
    if (rng_below(&c.r, 2)) c.size['m' - 'a'] = rows;
    if (rng_below(&c.r, 5) == 0) c.size['k' - 'a'] = size_const(c.p->sizes, 900); /* several blocks */
    if (c.size['k' - 'a'] == size_const(c.p->sizes, 900)) more = 0;
    bool batch = rng_below(&c.r, 5) == 0;
    for (int i = 0; i < 26; i++)
        if (strchr("abq", 'a' + i)) c.size[i] = size_const(c.p->sizes, 1 + rng_below(&c.r, 4));
    char la[8] = "", lb[8] = "", lo[8] = "";
    strcat(strcat(strcat(strcat(la, batch ? "b" : ""), more == 1 ? "a" : ""), "m"), more == 2 ? "qk" : "k");
    strcat(strcat(strcat(lb, batch ? "b" : ""), "n"), more == 2 ? "qk" : "k");
    strcat(strcat(strcat(lo, batch ? "b" : ""), more == 1 ? "a" : ""), "m");
    if (rng_below(&c.r, 3) == 0) case_shuffle(&c.r, la), case_shuffle(&c.r, lo);
    if (rng_below(&c.r, 2)) case_shuffle(&c.r, lb);
    strcat(lo, "n"); /* slices are of the last axis */
    DType t = seed % 5 == 3 ? DT_F64 : DT_F32;
    Node *x = case_operand(&c, t, la), *w = case_operand(&c, t, lb);
    bool swap = rng_below(&c.r, 3) == 0;
    Node *y = swap ? node_contract(c.g, w, x, lb, la, lo) : node_contract(c.g, x, w, la, lb, lo);
    graph_result(c.g, "z", cell(&c, y, parts, width));
    int64_t sizes[] = {1 + rng_below(&c.r, rng_below(&c.r, 3) ? 70 : 4)};
    h->tolerance = 1e-3;
    const char *name = arena_printf(c.p->arena, "seed %llu: %s %s -> %s in %d, %s, v%d", (unsigned long long)seed, la, lb, lo, parts, dtype_name(t), h->target.level);
    return case_run(&c, h, sizes, name);
}

int main(int argc, char **argv) {
    Harness h = {.show = getenv("SHOW") != NULL};
    Sweep s = harness_sweep(&h, argc, argv, 90, 4, agrees);
    if (h.parts < s.cases - s.cases / 8) s.failures++, printf("only %d products were made in parts\n", h.parts);
    if (s.cases >= 60 && h.packs < s.cases / 10) s.failures++, printf("only %d weights were packed\n", h.packs);
    return s.failures != 0;
}
