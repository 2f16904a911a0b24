/* packs.c -- packed copies of a weight, over a hand-made program: w[6] = 1, pack 0 = 10 w, pack 1 = 100 w. `use` reads pack 0 always and
 * pack 1 if b is 5 at least; both must agree with w after set and load, and be made no more often than that takes. In the caller's
 * memory they fit where `bytes` says so, over and over after resets. */
#include "runtime/runtime.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(c)                                                      \
    do {                                                              \
        if (!(c)) failed = printf("line %d: %s\n", __LINE__, #c) > 0; \
    } while (0)
static int failed;

/* ---- the program */

enum { ARENA, WHEN, MOVED };
static int64_t measure(int32_t number, const int64_t *z) {
    return number == ARENA ? 100 * z[0] : number == WHEN ? z[0] : 48;
}

/* One iteration an element. Iteration 0 counts, in element 6, how often the copy was made. */
static void scale(void *const *args, float by, int64_t p0, int64_t p1) {
    float *pack = args[0];
    const float *w = args[1];
    for (int64_t i = p0; i < p1; i++) pack[i] = by * w[i];
    if (p0 == 0) pack[6]++;
}
static void scale_10(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {
    (void)sizes, (void)scratch;
    scale(args, 10, p0, p1);
}
static void scale_100(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {
    (void)sizes, (void)scratch;
    scale(args, 100, p0, p1);
}

/* out: last elements of pack 0 and 1 (-1: not there), how often they were made. Fills the cache and the arena: nothing may overlap. */
static int use_run(RtFrame *f) {
    float *out = (float *)f->outputs[0];
    const float *zero = (float *)f->packs[0], *one = (float *)f->packs[1];
    f->changed = 1;
    memset(f->slots[1], 0x55, (size_t)(4 * f->sizes[0]));
    memset(f->arena, 0x55, (size_t)(100 * f->sizes[0]));
    out[0] = zero[5];
    out[1] = one ? one[5] : -1;
    out[2] = zero[6];
    out[3] = one ? one[6] : -1;
    return MDL_OK;
}

static const float ONES[6] = {1, 1, 1, 1, 1, 1};
static const int64_t D_W[] = {6}, D_SEEN[] = {MDL_NAMED}, D_OUT[] = {4};
#define FLOAT {2, 32, 1}
static const mdl_size NAMES[] = {{"b", 1, 64, 0}};
static const mdl_value VALUES[] = {{"w", MDL_PARAM, FLOAT, 1, D_W, "f32[6]"}, {"seen", MDL_CACHE, FLOAT, 1, D_SEEN, "f32[b]"}};
static const mdl_value OUT[] = {{"out", MDL_OUTPUT, FLOAT, 1, D_OUT, "f32[4]"}};
static const int32_t SIZE0[] = {0}, TOUCHED_STORED[] = {0, 1, 1};
static const mdl_entry ENTRIES[] = {{"use", 0, 1, 0, 1, SIZE0, NULL, OUT, ""}};
static const RtSlot SLOTS[] = {{ONES, NULL, RT_UNMEASURED, 0, 0}, {NULL, NULL, RT_UNMEASURED, 0, 1}};
static const struct {
    int32_t flops, bytes, n_floats;
    char texts[16];
} KERNELS[] = {{RT_UNMEASURED, MOVED, 0, "pack 0\0w\0"}, {RT_UNMEASURED, MOVED, 0, "pack 1\0w\0"}};
static const RtPack PACKS[] = {{scale_10, (const RtKernel *)&KERNELS[0], 28, 6, 0}, {scale_100, (const RtKernel *)&KERNELS[1], 28, 6, 0}};
static const RtPackUse USES[] = {{0, RT_UNMEASURED, 0, 0}, {1, WHEN, 5, 20}, {1, WHEN, 20, INT64_MAX}};
static const RtEntry RUNS[] = {{use_run, USES, TOUCHED_STORED, 3, 2, 1, 0, ARENA, RT_UNMEASURED, 0}};
static mdl_model model;
static const RtProgram program = {&model, measure, SLOTS, RUNS, PACKS, 1, 2, 1, 2, 1, 0, 0, NULL, NULL, NULL, NULL};

/* ---- the tests */

static bool use(mdl_session *s, int64_t b, float zero, float one, float made_zero, float made_one) {
    float out[4];
    char *results[] = {(char *)out};
    int code = rt_call_raw(&program, s, 0, &b, NULL, results);
    if (code == MDL_OK && out[0] == zero && out[1] == one && out[2] == made_zero && out[3] == made_one) return true;
    printf("%d %s: %g %g, made %g and %g times\n", code, rt_error(s), out[0], out[1], out[2], out[3]);
    return false;
}

static void set_all(mdl_session *s, float value) {
    float w[] = {value, value, value, value, value, value};
    int64_t shape[] = {6};
    mdl_tensor t = {.data = w, .device = {1, 0}, .rank = 1, .dtype = FLOAT, .shape = shape};
    CHECK(rt_set(s, "w", &t) == MDL_OK);
}

static void test_changes(int threads) {
    mdl_session *s = NULL;
    mdl_options o = {.size = sizeof o, .threads = threads};
    CHECK(rt_open(&program, &s, &o) == MDL_OK);
    CHECK(use(s, 4, 10, -1, 1, -1)); /* pack 1 is not for b = 4 */
    CHECK(use(s, 4, 10, -1, 1, -1)); /* not made again */
    CHECK(rt_save(s, "packs.safetensors", 0) == MDL_OK);
    CHECK(rt_reset(s) == MDL_OK && use(s, 5, 10, 100, 1, 1));
    set_all(s, 2);
    CHECK(rt_reset(s) == MDL_OK && use(s, 3, 20, 100, 2, 1)); /* pack 1 is old, and nobody wants it */
    CHECK(rt_reset(s) == MDL_OK && use(s, 20, 20, 200, 2, 2));
    CHECK(rt_load(s, "packs.safetensors") == MDL_OK && use(s, 20, 10, 100, 3, 3));
    rt_close(s);
    unlink("packs.safetensors");
}

static void test_memory(void) {
    int64_t few = 4, many = 20, need = rt_bytes(&program, 0, &many);
    CHECK(rt_bytes(&program, 0, &few) < need);
    char *memory = aligned_alloc(64, (size_t)(need + 63) / 64 * 64);
    mdl_session *s = NULL;
    mdl_options o = {.size = sizeof o, .threads = 1, .memory = memory, .memory_bytes = (size_t)need};
    CHECK(rt_open(&program, &s, &o) == MDL_OK);
    for (int i = 0; i < 20; i++) {
        CHECK(use(s, 20, 10, 100, 1, 1) && use(s, 20, 10, 100, 1, 1) && rt_reset(s) == MDL_OK);
        CHECK(use(s, 4, 10, -1, 1, -1) && rt_reset(s) == MDL_OK);
    }
    rt_close(s);

    bool said = false; /* with less there is a refusal, never a call that writes beyond */
    for (o.memory_bytes = (size_t)need / 64 * 64; o.memory_bytes > 0; o.memory_bytes -= 64) {
        float out[4];
        char *results[] = {(char *)out};
        if (rt_open(&program, &s, &o) != MDL_OK) break;
        int code = rt_call_raw(&program, s, 0, &many, NULL, results);
        CHECK(code == MDL_OK || code == MDL_MEMORY);
        said = said || (code && strstr(rt_error(s), "no memory for a packed copy of w: 28 bytes"));
        rt_close(s);
    }
    CHECK(said);
    free(memory);
}

int main(void) {
    model = (mdl_model){.abi = MDL_ABI, .size = sizeof model, .name = "packs", .n_entries = 1, .n_values = 2, .n_sizes = 1};
    model.entries = ENTRIES;
    model.values = VALUES;
    model.sizes = NAMES;
    for (int threads = 1; threads <= 3; threads += 2) test_changes(threads);
    test_memory();
    return failed;
}
