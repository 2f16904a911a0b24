/* lower_expr.c -- expression trees in C: a thread's share of a value. Arithmetic that C leaves open (overflow, division, NaN)
 * are functions of prelude.cu, named by operation and type. What crosses lanes is a statement of its own before the one under
 * way, so that no operator of C decides which threads take part. */
#include "codegen/cuda/lower_impl.h"

#include "codegen/tile_number.h"
#include "ir/op.h"

#include <math.h>
#include <string.h>

/* ---- types and literals -------------------------------------------------------------------------------------------------- */

const char *cuda_type(DType d) {
    switch (d) {
    case DT_F64: return "double";
    case DT_F32: return "float";
    case DT_F16:
    case DT_BF16: return "nt_u16";
    case DT_I64: return "nt_i64";
    case DT_U32: return "unsigned";
    case DT_I16: return "short";
    case DT_I8: return "signed char";
    case DT_F8E4M3:
    case DT_F8E5M2:
    case DT_U8: return "unsigned char";
    default: return "int"; /* i32, bool */
    }
}

const char *cuda_memory(DType d) {
    return d == DT_BOOL ? "unsigned char" : cuda_type(d);
}

const char *cuda_zero(DType d) {
    return d == DT_F32 ? "0.0f" : d == DT_F64 ? "0.0" : "0";
}

static const char *float_literal(Cuda *c, double x, DType d) {
    const char *suffix = d == DT_F32 ? "f" : "", *kind = d == DT_F32 ? "F32" : "F64";
    if (isnan(x)) return arena_printf(c->w.arena, "NT_NAN_%s", kind);
    if (isinf(x)) return arena_printf(c->w.arena, x < 0 ? "(-NT_INF_%s)" : "NT_INF_%s", kind);
    const char *digits = arena_printf(c->w.arena, d == DT_F32 ? "%.9g" : "%.17g", d == DT_F32 ? (double)(float)x : x);
    const char *point = strpbrk(digits, ".e") ? "" : ".0";
    return arena_printf(c->w.arena, signbit(x) ? "(%s%s%s)" : "%s%s%s", digits, point, suffix);
}

static const char *int_literal(Cuda *c, int64_t x, DType d) {
    x = tile_int_wrap(d, x);
    if (d == DT_U32) return arena_printf(c->w.arena, "%lldu", (long long)x);
    if (d == DT_I32 && x == INT32_MIN) return "(-2147483647 - 1)";
    if (d == DT_I64 && x == INT64_MIN) return "(-9223372036854775807LL - 1)";
    const char *suffix = d == DT_I64 && (x > INT32_MAX || x < INT32_MIN) ? "LL" : "";
    return arena_printf(c->w.arena, x < 0 ? "(%lld%s)" : "%lld%s", (long long)x, suffix);
}

static const char *literal_text(Cuda *c, const TileExpr *e, DType d) {
    double x = e->fraction ? e->number : (double)e->whole;
    switch (d) {
    case DT_F64:
    case DT_F32: return float_literal(c, x, d);
    case DT_F16:
    case DT_BF16:
    case DT_F8E4M3:
    case DT_F8E5M2: return arena_printf(c->w.arena, "%u", (unsigned)float_bits(d, x));
    case DT_BOOL: return x != 0 ? "1" : "0";
    default: return int_literal(c, e->fraction ? (int64_t)e->number : e->whole, d);
    }
}

const char *cuda_as(Cuda *c, CudaValue v, TileType t) {
    return v.literal ? literal_text(c, v.literal, t.d) : v.text;
}

/* ---- addresses ----------------------------------------------------------------------------------------------------------- */

const char *cuda_poly(Cuda *c, TilePoly p) {
    Text t = {.arena = c->w.arena};
    bool several = p.n + (p.c != 0) > 1;
    if (several) text_add(&t, "(");
    for (int i = 0; i < p.n; i++) {
        int64_t factor = p.t[i].c;
        if (i) text_add(&t, factor < 0 ? " - " : " + ");
        else if (factor < 0) text_add(&t, "-");
        if (factor < 0) factor = -factor;
        if (factor != 1) text_add(&t, "%lld%s * ", (long long)factor, factor > INT32_MAX ? "LL" : "");
        for (int j = 0; j < p.t[i].n; j++) text_add(&t, "%s%s", j ? " * " : "", c->name[p.t[i].v[j]->id]);
    }
    if (!p.n) text_add(&t, "%s", int_literal(c, p.c, DT_I64));
    else if (p.c) text_add(&t, p.c < 0 ? " - %lld" : " + %lld", (long long)(p.c < 0 ? -p.c : p.c));
    if (several) text_add(&t, ")");
    return t.at;
}

const char *cuda_lane(Cuda *c, int n) {
    if (n > 32) walk_fail(&c->w, "%d lanes are more than a warp has", n);
    if (n == 32) return "nt_lane";
    if (n & (n - 1)) return arena_printf(c->w.arena, "nt_lane %% %d", n);
    return arena_printf(c->w.arena, "(nt_lane & %d)", n - 1);
}

const char *cuda_place(Cuda *c, const TileAccess *a, int n) {
    const char *at = cuda_poly(c, access_offset(&c->w, a)), *name = c->name[a->s->id];
    if (n == 1) return arena_printf(c->w.arena, "%s[%s]", name, at);
    TilePoly stride = buffer_stride(&c->w, a->s, a->lane_dim);
    if (!stride.n && stride.c == 0) return arena_printf(c->w.arena, "%s[%s]", name, at);
    const char *lane = cuda_lane(c, n);
    if (stride.n || stride.c != 1) lane = arena_printf(c->w.arena, "%s * %s", cuda_poly(c, stride), lane);
    return arena_printf(c->w.arena, "%s[%s + %s]", name, at, lane);
}

const char *cuda_inside(Cuda *c, const TileAccess *a, int n) {
    if (!access_needs_mask(&c->w, a)) return NULL;
    TilePoly room = poly_add(&c->w, poly_of(&c->w, a->limit), poly_of(&c->w, a->ix[a->lane_dim]), -1);
    return arena_printf(c->w.arena, "%s < %s", n == 1 ? "0" : cuda_lane(c, n), cuda_poly(c, room));
}

static const char *load(Cuda *c, const TileAccess *a) {
    int n = access_lanes(&c->w, a);
    const char *x = cuda_place(c, a, n), *inside = cuda_inside(c, a, n);
    if (a->s->d == DT_BOOL) x = arena_printf(c->w.arena, "(%s != 0)", x);
    if (!inside) return x;
    const char *fill = a->fill ? literal_text(c, a->fill, a->s->d) : cuda_zero(a->s->d);
    return arena_printf(c->w.arena, "(%s ? %s : %s)", inside, x, fill);
}

const char *cuda_element(Cuda *c, const TileSym *reg, int i) {
    if (reg->type.n == TILE_GROUP) return arena_printf(c->w.arena, "%s[%d]", c->name[reg->id], i);
    return reg->nr == 1 ? c->name[reg->id] : arena_printf(c->w.arena, "%s_%d", c->name[reg->id], i);
}

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

static const char *call(Cuda *c, const char *name, DType d, int n, const char *const *x) {
    Text t = {.arena = c->w.arena};
    text_add(&t, "nt_%s_%s(", name, dtype_name(d));
    for (int i = 0; i < n; i++) text_add(&t, "%s%s", i ? ", " : "", x[i]);
    text_add(&t, ")");
    return t.at;
}

/* A statement of its own: what crosses lanes. */
static const char *temporary(Cuda *c, DType d, const char *text) {
    const char *name = arena_printf(c->w.arena, "nt_t%d", c->temporaries++);
    text_line(&c->body, "const %s %s = %s;", cuda_type(d), name, text);
    return name;
}

static const char *infix(Cuda *c, const TileExpr *e, const char *const *x) {
    return arena_printf(c->w.arena, "(%s %s %s)", x[0], tile_op_row[e->op].name, x[1]);
}

static const char *arithmetic(Cuda *c, const TileExpr *e, DType d, const char *const *x) {
    const TileOpRow *row = &tile_op_row[e->op];
    static const char *const word[] = {"add", "sub", "mul", "div", "mod"};
    if (d == DT_BOOL && row->class == 'L') {
        if (e->op == TO_NOT) return arena_printf(c->w.arena, "(!%s)", x[0]);
        const char *sign = e->op == TO_AND ? "&" : e->op == TO_OR ? "|" : "^";
        return arena_printf(c->w.arena, "(%s %s %s)", x[0], sign, x[1]);
    }
    if (dtype_is_float(d)) {
        if (e->op <= TO_DIV) return infix(c, e, x);
        if (e->op == TO_NEG) return arena_printf(c->w.arena, "(-%s)", x[0]);
        if (e->op == TO_FMA_EXACT) return call(c, "fma", d, 3, x);
    }
    return call(c, e->op <= TO_MOD ? word[e->op] : row->name, d, row->args, x);
}

const char *cuda_cast(Cuda *c, const char *x, DType from, DType to) {
    Arena *a = c->w.arena;
    if (from == to) return x;
    if (dtype_is_narrow(from)) {
        x = arena_printf(a, "nt_f32_of_%s(%s)", dtype_name(from), x);
        from = DT_F32;
    }
    if (from == to) return x;
    if (to == DT_BOOL) return arena_printf(a, "(%s != %s)", x, cuda_zero(from));
    if (from == DT_BOOL) from = DT_I32;
    if (from == to) return x;
    if (!dtype_is_float(to)) {
        DType by = dtype_is_float(from) ? from : DT_I64; /* every integer fits i64 */
        if (to == DT_I64 && by == DT_I64) return arena_printf(a, "(nt_i64)%s", x);
        return arena_printf(a, "nt_%s_of_%s(%s)", dtype_name(to), dtype_name(by), x);
    }
    if (to == DT_F64) return arena_printf(a, "(double)%s", x);
    if (to == DT_F32) return arena_printf(a, "(float)%s", x);
    if (from == DT_F64) x = arena_printf(a, "nt_odd_of_f64(%s)", x);
    else if (from != DT_F32) x = arena_printf(a, "(float)%s", x);
    return arena_printf(a, "nt_%s_of_f32(%s)", dtype_name(to), x);
}

static const char *fold(Cuda *c, TileOp op, DType d, const char *a, const char *b) {
    const char *x[2] = {a, b};
    if (op == TO_TILE_ADD && dtype_is_float(d)) return arena_printf(c->w.arena, "(%s + %s)", a, b);
    return call(c, op == TO_TILE_ADD ? "add" : op == TO_TILE_MAX ? "max" : "min", d, 2, x);
}

/* Pairs folded, an odd one is kept, again and again. */
static CudaValue fold_tile(Cuda *c, const TileExpr *e) {
    int n, begin = reg_at(&c->w, &e->x[0]->a, &n);
    const TileSym *s = e->x[0]->a.s;
    const char **m = NEW_ARRAY(c->w.arena, const char *, n);
    for (int i = 0; i < n; i++) m[i] = cuda_element(c, s, begin + i);
    for (; n > 1; n = (n + 1) / 2) {
        for (int i = 0; i < n / 2; i++) m[i] = fold(c, e->op, s->d, m[2 * i], m[2 * i + 1]);
        if (n & 1) m[n / 2] = m[n - 1];
    }
    return (CudaValue){m[0], s->type, NULL};
}

static const char *special(Cuda *c, const TileExpr *e, const CudaValue *x, TileType operand, TileType t) {
    Arena *a = c->w.arena;
    const char *arg[TILE_ARGS] = {0};
    const TileType key = {DT_U32, 1};
    switch (e->op) {
    case TO_SELECT:
        arg[0] = cuda_as(c, x[0], (TileType){DT_BOOL, 1});
        arg[1] = cuda_as(c, x[1], t);
        arg[2] = cuda_as(c, x[2], t);
        return call(c, "select", t.d, 3, arg);
    case TO_MULHI:
        arg[0] = cuda_as(c, x[0], operand);
        arg[1] = cuda_as(c, x[1], operand);
        return call(c, "mulhi", DT_U32, 2, arg);
    case TO_RESCALE:
        arg[0] = cuda_as(c, x[0], t);
        arg[1] = cuda_as(c, x[1], operand);
        return call(c, "rescale", DT_F32, 2, arg);
    case TO_SPLAT: return cuda_as(c, x[0], t);
    case TO_REPEAT: /* lane l of the result is lane l % m of x, and that is what this thread holds */
        if (t.n % x[0].t.n || (x[0].t.n & (x[0].t.n - 1))) walk_fail(&c->w, "repeat of %d lanes", x[0].t.n);
        return x[0].text;
    case TO_IOTA: return cuda_lane(c, t.n);
    case TO_HADD:
    case TO_HMAX:
    case TO_HMIN:
        if (operand.n == 1) return x[0].text;
        cuda_lane(c, operand.n);
        arg[0] = arena_printf(a, "nt_%s_%s(%s, %d, nt_lane)", tile_op_row[e->op].name, dtype_name(operand.d), x[0].text, operand.n);
        return temporary(c, operand.d, arg[0]);
    case TO_HARGMAX:
    case TO_HARGMIN:
        if (operand.n == 1) return x[1].text;
        cuda_lane(c, operand.n);
        arg[0] = arena_printf(a, "nt_%s_%s(%s, %s, %d, nt_lane)", tile_op_row[e->op].name, dtype_name(operand.d), x[0].text, x[1].text,
                              operand.n);
        return temporary(c, DT_I32, arg[0]);
    case TO_PHILOX:
        for (int i = 0; i < 4; i++) arg[i] = cuda_as(c, x[i], key);
        arg[4] = cuda_as(c, x[4], (TileType){DT_I64, 1});
        return arena_printf(a, "nt_philox(%s, %s, %s, %s, %s + %s)", arg[0], arg[1], arg[2], arg[3], arg[4], t.n > 1 ? cuda_lane(c, t.n) : "0");
    case TO_NORMAL: return arena_printf(a, "nt_normal(%s)", x[0].text);
    case TO_UNIFORM01: return arena_printf(a, "nt_uniform01(%s)", x[0].text);
    default: walk_fail(&c->w, "no lowering of %s", tile_op_row[e->op].name);
    }
}

/* The sum of the lanes of each vector of a register tile: lane i takes that of vector i. */
static CudaValue add_rows(Cuda *c, const TileExpr *e) {
    int n, begin = reg_at(&c->w, &e->x[0]->a, &n);
    const TileSym *s = e->x[0]->a.s;
    TileType t = {s->d, n};
    const char *sum = NULL, *lane = n > 1 ? cuda_lane(c, n) : NULL;
    for (int i = 0; i < n; i++) {
        const char *one = cuda_element(c, s, begin + i);
        if (s->type.n > 1) {
            cuda_lane(c, s->type.n);
            one = temporary(c, s->d, arena_printf(c->w.arena, "nt_hadd_%s(%s, %d, nt_lane)", dtype_name(s->d), one, s->type.n));
        }
        sum = sum ? arena_printf(c->w.arena, "(%s == %d ? %s : %s)", lane, i, one, sum) : one;
    }
    return (CudaValue){sum, t, NULL};
}

/* ---- the tree ------------------------------------------------------------------------------------------------------------ */

static CudaValue symbol(Cuda *c, const TileSym *s) {
    if (s->k == TS_LET || s->k == TS_SCALAR) return (CudaValue){c->name[s->id], sym_type(s), NULL};
    const char *text = s->known ? int_literal(c, s->value, DT_I64) : c->name[s->id];
    return (CudaValue){text, {DT_I64, 1}, NULL};
}

static CudaValue operation(Cuda *c, const TileExpr *e) {
    CudaValue x[TILE_ARGS] = {{0}};
    TileType types[TILE_ARGS] = {{0}}, operand;
    const TileOpRow *row = &tile_op_row[e->op];
    const char *arg[TILE_ARGS];
    if (e->op == TO_HADDS) return add_rows(c, e);
    if (op_takes_tile(e->op)) return fold_tile(c, e);
    for (int i = 0; i < row->args; i++) {
        x[i] = cuda_expr(c, e->x[i]);
        types[i] = x[i].t;
    }
    TileType t = tile_type_of(&c->w, e, types, &operand);
    if (row->class == '*') return (CudaValue){special(c, e, x, operand, t), t, NULL};
    for (int i = 0; i < row->args; i++) arg[i] = cuda_as(c, x[i], operand);
    if (row->class == 'T') return (CudaValue){cuda_cast(c, arg[0], operand.d, t.d), t, NULL};
    if (row->class == 'C') return (CudaValue){infix(c, e, arg), t, NULL};
    return (CudaValue){arithmetic(c, e, operand.d, arg), t, NULL};
}

CudaValue cuda_expr(Cuda *c, const TileExpr *e) {
    TilePoly p;
    switch (e->k) {
    case TE_NUMBER: return (CudaValue){NULL, {TILE_LITERAL, 1}, e};
    case TE_SYM: return symbol(c, e->s);
    case TE_ACCESS:
        if (e->a.s->k == TS_REG) return (CudaValue){cuda_element(c, e->a.s, reg_at(&c->w, &e->a, NULL)), e->a.s->type, NULL};
        return (CudaValue){load(c, &e->a), {e->a.s->d, access_lanes(&c->w, &e->a)}, NULL};
    case TE_OP: break;
    }
    if (e->op <= TO_MOD && poly_try(&c->w, e, &p)) return (CudaValue){cuda_poly(c, p), {DT_I64, 1}, NULL}; /* index arithmetic */
    return operation(c, e);
}
