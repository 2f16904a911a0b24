/* lower_addr.c -- constants, addresses, loads, stores.
 *
 * An address is a polynomial. Its terms are grouped by the deepest loop level they mention and become a chain of byte-offset
 * GEPs, one link a level, placed at that level and shared by all accesses with the same link; the constant comes last, in
 * the using block, where instruction selection folds it into the instruction. */
#include "codegen/cpu/lower_impl.h"

#include <string.h>

#define SPREAD 4 /* elements from lane to lane that vectors of whole memory serve better than a load for each, at most */

/* ------------------------------------------------------------------ types and constants */

T lower_element(Lower *L, DType d) {
    switch (d) {
    case DT_F64: return L->f64;
    case DT_F32: return L->f32;
    case DT_F16:
    case DT_BF16:
    case DT_I16: return L->i16;
    case DT_I64: return L->i64;
    case DT_I32:
    case DT_U32: return L->i32;
    case DT_BOOL: return L->i1;
    default: return L->i8;
    }
}

static T with_lanes(T element, int n) {
    return n > 1 ? LLVMVectorType(element, (unsigned)n) : element;
}

T lower_memory(Lower *L, DType d) {
    return d == DT_BOOL ? L->i8 : lower_element(L, d);
}
T lower_type(Lower *L, TileType t) {
    return with_lanes(lower_element(L, t.d), t.n);
}
V lower_i64(Lower *L, int64_t v) {
    return LLVMConstInt(L->i64, (unsigned long long)v, 1);
}
V lower_i32(Lower *L, int64_t v) {
    return LLVMConstInt(L->i32, (unsigned long long)v, 1);
}

int lower_lanes(V x) {
    T t = LLVMTypeOf(x);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1;
}

static V repeat_constant(V k, int n) {
    V lane[2 * TILE_LANES];
    if (n == 1) return k;
    for (int i = 0; i < n; i++) lane[i] = k;
    return LLVMConstVector(lane, (unsigned)n);
}

static T element_type(V x) {
    T t = LLVMTypeOf(x);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t;
}

bool lower_is_double(V x) {
    return LLVMGetTypeKind(element_type(x)) == LLVMDoubleTypeKind;
}
T int_type_of(Lower *L, V x) {
    return with_lanes(lower_is_double(x) ? L->i64 : L->i32, lower_lanes(x));
}
V lower_float(Lower *L, V x, double c) {
    (void)L;
    return repeat_constant(LLVMConstReal(element_type(x), c), lower_lanes(x));
}
V lower_int(Lower *L, V x, int64_t c) {
    (void)L;
    return repeat_constant(LLVMConstInt(element_type(x), (unsigned long long)c, 1), lower_lanes(x));
}

static V number_of(Lower *L, double c, int64_t whole, bool fraction, TileType t) {
    V k;
    if (t.d == DT_F32 || t.d == DT_F64) k = LLVMConstReal(lower_element(L, t.d), c);
    else if (dtype_is_narrow(t.d)) k = lower_cast(L, LLVMConstReal(L->f64, c), (TileType){DT_F64, 1}, t.d);
    else if (t.d == DT_BOOL) k = LLVMConstInt(L->i1, c != 0, 0);
    else k = LLVMConstInt(lower_element(L, t.d), (unsigned long long)(fraction ? (int64_t)c : whole), 1);
    return LLVMIsConstant(k) ? repeat_constant(k, t.n) : t.n > 1 ? lower_splat(L, k, t.n) : k;
}

V lower_constant(Lower *L, double c, TileType t) {
    return number_of(L, c, (int64_t)c, false, t);
}
V literal_of(Lower *L, const TileExpr *e, TileType t) {
    return number_of(L, e->number, e->whole, e->fraction, t);
}

V lower_splat(Lower *L, V scalar, int n) {
    T t = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)n);
    if (LLVMIsConstant(scalar)) return repeat_constant(scalar, n);
    V one = LLVMBuildInsertElement(L->b, LLVMGetPoison(t), scalar, lower_i32(L, 0), "");
    return LLVMBuildShuffleVector(L->b, one, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(L->i32, (unsigned)n)), "");
}

V lower_intrinsic(Lower *L, const char *name, T *overloads, int n_overloads, V *args, int n) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) walk_fail(&L->w, "LLVM has no %s", name);
    V f = LLVMGetIntrinsicDeclaration(L->m, id, overloads, (size_t)n_overloads);
    return LLVMBuildCall2(L->b, LLVMIntrinsicGetType(L->c, id, overloads, (size_t)n_overloads), f, args, (unsigned)n, "");
}

V lower_intrinsic1(Lower *L, const char *name, V x) {
    T t = LLVMTypeOf(x);
    return lower_intrinsic(L, name, &t, 1, &x, 1);
}

/* ------------------------------------------------------------------ levels */

void level_push(Lower *L, V last) {
    Level level = {LLVMGetInsertBlock(L->b), last};
    PUSH(L->w.arena, L->levels, level);
}

void level_push_here(Lower *L, V defined) {
    Block here = LLVMGetInsertBlock(L->b);
    bool inside = defined && LLVMIsAInstruction(defined) && LLVMGetInstructionParent(defined) == here;
    level_push(L, inside ? defined : LLVMGetLastInstruction(here));
}

void level_pop_to(Lower *L, int n) {
    int kept = 0;
    if (L->levels.n <= n) return;
    L->levels.n = n;
    for (int i = 0; i < L->links.n; i++)
        if (L->links.at[i].level < n) L->links.at[kept++] = L->links.at[i];
    L->links.n = kept;
}

static void go_to_level(Lower *L, int n) {
    Level *level = &L->levels.at[n];
    V next = level->last ? LLVMGetNextInstruction(level->last) : LLVMGetFirstInstruction(level->block);
    if (next) LLVMPositionBuilderBefore(L->b, next);
    else LLVMPositionBuilderAtEnd(L->b, level->block);
}

static void note_at_level(Lower *L, int n, V v) {
    if (LLVMIsAInstruction(v) && LLVMGetInstructionParent(v) == L->levels.at[n].block) L->levels.at[n].last = v;
}

static int term_level(const TileTerm *t) {
    int level = 0;
    for (int i = 0; i < t->n; i++)
        if (t->v[i]->level > level) level = t->v[i]->level;
    return level;
}

V poly_value(Lower *L, TilePoly p) {
    V r = NULL;
    for (int i = 0; i < p.n; i++) {
        V x = NULL;
        for (int j = 0; j < p.t[i].n; j++) {
            V s = p.t[i].v[j]->v;
            x = x ? LLVMBuildNSWMul(L->b, x, s, "") : s;
        }
        if (p.t[i].c != 1) x = LLVMBuildNSWMul(L->b, x, lower_i64(L, p.t[i].c), "");
        r = r ? LLVMBuildNSWAdd(L->b, r, x, "") : x;
    }
    if (!r) return lower_i64(L, p.c);
    return p.c ? LLVMBuildNSWAdd(L->b, r, lower_i64(L, p.c), "") : r;
}

static V byte_offset(Lower *L, V base, V offset) {
    return LLVMBuildInBoundsGEP2(L->b, L->i8, base, &offset, 1, "");
}

static V link_of(Lower *L, V base, int level, TilePoly p) {
    for (int i = L->links.n - 1; i >= 0; i--) {
        const Link *l = &L->links.at[i];
        if (l->base == base && l->level == level && poly_equal(l->p, p)) return l->result;
    }
    Block save = LLVMGetInsertBlock(L->b);
    go_to_level(L, level);
    Link made = {.base = base, .result = byte_offset(L, base, poly_value(L, p)), .level = level, .p = p};
    note_at_level(L, level, made.result);
    LLVMPositionBuilderAtEnd(L->b, save);
    PUSH(L->w.arena, L->links, made);
    return made.result;
}

static V address(Lower *L, const TileAccess *a) {
    TileWalk *w = &L->w;
    TilePoly o = poly_mul(w, access_offset(w, a), poly_const(dtype_bytes(a->s->d)));
    V base = a->s->v;
    for (int level = 0; level < L->levels.n && o.n; level++) {
        TilePoly p = {0, 0, NEW_ARRAY(w->arena, TileTerm, o.n)};
        for (int i = 0; i < o.n; i++)
            if (term_level(&o.t[i]) == level) p.t[p.n++] = o.t[i];
        if (p.n) base = link_of(L, base, level, p);
    }
    return o.c ? byte_offset(L, base, lower_i64(L, o.c)) : base;
}

/* ------------------------------------------------------------------ loads and stores */

/* So many of n lanes as there is room for. */
static V lanes_below(Lower *L, TilePoly room, int n) {
    V count = poly_value(L, room), most = lower_i64(L, n), least = lower_i64(L, 0);
    count = l_select(L, l_icmp(L, LLVMIntSLT, count, most), count, most);
    return l_select(L, l_icmp(L, LLVMIntSGT, count, least), count, least);
}

/* A mask as a number, a bit for a lane, made where the last of what it depends on is known: registers for masks want no vector on the way, and
 * no loop makes it again. */
static V bits_below(Lower *L, TilePoly room, int n) {
    int level = 0;
    for (int i = 0; i < room.n; i++)
        if (term_level(&room.t[i]) > level) level = term_level(&room.t[i]);
    for (int i = L->links.n - 1; i >= 0; i--) {
        const Link *l = &L->links.at[i];
        if (!l->base && l->lanes == n && l->level == level && poly_equal(l->p, room)) return l->result;
    }
    Block save = LLVMGetInsertBlock(L->b);
    go_to_level(L, level);
    V one = lower_i64(L, 1), bits = l_sub(L, l_shl(L, one, lanes_below(L, room, n)), one);
    bits = LLVMBuildTrunc(L->b, bits, LLVMIntTypeInContext(L->c, (unsigned)n), "");
    note_at_level(L, level, bits);
    LLVMPositionBuilderAtEnd(L->b, save);
    Link made = {.level = level, .p = room, .result = bits, .lanes = n};
    PUSH(L->w.arena, L->links, made);
    return bits;
}

/* Lanes below the limit: limit - index, brought into 0..n so that 32 bits hold it, against 0 1 2 .. */
static V mask_of(Lower *L, const TileAccess *a, int n) {
    V lane[TILE_LANES];
    TilePoly room = poly_add(&L->w, poly_of(&L->w, a->limit), poly_of(&L->w, a->ix[a->lane_dim]), -1);
    if (room.n && L->t->avx512 && (n == 8 || n == 16 || n == 32))
        return LLVMBuildBitCast(L->b, bits_below(L, room, n), LLVMVectorType(L->i1, (unsigned)n), "");
    for (int i = 0; i < n; i++) lane[i] = room.n ? lower_i32(L, i) : LLVMConstInt(L->i1, i < room.c, 0);
    V ramp = LLVMConstVector(lane, (unsigned)n);
    if (!room.n) return ramp;
    V count = lanes_below(L, room, n);
    return l_icmp(L, LLVMIntSGT, lower_splat(L, LLVMBuildTrunc(L->b, count, L->i32, ""), n), ramp);
}

/* The stride of the lanes in elements; false: a run-time value. */
static bool lane_stride(Lower *L, const TileAccess *a, int64_t *stride) {
    TilePoly s = buffer_stride(&L->w, a->s, a->lane_dim);
    *stride = s.c;
    return !s.n;
}

/* Address of lane i for lanes that are not neighbours. */
static V lane_address(Lower *L, const TileAccess *a, int i) {
    TileAccess one = *a;
    TileExpr lane = {.k = TE_NUMBER, .number = i, .whole = i}, sum = {.k = TE_OP, .op = TO_ADD};
    sum.x[0] = a->ix[a->lane_dim];
    sum.x[1] = &lane;
    one.ix[a->lane_dim] = &sum;
    one.lanes = one.limit = NULL;
    return address(L, &one);
}

static V lane_addresses(Lower *L, const TileAccess *a, int n) {
    V r = LLVMGetPoison(LLVMVectorType(L->ptr, (unsigned)n));
    for (int i = 0; i < n; i++) r = LLVMBuildInsertElement(L->b, r, lane_address(L, a, i), lower_i32(L, i), "");
    return r;
}

static V plain_load(Lower *L, T t, V p, DType d) {
    V x = LLVMBuildLoad2(L->b, t, p, "");
    LLVMSetAlignment(x, (unsigned)dtype_bytes(d));
    return x;
}

static V fill_of(Lower *L, const TileAccess *a, int n) {
    TileType t = {a->s->d == DT_BOOL ? DT_U8 : a->s->d, n};
    if (!a->fill) return LLVMConstNull(lower_type(L, t));
    return a->s->d == DT_BOOL ? lower_constant(L, a->fill->number != 0, t) : literal_of(L, a->fill, t);
}

/* ---- lanes that are a few elements apart: vectors of whole memory, of which every stride-th element is meant. What lies between is part of the
 * same object, and may be read, but is never written. */

/* Does the access go by such vectors? Masks of single lanes are cheap with AVX-512 alone. */
static bool is_spread(const Lower *L, const TileAccess *a, int n, int64_t stride, bool masked) {
    int bytes = dtype_bytes(a->s->d);
    bool masks = L->t->avx512 && bytes >= 4 && (n == 8 || n == 16) && n * bytes <= 64;
    return stride > 1 && stride <= SPREAD && n >= 2 * stride && a->s->d != DT_BOOL && (masks || !masked);
}

/* Lanes of each vector of an access: those at elements that are meant, below the limit. */
static void spread_masks(Lower *L, const TileAccess *a, int n, int stride, bool masked, V *mask) {
    TilePoly room = poly_const(n);
    uint64_t pattern = 0;
    if (masked) room = poly_add(&L->w, poly_of(&L->w, a->limit), poly_of(&L->w, a->ix[a->lane_dim]), -1);
    for (int i = 0; i < n; i++) pattern |= (uint64_t)(room.n || i < room.c) << stride * i;
    V all = LLVMConstInt(L->i64, pattern, 0);
    if (room.n) {
        V x[2] = {LLVMBuildZExt(L->b, bits_below(L, room, n), L->i64, ""), all};
        all = lower_intrinsic(L, "llvm.x86.bmi.pdep.64", NULL, 0, x, 2);
    }
    for (int part = 0; part < stride; part++) {
        V bits = part ? LLVMBuildLShr(L->b, all, lower_i64(L, part * n), "") : all;
        bits = LLVMBuildTrunc(L->b, bits, LLVMIntTypeInContext(L->c, (unsigned)n), "");
        mask[part] = LLVMBuildBitCast(L->b, bits, LLVMVectorType(L->i1, (unsigned)n), "");
    }
}

static V element_offset(Lower *L, V p, DType d, int64_t elements) {
    return elements ? byte_offset(L, p, lower_i64(L, elements * dtype_bytes(d))) : p;
}

/* Vector after vector, the elements that are meant move to their lanes. The last vector ends with the last of them. */
static V load_spread(Lower *L, const TileAccess *a, int n, int stride, bool masked) {
    DType d = a->s->d;
    T t = with_lanes(lower_memory(L, d), n), ov[2] = {t, L->ptr};
    V all = NULL, first = address(L, a), fill = masked ? fill_of(L, a, n) : NULL, mask[SPREAD];
    if (masked) spread_masks(L, a, n, stride, masked, mask);
    for (int part = 0; part < stride; part++) {
        V at[TILE_LANES], x, p;
        int begin = part == stride - 1 && !masked ? (stride - 1) * (n - 1) : part * n;
        p = element_offset(L, first, d, begin);
        if (masked) {
            V arg[4] = {p, lower_i32(L, dtype_bytes(d)), mask[part], fill};
            x = lower_intrinsic(L, "llvm.masked.load", ov, 2, arg, 4);
        } else {
            x = plain_load(L, t, p, d);
        }
        for (int i = 0; i < n; i++) {
            int place = stride * i;
            at[i] = place / n == part ? lower_i32(L, n + place - begin) : place / n > part ? LLVMGetUndef(L->i32) : lower_i32(L, part > 1 ? i : place);
        }
        all = part ? LLVMBuildShuffleVector(L->b, all, x, LLVMConstVector(at, (unsigned)n), "") : x;
    }
    return all;
}

static void store_spread(Lower *L, const TileAccess *a, V v, int n, int stride, bool masked) {
    DType d = a->s->d;
    T ov[2] = {LLVMTypeOf(v), L->ptr};
    V first = address(L, a), mask[SPREAD];
    spread_masks(L, a, n, stride, masked, mask);
    for (int part = 0; part < stride; part++) {
        V at[TILE_LANES];
        for (int i = 0; i < n; i++) {
            int place = part * n + i;
            at[i] = place % stride ? LLVMGetUndef(L->i32) : lower_i32(L, place / stride);
        }
        V x = LLVMBuildShuffleVector(L->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(at, (unsigned)n), "");
        V arg[4] = {x, element_offset(L, first, d, part * n), lower_i32(L, dtype_bytes(d)), mask[part]};
        lower_intrinsic(L, "llvm.masked.store", ov, 2, arg, 4);
    }
}

static V load_memory(Lower *L, const TileAccess *a, int n) {
    DType d = a->s->d;
    T element = lower_memory(L, d), t = with_lanes(element, n);
    int64_t stride = 1;
    bool fixed = n == 1 || lane_stride(L, a, &stride), masked = access_needs_mask(&L->w, a);
    V align = lower_i32(L, dtype_bytes(d));
    if (n == 1 && masked) { /* a limit on one lane */
        V any = lower_splat(L, LLVMBuildLoad2(L->b, element, address(L, a), ""), 2);
        return l_extract(L, any, 0);
    }
    if (n == 1) return plain_load(L, t, address(L, a), d);
    if (fixed && stride == 1) {
        if (!masked) return plain_load(L, t, address(L, a), d);
        T ov[2] = {t, L->ptr};
        V x[4] = {address(L, a), align, mask_of(L, a, n), fill_of(L, a, n)};
        return lower_intrinsic(L, "llvm.masked.load", ov, 2, x, 4);
    }
    if (fixed && stride == 0) {
        V x = lower_splat(L, plain_load(L, element, lane_address(L, a, 0), d), n);
        return masked ? l_select(L, mask_of(L, a, n), x, fill_of(L, a, n)) : x;
    }
    if (fixed && is_spread(L, a, n, stride, masked)) return load_spread(L, a, n, (int)stride, masked);
    if (masked) {
        T ov[2] = {t, LLVMVectorType(L->ptr, (unsigned)n)};
        V x[4] = {lane_addresses(L, a, n), align, mask_of(L, a, n), fill_of(L, a, n)};
        return lower_intrinsic(L, "llvm.masked.gather", ov, 2, x, 4);
    }
    V r = LLVMGetPoison(t);
    for (int i = 0; i < n; i++)
        r = LLVMBuildInsertElement(L->b, r, plain_load(L, element, lane_address(L, a, i), d), lower_i32(L, i), "");
    return r;
}

V lower_load(Lower *L, const TileAccess *a) {
    V x = load_memory(L, a, access_lanes(&L->w, a));
    return a->s->d == DT_BOOL ? l_icmp(L, LLVMIntNE, x, lower_int(L, x, 0)) : x;
}

/* To be read, into all caches or from the second on. */
void lower_prefetch(Lower *L, const TileAccess *a, bool second) {
    V x[4] = {address(L, a), lower_i32(L, 0), lower_i32(L, second ? 2 : 3), lower_i32(L, 1)};
    lower_intrinsic(L, "llvm.prefetch", &L->ptr, 1, x, 4);
}

void lower_store(Lower *L, const TileAccess *a, V v) {
    DType d = a->s->d;
    int n = lower_lanes(v);
    int64_t stride = 1;
    bool fixed = n == 1 || lane_stride(L, a, &stride), masked = access_needs_mask(&L->w, a);
    V align = lower_i32(L, dtype_bytes(d));
    if (d == DT_BOOL) v = LLVMBuildZExt(L->b, v, with_lanes(L->i8, n), "");
    if (n == 1 || (fixed && stride == 1 && !masked)) {
        LLVMSetAlignment(LLVMBuildStore(L->b, v, address(L, a)), (unsigned)dtype_bytes(d));
    } else if (fixed && stride == 1) {
        T ov[2] = {LLVMTypeOf(v), L->ptr};
        V x[4] = {v, address(L, a), align, mask_of(L, a, n)};
        lower_intrinsic(L, "llvm.masked.store", ov, 2, x, 4);
    } else if (fixed && L->t->avx512 && is_spread(L, a, n, stride, true)) {
        store_spread(L, a, v, n, (int)stride, masked);
    } else if (masked) {
        T ov[2] = {LLVMTypeOf(v), LLVMVectorType(L->ptr, (unsigned)n)};
        V x[4] = {v, lane_addresses(L, a, n), align, mask_of(L, a, n)};
        lower_intrinsic(L, "llvm.masked.scatter", ov, 2, x, 4);
    } else {
        for (int i = 0; i < n; i++)
            LLVMSetAlignment(LLVMBuildStore(L->b, l_extract(L, v, i), lane_address(L, a, i)), (unsigned)dtype_bytes(d));
    }
}
