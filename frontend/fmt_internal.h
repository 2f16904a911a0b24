/* fmt_internal.h -- what the two halves of the formatter share: fmt.c sets declarations and statements, fmt_expr.c what
 * stands inside of one. */
#ifndef FRONTEND_FMT_INTERNAL_H
#define FRONTEND_FMT_INTERNAL_H
#include "frontend/ast.h"
#include "frontend/doc.h"

/* Docs are built in the order of the text. `next` is the first comment not yet placed: whoever can place a comment takes
 * all that stand before the piece it is about to build. C does not fix the order of arguments, so at most one argument of a
 * CAT may build a piece of the program. */
typedef struct Formatter {
    Arena *arena;
    const Source *source;
    const Comments *comments;
    int next;
    int indent; /* columns, of the statement being built */
} Formatter;

typedef Doc *Builder(Formatter *f, const Ast *a);

Doc *cat_(Formatter *f, int n, Doc **parts);
#define CAT(...) cat_(f, (int)(sizeof((Doc *[]){__VA_ARGS__}) / sizeof(Doc *)), (Doc *[]){__VA_ARGS__})
#define TEXT(...) doc_text(f->arena, arena_printf(f->arena, __VA_ARGS__))

bool source_breaks(const Formatter *f, int begin, int end); /* a line ends between these bytes */
bool comment_before(const Formatter *f, int end);           /* one that is not placed yet */
const Comment *take_comment(Formatter *f);
const char *comment_text(Formatter *f, const Comment *c);
Doc *comment_behind(Formatter *f, const Comment *c);        /* at the end of a line, where it was if possible */

/* fmt_expr.c */
const char *fmt_name(Formatter *f, const Ast *a); /* the text, in backquotes if it was */
Builder fmt_expr, fmt_type, fmt_pattern, fmt_sels, fmt_param, fmt_result, fmt_argument;
Doc *fmt_range(Formatter *f, const Ast *range);   /* " in 1..8", or nothing */
Doc *fmt_string(Formatter *f, const char *text);
Doc *fmt_commas(Formatter *f, const Ast *list, Builder *each, const char *open, const char *close, int end);
Doc *fmt_dims(Formatter *f, const Ast *dims);

/* fmt.c */
Doc *fmt_scan(Formatter *f, const Ast *scan);

#endif
