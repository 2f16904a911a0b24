/* checksum.h -- the checksum of a checkpoint's data, which stands in its metadata as "sum": who saves, loads or compiles it in computes
 * the same. */
#ifndef RUNTIME_CHECKSUM_H
#define RUNTIME_CHECKSUM_H
#include <stdint.h>

/* Begins with 0 and takes tensors one after another, in the order of their data, each as words of 64 bits with zeros behind its last
 * byte. Each step can be undone, so that a single changed word always shows. */
static inline uint64_t checksum_add(uint64_t sum, const void *data, int64_t n) {
    for (const char *bytes = data; n > 0; n -= 8, bytes += 8) {
        uint64_t word = 0;
        __builtin_memcpy(&word, bytes, n < 8 ? (__SIZE_TYPE__)n : 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    return sum;
}

#endif
