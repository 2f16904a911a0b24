/* windows.c -- random convolutions, all three forms, and pools: sizes 1 to 40, channels 1 to 70, strides, dilations, padding on
 * one side, groups, depthwise, run-time batches, maps behind. What the passes make of them means the same, and the code of
 * every kernel agrees with the interpreter; three machines. Some weights become codes, and what meets them.
 *
 *     windows [FROM [TO [LEVEL]]]     SHOW=1 prints what fails; LEVEL 2, 3 or 4: all by code of that instruction set */
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
    Window w;
    Size batch;
    int64_t channels, outputs; /* of a group */
    int64_t in[2], out[2];     /* rows, columns */
    bool codes;                /* the weight is a parameter that `quantize` marks, with static activations */
    bool known;                /* it is a parameter, of a depthwise convolution */
} Case;

static Node *input(Case *c, int rank, const Size *dim) {
    int i = c->e->n_inputs++;
    c->e->inputs[i] = (EntryInput){.name = arena_printf(c->p->arena, "x%d", i), .type = type_of(DT_F32, rank, dim)};
    return node_leaf(c->g, OP_INPUT, &(Attrs){.index = i, .name = c->e->inputs[i].name}, c->e->inputs[i].type);
}

static Size number(Case *c, int64_t n) {
    return size_const(c->p->sizes, n);
}

/* Windows and an input that has at least one of them. */
static void draw_windows(Case *c, bool pool) {
    static const int CHANNELS[] = {1, 2, 3, 4, 7, 8, 16, 17, 33, 48, 64, 70};
    Rng *r = &c->r;
    c->w.groups = 1;
    bool small = rng_below(r, 3) == 0;
    for (int k = 0; k < 2; k++) {
        c->w.taps[k] = 1 + rng_below(r, rng_below(r, 4) ? 4 : 8);
        c->w.stride[k] = rng_below(r, 3) ? 1 : pool && rng_below(r, 2) ? c->w.taps[k] : 1 + rng_below(r, 4);
        c->w.dilation[k] = pool || rng_below(r, 4) ? 1 : 1 + rng_below(r, 3);
        c->w.before[k] = rng_below(r, pool ? c->w.taps[k] / 2 + 1 : c->w.taps[k] + 1);
        int reach = (c->w.taps[k] - 1) * c->w.dilation[k] + 1, after = rng_below(r, pool ? c->w.taps[k] / 2 + 1 : 3);
        int least = reach - c->w.before[k] - after;
        c->in[k] = (least > 1 ? least : 1) + rng_below(r, small ? 3 : 30);
        c->out[k] = (c->in[k] + c->w.before[k] + after - reach) / c->w.stride[k] + 1;
    }
    c->channels = CHANNELS[rng_below(r, 12)];
    c->outputs = CHANNELS[rng_below(r, 12)];
    if (rng_below(r, 4) == 0) { /* groups; half of them depthwise */
        c->w.groups = 1 + rng_below(r, 5);
        if (rng_below(r, 2)) {
            c->w.groups = (int)c->channels;
            c->channels = c->outputs = 1;
        }
    }
    c->batch = rng_below(r, 2) ? size_named(c->p->sizes, size_declare(c->p->sizes, "b", 1, 9)) : number(c, 1 + rng_below(r, 3));
}

static Node *weight(Case *c, const Size *dim) {
    Program *p = c->p;
    Slot *s = NEW(p->arena, Slot);
    *s = (Slot){.path = "w.weight", .kind = SLOT_PARAM, .type = type_of(DT_F32, 4, dim)};
    PUSH(p->arena, p->slots, s);
    if (c->codes) s->quant = (Quant){.scheme = QUANT_INT8, .activations = ACTIVATIONS_STATIC, .budget = -1};
    if (c->codes) PUSH(p->arena, p->observed, ((Observed){.path = "w.input", .lo = -rng_below(&c->r, 3) * 0.5, .hi = 1, .method = "given"}));
    return node_leaf(c->g, OP_SLOT, &(Attrs){.name = s->path}, s->type);
}

static Node *convolution(Case *c) {
    Size dim[3][4] = {
        {c->batch, number(c, c->outputs * c->w.groups), number(c, c->out[0]), number(c, c->out[1])},
        {c->batch, number(c, c->channels * c->w.groups), number(c, c->in[0]), number(c, c->in[1])},
        {number(c, c->outputs * c->w.groups), number(c, c->channels), number(c, c->w.taps[0]), number(c, c->w.taps[1])}};
    Attrs a = {.fn = rng_below(&c->r, 3), .window = c->w, .n_shape = 4};
    Node *in[2];
    if (c->codes || c->known) a.fn = 0; /* y */
    for (int slot = 0, n = 0; slot < 3; slot++) {
        if ((c->codes || c->known) && slot == 2) in[n++] = weight(c, dim[slot]);
        else if (slot == a.fn) memcpy(a.shape, dim[slot], sizeof dim[slot]);
        else in[n++] = input(c, 4, dim[slot]);
    }
    return graph_add(c->g, OP_CONV, &a, 2, in);
}

static Node *pool(Case *c) {
    c->w.groups = 1;
    Size dim[4] = {c->batch, number(c, c->channels), number(c, c->in[0]), number(c, c->in[1])};
    Attrs a = {.window = c->w, .n_shape = 4, .shape = {dim[0], dim[1], number(c, c->out[0]), number(c, c->out[1])}};
    Node *x = input(c, 4, dim), *place = graph_add(c->g, OP_WINDOW_ARGMAX, &a, 1, &x);
    if (rng_below(&c->r, 2)) return graph_add(c->g, OP_WINDOW_TAKE, &(Attrs){.window = c->w}, 2, (Node *[]){x, place});
    Node *other = rng_below(&c->r, 2) ? input(c, 4, dim) : NULL; /* taken from another tensor, or put back */
    if (other) return graph_add(c->g, OP_WINDOW_TAKE, &(Attrs){.window = c->w}, 2, (Node *[]){other, place});
    Node *v = input(c, 4, a.shape);
    memcpy(a.shape, dim, sizeof dim);
    return graph_add(c->g, OP_WINDOW_PUT, &a, 2, (Node *[]){v, place});
}

/* Maps, sums and a pad behind y, so that values follow it or go back. */
static void maps_behind(Case *c, Node *y) {
    Graph *g = c->g;
    graph_result(g, "y", y);
    int what = rng_below(&c->r, 4);
    if (what == 0) return;
    Size channel[3] = {y->type.dim[1], number(c, 1), number(c, 1)};
    Node *bias = node_reshape(g, input(c, 1, &y->type.dim[1]), 3, channel);
    Node *z = node_map1(g, OP_TANH, node_map2(g, OP_ADD, y, node_expand_like(g, bias, y)));
    if (what == 1) {
        graph_result(g, "z", z);
        return;
    }
    graph_result(g, "s",
                 node_reduce(g, what == 2 ? REDUCE_SUM : REDUCE_VAR, z, what, what == 2 ? (int[]){2, 3} : (int[]){0, 2, 3}));
    Node *other = input(c, 4, y->type.dim);
    graph_result(g, "w", graph_add(g, OP_CONCAT, &(Attrs){.axis = 1}, 2, (Node *[]){node_map2(g, OP_MUL, z, other), other}));
}

static Tensor *random_tensor(Case *c, const Type *type, const int64_t *sizes) {
    int64_t dim[MAX_RANK];
    for (int k = 0; k < type->rank; k++) size_eval(type->dim[k], sizes, &dim[k]);
    Tensor *x = tensor_new(c->p->arena, type->dtype, type->rank, dim);
    for (int64_t k = 0; k < x->count; k++) {
        if (x->f) x->f[k] = (float)rng_unit(&c->r);
        else x->i[k] = rng_below(&c->r, 255) - 127;
    }
    return x;
}

/* Do the results mean the same after the passes? */
static bool same_results(const Eval *e, Tensor **before, const Graph *g, const char *name) {
    Tensor **after = NEW_ARRAY(e->arena, Tensor *, g->results.n);
    Eval again = *e;
    if (!eval_graph(&again, g, after)) return printf("%s: %s\n", name, again.error), false;
    for (int i = 0; i < g->results.n; i++)
        for (int64_t k = 0; k < after[i]->count; k++)
            if (!(fabs(after[i]->f[k] - before[i]->f[k]) <= 1e-4 * (1 + fabs(before[i]->f[k]))))
                return printf("%s: result %d [%lld] is %.9g after the passes, not %.9g\n", name, i, (long long)k,
                              after[i]->f[k], before[i]->f[k]),
                       false;
    return true;
}

/* Cases whose weight is known; those of them that read a copy in which channels lie side by side. */
static int known, copied;

static bool agrees(Harness *h, uint64_t seed) {
    Arena *a = arena_new();
    Diag *d = diag_new();
    Case c = {.e = harness_entry(a, "windows", 8), .r = {seed * 77 + 5}};
    c.g = c.e->graph;
    c.p = c.g->program;
    bool is_pool = seed % 4 == 3;
    draw_windows(&c, is_pool);
    c.codes = !is_pool && c.w.groups == 1 && seed % 3 == 1;
    c.known = !is_pool && c.w.groups > 1 && c.channels == 1 && c.outputs == 1 && rng_below(&c.r, 3);
    if (c.codes || c.known) c.p->init = graph_new(a, c.p);
    maps_behind(&c, is_pool ? pool(&c) : convolution(&c));
    int64_t sizes[1] = {1 + rng_below(&c.r, 3)};
    Eval values = {
        .arena = a, .program = c.p, .sizes = sizes, .slots = NEW_ARRAY(a, Tensor *, 3), .inputs = NEW_ARRAY(a, Tensor *, 8)};
    for (int i = 0; i < c.e->n_inputs; i++) values.inputs[i] = random_tensor(&c, &c.e->inputs[i].type, sizes);
    if (c.codes || c.known) values.slots[0] = random_tensor(&c, &c.p->slots.at[0]->type, sizes);
    double work =
        (double)c.channels * (double)c.outputs * c.w.groups * c.w.taps[0] * c.w.taps[1] * (double)(c.out[0] * c.out[1] * 3);
    bool ok = true;
    if (work < 2e7) {
        const char *name =
            arena_printf(a, "seed %llu: v%d, taps %d %d stride %d %d dilation %d %d before %d %d groups %d",
                         (unsigned long long)seed, h->target.level, c.w.taps[0], c.w.taps[1], c.w.stride[0], c.w.stride[1],
                         c.w.dilation[0], c.w.dilation[1], c.w.before[0], c.w.before[1], c.w.groups);
        Tensor **before = NEW_ARRAY(a, Tensor *, c.g->results.n);
        int level = seed % 5 ? 2 : 0, packs = h->calls_like[1];
        ok = eval_graph(&values, c.g, before);
        if (!ok) printf("%s: %s\n", name, values.error);
        bool passed = ok && passes_run(c.p, &(PassOptions){.level = level}, d), refused = ok && !passed && c.codes; /* no product, after all */
        for (int i = 0; passed && c.codes && i < c.p->slots.n; i++) values.slots[i] = random_tensor(&c, &c.p->slots.at[i]->type, sizes);
        ok = refused || (passed && (c.codes || same_results(&values, before, c.e->graph, name)) && harness_run(h, c.p, c.e, &values, level, name));
        if (c.known && level) known++, copied += h->calls_like[1] > packs;
    }
    diag_free(d);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    Harness h = {.tolerance = 4e-4 /* Winograd: of the largest of the sums, harness.c */, .show = getenv("SHOW") != NULL, .like = {"_codes", "_pack"}};
    Sweep s = harness_sweep(&h, argc, argv, 100, 8, agrees);
    if (s.cases >= 60 && h.kinds[KERNEL_CONTRACT] < s.cases / 3)
        s.failures++, printf("only %d products were run\n", h.kinds[KERNEL_CONTRACT]);
    if (s.cases >= 60 && h.calls_like[0] < s.cases / 10) s.failures++, printf("only %d convolutions of codes were run\n", h.calls_like[0]);
    if (s.cases >= 60 && copied < known / 2 + 1) s.failures++, printf("only %d of %d depthwise convolutions read a copy of their weight\n", copied, known);
    if (s.level && !s.failures) printf("%d kernels with a product\n", h.kinds[KERNEL_CONTRACT]);
    if (!s.failures) harness_count(&h);
    return s.failures != 0;
}
