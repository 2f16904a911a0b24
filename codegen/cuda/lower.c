/* lower.c -- statements, loops and the kernel around them; codegen/cpu/lower.c, whose order of things this file keeps, says why
 * loops come in parts. Register tiles are variables, unrolled loops disappear, other loops stay loops. */
#include "codegen/cuda/lower_impl.h"

#include "ir/embed.h"

#include <string.h>

enum { SWIZZLE = 1024 /* bytes from a multiple of which on places of squares change with them */, RING_BYTES = 8 * TILE_AHEAD };

static void block(Cuda *c, const TileStmt *s);

const char *cuda_prelude(void) {
    return embedded_cuda[0].text;
}

/* ---- loops --------------------------------------------------------------------------------------------------------------- */

/* What stands in a loop: a block of statements, or what is below a parallel loop. */
typedef struct Body {
    const TileStmt *block;
    const TileNest *nest; /* not NULL: parallel loops depth .. of it */
    int depth;
} Body;

static void nest_body(Cuda *c, const TileNest *n, int depth);

/* The body and its closing brace. */
static void loop_end(Cuda *c, const Body *body) {
    int levels = c->levels;
    if (body->nest) nest_body(c, body->nest, body->depth);
    else block(c, body->block);
    c->levels = levels - 1;
    text_close(&c->body, 1);
}

static void loop_copy(Cuda *c, const TileStmt *s, const TilePart *part, const char *lo, const char *hi, const Body *body) {
    const char *name = c->name[s->s->id];
    loop_range(&c->w, s, part);
    s->s->level = c->levels++;
    text_line(&c->body, "%sfor (nt_i64 %s = %s; %s < %s; %s += %lld) {", c->room && !c->sharing ? "NT_ROLLED " : "", name, lo, name, hi, name, (long long)part->tile);
    loop_end(c, body);
}

/* A part that runs once: the symbol is a value, or known. */
static void run_once(Cuda *c, const TileStmt *s, const TilePart *part, TilePoly at, const char *text, const Body *body) {
    loop_range(&c->w, s, part);
    text_line(&c->body, "{");
    s->s->known = !text && !at.n;
    s->s->value = at.c;
    if (!s->s->known) {
        s->s->level = c->levels;
        text_line(&c->body, "const nt_i64 %s = %s;", c->name[s->s->id], text ? text : cuda_poly(c, at));
    }
    c->levels++;
    loop_end(c, body);
    s->s->known = false;
}

/* at + (hi - at) / tile * tile; hi where tile is 1. Below `at` when hi is. */
static const char *whole_end(Cuda *c, const char *at, const char *hi, int64_t tile) {
    if (tile == 1) return hi;
    return arena_printf(c->w.arena, "%s + (%s - %s) / %lld * %lld", at, hi, at, (long long)tile, (long long)tile);
}

/* This warp's share of the iterations. */
static void share_loop(Cuda *c, const TileStmt *s, const TilePart *part) {
    const char *name = c->name[s->s->id], *lo = cuda_poly(c, part->lo), *hi = cuda_poly(c, part->hi);
    Body body = {s->body, NULL, 0};
    loop_range(&c->w, s, part);
    s->s->level = c->levels++;
    c->sharing = true;
    text_line(&c->body, "%sfor (nt_i64 %s = %s + nt_own; %s < %s; %s += %d) {", c->room && !c->sharing ? "NT_ROLLED " : "", name, lo, name, hi, name, CUDA_WARPS);
    loop_end(c, &body);
    c->sharing = false;
    s->s->known = false;
}

static void for_loop(Cuda *c, const TileStmt *s) {
    TilePart part[TILE_PARTS];
    int n = loop_parts(&c->w, s, part);
    if (s->share) {
        if (n) share_loop(c, s, part);
        return;
    }
    Body body = {s->body, NULL, 0};
    const char *at = NULL;
    for (int i = 0; i < n; i++) {
        const char *lo = cuda_poly(c, part[i].lo), *hi = cuda_poly(c, part[i].hi);
        if (part[i].trip == 1) {
            run_once(c, s, &part[i], part[i].lo, NULL, &body);
        } else if (!part[i].dynamic || n == 1) {
            loop_copy(c, s, &part[i], lo, part[i].dynamic && !part[i].masked && !s->step ? whole_end(c, lo, hi, part[i].tile) : hi, &body);
        } else {
            if (!at) {
                at = arena_printf(c->w.arena, "nt_t%d", c->temporaries++);
                text_line(&c->body, "nt_i64 %s = %s;", at, lo);
            }
            const char *end = arena_printf(c->w.arena, "nt_t%d", c->temporaries++);
            text_line(&c->body, "const nt_i64 %s = %s;", end, part[i].masked || s->step ? hi : whole_end(c, at, hi, part[i].tile));
            loop_copy(c, s, &part[i], at, end, &body);
            if (i + 1 < n) text_line(&c->body, "%s = %s > %s ? %s : %s;", at, end, at, end, at);
        }
    }
    if (s->tile) s->tile->known = false;
    s->s->known = false;
}

/* ---- the nest ------------------------------------------------------------------------------------------------------------ */

/* The copies of the body for the tile that begins at `at`. */
static void parallel_instances(Cuda *c, const TileStmt *s, const char *at, const Body *body) {
    TilePart part[TILE_PARTS];
    int n = loop_parts(&c->w, s, part);
    if (n == 1) {
        run_once(c, s, &part[0], part[0].lo, part[0].trip == 1 ? NULL : at, body);
    } else if (n > 1) {
        const char *hi = cuda_poly(c, part[0].hi);
        if (part[0].dynamic) text_line(&c->body, "if (%s + %lld <= %s) {", at, (long long)part[0].tile, hi);
        else text_line(&c->body, "if (%s < %s) {", at, hi);
        run_once(c, s, &part[0], part[0].lo, part[0].trip == 1 ? NULL : at, body);
        text_close(&c->body, 1);
        text_line(&c->body, "else {");
        if (!part[1].dynamic || part[1].masked) {
            run_once(c, s, &part[1], part[1].lo, part[1].trip == 1 ? NULL : at, body);
        } else {
            for (int i = 1; i < n; i++) {
                const char *end = arena_printf(c->w.arena, "nt_t%d", c->temporaries++);
                text_line(&c->body, "const nt_i64 %s = %s;", end, whole_end(c, at, hi, part[i].tile));
                loop_copy(c, s, &part[i], at, end, body);
                at = end;
            }
        }
        text_close(&c->body, 1);
    }
    if (s->tile) s->tile->known = false;
    s->s->known = false;
}

static void statement(Cuda *c, const TileStmt *s);

/* Everything below `depth` parallel loops, whose symbols are set. */
static void nest_body(Cuda *c, const TileNest *n, int depth) {
    const TileStmt *below = depth ? n->loop[depth - 1]->body : c->k->body;
    if (depth == n->n) {
        block(c, below);
        return;
    }
    const TileStmt *s = n->loop[depth];
    for (const TileStmt *b = below; b; b = b->next) {
        c->w.line = b->line;
        if (b != s) statement(c, b);
    }
    int64_t tile = loop_tile(&c->w, s);
    TilePoly lo = poly_of(&c->w, s->lo);
    Text at = {.arena = c->w.arena};
    if (tile != 1) text_add(&at, "%lld * ", (long long)tile);
    text_add(&at, "(nt_i64)nt_q%d", depth);
    if (lo.n || lo.c) text_add(&at, " + %s", cuda_poly(c, lo));
    const char *start = arena_printf(c->w.arena, "nt_x%d", depth);
    text_line(&c->body, "const nt_i64 %s = %s;", start, at.at);
    Body body = {s->body, n, depth + 1};
    parallel_instances(c, s, start, &body);
}

/* Iterations of a parallel loop: ceil((hi - lo) / T), at least 0. */
static const char *trip_text(Cuda *c, const TileStmt *s) {
    int64_t tile;
    TilePoly n = nest_trip(&c->w, s, &tile);
    if (!n.n) return arena_printf(c->w.arena, "%lld", (long long)(n.c > 0 ? (n.c + tile - 1) / tile : 0));
    n = poly_add(&c->w, n, poly_const(tile - 1), 1);
    const char *count = cuda_poly(c, n);
    return arena_printf(c->w.arena, "(%s > 0 ? %s / %lld : 0)", count, count, (long long)tile);
}

/* The iterations of the flattened nest that fall to this warp, or group: no warp of that begins one before the others have ended the last. Their number fits 31 bits (rt_device_run refuses more): dividing
 * 64 bits is a call of a function on a device. */
static void nest(Cuda *c) {
    TileNest n = tile_nest(&c->w, c->k);
    Text product = {.arena = c->w.arena};
    for (int i = 0; i < n.n; i++) {
        text_line(&c->body, "const unsigned nt_n%d = (unsigned)%s;", i, trip_text(c, n.loop[i]));
        text_add(&product, "%snt_n%d", i ? " * " : "", i);
    }
    text_line(&c->body, "for (unsigned nt_p = nt_warp; nt_p < %s; nt_p += nt_warps) {", n.n ? product.at : "1");
    const char *left = "nt_p";
    for (int i = n.n - 1; i > 0; i--) {
        text_line(&c->body, "const unsigned nt_q%d = %s %% nt_n%d, nt_r%d = %s / nt_n%d;", i, left, i, i, left, i);
        left = arena_printf(c->w.arena, "nt_r%d", i);
    }
    if (n.n) text_line(&c->body, "const unsigned nt_q0 = %s;", left);
    nest_body(c, &n, 0);
    if (c->by_maps) text_line(&c->body, "nt_publish();"); /* the buffers' memory is the units' again */
    if (c->k->group) text_line(&c->body, "nt_sync_group();");
    text_close(&c->body, 1);
}

/* ---- statements ---------------------------------------------------------------------------------------------------------- */

/* n vectors of n lanes: lane i of vector k becomes lane k of vector i. */
static void transpose(Cuda *c, const TileSym *s) {
    const char *type = cuda_type(s->d), *d = !dtype_is_narrow(s->d) ? dtype_name(s->d) : dtype_bytes(s->d) == 2 ? "u16" : "u8", *lane = cuda_lane(c, s->nr);
    text_line(&c->body, "{");
    for (int i = 0; i < s->nr; i++) {
        text_line(&c->body, "%s nt_v%d = %s;", type, i, cuda_zero(s->d));
        for (int k = 0; k < s->nr; k++) {
            const char *t = arena_printf(c->w.arena, "nt_t%d", c->temporaries++);
            text_line(&c->body, "const %s %s = nt_shuffle_%s(%s, %d);", type, t, d, cuda_element(c, s, k), i);
            text_line(&c->body, "nt_v%d = %s == %d ? %s : nt_v%d;", i, lane, k, t, i);
        }
    }
    for (int i = 0; i < s->nr; i++) text_line(&c->body, "%s = nt_v%d;", cuda_element(c, s, i), i);
    text_close(&c->body, 1);
}

static void reg_statement(Cuda *c, const TileStmt *s) {
    TileSym *y = s->s;
    reg_declare(&c->w, y);
    const char *value = s->e ? cuda_as(c, cuda_expr(c, s->e), y->type) : cuda_zero(y->d);
    if (y->type.n == TILE_GROUP) {
        const char *name = c->name[y->id];
        text_line(&c->body, "%s %s[%d];", cuda_type(y->d), name, y->nr);
        text_line(&c->body, "NT_UNROLLED for (int nt_i = 0; nt_i < %d; nt_i++) %s[nt_i] = %s;", y->nr, name, value);
        return;
    }
    for (int i = 0; i < y->nr; i++) {
        text_line(&c->body, "%s %s = %s;", cuda_type(y->d), cuda_element(c, y, i), i ? cuda_element(c, y, 0) : value);
    }
}

static void buffer_statement(Cuda *c, const TileSym *s) {
    const char *type = cuda_memory(s->d);
    if (s->swizzled) c->used = (c->used + SWIZZLE - 1) / SWIZZLE * SWIZZLE;
    text_line(&c->body, "%s *const %s = (%s *)(nt_memory + %lld);", type, c->name[s->id], type, (long long)c->used);
    c->used += (buffer_bytes(&c->w, s) + 63) / 64 * 64;
    if (c->used > c->most) c->most = c->used;
}

static void store_statement(Cuda *c, const TileStmt *s) {
    const TileAccess *a = &s->a;
    int n = access_lanes(&c->w, a);
    const char *value = cuda_as(c, cuda_expr(c, s->e), (TileType){a->s->d, n});
    const char *to = cuda_place(c, a, n), *inside = cuda_inside(c, a, n), *who = n == 1 ? "nt_lane == 0" : NULL;
    if (n > 1 && n < 32) who = arena_printf(c->w.arena, "nt_lane < %d", n);
    if (who && inside) who = arena_printf(c->w.arena, "%s && %s", who, inside);
    else if (inside) who = inside;
    if (a->s->d == DT_BOOL) value = arena_printf(c->w.arena, "(unsigned char)(%s)", value);
    bool shared = c->shared[a->s->id];
    /* The value is a statement of its own: what it loads is loaded before any lane stores. */
    if (shared) {
        const char *t = arena_printf(c->w.arena, "nt_t%d", c->temporaries++);
        text_line(&c->body, "const %s %s = %s;", cuda_memory(a->s->d), t, value);
        text_line(&c->body, "nt_sync();");
        value = t;
    }
    text_line(&c->body, "%s%s%s%s = %s;", who ? "if (" : "", who ? who : "", who ? ") " : "", to, value);
    if (shared) text_line(&c->body, "nt_sync();");
}

static const char *index_text(Cuda *c, const TileStmt *s) {
    const TileExpr *e = s->e;
    TilePoly a, b;
    if (e->k == TE_OP && (e->op == TO_DIV || e->op == TO_MOD) && poly_try(&c->w, e->x[0], &a) && poly_try(&c->w, e->x[1], &b))
        return arena_printf(c->w.arena, "%s %s %s", cuda_poly(c, a), e->op == TO_DIV ? "/" : "%", cuda_poly(c, b)); /* proven: a >= 0, b > 0 */
    bool clamped = e->k == TE_OP && e->op == TO_CLAMP;
    CudaValue v = cuda_expr(c, clamped ? e->x[0] : e);
    const char *x = v.literal ? cuda_as(c, v, (TileType){DT_I64, 1}) : cuda_cast(c, v.text, v.t.d, DT_I64);
    if (!clamped) return x;
    const char *lo = cuda_poly(c, poly_of(&c->w, s->lo)),
               *last = cuda_poly(c, poly_add(&c->w, poly_of(&c->w, s->hi), poly_const(1), -1));
    return arena_printf(c->w.arena, "nt_min_i64(nt_max_i64(%s, %s), %s)", x, lo, last);
}

static void index_statement(Cuda *c, const TileStmt *s) {
    TilePoly p;
    TileSym *y = s->s;
    bool clamped = s->e->k == TE_OP && s->e->op == TO_CLAMP;
    y->known = false;
    if (!clamped && poly_try(&c->w, s->e, &p) && !p.n) {
        y->known = true;
        y->value = p.c;
        return;
    }
    y->lowest = poly_of(&c->w, s->lo);
    y->highest = poly_add(&c->w, poly_of(&c->w, s->hi), poly_const(1), -1);
    const char *text = index_text(c, s);
    y->level = c->levels++;
    text_line(&c->body, "const nt_i64 %s = %s;", c->name[y->id], text);
}

static void scoped(Cuda *c, const TileStmt *s) {
    int levels = c->levels;
    block(c, s);
    c->levels = levels;
    text_close(&c->body, 1);
}

static void if_statement(Cuda *c, const TileStmt *s) {
    TilePoly fact;
    bool has_fact;
    int known = tile_condition(&c->w, s->e, &fact, &has_fact);
    if (known == 0) return;
    if (known == 1) text_line(&c->body, "{");
    else text_line(&c->body, "if (%s) {", cuda_as(c, cuda_expr(c, s->e), (TileType){DT_BOOL, 1}));
    scoped(c, s->body);
}

static void unroll(Cuda *c, const TileStmt *s) {
    int64_t begin = expr_const(&c->w, s->lo), end = expr_const(&c->w, s->hi);
    for (int64_t i = begin; i < end; i++) {
        s->s->known = true;
        s->s->value = i;
        text_line(&c->body, "{");
        scoped(c, s->body);
    }
    s->s->known = false;
}

static void let_statement(Cuda *c, const TileStmt *s) {
    CudaValue v = cuda_expr(c, s->e);
    TileSym *y = s->s;
    y->type = v.literal ? (TileType){DT_F32, 1} : v.t;
    text_line(&c->body, "const %s %s = %s;", cuda_type(y->type.d), c->name[y->id], cuda_as(c, v, y->type));
}

static void statement(Cuda *c, const TileStmt *s) {
    switch (s->k) {
    case TK_PARALLEL: break; /* nest */
    case TK_PREFETCH: break; /* what it asks for comes when it is loaded */
    case TK_FOR: for_loop(c, s); break;
    case TK_UNROLL: unroll(c, s); break;
    case TK_REG: reg_statement(c, s); break;
    case TK_LET: let_statement(c, s); break;
    case TK_SET: {
        CudaValue v = cuda_expr(c, s->e);
        text_line(&c->body, "%s = %s;", cuda_element(c, s->a.s, reg_at(&c->w, &s->a, NULL)), cuda_as(c, v, s->a.s->type));
        break;
    }
    case TK_STORE: store_statement(c, s); break;
    case TK_BUF: buffer_statement(c, s->s); break;
    case TK_INDEX: index_statement(c, s); break;
    case TK_CONST:
        s->s->value = expr_const(&c->w, s->e);
        s->s->known = true;
        break;
    case TK_IF: if_statement(c, s); break;
    case TK_TRANSPOSE: transpose(c, s->s); break;
    case TK_COPY:
    case TK_COMMIT:
    case TK_WAIT:
    case TK_LDMATRIX:
    case TK_MMA:
    case TK_PUT:
    case TK_WEIGH:
    case TK_MULTIPLY:
    case TK_FINISH:
        c->collective = true;
        if (c->k->group) cuda_group_statement(c, s);
        else cuda_warp_statement(c, s);
        break;
    }
}

static void block(Cuda *c, const TileStmt *s) {
    const TileStmt *first = s;
    int64_t used = c->used;
    for (; s; s = s->next) {
        c->w.line = s->line;
        statement(c, s);
    }
    for (s = first; s; s = s->next)
        if (s->k == TK_REG) s->s->nr = 0;
    c->used = used;
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------------- */

/* Symbols by their names, a number behind those that come up again. */
static void names_make(Cuda *c) {
    TileKernel *k = c->k;
    int most = 0;
    for (int i = 0; i < k->all.n; i++)
        if (k->all.at[i]->id > most) most = k->all.at[i]->id;
    c->name = NEW_ARRAY(c->w.arena, const char *, most + 1);
    c->shared = NEW_ARRAY(c->w.arena, bool, most + 1);
    for (int i = 0; i < k->all.n; i++) {
        TileSym *s = k->all.at[i];
        bool known = false;
        for (int j = 0; j < i && !known; j++) known = !strcmp(k->all.at[j]->name, s->name);
        c->name[s->id] = known ? arena_printf(c->w.arena, "%s_%d", s->name, s->id) : s->name;
        c->shared[s->id] = s->k == TS_BUF && s->space != TILE_ARG;
    }
}

typedef struct Uses {
    bool *loaded, *stored; /* by id */
} Uses;

static void note_use(void *self, const TileAccess *a, bool store, double times) {
    (void)times;
    const Uses *u = self;
    if (a->s->k == TS_BUF) (store ? u->stored : u->loaded)[a->s->id] = true;
}

static void expr_uses(const TileExpr *e, Uses *u) {
    if (!e) return;
    if (e->k == TE_ACCESS) {
        note_use(u, &e->a, false, 1);
        for (int i = 0; i < e->a.n; i++) expr_uses(e->a.ix[i], u);
    }
    for (int i = 0; e->k == TE_OP && i < tile_op_row[e->op].args; i++) expr_uses(e->x[i], u);
}

static void block_uses(const TileStmt *s, Uses *u) {
    for (; s; s = s->next) {
        expr_uses(s->e, u);
        if (s->k == TK_STORE) note_use(u, &s->a, true, 1);
        block_uses(s->body, u);
    }
}

/* Arguments that are loaded and stored, or of which one is loaded and another, in the same memory, is stored. */
static void shared_find(Cuda *c) {
    int most = c->k->all.n ? c->k->all.at[c->k->all.n - 1]->id + 1 : 1;
    for (int i = 0; i < c->k->all.n; i++)
        if (c->k->all.at[i]->id >= most) most = c->k->all.at[i]->id + 1;
    Uses u = {NEW_ARRAY(c->w.arena, bool, most), NEW_ARRAY(c->w.arena, bool, most)};
    bool alias_loaded = false;
    block_uses(c->k->body, &u);
    for (int i = 0; i < c->k->args.n; i++) alias_loaded |= c->k->args.at[i]->alias && u.loaded[c->k->args.at[i]->id];
    for (int i = 0; i < c->k->args.n; i++) {
        const TileSym *s = c->k->args.at[i];
        c->shared[s->id] = u.stored[s->id] && (u.loaded[s->id] || (s->alias && alias_loaded));
    }
}

/* "const float *NT_RESTRICT a0": the type of an argument, and its name. */
static const char *argument_text(Cuda *c, const TileSym *s, bool within) {
    bool writes = s->out || s->inout;
    return arena_printf(c->w.arena, "%s%s *%s%s%s%s", writes ? "" : "const ", cuda_memory(s->d), within ? "const " : "", s->alias ? "" : "NT_RESTRICT ", c->name[s->id],
                        s->k == TS_SCALAR ? "_at" : "");
}

static const char *const ROOM[] = {[CUDA_ANY] = "", [CUDA_FOUR] = "LARGE_", [CUDA_THREE] = "LARGER_", [CUDA_TWO] = "LARGEST_"};

static void signature(Cuda *c, const char *name, Text *out) {
    const TileKernel *k = c->k;
    text_add(out, "NT_%sKERNEL(%s)(", ROOM[c->room], name);
    for (int i = 0; i < k->args.n; i++) text_add(out, "%s, ", argument_text(c, k->args.at[i], false));
    for (int i = 0; i < k->params.n; i++)
        if (k->params.at[i]->k == TS_SIZE) text_add(out, "const nt_i64 %s, ", c->name[k->params.at[i]->id]);
    text_add(out, "char *nt_device) {\n  NT_%s_OF(nt_lane, %snt_warp, nt_warps);\n", k->group ? "GROUP" : "WARP", k->group ? "nt_own, " : "");
}

/* The same of a table of calls: this block's row of it. */
static void signature_table(Cuda *c, const char *name, Text *out) {
    const TileKernel *k = c->k;
    int words = 1 + k->args.n, at = 1;
    for (int i = 0; i < k->params.n; i++) words += k->params.at[i]->k == TS_SIZE;
    text_add(out, "NT_%sKERNEL(%s)(const nt_i64 *nt_table, const nt_i64 nt_rows, char *nt_device) {\n", ROOM[c->room], name);
    text_add(out, "  NT_%s_OF(nt_lane, %snt_all, nt_all_warps);\n", k->group ? "GROUP" : "WARP", k->group ? "nt_own, " : "");
    text_add(out, "  NT_%sROW_OF(nt_row, nt_warp, nt_warps, nt_table, nt_rows, %d);\n", k->group ? "GROUP_" : "", words);
    for (int i = 0; i < k->args.n; i++, at++) {
        const TileSym *s = k->args.at[i];
        text_add(out, "  %s = (%s%s *)nt_row[%d];\n", argument_text(c, s, true), s->out || s->inout ? "" : "const ", cuda_memory(s->d), at);
    }
    for (int i = 0; i < k->params.n; i++)
        if (k->params.at[i]->k == TS_SIZE) text_add(out, "  const nt_i64 %s = nt_row[%d];\n", c->name[k->params.at[i]->id], at++);
}

/* Barriers behind the buffers, and how many groups of copies were sent and have been seen. */
static void ring(Cuda *c, int64_t at, Text *out) {
    text_add(out, "  nt_u64 *const nt_ring = (nt_u64 *)(nt_memory + %lld);\n", (long long)at);
    text_add(out, "  const int nt_mapped = NT_TMA && nt_device;\n");
    text_add(out, "  unsigned nt_sent = 0, nt_seen = 0;\n");
    text_add(out, "  if (nt_mapped) nt_ring_begin(nt_ring, nt_device, %d, 32 * nt_own + nt_lane);\n", c->n_maps);
}

/* False: by_maps is set, and a copy cannot come by one. */
static bool kernel(Cuda *c, const char *name, Text *out, CudaKernel *made) {
    names_make(c);
    shared_find(c);
    c->levels = 1;
    c->body = (Text){.arena = c->w.arena, .indent = 1};
    for (int i = 0; i < c->k->args.n; i++) {
        const TileSym *s = c->k->args.at[i];
        const char *suffix = s->d == DT_BOOL ? " != 0" : "";
        if (s->k == TS_SCALAR) text_line(&c->body, "const %s %s = *%s_at%s;", cuda_type(s->d), c->name[s->id], c->name[s->id], suffix);
    }
    nest(c);
    if (c->by_maps && (c->unmapped || !c->n_maps)) return false;
    int owners = c->k->group ? 1 : CUDA_WARPS; /* of memory of their own in a block's */
    bool fits = c->most * owners <= (c->k->group ? TILE_GROUP_BYTES : CUDA_SHARED_MOST);
    if (c->collective && !fits) walk_fail(&c->w, "%lld bytes of buffers a warp are too many to be shared", (long long)c->most);
    *made = (CudaKernel){.name = name, .memory = fits ? 0 : c->most, .shared = fits ? c->most * owners : 0, .group = c->k->group, .table = c->table};
    int64_t ring_at = made->shared;
    if (c->n_maps) {
        cuda_maps_write(c, made);
        made->shared += RING_BYTES;
    }
    if (c->table) signature_table(c, name, out);
    else signature(c, name, out);
    if (made->shared && c->k->group) {
        text_add(out, "  NT_GROUP_SHARED(nt_memory);\n");
    } else if (made->shared) {
        text_add(out, "  NT_SHARED(nt_block, %lld);\n", (long long)made->shared);
        text_add(out, "  char *const nt_memory = nt_block + (threadIdx.x >> 5) * %lld;\n", (long long)c->most);
    } else if (made->memory) {
        text_add(out, "  char *const nt_memory = nt_device + (nt_i64)%s * %lld;\n", c->table ? "nt_all" : "nt_warp", (long long)c->most);
    }
    if (c->n_maps) ring(c, ring_at, out);
    text_add(out, "%s}\n", c->body.at);
    return true;
}

static bool lower(Cuda *c, const char *name, Text *text, CudaKernel *made, const char **error) {
    *error = NULL;
    walk_begin(&c->w, c->k);
    if (setjmp(c->w.trap)) {
        *error = c->w.error;
        walk_end(&c->w);
        return false;
    }
    bool done = kernel(c, name, text, made);
    walk_end(&c->w);
    return done;
}

bool cuda_lower(TileKernel *k, const char *name, CudaRoom room, bool table, Text *text, CudaKernel *made, const char **error) {
    Cuda by_maps = {.k = k, .room = room, .by_maps = true}, by_lanes = {.k = k, .room = room, .table = table};
    if (k->group && !table && lower(&by_maps, name, text, made, error)) return true;
    return lower(&by_lanes, name, text, made, error);
}
