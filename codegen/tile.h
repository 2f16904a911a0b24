/* tile.h -- the tile IR: how one fused kernel is computed, as text that can be read, printed, verified, interpreted and costed
 * before any back end sees it. Structured loops, register tiles indexed by compile-time integers, buffers with polynomial
 * addresses, pure expressions.
 *
 *   kernel gemm<b in 1..64, K = 768, N = 768, MR = 8, NV = 3, VL = 16>(x: f32[b, K], w: f32[N*K] const, y: f32[b, N] out) {
 *     parallel i in 0..b by R = MR rest { parallel j in 0..N by W = NV*VL rest {
 *       const NW = (W + VL - 1) / VL
 *       reg acc: f32xVL[R, NW]
 *       for k in 0..K {
 *         unroll v in 0..NW {
 *           let c = w[j*K + k*NW*VL + VL*v : VL]
 *           unroll r in 0..R { acc[r, v] = fma(x[i + r, k], c, acc[r, v]) }
 *         }
 *       }
 *       unroll r in 0..R { unroll v in 0..NW { y[i + r, j + VL*v : VL < N] = max(acc[r, v], 0) } }
 *     } } }
 *
 * Text -> tile_parse -> tile_verify -> { tile_interp, tile_cost, tile_print, cpu/lower.h }.
 *
 * Parameters
 *   P = 8                        compile-time; a TileBind overrides it
 *   n   n in 2..   n in 2..512   run-time sizes, BOTH ENDS INCLUSIVE (as a dim of the language), at least 1 when left out; a
 *       bind
 *                                makes a size compile-time. Sizes are i64 arguments of the kernel.
 * Arguments
 *   x: f32[M, -1..H + 1]         buffer; index ranges are half open and may start below 0
 *   lr: f32                      scalar, of any element type
 *   Suffixes, in this order: stride(e, ..) in elements, polynomials of the sizes, 0 = broadcast; offset(e) in elements; out,
 *   inout, const, alias (may overlap another argument: no noalias).
 *   Element types: f64 f32 f16 bf16 f8e4m3 f8e5m2 i64 i32 i16 i8 u32 u8 bool (one byte, 0 or 1).
 * Statements (blanks or new lines between them)
 *   parallel i in a..b [by T = s rest|masked] { }   perfectly nested at the top, with only const and index lines beside them:
 *                                                   one flattened space of iterations
 *   for i in a..b [by [T =] s [rest|masked]] { }    whole tiles, then copies of the body with a smaller T (static count: the
 *                                                   exact rest; run-time count: by halving), or the last tile under masks
 *   for i in a..b step s { }                        strided
 *   unroll v in a..b { }                            v is a compile-time integer inside
 *   reg t: f32xVL[8, 3] [= e]    register tile, zero without e; its indices are compile-time; t[0, 1] = e sets an element
 *   reg t: f32xVL                a single one, used without index: t = e
 *   let x = e    const c = e
 *   index q = e in lo..hi        a run-time integer. lo..hi (half open) is proven for affine e, and a / c, a % c, min, max of
 *                                such; products of those are refused; for anything else (a loaded integer, a quotient of
 *                                a quotient) it is a contract of the caller
 *   index q = clamp(e) in lo..hi     clamps in code
 *   buf b: f32[R, K] stack       temporary, uninitialised; `arena`: in the thread's scratch (tile_scratch bytes)
 *   if e { }    transpose t
 *   prefetch b[i, j] [second]    the line of an element will be wanted, in all caches or from the second on; it must lie in the
 *                                buffer
 *   On machines with warps (a device), of which one runs an iteration:
 *   copy q in a..b < M { d[..] = s[.. : n < N] }    the vectors of all q at once, from an argument that is not written to a temporary buffer;
 *                                zeros where q >= M (if said) and beyond N. It may happen at any time up to the `wait` that covers it:
 *   commit                       the copies since the last one are a group
 *   wait n                       all groups but the last n are there
 *   ldmatrix f[i], b[r, c] [across] [as bf16]    the fragment (reg f: u32x32[.., 4]) of the 16 x 16 elements of two bytes of a temporary buffer from
 *                                row r and column c on, or of its transpose. Lane l holds rows l / 4 and l / 4 + 8, columns l % 4 * 2, the
 *                                next one, and those 8 behind: element e of the four has the row + e % 2 * 8 and the columns + e / 2 * 8.
 *                                Of f32: 16 x 8 elements, rounded to tf32 (10 bits behind the point, halves away from 0). Lane l holds
 *                                column l % 4 and the one 4 behind: element e the column + e / 2 * 4. Of f32 `as bf16`, `as f16`: 16 x 16
 *                                elements, rounded to those, halves to even, and laid out as they are
 *   mma bf16 t[i], f[j], g[k]    t (reg t: f32x32[.., 8]: 16 x 16 sums) += F G^T, of bf16, f16 or tf32: for each sum fma by fma in the order
 *                                of the columns. (Hardware adds in an order of its own.)
 *   put b[r, c] = t[i]           the sums as 16 x 16 elements of a temporary buffer. Lane l holds row l / 4 and columns l % 4 * 2 and the
 *                                next one: element e of the eight the row + e / 2 % 2 * 8, column + e % 2 + e / 4 * 8
 *   weigh t[i], b[r]             the sums of each row q times the element r + q (f32) of a temporary buffer
 *   kernel k(..) group { }       four warps run an iteration: 128 lanes, which share its buffers (of TILE_GROUP_BYTES at most). All do the same, with the
 *                                same values, but for:
 *   for i in a..b share { }      the warps share out the iterations. Here alone elements are stored: to arguments, no place by two iterations
 *   copy, commit, wait           outside of such loops, of all lanes. Behind wait each warp sees what all of them had copied, and they have done what was before it
 *                                At most TILE_AHEAD groups of copies may be under way, with the one to come
 *   buf s: bf16[.., 64, 64] stack swizzled    squares of numbers of two bytes, in an order in which the units of all architectures read them without
 *                                conflicts: for copies of 64 rows of 64, and multiply
 *   multiply bf16 t, a[.., 0, 0] [across], b[.., 0, 0] [across]    t (reg t: f32x128[R, C, 8], R = 1 or 2, C = 4 or 8: 64 R x 16 C sums) += A B^T over 64
 *                                terms, fma by fma in their order. A is the R squares from an element on, one behind the other along the dimension before
 *                                the last two, with a row for each row of sums, or (across) for each term; B is C / 4 squares, with rows for columns of
 *                                sums. It may happen at any time up to the next `finish`
 *   finish                       all products are there
 *   put b[r, c] = t              all those sums. Lane l has of each 64 rows row l / 32 * 16 + l % 32 / 4 and the one 8 on: element e of t[i, j] the row
 *                                64 * i + that + e / 2 % 2 * 8, the column 16 * j + l % 4 * 2 + e % 2 + e / 4 * 8
 *   b[i, j : 16 < N else f]      access. A lane range `e : lanes` on one index; `< N` limits it: lanes at N and beyond read f
 *                                (0 without else) and are not written
 * Expressions
 *   A scalar meets a vector by splatting. A literal takes the other side's type; alone it is f32. No other conversion is
 *   implicit: f32(x), i32(x), bool(x) ... cast, saturating, NaN -> 0. Comparisons give bool, also in lanes; select(c, a, b).
 *   Floats of 16 and 8 bits can be loaded, stored, cast, selected; arithmetic wants f32(x). Index expressions and sizes are i64 scalars.
 *   Integer / and % round down, and give 0 by zero. shr is logical for unsigned types. Shift amounts count modulo the width.
 *   max and min give NaN when either side is NaN. max_fast, min_fast are `a > b ? a : b`, `a < b ? a : b`: one instruction.
 *   hadd hmax hmin fold the lanes (halves), tile_add tile_max tile_min a register tile (pairs): fixed orders, equal on all
 *   targets. hadds(t): lane i is hadd(t[i]), of a register tile of a power of two of vectors. hargmax(v, i), hargmin(v, i): the index (lanes of i: i32) of the first largest or smallest lane, NaN wins. A loop
 *   over vectors keeps such pairs by
 *     let c = or(v > best, and(v != v, best == best))   best = select(c, v, best)   at = select(c, i32(k) + iota(VL), at)
 *   iota(n): i32 lanes 0 .. n-1. splat(x, n). repeat(x4, n): the lanes of x n times. stretch(x4, n): each lane n times.
 *   braid(a, b, c, d): lane 0 of each, lane 1 of each ..
 *   lift(x): u8, 128 more than x, an i8.
 *   dots(s, x, y): s + x * y of small integers (u8 i8 i16), 2 or 4 lanes of x and y to one of s (i32): their products are added up,
 *   wrapping as i32 does. Of bf16 two lanes to one of f32: fma(x0, y0, fma(x1, y1, s)), where subnormal numbers may count as 0.
 *   rescale(x, m): f32(x) * m, of i32 and f32, rounded to the nearest whole number, halves to even, within 2^30 - 64 either way (a NaN: the least).
 *   blocks(s, x, y): s (i32, 4 lanes) + the products of two rows of x with two of y (i8, 16 lanes): lane 2*i + j is that of
 *   x[8*i .. 8*i + 7] with y[8*j .. 8*j + 7].
 *   philox(seed_lo, seed_hi ^ site, step_lo, step_hi, element, n): u32 lanes, the words of elements element .. element + n - 1
 *   (element: an i64 expression; four times faster when it is provably divisible by 4). normal(w), uniform01(w): u32 -> f32,
 *   bit exact. fma_exact: rounded once on every target. */
#ifndef CODEGEN_TILE_H
#define CODEGEN_TILE_H
#include "ir/arena.h"
#include "ir/type.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A type: n lanes of d. Literals have d == TILE_LITERAL until they meet something. */
#define TILE_LITERAL DT_COUNT
#define TILE_LANES   64 /* the most lanes of a value */
#define TILE_RANK    8  /* the most dimensions of a buffer or register tile */
#define TILE_BLOCK   16 /* rows and columns of a matrix of put; rows of one of ldmatrix and mma, .. */
#define TILE_ROW     32 /* .. and bytes of its columns */
#define TILE_GROUP   128 /* lanes of a group */
#define TILE_SQUARE  64  /* rows and columns of a square of multiply */
#define TILE_AHEAD  4   /* groups of copies under way, at most, of a group of warps; with those that are not committed yet */
#define TILE_GROUP_BYTES (96 << 10) /* of a group's buffers: two of them fit into a processor of a server, one into any with matrix units */
#define TILE_DEGREE  6  /* the most factors of a term of an address */
typedef struct TileType {
    DType d;
    int n;
} TileType;

/* One row an operation: enum, name, arguments, class, flops a lane. Class (rules in tile_type_of): A joined numeric, F joined
 * f32/f64, C compare, L bool or integer, S shift, T cast, * special. Infix operators come first. */
// clang-format off
#define TILE_OPS(X)                                                                                                           \
    X(ADD, "+", 2, 'A', 1) X(SUB, "-", 2, 'A', 1) X(MUL, "*", 2, 'A', 1) X(DIV, "/", 2, 'A', 1) X(MOD, "%", 2, 'A', 3)        \
    X(LT, "<", 2, 'C', 0) X(LE, "<=", 2, 'C', 0) X(GT, ">", 2, 'C', 0) X(GE, ">=", 2, 'C', 0) X(EQ, "==", 2, 'C', 0)          \
    X(NE, "!=", 2, 'C', 0) X(MIN, "min", 2, 'A', 1) X(MAX, "max", 2, 'A', 1) X(MIN_FAST, "min_fast", 2, 'A', 1)               \
    X(MAX_FAST, "max_fast", 2, 'A', 1) X(POW, "pow", 2, 'F', 40) X(ATAN2, "atan2", 2, 'F', 30) X(FMA, "fma", 3, 'A', 2)       \
    X(FMA_EXACT, "fma_exact", 3, 'F', 2) X(SELECT, "select", 3, '*', 0) X(AND, "and", 2, 'L', 0) X(OR, "or", 2, 'L', 0)       \
    X(XOR, "xor", 2, 'L', 0) X(NOT, "not", 1, 'L', 0) X(SHL, "shl", 2, 'S', 0) X(SHR, "shr", 2, 'S', 0)                       \
    X(MULHI, "mulhi", 2, '*', 0) X(NEG, "neg", 1, 'A', 1) X(ABS, "abs", 1, 'A', 1) X(SIGN, "sign", 1, 'A', 1)                 \
    X(FLOOR, "floor", 1, 'F', 1) X(CEIL, "ceil", 1, 'F', 1) X(ROUND, "round", 1, 'F', 1) X(SQRT, "sqrt", 1, 'F', 1)           \
    X(RSQRT, "rsqrt", 1, 'F', 2) X(EXP, "exp", 1, 'F', 14) X(EXPM1, "expm1", 1, 'F', 18) X(LOG, "log", 1, 'F', 18)            \
    X(LOG1P, "log1p", 1, 'F', 24) X(SIN, "sin", 1, 'F', 24) X(COS, "cos", 1, 'F', 24) X(TANH, "tanh", 1, 'F', 22)             \
    X(ERF, "erf", 1, 'F', 18) X(SIGMOID, "sigmoid", 1, 'F', 16) X(GELU, "gelu", 1, 'F', 22) X(RELU, "relu", 1, 'A', 1)        \
    X(TO_F64, "f64", 1, 'T', 0) X(TO_F32, "f32", 1, 'T', 0) X(TO_F16, "f16", 1, 'T', 0) X(TO_BF16, "bf16", 1, 'T', 0)         \
    X(TO_F8E4M3, "f8e4m3", 1, 'T', 0) X(TO_F8E5M2, "f8e5m2", 1, 'T', 0)                                                       \
    X(TO_I64, "i64", 1, 'T', 0) X(TO_I32, "i32", 1, 'T', 0) X(TO_I16, "i16", 1, 'T', 0) X(TO_I8, "i8", 1, 'T', 0)             \
    X(TO_U32, "u32", 1, 'T', 0) X(TO_U8, "u8", 1, 'T', 0) X(TO_BOOL, "bool", 1, 'T', 0) X(SPLAT, "splat", 2, '*', 0)          \
    X(REPEAT, "repeat", 2, '*', 0) X(STRETCH, "stretch", 2, '*', 0) X(IOTA, "iota", 1, '*', 0) X(LIFT, "lift", 1, '*', 1)    \
    X(BRAID, "braid", 4, '*', 0)                                                                                              \
    X(HADD, "hadd", 1, '*', 1) X(HMAX, "hmax", 1, '*', 1)                                                                     \
    X(HMIN, "hmin", 1, '*', 1) X(HARGMAX, "hargmax", 2, '*', 1) X(HARGMIN, "hargmin", 2, '*', 1)                              \
    X(TILE_ADD, "tile_add", 1, '*', 1) X(TILE_MAX, "tile_max", 1, '*', 1) X(TILE_MIN, "tile_min", 1, '*', 1)                  \
    X(HADDS, "hadds", 1, '*', 1)                                                                                             \
    X(PHILOX, "philox", 6, '*', 60) X(NORMAL, "normal", 1, '*', 50) X(UNIFORM01, "uniform01", 1, '*', 2)                      \
    X(DOTS, "dots", 3, '*', 1) X(BLOCKS, "blocks", 3, '*', 8) X(RESCALE, "rescale", 2, '*', 4) X(CLAMP, "clamp", 1, '*', 0)
// clang-format on
typedef enum TileOp {
#define X(e, name, args, class, flops) TO_##e,
    TILE_OPS(X)
#undef X
        TO_COUNT
} TileOp;
#define TILE_ARGS 6 /* the most arguments of an operation */
typedef struct TileOpRow {
    const char *name;
    int args;
    char class;
    int flops;
} TileOpRow;
extern const TileOpRow tile_op_row[TO_COUNT];

typedef struct TileSym TileSym;
typedef struct TileExpr TileExpr;
typedef struct TileStmt TileStmt;

/* c + a sum of coefficient * product of symbols; symbols in a term and the terms are in a canonical order (by TileSym.id). */
typedef struct TileTerm {
    int64_t c;
    int n;
    TileSym *v[TILE_DEGREE];
} TileTerm;
typedef struct TilePoly {
    int64_t c;
    int n;
    TileTerm *t; /* never written after it was made */
} TilePoly;

/* buf[ix, ..] or tile[ix, ..]; index `lane_dim` may be a lane range  ix : lanes < limit else fill. */
typedef struct TileAccess {
    TileSym *s;
    int n, lane_dim; /* lane_dim -1: scalar */
    TileExpr *ix[TILE_RANK], *lanes, *limit;
    TileExpr *fill; /* a literal; NULL: 0 */
} TileAccess;

typedef enum TileExprKind { TE_NUMBER, TE_SYM, TE_ACCESS, TE_OP } TileExprKind;
struct TileExpr {
    TileExprKind k;
    TileOp op;
    double number; /* TE_NUMBER */
    int64_t whole; /* the same when it is an integer */
    bool fraction; /* written with a point or exponent, or inf / nan: not an integer */
    TileSym *s;
    TileAccess a;
    TileExpr *x[TILE_ARGS];
};

typedef enum TileSymKind { TS_CONST, TS_SIZE, TS_LOOP, TS_INDEX, TS_BUF, TS_REG, TS_LET, TS_SCALAR } TileSymKind;
typedef enum TileSpace { TILE_ARG, TILE_STACK, TILE_ARENA } TileSpace;
struct TileSym {
    const char *name;
    TileSymKind k;
    int id, arg;     /* declaration order; arg: place among the arguments, or among the run-time sizes, else -1 */
    DType d;         /* buffers, tiles, scalars */
    TileExpr *lanes; /* register tiles; NULL: 1 */
    TileExpr *lo[TILE_RANK], *hi[TILE_RANK], *stride[TILE_RANK], *offset; /* lo NULL: 0; stride NULL: row-major */
    int nd;
    TileSpace space;
    bool out, inout, constant, alias;
    bool swizzled;    /* a buffer of squares */
    int64_t min, max; /* sizes; max -1: none */
    TileSym *next;    /* enclosing scope while parsing */
    /* state of the walk under way (verifier, interpreter, lowering) */
    bool known; /* a compile-time integer here: value */
    int64_t value;
    TilePoly lowest, highest; /* range of a run-time loop symbol or index, inclusive */
    const TileExpr *made;     /* what an index is; NULL: it is clamped, or a loop symbol */
    int level;                /* loop depth */
    int64_t step;             /* a loop symbol is lowest + a multiple of step */
    TileType type;            /* of a let or tile element */
    void *v, **r;             /* value; elements of a register tile */
    int dim[TILE_RANK], nr;   /* register tile */
    int64_t room;             /* bytes or elements behind v or r (interpreter) */
    int mark;
};

typedef enum TileStmtKind {
    TK_PARALLEL,
    TK_FOR,
    TK_UNROLL,
    TK_REG,
    TK_LET,
    TK_SET,
    TK_STORE,
    TK_BUF,
    TK_INDEX,
    TK_CONST,
    TK_IF,
    TK_TRANSPOSE,
    TK_PREFETCH,
    TK_COPY,
    TK_COMMIT,
    TK_WAIT,
    TK_LDMATRIX,
    TK_MMA,
    TK_PUT,
    TK_WEIGH,
    TK_MULTIPLY,
    TK_FINISH
} TileStmtKind;
struct TileStmt {
    TileStmtKind k;
    int line;
    TileSym *s, *tile; /* declared symbol; the T of `by T = ` */
    TileExpr *lo, *hi, *by, *e; /* TK_COPY: its range and limit, the source; TK_MMA, TK_MULTIPLY: lo and hi are the factors; TK_WEIGH: e: the weights */
    bool step, rest, masked, across, second;
    bool share;    /* TK_FOR: among the warps of a group */
    bool across_b; /* TK_MULTIPLY: of the second factor */
    DType d;      /* TK_MMA, TK_MULTIPLY: what is multiplied; TK_LDMATRIX: what the fragment is of. f32: as tf32 */
    TileAccess a; /* what is written; TK_PREFETCH */
    TileStmt *body, *next;
};

typedef struct TileKernel {
    Arena *arena; /* the caller's: holds the kernel */
    const char *name;
    LIST(TileSym *) params, args, all; /* args in order of declaration; all: every symbol */
    int sizes;                         /* run-time sizes among params */
    bool group;                        /* four warps run an iteration */
    int64_t scratch;                   /* set by tile_verify */
    TileStmt *body;
    struct TileWalk *walk; /* of the walk under way */
} TileKernel;

typedef struct TileBind {
    const char *name;
    int64_t value;
} TileBind;

/* What a schedule and the verifier know of a machine. */
typedef struct TileTarget {
    const char *name, *cpu, *tune; /* "x86-64-v4"; LLVM's target-cpu and tune-cpu */
    const char *features;          /* LLVM's target-features beyond those of the cpu */
    int lanes;                     /* f32 in a register */
    int registers;                 /* vector registers */
    int in_flight;                 /* accumulators that hide the latency of fma */
    int64_t l2;                    /* bytes */
    bool fma, round;               /* instructions for a*b + c rounded once; for rounding to whole numbers */
    bool half;                     /* instructions for f16 to and from f32 */
    bool no_doubles;               /* f64 is computed by functions of the runtime */
    bool avx512;              /* masks cost nothing, and x86-64-v4's instructions */
    bool pairs;               /* instructions multiply bf16 as it lies: the sums of two neighbours */
    bool signed_dots;         /* with dots = 4: of i8 * i8 */
    bool blocks;              /* an instruction is `blocks` */
    int dots;                 /* 4: one instruction adds up u8 * i8 of four neighbours; 2: i16 * i16 of two; 1: none does */
    int grain;                /* elements of a map that an iteration should have; 0: some microseconds of a thread of a processor */
} TileTarget;
extern const TileTarget tile_targets[];          /* x86-64-v4+bf16, x86-64-v4+vnni, x86-64-v4, x86-64-v3, x86-64-v2, then others; then name NULL */
const TileTarget *tile_target(const char *name); /* NULL: unknown */

/* Parses the kernel `name` (NULL: the first) of a text with any number of kernels. NULL and *error (in the arena) on a
 * fault. */
TileKernel *tile_parse(Arena *a, const char *text, const char *name, const TileBind *binds, int n, const char **error);
void tile_print(FILE *f, const TileKernel *k); /* print, parse, print gives the same bytes */
const char *tile_mma_name(DType d); /* of TK_MMA: "tf32" of f32 */

/* All rules on every instance that will be emitted: bounds, rests, lanes, types, outputs, disjointness of parallel
 * iterations, registers. true: fine. Else *error in the kernel's arena: "kernel gemm, line 7: ...". *registers (may be
 * NULL): the estimate of live vector registers, for the caller to judge: a few too many only spill, four times what the
 * machine has is an error. */
bool tile_verify(TileKernel *k, const TileTarget *t, int *registers, const char **error);
int64_t tile_scratch(TileKernel *k); /* bytes of arena scratch a thread needs, multiple of 64; after tile_verify */
int64_t tile_count(TileKernel *k, const int64_t *sizes); /* iterations of the flattened parallel space; 1 without `parallel` */

/* Runs iterations p0..p1 (p1 < 0: all). args: pointers in the order of declaration, scalars by pointer to a value of their
 * type. sizes in order of declaration. Every access is checked: false and *error (kernel's arena) when one leaves its
 * buffer. */
bool tile_interp(TileKernel *k, void *const *args, const int64_t *sizes, int64_t p0, int64_t p1, const char **error);

typedef struct TileCost {
    double flops, special;          /* operations; those in math functions */
    double matrix, tf32;            /* those of mma; of them those of tf32 */
    double load_bytes, store_bytes; /* of accesses, cached or not */
    double unit_bytes;              /* behind the back of warps: of copies, and what the units of a group read by themselves */
    double in_bytes, out_bytes;     /* footprint of the arguments */
    double instructions;            /* vector instructions, roughly */
    double copies;                  /* .. those of copies */
} TileCost;
/* Run-time sizes count with the given values (NULL: 64 each, within their ranges). */
TileCost tile_cost(TileKernel *k, const TileTarget *t, const int64_t *sizes);

#endif
