/* c_names.c -- names for C. */
#include "ir/graph.h"

#include <string.h>

bool c_keyword(const char *word) {
    static const char *const words[] = {
        "auto",   "bool",    "break",  "case",      "char",   "class",    "const",   "continue", "default",  "delete",
        "do",     "double",  "else",   "enum",      "extern", "float",    "for",     "friend",   "goto",     "if",
        "inline", "int",     "long",   "namespace", "new",    "operator", "private", "public",   "register", "restrict",
        "return", "short",   "signed", "sizeof",    "static", "struct",   "switch",  "template", "this",     "throw",
        "try",    "typedef", "union",  "unsigned",  "using",  "virtual",  "void",    "volatile", "while"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i], word)) return true;
    return false;
}

const char *entry_symbol(Arena *a, const Program *p, const Entry *e) {
    return e->symbol ? e->symbol : arena_printf(a, "%s_%s", p->name, e->name);
}
