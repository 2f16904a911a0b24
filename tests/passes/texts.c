/* texts.c -- graphs before and after one pass, plans as text: every file tests/passes/NAME.graph.
 *
 *   line 1    `pass NAME`: that pass alone runs; `plan LEVEL`: all passes of that level, then the plans are printed; `device LEVEL`: plans
 *             for a device;
 *             `fail NAME`: passes up to NAME end in errors, which are printed
 *   then      a program, in the text of --emit=graph
 *   ----
 *   then      what must come out; BLESS=1 in the environment rewrites it */
#include "passes/pass.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    long size = ftell(f);
    char *text = calloc(1, (size_t)size + 1);
    rewind(f);
    if (!text || fread(text, 1, (size_t)size, f) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(f);
    return text;
}

static PassFunction *const FUNCTION[] = {
#define PASS(function, name, level, help) pass_##function,
#include "passes/passes.def"
#undef PASS
};

static void run_pass(Program *p, const char *name, Diag *d, FILE *out) {
    Pass pass;
    const char *message;
    if (!pass_parse(name, &pass)) {
        fprintf(out, "no pass `%s`\n", name);
        return;
    }
    PassContext c = {.scratch = arena_new(), .diag = d, .function = FUNCTION[pass]};
    for (int i = 0; i < p->entries.n; i++) p->entries.at[i]->graph = FUNCTION[pass](&c, p->entries.at[i]->graph);
    if (!program_verify(p, c.scratch, &message)) fprintf(out, "verifier: %s\n", message);
    program_print(out, p);
    arena_free(c.scratch);
}

static void run_plan(Program *p, int level, bool device, Arena *a, Diag *d, FILE *out) {
    if (!passes_run(p, &(PassOptions){.level = level}, d)) return;
    for (int i = 0; i < p->entries.n; i++) {
        Plan *plan = plan_entry(a, p->entries.at[i]->graph, &(PlanOptions){.level = level, .device = device}, d);
        fprintf(out, "plan of %s\n", p->entries.at[i]->name);
        plan_print(out, plan);
    }
}

/* What comes out of the program under the heading. */
static char *output_of(const char *path, const char *heading, const char *text) {
    char *result = NULL, word[32] = "", name[32] = "";
    size_t n = 0;
    FILE *out = open_memstream(&result, &n);
    Arena *a = arena_new();
    Diag *d = diag_new();
    Source source = {
        .path = path, .name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, .text = text, .length = strlen(text)};
    Program *p = program_parse(a, &source, d);
    sscanf(heading, "%31s %31s", word, name);
    if (p && strcmp(word, "pass") == 0) run_pass(p, name, d, out);
    else if (p && strcmp(word, "plan") == 0) run_plan(p, atoi(name), false, a, d, out);
    else if (p && strcmp(word, "device") == 0) run_plan(p, atoi(name), true, a, d, out);
    else if (p && strcmp(word, "fail") == 0)
        fprintf(out, "%s\n", passes_run(p, &(PassOptions){.level = 2, .after = name}, d) ? "no error" : "refused");
    diag_print(d, out, false);
    diag_free(d);
    arena_free(a);
    fclose(out);
    return result;
}

static int check_file(const char *path) {
    char *file = read_file(path), *line = strchr(file, '\n'), *rule = strstr(file, "\n----\n");
    if (!line) {
        printf("%s: no heading\n", path);
        free(file);
        return 1;
    }
    size_t input = (rule ? (size_t)(rule - line) : strlen(line + 1));
    char *text = strndup(line + 1, input), *heading = strndup(file, (size_t)(line - file));
    char *got = output_of(path, heading, text);
    const char *want = rule ? rule + 6 : "";
    int bad = strcmp(got, want) != 0 || !rule;
    const char *bless = getenv("BLESS"); /* run.sh exports it empty */
    if (bad && bless && *bless) {
        FILE *f = fopen(path, "wb");
        if (f) {
            fprintf(f, "%s\n%s----\n%s", heading, text, got);
            fclose(f);
        }
        bad = f == NULL;
    } else if (bad) {
        printf("%s: expected\n%s\ngot\n%s\n", path, want, got);
    }
    free(got);
    free(heading);
    free(text);
    free(file);
    return bad;
}

static int is_graph(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 6 && strcmp(e->d_name + n - 6, ".graph") == 0;
}

int main(void) {
    const char *root = getenv("ROOT") ? getenv("ROOT") : ".";
    char folder[4096], path[8192];
    snprintf(folder, sizeof folder, "%s/tests/passes", root);
    struct dirent **list;
    int n = scandir(folder, &list, is_graph, alphasort), failures = 0;
    if (n < 10) {
        printf("only %d files in %s\n", n, folder);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        failures += check_file(path);
        free(list[i]);
    }
    free(list);
    return failures != 0;
}
