/* modelc.c -- the compiler's command (options: codegen/command.c). Read `pipeline`: one call a stage, a sentence above it. What
 * the command promises (options, exit statuses, no half-written files) is in `modelc --help` and in the design's
 * COMMANDS.md. */
#include "codegen/artifact.h"
#include "codegen/budget.h"
#include "codegen/build.h"
#include "codegen/cache.h"
#include "codegen/command.h"
#include "codegen/external.h"
#include "codegen/inspect.h"
#include "codegen/interpret.h"
#include "codegen/measure.h"
#include "codegen/selftest.h"
#include "codegen/tune.h"
#include "frontend/elaborate.h"
#include "frontend/explain.h"
#include "frontend/fmt.h"
#include "frontend/parse.h"
#include "passes/passes.h"
#include "runtime/mdlrun.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Exit statuses beside mdlrun's EXIT_DONE, EXIT_INPUT, EXIT_USAGE: bug() ends with 70. */

/* "open, grad, ..." */
static const char *pass_names(Arena *arena) {
    const char *names = "";
    for (int i = 0; i < PASS_COUNT; i++) names = arena_printf(arena, "%s%s%s", names, i ? ", " : "", pass_row((Pass)i)->name);
    return names;
}

/* ---- times --------------------------------------------------------------------------------------------------------------- */

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct StageTime {
    const char *name, *detail;
    double seconds;
} StageTime;

/* ---- one compilation ----------------------------------------------------------------------------------------------------- */

typedef struct Compilation {
    Command *o;
    Arena *arena; /* everything but diagnostics */
    Diag *diag;
    Source *source;
    Ast *ast;
    Program *program;
    Target target;
    Plan **entries, **inits;
    Artifact *artifact;
    Cache *cache; /* NULL: none was asked for */
    ArtifactKind kind;
    void *library; /* of a model that runs in this process; NULL: none */
    int file;      /* that it was loaded from */
    struct Compilation *variant; /* the one that is being measured; NULL: none */
    const SelfTests *tests; /* NULL: none */
    LIST(StageTime) times;
    double started;
} Compilation;

/* Ends a stage: notes its time. */
static void stage_done(Compilation *c, const char *name, const char *detail) {
    double now = seconds_now();
    StageTime t = {name, detail, now - c->started};
    PUSH(c->arena, c->times, t);
    if (c->o->verbose) fprintf(stderr, "%s: %s\n", name, detail);
    c->started = seconds_now();
    bug_context("after the stage", name);
}

static void times_print(const Compilation *c) {
    double sum = 0;
    for (int i = 0; i < c->times.n; i++) {
        const StageTime *t = &c->times.at[i];
        fprintf(stderr, "%-12s %8.1f ms  %s\n", t->name, 1e3 * t->seconds, t->detail);
        sum += t->seconds;
    }
    fprintf(stderr, "%-12s %8.1f ms\n", "total", 1e3 * sum);
}

static Compilation *compilation_new(Command *o) {
    Compilation *c = NEW(o->arena, Compilation);
    c->o = o;
    c->arena = o->arena;
    c->diag = diag_new();
    c->started = seconds_now();
    diag_warnings_are_errors(c->diag, o->warnings_are_errors);
    for (int i = 0; i < o->silenced.n; i++) diag_disable(c->diag, o->silenced.at[i]);
    return c;
}

/* Says what there is to say; the exit status of the command. */
static int compilation_end(Compilation *c, int status) {
    if (c->o->time) times_print(c);
    if (c->o->time && c->o->emit == EMIT_CUDA && c->artifact) artifact_print_cost(c->artifact, stderr);
    bool silent = c->o->quiet && !diag_errors(c->diag);
    int errors = silent ? 0 : diag_print(c->diag, stderr, c->o->color);
    if (c->cache) cache_notes_print(c->cache);
    artifact_free(c->artifact);
    diag_free(c->diag);
    return errors ? EXIT_INPUT : status;
}

/* A reader of standard output that has seen enough (| head) needs no message. */
static bool cannot_write(const char *path) {
    if (!strcmp(path, "-") && errno == EPIPE) return false;
    fprintf(stderr, "modelc: cannot write %s: %s\n", strcmp(path, "-") ? path : "standard output", strerror(errno));
    return false;
}

static bool write_one(const char *path, Bytes bytes) {
    OutputFile file = {path, content_of(bytes)};
    int failed;
    return output_write(&file, 1, &failed) || cannot_write(path);
}

/* ---- targets ------------------------------------------------------------------------------------------------------------- */

static const Platform *host_platform(void) {
    Target host;
    if (!target_find("native", 0, &host)) bug("no native target");
    return host.platform;
}

/* Code of devices is text, and no library. */
static bool emits_device(const Compilation *c) {
    return c->o->emit == EMIT_CUDA || c->o->emit == EMIT_PTX;
}

/* A target without a system takes the runtime's core, and has no libraries to load. */
static bool target_fits(Compilation *c) {
    const Platform *p = c->target.platform;
    c->o->core = c->o->core || p->bare;
    bool library = c->o->emit == EMIT_LIBRARY && c->o->output;
    const char *suffix = !library ? NULL : p->wasm && c->kind != ARTIFACT_MODULE ? ".wasm" : p->bare && c->kind == ARTIFACT_SHARED ? ".a or .o" : NULL;
    if (c->kind == ARTIFACT_MODULE && !p->wasm) suffix = p->bare ? ".a or .o" : ".so, .a or .o";
    if (suffix) {
        fprintf(stderr, "modelc: for %s the name of the output ends in %s\n", c->target.name, suffix);
        return false;
    }
    if (c->o->core && c->target.n_archs && !emits_device(c)) {
        fprintf(stderr, "modelc: --runtime=core has no driver of a device to call\n");
        return false;
    }
    if (library && c->o->external && c->o->core) {
        fprintf(stderr, "modelc: --weights=external wants a runtime that opens files, and that of this library has none\n");
        return false;
    }
    const char *why;
    if (artifact_possible(c->arena, &c->target, c->o->core, &why)) return true;
    fprintf(stderr, "modelc: the target %s is not possible: %s\n", c->target.name, why);
    return false;
}

/* OpenBLAS wants a system below it. */
static bool blas_fits(Compilation *c) {
    c->target.blas = c->o->blas;
    if (!c->o->blas || !c->o->core) return true;
    fprintf(stderr, "modelc: --blas=openblas: code for %s without a libc cannot call OpenBLAS\n", c->target.name);
    return false;
}

/* "cuda:sm_90"; "native,cuda:sm_80"; NULL: this processor. */
static const char *target_name(const Compilation *c) {
    const char *name = c->o->target ? c->o->target : c->program->target;
    if (!emits_device(c) || (name && strstr(name, "cuda:"))) return name;
    return name ? arena_printf(c->arena, "%s,cuda:sm_80", name) : "cuda:sm_80";
}

static PlanOptions plan_options(const Compilation *c) {
    const char *name = target_name(c);
    return (PlanOptions){.level = c->o->level, .blas = c->o->blas, .device = name && strstr(name, "cuda:")};
}

/* After the passes. False: not a target that we make code for, and said so. */
static bool target_chosen(Compilation *c) {
    const char *name = target_name(c);
    if (target_find(name, c->o->level, &c->target)) {
        target_fit(&c->target, c->program, c->o->core);
        c->target.small = c->o->small;
        return target_fits(c) && blas_fits(c);
    }
    fprintf(stderr, "modelc: the target %s is not supported yet; there are %s\n", name, target_names(c->arena));
    return false;
}

/* ---- stages -------------------------------------------------------------------------------------------------------------- */

/* Text to tree. */
static bool stage_parse(Compilation *c, const char *path) {
    c->source = source_read(c->arena, path, c->diag);
    if (c->source) c->ast = parse_file(c->arena, c->source, c->diag);
    stage_done(c, "parse", c->source ? arena_printf(c->arena, "%zu bytes", c->source->length) : "");
    return c->ast && !diag_errors(c->diag);
}

static int program_nodes(const Program *p) {
    int n = 0;
    for (int i = 0; i < p->entries.n; i++) n += p->entries.at[i]->graph->nodes.n;
    return n;
}

enum { NAME_TAKEN = 616 };

/* No function of the library may stand in for one of libc, which the runtime or the program around it calls. */
static void exports_check_libc(Compilation *c) {
    const Program *p = c->program;
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        const char *symbol = entry_symbol(c->arena, p, e);
        if (!link_hides(symbol)) continue;
        Report *r = diag_error(c->diag, e->loc, NAME_TAKEN, "the C function of `%s` cannot be called `%s`", e->name, symbol);
        diag_fact(r, "the C library has a function of this name");
        if (!e->symbol) diag_help(r, "--name=%s_model gives the library's functions another prefix", p->name);
    }
    const char *symbol = arena_printf(c->arena, "%s_open", p->name);
    if (!link_hides(symbol)) return;
    Report *r = diag_error(c->diag, (Loc){0}, NAME_TAKEN, "no library can be called `%s`: the C library has a function %s", p->name, symbol);
    diag_help(r, "--name=%s_model gives the library's functions another prefix", p->name);
}

/* Tree to graphs, one an entry. */
static bool stage_elaborate(Compilation *c, bool check) {
    const Command *o = c->o;
    ElabDefine *defines = NEW_ARRAY(c->arena, ElabDefine, o->defines.n + 1);
    for (int i = 0; i < o->defines.n; i++) defines[i] = (ElabDefine){o->defines.at[i].name, o->defines.at[i].value};
    ElabOptions options = {.defines = defines,
                           .n_defines = o->defines.n,
                           .entries = o->entries.at,
                           .n_entries = o->entries.n,
                           .name = o->name,
                           .load = o->load,
                           .quantize = o->quantize.at,
                           .n_quantize = o->quantize.n,
                           .check = check};
    c->program = elaborate(c->arena, c->ast, c->source, &options, c->diag);
    if (!c->program || diag_errors(c->diag)) return false;
    if (o->warnings_are_errors && diag_warnings(c->diag)) return false;
    exports_check_libc(c);
    if (diag_errors(c->diag)) return false;
    const char *message;
    if (!program_verify(c->program, c->arena, &message)) bug("the program as elaborated: %s", message);
    stage_done(c, "elaborate",
               arena_printf(c->arena, "%d entries, %d slots, %d nodes", c->program->entries.n, c->program->slots.n,
                            program_nodes(c->program)));
    return true;
}

static Measure measure_by(Compilation *c);

/* Samples that `quantize` names are run through the program; what that loses is held against budgets. */
static bool stage_measure(Compilation *c) {
    Program *p = c->program;
    bool wanted = false;
    for (int i = 0; i < c->o->accuracies.n; i++) {
        Accuracy a = c->o->accuracies.at[i];
        a.data = c->o->measure;
        PUSH(p->arena, p->accuracies, a);
    }
    for (int i = 0; i < p->slots.n; i++) wanted |= p->slots.at[i]->quant.calibrate != NULL;
    if (!wanted && !p->accuracies.n) return true;
    Measure m = measure_by(c);
    if (!measure_calibrate(&m, p) || !measure_accuracy(&m, p)) return false;
    stage_done(c, "measure", arena_printf(c->arena, "%d layers seen", p->observed.n));
    return true;
}

/* Bytes that the arena of a call may have; 0: as many as it takes. */
static int64_t memory_most(const Compilation *c) {
    return c->o->memory ? c->o->memory : c->program->memory;
}

/* Graphs to better graphs. */
static bool stage_passes(Compilation *c) {
    double seconds[PASS_COUNT] = {0};
    PassOptions options = {.level = c->o->level, .after = c->o->after, .seconds = seconds};
    c->program->measure_quantized = c->o->report;
    if (memory_most(c) && !c->o->after) {
        const PlanOptions plans = plan_options(c);
        memory_choose(c->program, memory_most(c), &plans);
        stage_done(c, "memory", memory_text(c->arena, c->program));
    }
    if (!passes_run(c->program, &options, c->diag) || diag_errors(c->diag)) return false;
    if (c->o->report) quantized_print(stdout, c->program);
    const char *detail = arena_printf(c->arena, "%d nodes", program_nodes(c->program));
    for (int i = 0; i < PASS_COUNT && c->o->time; i++) {
        detail = arena_printf(c->arena, "%s, %s %.1f", detail, pass_row((Pass)i)->name, 1e3 * seconds[i]);
    }
    stage_done(c, "passes", detail);
    return true;
}

/* Graphs to kernels with places in memory: each entry, each initial value that is computed. */
static bool stage_plan(Compilation *c) {
    const Program *p = c->program;
    const PlanOptions options = plan_options(c);
    int kernels = 0;
    c->entries = NEW_ARRAY(c->arena, Plan *, p->entries.n + 1);
    c->inits = NEW_ARRAY(c->arena, Plan *, p->slots.n + 1);
    for (int i = 0; i < p->entries.n; i++) {
        c->entries[i] = plan_entry(c->arena, p->entries.at[i]->graph, &options, c->diag);
        if (!c->entries[i]) return false;
        kernels += c->entries[i]->kernels.n;
    }
    for (int i = 0; i < p->slots.n; i++) {
        Graph *init = artifact_init_graph(p, i);
        if (init) c->inits[i] = plan_entry(c->arena, init, &options, c->diag);
        if (init && !c->inits[i]) return false;
    }
    if (memory_most(c)) budget_check_arena(c->arena, p, c->entries, memory_most(c), c->diag);
    stage_done(c, "plan", arena_printf(c->arena, "%d kernels", kernels));
    return !diag_errors(c->diag);
}

/* Tiles that were chosen by timing: read, or timed now and written. */
static bool stage_tune(Compilation *c) {
    const char *said;
    if (!c->o->tune) return true;
    bool done = tune_target(c->arena, c->o->tune, c->entries, c->program->entries.n, &c->target, &said);
    if (done) stage_done(c, "tune", said);
    else fprintf(stderr, "modelc: %s\n", said);
    return done;
}

/* A file of tiles that says nothing of a product was made for another program. */
static bool tuning_fits(const Compilation *c) {
    const char *stale = tuning_stale(c->target.tuning, c->o->tune);
    if (stale) fprintf(stderr, "modelc: %s\n", stale);
    return !stale;
}

static bool has_suffix(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n > m && !strcmp(text + n - m, suffix);
}

/* "transformer.h" beside "transformer.so" */
static const char *path_with(Arena *arena, const char *path, const char *suffix) {
    return arena_printf(arena, "%.*s%s", (int)(strrchr(path, '.') - path), path, suffix);
}

/* The name of the file beside the library that has its weights; NULL: they are inside. */
static const char *weights_file(const Compilation *c) {
    if (!c->o->external || !c->o->output || c->o->emit != EMIT_LIBRARY) return NULL;
    const char *path = path_with(c->arena, c->o->output, ".safetensors"), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Kernels to LLVM IR: a module for each few of them, the same on every machine; one where people read it. */
static void stage_generate(Compilation *c) {
    ArtifactOptions options = {.program = c->program,
                               .entries = c->entries,
                               .inits = c->inits,
                               .target = &c->target,
                               .source = c->source,
                               .kind = c->kind,
                               .core = c->o->core,
                               .strip = c->o->strip,
                               .modules = c->o->emit == EMIT_LIBRARY || c->o->emit == EMIT_OBJ ? ARTIFACT_MODULES : 1,
                               .nvrtc = c->o->nvrtc,
                               .weights = weights_file(c),
                               .tests = c->tests,
                               .cache = c->o->cache ? cache_open(c->arena, c->o->cache) : NULL};
    c->cache = options.cache;
    c->artifact = artifact_new(c->arena, &options);
    stage_done(c, "generate",
               arena_printf(c->arena, "%d kernel functions, %d calls", artifact_kernel_functions(c->artifact),
                            artifact_kernel_calls(c->artifact)));
}

/* CUDA C to machine code of devices. */
static bool stage_device(Compilation *c) {
    const char *error;
    if (!artifact_compile_device(c->artifact, &error)) {
        fprintf(stderr, "modelc: %s\n", error);
        return false;
    }
    if (c->target.n_archs) stage_done(c, "nvrtc", artifact_device_text(c->artifact));
    return true;
}

/* LLVM IR to machine code. */
static bool stage_compile(Compilation *c) {
    if (!stage_device(c)) return false;
    artifact_compile(c->artifact);
    stage_done(c, "compile", artifact_compile_text(c->artifact));
    return true;
}

/* Objects, weights and runtime to the library. */
static bool stage_link(Compilation *c, const char *path, Content *library) {
    if (!artifact_link(c->artifact, library)) return cannot_write(path);
    stage_done(c, "link",
               arena_printf(c->arena, "%zu bytes, %zu of them weights, content %s", content_size(library), artifact_weight_bytes(c->artifact),
                            artifact_content_text(c->artifact)));
    return true;
}

/* A library for this machine, in this process and without a file. NULL: said why. */
static const mdl_model *model_loaded(Compilation *c, Content library) {
    int fd = memory_file(c->program->name, library);
    if (fd < 0) {
        cannot_write("the library");
        return NULL;
    }
    const char *path = arena_printf(c->arena, "/proc/self/fd/%d", fd);
    c->file = fd;
    void *handle = c->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) bug("the library cannot be loaded: %s", dlerror());
    mdl_model_function *model = NULL;
    *(void **)&model = dlsym(handle, MDL_MODEL_SYMBOL);
    if (!model) bug("the library has no " MDL_MODEL_SYMBOL);
    return model();
}

/* The same plans as a library for this machine, and what its layers store. */
static bool stage_record(Compilation *c) {
    const Program *p = c->program;
    Target native;
    if (!target_find("native", c->o->level, &native)) bug("no native target");
    ArtifactOptions options = {.program = p, .entries = c->entries, .inits = c->inits, .target = &native, .kind = ARTIFACT_SHARED, .modules = ARTIFACT_MODULES};
    Artifact *a = artifact_new(c->arena, &options);
    Content library;
    artifact_compile(a);
    bool linked = artifact_link(a, &library);
    const mdl_model *model = linked ? model_loaded(c, library) : NULL;
    artifact_free(a);
    if (!model) return linked ? false : cannot_write("a library to record from");
    LIST(Record) records = {0};
    for (int i = 0; i < p->entries.n; i++)
        for (int k = 0; k < c->o->selftest && selftest_possible(p->entries.at[i]); k++)
            PUSH(c->arena, records, mdlrun_record("modelc", model, i, k, c->o->samples.n, (char **)c->o->samples.at));
    SelfTests *tests = NEW(c->arena, SelfTests);
    *tests = (SelfTests){records.at, records.n};
    c->tests = tests;
    if (!records.n) fputs("modelc: --self-test: every entry trains, draws or stores weights: none can be called in a test\n", stderr);
    stage_done(c, "record", arena_printf(c->arena, "%d calls", records.n));
    return records.n;
}

/* What the library takes stays within the budgets of the program and of the command line. */
static bool stage_budget(Compilation *c, const Content *library) {
    Program *p = c->program;
    for (int i = 0; i < c->o->budgets.n; i++) PUSH(c->arena, p->budgets, c->o->budgets.at[i]);
    if (!p->budgets.n) return true;
    Sizes sizes;
    mdlrun_sizes("modelc", c->o->output, library->bytes.at, library->bytes.n, content_size(library), &sizes);
    budget_check(c->arena, p, c->entries, c->artifact, &sizes, c->diag);
    return !diag_errors(c->diag);
}

/* A path as make reads it. */
static const char *make_path(Arena *arena, const char *path) {
    char *text = arena_alloc(arena, 2 * strlen(path) + 1), *to = text;
    for (; *path; path++) {
        if (*path == ' ' || *path == '#' || *path == '\\') *to++ = '\\';
        if (*path == '$') *to++ = '$';
        *to++ = *path;
    }
    return text;
}

/* The file of "NAME=FILE:KEY@RANGE"; NULL: there is none. */
static const char *sample_file(Arena *a, const char *sample) {
    const char *equal = strchr(sample, '=');
    char *path = equal ? arena_copy(a, equal + 1, strlen(equal + 1)) : NULL;
    struct stat st;
    for (const char *mark = "@:"; path; mark++) {
        if (!stat(path, &st) && S_ISREG(st.st_mode)) return path;
        char *end = *mark ? strrchr(path, *mark) : path;
        if (end) *end = 0;
        if (!*path) path = NULL;
    }
    return NULL;
}

static Bytes depfile_text(const Compilation *c) {
    Arena *a = c->arena;
    const char *text = arena_printf(a, "%s: %s", make_path(a, c->o->output), make_path(a, c->source->path));
    for (int i = 0; i < c->program->files.n; i++) text = arena_printf(a, "%s %s", text, make_path(a, c->program->files.at[i]));
    for (int i = 0; i < c->o->samples.n; i++) {
        const char *file = sample_file(a, c->o->samples.at[i]);
        if (file) text = arena_printf(a, "%s %s", text, make_path(a, file));
    }
    text = arena_printf(a, "%s\n", text);
    return (Bytes){text, strlen(text)};
}

/* Library, header, weights, depfile: all of them or none. */
static bool stage_write(Compilation *c, const Content *library) {
    OutputFile files[4] = {{c->o->output, *library},
                           {path_with(c->arena, c->o->output, ".h"), content_of(artifact_header(c->arena, c->program, c->entries, c->o->selftest, c->artifact))}};
    int n = 2, failed;
    const External *weights = artifact_external(c->artifact);
    if (weights) files[n++] = (OutputFile){path_with(c->arena, c->o->output, ".safetensors"), weights->content};
    if (weights && !external_fits(weights, files[n - 1].path, c->o->load, c->program)) return false;
    if (c->o->depfile_wanted || c->o->depfile) {
        files[n++] = (OutputFile){c->o->depfile ? c->o->depfile : path_with(c->arena, c->o->output, ".d"), content_of(depfile_text(c))};
    }
    if (!output_write(files, n, &failed)) return cannot_write(files[failed].path);
    stage_done(c, "write", c->o->output);
    return true;
}

/* ---- modelc MODEL.mdl -o OUT --------------------------------------------------------------------------------------------- */

/* What --emit asks for where it is text, printed. */
static void emit_text(Compilation *c, FILE *f) {
    switch (c->o->emit) {
    case EMIT_AST: ast_print(f, c->ast); return;
    case EMIT_GRAPH: program_print(f, c->program); return;
    case EMIT_PLANNED:
        for (int i = 0; i < c->program->entries.n; i++) {
            fprintf(f, "%s %s\n", c->program->entries.at[i]->train ? "train" : "entry", c->program->entries.at[i]->name);
            plan_print(f, c->entries[i]);
        }
        return;
    case EMIT_TILE: artifact_print_tiles(c->artifact, f); return;
    case EMIT_LLVM: fputs(artifact_ir(c->artifact), f); return;
    case EMIT_ASM: fputs(artifact_asm(c->artifact), f); return;
    case EMIT_CUDA: artifact_print_cuda(c->artifact, f); return;
    case EMIT_PTX: fputs(artifact_ptx(c->artifact), f); return;
    case EMIT_OBJ:
    case EMIT_HEADER:
    case EMIT_LIBRARY: break;
    }
    bug("--emit=%s is no text", emit_names[c->o->emit]);
}

/* Writes what was asked for instead of a library. */
static bool emit(Compilation *c) {
    const char *path = c->o->output ? c->o->output : "-";
    if (c->o->emit == EMIT_HEADER && !c->o->after) return write_one(path, artifact_header(c->arena, c->program, c->entries, c->o->selftest, c->artifact));
    if (c->o->emit == EMIT_OBJ && !c->o->after) {
        return stage_compile(c) && write_one(path, artifact_model_object(c->artifact));
    }
    if (c->o->emit == EMIT_PTX && !c->o->after && !stage_device(c)) return false;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) bug("no memory for a text");
    if (c->o->after) program_print(f, c->program);
    else emit_text(c, f);
    fclose(f);
    bool done = write_one(path, (Bytes){text, n});
    free(text);
    return done;
}

static bool pipeline(Compilation *c, const char *path) {
    const Command *o = c->o;
    /* The text becomes a tree: spelling and structure are right. */
    if (!stage_parse(c, path)) return false;
    if (o->emit == EMIT_AST) return emit(c);
    /* The tree becomes a graph an entry: every name, shape and size is right. */
    if (!stage_elaborate(c, false)) return false;
    if (o->emit == EMIT_GRAPH && !o->after) return emit(c);
    /* What flows into layers to be quantized is known, and that they lose no more than they may. */
    if (!stage_measure(c)) return false;
    /* Gradients are nodes like others, and nothing is computed twice or in vain. */
    if (!stage_passes(c)) return false;
    if (o->after) return emit(c);
    /* Graphs become kernels, in order, with a place in memory for every value. */
    if (!stage_plan(c)) return false;
    if (o->emit == EMIT_PLANNED || o->emit == EMIT_HEADER) return emit(c);
    /* Kernels become tile IR, and that LLVM IR; entries and tables beside them. */
    if (!target_chosen(c) || !stage_tune(c)) return false;
    if (o->selftest && o->emit == EMIT_LIBRARY && !stage_record(c)) return false;
    stage_generate(c);
    if (!tuning_fits(c)) return false;
    if (o->emit != EMIT_LIBRARY) return emit(c);
    /* Machine code. */
    if (!stage_compile(c)) return false;
    /* One file with weights, description and runtime in it. */
    Content library;
    if (!stage_link(c, o->output ? o->output : path, &library)) return false;
    /* Nothing is written that is larger than it may be. */
    if (!stage_budget(c, &library)) return false;
    if (o->output) return stage_write(c, &library);
    bug("a library and no place for it");
}

static int command_compile(Command *o) {
    if (o->files.n == 0) usage("no input file");
    if (o->files.n > 1 && !strchr(o->files.at[0], '.'))
        usage("%s is no command: build, run, check, params, entries, size, diff, fmt, explain", o->files.at[0]);
    if (o->files.n > 1) usage("one model at a time: %s and %s", o->files.at[0], o->files.at[1]);
    bool text = o->emit != EMIT_LIBRARY || o->after;
    if (!text && !o->output) usage("-o OUT is missing");
    Compilation *c = compilation_new(o);
    if (o->output && has_suffix(o->output, ".a")) c->kind = ARTIFACT_ARCHIVE;
    else if (o->output && has_suffix(o->output, ".o")) c->kind = ARTIFACT_OBJECT;
    else if (o->output && has_suffix(o->output, ".wasm")) c->kind = ARTIFACT_MODULE;
    else if (!text && !has_suffix(o->output, ".so")) usage("%s: the name of a library ends in .so, .a or .o", o->output);
    return compilation_end(c, pipeline(c, o->files.at[0]) ? EXIT_DONE : EXIT_INPUT);
}

/* ---- models in memory ------------------------------------------------------------------------------------------------------ */

/* The model compiled and loaded, without a file. NULL: said why. */
static const mdl_model *model_compiled(Compilation *c) {
    Content library;
    if (!stage_passes(c) || !stage_plan(c)) return NULL;
    if (!target_chosen(c)) return NULL;
    if (c->target.platform != host_platform()) {
        fprintf(stderr, "modelc: code for %s does not run here\n", c->target.name);
        return NULL;
    }
    if (!stage_tune(c)) return NULL;
    stage_generate(c);
    if (!tuning_fits(c)) return NULL;
    if (!stage_compile(c) || !stage_link(c, "the library", &library)) return NULL;
    return model_loaded(c, library);
}

/* Measure.compile: the same text and options, for this machine, in memory of its own. */
static const mdl_model *variant_compiled(void *compiler, const char *entry, MeasurePrepare *prepare, void *context, Program **program) {
    Compilation *c = compiler;
    Arena *arena = arena_new();
    Command *o = NEW(arena, Command);
    *o = *c->o;
    o->arena = arena;
    o->output = o->after = o->target = o->cache = NULL;
    o->emit = EMIT_LIBRARY;
    o->core = o->time = o->report = o->verbose = false;
    o->warnings_are_errors = false;
    o->entries = (Words){0};
    o->accuracies = (Accuracies){0};
    PUSH(arena, o->entries, entry);
    Compilation *v = c->variant = compilation_new(o);
    v->source = c->source;
    v->ast = c->ast;
    const mdl_model *model = NULL;
    if (stage_elaborate(v, false)) {
        *program = v->program;
        prepare(context, v->program);
        model = model_compiled(v);
    }
    if (!model) diag_print(v->diag, stderr, o->color);
    return model;
}

static void variant_release(void *compiler) {
    Compilation *c = compiler, *v = c->variant;
    if (v->library) {
        dlclose(v->library);
        if (ftruncate(v->file, 0)) bug("the memory of a library cannot be given back"); /* open it stays: loaders go by the name, its number */
    }
    artifact_free(v->artifact);
    diag_free(v->diag);
    arena_free(v->arena);
    c->variant = NULL;
}

static Measure measure_by(Compilation *c) {
    return (Measure){variant_compiled, variant_release, c, c->arena, c->diag, c->o->verbose};
}

/* ---- modelc calibrate ---------------------------------------------------------------------------------------------------- */

static int command_calibrate(Command *o) {
    if (o->files.n < 2) usage("calibrate: MODEL.mdl ENTRY NAME=SOURCE ...");
    Compilation *c = compilation_new(o);
    Measure m = measure_by(c);
    bool fine = stage_parse(c, o->files.at[0]) && stage_elaborate(c, false);
    if (fine) c->program->observed.n = 0;
    fine = fine && measure_observe(&m, c->program, "modelc: calibrate", o->files.n - 1, (char **)o->files.at + 1, 0);
    if (fine) {
        char *text = measure_json(c->program);
        const char *line = arena_printf(c->arena, "%s\n", text);
        free(text);
        fine = write_one(o->output ? o->output : "-", (Bytes){line, strlen(line)});
    }
    return compilation_end(c, fine ? EXIT_DONE : EXIT_INPUT);
}

/* ---- modelc run ---------------------------------------------------------------------------------------------------------- */

static int command_run_model(Command *o) {
    if (o->files.n == 0) usage("run: which model?");
    Compilation *c = compilation_new(o);
    const mdl_model *model = NULL;
    Interpreter *interpreter = NULL;
    if (stage_parse(c, o->files.at[0]) && stage_elaborate(c, false) && stage_measure(c)) {
        if (o->interpret) {
            PassOptions options = {.level = 0};
            if (passes_run(c->program, &options, c->diag)) interpreter = interpreter_new(c->arena, c->program);
            model = interpreter ? interpreter_model(interpreter) : NULL;
        } else {
            model = model_compiled(c);
        }
    }
    int status = compilation_end(c, EXIT_INPUT);
    if (!model) return status;
    return mdlrun_run_model("modelc", model, o->files.n - 1, (char **)o->files.at + 1);
}

/* ---- modelc check, params, entries --------------------------------------------------------------------------------------- */

/* Weights in fewer bits are a matter of the passes: only they know what reads a weight. */
static bool check_quantized(Compilation *c) {
    for (int i = 0; i < c->program->slots.n; i++)
        if (c->program->slots.at[i]->quant.scheme) return stage_passes(c);
    for (int i = 0; i < c->program->entries.n; i++)
        if (c->program->entries.at[i]->fakes.n) return stage_passes(c);
    return true;
}

static int command_check(Command *o) {
    if (o->files.n == 0) usage("check: which files?");
    int status = EXIT_DONE;
    for (int i = 0; i < o->files.n; i++) {
        Compilation *c = compilation_new(o);
        bool fine = stage_parse(c, o->files.at[i]) && stage_elaborate(c, true) && check_quantized(c);
        int one = compilation_end(c, fine ? EXIT_DONE : EXIT_INPUT);
        if (one) status = one;
    }
    return status;
}

static int command_list(Command *o, bool params) {
    if (o->files.n != 1) usage("%s: one model", o->command);
    Compilation *c = compilation_new(o);
    bool fine = stage_parse(c, o->files.at[0]) && stage_elaborate(c, true);
    if (fine && params) (o->json ? params_json : params_print)(c->arena, c->program);
    if (fine && !params) (o->json ? entries_json : entries_print)(c->arena, c->program);
    return compilation_end(c, fine ? EXIT_DONE : EXIT_INPUT);
}

static int command_size(const Command *o) {
    if (o->files.n != 1) usage("size: one library");
    return mdlrun_size("modelc", o->json, o->files.at[0]);
}

static int command_diff(const Command *o) {
    if (o->files.n != 2) usage("diff: two libraries");
    return mdlrun_diff("modelc", o->files.at[0], o->files.at[1]);
}

/* ---- modelc build -------------------------------------------------------------------------------------------------------- */

static json_t *build_report(const char *path) {
    return mdlrun_report("modelc", path);
}

static int command_build(Arena *arena, int argc, char **argv) {
    BuildTools tools = {.machine = target_native_machine(), .report = build_report};
    return build_command(arena, &tools, argc, argv);
}

/* ---- modelc fmt, explain ------------------------------------------------------------------------------------------------- */

static int command_fmt(Command *o) {
    if (o->files.n == 0) usage("fmt: which files?");
    int status = EXIT_DONE;
    for (int i = 0; i < o->files.n; i++) {
        const char *path = o->files.at[i];
        Compilation *c = compilation_new(o);
        bool fine = stage_parse(c, path);
        if (fine) {
            const char *text = fmt_print(c->arena, c->ast);
            bool same = !strcmp(text, c->source->text);
            if (!same && o->check) {
                printf("%s is not formatted\n", path);
                fine = false;
            } else if (!same) {
                fine = write_one(path, (Bytes){text, strlen(text)});
            }
        }
        int one = compilation_end(c, fine ? EXIT_DONE : EXIT_INPUT);
        if (one) status = one;
    }
    return status;
}

static int command_explain(Command *o) {
    if (o->files.n > 1) usage("explain: one code, such as E0204, or none for the list");
    if (!o->files.n) {
        explain_list(stdout);
        return EXIT_DONE;
    }
    const char *word = o->files.at[0];
    const Code *code = code_find(word);
    if (!code) {
        const char *near = code_closest(o->arena, word);
        if (near) fprintf(stderr, "modelc: there is no error %s; did you mean %s?\n", word, near);
        else fprintf(stderr, "modelc: there is no error %s; `modelc explain` lists all\n", word);
        return EXIT_INPUT;
    }
    explain_page(o->arena, code, stdout);
    return EXIT_DONE;
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write, with a message */
    signal(SIGPIPE, SIG_IGN);
    Command *o = &(Command){.arena = arena_new(), .level = 2, .color = isatty(STDERR_FILENO)};
    int status;
    if (argc > 1 && !strcmp(argv[1], "build")) {
        status = command_build(o->arena, argc - 2, argv + 2);
        arena_free(o->arena);
        return command_output_end(status);
    }
    command_read(o, argc, argv);
    Pass pass;
    if (o->after && !pass_parse(o->after, &pass)) usage("--after=%s: the passes are %s", o->after, pass_names(o->arena));
    if (!strcmp(o->command, "run")) status = command_run_model(o);
    else if (!strcmp(o->command, "calibrate")) status = command_calibrate(o);
    else if (!strcmp(o->command, "check")) status = command_check(o);
    else if (!strcmp(o->command, "params")) status = command_list(o, true);
    else if (!strcmp(o->command, "entries")) status = command_list(o, false);
    else if (!strcmp(o->command, "size")) status = command_size(o);
    else if (!strcmp(o->command, "diff")) status = command_diff(o);
    else if (!strcmp(o->command, "fmt")) status = command_fmt(o);
    else if (!strcmp(o->command, "explain")) status = command_explain(o);
    else status = command_compile(o);
    arena_free(o->arena);
    return command_output_end(status);
}
