/* explain.c -- the list of codes, finding a row in it, and printing the page of a code.
 *
 * A page is frontend/explain/E0204.md: text, and blocks between lines of three backquotes, which tests/explain/pages.pl runs:
 *
 *     wrong [OPTIONS]     a program that gives this code with `modelc check OPTIONS model.mdl` (with -o: modelc alone)
 *     message             what is printed then
 *     right [OPTIONS]     the program repaired
 *     shell               a command and what it prints, where no small program gives the code
 *
 * Here a block becomes a heading and indented lines. */
#include "frontend/explain.h"

#include "frontend/elab.h"
#include "ir/embed.h"

#include <ctype.h>
#include <string.h>

const Code codes[] = {
#define CODE(number, name, title) {number, name, title},
#include "ir/codes.def"
#undef CODE
    {0, NULL, NULL},
};

const char *code_text(Arena *a, const Code *code) {
    return arena_printf(a, "%c%04d", *code->name ? 'W' : 'E', code->number);
}

const Code *code_find(const char *word) {
    for (const Code *c = codes; c->number; c++)
        if (*c->name && !strcmp(c->name, word)) return c;
    int letter = tolower((unsigned char)*word), number = 0, digits = 0;
    if (letter == 'e' || letter == 'w') word++;
    for (; isdigit((unsigned char)*word) && digits < 6; word++, digits++) number = 10 * number + (*word - '0');
    if (*word || !digits) return NULL;
    for (const Code *c = codes; c->number; c++)
        if (c->number == number) return c;
    return NULL;
}

const char *code_closest(Arena *a, const char *word) {
    Names names = {0};
    for (const Code *c = codes; c->number; c++) {
        PUSH(a, names, code_text(a, c));
        if (*c->name) PUSH(a, names, c->name);
    }
    const char *found = names_closest(&names, word);
    if (found) return found;
    char *capital = arena_printf(a, "%s", word);
    *capital = (char)toupper((unsigned char)*capital);
    return names_closest(&names, capital);
}

void explain_list(FILE *out) {
    Arena *a = arena_new();
    for (const Code *c = codes; c->number; c++) {
        fprintf(out, "%s  %s", code_text(a, c), c->title);
        if (*c->name) fprintf(out, " (-Wno-%s)", c->name);
        putc('\n', out);
    }
    arena_free(a);
}

/* ---- a page -------------------------------------------------------------------------------------------------------------- */

static const char fence[] = "```";

/* The line at *text without its end, in the arena; *text moves behind it. */
static const char *next_line(Arena *a, const char **text) {
    size_t n = strcspn(*text, "\n");
    const char *line = arena_printf(a, "%.*s", (int)n, *text);
    *text += n + ((*text)[n] == '\n');
    return line;
}

/* "wrong -D layer=4": the block's kind, and the command that the compiler is called with. */
static void print_heading(const char *block, FILE *out) {
    size_t n = strcspn(block, " ");
    const char *options = block + n;
    const char *check = strstr(block, " -o ") ? "" : " check";
    if (!strncmp(block, "wrong", n)) fprintf(out, "\nWrong (modelc%s%s model.mdl):\n\n", check, options);
    else if (!strncmp(block, "right", n) && *options) fprintf(out, "\nRight (modelc%s%s model.mdl):\n\n", check, options);
    else if (!strncmp(block, "right", n)) fputs("\nRight:\n\n", out);
    else if (!strncmp(block, "message", n)) fputs("\nThe message:\n\n", out);
    else if (!strncmp(block, "shell", n)) fputs("\nFor example:\n\n", out);
    else bug("a page of `modelc explain` has a block `%s`", block);
}

static const char *page_find(const char *file) {
    for (const Embedded *e = embedded_pages; e->name; e++)
        if (!strcmp(e->name, file)) return e->text;
    bug("%s is missing", file);
}

void explain_page(Arena *a, const Code *code, FILE *out) {
    const char *text = page_find(arena_printf(a, "%s.md", code_text(a, code)));
    fprintf(out, "%s: %s\n\n", code_text(a, code), code->title);
    bool block = false;
    while (*text) {
        const char *line = next_line(a, &text);
        bool mark = !strncmp(line, fence, strlen(fence));
        if (mark && !block) print_heading(line + strlen(fence), out);
        else if (!mark) fprintf(out, "%s%s\n", block && *line ? "    " : "", line);
        block = block != mark;
    }
}
