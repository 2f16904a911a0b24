/* The approximated functions on all targets, as vectors and as scalars, against the C library in higher precision: the
 * accuracies of INTRINSICS.md, section 1, "Rounding", and the exact values at the ends. */
#include "tests/tile/jit.h"

enum { N = 1 << 14 };

static uint64_t state = 11;
static bool failed;

static long double sigmoid_of(long double x) {
    return 1 / (1 + expl(-x));
}
static long double gelu_of(long double x) {
    return 0.5L * x * (1 + erfl(x * 0.70710678118654752440L));
}

typedef struct Row {
    const char *name;
    long double (*exact)(long double);
    double low, high; /* where it is tested; beyond: only the ends */
    double ulps;      /* 0: absolute instead */
    double absolute32;
} Row;

static const Row ROWS[] = {
    {"exp", expl, -110, 95, 4, 0},       {"expm1", expm1l, -30, 95, 4, 0},  {"log", logl, 0, 1e30, 4, 0},
    {"log1p", log1pl, -1, 1e30, 4, 0},   {"tanh", tanhl, -15, 15, 4, 0},    {"sigmoid", sigmoid_of, -110, 40, 4, 0},
    {"erf", erfl, -6, 6, 0, 1e-6},       {"sin", sinl, -1e5, 1e5, 0, 1e-6}, {"cos", cosl, -1e5, 1e5, 0, 1e-6},
    {"gelu", gelu_of, -10, 10, 0, 5e-6},
};

/* Even spread, spread by exponent near 0 (or -1, 1 for the logarithms), and random bits of the range. */
static double sample(const Row *r, int i) {
    double u = random_between(&state, 0, 1), magnitude = exp2(-40 * random_between(&state, 0, 1));
    double sign = next_random(&state) & 1 ? 1 : -1;
    switch (i % 4) {
    case 0: return r->low + (r->high - r->low) * u;
    case 1: return r->low < 0 && r->low > -2 ? r->low + magnitude : r->low < 0 ? sign * magnitude * 4 : magnitude * r->high;
    case 2: return r->low == 0 ? 1 + sign * magnitude * 0.5 : sign * magnitude * (r->low == -1 ? 0.9 : 20);
    default: return r->low >= -1 ? u * 10 + (r->low == 0 ? 1e-30 : -0.5) : (u - 0.5) * 8;
    }
}

static double ulp32(double x) {
    int e;
    frexp(x, &e);
    return ldexp(1, (e < -125 ? -125 : e) - 24);
}

static double ulp64(double x) {
    int e;
    frexp(x, &e);
    return ldexp(1, (e < -1021 ? -1021 : e) - 53);
}

static void report(const char *target, const char *what, double x, double got, double wanted, double error) {
    printf("%s %s(%.17g) = %.17g, exact %.17g, error %.3g\n", target, what, x, got, wanted, error);
    failed = true;
}

static void accuracy(const TileTarget *t, const Row *r, DType d, int lanes) {
    static double x64[N], y64[N];
    static float x32[N], y32[N];
    char text[300], what[60];
    bool wide = d == DT_F64;
    double worst = 0, worst_x = 0, worst_got = 0;
    snprintf(what, sizeof what, "%s %s x %d", dtype_name(d), r->name, lanes);
    snprintf(text, sizeof text,
             "kernel k(x: %s[%d], y: %s[%d] out) { parallel i in 0..%d by %d { y[i : %d] = %s(x[i : %d]) } }", dtype_name(d), N,
             dtype_name(d), N, N, lanes, lanes, r->name, lanes);
    Jit j = jit_kernel(text, NULL, NULL, 0, t, true);
    for (int i = 0; i < N; i++) {
        x64[i] = sample(r, i);
        x32[i] = (float)x64[i];
    }
    void *args[2] = {wide ? (void *)x64 : (void *)x32, wide ? (void *)y64 : (void *)y32};
    j.run(args, NULL, j.scratch, 0, j.count(NULL));
    for (int i = 0; i < N; i++) {
        double x = wide ? x64[i] : x32[i], got = wide ? y64[i] : y32[i];
        long double exact = r->exact(x);
        double rounded = wide ? (double)exact : (double)(float)exact, error;
        bool tiny = fabsl(exact) < (wide ? 0x1p-1022L : 0x1p-126L); /* 0 may stand for it */
        if (r->exact == expl && !wide && got > 0 && got < 0x1.ffffp-127) report(t->name, "exp takes long:", x, got, 0, 0); /* it must be 0 */
        if (got == rounded || (tiny && fabs(got) <= (wide ? 0x1p-1022 : 0x1p-126)) || (isnan(got) && isnan(rounded))) continue;
        if (wide && r->exact == gelu_of) error = (double)fabsl(got - exact) / 1e-15; /* 1 + erf cancels, as in the formula */
        else if (r->ulps > 0 || wide) error = (double)fabsl((got - exact) / (wide ? ulp64(rounded) : ulp32(rounded)));
        else error = (double)fabsl(got - exact);
        if (!(error <= worst)) {
            worst = error;
            worst_x = x;
            worst_got = got;
        }
    }
    double allowed = r->ulps > 0 || wide ? 4 : r->absolute32;
    if (getenv("TILE_WORST")) printf("%s %-20s worst %.3g at %.9g\n", t->name, what, worst, worst_x);
    if (!(worst <= allowed)) report(t->name, what, worst_x, worst_got, (double)r->exact(worst_x), worst);
    jit_free(&j);
}

typedef struct Edge {
    const char *name;
    double x, y;
} Edge;

static const Edge EDGES[] = {
    {"exp", -INFINITY, 0},
    {"exp", INFINITY, INFINITY},
    {"exp", 1e30, INFINITY},
    {"exp", -1e30, 0},
    {"exp", 0, 1},
    {"exp", NAN, NAN},
    {"expm1", -INFINITY, -1},
    {"expm1", INFINITY, INFINITY},
    {"expm1", 0, 0},
    {"expm1", NAN, NAN},
    {"expm1", 1e-30, 1e-30},
    {"log", 0, -INFINITY},
    {"log", -0.0, -INFINITY},
    {"log", -1, NAN},
    {"log", INFINITY, INFINITY},
    {"log", 1, 0},
    {"log", NAN, NAN},
    {"log", -INFINITY, NAN},
    {"log1p", -1, -INFINITY},
    {"log1p", -2, NAN},
    {"log1p", 0, 0},
    {"log1p", 1e-30, 1e-30},
    {"log1p", INFINITY, INFINITY},
    {"log1p", NAN, NAN},
    {"tanh", INFINITY, 1},
    {"tanh", -INFINITY, -1},
    {"tanh", NAN, NAN},
    {"tanh", 0, 0},
    {"tanh", 1e-30, 1e-30},
    {"sigmoid", INFINITY, 1},
    {"sigmoid", -INFINITY, 0},
    {"sigmoid", 0, 0.5},
    {"sigmoid", NAN, NAN},
    {"sin", INFINITY, NAN},
    {"sin", 0, 0},
    {"cos", -INFINITY, NAN},
    {"cos", 0, 1},
    {"sin", NAN, NAN},
    {"erf", NAN, NAN},
    {"erf", 0, 0},
    {"rsqrt", 0, INFINITY},
    {"rsqrt", INFINITY, 0},
    {"rsqrt", -1, NAN},
    {"sqrt", -1, NAN},
};

static void edges(const TileTarget *t, DType d) {
    int n = (int)(sizeof EDGES / sizeof *EDGES);
    for (int i = 0; i < n; i++) {
        const Edge *e = &EDGES[i];
        char text[300];
        double x64 = e->x, y64 = 0;
        float x32 = (float)e->x, y32 = 0;
        snprintf(text, sizeof text, "kernel k(x: %s[1], y: %s[1] out) { y[0] = hmax(%s(splat(x[0], 8))) }", dtype_name(d),
                 dtype_name(d), e->name);
        Jit j = jit_kernel(text, NULL, NULL, 0, t, false);
        void *args[2] = {d == DT_F64 ? (void *)&x64 : (void *)&x32, d == DT_F64 ? (void *)&y64 : (void *)&y32};
        j.run(args, NULL, j.scratch, 0, 1);
        double got = d == DT_F64 ? y64 : y32, wanted = d == DT_F64 ? e->y : (float)e->y;
        if (got != wanted && !(isnan(got) && isnan(wanted))) report(t->name, e->name, e->x, got, wanted, 0);
        jit_free(&j);
    }
}

/* pow: relative 2^-21 * max(1, |b log a|); atan2: 1e-6 absolute; both as C at the ends. */
static void two_arguments(const TileTarget *t, bool is_pow) {
    static float a[N], b[N], y[N];
    static const float special[] = {0, -0.0f, 1, -1, INFINITY, -INFINITY, NAN, 2, -2, 3, -3, 0.5f, -0.5f, 1e30f};
    int specials = (int)(sizeof special / sizeof *special);
    char text[300];
    snprintf(text, sizeof text,
             "kernel k(a: f32[%d], b: f32[%d], y: f32[%d] out) { parallel i in 0..%d by 16 { y[i : 16] = %s(a[i : 16], b[i : "
             "16]) } }",
             N, N, N, N, is_pow ? "pow" : "atan2");
    Jit j = jit_kernel(text, NULL, NULL, 0, t, true);
    for (int i = 0; i < N; i++) {
        a[i] = i < specials * specials ? special[i / specials] : (float)random_between(&state, is_pow && i % 4 ? 0 : -20, 20);
        b[i] = i < specials * specials ? special[i % specials] : (float)random_between(&state, -20, 20);
        if (is_pow && i >= specials * specials && i % 4 == 0) b[i] = rintf(b[i]);
    }
    void *args[3] = {a, b, y};
    j.run(args, NULL, j.scratch, 0, j.count(NULL));
    for (int i = 0; i < N; i++) {
        double exact = is_pow ? pow(a[i], b[i]) : atan2(a[i], b[i]), allowed = 1e-6;
        if (is_pow) allowed = fabs(exact) * 0x1p-21 * fmax(1, fabs(b[i] * log(fabs((double)a[i]))));
        if ((double)y[i] == exact || (float)exact == y[i] || (isnan(exact) && isnan(y[i])) || fabs(y[i] - exact) <= allowed)
            continue;
        if (fabs(exact) < 0x1p-126 && fabs(y[i]) <= 0x1p-126) continue;
        printf("%s %s(%.9g, %.9g) = %.9g, exact %.9g\n", t->name, is_pow ? "pow" : "atan2", a[i], b[i], y[i], exact);
        failed = true;
        break;
    }
    jit_free(&j);
}

int main(void) {
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (!host_runs(t)) continue;
        for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
            accuracy(t, &ROWS[i], DT_F32, t->lanes);
            accuracy(t, &ROWS[i], DT_F32, 1);
            accuracy(t, &ROWS[i], DT_F64, t->lanes / 2);
        }
        edges(t, DT_F32);
        edges(t, DT_F64);
        two_arguments(t, true);
        two_arguments(t, false);
    }
    return failed;
}
