/* fuzz.c -- random programs, planned at both levels: every kernel's code agrees with the interpreter.
 *
 *     fuzz [FROM [TO [MODE]]]     MODE: tile or code, default both; SHOW=1 prints what fails */
#include "tests/passes/graphs.h"
#include "tests/schedule/harness.h"

#include <stdlib.h>
#include <string.h>

static bool agrees(Harness *h, uint64_t seed, int level) {
    Arena *a = arena_new();
    Diag *d = diag_new();
    Program *p = random_program_with(a, seed, WITH_GRAD | WITH_INDEX | WITH_STATE);
    Entry *e = p->entries.at[0];
    Eval values = random_eval(a, p, e, seed);
    bool ok = passes_run(p, &(PassOptions){.level = level}, d);
    if (ok)
        ok = harness_run(h, p, e, &values, level,
                         arena_printf(a, "seed %llu level %d, x86-64-v%d, %s", (unsigned long long)seed, level, h->target.level,
                                      h->mode == BY_TILE ? "tile" : "code"));
    else diag_print(d, stdout, false);
    diag_free(d);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv) {
    const Seeds seeds = seeds_of(argc, argv, 20);
    bool tile = argc < 4 || strcmp(argv[3], "tile") == 0, code = argc < 4 || strcmp(argv[3], "code") == 0;
    if (getenv("DEVICE")) tile = false, code = true; /* once is enough */
    int failures = 0;
    Harness h = {.tolerance = 2e-4, .show = getenv("SHOW") != NULL};
    for (uint64_t seed = seeds.from; seed < seeds.to && failures < 8; seed++) {
        int level = 2 + (int)(seed % 3), plan = seed % 2 ? 2 : 0;
        h.target = harness_target(level, plan);
        h.mode = BY_TILE;
        if (tile && !agrees(&h, seed, plan)) failures++;
        h.mode = BY_CODE;
        if (code && (getenv("DEVICE") || harness_can_run(level)) && !agrees(&h, seed, plan)) failures++;
    }
    if (getenv("SHOW"))
        printf("%d kernels: %d map, %d reduce, %d contract, %d scatter, %d update, %d routine\n", h.kernels, h.kinds[0],
               h.kinds[1], h.kinds[2], h.kinds[3], h.kinds[4], h.kinds[5]);
    if (!h.kernels) failures++, printf("nothing was run\n");
    if (!failures) harness_count(&h);
    return failures != 0;
}
