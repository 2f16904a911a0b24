/* nvrtc.c -- see nvrtc.h. The prototypes are ours, after NVIDIA's documentation of NVRTC 12 and 13. */
#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct RtcProgram *RtcProgram;

struct Nvrtc {
    int (*Version)(int *major, int *minor);
    const char *(*GetErrorString)(int);
    int (*CreateProgram)(RtcProgram *, const char *text, const char *name, int n_headers, const char *const *headers, const char *const *names);
    int (*DestroyProgram)(RtcProgram *);
    int (*CompileProgram)(RtcProgram, int n, const char *const *options);
    int (*GetCUBINSize)(RtcProgram, size_t *);
    int (*GetCUBIN)(RtcProgram, char *);
    int (*GetPTXSize)(RtcProgram, size_t *);
    int (*GetPTX)(RtcProgram, char *);
    int (*GetProgramLogSize)(RtcProgram, size_t *);
    int (*GetProgramLog)(RtcProgram, char *);
    const char *version;
};

/* Of the functions above, in their order: all are pointers. */
static const char *const functions[] = {"Version", "GetErrorString", "CreateProgram", "DestroyProgram", "CompileProgram", "GetCUBINSize", "GetCUBIN",
                                        "GetPTXSize", "GetPTX", "GetProgramLogSize", "GetProgramLog"};
static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};

static bool functions_find(Arena *arena, Nvrtc *n, void *library, const char **error) {
    void **at = (void **)(void *)n;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        at[i] = dlsym(library, arena_printf(arena, "nvrtc%s", functions[i]));
        if (at[i]) continue;
        *error = arena_printf(arena, "this NVRTC has no nvrtc%s", functions[i]);
        return false;
    }
    int major = 0, minor = 0;
    n->Version(&major, &minor);
    n->version = arena_printf(arena, "%d.%d", major, minor);
    return true;
}

static void *open_in(Arena *arena, const char *folder, const char **tried) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = folder ? arena_printf(arena, "%s/%s", folder, names[i]) : names[i];
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library) return library;
        if (!i) *tried = arena_printf(arena, "%s%s%s", *tried, **tried ? ", " : "", folder ? folder : "the loader's folders");
    }
    return NULL;
}

static void *library_open(Arena *arena, const char *path, const char **tried) {
    struct stat st;
    *tried = "";
    if (path && !stat(path, &st) && S_ISDIR(st.st_mode)) return open_in(arena, path, tried);
    if (path) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) *tried = arena_printf(arena, "%s", dlerror());
        return library;
    }
    const char *homes[] = {getenv("CUDA_HOME"), getenv("CUDA_PATH"), "/usr/local/cuda"};
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        void *library = homes[i] ? open_in(arena, arena_printf(arena, "%s/lib64", homes[i]), tried) : NULL;
        if (library) return library;
    }
    return open_in(arena, NULL, tried);
}

Nvrtc *nvrtc_open(Arena *arena, const char *path, const char **error) {
    const char *tried;
    void *library = library_open(arena, path, &tried);
    *error = arena_printf(arena, "NVRTC, which compiles kernels for a device, is not found (%s); install the CUDA toolkit or pip's "
                                 "nvidia-cuda-nvrtc, and say --nvrtc=FOLDER where libnvrtc.so.13 lies elsewhere", tried);
    if (!library) return NULL;
    Nvrtc *n = NEW(arena, Nvrtc);
    return functions_find(arena, n, library, error) ? n : NULL;
}

const char *nvrtc_version(const Nvrtc *n) {
    return n->version;
}

/* ---- complaints ---------------------------------------------------------------------------------------------------------- */

/* The number in the first "kernels.cu(123): error"; 0: there is none. */
static int error_line(const char *log) {
    const char *at = strstr(log, "): error");
    if (!at) return 0;
    while (at > log && at[-1] >= '0' && at[-1] <= '9') at--;
    return atoi(at);
}

static const char *numbered(Arena *arena, const char *text, int line) {
    const char *out = "";
    for (int i = 1; *text; i++) {
        size_t n = strcspn(text, "\n");
        if (i >= line - 8 && i <= line + 4) out = arena_printf(arena, "%s%6d%c %.*s\n", out, i, i == line ? '>' : '|', (int)n, text);
        text += n + (text[n] == '\n');
    }
    return out;
}

static const char *log_read(const Nvrtc *n, Arena *arena, RtcProgram p) {
    size_t size = 0;
    n->GetProgramLogSize(p, &size);
    char *log = arena_alloc(arena, size + 1);
    if (size) n->GetProgramLog(p, log);
    log[size] = 0;
    return log;
}

/* ---- compiling ----------------------------------------------------------------------------------------------------------- */

bool nvrtc_compile(const Nvrtc *n, Arena *arena, const char *text, const char *arch, CudaImage *image, const char **error) {
    RtcProgram p = NULL;
    const char *options[] = {arena_printf(arena, "--gpu-architecture=sm_%s", arch), "--fmad=false", "--std=c++17", "--diag-suppress=177" /* functions that nobody calls */, "--ptxas-options=-v"};
    int code = n->CreateProgram(&p, text, "kernels.cu", 0, NULL, NULL);
    if (!code) code = n->CompileProgram(p, (int)(sizeof options / sizeof *options), options);
    image->log = p ? log_read(n, arena, p) : "";
    char *cubin = NULL, *ptx = NULL;
    if (!code) code = n->GetCUBINSize(p, &image->cubin.n);
    if (!code) code = n->GetCUBIN(p, cubin = arena_alloc(arena, image->cubin.n + 1));
    if (!code) code = n->GetPTXSize(p, &image->ptx.n);
    if (!code) code = n->GetPTX(p, ptx = arena_alloc(arena, image->ptx.n + 1));
    image->cubin.at = cubin;
    image->ptx.at = ptx;
    if (p) n->DestroyProgram(&p);
    int line = code ? error_line(image->log) : 0;
    if (code)
        *error = arena_printf(arena, "NVRTC %s for sm_%s: %s\n%s\n%s", n->version, arch, n->GetErrorString(code), image->log,
                              line ? numbered(arena, text, line) : "");
    return !code;
}
