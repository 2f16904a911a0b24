/* number.c -- numbers of every dtype, as the reference interpreter keeps them: floats as double, integers as int64_t. Rounding,
 * wrapping, saturation, and the bytes of tensors. */
#include "ir/op.h"

#include <math.h>
#include <string.h>

/* Small float formats: explicit mantissa bits, exponent bits, largest finite value; no infinity: overflow saturates. */
typedef struct Format {
    int mantissa, exponent;
    double largest;
    bool infinity, saturates;
} Format;

static const Format F16 = {10, 5, 65504, true, false};
static const Format BF16 = {7, 8, 0x1.FEp127, true, false};
static const Format F8E4M3 = {3, 4, 448, false, true};
static const Format F8E5M2 = {2, 5, 57344, true, true};

static const Format *format_of(DType d) {
    switch (d) {
    case DT_F16: return &F16;
    case DT_BF16: return &BF16;
    case DT_F8E4M3: return &F8E4M3;
    case DT_F8E5M2: return &F8E5M2;
    default: return NULL;
    }
}

static int bias_of(const Format *f) { return (1 << (f->exponent - 1)) - 1; }

double round_float(DType d, double x) {
    if (d == DT_F64) return x;
    if (d == DT_F32) return (double)(float)x;
    const Format *f = format_of(d);
    if (!f) bug("rounding to %s", dtype_name(d));
    if (isnan(x) || x == 0) return x;
    if (isinf(x)) return f->saturates ? copysign(f->largest, x) : x;
    int e;
    frexp(x, &e);
    int exponent = e - 1 < 1 - bias_of(f) ? 1 - bias_of(f) : e - 1;
    double r = ldexp(rint(ldexp(x, f->mantissa - exponent)), exponent - f->mantissa);
    if (fabs(r) > f->largest) return copysign(f->saturates ? f->largest : INFINITY, x);
    return r;
}

int64_t wrap_int(DType d, uint64_t bits) {
    switch (d) {
    case DT_I64: return (int64_t)bits;
    case DT_I32: return (int32_t)bits;
    case DT_I16: return (int16_t)bits;
    case DT_I8: return (int8_t)bits;
    case DT_I4: return (int8_t)(uint8_t)(bits << 4) >> 4;
    case DT_U32: return (uint32_t)bits;
    case DT_U8: return (uint8_t)bits;
    case DT_U4: return (int64_t)(bits & 15);
    case DT_BOOL: return bits != 0;
    default: bug("wrapping to %s", dtype_name(d));
    }
}

static void int_range(DType d, int64_t *low, int64_t *high) {
    switch (d) {
    case DT_I64: *low = INT64_MIN, *high = INT64_MAX; break;
    case DT_I32: *low = INT32_MIN, *high = INT32_MAX; break;
    case DT_I16: *low = INT16_MIN, *high = INT16_MAX; break;
    case DT_I8: *low = INT8_MIN, *high = INT8_MAX; break;
    case DT_I4: *low = -8, *high = 7; break;
    case DT_U32: *low = 0, *high = UINT32_MAX; break;
    case DT_U8: *low = 0, *high = UINT8_MAX; break;
    case DT_U4: *low = 0, *high = 15; break;
    default: bug("no integers: %s", dtype_name(d));
    }
}

int64_t saturate_whole(DType d, int64_t x) {
    int64_t low, high;
    int_range(d, &low, &high);
    return x < low ? low : x > high ? high : x;
}

int64_t saturate_int(DType d, double x) {
    if (isnan(x)) return 0;
    if (x >= 0x1p63) return saturate_whole(d, INT64_MAX);
    if (x <= -0x1p63) return saturate_whole(d, INT64_MIN);
    return saturate_whole(d, (int64_t)x);
}

/* ---- tensors and bytes --------------------------------------------------------------------------------------------------- */

Tensor *tensor_new(Arena *a, DType d, int rank, const int64_t *dim) {
    if (rank < 0 || rank > MAX_RANK) bug("a tensor of rank %d", rank);
    Tensor *t = NEW(a, Tensor);
    t->dtype = d;
    t->rank = rank;
    t->count = 1;
    for (int i = 0; i < rank; i++) {
        t->dim[i] = dim[i];
        if (dim[i] < 0 || __builtin_mul_overflow(t->count, dim[i], &t->count))
            bug("a tensor with a size of %lld", (long long)dim[i]);
    }
    if (dtype_is_float(d)) t->f = NEW_ARRAY(a, double, t->count);
    else t->i = NEW_ARRAY(a, int64_t, t->count);
    return t;
}

static double decode(const Format *f, uint32_t bits) {
    uint32_t mantissa = bits & ((1u << f->mantissa) - 1), top = (1u << f->exponent) - 1;
    uint32_t exponent = (bits >> f->mantissa) & top;
    double sign = bits >> (f->mantissa + f->exponent) & 1 ? -1 : 1;
    if (f->infinity && exponent == top) return mantissa ? NAN : sign * INFINITY;
    if (!f->infinity && exponent == top && mantissa == (1u << f->mantissa) - 1) return NAN;
    if (exponent == 0) return sign * ldexp(mantissa, 1 - bias_of(f) - f->mantissa);
    return sign * ldexp((double)(mantissa | 1u << f->mantissa), (int)exponent - bias_of(f) - f->mantissa);
}

static uint32_t encode(const Format *f, double x) { /* x is rounded */
    uint32_t sign = signbit(x) ? 1u << (f->mantissa + f->exponent) : 0, top = (1u << f->exponent) - 1;
    if (isnan(x)) return sign | top << f->mantissa | (f->infinity ? 1u << (f->mantissa - 1) : (1u << f->mantissa) - 1);
    if (isinf(x)) return sign | top << f->mantissa;
    if (x == 0) return sign;
    int e;
    frexp(x, &e);
    int exponent = e - 1 + bias_of(f);
    if (exponent < 1) return sign | (uint32_t)ldexp(fabs(x), f->mantissa + bias_of(f) - 1);
    uint32_t mantissa = (uint32_t)ldexp(fabs(x), f->mantissa - (e - 1)) & ((1u << f->mantissa) - 1);
    return sign | (uint32_t)exponent << f->mantissa | mantissa;
}

uint64_t float_bits(DType d, double x) {
    const Format *f = format_of(d);
    if (!f) bug("the bits of %s are those of C", dtype_name(d));
    return encode(f, round_float(d, x));
}

Tensor *tensor_from_bytes(Arena *a, DType d, int rank, const int64_t *dim, const void *data) {
    Tensor *t = tensor_new(a, d, rank, dim);
    int bytes = dtype_bytes(d);
    if (bytes == 0) bug("%s has no bytes of its own", dtype_name(d));
    const Format *f = format_of(d);
    for (int64_t k = 0; k < t->count; k++) {
        const unsigned char *p = (const unsigned char *)data + k * bytes;
        if (d == DT_F64) {
            memcpy(&t->f[k], p, 8);
        } else if (d == DT_F32) {
            float x;
            memcpy(&x, p, 4);
            t->f[k] = (double)x;
        } else {
            uint64_t bits = 0;
            for (int b = bytes; b-- > 0;) bits = bits << 8 | p[b];
            if (f) t->f[k] = decode(f, (uint32_t)bits);
            else t->i[k] = wrap_int(d, bits);
        }
    }
    return t;
}

void tensor_to_bytes(const Tensor *t, void *data) {
    int bytes = dtype_bytes(t->dtype);
    if (bytes == 0) bug("%s has no bytes of its own", dtype_name(t->dtype));
    const Format *f = format_of(t->dtype);
    for (int64_t k = 0; k < t->count; k++) {
        unsigned char *p = (unsigned char *)data + k * bytes;
        if (t->dtype == DT_F64) {
            memcpy(p, &t->f[k], 8);
        } else if (t->dtype == DT_F32) {
            float x = (float)round_float(DT_F32, t->f[k]);
            memcpy(p, &x, 4);
        } else {
            uint64_t bits = f ? float_bits(t->dtype, t->f[k]) : (uint64_t)t->i[k];
            for (int b = 0; b < bytes; b++) p[b] = (unsigned char)(bits >> (8 * b));
        }
    }
}

/* ---- walking through tensors --------------------------------------------------------------------------------------------- */

int64_t row_major(int rank, const int64_t *dim, int64_t *stride) {
    int64_t count = 1;
    for (int i = rank; i-- > 0;) {
        stride[i] = count;
        count *= dim[i];
    }
    return count;
}

bool index_next(int rank, const int64_t *dim, int64_t *index) {
    for (int i = rank; i-- > 0;) {
        if (++index[i] < dim[i]) return true;
        index[i] = 0;
    }
    return false;
}

void element_copy(Tensor *to, int64_t i, const Tensor *from, int64_t k) {
    if (to->f) to->f[i] = from->f[k];
    else to->i[i] = from->i[k];
}
