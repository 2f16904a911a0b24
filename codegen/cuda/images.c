/* images.c -- see images.h. */
#include "codegen/cuda/images.h"

#include "codegen/cuda/nvrtc.h"
#include "codegen/digest.h"
#include "ir/diag.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Job {
    const Nvrtc *nvrtc;
    Arena *arena;
    const char *text, *arch, *error;
    CudaImage image;
    double seconds;
    bool done;
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

static void *job_run(void *context) {
    Job *j = context;
    double start = seconds_now();
    j->done = nvrtc_compile(j->nvrtc, j->arena, j->text, j->arch, &j->image, &j->error);
    j->seconds = seconds_now() - start;
    return NULL;
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
        known[i] = cache && cache_object_find(cache, image_key(arena, n, text, arch, "cubin"), &images->code[i]) &&
                   (i || cache_object_find(cache, image_key(arena, n, text, arch, "ptx"), &images->code[target->n_archs]));
        if (known[i]) continue;
        jobs[i] = (Job){.nvrtc = n, .arena = arena_new(), .text = text, .arch = arch};
        started[i] = i + 1 < target->n_archs && !pthread_create(&thread[i], NULL, job_run, &jobs[i]);
        if (!started[i]) job_run(&jobs[i]);
    }
    for (int i = 0; i < target->n_archs; i++) {
        Job *j = &jobs[i];
        if (known[i]) continue;
        if (started[i]) pthread_join(thread[i], NULL);
        if (!j->done) bug("%s", j->error);
        images->code[i] = (Bytes){arena_copy(arena, j->image.cubin.at, j->image.cubin.n), j->image.cubin.n};
        images->use[i] = use_read(j->image.log, j->seconds);
        if (!i) images->code[target->n_archs] = (Bytes){arena_copy(arena, j->image.ptx.at, j->image.ptx.n), j->image.ptx.n};
        if (cache) cache_object_store(cache, image_key(arena, n, text, j->arch, "cubin"), images->code[i]);
        if (cache && !i) cache_object_store(cache, image_key(arena, n, text, j->arch, "ptx"), images->code[target->n_archs]);
        arena_free(j->arena);
    }
    return true;
}
