/* tile_verify.c -- every rule of the tile IR, on every instance of the body that the lowering will emit (T = 8, then the
 * rest 5).
 *
 *   bounds      every index of every access stays inside its dimension, given the ranges of loops, the enclosing ifs and the
 *               sizes' ranges
 *   rests       a loop by T divides, or says rest or masked (loop_parts)
 *   types       operands, lanes, element types of stores (tile_type_of)
 *   outputs     only out and inout arguments are written
 *   disjoint    no two parallel iterations touch the same place of an output
 *   registers   live register tiles and values fit the machine, four times over at most (a little spilling is the schedule's
 *               business)
 *
 * Disjoint: let two iterations differ, and let p be the outermost parallel symbol in which they do. Symbols outside p are
 * equal then. So for every output and every p there must be a dimension whose index is c*p + r in all accesses, where the
 * spread of r over everything inside p, lanes included, is at most |c| * (the step of p). Two dimensions whose indices are
 * e / x and e % x, of one x in all accesses, are as good as one whose index is e. Loads of outputs count as well:
 * an iteration reads only what no other one writes. */
#include "codegen/tile_walk.h"

#include <math.h>
#include <string.h>

#define STACK_LIMIT 65536 /* bytes of stack buffers */
#define STEP_MOST   96    /* of columns: some panels */

/* Where an output is touched: r of index `dim` = c*p + r lies in low .. high - 1. dim (1 + d) * TILE_RANK + m: of dimensions d and m together. */
typedef struct Spread {
    TilePoly low, high;
} Spread;

typedef struct Proof {
    TileSym *buffer, *p;
    int dim;
    bool failed, seen;
    TilePoly c, line; /* line: x of two dimensions */
    int accesses;
    LIST(Spread) spread;
} Proof;

typedef struct Parallel {
    TileSym *s;
    int64_t step;   /* distance of two iterations */
    int64_t within; /* the body may be at s + 0 .. s + within inside one iteration (rests by halving) */
} Parallel;

typedef struct Verify {
    TileWalk *w;
    const TileTarget *target;
    const TileVisit *visit; /* NULL: only verify */
    double times;
    int live, lets, most; /* registers */
    int64_t scratch, most_scratch, stack, most_stack;
    LIST(TilePoly) facts;
    bool copying; /* in a copy */
    bool sharing; /* in a loop that the warps of a group share */
    Parallel parallel[TILE_RANK + 1];
    int n_parallel;
    LIST(Proof *) proofs;
} Verify;

static void block(Verify *v, const TileStmt *s);
static TileType expression(Verify *v, const TileExpr *e);

/* How often term i of the fact is in p: the place in a panel of 16 columns moves by 16 where the condition's symbol moves by 1.
 */
static int64_t times_in(TilePoly p, TilePoly fact, int i) {
    const TileTerm *f = &fact.t[i];
    for (int j = 0; j < p.n; j++) {
        const TileTerm *t = &p.t[j];
        if (t->n == f->n && !memcmp(t->v, f->v, sizeof *t->v * (size_t)t->n) && t->c % f->c == 0) return t->c / f->c;
    }
    return 0;
}

/* p >= 0, if need be because p - times * fact is, for an enclosing condition. */
static bool follows(Verify *v, TilePoly p) {
    if (poly_nonneg(v->w, p)) return true;
    for (int i = 0; i < v->facts.n; i++) {
        TilePoly fact = v->facts.at[i];
        if (poly_nonneg(v->w, poly_add(v->w, p, fact, -1))) return true;
        for (int k = 0; k < fact.n; k++) {
            int64_t times = times_in(p, fact, k);
            if (times > 1 && poly_nonneg(v->w, poly_add(v->w, p, fact, -times))) return true;
        }
    }
    return false;
}

/* p >= 0, if need be by an enclosing condition, if need be because a multiple of g above -g is at least 0: in steps of 16,
 * `if i < 784` makes room for the lanes i .. i + 15. */
static bool holds(Verify *v, TilePoly p) {
    if (follows(v, p)) return true;
    for (int64_t g = 64; g > 1; g /= 2)
        if (poly_divisible(v->w, p, g)) return follows(v, poly_add(v->w, p, poly_const(g - 1), 1));
    return false;
}

/* ------------------------------------------------------------------ disjointness */

static Proof *proof_of(Verify *v, TileSym *buffer, TileSym *p, int dim) {
    Arena *a = v->w->arena;
    for (int i = 0; i < v->proofs.n; i++) {
        Proof *q = v->proofs.at[i];
        if (q->buffer == buffer && q->p == p && q->dim == dim) return q;
    }
    Proof *q = NEW(a, Proof);
    q->buffer = buffer;
    q->p = p;
    q->dim = dim;
    PUSH(a, v->proofs, q);
    return q;
}

/* Widens a known spread when the distances are plain numbers, else adds a new one. */
static void spread_add(Verify *v, Proof *q, Spread s) {
    TileWalk *w = v->w;
    for (int i = 0; i < q->spread.n; i++) {
        Spread *old = &q->spread.at[i];
        TilePoly low = poly_add(w, s.low, old->low, -1), high = poly_add(w, s.high, old->high, -1);
        if (low.n || high.n) continue;
        if (low.c < 0) old->low = s.low;
        if (high.c > 0) old->high = s.high;
        return;
    }
    PUSH(w->arena, q->spread, s);
}

/* |c| * step - (high - low) >= 0 for all pairs of spreads. */
static bool spreads_fit(Verify *v, const Proof *q, int64_t step) {
    TileWalk *w = v->w;
    TilePoly room = poly_add(w, poly_const(0), q->c, step);
    if (!poly_nonneg(w, q->c)) {
        room = poly_add(w, poly_const(0), q->c, -step);
        if (!poly_nonneg(w, poly_add(w, poly_const(0), q->c, -1))) return false;
    }
    for (int i = 0; i < q->spread.n; i++)
        for (int j = 0; j < q->spread.n; j++) {
            TilePoly width = poly_add(w, q->spread.at[i].high, q->spread.at[j].low, -1);
            if (!poly_nonneg(w, poly_add(w, room, width, -1))) return false;
        }
    return true;
}

/* An access at `index` of what the proof is about, or at so many lanes from it on. */
static void touch_place(Verify *v, Proof *q, TilePoly index, int lanes, const Parallel *p) {
    TileWalk *w = v->w;
    TilePoly c, other, low, high;
    Spread s;
    q->accesses++;
    if (q->failed) return;
    q->failed = true;
    /* Bounds in p and what is outside it: symbols outside p are the same in both iterations. */
    if (!poly_bound(w, index, -1, p->s->level, &low) || !poly_bound(w, index, 1, p->s->level, &high)) return;
    if (!poly_split(w, low, p->s, &c, &s.low) || !poly_split(w, high, p->s, &other, &s.high)) return;
    if (!poly_equal(c, other) || (!c.n && !c.c) || (q->seen && !poly_equal(c, q->c))) return;
    s.high = poly_add(w, s.high, poly_const(lanes), 1);
    if (p->within) {
        TilePoly extra = poly_add(w, poly_const(0), c, p->within);
        if (poly_nonneg(w, c)) s.high = poly_add(w, s.high, extra, 1);
        else s.low = poly_add(w, s.low, extra, 1);
    }
    q->c = c;
    q->seen = true;
    spread_add(v, q, s);
    q->failed = !spreads_fit(v, q, p->step);
}

/* Is x an index that is made by this operation? Its operands. */
static bool made_by(Verify *v, const TileExpr *x, TileOp op, TilePoly *a, TilePoly *b) {
    const TileExpr *made = x->k == TE_SYM && !x->s->known ? x->s->made : NULL;
    return made && made->k == TE_OP && made->op == op && poly_try(v->w, made->x[0], a) && poly_try(v->w, made->x[1], b);
}

/* Dimensions d and m, if their indices are e / x and e % x. */
static void touch_line(Verify *v, const TileAccess *a, const Parallel *p, int d, int m) {
    TilePoly e, other, x, same, low;
    if (!made_by(v, a->ix[d], TO_DIV, &e, &x) || !made_by(v, a->ix[m], TO_MOD, &other, &same)) return;
    if (!poly_equal(e, other) || !poly_equal(x, same) || a->lane_dim == d || a->lane_dim == m) return;
    if (!poly_bound(v->w, x, -1, 0, &low) || !poly_equal(x, low)) return; /* else it may differ between iterations */
    Proof *q = proof_of(v, a->s, p->s, (1 + d) * TILE_RANK + m);
    if (q->seen && !poly_equal(x, q->line)) q->failed = true;
    q->line = x;
    touch_place(v, q, e, 1, p);
}

static void touch(Verify *v, const TileAccess *a, int lanes) {
    for (int i = 0; i < v->n_parallel; i++) {
        const Parallel *p = &v->parallel[i];
        for (int d = 0; d < a->n; d++) {
            touch_place(v, proof_of(v, a->s, p->s, d), poly_of(v->w, a->ix[d]), d == a->lane_dim ? lanes : 1, p);
            for (int m = 0; m < a->n; m++)
                if (m != d) touch_line(v, a, p, d, m);
        }
    }
}

static void check_disjoint(Verify *v) {
    v->w->line = 0;
    for (int i = 0; i < v->proofs.n; i++) {
        const Proof *q = v->proofs.at[i];
        bool ok = q->dim >= TILE_RANK; /* not of all accesses, perhaps */
        for (int j = 0; j < v->proofs.n; j++) {
            const Proof *o = v->proofs.at[j];
            ok |= o->buffer == q->buffer && o->p == q->p && o->seen && !o->failed && o->accesses == q->accesses;
        }
        if (!ok)
            walk_fail(v->w, "two iterations of the parallel loop %s may touch the same place of %s", q->p->name,
                      q->buffer->name);
    }
}

/* Without an element nothing overlaps: sizes may be taken as large as the extents n - c of a buffer want them. */
static void want_elements(TileWalk *w, const TileSym *s) {
    for (int i = 0; i < s->nd; i++) {
        TilePoly extent = poly_add(w, poly_of(w, s->hi[i]), poly_of(w, s->lo[i]), -1);
        bool plain = extent.n == 1 && extent.t->c == 1 && extent.t->n == 1 && extent.t->v[0]->k == TS_SIZE;
        if (plain && extent.t->v[0]->min < 1 - extent.c) extent.t->v[0]->min = 1 - extent.c;
    }
}

/* The dimensions of an output with strides of its own must not overlap: taken in the order of their strides, each is as long
 * as all below it. Those of one element have no stride to speak of. */
static void strides_apart(Verify *v, const TileSym *s) {
    TileWalk *w = v->w;
    bool done[TILE_RANK] = {false};
    TilePoly reach = poly_const(1);
    int rounds = 0;
    for (int i = 0; i < s->nd; i++) {
        TilePoly more = poly_add(w, poly_add(w, poly_of(w, s->hi[i]), poly_of(w, s->lo[i]), -1), poly_const(1), -1);
        done[i] = poly_nonneg(w, poly_add(w, poly_const(0), more, -1));
        rounds += !done[i];
    }
    for (int round = 0; round < rounds; round++) {
        int next = -1;
        for (int i = 0; i < s->nd && next < 0; i++) {
            bool least = !done[i];
            for (int j = 0; j < s->nd && least; j++)
                least = done[j] || j == i || poly_nonneg(w, poly_add(w, buffer_stride(w, s, j), buffer_stride(w, s, i), -1));
            if (least) next = i;
        }
        TilePoly stride = next < 0 ? poly_const(0) : buffer_stride(w, s, next);
        if (next < 0 || !poly_nonneg(w, poly_add(w, stride, reach, -1)))
            walk_fail(w, "elements of the output %s may overlap", s->name);
        done[next] = true;
        TilePoly extent = poly_add(w, poly_of(w, s->hi[next]), poly_of(w, s->lo[next]), -1);
        reach = poly_add(w, reach, poly_mul(w, stride, poly_add(w, extent, poly_const(1), -1)), 1);
    }
}

static void check_strides(Verify *v, const TileSym *s) {
    const TileKernel *k = v->w->k;
    if (!s->stride[0] || !s->out) return;
    int64_t *least = NEW_ARRAY(v->w->arena, int64_t, k->params.n);
    for (int i = 0; i < k->params.n; i++) least[i] = k->params.at[i]->min;
    want_elements(v->w, s);
    strides_apart(v, s);
    for (int i = 0; i < k->params.n; i++) k->params.at[i]->min = least[i];
}

/* ------------------------------------------------------------------ accesses and expressions */

static void stays_inside(Verify *v, const TileAccess *a, int lanes) {
    TileWalk *w = v->w;
    const TileSym *s = a->s;
    for (int i = 0; i < a->n; i++) {
        TilePoly index = poly_of(w, a->ix[i]), extent = poly_of(w, s->hi[i]);
        TilePoly end = poly_add(w, index, poly_const(i == a->lane_dim ? lanes : 1), 1);
        bool ok = holds(v, poly_add(w, index, poly_of(w, s->lo[i]), -1));
        bool limited = i == a->lane_dim && a->limit && holds(v, poly_add(w, extent, poly_of(w, a->limit), -1));
        if (ok && !limited) ok = holds(v, poly_add(w, extent, end, -1));
        if (!ok) walk_fail(w, "index %d of %s may leave the buffer: %s", i, s->name, tile_expr_text(w->arena, a->ix[i]));
    }
}

static void access(Verify *v, const TileAccess *a, bool store) {
    TileWalk *w = v->w;
    const TileSym *s = a->s;
    int lanes = access_lanes(w, a);
    if (a->fill && a->fill->fraction && !dtype_is_float(s->d)) walk_fail(w, "a fraction fills masked lanes of %s", s->name);
    if (s->swizzled && !v->copying) walk_fail(w, "%s is swizzled: it is for multiply", s->name);
    stays_inside(v, a, lanes);
    if (store && s->space == TILE_ARG && !s->out) walk_fail(w, "%s is not an output", s->name);
    if (s->space == TILE_ARG && s->out) touch(v, a, lanes);
    if (v->visit) v->visit->access(v->visit->self, a, store, v->times);
}

static TileType expression(Verify *v, const TileExpr *e) {
    TileWalk *w = v->w;
    TileType x[TILE_ARGS], operand, t;
    switch (e->k) {
    case TE_NUMBER: return (TileType){TILE_LITERAL, 1};
    case TE_SYM: return sym_type(e->s);
    case TE_ACCESS:
        if (e->a.s->k == TS_REG) {
            reg_at(w, &e->a, NULL);
            if (e->a.s->type.n == TILE_GROUP) walk_fail(w, "%s is of a group: it can be put", e->a.s->name);
            return e->a.s->type;
        }
        access(v, &e->a, false);
        return (TileType){e->a.s->d, access_lanes(w, &e->a)};
    case TE_OP: break;
    }
    int args = tile_op_row[e->op].args;
    if (op_takes_tile(e->op) && e->x[0]->k == TE_ACCESS && e->x[0]->a.s->k == TS_REG) {
        int count;
        reg_at(w, &e->x[0]->a, &count);
        x[0] = e->x[0]->a.s->type;
    } else {
        for (int i = 0; i < args; i++) x[i] = expression(v, e->x[i]);
    }
    t = tile_type_of(w, e, x, &operand);
    if (v->visit) v->visit->op(v->visit->self, e, t, v->times);
    return t;
}

/* ------------------------------------------------------------------ statements */

static int registers_of(const Verify *v, TileType t) {
    int bits = v->target->lanes * 32, bytes = t.d == DT_BOOL ? 1 : dtype_bytes(t.d);
    if (t.n == TILE_GROUP) return 1; /* of each of its warps */
    return t.n == 1 ? 0 : (t.n * bytes * 8 + bits - 1) / bits;
}

static void registers_seen(Verify *v) {
    if (v->live + v->lets > v->most) v->most = v->live + v->lets;
}

/* Of a number of iterations that an index decides, the most; of one that nobody knows, 1. */
static double trips(const Verify *v, const TilePart *part) {
    TilePoly most;
    if (part->trip >= 0) return (double)part->trip;
    if (!poly_bound(v->w, poly_add(v->w, part->hi, part->lo, -1), 1, -1, &most) || most.n || most.c < part->tile) return 1;
    return (double)((most.c + part->tile - 1) / part->tile);
}

static void loop(Verify *v, const TileStmt *s) {
    TileWalk *w = v->w;
    TilePart part[TILE_PARTS];
    int n = loop_parts(w, s, part);
    double times = v->times;
    bool sharing = v->sharing, pushed = (s->k == TK_PARALLEL || s->share) && !(n == 1 && part[0].trip == 1);
    if (s->share && (!w->k->group || sharing)) walk_fail(w, sharing ? "one warp has nothing to share" : "one warp runs the iterations: it shares them with none");
    v->sharing |= s->share;
    s->s->level = ++w->level;
    for (int i = 0; i < n; i++) {
        loop_range(w, s, &part[i]);
        if (pushed) {
            int64_t step = loop_tile(w, s);
            bool halved = part[i].dynamic && !part[i].masked && !s->step;
            v->parallel[v->n_parallel++] = (Parallel){s->s, step, halved ? step - part[i].tile : 0};
        }
        v->times = times * (i ? fmax(1, (double)part[i].trip) : trips(v, &part[i]));
        int facts = v->facts.n; /* an iteration of a number known at run time: there is room for it, whatever the sizes may be */
        if (part[i].dynamic) PUSH(w->arena, v->facts, poly_add(w, s->s->highest, poly_sym(w, s->s), -1));
        block(v, s->body);
        v->facts.n = facts;
        if (pushed) v->n_parallel--;
    }
    v->times = times;
    v->sharing = sharing;
    if (s->tile) s->tile->known = false;
    s->s->known = false;
    w->level--;
}

static void unroll(Verify *v, const TileStmt *s) {
    int64_t begin = expr_const(v->w, s->lo), end = expr_const(v->w, s->hi);
    if (end - begin > 4096) walk_fail(v->w, "%lld copies of an unrolled body", (long long)(end - begin));
    for (int64_t i = begin; i < end; i++) {
        s->s->known = true;
        s->s->value = i;
        block(v, s->body);
    }
    s->s->known = false;
}

static void in_range(Verify *v, const TileStmt *s, TilePoly lowest, TilePoly highest) {
    TileWalk *w = v->w;
    TilePoly lo = poly_of(w, s->lo), hi = poly_of(w, s->hi);
    bool ok = holds(v, poly_add(w, lowest, lo, -1)) && holds(v, poly_add(w, poly_add(w, hi, highest, -1), poly_const(1), -1));
    if (!ok) walk_fail(w, "the index %s may leave its range", s->s->name);
}

/* It is loaded or computed from what was: its range is a contract. */
static bool is_given(const TileExpr *e) {
    if (e->k == TE_ACCESS) return true;
    if (e->k == TE_SYM) return e->s->k == TS_LET || e->s->k == TS_SCALAR || e->s->k == TS_REG;
    for (int i = 0; e->k == TE_OP && i < tile_op_row[e->op].args; i++)
        if (is_given(e->x[i])) return true;
    return false;
}

/* Proves what can be proven of index q = e in lo..hi. */
static void index_range(Verify *v, const TileStmt *s) {
    TileWalk *w = v->w;
    TilePoly p, a, b;
    const TileExpr *e = s->e;
    if (poly_try(w, e, &p)) {
        in_range(v, s, p, p);
        return;
    }
    if (is_given(e)) return;
    if (e->k == TE_OP && e->op == TO_MUL) walk_fail(w, "the index %s is a product of a quotient: nothing is known of it", s->s->name);
    if (e->k != TE_OP || tile_op_row[e->op].args != 2 || !poly_try(w, e->x[0], &a) || !poly_try(w, e->x[1], &b)) return;
    if (e->op == TO_DIV || e->op == TO_MOD) {
        if (!holds(v, poly_add(w, b, poly_const(1), -1)))
            walk_fail(w, "the divisor of the index %s may be zero or negative", s->s->name);
        if (!holds(v, a)) walk_fail(w, "the dividend of the index %s may be negative", s->s->name);
    }
    if (e->op == TO_MOD) {
        in_range(v, s, poly_const(0), poly_add(w, b, poly_const(1), -1));
    } else if (e->op == TO_DIV) { /* lo*b <= a and a < hi*b */
        TilePoly low = poly_mul(w, poly_of(w, s->lo), b), high = poly_mul(w, poly_of(w, s->hi), b);
        bool ok = holds(v, poly_add(w, a, low, -1)) && holds(v, poly_add(w, poly_add(w, high, a, -1), poly_const(1), -1));
        if (!ok) walk_fail(w, "the index %s may leave its range", s->s->name);
    } else if (e->op == TO_MIN || e->op == TO_MAX) {
        TilePoly lo = poly_of(w, s->lo), last = poly_add(w, poly_of(w, s->hi), poly_const(1), -1);
        bool la = holds(v, poly_add(w, a, lo, -1)), lb = holds(v, poly_add(w, b, lo, -1));
        bool ha = holds(v, poly_add(w, last, a, -1)), hb = holds(v, poly_add(w, last, b, -1));
        if (!(e->op == TO_MIN ? la && lb && (ha || hb) : (la || lb) && ha && hb))
            walk_fail(w, "the index %s may leave its range", s->s->name);
    }
}

static void index_statement(Verify *v, const TileStmt *s) {
    TileWalk *w = v->w;
    TilePoly p;
    const TileExpr *e = s->e;
    bool clamped = e->k == TE_OP && e->op == TO_CLAMP;
    s->s->known = false;
    s->s->made = clamped ? NULL : e;
    if (!poly_try(w, e, &p) || p.n) {
        TileType t = expression(v, clamped ? e->x[0] : e);
        if (t.n != 1 || !dtype_is_int(t.d)) walk_fail(w, "the index %s wants an integer scalar", s->s->name);
    }
    if (!clamped) index_range(v, s);
    if (!clamped && poly_try(w, e, &p) && !p.n) {
        s->s->known = true;
        s->s->value = p.c;
        return;
    }
    s->s->level = ++w->level;
    s->s->lowest = poly_of(w, s->lo);
    s->s->highest = poly_add(w, poly_of(w, s->hi), poly_const(1), -1);
}

static void facts_of(Verify *v, const TileExpr *e) {
    TilePoly fact;
    bool has_fact;
    if (e->k == TE_OP && e->op == TO_AND) {
        facts_of(v, e->x[0]);
        facts_of(v, e->x[1]);
    } else if (tile_condition(v->w, e, &fact, &has_fact) < 0 && has_fact) {
        fact = poly_add(v->w, fact, poly_const(1), 1); /* above 0, and if it is a multiple of g, not below g */
        int64_t g = STEP_MOST;
        while (g > 1 && !poly_divisible(v->w, fact, g)) g--;
        PUSH(v->w->arena, v->facts, poly_add(v->w, fact, poly_const(g), -1));
    }
}

static void if_statement(Verify *v, const TileStmt *s) {
    TilePoly fact;
    bool has_fact;
    int known = tile_condition(v->w, s->e, &fact, &has_fact), facts = v->facts.n;
    if (known == 0) return;
    if (known < 0) {
        TileType t = expression(v, s->e);
        if (t.d != DT_BOOL || t.n != 1) walk_fail(v->w, "if wants a bool scalar");
        facts_of(v, s->e);
    }
    block(v, s->body);
    v->facts.n = facts;
}

static bool is_number(TileWalk *w, const TileExpr *e, int64_t x) {
    return poly_equal(poly_of(w, e), poly_const(x));
}

static void squares(Verify *v, const TileSym *s) {
    TileWalk *w = v->w;
    bool fits = w->k->group && s->nd >= 3 && dtype_bytes(s->d) == 2;
    for (int i = s->nd - 2; fits && i < s->nd; i++) fits = !s->lo[i] && is_number(w, s->hi[i], TILE_SQUARE);
    if (!fits) walk_fail(w, "swizzled are squares of %d x %d elements of two bytes, of a group", TILE_SQUARE, TILE_SQUARE);
}

static void temporary(Verify *v, const TileStmt *s) {
    int64_t bytes = (buffer_bytes(v->w, s->s) + 63) / 64 * 64;
    bool stack = s->s->space == TILE_STACK;
    int64_t *now = stack ? &v->stack : &v->scratch, *most = stack ? &v->most_stack : &v->most_scratch;
    if (v->w->k->group && (v->sharing || !stack)) walk_fail(v->w, "buffers of a group lie on the stack, outside of what its warps share");
    if (s->s->swizzled) squares(v, s->s);
    *now += bytes;
    if (*now > *most) *most = *now;
    int limit = v->w->k->group ? TILE_GROUP_BYTES : STACK_LIMIT;
    if (stack && *now > limit) walk_fail(v->w, "%lld bytes of stack buffers: at most %d", (long long)*now, limit);
}

static void let_statement(Verify *v, const TileStmt *s, int lets) {
    TileType t = expression(v, s->e);
    if (t.d == TILE_LITERAL) t.d = DT_F32;
    s->s->type = t;
    if (t.n > 1 && v->lets == lets) v->lets += registers_of(v, t);
    registers_seen(v);
}

static void set_statement(Verify *v, const TileStmt *s) {
    reg_at(v->w, &s->a, NULL);
    TileType t = expression(v, s->e), to = s->a.s->type;
    if (!type_fits(t, to))
        walk_fail(v->w, "%sx%d set from %sx%d", dtype_name(to.d), to.n, t.d == TILE_LITERAL ? "literal" : dtype_name(t.d), t.n);
}

static void store_statement(Verify *v, const TileStmt *s) {
    TileType t = expression(v, s->e), to = {s->a.s->d, access_lanes(v->w, &s->a)};
    if (v->w->k->group && (!v->sharing || s->a.s->space != TILE_ARG)) walk_fail(v->w, "a group stores to arguments, in what its warps share");
    access(v, &s->a, true);
    if (!type_fits(t, to))
        walk_fail(v->w, "%sx%d of %s stored from %sx%d", dtype_name(to.d), to.n, s->a.s->name,
                  t.d == TILE_LITERAL ? "literal" : dtype_name(t.d), t.n);
}

static void reg_statement(Verify *v, const TileStmt *s) {
    reg_declare(v->w, s->s);
    if (s->e) {
        TileType t = expression(v, s->e);
        if (!type_fits(t, s->s->type)) walk_fail(v->w, "the register tile %s is initialised with another type", s->s->name);
    }
    v->live += s->s->nr * registers_of(v, s->s->type);
    registers_seen(v);
}

/* ------------------------------------------------------------------ warps */

static bool is_temporary(const TileAccess *a) {
    return a->s->space != TILE_ARG;
}

static void warp_cost(const Verify *v, const TileStmt *s, double bytes) {
    if (v->visit) v->visit->warp(v->visit->self, s, bytes, v->times);
}

/* What can be copied and multiplied: f32, and whatever has two bytes. */
static bool is_of_matrices(DType d) {
    return d == DT_F32 || dtype_bytes(d) == 2;
}

/* The indices of the last two dimensions, and that so many of both are inside. */
static void matrix_inside(Verify *v, const TileStmt *s, const TileAccess *a, int rows, int columns) {
    TileAccess end = *a;
    if (!is_temporary(a) || a->n < 2 || a->lane_dim >= 0 || !is_of_matrices(a->s->d))
        walk_fail(v->w, "a matrix lies in a temporary buffer, of f32 or two bytes an element");
    stays_inside(v, a, 1);
    TileExpr sum[2], last[2];
    for (int i = 0; i < 2; i++) {
        int n = i ? rows : columns;
        last[i] = (TileExpr){.k = TE_NUMBER, .number = n - 1, .whole = n - 1};
        sum[i] = (TileExpr){.k = TE_OP, .op = TO_ADD, .x = {a->ix[a->n - 1 - i], &last[i]}};
        end.ix[a->n - 1 - i] = &sum[i];
    }
    stays_inside(v, &end, 1);
    warp_cost(v, s, (double)dtype_bytes(a->s->d) * rows * columns);
}

/* n registers of 32 lanes. */
static void warp_tile(Verify *v, const TileAccess *a, DType d, int n) {
    int count;
    reg_at(v->w, a, &count);
    if (a->s->type.d != d || a->s->type.n != 32 || count != n) walk_fail(v->w, "%s is not %d of %sx32", a->s->name, n, dtype_name(d));
}

/* Does it fill a square, row q with what row q is copied from? */
static bool is_whole_square(Verify *v, const TileStmt *s) {
    TileWalk *w = v->w;
    const TileAccess *a = &s->a;
    TilePoly step, rest;
    bool rows = poly_split(w, poly_of(w, a->ix[a->n - 2]), s->s, &step, &rest) && poly_equal(step, poly_const(1)) && poly_equal(rest, poly_const(0));
    return rows && a->lane_dim == a->n - 1 && access_lanes(w, a) == TILE_SQUARE && is_number(w, a->ix[a->n - 1], 0) && is_number(w, s->lo, 0) &&
           is_number(w, s->hi, TILE_SQUARE);
}

/* Rows beyond the limit are not read. */
static void copy_statement(Verify *v, const TileStmt *s) {
    TileWalk *w = v->w;
    const TileAccess *from = &s->e->a;
    int64_t lo = expr_const(w, s->lo), hi = expr_const(w, s->hi);
    int facts = v->facts.n, lanes = access_lanes(w, from);
    double times = v->times;
    if (hi <= lo || from->lane_dim < 0 || s->a.lane_dim < 0 || lanes != access_lanes(w, &s->a) || from->fill || s->a.limit)
        walk_fail(w, "a copy wants rows, of vectors as long as their places");
    if (!poly_equal(buffer_stride(w, from->s, from->lane_dim), poly_const(1))) walk_fail(w, "rows of a copy lie side by side");
    if (!is_temporary(&s->a) || is_temporary(from) || from->s->out || from->s->d != s->a.s->d || !is_of_matrices(from->s->d))
        walk_fail(w, "a copy goes from an argument that is only read to a temporary buffer, of f32 or two bytes an element");
    s->s->known = false;
    s->s->level = ++w->level;
    s->s->step = 1;
    s->s->lowest = poly_const(lo);
    s->s->highest = poly_const(hi - 1);
    warp_cost(v, s, (double)(hi - lo) * lanes * dtype_bytes(from->s->d));
    if (s->a.s->swizzled && !is_whole_square(v, s)) walk_fail(w, "a copy to a swizzled buffer is of %d whole rows of a square", TILE_SQUARE);
    v->times = 0;
    v->copying = true;
    access(v, &s->a, true);
    v->copying = false;
    if (s->by) PUSH(w->arena, v->facts, poly_add(w, poly_add(w, poly_of(w, s->by), poly_sym(w, s->s), -1), poly_const(1), -1));
    access(v, from, false);
    v->facts.n = facts;
    v->times = times;
    w->level--;
}

static void mma(Verify *v, const TileStmt *s) {
    warp_tile(v, &s->a, DT_F32, 8);
    warp_tile(v, &s->lo->a, DT_U32, 4);
    warp_tile(v, &s->hi->a, DT_U32, 4);
    warp_cost(v, s, 0);
}

static void ldmatrix(Verify *v, const TileStmt *s) {
    const TileAccess *a = &s->e->a;
    int columns = TILE_ROW / dtype_bytes(s->d);
    warp_tile(v, &s->a, DT_U32, 4);
    if (s->d != a->s->d && a->s->d != DT_F32) walk_fail(v->w, "a fragment is rounded from f32");
    matrix_inside(v, s, a, s->across ? columns : TILE_BLOCK, s->across ? TILE_BLOCK : columns);
}

static void weigh(Verify *v, const TileStmt *s) {
    const TileAccess *a = &s->e->a;
    warp_tile(v, &s->a, DT_F32, 8);
    if (!is_temporary(a) || a->lane_dim >= 0 || a->s->d != DT_F32) walk_fail(v->w, "sums are weighed by f32 of a temporary buffer");
    TileExpr last = {.k = TE_NUMBER, .number = TILE_BLOCK - 1, .whole = TILE_BLOCK - 1};
    TileExpr sum = {.k = TE_OP, .op = TO_ADD, .x = {a->ix[a->n - 1], &last}};
    TileAccess end = *a;
    end.ix[a->n - 1] = &sum;
    stays_inside(v, a, 1);
    stays_inside(v, &end, 1);
    warp_cost(v, s, TILE_BLOCK * dtype_bytes(a->s->d));
}

/* ------------------------------------------------------------------ groups */

/* Its sums: R x C x 8 registers. */
static const TileSym *group_tile(Verify *v, const TileAccess *a) {
    const TileSym *t = a->s;
    int count;
    reg_at(v->w, a, &count);
    bool fits = t->type.n == TILE_GROUP && t->nd == 3 && count == t->nr && t->dim[0] <= 2 && t->dim[2] == 8 && (t->dim[1] == 4 || t->dim[1] == 8);
    if (!fits) walk_fail(v->w, "%s is not R x 4 x 8 or R x 8 x 8 of f32x%d, R = 1 or 2", t->name, TILE_GROUP);
    return t;
}

/* n squares of a factor, one behind the other. */
static void factor(Verify *v, const TileAccess *a, DType d, int n) {
    TileWalk *w = v->w;
    if (!a->s->swizzled || a->s->d != d) walk_fail(w, "a factor is squares of %s, in a swizzled buffer", dtype_name(d));
    if (!is_number(w, a->ix[a->n - 1], 0) || !is_number(w, a->ix[a->n - 2], 0)) walk_fail(w, "a factor begins with a square");
    TileAccess end = *a;
    TileExpr last = {.k = TE_NUMBER, .number = n - 1, .whole = n - 1}, sum = {.k = TE_OP, .op = TO_ADD, .x = {a->ix[a->n - 3], &last}};
    end.ix[a->n - 3] = &sum;
    stays_inside(v, a, 1);
    stays_inside(v, &end, 1);
}

/* The units read both factors for each 64 rows. */
static void multiply(Verify *v, const TileStmt *s) {
    const TileSym *t = group_tile(v, &s->a);
    factor(v, &s->lo->a, s->d, t->dim[0]);
    factor(v, &s->hi->a, s->d, t->dim[1] / 4);
    warp_cost(v, s, 2.0 * TILE_SQUARE * t->dim[0] * (TILE_SQUARE + TILE_BLOCK * t->dim[1]));
}

static void group_put(Verify *v, const TileStmt *s) {
    const TileSym *t = group_tile(v, &s->e->a);
    if (s->a.s->d != DT_F32) walk_fail(v->w, "sums are f32");
    matrix_inside(v, s, &s->a, TILE_SQUARE * t->dim[0], TILE_BLOCK * t->dim[1]);
}

/* In a kernel of groups, and in none: false if it is for both. */
static bool group_statement(Verify *v, const TileStmt *s) {
    bool group = v->w->k->group, of_group = s->k == TK_MULTIPLY || s->k == TK_FINISH;
    if (of_group && !group) walk_fail(v->w, "this wants a kernel of groups");
    if (!group) return false;
    if (s->k == TK_LDMATRIX || s->k == TK_MMA || s->k == TK_WEIGH) walk_fail(v->w, "a group has no fragments: it multiplies squares");
    if (v->sharing) walk_fail(v->w, "all warps of a group do this, and no one of them alone");
    if (s->k == TK_MULTIPLY) multiply(v, s);
    if (s->k == TK_PUT) group_put(v, s);
    return of_group || s->k == TK_PUT;
}

static void warp_statement(Verify *v, const TileStmt *s) {
    if (v->target->lanes != 32) walk_fail(v->w, "%s has no warps", v->target->name);
    if (group_statement(v, s)) return;
    switch (s->k) {
    case TK_COPY: copy_statement(v, s); break;
    case TK_WAIT:
        if (expr_const(v->w, s->e) < 0) walk_fail(v->w, "wait for all but fewer than none");
        break;
    case TK_LDMATRIX: ldmatrix(v, s); break;
    case TK_MMA: mma(v, s); break;
    case TK_PUT:
        warp_tile(v, &s->e->a, DT_F32, 8);
        if (s->a.s->d != DT_F32) walk_fail(v->w, "sums are f32");
        matrix_inside(v, s, &s->a, TILE_BLOCK, TILE_BLOCK);
        break;
    case TK_WEIGH: weigh(v, s); break;
    default: break;
    }
}

static void block(Verify *v, const TileStmt *s) {
    TileWalk *w = v->w;
    const TileStmt *first = s;
    int live = v->live, lets = v->lets, level = w->level;
    int64_t scratch = v->scratch, stack = v->stack;
    for (; s; s = s->next) {
        w->line = s->line;
        switch (s->k) {
        case TK_PARALLEL:
        case TK_FOR: loop(v, s); break;
        case TK_UNROLL: unroll(v, s); break;
        case TK_REG: reg_statement(v, s); break;
        case TK_LET: let_statement(v, s, lets); break;
        case TK_SET: set_statement(v, s); break;
        case TK_STORE: store_statement(v, s); break;
        case TK_BUF: temporary(v, s); break;
        case TK_CONST:
            s->s->value = expr_const(w, s->e);
            s->s->known = true;
            break;
        case TK_INDEX: index_statement(v, s); break;
        case TK_IF: if_statement(v, s); break;
        case TK_TRANSPOSE:
            reg_declare(w, s->s);
            if (s->s->nr != s->s->type.n) walk_fail(w, "transpose of %d vectors of %d lanes", s->s->nr, s->s->type.n);
            if (s->s->nr & (s->s->nr - 1)) walk_fail(w, "transpose wants a power of two");
            break;
        case TK_PREFETCH: stays_inside(v, &s->a, 1); break;
        case TK_COPY:
        case TK_COMMIT:
        case TK_WAIT:
        case TK_LDMATRIX:
        case TK_MMA:
        case TK_PUT:
        case TK_WEIGH:
        case TK_MULTIPLY:
        case TK_FINISH: warp_statement(v, s); break;
        }
    }
    for (s = first; s; s = s->next)
        if (s->k == TK_REG) s->s->nr = 0;
    v->live = live;
    v->lets = lets;
    v->scratch = scratch;
    v->stack = stack;
    w->level = level;
}

/* parallel loops stand only in the nest at the top */
static void no_parallel(TileWalk *w, const TileStmt *s) {
    for (; s; s = s->next) {
        w->line = s->line;
        if (s->k == TK_PARALLEL) walk_fail(w, "a parallel loop inside other statements");
        no_parallel(w, s->body);
    }
}

static void visit(Verify *v, TileKernel *k) {
    TileWalk *w = v->w;
    TileNest nest = tile_nest(w, k);
    for (int i = 0; i < nest.n; i++) {
        int64_t divisor;
        w->line = nest.loop[i]->line;
        nest_trip(w, nest.loop[i], &divisor);
    }
    const TileStmt *body = nest.n ? nest.loop[nest.n - 1]->body : k->body;
    no_parallel(w, body);
    for (int i = -1; i < nest.n - 1; i++)
        for (const TileStmt *s = i < 0 ? k->body : nest.loop[i]->body; s; s = s->next)
            if (s != nest.loop[i + 1]) no_parallel(w, s->body);
    w->line = 0;
    for (int i = 0; i < k->args.n; i++) {
        const TileSym *s = k->args.at[i];
        if (s->k == TS_BUF) {
            for (int d = 0; d < s->nd; d++) buffer_stride(w, s, d), poly_of(w, s->hi[d]);
            check_strides(v, s);
        }
    }
    v->times = 1;
    block(v, k->body);
    check_disjoint(v);
}

void tile_visit(TileWalk *w, TileKernel *k, const TileTarget *t, const TileVisit *visitor) {
    Verify v = {.w = w, .target = t, .visit = visitor};
    visit(&v, k);
}

bool tile_verify(TileKernel *k, const TileTarget *t, int *registers, const char **error) {
    TileWalk w;
    *error = NULL;
    walk_begin(&w, k);
    if (setjmp(w.trap)) {
        *error = w.error;
        walk_end(&w);
        return false;
    }
    Verify *v = NEW(w.arena, Verify);
    v->w = &w;
    v->target = t;
    visit(v, k);
    if (registers) *registers = v->most;
    k->scratch = v->most_scratch;
    w.line = 0;
    if (v->most > 4 * t->registers) walk_fail(&w, "%d vector registers wanted, %s has %d", v->most, t->name, t->registers);
    walk_end(&w);
    return true;
}

int64_t tile_scratch(TileKernel *k) {
    return k->scratch;
}

int64_t tile_count(TileKernel *k, const int64_t *sizes) {
    TileWalk w;
    walk_begin(&w, k);
    if (setjmp(w.trap)) {
        walk_end(&w);
        return 0;
    }
    int64_t count = 1;
    for (int i = 0; i < k->params.n; i++) {
        TileSym *s = k->params.at[i];
        if (s->k != TS_SIZE) continue;
        s->known = true;
        s->value = sizes[s->arg];
    }
    TileNest nest = tile_nest(&w, k);
    for (int i = 0; i < nest.n; i++) {
        int64_t divisor;
        TilePoly n = nest_trip(&w, nest.loop[i], &divisor);
        count *= n.c > 0 ? (n.c + divisor - 1) / divisor : 0;
    }
    walk_end(&w);
    return count;
}
