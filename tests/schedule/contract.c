/* contract.c -- products with random letters: any order of axes, batches, several axes a group, sizes 1 to 300 and run-time
 * sizes, operands through permuted, sliced, reshaped and repeated views, f32, f64, i32 and f32 by i8, maps behind the product,
 * weights that are read from packed copies, weights that are unpacked where they are read; three machines. i8 by i8, to the bit, all
 * values of the type: four machines.
 *
 *     contract [FROM [TO [LEVEL]]]     SHOW=1 prints what fails; LEVEL 2, 3, 4 or 5: all by code of that instruction set */
#include "tests/schedule/harness.h"
#include "tests/schedule/letters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A weight in fewer bytes than its values: codes times scales that lack some of its axes. The product computes the values itself. */
static Node *unpacked(Case *c, const char *letters) {
    Size dim[MAX_RANK], fewer[MAX_RANK];
    int rank = (int)strlen(letters);
    for (int i = 0; i < rank; i++) {
        dim[i] = c->size[letters[i] - 'a'];
        fewer[i] = i && rng_below(&c->r, 2) ? dim[i] : size_const(c->p->sizes, 1);
    }
    Node *codes = node_cast(c->g, case_weight(c, DT_I8, rank, dim), DT_F32);
    Node *scales = node_cast(c->g, case_weight(c, DT_F16, rank, fewer), DT_F32);
    return node_map2(c->g, OP_MUL, codes, node_expand_like(c->g, scales, codes));
}

static Size random_size(Case *c, const Size *named, bool fixed) {
    static const int SIZES[] = {1, 2, 3, 5, 7, 8, 16, 17, 31, 32, 48, 70, 300};
    int k = rng_below(&c->r, fixed ? 13 : 18);
    if (k < 13) return size_const(c->p->sizes, SIZES[k]);
    if (k == 17) return size_add(named[0], size_const(c->p->sizes, 1));
    return named[k % 4];
}

/* What follows a product: a bias and a function; scales, behind one of codes. */
static Node *maps_behind(Case *c, Node *y) {
    DType t = c->codes ? DT_F32 : y->type.dtype;
    y = node_cast(c->g, y, t);
    Node *row = node_expand_like(c->g, case_input(c, t, 1, y->type.dim + y->type.rank - 1), y);
    if (c->codes) return node_map2(c->g, OP_MUL, y, row);
    y = node_map2(c->g, OP_ADD, y, row);
    return dtype_is_float(t) ? node_map1(c->g, OP_TANH, y) : y;
}

static bool is_of_codes(uint64_t seed) { return seed % 5 == 2; }

static bool agrees(Harness *h, uint64_t seed) {
    if (is_of_codes(seed) && h->target.level == 4 && seed / 5 % 2 && (h->mode == BY_TILE || harness_can_run(5))) h->target = harness_target(5, 2);
    Case c = {.r = {seed}, .weights = seed / 4 % 2, .codes = is_of_codes(seed)};
    case_begin(&c, "contract");
    Arena *a = c.p->arena;
    Size named[4];
    static const int HIGH[4] = {3, 9, 70, 700};
    for (int i = 0; i < 4; i++)
        named[i] =
            size_named(c.p->sizes, size_declare(c.p->sizes, arena_printf(a, "s%d", i), 1, i == 3 ? SIZE_NO_LIMIT : HIGH[i]));
    DType t = seed % 5 == 3 ? DT_F64 : seed % 5 == 4 ? DT_I32 : c.codes ? DT_I8 : DT_F32;
    char la[16] = "", lb[16] = "", lo[16] = "";
    int letters = 0;
    for (int group = 0; group < 4; group++) /* batch, m, n, k */
        for (int n = rng_below(&c.r, group == 0 ? 2 : 3); n >= (group == 3); n--) {
            char x[2] = {(char)('a' + letters), 0};
            if (n == 0 && rng_below(&c.r, 4)) break;
            c.size[letters++] = random_size(&c, named, (c.weights && group != 1) || (c.codes && group == 3)); /* those of b */
            if (group != 2) strcat(la, x);
            if (group != 1) strcat(lb, x);
            if (group != 3) strcat(lo, x);
        }
    if (!c.codes || rng_below(&c.r, 3) == 0) case_shuffle(&c.r, la); /* else steps of codes lie side by side */
    case_shuffle(&c.r, lb);
    case_shuffle(&c.r, lo);
    DType b = t == DT_F32 && seed % 7 == 5 ? DT_I8 : t; /* codes of a quantized weight */
    Node *x = case_operand(&c, t, la);
    Node *w = c.weights && t == DT_F32 && seed % 3 == 1 ? unpacked(&c, lb) : case_operand(&c, b, lb);
    Node *y = node_contract(c.g, x, w, la, lb, lo);
    graph_result(c.g, "y", y);
    if (seed % 2 && y->type.rank) graph_result(c.g, "z", maps_behind(&c, y));
    int64_t *sizes = NEW_ARRAY(a, int64_t, 4);
    for (int i = 0; i < 4; i++) sizes[i] = 1 + rng_below(&c.r, i == 3 && letters > 4 ? 40 : HIGH[i]);
    double work = 1, terms = 1;
    for (int i = 0; i < letters; i++) {
        int64_t v = 1;
        size_eval(c.size[i], sizes, &v);
        work *= (double)v;
        if (!strchr(lo, 'a' + i)) terms *= (double)v;
    }
    h->tolerance = c.codes ? 0 : fmax(4e-4, 0x1p-21 * terms); /* some ulps for each of the terms, which may nearly cancel: a kernel may add them in any order */
    if (work < 4e6)
        return case_run(&c, h, sizes, arena_printf(a, "seed %llu: %s %s -> %s, %s, v%d", (unsigned long long)seed, la, lb, lo, dtype_name(t), h->target.level));
    case_end(&c);
    return true;
}

int main(int argc, char **argv) {
    Harness h = {.show = getenv("SHOW") != NULL, .like = {"_codes", "_dots"}};
    Sweep s = harness_sweep(&h, argc, argv, 110, 4, agrees);
    if (h.kinds[KERNEL_CONTRACT] < s.cases / 2) s.failures++, printf("only %d products were run\n", h.kinds[KERNEL_CONTRACT]);
    if (s.cases >= 60 && h.packs < s.cases / 45) s.failures++, printf("only %d weights were packed\n", h.packs);
    if (s.cases >= 60 && h.prologues < s.cases / 60) s.failures++, printf("only %d weights were unpacked\n", h.prologues);
    if (s.cases >= 60 && h.calls_like[0] < s.cases / 27) s.failures++, printf("only %d products of codes were made of steps\n", h.calls_like[0]);
    if (s.level && !s.failures) printf("%d kernels with a product\n", h.kinds[KERNEL_CONTRACT]);
    if (!s.failures) harness_count(&h);
    return s.failures != 0;
}
