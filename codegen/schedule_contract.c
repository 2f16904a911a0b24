/* schedule_contract.c -- products: contract and the maps behind it.
 *
 * The letters of a contract fall into four groups: batch (in a, b and the result), m (a and result), n (b and result), k (a and
 * b). Neighbouring symbols of a group merge where all accesses allow it. One symbol of n runs along the lanes; the operands
 * change places if that makes better vectors: full ones, contiguous in b, contiguous in the result. One symbol of m gives the
 * rows of a register tile. The others: an outer product of loops, parallel as far as they lie outside of a block.
 *
 * A block of rows covers some rows of the last symbol of m, or all of them and a part of the symbols before it, so that a packed
 * panel serves enough of them where rows are short: a convolution has m = batch, rows and columns of a picture, which do not
 * merge. A block of k likewise: the elements of a window (its rows, then columns and channels), which lie one after another in
 * the panel whatever they are in memory. The loops of the product itself merge what lies side by side in a alone. Where the sums
 * of a block of k go to a buffer anyway and nothing is packed, symbols of n may lie in a block, too: the gradient of a kernel
 * then reads the pictures once for all its columns.
 *
 * contract.tile holds the loops, in two forms: panels, and rows for at most SMALL rows, where nothing is packed. Here are the
 * choice between them, their parameters and what fills their holes. */
#include "codegen/schedule.h"

#include <string.h>

#define SMALL      4   /* rows up to which nothing is packed */
#define DOTS       4   /* columns of one round of dot products */
#define KC         512 /* longest packed block of k */
#define LONG_BLOCK 192 /* rows that share a packed panel, if that leaves .. */
#define ENOUGH     6   /* .. so many parallel iterations; else half of them */
#define FAR        256 /* elements from one step of k to the next at which rows of A are packed */
#define SQUARE     8   /* most lanes of a transposed square */
#define SUMS       (32 << 10) /* sums of a block, beside which what it reads still has room in a cache of 256 KiB or more */
/* (Squares of 16 would pack a third faster, but LLVM needs 8 ms for their 64 shuffles.) */

typedef enum { GROUP_BATCH, GROUP_M, GROUP_N, GROUP_K, GROUPS } Group;

typedef struct Contract {
    Work *w;
    const Kernel *k;
    Node *a, *b; /* operands, after changing places */
    Space *sp;
    Items *items;
    Access *at_a, *at_b;
    LIST(Access *) stores;                      /* beside k->writes */
    int rank;                                   /* axes of the result; those of k follow */
    int class[MAX_SYMBOLS];                     /* Group of each axis */
    int n[GROUPS], symbol[GROUPS][MAX_SYMBOLS]; /* outermost first */
    int sm, sn, sk;                             /* the last symbol of the groups m, n, k; -1: none */
    int mq, nq, kq;                             /* of symbol[GROUP_M] ..: the first that lies in a block */
    int64_t mc, kc;                             /* longest part of that one in a block (mq: if it is not the last) */
    int64_t k_inner;                            /* elements of the symbols of k after it */
    bool k_whole;                               /* symbol kq is not cut */
    int n_runs, run[MAX_SYMBOLS];               /* loops of the product over a block of k, as a sees them */
    const char *m_first;                        /* where a block begins along symbol mq */
    const char *k_text;                         /* index along the last of them */
    Size size_m, size_n, size_k;
    DType type; /* of the accumulators */
    const char *type_name;
    int lanes;
    int mr, nv;
    int64_t mb;    /* rows of the last symbol in a block */
    int64_t width; /* columns of a panel */
    bool direct;   /* B is read where it lies: it makes good panels as it is */
    bool pack_a;   /* A is packed, too */
    bool k_divides;
    int square;                       /* side of the squares that packing transposes */
    const char *pack;                 /* argument that holds B in panels; NULL: they are made in scratch */
    int64_t pack_stride[MAX_SYMBOLS]; /* of B's outer symbols, in elements */
    int64_t pack_rows;                /* of a panel: K, and what packing through transposes may write beyond */
    int dot_lanes;                    /* of dot products: 1 where k is not contiguous in both operands */
    int map_lanes;                    /* of the maps behind the product */
    Template *t;
    Point p; /* inside the nest; symbols of outer loops over k are added as they open */
} Contract;

/* ---- indices */

static Affine *letter_index(const Contract *c, const char *letters, char x) {
    const char *place = strchr(letters, x);
    return place ? space_axis(c->sp, (int)(place - letters)) : NULL;
}

static void make_accesses(Contract *c, const char *axes, const char *la, const char *lb) {
    const Kernel *k = c->k;
    do {
        Affine *index[MAX_RANK], *full[MAX_RANK];
        space_begin(c->sp);
        c->items = items_new(c->w, c->sp);
        c->stores.n = 0;
        for (int i = 0; la[i]; i++) index[i] = letter_index(c, axes, la[i]);
        c->at_a = access_follow(c->sp, c->a, index);
        for (int i = 0; lb[i]; i++) index[i] = letter_index(c, axes, lb[i]);
        c->at_b = access_follow(c->sp, c->b, index);
        int result[MAX_RANK];
        for (int i = 0; i < c->rank; i++) full[i] = space_axis(c->sp, result[i] = i);
        Affine *linear = space_linear(c->sp, c->rank, result);
        for (int i = 0; i < k->nodes.n; i++) {
            Node *n = k->nodes.at[i];
            if (n == k->anchor) {
                Item *item = NEW(c->w->arena, Item);
                item->n = n;
                item->level = LEVEL_FULL;
                item->in = NEW_ARRAY(c->w->arena, Operand, 2);
                PUSH(c->w->arena, c->items->at, item);
                continue;
            }
            if (k->levels.at[i] == LEVEL_A || k->levels.at[i] == LEVEL_B)
                bug("kernel %d: a prologue in front of a contract", k->index);
            bool scalar = k->levels.at[i] == LEVEL_SCALAR;
            space_reshape(c->sp, scalar ? 0 : c->rank, k->anchor->type.dim, full, n->type.rank, n->type.dim, index);
            Item *item = items_add(c->items, c->w, n, k->levels.at[i], index,
                                   scalar ? affine_const(c->sp, size_const(c->w->table, 0)) : linear);
            item->outer = scalar;
        }
        for (int i = 0; i < k->writes.n; i++) PUSH(c->w->arena, c->stores, access_linear(c->sp, k->writes.at[i], linear));
    } while (c->sp->again);
}

static bool is_one(Size s) {
    return s && size_is(s, 1);
}

static Size stride(const Access *x, int symbol) {
    return symbol < 0 ? NULL : x->at.coef[symbol];
}

/* How good vectors of `lanes` along symbol s are, from 0 to 1: full, contiguous in b, contiguous where they are stored. */
static double lane_value(const Contract *c, int s, int lanes) {
    int64_t low, high;
    double value = 1;
    size_range(c->sp->symbol[s].n, &low, &high);
    if (high < 8 * lanes) value = (double)high / (double)((high + lanes - 1) / lanes * lanes);
    if (!is_one(stride(c->at_b, s))) value *= 0.8;
    for (int i = 0; i < c->stores.n; i++)
        if (!is_one(stride(c->stores.at[i], s))) value *= i ? 1 : 0.95;
    return value;
}

/* Moves the symbol at `place` of a group to its end. */
static void make_last(Contract *c, Group g, int place) {
    int s = c->symbol[g][place];
    memmove(&c->symbol[g][place], &c->symbol[g][place + 1], sizeof(int) * (size_t)(c->n[g] - 1 - place));
    c->symbol[g][c->n[g] - 1] = s;
}

/* The symbols of each group; last in n: the best one for vectors; last in m: the last one, unless it is too short for a tile. */
static void sort_symbols(Contract *c, int lanes) {
    const Space *sp = c->sp;
    memset(c->n, 0, sizeof c->n);
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone) continue;
        int g = c->class[sp->symbol[s].axis];
        c->symbol[g][c->n[g]++] = s;
    }
    int best = c->n[GROUP_N] - 1, longest = c->n[GROUP_M] - 1;
    for (int i = best - 1; i >= 0; i--)
        if (lane_value(c, c->symbol[GROUP_N][i], lanes) > lane_value(c, c->symbol[GROUP_N][best], lanes) + 1e-9) best = i;
    if (best >= 0) make_last(c, GROUP_N, best);
    for (int i = longest - 1; i >= 0; i--) {
        int64_t n, most;
        if (!size_is_const(sp->symbol[c->symbol[GROUP_M][longest]].n, &most) || most >= SMALL) break;
        if (!size_is_const(sp->symbol[c->symbol[GROUP_M][i]].n, &n) || n > most) longest = i;
    }
    if (longest >= 0) make_last(c, GROUP_M, longest);
    Size one = size_const(c->w->table, 1);
    c->sm = c->n[GROUP_M] ? c->symbol[GROUP_M][c->n[GROUP_M] - 1] : -1;
    c->sn = c->n[GROUP_N] ? c->symbol[GROUP_N][c->n[GROUP_N] - 1] : -1;
    c->sk = c->n[GROUP_K] ? c->symbol[GROUP_K][c->n[GROUP_K] - 1] : -1;
    c->size_m = c->sm < 0 ? one : sp->symbol[c->sm].n;
    c->size_n = c->sn < 0 ? one : sp->symbol[c->sn].n;
    c->size_k = c->sk < 0 ? one : sp->symbol[c->sk].n;
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    c->k_inner = 1;
    c->run[0] = c->sk;
    c->n_runs = 1;
}

/* Letters of the result, then those summed over in the order of b; groups of the axes. swap: the operands change places. */
static void set_axes(Contract *c, Node *anchor, bool swap, char *axes, const char **la, const char **lb) {
    const char *a = anchor->attrs.labels[swap], *b = anchor->attrs.labels[!swap], *out = anchor->attrs.labels[2];
    Size dim[MAX_SYMBOLS];
    c->a = anchor->in[swap];
    c->b = anchor->in[!swap];
    c->rank = anchor->type.rank;
    int n = 0;
    for (; n < c->rank; n++) {
        axes[n] = out[n];
        dim[n] = anchor->type.dim[n];
        bool in_a = strchr(a, out[n]) != NULL, in_b = strchr(b, out[n]) != NULL;
        c->class[n] = in_a && in_b ? GROUP_BATCH : in_a ? GROUP_M : GROUP_N;
    }
    for (int i = 0; b[i]; i++) {
        if (strchr(out, b[i])) continue;
        axes[n] = b[i];
        dim[n] = c->b->type.dim[i];
        c->class[n++] = GROUP_K;
    }
    axes[n] = 0;
    c->sp = space_new(c->w->arena, c->w->table, n, dim);
    *la = a;
    *lb = b;
}

/* Does an address of the product divide or load an index? */
static bool indirect(const Contract *c) {
    for (int s = 0; s < c->sp->n; s++)
        if (c->sp->symbol[s].axis < 0 && (c->at_a->at.coef[s] || c->at_b->at.coef[s])) return true;
    return false;
}

static bool epilogue_indirect(const Contract *c) {
    for (int i = 0; c->sn >= 0 && i < c->items->at.n; i++)
        if (c->items->at.at[i]->n != c->k->anchor && item_uses(c->sp, c->items->at.at[i], c->sn, true)) return true;
    return false;
}

static void start_as(Contract *c, Work *w, const Kernel *k, bool swap) {
    char axes[2 * MAX_RANK + 1];
    const char *la, *lb;
    *c = (Contract){.w = w, .k = k};
    set_axes(c, k->anchor, swap, axes, &la, &lb);
    make_accesses(c, axes, la, lb);
    space_merge(c->sp, c->class, 0);
    c->type = dtype_arithmetic(k->anchor->type.dtype);
    c->type_name = dtype_name(c->type);
    c->lanes = w->machine->lanes / (dtype_bytes(c->type) == 8 ? 2 : 1);
    sort_symbols(c, c->lanes);
    if (indirect(c)) c->lanes = 1;
}

/* Operands as they stand, or in the other order if that gives better vectors; of equals, the result's last axis along the
 * lanes. */
static void start(Contract *c, Work *w, const Kernel *k) {
    double value[2];
    int last[2];
    for (int swap = 0; swap < 2; swap++) {
        start_as(c, w, k, swap);
        value[swap] = c->sn < 0 ? 0 : lane_value(c, c->sn, w->machine->lanes);
        last[swap] = c->sn < 0 ? -1 : c->sp->symbol[c->sn].axis;
    }
    bool swap = value[1] > value[0] + 1e-9 || (value[1] > value[0] - 1e-9 && last[1] > last[0]);
    if (!swap) start_as(c, w, k, false);
}

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
    bool inside = c->mq < c->n[GROUP_M] - 1; /* a block holds all rows of the last symbol */
    open_outer(c, GROUP_BATCH, c->n[GROUP_BATCH]);
    open_outer(c, GROUP_M, c->sm < 0 ? 0 : c->mq);
    open_outer(c, GROUP_N, c->sn < 0 ? 0 : c->nq);
    if (c->sm >= 0) open_parallel(c, c->symbol[GROUP_M][c->mq], inside ? c->mc : c->mb, false);
    if (c->sn >= 0) open_parallel(c, c->sn, c->width, true);
    template_set(c->t, "i0", c->sm < 0 || inside ? "0" : c->p.text[c->sm]);
    template_set(c->t, "j0", c->sn < 0 ? "0" : c->p.text[c->sn]);
    if (inside) c->m_first = c->p.text[c->symbol[GROUP_M][c->mq]];
    return "";
}

static int64_t symbol_size(const Contract *c, int s) {
    return size_value(c->sp->symbol[s].n);
}

/* The place `name` along symbol s, for each of the places before ("": there are none). */
static const char *flat(Contract *c, const char *before, int s, const char *name) {
    return *before ? arena_printf(c->w->arena, "%lld*(%s) + %s", (long long)symbol_size(c, s), before, name) : name;
}

/* Loops over the symbols of n and m in a block but the last ones. Sets base: where the rows of the last one begin in the block. */
static const char *fill_m_loops(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    const char *base = "";
    for (int i = c->nq; i < c->n[GROUP_N] - 1; i++) {
        int s = c->symbol[GROUP_N][i];
        const char *name = c->p.text[s] = arena_printf(c->w->arena, "n_%d", i);
        open_line(c, "for %s in 0..%lld", name, (long long)symbol_size(c, s));
        base = flat(c, base, s, name);
    }
    for (int i = c->mq; i < c->n[GROUP_M] - 1; i++) {
        int s = c->symbol[GROUP_M][i];
        const char *name = arena_printf(c->w->arena, "m%d", i);
        Size n = c->sp->symbol[s].n;
        int64_t whole, count = i == c->mq ? c->mc : symbol_size(c, s);
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

static const char *fill_scalars(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i < c->items->at.n; i++)
        if (c->items->at.at[i]->outer) point_value(&c->p, c->items->at.at[i]);
    return "";
}

/* Loops over the symbols of k outside of a block; their names stay in the point. */
static const char *fill_outer_k(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i < c->kq; i++) {
        int s = c->symbol[GROUP_K][i];
        c->p.text[s] = arena_printf(c->w->arena, "x%d", s);
        open_line(c, "for %s in 0..%s", c->p.text[s], work_size(c->w, c->sp->symbol[s].n));
    }
    return "";
}

/* Opens a loop over symbol i of k, in a block: all of it, or kb elements from k0 on. Returns its index in the block; *index: along
 * the symbol. */
static const char *open_block_symbol(Contract *c, int s, bool first, const char *name, const char *kb, const char **index) {
    open_line(c, "for %s in 0..%s", name, first ? kb : work_size(c->w, c->sp->symbol[s].n));
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
        row = flat(c, row, s, name);
    }
    template_set(c->t, "before", *row ? arena_printf(c->w->arena, "%lld*(%s) + ", (long long)symbol_size(c, c->sk), row) : "");
    template_set(c->t, "last", c->kq == last ? args[0] : work_size(c->w, c->size_k));
    template_set(c->t, "from", c->kq == last ? template_get(c->t, "k0") : "0");
    return "";
}

/* Loops of the product over a block of k. Sets k: the index along the last, row: the row of the panel. */
static const char *fill_k_loops(void *context, const char *const *args) {
    Contract *c = context;
    const char *row = "", *index;
    for (int i = 0; i < c->n_runs; i++) {
        int s = c->run[i];
        bool first = i == 0 && !c->k_whole;
        const char *count = i == 0 && s == c->symbol[GROUP_K][c->kq] ? args[0] : work_size(c->w, c->sp->symbol[s].n);
        const char *name = arena_printf(c->w->arena, i == c->n_runs - 1 ? "k" : "k_%d", i);
        open_block_symbol(c, s, true, name, count, &index);
        c->p.text[s] = first ? index : name;
        row = flat(c, row, s, name);
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
        k = open_lanes(c->w, "k", c->size_k, c->dot_lanes);
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

/* Operand x where the last symbols of the groups have these texts (NULL: not used); `lanes` along symbol `vector`, those at
 * and beyond its size zero unless `divides` says that vectors of that many never end inside. */
static const char *element(Contract *c, Access *x, const char *i, const char *j, const char *k, int lanes, int vector,
                           int64_t divides) {
    Point p = point_inside(&c->p);
    if (c->sm >= 0) p.text[c->sm] = i;
    if (c->sn >= 0) p.text[c->sn] = j;
    if (c->sk >= 0) p.text[c->sk] = k;
    p.lanes = lanes;
    p.vector = lanes > 1 ? vector : -1;
    p.limit = lanes > 1 ? limit_of(c, vector == c->sk ? c->size_k : c->size_n, divides) : NULL;
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
    return arena_printf(c->w->arena, "ap[%s, %s]", template_get(c->t, "row"), args[2]);
}

/* Rows from i on at place k, those beyond the last zero. */
static const char *fill_a_rows(void *context, const char *const *args) {
    Contract *c = context;
    Point p = point_inside(&c->p);
    int64_t rows;
    p.text[c->sm] = args[0];
    p.text[c->sk] = args[1];
    p.lanes = c->lanes;
    p.vector = c->sm;
    bool whole = c->mb % c->lanes == 0 && size_is_const(c->size_m, &rows) && rows % c->mb == 0;
    p.limit = whole ? NULL : work_size(c->w, c->size_m);
    const char *place = point_place(&p, c->at_a, "");
    return c->at_a->base->type.dtype == c->type ? place : arena_printf(c->w->arena, "%s(%s)", c->type_name, place);
}

static const char *fill_b(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->lanes, c->sn, c->width);
}

/* Columns of row `row` of a block: in the scratch panel, in the copy, or where they lie in b. */
static const char *fill_panel(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    if (c->direct)
        return element(c, c->at_b, NULL, text_plus(c->w, template_get(c->t, "j0"), args[1]), c->k_text, c->lanes, c->sn, c->width);
    const char *lanes = strcmp(args[2], "1") ? arena_printf(a, " : %s", args[2]) : "";
    if (!c->pack) return arena_printf(a, "bp[%s, %s%s]", args[0], args[1], lanes);
    const char *at = "", *k = "";
    for (int s = 0; s < c->sp->n; s++)
        if (c->pack_stride[s]) at = arena_printf(a, "%s%lld*%s + ", at, (long long)c->pack_stride[s], c->p.text[s]);
    for (int i = 0; i < c->kq; i++) k = flat(c, k, c->symbol[GROUP_K][i], c->p.text[c->symbol[GROUP_K][i]]);
    if (c->kq >= 0) k = flat(c, k, c->symbol[GROUP_K][c->kq], template_get(c->t, "k0"));
    return arena_printf(a, "%s[%s%lld*(%s) + %lld*(%lld*(%s) + %s) + %s%s]", c->pack, at, (long long)c->pack_rows,
                        c->p.text[c->sn], (long long)c->width, (long long)c->k_inner, k, args[0], args[1], lanes);
}

static const char *fill_b_one(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], 1, -1, 1);
}

static const char *fill_b_square(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->square, c->sk, c->square);
}

static const char *fill_a_dot(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_a, c->sm < 0 ? NULL : c->p.text[c->sm], NULL, args[0], c->dot_lanes, c->sk, c->dot_lanes);
}

static const char *fill_b_dot(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->dot_lanes, c->sk, c->dot_lanes);
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

/* The maps behind the product for the sums `args[2]` from row and column on; stores. */
static const char *fill_epilogue(void *context, const char *const *args) {
    Contract *c = context;
    Work *w = c->w;
    Point p = point_inside(&c->p);
    if (c->sm >= 0) p.text[c->sm] = args[0];
    if (c->sn >= 0) p.text[c->sn] = args[1];
    p.lanes = c->map_lanes;
    p.vector = c->sn;
    p.limit = p.lanes > 1 ? limit_of(c, c->size_n, p.lanes) : NULL;
    for (int i = 0; i < c->items->at.n; i++) {
        Item *item = c->items->at.at[i];
        if (item->outer) continue;
        if (item->n != c->k->anchor) {
            point_value(&p, item);
            continue;
        }
        DType d = item->n->type.dtype;
        item->vector = p.lanes > 1;
        item->value = arena_printf(w->arena, "v%d", ++w->names);
        text_line(&w->body, "let %s = %s", item->value,
                  dtype_arithmetic(d) == d ? args[2] : arena_printf(w->arena, "f32(%s(%s))", dtype_name(d), args[2]));
    }
    for (int i = 0; i < c->k->writes.n; i++) point_store(&p, c->stores.at[i], items_find(c->items, c->k->writes.at[i])->value);
    return "";
}

static const Hole HOLES[] = {
    {"nest", 0, fill_nest},
    {"copy_nest", 0, fill_copy_nest},
    {"scalars", 0, fill_scalars},
    {"outer_k", 0, fill_outer_k},
    {"m_loops", 0, fill_m_loops},
    {"pack_loops", 1, fill_pack_loops},
    {"k_loops", 1, fill_k_loops},
    {"k_lanes", 0, fill_k_lanes},
    {"a", 2, fill_a},
    {"a_tile", 3, fill_a_tile},
    {"a_rows", 2, fill_a_rows},
    {"b", 2, fill_b},
    {"panel", 3, fill_panel},
    {"b_one", 2, fill_b_one},
    {"b_square", 2, fill_b_square},
    {"a_dot", 1, fill_a_dot},
    {"b_dot", 2, fill_b_dot},
    {"fma", 3, fill_fma},
    {"total", 1, fill_total},
    {"epilogue", 3, fill_epilogue},
    {NULL, 0, NULL},
};

/* Parameters of every form. */
static void begin(Contract *c) {
    Work *w = c->w;
    int64_t whole;
    c->p = point_new(w, c->items, 1, -1);
    c->t = template_new(&w->body, "contract.tile", HOLES, c);
    c->map_lanes = c->sn < 0 || epilogue_indirect(c) ? 1 : c->lanes;
    template_set(c->t, "T", c->type_name);
    template_set(c->t, "K", work_size(w, c->size_k));
    template_set(c->t, "N", work_size(w, c->size_n));
    template_set(c->t, "M", work_size(w, c->size_m));
    template_number(c->t, "L", c->lanes);
    template_number(c->t, "W", c->width);
    template_number(c->t, "NV", c->nv);
    template_number(c->t, "EL", c->map_lanes);
    template_number(c->t, "several", c->sn >= 0);
    template_number(c->t, "scalar_maps", c->map_lanes == 1);
    template_number(c->t, "columns_divide", size_is_const(c->size_n, &whole) && whole % c->width == 0);
}

/* ---- rows */

static void emit_rows(Contract *c) {
    Work *w = c->w;
    int64_t low, high;
    w->kind = "rows";
    c->mb = 1;
    c->width = c->sn < 0 ? 1 : 4 * w->machine->lanes;
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    size_range(c->size_n, &low, &high);
    while (c->width > c->lanes && c->width > DOTS && high <= c->width / 2) c->width /= 2;
    c->nv = (int)(c->width / c->lanes);
    bool along_k = c->lanes > 1 && is_one(stride(c->at_a, c->sk)) && is_one(stride(c->at_b, c->sk));
    c->dot_lanes = along_k ? c->lanes : 1;
    begin(c);
    template_number(c->t, "stream", c->lanes > 1 && is_one(stride(c->at_b, c->sn)));
    template_number(c->t, "DOTS", c->sn < 0 ? 1 : DOTS);
    template_set(c->t, "TV", along_k ? arena_printf(w->arena, "%sx%d", c->type_name, c->lanes) : c->type_name);
    template_run(c->t, "rows");
}

/* ---- panels */

static int64_t estimate(Size n, int64_t usual) {
    int64_t low, high;
    size_range(n, &low, &high);
    if (low == high) return low;
    return high < usual ? high : low > usual ? low : usual;
}

/* Vector instructions of one step of k for one tile: multiplications, at least as many as hide their latency, against loads. */
static double step_cost(const TileTarget *t, int rows, int vectors) {
    double work = rows * vectors, loads = vectors + 0.5 * rows;
    if (work < t->in_flight) work = t->in_flight;
    return (work > loads ? work : loads) + 0.05 * loads + 0.5;
}

static int64_t tiles(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}

/* A part of n of at most `most`: a divisor, if there is one that is not much smaller. */
static int64_t part_of(Size n, int64_t most) {
    int64_t whole;
    if (!size_is_const(n, &whole)) return most;
    if (whole <= most) return whole;
    for (int64_t d = most; d > most / 2; d--)
        if (whole % d == 0) return d;
    return most;
}

/* Rows of a block: enough to pay for packing a panel, few enough that several threads have work. Rows of the last symbol; if it
 * is static and short, all of it and a part of the symbols before. */
static void choose_block(Contract *c, int64_t m, int64_t n) {
    int64_t panels = tiles(n, c->width), rows = 1, whole;
    for (int i = 0; i < c->n[GROUP_M]; i++) rows *= estimate(c->sp->symbol[c->symbol[GROUP_M][i]].n, 512);
    int64_t wish = panels * tiles(rows, LONG_BLOCK) >= ENOUGH ? LONG_BLOCK : LONG_BLOCK / 2;
    c->mb = tiles(m, c->mr) * c->mr;
    c->mq = c->n[GROUP_M] - 1;
    if (c->mb > wish + wish / 2) {
        c->mb = tiles(tiles(m, tiles(c->mb, wish)), c->mr) * c->mr;
        return;
    }
    if (!size_is_static(c->size_m)) return;
    for (rows = c->mb; c->mq > 0 && 2 * rows <= wish; rows *= c->mc) {
        c->mq--;
        c->mc = part_of(c->sp->symbol[c->symbol[GROUP_M][c->mq]].n, wish / rows);
        if (!size_is_const(c->sp->symbol[c->symbol[GROUP_M][c->mq]].n, &whole) || c->mc < whole) return;
    }
}

/* A block of k: the last symbol, or all of it and as much of the ones before as fits, or a part of it. */
static void choose_k(Contract *c) {
    int64_t low, high, whole;
    for (c->kq = c->n[GROUP_K] - 1; c->kq > 0; c->kq--) {
        Size n = c->sp->symbol[c->symbol[GROUP_K][c->kq]].n;
        if (!size_is_const(n, &whole) || 2 * c->k_inner * whole > KC) break;
        c->k_inner *= whole;
    }
    Size n = c->sp->symbol[c->symbol[GROUP_K][c->kq]].n;
    int64_t most = KC / c->k_inner;
    size_range(n, &low, &high);
    c->k_whole = high <= most + most / 2;
    c->kc = c->k_whole ? high : part_of(n, most);
    c->k_divides = size_is_const(n, &whole) && whole % c->kc == 0;
    if (c->k_divides || !size_is_static(n) || c->kq == c->n[GROUP_K] - 1) return;
    c->k_inner /= symbol_size(c, c->symbol[GROUP_K][++c->kq]); /* one by one, outside of blocks */
    c->kc = symbol_size(c, c->symbol[GROUP_K][c->kq]);
    c->k_whole = c->k_divides = true;
}

/* The loops of the product over a block of k: symbols that lie side by side in a are one. */
static void choose_runs(Contract *c) {
    int last = c->n[GROUP_K] - 1;
    int run[MAX_SYMBOLS], n = 0;
    for (int i = last; i >= c->kq; i--) {
        int s = c->symbol[GROUP_K][i];
        Symbol *inner = n ? &c->sp->symbol[run[n - 1]] : NULL;
        Size step = n ? stride(c->at_a, run[n - 1]) : NULL, wide = stride(c->at_a, s);
        bool cut = i == c->kq && !c->k_whole;
        if (!n || c->direct || c->pack_a || cut || !step || !wide || size_mul(step, inner->n) != wide || c->sp->n == MAX_SYMBOLS) {
            run[n++] = s;
            continue;
        }
        c->sp->symbol[c->sp->n] = (Symbol){.n = size_mul(c->sp->symbol[s].n, inner->n), .axis = inner->axis};
        c->at_a->at.coef[c->sp->n] = step;
        c->at_a->at.coef[run[n - 1]] = c->at_a->at.coef[s] = NULL;
        run[n - 1] = c->sp->n++;
    }
    c->n_runs = n;
    for (int i = 0; i < n; i++) c->run[i] = run[n - 1 - i];
}

/* May B be read from a copy? It must be a weight that the plan allows, of sizes known now. */
static bool can_pack(const Contract *c) {
    bool known = false;
    for (int i = 0; i < c->k->packed.n; i++) known = known || c->k->packed.at[i] == c->at_b->base;
    if (!known || !stride(c->at_b, c->sn) || !stride(c->at_b, c->sk) || !size_is_static(c->at_b->at.c)) return false;
    for (int s = 0; s < c->sp->n; s++)
        if (c->at_b->at.coef[s] && (!size_is_static(c->at_b->at.coef[s]) || !size_is_static(c->sp->symbol[s].n))) return false;
    return true;
}

/* The tile of the least cost for m rows and n columns, of `least` to `most` vectors. */
static void pick_tile(Contract *c, int64_t m, int64_t n, int least, int most) {
    const TileTarget *t = c->w->machine;
    int registers = t->registers - (t->registers > 16);
    double best = 1e30;
    for (int nv = least; nv <= most; nv++) {
        for (int mr = 1; mr <= 8; mr++) {
            if (mr * nv + nv + 1 > registers) continue;
            double cost = (double)(tiles(m, mr) * tiles(n, nv * c->lanes)) * step_cost(t, mr, nv);
            if (cost >= best - 1e-9) continue;
            best = cost;
            c->mr = mr;
            c->nv = nv;
        }
    }
}

static void choose_tile(Contract *c) {
    int64_t m = estimate(c->size_m, 512), n = estimate(c->size_n, 64);
    pick_tile(c, can_pack(c) ? 512 : m, n, 1, 4);
    if (can_pack(c)) pick_tile(c, m, n, c->nv, c->nv); /* products of any number of rows share the panels of a weight */
    c->width = (int64_t)c->nv * c->lanes;
    choose_k(c);
    choose_block(c, m, n);
}

/* Symbols of n that lie in a block, as far as its sums stay in a cache and enough work is left beside. Returns rows of them all. */
static int64_t choose_columns(Contract *c, int64_t rows) {
    int64_t n, beside = 1;
    for (int g = 0; g < GROUP_K; g++)
        for (int i = 0; i < c->n[g] - (g != GROUP_BATCH); i++) beside *= estimate(c->sp->symbol[c->symbol[g][i]].n, 64);
    beside *= tiles(estimate(c->size_n, 64), c->width);
    for (; c->nq > 0 && c->direct && !(c->kq == 0 && c->k_whole); c->nq--) {
        Size size = c->sp->symbol[c->symbol[GROUP_N][c->nq - 1]].n;
        if (!size_is_const(size, &n) || rows * n * c->width > SUMS || beside / n < ENOUGH) break;
        rows *= n;
        beside /= n;
    }
    return rows;
}

/* May B be read where it lies? Its rows must be contiguous and close to each other. */
static bool is_direct(const Contract *c) {
    int64_t n, step;
    Size k = stride(c->at_b, c->sk);
    bool full = c->w->machine->avx512 || (size_is_const(c->size_n, &n) && n % c->lanes == 0);
    return full && is_one(stride(c->at_b, c->sn)) && k && size_is_const(k, &step) && step <= c->width;
}

/* Is packing B a matter of transposing? */
static bool is_transposed(const Contract *c) {
    return c->type == DT_F32 && c->at_b->base->type.dtype == DT_F32 && c->lanes > 1 && !is_one(stride(c->at_b, c->sn)) &&
           is_one(stride(c->at_b, c->sk));
}

/* ---- packed weights
 *
 * A copy holds a block of panels for each place of B's outer symbols (batches, and n that do not merge with the last one),
 * panel after panel, in each row after row of k, all its symbols. The kernel that makes it is the packing of the product, over all panels and
 * all of k: the product that reads it sums in the same order and gives the same bits. */

/* Sets the strides of a copy; returns its elements. */
static int64_t copy_layout(Contract *c) {
    int64_t n = size_value(c->size_n), k = 1;
    for (int i = 0; i < c->n[GROUP_K]; i++) k *= symbol_size(c, c->symbol[GROUP_K][i]);
    bool inside = !is_transposed(c) || size_value(c->size_k) % c->square == 0;
    c->pack_rows = inside ? k : k + c->square;
    int64_t elements = tiles(n, c->width) * c->width * c->pack_rows;
    for (int s = c->sp->n - 1; s >= 0; s--) {
        if (!c->at_b->at.coef[s] || c->sp->symbol[s].gone || s == c->sn || c->class[c->sp->symbol[s].axis] == GROUP_K) continue;
        c->pack_stride[s] = elements;
        elements *= symbol_size(c, s);
    }
    return elements;
}

static const char *copy_argument(Contract *c, const Pack *pack, int64_t elements, const char *suffix) {
    return work_arg(c->w, (KernelArg){.kind = ARG_PACK, .pack = pack},
                    arena_printf(c->w->arena, "%s[%lld]%s", c->type_name, (long long)elements, suffix));
}

/* Makes the product c, whose tile is chosen, read B from a copy. */
static void use_copy(Contract *c) {
    Contract made;
    start(&made, work_new(c->w->s, c->w->plan, c->k, "pack"), c->k);
    made.w->text = "pack";
    made.width = c->width;
    made.nv = c->nv;
    made.square = c->square;
    made.size_m = size_const(c->w->table, 1);
    made.kq = 0;
    made.k_whole = true;
    for (int i = 1; i < made.n[GROUP_K]; i++) made.k_inner *= symbol_size(&made, made.symbol[GROUP_K][i]);
    begin(&made);
    int64_t elements = copy_layout(&made), k = size_value(made.size_k);
    made.pack = copy_argument(&made, NULL, elements, " out");
    template_set(made.t, "KQ", work_size(made.w, made.sp->symbol[made.symbol[GROUP_K][0]].n));
    template_number(made.t, "packed", false);
    template_number(made.t, "squares", is_transposed(&made));
    template_number(made.t, "SQ", made.square);
    template_set(made.t, "masked", k % made.square == 0 ? "" : "masked");
    template_run(made.t, "copy");
    copy_layout(c);
    const Pack *pack = work_pack(made.w, c->at_b->base, elements * dtype_bytes(c->type));
    c->pack = copy_argument(c, pack, elements, "");
}

/* Is A worth packing? A tile takes some elements of a row that are neighbours in memory; if steps of k are far apart, each is a
 * cache line of its own, many of one set of the cache. */
static bool wants_packing(const Contract *c) {
    int64_t step;
    Size k = stride(c->at_a, c->sk);
    return is_one(stride(c->at_a, c->sm)) && k && (!size_is_const(k, &step) || step >= FAR) && c->mq == c->n[GROUP_M] - 1 &&
           c->w->machine->avx512;
}

static void emit_panels(Contract *c) {
    int64_t whole, rows;
    bool inside;
    choose_tile(c);
    c->square = c->lanes < SQUARE ? c->lanes : SQUARE;
    if (can_pack(c)) use_copy(c);
    else c->direct = is_direct(c);
    c->pack_a = wants_packing(c);
    choose_runs(c);
    begin(c);
    inside = c->mq < c->n[GROUP_M] - 1;
    rows = inside ? c->mb * c->mc : c->mb;
    for (int i = c->mq + 1; i < c->n[GROUP_M] - 1; i++) rows *= symbol_size(c, c->symbol[GROUP_M][i]);
    rows = choose_columns(c, rows);
    bool cut = c->kq == c->n[GROUP_K] - 1 && !(c->k_divides && c->kc % c->square == 0);
    bool whole_squares = !cut && size_is_const(c->size_k, &whole) && whole % c->square == 0;
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "MB", c->mb);
    template_number(c->t, "ROWS", rows);
    template_number(c->t, "KC", c->kc);
    template_set(c->t, "KQ", work_size(c->w, c->sp->symbol[c->symbol[GROUP_K][c->kq]].n));
    template_number(c->t, "DEPTH", c->kc * c->k_inner + c->lanes); /* packing through transposes may write so much further */
    template_number(c->t, "pack_a", c->pack_a);
    template_number(c->t, "AB", tiles(c->mb, c->lanes) * c->lanes);
    template_number(c->t, "AW", (tiles(c->mb, c->lanes) + 1) * c->lanes); /* no power of two: rows in other sets of the cache */
    template_number(c->t, "SQ", c->square);
    template_set(c->t, "masked", whole_squares ? "" : "masked");
    template_number(c->t, "one_block", c->kq == 0 && c->k_whole);
    template_number(c->t, "k_whole", c->k_whole);
    template_number(c->t, "packed", c->pack != NULL || c->direct);
    template_number(c->t, "squares", is_transposed(c));
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    template_number(c->t, "k_divide", c->k_divides);
    template_run(c->t, "panels");
}

/* Are there more rows than a few, whatever the sizes that are known only at run time? */
static bool has_many_rows(const Contract *c) {
    int64_t rows = 1, n;
    for (int i = 0; i < c->n[GROUP_M]; i++)
        if (size_is_const(c->sp->symbol[c->symbol[GROUP_M][i]].n, &n)) rows *= n;
    return rows > SMALL;
}

void schedule_contract(Work *w, KernelCode *code) {
    Contract c;
    start(&c, w, w->k);
    int64_t low, high;
    size_range(c.size_m, &low, &high);
    bool none = c.sm < 0 || c.sn < 0 || c.sk < 0 || c.lanes == 1, many = has_many_rows(&c);
    bool small = none || (high <= SMALL && !many);
    if (small || (low <= SMALL && !many)) {
        emit_rows(&c);
        if (!small) {
            w->when = c.size_m;
            w->low = INT64_MIN;
            w->high = SMALL + 1;
        }
        work_finish(w, code);
        if (small) return;
        w = work_new(w->s, w->plan, w->k, "contract");
        start(&c, w, w->k);
        w->when = c.size_m;
        w->low = SMALL + 1;
        w->high = INT64_MAX;
    }
    emit_panels(&c);
    work_finish(w, code);
}
