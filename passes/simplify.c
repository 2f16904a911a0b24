/* simplify.c -- identities, constants; rounds of rules and sharing until nothing changes.
 *
 * Requires: no CALL, GRAD, CUSTOM, STOP, REDUCE_VAR.  Ensures: the same values (floats: the same bits, but that a sum of pads
 * keeps -0).
 *   %1 = mul %x, 1    →  %x           %2 = permute (permute %x)  →  one permute
 *   %3 = contract (permute %a) ..  →  other letters
 *   %4 = add (const 2), (const 3)  →  const 5      %5 = add (pad %a), (pad %b)  →  concat %a, %b
 * x + 0 stays, where x may be -0; x * 0 stays, where x may be infinite. */
#include "passes/simplify.h"

#include <math.h>

enum { ROUNDS_MOST = 32 };

bool used_once(const Simplify *s, const Node *n, int operand) {
    return s->r->uses[n->in[operand]->id] == 1;
}

Node *like_with(Simplify *s, const Node *n, const Attrs *attrs, int n_in, Node *const *in) {
    Node *m = graph_add(s->g, n->op, attrs, n_in, in);
    if (!m->name) m->name = n->name;
    return m;
}

bool is_leafy(const Node *n, int *budget, bool *counter) {
    if (n->op == OP_IOTA) *counter = true;
    if (node_is_const(n) || n->op == OP_IOTA || n->op == OP_SIZE) return true;
    if (n->type.rank == 0 && (n->op == OP_SLOT || n->op == OP_INPUT || n->op == OP_ARG)) return true;
    OpClass class = op_row(n->op)->class;
    if (class == CLASS_VIEW) return is_leafy(n->in[0], budget, counter);
    if (class != CLASS_MAP || n->op == OP_RANDOM || --*budget < 0) return false;
    for (int i = 0; i < n->n_in; i++)
        if (!is_leafy(n->in[i], budget, counter)) return false;
    return true;
}

/* ---- constants */

static Node *fold(Simplify *s, const Node *n, Node **in) {
    if (n->op == OP_RANDOM || n->n_in == 0) return NULL;
    for (int i = 0; i < n->n_in; i++)
        if (!node_is_const(in[i])) return NULL;
    Graph *g = graph_new(s->scratch, s->g->program);
    Eval e = {.arena = s->scratch, .program = s->g->program};
    Node *operand[3];
    Tensor *value[3], *out = NULL;
    for (int i = 0; i < n->n_in; i++) {
        operand[i] = node_const(g, type_scalar(in[i]->type.dtype), in[i]->attrs.number);
        operand[i]->attrs.whole = in[i]->attrs.whole;
        if (!eval_node(&e, operand[i], NULL, &value[i])) return NULL;
    }
    Node *scalar = graph_add(g, n->op, &n->attrs, n->n_in, operand);
    if (!eval_node(&e, scalar, value, &out)) return NULL; /* a remainder by zero stays where it is */
    Node *c = node_const(s->g, n->type, out->f ? out->f[0] : (double)out->i[0]);
    if (out->i) c->attrs.whole = out->i[0];
    return c;
}

static bool is_power_of_two(double x) {
    int exponent;
    return isfinite(x) && fabs(frexp(x, &exponent)) == 0.5 && exponent > -120 && exponent < 120;
}

static Node *simplify_mul(Simplify *s, const Node *n, Node **in) {
    for (int i = 0; i < 2; i++)
        if (const_is(in[i], 1)) return in[1 - i];
    for (int i = 0; i < 2; i++)
        if (const_is(in[i], -1)) return node_map1(s->g, OP_NEG, in[1 - i]);
    if (n->op != OP_MULZ) return NULL;
    if (const_is(in[0], 0)) return in[0];
    if (node_is_const(in[1]) && isfinite(in[1]->attrs.number)) return node_map2(s->g, OP_MUL, in[0], in[1]);
    if (node_is_const(in[0]) && in[0]->attrs.number != 0) return node_map2(s->g, OP_MUL, in[0], in[1]);
    return NULL;
}

static bool whole_type(const Node *n) {
    return dtype_is_int(n->type.dtype);
}

static Node *simplify_add(Simplify *s, const Node *n, Node **in) {
    for (int i = 0; i < 2; i++)
        if (const_is(in[i], -0.0) || (whole_type(n) && const_is(in[i], 0))) return in[1 - i];
    if (in[1]->op == OP_NEG) return node_map2(s->g, OP_SUB, in[0], in[1]->in[0]);
    if (in[0]->op == OP_NEG) return node_map2(s->g, OP_SUB, in[1], in[0]->in[0]);
    return simplify_pads(s, n, in);
}

static Node *simplify_where(Node **in) {
    if (in[1] == in[2]) return in[1];
    if (node_is_const(in[0])) return in[0]->attrs.whole ? in[1] : in[2];
    return NULL;
}

/* Every operand is a const or one stretched in the same way: the map is done before stretching.
 *   div (const 1), (expand %s)  →  expand (div (const 1), %s) */
static Node *before_expand(Simplify *s, const Node *n, Node **in) {
    const Node *first = NULL;
    for (int i = 0; i < n->n_in; i++) {
        if (node_is_const(in[i])) continue;
        if (in[i]->op != OP_EXPAND) return NULL;
        const Type *t = &in[i]->in[0]->type;
        if (first && t->rank != first->type.rank) return NULL;
        for (int k = 0; first && k < t->rank; k++)
            if (t->dim[k] != first->type.dim[k]) return NULL;
        first = in[i]->in[0];
    }
    if (!first || n->op == OP_RANDOM) return NULL;
    Node *inner[3];
    for (int i = 0; i < n->n_in; i++) {
        Type t = first->type;
        t.dtype = in[i]->type.dtype;
        inner[i] = node_is_const(in[i]) ? node_filled(s->g, in[i], &t) : in[i]->in[0];
    }
    return node_expand(s->g, graph_add(s->g, n->op, &n->attrs, n->n_in, inner), n->type.rank, n->type.dim);
}

Node *simplify_map(Simplify *s, const Node *n, Node **in) {
    Node *folded = fold(s, n, in);
    if (!folded) folded = before_expand(s, n, in);
    if (folded) return folded;
    switch (n->op) {
    case OP_ADD: return simplify_add(s, n, in);
    case OP_SUB:
        if (const_is(in[1], 0)) return in[0];
        return in[1]->op == OP_NEG ? node_map2(s->g, OP_ADD, in[0], in[1]->in[0]) : NULL;
    case OP_MUL:
    case OP_MULZ: return simplify_mul(s, n, in);
    case OP_DIV:
        if (const_is(in[1], 1)) return in[0];
        if (node_is_const(in[1]) && is_power_of_two(in[1]->attrs.number))
            return node_map2(s->g, OP_MUL, in[0], node_const(s->g, in[1]->type, 1 / in[1]->attrs.number));
        return NULL;
    case OP_NEG:
    case OP_NOT: return in[0]->op == n->op ? in[0]->in[0] : NULL;
    case OP_CAST: return in[0]->type.dtype == n->type.dtype ? in[0] : NULL;
    case OP_WHERE: return simplify_where(in);
    case OP_MAX:
    case OP_MIN:
    case OP_AND:
    case OP_OR: return in[0] == in[1] ? in[0] : NULL;
    default: return NULL;
    }
}

/* ---- effects */

/* Is every element certainly in lo <= v < hi? */
static bool surely_in_range(const Effect *e) {
    const Node *v = e->value;
    int64_t lo_low, lo_high, hi_low, hi_high, low, high;
    size_range(e->lo, &lo_low, &lo_high);
    size_range(e->hi, &hi_low, &hi_high);
    while (op_row(v->op)->class == CLASS_VIEW) v = v->in[0];
    if (node_is_const(v)) return lo_high <= v->attrs.whole && v->attrs.whole < hi_low;
    if (v->op != OP_IOTA) return false;
    size_range(size_sub(e->hi, v->type.dim[v->attrs.axis]), &low, &high); /* counts 0 .. dim - 1 */
    return lo_high <= 0 && low >= 0;
}

static Graph *finish(Rewrite *r) {
    for (int i = 0; i < r->from->results.n; i++) {
        const Result *q = &r->from->results.at[i];
        graph_result(r->to, q->name, r->map[q->value->id]);
    }
    for (int i = 0; i < r->from->effects.n; i++) {
        Effect e = r->from->effects.at[i];
        if (e.value) e.value = r->map[e.value->id];
        if (e.kind == EFFECT_CHECK && node_is_const(e.value) && e.value->attrs.whole) continue;
        if (e.kind == EFFECT_RANGE && surely_in_range(&e)) continue;
        graph_effect(r->to, e);
    }
    return r->to;
}

/* ---- rounds */

static Node *simplify_node(Simplify *s, const Node *n, Node **in) {
    switch (op_row(n->op)->class) {
    case CLASS_LEAF: {
        int64_t value;
        if (n->op != OP_SIZE || !size_is_const(n->attrs.extent, &value)) return NULL;
        Node *c = node_const(s->g, n->type, (double)value);
        if (dtype_is_int(n->type.dtype)) c->attrs.whole = value;
        return c;
    }
    case CLASS_MAP: return simplify_map(s, n, in);
    case CLASS_VIEW: return simplify_view(s, n, in);
    case CLASS_ACCESS: return simplify_access(s, n, in);
    case CLASS_REDUCE: return simplify_reduce(s, n, in);
    case CLASS_ANCHOR:
        if (n->op == OP_CONTRACT) return simplify_contract(s, n, in);
        return n->op == OP_SCATTER_ADD ? simplify_access(s, n, in) : NULL;
    case CLASS_GET:
    case CLASS_MARK: return NULL;
    }
    return NULL;
}

static Graph *simplify_round(PassContext *c, const Graph *g, int *changes) {
    Rewrite r = rewrite_begin(c, g);
    Simplify s = {&r, r.to, c->scratch, 0, NEW_ARRAY(c->scratch, int, g->nodes.n)};
    for (int i = 0; i < g->nodes.n; i++)
        if (r.live[i] && g->nodes.at[i]->op == OP_SLICE) s.slices[g->nodes.at[i]->in[0]->id]++;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (!r.live[i]) continue;
        rewrite_at(r.to, n);
        r.map[i] = simplify_node(&s, n, rewrite_operands(&r, n));
        if (!r.map[i]) {
            r.map[i] = rewrite_copy(&r, n);
            continue;
        }
        s.changes++;
        if (!r.map[i]->name && r.map[i]->id == r.to->nodes.n - 1) r.map[i]->name = n->name;
    }
    *changes = s.changes;
    return finish(&r);
}

Graph *pass_simplify(PassContext *c, const Graph *g) {
    PassFunction *function = c->function;
    Graph *new = (Graph *)g;
    for (int round = 0; round < ROUNDS_MOST; round++) {
        int changes;
        c->function = round == 0 ? function : NULL; /* bodies once */
        new = simplify_round(c, new, &changes);
        c->function = NULL;
        int before = new->nodes.n;
        new = pass_share(c, new);
        if (changes == 0 && new->nodes.n == before) break;
    }
    c->function = function;
    return new;
}
