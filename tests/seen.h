/* seen.h -- the tests that run operations say which, for the table in tests/README.md (tests/ops.sh): with SEEN=FILE in the
 * environment they append a line "meaning exp" for each operation that they have seen. */
#ifndef TESTS_SEEN_H
#define TESTS_SEEN_H
#include "ir/op.h"

#include <stdio.h>
#include <stdlib.h>

static inline void seen_graph(bool *seen, const Graph *g) {
    for (int k = 0; k < g->nodes.n; k++) {
        seen[g->nodes.at[k]->op] = true;
        if (g->nodes.at[k]->attrs.body) seen_graph(seen, g->nodes.at[k]->attrs.body);
    }
}

static inline void seen_write(const char *how, const bool *seen) {
    const char *path = getenv("SEEN");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f) return;
    for (int op = 0; op < OP_COUNT; op++)
        if (seen[op]) fprintf(f, "%s %s\n", how, op_row((Op)op)->name);
    fclose(f);
}
#endif
