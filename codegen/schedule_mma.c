/* schedule_mma.c -- products on a device's matrix units: of bf16, of f16, and of f32 where the program lets them be in tf32. A warp has a tile of
 * the sums in registers; steps of both operands go through buffers in shared memory, filled behind its back one step ahead (contract_matrices.tile,
 * matrices). An operand lies there as it lies in memory, along k or across it: ldmatrix turns it, and rounds f32. Rows of the buffers are a
 * little longer than they need be, so that the eight rows of a matrix begin in different banks; so do the columns of f32 that are turned. */
#include "codegen/contract.h"

enum {
    ROWS_WIDEST = 32,
    COLUMNS_WIDEST = 64,
    APART = 8,        /* elements that a row is longer, of operands across k and of sums; .. */
    APART_BYTES = 16, /* .. bytes, of operands along k */
};

/* Elements of k in a step: what two steps of both operands take is a share of shared memory that leaves room for other blocks. */
static int step_of(const Contract *c) {
    return TILE_ROW / dtype_bytes(c->at_a->base->type.dtype);
}

/* Do the units take it? */
static bool is_multiplied(const Contract *c, DType d) {
    return d == DT_BF16 || d == DT_F16 || (d == DT_F32 && c->w->tf32);
}

/* Can rows of the operand be copied: is one of two symbols along its memory, and the other at a distance that no symbol bends? */
static bool in_rows(const Contract *c, const Access *x, int s) {
    if (access_bends(c->sp, x, s) || access_bends(c->sp, x, c->sk)) return false;
    return contract_stride(x, s) && contract_stride(x, c->sk) && (contract_contiguous(x, s) || contract_contiguous(x, c->sk));
}

bool schedule_is_mma(const Contract *c) {
    if (!c->w->device || c->type != DT_F32 || c->prologue || c->k->limit.seen || c->sm < 0 || c->sn < 0 || c->sk < 0 || c->lanes == 1) return false;
    DType d = c->at_a->base->type.dtype;
    if (!is_multiplied(c, d) || c->at_b->base->type.dtype != d) return false;
    if (work_aliased(c->w, c->at_a->base) || work_aliased(c->w, c->at_b->base)) return false;
    return contract_estimate(c->size_m, TILE_BLOCK) >= TILE_BLOCK / 2 && contract_estimate(c->size_n, TILE_BLOCK) >= TILE_BLOCK / 2 &&
           in_rows(c, c->at_a, c->sm) && in_rows(c, c->at_b, c->sn);
}

static int64_t tiles(const Contract *c) {
    return contract_tiles(c, c->mb, c->width);
}

/* The largest tile that leaves enough of them for a device's warps. */
void mma_pick_tile(Contract *c) {
    int64_t m = contract_estimate(c->size_m, 512), n = contract_estimate(c->size_n, 512), parts = split_most(c);
    c->mb = ROWS_WIDEST;
    c->width = COLUMNS_WIDEST;
    while (c->mb > TILE_BLOCK && m <= c->mb / 2) c->mb /= 2;
    while (c->width > c->lanes && n <= c->width / 2) c->width /= 2;
    while (parts * tiles(c) < WARPS_WISHED && (c->width > c->lanes || c->mb > TILE_BLOCK)) {
        if (c->width > c->lanes) c->width /= 2;
        else c->mb /= 2;
    }
    split_choose(c, tiles(c));
}

/* "[begin + q] < left": rows q of `size`, of which `count` from `begin` on may be too many. */
static const char *rows_left(Work *w, Size size, const char *begin, int64_t count, bool ahead) {
    int64_t whole;
    if (!ahead && size_is_const(size, &whole) && whole % count == 0) return "";
    return arena_printf(w->arena, " < %s - (%s)", work_size(w, size), begin);
}

/* One step of an operand, from row or column `begin` and from place k of the piece on, to `buffer` (its name and its first index). What
 * lies beyond k's end is zero; a piece ends there or with a whole step, and what is copied behind that nobody multiplies. */
static void copy(Contract *c, Access *x, int s, const char *begin, int64_t count, const char *k, const char *buffer) {
    Work *w = c->w;
    Size size = c->sp->symbol[s].n;
    int step = step_of(c);
    Point p = point_inside(&c->p);
    const char *at = arena_printf(w->arena, "%s%s", template_get(c->t, "from"), k);
    bool along = contract_contiguous(x, c->sk); /* k along memory */
    p.text[s] = along ? arena_printf(w->arena, "%s + q", begin) : begin;
    p.text[c->sk] = along ? at : arena_printf(w->arena, "%s + q", at);
    p.vector = along ? c->sk : s;
    p.lanes = along ? step : (int)count;
    p.limit = work_size(w, along ? c->size_k : size);
    const char *place = point_place(&p, x, "");
    const char *left = along ? rows_left(w, size, begin, count, false) : rows_left(w, c->size_k, at, step, true);
    text_line(&w->body, "copy q in 0..%lld%s { %s, q, 0 : %d] = %s }", (long long)(along ? count : step), left, buffer, p.lanes, place);
}

/* copy_step(k, at): both operands from place k on to the buffers' part `at`. */
const char *mma_fill_copy_step(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    copy(c, c->at_a, c->sm, template_get(c->t, "i0"), c->mb, args[0], arena_printf(a, "as[%s", args[1]));
    copy(c, c->at_b, c->sn, template_get(c->t, "j0"), c->width, args[0], arena_printf(a, "bs[%s", args[1]));
    return "";
}

/* fragment(f, buffer, at, row): 16 rows of an operand from `row` on. */
const char *mma_fill_fragment(void *context, const char *const *args) {
    Contract *c = context;
    bool a = args[1][0] == 'a', along = contract_contiguous(a ? c->at_a : c->at_b, c->sk);
    return arena_printf(c->w->arena, along ? "ldmatrix %s, %s[%s, %s, 0]" : "ldmatrix %s, %s[%s, 0, %s] across", args[0], args[1], args[2], args[3]);
}

/* Rows and length of a row in an operand's buffer. */
static void buffer_size(Contract *c, const Access *x, int64_t count, const char *rows, const char *length) {
    bool along = contract_contiguous(x, c->sk);
    template_number(c->t, rows, along ? count : step_of(c));
    template_number(c->t, length, along ? step_of(c) + APART_BYTES / dtype_bytes(x->base->type.dtype) : count + APART);
}

void schedule_mma(Contract *c) {
    int64_t whole;
    mma_pick_tile(c);
    c->w->kind = "mma";
    c->nv = (int)(c->width / c->lanes);
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    c->n_runs = 1;
    c->run[0] = c->sk;
    contract_begin(c);
    template_set(c->t, "H", dtype_name(c->at_a->base->type.dtype));
    template_set(c->t, "UNITS", tile_mma_name(c->at_a->base->type.dtype));
    template_number(c->t, "MR", c->mb);
    template_number(c->t, "STEP", step_of(c));
    template_number(c->t, "TR", c->mb / TILE_BLOCK);
    template_number(c->t, "TC", c->width / TILE_BLOCK);
    template_number(c->t, "CW", c->width + APART);
    buffer_size(c, c->at_a, c->mb, "AR", "AC");
    buffer_size(c, c->at_b, c->width, "BR", "BC");
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    template_run(c->t, "matrices");
}
