/* philox.h -- counter-based random numbers, the same bits everywhere (INTRINSICS.md section 9; Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", 2011, Philox4x32-10). Used by the runtime and by the reference interpreter; the code generator emits the same
 * operations. What wants a library of mathematics is in random.h. */
#ifndef RUNTIME_PHILOX_H
#define RUNTIME_PHILOX_H
#include <stdint.h>

/* Four words for one counter. key: k0 = seed low, k1 = seed high ^ site. counter: block low, block high, step low, step high. */
static inline void philox_block(uint32_t k0, uint32_t k1, const uint32_t counter[4], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The word of one element: a pure function of (seed, site, step, element). */
static inline uint32_t philox_word(uint64_t seed, uint32_t site, uint64_t step, uint64_t element) {
    uint64_t block = element / 4;
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)step, (uint32_t)(step >> 32)}, out[4];
    philox_block((uint32_t)seed, (uint32_t)(seed >> 32) ^ site, counter, out);
    return out[element % 4];
}

/* FNV-1a, 32 bits, of a text: sites. */
static inline uint32_t philox_site(const char *text) {
    uint32_t h = 2166136261u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

static inline float random_u01(uint32_t r) { return (float)(r >> 8) * 0x1p-24f; } /* 24 bits, 0 <= u < 1 */

static inline int64_t random_integer(uint32_t r, int64_t low, int64_t high) {
    return low + (int64_t)(((uint64_t)r * (uint64_t)(high - low)) >> 32);
}

#endif
