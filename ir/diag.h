/* diag.h -- what the user is told. Errors are collected (twenty at most, one a statement), printed in the form of
 * frontend/LANGUAGE.md, "Diagnostics": severity[code]: sentence, place, source line with carets, facts (=), help.
 * diag_* is for the user's faults; bug() is for ours. */
#ifndef IR_DIAG_H
#define IR_DIAG_H
#include "ir/arena.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct Source {
    const char *path;  /* as given by the user, or "std/nn.mdl" for a library file */
    const char *name;  /* what messages show: the path, or "nn.mdl" for a library file */
    const char *text;  /* whole text, 0-terminated */
    size_t length;
    bool library;      /* a file of std/: errors are reported at the user's call */
} Source;

/* A place: bytes begin..end of a source. source NULL: no place. */
typedef struct Loc {
    const Source *source;
    int begin, end;
} Loc;

typedef enum { DIAG_ERROR, DIAG_WARNING } Severity;

typedef struct Diag Diag;    /* the collection */
typedef struct Report Report; /* one message under construction; never NULL, also when it will be dropped */

Diag *diag_new(void);
void diag_free(Diag *d);

/* Begins a message. `code` is 204 for E0204, 801 for W0801; the sentence has no full stop. Lives until diag_free. */
Report *diag_error(Diag *d, Loc at, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));
Report *diag_warning(Diag *d, Loc at, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));
void diag_label(Report *r, const char *format, ...) __attribute__((format(printf, 2, 3))); /* after the carets: "this is f32[batch]" */
void diag_fact(Report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));  /* = line, in order of the calls */
void diag_help(Report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));  /* = help: line */
void diag_place(Report *r, Loc at, const char *format, ...) __attribute__((format(printf, 3, 4))); /* ::: a second place, with its label */

int diag_errors(const Diag *d);   /* errors so far */
int diag_warnings(const Diag *d);
bool diag_full(const Diag *d);    /* twenty errors: stop */
bool diag_within(const Diag *d, Loc span); /* is there an error inside? Not where span has no source */
void diag_disable(Diag *d, const char *warning_name_or_code); /* -Wno-NAME */
void diag_warnings_are_errors(Diag *d, bool on);
/* Prints all messages in order of discovery; color: escape sequences. Returns the number of errors. */
int diag_print(const Diag *d, FILE *out, bool color);

void loc_line_column(Loc at, int *line, int *column); /* from 1, column in bytes */
Loc loc_join(Loc a, Loc b);                           /* from the begin of a to the end of b */

/* A fault of the compiler itself: file:line, running pass, what is known, how to report it; exit status 70. */
void bug_at(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void bug_context(const char *stage, const char *detail); /* what bug_at adds; strings must outlive the stage */
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

/* Bytes of the UTF-8 character at text, 0 if it is none: overlong forms, surrogates and numbers above 10FFFF are none. */
int utf8_length(const unsigned char *text);

#endif
