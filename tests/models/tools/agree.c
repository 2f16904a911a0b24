/* agree.c -- trains an artifact from given weights on a given batch and compares with the values that PyTorch made
 * (make_expected.py).
 *
 *     agree ARTIFACT EXPECTED MODE
 *
 * MODE: forward (entries whose first result is out.*), gradient (SGD at 1, one step), sgd, adamw. Exit status 1: they differ.
 *
 * Bounds are those of the issue: gradients within 1e-4 of the tensor's largest; weights after five steps of SGD within 1e-5,
 * of AdamW within 2e-5 wherever |g| > 1e-6 in every step; losses within 1e-5 relative; outputs |a - b| <= 1e-5 + 1e-4 |b|. */
#include "runtime/mdl.h"
#include "runtime/host/safetensors.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static StFile file;
static unsigned char *bytes;
static const mdl_model *model;
static mdl_session *session;

static void fail(const char *what, const char *name) {
    printf("%s: %s (%s)\n", name, what, session ? model->error(session) : "");
    exit(1);
}

static void read_expected(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail("cannot open", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    bytes = malloc((size_t)size);
    if (!bytes || fread(bytes, 1, (size_t)size, f) != (size_t)size || !st_parse(&file, bytes, size)) fail(file.error, path);
    fclose(f);
}

static const StTensor *tensor(const char *prefix, const char *name, const void **data) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const StTensor *t = st_find(&file, full);
    if (!t) fail("missing in the expected values", full);
    *data = bytes + file.data + t->begin;
    return t;
}

static mdl_dtype dtype_of(const StTensor *t) {
    uint8_t code = t->dtype[0] == 'F' ? 2 : t->dtype[0] == 'I' ? 0 : 1;
    return (mdl_dtype){code, (uint8_t)(t->width * 8), 1};
}

static void set_weights(void) {
    for (int i = 0; i < model->n_values; i++) {
        if (model->values[i].kind != MDL_PARAM) continue;
        const void *data;
        const StTensor *t = tensor("w.", model->values[i].name, &data);
        mdl_tensor v = {.data = (void *)data, .dtype = dtype_of(t), .rank = t->rank, .shape = (int64_t *)t->dims};
        if (model->set(session, model->values[i].name, &v)) fail("cannot be set", model->values[i].name);
    }
}

/* Calls an entry with the inputs in.NAME; the results lie in out[] afterwards. */
static void call(const char *name, mdl_tensor *out) {
    int e = 0;
    while (e < model->n_entries && strcmp(model->entries[e].name, name) != 0) e++;
    if (e == model->n_entries) fail("no such entry", name);
    const mdl_entry *entry = &model->entries[e];
    mdl_tensor in[8] = {0};
    int64_t sizes[16] = {0};
    const void *data[8];
    for (int i = 0; i < entry->n_inputs; i++) {
        const StTensor *t = tensor("in.", entry->inputs[i].name, &data[i]);
        in[i] = (mdl_tensor){.data = (void *)data[i], .dtype = dtype_of(t), .rank = t->rank, .shape = (int64_t *)t->dims};
        for (int a = 0; a < t->rank; a++)
            for (int k = 0; k < entry->n_sizes; k++)
                if (entry->inputs[i].dims[a] == MDL_NAMED - entry->sizes[k]) sizes[k] = t->dims[a];
    }
    static int64_t shape[4][8];
    static float memory[4][65536];
    for (int i = 0; i < entry->n_outputs; i++) {
        model->shape(&entry->outputs[i], sizes, shape[i]);
        const mdl_value *v = &entry->outputs[i];
        out[i] = (mdl_tensor){.data = memory[i], .dtype = v->dtype, .rank = v->rank, .shape = shape[i]};
    }
    if (model->call(session, e, sizes, in, out)) fail("the call failed", name);
}

/* got against want, n elements: the largest |got - want| / (absolute + relative * |want|) must not exceed 1. */
static void compare(const char *kind, const char *name, const float *got, const float *want, const unsigned char *sure,
                    int64_t n, double absolute, double relative) {
    for (int64_t i = 0; i < n; i++) {
        double limit = absolute + relative * fabs((double)want[i]), d = fabs((double)got[i] - (double)want[i]);
        if ((sure && !sure[i]) || d <= limit) continue;
        printf("%s %s[%lld]: got %.9g, PyTorch %.9g, allowed difference %.3g\n", kind, name, (long long)i, (double)got[i],
               (double)want[i], limit);
        exit(1);
    }
}

static void compare_weights(const char *mode) {
    for (int i = 0; i < model->n_values; i++) {
        const char *name = model->values[i].name;
        if (model->values[i].kind != MDL_PARAM) continue;
        const void *w, *want, *sure = NULL;
        const StTensor *t = tensor("w.", name, &w);
        int64_t n = (t->end - t->begin) / 4;
        float *got = malloc((size_t)n * 4);
        mdl_tensor v = {.data = got, .dtype = dtype_of(t), .rank = t->rank, .shape = (int64_t *)t->dims};
        if (!got || model->get(session, name, &v)) fail("cannot be read", name);
        double absolute = 1e-5;
        if (strcmp(mode, "gradient") == 0) {
            tensor("g.", name, &want);
            double largest = 0;
            for (int64_t k = 0; k < n; k++) {
                got[k] = ((const float *)w)[k] - got[k];
                if (fabsf(((const float *)want)[k]) > largest) largest = fabsf(((const float *)want)[k]);
            }
            absolute = 1e-4 * largest + 1.2e-7; /* w - (w - g) loses half a unit of w in the last place */
        } else if (strcmp(mode, "sgd") == 0) {
            tensor("sgd.", name, &want);
        } else {
            tensor("adamw.", name, &want);
            tensor("sure.", name, &sure);
            absolute = 2e-5;
        }
        compare(mode, name, got, want, sure, n, absolute, 0);
        free(got);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
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
    set_weights();
    mdl_tensor out[4];
    const void *want;
    if (strcmp(argv[3], "forward") == 0) {
        for (int e = 0; e < model->n_entries; e++) {
            const mdl_entry *entry = &model->entries[e];
            char name[64];
            snprintf(name, sizeof name, "out.%s", entry->outputs[0].name);
            if (entry->train || !st_find(&file, name)) continue;
            call(entry->name, out);
            const StTensor *t = tensor("out.", entry->outputs[0].name, &want);
            compare("forward", entry->outputs[0].name, out[0].data, want, NULL, (t->end - t->begin) / 4, 1e-5, 1e-4);
            printf("%s: %lld values agree\n", entry->name, (long long)(t->end - t->begin) / 4);
        }
    } else {
        bool one = strcmp(argv[3], "gradient") == 0;
        for (int i = 0; i < (one ? 1 : 5); i++) {
            call("step", out);
            char step[32];
            snprintf(step, sizeof step, "step %d", i + 1);
            tensor("loss.", one ? "sgd" : argv[3], &want);
            compare("loss", step, out[0].data, (const float *)want + i, NULL, 1, 0, 1e-5);
        }
        compare_weights(argv[3]);
        printf("%s: losses and %s agree\n", argv[3], one ? "gradients" : "weights");
    }
    model->close(session);
    dlclose(library);
    st_free(&file);
    free(bytes);
    return 0;
}
