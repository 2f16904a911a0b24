/* parse.h -- text to syntax tree. */
#ifndef FRONTEND_PARSE_H
#define FRONTEND_PARSE_H
#include "frontend/ast.h"
#include "ir/diag.h"

/* Reads a file. NULL after an error, which has no place when the file cannot be read: missing, a directory, not readable,
 * larger than 16 MiB (E0003); and has one when it holds a byte 0 or is no UTF-8 (E0004). Text and name are in the arena.
 * A byte order mark at the beginning is skipped. */
Source *source_read(Arena *arena, const char *path, Diag *diag);

/* A source that is in memory already (std/nn.mdl). The text is not copied and ends in a byte 0 after `length` bytes; path
 * "std/nn.mdl", name "nn.mdl"; library as in Source. */
Source *source_memory(Arena *arena, const char *path, const char *name, const char *text, size_t length, bool library);

/* Parses a whole file. Root is an AST_FILE; its only kid, the ITEMS, is empty for a file without a declaration (the driver's
 * business). NULL after errors; all of them are in `diag`. Codes: E0001 syntax, E0002 nested too deeply, E0414 pipes and
 * operators without parentheses. The tree is in the arena, and points into the source. */
Ast *parse_file(Arena *arena, const Source *source, Diag *diag);

#endif
