/* packs.c -- products that read weights from packed copies give the bits of products that pack at each call: weights in both orders, with
 * rests, more of k than one block, axes that do not merge; for few rows and many; with the first weights, after `set`, after `load`. The
 * same program with an entry that stores the weights packs nothing. */
#include "tests/artifact/kit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WEIGHTS = 4, RESULTS = 4, MOST = 200 };

static const char slots[] = "program packs\n"
                            "size b in 1..200\n"
                            "slot rows param f32[70, 33]\n"       /* n k */
                            "slot deep param f32[600, 70]\n"      /* k n, two blocks of k */
                            "slot heads param f32[3, 33, 20]\n"   /* h k n: n is two axes */
                            "slot turned param f32[5, 7, 24]\n"   /* q p n against [m p q]: k is two axes */
                            "init\n"
                            "  %0: f32[70, 33] = const 0.5\n"
                            "  %1: f32[600, 70] = const 0.25\n"
                            "  %2: f32[3, 33, 20] = const -1.0\n"
                            "  %3: f32[5, 7, 24] = const 3.0\n"
                            "  store rows = %0\n"
                            "  store deep = %1\n"
                            "  store heads = %2\n"
                            "  store turned = %3\n";

static const char use[] =
    "entry use[b](x: f32[b, 33], y: f32[b, 600], z: f32[b, 7, 5]) -> (r0: f32[b, 70], r1: f32[b, 70], r2: f32[b, 3, 20], r3: f32[b, 24])\n"
    "  %0: f32[b, 33] = input 0 x\n"
    "  %1: f32[b, 600] = input 1 y\n"
    "  %2: f32[b, 7, 5] = input 2 z\n"
    "  %3: f32[70, 33] = slot rows\n"
    "  %4: f32[600, 70] = slot deep\n"
    "  %5: f32[3, 33, 20] = slot heads\n"
    "  %6: f32[5, 7, 24] = slot turned\n"
    "  %7: f32[b, 70] = contract %0[m k], %3[n k] -> [m n]\n"
    "  %8: f32[b, 70] = contract %1[m k], %4[k n] -> [m n]\n"
    "  %9: f32[b, 3, 20] = contract %0[m k], %5[h k n] -> [m h n]\n"
    "  %10: f32[b, 24] = contract %2[m p q], %6[q p n] -> [m n]\n"
    "  %11: f32[b, 24] = tanh %10\n"
    "  results r0 = %7, r1 = %8, r2 = %9, r3 = %11\n";

/* Stores all four, so that nothing may be packed. */
static const char change[] = "entry change(f: f32[]) -> (f_again: f32[])\n"
                             "  %0: f32[] = input 0 f\n"
                             "  %1: f32[70, 33] = expand %0\n"
                             "  %2: f32[600, 70] = expand %0\n"
                             "  %3: f32[3, 33, 20] = expand %0\n"
                             "  %4: f32[5, 7, 24] = expand %0\n"
                             "  store rows = %1\n"
                             "  store deep = %2\n"
                             "  store heads = %3\n"
                             "  store turned = %4\n"
                             "  results f_again = %0\n";

static const int per_row[RESULTS] = {70, 70, 60, 24};

static uint32_t seed = 1;
static float *numbers(int n) {
    float *x = malloc(sizeof *x * (size_t)n);
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-31f;
    }
    return x;
}

static mdl_tensor tensor(void *data, int rank, int64_t *shape) {
    return (mdl_tensor){.data = data, .device = {1, 0}, .rank = rank, .dtype = {2, 32, 1}, .shape = shape};
}

static void call(const Kit *k, mdl_session *s, int64_t b, float *x[3], float *out[RESULTS]) {
    int64_t shape[7][3] = {{b, 33}, {b, 600}, {b, 7, 5}, {b, 70}, {b, 70}, {b, 3, 20}, {b, 24}};
    mdl_tensor in[] = {tensor(x[0], 2, shape[0]), tensor(x[1], 2, shape[1]), tensor(x[2], 3, shape[2])};
    mdl_tensor result[] = {tensor(out[0], 2, shape[3]), tensor(out[1], 2, shape[4]), tensor(out[2], 3, shape[5]),
                           tensor(out[3], 2, shape[6])};
    if (k->model->call(s, 0, &b, in, result) != MDL_OK) kit_fail(__FILE__, __LINE__, mdl_error(s));
}

static void compare(const Kit *packed, mdl_session *p, const Kit *plain, mdl_session *q, const char *when) {
    static const int rows[] = {1, 4, 5, 6, 64, 97, MOST};
    float *a[RESULTS], *b[RESULTS];
    for (int i = 0; i < RESULTS; i++) {
        a[i] = calloc((size_t)(per_row[i] * MOST), sizeof **a);
        b[i] = calloc((size_t)(per_row[i] * MOST), sizeof **b);
    }
    for (int i = 0; i < 7; i++) {
        float *x[] = {numbers(33 * rows[i]), numbers(600 * rows[i]), numbers(35 * rows[i])};
        call(packed, p, rows[i], x, a);
        call(plain, q, rows[i], x, b);
        for (int r = 0; r < RESULTS; r++) {
            if (!memcmp(a[r], b[r], sizeof **a * (size_t)(per_row[r] * rows[i]))) continue;
            printf("%s: result %d for %d rows differs\n", when, r, rows[i]);
            exit(1);
        }
        for (int j = 0; j < 3; j++) free(x[j]);
    }
    for (int i = 0; i < RESULTS; i++) {
        free(a[i]);
        free(b[i]);
    }
}

static void set_weights(const Kit *k, mdl_session *s) {
    static const char *const name[WEIGHTS] = {"rows", "deep", "heads", "turned"};
    int64_t shape[WEIGHTS][3] = {{70, 33}, {600, 70}, {3, 33, 20}, {5, 7, 24}};
    int rank[] = {2, 2, 3, 3}, count[] = {2310, 42000, 1980, 840};
    for (int i = 0; i < WEIGHTS; i++) {
        float *w = numbers(count[i]);
        mdl_tensor t = tensor(w, rank[i], shape[i]);
        if (k->model->set(s, name[i], &t) != MDL_OK) kit_fail(__FILE__, __LINE__, mdl_error(s));
        free(w);
    }
}

/* How often copies were made, from the session's profile. */
static int64_t packings(const Kit *k, const mdl_session *s) {
    const char *name;
    int64_t calls, n = 0;
    for (int i = 0; k->model->stats(s, i, &name, NULL, &calls, NULL) == MDL_OK; i++) {
        if (!strcmp(name, "pack")) n += calls;
    }
    return n;
}

static int packed_operands(const Plan *p) {
    int n = 0;
    for (int i = 0; i < p->kernels.n; i++) n += p->kernels.at[i]->packed.n;
    return n;
}

static void sessions(const Kit *packed, const Kit *plain, int threads) {
    mdl_options o = {.size = sizeof o, .threads = threads, .flags = MDL_PROFILE};
    mdl_session *p, *q;
    CHECK(packed->model->open(&p, &o) == MDL_OK && plain->model->open(&q, &o) == MDL_OK);
    compare(packed, p, plain, q, "first weights");
    CHECK(packings(packed, p) == WEIGHTS && packings(plain, q) == 0);
    uint32_t start = seed;
    set_weights(packed, p);
    seed = start;
    set_weights(plain, q);
    compare(packed, p, plain, q, "set");
    CHECK(packings(packed, p) == 2 * WEIGHTS);
    set_weights(plain, q);
    CHECK(plain->model->save(q, "packs.safetensors", 0) == MDL_OK);
    CHECK(packed->model->load(p, "packs.safetensors") == MDL_OK);
    compare(packed, p, plain, q, "load");
    CHECK(packings(packed, p) == 3 * WEIGHTS);
    int64_t few = 4, many = 5;
    CHECK(packed->model->bytes(0, &many) - packed->model->bytes(0, &few) >= 4 * (2310 + 42000 + 1980 + 840));
    packed->model->close(p);
    plain->model->close(q);
    unlink("packs.safetensors");
}

int main(void) {
    Arena *a = arena_new();
    for (int level = 0; level <= 2; level += 2) {
        Kit plain = kit_make(arena_printf(a, "%s%s%s", slots, use, change), ARTIFACT_SHARED, level);
        Kit packed = kit_make(arena_printf(a, "%s%s", slots, use), ARTIFACT_SHARED, level);
        CHECK(packed_operands(plain.entries[0]) == 0 && packed_operands(packed.entries[0]) == (level ? WEIGHTS : 0));
        for (int threads = 1; threads <= 3 && level; threads += 2) sessions(&packed, &plain, threads);
        kit_free(&plain);
        kit_free(&packed);
    }
    arena_free(a);
    return 0;
}
