/* sha256.h -- SHA-256 (FIPS 180-4), for files of weights that an artifact knows by their hash. */
#ifndef RUNTIME_HOST_SHA256_H
#define RUNTIME_HOST_SHA256_H
#include <stdint.h>

void rt_sha256(const unsigned char *bytes, int64_t n, uint8_t hash[32]);

#endif
