/* size.h -- sizes: integer polynomials over run-time sizes, in one normal form (LANGUAGE.md 5.2). Sizes are interned in a
 * table, so two sizes are equal iff their pointers are. Atoms are named run-time sizes (`batch in 1..64`) and floor(a / b), a %
 * b, min, max of sizes that do not simplify. A size's table is found through the size itself; only constants and names need it
 * given. */
#ifndef IR_SIZE_H
#define IR_SIZE_H
#include "ir/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct SizeTable SizeTable;
typedef const struct SizeNode *Size; /* never NULL for a valid size; immutable */

#define SIZE_NO_LIMIT INT64_MAX

/* A named run-time size. `index` numbers the names of a table from 0: values for size_eval lie in that order.
 * Two names may print alike (`t` of two entries) and yet differ. */
typedef struct SizeName {
    const char *name;
    int64_t low, high; /* range, inclusive; high SIZE_NO_LIMIT: none */
    int index;
    bool data;         /* not given by a call but read from memory while it runs (Limit in ir/plan.h); declared after all others */
} SizeName;

typedef enum { ATOM_NAME, ATOM_FLOORDIV, ATOM_MOD, ATOM_MIN, ATOM_MAX } AtomKind;
typedef struct Atom {
    AtomKind kind;
    SizeName *name; /* ATOM_NAME */
    Size a, b;      /* the others */
    int id;         /* order of creation in the table (monomials are ordered by names, then by structure: size.c) */
} Atom;

typedef struct Monomial {
    int64_t coefficient; /* never 0 */
    int n;               /* factors, sorted by id, repeated for powers */
    const Atom **factor;
} Monomial;

struct SizeNode {
    SizeTable *table;
    int64_t constant;
    int n; /* monomials, in normal order */
    const Monomial *term;
    bool overflow; /* a coefficient left 64 bits on the way: the user gets an error where it is used */
    int id;        /* order of creation, for deterministic order and hashing */
};

SizeTable *size_table_new(Arena *arena);
SizeName *size_declare(SizeTable *t, const char *name, int64_t low, int64_t high); /* a new name each time */
SizeName *size_declare_data(SizeTable *t, const char *name, int64_t low, int64_t high);
int size_names(const SizeTable *t);                                            /* how many, those of data too */
int size_inputs(const SizeTable *t);                                           /* without those */
SizeName *size_name_at(const SizeTable *t, int index);

Size size_const(SizeTable *t, int64_t n);
Size size_named(SizeTable *t, SizeName *name);
Size size_add(Size a, Size b);
Size size_sub(Size a, Size b);
Size size_mul(Size a, Size b);
Size size_scale(Size a, int64_t c);
Size size_floordiv(Size a, Size b); /* simplifies: divisible terms leave the floor, floor(floor(x/2)/2) = floor(x/4) */
Size size_ceildiv(Size a, Size b);
Size size_mod(Size a, Size b);
Size size_min(Size a, Size b);
Size size_max(Size a, Size b);
bool size_divides(Size a, Size b, Size *quotient); /* a / b exactly, as polynomials; false: not provable */
Size size_substitute(Size a, const SizeName *name, Size by);

bool size_is_const(Size a, int64_t *value); /* value may be NULL */
bool size_is(Size a, int64_t value);
bool size_is_static(Size a);                /* the same as size_is_const(a, NULL) */
int64_t size_value(Size a);                 /* of a constant; bug() otherwise */
const SizeName *size_bare_name(Size a);     /* what it is, by itself; NULL: it is more, or less */
/* Least and greatest value over the ranges of the names; *high is SIZE_NO_LIMIT if unbounded. Sound, not always tight. */
void size_range(Size a, int64_t *low, int64_t *high);
/* Is it 0 or less, as can be seen where (x - c + 1) / c <= floor(x / c) <= x / c? False: not provable so. */
bool size_at_most_zero(Size a);
bool size_uses(Size a, const SizeName *name);
void size_collect(Size a, bool *used);      /* used[name->index] = true for each name in a, nested ones too */

/* Value at run time: values[i] is that of name i. Returns false on overflow or division by 0. */
bool size_eval(Size a, const int64_t *values, int64_t *result);

/* "4*hidden", "t - 1", "floor(h/2)", "16*h**2": the text of messages, IR and headers. */
const char *size_text(Arena *arena, Size a);
void size_print(FILE *f, Size a);
/* Reads what size_print prints; names are looked up by their text (the first of the table). NULL on an error; *end: where it
 * stopped. */
Size size_parse(SizeTable *t, const char *text, const char **end);
/* The same, but names are first looked for in scope[0..n_scope-1]: two names may print alike. */
Size size_parse_scoped(SizeTable *t, SizeName *const *scope, int n_scope, const char *text, const char **end);

#endif
