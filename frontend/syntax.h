/* syntax.h -- what the lexer, the token stream, the grammar and the syntax errors of one parse share. Private to them.
 *
 *     lexer.l ──scan_token──▶ tokens.c ──yylex──▶ parser.y ──SyntaxError──▶ syntax_errors.c
 *
 * The lexer makes tokens. tokens.c stands between it and bison: it keeps the brackets that are open, remembers the last
 * tokens (an error often belongs to the one before), and after an error skips to the end of the statement. */
#ifndef FRONTEND_SYNTAX_H
#define FRONTEND_SYNTAX_H
#include "frontend/ast.h"
#include "ir/arena.h"
#include "ir/diag.h"

/* The value of a word, number or string token. */
typedef struct Word {
    const char *text;
    bool quoted; /* a name in backquotes */
} Word;

typedef union Value {
    Word word;
    Ast *ast;
} Value;

typedef struct Token {
    int kind; /* bison's number; 0 end of file, -1 none yet */
    Value value;
    Loc loc;
} Token;

typedef struct Bracket {
    char open; /* ( [ { ; 0: none */
    Loc loc;
} Bracket;

typedef struct Parser {
    Arena *arena;
    const Source *source;
    Diag *diag;
    void *scanner; /* flex's */
    int at;        /* bytes scanned */
    Comments *comments;
    LIST(Bracket) open;
    Bracket enclosing;    /* the innermost bracket open before the last token */
    Token last, previous; /* the last token given to bison, and the one before */
    Token queue[2];       /* to be given before anything is scanned */
    int queued;
    bool brace;     /* a `{` was open before the last token */
    bool skipping;  /* after an error: to the end of the statement ... */
    int skip_depth; /* ... which is a `;` inside so many braces */
    int again;      /* the place of the token last put back: a token is put back once, so that parsing ends */
    int statement;  /* the first byte of the statement or declaration being read */
    int boundary;   /* the end of the one before */
    int bad_word;   /* the last wrong character or string; in this statement, what does not fit is its consequence */
    bool stop;      /* nothing more is read or reported */
    Ast *root;
} Parser;

/* What bison knows at an error, for syntax_error(). */
typedef struct SyntaxError {
    const char *expected[256]; /* names of the tokens that would fit: "name", "';'", "let", ... */
    int n;
} SyntaxError;

/* lexer.l */
int scan_token(Value *value, Loc *loc, void *scanner);
void *scanner_new(Parser *p);
void scanner_free(void *scanner);
bool is_hard_keyword(const char *text, int length);
bool is_type_word(const char *text, int length);

/* tokens.c */
int yylex(Value *value, Loc *loc, Parser *p);
void tokens_insert_semicolon(Parser *p); /* the last token is read again, after a `;` */
void tokens_skip_statement(Parser *p);   /* the next token is the `;` that ends this statement, present or not */
void tokens_too_deep(Parser *p, Loc at);

/* syntax_errors.c */
void syntax_error(Parser *p, const SyntaxError *e);
void syntax_pipe(Parser *p, const Ast *pipe); /* E0414 if the sides of |> want parentheses */

#endif
