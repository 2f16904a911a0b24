/* A session over a hand-made program: w[2, 3] trained by `step`, a cache seen[b] counted by `count`. Sizes, caches, refusals, checkpoints,
 * threads, the caller's memory. */
#include "runtime/runtime.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int failed;
#define CHECK(c)                                                      \
    do {                                                              \
        if (!(c)) failed = printf("line %d: %s\n", __LINE__, #c) > 0; \
    } while (0)

/* ---- the program */
enum { NO_BYTES, BIG_BYTES, SIX };
static int64_t measure(int32_t number, const int64_t *z) { return number == NO_BYTES ? 0 : number == BIG_BYTES ? 1000 * z[0] : 6; }

static int w_init(RtFrame *f) {
    for (int i = 0; i < 6; i++) ((float *)f->slots[0])[i] = (float)i + (f->rng[2] == 0xffffffffu ? 0 : 100);
    return MDL_OK;
}
static int b_init(RtFrame *f) {
    for (int i = 0; i < f->sizes[0]; i++) ((int32_t *)f->slots[1])[i] = 7;
    return MDL_OK;
}
static void add_thunk(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {
    (void)sizes;
    scratch[0] = 1;
    for (int64_t i = p0; i < p1; i++) ((float *)args[0])[i] += *(const float *)args[1];
}
static const struct {
    int32_t flops, bytes, n_floats;
    RtFloats floats[1];
    char texts[24];
} ADD = {RT_UNMEASURED, RT_UNMEASURED, 1, {{SIX, 0, 32}}, "k0 add\0w\0made.mdl:1"};
static int step_run(RtFrame *f) { /* w += x; refuses x > 10 first, and x > 5 half way */
    float x = *(const float *)f->inputs[0];
    if (x > 10) return rt_fail(f->session, MDL_ASSERT, "step: x is too large");
    f->changed = 1;
    void *args[2] = {f->slots[0], f->inputs[0]};
    rt_parallel(f, (const RtKernel *)&ADD, add_thunk, args, NULL, 6);
    if (x > 5) return rt_fail(f->session, MDL_ASSERT, "step: x is large");
    *(float *)f->outputs[0] = ((float *)f->slots[0])[5] + (float)f->rng[2] * 1000;
    return MDL_OK;
}
#define MEMORY_ALIGN 64
static const char *count_input; /* of the last call */
static int count_run(RtFrame *f) {
    count_input = f->inputs[0];
    static const int64_t none[1];
    int64_t dims[1] = {f->sizes[0]};
    (void)none;
    int code = rt_check_range(f, "count", "ids", f->inputs[0], 0, 32, 1, dims, 0, 5);
    if (code) return code;
    f->changed = 1;
    f->arena[999] = 1;
    for (int i = 0; i < f->sizes[0]; i++) ((int32_t *)f->outputs[0])[i] = ((int32_t *)f->slots[1])[i] += ((int32_t *)f->inputs[0])[i];
    return MDL_OK;
}

static int idle_run(RtFrame *f) { return (void)f, MDL_OK; }

static const int64_t D_W[] = {2, 3}, D_B[] = {MDL_NAMED};
static const mdl_dtype FLOAT = {2, 32, 1}, INT = {0, 32, 1};
static mdl_value values[3], step_in[1], step_out[1], count_in[1], count_out[1];
static const mdl_size NAMES[] = {{"batch", 1, 64, -1}};
static const int32_t SIZE0[] = {0}, SLOT0[] = {0, 0}, SLOT1[] = {1, 1}, SLOT2[] = {2};
static mdl_entry entries[4];
static RtEntry runs[4];
static RtSlot slots[3];
static mdl_model model;
static const RtProgram program = {&model, measure, slots, runs, NULL, 1, 3, 4, 0, 1, 100, 32, NULL, NULL, NULL, NULL};
static int made_open(mdl_session **s, const mdl_options *o) { return rt_open(&program, s, o); }

static void make_program(void) {
    values[0] = (mdl_value){"w", MDL_PARAM, FLOAT, 2, D_W, "float[2, 3]"};
    values[1] = (mdl_value){"seen", MDL_CACHE, INT, 1, D_B, "i32[batch]"};
    values[2] = (mdl_value){"other", MDL_CACHE, INT, 1, D_B, "i32[batch]"};
    step_in[0] = (mdl_value){"x", MDL_INPUT, FLOAT, 0, NULL, "f32"};
    step_out[0] = (mdl_value){"loss", MDL_OUTPUT, FLOAT, 0, NULL, "f32"};
    count_in[0] = (mdl_value){"ids", MDL_INPUT, INT, 1, D_B, "i32[batch]"};
    count_out[0] = (mdl_value){"out", MDL_OUTPUT, INT, 1, D_B, "i32[batch]"};
    entries[0] = (mdl_entry){"step", 1, 0, 1, 1, NULL, step_in, step_out, "made.mdl:1"};
    entries[1] = (mdl_entry){"count", 0, 1, 1, 1, SIZE0, count_in, count_out, "made.mdl:2"};
    entries[2] = (mdl_entry){"forget", 0, 0, 0, 0, NULL, NULL, NULL, "made.mdl:3"};
    entries[3] = (mdl_entry){"touch", 0, 1, 0, 0, SIZE0, NULL, NULL, "made.mdl:4"};
    runs[0] = (RtEntry){step_run, NULL, SLOT0, 0, 1, 1, 0, NO_BYTES, RT_UNMEASURED, 1};
    runs[1] = (RtEntry){count_run, NULL, SLOT1, 0, 1, 1, 0, BIG_BYTES, RT_UNMEASURED, 0};
    runs[2] = (RtEntry){idle_run, NULL, SLOT1, 0, 0, 0, 1, NO_BYTES, RT_UNMEASURED, 0};
    runs[3] = (RtEntry){idle_run, NULL, SLOT2, 0, 1, 0, 0, NO_BYTES, RT_UNMEASURED, 0};
    slots[0] = (RtSlot){NULL, w_init, NO_BYTES, 0, 1};
    slots[1] = (RtSlot){NULL, b_init, NO_BYTES, 0, 1};
    slots[2] = (RtSlot){NULL, NULL, RT_UNMEASURED, 0, 0};
    model = (mdl_model){.abi = MDL_ABI, .size = sizeof model, .name = "made", .n_entries = 4, .n_values = 3, .n_sizes = 1, .entries = entries,
                        .values = values, .sizes = NAMES, .open = made_open, .close = rt_close, .load = rt_load, .save = rt_save, .error = rt_error};
}

/* ---- the tests */
static int step(mdl_session *s, float x, float *loss) {
    char *in[] = {(char *)&x}, *out[] = {(char *)loss};
    return rt_call_raw(&program, s, 0, NULL, in, out);
}
static int count(mdl_session *s, int64_t n, int32_t *ids, int32_t *out) {
    char *in[] = {(char *)ids}, *results[] = {(char *)out};
    return rt_call_raw(&program, s, 1, &n, in, results);
}
static int forget(mdl_session *s) { return rt_call_raw(&program, s, 2, NULL, NULL, NULL); }
static bool says(mdl_session *s, const char *text) {
    if (strcmp(rt_error(s), text) == 0) return true;
    printf("\"%s\" instead of \"%s\"\n", rt_error(s), text);
    return false;
}

static void test_calls(mdl_session *s) {
    float loss;
    int32_t ids[70] = {1, 2, 3}, out[70];
    CHECK(step(s, 1, &loss) == MDL_OK && loss == 6);
    CHECK(step(s, 1, &loss) == MDL_OK && loss == 1007); /* the random step counts successful calls */
    CHECK(step(s, 11, &loss) == MDL_ASSERT && says(s, "step: x is too large"));
    CHECK(step(s, 0, &loss) == MDL_OK && loss == 2007); /* nothing had changed */
    CHECK(count(s, 3, ids, out) == MDL_OK && out[2] == 10);
    CHECK(count(s, 2, ids, out) == MDL_RANGE && says(s, "count: batch is 3 in this session, not 2, until it is reset"));
    CHECK(count(s, 65, ids, out) == MDL_RANGE && says(s, "count: batch = 65 is not in 1..64"));
    CHECK(rt_reset(s) == MDL_OK && count(s, 2, ids, out) == MDL_OK && out[1] == 9);
    ids[1] = 5;
    CHECK(count(s, 2, ids, out) == MDL_RANGE && says(s, "count: ids[1] = 5 is not in 0 to 4"));
    CHECK(forget(s) == MDL_OK && count(s, 3, ids, out) == MDL_RANGE && says(s, "count: ids[1] = 5 is not in 0 to 4"));
    ids[1] = 2;
    CHECK(forget(s) == MDL_OK && count(s, 2, ids, out) == MDL_OK && out[1] == 9); /* another size, the initial value again */
    CHECK(forget(s) == MDL_OK && forget(s) == MDL_OK && count(s, 2, ids, out) == MDL_OK && out[1] == 9);
    int64_t shape[] = {2}, n = 2, column[] = {2};
    int32_t strided[] = {1, 99, 2, 99};
    mdl_tensor in = {strided, {1, 0}, 1, INT, shape, column, 0}, result = {out, {1, 0}, 1, INT, shape, NULL, 0};
    CHECK(rt_call(s, 1, &n, &in, &result) == MDL_OK && out[0] == 9 && out[1] == 11);
    _Alignas(4) char odd[2][9];
    memcpy(odd[0] + 1, (int32_t[]){3, 4}, 8);
    mdl_tensor odd_in = {odd[0], {1, 0}, 1, INT, shape, NULL, 1}, odd_result = {odd[1] + 1, {1, 0}, 1, INT, shape, NULL, 0};
    CHECK(rt_call(s, 1, &n, &odd_in, &odd_result) == MDL_OK);
    memcpy(out, odd[1] + 1, 8);
    CHECK(out[0] == 12 && out[1] == 15);
    in.dtype = FLOAT;
    CHECK(rt_call(s, 1, &n, &in, &result) == MDL_ARGUMENT && says(s, "count: ids must be i32, but it is f32"));
    in.dtype = INT;
    shape[0] = 3;
    CHECK(rt_call(s, 1, &n, &in, &result) == MDL_ARGUMENT && says(s, "count: ids must be [2], but it is [3]"));
    CHECK(rt_call(s, 9, &n, &in, &result) == MDL_ARGUMENT);
    CHECK(rt_call_raw(&program, NULL, 1, &n, NULL, NULL) == MDL_ARGUMENT);
}

static void test_checkpoints(mdl_session *s) {
    float loss, w[6];
    int64_t shape[2] = {2, 3};
    mdl_tensor t = {w, {1, 0}, 2, FLOAT, shape, NULL, 0};
    char note[32] = "";
    CHECK(rt_note(s, "epoch", "3", NULL, 0) == MDL_OK);
    CHECK(rt_save(s, "made.safetensors", 1) == MDL_OK);
    CHECK(rt_get(s, "w", &t) == MDL_OK && w[5] == 7);
    CHECK(step(s, 2, &loss) == MDL_OK && loss == 3009);
    CHECK(rt_note(s, "epoch", "4", NULL, 0) == MDL_OK);
    CHECK(rt_load(s, "made.safetensors") == MDL_OK && rt_note(s, "epoch", NULL, note, sizeof note) == MDL_OK && strcmp(note, "3") == 0);
    CHECK(step(s, 2, &loss) == MDL_OK && loss == 3009);
    CHECK(step(s, 6, &loss) == MDL_ASSERT);
    CHECK(step(s, 0, &loss) == MDL_BROKEN && rt_save(s, "other.safetensors", 1) == MDL_BROKEN && access("other.safetensors", F_OK) != 0);
    CHECK(rt_load(s, "made.safetensors") == MDL_OK && step(s, 0, &loss) == MDL_OK);
    CHECK(rt_load(s, "nowhere.safetensors") == MDL_IO && says(s, "cannot open nowhere.safetensors: No such file or directory"));
    FILE *f = fopen("bad.safetensors", "wb");
    fwrite("\x02\0\0\0\0\0\0\0{}", 1, 10, f);
    fclose(f);
    CHECK(rt_load(s, "bad.safetensors") == MDL_MISMATCH && says(s, "bad.safetensors has no tensor \"w\""));
    CHECK(rt_get(s, "v", &t) == MDL_ARGUMENT && says(s, "get: there is no parameter, state or cache v"));
    w[0] = 42;
    CHECK(rt_set(s, "w", &t) == MDL_OK);
    w[0] = 0;
    CHECK(rt_get(s, "w", &t) == MDL_OK && w[0] == 42);
    float columns[6] = {0, 3, 1, 4, 2, 5};
    int64_t strides[2] = {1, 2};
    mdl_tensor by_column = {columns, {1, 0}, 2, FLOAT, shape, strides, 0};
    CHECK(rt_set(s, "w", &by_column) == MDL_OK && rt_get(s, "w", &t) == MDL_OK && w[1] == 1 && w[3] == 3);
    w[4] = 42;
    CHECK(rt_set(s, "w", &t) == MDL_OK && rt_get(s, "w", &by_column) == MDL_OK && columns[3] == 42 && columns[1] == 3);
    shape[1] = 4;
    CHECK(rt_set(s, "w", &t) == MDL_ARGUMENT && says(s, "set: w must be [2, 3], but it is [2, 4]"));
    struct rlimit old, none = {16, 16};
    getrlimit(RLIMIT_FSIZE, &old);
    none.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    int code = rt_save(s, "made.safetensors", 1);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(code == MDL_IO && says(s, "cannot write made.safetensors: File too large"));
    CHECK(rt_load(s, "made.safetensors") == MDL_OK); /* the old file is whole */
    unlink("made.safetensors");
    unlink("bad.safetensors");
}

/* Tensors with strides are copied to the end of the caller's memory, wherever that is, call after call; without room for them a call says
 * so, and the next goes on. */
static void test_borrowed(char *memory, size_t need) {
    mdl_session *s = NULL;
    mdl_options o = {.size = sizeof o, .threads = 1, .memory = memory, .memory_bytes = need - 1001};
    int32_t ids[16] = {1, 99, 2, 99, 3, 99, 4, 99}, results[16];
    int64_t n = 4, shape[] = {4}, stride[] = {2};
    mdl_tensor in = {ids, {1, 0}, 1, INT, shape, stride, 0}, out = {results, {1, 0}, 1, INT, shape, stride, 0};
    CHECK(rt_open(&program, &s, &o) == MDL_OK);
    for (int i = 1; s && i <= 100; i++) {
        CHECK(rt_call(s, 1, &n, &in, &out) == MDL_OK && results[0] == 7 + i && results[2] == 7 + 2 * i && results[6] == 7 + 4 * i);
        CHECK((uintptr_t)count_input % MEMORY_ALIGN == 0 && count_input > memory && count_input < memory + o.memory_bytes);
    }
    rt_close(s);
    o.memory_bytes = 64; /* the least that a session can be opened in: whatever it lacks before, it says so */
    while (o.memory_bytes < need && rt_open(&program, &s, &o) == MDL_MEMORY && !s && strstr(rt_error(NULL), "memory")) o.memory_bytes += 64;
    CHECK(s && rt_call(s, 1, &n, &in, &out) == MDL_MEMORY && says(s, "count: no memory for a copy of ids"));
    float loss;
    CHECK(step(s, 1, &loss) == MDL_OK);
    rt_close(s);
}

static void test_numbers(void) {
    mdl_session *s = NULL;
    mdl_options o = {.size = sizeof o, .threads = 2, .flags = MDL_CHECK_NUMBERS};
    float loss, w[6] = {0, 1, 2, INFINITY, 4, 5};
    int64_t shape[2] = {2, 3};
    mdl_tensor t = {w, {1, 0}, 2, FLOAT, shape, NULL, 0};
    CHECK(rt_open(&program, &s, &o) == MDL_OK);
    if (!s) return;
    CHECK(step(s, NAN, &loss) == MDL_NUMBER && says(s, "step: there is a NaN in the input x"));
    CHECK(rt_set(s, "w", &t) == MDL_OK && step(s, 1, &loss) == MDL_OK && loss == 6); /* an infinity is none, and nothing was broken */
    CHECK(step(s, -INFINITY, &loss) == MDL_NUMBER && says(s, "step: first NaN in w (made.mdl:1)"));
    CHECK(step(s, 1, &loss) == MDL_BROKEN);
    rt_close(s);
}

int main(void) {
    make_program();
    test_numbers();
    for (int threads = 1; threads <= 5; threads += 2) {
        mdl_session *s = NULL;
        mdl_options o = {.size = sizeof o, .threads = threads, .flags = MDL_PROFILE};
        CHECK(rt_open(&program, &s, &o) == MDL_OK);
        if (!s) return 1;
        test_calls(s);
        test_checkpoints(s);
        int64_t calls = 0;
        CHECK(rt_stats(s, 0, NULL, NULL, &calls, NULL) == MDL_OK && calls > 3 && rt_stats(s, 1, NULL, NULL, NULL, NULL) == MDL_ARGUMENT);
        rt_close(s);
    }
    int64_t batch = 8, need = rt_bytes(&program, 1, &batch);
    char *memory = aligned_alloc(64, (size_t)(need + 63) / 64 * 64);
    mdl_session *s = NULL;
    mdl_options o = {.size = sizeof o, .threads = 1, .memory = memory, .memory_bytes = (size_t)need};
    CHECK(rt_open(&program, &s, &o) == MDL_OK);
    int32_t ids[64] = {0}, out[64];
    for (int i = 0; s && i < 100; i++) CHECK(count(s, 8, ids, out) == MDL_OK && out[7] == 7 && rt_reset(s) == MDL_OK);
    for (int i = 0; s && i < 100; i++) CHECK(count(s, 8, ids, out) == MDL_OK && out[7] == 7 && forget(s) == MDL_OK);
    CHECK(rt_call_raw(&program, s, 3, &batch, NULL, NULL) == MDL_OK); /* another cache stays where it is */
    for (int i = 0; s && i < 100; i++) CHECK(count(s, 8, ids, out) == MDL_OK && out[7] == 7 && forget(s) == MDL_OK);
    CHECK(rt_reset(s) == MDL_OK && count(s, 64, ids, out) == MDL_MEMORY);
    rt_close(s);
    test_borrowed(memory, (size_t)need);
    o.memory_bytes = 64;
    CHECK(rt_open(&program, &s, &o) == MDL_MEMORY && !s && strstr(rt_error(NULL), "no memory"));
    free(memory);
    return failed;
}
