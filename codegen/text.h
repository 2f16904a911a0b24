/* text.h -- tile text under construction: lines, indented by their braces. */
#ifndef CODEGEN_TEXT_H
#define CODEGEN_TEXT_H
#include "ir/arena.h"

#include <stdarg.h>
#include <stddef.h>

typedef struct Text {
    Arena *arena;
    char *at;
    size_t n, cap;
    int indent; /* blocks open */
} Text;
void text_bytes(Text *t, const char *bytes, size_t n);
void text_add(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_line(Text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* indented; "{" at the end opens a block */
void text_whole_line(Text *t, const char *line); /* .. without a format */
void text_close(Text *t, int n);           /* n closing braces */
#endif
