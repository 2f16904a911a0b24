/* artifact.c -- the stages from plans to a file, in order:
 *
 *   artifact_new      kernels, entries and tables as LLVM IR, dealt out over modules
 *   artifact_compile  each module to an object, on as many threads as there are processors, or from a cache
 *   artifact_link     objects + weights and description (elf.c) + the embedded runtime, linked (link.c)
 *
 * Memory: everything is in the caller's arena, but what a thread allocates, which has an arena of its own until
 * artifact_free. */
#include "codegen/artifact.h"

#include "codegen/cache.h"
#include "codegen/cpu/lower.h"
#include "codegen/cuda/cost.h"
#include "codegen/cuda/images.h"
#include "codegen/cuda/lower.h"
#include "codegen/digest.h"
#include "codegen/entry.h"
#include "codegen/external.h"
#include "codegen/initial.h"
#include "codegen/memory.h"
#include "codegen/tables.h"
#include "codegen/wasm.h"
#include "ir/embed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PLAIN_CALLS 512 /* from so many on, entries take longer to optimize than all of their kernels */
#define MODULES (TARGET_VARIANTS * ARTIFACT_MODULES)

/* One module, from IR to object; without a function, neither. */
typedef struct Part {
    Emit *emit;
    Scheduler *scheduler;
    Arena *arena;
    Bytes object;
    const char *error, *key; /* key: in the cache; NULL: it is not kept there */
    double seconds;
    bool reused; /* the object comes from the cache */
    bool empty;
    bool first;  /* of its unit: entries and tables */
} Part;

struct Artifact {
    Arena *arena;
    ArtifactOptions options;
    EntryUnit units[TARGET_VARIANTS]; /* all that is generated, once for each variant of the target */
    Part parts[MODULES];
    int n_parts;
    CudaImages images; /* of a target with devices */
    ElfData *data; /* values of slots, then constant tensors, then images */
    int n_data;
    External *external;   /* NULL: values of slots are inside */
    int n_values;           /* of slots */
    const Slot **data_slot; /* beside data: NULL for tensors */
    Bytes meta;
    ArtifactHashes hashes;
    uint8_t content[32];
};

/* ---- what the compiler has inside ----------------------------------------------------------------------------------------- */

/* The runtime compiled for the platform: all of it, its core alone, or what devices want, too. NULL: there is none. */
static const Embedded *runtime_find(Arena *arena, const Platform *platform, bool core, bool device) {
    const char *name = arena_printf(arena, "runtime-%s%s.o", core ? "core-" : device ? "device-" : "", platform->runtime);
    for (const Embedded *e = embedded_runtime; e->name; e++) {
        if (!strcmp(e->name, name)) return e;
    }
    return NULL;
}

bool artifact_possible(Arena *arena, const Target *target, bool core, const char **why) {
    const Platform *platform = target->platform;
    Emit *e = emit_new("", platform, false);
    *why = NULL;
    if (!e) *why = arena_printf(arena, "the LLVM of this modelc has no code generator for %s", platform->triple);
    else if (!runtime_find(arena, platform, core, target->n_archs)) *why = arena_printf(arena, "this modelc was built without a runtime for it");
    emit_free(e);
    return !*why;
}

/* ---- generating ---------------------------------------------------------------------------------------------------------- */

static void part_new(Artifact *a, int number, const Target *target) {
    Part *part = &a->parts[number];
    const char *name = part->first ? a->options.program->name : arena_printf(a->arena, "kernels.%d", number);
    part->emit = emit_new(name, target->platform, target->optimize > 0);
    if (!part->emit) bug("LLVM has no code generator for %s", target->platform->triple);
    part->scheduler = scheduler_new(a->arena, emit_module(part->emit), target);
}

/* The modules of one variant. */
static void unit_new(Artifact *a, int variant, int n) {
    EntryUnit *unit = &a->units[variant];
    Target target = target_variant(a->options.target, variant);
    if (target.device) n = 1; /* its kernels are no part of the module */
    unit->first = a->n_parts;
    unit->modules = NEW_ARRAY(a->arena, EntryModule, n);
    unit->n_modules = n;
    for (int i = 0; i < n; i++) {
        a->parts[a->n_parts].first = i == 0;
        part_new(a, a->n_parts, &target);
        const Part *part = &a->parts[a->n_parts++];
        unit->modules[i] = (EntryModule){.scheduler = part->scheduler, .module = emit_module(part->emit)};
    }
    unit->module = module_new(a->arena, unit->modules[0].module);
    unit->program = a->options.program;
    unit->device = target.device;
    unit->profiled = !a->options.core;
}

/* A scheduler adds functions to its module when it first meets a kernel. */
static void parts_empty(Artifact *a) {
    for (int i = 1; i < a->n_parts; i++) a->parts[i].empty = !a->parts[i].first && !scheduler_functions(a->parts[i].scheduler);
}

/* Code of many calls, beside which no kernel stands, is compiled as it stands: the time of LLVM's allocator of registers grows with
 * the square of a function, whatever its attributes say. */
static void parts_plain(Artifact *a) {
    for (int i = 0; i < a->options.target->variants; i++) {
        const EntryUnit *unit = &a->units[i];
        if (unit->n_modules > 1 && unit->kernels > PLAIN_CALLS) emit_plain(a->parts[unit->first].emit);
    }
}

/* -Os: no padding for the sake of loops, and no code as it stands (function_short of entry.c). */
static void parts_shrink(Artifact *a) {
    static const char *const names[] = {"optsize", "minsize"};
    static const LLVMAttributeIndex at = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    for (int i = 0; i < a->n_parts; i++) {
        LLVMModuleRef module = emit_module(a->parts[i].emit);
        for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
            if (LLVMIsDeclaration(f)) continue;
            LLVMRemoveEnumAttributeAtIndex(f, at, LLVMGetEnumAttributeKindForName("optnone", 7));
            for (int k = 0; k < 2; k++) {
                unsigned kind = LLVMGetEnumAttributeKindForName(names[k], strlen(names[k]));
                LLVMAddAttributeAtIndex(f, at, LLVMCreateEnumAttribute(LLVMGetModuleContext(module), kind, 0));
            }
        }
    }
}

/* Functions of the other modules get the names that the entries call them by. */
static void parts_rename(Artifact *a) {
    for (int i = 1; i < a->n_parts; i++) {
        LLVMModuleRef module = emit_module(a->parts[i].emit);
        for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
            size_t n;
            if (LLVMIsDeclaration(f)) continue;
            const char *name = entry_kernel_name(a->arena, LLVMGetValueName2(f, &n), i);
            LLVMSetValueName2(f, name, strlen(name));
        }
    }
}

/* Values of slots inside the artifact: their symbols by slot, NULL for none. */
static const char **data_collect(Artifact *a) {
    const Program *p = a->options.program;
    const char **symbol = NEW_ARRAY(a->arena, const char *, p->slots.n + 1);
    a->data = NEW_ARRAY(a->arena, ElfData, p->slots.n + 1);
    a->data_slot = NEW_ARRAY(a->arena, const Slot *, p->slots.n + 1);
    for (int i = 0; i < p->slots.n && !a->external; i++) {
        SlotInitial initial = initial_graph(a->arena, p, i);
        if (initial.kind != INITIAL_DATA) continue;
        symbol[i] = arena_printf(a->arena, "mdl.slot.%d", i);
        a->data_slot[a->n_data] = p->slots.at[i];
        a->data[a->n_data++] = (ElfData){symbol[i], initial.data, initial.bytes};
    }
    return symbol;
}

/* Constant tensors that the code refers to. */
static void data_tensors(Artifact *a) {
    const EntryUnit *last = &a->units[a->options.target->variants - 1]; /* each went on with the tensors of the one before */
    a->data = arena_grow(a->arena, a->data, sizeof *a->data * (size_t)a->n_data,
                         sizeof *a->data * (size_t)(a->n_data + last->tensors.n + 1));
    for (int i = 0; i < last->tensors.n; i++) {
        const Node *t = last->tensors.at[i];
        int64_t count = 1;
        for (int k = 0; k < t->type.rank; k++) count *= size_value(t->type.dim[k]);
        a->data[a->n_data++] =
            (ElfData){arena_printf(a->arena, "mdl.tensor.%d", i), t->attrs.data, (size_t)(count * dtype_bytes(t->type.dtype))};
    }
}

/* Recorded calls. */
static void data_tests(Artifact *a) {
    if (!a->options.tests) return;
    a->data = arena_grow(a->arena, a->data, sizeof *a->data * (size_t)a->n_data, sizeof *a->data * (size_t)(a->n_data + 1));
    a->data[a->n_data++] = selftest_data(a->arena, a->options.tests, a->options.program);
}

Artifact *artifact_new(Arena *arena, const ArtifactOptions *options) {
    Artifact *a = NEW(arena, Artifact);
    a->arena = arena;
    a->options = *options;
    int variants = options->target->variants;
    int n = options->modules < 1 ? 1 : options->modules < ARTIFACT_MODULES ? options->modules : ARTIFACT_MODULES;
    a->hashes = artifact_hashes(arena, options);
    if (options->weights) a->external = external_new(arena, options->program);
    const char **data = data_collect(a);
    for (int i = 0; i < variants; i++) {
        unit_new(a, i, n);
        if (i) a->units[i].tensors = a->units[i - 1].tensors;
        artifact_tables(&a->units[i], options, &a->hashes, data, a->external, i);
    }
    a->n_values = a->n_data;
    data_tensors(a);
    data_tests(a);
    parts_empty(a);
    parts_rename(a);
    if (options->target->small) parts_shrink(a);
    else parts_plain(a);
    return a;
}

void artifact_free(Artifact *a) {
    if (!a) return;
    for (int i = 0; i < a->n_parts; i++) {
        scheduler_free(a->parts[i].scheduler);
        emit_free(a->parts[i].emit);
        arena_free(a->parts[i].arena);
    }
}

/* Kernels for a device; "": there are none. */
static const char *artifact_cuda(const Artifact *a) {
    return a->options.target->n_archs ? scheduler_cuda(a->parts[a->n_parts - 1].scheduler) : "";
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

void artifact_print_tiles(const Artifact *a, FILE *f) {
    for (int i = 0; i < a->n_parts; i++) scheduler_print_tiles(a->parts[i].scheduler, f);
}

void artifact_print_cuda(const Artifact *a, FILE *f) {
    fputs(cuda_prelude(), f);
    fputs(artifact_cuda(a), f);
}

void artifact_print_cost(const Artifact *a, FILE *f) {
    cuda_cost_print(f, a->arena, a->parts[a->n_parts - 1].scheduler, a->options.program, a->options.entries);
}

const char *artifact_ir(Artifact *a) {
    const char *text = "";
    for (int i = 0; i < a->n_parts; i++) text = arena_printf(a->arena, "%s%s", text, emit_ir(a->parts[i].emit, a->arena));
    return text;
}

const char *artifact_asm(Artifact *a) {
    const char *text = "", *part, *error;
    for (int i = 0; i < a->n_parts; i++) {
        if (!emit_asm(a->parts[i].emit, a->arena, &part, &error)) bug("LLVM: %s", error);
        text = arena_printf(a->arena, "%s%s", text, part);
    }
    return text;
}

int artifact_kernel_calls(const Artifact *a) {
    return a->units[0].kernels;
}

int artifact_kernel_functions(const Artifact *a) {
    int n = 0;
    for (int i = 0; i < a->n_parts; i++) n += scheduler_functions(a->parts[i].scheduler);
    return n;
}

/* Of data: those that are no images. */
static int values(const Artifact *a) {
    return a->n_data - a->images.n;
}

size_t artifact_weight_bytes(const Artifact *a) {
    size_t n = 0;
    for (int i = 0; i < values(a); i++) n += a->data[i].bytes;
    return n;
}

const External *artifact_external(const Artifact *a) {
    return a->external;
}

bool artifact_value(const Artifact *a, int i, const Slot **slot, size_t *bytes) {
    if (i >= values(a)) return false;
    *slot = i < a->n_values ? a->data_slot[i] : NULL;
    *bytes = a->data[i].bytes;
    return true;
}

/* ---- machine code -------------------------------------------------------------------------------------------------------- */

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void part_compile(Part *part) {
    double start = seconds_now();
    part->arena = arena_new();
    if (!emit_object(part->emit, part->arena, &part->object.at, &part->object.n, &part->error)) part->object.at = NULL;
    part->seconds = seconds_now() - start;
}

/* What the object of a module follows from: the compiler, the options of its machine, the code. */
static const char *part_key(const Artifact *a, const Part *part) {
    uint8_t hash[32];
    LLVMMemoryBufferRef code = emit_bitcode(part->emit);
    Digest *d = digest_new();
    digest_text(d, "module");
    digest_text(d, a->options.cache->compiler);
    digest_text(d, a->options.target->optimize ? "optimized" : "plain");
    digest_add(d, LLVMGetBufferStart(code), LLVMGetBufferSize(code));
    digest_end(d, hash);
    LLVMDisposeMemoryBuffer(code);
    return digest_hex(a->arena, hash);
}

/* Objects of kernels that were compiled before. Entries and tables are every program's own. */
static void parts_find(Artifact *a) {
    for (int i = 1; a->options.cache && i < a->n_parts; i++) {
        Part *part = &a->parts[i];
        if (part->empty || part->first) continue;
        part->key = part_key(a, part);
        part->reused = cache_object_find(a->options.cache, part->key, &part->object);
    }
}

static void parts_keep(Artifact *a) {
    for (int i = 1; i < a->n_parts; i++) {
        const Part *part = &a->parts[i];
        if (part->key && !part->reused) cache_object_store(a->options.cache, part->key, part->object);
    }
}

int artifact_reused(const Artifact *a) {
    int n = 0;
    for (int i = 0; i < a->n_parts; i++) n += a->parts[i].reused;
    return n;
}

/* Modules on their way to objects, for several threads. */
typedef struct Queue {
    Artifact *a;
    atomic_int next;
} Queue;

static void *queue_work(void *context) {
    Queue *q = context;
    for (int i; (i = atomic_fetch_add(&q->next, 1)) < q->a->n_parts;)
        if (!q->a->parts[i].empty && !q->a->parts[i].reused) part_compile(&q->a->parts[i]);
    return NULL;
}

bool artifact_compile_device(Artifact *a, const char **error) {
    const Target *target = a->options.target;
    if (!target->n_archs) return true;
    const char *text = arena_printf(a->arena, "%s%s", cuda_prelude(), artifact_cuda(a));
    if (!cuda_images(a->arena, text, target, a->options.nvrtc, a->options.cache, &a->images, error)) return false;
    a->data = arena_grow(a->arena, a->data, sizeof *a->data * (size_t)(a->n_data + 1), sizeof *a->data * (size_t)(a->n_data + a->images.n + 1));
    for (int i = 0; i < a->images.n; i++)
        a->data[a->n_data++] = (ElfData){arena_printf(a->arena, "mdl.image.%d", i), a->images.data[i].at, a->images.data[i].n};
    return true;
}

const char *artifact_ptx(const Artifact *a) {
    return a->images.ptx.at;
}

void artifact_compile(Artifact *a) {
    pthread_t thread[MODULES];
    Queue queue = {.a = a};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int n = 0;
    for (int i = 0; i < a->n_parts; i++) {
        const char *error;
        if (!emit_verify(a->parts[i].emit, a->arena, &error)) bug("LLVM refuses module %d: %s", i, error);
    }
    parts_find(a);
    while (n + 1 < processors && n + 1 < a->n_parts && !pthread_create(&thread[n], NULL, queue_work, &queue)) n++;
    queue_work(&queue);
    while (n) pthread_join(thread[--n], NULL);
    for (int i = 0; i < a->n_parts; i++) {
        if (!a->parts[i].empty && !a->parts[i].object.at) bug("LLVM: %s", a->parts[i].error);
    }
    parts_keep(a);
}

const char *artifact_device_text(const Artifact *a) {
    int n;
    scheduler_cuda_kernels(a->parts[a->n_parts - 1].scheduler, &n);
    const char *text = arena_printf(a->arena, "%d kernels", n);
    for (int i = 0; i + 1 < a->images.n; i++) {
        const CudaUse *use = &a->images.use[i];
        int64_t bytes;
        memcpy(&bytes, a->images.data[i].at, sizeof bytes);
        text = arena_printf(a->arena, "%s; sm_%s: %lld bytes, %zu packed", text, a->options.target->archs[i], (long long)bytes, a->images.data[i].n);
        if (use->seconds > 0)
            text = arena_printf(a->arena, "%s, %d registers, %d shared, %d spilled, %.0f ms", text, use->registers, use->shared, use->spilled,
                                1e3 * use->seconds);
    }
    return text;
}

const char *artifact_compile_text(const Artifact *a) {
    int modules = 0;
    double seconds = 0;
    for (int i = 0; i < a->n_parts; i++) {
        modules += !a->parts[i].empty;
        seconds += a->parts[i].seconds;
    }
    return arena_printf(a->arena, "%d modules, %d of them compiled before, %.0f ms of all threads", modules, artifact_reused(a), 1e3 * seconds);
}

/* The objects of all parts; returns their number. */
static int parts_objects(const Artifact *a, Bytes *objects) {
    int n = 0;
    for (int i = 0; i < a->n_parts; i++)
        if (!a->parts[i].empty) objects[n++] = a->parts[i].object;
    return n;
}

Bytes artifact_model_object(Artifact *a) {
    Bytes objects[MODULES], joined;
    const char *error;
    int n = parts_objects(a, objects);
    if (n == 1) return objects[0];
    if (!link_object(a->arena, objects, n, &joined, &error)) bug("%s", error ? error : "no memory for an object");
    return joined;
}

bool artifact_memory(const Artifact *a, SessionMemory *memory) {
    const Target *target = a->options.target;
    const Program *p = a->options.program;
    const Embedded *runtime = runtime_find(a->arena, target->platform, a->options.core, target->n_archs);
    int32_t layout[5];
    bool *data = NEW_ARRAY(a->arena, bool, p->slots.n + 1);
    if (!runtime || target->n_archs || !elf_words(a->arena, (Bytes){runtime->text, runtime->length}, "rt_session_layout", layout, 5)) return false;
    for (int i = 0; i < p->slots.n; i++) data[i] = a->external ? a->external->places[i] != 0 : initial_graph(a->arena, p, i).kind == INITIAL_DATA;
    *memory = memory_needed(a->arena, &a->options, &a->units[0], layout, data);
    for (int v = 1; v < target->variants; v++) {
        SessionMemory more = memory_needed(a->arena, &a->options, &a->units[v], layout, data);
        if (more.opened > memory->opened) memory->opened = more.opened;
        for (int i = 0; i < p->entries.n; i++)
            if (more.called[i] < 0 || (memory->called[i] >= 0 && more.called[i] > memory->called[i])) memory->called[i] = more.called[i];
    }
    return true;
}

/* SHA-256 of what is linked, but for the description that will hold it: machine code, values, runtime. */
static void content_hash(Artifact *a) {
    Digest *d = digest_new();
    for (int i = 0; i < a->n_parts; i++) digest_add(d, a->parts[i].object.at, a->parts[i].object.n);
    for (int i = 0; i < a->n_data; i++) digest_add(d, a->data[i].data, a->data[i].bytes);
    if (a->external) digest_add(d, a->external->hash, sizeof a->external->hash);
    for (const Embedded *e = embedded_runtime; e->name; e++) digest_add(d, e->text, e->length);
    unsigned char options[] = {(unsigned char)a->options.kind, a->options.core};
    digest_add(d, options, sizeof options);
    digest_end(d, a->content);
}

const char *artifact_content_text(const Artifact *a) {
    return digest_hex(a->arena, a->content);
}

/* Values as elf_data lays them, `gap` bytes behind what was linked. */
static void data_append(Artifact *a, size_t gap, Content *file) {
    static const char zeros[4096];
    LIST(Bytes) more = {0};
    for (int i = 0; i < a->n_data; i++) {
        for (size_t n; gap; gap -= n) {
            n = gap < sizeof zeros ? gap : sizeof zeros;
            PUSH(a->arena, more, ((Bytes){zeros, n}));
        }
        PUSH(a->arena, more, ((Bytes){a->data[i].data, a->data[i].bytes}));
        gap = -a->data[i].bytes & 63;
    }
    if (gap) PUSH(a->arena, more, ((Bytes){zeros, gap}));
    file->more = more.at;
    file->n_more = more.n;
}

/* The linker reads all and writes all again, in fresh memory: from a megabyte on, values stay where they are until the file is
 * written, which costs the gap that begins them on a page. */
static bool data_apart(const Artifact *a) {
    return a->options.kind == ARTIFACT_SHARED && artifact_weight_bytes(a) >= 1 << 20;
}

bool artifact_link(Artifact *a, Content *file) {
    Bytes objects[MODULES + 2], object, *linked = &file->bytes;
    const char *error = NULL;
    int n = parts_objects(a, objects);
    const Platform *platform = a->options.target->platform;
    *file = (Content){0};
    content_hash(a);
    a->meta = artifact_meta(a->arena, &a->options, a->units, &a->hashes, a->external, a->content);
    if (!platform->wasm) objects[n++] = elf_data(a->arena, platform, a->data, a->n_data, a->meta, data_apart(a));
    else if (!wasm_data(a->arena, platform, a->data, a->n_data, a->meta, &objects[n++])) return false;
    const Embedded *runtime = runtime_find(a->arena, platform, a->options.core, a->options.target->n_archs);
    if (!runtime) bug("this compiler has no runtime for %s inside", platform->name);
    objects[n++] = (Bytes){runtime->text, runtime->length};
    bool done = true;
    switch (a->options.kind) {
    case ARTIFACT_SHARED: done = link_shared(a->arena, platform, a->options.strip, objects, n, linked, &error); break;
    case ARTIFACT_MODULE: done = link_module(a->arena, objects, n, linked, &error); break;
    case ARTIFACT_OBJECT: done = link_object(a->arena, objects, n, linked, &error); break;
    case ARTIFACT_ARCHIVE:
        done = link_object(a->arena, objects, n, &object, &error) &&
               elf_archive(a->arena, object, arena_printf(a->arena, "%s.o", a->options.program->name), linked, &error);
        break;
    }
    if (done && data_apart(a)) data_append(a, elf_place_data(platform, *linked), file);
    if (!done && error) bug("%s", error);
    return done;
}
