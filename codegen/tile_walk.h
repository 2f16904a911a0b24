/* tile_walk.h -- what the verifier, the interpreter, the cost model and the lowering share: a walk over a kernel with its
 * trap for errors, polynomials in loop symbols and sizes, the parts of a loop, the types of operations. Private to codegen/.
 *
 * A walk keeps what it knows of a symbol in the symbol itself (TileSym, last block); walk_begin clears it. A fault anywhere
 * below calls walk_fail, which jumps to the setjmp of the public function:
 *
 *     TileWalk w;
 *     walk_begin(&w, k);
 *     if (setjmp(w.trap)) { *error = w.error; walk_end(&w); return false; }
 *     ...
 *     walk_end(&w);
 */
#ifndef CODEGEN_TILE_WALK_H
#define CODEGEN_TILE_WALK_H
#include "codegen/tile.h"

#include <setjmp.h>

typedef struct TileWalk {
    jmp_buf trap;
    TileKernel *k;
    Arena *arena;      /* lives as long as the walk: polynomials */
    const char *error; /* in the kernel's arena */
    int line;          /* of the statement under way, for messages; 0: none */
    int level;         /* loop depth */
} TileWalk;

void walk_begin(TileWalk *w, TileKernel *k);
void walk_end(TileWalk *w);
void walk_fail(TileWalk *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Polynomials. */
TilePoly poly_const(int64_t c);
TilePoly poly_sym(TileWalk *w, TileSym *s);
TilePoly poly_add(TileWalk *w, TilePoly a, TilePoly b, int64_t scale); /* a + scale * b */
TilePoly poly_mul(TileWalk *w, TilePoly a, TilePoly b);
bool poly_equal(TilePoly a, TilePoly b);
bool poly_try(TileWalk *w, const TileExpr *e, TilePoly *out); /* false: not a polynomial */
TilePoly poly_of(TileWalk *w, const TileExpr *e);             /* fails the walk instead; NULL is 0 */
int64_t expr_const(TileWalk *w, const TileExpr *e);           /* a compile-time integer, else the walk fails */
/* p = c * s + r; false when s occurs with a higher power. */
bool poly_split(TileWalk *w, TilePoly p, TileSym *s, TilePoly *c, TilePoly *r);
/* A lower (sign -1) or upper (1) bound of p in symbols of level <= keep and sizes only. false: none found. */
bool poly_bound(TileWalk *w, TilePoly p, int sign, int keep, TilePoly *out);
bool poly_nonneg(TileWalk *w, TilePoly p);                /* proven p >= 0 */
bool poly_divisible(TileWalk *w, TilePoly p, int64_t by); /* proven: a multiple of `by` for all values of the symbols */
int64_t tile_floor_div(int64_t a, int64_t b);             /* b == 0 gives 0 */
int64_t tile_floor_mod(int64_t a, int64_t b);

/* Instances of a loop body. */
typedef struct TilePart {
    TilePoly lo, hi;
    int64_t tile; /* the T of this copy */
    bool masked;  /* the last, partly masked tile */
    bool dynamic; /* the number of iterations is a run-time value */
    int64_t trip; /* iterations, -1: run-time */
    int64_t step; /* the symbol is lo + a multiple of it */
} TilePart;
#define TILE_PARTS 72
int loop_parts(TileWalk *w, const TileStmt *s, TilePart *part);        /* TILE_PARTS at most */
int64_t loop_tile(TileWalk *w, const TileStmt *s);                     /* its T: 1 without `by` */
void loop_range(TileWalk *w, const TileStmt *s, const TilePart *part); /* sets the range of the symbol and the tile constant */

/* Accesses and register tiles. */
int access_lanes(TileWalk *w, const TileAccess *a);
bool access_needs_mask(TileWalk *w, const TileAccess *a);
TilePoly access_offset(TileWalk *w, const TileAccess *a); /* elements from the pointer */
TilePoly buffer_stride(TileWalk *w, const TileSym *s, int dim);
int64_t buffer_bytes(TileWalk *w, const TileSym *s); /* of a temporary buffer */
int reg_lanes(TileWalk *w, const TileSym *s);
void reg_declare(TileWalk *w, TileSym *s); /* sets dim, nr, type */
bool op_takes_tile(TileOp op); /* of a register tile, not of a value? */
int reg_at(TileWalk *w, const TileAccess *a,
           int *count); /* flat element; count (or NULL): elements meant by the missing indices */
int tiles_set(const TileStmt *body, TileSym **out, int n,
              int max);      /* register tiles set inside, without repetition; > max: more */
int tiles_of(TileKernel *k); /* how many register tiles a kernel declares: enough for tiles_set */

/* 1 true, 0 false, -1 decided at run time; then *fact (if has_fact) is >= 0 where it is true. */
int tile_condition(TileWalk *w, const TileExpr *e, TilePoly *fact, bool *has_fact);

/* Types. x: types of the arguments; the result; *operand: the type all joined arguments are brought to. Fails the walk on a
 * type error. */
TileType tile_type_of(TileWalk *w, const TileExpr *e, const TileType *x, TileType *operand);
TileType sym_type(const TileSym *s);
/* May a value of type `from` be stored into `to` (same type, or a literal; one lane or as many)? */
bool type_fits(TileType from, TileType to);

/* The parallel nest: its loops in order, outermost first; fails when it is not perfect. */
typedef struct TileNest {
    int n;
    const TileStmt *loop[TILE_RANK];
} TileNest;
TileNest tile_nest(TileWalk *w, const TileKernel *k);
TilePoly nest_trip(TileWalk *w, const TileStmt *s, int64_t *divisor); /* iterations = ceil(poly / divisor) */

/* A visit of every statement and expression instance: the verifier's walk, lent to the cost model. */
typedef struct TileVisit {
    void *self;
    void (*access)(void *self, const TileAccess *a, bool store, double times);
    void (*op)(void *self, const TileExpr *e, TileType type, double times);
    void (*warp)(void *self, const TileStmt *s, double bytes, double times); /* a copy, a matrix; of arguments, access comes 0 times beside it */
} TileVisit;
void tile_visit(TileWalk *w, TileKernel *k, const TileTarget *t, const TileVisit *v);

/* Printing for messages. */
void tile_print_expr(FILE *f, const TileExpr *e, int precedence);
const char *tile_expr_text(Arena *a, const TileExpr *e);
#endif
