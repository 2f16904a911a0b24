/* schedule_attention_gradient_mma.c -- the gradients of attention on a device's matrix units: of bf16, of f16, and of f32 where the program lets
 * products be in tf32 (attention_gradient_mma.tile says how). What a warp keeps sets the bounds, as in schedule_attention_mma.c: beyond them, and
 * where rows do not lie as they can be copied, attention_gradient.tile stays. */
#include "codegen/attention.h"
#include "codegen/cuda/lower.h"

#include <string.h>

enum {
    REGISTERS_MOST = 160,     /* sums of gradients and fragments of rows: of 255 (CUDA_TWO), .. */
    REGISTERS_MANY = 96,      /* .. of 168 (CUDA_THREE), .. */
    REGISTERS_FEW = 64,       /* .. of 128 (CUDA_FOUR) */
    TOGETHER_MOST = 96,       /* .. of both gradients that keys get: with more, two kernels have more warps to run */
    KEYS_MOST = 64,           /* of a block of the kernel of rows */
    KEY_TILES = 2,            /* matrices of 16 keys that a warp of the other one has: of as many keys as lanes */
    APART_BYTES = 16,         /* that a row of operands is longer: the eight rows of a matrix begin in different banks */
    APART = 4,                /* numbers that a row of scores is longer: likewise */
    ROWS_BYTES = 64,          /* of the sums of rows */
};

static DType operands(const Backward *b) {
    return b->row[0]->base->type.dtype;
}

/* Columns of a fragment. */
static int64_t step_of(const Backward *b) {
    return TILE_ROW / dtype_bytes(operands(b));
}

/* Fragments of a row of product 0 or 1, matrices of the result of another one. */
static int64_t tiles_of(const Backward *b, int product) {
    return heads_tiles(b->h.length[gradient_set(product)], product < 2 ? step_of(b) : TILE_BLOCK);
}

/* Columns that are copied. */
static int64_t columns_of(const Backward *b, int product) {
    return tiles_of(b, product) * (product < 2 ? step_of(b) : TILE_BLOCK);
}

static int64_t row_length(const Backward *b) {
    int64_t most = 0;
    for (int p = 0; p < PRODUCTS; p++)
        if (columns_of(b, p) > most) most = columns_of(b, p);
    return most + APART_BYTES / dtype_bytes(operands(b));
}

/* Is there memory for so many halves of the buffer of rows, and a block of so many keys? */
static bool fits(const Backward *b, int halves, int64_t keys) {
    int64_t bytes = ROWS_BYTES + halves * TILE_BLOCK * row_length(b) * dtype_bytes(operands(b)) + 2 * TILE_BLOCK * (keys + APART) * 4;
    return bytes <= CUDA_SHARED_MOST / CUDA_WARPS;
}

static int64_t fragments_of(const Backward *b) {
    return 4 * (tiles_of(b, 0) > tiles_of(b, 1) ? tiles_of(b, 0) : tiles_of(b, 1));
}

static int64_t row_registers(const Backward *b) {
    return tiles_of(b, 2) * 8 + 4 * (tiles_of(b, 0) + tiles_of(b, 1));
}

static int64_t key_registers(const Backward *b, bool with_k, bool with_v) {
    return KEY_TILES * 8 * ((with_k ? tiles_of(b, 3) : 0) + (with_v ? tiles_of(b, 4) : 0)) + fragments_of(b);
}

/* Does a warp add up gradients of keys and of values at once? */
static bool are_together(const Backward *b) {
    return key_registers(b, true, true) <= TOGETHER_MOST;
}

static CudaRoom room_of(int64_t registers) {
    return registers > REGISTERS_MANY ? CUDA_TWO : registers > REGISTERS_FEW ? CUDA_THREE : CUDA_FOUR;
}

bool gradient_is_mma(const Backward *b) {
    const Heads *h = &b->h;
    DType d = operands(b);
    if (!h->w->device || (d != DT_BF16 && d != DT_F16 && !(d == DT_F32 && h->w->tf32))) return false;
    if (h->n[OF_KEYS] != 1 || heads_maps_bend(h, LEVEL_A, OF_KEYS) || !b->sums) return false;
    for (int p = 0; p < PRODUCTS; p++) {
        if (b->row[p] && !heads_in_rows(h, b->row[p], heads_last_row(h), gradient_set(p), d)) return false;
        if (b->key[p] && !heads_in_rows(h, b->key[p], h->symbol[OF_KEYS][0], gradient_set(p), d)) return false;
    }
    if (row_registers(b) > REGISTERS_MOST || key_registers(b, true, false) > REGISTERS_MOST || key_registers(b, false, true) > REGISTERS_MOST) return false;
    return contract_estimate(h->size_m, TILE_BLOCK) >= TILE_BLOCK / 2 && contract_estimate(h->size_n, TILE_BLOCK) >= TILE_BLOCK / 2 && fits(b, 1, h->lanes);
}

/* ---- holes */

/* Parallel over batches, and over blocks of rows or of keys. */
const char *gradient_mma_fill_nest(Backward *b) {
    Heads *h = &b->h;
    Work *w = h->w;
    bool opened;
    for (int g = OF_BATCH; g <= (b->of_rows ? OF_ROWS : OF_BATCH); g++)
        for (int i = 0; i < h->n[g]; i++) {
            int s = h->symbol[g][i];
            int64_t by = g == OF_ROWS && s == heads_last_row(h) ? TILE_BLOCK : 1;
            h->p.text[s] = open_parts(w, arena_printf(w->arena, "x%d", s), h->sp->symbol[s].n, by, false, &opened);
        }
    if (!b->of_rows) {
        template_set(h->t, "j0", open_parts(w, "keys", h->size_n, h->lanes, false, &opened));
        template_set(h->t, "i0", "top");
        return "";
    }
    const char *i0 = h->p.text[heads_last_row(h)];
    const char *seen = heads_seen(h, arena_printf(w->arena, "%s + %d", i0, TILE_BLOCK - 1));
    template_set(h->t, "i0", i0);
    template_set(h->t, "j0", "j0");
    template_number(h->t, "triangle", seen != NULL);
    template_set(h->t, "block_seen", seen ? seen : "");
    return "";
}

static int digit(const char *text) {
    return text[0] - '0';
}

const char *gradient_mma_fill_copy_row(void *context, const char *const *args) {
    Backward *b = context;
    int p = digit(args[0]);
    heads_copy(&b->h, b->row[p], heads_last_row(&b->h), args[1], gradient_set(p), columns_of(b, p), args[2]);
    return "";
}

const char *gradient_mma_fill_copy_key(void *context, const char *const *args) {
    Backward *b = context;
    int p = digit(args[0]);
    heads_copy(&b->h, b->key[p], b->h.symbol[OF_KEYS][0], args[1], gradient_set(p), columns_of(b, p), args[2]);
    return "";
}

/* The first kernel stores them, the others load them. */
const char *gradient_mma_fill_row_sums(void *context, const char *const *args) {
    Backward *b = context;
    Point p = point_inside(&b->h.p);
    p.text[heads_last_row(&b->h)] = args[0];
    return point_place(&p, b->sums, b->of_rows ? " out" : "");
}

const char *gradient_mma_fill_row_again(void *context, const char *const *args) {
    Backward *b = context;
    Point p = point_inside(&b->h.p);
    p.text[heads_last_row(&b->h)] = args[0];
    if (b->with_k) heads_set(&b->h, b->a->sum, args[1], false);
    heads_maps(&b->h, &p, b->for_scores, LEVEL_ROW);
    return "";
}

const char *gradient_mma_fill_gradients(void *context, const char *const *args) {
    Backward *b = context;
    Point p = heads_at_scores(&b->h, args[0], args[1], b->np);
    heads_set(&b->h, b->a->scores, args[2], true);
    if (b->with_k) heads_set(&b->h, b->a->by_weights, args[3], true);
    heads_maps(&b->h, &p, b->for_scores, LEVEL_A);
    return "";
}

const char *gradient_mma_fill_score_gradient(void *context, const char *const *args) {
    (void)args;
    Backward *b = context;
    return heads_score(&b->h, b->a->by_scores);
}

/* ---- choices */

static void find_needed(Backward *b) {
    int n = b->h.k->nodes.n;
    b->for_sum = NEW_ARRAY(b->h.w->arena, bool, n);
    b->for_scores = NEW_ARRAY(b->h.w->arena, bool, n);
    if (b->of_rows) heads_need(&b->h, b->for_sum, plan_base(b->a->sum->in[0]));
    if (b->with_k) heads_need(&b->h, b->for_scores, b->a->by_scores);
    if (b->with_v) heads_need(&b->h, b->for_scores, b->a->weights);
}

/* Halves of the buffer of rows, and keys of a block. */
static int choose_memory(Backward *b) {
    Heads *h = &b->h;
    int64_t low, high;
    int halves = fits(b, 2, h->lanes) ? 2 : 1;
    size_range(h->size_n, &low, &high);
    b->np = b->of_rows ? KEYS_MOST : h->lanes;
    while (b->np > h->lanes && (high <= b->np / 2 || !fits(b, halves, b->np))) b->np /= 2;
    return halves;
}

static void number_of(Backward *b, const char *name, int product, int64_t value) {
    template_number(b->h.t, arena_printf(b->h.w->arena, "%s%d", name, product), value);
}

static void set_parameters(Backward *b) {
    Heads *h = &b->h;
    Work *w = h->w;
    Template *t = h->t;
    DType d = operands(b);
    int64_t whole;
    int halves = choose_memory(b);
    for (int p = 0; p < PRODUCTS; p++) {
        number_of(b, "T", p, tiles_of(b, p));
        number_of(b, "D", p, h->length[gradient_set(p)]);
        number_of(b, "C", p, heads_tiles(h->length[gradient_set(p)], h->lanes) * h->lanes);
    }
    template_set(t, "N", work_size(w, h->size_n));
    template_set(t, "M", work_size(w, h->size_m));
    template_number(t, "L", h->lanes);
    template_set(t, "H", dtype_name(d));
    template_set(t, "UNITS", tile_mma_name(d));
    template_set(t, "as", d == DT_F32 ? "" : arena_printf(w->arena, " as %s", dtype_name(d)));
    template_number(t, "STEP", step_of(b));
    template_number(t, "PARTS", TILE_BLOCK / step_of(b));
    template_number(t, "HALVES", halves);
    template_number(t, "ahead", halves > 1);
    template_number(t, "RW", row_length(b));
    template_number(t, "KB", b->np);
    template_number(t, "SW", b->np + APART);
    template_number(t, "VECTORS", b->np / h->lanes);
    template_number(t, "ROWS", 2);
    template_number(t, "odd", halves > 1 && !b->of_rows && !b->with_v);
    template_number(t, "of_rows", b->of_rows);
    template_number(t, "with_k", b->with_k);
    template_number(t, "with_v", b->with_v);
    template_number(t, "rows_divide", size_is_const(h->size_m, &whole) && whole % TILE_BLOCK == 0);
    template_number(t, "scalar_stores", gradient_stores_bend(b, 2) || gradient_stores_bend(b, 3) || gradient_stores_bend(b, 4));
}

/* A triangle that leaves a row without keys is none: the weights of such a row are what the maps make of it. */
static void look_at_triangle(Backward *b) {
    int64_t low, high;
    if (b->h.triangle < 0) return;
    size_range(b->h.reach, &low, &high);
    if (low < 1) b->h.triangle = -1;
}

static void run(Backward *b, KernelCode *code) {
    Heads *h = &b->h;
    look_at_triangle(b);
    h->map_lanes = h->lanes;
    h->mb = h->mr = TILE_BLOCK;
    find_needed(b);
    h->w->room = room_of(b->of_rows ? row_registers(b) : key_registers(b, b->with_k, b->with_v));
    h->p = point_new(h->w, h->items, 1, -1);
    h->t = template_new(&h->w->body, "attention_gradient_mma.tile", gradient_holes, b);
    set_parameters(b);
    template_run(h->t, b->of_rows ? "rows_by_matrices" : "keys_by_matrices");
    work_finish(h->w, code);
}

static void run_keys(const Backward *rows, const char *kind, bool with_k, bool with_v, KernelCode *code) {
    const Work *w = rows->h.w;
    Backward b;
    gradient_begin(&b, work_new(w->s, w->plan, w->k, kind));
    b.with_k = with_k;
    b.with_v = with_v;
    run(&b, code);
}

void schedule_gradient_mma(Backward *b, KernelCode *code) {
    b->h.w->kind = "attention_gradient_mma";
    b->of_rows = b->with_k = true;
    run(b, code);
    if (are_together(b)) {
        run_keys(b, "attention_gradient_mma_keys", true, true, code);
    } else {
        run_keys(b, "attention_gradient_mma_values", false, true, code);
        run_keys(b, "attention_gradient_mma_keys", true, false, code);
    }
}
