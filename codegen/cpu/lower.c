/* lower.c -- mechanical lowering of a verified tile kernel to LLVM IR. Register tiles become SSA values and phis (every tile
 * set in a loop body and alive before it is a phi, nothing else), unrolled loops disappear, rests are further copies of the
 * body, a loop with one iteration vanishes. No LLVM pass is needed afterwards.
 *
 * The nest of parallel loops is one loop over p0..p1. With one parallel loop its symbol runs directly; with several, each
 * iteration splits its number by division. Where a parallel loop has a rest, a branch in the body picks the copy. */
#include "codegen/cpu/lower_impl.h"

#include <string.h>

static void block(Lower *L, const TileStmt *s);

/* ------------------------------------------------------------------ blocks */

static Block new_block(Lower *L, const char *name) {
    return LLVMAppendBasicBlockInContext(L->c, L->fn, name);
}
static void go_to(Lower *L, Block b) {
    LLVMPositionBuilderAtEnd(L->b, b);
}
static Block here(Lower *L) {
    return LLVMGetInsertBlock(L->b);
}

/* Body of a branch or loop copy: what it pushed is popped at its end. */
static void scoped_block(Lower *L, const TileStmt *s) {
    int levels = L->levels.n;
    block(L, s);
    level_pop_to(L, levels);
}

/* The elements of all register tiles that a body sets and that are alive before it. */
typedef struct Carried {
    int n_tiles, n;
    TileSym **tile;
    V *before;
} Carried;

static Carried carried_into(Lower *L, const TileStmt *body) {
    Carried c = {0};
    int most = tiles_of(L->k);
    TileSym **set = NEW_ARRAY(L->w.arena, TileSym *, most);
    int n = tiles_set(body, set, 0, most);
    c.tile = NEW_ARRAY(L->w.arena, TileSym *, n);
    for (int i = 0; i < n; i++)
        if (set[i]->nr) {
            c.tile[c.n_tiles++] = set[i];
            c.n += set[i]->nr;
        }
    c.before = NEW_ARRAY(L->w.arena, V, c.n);
    for (int i = 0, at = 0; i < c.n_tiles; i++)
        for (int j = 0; j < c.tile[i]->nr; j++) c.before[at++] = c.tile[i]->r[j];
    return c;
}

static V *elements_now(Lower *L, const Carried *c) {
    V *now = NEW_ARRAY(L->w.arena, V, c->n);
    for (int i = 0, at = 0; i < c->n_tiles; i++)
        for (int j = 0; j < c->tile[i]->nr; j++) now[at++] = c->tile[i]->r[j];
    return now;
}

static void set_elements(const Carried *c, V *v) {
    for (int i = 0, at = 0; i < c->n_tiles; i++)
        for (int j = 0; j < c->tile[i]->nr; j++) c->tile[i]->r[j] = v[at++];
}

/* At a join: each element is `v` when coming from block `from`, else what it was before. */
static void merge_elements(Lower *L, const Carried *c, Block from, V *v, Block before) {
    V *phi = NEW_ARRAY(L->w.arena, V, c->n);
    for (int i = 0; i < c->n; i++) {
        phi[i] = LLVMBuildPhi(L->b, LLVMTypeOf(c->before[i]), "");
        LLVMAddIncoming(phi[i], &v[i], &from, 1);
        LLVMAddIncoming(phi[i], &c->before[i], &before, 1);
    }
    set_elements(c, phi);
}

/* ------------------------------------------------------------------ loops */

/* What stands in a loop: a block of statements, or what is below a parallel loop. */
typedef struct Body {
    const TileStmt *block;
    const TileNest *nest; /* not NULL: parallel loops depth .. of it, with these iteration numbers */
    int depth;
    V *q;
} Body;

static void nest_body(Lower *L, const TileNest *n, int depth, V *q);

static void emit_body(Lower *L, const Body *body) {
    int levels = L->levels.n;
    if (body->nest) nest_body(L, body->nest, body->depth, body->q);
    else block(L, body->block);
    level_pop_to(L, levels);
}

static void symbol_at(Lower *L, TileSym *s, V v) {
    s->known = LLVMIsAConstantInt(v) != NULL;
    if (s->known) {
        s->value = LLVMConstIntGetSExtValue(v);
        return;
    }
    s->v = v;
    s->level = L->levels.n;
    level_push_here(L, v);
}

/* One copy of a body over start .. end - 1, tested at the bottom; guard: it may have no iteration at all. */
static void loop_copy(Lower *L, const TileStmt *s, const TilePart *part, V start, V end, bool guard, const Body *body) {
    Carried c = carried_into(L, body->block);
    Block before = here(L), join = NULL;
    if (guard) {
        Block go = new_block(L, "go");
        join = new_block(L, "join");
        LLVMBuildCondBr(L->b, l_icmp(L, LLVMIntSLT, start, end), go, join);
        go_to(L, go);
    }
    Block from = here(L), loop = new_block(L, s->s->name), done = new_block(L, "done");
    LLVMBuildBr(L->b, loop);
    go_to(L, loop);
    V symbol = LLVMBuildPhi(L->b, L->i64, s->s->name), last = symbol, *phi = NEW_ARRAY(L->w.arena, V, c.n);
    LLVMAddIncoming(symbol, &start, &from, 1);
    for (int i = 0; i < c.n; i++) {
        last = phi[i] = LLVMBuildPhi(L->b, LLVMTypeOf(c.before[i]), "");
        LLVMAddIncoming(phi[i], &c.before[i], &from, 1);
    }
    set_elements(&c, phi);
    int levels = L->levels.n;
    loop_range(&L->w, s, part);
    s->s->v = symbol;
    s->s->level = levels;
    level_push(L, last);
    emit_body(L, body);
    level_pop_to(L, levels);
    Block latch = here(L);
    V next = LLVMBuildNSWAdd(L->b, symbol, lower_i64(L, part->tile), ""), *after = elements_now(L, &c);
    LLVMAddIncoming(symbol, &next, &latch, 1);
    for (int i = 0; i < c.n; i++) LLVMAddIncoming(phi[i], &after[i], &latch, 1);
    LLVMBuildCondBr(L->b, l_icmp(L, LLVMIntSLT, next, end), loop, done);
    go_to(L, done);
    if (!guard) return;
    LLVMBuildBr(L->b, join);
    go_to(L, join);
    merge_elements(L, &c, done, after, before);
}

/* start + (hi - start) / tile * tile; hi where tile is 1. Below start when hi is. */
static V whole_end(Lower *L, V start, V hi, int64_t tile) {
    if (tile == 1) return hi;
    V q = LLVMBuildSDiv(L->b, l_sub(L, hi, start), lower_i64(L, tile), "");
    return l_add(L, start, l_mul(L, q, lower_i64(L, tile)));
}

/* A part that runs once: the symbol is a value, or known. */
static void run_once(Lower *L, const TileStmt *s, const TilePart *part, V at, const Body *body) {
    int levels = L->levels.n;
    loop_range(&L->w, s, part);
    symbol_at(L, s->s, at);
    emit_body(L, body);
    level_pop_to(L, levels);
    s->s->known = false;
}

static void for_loop(Lower *L, const TileStmt *s) {
    TilePart part[TILE_PARTS];
    int n = loop_parts(&L->w, s, part);
    Body body = {s->body, NULL, 0, NULL};
    V at = NULL;
    for (int i = 0; i < n; i++) {
        V lo = poly_value(L, part[i].lo), hi = poly_value(L, part[i].hi);
        if (part[i].trip == 1) {
            run_once(L, s, &part[i], lo, &body);
        } else if (!part[i].dynamic) {
            loop_copy(L, s, &part[i], lo, hi, false, &body);
        } else {
            if (!at) at = lo;
            V end = part[i].masked || s->step ? hi : whole_end(L, at, hi, part[i].tile);
            loop_copy(L, s, &part[i], at, end, true, &body);
            /* a negative count rounds toward zero: at stays at or below hi only when it was */
            if (i + 1 < n) at = l_select(L, l_icmp(L, LLVMIntSGT, end, at), end, at);
        }
    }
    if (s->tile) s->tile->known = false;
    s->s->known = false;
}

/* ------------------------------------------------------------------ the nest */

/* Iterations of a parallel loop as a value: ceil((hi - lo) / T), at least 0. */
static V trip_value(Lower *L, const TileStmt *s) {
    int64_t tile;
    TilePoly n = nest_trip(&L->w, s, &tile);
    if (!n.n) return lower_i64(L, n.c > 0 ? (n.c + tile - 1) / tile : 0);
    V count = poly_value(L, poly_add(&L->w, n, poly_const(tile - 1), 1));
    count = l_select(L, l_icmp(L, LLVMIntSGT, count, lower_i64(L, 0)), count, lower_i64(L, 0));
    return tile == 1 ? count : LLVMBuildUDiv(L->b, count, lower_i64(L, tile), "");
}

static void branch_bodies(Lower *L, const TileStmt *s, V condition, const TilePart *part, V at, const Body *body,
                          Block *otherwise, Block *join) {
    Block yes = new_block(L, "whole");
    *otherwise = new_block(L, "rest");
    *join = new_block(L, "next");
    LLVMBuildCondBr(L->b, condition, yes, *otherwise);
    go_to(L, yes);
    run_once(L, s, part, part->trip == 1 ? poly_value(L, part->lo) : at, body);
    LLVMBuildBr(L->b, *join);
    go_to(L, *otherwise);
}

/* The copies of the body for the tile that begins at v. */
static void parallel_instances(Lower *L, const TileStmt *s, V v, const Body *body) {
    TilePart part[TILE_PARTS];
    int n = loop_parts(&L->w, s, part);
    Block otherwise, join;
    if (n == 1) {
        run_once(L, s, &part[0], part[0].trip == 1 ? poly_value(L, part[0].lo) : v, body);
    } else if (n > 1) {
        V whole = part[0].dynamic ? l_icmp(L, LLVMIntSLE, l_add(L, v, lower_i64(L, part[0].tile)), poly_value(L, part[0].hi))
                                  : l_icmp(L, LLVMIntSLT, v, poly_value(L, part[0].hi));
        branch_bodies(L, s, whole, &part[0], v, body, &otherwise, &join);
        if (!part[1].dynamic || part[1].masked) {
            run_once(L, s, &part[1], part[1].trip == 1 ? poly_value(L, part[1].lo) : v, body);
        } else {
            V at = v, hi = poly_value(L, part[0].hi);
            for (int i = 1; i < n; i++) {
                V end = whole_end(L, at, hi, part[i].tile);
                loop_copy(L, s, &part[i], at, end, true, body);
                at = end;
            }
        }
        LLVMBuildBr(L->b, join);
        go_to(L, join);
    }
    if (s->tile) s->tile->known = false;
    s->s->known = false;
}

static void statement(Lower *L, const TileStmt *s);

/* Everything below `depth` parallel loops, whose symbols are set. q: iteration numbers of the loops. */
static void nest_body(Lower *L, const TileNest *n, int depth, V *q) {
    const TileStmt *below = depth ? n->loop[depth - 1]->body : L->k->body;
    if (depth == n->n) {
        block(L, below);
        return;
    }
    const TileStmt *s = n->loop[depth];
    for (const TileStmt *b = below; b; b = b->next) {
        L->w.line = b->line;
        if (b != s) statement(L, b);
    }
    V v = l_add(L, poly_value(L, poly_of(&L->w, s->lo)), l_mul(L, q[depth], lower_i64(L, loop_tile(&L->w, s))));
    Body body = {s->body, n, depth + 1, q};
    parallel_instances(L, s, v, &body);
}

static void nest(Lower *L, const TileNest *n) {
    if (!n->n) {
        Block go = new_block(L, "go"), done = new_block(L, "done");
        LLVMBuildCondBr(L->b, l_icmp(L, LLVMIntSLT, L->p0, L->p1), go, done);
        go_to(L, go);
        scoped_block(L, L->k->body);
        LLVMBuildBr(L->b, done);
        go_to(L, done);
        return;
    }
    V trip[TILE_RANK], q[TILE_RANK];
    for (int i = 0; i < n->n; i++) trip[i] = trip_value(L, n->loop[i]);
    Block before = here(L), go = new_block(L, "parallel"), done = new_block(L, "done");
    LLVMBuildCondBr(L->b, l_icmp(L, LLVMIntSLT, L->p0, L->p1), go, done);
    go_to(L, go);
    V flat = LLVMBuildPhi(L->b, L->i64, "flat"), left = flat;
    LLVMAddIncoming(flat, &L->p0, &before, 1);
    for (int i = n->n - 1; i > 0; i--) {
        bool one = LLVMIsAConstantInt(trip[i]) && LLVMConstIntGetSExtValue(trip[i]) == 1;
        q[i] = one ? lower_i64(L, 0) : LLVMBuildURem(L->b, left, trip[i], "");
        if (!one) left = LLVMBuildUDiv(L->b, left, trip[i], "");
    }
    q[0] = left;
    int levels = L->levels.n;
    nest_body(L, n, 0, q);
    level_pop_to(L, levels);
    Block latch = here(L);
    V next = LLVMBuildNSWAdd(L->b, flat, lower_i64(L, 1), "");
    LLVMAddIncoming(flat, &next, &latch, 1);
    LLVMBuildCondBr(L->b, l_icmp(L, LLVMIntSLT, next, L->p1), go, done);
    go_to(L, done);
}

/* ------------------------------------------------------------------ statements */

/* n vectors of n lanes, a butterfly of shuffles */
static void transpose(Lower *L, TileSym *t) {
    int n = t->nr;
    for (int s = 1; s < n; s *= 2) {
        V out[TILE_LANES];
        for (int i = 0; i < n; i++) {
            if (i & s) continue;
            V a[TILE_LANES], b[TILE_LANES];
            for (int k = 0; k < n; k++) {
                a[k] = lower_i32(L, (k & s) ? n + k - s : k);
                b[k] = lower_i32(L, (k & s) ? n + k : k + s);
            }
            out[i] = LLVMBuildShuffleVector(L->b, t->r[i], t->r[i + s], LLVMConstVector(a, (unsigned)n), "");
            out[i + s] = LLVMBuildShuffleVector(L->b, t->r[i], t->r[i + s], LLVMConstVector(b, (unsigned)n), "");
        }
        for (int i = 0; i < n; i++) t->r[i] = out[i];
    }
}

static void reg_statement(Lower *L, const TileStmt *s) {
    TileSym *y = s->s;
    reg_declare(&L->w, y);
    V init = s->e ? lower_as(L, lower_expr(L, s->e), y->type) : LLVMConstNull(lower_type(L, y->type));
    y->r = NEW_ARRAY(L->w.arena, void *, y->nr);
    for (int i = 0; i < y->nr; i++) y->r[i] = init;
}

static void buffer_statement(Lower *L, TileSym *s) {
    int64_t bytes = (buffer_bytes(&L->w, s) + 63) / 64 * 64;
    Block save = here(L), entry = L->levels.at[0].block;
    V first = LLVMGetFirstInstruction(entry);
    if (first) LLVMPositionBuilderBefore(L->b, first);
    else go_to(L, entry);
    if (s->space == TILE_ARENA) {
        V offset = lower_i64(L, L->scratch_used);
        s->v = L->scratch_used ? LLVMBuildInBoundsGEP2(L->b, L->i8, L->scratch, &offset, 1, "") : L->scratch;
        L->scratch_used += bytes;
    } else {
        s->v = LLVMBuildAlloca(L->b, LLVMArrayType2(L->i8, (uint64_t)bytes), s->name);
        LLVMSetAlignment(s->v, 64);
    }
    Level *level = &L->levels.at[0];
    if (!level->last && LLVMIsAInstruction(s->v)) level->last = s->v; /* what comes later goes behind the buffers' addresses */
    go_to(L, save);
}

static V index_value(Lower *L, const TileStmt *s) {
    TileWalk *w = &L->w;
    const TileExpr *e = s->e;
    TilePoly a, b;
    if (e->k == TE_OP && (e->op == TO_DIV || e->op == TO_MOD) && poly_try(w, e->x[0], &a) && poly_try(w, e->x[1], &b)) {
        V x = poly_value(L, a), y = poly_value(L, b); /* proven not negative, and positive */
        return e->op == TO_DIV ? LLVMBuildUDiv(L->b, x, y, "") : LLVMBuildURem(L->b, x, y, "");
    }
    bool clamped = e->k == TE_OP && e->op == TO_CLAMP;
    Value v = lower_expr(L, clamped ? e->x[0] : e);
    V x = v.literal ? literal_of(L, v.literal, (TileType){DT_I64, 1}) : lower_cast(L, v.v, v.t, DT_I64);
    if (!clamped) return x;
    V lo = poly_value(L, poly_of(w, s->lo)), last = poly_value(L, poly_add(w, poly_of(w, s->hi), poly_const(1), -1));
    x = l_select(L, l_icmp(L, LLVMIntSLT, x, lo), lo, x);
    return l_select(L, l_icmp(L, LLVMIntSGT, x, last), last, x);
}

static void index_statement(Lower *L, const TileStmt *s) {
    TilePoly p;
    TileSym *y = s->s;
    bool clamped = s->e->k == TE_OP && s->e->op == TO_CLAMP;
    y->known = false;
    if (!clamped && poly_try(&L->w, s->e, &p) && !p.n) {
        y->known = true;
        y->value = p.c;
        return;
    }
    y->lowest = poly_of(&L->w, s->lo);
    y->highest = poly_add(&L->w, poly_of(&L->w, s->hi), poly_const(1), -1);
    V v = index_value(L, s);
    y->v = v;
    y->level = L->levels.n;
    level_push_here(L, v);
}

static void if_statement(Lower *L, const TileStmt *s) {
    TilePoly fact;
    bool has_fact;
    int known = tile_condition(&L->w, s->e, &fact, &has_fact);
    if (known == 0) return;
    if (known == 1) {
        scoped_block(L, s->body);
        return;
    }
    Carried c = carried_into(L, s->body);
    V condition_value = lower_as(L, lower_expr(L, s->e), (TileType){DT_BOOL, 1});
    Block before = here(L), then = new_block(L, "then"), join = new_block(L, "fi");
    LLVMBuildCondBr(L->b, condition_value, then, join);
    go_to(L, then);
    scoped_block(L, s->body);
    Block end = here(L);
    V *after = elements_now(L, &c);
    LLVMBuildBr(L->b, join);
    go_to(L, join);
    merge_elements(L, &c, end, after, before);
}

static void unroll(Lower *L, const TileStmt *s) {
    int64_t begin = expr_const(&L->w, s->lo), end = expr_const(&L->w, s->hi);
    for (int64_t i = begin; i < end; i++) {
        s->s->known = true;
        s->s->value = i;
        block(L, s->body);
    }
    s->s->known = false;
}

static void statement(Lower *L, const TileStmt *s) {
    Value v;
    switch (s->k) {
    case TK_PARALLEL: break; /* nest */
    case TK_FOR: for_loop(L, s); break;
    case TK_UNROLL: unroll(L, s); break;
    case TK_REG: reg_statement(L, s); break;
    case TK_LET:
        v = lower_expr(L, s->e);
        s->s->type = v.literal ? (TileType){DT_F32, 1} : v.t;
        s->s->v = lower_as(L, v, s->s->type);
        break;
    case TK_SET: {
        int at = reg_at(&L->w, &s->a, NULL);
        v = lower_expr(L, s->e);
        s->a.s->r[at] = lower_as(L, v, s->a.s->type);
        break;
    }
    case TK_STORE:
        v = lower_expr(L, s->e);
        lower_store(L, &s->a, lower_as(L, v, (TileType){s->a.s->d, access_lanes(&L->w, &s->a)}));
        break;
    case TK_BUF: buffer_statement(L, s->s); break;
    case TK_INDEX: index_statement(L, s); break;
    case TK_CONST:
        s->s->value = expr_const(&L->w, s->e);
        s->s->known = true;
        break;
    case TK_IF: if_statement(L, s); break;
    case TK_TRANSPOSE: transpose(L, s->s); break;
    case TK_PREFETCH: lower_prefetch(L, &s->a, s->second); break;
    case TK_COPY:
    case TK_COMMIT:
    case TK_WAIT:
    case TK_LDMATRIX:
    case TK_MMA:
    case TK_PUT:
    case TK_WEIGH:
    case TK_MULTIPLY:
    case TK_FINISH: walk_fail(&L->w, "a processor has no warps");
    }
}

static void block(Lower *L, const TileStmt *s) {
    const TileStmt *first = s;
    int64_t scratch = L->scratch_used;
    for (; s; s = s->next) {
        L->w.line = s->line;
        statement(L, s);
    }
    for (s = first; s; s = s->next)
        if (s->k == TK_REG) s->s->nr = 0;
    L->scratch_used = scratch;
}

/* ------------------------------------------------------------------ functions */

static void attribute(Lower *L, V fn, const char *name, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(L->c, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

static void enum_attribute(Lower *L, V fn, LLVMAttributeIndex at, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(L->c, kind, 0));
}

static V new_function(Lower *L, const char *name, T type, bool internal) {
    V fn = LLVMAddFunction(L->m, name, type);
    attribute(L, fn, "target-cpu", L->t->cpu);
    attribute(L, fn, "tune-cpu", L->t->tune);
    if (*L->t->features) attribute(L, fn, "target-features", L->t->features);
    if (L->t->avx512) attribute(L, fn, "prefer-vector-width", "512");
    enum_attribute(L, fn, LLVMAttributeFunctionIndex, "nounwind");
    LLVMSetLinkage(fn, internal ? LLVMInternalLinkage : LLVMExternalLinkage);
    if (!internal) LLVMSetVisibility(fn, LLVMHiddenVisibility);
    LLVMSetSection(fn, arena_printf(L->w.arena, ".text.%s", name));
    return fn;
}

/* Scalars travel as in memory; a bool is a byte. */
static V kernel_function(Lower *L, const char *name) {
    TileKernel *k = L->k;
    T *types = NEW_ARRAY(L->w.arena, T, k->args.n + k->sizes + 3);
    int n = 0;
    for (int i = 0; i < k->args.n; i++)
        if (k->args.at[i]->k == TS_BUF) types[n++] = L->ptr;
    for (int i = 0; i < k->args.n; i++)
        if (k->args.at[i]->k == TS_SCALAR) types[n++] = lower_memory(L, k->args.at[i]->d);
    for (int i = 0; i < k->sizes; i++) types[n++] = L->i64;
    types[n++] = L->ptr;
    types[n++] = L->i64;
    types[n++] = L->i64;
    V fn = L->fn = new_function(L, name, LLVMFunctionType(L->none, types, (unsigned)n, 0), true);
    L->levels.n = 0;
    Block entry = new_block(L, "entry"), start = new_block(L, "start");
    go_to(L, entry);
    level_push(L, NULL);
    n = 0;
    for (int i = 0; i < k->args.n; i++) {
        TileSym *s = k->args.at[i];
        if (s->k != TS_BUF) continue;
        if (!s->alias) enum_attribute(L, fn, (LLVMAttributeIndex)(n + 1), "noalias");
        s->v = LLVMGetParam(fn, (unsigned)n++);
    }
    for (int i = 0; i < k->args.n; i++) {
        TileSym *s = k->args.at[i];
        if (s->k != TS_SCALAR) continue;
        V v = LLVMGetParam(fn, (unsigned)n++);
        if (s->d == DT_BOOL) {
            v = l_icmp(L, LLVMIntNE, v, lower_int(L, v, 0));
            L->levels.at[0].last = v;
        }
        s->v = v;
    }
    for (int i = 0; i < k->params.n; i++)
        if (k->params.at[i]->k == TS_SIZE) k->params.at[i]->v = LLVMGetParam(fn, (unsigned)n++);
    enum_attribute(L, fn, (LLVMAttributeIndex)(n + 1), "noalias");
    L->scratch = LLVMGetParam(fn, (unsigned)n++);
    L->p0 = LLVMGetParam(fn, (unsigned)n++);
    L->p1 = LLVMGetParam(fn, (unsigned)n++);
    go_to(L, start);
    TileNest parallel = tile_nest(&L->w, k);
    nest(L, &parallel);
    LLVMBuildRetVoid(L->b);
    go_to(L, entry);
    LLVMBuildBr(L->b, start);
    return fn;
}

/* Element i of an array of pointers, or of sizes. */
static V element_at(Lower *L, T type, V base, int i) {
    V at = lower_i64(L, i);
    return LLVMBuildLoad2(L->b, type, LLVMBuildInBoundsGEP2(L->b, type, base, &at, 1, ""), "");
}

static void thunk_function(Lower *L, const char *name, V callee) {
    TileKernel *k = L->k;
    T types[5] = {L->ptr, L->ptr, L->ptr, L->i64, L->i64};
    V fn = L->fn = new_function(L, arena_printf(L->w.arena, "%s.thunk", name), LLVMFunctionType(L->none, types, 5, 0), false);
    V *x = NEW_ARRAY(L->w.arena, V, k->args.n + k->sizes + 3);
    int n = 0;
    go_to(L, new_block(L, "entry"));
    for (int i = 0; i < k->args.n; i++)
        if (k->args.at[i]->k == TS_BUF) x[n++] = element_at(L, L->ptr, LLVMGetParam(fn, 0), i);
    for (int i = 0; i < k->args.n; i++)
        if (k->args.at[i]->k == TS_SCALAR)
            x[n++] = LLVMBuildLoad2(L->b, lower_memory(L, k->args.at[i]->d), element_at(L, L->ptr, LLVMGetParam(fn, 0), i), "");
    for (int i = 0; i < k->sizes; i++) x[n++] = element_at(L, L->i64, LLVMGetParam(fn, 1), i);
    for (unsigned i = 2; i < 5; i++) x[n++] = LLVMGetParam(fn, i);
    LLVMBuildCall2(L->b, LLVMGlobalGetValueType(callee), callee, x, (unsigned)n, "");
    LLVMBuildRetVoid(L->b);
}

static void count_function(Lower *L, const char *name) {
    TileKernel *k = L->k;
    T types[1] = {L->ptr};
    V fn = L->fn = new_function(L, arena_printf(L->w.arena, "%s.count", name), LLVMFunctionType(L->i64, types, 1, 0), false);
    go_to(L, new_block(L, "entry"));
    for (int i = 0; i < k->params.n; i++)
        if (k->params.at[i]->k == TS_SIZE)
            k->params.at[i]->v = element_at(L, L->i64, LLVMGetParam(fn, 0), k->params.at[i]->arg);
    TileNest parallel = tile_nest(&L->w, k);
    V count = lower_i64(L, 1);
    for (int i = 0; i < parallel.n; i++) count = l_mul(L, count, trip_value(L, parallel.loop[i]));
    LLVMBuildRet(L->b, count);
}

bool tile_lower(TileKernel *k, const TileTarget *t, LLVMModuleRef m, const char *name, const char **error) {
    Lower state = {0}, *L = &state;
    *error = NULL;
    walk_begin(&L->w, k);
    L->k = k;
    L->t = t;
    L->m = m;
    L->c = LLVMGetModuleContext(m);
    L->b = LLVMCreateBuilderInContext(L->c);
    L->f64 = LLVMDoubleTypeInContext(L->c);
    L->f32 = LLVMFloatTypeInContext(L->c);
    L->i64 = LLVMInt64TypeInContext(L->c);
    L->i32 = LLVMInt32TypeInContext(L->c);
    L->i16 = LLVMInt16TypeInContext(L->c);
    L->i8 = LLVMInt8TypeInContext(L->c);
    L->i1 = LLVMInt1TypeInContext(L->c);
    L->ptr = LLVMPointerTypeInContext(L->c, 0);
    L->none = LLVMVoidTypeInContext(L->c);
    if (setjmp(L->w.trap)) {
        *error = L->w.error;
        LLVMDisposeBuilder(L->b);
        walk_end(&L->w);
        return false;
    }
    V fn = kernel_function(L, name);
    thunk_function(L, name, fn);
    count_function(L, name);
    LLVMDisposeBuilder(L->b);
    walk_end(&L->w);
    return true;
}
