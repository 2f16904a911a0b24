/* template.c -- expands .tile templates (the syntax: template.h). A run walks the lines of a template; directives that hold lines (#if,
 * #each) run them by recursion, or go on behind them. Expansion of a line is a copy in which each $name is replaced by a parameter, by what
 * fills a hole or, in an example, by its definition there.
 *
 * A file is split into lines once in a process, comments and blanks gone, directives known, each with the place of the line that ends it: a
 * program of a thousand layers runs the same templates thousands of times. */
#include "codegen/template.h"
#include "ir/diag.h"
#include "ir/embed.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ARGS 8

typedef enum { NOT_DIRECTIVE, D_TEMPLATE, D_EXAMPLE, D_WITH, D_IF, D_ELSE, D_END, D_EACH, D_USE, D_SET, D_OPEN, D_CLOSE, D_UNKNOWN } Directive;

typedef struct Line {
    const char *text; /* without comment and blanks around; of a directive, what follows its word */
    Directive is;
    int number;       /* in the file */
    int next;         /* of #if, #each and #else: the line (of the list) with the #else or #end that ends it; -1: none */
} Line;

typedef struct File {
    const char *name;
    Line *line;
    int n;
    struct File *before; /* another one that was split */
} File;

/* A parameter, or a hole that has its name: a parameter hides it. */
typedef struct Name {
    const char *name, *text;
    const Hole *hole;
} Name;

/* A line `name(formals) = text` of an example. */
typedef struct Definition {
    const char *name, *text;
    const char *formals[MOST_ARGS];
    int n;
} Definition;

#define NAMES 512 /* places of the table of names: more than three times as many as there are */

struct Template {
    Arena *arena;
    Text *out;
    const File *first; /* that was named */
    const File *file;  /* of the line that is expanded */
    void *context;
    Name *names[NAMES]; /* by hash; the next places follow */
    int n_names;
    LIST(Definition) definitions; /* of an example */
    LIST(int) opened;             /* blocks open at each #open */
};

static const char *trimmed(Arena *a, const char *from, const char *to) {
    while (from < to && isspace((unsigned char)*from)) from++;
    while (to > from && isspace((unsigned char)to[-1])) to--;
    return arena_copy(a, from, (size_t)(to - from));
}

/* ---- files */

static Directive directive(const char *line, const char **rest) {
    static const char *const words[] = {[D_TEMPLATE] = "template", [D_EXAMPLE] = "example", [D_WITH] = "with", [D_IF] = "if", [D_ELSE] = "else", [D_END] = "end",
                                        [D_EACH] = "each", [D_USE] = "use", [D_SET] = "set", [D_OPEN] = "open", [D_CLOSE] = "close"};
    if (line[0] != '#') return NOT_DIRECTIVE;
    size_t n = strcspn(line + 1, " ");
    for (Directive d = D_TEMPLATE; d < D_UNKNOWN; d++) {
        if (strlen(words[d]) != n || strncmp(line + 1, words[d], n) != 0) continue;
        *rest = line + 1 + n;
        while (**rest == ' ') ++*rest;
        return d;
    }
    return D_UNKNOWN;
}

/* Lines from i on up to the one that ends them, which is returned; n: none. */
static int link_lines(Line *line, int n, int i) {
    for (; i < n && line[i].is != D_ELSE && line[i].is != D_END && line[i].is != D_TEMPLATE && line[i].is != D_EXAMPLE; i++) {
        if (line[i].is != D_IF && line[i].is != D_EACH) continue;
        bool may_else = line[i].is == D_IF;
        for (int from = i;; may_else = false) {
            int end = link_lines(line, n, i + 1);
            bool fits = end < n && (line[end].is == D_END || (line[end].is == D_ELSE && may_else));
            line[from].next = fits ? end : -1;
            if (!fits) return end;
            i = from = end;
            if (line[end].is == D_END) break;
        }
    }
    return i;
}

/* The arena of split files is never freed: they are constants. */
static File *file_split(Arena *a, const char *name, const char *text) {
    LIST(Line) lines = {0};
    for (int number = 1; *text; number++) {
        const char *end = text + strcspn(text, "\n"), *comment = memmem(text, (size_t)(end - text), "//", 2);
        Line l = {.text = trimmed(a, text, comment ? comment : end), .number = number, .next = -1};
        l.is = directive(l.text, &l.text);
        if (*l.text || l.is) PUSH(a, lines, l);
        text = *end ? end + 1 : end;
    }
    for (int i = 0; i < lines.n; i++)
        if (lines.at[i].is == D_TEMPLATE) link_lines(lines.at, lines.n, i + 1);
    File *f = NEW(a, File);
    *f = (File){name, lines.at, lines.n, NULL};
    return f;
}

/* NULL: there is none. */
static const File *file_find(const char *name) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Arena *arena;
    static File *files;
    File *f;
    pthread_mutex_lock(&lock);
    for (f = files; f && strcmp(f->name, name) != 0;) f = f->before;
    for (const Embedded *e = embedded_tile; !f && e->name; e++) {
        if (strcmp(e->name, name) != 0) continue;
        if (!arena) arena = arena_new();
        f = file_split(arena, e->name, e->text);
        f->before = files;
        files = f;
    }
    pthread_mutex_unlock(&lock);
    return f;
}

/* ---- text */

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

/* The place of a name in the table, where it is or would be. */
static Name **name_place(Template *t, const char *name) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *s = name; *s; s++) hash = (hash ^ (unsigned char)*s) * 16777619u;
    while (t->names[hash % NAMES] && strcmp(t->names[hash % NAMES]->name, name) != 0) hash++;
    return &t->names[hash % NAMES];
}

static Name *name_make(Template *t, const char *name) {
    Name **place = name_place(t, name);
    if (*place) return *place;
    if (++t->n_names == NAMES) bug("%s: too many names", t->file->name);
    *place = NEW(t->arena, Name);
    (*place)->name = name;
    return *place;
}

Template *template_new(Text *out, const char *file, const Hole *holes, void *context) {
    Template *t = NEW(out->arena, Template);
    *t = (Template){.arena = out->arena, .out = out, .first = file_find(file), .context = context};
    if (!t->first) bug("no template file %s", file);
    t->file = t->first;
    for (const Hole *h = holes; h && h->name; h++) name_make(t, h->name)->hole = h;
    return t;
}

void template_set(Template *t, const char *name, const char *text) { name_make(t, name)->text = text; }

void template_number(Template *t, const char *name, int64_t value) {
    if (value == 0 || value == 1) template_set(t, name, value ? "1" : "0");
    else template_set(t, name, arena_printf(t->arena, "%lld", (long long)value));
}

static const char *param_find(Template *t, const char *name) {
    const Name *n = *name_place(t, name);
    return n ? n->text : NULL;
}

const char *template_get(Template *t, const char *name) {
    const char *text = param_find(t, name);
    if (!text) bug("%s: no parameter %s", t->file->name, name);
    return text;
}

static const char *expand(Template *t, const char *s, int line);

/* A definition of the example: every line of that name, formals replaced. NULL: none. */
static const char *definition_text(Template *t, const char *name, int n, const char *const *args, int line) {
    Text whole = {.arena = t->arena};
    bool found = false;
    for (int i = 0; i < t->definitions.n; i++) {
        const Definition *d = &t->definitions.at[i];
        const char *hidden[MOST_ARGS];
        if (strcmp(d->name, name) != 0) continue;
        if (d->n != n) bug("%s:%d: %s wants %d arguments, not %d", t->file->name, line, name, d->n, n);
        for (int k = 0; k < n; k++) { /* a formal hides a parameter of its name */
            hidden[k] = param_find(t, d->formals[k]);
            template_set(t, d->formals[k], args[k]);
        }
        text_add(&whole, "%s%s", found ? "\n" : "", expand(t, d->text, line));
        for (int k = n; k-- > 0;) template_set(t, d->formals[k], hidden[k]);
        found = true;
    }
    return found ? whole.at : NULL;
}

static const char *value_of(Template *t, const char *name, int n, const char *const *args, int line) {
    const Name *known = *name_place(t, name);
    if (known && known->text && !n) return known->text;
    if (known && known->hole) {
        if (known->hole->args != n) bug("%s:%d: hole %s takes %d arguments, not %d", t->file->name, line, name, known->hole->args, n);
        return known->hole->fill(t->context, args);
    }
    const char *text = definition_text(t, name, n, args, line);
    if (!text) bug("%s:%d: nothing fills $%s", t->file->name, line, name);
    return text;
}

/* May arguments follow the name? Brackets behind a parameter are text: $T(0). */
static bool takes_arguments(Template *t, const char *name) {
    const Name *known = *name_place(t, name);
    if (known && known->text) return false;
    if (known && known->hole) return known->hole->args > 0;
    for (int i = 0; i < t->definitions.n; i++)
        if (strcmp(t->definitions.at[i].name, name) == 0) return t->definitions.at[i].n > 0;
    return true;
}

/* The name between braces at *at, itself expanded: ${row$r}. */
static const char *braced_name(Template *t, const char **at, int line) {
    const char *end = strchr(*at, '}');
    if (!end) bug("%s:%d: a ${ does not end", t->file->name, line);
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
        if (!*name) bug("%s:%d: a name must follow $", t->file->name, line);
        if (*at == '(' && takes_arguments(t, name)) {
            do {
                const char *end = argument_end(++at);
                if (!end || n == MOST_ARGS) bug("%s:%d: the arguments of $%s do not end", t->file->name, line, name);
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

static int run_lines(Template *t, int i);

static void write_line(Template *t, const char *line) {
    int braces = 0;
    const char *s = line;
    for (; *s == '}' || *s == ' '; s++) braces += *s == '}';
    if (!*line) return;
    if (*s) text_whole_line(t->out, line);
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

/* The line behind #template NAME, in this file or in those that lines #with of it name, which *file is set to; -1: there is none. */
static int find_template(const File **file, const char *name) {
    const File *here = *file;
    for (int i = 0; i < here->n; i++)
        if (here->line[i].is == D_TEMPLATE && strcmp(here->line[i].text, name) == 0) return i + 1;
    for (int i = 0; i < here->n; i++) {
        if (here->line[i].is != D_WITH) continue;
        *file = file_find(here->line[i].text);
        if (!*file) bug("no template file %s", here->line[i].text);
        int at = find_template(file, name);
        if (at >= 0) return at;
    }
    return -1;
}

static void run_template(Template *t, const char *name) {
    const File *before = t->file;
    t->file = t->first;
    int begin = find_template(&t->file, name);
    if (begin < 0) bug("%s: no template %s", t->first->name, name);
    int end = run_lines(t, begin);
    if (end < t->file->n && t->file->line[end].is != D_TEMPLATE && t->file->line[end].is != D_EXAMPLE)
        bug("%s:%d: the end of what does not begin", t->file->name, t->file->line[end].number);
    t->file = before;
}

/* Returns the line with its #end. */
static int run_if(Template *t, int i) {
    const Line *line = t->file->line, *l = &line[i];
    bool not = *l->text == '!', yes = (strcmp(value_of(t, l->text + not, 0, NULL, l->number), "0") != 0) != not;
    int other = l->next, end = other < 0 || line[other].is == D_END ? other : line[other].next;
    if (end < 0) bug("%s:%d: an #if does not end", t->file->name, l->number);
    if (yes) run_lines(t, i + 1);
    else if (other != end) run_lines(t, other + 1);
    return end;
}

static int run_each(Template *t, int i) {
    const Line *l = &t->file->line[i];
    size_t n = name_length(l->text);
    const char *name = arena_copy(t->arena, l->text, n), *in = strstr(l->text, " in ");
    long long count = 0;
    if (!n || !in) bug("%s:%d: #each wants `name in count`", t->file->name, l->number);
    if (l->next < 0) bug("%s:%d: an #each does not end", t->file->name, l->number);
    if (sscanf(expand(t, in + 4, l->number), "%lld", &count) != 1) bug("%s:%d: no count", t->file->name, l->number);
    for (long long k = 0; k < count; k++) {
        template_number(t, name, k);
        run_lines(t, i + 1);
    }
    return l->next;
}

static void run_set(Template *t, const Line *l) {
    const char *equals = strstr(l->text, " = ");
    if (!equals) { /* nothing follows: an empty text */
        size_t n = strlen(l->text);
        if (n < 2 || strcmp(l->text + n - 2, " =") != 0) bug("%s:%d: #set wants `name = text`", t->file->name, l->number);
        template_set(t, expand(t, trimmed(t->arena, l->text, l->text + n - 2), l->number), "");
        return;
    }
    const char *name = expand(t, trimmed(t->arena, l->text, equals), l->number);
    template_set(t, name, expand(t, equals + 3, l->number));
}

static void run_close(Template *t, const Line *l) {
    if (!t->opened.n) bug("%s:%d: #close without #open", t->file->name, l->number);
    text_close(t->out, t->out->indent - t->opened.at[--t->opened.n]);
}

/* Runs lines from i on up to a directive that ends them, whose line is returned. */
static int run_lines(Template *t, int i) {
    for (; i < t->file->n; i++) {
        const Line *l = &t->file->line[i];
        switch (l->is) {
        case NOT_DIRECTIVE: write_lines(t, expand(t, l->text, l->number)); break;
        case D_IF: i = run_if(t, i); break;
        case D_EACH: i = run_each(t, i); break;
        case D_USE: run_template(t, l->text); break;
        case D_SET: run_set(t, l); break;
        case D_OPEN: PUSH(t->arena, t->opened, t->out->indent); break;
        case D_CLOSE: run_close(t, l); break;
        case D_TEMPLATE:
        case D_EXAMPLE:
        case D_ELSE:
        case D_END: return i;
        case D_WITH:
        case D_UNKNOWN: bug("%s:%d: unknown directive %s", t->file->name, l->number, l->text);
        }
    }
    return i;
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
            if (!end || d.n == MOST_ARGS) bug("%s:%d: the formals of %s do not end", t->file->name, number, d.name);
            d.formals[d.n++] = trimmed(t->arena, at, end);
            at = end;
        } while (*at == ',');
        at++;
    }
    while (*at == ' ') at++;
    if (!*d.name || *at != '=') bug("%s:%d: an example wants `name = text`", t->file->name, number);
    for (at++; *at == ' ';) at++;
    d.text = at;
    return d;
}

const char *template_example(Arena *a, const char *file, int n, const char **name) {
    Text body = {.arena = a, .indent = 1}, whole = {.arena = a};
    Template *t = template_new(&body, file, NULL, NULL);
    const File *f = t->first;
    int i = 0;
    while (i < f->n && (f->line[i].is != D_EXAMPLE || n-- > 0)) i++;
    if (i == f->n) return NULL;
    const char *head = f->line[i].text, *of = strstr(head, " of ");
    if (!of) bug("%s:%d: #example wants `name of template`", file, f->line[i].number);
    *name = arena_copy(a, head, (size_t)(of - head));
    for (i++; i < f->n && !f->line[i].is; i++) PUSH(a, t->definitions, parse_definition(t, f->line[i].text, f->line[i].number));
    template_run(t, of + 4);
    text_add(&whole, "%s {\n%s}\n", definition_text(t, "kernel", 0, NULL, 0), body.at);
    return whole.at;
}
