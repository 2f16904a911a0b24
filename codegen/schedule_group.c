/* schedule_group.c -- products on a device's matrix units by groups of four warps, of bf16 and of f16 (contract_matrices.tile, groups). A group has a tile of
 * 64 or 128 by 64 or 128 sums in its registers; steps of 64 terms of both operands go through squares of 64 x 64 in shared memory, filled behind
 * its back some steps ahead. The warps share them, so a number is brought there half as often as for tiles of single warps (schedule_mma.c), or
 * less, and units that multiply for four warps at once (wgmma) read both factors where they lie. An operand lies in a square as it lies in memory,
 * along k or across it: the units turn it. Its copies leave out what lies beyond the ends of its axes and nothing else, so that maps of it can bring them
 * (cuda/lower_maps.c). */
#include "codegen/contract.h"

#include <math.h>

/* What a tile costs on paper, of an H100: its units have to multiply, and are busy if there are enough warps; its second cache has to hand over the
 * operands of each tile; the sums are stored, the more slowly the fewer warps there are; parts of them are stored and loaded once more. */
#define PROCESSORS 132.0
#define UNITS      989e12  /* FLOPs a second of wgmma .. */
#define MMA        620e12  /* .. and of mma */
#define SECOND     5.5e12  /* bytes a second of that cache, .. */
#define MEMORY     3.35e12 /* .. and of memory */
#define FIRST      29.6e12 /* of the nearest caches, through which a sum goes to the maps behind it; and instructions of lanes */
#define BEHIND     12.0    /* bytes of a sum on that way, one after the other, .. */
#define MAP        6.0     /* .. and instructions of one of the maps */
#define LAUNCH     2.5e-6
enum {
    GROUP_BUSY = 8, /* warps of a processor that hide each other's waiting: of groups .. */
    WARP_BUSY = 16, /* .. and of tiles of their own */
    APART = 8,      /* elements that a row of sums is longer: eight rows begin in different banks */
};

static double terms_of(const Contract *c) {
    double terms = 1;
    for (int i = 0; i < c->n[GROUP_K]; i++) terms *= (double)contract_estimate(c->sp->symbol[c->symbol[GROUP_K][i]].n, 512);
    return terms;
}

static double maps_of(const Contract *c) {
    double maps = 0;
    for (int i = 0; i < c->items->at.n && !c->split; i++) maps += !c->items->at.at[i]->outer && c->items->at.at[i]->n != c->k->anchor;
    return maps;
}

/* c: with its tile and parts, each computed by so many warps. */
static double seconds(const Contract *c, double warps, double busy, double rate) {
    double tiles = (double)contract_tiles(c, c->mb, c->width), sums = tiles * (double)(c->mb * c->width), terms = terms_of(c);
    double held = fmin(1, tiles * (double)c->split_parts * warps / (PROCESSORS * busy));
    double units = 2 * sums * terms / rate, moved = tiles * (double)(c->mb + c->width) * terms * dtype_bytes(c->at_a->base->type.dtype) / SECOND;
    double behind = (BEHIND + MAP * maps_of(c)) * sums * (double)c->split_parts / FIRST * WARP_BUSY / busy;
    return (fmax(units, moved) + behind) / held + (c->split ? LAUNCH + 8 * (double)c->split_parts * sums / MEMORY : 0);
}

/* Rows or columns of the smallest tile, where two waste fewer than one of the largest. */
static int64_t least_side(Size n, int64_t side) {
    return contract_estimate(n, 512) <= side / 2 ? side / 2 : side;
}

bool schedule_is_group(Contract *c) {
    if (!schedule_is_mma(c) || c->w->at_once || dtype_bytes(c->at_a->base->type.dtype) != 2) return false;
    Contract best = *c;
    mma_pick_tile(&best);
    double least = seconds(&best, 1, WARP_BUSY, MMA);
    bool found = false;
    for (int form = 0; form < 8; form++) { /* large tiles first: of two that cost the same they leave more for others */
        Contract t = *c;
        t.mb = least_side(c->size_m, form & 2 ? TILE_SQUARE : 2 * TILE_SQUARE);
        t.width = least_side(c->size_n, form & 4 ? TILE_SQUARE : 2 * TILE_SQUARE);
        if (t.mb < TILE_SQUARE || t.width < TILE_SQUARE) continue;
        t.step = TILE_SQUARE;
        split_choose(&t, form & 1 ? GROUP_BUSY / 2 * contract_tiles(c, t.mb, t.width) : WARPS_WISHED);
        double s = seconds(&t, TILE_GROUP / 32, GROUP_BUSY, UNITS);
        if (s >= least) continue;
        least = s;
        best = t;
        found = true;
    }
    if (found) *c = best;
    return found;
}

/* One step of an operand, from row or column `begin` and from place k of the piece on, to part `part` of its buffer. What lies beyond its ends
 * is zero; a piece ends there or with a whole step. */
static void copy(Contract *c, Access *x, int s, const char *buffer, const char *begin, int64_t count, const char *k, const char *part) {
    Work *w = c->w;
    Arena *a = w->arena;
    int64_t whole;
    bool along = contract_contiguous(x, c->sk), divides = size_is_const(c->sp->symbol[s].n, &whole) && whole % count == 0;
    const char *size = work_size(w, c->sp->symbol[s].n), *terms = work_size(w, c->size_k), *at = arena_printf(a, "%s%s", template_get(c->t, "from"), k);
    for (int64_t i = 0; i < count / TILE_SQUARE; i++) {
        Point p = point_inside(&c->p);
        const char *first = text_plus(w, begin, arena_printf(a, "%lld", (long long)(TILE_SQUARE * i)));
        p.text[s] = along ? arena_printf(a, "%s + q", first) : first;
        p.text[c->sk] = along ? at : arena_printf(a, "%s + q", at);
        p.vector = along ? c->sk : s;
        p.lanes = TILE_SQUARE;
        p.limit = along ? terms : divides ? NULL : size;
        const char *left = along && divides ? "" : arena_printf(a, " < %s - (%s)", along ? size : terms, along ? first : at);
        const char *place = point_place(&p, x, "");
        text_line(&w->body, "copy q in 0..%d%s { %s[%s, %lld, q, 0 : %d] = %s }", TILE_SQUARE, left, buffer, part, (long long)i, TILE_SQUARE, place);
    }
}

/* copy_squares(k, part): both operands. */
const char *group_fill_copy(void *context, const char *const *args) {
    Contract *c = context;
    copy(c, c->at_a, c->sm, "as", template_get(c->t, "i0"), c->mb, args[0], args[1]);
    copy(c, c->at_b, c->sn, "bs", template_get(c->t, "j0"), c->width, args[0], args[1]);
    return "";
}

/* How many steps a piece of k has, where that can be said. */
static void set_steps(Contract *c) {
    int64_t n, terms = 0;
    bool cut = c->split && c->split_symbol == c->sk, known = size_is_const(c->size_k, &n) && (!cut || size_is_const(c->split_terms, &terms));
    Size longest = cut ? c->split_terms : c->size_k;
    template_number(c->t, "counted", !cut || known);
    template_number(c->t, "uneven", cut && known && n % terms != 0);
    template_set(c->t, "steps", !cut || known ? work_size(c->w, size_ceildiv(longest, size_const(c->w->table, TILE_SQUARE))) : "");
}

void schedule_group(Contract *c) {
    int64_t whole, sums = c->mb * c->width / TILE_GROUP, stages = sums > 64 ? 3 : 4; /* in TILE_GROUP_BYTES */
    c->w->kind = "group_mma";
    c->w->group = true;
    c->w->room = sums > 64 ? CUDA_TWO : CUDA_THREE;
    c->nv = (int)(c->width / c->lanes);
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    c->n_runs = 1;
    c->run[0] = c->sk;
    contract_begin(c);
    template_set(c->t, "H", dtype_name(c->at_a->base->type.dtype));
    template_number(c->t, "MR", c->mb);
    template_number(c->t, "TR", c->mb / TILE_SQUARE);
    template_number(c->t, "TC", c->width / TILE_SQUARE);
    template_number(c->t, "STEP", TILE_SQUARE);
    template_number(c->t, "STAGES", stages);
    template_number(c->t, "CW", c->width + APART);
    template_set(c->t, "across_a", contract_contiguous(c->at_a, c->sk) ? "" : " across");
    template_set(c->t, "across_b", contract_contiguous(c->at_b, c->sk) ? "" : " across");
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    set_steps(c);
    template_run(c->t, "groups");
}
