/* contract.c -- products with random letters: any order of axes, batches, several axes a group, sizes 1 to 300 and run-time
 * sizes, operands through permuted, sliced, reshaped and repeated views, f32, f64, i32 and f32 by i8, maps behind the product,
 * weights that are read from packed copies, weights that are unpacked where they are read; three machines. i8 by i8, to the bit, all
 * values of the type: four machines.
 *
 *     contract [FROM [TO [LEVEL]]]     SHOW=1 prints what fails; LEVEL 2, 3, 4 or 5: all by code of that instruction set */
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Program *p;
    Graph *g;
    Entry *e;
    Rng r;
    Size size[26]; /* of letters */
    bool weights;  /* operands of fixed sizes are parameters */
    bool codes;    /* products of i8 by i8 */
} Case;

static bool is_fixed(int rank, const Size *dim) {
    for (int i = 0; i < rank; i++) {
        if (!size_is_static(dim[i])) return false;
    }
    return true;
}

static Node *weight(Case *c, DType d, int rank, const Size *dim) {
    Slot *s = NEW(c->p->arena, Slot);
    *s = (Slot){.path = arena_printf(c->p->arena, "w%d", c->p->slots.n), .kind = SLOT_PARAM, .index = c->p->slots.n};
    s->type = type_of(d, rank, dim);
    PUSH(c->p->arena, c->p->slots, s);
    return node_leaf(c->g, OP_SLOT, &(Attrs){.index = s->index, .name = s->path}, s->type);
}

static Node *input(Case *c, DType d, int rank, const Size *dim) {
    if (c->weights && is_fixed(rank, dim)) return weight(c, d, rank, dim);
    int i = c->e->n_inputs++;
    c->e->inputs[i] = (EntryInput){.name = arena_printf(c->p->arena, "x%d", i), .type = type_of(d, rank, dim)};
    return node_leaf(c->g, OP_INPUT, &(Attrs){.index = i, .name = c->e->inputs[i].name}, c->e->inputs[i].type);
}

static void shuffle(Rng *r, char *s) {
    for (int i = (int)strlen(s) - 1; i > 0; i--) {
        int j = rng_below(r, i + 1);
        char x = s[i];
        s[i] = s[j];
        s[j] = x;
    }
}

static int order_of(const char *letters, char x) {
    return (int)(strchr(letters, x) - letters);
}

/* A weight in fewer bytes than its values: codes times scales that lack some of its axes. The product computes the values itself. */
static Node *unpacked(Case *c, const char *letters) {
    Size dim[MAX_RANK], fewer[MAX_RANK];
    int rank = (int)strlen(letters);
    for (int i = 0; i < rank; i++) {
        dim[i] = c->size[letters[i] - 'a'];
        fewer[i] = i && rng_below(&c->r, 2) ? dim[i] : size_const(c->p->sizes, 1);
    }
    Node *codes = node_cast(c->g, weight(c, DT_I8, rank, dim), DT_F32);
    Node *scales = node_cast(c->g, weight(c, DT_F16, rank, fewer), DT_F32);
    return node_map2(c->g, OP_MUL, codes, node_expand_like(c->g, scales, codes));
}

/* A value with the axes of letters, in some way made by views from an input. */
static Node *operand(Case *c, DType d, const char *letters) {
    Size dim[MAX_RANK], lo[MAX_RANK], hi[MAX_RANK];
    char stored[MAX_RANK + 1];
    int rank = (int)strlen(letters), order[MAX_RANK];
    for (int i = 0; i < rank; i++) dim[i] = c->size[letters[i] - 'a'];
    switch (rng_below(&c->r, 5)) {
    case 0: { /* stored in another order */
        strcpy(stored, letters);
        shuffle(&c->r, stored);
        for (int i = 0; i < rank; i++) dim[i] = c->size[stored[i] - 'a'];
        Node *x = input(c, d, rank, dim);
        for (int i = 0; i < rank; i++) order[i] = order_of(stored, letters[i]);
        return node_permute(c->g, x, order);
    }
    case 1: { /* a part of something larger */
        int axis = rank ? rng_below(&c->r, rank) : 0;
        Size more = size_const(c->p->sizes, 1 + rng_below(&c->r, 20)), zero = size_const(c->p->sizes, 0);
        if (!rank) break;
        for (int i = 0; i < rank; i++) {
            lo[i] = zero;
            hi[i] = dim[i];
        }
        lo[axis] = more;
        hi[axis] = size_add(dim[axis], more);
        dim[axis] = size_add(dim[axis], size_scale(more, 2));
        return node_slice(c->g, input(c, d, rank, dim), lo, hi);
    }
    case 2: { /* two axes stored as one */
        if (rank < 2) break;
        Size flat[MAX_RANK];
        int axis = rng_below(&c->r, rank - 1);
        for (int i = 0, n = 0; i < rank; i++) {
            if (i == axis + 1) flat[n - 1] = size_mul(flat[n - 1], dim[i]);
            else flat[n++] = dim[i];
        }
        return node_reshape(c->g, input(c, d, rank - 1, flat), rank, dim);
    }
    case 3: { /* one axis repeated */
        if (rank < 2) break;
        return node_expand(c->g, input(c, d, rank - 1, dim + 1), rank, dim);
    }
    default: break;
    }
    return input(c, d, rank, dim);
}

static Size random_size(Case *c, const Size *named, bool fixed) {
    static const int SIZES[] = {1, 2, 3, 5, 7, 8, 16, 17, 31, 32, 48, 70, 300};
    int k = rng_below(&c->r, fixed ? 13 : 18);
    if (k < 13) return size_const(c->p->sizes, SIZES[k]);
    if (k == 17) return size_add(named[0], size_const(c->p->sizes, 1));
    return named[k % 4];
}

static Tensor *random_tensor(Case *c, const Type *type, const int64_t *sizes) {
    int64_t dim[MAX_RANK];
    for (int k = 0; k < type->rank; k++) size_eval(type->dim[k], sizes, &dim[k]);
    Tensor *x = tensor_new(c->p->arena, type->dtype, type->rank, dim);
    for (int64_t k = 0; k < x->count; k++) {
        if (x->f) x->f[k] = (float)rng_unit(&c->r);
        else if (c->codes && x->dtype == DT_I8) x->i[k] = rng_below(&c->r, 3) ? rng_below(&c->r, 256) - 128 : 127 - 255 * rng_below(&c->r, 2);
        else x->i[k] = x->dtype == DT_I8 ? rng_below(&c->r, 32) - 16 : rng_below(&c->r, 2001) - 1000;
    }
    return x;
}

/* What follows a product: a bias and a function; scales, behind one of codes. */
static Node *maps_behind(Case *c, Node *y) {
    DType t = c->codes ? DT_F32 : y->type.dtype;
    y = node_cast(c->g, y, t);
    Node *row = node_expand_like(c->g, input(c, t, 1, y->type.dim + y->type.rank - 1), y);
    if (c->codes) return node_map2(c->g, OP_MUL, y, row);
    y = node_map2(c->g, OP_ADD, y, row);
    return dtype_is_float(t) ? node_map1(c->g, OP_TANH, y) : y;
}

static bool is_of_codes(uint64_t seed) { return seed % 5 == 2; }

static bool agrees(Harness *h, uint64_t seed) {
    Arena *a = arena_new();
    Diag *d = diag_new();
    if (is_of_codes(seed) && h->target.level == 4 && seed / 5 % 2 && (h->mode == BY_TILE || harness_can_run(5))) h->target = harness_target(5, 2);
    Case c = {.p = NEW(a, Program), .r = {seed}, .weights = seed / 4 % 2, .codes = is_of_codes(seed)};
    c.p->arena = a;
    c.p->name = "contract";
    c.p->sizes = size_table_new(a);
    Size named[4];
    static const int HIGH[4] = {3, 9, 70, 700};
    for (int i = 0; i < 4; i++)
        named[i] =
            size_named(c.p->sizes, size_declare(c.p->sizes, arena_printf(a, "s%d", i), 1, i == 3 ? SIZE_NO_LIMIT : HIGH[i]));
    c.g = graph_new(a, c.p);
    c.e = NEW(a, Entry);
    *c.e = (Entry){.name = "run", .graph = c.g, .inputs = NEW_ARRAY(a, EntryInput, 8)};
    PUSH(a, c.p->entries, c.e);
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
    if (!c.codes || rng_below(&c.r, 3) == 0) shuffle(&c.r, la); /* else steps of codes lie side by side */
    shuffle(&c.r, lb);
    shuffle(&c.r, lo);
    DType b = t == DT_F32 && seed % 7 == 5 ? DT_I8 : t; /* codes of a quantized weight */
    Node *x = operand(&c, t, la);
    Node *w = c.weights && t == DT_F32 && seed % 3 == 1 ? unpacked(&c, lb) : operand(&c, b, lb);
    Node *y = node_contract(c.g, x, w, la, lb, lo);
    graph_result(c.g, "y", y);
    if (seed % 2 && y->type.rank) graph_result(c.g, "z", maps_behind(&c, y));
    Eval values = {.arena = a, .program = c.p, .slots = NEW_ARRAY(a, Tensor *, 8)};
    int64_t *sizes = NEW_ARRAY(a, int64_t, 4);
    for (int i = 0; i < 4; i++) sizes[i] = 1 + rng_below(&c.r, i == 3 && letters > 4 ? 40 : HIGH[i]);
    values.sizes = sizes;
    values.inputs = NEW_ARRAY(a, Tensor *, 8);
    double work = 1, terms = 1;
    for (int i = 0; i < letters; i++) {
        int64_t v = 1;
        size_eval(c.size[i], sizes, &v);
        work *= (double)v;
        if (!strchr(lo, 'a' + i)) terms *= (double)v;
    }
    h->tolerance = c.codes ? 0 : fmax(4e-4, 0x1p-21 * terms); /* some ulps for each of the terms, which may nearly cancel: a kernel may add them in any order */
    bool ok = true;
    if (work < 4e6) {
        for (int i = 0; i < c.e->n_inputs; i++) values.inputs[i] = random_tensor(&c, &c.e->inputs[i].type, sizes);
        for (int i = 0; i < c.p->slots.n; i++) values.slots[i] = random_tensor(&c, &c.p->slots.at[i]->type, sizes);
        const char *name = arena_printf(a, "seed %llu: %s %s -> %s, %s, v%d", (unsigned long long)seed, la, lb, lo,
                                        dtype_name(t), h->target.level);
        ok = passes_run(c.p, &(PassOptions){.level = 2}, d) && harness_run(h, c.p, c.e, &values, 2, name);
    }
    diag_free(d);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    Harness h = {.show = getenv("SHOW") != NULL, .like = {"_codes"}};
    Sweep s = harness_sweep(&h, argc, argv, 110, 4, agrees);
    if (h.kinds[KERNEL_CONTRACT] < s.cases / 2) s.failures++, printf("only %d products were run\n", h.kinds[KERNEL_CONTRACT]);
    if (s.cases >= 60 && h.packs < s.cases / 45) s.failures++, printf("only %d weights were packed\n", h.packs);
    if (s.cases >= 60 && h.prologues < s.cases / 45) s.failures++, printf("only %d weights were unpacked\n", h.prologues);
    if (s.cases >= 60 && h.calls_like[0] < s.cases / 27) s.failures++, printf("only %d products of codes were made of steps\n", h.calls_like[0]);
    if (s.level && !s.failures) printf("%d kernels with a product\n", h.kinds[KERNEL_CONTRACT]);
    return s.failures != 0;
}
