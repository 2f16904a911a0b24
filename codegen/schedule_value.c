/* schedule_value.c -- nodes of a kernel as tile text: operands become accesses of the space (items), then, at a point of the
 * loops, loads, literals and one `let` a node. Every op of the classes map and access has its text here. */
#include "codegen/schedule.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- items */

Items *items_new(Work *w, Space *sp) {
    Items *items = NEW(w->arena, Items);
    items->sp = sp;
    return items;
}

Item *items_find(const Items *items, const Node *n) {
    for (int i = 0; i < items->at.n; i++)
        if (items->at.at[i]->n == n) return items->at.at[i];
    return NULL;
}

static Node *strip_views(Node *x) {
    while (op_row(x->op)->class == CLASS_VIEW) x = x->in[0];
    return x;
}

Operand items_operand(Items *items, Node *x, Affine *const *index) {
    Item *item = items_find(items, strip_views(x));
    if (item) return (Operand){.item = item};
    return (Operand){.access = access_follow(items->sp, x, index)};
}

/* The index that integer node `ids` holds at index[], within 0 .. n - 1. */
static Affine *loaded_index(Items *items, Node *ids, Affine *const *index, Size n) {
    Item *item = items_find(items, strip_views(ids));
    if (item) return access_scalar(items->sp, item->n, n);
    return access_index(items->sp, access_follow(items->sp, ids, index), n);
}

static void add_gather(Items *items, Item *item, Affine *const *index) {
    Node *n = item->n, *x = n->in[0], *ids = n->in[1];
    Affine *at[MAX_RANK];
    int axis = n->attrs.axis, span = n->attrs.flag ? 1 : ids->type.rank;
    for (int i = 0; i < x->type.rank; i++) at[i] = index[i < axis ? i : i > axis ? i + span - 1 : 0];
    at[axis] = loaded_index(items, ids, n->attrs.flag ? index : index + axis, x->type.dim[axis]);
    item->in[0] = items_operand(items, x, at);
}

static void add_slice_at(Items *items, Item *item, Affine *const *index) {
    Node *n = item->n, *x = n->in[0];
    Affine *at[MAX_RANK];
    int axis = n->attrs.axis;
    Size places = size_add(size_sub(x->type.dim[axis], n->attrs.extent), size_const(items->sp->table, 1));
    for (int i = 0; i < x->type.rank; i++) at[i] = index[i];
    at[axis] = affine_copy(items->sp, index[axis]);
    affine_add(at[axis], loaded_index(items, n->in[1], NULL, places));
    item->in[0] = items_operand(items, x, at);
}

/* Operand x where `at` along each axis is inside x, if it can be. */
static void add_piece(Items *items, Item *item, Node *x, Affine *const *at) {
    Piece piece = {.type = x};
    Affine *inside[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        int place = affine_inside(items->sp, at[i], x->type.dim[i]);
        if (place < 0) return;
        inside[i] = access_clamped(items->sp, at[i], x->type.dim[i]);
        if (place == 0) {
            Test t = {affine_copy(items->sp, at[i]), x->type.dim[i]};
            space_keep(items->sp, t.at);
            PUSH(items->sp->arena, piece.tests, t);
        }
    }
    piece.x = items_operand(items, x, inside);
    PUSH(items->sp->arena, item->pieces, piece);
}

static void add_pad(Items *items, Item *item, Affine *const *index) {
    Node *n = item->n;
    Affine *at[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++) {
        at[i] = affine_copy(items->sp, index[i]);
        at[i]->c = size_sub(at[i]->c, n->attrs.lo[i]);
    }
    add_piece(items, item, n->in[0], at);
}

static void add_concat(Items *items, Item *item, Affine *const *index) {
    Node *n = item->n;
    Size begin = size_const(items->sp->table, 0);
    for (int k = 0; k < n->n_in; k++) {
        Affine *at[MAX_RANK];
        for (int i = 0; i < n->type.rank; i++) at[i] = affine_copy(items->sp, index[i]);
        at[n->attrs.axis]->c = size_sub(at[n->attrs.axis]->c, begin);
        begin = size_add(begin, n->in[k]->type.dim[n->attrs.axis]);
        add_piece(items, item, n->in[k], at);
    }
}

Item *items_add(Items *items, Work *w, Node *n, Level level, Affine *const *index, const Affine *linear) {
    Space *sp = items->sp;
    Item *item = NEW(w->arena, Item);
    item->n = n;
    item->level = level;
    item->in = NEW_ARRAY(w->arena, Operand, n->n_in);
    Affine *at[MAX_RANK];
    switch (n->op) {
    case OP_GATHER: add_gather(items, item, index); break;
    case OP_SLICE_AT: add_slice_at(items, item, index); break;
    case OP_PAD: add_pad(items, item, index); break;
    case OP_CONCAT: add_concat(items, item, index); break;
    case OP_REV:
        for (int i = 0; i < n->type.rank; i++) at[i] = index[i];
        at[n->attrs.axis] = affine_const(sp, size_sub(n->type.dim[n->attrs.axis], size_const(sp->table, 1)));
        affine_add_scaled(at[n->attrs.axis], index[n->attrs.axis], size_const(sp->table, -1));
        item->in[0] = items_operand(items, n->in[0], at);
        break;
    case OP_DIAGONAL:
        for (int i = 0; i < n->type.rank; i++) at[i] = index[i];
        at[n->type.rank] = index[n->type.rank - 1];
        item->in[0] = items_operand(items, n->in[0], at);
        break;
    case OP_RANDOM:
        item->linear = affine_copy(sp, linear);
        space_keep(sp, item->linear);
        for (int i = 0; i < n->n_in; i++) item->in[i] = items_operand(items, n->in[i], NULL);
        break;
    default:
        for (int i = 0; i < n->n_in; i++) item->in[i] = items_operand(items, n->in[i], index);
    }
    PUSH(w->arena, items->at, item);
    return item;
}

static bool operand_uses(const Space *sp, Operand o, int symbol, bool derived_only) {
    if (!o.access) return false;
    return derived_only ? access_bends(sp, o.access, symbol) : affine_uses(sp, &o.access->at, symbol);
}

bool item_uses(const Space *sp, const Item *item, int symbol, bool derived_only) {
    for (int i = 0; i < item->n->n_in; i++)
        if (operand_uses(sp, item->in[i], symbol, derived_only)) return true;
    for (int i = 0; i < item->pieces.n; i++) {
        const Piece *piece = &item->pieces.at[i];
        if (operand_uses(sp, piece->x, symbol, derived_only)) return true;
        for (int t = 0; t < piece->tests.n; t++)
            if (affine_uses(sp, piece->tests.at[t].at, symbol)) return true; /* a test along the lanes: scalar, too */
    }
    if (derived_only && item->linear && item->linear->coef[symbol] && !size_is(item->linear->coef[symbol], 1))
        return true; /* lanes count by ones */
    return !derived_only && item->linear && affine_uses(sp, item->linear, symbol);
}

/* ---- points */

Point point_new(Work *w, Items *items, int lanes, int vector) {
    return (Point){.w = w, .sp = items->sp, .items = items, .lanes = lanes, .vector = vector, .block = ++w->blocks, .stepped = -1};
}

Point point_inside(const Point *outer) {
    Point p = *outer;
    p.parent = outer;
    p.block = ++p.w->blocks;
    return p;
}

static bool in_scope(const Point *p, int block) {
    for (; p; p = p->parent)
        if (p->block == block) return true;
    return false;
}

static const char *parenthesized(Work *w, const char *text) {
    return strpbrk(text, " *") ? arena_printf(w->arena, "(%s)", text) : text;
}

const char *affine_text(Work *w, const Point *p, const Affine *a) {
    Text t = {.arena = w->arena};
    for (int s = 0; s < p->sp->n; s++) {
        if (!a->coef[s]) continue;
        if (!p->text[s]) bug("symbol %d of a %s kernel is not in scope", s, w->kind);
        if (t.n) text_add(&t, " + ");
        if (size_is(a->coef[s], 1)) text_add(&t, "%s", p->text[s]);
        else text_add(&t, "%s*%s", work_size(w, a->coef[s]), parenthesized(w, p->text[s]));
    }
    if (!t.n) return work_size(w, a->c);
    if (!size_is(a->c, 0)) text_add(&t, " + %s", work_size(w, a->c));
    return t.at;
}

/* Does the index fall as some symbol grows? */
static bool falls(const Point *p, const Affine *a) {
    for (int s = 0; s < p->sp->n; s++) {
        int64_t low, high;
        if (!a->coef[s]) continue;
        size_range(a->coef[s], &low, &high);
        if (low < 0) return true;
    }
    return false;
}

void point_derived(Point *p, const Affine *a) {
    Work *w = p->w;
    for (int s = 0; s < p->sp->n; s++) {
        Symbol *d = &p->sp->symbol[s];
        if (!a->coef[s] || d->axis >= 0 || p->text[s]) continue;
        const char *e, *n = work_size(w, d->n);
        if (d->load) {
            bool vector;
            e = point_load(p, d->load, false, &vector);
            e = arena_printf(w->arena, "clamp(%s)", e);
        } else if (d->scalar) {
            e = arena_printf(w->arena, "clamp(%s)", items_find(p->items, d->scalar)->value);
        } else {
            point_derived(p, d->of);
            e = parenthesized(w, affine_text(w, p, d->of));
            if (d->all && falls(p, d->of)) { /* not negative, but the verifier cannot see it */
                const char *whole = arena_printf(w->arena, "q%d", ++w->names);
                text_line(&w->body, "index %s = clamp(%s) in 0..%s", whole, e, work_size(w, d->all));
                e = whole;
            }
            if (!size_is(d->div, 1)) e = arena_printf(w->arena, "%s / %s", e, parenthesized(w, work_size(w, d->div)));
            if (d->mod) e = arena_printf(w->arena, "%s %% %s", e, parenthesized(w, work_size(w, d->mod)));
            else e = arena_printf(w->arena, "clamp(%s)", e);
        }
        p->text[s] = arena_printf(w->arena, "q%d", ++w->names);
        text_line(&w->body, "index %s = %s in 0..%s", p->text[s], e, n);
    }
}

static const char *buffer_type(Work *w, const Space *sp, const Access *a) {
    Text dims = {.arena = w->arena}, strides = {.arena = w->arena};
    Size expected = size_const(w->table, 1);
    bool plain = true;
    for (int s = sp->n - 1; s >= 0; s--) {
        if (!a->at.coef[s]) continue;
        plain &= a->at.coef[s] == expected;
        expected = size_mul(expected, sp->symbol[s].n);
    }
    for (int s = 0; s < sp->n; s++) {
        if (!a->at.coef[s]) continue;
        text_add(&dims, "%s%s", dims.n ? ", " : "", work_size(w, sp->symbol[s].n));
        text_add(&strides, "%s%s", strides.n ? ", " : "", work_size(w, a->at.coef[s]));
    }
    if (!dims.n) text_add(&dims, "1");
    Text t = {.arena = w->arena};
    text_add(&t, "%s[%s]", dtype_name(a->base->type.dtype), dims.at);
    if (!plain) text_add(&t, " stride(%s)", strides.at);
    if (!size_is(a->at.c, 0)) text_add(&t, " offset(%s)", work_size(w, a->at.c));
    return t.at;
}

/* One buffer argument for equal accesses. */
static const char *buffer_name(Point *p, Access *a, const char *suffix) {
    if (a->name) return a->name;
    for (int i = 0; i < p->sp->accesses.n && !*suffix; i++) {
        const Access *b = p->sp->accesses.at[i];
        if (b != a && b->name && b->base == a->base && affine_equal(&a->at, &b->at)) return a->name = b->name;
    }
    const char *type =
        arena_printf(p->w->arena, "%s%s%s", buffer_type(p->w, p->sp, a), suffix, work_aliased(p->w, a->base) ? " alias" : "");
    a->name = work_arg(p->w, (KernelArg){.kind = ARG_VALUE, .node = a->base}, type);
    return a->name;
}

const char *point_place(Point *p, Access *a, const char *suffix) {
    Work *w = p->w;
    point_derived(p, &a->at);
    Text t = {.arena = w->arena};
    text_add(&t, "%s[", buffer_name(p, a, suffix));
    bool first = true;
    for (int s = 0; s < p->sp->n; s++) {
        if (!a->at.coef[s]) continue;
        if (!p->text[s]) bug("symbol %d of a %s kernel is not in scope", s, w->kind);
        text_add(&t, "%s%s", first ? "" : ", ", p->text[s]);
        first = false;
        if (s != p->vector || p->lanes == 1) continue;
        text_add(&t, " : %d", p->lanes);
        if (p->limit) text_add(&t, " < %s", p->limit);
    }
    text_add(&t, first ? "0]" : "]");
    return t.at;
}

/* ---- literals and leaves */

DType dtype_arithmetic(DType d) {
    return dtype_is_narrow(d) ? DT_F32 : d;
}

const char *value_float(Work *w, const char *text, DType d) {
    return dtype_arithmetic(d) == d ? text : arena_printf(w->arena, "f32(%s)", text);
}

const char *value_stored(Work *w, const char *text, DType d) {
    return dtype_arithmetic(d) == d ? text : arena_printf(w->arena, "%s(%s)", dtype_name(d), text);
}

static const char *float_literal(Work *w, double x, DType d) {
    if (d != DT_F64) x = (double)(float)x;
    if (isnan(x)) return "nan";
    if (isinf(x)) return x < 0 ? "-inf" : "inf";
    const char *text = arena_printf(w->arena, "%.17g", x);
    return strpbrk(text, ".e") ? text : arena_printf(w->arena, "%s.0", text);
}

/* A constant in its arithmetic type; literal: without a type where its neighbour has one. */
static const char *const_text(Work *w, const Node *n, bool literal) {
    DType d = dtype_arithmetic(n->type.dtype);
    const char *text;
    if (dtype_is_float(d)) text = float_literal(w, n->attrs.number, d);
    else text = arena_printf(w->arena, "%lld", (long long)n->attrs.whole);
    if (d == DT_BOOL) return n->attrs.whole ? "bool(1)" : "bool(0)";
    return literal ? text : arena_printf(w->arena, "%s(%s)", dtype_name(d), text);
}

static const char *iota_text(Point *p, const Access *a, bool *vector) {
    Work *w = p->w;
    DType d = dtype_arithmetic(a->base->type.dtype);
    bool wide = d == DT_I64 || d == DT_F64;
    const char *base = affine_text(w, p, &a->at);
    Size step = p->vector >= 0 && p->lanes > 1 ? a->at.coef[p->vector] : NULL;
    const char *type = wide ? "i64" : "i32";
    const char *e = wide ? parenthesized(w, base) : arena_printf(w->arena, "i32(%s)", base);
    if (step) {
        const char *ramp = arena_printf(w->arena, wide ? "i64(iota(%d))" : "iota(%d)", p->lanes);
        if (size_is(step, 1)) e = arena_printf(w->arena, "(%s + %s)", e, ramp);
        else e = arena_printf(w->arena, "(%s + %s*%s(%s))", e, ramp, type, work_size(w, step));
        *vector = true;
    }
    return strcmp(dtype_name(d), type) == 0 ? e : arena_printf(w->arena, "%s(%s)", dtype_name(d), e);
}

const char *point_load(Point *p, Access *a, bool literal, bool *vector) {
    Work *w = p->w;
    *vector = false;
    if (a->base->op == OP_CONST) return const_text(w, a->base, literal);
    if (a->base->op == OP_SIZE)
        return arena_printf(w->arena, "%s(%s)", dtype_name(dtype_arithmetic(a->base->type.dtype)),
                            work_size(w, a->base->attrs.extent));
    if (a->base->op == OP_IOTA) {
        point_derived(p, &a->at);
        return iota_text(p, a, vector);
    }
    for (int i = 0; i < p->sp->accesses.n; i++) { /* loaded already in this block or around it */
        const Access *b = p->sp->accesses.at[i];
        if (!b->value || !in_scope(p, b->block) || !access_meets(a, p->step, b, b->step, p->stepped)) continue;
        if (p->step) { /* the next step may find it here */
            a->value = b->value;
            a->block = b->block;
            a->step = p->step;
            a->vector = b->vector;
        }
        *vector = b->vector;
        return b->value;
    }
    const char *place = point_place(p, a, "");
    a->vector = p->vector >= 0 && p->lanes > 1 && a->at.coef[p->vector];
    a->block = p->block;
    a->step = p->step;
    a->value = arena_printf(w->arena, "v%d", ++w->names);
    text_line(&w->body, "let %s = %s", a->value, value_float(w, place, a->base->type.dtype));
    *vector = a->vector;
    return a->value;
}

void point_store(Point *p, Access *to, const char *value) {
    const char *place = point_place(p, to, " out");
    text_line(&p->w->body, "%s = %s", place, value_stored(p->w, value, to->base->type.dtype));
}

/* ---- ops */

static const char *operand_value(Point *p, Item *item, int k, bool literal) {
    Operand o = item->in[k];
    bool vector;
    const char *text;
    if (o.item) {
        text = item->level == LEVEL_PART && o.item->level == LEVEL_FULL ? o.item->part[o.part] : o.item->value;
        vector = o.item->vector;
        if (!text) bug("value of %s is read before it is made", op_row(o.item->n->op)->name);
    } else {
        text = point_load(p, o.access, literal, &vector);
    }
    item->vector |= vector;
    return text;
}

static bool is_literal(const Item *item, int k) {
    return item->in[k].access && item->in[k].access->base->op == OP_CONST;
}

const char *value_fill(Work *w, const Node *pad) {
    Node fill = *pad;
    fill.op = OP_CONST;
    fill.attrs.whole = (int64_t)pad->attrs.number;
    return const_text(w, &fill, false);
}

/* Pieces of a pad or concat: nested selects, the first piece whose tests hold. */
static const char *pieces_value(Point *p, Item *item) {
    Work *w = p->w;
    const Node *n = item->n;
    const char *e;
    int last = item->pieces.n - 1;
    if (n->op == OP_PAD) {
        e = value_fill(w, n);
        last++;
    } else {
        if (last < 0) bug("a concat without a piece");
        bool vector = false;
        Piece *piece = &item->pieces.at[last];
        e = piece->x.item ? piece->x.item->value : point_load(p, piece->x.access, false, &vector);
        item->vector |= piece->x.item ? piece->x.item->vector : vector;
    }
    for (int i = last - 1; i >= 0; i--) {
        Piece *piece = &item->pieces.at[i];
        bool vector = false;
        const char *x = piece->x.item ? piece->x.item->value : point_load(p, piece->x.access, false, &vector), *test = NULL;
        item->vector |= piece->x.item ? piece->x.item->vector : vector;
        for (int t = 0; t < piece->tests.n; t++) {
            const Test *s = &piece->tests.at[t];
            point_derived(p, s->at);
            const char *at = affine_text(w, p, s->at);
            const char *inside = arena_printf(w->arena, "and(%s >= 0, %s < %s)", at, at, work_size(w, s->n));
            test = test ? arena_printf(w->arena, "and(%s, %s)", test, inside) : inside;
        }
        e = test ? arena_printf(w->arena, "select(%s, %s, %s)", test, x, e) : x;
    }
    return e;
}

/* A f32 that the draw works with: parameters are rounded to f32. */
static const char *draw_number(Point *p, Item *item, int k) {
    DType d = dtype_arithmetic(item->n->in[k]->type.dtype);
    const char *x = operand_value(p, item, k, false);
    return d == DT_F32 ? x : arena_printf(p->w->arena, "f32(%s)", x);
}

static const char *random_value(Point *p, Item *item) {
    Work *w = p->w;
    const Node *n = item->n;
    int parameters = n->attrs.fn == RANDOM_BERNOULLI ? 1 : 2;
    const char *key0, *key1, *step0, *step1;
    const char *rng = NULL, *site = NULL;
    for (int i = 0; i < w->args.n; i++) { /* declared once */
        const KernelArg *a = &w->args.at[i];
        if (a->kind == ARG_RNG) rng = arena_printf(w->arena, "a%d", i);
        if (a->kind == ARG_SITE && a->site == n->attrs.site) site = arena_printf(w->arena, "a%d", i);
    }
    if (!rng) rng = work_arg(w, (KernelArg){.kind = ARG_RNG}, "u32[4]");
    if (!site) site = work_arg(w, (KernelArg){.kind = ARG_SITE, .site = n->attrs.site}, "u32");
    key0 = arena_printf(w->arena, "%s[0]", rng);
    key1 = arena_printf(w->arena, "xor(%s[1], %s)", rng, site);
    step0 = arena_printf(w->arena, "%s[2]", rng);
    step1 = arena_printf(w->arena, "%s[3]", rng);
    if (n->attrs.step) {
        step0 = arena_printf(w->arena, "u32(%u)", (unsigned)n->attrs.step);
        step1 = arena_printf(w->arena, "u32(%u)", (unsigned)(n->attrs.step >> 32));
    }
    point_derived(p, item->linear);
    const char *element = affine_text(w, p, item->linear);
    if (n->n_in > parameters) { /* inside a scan: t * elements more */
        Size elements = size_const(w->table, 1);
        for (int i = 0; i < n->type.rank; i++) elements = size_mul(elements, n->type.dim[i]);
        const char *t = operand_value(p, item, parameters, false);
        element = arena_printf(w->arena, "%s + i64(%s)*%s", element, t, work_size(w, elements));
    }
    item->vector = p->lanes > 1 && p->vector >= 0 && item->linear->coef[p->vector];
    const char *word = arena_printf(w->arena, "w%d", ++w->names);
    text_line(&w->body, "let %s = philox(%s, %s, %s, %s, %s, %d)", word, key0, key1, step0, step1, element,
              item->vector ? p->lanes : 1);
    bool vector = item->vector;
    const char *e;
    DType made = DT_F32, d = dtype_arithmetic(n->type.dtype);
    if (n->attrs.fn == RANDOM_RANDINT) {
        const char *low = operand_value(p, item, 0, false), *high = operand_value(p, item, 1, false);
        e = arena_printf(w->arena, "i64(%s) + i64(mulhi(%s, u32(i64(%s) - i64(%s))))", low, word, high, low);
        made = DT_I64;
    } else if (n->attrs.fn == RANDOM_BERNOULLI) {
        e = arena_printf(w->arena, "uniform01(%s) < %s", word, draw_number(p, item, 0));
        made = DT_BOOL;
    } else if (n->attrs.fn == RANDOM_NORMAL) {
        const char *mean = draw_number(p, item, 0), *deviation = draw_number(p, item, 1);
        e = arena_printf(w->arena, "fma_exact(%s, normal(%s), %s)", deviation, word, mean);
    } else { /* below high: the largest f32 below it is high - |high| * 2^-24 (1 + 2^-23) rounded (Rump et al., 2009) */
        const char *low = draw_number(p, item, 0), *high = draw_number(p, item, 1);
        const char *y = arena_printf(w->arena, "v%d", ++w->names);
        text_line(&w->body, "let %s = fma_exact(%s - %s, uniform01(%s), %s)", y, high, low, word, low);
        e = arena_printf(w->arena,
                         "select(or(%s < %s, not(%s < %s)), %s, %s - (abs(%s)*5.960465188081798e-08 + 1.401298464324817e-45))",
                         y, high, low, high, y, high, high);
    }
    item->vector = vector;
    return made == d ? e : arena_printf(w->arena, "%s(%s)", dtype_name(d), e);
}

static const char *infix(Op op) {
    switch (op) {
    case OP_ADD: return "+";
    case OP_SUB: return "-";
    case OP_MUL: return "*";
    case OP_DIV: return "/";
    case OP_MOD: return "%";
    case OP_EQ: return "==";
    case OP_NE: return "!=";
    case OP_LT: return "<";
    case OP_LE: return "<=";
    case OP_GT: return ">";
    case OP_GE: return ">=";
    default: return NULL;
    }
}

static const char *cast_value(Work *w, const char *x, DType from, DType to) {
    from = dtype_arithmetic(from);
    if (dtype_is_narrow(to)) { /* values are kept rounded, in f32 */
        if (from != DT_F32) x = arena_printf(w->arena, "f32(%s)", x);
        return x;
    }
    return from == to ? x : arena_printf(w->arena, "%s(%s)", dtype_name(to), x);
}

static const char *let(Work *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *let(Work *w, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const char *value = arena_vprintf(w->arena, format, ap), *name = arena_printf(w->arena, "v%d", ++w->names);
    va_end(ap);
    text_line(&w->body, "let %s = %s", name, value);
    return name;
}

/* Where x is negative, -0 too. */
static const char *below_zero(Work *w, const char *type, const char *x) {
    return let(w, "or(%s < 0.0, and(%s == 0.0, %s(1.0) / %s < 0.0))", x, x, type, x);
}

/* The angle of (x, y). In the first eighth of the circle q = lo / hi is its tangent (1 of two infinities). Its arctangent is the polynomial
 * of Cephes (atanf, within 1e-7) where q < tan(pi/8), else pi/4 plus that of (q - 1) / (q + 1). Then what was folded is unfolded. */
static const char *atan2_value(Work *w, DType d, const char *y, const char *x) {
    const char *type = dtype_name(dtype_arithmetic(d));
    const char *lo = let(w, "min(abs(%s), abs(%s))", y, x), *hi = let(w, "max(abs(%s), abs(%s))", y, x);
    const char *ratio = let(w, "select(%s == inf, %s(1.0), %s / %s)", lo, type, lo, hi);
    const char *q = let(w, "select(%s == 0.0, %s(0.0), %s)", hi, type, ratio);
    const char *far = let(w, "%s > 0.4142135623730950", q);
    const char *z = let(w, "select(%s, (%s - 1.0) / (%s + 1.0), %s)", far, q, q, q), *s = let(w, "%s * %s", z, z);
    const char *p = let(w, "%s * 8.05374449538e-2 - 1.38776856032e-1", s);
    p = let(w, "(%s * %s + 1.99777106478e-1) * %s - 3.33329491539e-1", p, s, s);
    const char *angle = let(w, "%s + %s * %s * %s + select(%s, %s(0.7853981633974483), %s(0.0))", z, z, s, p, far, type, type);
    angle = let(w, "select(abs(%s) > abs(%s), %s(1.5707963267948966) - %s, %s)", y, x, type, angle, angle);
    angle = let(w, "select(%s, %s(3.141592653589793) - %s, %s)", below_zero(w, type, x), type, angle, angle);
    return let(w, "select(%s, neg(%s), %s)", below_zero(w, type, y), angle, angle);
}

/* Does it matter to the op whether a narrow operand is rounded? Comparisons meet values that were stored. */
static bool sees_rounding(Op op) {
    switch (op) {
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
    case OP_MOD:
    case OP_CAST: return true;
    default: return false;
    }
}

static const char *rounded_operand(Work *w, const Item *from, Op op, const char *x) {
    if (!from || !from->unrounded || !sees_rounding(op)) return x;
    return arena_printf(w->arena, "f32(%s(%s))", dtype_name(from->n->type.dtype), x);
}

/* A narrow value is rounded where it is stored, looked at by such an op, cast or drawn; between that it stays in f32. */
static bool rounds_now(const Node *n) {
    return dtype_arithmetic(n->type.dtype) != n->type.dtype && (n->op == OP_CAST || n->op == OP_RANDOM || n->op == OP_IOTA);
}

static const char *map_value(Point *p, Item *item) {
    Work *w = p->w;
    const Node *n = item->n;
    const char *x[3] = {"", "", ""};
    int begin = n->op == OP_WHERE;
    bool all = true; /* all operands of the common type are literals: then the first says the type */
    for (int k = begin; k < n->n_in; k++) all &= is_literal(item, k);
    for (int k = 0; k < n->n_in && k < 3; k++) {
        x[k] = operand_value(p, item, k, k >= begin && !(all && k == begin) && n->n_in > 1 && n->op != OP_ATAN2);
        x[k] = rounded_operand(w, item->in[k].item, n->op, x[k]);
    }
    if (infix(n->op)) {
        bool flags = n->in[0]->type.dtype == DT_BOOL;
        if (flags && n->op == OP_NE) return arena_printf(w->arena, "xor(%s, %s)", x[0], x[1]);
        if (flags && n->op == OP_EQ) return arena_printf(w->arena, "not(xor(%s, %s))", x[0], x[1]);
        return arena_printf(w->arena, "%s %s %s", x[0], infix(n->op), x[1]);
    }
    switch (n->op) {
    case OP_NEG:
    case OP_EXP:
    case OP_EXPM1:
    case OP_LOG:
    case OP_LOG1P:
    case OP_SQRT:
    case OP_RSQRT:
    case OP_SIN:
    case OP_COS:
    case OP_TANH:
    case OP_ERF:
    case OP_SIGMOID:
    case OP_ABS:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
    case OP_NOT: return arena_printf(w->arena, "%s(%s)", op_row(n->op)->name, x[0]);
    case OP_ISNAN: return arena_printf(w->arena, "%s != %s", x[0], x[0]);
    case OP_CAST: return cast_value(w, x[0], n->in[0]->type.dtype, n->type.dtype);
    case OP_MULZ: {
        const char *zero = dtype_is_float(n->type.dtype) ? "0.0" : "0";
        return arena_printf(w->arena, "select(%s == %s, %s, %s * %s)", x[0], zero, zero, x[0], x[1]);
    }
    case OP_NIBBLE: return arena_printf(w->arena, "u8(and(shr(u32(%s), shl(and(u32(%s), u32(1)), u32(2))), u32(15)))", x[0], x[1]);
    case OP_SHR:
    case OP_RESCALE: return arena_printf(w->arena, "%s(%s, %s)", op_row(n->op)->name, x[0], x[1]);
    case OP_ATAN2: return atan2_value(w, n->type.dtype, x[0], x[1]);
    case OP_POW:
    case OP_MAX:
    case OP_MIN:
    case OP_AND:
    case OP_OR: return arena_printf(w->arena, "%s(%s, %s)", op_row(n->op)->name, x[0], x[1]);
    case OP_WHERE: return arena_printf(w->arena, "select(%s, %s, %s)", x[0], x[1], x[2]);
    case OP_CLAMP: return arena_printf(w->arena, "min(max(%s, %s), %s)", x[0], x[1], x[2]);
    default: bug("no kernel text for %s", op_row(n->op)->name);
    }
}

void point_value(Point *p, Item *item) {
    Work *w = p->w;
    item->vector = false;
    const Node *n = item->n;
    const char *e;
    if (n->op == OP_RANDOM) e = random_value(p, item);
    else if (n->op == OP_PAD || n->op == OP_CONCAT) e = pieces_value(p, item);
    else if (op_row(n->op)->class == CLASS_ACCESS) e = operand_value(p, item, 0, false);
    else e = map_value(p, item);
    DType d = n->type.dtype;
    if (rounds_now(n)) e = arena_printf(w->arena, "f32(%s(%s))", dtype_name(d), e);
    else item->unrounded = dtype_arithmetic(d) != d;
    item->value = arena_printf(w->arena, "v%d", ++w->names);
    text_line(&w->body, "let %s = %s", item->value, e);
}
