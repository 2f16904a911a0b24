/* mdlrun_array.c -- arrays in memory: dtypes, conversion, the .npy format (NumPy's NEP 1: magic, version, a Python dict as
 * text, the elements). Nothing a file says about its size is believed before it was compared with the file's length. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <string.h>

static const struct Row {
    const char *name, *npy, *safetensors;
    mdl_dtype d;
} rows[] = {
    {"f64", "<f8", "F64", {2, 64, 1}},  {"f32", "<f4", "F32", {2, 32, 1}},       {"f16", "<f2", "F16", {2, 16, 1}},
    {"bf16", NULL, "BF16", {4, 16, 1}}, {"i64", "<i8", "I64", {0, 64, 1}},       {"i32", "<i4", "I32", {0, 32, 1}},
    {"i16", "<i2", "I16", {0, 16, 1}},  {"i8", "|i1", "I8", {0, 8, 1}},          {"u64", "<u8", "U64", {1, 64, 1}},
    {"u32", "<u4", "U32", {1, 32, 1}},  {"u16", "<u2", "U16", {1, 16, 1}},       {"u8", "|u1", "U8", {1, 8, 1}},
    {"bool", "|b1", "BOOL", {6, 8, 1}}, {"f8e4m3", NULL, "F8_E4M3", {10, 8, 1}}, {"f8e5m2", NULL, "F8_E5M2", {12, 8, 1}},
};
#define N_ROWS (sizeof rows / sizeof *rows)

bool element_type_same(mdl_dtype a, mdl_dtype b) {
    return a.code == b.code && a.bits == b.bits;
}

const char *element_type_text(mdl_dtype d) {
    for (size_t i = 0; i < N_ROWS; i++)
        if (element_type_same(rows[i].d, d)) return rows[i].name;
    return "?";
}

int64_t element_size(mdl_dtype d) {
    return d.bits % 8 ? 0 : d.bits / 8;
}

mdl_dtype element_type(const char *name) {
    for (size_t i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i].name, name) || !strcmp(rows[i].safetensors, name)) return rows[i].d;
    return (mdl_dtype){0, 0, 0};
}

Array array_new(Tool *t, mdl_dtype d, int rank, const int64_t *shape) {
    Array a = {.dtype = d, .rank = rank, .count = 1};
    if (rank < 0 || rank > RANK_MAX) tool_fail(t, EXIT_INPUT, "more than %d axes", RANK_MAX);
    if (element_size(d) == 0) tool_fail(t, EXIT_INPUT, "arrays of %s are not supported yet", element_type_text(d));
    int64_t bytes;
    for (int i = 0; i < rank; i++) {
        a.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(a.count, shape[i], &a.count))
            tool_fail(t, EXIT_INPUT, "an array is too large");
    }
    if (__builtin_mul_overflow(a.count, element_size(d), &bytes)) tool_fail(t, EXIT_INPUT, "an array is too large");
    a.data = tool_alloc(t, (size_t)bytes);
    return a;
}

char *array_shape_text(Tool *t, const Array *a) {
    char *text = tool_printf(t, "%s", element_type_text(a->dtype));
    for (int i = 0; i < a->rank; i++) text = tool_printf(t, "%s%s%lld", text, i ? ", " : "[", (long long)a->shape[i]);
    return a->rank ? tool_printf(t, "%s]", text) : text;
}

/* ---- elements ------------------------------------------------------------------------------------------------------------ */

/* A float of e exponent bits and m mantissa bits. finite: it has no infinity, all ones is NaN. */
typedef struct Small {
    int e, m;
    bool finite;
} Small;

/* Has d fewer bits than f32? */
static bool is_small(mdl_dtype d, Small *s) {
    if (d.code == 2 && d.bits == 16) *s = (Small){5, 10, false};
    else if (d.code == 4) *s = (Small){8, 7, false};
    else if (d.code == 10) *s = (Small){4, 3, true};
    else if (d.code == 12) *s = (Small){5, 2, false};
    else return false;
    return true;
}

static double small_double(uint32_t v, Small s) {
    int e = s.e, m = s.m;
    bool finite = s.finite;
    uint32_t sign = v >> (e + m) & 1, exponent = v >> m & ((1u << e) - 1), mantissa = v & ((1u << m) - 1);
    int bias = (1 << (e - 1)) - 1;
    double x;
    if (exponent == (1u << e) - 1 && (!finite || mantissa == (1u << m) - 1)) x = mantissa ? NAN : INFINITY;
    else if (exponent == 0) x = ldexp(mantissa, 1 - bias - m);
    else x = ldexp(mantissa + (1u << m), (int)exponent - bias - m);
    return sign ? -x : x;
}

/* The nearest, ties to even; what is too large becomes infinite, of 8 bits the largest number. */
static uint32_t small_bits(double x, Small s) {
    uint32_t sign = signbit(x) ? 1u << (s.e + s.m) : 0, infinity = ((1u << s.e) - 1) << s.m;
    uint32_t most = s.finite ? infinity + (1u << s.m) - 2 : infinity - 1, beyond = s.e + s.m < 8 ? most : infinity;
    if (isnan(x)) return sign | (s.finite ? most + 1 : infinity | 1u << (s.m - 1));
    if (isinf(x)) return sign | (s.finite ? most : infinity);
    if (x == 0) return sign;
    int p, bias = (1 << (s.e - 1)) - 1;
    frexp(x, &p);
    int exponent = p - 1 < 1 - bias ? 1 - bias : p - 1;
    if (exponent > bias + 1) return sign | beyond;
    uint32_t code = (uint32_t)rint(ldexp(fabs(x), s.m - exponent)) + ((uint32_t)(exponent + bias - 1) << s.m);
    return sign | (code > most ? beyond : code);
}

double element_double(const void *data, mdl_dtype d, int64_t i) {
    const char *at = (const char *)data + i * element_size(d);
    if (d.code == 2 && d.bits == 64) {
        double v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    if (d.code == 2 && d.bits == 32) {
        float v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    Small s;
    uint32_t bits = 0;
    if (is_small(d, &s)) {
        memcpy(&bits, at, d.bits / 8); /* little-endian, as everywhere */
        return small_double(bits, s);
    }
    if (d.code == 1 && d.bits == 64) return (double)(uint64_t)element_int(data, d, i);
    return (double)element_int(data, d, i);
}

int64_t element_int(const void *data, mdl_dtype d, int64_t i) {
    const char *at = (const char *)data + i * element_size(d);
    bool is_signed = d.code == 0;
    switch (d.bits) {
    case 8: return is_signed ? (int64_t)(signed char)*at : (int64_t)(unsigned char)*at;
    case 16: {
        uint16_t v;
        memcpy(&v, at, sizeof v);
        return is_signed ? (int64_t)(int16_t)v : (int64_t)v;
    }
    case 32: {
        uint32_t v;
        memcpy(&v, at, sizeof v);
        return is_signed ? (int64_t)(int32_t)v : (int64_t)v;
    }
    default: {
        int64_t v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    }
}

static bool is_integer(mdl_dtype d) {
    return d.code == 0 || d.code == 1;
}

/* Does v (of a dtype u64: the bits of it) fit an integer dtype? */
static bool integer_fits(int64_t v, bool from_u64, mdl_dtype to) {
    if (from_u64 && v < 0) return to.code == 1 && to.bits == 64;
    if (to.code == 6) return v == 0 || v == 1;
    if (to.code == 1) return v >= 0 && (to.bits == 64 || v >> to.bits == 0);
    return to.bits == 64 || (v >= -((int64_t)1 << (to.bits - 1)) && v < (int64_t)1 << (to.bits - 1));
}

int64_t array_convert(void *to, mdl_dtype to_type, const void *from, mdl_dtype from_type, int64_t n) {
    int64_t size = element_size(to_type);
    if (n == 0) return 0;
    if (element_type_same(to_type, from_type)) {
        memcpy(to, from, (size_t)(n * size));
        return n;
    }
    Small s = {0};
    if (!is_integer(from_type) && from_type.code != 6) {
        bool small = is_small(to_type, &s), f32 = to_type.code == 2 && to_type.bits == 32;
        if (!small && to_type.code != 2) return -1;
        for (int64_t i = 0; i < n; i++) {
            double v = element_double(from, from_type, i);
            float single = (float)v;
            uint32_t bits = small ? small_bits(v, s) : 0;
            memcpy((char *)to + i * size, small ? (void *)&bits : f32 ? (void *)&single : (void *)&v, (size_t)size);
        }
        return n;
    }
    if (!is_integer(from_type)) return -1;
    bool from_u64 = from_type.code == 1 && from_type.bits == 64;
    bool to_float = to_type.code == 2 && (to_type.bits == 32 || to_type.bits == 64);
    if (!to_float && !is_integer(to_type) && to_type.code != 6) return -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = element_int(from, from_type, i);
        char *at = (char *)to + i * size;
        if (to_float) { /* fits: comes back the same; beyond 2^24 or 2^53 not every integer does */
            double d = to_type.bits == 32 ? (double)(float)v : (double)v;
            if (from_u64 && v < 0) return i;
            if (d >= 9223372036854775808.0 || (int64_t)d != v) return i;
            float f = (float)d;
            if (to_type.bits == 32) memcpy(at, &f, sizeof f);
            else memcpy(at, &d, sizeof d);
            continue;
        }
        if (!integer_fits(v, from_u64, to_type)) return i;
        memcpy(at, &v, (size_t)size); /* little-endian: the low bytes */
    }
    return n;
}

/* ---- .npy ---------------------------------------------------------------------------------------------------------------- */

/* The text after 'key': in the dict of a .npy header, or NULL. */
static const char *dict_find(const char *dict, const char *key) {
    const char *at = strstr(dict, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " '\":");
    return at;
}

static void swap_bytes(char *data, int64_t count, int64_t size) {
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < size / 2; k++) {
            char c = data[i * size + k];
            data[i * size + k] = data[i * size + size - 1 - k];
            data[i * size + size - 1 - k] = c;
        }
    }
}

/* Column-major to row-major. */
static Array transposed(Tool *t, const Array *a) {
    Array b = array_new(t, a->dtype, a->rank, a->shape);
    int64_t size = element_size(a->dtype), index[RANK_MAX] = {0};
    for (int64_t i = 0; i < a->count; i++) {
        int64_t at = 0;
        for (int k = a->rank - 1; k >= 0; k--) at = at * a->shape[k] + index[k];
        memcpy(b.data + i * size, a->data + at * size, (size_t)size);
        for (int k = a->rank - 1; k >= 0 && ++index[k] == a->shape[k]; k--) index[k] = 0;
    }
    return b;
}

Array npy_parse(Tool *t, const char *name, const char *bytes, size_t length) {
    if (length < 12 || memcmp(bytes, "\x93NUMPY", 6)) tool_fail(t, EXIT_INPUT, "%s is not a .npy file", name);
    const unsigned char *u = (const unsigned char *)bytes;
    bool wide = u[6] >= 2;
    size_t head = wide ? 12 : 10;
    size_t n =
        wide ? (size_t)u[8] | (size_t)u[9] << 8 | (size_t)u[10] << 16 | (size_t)u[11] << 24 : (size_t)u[8] | (size_t)u[9] << 8;
    if (n > length - head) tool_fail(t, EXIT_INPUT, "%s is cut off: its header is longer than the file", name);
    char *dict = tool_copy(t, bytes + head, n);
    const char *descr = dict_find(dict, "'descr'"), *order = dict_find(dict, "'fortran_order'"),
               *shape = dict_find(dict, "'shape'");
    if (!descr || !order || !shape || *shape != '(') tool_fail(t, EXIT_INPUT, "the header of %s is not understood", name);

    mdl_dtype d = {0, 0, 0};
    bool big = *descr == '>';
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].npy && !strncmp(rows[i].npy + 1, descr + 1, 2) && strchr("<>|=", *descr) && strchr("'\"", descr[3]))
            d = rows[i].d;
    if (!d.bits)
        tool_fail(t, EXIT_INPUT, "%s has elements of type %.*s, which are not supported", name, (int)strcspn(descr, "'\","),
                  descr);

    int64_t dims[RANK_MAX], count = 1;
    int rank = 0;
    for (const char *at = shape + 1;;) {
        at += strspn(at, " ,L");
        if (*at == ')') break;
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 18 || rank == RANK_MAX) tool_fail(t, EXIT_INPUT, "the shape of %s is not understood", name);
        int64_t v = 0;
        for (; digits; digits--) v = v * 10 + (*at++ - '0');
        dims[rank++] = v;
        if (__builtin_mul_overflow(count, v, &count)) tool_fail(t, EXIT_INPUT, "the shape of %s is too large", name);
    }
    int64_t size = element_size(d);
    if ((uint64_t)count > (length - head - n) / (uint64_t)size)
        tool_fail(t, EXIT_INPUT, "%s is cut off: it has %zu bytes of elements, and its shape wants %lld elements of %lld bytes",
                  name, length - head - n, (long long)count, (long long)size);
    Array a = array_new(t, d, rank, dims);
    memcpy(a.data, bytes + head + n, (size_t)(count * size));
    if (big) swap_bytes(a.data, count, size);
    if (!strncmp(order, "True", 4)) a = transposed(t, &a);
    return a;
}

void npy_write(Tool *t, const char *path, const Array *a) {
    const char *type = NULL;
    for (size_t i = 0; i < N_ROWS; i++)
        if (element_type_same(rows[i].d, a->dtype)) type = rows[i].npy;
    bool widen = !type; /* NumPy has no such type: as f32 */
    char *shape = tool_printf(t, "(");
    for (int i = 0; i < a->rank; i++)
        shape = tool_printf(t, "%s%lld,%s", shape, (long long)a->shape[i], i + 1 < a->rank ? " " : "");
    char *dict = tool_printf(t, "{'descr': '%s', 'fortran_order': False, 'shape': %s), }", widen ? "<f4" : type, shape);
    size_t n = strlen(dict), whole = (10 + n + 1 + 63) / 64 * 64;
    if (whole - 10 > 65535) tool_fail(t, EXIT_INPUT, "%s: too many axes", path);
    FILE *f = tool_file_create(t, path);
    unsigned char head[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)((whole - 10) & 255), (unsigned char)((whole - 10) >> 8)};
    fwrite(head, 1, sizeof head, f);
    fprintf(f, "%s%*s\n", dict, (int)(whole - 11 - n), "");
    if (!widen) {
        fwrite(a->data, (size_t)element_size(a->dtype), (size_t)a->count, f);
    } else {
        for (int64_t i = 0; i < a->count; i++) {
            float v = (float)element_double(a->data, a->dtype, i);
            fwrite(&v, sizeof v, 1, f);
        }
    }
    tool_file_commit(t, f, path);
}
