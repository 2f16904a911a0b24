/* lower_impl.h -- state and helpers of the lowering, private to codegen/cpu/lower*.c.
 *
 * A value of type {d, n} is an LLVM scalar for n == 1, else a vector of n. Element types: f16 and bf16 are carried as their
 * 16 bits (i16), bool as i1 (in memory a byte), unsigned integers as their bits. */
#ifndef CODEGEN_CPU_LOWER_IMPL_H
#define CODEGEN_CPU_LOWER_IMPL_H
#include "codegen/cpu/lower.h"
#include "codegen/tile_walk.h"

typedef LLVMValueRef V;
typedef LLVMTypeRef T;
typedef LLVMBasicBlockRef Block;

/* A loop level: code that depends on the symbols up to it only is put behind `last` in `block`. */
typedef struct Level {
    Block block;
    V last; /* NULL: at the begin of the block */
} Level;

/* base + the terms of an address that belong to a level, computed once. */
typedef struct Link { /* base plus p bytes; or, without a base, the bits of a mask of so many lanes, as far as p has room */
    V base, result;
    int level, lanes;
    TilePoly p;
} Link;

typedef struct Lower {
    TileWalk w;
    TileKernel *k;
    const TileTarget *t;
    LLVMContextRef c;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    V fn, scratch, p0, p1;
    T f64, f32, i64, i32, i16, i8, i1, ptr, none;
    LIST(Level) levels;
    LIST(Link) links;
    int64_t scratch_used;
} Lower;

/* A value; literal != NULL: a number that has no type yet (v is NULL then). */
typedef struct Value {
    V v;
    TileType t;
    const TileExpr *literal;
} Value;

/* Types and constants. */
T lower_element(Lower *L, DType d);
T lower_memory(Lower *L, DType d); /* as element, bool a byte */
T lower_type(Lower *L, TileType t);
V lower_i64(Lower *L, int64_t v);
V lower_i32(Lower *L, int64_t v);
V lower_constant(Lower *L, double c, TileType t);
V literal_of(Lower *L, const TileExpr *e, TileType t);
V lower_float(Lower *L, V x, double c); /* c in the float type of x, scalar or vector */
V lower_int(Lower *L, V x, int64_t c);  /* c in the integer type of x */
int lower_lanes(V x);
bool lower_is_double(V x);
T int_type_of(Lower *L, V x); /* integers as wide as the floats of x */
V lower_splat(Lower *L, V scalar, int n);
V lower_intrinsic(Lower *L, const char *name, T *overloads, int n_overloads, V *args, int n);
V lower_intrinsic1(Lower *L, const char *name, V x);

/* lower_addr.c */
void level_push(Lower *L, V last); /* in the block under way; last: its last instruction so far, or NULL */
void level_push_here(
    Lower *L,
    V defined); /* behind `defined` if it is an instruction of the block under way, else behind its last instruction */
void level_pop_to(Lower *L, int n);
V poly_value(Lower *L, TilePoly p); /* at the current place */
V lower_load(Lower *L, const TileAccess *a);
void lower_store(Lower *L, const TileAccess *a, V v);
void lower_prefetch(Lower *L, const TileAccess *a, bool second);

/* lower_expr.c */
Value lower_expr(Lower *L, const TileExpr *e);
V lower_as(Lower *L, Value v, TileType t); /* literals get the element type, one lane is repeated */

/* lower_math.c: floats, scalar or vector, f32 or f64 */
V math_fma(Lower *L, V a, V b, V c);       /* fused where the machine can, else two roundings */
V math_fma_exact(Lower *L, V a, V b, V c); /* one rounding everywhere; f32 */
V math_op(Lower *L, TileOp op, V x);       /* one argument */
V math_round(Lower *L, V x);   /* half to even */
V math_nearest(Lower *L, V x); /* the same of an f32 that i32 can hold, as i32: one instruction of x86 and of RISC-V's vectors */
V math_floor(Lower *L, V x);
V math_ceil(Lower *L, V x);
V math_pow(Lower *L, V a, V b);
V math_atan2(Lower *L, V y, V x);
V keep_below(Lower *L, V x, double most); /* NaN stays */
V keep_above(Lower *L, V x, double least);

/* lower_cast.c */
V lower_cast(Lower *L, V x, TileType from, DType to);

/* lower_random.c */
V random_philox(Lower *L, V key[4], V element, bool by_four, int n);
V random_normal(Lower *L, V word);
V random_uniform(Lower *L, V word);
V random_low(Lower *L, V wide, int n); /* low halves of u64 lanes */

/* Short names for the builder. */
static inline V l_fadd(Lower *L, V a, V b) {
    return LLVMBuildFAdd(L->b, a, b, "");
}
static inline V l_fsub(Lower *L, V a, V b) {
    return LLVMBuildFSub(L->b, a, b, "");
}
static inline V l_fmul(Lower *L, V a, V b) {
    return LLVMBuildFMul(L->b, a, b, "");
}
static inline V l_fdiv(Lower *L, V a, V b) {
    return LLVMBuildFDiv(L->b, a, b, "");
}
static inline V l_fneg(Lower *L, V a) {
    return LLVMBuildFNeg(L->b, a, "");
}
static inline V l_add(Lower *L, V a, V b) {
    return LLVMBuildAdd(L->b, a, b, "");
}
static inline V l_sub(Lower *L, V a, V b) {
    return LLVMBuildSub(L->b, a, b, "");
}
static inline V l_mul(Lower *L, V a, V b) {
    return LLVMBuildMul(L->b, a, b, "");
}
static inline V l_and(Lower *L, V a, V b) {
    return LLVMBuildAnd(L->b, a, b, "");
}
static inline V l_or(Lower *L, V a, V b) {
    return LLVMBuildOr(L->b, a, b, "");
}
static inline V l_xor(Lower *L, V a, V b) {
    return LLVMBuildXor(L->b, a, b, "");
}
static inline V l_shl(Lower *L, V a, V b) {
    return LLVMBuildShl(L->b, a, b, "");
}
static inline V l_lshr(Lower *L, V a, V b) {
    return LLVMBuildLShr(L->b, a, b, "");
}
static inline V l_ashr(Lower *L, V a, V b) {
    return LLVMBuildAShr(L->b, a, b, "");
}
static inline V l_select(Lower *L, V c, V a, V b) {
    return LLVMBuildSelect(L->b, c, a, b, "");
}
static inline V l_fcmp(Lower *L, LLVMRealPredicate p, V a, V b) {
    return LLVMBuildFCmp(L->b, p, a, b, "");
}
static inline V l_icmp(Lower *L, LLVMIntPredicate p, V a, V b) {
    return LLVMBuildICmp(L->b, p, a, b, "");
}
static inline V l_bits(Lower *L, V a, T t) {
    return LLVMBuildBitCast(L->b, a, t, "");
}
static inline V l_extract(Lower *L, V a, int lane) {
    return LLVMBuildExtractElement(L->b, a, lower_i32(L, lane), "");
}
#endif
