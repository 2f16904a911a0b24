/* observe.c -- the pass quantize where program->observe is set: weights stay as they are, and each entry gives out, instead of its
 * results, what flows into products with marked weights. That is how calibration sees them: the program compiled so is run over
 * samples (codegen/measure.c).
 *
 *   %y: f32[b, 32] = contract %x[m k], %w[n k] -> [m n]
 *   →   %least: f32[] = reduce min %x, %most: f32[] = reduce max %x
 *       %bins: i32[OBSERVE_BINS] = scatter_add of ones at the bin of each element of %x
 *       %gram: f32[k, k] = contract %x[m k], %x[m A] -> [k A]     of those that GPTQ is to change
 *
 * What sums in front of such a product are taken of is told under a name of its own. What flows into a product of a loop's body leaves the loop as one more sequence. */
#include "passes/quantize.h"

#include "runtime/observe.h"

#include <math.h>
#include <string.h>

typedef struct Seen { /* a product with a marked weight, or a sum in front of it */
    const QuantPlan *plan;
    Node *x;                  /* its other operand, or what the sum is taken of, in the new graph */
    bool pooled;
    char label[MAX_RANK + 1]; /* of the axes of x */
    char letter[MAX_RANK];    /* of the axes of the weight */
    bool shared;              /* channels of the weight are axes of x: rows of x belong to some of its channels alone */
} Seen;
typedef LIST(Seen) SeenList;

typedef struct Observe {
    Rewrite r;
    const QuantScope *scope;
    QuantPlan **pools; /* by id: quantize_pool.c */
    SeenList seen;
} Observe;

static Size whole(const Graph *g, int64_t n) { return size_const(g->program->sizes, n); }

static char fresh_letter(const char *used) {
    char c = 'A';
    while (strchr(used, c)) c++;
    return c;
}

static void see_product(Observe *o, const Node *n) {
    for (int k = 0; k < 2; k++) {
        int axis[MAX_RANK], slot = quantize_trace(o->scope, n->in[k], axis);
        if (slot < 0 || !o->r.c->quantized[slot]) continue;
        Seen s = {.plan = o->r.c->quantized[slot], .x = o->r.map[n->in[!k]->id]};
        strcpy(s.label, n->attrs.labels[!k]);
        quantize_letters(o->scope, n, k, s.letter);
        for (int i = 0; i < s.plan->n_channels; i++) {
            char c = s.letter[s.plan->channel[i]];
            s.shared |= c && strchr(s.label, c);
        }
        PUSH(o->r.c->scratch, o->seen, s);
    }
}

static void see_pool(Observe *o, const Node *n) {
    Seen s = {.plan = o->pools[n->id], .x = o->r.map[quantize_pooled(n)->id], .pooled = true};
    if (s.plan) PUSH(o->r.c->scratch, o->seen, s);
}

static void walk(Observe *o);

/* Scan n with what its body sees as further sequences. */
static Node *observed_scan(Observe *o, const Node *n) {
    PassContext *c = o->r.c;
    Observe y = {.r = rewrite_begin(c, n->attrs.body), .scope = &(QuantScope){o->scope, n}};
    walk(&y);
    Graph *body = rewrite_end(&y.r);
    Attrs attrs = n->attrs;
    bool stops = attrs.counts[4];
    int ys = attrs.counts[1] + attrs.counts[3];
    Result stop = stops ? body->results.at[ys] : (Result){0};
    body->results.n = ys;
    SeenList seen = {0};
    for (int i = 0; i < y.seen.n; i++) {
        Seen s = y.seen.at[i];
        if (s.x->type.rank >= MAX_RANK) continue; /* the axis of the steps has no place */
        graph_result(body, NULL, s.x);
        PUSH(c->scratch, seen, s);
    }
    if (stops) graph_result(body, stop.name, stop.value);
    attrs.body = body;
    attrs.counts[3] += seen.n;
    Node *scan = rewrite_with(o->r.to, n, &attrs, n->n_in, rewrite_operands(&o->r, n));
    for (int i = 0; i < seen.n; i++) {
        Seen s = seen.at[i];
        size_t rank = strlen(s.label);
        s.x = node_get(o->r.to, scan, ys + i);
        memmove(s.label + 1, s.label, rank + 1);
        s.label[0] = fresh_letter(s.label + 1);
        PUSH(c->scratch, o->seen, s);
    }
    return scan;
}

static void walk(Observe *o) {
    o->pools = quantize_pools(o->r.c, o->r.from, o->scope, o->r.c->quantized, false);
    for (int i = 0; i < o->r.from->nodes.n; i++) {
        const Node *n = o->r.from->nodes.at[i];
        if (!o->r.live[i]) continue;
        rewrite_at(o->r.to, n);
        o->r.map[i] = n->op == OP_SCAN ? observed_scan(o, n) : quantize_copy(&o->r, n);
        if (n->op == OP_CONTRACT) see_product(o, n);
        see_pool(o, n);
    }
}

/* ---- what is told ---------------------------------------------------------------------------------------------------------- */

/* What x is a view of: the same elements, some of them fewer times, or without zeros. */
static Node *behind_views(Node *x) {
    for (;;) {
        bool view = x->op == OP_PERMUTE || x->op == OP_RESHAPE || x->op == OP_EXPAND || x->op == OP_WINDOW;
        if (!view && !(x->op == OP_PAD && x->attrs.number == 0)) return x;
        x = x->in[0];
    }
}

static Node *filled(Graph *g, const Node *like, double x) { return node_const(g, like->type, x); }

/* The bin of each element, from OBSERVE_BINS of them: runtime/observe.h. */
static Node *bins_of(Graph *g, Node *x) {
    Node *magnitude = node_map1(g, OP_LOG, node_map1(g, OP_ABS, x));
    Node *step = node_map2(g, OP_MUL, magnitude, filled(g, x, OBSERVE_OCTAVE / log(2)));
    Node *bin = node_map2(g, OP_ADD, node_map1(g, OP_FLOOR, step), filled(g, x, 1 - OBSERVE_OCTAVE * OBSERVE_LOW));
    bin = node_map3(g, OP_CLAMP, bin, filled(g, x, 0), filled(g, x, OBSERVE_SIDE));
    bin = node_map2(g, OP_ADD, node_map2(g, OP_MUL, node_map1(g, OP_SIGN, x), bin), filled(g, x, OBSERVE_SIDE));
    return node_cast(g, bin, DT_I32);
}

static Node *counts_of(Graph *g, Node *x) {
    Size n = type_product(g, &x->type, 0, x->type.rank);
    Node *ids = bins_of(g, node_reshape(g, x, 1, &n));
    Attrs attrs = {.n_shape = 1, .shape = {whole(g, OBSERVE_BINS)}};
    return graph_add(g, OP_SCATTER_ADD, &attrs, 2, (Node *[]){node_const(g, type_of(DT_I32, 1, &n), 1), ids});
}

/* X^T X over the axes that the product sums over, in the order of the stored weight; NULL: not to be had. */
static Node *gram_of(Graph *g, const Seen *s) {
    const QuantPlan *q = s->plan;
    char left[MAX_RANK + 1] = "", right[MAX_RANK + 1] = "", other[MAX_RANK + 1];
    char used[2 * MAX_RANK + 1];
    int n = 0;
    if (s->shared || (int)strlen(s->label) != s->x->type.rank) return NULL;
    strcpy(other, s->label);
    strcpy(used, s->label);
    for (int i = 0; i < q->n_summed; i++) {
        char c = s->letter[q->summed[i]], *at = c ? strchr(other, c) : NULL;
        if (!at) continue; /* an axis of size 1 that the product does not have */
        size_t end = strlen(used);
        left[n] = c;
        right[n++] = *at = used[end] = fresh_letter(used);
        used[end + 1] = 0;
    }
    if (n == 0 || 2 * n > MAX_RANK) return NULL;
    char both[MAX_RANK + 1];
    strcat(strcpy(both, left), right);
    Node *gram = node_contract(g, s->x, s->x, s->label, other, both);
    return node_reshape(g, gram, 2, (Size[]){whole(g, q->length), whole(g, q->length)});
}

/* What is seen becomes results, in the order that program->observed gets; nothing seen: the entry keeps its own. */
static void tell(Graph *g, const SeenList *seen) {
    static const int axes[MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    Program *p = g->program;
    g->results.n = 0;
    for (int i = 0; i < seen->n; i++) {
        const Seen *s = &seen->at[i];
        const Slot *slot = s->plan->slot;
        Node *x = behind_views(s->x), *gram = s->plan->gptq && !s->pooled ? gram_of(g, s) : NULL;
        if (x->type.dtype != DT_F32) x = node_cast(g, x, DT_F32);
        const char *path = s->pooled ? pooled_path(p->arena, slot->path) : observed_path(p->arena, slot->path);
        graph_result(g, arena_printf(p->arena, "%s least", path), node_reduce(g, REDUCE_MIN, x, x->type.rank, axes));
        graph_result(g, arena_printf(p->arena, "%s most", path), node_reduce(g, REDUCE_MAX, x, x->type.rank, axes));
        graph_result(g, arena_printf(p->arena, "%s bins", path), counts_of(g, x));
        if (gram) graph_result(g, arena_printf(p->arena, "%s gram", path), gram);
        Observed told = {.path = path, .method = range_names[slot->quant.range], .length = gram ? s->plan->length : 0};
        PUSH(p->arena, p->observed, told);
    }
}

Graph *observe_graph(PassContext *c, const Graph *from) {
    if (from == from->program->init) return (Graph *)from;
    Observe o = {.r = rewrite_begin(c, from)};
    walk(&o);
    Graph *g = rewrite_end(&o.r);
    if (o.seen.n) tell(g, &o.seen);
    return g;
}
