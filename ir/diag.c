/* diag.c -- collects what the user is told, and prints it.
 *
 *     error[E0001]: missing `;`
 *      --> mlp.mdl:2:37
 *       |
 *     2 | net = [Linear(64), relu, Linear(10)]
 *       |                                     ^ expected `;` here
 *       = a fact
 *       = help: text that can be pasted
 *
 * A message is a Report: it is filled by diag_label, diag_fact, ... after diag_error returned it. A report that will not be
 * shown (twenty errors already, the same error at the same place, a warning that is switched off) is made all the same, so
 * that callers need not care, but is not put into the list. bug_at, for our own faults, stands at the end. */
#include "ir/diag.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a line longer than LINE_LIMIT bytes, WINDOW bytes on both sides of the carets are shown. */
enum { ERROR_LIMIT = 20, LINE_LIMIT = 240, WINDOW = 80 };

typedef struct Place {
    Loc at;
    const char *label; /* NULL: carets only */
} Place;

typedef struct Line {
    const char *text;
    bool help;
} Line;

struct Report {
    Diag *diag;
    Severity severity;
    int code;
    const char *sentence;
    LIST(Place) places; /* the first is where the message is; the others are marked with ::: */
    LIST(Line) lines;   /* facts and helps, in the order of the calls */
};

struct Diag {
    Arena *arena;
    LIST(Report *) reports;
    LIST(int) disabled; /* codes of warnings */
    int errors, warnings;
    bool strict; /* warnings are errors */
};

/* Names for -Wno-NAME; errors have none. */
static const struct {
    int code;
    const char *name;
} warning_names[] = {
#define CODE(number, name, title) {number, name},
#include "ir/codes.def"
#undef CODE
};

/* ---- collecting ---------------------------------------------------------------------------------------------------------- */

Diag *diag_new(void) {
    Arena *arena = arena_new();
    Diag *d = NEW(arena, Diag);
    d->arena = arena;
    return d;
}

void diag_free(Diag *d) {
    if (d) arena_free(d->arena);
}

static bool same_place(Loc a, Loc b) { return a.source == b.source && a.begin == b.begin && a.end == b.end; }

/* The same code at the same place. Where there is no place, the sentence decides. */
static bool already_said(const Diag *d, const Report *r) {
    for (int i = 0; i < d->reports.n; i++) {
        const Report *old = d->reports.at[i];
        if (old->code != r->code || old->severity != r->severity) continue;
        if (!same_place(old->places.at[0].at, r->places.at[0].at)) continue;
        if (r->places.at[0].at.source || !strcmp(old->sentence, r->sentence)) return true;
    }
    return false;
}

bool diag_within(const Diag *d, Loc span) {
    for (int i = 0; i < d->reports.n && span.source; i++) {
        Loc at = d->reports.at[i]->places.at[0].at;
        if (d->reports.at[i]->severity != DIAG_ERROR || at.source != span.source) continue;
        if (at.begin >= span.begin && at.end <= span.end) return true;
    }
    return false;
}

static bool is_disabled(const Diag *d, int code) {
    for (int i = 0; i < d->disabled.n; i++)
        if (d->disabled.at[i] == code) return true;
    return false;
}

static Report *report(Diag *d, Severity severity, Loc at, int code, const char *format, va_list ap) {
    Report *r = NEW(d->arena, Report);
    r->diag = d;
    r->severity = severity;
    r->code = code;
    r->sentence = arena_vprintf(d->arena, format, ap);
    PUSH(d->arena, r->places, ((Place){at, NULL}));
    bool dropped = already_said(d, r) || (severity == DIAG_ERROR ? diag_full(d) : is_disabled(d, code));
    if (dropped) return r;
    PUSH(d->arena, d->reports, r);
    if (severity == DIAG_ERROR) d->errors++;
    else d->warnings++;
    return r;
}

Report *diag_error(Diag *d, Loc at, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    Report *r = report(d, DIAG_ERROR, at, code, format, ap);
    va_end(ap);
    return r;
}

Report *diag_warning(Diag *d, Loc at, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    Report *r = report(d, DIAG_WARNING, at, code, format, ap);
    va_end(ap);
    return r;
}

void diag_label(Report *r, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    r->places.at[0].label = arena_vprintf(r->diag->arena, format, ap);
    va_end(ap);
}

void diag_place(Report *r, Loc at, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    PUSH(r->diag->arena, r->places, ((Place){at, arena_vprintf(r->diag->arena, format, ap)}));
    va_end(ap);
}

void diag_fact(Report *r, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    PUSH(r->diag->arena, r->lines, ((Line){arena_vprintf(r->diag->arena, format, ap), false}));
    va_end(ap);
}

void diag_help(Report *r, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    PUSH(r->diag->arena, r->lines, ((Line){arena_vprintf(r->diag->arena, format, ap), true}));
    va_end(ap);
}

int diag_errors(const Diag *d) { return d->errors; }
int diag_warnings(const Diag *d) { return d->warnings; }
bool diag_full(const Diag *d) { return d->errors >= ERROR_LIMIT; }

/* A name of the table, W0801, 0801 or 801. A name that nobody knows is ignored: it may be one of a later version. */
void diag_disable(Diag *d, const char *warning) {
    for (size_t i = 0; i < sizeof warning_names / sizeof *warning_names; i++)
        if (*warning_names[i].name && !strcmp(warning_names[i].name, warning)) PUSH(d->arena, d->disabled, warning_names[i].code);
    int code = atoi(*warning == 'W' ? warning + 1 : warning);
    if (code > 0) PUSH(d->arena, d->disabled, code);
}

void diag_warnings_are_errors(Diag *d, bool on) { d->strict = on; }

/* ---- places -------------------------------------------------------------------------------------------------------------- */

static int line_begin(Loc at) {
    int i = at.begin;
    while (i > 0 && at.source->text[i - 1] != '\n') i--;
    return i;
}

void loc_line_column(Loc at, int *line, int *column) {
    *line = 1;
    for (int i = 0; i < at.begin; i++)
        if (at.source->text[i] == '\n') ++*line;
    *column = at.begin - line_begin(at) + 1;
}

Loc loc_join(Loc a, Loc b) {
    if (!a.source) return b;
    if (!b.source) return a;
    return (Loc){a.source, a.begin, b.end > a.begin ? b.end : a.end};
}

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

typedef struct Printer {
    FILE *out;
    bool color;
    int gutter; /* digits of the greatest line number shown */
} Printer;

#define RED "\033[1;31m"
#define YELLOW "\033[1;35m"
#define BLUE "\033[1;34m"
#define BOLD "\033[1m"

static void paint(const Printer *p, const char *escape) {
    if (p->color) fputs(escape, p->out);
}
static void plain(const Printer *p) { paint(p, "\033[0m"); }

static int digits(int n) {
    int d = 1;
    for (; n >= 10; n /= 10) d++;
    return d;
}

/* A byte that begins a character (an UTF-8 continuation does not), which is one column wide. */
static bool begins_character(char c) { return ((unsigned char)c & 0xC0) != 0x80; }

/* The margin: "12 | ", or "   | " for number 0, "   = " for facts. */
static void margin(const Printer *p, int number, char mark) {
    paint(p, BLUE);
    if (number) fprintf(p->out, "%*d %c", p->gutter, number, mark);
    else fprintf(p->out, "%*s %c", p->gutter, "", mark);
    plain(p);
}

/* Blanks under text[begin, end): a tab under a tab, one blank under any other character. */
static void blanks(const Printer *p, const char *text, int begin, int end) {
    for (int i = begin; i < end; i++) {
        if (text[i] == '\t') putc('\t', p->out);
        else if (begins_character(text[i])) putc(' ', p->out);
    }
}

/* Cuts the line begin..end around byte `at`, between characters. */
static void cut_line(const char *text, int at, int *begin, int *end) {
    if (*end - *begin <= LINE_LIMIT) return;
    if (at - *begin > WINDOW) *begin = at - WINDOW;
    if (*end - at > WINDOW) *end = at + WINDOW;
    while (*begin < at && !begins_character(text[*begin])) ++*begin;
    while (*end > at && !begins_character(text[*end])) --*end;
}

static void print_place(const Printer *p, const Place *place, const char *arrow, const char *hue) {
    Loc at = place->at;
    const char *text = at.source->text;
    int line, column;
    loc_line_column(at, &line, &column);
    paint(p, BLUE);
    fprintf(p->out, "%*s%s ", p->gutter, "", arrow);
    plain(p);
    fprintf(p->out, "%s:%d:%d\n", at.source->name, line, column);

    int begin = line_begin(at);
    int end = begin;
    while (text[end] && text[end] != '\n') end++;
    int shown = end > begin && text[end - 1] == '\r' ? end - 1 : end;
    int whole_begin = begin, whole_end = shown;
    cut_line(text, at.begin, &begin, &shown);
    const char *before = begin > whole_begin ? "... " : "", *after = shown < whole_end ? " ..." : "";
    margin(p, 0, '|');
    putc('\n', p->out);
    margin(p, line, '|');
    fprintf(p->out, "%s%s%.*s%s\n", shown > begin ? " " : "", before, shown - begin, text + begin, after);

    margin(p, 0, '|');
    fprintf(p->out, " %*s", (int)strlen(before), "");
    blanks(p, text, begin, at.begin);
    paint(p, hue);
    int carets = 0;
    for (int i = at.begin; i < at.end && i < shown; i++) carets += begins_character(text[i]);
    for (int i = 0; i < (carets ? carets : 1); i++) putc('^', p->out);
    if (place->label && *place->label) fprintf(p->out, " %s", place->label);
    plain(p);
    putc('\n', p->out);
}

static void print_report(Printer *p, const Report *r, bool strict) {
    bool error = r->severity == DIAG_ERROR || strict;
    const char *hue = error ? RED : YELLOW;
    paint(p, hue);
    fprintf(p->out, "%s[%c%04d]", error ? "error" : "warning", r->severity == DIAG_ERROR ? 'E' : 'W', r->code);
    plain(p);
    paint(p, BOLD);
    fprintf(p->out, ": %s\n", r->sentence);
    plain(p);

    p->gutter = 1;
    for (int i = 0; i < r->places.n; i++) {
        if (!r->places.at[i].at.source) continue;
        int line, column;
        loc_line_column(r->places.at[i].at, &line, &column);
        if (digits(line) > p->gutter) p->gutter = digits(line);
    }
    for (int i = 0; i < r->places.n; i++)
        if (r->places.at[i].at.source) print_place(p, &r->places.at[i], i ? ":::" : "-->", hue);
    for (int i = 0; i < r->lines.n; i++) {
        margin(p, 0, '=');
        fprintf(p->out, " %s%s\n", r->lines.at[i].help ? "help: " : "", r->lines.at[i].text);
    }
}

int diag_print(const Diag *d, FILE *out, bool color) {
    Printer p = {out, color, 1};
    for (int i = 0; i < d->reports.n; i++) print_report(&p, d->reports.at[i], d->strict);
    if (diag_full(d)) fprintf(out, "the first %d errors are shown; there may be more\n", ERROR_LIMIT);
    return d->errors + (d->strict ? d->warnings : 0);
}

/* ---- our own faults ------------------------------------------------------------------------------------------------------ */

/* What the compiler is doing, for bug_at alone: it must be known where no handle is at hand. */
static _Thread_local const char *bug_stage, *bug_detail;

void bug_context(const char *stage, const char *detail) {
    bug_stage = stage;
    bug_detail = detail;
}

void bug_at(const char *file, int line, const char *format, ...) {
    fflush(stdout);
    fprintf(stderr, "modelc: internal fault at %s:%d: ", file, line);
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    putc('\n', stderr);
    if (bug_stage) fprintf(stderr, "  while: %s%s%s\n", bug_stage, bug_detail ? ", " : "", bug_detail ? bug_detail : "");
    fputs("  This is a fault of modelc, not of your program. Please report it with these lines and the .mdl file.\n", stderr);
    fflush(stderr);
    _exit(70);
}

int utf8_length(const unsigned char *t) {
    if (t[0] < 0x80) return 1;
    int n = t[0] >= 0xC2 && t[0] <= 0xDF ? 2 : (t[0] & 0xF0) == 0xE0 ? 3 : t[0] >= 0xF0 && t[0] <= 0xF4 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((t[i] & 0xC0) != 0x80) return 0;
    if (n == 3 && ((t[0] == 0xE0 && t[1] < 0xA0) || (t[0] == 0xED && t[1] > 0x9F))) return 0;
    if (n == 4 && ((t[0] == 0xF0 && t[1] < 0x90) || (t[0] == 0xF4 && t[1] > 0x8F))) return 0;
    return n;
}
