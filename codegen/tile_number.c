/* tile_number.c -- the arithmetic behind tile_interp.c that C does not have by itself. Random numbers: INTRINSICS.md,
 * section 9. */
#include "codegen/tile_number.h"

#include <math.h>
#include <string.h>

int64_t tile_int_wrap(DType d, int64_t x) {
    switch (d) {
    case DT_I32: return (int32_t)(uint32_t)(uint64_t)x;
    case DT_I16: return (int16_t)(uint16_t)(uint64_t)x;
    case DT_I8: return (int8_t)(uint8_t)(uint64_t)x;
    case DT_U32: return (int64_t)((uint64_t)x & 0xffffffffu);
    case DT_U8: return (int64_t)((uint64_t)x & 255);
    case DT_BOOL: return x != 0;
    default: return x;
    }
}

static void limits(DType d, int64_t *least, int64_t *most) {
    int bits = dtype_bytes(d) * 8;
    bool is_signed = dtype_kind(d) == 'i';
    *most = is_signed ? (int64_t)(((uint64_t)1 << (bits - 1)) - 1) : ((int64_t)1 << bits) - 1;
    *least = is_signed ? -*most - 1 : 0;
}

int64_t tile_int_saturate(DType d, int64_t x) {
    if (d == DT_BOOL) return x != 0;
    int64_t least, most;
    limits(d, &least, &most);
    return x < least ? least : x > most ? most : x;
}

int64_t tile_int_from_float(DType d, double x) {
    if (d == DT_BOOL) return x != 0 || isnan(x);
    int64_t least, most;
    limits(d, &least, &most);
    if (isnan(x)) return 0;
    if (x <= (double)least) return least;
    if (x >= (double)most) return most;
    return (int64_t)x;
}

uint32_t tile_philox_word(uint32_t k0, uint32_t k1, uint32_t step_lo, uint32_t step_hi, int64_t element) {
    uint64_t block = (uint64_t)element >> 2;
    uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), step_lo, step_hi};
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k1, (uint32_t)p0};
        memcpy(c, next, sizeof c);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c[element & 3];
}

static float horner(const float a[9], float x) {
    float p = a[0];
    for (int i = 1; i < 9; i++) p = fmaf(p, x, a[i]);
    return p;
}

/* -log(v) for 0 < v <= 1 (Cephes) */
static float neg_log(float v) {
    static const float A[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f, 1.4249322787e-1f,
                               -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    int e;
    float m = frexpf(v, &e);
    if (m < 0.70710678f) {
        m += m;
        e--;
    }
    float f = m - 1.0f, s = f * f, fs = f * s, y = horner(A, f) * fs;
    y = fmaf(-2.12194440e-4f, (float)e, y);
    y = fmaf(-0.5f, s, y);
    float fy = f + y;
    return -fmaf(0.693359375f, (float)e, fy);
}

/* Giles, "Approximating the erfinv function", 2010 */
float tile_normal_number(uint32_t r) {
    static const float MID[9] = {2.81022636e-8f,  3.43273939e-7f,  -3.5233877e-6f, -4.39150654e-6f, 2.1858087e-4f,
                                 -1.25372503e-3f, -4.17768164e-3f, 2.46640727e-1f, 1.50140941f};
    static const float TAIL[9] = {-2.00214257e-4f, 1.00950558e-4f, 1.34934322e-3f, -3.67342844e-3f, 5.73950773e-3f,
                                  -7.6224613e-3f,  9.43887047e-3f, 1.00167406f,    2.83297682f};
    float x = (float)(2 * (int32_t)(r >> 9) + 1 - (1 << 23)) * 0x1p-23f;
    float low = 1.0f - x, high = 1.0f + x, v = low * high, w = neg_log(v);
    float p = w < 5.0f ? horner(MID, w - 2.5f) : horner(TAIL, sqrtf(w) - 3.0f);
    float px = p * x;
    return 1.41421356f * px;
}
