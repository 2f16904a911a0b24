/* A blocked product with bias on all targets: static sizes with rests of every kind, then run-time sizes, each against the
 * interpreter bit for bit (v2 has no fma: within rounding) and against a plain loop; the result does not depend on how
 * p0..p1 is split. */
#include "tests/tile/jit.h"

static const char TEXT[] = "kernel gemm<M, K, N = 70, MR = 8, NV = 3, VL = 16, KU = 2>(x: f32[M, K], w: f32[(N + VL - 1) / VL "
                           "* VL * K] const, b: f32[N], y: f32[M, N] out) {\n"
                           "  parallel j in 0..N by W = NV * VL rest { parallel i in 0..M by R = MR rest {\n"
                           "    const NW = (W + VL - 1) / VL\n"
                           "    reg acc: f32xVL[R, NW]\n"
                           "    unroll v in 0..NW { let c = b[j + VL*v : VL < N]  unroll r in 0..R { acc[r, v] = c } }\n"
                           "    for k in 0..K by U = KU rest { unroll u in 0..U {\n"
                           "      reg bk: f32xVL[NW]\n"
                           "      unroll v in 0..NW { bk[v] = w[j*K + (k + u)*NW*VL + VL*v : VL] }\n"
                           "      unroll r in 0..R { let a = splat(x[i + r, k + u], VL)  unroll v in 0..NW { acc[r, v] = "
                           "fma(a, bk[v], acc[r, v]) } }\n"
                           "    } }\n"
                           "    unroll r in 0..R { unroll v in 0..NW { y[i + r, j + VL*v : VL < N] = acc[r, v] } }\n"
                           "  } }\n"
                           "}\n";

static uint64_t state = 1;

static void one(const TileTarget *t, int64_t M, int64_t K, int64_t N, bool run_time, bool optimize) {
    int64_t VL = t->lanes, NV = t->registers == 32 ? 3 : 2, MR = t->registers == 32 ? 8 : 4, W = NV * VL;
    TileBind binds[6] = {{"N", N}, {"VL", VL}, {"NV", NV}, {"MR", MR}, {"M", M}, {"K", K}};
    Jit j = jit_kernel(TEXT, "gemm", binds, run_time ? 4 : 6, t, optimize);
    int64_t padded = (N + VL - 1) / VL * VL, sizes[2] = {M, K};
    float *x = malloc(sizeof *x * (size_t)(M * K)), *w = calloc((size_t)(padded * K), sizeof *w),
          *b = malloc(sizeof *b * (size_t)N);
    float *full = malloc(sizeof *full * (size_t)(K * N));
    float *y = malloc(sizeof *y * (size_t)(M * N)), *y2 = malloc(sizeof *y2 * (size_t)(M * N)),
          *y3 = malloc(sizeof *y3 * (size_t)(M * N));
    for (int64_t i = 0; i < M * K; i++) x[i] = (float)random_between(&state, -1, 1);
    for (int64_t i = 0; i < N; i++) b[i] = (float)random_between(&state, -1, 1);
    for (int64_t i = 0; i < K * N; i++) full[i] = (float)random_between(&state, -1, 1);
    for (int64_t p = 0; p < N; p += W) { /* panels */
        int64_t width = N - p < W ? (N - p + VL - 1) / VL * VL : W;
        for (int64_t k = 0; k < K; k++)
            for (int64_t c = 0; c < width && p + c < N; c++) w[p * K + k * width + c] = full[k * N + p + c];
    }
    void *args[4] = {x, w, b, y}, *args2[4] = {x, w, b, y2}, *args3[4] = {x, w, b, y3};
    int64_t count = j.count(sizes);
    if (count != tile_count(j.k, sizes)) die("count", "code and tile_count differ");
    j.run(args, sizes, j.scratch, 0, count);
    memset(y2, 0xff, sizeof *y2 * (size_t)(M * N));
    for (int64_t p = 0; p < count;) { /* another split, from the end */
        int64_t step = 1 + (int64_t)(next_random(&state) % 3), end = p + step < count ? p + step : count;
        j.run(args2, sizes, j.scratch, p, end);
        p = end;
    }
    if (memcmp(y, y2, sizeof *y * (size_t)(M * N)) != 0) die("gemm", "the split changes the result");
    const char *error;
    if (!tile_interp(j.k, args3, sizes, 0, -1, &error)) die("interpreter", error);
    for (int64_t i = 0; i < M * N; i++) {
        double sum = b[i % N], size = fabs(b[i % N]);
        for (int64_t k = 0; k < K; k++) {
            sum += (double)x[i / N * K + k] * full[k * N + i % N];
            size += fabs((double)x[i / N * K + k] * full[k * N + i % N]);
        }
        bool equal = memcmp(&y[i], &y3[i], 4) == 0 || !t->fma;
        if (!equal || !(fabs(y[i] - sum) <= 2e-7 * (double)(K + 1) * size)) {
            printf("%s M %d K %d N %d%s: y[%d] is %.9g, interpreter %.9g, exact %.9g\n", t->name, (int)M, (int)K, (int)N,
                   run_time ? " run time" : "", (int)i, y[i], y3[i], sum);
            exit(1);
        }
    }
    free(x);
    free(w);
    free(b);
    free(full);
    free(y);
    free(y2);
    free(y3);
    jit_free(&j);
}

int main(void) {
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (!host_runs(t)) continue;
        one(t, 8, 4, t->lanes * 2, false, true);
        one(t, 13, 7, 70, false, true);
        one(t, 1, 1, 1, false, true);
        one(t, 23, 9, 100, true, true);
        one(t, 5, 3, 7, true, false);
        one(t, 1, 5, 130, true, true);
        for (int i = 0; i < 3; i++)
            one(t, 1 + (int64_t)(next_random(&state) % 40), 1 + (int64_t)(next_random(&state) % 30),
                1 + (int64_t)(next_random(&state) % 150), i & 1, true);
    }
    return 0;
}
