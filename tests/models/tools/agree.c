/* agree.c -- calls an artifact with given weights on given data and compares with the values of an independent program
 * (expected.py says what the file holds).
 *
 *     agree ARTIFACT EXPECTED gradient|sgd|adamw        entry `step`, five times (gradient: once, by SGD at 1), from made weights
 *     agree ARTIFACT EXPECTED calls [ENTRY]...          the entries, one after another in one session, else all that have values
 *     agree ARTIFACT EXPECTED exactly [ENTRY]...        likewise, within 1e-6 + 1e-5 |b|
 *
 * Exit status 1: they differ. Bounds: gradients within 1e-4 of the tensor's largest; weights after five steps of SGD within 1e-5,
 * of AdamW within 2e-5 wherever |g| > 1e-6 in every step, statistics, which see all weights, within 5e-4 or 1e-4 relative; losses
 * within 1e-5 relative; results |a - b| <= 1e-5 + 1e-4 |b|; NaN agrees with NaN, an infinity with itself.
 *
 * Environment: ROUNDED=R, of programs whose values are rounded on the way: gradients and results within R of the largest, weights
 * after SGD within R of the most that five such gradients move them, losses within R relative. */
#include "runtime/mdl.h"
#include "runtime/host/safetensors.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRADIENT, SGD, ADAMW, SURE, COLUMNS }; /* of p.PATH */

static StFile file;
static unsigned char *bytes;
static const mdl_model *model;
static mdl_session *session;
static double rounded; /* ROUNDED, or 0 */

static void fail(const char *what, const char *name) {
    printf("%s: %s (%s)\n", name, what, session ? model->error(session) : "");
    exit(1);
}

static void *memory(int64_t size) {
    void *p = calloc(1, (size_t)size + 1);
    if (!p) fail("no memory", "agree");
    return p;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------- */

static void read_expected(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail("cannot open", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    bytes = memory(size);
    if (fread(bytes, 1, (size_t)size, f) != (size_t)size || !st_parse(&file, bytes, size)) fail(file.error, path);
    fclose(f);
}

static const StTensor *find(const char *prefix, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return st_find(&file, full);
}

static const StTensor *needed(const char *prefix, const char *name) {
    const StTensor *t = find(prefix, name);
    if (!t) printf("%s", prefix), fail("missing in the expected values", name);
    return t;
}

static unsigned char *data_of(const StTensor *t) {
    return bytes + file.data + t->begin;
}

static mdl_dtype dtype_of(const StTensor *t) {
    uint8_t code = t->dtype[0] == 'F' ? 2 : t->dtype[0] == 'I' ? 0 : t->dtype[0] == 'B' ? 6 : 1;
    return (mdl_dtype){code, (uint8_t)(t->width * 8), 1};
}

/* ---- numbers made from a name: expected.py makes the same ------------------------------------------------------------------ */

static uint32_t name_hash(const char *prefix, const char *name) { /* FNV-1a */
    uint32_t h = 2166136261u;
    for (const char *s = prefix; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    for (const char *s = name; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

/* Element i, in -1..1: the finalizer of MurmurHash3 over a Weyl sequence. */
static double made(uint32_t hash, int64_t i) {
    uint32_t x = hash + (uint32_t)i * 0x9e3779b9u;
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    x ^= x >> 16;
    return 2.0 * ((double)x / 4294967296.0) - 1.0;
}

static int64_t count_of(const mdl_value *v) {
    int64_t n = 1;
    for (int a = 0; a < v->rank; a++) n *= v->dims[a];
    return n;
}

/* The first value of a parameter or state: mean + scale * made. Without made.PATH it keeps that of the program. */
static float *first_weights(const mdl_value *v) {
    const float *m = (const float *)(const void *)data_of(needed("made.", v->name));
    int64_t n = count_of(v);
    uint32_t hash = name_hash("", v->name);
    float *w = memory(n * 4);
    for (int64_t i = 0; i < n; i++) w[i] = (float)((double)m[0] + (double)m[1] * made(hash, i));
    return w;
}

static mdl_tensor weight_tensor(const mdl_value *v, float *at) {
    return (mdl_tensor){.data = at, .dtype = v->dtype, .rank = v->rank, .shape = (int64_t *)v->dims};
}

static bool is_made(const mdl_value *v) {
    return (v->kind == MDL_PARAM || v->kind == MDL_STATE) && find("made.", v->name);
}

static void set_weights(void) {
    for (int i = 0; i < model->n_values; i++) {
        const mdl_value *v = &model->values[i];
        if (!is_made(v)) continue;
        float *w = first_weights(v);
        mdl_tensor t = weight_tensor(v, w);
        if (model->set(session, v->name, &t)) fail("cannot be set", v->name);
        free(w);
    }
}

/* ---- calls ---------------------------------------------------------------------------------------------------------------- */

static int entry_number(const char *name) {
    for (int e = 0; e < model->n_entries; e++)
        if (!strcmp(model->entries[e].name, name)) return e;
    fail("no such entry", name);
    return -1;
}

/* An input as large as made.in.NAME says, [mean, scale, size of each axis]: mean + scale * made. It is made once and kept. */
static mdl_tensor made_input(const mdl_value *v) {
    static struct {
        const char *name;
        int64_t shape[8];
        float *at;
    } kept[8];
    const StTensor *t = needed("made.in.", v->name);
    const float *m = (const float *)(const void *)data_of(t);
    int i = 0, rank = (int)t->dims[0] - 2;
    while (kept[i].name && strcmp(kept[i].name, v->name) != 0) i++;
    if (!kept[i].name) {
        int64_t n = 1;
        for (int a = 0; a < rank; a++) n *= kept[i].shape[a] = (int64_t)m[2 + a];
        kept[i].name = v->name;
        kept[i].at = memory(n * 4);
        uint32_t hash = name_hash("in.", v->name);
        for (int64_t k = 0; k < n; k++) kept[i].at[k] = (float)((double)m[0] + (double)m[1] * made(hash, k));
    }
    return (mdl_tensor){.data = kept[i].at, .dtype = v->dtype, .rank = rank, .shape = kept[i].shape};
}

/* ENTRY.in.NAME or in.NAME; with one axis more than `rank`, the part of call number `turn`. */
static mdl_tensor given(const char *entry, const mdl_value *v, int turn) {
    if (find("made.in.", v->name)) return made_input(v);
    char own[128];
    snprintf(own, sizeof own, "%s.in.", entry);
    const StTensor *t = find(own, v->name);
    if (!t) t = needed("in.", v->name);
    int64_t part = t->end - t->begin;
    bool stacked = t->rank == v->rank + 1;
    if (stacked) part /= t->dims[0];
    return (mdl_tensor){.data = data_of(t) + (stacked ? part * turn : 0), .dtype = dtype_of(t), .rank = t->rank - stacked,
                        .shape = (int64_t *)t->dims + stacked};
}

/* Calls an entry; out[] are its results, allocated. A size that no input carries is in.NAME. */
static void call(int e, int turn, mdl_tensor *out) {
    const mdl_entry *entry = &model->entries[e];
    mdl_tensor in[16];
    int64_t sizes[16] = {0};
    for (int k = 0; k < entry->n_sizes; k++) {
        const StTensor *t = find("in.", model->sizes[entry->sizes[k]].name);
        if (t) sizes[k] = *(const int32_t *)(const void *)data_of(t);
    }
    for (int i = 0; i < entry->n_inputs; i++) {
        in[i] = given(entry->name, &entry->inputs[i], turn);
        for (int a = 0; a < in[i].rank; a++)
            for (int k = 0; k < entry->n_sizes; k++)
                if (entry->inputs[i].dims[a] == MDL_NAMED - entry->sizes[k]) sizes[k] = in[i].shape[a];
    }
    for (int i = 0; i < entry->n_outputs; i++) {
        const mdl_value *v = &entry->outputs[i];
        int64_t *shape = memory(8 * (v->rank + 1)), n = 1;
        model->shape(v, sizes, shape);
        for (int a = 0; a < v->rank; a++) n *= shape[a];
        out[i] = (mdl_tensor){.data = memory(n * v->dtype.bits / 8), .dtype = v->dtype, .rank = v->rank, .shape = shape};
    }
    if (model->call(session, e, sizes, in, out)) fail("the call failed", entry->name);
}

static void results_free(const mdl_entry *entry, mdl_tensor *out) {
    for (int i = 0; i < entry->n_outputs; i++) {
        free(out[i].data);
        free(out[i].shape);
    }
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------ */

static double element(const void *data, mdl_dtype type, int64_t i) {
    if (type.code == 2) return (double)((const float *)data)[i];
    if (type.bits == 32) return (double)((const int32_t *)data)[i];
    return (double)((const unsigned char *)data)[i];
}

static void compare(const char *what, const char *name, int64_t i, double got, double want, double limit) {
    if (isnan(want) ? isnan(got) : got == want || fabs(got - want) <= limit) return;
    printf("%s %s[%lld]: got %.9g, expected %.9g, allowed difference %.3g\n", what, name, (long long)i, got, want, limit);
    exit(1);
}

/* Where the k-th of a sample lies among n. */
static int64_t place(int64_t k, int64_t n) {
    return (int64_t)((uint64_t)k * 2654435761u % (uint64_t)n);
}

/* The results of one entry: ENTRY.NAME, all elements or a sample; with one axis more, of so many calls. */
static void compare_calls(int e, double absolute, double relative) {
    const mdl_entry *entry = &model->entries[e];
    char prefix[128];
    snprintf(prefix, sizeof prefix, "%s.", entry->name);
    mdl_tensor out[64];
    int turns = 1;
    int64_t compared = 0;
    absolute = fmax(absolute, rounded), relative = fmax(relative, rounded);
    if (entry->n_outputs > 64) fail("more than 64 results", entry->name);
    for (int turn = 0; turn < turns; turn++) {
        call(e, turn, out);
        for (int i = 0; i < entry->n_outputs; i++) {
            const StTensor *t = needed(prefix, entry->outputs[i].name);
            bool stacked = t->rank == out[i].rank + 1;
            if (stacked) turns = (int)t->dims[0];
            int64_t n = (t->end - t->begin) / t->width / (stacked ? turns : 1), all = 1;
            for (int a = 0; a < out[i].rank; a++) all *= out[i].shape[a];
            bool some = t->rank == 1 && n < all; /* a sample */
            if (n != all && !some) fail("another number of elements was expected", entry->outputs[i].name);
            char what[192];
            snprintf(what, sizeof what, "%s, call %d,", entry->name, turn + 1);
            for (int64_t k = 0; k < n; k++) {
                double want = element(data_of(t), dtype_of(t), n * (stacked ? turn : 0) + k);
                int64_t at = some ? place(k, all) : k;
                compare(what, entry->outputs[i].name, at, element(out[i].data, out[i].dtype, at), want,
                        absolute + relative * fabs(want));
            }
            compared += n;
        }
        results_free(entry, out);
    }
    printf("%s: %lld values agree\n", entry->name, (long long)compared);
}

/* What p.PATH holds of one column: all elements or a sample; then the sum of all, weighted by numbers made from the name. */
static void compare_weight(const mdl_value *v, int column) {
    float *w = first_weights(v);
    int64_t n = count_of(v);
    float *got = memory(n * 4);
    mdl_tensor t = weight_tensor(v, got);
    if (model->get(session, v->name, &t)) fail("cannot be read", v->name);
    const StTensor *p = find("p.", v->name);
    for (int64_t i = 0; !p && i < n; i++) compare("unchanged", v->name, i, (double)got[i], (double)w[i], 0);
    double absolute = 1e-5;
    if (column == ADAMW) absolute = 2e-5;
    if (rounded > 0) absolute = rounded * 0.5 * (double)((const float *)(const void *)data_of(needed("made.", v->name)))[2];
    if (column == GRADIENT) {
        for (int64_t i = 0; i < n; i++) got[i] = w[i] - got[i];
        const float *m = (const float *)(const void *)data_of(needed("made.", v->name));
        absolute = fmax(1e-4, rounded) * (double)m[2] + 1.2e-7; /* w - (w - g) loses half a unit of w in the last place */
    }
    const StTensor *bound = find("bound.", "statistics");
    double statistics = bound ? (double)*(const float *)(const void *)data_of(bound) : 0;
    double relative = 1e-5; /* not near 0 */
    if (column == ADAMW) { /* they see the weights that are not compared, too */
        statistics = fmax(statistics, 5e-4);
        relative = 1e-4;
    }
    int64_t rows = p ? p->dims[0] - 1 : -1;
    uint32_t hash = name_hash("p.", v->name);
    for (int64_t r = 0; r <= rows; r++) {
        const float *want = (const float *)(const void *)data_of(p) + r * COLUMNS;
        if (column == ADAMW && want[SURE] == 0.0f) continue;
        if (v->kind == MDL_STATE) absolute = fmax(absolute, fmax(statistics, relative * fabs((double)want[column])));
        if (r < rows) {
            int64_t i = rows == n ? r : place(r, n);
            compare("weight", v->name, i, (double)got[i], (double)want[column], absolute);
            continue;
        }
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)got[i] * made(hash, i);
        compare("weighted sum of", v->name, n, sum, (double)want[column], absolute * sqrt((double)n));
    }
    free(got);
    free(w);
}

static void compare_training(const char *mode, int column) {
    mdl_tensor out[64];
    int step = entry_number("step");
    const StTensor *t = find("loss.", mode);
    if (!t) t = needed("loss.", "sgd");
    int losses = t->rank == 2 ? (int)t->dims[1] : 1; /* the first results of the step */
    for (int i = 0; i < (column == GRADIENT ? 1 : 5); i++) {
        call(step, i, out);
        for (int k = 0; k < losses; k++) {
            double want = element(data_of(t), dtype_of(t), i * losses + k);
            compare(model->entries[step].outputs[k].name, "of step", i + 1, (double)*(float *)out[k].data, want,
                    fmax(1e-5, rounded) * fabs(want));
        }
        results_free(&model->entries[step], out);
    }
    for (int i = 0; i < model->n_values; i++)
        if (model->values[i].kind == MDL_PARAM || is_made(&model->values[i])) compare_weight(&model->values[i], column);
    printf("%s: losses and %s agree\n", mode, column == GRADIENT ? "gradients" : "weights");
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) {
        puts(dlerror());
        return 1;
    }
    mdl_model_function *get = (mdl_model_function *)(uintptr_t)dlsym(library, MDL_MODEL_SYMBOL);
    if (!get) {
        puts(dlerror());
        return 1;
    }
    model = get();
    mdl_options o = {.size = sizeof o, .threads = 2};
    if (model->open(&session, &o)) {
        puts(model->error(NULL));
        return 1;
    }
    read_expected(argv[2]);
    if (getenv("ROUNDED")) rounded = atof(getenv("ROUNDED"));
    set_weights();
    const char *mode = argv[3];
    bool exactly = !strcmp(mode, "exactly");
    if (exactly || !strcmp(mode, "calls")) {
        double absolute = exactly ? 1e-6 : 1e-5, relative = exactly ? 1e-5 : 1e-4;
        for (int i = 4; i < argc; i++) compare_calls(entry_number(argv[i]), absolute, relative);
        for (int e = 0; argc == 4 && e < model->n_entries; e++) {
            char prefix[128];
            snprintf(prefix, sizeof prefix, "%s.", model->entries[e].name);
            if (model->entries[e].n_outputs && find(prefix, model->entries[e].outputs[0].name)) compare_calls(e, absolute, relative);
        }
    } else {
        compare_training(mode, !strcmp(mode, "gradient") ? GRADIENT : !strcmp(mode, "sgd") ? SGD : ADAMW);
    }
    model->close(session);
    dlclose(library);
    st_free(&file);
    free(bytes);
    return 0;
}
