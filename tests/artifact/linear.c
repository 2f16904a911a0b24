/* linear.c -- a model of two entries, from graph text to calls through mdl.h: results, initial values, sizes that are refused,
 * a store that lasts, an assert that stops a call before anything is changed, and the C functions by name. */
#include "tests/artifact/kit.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

static const char program[] = "program linear\n"
                              "size batch in 1..64\n"
                              "slot w param f32[2, 3]\n"
                              "slot b param f32[2]\n"
                              "slot big param f32[40, 50]\n"
                              "slot zero state f32[2]\n"
                              "init\n"
                              "  %0: f32[2, 3] = const 0.5\n"
                              "  %1: f32[2] = const -1.0\n"
                              "  %2: f32[40, 50] = const 3.0\n"
                              "  %3: f32[2] = const 0.0\n"
                              "  store w = %0\n"
                              "  store b = %1\n"
                              "  store big = %2\n"
                              "  store zero = %3\n"
                              "entry predict[batch](x: f32[batch, 3]) -> (y: f32[batch, 2])\n"
                              "  %0: f32[batch, 3] = input 0 x\n"
                              "  %1: f32[2, 3] = slot w\n"
                              "  %2: f32[batch, 2] = contract %0[m k], %1[n k] -> [m n]\n"
                              "  %3: f32[2] = slot b\n"
                              "  %4: f32[batch, 2] = expand %3\n"
                              "  %5: f32[batch, 2] = add %2, %4\n"
                              "  results y = %5\n"
                              "entry scale(f: f32[]) -> (old: f32[2, 3], sum: f32[2])\n"
                              "  %0: f32[] = input 0 f\n"
                              "  %1: f32[2, 3] = slot w\n"
                              "  %2: f32[2, 3] = expand %0\n"
                              "  %3: f32[2, 3] = mul %1, %2\n"
                              "  %4: f32[] = const 0.0\n"
                              "  %5: bool[] = gt %0, %4\n"
                              "  %6: f32[2] = slot zero\n"
                              "  %7: f32[2] = slot b\n"
                              "  %8: f32[2] = add %6, %7\n"
                              "  check %5 \"the factor is positive\"\n"
                              "  store w = %3\n"
                              "  store zero = %8\n"
                              "  results old = %1, sum = %8\n";

static mdl_tensor tensor(void *data, int rank, int64_t *shape) {
    return (mdl_tensor){.data = data, .device = {1, 0}, .rank = rank, .dtype = {2, 32, 1}, .shape = shape};
}

static void calls(const Kit *k, int level) {
    const mdl_model *m = k->model;
    mdl_session *s;
    CHECK(m->abi == MDL_ABI && !strcmp(m->name, "linear") && m->n_entries == 2 && m->n_values == 4 && m->n_sizes == 1);
    CHECK(!strcmp(m->entries[0].inputs[0].shape, "f32[batch, 3]") && m->entries[0].inputs[0].dims[0] == MDL_NAMED);
    CHECK(m->open(&s, NULL) == MDL_OK);
    float x[3][3] = {{1, 2, 3}, {0, 0, 1}, {-1, 0, 0}}, y[3][2], old[2][3], sum[2], w[6], big[2000];
    int64_t batch = 3, x_shape[] = {3, 3}, y_shape[] = {3, 2}, w_shape[] = {2, 3}, b_shape[] = {2}, big_shape[] = {40, 50};
    mdl_tensor in = tensor(x, 2, x_shape), out = tensor(y, 2, y_shape);
    CHECK(m->call(s, 0, &batch, &in, &out) == MDL_OK);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 2; j++) CHECK(fabsf(y[i][j] - (0.5f * (x[i][0] + x[i][1] + x[i][2]) - 1)) < 1e-6f);
    }
    mdl_tensor value = tensor(big, 2, big_shape);
    CHECK(m->get(s, "big", &value) == MDL_OK && big[0] == 3 && big[1999] == 3);

    int64_t too_large = 65;
    CHECK(m->call(s, 0, &too_large, &in, &out) == MDL_RANGE);
    CHECK(!strcmp(mdl_error(s), "predict: batch = 65 is not in 1..64"));
    int64_t wrong[] = {3, 4};
    mdl_tensor bad = tensor(x, 2, wrong);
    CHECK(m->call(s, 0, &batch, &bad, &out) == MDL_ARGUMENT);

    int (*scale)(mdl_session *, float, float *, float *);
    *(void **)&scale = dlsym(k->handle, "linear_scale");
    CHECK(scale);
    CHECK(scale(s, -2, old[0], sum) == MDL_ASSERT);
    CHECK(!strcmp(mdl_error(s), "scale: the factor is positive"));
    value = tensor(w, 2, w_shape);
    CHECK(m->get(s, "w", &value) == MDL_OK && w[5] == 0.5f);
    CHECK(scale(s, 2, old[0], sum) == MDL_OK);
    CHECK(old[1][2] == 0.5f && sum[0] == -1);
    CHECK(scale(s, 2, old[0], sum) == MDL_OK);
    CHECK(old[1][2] == 1 && sum[1] == -2);
    CHECK(m->get(s, "w", &value) == MDL_OK && w[0] == 2);
    value = tensor(sum, 1, b_shape);
    CHECK(m->get(s, "b", &value) == MDL_OK && sum[0] == -1);

    mdl_session *other; /* does not see what the first one stored */
    CHECK(m->open(&other, NULL) == MDL_OK);
    value = tensor(w, 2, w_shape);
    CHECK(m->get(other, "w", &value) == MDL_OK && w[0] == 0.5f);
    CHECK(scale(s, 2, NULL, sum) == MDL_ARGUMENT);
    int64_t sizes[] = {7}, shape[2];
    CHECK(m->shape(&m->entries[0].outputs[0], sizes, shape) == MDL_OK && shape[0] == 7 && shape[1] == 2);
    CHECK(m->bytes(0, sizes) >= 0);
    m->close(other);
    m->close(s);
    (void)level;
}

int main(void) {
    for (int level = 0; level <= 2; level += 2) {
        Kit k = kit_make(program, ARTIFACT_SHARED, level);
        calls(&k, level);
        kit_free(&k);
    }
    return 0;
}
