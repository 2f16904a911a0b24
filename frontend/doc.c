/* doc.c -- sets a Doc into lines. One loop over a stack of pieces still to be set, each with its indentation and whether the
 * group it is in fits (flat) or not; fits() looks ahead on that same stack. */
#include "frontend/doc.h"

#include <string.h>

typedef enum Kind { TEXT, LINE, HARD, BLANK, COMMENT, GROUP, NEST, ALIGN, HANG, SEQUENCE, FILL } Kind;

struct Doc {
    Kind kind;
    const char *text; /* TEXT, LINE (flat), COMMENT */
    int number;       /* COMMENT: column; NEST, ALIGN: columns */
    Doc *kid;         /* GROUP, NEST, ALIGN, HANG; FILL: what follows it */
    LIST(Doc *) list; /* SEQUENCE */
};

enum { HANG_LIMIT = 78, HANG_INDENT = 4 };

static Doc *make(Arena *a, Kind kind, const char *text, int number, Doc *kid) {
    Doc *d = NEW(a, Doc);
    d->kind = kind;
    d->text = text;
    d->number = number;
    d->kid = kid;
    return d;
}

Doc *doc_text(Arena *a, const char *text) { return make(a, TEXT, text, 0, NULL); }
Doc *doc_line(Arena *a, const char *flat) { return make(a, LINE, flat, 0, NULL); }
Doc *doc_hard(Arena *a) { return make(a, HARD, NULL, 0, NULL); }
Doc *doc_blank(Arena *a) { return make(a, BLANK, NULL, 0, NULL); }
Doc *doc_comment(Arena *a, const char *text, int column) { return make(a, COMMENT, text, column, NULL); }
Doc *doc_group(Arena *a, Doc *d) { return make(a, GROUP, NULL, 0, d); }
Doc *doc_nest(Arena *a, int by, Doc *d) { return make(a, NEST, NULL, by, d); }
Doc *doc_align(Arena *a, int offset, Doc *d) { return make(a, ALIGN, NULL, offset, d); }
Doc *doc_hang(Arena *a, Doc *d) { return make(a, HANG, NULL, 0, d); }
Doc *doc_list(Arena *a) { return make(a, SEQUENCE, NULL, 0, NULL); }
Doc *doc_fill(Arena *a, Doc *next) { return make(a, FILL, NULL, 0, next); }
void doc_add(Arena *a, Doc *list, Doc *d) { PUSH(a, list->list, d); }
void doc_add_text(Arena *a, Doc *list, const char *text) { PUSH(a, list->list, doc_text(a, text)); }

int text_columns(const char *text, int bytes) {
    int n = 0;
    for (int i = 0; i < bytes; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

/* ---- setting ------------------------------------------------------------------------------------------------------------- */

typedef struct Item {
    const Doc *doc;
    int indent;
    bool flat;
} Item;

typedef LIST(Item) Stack;

typedef struct Setter {
    Arena *arena;
    int width, column;
    Stack todo;    /* the next piece is the last */
    Stack scratch; /* of fits() */
    LIST(char) out;
} Setter;

static void push(Setter *s, Stack *stack, const Doc *d, int indent, bool flat) {
    PUSH(s->arena, *stack, ((Item){d, indent, flat}));
}

/* Pushes what is inside of a piece, the first part last. */
static void push_inside(Setter *s, Stack *stack, const Doc *d, int indent, bool flat) {
    if (d->kind == SEQUENCE)
        for (int i = d->list.n - 1; i >= 0; i--) push(s, stack, d->list.at[i], indent, flat);
    else push(s, stack, d->kid, indent, flat);
}

/* Whether `first`, flat, and what follows it up to the next place that may break, fit on the rest of this line. */
static bool fits(Setter *s, const Doc *first) {
    int left = s->width - s->column;
    int next = s->todo.n;
    s->scratch.n = 0;
    push(s, &s->scratch, first, 0, true);
    while (left >= 0) {
        if (s->scratch.n == 0) {
            if (next == 0) return true;
            Item rest = s->todo.at[--next];
            push(s, &s->scratch, rest.doc, 0, rest.flat);
        }
        Item it = s->scratch.at[--s->scratch.n];
        const Doc *d = it.doc;
        switch (d->kind) {
        case TEXT:
            left -= text_columns(d->text, (int)strlen(d->text));
            break;
        case LINE:
            if (!it.flat) return true;
            left -= (int)strlen(d->text);
            break;
        case FILL:
            if (!it.flat) return true;
            left--;
            break;
        case HARD:
        case BLANK:
            return !it.flat;
        case COMMENT:
            if (it.flat) return false;
            break;
        case GROUP:
        case NEST:
        case ALIGN:
        case HANG:
        case SEQUENCE:
            push_inside(s, &s->scratch, d, 0, it.flat);
            break;
        }
    }
    return false;
}

static void put(Setter *s, const char *text) {
    for (const char *t = text; *t; t++) {
        PUSH(s->arena, s->out, *t);
        if (*t == '\n') s->column = 0;
        else if (((unsigned char)*t & 0xC0) != 0x80) s->column++;
    }
}

static void put_blanks(Setter *s, int n) {
    for (int i = 0; i < n; i++) put(s, " ");
}

static void new_line(Setter *s, int indent) {
    while (s->out.n && s->out.at[s->out.n - 1] == ' ') s->out.n--;
    put(s, "\n");
    put_blanks(s, indent);
}

static void put_comment(Setter *s, const Doc *d) {
    int length = text_columns(d->text, (int)strlen(d->text));
    int gap = d->number - s->column;
    bool possible = gap >= 2 && d->number + length <= s->width;
    put_blanks(s, possible ? gap : 2);
    put(s, d->text);
}

static void set(Setter *s, Item it) {
    const Doc *d = it.doc;
    switch (d->kind) {
    case TEXT:
        put(s, d->text);
        break;
    case LINE:
        if (it.flat) put(s, d->text);
        else new_line(s, it.indent);
        break;
    case HARD:
        new_line(s, it.indent);
        break;
    case BLANK:
        new_line(s, 0);
        break;
    case COMMENT:
        put_comment(s, d);
        break;
    case GROUP:
        push(s, &s->todo, d->kid, it.indent, it.flat || fits(s, d->kid));
        break;
    case NEST:
        push(s, &s->todo, d->kid, it.indent + d->number, it.flat);
        break;
    case ALIGN:
        push(s, &s->todo, d->kid, s->column + d->number > 0 ? s->column + d->number : 0, it.flat);
        break;
    case HANG:
        if (!it.flat && s->column > HANG_LIMIT && it.indent + HANG_INDENT < s->column) new_line(s, it.indent + HANG_INDENT);
        push(s, &s->todo, d->kid, s->column, it.flat);
        break;
    case SEQUENCE:
        push_inside(s, &s->todo, d, it.indent, it.flat);
        break;
    case FILL:
        if (it.flat) {
            put(s, " ");
        } else {
            s->column++; /* the blank, if it is one; what follows d on the stack begins with d->kid itself */
            Item own = s->todo.at[--s->todo.n];
            bool fit = fits(s, d->kid);
            s->todo.at[s->todo.n++] = own;
            s->column--;
            if (fit) put(s, " ");
            else new_line(s, it.indent);
        }
        break;
    }
}

char *doc_render(Arena *a, const Doc *d, int width) {
    Setter s = {.arena = a, .width = width};
    push(&s, &s.todo, d, 0, false);
    while (s.todo.n) {
        Item it = s.todo.at[--s.todo.n];
        set(&s, it);
    }
    PUSH(a, s.out, '\0');
    return s.out.at;
}

static bool has_line_end(const Doc *d) {
    if (d->kind == HARD || d->kind == BLANK || d->kind == COMMENT) return true;
    if (d->kind == TEXT) return strchr(d->text, '\n') != NULL;
    if (d->kind == SEQUENCE) {
        for (int i = 0; i < d->list.n; i++)
            if (has_line_end(d->list.at[i])) return true;
        return false;
    }
    return d->kind != FILL && d->kid && has_line_end(d->kid);
}

char *doc_flat(Arena *a, const Doc *d) {
    if (has_line_end(d)) return NULL;
    Setter s = {.arena = a, .width = 1 << 30};
    push(&s, &s.todo, d, 0, true);
    while (s.todo.n) {
        Item it = s.todo.at[--s.todo.n];
        set(&s, it);
    }
    PUSH(a, s.out, '\0');
    return s.out.at;
}
