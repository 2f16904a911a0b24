/* quantize.c -- weights marked by `quantize` are stored as codes and scales (quantize.h), and read as such.
 *
 * Requires: the passes up to `lower`.  Ensures: no mark is left; slots of codes are read by products and gathers alone.
 *
 *   %w: f32[32, 16] = slot net.weight
 *   %v: f32[16, 32] = permute %w [1, 0]
 *   %y: f32[b, 32] = contract %x[m k], %v[k n] -> [m n]
 *   →   %c: i8[32, 16] = slot net.weight
 *       %s: f32[32] = slot net.weight.scale
 *       %p: f32[b, 32] = contract %x[m k], %c[n k] -> [m n]
 *       %y: f32[b, 32] = mul %p, (expand %s)
 *
 * A scale of a channel multiplies the sums. Scales of groups lie inside of sums: there the product reads the weight's values, as
 * maps of codes and scales of the product's own operand, which it computes where it packs or reads that operand:
 *
 *       %y: f32[b, 32] = contract %x[m G h j], %values[n G h j] -> [m n]
 *
 * A gather takes codes and scales of the channels that are asked for, and computes their values. */
#include "passes/quantize.h"

#include <string.h>

typedef struct Quantize {
    Rewrite r;
    QuantPlan **plan;        /* by slot */
    const QuantScope *scope; /* where this graph is the body of a scan .. */
    CodedValues *coded;        /* values that have codes already */
    QuantPlan **pools;       /* by id of the graph: quantize_pool.c */
    Stored *stored;          /* .. the arguments that bring weights in, by slot; NULL: slots are read */
} Quantize;

static Size whole(const Graph *g, int64_t n) {
    return size_const(g->program->sizes, n);
}

static Node *slot_node(Graph *g, const Slot *s) {
    return node_leaf(g, OP_SLOT, &(Attrs){.index = s->index, .name = s->path}, s->type);
}

static Stored stored_of(const Quantize *z, const QuantPlan *q) {
    if (z->stored) return z->stored[q->slot->index];
    Graph *g = z->r.to;
    return (Stored){slot_node(g, q->slot), slot_node(g, q->scale), q->zero ? slot_node(g, q->zero) : NULL,
                    q->sum ? slot_node(g, q->sum) : NULL};
}

/* x with its axes, named by the letters of `from`, in the order of those letters in `to`. */
static Node *in_order(Graph *g, Node *x, const char *from, const char *to) {
    int order[MAX_RANK], n = 0;
    for (; *to; to++) {
        const char *at = strchr(from, *to);
        if (at) order[n++] = (int)(at - from);
    }
    return node_permute(g, x, order);
}

/* x over all axes of `type`, whose letters are `to`: repeated along those that x lacks. */
static Node *stretched(Graph *g, Node *x, const char *from, const char *to, const Type *type) {
    Size dim[MAX_RANK];
    for (int i = 0; i < type->rank; i++) dim[i] = strchr(from, to[i]) ? type->dim[i] : whole(g, 1);
    return node_expand(g, node_reshape(g, in_order(g, x, from, to), type->rank, dim), type->rank, type->dim);
}

/* Letters that `labels` lack, n of them. */
static void fresh_letters(const char *const *labels, int n, char *out) {
    char c = 'A';
    for (int i = 0; i < n; c++)
        if (!strchr(labels[0], c) && !strchr(labels[1], c) && !strchr(labels[2], c)) out[i++] = c;
    out[n] = 0;
}

/* ---- products */

void quantize_letters(const QuantScope *scope, const Node *n, int k, char *letter) {
    int axis[MAX_RANK];
    memset(letter, 0, MAX_RANK);
    quantize_trace(scope, n->in[k], axis);
    for (int i = 0; n->attrs.labels[k][i]; i++) letter[axis[i]] = n->attrs.labels[k][i];
}

/* Adds the letters of some axes to `letters`. */
static void add_letters(char *letters, const char *letter, int n, const int *axis) {
    size_t at = strlen(letters);
    for (int i = 0; i < n; i++)
        if (letter[axis[i]]) letters[at++] = letter[axis[i]];
    letters[at] = 0;
}

/* x, whose axes are the weight's channels, then `n` of summed[], then others: without those that have no letter. */
static Node *with_letters(Graph *g, const QuantPlan *q, Node *x, const char *letter, int n) {
    Size dim[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->type.rank; i++) {
        int axis = i < q->n_channels ? q->channel[i] : i - q->n_channels < n ? q->summed[i - q->n_channels] : -1;
        if (axis < 0 || letter[axis]) dim[rank++] = x->type.dim[i];
    }
    return node_reshape(g, x, rank, dim);
}

/* Letters of operand k of product n, a weight: of each axis (0: the product has none for it), and in the order in which its codes lie. */
typedef struct WeightLetters {
    char letter[MAX_RANK], channels[MAX_RANK + 1], codes[MAX_RANK + 1];
} WeightLetters;

static WeightLetters weight_letters(const Quantize *z, const QuantPlan *q, const Node *n, int k) {
    WeightLetters l = {.channels = ""};
    quantize_letters(z->scope, n, k, l.letter);
    add_letters(l.channels, l.letter, q->n_channels, q->channel);
    add_letters(l.codes, l.letter, q->n_channels, q->channel);
    add_letters(l.codes, l.letter, q->n_summed, q->summed);
    return l;
}

static Node *product_of_channels(const Quantize *z, const QuantPlan *q, const Node *n, int k, Node *x) {
    Graph *g = z->r.to;
    const char *result = n->attrs.labels[2];
    WeightLetters l = weight_letters(z, q, n, k);
    Stored stored = stored_of(z, q);
    Node *w = with_letters(g, q, stored.codes, l.letter, q->n_summed), *s = with_letters(g, q, stored.scales, l.letter, 0);
    if (q->scheme == QUANT_FP8) w = node_cast(g, w, DT_F32); /* nothing multiplies these as they are */
    Node *sums = quantize_contract(g, x, w, n->attrs.labels[!k], l.codes, result);
    return node_map2(g, OP_MUL, sums, stretched(g, s, l.channels, result, &sums->type));
}

/* Codes on both sides: sums of whole numbers. u * t + o is near x, so that c * s times it adds up to (p * t + o * (sum of c)) * s:
 *
 *       %u: i8[b, 16], %t: f32[b], %o: f32[b] = codes, scales and offsets of the rows of %x
 *       %p: i32[b, 32] = contract %u[m k], %c[n k] -> [m n]
 *       %z: f32[b, 32] = (cast %p) * (expand %t) + (expand %o) * (expand %sum)
 *       %y: f32[b, 32] = mul %z, (expand %s)
 */
static Node *product_of_codes(const Quantize *z, const QuantPlan *q, const Node *n, int k, Node *x) {
    Graph *g = z->r.to;
    char rows[MAX_RANK + 1] = "", inner[MAX_RANK + 1] = "";
    char of_x[2 * MAX_RANK + 1];
    const char *result = n->attrs.labels[2];
    int axes[MAX_RANK], n_rows = 0, n_inner = 0;
    for (const char *c = n->attrs.labels[!k]; *c; c++) *(strchr(result, *c) ? &rows[n_rows++] : &inner[n_inner++]) = *c;
    WeightLetters l = weight_letters(z, q, n, k);
    strcat(strcpy(of_x, rows), inner);
    for (int i = 0; i < n_inner; i++) axes[i] = n_rows + i;
    Stored stored = stored_of(z, q);
    Node *u, *t, *o, *w = with_letters(g, q, stored.codes, l.letter, q->n_summed);
    Node *s = with_letters(g, q, stored.scales, l.letter, 0), *sum = with_letters(g, q, stored.sums, l.letter, 0);
    quantize_rows(g, in_order(g, x, n->attrs.labels[!k], of_x), n_inner, axes, &u, &t, &o);
    /* before the product, whose kernel then is the later one, which fusion prefers for what follows */
    Node *more = node_map2(g, OP_MUL, stretched(g, o, rows, result, &n->type), stretched(g, sum, l.channels, result, &n->type));
    Node *y = node_cast(g, node_contract(g, u, w, of_x, l.codes, result), DT_F32);
    y = node_map2(g, OP_ADD, node_map2(g, OP_MUL, y, stretched(g, t, rows, result, &n->type)), more);
    return node_map2(g, OP_MUL, y, stretched(g, s, l.channels, result, &n->type));
}

/* x[channels of the result] without axes of size 1, as one axis: the place of that in the result; -1: there are several. */
static int single_axis(const Graph *g, const Node *x, const char *channels, const char *result) {
    int axis = -1;
    for (int i = 0; channels[i]; i++) {
        if (x->type.dim[i] == whole(g, 1)) continue;
        if (axis >= 0) return -1;
        axis = (int)(strchr(result, channels[i]) - result);
    }
    return axis;
}

/* Values made in fixed point are codes for all that reads them from here on, and no f32 is stored beside them. */
static void read_as_codes(const Quantize *z, int from) {
    Graph *g = z->r.to;
    for (int i = from, n = z->coded->codes.n; i < n; i++) {
        const Coded c = z->coded->codes.at[i];
        Node *x = NULL;
        for (int k = 0; c.from == CODES_FIXED && k < z->r.from->nodes.n; k++) {
            if (z->r.map[k] != c.x) continue;
            if (!x) {
                x = node_cast(g, c.codes, DT_F32);
                x = node_map2(g, OP_SUB, x, node_const(g, x->type, c.step.zero));
                x = node_map2(g, OP_MUL, x, node_const(g, x->type, c.step.scale));
                PUSH(z->r.c->scratch, z->coded->codes, ((Coded){x, c.step, c.codes, CODES_EXACT}));
            }
            z->r.map[k] = x;
        }
    }
}

/* The same with one scale t and one zero point, known now: (p - zero * (sum of c)) * s * t. */
static Node *product_of_static_codes(const Quantize *z, const QuantPlan *q, const Node *n, int k, Node *x) {
    Graph *g = z->r.to;
    const char *result = n->attrs.labels[2];
    WeightLetters l = weight_letters(z, q, n, k);
    Stored stored = stored_of(z, q);
    Node *u, *w = with_letters(g, q, stored.codes, l.letter, q->n_summed), *s = with_letters(g, q, stored.scales, l.letter, 0);
    Node *sum = with_letters(g, q, stored.sums, l.letter, 0);
    int known = z->coded->codes.n;
    u = quantize_static(z->r.c, g, z->coded, q->input, x);
    read_as_codes(z, known);
    Node *p = quantize_contract(g, u, w, n->attrs.labels[!k], l.codes, result), *y = node_cast(g, p, DT_F32);
    if (q->input.zero) y = node_map2(g, OP_SUB, y, stretched(g, sum, l.channels, result, &n->type));
    y = node_map2(g, OP_MUL, y, stretched(g, s, l.channels, result, &n->type));
    y = node_map2(g, OP_MUL, y, node_const(g, y->type, q->input.scale));
    int axis = q->apart ? (int)(strchr(result, l.channels[0]) - result) : single_axis(g, s, l.channels, result);
    CodedSums made = {y, p, axis, q->apart, s, q->input.zero ? sum : NULL, q->input.scale, NULL};
    if (made.axis >= 0) PUSH(z->r.c->scratch, z->coded->sums, made);
    return y;
}

/* x with axis `at` filled up to whole groups and cut into them: G, g, or of 4 bits G, 2, g/2. */
static Node *cut_in_groups(Graph *g, const QuantPlan *q, Node *x, int at) {
    int64_t beyond = q->groups * q->group - q->length;
    Attrs attrs = {0};
    Size dim[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->type.rank; i++) attrs.lo[i] = attrs.hi[i] = whole(g, 0);
    attrs.hi[at] = whole(g, beyond);
    if (beyond) x = graph_add(g, OP_PAD, &attrs, 1, &x);
    for (int i = 0; i < x->type.rank; i++) {
        if (i != at) {
            dim[rank++] = x->type.dim[i];
            continue;
        }
        dim[rank++] = whole(g, q->groups);
        if (quantize_halves(q)) dim[rank++] = whole(g, 2);
        dim[rank++] = whole(g, quantize_halves(q) ? q->group / 2 : q->group);
    }
    return node_reshape(g, x, rank, dim);
}

/* Rows in codes by values v of groups, whose scales lie inside of sums: u * t + o is near x, and the sum of x * v near
 * (sum of u * v) * t + o * (sum of v). */
static Node *product_of_row_codes(const Quantize *z, const QuantPlan *q, const Node *n, int k, Node *x, Node *values, const char *groups, const char *codes) {
    Graph *g = z->r.to;
    char rows[MAX_RANK + 1] = "", inner[MAX_RANK + 1] = "", of_x[2 * MAX_RANK + 1];
    const char *result = n->attrs.labels[2];
    int n_rows = 0, n_inner = 0;
    for (const char *c = n->attrs.labels[!k]; *c; c++) *(strchr(result, *c) ? &rows[n_rows++] : &inner[n_inner++]) = *c;
    strcat(strcpy(of_x, rows), inner);
    WeightLetters l = weight_letters(z, q, n, k);
    Node *u, *t, *o, *sum = with_letters(g, q, stored_of(z, q).sums, l.letter, 0);
    quantize_rows_unsigned(g, in_order(g, x, n->attrs.labels[!k], of_x), 1, &n_rows, &u, &t, &o);
    strcat(strcpy(of_x, rows), groups);
    Node *more = node_map2(g, OP_MUL, stretched(g, o, rows, result, &n->type), stretched(g, sum, l.channels, result, &n->type));
    Node *y = node_contract(g, cut_in_groups(g, q, u, n_rows), values, of_x, codes, result);
    return node_map2(g, OP_ADD, node_map2(g, OP_MUL, y, stretched(g, t, rows, result, &n->type)), more);
}

static Node *product_of_groups(const Quantize *z, const QuantPlan *q, const Node *n, int k, Node *x) {
    Graph *g = z->r.to;
    char letter[MAX_RANK], inner[4], codes[MAX_RANK + 1] = "", of_x[MAX_RANK + 1] = "";
    const char *old = n->attrs.labels[!k];
    quantize_letters(z->scope, n, k, letter);
    fresh_letters(n->attrs.labels, quantize_halves(q) ? 3 : 2, inner);
    const char *at = strchr(old, letter[q->summed[0]]);
    add_letters(codes, letter, q->n_channels, q->channel);
    strcat(codes, inner);
    strncat(of_x, old, (size_t)(at - old));
    strcat(strcat(of_x, inner), at + 1);
    Stored s = stored_of(z, q);
    s.codes = with_letters(g, q, s.codes, letter, 0);
    s.scales = with_letters(g, q, s.scales, letter, 0);
    if (s.zeros) s.zeros = with_letters(g, q, s.zeros, letter, 0);
    Node *values = quantize_decode(g, q, s);
    if (q->activations && !quantize_is_windows(n->in[!k])) return product_of_row_codes(z, q, n, k, x, values, inner, codes);
    return node_contract(g, cut_in_groups(g, q, x, (int)(at - old)), values, of_x, codes, n->attrs.labels[2]);
}

/* ---- gathers */

/* The values of gathered channels: codes [lead..., summed...] or [lead..., G, g], scales [lead...] or [lead..., G], zeros likewise. */
static Node *gathered_values(Graph *g, const QuantPlan *q, Stored s) {
    Size dim[MAX_RANK], lo[MAX_RANK];
    Node *x = quantize_decode(g, q, s);
    if (!q->group) return x;
    int lead = s.scales->type.rank - 1;
    for (int i = 0; i < lead; i++) dim[i] = s.scales->type.dim[i];
    dim[lead] = whole(g, q->groups * q->group);
    x = node_reshape(g, x, lead + 1, dim);
    for (int i = 0; i <= lead; i++) lo[i] = whole(g, 0);
    dim[lead] = whole(g, q->length);
    return node_slice(g, x, lo, dim);
}

static Node *gathered(const Quantize *z, const QuantPlan *q, const Node *n, Node *ids) {
    Graph *g = z->r.to;
    int order[MAX_RANK], place[MAX_RANK], at = 0, rank = q->declared.rank, more = ids->type.rank - 1;
    for (int i = 0; i < q->n_channels; i++) {
        if (q->channel[i] == n->attrs.axis) at = i;
        place[q->channel[i]] = i;
    }
    for (int i = 0; i < q->n_summed; i++) place[q->summed[i]] = q->n_channels + i;
    Attrs attrs = {.axis = at};
    Stored s = stored_of(z, q);
    s.codes = graph_add(g, OP_GATHER, &attrs, 2, (Node *[]){s.codes, ids});
    s.scales = graph_add(g, OP_GATHER, &attrs, 2, (Node *[]){s.scales, ids});
    if (s.zeros) s.zeros = graph_add(g, OP_GATHER, &attrs, 2, (Node *[]){s.zeros, ids});
    Node *x = gathered_values(g, q, s);
    for (int i = 0, k = 0; i < rank; i++) /* the axes of ids stand where the gathered one stood */
        for (int j = 0; j < (i == n->attrs.axis ? ids->type.rank : 1); j++)
            order[k++] = place[i] + (place[i] > at ? more : 0) + j;
    return node_permute(g, x, order);
}

/* ---- the graph */

static QuantPlan *plan_behind(const Quantize *z, const Node *n) {
    int axis[MAX_RANK], slot = quantize_trace(z->scope, n, axis);
    return slot < 0 ? NULL : z->plan[slot];
}

static Graph *walk(Quantize *z);

/* The body of scan n, where each quantized invariant comes in as two arguments or more: codes, scales, zeros, sums. */
static Graph *rewritten_body(const Quantize *z, const Node *n) {
    const Graph *body = n->attrs.body;
    PassContext *c = z->r.c;
    int slots = body->program->slots.n;
    Quantize y = {.r = rewrite_begin(c, body), .plan = z->plan, .scope = &(QuantScope){z->scope, n}};
    y.coded = NEW(c->scratch, CodedValues);
    y.stored = NEW_ARRAY(c->scratch, Stored, slots);
    Graph *to = y.r.to = graph_new(body->arena, body->program); /* with its own arguments */
    for (int i = 0; i < body->n_args; i++) {
        const Node *a = body->args[i];
        QuantPlan *q = plan_behind(&y, a);
        rewrite_at(to, a);
        Node *m = graph_arg(to, q ? q->slot->type : a->type);
        m->name = a->name;
        if (!q) {
            y.r.map[a->id] = m;
            continue;
        }
        y.r.map[a->id] = NULL;
        Stored *s = &y.stored[q->slot->index];
        s->codes = m;
        s->scales = graph_arg(to, q->scale->type);
        s->zeros = q->zero ? graph_arg(to, q->zero->type) : NULL;
        s->sums = q->sum ? graph_arg(to, q->sum->type) : NULL;
    }
    return walk(&y);
}

static Node *rewritten_scan(const Quantize *z, const Node *n) {
    Attrs attrs = n->attrs;
    Node **in = NEW_ARRAY(z->r.c->scratch, Node *, 4 * n->n_in);
    int n_in = 0;
    for (int i = 0; i < n->n_in; i++) {
        QuantPlan *q = i < n->attrs.counts[0] ? plan_behind(z, n->in[i]) : NULL;
        if (!q) {
            in[n_in++] = z->r.map[n->in[i]->id];
            continue;
        }
        Stored s = stored_of(z, q);
        in[n_in++] = s.codes;
        in[n_in++] = s.scales;
        if (s.zeros) in[n_in++] = s.zeros;
        if (s.sums) in[n_in++] = s.sums;
        attrs.counts[0] += 1 + (s.zeros != NULL) + (s.sums != NULL);
    }
    attrs.body = rewritten_body(z, n);
    return rewrite_with(z->r.to, n, &attrs, n_in, in);
}

static bool has_quantized_invariant(const Quantize *z, const Node *n) {
    for (int i = 0; n->op == OP_SCAN && i < n->attrs.counts[0]; i++)
        if (plan_behind(z, n->in[i])) return true;
    return false;
}

/* Reshape n joins the axes that a convolution of groups takes apart: its sums have their channels along one. */
static void join_sums(Quantize *z, const Node *n, Node *y) {
    for (int i = 0; i < z->coded->sums.n; i++) {
        CodedSums m = z->coded->sums.at[i];
        if (!m.apart || m.x != z->r.map[n->in[0]->id] || y->type.rank != m.x->type.rank - 1) continue;
        if (y->type.dim[m.axis] != size_mul(m.x->type.dim[m.axis], m.x->type.dim[m.axis + 1])) continue;
        m.x = y;
        m.sums = node_reshape(z->r.to, m.sums, y->type.rank, y->type.dim);
        m.apart = false;
        PUSH(z->r.c->scratch, z->coded->sums, m);
        return;
    }
}

/* A sum in front of products of codes; NULL: n is none, or one of floats. */
static Node *pool_of_codes(const Quantize *z, const Node *n) {
    const QuantPlan *q = z->pools[n->id];
    int known = z->coded->codes.n;
    if (!q || !q->is_static) return NULL;
    Node *y = quantize_pool(z->r.c, z->r.to, z->coded, q->is_pooled ? &q->pooled : NULL, n, z->r.map);
    if (y) read_as_codes(z, known);
    return y;
}

/* n in the new graph; NULL: a view of codes, which its readers make for themselves. */
static Node *rewritten(Quantize *z, const Node *n) {
    QuantPlan *q;
    if (plan_behind(z, n)) return NULL;
    if (has_quantized_invariant(z, n)) return rewritten_scan(z, n);
    for (int k = 0; n->op == OP_CONTRACT && k < 2; k++) {
        q = plan_behind(z, n->in[k]);
        if (!q) continue;
        Node *x = z->r.map[n->in[!k]->id];
        if (q->is_static) return product_of_static_codes(z, q, n, k, x);
        if (q->activations == ACTIVATIONS_DYNAMIC && !q->group && !quantize_is_windows(n->in[!k])) return product_of_codes(z, q, n, k, x);
        return q->group ? product_of_groups(z, q, n, k, x) : product_of_channels(z, q, n, k, x);
    }
    q = n->op == OP_GATHER ? plan_behind(z, n->in[0]) : NULL;
    if (q) return gathered(z, q, n, z->r.map[n->in[1]->id]);
    Node *y = pool_of_codes(z, n);
    if (!y) y = quantize_copy(&z->r, n);
    if (n->op == OP_RESHAPE) join_sums(z, n, y);
    return y;
}

static Graph *walk(Quantize *z) {
    z->pools = quantize_pools(z->r.c, z->r.from, z->scope, z->plan, false);
    for (int i = 0; i < z->r.from->nodes.n; i++) {
        const Node *n = z->r.from->nodes.at[i];
        if (!z->r.live[i]) continue;
        rewrite_at(z->r.to, n);
        Node *m = z->r.map[i] = rewritten(z, n);
        if (m && !m->name) m->name = n->name;
    }
    return rewrite_end(&z->r);
}

Graph *pass_quantize(PassContext *c, const Graph *from) {
    if (!c->quantized) c->quantized = quantize_slots(c, from->program); /* with the first graph, for all of them */
    if (from->program->observe) return observe_graph(c, from);
    return walk(&(Quantize){.r = rewrite_begin(c, from), .plan = c->quantized, .coded = NEW(c->scratch, CodedValues)});
}
