/* tile_print.c -- a TileKernel as text that tile_parse reads back: one statement a line, two blanks an indent, parentheses
 * only where needed. */
#include "codegen/tile_walk.h"

#include <math.h>
#include <stdlib.h>

/* The shortest decimal form that gives the same double back; a fraction keeps a point or an exponent. */
static void print_number(FILE *f, const TileExpr *e) {
    char text[40];
    if (!e->fraction) {
        fprintf(f, "%lld", (long long)e->whole);
        return;
    }
    if (isnan(e->number)) {
        fputs("nan", f);
        return;
    }
    if (isinf(e->number)) {
        fputs(e->number < 0 ? "-inf" : "inf", f);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, e->number);
        if (strtod(text, NULL) == e->number) break;
    }
    bool marked = false;
    for (const char *p = text; *p; p++) marked |= *p == '.' || *p == 'e';
    fprintf(f, "%s%s", text, marked ? "" : ".0");
}

static void print_access(FILE *f, const TileAccess *a) {
    fputs(a->s->name, f);
    for (int i = 0; i < a->n; i++) {
        fputs(i ? ", " : "[", f);
        tile_print_expr(f, a->ix[i], 1);
        if (i != a->lane_dim) continue;
        fputs(" : ", f);
        tile_print_expr(f, a->lanes, 1);
        if (!a->limit) continue;
        fputs(" < ", f);
        tile_print_expr(f, a->limit, 1);
        if (!a->fill) continue;
        fputs(" else ", f);
        print_number(f, a->fill);
    }
    if (a->n) fputc(']', f);
}

/* precedence: 0 anything, 1 a sum, 2 a product, 3 a factor */
void tile_print_expr(FILE *f, const TileExpr *e, int precedence) {
    switch (e->k) {
    case TE_NUMBER: print_number(f, e); return;
    case TE_SYM: fputs(e->s->name, f); return;
    case TE_ACCESS: print_access(f, &e->a); return;
    case TE_OP: break;
    }
    const TileOpRow *row = &tile_op_row[e->op];
    if (e->op <= TO_NE) {
        int own = e->op <= TO_SUB ? 1 : e->op <= TO_MOD ? 2 : 0;
        if (own < precedence) fputc('(', f);
        tile_print_expr(f, e->x[0], own ? own : 1);
        fprintf(f, " %s ", row->name);
        tile_print_expr(f, e->x[1], own + 1);
        if (own < precedence) fputc(')', f);
        return;
    }
    fprintf(f, "%s(", row->name);
    for (int i = 0; i < row->args; i++) {
        if (i) fputs(", ", f);
        tile_print_expr(f, e->x[i], 0);
    }
    fputc(')', f);
}

const char *tile_expr_text(Arena *a, const TileExpr *e) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return "?";
    tile_print_expr(f, e, 0);
    fclose(f);
    const char *copy = arena_copy(a, text, n);
    free(text);
    return copy;
}

static void print_type(FILE *f, const TileSym *s) {
    fputs(dtype_name(s->d), f);
    if (s->lanes) {
        fputc('x', f);
        tile_print_expr(f, s->lanes, 3);
    }
    for (int i = 0; i < s->nd; i++) {
        fputs(i ? ", " : "[", f);
        if (s->lo[i]) {
            tile_print_expr(f, s->lo[i], 1);
            fputs("..", f);
        }
        tile_print_expr(f, s->hi[i], 1);
    }
    if (s->nd) fputc(']', f);
}

static void print_block(FILE *f, const TileStmt *s, int indent);

static void print_body(FILE *f, const TileStmt *s, int indent) {
    fputs(" {\n", f);
    print_block(f, s->body, indent + 1);
    fprintf(f, "%*s}", indent * 2, "");
}

static void print_loop(FILE *f, const TileStmt *s, int indent) {
    fprintf(f, "%s %s in ", s->k == TK_PARALLEL ? "parallel" : s->k == TK_FOR ? "for" : "unroll", s->s->name);
    tile_print_expr(f, s->lo, 1);
    fputs("..", f);
    tile_print_expr(f, s->hi, 1);
    if (s->by) {
        fputs(s->step ? " step " : " by ", f);
        if (s->tile) fprintf(f, "%s = ", s->tile->name);
        tile_print_expr(f, s->by, 1);
    }
    fputs(s->rest ? " rest" : s->masked ? " masked" : s->share ? " share" : "", f);
    print_body(f, s, indent);
}

const char *tile_mma_name(DType d) {
    return d == DT_F32 ? "tf32" : dtype_name(d);
}

/* of a warp */
static void print_warp(FILE *f, const TileStmt *s) {
    switch (s->k) {
    case TK_COPY:
        fprintf(f, "copy %s in ", s->s->name);
        tile_print_expr(f, s->lo, 1);
        fputs("..", f);
        tile_print_expr(f, s->hi, 1);
        if (s->by) {
            fputs(" < ", f);
            tile_print_expr(f, s->by, 1);
        }
        fputs(" { ", f);
        print_access(f, &s->a);
        fputs(" = ", f);
        print_access(f, &s->e->a);
        fputs(" }", f);
        break;
    case TK_COMMIT: fputs("commit", f); break;
    case TK_FINISH: fputs("finish", f); break;
    case TK_MULTIPLY:
        fprintf(f, "multiply %s ", dtype_name(s->d));
        print_access(f, &s->a);
        fputs(", ", f);
        print_access(f, &s->lo->a);
        fputs(s->across ? " across, " : ", ", f);
        print_access(f, &s->hi->a);
        if (s->across_b) fputs(" across", f);
        break;
    case TK_WAIT:
        fputs("wait ", f);
        tile_print_expr(f, s->e, 3);
        break;
    case TK_MMA:
        fprintf(f, "mma %s ", tile_mma_name(s->d));
        print_access(f, &s->a);
        fputs(", ", f);
        print_access(f, &s->lo->a);
        fputs(", ", f);
        print_access(f, &s->hi->a);
        break;
    default: /* ldmatrix, put, weigh */
        fputs(s->k == TK_PUT ? "put " : s->k == TK_WEIGH ? "weigh " : "ldmatrix ", f);
        print_access(f, &s->a);
        fputs(s->k == TK_PUT ? " = " : ", ", f);
        print_access(f, &s->e->a);
        if (s->across) fputs(" across", f);
        if (s->k == TK_LDMATRIX && s->d != s->e->a.s->d) fprintf(f, " as %s", dtype_name(s->d));
        break;
    }
}

static void print_statement(FILE *f, const TileStmt *s, int indent) {
    switch (s->k) {
    case TK_PARALLEL:
    case TK_FOR:
    case TK_UNROLL: print_loop(f, s, indent); break;
    case TK_REG:
    case TK_BUF:
        fprintf(f, "%s %s: ", s->k == TK_REG ? "reg" : "buf", s->s->name);
        print_type(f, s->s);
        if (s->k == TK_BUF) fputs(s->s->space == TILE_STACK ? " stack" : " arena", f);
        if (s->s->swizzled) fputs(" swizzled", f);
        if (s->e) {
            fputs(" = ", f);
            tile_print_expr(f, s->e, 0);
        }
        break;
    case TK_LET:
    case TK_CONST:
        fprintf(f, "%s %s = ", s->k == TK_LET ? "let" : "const", s->s->name);
        tile_print_expr(f, s->e, 0);
        break;
    case TK_INDEX:
        fprintf(f, "index %s = ", s->s->name);
        tile_print_expr(f, s->e, 0);
        fputs(" in ", f);
        tile_print_expr(f, s->lo, 1);
        fputs("..", f);
        tile_print_expr(f, s->hi, 1);
        break;
    case TK_SET:
    case TK_STORE:
        print_access(f, &s->a);
        fputs(" = ", f);
        tile_print_expr(f, s->e, 0);
        break;
    case TK_IF:
        fputs("if ", f);
        tile_print_expr(f, s->e, 0);
        print_body(f, s, indent);
        break;
    case TK_TRANSPOSE: fprintf(f, "transpose %s", s->s->name); break;
    case TK_PREFETCH:
        fputs("prefetch ", f);
        print_access(f, &s->a);
        if (s->second) fputs(" second", f);
        break;
    case TK_COPY:
    case TK_COMMIT:
    case TK_WAIT:
    case TK_LDMATRIX:
    case TK_MMA:
    case TK_PUT:
    case TK_WEIGH:
    case TK_MULTIPLY:
    case TK_FINISH: print_warp(f, s); break;
    }
}

static void print_block(FILE *f, const TileStmt *s, int indent) {
    for (; s; s = s->next) {
        fprintf(f, "%*s", indent * 2, "");
        print_statement(f, s, indent);
        fputc('\n', f);
    }
}

static void print_parameter(FILE *f, const TileSym *s) {
    fputs(s->name, f);
    if (s->k == TS_CONST) {
        fprintf(f, " = %lld", (long long)s->value);
    } else if (s->min != 1 || s->max >= 0) {
        fprintf(f, " in %lld..", (long long)s->min);
        if (s->max >= 0) fprintf(f, "%lld", (long long)s->max);
    }
}

static void print_argument(FILE *f, const TileSym *s) {
    fprintf(f, "%s: ", s->name);
    print_type(f, s);
    if (s->stride[0]) {
        for (int i = 0; i < s->nd; i++) {
            fputs(i ? ", " : " stride(", f);
            tile_print_expr(f, s->stride[i], 1);
        }
        fputc(')', f);
    }
    if (s->offset) {
        fputs(" offset(", f);
        tile_print_expr(f, s->offset, 1);
        fputc(')', f);
    }
    fputs(s->inout ? " inout" : s->out ? " out" : "", f);
    fputs(s->constant ? " const" : "", f);
    fputs(s->alias ? " alias" : "", f);
}

void tile_print(FILE *f, const TileKernel *k) {
    fprintf(f, "kernel %s", k->name);
    for (int i = 0; i < k->params.n; i++) {
        fputs(i ? ", " : "<", f);
        print_parameter(f, k->params.at[i]);
    }
    fputs(k->params.n ? ">(" : "(", f);
    for (int i = 0; i < k->args.n; i++) {
        if (i) fputs(", ", f);
        print_argument(f, k->args.at[i]);
    }
    fputs(k->group ? ") group {\n" : ") {\n", f);
    print_block(f, k->body, 1);
    fputs("}\n", f);
}
