/* schedule_map.c -- kernels of maps and reductions: MAP (elementwise, accesses, rows) and REDUCE.
 *
 * The symbols of the space are outer (a parallel nest) or inner (loops, over a row or the reduced axes). One symbol runs along
 * the lanes: the last inner one, where lanes are added up at the end of a reduction, or, when a reduction keeps the last axis,
 * that one ("columns"). A row is walked in passes: pass p computes what needs the reductions of the passes before it, and the
 * reductions that needs no later ones. Elements are computed again in each pass that needs them; all stores of elements happen
 * in one pass.
 *
 * rows.tile holds that skeleton; here are the choices behind it and what fills its holes:
 *
 *     parallel x0 in 0..n0 by 8 masked { for r in 0..8 { if x0 + r < n0 {
 *       <scalars, row values of pass 0>
 *       reg acc..  for x1 in 0..128 by 16 { <elements>  acc = acc + .. }  let v = hadd(acc)
 *       <row values of pass 1>  for x1 in .. { <elements, stores> }  <stores of row values> } } }
 *
 * Where windows overlap along the last outer symbol, several of its values are computed one after another (schedule_windows.c).
 *
 * On a device one long row, which is all that a kernel has, is walked in parts by warps of their own; a second call adds up what they found, in
 * their order, and has the values behind.
 *
 * A concat or pad of a kernel without rows is cut into segments along its axis, each a call of its own, so that no element
 * tests where it comes from; of several axes of a pad the last, if that one is padded. */
#include "codegen/schedule.h"

#include <stdlib.h>
#include <string.h>

#define BESIDE 8      /* vectors of columns that are added up at once: so many sums are in registers, and so many lines of a row are read together */
#define STRIPS 4      /* .. as long as threads have so many of these to share */
#define PART   1024   /* elements of a part of a long row .. */
#define PARTS_MOST  64 /* .. whose length is at most ROW_MOST of passes/lower.c */
#define PARTS_WORTH 4096 /* elements of a row: fewer take one warp no longer than another launch */
#define GRAIN  4096   /* TileTarget.grain where it is 0: elements an iteration of the parallel nest should have: some microseconds */

typedef struct Map {
    Work *w;
    const Kernel *k;
    Space *sp;
    Items *items;
    int n_inner, inner[MAX_SYMBOLS]; /* symbols, outermost first */
    int n_outer, outer[MAX_SYMBOLS];
    int class[MAX_SYMBOLS]; /* of each axis: 1 inner */
    int vector;             /* symbol along the lanes, -1: none */
    int lanes;
    bool columns; /* the vector symbol is an outer one */
    int passes;
    LIST(Access *) stores; /* beside k->writes */
    Template *t;
    Point p, q;             /* where a row's values are, and its elements */
    int pass;               /* the pass being written */
    int64_t inner_elements; /* of a row, about */
    int64_t chunk;          /* of the vector symbol, of a part; 0: all */
    int64_t steps;          /* of the last outer symbol, computed one after another */
    int64_t beside;         /* vectors of columns whose sums are made at once */
    bool flat;              /* the space is one axis, of a length that the call says (Kernel.flat) */
    Size parts;             /* of the one row, which the call walks; NULL: it is walked as a whole */
} Map;

static bool is_reduce(const Item *item) {
    return item->n->op == OP_REDUCE;
}

static int64_t grain(const Map *m) {
    return m->w->machine->grain ? m->w->machine->grain : GRAIN;
}

/* ---- indices and items */

static int level_axes(const Map *m, Level level, int *axes) {
    int n = 0;
    if (level == LEVEL_SCALAR) return 0;
    for (int a = 0; a < m->sp->n_axes; a++)
        if (level == LEVEL_FULL || !m->class[a]) axes[n++] = a;
    return n;
}

static void level_index(const Map *m, Level level, const Type *type, Affine **out) {
    int axes[MAX_RANK], n = level_axes(m, level, axes);
    Affine *index[MAX_RANK];
    Size dim[MAX_RANK];
    for (int i = 0; i < n; i++) {
        index[i] = space_axis(m->sp, axes[i]);
        dim[i] = m->k->space.dim[axes[i]];
    }
    space_reshape(m->sp, n, dim, index, type->rank, type->dim, out);
}

static Affine *level_linear(const Map *m, Level level) {
    int axes[MAX_RANK], n = level_axes(m, level, axes);
    Affine *a = affine_const(m->sp, size_const(m->w->table, 0));
    Size stride = size_const(m->w->table, 1);
    for (int i = n - 1; i >= 0; i--) {
        affine_add_scaled(a, space_axis(m->sp, axes[i]), stride);
        stride = size_mul(stride, m->k->space.dim[axes[i]]);
    }
    return a;
}

static Level node_level(const Map *m, int i) {
    Level level = m->k->levels.at[i];
    return level == LEVEL_FULL || level == LEVEL_SCALAR ? level : LEVEL_ROW;
}

/* Of a kernel of any shape: operands are elements at the node's own place, or have rank 0. */
static Item *flat_item(Map *m, Node *n, Level level) {
    Item *item = NEW(m->w->arena, Item);
    item->n = n;
    item->level = level;
    item->in = NEW_ARRAY(m->w->arena, Operand, n->n_in);
    for (int i = 0; i < n->n_in; i++) {
        Node *x = plan_base(n->in[i]);
        item->in[i].item = items_find(m->items, x);
        if (!item->in[i].item) item->in[i].access = access_linear(m->sp, x, level_linear(m, x->type.rank ? LEVEL_FULL : LEVEL_SCALAR));
    }
    PUSH(m->w->arena, m->items->at, item);
    return item;
}

static void make_flat_items(Map *m) {
    const Kernel *k = m->k;
    space_begin(m->sp);
    m->items = items_new(m->w, m->sp);
    for (int i = 0; i < k->nodes.n; i++) {
        Item *item = flat_item(m, k->nodes.at[i], node_level(m, i));
        item->outer = item->level != LEVEL_FULL;
    }
    for (int i = 0; i < k->writes.n; i++) {
        Node *n = k->writes.at[i];
        PUSH(m->w->arena, m->stores, access_linear(m->sp, n, level_linear(m, items_find(m->items, n)->level)));
    }
}

static void make_items(Map *m) {
    const Kernel *k = m->k;
    if (m->flat) {
        make_flat_items(m);
        return;
    }
    do {
        space_begin(m->sp);
        m->items = items_new(m->w, m->sp);
        m->stores.n = 0;
        for (int i = 0; i < k->nodes.n; i++) {
            Node *n = k->nodes.at[i];
            bool reduce = n->op == OP_REDUCE;
            Affine *index[MAX_RANK];
            level_index(m, reduce ? LEVEL_FULL : node_level(m, i), reduce ? &n->in[0]->type : &n->type, index);
            Item *item = items_add(m->items, m->w, n, node_level(m, i), index, level_linear(m, node_level(m, i)));
            item->outer = item->level != LEVEL_FULL;
            if (reduce && (n->attrs.fn == REDUCE_ARGMAX || n->attrs.fn == REDUCE_ARGMIN)) {
                item->linear = affine_copy(m->sp, index[n->attrs.axes[0]]);
                space_keep(m->sp, item->linear);
            }
        }
        for (int i = 0; i < k->writes.n; i++) {
            Node *n = k->writes.at[i];
            PUSH(m->w->arena, m->stores, access_linear(m->sp, n, level_linear(m, items_find(m->items, n)->level)));
        }
    } while (m->sp->again);
}

/* ---- the shape of the nest */

static int64_t estimate(Size n) {
    int64_t low, high;
    size_range(n, &low, &high);
    if (high <= 256) return high > 1 ? high : 1;
    return low > 256 ? low : 256;
}

static bool wide_types(const Map *m) {
    for (int i = 0; i < m->items->at.n; i++) {
        const Item *item = m->items->at.at[i];
        if (item->level == LEVEL_SCALAR) continue;
        if (dtype_bytes(item->n->type.dtype) == 8) return true;
        for (int k = 0; k < item->n->n_in; k++)
            if (item->in[k].access && dtype_bytes(item->n->in[k]->type.dtype) == 8) return true;
    }
    return false;
}

static void choose_vector(Map *m) {
    Space *sp = m->sp;
    bool rows = m->k->row > 0 || m->k->kind == KERNEL_REDUCE;
    int last = -1;
    m->n_inner = m->n_outer = 0;
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone) continue;
        last = s;
        if (m->class[sp->symbol[s].axis]) m->inner[m->n_inner++] = s;
        else m->outer[m->n_outer++] = s;
    }
    if (!rows && last >= 0) m->inner[m->n_inner++] = m->outer[--m->n_outer];
    m->columns = m->k->kind == KERNEL_REDUCE && last >= 0 && !m->class[sp->symbol[last].axis];
    m->vector = m->columns ? last : m->n_inner ? m->inner[m->n_inner - 1] : -1;
    m->lanes = 1;
    if (m->vector < 0) return;
    for (int i = 0; i < m->items->at.n; i++)
        if (item_uses(sp, m->items->at.at[i], m->vector, true)) return;
    m->lanes = m->w->machine->lanes / (wide_types(m) ? 2 : 1);
    int64_t low, high;
    size_range(sp->symbol[m->vector].n, &low, &high);
    while (m->lanes > 2 && high <= m->lanes / 2) m->lanes /= 2;
}

/* The outer symbol along which something lies that the lanes pick from far apart; -1: none. */
static int cross_symbol(const Map *m) {
    for (int i = 0; i < m->sp->accesses.n; i++) {
        const Affine *at = &m->sp->accesses.at[i]->at;
        Size step = at->coef[m->vector];
        if (!step || size_is(step, 1)) continue;
        for (int k = 0; k < m->n_outer; k++)
            if (at->coef[m->outer[k]] && size_is(at->coef[m->outer[k]], 1)) return m->outer[k];
    }
    return -1;
}

/* The loop along that symbol goes inside of the one over the vectors: the lines that a vector picks its lanes from serve the next
 * ones while they are in the first cache. */
static void turn_inside(Map *m) {
    int64_t low, high;
    size_range(m->sp->symbol[m->vector].n, &low, &high);
    int cross = high > m->lanes ? cross_symbol(m) : -1, n = 0;
    if (cross < 0) return;
    for (int i = 0; i < m->n_outer; i++)
        if (m->outer[i] != cross) m->outer[n++] = m->outer[i];
    m->n_outer = n;
    m->inner[m->n_inner++] = cross;
}

/* A part of 0 .. n - 1 of about `wish`: a divisor if n is static and has one that is not much smaller. */
static int64_t part_of(Size n, int64_t wish, int64_t step) {
    int64_t whole, part = wish / step * step;
    if (part < step) part = step;
    if (!size_is_const(n, &whole)) return part;
    if (whole <= part + part / 2) return whole;
    for (int64_t d = part; d >= part / 4 && d >= step; d -= step)
        if (whole % d == 0) return d;
    return part;
}

/* The same, but it divides n and is a multiple of `steps`, which divides n. */
static int64_t part_of_steps(Size n, int64_t wish, int64_t steps) {
    int64_t whole = size_value(n);
    for (int64_t d = wish / steps * steps; d > steps; d -= steps)
        if (whole % d == 0) return d;
    return steps;
}

static const char *symbol_name(Map *m, int s) {
    return arena_printf(m->w->arena, "x%d", s);
}

static void open_line(Map *m, const char *line) {
    text_line(&m->w->body, "%s {", line);
}

/* parallel over parts of 0..n, and `inside` for the place within the part: the symbol's text is "x + inside". */
static void open_part(Map *m, Point *p, int s, int64_t part, const char *inside, bool lanes) {
    bool opened;
    const char *x = open_parts(m->w, symbol_name(m, s), m->sp->symbol[s].n, part, lanes && !m->w->machine->avx512, &opened);
    p->text[s] = part == 1 ? x : text_plus(m->w, x, inside);
}

static void open_inside(Map *m, Point *p, int s, int64_t part, const char *inside, int64_t step) {
    Work *w = m->w;
    Size n = m->sp->symbol[s].n;
    int64_t whole;
    if (part == 1) return;
    if (s != m->vector && m->steps > 1) { /* they divide the part, which divides n */
        open_line(m, arena_printf(w->arena, "for %s in 0..%lld step %lld", inside, (long long)part, (long long)m->steps));
        return;
    }
    bool divides = size_is_const(n, &whole) && whole % part == 0, lanes = step > 1 && part % step;
    open_line(m, arena_printf(w->arena, "for %s in 0..%lld%s%s", inside, (long long)part,
                              step > 1 ? arena_printf(w->arena, " by %lld", (long long)step) : "", lanes ? " masked" : ""));
    if (!divides) open_line(m, arena_printf(w->arena, "if %s < %s", p->text[s], work_size(w, n)));
}

static const char *vector_limit(Map *m) {
    int64_t n;
    if (m->lanes == 1 || (size_is_const(m->sp->symbol[m->vector].n, &n) && n % m->lanes == 0)) return NULL;
    return work_size(m->w, m->sp->symbol[m->vector].n);
}

/* ---- what a pass needs */

static void need(Item *item) {
    if (item->outer || item->needed) return;
    item->needed = true;
    if (item->kept && item->kept_since >= 0) return; /* there already */
    for (int k = 0; k < item->n->n_in; k++)
        if (item->in[k].item) need(item->in[k].item);
    for (int i = 0; i < item->pieces.n; i++)
        if (item->pieces.at[i].x.item) need(item->pieces.at[i].x.item);
}

static int available(const Item *item) {
    return item->phase + is_reduce(item);
}

static void set_phases(Map *m) {
    m->passes = 0;
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        for (int k = 0; k < item->n->n_in; k++)
            if (item->in[k].item && available(item->in[k].item) > item->phase) item->phase = available(item->in[k].item);
        if (available(item) > m->passes) m->passes = available(item);
    }
}

/* The pass in which elements are stored: the last that a stored element waits for. */
static int store_pass(const Map *m) {
    int pass = -1;
    for (int i = 0; i < m->k->writes.n; i++) {
        const Item *item = items_find(m->items, m->k->writes.at[i]);
        if (!item->outer && item->phase > pass) pass = item->phase;
    }
    return pass;
}

/* ---- reductions */

static DType reduce_type(const Node *n) {
    switch ((ReduceFn)n->attrs.fn) {
    case REDUCE_SUM: return dtype_arithmetic(n->type.dtype);
    case REDUCE_ANY:
    case REDUCE_ALL: return DT_I32;
    case REDUCE_VAR:
    case REDUCE_MAX:
    case REDUCE_MIN:
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: break;
    }
    return dtype_arithmetic(n->in[0]->type.dtype);
}

/* What changes nothing: 0, or the end of the type's range. */
static const char *reduce_neutral(Work *w, const Node *n) {
    DType d = reduce_type(n);
    const char *name = dtype_name(d);
    bool low = n->attrs.fn == REDUCE_MAX || n->attrs.fn == REDUCE_ARGMAX;
    if (n->attrs.fn == REDUCE_SUM) return arena_printf(w->arena, "%s(0)", name);
    if (n->attrs.fn == REDUCE_ANY) return "i32(0)";
    if (n->attrs.fn == REDUCE_ALL) return "i32(1)";
    if (dtype_is_float(d)) return arena_printf(w->arena, "%s(%sinf)", name, low ? "-" : "");
    int bits = 8 * dtype_bytes(d);
    if (dtype_kind(d) == 'u') return arena_printf(w->arena, "%s(%lld)", name, low ? 0 : (1LL << bits) - 1);
    long long top = bits == 64 ? INT64_MAX : (1LL << (bits - 1)) - 1;
    return arena_printf(w->arena, "%s(%lld)", name, low ? -top - 1 : top);
}

static bool is_arg(const Node *n) {
    return n->attrs.fn == REDUCE_ARGMAX || n->attrs.fn == REDUCE_ARGMIN;
}

/* Does an element wait for a value of its column that is computed before the sums? */
static bool elements_wait(const Map *m) {
    bool *early = NEW_ARRAY(m->w->arena, bool, m->items->at.n);
    for (int i = m->items->at.n - 1; i >= 0; i--) {
        const Item *item = m->items->at.at[i];
        if (item->outer && !early[i] && !is_reduce(item)) continue;
        if (item->outer && early[i] && item->level != LEVEL_SCALAR) return true;
        for (int q = 0; q < i; q++) {
            for (int k = 0; k < item->n->n_in; k++) early[q] = early[q] || m->items->at.at[q] == item->in[k].item;
            for (int k = 0; k < item->pieces.n; k++) early[q] = early[q] || m->items->at.at[q] == item->pieces.at[k].x.item;
        }
    }
    return false;
}

/* So many vectors of columns at once that their sums do not wait for one another, and rows are read in longer pieces. */
static int64_t choose_beside(const Map *m) {
    int64_t n, most = BESIDE;
    if (!m->columns || m->lanes == 1 || m->passes != 1 || store_pass(m) >= 0 || m->w->device || m->w->small) return 1;
    if (!size_is_const(m->sp->symbol[m->vector].n, &n) || elements_wait(m)) return 1;
    int sums = 0;
    for (int i = 0; i < m->items->at.n; i++) {
        if (is_reduce(m->items->at.at[i]) && is_arg(m->items->at.at[i]->n)) return 1;
        sums += is_reduce(m->items->at.at[i]);
    }
    int registers = m->w->machine->avx512 ? BESIDE : BESIDE / 2;
    while (most > 1 && (most * sums > registers || n % (most * m->lanes) || n / (most * m->lanes) < STRIPS)) most /= 2;
    for (int i = 0; i < m->items->at.n && most > 1; i++) /* values of a column come after its sums */
        if (m->items->at.at[i]->outer && !is_reduce(m->items->at.at[i]) && m->items->at.at[i]->level != LEVEL_SCALAR) m->items->at.at[i]->phase = 1;
    return most;
}

/* The accumulator of the i-th item. */
static const char *sum_name(const Map *m, int i) {
    return arena_printf(m->w->arena, m->beside > 1 ? "r%d[c]" : "r%d", i);
}

/* Opens the loop over these for the sums; the column is one of theirs from here on. */
static void open_beside(Map *m, Point *p) {
    if (m->beside == 1) return;
    open_line(m, arena_printf(m->w->arena, "unroll c in 0..%lld", (long long)m->beside));
    p->text[m->vector] = arena_printf(m->w->arena, "%s + %d * c", p->text[m->vector], m->lanes);
}

/* The same for what comes after them. The sums go through a buffer, so that the code behind them exists once. */
static void open_sums(Map *m) {
    Work *w = m->w;
    if (m->beside == 1) return;
    for (int i = 0; i < m->items->at.n; i++) {
        const Item *item = m->items->at.at[i];
        if (!is_reduce(item)) continue;
        text_line(&w->body, "buf s%d: %s[%lld] stack", i, dtype_name(reduce_type(item->n)), (long long)m->beside * m->lanes);
        text_line(&w->body, "unroll c in 0..%lld { s%d[%d * c : %d] = %s }", (long long)m->beside, i, m->lanes, m->lanes, sum_name(m, i));
    }
    open_line(m, arena_printf(w->arena, "for c in 0..%lld by %d", (long long)m->beside * m->lanes, m->lanes));
    m->p.text[m->vector] = arena_printf(w->arena, "%s + c", m->p.text[m->vector]);
}

static void reduce_begin(Map *m, Item *item, int i) {
    Work *w = m->w;
    const char *lanes = m->lanes > 1 ? arena_printf(w->arena, "x%d", m->lanes) : "";
    const char *beside = m->beside > 1 ? arena_printf(w->arena, "[%lld]", (long long)m->beside) : "";
    text_line(&w->body, "reg r%d: %s%s%s = %s", i, dtype_name(reduce_type(item->n)), lanes, beside, reduce_neutral(w, item->n));
    if (is_arg(item->n))
        text_line(&w->body, "reg p%d: i32%s = %s", i, lanes,
                  m->lanes > 1 ? arena_printf(w->arena, "iota(%d)", m->lanes) : "i32(0)");
}

/* r = r + x, or the larger or the smaller of them. */
static void reduce_join(Work *w, const Node *n, const char *r, const char *x) {
    const char *fn = n->attrs.fn == REDUCE_MAX || n->attrs.fn == REDUCE_ANY ? "max" : "min";
    if (n->attrs.fn == REDUCE_SUM) text_line(&w->body, "%s = %s + %s", r, r, x);
    else text_line(&w->body, "%s = %s(%s, %s)", r, fn, r, x);
}

static void reduce_step(Map *m, Point *p, Item *item, int i, bool dead_lanes) {
    Work *w = m->w;
    const Node *n = item->n;
    DType d = reduce_type(n), from = dtype_arithmetic(n->in[0]->type.dtype);
    bool vector;
    const char *x = item->in[0].item ? item->in[0].item->value : point_load(p, item->in[0].access, false, &vector);
    if (from != d) x = arena_printf(w->arena, "%s(%s)", dtype_name(d), x);
    if (dead_lanes) x = arena_printf(w->arena, "select(live, %s, %s)", x, reduce_neutral(w, n));
    const char *r = sum_name(m, i);
    switch ((ReduceFn)n->attrs.fn) {
    case REDUCE_SUM:
    case REDUCE_MAX:
    case REDUCE_ANY:
    case REDUCE_MIN:
    case REDUCE_ALL: reduce_join(w, n, r, x); break;
    case REDUCE_VAR: bug("a variance in kernel %d", m->k->index);
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: {
        const char *place = arena_printf(w->arena, "i32(%s)", affine_text(w, p, item->linear));
        if (m->lanes > 1) place = arena_printf(w->arena, "%s + iota(%d)", place, m->lanes);
        text_line(&w->body, "let e%d = %s", i, x);
        text_line(&w->body, "let c%d = or(e%d %s r%d, and(e%d != e%d, r%d == r%d))", i, i,
                  n->attrs.fn == REDUCE_ARGMAX ? ">" : "<", i, i, i, i, i);
        text_line(&w->body, "r%d = select(c%d, e%d, r%d)", i, i, i, i);
        text_line(&w->body, "p%d = select(c%d, %s, p%d)", i, i, place, i);
        break;
    }
    }
}

static void reduce_end(Map *m, Item *item, int i) {
    Work *w = m->w;
    const Node *n = item->n;
    bool across = m->lanes > 1 && !m->columns;
    const char *e = m->beside > 1 ? arena_printf(w->arena, "s%d[c : %d]", i, m->lanes) : sum_name(m, i);
    switch ((ReduceFn)n->attrs.fn) {
    case REDUCE_SUM: e = across ? arena_printf(w->arena, "hadd(%s)", e) : e; break;
    case REDUCE_MAX: e = across ? arena_printf(w->arena, "hmax(%s)", e) : e; break;
    case REDUCE_MIN: e = across ? arena_printf(w->arena, "hmin(%s)", e) : e; break;
    case REDUCE_ANY: e = arena_printf(w->arena, across ? "hmax(%s) > 0" : "%s > 0", e); break;
    case REDUCE_ALL: e = arena_printf(w->arena, across ? "hmin(%s) > 0" : "%s > 0", e); break;
    case REDUCE_VAR: break;
    case REDUCE_ARGMAX:
    case REDUCE_ARGMIN: /* of equals, and of NaNs, the lowest place */
        e = arena_printf(w->arena, "p%d", i);
        if (!across) break;
        text_line(&w->body, "let b%d = %s(r%d)", i, n->attrs.fn == REDUCE_ARGMAX ? "hmax" : "hmin", i);
        e = arena_printf(w->arena, "hmin(select(or(r%d == b%d, r%d != r%d), p%d, i32(2147483647)))", i, i, i, i, i);
        break;
    }
    DType d = n->type.dtype;
    if (dtype_arithmetic(d) != d) e = arena_printf(w->arena, "f32(%s(%s))", dtype_name(d), e);
    item->value = arena_printf(w->arena, "v%d", ++w->names);
    item->vector = m->columns && m->lanes > 1;
    text_line(&w->body, "let %s = %s", item->value, e);
}

/* ---- a long row in parts */

/* The most elements of the kernel, or of those that run at once with it; 0: that is not known. */
static int64_t longest_row(const Map *m) {
    int64_t most = 0, n;
    int first = m->w->at_once ? m->k->index - m->k->turn : m->k->index;
    for (int i = first; i < first + (m->w->at_once ? m->k->together : 1); i++) {
        const Kernel *k = m->w->plan->kernels.at[i];
        if (!size_is_const(type_count(m->w->plan->graph, &k->space), &n)) return 0;
        if (n > most) most = n;
    }
    return most;
}

static bool goes_by_parts(const Map *m) {
    const Kernel *k = m->k;
    if (!m->w->device || k->kind != KERNEL_MAP || !k->row || k->row < k->space.rank || k->limit.seen) return false;
    int64_t n = longest_row(m);
    if (n < PARTS_WORTH || n > PART * PARTS_MOST || m->n_outer || m->n_inner != 1 || m->vector < 0 || m->lanes == 1) return false;
    for (int i = 0; i < m->items->at.n; i++)
        if (is_reduce(m->items->at.at[i]) && (m->items->at.at[i]->phase || is_arg(m->items->at.at[i]->n))) return false;
    return store_pass(m) <= 0;
}

/* Where the parts leave the result of the i-th item, a reduction. */
static const char *part_sums(Map *m, int i, const char *suffix) {
    int sums = 0, before = 0;
    for (int k = 0; k < m->items->at.n; k++) {
        before += k < i && is_reduce(m->items->at.at[k]);
        sums += is_reduce(m->items->at.at[k]);
    }
    DType d = reduce_type(m->items->at.at[i]->n);
    const int64_t each = PARTS_MOST * 8; /* bytes; the widest type has 8 */
    const char *type = arena_printf(m->w->arena, "%s[%s]%s", dtype_name(d), work_size(m->w, m->parts), suffix);
    return work_shared(m->w, (m->w->at_once ? m->k->turn : 0) * sums * each + before * each, each, type);
}

static void part_end(Map *m, Item *item, int i) {
    const char *fn = item->n->attrs.fn == REDUCE_SUM ? "hadd" : item->n->attrs.fn == REDUCE_MAX || item->n->attrs.fn == REDUCE_ANY ? "hmax" : "hmin";
    text_line(&m->w->body, "%s[part] = %s(%s)", part_sums(m, i, " out"), fn, sum_name(m, i));
}

/* The second call. */
static void parts_join(Map *m) {
    Work *w = m->w;
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        if (item->outer && !is_reduce(item) && !item->phase) point_value(&m->p, item);
        if (is_reduce(item)) reduce_begin(m, item, i);
    }
    const char *n = work_size(w, m->parts), *at = open_lanes(w, "part", 0, m->parts, m->lanes);
    text_line(&w->body, "let live = iota(%d) < i32(%s - (%s))", m->lanes, n, at);
    for (int i = 0; i < m->items->at.n; i++) {
        const Item *item = m->items->at.at[i];
        if (!is_reduce(item)) continue;
        const char *sum = arena_printf(w->arena, "%s[%s : %d < %s]", part_sums(m, i, ""), at, m->lanes, n);
        reduce_join(w, item->n, sum_name(m, i), arena_printf(w->arena, "select(live, %s, %s)", sum, reduce_neutral(w, item->n)));
    }
    text_close(&w->body, 1);
    for (int i = 0; i < m->items->at.n; i++)
        if (is_reduce(m->items->at.at[i])) reduce_end(m, m->items->at.at[i], i);
    for (int i = 0; i < m->items->at.n; i++)
        if (m->items->at.at[i]->outer && !is_reduce(m->items->at.at[i]) && m->items->at.at[i]->phase) point_value(&m->p, m->items->at.at[i]);
    for (int i = 0; i < m->k->writes.n; i++) {
        const Item *item = items_find(m->items, m->k->writes.at[i]);
        if (item->outer) point_store(&m->p, m->stores.at[i], item->value);
    }
}

/* ---- a pass */

static bool uses_inner(const Map *m, const Affine *a) {
    for (int i = 0; i < m->n_inner; i++)
        if (affine_uses(m->sp, a, m->inner[i])) return true;
    return false;
}

/* What does not change in the inner loops is loaded before them. */
static void hoist(Map *m, Point *p, Operand o) {
    if (!o.access || o.access->base->op == OP_CONST || o.access->base->op == OP_SIZE) return;
    bool unused;
    if (m->beside > 1 && affine_uses(m->sp, &o.access->at, m->vector)) return; /* of each column */
    if (!uses_inner(m, &o.access->at)) {
        if (o.access->base->op != OP_IOTA) point_load(p, o.access, false, &unused);
        return;
    }
    for (int s = 0; s < m->sp->n; s++) {
        if (!o.access->at.coef[s] || m->sp->symbol[s].axis >= 0) continue;
        Affine *one = affine_const(m->sp, size_const(m->w->table, 0));
        one->coef[s] = size_const(m->w->table, 1);
        if (!uses_inner(m, one)) point_derived(p, one);
    }
}

/* Marks the elements that a pass computes. False: the pass has nothing to do. */
static bool mark_needed(Map *m, int pass) {
    bool stores = store_pass(m) == pass, any = stores;
    for (int i = 0; i < m->items->at.n; i++) m->items->at.at[i]->needed = false;
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        if (!is_reduce(item) || item->phase != pass) continue;
        any = true;
        if (item->in[0].item) need(item->in[0].item);
    }
    for (int i = 0; stores && i < m->k->writes.n; i++) need(items_find(m->items, m->k->writes.at[i]));
    return any;
}

/* Worth a store and a load for each pass that would compute it again. */
static bool is_dear(Op op) {
    return op == OP_EXP || op == OP_EXPM1 || op == OP_LOG || op == OP_LOG1P || op == OP_TANH || op == OP_ERF ||
           op == OP_SIGMOID || op == OP_SIN || op == OP_COS || op == OP_POW || op == OP_ATAN2 || op == OP_RANDOM || op == OP_SQRT ||
           op == OP_RSQRT || op == OP_GATHER;
}

#define ROW_KEPT 8192 /* bytes of a kept row; four at most: a part of the first cache level and of the stack */

/* Dear elements that several passes need are kept in a buffer of one row. */
static void choose_kept(Map *m) {
    int64_t low, high;
    int kept = 0;
    if (m->n_inner != 1 || m->columns) return;
    size_range(m->sp->symbol[m->inner[0]].n, &low, &high);
    if (high > ROW_KEPT / 4) return;
    int *passes = NEW_ARRAY(m->w->arena, int, m->items->at.n);
    for (int pass = 0; pass <= m->passes; pass++) {
        mark_needed(m, pass);
        for (int i = 0; i < m->items->at.n; i++) passes[i] += m->items->at.at[i]->needed;
    }
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        DType d = dtype_arithmetic(item->n->type.dtype);
        if (passes[i] < 2 || !is_dear(item->n->op) || kept == 4 || d == DT_BOOL || high * dtype_bytes(d) > ROW_KEPT) continue;
        item->kept = arena_printf(m->w->arena, "k%d", kept++);
        item->kept_since = -1;
        int64_t room = high + m->lanes; /* the last vector may begin at its end */
        text_line(&m->w->body, "buf %s: %s[%lld] stack", item->kept, dtype_name(d), (long long)room);
    }
}

static void kept_value(Map *m, Point *p, Item *item, int pass) {
    Work *w = m->w;
    const char *place = p->lanes > 1 ? arena_printf(w->arena, "%s[%s : %d]", item->kept, p->text[m->vector], p->lanes)
                                     : arena_printf(w->arena, "%s[%s]", item->kept, p->text[m->inner[0]]);
    if (item->kept_since < 0) {
        point_value(p, item);
        text_line(&w->body, "%s = %s", place, item->value);
        item->kept_since = pass;
        return;
    }
    item->value = arena_printf(w->arena, "v%d", ++w->names);
    item->vector = p->lanes > 1;
    text_line(&w->body, "let %s = %s", item->value, place);
}

/* ---- holes of rows.tile */

/* The symbols of the nest, outermost first; the last one before the row in parts, if rows are short. */
static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    Space *sp = m->sp;
    int blocked = -1;
    int64_t block = 1;
    if (m->parts) {
        text_line(&m->w->body, "parallel part in 0..%s {", work_size(m->w, m->parts));
        m->w->count = m->parts;
        m->p.text[m->vector] = arena_printf(m->w->arena, "%d*part + j", PART);
    }
    for (int i = 0; i < m->n_outer; i++) {
        int s = m->outer[i];
        if (m->columns && s == m->vector) {
            open_part(m, &m->p, s, m->lanes * m->beside, "0", true);
            m->p.limit = vector_limit(m);
            continue;
        }
        int64_t part = 1;
        if (i == m->n_outer - 1 && !m->columns && !m->chunk && m->inner_elements < grain(m)) {
            int64_t rows = estimate(sp->symbol[s].n), wish = grain(m) / m->inner_elements;
            if (wish > rows) wish = rows;
            part = m->steps > 1 ? part_of_steps(sp->symbol[s].n, wish, m->steps) : part_of(sp->symbol[s].n, wish, 1);
            blocked = s;
            block = part;
        }
        open_part(m, &m->p, s, part, "r", false);
    }
    if (m->chunk) open_part(m, &m->p, m->vector, m->chunk, "j", true);
    if (blocked >= 0) open_inside(m, &m->p, blocked, block, "r", 1);
    return "";
}

static const char *fill_buffers(void *context, const char *const *args) {
    (void)args;
    choose_kept(context);
    return "";
}

static const char *fill_row_values(void *context, const char *const *args) {
    Map *m = context;
    m->pass = atoi(args[0]);
    if (m->parts && m->pass) return ""; /* the second call has them */
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        if (item->outer && !is_reduce(item) && item->phase == m->pass) point_value(&m->p, item);
    }
    return "";
}

static const char *fill_needed(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    return mark_needed(m, m->pass) ? "1" : "0";
}

static const char *fill_hoisted(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        if (is_reduce(item) && item->phase == m->pass && item->in[0].access) hoist(m, &m->p, item->in[0]);
        if (!item->needed || (item->kept && item->kept_since >= 0)) continue;
        for (int k = 0; k < item->n->n_in; k++) hoist(m, &m->p, item->in[k]);
        for (int k = 0; k < item->pieces.n; k++) hoist(m, &m->p, item->pieces.at[k].x);
    }
    return "";
}

static const char *fill_start(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    for (int i = 0; i < m->items->at.n; i++)
        if (is_reduce(m->items->at.at[i]) && m->items->at.at[i]->phase == m->pass) reduce_begin(m, m->items->at.at[i], i);
    return "";
}

static const char *fill_walk(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    Work *w = m->w;
    m->q = point_inside(&m->p);
    if (!m->columns) m->q.vector = m->vector;
    for (int i = 0; i < m->n_inner; i++) {
        int s = m->inner[i];
        Size n = m->sp->symbol[s].n;
        if (s == m->vector && (m->chunk || m->parts)) {
            open_inside(m, &m->q, s, m->parts ? PART : m->chunk, "j", m->lanes);
            continue;
        }
        m->q.text[s] = symbol_name(m, s);
        if (s == m->vector && m->lanes > 1) m->q.text[s] = open_lanes(w, m->q.text[s], 0, n, m->lanes);
        else open_line(m, arena_printf(w->arena, "for %s in 0..%s", m->q.text[s], work_size(w, n)));
    }
    if (m->vector >= 0) m->q.limit = vector_limit(m);
    open_beside(m, &m->q);
    return "";
}

static void elements(Map *m) {
    bool dead = m->q.limit && !m->columns, live = false;
    for (int i = 0; i < m->items->at.n; i++) {
        Item *item = m->items->at.at[i];
        if (item->inside) continue;
        if (item->needed && item->taps) taps_value(&m->q, item);
        else if (item->needed && item->kept) kept_value(m, &m->q, item, m->pass);
        else if (item->needed) point_value(&m->q, item);
        if (!is_reduce(item) || item->phase != m->pass) continue;
        if (dead && !live)
            text_line(&m->w->body, "let live = iota(%d) < i32(%s - (%s))", m->lanes, m->q.limit, m->q.text[m->vector]);
        live = true;
        reduce_step(m, &m->q, item, i, dead);
    }
    for (int i = 0; store_pass(m) == m->pass && i < m->k->writes.n; i++) {
        const Item *item = items_find(m->items, m->k->writes.at[i]);
        if (!item->outer) point_store(&m->q, m->stores.at[i], item->value);
    }
}

static const char *fill_elements(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    if (m->steps > 1) m->q.stepped = m->outer[m->n_outer - 1];
    const char *first = m->steps > 1 ? m->q.text[m->q.stepped] : NULL;
    for (int64_t step = 0; step < m->steps; step++) {
        m->q.step = step;
        if (step) m->q.text[m->q.stepped] = arena_printf(m->w->arena, "%s + %lld", first, (long long)step);
        elements(m);
    }
    return "";
}

static const char *fill_finish(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    open_sums(m);
    for (int i = 0; i < m->items->at.n; i++)
        if (is_reduce(m->items->at.at[i]) && m->items->at.at[i]->phase == m->pass) (m->parts ? part_end : reduce_end)(m, m->items->at.at[i], i);
    return "";
}

static const char *fill_stores(void *context, const char *const *args) {
    (void)args;
    Map *m = context;
    for (int i = 0; i < m->k->writes.n; i++) {
        Item *item = items_find(m->items, m->k->writes.at[i]);
        if (item->outer && !m->parts) point_store(&m->p, m->stores.at[i], item->value);
    }
    return "";
}

static const Hole HOLES[] = {
    {"nest", 0, fill_nest},
    {"buffers", 0, fill_buffers},
    {"row_values", 1, fill_row_values},
    {"needed", 0, fill_needed},
    {"hoisted", 0, fill_hoisted},
    {"start", 0, fill_start},
    {"walk", 0, fill_walk},
    {"elements", 0, fill_elements},
    {"finish", 0, fill_finish},
    {"stores", 0, fill_stores},
    {NULL, 0, NULL},
};

/* ---- a kernel */

/* Of a row that is looked at in part, the symbol is as long as that part. */
static void limit_row(Map *m) {
    const Limit *limit = &m->k->limit;
    for (int s = 0; limit->seen && s < m->sp->n; s++) {
        Symbol *symbol = &m->sp->symbol[s];
        if (symbol->gone || symbol->axis != limit->axis) continue;
        if (symbol->n != m->k->space.dim[limit->axis]) bug("kernel %d: a row that is looked at in part is not one symbol", m->k->index);
        symbol->n = limit->seen;
        return;
    }
}

/* The loops: symbols merged, one along the lanes, passes. */
static void map_begin(Map *m) {
    Work *w = m->w;
    space_merge(m->sp, m->class, m->k->row || m->k->kind == KERNEL_REDUCE ? 0 : w->machine->lanes);
    limit_row(m);
    choose_vector(m);
    set_phases(m);
    m->beside = choose_beside(m);
    m->p = point_new(w, m->items, m->lanes, m->columns ? m->vector : -1);
    m->steps = 1;
    m->parts = goes_by_parts(m) ? size_ceildiv(m->sp->symbol[m->vector].n, size_const(w->table, PART)) : NULL;
}

static void emit(Map *m) {
    Work *w = m->w;
    Space *sp = m->sp;
    map_begin(m);
    m->inner_elements = 1;
    bool rows = m->k->row > 0 || m->k->kind == KERNEL_REDUCE;
    if (!rows && m->lanes > 1) turn_inside(m);
    for (int i = 0; i < m->n_inner; i++) m->inner_elements *= estimate(sp->symbol[m->inner[i]].n);
    if (!rows && m->vector >= 0) {
        int64_t low, high, others = m->inner_elements / estimate(sp->symbol[m->vector].n);
        size_range(sp->symbol[m->vector].n, &low, &high);
        if (high > 2 * grain(m) / others) m->chunk = part_of(sp->symbol[m->vector].n, grain(m) / others, m->lanes);
    }
    bool blocks = !rows && !m->chunk && m->n_outer && m->n_inner == 1 && m->lanes > 1 && m->inner_elements < grain(m);
    if (!w->device && !m->columns && m->lanes > 1) {
        taps_find(w, m->items, m->vector, m->lanes);
        channels_side_by_side(w, sp, m->vector);
    }
    m->steps = blocks && !w->device ? windows_steps(m->items, m->outer[m->n_outer - 1], m->vector) : 1;
    m->t = template_new(&w->body, "rows.tile", HOLES, m);
    template_number(m->t, "PASSES", m->passes + 1);
    template_run(m->t, "rows");
}

static void set_classes(Map *m) {
    const Kernel *k = m->k;
    for (int a = 0; a < k->space.rank; a++) m->class[a] = k->row > 0 && a >= k->space.rank - k->row;
    if (k->kind != KERNEL_REDUCE) return;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        if (n->op != OP_REDUCE) continue;
        for (int j = 0; j < n->attrs.n_axes; j++) m->class[n->attrs.axes[j]] = 1;
        return;
    }
}

/* Where the places along `axis` begin that a concat or a pad takes from different operands; 0: no cuts. */
static int node_cuts(const Node *n, Space *sp, int *axis, Size *cut) {
    int cuts = 0;
    Size at = size_const(sp->table, 0);
    if (n->op == OP_CONCAT) {
        *axis = n->attrs.axis;
        for (int k = 0; k + 1 < n->n_in && cuts < 60; k++) {
            at = size_add(at, n->in[k]->type.dim[n->attrs.axis]);
            cut[cuts++] = at;
        }
    } else if (n->op == OP_PAD) {
        int padded = 0;
        for (int i = 0; i < n->type.rank; i++) {
            if (size_is(n->attrs.lo[i], 0) && size_is(n->attrs.hi[i], 0)) continue;
            *axis = i;
            padded++;
        }
        if (padded == 0 || (padded > 1 && *axis < n->type.rank - 1)) return 0; /* tests of rows cost little, of lanes all */
        if (!size_is(n->attrs.lo[*axis], 0)) cut[cuts++] = n->attrs.lo[*axis];
        if (!size_is(n->attrs.hi[*axis], 0)) cut[cuts++] = size_sub(n->type.dim[*axis], n->attrs.hi[*axis]);
    }
    return cuts;
}

/* Adds a cut in order; false: the order cannot be proven, or there are too many. */
static bool insert_cut(Size *cuts, int *n, Size cut) {
    int place = *n;
    for (int i = 0; i < *n; i++)
        if (cuts[i] == cut) return true;
    for (; place > 0; place--) {
        int64_t low, high;
        size_range(size_sub(cut, cuts[place - 1]), &low, &high);
        if (low >= 0) break;
        if (high > 0) return false;
    }
    if (*n == 62) return false;
    memmove(cuts + place + 1, cuts + place, sizeof *cuts * (size_t)(*n - place));
    cuts[place] = cut;
    ++*n;
    return true;
}

/* The common axis of all concats and pads, and the cuts along it, or -1. */
static int find_cuts(const Kernel *k, Space *sp, Size *cuts, int *n) {
    int axis = -1;
    *n = 0;
    if (k->kind != KERNEL_MAP || k->row) return -1;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *node = k->nodes.at[i];
        Size mine[64];
        int its = -1, count = node_cuts(node, sp, &its, mine);
        if (!count || k->levels.at[i] != LEVEL_FULL) continue;
        bool same = node->type.rank == k->space.rank;
        for (int a = 0; same && a < node->type.rank; a++) same = node->type.dim[a] == k->space.dim[a];
        if (!same || (axis >= 0 && axis != its)) return -1;
        axis = its;
        for (int c = 0; c < count; c++)
            if (!insert_cut(cuts, n, mine[c])) return -1;
    }
    return axis;
}

/* The map of a work for a part of the space, or (dim NULL) for all of it as one axis. */
static Map map_new(Work *w, const Size *dim) {
    Map m = {.w = w, .k = w->k, .flat = !dim};
    m.sp = dim ? space_new(w->arena, w->table, w->k->space.rank, dim) : space_new(w->arena, w->table, 1, &w->k->flat);
    if (dim) set_classes(&m);
    else m.class[0] = w->k->row > 0;
    return m;
}

static void map_finish(Map *m, const Size *dim, KernelCode *code) {
    make_items(m);
    emit(m);
    work_finish(m->w, code);
    if (!m->parts) return;
    Map sums = map_new(work_new(m->w->s, m->w->plan, m->k, "sums"), dim);
    make_items(&sums);
    map_begin(&sums);
    parts_join(&sums);
    work_finish(sums.w, code);
}

void schedule_map(Work *w, KernelCode *code) {
    const Kernel *k = w->k;
    if (w->at_once && k->flat) {
        Map m = map_new(w, NULL);
        map_finish(&m, NULL, code);
        return;
    }
    Space *whole = space_new(w->arena, w->table, k->space.rank, k->space.dim);
    Size cuts[64];
    int n_cuts, axis = find_cuts(k, whole, cuts, &n_cuts);
    if (axis < 0) n_cuts = 0;
    for (int c = 0; c <= n_cuts; c++) {
        Size dim[MAX_RANK];
        memcpy(dim, k->space.dim, sizeof dim);
        Size begin = c ? cuts[c - 1] : size_const(w->table, 0);
        if (n_cuts) dim[axis] = size_sub(c < n_cuts ? cuts[c] : k->space.dim[axis], begin);
        Map m = map_new(c ? work_new(w->s, w->plan, k, w->kind) : w, dim);
        if (n_cuts && c) m.sp->origin[axis] = begin;
        map_finish(&m, dim, code);
    }
}
