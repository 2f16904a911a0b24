/* tokens.c -- the stream of tokens between the lexer and bison.
 *
 * It keeps the brackets that are open, so that "`(` is never closed" can be said where the bracket stands. And it makes
 * recovery reliable: after an error bison goes back to the list of statements (or declarations) it was in, and waits for
 * a `;`. Which `;` that is, only the braces tell, so this file finds the end of the statement and hands out its `;`,
 * made up when the statement ends in a block or without one. One wrong statement is one message. */
#include "frontend/syntax.h"

#include "frontend/parser.h"

enum { NESTING_LIMIT = 1000 };

void tokens_too_deep(Parser *p, Loc at) {
    if (p->stop) return;
    Report *r = diag_error(p->diag, at, 2, "this is nested too deeply");
    diag_fact(r, "at most %d levels are possible", NESTING_LIMIT);
    diag_help(r, "give parts of it a name, with `let` or `const`");
    p->stop = true;
}

/* ---- brackets ------------------------------------------------------------------------------------------------------------ */

static char opener(int closer) { return closer == ')' ? '(' : closer == ']' ? '[' : '{'; }

static int braces_open(const Parser *p) {
    int n = 0;
    for (int i = 0; i < p->open.n; i++) n += p->open.at[i].open == '{';
    return n;
}

/* Forgets the round and square brackets that are open since the last brace: a statement ends. */
static void forget_brackets(Parser *p) {
    while (p->open.n && p->open.at[p->open.n - 1].open != '{') p->open.n--;
}

static void track(Parser *p, const Token *t) {
    p->enclosing = p->open.n ? p->open.at[p->open.n - 1] : (Bracket){0};
    p->brace = braces_open(p) > 0;
    switch (t->kind) {
    case '(':
    case '[':
    case '{':
        PUSH(p->arena, p->open, ((Bracket){(char)t->kind, t->loc}));
        if (p->open.n > NESTING_LIMIT) tokens_too_deep(p, t->loc);
        break;
    case ')':
    case ']':
        if (p->enclosing.open == opener(t->kind)) p->open.n--;
        break;
    case '}':
        forget_brackets(p);
        if (p->open.n) p->open.n--;
        break;
    }
}

/* ---- the stream ---------------------------------------------------------------------------------------------------------- */

static Token scan(Parser *p) {
    Token t = {0, {{NULL, false}}, {p->source, p->at, p->at}};
    if (!p->stop && !diag_full(p->diag)) t.kind = scan_token(&t.value, &t.loc, p->scanner);
    if (t.kind == 0) t.loc = (Loc){p->source, (int)p->source->length, (int)p->source->length};
    track(p, &t);
    if (p->stop) t.kind = 0;
    return t;
}

static Token semicolon(Loc after) { return (Token){';', {{NULL, false}}, {after.source, after.end, after.end}}; }

/* Words that begin a statement, or a declaration of a file, and can stand nowhere else: what is broken ends before one on a
 * new line. */
static bool begins_statement(int kind, int depth) {
    if (depth == 0) return kind == IMPORT || kind == CONST;
    return kind == LET || kind == RETURN || kind == YIELD || kind == MINIMIZE;
}

static bool on_new_line(const Parser *p, Loc loc) {
    const char *text = p->source->text;
    int i = loc.begin;
    while (i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\t')) i--;
    return i == 0 || text[i - 1] == '\n';
}

/* Reads to the end of the wrong statement and returns its `;`. What follows a made-up one waits in the queue. */
static Token skip(Parser *p) {
    p->skipping = false;
    int depth = braces_open(p);
    for (;;) {
        Token t = scan(p);
        int before = depth;
        depth = braces_open(p);
        if (t.kind == 0) return t;
        if (t.kind == ';' && depth <= p->skip_depth) {
            forget_brackets(p);
            return t;
        }
        if (depth == p->skip_depth && begins_statement(t.kind, depth) && on_new_line(p, t.loc)) {
            forget_brackets(p);
            p->queue[p->queued++] = t;
            return semicolon(p->last.loc);
        }
        if (t.kind != '}') continue;
        if (depth < p->skip_depth) { /* the end of the block that the statement stands in */
            p->queue[p->queued++] = t;
            return semicolon(p->last.loc);
        }
        if (before == 0) continue; /* a brace too many */
        if (depth > p->skip_depth) continue;
        Token next = scan(p); /* the statement may end here, with its block */
        depth = braces_open(p);
        if (next.kind == ';') return next;
        if (next.kind == ELSE || next.kind == GRADIENT) continue;
        p->queue[p->queued++] = next;
        return semicolon(t.loc);
    }
}

int yylex(Value *value, Loc *loc, Parser *p) {
    Token t;
    if (p->queued) {
        t = p->queue[0];
        p->queue[0] = p->queue[1];
        p->queued--;
    } else if (p->skipping) {
        t = skip(p);
    } else {
        t = scan(p);
    }
    int last = p->last.kind;
    if (last == ';' || last == '{' || last == '}' || last < 0) {
        p->statement = t.loc.begin;
        p->boundary = last < 0 ? 0 : p->last.loc.end;
    }
    p->previous = p->last;
    p->last = t;
    *value = t.value;
    *loc = t.loc;
    return t.kind;
}

void tokens_insert_semicolon(Parser *p) {
    p->queue[0] = semicolon(p->previous.loc);
    p->queue[1] = p->last;
    p->queued = 2;
    p->again = p->last.loc.begin;
}

void tokens_skip_statement(Parser *p) {
    Token t = p->last;
    if (t.kind == ';') {
        forget_brackets(p);
        return;
    }
    if (t.kind == '}' && p->brace) { /* bison drops it: the block that it closes must still be closed */
        p->queued = 0;
        p->queue[p->queued++] = semicolon(p->previous.loc);
        if (p->again != t.loc.begin) p->queue[p->queued++] = t;
        p->again = t.loc.begin;
        return;
    }
    p->skipping = true;
    p->skip_depth = braces_open(p) - (t.kind == '{');
}
