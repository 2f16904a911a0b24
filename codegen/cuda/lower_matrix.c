/* lower_matrix.c -- what a warp, or a group of four, does as one: copies that happen behind its back, fragments of matrices, their products. Each statement is a
 * call of prelude.cu, which has the instructions. */
#include "codegen/cuda/lower_impl.h"

#include <string.h>

/* p = *step times q, and the rest; the step of an address from one row to the next. */
static TilePoly row_step(Cuda *c, TilePoly *p, TileSym *q) {
    TilePoly step, rest;
    if (!poly_split(&c->w, *p, q, &step, &rest)) walk_fail(&c->w, "rows of a copy are not equally far apart");
    *p = rest;
    return step;
}

/* The lanes of a warp meet, unless they just have. */
static void meet(Cuda *c) {
    static const char sync[] = "nt_sync();\n";
    if (c->body.n < sizeof sync - 1 || strcmp(c->body.at + c->body.n - (sizeof sync - 1), sync)) text_line(&c->body, "nt_sync();");
}

/* What the functions of a buffer's elements are called by. */
static const char *number(const TileSym *s) {
    return s->d == DT_F32 ? "f32" : "u16";
}

/* One thread asks for the square, where maps are there. */
static void bring(Cuda *c, const TileStmt *s, TilePoly to) {
    const char *at;
    int map = cuda_map(c, s, &at);
    c->unmapped = c->unmapped || map < 0;
    if (map < 0) return;
    text_line(&c->body, "if (nt_mapped) nt_bring(%s + %s, nt_device + %d, nt_ring, nt_sent, 32 * nt_own + nt_lane, %s);", c->name[s->a.s->id], cuda_poly(c, to),
              RT_MAP_BYTES * map, at);
}

/* To squares rows of TILE_SQUARE elements are copied, TILE_SQUARE of them: these numbers are no arguments. */
static void copy_statement(Cuda *c, const TileStmt *s) {
    const TileAccess *from = &s->e->a;
    int64_t lo = expr_const(&c->w, s->lo), hi = expr_const(&c->w, s->hi);
    int lanes = access_lanes(&c->w, from);
    s->s->known = false;
    s->s->level = c->levels;
    s->s->lowest = poly_const(lo);
    s->s->highest = poly_const(hi - 1);
    TilePoly to = access_offset(&c->w, &s->a), at = access_offset(&c->w, from);
    TilePoly to_step = row_step(c, &to, s->s), step = row_step(c, &at, s->s);
    to = poly_add(&c->w, to, to_step, lo);
    at = poly_add(&c->w, at, step, lo);
    TilePoly rows = poly_const(hi - lo), columns = poly_const(lanes);
    if (s->by) rows = poly_add(&c->w, poly_of(&c->w, s->by), poly_const(lo), -1);
    if (from->limit) columns = poly_add(&c->w, poly_of(&c->w, from->limit), poly_of(&c->w, from->ix[from->lane_dim]), -1);
    if (s->a.s->swizzled) {
        if (c->by_maps) bring(c, s, to);
        text_line(&c->body, "%snt_copy_square(%s + %s, %s + %s, %s, %s, %s, 32 * nt_own + nt_lane);", c->by_maps ? "else " : "", c->name[s->a.s->id], cuda_poly(c, to), c->name[from->s->id],
                  cuda_poly(c, at), cuda_poly(c, step), cuda_poly(c, rows), cuda_poly(c, columns));
        return;
    }
    if (c->k->group) walk_fail(&c->w, "a group copies to squares");
    meet(c);
    text_line(&c->body, "nt_copy_%s(%s + %s, %s, %s + %s, %s, %lld, %d, %s, %s, nt_lane);", number(from->s), c->name[s->a.s->id], cuda_poly(c, to),
              cuda_poly(c, to_step), c->name[from->s->id], cuda_poly(c, at), cuda_poly(c, step), (long long)(hi - lo), lanes,
              cuda_poly(c, rows), cuda_poly(c, columns));
}

/* "buffer + offset, pitch" */
static const char *matrix(Cuda *c, const TileAccess *a) {
    return arena_printf(c->w.arena, "%s + %s, %s", c->name[a->s->id], cuda_poly(c, access_offset(&c->w, a)),
                        cuda_poly(c, buffer_stride(&c->w, a->s, a->n - 2)));
}

/* The registers that an access without its last index means, each behind `sign`. */
static const char *registers(Cuda *c, const TileAccess *a, const char *sign) {
    int n, begin = reg_at(&c->w, a, &n);
    Text t = {.arena = c->w.arena};
    for (int i = 0; i < n; i++) text_add(&t, "%s%s%s", i ? ", " : "", sign, cuda_element(c, a->s, begin + i));
    return t.at;
}

/* The first square of a factor. */
static const char *squares(Cuda *c, const TileAccess *a) {
    return arena_printf(c->w.arena, "%s + %s", c->name[a->s->id], cuda_poly(c, access_offset(&c->w, a)));
}

void cuda_group_statement(Cuda *c, const TileStmt *s) {
    switch (s->k) {
    case TK_COPY: copy_statement(c, s); break;
    case TK_COMMIT:
        text_line(&c->body, "nt_commit();");
        if (c->by_maps) text_line(&c->body, "nt_sent += nt_send(nt_ring, nt_sent, nt_mapped, 32 * nt_own + nt_lane);");
        break;
    case TK_WAIT: { /* a lane waits for its own copies, hands them on to the units, and then to the others; or for what the units bring themselves */
        long long but = expr_const(&c->w, s->e);
        if (c->by_maps) text_line(&c->body, "nt_seen = nt_receive(nt_ring, nt_seen, nt_sent, %lld);", but);
        text_line(&c->body, "nt_wait(%lld);", but);
        text_line(&c->body, c->by_maps ? "nt_publish_if(!nt_mapped);" : "nt_publish();");
        text_line(&c->body, "nt_sync_group();");
        break;
    }
    case TK_MULTIPLY: {
        const TileSym *t = s->a.s;
        text_line(&c->body, "nt_multiply_%s_%d_%d%d(%s, %d, %s, %s, nt_lane, nt_own);", dtype_name(s->d), TILE_BLOCK * t->dim[1], s->across, s->across_b,
                  c->name[t->id], t->dim[0], squares(c, &s->lo->a), squares(c, &s->hi->a));
        break;
    }
    case TK_FINISH: text_line(&c->body, "nt_finish();"); break;
    case TK_PUT: {
        const TileSym *t = s->e->a.s;
        text_line(&c->body, "nt_sync_group();");
        text_line(&c->body, "nt_put_group(%s, %s, %d, %d, nt_lane, nt_own);", matrix(c, &s->a), c->name[t->id], t->dim[0], t->dim[1]);
        text_line(&c->body, "nt_sync_group();");
        break;
    }
    default: walk_fail(&c->w, "no statement of a group");
    }
}

void cuda_warp_statement(Cuda *c, const TileStmt *s) {
    switch (s->k) {
    case TK_COPY: copy_statement(c, s); break;
    case TK_COMMIT: text_line(&c->body, "nt_commit();"); break;
    case TK_WAIT:
        text_line(&c->body, "nt_wait(%lld);", (long long)expr_const(&c->w, s->e));
        text_line(&c->body, "nt_sync();");
        break;
    case TK_LDMATRIX: {
        const char *kind = s->d != s->e->a.s->d ? arena_printf(c->w.arena, "%s_of_f32", dtype_name(s->d)) : number(s->e->a.s);
        text_line(&c->body, "nt_fragment%s_%s(%s, %s, nt_lane);", s->across ? "_across" : "", kind, registers(c, &s->a, "&"), matrix(c, &s->e->a));
        break;
    }
    case TK_MMA:
        text_line(&c->body, "nt_product_%s(%s, %s, %s);", tile_mma_name(s->d), registers(c, &s->a, "&"), registers(c, &s->lo->a, ""),
                  registers(c, &s->hi->a, ""));
        break;
    case TK_PUT:
        meet(c);
        text_line(&c->body, "nt_put(%s, %s, nt_lane);", matrix(c, &s->a), registers(c, &s->e->a, ""));
        text_line(&c->body, "nt_sync();");
        break;
    case TK_WEIGH:
        text_line(&c->body, "nt_weigh(%s, %s + %s, nt_lane);", registers(c, &s->a, "&"), c->name[s->e->a.s->id], cuda_poly(c, access_offset(&c->w, &s->e->a)));
        break;
    default: walk_fail(&c->w, "no statement of a warp");
    }
}
