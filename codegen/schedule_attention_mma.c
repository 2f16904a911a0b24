/* schedule_attention_mma.c -- attention on a device's matrix units: of bf16, of f16, and of f32 where the program lets products be in tf32
 * (attention_mma.tile says how). What each warp keeps sets the bounds: fragments and sums in registers, rows of keys and values and a block
 * of scores in its share of a block's shared memory. Beyond them, and where rows do not lie as they can be copied, attention.tile stays. */
#include "codegen/attention.h"
#include "codegen/cuda/lower.h"

enum {
    REGISTERS_MOST = 128,     /* fragments of queries and sums of results: of 255 (CUDA_TWO), .. */
    REGISTERS_MANY = 96,      /* .. of 168 (CUDA_THREE), .. */
    REGISTERS_FEW = 64,       /* .. of 128 (CUDA_FOUR), where there are .. */
    SUMS_FEW = 32,            /* .. so few sums: they stay while the softmax is computed */
    KEYS_MOST = 64,           /* of a block */
    APART_BYTES = 16,         /* that a row of keys or values is longer: the eight rows of a matrix begin in different banks */
    APART = 4,                /* numbers that a row of scores is longer: likewise */
    ROWS = 2,                 /* of the softmax, at a time */
    ROWS_BYTES = 2 * 64 + 64, /* most, total and again of the template, by 64 bytes each */
};

static DType operands(const Forward *f) {
    return f->at_q->base->type.dtype;
}

/* Columns of a fragment. */
static int64_t step_of(const Forward *f) {
    return TILE_ROW / dtype_bytes(operands(f));
}

static int64_t depth_of(const Forward *f) {
    return heads_tiles(f->h.length[OF_DEPTH], step_of(f)) * step_of(f);
}

static int64_t width_of(const Forward *f) {
    return heads_tiles(f->h.length[OF_VALUE], TILE_BLOCK) * TILE_BLOCK;
}

static int64_t row_length(const Forward *f) {
    int64_t depth = depth_of(f), width = width_of(f);
    return (depth > width ? depth : width) + APART_BYTES / dtype_bytes(operands(f));
}

/* Is there memory for so many halves of the buffer of rows, and a block of so many keys? */
static bool fits(const Forward *f, int halves, int64_t keys) {
    int64_t bytes = ROWS_BYTES + halves * TILE_BLOCK * row_length(f) * dtype_bytes(operands(f)) + TILE_BLOCK * (keys + APART) * 4;
    return bytes <= CUDA_SHARED_MOST / CUDA_WARPS;
}

static int halves_of(const Forward *f) {
    return fits(f, 2, f->h.lanes) ? 2 : 1;
}

/* The most keys of a block for which there is memory; 0: there is none. */
static int64_t keys_of(const Forward *f) {
    int64_t low, high, keys = KEYS_MOST;
    size_range(f->h.size_n, &low, &high);
    while (keys / 2 >= f->h.lanes && (high <= keys / 2 || !fits(f, halves_of(f), keys))) keys /= 2;
    return fits(f, halves_of(f), keys) ? keys : 0;
}

static int64_t sums_of(const Forward *f) {
    return width_of(f) / TILE_BLOCK * 8;
}

static int64_t registers_of(const Forward *f) {
    return depth_of(f) / step_of(f) * 4 + sums_of(f);
}

static CudaRoom room_of(const Forward *f) {
    if (registers_of(f) > REGISTERS_MANY) return CUDA_TWO;
    return registers_of(f) > REGISTERS_FEW || sums_of(f) > SUMS_FEW ? CUDA_THREE : CUDA_FOUR;
}

bool heads_in_rows(const Heads *h, const Access *x, int s, Set g, DType d) {
    if (heads_bent(h, x, g) || access_bends(h->sp, x, s) || x->base->type.dtype != d || work_aliased(h->w, x->base)) return false;
    return contract_stride(x, s) && contract_contiguous(x, h->symbol[g][0]);
}

bool attention_is_mma(const Forward *f) {
    const Heads *h = &f->h;
    DType d = operands(f);
    if (!h->w->device || (d != DT_BF16 && d != DT_F16 && !(d == DT_F32 && h->w->tf32))) return false;
    if (h->n[OF_KEYS] != 1 || !heads_in_rows(h, f->at_q, heads_last_row(h), OF_DEPTH, d)) return false;
    int keys = h->symbol[OF_KEYS][0];
    if (!heads_in_rows(h, f->at_key, keys, OF_DEPTH, d) || !heads_in_rows(h, f->at_value, keys, OF_VALUE, d)) return false;
    return contract_estimate(h->size_m, TILE_BLOCK) >= TILE_BLOCK / 2 && registers_of(f) <= REGISTERS_MOST && keys_of(f) > 0;
}

void attention_mma_choose(Forward *f) {
    f->h.w->kind = "attention_mma";
    f->h.w->room = room_of(f);
    f->h.mb = f->h.mr = TILE_BLOCK;
    f->nv = f->vu = 1;
    f->kb = keys_of(f);
}

void attention_mma_set(Forward *f) {
    Template *t = f->h.t;
    DType d = operands(f);
    template_set(t, "H", dtype_name(d));
    template_set(t, "UNITS", tile_mma_name(d));
    template_set(t, "as", d == DT_F32 ? "" : arena_printf(f->h.w->arena, " as %s", dtype_name(d)));
    template_number(t, "STEP", step_of(f));
    template_number(t, "TD", depth_of(f) / step_of(f));
    template_number(t, "PARTS", TILE_BLOCK / step_of(f));
    template_number(t, "TV", width_of(f) / TILE_BLOCK);
    template_number(t, "HALVES", halves_of(f));
    template_number(t, "ahead", halves_of(f) > 1);
    template_number(t, "RW", row_length(f));
    template_number(t, "SW", f->kb + APART);
    template_number(t, "ROWS", ROWS);
    template_number(t, "VECTORS", f->kb / f->h.lanes);
}

void heads_copy(Heads *h, Access *x, int s, const char *from, Set g, int64_t columns, const char *half) {
    Work *w = h->w;
    const char *rows = work_size(w, s == heads_last_row(h) ? h->size_m : h->size_n);
    Point p = point_inside(&h->p);
    p.text[s] = arena_printf(w->arena, "%s + q", from);
    p.vector = h->symbol[g][0];
    p.limit = work_size(w, size_const(w->table, h->length[g]));
    for (int64_t c = 0; c < columns; c += p.lanes) {
        p.lanes = (int)(columns - c < TILE_LANES ? columns - c : TILE_LANES);
        p.text[p.vector] = arena_printf(w->arena, "%lld", (long long)c);
        const char *place = point_place(&p, x, "");
        text_line(&w->body, "copy q in 0..%d < %s - (%s) { rows[%s, q, %lld : %d] = %s }", TILE_BLOCK, rows, from, half, (long long)c, p.lanes, place);
    }
}

const char *attention_mma_fill_q(void *context, const char *const *args) {
    Forward *f = context;
    heads_copy(&f->h, f->at_q, heads_last_row(&f->h), template_get(f->h.t, "i0"), OF_DEPTH, depth_of(f), args[0]);
    return "";
}

const char *attention_mma_fill_key(void *context, const char *const *args) {
    Forward *f = context;
    heads_copy(&f->h, f->at_key, f->h.symbol[OF_KEYS][0], args[0], OF_DEPTH, depth_of(f), args[1]);
    return "";
}

const char *attention_mma_fill_value(void *context, const char *const *args) {
    Forward *f = context;
    heads_copy(&f->h, f->at_value, f->h.symbol[OF_KEYS][0], args[0], OF_VALUE, width_of(f), args[1]);
    return "";
}
