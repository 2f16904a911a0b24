/* text.c -- tile text under construction. */
#include "codegen/text.h"

#include <stdio.h>

static void text_room(Text *t, size_t more) {
    if (t->n + more + 1 <= t->cap) return;
    size_t cap = t->cap ? 2 * t->cap : 1024;
    while (cap < t->n + more + 1) cap *= 2;
    t->at = arena_grow(t->arena, t->at, t->n, cap);
    t->cap = cap;
}

static void text_format(Text *t, const char *format, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    text_room(t, (size_t)n);
    vsnprintf(t->at + t->n, (size_t)n + 1, format, again);
    va_end(again);
    t->n += (size_t)n;
}

void text_add(Text *t, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    text_format(t, format, ap);
    va_end(ap);
}

void text_line(Text *t, const char *format, ...) {
    va_list ap;
    text_add(t, "%*s", 2 * t->indent, "");
    va_start(ap, format);
    text_format(t, format, ap);
    va_end(ap);
    if (t->at[t->n - 1] == '{') t->indent++;
    text_add(t, "\n");
}

void text_close(Text *t, int n) {
    while (n-- > 0) {
        t->indent--;
        text_line(t, "}");
    }
}
