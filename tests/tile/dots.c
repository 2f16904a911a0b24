/* dots.c -- sums of products of small integers, by the interpreter and by the code of every machine, against plain C: all of a type's
 * values, the extremes often, sums that wrap. The same of bf16, in the order that tile.h says. */
#include "tests/tile/jit.h"

enum { N = 64, MOST = 4 * 16 * N };

static uint64_t seed = 7;
static int random_below(int n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((seed >> 33) % (uint64_t)n);
}

static int random_of(DType d) {
    int low = d == DT_U8 ? 0 : d == DT_I8 ? -128 : -32768, high = d == DT_U8 ? 255 : d == DT_I8 ? 127 : 32767;
    int pick = random_below(4);
    return pick == 0 ? low : pick == 1 ? high : low + random_below(high - low + 1);
}

static int value_at(DType d, const void *p, int i) {
    return d == DT_U8 ? ((const uint8_t *)p)[i] : d == DT_I8 ? ((const int8_t *)p)[i] : ((const int16_t *)p)[i];
}

static void *random_values(DType d, int n) {
    char *p = malloc((size_t)MOST * 2);
    for (int i = 0; i < n; i++) {
        int16_t x = (int16_t)random_of(d);
        memcpy(p + i * dtype_bytes(d), &x, (size_t)dtype_bytes(d)); /* little endian */
    }
    return p;
}

static void check(const TileTarget *t, DType a, DType b, int group, int lanes) {
    char text[400];
    snprintf(text, sizeof text,
             "kernel k<L = 16, G = 4>(s: i32[64*L], a: %s[64*L*G], b: %s[64*L*G], y: i32[64*L] out) { parallel i in 0..64 {\n"
             "y[L*i : L] = dots(s[L*i : L], a[L*G*i : L*G], b[L*G*i : L*G]) } }",
             dtype_name(a), dtype_name(b));
    TileBind binds[2] = {{"L", lanes}, {"G", group}};
    Jit j = jit_kernel(text, NULL, binds, 2, t, true);
    const char *error;
    int n = lanes * N;
    int32_t *s = malloc((size_t)n * 4), *y = malloc((size_t)n * 4), *z = malloc((size_t)n * 4);
    void *x = random_values(a, group * n), *w = random_values(b, group * n);
    for (int i = 0; i < n; i++) s[i] = random_below(2) ? INT32_MAX - random_below(100) : random_below(1000) - 500;
    j.run((void *[]){s, x, w, y}, NULL, j.scratch, 0, N);
    if (!tile_interp(j.k, (void *[]){s, x, w, z}, NULL, 0, -1, &error)) die(text, error);
    for (int i = 0; i < n; i++) {
        int64_t sum = s[i];
        for (int g = 0; g < group; g++) sum += (int64_t)value_at(a, x, group * i + g) * value_at(b, w, group * i + g);
        int32_t wanted = (int32_t)(uint32_t)(uint64_t)sum;
        if (y[i] == wanted && z[i] == wanted) continue;
        printf("%s: %d %s by %s, %d lanes: place %d is %d, by the interpreter %d, not %d\n", t->name, group, dtype_name(a), dtype_name(b),
               lanes, i, y[i], z[i], wanted);
        exit(1);
    }
    free(s), free(y), free(z), free(x), free(w);
    jit_free(&j);
}

/* Two rows by two columns, eight deep. */
static void check_blocks(const TileTarget *t) {
    static const char text[] = "kernel k(s: i32[256], a: i8[1024], b: i8[1024], y: i32[256] out) { parallel i in 0..64 {\n"
                               "y[4*i : 4] = blocks(s[4*i : 4], a[16*i : 16], b[16*i : 16]) } }";
    Jit j = jit_kernel(text, NULL, NULL, 0, t, true);
    const char *error;
    int32_t s[4 * N], y[4 * N], z[4 * N];
    int8_t *x = random_values(DT_I8, 16 * N), *w = random_values(DT_I8, 16 * N);
    for (int i = 0; i < 4 * N; i++) s[i] = random_below(2) ? INT32_MAX - random_below(100) : random_below(1000) - 500;
    j.run((void *[]){s, x, w, y}, NULL, j.scratch, 0, N);
    if (!tile_interp(j.k, (void *[]){s, x, w, z}, NULL, 0, -1, &error)) die(text, error);
    for (int i = 0; i < 4 * N; i++) {
        const int8_t *row = x + i / 4 * 16 + i / 2 % 2 * 8, *column = w + i / 4 * 16 + i % 2 * 8;
        int64_t sum = s[i];
        for (int k = 0; k < 8; k++) sum += row[k] * column[k];
        int32_t wanted = (int32_t)(uint32_t)(uint64_t)sum;
        if (y[i] == wanted && z[i] == wanted) continue;
        printf("%s: blocks: place %d is %d, by the interpreter %d, not %d\n", t->name, i, y[i], z[i], wanted);
        exit(1);
    }
    free(x), free(w);
    jit_free(&j);
}

/* bf16 of either sign from 2^-30 to 2^30, now and then 0, an infinity or a NaN. */
static uint16_t random_bfloat(void) {
    int pick = random_below(64), sign = random_below(2) << 15;
    if (pick < 3) return (uint16_t)(sign | (pick == 0 ? 0 : pick == 1 ? 0x7f80 : 0x7fc0));
    return (uint16_t)(sign | (97 + random_below(60)) << 7 | random_below(128));
}

static float bfloat_value(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, 4);
    return x;
}

static void check_pairs(const TileTarget *t, int lanes) {
    static const char text[] = "kernel k<L = 16>(s: f32[64*L], a: bf16[128*L], b: bf16[128*L], y: f32[64*L] out) { parallel i in 0..64 {\n"
                               "y[L*i : L] = dots(s[L*i : L], a[2*L*i : 2*L], b[2*L*i : 2*L]) } }";
    TileBind binds[1] = {{"L", lanes}};
    Jit j = jit_kernel(text, NULL, binds, 1, t, true);
    const char *error;
    int n = lanes * N;
    float *s = malloc((size_t)n * 4), *y = malloc((size_t)n * 4), *z = malloc((size_t)n * 4);
    uint16_t *x = malloc((size_t)n * 4), *w = malloc((size_t)n * 4);
    for (int i = 0; i < 2 * n; i++) x[i] = random_bfloat(), w[i] = random_bfloat();
    for (int i = 0; i < n; i++) s[i] = bfloat_value(random_bfloat());
    j.run((void *[]){s, x, w, y}, NULL, j.scratch, 0, N);
    if (!tile_interp(j.k, (void *[]){s, x, w, z}, NULL, 0, -1, &error)) die(text, error);
    for (int i = 0; i < n; i++) {
        float x0 = bfloat_value(x[2 * i]), x1 = bfloat_value(x[2 * i + 1]), w0 = bfloat_value(w[2 * i]), w1 = bfloat_value(w[2 * i + 1]);
        float wanted = fmaf(x0, w0, fmaf(x1, w1, s[i])), slack = t->fma ? 0 : 0x1p-22f * (fabsf(x0 * w0) + fabsf(x1 * w1) + fabsf(s[i]));
        bool same = isnan(wanted) ? isnan(z[i]) && isnan(y[i]) : z[i] == wanted && (y[i] == wanted || fabsf(y[i] - wanted) <= slack);
        if (same) continue;
        printf("%s: pairs of bf16, %d lanes: place %d is %.9g, by the interpreter %.9g, not %.9g\n", t->name, lanes, i, (double)y[i],
               (double)z[i], (double)wanted);
        exit(1);
    }
    free(s), free(y), free(z), free(x), free(w);
    jit_free(&j);
}

int main(void) {
    static const DType pairs[][2] = {{DT_U8, DT_I8}, {DT_I8, DT_U8}, {DT_I8, DT_I8}, {DT_I16, DT_I16}, {DT_U8, DT_I16}};
    for (const TileTarget *t = tile_targets; t->name; t++)
        for (int i = 0; host_has(t) && i < 5; i++)
            for (int group = 2; group <= 4; group += 2)
                for (int lanes = 1; lanes <= t->lanes; lanes *= 4) {
                    check(t, pairs[i][0], pairs[i][1], group, lanes);
                    if (lanes == 4 && t->lanes == 8) check(t, pairs[i][0], pairs[i][1], group, 8);
                }
    for (const TileTarget *t = tile_targets; t->name; t++)
        if (host_has(t)) check_blocks(t);
    for (const TileTarget *t = tile_targets; t->name; t++)
        for (int lanes = 1; host_has(t) && lanes <= t->lanes; lanes *= 2) check_pairs(t, lanes);
    return 0;
}
