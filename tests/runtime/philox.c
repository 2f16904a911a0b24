/* Known answers of the random numbers (INTRINSICS.md section 9; Random123's kat_vectors for the block). */
#include "runtime/random.h"

#include <stdio.h>

int main(void) {
    static const uint32_t ZERO[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, ONE[4] = {0xe3e80670, 0xe50a0ebc, 0x95f222c0, 0xb615aa27};
    static const float U[4] = {0.890259147f, 0.894684672f, 0.585725904f, 0.711268067f}, NORMAL[4] = {1.22790778f, 1.25183356f, 0.216564089f, 0.557093263f};
    uint32_t counter[4] = {0}, out[4];
    int failed = 0;
    philox_block(0, 0, counter, out);
    for (int i = 0; i < 4; i++) {
        uint32_t r = philox_word(1, 0, 0, (uint64_t)i);
        if (out[i] != ZERO[i] || r != ONE[i] || random_u01(r) != U[i] || random_standard_normal(r) != NORMAL[i]) {
            printf("word %d: %08x %08x %.9g %.9g\n", i, out[i], r, (double)random_u01(r), (double)random_standard_normal(r));
            failed = 1;
        }
    }
    if (philox_site("a") != 0xe40c292cu) failed = printf("FNV-1a of a: %08x\n", philox_site("a"));
    double sum = 0, square = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double z = (double)random_normal(philox_word(3, 4, 5, i), 2, 3);
        sum += z;
        square += (z - 2) * (z - 2);
    }
    if (fabs(sum / 1e5 - 2) > 0.05 || fabs(square / 1e5 - 9) > 0.2) failed = printf("mean %g variance %g\n", sum / 1e5, square / 1e5);
    return failed;
}
