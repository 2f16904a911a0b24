/* libcuda.c -- a stand-in for NVIDIA's driver: memory of the device is memory, whose bounds every copy is checked against, and kernels run in
 * the emulator.
 *
 *   FAKE_CC=90          the device's compute capability; 90,80: there are two; each has memory, contexts and modules of its own
 *   FAKE_ORDER=1        the emulator's order
 *   FAKE_MEMORY=bytes   all that it has                        FAKE_FAIL=name   this function fails ("launch:3": from the third time on)
 *   FAKE_ROOT           the checkout                            FAKE_LEAKS=1     says at the end what was not given back
 *   FAKE_COUNTS=1       says at the end how kernels were launched
 *   FAKE_MAPS=1         .. whether maps of matrices were made
 *   FAKE_COPIES=1       .. how many bytes went to devices and came back */
#include "../map.h"
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
    int device;
    bool units; /* of sm_90a, that multiply for four warps */
} Module;
typedef struct Function {
    Module *module;
    void *code;
    int shared; /* bytes that a launch may ask for */
    struct Function *next;
} Function;
enum { DEVICES = 4 };
typedef const char *Emulate(void *kernel, const long long *arguments, int n, int blocks, int threads, int shared, unsigned order);

static struct {
    char *at;
    size_t n;
    int device;
} blocks[4096];
static int n_blocks, contexts, streams, modules;
static int context_of[DEVICES], stream_of[DEVICES]; /* their addresses are the handles */
static size_t used[DEVICES], bytes_there, bytes_back;
static _Thread_local int current = -1; /* device of this thread's context */

static int number(const char *name, int usual) { return getenv(name) ? atoi(getenv(name)) : usual; }

static int fails(const char *name) {
    static int calls;
    const char *f = getenv("FAKE_FAIL");
    size_t n = strlen(name);
    if (!f || strncmp(f, name, n) || (f[n] && f[n] != ':')) return 0;
    return ++calls >= (f[n] ? atoi(f + n + 1) : 1);
}

static size_t memory_all(void) { return getenv("FAKE_MEMORY") ? (size_t)atoll(getenv("FAKE_MEMORY")) : (size_t)1 << 34; }

/* How many devices there are, and of one the compute capability. */
static int devices(int which, int *cc) {
    const char *list = getenv("FAKE_CC") ? getenv("FAKE_CC") : "90";
    int n = 0;
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (n++ == which) *cc = atoi(p);
    return n;
}

static int inside(Address p, size_t n) {
    for (int i = 0; i < n_blocks; i++)
        if (blocks[i].device == current && (char *)p >= blocks[i].at && (char *)p + n <= blocks[i].at + blocks[i].n) return 1;
    fprintf(stderr, "fake driver: %zu bytes at %p lie in no block of this device\n", n, (void *)p);
    return 0;
}

/* ---- captured: what goes through the stream is noted, and done when the graph is launched. No other function may be called meanwhile. */

typedef struct Node {
    enum { RUN, COPY, SET } kind;
    void *function;
    long long word[128]; /* parameters; or to, from, bytes; or to, byte, bytes */
    int n, blocks, shared;
} Node;
typedef struct Graph {
    Node *nodes;
    int n, cap;
} Graph;
static Graph *capturing;
static int graphs, direct, captured, made, launched, maps;

static int note(Node n) {
    Graph *g = capturing;
    if (g->n == g->cap) g->nodes = realloc(g->nodes, sizeof *g->nodes * (g->cap = 2 * g->cap + 16));
    g->nodes[g->n++] = n;
    return 0;
}

/* Of every function that a capture does not allow: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED. */
#define NOT_CAPTURED if (capturing) return fprintf(stderr, "fake driver: %s during a capture\n", __func__), 900

int cuInit(unsigned flags) { return flags || fails("init"); }
int cuDeviceGetCount(int *n) { return *n = devices(-1, NULL), 0; }
int cuDeviceGet(int *device, int i) { return *device = i, i < 0 || i >= devices(-1, NULL); }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int cc = 0, n = devices(device, &cc);
    *value = attribute == 75 ? cc / 10 : attribute == 76 ? cc % 10 : attribute == 16 ? 2 : 0;
    return device < 0 || device >= n;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { return contexts++, *context = &context_of[device], device >= devices(-1, NULL); }
int cuDevicePrimaryCtxRelease_v2(int device) { return contexts--, device >= devices(-1, NULL); }
int cuCtxGetCurrent(void **context) { return *context = current < 0 ? NULL : &context_of[current], 0; }
int cuCtxSetCurrent(void *context) { return current = context ? (int)((int *)context - context_of) : -1, 0; }
int cuMemGetInfo_v2(size_t *left, size_t *all) { return *all = memory_all(), *left = *all - used[current], 0; }
int cuMemAlloc_v2(Address *at, size_t n) {
    NOT_CAPTURED;
    if (!n || fails("memory")) return 1;
    if (used[current] + n > memory_all() || n_blocks == 4096) return 2;
    char *p = aligned_alloc(512, (n + 511) / 512 * 512);
    memset(p, 0xff, n); /* NaN */
    blocks[n_blocks].at = p;
    blocks[n_blocks].device = current;
    blocks[n_blocks++].n = n;
    used[current] += n;
    *at = (Address)(uintptr_t)p;
    return 0;
}
int cuMemFree_v2(Address p) {
    NOT_CAPTURED;
    for (int i = 0; i < n_blocks; i++) {
        if (blocks[i].at != (char *)p) continue;
        used[blocks[i].device] -= blocks[i].n;
        free(blocks[i].at);
        blocks[i] = blocks[--n_blocks];
        return 0;
    }
    fprintf(stderr, "fake driver: %p is no block\n", (void *)p);
    return 1;
}
static int copy_do(const long long *w) { return memmove((void *)w[0], (void *)w[1], (size_t)w[2]), 0; }
static int set_do(const long long *w) { return memset((void *)w[0], (int)w[1], (size_t)w[2]), 0; }

int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t n, void *stream) {
    NOT_CAPTURED;
    if (stream != &stream_of[current] || !inside(to, n) || fails("copy")) return 1;
    memcpy((void *)to, from, n);
    bytes_there += n;
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t n, void *stream) {
    NOT_CAPTURED;
    if (stream != &stream_of[current] || !inside(from, n)) return 1;
    memcpy(to, (void *)from, n);
    bytes_back += n;
    return 0;
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void *stream) {
    if (stream != &stream_of[current] || !inside(to, n) || !inside(from, n)) return 1;
    Node node = {COPY, NULL, {(long long)to, (long long)from, (long long)n}};
    return capturing ? note(node) : copy_do(node.word);
}
int cuMemsetD8Async(Address to, unsigned char byte, size_t n, void *stream) {
    if (stream != &stream_of[current] || !inside(to, n)) return 1;
    Node node = {SET, NULL, {(long long)to, byte, (long long)n}};
    return capturing ? note(node) : set_do(node.word);
}
__attribute__((destructor)) static void left_behind(void) {
    if (getenv("FAKE_COUNTS"))
        fprintf(stderr, "fake driver: %d kernels one by one; %d captured in %d graphs, launched %d times\n", direct, captured, made, launched);
    if (getenv("FAKE_COPIES")) fprintf(stderr, "fake driver: %zu bytes there, %zu back\n", bytes_there, bytes_back);
    if (getenv("FAKE_MAPS")) fprintf(stderr, "fake driver: %s\n", maps ? "maps of matrices" : "no maps");
    if (!number("FAKE_LEAKS", 0)) return;
    if (n_blocks || contexts || streams || modules || graphs)
        fprintf(stderr, "fake driver: %d blocks, %d contexts, %d streams, %d modules, %d graphs were not given back\n", n_blocks, contexts, streams, modules, graphs);
    else fprintf(stderr, "fake driver: all was given back\n");
}

int cuStreamCreate(void **stream, unsigned flags) { return streams++, *stream = &stream_of[current], flags != 1 || current < 0; }
int cuStreamDestroy_v2(void *stream) { return streams--, stream != &stream_of[current]; }
int cuStreamSynchronize(void *stream) {
    NOT_CAPTURED;
    return stream && stream != &stream_of[current]; /* NULL: the default stream */
}

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
    NOT_CAPTURED;
    const Image *m = image;
    int cc = 0;
    unsigned arch = 0;
    devices(current, &cc);
    bool ptx = sscanf(image, PTX_HEAD, &arch) == 1;
    if ((!ptx && memcmp(m->magic, "\177ELF", 4)) || fails("module")) return 200;
    if (ptx ? (int)arch > cc : (int)m->arch / 10 != cc / 10 || (int)m->arch > cc) return 209; /* no binary for this device */
    Module *loaded = calloc(1, sizeof *loaded);
    loaded->library = text_load(ptx ? strchr(image, '\n') : m->text);
    if (!loaded->library) return free(loaded), 200;
    loaded->device = current;
    loaded->units = !ptx && m->arch == 90 && m->own;
    modules++;
    *module = loaded;
    return 0;
}
int cuModuleUnload(void *module) {
    NOT_CAPTURED;
    dlclose(((Module *)module)->library);
    free(module);
    return modules--, 0;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    static Function *all; /* until the process ends */
    Function *f = malloc(sizeof *f);
    *f = (Function){module, dlsym(((Module *)module)->library, name), 0, all};
    *function = all = f;
    return f->code ? 0 : 500;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
    if (attribute != 8 || value > 99 << 10) return 1; /* what every device of these has */
    return ((Function *)function)->shared = value, 0;
}
#ifndef NO_MAPS
int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *base, const uint64_t *dim, const uint64_t *stride, const uint32_t *box, const uint32_t *step,
                           int interleave, int swizzle, int promotion, int fill) {
    if (fails("map")) return 801; /* CUDA_ERROR_NOT_SUPPORTED */
    int refused = map_encode(map, type, rank, base, dim, stride, box, step, interleave, swizzle, promotion, fill);
    if (refused) fprintf(stderr, "fake driver: a map that the documentation does not allow\n");
    if (!refused) maps++;
    return refused;
}
#endif
static int run_do(const Node *n) {
    Emulate *emulate;
    const Function *f = n->function;
    if (fails("launch")) return 719;
    for (int i = 0; i < n_blocks; i++) /* an address of another device */
        for (int k = 0; k < n->n && blocks[i].device != current; k++)
            if ((char *)n->word[k] >= blocks[i].at && (char *)n->word[k] < blocks[i].at + blocks[i].n) return 700;
    *(void **)&emulate = dlsym(f->module->library, "nt_emulate");
    unsigned order = (unsigned)number("FAKE_ORDER", 0) + (f->module->units && n->shared ? 8 : 0);
    const char *problem = emulate(f->code, n->word, n->n, n->blocks, 128, n->shared ? n->shared : 48 << 10, order);
    if (problem) fprintf(stderr, "fake driver: %s\n", problem);
    return problem ? 719 : 0;
}
/* The runtime ends its parameters by NULL; a driver knows how many there are. */
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream,
                   void **parameters, void **extra) {
    Node node = {RUN, function};
    if (!function || !gx || gy != 1 || gz != 1 || bx != 128 || by != 1 || bz != 1 || stream != &stream_of[current] || extra) return 1;
    if (((Function *)function)->module->device != current) return 400;
    if ((int)shared > ((Function *)function)->shared) return 1;
    node.shared = (int)shared;
    for (; parameters[node.n] && node.n < 128; node.n++) node.word[node.n] = *(long long *)parameters[node.n];
    node.blocks = (int)gx;
    if (capturing) return captured++, note(node);
    return direct++, run_do(&node);
}
int cuStreamBeginCapture_v2(void *stream, int mode) {
    NOT_CAPTURED;
    if (stream != &stream_of[current] || mode != 2) return 1;
    capturing = calloc(1, sizeof *capturing);
    graphs++;
    return 0;
}
int cuStreamEndCapture(void *stream, void **graph) {
    if (stream != &stream_of[current] || !capturing) return 1;
    *graph = capturing;
    capturing = NULL;
    return 0;
}
int cuGraphInstantiateWithFlags(void **made_of, void *graph, unsigned long long flags) {
    NOT_CAPTURED;
    if (flags || fails("graph")) return 1;
    Graph *g = graph, *copy = malloc(sizeof *copy);
    *copy = *g;
    copy->nodes = malloc(sizeof *copy->nodes * (g->n + 1));
    memcpy(copy->nodes, g->nodes, sizeof *copy->nodes * g->n);
    graphs++, made++;
    *made_of = copy;
    return 0;
}
int cuGraphDestroy(void *graph) {
    free(((Graph *)graph)->nodes);
    free(graph);
    return graphs--, 0;
}
int cuGraphExecDestroy(void *graph) { return cuGraphDestroy(graph); }
int cuGraphLaunch(void *graph, void *stream) {
    NOT_CAPTURED;
    const Graph *g = graph;
    if (stream != &stream_of[current]) return 1;
    launched++;
    for (int i = 0, code; i < g->n; i++) {
        const Node *n = &g->nodes[i];
        if ((code = n->kind == RUN ? run_do(n) : n->kind == COPY ? copy_do(n->word) : set_do(n->word))) return code;
    }
    return 0;
}
int cuGetErrorString(int code, const char **text) {
    *text = code == 719 ? "unspecified launch failure" : code == 2 ? "out of memory" : code == 200 ? "device kernel image is invalid" : "invalid argument";
    return 0;
}
