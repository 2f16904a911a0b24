/* routines.c -- what generated code calls instead of computing it itself: order statistics, draws, running sums row by row, and checks. */
#include "runtime/internal.h"
#include "runtime/philox.h"

/* Does place a of x come before place b? NaN counts as largest, equals stay in order of index. */
typedef bool Before(const void *x, int32_t a, int32_t b);

static bool above_float(double p, double q, bool first) {
    if (p != p || q != q) return q == q || (p != p && first);
    return p > q || (p == q && first);
}
static bool below_float(double p, double q, bool first) {
    if (p != p || q != q) return p == p || (q != q && first);
    return p < q || (p == q && first);
}
static bool above_whole(int64_t p, int64_t q, bool first) {
    return p > q || (p == q && first);
}
static bool below_whole(int64_t p, int64_t q, bool first) {
    return p < q || (p == q && first);
}

/* Keeps the k first in a heap whose root is the last of them, then empties it from the back: n log k. */
static void heap_down(const void *x, int32_t *heap, int64_t n, int64_t i, Before *before) {
    for (int64_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && before(x, heap[c], heap[c + 1])) c++;
        if (before(x, heap[c], heap[i])) return;
        int32_t t = heap[i];
        heap[i] = heap[c];
        heap[c] = t;
    }
}

static void first_of_row(const void *x, int64_t n, int64_t k, Before *before, int32_t *out) {
    for (int64_t i = 0; i < k; i++) out[i] = (int32_t)i;
    for (int64_t i = k / 2; i-- > 0;) heap_down(x, out, k, i, before);
    for (int64_t i = k; i < n; i++) {
        if (!before(x, (int32_t)i, out[0])) continue;
        out[0] = (int32_t)i;
        heap_down(x, out, k, 0, before);
    }
    for (int64_t m = k; m-- > 1;) {
        int32_t worst = out[0];
        out[0] = out[m];
        out[m] = worst;
        heap_down(x, out, m, 0, before);
    }
}

/* rt_topk_ and rt_sort_ for a type: x[rows, n]; k of each row, or all. */
#define ORDERS(name, T, kind)                                                                                         \
    static bool above_##name(const void *x, int32_t a, int32_t b) {                                                   \
        return above_##kind(((const T *)x)[a], ((const T *)x)[b], a < b);                                             \
    }                                                                                                                 \
    static bool below_##name(const void *x, int32_t a, int32_t b) {                                                   \
        return below_##kind(((const T *)x)[a], ((const T *)x)[b], a < b);                                             \
    }                                                                                                                 \
    void rt_topk_##name(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {             \
        int64_t n = sizes[1], k = sizes[2];                                                                           \
        (void)scratch;                                                                                                \
        for (int64_t r = p0; r < p1; r++)                                                                             \
            first_of_row((const T *)args[0] + r * n, n, k, above_##name, (int32_t *)args[1] + r * k);                 \
    }                                                                                                                 \
    void rt_sort_##name(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {             \
        int64_t n = sizes[1];                                                                                         \
        (void)scratch;                                                                                                \
        for (int64_t r = p0; r < p1; r++)                                                                             \
            first_of_row((const T *)args[0] + r * n, n, n, sizes[3] ? above_##name : below_##name,                    \
                         (int32_t *)args[1] + r * n);                                                                 \
    }
ORDERS(f32, float, float)
ORDERS(f64, double, float)
ORDERS(i64, int64_t, whole)
#undef ORDERS

/* The first place whose running sum (f32) exceeds u times the row's sum; a place with weight 0 is never drawn. */
void rt_categorical_f32(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {
    (void)scratch;
    const float *x = args[0];
    const uint32_t *rng = args[1], *site = args[2];
    const int32_t *t = args[3];
    int32_t *out = args[4];
    int64_t rows = sizes[0], n = sizes[1];
    uint64_t seed = rng[0] | (uint64_t)rng[1] << 32, step = rng[2] | (uint64_t)rng[3] << 32;
    for (int64_t r = p0; r < p1; r++) {
        const float *row = x + r * n;
        float sum = 0;
        for (int64_t i = 0; i < n; i++) sum += row[i];
        float u = random_u01(philox_word(seed, *site, step, (uint64_t)(t ? (int64_t)*t * rows + r : r))), limit = u * sum, c = 0;
        int64_t at = -1, last = 0;
        for (int64_t i = 0; i < n && at < 0; i++) {
            c += row[i];
            if (row[i] > 0) last = i;
            if (c > limit && row[i] > 0) at = i;
        }
        out[r] = (int32_t)(at < 0 ? last : at);
    }
}

void rt_cumsum_f32(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1) {
    (void)scratch;
    const float *x = args[0];
    float *y = args[1];
    int64_t n = sizes[1], inner = sizes[2];
    for (int64_t o = p0; o < p1; o++) {
        for (int64_t k = 0; k < inner; k++) {
            float sum = 0;
            for (int64_t i = 0; i < n; i++) {
                int64_t at = (o * n + (sizes[3] ? n - 1 - i : i)) * inner + k;
                sum += x[at];
                y[at] = sum;
            }
        }
    }
}

void rt_copy(void *to, const void *from, int64_t bytes) {
    if (bytes > 0 && to != from) memmove(to, from, (size_t)bytes);
}

void rt_clear(void *to, int64_t bytes) {
    if (bytes > 0) memset(to, 0, (size_t)bytes);
}

static int64_t element(const void *p, int32_t code, int32_t bits, int64_t i) {
    switch (bits) {
    case 64: return ((const int64_t *)p)[i];
    case 32: return code == 1 ? (int64_t)((const uint32_t *)p)[i] : ((const int32_t *)p)[i];
    case 16: return ((const int16_t *)p)[i];
    default: return code == 0 ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
    }
}

int rt_check_range(RtFrame *f, const char *entry, const char *name, const void *ids, int32_t code, int32_t bits, int32_t rank, const int64_t *dims,
                   int64_t low, int64_t high) {
    int64_t n = rt_count(dims, rank);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = element(ids, code, bits, i);
        if (v >= low && v < high) continue;
        char place[200] = "";
        size_t at = 0;
        int64_t rest = i, inner = n;
        for (int k = 0; k < rank && at < sizeof place - 24; k++) {
            inner /= dims[k];
            at += rt_text(place + at, sizeof place - at, "%s%lld", k ? ", " : "[", (long long)(rest / inner));
            rest %= inner;
        }
        if (rank) rt_text(place + at, sizeof place - at, "]");
        return rt_fail(f->session, MDL_RANGE, "%s: %s%s = %lld is not in %lld to %lld", entry, name, place, (long long)v, (long long)low,
                       (long long)(high - 1));
    }
    return MDL_OK;
}

static double number_at(const void *data, int32_t code, int32_t bits, int64_t i) {
    if (code != 2) return (double)element(data, code, bits, i);
    return bits == 64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* One line to the session's log: the text, then a scalar with 9 digits, or type, smallest, mean, largest and the first 8 elements. */
void rt_print(RtFrame *f, const char *text, const void *data, int32_t code, int32_t bits, int64_t count) {
    mdl_session *s = f->session;
    if (!s->log) return;
    char line[512], number[3][24];
    size_t n = rt_text(line, sizeof line, "%s", text ? text : "");
    double low = 0, high = 0, sum = 0;
    mdl_dtype t = {(uint8_t)code, (uint8_t)bits, 1};
    for (int64_t i = 0; data && i < count; i++) {
        double v = number_at(data, code, bits, i);
        low = i == 0 || v < low ? v : low;
        high = i == 0 || v > high ? v : high;
        sum += v;
    }
    if (data && count != 1 && n < sizeof line) {
        rt_text_double(number[0], sizeof number[0], low, 9);
        rt_text_double(number[1], sizeof number[1], count ? sum / (double)count : 0, 9);
        rt_text_double(number[2], sizeof number[2], high, 9);
        n += rt_text(line + n, sizeof line - n, " %s min %s mean %s max %s:", rt_dtype_name(t), number[0], number[1], number[2]);
    }
    for (int64_t i = 0; data && i < count && i < 8 && n < sizeof line; i++) {
        rt_text_double(*number, sizeof *number, number_at(data, code, bits, i), 9);
        n += rt_text(line + n, sizeof line - n, " %s", *number);
    }
    s->log(s->log_context, 0, line);
}
