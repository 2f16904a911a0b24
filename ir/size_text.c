/* size_text.c -- sizes as text, and back.
 *
 *   sum    = ["-"] term { ("+" | "-") term }
 *   term   = factor { ("*" | "%") factor }
 *   factor = primary ["**" digits]
 *   primary = digits | name | "floor(" term "/" factor ")" | "min(" sum "," sum ")" | "max(" ... ")" | "(" sum ")"
 */
#include "ir/size_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

static void print_size(FILE *f, Size a);

static bool single_atom(Size a, AtomKind *kind) {
    if (a->n != 1 || a->constant || a->term[0].n != 1 || a->term[0].coefficient != 1) return false;
    *kind = a->term[0].factor[0]->kind;
    return true;
}

/* An operand of / or %: in parentheses unless it is one word, or (on the left) one product. */
static void print_operand(FILE *f, Size a, bool left) {
    AtomKind kind = ATOM_NAME;
    bool word = (a->n == 0 && a->constant >= 0) || (single_atom(a, &kind) && kind != ATOM_MOD);
    if (!word && left && a->n == 1 && a->constant == 0 && a->term[0].coefficient > 0) {
        word = true;
        for (int i = 0; i < a->term[0].n; i++) word = word && a->term[0].factor[i]->kind != ATOM_MOD;
    }
    if (word) {
        print_size(f, a);
    } else {
        fputc('(', f);
        print_size(f, a);
        fputc(')', f);
    }
}

static void print_atom(FILE *f, const Atom *atom, bool alone) {
    switch (atom->kind) {
    case ATOM_NAME: fputs(atom->name->name, f); break;
    case ATOM_FLOORDIV:
        fputs("floor(", f);
        print_operand(f, atom->a, true);
        fputc('/', f);
        print_operand(f, atom->b, false);
        fputc(')', f);
        break;
    case ATOM_MOD:
        if (!alone) fputc('(', f);
        print_operand(f, atom->a, true);
        fputs(" % ", f);
        print_operand(f, atom->b, false);
        if (!alone) fputc(')', f);
        break;
    case ATOM_MIN:
    case ATOM_MAX:
        fputs(atom->kind == ATOM_MIN ? "min(" : "max(", f);
        print_size(f, atom->a);
        fputs(", ", f);
        print_size(f, atom->b);
        fputc(')', f);
        break;
    }
}

static void print_monomial(FILE *f, const Monomial *m, uint64_t coefficient) {
    bool alone = coefficient == 1 && m->n == 1;
    if (coefficient != 1) fprintf(f, "%" PRIu64 "*", coefficient);
    for (int k = 0, run; k < m->n; k += run) {
        for (run = 1; k + run < m->n && m->factor[k + run] == m->factor[k]; run++) {}
        if (k) fputc('*', f);
        print_atom(f, m->factor[k], alone);
        if (run > 1) fprintf(f, "**%d", run);
    }
}

static uint64_t magnitude(int64_t a) { return a < 0 ? 0 - (uint64_t)a : (uint64_t)a; }

static void print_size(FILE *f, Size a) {
    for (int i = 0; i < a->n; i++) {
        bool negative = a->term[i].coefficient < 0;
        fputs(i ? (negative ? " - " : " + ") : negative ? "-" : "", f);
        print_monomial(f, &a->term[i], magnitude(a->term[i].coefficient));
    }
    if (a->n == 0) fprintf(f, "%" PRId64, a->constant);
    else if (a->constant) fprintf(f, " %c %" PRIu64, a->constant < 0 ? '-' : '+', magnitude(a->constant));
}

void size_print(FILE *f, Size a) {
    if (a->overflow) fputs("(too large)", f);
    else print_size(f, a);
}

const char *size_text(Arena *arena, Size a) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return "?";
    size_print(f, a);
    fclose(f);
    const char *copy = arena_copy(arena, text, n);
    free(text);
    return copy;
}

/* ---- parsing ------------------------------------------------------------------------------------------------------------- */

typedef struct Reader {
    SizeTable *table;
    SizeName *const *scope;
    int n_scope;
    const char *at;
    int depth;
    bool failed;
} Reader;

static Size read_sum(Reader *r);

static Size fail(Reader *r) {
    r->failed = true;
    return size_const(r->table, 0);
}

static void skip(Reader *r) {
    while (*r->at == ' ' || *r->at == '\t') r->at++;
}

static bool take(Reader *r, const char *word) {
    const char *before = r->at;
    skip(r);
    size_t n = strlen(word);
    if (strncmp(r->at, word, n) == 0) {
        r->at += n;
        return true;
    }
    r->at = before;
    return false;
}

static bool word_character(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && ((c >= '0' && c <= '9') || c == '.'));
}

static Size read_name(Reader *r, const char *name, size_t n) {
    for (int i = 0; i < r->n_scope; i++)
        if (strlen(r->scope[i]->name) == n && memcmp(r->scope[i]->name, name, n) == 0) return size_named(r->table, r->scope[i]);
    for (int i = 0; i < r->table->names.n; i++) {
        SizeName *s = r->table->names.at[i]->name;
        if (strlen(s->name) == n && memcmp(s->name, name, n) == 0) return size_named(r->table, s);
    }
    return fail(r);
}

static bool read_digits(Reader *r, int64_t *value) {
    if (*r->at < '0' || *r->at > '9') return false;
    *value = 0;
    for (; *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *r->at - '0', value)) return false;
    return true;
}

static Size read_factor(Reader *r);

static Size read_product(Reader *r) {
    Size a = read_factor(r);
    while (!r->failed) {
        const char *before = r->at;
        if (take(r, "**")) {
            r->at = before;
            break;
        }
        if (take(r, "*")) {
            a = size_mul(a, read_factor(r));
        } else if (take(r, "%")) {
            Size b = read_factor(r);
            if (!r->failed) a = size_mod(a, b);
        } else {
            break;
        }
    }
    return a;
}

static Size read_call(Reader *r, const char *name, size_t n) {
    bool floor = n == 5 && memcmp(name, "floor", 5) == 0, min = n == 3 && memcmp(name, "min", 3) == 0;
    if (!floor && !min && !(n == 3 && memcmp(name, "max", 3) == 0)) return fail(r);
    Size a = floor ? read_product(r) : read_sum(r);
    if (r->failed || !take(r, floor ? "/" : ",")) return fail(r);
    Size b = floor ? read_factor(r) : read_sum(r);
    if (r->failed || !take(r, ")")) return fail(r);
    return floor ? size_floordiv(a, b) : min ? size_min(a, b) : size_max(a, b);
}

static Size read_primary(Reader *r) {
    skip(r);
    int64_t value;
    if (*r->at >= '0' && *r->at <= '9') return read_digits(r, &value) ? size_const(r->table, value) : fail(r);
    if (take(r, "(")) {
        Size a = read_sum(r);
        return r->failed || !take(r, ")") ? fail(r) : a;
    }
    const char *name = r->at;
    while (word_character(*r->at, r->at == name)) r->at++;
    size_t n = (size_t)(r->at - name);
    if (n == 0) return fail(r);
    if (*r->at == '(') {
        r->at++;
        return read_call(r, name, n);
    }
    return read_name(r, name, n);
}

static Size read_factor(Reader *r) {
    Size a = read_primary(r);
    int64_t power;
    if (r->failed || !take(r, "**")) return a;
    skip(r);
    if (!read_digits(r, &power) || power > 64) return fail(r);
    Size product = size_const(r->table, 1);
    for (int64_t i = 0; i < power; i++) product = size_mul(product, a);
    return product;
}

static Size read_sum(Reader *r) {
    if (++r->depth > 100) return fail(r);
    bool negative = take(r, "-");
    Size a = read_product(r);
    if (negative) a = size_scale(a, -1);
    while (!r->failed) {
        const char *before = r->at;
        if (take(r, "->")) {
            r->at = before;
            break;
        }
        if (take(r, "+")) a = size_add(a, read_product(r));
        else if (take(r, "-")) a = size_sub(a, read_product(r));
        else break;
    }
    r->depth--;
    return a;
}

Size size_parse_scoped(SizeTable *t, SizeName *const *scope, int n_scope, const char *text, const char **end) {
    Reader r = {.table = t, .scope = scope, .n_scope = n_scope, .at = text};
    Size a = read_sum(&r);
    if (end) *end = r.at;
    return r.failed || a->overflow ? NULL : a;
}

Size size_parse(SizeTable *t, const char *text, const char **end) { return size_parse_scoped(t, NULL, 0, text, end); }
