/* mdlrun_budget.c -- gates: `bench --budget` and `eval --budget`, "NAME<=NUMBER" or "NAME<=NUMBER*FILE.json", >= likewise, commas between.
 * FILE.json is what --json printed before: the number is then a factor of what stands there under NAME. Times differ from machine to
 * machine and from minute to minute; `relative`, a call's time over that of a plain product measured in the same run, much less. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the plain product --------------------------------------------------------------------------------------------------- */

enum { SIDE = 192 };

/* c += a b, row by row: three loops and nothing clever. [SIDE, SIDE] each. */
static void product(const float *a, const float *b, float *c) {
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < SIDE; k++)
            for (int j = 0; j < SIDE; j++) c[i * SIDE + j] += a[i * SIDE + k] * b[k * SIDE + j];
}

double product_seconds(Tool *t, int rounds) {
    enum { COUNT = SIDE * SIDE };
    float *a = tool_alloc(t, 3 * COUNT * sizeof *a), *b = a + COUNT, *c = b + COUNT;
    for (int i = 0; i < COUNT; i++) {
        a[i] = (float)(i % 7) - 3;
        b[i] = (float)(i % 5) - 2;
    }
    double least = INFINITY;
    for (int r = 0; r < rounds; r++) {
        double start = tool_now();
        product(a, b, c);
        double seconds = tool_now() - start;
        if (seconds < least) least = seconds;
    }
    volatile float used = c[COUNT - 1];
    (void)used;
    tool_release(t, a);
    return least;
}

/* ---- gates --------------------------------------------------------------------------------------------------------------- */

typedef struct Gate {
    const char *text, *name, *file; /* file NULL: the number is the limit itself */
    bool most;                      /* <=, else >= */
    double number;
} Gate;

static const char *names_text(Tool *t, const Figure *figures, int n) {
    const char *text = "";
    for (int i = 0; i < n; i++) text = tool_printf(t, "%s%s%s", text, i ? ", " : "", figures[i].name);
    return text;
}

static const Figure *figure_find(const Figure *figures, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(figures[i].name, name)) return &figures[i];
    return NULL;
}

static Gate gate_parse(Tool *t, const char *text) {
    const char *sign = strpbrk(text, "<>");
    Gate g = {.text = text};
    if (!sign || sign == text || sign[1] != '=')
        tool_fail(t, EXIT_USAGE, "--budget %s: not NAME<=NUMBER, NAME>=NUMBER or NAME<=NUMBER*FILE.json", text);
    g.name = tool_copy(t, text, (size_t)(sign - text));
    g.most = *sign == '<';
    char *end;
    g.number = strtod(sign + 2, &end);
    if (end == sign + 2 || !isfinite(g.number)) tool_fail(t, EXIT_USAGE, "--budget %s: \"%s\" is no number", text, sign + 2);
    if (*end == '*' && end[1]) g.file = end + 1;
    else if (*end) tool_fail(t, EXIT_USAGE, "--budget %s: \"%s\" stands behind the number", text, end);
    return g;
}

/* The number that a result stored before has under the name. */
static double stored(Tool *t, const Gate *g) {
    json_error_t error;
    json_t *o = json_load_file(g->file, 0, &error);
    if (!o && error.line < 0) tool_fail(t, EXIT_INPUT, "--budget %s: %s", g->text, error.text);
    if (!o) tool_fail(t, EXIT_INPUT, "--budget %s: %s is no JSON: line %d: %s", g->text, g->file, error.line, error.text);
    json_t *value = json_object_get(o, g->name);
    bool found = json_is_number(value);
    double number = json_number_value(value);
    json_decref(o);
    if (!found) tool_fail(t, EXIT_INPUT, "--budget %s: %s has no number \"%s\"", g->text, g->file, g->name);
    return number;
}

void budget_names_check(Tool *t, const char *const *names, int n) {
    Figure *figures = tool_alloc(t, sizeof *figures * (size_t)(n + 1));
    for (int i = 0; i < n; i++) figures[i] = (Figure){names[i], 0};
    const char *rest = t->o.budget;
    while (rest && *rest) {
        size_t length = strcspn(rest, ",");
        Gate g = gate_parse(t, tool_copy(t, rest, length));
        if (!figure_find(figures, n, g.name))
            tool_fail(t, EXIT_USAGE, "--budget %s: nothing is called %s; there are %s", g.text, g.name, names_text(t, figures, n));
        if (g.file) stored(t, &g);
        rest += length + (rest[length] == ',');
    }
}

int budget_status(Tool *t, const Figure *figures, int n) {
    int status = EXIT_DONE;
    const char *rest = t->o.budget;
    while (rest && *rest) {
        size_t length = strcspn(rest, ",");
        Gate g = gate_parse(t, tool_copy(t, rest, length));
        rest += length + (rest[length] == ',');
        const Figure *f = figure_find(figures, n, g.name);
        if (!f) continue; /* budget_names_check has ended the command */
        double base = g.file ? stored(t, &g) : 1, limit = g.number * base;
        if (g.most ? f->value <= limit : f->value >= limit) continue; /* NaN is neither */
        status = EXIT_INPUT;
        fflush(stdout);
        fprintf(stderr, "%s: over the budget %s: %s is %.6g, the limit %.6g", t->program, g.text, g.name, f->value, limit);
        if (g.file) fprintf(stderr, " (%.3g times the %.6g of %s)", f->value / base, base, g.file);
        fputc('\n', stderr);
    }
    return status;
}
