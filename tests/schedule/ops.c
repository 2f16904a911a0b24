/* ops.c -- every map of ops.def in every dtype it takes, as a kernel of its own: lowered code and tile interpreter agree with
 * the graph interpreter on random numbers, zeros, infinities, NaNs and the ends of the integers; odd lengths; the three
 * machines. */
#include "ir/op.h"
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 63 };

static double sample(Rng *r, DType d, int i) {
    static const double SPECIAL[] = {0.0,  -0.0,  INFINITY, -INFINITY, NAN,   1.0, -1.0, 0.5,
                                     -2.5, 1e-30, 1e30,     88.0,      -88.0, 3.5, 1e-4};
    int n = (int)(sizeof SPECIAL / sizeof *SPECIAL);
    if (dtype_is_float(d)) return i < n ? SPECIAL[i] : rng_unit(r) * (i % 3 ? 3 : 40);
    return 0;
}

static int64_t sample_int(Rng *r, DType d, int i) {
    int bits = 8 * dtype_bytes(d);
    int64_t top = d == DT_BOOL ? 1 : dtype_kind(d) == 'u' ? (int64_t)((1ull << bits) - 1) : (int64_t)((1ull << (bits - 1)) - 1);
    int64_t bottom = dtype_kind(d) == 'i' ? -top - 1 : 0;
    if (d == DT_BOOL) return rng_below(r, 2);
    if (i == 0) return 0;
    if (i == 1) return top;
    if (i == 2) return bottom;
    int64_t small = rng_below(r, 41) - 20;
    return small < bottom ? -small : small;
}

static Tensor *samples(Arena *a, DType d, Rng *r) {
    Tensor *t = tensor_new(a, d, 1, (int64_t[1]){LENGTH});
    for (int i = 0; i < LENGTH; i++) {
        int k = rng_below(r, LENGTH);
        if (t->f) t->f[i] = round_float(d, sample(r, d, k));
        else t->i[i] = sample_int(r, d, k);
    }
    return t;
}

/* One op on operands of one dtype (where: a bool first; rescale: f32 second); to: of a cast. False: disagreement. tested counts what the op takes.
 */
static bool try_op(Harness *h, Op op, DType d, DType to, int *tested) {
    Arena *a = arena_new();
    Program *p = NEW(a, Program);
    p->arena = a;
    p->name = "ops";
    p->sizes = size_table_new(a);
    Graph *g = graph_new(a, p);
    int n_in = op_row(op)->n_in;
    Size dim[1] = {size_const(p->sizes, LENGTH)};
    Node *in[3];
    Entry *e = NEW(a, Entry);
    Rng r = {(uint64_t)op * 1000 + (uint64_t)d};
    Tensor *inputs[3];
    *e = (Entry){.name = "run", .graph = g, .n_inputs = n_in, .inputs = NEW_ARRAY(a, EntryInput, n_in)};
    for (int i = 0; i < n_in; i++) {
        DType t = op == OP_WHERE && i == 0 ? DT_BOOL : op == OP_RESCALE && i == 1 ? DT_F32 : d;
        e->inputs[i] = (EntryInput){.name = arena_printf(a, "x%d", i), .type = type_of(t, 1, dim)};
        in[i] = node_leaf(g, OP_INPUT, &(Attrs){.index = i, .name = e->inputs[i].name}, e->inputs[i].type);
        inputs[i] = samples(a, t, &r);
        for (int k = 0; k < LENGTH; k++) { /* what has no answer: n % 0; sines of huge numbers */
            if (op == OP_MOD && i == 1 && inputs[i]->i && inputs[i]->i[k] == 0) inputs[i]->i[k] = 3;
            if ((op == OP_SIN || op == OP_COS) && inputs[i]->f && fabs(inputs[i]->f[k]) > 1e5) inputs[i]->f[k] = 1000;
        }
    }
    Attrs attrs = {.dtype = to};
    Infer infer = {.g = g, .attrs = &attrs, .n = n_in, .in = in};
    bool ok = true;
    if (op_infer(op, &infer)) {
        graph_result(g, "y", graph_add(g, op, &attrs, n_in, in));
        PUSH(a, p->entries, e);
        Eval values = {
            .arena = a, .program = p, .sizes = NEW_ARRAY(a, int64_t, 1), .inputs = inputs, .slots = NEW_ARRAY(a, Tensor *, 1)};
        const char *name = arena_printf(a, "%s of %s%s%s, v%d", op_row(op)->name, dtype_name(d), op == OP_CAST ? " to " : "",
                                        op == OP_CAST ? dtype_name(to) : "", h->target.level);
        ok = harness_run(h, p, e, &values, 0, name);
        ++*tested;
    }
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    static const DType TYPES[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_F8E4M3, DT_F8E5M2, DT_I64, DT_I32, DT_I16, DT_I8, DT_U8, DT_BOOL};
    int failures = 0, types = (int)(sizeof TYPES / sizeof *TYPES);
    bool code = argc < 2 || strcmp(argv[1], "tile") != 0;
    Harness h = {.mode = code ? BY_CODE : BY_TILE, .tolerance = 2e-5, .show = getenv("SHOW") != NULL};
    for (int o = 0; o < OP_COUNT; o++) {
        Op op = (Op)o;
        if (op_row(op)->class != CLASS_MAP || op_row(op)->n_in < 1) continue;
        int tested = 0;
        for (int t = 0; t < types; t++) {
            int level = 2 + (o + t) % 3;
            if (!harness_can_run(level)) level = 2;
            h.target = harness_target(level, 0);
            if (op != OP_CAST) {
                failures += !try_op(&h, op, TYPES[t], DT_F32, &tested);
                continue;
            }
            for (int to = 0; to < types; to++) failures += !try_op(&h, op, TYPES[t], TYPES[to], &tested);
        }
        if (!tested) failures++, printf("%s was not tested\n", op_row(op)->name);
    }
    return failures != 0;
}
