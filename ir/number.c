/* number.c -- numbers of every dtype, as the reference interpreter keeps them: floats as double, integers as int64_t. Rounding,
 * wrapping, saturation, and the bytes of tensors. */
#include "ir/op.h"

#include <math.h>
#include <string.h>

/* Small float formats: explicit mantissa bits, exponent bits, largest finite value; whether there is an infinity, and whether overflow stays
 * finite. */
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
    if (isinf(x)) return f->infinity ? x : copysign(f->largest, x);
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

double float_value(DType d, uint64_t bits) {
    const Format *f = format_of(d);
    if (!f) bug("the bits of %s are those of C", dtype_name(d));
    return decode(f, (uint32_t)bits);
}

/* The byte with element k of a tensor of half bytes, and whether it is the upper half. Rows begin with a byte. */
static int64_t nibble_place(const Tensor *t, int64_t k, bool *upper) {
    int64_t last = t->rank ? t->dim[t->rank - 1] : 1, row = k / last, at = k % last;
    *upper = at & 1;
    return row * ((last + 1) / 2) + at / 2;
}

static uint64_t bits_read(const Tensor *t, int64_t k, const unsigned char *data) {
    int bytes = dtype_bytes(t->dtype);
    uint64_t bits = 0;
    bool upper;
    if (bytes == 0) {
        bits = data[nibble_place(t, k, &upper)];
        return upper ? bits >> 4 : bits & 15;
    }
    for (int b = bytes; b-- > 0;) bits = bits << 8 | data[k * bytes + b];
    return bits;
}

/* Elements come in order: the lower half of a byte, which clears the other, before the upper one. */
static void bits_write(const Tensor *t, int64_t k, unsigned char *data, uint64_t bits) {
    int bytes = dtype_bytes(t->dtype);
    bool upper;
    if (bytes == 0) {
        unsigned char *p = data + nibble_place(t, k, &upper);
        *p = (unsigned char)(upper ? (*p & 15) | (bits & 15) << 4 : bits & 15);
    }
    for (int b = 0; b < bytes; b++) data[k * bytes + b] = (unsigned char)(bits >> (8 * b));
}

Tensor *tensor_from_bytes(Arena *a, DType d, int rank, const int64_t *dim, const void *data) {
    Tensor *t = tensor_new(a, d, rank, dim);
    const Format *f = format_of(d);
    for (int64_t k = 0; k < t->count; k++) {
        uint64_t bits = bits_read(t, k, data);
        if (d == DT_F64) {
            memcpy(&t->f[k], &bits, 8);
        } else if (d == DT_F32) {
            uint32_t low = (uint32_t)bits;
            float x;
            memcpy(&x, &low, 4);
            t->f[k] = (double)x;
        } else if (f) {
            t->f[k] = decode(f, (uint32_t)bits);
        } else {
            t->i[k] = wrap_int(d, bits);
        }
    }
    return t;
}

void tensor_to_bytes(const Tensor *t, void *data) {
    const Format *f = format_of(t->dtype);
    for (int64_t k = 0; k < t->count; k++) {
        uint64_t bits;
        if (t->dtype == DT_F64) {
            memcpy(&bits, &t->f[k], 8);
        } else if (t->dtype == DT_F32) {
            float x = (float)round_float(DT_F32, t->f[k]);
            uint32_t low;
            memcpy(&low, &x, 4);
            bits = low;
        } else {
            bits = f ? float_bits(t->dtype, t->f[k]) : (uint64_t)t->i[k];
        }
        bits_write(t, k, data, bits);
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
