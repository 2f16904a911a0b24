/* parser.y -- the grammar of .mdl (LANGUAGE.md, section 4.2): LALR(1), no conflicts. It builds the tree and checks nothing
 * else, but for pipes mixed with operators (E0414), which only the grammar sees.
 *
 * A wrong statement is skipped to its `;` by tokens.c; the four `error ';'` productions are the lists that can go on then.
 * $$ of a list has the span of its members, or of its braces where it has some. */
%define api.pure full
%define api.location.type {Loc}
%define api.value.type {Value}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param {Parser *p}
%initial-action { @$ = (Loc){p->source, 0, 0}; }

%code requires {
#include "frontend/syntax.h"
}
%code {
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define YYMAXDEPTH 100000
#define YYLLOC_DEFAULT(to, rhs, n)                                                                                             \
    (to) = (n) ? (Loc){p->source, YYRHSLOC(rhs, 1).begin, YYRHSLOC(rhs, n).end}                                                \
               : (Loc){p->source, YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end}

static void yyerror(const Loc *loc, Parser *p, const char *message);

/* A node with n kids. at: the caret; span: all of it. */
static Ast *node_(Parser *p, AstKind kind, Loc at, Loc span, Word word, Ast **kids, int n) {
    Ast *a = ast_new(p->arena, kind, at, span, word.text);
    a->quoted = word.quoted;
    for (int i = 0; i < n; i++) ast_add(p->arena, a, kids[i]);
    a->span = span;
    if (a->depth > AST_DEPTH_LIMIT) tokens_too_deep(p, at);
    return a;
}
static const Word no_word;
#define KIDS(...) (Ast *[]){__VA_ARGS__}, (int)(sizeof((Ast *[]){__VA_ARGS__}) / sizeof(Ast *))
#define NODE(kind, at, span, ...) node_(p, AST_##kind, at, span, no_word, KIDS(__VA_ARGS__))
#define NAMED(kind, word, at, span, ...) node_(p, AST_##kind, at, span, word, KIDS(__VA_ARGS__))
#define LEAF(kind, word, at) node_(p, AST_##kind, at, at, word, NULL, 0)
#define EMPTY(kind, at) LEAF(kind, no_word, at)
#define NONE(at) LEAF(NONE, no_word, ((Loc){(at).source, (at).end, (at).end}))
#define OPERATOR(text, at, span, left, right) NAMED(BIN, ((Word){text, false}), at, span, left, right)

static Ast *list_add(Parser *p, Ast *list, Ast *kid) {
    ast_add(p->arena, list, kid);
    if (list->depth > AST_DEPTH_LIMIT) tokens_too_deep(p, kid->loc);
    return list;
}
static Ast *spanned(Ast *a, Loc span) {
    a->span = span;
    return a;
}
/* A leaf or list made by another rule gets the kind that it has here. */
static Ast *retyped(Ast *a, AstKind kind, Loc span) {
    a->kind = kind;
    a->loc = a->span = span;
    return a;
}
static Ast *number_int(Parser *p, Word word, Loc loc);
static Ast *number_real(Parser *p, Word word, Loc loc);
static Ast *boolean(Parser *p, bool value, Loc loc);
}

%token <word> IDENT "name" INT "integer" REAL "number" STRING "string" DTYPE "type name"
%token IMPORT "import" CONST "const" FN "fn" GRADIENT "gradient" LET "let" RETURN "return" YIELD "yield" IF "if"
%token ELSE "else" FOR "for" IN "in" SCAN "scan" ASSERT "assert" MINIMIZE "minimize" WITH "with" FREEZE "freeze"
%token TRUE_ "true" FALSE_ "false"
%token <word> AS "as" CONFIG "config" DIM "dim" LAYER "layer" ENTRY "entry" TRAIN "train" PARAM "param" STATE "state"
%token <word> CACHE "cache" STOP "stop" ALONG "along" OVER "over" USING "using" EXCEPT "except" INIT "init" LOAD "load"
%token <word> FROM "from" QUANTIZE "quantize"
%token ELLIPSIS "..." DOTDOT ".." ARROW "->" PIPE "|>" POW "**" EQ "==" NE "!=" LE "<=" GE ">=" ANDAND "&&" OROR "||"

%right '?' ':'
%left PIPE
%left OROR
%left ANDAND
%nonassoc EQ NE '<' '>' LE GE
%nonassoc DOTDOT
%left '+' '-'
%left '*' '/' '%' '@'
%precedence UNARY
%right POW

%type <word> name
%type <ast> items item decl attrs dimdecls dimdecl dims_opt range_opt hyper_opt params params1 param type types dimx dimxs
%type <ast> result_opt result fields field block stmts stmt else_opt rhs scan pattern pats sels exprs except_opt clause min_tail
%type <ast> gradient_opt with_opt withs settings else_items expr postfix primary args args0 args1 arg subs sub list_opt
%type <ast> load_opts item_block named_sels named_exprs named
%%
file:       items                                   { p->root = NODE(FILE, @$, @$, $1); }
items:      %empty                                  { $$ = EMPTY(ITEMS, @$); }
          | items item                              { $$ = list_add(p, $1, $2); }
          | items error ';'                         { $$ = $1; yyerrok; }
item_block: '{' items '}'                           { $$ = spanned($2, @$); }
item:       attrs decl                              { $$ = $2; $$->span = @2;
                                                      if ($1->n) { $$->attrs = $1; $$->span.begin = $1->span.begin; } }
attrs:      %empty                                  { $$ = EMPTY(ATTRS, @$); }
          | attrs '@' name                          { $$ = list_add(p, $1, NAMED(ATTR, $3, @3, loc_join(@2, @3),
                                                                                 EMPTY(ARGS, @3))); }
          | attrs '@' name '(' args ')'             { $$ = list_add(p, $1, NAMED(ATTR, $3, @3, loc_join(@2, @6), $5)); }

decl:       IMPORT STRING ';'                       { $$ = NAMED(IMPORT, $2, @2, @$, NONE(@2)); }
          | IMPORT STRING AS name ';'               { $$ = NAMED(IMPORT, $2, @2, @$, LEAF(NAME, $4, @4)); }
          | CONFIG name '=' expr range_opt ';'      { $$ = NAMED(CONFIG, $2, @2, @$, $4, $5, NONE(@2)); }
          | CONFIG name ':' type '=' expr range_opt ';' { $$ = NAMED(CONFIG, $2, @2, @$, $6, $7, $4); }
          | CONST name '=' expr ';'                 { $$ = NAMED(CONST, $2, @2, @$, $4); }
          | DIM dimdecls ';'                        { $$ = $2; }
          | DIM ELLIPSIS ';'                        { $$ = EMPTY(DIMPACK, @2); }
          | LAYER name hyper_opt item_block         { $$ = NAMED(LAYER, $2, @2, @$, $3, $4); }
          | FN name dims_opt '(' params ')' result_opt block gradient_opt
                                                    { $$ = NAMED(FN, $2, @2, @$, $3,
                                                                 spanned($5, loc_join(@4, @6)), $7, $8, $9); }
          | FN dims_opt '(' params ')' result_opt block gradient_opt
                                                    { $$ = NAMED(FN, ((Word){"", false}), @1, @$, $2,
                                                                 spanned($4, loc_join(@3, @5)), $6, $7, $8); }
          | ENTRY name dims_opt '(' params ')' result_opt block
                                                    { $$ = NAMED(ENTRY, $2, @2, @$, $3,
                                                                 spanned($5, loc_join(@4, @6)), $7, $8); }
          | TRAIN name dims_opt '(' params ')' result_opt block
                                                    { $$ = NAMED(TRAIN, $2, @2, @$, $3,
                                                                 spanned($5, loc_join(@4, @6)), $7, $8); }
          | PARAM name ':' type '=' expr ';'        { $$ = NAMED(PARAM, $2, @2, @$, $4, $6); }
          | STATE name ':' type '=' expr ';'        { $$ = NAMED(STATE, $2, @2, @$, $4, $6); }
          | CACHE name ':' type '=' expr ';'        { $$ = NAMED(CACHE, $2, @2, @$, $4, $6); }
          | name '=' expr with_opt ';'              { $$ = NAMED(INSTANCE, $1, @1, @$, $3, $4); }
          | name '{' settings '}'                   { $$ = spanned($3, @$); $$->loc = @1;
                                                      $$->text = $1.text; $$->quoted = $1.quoted; }
          | IF expr item_block else_items           { $$ = NODE(IF, @1, @$, $2, $3, $4); }
          | INIT sels WITH expr ';'                 { $$ = NODE(INIT, @1, @$, $2, $4); }
          | FREEZE sels ';'                         { $$ = NODE(FREEZE, @1, @$, $2); }
          | QUANTIZE sels WITH expr ';'             { $$ = NODE(QUANTIZE, @1, @$, $2, $4); }
          | ASSERT expr ';'                         { $$ = NODE(ASSERT, @1, @$, $2, NONE(@2)); }
          | ASSERT expr ',' STRING ';'              { $$ = NODE(ASSERT, @1, @$, $2, LEAF(STR, $4, @4)); }
          | LOAD postfix FROM expr load_opts ';'    { $$ = NODE(LOAD, @1, @$, $2, $4, $5, NONE(@5), NONE(@5)); }
          | LOAD postfix FROM expr load_opts AS name block
                                                    { $$ = NODE(LOAD, @1, @$, $2, $4, $5, LEAF(NAME, $7, @7), $8); }
else_items: %empty                                  { $$ = EMPTY(ITEMS, @$); }
          | ELSE item_block                         { $$ = $2; }
          | ELSE IF expr item_block else_items      { $$ = list_add(p, EMPTY(ITEMS, @2),
                                                                    NODE(IF, @2, loc_join(@2, @$), $3, $4, $5)); }
load_opts:  %empty                                  { $$ = EMPTY(ARGS, @$); }
          | load_opts ',' name '=' expr             { $$ = list_add(p, $1, NAMED(NAMED, $3, @3, loc_join(@3, @5), $5)); }
with_opt:   %empty                                  { $$ = EMPTY(WITHS, @$); }
          | WITH '{' withs '}'                      { $$ = spanned($3, loc_join(@2, @4)); }
withs:      %empty                                  { $$ = EMPTY(WITHS, @$); }
          | withs postfix '=' expr ';'              { $$ = list_add(p, $1, NODE(WITH, @2, loc_join(@2, @5), $2, $4)); }
          | withs error ';'                         { $$ = $1; yyerrok; }
settings:   %empty                                  { $$ = EMPTY(SETTINGS, @$); }
          | settings name '=' expr ';'              { $$ = list_add(p, $1, NAMED(SET, $2, @2, loc_join(@2, @5), $4)); }
          | settings error ';'                      { $$ = $1; yyerrok; }

dims_opt:   %empty                                  { $$ = EMPTY(DIMS, @$); }
          | '[' dimdecls ']'                        { $$ = spanned($2, @$); }
dimdecls:   dimdecl                                 { $$ = list_add(p, EMPTY(DIMS, @$), $1); }
          | dimdecls ',' dimdecl                    { $$ = list_add(p, $1, $3); }
dimdecl:    name range_opt                          { $$ = NAMED(DIM, $1, @1, @$, $2); }
range_opt:  %empty                                  { $$ = NONE(@$); }
          | IN expr                                 { $$ = $2; }
hyper_opt:  %empty                                  { $$ = EMPTY(PARAMS, @$); }
          | '(' params ')'                          { $$ = spanned($2, @$); }
params:     %empty                                  { $$ = EMPTY(PARAMS, @$); }
          | params1                                 { $$ = $1; }
          | params1 ','                             { $$ = $1; }
params1:    param                                   { $$ = list_add(p, EMPTY(PARAMS, @$), $1); }
          | params1 ',' param                       { $$ = list_add(p, $1, $3); }
param:      name ':' type                           { $$ = NAMED(ARG, $1, @1, @$, $3, NONE(@3)); }
          | name ':' type '=' expr                  { $$ = NAMED(ARG, $1, @1, @$, $3, $5); }
          | name '=' expr                           { $$ = NAMED(ARG, $1, @1, @$, NONE(@1), $3); }
type:       DTYPE                                   { $$ = NAMED(TYPE, $1, @1, @$, NONE(@1)); }
          | DTYPE '[' dimxs ']'                     { $$ = NAMED(TYPE, $1, @$, @$, spanned($3, loc_join(@2, @4))); }
          | '(' types ')'                           { $$ = spanned($2, @$); $$->loc = @$; }
          | '[' type ']'                            { $$ = NODE(LISTTYPE, @$, @$, $2); }
          | LAYER                                   { $$ = NAMED(TYPE, $1, @1, @$, NONE(@1)); }
          | FN                                      { $$ = NAMED(TYPE, ((Word){"fn", false}), @1, @$, NONE(@1)); }
          | DIM range_opt                           { $$ = NAMED(TYPE, $1, @1, @$, $2); }
types:      type                                    { $$ = list_add(p, EMPTY(TUPTYPE, @$), $1); }
          | types ',' type                          { $$ = list_add(p, $1, $3); }
dimxs:      %empty                                  { $$ = EMPTY(SHAPE, @$); }
          | dimx                                    { $$ = list_add(p, EMPTY(SHAPE, @$), $1); }
          | dimxs ',' dimx                          { $$ = list_add(p, $1, $3); }
dimx:       expr                                    { $$ = $1; }
          | ELLIPSIS                                { $$ = EMPTY(PACK, @1); }
result_opt: %empty                                  { $$ = NONE(@$); }
          | ARROW result                            { $$ = $2; }
result:     type                                    { $$ = $1; }
          | '(' fields ')'                          { $$ = spanned($2, @$); }
fields:     field                                   { $$ = list_add(p, EMPTY(FIELDS, @$), $1); }
          | fields ',' field                        { $$ = list_add(p, $1, $3); }
field:      name ':' type                           { $$ = NAMED(FIELD, $1, @1, @$, $3); }
gradient_opt: %empty                                { $$ = NONE(@$); }
          | GRADIENT '(' params ')' block           { $$ = NODE(GRADIENT, @1, @$, spanned($3, loc_join(@2, @4)), $5); }

block:      '{' stmts '}'                           { $$ = spanned($2, @$); }
stmts:      %empty                                  { $$ = EMPTY(BLOCK, @$); }
          | stmts stmt                              { $$ = list_add(p, $1, $2); }
          | stmts error ';'                         { $$ = $1; yyerrok; }
stmt:       LET pattern '=' rhs ';'                 { $$ = NODE(LET, @1, @$, $2, $4, NONE(@2)); }
          | LET pattern ':' type '=' rhs ';'        { $$ = NODE(LET, @1, @$, $2, $6, $4); }
          | expr '=' rhs ';'                        { $$ = NODE(ASSIGN, @2, @$, $1, $3); }
          | expr ';'                                { $$ = NODE(EXPRSTMT, @1, @$, $1); }
          | RETURN rhs ';'                          { $$ = NODE(RETURN, @1, @$, $2); }
          | RETURN ';'                              { $$ = NODE(RETURN, @1, @$, NONE(@1)); }
          | YIELD expr ';'                          { $$ = NODE(YIELD, @1, @$, $2); }
          | STOP IF expr ';'                        { $$ = NODE(STOP, @1, @$, $3); }
          | IF expr block else_opt                  { $$ = NODE(IF, @1, @$, $2, $3, $4); }
          | FOR pattern IN expr block               { $$ = NODE(FOR, @1, @$, $2, $4, $5); }
          | scan
          | ASSERT expr ';'                         { $$ = NODE(ASSERT, @1, @$, $2, NONE(@2)); }
          | ASSERT expr ',' STRING ';'              { $$ = NODE(ASSERT, @1, @$, $2, LEAF(STR, $4, @4)); }
          | FREEZE sels ';'                         { $$ = NODE(FREEZE, @1, @$, $2); }
          | QUANTIZE named_sels WITH expr ';'       { $$ = NODE(QUANTIZE, @1, @$, $2, $4); }
          | MINIMIZE expr clause min_tail ';'       { $$ = NODE(MINIMIZE, @1, @$, $2, $3, $4); }
clause:     OVER sels USING expr                    { $$ = NODE(CLAUSE, @1, @$, $2, $4); }
min_tail:   %empty                                  { $$ = EMPTY(TAIL, @$); }
          | min_tail ',' clause                     { $$ = list_add(p, $1, $3); }
          | min_tail ',' name '=' expr              { $$ = list_add(p, $1, NAMED(NAMED, $3, @3, loc_join(@3, @5), $5)); }
else_opt:   %empty                                  { $$ = EMPTY(BLOCK, @$); }
          | ELSE block                              { $$ = $2; }
          | ELSE IF expr block else_opt             { $$ = list_add(p, EMPTY(BLOCK, @2),
                                                                    NODE(IF, @2, loc_join(@2, @$), $3, $4, $5)); }
rhs:        expr | scan
scan:       SCAN pattern IN expr block              { $$ = NODE(SCAN, @1, @$, $2, $4, $5, NONE(@4)); }
          | SCAN pattern IN expr ALONG expr block   { $$ = NODE(SCAN, @1, @$, $2, $4, $7, $6); }
pattern:    name                                    { $$ = LEAF(NAME, $1, @1); }
          | '(' pats ')'                            { $$ = spanned($2, @$); $$->loc = @$; }
pats:       pattern                                 { $$ = list_add(p, EMPTY(TUPLE, @$), $1); }
          | pats ',' pattern                        { $$ = list_add(p, $1, $3); }
sels:       exprs except_opt                        { $$ = NODE(SELS, @$, @$, $1, $2); }
/* In a statement, where `quantize(` may call a function of this name: what is selected begins with a name. */
named_sels: named_exprs except_opt                  { $$ = NODE(SELS, @$, @$, $1, $2); }
named_exprs: named                                  { $$ = list_add(p, EMPTY(LIST, @$), $1); }
          | named_exprs ',' postfix                 { $$ = list_add(p, $1, $3); }
named:      name                                    { $$ = LEAF(NAME, $1, @1); }
          | named '(' args ')'                      { $$ = NODE(CALL, @$, @$, $1, spanned($3, loc_join(@2, @4))); }
          | named '[' subs ']'                      { $$ = NODE(INDEX, @$, @$, $1, spanned($3, loc_join(@2, @4))); }
          | named '.' name                          { $$ = NAMED(DOT, $3, @3, @$, $1); }
          | named '.' '*'                           { $$ = NAMED(DOT, ((Word){"*", false}), @3, @$, $1); }
          | named '.' POW                           { $$ = NAMED(DOT, ((Word){"**", false}), @3, @$, $1); }
exprs:      postfix                                 { $$ = list_add(p, EMPTY(LIST, @$), $1); }
          | exprs ',' postfix                       { $$ = list_add(p, $1, $3); }
except_opt: %empty                                  { $$ = EMPTY(LIST, @$); }
          | EXCEPT exprs                            { $$ = $2; }

expr:       postfix
          | expr '?' expr ':' expr                  { $$ = NODE(COND, @2, @$, $1, $3, $5); }
          | expr PIPE expr                          { $$ = NODE(PIPE, @2, @$, $1, $3); syntax_pipe(p, $$); }
          | expr OROR expr                          { $$ = OPERATOR("||", @2, @$, $1, $3); }
          | expr ANDAND expr                        { $$ = OPERATOR("&&", @2, @$, $1, $3); }
          | expr EQ expr                            { $$ = OPERATOR("==", @2, @$, $1, $3); }
          | expr NE expr                            { $$ = OPERATOR("!=", @2, @$, $1, $3); }
          | expr '<' expr                           { $$ = OPERATOR("<", @2, @$, $1, $3); }
          | expr '>' expr                           { $$ = OPERATOR(">", @2, @$, $1, $3); }
          | expr LE expr                            { $$ = OPERATOR("<=", @2, @$, $1, $3); }
          | expr GE expr                            { $$ = OPERATOR(">=", @2, @$, $1, $3); }
          | expr DOTDOT expr                        { $$ = NODE(RANGE, @2, @$, $1, $3); }
          | expr '+' expr                           { $$ = OPERATOR("+", @2, @$, $1, $3); }
          | expr '-' expr                           { $$ = OPERATOR("-", @2, @$, $1, $3); }
          | expr '*' expr                           { $$ = OPERATOR("*", @2, @$, $1, $3); }
          | expr '/' expr                           { $$ = OPERATOR("/", @2, @$, $1, $3); }
          | expr '%' expr                           { $$ = OPERATOR("%", @2, @$, $1, $3); }
          | expr '@' expr                           { $$ = OPERATOR("@", @2, @$, $1, $3); }
          | expr POW expr                           { $$ = OPERATOR("**", @2, @$, $1, $3); }
          | '-' expr %prec UNARY                    { $$ = NAMED(UN, ((Word){"-", false}), @1, @$, $2); }
          | '!' expr %prec UNARY                    { $$ = NAMED(UN, ((Word){"!", false}), @1, @$, $2); }
postfix:    primary
          | postfix '(' args ')'                    { $$ = NODE(CALL, @$, @$, $1, spanned($3, loc_join(@2, @4))); }
          | postfix '[' subs ']'                    { $$ = NODE(INDEX, @$, @$, $1, spanned($3, loc_join(@2, @4))); }
          | postfix '.' name                        { $$ = NAMED(DOT, $3, @3, @$, $1); }
          | postfix '.' '*'                         { $$ = NAMED(DOT, ((Word){"*", false}), @3, @$, $1); }
          | postfix '.' POW                         { $$ = NAMED(DOT, ((Word){"**", false}), @3, @$, $1); }
primary:    name                                    { $$ = LEAF(NAME, $1, @1); }
          | INT                                     { $$ = number_int(p, $1, @1); }
          | REAL                                    { $$ = number_real(p, $1, @1); }
          | STRING                                  { $$ = LEAF(STR, $1, @1); }
          | TRUE_                                   { $$ = boolean(p, true, @1); }
          | FALSE_                                  { $$ = boolean(p, false, @1); }
          | DTYPE                                   { $$ = LEAF(DTYPE, $1, @1); }
          | '(' expr ')'                            { $$ = NODE(PAREN, @$, @$, $2); }
          | '(' expr ',' args1 ')'                  { $$ = NODE(TUPLE, @$, @$, $2);
                                                      for (int i = 0; i < $4->n; i++) list_add(p, $$, $4->kid[i]);
                                                      $$->span = @$; }
          | '[' list_opt ']'                        { $$ = retyped($2, AST_LIST, @$); }
          | '[' expr FOR pattern IN expr ']'        { $$ = NODE(COMP, @$, @$, $2, $4, $6); }
list_opt:   %empty                                  { $$ = EMPTY(LIST, @$); }
          | args1                                   { $$ = $1; }
          | args1 ','                               { $$ = $1; }
args1:      expr                                    { $$ = list_add(p, EMPTY(LIST, @$), $1); }
          | args1 ',' expr                          { $$ = list_add(p, $1, $3); }
args:       %empty                                  { $$ = EMPTY(ARGS, @$); }
          | args0                                   { $$ = $1; }
          | args0 ','                               { $$ = $1; }
args0:      arg                                     { $$ = list_add(p, EMPTY(ARGS, @$), $1); }
          | args0 ',' arg                           { $$ = list_add(p, $1, $3); }
arg:        expr                                    { $$ = $1; }
          | name '=' expr                           { $$ = NAMED(NAMED, $1, @1, @$, $3); }
subs:       sub                                     { $$ = list_add(p, EMPTY(SUBS, @$), $1); }
          | subs ',' sub                            { $$ = list_add(p, $1, $3); }
sub:        expr                                    { $$ = $1; }
          | ELLIPSIS                                { $$ = EMPTY(PACK, @1); }
          | '*'                                     { $$ = EMPTY(STAR, @1); }
          | ':'                                     { $$ = NODE(SLICE, @1, @$, NONE(@1), NONE(@1)); }
          | expr ':'                                { $$ = NODE(SLICE, @$, @$, $1, NONE(@2)); }
          | ':' expr                                { $$ = NODE(SLICE, @$, @$, NONE(@1), $2); }
          | expr ':' expr                           { $$ = NODE(SLICE, @$, @$, $1, $3); }
          | expr ':' '+' expr                       { $$ = NODE(WINDOW, @$, @$, $1, $4); }
name:       IDENT | AS | FROM | OVER | USING | ALONG | EXCEPT | STOP | INIT | LOAD | STATE | CACHE | PARAM | DIM | LAYER
          | ENTRY | TRAIN | CONFIG | QUANTIZE
%%

/* ---- literals ------------------------------------------------------------------------------------------------------------ */

static const char *without_underscores(Parser *p, const char *text) {
    char *out = arena_alloc(p->arena, strlen(text) + 1);
    int n = 0;
    for (; *text; text++)
        if (*text != '_') out[n++] = *text;
    return out;
}

static int64_t suffix_factor(const char *suffix) {
    static const struct {
        const char *suffix;
        int64_t factor;
    } table[] = {{"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].suffix, suffix)) return table[i].factor;
    bug("number suffix %s", suffix);
}

static Ast *number_int(Parser *p, Word word, Loc loc) {
    const char *digits = without_underscores(p, word.text);
    bool hex = digits[0] == '0' && digits[1] == 'x';
    char *end;
    errno = 0;
    long long value = strtoll(digits, &end, hex ? 16 : 10);
    int64_t product;
    bool overflow = errno == ERANGE || __builtin_mul_overflow((int64_t)value, suffix_factor(end), &product);
    Ast *a = LEAF(INT, word, loc);
    if (overflow) {
        Report *r = diag_error(p->diag, loc, 1, "this number is too large");
        diag_fact(r, "whole numbers have 64 bits: at most 9223372036854775807");
        return a;
    }
    a->integer = product;
    a->real = (double)product;
    return a;
}

static Ast *number_real(Parser *p, Word word, Loc loc) {
    Ast *a = LEAF(REAL, word, loc);
    a->real = strtod(without_underscores(p, word.text), NULL);
    if (isinf(a->real)) diag_error(p->diag, loc, 1, "this number is too large");
    return a;
}

static Ast *boolean(Parser *p, bool value, Loc loc) {
    Ast *a = LEAF(BOOL, ((Word){value ? "true" : "false", false}), loc);
    a->integer = value;
    return a;
}

/* ---- errors -------------------------------------------------------------------------------------------------------------- */

static int yyreport_syntax_error(const yypcontext_t *context, Parser *p) {
    yysymbol_kind_t kinds[YYNTOKENS];
    int n = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
    SyntaxError e = {{NULL}, 0};
    for (int i = 0; i < n; i++) e.expected[e.n++] = yysymbol_name(kinds[i]);
    syntax_error(p, &e);
    return 0;
}

/* bison calls it for one reason only: its stack is full. */
static void yyerror(const Loc *loc, Parser *p, const char *message) {
    (void)message;
    tokens_too_deep(p, *loc);
}
