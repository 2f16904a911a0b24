/* template.h -- schedules as text: .tile templates with holes, and what fills them.
 *
 * A file codegen/NAME.tile holds templates: tile text (tile.h) without the kernel's head. The C of a schedule picks parameters
 * and fills holes; both are written the same way.
 *
 *   $name ${name}        a parameter's text; ${row$r}: of the parameter row0, if $r is 0
 *   $name(x, y)          a hole with arguments, which are expanded first; `$name` alone is a hole without arguments, and
 *                        brackets behind a parameter are text: $T(0). What fills a hole may write lines before the line that
 * mentions it. An empty text makes no line. #template NAME       begins one. It ends before the next #template or #example.
 *   #use NAME            another template of the file, here, with the parameters of now
 *   #with FILE           above the first template: those of another file are known here, too; what they use is looked for here first
 *   #set NAME = text     a parameter, from here on; NAME may hold $r
 *   #if NAME  #if !NAME  the lines up to #else or #end, if the parameter is not (is) 0
 *   #each r in N         the lines up to #end, with $r = 0, 1 .. N - 1: copies as text, for names that need numbers
 *   #open  #close        #close writes the braces that close every block opened since #open. A template closes its own by
 *                        itself, at its end; #use does not: the blocks it leaves open belong to the user.
 *   #example NAME of TEMPLATE    parameters and holes that make the template a kernel of its own, which can be read, run in
 *                        the interpreter and timed alone: lines `name = text`, `name(x, y) = text with $x and $y`, and
 *                        `kernel = kernel example(..)`, the head. Lines of the same name follow each other.
 *   // ..                is dropped
 *
 * A parameter or hole that nothing defines is a bug(): a template never makes text by chance. */
#ifndef CODEGEN_TEMPLATE_H
#define CODEGEN_TEMPLATE_H
#include "codegen/text.h"

#include <stdbool.h>
#include <stdint.h>

/* Fills a hole: returns its text ("": none), having written lines before it if it must. */
typedef struct Hole {
    const char *name; /* NULL ends a table */
    int args;
    const char *(*fill)(void *context, const char *const *args);
} Hole;

typedef struct Template Template;

/* file: "contract.tile", as embedded. Lines go to `out`; all is allocated in out->arena. */
Template *template_new(Text *out, const char *file, const Hole *holes, void *context);
void template_set(Template *t, const char *name, const char *text);
void template_number(Template *t, const char *name, int64_t value);
const char *template_get(Template *t, const char *name); /* a parameter; unknown: bug() */
void template_run(Template *t, const char *name);

/* The whole kernel of the n-th #example of a file; NULL: no more. *name is set to its name. */
const char *template_example(Arena *a, const char *file, int n, const char **name);
#endif
