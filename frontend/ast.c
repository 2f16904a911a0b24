/* ast.c -- making, comparing and printing syntax trees. The parser is the only one who makes them. */
#include "frontend/ast.h"

#include <string.h>

static const struct {
    const char *name, *kids;
} kinds[] = {
#define X(kind, name, kids) {name, kids},
    AST_KINDS(X)
#undef X
};

const char *ast_kind_name(AstKind kind) { return kinds[kind].name; }
const char *ast_kind_kids(AstKind kind) { return kinds[kind].kids; }

Ast *ast_new(Arena *arena, AstKind kind, Loc loc, Loc span, const char *text) {
    Ast *a = NEW(arena, Ast);
    a->kind = kind;
    a->loc = loc;
    a->span = span;
    a->text = text;
    a->depth = 1;
    return a;
}

void ast_add(Arena *arena, Ast *list, Ast *kid) {
    if (list->n == list->cap) {
        int cap = list->cap ? 2 * list->cap : 4;
        list->kid = arena_grow(arena, list->kid, sizeof *list->kid * (size_t)list->n, sizeof *list->kid * (size_t)cap);
        list->cap = cap;
    }
    list->kid[list->n++] = kid;
    if (kid->depth >= list->depth) list->depth = kid->depth + 1;
    if (list->span.end == list->span.begin) list->span = kid->span;
    else list->span = loc_join(list->span, kid->span);
}

Ast *ast_attr(const Ast *declaration, const char *name) {
    if (!declaration->attrs) return NULL;
    for (int i = 0; i < declaration->attrs->n; i++)
        if (!strcmp(declaration->attrs->kid[i]->text, name)) return declaration->attrs->kid[i];
    return NULL;
}

/* Numbers are equal when their values are. */
static bool equal_text(const Ast *a, const Ast *b) {
    if (a->kind == AST_INT) return a->integer == b->integer;
    if (a->kind == AST_REAL) return a->real == b->real;
    if (!a->text || !b->text) return !a->text && !b->text;
    return !strcmp(a->text, b->text);
}

bool ast_equal(const Ast *a, const Ast *b) {
    if (a->kind != b->kind || a->n != b->n || !equal_text(a, b) || !a->attrs != !b->attrs) return false;
    for (int i = 0; i < a->n; i++)
        if (!ast_equal(a->kid[i], b->kid[i])) return false;
    return !a->attrs || ast_equal(a->attrs, b->attrs);
}

/* ---- text ---------------------------------------------------------------------------------------------------------------- */

static void print_text(FILE *out, const char *text) {
    fputs(" \"", out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putc('\\', out);
        if (*text == '\n') fputs("\\n", out);
        else if (*text == '\t') fputs("\\t", out);
        else putc(*text, out);
    }
    putc('"', out);
}

/* Lists of declarations and statements begin a new line for each member; all else stays on the line. */
static bool breaks_lines(AstKind kind) {
    return kind == AST_ITEMS || kind == AST_BLOCK || kind == AST_SETTINGS || kind == AST_WITHS;
}

static void print_node(FILE *out, const Ast *a, int indent) {
    if (a->kind == AST_NONE) {
        fputs("none", out);
        return;
    }
    fprintf(out, "(%s", kinds[a->kind].name);
    if (a->text) print_text(out, a->text);
    if (a->attrs) {
        putc(' ', out);
        print_node(out, a->attrs, indent);
    }
    bool lines = breaks_lines(a->kind);
    for (int i = 0; i < a->n; i++) {
        if (lines) fprintf(out, "\n%*s", indent + 2, "");
        else putc(' ', out);
        print_node(out, a->kid[i], lines ? indent + 2 : indent);
    }
    putc(')', out);
}

void ast_print(FILE *out, const Ast *a) {
    print_node(out, a, 0);
    putc('\n', out);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

char *ast_text(Arena *arena, const Ast *a) {
    const char *text = a->span.source ? a->span.source->text : "";
    char *out = arena_alloc(arena, (size_t)(a->span.end - a->span.begin) + 1);
    int n = 0;
    bool string = false;
    for (int i = a->span.begin; i < a->span.end; i++) {
        bool line = !string && text[i] == '/' && text[i + 1] == '/';
        bool block = !string && text[i] == '/' && text[i + 1] == '*';
        if (line) {
            while (i + 1 < a->span.end && text[i + 1] != '\n') i++;
        } else if (block) {
            for (i += 2; i + 1 < a->span.end && (text[i] != '*' || text[i + 1] != '/'); i++) continue;
            i++;
        }
        if (line || block || (!string && is_space(text[i]))) {
            if (n && out[n - 1] != ' ') out[n++] = ' ';
            continue;
        }
        if (text[i] == '"') string = !string;
        if (string && text[i] == '\\' && i + 1 < a->span.end) out[n++] = text[i++];
        out[n++] = text[i];
    }
    while (n && out[n - 1] == ' ') n--;
    out[n] = 0;
    return out;
}
