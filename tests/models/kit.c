/* kit.c -- see kit.h. */
#include "tests/models/kit.h"
#include "tests/models/kit_tile.h"

#include "codegen/artifact.h"
#include "codegen/interpret.h"
#include "frontend/elaborate.h"
#include "frontend/parse.h"
#include "ir/op.h"
#include "passes/passes.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void stop(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void stop(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    exit(1);
}

/* ---- from text to a program --------------------------------------------------------------------------------------------- */

/* The value of NAME in "NAME=VALUE NAME=VALUE" (or after another mark than '='); NULL: not there. */
static const char *word_find(Arena *a, const char *words, const char *name, char mark) {
    size_t n = strlen(name);
    while (words && *words) {
        words += strspn(words, " ");
        size_t length = strcspn(words, " ");
        if (length > n && !strncmp(words, name, n) && words[n] == mark) return arena_copy(a, words + n + 1, length - n - 1);
        words += length;
    }
    return NULL;
}

static ElabDefine *defines_split(Arena *a, const char *words, int *n) {
    LIST(ElabDefine) list = {0};
    while (words && *words) {
        words += strspn(words, " ");
        size_t length = strcspn(words, " "), name = strcspn(words, "=");
        if (!length) break;
        ElabDefine d = {arena_copy(a, words, name), arena_copy(a, words + name + 1, length - name - 1)};
        PUSH(a, list, d);
        words += length;
    }
    *n = list.n;
    return list.at;
}

Program *program_make(Arena *arena, const char *example, const char *more, const char *defines) {
    const char *root = getenv("ROOT");
    const char *path = arena_printf(arena, "%s/examples/%s", root ? root : ".", example);
    Diag *diag = diag_new();
    Program *p = NULL;
    Source *file = source_read(arena, path, diag);
    if (file && more) {
        const char *text = arena_printf(arena, "%s\n%s", file->text, more);
        file = source_memory(arena, file->path, file->name, text, strlen(text), false);
    }
    Ast *ast = file ? parse_file(arena, file, diag) : NULL;
    if (ast) {
        ElabOptions options = {0};
        options.defines = defines_split(arena, defines, &options.n_defines);
        p = elaborate(arena, ast, file, &options, diag);
    }
    if (diag_print(diag, stdout, false) || !p) stop("%s does not elaborate", example);
    diag_free(diag);
    return p;
}

/* ---- from the program to a model ---------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int level; /* x86-64-v: 0: the best of this machine */
    int optimize;
    bool interpreted; /* runs on any machine */
} ways[] = {
    [BY_INTERPRETER] = {"the interpreter", 0, 0, true},
    [BY_O0] = {"-O0", 0, 0, false},
    [BY_O2] = {"-O2", 0, 2, false},
    [BY_O2_V3] = {"-O2 for x86-64-v3", 3, 2, false},
    [BY_O2_V2] = {"-O2 for x86-64-v2", 2, 2, false},
    [BY_TILE] = {"tile kernels for x86-64-v4", 4, 2, true},
    [BY_TILE_V2] = {"tile kernels for x86-64-v2", 2, 2, true},
    [BY_TILE_O0] = {"unoptimized tile kernels", 4, 0, true},
};

const char *way_name(Way w) { return ways[w].name; }

bool way_runs(Way w) { return ways[w].interpreted || ways[w].level <= target_native_level(); }

static Target way_target(Way w, const Program *p) {
    static const char *const name[] = {[0] = "native", [2] = "x86-64-v2", [3] = "x86-64-v3", [4] = "x86-64-v4"};
    Target target;
    if (!target_find(name[ways[w].level], ways[w].optimize, &target)) stop("no target %s", name[ways[w].level]);
    target_fit(&target, p, false);
    return target;
}

static void library_load(Model *m, Content file) {
    char path[64];
    m->fd = memory_file("model", file); /* open while it is loaded: dlopen takes one name for one library */
    snprintf(path, sizeof path, "/proc/self/fd/%d", m->fd);
    if (m->fd < 0) stop("the library cannot be written");
    m->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!m->handle) stop("%s", dlerror());
    mdl_model_function *model = NULL;
    *(void **)&model = dlsym(m->handle, MDL_MODEL_SYMBOL);
    if (!model) stop("the library has no " MDL_MODEL_SYMBOL);
    m->table = model();
}

static void compile(Model *m, Way way, Diag *diag) {
    Program *p = m->program;
    PlanOptions planning = {.level = ways[way].optimize};
    Plan **entries = NEW_ARRAY(m->arena, Plan *, p->entries.n + 1), **inits = NEW_ARRAY(m->arena, Plan *, p->slots.n + 1);
    for (int i = 0; i < p->entries.n; i++) {
        entries[i] = plan_entry(m->arena, p->entries.at[i]->graph, &planning, diag);
        if (!entries[i]) return;
    }
    for (int i = 0; i < p->slots.n; i++) {
        Graph *init = artifact_init_graph(p, i);
        if (init) inits[i] = plan_entry(m->arena, init, &planning, diag);
    }
    Target target = way_target(way, m->program);
    ArtifactOptions options = {.program = p, .entries = entries, .inits = inits, .target = &target, .kind = ARTIFACT_SHARED,
                               .modules = 2};
    Artifact *artifact = artifact_new(m->arena, &options);
    artifact_compile(artifact);
    Content file;
    if (!artifact_link(artifact, &file)) stop("the library cannot be linked");
    artifact_free(artifact);
    library_load(m, file);
}

static void interpret(Model *m, Way way, Diag *diag) {
    Interpreter *i = interpreter_new(m->arena, m->program);
    if (way != BY_INTERPRETER) {
        Target target = way_target(way, m->program);
        m->tile = tile_runner_new(m->arena, m->program, &target, diag);
        if (!m->tile) return;
        interpreter_by(i, tile_runner_run, m->tile);
    }
    m->table = interpreter_model(i);
}

Model model_make(const char *example, const char *more, const char *defines, Way way) {
    Model m = {.arena = arena_new()};
    m.program = program_make(m.arena, example, more, defines);
    Diag *diag = diag_new();
    bool passed = passes_run(m.program, &(PassOptions){.level = ways[way].optimize}, diag);
    if (passed && ways[way].interpreted) interpret(&m, way, diag);
    else if (passed) compile(&m, way, diag);
    if (diag_print(diag, stdout, false) || !m.table) stop("%s does not compile", example);
    diag_free(diag);
    return m;
}

void model_free(Model *m) {
    if (m->handle) {
        dlclose(m->handle);
        close(m->fd);
    }
    tile_runner_free(m->tile);
    arena_free(m->arena);
}

/* ---- calls -------------------------------------------------------------------------------------------------------------- */

Run run_new(const Model *m, uint64_t seed) {
    Run r = {.model = m, .arena = arena_new()};
    mdl_options options = {.size = sizeof options, .threads = 2, .seed = seed};
    if (m->table->open(&r.session, &options)) stop("open: %s", m->table->error(NULL));
    return r;
}

void run_close(Run *r) {
    if (r->session) r->model->table->close(r->session);
    r->session = NULL;
}

void run_free(Run *r) {
    run_close(r);
    arena_free(r->arena);
}

static int64_t count_of(int rank, const int64_t *shape) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= shape[i];
    return n;
}

/* Bits that depend on the number of the call, the input and the element alone. */
static uint64_t mixed(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t z = a * 0x9e3779b97f4a7c15u + b * 0xc2b2ae3d27d4eb4fu + c * 0x165667b19e3779f9u + 1;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Data of input k: a number of the words, the caller's integers, or made up. */
static void *input_make(Run *r, const mdl_value *v, int k, int64_t count, const char *words, const int32_t *data) {
    Arena *a = r->arena;
    void *memory = arena_alloc(a, (size_t)count * (v->dtype.bits / 8));
    bool is_float = v->dtype.code == 2;
    bool byte = v->dtype.bits == 8;
    if (v->dtype.bits != 32 && !byte) stop("%s: inputs of %d bits are not made here", v->name, v->dtype.bits);
    const char *number = word_find(a, words, v->name, '='), *below = word_find(a, words, v->name, '<');
    if (!is_float && !number && !data && !below && !byte) stop("%s: which integers?", v->name);
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = mixed((uint64_t)r->calls, (uint64_t)k, (uint64_t)i);
        if (is_float) ((float *)memory)[i] = number ? strtof(number, NULL) : (float)(bits >> 40) / (float)(1 << 23) - 1;
        else if (byte) ((uint8_t *)memory)[i] = (uint8_t)(bits >> 56);
        else if (number) ((int32_t *)memory)[i] = atoi(number);
        else if (data) ((int32_t *)memory)[i] = data[i];
        else ((int32_t *)memory)[i] = (int32_t)(bits % (uint64_t)atoi(below));
    }
    return memory;
}

static double *numbers(Arena *a, const mdl_tensor *t, int64_t n) {
    double *to = NEW_ARRAY(a, double, n + 1);
    for (int64_t i = 0; i < n; i++) {
        if (t->dtype.code == 2 && t->dtype.bits == 32) to[i] = (double)((float *)t->data)[i];
        else if (t->dtype.code == 0 && t->dtype.bits == 32) to[i] = (double)((int32_t *)t->data)[i];
        else if (t->dtype.code == 0 && t->dtype.bits == 64) to[i] = (double)((int64_t *)t->data)[i];
        else if (t->dtype.bits == 16 && t->dtype.code == 4) to[i] = float_value(DT_BF16, ((uint16_t *)t->data)[i]);
        else if (t->dtype.bits == 16 && t->dtype.code == 2) to[i] = float_value(DT_F16, ((uint16_t *)t->data)[i]);
        else stop("values of type %d:%d are not compared here", t->dtype.code, t->dtype.bits);
    }
    return to;
}

static void record(Run *r, const char *name, const mdl_tensor *t, bool state) {
    Record x = {.name = arena_copy(r->arena, name, strlen(name)), .rank = t->rank, .trained = r->trained, .state = state};
    x.count = count_of(t->rank, t->shape);
    memcpy(x.shape, t->shape, sizeof *t->shape * (size_t)t->rank);
    x.at = numbers(r->arena, t, x.count);
    PUSH(r->arena, r->records, x);
}

static int call(Run *r, const char *name, const char *words, const int32_t *data) {
    const mdl_model *m = r->model->table;
    int e = 0;
    while (e < m->n_entries && strcmp(m->entries[e].name, name)) e++;
    if (e == m->n_entries) stop("there is no entry %s", name);
    const mdl_entry *entry = &m->entries[e];
    Arena *a = r->arena;
    int64_t *sizes = NEW_ARRAY(a, int64_t, m->n_sizes + 1);
    for (int i = 0; i < entry->n_sizes; i++) {
        const char *size = m->sizes[entry->sizes[i]].name, *value = word_find(a, words, size, '=');
        if (!value) stop("%s: what is the size %s?", name, size);
        sizes[i] = atoll(value);
    }
    mdl_tensor *in = NEW_ARRAY(a, mdl_tensor, entry->n_inputs + 1), *out = NEW_ARRAY(a, mdl_tensor, entry->n_outputs + 1);
    for (int i = 0; i < entry->n_inputs; i++) {
        const mdl_value *v = &entry->inputs[i];
        int64_t *shape = NEW_ARRAY(a, int64_t, 8);
        if (m->shape(v, sizes, shape)) stop("%s: %s has no shape", name, v->name);
        in[i] = (mdl_tensor){.dtype = v->dtype, .rank = v->rank, .shape = shape};
        in[i].data = input_make(r, v, i, count_of(v->rank, shape), words, data);
    }
    for (int i = 0; i < entry->n_outputs; i++) {
        const mdl_value *v = &entry->outputs[i];
        int64_t *shape = NEW_ARRAY(a, int64_t, 8);
        if (m->shape(v, sizes, shape)) stop("%s: %s has no shape", name, v->name);
        size_t bytes = (size_t)count_of(v->rank, shape) * (v->dtype.bits / 8);
        out[i] = (mdl_tensor){.data = arena_alloc(a, bytes), .dtype = v->dtype, .rank = v->rank, .shape = shape};
        memset(out[i].data, 0xff, bytes);
    }
    int number = r->calls++, code = m->call(r->session, e, sizes, in, out);
    if (code) return code;
    r->trained |= entry->train;
    for (int i = 0; i < entry->n_outputs; i++) {
        record(r, arena_printf(a, "call %d, %s: %s", number, name, entry->outputs[i].name), &out[i], false);
    }
    return MDL_OK;
}

void run_call(Run *r, const char *entry, const char *words) { run_call_with(r, entry, words, NULL); }

const Record *run_call_with(Run *r, const char *entry, const char *words, const int32_t *data) {
    int before = r->records.n;
    int code = call(r, entry, words, data);
    if (code) stop("%s, call %d (%s): %s", entry, r->calls - 1, words, r->model->table->error(r->session));
    return &r->records.at[before];
}

int run_try(Run *r, const char *entry, const char *words, const char **message) {
    int code = call(r, entry, words, NULL);
    *message = r->model->table->error(r->session);
    return code;
}

void run_slots(Run *r) {
    const mdl_model *m = r->model->table;
    for (int i = 0; i < m->n_values; i++) {
        int64_t shape[8];
        mdl_tensor t = {.shape = shape};
        if (m->get(r->session, m->values[i].name, &t)) continue; /* a cache that no call has made */
        t.data = arena_alloc(r->arena, (size_t)count_of(t.rank, t.shape) * (t.dtype.bits / 8));
        if (m->get(r->session, m->values[i].name, &t)) stop("%s: %s", m->values[i].name, m->error(r->session));
        record(r, m->values[i].name, &t, m->values[i].kind == MDL_STATE);
    }
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------- */

/* Where values were rounded to a unit along the way, their distance counts: rounding falls now on this side, now on that. */
static bool near_record(const Record *want, const Record *got, const char *what, double unit) {
    double error = 0, size = 0, share = want->trained && want->state ? 32 : 8;
    for (int64_t i = 0; i < want->count; i++) {
        error += (got->at[i] - want->at[i]) * (got->at[i] - want->at[i]);
        size += want->at[i] * want->at[i];
    }
    if (sqrt(error) <= share * unit * sqrt(size) + 1e-30) return true;
    printf("%s: %s is off by %.3g of its norm, allowed %.3g\n", what, want->name, sqrt(error / size), share * unit);
    return false;
}

static bool same_record(const Record *want, const Record *got, const char *what, double unit) {
    bool same = !strcmp(want->name, got->name) && want->rank == got->rank;
    for (int i = 0; same && i < want->rank; i++) same = want->shape[i] == got->shape[i];
    if (!same) {
        printf("%s: %s here, %s there, or another shape\n", what, want->name, got->name);
        return false;
    }
    if (unit > 0) return near_record(want, got, what, unit);
    double largest = 0;
    for (int64_t i = 0; i < want->count; i++) largest = fmax(largest, fabs(want->at[i]));
    for (int64_t i = 0; i < want->count; i++) {
        double a = got->at[i], b = want->at[i];
        double limit = want->trained ? 1e-3 + 1e-3 * fabs(b) : 1e-5 + 1e-4 * fabs(b);
        if (want->trained && want->state && 1e-3 * largest < limit) limit = 1e-3 * largest;
        if (fabs(a - b) <= limit) continue;
        printf("%s: %s[%lld] is %.9g, expected %.9g (difference %.3g, allowed %.3g, largest %.3g)\n", what, want->name,
               (long long)i, a, b, fabs(a - b), limit, largest);
        return false;
    }
    return true;
}

bool run_compare(const Run *reference, const Run *got, const char *what) { return run_compare_rounded(reference, got, what, 0); }

bool run_compare_rounded(const Run *reference, const Run *got, const char *what, double unit) {
    if (reference->records.n != got->records.n) {
        printf("%s: %d values, expected %d\n", what, got->records.n, reference->records.n);
        return false;
    }
    for (int i = 0; i < got->records.n; i++) {
        if (!same_record(&reference->records.at[i], &got->records.at[i], what, unit)) return false;
    }
    return true;
}

int ways_agree(const char *example, const char *more, const char *defines, Script *script, int n, const Way *list) {
    return ways_agree_rounded(example, more, defines, script, n, list, 0);
}

int ways_agree_rounded(const char *example, const char *more, const char *defines, Script *script, int n, const Way *list,
                       double unit) {
    int wrong = 0;
    Model oracle = model_make(example, more, defines, BY_INTERPRETER);
    Run want = run_new(&oracle, 1);
    script(&want);
    run_close(&want);
    model_free(&oracle); /* one interpreter at a time */
    for (int i = 0; i < n; i++) {
        if (!way_runs(list[i])) continue;
        Model m = model_make(example, more, defines, list[i]);
        Run got = run_new(&m, 1);
        script(&got);
        wrong += !run_compare_rounded(&want, &got, way_name(list[i]), unit);
        run_free(&got);
        model_free(&m);
    }
    run_free(&want);
    return wrong;
}
