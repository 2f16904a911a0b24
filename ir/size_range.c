/* size_range.c -- values of sizes: at a point (size_eval) and over the ranges of the names (size_range).
 *
 * Intervals are computed term by term: exact where no name occurs with both signs. A name that does (h * h - h) is first
 * replaced by the end of its range at which the polynomial is least or greatest, if the derivative has one sign. */
#include "ir/size_table.h"

/* ---- at a point ---------------------------------------------------------------------------------------------------------- */

static bool eval_atom(const Atom *atom, const int64_t *values, int64_t *result) {
    int64_t a, b;
    if (atom->kind == ATOM_NAME) {
        *result = values[atom->name->index];
        return true;
    }
    if (!size_eval(atom->a, values, &a) || !size_eval(atom->b, values, &b)) return false;
    switch (atom->kind) {
    case ATOM_FLOORDIV:
    case ATOM_MOD: {
        if (b == 0 || (a == INT64_MIN && b == -1)) return false;
        bool adjust = a % b != 0 && (a < 0) != (b < 0);
        *result = atom->kind == ATOM_FLOORDIV ? a / b - adjust : a % b + (adjust ? b : 0);
        return true;
    }
    case ATOM_MIN: *result = a < b ? a : b; return true;
    case ATOM_MAX: *result = a > b ? a : b; return true;
    case ATOM_NAME: break;
    }
    return false;
}

bool size_eval(Size s, const int64_t *values, int64_t *result) {
    if (s->overflow) return false;
    int64_t sum = s->constant;
    for (int i = 0; i < s->n; i++) {
        int64_t product = s->term[i].coefficient, x;
        for (int k = 0; k < s->term[i].n; k++) {
            if (!eval_atom(s->term[i].factor[k], values, &x)) return false;
            if (__builtin_mul_overflow(product, x, &product)) return false;
        }
        if (__builtin_add_overflow(sum, product, &sum)) return false;
    }
    *result = sum;
    return true;
}

/* ---- over ranges: INT64_MIN and INT64_MAX are the infinities ------------------------------------------------------------- */

typedef struct Span {
    int64_t low, high;
} Span;

static const Span ANY = {INT64_MIN, INT64_MAX};

static bool infinite(int64_t a) { return a == INT64_MIN || a == INT64_MAX; }

static int64_t span_mul1(int64_t a, int64_t b) {
    int64_t c;
    if (a == 0 || b == 0) return 0;
    if (infinite(a) || infinite(b) || __builtin_mul_overflow(a, b, &c)) return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
    return c;
}

static Span span_mul(Span a, Span b) {
    int64_t p[4] = {span_mul1(a.low, b.low), span_mul1(a.low, b.high), span_mul1(a.high, b.low), span_mul1(a.high, b.high)};
    Span s = {p[0], p[0]};
    for (int i = 1; i < 4; i++) {
        if (p[i] < s.low) s.low = p[i];
        if (p[i] > s.high) s.high = p[i];
    }
    return s;
}

static int64_t add_end(int64_t a, int64_t b, int64_t limit) {
    int64_t c;
    if (a == limit || b == limit) return limit;
    if (infinite(a)) return a;
    if (infinite(b)) return b;
    if (__builtin_add_overflow(a, b, &c)) return a < 0 ? INT64_MIN : INT64_MAX;
    return c;
}

static Span span_add(Span a, Span b) { return (Span){add_end(a.low, b.low, INT64_MIN), add_end(a.high, b.high, INT64_MAX)}; }

static int64_t div_end(int64_t a, int64_t b, bool toward_low) { /* b > 0 */
    if (infinite(a)) return infinite(b) && toward_low == (a > 0) ? 0 : a;
    if (infinite(b)) return a < 0 ? -1 : 0;
    return a / b - (a % b != 0 && a < 0);
}

static Span span_of(Size s);

static Span span_atom(const Atom *atom) {
    if (atom->kind == ATOM_NAME) return (Span){atom->name->low, atom->name->high};
    Span a = span_of(atom->a), b = span_of(atom->b);
    switch (atom->kind) {
    case ATOM_FLOORDIV:
        if (b.low <= 0) return ANY;
        return (Span){div_end(a.low, a.low < 0 ? b.low : b.high, true), div_end(a.high, a.high < 0 ? b.high : b.low, false)};
    case ATOM_MOD:
        if (b.low <= 0) return ANY;
        if (a.low >= 0 && a.high < b.low) return a;
        return (Span){0, b.high == INT64_MAX ? (a.low >= 0 ? a.high : INT64_MAX)
                         : a.low >= 0 && a.high < b.high - 1 ? a.high
                                                             : b.high - 1};
    case ATOM_MIN: return (Span){a.low < b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
    case ATOM_MAX: return (Span){a.low > b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
    case ATOM_NAME: break;
    }
    return ANY;
}

static Span span_power(Span x, int n) {
    Span p = {1, 1};
    for (int i = 0; i < n; i++) p = span_mul(p, x);
    if (n % 2 == 0 && p.low < 0) p.low = 0; /* an even power */
    return p;
}

/* Term by term. */
static Span span_plain(Size s) {
    Span sum = {s->constant, s->constant};
    for (int i = 0; i < s->n; i++) {
        const Monomial *m = &s->term[i];
        Span product = {m->coefficient, m->coefficient};
        for (int k = 0, run; k < m->n; k += run) {
            for (run = 1; k + run < m->n && m->factor[k + run] == m->factor[k]; run++) {}
            product = span_mul(product, span_power(span_atom(m->factor[k]), run));
        }
        sum = span_add(sum, product);
    }
    return sum;
}

/* Does `name` occur both in a positive and in a negative term, as a factor and not inside of an atom? */
static bool mixed_signs(Size s, const SizeName *name) {
    bool positive = false, negative = false;
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->term[i].n; k++) {
            const Atom *atom = s->term[i].factor[k];
            if (atom->kind != ATOM_NAME && (size_uses(atom->a, name) || size_uses(atom->b, name))) return false;
            if (atom->kind == ATOM_NAME && atom->name == name) *(s->term[i].coefficient > 0 ? &positive : &negative) = true;
        }
    }
    return positive && negative;
}

/* The derivative by a name that occurs as a factor only: factors beside it keep their order. */
static Size derivative(Size s, const SizeName *name) {
    SizeTable *t = s->table;
    Size sum = size_const(t, 0);
    for (int i = 0; i < s->n; i++) {
        int power = 0;
        Size rest = size_const(t, s->term[i].coefficient);
        for (int k = 0; k < s->term[i].n; k++) {
            const Atom *atom = s->term[i].factor[k];
            if (atom->kind == ATOM_NAME && atom->name == name && power++ == 0) continue;
            Size factor = size_const(t, 1);
            if (atom->kind == ATOM_NAME) factor = size_named(t, atom->name);
            else if (atom->kind == ATOM_FLOORDIV) factor = size_floordiv(atom->a, atom->b);
            else if (atom->kind == ATOM_MOD) factor = size_mod(atom->a, atom->b);
            else factor = atom->kind == ATOM_MIN ? size_min(atom->a, atom->b) : size_max(atom->a, atom->b);
            rest = size_mul(rest, factor);
        }
        if (power) sum = size_add(sum, size_scale(rest, power));
    }
    return sum;
}

/* With every name of one-signed derivative replaced by the end of its range that gives the least (greatest) value. */
static Size at_end(Size s, bool least) {
    const SizeTable *t = s->table;
    for (int i = 0; i < t->names.n; i++) {
        const SizeName *name = t->names.at[i]->name;
        if (!mixed_signs(s, name)) continue;
        Size d = derivative(s, name);
        if (d->overflow) continue;
        Span slope = span_plain(d);
        if (slope.low < 0 && slope.high > 0) continue;
        int64_t end = (slope.low >= 0) == least ? name->low : name->high;
        if (!infinite(end)) s = size_substitute(s, name, size_const(s->table, end));
    }
    return s;
}

static Span span_of(Size s) {
    if (s->overflow) return ANY;
    Span plain = span_plain(s);
    if (s->n < 2) return plain;
    Size least = at_end(s, true), greatest = at_end(s, false);
    int64_t low = least == s || least->overflow ? plain.low : span_plain(least).low;
    int64_t high = greatest == s || greatest->overflow ? plain.high : span_plain(greatest).high;
    return (Span){low > plain.low ? low : plain.low, high < plain.high ? high : plain.high};
}

void size_range(Size a, int64_t *low, int64_t *high) {
    Span s = span_of(a);
    *low = s.low;
    *high = s.high;
}

/* ---- without floors ------------------------------------------------------------------------------------------------------ */

enum { MULTIPLE_MOST = 1 << 16 };

/* The divisor of a term that is floor(x / c) times a number; 0: it is another. */
static int64_t quotient_by(const Monomial *m) {
    int64_t c;
    bool quotient = m->n == 1 && m->factor[0]->kind == ATOM_FLOORDIV && size_is_const(m->factor[0]->b, &c);
    return quotient && c > 0 ? c : 0;
}

/* The least number that the divisors of all such terms divide; 0: it is large. */
static int64_t common_multiple(Size s) {
    int64_t all = 1;
    for (int i = 0; i < s->n; i++) {
        int64_t c = quotient_by(&s->term[i]), a = all, b = c;
        if (!c) continue;
        while (b) {
            int64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (c / a > MULTIPLE_MOST / all) return 0;
        all *= c / a;
    }
    return all;
}

bool size_at_most_zero(Size s) {
    int64_t all = common_multiple(s);
    if (!all) return false;
    Size sum = size_scale(s, all);
    for (int i = 0; i < s->n; i++) {
        const Monomial *m = &s->term[i];
        int64_t c = quotient_by(m);
        if (!c) continue;
        Size x = m->factor[0]->a, floor = size_floordiv(x, m->factor[0]->b);
        if (m->coefficient < 0) x = size_sub(x, size_const(s->table, c - 1));
        sum = size_add(sum, size_scale(size_sub(size_scale(x, all / c), size_scale(floor, all)), m->coefficient));
    }
    return !sum->overflow && span_of(sum).high < all;
}
