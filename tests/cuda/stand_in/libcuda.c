/* libcuda.c -- a stand-in for NVIDIA's driver: memory of the device is memory, whose bounds every copy is checked against, and kernels run in
 * the emulator.
 *
 *   FAKE_CC=90          the device's compute capability        FAKE_ORDER=1     the emulator's order
 *   FAKE_MEMORY=bytes   all that it has                        FAKE_FAIL=name   this function fails ("launch:3": from the third time on)
 *   FAKE_ROOT           the checkout                            FAKE_LEAKS=1     says at the end what was not given back */
#include "image.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t Address;
typedef struct Module {
    void *library;
} Module;
typedef const char *Emulate(void *kernel, const long long *arguments, int n, int blocks, int threads, int shared, unsigned order);

static struct {
    char *at;
    size_t n;
} blocks[4096];
static int n_blocks, contexts, streams, modules;
static size_t used;

static int number(const char *name, int usual) { return getenv(name) ? atoi(getenv(name)) : usual; }

static int fails(const char *name) {
    static int calls;
    const char *f = getenv("FAKE_FAIL");
    size_t n = strlen(name);
    if (!f || strncmp(f, name, n) || (f[n] && f[n] != ':')) return 0;
    return ++calls >= (f[n] ? atoi(f + n + 1) : 1);
}

__attribute__((destructor)) static void left_behind(void) {
    if (!getenv("FAKE_LEAKS")) return;
    if (n_blocks || contexts || streams || modules)
        fprintf(stderr, "fake driver: %d blocks, %d contexts, %d streams, %d modules were not given back\n", n_blocks, contexts, streams, modules);
    else fprintf(stderr, "fake driver: all was given back\n");
}

static size_t memory_all(void) { return getenv("FAKE_MEMORY") ? (size_t)atoll(getenv("FAKE_MEMORY")) : (size_t)1 << 34; }

static int inside(Address p, size_t n) {
    for (int i = 0; i < n_blocks; i++)
        if ((char *)p >= blocks[i].at && (char *)p + n <= blocks[i].at + blocks[i].n) return 1;
    fprintf(stderr, "fake driver: %zu bytes at %p lie in no block\n", n, (void *)p);
    return 0;
}

int cuInit(unsigned flags) { return flags || fails("init"); }
int cuDeviceGet(int *device, int i) { return *device = i, i != 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int cc = number("FAKE_CC", 90);
    *value = attribute == 75 ? cc / 10 : attribute == 76 ? cc % 10 : attribute == 16 ? 2 : 0;
    return device != 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { return contexts++, *context = &contexts, device != 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return contexts--, device != 0; }
int cuCtxSetCurrent(void *context) { return context ? 0 : 201; }
int cuMemGetInfo_v2(size_t *left, size_t *all) { return *all = memory_all(), *left = *all - used, 0; }
int cuMemAlloc_v2(Address *at, size_t n) {
    if (!n || fails("memory")) return 1;
    if (used + n > memory_all() || n_blocks == 4096) return 2;
    char *p = aligned_alloc(512, (n + 511) / 512 * 512);
    memset(p, 0xff, n); /* NaN */
    blocks[n_blocks].at = p;
    blocks[n_blocks++].n = n;
    used += n;
    *at = (Address)(uintptr_t)p;
    return 0;
}
int cuMemFree_v2(Address p) {
    for (int i = 0; i < n_blocks; i++) {
        if (blocks[i].at != (char *)p) continue;
        used -= blocks[i].n;
        free(blocks[i].at);
        blocks[i] = blocks[--n_blocks];
        return 0;
    }
    fprintf(stderr, "fake driver: %p is no block\n", (void *)p);
    return 1;
}
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t n, void *stream) {
    if (!stream || !inside(to, n) || fails("copy")) return 1;
    memcpy((void *)to, from, n);
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t n, void *stream) {
    if (!stream || !inside(from, n)) return 1;
    memcpy(to, (void *)from, n);
    return 0;
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void *stream) {
    if (!stream || !inside(to, n) || !inside(from, n)) return 1;
    memmove((void *)to, (void *)from, n);
    return 0;
}
int cuMemsetD8Async(Address to, unsigned char byte, size_t n, void *stream) {
    if (!stream || !inside(to, n)) return 1;
    memset((void *)to, byte, n);
    return 0;
}
int cuStreamCreate(void **stream, unsigned flags) { return streams++, *stream = &streams, flags != 1; }
int cuStreamDestroy_v2(void *stream) { return streams--, stream != &streams; }
int cuStreamSynchronize(void *stream) { return stream != &streams; }

/* The text of the image as a library, with the emulator. */
static void *text_load(const char *text) {
    char folder[] = "/tmp/libcuda.XXXXXX", path[200], command[2000];
    const char *root = getenv("FAKE_ROOT") ? getenv("FAKE_ROOT") : ".", *compiler = getenv("CC") ? getenv("CC") : "gcc";
    if (!mkdtemp(folder)) return NULL;
    snprintf(path, sizeof path, "%s/k.c", folder);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command,
             "%s -w -O1 -march=native -ffp-contract=off -fno-strict-aliasing -fPIC -shared -I%s -DNT_EMULATOR -o %s/k.so %s/k.c %s/tests/cuda/emulator.c -lm", compiler,
             root, folder, folder, root);
    void *library = NULL;
    snprintf(path, sizeof path, "%s/k.so", folder);
    if (!system(command)) library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command)) return NULL;
    return library;
}

int cuModuleLoadData(void **module, const void *image) {
    const Image *m = image;
    int cc = number("FAKE_CC", 90);
    unsigned arch = 0;
    bool ptx = sscanf(image, PTX_HEAD, &arch) == 1;
    if ((!ptx && memcmp(m->magic, "\177ELF", 4)) || fails("module")) return 200;
    if (ptx ? (int)arch > cc : (int)m->arch / 10 != cc / 10 || (int)m->arch > cc) return 209; /* no binary for this device */
    Module *loaded = calloc(1, sizeof *loaded);
    loaded->library = text_load(ptx ? strchr(image, '\n') : m->text);
    if (!loaded->library) return free(loaded), 200;
    modules++;
    *module = loaded;
    return 0;
}
int cuModuleUnload(void *module) {
    dlclose(((Module *)module)->library);
    free(module);
    return modules--, 0;
}
static Module *current;
int cuModuleGetFunction(void **function, void *module, const char *name) {
    current = module;
    *function = dlsym(current->library, name);
    return *function ? 0 : 500;
}
/* The runtime ends its parameters by NULL; a driver knows how many there are. */
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream,
                   void **parameters, void **extra) {
    long long word[128];
    int n = 0;
    Emulate *emulate;
    if (!function || !gx || gy != 1 || gz != 1 || bx != 128 || by != 1 || bz != 1 || shared || !stream || extra) return 1;
    if (fails("launch")) return 719;
    for (; parameters[n] && n < 128; n++) word[n] = *(long long *)parameters[n];
    *(void **)&emulate = dlsym(current->library, "nt_emulate");
    const char *problem = emulate(function, word, n, (int)gx, (int)bx, 48 << 10, (unsigned)number("FAKE_ORDER", 0));
    if (problem) fprintf(stderr, "fake driver: %s\n", problem);
    return problem ? 719 : 0;
}
int cuGetErrorString(int code, const char **text) {
    *text = code == 719 ? "unspecified launch failure" : code == 2 ? "out of memory" : code == 200 ? "device kernel image is invalid" : "invalid argument";
    return 0;
}
