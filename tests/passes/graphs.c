/* graphs.c -- random programs. The pool holds values of a few shapes over run-time sizes b and t and the static d = 8; each
 * step adds a value made from pool values by a random op. Operations are chosen so that numbers stay moderate. */
#include "tests/passes/graphs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t rng_next(Rng *r) {
    r->state += 0x9e3779b97f4a7c15ull;
    uint64_t z = r->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
int rng_below(Rng *r, int n) {
    return (int)(rng_next(r) % (uint64_t)n);
}
double rng_unit(Rng *r) {
    return (double)(rng_next(r) >> 11) * 0x1p-52 - 1.0;
}

Seeds seeds_of(int argc, char **argv, uint64_t usual) {
    if (argc < 2) return (Seeds){0, usual};
    uint64_t from = strtoull(argv[1], NULL, 10);
    return (Seeds){from, argc > 2 ? strtoull(argv[2], NULL, 10) : from + 1};
}

enum { D = 8, VOCAB = 11 };

typedef struct Maker {
    Rng rng;
    Program *p;
    Graph *g;
    Size b, t, d;
    LIST(Node *) pool; /* f32 */
    Node *ids;         /* i32[b, t] */
    int draws;
} Maker;

static Node *pick(Maker *m) {
    return m->pool.at[rng_below(&m->rng, m->pool.n)];
}

static Node *pick_rank(Maker *m, int rank) {
    for (int tries = 0; tries < 50; tries++) {
        Node *x = pick(m);
        if (x->type.rank == rank) return x;
    }
    return NULL;
}

static Node *pick_like(Maker *m, const Node *x) {
    for (int tries = 0; tries < 50; tries++) {
        Node *y = pick(m);
        if (type_equal(&x->type, &y->type)) return y;
    }
    return node_map1(m->g, OP_TANH, (Node *)x);
}

static Node *add_slot(Maker *m, const char *path, SlotKind kind, Type type) {
    Slot *s = NEW(m->p->arena, Slot);
    *s = (Slot){.path = path, .kind = kind, .type = type, .index = m->p->slots.n};
    PUSH(m->p->arena, m->p->slots, s);
    Attrs attrs = {.index = s->index, .name = path};
    return graph_add(m->g, OP_SLOT, &attrs, 0, NULL);
}

static Node *typed_leaf(Maker *m, Op op, Attrs attrs, Type type) {
    attrs.dtype = type.dtype;
    attrs.n_shape = type.rank;
    for (int i = 0; i < type.rank; i++) attrs.shape[i] = type.dim[i];
    return graph_add(m->g, op, &attrs, 0, NULL);
}

static Node *step_map(Maker *m) {
    static const Op ONE[] = {OP_NEG, OP_TANH, OP_SIGMOID, OP_ABS, OP_SIN, OP_ERF, OP_FLOOR, OP_COS};
    static const Op TWO[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX, OP_MIN, OP_MULZ};
    Node *x = pick(m);
    switch (rng_below(&m->rng, 4)) {
    case 0: return node_map1(m->g, ONE[rng_below(&m->rng, 8)], x);
    case 1: {
        Node *c = node_map2(m->g, OP_LT, x, pick_like(m, x));
        return node_map3(m->g, OP_WHERE, c, pick_like(m, x), x);
    }
    default: return node_map2(m->g, TWO[rng_below(&m->rng, 6)], x, pick_like(m, x));
    }
}

static Node *step_const(Maker *m) {
    static const double NUMBER[] = {0.0, 1.0, -1.0, 0.5, 2.0};
    Node *x = pick(m);
    static const Op TWO[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX};
    Node *c = node_const(m->g, x->type, NUMBER[rng_below(&m->rng, 5)]);
    Op op = TWO[rng_below(&m->rng, 4)];
    return rng_below(&m->rng, 2) ? node_map2(m->g, op, x, c) : node_map2(m->g, op, c, x);
}

static Node *step_expand(Maker *m) {
    Node *like = pick(m), *x = pick(m);
    for (int tries = 0; tries < 30; tries++) {
        x = pick(m);
        int miss = like->type.rank - x->type.rank;
        bool fits = miss >= 0;
        for (int i = 0; fits && i < x->type.rank; i++)
            fits = size_is(x->type.dim[i], 1) || x->type.dim[i] == like->type.dim[i + miss];
        if (fits) return node_map2(m->g, rng_below(&m->rng, 2) ? OP_ADD : OP_MUL, like, node_expand_like(m->g, x, like));
    }
    return step_map(m);
}

static Node *keep_dims(Maker *m, Node *r, const Node *x, int n, const int *axes) {
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = x->type.dim[i];
    for (int i = 0; i < n; i++) dim[axes[i]] = size_const(m->p->sizes, 1);
    return node_reshape(m->g, r, x->type.rank, dim);
}

static Node *step_reduce(Maker *m) {
    static const ReduceFn FN[] = {REDUCE_SUM, REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_VAR};
    Node *x = pick(m);
    if (x->type.rank == 0) return step_map(m);
    int axes[MAX_RANK], n = 0;
    for (int i = 0; i < x->type.rank; i++)
        if (rng_below(&m->rng, 2)) axes[n++] = i;
    if (n == 0 || rng_below(&m->rng, 3) == 0) {
        n = 1;
        axes[0] = x->type.rank - 1;
    }
    Node *r = node_reduce(m->g, FN[rng_below(&m->rng, 5)], x, n, axes);
    if (rng_below(&m->rng, 3) == 0) return node_map1(m->g, OP_TANH, r);
    return node_map2(m->g, OP_SUB, x, node_expand_like(m->g, keep_dims(m, r, x, n, axes), x));
}

static Node *step_softmax(Maker *m) {
    Node *x = pick(m);
    if (x->type.rank == 0) return step_map(m);
    int last = x->type.rank - 1;
    Node *top = keep_dims(m, node_reduce(m->g, REDUCE_MAX, x, 1, &last), x, 1, &last);
    Node *e = node_map1(m->g, OP_EXP, node_map2(m->g, OP_SUB, x, node_expand_like(m->g, top, x)));
    Node *s = keep_dims(m, node_reduce(m->g, REDUCE_SUM, e, 1, &last), x, 1, &last);
    return node_map2(m->g, OP_DIV, e, node_expand_like(m->g, s, x));
}

static Node *step_contract(Maker *m) {
    Node *x = pick_rank(m, 3), *w = pick_rank(m, 2), *y = pick_rank(m, 3);
    Node *scale = NULL, *r;
    switch (rng_below(&m->rng, 3)) {
    case 0:
        if (!x || !w || x->type.dim[2] != w->type.dim[0]) return step_map(m);
        r = node_contract(m->g, x, w, "abk", "kn", "abn");
        break;
    case 1:
        if (!x || !w || x->type.dim[2] != w->type.dim[1]) return step_map(m);
        r = node_contract(m->g, x, w, "abk", "nk", "abn");
        break;
    default:
        if (!x || !y || x->type.dim[0] != y->type.dim[0] || x->type.dim[2] != y->type.dim[2]) return step_map(m);
        r = node_contract(m->g, x, y, "bik", "bjk", "bij");
        break;
    }
    scale = node_expand_like(m->g, node_scalar(m->g, DT_F32, 0.25), r);
    return node_map2(m->g, OP_MUL, r, scale);
}

/* A product over random letters: axes of equal size may be one letter, summed or not. */
static Node *step_letters(Maker *m) {
    Node *x = pick(m), *y = pick(m);
    char lx[MAX_RANK + 1] = "", ly[MAX_RANK + 1] = "", out[2 * MAX_RANK + 1] = "";
    int n = 0;
    if (x->type.rank == 0 || y->type.rank == 0) return step_map(m);
    for (int i = 0; i < x->type.rank; i++) lx[i] = (char)('a' + i);
    bool summed = false;
    for (int j = 0; j < y->type.rank; j++) {
        ly[j] = (char)('p' + j);
        for (int i = 0; i < x->type.rank; i++)
            if (x->type.dim[i] == y->type.dim[j] && !strchr(ly, lx[i]) && rng_below(&m->rng, 3)) {
                ly[j] = lx[i];
                break;
            }
    }
    for (int i = 0; i < x->type.rank; i++) {
        bool sum = strchr(ly, lx[i]) && (!summed || rng_below(&m->rng, 2));
        summed |= sum;
        if (!sum) out[n++] = lx[i];
    }
    for (int j = 0; j < y->type.rank; j++)
        if (!strchr(lx, ly[j])) out[n++] = ly[j];
    if (n > 4 || !summed) return step_map(m);
    for (int i = n - 1; i > 0; i--) {
        int j = rng_below(&m->rng, i + 1);
        char c = out[i];
        out[i] = out[j];
        out[j] = c;
    }
    Node *r = node_contract(m->g, x, y, lx, ly, out);
    return node_map2(m->g, OP_MUL, r, node_expand_like(m->g, node_scalar(m->g, DT_F32, 0.2), r));
}

/* Heads: [b, t, 8] → [b, 2, t, 4], in some order, perhaps back again. */
static Node *step_heads(Maker *m) {
    Node *x = pick_rank(m, 3);
    if (!x || !size_is(x->type.dim[2], D)) return step_map(m);
    Size two = size_const(m->p->sizes, 2), four = size_const(m->p->sizes, 4);
    Size split[4] = {x->type.dim[0], x->type.dim[1], two, four};
    static const int ORDER[3][4] = {{0, 2, 1, 3}, {2, 0, 1, 3}, {0, 2, 3, 1}};
    int which = rng_below(&m->rng, 3);
    Node *h = node_permute(m->g, node_reshape(m->g, x, 4, split), ORDER[which]);
    if (rng_below(&m->rng, 2)) return h;
    Node *q = node_map1(m->g, OP_TANH, h), *p = q;
    if (which == 0 && rng_below(&m->rng, 2)) { /* attention without softmax */
        Node *z = node_contract(m->g, h, q, "bhik", "bhjk", "bhij");
        p = node_contract(m->g, z, h, "bhij", "bhjk", "bhik");
        p = node_map2(m->g, OP_MUL, p, node_const(m->g, p->type, 0.01));
    }
    int back[4];
    for (int i = 0; i < 4; i++) back[ORDER[which][i]] = i;
    return node_reshape(m->g, node_permute(m->g, p, back), 3, x->type.dim);
}

static Node *step_mask(Maker *m) {
    Node *x = pick(m);
    int rank = x->type.rank;
    if (rank < 2) return step_map(m);
    Type t = type_of(DT_I32, 2, x->type.dim + rank - 2);
    Node *i = node_leaf(m->g, OP_IOTA, &(Attrs){.axis = 0}, t), *j = node_leaf(m->g, OP_IOTA, &(Attrs){.axis = 1}, t);
    Node *seen = node_map2(m->g, OP_GE, node_map2(m->g, OP_ADD, i, node_const(m->g, t, rng_below(&m->rng, 3))), j);
    return node_map3(m->g, OP_WHERE, node_expand(m->g, seen, rank, x->type.dim), x, node_const(m->g, x->type, -2));
}

/* Parts of x along an axis, each changed, put together again as gradients do it. */
static Node *step_parts(Maker *m) {
    Node *x = pick(m);
    int rank = x->type.rank, axis = rank - 1;
    if (rank == 0 || !size_is(x->type.dim[axis], D)) return step_map(m);
    Size zero = size_const(m->p->sizes, 0), lo[MAX_RANK], hi[MAX_RANK];
    int cut = 1 + rng_below(&m->rng, D - 1), end = rng_below(&m->rng, 3) ? D : cut + rng_below(&m->rng, D - cut);
    Node *sum = NULL;
    for (int part = 0; part < 2; part++) {
        int from = part ? cut : 0, to = part ? end : cut;
        if (from == to) continue;
        Attrs pad = {0};
        for (int i = 0; i < rank; i++) {
            lo[i] = pad.lo[i] = pad.hi[i] = zero;
            hi[i] = x->type.dim[i];
        }
        lo[axis] = pad.lo[axis] = size_const(m->p->sizes, from);
        hi[axis] = size_const(m->p->sizes, to);
        pad.hi[axis] = size_const(m->p->sizes, D - to);
        Node *piece = node_slice(m->g, x, lo, hi);
        piece = part ? node_map1(m->g, OP_TANH, piece) : node_map1(m->g, OP_SIN, piece);
        Node *padded = graph_add(m->g, OP_PAD, &pad, 1, &piece);
        sum =
            sum ? rng_below(&m->rng, 2) ? node_map2(m->g, OP_ADD, sum, padded) : node_map2(m->g, OP_ADD, padded, sum) : padded;
    }
    return sum;
}

/* log softmax and one of its elements a row; or the other way round. */
static Node *step_pick(Maker *m) {
    Node *x = NULL;
    for (int tries = 0; tries < 20 && !x; tries++) {
        Node *y = pick_rank(m, 3);
        if (y && y->type.dim[0] == m->b && y->type.dim[1] == m->t && size_is(y->type.dim[2], D)) x = y;
    }
    if (!x) return step_map(m);
    int last = 2;
    Size dim[3] = {m->b, m->t, size_const(m->p->sizes, 1)};
    Node *place = node_map2(m->g, OP_MOD, m->ids, node_const(m->g, m->ids->type, D));
    place = node_reshape(m->g, place, 3, dim);
    if (rng_below(&m->rng, 3) == 0) {
        Node *v = keep_dims(m, node_reduce(m->g, REDUCE_MAX, x, 1, &last), x, 1, &last);
        Attrs attrs = {.axis = 2, .flag = 1, .n_shape = 3};
        memcpy(attrs.shape, x->type.dim, sizeof attrs.shape[0] * 3);
        return graph_add(m->g, OP_SCATTER_ADD, &attrs, 2, (Node *[]){v, place});
    }
    Node *s = keep_dims(m, node_reduce(m->g, REDUCE_SUM, node_map1(m->g, OP_EXP, x), 1, &last), x, 1, &last);
    Node *p = node_map2(m->g, OP_SUB, x, node_expand_like(m->g, node_map1(m->g, OP_LOG, s), x));
    if (rng_below(&m->rng, 2)) p = node_map2(m->g, OP_MUL, p, node_map1(m->g, OP_TANH, x));
    return graph_add(m->g, OP_GATHER, &(Attrs){.axis = 2, .flag = 1}, 2, (Node *[]){p, place});
}

static Node *step_view(Maker *m) {
    Node *x = pick(m);
    int rank = x->type.rank;
    if (rank == 0) return step_map(m);
    Size zero = size_const(m->p->sizes, 0), one = size_const(m->p->sizes, 1), lo[MAX_RANK], hi[MAX_RANK];
    int64_t low, high;
    for (int i = 0; i < rank; i++) {
        lo[i] = zero;
        hi[i] = x->type.dim[i];
    }
    int axis = rng_below(&m->rng, rank);
    size_range(x->type.dim[axis], &low, &high);
    switch (rng_below(&m->rng, 6)) {
    case 0: {
        int order[MAX_RANK];
        for (int i = 0; i < rank; i++) order[i] = i;
        for (int i = rank - 1; i > 0; i--) {
            int j = rng_below(&m->rng, i + 1), c = order[i];
            order[i] = order[j];
            order[j] = c;
        }
        return node_permute(m->g, x, order);
    }
    case 1:
        if (low < 3) return step_map(m);
        if (rng_below(&m->rng, 2)) lo[axis] = one;
        if (rng_below(&m->rng, 2)) hi[axis] = size_sub(hi[axis], one);
        if (rng_below(&m->rng, 2)) return node_slice(m->g, x, lo, hi);
        x = node_slice(m->g, x, lo, hi);
        for (int i = 0; i < rank; i++) {
            lo[i] = zero;
            hi[i] = x->type.dim[i];
        }
        lo[axis] = one;
        return node_slice(m->g, x, lo, hi);
    case 2: {
        Size flat = type_count(m->g, &x->type);
        return node_reshape(m->g, x, 1, &flat);
    }
    case 3: {
        for (int i = 0; i < rank; i++) hi[i] = zero;
        lo[axis] = one;
        hi[axis] = one;
        Attrs attrs = {0};
        memcpy(attrs.lo, lo, sizeof lo[0] * (size_t)rank);
        memcpy(attrs.hi, hi, sizeof hi[0] * (size_t)rank);
        return graph_add(m->g, OP_PAD, &attrs, 1, &x);
    }
    case 4: {
        Attrs attrs = {.axis = axis};
        Node *in[2] = {x, pick_like(m, x)};
        return graph_add(m->g, OP_CONCAT, &attrs, 2, in);
    }
    default: {
        Attrs attrs = {.axis = axis};
        return graph_add(m->g, OP_REV, &attrs, 1, &x);
    }
    }
}

static Node *step_index(Maker *m) {
    Node *table = pick_rank(m, 2);
    int kind = rng_below(&m->rng, 4);
    if (kind == 0 && table && size_is(table->type.dim[0], VOCAB)) {
        Node *in[2] = {table, m->ids};
        return graph_add(m->g, OP_GATHER, &(Attrs){.axis = 0}, 2, in);
    }
    if (kind == 1) { /* one element a row, as in cross entropy */
        for (int tries = 0; tries < 20; tries++) {
            Node *x = pick_rank(m, 3);
            if (!x || x->type.dim[0] != m->b || x->type.dim[1] != m->t) continue;
            int64_t low, high;
            size_range(x->type.dim[2], &low, &high);
            Size dim[3] = {m->b, m->t, size_const(m->p->sizes, 1)};
            Node *in[2] = {x, node_reshape(m->g, m->ids, 3, dim)};
            if (low < VOCAB) in[1] = node_const(m->g, type_of(DT_I32, 3, dim), 0);
            return graph_add(m->g, OP_GATHER, &(Attrs){.axis = 2, .flag = 1}, 2, in);
        }
    }
    if (kind == 2) {
        Node *x = pick_rank(m, 3);
        if (x && x->type.dim[0] == m->b && x->type.dim[1] == m->t) {
            Attrs attrs = {.axis = 0, .n_shape = 2};
            Size rows = size_mul(m->b, m->t), flat[2] = {rows, x->type.dim[2]},
                 shape[2] = {size_const(m->p->sizes, VOCAB), x->type.dim[2]};
            attrs.shape[0] = shape[0];
            attrs.shape[1] = shape[1];
            Node *in[2] = {node_reshape(m->g, x, 2, flat), node_reshape(m->g, m->ids, 1, &rows)};
            return graph_add(m->g, OP_SCATTER_ADD, &attrs, 2, in);
        }
    }
    Node *x = pick(m);
    if (x->type.rank == 0) return step_map(m);
    return graph_add(m->g, OP_CUMSUM, &(Attrs){.axis = rng_below(&m->rng, x->type.rank), .flag = rng_below(&m->rng, 2)}, 1, &x);
}

static Node *step_random(Maker *m) {
    Node *x = pick(m);
    Attrs attrs = {.fn = RANDOM_BERNOULLI, .site = 1000 + (uint32_t)m->draws++, .dtype = DT_BOOL, .n_shape = x->type.rank};
    memcpy(attrs.shape, x->type.dim, sizeof attrs.shape);
    Node *keep = node_scalar(m->g, DT_F32, 0.75);
    Node *mask = graph_add(m->g, OP_RANDOM, &attrs, 1, &keep);
    return node_map3(m->g, OP_WHERE, mask, x, node_const(m->g, x->type, 0.0));
}

/* A scan over t: carries two rows, stacks what it makes, may stop early; now and then with a product of what comes in, or of what is carried. */
static Node *step_scan(Maker *m) {
    Node *x = NULL;
    for (int tries = 0; tries < 50 && !x; tries++) {
        Node *y = pick_rank(m, 3);
        if (y && y->type.dim[0] == m->b && y->type.dim[1] == m->t) x = y;
    }
    if (!x) return step_map(m);
    int turn[3] = {1, 0, 2};
    Node *sequence = node_permute(m->g, x, turn); /* [t, b, n] */
    Size row[2] = {m->b, x->type.dim[2]};
    Node *scalar = pick_rank(m, 0);
    Node *initial =
        rng_below(&m->rng, 2) || !scalar ? node_const(m->g, type_of(DT_F32, 2, row), 0.5) : node_expand(m->g, scalar, 2, row);
    Node *bias = rng_below(&m->rng, 2) || !scalar ? node_scalar(m->g, DT_F32, 0.125) : node_map1(m->g, OP_SIN, scalar);
    Size square[2] = {row[1], row[1]};
    Node *place = node_leaf(m->g, OP_IOTA, &(Attrs){.axis = rng_below(&m->rng, 2)}, type_of(DT_I32, 2, square));
    Node *weight = node_map1(m->g, OP_SIN, node_cast(m->g, place, DT_F32));
    weight = node_map2(m->g, OP_MUL, weight, node_expand_like(m->g, bias, weight));
    Graph *body = graph_new(m->p->arena, m->p);
    Node *step = graph_arg(body, type_scalar(DT_I32));
    Node *b0 = graph_arg(body, bias->type), *w0 = graph_arg(body, weight->type);
    Node *h = graph_arg(body, initial->type), *old = graph_arg(body, initial->type);
    Node *now = graph_arg(body, initial->type);
    Node *product = node_map2(body, OP_MUL, now, old);
    if (rng_below(&m->rng, 2)) product = node_contract(body, rng_below(&m->rng, 2) ? now : old, w0, "ik", "jk", "ij");
    Node *mixed = node_map1(body, OP_TANH, node_map2(body, OP_ADD, h, product));
    Node *next = node_map2(body, OP_ADD, mixed, node_expand_like(body, b0, mixed));
    Node *swap =
        rng_below(&m->rng, 2) ? h : node_map2(body, OP_SUB, h, node_expand_like(body, node_cast(body, step, DT_F32), h));
    graph_result(body, NULL, next);
    graph_result(body, NULL, swap);
    graph_result(body, NULL, rng_below(&m->rng, 2) ? next : old);
    int stops = rng_below(&m->rng, 2);
    static const Op compare[] = {OP_GE, OP_LE, OP_EQ, OP_NE};
    if (stops) graph_result(body, NULL, node_map2(body, compare[rng_below(&m->rng, 4)], step, node_scalar(body, DT_I32, 1)));
    Attrs attrs = {.body = body, .extent = m->t, .counts = {2, 2, 1, 1, stops}, .flag = rng_below(&m->rng, 2)};
    Node *in[5] = {bias, weight, initial, initial, sequence};
    Node *scan = graph_add(m->g, OP_SCAN, &attrs, 5, in);
    Node *last = node_get(m->g, scan, rng_below(&m->rng, 2)), *stacked = node_get(m->g, scan, 2);
    PUSH(m->p->arena, m->pool, last);
    return node_permute(m->g, stacked, turn);
}

static Node *step(Maker *m, int features) {
    switch (rng_below(&m->rng, 17)) {
    case 12: return step_letters(m);
    case 13: return step_heads(m);
    case 14: return step_mask(m);
    case 15: return step_parts(m);
    case 16: return features & WITH_INDEX ? step_pick(m) : step_letters(m);
    case 0:
    case 1:
    case 2: return step_map(m);
    case 3: return step_const(m);
    case 4: return step_expand(m);
    case 5: return step_reduce(m);
    case 6: return step_softmax(m);
    case 7:
    case 8: return step_contract(m);
    case 9: return step_view(m);
    case 10: return features & WITH_INDEX ? step_index(m) : step_map(m);
    default: return features & WITH_SCAN && rng_below(&m->rng, 2) ? step_scan(m) : step_random(m);
    }
}

static Node *loss_of(Maker *m, Node *x) {
    int all[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) all[i] = i;
    Node *y = node_map1(m->g, OP_SIN, x);
    return x->type.rank ? node_reduce(m->g, REDUCE_SUM, y, x->type.rank, all) : y;
}

static void store(Maker *m, const Node *slot, Node *value) {
    graph_effect(m->g, (Effect){.kind = EFFECT_STORE, .index = slot->attrs.index, .value = value});
}

Program *random_program_with(Arena *a, uint64_t seed, int features) {
    Program *p = NEW(a, Program);
    Maker *m = NEW(a, Maker);
    m->rng.state = seed;
    m->p = p;
    p->arena = a;
    p->name = "random";
    p->sizes = size_table_new(a);
    SizeName *b = size_declare(p->sizes, "b", 1, 5), *t = size_declare(p->sizes, "t", 1, 7);
    m->b = size_named(p->sizes, b);
    m->t = size_named(p->sizes, t);
    m->d = size_const(p->sizes, D);
    m->g = graph_new(a, p);

    Entry *e = NEW(a, Entry);
    e->name = "run";
    e->train = (features & WITH_GRAD) != 0;
    e->graph = m->g;
    e->n_sizes = 2;
    e->sizes = NEW_ARRAY(a, SizeName *, 2);
    e->sizes[0] = b;
    e->sizes[1] = t;
    e->n_inputs = 2;
    e->inputs = NEW_ARRAY(a, EntryInput, 2);
    Size x_dim[3] = {m->b, m->t, m->d}, ids_dim[2] = {m->b, m->t};
    e->inputs[0] = (EntryInput){.name = "x", .type = type_of(DT_F32, 3, x_dim)};
    e->inputs[1] = (EntryInput){.name = "ids", .type = type_of(DT_I32, 2, ids_dim)};
    PUSH(a, p->entries, e);

    Node *x = typed_leaf(m, OP_INPUT, (Attrs){.index = 0, .name = "x"}, e->inputs[0].type);
    m->ids = typed_leaf(m, OP_INPUT, (Attrs){.index = 1, .name = "ids"}, e->inputs[1].type);
    Size w_dim[2] = {m->d, m->d}, v_dim[2] = {size_const(p->sizes, VOCAB), m->d};
    Node *params[4] = {
        add_slot(m, "w", SLOT_PARAM, type_of(DT_F32, 2, w_dim)), add_slot(m, "b", SLOT_PARAM, type_of(DT_F32, 1, w_dim)),
        add_slot(m, "table", SLOT_PARAM, type_of(DT_F32, 2, v_dim)), add_slot(m, "g", SLOT_PARAM, type_scalar(DT_F32))};
    Node *moment = add_slot(m, "m", SLOT_STATE, type_of(DT_F32, 2, w_dim)),
         *count = add_slot(m, "count", SLOT_STATE, type_scalar(DT_I64));
    Node *other = add_slot(m, "other", SLOT_STATE, type_of(DT_F32, 2, w_dim));
    Node *cache = add_slot(m, "cache", SLOT_CACHE, type_of(DT_F32, 3, (Size[3]){m->b, size_const(p->sizes, 8), m->d}));
    graph_effect(m->g, (Effect){.kind = EFFECT_RANGE,
                                .value = m->ids,
                                .lo = size_const(p->sizes, 0),
                                .hi = size_const(p->sizes, VOCAB),
                                .text = "ids"});

    PUSH(a, m->pool, x);
    for (int i = 0; i < 4; i++) PUSH(a, m->pool, params[i]);
    PUSH(a, m->pool, moment);
    PUSH(a, m->pool, node_map1(m->g, OP_TANH, x));
    int steps = 5 + rng_below(&m->rng, 25);
    for (int i = 0; i < steps; i++) {
        Node *n = step(m, features);
        int64_t low, high;
        size_range(type_count(m->g, &n->type), &low, &high);
        if (n->type.rank <= 4 && high <= 20000) PUSH(a, m->pool, n);
    }
    for (int i = 0; i < 3; i++) {
        static const char *const NAME[] = {"r0", "r1", "r2"};
        graph_result(m->g, NAME[i], i == 2 ? pick(m) : m->pool.at[m->pool.n - 1 - i]);
    }
    if (features & WITH_GRAD) {
        Node *y = m->pool.at[m->pool.n - 1];
        Node *in[5] = {loss_of(m, y), params[0], params[1], params[2], params[3]};
        Node *grad = graph_add(m->g, OP_GRAD, NULL, 5, in);
        Node *rate = node_map2(m->g, OP_DIV, node_scalar(m->g, DT_F32, 0.1),
                               node_map2(m->g, OP_ADD, node_scalar(m->g, DT_F32, 1), node_cast(m->g, count, DT_F32)));
        for (int i = 0; i < 4; i++) {
            Node *d = node_get(m->g, grad, i);
            if (i == 0 && (features & WITH_STATE)) {
                d = node_map2(m->g, OP_ADD, node_map2(m->g, OP_MUL, moment, node_const(m->g, moment->type, 0.9)), d);
                store(m, moment, d);
            }
            store(m, params[i],
                  node_map2(m->g, OP_SUB, params[i], node_map2(m->g, OP_MUL, node_expand_like(m->g, rate, d), d)));
        }
        graph_result(m->g, "loss", in[0]);
    } else if (features & WITH_STATE && rng_below(&m->rng, 2)) {
        store(m, moment, other); /* two slots change places */
        store(m, other, rng_below(&m->rng, 2) ? moment : node_map2(m->g, OP_ADD, moment, other));
    }
    if (features & WITH_STATE) {
        store(m, count, node_map2(m->g, OP_ADD, count, node_const(m->g, count->type, 1)));
        Node *x1 = node_map1(m->g, OP_SIN, x);
        Size lo[3] = {size_const(p->sizes, 0), size_const(p->sizes, 0), size_const(p->sizes, 0)},
             hi[3] = {m->b, size_const(p->sizes, 1), m->d};
        Node *first = node_slice(m->g, x1, lo, hi);
        Node *place = node_scalar(m->g, DT_I32, rng_below(&m->rng, 8));
        Node *up[3] = {cache, first, place};
        Node *new_cache = graph_add(m->g, OP_UPDATE_AT, &(Attrs){.axis = 1}, 3, up);
        if (rng_below(&m->rng, 2)) {
            Node *again[3] = {new_cache, node_map1(m->g, OP_NEG, first), node_scalar(m->g, DT_I32, rng_below(&m->rng, 8))};
            new_cache = graph_add(m->g, OP_UPDATE_AT, &(Attrs){.axis = 1}, 3, again);
        }
        store(m, cache, new_cache);
        graph_result(m->g, "seen", node_contract(m->g, x, new_cache, "btd", "bsd", "bts"));
        Node *fine = node_map2(m->g, OP_GE, count, node_const(m->g, count->type, 0));
        graph_effect(m->g, (Effect){.kind = EFFECT_CHECK, .value = fine, .text = "count is negative"});
    }
    return p;
}

Program *random_program(Arena *a, uint64_t seed) {
    return random_program_with(a, seed, (int)(seed * 7 % 16));
}

/* ---- values */

static Tensor *random_tensor(Arena *a, Rng *r, const Type *t, const int64_t *sizes) {
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        if (!size_eval(t->dim[i], sizes, &dim[i])) bug("size");
    Tensor *x = tensor_new(a, t->dtype, t->rank, dim);
    for (int64_t i = 0; i < x->count; i++) {
        if (x->f) x->f[i] = (float)rng_unit(r);
        else x->i[i] = rng_below(r, VOCAB);
    }
    return x;
}

Eval random_eval(Arena *a, const Program *p, const Entry *e, uint64_t seed) {
    Rng r = {seed ^ 0x5555};
    int64_t *sizes = NEW_ARRAY(a, int64_t, size_names(p->sizes));
    for (int i = 0; i < size_names(p->sizes); i++) {
        const SizeName *s = size_name_at(p->sizes, i);
        sizes[i] = s->low + rng_below(&r, (int)(s->high - s->low + 1));
    }
    Eval v = {.arena = a, .program = p, .sizes = sizes, .seed = 7, .step = 3};
    v.inputs = NEW_ARRAY(a, Tensor *, e->n_inputs);
    for (int i = 0; i < e->n_inputs; i++) v.inputs[i] = random_tensor(a, &r, &e->inputs[i].type, sizes);
    v.slots = NEW_ARRAY(a, Tensor *, p->slots.n);
    for (int i = 0; i < p->slots.n; i++) v.slots[i] = random_tensor(a, &r, &p->slots.at[i]->type, sizes);
    return v;
}

Eval eval_fork(Arena *a, const Eval *e) {
    Eval v = *e;
    v.arena = a;
    v.slots = NEW_ARRAY(a, Tensor *, e->program->slots.n);
    memcpy(v.slots, e->slots, sizeof *v.slots * (size_t)e->program->slots.n);
    return v;
}

static double tensors_differ(const Tensor *x, const Tensor *y) {
    if (x->count != y->count || x->dtype != y->dtype) return INFINITY;
    double most = 0;
    for (int64_t i = 0; i < x->count; i++) {
        if (!x->f) {
            if (x->i[i] != y->i[i]) return INFINITY;
            continue;
        }
        if (x->f[i] == y->f[i] || (isnan(x->f[i]) && isnan(y->f[i]))) continue;
        double d = fabs(x->f[i] - y->f[i]) / (1 + fabs(y->f[i]));
        if (!(d <= most)) most = isnan(d) ? INFINITY : d;
    }
    return most;
}

double runs_differ(const Entry *e, const Program *p, const Eval *a, Tensor *const *results_a, const Eval *b,
                   Tensor *const *results_b, const char **where) {
    double most = 0;
    *where = "";
    for (int i = 0; i < e->graph->results.n; i++) {
        double d = tensors_differ(results_a[i], results_b[i]);
        if (d > most) {
            most = d;
            *where = e->graph->results.at[i].name;
        }
    }
    for (int i = 0; i < p->slots.n; i++) {
        double d = tensors_differ(a->slots[i], b->slots[i]);
        if (d > most) {
            most = d;
            *where = p->slots.at[i]->path;
        }
    }
    return most;
}
