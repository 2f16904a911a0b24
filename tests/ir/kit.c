/* kit.c -- see kit.h. */
#include "tests/ir/kit.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int kit_failures;

bool kit_check(bool good, const char *format, ...) {
    if (good) return true;
    va_list ap;
    va_start(ap, format);
    fputs("failed: ", stdout);
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
    kit_failures++;
    return false;
}

int kit_end(void) {
    if (kit_failures) printf("%d failures\n", kit_failures);
    return kit_failures != 0;
}

static Source *source_of(Arena *a, const char *text) {
    Source *s = NEW(a, Source);
    *s = (Source){.path = "test.ir", .name = "test.ir", .text = text, .length = strlen(text)};
    return s;
}

Program *kit_program(Arena *a, const char *text) {
    Diag *d = diag_new();
    Program *p = program_parse(a, source_of(a, text), d);
    const char *message;
    if (!p) {
        diag_print(d, stdout, false);
        printf("in the text\n%s\n", text);
        exit(1);
    }
    diag_free(d);
    if (!program_verify(p, a, &message)) {
        printf("the verifier refuses: %s\nin the text\n%s\n", message, text);
        exit(1);
    }
    return p;
}

const char *kit_parse_error(Arena *a, const char *text) {
    Diag *d = diag_new();
    const char *error = NULL;
    if (!program_parse(a, source_of(a, text), d)) {
        char *out = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&out, &n);
        diag_print(d, f, false);
        fclose(f);
        error = arena_copy(a, out, strcspn(out, "\n"));
        free(out);
    }
    diag_free(d);
    return error;
}

Entry *kit_entry(const Program *p, const char *name) {
    for (int k = 0; k < p->entries.n; k++)
        if (strcmp(p->entries.at[k]->name, name) == 0) return p->entries.at[k];
    printf("no entry %s\n", name);
    exit(1);
}

double kit_uniform(uint64_t *state, double low, double high) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return low + (high - low) * (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

Tensor *kit_tensor(Arena *a, DType d, int rank, const int64_t *dim, const double *values) {
    Tensor *t = tensor_new(a, d, rank, dim);
    for (int64_t k = 0; k < t->count; k++) {
        if (t->f) t->f[k] = values[k];
        else t->i[k] = (int64_t)values[k];
    }
    return t;
}

double kit_at(const Tensor *t, int64_t k) { return t->f ? t->f[k] : (double)t->i[k]; }

KitRun kit_run(Arena *a, const Program *p, const Graph *g, Tensor **inputs, const int64_t *sizes, Tensor **slots, bool exact) {
    KitRun r = {.results = NEW_ARRAY(a, Tensor *, g->results.n), .slots = slots};
    Eval e = {.arena = a, .program = p, .sizes = sizes, .inputs = inputs, .slots = slots, .seed = 1, .exact = exact};
    r.good = eval_graph(&e, g, r.results);
    r.status = e.status;
    r.error = e.error;
    return r;
}

void kit_gradients(Graph *g, Node *y, int n, Node *const *xs, Node **dxs) {
    int last = y->id;
    Node **adjoint = NEW_ARRAY(g->arena, Node *, last + 1);
    adjoint[last] = node_like(g, y, 1);
    for (int k = last; k >= 0; k--) {
        Node *node = g->nodes.at[k];
        if (!adjoint[k] || !op_grad(node->op) || node->n_in == 0) continue;
        Node **dx = NEW_ARRAY(g->arena, Node *, node->n_in);
        bool *want = NEW_ARRAY(g->arena, bool, node->n_in);
        for (int i = 0; i < node->n_in; i++) want[i] = node->in[i]->type.rank >= 0 && dtype_is_float(node->in[i]->type.dtype);
        op_grad(node->op)(&(GradRule){.g = g, .y = node, .dy = adjoint[k], .dx = dx, .want = want});
        for (int i = 0; i < node->n_in; i++) {
            int to = node->in[i]->id;
            if (!want[i] || !dx[i]) continue;
            kit_check(type_equal(&dx[i]->type, &node->in[i]->type), "the gradient of operand %d of %s is %s", i,
                      op_row(node->op)->name, type_text(g->arena, &dx[i]->type));
            adjoint[to] = adjoint[to] ? node_map2(g, OP_ADD, adjoint[to], dx[i]) : dx[i];
        }
    }
    for (int k = 0; k < n; k++) dxs[k] = xs[k]->id <= last && adjoint[xs[k]->id] ? adjoint[xs[k]->id] : node_like(g, xs[k], 0);
}

char *kit_print(const Program *p) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    program_print(f, p);
    fclose(f);
    return text;
}
