/* roundtrip.c -- parse(print(x)) = x, and printing again changes nothing, for every .mdl file of the tests and of std/ that
 * parses. Files that must not parse are named here, so that none is left out by mistake. */
#include "frontend/fmt.h"
#include "frontend/parse.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static const char *const folders[] = {"frontend/std/*.mdl", "examples/*.mdl", "tests/frontend/corpus/*.mdl", "tests/frontend/fmt/*.mdl",
                                      "tests/errors/bad/*.mdl"};
static const char *const wrong[] = {"30_syntax.mdl", "35_pipe.mdl"};

static bool must_be_wrong(const char *path) {
    const char *name = strrchr(path, '/') + 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (!strcmp(wrong[i], name)) return true;
    return false;
}

static int fail(const char *path, const char *what) {
    printf("%s: %s\n", path, what);
    return 1;
}

static int check(Arena *arena, Diag *diag, const char *path) {
    Source *source = source_read(arena, path, diag);
    Ast *tree = source ? parse_file(arena, source, diag) : NULL;
    if (must_be_wrong(path)) return tree ? fail(path, "parses, but is wrong") : 0;
    if (!tree) return fail(path, "does not parse");
    char *text = fmt_print(arena, tree);
    Source *printed = source_memory(arena, "printed", "printed", text, strlen(text), false);
    Ast *again = parse_file(arena, printed, diag);
    if (!again) return fail(path, "does not parse when printed");
    if (!ast_equal(tree, again)) return fail(path, "is another tree when printed");
    if (tree->comments->n != again->comments->n) return fail(path, "has lost a comment");
    if (strcmp(text, fmt_print(arena, again))) return fail(path, "is printed differently the second time");
    return 0;
}

int main(void) {
    const char *root = getenv("ROOT");
    int failures = 0, files = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char pattern[4096];
        snprintf(pattern, sizeof pattern, "%s/%s", root ? root : ".", folders[i]);
        glob_t found;
        if (glob(pattern, 0, NULL, &found) == 0) {
            for (size_t k = 0; k < found.gl_pathc; k++) {
                Arena *arena = arena_new();
                Diag *diag = diag_new();
                failures += check(arena, diag, found.gl_pathv[k]);
                files++;
                diag_free(diag);
                arena_free(arena);
            }
        }
        globfree(&found);
    }
    if (files < 50) failures += fail("/tests", "fewer than 50 files found");
    return failures ? 1 : 0;
}
