/* fmt.h -- the formatter: one style for all programs (LANGUAGE.md, section 11). */
#ifndef FRONTEND_FMT_H
#define FRONTEND_FMT_H
#include "frontend/ast.h"

enum { FMT_WIDTH = 118 };

/* The text of a whole file, from its root (AST_FILE), in the arena. Comments are kept. Parsing it gives an equal tree, and
 * formatting that gives the same text. */
char *fmt_print(Arena *arena, const Ast *file);

#endif
