/* passes.c -- runs the table of passes over a program. */
#include "passes/pass.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const PassRow ROW[PASS_COUNT] = {
#define PASS(function, name, level, help) {name, level, help},
#include "passes/passes.def"
#undef PASS
};
static PassFunction *const FUNCTION[PASS_COUNT] = {
#define PASS(function, name, level, help) pass_##function,
#include "passes/passes.def"
#undef PASS
};

const PassRow *pass_row(Pass p) {
    return &ROW[p];
}

bool pass_parse(const char *name, Pass *p) {
    for (int i = 0; i < PASS_COUNT; i++) {
        if (strcmp(ROW[i].name, name) != 0) continue;
        *p = (Pass)i;
        return true;
    }
    return false;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The text of a program, for "(unchanged)". */
static char *program_text(Arena *a, const Program *p) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return arena_copy(a, "", 0);
    program_print(f, p);
    fclose(f);
    char *copy = arena_copy(a, text, n);
    free(text);
    return copy;
}

static bool pass_run(Program *p, Pass pass, Diag *d) {
    PassContext c = {.scratch = arena_new(), .diag = d, .marks = pass <= PASS_grad, .function = FUNCTION[pass]};
    int errors = diag_errors(d);
    for (int i = 0; i < p->entries.n; i++) {
        c.recompute = p->entries.at[i]->recompute;
        if (c.recompute) c.bodies_from.n = c.bodies_to.n = 0; /* another entry may share a body, and mark nothing in it */
        p->entries.at[i]->graph = FUNCTION[pass](&c, p->entries.at[i]->graph);
    }
    c.recompute = NULL;
    if (p->init) p->init = FUNCTION[pass](&c, p->init);
    arena_free(c.scratch);
    return diag_errors(d) == errors;
}

bool passes_run(Program *p, const PassOptions *o, Diag *d) {
    Arena *texts = arena_new();
    const char *before = o->dump ? program_text(texts, p) : NULL;
    bool ok = true;
    for (int i = 0; i < PASS_COUNT && ok; i++) {
        if (o->level >= ROW[i].level) {
            bug_context("pass", ROW[i].name);
            double start = now();
            ok = pass_run(p, (Pass)i, d);
            if (o->seconds) o->seconds[i] += now() - start;
            const char *message;
            if (ok && !program_verify(p, texts, &message)) bug("after pass %s: %s", ROW[i].name, message);
            bug_context(NULL, NULL);
        }
        if (ok && o->dump) {
            const char *after = program_text(texts, p);
            fprintf(o->dump, "---- after %s%s\n", ROW[i].name, strcmp(before, after) == 0 ? " (unchanged)" : "");
            if (strcmp(before, after) != 0) fputs(after, o->dump);
            before = after;
        }
        if (o->after && strcmp(o->after, ROW[i].name) == 0) break;
    }
    arena_free(texts);
    return ok;
}
