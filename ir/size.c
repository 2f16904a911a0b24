/* size.c -- sizes as integer polynomials in one normal form.
 *
 * A size is a constant plus monomials; a monomial is a coefficient times a product of atoms; an atom is a named run-time size
 * or a floor, remainder, minimum or maximum that does not simplify. Everything is interned in a table: equal sizes are one
 * object, so comparing sizes is comparing pointers. size_text.c has printing and parsing, size_range.c intervals and values.
 *
 *   order of atoms      names by their declaration, then the others by kind and operands: independent of the order of
 *                       creation, so that a text prints the same after it was parsed
 *   order of monomials  degree descending, then their atoms from left to right; it is compatible with multiplication,
 *                       which the exact division of polynomials needs
 *   floor(a / c)        what is divisible leaves the floor; the constant left inside is in 0..c-1; common divisors are
 *                       cancelled; floor(floor(x / m) / c) = floor(x / (m * c))
 *   a % c               coefficients inside are in 0..c-1; common divisors leave the remainder
 *
 * Coefficients are 64 bits wide; whoever overflows gets a size with the mark `overflow`, which every later operation keeps. */
#include "ir/size_table.h"

#include "ir/diag.h"

#include <string.h>

SizeTable *size_table_new(Arena *arena) {
    SizeTable *t = NEW(arena, SizeTable);
    t->arena = arena;
    return t;
}

/* ---- atoms --------------------------------------------------------------------------------------------------------------- */

SizeName *size_declare(SizeTable *t, const char *name, int64_t low, int64_t high) {
    SizeName *n = NEW(t->arena, SizeName);
    *n = (SizeName){arena_copy(t->arena, name, strlen(name)), low, high, t->names.n, false};
    Atom *atom = NEW(t->arena, Atom);
    *atom = (Atom){.kind = ATOM_NAME, .name = n, .id = t->n_atoms++};
    PUSH(t->arena, t->names, atom);
    return n;
}

SizeName *size_declare_data(SizeTable *t, const char *name, int64_t low, int64_t high) {
    SizeName *n = size_declare(t, name, low, high);
    n->data = true;
    return n;
}

int size_names(const SizeTable *t) { return t->names.n; }

int size_inputs(const SizeTable *t) {
    int n = 0;
    while (n < t->names.n && !t->names.at[n]->name->data) n++;
    return n;
}

SizeName *size_name_at(const SizeTable *t, int index) {
    if (index < 0 || index >= t->names.n) bug("size name %d of %d", index, t->names.n);
    return t->names.at[index]->name;
}

static int compare_size(Size a, Size b);

static int compare_atom(const Atom *a, const Atom *b) {
    if (a == b) return 0;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->kind == ATOM_NAME) return a->name->index < b->name->index ? -1 : 1;
    int c = compare_size(a->a, b->a);
    return c ? c : compare_size(a->b, b->b);
}

static int compare_monomial(const Monomial *a, const Monomial *b) {
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    for (int i = 0; i < a->n; i++) {
        int c = compare_atom(a->factor[i], b->factor[i]);
        if (c) return c;
    }
    return 0;
}

static int compare_size(Size a, Size b) {
    if (a == b) return 0;
    for (int i = 0; i < a->n && i < b->n; i++) {
        int c = compare_monomial(&a->term[i], &b->term[i]);
        if (c) return c;
        if (a->term[i].coefficient != b->term[i].coefficient) return a->term[i].coefficient > b->term[i].coefficient ? -1 : 1;
    }
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    if (a->constant != b->constant) return a->constant < b->constant ? -1 : 1;
    return (int)a->overflow - (int)b->overflow;
}

/* ---- interning ----------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x) { return (h ^ x) * UINT64_C(0x9E3779B97F4A7C15) ^ (h >> 29); }

static uint64_t hash_size(int64_t constant, int n, const Monomial *term, bool overflow) {
    uint64_t h = mix(overflow ? 7 : 3, (uint64_t)constant);
    for (int i = 0; i < n; i++) {
        h = mix(h, (uint64_t)term[i].coefficient);
        for (int k = 0; k < term[i].n; k++) h = mix(h, (uint64_t)term[i].factor[k]->id + 1);
    }
    return h ^ (h >> 32);
}

static bool same_terms(Size s, int64_t constant, int n, const Monomial *term, bool overflow) {
    if (s->constant != constant || s->n != n || s->overflow != overflow) return false;
    for (int i = 0; i < n; i++) {
        if (s->term[i].coefficient != term[i].coefficient || s->term[i].n != term[i].n) return false;
        for (int k = 0; k < term[i].n; k++)
            if (s->term[i].factor[k] != term[i].factor[k]) return false;
    }
    return true;
}

static void table_grow(SizeTable *t) {
    int cap = t->bucket_cap ? 2 * t->bucket_cap : 256;
    Size *bucket = NEW_ARRAY(t->arena, Size, cap);
    for (int i = 0; i < t->bucket_cap; i++) {
        Size s = t->bucket[i];
        if (!s) continue;
        uint64_t at = hash_size(s->constant, s->n, s->term, s->overflow) & (uint64_t)(cap - 1);
        while (bucket[at]) at = (at + 1) & (uint64_t)(cap - 1);
        bucket[at] = s;
    }
    t->bucket = bucket;
    t->bucket_cap = cap;
}

/* The one object of this polynomial: terms are in normal order, without zeros. Copies them if it is new. */
static Size intern(SizeTable *t, int64_t constant, int n, const Monomial *term, bool overflow) {
    if (2 * t->n_nodes >= t->bucket_cap) table_grow(t);
    uint64_t mask = (uint64_t)(t->bucket_cap - 1);
    uint64_t at = hash_size(constant, n, term, overflow) & mask;
    for (; t->bucket[at]; at = (at + 1) & mask)
        if (same_terms(t->bucket[at], constant, n, term, overflow)) return t->bucket[at];
    struct SizeNode *s = NEW(t->arena, struct SizeNode);
    Monomial *copy = NEW_ARRAY(t->arena, Monomial, n);
    for (int i = 0; i < n; i++) {
        copy[i] = term[i];
        copy[i].factor = NEW_ARRAY(t->arena, const Atom *, term[i].n);
        if (term[i].n) memcpy(copy[i].factor, term[i].factor, sizeof(const Atom *) * (size_t)term[i].n);
    }
    *s = (struct SizeNode){t, constant, n, copy, overflow, t->n_nodes++};
    t->bucket[at] = s;
    return s;
}

Size size_const(SizeTable *t, int64_t n) { return intern(t, n, 0, NULL, false); }

static Size size_of_atom(SizeTable *t, const Atom *atom) {
    Monomial m = {1, 1, &atom};
    return intern(t, 0, 1, &m, false);
}

Size size_named(SizeTable *t, SizeName *name) {
    if (name->index >= t->names.n || t->names.at[name->index]->name != name) bug("size `%s` of another table", name->name);
    return size_of_atom(t, t->names.at[name->index]);
}

/* The size that is one atom of two operands. */
static Size size_atom(AtomKind kind, Size a, Size b) {
    SizeTable *t = a->table;
    for (int i = 0; i < t->others.n; i++) {
        const Atom *o = t->others.at[i];
        if (o->kind == kind && o->a == a && o->b == b) return size_of_atom(t, o);
    }
    Atom *atom = NEW(t->arena, Atom);
    *atom = (Atom){.kind = kind, .a = a, .b = b, .id = t->n_atoms++};
    PUSH(t->arena, t->others, atom);
    return size_of_atom(t, atom);
}

static void same_table(Size a, Size b) {
    if (a->table != b->table) bug("sizes of two tables");
}

/* ---- sums and products --------------------------------------------------------------------------------------------------- */

/* Room for n terms; small sums live on the caller's stack. */
enum { FEW = 16 };
static Monomial *terms_new(SizeTable *t, int n, Monomial few[FEW]) { return n <= FEW ? few : NEW_ARRAY(t->arena, Monomial, n); }

/* a + c * b */
static Size add_scaled(Size a, Size b, int64_t c) {
    same_table(a, b);
    int64_t constant, product;
    bool overflow = a->overflow || b->overflow;
    overflow |= __builtin_mul_overflow(b->constant, c, &product);
    overflow |= __builtin_add_overflow(a->constant, product, &constant);
    Monomial few[FEW] = {{0}}, *out = terms_new(a->table, a->n + b->n, few);
    int n = 0, i = 0, k = 0;
    while (i < a->n || k < b->n) {
        int order = i == a->n ? 1 : k == b->n ? -1 : compare_monomial(&a->term[i], &b->term[k]);
        Monomial m = order <= 0 ? a->term[i] : b->term[k];
        m.coefficient = order <= 0 ? a->term[i].coefficient : 0;
        if (order >= 0) {
            overflow |= __builtin_mul_overflow(b->term[k].coefficient, c, &product);
            overflow |= __builtin_add_overflow(m.coefficient, product, &m.coefficient);
        }
        i += order <= 0;
        k += order >= 0;
        if (m.coefficient != 0) out[n++] = m;
    }
    return intern(a->table, constant, n, out, overflow);
}

Size size_add(Size a, Size b) { return add_scaled(a, b, 1); }
Size size_sub(Size a, Size b) { return add_scaled(a, b, -1); }
Size size_scale(Size a, int64_t c) { return add_scaled(size_const(a->table, 0), a, c); }

/* a times one monomial (n 0: its coefficient alone) */
static Size mul_monomial(Size a, const Monomial *m) {
    if (m->n == 0) return size_scale(a, m->coefficient);
    SizeTable *t = a->table;
    bool overflow = a->overflow;
    Monomial few[FEW] = {{0}}, *out = terms_new(t, a->n + 1, few);
    int n = 0;
    for (int i = 0; i <= a->n; i++) { /* the constant is the last */
        Monomial x = i < a->n ? a->term[i] : (Monomial){a->constant, 0, NULL};
        if (x.coefficient == 0) continue;
        Monomial y = {0, x.n + m->n, NEW_ARRAY(t->arena, const Atom *, x.n + m->n)};
        overflow |= __builtin_mul_overflow(x.coefficient, m->coefficient, &y.coefficient);
        for (int p = 0, q = 0; p + q < y.n;) {
            bool left = q == m->n || (p < x.n && compare_atom(x.factor[p], m->factor[q]) <= 0);
            y.factor[p + q] = left ? x.factor[p] : m->factor[q];
            p += left;
            q += !left;
        }
        if (y.coefficient != 0) out[n++] = y;
    }
    return intern(t, 0, n, out, overflow); /* the order of monomials is compatible: still sorted */
}

Size size_mul(Size a, Size b) {
    same_table(a, b);
    if (a->n == 0) {
        Size t = a;
        a = b;
        b = t;
    }
    Monomial c = {b->constant, 0, NULL};
    Size sum = mul_monomial(a, &c);
    for (int i = 0; i < b->n; i++) sum = size_add(sum, mul_monomial(a, &b->term[i]));
    if (b->overflow && !sum->overflow) return intern(sum->table, sum->constant, sum->n, sum->term, true);
    return sum;
}

/* ---- division ------------------------------------------------------------------------------------------------------------ */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static int64_t gcd(int64_t a, int64_t b) { /* of magnitudes; INT64_MIN counts as 1 */
    if (a == INT64_MIN || b == INT64_MIN) return 1;
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* The leading monomial, the constant (n 0) being the smallest of all. */
static Monomial leading(Size a) { return a->n ? a->term[0] : (Monomial){a->constant, 0, NULL}; }

/* a / b as monomials, exactly. */
static bool monomial_divides(Arena *arena, const Monomial *a, const Monomial *b, Monomial *quotient) {
    if (b->coefficient == 0 || a->n < b->n) return false;
    if (a->coefficient == INT64_MIN && b->coefficient == -1) return false;
    if (a->coefficient % b->coefficient != 0) return false;
    *quotient = (Monomial){a->coefficient / b->coefficient, a->n - b->n, NEW_ARRAY(arena, const Atom *, a->n - b->n)};
    int k = 0, n = 0;
    for (int i = 0; i < a->n; i++) {
        if (k < b->n && a->factor[i] == b->factor[k]) {
            k++;
        } else if (n < quotient->n) {
            quotient->factor[n++] = a->factor[i];
        } else {
            return false;
        }
    }
    return k == b->n;
}

bool size_divides(Size a, Size b, Size *quotient) {
    same_table(a, b);
    SizeTable *t = a->table;
    if (a->overflow || b->overflow || b == size_const(t, 0)) return false;
    Size rest = a, q = size_const(t, 0), zero = q;
    Monomial by = leading(b);
    while (rest != zero) {
        Monomial lead = leading(rest), m;
        if (!monomial_divides(t->arena, &lead, &by, &m)) return false;
        Size part = mul_monomial(size_const(t, 1), &m);
        q = size_add(q, part);
        rest = size_sub(rest, size_mul(part, b));
        if (rest->overflow || q->overflow) return false;
    }
    *quotient = q;
    return true;
}

/* The size made of one term. */
static Size term_size(SizeTable *t, const Monomial *m) { return intern(t, 0, 1, m, false); }

/* Splits a = c * whole + rest; the constant of rest is in 0..c-1, its coefficients are smaller than c. non_negative: they are
 * in 0..c-1, otherwise they keep their sign. */
static void split(Size a, int64_t c, bool non_negative, Size *whole, Size *rest) {
    SizeTable *t = a->table;
    int64_t q = floor_div(a->constant, c);
    *whole = size_const(t, q);
    *rest = size_const(t, a->constant - q * c);
    for (int i = 0; i < a->n; i++) {
        Monomial m = a->term[i];
        q = non_negative ? floor_div(m.coefficient, c) : m.coefficient / c;
        int64_t r = m.coefficient - q * c;
        if (q) {
            m.coefficient = q;
            *whole = size_add(*whole, term_size(t, &m));
        }
        if (r) {
            m.coefficient = r;
            *rest = size_add(*rest, term_size(t, &m));
        }
    }
}

/* The greatest common divisor of c and the coefficients of the terms of a. */
static int64_t common_divisor(Size a, int64_t c) {
    for (int i = 0; i < a->n; i++) c = gcd(c, a->term[i].coefficient);
    return c;
}

/* (terms of a) / g + floor(constant / g), where g divides the terms. */
static Size reduce_by(Size a, int64_t g) {
    Size s = size_const(a->table, floor_div(a->constant, g));
    for (int i = 0; i < a->n; i++) {
        Monomial m = a->term[i];
        m.coefficient /= g;
        s = size_add(s, term_size(a->table, &m));
    }
    return s;
}

/* Within 0..c-1 for all values of the names. */
static bool below(Size a, int64_t c) {
    int64_t low, high;
    size_range(a, &low, &high);
    return low >= 0 && high < c;
}

static Size floordiv_const(Size a, int64_t c) {
    SizeTable *t = a->table;
    Size whole, rest;
    split(a, c, false, &whole, &rest);
    if (rest->n == 0 || below(rest, c)) return whole;
    int64_t g = common_divisor(rest, c);
    if (g > 1) {
        rest = reduce_by(rest, g);
        c /= g;
    }
    if (c == 1) return size_add(whole, rest);
    if (rest->n == 1 && rest->term[0].n == 1 && rest->term[0].coefficient == 1 &&
        rest->term[0].factor[0]->kind == ATOM_FLOORDIV) {
        const Atom *inner = rest->term[0].factor[0]; /* floor((floor(x / m) + k) / c) = floor((x + k * m) / (c * m)) */
        int64_t m, product, k;
        if (size_is_const(inner->b, &m) && m > 0 && !__builtin_mul_overflow(m, c, &product) &&
            !__builtin_mul_overflow(rest->constant, m, &k))
            return size_add(whole, size_floordiv(size_add(inner->a, size_const(t, k)), size_const(t, product)));
    }
    return size_add(whole, size_atom(ATOM_FLOORDIV, rest, size_const(t, c)));
}

Size size_floordiv(Size a, Size b) {
    same_table(a, b);
    SizeTable *t = a->table;
    int64_t c;
    Size quotient;
    if (a->overflow || b->overflow) return intern(t, a->constant, a->n, a->term, true);
    if (size_is_const(b, &c)) {
        if (c == 0 || c == INT64_MIN) return size_atom(ATOM_FLOORDIV, a, b);
        if (c < 0) return size_floordiv(size_scale(a, -1), size_const(t, -c));
        return floordiv_const(a, c);
    }
    if (size_divides(a, b, &quotient)) return quotient;
    if (b->n == 1 && b->constant == 0) { /* one monomial: the terms it divides leave the floor */
        Size whole = size_const(t, 0), rest = size_const(t, a->constant);
        for (int i = 0; i < a->n; i++) {
            Size term = term_size(t, &a->term[i]);
            if (size_divides(term, b, &quotient)) whole = size_add(whole, quotient);
            else rest = size_add(rest, term);
        }
        if (whole != size_const(t, 0)) return size_add(whole, size_floordiv(rest, b));
    }
    int64_t low, high, least, most;
    size_range(a, &low, &high);
    size_range(b, &least, &most);
    if (low >= 0 && high < least) return size_const(t, 0);
    return size_atom(ATOM_FLOORDIV, a, b);
}

Size size_ceildiv(Size a, Size b) { return size_floordiv(size_add(a, size_sub(b, size_const(a->table, 1))), b); }

Size size_mod(Size a, Size b) {
    same_table(a, b);
    SizeTable *t = a->table;
    int64_t c;
    if (a->overflow || b->overflow) return intern(t, a->constant, a->n, a->term, true);
    if (!size_is_const(b, &c) || c <= 0) {
        Size quotient;
        if (size_divides(a, b, &quotient)) return size_const(t, 0);
        return size_atom(ATOM_MOD, a, b);
    }
    Size whole, rest;
    split(a, c, true, &whole, &rest);
    if (rest->n == 0 || below(rest, c)) return rest;
    int64_t g = common_divisor(rest, c); /* (g * P + k) % c = g * ((P + floor(k / g)) % (c / g)) + k % g */
    int64_t k = rest->constant % g;
    rest = reduce_by(rest, g);
    c /= g;
    Size r = c == 1 ? size_const(t, 0) : below(rest, c) ? rest : size_atom(ATOM_MOD, rest, size_const(t, c));
    return size_add(size_scale(r, g), size_const(t, k));
}

/* ---- minimum and maximum ------------------------------------------------------------------------------------------------- */

static Size smaller_or_larger(AtomKind kind, Size a, Size b) {
    same_table(a, b);
    if (a == b) return a;
    if (a->overflow || b->overflow) return intern(a->table, a->constant, a->n, a->term, true);
    int64_t low, high;
    size_range(size_sub(a, b), &low, &high);
    if (high <= 0) return kind == ATOM_MIN ? a : b;
    if (low >= 0) return kind == ATOM_MIN ? b : a;
    return compare_size(a, b) < 0 ? size_atom(kind, a, b) : size_atom(kind, b, a);
}

Size size_min(Size a, Size b) { return smaller_or_larger(ATOM_MIN, a, b); }
Size size_max(Size a, Size b) { return smaller_or_larger(ATOM_MAX, a, b); }

/* ---- substitution and questions ------------------------------------------------------------------------------------------ */

static Size substitute_atom(SizeTable *t, const Atom *atom, const SizeName *name, Size by) {
    if (atom->kind == ATOM_NAME) return atom->name == name ? by : size_of_atom(t, atom);
    Size a = size_substitute(atom->a, name, by), b = size_substitute(atom->b, name, by);
    switch (atom->kind) {
    case ATOM_FLOORDIV: return size_floordiv(a, b);
    case ATOM_MOD: return size_mod(a, b);
    case ATOM_MIN: return size_min(a, b);
    case ATOM_MAX: return size_max(a, b);
    case ATOM_NAME: break;
    }
    bug("kind of atom %d", (int)atom->kind);
}

Size size_substitute(Size a, const SizeName *name, Size by) {
    same_table(a, by);
    if (!size_uses(a, name)) return a;
    SizeTable *t = a->table;
    Size sum = size_const(t, a->constant);
    for (int i = 0; i < a->n; i++) {
        Size product = size_const(t, a->term[i].coefficient);
        for (int k = 0; k < a->term[i].n; k++) product = size_mul(product, substitute_atom(t, a->term[i].factor[k], name, by));
        sum = size_add(sum, product);
    }
    if (a->overflow && !sum->overflow) return intern(t, sum->constant, sum->n, sum->term, true);
    return sum;
}

bool size_is_const(Size a, int64_t *value) {
    if (a->n || a->overflow) return false;
    if (value) *value = a->constant;
    return true;
}

bool size_is(Size a, int64_t value) { return a->n == 0 && !a->overflow && a->constant == value; }
bool size_is_static(Size a) { return size_is_const(a, NULL); }

const SizeName *size_bare_name(Size a) {
    bool one = a->n == 1 && a->constant == 0 && a->term[0].coefficient == 1 && a->term[0].n == 1;
    return one && a->term[0].factor[0]->kind == ATOM_NAME ? a->term[0].factor[0]->name : NULL;
}

int64_t size_value(Size a) {
    if (!size_is_static(a)) bug("a size that is not constant was taken for one");
    return a->constant;
}

bool size_uses(Size a, const SizeName *name) {
    for (int i = 0; i < a->n; i++) {
        for (int k = 0; k < a->term[i].n; k++) {
            const Atom *atom = a->term[i].factor[k];
            if (atom->kind == ATOM_NAME ? atom->name == name : size_uses(atom->a, name) || size_uses(atom->b, name))
                return true;
        }
    }
    return false;
}

void size_collect(Size a, bool *used) {
    for (int i = 0; i < a->n; i++) {
        for (int k = 0; k < a->term[i].n; k++) {
            const Atom *atom = a->term[i].factor[k];
            if (atom->kind == ATOM_NAME) {
                used[atom->name->index] = true;
            } else {
                size_collect(atom->a, used);
                size_collect(atom->b, used);
            }
        }
    }
}
