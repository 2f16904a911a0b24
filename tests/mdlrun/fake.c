/* fake.c -- an artifact written by hand, for the tests of mdlrun: every kind of entry mdlrun knows, small enough to check by
 * hand.
 *
 *   entry predict(x: f32[batch, 3]) -> y: f32[batch]                       y = x w + b
 *   train step(x: f32[batch, 3], y: f32[batch]) -> (loss, worst: f32)      squared error, gradient descent at 0.1
 *   entry evaluate(x, y) -> (loss: f32, seen: i32, error: f32[batch])      seen: samples since the last reset, from a cache
 *   train learn[b, n in 2..9](ids: i32[b, n]) -> loss: f32                 a table of what follows what: counts of pairs
 *   entry judge[b, n in 2..9](ids: i32[b, n]) -> loss: f32                 nats a pair under that table
 *   entry prefill[t in 1..8](ids: i32[batch, t]) -> logits: f32[batch, 256]
 *   entry decode(id: i32[batch]) -> logits: f32[batch, 256]                refuses when 8 tokens were seen
 *   entry generate[t in 1..8](ids: i32[batch, t], n: dim in 1..100, temperature: f32) -> out: i32[batch, n]   the likeliest
 * tokens train slow(x: f32[batch, 3], y: f32[batch]) -> loss: f32               step, after 20 ms entry broken(x: f32) -> y:
 * f32                                         always fails entry texts(ids: i32[b, n], lengths: i32[b], mask: f32[b, n]) ->
 * sums: f32[b, 3]   of each row (n and b of judge)
 *
 * Checkpoints are safetensors with the notes in __metadata__. */
#include "runtime/mdl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define F32                                                                                                                    \
    { 2, 32, 1 }
#define I32                                                                                                                    \
    { 0, 32, 1 }
#define CONTEXT 8
#define NOTES   8

enum { BATCH, STEP_B, STEP_N, JUDGE_B, JUDGE_N, FILL_T, GENERATE_T, GENERATE_N };
enum { PREDICT, STEP, EVALUATE, LEARN, JUDGE, PREFILL, DECODE, GENERATE, SLOW, BROKEN, TEXTS, N_ENTRIES };

struct mdl_session {
    const mdl_model *model;
    float w[3], b, pairs[256][256]; /* pairs: counts of (token, next) */
    int32_t seen, position, last;
    char keys[NOTES][32], notes[NOTES][64];
    mdl_log *log;
    void *log_context;
    char message[256];
};
static _Thread_local char open_message[64];

#define N(i) (MDL_NAMED - (i))
static const int64_t x_dims[] = {N(BATCH), 3}, y_dims[] = {N(BATCH)}, learn_dims[] = {N(STEP_B), N(STEP_N)};
static const int64_t judge_dims[] = {N(JUDGE_B), N(JUDGE_N)}, fill_dims[] = {N(BATCH), N(FILL_T)},
                     logits_dims[] = {N(BATCH), 256};
static const int64_t generate_dims[] = {N(BATCH), N(GENERATE_T)}, out_dims[] = {N(BATCH), MDL_COMPUTED}, w_dims[] = {3};
static const int64_t pairs_dims[] = {256, 256};
static const mdl_value xy[] = {{"x", MDL_INPUT, F32, 2, x_dims, "f32[batch, 3]"},
                               {"y", MDL_INPUT, F32, 1, y_dims, "f32[batch]"}};
static const mdl_value y_out[] = {{"y", MDL_OUTPUT, F32, 1, y_dims, "f32[batch]"}};
static const mdl_value step_out[] = {{"loss", MDL_OUTPUT, F32, 0, NULL, "f32"}, {"worst", MDL_OUTPUT, F32, 0, NULL, "f32"}};
static const mdl_value evaluate_out[] = {{"loss", MDL_OUTPUT, F32, 0, NULL, "f32"},
                                         {"seen", MDL_OUTPUT, I32, 0, NULL, "i32"},
                                         {"error", MDL_OUTPUT, F32, 1, y_dims, "f32[batch]"}};
static const mdl_value learn_in[] = {{"ids", MDL_INPUT, I32, 2, learn_dims, "i32[b, n]"}};
static const mdl_value judge_in[] = {{"ids", MDL_INPUT, I32, 2, judge_dims, "i32[b, n]"}};
static const mdl_value fill_in[] = {{"ids", MDL_INPUT, I32, 2, fill_dims, "i32[batch, t]"}};
static const mdl_value decode_in[] = {{"id", MDL_INPUT, I32, 1, y_dims, "i32[batch]"}};
static const mdl_value logits_out[] = {{"logits", MDL_OUTPUT, F32, 2, logits_dims, "f32[batch, 256]"}};
static const mdl_value generate_in[] = {{"ids", MDL_INPUT, I32, 2, generate_dims, "i32[batch, t]"},
                                        {"temperature", MDL_INPUT, F32, 0, NULL, "f32"}};
static const mdl_value generate_out[] = {{"out", MDL_OUTPUT, I32, 2, out_dims, "i32[batch, n]"}};
static const mdl_value scalar_in[] = {{"x", MDL_INPUT, F32, 0, NULL, "f32"}},
                       scalar_out[] = {{"y", MDL_OUTPUT, F32, 0, NULL, "f32"}};
static const int64_t lengths_dims[] = {N(JUDGE_B)}, sums_dims[] = {N(JUDGE_B), 3};
static const mdl_value texts_in[] = {{"ids", MDL_INPUT, I32, 2, judge_dims, "i32[b, n]"},
                                     {"lengths", MDL_INPUT, I32, 1, lengths_dims, "i32[b]"},
                                     {"mask", MDL_INPUT, F32, 2, judge_dims, "f32[b, n]"}};
static const mdl_value texts_out[] = {{"sums", MDL_OUTPUT, F32, 2, sums_dims, "f32[b, 3]"}};
static const mdl_value values[] = {{"net.w", MDL_PARAM, F32, 1, w_dims, "f32[3]"},
                                   {"net.b", MDL_PARAM, F32, 0, NULL, "f32"},
                                   {"pairs", MDL_PARAM, F32, 2, pairs_dims, "f32[256, 256]"},
                                   {"position", MDL_CACHE, I32, 0, NULL, "i32"}};
static const mdl_size sizes[] = {{"batch", 1, -1, -1},        {"b", 1, -1, LEARN},    {"n", 2, 9, LEARN},
                                 {"b", 1, -1, JUDGE},         {"n", 2, 9, JUDGE},     {"t", 1, CONTEXT, PREFILL},
                                 {"t", 1, CONTEXT, GENERATE}, {"n", 1, 100, GENERATE}};
static const int32_t batch_only[] = {BATCH}, learn_sizes[] = {STEP_B, STEP_N}, judge_sizes[] = {JUDGE_B, JUDGE_N};
static const int32_t fill_sizes[] = {BATCH, FILL_T}, generate_sizes[] = {BATCH, GENERATE_T, GENERATE_N};
static const mdl_entry entries[N_ENTRIES] = {
    {"predict", 0, 1, 1, 1, batch_only, xy, y_out, "fake.mdl:1"},
    {"step", 1, 1, 2, 2, batch_only, xy, step_out, "fake.mdl:2"},
    {"evaluate", 0, 1, 2, 3, batch_only, xy, evaluate_out, "fake.mdl:3"},
    {"learn", 1, 2, 1, 1, learn_sizes, learn_in, step_out, "fake.mdl:4"},
    {"judge", 0, 2, 1, 1, judge_sizes, judge_in, step_out, "fake.mdl:5"},
    {"prefill", 0, 2, 1, 1, fill_sizes, fill_in, logits_out, "fake.mdl:6"},
    {"decode", 0, 1, 1, 1, batch_only, decode_in, logits_out, "fake.mdl:7"},
    {"generate", 0, 3, 2, 1, generate_sizes, generate_in, generate_out, "fake.mdl:8"},
    {"slow", 1, 1, 2, 1, batch_only, xy, step_out, "fake.mdl:9"},
    {"broken", 0, 0, 1, 1, NULL, scalar_in, scalar_out, "fake.mdl:10"},
    {"texts", 0, 2, 3, 1, judge_sizes, texts_in, texts_out, "fake.mdl:11"},
};

static int failed(mdl_session *s, int code, const char *message) {
    snprintf(s->message, sizeof s->message, "%s", message);
    return code;
}

/* ---- the entries
 * ---------------------------------------------------------------------------------------------------------------- */

static float predict(const mdl_session *s, const float *x) {
    return x[0] * s->w[0] + x[1] * s->w[1] + x[2] * s->w[2] + s->b;
}

static void linear_step(mdl_session *s, int64_t batch, const float *x, const float *y, float *loss, float *worst) {
    float gradient[4] = {0}, sum = 0, most = 0;
    for (int64_t i = 0; i < batch; i++) {
        float error = predict(s, x + 3 * i) - y[i];
        for (int k = 0; k < 3; k++) gradient[k] += error * x[3 * i + k];
        gradient[3] += error;
        sum += error * error;
        most = fmaxf(most, fabsf(error));
    }
    for (int k = 0; k < 3; k++) s->w[k] -= 0.1f * gradient[k] / (float)batch;
    s->b -= 0.1f * gradient[3] / (float)batch;
    *loss = sum / (float)batch;
    if (worst) *worst = most;
}

static int token_check(mdl_session *s, int32_t token) {
    return token >= 0 && token < 256 ? MDL_OK : failed(s, MDL_RANGE, "ids: a token is not in 0..255");
}

/* Mean of -log p(next | token) with one added to every count; counts afterwards where learning. */
static int pairs_loss(mdl_session *s, int64_t b, int64_t n, const int32_t *ids, int learn, float *loss) {
    double sum = 0;
    for (int64_t i = 0; i < b * n; i++)
        if (token_check(s, ids[i])) return MDL_RANGE;
    for (int64_t i = 0; i < b; i++) {
        for (int64_t k = 0; k + 1 < n; k++) {
            const float *row = s->pairs[ids[i * n + k]];
            double total = 256;
            for (int j = 0; j < 256; j++) total += row[j];
            sum -= log((row[ids[i * n + k + 1]] + 1) / total);
        }
    }
    for (int64_t i = 0; learn && i < b; i++)
        for (int64_t k = 0; k + 1 < n; k++) s->pairs[ids[i * n + k]][ids[i * n + k + 1]] += 1;
    *loss = (float)(sum / (double)(b * (n - 1)));
    return MDL_OK;
}

static void logits_fill(const mdl_session *s, int64_t batch, float *logits) {
    for (int64_t i = 0; i < batch; i++)
        for (int j = 0; j < 256; j++) logits[256 * i + j] = 8 * logf(1 + s->pairs[s->last][j]);
}

static int32_t likeliest(const mdl_session *s, int32_t token) {
    int32_t best = 0;
    for (int32_t j = 0; j < 256; j++)
        if (s->pairs[token][j] > s->pairs[token][best]) best = j;
    return best;
}

static int call(mdl_session *s, int32_t entry, const int64_t *z, const mdl_tensor *in, mdl_tensor *out) {
    const float *x = in[0].data;
    const int32_t *ids = in[0].data;
    float *first = out[0].data;
    switch (entry) {
    case PREDICT:
        for (int64_t i = 0; i < z[0]; i++) first[i] = predict(s, x + 3 * i);
        return MDL_OK;
    case SLOW: {
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
        linear_step(s, z[0], x, in[1].data, first, NULL);
        return MDL_OK;
    }
    case STEP: linear_step(s, z[0], x, in[1].data, first, out[1].data); return MDL_OK;
    case EVALUATE: {
        const float *y = in[1].data;
        float sum = 0;
        for (int64_t i = 0; i < z[0]; i++) {
            float error = predict(s, x + 3 * i) - y[i];
            ((float *)out[2].data)[i] = error;
            sum += error * error;
        }
        s->seen += (int32_t)z[0];
        first[0] = sum / (float)z[0];
        *(int32_t *)out[1].data = s->seen;
        return MDL_OK;
    }
    case LEARN: return pairs_loss(s, z[0], z[1], ids, 1, first);
    case JUDGE: return pairs_loss(s, z[0], z[1], ids, 0, first);
    case PREFILL:
        for (int64_t i = 0; i < z[0] * z[1]; i++)
            if (token_check(s, ids[i])) return MDL_RANGE;
        s->position = (int32_t)z[1];
        s->last = ids[z[1] - 1];
        logits_fill(s, z[0], first);
        return MDL_OK;
    case DECODE:
        if (s->position >= CONTEXT) return failed(s, MDL_ASSERT, "decode: the context is full");
        if (token_check(s, ids[0])) return MDL_RANGE;
        s->position++;
        s->last = ids[0];
        logits_fill(s, z[0], first);
        return MDL_OK;
    case GENERATE:
        for (int64_t i = 0; i < z[0]; i++) {
            int32_t token = ids[(i + 1) * z[1] - 1];
            if (token_check(s, token)) return MDL_RANGE;
            for (int64_t k = 0; k < z[2]; k++) ((int32_t *)out[0].data)[i * z[2] + k] = token = likeliest(s, token);
        }
        return MDL_OK;
    case TEXTS:
        for (int64_t i = 0; i < z[0]; i++) {
            float *sums = first + 3 * i;
            sums[0] = sums[2] = 0;
            sums[1] = (float)((const int32_t *)in[1].data)[i];
            for (int64_t k = 0; k < z[1]; k++) {
                sums[0] += (float)ids[i * z[1] + k];
                sums[2] += ((const float *)in[2].data)[i * z[1] + k];
            }
        }
        return MDL_OK;
    default:
        if (s->log) s->log(s->log_context, 1, "broken: about to fail");
        return failed(s, MDL_ASSERT, "broken: x is never good enough");
    }
}

/* ---- session
 * -------------------------------------------------------------------------------------------------------------------- */

static int session_open(mdl_session **s, const mdl_options *o) {
    extern const mdl_model *mdl_model_v1(void);
    if (o->seed == 999) {
        snprintf(open_message, sizeof open_message, "cannot open: seed 999 is refused");
        return MDL_ARGUMENT;
    }
    *s = calloc(1, sizeof **s);
    if (!*s) return MDL_MEMORY;
    (*s)->model = mdl_model_v1();
    (*s)->w[0] = (float)(o->seed % 100);
    (*s)->log = o->log;
    (*s)->log_context = o->log_context;
    return MDL_OK;
}

static void session_close(mdl_session *s) {
    free(s);
}

static int shape(const mdl_value *v, const int64_t *z, int64_t *dims) {
    if (v != &generate_out[0]) return MDL_ARGUMENT; /* the others have plain dims */
    dims[0] = z[0];
    dims[1] = z[2];
    return MDL_OK;
}

static int64_t bytes(int32_t entry, const int64_t *z) {
    (void)entry;
    (void)z;
    return (int64_t)sizeof(mdl_session);
}

static int reset(mdl_session *s) {
    s->seen = s->position = 0;
    return MDL_OK;
}

static int seed(mdl_session *s, uint64_t v) {
    (void)s;
    (void)v;
    return MDL_OK;
}

static const char *message(const mdl_session *s) {
    return s ? s->message : open_message;
}

static int note(mdl_session *s, const char *key, const char *value, char *out, size_t out_size) {
    for (int i = 0; i < NOTES; i++) {
        if (value && (!s->keys[i][0] || !strcmp(s->keys[i], key))) {
            snprintf(s->keys[i], sizeof s->keys[i], "%s", key);
            snprintf(s->notes[i], sizeof s->notes[i], "%s", value);
            return MDL_OK;
        }
        if (!value && !strcmp(s->keys[i], key)) {
            snprintf(out, out_size, "%s", s->notes[i]);
            return MDL_OK;
        }
    }
    return failed(s, MDL_ARGUMENT, "no such note");
}

/* Where a parameter lies in the session, and its bytes. */
static void *place(mdl_session *s, const char *path, size_t *n) {
    *n = !strcmp(path, "net.w") ? sizeof s->w : !strcmp(path, "net.b") ? sizeof s->b : sizeof s->pairs;
    return !strcmp(path, "net.w") ? s->w : !strcmp(path, "net.b") ? &s->b : !strcmp(path, "pairs") ? (void *)s->pairs : NULL;
}

static int get(mdl_session *s, const char *path, mdl_tensor *t) {
    size_t n;
    void *at = place(s, path, &n);
    if (!at) return failed(s, MDL_ARGUMENT, "no such parameter");
    if (t->data) memcpy(t->data, at, n);
    return MDL_OK;
}

static int set(mdl_session *s, const char *path, const mdl_tensor *t) {
    size_t n;
    void *at = place(s, path, &n);
    if (!at) return failed(s, MDL_ARGUMENT, "no such parameter");
    memcpy(at, t->data, n);
    return MDL_OK;
}

#define PAIRS_BYTES ((long long)sizeof(float) * 65536)

static int save(mdl_session *s, const char *path, int32_t optimizer) {
    char head[4096];
    int n = snprintf(head, sizeof head, "{\"__metadata__\":{");
    (void)optimizer;
    for (int i = 0, first = 1; i < NOTES; i++) {
        if (!s->keys[i][0]) continue;
        n += snprintf(head + n, sizeof head - (size_t)n, "%s\"%s\":\"%s\"", first ? "" : ",", s->keys[i], s->notes[i]);
        first = 0;
    }
    n += snprintf(head + n, sizeof head - (size_t)n,
                  "},\"net.w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                  "\"net.b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]},"
                  "\"pairs\":{\"dtype\":\"F32\",\"shape\":[256,256],\"data_offsets\":[16,%lld]}}",
                  16 + PAIRS_BYTES);
    uint64_t length = (uint64_t)n;
    FILE *f = fopen(path, "wb");
    if (!f) return failed(s, MDL_IO, "the checkpoint cannot be written");
    size_t done = fwrite(&length, 8, 1, f) + fwrite(head, (size_t)n, 1, f) + fwrite(s->w, sizeof s->w, 1, f) +
                  fwrite(&s->b, sizeof s->b, 1, f) + fwrite(s->pairs, sizeof s->pairs, 1, f);
    return fclose(f) || done != 5 ? failed(s, MDL_IO, "the checkpoint cannot be written") : MDL_OK;
}

/* Only what save writes: the fixture is no reader of foreign files. */
static int load(mdl_session *s, const char *path) {
    uint64_t length = 0;
    char head[4096] = "";
    FILE *f = fopen(path, "rb");
    if (!f) return failed(s, MDL_IO, "the checkpoint cannot be opened");
    size_t done = fread(&length, 8, 1, f);
    if (length < sizeof head) done += fread(head, length, 1, f);
    done += fread(s->w, sizeof s->w, 1, f) + fread(&s->b, sizeof s->b, 1, f) + fread(s->pairs, sizeof s->pairs, 1, f);
    fclose(f);
    if (done != 5) return failed(s, MDL_FORMAT, "this is no checkpoint");
    char key[32], value[64], *at = head + strlen("{\"__metadata__\":{");
    for (int used; sscanf(at, "\"%31[^\"]\":\"%63[^\"]\"%n", key, value, &used) == 2; at += used + (at[used] == ','))
        note(s, key, value, NULL, 0);
    return MDL_OK;
}

static const mdl_model model = {
    .abi = MDL_ABI,
    .size = sizeof(mdl_model),
    .name = "fake",
    .version = "1",
    .compiler = "by hand",
    .target = "x86-64",
    .n_entries = N_ENTRIES,
    .n_values = 4,
    .n_sizes = 8,
    .entries = entries,
    .values = values,
    .sizes = sizes,
    .run = "{\"each\": \"step\", \"test\": \"evaluate\", \"data\": \"x=x.npy y=y.npy\", \"test_data\": \"x=x.npy y=y.npy\", "
           "\"batch\": 4, \"epochs\": 2, \"seed\": 3}",
    .open = session_open,
    .close = session_close,
    .call = call,
    .shape = shape,
    .bytes = bytes,
    .load = load,
    .save = save,
    .get = get,
    .set = set,
    .reset = reset,
    .seed = seed,
    .error = message,
    .note = note};

const mdl_model *mdl_model_v1(void);
const mdl_model *mdl_model_v1(void) {
    return &model;
}
