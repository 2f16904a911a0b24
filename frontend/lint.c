/* lint.c -- what is declared and never named. A name counts as used wherever it stands as a name, or as a word of a string
 * ("h.{i}.attn", "b t (heads d)"), shadowed or not: there is no false alarm, though some dead names pass. */
#include "frontend/lint.h"

#include <ctype.h>
#include <string.h>

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static bool string_names(const char *text, const char *name) {
    size_t n = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at++)
        if ((at == text || !is_word(at[-1])) && !is_word(at[n])) return true;
    return false;
}

/* Does anything below `a` read the name? What a let makes and what an assignment replaces is not read. */
static bool reads(const Ast *a, const char *name) {
    if (a->kind == AST_NAME) return !strcmp(a->text, name);
    if (a->kind == AST_STR) return string_names(a->text, name);
    int first = a->kind == AST_LET || (a->kind == AST_ASSIGN && ast_kid(a, 0)->kind == AST_NAME);
    for (int i = first; i < a->n; i++)
        if (reads(ast_kid(a, i), name)) return true;
    return a->attrs && reads(a->attrs, name);
}

/* Is any name of a pattern read? Of a tuple one is enough: the others are there because it has so many parts. */
static bool pattern_read(const Ast *function, const Ast *pattern) {
    if (pattern->kind == AST_NAME) return pattern->text[0] == '_' || reads(function, pattern->text);
    for (int i = 0; i < pattern->n; i++)
        if (pattern_read(function, ast_kid(pattern, i))) return true;
    return false;
}

static void unused_local(const Ast *function, const Ast *pattern, Diag *diag) {
    if (pattern_read(function, pattern)) return;
    while (pattern->kind != AST_NAME && pattern->n) pattern = ast_kid(pattern, 0);
    Report *r = diag_warning(diag, pattern->loc, 808, "`%s` is never read", pattern->text);
    diag_label(r, "a local that nothing uses");
    diag_help(r, "remove it, or call it `_%s`", pattern->text);
}

/* Locals made below `a`, which belongs to a function. */
static void function_locals(const Ast *function, const Ast *a, Diag *diag) {
    if (a->kind == AST_LET) unused_local(function, ast_kid(a, 0), diag);
    for (int i = 0; i < a->n; i++) function_locals(function, ast_kid(a, i), diag);
}

static void unused_locals(const Ast *a, Diag *diag) {
    if (a->kind == AST_FN || a->kind == AST_ENTRY || a->kind == AST_TRAIN) {
        function_locals(a, a, diag);
        return;
    }
    for (int i = 0; i < a->n; i++) unused_locals(ast_kid(a, i), diag);
}

/* Configs at file level, those below an `if` too. */
static void unused_configs(const Ast *file, const Ast *a, Diag *diag) {
    if (a->kind == AST_CONFIG && !reads(file, a->text)) {
        Report *r = diag_warning(diag, a->loc, 803, "the config `%s` is never used", a->text);
        diag_help(r, "remove it, or use it: -D %s=... changes nothing", a->text);
    }
    if (a->kind != AST_FILE && a->kind != AST_ITEMS && a->kind != AST_IF) return;
    for (int i = 0; i < a->n; i++) unused_configs(file, ast_kid(a, i), diag);
}

void lint_file(const Ast *file, Diag *diag) {
    unused_configs(file, file, diag);
    unused_locals(file, diag);
}
