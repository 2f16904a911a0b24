/* templates.c -- the examples of the .tile templates are kernels that parse, pass the verifier of every machine with vectors of
 * 16 lanes (or of one that has warps), and compute in the interpreter what their names say; a hole that nothing fills is a fault. */
#include "codegen/template.h"
#include "codegen/tile.h"

#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { M = 13, K = 70, N = 40 };

static int failures;

static float *numbers(Arena *a, int n, int seed) {
    float *x = NEW_ARRAY(a, float, n);
    for (int i = 0; i < n; i++) x[i] = (float)((i * 37 + seed * 101) % 83 - 41) / 16;
    return x;
}

static void run(TileKernel *k, int lanes, void *const *args) {
    const char *error = NULL;
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (t->lanes < lanes) continue;
        if (tile_verify(k, t, NULL, &error)) continue;
        failures++;
        printf("%s on %s: %s\n", k->name, t->name, error);
        return;
    }
    if (tile_interp(k, args, NULL, 0, -1, &error)) return;
    failures++;
    printf("%s: %s\n", k->name, error);
}

static void expect_near(const TileKernel *k, const float *got, const double *want, int n, double off) {
    for (int i = 0; i < n; i++) {
        if (fabs((double)got[i] - want[i]) <= off * (1 + fabs(want[i]))) continue;
        failures++;
        printf("%s: element %d is %g, not %g\n", k->name, i, (double)got[i], want[i]);
        return;
    }
}

static void expect(const TileKernel *k, const float *got, const double *want, int n) { expect_near(k, got, want, n, 1e-4); }

/* relu(x w + bias) at m rows; transposed: w is [N, K]; across: x is [K, m]. */
static void check_rows(Arena *a, TileKernel *k, int m, bool transposed, bool across) {
    float *x = numbers(a, m * K, 1), *w = numbers(a, K * N, 2), *bias = numbers(a, N, 3), *y = NEW_ARRAY(a, float, m *N);
    double *want = NEW_ARRAY(a, double, m *N);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < N; j++) {
            double sum = (double)bias[j];
            for (int c = 0; c < K; c++) sum += (double)x[across ? c * m + i : i * K + c] * (double)w[transposed ? j * K + c : c * N + j];
            want[i * N + j] = sum > 0 ? sum : 0;
        }
    }
    run(k, 16, (void *[]){x, w, bias, y});
    expect(k, y, want, m * N);
}

static void check_product(Arena *a, TileKernel *k, bool transposed) { check_rows(a, k, M, transposed, false); }

static void check_scatter(Arena *a, TileKernel *k) {
    float *x = numbers(a, 9 * 20, 1), *y = numbers(a, 5 * 20, 2);
    int32_t ids[9] = {3, 0, 3, 9, 1, -2, 4, 4, 3};
    double *want = NEW_ARRAY(a, double, 5 * 20);
    for (int s = 0; s < 9; s++) {
        int place = ids[s] < 0 ? 0 : ids[s] > 4 ? 4 : ids[s];
        for (int c = 0; c < 20; c++) want[place * 20 + c] += (double)x[s * 20 + c];
    }
    run(k, 16, (void *[]){x, ids, y});
    expect(k, y, want, 5 * 20);
}

static void check_copy(Arena *a, TileKernel *k) {
    float *x = numbers(a, 100, 1), *y = numbers(a, 100, 2);
    double *want = NEW_ARRAY(a, double, 100);
    for (int i = 0; i < 100; i++) want[i] = (double)x[i];
    run(k, 16, (void *[]){x, y});
    expect(k, y, want, 100);
}

static void check_update(Arena *a, TileKernel *k) {
    float *v = numbers(a, 12, 1), *y = numbers(a, 30, 2);
    double *want = NEW_ARRAY(a, double, 30);
    int32_t at = 5;
    for (int i = 0; i < 30; i++) want[i] = i % 10 >= 5 && i % 10 < 9 ? (double)v[i / 10 * 4 + i % 10 - 5] : (double)y[i];
    run(k, 16, (void *[]){v, &at, y});
    expect(k, y, want, 30);
}

static void check_cumsum(Arena *a, TileKernel *k) {
    float *x = numbers(a, 180, 1), *y = NEW_ARRAY(a, float, 180);
    double *want = NEW_ARRAY(a, double, 180);
    for (int i = 0; i < 180; i++) want[i] = (double)x[i] + (i >= 20 ? want[i - 20] : 0);
    run(k, 16, (void *[]){x, y});
    expect(k, y, want, 180);
}

static void check_softmax(Arena *a, TileKernel *k) {
    float *x = numbers(a, 120, 1), *y = NEW_ARRAY(a, float, 120);
    double *want = NEW_ARRAY(a, double, 120);
    for (int r = 0; r < 6; r++) {
        double sum = 0;
        for (int i = 0; i < 20; i++) sum += exp((double)x[r * 20 + i]);
        for (int i = 0; i < 20; i++) want[r * 20 + i] = exp((double)x[r * 20 + i]) / sum;
    }
    run(k, 16, (void *[]){x, y});
    expect(k, y, want, 120);
}

/* Of depth 12 and values of depth 20; exponents may be rounded, off: by so much. */
static void check_causal(Arena *a, TileKernel *k, int rows, int keys, int lanes, double off) {
    float *x = numbers(a, rows * 12, 1), *key = numbers(a, keys * 12, 2), *v = numbers(a, keys * 20, 3), *y = NEW_ARRAY(a, float, rows * 20);
    double *want = NEW_ARRAY(a, double, rows * 20);
    for (int i = 0; i < rows; i++) {
        double sum = 0, e, most = -INFINITY, *score = NEW_ARRAY(a, double, keys);
        for (int j = 0; j <= i; j++) {
            for (int d = 0; d < 12; d++) score[j] += (double)x[i * 12 + d] * (double)key[j * 12 + d];
            most = fmax(most, score[j]);
        }
        for (int j = 0; j <= i; j++) {
            sum += e = exp(score[j] - most);
            for (int c = 0; c < 20; c++) want[i * 20 + c] += e * (double)v[j * 20 + c];
        }
        for (int c = 0; c < 20; c++) want[i * 20 + c] /= sum;
    }
    run(k, lanes, (void *[]){x, key, v, y});
    expect_near(k, y, want, rows * 20, off);
}

static void check(Arena *a, const char *name, TileKernel *k) {
    if (!strcmp(name, "blocks") || !strcmp(name, "streamed") || !strcmp(name, "in_runs")) check_product(a, k, false);
    else if (!strcmp(name, "transposed") || !strcmp(name, "dots") || !strcmp(name, "warps")) check_product(a, k, true);
    else if (!strcmp(name, "tile")) check_rows(a, k, 3, true, true);
    else if (!strcmp(name, "scatter")) check_scatter(a, k);
    else if (!strcmp(name, "copy")) check_copy(a, k);
    else if (!strcmp(name, "update")) check_update(a, k);
    else if (!strcmp(name, "cumsum")) check_cumsum(a, k);
    else if (!strcmp(name, "softmax")) check_softmax(a, k);
    else if (!strcmp(name, "causal")) check_causal(a, k, 13, 20, 16, 1e-4);
    else if (!strcmp(name, "causal_matrices")) check_causal(a, k, 37, 70, 32, 0x1p-11);
    else failures++, printf("no test for the example %s\n", name);
}

/* Without holes: the process must end as every fault of the compiler does. */
static void check_missing(void) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        Text out = {.arena = arena_new()};
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        template_run(template_new(&out, "scatter.tile", NULL, NULL), "scatter");
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 70)
        failures++, printf("a template with holes that nothing fills was accepted\n");
}

int main(void) {
    static const char *const FILES[] = {"contract.tile", "rows.tile", "scatter.tile", "update.tile", "attention.tile", "attention_mma.tile"};
    int examples = 0;
    for (int f = 0; f < 6; f++) {
        for (int i = 0;; i++) {
            Arena *a = arena_new();
            const char *name, *error = NULL, *text = template_example(a, FILES[f], i, &name);
            TileKernel *k = text ? tile_parse(a, text, NULL, NULL, 0, &error) : NULL;
            if (text && !k) failures++, printf("%s: %s\n%s", name, error, text);
            if (k) check(a, name, k);
            arena_free(a);
            if (!text) break;
            examples++;
        }
    }
    check_missing();
    if (examples != 14) failures++, printf("%d examples, not 14\n", examples);
    return failures != 0;
}
