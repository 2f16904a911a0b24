/* pairs.c -- random products of bf16 by bf16: batches, one or two axes of k, odd sizes and run-time rows, operands in any order of axes,
 * weights that are read from packed copies (stored in bf16, or in f32 and rounded on the way) and operands that are packed at the call,
 * maps behind the product; five machines, and a device by the tile interpreter. DEVICE=1: a device by the emulator, and f16, too. A third
 * argument, tf32: products of f32 in a program whose precision is that, of every other seed numbers that tf32 has.
 *
 *     pairs [FROM [TO [tf32]]]     SHOW=1 prints what fails */
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

#include "ir/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 5 }; /* b m n k q */
static const char letters[] = "bmnkq";

typedef struct Case {
    Arena *a;
    Program *p;
    Graph *g;
    Entry *e;
    Rng r;
    Size size[LETTERS];
    DType half; /* what is multiplied */
    bool exact; /* tf32 has all values of it */
} Case;

static Node *leaf(Case *c, bool slot, DType d, int rank, const Size *dim) {
    Type t = type_of(d, rank, dim);
    if (!slot) {
        int i = c->e->n_inputs++;
        c->e->inputs[i] = (EntryInput){.name = arena_printf(c->a, "x%d", i), .type = t};
        return node_leaf(c->g, OP_INPUT, &(Attrs){.index = i, .name = c->e->inputs[i].name}, t);
    }
    Slot *s = NEW(c->a, Slot);
    *s = (Slot){.path = arena_printf(c->a, "w%d", c->p->slots.n), .kind = SLOT_PARAM, .index = c->p->slots.n, .type = t};
    PUSH(c->a, c->p->slots, s);
    return node_leaf(c->g, OP_SLOT, &(Attrs){.index = s->index, .name = s->path}, t);
}

static Node *operand(Case *c, const char *axes, bool slot) {
    Size dim[LETTERS];
    int n = (int)strlen(axes);
    for (int i = 0; i < n; i++) dim[i] = c->size[strchr(letters, axes[i]) - letters];
    bool rounded = slot && rng_below(&c->r, 2);
    return node_cast(c->g, leaf(c, slot, rounded ? DT_F32 : c->half, n, dim), c->half);
}

static void shuffle(Rng *r, char *s) {
    for (int i = (int)strlen(s) - 1; i > 0; i--) {
        int j = rng_below(r, i + 1);
        char x = s[i];
        s[i] = s[j];
        s[j] = x;
    }
}

static Tensor *values_of(Case *c, const Type *t, const int64_t *sizes) {
    int64_t dim[MAX_RANK];
    for (int k = 0; k < t->rank; k++) size_eval(t->dim[k], sizes, &dim[k]);
    Tensor *x = tensor_new(c->a, t->dtype, t->rank, dim);
    for (int64_t k = 0; k < x->count; k++) x->f[k] = round_float(c->exact ? DT_F16 : t->dtype, rng_unit(&c->r));
    return x;
}

static DType half_of(const Harness *h, uint64_t seed, bool tf32) {
    return tf32 ? DT_F32 : h->target.device && seed % 3 == 0 ? DT_F16 : DT_BF16;
}

static bool agrees(Harness *h, uint64_t seed, bool tf32) {
    static const int SIZES[] = {1, 2, 3, 7, 8, 17, 31, 32, 48, 70, 130};
    static const int MATRIX[] = {8, 16, 17, 31, 40, 48, 70, 96, 130, 160, 72}; /* odd ones, and ones whose rows begin at multiples of 16 bytes */
    Case c = {.a = arena_new(), .r = {seed}, .half = half_of(h, seed, tf32), .exact = tf32 && seed % 2};
    Diag *d = diag_new();
    c.e = harness_entry(c.a, "pairs", 4);
    c.g = c.e->graph;
    c.p = c.g->program;
    c.p->tf32 = tf32;
    for (int i = 0; i < LETTERS; i++) c.size[i] = size_const(c.p->sizes, (h->target.device && i % 4 ? MATRIX : SIZES)[rng_below(&c.r, i % 4 ? 11 : 4)]);
    if (rng_below(&c.r, 2)) c.size[1] = size_named(c.p->sizes, size_declare(c.p->sizes, "rows", 1, 300));
    bool batch = rng_below(&c.r, 3) == 0, two = rng_below(&c.r, 4) == 0, slot = rng_below(&c.r, 2);
    char la[8] = "", lb[8] = "", lo[8] = "";
    sprintf(la, "%sm%sk", batch ? "b" : "", two ? "q" : "");
    sprintf(lb, "%s%s", rng_below(&c.r, 2) ? "n" : "", two ? "qk" : "k");
    if (!strchr(lb, 'n')) strcat(lb, "n");
    if (batch && rng_below(&c.r, 2)) strcat(lb, "b");
    sprintf(lo, "%smn", batch ? "b" : "");
    if (rng_below(&c.r, 4) == 0) shuffle(&c.r, la), shuffle(&c.r, lo);
    Node *y = node_contract(c.g, operand(&c, la, false), operand(&c, lb, slot), la, lb, lo);
    graph_result(c.g, "y", y);
    Size last[] = {y->type.dim[y->type.rank - 1]};
    Node *bias = leaf(&c, false, c.half, 1, last), *sum = node_map2(c.g, OP_ADD, y, node_expand_like(c.g, bias, y));
    if (seed % 2) graph_result(c.g, "z", node_map1(c.g, OP_TANH, sum));
    int64_t sizes[] = {1 + rng_below(&c.r, 300)};
    Eval values = {.arena = c.a, .program = c.p, .sizes = sizes, .slots = NEW_ARRAY(c.a, Tensor *, 2), .inputs = NEW_ARRAY(c.a, Tensor *, 4)};
    for (int i = 0; i < c.e->n_inputs; i++) values.inputs[i] = values_of(&c, &c.e->inputs[i].type, sizes);
    for (int i = 0; i < c.p->slots.n; i++) values.slots[i] = values_of(&c, &c.p->slots.at[i]->type, sizes);
    h->tolerance = h->of_largest = c.exact ? 0x1p-13 : tf32 ? 0x1p-9 : 0x1p-7; /* a sum may round to the other side, and what is made of it */
    const char *name = arena_printf(c.a, "seed %llu: %s %s -> %s, level %d", (unsigned long long)seed, la, lb, lo, h->target.level);
    bool ok = passes_run(c.p, &(PassOptions){.level = 2}, d) && harness_run(h, c.p, c.e, &values, 2, name);
    diag_free(d);
    arena_free(c.a);
    return ok;
}

int main(int argc, char **argv) {
    Seeds s = seeds_of(argc, argv, 60);
    Harness h = {.show = getenv("SHOW") != NULL, .like = {"_codes", "_mma"}};
    int failures = 0, cases = (int)(s.to - s.from);
    bool device = getenv("DEVICE") != NULL, tf32 = argc > 3 && !strcmp(argv[3], "tf32");
    for (uint64_t seed = s.from; seed < s.to && failures < 8; seed++) {
        int level = 2 + (int)(seed % 6);
        h.mode = seed % 7 && level < 7 && harness_can_run(level) ? BY_CODE : BY_TILE;
        h.target = device || level == 7 ? harness_device(2) : harness_target(level, 2);
        failures += !agrees(&h, seed, tf32);
    }
    if (cases >= 60 && !device && h.calls_like[0] < cases / 6) failures++, printf("only %d products went by pairs\n", h.calls_like[0]);
    if (cases >= 12 && h.calls_like[1] < (device ? cases / 3 : cases / 20)) failures++, printf("only %d products went by matrices\n", h.calls_like[1]);
    if (cases >= 60 && !device && h.packs < cases / 20) failures++, printf("only %d weights were packed\n", h.packs);
    if (!failures) harness_count(&h);
    return failures != 0;
}
