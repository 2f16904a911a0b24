/* The kernels of classics.tile on every target, with two run-time sizes: code against the interpreter, within the rounding
 * of the math functions. */
#include "tests/tile/jit.h"

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) die(path, "cannot be read");
    char *text = calloc(1, 1 << 16);
    if (fread(text, 1, (1 << 16) - 1, f) == 0) die(path, "is empty");
    fclose(f);
    return text;
}

enum { ROOM = 40000 };
static uint64_t state = 5;

static void run_kernel(const char *text, const char *name, const TileTarget *t) {
    TileBind binds[1] = {{"VL", t->lanes}};
    Jit j = jit_kernel(text, name, binds, 1, t, true);
    int n = j.k->args.n;
    for (int64_t size = 1; size < 40; size += 12) {
        float *args[12], *args2[12];
        const char *error;
        int64_t sizes[2] = {size, size + 3};
        for (int i = 0; i < n; i++) {
            args[i] = malloc(ROOM * sizeof(float));
            args2[i] = malloc(ROOM * sizeof(float));
            for (int at = 0; at < ROOM; at++) args[i][at] = (float)random_between(&state, -1, 1);
            if (j.k->args.at[i]->k == TS_SCALAR) args[i][0] = fabsf(args[i][0]) / 2 + 0.1f;
            memcpy(args2[i], args[i], ROOM * sizeof(float));
        }
        j.run((void *const *)args, sizes, j.scratch, 0, j.count(sizes));
        if (!tile_interp(j.k, (void *const *)args2, sizes, 0, -1, &error)) die(name, error);
        for (int i = 0; i < n; i++) {
            for (int at = 0; at < ROOM; at++) {
                double got = args[i][at], wanted = args2[i][at];
                if (got == wanted || fabs(got - wanted) <= 3e-6 * (1 + fabs(wanted))) continue;
                printf("%s, %s, size %d: %s[%d] is %.9g, interpreter %.9g\n", name, t->name, (int)size, j.k->args.at[i]->name,
                       at, got, wanted);
                exit(1);
            }
            free(args[i]);
            free(args2[i]);
        }
    }
    jit_free(&j);
}

int main(void) {
    const char *root = getenv("ROOT");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/tile/classics.tile", root ? root : ".");
    char *text = read_file(path);
    for (const TileTarget *t = tile_targets; t->name; t++) {
        if (!host_runs(t)) continue;
        for (const char *p = strstr(text, "\nkernel "); p; p = strstr(p + 1, "\nkernel ")) {
            char name[40] = "";
            sscanf(p + 8, "%39[a-z0-9_]", name);
            run_kernel(text, name, t);
        }
    }
    free(text);
    return 0;
}
