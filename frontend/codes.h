/* codes.h -- what `modelc explain E0204` prints: one row for each code, in codes.def. */
#ifndef FRONTEND_CODES_H
#define FRONTEND_CODES_H

typedef struct Code {
    int number;        /* 204 for E0204, 801 for W0801 */
    const char *title; /* one line */
    const char *text;  /* the long text: lines end in \n */
} Code;

extern const Code codes[]; /* ascending; the last one has number 0 */
/* "E0204", "W0801", "e204", "204": the row, or NULL. */
const Code *code_find(const char *name);

#endif
