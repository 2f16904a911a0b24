/* doc.h -- text with places where a line may break: the half of the formatter that knows widths, not the language.
 *
 * A Doc is built from pieces and then set into lines of a given width. A group is set on one line if it fits; otherwise the
 * lines in it break (but not those of groups inside, which are tried on their own). After Wadler, "A prettier printer". */
#ifndef FRONTEND_DOC_H
#define FRONTEND_DOC_H
#include "ir/arena.h"

#include <stdbool.h>

typedef struct Doc Doc;

Doc *doc_text(Arena *a, const char *text);           /* as it is; may contain line ends (block comments) */
Doc *doc_line(Arena *a, const char *flat);           /* a line end, or `flat` ("" or " ") in a group that fits */
Doc *doc_hard(Arena *a);                             /* a line end; no group around it fits */
Doc *doc_blank(Arena *a);                            /* an empty line: to be followed by a hard line */
Doc *doc_comment(Arena *a, const char *text, int column); /* ends a line: at `column` (from 0) if possible, else 2 on */
Doc *doc_group(Arena *a, Doc *d);
Doc *doc_nest(Arena *a, int by, Doc *d);             /* lines that break in it begin `by` further right */
Doc *doc_align(Arena *a, int offset, Doc *d);        /* lines that break in it begin at this column + offset */
Doc *doc_hang(Arena *a, Doc *d);                     /* doc_align 0, but far to the right a new line, 4 further in */

/* A sequence; doc_add appends to what doc_list made. */
Doc *doc_list(Arena *a);
void doc_add(Arena *a, Doc *list, Doc *d);
void doc_add_text(Arena *a, Doc *list, const char *text);

/* A separator: a blank if `next` still fits on the line, else a line end. Add it before adding `next` itself. */
Doc *doc_fill(Arena *a, Doc *next);

/* Sets the text; lines have no blanks at their ends. In the arena. */
char *doc_render(Arena *a, const Doc *d, int width);
/* On one line whatever its width, or NULL when hard lines forbid that. */
char *doc_flat(Arena *a, const Doc *d);
int text_columns(const char *text, int bytes); /* characters, by UTF-8 */

#endif
