/* explain.h -- what `modelc explain` prints: the list of all codes (ir/codes.def), and the page of one (frontend/explain/E0204.md,
 * part of the binary). */
#ifndef FRONTEND_EXPLAIN_H
#define FRONTEND_EXPLAIN_H
#include "ir/arena.h"

#include <stdio.h>

typedef struct Code {
    int number;        /* 204 for E0204, 801 for W0801 */
    const char *name;  /* of a warning, for -Wno-NAME; "" for errors */
    const char *title; /* one line */
} Code;

extern const Code codes[]; /* ascending; the last one has number 0 */

/* "E0204", "W0801", "e204", "204", "softmax-twice": the row, or NULL. */
const Code *code_find(const char *word);
/* What was probably meant by a word that code_find does not know: "E0204" or "softmax-twice" in the arena; NULL: no idea. */
const char *code_closest(Arena *a, const char *word);
const char *code_text(Arena *a, const Code *code); /* "E0204" */

void explain_list(FILE *out);                           /* every code with its line */
void explain_page(Arena *a, const Code *code, FILE *out); /* the code with its line, then the page */

#endif
