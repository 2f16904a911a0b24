/* sha256.c -- SHA-256 (FIPS 180-4, section 6.2). */
#include "runtime/host/sha256.h"

#include "runtime/internal.h"

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void block(uint32_t h[8], const unsigned char *at) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)at[4 * i] << 24 | (uint32_t)at[4 * i + 1] << 16 | (uint32_t)at[4 * i + 2] << 8 | at[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3, b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    for (int i = 0; i < 8; i++) v[i] = h[i];
#pragma GCC unroll 8
    for (int i = 0; i < 64; i++) { /* a..h of the standard are v[-i], v[1 - i] ... modulo 8: nothing moves */
        uint32_t *a = &v[-i & 7], *d = &v[(3 - i) & 7], *e = &v[(4 - i) & 7], *last = &v[(7 - i) & 7];
        uint32_t b = v[(1 - i) & 7], c = v[(2 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
        uint32_t s1 = turn(*e, 6) ^ turn(*e, 11) ^ turn(*e, 25), choice = (*e & f) ^ (~*e & g);
        uint32_t s0 = turn(*a, 2) ^ turn(*a, 13) ^ turn(*a, 22), most = (*a & b) ^ (*a & c) ^ (b & c);
        uint32_t t = *last + s1 + choice + K[i] + w[i];
        *d += t;
        *last = t + s0 + most;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

void rt_sha256_begin(RtSha256 *s) {
    *s = (RtSha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void rt_sha256_add(RtSha256 *s, const unsigned char *bytes, int64_t n) {
    for (int64_t used = 0; used < n;) {
        int64_t have = s->n % 64, more = n - used < 64 - have ? n - used : 64 - have;
        if (more < 64) memcpy(s->last + have, bytes + used, (size_t)more);
        if (have + more == 64) block(s->h, more < 64 ? s->last : bytes + used);
        s->n += more;
        used += more;
    }
}

void rt_sha256_end(RtSha256 *s, uint8_t hash[32]) {
    unsigned char end[72] = {0x80}; /* up to 8 bytes before the end of a block, then the number of bits */
    int64_t n = 64 - (s->n + 8) % 64;
    for (int i = 0; i < 8; i++) end[n + i] = (unsigned char)((uint64_t)s->n * 8 >> (56 - 8 * i));
    rt_sha256_add(s, end, n + 8);
    for (int i = 0; i < 32; i++) hash[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}
