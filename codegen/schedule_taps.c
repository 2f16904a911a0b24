/* schedule_taps.c -- sums of products of codes, each channel of a window with weights of its own, by the instruction that adds up four.
 *
 *     %y = i32(x[r, c]) * w0[c] + i32(x[r + 1, c]) * w1[c] + ..      a depthwise convolution (passes/quantize_taps.c): i8 by i8
 *   → let q = lift(braid(x[r, c : 16], x[r + 1, c : 16], x[r + 2, c : 16], ..))
 *     let y = dots(less, q, braid(i8(w0[c : 16]), ..))
 *
 * The instruction wants four neighbours of a channel, which lie a row or a column of the picture apart: braid puts them beside each
 * other. Fours stand below each other in a picture where rows are enough, one column of a window or a part of one: then the next
 * window along a row finds those of its first columns made (schedule_windows.c). What is missing at the end of a column has weight 0.
 * Weights are braided once a session where the plan allows a copy of them (Kernel.packed), else, like what lift adds is taken away (less),
 * once for several windows. Sums wrap, so their order does not matter. */
#include "codegen/schedule.h"

#include <string.h>

enum {
    FOUR = 4,
    ROWS_LEAST = 3 /* of a window whose fours stand below each other */
};

/* Up to four products. */
typedef struct Quad {
    int n;
    Access *x[FOUR], *w[FOUR];
    int64_t place[FOUR]; /* of w in its slot, at the first channel */
    const char *weights;
} Quad;

typedef struct Made { /* the codes of a quad, at a step */
    const Quad *quad;
    int64_t step;
    const char *value;
} Made;

struct Taps {
    bool lifted;
    LIST(Quad) quads;
    LIST(Made) made;  /* in the block .. */
    int block;
    const char *less; /* what a sum begins with */
    const char *pack; /* argument that holds braided weights, for each quad those of so many channels; NULL: made of what was read */
    int64_t channels;
    int64_t step;     /* of channels in the slot */
};

typedef LIST(Quad) Terms; /* of one product each */

static bool is_code_value(const Node *n) {
    return n->type.dtype == DT_I32 && n->op == OP_CAST && n->in[0]->type.dtype == DT_I8;
}

static int64_t coefficient(const Access *x, int symbol) {
    int64_t n = 0;
    if (!x->at.coef[symbol]) return 0;
    return size_is_const(x->at.coef[symbol], &n) ? n : -1;
}

/* Of weights: it lies along the lanes and nothing else. */
static bool is_of_channels(const Space *sp, const Access *w, int vector) {
    for (int s = 0; s < sp->n; s++)
        if (s != vector && w->at.coef[s]) return false;
    return coefficient(w, vector) == 1 && is_code_value(w->base);
}

static int uses_of(const Items *items, const Item *of) {
    int n = 0;
    for (int i = 0; i < items->at.n; i++) {
        const Item *item = items->at.at[i];
        for (int k = 0; k < item->n->n_in; k++) n += item->in[k].item == of;
        for (int k = 0; k < item->pieces.n; k++) n += item->pieces.at[k].x.item == of;
    }
    return n;
}

/* A product of a code and a weight: what they are. */
static bool is_term(const Items *items, const Item *item, int vector, Quad *term) {
    if (item->n->op != OP_MUL || item->n->type.dtype != DT_I32 || item->level != LEVEL_FULL) return false;
    for (int k = 0; k < 2; k++) {
        const Item *cast = item->in[k].item;
        Access *w = item->in[!k].access;
        if (!cast || !w || !is_code_value(cast->n) || cast->level != LEVEL_FULL || !cast->in[0].access || uses_of(items, cast) != 1) continue;
        if (coefficient(cast->in[0].access, vector) != 1 || !is_of_channels(items->sp, w, vector)) continue;
        *term = (Quad){.n = 1, .x = {cast->in[0].access}, .w = {w}};
        return true;
    }
    return false;
}

/* The terms of a sum, in their order; false: it is not made of such alone. */
static bool add_terms(const Items *items, const Item *item, int vector, bool top, Terms *terms) {
    Quad term;
    if (!item || (!top && uses_of(items, item) != 1)) return false;
    if (is_term(items, item, vector, &term)) {
        PUSH(items->sp->arena, *terms, term);
        return true;
    }
    if (item->n->op != OP_ADD || item->n->type.dtype != DT_I32 || item->level != LEVEL_FULL) return false;
    return add_terms(items, item->in[0].item, vector, false, terms) && add_terms(items, item->in[1].item, vector, false, terms);
}

static void mark_inside(const Item *sum) {
    for (int k = 0; k < sum->n->n_in; k++) {
        if (!sum->in[k].item) continue;
        sum->in[k].item->inside = true;
        mark_inside(sum->in[k].item);
    }
}

static bool is_apart(const Access *a, const Access *b, int64_t by) {
    int64_t n;
    return size_is_const(size_sub(b->at.c, a->at.c), &n) && n == by;
}

/* How many terms each row of a window has: the first ones, each a column behind the one before, and the next as many likewise. 0: not so. */
static int columns_of(const Terms *terms) {
    int64_t step;
    int n = 1;
    if (!size_is_const(size_sub(terms->at[1].x[0]->at.c, terms->at[0].x[0]->at.c), &step)) return 0;
    while (n < terms->n && is_apart(terms->at[n - 1].x[0], terms->at[n].x[0], step)) n++;
    if (terms->n % n || terms->n / n < ROWS_LEAST) return 0;
    for (int i = n; i < terms->n; i++)
        if (i % n && !is_apart(terms->at[i - 1].x[0], terms->at[i].x[0], step)) return 0;
    return n;
}

static void put(Arena *a, Taps *taps, bool begin, const Quad *term) {
    if (begin || taps->quads.at[taps->quads.n - 1].n == FOUR) PUSH(a, taps->quads, (Quad){0});
    Quad *quad = &taps->quads.at[taps->quads.n - 1];
    quad->x[quad->n] = term->x[0];
    quad->w[quad->n++] = term->w[0];
}

static Taps *group(Arena *a, const Terms *terms, bool lifted) {
    Taps *taps = NEW(a, Taps);
    int columns = columns_of(terms), rows = columns ? terms->n / columns : 0;
    taps->lifted = lifted;
    for (int c = 0; c < columns; c++)
        for (int r = 0; r < rows; r++) put(a, taps, r == 0, &terms->at[r * columns + c]);
    for (int i = 0; i < terms->n && !columns; i++) put(a, taps, i == 0, &terms->at[i]);
    return taps;
}

/* ---- weights braided once a session */

/* Where the codes that w widens lie in their slot: the first one, and from channel to channel. NULL: not so, else the slot. */
static Node *slot_places(Work *w, const Access *of, Size channels, int64_t *first, int64_t *step) {
    Space *sp = space_new(w->arena, w->table, 1, &channels);
    const Type *type = &of->base->type;
    Affine *index[MAX_RANK];
    Access *codes;
    do {
        space_begin(sp);
        Affine *axis = space_axis(sp, 0);
        space_reshape(sp, 1, &channels, &axis, type->rank, type->dim, index);
        codes = access_follow(sp, of->base->in[0], index);
    } while (sp->again);
    bool plain = sp->n == 1 && size_is_const(codes->at.c, first) && size_is(of->at.c, 0);
    *step = plain ? coefficient(codes, 0) : 0;
    return *step > 0 ? codes->base : NULL;
}

/* Writes the kernel that puts them in order, and declares what it makes. */
static void use_copy(Work *w, Taps *taps, Node *slot, int number, int64_t channels) {
    Work *made = work_new(w->s, w->plan, w->k, "pack");
    int64_t bytes = (int64_t)FOUR * taps->quads.n * taps->channels, all = 1;
    for (int i = 0; i < slot->type.rank; i++) all *= size_value(slot->type.dim[i]);
    const char *type = arena_printf(w->arena, "i8[%lld]", (long long)bytes);
    const char *to = work_arg(made, (KernelArg){.kind = ARG_PACK}, arena_printf(w->arena, "%s out", type));
    const char *from = work_arg(made, (KernelArg){.kind = ARG_VALUE, .node = slot}, arena_printf(w->arena, "i8[%lld]", (long long)all));
    made->text = "pack";
    text_line(&made->body, "for c in 0..%lld {", (long long)taps->channels);
    text_line(&made->body, "index channel = min(c, %lld) in 0..%lld", (long long)channels - 1, (long long)channels);
    for (int i = 0; i < taps->quads.n; i++)
        for (int k = 0; k < FOUR; k++) {
            const Quad *q = &taps->quads.at[i];
            const char *code = k < q->n ? arena_printf(w->arena, "%s[%lld*channel + %lld]", from, (long long)taps->step, (long long)q->place[k]) : "i8(0)";
            text_line(&made->body, "%s[%lld + %d*c] = %s", to, (long long)(i * FOUR * taps->channels + k), FOUR, code);
        }
    text_line(&made->body, "}");
    taps->pack = work_arg(w, (KernelArg){.kind = ARG_PACK, .pack = work_pack(made, number, bytes)}, type);
}

/* All weights must be of one slot. */
static void find_copy(Work *w, Taps *taps, const Space *sp, int vector, int lanes) {
    Size channels = sp->symbol[vector].n;
    Node *slot = NULL;
    int64_t n, step;
    int number = kernel_packed_slot(w->k, taps->quads.at[0].w[0]->base);
    if (number < 0 || !size_is_const(channels, &n)) return;
    for (int i = 0; i < taps->quads.n; i++)
        for (int k = 0; k < taps->quads.at[i].n; k++) {
            Quad *q = &taps->quads.at[i];
            Node *its = kernel_packed_slot(w->k, q->w[k]->base) == number ? slot_places(w, q->w[k], channels, &q->place[k], &step) : NULL;
            if (!its || (slot && (its != slot || step != taps->step))) return;
            slot = its;
            taps->step = step;
        }
    taps->channels = (n + lanes - 1) / lanes * lanes + lanes; /* a vector may be said to begin at the last channel */
    use_copy(w, taps, slot, number, n);
}

/* ---- values */

void taps_find(Work *w, Items *items, int vector, int lanes) {
    Arena *a = items->sp->arena;
    const TileTarget *machine = w->machine;
    if (machine->dots != FOUR || lanes < 4 || lanes * FOUR > TILE_LANES) return; /* what there are instructions for */
    for (int i = items->at.n - 1; i >= 0; i--) { /* a whole sum comes before its parts */
        Item *item = items->at.at[i];
        Terms terms = {0};
        if (item->inside || item->n->op != OP_ADD || !add_terms(items, item, vector, true, &terms) || terms.n < FOUR) continue;
        item->taps = group(a, &terms, !machine->signed_dots);
        find_copy(w, item->taps, items->sp, vector, lanes);
        mark_inside(item);
    }
}

static const char *named(Work *w, const char *value) {
    const char *name = arena_printf(w->arena, "v%d", ++w->names);
    text_line(&w->body, "let %s = %s", name, value);
    return name;
}

/* The first n of four codes of each channel, each as `form` has it, and zeros. */
static const char *braided(Point *p, Access *const *x, int n, const char *form) {
    Arena *a = p->w->arena;
    const char *of[FOUR], *mark = strchr(form, '%');
    bool vector;
    for (int k = 0; k < FOUR; k++)
        of[k] = k < n ? arena_printf(a, "%.*s%s%s", (int)(mark - form), form, point_load(p, x[k], false, &vector), mark + 2)
                      : arena_printf(a, "splat(i8(0), %d)", p->lanes);
    return arena_printf(a, "braid(%s, %s, %s, %s)", of[0], of[1], of[2], of[3]);
}

static const char *copied(const Point *p, const Taps *taps, int quad) {
    return arena_printf(p->w->arena, "%s[%lld + %d*(%s) : %d]", taps->pack, (long long)(FOUR * quad * taps->channels), FOUR, p->text[p->vector],
                        FOUR * p->lanes);
}

static void write_weights(Point *p, Taps *taps) {
    Work *w = p->w;
    int lanes = p->lanes;
    const char *sums = arena_printf(w->arena, "splat(i32(0), %d)", lanes);
    taps->block = p->block;
    taps->made.n = 0;
    taps->less = sums;
    for (int i = 0; i < taps->quads.n; i++) {
        Quad *quad = &taps->quads.at[i];
        quad->weights = named(w, taps->pack ? copied(p, taps, i) : braided(p, quad->w, quad->n, "i8(%s)"));
        sums = arena_printf(w->arena, "dots(%s, splat(u8(128), %d), %s)", sums, FOUR * lanes, quad->weights);
    }
    if (taps->lifted) taps->less = named(w, arena_printf(w->arena, "0 - %s", sums));
}

/* Four codes of each channel: of this window, or those of one before that lie at the same places. */
static const char *codes_of(Point *p, Taps *taps, const Quad *quad) {
    Work *w = p->w;
    bool same = false;
    for (int i = 0; i < taps->made.n; i++) {
        const Made *made = &taps->made.at[i];
        same = made->quad->n == quad->n;
        for (int k = 0; k < quad->n && same; k++) same = access_meets(quad->x[k], p->step, made->quad->x[k], made->step, p->stepped);
        if (same) return made->value;
    }
    const char *text = braided(p, quad->x, quad->n, "%s");
    const Made made = {quad, p->step, named(w, taps->lifted ? arena_printf(w->arena, "lift(%s)", text) : text)};
    PUSH(w->arena, taps->made, made);
    return made.value;
}

void taps_value(Point *p, Item *sum) {
    Taps *taps = sum->taps;
    if (taps->block != p->block) write_weights(p, taps);
    const char *text = taps->less;
    for (int i = 0; i < taps->quads.n; i++)
        text = arena_printf(p->w->arena, "dots(%s, %s, %s)", text, codes_of(p, taps, &taps->quads.at[i]), taps->quads.at[i].weights);
    sum->vector = true;
    sum->value = named(p->w, text);
}
