/* access.c -- index maps (see access.h). The heart is `divide`: an affine row-major index L over an axis of size t is taken
 * apart into L % t and L / t term by term. Terms whose stride t divides go to the quotient; if the others provably stay below t
 * they are the remainder. Otherwise a symbol that strides over t is split, and all is followed again; if there is none, a
 * derived symbol divides. */
#include "codegen/access.h"

#include <string.h>

Space *space_new(Arena *arena, SizeTable *table, int n_axes, const Size *dim) {
    Space *sp = NEW(arena, Space);
    sp->arena = arena;
    sp->table = table;
    sp->n_axes = n_axes;
    for (int a = 0; a < n_axes; a++) {
        sp->dim[a] = dim[a];
        PUSH(arena, sp->factors[a], dim[a]);
    }
    return sp;
}

/* A quotient or remainder that there is already is not made again. */
static int add_symbol(Space *sp, Symbol s) {
    for (int i = 0; s.of && i < sp->n; i++) {
        const Symbol *d = &sp->symbol[i];
        if (d->of && d->n == s.n && d->div == s.div && d->mod == s.mod && d->all == s.all && affine_equal(d->of, s.of)) return i;
    }
    if (sp->n == MAX_SYMBOLS) bug("a kernel with more than %d iteration symbols", MAX_SYMBOLS);
    if (s.of) PUSH(sp->arena, sp->affines, s.of);
    sp->symbol[sp->n] = s;
    return sp->n++;
}

void space_begin(Space *sp) {
    sp->n = 0;
    sp->again = false;
    sp->affines.n = 0;
    sp->accesses.n = 0;
    for (int a = 0; a < sp->n_axes; a++) {
        for (int f = 0; f < sp->factors[a].n; f++)
            if (!size_is(sp->factors[a].at[f], 1)) add_symbol(sp, (Symbol){.n = sp->factors[a].at[f], .axis = a});
    }
}

/* ---- affine indices */

static Affine *affine_new(Space *sp) {
    Affine *a = NEW(sp->arena, Affine);
    a->c = size_const(sp->table, 0);
    return a;
}

void space_keep(Space *sp, Affine *a) {
    PUSH(sp->arena, sp->affines, a);
}

Affine *affine_const(Space *sp, Size c) {
    Affine *a = affine_new(sp);
    a->c = c;
    return a;
}

Affine *affine_copy(Space *sp, const Affine *a) {
    Affine *b = affine_new(sp);
    *b = *a;
    return b;
}

static Size zero_to_null(Size s) {
    return s && size_is(s, 0) ? NULL : s;
}

void affine_add_scaled(Affine *to, const Affine *a, Size by) {
    to->c = size_add(to->c, size_mul(a->c, by));
    for (int s = 0; s < MAX_SYMBOLS; s++) {
        if (!a->coef[s]) continue;
        Size more = size_mul(a->coef[s], by);
        to->coef[s] = zero_to_null(to->coef[s] ? size_add(to->coef[s], more) : more);
    }
}

void affine_add(Affine *to, const Affine *a) {
    affine_add_scaled(to, a, size_const(a->c->table, 1));
}

static bool stays_below(Space *sp, const Affine *a, Size below);

static Affine *affine_symbol(Space *sp, int symbol) {
    Affine *a = affine_new(sp);
    a->coef[symbol] = size_const(sp->table, 1);
    return a;
}

bool affine_equal(const Affine *a, const Affine *b) {
    if (a->c != b->c) return false;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        if (a->coef[s] != b->coef[s]) return false;
    return true;
}

bool access_meets(const Access *a, int64_t m, const Access *b, int64_t n, int s) {
    Affine x = a->at, y = b->at;
    if (s >= 0 && x.coef[s]) x.c = size_add(x.c, size_scale(x.coef[s], m));
    if (s >= 0 && y.coef[s]) y.c = size_add(y.c, size_scale(y.coef[s], n));
    return a->base == b->base && affine_equal(&x, &y);
}

bool affine_uses(const Space *sp, const Affine *a, int symbol) {
    if (a->coef[symbol]) return true;
    for (int s = 0; s < sp->n; s++) {
        const Symbol *d = &sp->symbol[s];
        if (!a->coef[s] || d->axis >= 0 || d->scalar) continue;
        if (affine_uses(sp, d->load ? &d->load->at : d->of, symbol)) return true;
    }
    return false;
}

bool access_bends(const Space *sp, const Access *a, int symbol) {
    for (int s = 0; s < sp->n; s++) {
        const Symbol *d = &sp->symbol[s];
        if (!a->at.coef[s] || d->axis >= 0 || d->scalar) continue;
        if (affine_uses(sp, d->load ? &d->load->at : d->of, symbol)) return true;
    }
    return false;
}

Affine *space_axis(Space *sp, int axis) {
    Affine *a = affine_new(sp);
    if (sp->origin[axis]) a->c = sp->origin[axis];
    Size stride = size_const(sp->table, 1);
    for (int s = sp->n - 1; s >= 0; s--) {
        if (sp->symbol[s].axis != axis) continue;
        a->coef[s] = stride;
        stride = size_mul(stride, sp->symbol[s].n);
    }
    return a;
}

Affine *space_linear(Space *sp, int n, const int *axes) {
    Affine *a = affine_new(sp);
    Size stride = size_const(sp->table, 1);
    for (int i = n - 1; i >= 0; i--) {
        affine_add_scaled(a, space_axis(sp, axes[i]), stride);
        stride = size_mul(stride, sp->dim[axes[i]]);
    }
    return a;
}

Affine *access_clamped(Space *sp, const Affine *index, Size n) {
    if (stays_below(sp, index, n)) return affine_copy(sp, index);
    return affine_symbol(
        sp, add_symbol(sp, (Symbol){.n = n, .axis = -1, .of = affine_copy(sp, index), .div = size_const(sp->table, 1)}));
}

int affine_inside(Space *sp, const Affine *index, Size n) {
    if (stays_below(sp, index, n)) return 1;
    Affine beyond = *index; /* never below n, or never above -1 */
    beyond.c = size_sub(index->c, n);
    int64_t low;
    bool positive = true;
    Size high = index->c;
    for (int s = 0; s < sp->n; s++) {
        int64_t unused;
        if (!index->coef[s]) continue;
        size_range(index->coef[s], &low, &unused);
        positive &= low >= 0;
        high = size_add(high, size_mul(index->coef[s], size_sub(sp->symbol[s].n, size_const(sp->table, 1))));
    }
    if (!positive) return 0;
    int64_t top;
    size_range(beyond.c, &low, &top);
    if (low >= 0) return -1;
    size_range(high, &low, &top);
    return top < 0 ? -1 : 0;
}

/* ---- division */

/* The least and greatest value of an affine lie in 0 .. below - 1 for every size. Strides are taken to be positive. */
static bool stays_below(Space *sp, const Affine *a, Size below) {
    Size high = a->c;
    int64_t low, unused;
    for (int s = 0; s < sp->n; s++) {
        if (!a->coef[s]) continue;
        size_range(a->coef[s], &low, &unused);
        if (low < 0) return false;
        high = size_add(high, size_mul(a->coef[s], size_sub(sp->symbol[s].n, size_const(sp->table, 1))));
    }
    size_range(a->c, &low, &unused);
    if (low < 0) return false;
    size_range(size_sub(size_sub(below, size_const(sp->table, 1)), high), &low, &unused);
    return low >= 0;
}

/* Asks for symbol s to be split so that its inner factor is `inner`. */
static bool split(Space *sp, int s, Size inner) {
    Size outer;
    const Symbol *y = &sp->symbol[s];
    if (sp->again) return true; /* the symbols are out of date */
    if (y->axis < 0 || size_is(inner, 1) || inner == y->n || !size_divides(y->n, inner, &outer)) return false;
    int place = 0; /* which factor of the axis, ones included */
    for (int before = 0; before < s; before++) place += sp->symbol[before].axis == y->axis;
    int f = 0;
    for (;; f++) {
        if (size_is(sp->factors[y->axis].at[f], 1)) continue;
        if (place-- == 0) break;
    }
    PUSH(sp->arena, sp->factors[y->axis], NULL);
    Size *at = sp->factors[y->axis].at;
    memmove(at + f + 2, at + f + 1, sizeof *at * (size_t)(sp->factors[y->axis].n - f - 2));
    at[f] = outer;
    at[f + 1] = inner;
    sp->again = true;
    return true;
}

/* remainder = whole % t, *whole /= t. div: what `whole` has been divided by already; from: the index it was at first. */
static Affine *divide(Space *sp, Affine **whole, Size t, Affine *from, Size div, Size all) {
    Affine *low = affine_new(sp), *high = affine_new(sp);
    Size quotient;
    for (int s = 0; s < sp->n; s++) {
        Size c = (*whole)->coef[s];
        if (!c) continue;
        if (size_divides(c, t, &quotient)) high->coef[s] = quotient;
        else low->coef[s] = c;
    }
    low->c = (*whole)->c;
    if (!stays_below(sp, low, t) && size_divides(low->c, t, &quotient)) {
        high->c = quotient;
        low->c = size_const(sp->table, 0);
    }
    if (stays_below(sp, low, t)) {
        *whole = high;
        return low;
    }
    for (int s = 0; s < sp->n; s++)
        if (low->coef[s] && size_divides(t, low->coef[s], &quotient) && split(sp, s, quotient)) return low;
    /* q1 = from / div % t; the rest of the index goes on from another symbol, from / (div * t) */
    Symbol d = {.n = t, .axis = -1, .of = from, .div = div, .mod = t, .all = all};
    Affine *remainder = affine_symbol(sp, add_symbol(sp, d));
    *whole = NULL;
    return remainder;
}

void space_reshape(Space *sp, int n_from, const Size *from, Affine *const *index, int n_to, const Size *to, Affine **out) {
    int begin = 0, f = n_from, t = n_to;
    while (begin < f && begin < t && from[begin] == to[begin]) {
        out[begin] = index[begin];
        begin++;
    }
    while (f > begin && t > begin && from[f - 1] == to[t - 1]) out[--t] = index[--f];
    Affine *whole = affine_new(sp);
    Size stride = size_const(sp->table, 1);
    for (int i = f - 1; i >= begin; i--) {
        affine_add_scaled(whole, index[i], stride);
        stride = size_mul(stride, from[i]);
    }
    Affine *first = affine_copy(sp, whole);
    Size div = size_const(sp->table, 1);
    for (int i = t - 1; i >= begin; i--) {
        bool outermost = true; /* only ones before it */
        for (int j = begin; j < i; j++) outermost &= size_is(to[j], 1);
        if (size_is(to[i], 1)) {
            out[i] = affine_new(sp);
        } else if (outermost) {
            out[i] = whole ? whole
                           : affine_symbol(
                                 sp, add_symbol(sp, (Symbol){.n = to[i], .axis = -1, .of = first, .div = div, .all = stride}));
        } else if (whole) {
            out[i] = divide(sp, &whole, to[i], first, div, stride);
        } else {
            out[i] = affine_symbol(
                sp, add_symbol(sp, (Symbol){.n = to[i], .axis = -1, .of = first, .div = div, .mod = to[i], .all = stride}));
        }
        if (sp->again) {
            for (int j = i - 1; j >= begin; j--) out[j] = affine_new(sp);
            return;
        }
        div = size_mul(div, to[i]);
    }
}

/* ---- following views */

static Access *access_new(Space *sp, Node *base) {
    Access *a = NEW(sp->arena, Access);
    a->base = base;
    a->at.c = size_const(sp->table, 0);
    PUSH(sp->arena, sp->accesses, a);
    PUSH(sp->arena, sp->affines, &a->at);
    return a;
}

Access *access_linear(Space *sp, Node *x, const Affine *linear) {
    Access *a = access_new(sp, x);
    a->at = *linear;
    return a;
}

Access *access_own(Space *sp, Node *x, Affine *const *index) {
    Access *a = access_new(sp, x);
    if (x->op == OP_CONST || x->op == OP_SIZE) return a;
    if (x->op == OP_IOTA) {
        affine_add(&a->at, index[x->attrs.axis]);
        return a;
    }
    Size stride = size_const(sp->table, 1);
    for (int i = x->type.rank - 1; i >= 0; i--) {
        affine_add_scaled(&a->at, index[i], stride);
        stride = size_mul(stride, x->type.dim[i]);
    }
    return a;
}

Node *access_behind(Space *sp, Node *x, Affine *const *given, Affine **index) {
    Affine *next[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) index[i] = given[i];
    while (op_row(x->op)->class == CLASS_VIEW) {
        Node *y = x->in[0];
        int rank = y->type.rank, more = x->type.rank - rank;
        switch (x->op) {
        case OP_RESHAPE: space_reshape(sp, x->type.rank, x->type.dim, index, rank, y->type.dim, next); break;
        case OP_PERMUTE:
            for (int i = 0; i < rank; i++) next[x->attrs.axes[i]] = index[i];
            break;
        case OP_EXPAND:
            for (int i = 0; i < rank; i++) next[i] = y->type.dim[i] == x->type.dim[i + more] ? index[i + more] : affine_new(sp);
            break;
        case OP_SLICE:
            for (int i = 0; i < rank; i++) {
                next[i] = affine_copy(sp, index[i]);
                next[i]->c = size_add(next[i]->c, x->attrs.lo[i]);
            }
            break;
        case OP_WINDOW: { /* two axes of the view for one of y */
            int axis = x->attrs.axis;
            for (int i = 0; i < rank; i++) next[i] = index[i <= axis ? i : i + 1];
            next[axis] = affine_const(sp, size_const(sp->table, 0));
            affine_add_scaled(next[axis], index[axis], size_const(sp->table, x->attrs.window.stride[0]));
            affine_add_scaled(next[axis], index[axis + 1], size_const(sp->table, x->attrs.window.dilation[0]));
            break;
        }
        default: bug("view %s is not known to the schedules", op_row(x->op)->name);
        }
        memcpy(index, next, sizeof next);
        x = y;
    }
    return x;
}

Access *access_follow(Space *sp, Node *x, Affine *const *given) {
    Affine *index[MAX_RANK];
    x = access_behind(sp, x, given, index);
    return access_own(sp, x, index);
}

Affine *access_index(Space *sp, Access *load, Size n) {
    int64_t value;
    if (load->base->op == OP_CONST) {
        value = load->base->attrs.whole;
        return affine_const(sp, size_const(sp->table, value < 0 ? 0 : value));
    }
    if (load->base->op == OP_IOTA) return access_clamped(sp, &load->at, n);
    if (load->base->op == OP_SIZE) return affine_const(sp, load->base->attrs.extent);
    for (int s = 0; s < sp->n; s++) { /* the same integer twice is one symbol */
        const Symbol *d = &sp->symbol[s];
        if (d->load && d->load->base == load->base && d->n == n && affine_equal(&d->load->at, &load->at))
            return affine_symbol(sp, s);
    }
    return affine_symbol(sp, add_symbol(sp, (Symbol){.n = n, .axis = -1, .load = load}));
}

Affine *access_place(Space *sp, Access *load, Size n) {
    Affine *index = access_index(sp, load, n);
    for (int s = 0; s < sp->n; s++)
        if (index->coef[s] && sp->symbol[s].load) return index;
    Affine *of = load->base->op == OP_IOTA ? affine_copy(sp, &load->at) : index;
    return affine_symbol(sp, add_symbol(sp, (Symbol){.n = n, .axis = -1, .of = of, .div = size_const(sp->table, 1)}));
}

Affine *access_scalar(Space *sp, Node *scalar, Size n) {
    for (int s = 0; s < sp->n; s++)
        if (sp->symbol[s].scalar == scalar && sp->symbol[s].n == n) return affine_symbol(sp, s);
    return affine_symbol(sp, add_symbol(sp, (Symbol){.n = n, .axis = -1, .scalar = scalar}));
}

/* ---- merging */

static bool mergeable(const Space *sp, int outer, int inner) {
    for (int i = 0; i < sp->affines.n; i++) {
        const Affine *a = sp->affines.at[i];
        Size c = a->coef[inner], d = a->coef[outer];
        if (!c && !d) continue;
        if (!c || !d || size_mul(c, sp->symbol[inner].n) != d) return false;
    }
    return true;
}

void space_merge(Space *sp, const int *class, int keep) {
    for (int inner = sp->n - 1; inner > 0; inner--) {
        Symbol *y = &sp->symbol[inner];
        if (y->axis < 0 || y->gone) continue;
        for (int outer = inner - 1; outer >= 0; outer--) {
            Symbol *x = &sp->symbol[outer];
            if (x->gone) continue;
            int64_t n;
            bool apart = keep && size_is_const(y->n, &n) && !size_is_static(x->n) && n % keep == 0 && n >= 2 * keep;
            if (x->axis < 0 || class[x->axis] != class[y->axis] || apart || !mergeable(sp, outer, inner)) break;
            for (int i = 0; i < sp->affines.n; i++) sp->affines.at[i]->coef[outer] = NULL;
            y->n = size_mul(x->n, y->n);
            x->gone = true;
        }
    }
}

Access *access_joined(Space *sp, const Access *a, int outer, int inner, int *joined) {
    Size n = sp->symbol[inner].n, c = a->at.coef[inner];
    if (!c || a->at.coef[outer] != size_mul(c, n)) return NULL;
    *joined = add_symbol(sp, (Symbol){.n = size_mul(sp->symbol[outer].n, n), .axis = sp->symbol[inner].axis});
    Access *x = access_linear(sp, a->base, &a->at);
    x->at.coef[outer] = x->at.coef[inner] = NULL;
    x->at.coef[*joined] = c;
    return x;
}
