/* tile_interp.c -- the meaning of the tile IR: a tree walk with every access checked. f32 is rounded after each operation,
 * as the code does, so both agree to the last bit wherever no approximated function is involved (exp, log, sin, ..: here the
 * C library in double). fma is rounded once. Floats are held as double, integers and bool as int64. Not fast; it is the
 * oracle of the lowering. */
#include "codegen/tile_number.h"
#include "codegen/tile_walk.h"
#include "ir/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef union Lane {
    double f;
    int64_t i;
} Lane;

typedef struct Value {
    TileType t;
    Lane v[TILE_LANES];
} Value;

typedef struct Interp {
    TileWalk *w;
    int64_t first, last; /* iterations of the nest: first .. last - 1 */
    int64_t ahead; /* groups of copies that were not waited for */
} Interp;

static void expression(Interp *in, const TileExpr *e, Value *out);
static void block(Interp *in, const TileStmt *s);

/* ------------------------------------------------------------------ memory */

static Lane memory_read(DType d, const void *p) {
    Lane x = {0};
    union {
        uint16_t u16;
        double f64;
        float f32;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        uint32_t u32;
    } m;
    memcpy(&m, p, (size_t)dtype_bytes(d));
    switch (d) {
    case DT_F64: x.f = m.f64; break;
    case DT_F32: x.f = m.f32; break;
    case DT_F16:
    case DT_BF16: x.f = float_value(d, m.u16); break;
    case DT_F8E4M3:
    case DT_F8E5M2: x.f = float_value(d, *(const uint8_t *)p); break;
    case DT_I64: x.i = m.i64; break;
    case DT_I32: x.i = m.i32; break;
    case DT_I16: x.i = m.i16; break;
    case DT_I8: x.i = *(const int8_t *)p; break;
    case DT_U32: x.i = m.u32; break;
    case DT_BOOL: x.i = *(const uint8_t *)p != 0; break;
    default: x.i = *(const uint8_t *)p; break;
    }
    return x;
}

static void memory_write(DType d, void *p, Lane x) {
    float f = (float)x.f;
    uint64_t bits;
    switch (d) {
    case DT_F64: memcpy(p, &x.f, 8); break;
    case DT_F32: memcpy(p, &f, 4); break;
    case DT_F16:
    case DT_BF16:
    case DT_F8E4M3:
    case DT_F8E5M2:
        bits = float_bits(d, x.f);
        memcpy(p, &bits, (size_t)dtype_bytes(d)); /* little endian */
        break;
    default: memcpy(p, &x.i, (size_t)dtype_bytes(d)); break; /* little endian */
    }
}

static int64_t integer(Interp *in, const TileExpr *e) {
    if (e->k == TE_NUMBER && !e->fraction) return e->whole;
    if (e->k == TE_SYM && e->s->known) return e->s->value;
    if (e->k == TE_OP && e->op <= TO_MOD) {
        uint64_t a = (uint64_t)integer(in, e->x[0]), b = (uint64_t)integer(in, e->x[1]);
        switch (e->op) {
        case TO_ADD: return (int64_t)(a + b);
        case TO_SUB: return (int64_t)(a - b);
        case TO_MUL: return (int64_t)(a * b);
        case TO_DIV: return tile_floor_div((int64_t)a, (int64_t)b);
        default: return tile_floor_mod((int64_t)a, (int64_t)b);
        }
    }
    Value x;
    expression(in, e, &x);
    return x.v[0].i;
}

static int64_t integer_or_zero(Interp *in, const TileExpr *e) {
    return e ? integer(in, e) : 0;
}

static int64_t element_stride(Interp *in, const TileSym *s, int dim) {
    if (s->stride[dim]) return integer(in, s->stride[dim]);
    int64_t n = 1;
    for (int i = dim + 1; i < s->nd; i++) n *= integer(in, s->hi[i]) - integer_or_zero(in, s->lo[i]);
    return n;
}

/* Address of one lane; NULL: beyond the limit. */
static char *address(Interp *in, const TileAccess *a, int lane) {
    const TileSym *s = a->s;
    int64_t offset = integer_or_zero(in, s->offset);
    for (int i = 0; i < a->n; i++) {
        int64_t x = integer(in, a->ix[i]) + (i == a->lane_dim ? lane : 0);
        int64_t lo = integer_or_zero(in, s->lo[i]), hi = integer(in, s->hi[i]);
        if (i == a->lane_dim && a->limit && x >= integer(in, a->limit)) return NULL;
        if (x < lo || x >= hi)
            walk_fail(in->w, "index %d of %s is %lld, not in %lld..%lld", i, s->name, (long long)x, (long long)lo,
                      (long long)hi);
        offset += (x - lo) * element_stride(in, s, i);
    }
    return (char *)s->v + offset * dtype_bytes(s->d);
}

static Lane literal_lane(const TileExpr *e, DType d) {
    Lane x;
    if (dtype_is_float(d)) x.f = round_float(d, e->fraction ? e->number : (double)e->whole);
    else x.i = tile_int_wrap(d, e->whole);
    return x;
}

/* ------------------------------------------------------------------ operations */

/* Brings a value to a type: a literal gets its element type, one lane is repeated. */
static void become(Value *x, const TileExpr *e, TileType t) {
    if (x->t.d == TILE_LITERAL) x->v[0] = literal_lane(e, t.d);
    if (x->t.n == 1)
        for (int l = 1; l < t.n; l++) x->v[l] = x->v[0];
    x->t = t;
}

static double larger(double a, double b) {
    return b > a || isnan(b) ? b : a;
}
static double smaller(double a, double b) {
    return b < a || isnan(b) ? b : a;
}

static double float_function(TileOp op, double x) {
    switch (op) {
    case TO_NEG: return -x;
    case TO_ABS: return fabs(x);
    case TO_SIGN: return x > 0 ? 1 : x < 0 ? -1 : x;
    case TO_FLOOR: return floor(x);
    case TO_CEIL: return ceil(x);
    case TO_ROUND: return rint(x);
    case TO_SQRT: return sqrt(x);
    case TO_EXP: return exp(x);
    case TO_EXPM1: return expm1(x);
    case TO_LOG: return log(x);
    case TO_LOG1P: return log1p(x);
    case TO_SIN: return sin(x);
    case TO_COS: return cos(x);
    case TO_TANH: return tanh(x);
    case TO_ERF: return erf(x);
    case TO_SIGMOID: return 1 / (1 + exp(-x));
    case TO_GELU: return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case TO_RELU: return 0 > x ? 0 : x;
    default: return NAN;
    }
}

static double float_op(Interp *in, TileOp op, DType d, double x, double y, double z) {
    bool single = d == DT_F32;
    switch (op) {
    case TO_ADD: return round_float(d, x + y);
    case TO_SUB: return round_float(d, x - y);
    case TO_MUL: return round_float(d, x * y);
    case TO_DIV: return round_float(d, x / y);
    case TO_MOD: {
        double q = floor(round_float(d, x / y)), p = round_float(d, q * y);
        return round_float(d, x - p);
    }
    case TO_MIN: return smaller(x, y);
    case TO_MAX: return larger(x, y);
    case TO_MIN_FAST: return x < y ? x : y;
    case TO_MAX_FAST: return x > y ? x : y;
    case TO_POW: return round_float(d, pow(x, y));
    case TO_ATAN2: return round_float(d, atan2(x, y));
    case TO_FMA:
    case TO_FMA_EXACT: return single ? (double)fmaf((float)x, (float)y, (float)z) : fma(x, y, z);
    case TO_RSQRT: return round_float(d, 1 / round_float(d, sqrt(x)));
    default: break;
    }
    if (tile_op_row[op].args != 1) walk_fail(in->w, "no float meaning of %s", tile_op_row[op].name);
    return round_float(d, float_function(op, x));
}

static int64_t int_op(Interp *in, TileOp op, DType d, int64_t x, int64_t y, int64_t z) {
    uint64_t a = (uint64_t)x, b = (uint64_t)y, c = (uint64_t)z;
    int bits = d == DT_BOOL ? 1 : dtype_bytes(d) * 8;
    switch (op) {
    case TO_ADD: return tile_int_wrap(d, (int64_t)(a + b));
    case TO_SUB: return tile_int_wrap(d, (int64_t)(a - b));
    case TO_MUL: return tile_int_wrap(d, (int64_t)(a * b));
    case TO_FMA: return tile_int_wrap(d, (int64_t)(a * b + c));
    case TO_DIV: return tile_int_wrap(d, tile_floor_div(x, y));
    case TO_MOD: return tile_int_wrap(d, tile_floor_mod(x, y));
    case TO_MIN:
    case TO_MIN_FAST: return x < y ? x : y;
    case TO_MAX:
    case TO_MAX_FAST: return x > y ? x : y;
    case TO_AND: return x & y;
    case TO_OR: return x | y;
    case TO_XOR: return x ^ y;
    case TO_NOT: return d == DT_BOOL ? !x : tile_int_wrap(d, ~x);
    case TO_SHL: return tile_int_wrap(d, (int64_t)(a << (b & (uint64_t)(bits - 1))));
    case TO_SHR: return tile_int_wrap(d, x >> (b & (uint64_t)(bits - 1)));
    case TO_NEG: return tile_int_wrap(d, (int64_t)(0 - a));
    case TO_ABS: return x < 0 ? tile_int_wrap(d, (int64_t)(0 - a)) : x;
    case TO_SIGN: return (x > 0) - (x < 0);
    case TO_RELU: return x > 0 ? x : 0;
    default: walk_fail(in->w, "no integer meaning of %s", tile_op_row[op].name);
    }
}

static bool compare(TileOp op, bool is_float, Lane a, Lane b) {
    switch (op) {
    case TO_LT: return is_float ? a.f < b.f : a.i < b.i;
    case TO_LE: return is_float ? a.f <= b.f : a.i <= b.i;
    case TO_GT: return is_float ? a.f > b.f : a.i > b.i;
    case TO_GE: return is_float ? a.f >= b.f : a.i >= b.i;
    case TO_EQ: return is_float ? a.f == b.f : a.i == b.i;
    default: return is_float ? a.f != b.f : a.i != b.i;
    }
}

static Lane cast(DType from, DType to, Lane x) {
    Lane r;
    if (dtype_is_float(from) && dtype_is_float(to)) r.f = round_float(to, x.f);
    else if (dtype_is_float(from)) r.i = tile_int_from_float(to, x.f);
    else if (!dtype_is_float(to)) r.i = tile_int_saturate(to, x.i);
    else if (to == DT_F32) r.f = (float)x.i; /* once, not through double */
    else r.f = round_float(to, to == DT_F64 ? (double)x.i : (double)(float)x.i);
    return r;
}

static Lane fold(TileOp op, DType d, Lane a, Lane b) {
    Lane r;
    bool is_float = dtype_is_float(d);
    if (op == TO_HADD || op == TO_TILE_ADD) {
        if (is_float) r.f = round_float(d, a.f + b.f);
        else r.i = tile_int_wrap(d, (int64_t)((uint64_t)a.i + (uint64_t)b.i));
    } else if (op == TO_HMAX || op == TO_TILE_MAX) {
        if (is_float) r.f = larger(a.f, b.f);
        else r.i = a.i > b.i ? a.i : b.i;
    } else {
        if (is_float) r.f = smaller(a.f, b.f);
        else r.i = a.i < b.i ? a.i : b.i;
    }
    return r;
}

static void fold_lanes(TileOp op, const Value *a, Value *out) {
    *out = *a;
    for (int n = a->t.n; n > 1; n /= 2)
        for (int l = 0; l < n / 2; l++) out->v[l] = fold(op, a->t.d, out->v[l], out->v[l + n / 2]);
    out->t.n = 1;
}

/* Pairs folded, an odd one is kept, again and again. */
static void fold_tile(Interp *in, const TileExpr *e, Value *out) {
    int n, begin = reg_at(in->w, &e->x[0]->a, &n);
    Value *const *r = (Value *const *)(void *)e->x[0]->a.s->r + begin;
    Lane *m = NEW_ARRAY(in->w->arena, Lane, n);
    out->t = r[0]->t;
    for (int l = 0; l < out->t.n; l++) {
        for (int i = 0; i < n; i++) m[i] = r[i]->v[l];
        for (int left = n; left > 1; left = (left + 1) / 2) {
            for (int i = 0; i < left / 2; i++) m[i] = fold(e->op, out->t.d, m[2 * i], m[2 * i + 1]);
            if (left & 1) m[left / 2] = m[left - 1];
        }
        out->v[l] = m[0];
    }
}

/* The sum of the lanes of each vector of a register tile. */
static void add_rows(Interp *in, const TileExpr *e, Value *out) {
    int n, begin = reg_at(in->w, &e->x[0]->a, &n);
    Value *const *r = (Value *const *)(void *)e->x[0]->a.s->r + begin;
    out->t = (TileType){r[0]->t.d, n};
    for (int i = 0; i < n; i++) {
        Value sum;
        fold_lanes(TO_HADD, r[i], &sum);
        out->v[i] = sum.v[0];
    }
}

static bool beats(TileOp op, bool is_float, Lane a, Lane b) {
    if (!is_float) return op == TO_HARGMAX ? a.i > b.i : a.i < b.i;
    if (isnan(a.f) || isnan(b.f)) return isnan(a.f) && !isnan(b.f);
    return op == TO_HARGMAX ? a.f > b.f : a.f < b.f;
}

static void best_lane(const TileExpr *e, const Value *v, const Value *place, Value *out) {
    int best = 0;
    bool is_float = dtype_is_float(v->t.d);
    for (int l = 1; l < v->t.n; l++) {
        bool wins = beats(e->op, is_float, v->v[l], v->v[best]), loses = beats(e->op, is_float, v->v[best], v->v[l]);
        if (wins || (!loses && place->v[l].i < place->v[best].i)) best = l;
    }
    out->t = (TileType){DT_I32, 1};
    out->v[0] = place->v[best];
}

static void elementwise(Interp *in, const TileExpr *e, Value *x, TileType operand, TileType result, Value *out) {
    int args = tile_op_row[e->op].args;
    bool is_float = dtype_is_float(operand.d);
    for (int i = 0; i < args; i++) become(&x[i], e->x[i], (TileType){operand.d, operand.n});
    out->t = result;
    for (int l = 0; l < result.n; l++) {
        Lane a = x[0].v[l], b = args > 1 ? x[1].v[l] : (Lane){0}, c = args > 2 ? x[2].v[l] : (Lane){0};
        if (tile_op_row[e->op].class == 'C') out->v[l].i = compare(e->op, is_float, a, b);
        else if (tile_op_row[e->op].class == 'T') out->v[l] = cast(operand.d, result.d, a);
        else if (is_float) out->v[l].f = float_op(in, e->op, operand.d, a.f, b.f, c.f);
        else out->v[l].i = int_op(in, e->op, operand.d, a.i, b.i, c.i);
    }
}

static int64_t rescaled(int64_t x, float m) {
    const float most = (1 << 30) - 64;
    float y = (float)x * m;
    return (int64_t)(y > most ? most : y > -most ? rintf(y) : -most);
}

static void special(const TileExpr *e, Value *x, TileType operand, TileType result, Value *out) {
    out->t = result;
    switch (e->op) {
    case TO_SELECT:
        become(&x[0], e->x[0], (TileType){DT_BOOL, result.n});
        become(&x[1], e->x[1], result);
        become(&x[2], e->x[2], result);
        for (int l = 0; l < result.n; l++) out->v[l] = x[0].v[l].i ? x[1].v[l] : x[2].v[l];
        break;
    case TO_MULHI:
        become(&x[0], e->x[0], operand);
        become(&x[1], e->x[1], operand);
        for (int l = 0; l < result.n; l++) out->v[l].i = (int64_t)((uint64_t)x[0].v[l].i * (uint64_t)x[1].v[l].i >> 32);
        break;
    case TO_RESCALE:
        become(&x[0], e->x[0], result);
        become(&x[1], e->x[1], operand);
        for (int l = 0; l < result.n; l++) out->v[l].i = rescaled(x[0].v[l].i, (float)x[1].v[l].f);
        break;
    case TO_SPLAT:
        become(&x[0], e->x[0], result);
        *out = x[0];
        break;
    case TO_REPEAT:
        for (int l = 0; l < result.n; l++) out->v[l] = x[0].v[l % x[0].t.n];
        break;
    case TO_STRETCH:
        for (int l = 0; l < result.n; l++) out->v[l] = x[0].v[l * x[0].t.n / result.n];
        break;
    case TO_BRAID:
        for (int l = 0; l < result.n; l++) out->v[l] = x[l % 4].v[l / 4];
        break;
    case TO_LIFT:
        for (int l = 0; l < result.n; l++) out->v[l].i = x[0].v[l].i + 128;
        break;
    case TO_IOTA:
        for (int l = 0; l < result.n; l++) out->v[l].i = l;
        break;
    case TO_HADD:
    case TO_HMAX:
    case TO_HMIN: fold_lanes(e->op, &x[0], out); break;
    case TO_HARGMAX:
    case TO_HARGMIN: best_lane(e, &x[0], &x[1], out); break;
    case TO_PHILOX: {
        uint32_t key[4];
        for (int i = 0; i < 4; i++) {
            become(&x[i], e->x[i], (TileType){DT_U32, 1});
            key[i] = (uint32_t)x[i].v[0].i;
        }
        become(&x[4], e->x[4], (TileType){DT_I64, 1});
        for (int l = 0; l < result.n; l++)
            out->v[l].i = tile_philox_word(key[0], key[1], key[2], key[3], (int64_t)((uint64_t)x[4].v[0].i + (uint64_t)l));
        break;
    }
    case TO_DOTS:
        for (int l = 0; result.d == DT_F32 && l < result.n; l++) {
            float sum = (float)x[0].v[l].f;
            for (int i = 2 * l + 1; i >= 2 * l; i--) sum = fmaf((float)x[1].v[i].f, (float)x[2].v[i].f, sum);
            out->v[l].f = (double)sum;
        }
        if (result.d == DT_F32) break;
        for (int l = 0, g = x[1].t.n / result.n; l < result.n; l++) {
            uint64_t sum = (uint64_t)x[0].v[l].i;
            for (int i = g * l; i < g * (l + 1); i++) sum += (uint64_t)(x[1].v[i].i * x[2].v[i].i);
            out->v[l].i = tile_int_wrap(DT_I32, (int64_t)sum);
        }
        break;
    case TO_BLOCKS:
        for (int l = 0; l < result.n; l++) {
            uint64_t sum = (uint64_t)x[0].v[l].i;
            for (int i = 0; i < 8; i++) sum += (uint64_t)(x[1].v[l / 2 * 8 + i].i * x[2].v[l % 2 * 8 + i].i);
            out->v[l].i = tile_int_wrap(DT_I32, (int64_t)sum);
        }
        break;
    case TO_NORMAL:
        for (int l = 0; l < result.n; l++) out->v[l].f = tile_normal_number((uint32_t)x[0].v[l].i);
        break;
    default: /* TO_UNIFORM01 */
        for (int l = 0; l < result.n; l++) out->v[l].f = (double)(x[0].v[l].i >> 8) * 0x1p-24;
        break;
    }
}

static void operation(Interp *in, const TileExpr *e, Value *out) {
    Value x[TILE_ARGS];
    TileType types[TILE_ARGS], operand, result;
    if (e->op == TO_HADDS) {
        add_rows(in, e, out);
        return;
    }
    if (op_takes_tile(e->op)) {
        fold_tile(in, e, out);
        return;
    }
    for (int i = 0; i < tile_op_row[e->op].args; i++) {
        expression(in, e->x[i], &x[i]);
        types[i] = x[i].t;
    }
    result = tile_type_of(in->w, e, types, &operand);
    if (tile_op_row[e->op].class == '*') special(e, x, operand, result, out);
    else elementwise(in, e, x, operand, result, out);
}

static void expression(Interp *in, const TileExpr *e, Value *out) {
    TileSym *s = e->k == TE_SYM ? e->s : e->k == TE_ACCESS ? e->a.s : NULL;
    switch (e->k) {
    case TE_NUMBER: out->t = (TileType){TILE_LITERAL, 1}; return;
    case TE_SYM:
        if (s->k == TS_LET) {
            *out = *(const Value *)s->v;
        } else if (s->k == TS_SCALAR) {
            out->t = (TileType){s->d, 1};
            out->v[0] = memory_read(s->d, s->v);
        } else {
            out->t = (TileType){DT_I64, 1};
            out->v[0].i = s->value;
        }
        return;
    case TE_ACCESS:
        if (s->k == TS_REG) {
            *out = *(const Value *)s->r[reg_at(in->w, &e->a, NULL)];
            return;
        }
        out->t = (TileType){s->d, access_lanes(in->w, &e->a)};
        for (int l = 0; l < out->t.n; l++) {
            const char *p = address(in, &e->a, l);
            if (p) out->v[l] = memory_read(s->d, p);
            else if (e->a.fill) out->v[l] = literal_lane(e->a.fill, s->d);
            else out->v[l] = (Lane){0};
        }
        return;
    case TE_OP: operation(in, e, out); return;
    }
}

/* ------------------------------------------------------------------ statements */

static bool made_of_constants(const TileExpr *e) {
    if (e->k == TE_SYM) return e->s->k == TS_CONST;
    if (e->k == TE_ACCESS) return false;
    for (int i = 0; e->k == TE_OP && i < tile_op_row[e->op].args; i++)
        if (!made_of_constants(e->x[i])) return false;
    return true;
}

static bool count_known(const TileStmt *s) {
    return made_of_constants(s->lo) && made_of_constants(s->hi);
}

/* The tile that begins at i: whole, or the largest of the halving series (the exact rest where the count is static). */
static int64_t tile_here(const TileStmt *s, int64_t tile, int64_t left) {
    if (s->masked || s->step || left >= tile) return tile;
    if (count_known(s)) return left;
    while (tile > left) tile = tile > 2 ? (tile + 1) / 2 : 1;
    return tile;
}

static void loop(Interp *in, const TileStmt *s, int64_t lo, int64_t hi) {
    int64_t tile = loop_tile(in->w, s);
    for (int64_t i = lo; i < hi;) {
        int64_t here = tile_here(s, tile, hi - i);
        s->s->known = true;
        s->s->value = i;
        if (s->tile) {
            s->tile->known = true;
            s->tile->value = here;
        }
        block(in, s->body);
        i += here;
    }
}

static Value *value_room(Interp *in, TileSym *s) {
    if (!s->v) s->v = NEW(in->w->arena, Value);
    return s->v;
}

static void reg_statement(Interp *in, const TileStmt *s) {
    TileSym *y = s->s;
    Value init;
    reg_declare(in->w, y);
    int n = y->nr * (y->type.n == TILE_GROUP ? TILE_GROUP / 32 : 1); /* of a group: a value for each of its warps */
    if (y->room < n) {
        y->r = NEW_ARRAY(in->w->arena, void *, n);
        for (int i = 0; i < n; i++) y->r[i] = NEW(in->w->arena, Value);
        y->room = n;
    }
    memset(&init, 0, sizeof init);
    init.t = y->type;
    if (s->e) {
        expression(in, s->e, &init);
        become(&init, s->e, y->type);
    }
    for (int i = 0; i < n; i++) *(Value *)y->r[i] = init;
}

static void buffer_statement(Interp *in, TileSym *s) {
    int64_t bytes = buffer_bytes(in->w, s);
    if (s->room < bytes || !s->v) {
        s->v = arena_alloc(in->w->arena, (size_t)bytes);
        s->room = bytes;
    }
    memset(s->v, 0xff, (size_t)bytes); /* NaN: what is read before it is written shows */
}

static void store_statement(Interp *in, const TileStmt *s) {
    Value x;
    expression(in, s->e, &x);
    become(&x, s->e, (TileType){s->a.s->d, access_lanes(in->w, &s->a)});
    for (int l = 0; l < x.t.n; l++) {
        char *p = address(in, &s->a, l);
        if (p) memory_write(s->a.s->d, p, x.v[l]);
    }
}

static void index_statement(Interp *in, const TileStmt *s) {
    bool clamped = s->e->k == TE_OP && s->e->op == TO_CLAMP;
    int64_t x = integer(in, clamped ? s->e->x[0] : s->e), lo = integer(in, s->lo), hi = integer(in, s->hi);
    if (clamped) x = x > hi - 1 ? hi - 1 : x < lo ? lo : x;
    if (x < lo || x >= hi)
        walk_fail(in->w, "the index %s is %lld, not in %lld..%lld", s->s->name, (long long)x, (long long)lo, (long long)hi);
    s->s->known = true;
    s->s->value = x;
}

static void transpose(const TileSym *s) {
    for (int i = 0; i < s->nr; i++)
        for (int j = 0; j < i; j++) {
            Value *a = s->r[i], *b = s->r[j];
            Lane x = a->v[j];
            a->v[j] = b->v[i];
            b->v[i] = x;
        }
}

/* ------------------------------------------------------------------ warps: copies are there at once, which is one of the times they may be */

static void copy_statement(Interp *in, const TileStmt *s) {
    const TileAccess *from = &s->e->a;
    int64_t lo = integer(in, s->lo), hi = integer(in, s->hi), end = s->by ? integer(in, s->by) : hi;
    const Lane zero = {0};
    int lanes = access_lanes(in->w, from);
    s->s->known = true;
    for (int64_t q = lo; q < hi; q++) {
        s->s->value = q;
        for (int l = 0; l < lanes; l++) {
            const char *p = q < end ? address(in, from, l) : NULL;
            memory_write(s->a.s->d, address(in, &s->a, l), p ? memory_read(from->s->d, p) : zero);
        }
    }
    s->s->known = false;
}

/* Element row, column of the matrix of 16 x 16 at an element of a buffer. */
static char *matrix_at(Interp *in, const TileAccess *a, int64_t row, int64_t column) {
    int64_t offset = 0;
    for (int i = 0; i < a->n; i++) {
        int64_t x = integer(in, a->ix[i]) + (i == a->n - 1 ? column : i == a->n - 2 ? row : 0), hi = integer(in, a->s->hi[i]);
        if (x < 0 || x >= hi) walk_fail(in->w, "a matrix leaves %s: index %d is %lld", a->s->name, i, (long long)x);
        offset += x * element_stride(in, a->s, i);
    }
    return (char *)a->s->v + offset * dtype_bytes(a->s->d);
}

static Value *tile_element(Interp *in, const TileAccess *a, int e) {
    int count;
    return a->s->r[reg_at(in->w, a, &count) + e];
}

/* The nearest number with 10 bits behind the point, of two the one further from 0. */
static uint32_t tf32_of(uint32_t bits) {
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fffffff;
    return (bits + 0x1000) & ~0x1fffu;
}

/* An element of a fragment: its bits. */
static uint32_t fragment_element(Interp *in, const TileStmt *s, int row, int column) {
    const TileAccess *a = &s->e->a;
    const char *p = s->across ? matrix_at(in, a, column, row) : matrix_at(in, a, row, column);
    uint32_t x = 0;
    if (s->d != a->s->d) return (uint32_t)float_bits(s->d, memory_read(a->s->d, p).f);
    memcpy(&x, p, (size_t)dtype_bytes(s->d));
    return s->d == DT_F32 ? tf32_of(x) : x;
}

/* A register of a fragment: a number of four bytes, or two of two. */
static void ldmatrix(Interp *in, const TileStmt *s) {
    int n = 4 / dtype_bytes(s->d);
    for (int e = 0; e < 4; e++)
        for (int l = 0; l < 32; l++) {
            int row = l / 4 + e % 2 * 8, column = l % 4 * n + e / 2 * 4 * n;
            uint32_t x = 0;
            for (int i = 0; i < n; i++) x |= fragment_element(in, s, row, column + i) << i * 16;
            tile_element(in, &s->a, e)->v[l].i = x;
        }
}

/* Element row, column of a fragment. */
static double fragment(Interp *in, const TileAccess *a, DType d, int row, int column) {
    int n = 4 / dtype_bytes(d);
    const Value *x = tile_element(in, a, row / 8 + column / (4 * n) * 2);
    uint32_t bits = (uint32_t)x->v[row % 8 * 4 + column % (4 * n) / n].i;
    float f;
    memcpy(&f, &bits, sizeof f);
    return d == DT_F32 ? (double)f : float_value(d, (uint16_t)(bits >> column % n * 16));
}

static Lane *sum_at(Interp *in, const TileAccess *a, int row, int column) {
    return &tile_element(in, a, column / 8 * 4 + row / 8 * 2 + column % 2)->v[row % 8 * 4 + column % 8 / 2];
}

static void mma(Interp *in, const TileStmt *s) {
    double f[TILE_BLOCK][TILE_ROW], g[TILE_BLOCK][TILE_ROW];
    int terms = TILE_ROW / dtype_bytes(s->d);
    for (int i = 0; i < TILE_BLOCK; i++)
        for (int k = 0; k < terms; k++) {
            f[i][k] = fragment(in, &s->lo->a, s->d, i, k);
            g[i][k] = fragment(in, &s->hi->a, s->d, i, k);
        }
    for (int i = 0; i < TILE_BLOCK; i++)
        for (int j = 0; j < TILE_BLOCK; j++) {
            Lane *sum = sum_at(in, &s->a, i, j);
            for (int k = 0; k < terms; k++) sum->f = fmaf((float)f[i][k], (float)g[j][k], (float)sum->f);
        }
}

static void put(Interp *in, const TileStmt *s) {
    for (int i = 0; i < TILE_BLOCK; i++)
        for (int j = 0; j < TILE_BLOCK; j++) memory_write(DT_F32, matrix_at(in, &s->a, i, j), *sum_at(in, &s->e->a, i, j));
}

/* ------------------------------------------------------------------ groups: products are there at once, too */

/* Sum of a row and a column of those of a group. */
static Lane *group_sum_at(const TileSym *t, int row, int column) {
    int warp = row % TILE_SQUARE / TILE_BLOCK, e = column % TILE_BLOCK / 8 * 4 + row % TILE_BLOCK / 8 * 2 + column % 2;
    int at = (row / TILE_SQUARE * t->dim[1] + column / TILE_BLOCK) * t->dim[2] + e;
    return &((Value *)t->r[TILE_GROUP / 32 * at + warp])->v[row % 8 * 4 + column % 8 / 2];
}

/* Term `term` of a row of a factor. */
static float factor_at(Interp *in, const TileAccess *a, bool across, DType d, int row, int term) {
    int64_t square = TILE_SQUARE * TILE_SQUARE * (row / TILE_SQUARE), within = row % TILE_SQUARE;
    uint16_t bits;
    memcpy(&bits, (across ? matrix_at(in, a, term, within) : matrix_at(in, a, within, term)) + square * (int64_t)sizeof bits, sizeof bits);
    return (float)float_value(d, bits);
}

static void multiply(Interp *in, const TileStmt *s) {
    float f[TILE_SQUARE];
    static _Thread_local float g[TILE_GROUP][TILE_SQUARE];
    const TileSym *t = s->a.s;
    int rows = t->dim[0] * TILE_SQUARE, columns = t->dim[1] * TILE_BLOCK;
    for (int j = 0; j < columns; j++)
        for (int k = 0; k < TILE_SQUARE; k++) g[j][k] = factor_at(in, &s->hi->a, s->across_b, s->d, j, k);
    for (int i = 0; i < rows; i++) {
        for (int k = 0; k < TILE_SQUARE; k++) f[k] = factor_at(in, &s->lo->a, s->across, s->d, i, k);
        for (int j = 0; j < columns; j++) {
            Lane *sum = group_sum_at(t, i, j);
            for (int k = 0; k < TILE_SQUARE; k++) sum->f = fmaf(f[k], g[j][k], (float)sum->f);
        }
    }
}

static void group_put(Interp *in, const TileStmt *s) {
    const TileSym *t = s->e->a.s;
    for (int i = 0; i < t->dim[0] * TILE_SQUARE; i++)
        for (int j = 0; j < t->dim[1] * TILE_BLOCK; j++) memory_write(DT_F32, matrix_at(in, &s->a, i, j), *group_sum_at(t, i, j));
}

static void weigh(Interp *in, const TileStmt *s) {
    for (int i = 0; i < TILE_BLOCK; i++) {
        float by = (float)memory_read(DT_F32, matrix_at(in, &s->e->a, 0, i)).f;
        for (int j = 0; j < TILE_BLOCK; j++) {
            Lane *sum = sum_at(in, &s->a, i, j);
            sum->f = (float)sum->f * by;
        }
    }
}

static void statement(Interp *in, const TileStmt *s) {
    Value x, *room;
    switch (s->k) {
    case TK_PARALLEL: break; /* see nest */
    case TK_FOR: loop(in, s, integer(in, s->lo), integer(in, s->hi)); break;
    case TK_UNROLL: {
        int64_t lo = integer(in, s->lo), hi = integer(in, s->hi);
        for (int64_t i = lo; i < hi; i++) {
            s->s->known = true;
            s->s->value = i;
            block(in, s->body);
        }
        break;
    }
    case TK_REG: reg_statement(in, s); break;
    case TK_LET:
        expression(in, s->e, &x);
        if (x.t.d == TILE_LITERAL) become(&x, s->e, (TileType){DT_F32, 1});
        room = value_room(in, s->s);
        *room = x;
        s->s->type = x.t;
        break;
    case TK_SET:
        expression(in, s->e, &x);
        become(&x, s->e, s->a.s->type);
        *(Value *)s->a.s->r[reg_at(in->w, &s->a, NULL)] = x;
        break;
    case TK_STORE: store_statement(in, s); break;
    case TK_BUF: buffer_statement(in, s->s); break;
    case TK_INDEX: index_statement(in, s); break;
    case TK_CONST:
        s->s->value = integer(in, s->e);
        s->s->known = true;
        break;
    case TK_IF:
        if (integer(in, s->e)) block(in, s->body);
        break;
    case TK_TRANSPOSE: transpose(s->s); break;
    case TK_PREFETCH:
    case TK_FINISH: break;
    case TK_COMMIT:
        if (++in->ahead > TILE_AHEAD && in->w->k->group) walk_fail(in->w, "more than %d groups of copies are under way", TILE_AHEAD);
        break;
    case TK_WAIT: {
        int64_t but = expr_const(in->w, s->e);
        if (in->ahead > but) in->ahead = but;
        break;
    }
    case TK_COPY:
        if (in->ahead >= TILE_AHEAD && in->w->k->group) walk_fail(in->w, "more than %d groups of copies are under way", TILE_AHEAD);
        copy_statement(in, s);
        break;
    case TK_LDMATRIX: ldmatrix(in, s); break;
    case TK_MMA: mma(in, s); break;
    case TK_PUT:
        if (in->w->k->group) group_put(in, s);
        else put(in, s);
        break;
    case TK_MULTIPLY: multiply(in, s); break;
    case TK_WEIGH: weigh(in, s); break;
    }
}

static void block(Interp *in, const TileStmt *s) {
    for (; s; s = s->next) {
        in->w->line = s->line;
        statement(in, s);
    }
}

/* ------------------------------------------------------------------ the nest of parallel loops */

/* Runs the body below parallel loop `depth` for the flattened iteration `flat`; unit: iterations of the loops inside one of
 * this. */
static void nest(Interp *in, const TileNest *n, int depth, const int64_t *trips, int64_t flat) {
    const TileStmt *below = depth ? n->loop[depth - 1]->body : in->w->k->body;
    if (depth == n->n) {
        block(in, below);
        return;
    }
    const TileStmt *s = n->loop[depth];
    for (const TileStmt *b = below; b; b = b->next) {
        in->w->line = b->line;
        if (b != s) statement(in, b);
    }
    int64_t unit = 1;
    for (int i = depth + 1; i < n->n; i++) unit *= trips[i];
    int64_t tile = loop_tile(in->w, s), lo = integer(in, s->lo), hi = integer(in, s->hi), begin = lo + flat / unit * tile;
    int64_t end = begin + tile < hi ? begin + tile : hi;
    for (int64_t i = begin; i < end;) {
        int64_t here = tile_here(s, tile, hi - i);
        s->s->known = true;
        s->s->value = i;
        if (s->tile) {
            s->tile->known = true;
            s->tile->value = here;
        }
        nest(in, n, depth + 1, trips, flat % unit);
        i += here;
    }
}

static void run(Interp *in, TileKernel *k) {
    TileNest n = tile_nest(in->w, k);
    int64_t trips[TILE_RANK], count = 1;
    for (int i = 0; i < n.n; i++) {
        int64_t divisor;
        TilePoly p = nest_trip(in->w, n.loop[i], &divisor);
        trips[i] = p.c > 0 ? (p.c + divisor - 1) / divisor : 0;
        count *= trips[i];
    }
    if (in->last < 0) in->last = count;
    if (in->first < 0 || in->last > count)
        walk_fail(in->w, "iterations %lld..%lld of %lld", (long long)in->first, (long long)in->last, (long long)count);
    for (int64_t i = in->first; i < in->last; i++) nest(in, &n, 0, trips, i);
}

bool tile_interp(TileKernel *k, void *const *args, const int64_t *sizes, int64_t p0, int64_t p1, const char **error) {
    TileWalk w;
    *error = NULL;
    walk_begin(&w, k);
    if (setjmp(w.trap)) {
        *error = w.error;
        walk_end(&w);
        return false;
    }
    for (int i = 0; i < k->params.n; i++) {
        TileSym *s = k->params.at[i];
        if (s->k != TS_SIZE) continue;
        s->known = true;
        s->value = sizes[s->arg];
        if (s->value < s->min || (s->max >= 0 && s->value > s->max))
            walk_fail(&w, "the size %s is %lld", s->name, (long long)s->value);
    }
    for (int i = 0; i < k->args.n; i++) k->args.at[i]->v = args[i];
    Interp in = {&w, p0, p1, 0};
    run(&in, k);
    walk_end(&w);
    return true;
}
