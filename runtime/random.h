/* random.h -- distributions over philox.h's words, for the reference interpreter (normal by Giles, "Approximating the erfinv function",
 * 2010); the code generator emits the same operations. Compile with contraction off (-ffp-contract=off). */
#ifndef RUNTIME_RANDOM_H
#define RUNTIME_RANDOM_H
#include "runtime/philox.h"

#include <math.h>

static inline float random_uniform(uint32_t r, float low, float high) {
    float y = fmaf(high - low, random_u01(r), low);
    return y < high || !(low < high) ? y : nextafterf(high, -INFINITY);
}

static inline float random_horner(const float a[9], float x) {
    float p = a[0];
    for (int i = 1; i < 9; i++) p = fmaf(p, x, a[i]);
    return p;
}

static inline float random_neg_log(float v) { /* -log(v) for 0 < v <= 1 (Cephes) */
    static const float A[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                               -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    int e;
    float m = frexpf(v, &e);
    if (m < 0.70710678f) {
        m += m;
        e--;
    }
    float f = m - 1.0f, s = f * f, y = random_horner(A, f) * (f * s);
    y = fmaf(-2.12194440e-4f, (float)e, y);
    y = fmaf(-0.5f, s, y);
    return -fmaf(0.693359375f, (float)e, f + y);
}

static inline float random_standard_normal(uint32_t r) { /* x = 2 * (k + 0.5) / 2^23 - 1 with k = r >> 9; never 0 or +-1 */
    static const float MID[9] = {2.81022636e-8f,  3.43273939e-7f,  -3.5233877e-6f, -4.39150654e-6f, 2.1858087e-4f,
                                 -1.25372503e-3f, -4.17768164e-3f, 2.46640727e-1f, 1.50140941f};
    static const float TAIL[9] = {-2.00214257e-4f, 1.00950558e-4f,  1.34934322e-3f, -3.67342844e-3f, 5.73950773e-3f,
                                  -7.6224613e-3f,  9.43887047e-3f, 1.00167406f,    2.83297682f};
    float x = (float)(2 * (int32_t)(r >> 9) + 1 - (1 << 23)) * 0x1p-23f;
    float w = random_neg_log((1.0f - x) * (1.0f + x));
    float p = w < 5.0f ? random_horner(MID, w - 2.5f) : random_horner(TAIL, sqrtf(w) - 3.0f);
    return 1.41421356f * (p * x);
}

static inline float random_normal(uint32_t r, float mean, float std) { return fmaf(std, random_standard_normal(r), mean); }

#endif
