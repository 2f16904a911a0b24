/* contract_fill.c -- the holes of contract.tile: loops around a tile, addresses of operands, the maps behind the sums. */
#include "codegen/contract.h"

#include <string.h>

enum {
    UNROLLED = 96, /* multiplications of a loop body, at most */
    ASKED = 4,     /* of so many lines that a stream will want it asks for one */
    TURNS = 4      /* of a short loop that is written out, at most */
};

/* ---- the nest */

static void open_line(Contract *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void open_line(Contract *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    text_line(&c->w->body, "%s {", arena_vprintf(c->w->arena, format, ap));
    va_end(ap);
}

static void open_parallel(Contract *c, int s, int64_t by, bool rest) {
    bool opened;
    c->p.text[s] =
        open_parts(c->w, arena_printf(c->w->arena, "x%d", s), c->sp->symbol[s].n, by, rest && !c->w->machine->avx512, &opened);
}

/* The first `n` symbols of a group. */
static void open_outer(Contract *c, Group g, int n) {
    for (int i = 0; i < n; i++) open_parallel(c, c->symbol[g][i], 1, false);
}

static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    bool inside = c->mq < c->n[GROUP_M] - 1, opened; /* a block holds all rows of the last symbol, or of the last two */
    if (c->split) c->split_part = open_parts(c->w, "part", size_const(c->w->table, c->split_parts), 1, false, &opened);
    open_outer(c, GROUP_BATCH, c->n[GROUP_BATCH]);
    open_outer(c, GROUP_M, c->sm < 0 ? 0 : c->mq);
    open_outer(c, GROUP_N, c->sn < 0 ? 0 : c->nq);
    int64_t columns = c->panels > 1 ? c->panels * c->width : c->width;
    if (c->sn >= 0 && c->columns_first) open_parallel(c, c->sn, columns, true);
    const char *flat = NULL;
    if (c->flat) flat = open_parts(c->w, "yx", c->size_m, c->mb, false, &opened);
    else if (c->sm >= 0) open_parallel(c, c->symbol[GROUP_M][c->mq], inside ? c->mc : c->mb, false);
    if (c->sn >= 0 && !c->columns_first) open_parallel(c, c->sn, columns, true);
    template_set(c->t, "i0", flat ? flat : c->sm < 0 || inside ? "0" : c->p.text[c->sm]);
    template_set(c->t, "j0", c->sn < 0 ? "0" : c->p.text[c->sn]);
    if (inside && !c->flat) c->m_first = c->p.text[c->symbol[GROUP_M][c->mq]];
    return "";
}

int64_t contract_symbol_size(const Contract *c, int s) {
    return size_value(c->sp->symbol[s].n);
}

const char *contract_flat(Contract *c, const char *before, int s, const char *name) {
    return *before ? arena_printf(c->w->arena, "%lld*(%s) + %s", (long long)contract_symbol_size(c, s), before, name) : name;
}

/* Loops over the symbols of n and m in a block but the last ones. Sets base: where the rows of the last one begin in the block.
 */
static const char *fill_m_loops(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    const char *base = "";
    for (int i = c->nq; i < c->n[GROUP_N] - 1; i++) {
        int s = c->symbol[GROUP_N][i];
        const char *name = c->p.text[s] = arena_printf(c->w->arena, "n_%d", i);
        open_line(c, "for %s in 0..%lld", name, (long long)contract_symbol_size(c, s));
        base = contract_flat(c, base, s, name);
    }
    for (int i = c->mq; i < c->n[GROUP_M] - 1 && !c->flat; i++) {
        int s = c->symbol[GROUP_M][i];
        const char *name = arena_printf(c->w->arena, "m%d", i);
        Size n = c->sp->symbol[s].n;
        int64_t whole, count = i == c->mq ? c->mc : contract_symbol_size(c, s);
        if (i == c->mq && count == 1) {
            c->p.text[s] = c->m_first;
            continue;
        }
        open_line(c, "for %s in 0..%lld", name, (long long)count);
        c->p.text[s] = i == c->mq ? text_plus(c->w, c->m_first, name) : name;
        if (i == c->mq && !(size_is_const(n, &whole) && whole % count == 0))
            open_line(c, "if %s < %s", c->p.text[s], work_size(c->w, n));
        base = *base ? arena_printf(c->w->arena, "%lld*(%s) + %s", (long long)count, base, name) : name;
    }
    template_set(c->t, "base", *base ? arena_printf(c->w->arena, "%lld*(%s) + ", (long long)c->mb, base) : "");
    return "";
}

const char *contract_fill_scalars(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i < c->items->at.n && !c->split; i++)
        if (c->items->at.at[i]->outer) point_value(&c->p, c->items->at.at[i]);
    return "";
}

/* Two halves of the bytes of a prologue become constants. */
static const char *loop_word(const Contract *c, int s) {
    return c->prologue && size_is(c->sp->symbol[s].n, 2) ? "unroll" : "for";
}

/* Loops over the symbols of k outside of a block; their names stay in the point. */
static const char *fill_outer_k(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i < c->kq; i++) {
        int s = c->symbol[GROUP_K][i];
        const char *name = arena_printf(c->w->arena, "x%d", s);
        bool piece = c->split && s == c->split_symbol;
        open_line(c, "%s %s in 0..%s", loop_word(c, s), name, piece ? template_get(c->t, "longest") : work_size(c->w, c->sp->symbol[s].n));
        c->p.text[s] = piece ? arena_printf(c->w->arena, "%s%s", template_get(c->t, "begin"), name) : name;
    }
    return "";
}

/* Opens a loop over symbol i of k, in a block: all of it, or kb elements from k0 on. Returns its index in the block; *index:
 * along the symbol. */
static const char *open_block_symbol(Contract *c, int s, bool first, const char *name, const char *kb, const char **index) {
    open_line(c, "%s %s in 0..%s", first ? "for" : loop_word(c, s), name, first ? kb : work_size(c->w, c->sp->symbol[s].n));
    *index = first ? text_plus(c->w, template_get(c->t, "k0"), name) : name;
    return name;
}

/* Loops of packing over the symbols of k in a block but the last. Sets before: the row of the panel at which the last one
 * begins; last, from: how many elements of it, from where. */
static const char *fill_pack_loops(void *context, const char *const *args) {
    Contract *c = context;
    const char *row = "", *index;
    int last = c->n[GROUP_K] - 1;
    for (int i = c->kq; i < last; i++) {
        int s = c->symbol[GROUP_K][i];
        const char *name = open_block_symbol(c, s, i == c->kq, arena_printf(c->w->arena, "q%d", i), args[0], &index);
        c->p.text[s] = index;
        row = contract_flat(c, row, s, name);
    }
    template_set(c->t, "before",
                 *row ? arena_printf(c->w->arena, "%lld*(%s) + ", (long long)contract_symbol_size(c, c->sk), row) : "");
    template_set(c->t, "last", c->kq == last ? args[0] : work_size(c->w, c->size_k));
    template_set(c->t, "from", c->kq == last ? template_get(c->t, "k0") : "0");
    return "";
}

/* Is the innermost of several loops of the product over so few steps (the channels of a picture) that computing the places of its
 * elements anew for each round of it takes longer than its sums? Then it becomes constants. */
static bool is_short(const Contract *c, int run) {
    int64_t n;
    return run > 0 && run == c->n_runs - 1 && size_is_const(c->sp->symbol[c->run[run]].n, &n) && n * c->mr * c->nv <= UNROLLED;
}

/* Loops of the product over a block of k. Sets k: the index along the last, row: the row of the panel. */
static const char *fill_k_loops(void *context, const char *const *args) {
    Contract *c = context;
    const char *row = "";
    for (int i = 0; i < c->n_runs; i++) {
        int s = c->run[i];
        bool first = i == 0 && !c->k_whole;
        const char *count = i == 0 && s == c->symbol[GROUP_K][c->kq] ? args[0] : work_size(c->w, c->sp->symbol[s].n);
        const char *name = arena_printf(c->w->arena, i == c->n_runs - 1 ? "k" : "k_%d", i);
        open_line(c, "%s %s in 0..%s", is_short(c, i) ? "unroll" : "for", name, count);
        if (c->asks) name = "kq + k";
        c->p.text[s] = first ? text_plus(c->w, template_get(c->t, "k0"), name) : name;
        row = contract_flat(c, row, s, name);
    }
    c->k_text = c->p.text[c->run[c->n_runs - 1]];
    template_set(c->t, "k", c->k_text);
    template_set(c->t, "row", row);
    return "";
}

static const char *fill_k_lanes(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    const char *k = "0";
    if (c->sk >= 0 && c->dot_lanes > 1) {
        k = open_lanes(c->w, "k", c->summed, c->size_k, c->dot_lanes);
    } else if (c->sk >= 0) {
        k = "k";
        open_line(c, "for k in 0..%s", work_size(c->w, c->size_k));
    }
    template_set(c->t, "k", k);
    return "";
}

/* The panels of a copy: one block of them for each place of B's outer symbols. Names do not depend on the product that asks:
 * equal copies have equal texts. */
static const char *fill_copy_nest(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    bool opened;
    int n = 0;
    for (int s = 0; s < c->sp->n; s++) {
        const char *name = arena_printf(c->w->arena, "x%d", n);
        if (!c->pack_stride[s]) continue;
        c->p.text[s] = open_parts(c->w, name, c->sp->symbol[s].n, 1, false, &opened);
        n++;
    }
    c->p.text[c->sn] = open_parts(c->w, "j", c->size_n, c->width, !c->w->machine->avx512, &opened);
    template_set(c->t, "j0", c->p.text[c->sn]);
    return "";
}

/* ---- elements */

static const char *limit_of(Contract *c, Size n, int64_t lanes) {
    int64_t whole;
    return size_is_const(n, &whole) && whole % lanes == 0 ? NULL : work_size(c->w, n);
}

/* The maps that make b, at a point. */
static const char *prologue_value(Contract *c, Point *p) {
    Item *last = NULL;
    for (int i = 0; i < c->items->at.n; i++) {
        if (c->items->at.at[i]->level != LEVEL_B) continue;
        last = c->items->at.at[i];
        point_value(p, last);
    }
    return last->vector || p->lanes == 1 ? last->value : arena_printf(c->w->arena, "splat(%s, %d)", last->value, p->lanes);
}

/* Row i; y|x where two symbols are counted as one. */
static void set_row(const Contract *c, Point *p, const char *i) {
    const char *bar = c->flat ? strchr(i, '|') : NULL;
    if (bar) p->text[c->symbol[GROUP_M][c->n[GROUP_M] - 2]] = arena_printf(c->w->arena, "%.*s", (int)(bar - i), i);
    p->text[c->sm] = bar ? bar + 1 : i;
}

static Point element_point(Contract *c, const char *i, const char *j, const char *k, int lanes, int vector, int64_t divides) {
    Point p = point_inside(&c->p);
    if (c->sm >= 0 && i) set_row(c, &p, i);
    if (c->sn >= 0) p.text[c->sn] = j;
    if (c->sk >= 0) p.text[c->sk] = k;
    p.lanes = lanes;
    p.vector = lanes > 1 ? vector : -1;
    p.limit = lanes > 1 ? limit_of(c, vector == c->sk ? c->size_k : c->size_n, divides) : NULL;
    return p;
}

const char *contract_place(Contract *c, Access *x, const char *i, const char *j, const char *k, int lanes, int vector, int64_t divides) {
    Point p = element_point(c, i, j, k, lanes, vector, divides);
    return point_place(&p, x, "");
}

const char *contract_prologue(Contract *c, const char *j, const char *k, int lanes, int64_t divides) {
    Point p = element_point(c, NULL, j, k, lanes, c->sk, divides);
    return prologue_value(c, &p);
}

/* The same as a number of the sums' type. */
static const char *element(Contract *c, Access *x, const char *i, const char *j, const char *k, int lanes, int vector,
                           int64_t divides) {
    Point p = element_point(c, i, j, k, lanes, vector, divides);
    if (x == c->at_b && c->prologue) return prologue_value(c, &p);
    const char *place = point_place(&p, x, "");
    return x->base->type.dtype == c->type ? place : arena_printf(c->w->arena, "%s(%s)", c->type_name, place);
}

static const char *fill_a(void *context, const char *const *args) {
    Contract *c = context;
    c->p.text[c->run[c->n_runs - 1]] = args[1];
    return element(c, c->at_a, args[0], NULL, args[1], 1, -1, 1);
}

static const char *fill_a_tile(void *context, const char *const *args) {
    Contract *c = context;
    if (!c->pack_a) return fill_a(context, args);
    return arena_printf(c->w->arena, "ap[%lld*t + %d*(%s) + %s]", (long long)c->part_depth, c->mr, template_get(c->t, "row"), args[2]);
}

/* MR rows from i on at place k, those beyond the last zero. */
static const char *fill_a_rows(void *context, const char *const *args) {
    Contract *c = context;
    Point p = point_inside(&c->p);
    int64_t rows;
    p.text[c->sm] = args[0];
    p.text[c->sk] = args[1];
    p.lanes = c->mr;
    p.vector = c->sm;
    bool whole = size_is_const(c->size_m, &rows) && rows % c->mr == 0;
    p.limit = whole ? NULL : work_size(c->w, c->size_m);
    const char *place = point_place(&p, c->at_a, "");
    return c->at_a->base->type.dtype == c->type ? place : arena_printf(c->w->arena, "%s(%s)", c->type_name, place);
}

static const char *fill_a_place(void *context, const char *const *args) {
    Contract *c = context;
    return contract_place(c, c->at_a, args[0], NULL, args[1], 1, -1, 1);
}

static const char *fill_b(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->lanes, c->sn, c->width);
}

/* Loops over the slices of the columns; sets part: which one, and at: where its rows begin in the buffer of sums. */
static const char *fill_part_loop(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    const char *part = "";
    for (int i = 0; i < c->n_parts; i++) {
        int s = c->parts[i];
        const char *name = c->p.text[s] = arena_printf(c->w->arena, i ? "g_%d" : "g", i);
        open_line(c, "for %s in 0..%lld", name, (long long)contract_symbol_size(c, s));
        part = contract_flat(c, part, s, name);
    }
    template_set(c->t, "part", part);
    template_set(c->t, "at", c->part_rows == 1 ? part : arena_printf(c->w->arena, "%lld*(%s)", (long long)c->part_rows, part));
    return "";
}

/* Where row `row` of a block begins in the copy of B. */
static const char *copy_place(Contract *c, const char *row) {
    Arena *a = c->w->arena;
    const char *at = "", *k = "";
    for (int s = 0; s < c->sp->n; s++)
        if (c->pack_stride[s]) at = arena_printf(a, "%s%lld*%s + ", at, (long long)c->pack_stride[s], c->p.text[s]);
    for (int i = 0; i < c->kq; i++) k = contract_flat(c, k, c->symbol[GROUP_K][i], c->p.text[c->symbol[GROUP_K][i]]);
    if (c->kq >= 0) k = contract_flat(c, k, c->symbol[GROUP_K][c->kq], template_get(c->t, "k0"));
    return arena_printf(a, "%s%lld*(%s) + %lld*(%lld*(%s) + %s)", at, (long long)c->pack_rows, c->panels ? "panel" : c->p.text[c->sn], (long long)c->width,
                        (long long)c->k_inner, k, row);
}

/* Columns of row `row` of a block: in the scratch panel, in the copy, or where they lie in b. */
static const char *fill_panel(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    if (c->direct)
        return element(c, c->at_b, NULL, text_plus(c->w, template_get(c->t, "j0"), args[1]), c->k_text, c->lanes, c->sn,
                       c->width);
    const char *lanes = strcmp(args[2], "1") ? arena_printf(a, " : %s", args[2]) : "";
    if (!c->pack && c->n_parts)
        return arena_printf(a, "bp[%lld*(%s) + %s, %s%s]", (long long)c->part_depth, template_get(c->t, "part"), args[0], args[1], lanes);
    if (!c->pack && c->panels) return arena_printf(a, "bp[%lld*p + %s, %s%s]", (long long)c->part_depth, args[0], args[1], lanes);
    if (!c->pack) return arena_printf(a, "bp[%s, %s%s]", args[0], args[1], lanes);
    const char *place = arena_printf(a, "%s[%s + %s%s]", c->pack, copy_place(c, args[0]), args[1], lanes);
    return c->copies || contract_copy_type(c) == c->type ? place : arena_printf(a, "%s(%s)", c->type_name, place);
}

/* Where lines of the copy begin that one tile asks for: as many as the block has rows, tile after tile behind the block. Lines asked for one
 * after the other are neighbours. */
static const char *fill_block_behind(void *context, const char *const *args) {
    Contract *c = context;
    long long rows = c->kc * c->k_inner;
    return arena_printf(c->w->arena, "%s + %lld*%s", copy_place(c, arena_printf(c->w->arena, "%lld", rows)), rows * c->copy_line, args[0]);
}

DType contract_copy_type(const Contract *c) {
    return c->at_b->base->type.dtype == DT_I8 ? DT_I8 : c->type;
}

/* A value on its way into a panel. */
static const char *fill_put(void *context, const char *const *args) {
    Contract *c = context;
    DType d = contract_copy_type(c);
    return c->copies && d != c->type ? arena_printf(c->w->arena, "%s(%s)", dtype_name(d), args[0]) : args[0];
}

static const char *fill_b_one(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], 1, -1, 1);
}

/* Squares that end beyond a block of k read on, but not beyond B: such ones begin anywhere. */
static const char *fill_b_square(void *context, const char *const *args) {
    Contract *c = context;
    bool aligned = c->k_whole || c->kq < c->n[GROUP_K] - 1 || c->kc % c->square == 0;
    return element(c, c->at_b, NULL, args[1], args[0], c->square, c->sk, aligned ? c->square : INT64_MAX);
}

/* Where element k of a row is in its copy: for each place along the outer symbols of k whole vectors. */
static const char *fill_copy_at(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    const char *place = "";
    for (int i = 0; i < c->kq; i++) {
        int s = c->symbol[GROUP_K][i];
        place = *place ? arena_printf(a, "(%s * %s + %s)", place, work_size(c->w, c->sp->symbol[s].n), c->p.text[s]) : c->p.text[s];
    }
    return *place ? arena_printf(a, "%lld * %s + %s", (long long)c->copied_row, place, args[0]) : args[0];
}

static const char *fill_a_dot(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_a, args[0], NULL, args[1], c->dot_lanes, c->sk, c->dot_lanes);
}

static const char *fill_b_dot(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->dot_lanes, c->sk, c->split ? INT64_MAX : c->dot_lanes); /* pieces end anywhere */
}

/* The same of whole vectors. */
static const char *fill_a_whole(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_a, args[0], NULL, args[1], c->dot_lanes, c->sk, 1);
}

static const char *fill_b_whole(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->dot_lanes, c->sk, 1);
}

static const char *fill_fma(void *context, const char *const *args) {
    Contract *c = context;
    if (dtype_is_float(c->type)) return arena_printf(c->w->arena, "fma(%s, %s, %s)", args[0], args[1], args[2]);
    return arena_printf(c->w->arena, "%s + %s * %s", args[2], args[0], args[1]);
}

static const char *fill_total(void *context, const char *const *args) {
    Contract *c = context;
    return c->dot_lanes > 1 ? arena_printf(c->w->arena, "hadd(%s)", args[0]) : args[0];
}

/* The maps of one level behind the product, for the sums `sum`. */
static void write_maps(Contract *c, Point *p, Level level, const char *sum) {
    Work *w = c->w;
    for (int i = 0; i < c->items->at.n; i++) {
        Item *item = c->items->at.at[i];
        if (item->outer || item->level != level) continue;
        if (item->n != c->k->anchor) {
            point_value(p, item);
            continue;
        }
        item->vector = p->lanes > 1;
        item->unrounded = dtype_arithmetic(item->n->type.dtype) != item->n->type.dtype;
        item->value = arena_printf(w->arena, "v%d", ++w->names);
        text_line(&w->body, "let %s = %s", item->value, sum);
    }
}

static void write_stores(Contract *c, Point *p, Level level) {
    for (int i = 0; i < c->k->writes.n; i++) {
        const Item *item = items_find(c->items, c->k->writes.at[i]);
        if (!item) item = items_find(c->items, frame_value(c->k->writes.at[i]));
        if (item->level == level) point_store(p, c->stores.at[i], item->value);
    }
}

/* Slice after slice, the maps of the whole product. Their values stay at hand for those of slices. `sums`: "@" stands for the row at which
 * the sums of a slice begin. */
static void write_slices(Contract *c, const Point *outer, const char *sums) {
    const char *at = strchr(sums, '@');
    for (int64_t part = 0; part < c->k->parts; part++) {
        Point p = point_inside(outer);
        for (int i = 0; i < c->n_parts; i++) {
            int64_t place = part / size_value(c->part->coef[c->parts[i]]) % contract_symbol_size(c, c->parts[i]);
            p.text[c->parts[i]] = arena_printf(c->w->arena, "%lld", (long long)place);
        }
        write_maps(c, &p, LEVEL_FULL, arena_printf(c->w->arena, "%.*s%lld%s", (int)(at - sums), sums, (long long)(part * c->part_rows), at + 1));
        write_stores(c, &p, LEVEL_FULL);
        for (int i = 0; i < c->items->at.n; i++) c->items->at.at[i]->part[part] = c->items->at.at[i]->value;
    }
}

/* The maps behind the product for the sums `args[2]` from row and column on; stores. Sums of a part are stored as they are. */
const char *contract_fill_epilogue(void *context, const char *const *args) {
    Contract *c = context;
    if (c->split) {
        text_line(&c->w->body, "%s = %s", split_place(c, c->split_part, args[0], args[1]), args[2]);
        return "";
    }
    Point p = point_inside(&c->p);
    if (c->sm >= 0) set_row(c, &p, args[0]);
    if (c->sn >= 0) p.text[c->sn] = args[1];
    p.lanes = c->map_lanes;
    p.vector = c->sn;
    p.limit = p.lanes > 1 ? limit_of(c, c->size_n, p.lanes) : NULL;
    Level level = c->k->parts ? LEVEL_PART : LEVEL_FULL;
    for (int i = 0; i < c->n_parts; i++) p.text[c->parts[i]] = NULL;
    if (c->k->parts) write_slices(c, &p, args[2]);
    write_maps(c, &p, level, args[2]);
    write_stores(c, &p, level);
    return "";
}

/* Is this read along the columns of a row by the maps behind the product, and from memory that only this row has? */
static bool is_wanted(const Contract *c, const Operand *o) {
    const Access *x = o->access;
    if (!x || x->base->op == OP_CONST || x->base->op == OP_IOTA || x->base->op == OP_SIZE) return false;
    return contract_contiguous(x, c->sn) && contract_stride(x, c->sm) && !access_bends(c->sp, x, c->sm) && !access_bends(c->sp, x, c->sn);
}

/* The column `v` of the panel, or the last one where the panel may have fewer. Each is an index of its own, made once. */
static const char *wanted_column(Contract *c, int64_t v, const char **made) {
    Work *w = c->w;
    const char *j = text_plus(w, template_get(c->t, "j0"), arena_printf(w->arena, "%lld", (long long)v)), *n = limit_of(c, c->size_n, c->width);
    if (!n) return j;
    if (!*made) {
        *made = arena_printf(w->arena, "j%d", ++w->names);
        text_line(&w->body, "index %s = min(%s, %s - 1) in 0..%s", *made, j, n, n);
    }
    return *made;
}

/* Asks for elements of B that are read some rows on. */
static const char *fill_b_far(void *context, const char *const *args) {
    Contract *c = context;
    text_line(&c->w->body, "prefetch %s second", contract_place(c, c->at_b, NULL, args[1], args[0], 1, -1, 1));
    return "";
}

/* Prefetches of a panel's columns at place k. */
static const char *fill_b_ahead(void *context, const char *const *args) {
    Contract *c = context;
    int64_t line = CACHE_LINE / dtype_bytes(c->at_b->base->type.dtype);
    for (int64_t v = 0; v < c->width; v += line) {
        const char *column = NULL, *j = wanted_column(c, v, &column);
        text_line(&c->w->body, "prefetch %s second", contract_place(c, c->at_b, NULL, j, args[0], 1, -1, 1));
    }
    return "";
}

const char *contract_loop(int64_t n) { return n <= TURNS ? "unroll" : "for"; }

/* What is read of B along k: B itself, or codes that its maps read. NULL: nothing in one byte. */
static Access *streamed(const Contract *c) {
    if (!c->prologue) return c->at_b;
    for (int i = 0; i < c->items->at.n; i++) {
        const Item *item = c->items->at.at[i];
        for (int k = 0; k < item->n->n_in && item->level == LEVEL_B; k++) {
            Access *x = item->in[k].access;
            if (x && x->base->type.rank && dtype_bytes(x->base->type.dtype) == 1 && contract_contiguous(x, c->sk)) return x;
        }
    }
    return NULL;
}

/* Asks for a column of B that is read some pages on, where a column lies in one piece: for as many lines as show the processor that more of
 * them are wanted, which it brings by itself; to ask for all takes the places that lines on their way have in the first cache. */
static const char *fill_column_ahead(void *context, const char *const *args) {
    Contract *c = context;
    Work *w = c->w;
    Access *x = c->joined ? c->joined : streamed(c);
    int s = c->joined ? c->join : c->sk;
    for (int i = c->n[GROUP_K] - 2; x && i >= 0; i--) {
        int outer = c->symbol[GROUP_K][i];
        if (x->at.coef[outer]) x = access_joined(c->sp, x, outer, s, &s);
    }
    if (!x) return "";
    int64_t size = dtype_bytes(x->base->type.dtype), bytes;
    Size between = contract_stride(x, c->sn);
    if (!between || !size_is_const(between, &bytes) || contract_symbol_size(c, s) * size < CACHE_LINE) return "";
    bytes *= size;
    text_line(&w->body, "index next = min(%s + %lld, %s - 1) in 0..%s", args[0], (long long)((AHEAD_BYTES + bytes - 1) / bytes),
              work_size(w, c->size_n), work_size(w, c->size_n));
    Point p = point_inside(&c->p);
    p.text[c->sn] = "next";
    int64_t step = ASKED * CACHE_LINE / size;
    p.text[s] = arena_printf(w->arena, "%lld*line", (long long)step);
    int64_t lines = (contract_symbol_size(c, s) + step - 1) / step;
    text_line(&w->body, "%s line in 0..%lld { prefetch %s second }", contract_loop(lines), (long long)lines, point_place(&p, x, ""));
    return "";
}

static bool wants(const Contract *c, const Item *item, int k) {
    return !item->outer && item->level == LEVEL_FULL && item->n != c->k->anchor && is_wanted(c, &item->in[k]);
}

bool contract_wants(const Contract *c) {
    for (int i = 0; i < c->items->at.n && c->sm >= 0 && c->sn >= 0; i++)
        for (int k = 0; k < c->items->at.at[i]->n->n_in; k++)
            if (wants(c, c->items->at.at[i], k)) return true;
    return false;
}

/* Asks for what the maps behind the product will read at a row: it comes while others are under way. */
static const char *fill_wanted(void *context, const char *const *args) {
    Contract *c = context;
    Work *w = c->w;
    LIST(const char *) asked = {0};
    Point p = point_inside(&c->p);
    if (c->sm < 0 || c->sn < 0) return "";
    const char **columns = arena_alloc(w->arena, (size_t)c->width * sizeof *columns);
    set_row(c, &p, args[0]);
    for (int i = 0; i < c->items->at.n; i++) {
        const Item *item = c->items->at.at[i];
        for (int k = 0; k < item->n->n_in; k++) {
            if (!wants(c, item, k)) continue;
            int64_t line = CACHE_LINE / dtype_bytes(item->in[k].access->base->type.dtype);
            for (int64_t v = 0; v < c->width; v += line) {
                p.text[c->sn] = wanted_column(c, v, &columns[v]);
                const char *place = point_place(&p, item->in[k].access, "");
                bool known = false;
                for (int q = 0; q < asked.n; q++) known = known || !strcmp(asked.at[q], place);
                if (known) continue;
                PUSH(w->arena, asked, place);
                text_line(&w->body, "prefetch %s second", place);
            }
        }
    }
    return "";
}

static const Hole HOLES[] = {
    {"nest", 0, fill_nest},
    {"copy_nest", 0, fill_copy_nest},
    {"scalars", 0, contract_fill_scalars},
    {"outer_k", 0, fill_outer_k},
    {"m_loops", 0, fill_m_loops},
    {"part_loop", 0, fill_part_loop},
    {"pack_loops", 1, fill_pack_loops},
    {"k_loops", 1, fill_k_loops},
    {"k_lanes", 0, fill_k_lanes},
    {"a", 2, fill_a},
    {"a_tile", 3, fill_a_tile},
    {"a_rows", 2, fill_a_rows},
    {"b", 2, fill_b},
    {"panel", 3, fill_panel},
    {"block_behind", 1, fill_block_behind},
    {"b_one", 2, fill_b_one},
    {"b_square", 2, fill_b_square},
    {"copy_at", 1, fill_copy_at},
    {"a_dot", 2, fill_a_dot},
    {"b_dot", 2, fill_b_dot},
    {"a_whole", 2, fill_a_whole},
    {"b_whole", 2, fill_b_whole},
    {"fma", 3, fill_fma},
    {"total", 1, fill_total},
    {"epilogue", 3, contract_fill_epilogue},
    {"put", 1, fill_put},
    {"a_place", 2, fill_a_place},
    {"b_far", 2, fill_b_far},
    {"b_ahead", 1, fill_b_ahead},
    {"column_ahead", 1, fill_column_ahead},
    {"wanted", 1, fill_wanted},
    {"codes_loops", 1, codes_fill_loops},
    {"codes_panel", 2, codes_fill_panel},
    {"codes_behind", 1, codes_fill_behind},
    {"codes_ahead", 0, codes_fill_ahead},
    {"codes_put", 1, codes_fill_put},
    {"codes_less", 2, codes_fill_less},
    {"codes_a", 2, codes_fill_a},
    {"codes_b", 1, codes_fill_b},
    {"codes_left", 1, codes_fill_left},
    {"codes_column", 2, codes_fill_column},
    {"narrow_next", 1, narrow_fill_next},
    {"narrow_ahead", 0, narrow_fill_ahead},
    {"narrow_groups", 1, narrow_fill_groups},
    {"narrow_scales", 1, narrow_fill_scales},
    {"narrow_scale", 1, narrow_fill_scale},
    {"narrow_inner", 0, narrow_fill_inner},
    {"narrow_code", 2, narrow_fill_code},
    {"narrow_codes", 2, narrow_fill_codes},
    {"narrow_left", 3, narrow_fill_left},
    {"copy_step", 2, mma_fill_copy_step},
    {"fragment", 4, mma_fill_fragment},
    {"copy_squares", 2, group_fill_copy},
    {"piece_of_k", 0, split_fill_piece},
    {"part", 3, split_fill_part},
    {NULL, 0, NULL},
};

/* Parameters of every form. */
void contract_begin(Contract *c) {
    Work *w = c->w;
    int64_t whole;
    c->p = point_new(w, c->items, 1, -1);
    c->t = template_new(&w->body, "contract.tile", HOLES, c);
    c->map_lanes = c->sn < 0 || (!c->split && contract_epilogue_indirect(c)) ? 1 : c->lanes;
    template_set(c->t, "T", c->type_name);
    template_set(c->t, "K", work_size(w, c->size_k));
    template_set(c->t, "N", work_size(w, c->size_n));
    template_set(c->t, "M", work_size(w, c->size_m));
    template_number(c->t, "flat", c->flat);
    if (c->flat) {
        template_set(c->t, "X", work_size(w, c->sp->symbol[c->sm].n));
        template_set(c->t, "Y", work_size(w, c->sp->symbol[c->symbol[GROUP_M][c->n[GROUP_M] - 2]].n));
    }
    template_number(c->t, "L", c->lanes);
    template_number(c->t, "W", c->width);
    template_number(c->t, "NV", c->nv);
    template_number(c->t, "EL", c->map_lanes);
    template_number(c->t, "several", c->sn >= 0);
    template_number(c->t, "parts", c->n_parts);
    template_set(c->t, "of_part", c->n_parts ? "@ + " : "");
    template_set(c->t, "at", "0");
    template_number(c->t, "scalar_maps", c->map_lanes == 1);
    template_number(c->t, "columns_divide", size_is_const(c->size_n, &whole) && whole % c->width == 0);
}
