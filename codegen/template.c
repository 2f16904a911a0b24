/* template.c -- expands .tile templates (the syntax: template.h). A run walks the lines of a template with a cursor; directives
 * that hold lines (#if, #each) run or skip them by recursion, and return the directive that ended them. Expansion of a line is
 * a copy in which each $name is replaced by a parameter, by what fills a hole or, in an example, by its definition there. */
#include "codegen/template.h"
#include "ir/diag.h"
#include "ir/embed.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MOST_ARGS 8

typedef struct Param {
    const char *name, *text;
} Param;

/* A line `name(formals) = text` of an example. */
typedef struct Definition {
    const char *name, *text;
    const char *formals[MOST_ARGS];
    int n;
} Definition;

struct Template {
    Arena *arena;
    Text *out;
    const char *first, *text; /* the file that was named */
    const char *file;         /* of the line that is expanded */
    const Hole *holes;
    void *context;
    LIST(Param) params;
    LIST(Definition) definitions; /* of an example */
    LIST(int) opened;             /* blocks open at each #open */
};

typedef struct Cursor {
    const char *at; /* the next line */
    int line;
} Cursor;

/* ---- text */

static const char *file_text(const char *file) {
    for (const Embedded *e = embedded_tile; e->name; e++)
        if (strcmp(e->name, file) == 0) return e->text;
    return NULL;
}

static const char *trimmed(Arena *a, const char *from, const char *to) {
    while (from < to && isspace((unsigned char)*from)) from++;
    while (to > from && isspace((unsigned char)to[-1])) to--;
    return arena_copy(a, from, (size_t)(to - from));
}

/* The next line without comment and blanks around; NULL at the end of the file. */
static const char *next_line(Arena *a, Cursor *c) {
    if (!*c->at) return NULL;
    const char *end = c->at + strcspn(c->at, "\n");
    const char *comment = memmem(c->at, (size_t)(end - c->at), "//", 2), *line = trimmed(a, c->at, comment ? comment : end);
    c->at = *end ? end + 1 : end;
    c->line++;
    return line;
}

/* What follows the directive #word in a line; NULL: another line. */
static const char *directive(const char *line, const char *word) {
    size_t n = strlen(word);
    if (line[0] != '#' || strncmp(line + 1, word, n) != 0 || (line[n + 1] && line[n + 1] != ' ')) return NULL;
    line += n + 1;
    while (*line == ' ') line++;
    return line;
}

static size_t name_length(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
    return n;
}

/* The end of the argument that begins at s: a comma or the closing bracket. */
static const char *argument_end(const char *s) {
    int depth = 0;
    for (; *s; s++) {
        if (*s == '(' || *s == '[') depth++;
        if (depth == 0 && (*s == ',' || *s == ')')) return s;
        if (*s == ')' || *s == ']') depth--;
    }
    return NULL;
}

/* ---- names */

Template *template_new(Text *out, const char *file, const Hole *holes, void *context) {
    Template *t = NEW(out->arena, Template);
    *t = (Template){.arena = out->arena, .out = out, .first = file, .file = file, .text = file_text(file), .holes = holes, .context = context};
    if (!t->text) bug("no template file %s", file);
    return t;
}

void template_set(Template *t, const char *name, const char *text) {
    for (int i = 0; i < t->params.n; i++) {
        if (strcmp(t->params.at[i].name, name) != 0) continue;
        t->params.at[i].text = text;
        return;
    }
    Param p = {name, text};
    PUSH(t->arena, t->params, p);
}

void template_number(Template *t, const char *name, int64_t value) {
    template_set(t, name, arena_printf(t->arena, "%lld", (long long)value));
}

static const char *param_find(const Template *t, const char *name) {
    for (int i = 0; i < t->params.n; i++)
        if (strcmp(t->params.at[i].name, name) == 0) return t->params.at[i].text;
    return NULL;
}

const char *template_get(Template *t, const char *name) {
    const char *text = param_find(t, name);
    if (!text) bug("%s: no parameter %s", t->file, name);
    return text;
}

static const char *expand(Template *t, const char *s, int line);

/* A definition of the example: every line of that name, formals replaced. NULL: none. */
static const char *definition_text(Template *t, const char *name, int n, const char *const *args, int line) {
    Text whole = {.arena = t->arena};
    bool found = false;
    for (int i = 0; i < t->definitions.n; i++) {
        const Definition *d = &t->definitions.at[i];
        if (strcmp(d->name, name) != 0) continue;
        if (d->n != n) bug("%s:%d: %s wants %d arguments, not %d", t->file, line, name, d->n, n);
        int params = t->params.n;
        for (int k = 0; k < n; k++) { /* a formal hides a parameter of its name: found first */
            Param p = {d->formals[k], args[k]};
            PUSH(t->arena, t->params, p);
            memmove(t->params.at + 1, t->params.at, sizeof p * (size_t)(t->params.n - 1));
            t->params.at[0] = p;
        }
        text_add(&whole, "%s%s", found ? "\n" : "", expand(t, d->text, line));
        for (int k = 0; k < params; k++) t->params.at[k] = t->params.at[k + n];
        t->params.n = params;
        found = true;
    }
    return found ? whole.at : NULL;
}

static const char *value_of(Template *t, const char *name, int n, const char *const *args, int line) {
    const char *text = n ? NULL : param_find(t, name);
    if (text) return text;
    for (const Hole *h = t->holes; h && h->name; h++) {
        if (strcmp(h->name, name) != 0) continue;
        if (h->args != n) bug("%s:%d: hole %s takes %d arguments, not %d", t->file, line, name, h->args, n);
        return h->fill(t->context, args);
    }
    text = definition_text(t, name, n, args, line);
    if (!text) bug("%s:%d: nothing fills $%s", t->file, line, name);
    return text;
}

/* May arguments follow the name? Brackets behind a parameter are text: $T(0). */
static bool takes_arguments(const Template *t, const char *name) {
    if (param_find(t, name)) return false;
    for (const Hole *h = t->holes; h && h->name; h++)
        if (strcmp(h->name, name) == 0) return h->args > 0;
    for (int i = 0; i < t->definitions.n; i++)
        if (strcmp(t->definitions.at[i].name, name) == 0) return t->definitions.at[i].n > 0;
    return true;
}

/* The name between braces at *at, itself expanded: ${row$r}. */
static const char *braced_name(Template *t, const char **at, int line) {
    const char *end = strchr(*at, '}');
    if (!end) bug("%s:%d: a ${ does not end", t->file, line);
    const char *name = expand(t, arena_copy(t->arena, *at, (size_t)(end - *at)), line);
    *at = end + 1;
    return name;
}

/* One $name, $name(..) or ${name} at *s, which moves behind it. */
static const char *expand_name(Template *t, const char **s, int line) {
    const char *at = *s + 1, *name, *args[MOST_ARGS];
    int n = 0;
    if (*at == '{') {
        at++;
        name = braced_name(t, &at, line);
    } else {
        name = arena_copy(t->arena, at, name_length(at));
        at += strlen(name);
        if (!*name) bug("%s:%d: a name must follow $", t->file, line);
        if (*at == '(' && takes_arguments(t, name)) {
            do {
                const char *end = argument_end(++at);
                if (!end || n == MOST_ARGS) bug("%s:%d: the arguments of $%s do not end", t->file, line, name);
                args[n++] = expand(t, trimmed(t->arena, at, end), line);
                at = end;
            } while (*at == ',');
            at++;
        }
    }
    *s = at;
    return value_of(t, name, n, args, line);
}

static const char *expand(Template *t, const char *s, int line) {
    Text e = {.arena = t->arena};
    text_bytes(&e, "", 0);
    while (*s) {
        size_t plain = strcspn(s, "$");
        text_bytes(&e, s, plain);
        s += plain;
        if (!*s) break;
        const char *value = expand_name(t, &s, line);
        text_bytes(&e, value, strlen(value));
    }
    return e.at;
}

/* ---- lines */

static const char *run_lines(Template *t, Cursor *c, bool live);

static void write_line(Template *t, const char *line) {
    int braces = 0;
    const char *s = line;
    for (; *s == '}' || *s == ' '; s++) braces += *s == '}';
    if (!*line) return;
    if (*s) text_line(t->out, "%s", line);
    else text_close(t->out, braces);
}

static void write_lines(Template *t, const char *text) {
    for (;;) {
        const char *end = text + strcspn(text, "\n");
        write_line(t, trimmed(t->arena, text, end));
        if (!*end) return;
        text = end + 1;
    }
}

/* In the first file, or in one that a line `#with` of it names, which *file is set to. */
static bool find_template(const Template *t, const char *text, const char *name, Cursor *c, const char **file) {
    *c = (Cursor){text, 0};
    const char *with = NULL;
    for (const char *line; (line = next_line(t->arena, c)) != NULL;) {
        const char *its = directive(line, "template"), *other = directive(line, "with");
        if (its && strcmp(its, name) == 0) return true;
        if (other) with = other;
    }
    if (!with) return false;
    if (!file_text(with)) bug("no template file %s", with);
    *file = with;
    return find_template(t, file_text(with), name, c, file);
}

static void run_template(Template *t, const char *name) {
    const char *before = t->file;
    Cursor c;
    t->file = t->first;
    if (!find_template(t, t->text, name, &c, &t->file)) bug("%s: no template %s", t->first, name);
    const char *end = run_lines(t, &c, true);
    if (end && !directive(end, "template") && !directive(end, "example"))
        bug("%s:%d: %s without its beginning", t->file, c.line, end);
    t->file = before;
}

static void run_if(Template *t, Cursor *c, const char *condition, bool live) {
    bool yes = false;
    if (live) {
        bool not = *condition == '!';
        yes = (strcmp(value_of(t, condition + not, 0, NULL, c->line), "0") != 0) != not ;
    }
    const char *end = run_lines(t, c, live && yes);
    if (end && directive(end, "else")) end = run_lines(t, c, live && !yes);
    if (!end || !directive(end, "end")) bug("%s:%d: an #if does not end", t->file, c->line);
}

static void run_each(Template *t, Cursor *c, const char *line, bool live) {
    size_t n = name_length(line);
    const char *name = arena_copy(t->arena, line, n), *in = strstr(line, " in "), *end = NULL;
    long long count = 0;
    if (!n || !in) bug("%s:%d: #each wants `name in count`", t->file, c->line);
    if (live && sscanf(expand(t, in + 4, c->line), "%lld", &count) != 1) bug("%s:%d: no count", t->file, c->line);
    const Cursor begin = *c;
    for (long long i = 0; i < count; i++) {
        template_number(t, name, i);
        *c = begin;
        end = run_lines(t, c, true);
    }
    if (count <= 0) end = run_lines(t, c, false);
    if (!end || !directive(end, "end")) bug("%s:%d: an #each does not end", t->file, c->line);
}

static void run_set(Template *t, const char *line, int number) {
    const char *equals = strstr(line, " = ");
    if (!equals) bug("%s:%d: #set wants `name = text`", t->file, number);
    const char *name = expand(t, trimmed(t->arena, line, equals), number);
    template_set(t, name, expand(t, equals + 3, number));
}

/* A directive that stands for itself. False: not one. */
static bool run_directive(Template *t, const char *line, int number) {
    const char *rest;
    if ((rest = directive(line, "use"))) {
        run_template(t, rest);
    } else if ((rest = directive(line, "set"))) {
        run_set(t, rest, number);
    } else if (directive(line, "open")) {
        PUSH(t->arena, t->opened, t->out->indent);
    } else if (directive(line, "close")) {
        if (!t->opened.n) bug("%s:%d: #close without #open", t->file, number);
        text_close(t->out, t->out->indent - t->opened.at[--t->opened.n]);
    } else {
        return false;
    }
    return true;
}

/* Runs or skips lines up to a directive that ends them, which is returned; NULL: the end of the file. */
static const char *run_lines(Template *t, Cursor *c, bool live) {
    for (const char *line, *rest; (line = next_line(t->arena, c)) != NULL;) {
        if (line[0] != '#') {
            if (live) write_lines(t, expand(t, line, c->line));
            continue;
        }
        if (directive(line, "end") || directive(line, "else") || directive(line, "template") || directive(line, "example"))
            return line;
        if ((rest = directive(line, "if"))) run_if(t, c, rest, live);
        else if ((rest = directive(line, "each"))) run_each(t, c, rest, live);
        else if (live && !run_directive(t, line, c->line)) bug("%s:%d: unknown directive %s", t->file, c->line, line);
    }
    return NULL;
}

void template_run(Template *t, const char *name) {
    int indent = t->out->indent;
    run_template(t, name);
    text_close(t->out, t->out->indent - indent);
}

/* ---- examples */

/* `name = text` or `name(x, y) = text`. */
static Definition parse_definition(const Template *t, const char *line, int number) {
    Definition d = {.name = arena_copy(t->arena, line, name_length(line))};
    const char *at = line + strlen(d.name);
    if (*at == '(') {
        do {
            const char *end = argument_end(++at);
            if (!end || d.n == MOST_ARGS) bug("%s:%d: the formals of %s do not end", t->file, number, d.name);
            d.formals[d.n++] = trimmed(t->arena, at, end);
            at = end;
        } while (*at == ',');
        at++;
    }
    while (*at == ' ') at++;
    if (!*d.name || *at != '=') bug("%s:%d: an example wants `name = text`", t->file, number);
    for (at++; *at == ' ';) at++;
    d.text = at;
    return d;
}

const char *template_example(Arena *a, const char *file, int n, const char **name) {
    Text body = {.arena = a, .indent = 1}, whole = {.arena = a};
    Template *t = template_new(&body, file, NULL, NULL);
    Cursor c = {t->text, 0};
    const char *line, *head = NULL, *of;
    while ((line = next_line(a, &c)) != NULL) {
        head = directive(line, "example");
        if (head && n-- == 0) break;
    }
    if (!line || !head) return NULL;
    of = strstr(head, " of ");
    if (!of) bug("%s:%d: #example wants `name of template`", file, c.line);
    *name = arena_copy(a, head, (size_t)(of - head));
    while ((line = next_line(a, &c)) != NULL && line[0] != '#')
        if (*line) PUSH(a, t->definitions, parse_definition(t, line, c.line));
    template_run(t, of + 4);
    text_add(&whole, "%s {\n%s}\n", definition_text(t, "kernel", 0, NULL, 0), body.at);
    return whole.at;
}
