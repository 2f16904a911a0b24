/* text.c -- tile text under construction. */
#include "codegen/text.h"

#include <stdio.h>
#include <string.h>

static void text_room(Text *t, size_t more) {
    if (t->n + more + 1 <= t->cap) return;
    size_t cap = t->cap ? 2 * t->cap : 128;
    while (cap < t->n + more + 1) cap *= 2;
    t->at = arena_grow(t->arena, t->at, t->n, cap);
    t->cap = cap;
}

void text_bytes(Text *t, const char *bytes, size_t n) {
    text_room(t, n);
    memcpy(t->at + t->n, bytes, n);
    t->n += n;
    t->at[t->n] = 0;
}

/* Written where it will stand, and again only where there was no room. */
static void text_format(Text *t, const char *format, va_list ap) {
    va_list again;
    va_copy(again, ap);
    size_t room = t->cap - t->n;
    int n = vsnprintf(room ? t->at + t->n : NULL, room, format, ap);
    if ((size_t)n >= room) {
        text_room(t, (size_t)n);
        vsnprintf(t->at + t->n, (size_t)n + 1, format, again);
    }
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
    for (int i = 0; i < t->indent; i++) text_bytes(t, "  ", 2);
    va_start(ap, format);
    text_format(t, format, ap);
    va_end(ap);
    if (t->at[t->n - 1] == '{') t->indent++;
    text_bytes(t, "\n", 1);
}

/* Without formats, whose interpretation costs more than all the rest. */
void text_whole_line(Text *t, const char *line) {
    for (int i = 0; i < t->indent; i++) text_bytes(t, "  ", 2);
    text_bytes(t, line, strlen(line));
    if (t->at[t->n - 1] == '{') t->indent++;
    text_bytes(t, "\n", 1);
}

void text_close(Text *t, int n) {
    while (n-- > 0) {
        t->indent--;
        text_whole_line(t, "}");
    }
}
