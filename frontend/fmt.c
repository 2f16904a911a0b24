/* fmt.c -- the formatter: a tree back to text, in one style.
 *
 * A block is a list of rows, one for each declaration or statement. First the rows are built, with the comments that stand
 * before and behind them; then neighbours are aligned; then they are set. A row that takes part in an alignment is cut into
 * columns (`param weight:` | ` float[out, inp]` | ` = fan_uniform();`). Declarations are always aligned; what stands inside of
 * functions, and one-line functions, only where the writer did so.
 *
 * A comment behind a row stays there. A comment inside of an expression where it cannot stay moves before its row. Empty
 * lines stay, but not two in a row. fmt_expr.c sets what stands inside of a row, doc.c breaks lines. */
#include "frontend/fmt.h"

#include "frontend/fmt_internal.h"

#include <string.h>

enum { STEP = 4, MOST_PADDING = 32, MOST_CLAUSE_PADDING = 12, COLUMNS = 3 };

/* ---- source and comments ------------------------------------------------------------------------------------------------- */

bool source_breaks(const Formatter *f, int begin, int end) {
    return end > begin && memchr(f->source->text + begin, '\n', (size_t)(end - begin));
}

bool comment_before(const Formatter *f, int end) {
    return f->next < f->comments->n && f->comments->at[f->next].loc.begin < end;
}

const Comment *take_comment(Formatter *f) { return &f->comments->at[f->next++]; }

const char *comment_text(Formatter *f, const Comment *c) {
    int end = c->loc.end;
    while (end > c->loc.begin && strchr(" \t\r", f->source->text[end - 1])) end--;
    return arena_copy(f->arena, f->source->text + c->loc.begin, (size_t)(end - c->loc.begin));
}

/* From 0, in characters. */
static int source_column(const Formatter *f, int at) {
    int begin = at;
    while (begin > 0 && f->source->text[begin - 1] != '\n') begin--;
    return text_columns(f->source->text + begin, at - begin);
}

Doc *comment_behind(Formatter *f, const Comment *c) {
    return doc_comment(f->arena, comment_text(f, c), source_column(f, c->loc.begin));
}

/* An empty line between two bytes with only blanks and line ends between them. */
static bool empty_line(const Formatter *f, int begin, int end) {
    int ends = 0;
    for (int i = begin; i < end; i++) {
        if (f->source->text[i] == '\n') ends++;
        else if (!strchr(" \t\r", f->source->text[i])) ends = 0;
    }
    return ends >= 2;
}

Doc *cat_(Formatter *f, int n, Doc **parts) {
    Doc *d = doc_list(f->arena);
    for (int i = 0; i < n; i++) doc_add(f->arena, d, parts[i]);
    return d;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

typedef struct Note { /* a comment on lines of its own */
    const char *text;
    bool blank; /* an empty line before it */
} Note;

typedef struct Row {
    LIST(Note) notes;      /* before it */
    bool blank;            /* an empty line before it (before its own text, behind the notes) */
    bool large;            /* a definition of several lines: set off by empty lines */
    const char *column[COLUMNS]; /* to be aligned with the neighbours'; NULL from the first unused one on */
    Doc *rest;
    int group;  /* neighbours of the same group are aligned; 0: never */
    int offset; /* where the source has the last column's end, if that must agree too; else 0 */
    int tail;   /* columns of the rest, where it must stay on the line; else 0 */
    LIST(Doc *) behind; /* comments */
} Row;

typedef LIST(Row) Rows;

/* Groups of rows that are aligned with their like: kinds of declarations, and these. */
enum { GROUP_NONE = 0, GROUP_KEPT = AST_KIND_COUNT, GROUP_FUNCTION };

static Doc *row_body(Formatter *f, const Ast *a, Row *row);

/* ---- blocks: { ... } ----------------------------------------------------------------------------------------------------- */

/* Whether a block was written on one line and may stay so: at most one member, or settings; no comments. */
static bool one_line(const Formatter *f, const Ast *block) {
    bool short_list = block->n <= 1 || block->kind == AST_SETTINGS || block->kind == AST_WITHS;
    return short_list && !source_breaks(f, block->span.begin, block->span.end) && !comment_before(f, block->span.end);
}

static void take_notes(Formatter *f, Row *row, int *previous_end, int before) {
    while (comment_before(f, before)) {
        const Comment *c = take_comment(f);
        PUSH(f->arena, row->notes, ((Note){comment_text(f, c), empty_line(f, *previous_end, c->loc.begin)}));
        *previous_end = c->loc.end;
    }
}

/* Comments behind a row, on its last line. One that spans lines would push away what follows, so it becomes a note. */
static void take_behind(Formatter *f, Row *row, int *end, int limit) {
    while (comment_before(f, limit)) {
        Loc c = f->comments->at[f->next].loc;
        if (source_breaks(f, *end, c.begin) || source_breaks(f, c.begin, c.end)) return;
        PUSH(f->arena, row->behind, comment_behind(f, take_comment(f)));
        *end = c.end;
    }
}

/* The rows of a list that ends at the byte `end`; begin: behind its `{`. A last row without text holds the last notes. */
static Rows build_rows(Formatter *f, const Ast *list, int begin, int end) {
    Rows rows = {0};
    int previous_end = begin;
    for (int i = 0; i < list->n; i++) {
        const Ast *a = list->kid[i];
        Row row = {0};
        take_notes(f, &row, &previous_end, a->span.begin);
        row.blank = empty_line(f, previous_end, a->span.begin);
        row.rest = row_body(f, a, &row);
        previous_end = a->span.end;
        int stuck = f->next;
        take_notes(f, &row, &(int){a->span.begin}, a->span.end); /* comments that found no place inside */
        if (f->next > stuck) row.blank = false;
        take_behind(f, &row, &previous_end, i + 1 < list->n ? list->kid[i + 1]->span.begin : end);
        PUSH(f->arena, rows, row);
    }
    Row last = {0};
    take_notes(f, &last, &previous_end, end);
    if (last.notes.n) PUSH(f->arena, rows, last);
    return rows;
}

/* Empty lines around definitions of several lines. */
static void separate(Rows *rows) {
    for (int i = 1; i < rows->n; i++) {
        Row *row = &rows->at[i];
        if (!row->rest || (!row->large && !rows->at[i - 1].large)) continue;
        if (row->notes.n) row->notes.at[0].blank = true;
        else row->blank = true;
    }
}

static int columns_of(const char *text) { return text_columns(text, (int)strlen(text)); }

static bool aligned_with(const Row *a, const Row *b) {
    if (!a->group || a->group != b->group || a->offset != b->offset || b->blank) return false;
    for (int i = 0; i < b->notes.n; i++)
        if (b->notes.at[i].blank) return false;
    return true;
}

/* Pads the columns of rows begin..end to the widest, unless that is much wider than the narrowest. */
static void align(Formatter *f, Rows *rows, int begin, int end) {
    for (int c = 0; c < COLUMNS && rows->at[begin].column[c]; c++) {
        int most = 0, least = 1 << 30;
        for (int i = begin; i < end; i++) {
            int n = columns_of(rows->at[i].column[c]);
            if (n > most) most = n;
            if (n < least) least = n;
        }
        if (most - least > MOST_PADDING) continue;
        for (int i = begin; i < end; i++) {
            const char *text = rows->at[i].column[c];
            rows->at[i].column[c] = arena_printf(f->arena, "%s%*s", text, most - columns_of(text), "");
        }
    }
}

/* Takes a row out of its run begin..end if padding would push its rest over the edge. */
static bool split_run(Formatter *f, Rows *rows, int begin, int end) {
    int most = 0;
    for (int i = begin; i < end; i++)
        if (rows->at[i].tail && columns_of(rows->at[i].column[0]) > most) most = columns_of(rows->at[i].column[0]);
    for (int i = begin; i < end; i++) {
        if (!rows->at[i].tail || f->indent + most + rows->at[i].tail <= FMT_WIDTH) continue;
        rows->at[i].group = GROUP_NONE;
        return true;
    }
    return false;
}

static void align_all(Formatter *f, Rows *rows) {
    for (int begin = 0, end; begin < rows->n; begin = end) {
        for (end = begin + 1; end < rows->n && aligned_with(&rows->at[end - 1], &rows->at[end]); end++) continue;
        if (end - begin == 1) continue;
        if (split_run(f, rows, begin, end)) end = begin; /* once more, with shorter runs */
        else align(f, rows, begin, end);
    }
}

/* Rows as lines; each begins with a line end. */
static Doc *set_rows(Formatter *f, const Rows *rows) {
    Doc *out = doc_list(f->arena);
    for (int i = 0; i < rows->n; i++) {
        const Row *row = &rows->at[i];
        bool first = i == 0;
        for (int n = 0; n < row->notes.n; n++) {
            if (row->notes.at[n].blank && !first) doc_add(f->arena, out, doc_blank(f->arena));
            doc_add(f->arena, out, doc_hard(f->arena));
            doc_add_text(f->arena, out, row->notes.at[n].text);
            first = false;
        }
        if (!row->rest) continue;
        if (row->blank && !first) doc_add(f->arena, out, doc_blank(f->arena));
        doc_add(f->arena, out, doc_hard(f->arena));
        for (int c = 0; c < COLUMNS && row->column[c]; c++) doc_add_text(f->arena, out, row->column[c]);
        doc_add(f->arena, out, row->rest);
        for (int b = 0; b < row->behind.n; b++) doc_add(f->arena, out, row->behind.at[b]);
    }
    return out;
}

static Doc *lines(Formatter *f, const Ast *list, int begin, int end) {
    Rows rows = build_rows(f, list, begin, end);
    separate(&rows);
    align_all(f, &rows);
    return set_rows(f, &rows);
}

static Doc *one_line_block(Formatter *f, const Ast *block) {
    Doc *inside = doc_list(f->arena);
    for (int i = 0; i < block->n; i++) {
        Row row = {0};
        doc_add(f->arena, inside, doc_line(f->arena, " "));
        Doc *rest = row_body(f, block->kid[i], &row);
        for (int c = 0; c < COLUMNS && row.column[c]; c++) doc_add_text(f->arena, inside, row.column[c]);
        doc_add(f->arena, inside, rest);
    }
    Doc *out = CAT(TEXT("{"), doc_nest(f->arena, STEP, inside), doc_line(f->arena, " "), TEXT("}"));
    return doc_group(f->arena, out);
}

/* `{ ... }` of a list node, whose span has the braces. */
static Doc *braces(Formatter *f, const Ast *block) {
    int begin = block->span.begin + 1, end = block->span.end - 1;
    if (!block->n && !comment_before(f, end)) return TEXT("{}");
    f->indent += STEP;
    Doc *out;
    if (one_line(f, block)) {
        out = one_line_block(f, block);
    } else {
        Doc *open = TEXT("{");
        int first = block->n ? block->kid[0]->span.begin : end;
        while (comment_before(f, first) && f->comments->at[f->next].loc.begin > begin &&
               !source_breaks(f, begin, f->comments->at[f->next].loc.end)) {
            begin = f->comments->at[f->next].loc.end;
            open = CAT(open, comment_behind(f, take_comment(f)));
        }
        out = CAT(open, doc_nest(f->arena, STEP, lines(f, block, begin, end)), doc_hard(f->arena), TEXT("}"));
    }
    f->indent -= STEP;
    return out;
}

/* ---- columns ------------------------------------------------------------------------------------------------------------- */

/* A column must be plain text: NULL if the piece has a comment in it or does not fit a line. */
static const char *flat(Formatter *f, Doc *d) {
    const char *text = doc_flat(f->arena, d);
    return text && columns_of(text) < FMT_WIDTH ? text : NULL;
}

/* ` = value;`, where left is a column if possible. */
static Doc *assignment(Formatter *f, Row *row, int group, Doc *left, Doc *right) {
    const char *text = flat(f, left);
    if (!text) return CAT(left, right);
    row->group = group;
    row->column[0] = text;
    return right;
}

/* Rows that are aligned only where they were: the `=` between these bytes tells. */
static void keep_alignment(Formatter *f, Row *row, const Ast *a, int begin, int end) {
    const char *at = memchr(f->source->text + begin, '=', (size_t)(end - begin));
    if (at) row->offset = source_column(f, (int)(at - f->source->text)) - source_column(f, a->span.begin);
}

/* ---- declarations -------------------------------------------------------------------------------------------------------- */

/* fn name[dims](params) -> result { ... } gradient (...) { ... } */
static Doc *function(Formatter *f, const Ast *a, Row *row) {
    const char *word = ast_kind_name(a->kind);
    Doc *head = *a->text ? TEXT("%s %s", word, fmt_name(f, a)) : TEXT("%s ", word);
    head = CAT(head, fmt_dims(f, fn_dims(a)));
    head = CAT(head, fmt_commas(f, fn_params(a), fmt_param, "(", ")", fn_params(a)->span.end - 1));
    if (ast_given(fn_result(a))) {
        Doc *arrow = CAT(doc_line(f->arena, " "), TEXT("-> "), fmt_result(f, fn_result(a)));
        head = CAT(head, doc_group(f->arena, doc_nest(f->arena, STEP, arrow)));
    }
    bool small = one_line(f, fn_body(a));
    Doc *body = CAT(TEXT(" "), braces(f, fn_body(a)));
    Doc *gradient = NULL;
    if (a->kind == AST_FN && ast_given(a->kid[4])) {
        const Ast *g = a->kid[4];
        bool breaks = source_breaks(f, fn_body(a)->span.end, g->span.begin);
        gradient = CAT(breaks ? doc_hard(f->arena) : TEXT(" "), TEXT("gradient "));
        gradient = CAT(gradient, fmt_commas(f, g->kid[0], fmt_param, "(", ")", g->kid[0]->span.end - 1));
        gradient = CAT(gradient, TEXT(" "), braces(f, g->kid[1]));
    }
    const char *head_text = flat(f, head), *body_text = doc_flat(f->arena, body);
    bool fits = small && head_text && body_text && f->indent + columns_of(head_text) + columns_of(body_text) <= FMT_WIDTH;
    row->large = !fits || gradient;
    if (row->large) return gradient ? CAT(head, body, gradient) : CAT(head, body);
    row->column[0] = head_text;
    row->group = GROUP_FUNCTION;
    row->tail = columns_of(body_text);
    row->offset = source_column(f, fn_body(a)->span.begin) - source_column(f, a->span.begin);
    return body;
}

static Doc *layer(Formatter *f, const Ast *a, Row *row) {
    Doc *head = TEXT("layer %s", fmt_name(f, a));
    const Ast *params = a->kid[0];
    if (params->n) head = CAT(head, fmt_commas(f, params, fmt_param, "(", ")", params->span.end - 1));
    row->large = !one_line(f, a->kid[1]);
    return CAT(head, TEXT(" "), braces(f, a->kid[1]));
}

/* param name: type = value; */
static Doc *weight(Formatter *f, const Ast *a, Row *row) {
    Doc *type = CAT(TEXT(" "), fmt_type(f, a->kid[0]));
    Doc *value = CAT(TEXT(" = "), fmt_expr(f, a->kid[1]), TEXT(";"));
    const char *name = arena_printf(f->arena, "%s %s:", ast_kind_name(a->kind), fmt_name(f, a));
    const char *type_text = flat(f, type);
    if (!type_text) return CAT(doc_text(f->arena, name), type, value);
    row->group = (int)a->kind;
    row->column[0] = name;
    row->column[1] = type_text;
    return value;
}

static Doc *config(Formatter *f, const Ast *a, Row *row) {
    Doc *left = TEXT("config %s", fmt_name(f, a));
    if (ast_given(a->kid[2])) left = CAT(left, TEXT(": "), fmt_type(f, a->kid[2]));
    Doc *value = fmt_expr(f, a->kid[0]);
    return assignment(f, row, AST_CONFIG, left, CAT(TEXT(" = "), value, fmt_range(f, a->kid[1]), TEXT(";")));
}

/* dim a, b; or dim a in 1..8; */
static Doc *dims(Formatter *f, const Ast *a, Row *row) {
    if (a->n == 1 && ast_given(a->kid[0]->kid[0])) {
        Doc *left = TEXT("dim %s", fmt_name(f, a->kid[0]));
        return assignment(f, row, AST_DIMS, left, CAT(fmt_range(f, a->kid[0]->kid[0]), TEXT(";")));
    }
    Doc *out = TEXT("dim ");
    for (int i = 0; i < a->n; i++) {
        out = CAT(out, TEXT("%s%s", i ? ", " : "", fmt_name(f, a->kid[i])));
        out = CAT(out, fmt_range(f, a->kid[i]->kid[0]));
    }
    return CAT(out, TEXT(";"));
}

static Doc *instance(Formatter *f, const Ast *a, Row *row) {
    Doc *value = CAT(TEXT(" = "), fmt_expr(f, a->kid[0]));
    if (a->kid[1]->span.end > a->kid[1]->span.begin) value = CAT(value, TEXT(" with "), braces(f, a->kid[1]));
    return assignment(f, row, AST_INSTANCE, TEXT("%s", fmt_name(f, a)), CAT(value, TEXT(";")));
}

/* `else if` is a list with one `if`, and no brace of its own. */
static Doc *conditional_block(Formatter *f, const Ast *a) {
    Doc *out = CAT(TEXT("if "), fmt_expr(f, a->kid[0]));
    out = CAT(out, TEXT(" "), braces(f, a->kid[1]));
    const Ast *other = a->kid[2];
    if (other->span.end == other->span.begin) return out;
    if (f->source->text[other->span.begin] == '{') return CAT(out, TEXT(" else "), braces(f, other));
    return CAT(out, TEXT(" else "), conditional_block(f, other->kid[0]));
}

static Doc *load(Formatter *f, const Ast *a) {
    Doc *out = CAT(TEXT("load "), fmt_expr(f, a->kid[0]));
    out = CAT(out, TEXT(" from "), fmt_expr(f, a->kid[1]));
    const Ast *options = a->kid[2];
    if (options->n) out = CAT(out, TEXT(", "), fmt_commas(f, options, fmt_argument, "", "", options->span.end));
    if (!ast_given(a->kid[4])) return CAT(out, TEXT(";"));
    return CAT(out, TEXT(" as %s ", fmt_name(f, a->kid[3])), braces(f, a->kid[4]));
}

static int behind_blanks(const Formatter *f, int at) {
    while (f->source->text[at] && strchr(" \t\r\n", f->source->text[at])) at++;
    return at;
}

/* Each on its line if it was. */
static Doc *attributes(Formatter *f, const Ast *a) {
    Doc *out = doc_list(f->arena);
    for (int i = 0; i < a->attrs->n; i++) {
        const Ast *attr = a->attrs->kid[i];
        doc_add(f->arena, out, TEXT("@%s", fmt_name(f, attr)));
        const Ast *args = attr->kid[0];
        if (args->n) doc_add(f->arena, out, fmt_commas(f, args, fmt_argument, "(", ")", attr->span.end - 1));
        int end = behind_blanks(f, attr->span.end);
        bool comments = comment_before(f, end + 1);
        while (comment_before(f, end + 1)) {
            end = behind_blanks(f, f->comments->at[f->next].loc.end);
            doc_add(f->arena, out, comment_behind(f, take_comment(f)));
        }
        doc_add(f->arena, out, comments || source_breaks(f, attr->span.end, end) ? doc_hard(f->arena) : TEXT(" "));
    }
    return out;
}

/* ---- statements ---------------------------------------------------------------------------------------------------------- */

Doc *fmt_scan(Formatter *f, const Ast *a) {
    Doc *out = CAT(TEXT("scan "), fmt_pattern(f, a->kid[0]));
    out = CAT(out, TEXT(" in "), fmt_expr(f, a->kid[1]));
    if (ast_given(a->kid[3])) out = CAT(out, TEXT(" along "), fmt_expr(f, a->kid[3]));
    return CAT(out, TEXT(" "), braces(f, a->kid[2]));
}

static Doc *let(Formatter *f, const Ast *a, Row *row) {
    Doc *left = CAT(TEXT("let "), fmt_pattern(f, a->kid[0]));
    const Ast *last = a->kid[0];
    if (ast_given(a->kid[2])) {
        left = CAT(left, TEXT(": "), fmt_type(f, a->kid[2]));
        last = a->kid[2];
    }
    Doc *right = CAT(TEXT(" = "), fmt_expr(f, a->kid[1]), TEXT(";"));
    keep_alignment(f, row, a, last->span.end, a->kid[1]->span.begin);
    return assignment(f, row, GROUP_KEPT, left, right);
}

/* target = value; of statements, `with { }` and settings */
static Doc *assign(Formatter *f, const Ast *a, Row *row, Doc *left, int left_end, const Ast *value) {
    Doc *right = CAT(TEXT(" = "), fmt_expr(f, value), TEXT(";"));
    keep_alignment(f, row, a, left_end, value->span.begin);
    return assignment(f, row, GROUP_KEPT, left, right);
}

/* over a, b using opt */
static Doc *clause(Formatter *f, const Ast *a, int width) {
    Doc *sels = CAT(TEXT("over "), fmt_sels(f, a->kid[0]));
    const char *text = flat(f, sels);
    int padding = text && columns_of(text) < width ? width - columns_of(text) : 0;
    if (padding > MOST_CLAUSE_PADDING) padding = 0;
    return CAT(sels, TEXT("%*s using ", padding, ""), fmt_expr(f, a->kid[1]));
}

/* One line, or a line for each clause with `using` in a column, the options on the last one. */
static Doc *minimize(Formatter *f, const Ast *a) {
    const Ast *tail = a->kid[2];
    Doc *head = CAT(TEXT("minimize "), fmt_expr(f, a->kid[0]), TEXT(" "));
    int clauses = 1, end = a->kid[1]->span.end, width = 0, saved = f->next;
    bool broken = false;
    Doc *all = clause(f, a->kid[1], 0);
    for (int i = 0; i < tail->n; i++) {
        clauses += tail->kid[i]->kind == AST_CLAUSE;
        broken = broken || source_breaks(f, end, tail->kid[i]->span.begin);
        end = tail->kid[i]->span.end;
        Doc *d = tail->kid[i]->kind == AST_CLAUSE ? clause(f, tail->kid[i], 0) : fmt_argument(f, tail->kid[i]);
        all = CAT(all, TEXT(", "), d);
    }
    const char *text = flat(f, CAT(head, all));
    broken = clauses > 1 && (broken || !text || f->indent + columns_of(text) + 1 > FMT_WIDTH);
    f->next = saved;
    for (int i = -1; broken && i < tail->n; i++) {
        const Ast *c = i < 0 ? a->kid[1] : tail->kid[i];
        const char *sels = c->kind == AST_CLAUSE ? flat(f, fmt_sels(f, c->kid[0])) : NULL;
        if (sels && columns_of(sels) + 5 > width) width = columns_of(sels) + 5;
    }
    f->next = saved;
    Doc *out = clause(f, a->kid[1], width);
    bool options = false;
    for (int i = 0; i < tail->n; i++) {
        const Ast *t = tail->kid[i];
        doc_add(f->arena, out, TEXT(","));
        while (comment_before(f, t->span.begin)) {
            doc_add(f->arena, out, comment_behind(f, take_comment(f)));
            if (comment_before(f, t->span.begin)) doc_add(f->arena, out, doc_hard(f->arena));
            options = false;
            broken = true;
        }
        Doc *d = t->kind == AST_CLAUSE ? clause(f, t, width) : fmt_argument(f, t);
        doc_add(f->arena, out, broken && !options ? doc_hard(f->arena) : doc_fill(f->arena, d));
        doc_add(f->arena, out, d);
        options = t->kind == AST_NAMED;
    }
    return CAT(head, doc_align(f->arena, 0, out), TEXT(";"));
}

/* ---- one row ------------------------------------------------------------------------------------------------------------- */

static Doc *assertion(Formatter *f, const Ast *a) {
    Doc *out = CAT(TEXT("assert "), fmt_expr(f, a->kid[0]));
    return ast_given(a->kid[1]) ? CAT(out, TEXT(", "), fmt_expr(f, a->kid[1]), TEXT(";")) : CAT(out, TEXT(";"));
}

/* word sels with value; */
static Doc *directive(Formatter *f, const Ast *a) {
    Doc *out = CAT(TEXT("%s ", ast_kind_name(a->kind)), fmt_sels(f, a->kid[0]));
    return CAT(out, TEXT(" with "), fmt_expr(f, a->kid[1]), TEXT(";"));
}

static Doc *import(Formatter *f, const Ast *a) {
    Doc *out = CAT(TEXT("import "), fmt_string(f, a->text));
    return ast_given(a->kid[0]) ? CAT(out, TEXT(" as %s;", fmt_name(f, a->kid[0]))) : CAT(out, TEXT(";"));
}

static Doc *bare_row(Formatter *f, const Ast *a, Row *row) {
    switch (a->kind) {
    case AST_IMPORT:
        return import(f, a);
    case AST_CONFIG:
        return config(f, a, row);
    case AST_CONST:
        return assignment(f, row, AST_CONST, TEXT("const %s", fmt_name(f, a)),
                          CAT(TEXT(" = "), fmt_expr(f, a->kid[0]), TEXT(";")));
    case AST_DIMS:
        return dims(f, a, row);
    case AST_DIMPACK:
        return TEXT("dim ...;");
    case AST_LAYER:
        return layer(f, a, row);
    case AST_FN:
    case AST_ENTRY:
    case AST_TRAIN:
        return function(f, a, row);
    case AST_PARAM:
    case AST_STATE:
    case AST_CACHE:
        return weight(f, a, row);
    case AST_INSTANCE:
        return instance(f, a, row);
    case AST_SETTINGS:
        return CAT(TEXT("%s ", fmt_name(f, a)), braces(f, a));
    case AST_SET:
        return assign(f, a, row, TEXT("%s", fmt_name(f, a)), a->loc.end, a->kid[0]);
    case AST_WITH:
        return assign(f, a, row, fmt_expr(f, a->kid[0]), a->kid[0]->span.end, a->kid[1]);
    case AST_ASSIGN:
        return assign(f, a, row, fmt_expr(f, a->kid[0]), a->kid[0]->span.end, a->kid[1]);
    case AST_LET:
        return let(f, a, row);
    case AST_INIT:
    case AST_QUANTIZE:
        return directive(f, a);
    case AST_FREEZE:
        return CAT(TEXT("freeze "), fmt_sels(f, a->kid[0]), TEXT(";"));
    case AST_LOAD:
        return load(f, a);
    case AST_IF:
        return conditional_block(f, a);
    case AST_ASSERT:
        return assertion(f, a);
    case AST_EXPRSTMT:
        return CAT(fmt_expr(f, a->kid[0]), TEXT(";"));
    case AST_RETURN:
        return ast_given(a->kid[0]) ? CAT(TEXT("return "), fmt_expr(f, a->kid[0]), TEXT(";")) : TEXT("return;");
    case AST_YIELD:
        return CAT(TEXT("yield "), fmt_expr(f, a->kid[0]), TEXT(";"));
    case AST_STOP:
        return CAT(TEXT("stop if "), fmt_expr(f, a->kid[0]), TEXT(";"));
    case AST_FOR: {
        Doc *head = CAT(TEXT("for "), fmt_pattern(f, a->kid[0]));
        head = CAT(head, TEXT(" in "), fmt_expr(f, a->kid[1]));
        return CAT(head, TEXT(" "), braces(f, a->kid[2]));
    }
    case AST_SCAN:
        return fmt_scan(f, a);
    case AST_MINIMIZE:
        return minimize(f, a);
    default:
        bug("fmt: %s as a row", ast_kind_name(a->kind));
    }
}

/* With its attributes, which keep it out of alignments. */
static Doc *row_body(Formatter *f, const Ast *a, Row *row) {
    if (!a->attrs) return bare_row(f, a, row);
    Doc *attrs = attributes(f, a);
    Row plain = {0};
    Doc *rest = bare_row(f, a, &plain);
    row->large = plain.large;
    for (int c = COLUMNS - 1; c >= 0; c--)
        if (plain.column[c]) rest = CAT(doc_text(f->arena, plain.column[c]), rest);
    return CAT(attrs, rest);
}

char *fmt_print(Arena *arena, const Ast *file) {
    static const Comments none;
    Formatter f = {.arena = arena, .source = file->span.source, .comments = file->comments ? file->comments : &none};
    Doc *all = lines(&f, file->kid[0], 0, (int)file->span.source->length);
    doc_add(arena, all, doc_hard(arena));
    char *text = doc_render(arena, all, FMT_WIDTH);
    return text + (*text == '\n');
}
