/* unpack.c -- what cuda_packed packs, rt_unpack unpacks: texts, machine code, noise, repetitions from next to far away. Damaged bytes never write
 * outside, and what liblzma unpacks of them, rt_unpack does too. */
#include "codegen/cuda/images.h"
#include "runtime/unpack.h"

#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static uint64_t seed = 88172645463325252u;
static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* Both decoders: equal bytes, or both refuse. The memory is as long as it must be: sanitizers see what is outside. */
static bool agree(const unsigned char *packed, size_t n_packed, size_t n, unsigned char *ours) {
    lzma_options_lzma options;
    lzma_filter filters[] = {{LZMA_FILTER_LZMA1, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    static uint16_t work[RT_UNPACK_WORK / 2];
    unsigned char *theirs = malloc(n);
    size_t at = 0, to = 0;
    lzma_lzma_preset(&options, LZMA_PRESET_DEFAULT);
    options.lc = PACK_LITERAL;
    options.lp = 0;
    options.pb = PACK_PLACE;
    options.dict_size = n > LZMA_DICT_SIZE_MIN ? (uint32_t)n : LZMA_DICT_SIZE_MIN;
    /* It asks for a mark behind the last byte, and is not pleased where damage has made one earlier or none. */
    lzma_ret code = lzma_raw_buffer_decode(filters, NULL, packed, &at, n_packed, theirs, &to, n);
    bool fine = rt_unpack(work, packed, (int64_t)n_packed, ours, (int64_t)n), same = code == LZMA_OK && to == n ? fine && !memcmp(ours, theirs, n) : true;
    free(theirs);
    return same;
}

static void check(const char *what, const unsigned char *data, size_t n) {
    Arena *arena = arena_new();
    Bytes packed = cuda_packed(arena, (Bytes){(const char *)data, n});
    int64_t head[4];
    memcpy(head, packed.at, sizeof head);
    unsigned char *exact = malloc((size_t)head[1]), *out = malloc(n);
    static uint16_t work[RT_UNPACK_WORK / 2];
    memcpy(exact, packed.at + sizeof head, (size_t)head[1]);
    bool fine = (size_t)head[0] == n && (size_t)head[1] + sizeof head == packed.n && rt_unpack(work, exact, head[1], out, (int64_t)n) && !memcmp(out, data, n);
    if (!fine) failures += printf("%s: %zu bytes do not come back\n", what, n) > 0;
    for (int i = 0; i < 40; i++) {
        size_t at = (size_t)(next() % (uint64_t)head[1]);
        unsigned char was = exact[at];
        exact[at] ^= (unsigned char)(1 << next() % 8);
        if (!agree(exact, (size_t)head[1], n, out)) failures += printf("%s: damaged, it unpacks to something else than liblzma says\n", what) > 0;
        exact[at] = was;
    }
    for (int64_t cut = 0; cut < head[1] - 16; cut += 1 + head[1] / 30) { /* its last bytes are the coder's, and the mark */
        unsigned char *part = malloc((size_t)cut + 1);
        memcpy(part, exact, (size_t)cut);
        if (rt_unpack(work, part, cut, out, (int64_t)n) && memcmp(out, data, n)) failures += printf("%s: cut to %lld, it unpacks to something else\n", what, (long long)cut) > 0;
        free(part);
    }
    free(exact);
    free(out);
    arena_free(arena);
}

int main(void) {
    size_t most = 1 << 20;
    unsigned char *data = malloc(most);
    for (size_t n = 1; n < 300; n++) {
        for (size_t i = 0; i < n; i++) data[i] = (unsigned char)(next() % (1 + n % 7 * 40));
        check("short", data, n);
    }
    for (size_t i = 0; i < most; i++) data[i] = (unsigned char)next();
    check("noise", data, 70000);
    memset(data, 7, most);
    check("one byte", data, most);
    for (size_t i = 0; i < most; i++) data[i] = (unsigned char)"the quick brown fox jumps over the lazy dog "[i % 44];
    check("a sentence", data, 100000);
    for (int round = 0; round < 12; round++) { /* copies from anywhere before, some bytes changed */
        size_t n = 1000 + (size_t)(next() % (most - 1000)), at = 64;
        for (size_t i = 0; i < at; i++) data[i] = (unsigned char)next();
        while (at < n) {
            size_t from = (size_t)(next() % at), length = 1 + (size_t)(next() % (round % 3 ? 40 : 4000));
            for (; length && at < n; length--) data[at++] = data[from++];
            if (at < n && next() % 2) data[at++] = (unsigned char)next();
        }
        check("copies", data, n);
    }
    FILE *f = fopen("/proc/self/exe", "rb");
    size_t n = f ? fread(data, 1, most, f) : 0;
    if (f) fclose(f);
    if (n) check("machine code", data, n);
    free(data);
    return failures != 0;
}
