/* The cost model on kernels that can be counted by hand; the interpreter refuses what leaves a buffer or a contract. */
#include "tests/tile/jit.h"

static void equal(const char *what, double got, double wanted) {
    if (got == wanted) return;
    printf("%s: %.17g, not %.17g\n", what, got, wanted);
    exit(1);
}

int main(void) {
    const TileTarget *t = tile_target("x86-64-v4");
    Arena *a = arena_new();
    const char *error;
    TileKernel *k = parse_or_die(a,
                                 "kernel k<n, N = 32>(x: f32[n, N], w: f32[100, N], y: f32[n, N] out) {\n"
                                 "  parallel i in 0..n { for j in 0..N by 16 {\n"
                                 "    let z = w[0, j : 16] * exp(x[i, j : 16])   y[i, j : 16] = fma(z, z, z) } } }",
                                 NULL, NULL, 0);
    if (!tile_verify(k, t, NULL, &error)) die("verify", error);
    int64_t sizes[1] = {10};
    TileCost c = tile_cost(k, t, sizes);
    equal("flops", c.flops, 320 * (1 + 14 + 2));
    equal("special", c.special, 320);
    equal("loads", c.load_bytes, 320 * 8);
    equal("stores", c.store_bytes, 320 * 4);
    equal("bytes in", c.in_bytes, 320 * 4 + 32 * 4);
    equal("bytes out", c.out_bytes, 320 * 4);
    equal("count", (double)tile_count(k, sizes), 10);

    k = parse_or_die(a,
                     "kernel k(ids: i32[2], x: f32[4], y: f32[2] out) {\n  parallel i in 0..2 {\n    index e = ids[i] in "
                     "0..4\n    y[i] = x[e]\n  } }",
                     NULL, NULL, 0);
    if (!tile_verify(k, t, NULL, &error)) die("verify", error);
    int32_t ids[2] = {3, 4};
    float x[4] = {0, 1, 2, 3}, y[2] = {-1, -1};
    void *args[3] = {ids, x, y};
    if (tile_interp(k, args, NULL, 0, -1, &error)) die("interpreter", "accepted an index outside its contract");
    if (strcmp(error, "kernel k, line 3: the index e is 4, not in 0..4") != 0) die("interpreter", error);
    equal("first", y[0], 3);
    equal("second", y[1], -1);
    arena_free(a);
    return 0;
}
