/* schedule_contract.c -- products: contract and the maps behind it.
 *
 * The letters of a contract fall into four groups: batch (in a, b and the result), m (a and result), n (b and result), k (a and
 * b). The operands change places if that puts the result's last axis into n: it runs along the lanes. Neighbouring symbols of a
 * group merge where all accesses allow it; what is left beside the last symbol of a group becomes parallel (batch, m, n) or an
 * outer loop (k).
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
#define SQUARE     8   /* most lanes of a transposed square */
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

static void open_outer(Contract *c, Group g) {
    int keep = g != GROUP_BATCH;
    for (int i = 0; i < c->n[g] - keep; i++) open_parallel(c, c->symbol[g][i], 1, false);
}

static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    open_outer(c, GROUP_BATCH);
    open_outer(c, GROUP_M);
    open_outer(c, GROUP_N);
    if (c->sm >= 0) open_parallel(c, c->sm, c->mb, false);
    if (c->sn >= 0) open_parallel(c, c->sn, c->width, true);
    template_set(c->t, "i0", c->sm < 0 ? "0" : c->p.text[c->sm]);
    template_set(c->t, "j0", c->sn < 0 ? "0" : c->p.text[c->sn]);
    return "";
}

static const char *fill_scalars(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i < c->items->at.n; i++)
        if (c->items->at.at[i]->outer) point_value(&c->p, c->items->at.at[i]);
    return "";
}

/* Loops over the symbols of k but the last; their names stay in the point. */
static const char *fill_outer_k(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i + 1 < c->n[GROUP_K]; i++) {
        int s = c->symbol[GROUP_K][i];
        c->p.text[s] = arena_printf(c->w->arena, "x%d", s);
        open_line(c, "for %s in 0..%s", c->p.text[s], work_size(c->w, c->sp->symbol[s].n));
    }
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
    return element(c, c->at_a, args[0], NULL, args[1], 1, -1, 1);
}

static const char *fill_b(void *context, const char *const *args) {
    Contract *c = context;
    return element(c, c->at_b, NULL, args[1], args[0], c->lanes, c->sn, c->width);
}

/* Columns of row k of the block at k0, in the scratch panel or in the copy. */
static const char *fill_panel(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    const char *lanes = strcmp(args[2], "1") ? arena_printf(a, " : %s", args[2]) : "";
    if (!c->pack) return arena_printf(a, "bp[%s, %s%s]", args[0], args[1], lanes);
    const char *at = "";
    for (int s = 0; s < c->sp->n; s++)
        if (c->pack_stride[s]) at = arena_printf(a, "%s%lld*%s + ", at, (long long)c->pack_stride[s], c->p.text[s]);
    return arena_printf(a, "%s[%s%lld*(%s) + %lld*(%s + %s) + %s%s]", c->pack, at, (long long)c->pack_rows, c->p.text[c->sn],
                        (long long)c->width, template_get(c->t, "k0"), args[0], args[1], lanes);
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
    {"k_lanes", 0, fill_k_lanes},
    {"a", 2, fill_a},
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

/* Rows of a block: enough to pay for packing a panel, few enough that several threads have work. */
static void choose_block(Contract *c, int64_t m, int64_t n) {
    int64_t panels = tiles(n, c->width), wish = panels * tiles(m, LONG_BLOCK) >= ENOUGH ? LONG_BLOCK : LONG_BLOCK / 2;
    c->mb = tiles(m, c->mr) * c->mr;
    if (c->mb <= wish + wish / 2) return;
    c->mb = tiles(tiles(m, tiles(c->mb, wish)), c->mr) * c->mr;
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
    choose_block(c, m, n);
}

/* Is packing B a matter of transposing? */
static bool is_transposed(const Contract *c) {
    return c->type == DT_F32 && c->at_b->base->type.dtype == DT_F32 && c->lanes > 1 && !is_one(stride(c->at_b, c->sn)) &&
           is_one(stride(c->at_b, c->sk));
}

/* ---- packed weights
 *
 * A copy holds a block of panels for each place of B's outer symbols (batches, n and k that do not merge with the last one),
 * panel after panel, in each row after row of k. The kernel that makes it is the packing of the product, over all panels and
 * all of k: the product that reads it sums in the same order and gives the same bits. */

/* Sets the strides of a copy; returns its elements. */
static int64_t copy_layout(Contract *c) {
    int64_t n = size_value(c->size_n), k = size_value(c->size_k);
    bool inside = !is_transposed(c) || k % c->square == 0;
    c->pack_rows = inside ? k : k + c->square;
    int64_t elements = tiles(n, c->width) * c->width * c->pack_rows;
    for (int s = c->sp->n - 1; s >= 0; s--) {
        if (!c->at_b->at.coef[s] || c->sp->symbol[s].gone || s == c->sn || s == c->sk) continue;
        c->pack_stride[s] = elements;
        elements *= size_value(c->sp->symbol[s].n);
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
    begin(&made);
    int64_t elements = copy_layout(&made), k = size_value(made.size_k);
    made.pack = copy_argument(&made, NULL, elements, " out");
    template_number(made.t, "packed", false);
    template_number(made.t, "squares", is_transposed(&made));
    template_number(made.t, "SQ", made.square);
    template_set(made.t, "masked", k % made.square == 0 ? "" : "masked");
    template_run(made.t, "copy");
    copy_layout(c);
    const Pack *pack = work_pack(made.w, c->at_b->base, elements * dtype_bytes(c->type));
    c->pack = copy_argument(c, pack, elements, "");
}

static void emit_panels(Contract *c) {
    int64_t whole;
    choose_tile(c);
    c->square = c->lanes < SQUARE ? c->lanes : SQUARE;
    if (can_pack(c)) use_copy(c);
    begin(c);
    bool whole_squares = c->k_divides && c->kc % c->square == 0 && size_is_static(c->size_k);
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "MB", c->mb);
    template_number(c->t, "KC", c->kc);
    template_number(c->t, "DEPTH", c->kc + c->lanes); /* packing through transposes may write so much further */
    template_number(c->t, "SQ", c->square);
    template_set(c->t, "masked", whole_squares ? "" : "masked");
    template_number(c->t, "one_block", c->one_block);
    template_number(c->t, "packed", c->pack != NULL);
    template_number(c->t, "squares", is_transposed(c));
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    template_number(c->t, "k_divide", c->k_divides);
    template_run(c->t, "panels");
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
