/* tile_poly.c -- polynomials in loop symbols and sizes, and what is built on them: bounds, loop parts, addresses, conditions.
 *
 * Everything the verifier proves is of the form p >= 0. Loop symbols are replaced, deepest first, by the end of their range
 * that makes p least (their coefficient must have a proven sign); then p is a polynomial in sizes. A size with a maximum is
 * replaced in the same way; for the others n = min + n' with n' >= 0 is expanded, and p >= 0 is proven when no coefficient
 * is negative. */
#include "codegen/tile_walk.h"

#include <stdarg.h>
#include <string.h>

/* ------------------------------------------------------------------ the walk */

void walk_begin(TileWalk *w, TileKernel *k) {
    memset(w, 0, sizeof *w);
    w->k = k;
    w->arena = arena_new();
    k->walk = w;
    for (int i = 0; i < k->all.n; i++) {
        TileSym *s = k->all.at[i];
        s->known = false;
        s->level = 0;
        s->v = NULL;
        s->r = NULL;
        s->nr = 0;
        s->room = 0;
        s->mark = 0;
        s->type = (TileType){s->d, 1};
    }
    for (int i = 0; i < k->params.n; i++) k->params.at[i]->known = k->params.at[i]->k == TS_CONST;
}

void walk_end(TileWalk *w) {
    arena_free(w->arena);
    w->arena = NULL;
    w->k->walk = NULL;
}

void walk_fail(TileWalk *w, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const char *message = arena_vprintf(w->k->arena, format, ap);
    va_end(ap);
    if (w->line) w->error = arena_printf(w->k->arena, "kernel %s, line %d: %s", w->k->name, w->line, message);
    else w->error = arena_printf(w->k->arena, "kernel %s: %s", w->k->name, message);
    longjmp(w->trap, 1);
}

/* ------------------------------------------------------------------ arithmetic */

int64_t tile_floor_div(int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t tile_floor_mod(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return r && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t checked_add(TileWalk *w, int64_t a, int64_t b) {
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) walk_fail(w, "an index does not fit 64 bits");
    return r;
}

static int64_t checked_mul(TileWalk *w, int64_t a, int64_t b) {
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) walk_fail(w, "an index does not fit 64 bits");
    return r;
}

TilePoly poly_const(int64_t c) {
    return (TilePoly){c, 0, NULL};
}

TilePoly poly_sym(TileWalk *w, TileSym *s) {
    TileTerm *t = NEW(w->arena, TileTerm);
    t->c = 1;
    t->n = 1;
    t->v[0] = s;
    return (TilePoly){0, 1, t};
}

static int term_order(const TileTerm *a, const TileTerm *b) {
    if (a->n != b->n) return a->n - b->n;
    for (int i = 0; i < a->n; i++)
        if (a->v[i] != b->v[i]) return a->v[i]->id - b->v[i]->id;
    return 0;
}

TilePoly poly_add(TileWalk *w, TilePoly a, TilePoly b, int64_t scale) {
    TilePoly r = {checked_add(w, a.c, checked_mul(w, b.c, scale)), 0, NULL};
    if (!b.n) {
        r.n = a.n;
        r.t = a.t;
        return r;
    }
    r.t = NEW_ARRAY(w->arena, TileTerm, a.n + b.n);
    for (int i = 0, j = 0; i < a.n || j < b.n;) {
        int order = i == a.n ? 1 : j == b.n ? -1 : term_order(&a.t[i], &b.t[j]);
        TileTerm t = order <= 0 ? a.t[i] : b.t[j];
        if (order > 0) t.c = checked_mul(w, t.c, scale);
        else if (order == 0) t.c = checked_add(w, t.c, checked_mul(w, b.t[j].c, scale));
        i += order <= 0;
        j += order >= 0;
        if (t.c) r.t[r.n++] = t;
    }
    return r;
}

static TileTerm term_mul(TileWalk *w, const TileTerm *a, const TileTerm *b) {
    TileTerm t = {checked_mul(w, a->c, b->c), 0, {0}};
    if (a->n + b->n > TILE_DEGREE) walk_fail(w, "an index has more than %d factors", TILE_DEGREE);
    for (int i = 0, j = 0; i < a->n || j < b->n;) {
        bool left = j == b->n || (i < a->n && a->v[i]->id <= b->v[j]->id);
        t.v[t.n++] = left ? a->v[i++] : b->v[j++];
    }
    return t;
}

TilePoly poly_mul(TileWalk *w, TilePoly a, TilePoly b) {
    if (!a.n && !b.n) return poly_const(checked_mul(w, a.c, b.c));
    TilePoly r = poly_add(w, poly_const(0), b, a.c);
    for (int i = 0; i < a.n; i++) {
        TilePoly part = {0, 0, NEW_ARRAY(w->arena, TileTerm, b.n + 1)};
        if (b.c) {
            part.t[0] = a.t[i];
            part.t[0].c = checked_mul(w, a.t[i].c, b.c);
            part.n = 1;
        }
        r = poly_add(w, r, part, 1);
        for (int j = 0; j < b.n; j++) {
            TileTerm t = term_mul(w, &a.t[i], &b.t[j]);
            r = poly_add(w, r, (TilePoly){0, 1, &t}, 1);
        }
    }
    return r;
}

bool poly_equal(TilePoly a, TilePoly b) {
    if (a.c != b.c || a.n != b.n) return false;
    for (int i = 0; i < a.n; i++)
        if (a.t[i].c != b.t[i].c || term_order(&a.t[i], &b.t[i]) != 0) return false;
    return true;
}

/* ------------------------------------------------------------------ from expressions */

static bool const_op(const TileExpr *e, const TilePoly *x, int64_t *r) {
    int args = tile_op_row[e->op].args;
    for (int i = 0; i < args; i++)
        if (x[i].n) return false;
    int64_t a = x[0].c, b = args > 1 ? x[1].c : 0;
    switch (e->op) {
    case TO_DIV: *r = tile_floor_div(a, b); return b != 0;
    case TO_MOD: *r = tile_floor_mod(a, b); return b != 0;
    case TO_MIN: *r = a < b ? a : b; return true;
    case TO_MAX: *r = a > b ? a : b; return true;
    case TO_LT: *r = a < b; return true;
    case TO_LE: *r = a <= b; return true;
    case TO_GT: *r = a > b; return true;
    case TO_GE: *r = a >= b; return true;
    case TO_EQ: *r = a == b; return true;
    case TO_NE: *r = a != b; return true;
    case TO_AND: *r = a & b; return true;
    case TO_OR: *r = a | b; return true;
    case TO_SELECT: *r = a ? b : x[2].c; return true;
    default: return false;
    }
}

static bool divisible(TilePoly p, int64_t by, bool with_constant) {
    if (by == 0 || (with_constant && tile_floor_mod(p.c, by) != 0)) return false;
    for (int i = 0; i < p.n; i++)
        if (tile_floor_mod(p.t[i].c, by) != 0) return false;
    return true;
}

static bool op_poly(TileWalk *w, const TileExpr *e, TilePoly *out) {
    TilePoly x[3];
    int args = tile_op_row[e->op].args;
    switch (e->op) {
    case TO_ADD:
    case TO_SUB:
    case TO_MUL:
    case TO_DIV:
    case TO_MOD:
    case TO_NEG:
    case TO_MIN:
    case TO_MAX:
    case TO_LT:
    case TO_LE:
    case TO_GT:
    case TO_GE:
    case TO_EQ:
    case TO_NE:
    case TO_AND:
    case TO_OR:
    case TO_SELECT: break;
    default: return false;
    }
    for (int i = 0; i < args; i++)
        if (!poly_try(w, e->x[i], &x[i])) return false;
    if (e->op == TO_NEG) *out = poly_add(w, poly_const(0), x[0], -1);
    else if (e->op == TO_ADD || e->op == TO_SUB) *out = poly_add(w, x[0], x[1], e->op == TO_ADD ? 1 : -1);
    else if (e->op == TO_MUL) *out = poly_mul(w, x[0], x[1]);
    else if (const_op(e, x, &out->c)) *out = poly_const(out->c);
    else if (e->op == TO_DIV && !x[1].n && divisible(x[0], x[1].c, true)) {
        TilePoly r = {tile_floor_div(x[0].c, x[1].c), x[0].n, NEW_ARRAY(w->arena, TileTerm, x[0].n)};
        for (int i = 0; i < r.n; i++) {
            r.t[i] = x[0].t[i];
            r.t[i].c = tile_floor_div(r.t[i].c, x[1].c);
        }
        *out = r;
    } else if (e->op == TO_MOD && !x[1].n && divisible(x[0], x[1].c, false)) *out = poly_const(tile_floor_mod(x[0].c, x[1].c));
    else return false;
    return true;
}

bool poly_try(TileWalk *w, const TileExpr *e, TilePoly *out) {
    switch (e->k) {
    case TE_NUMBER: *out = poly_const(e->whole); return !e->fraction;
    case TE_SYM:
        if (e->s->known) *out = poly_const(e->s->value);
        else if (e->s->k == TS_SIZE || e->s->k == TS_LOOP || e->s->k == TS_INDEX) *out = poly_sym(w, e->s);
        else return false;
        return true;
    case TE_ACCESS: return false;
    case TE_OP: return op_poly(w, e, out);
    }
    return false;
}

TilePoly poly_of(TileWalk *w, const TileExpr *e) {
    TilePoly p;
    if (!e) return poly_const(0);
    if (!poly_try(w, e, &p)) walk_fail(w, "not a polynomial of loop symbols and sizes: %s", tile_expr_text(w->arena, e));
    return p;
}

int64_t expr_const(TileWalk *w, const TileExpr *e) {
    TilePoly p;
    if (e->k == TE_NUMBER && !e->fraction) return e->whole;
    if (e->k == TE_SYM && e->s->known) return e->s->value;
    if (!poly_try(w, e, &p) || p.n) walk_fail(w, "not a compile-time integer: %s", tile_expr_text(w->arena, e));
    return p.c;
}

/* ------------------------------------------------------------------ bounds */

static int power(const TileTerm *t, const TileSym *s) {
    int n = 0;
    for (int i = 0; i < t->n; i++) n += t->v[i] == s;
    return n;
}

/* p = c * s + r, r without s; c still has it where p has its square. */
static void factor_out(TileWalk *w, TilePoly p, TileSym *s, TilePoly *c, TilePoly *r) {
    *c = poly_const(0);
    *r = poly_const(p.c);
    for (int i = 0; i < p.n; i++) {
        TileTerm t = p.t[i];
        if (power(&t, s) == 0) {
            *r = poly_add(w, *r, (TilePoly){0, 1, &t}, 1);
            continue;
        }
        int kept = 0;
        bool out = false;
        for (int j = 0; j < t.n; j++) {
            if (t.v[j] == s && !out) out = true;
            else t.v[kept++] = t.v[j];
        }
        t.n = kept;
        *c = kept ? poly_add(w, *c, (TilePoly){0, 1, &t}, 1) : poly_add(w, *c, poly_const(t.c), 1);
    }
}

bool poly_split(TileWalk *w, TilePoly p, TileSym *s, TilePoly *c, TilePoly *r) {
    for (int i = 0; i < p.n; i++)
        if (power(&p.t[i], s) > 1) return false;
    factor_out(w, p, s, c, r);
    return true;
}

bool poly_bound(TileWalk *w, TilePoly p, int sign, int keep, TilePoly *out) {
    for (;;) {
        TileSym *deepest = NULL;
        for (int i = 0; i < p.n; i++)
            for (int j = 0; j < p.t[i].n; j++) {
                TileSym *s = p.t[i].v[j];
                if (s->k == TS_SIZE || s->level <= keep) continue;
                if (!deepest || s->level > deepest->level || (s->level == deepest->level && s->id > deepest->id)) deepest = s;
            }
        if (!deepest) {
            *out = p;
            return true;
        }
        TilePoly c, r;
        if (!poly_split(w, p, deepest, &c, &r)) return false;
        bool up = poly_nonneg(w, c);
        if (!up && !poly_nonneg(w, poly_add(w, poly_const(0), c, -1))) return false;
        p = poly_add(w, r, poly_mul(w, c, up == (sign > 0) ? deepest->highest : deepest->lowest), 1);
    }
}

/* Every size n replaced by min + n': the coefficients decide. */
static bool sizes_expanded_nonneg(TileWalk *w, TilePoly p) {
    TilePoly sum = poly_const(p.c);
    for (int i = 0; i < p.n; i++) {
        TilePoly product = poly_const(p.t[i].c);
        for (int j = 0; j < p.t[i].n; j++) {
            TileSym *s = p.t[i].v[j];
            product = poly_mul(w, product, poly_add(w, poly_sym(w, s), poly_const(s->min), 1));
        }
        sum = poly_add(w, sum, product, 1);
    }
    bool ok = sum.c >= 0;
    for (int i = 0; i < sum.n; i++) ok = ok && sum.t[i].c >= 0;
    return ok;
}

static bool sizes_nonneg(TileWalk *w, TilePoly p) {
    if (sizes_expanded_nonneg(w, p)) return true;
    for (int i = 0; i < p.n; i++)
        for (int j = 0; j < p.t[i].n; j++) {
            TileSym *s = p.t[i].v[j];
            TilePoly c, r;
            if (s->max < 0) continue;
            factor_out(w, p, s, &c, &r);
            if (sizes_nonneg(w, poly_add(w, poly_const(0), c, -1))) return sizes_nonneg(w, poly_add(w, r, c, s->max));
        }
    return false;
}

bool poly_nonneg(TileWalk *w, TilePoly p) {
    if (!p.n) return p.c >= 0;
    TilePoly bound;
    return poly_bound(w, p, -1, -1, &bound) && sizes_nonneg(w, bound);
}

bool poly_divisible(TileWalk *w, TilePoly p, int64_t by) {
    for (int i = 0; i < p.n; i++) {
        TileTerm *t = &p.t[i];
        if (t->c % by == 0) continue;
        for (int j = 0; j < t->n; j++) { /* a loop symbol is lowest + a multiple of its step */
            TileSym *s = t->v[j];
            TilePoly c, r;
            if (s->k != TS_LOOP || s->step % by != 0 || !poly_split(w, p, s, &c, &r)) continue;
            return poly_divisible(w, poly_add(w, r, poly_mul(w, c, s->lowest), 1), by);
        }
        return false;
    }
    return p.c % by == 0;
}

/* ------------------------------------------------------------------ loops */

int64_t loop_tile(TileWalk *w, const TileStmt *s) {
    int64_t t = s->by ? expr_const(w, s->by) : 1;
    if (t < 1) walk_fail(w, "a step of %lld", (long long)t);
    return t;
}

static int64_t gcd(int64_t a, int64_t b) {
    return b ? gcd(b, a % b) : a;
}

int loop_parts(TileWalk *w, const TileStmt *s, TilePart *part) {
    TilePoly lo = poly_of(w, s->lo), hi = poly_of(w, s->hi), count = poly_add(w, hi, lo, -1);
    int64_t tile = loop_tile(w, s);
    int n = 0;
    if (s->step) {
        if (!count.n && count.c <= 0) return 0;
        part[0] = (TilePart){lo, hi, tile, false, count.n != 0, count.n ? -1 : tile_floor_div(count.c + tile - 1, tile), tile};
        return 1;
    }
    if (!count.n) {
        if (count.c <= 0) return 0;
        int64_t whole = count.c / tile, rest = count.c % tile;
        TilePoly middle = poly_add(w, lo, poly_const(whole * tile), 1);
        if (whole) part[n++] = (TilePart){lo, middle, tile, false, false, whole, tile};
        if (!rest) return n;
        if (!s->rest && !s->masked)
            walk_fail(w, "%lld iterations by %lld leave a rest: say rest or masked", (long long)count.c, (long long)tile);
        part[n++] = (TilePart){middle, hi, s->masked ? tile : rest, s->masked, false, 1, tile};
        return n;
    }
    part[n++] = (TilePart){lo, hi, tile, false, true, -1, tile};
    if (tile == 1) return n;
    if (s->masked) {
        part[n++] = (TilePart){lo, hi, tile, true, true, -1, tile};
    } else if (s->rest) {
        for (int64_t t = tile, step = tile; t > 1;) {
            t = t > 2 ? (t + 1) / 2 : 1;
            step = gcd(step, t); /* it begins where the larger tiles ended */
            part[n++] = (TilePart){lo, hi, t, false, true, -1, step};
        }
    } else {
        walk_fail(w, "a run-time number of iterations by %lld: say rest or masked", (long long)tile);
    }
    return n;
}

void loop_range(TileWalk *w, const TileStmt *s, const TilePart *part) {
    TileSym *v = s->s;
    if (s->tile) {
        s->tile->known = true;
        s->tile->value = part->tile;
    }
    v->known = false;
    v->step = part->step;
    v->lowest = part->lo;
    v->highest = poly_add(w, part->hi, poly_const(s->step || (part->masked && part->dynamic) ? 1 : part->tile), -1);
    if (part->masked && !part->dynamic) v->highest = part->lo;
    if (s->step && !part->dynamic) v->highest = poly_add(w, part->lo, poly_const((part->trip - 1) * part->tile), 1);
}

TilePoly nest_trip(TileWalk *w, const TileStmt *s, int64_t *divisor) {
    *divisor = loop_tile(w, s);
    TilePoly n = poly_add(w, poly_of(w, s->hi), poly_of(w, s->lo), -1);
    for (int i = 0; i < n.n; i++)
        for (int j = 0; j < n.t[i].n; j++)
            if (n.t[i].v[j]->k != TS_SIZE)
                walk_fail(w, "the number of iterations of the parallel loop %s is not made of sizes", s->s->name);
    return n;
}

/* The parallel loops from the outside in. Outside the innermost there are only constants and indices. */
TileNest tile_nest(TileWalk *w, const TileKernel *k) {
    TileNest nest = {0};
    const TileStmt *block = k->body;
    for (;;) {
        const TileStmt *inner = NULL;
        for (const TileStmt *s = block; s; s = s->next)
            if (s->k == TK_PARALLEL) {
                w->line = s->line;
                if (inner) walk_fail(w, "two parallel loops beside each other");
                inner = s;
            }
        if (!inner) break;
        for (const TileStmt *s = block; s; s = s->next) {
            w->line = s->line;
            if (s != inner && s->k != TK_CONST && s->k != TK_INDEX)
                walk_fail(w, "only const and index may stand beside a parallel loop");
            TilePoly p;
            if (s->k == TK_CONST && poly_try(w, s->e, &p) && !p.n) { /* those made of a T are not known yet */
                s->s->known = true;
                s->s->value = p.c;
            }
        }
        if (nest.n == TILE_RANK) walk_fail(w, "more than %d parallel loops", TILE_RANK);
        nest.loop[nest.n++] = inner;
        block = inner->body;
    }
    w->line = 0;
    return nest;
}

/* ------------------------------------------------------------------ accesses and register tiles */

int access_lanes(TileWalk *w, const TileAccess *a) {
    int64_t n = a->lanes ? expr_const(w, a->lanes) : 1;
    if (n < 1 || n > TILE_LANES) walk_fail(w, "%lld lanes", (long long)n);
    return (int)n;
}

TilePoly buffer_stride(TileWalk *w, const TileSym *s, int dim) {
    if (s->stride[dim]) return poly_of(w, s->stride[dim]);
    TilePoly r = poly_const(1);
    for (int i = dim + 1; i < s->nd; i++) r = poly_mul(w, r, poly_add(w, poly_of(w, s->hi[i]), poly_of(w, s->lo[i]), -1));
    return r;
}

TilePoly access_offset(TileWalk *w, const TileAccess *a) {
    TilePoly o = poly_of(w, a->s->offset);
    for (int i = 0; i < a->n; i++) {
        TilePoly index = poly_add(w, poly_of(w, a->ix[i]), poly_of(w, a->s->lo[i]), -1);
        o = poly_add(w, o, poly_mul(w, index, buffer_stride(w, a->s, i)), 1);
    }
    return o;
}

bool access_needs_mask(TileWalk *w, const TileAccess *a) {
    if (!a->limit) return false;
    TilePoly end = poly_add(w, poly_of(w, a->ix[a->lane_dim]), poly_const(access_lanes(w, a)), 1);
    return !poly_nonneg(w, poly_add(w, poly_of(w, a->limit), end, -1));
}

int64_t buffer_bytes(TileWalk *w, const TileSym *s) {
    int64_t n = dtype_bytes(s->d);
    for (int i = 0; i < s->nd; i++) {
        int64_t extent = expr_const(w, s->hi[i]) - (s->lo[i] ? expr_const(w, s->lo[i]) : 0);
        if (extent < 0) walk_fail(w, "the buffer %s has an extent of %lld", s->name, (long long)extent);
        n = checked_mul(w, n, extent);
    }
    return n;
}

int reg_lanes(TileWalk *w, const TileSym *s) {
    int64_t n = s->lanes ? expr_const(w, s->lanes) : 1;
    bool of_group = n == TILE_GROUP && w->k->group && s->d == DT_F32;
    if ((n < 1 || n > TILE_LANES) && !of_group) walk_fail(w, "%s has %lld lanes", s->name, (long long)n);
    return (int)n;
}

void reg_declare(TileWalk *w, TileSym *s) {
    int64_t n = 1;
    s->type = (TileType){s->d, reg_lanes(w, s)};
    for (int i = 0; i < s->nd; i++) {
        int64_t lo = s->lo[i] ? expr_const(w, s->lo[i]) : 0, d = expr_const(w, s->hi[i]);
        if (lo) walk_fail(w, "the indices of the register tile %s begin at %lld", s->name, (long long)lo);
        if (d < 1 || d > 4096 || n * d > 4096) walk_fail(w, "the register tile %s has no or too many elements", s->name);
        s->dim[i] = (int)d;
        n *= d;
    }
    s->nr = (int)n;
}

bool op_takes_tile(TileOp op) {
    return op == TO_TILE_ADD || op == TO_TILE_MAX || op == TO_TILE_MIN || op == TO_HADDS;
}

int reg_at(TileWalk *w, const TileAccess *a, int *count) {
    int at = 0, left = 1;
    const TileSym *s = a->s;
    if (!s->nr) walk_fail(w, "the register tile %s is not live here", s->name);
    for (int i = 0; i < s->nd; i++) {
        at *= s->dim[i];
        if (i >= a->n) {
            left *= s->dim[i];
            continue;
        }
        int64_t v = expr_const(w, a->ix[i]);
        if (v < 0 || v >= s->dim[i])
            walk_fail(w, "index %d of the register tile %s is %lld, not in 0..%d", i, s->name, (long long)v, s->dim[i]);
        at += (int)v;
    }
    if (count) *count = left;
    else if (left != 1) walk_fail(w, "%s wants %d indices", s->name, s->nd);
    return at;
}

int tiles_of(TileKernel *k) {
    int n = 0;
    for (int i = 0; i < k->all.n; i++) n += k->all.at[i]->k == TS_REG;
    return n;
}

int tiles_set(const TileStmt *body, TileSym **out, int n, int max) {
    for (const TileStmt *s = body; s; s = s->next) {
        TileSym *y = s->k == TK_SET || s->k == TK_LDMATRIX || s->k == TK_MMA || s->k == TK_WEIGH || s->k == TK_MULTIPLY ? s->a.s : s->k == TK_TRANSPOSE ? s->s : NULL;
        bool seen = !y;
        for (int i = 0; i < n && !seen; i++) seen = out[i] == y;
        if (!seen && n < max) out[n++] = y;
        if (s->body) n = tiles_set(s->body, out, n, max);
    }
    return n;
}

/* ------------------------------------------------------------------ conditions */

int tile_condition(TileWalk *w, const TileExpr *e, TilePoly *fact, bool *has_fact) {
    TilePoly a, b, d;
    *has_fact = false;
    if (poly_try(w, e, &d) && !d.n) return d.c != 0;
    if (e->k != TE_OP) return -1;
    if (e->op == TO_AND || e->op == TO_OR) {
        bool ignored;
        int x = tile_condition(w, e->x[0], &a, &ignored), y = tile_condition(w, e->x[1], &b, &ignored),
            decides = e->op == TO_OR;
        if (x == decides || y == decides) return decides;
        return x >= 0 && y >= 0 ? !decides : -1;
    }
    if (e->op == TO_NOT) {
        int x = tile_condition(w, e->x[0], &a, has_fact);
        *has_fact = false;
        return x < 0 ? -1 : !x;
    }
    if (e->op < TO_LT || e->op > TO_EQ || !poly_try(w, e->x[0], &a) || !poly_try(w, e->x[1], &b)) return -1;
    if (e->op == TO_EQ) return -1;
    d = e->op == TO_LT || e->op == TO_LE ? poly_add(w, b, a, -1) : poly_add(w, a, b, -1);
    if (e->op == TO_LT || e->op == TO_GT) d = poly_add(w, d, poly_const(1), -1);
    if (poly_nonneg(w, d)) return 1;
    if (poly_nonneg(w, poly_add(w, poly_const(-1), d, -1))) return 0;
    *fact = d;
    *has_fact = true;
    return -1;
}
