/* sha256.c -- the runtime's SHA-256 against OpenSSL's, of every length around its blocks and of one long text, in
 * one piece and in pieces of many lengths. */
#include "runtime/host/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static unsigned char bytes[100003];

/* The n bytes in pieces that grow by `step`: 0: one piece. */
static int differs(int64_t n, int64_t step) {
    uint8_t ours[32], theirs[32];
    RtSha256 s;
    rt_sha256_begin(&s);
    for (int64_t at = 0, piece = step ? step : n; at < n; at += piece, piece += step) rt_sha256_add(&s, bytes + at, n - at < piece ? n - at : piece);
    rt_sha256_end(&s, ours);
    EVP_Digest(bytes, (size_t)n, theirs, NULL, EVP_sha256(), NULL);
    if (memcmp(ours, theirs, 32) == 0) return 0;
    return printf("%lld bytes, step %lld\n", (long long)n, (long long)step) > 0;
}

int main(void) {
    int failed = 0;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i >> 3 ^ i);
    for (int64_t n = 0; n < 300; n++) failed |= differs(n, 0) | differs(n, 1) | differs(n, 64);
    for (int64_t step = 0; step < 70; step++) failed |= differs(sizeof bytes, step);
    return failed;
}
