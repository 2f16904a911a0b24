/* sha256.h -- SHA-256 (FIPS 180-4), for files of weights that an artifact knows by their hash. */
#ifndef RUNTIME_HOST_SHA256_H
#define RUNTIME_HOST_SHA256_H
#include <stdint.h>

/* Bytes come in pieces of any length: begin, add as often as there are some, end. */
typedef struct RtSha256 {
    uint32_t h[8];
    int64_t n;              /* bytes added */
    unsigned char last[64]; /* n % 64 of them, which fill no block yet */
} RtSha256;

void rt_sha256_begin(RtSha256 *s);
void rt_sha256_add(RtSha256 *s, const unsigned char *bytes, int64_t n);
void rt_sha256_end(RtSha256 *s, uint8_t hash[32]);

#endif
