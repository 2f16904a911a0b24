/* lower_expr.c -- expression trees: one LLVM value an operation, types from tile_type_of. */
#include "codegen/cpu/lower_impl.h"

#include <string.h>

static Value typed(V v, DType d, int n) {
    return (Value){v, {d, n}, NULL};
}

V lower_as(Lower *L, Value v, TileType t) {
    if (v.literal) return literal_of(L, v.literal, t);
    return v.t.n == 1 && t.n > 1 ? lower_splat(L, v.v, t.n) : v.v;
}

/* ------------------------------------------------------------------ numbers */

static bool never_nan(V x) {
    if (LLVMIsAConstantFP(x)) {
        LLVMBool lost;
        double c = LLVMConstRealGetDouble(x, &lost);
        return c == c;
    }
    return LLVMIsConstant(x) && lower_lanes(x) > 1 &&
           never_nan(LLVMGetAggregateElement(x, 0)); /* our constant vectors are splats */
}

/* (b > a || b is NaN) ? b : a */
static V extreme(Lower *L, V a, V b, bool larger) {
    LLVMRealPredicate ordered = larger ? LLVMRealOGT : LLVMRealOLT, unordered = larger ? LLVMRealUGT : LLVMRealULT;
    if (never_nan(a)) return l_select(L, l_fcmp(L, unordered, b, a), b, a);
    V m = l_select(L, l_fcmp(L, ordered, b, a), b, a);
    return never_nan(b) ? m : l_select(L, l_fcmp(L, LLVMRealUNO, b, b), b, m);
}

static V int_extreme(Lower *L, V a, V b, bool is_signed, bool larger) {
    LLVMIntPredicate p = larger ? (is_signed ? LLVMIntSGT : LLVMIntUGT) : (is_signed ? LLVMIntSLT : LLVMIntULT);
    return l_select(L, l_icmp(L, p, a, b), a, b);
}

static V any_extreme(Lower *L, V a, V b, DType d, bool larger) {
    return dtype_is_float(d) ? extreme(L, a, b, larger) : int_extreme(L, a, b, dtype_kind(d) == 'i', larger);
}

static V int_least(Lower *L, V x, DType d) {
    return lower_int(L, x, (int64_t)((uint64_t)1 << (dtype_bytes(d) * 8 - 1)));
}

/* Rounded down; by zero 0; the least by -1 wraps. Never traps. */
static V int_divide(Lower *L, V a, V b, DType d, bool want_rest) {
    bool is_signed = dtype_kind(d) == 'i';
    V zero = lower_int(L, a, 0), one = lower_int(L, a, 1), by_zero = l_icmp(L, LLVMIntEQ, b, zero), unsafe = by_zero,
      wraps = NULL;
    if (is_signed) {
        wraps = l_and(L, l_icmp(L, LLVMIntEQ, a, int_least(L, a, d)), l_icmp(L, LLVMIntEQ, b, lower_int(L, b, -1)));
        unsafe = l_or(L, by_zero, wraps);
    }
    V safe = l_select(L, unsafe, one, b);
    V q = is_signed ? LLVMBuildSDiv(L->b, a, safe, "") : LLVMBuildUDiv(L->b, a, safe, "");
    V r = l_sub(L, a, l_mul(L, q, safe));
    if (is_signed) {
        V down = l_and(L, l_icmp(L, LLVMIntNE, r, zero), l_icmp(L, LLVMIntSLT, l_xor(L, r, safe), zero));
        q = l_select(L, down, l_sub(L, q, one), q);
        r = l_select(L, down, l_add(L, r, safe), r);
    }
    return l_select(L, by_zero, zero, want_rest ? r : q); /* least / 1 is the wrapped quotient, its rest 0 */
}

static V float_arithmetic(Lower *L, const TileExpr *e, V a, V b, V c) {
    switch (e->op) {
    case TO_ADD: return l_fadd(L, a, b);
    case TO_SUB: return l_fsub(L, a, b);
    case TO_MUL: return l_fmul(L, a, b);
    case TO_DIV: return l_fdiv(L, a, b);
    case TO_MOD: return l_fsub(L, a, l_fmul(L, math_floor(L, l_fdiv(L, a, b)), b));
    case TO_MIN: return extreme(L, a, b, false);
    case TO_MAX: return extreme(L, a, b, true);
    case TO_MIN_FAST: return l_select(L, l_fcmp(L, LLVMRealOLT, a, b), a, b);
    case TO_MAX_FAST: return l_select(L, l_fcmp(L, LLVMRealOGT, a, b), a, b);
    case TO_POW: return math_pow(L, a, b);
    case TO_ATAN2: return math_atan2(L, a, b);
    case TO_FMA: return math_fma(L, a, b, c);
    case TO_FMA_EXACT: return math_fma_exact(L, a, b, c);
    case TO_NEG: return l_fneg(L, a);
    case TO_ABS: return lower_intrinsic1(L, "llvm.fabs", a);
    case TO_RELU: return l_select(L, l_fcmp(L, LLVMRealOGT, lower_float(L, a, 0), a), lower_float(L, a, 0), a);
    case TO_SIGN: {
        V zero = lower_float(L, a, 0), below = l_select(L, l_fcmp(L, LLVMRealOLT, a, zero), lower_float(L, a, -1), a);
        return l_select(L, l_fcmp(L, LLVMRealOGT, a, zero), lower_float(L, a, 1), below);
    }
    default: return math_op(L, e->op, a);
    }
}

static V int_arithmetic(Lower *L, const TileExpr *e, DType d, V a, V b, V c) {
    bool is_signed = dtype_kind(d) == 'i';
    V zero = lower_int(L, a, 0), width = lower_int(L, a, d == DT_BOOL ? 0 : dtype_bytes(d) * 8 - 1);
    switch (e->op) {
    case TO_ADD: return l_add(L, a, b);
    case TO_SUB: return l_sub(L, a, b);
    case TO_MUL: return l_mul(L, a, b);
    case TO_FMA: return l_add(L, l_mul(L, a, b), c);
    case TO_DIV: return int_divide(L, a, b, d, false);
    case TO_MOD: return int_divide(L, a, b, d, true);
    case TO_MIN:
    case TO_MIN_FAST: return int_extreme(L, a, b, is_signed, false);
    case TO_MAX:
    case TO_MAX_FAST: return int_extreme(L, a, b, is_signed, true);
    case TO_AND: return l_and(L, a, b);
    case TO_OR: return l_or(L, a, b);
    case TO_XOR: return l_xor(L, a, b);
    case TO_NOT: return LLVMBuildNot(L->b, a, "");
    case TO_SHL: return l_shl(L, a, l_and(L, b, width));
    case TO_SHR: return is_signed ? l_ashr(L, a, l_and(L, b, width)) : l_lshr(L, a, l_and(L, b, width));
    case TO_NEG: return l_sub(L, zero, a);
    case TO_ABS: return is_signed ? l_select(L, l_icmp(L, LLVMIntSLT, a, zero), l_sub(L, zero, a), a) : a;
    case TO_SIGN: {
        V one = lower_int(L, a, 1),
          below = is_signed ? l_select(L, l_icmp(L, LLVMIntSLT, a, zero), lower_int(L, a, -1), zero) : zero;
        return l_select(L, l_icmp(L, is_signed ? LLVMIntSGT : LLVMIntUGT, a, zero), one, below);
    }
    case TO_RELU: return is_signed ? l_select(L, l_icmp(L, LLVMIntSGT, a, zero), a, zero) : a;
    default: walk_fail(&L->w, "no integer lowering of %s", tile_op_row[e->op].name);
    }
}

static V comparison(Lower *L, TileOp op, DType d, V a, V b) {
    static const LLVMRealPredicate real[] = {LLVMRealOLT, LLVMRealOLE, LLVMRealOGT, LLVMRealOGE, LLVMRealOEQ, LLVMRealUNE};
    static const LLVMIntPredicate with_sign[] = {LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE, LLVMIntEQ, LLVMIntNE};
    static const LLVMIntPredicate without[] = {LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE, LLVMIntEQ, LLVMIntNE};
    if (dtype_is_float(d)) return l_fcmp(L, real[op - TO_LT], a, b);
    return l_icmp(L, dtype_kind(d) == 'i' ? with_sign[op - TO_LT] : without[op - TO_LT], a, b);
}

/* ------------------------------------------------------------------ across lanes and tiles */

static V fold(Lower *L, TileOp op, DType d, V a, V b) {
    if (op == TO_HADD || op == TO_TILE_ADD) return dtype_is_float(d) ? l_fadd(L, a, b) : l_add(L, a, b);
    return any_extreme(L, a, b, d, op == TO_HMAX || op == TO_TILE_MAX);
}

static V half_of(Lower *L, V x, int begin) {
    V at[TILE_LANES];
    int n = lower_lanes(x) / 2;
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, begin + i);
    return LLVMBuildShuffleVector(L->b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(at, (unsigned)n), "");
}

static V fold_lanes(Lower *L, TileOp op, DType d, V x) {
    for (int n = lower_lanes(x); n > 1; n /= 2) {
        x = n == 2 ? fold(L, op, d, l_extract(L, x, 0), l_extract(L, x, 1))
                   : fold(L, op, d, half_of(L, x, 0), half_of(L, x, n / 2));
    }
    return x;
}

static V fold_tile(Lower *L, const TileExpr *e, TileType *t) {
    int n, begin = reg_at(&L->w, &e->x[0]->a, &n);
    const TileSym *s = e->x[0]->a.s;
    V *m = NEW_ARRAY(L->w.arena, V, n);
    for (int i = 0; i < n; i++) m[i] = s->r[begin + i];
    for (; n > 1; n = (n + 1) / 2) {
        for (int i = 0; i < n / 2; i++) m[i] = fold(L, e->op, s->d, m[2 * i], m[2 * i + 1]);
        if (n & 1) m[n / 2] = m[n - 1];
    }
    *t = s->type;
    return m[0];
}

/* Does (a, ia) win over (b, ib)? Larger (smaller), NaN over numbers, else the lower place. */
static V pair_wins(Lower *L, TileOp op, DType d, V a, V ia, V b, V ib) {
    bool larger = op == TO_HARGMAX;
    V wins = comparison(L, larger ? TO_GT : TO_LT, d, a, b), equal = comparison(L, TO_EQ, d, a, b);
    if (dtype_is_float(d)) {
        V na = l_fcmp(L, LLVMRealUNO, a, a), nb = l_fcmp(L, LLVMRealUNO, b, b);
        wins = l_or(L, wins, l_and(L, na, LLVMBuildNot(L->b, nb, "")));
        equal = l_or(L, equal, l_and(L, na, nb));
    }
    return l_or(L, wins, l_and(L, equal, l_icmp(L, LLVMIntSLT, ia, ib)));
}

static V best_lane(Lower *L, TileOp op, DType d, V v, V place) {
    for (int n = lower_lanes(v); n > 1; n /= 2) {
        V a = n == 2 ? l_extract(L, v, 0) : half_of(L, v, 0), b = n == 2 ? l_extract(L, v, 1) : half_of(L, v, n / 2);
        V ia = n == 2 ? l_extract(L, place, 0) : half_of(L, place, 0),
          ib = n == 2 ? l_extract(L, place, 1) : half_of(L, place, n / 2);
        V c = pair_wins(L, op, d, a, ia, b, ib);
        v = l_select(L, c, a, b);
        place = l_select(L, c, ia, ib);
    }
    return place;
}

static V shuffled(Lower *L, V x, V y, V *at, int n) { return LLVMBuildShuffleVector(L->b, x, y, LLVMConstVector(at, (unsigned)n), ""); }

/* Vectors whose lanes are sums on their way, in segments: what is left of a row after some halvings. */
typedef struct Folding {
    V v;
    int row[TILE_LANES]; /* of each segment */
} Folding;

/* Both halves of each segment of x and of y, of `width` lanes, added up. Segments stay in the 128 bits they are in, where shuffles are one
 * instruction. */
static Folding halved(Lower *L, DType d, const Folding *x, const Folding *y, int width) {
    Folding r;
    int lanes = lower_lanes(x->v), part = 16 / dtype_bytes(d), half = width / 2, made = 0;
    V low[TILE_LANES], high[TILE_LANES];
    if (width > part || part > lanes) part = lanes;
    for (int begin = 0; begin < lanes; begin += part)
        for (int from = 0; from < 2; from++)
            for (int s = begin / width; s < (begin + part) / width; s++) {
                r.row[made] = (from ? y : x)->row[s];
                for (int i = 0; i < half; i++) {
                    low[made * half + i] = lower_i32(L, from * lanes + s * width + i);
                    high[made * half + i] = lower_i32(L, from * lanes + s * width + half + i);
                }
                made++;
            }
    r.v = fold(L, TO_HADD, d, shuffled(L, x->v, y->v, low, lanes), shuffled(L, x->v, y->v, high, lanes));
    return r;
}

/* The sum of the lanes of each vector of a register tile, in the order of hadd: each halving is one of two vectors as long as there are two, then
 * each half of a segment is added to the other one. */
static V add_rows(Lower *L, const TileExpr *e, TileType *t) {
    int n, begin = reg_at(&L->w, &e->x[0]->a, &n), lanes = e->x[0]->a.s->type.n, width = lanes, left = n;
    const TileSym *s = e->x[0]->a.s;
    V at[TILE_LANES], none;
    *t = (TileType){s->d, n};
    if (n == 1) return fold_lanes(L, TO_HADD, s->d, s->r[begin]);
    Folding *m = NEW_ARRAY(L->w.arena, Folding, n);
    for (int i = 0; i < n; i++) m[i] = (Folding){.v = s->r[begin + i], .row = {i}};
    for (; left > 1 && width > 1; left /= 2, width /= 2)
        for (int i = 0; i < left / 2; i++) m[i] = halved(L, s->d, &m[2 * i], &m[2 * i + 1], width);
    none = LLVMGetPoison(LLVMTypeOf(m[0].v));
    for (int half = width / 2; half > 0; half /= 2) {
        for (int i = 0; i < lanes; i++) at[i] = lower_i32(L, i ^ half);
        m[0].v = fold(L, TO_HADD, s->d, m[0].v, shuffled(L, m[0].v, none, at, lanes));
    }
    if (left == 1) {
        for (int i = 0; i < n; i++) at[m[0].row[i]] = lower_i32(L, i * width);
        return shuffled(L, m[0].v, none, at, n);
    }
    V all = LLVMGetPoison(lower_type(L, *t));
    for (int i = 0; i < n; i++) {
        V sum = lanes == 1 ? m[i].v : l_extract(L, m[i / lanes].v, i % lanes);
        all = LLVMBuildInsertElement(L->b, all, sum, lower_i32(L, m[i / lanes].row[i % lanes]), "");
    }
    return all;
}

/* Four values beside each other, each of fours of bytes: the fours of equal places one after the other, then the bytes of these. An instruction
 * for each of the two, by name: LLVM makes one step of them, and five instructions of that. */
static V braid_bytes(Lower *L, V all, int n) {
    V at[TILE_LANES];
    T words = LLVMVectorType(L->i32, (unsigned)n / 4), bytes = LLVMTypeOf(all);
    for (int i = 0; i < n / 4; i++) at[i] = lower_i32(L, i % 4 * (n / 16) + i / 4);
    V order = LLVMConstVector(at, (unsigned)n / 4), fours = l_bits(L, all, words);
    fours = lower_intrinsic(L, n == 64 ? "llvm.x86.avx512.permvar.si.512" : "llvm.x86.avx2.permd", NULL, 0, (V[]){fours, order}, 2);
    for (int i = 0; i < n; i++) at[i] = LLVMConstInt(L->i8, (unsigned)(i % 4 * 4 + i % 16 / 4), 0);
    V place = LLVMConstVector(at, (unsigned)n);
    return lower_intrinsic(L, n == 64 ? "llvm.x86.avx512.pshuf.b.512" : "llvm.x86.avx2.pshuf.b", NULL, 0, (V[]){l_bits(L, fours, bytes), place}, 2);
}

static V braid(Lower *L, const Value *x) {
    V at[TILE_LANES];
    int m = x[0].t.n, n = 4 * m;
    if (m == 1) {
        V all = LLVMGetPoison(LLVMVectorType(LLVMTypeOf(x[0].v), 4));
        for (int i = 0; i < 4; i++) all = LLVMBuildInsertElement(L->b, all, x[i].v, lower_i32(L, i), "");
        return all;
    }
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, i);
    V all = shuffled(L, shuffled(L, x[0].v, x[1].v, at, n / 2), shuffled(L, x[2].v, x[3].v, at, n / 2), at, n);
    bool bytes = dtype_bytes(x[0].t.d) == 1 && x[0].t.d != DT_BOOL;
    if (bytes && ((n == 64 && L->t->avx512) || (n == 32 && L->t->dots == 4 && !L->t->signed_dots))) return braid_bytes(L, all, n);
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, i % 4 * m + i / 4);
    return shuffled(L, all, LLVMGetPoison(LLVMTypeOf(all)), at, n);
}

static V repeat_lanes(Lower *L, V x, int n) {
    V at[TILE_LANES];
    int m = lower_lanes(x);
    if (m == 1) return n > 1 ? lower_splat(L, x, n) : x;
    T whole = LLVMTypeOf(x), element = LLVMGetElementType(whole);
    if (LLVMGetTypeKind(element) == LLVMIntegerTypeKind && m * LLVMGetIntTypeWidth(element) == 32 && n > m) /* a broadcast */
        return l_bits(L, lower_splat(L, l_bits(L, x, L->i32), n / m), LLVMVectorType(element, (unsigned)n));
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, i % m);
    return LLVMBuildShuffleVector(L->b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(at, (unsigned)n), "");
}

static V stretch_lanes(Lower *L, V x, int n) {
    V at[TILE_LANES];
    int m = lower_lanes(x);
    if (m == 1) return n > 1 ? lower_splat(L, x, n) : x;
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, i * m / n);
    return LLVMBuildShuffleVector(L->b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(at, (unsigned)n), "");
}

static V ramp(Lower *L, int n) {
    V at[TILE_LANES];
    for (int i = 0; i < n; i++) at[i] = lower_i32(L, i);
    return n > 1 ? LLVMConstVector(at, (unsigned)n) : at[0];
}

static bool divisible_by_four(Lower *L, const TileExpr *e) {
    TilePoly p;
    return poly_try(&L->w, e, &p) && poly_divisible(&L->w, p, 4);
}

static V philox(Lower *L, const TileExpr *e, Value *x, int n) {
    V key[4];
    for (int i = 0; i < 4; i++) key[i] = lower_as(L, x[i], (TileType){DT_U32, 1});
    return random_philox(L, key, lower_as(L, x[4], (TileType){DT_I64, 1}), divisible_by_four(L, e->x[4]), n);
}

/* sdot of Armv8.2's dot products; NULL: not of these. */
static V dots_signed(Lower *L, const Value *x, int n) {
    if (!L->t->signed_dots || x[1].t.d != DT_I8 || x[2].t.d != DT_I8 || x[1].t.n != 4 * n || (n != 2 && n != 4)) return NULL;
    T types[] = {LLVMTypeOf(x[0].v), LLVMTypeOf(x[1].v)};
    return lower_intrinsic(L, "llvm.aarch64.neon.sdot", types, 2, (V[]){x[0].v, x[1].v, x[2].v}, 3);
}

/* The instruction for it, or NULL: vpdpbusd takes u8 by i8, pmaddwd i16 by i16. */
static const char *dots_instruction(const Lower *L, TileType a, TileType b, int n) {
    if (L->t->signed_dots) return NULL;
    bool bytes = a.d == DT_U8 && b.d == DT_I8 && a.n == 4 * n, words = a.d == DT_I16 && b.d == DT_I16 && a.n == 2 * n;
    if (L->t->dots == 4 && bytes)
        return n == 16 ? "llvm.x86.avx512.vpdpbusd.512" : n == 8 ? "llvm.x86.avx512.vpdpbusd.256" : n == 4 ? "llvm.x86.avx512.vpdpbusd.128" : NULL;
    if (L->t->dots < 2 || !words) return NULL;
    if (n == 16) return L->t->avx512 ? "llvm.x86.avx512.pmaddw.d.512" : NULL;
    if (n == 8) return L->t->fma ? "llvm.x86.avx2.pmadd.wd" : NULL;
    return n == 4 ? "llvm.x86.sse2.pmadd.wd" : NULL;
}

/* The upper or lower halves of words are floats when zeros follow. */
static V pair_half(Lower *L, V words, bool upper, int n) {
    V bits = upper ? l_and(L, words, lower_int(L, words, -65536)) : l_shl(L, words, lower_int(L, words, 16));
    return l_bits(L, bits, lower_type(L, (TileType){DT_F32, n}));
}

/* Of Arm's instructions for bf16 those that round each sum once, as fma does: bfdot and bfmmla round to odd. */
static V dots_of_halves(Lower *L, Value *x, T pairs) {
    V a = l_bits(L, x[1].v, pairs), b = l_bits(L, x[2].v, pairs);
    V sum = lower_intrinsic(L, "llvm.aarch64.neon.bfmlalt", NULL, 0, (V[]){x[0].v, a, b}, 3);
    return lower_intrinsic(L, "llvm.aarch64.neon.bfmlalb", NULL, 0, (V[]){sum, a, b}, 3);
}

static V dots_of_pairs(Lower *L, Value *x, int n) {
    const char *instruction = n == 16 ? "llvm.x86.avx512bf16.dpbf16ps.512"
                              : n == 8 ? "llvm.x86.avx512bf16.dpbf16ps.256"
                              : n == 4 ? "llvm.x86.avx512bf16.dpbf16ps.128"
                                       : NULL;
    T pairs = LLVMVectorType(LLVMBFloatTypeInContext(LLVMGetTypeContext(L->f32)), 2 * (unsigned)n), words = lower_type(L, (TileType){DT_I32, n});
    if (L->t->pairs && L->t->signed_dots && n == 4) return dots_of_halves(L, x, pairs);
    if (L->t->pairs && !L->t->signed_dots && instruction)
        return lower_intrinsic(L, instruction, NULL, 0, (V[]){x[0].v, l_bits(L, x[1].v, pairs), l_bits(L, x[2].v, pairs)}, 3);
    V a = l_bits(L, x[1].v, words), b = l_bits(L, x[2].v, words), sum = x[0].v;
    sum = math_fma(L, pair_half(L, a, true, n), pair_half(L, b, true, n), sum);
    return math_fma(L, pair_half(L, a, false, n), pair_half(L, b, false, n), sum);
}

/* Neighbours of the products, `group` at a time, added to n sums. */
static V sums_of(Lower *L, V sum, V product, int n, int group) {
    for (int i = 0; i < group; i++) {
        V at[TILE_LANES];
        for (int l = 0; l < n; l++) at[l] = lower_i32(L, group * l + i);
        V part = n == 1 ? l_extract(L, product, i)
                        : LLVMBuildShuffleVector(L->b, product, LLVMGetPoison(LLVMTypeOf(product)), LLVMConstVector(at, (unsigned)n), "");
        sum = l_add(L, sum, part);
    }
    return sum;
}

static V dots(Lower *L, Value *x, int n) {
    if (x[0].t.d == DT_F32) return dots_of_pairs(L, x, n);
    V sum = x[0].v, a = x[1].v, b = x[2].v, done = dots_signed(L, x, n);
    if (done) return done;
    const char *instruction = dots_instruction(L, x[1].t, x[2].t, n);
    T words = lower_type(L, (TileType){DT_I32, n});
    if (instruction && L->t->dots == 4 && x[1].t.d == DT_U8)
        return lower_intrinsic(L, instruction, NULL, 0, (V[]){sum, l_bits(L, a, words), l_bits(L, b, words)}, 3);
    if (instruction) return l_add(L, sum, lower_intrinsic(L, instruction, NULL, 0, (V[]){a, b}, 2));
    return sums_of(L, sum, l_mul(L, lower_cast(L, a, x[1].t, DT_I32), lower_cast(L, b, x[2].t, DT_I32)), n, x[1].t.n / n);
}

/* smmla of Armv8.6; elsewhere each row beside each. */
static V blocks(Lower *L, Value *x) {
    if (L->t->blocks) {
        T types[] = {LLVMTypeOf(x[0].v), LLVMTypeOf(x[1].v)};
        return lower_intrinsic(L, "llvm.aarch64.neon.smmla", types, 2, (V[]){x[0].v, x[1].v, x[2].v}, 3);
    }
    V rows[32], columns[32];
    for (int i = 0; i < 32; i++) {
        rows[i] = lower_i32(L, i / 16 * 8 + i % 8);
        columns[i] = lower_i32(L, i % 16);
    }
    V a = lower_cast(L, x[1].v, x[1].t, DT_I32), b = lower_cast(L, x[2].v, x[2].t, DT_I32), none = LLVMGetPoison(LLVMTypeOf(a));
    a = LLVMBuildShuffleVector(L->b, a, none, LLVMConstVector(rows, 32), "");
    b = LLVMBuildShuffleVector(L->b, b, none, LLVMConstVector(columns, 32), "");
    return sums_of(L, x[0].v, l_mul(L, a, b), 4, 8);
}

/* y = x * m between -most and most, NaN: -most. With 512 bits an instruction takes what is nearer to 0, with y's sign. A NaN of m, whose sign nobody
 * knows, is left out by a mask, which is the same for all rows; that of 0 and an infinity is negative, as x86 makes it. */
static V limited_product(Lower *L, V y, V m, double most) {
    V low = lower_float(L, y, -most), high = lower_float(L, y, most);
    if (L->t->avx512 && lower_lanes(y) == 16) {
        V known = l_bits(L, l_fcmp(L, LLVMRealORD, m, m), L->i16);
        return lower_intrinsic(L, "llvm.x86.avx512.mask.range.ps.512", NULL, 0, (V[]){y, high, lower_i32(L, 2), low, known, lower_i32(L, 4)}, 6);
    }
    y = l_select(L, l_fcmp(L, LLVMRealOGT, y, low), y, low);
    return l_select(L, l_fcmp(L, LLVMRealOLT, y, high), y, high);
}

static V rescaled(Lower *L, V x, V m) {
    return math_nearest(L, limited_product(L, l_fmul(L, x, m), m, (1 << 30) - 64));
}

static V special(Lower *L, const TileExpr *e, Value *x, TileType operand, TileType t) {
    V a, b;
    switch (e->op) {
    case TO_SELECT:
        a = lower_as(L, x[0], (TileType){DT_BOOL, x[0].t.n > 1 ? t.n : 1});
        return l_select(L, a, lower_as(L, x[1], t), lower_as(L, x[2], t));
    case TO_MULHI: {
        T wide = t.n > 1 ? LLVMVectorType(L->i64, (unsigned)t.n) : L->i64;
        a = LLVMBuildZExt(L->b, lower_as(L, x[0], operand), wide, "");
        b = LLVMBuildZExt(L->b, lower_as(L, x[1], operand), wide, "");
        return LLVMBuildTrunc(L->b, l_lshr(L, l_mul(L, a, b), lower_int(L, a, 32)), lower_type(L, t), "");
    }
    case TO_RESCALE:
        a = lower_cast(L, lower_as(L, x[0], t), t, DT_F32);
        return rescaled(L, a, lower_as(L, x[1], operand));
    case TO_SPLAT: return lower_as(L, x[0], t);
    case TO_REPEAT: return repeat_lanes(L, x[0].v, t.n);
    case TO_STRETCH: return stretch_lanes(L, x[0].v, t.n);
    case TO_BRAID: return braid(L, x);
    case TO_LIFT: return LLVMBuildXor(L->b, x[0].v, lower_int(L, x[0].v, -128), "");
    case TO_IOTA: return ramp(L, t.n);
    case TO_HADD:
    case TO_HMAX:
    case TO_HMIN: return fold_lanes(L, e->op, operand.d, x[0].v);
    case TO_HARGMAX:
    case TO_HARGMIN: return best_lane(L, e->op, operand.d, x[0].v, x[1].v);
    case TO_DOTS: return dots(L, x, t.n);
    case TO_BLOCKS: return blocks(L, x);
    case TO_PHILOX: return philox(L, e, x, t.n);
    case TO_NORMAL: return random_normal(L, x[0].v);
    case TO_UNIFORM01: return random_uniform(L, x[0].v);
    default: walk_fail(&L->w, "no lowering of %s", tile_op_row[e->op].name);
    }
}

/* ------------------------------------------------------------------ the tree */

static Value symbol(Lower *L, TileSym *s) {
    if (s->k == TS_LET || s->k == TS_SCALAR) {
        TileType t = sym_type(s);
        return typed(s->v, t.d, t.n);
    }
    return typed(s->known ? lower_i64(L, s->value) : s->v, DT_I64, 1);
}

static Value operation(Lower *L, const TileExpr *e) {
    Value x[TILE_ARGS];
    TileType types[TILE_ARGS], operand, t;
    const TileOpRow *row = &tile_op_row[e->op];
    if (e->op == TO_HADDS) {
        V v = add_rows(L, e, &t);
        return typed(v, t.d, t.n);
    }
    if (op_takes_tile(e->op)) {
        V v = fold_tile(L, e, &t);
        return typed(v, t.d, t.n);
    }
    for (int i = 0; i < row->args; i++) {
        x[i] = lower_expr(L, e->x[i]);
        types[i] = x[i].t;
    }
    t = tile_type_of(&L->w, e, types, &operand);
    if (row->class == '*') return typed(special(L, e, x, operand, t), t.d, t.n);
    V a = lower_as(L, x[0], operand), b = row->args > 1 ? lower_as(L, x[1], operand) : NULL,
      c = row->args > 2 ? lower_as(L, x[2], operand) : NULL;
    if (row->class == 'T') return typed(lower_cast(L, a, operand, t.d), t.d, t.n);
    if (row->class == 'C') return typed(comparison(L, e->op, operand.d, a, b), t.d, t.n);
    if (dtype_is_float(operand.d)) return typed(float_arithmetic(L, e, a, b, c), t.d, t.n);
    return typed(int_arithmetic(L, e, operand.d, a, b, c), t.d, t.n);
}

Value lower_expr(Lower *L, const TileExpr *e) {
    switch (e->k) {
    case TE_NUMBER: return (Value){NULL, {TILE_LITERAL, 1}, e};
    case TE_SYM: return symbol(L, e->s);
    case TE_ACCESS:
        if (e->a.s->k == TS_REG) return typed(e->a.s->r[reg_at(&L->w, &e->a, NULL)], e->a.s->type.d, e->a.s->type.n);
        return typed(lower_load(L, &e->a), e->a.s->d, access_lanes(&L->w, &e->a));
    case TE_OP: break;
    }
    TilePoly p;
    if (e->op <= TO_MOD && poly_try(&L->w, e, &p)) return typed(poly_value(L, p), DT_I64, 1); /* index arithmetic */
    return operation(L, e);
}
