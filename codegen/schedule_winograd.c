/* schedule_winograd.c -- convolutions by 3 x 3 windows as F(4x4, 3x3): 36 products over tiles of 4 x 4 outputs instead of 9
 * over single outputs, a quarter of the multiplications; or as F(2x2, 3x3), 16 products, 4 ninths of them, where the weights of
 * the first would take longer to come from memory than the products save: many channels, small pictures.
 *
 * A product is such a convolution when its rows and columns step through A as its windows do: strides of i and u, of j and v
 * are equal, channels lie side by side. winograd.tile holds the loops; here are the choice against the direct form, the size of
 * blocks, and what fills the holes.
 *
 * A block of tiles keeps its transformed input in the second level cache, and the weights go by once for each block. Tiles of
 * short rows come together, several rows and pictures of them. A tile's sums do not depend on its block, so neither blocks nor
 * threads change a bit of the result.
 *
 * Errors are ten times those of a sum, by the size of the results around (tests/schedule/winograd.c). An input that is not
 * finite spoils its tiles, and not only the outputs whose windows hold it. */
#include "codegen/winograd.h"

#include <string.h>

enum {
    WIDE = 16,          /* columns of tiles from which on width makes no difference */
    TILES_LEAST = 8,    /* of a block: fewer wait for weights */
    BLOCKS_WISHED = 6,  /* so that threads share the work evenly */
    OUTPUTS_LEAST = 64, /* of a block: its transforms of the input are paid by them */
    CACHED = 16 << 20,  /* bytes of weights that stay in the last level cache */
    NEAR = 24,
    FAR = 6 /* bytes a vector instruction from there, and from memory. Where two are done at a time, 4 fits better: --tune finds out */
};

static int64_t weight_bytes(const Winograd *g) {
    return 4 * g->points * g->panels * g->c.width * g->channels;
}

/* ---- is it one? */

static bool is_convolution(Winograd *g) {
    Contract *c = &g->c;
    if (c->k->limit.seen || c->n[GROUP_BATCH] || c->n[GROUP_M] < 2 || c->n[GROUP_N] != 1 || c->n[GROUP_K] != 3 || c->lanes == 1)
        return false;
    if (c->type != DT_F32 || c->a->type.dtype != DT_F32 || c->b->type.dtype != DT_F32 || c->prologue) return false;
    g->from = c->at_a;
    if (!winograd_windows(g, GROUP_M, GROUP_K)) return false;
    for (int i = 0; i < 3; i++)
        if (c->symbol[GROUP_K][i] != g->su && c->symbol[GROUP_K][i] != g->sv) g->sc = c->sk = c->symbol[GROUP_K][i];
    c->sm = g->sj;
    c->size_k = c->sp->symbol[c->sk].n;
    bool known = size_is_static(c->size_k) && size_is_static(c->size_n) && size_is_static(c->at_b->at.c);
    for (int s = 0; s < c->sp->n; s++) known = known && (!c->at_b->at.coef[s] || size_is_static(c->at_b->at.coef[s]));
    g->kept = contract_can_pack(c);
    return known && contract_contiguous(c->at_a, c->sk);
}

/* ---- blocks */

/* Tiles whose transformed input stays in the cache beside the weights that pass by; in register tiles of 14 or 8. */
static int64_t most_tiles(const Winograd *g) {
    int64_t most = g->c.w->machine->l2 * 7 / 10 / (g->points * 4 * g->row);
    return most >= TILES_MOST ? TILES_MOST : most >= 2 * TILES_LEAST ? 2 * TILES_LEAST : TILES_LEAST;
}

/* Panels of a block: all, unless there are few blocks. */
static void choose_group(Winograd *g) {
    SizeTable *t = g->c.w->table;
    int64_t low, high, parts = winograd_least(winograd_tiles(g->outputs, OUTPUTS_LEAST), g->panels);
    Size blocks = size_mul(size_ceildiv(g->rows, g->by_i), size_ceildiv(g->columns, g->by_j));
    if (g->sb >= 0) blocks = size_mul(blocks, size_ceildiv(g->c.sp->symbol[g->sb].n, size_const(t, g->rn)));
    Size shared = size_min(size_const(t, parts), size_ceildiv(size_const(t, BLOCKS_WISHED), blocks));
    g->group = size_ceildiv(size_const(t, g->panels), shared);
    size_range(g->group, &low, &high);
    g->groups = winograd_least(winograd_tiles(g->panels, low > 0 ? low : 1), parts);
}

/* Does it pay, for pictures of so many columns (and rows, if they are not known) of tiles? Costs are vector instructions of a
 * picture. */
static bool pays(const Winograd *g, int64_t columns) {
    const Contract *c = &g->c;
    int64_t rows = contract_estimate(g->rows, columns), blocks = winograd_tiles(rows, g->ri) * winograd_tiles(columns, g->rj);
    int64_t block = winograd_least(g->ri, rows) * winograd_least(g->rj, columns) * g->rn, n, m;
    double height = (double)contract_estimate(c->sp->symbol[g->si].n, g->side * rows - 1);
    double width = (double)contract_estimate(c->sp->symbol[g->sj].n, g->side * columns - 1);
    double channels = (double)g->channels, vectors = (double)winograd_tiles(g->outputs, c->lanes);
    double direct = height * width * TAPS * TAPS * channels * vectors;
    double filled = (double)(winograd_tiles(block, c->mr) * c->mr) / (double)block, parts = (double)g->groups;
    double products = g->points * channels * (double)(g->panels * c->nv) * filled;
    double transforms = TRANSFORM * g->points * ((double)winograd_tiles(g->channels, c->lanes) * parts + vectors);
    double weights = g->points * 4 * channels * (double)(g->panels * c->width);
    double moved = weights / (weights > CACHED ? FAR : NEAR) * (double)blocks / (double)g->rn;
    double work = (double)(rows * columns) * products;
    int64_t pictures = g->sb < 0 ? 1 : contract_estimate(c->sp->symbol[g->sb].n, PICTURES);
    if (!g->kept) transforms += TRANSFORM * g->points * channels * vectors / (double)(pictures * rows * columns);
    bool small = size_is_const(g->rows, &n) && size_is_const(g->columns, &m) && n * m == 1;
    return !small && GAIN * ((work > moved ? work : moved) + (double)(rows * columns) * transforms) < direct;
}

/* ---- holes */

static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Winograd *g = context;
    Contract *c = &g->c;
    Size one = size_const(c->w->table, 1), pictures = g->sb < 0 ? one : c->sp->symbol[g->sb].n;
    for (int s = 0; s < c->sp->n; s++) {
        const Symbol *symbol = &c->sp->symbol[s];
        if (symbol->axis < 0 || symbol->gone || c->class[symbol->axis] != GROUP_M || s == g->sb || s == g->si || s == g->sj)
            continue;
        c->p.text[s] = winograd_open(g, arena_printf(c->w->arena, "x%d", s), symbol->n, one);
    }
    g->first_n = winograd_open(g, "nb", pictures, size_const(c->w->table, g->rn));
    g->first_i = winograd_open(g, "ib", g->rows, g->by_i);
    g->first_j = winograd_open(g, "jb", g->columns, g->by_j);
    template_set(c->t, "p0", winograd_open(g, "pb", size_const(c->w->table, g->panels), g->group));
    winograd_live(g);
    return "";
}

/* "parallel" lines of the weights: panels, then channels. */
static const char *fill_weight_nest(void *context, const char *const *args) {
    (void)args;
    Winograd *g = context;
    Contract *c = &g->c;
    Size one = size_const(c->w->table, 1);
    const char *p = winograd_open(g, "pb", size_const(c->w->table, g->panels), one);
    c->p.text[c->sk] = winograd_open(g, "kb", c->size_k, one);
    template_set(c->t, "p", p);
    template_set(c->t, "j0", strcmp(p, "0") ? arena_printf(c->w->arena, "%lld*%s", (long long)c->width, p) : p);
    return "";
}

static const char *fill_u(void *context, const char *const *args) {
    Winograd *g = context;
    return arena_printf(g->c.w->arena, "%s[%s, %s, %s, %s : %d]", g->u, args[0], args[1], args[2], args[3], g->c.lanes);
}

static const char *fill_u_place(void *context, const char *const *args) {
    Winograd *g = context;
    return arena_printf(g->c.w->arena, "%s[%s, %s, %s, %s]", g->u, args[0], args[1], args[2], args[3]);
}

static const char *fill_transformed(void *context, const char *const *args) {
    Winograd *g = context;
    return fill_u(context, (const char *[]){template_get(g->c.t, "p"), args[0], g->c.p.text[g->c.sk], args[1]});
}

static const char *fill_weight(void *context, const char *const *args) {
    Winograd *g = context;
    Contract *c = &g->c;
    Point p = point_inside(&c->p);
    p.text[g->su] = args[0];
    p.text[g->sv] = args[1];
    p.text[c->sn] = args[2];
    p.lanes = c->lanes;
    p.vector = c->sn;
    p.limit = c->width && g->outputs % c->width ? work_size(c->w, c->size_n) : NULL;
    return point_place(&p, c->at_b, "");
}

static const char *fill_pixel(void *context, const char *const *args) {
    Winograd *g = context;
    Contract *c = &g->c;
    Work *w = c->w;
    const char *i = arena_printf(w->arena, "%d*(%s) + %s", g->side, template_get(c->t, "ti"), args[0]);
    const char *j = arena_printf(w->arena, "%d*(%s) + %s", g->side, template_get(c->t, "tj"), args[1]);
    if (!g->whole_i) text_line(&w->body, "if %s < %s {", i, work_size(w, c->sp->symbol[g->si].n));
    if (!g->whole_j) text_line(&w->body, "if %s < %s {", j, work_size(w, c->sp->symbol[g->sj].n));
    c->p.text[g->si] = i;
    template_set(c->t, "column", j);
    template_set(c->t, "j0",
                 arena_printf(w->arena, "%lld*(%s)", (long long)c->width, text_plus(w, template_get(c->t, "p0"), "g")));
    return "";
}

static const Hole HOLES[] = {
    {"nest", 0, fill_nest},
    {"weight_nest", 0, fill_weight_nest},
    {"scalars", 0, contract_fill_scalars},
    {"tile", 3, winograd_fill_tile},
    {"edges", 0, winograd_fill_edges},
    {"channels", 0, winograd_fill_channels},
    {"x", 3, winograd_fill_x},
    {"u", 4, fill_u},
    {"u_place", 4, fill_u_place},
    {"weight", 3, fill_weight},
    {"transformed", 2, fill_transformed},
    {"pixel", 2, fill_pixel},
    {"epilogue", 3, contract_fill_epilogue},
    {NULL, 0, NULL},
};

/* ---- kernels */

/* The convolution k in work w; false: it is none. The sizes of blocks are to be chosen. */
static bool start(Winograd *g, int side, Work *w, const Kernel *k) {
    *g = (Winograd){.side = side, .points = (side + TAPS - 1) * (side + TAPS - 1)};
    contract_start_apart(&g->c, w, k);
    if (!is_convolution(g)) return false;
    g->channels = size_value(g->c.size_k);
    g->outputs = size_value(g->c.size_n);
    g->limited = g->channels % g->c.lanes != 0;
    g->row = winograd_tiles(g->channels, g->c.lanes) * g->c.lanes;
    if (g->row % (2 * g->c.lanes) == 0) g->row += g->c.lanes; /* neighbours in other sets of the cache */
    return true;
}

static void begin(Winograd *g) {
    Contract *c = &g->c;
    Work *w = c->w;
    c->p = point_new(w, c->items, 1, -1);
    c->t = template_new(&w->body, "winograd.tile", HOLES, g);
    c->map_lanes = contract_epilogue_indirect(c) ? 1 : c->lanes;
    template_number(c->t, "S", g->side);
    template_number(c->t, "E", g->side + TAPS - 1);
    template_number(c->t, "POINTS", g->points);
    template_number(c->t, "four", g->side == 4);
    template_number(c->t, "L", c->lanes);
    template_set(c->t, "N", work_size(w, c->size_n));
    template_number(c->t, "C", g->channels);
    template_number(c->t, "W", c->width);
    template_number(c->t, "outputs_divide", g->outputs % c->width == 0);
}

/* The transformed weights: kept by the session (pack: which copy, NULL where it is made), or made by a call before. */
static const char *weights_argument(Winograd *g, const Pack *pack, const char *suffix) {
    Work *w = g->c.w;
    const char *type = arena_printf(w->arena, "f32[%lld, %d, %lld, %lld]%s", (long long)g->panels, g->points,
                                    (long long)g->channels, (long long)g->c.width, suffix);
    if (g->kept) return work_arg(w, (KernelArg){.kind = ARG_PACK, .pack = pack}, type);
    return work_shared(w, 0, weight_bytes(g), type);
}

/* The kernel that transforms the weights. */
static Work *transform(const Winograd *g) {
    Winograd made;
    start(&made, g->side, work_new(g->c.w->s, g->c.w->plan, g->c.k, g->kept ? "pack" : "weights"), g->c.k);
    made.c.w->text = g->kept ? "pack" : "weights of 3 x 3 windows";
    made.c.width = g->c.width;
    made.panels = g->panels;
    begin(&made);
    made.u = weights_argument(&made, NULL, " out");
    template_run(made.c.t, "weights");
    return made.c.w;
}

static void emit(Winograd *g, const Pack *pack) {
    Contract *c = &g->c;
    int64_t room = winograd_tiles(g->most, c->mr) * c->mr, group;
    begin(g);
    g->whole_i = !g->flows && winograd_divides(c->sp->symbol[g->si].n, g->side, g->ri);
    g->whole_j = !g->flows && winograd_divides(c->sp->symbol[g->sj].n, g->side, g->rj);
    bool whole_n = g->rn == 1 || winograd_divides(c->sp->symbol[g->sb].n, 1, g->rn);
    bool rows = g->ri == 1 || winograd_divides(g->rows, 1, g->ri),
         columns = g->rj == 1 || winograd_divides(g->columns, 1, g->rj);
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "NV", c->nv);
    template_number(c->t, "NEXT", winograd_tiles(g->channels, c->nv));
    template_number(c->t, "TILES", g->most);
    template_number(c->t, "ROOM", room);
    template_number(c->t, "ROW", g->row);
    template_number(c->t, "V", room * g->row + c->lanes);
    template_number(c->t, "M", room * c->width + c->lanes);
    template_number(c->t, "PANELS", g->panels);
    template_number(c->t, "OUTPUTS", g->panels * c->width);
    template_set(c->t, "GROUP", work_size(c->w, g->group));
    template_number(c->t, "groups", !size_is_const(g->group, &group) || g->panels % group != 0);
    template_number(c->t, "whole", !g->flows && whole_n && rows && columns && room == g->most);
    template_number(c->t, "EL", c->map_lanes);
    template_number(c->t, "scalar_maps", c->map_lanes == 1);
    g->x = winograd_input(g);
    g->u = weights_argument(g, pack, "");
    template_run(c->t, "convolution");
}

static void choose_tile(Winograd *g) {
    contract_pick_tile(&g->c, g->most, g->outputs, 1, 4, TILE_ROWS);
    g->c.width = (int64_t)g->c.nv * g->c.lanes;
    g->panels = winograd_tiles(g->outputs, g->c.width);
    choose_group(g);
}

/* From how many columns of tiles on it pays, if there are less than `below`; INT64_MAX: for none. */
static int64_t pays_from(Winograd *g, int64_t below) {
    int64_t low, high, from = INT64_MAX;
    size_range(g->columns, &low, &high);
    if (low == high) return low < below && pays(g, low) ? INT64_MIN : INT64_MAX;
    if (high >= below) high = below - 1;
    for (int64_t columns = winograd_least(high, WIDE); columns >= low && columns > 1; columns--) {
        g->rj = winograd_least(columns, g->rj);
        g->ri = g->most / g->rj;
        if (!pays(g, columns)) break;
        from = columns;
    }
    return from <= low ? INT64_MIN : from;
}

/* Appends the form with tiles of `side` for pictures narrower than `below`; returns from how many columns on there is one now.
 */
static int64_t form(Work *w, KernelCode *code, int side, int64_t below, Size columns) {
    Winograd g;
    int64_t unit;
    if (!start(&g, side, work_new(w->s, w->plan, w->k, side == 4 ? "winograd4" : "winograd2"), w->k)) return below;
    winograd_block(&g, most_tiles(&g));
    choose_tile(&g);
    int64_t from = pays_from(&g, below < INT64_MAX ? (below - 1) / side + 1 : below);
    if (from == INT64_MAX) return below;
    unit = from > INT64_MIN ? (from - 1) * side + 1 : from; /* the least number of columns with so many tiles */
    Work *weights = transform(&g), *works[2] = {g.kept ? NULL : weights, g.c.w};
    emit(&g, g.kept ? work_pack(weights, contract_packed_slot(&g.c), weight_bytes(&g)) : NULL);
    for (int i = 0; i < 2; i++) {
        if (!works[i]) continue;
        works[i]->when = unit > INT64_MIN || below < INT64_MAX ? columns : NULL;
        works[i]->low = unit;
        works[i]->high = below;
        work_finish(works[i], code);
    }
    return unit;
}

int64_t schedule_winograd(Work *w, KernelCode *code, Size *columns) {
    Winograd g;
    if (!w->by_tiles || !start(&g, 4, work_new(w->s, w->plan, w->k, "winograd"), w->k)) return INT64_MAX;
    *columns = g.c.sp->symbol[g.sj].n;
    int64_t from = form(w, code, 4, INT64_MAX, *columns);
    return from == INT64_MIN ? from : form(w, code, 2, from, *columns);
}
