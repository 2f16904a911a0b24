/* schedule_winograd_gradient.c -- gradients of 3 x 3 convolutions by their weights, through the tiles of F(4x4, 3x3).
 *
 * The convolution is linear in its weights, so the gradient of the form that schedule_winograd.c computes is as exact as the
 * form itself: 36 products over tiles instead of 9 over outputs. Both pictures and gradients of outputs are transformed, tile
 * by tile, and the sums for a block of channels and outputs stay in the second level cache until all pictures have gone by;
 * then they go back to 9 taps. Blocks of weights, and the parts that passes/layout_conv.c cuts pictures into, run in parallel;
 * the order of each sum is fixed. */
#include "codegen/winograd.h"

#include <string.h>

enum { SIDE = 4, POINTS = 36 };

typedef struct Gradient {
    Winograd g; /* first: its holes and those of contract.tile are used here, too */
    int64_t cg, og;
    int64_t yrow;
} Gradient;

/* C is A' B with A the gradients of outputs [n i j o], B the windows [n i u j v c]: pictures are B, o and c belong to one of
 * them. */
static bool is_gradient(Gradient *d) {
    Winograd *g = &d->g;
    Contract *c = &g->c;
    if (c->k->limit.seen || c->n[GROUP_M] != 1 || c->n[GROUP_N] != 3 || c->n[GROUP_K] < 2 || c->lanes == 1) return false;
    if (c->type != DT_F32 || c->a->type.dtype != DT_F32 || c->b->type.dtype != DT_F32 || contract_epilogue_indirect(c))
        return false;
    g->side = SIDE;
    g->from = c->at_b;
    if (!winograd_windows(g, GROUP_K, GROUP_N)) return false;
    for (int i = 0; i < 3; i++)
        if (c->symbol[GROUP_N][i] != g->su && c->symbol[GROUP_N][i] != g->sv) g->sc = c->symbol[GROUP_N][i];
    c->sn = c->symbol[GROUP_M][0]; /* outputs along the lanes */
    c->sm = g->sc;
    c->size_n = c->sp->symbol[c->sn].n;
    c->size_m = c->sp->symbol[c->sm].n;
    return contract_contiguous(c->at_b, g->sc) && contract_contiguous(c->at_a, c->sn) && size_is_static(c->size_n) &&
           size_is_static(c->size_m);
}

/* ---- blocks */

/* Channels and outputs whose sums take about half of the cache. */
static void choose_weights(Gradient *d) {
    Winograd *g = &d->g;
    Contract *c = &g->c;
    int64_t most = c->w->machine->l2 * 6 / 10 / (POINTS * 4), channels = 1, outputs = 1;
    contract_pick_tile(c, g->channels, g->outputs, 1, 4, TILE_ROWS);
    c->width = (int64_t)c->nv * c->lanes;
    g->panels = winograd_tiles(g->outputs, c->width);
    for (;;) {
        d->cg = winograd_tiles(winograd_tiles(g->channels, channels), c->lanes) * c->lanes;
        d->og = winograd_tiles(g->panels, outputs) * c->width;
        if (d->cg * d->og <= most || (d->cg == c->lanes && d->og == c->width)) break;
        if (d->og > d->cg && d->og > c->width) outputs++;
        else channels++;
    }
    contract_pick_tile(c, d->cg, d->og, c->nv, c->nv, TILE_ROWS);
}

/* Costs are vector instructions of a picture. */
static bool pays(const Gradient *d) {
    const Winograd *g = &d->g;
    const Contract *c = &g->c;
    double height = (double)contract_estimate(c->sp->symbol[g->si].n, 4 * SIDE),
           width = (double)contract_estimate(c->sp->symbol[g->sj].n, 4 * SIDE);
    double all = (double)(winograd_tiles((int64_t)height, SIDE) * winograd_tiles((int64_t)width, SIDE));
    double channels = (double)(winograd_tiles(g->channels, c->lanes) * c->lanes), vectors = (double)(g->panels * c->nv);
    double direct = height * width * TAPS * TAPS * (double)g->channels * (double)winograd_tiles(g->outputs, c->lanes);
    double products = POINTS * (double)(winograd_tiles(d->cg, c->mr) * c->mr) * channels / (double)d->cg * vectors;
    double transforms = (TRANSFORM * POINTS) *
                        (channels / c->lanes * (double)winograd_tiles(g->outputs, d->og) + vectors * channels / (double)d->cg);
    double sums = 2 * POINTS * channels * vectors; /* read and written for each block of tiles */
    double blocks = (double)g->most;
    double pictures = g->sb < 0 ? 1 : (double)contract_estimate(c->sp->symbol[g->sb].n, PICTURES),
           last = 2 * (TRANSFORM * POINTS) * channels * vectors;
    return all > 1 && GAIN * (all * (products + transforms + sums / blocks) + last / pictures) < direct;
}

/* ---- holes */

static const char *fill_weight_blocks(void *context, const char *const *args) {
    (void)args;
    Gradient *d = context;
    Contract *c = &d->g.c;
    Work *w = c->w;
    Size one = size_const(w->table, 1);
    for (int i = 0; i < c->n[GROUP_BATCH]; i++) {
        int s = c->symbol[GROUP_BATCH][i];
        c->p.text[s] = winograd_open(&d->g, arena_printf(w->arena, "x%d", s), c->sp->symbol[s].n, one);
    }
    const char *cb = winograd_open(&d->g, "cb", size_const(w->table, winograd_tiles(d->g.channels, d->cg)), one);
    const char *ob = winograd_open(&d->g, "ob", size_const(w->table, winograd_tiles(d->g.outputs, d->og)), one);
    template_set(c->t, "c0", arena_printf(w->arena, "%lld*%s", (long long)d->cg, cb));
    template_set(c->t, "o0", arena_printf(w->arena, "%lld*%s", (long long)d->og, ob));
    return "";
}

/* A loop over parts of n; the text of a part's first index. */
static const char *open_loop(Work *w, const char *name, Size n, Size by) {
    Size parts = size_ceildiv(n, by);
    if (size_is(parts, 1)) return "0";
    text_line(&w->body, "for %s in 0..%s {", name, work_size(w, parts));
    return size_is(by, 1) ? name : arena_printf(w->arena, "%s*%s", work_size(w, by), name);
}

static const char *fill_picture_blocks(void *context, const char *const *args) {
    (void)args;
    Gradient *d = context;
    Winograd *g = &d->g;
    Contract *c = &g->c;
    Size one = size_const(c->w->table, 1);
    for (int i = 0; i < c->n[GROUP_K]; i++) {
        int s = c->symbol[GROUP_K][i];
        if (s != g->sb && s != g->si && s != g->sj)
            c->p.text[s] = open_loop(c->w, arena_printf(c->w->arena, "x%d", s), c->sp->symbol[s].n, one);
    }
    g->first_n = g->sb < 0 ? "0" : open_loop(c->w, "nb", c->sp->symbol[g->sb].n, size_const(c->w->table, g->rn));
    g->first_i = open_loop(c->w, "ib", g->rows, g->by_i);
    g->first_j = open_loop(c->w, "jb", g->columns, g->by_j);
    winograd_live(g);
    return "";
}

/* Names of the places 0 .. 3 along a symbol, those beyond the last brought back. */
static void places(Winograd *g, const char *tile, int s, bool whole, const char *name) {
    Work *w = g->c.w;
    const char *n = work_size(w, g->c.sp->symbol[s].n);
    for (int i = 0; i < SIDE; i++) {
        const char *place = arena_printf(w->arena, "%d*(%s) + %d", SIDE, template_get(g->c.t, tile), i);
        const char *at = arena_printf(w->arena, "%s%d", name, i);
        if (!whole) text_line(&w->body, "index %s = clamp(min(%s, %s - 1)) in 0..%s", at, place, n, n);
        template_set(g->c.t, at, whole ? place : at);
    }
}

static const char *fill_places(void *context, const char *const *args) {
    (void)args;
    Gradient *d = context;
    places(&d->g, "ti", d->g.si, d->g.whole_i, "yi");
    places(&d->g, "tj", d->g.sj, d->g.whole_j, "yj");
    return "";
}

static const char *fill_dy(void *context, const char *const *args) {
    Gradient *d = context;
    Winograd *g = &d->g;
    Contract *c = &g->c;
    Arena *a = c->w->arena;
    Point p = point_inside(&c->p);
    p.text[g->si] = template_get(c->t, arena_printf(a, "yi%s", args[0]));
    p.text[g->sj] = template_get(c->t, arena_printf(a, "yj%s", args[1]));
    p.text[c->sn] = args[2];
    p.lanes = c->lanes;
    p.vector = c->sn;
    p.limit = g->outputs % d->og ? work_size(c->w, c->size_n) : NULL;
    const char *value = point_place(&p, c->at_a, "");
    for (int k = 0; k < 2; k++) {
        if ((k ? g->whole_j : g->whole_i) || !strcmp(args[k], "0")) continue;
        value = arena_printf(a, "select(%d*(%s) + %s < %s, %s, 0.0)", SIDE, template_get(c->t, k ? "tj" : "ti"), args[k],
                             work_size(c->w, c->sp->symbol[k ? g->sj : g->si].n), value);
    }
    return value;
}

static const char *fill_tap(void *context, const char *const *args) {
    Gradient *d = context;
    d->g.c.p.text[d->g.su] = args[0];
    d->g.c.p.text[d->g.sv] = args[1];
    return "";
}

static const Hole HOLES[] = {
    {"weight_blocks", 0, fill_weight_blocks},
    {"picture_blocks", 0, fill_picture_blocks},
    {"scalars", 0, contract_fill_scalars},
    {"tile", 3, winograd_fill_tile},
    {"edges", 0, winograd_fill_edges},
    {"x", 3, winograd_fill_x},
    {"places", 0, fill_places},
    {"dy", 3, fill_dy},
    {"tap", 2, fill_tap},
    {"epilogue", 3, contract_fill_epilogue},
    {NULL, 0, NULL},
};

static void emit(Gradient *d) {
    Winograd *g = &d->g;
    Contract *c = &g->c;
    Work *w = c->w;
    int64_t lanes = c->lanes, room = winograd_tiles(d->cg, c->mr) * c->mr;
    c->p = point_new(w, c->items, 1, -1);
    c->t = template_new(&w->body, "winograd.tile", HOLES, d);
    c->map_lanes = c->lanes;
    g->whole_i = !g->flows && winograd_divides(c->sp->symbol[g->si].n, SIDE, g->ri);
    g->whole_j = !g->flows && winograd_divides(c->sp->symbol[g->sj].n, SIDE, g->rj);
    g->limited = g->channels % d->cg != 0;
    g->row = winograd_tiles(room, lanes) * lanes;
    if (g->row % (2 * lanes) == 0) g->row += lanes; /* neighbours in other sets of the cache */
    d->yrow = d->og % (2 * lanes) ? d->og : d->og + lanes;
    template_number(c->t, "E", SIDE + TAPS - 1);
    template_number(c->t, "four", true);
    template_number(c->t, "L", lanes);
    template_number(c->t, "C", g->channels);
    template_number(c->t, "N", g->outputs);
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "NV", c->nv);
    template_number(c->t, "W", c->width);
    template_number(c->t, "CG", d->cg);
    template_number(c->t, "CROOM", room);
    template_number(c->t, "OG", d->og);
    template_number(c->t, "ROW", g->row);
    template_number(c->t, "YROW", d->yrow);
    template_number(c->t, "V", g->most * g->row + lanes);
    template_number(c->t, "Y", g->most * d->yrow + lanes);
    template_number(c->t, "U", room * d->og + lanes);
    template_number(c->t, "channels_divide", g->channels % d->cg == 0);
    template_number(c->t, "outputs_divide", g->outputs % d->og == 0);
    g->x = winograd_input(g);
    template_run(c->t, "gradient");
}

bool schedule_winograd_gradient(Work *w, KernelCode *code) {
    Gradient d = {.cg = 0};
    if (!w->by_tiles) return false;
    contract_start_apart(&d.g.c, work_new(w->s, w->plan, w->k, "winograd_w"), w->k);
    if (!is_gradient(&d)) return false;
    d.g.channels = size_value(d.g.c.size_m);
    d.g.outputs = size_value(d.g.c.size_n);
    choose_weights(&d);
    winograd_block(&d.g, TILES_MOST);
    if (!pays(&d)) return false;
    emit(&d);
    work_finish(d.g.c.w, code);
    return true;
}
