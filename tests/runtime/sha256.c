/* sha256.c -- the runtime's SHA-256 against OpenSSL's, of every length around its blocks and of one long text. */
#include "runtime/host/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static unsigned char bytes[100003];

static int differs(int64_t n) {
    uint8_t ours[32], theirs[32];
    rt_sha256(bytes, n, ours);
    EVP_Digest(bytes, (size_t)n, theirs, NULL, EVP_sha256(), NULL);
    if (memcmp(ours, theirs, 32) == 0) return 0;
    return printf("%lld bytes\n", (long long)n) > 0;
}

int main(void) {
    int failed = 0;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i >> 3 ^ i);
    for (int64_t n = 0; n < 300; n++) failed |= differs(n);
    return failed | differs(sizeof bytes);
}
