/* syntax_errors.c -- what a syntax error is called (LANGUAGE.md, section 10).
 *
 * bison says which tokens would have fitted. Most of what follows turns the common mistakes into a sentence of their own:
 * a forgotten `;` is shown where it belongs, an open bracket where it opened, habits of other languages with the text to
 * write instead. The last resort is "`x` does not fit here" with what was expected, if that can be said shortly. */
#include "frontend/syntax.h"

#include "frontend/parse.h"
#include "frontend/parser.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_SHOWN = 60, MOST_EXPECTED = 5 };

/* ---- what is there, what is expected ------------------------------------------------------------------------------------- */

static bool expects(const SyntaxError *e, const char *token) {
    for (int i = 0; i < e->n; i++)
        if (!strcmp(e->expected[i], token)) return true;
    return false;
}

static bool expects_expression(const SyntaxError *e) { return expects(e, "integer") && expects(e, "'-'"); }
static bool expects_operator(const SyntaxError *e) { return expects(e, "'/'"); }
static bool expects_statement(const SyntaxError *e) { return expects(e, "let"); }
static bool expects_declaration(const SyntaxError *e) { return expects(e, "import"); }

static bool expects_char(const SyntaxError *e, char c) {
    char name[] = {'\'', c, '\'', 0};
    return expects(e, name);
}

static const char *text_of(const Parser *p, Loc loc) {
    const char *text = p->source->text + loc.begin;
    int length = loc.end - loc.begin;
    int shown = length;
    while (shown > LONGEST_SHOWN || (shown < length && ((unsigned char)text[shown] & 0xC0) == 0x80)) shown--;
    return arena_printf(p->arena, "%.*s%s", shown, text, shown < length ? "..." : "");
}

static bool is_text(const Parser *p, Loc loc, const char *text) {
    return (size_t)(loc.end - loc.begin) == strlen(text) && !memcmp(p->source->text + loc.begin, text, strlen(text));
}

static bool new_line_between(const Parser *p, Loc a, Loc b) {
    return b.begin > a.end && memchr(p->source->text + a.end, '\n', (size_t)(b.begin - a.end));
}

static bool is_comparison(int kind) {
    return kind == '<' || kind == '>' || kind == LE || kind == GE || kind == EQ || kind == NE;
}

static bool is_keyword(const Parser *p, Loc loc) {
    return is_hard_keyword(p->source->text + loc.begin, loc.end - loc.begin) && p->source->text[loc.begin] != '`';
}

static char closer(char open) { return open == '(' ? ')' : open == '[' ? ']' : '}'; }

/* ---- "expected `=` or `{`" ----------------------------------------------------------------------------------------------- */

static bool one_of(const char *token, const char *const *list) {
    for (; *list; list++)
        if (!strcmp(token, *list)) return true;
    return false;
}

static const char *const soft_words[] = {"as",    "config", "dim",   "layer", "entry",  "train", "param", "state", "cache",
                                         "stop",  "along",  "over",  "using", "except", "init",  "load",  "from",  "quantize",
                                         NULL};
static const char *const expression_starts[] = {"name", "integer", "number", "string", "type name", "true", "false",
                                                "'('",  "'['",     "'-'",    "'!'",    NULL};
static const char *const operators[] = {"'?'", "|>",  "||",  "&&",  "==",  "!=", "'<'", "'>'", "<=",  ">=", "..",
                                        "'+'", "'-'", "'*'", "'/'", "'%'", "'@'", "**",  "'('", "'['", "'.'", NULL};
static const char *const type_starts[] = {"type name", "'('", "'['", "layer", "fn", "dim", NULL};

/* Words before signs, both in alphabetical order: the numbers of bison's tokens mean nothing to the reader. */
static int by_text(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    if ((*x == '`') != (*y == '`')) return *x == '`' ? 1 : -1;
    return strcmp(x, y);
}

/* "a name", "`(`", ...; NULL when there is nothing short to say. Soft keywords count as names, the tokens that begin or
 * continue an expression as one. */
static const char *expected_text(const Parser *p, const SyntaxError *e) {
    const char *items[MOST_EXPECTED];
    int n = 0;
    bool expression = expects_expression(e), operation = expects_operator(e);
    bool type = !expression && expects(e, "type name") && expects(e, "layer") && expects(e, "fn");
    if (expression) items[n++] = "an expression";
    if (type) items[n++] = "a type";
    for (int i = 0; i < e->n; i++) {
        const char *token = e->expected[i];
        if (expression && one_of(token, expression_starts)) continue;
        if (operation && one_of(token, operators)) continue;
        if (type && one_of(token, type_starts)) continue;
        if (expects(e, "name") && one_of(token, soft_words)) continue;
        if (n == MOST_EXPECTED) return NULL;
        static const char *const kinds[] = {"name", "string", "type name", "number", NULL};
        if (token[0] == '\'') items[n++] = arena_printf(p->arena, "`%c`", token[1]);
        else if (!strcmp(token, "end of file")) items[n++] = "the end of the file";
        else items[n++] = one_of(token, kinds) ? arena_printf(p->arena, "a %s", token) : arena_printf(p->arena, "`%s`", token);
    }
    if (!n) return NULL;
    qsort(items, (size_t)n, sizeof *items, by_text);
    const char *text = "expected";
    for (int i = 0; i < n; i++)
        text = arena_printf(p->arena, "%s%s%s", text, i == 0 ? " " : i == n - 1 ? " or " : ", ", items[i]);
    return text;
}

/* ---- single mistakes: each says whether it was this one ------------------------------------------------------------------ */

static bool begins_statement(int kind) {
    return kind == LET || kind == RETURN || kind == YIELD || kind == MINIMIZE || kind == IMPORT || kind == CONST;
}

/* `relu((x + 1.0) * 2.0;`: said at the bracket, when a statement ends although its closer would have fitted. */
static bool never_closed(Parser *p, const SyntaxError *e) {
    char open = p->enclosing.open;
    if (!open) return false;
    int got = p->last.kind;
    bool ends = got == 0 || got == ';' || got == '}' || got == '{' || begins_statement(got);
    if (open == '{') ends = got == 0 && !expects(e, "';'");
    bool fits = open == '{' || expects_char(e, closer(open)) || got == 0;
    if (!ends || !fits) return false;
    Report *r = diag_error(p->diag, p->enclosing.loc, 1, "`%c` is never closed", open);
    if (got && new_line_between(p, p->enclosing.loc, p->last.loc))
        diag_place(r, p->last.loc, "`%c` is missing before this", closer(open));
    tokens_skip_statement(p);
    return true;
}

static bool missing_semicolon(Parser *p, const SyntaxError *e) {
    int got = p->last.kind;
    if (!expects(e, "';'") || p->previous.kind < 0 || expects_statement(e) || p->again == p->last.loc.begin) return false;
    if (got != 0 && got != '}' && !begins_statement(got) && !new_line_between(p, p->previous.loc, p->last.loc)) return false;
    if (got == '=' || expects_expression(e)) return false;
    Loc after = p->previous.loc;
    after.begin = after.end;
    after.end++;
    diag_label(diag_error(p->diag, after, 1, "missing `;`"), "expected `;` here");
    tokens_insert_semicolon(p);
    return true;
}

/* `a += 1.0`: the words of the help are the user's own. */
static bool compound_assignment(Parser *p) {
    Loc op = p->previous.loc, equals = p->last.loc;
    if (p->last.kind != '=' || op.end != equals.begin || !strchr("+-*/%@", p->source->text[op.begin])) return false;
    Report *r = diag_error(p->diag, loc_join(op, equals), 1, "there is no operator `%s=`", text_of(p, op));
    const char *text = p->source->text;
    int end = equals.end;
    while (text[end] && text[end] != ';' && text[end] != '\n') end++;
    int begin = equals.end;
    while (begin < end && isspace((unsigned char)text[begin])) begin++;
    int left_end = op.begin;
    while (left_end > p->statement && isspace((unsigned char)text[left_end - 1])) left_end--;
    Loc left = {p->source, p->statement, left_end}, right = {p->source, begin, end};
    bool product = text[op.begin] != '+' && text[op.begin] != '-' && memchr(text + begin, ' ', (size_t)(end - begin));
    if (memchr(text + left.begin, '\n', (size_t)(left.end - left.begin))) return true;
    const char *l = text_of(p, left), *r_text = text_of(p, right);
    diag_help(r, product ? "write %s = %s %s (%s)" : "write %s = %s %s %s", l, l, text_of(p, op), r_text);
    return true;
}

static bool keyword_as_name(Parser *p, const SyntaxError *e) {
    if (!expects(e, "name") || expects_expression(e) || expects_statement(e) || expects_declaration(e)) return false;
    bool type = p->last.kind == DTYPE;
    if (!type && !is_keyword(p, p->last.loc)) return false;
    const char *word = text_of(p, p->last.loc);
    Report *r = diag_error(p->diag, p->last.loc, 1, "`%s` is a %s and cannot be a name here", word, type ? "type" : "keyword");
    diag_help(r, "write `%s` in backquotes", word);
    return true;
}

/* `(a]` */
static bool wrong_closer(Parser *p) {
    int got = p->last.kind;
    if (got != ')' && got != ']') return false;
    char open = p->enclosing.open;
    if (open == (got == ')' ? '(' : '[')) return false;
    Report *r = diag_error(p->diag, p->last.loc, 1, "`%c` does not fit here", got);
    if (!open || open == '{') {
        diag_label(r, "no `%c` is open", got == ')' ? '(' : '[');
        return true;
    }
    diag_label(r, "expected `%c`", closer(open));
    diag_place(r, p->enclosing.loc, "`%c` was opened here", open);
    return true;
}

static void does_not_fit(Parser *p, const SyntaxError *e) {
    Loc at = p->last.loc;
    int got = p->last.kind;
    Report *r = got ? diag_error(p->diag, at, 1, "`%s` does not fit here", text_of(p, at))
                    : diag_error(p->diag, at, 1, "the file ends too early");
    bool chain = is_comparison(got) && expects_operator(e);
    const char *expected = chain ? NULL : expected_text(p, e);
    if (expected && !expects_declaration(e) && !expects_statement(e)) diag_label(r, "%s", expected);

    Loc before = p->previous.loc;
    if (chain) diag_help(r, "comparisons do not chain: write a < b && b < c");
    else if (got == '+' && expects_expression(e)) diag_help(r, "there is no sign +: leave it out");
    else if (is_text(p, before, "def") || is_text(p, before, "func") || is_text(p, before, "function"))
        diag_help(r, "functions are written fn name(x: float[...]) -> float[...] { ... }");
    else if (is_text(p, before, "class")) diag_help(r, "layers are written layer Name(argument: int) { ... }");
    else if (is_text(p, before, "elif")) diag_help(r, "write `else if`");
    else if (is_text(p, before, "while"))
        diag_help(r, "there is no `while`: loop over time with scan, at compile time with for");
    else if (expects_declaration(e) && got == LET) diag_help(r, "outside of functions, names are made by const name = ...;");
    else if (expects_declaration(e) && (got == RETURN || got == YIELD || got == MINIMIZE || got == FOR || got == SCAN))
        diag_help(r, "statements stand inside fn, entry or train");
    else if (expects_statement(e) && (got == FN || got == IMPORT || got == CONST))
        diag_help(r, "declarations stand outside of functions, in the file or in a layer");
}

/* ---- for the grammar ----------------------------------------------------------------------------------------------------- */

void syntax_error(Parser *p, const SyntaxError *e) {
    if (p->stop || diag_full(p->diag)) return;
    if (p->bad_word >= p->boundary) {
        tokens_skip_statement(p);
        return;
    }
    if (never_closed(p, e) || missing_semicolon(p, e)) return;
    if (p->last.kind == '=' && expects(e, "==")) {
        diag_help(diag_error(p->diag, p->last.loc, 1, "`=` assigns and has no value"), "to compare, write `==`");
    } else if (!compound_assignment(p) && !keyword_as_name(p, e) && !wrong_closer(p)) {
        does_not_fit(p, e);
    }
    tokens_skip_statement(p);
}

static bool is_operation(const Ast *a) {
    return a->kind == AST_BIN || a->kind == AST_UN || a->kind == AST_RANGE || a->kind == AST_COND;
}

/* Requires: both sides are complete. A left side of pipes was checked when it was made. */
void syntax_pipe(Parser *p, const Ast *pipe) {
    const Ast *left = pipe->kid[0], *right = pipe->kid[1];
    const Ast *side = is_operation(left) ? left : is_operation(right) ? right : NULL;
    if (!side) return;
    const char *op = side->kind == AST_RANGE ? ".." : side->kind == AST_COND ? "?:" : side->text;
    Report *r = diag_error(p->diag, side->loc, 414, "`%s` and `|>` need parentheses", op);
    diag_label(r, "it is not clear what belongs together");
    if (side == left) {
        diag_help(r, "write (%s) |> %s", ast_text(p->arena, left), ast_text(p->arena, right));
    } else if (side->kind == AST_BIN) {
        diag_help(r, "write (%s |> %s) %s %s", ast_text(p->arena, left), ast_text(p->arena, side->kid[0]), op,
                  ast_text(p->arena, side->kid[1]));
    }
}

/* ---- parse_file ---------------------------------------------------------------------------------------------------------- */

Ast *parse_file(Arena *arena, const Source *source, Diag *diag) {
    Parser p = {.arena = arena, .source = source, .diag = diag, .again = -1, .bad_word = -1};
    p.last.kind = p.previous.kind = -1;
    int errors = diag_errors(diag);
    p.comments = NEW(arena, Comments);
    p.scanner = scanner_new(&p);
    int failed = yyparse(&p);
    scanner_free(p.scanner);
    if (failed || p.stop || diag_errors(diag) > errors || !p.root) return NULL;
    p.root->span = (Loc){source, 0, (int)source->length};
    p.root->loc = (Loc){source, 0, 0};
    p.root->comments = p.comments;
    return p.root;
}
