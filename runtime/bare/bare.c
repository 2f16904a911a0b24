/* bare.c -- the seam (runtime/host.h) where nothing is: no heap, no threads, no files, no clock. What the caller brings in mdl_options
 * is all there is. */
#include "runtime/internal.h"

void *rt_host_take(int64_t bytes) {
    (void)bytes;
    return NULL;
}

void rt_host_give(void *p) { (void)p; }

int rt_host_threads(int wanted) {
    (void)wanted;
    return 1;
}

RtPool *rt_host_pool(int threads) {
    (void)threads;
    return NULL;
}

void rt_host_pool_free(RtPool *p) { (void)p; }

void rt_host_pool_run(RtPool *p, void (*body)(void *context, int32_t i), void *context) {
    (void)p;
    body(context, 0);
}

static int no_files(mdl_session *s, const char *what) {
    return s ? rt_fail(s, MDL_IO, "%s: this artifact has no files: it was compiled with --runtime=core", what) : MDL_ARGUMENT;
}

int rt_load(mdl_session *s, const char *path) {
    (void)path;
    return no_files(s, "load");
}

int rt_save(mdl_session *s, const char *path, int32_t optimizer) {
    (void)path, (void)optimizer;
    return no_files(s, "save");
}

const char *rt_host_cpu(void) { return NULL; }

uint64_t rt_host_processor(int word) { return (void)word, ~(uint64_t)0; }

const bool rt_host_clock = false;
int64_t rt_host_now(void) { return 0; }

char *rt_host_open_error(void) {
    static char text[RT_ERROR];
    return text;
}
