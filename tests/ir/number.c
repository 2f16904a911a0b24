/* number.c -- numbers of every dtype: rounding to the nearest of all values of a format, bytes there and back. */
#include "tests/ir/kit.h"

#include <math.h>
#include <string.h>

/* All finite values of a small float format, by its bit patterns. */
static void format(DType d, int bits) {
    Arena *a = arena_new();
    int64_t n = (int64_t)1 << bits;
    unsigned char *bytes = arena_alloc(a, (size_t)(n * dtype_bytes(d))), *back = arena_alloc(a, (size_t)(n * dtype_bytes(d)));
    for (int64_t k = 0; k < n; k++)
        for (int b = 0; b < dtype_bytes(d); b++) bytes[k * dtype_bytes(d) + b] = (unsigned char)(k >> (8 * b));
    Tensor *t = tensor_from_bytes(a, d, 1, &n, bytes);
    tensor_to_bytes(t, back);
    for (int64_t k = 0; k < n; k++) {
        if (isnan(t->f[k])) continue; /* NaNs come back as one */
        kit_check(memcmp(bytes + k * dtype_bytes(d), back + k * dtype_bytes(d), (size_t)dtype_bytes(d)) == 0,
                  "%s: pattern %llx comes back otherwise", dtype_name(d), (unsigned long long)k);
        kit_check(round_float(d, t->f[k]) == t->f[k], "%s: %g does not round to itself", dtype_name(d), t->f[k]);
    }
    /* between two neighbours (positive patterns are in order): nearest, ties to the even pattern */
    for (int64_t k = 0; k + 1 < n / 2; k++) {
        double low = t->f[k], high = t->f[k + 1], middle = (low + high) / 2;
        if (isnan(high) || isinf(high)) break;
        kit_check(round_float(d, middle) == (k % 2 ? high : low), "%s: the middle of %g and %g", dtype_name(d), low, high);
        kit_check(round_float(d, nextafter(middle, 0)) == low && round_float(d, nextafter(middle, INFINITY)) == high,
                  "%s: beside the middle of %g and %g", dtype_name(d), low, high);
        kit_check(round_float(d, -middle) == -round_float(d, middle), "%s: sign of the middle of %g and %g", dtype_name(d), low,
                  high);
    }
    arena_free(a);
}

int main(void) {
    format(DT_F16, 16);
    format(DT_BF16, 16);
    format(DT_F8E4M3, 8);
    format(DT_F8E5M2, 8);
    kit_check(round_float(DT_F32, 0.1) == (double)0.1f && isinf(round_float(DT_F32, 1e40)), "f32");
    kit_check(wrap_int(DT_I8, 200) == -56 && wrap_int(DT_U8, (uint64_t)-1) == 255 && wrap_int(DT_I4, 9) == -7 &&
                  wrap_int(DT_U4, 17) == 1,
              "wrap");
    kit_check(saturate_int(DT_I4, -100) == -8 && saturate_int(DT_U32, 1e20) == UINT32_MAX &&
                  saturate_int(DT_I64, -1e30) == INT64_MIN,
              "saturate");
    Arena *a = arena_new();
    const DType whole[] = {DT_I64, DT_I32, DT_I16, DT_I8, DT_U32, DT_U8, DT_BOOL};
    for (size_t k = 0; k < sizeof whole / sizeof *whole; k++) {
        const int64_t three = 3;
        Tensor *t = kit_tensor(a, whole[k], 1, &three, (double[]){1, 0, 1});
        if (dtype_kind(whole[k]) == 'i') t->i[1] = -2;
        unsigned char bytes[24];
        tensor_to_bytes(t, bytes);
        Tensor *back = tensor_from_bytes(a, whole[k], 1, &three, bytes);
        kit_check(memcmp(t->i, back->i, sizeof(int64_t) * 3) == 0, "bytes of %s", dtype_name(whole[k]));
    }
    arena_free(a);
    return kit_end();
}
