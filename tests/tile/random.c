/* Philox and normal numbers: the known answers of INTRINSICS.md, section 9, from the code of every target and from the
 * interpreter. */
#include "tests/tile/jit.h"

static const char TEXT[] = "kernel k(key: u32[4], w: u32[4] out, u: f32[4] out, z: f32[4] out) {\n"
                           "  let r = philox(key[0], key[1], key[2], key[3], 0, 4)\n"
                           "  w[0 : 4] = r   u[0 : 4] = uniform01(r)   z[0 : 4] = normal(r) }\n";

static void expect(const char *who, const uint32_t words[4], const uint32_t w[4]) {
    for (int i = 0; i < 4; i++)
        if (w[i] != words[i]) {
            printf("%s: word %d is %08x, not %08x\n", who, i, w[i], words[i]);
            exit(1);
        }
}

static void expect_floats(const char *who, const float *got, const double *wanted) {
    for (int i = 0; i < 4; i++) {
        char a[40], b[40];
        snprintf(a, sizeof a, "%.9g", got[i]);
        snprintf(b, sizeof b, "%.9g", wanted[i]);
        if (strcmp(a, b) != 0) {
            printf("%s: %s, not %s\n", who, a, b);
            exit(1);
        }
    }
}

int main(void) {
    static const uint32_t key0[4] = {0, 0, 0, 0}, key1[4] = {1, 0, 0, 0};
    static const uint32_t words0[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                          words1[4] = {0xe3e80670, 0xe50a0ebc, 0x95f222c0, 0xb615aa27};
    static const double u1[4] = {0.890259147, 0.894684672, 0.585725904, 0.711268067},
                        z1[4] = {1.22790778, 1.25183356, 0.216564089, 0.557093263};
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (!host_runs(t)) continue;
        Jit j = jit_kernel(TEXT, NULL, NULL, 0, t, true);
        for (int way = 0; way < 2; way++) {
            const char *who = way ? "interpreter" : t->name, *error;
            for (int seed = 0; seed < 2; seed++) {
                uint32_t key[4], w[4];
                float u[4], z[4];
                void *args[4] = {key, w, u, z};
                memcpy(key, seed ? key1 : key0, sizeof key);
                if (way && !tile_interp(j.k, args, NULL, 0, -1, &error)) die(who, error);
                if (!way) j.run(args, NULL, j.scratch, 0, 1);
                expect(who, seed ? words1 : words0, w);
                if (seed) expect_floats(who, u, u1);
                if (seed) expect_floats(who, z, z1);
            }
        }
        jit_free(&j);
    }
    return 0;
}
