/* tile_parse.c -- text of the tile IR to a TileKernel: recursive descent over the characters, one symbol table with nested
 * scopes. The grammar is in tile.h. All state is in a Parser on the stack; a fault jumps back to tile_parse, everything made
 * lies in the caller's arena. */
#include "codegen/tile.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const TileOpRow tile_op_row[TO_COUNT] = {
#define X(e, name, args, class, flops) {name, args, class, flops},
    TILE_OPS(X)
#undef X
};

const TileTarget tile_targets[] = {
    {"x86-64-v4+bf16", "x86-64-v4", "znver4", "+avx512bf16,+avx512vnni", 16, 32, 8, 1 << 20, true, true, true, false, true, true, false, false, 4, 0},
    {"x86-64-v4+vnni", "x86-64-v4", "znver4", "+avx512vnni", 16, 32, 8, 1 << 20, true, true, true, false, true, false, false, false, 4, 0},
    {"x86-64-v4", "x86-64-v4", "znver4", "", 16, 32, 8, 1 << 20, true, true, true, false, true, false, false, false, 2, 0},
    {"x86-64-v3", "x86-64-v3", "haswell", "", 8, 16, 10, 1 << 18, true, true, true, false, false, false, false, false, 2, 0},
    {"x86-64-v2", "x86-64-v2", "nehalem", "", 4, 16, 8, 1 << 18, false, true, false, false, false, false, false, false, 2, 0},
    {"aarch64", "generic", "cortex-a76", "", 4, 32, 8, 1 << 19, true, true, true, false, false, false, false, false, 1, 0}, /* fma: 4 cycles, two pipes */
    {"aarch64+dotprod", "generic", "cortex-a76", "+dotprod", 4, 32, 8, 1 << 19, true, true, true, false, false, false, true, false, 4, 0},
    {"aarch64+i8mm", "generic", "neoverse-n2", "+dotprod,+i8mm", 4, 32, 8, 1 << 19, true, true, true, false, false, false, true, true, 4, 0},
    {"aarch64+bf16", "generic", "neoverse-n2", "+dotprod,+i8mm,+bf16", 4, 32, 8, 1 << 19, true, true, true, false, false, true, true, true, 4, 0},
    {"armv7", "cortex-a7", "cortex-a15", "", 4, 16, 8, 1 << 18, true, false, true, false, false, false, false, false, 1, 0},
    /* These two have 32 registers of one float: vectors of four are taken apart, and eight of them live in registers. */
    {"cortex-m4", "cortex-m4", "cortex-m4", "", 4, 8, 1, 1 << 14, true, false, true, true, false, false, false, false, 1, 0},
    {"riscv64", "generic-rv64", "generic-rv64", "+m,+a,+f,+d,+c", 4, 8, 2, 1 << 19, true, true, false, false, false, false, false, false, 1, 0},
    {"riscv64+v", "generic-rv64", "generic-rv64", "+m,+a,+f,+d,+c,+v", 4, 32, 8, 1 << 19, true, true, false, false, false, false, false, false, 1, 0},
    {"wasm32", "generic", "generic", "+simd128", 4, 16, 8, 1 << 18, false, true, false, false, false, false, false, false, 1, 0},
    /* A warp: its threads are the lanes. Registers are as many vectors as a thread keeps of them beside addresses. */
    {"cuda", "", "", "", 32, 64, 8, 1 << 20, true, true, true, false, true, false, false, false, 1, 128},
    {NULL, NULL, NULL, NULL, 0, 0, 0, 0, false, false, false, false, false, false, false, false, 0, 0},
};

const TileTarget *tile_target(const char *name) {
    for (const TileTarget *t = tile_targets; t->name; t++)
        if (strcmp(t->name, name) == 0) return t;
    return NULL;
}

typedef struct Parser {
    jmp_buf trap;
    Arena *arena;
    const char *text, *p;
    TileKernel *k;
    TileSym *scope; /* innermost first */
    const TileBind *binds;
    int n_binds;
    int depth; /* of nested expressions and blocks */
    const char *error;
} Parser;

static int line_at(const Parser *P, const char *at) {
    int line = 1;
    for (const char *q = P->text; q < at; q++) line += *q == '\n';
    return line;
}

static void fail(Parser *P, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
static void fail(Parser *P, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const char *message = arena_vprintf(P->arena, format, ap);
    va_end(ap);
    P->error = arena_printf(P->arena, "line %d: %s, near \"%.20s\"", line_at(P, P->p), message, P->p);
    longjmp(P->trap, 1);
}

/* ------------------------------------------------------------------ characters and words */

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static void skip_blanks(Parser *P) {
    for (;;) {
        while (isspace((unsigned char)*P->p)) P->p++;
        if (P->p[0] != '/' || P->p[1] != '/') return;
        while (*P->p && *P->p != '\n') P->p++;
    }
}

/* Is the token or word t next? A word must end there. */
static bool peek(Parser *P, const char *t) {
    skip_blanks(P);
    size_t n = strlen(t);
    if (strncmp(P->p, t, n) != 0) return false;
    return !(is_name(t[n - 1]) && is_name(P->p[n]));
}

static bool accept(Parser *P, const char *t) {
    if (!peek(P, t)) return false;
    P->p += strlen(t);
    return true;
}

static void need(Parser *P, const char *t) {
    if (!accept(P, t)) fail(P, "expected %s", t);
}

static const char *identifier(Parser *P) {
    skip_blanks(P);
    const char *begin = P->p;
    if (!isalpha((unsigned char)*begin) && *begin != '_') fail(P, "expected a name");
    while (is_name(*P->p)) P->p++;
    return arena_copy(P->arena, begin, (size_t)(P->p - begin));
}

/* ------------------------------------------------------------------ symbols */

static TileSym *find(Parser *P, const char *name) {
    for (TileSym *s = P->scope; s; s = s->next)
        if (strcmp(s->name, name) == 0) return s;
    return NULL;
}

static TileSym *declare(Parser *P, const char *name, TileSymKind k) {
    TileSym *s = NEW(P->arena, TileSym);
    s->name = name;
    s->k = k;
    s->id = P->k->all.n;
    s->arg = -1;
    s->max = -1;
    s->next = P->scope;
    P->scope = s;
    PUSH(P->arena, P->k->all, s);
    return s;
}

/* ------------------------------------------------------------------ expressions */

static TileExpr *expression(Parser *P);
static TileExpr *sum(Parser *P);

static TileExpr *make(Parser *P, TileExprKind k) {
    TileExpr *e = NEW(P->arena, TileExpr);
    e->k = k;
    return e;
}

static TileExpr *number(Parser *P, double value, int64_t whole, bool fraction) {
    TileExpr *e = make(P, TE_NUMBER);
    e->number = value;
    e->whole = whole;
    e->fraction = fraction;
    return e;
}

static TileExpr *operation(Parser *P, TileOp op, TileExpr *a, TileExpr *b) {
    TileExpr *e = make(P, TE_OP);
    e->op = op;
    e->x[0] = a;
    e->x[1] = b;
    return e;
}

/* Arithmetic of two literals is one literal, so that `x * (1 - 0.5)` has no type of its own to disagree with; whole / whole
 * is kept. */
static TileExpr *infix(Parser *P, TileOp op, TileExpr *a, TileExpr *b) {
    if (a->k != TE_NUMBER || b->k != TE_NUMBER) return operation(P, op, a, b);
    if (a->fraction || b->fraction) {
        double x = a->number, y = b->number;
        if (op == TO_ADD) return number(P, x + y, 0, true);
        if (op == TO_SUB) return number(P, x - y, 0, true);
        if (op == TO_MUL) return number(P, x * y, 0, true);
        if (op == TO_DIV) return number(P, x / y, 0, true);
        return operation(P, op, a, b);
    }
    int64_t r;
    bool overflow = op == TO_ADD   ? __builtin_add_overflow(a->whole, b->whole, &r)
                    : op == TO_SUB ? __builtin_sub_overflow(a->whole, b->whole, &r)
                    : op == TO_MUL ? __builtin_mul_overflow(a->whole, b->whole, &r)
                                   : true;
    return overflow ? operation(P, op, a, b) : number(P, (double)r, r, false);
}

/* 12  1.5  1e-3 ; the points of 0..n belong to the range. */
static TileExpr *literal(Parser *P) {
    const char *q = P->p;
    bool fraction = false;
    while (isdigit((unsigned char)*q)) q++;
    if (*q == '.' && q[1] != '.') {
        fraction = true;
        q++;
        while (isdigit((unsigned char)*q)) q++;
    }
    if ((*q == 'e' || *q == 'E') &&
        (isdigit((unsigned char)q[1]) || ((q[1] == '-' || q[1] == '+') && isdigit((unsigned char)q[2])))) {
        fraction = true;
        q += 2;
        while (isdigit((unsigned char)*q)) q++;
    }
    char *text = arena_copy(P->arena, P->p, (size_t)(q - P->p));
    double value = strtod(text, NULL);
    int64_t whole = 0;
    if (!fraction) {
        if (value >= 9.3e18) fail(P, "the number %s does not fit 64 bits", text);
        whole = (int64_t)strtoull(text, NULL, 10);
    }
    P->p = q;
    return number(P, value, whole, fraction);
}

/* [i, j : lanes < limit else fill] */
static void access(Parser *P, TileAccess *a, TileSym *s) {
    a->s = s;
    a->lane_dim = -1;
    need(P, "[");
    do {
        if (a->n == TILE_RANK) fail(P, "more than %d indices", TILE_RANK);
        a->ix[a->n] = sum(P);
        if (accept(P, ":")) {
            if (a->lane_dim >= 0) fail(P, "two lane ranges in one access");
            if (s->k == TS_REG) fail(P, "a lane range in the register tile %s", s->name);
            a->lane_dim = a->n;
            a->lanes = sum(P);
            if (accept(P, "<")) {
                a->limit = sum(P);
                if (accept(P, "else")) {
                    a->fill = sum(P);
                    if (a->fill->k != TE_NUMBER) fail(P, "the value after else is not a literal");
                }
            }
        }
        a->n++;
    } while (accept(P, ","));
    need(P, "]");
    if (s->k == TS_BUF && a->n != s->nd) fail(P, "%s has %d indices", s->name, s->nd);
    if (s->k == TS_REG && a->n > s->nd) fail(P, "%s has %d indices", s->name, s->nd);
}

static TileExpr *call(Parser *P, const char *name) {
    int op = 0;
    while (op < TO_COUNT && strcmp(tile_op_row[op].name, name) != 0) op++;
    if (op == TO_COUNT) fail(P, "unknown operation %s", name);
    TileExpr *e = make(P, TE_OP);
    e->op = (TileOp)op;
    need(P, "(");
    for (int i = 0; i < tile_op_row[op].args; i++) {
        if (i) need(P, ",");
        e->x[i] = expression(P);
    }
    need(P, ")");
    return e;
}

static TileExpr *primary(Parser *P) {
    if (++P->depth > 2000) fail(P, "nested too deeply");
    TileExpr *e;
    skip_blanks(P);
    if (accept(P, "(")) {
        e = expression(P);
        need(P, ")");
    } else if (accept(P, "-")) {
        e = primary(P);
        if (e->k == TE_NUMBER && (e->fraction || e->whole != INT64_MIN))
            e = number(P, -e->number, e->fraction ? 0 : -e->whole, e->fraction);
        else if (e->k != TE_NUMBER) e = operation(P, TO_NEG, e, NULL);
    } else if (accept(P, "inf")) {
        e = number(P, INFINITY, 0, true);
    } else if (accept(P, "nan")) {
        e = number(P, NAN, 0, true);
    } else if (isdigit((unsigned char)*P->p)) {
        e = literal(P);
    } else {
        const char *name = identifier(P);
        if (peek(P, "(")) {
            e = call(P, name);
        } else {
            TileSym *s = find(P, name);
            if (!s) fail(P, "unknown name %s", name);
            if (s->k == TS_BUF || s->k == TS_REG) {
                e = make(P, TE_ACCESS);
                e->a.s = s;
                e->a.lane_dim = -1;
                if (s->k == TS_BUF || (s->nd && peek(P, "["))) access(P, &e->a, s);
            } else {
                e = make(P, TE_SYM);
                e->s = s;
            }
        }
    }
    P->depth--;
    return e;
}

static TileExpr *product(Parser *P) {
    TileExpr *e = primary(P);
    for (;;) {
        if (accept(P, "*")) e = infix(P, TO_MUL, e, primary(P));
        else if (accept(P, "/")) e = infix(P, TO_DIV, e, primary(P)); /* peek has skipped comments */
        else if (accept(P, "%")) e = infix(P, TO_MOD, e, primary(P));
        else return e;
    }
}

static TileExpr *sum(Parser *P) {
    TileExpr *e = product(P);
    for (;;) {
        if (accept(P, "+")) e = infix(P, TO_ADD, e, product(P));
        else if (accept(P, "-")) e = infix(P, TO_SUB, e, product(P));
        else return e;
    }
}

static TileExpr *expression(Parser *P) {
    static const TileOp compare[] = {TO_LE, TO_GE, TO_EQ, TO_NE, TO_LT, TO_GT}; /* longer spellings first */
    TileExpr *e = sum(P);
    for (int i = 0; i < 6; i++)
        if (accept(P, tile_op_row[compare[i]].name)) return operation(P, compare[i], e, sum(P));
    return e;
}

/* ------------------------------------------------------------------ types */

/* f32, f32x16, f32xVL */
static void type(Parser *P, TileSym *s) {
    const char *name = identifier(P);
    for (int d = 0; d < DT_COUNT; d++) {
        const char *row = dtype_name((DType)d);
        size_t n = strlen(row);
        if (strncmp(name, row, n) != 0 || (name[n] && name[n] != 'x')) continue;
        if (dtype_bytes((DType)d) == 0) fail(P, "%s is no element type of a kernel", row);
        s->d = (DType)d;
        const char *lanes = name + n + 1;
        if (!name[n]) return;
        if (isdigit((unsigned char)*lanes)) {
            int64_t value = strtoll(lanes, NULL, 10);
            s->lanes = number(P, (double)value, value, false);
            return;
        }
        TileSym *count = find(P, lanes);
        if (!count) fail(P, "unknown lane count %s", lanes);
        s->lanes = make(P, TE_SYM);
        s->lanes->s = count;
        return;
    }
    fail(P, "unknown type %s", name);
}

static void dimensions(Parser *P, TileSym *s) {
    if (!accept(P, "[")) return;
    do {
        if (s->nd == TILE_RANK) fail(P, "more than %d dimensions", TILE_RANK);
        TileExpr *e = sum(P);
        if (accept(P, "..")) {
            s->lo[s->nd] = e;
            e = sum(P);
        }
        s->hi[s->nd++] = e;
    } while (accept(P, ","));
    need(P, "]");
}

static void copy_type(TileSym *to, const TileSym *from) {
    to->d = from->d;
    to->lanes = from->lanes;
    to->nd = from->nd;
    memcpy(to->lo, from->lo, sizeof to->lo);
    memcpy(to->hi, from->hi, sizeof to->hi);
}

/* ------------------------------------------------------------------ statements */

static TileStmt *statement(Parser *P);

static TileStmt *block(Parser *P) {
    TileSym *scope = P->scope;
    if (++P->depth > 500) fail(P, "nested too deeply");
    need(P, "{");
    TileStmt *first = NULL, **end = &first;
    while (!accept(P, "}")) {
        *end = statement(P);
        end = &(*end)->next;
    }
    P->depth--;
    P->scope = scope;
    return first;
}

/* i in a..b [by [T =] s | step s] [rest | masked] { } */
static void loop(Parser *P, TileStmt *s) {
    const char *name = identifier(P);
    need(P, "in");
    s->lo = sum(P);
    need(P, "..");
    s->hi = sum(P);
    TileSym *scope = P->scope;
    if (accept(P, "by")) {
        const char *back = P->p, *tile = NULL;
        skip_blanks(P);
        if (isalpha((unsigned char)*P->p)) {
            tile = identifier(P);
            if (!accept(P, "=")) {
                P->p = back;
                tile = NULL;
            }
        }
        s->by = sum(P);
        if (tile) s->tile = declare(P, tile, TS_CONST);
    } else if (accept(P, "step")) {
        s->step = true;
        s->by = sum(P);
    }
    if (accept(P, "rest")) s->rest = true;
    else if (accept(P, "masked")) s->masked = true;
    else if (s->k == TK_FOR && !s->by && accept(P, "share")) s->share = true;
    s->s = declare(P, name, TS_LOOP);
    s->body = block(P);
    P->scope = scope;
}

static void declare_reg(Parser *P, TileStmt *s) {
    s->k = TK_REG;
    const char *name = identifier(P);
    need(P, ":");
    TileSym t = {0};
    type(P, &t);
    dimensions(P, &t);
    if (accept(P, "=")) s->e = expression(P);
    s->s = declare(P, name, TS_REG);
    copy_type(s->s, &t);
}

static void declare_buffer(Parser *P, TileStmt *s) {
    s->k = TK_BUF;
    const char *name = identifier(P);
    need(P, ":");
    TileSym t = {0};
    type(P, &t);
    if (t.lanes) fail(P, "a buffer holds scalars");
    dimensions(P, &t);
    if (!t.nd) fail(P, "the buffer %s needs dimensions", name);
    s->s = declare(P, name, TS_BUF);
    copy_type(s->s, &t);
    if (accept(P, "stack")) s->s->space = TILE_STACK;
    else if (accept(P, "arena")) s->s->space = TILE_ARENA;
    else fail(P, "expected stack or arena");
    s->s->swizzled = accept(P, "swizzled");
}

static void assignment(Parser *P, TileStmt *s) {
    const char *name = identifier(P);
    TileSym *target = find(P, name);
    if (!target) fail(P, "unknown name %s", name);
    if (target->k != TS_BUF && target->k != TS_REG) fail(P, "%s cannot be set", name);
    s->k = target->k == TS_BUF ? TK_STORE : TK_SET;
    s->a.s = target;
    s->a.lane_dim = -1;
    if (target->k == TS_BUF || target->nd) access(P, &s->a, target);
    need(P, "=");
    s->e = expression(P);
}

/* An element of a buffer, or one or several of a register tile. */
static void place(Parser *P, TileAccess *a, TileSymKind k, const char *what) {
    a->s = find(P, identifier(P));
    a->lane_dim = -1;
    if (!a->s || a->s->k != k) fail(P, "%s is wanted", what);
    if (k == TS_BUF || peek(P, "[")) access(P, a, a->s);
}

static TileExpr *place_expression(Parser *P, TileSymKind k, const char *what) {
    TileExpr *e = make(P, TE_ACCESS);
    place(P, &e->a, k, what);
    return e;
}

static void copy(Parser *P, TileStmt *s) {
    TileSym *scope = P->scope;
    s->k = TK_COPY;
    const char *name = identifier(P);
    need(P, "in");
    s->lo = sum(P);
    need(P, "..");
    s->hi = sum(P);
    if (accept(P, "<")) s->by = sum(P);
    s->s = declare(P, name, TS_LOOP);
    need(P, "{");
    place(P, &s->a, TS_BUF, "a buffer");
    need(P, "=");
    s->e = place_expression(P, TS_BUF, "a buffer");
    need(P, "}");
    P->scope = scope;
}

/* A factor of multiply. */
static TileExpr *factor(Parser *P, bool *across) {
    need(P, ",");
    TileExpr *e = place_expression(P, TS_BUF, "a buffer");
    *across = accept(P, "across");
    return e;
}

static DType half_type(Parser *P) {
    if (accept(P, "f16")) return DT_F16;
    need(P, "bf16");
    return DT_BF16;
}

/* The statements of a warp. false: it is none of them. */
static bool warp_statement(Parser *P, TileStmt *s) {
    if (accept(P, "copy")) {
        copy(P, s);
    } else if (accept(P, "commit")) {
        s->k = TK_COMMIT;
    } else if (accept(P, "wait")) {
        s->k = TK_WAIT;
        s->e = primary(P);
    } else if (accept(P, "ldmatrix")) {
        s->k = TK_LDMATRIX;
        place(P, &s->a, TS_REG, "a register tile");
        need(P, ",");
        s->e = place_expression(P, TS_BUF, "a buffer");
        s->across = accept(P, "across");
        s->d = s->e->a.s->d;
        if (accept(P, "as")) s->d = half_type(P);
    } else if (accept(P, "mma")) {
        s->k = TK_MMA;
        s->d = accept(P, "tf32") ? DT_F32 : half_type(P);
        place(P, &s->a, TS_REG, "a register tile");
        need(P, ",");
        s->lo = place_expression(P, TS_REG, "a register tile");
        need(P, ",");
        s->hi = place_expression(P, TS_REG, "a register tile");
    } else if (accept(P, "multiply")) {
        s->k = TK_MULTIPLY;
        s->d = half_type(P);
        place(P, &s->a, TS_REG, "a register tile");
        s->lo = factor(P, &s->across);
        s->hi = factor(P, &s->across_b);
    } else if (accept(P, "finish")) {
        s->k = TK_FINISH;
    } else if (accept(P, "put")) {
        s->k = TK_PUT;
        place(P, &s->a, TS_BUF, "a buffer");
        need(P, "=");
        s->e = place_expression(P, TS_REG, "a register tile");
    } else if (accept(P, "weigh")) {
        s->k = TK_WEIGH;
        place(P, &s->a, TS_REG, "a register tile");
        need(P, ",");
        s->e = place_expression(P, TS_BUF, "a buffer");
    } else {
        return false;
    }
    return true;
}

static TileStmt *statement(Parser *P) {
    TileStmt *s = NEW(P->arena, TileStmt);
    skip_blanks(P);
    s->line = line_at(P, P->p);
    const char *name;
    if (accept(P, "parallel")) {
        s->k = TK_PARALLEL;
        loop(P, s);
    } else if (accept(P, "for")) {
        s->k = TK_FOR;
        loop(P, s);
    } else if (accept(P, "unroll")) {
        s->k = TK_UNROLL;
        loop(P, s);
        if (s->by) fail(P, "unroll has no step");
    } else if (accept(P, "reg")) {
        declare_reg(P, s);
    } else if (accept(P, "buf")) {
        declare_buffer(P, s);
    } else if (accept(P, "let")) {
        s->k = TK_LET;
        name = identifier(P);
        need(P, "=");
        s->e = expression(P);
        s->s = declare(P, name, TS_LET);
    } else if (accept(P, "const")) {
        s->k = TK_CONST;
        name = identifier(P);
        need(P, "=");
        s->e = expression(P);
        s->s = declare(P, name, TS_CONST);
    } else if (accept(P, "index")) {
        s->k = TK_INDEX;
        name = identifier(P);
        need(P, "=");
        s->e = expression(P);
        need(P, "in");
        s->lo = sum(P);
        need(P, "..");
        s->hi = sum(P);
        s->s = declare(P, name, TS_INDEX);
    } else if (accept(P, "if")) {
        s->k = TK_IF;
        s->e = expression(P);
        s->body = block(P);
    } else if (accept(P, "transpose")) {
        s->k = TK_TRANSPOSE;
        name = identifier(P);
        s->s = find(P, name);
        if (!s->s || s->s->k != TS_REG) fail(P, "transpose wants a register tile");
    } else if (accept(P, "prefetch")) {
        s->k = TK_PREFETCH;
        name = identifier(P);
        s->a.s = find(P, name);
        s->a.lane_dim = -1;
        if (!s->a.s || s->a.s->k != TS_BUF) fail(P, "prefetch wants an element of a buffer");
        access(P, &s->a, s->a.s);
        if (s->a.lane_dim >= 0) fail(P, "prefetch wants one element");
        s->second = accept(P, "second");
    } else if (!warp_statement(P, s)) {
        assignment(P, s);
    }
    return s;
}

/* ------------------------------------------------------------------ kernels */

/* Compile-time integers of the parameter list: literals and arithmetic on earlier parameters. */
static int64_t parameter_value(Parser *P, const TileExpr *e) {
    int64_t a, b, r = 0;
    if (e->k == TE_NUMBER && !e->fraction) return e->whole;
    if (e->k == TE_SYM && e->s->known) return e->s->value;
    if (e->k == TE_OP && e->op == TO_NEG) {
        if (__builtin_sub_overflow(0, parameter_value(P, e->x[0]), &r)) fail(P, "overflow");
        return r;
    }
    if (e->k != TE_OP || e->op > TO_MOD) fail(P, "a parameter must be a compile-time integer");
    a = parameter_value(P, e->x[0]);
    b = parameter_value(P, e->x[1]);
    bool overflow = false;
    if (e->op == TO_ADD) overflow = __builtin_add_overflow(a, b, &r);
    else if (e->op == TO_SUB) overflow = __builtin_sub_overflow(a, b, &r);
    else if (e->op == TO_MUL) overflow = __builtin_mul_overflow(a, b, &r);
    else if (b == 0 || (a == INT64_MIN && b == -1)) fail(P, "division by zero");
    else {
        int64_t q = a / b - (a % b != 0 && (a < 0) != (b < 0));
        r = e->op == TO_DIV ? q : a - q * b;
    }
    if (overflow) fail(P, "overflow");
    return r;
}

static void fix(TileSym *s, int64_t value) {
    s->k = TS_CONST;
    s->known = true;
    s->value = value;
}

static void parameter(Parser *P) {
    TileKernel *k = P->k;
    const char *name = identifier(P);
    TileSym *s = declare(P, name, TS_SIZE);
    PUSH(P->arena, k->params, s);
    s->min = 1;
    if (accept(P, "=")) {
        fix(s, parameter_value(P, sum(P)));
    } else if (accept(P, "in")) {
        s->min = parameter_value(P, sum(P));
        need(P, "..");
        if (!peek(P, ",") && !peek(P, ">")) s->max = parameter_value(P, sum(P));
        if (s->min < 0 || (s->max >= 0 && s->max < s->min)) fail(P, "the range of %s is empty or negative", name);
    }
    for (int i = 0; i < P->n_binds; i++)
        if (strcmp(P->binds[i].name, name) == 0) fix(s, P->binds[i].value);
    if (s->k == TS_SIZE) s->arg = k->sizes++;
}

static void argument(Parser *P) {
    TileKernel *k = P->k;
    const char *name = identifier(P);
    need(P, ":");
    TileSym *s = declare(P, name, TS_BUF);
    type(P, s);
    if (s->lanes) fail(P, "the argument %s has lanes", name);
    dimensions(P, s);
    if (!s->nd) s->k = TS_SCALAR;
    if (s->nd && accept(P, "stride")) {
        need(P, "(");
        for (int i = 0; i < s->nd; i++) {
            if (i) need(P, ",");
            s->stride[i] = sum(P);
        }
        need(P, ")");
    }
    if (s->nd && accept(P, "offset")) {
        need(P, "(");
        s->offset = sum(P);
        need(P, ")");
    }
    for (bool more = s->nd > 0; more;) {
        if (accept(P, "out")) s->out = true;
        else if (accept(P, "inout")) s->out = s->inout = true;
        else if (accept(P, "const")) s->constant = true;
        else if (accept(P, "alias")) s->alias = true;
        else more = false;
    }
    if (s->out && s->constant) fail(P, "%s is const and an output", name);
    s->arg = k->args.n;
    PUSH(P->arena, k->args, s);
}

static TileKernel *kernel(Parser *P) {
    TileKernel *k = P->k = NEW(P->arena, TileKernel);
    k->arena = P->arena;
    P->scope = NULL;
    need(P, "kernel");
    k->name = identifier(P);
    if (accept(P, "<")) {
        do parameter(P);
        while (accept(P, ","));
        need(P, ">");
    }
    need(P, "(");
    do argument(P);
    while (accept(P, ","));
    need(P, ")");
    k->group = accept(P, "group");
    k->body = block(P);
    return k;
}

/* Skips a kernel that is not wanted: to the `kernel` word that begins the next one. */
static bool next_kernel(Parser *P, const char *name) {
    for (;;) {
        skip_blanks(P);
        if (!*P->p) return false;
        if (peek(P, "kernel")) {
            const char *begin = P->p;
            P->p += 6;
            if (!name || strcmp(identifier(P), name) == 0) {
                P->p = begin;
                return true;
            }
        } else if (is_name(*P->p)) {
            while (is_name(*P->p)) P->p++;
        } else {
            P->p++;
        }
    }
}

TileKernel *tile_parse(Arena *a, const char *text, const char *name, const TileBind *binds, int n, const char **error) {
    Parser P = {.arena = a, .text = text, .p = text, .binds = binds, .n_binds = n};
    *error = NULL;
    if (setjmp(P.trap)) {
        *error = P.error;
        return NULL;
    }
    if (!next_kernel(&P, name)) fail(&P, "no kernel %s", name ? name : "at all");
    return kernel(&P);
}
