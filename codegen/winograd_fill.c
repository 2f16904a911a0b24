/* winograd_fill.c -- pictures as tiles: blocks of them, and how they are read (winograd.h). */
#include "codegen/winograd.h"

#include <string.h>

enum { ROW_MOST = 16 }; /* tiles of a row that may be longer than a block */

int64_t winograd_tiles(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}

int64_t winograd_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static bool is_size(const Winograd *g, int s, int64_t n) {
    return size_is(g->c.sp->symbol[s].n, n);
}

/* The symbol of the group whose stride is that of s, of 3 elements; -1: none. */
static int taps_along(const Winograd *g, Group taps, int s) {
    const Contract *c = &g->c;
    for (int i = 0; i < c->n[taps]; i++) {
        int u = c->symbol[taps][i];
        if (is_size(g, u, TAPS) && g->from->at.coef[u] == g->from->at.coef[s]) return u;
    }
    return -1;
}

bool winograd_windows(Winograd *g, Group pixels, Group taps) {
    const Contract *c = &g->c;
    g->si = g->sj = g->sb = -1;
    for (int s = 0; s < c->sp->n; s++) { /* outermost first */
        if (c->sp->symbol[s].axis < 0 || c->sp->symbol[s].gone || c->class[c->sp->symbol[s].axis] != (int)pixels) continue;
        g->sb = g->si;
        g->si = g->sj;
        g->sj = s;
    }
    if (g->si < 0) return false;
    g->su = taps_along(g, taps, g->si);
    g->sv = taps_along(g, taps, g->sj);
    Size side = size_const(c->w->table, g->side);
    g->rows = size_ceildiv(c->sp->symbol[g->si].n, side);
    g->columns = size_ceildiv(c->sp->symbol[g->sj].n, side);
    return g->su >= 0 && g->sv >= 0 && g->su != g->sv;
}

/* Parts of at most `most`, as equal as they can be. */
int64_t winograd_even(int64_t n, int64_t most) {
    return winograd_tiles(n, winograd_tiles(n, most));
}

/* Rows of tiles of a length known at run time: as much of one as fits well, and as many as fit then. */
static void flowing_block(Winograd *g, int64_t most) {
    SizeTable *t = g->c.w->table;
    g->flows = true;
    g->most = most;
    g->rj = most < ROW_MOST ? most : ROW_MOST;
    g->by_j = size_min(g->columns, size_const(t, g->rj));
    g->by_i = size_max(size_const(t, 1), size_floordiv(size_const(t, most), g->by_j));
}

void winograd_block(Winograd *g, int64_t most) {
    SizeTable *t = g->c.w->table;
    int64_t rows, columns, pictures;
    g->flows = false;
    g->rn = g->ri = 1;
    if (!size_is_const(g->columns, &columns)) {
        flowing_block(g, most);
        return;
    }
    g->rj = winograd_even(columns, most);
    bool cut = g->rj < columns;
    if (!cut) g->ri = most / columns;
    if (size_is_const(g->rows, &rows)) {
        g->ri = winograd_even(rows, winograd_least(g->ri, rows));
        if (!cut && g->ri == rows && g->sb >= 0) g->rn = most / (rows * columns);
        if (g->rn > 1 && size_is_const(g->c.sp->symbol[g->sb].n, &pictures)) g->rn = winograd_even(pictures, g->rn);
    }
    g->most = g->rn * g->ri * g->rj;
    g->by_i = size_const(t, g->ri);
    g->by_j = size_const(t, g->rj);
}

/* Parts of a block: `by`, or what is left of n behind `first`. */
static const char *part(Winograd *g, const char *name, Size n, Size by, const char *first) {
    Work *w = g->c.w;
    int64_t whole, step;
    bool fixed = size_is_const(by, &step);
    if (fixed && (step == 1 || (size_is_const(n, &whole) && whole % step == 0))) return work_size(w, by);
    const char *left = strcmp(first, "0") ? arena_printf(w->arena, "%s - %s", work_size(w, n), first) : work_size(w, n);
    text_line(&w->body, "index %s = clamp(min(%s, %s)) in 1..%s + 1", name, left, work_size(w, by), work_size(w, by));
    return name;
}

void winograd_live(Winograd *g) {
    const Contract *c = &g->c;
    Work *w = c->w;
    Size one = size_const(w->table, 1), pictures = g->sb < 0 ? one : c->sp->symbol[g->sb].n;
    const char *hn = part(g, "hn", pictures, size_const(w->table, g->rn), g->first_n);
    const char *hi = part(g, "hi", g->rows, g->by_i, g->first_i), *hj = part(g, "hj", g->columns, g->by_j, g->first_j);
    const char *live = arena_printf(w->arena, "%s*%s*%s", hn, hi, hj);
    if (g->flows) text_line(&w->body, "index live = clamp(%s) in 1..%lld", live, (long long)g->most + 1);
    template_set(c->t, "hn", hn);
    template_set(c->t, "hi", hi);
    template_set(c->t, "hj", hj);
    template_set(c->t, "live", g->flows ? "live" : live);
}

const char *winograd_open(Winograd *g, const char *name, Size n, Size by) {
    Work *w = g->c.w;
    bool opened;
    int64_t step;
    if (size_is_const(by, &step)) return open_parts(w, name, n, step, false, &opened);
    Size parts = size_ceildiv(n, by);
    w->count = size_mul(w->count, parts);
    text_line(&w->body, "parallel %s in 0..%s {", name, work_size(w, parts));
    return arena_printf(w->arena, "%s*%s", work_size(w, by), name);
}

const char *winograd_fill_tile(void *context, const char *const *args) {
    Winograd *g = context;
    Contract *c = &g->c;
    int64_t n;
    template_set(c->t, "ti", text_plus(c->w, g->first_i, args[1]));
    template_set(c->t, "tj", text_plus(c->w, g->first_j, args[2]));
    const char *row = arena_printf(c->w->arena, "((%s*%s + %s)*%s + %s)", args[0], template_get(c->t, "hi"), args[1],
                                   template_get(c->t, "hj"), args[2]);
    if (g->flows) text_line(&c->w->body, "index row = clamp(%s) in 0..%lld", row, (long long)g->most);
    template_set(c->t, "row", g->flows ? "row" : row);
    if (g->sb < 0) return "";
    c->p.text[g->sb] = g->rn == 1 ? g->first_n : text_plus(c->w, g->first_n, args[0]);
    if (g->rn == 1 || (size_is_const(c->sp->symbol[g->sb].n, &n) && n % g->rn == 0)) return "";
    return arena_printf(c->w->arena, "if %s < %s {", c->p.text[g->sb], work_size(c->w, c->sp->symbol[g->sb].n));
}

/* Places side * tile + 0 .. side + 1 along a symbol, those beyond the last brought back: only outputs that are dropped see
 * them. */
static void edge(Winograd *g, const char *tile, int s, bool whole, const char *name) {
    Work *w = g->c.w;
    const char *n = work_size(w, g->c.sp->symbol[s].n);
    for (int i = 0; i < g->side + TAPS - 1; i++) {
        const char *place = arena_printf(w->arena, "%d*(%s) + %d", g->side, template_get(g->c.t, tile), i);
        const char *at = arena_printf(w->arena, "%s%d", name, i);
        if (!whole) text_line(&w->body, "index %s = min(%s, %s + 1) in 0..%s + 2", at, place, n, n);
        template_set(g->c.t, at, whole ? place : at);
    }
}

const char *winograd_fill_edges(void *context, const char *const *args) {
    (void)args;
    Winograd *g = context;
    edge(g, "ti", g->si, g->whole_i, "ri");
    edge(g, "tj", g->sj, g->whole_j, "rj");
    return "";
}

const char *winograd_fill_channels(void *context, const char *const *args) {
    (void)args;
    Winograd *g = context;
    template_set(g->c.t, "c", open_lanes(g->c.w, "c", 0, g->c.sp->symbol[g->sc].n, g->c.lanes));
    return "";
}

/* Does the symbol count pictures, or parts of them? */
static bool is_around(const Winograd *g, int s) {
    return g->from->at.coef[s] && s != g->si && s != g->sj && s != g->su && s != g->sv && s != g->sc;
}

const char *winograd_fill_x(void *context, const char *const *args) {
    Winograd *g = context;
    Contract *c = &g->c;
    Arena *a = c->w->arena;
    Text t = {.arena = a};
    text_add(&t, "%s[", g->x);
    for (int s = 0; s < c->sp->n; s++)
        if (is_around(g, s)) text_add(&t, "%s, ", c->p.text[s]);
    text_add(&t, "%s, %s, %s : %d%s]", template_get(c->t, arena_printf(a, "ri%s", args[0])),
             template_get(c->t, arena_printf(a, "rj%s", args[1])), args[2], c->lanes,
             g->limited ? arena_printf(a, " < %lld", (long long)g->channels) : "");
    return t.at;
}

/* Pictures as they lie: what precedes rows in m, then rows and columns with the frame that windows meet, channels. */
const char *winograd_input(Winograd *g) {
    Contract *c = &g->c;
    Work *w = c->w;
    Text dims = {.arena = w->arena}, strides = {.arena = w->arena};
    for (int s = 0; s < c->sp->n; s++) {
        bool picture = s == g->si || s == g->sj;
        if (!picture && !is_around(g, s)) continue;
        text_add(&dims, "%s%s, ", work_size(w, c->sp->symbol[s].n), picture ? " + 2" : "");
        text_add(&strides, "%s, ", work_size(w, g->from->at.coef[s]));
    }
    const char *offset = size_is(g->from->at.c, 0) ? "" : arena_printf(w->arena, " offset(%s)", work_size(w, g->from->at.c));
    return work_arg(w, (KernelArg){.kind = ARG_VALUE, .node = g->from->base},
                    arena_printf(w->arena, "f32[%s%lld] stride(%s1)%s%s", dims.at, (long long)g->channels, strides.at, offset,
                                 work_aliased(w, g->from->base) ? " alias" : ""));
}

/* n is a multiple of `by`, and of them there are a multiple of `part`. */
bool winograd_divides(Size n, int64_t by, int64_t part) {
    int64_t whole;
    return size_is_const(n, &whole) && whole % (by * part) == 0;
}
