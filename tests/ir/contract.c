/* contract.c -- products of random labels and sizes, small ones by loops and large ones by BLAS, against the definition: a sum
 * over all values of all letters. */
#include "tests/ir/kit.h"

#include <math.h>
#include <string.h>

static int64_t offset_of(const char *labels, const Tensor *t, const int64_t *at) {
    int64_t offset = 0;
    for (int k = 0; labels[k]; k++) offset = offset * t->dim[k] + at[labels[k] - 'a'];
    return offset;
}

static void one(uint64_t *random, bool big) {
    Arena *arena = arena_new();
    Program *p = kit_program(arena, "program p\nentry f() -> ()\n");
    Graph *g = kit_entry(p, "f")->graph;
    char labels[3][MAX_RANK + 1] = {""};
    int64_t dim[8], product = 1;
    int letters = 1 + (int)kit_uniform(random, 0, 5);
    for (int k = 0; k < letters; k++) { /* in a and b; a and result; b and result; all */
        dim[k] = big ? 1 + (int64_t)kit_uniform(random, 0, 40) : (int64_t)kit_uniform(random, 0, 4);
        if (product * dim[k] > 400000) dim[k] = 1;
        product *= dim[k] ? dim[k] : 1;
        int role = (int)kit_uniform(random, 0, 4);
        for (int t = 0; t < 3; t++) {
            bool has = t == 0 ? role != 2 : t == 1 ? role != 1 : role != 0;
            if (!has) continue;
            size_t n = strlen(labels[t]), at = (size_t)kit_uniform(random, 0, (double)n + 1); /* anywhere */
            memmove(labels[t] + at + 1, labels[t] + at, n - at + 1);
            labels[t][at] = (char)('a' + k);
        }
    }
    Tensor *in[2], *out;
    Node *node[2];
    for (int t = 0; t < 2; t++) {
        Size size[MAX_RANK];
        int64_t d[MAX_RANK];
        for (int k = 0; labels[t][k]; k++) size[k] = size_const(p->sizes, d[k] = dim[labels[t][k] - 'a']);
        Type type = type_of(DT_F64, (int)strlen(labels[t]), size);
        node[t] = node_const(g, type, 0);
        in[t] = tensor_new(arena, DT_F64, type.rank, d);
        for (int64_t k = 0; k < in[t]->count; k++) in[t]->f[k] = kit_uniform(random, -1, 1);
    }
    Node *y = node_contract(g, node[0], node[1], labels[0], labels[1], labels[2]);
    Eval e = {.arena = arena, .program = p};
    kit_check(eval_node(&e, y, in, &out), "%s %s -> %s: %s", labels[0], labels[1], labels[2], e.error ? e.error : "");
    double *want = NEW_ARRAY(arena, double, out->count);
    int64_t at[8] = {0}, total = 1;
    for (int k = 0; k < letters; k++) total *= dim[k];
    for (int64_t n = 0; n < total; n++, index_next(letters, dim, at))
        want[offset_of(labels[2], out, at)] +=
            in[0]->f[offset_of(labels[0], in[0], at)] * in[1]->f[offset_of(labels[1], in[1], at)];
    for (int64_t k = 0; k < out->count; k++) {
        if (!kit_check(fabs(out->f[k] - want[k]) <= 1e-11, "%s %s -> %s: [%lld] is %g, not %g", labels[0], labels[1], labels[2],
                       (long long)k, out->f[k], want[k]))
            break;
    }
    arena_free(arena);
}

int main(void) {
    uint64_t random = 11;
    for (int k = 0; k < 300; k++) one(&random, false);
    for (int k = 0; k < 60; k++) one(&random, true);
    return kit_end();
}
