/* winograd.c -- convolutions by 3 x 3 windows without a stride and their gradients by the input and by the weights, over
 * weights that the session packs or that are inputs: pictures of 1 to 60 rows and columns, known now or at run time, 8 to 100
 * channels, padding from 0 to 2 on each side, maps behind. In groups, too. Those that become F(4x4, 3x3) or F(2x2, 3x3) agree
 * with the interpreter within 2e-5 of the largest result; three machines. Small ones stay direct.
 *
 *     winograd [FROM [TO]]     SHOW=1 prints what fails */
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

#include <stdlib.h>
#include <string.h>

#define ERROR_MOST 2e-5 /* of the largest result: a fifth of what is promised */

typedef struct Case {
    Arena *a;
    Program *p;
    Graph *g;
    Entry *e;
    Rng r;
    int64_t sizes[3]; /* values of run-time sizes */
    int names;
    bool large;   /* many channels, so that weights by tiles of 4 x 4 would be too many */
    bool trained; /* weights are inputs, which a call transforms */
} Case;

static Size number(const Case *c, int64_t n) {
    return size_const(c->p->sizes, n);
}

/* n, known now or at run time. */
static Size size(Case *c, int64_t n, int64_t most) {
    if (rng_below(&c->r, 2)) return number(c, n);
    c->sizes[c->names] = n;
    return size_named(c->p->sizes, size_declare(c->p->sizes, arena_printf(c->a, "s%d", c->names++), 1, most));
}

static Node *input(Case *c, int rank, const Size *dim) {
    int i = c->e->n_inputs++;
    c->e->inputs[i] = (EntryInput){.name = arena_printf(c->a, "x%d", i), .type = type_of(DT_F32, rank, dim)};
    return node_leaf(c->g, OP_INPUT, &(Attrs){.index = i, .name = c->e->inputs[i].name}, c->e->inputs[i].type);
}

/* Pictures, whose channels lie side by side. */
static Node *pictures_of(Case *c, const Size *dim) {
    return node_permute(c->g, input(c, 4, (Size[]){dim[0], dim[2], dim[3], dim[1]}), (int[]){0, 3, 1, 2});
}

static Node *weight(Case *c, int rank, const Size *dim) {
    if (c->trained) return input(c, rank, dim);
    Slot *s = NEW(c->a, Slot);
    *s = (Slot){.path = arena_printf(c->a, "w%d", c->p->slots.n), .kind = SLOT_PARAM, .index = c->p->slots.n};
    s->type = type_of(DT_F32, rank, dim);
    PUSH(c->a, c->p->slots, s);
    return node_leaf(c->g, OP_SLOT, &(Attrs){.index = s->index, .name = s->path}, s->type);
}

static Tensor *values_of(Case *c, const Type *type) {
    int64_t dim[MAX_RANK];
    for (int k = 0; k < type->rank; k++) size_eval(type->dim[k], c->sizes, &dim[k]);
    Tensor *x = tensor_new(c->a, type->dtype, type->rank, dim);
    for (int64_t k = 0; k < x->count; k++) x->f[k] = (float)rng_unit(&c->r);
    return x;
}

/* y, x or w of a convolution with `channels` of the first operand and `outputs` of the result (of w: of the other operand). */
static Node *convolution(Case *c, int64_t channels, int64_t outputs, Size batch) {
    Rng *r = &c->r;
    ConvSlot slot = c->large ? CONV_Y : (ConvSlot)rng_below(r, 3);
    bool small = rng_below(r, 3) == 0;
    Window w = {.taps = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    Size x[2], y[2];
    for (int k = 0; k < 2; k++) {
        w.before[k] = rng_below(r, 3);
        int both = w.before[k] + rng_below(r, 3);
        if (c->large) x[k] = number(c, 8 - both);
        else x[k] = size(c, small ? 3 + rng_below(r, 6) : 9 + rng_below(r, 28), 64);
        y[k] = size_add(x[k], number(c, both - 2));
    }
    if (!c->large && rng_below(r, 5) == 0) w.groups = 2;
    Size dim[3][4] = {{batch, number(c, slot == CONV_Y ? outputs : channels), y[0], y[1]},
                      {batch, number(c, slot == CONV_Y ? channels : outputs), x[0], x[1]},
                      {NULL, NULL, number(c, 3), number(c, 3)}};
    dim[2][0] = dim[0][1] = size_scale(dim[0][1], w.groups);
    dim[2][1] = dim[1][1];
    dim[1][1] = size_scale(dim[1][1], w.groups);
    Attrs a = {.fn = slot, .window = w, .n_shape = 4};
    memcpy(a.shape, dim[slot], sizeof dim[slot]);
    Node *first = pictures_of(c, dim[slot == CONV_Y ? 1 : 0]);
    Node *second = slot == CONV_W ? pictures_of(c, dim[1]) : weight(c, 4, dim[2]);
    return graph_add(c->g, OP_CONV, &a, 2, (Node *[]){first, second});
}

/* Bias, an operand of the same shape and a function behind y, or a part of them. */
static void maps_behind(Case *c, Node *y) {
    Graph *g = c->g;
    int what = rng_below(&c->r, 4);
    if (what & 1) {
        Size channel[3] = {y->type.dim[1], number(c, 1), number(c, 1)};
        Node *bias = node_reshape(g, weight(c, 1, &y->type.dim[1]), 3, channel);
        y = node_map2(g, OP_ADD, y, node_expand_like(g, bias, y));
    }
    if (what & 2) y = node_map2(g, OP_ADD, node_map2(g, OP_MAX, y, node_const(g, y->type, 0)), input(c, 4, y->type.dim));
    graph_result(g, "y", y);
}

static bool agrees(Harness *h, uint64_t seed) {
    static const int64_t CHANNELS[] = {8, 16, 17, 24, 32, 33, 48, 70};
    Arena *a = arena_new();
    Diag *d = diag_new();
    Case c = {.a = a,
              .e = harness_entry(a, "winograd", 8),
              .r = {seed * 31 + 7},
              .trained = seed / 3 % 2 && seed % 24 != 11,
              .large = seed % 24 == 11};
    c.g = c.e->graph;
    c.p = c.g->program;
    int64_t channels = CHANNELS[rng_below(&c.r, 8)], outputs = CHANNELS[rng_below(&c.r, 8)], pictures = 1 + rng_below(&c.r, 3);
    if (c.large) channels = 344, outputs = 350, pictures = 1;
    maps_behind(&c, convolution(&c, channels, outputs, c.large ? number(&c, 1) : size(&c, pictures, 9)));
    Eval values = {
        .arena = a, .program = c.p, .sizes = c.sizes, .slots = NEW_ARRAY(a, Tensor *, 4), .inputs = NEW_ARRAY(a, Tensor *, 8)};
    for (int i = 0; i < c.e->n_inputs; i++) values.inputs[i] = values_of(&c, &c.e->inputs[i].type);
    for (int i = 0; i < c.p->slots.n; i++) values.slots[i] = values_of(&c, &c.p->slots.at[i]->type);
    Tensor *x = values.inputs[0];
    bool ok = true;
    if (x->count * 9 * outputs < (int64_t)7e7) {
        const char *name = arena_printf(a, "seed %llu: v%d, %lld x %lld x %lld x %lld to %lld", (unsigned long long)seed,
                                        h->target.level, (long long)x->dim[0], (long long)x->dim[1], (long long)x->dim[2],
                                        (long long)x->dim[3], (long long)outputs);
        ok = passes_run(c.p, &(PassOptions){.level = 2}, d) && harness_run(h, c.p, c.e, &values, 2, name);
    }
    diag_free(d);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    Harness h = {.tolerance = 2e-5,
                 .of_largest = ERROR_MOST,
                 .like = {"winograd4", "winograd2", "winograd_w"},
                 .show = getenv("SHOW") != NULL};
    Sweep s = harness_sweep(&h, argc, argv, 60, 8, agrees);
    if (h.show)
        printf("%d kernels; %d, %d, %d calls by tiles; largest error %.1e of the largest result\n", h.kernels, h.calls_like[0],
               h.calls_like[1], h.calls_like[2], h.worst);
    for (int i = 0; i < 3 && s.cases >= 60; i++)
        if (h.calls_like[i] < 2) s.failures++, printf("only %d calls of %s\n", h.calls_like[i], h.like[i]);
    if (!s.failures) harness_count(&h);
    return s.failures != 0;
}
