/* views.c -- chains of views, accesses and index operations on random shapes: reshapes that split and merge axes unevenly,
 * permutes, slices, expands, pads, concats, reversals, gathers, scatters, updates, cumulative sums, draws, reductions of every
 * function; several dtypes.
 *
 *     views [FROM [TO]]     SHOW=1 prints what fails */
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Program *p;
    Graph *g;
    Entry *e;
    Rng r;
    Size named[2];
    const int64_t *sizes;
    Tensor *inputs[32];
    int results;
} Case;

static Size whole(Case *c, int64_t n) {
    return size_const(c->p->sizes, n);
}

static int64_t value(Case *c, Size s) {
    int64_t v = 0;
    size_eval(s, c->sizes, &v);
    return v;
}

/* A new input; integers lie in 0 .. below - 1. */
static Node *input(Case *c, DType d, int rank, const Size *dim, int64_t below) {
    int i = c->e->n_inputs++;
    int64_t n[MAX_RANK];
    c->e->inputs[i] = (EntryInput){.name = arena_printf(c->p->arena, "x%d", i), .type = type_of(d, rank, dim)};
    for (int k = 0; k < rank; k++) n[k] = value(c, dim[k]);
    Tensor *x = c->inputs[i] = tensor_new(c->p->arena, d, rank, n);
    for (int64_t k = 0; k < x->count; k++) {
        if (x->f) x->f[k] = (float)rng_unit(&c->r);
        else x->i[k] = rng_below(&c->r, (int)below);
    }
    return node_leaf(c->g, OP_INPUT, &(Attrs){.index = i, .name = c->e->inputs[i].name}, c->e->inputs[i].type);
}

static Size random_size(Case *c) {
    static const int SIZES[] = {1, 2, 3, 4, 6, 8, 12, 16, 17, 20};
    int k = rng_below(&c->r, 13);
    return k < 10 ? whole(c, SIZES[k]) : c->named[k % 2];
}

static int64_t least(Size s) {
    int64_t low, high;
    size_range(s, &low, &high);
    return low;
}

/* Another shape with as many elements: axes merged, then static ones taken apart elsewhere. */
static Node *step_reshape(Case *c, Node *x) {
    Size dim[MAX_RANK], total = whole(c, 1);
    int64_t n = 1, rank = 0;
    for (int i = 0; i < x->type.rank; i++) {
        int64_t v;
        if (size_is_const(x->type.dim[i], &v)) n *= v;
        else total = size_mul(total, x->type.dim[i]);
    }
    if (!size_is(total, 1) && rng_below(&c->r, 2)) dim[rank++] = total, total = whole(c, 1);
    while (n > 1 && rank < 4 && rng_below(&c->r, 4)) {
        int64_t f = 2 + rng_below(&c->r, 5);
        if (n % f) continue;
        dim[rank++] = whole(c, f);
        n /= f;
    }
    dim[rank++] = size_scale(total, n);
    return node_reshape(c->g, x, (int)rank, dim);
}

static Node *step_view(Case *c, Node *x) {
    int rank = x->type.rank, axis = rank ? rng_below(&c->r, rank) : 0, order[MAX_RANK];
    Size dim[MAX_RANK], lo[MAX_RANK], hi[MAX_RANK];
    memcpy(dim, x->type.dim, sizeof dim);
    for (int i = 0; i < rank; i++) lo[i] = whole(c, 0), hi[i] = dim[i];
    if (!rank) return x;
    switch (rng_below(&c->r, 9)) {
    case 0:
    case 1:
    case 2: return step_reshape(c, x);
    case 3:
        for (int i = 0; i < rank; i++) order[i] = (i + 1 + axis) % rank;
        return node_permute(c->g, x, order);
    case 4:
        if (least(dim[axis]) < 3) return x;
        lo[axis] = whole(c, 1);
        hi[axis] = size_sub(dim[axis], whole(c, 1));
        return node_slice(c->g, x, lo, hi);
    case 5:
        if (rank > 4) return x;
        memmove(dim + 1, dim, sizeof *dim * (size_t)rank);
        dim[0] = whole(c, 3);
        return node_expand(c->g, x, rank + 1, dim);
    case 6: {
        Attrs attrs = {.number = x->type.dtype == DT_F32 ? 0.5 : 1};
        for (int i = 0; i < rank; i++) attrs.lo[i] = attrs.hi[i] = whole(c, 0);
        attrs.lo[axis] = whole(c, rng_below(&c->r, 3));
        attrs.hi[axis] = whole(c, rng_below(&c->r, 3));
        return graph_add(c->g, OP_PAD, &attrs, 1, &x);
    }
    case 7: return graph_add(c->g, OP_REV, &(Attrs){.axis = axis}, 1, &x);
    default: {
        Node *other = input(c, x->type.dtype, rank, dim, 2), *in[3] = {x, other, x};
        return graph_add(c->g, OP_CONCAT, &(Attrs){.axis = axis}, 2 + rng_below(&c->r, 2), in);
    }
    }
}

/* Integers in 0 .. below - 1: an input, a constant, or the places along an axis. */
static Node *places(Case *c, int rank, const Size *dim, int64_t below) {
    Type type = type_of(DT_I32, rank, dim);
    int64_t n;
    switch (rng_below(&c->r, 4)) {
    case 0: return node_const(c->g, type, rng_below(&c->r, (int)below));
    case 1:
        if (!size_is_const(dim[0], &n) || n > below) break;
        return node_leaf(c->g, OP_IOTA, &(Attrs){.axis = 0}, type);
    default: break;
    }
    return input(c, DT_I32, rank, dim, below);
}

static Node *step_index(Case *c, Node *x) {
    int rank = x->type.rank, axis = rank ? rng_below(&c->r, rank) : 0;
    if (!rank || rank > 4 || least(x->type.dim[axis]) < 1) return x;
    Size dim[MAX_RANK];
    memcpy(dim, x->type.dim, sizeof dim);
    int64_t n = least(dim[axis]);
    switch (rng_below(&c->r, 8)) {
    case 7: {
        if (x->type.dtype == DT_BOOL) return x;
        Node *in[2] = {x, NULL};
        if (rng_below(&c->r, 2)) in[1] = graph_add(c->g, OP_SORT_IDS, &(Attrs){.flag = rng_below(&c->r, 2)}, 1, in);
        else in[1] = graph_add(c->g, OP_TOPK_IDS, &(Attrs){.extent = whole(c, 1)}, 1, in);
        return graph_add(c->g, OP_GATHER, &(Attrs){.axis = rank - 1, .flag = 1}, 2, in);
    }
    case 0: {
        Size ids[2] = {random_size(c), whole(c, 3)};
        Node *in[2] = {x, input(c, rng_below(&c->r, 2) ? DT_I32 : DT_I64, 1 + rng_below(&c->r, 2), ids, n)};
        return graph_add(c->g, OP_GATHER, &(Attrs){.axis = axis}, 2, in);
    }
    case 1: {
        dim[axis] = random_size(c);
        Node *in[2] = {x, input(c, DT_I32, rank, dim, n)};
        return graph_add(c->g, OP_GATHER, &(Attrs){.axis = axis, .flag = 1}, 2, in);
    }
    case 2: {
        Attrs attrs = {.axis = axis, .n_shape = rank};
        memcpy(attrs.shape, dim, sizeof dim);
        attrs.shape[axis] = whole(c, 5);
        Node *in[2] = {x, places(c, 1, dim + axis, 5)};
        return x->type.dtype == DT_BOOL ? x : graph_add(c->g, OP_SCATTER_ADD, &attrs, 2, in);
    }
    case 3: {
        Attrs attrs = {.axis = axis, .n_shape = rank, .flag = 1};
        memcpy(attrs.shape, dim, sizeof dim);
        attrs.shape[axis] = whole(c, 7);
        Node *in[2] = {x, places(c, rank, dim, 7)};
        return x->type.dtype == DT_BOOL ? x : graph_add(c->g, OP_SCATTER_ADD, &attrs, 2, in);
    }
    case 4:
        return x->type.dtype == DT_BOOL
                   ? x
                   : graph_add(c->g, OP_CUMSUM, &(Attrs){.axis = axis, .flag = rng_below(&c->r, 2)}, 1, &x);
    case 5: {
        Node *in[2] = {x, input(c, DT_I32, 0, NULL, n)};
        return graph_add(c->g, OP_SLICE_AT, &(Attrs){.axis = axis, .extent = whole(c, n > 2 ? n - 1 : 1)}, 2, in);
    }
    default: {
        dim[axis] = whole(c, n > 2 ? n - 2 : 1);
        Node *in[3] = {x, input(c, x->type.dtype, rank, dim, 2), input(c, DT_I32, 0, NULL, 3)};
        return graph_add(c->g, OP_UPDATE_AT, &(Attrs){.axis = axis}, 3, in);
    }
    }
}

static Node *step_draw(Case *c, Node *x) {
    if (x->type.dtype != DT_F32) return x;
    static const DType TYPES[] = {DT_F32, DT_F32, DT_BOOL, DT_I32};
    Attrs attrs = {
        .fn = rng_below(&c->r, 4), .site = 77, .n_shape = x->type.rank, .step = rng_below(&c->r, 2) ? UINT64_MAX - 3 : 0};
    attrs.dtype = TYPES[attrs.fn];
    memcpy(attrs.shape, x->type.dim, sizeof attrs.shape);
    DType d = attrs.fn == RANDOM_RANDINT ? DT_I32 : DT_F32;
    Node *in[2] = {node_scalar(c->g, d, attrs.fn == RANDOM_BERNOULLI ? 0.3 : -2), node_scalar(c->g, d, 3)};
    Node *draw = graph_add(c->g, OP_RANDOM, &attrs, attrs.fn == RANDOM_BERNOULLI ? 1 : 2, in);
    return node_map2(c->g, OP_ADD, x, attrs.dtype == DT_F32 ? draw : node_cast(c->g, draw, DT_F32));
}

static Node *step_reduce(Case *c, Node *x) {
    int rank = x->type.rank, axes[MAX_RANK], n = 0, fn = rng_below(&c->r, 6);
    if (!rank) return x;
    if (fn == 4 || fn == 5) {
        axes[0] = rng_below(&c->r, rank);
        if (x->type.dtype == DT_BOOL || least(x->type.dim[axes[0]]) < 1) return x;
        return node_reduce(c->g, fn == 4 ? REDUCE_ARGMAX : REDUCE_ARGMIN, x, 1, axes);
    }
    for (int i = 0; i < rank; i++)
        if (rng_below(&c->r, 2)) axes[n++] = i;
    if (!n) axes[n++] = rank - 1;
    static const ReduceFn FN[] = {REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_VAR};
    if (x->type.dtype == DT_BOOL) return node_reduce(c->g, fn % 2 ? REDUCE_ANY : REDUCE_ALL, x, n, axes);
    if (x->type.dtype != DT_F32 && FN[fn] == REDUCE_VAR) fn = 0;
    return node_reduce(c->g, FN[fn], x, n, axes);
}

static int64_t elements(Case *c, const Node *x) {
    int64_t n = 1;
    for (int i = 0; i < x->type.rank; i++) n *= value(c, x->type.dim[i]);
    return n;
}

static bool agrees(Harness *h, uint64_t seed, int level) {
    static const DType TYPES[] = {DT_F32, DT_F32, DT_F32, DT_I32, DT_BOOL, DT_F64, DT_I64};
    Arena *a = arena_new();
    Diag *d = diag_new();
    Case c = {.e = harness_entry(a, "views", 32), .r = {seed}};
    c.g = c.e->graph;
    c.p = c.g->program;
    c.named[0] = size_named(c.p->sizes, size_declare(c.p->sizes, "s", 1, 9));
    c.named[1] = size_named(c.p->sizes, size_declare(c.p->sizes, "t", 2, SIZE_NO_LIMIT));
    int64_t sizes[2] = {1 + rng_below(&c.r, 9), 2 + rng_below(&c.r, 40)};
    c.sizes = sizes;
    Size dim[3] = {random_size(&c), random_size(&c), random_size(&c)};
    DType t = TYPES[seed % 7];
    Node *x = input(&c, t, 1 + rng_below(&c.r, 3), dim, t == DT_BOOL ? 2 : 100);
    for (int i = rng_below(&c.r, 7) + 2; i > 0 && c.e->n_inputs < 20; i--) {
        Node *y = x;
        switch (rng_below(&c.r, 6)) {
        case 0:
        case 1:
        case 2: y = step_view(&c, x); break;
        case 3: y = step_index(&c, x); break;
        case 4: y = step_draw(&c, x); break;
        default:
            y = dtype_is_float(t) ? node_map2(c.g, OP_MUL, x, node_map1(c.g, OP_TANH, x))
                                  : node_map2(c.g, t == DT_BOOL ? OP_AND : OP_ADD, x, x);
        }
        if (y->type.rank <= 5 && elements(&c, y) < 60000) x = y;
    }
    graph_result(c.g, "x", x);
    graph_result(c.g, "r", step_reduce(&c, x));
    Eval values = {.arena = a,
                   .program = c.p,
                   .slots = NEW_ARRAY(a, Tensor *, 1),
                   .inputs = c.inputs,
                   .sizes = sizes,
                   .seed = 0x123456789abcull,
                   .step = 5};
    const char *name =
        arena_printf(a, "seed %llu: %s, level %d, v%d", (unsigned long long)seed, dtype_name(t), level, h->target.level);
    bool ok = passes_run(c.p, &(PassOptions){.level = level}, d);
    if (!ok) diag_print(d, stdout, false);
    ok = ok && harness_run(h, c.p, c.e, &values, level, name);
    diag_free(d);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    const Seeds seeds = seeds_of(argc, argv, 150);
    int failures = 0;
    Harness h = {.tolerance = 2e-4, .show = getenv("SHOW") != NULL};
    for (uint64_t seed = seeds.from; seed < seeds.to && failures < 8; seed++) {
        int level = 2 + (int)(seed % 3);
        h.mode = seed % 4 == 0 && harness_can_run(level) ? BY_CODE : BY_TILE;
        h.target = harness_target(level, 2);
        failures += !agrees(&h, seed, seed % 3 ? 2 : 0);
    }
    if (!h.kernels) failures++, printf("nothing was run\n");
    if (!failures) harness_count(&h);
    return failures != 0;
}
