/* quantize_static.c -- what flows into a product as codes of one scale and zero point, which calibration found.
 *
 *   u = clamp(round(x * (1 / t)) + z, -128, 127)      t = (hi - lo) / 255, z = round(-lo / t) - 128, so that 0 has a code
 *
 * or from whole numbers alone where x is made of sums of codes (quantize_fixed.c), those of poolings among them (quantize_pool.c).
 *
 * Codes are made as early as they can be: below views, in front of frames (whose zeros become z) and of the maps of a pooling by the
 * largest element and of concatenations, since a larger x never has a smaller code. There they join the kernel that makes x, and everything from there
 * to the product moves bytes. What a call is given is made by no kernel: its codes are made where they are put into their frame. */
#include "passes/quantize.h"

#include <math.h>

typedef struct Codes {
    PassContext *c;
    Graph *g;
    CodedValues *made;
    double per_step; /* 1 / t */
    QuantStep step;
    bool *floats; /* there are codes of what was nothing but floats, or is what others stand for: training knows ranges by their names, not
                     by their ends, and so makes such codes anew */
} Codes;

QuantStep quantize_step(const Observed *o) {
    float lo = (float)o->lo, hi = (float)o->hi, width = hi - lo, t = width / 255; /* as fake_input.c has it, in f32 */
    if (!(t > 0)) t = 1;
    float zero = rintf(-lo / t) - 128;
    return (QuantStep){.scale = (double)t, .zero = (int)fminf(fmaxf(zero, -128), 127)};
}

static int code_of(const Codes *c, double x) {
    return (int)fmin(fmax(rint((double)((float)x * (float)c->per_step)) + c->step.zero, -128), 127);
}

static Node *filled(const Codes *c, const Node *like, double x) { return node_const(c->g, like->type, x); }

/* In fixed point where x is made of sums of codes, else from the f32 that it is. */
static Node *encoded(const Codes *c, Node *x, bool *is_fixed) {
    Node *u = quantize_fixed(c->c->scratch, c->g, c->made, c->step, x);
    *is_fixed = u != NULL;
    if (u) return u;
    *c->floats = true;
    u = node_map1(c->g, OP_ROUND, node_map2(c->g, OP_MUL, x, filled(c, x, c->per_step)));
    u = node_map2(c->g, OP_ADD, u, filled(c, x, c->step.zero));
    return node_cast(c->g, node_map3(c->g, OP_CLAMP, u, filled(c, x, -128), filled(c, x, 127)), DT_I8);
}

static bool is_view(Op op) {
    return op == OP_RESHAPE || op == OP_PERMUTE || op == OP_EXPAND || op == OP_SLICE || op == OP_WINDOW || op == OP_REV;
}

const Node *quantize_behind_views(const Node *x) {
    while (is_view(x->op) || x->op == OP_PAD) x = x->in[0];
    return x;
}

/* The value that x is the largest elements of; NULL: x is no such pooling, or one of more than *left values. */
static const Node *behind_pool(const Node *x, int *left) {
    if (x->op != OP_MAX) return --*left < 0 ? NULL : quantize_behind_views(x);
    const Node *a = behind_pool(x->in[0], left), *b = a ? behind_pool(x->in[1], left) : NULL;
    return a == b && a && a->op != OP_CONST ? a : NULL;
}

enum { POOL_MOST = 1024 };
static bool is_pool(const Node *x) {
    int left = POOL_MOST;
    return x->op == OP_MAX && behind_pool(x, &left);
}

/* What a call is given, in a frame of zeros, which are code z either way. */
static bool is_framed_input(const Node *x) {
    return x->op == OP_PAD && x->attrs.number == 0 && quantize_behind_views(x->in[0])->op == OP_INPUT;
}

static Node *codes_of(const Codes *c, Node *x);

static Node *codes_made(const Codes *c, Node *x, bool *is_fixed) {
    Node *in[2];
    if (x->op == OP_CONST) return node_const(c->g, type_of(DT_I8, x->type.rank, x->type.dim), code_of(c, x->attrs.number));
    if (is_view(x->op)) {
        in[0] = codes_of(c, x->in[0]);
        return graph_add(c->g, x->op, &x->attrs, 1, in);
    }
    if (x->op == OP_PAD && !is_framed_input(x)) {
        Attrs attrs = x->attrs;
        attrs.number = code_of(c, attrs.number);
        in[0] = codes_of(c, x->in[0]);
        return graph_add(c->g, OP_PAD, &attrs, 1, in);
    }
    if (x->op == OP_CONCAT) {
        Node **part = NEW_ARRAY(c->c->scratch, Node *, x->n_in);
        for (int i = 0; i < x->n_in; i++) part[i] = codes_of(c, x->in[i]);
        return graph_add(c->g, OP_CONCAT, &x->attrs, x->n_in, part);
    }
    if (is_pool(x)) return node_map2(c->g, OP_MAX, codes_of(c, x->in[0]), codes_of(c, x->in[1]));
    return encoded(c, x, is_fixed);
}

/* Once for all that show x: passes that follow move a view in front of what it alone reads. */
static Node *codes_of(const Codes *c, Node *x) {
    for (int i = 0; i < c->made->codes.n; i++) {
        const Coded *m = &c->made->codes.at[i];
        if (m->x != x || m->step.scale != c->step.scale || m->step.zero != c->step.zero) continue;
        *c->floats |= m->from == CODES_ROUNDED || m->from == CODES_EXACT;
        return m->codes;
    }
    bool is_fixed = false, before = *c->floats;
    *c->floats = false;
    Node *u = codes_made(c, x, &is_fixed);
    PUSH(c->c->scratch, c->made->codes, ((Coded){x, c->step, u, is_fixed ? CODES_FIXED : *c->floats ? CODES_ROUNDED : CODES_MOVED}));
    *c->floats |= before;
    return u;
}

Node *quantize_static(PassContext *c, Graph *g, CodedValues *made, QuantStep step, Node *x) {
    bool floats = false;
    return codes_of(&(Codes){c, g, made, (double)(1.0f / (float)step.scale), step, &floats}, x);
}

Node *quantize_static_known(PassContext *c, Graph *g, CodedValues *made, QuantStep step, Node *x) {
    bool floats = false;
    int known = made->codes.n;
    Node *u = codes_of(&(Codes){c, g, made, (double)(1.0f / (float)step.scale), step, &floats}, x);
    if (!floats) return u;
    made->codes.n = known;
    return NULL;
}

const Coded *quantize_exact(const CodedValues *made, const Node *x) {
    while (is_view(x->op) || (x->op == OP_PAD && x->attrs.number == 0)) x = x->in[0];
    for (int i = 0; i < made->codes.n; i++)
        if (made->codes.at[i].x == x && made->codes.at[i].from == CODES_EXACT) return &made->codes.at[i];
    return NULL;
}
