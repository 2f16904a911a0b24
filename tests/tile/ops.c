/* Every operation that is not an approximated function: code against the interpreter, bit for bit, on random data with NaN,
 * infinities, zeros of both signs and the ends of the integer ranges, for all element types, on all targets, as vectors and
 * as scalars. */
#include "tests/tile/jit.h"

enum { N = 512 };

static const DType ALL[] = {DT_F64, DT_F32, DT_F16, DT_BF16, DT_F8E4M3, DT_F8E5M2, DT_I64, DT_I32, DT_I16, DT_I8, DT_U32, DT_U8, DT_BOOL};
enum { TYPES = sizeof ALL / sizeof ALL[0] };

static uint64_t state = 7;

static void fill(DType d, char *p, int n) {
    int bytes = dtype_bytes(d);
    for (int i = 0; i < n; i++) {
        uint64_t bits = next_random(&state) ^ next_random(&state) << 40;
        int pick = (int)(next_random(&state) % 8);
        double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1.0, -2.5, 0.5};
        if (d == DT_BOOL) bits &= 1;
        else if (dtype_is_int(d) && pick == 0) bits = (uint64_t)1 << (bytes * 8 - 1);
        else if (dtype_is_int(d) && pick == 1) bits = ((uint64_t)1 << (bytes * 8 - 1)) - 1;
        else if (dtype_is_int(d) && pick < 5) bits = (uint64_t)((int64_t)(bits % 9) - 4);
        else if (d == DT_F32) {
            float f = pick < 2 ? (float)special[bits % 8] : (float)random_between(&state, -20, 20);
            if (pick > 2) memcpy(&bits, &f, 4);
            else if ((uint32_t)bits << 1 > 0xff000000u) bits = 0x7fc00000; /* one NaN: payloads are not promised */
        } else if (d == DT_F64) {
            double f = pick < 2 ? special[bits % 8] : random_between(&state, -20, 20);
            memcpy(&bits, &f, 8);
        } else if (d == DT_F16 && (bits & 0x7fff) > 0x7c00) bits = 0x7e00;
        else if (d == DT_BF16 && (bits & 0x7fff) > 0x7f80) bits = 0x7fc0;
        else if (d == DT_F8E5M2 && (bits & 0x7f) > 0x7c) bits = 0x7e;
        memcpy(p + (size_t)i * (size_t)bytes, &bits, (size_t)bytes);
    }
}

static bool is_nan(DType d, const char *p) {
    uint64_t bits = 0;
    memcpy(&bits, p, (size_t)dtype_bytes(d));
    switch (d) {
    case DT_F64: return bits << 1 > 0xffe0000000000000u;
    case DT_F32: return (uint32_t)bits << 1 > 0xff000000u;
    case DT_F16: return (bits & 0x7fff) > 0x7c00;
    case DT_BF16: return (bits & 0x7fff) > 0x7f80;
    case DT_F8E4M3: return (bits & 0x7f) == 0x7f;
    case DT_F8E5M2: return (bits & 0x7f) > 0x7c;
    default: return false;
    }
}

static void check(const char *text, const TileTarget *t, DType from, DType to, const char *what, bool optimize) {
    static char a[N * 8], b[N * 8], c[N * 8], y[N * 8], z[N * 8];
    const char *error;
    Jit j = jit_kernel(text, NULL, NULL, 0, t, optimize);
    fill(from, a, N);
    fill(from, b, N);
    fill(from, c, N);
    void *args[4] = {a, b, c, y}, *args2[4] = {a, b, c, z};
    memset(y, 0x55, sizeof y);
    memset(z, 0x55, sizeof z);
    j.run(args, NULL, j.scratch, 0, j.count(NULL));
    if (!tile_interp(j.k, args2, NULL, 0, -1, &error)) die(what, error);
    int bytes = dtype_bytes(to);
    for (int i = 0; i < N; i++) {
        const char *p = y + i * bytes, *q = z + i * bytes;
        if (memcmp(p, q, (size_t)bytes) == 0 || (is_nan(to, p) && is_nan(to, q))) continue;
        uint64_t got = 0, wanted = 0, x0 = 0, x1 = 0;
        memcpy(&got, p, (size_t)bytes);
        memcpy(&wanted, q, (size_t)bytes);
        memcpy(&x0, a + i * dtype_bytes(from), (size_t)dtype_bytes(from));
        memcpy(&x1, b + i * dtype_bytes(from), (size_t)dtype_bytes(from));
        printf("%s, %s: lane %d of %llx, %llx gives %llx, not %llx\n", t->name, what, i, (long long)x0, (long long)x1,
               (long long)got, (long long)wanted);
        exit(1);
    }
    jit_free(&j);
}

/* Many expressions in one kernel compile faster, but a failure should name one operation: one kernel each. */
static void expression(const TileTarget *t, const char *expr, DType from, DType to, int lanes) {
    char text[600], what[200];
    if (lanes > 1)
        snprintf(text, sizeof text,
                 "kernel k(a: %s[512], b: %s[512], c: %s[512], o: %s[512] out) { parallel i in 0..512 by %d {\n"
                 "let x = a[i : %d] let y = b[i : %d] let z = c[i : %d] o[i : %d] = %s } }",
                 dtype_name(from), dtype_name(from), dtype_name(from), dtype_name(to), lanes, lanes, lanes, lanes, lanes, expr);
    else
        snprintf(text, sizeof text,
                 "kernel k(a: %s[512], b: %s[512], c: %s[512], o: %s[512] out) { parallel i in 0..512 {\n"
                 "let x = a[i] let y = b[i] let z = c[i] o[i] = %s } }",
                 dtype_name(from), dtype_name(from), dtype_name(from), dtype_name(to), expr);
    snprintf(what, sizeof what, "%s of %s x %d", expr, dtype_name(from), lanes);
    check(text, t, from, to, what, lanes != 4);
}

static void both(const TileTarget *t, const char *expr, DType from, DType to) {
    expression(t, expr, from, to, t->lanes);
    expression(t, expr, from, to, 1);
}

static bool arithmetic(DType d) {
    return !dtype_is_narrow(d) && d != DT_BOOL;
}

int main(void) {
    static const char *const on_numbers[] = {"x + y",
                                             "x - y",
                                             "x * y",
                                             "x % y",
                                             "min(x, y)",
                                             "max(x, y)",
                                             "min(x, 1)",
                                             "max(0, x)",
                                             "max(x, 0)",
                                             "min_fast(x, 2)",
                                             "max_fast(2, x)",
                                             "-x",
                                             "abs(x)",
                                             "sign(x)",
                                             "relu(x)",
                                             "select(x < y, x, z)",
                                             "select(x != y, 3, z)"};
    static const char *const on_floats[] = {"x / y", "floor(x)", "ceil(x)", "round(x)", "sqrt(x)", "rsqrt(x)"};
    static const char *const on_ints[] = {"x / y",     "x / 3",  "x % 5",     "and(x, y)", "or(x, y)",
                                          "xor(x, y)", "not(x)", "shl(x, y)", "shr(x, y)", "fma(x, y, z)"};
    static const char *const to_bool[] = {"x < y", "x <= y", "x > y", "x >= y", "x == y", "x != y"};
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (!host_runs(t)) continue;
        char text[100];
        for (int i = 0; i < TYPES; i++) {
            DType d = ALL[i];
            for (int j = 0; j < TYPES; j++) {
                snprintf(text, sizeof text, "%s(x)", dtype_name(ALL[j]));
                both(t, text, d, ALL[j]);
            }
            if (!arithmetic(d)) {
                both(t, "select(bool(x), y, z)", d, d);
                continue;
            }
            for (size_t k = 0; k < sizeof on_numbers / sizeof *on_numbers; k++) both(t, on_numbers[k], d, d);
            for (size_t k = 0; k < sizeof to_bool / sizeof *to_bool; k++) both(t, to_bool[k], d, DT_BOOL);
            for (size_t k = 0; dtype_is_float(d) && k < sizeof on_floats / sizeof *on_floats; k++) both(t, on_floats[k], d, d);
            for (size_t k = 0; !dtype_is_float(d) && k < sizeof on_ints / sizeof *on_ints; k++) both(t, on_ints[k], d, d);
            if (t->fma && dtype_is_float(d)) both(t, "fma(x, y, z)", d, d);
            for (int j = 0; dtype_is_float(d) && j < TYPES; j++) { /* the conversion rounds; the second: ties, and what goes beyond i8 */
                if (!dtype_is_int(ALL[j])) continue;
                snprintf(text, sizeof text, "%s(round(x))", dtype_name(ALL[j]));
                both(t, text, d, ALL[j]);
                snprintf(text, sizeof text, "%s(round(%s(i32(x)) * 7.5))", dtype_name(ALL[j]), dtype_name(d));
                both(t, text, d, ALL[j]);
            }
        }
        both(t, "fma_exact(x, y, z)", DT_F32, DT_F32);
        both(t, "mulhi(x, y)", DT_U32, DT_U32);
        both(t, "lift(x)", DT_I8, DT_U8);
        both(t, "rescale(i32(x), y)", DT_F32, DT_I32);
        both(t, "rescale(x, f32(y) * 0.000001)", DT_I32, DT_I32);
        both(t, "and(x, not(or(y, xor(x, z))))", DT_BOOL, DT_BOOL);
        both(t, "x == y", DT_BOOL, DT_BOOL);
        both(t, "uniform01(x)", DT_U32, DT_F32);
        both(t, "normal(x)", DT_U32, DT_F32);
    }
    TileTarget plain = *tile_target("x86-64-v2"); /* as on a machine that has no instructions to round */
    plain.round = false;
    static const char *const rounds[] = {"floor(x)", "ceil(x)", "round(x)", "x % y"};
    for (int i = 0; i < 4; i++) {
        both(&plain, rounds[i], DT_F32, DT_F32);
        both(&plain, rounds[i], DT_F64, DT_F64);
    }
    return 0;
}
