/* winograd_fill.c -- pictures as tiles: blocks of them, and how they are read (winograd.h). */
#include "codegen/winograd.h"

#include <string.h>

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
    Size side = size_const(c->w->table, SIDE);
    g->rows = size_ceildiv(c->sp->symbol[g->si].n, side);
    g->columns = size_ceildiv(c->sp->symbol[g->sj].n, side);
    return g->su >= 0 && g->sv >= 0 && g->su != g->sv;
}

/* Parts of at most `most`, as equal as they can be. */
int64_t winograd_even(int64_t n, int64_t most) {
    return winograd_tiles(n, winograd_tiles(n, most));
}

void winograd_block(Winograd *g, int64_t most) {
    int64_t rows, columns, pictures;
    g->rn = g->ri = 1;
    if (!size_is_const(g->columns, &columns)) return;
    g->rj = winograd_even(columns, most);
    g->cut = g->rj < columns;
    if (g->cut) return;
    g->ri = most / columns;
    if (!size_is_const(g->rows, &rows)) return;
    g->ri = winograd_even(rows, winograd_least(g->ri, rows));
    if (g->ri < rows || g->sb < 0) return;
    g->rn = most / (rows * columns);
    if (g->rn > 1 && size_is_const(g->c.sp->symbol[g->sb].n, &pictures)) g->rn = winograd_even(pictures, g->rn);
}

/* Parts of a block: `by`, or what is left of n behind `first`. */
static const char *part(Winograd *g, const char *name, Size n, int64_t by, const char *first) {
    Work *w = g->c.w;
    int64_t whole;
    if (by == 1 || (size_is_const(n, &whole) && whole % by == 0)) return arena_printf(w->arena, "%lld", (long long)by);
    const char *left = strcmp(first, "0") ? arena_printf(w->arena, "%s - %s", work_size(w, n), first) : work_size(w, n);
    text_line(&w->body, "index %s = clamp(min(%s, %lld)) in 1..%lld", name, left, (long long)by, (long long)by + 1);
    return name;
}

void winograd_live(Winograd *g) {
    const Contract *c = &g->c;
    Size pictures = g->sb < 0 ? size_const(c->w->table, 1) : c->sp->symbol[g->sb].n;
    const char *hn = part(g, "hn", pictures, g->rn, g->first_n), *hi = part(g, "hi", g->rows, g->ri, g->first_i);
    const char *hj = part(g, "hj", g->columns, g->rj, g->first_j);
    template_set(c->t, "hn", hn);
    template_set(c->t, "hi", hi);
    template_set(c->t, "hj", hj);
    template_set(c->t, "live", arena_printf(c->w->arena, "%s*%s*%s", hn, hi, hj));
}

const char *winograd_open(Winograd *g, const char *name, Size n, int64_t by) {
    bool opened;
    return open_parts(g->c.w, name, n, by, false, &opened);
}

const char *winograd_fill_tile(void *context, const char *const *args) {
    Winograd *g = context;
    Contract *c = &g->c;
    int64_t n;
    template_set(c->t, "ti", text_plus(c->w, g->first_i, args[1]));
    template_set(c->t, "tj", text_plus(c->w, g->first_j, args[2]));
    if (g->sb < 0) return "";
    c->p.text[g->sb] = g->rn == 1 ? g->first_n : text_plus(c->w, g->first_n, args[0]);
    if (g->rn == 1 || (size_is_const(c->sp->symbol[g->sb].n, &n) && n % g->rn == 0)) return "";
    return arena_printf(c->w->arena, "if %s < %s {", c->p.text[g->sb], work_size(c->w, c->sp->symbol[g->sb].n));
}

/* Places 4 * tile + 0 .. 5 along a symbol, those beyond the last brought back: only outputs that are dropped see them. */
static void edge(Winograd *g, const char *tile, int s, bool whole, const char *name) {
    Work *w = g->c.w;
    const char *n = work_size(w, g->c.sp->symbol[s].n);
    for (int i = 0; i < SIDE + TAPS - 1; i++) {
        const char *place = arena_printf(w->arena, "%d*(%s) + %d", SIDE, template_get(g->c.t, tile), i);
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
    template_set(g->c.t, "c", open_lanes(g->c.w, "c", g->c.sp->symbol[g->sc].n, g->c.lanes));
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
