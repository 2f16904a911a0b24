/* digest.h -- SHA-256 (OpenSSL's), by parts. */
#ifndef CODEGEN_DIGEST_H
#define CODEGEN_DIGEST_H
#include "ir/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Digest Digest;
Digest *digest_new(void);
void digest_add(Digest *d, const void *bytes, size_t n);
void digest_text(Digest *d, const char *text); /* with its length, so that "ab", "c" and "a", "bc" differ */
void digest_end(Digest *d, uint8_t hash[32]);  /* frees d */
const char *digest_hex(Arena *arena, const uint8_t hash[32]);

/* Of a file's bytes; false with errno set. */
bool digest_file(const char *path, uint8_t hash[32]);

/* What the compiler is: the build IDs of this program and of each library loaded with it, or their bytes where one has none. */
void digest_compiler(uint8_t hash[32]);

#endif
