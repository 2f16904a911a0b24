/* fmt_expr.c -- expressions, types, patterns, parameters: what stands on a line, or is broken because it is too long.
 *
 * Operators have a blank on both sides, but for `..`, signs, and the `:` of short slices. What does not fit breaks at
 * commas (filled, under the open bracket), before operators, before every |> of a chain. Where the writer has broken a
 * chain of pipes, a chain of ?: or the rows of a list, it stays broken there. */
#include "frontend/fmt_internal.h"

#include <string.h>

/* ---- words --------------------------------------------------------------------------------------------------------------- */

const char *fmt_name(Formatter *f, const Ast *a) { return a->quoted ? arena_printf(f->arena, "`%s`", a->text) : a->text; }

Doc *fmt_string(Formatter *f, const char *text) {
    char *out = arena_alloc(f->arena, 2 * strlen(text) + 3);
    int n = 0;
    out[n++] = '"';
    for (; *text; text++) {
        bool escape = *text == '"' || *text == '\\' || *text == '\n' || *text == '\t';
        if (escape) out[n++] = '\\';
        out[n++] = *text == '\n' ? 'n' : *text == '\t' ? 't' : *text;
    }
    out[n] = '"';
    return doc_text(f->arena, out);
}

/* ---- lists with commas --------------------------------------------------------------------------------------------------- */

/* Whether the next unplaced comment stands behind `after`, wholly on its line, and before `end`. */
static bool comment_behind_waits(const Formatter *f, int after, int end) {
    if (!comment_before(f, end)) return false;
    Loc c = f->comments->at[f->next].loc;
    return c.begin >= after && !source_breaks(f, after, c.end);
}

/* Lines of their own for the comments before a byte. */
static void comment_lines(Formatter *f, Doc *out, int before) {
    while (comment_before(f, before)) {
        doc_add_text(f->arena, out, comment_text(f, take_comment(f)));
        doc_add(f->arena, out, doc_hard(f->arena));
    }
}

/* The elements with commas, filled into lines. A comment keeps its place, before or behind an element; rows: an element on a
 * new line in the source is so here. */
static Doc *elements(Formatter *f, const Ast *list, Builder *each, int end, bool rows) {
    Doc *out = doc_list(f->arena);
    bool broken = false;
    for (int i = 0; i < list->n; i++) {
        const Ast *kid = list->kid[i];
        bool new_row = i > 0 && rows && source_breaks(f, list->kid[i - 1]->span.end, kid->span.begin);
        bool last = i == list->n - 1;
        Doc *notes = doc_list(f->arena);
        bool noted = comment_before(f, kid->span.begin);
        comment_lines(f, notes, kid->span.begin);
        Doc *element = CAT(each(f, kid), doc_text(f->arena, last ? "" : ","));
        noted = noted || comment_before(f, kid->span.end);
        comment_lines(f, notes, kid->span.end); /* those that found no place in it */
        broken = broken || new_row || noted;
        if (i > 0 && broken) doc_add(f->arena, out, doc_hard(f->arena));
        doc_add(f->arena, out, notes);
        if (i > 0 && !broken) doc_add(f->arena, out, doc_fill(f->arena, element));
        doc_add(f->arena, out, element);
        broken = false;
        while (comment_behind_waits(f, kid->span.end, last ? end : list->kid[i + 1]->span.begin)) {
            doc_add(f->arena, out, comment_behind(f, take_comment(f)));
            broken = true;
        }
    }
    while (comment_before(f, end)) {
        if (list->n) doc_add(f->arena, out, doc_hard(f->arena));
        doc_add_text(f->arena, out, comment_text(f, take_comment(f)));
        broken = true;
    }
    if (broken) doc_add(f->arena, out, doc_hard(f->arena));
    return out;
}

/* end: the byte of the closing bracket. */
Doc *fmt_commas(Formatter *f, const Ast *list, Builder *each, const char *open, const char *close, int end) {
    Doc *inside = elements(f, list, each, end, false);
    return doc_group(f->arena, CAT(doc_text(f->arena, open), doc_hang(f->arena, inside), doc_text(f->arena, close)));
}

static Doc *arguments(Formatter *f, const Ast *args) { return fmt_commas(f, args, fmt_argument, "(", ")", args->span.end - 1); }

/* `[` at the end of a line: the elements one step in, and a comma behind the last one. Else the elements begin behind `[`. */
static Doc *list_literal(Formatter *f, const Ast *list) {
    int end = list->span.end - 1;
    int first = list->n ? list->kid[0]->span.begin : end;
    bool block = list->n && (source_breaks(f, list->span.begin, first) || comment_before(f, first));
    Doc *inside = elements(f, list, fmt_expr, block ? list->kid[list->n - 1]->span.end : end, true);
    if (!block) return doc_group(f->arena, CAT(TEXT("["), doc_hang(f->arena, inside), TEXT("]")));
    Doc *out = CAT(doc_hard(f->arena), inside, TEXT(","));
    bool behind = comment_behind_waits(f, list->kid[list->n - 1]->span.end, end);
    if (behind) doc_add(f->arena, out, comment_behind(f, take_comment(f)));
    while (comment_before(f, end)) {
        doc_add(f->arena, out, doc_hard(f->arena));
        doc_add_text(f->arena, out, comment_text(f, take_comment(f)));
    }
    return CAT(TEXT("["), doc_nest(f->arena, 4, out), doc_hard(f->arena), TEXT("]"));
}

/* ---- operators ----------------------------------------------------------------------------------------------------------- */

static int level(const char *op) {
    static const char *const levels[] = {"||", "&&", "== != < > <= >=", "+ -", "* / % @", "**"};
    for (int i = 0; i < 6; i++) {
        const char *at = strstr(levels[i], op);
        size_t n = strlen(op);
        if (at && (at == levels[i] || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return i;
    }
    bug("operator %s", op);
}

/* a + b - c: one group, broken before its operators. `**` groups to the right, all others to the left. */
static void operands(Formatter *f, const Ast *a, int of_level, Doc *out) {
    if (a->kind != AST_BIN || level(a->text) != of_level || of_level == 5) {
        doc_add(f->arena, out, fmt_expr(f, a));
        return;
    }
    operands(f, a->kid[0], of_level, out);
    doc_add(f->arena, out, doc_line(f->arena, " "));
    doc_add(f->arena, out, TEXT("%s ", a->text));
    doc_add(f->arena, out, fmt_expr(f, a->kid[1]));
}

static Doc *binary(Formatter *f, const Ast *a) {
    if (level(a->text) == 5) {
        Doc *base = fmt_expr(f, a->kid[0]);
        return CAT(base, TEXT(" ** "), fmt_expr(f, a->kid[1]));
    }
    Doc *out = doc_list(f->arena);
    operands(f, a, level(a->text), out);
    return doc_group(f->arena, doc_nest(f->arena, 4, out));
}

/* c ? x : d ? y : z. A chain that was broken before a `:` is broken before each, `:` under the start less two. */
static Doc *conditional(Formatter *f, const Ast *a) {
    bool broken = false;
    for (const Ast *c = a; c->kind == AST_COND; c = c->kid[2])
        broken = broken || source_breaks(f, c->kid[1]->span.end, c->kid[2]->span.begin);
    Doc *out = doc_list(f->arena);
    const Ast *c = a;
    for (; c->kind == AST_COND; c = c->kid[2]) {
        doc_add(f->arena, out, fmt_expr(f, c->kid[0]));
        doc_add_text(f->arena, out, " ? ");
        doc_add(f->arena, out, fmt_expr(f, c->kid[1]));
        doc_add(f->arena, out, broken ? doc_hard(f->arena) : doc_line(f->arena, " "));
        doc_add_text(f->arena, out, ": ");
    }
    doc_add(f->arena, out, fmt_expr(f, c));
    return doc_group(f->arena, doc_align(f->arena, -2, out));
}

/* ---- pipes --------------------------------------------------------------------------------------------------------------- */

typedef LIST(const Ast *) AstList;

static void pipe_stages(Formatter *f, const Ast *a, AstList *stages) {
    if (a->kind == AST_PIPE) {
        pipe_stages(f, a->kid[0], stages);
        PUSH(f->arena, *stages, a);
    }
}

/* The stages, each with its |> before it; a line breaks before |> where it did, and behind comments. behind_head: the first
 * one follows its head, what stands between them is the caller's. */
static Doc *stages_doc(Formatter *f, const AstList *pipes, bool behind_head, bool broken) {
    Doc *out = doc_list(f->arena);
    for (int i = 0; i < pipes->n; i++) {
        const Ast *pipe = pipes->at[i];
        bool was_broken = source_breaks(f, pipe->kid[0]->span.end, pipe->loc.begin);
        bool comment = comment_before(f, pipe->loc.begin);
        for (int c = 0; comment_before(f, pipe->loc.begin); c++) {
            if (c) doc_add(f->arena, out, doc_hard(f->arena));
            doc_add(f->arena, out, comment_behind(f, take_comment(f)));
        }
        if (i > 0 || !behind_head)
            doc_add(f->arena, out, comment || (broken && was_broken) ? doc_hard(f->arena)
                                   : broken                          ? TEXT(" ")
                                                                     : doc_line(f->arena, " "));
        doc_add(f->arena, out, CAT(TEXT("|> "), fmt_expr(f, pipe->kid[1])));
    }
    return out;
}

/* Unbroken in the source: one line, or a line for each |> if that is too long. Broken behind its first stages: the next |>
 * stand under the first one. Broken before its first |>: they stand one step in. */
static Doc *pipeline(Formatter *f, const Ast *a) {
    AstList pipes = {0};
    pipe_stages(f, a, &pipes);
    const Ast *head = pipes.at[0]->kid[0];
    bool broken = false;
    for (int i = 0; i < pipes.n; i++)
        broken = broken || source_breaks(f, pipes.at[i]->kid[0]->span.end, pipes.at[i]->loc.begin);
    Doc *first = fmt_expr(f, head);
    bool at_first = source_breaks(f, head->span.end, pipes.at[0]->loc.begin) || comment_before(f, pipes.at[0]->loc.begin);
    if (!broken || at_first) {
        Doc *stages = stages_doc(f, &pipes, false, broken);
        return doc_group(f->arena, CAT(first, doc_nest(f->arena, 4, stages)));
    }
    return CAT(first, TEXT(" "), doc_align(f->arena, 0, stages_doc(f, &pipes, true, true)));
}

/* ---- expressions --------------------------------------------------------------------------------------------------------- */

static bool is_long_bound(const Ast *a) { return a->kind == AST_BIN || a->kind == AST_COND || a->kind == AST_PIPE; }

static Doc *subscript(Formatter *f, const Ast *a) {
    if (a->kind == AST_STAR) return TEXT("*");
    if (a->kind != AST_SLICE && a->kind != AST_WINDOW) return fmt_expr(f, a);
    Doc *begin = fmt_expr(f, a->kid[0]);
    if (a->kind == AST_WINDOW) return CAT(begin, TEXT(" : +"), fmt_expr(f, a->kid[1]));
    bool both = ast_given(a->kid[0]) && ast_given(a->kid[1]);
    bool wide = both && (is_long_bound(a->kid[0]) || is_long_bound(a->kid[1]));
    return CAT(begin, TEXT("%s", wide ? " : " : ":"), fmt_expr(f, a->kid[1]));
}

static Doc *comprehension(Formatter *f, const Ast *a) {
    Doc *element = fmt_expr(f, a->kid[0]);
    Doc *pattern = fmt_pattern(f, a->kid[1]);
    Doc *inside = CAT(element, doc_line(f->arena, " "), TEXT("for "), pattern, TEXT(" in "), fmt_expr(f, a->kid[2]));
    return doc_group(f->arena, CAT(TEXT("["), doc_align(f->arena, 0, inside), TEXT("]")));
}

Doc *fmt_argument(Formatter *f, const Ast *a) {
    if (a->kind != AST_NAMED) return fmt_expr(f, a);
    return CAT(TEXT("%s = ", fmt_name(f, a)), fmt_expr(f, a->kid[0]));
}

Doc *fmt_expr(Formatter *f, const Ast *a) {
    switch (a->kind) {
    case AST_NONE:
        return TEXT("%s", "");
    case AST_NAME:
        return TEXT("%s", fmt_name(f, a));
    case AST_INT:
    case AST_REAL:
    case AST_BOOL:
    case AST_DTYPE:
        return TEXT("%s", a->text);
    case AST_STR:
        return fmt_string(f, a->text);
    case AST_PACK:
        return TEXT("...");
    case AST_PAREN:
        return CAT(TEXT("("), doc_align(f->arena, 0, fmt_expr(f, a->kid[0])), TEXT(")"));
    case AST_UN:
        return CAT(TEXT("%s", a->text), fmt_expr(f, a->kid[0]));
    case AST_BIN:
        return binary(f, a);
    case AST_RANGE: {
        Doc *begin = fmt_expr(f, a->kid[0]);
        return CAT(begin, TEXT(".."), fmt_expr(f, a->kid[1]));
    }
    case AST_COND:
        return conditional(f, a);
    case AST_PIPE:
        return pipeline(f, a);
    case AST_CALL: {
        Doc *function = fmt_expr(f, a->kid[0]);
        return CAT(function, arguments(f, a->kid[1]));
    }
    case AST_INDEX: {
        Doc *value = fmt_expr(f, a->kid[0]);
        return CAT(value, fmt_commas(f, a->kid[1], subscript, "[", "]", a->kid[1]->span.end - 1));
    }
    case AST_DOT:
        return CAT(fmt_expr(f, a->kid[0]), TEXT(".%s", fmt_name(f, a)));
    case AST_TUPLE:
        return fmt_commas(f, a, fmt_expr, "(", ")", a->span.end - 1);
    case AST_LIST:
        return list_literal(f, a);
    case AST_COMP:
        return comprehension(f, a);
    case AST_SCAN:
        return fmt_scan(f, a);
    default:
        bug("fmt: %s in an expression", ast_kind_name(a->kind));
    }
}

Doc *fmt_pattern(Formatter *f, const Ast *a) {
    if (a->kind == AST_TUPLE) return fmt_commas(f, a, fmt_pattern, "(", ")", a->span.end - 1);
    return TEXT("%s", fmt_name(f, a));
}

/* ---- types and parameters ------------------------------------------------------------------------------------------------ */

Doc *fmt_range(Formatter *f, const Ast *range) {
    return ast_given(range) ? CAT(TEXT(" in "), fmt_expr(f, range)) : TEXT("%s", "");
}

static Doc *dim(Formatter *f, const Ast *a) {
    Doc *name = TEXT("%s", fmt_name(f, a));
    return CAT(name, fmt_range(f, a->kid[0]));
}

/* The sizes in brackets behind a name; nothing when there are none. */
Doc *fmt_dims(Formatter *f, const Ast *dims) {
    return dims->n ? fmt_commas(f, dims, dim, "[", "]", dims->span.end - 1) : TEXT("%s", "");
}

Doc *fmt_type(Formatter *f, const Ast *a) {
    switch (a->kind) {
    case AST_TUPTYPE:
        return fmt_commas(f, a, fmt_type, "(", ")", a->span.end - 1);
    case AST_LISTTYPE:
        return CAT(TEXT("["), fmt_type(f, a->kid[0]), TEXT("]"));
    case AST_TYPE:
        break;
    default:
        bug("fmt: %s as a type", ast_kind_name(a->kind));
    }
    Doc *word = TEXT("%s", a->text);
    const Ast *inside = a->kid[0];
    if (inside->kind == AST_SHAPE) return CAT(word, fmt_commas(f, inside, fmt_expr, "[", "]", inside->span.end - 1));
    return CAT(word, fmt_range(f, inside));
}

Doc *fmt_param(Formatter *f, const Ast *a) {
    Doc *out = TEXT("%s", fmt_name(f, a));
    if (ast_given(a->kid[0])) out = CAT(out, TEXT(": "), fmt_type(f, a->kid[0]));
    if (ast_given(a->kid[1])) out = CAT(out, TEXT(" = "), fmt_expr(f, a->kid[1]));
    return out;
}

static Doc *field(Formatter *f, const Ast *a) {
    Doc *name = TEXT("%s: ", fmt_name(f, a));
    return CAT(name, fmt_type(f, a->kid[0]));
}

Doc *fmt_result(Formatter *f, const Ast *a) {
    return a->kind == AST_FIELDS ? fmt_commas(f, a, field, "(", ")", a->span.end - 1) : fmt_type(f, a);
}

/* a, b except c */
Doc *fmt_sels(Formatter *f, const Ast *a) {
    const Ast *paths = a->kid[0], *except = a->kid[1];
    Doc *out = fmt_commas(f, paths, fmt_expr, "", "", paths->span.end);
    if (!except->n) return out;
    return CAT(out, TEXT(" except "), fmt_commas(f, except, fmt_expr, "", "", except->span.end));
}
