/* images.c -- see images.h. */
#include "codegen/cuda/images.h"

#include "codegen/cuda/nvrtc.h"
#include "codegen/digest.h"
#include "ir/diag.h"
#include "runtime/checksum.h"
#include "runtime/unpack.h"

#include <lzma.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Job {
    const Nvrtc *nvrtc;
    Arena *arena;
    const char *text, *arch, *error;
    CudaImage image;
    Bytes data, ptx; /* packed; ptx: of the first alone */
    double seconds;
    bool first, done;
} Job;

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The number before a text of the log: "Used 40 registers". */
static int number_before(const char *log, const char *at) {
    while (at > log && at[-1] == ' ') at--;
    while (at > log && at[-1] >= '0' && at[-1] <= '9') at--;
    return atoi(at);
}

/* The most of such numbers. */
static int most_before(const char *log, const char *what) {
    int result = 0;
    for (const char *at = log; (at = strstr(at, what)); at += strlen(what)) {
        int n = number_before(log, at);
        if (n > result) result = n;
    }
    return result;
}

static CudaUse use_read(const char *log, double seconds) {
    return (CudaUse){.registers = most_before(log, " registers"),
                     .shared = most_before(log, " bytes smem"),
                     .spilled = most_before(log, " bytes spill"),
                     .seconds = seconds};
}

Bytes cuda_packed(Arena *arena, Bytes code) {
    lzma_options_lzma options;
    lzma_filter filters[] = {{LZMA_FILTER_LZMA1, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    int64_t words[4] = {(int64_t)code.n};
    size_t head = sizeof words, room = code.n + code.n / 2 + 256, n = head;
    uint8_t *data = arena_alloc(arena, room);
    if (lzma_lzma_preset(&options, LZMA_PRESET_DEFAULT)) bug("LZMA has no such preset");
    options.lc = PACK_LITERAL;
    options.lp = 0;
    options.pb = PACK_PLACE;
    options.dict_size = code.n > LZMA_DICT_SIZE_MIN ? (uint32_t)code.n : LZMA_DICT_SIZE_MIN; /* how far back it looks: all of it */
    if (lzma_raw_buffer_encode(filters, NULL, (const uint8_t *)code.at, code.n, data, &n, room)) bug("%zu bytes cannot be packed", code.n);
    words[1] = (int64_t)(n - head);
    words[2] = (int64_t)checksum_add(0, data + head, words[1]);
    words[3] = (int64_t)checksum_add(0, words, 24);
    memcpy(data, words, sizeof words);
    return (Bytes){(const char *)data, n};
}

static void *job_run(void *context) {
    Job *j = context;
    double start = seconds_now();
    j->done = nvrtc_compile(j->nvrtc, j->arena, j->text, j->arch, &j->image, &j->error);
    j->seconds = seconds_now() - start;
    if (j->done) j->data = cuda_packed(j->arena, j->image.cubin);
    if (j->done && j->first) j->ptx = cuda_packed(j->arena, j->image.ptx);
    return NULL;
}

static Bytes copied(Arena *arena, Bytes bytes) {
    return (Bytes){arena_copy(arena, bytes.at, bytes.n), bytes.n};
}

static const char *image_key(Arena *arena, const Nvrtc *nvrtc, const char *text, const char *arch, const char *kind) {
    uint8_t hash[32];
    Digest *d = digest_new();
    digest_text(d, "code of a device");
    digest_text(d, nvrtc_version(nvrtc));
    digest_text(d, arch);
    digest_text(d, kind);
    digest_text(d, text);
    digest_end(d, hash);
    return digest_hex(arena, hash);
}

bool cuda_images(Arena *arena, const char *text, const Target *target, const char *nvrtc, Cache *cache, CudaImages *images, const char **error) {
    Nvrtc *n = nvrtc_open(arena, nvrtc, error);
    if (!n) return false;
    Job jobs[TARGET_ARCHS];
    pthread_t thread[TARGET_ARCHS];
    bool started[TARGET_ARCHS] = {false}, known[TARGET_ARCHS] = {false};
    images->n = target->n_archs + 1;
    for (int i = 0; i < target->n_archs; i++) {
        const char *arch = target->archs[i];
        images->use[i] = (CudaUse){0};
        known[i] = cache && cache_object_find(cache, image_key(arena, n, text, arch, "cubin"), &images->data[i]) &&
                   (i || (cache_object_find(cache, image_key(arena, n, text, arch, "ptx, packed"), &images->data[target->n_archs]) &&
                          cache_object_find(cache, image_key(arena, n, text, arch, "ptx"), &images->ptx)));
        if (known[i]) continue;
        jobs[i] = (Job){.nvrtc = n, .arena = arena_new(), .text = text, .arch = arch, .first = !i};
        started[i] = i + 1 < target->n_archs && !pthread_create(&thread[i], NULL, job_run, &jobs[i]);
        if (!started[i]) job_run(&jobs[i]);
    }
    for (int i = 0; i < target->n_archs; i++) {
        Job *j = &jobs[i];
        if (known[i]) continue;
        if (started[i]) pthread_join(thread[i], NULL);
        if (!j->done) bug("%s", j->error);
        images->data[i] = copied(arena, j->data);
        images->use[i] = use_read(j->image.log, j->seconds);
        if (cache) cache_object_store(cache, image_key(arena, n, text, j->arch, "cubin"), images->data[i]);
        if (!i) images->ptx = copied(arena, j->image.ptx), images->data[target->n_archs] = copied(arena, j->ptx);
        if (cache && !i) cache_object_store(cache, image_key(arena, n, text, j->arch, "ptx, packed"), images->data[target->n_archs]);
        if (cache && !i) cache_object_store(cache, image_key(arena, n, text, j->arch, "ptx"), images->ptx);
        arena_free(j->arena);
    }
    return true;
}
