/* schedule_contract.c -- products: contract and the maps behind it.
 *
 * The letters of a contract fall into four groups: batch (in a, b and the result), m (a and result), n (b and result), k (a and
 * b). The operands change places if that puts the result's last axis into n: it runs along the lanes. Neighbouring symbols of a
 * group merge where all accesses allow it; what is left beside the last symbol of a group becomes parallel (batch, m, n) or an
 * outer loop (k).
 *
 * Two forms:
 *   panels  parallel over blocks of MB rows and panels of W = NV vectors of columns. The panel of B is packed to scratch, k in
 * blocks of KC, through register transposes where k is contiguous in B. A tile of MR x NV accumulators reads A in place by
 * broadcasts. Rows beyond the last are computed again and dropped, columns beyond the last are zero: no copies of the loop for
 * rests. rows    for at most SMALL rows: nothing is packed. Where k is contiguous in both operands, dot products of DOTS
 * columns at once; otherwise a row of accumulators along n. Both leave their sums in a small buffer; the maps behind the
 * product are a loop over it, so that their code exists once. */
#include "codegen/schedule.h"

#include <string.h>

#define SMALL  4   /* rows up to which nothing is packed */
#define DOTS   4   /* columns of one round of dot products */
#define KC     512 /* longest packed block of k */
#define SQUARE 8   /* most lanes of a transposed square: 16 would pack a third faster, but LLVM needs 8 ms for its 64 shuffles \
                    */

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
    Size size_m, size_n, size_k;
    DType type; /* of the accumulators */
    const char *type_name;
    int lanes;
    int mr, nv;
    int64_t mb;     /* rows of a block */
    int64_t width;  /* columns of a panel */
    int64_t kc;     /* longest block of k */
    bool one_block; /* all of k is one block */
    bool k_divides;
    int closers;
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

static void sort_symbols(Contract *c) {
    const Space *sp = c->sp;
    memset(c->n, 0, sizeof c->n);
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone) continue;
        int g = c->class[sp->symbol[s].axis];
        c->symbol[g][c->n[g]++] = s;
    }
    Size one = size_const(c->w->table, 1);
    c->sm = c->n[GROUP_M] ? c->symbol[GROUP_M][c->n[GROUP_M] - 1] : -1;
    c->sn = c->n[GROUP_N] ? c->symbol[GROUP_N][c->n[GROUP_N] - 1] : -1;
    c->sk = c->n[GROUP_K] ? c->symbol[GROUP_K][c->n[GROUP_K] - 1] : -1;
    c->size_m = c->sm < 0 ? one : sp->symbol[c->sm].n;
    c->size_n = c->sn < 0 ? one : sp->symbol[c->sn].n;
    c->size_k = c->sk < 0 ? one : sp->symbol[c->sk].n;
}

/* Letters of the result, then those summed over in the order of b; groups of the axes. */
static void set_axes(Contract *c, Node *anchor, char *axes, const char **la, const char **lb) {
    const char *a = anchor->attrs.labels[0], *b = anchor->attrs.labels[1], *out = anchor->attrs.labels[2];
    Size dim[MAX_SYMBOLS];
    c->a = anchor->in[0];
    c->b = anchor->in[1];
    c->rank = anchor->type.rank;
    int n = 0;
    bool batch_only = true; /* does the last axis that is not a batch belong to a? then the operands change places */
    for (int i = c->rank - 1; i >= 0 && batch_only; i--) {
        if (size_is(anchor->type.dim[i], 1) || (strchr(a, out[i]) && strchr(b, out[i]))) continue;
        batch_only = false;
        if (!strchr(a, out[i])) continue;
        c->a = anchor->in[1];
        c->b = anchor->in[0];
        const char *swap = a;
        a = b;
        b = swap;
    }
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

static bool is_one(Size s) {
    return s && size_is(s, 1);
}

static Size stride(const Access *x, int symbol) {
    return symbol < 0 ? NULL : x->at.coef[symbol];
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

static void start(Contract *c, Work *w, const Kernel *k) {
    char axes[2 * MAX_RANK + 1];
    const char *la, *lb;
    *c = (Contract){.w = w, .k = k};
    set_axes(c, k->anchor, axes, &la, &lb);
    make_accesses(c, axes, la, lb);
    space_merge(c->sp, c->class, 0);
    sort_symbols(c);
    c->type = dtype_arithmetic(k->anchor->type.dtype);
    c->type_name = dtype_name(c->type);
    c->lanes = w->machine->lanes / (dtype_bytes(c->type) == 8 ? 2 : 1);
    if (indirect(c)) c->lanes = 1;
}

/* ---- common text */

static void open_line(Contract *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void open_line(Contract *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    text_line(&c->w->body, "%s {", arena_vprintf(c->w->arena, format, ap));
    va_end(ap);
    c->closers++;
}

static void close_to(Contract *c, int closers) {
    text_close(&c->w->body, c->closers - closers);
    c->closers = closers;
}

static void open_parallel(Contract *c, Point *p, int s, int64_t by, bool rest) {
    bool opened;
    p->text[s] =
        open_parts(c->w, arena_printf(c->w->arena, "x%d", s), c->sp->symbol[s].n, by, rest && !c->w->machine->avx512, &opened);
    c->closers += opened;
}

static void open_outer(Contract *c, Point *p, Group g) {
    int keep = g != GROUP_BATCH;
    for (int i = 0; i < c->n[g] - keep; i++) open_parallel(c, p, c->symbol[g][i], 1, false);
}

static const char *loaded(const Contract *c, const Node *x, const char *place) {
    return x->type.dtype == c->type ? place : arena_printf(c->w->arena, "%s(%s)", c->type_name, place);
}

static const char *multiply_add(const Contract *c, const char *a, const char *b, const char *sum) {
    if (dtype_is_float(c->type)) return arena_printf(c->w->arena, "fma(%s, %s, %s)", a, b, sum);
    return arena_printf(c->w->arena, "%s + %s * %s", sum, a, b);
}

/* The maps behind the product at point p, where the sum is the text `sum`; stores. */
static void epilogue(Contract *c, Point *p, const char *sum) {
    Work *w = c->w;
    for (int i = 0; i < c->items->at.n; i++) {
        Item *item = c->items->at.at[i];
        if (item->outer) continue;
        if (item->n != c->k->anchor) {
            point_value(p, item);
            continue;
        }
        DType d = item->n->type.dtype;
        item->vector = p->lanes > 1;
        item->value = arena_printf(w->arena, "v%d", ++w->names);
        text_line(&w->body, "let %s = %s", item->value,
                  dtype_arithmetic(d) == d ? sum : arena_printf(w->arena, "f32(%s(%s))", dtype_name(d), sum));
    }
    for (int i = 0; i < c->k->writes.n; i++) point_store(p, c->stores.at[i], items_find(c->items, c->k->writes.at[i])->value);
}

static void scalar_items(Contract *c, Point *p) {
    for (int i = 0; i < c->items->at.n; i++)
        if (c->items->at.at[i]->outer) point_value(p, c->items->at.at[i]);
}

static const char *limit_of(Contract *c, Size n, int64_t lanes) {
    int64_t whole;
    return size_is_const(n, &whole) && whole % lanes == 0 ? NULL : work_size(c->w, n);
}

/* Loop over `columns` sums of buffer row `row` ("ct[r, " or "ct["), which begin at column text[sn]. */
static void epilogue_columns(Contract *c, const Point *outer, int64_t columns, const char *row) {
    Work *w = c->w;
    Point p = point_inside(outer);
    int closers = c->closers;
    int lanes = c->sn < 0 || epilogue_indirect(c) ? 1 : c->lanes;
    p.lanes = lanes;
    p.vector = c->sn;
    if (c->sn >= 0) {
        int64_t whole;
        bool inside = size_is_const(c->size_n, &whole) && whole % columns == 0;
        if (lanes == 1) open_line(c, "for v in 0..%lld", (long long)columns);
        else open_line(c, "for v in 0..%lld by %d", (long long)columns, lanes);
        p.text[c->sn] = text_plus(w, "v", outer->text[c->sn]);
        p.limit = lanes > 1 ? limit_of(c, c->size_n, lanes) : NULL;
        if (!inside) open_line(c, "if %s < %s", p.text[c->sn], work_size(w, c->size_n));
        epilogue(c, &p, lanes == 1 ? arena_printf(w->arena, "%sv]", row) : arena_printf(w->arena, "%sv : %d]", row, lanes));
    } else {
        epilogue(c, &p, arena_printf(w->arena, "%s0]", row));
    }
    close_to(c, closers);
}

/* ---- rows */

static void dot_columns(Contract *c, const Point *outer, int64_t columns) {
    Work *w = c->w;
    int closers = c->closers, dots = c->sn < 0 ? 1 : DOTS;
    Point p = point_inside(outer);
    bool lanes = c->lanes > 1 && is_one(stride(c->at_a, c->sk)) && is_one(stride(c->at_b, c->sk));
    const char *type = lanes ? arena_printf(w->arena, "%sx%d", c->type_name, c->lanes) : c->type_name;
    const char *column[DOTS] = {"", "", "", ""};
    if (dots > 1) open_line(c, "for c in 0..%lld by %d", (long long)columns, dots);
    for (int i = 0; i < dots && c->sn >= 0; i++) {
        column[i] = arena_printf(w->arena, "c%d", i);
        const char *size = work_size(w, c->size_n);
        text_line(&w->body, "index %s = min(%s + c + %d, %s - 1) in 0..%s", column[i], outer->text[c->sn], i, size, size);
    }
    for (int i = 0; i < dots; i++) text_line(&w->body, "reg s%d: %s = %s(0)", i, type, c->type_name);
    int inner = c->closers;
    for (int i = 0; i < c->n[GROUP_K]; i++) {
        int s = c->symbol[GROUP_K][i];
        p.text[s] = arena_printf(w->arena, "x%d", s);
        bool vector = s == c->sk && lanes;
        if (vector) {
            p.text[s] = open_lanes(w, p.text[s], c->size_k, c->lanes);
            c->closers++;
            continue;
        }
        open_line(c, "for %s in 0..%s", p.text[s], work_size(w, c->sp->symbol[s].n));
    }
    p.lanes = lanes ? c->lanes : 1;
    p.vector = lanes ? c->sk : -1;
    p.limit = lanes ? limit_of(c, c->size_k, c->lanes) : NULL;
    Point in_k = point_inside(&p);
    text_line(&w->body, "let a = %s", loaded(c, c->at_a->base, point_place(&in_k, c->at_a, "")));
    for (int i = 0; i < dots; i++) {
        Point q = point_inside(&in_k);
        if (c->sn >= 0) q.text[c->sn] = column[i];
        const char *b = loaded(c, c->at_b->base, point_place(&q, c->at_b, ""));
        text_line(&w->body, "s%d = %s", i, multiply_add(c, "a", b, arena_printf(w->arena, "s%d", i)));
    }
    close_to(c, inner);
    for (int i = 0; i < dots; i++)
        text_line(&w->body, lanes ? "ct[%s%d] = hadd(s%d)" : "ct[%s%d] = s%d", dots > 1 ? "c + " : "", i, i);
    close_to(c, closers);
}

static void streamed_columns(Contract *c, const Point *outer, int64_t columns) {
    Work *w = c->w;
    int closers = c->closers, nv = (int)(columns / c->lanes);
    Point p = point_inside(outer);
    text_line(&w->body, "reg s: %sx%d[%d]", c->type_name, c->lanes, nv);
    for (int i = 0; i < c->n[GROUP_K]; i++) {
        int s = c->symbol[GROUP_K][i];
        p.text[s] = arena_printf(w->arena, "x%d", s);
        open_line(c, "for %s in 0..%s", p.text[s], work_size(w, c->sp->symbol[s].n));
    }
    p.vector = -1;
    text_line(&w->body, "let a = %s", loaded(c, c->at_a->base, point_place(&p, c->at_a, "")));
    p.lanes = c->lanes;
    p.vector = c->sn;
    p.limit = limit_of(c, c->size_n, columns);
    for (int v = 0; v < nv; v++) {
        p.text[c->sn] = text_plus(w, outer->text[c->sn], arena_printf(w->arena, "%d", v * c->lanes));
        const char *b = loaded(c, c->at_b->base, point_place(&p, c->at_b, ""));
        text_line(&w->body, "s[%d] = %s", v, multiply_add(c, "a", b, arena_printf(w->arena, "s[%d]", v)));
    }
    close_to(c, closers);
    for (int v = 0; v < nv; v++) text_line(&w->body, "ct[%d : %d] = s[%d]", v * c->lanes, c->lanes, v);
}

static void emit_rows(Contract *c) {
    Work *w = c->w;
    w->kind = "rows";
    Point p = point_new(w, c->items, 1, -1);
    bool stream = c->lanes > 1 && c->sn >= 0 && is_one(stride(c->at_b, c->sn));
    int64_t columns = c->sn < 0 ? 1 : 4 * w->machine->lanes, low, high;
    size_range(c->size_n, &low, &high);
    while (columns > c->lanes && columns > DOTS && high <= columns / 2) columns /= 2;
    open_outer(c, &p, GROUP_BATCH);
    if (c->sm >= 0) {
        open_outer(c, &p, GROUP_M);
        open_parallel(c, &p, c->sm, 1, false);
    }
    if (c->sn >= 0) {
        open_outer(c, &p, GROUP_N);
        open_parallel(c, &p, c->sn, columns, true);
    }
    scalar_items(c, &p);
    text_line(&w->body, "buf ct: %s[%lld] stack", c->type_name, (long long)columns);
    if (stream) streamed_columns(c, &p, columns);
    else dot_columns(c, &p, columns);
    epilogue_columns(c, &p, columns, "ct[");
    close_to(c, 0);
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

static void choose_tile(Contract *c) {
    const TileTarget *t = c->w->machine;
    int64_t m = estimate(c->size_m, 512), n = estimate(c->size_n, 64);
    int registers = t->registers - (t->registers > 16);
    double best = 1e30;
    for (int nv = 1; nv <= 4; nv++) {
        for (int mr = 1; mr <= 8; mr++) {
            if (mr * nv + nv + 1 > registers) continue;
            double cost = (double)(tiles(m, mr) * tiles(n, nv * c->lanes)) * step_cost(t, mr, nv);
            if (cost >= best - 1e-9) continue;
            best = cost;
            c->mr = mr;
            c->nv = nv;
        }
    }
    c->width = (int64_t)c->nv * c->lanes;
    int64_t low, high, whole;
    size_range(c->size_k, &low, &high);
    c->kc = high < KC ? high : KC;
    c->one_block = high <= KC && c->n[GROUP_K] <= 1;
    if (size_is_const(c->size_k, &whole) && whole > KC)
        for (int64_t d = KC; d >= KC / 2; d--)
            if (whole % d == 0) {
                c->kc = d;
                break;
            }
    c->k_divides = size_is_const(c->size_k, &whole) && whole % c->kc == 0;
    /* rows of a block: enough to pay for packing, few enough that several threads have work */
    int64_t wish = 96;
    c->mb = tiles(m, c->mr) * c->mr;
    if (c->mb > wish + wish / 2) {
        int64_t blocks = tiles(c->mb, wish);
        c->mb = tiles(tiles(m, blocks), c->mr) * c->mr;
    }
}

/* k is contiguous in B: squares of lanes x lanes through registers; columns of an incomplete square one by one. */
static void pack_transposed(Contract *c, const Point *outer, const char *k0, const char *kb) {
    Work *w = c->w;
    Point p = point_inside(outer);
    int64_t whole;
    bool inside = size_is_const(c->size_n, &whole) && whole % c->width == 0;
    const char *size = work_size(w, c->size_n);
    int lanes = c->lanes < SQUARE ? c->lanes : SQUARE;
    p.lanes = lanes;
    open_line(c, "for c in 0..%lld by %d", (long long)c->width, lanes);
    int column = c->closers;
    if (!inside) open_line(c, "if %s + c + %d <= %s", outer->text[c->sn], lanes, size);
    open_line(c, "for k in 0..%s by %d%s", kb, lanes,
              c->k_divides && c->kc % lanes == 0 && size_is_static(c->size_k) ? "" : " masked");
    text_line(&w->body, "reg t: f32x%d[%d]", lanes, lanes);
    p.vector = c->sk;
    p.limit = limit_of(c, c->size_k, lanes);
    p.text[c->sn] = arena_printf(w->arena, "%s + c + i", outer->text[c->sn]);
    p.text[c->sk] = text_plus(w, "k", k0);
    text_line(&w->body, "unroll i in 0..%d { t[i] = %s }", lanes, point_place(&p, c->at_b, ""));
    text_line(&w->body, "transpose t");
    text_line(&w->body, "unroll i in 0..%d { bp[k + i, c : %d] = t[i] }", lanes, lanes);
    close_to(c, column);
    if (inside) return;
    open_line(c, "if %s < %s + c + %d", size, outer->text[c->sn], lanes);
    open_line(c, "for i in 0..%d", lanes);
    open_line(c, "if %s < %s", p.text[c->sn], size);
    open_line(c, "for k in 0..%s", kb);
    p.lanes = 1;
    p.vector = -1;
    text_line(&w->body, "bp[k, c + i] = %s", point_place(&p, c->at_b, ""));
    close_to(c, column);
}

static void pack_panel(Contract *c, const Point *outer, const char *k0, const char *kb) {
    Work *w = c->w;
    Point p = point_inside(outer);
    int closers = c->closers;
    bool transposed = c->type == DT_F32 && c->at_b->base->type.dtype == DT_F32 && c->lanes > 1 &&
                      !is_one(stride(c->at_b, c->sn)) && is_one(stride(c->at_b, c->sk));
    p.lanes = c->lanes;
    if (transposed) {
        pack_transposed(c, &p, k0, kb);
    } else {
        p.vector = c->sn;
        p.limit = limit_of(c, c->size_n, c->width);
        open_line(c, "for k in 0..%s", kb);
        if (c->sk >= 0) p.text[c->sk] = text_plus(w, "k", k0);
        for (int v = 0; v < c->nv; v++) {
            p.text[c->sn] = text_plus(w, outer->text[c->sn], arena_printf(w->arena, "%d", v * c->lanes));
            text_line(&w->body, "bp[k, %d : %d] = %s", v * c->lanes, c->lanes,
                      loaded(c, c->at_b->base, point_place(&p, c->at_b, "")));
        }
    }
    close_to(c, closers);
}

/* The tile of MR rows from row text[sm] + t of the block on: sums over the packed block, to or added to the rows t.. of ct. */
static void tile_product(Contract *c, const Point *outer, const char *k0, const char *kb, bool add) {
    Work *w = c->w;
    int closers;
    const char *rows[32], *size = work_size(w, c->size_m), *at = add ? "t + " : "";
    int64_t whole;
    bool inside = size_is_const(c->size_m, &whole) && whole % c->mb == 0;
    for (int r = 0; r < c->mr; r++) {
        rows[r] = text_plus(w, outer->text[c->sm], arena_printf(w->arena, "%d", r));
        if (inside) continue;
        text_line(&w->body, "index i%d = min(%s, %s - 1) in 0..%s", r, rows[r], size, size);
        rows[r] = arena_printf(w->arena, "i%d", r);
    }
    text_line(&w->body, "reg acc: %sx%d[%d, %d]", c->type_name, c->lanes, c->mr, c->nv);
    if (add) {
        text_line(&w->body, "unroll r in 0..%d { unroll v in 0..%d { acc[r, v] = ct[t + r, %d*v : %d] } }", c->mr, c->nv,
                  c->lanes, c->lanes);
    }
    closers = c->closers;
    open_line(c, "for k in 0..%s", kb);
    text_line(&w->body, "reg b: %sx%d[%d]", c->type_name, c->lanes, c->nv);
    text_line(&w->body, "unroll v in 0..%d { b[v] = bp[k, %d*v : %d] }", c->nv, c->lanes, c->lanes);
    Point p = point_inside(outer);
    p.vector = -1;
    if (c->sk >= 0) p.text[c->sk] = text_plus(w, "k", k0);
    for (int r = 0; r < c->mr; r++) {
        p.text[c->sm] = rows[r];
        text_line(&w->body, "let y%d = splat(%s, %d)", r, loaded(c, c->at_a->base, point_place(&p, c->at_a, "")), c->lanes);
        text_line(&w->body, "unroll v in 0..%d { acc[%d, v] = %s }", c->nv, r,
                  multiply_add(c, arena_printf(w->arena, "y%d", r), "b[v]", arena_printf(w->arena, "acc[%d, v]", r)));
    }
    close_to(c, closers);
    text_line(&w->body, "unroll r in 0..%d { unroll v in 0..%d { ct[%sr, %d*v : %d] = acc[r, v] } }", c->mr, c->nv, at,
              c->lanes, c->lanes);
}

/* for t in 0..MB by MR, tiles beyond the last row left out; sets text[sm] to the tile's first row. */
static void open_tiles(Contract *c, Point *p, const char *block) {
    Work *w = c->w;
    int64_t whole;
    bool inside = size_is_const(c->size_m, &whole) && whole % c->mb == 0;
    open_line(c, "for t in 0..%lld by %d", (long long)c->mb, c->mr);
    p->text[c->sm] = text_plus(w, block, "t");
    if (!inside) open_line(c, "if %s < %s", p->text[c->sm], work_size(w, c->size_m));
}

static void epilogue_rows(Contract *c, const Point *tile, bool whole_block) {
    Work *w = c->w;
    Point p = point_inside(tile);
    int closers = c->closers;
    int64_t whole;
    bool inside = size_is_const(c->size_m, &whole) && whole % c->mb == 0;
    open_line(c, "for r in 0..%d", c->mr);
    p.text[c->sm] = arena_printf(w->arena, "%s + r", tile->text[c->sm]);
    if (!inside) open_line(c, "if %s < %s", p.text[c->sm], work_size(w, c->size_m));
    epilogue_columns(c, &p, c->width, whole_block ? "ct[t + r, " : "ct[r, ");
    close_to(c, closers);
}

static void emit_panels(Contract *c) {
    Work *w = c->w;
    choose_tile(c);
    Point p = point_new(w, c->items, 1, -1);
    open_outer(c, &p, GROUP_BATCH);
    open_outer(c, &p, GROUP_M);
    open_outer(c, &p, GROUP_N);
    open_parallel(c, &p, c->sm, c->mb, false);
    open_parallel(c, &p, c->sn, c->width, true);
    scalar_items(c, &p);
    const char *block = p.text[c->sm];
    int64_t depth = c->kc + c->lanes; /* packing through transposes may write so much further */
    text_line(&w->body, "buf bp: %s[%lld, %lld] arena", c->type_name, (long long)depth, (long long)c->width);
    if (c->one_block) {
        const char *kb = work_size(w, c->size_k);
        pack_panel(c, &p, "0", kb);
        Point tile = point_inside(&p);
        int closers = c->closers;
        open_tiles(c, &tile, block);
        text_line(&w->body, "buf ct: %s[%d, %lld] stack", c->type_name, c->mr, (long long)c->width);
        tile_product(c, &tile, "0", kb, false);
        epilogue_rows(c, &tile, false);
        close_to(c, closers);
    } else {
        text_line(&w->body, "buf ct: %s[%lld, %lld] arena", c->type_name, (long long)c->mb, (long long)c->width);
        text_line(&w->body, "for r in 0..%lld { for v in 0..%lld by %d { ct[r, v : %d] = %s(0) } }", (long long)c->mb,
                  (long long)c->width, c->lanes, c->lanes, c->type_name);
        Point q = point_inside(&p);
        int closers = c->closers;
        for (int i = 0; i + 1 < c->n[GROUP_K]; i++) {
            int s = c->symbol[GROUP_K][i];
            q.text[s] = arena_printf(w->arena, "x%d", s);
            open_line(c, "for %s in 0..%s", q.text[s], work_size(w, c->sp->symbol[s].n));
        }
        const char *size = work_size(w, c->size_k), *kb = arena_printf(w->arena, "%lld", (long long)c->kc);
        open_line(c, "for k0 in 0..%s by %s%s", size, kb, c->k_divides ? "" : " masked");
        if (!c->k_divides) { /* what the verifier cannot see through min, the if tells it */
            text_line(&w->body, "index kb = min(%s - k0, %s) in 1..%lld", size, kb, (long long)c->kc + 1);
            open_line(c, "if k0 + kb <= %s", size);
            kb = "kb";
        }
        pack_panel(c, &q, "k0", kb);
        Point tile = point_inside(&q);
        open_tiles(c, &tile, block);
        tile_product(c, &tile, "k0", kb, true);
        close_to(c, closers);
        Point last = point_inside(&p);
        open_tiles(c, &last, block);
        epilogue_rows(c, &last, true);
    }
    close_to(c, 0);
}

void schedule_contract(Work *w, KernelCode *code) {
    Contract c;
    start(&c, w, w->k);
    int64_t low, high;
    size_range(c.size_m, &low, &high);
    bool small = c.sm < 0 || c.sn < 0 || c.sk < 0 || c.lanes == 1 || high <= SMALL;
    if (small || low <= SMALL) {
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
