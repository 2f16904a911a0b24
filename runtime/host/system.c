/* system.c -- the seam (runtime/host.h) on Linux: heap and clock. Threads are pool.c, files checkpoint.c.
 *
 * What this part imports is listed in codegen/libc.def, and stays within what glibc 2.17 and musl have in common. */
#include "runtime/host/libc.h"
#include "runtime/internal.h"

struct timespec {
    long tv_sec, tv_nsec;
};

void *rt_host_take(int64_t bytes) {
    if (bytes < 0 || bytes > (sizeof(size_t) == 8 ? (int64_t)1 << 46 : (int64_t)1 << 31)) return NULL;
    size_t n = ((size_t)(bytes ? bytes : 1) + RT_ALIGN - 1) / RT_ALIGN * RT_ALIGN, huge = (size_t)2 << 20;
    size_t align = n >= huge ? huge : RT_ALIGN;
    void *p = aligned_alloc(align, (n + align - 1) / align * align);
    if (!p) return NULL;
    if (n >= huge) madvise(p, n / huge * huge, MADV_HUGEPAGE); /* a last one, used in part, would be there as a whole */
    return memset(p, 0, n);
}

void rt_host_give(void *p) { free(p); }

const char *rt_host_cpu(void) { return getenv("MDL_CPU"); }

uint64_t rt_host_processor(int word) { return getauxval(word ? AT_HWCAP2 : AT_HWCAP); }

const bool rt_host_clock = true;
int64_t rt_host_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

char *rt_host_open_error(void) {
    static _Thread_local char text[RT_ERROR];
    return text;
}
