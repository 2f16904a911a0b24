/* grad.c -- every rule of differentiation against central differences, first and second order, in exact arithmetic, on odd and
 * degenerate shapes. A case is the text of a graph; its float inputs are drawn from low..high, whole ones from 0..whole-1. The
 * loss is the sum of all results, each weighted by fixed random numbers. */
#include "tests/ir/kit.h"
#include "tests/seen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    const char *name;
    double low, high;
    int whole;
    bool first_only; /* no second order: the first derivative jumps or is 0 almost everywhere */
    const char *text; /* inputs "a: T, b: T" | lines of the graph; the last value is y */
} Case;

#define UNARY(op, low, high)                                                                                                   \
    {#op, low, high, 0, false, "x: f32[3, 1, 2] | %y: f32[3, 1, 2] = " #op " %x\n"},                                           \
    {#op " of a scalar", low, high, 0, false, "x: f32[] | %y: f32[] = " #op " %x\n"}
#define BINARY(op, low, high)                                                                                                  \
    {#op, low, high, 0, false, "a: f32[2, 1, 3], b: f32[2, 1, 3] | %y: f32[2, 1, 3] = " #op " %a, %b\n"}

static const Case CASES[] = {
    UNARY(neg, -2, 2),
    UNARY(exp, -2, 2),
    UNARY(expm1, -2, 2),
    UNARY(log, 0.2, 3),
    UNARY(log1p, -0.7, 3),
    UNARY(sqrt, 0.2, 3),
    UNARY(rsqrt, 0.2, 3),
    UNARY(sin, -4, 4),
    UNARY(cos, -4, 4),
    UNARY(tanh, -2, 2),
    UNARY(erf, -2, 2),
    UNARY(sigmoid, -3, 3),
    UNARY(abs, -2, 2),
    {"cast", -2, 2, 0, false, "x: f32[3] | %y: f64[3] = cast %x\n"},
    BINARY(add, -2, 2),
    BINARY(sub, -2, 2),
    BINARY(mul, -2, 2),
    BINARY(mulz, -2, 2),
    BINARY(div, 0.3, 2),
    BINARY(pow, 0.3, 2),
    BINARY(atan2, -2, 2),
    BINARY(mod, 0.3, 2),
    BINARY(max, -2, 2),
    BINARY(min, -2, 2),
    {"div by a number", -2, 2, 0, false, "x: f32[3] | %c: f32[3] = const 3.5\n %y: f32[3] = div %x, %c\n"},
    {"pow by a number", 0.3, 2, 0, false, "x: f32[3] | %c: f32[3] = const 2.5\n %y: f32[3] = pow %x, %c\n"},
    {"pow by a square", -2, 2, 0, false, "x: f32[3] | %c: f32[3] = const 2.0\n %y: f32[3] = pow %x, %c\n"},
    {"pow by 0", -2, 2, 0, true, "x: f32[3] | %c: f32[3] = const 0.0\n %y: f32[3] = pow %x, %c\n"},
    {"max with a number", -2, 2, 0, false,
     "x: f32[3] | %c: f32[] = const 0.1\n %d: f32[3] = expand %c\n %y: f32[3] = max %x, %d\n"},
    {"where", -2, 2, 2, false, "c: bool[2, 3], a: f32[2, 3], b: f32[2, 3] | %y: f32[2, 3] = where %c, %a, %b\n"},
    {"clamp", -2, 2, 0, false,
     "x: f32[9], l: f32[9], h: f32[9] | %one: f32[9] = const 1.5\n %high: f32[9] = add %h, %one\n"
     "%low: f32[9] = sub %l, %one\n %y: f32[9] = clamp %x, %low, %high\n"},
    {"reshape", -2, 2, 0, false, "x: f32[2, 3, n] | %y: f32[3*n, 1, 2] = reshape %x\n"},
    {"permute", -2, 2, 0, false, "x: f32[2, 1, 3, n] | %y: f32[3, 2, n, 1] = permute %x [2, 0, 3, 1]\n"},
    {"expand", -2, 2, 0, false, "x: f32[2, 1, 3] | %y: f32[4, 2, n, 3] = expand %x\n"},
    {"expand a scalar", -2, 2, 0, false, "x: f32[] | %y: f32[1, 3] = expand %x\n"},
    {"expand 1 to 1", -2, 2, 0, false, "x: f32[1, 1] | %y: f32[3, 1, 1] = expand %x\n"},
    {"slice", -2, 2, 0, false, "x: f32[5, n, 1] | %y: f32[2, n - 1, 1] = slice %x [1:3, 0:n - 1, 0:1]\n"},
    {"slice to nothing", -2, 2, 0, true, "x: f32[5] | %y: f32[0] = slice %x [2:2]\n"},
    {"pad", -2, 2, 0, false, "x: f32[2, n] | %y: f32[5, n + 1] = pad %x [1:2, 0:1] value 3.5\n"},
    {"concat", -2, 2, 0, false, "a: f32[2, 1], b: f32[2, n], c: f32[2, 3] | %y: f32[2, n + 4] = concat %a, %b, %c axis 1\n"},
    {"rev", -2, 2, 0, false, "x: f32[2, n, 3] | %y: f32[2, n, 3] = rev %x axis 1\n"},
    {"diagonal", -2, 2, 0, false, "x: f32[2, n, n] | %y: f32[2, n] = diagonal %x\n"},
    {"slice_at", -2, 2, 3, false, "x: f32[2, 5], s: i32[] | %y: f32[2, 3] = slice_at %x, %s axis 1 extent 3\n"},
    {"update_at", -2, 2, 3, false, "x: f32[5, 2], v: f32[3, 2], s: i32[] | %y: f32[5, 2] = update_at %x, %v, %s axis 0\n"},
    {"gather", -2, 2, 4, false, "x: f32[3, 4, 2], ids: i32[2, 3] | %y: f32[3, 2, 3, 2] = gather %x, %ids axis 1\n"},
    {"gather by a scalar", -2, 2, 4, false, "x: f32[3, 4], ids: i64[] | %y: f32[3] = gather %x, %ids axis 1\n"},
    {"gather along", -2, 2, 4, false, "x: f32[3, 4, 1], ids: i32[3, 5, 1] | %y: f32[3, 5, 1] = gather %x, %ids axis 1 flag\n"},
    {"scatter_add", -2, 2, 4, false, "v: f32[3, 2, 3, 2], ids: u8[2, 3] | %y: f32[3, 4, 2] = scatter_add %v, %ids axis 1\n"},
    {"scatter_add along", -2, 2, 4, false, "v: f32[3, 5], ids: i32[3, 5] | %y: f32[3, 4] = scatter_add %v, %ids axis 1 flag\n"},
    {"reduce sum", -2, 2, 0, false, "x: f32[2, 3, 1, n] | %y: f32[3, 1] = reduce sum %x [0, 3]\n"},
    {"reduce sum of all", -2, 2, 0, false, "x: f32[2, 3] | %y: f32[] = reduce sum %x [0, 1]\n"},
    {"reduce var", -2, 2, 0, false, "x: f32[2, 3, n] | %y: f32[3] = reduce var %x [0, 2]\n"},
    {"reduce var of one", -2, 2, 0, false, "x: f32[3, 1] | %y: f32[3] = reduce var %x [1]\n"},
    {"reduce var of no axis", -2, 2, 0, true, "x: f32[3] | %y: f32[3] = reduce var %x []\n"},
    {"reduce max", -2, 2, 0, false, "x: f32[2, 3, n] | %y: f32[3] = reduce max %x [0, 2]\n"},
    {"reduce min", -2, 2, 0, false, "x: f32[2, 3, n] | %y: f32[2, n] = reduce min %x [1]\n"},
    {"contract", -2, 2, 0, false, "a: f32[3, n], b: f32[n, 2] | %y: f32[3, 2] = contract %a[m k], %b[k n] -> [m n]\n"},
    {"contract by batches", -2, 2, 0, false,
     "a: f32[2, 3, 1, n], b: f32[n, 1, 5, 2] | %y: f32[5, 2, 3] = contract %a[p m q k], %b[k q n p] -> [n p m]\n"},
    {"contract to a scalar", -2, 2, 0, false, "a: f32[3, 2], b: f32[2, 3] | %y: f32[] = contract %a[i j], %b[j i] -> []\n"},
    {"contract, outer product", -2, 2, 0, false, "a: f32[3], b: f32[1] | %y: f32[3, 1] = contract %a[i], %b[j] -> [i j]\n"},
    {"contract with itself", -2, 2, 0, false, "a: f32[3, 2] | %y: f32[3, 3] = contract %a[i k], %a[j k] -> [i j]\n"},
    {"cumsum", -2, 2, 0, false, "x: f32[2, n, 3] | %y: f32[2, n, 3] = cumsum %x axis 1\n"},
    {"cumsum from the end", -2, 2, 0, false, "x: f32[2, n, 3] | %y: f32[2, n, 3] = cumsum %x axis 0 flag\n"},
    {"conv", -2, 2, 0, false,
     "x: f32[n, 2, 5, 4], w: f32[3, 2, 3, 2] | %y: f32[n, 3, 5, 3] = conv y %x, %w taps 3 2 stride 1 1 dilation 1 1 before 1 0 "
     "groups 1\n"},
    {"conv of size 1", -2, 2, 0, false,
     "x: f32[1, 1, 1, 1], w: f32[1, 1, 1, 1] | %y: f32[1, 1, 1, 1] = conv y %x, %w taps 1 1 stride 1 1 dilation 1 1 before 0 0 "
     "groups 1\n"},
    {"conv, kernel = input", -2, 2, 0, false,
     "x: f32[2, 1, 3, 3], w: f32[2, 1, 3, 3] | %y: f32[2, 2, 1, 1] = conv y %x, %w taps 3 3 stride 2 1 dilation 1 1 before 0 0 "
     "groups 1\n"},
    {"conv, stride above kernel", -2, 2, 0, false,
     "x: f32[1, 2, 7, 8], w: f32[2, 2, 2, 1] | %y: f32[1, 2, 2, 3] = conv y %x, %w taps 2 1 stride 4 3 dilation 1 1 before 0 0 "
     "groups 1\n"},
    {"conv, dilated, in groups", -2, 2, 0, false,
     "x: f32[1, 4, 6, 7], w: f32[6, 2, 2, 3] | %y: f32[1, 6, 3, 2] = conv y %x, %w taps 2 3 stride 2 2 dilation 3 2 before 1 1 "
     "groups 2\n"},
    {"conv, depthwise, padded on one side", -2, 2, 0, false,
     "x: f32[2, 3, 4, 4], w: f32[3, 1, 3, 3] | %y: f32[2, 3, 3, 2] = conv y %x, %w taps 3 3 stride 1 2 dilation 1 1 before 1 1 "
     "groups 3\n"},
    {"conv transposed", -2, 2, 0, false,
     "y: f32[2, 3, 2, 3], w: f32[3, 2, 3, 2] | %x: f32[2, 2, 4, 7] = conv x %y, %w taps 3 2 stride 2 3 dilation 1 1 before 1 0 "
     "groups 1\n"},
    {"conv for w", -2, 2, 0, false,
     "y: f32[2, 2, 3, 3], x: f32[2, 2, 5, 3] | %w: f32[2, 1, 2, 2] = conv w %y, %x taps 2 2 stride 2 1 dilation 1 2 before 0 1 "
     "groups 2\n"},
    {"largest of windows", -2, 2, 0, false,
     "x: f32[2, n, 5, 4] | %p: u8[2, n, 3, 2] = window_argmax %x taps 3 2 stride 2 2 dilation 1 1 before 1 0 groups 1\n"
     "%y: f32[2, n, 3, 2] = window_take %x, %p taps 3 2 stride 2 2 dilation 1 1 before 1 0 groups 1\n"},
    {"put into windows", -2, 2, 4, false,
     "v: f32[1, 1, 2, 3], p: u8[1, 1, 2, 3] | %y: f32[1, 1, 3, 4] = window_put %v, %p taps 2 2 stride 1 1 dilation 1 1 before 0 0 groups "
     "1\n"},
    {"custom", -2, 2, 0, false,
     "x: f32[3] | %s: f32[3] = sin %x\n %c: (f32[3]) = custom %s, %x {\n"
     "  %dy: f32[3] = arg 0\n %a: f32[3] = arg 1\n %cos: f32[3] = cos %a\n %d: f32[3] = mul %dy, %cos\n results %d\n }\n"
     "%y: f32[3] = get %c 0\n"},
    {"softmax and cross entropy", -2, 2, 4, false,
     "x: f32[3, 4], ids: i32[3, 1] | %m: f32[3] = reduce max %x [1]\n %m1: f32[3, 1] = reshape %m\n %m2: f32[3, 4] = expand "
     "%m1\n"
     "%d: f32[3, 4] = sub %x, %m2\n %e: f32[3, 4] = exp %d\n %s: f32[3] = reduce sum %e [1]\n %l: f32[3] = log %s\n"
     "%t: f32[3, 1] = gather %d, %ids axis 1 flag\n %t1: f32[3] = reshape %t\n %y: f32[3] = sub %l, %t1\n"},
};

static const int64_t SIZES[] = {3}; /* n */

typedef struct Setup {
    Arena *arena;
    Program *program;
    Entry *entry;
    Tensor **inputs;
    Node **inputs_as_nodes;
} Setup;

static Setup set_up(const Case *c, uint64_t *random) {
    Setup s = {.arena = arena_new()};
    const char *bar = strchr(c->text, '|');
    const char *inputs = arena_copy(s.arena, c->text, (size_t)(bar - c->text));
    const char *lines = "";
    int n = 0;
    for (const char *p = inputs; *p; n++) { /* "name: type[...], " */
        const char *colon = strchr(p, ':'), *close = strchr(p, ']') + 1;
        lines = arena_printf(s.arena, "%s %%%.*s%.*s = input %d %.*s\n", lines, (int)(colon - p), p, (int)(close - colon),
                             colon, n, (int)(colon - p), p);
        p = close + strspn(close, ", ");
    }
    s.program =
        kit_program(s.arena, arena_printf(s.arena, "program t\nsize n in 1..9\nentry f[n](%s) -> ()\n%s%s results y = %%y\n",
                                          inputs, lines, bar + 1));
    s.entry = kit_entry(s.program, "f");
    s.inputs = NEW_ARRAY(s.arena, Tensor *, n);
    s.inputs_as_nodes = NEW_ARRAY(s.arena, Node *, n);
    for (int k = 0; k < n; k++) {
        const Type *t = &s.entry->inputs[k].type;
        int64_t dim[MAX_RANK];
        for (int i = 0; i < t->rank; i++) size_eval(t->dim[i], SIZES, &dim[i]);
        s.inputs[k] = tensor_new(s.arena, t->dtype, t->rank, dim);
        for (int64_t j = 0; j < s.inputs[k]->count; j++) {
            if (s.inputs[k]->f) s.inputs[k]->f[j] = kit_uniform(random, c->low, c->high);
            else s.inputs[k]->i[j] = (int64_t)floor(kit_uniform(random, 0, c->whole));
        }
        s.inputs_as_nodes[k] = s.entry->graph->nodes.at[k];
    }
    return s;
}

/* sum of x times fixed numbers, a scalar of f64 */
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

static double value_of(const Setup *s, int result) {
    Arena *room = arena_new();
    KitRun r = kit_run(room, s->program, s->entry->graph, s->inputs, SIZES, NULL, true);
    if (!r.good) {
        printf("the interpreter refuses: %s\n", r.error);
        exit(1);
    }
    double v = r.results[result]->f[0];
    arena_free(room);
    return v;
}

/* The gradients at results first... of the scalar at result `scalar`, against differences. */
static void compare(const Case *c, const Setup *s, int order, int scalar, int first) {
    Arena *room = arena_new();
    KitRun r = kit_run(room, s->program, s->entry->graph, s->inputs, SIZES, NULL, true);
    if (!kit_check(r.good, "%s: %s", c->name, r.error)) exit(1);
    int at = first;
    for (int k = 0; k < s->entry->n_inputs; k++) {
        Tensor *x = s->inputs[k];
        if (!x->f) continue;
        const Tensor *dx = r.results[at++];
        for (int64_t j = 0; j < x->count; j++) {
            const double h = 1e-5, middle = x->f[j];
            x->f[j] = middle + h;
            double up = value_of(s, scalar);
            x->f[j] = middle - h;
            double down = value_of(s, scalar), difference = (up - down) / (2 * h);
            x->f[j] = middle;
            kit_check(fabs(difference - dx->f[j]) <= 2e-6 * (1 + fabs(difference)),
                      "%s, order %d, input %d, element %lld: %.9g, by differences %.9g", c->name, order, k, (long long)j,
                      dx->f[j], difference);
        }
    }
    arena_free(room);
}

static bool seen[OP_COUNT];

static void run_case(const Case *c) {
    uint64_t random = 7;
    for (const char *p = c->name; *p; p++) random = random * 31 + (unsigned char)*p;
    Setup s = set_up(c, &random);
    Graph *g = s.entry->graph;
    seen_graph(seen, g);
    Node *y = g->results.at[0].value;
    /* `get` hands the gradient of its result to the node with several results */
    Node *custom = y->op == OP_GET ? y->in[0] : NULL;
    int n = 0;
    Node *xs[8], *dxs[8], *ddxs[8];
    for (int k = 0; k < s.entry->n_inputs; k++)
        if (dtype_is_float(s.inputs_as_nodes[k]->type.dtype)) xs[n++] = s.inputs_as_nodes[k];
    if (custom) {
        Node *dy = node_cast(g, node_like(g, y, 1), y->type.dtype), *dx[8] = {0}, *dys[1] = {dy};
        bool want[8] = {true, true};
        op_grad(OP_CUSTOM)(&(GradRule){.g = g, .y = custom, .dys = dys, .dx = dx, .want = want});
        int axes[1] = {0};
        graph_result(g, "loss", node_reduce(g, REDUCE_SUM, node_cast(g, y, DT_F64), 1, axes));
        graph_result(g, "dx", dx[1]);
        compare(c, &s, 1, 1, 2);
        arena_free(s.arena);
        return;
    }
    Node *loss = weighted(g, y, &random);
    kit_gradients(g, loss, n, xs, dxs);
    graph_result(g, "loss", loss);
    for (int k = 0; k < n; k++) graph_result(g, NULL, dxs[k]);
    compare(c, &s, 1, 1, 2);
    if (!c->first_only) {
        Node *second = NULL;
        for (int k = 0; k < n; k++) {
            Node *part = weighted(g, dxs[k], &random);
            second = second ? node_map2(g, OP_ADD, second, part) : part;
        }
        kit_gradients(g, second, n, xs, ddxs);
        int at = g->results.n;
        graph_result(g, "second", second);
        for (int k = 0; k < n; k++) graph_result(g, NULL, ddxs[k]);
        compare(c, &s, 2, at, at + 1);
    }
    const char *message;
    kit_check(graph_verify(g, s.arena, &message), "%s: %s", c->name, message);
    arena_free(s.arena);
}

/* ---- corners: dy given, exact answers ------------------------------------------------------------------------------------ */

typedef struct Corner {
    const char *name, *op;
    int n, count;           /* operands, elements */
    double in[3][6], dy[6]; /* values */
    bool number[3];         /* operand is a constant (its first element) */
    double dx[3][6];
} Corner;

static const Corner CORNERS[] = {
    {"max: equals share", "max", 2, 3, {{1, 2, 0}, {1, 0, 2}}, {4, 4, 4}, {0}, {{2, 4, 0}, {2, 0, 4}}},
    {"min: equals share", "min", 2, 3, {{1, 2, 0}, {1, 0, 2}}, {4, 4, 4}, {0}, {{2, 0, 4}, {2, 4, 0}}},
    {"relu at 0", "max", 2, 3, {{0, 1, -1}, {0}}, {4, 4, 4}, {false, true}, {{0, 4, 0}}},
    {"min with a number at it", "min", 2, 3, {{0, 1, -1}, {0}}, {4, 4, 4}, {false, true}, {{0, 0, 4}}},
    {"clamp at its limits",
     "clamp",
     3,
     4,
     {{0, 1, 2, -1}, {0, 0, 0, 0}, {1, 1, 1, 1}},
     {4, 4, 4, 4},
     {0},
     {{4, 4, 0, 0}, {0, 0, 0, 4}, {0, 0, 4, 0}}},
    {"sqrt at 0 with dy 0", "sqrt", 1, 3, {{0, 4, -1}}, {0, 4, 0}, {0}, {{0, 1, 0}}},
    {"sqrt at 0", "sqrt", 1, 1, {{0}}, {1}, {0}, {{INFINITY}}},
    {"log at 0 with dy 0", "log", 1, 2, {{0, -1}}, {0, 0}, {0}, {{0, 0}}},
    {"division by 0 with dy 0", "div", 2, 2, {{1, 0}, {0, 0}}, {0, 0}, {0}, {{0, 0}, {0, 0}}},
    {"a NaN factor with dy 0", "mul", 2, 2, {{NAN, INFINITY}, {1, 2}}, {0, 0}, {0}, {{0, 0}, {0, 0}}},
    {"abs at 0", "abs", 1, 2, {{0, -3}}, {4, 4}, {0}, {{0, -4}}},
    {"0 ** b", "pow", 2, 3, {{0, 0, 0}, {0, 1, 2}}, {4, 4, 4}, {0}, {{0, 4, 0}, {0, 0, 0}}},
    {"x ** 0 at 0", "pow", 2, 2, {{0, 3}, {0}}, {4, 4}, {false, true}, {{0, 0}}},
    {"0 ** -1 with dy 0", "pow", 2, 1, {{0}, {-1}}, {0}, {0}, {{0}, {0}}},
};

static bool same_number(double a, double b) { return (isnan(a) && isnan(b)) || a == b; }

static void run_corner(const Corner *c) {
    Arena *a = arena_new();
    const char *text = "program t\nentry f(", *lines = "";
    const char *const names[] = {"a", "b", "c"};
    for (int k = 0; k < c->n; k++) {
        text = arena_printf(a, "%s%s%s: f32[%d]", text, k ? ", " : "", names[k], c->count);
        lines = c->number[k] ? arena_printf(a, "%s %%%s: f32[%d] = const %.17g\n", lines, names[k], c->count, c->in[k][0])
                             : arena_printf(a, "%s %%%s: f32[%d] = input %d %s\n", lines, names[k], c->count, k, names[k]);
    }
    const char *operands = c->n == 1 ? "%a" : c->n == 2 ? "%a, %b" : "%a, %b, %c";
    text = arena_printf(a, "%s, dy: f32[%d]) -> ()\n%s %%dy: f32[%d] = input %d dy\n %%y: f32[%d] = %s %s\n results y = %%y\n",
                        text, c->count, lines, c->count, c->n, c->count, c->op, operands);
    Program *p = kit_program(a, text);
    Graph *g = kit_entry(p, "f")->graph;
    Node *y = g->results.at[0].value, *dx[3] = {0};
    bool want[3] = {!c->number[0], !c->number[1], !c->number[2]};
    op_grad(y->op)(&(GradRule){.g = g, .y = y, .dy = g->nodes.at[c->n], .dx = dx, .want = want});
    Tensor *inputs[4];
    int64_t dim[1] = {c->count};
    for (int k = 0; k < c->n; k++) inputs[k] = kit_tensor(a, DT_F32, 1, dim, c->in[k]);
    inputs[c->n] = kit_tensor(a, DT_F32, 1, dim, c->dy);
    for (int k = 0; k < c->n; k++)
        if (want[k]) graph_result(g, NULL, dx[k]);
    KitRun r = kit_run(a, p, g, inputs, NULL, NULL, false);
    if (kit_check(r.good, "%s: %s", c->name, r.error)) {
        for (int k = 0, at = 1; k < c->n; k++) {
            if (!want[k]) continue;
            for (int j = 0; j < c->count; j++)
                kit_check(same_number(r.results[at]->f[j], c->dx[k][j]), "%s: d operand %d [%d] is %g, not %g", c->name, k, j,
                          r.results[at]->f[j], c->dx[k][j]);
            at++;
        }
    }
    arena_free(a);
}

/* amax: the gradient is shared by equals. */
static void ties_of_amax(void) {
    Arena *a = arena_new();
    Program *p = kit_program(
        a, "program t\nentry f(x: f32[2, 3], dy: f32[2]) -> ()\n %x: f32[2, 3] = input 0 x\n %dy: f32[2] = input 1 dy\n"
           " %y: f32[2] = reduce max %x [1]\n results y = %y\n");
    Graph *g = kit_entry(p, "f")->graph;
    Node *dx[1];
    op_grad(OP_REDUCE)(
        &(GradRule){.g = g, .y = g->results.at[0].value, .dy = g->nodes.at[1], .dx = dx, .want = (bool[]){true}});
    graph_result(g, "dx", dx[0]);
    Tensor *inputs[2] = {kit_tensor(a, DT_F32, 2, (int64_t[]){2, 3}, (double[]){1, 5, 5, 2, 2, 2}),
                         kit_tensor(a, DT_F32, 1, (int64_t[]){2}, (double[]){4, 9})};
    KitRun r = kit_run(a, p, g, inputs, NULL, NULL, false);
    const double want[6] = {0, 2, 2, 3, 3, 3};
    for (int k = 0; k < 6; k++) kit_check(r.results[1]->f[k] == want[k], "ties of amax: [%d] is %g", k, r.results[1]->f[k]);
    arena_free(a);
}

int main(void) {
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++) run_case(&CASES[k]);
    for (size_t k = 0; k < sizeof CORNERS / sizeof *CORNERS; k++) run_corner(&CORNERS[k]);
    ties_of_amax();
    for (int op = 0; op < OP_COUNT; op++)
        kit_check(!op_grad((Op)op) || seen[op], "the derivative of %s is not tested", op_row((Op)op)->name);
    seen_write("gradient", seen);
    return kit_end();
}
