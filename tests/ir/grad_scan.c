/* grad_scan.c -- gradients through loops (passes/grad_scan.c) against central differences, in exact arithmetic, of first and
 * second order, after the passes of every level; and once more with two of three nodes of every body marked as parts of
 * @checkpoint calls. A case is the text of a graph; its float inputs are drawn from -1..1, whole ones from 0..whole-1. The loss
 * is the sum of all results, each weighted by fixed random numbers. Draws inside of a body are the same in every run, so a wrong
 * draw in the reverse loop shows as a wrong gradient. */
#include "ir/diag.h"
#include "passes/passes.h"
#include "tests/ir/kit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    const char *name;
    int whole;
    const char *inputs, *lines;
} Case;

#define CELL                                                                                                                   \
    "%z: f32[2, 4] = contract %x[i k], %w[j k] -> [i j]\n %r: f32[2, 4] = contract %h[i k], %u[j k] -> [i j]\n"                \
    "%s: f32[2, 4] = add %z, %r\n %b1: f32[2, 4] = expand %b\n %a: f32[2, 4] = add %s, %b1\n %n: f32[2, 4] = tanh %a\n"
#define RNN(extent, flag)                                                                                                      \
    "%l: (f32[2, 4], f32[" extent ", 2, 4]) = scan %w, %u, %b, %h, %x counts 3 1 1 1" flag " extent " extent " {\n"            \
    "%t: i32[] = arg 0\n %w: f32[4, 3] = arg 1\n %u: f32[4, 4] = arg 2\n %b: f32[4] = arg 3\n %h: f32[2, 4] = arg 4\n"         \
    "%x: f32[2, 3] = arg 5\n" CELL "results %n, %n\n }\n"                                                                      \
    "%last: f32[2, 4] = get %l 0\n %all: f32[" extent ", 2, 4] = get %l 1\n results last = %last, all = %all\n"
#define RNN_INPUTS(extent) "w: f32[4, 3], u: f32[4, 4], b: f32[4], h: f32[2, 4], x: f32[" extent ", 2, 3]"

static const Case CASES[] = {
    {"rnn", 0, RNN_INPUTS("n"), RNN("n", "")},
    {"rnn from the end", 0, RNN_INPUTS("5"), RNN("5", " flag")},
    {"rnn of one step", 0, RNN_INPUTS("1"), RNN("1", "")},
    {"rnn of no step", 0, RNN_INPUTS("0"), RNN("0", "")},
    {"two carries, rows that end, gates cut out of one product", 4,
     "u: f32[4, 2], h: f32[3, 2], c: f32[3, 2], x: f32[n, 3, 4], ends: i32[3]",
     "%l: (f32[3, 2], f32[3, 2], f32[n, 3, 2]) = scan %u, %ends, %h, %c, %x counts 2 2 1 1 extent n {\n"
     "%t: i32[] = arg 0\n %u: f32[4, 2] = arg 1\n %ends: i32[3] = arg 2\n %h: f32[3, 2] = arg 3\n %c: f32[3, 2] = arg 4\n"
     "%x: f32[3, 4] = arg 5\n %r: f32[3, 4] = contract %h[i k], %u[j k] -> [i j]\n %z: f32[3, 4] = add %x, %r\n"
     "%f: f32[3, 2] = slice %z [0:3, 0:2]\n %g: f32[3, 2] = slice %z [0:3, 2:4]\n %fs: f32[3, 2] = sigmoid %f\n"
     "%gt: f32[3, 2] = tanh %g\n %fc: f32[3, 2] = mul %fs, %c\n %c2: f32[3, 2] = add %fc, %gt\n %h2: f32[3, 2] = tanh %c2\n"
     "%t1: i32[3] = expand %t\n %live: bool[3] = lt %t1, %ends\n %live1: bool[3, 1] = reshape %live\n"
     "%live2: bool[3, 2] = expand %live1\n %h3: f32[3, 2] = where %live2, %h2, %h\n %c3: f32[3, 2] = where %live2, %c2, %c\n"
     "results %h3, %c3, %h3\n }\n"
     "%last: f32[3, 2] = get %l 0\n %all: f32[n, 3, 2] = get %l 2\n results last = %last, all = %all\n"},
    {"sums in a carry: factors, powers, an invariant that is only read", 0, "v: f32[3], s: f32[], c: f32[3], x: f32[n, 3]",
     "%l: (f32[3]) = scan %v, %s, %c, %x counts 2 1 1 0 extent n {\n"
     "%t: i32[] = arg 0\n %v: f32[3] = arg 1\n %s: f32[] = arg 2\n %c: f32[3] = arg 3\n %x: f32[3] = arg 4\n"
     "%a: f32[3] = mul %c, %v\n %b: f32[3] = sin %v\n %d: f32[3] = mul %b, %x\n %e: f32[3] = add %a, %d\n"
     "%s1: f32[3] = expand %s\n %f: f32[3] = mul %e, %s1\n %g: f32[3] = sin %f\n results %g\n }\n"
     "%last: f32[3] = get %l 0\n results last = %last\n"},
    {"an invariant seen through views", 0, "w: f32[6, 2], c: f32[2, 2]",
     "%l: (f32[2, 2], f32[3, 2, 2]) = scan %w, %c counts 1 1 0 1 extent 3 {\n"
     "%t: i32[] = arg 0\n %w: f32[6, 2] = arg 1\n %c: f32[2, 2] = arg 2\n"
     "%w1: f32[2, 2] = slice %w [0:2, 0:2]\n %w2: f32[2, 2] = slice %w [3:5, 0:2]\n %w3: f32[2, 2] = permute %w2 [1, 0]\n"
     "%ct: f32[2, 2] = permute %c [1, 0]\n %a: f32[2, 2] = contract %ct[k i], %w1[j k] -> [i j]\n"
     "%w4: f32[3, 4] = reshape %w\n %w5: f32[1, 4] = slice %w4 [2:3, 0:4]\n %w6: f32[2, 2] = reshape %w5\n"
     "%b: f32[2, 2] = contract %c[i k], %w3[k j] -> [j i]\n %d: f32[2, 2] = add %a, %b\n %e: f32[2, 2] = add %d, %w6\n"
     "%f: f32[2, 2] = tanh %e\n results %f, %c\n }\n"
     "%last: f32[2, 2] = get %l 0\n %all: f32[3, 2, 2] = get %l 1\n results last = %last, all = %all\n"},
    {"rows of a table by ids, with a whole carry", 4, "e: f32[4, 3], c: f32[2, 3], ids: i32[n, 2]",
     "%l: (f32[2, 3], i32[2]) = scan %e, %c, %zero, %ids counts 1 2 1 0 extent n {\n"
     "%t: i32[] = arg 0\n %e: f32[4, 3] = arg 1\n %c: f32[2, 3] = arg 2\n %k: i32[2] = arg 3\n %ids: i32[2] = arg 4\n"
     "%x: f32[2, 3] = gather %e, %ids axis 0\n %one: i32[2] = const 1\n %k2: i32[2] = add %k, %one\n"
     "%kf: f32[2] = cast %k2\n %kf1: f32[2, 1] = reshape %kf\n %kf2: f32[2, 3] = expand %kf1\n %a: f32[2, 3] = mul %x, %c\n"
     "%b: f32[2, 3] = div %a, %kf2\n %d: f32[2, 3] = sin %b\n %f: f32[2, 3] = add %d, %x\n results %f, %k2\n }\n"
     "%last: f32[2, 3] = get %l 0\n results last = %last\n"},
    {"elements along another axis of a table", 3, "e: f32[2, 3], c: f32[2], ids: i32[n, 2]",
     "%l: (f32[2]) = scan %e, %c, %ids counts 1 1 1 0 extent n {\n"
     "%t: i32[] = arg 0\n %e: f32[2, 3] = arg 1\n %c: f32[2] = arg 2\n %ids: i32[2] = arg 3\n %i: i32[2, 1] = reshape %ids\n"
     "%x: f32[2, 1] = gather %e, %i axis 1 flag\n %x1: f32[2] = reshape %x\n %m: f32[2] = mul %x1, %c\n"
     "%a: f32[2] = sin %m\n results %a\n }\n"
     "%last: f32[2] = get %l 0\n results last = %last\n"},
    {"draws", 0, "w: f32[3, 3], c: f32[2, 3], x: f32[n, 2, 3]",
     "%l: (f32[2, 3], f32[n, 2, 3]) = scan %w, %c, %x counts 1 1 1 1 flag extent n {\n"
     "%t: i32[] = arg 0\n %w: f32[3, 3] = arg 1\n %c: f32[2, 3] = arg 2\n %x: f32[2, 3] = arg 3\n"
     "%p: f32[] = const 0.5\n %q: f32[] = const 2.0\n %keep: bool[2, 3] = random bernoulli %p, %t site 3\n"
     "%noise: f32[2, 3] = random uniform %p, %q, %t site 4\n %zero: f32[2, 3] = const 0.0\n"
     "%a: f32[2, 3] = where %keep, %x, %zero\n %b: f32[2, 3] = contract %a[i k], %w[k j] -> [i j]\n"
     "%d: f32[2, 3] = mul %c, %noise\n %e: f32[2, 3] = add %b, %d\n %f: f32[2, 3] = tanh %e\n results %f, %e\n }\n"
     "%last: f32[2, 3] = get %l 0\n %all: f32[n, 2, 3] = get %l 1\n results last = %last, all = %all\n"},
    {"a loop in a loop", 0, "w: f32[2, 2], c: f32[2], x: f32[n, 3, 2]",
     "%l: (f32[2], f32[n, 2]) = scan %w, %c, %x counts 1 1 1 1 extent n {\n"
     "%t: i32[] = arg 0\n %w: f32[2, 2] = arg 1\n %c: f32[2] = arg 2\n %x: f32[3, 2] = arg 3\n"
     "%m: (f32[2], f32[3, 2]) = scan %w, %c, %x counts 1 1 1 1 flag extent 3 {\n"
     "%t: i32[] = arg 0\n %w: f32[2, 2] = arg 1\n %c: f32[2] = arg 2\n %x: f32[2] = arg 3\n"
     "%a: f32[2] = contract %c[k], %w[j k] -> [j]\n %b: f32[2] = add %a, %x\n %d: f32[2] = tanh %b\n %e: f32[2] = mul %d, %a\n"
     "results %d, %e\n }\n %n: f32[2] = get %m 0\n %all: f32[3, 2] = get %m 1\n %sum: f32[2] = reduce sum %all [0]\n"
     "%r: f32[2] = add %n, %sum\n results %r, %n\n }\n"
     "%last: f32[2] = get %l 0\n %all: f32[n, 2] = get %l 1\n results last = %last, all = %all\n"},
    {"factors turned round", 0, "w: f32[2, 4, 3], c: f32[3, 2, 4]",
     "%l: (f32[3, 2, 4]) = scan %w, %c counts 1 1 0 0 extent n {\n"
     "%t: i32[] = arg 0\n %w: f32[2, 4, 3] = arg 1\n %c: f32[3, 2, 4] = arg 2\n %p: f32[4, 3, 2] = permute %c [2, 0, 1]\n"
     "%w1: f32[3, 2, 4] = permute %w [2, 0, 1]\n %q: f32[2, 3] = contract %p[d a b], %w1[a b d] -> [b a]\n"
     "%a: f32[3, 2] = permute %q [1, 0]\n %a1: f32[3, 2, 1] = reshape %a\n"
     "%a2: f32[3, 2, 4] = expand %a1\n %d: f32[3, 2, 4] = add %a2, %c\n"
     "%e: f32[3, 2, 4] = sin %d\n results %e\n }\n"
     "%last: f32[3, 2, 4] = get %l 0\n results last = %last\n"},
    {"products that leave the loop, and what leads to them", 0,
     "w: f32[4, 2], g: f32[3], c: f32[2, 4], x: f32[n, 2, 3], v: f32[n]",
     "%l: (f32[2, 4], f32[n, 2, 3]) = scan %w, %g, %c, %x, %v counts 2 1 2 1 extent n {\n"
     "%t: i32[] = arg 0\n %w: f32[4, 2] = arg 1\n %g: f32[3] = arg 2\n %c: f32[2, 4] = arg 3\n %x: f32[2, 3] = arg 4\n"
     "%v: f32[] = arg 5\n %s: f32[2] = reduce sum %x [1]\n %s1: f32[2, 1] = reshape %s\n %s2: f32[2, 3] = expand %s1\n"
     "%d: f32[2, 3] = sub %x, %s2\n %g1: f32[2, 3] = expand %g\n %g2: f32[2, 3] = sin %g1\n %e: f32[2, 3] = mul %d, %g2\n"
     "%p: f32[3, 2] = permute %e [1, 0]\n %q: f32[2, 2] = slice %p [1:3, 0:2]\n %v1: f32[2, 2] = expand %v\n"
     "%r: f32[2, 2] = mul %q, %v1\n %z: f32[2, 4] = contract %r[k m], %w[j k] -> [m j]\n"
     "%y: f32[2, 2] = contract %e[i k], %x[j k] -> [i j]\n %y1: f32[2] = reduce sum %y [1]\n %y2: f32[2, 1] = reshape %y1\n"
     "%y3: f32[2, 4] = expand %y2\n %a: f32[2, 4] = add %z, %c\n %b: f32[2, 4] = add %a, %y3\n %h: f32[2, 4] = tanh %b\n"
     "results %h, %e\n }\n"
     "%last: f32[2, 4] = get %l 0\n %all: f32[n, 2, 3] = get %l 1\n results last = %last, all = %all\n"},
    {"no carry", 0, "w: f32[3, 3], x: f32[n, 2, 3]",
     "%l: (f32[n, 2]) = scan %w, %x counts 1 0 1 1 extent n {\n"
     "%t: i32[] = arg 0\n %w: f32[3, 3] = arg 1\n %x: f32[2, 3] = arg 2\n %a: f32[2, 3] = contract %x[i k], %w[k j] -> [i j]\n"
     "%m: f32[2] = reduce max %a [1]\n %v: f32[2] = reduce var %a [1]\n %y: f32[2] = add %m, %v\n results %y\n }\n"
     "%all: f32[n, 2] = get %l 0\n results all = %all\n"},
    {"carries that change places, one that no gradient reaches", 0, "a: f32[3], b: f32[3], c: f32[3]",
     "%l: (f32[3], f32[3], f32[3]) = scan %a, %b, %c counts 0 3 0 0 extent 3 {\n"
     "%t: i32[] = arg 0\n %a: f32[3] = arg 1\n %b: f32[3] = arg 2\n %c: f32[3] = arg 3\n %d: f32[3] = sin %a\n"
     "%e: f32[3] = mul %c, %a\n results %b, %d, %e\n }\n"
     "%last: f32[3] = get %l 0\n results last = %last\n"},
#define RNN_STOPS(flag, when)                                                                                                  \
    "%l: (f32[2, 4], f32[n, 2, 4], f32[n, 2]) = scan %w, %u, %b, %h, %x, %v counts 3 1 2 2 stop" flag " extent n {\n"            \
    "%t: i32[] = arg 0\n %w: f32[4, 3] = arg 1\n %u: f32[4, 4] = arg 2\n %b: f32[4] = arg 3\n %h: f32[2, 4] = arg 4\n"          \
    "%x: f32[2, 3] = arg 5\n %v: f32[2] = arg 6\n" CELL "%u1: f32[2, 1] = slice %u [0:2, 0:1]\n %u2: f32[2] = reshape %u1\n"     \
    "%m: f32[2] = mul %u2, %u2\n %e: f32[2] = add %m, %v\n %k: f32[] = const 1.0\n %tf: f32[] = cast %t\n %o: bool[] = " when " %tf, %k\n"                 \
    "results %n, %n, %e, %o\n }\n %last: f32[2, 4] = get %l 0\n %all: f32[n, 2, 4] = get %l 1\n %es: f32[n, 2] = get %l 2\n"    \
    "results last = %last, all = %all, es = %es\n"
    {"rnn that stops", 0, RNN_INPUTS("n") ", v: f32[n, 2]", RNN_STOPS("", "ge")},
    {"rnn that stops after the first step", 0, RNN_INPUTS("n") ", v: f32[n, 2]", RNN_STOPS("", "lt")},
    {"rnn from the end that stops", 0, RNN_INPUTS("n") ", v: f32[n, 2]", RNN_STOPS(" flag", "le")},
    {"rnn that could stop, and does not", 0, RNN_INPUTS("n") ", v: f32[n, 2]", RNN_STOPS("", "gt")},
    {"rows by ids that are wrong in steps that do not run", 0, "e: f32[4, 3], c: f32[3]",
     "%step: i32[n, 2] = iota axis 0\n %three: i32[n, 2] = const 3\n %ids: i32[n, 2] = mul %step, %three\n %k: i32[] = const 1\n"
     "%l: (f32[3], f32[n, 3]) = scan %e, %k, %c, %ids counts 2 1 1 1 stop extent n {\n"
     "%t: i32[] = arg 0\n %e: f32[4, 3] = arg 1\n %k: i32[] = arg 2\n %c: f32[3] = arg 3\n %ids: i32[2] = arg 4\n"
     "%x: f32[2, 3] = gather %e, %ids axis 0\n %three: i32[] = const 3\n %i: i32[] = mul %t, %three\n"
     "%y: f32[1, 3] = slice_at %e, %i axis 0 extent 1\n"
     "%y1: f32[3] = reshape %y\n %s: f32[3] = reduce sum %x [0]\n %a: f32[3] = mul %y1, %c\n %d: f32[3] = add %a, %s\n"
     "%f: f32[3] = sin %d\n %o: bool[] = ge %t, %k\n results %f, %y1, %o\n }\n"
     "%last: f32[3] = get %l 0\n %all: f32[n, 3] = get %l 1\n results last = %last, all = %all\n"},
    {"two loops, the second over what the first gives", 0, "c: f32[2], x: f32[n, 2]",
     "%l: (f32[2], f32[n, 2]) = scan %c, %x counts 0 1 1 1 extent n {\n"
     "%t: i32[] = arg 0\n %c: f32[2] = arg 1\n %x: f32[2] = arg 2\n %a: f32[2] = mul %c, %x\n %b: f32[2] = sin %a\n"
     "%d: f32[2] = add %b, %x\n results %d, %b\n }\n %c1: f32[2] = get %l 0\n %all: f32[n, 2] = get %l 1\n"
     "%m: (f32[2]) = scan %c1, %all counts 0 1 1 0 flag extent n {\n"
     "%t: i32[] = arg 0\n %c: f32[2] = arg 1\n %x: f32[2] = arg 2\n %a: f32[2] = mul %c, %x\n %b: f32[2] = sin %a\n"
     "%d: f32[2] = add %b, %x\n results %d\n }\n %last: f32[2] = get %m 0\n results last = %last, all = %all\n"},
    {"ends of a path", 0, "c: f32[2], x: f32[n, 2]",
     "%l: (f32[2]) = scan %c, %x counts 0 1 1 0 extent n {\n"
     "%t: i32[] = arg 0\n %c: f32[2] = arg 1\n %x: f32[2] = arg 2\n %one: f32[2] = const 1.0\n %f: f32[2] = floor %x\n"
     "%a: f32[2] = add %f, %one\n %b: f32[2] = stop %a\n %d: f32[2] = mul %c, %b\n %e: f32[2] = sin %d\n results %e\n }\n"
     "%last: f32[2] = get %l 0\n results last = %last\n"},
};

static const int64_t SIZES[] = {3}; /* n */

typedef struct Setup {
    Arena *arena;
    Program *program;
    Graph *graph;
    int n;
    Tensor *inputs[8];
    Node *nodes[8];
} Setup;

static Setup set_up(const Case *c, uint64_t *random) {
    Setup s = {.arena = arena_new()};
    const char *lines = "";
    for (const char *p = c->inputs; *p; s.n++) { /* "name: type[...], " */
        const char *colon = strchr(p, ':'), *close = strchr(p, ']') + 1;
        lines = arena_printf(s.arena, "%s %%%.*s%.*s = input %d %.*s\n", lines, (int)(colon - p), p, (int)(close - colon),
                             colon, s.n, (int)(colon - p), p);
        p = close + strspn(close, ", ");
    }
    lines = arena_printf(s.arena, "%s %%zero: i32[2] = const 0\n", lines);
    s.program = kit_program(s.arena, arena_printf(s.arena, "program t\nsize n in 1..9\nentry f[n](%s) -> ()\n%s%s", c->inputs,
                                                  lines, c->lines));
    Entry *entry = kit_entry(s.program, "f");
    s.graph = entry->graph;
    for (int k = 0; k < s.n; k++) {
        const Type *t = &entry->inputs[k].type;
        int64_t dim[MAX_RANK];
        for (int i = 0; i < t->rank; i++) size_eval(t->dim[i], SIZES, &dim[i]);
        s.inputs[k] = tensor_new(s.arena, t->dtype, t->rank, dim);
        s.nodes[k] = s.graph->nodes.at[k];
        for (int64_t j = 0; j < s.inputs[k]->count; j++) {
            if (s.inputs[k]->f) s.inputs[k]->f[j] = kit_uniform(random, -1, 1);
            else s.inputs[k]->i[j] = (int64_t)floor(kit_uniform(random, 0, c->whole));
        }
    }
    return s;
}

/* The sum of x times fixed numbers. */
static Node *weighted(Graph *g, Node *x, uint64_t *random) {
    int64_t dim[MAX_RANK], count = 1;
    for (int i = 0; i < x->type.rank; i++) {
        size_eval(x->type.dim[i], SIZES, &dim[i]);
        count *= dim[i];
    }
    double *numbers = NEW_ARRAY(g->arena, double, count);
    for (int64_t k = 0; k < count; k++) numbers[k] = kit_uniform(random, 0.5, 2);
    Type fixed = type_scalar(DT_F64);
    fixed.rank = 1;
    fixed.dim[0] = size_const(g->program->sizes, count);
    Node *w = node_leaf(g, OP_TENSOR, &(Attrs){.data = numbers}, fixed);
    w = node_reshape(g, w, x->type.rank, x->type.dim);
    int axes[MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    return node_reduce(g, REDUCE_SUM, node_map2(g, OP_MUL, w, node_cast(g, x, DT_F64)), x->type.rank, axes);
}

static Node *add(Graph *g, Node *a, Node *b) { return a ? node_map2(g, OP_ADD, a, b) : b; }

/* The scalar becomes a result, then its gradients by the float inputs. Returns the place of the first. */
static int ask(Setup *s, Node *scalar, Node **gradients) {
    Node *in[9] = {scalar};
    int n = 0;
    for (int k = 0; k < s->n; k++)
        if (s->inputs[k]->f) in[++n] = s->nodes[k];
    Node *grad = graph_add(s->graph, OP_GRAD, NULL, n + 1, in);
    graph_result(s->graph, "loss", scalar);
    int at = s->graph->results.n - 1;
    for (int k = 0; k < n; k++) {
        gradients[k] = node_get(s->graph, grad, k);
        graph_result(s->graph, NULL, gradients[k]);
    }
    gradients[n] = NULL;
    return at;
}

static KitRun run(const Setup *s, Arena *room) {
    KitRun r = kit_run(room, s->program, s->graph, (Tensor **)s->inputs, SIZES, NULL, true);
    if (r.good) return r;
    printf("the interpreter refuses: %s\n", r.error);
    exit(1);
}

static double value_of(const Setup *s, int result) {
    Arena *room = arena_new();
    double v = run(s, room).results[result]->f[0];
    arena_free(room);
    return v;
}

/* Gradients at the results behind `at` of the scalar there, against differences. */
static void compare(const Case *c, const Setup *s, int level, int order, int at) {
    Arena *room = arena_new();
    KitRun r = run(s, room);
    int place = at;
    for (int k = 0; k < s->n; k++) {
        Tensor *x = s->inputs[k];
        if (!x->f) continue;
        const Tensor *dx = r.results[++place];
        for (int64_t j = 0; j < x->count; j++) {
            const double h = 1e-5, middle = x->f[j];
            x->f[j] = middle + h;
            double up = value_of(s, at);
            x->f[j] = middle - h;
            double down = value_of(s, at), difference = (up - down) / (2 * h);
            x->f[j] = middle;
            kit_check(fabs(difference - dx->f[j]) <= 2e-6 * (1 + fabs(difference)),
                      "%s, level %d, order %d, input %d, element %lld: %.9g, by differences %.9g", c->name, level, order, k,
                      (long long)j, dx->f[j], difference);
        }
    }
    arena_free(room);
}

static void mark(Graph *g, bool body) {
    for (int i = 0; i < g->nodes.n; i++) {
        Node *n = g->nodes.at[i];
        if (n->attrs.body) mark(n->attrs.body, true);
        if (body && n->op != OP_ARG) n->recompute = -(i % 3);
    }
}

/* Returns the loss. */
static double run_case(const Case *c, int level, bool marked) {
    uint64_t random = 7;
    Setup s = set_up(c, &random);
    if (marked) mark(s.graph, false);
    int results = s.graph->results.n;
    Node *loss = NULL, *second = NULL, *gradients[9];
    for (int k = 0; k < results; k++) loss = add(s.graph, loss, weighted(s.graph, s.graph->results.at[k].value, &random));
    int first_order = ask(&s, loss, gradients);
    for (int k = 0; gradients[k]; k++) second = add(s.graph, second, weighted(s.graph, gradients[k], &random));
    int second_order = ask(&s, second, gradients);
    Diag *d = diag_new();
    double value = 0;
    if (!kit_check(passes_run(s.program, &(PassOptions){.level = level}, d), "%s: refused", c->name)) {
        diag_print(d, stdout, false);
    } else {
        s.graph = kit_entry(s.program, "f")->graph;
        compare(c, &s, level, 1, first_order);
        compare(c, &s, level, 2, second_order);
        value = value_of(&s, first_order);
        const char *message;
        kit_check(graph_verify_no_marks(s.graph, s.arena, &message), "%s: %s", c->name, message);
    }
    diag_free(d);
    arena_free(s.arena);
    return value;
}

int main(void) {
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++) {
        double plain = run_case(&CASES[k], 0, false), optimized = run_case(&CASES[k], 2, false);
        double again = run_case(&CASES[k], 2, true);
        kit_check(fabs(plain - again) <= 1e-9 * (1 + fabs(plain)), "%s: the loss is %.17g, with checkpoints %.17g", CASES[k].name,
                  plain, again);
        kit_check(fabs(plain - optimized) <= 1e-9 * (1 + fabs(plain)), "%s: the loss is %.17g, at level 2 %.17g",
                  CASES[k].name, plain, optimized);
    }
    return kit_end();
}
