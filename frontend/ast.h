/* ast.h -- the syntax tree of a .mdl file: what was written, and where; nothing is looked up or checked here.
 *
 * Every node is an Ast. Its kind fixes what `text` and the kids mean; the table AST_KINDS says it, one row a kind. A kid
 * that may be left out is there all the same, as a node of kind AST_NONE; a kid is never NULL. Lists (statements,
 * arguments, ...) are nodes with any number of kids. `loc` is where a caret goes (the name or the operator), `span` is
 * everything the node was made from.
 *
 *     fn twice[b](x: float[b]) -> float[b] { return 2 * x; }
 *
 *     (fn "twice" (dims (dim "b" none)) (params (arg "x" (type "float" (shape (name "b"))) none))
 *         (type "float" (shape (name "b"))) (block (return (bin "*" (int "2") (name "x")))) none)
 *
 * The tree lives in the arena given to parse_file, and points into the Source, which must live as long. */
#ifndef FRONTEND_AST_H
#define FRONTEND_AST_H
#include "ir/diag.h"

#include <stdbool.h>
#include <stdint.h>

/* X(kind, name, kids): kids in order, `?` may be AST_NONE, `*` any number. An expression is any of the kinds from NAME to
 * LIST; a statement any of LET to MINIMIZE, IF, ASSERT, FREEZE, QUANTIZE, EXPRSTMT. */
#define AST_KINDS(X)                                                                                                           \
    X(NONE, "none", "nothing was written here")                                                                                \
    X(FILE, "file", "ITEMS; `comments` holds all comments of the file")                                                        \
    X(ITEMS, "items", "declarations*, of a file, a layer, an if")                                                              \
    X(IMPORT, "import", "text: path; alias NAME?")                                                                             \
    X(CONFIG, "config", "text: name; value, range?, type?")                                                                    \
    X(CONST, "const", "text: name; value")                                                                                     \
    X(DIMS, "dims", "DIM*: `dim a, b;` or the sizes in brackets after fn, entry, train (empty when there are none)")           \
    X(DIM, "dim", "text: name; range?")                                                                                        \
    X(DIMPACK, "dimpack", "`dim ...;`")                                                                                        \
    X(LAYER, "layer", "text: name; PARAMS, ITEMS")                                                                             \
    X(FN, "fn", "text: name, empty for the call; DIMS, PARAMS, result?, BLOCK, GRADIENT?")                                     \
    X(ENTRY, "entry", "text: name; DIMS, PARAMS, result?, BLOCK")                                                              \
    X(TRAIN, "train", "text: name; DIMS, PARAMS, result?, BLOCK")                                                              \
    X(PARAM, "param", "text: name; type, value")                                                                               \
    X(STATE, "state", "text: name; type, value")                                                                               \
    X(CACHE, "cache", "text: name; type, value")                                                                               \
    X(INSTANCE, "instance", "text: name; value, WITHS (empty when there is no `with`)")                                        \
    X(WITHS, "withs", "WITH*")                                                                                                 \
    X(WITH, "with", "path, value: one replacement of `with { }`")                                                              \
    X(SETTINGS, "settings", "text: name (precision, target, run); SET*")                                                       \
    X(SET, "set", "text: name; value")                                                                                         \
    X(INIT, "init", "SELS, value")                                                                                             \
    X(FREEZE, "freeze", "SELS; declaration or statement")                                                                      \
    X(QUANTIZE, "quantize", "SELS, value")                                                                                     \
    X(LOAD, "load", "target, file, ARGS of NAMED, NAME?, BLOCK?")                                                              \
    X(IF, "if", "condition, then, else: ITEMS or BLOCK both; `else if` is a list with one IF; no else: an empty list")         \
    X(ASSERT, "assert", "condition, message (a STR)?")                                                                         \
    X(ATTRS, "attrs", "ATTR*; stands in `attrs` of its declaration, which is NULL when there are none")                        \
    X(ATTR, "attr", "text: name; ARGS (empty without parentheses)")                                                            \
    X(PARAMS, "params", "ARG*")                                                                                                \
    X(ARG, "arg", "text: name; type?, default?")                                                                               \
    X(FIELDS, "fields", "FIELD*: a result whose parts have names")                                                             \
    X(FIELD, "field", "text: name; type")                                                                                      \
    X(GRADIENT, "gradient", "PARAMS, BLOCK")                                                                                   \
    X(TYPE, "type", "text: float, i32, ..., layer, fn, dim; SHAPE? (for dim: range?)")                                         \
    X(SHAPE, "shape", "expression or PACK *; empty for `f32[]`")                                                               \
    X(TUPTYPE, "tuptype", "type*")                                                                                             \
    X(LISTTYPE, "listtype", "type")                                                                                            \
    X(BLOCK, "block", "statement*")                                                                                            \
    X(LET, "let", "pattern (NAME or TUPLE), value or SCAN, type?")                                                             \
    X(ASSIGN, "assign", "target (any expression: to be checked), value or SCAN")                                               \
    X(EXPRSTMT, "exprstmt", "value")                                                                                           \
    X(RETURN, "return", "value or SCAN?")                                                                                      \
    X(YIELD, "yield", "value")                                                                                                 \
    X(STOP, "stop", "condition")                                                                                               \
    X(FOR, "for", "pattern, sequence, BLOCK")                                                                                  \
    X(SCAN, "scan", "pattern, sequence, BLOCK, axis?; a statement or the right side of one")                                   \
    X(MINIMIZE, "minimize", "loss, CLAUSE, TAIL")                                                                              \
    X(CLAUSE, "clause", "SELS, optimizer")                                                                                     \
    X(TAIL, "tail", "CLAUSE or NAMED *: what follows the first clause")                                                        \
    X(SELS, "sels", "LIST of paths, LIST of the paths after `except`")                                                         \
    X(NAME, "name", "text: name")                                                                                              \
    X(INT, "int", "text: as written; `integer`")                                                                               \
    X(REAL, "real", "text: as written; `real`")                                                                                \
    X(STR, "str", "text: what the string says, escapes decoded, {name} as written")                                            \
    X(BOOL, "bool", "text: true or false; `integer` 1 or 0")                                                                   \
    X(DTYPE, "dtype", "text: a type word used as an expression")                                                               \
    X(PAREN, "paren", "expression")                                                                                            \
    X(COND, "cond", "condition, then, else")                                                                                   \
    X(PIPE, "pipe", "left, right")                                                                                             \
    X(BIN, "bin", "text: operator; left, right")                                                                               \
    X(UN, "un", "text: - or !; operand")                                                                                       \
    X(RANGE, "range", "begin, end")                                                                                            \
    X(CALL, "call", "function, ARGS")                                                                                          \
    X(INDEX, "index", "value, SUBS")                                                                                           \
    X(DOT, "dot", "text: member, or * or **; value")                                                                           \
    X(COMP, "comp", "element, pattern, sequence")                                                                              \
    X(TUPLE, "tuple", "two or more expressions; as a pattern one or more patterns")                                            \
    X(LIST, "list", "expression*")                                                                                             \
    X(ARGS, "args", "expression or NAMED *")                                                                                   \
    X(NAMED, "named", "text: name; value")                                                                                     \
    X(SUBS, "subs", "expression, PACK, STAR, SLICE or WINDOW *")                                                               \
    X(PACK, "pack", "`...`")                                                                                                   \
    X(STAR, "star", "`*`")                                                                                                     \
    X(SLICE, "slice", "begin?, end?")                                                                                          \
    X(WINDOW, "window", "begin, length: `a : +n`")

typedef enum AstKind {
#define X(kind, name, kids) AST_##kind,
    AST_KINDS(X)
#undef X
    AST_KIND_COUNT
} AstKind;

/* Deeper trees are refused by the parser (E0002), so whoever walks a tree may recurse. A sum of n terms is n deep. */
enum { AST_DEPTH_LIMIT = 1000 };

typedef struct Comment {
    Loc loc; /* with its slashes, without the end of the line */
} Comment;

typedef LIST(Comment) Comments;

typedef struct Ast Ast;
struct Ast {
    AstKind kind;
    Loc loc;          /* where a caret goes: the name, the operator; the keyword where there is neither */
    Loc span;         /* from the first to the last byte; attributes and the closing `;` included */
    const char *text; /* see the table; NULL where it says nothing */
    bool quoted;      /* the name was written in backquotes */
    int64_t integer;  /* INT, BOOL */
    double real;      /* REAL; INT too, rounded */
    Ast **kid;
    int n, cap;
    int depth;        /* 1 + the greatest depth of a kid */
    Ast *attrs;       /* of a declaration: ATTRS, or NULL */
    Comments *comments; /* of FILE: in the order of the text */
};

static inline bool ast_is(const Ast *a, AstKind kind) { return a->kind == kind; }
static inline bool ast_given(const Ast *a) { return a->kind != AST_NONE; }
static inline Ast *ast_kid(const Ast *a, int i) { return a->kid[i]; }

/* fn, entry, train */
static inline Ast *fn_dims(const Ast *a) { return a->kid[0]; }
static inline Ast *fn_params(const Ast *a) { return a->kid[1]; }
static inline Ast *fn_result(const Ast *a) { return a->kid[2]; }
static inline Ast *fn_body(const Ast *a) { return a->kid[3]; }

const char *ast_kind_name(AstKind kind); /* "minimize" */
const char *ast_kind_kids(AstKind kind); /* the third column of the table */

Ast *ast_new(Arena *arena, AstKind kind, Loc loc, Loc span, const char *text);
void ast_add(Arena *arena, Ast *list, Ast *kid); /* appends; widens span and depth */

/* The attribute @name of a declaration, or NULL. Its only kid is an ARGS. */
Ast *ast_attr(const Ast *declaration, const char *name);

/* The same tree: kinds, texts, kids, attributes; not places, comments, spelling of numbers and quotes. */
bool ast_equal(const Ast *a, const Ast *b);

/* The s-expression of a tree, as at the top of this file (--emit=ast), with a newline at its end. */
void ast_print(FILE *out, const Ast *a);

/* What was written, on one line, white space and comments squeezed to one space: for messages ("write (x |> f) + 1"). */
char *ast_text(Arena *arena, const Ast *a);

#endif
