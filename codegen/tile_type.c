/* tile_type.c -- types of operations. One function says, for all of verifier, interpreter and lowering, what an operation
 * accepts, to which type its operands are brought, and what it gives. A literal takes the type it meets; one lane meets many
 * by splatting. */
#include "codegen/tile_walk.h"

static const char *type_text(TileWalk *w, TileType t) {
    if (t.d == TILE_LITERAL) return "a literal";
    return t.n > 1 ? arena_printf(w->k->arena, "%sx%d", dtype_name(t.d), t.n) : dtype_name(t.d);
}

static bool is_arithmetic(DType d) {
    return d == DT_F32 || d == DT_F64 || d == DT_I64 || d == DT_I32 || d == DT_I16 || d == DT_I8 || d == DT_U32 || d == DT_U8;
}

static bool is_arithmetic_float(DType d) {
    return d == DT_F32 || d == DT_F64;
}

TileType sym_type(const TileSym *s) {
    if (s->k == TS_LET) return s->type;
    if (s->k == TS_SCALAR) return (TileType){s->d, 1};
    return (TileType){DT_I64, 1}; /* constants, sizes, loop symbols, indices */
}

bool type_fits(TileType from, TileType to) {
    return (from.d == to.d || from.d == TILE_LITERAL) && (from.n == 1 || from.n == to.n);
}

/* The common type of arguments begin .. end - 1. Only literals: f32 if one is a fraction, else i64. */
static TileType join(TileWalk *w, const TileExpr *e, const TileType *x, int begin, int end) {
    TileType t = {TILE_LITERAL, 1};
    bool fraction = false;
    for (int i = begin; i < end; i++) {
        if (x[i].d == TILE_LITERAL) {
            fraction |= e->x[i]->k != TE_NUMBER || e->x[i]->fraction;
        } else {
            if (t.d != TILE_LITERAL && t.d != x[i].d)
                walk_fail(w, "%s against %s in %s", type_text(w, t), type_text(w, x[i]), tile_op_row[e->op].name);
            t.d = x[i].d;
        }
        if (x[i].n == 1) continue;
        if (t.n > 1 && t.n != x[i].n) walk_fail(w, "%d lanes against %d in %s", t.n, x[i].n, tile_op_row[e->op].name);
        t.n = x[i].n;
    }
    if (t.d == TILE_LITERAL) t.d = fraction ? DT_F32 : DT_I64;
    else if (fraction && !dtype_is_float(t.d))
        walk_fail(w, "a fraction against %s in %s", type_text(w, t), tile_op_row[e->op].name);
    return t;
}

static void want(TileWalk *w, bool ok, const TileExpr *e, TileType got, const char *wanted) {
    if (!ok) walk_fail(w, "%s wants %s, not %s", tile_op_row[e->op].name, wanted, type_text(w, got));
}

static bool power_of_two(int n) {
    return (n & (n - 1)) == 0;
}

static int count_of(TileWalk *w, const TileExpr *e, int64_t times) {
    int64_t n = expr_const(w, e);
    if (n < 1 || n * times > TILE_LANES) walk_fail(w, "%lld lanes", (long long)(n * times));
    return (int)(n * times);
}

static TileType special(TileWalk *w, const TileExpr *e, const TileType *x, TileType *operand) {
    TileType t;
    *operand = x[0];
    switch (e->op) {
    case TO_SELECT:
        want(w, x[0].d == DT_BOOL, e, x[0], "a bool first");
        t = join(w, e, x, 1, 3);
        if (x[0].n > 1 && t.n > 1 && x[0].n != t.n) walk_fail(w, "%d lanes against %d in select", x[0].n, t.n);
        if (x[0].n > t.n) t.n = x[0].n;
        *operand = t;
        return t;
    case TO_MULHI:
        t = *operand = join(w, e, x, 0, 2);
        want(w, t.d == DT_U32, e, t, "u32");
        return t;
    case TO_SPLAT:
        want(w, x[0].n == 1, e, x[0], "a scalar");
        operand->d = x[0].d == TILE_LITERAL ? DT_F32 : x[0].d;
        return (TileType){operand->d, count_of(w, e->x[1], 1)};
    case TO_REPEAT:
    case TO_STRETCH:
        want(w, x[0].d != TILE_LITERAL && x[0].d != DT_BOOL, e, x[0], "a number with a type");
        return (TileType){x[0].d, count_of(w, e->x[1], x[0].n)};
    case TO_BRAID:
        for (int i = 0; i < 4; i++) {
            want(w, x[i].d != TILE_LITERAL && x[i].d == x[0].d && x[i].n == x[0].n, e, x[i], "four of a type");
            want(w, 4 * x[i].n <= TILE_LANES, e, x[i], "a quarter of the most lanes");
        }
        return (TileType){x[0].d, 4 * x[0].n};
    case TO_LIFT: want(w, x[0].d == DT_I8, e, x[0], "i8"); return (TileType){DT_U8, x[0].n};
    case TO_IOTA: return (TileType){DT_I32, count_of(w, e->x[0], 1)};
    case TO_HADD:
    case TO_HMAX:
    case TO_HMIN:
        want(w, is_arithmetic(x[0].d) && power_of_two(x[0].n), e, x[0], "numbers in a power of two of lanes");
        return (TileType){x[0].d, 1};
    case TO_HARGMAX:
    case TO_HARGMIN:
        want(w, is_arithmetic(x[0].d) && power_of_two(x[0].n), e, x[0], "numbers in a power of two of lanes");
        want(w, x[1].d == DT_I32 && x[1].n == x[0].n, e, x[1], "as many i32 second");
        return (TileType){DT_I32, 1};
    case TO_TILE_ADD:
    case TO_TILE_MAX:
    case TO_TILE_MIN:
        if (e->x[0]->k != TE_ACCESS || e->x[0]->a.s->k != TS_REG)
            walk_fail(w, "%s wants a register tile", tile_op_row[e->op].name);
        want(w, is_arithmetic(x[0].d), e, x[0], "numbers");
        return x[0];
    case TO_HADDS: {
        int n = 0;
        if (e->x[0]->k != TE_ACCESS || e->x[0]->a.s->k != TS_REG) walk_fail(w, "hadds wants a register tile");
        reg_at(w, &e->x[0]->a, &n);
        want(w, is_arithmetic(x[0].d) && power_of_two(x[0].n), e, x[0], "numbers in a power of two of lanes");
        if (!power_of_two(n) || n > TILE_LANES) walk_fail(w, "hadds wants a power of two of vectors, not %d", n);
        return (TileType){x[0].d, n};
    }
    case TO_PHILOX:
        for (int i = 0; i < 4; i++)
            want(w, (x[i].d == DT_U32 || x[i].d == TILE_LITERAL) && x[i].n == 1, e, x[i], "four u32 scalars first");
        want(w, x[4].d == DT_I64 || x[4].d == TILE_LITERAL, e, x[4], "an i64 element");
        want(w, x[4].n == 1, e, x[4], "a scalar element");
        return (TileType){DT_U32, count_of(w, e->x[5], 1)};
    case TO_NORMAL:
    case TO_UNIFORM01: want(w, x[0].d == DT_U32, e, x[0], "u32"); return (TileType){DT_F32, x[0].n};
    case TO_DOTS:
        if (x[0].d == DT_F32 && x[1].d == DT_BF16 && x[2].d == DT_BF16) {
            if (x[1].n != 2 * x[0].n || x[2].n != x[1].n) walk_fail(w, "%d and %d lanes for %d in dots", x[1].n, x[2].n, x[0].n);
            return x[0];
        }
        want(w, x[0].d == DT_I32, e, x[0], "i32 first");
        for (int i = 1; i < 3; i++) {
            want(w, x[i].d == DT_I8 || x[i].d == DT_U8 || x[i].d == DT_I16, e, x[i], "u8, i8 or i16 behind that");
            if (x[i].n != x[1].n || (x[i].n != 2 * x[0].n && x[i].n != 4 * x[0].n))
                walk_fail(w, "%d lanes for %d in dots", x[i].n, x[0].n);
        }
        return x[0];
    case TO_RESCALE:
        want(w, x[0].d == DT_I32 || x[0].d == TILE_LITERAL, e, x[0], "i32 first");
        want(w, x[1].d == DT_F32 || x[1].d == TILE_LITERAL, e, x[1], "f32 second");
        if (x[0].n > 1 && x[1].n > 1 && x[0].n != x[1].n) walk_fail(w, "%d lanes against %d in rescale", x[0].n, x[1].n);
        *operand = (TileType){DT_F32, x[0].n > 1 ? x[0].n : x[1].n};
        return (TileType){DT_I32, operand->n};
    case TO_BLOCKS:
        want(w, x[0].d == DT_I32 && x[0].n == 4, e, x[0], "4 lanes of i32 first");
        for (int i = 1; i < 3; i++) want(w, x[i].d == DT_I8 && x[i].n == 16, e, x[i], "16 lanes of i8 behind that");
        return x[0];
    case TO_CLAMP: walk_fail(w, "clamp stands only in index q = clamp(e) in lo..hi");
    default: walk_fail(w, "no type rule for %s", tile_op_row[e->op].name);
    }
}

TileType tile_type_of(TileWalk *w, const TileExpr *e, const TileType *x, TileType *operand) {
    const TileOpRow *row = &tile_op_row[e->op];
    TileType t;
    static const DType cast[] = {DT_F64, DT_F32, DT_F16, DT_BF16, DT_F8E4M3, DT_F8E5M2, DT_I64, DT_I32, DT_I16, DT_I8, DT_U32, DT_U8, DT_BOOL};
    switch (row->class) {
    case 'A':
        t = *operand = join(w, e, x, 0, row->args);
        want(w, is_arithmetic(t.d), e, t, "numbers (floats of 16 and 8 bits and bool need a cast)");
        return t;
    case 'F':
        t = join(w, e, x, 0, row->args);
        if (t.d == DT_I64 && x[0].d == TILE_LITERAL && row->args == 1) t.d = DT_F32; /* exp(1) */
        *operand = t;
        want(w, is_arithmetic_float(t.d) && (e->op != TO_FMA_EXACT || t.d == DT_F32), e, t,
             e->op == TO_FMA_EXACT ? "f32" : "f32 or f64");
        return t;
    case 'C':
        t = *operand = join(w, e, x, 0, 2);
        want(w, is_arithmetic(t.d) || ((e->op == TO_EQ || e->op == TO_NE) && t.d == DT_BOOL), e, t, "numbers");
        return (TileType){DT_BOOL, t.n};
    case 'L':
        t = *operand = join(w, e, x, 0, row->args);
        want(w, t.d == DT_BOOL || dtype_is_int(t.d), e, t, "bool or integers");
        return t;
    case 'S':
        t = *operand = join(w, e, x, 0, 2);
        want(w, dtype_is_int(t.d), e, t, "integers");
        return t;
    case 'T':
        *operand = x[0];
        if (x[0].d == TILE_LITERAL) operand->d = e->x[0]->k == TE_NUMBER && !e->x[0]->fraction ? DT_I64 : DT_F64;
        return (TileType){cast[e->op - TO_TO_F64], x[0].n};
    default: return special(w, e, x, operand);
    }
}
