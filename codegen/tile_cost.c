/* tile_cost.c -- what a kernel costs: operations and bytes over all instances of its body, times their trip counts, and the
 * footprint of its arguments. Run-time sizes count with given values. Uses the verifier's walk, so it sees exactly what the
 * lowering will emit. */
#include "codegen/tile_walk.h"

typedef struct Costing {
    TileWalk *w;
    const TileTarget *target;
    TileCost cost;
    double *lowest, *highest; /* touched index range of argument a, dimension d: [a * TILE_RANK + d] */
    bool *touched;
} Costing;

static double vectors(const Costing *c, TileType t) {
    int bytes = t.d == TILE_LITERAL ? 4 : dtype_bytes(t.d), width = c->target->lanes * 4;
    int n = (t.n * bytes + width - 1) / width;
    return n < 1 ? 1 : n;
}

static void on_access(void *self, const TileAccess *a, bool store, double times) {
    Costing *c = self;
    TileWalk *w = c->w;
    int lanes = access_lanes(w, a);
    double bytes = (double)lanes * dtype_bytes(a->s->d) * times;
    if (store) c->cost.store_bytes += bytes;
    else c->cost.load_bytes += bytes;
    c->cost.instructions += times * vectors(c, (TileType){a->s->d, lanes});
    if (a->s->space != TILE_ARG) return;
    for (int i = 0; i < a->n; i++) {
        TilePoly low, high, index = poly_of(w, a->ix[i]), extent = poly_of(w, a->s->hi[i]), first = poly_of(w, a->s->lo[i]);
        double from = (double)first.c, to = (double)extent.c;
        if (poly_bound(w, index, -1, -1, &low) && !low.n && (double)low.c > from) from = (double)low.c;
        if (poly_bound(w, index, 1, -1, &high) && !high.n) {
            double end = (double)high.c + (i == a->lane_dim ? lanes : 1);
            if (end < to) to = end;
        }
        double *lowest = &c->lowest[a->s->arg * TILE_RANK + i], *highest = &c->highest[a->s->arg * TILE_RANK + i];
        if (!c->touched[a->s->arg] || from < *lowest) *lowest = from;
        if (!c->touched[a->s->arg] || to > *highest) *highest = to;
    }
    c->touched[a->s->arg] = true;
}

static void on_op(void *self, const TileExpr *e, TileType type, double times) {
    Costing *c = self;
    double lanes = type.n, sums = vectors(c, type);
    int flops = tile_op_row[e->op].flops;
    if (op_takes_tile(e->op)) {
        int count;
        reg_at(c->w, &e->x[0]->a, &count);
        if (e->op == TO_HADDS) sums = 3 * count; /* two shuffles and an addition for each pair */
        else lanes *= count;
    }
    c->cost.flops += times * lanes * flops;
    if (flops > 10) c->cost.special += times * lanes;
    c->cost.instructions += times * sums * (flops > 1 && e->op != TO_FMA ? flops : 1);
}

/* A fragment of f32 is rounded, and across it is loaded number by number; to two bytes, if not across, by pairs. */
static double fragment_instructions(const TileStmt *s) {
    if (s->d != s->e->a.s->d) return s->across ? 12 : 8;
    return s->e->a.s->d != DT_F32 ? 1 : s->across ? 8 : 5;
}

/* Of the statements of a warp: mma is two; what 16 bytes a lane copy wants its addresses computed, and a limit looked at. */
static double warp_instructions(const TileStmt *s, double bytes) {
    switch (s->k) {
    case TK_MMA: return 2;
    case TK_LDMATRIX: return fragment_instructions(s);
    case TK_PUT: return 8 * bytes / (4 * TILE_BLOCK * TILE_BLOCK);
    case TK_WEIGH: return 2 + 8;
    case TK_MULTIPLY: return TILE_GROUP / 32 * (4 + 4 * s->a.s->dim[0]); /* four for each 64 rows, and what orders them */
    case TK_FINISH: return TILE_GROUP / 32;
    default: return 6 * bytes / (32 * 16);
    }
}

static void on_warp(void *self, const TileStmt *s, double bytes, double times) {
    Costing *c = self;
    double flops = s->k == TK_MMA ? 2.0 * TILE_BLOCK * TILE_BLOCK * (TILE_ROW / dtype_bytes(s->d)) : 0;
    if (s->k == TK_MULTIPLY) flops = 2.0 * TILE_SQUARE * s->a.s->dim[0] * TILE_BLOCK * s->a.s->dim[1] * TILE_SQUARE;
    c->cost.flops += times * flops;
    c->cost.matrix += times * flops;
    if (s->k == TK_MMA && s->d == DT_F32) c->cost.tf32 += times * flops;
    if (s->k == TK_PUT) c->cost.store_bytes += times * bytes;
    else if (s->k == TK_MULTIPLY || s->k == TK_COPY) c->cost.unit_bytes += times * bytes;
    else c->cost.load_bytes += times * bytes;
    if (s->k == TK_WEIGH) c->cost.flops += times * TILE_BLOCK * TILE_BLOCK;
    c->cost.instructions += times * warp_instructions(s, bytes);
    if (s->k == TK_COPY) c->cost.copies += times * warp_instructions(s, bytes);
}

TileCost tile_cost(TileKernel *k, const TileTarget *t, const int64_t *sizes) {
    TileWalk w;
    walk_begin(&w, k);
    if (setjmp(w.trap)) {
        walk_end(&w);
        return (TileCost){0};
    }
    for (int i = 0; i < k->params.n; i++) {
        TileSym *s = k->params.at[i];
        if (s->k != TS_SIZE) continue;
        s->known = true;
        s->value = sizes ? sizes[s->arg] : s->max >= 0 && s->max < 64 ? s->max : s->min > 64 ? s->min : 64;
    }
    int n = k->args.n;
    Costing *c = NEW(w.arena, Costing);
    c->w = &w;
    c->target = t;
    c->lowest = NEW_ARRAY(w.arena, double, n *TILE_RANK);
    c->highest = NEW_ARRAY(w.arena, double, n *TILE_RANK);
    c->touched = NEW_ARRAY(w.arena, bool, n);
    TileVisit visit = {c, on_access, on_op, on_warp};
    tile_visit(&w, k, t, &visit);
    for (int i = 0; i < n; i++) {
        const TileSym *s = k->args.at[i];
        double bytes = c->touched[i] ? dtype_bytes(s->d) : 0;
        for (int d = 0; d < s->nd && c->touched[i]; d++) bytes *= c->highest[i * TILE_RANK + d] - c->lowest[i * TILE_RANK + d];
        if (s->out) c->cost.out_bytes += bytes;
        if (!s->out || s->inout) c->cost.in_bytes += bytes;
    }
    TileCost cost = c->cost;
    walk_end(&w);
    return cost;
}
