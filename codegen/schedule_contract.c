/* schedule_contract.c -- products: which form, of what size. contract.h says what a contract is made of.
 *
 * A block of rows covers some rows of the last symbol of m, or all of them and a part of the symbols before it, so that a
 * packed panel serves enough of them where rows are short: a convolution has m = batch, rows and columns of a picture, which do
 * not merge. A block of k likewise: the elements of a window (its rows, then columns and channels), which lie one after another
 * in the panel whatever they are in memory. The loops of the product itself merge what lies side by side in a alone. Where the
 * sums of a block of k go to a buffer anyway and nothing is packed, symbols of n may lie in a block, too: the gradient of a
 * kernel then reads the pictures once for all its columns.
 *
 * contract.tile holds the loops, in two forms: panels, and rows for at most SMALL rows, where nothing is packed: one by one, or all of
 * them at once as a tile of dot products where k runs along B. Here are the choice between them and their parameters;
 * contract_fill.c fills their holes. */
#include "codegen/contract.h"
#include "codegen/tuning.h"

#define DOTS       4          /* columns of one round of dot products, at least */
#define DOTS_MOST  8          /* .. where all rows are a tile, at most */
#define COPIED_COLUMNS 128    /* .. of rows that are copied, which takes as long as some columns */
#define NEIGHBOURS 4          /* elements from one of a row to the next that are still loaded as vectors */
#define COLUMN_SUMS 4         /* accumulators of a column that is a round by itself */
#define RUNS       8          /* rows of B that are read at once where it comes from memory */
#define ONE_PASS   (128 << 10) /* bytes of B that one row goes through at once, at most; of more, half, .. */
#define TWO_PASSES (1 << 20)  /* .. up to so many */
#define RUN_COLUMNS 512       /* most elements of each */
#define ROW_COPIED 8192       /* longest row of A that is copied for dot products */
#define KC         512        /* longest packed block of k, .. */
#define NEAREST    (24 << 10) /* .. and, where vectors are short, bytes of a panel that leave room for A in a cache of 32 KiB */
#define LONG_BLOCK 192        /* rows that share a packed panel, if that leaves .. */
#define ENOUGH     6          /* .. so many parallel iterations; else half of them */
#define FAR        256        /* elements from one step of k to the next that no prefetcher guesses */
#define PACK_COST  3          /* multiplications that packing the rows of a tile takes as long as, a step of k */
#define ASKS       8          /* steps of k, most that pass between two rows that are asked for */
#define BLOCKS_MANY 64        /* blocks, of which one more or less for a thread matters little */
#define PIECE      512        /* bytes of a row of B that are packed at once, at most */
#define REMEMBERED 64         /* rows of B whose pages a processor still knows when the next panel comes */
#define COPY_MOST  (8 << 20)  /* bytes of a copy that a call makes .. */
#define COPY_WORTH (16 << 20) /* .. for so many multiplications */
#define COPY_TERMS 320        /* .. and sums of so many, or small results */
#define STAYS      (512 << 10) /* bytes of a copy that may stay in a cache from one call to the next */
#define AHEAD      12         /* steps by which packing asks for rows that no prefetcher guesses */
#define FEW_TILES  2          /* of rows, that read B where it lies: a line of each row, of one block of k; of several lines more */
#define FEW_TERMS  512        /* or, with maps behind the sums, .. */
#define FEW_TERMS_OF_MAPS 1024 /* .. this many of all lanes: narrow vectors are added up twice as fast, and mapped no faster */
#define FEW_MAPS   5
#define PAGE       1024       /* bytes */
#define SQUARE     8          /* most lanes of a transposed square */
#define ROWS_MOST  8          /* of a register tile */
#define TERMS_FLAT 256        /* terms of a sum, at least, where rows of a picture are counted through its lines, .. */
#define LINE_FLAT  128        /* .. and lines are no longer, .. */
#define WORTH_FLAT 0.94       /* .. if that costs so much less */
#define SLICE_VECTORS 2      /* of a tile, where all slices of the columns go past it in turn: of narrow ones it takes more rows along */
#define ROWS_FEW   64         /* .. and where there are so few, of which tiles of 8 may leave many out, or all columns are one vector, .. */
#define ROWS_LONG  14         /* .. most of one; such a one is tried by timing, too */
#define TUNED_WORSE 1.25      /* candidates by the cost model's measure */
#define SUMS       (32 << 10) /* sums of a block, beside which what it reads still has room in a cache of 256 KiB or more */
/* (Squares of 16 would pack a third faster, but LLVM needs 8 ms for their 64 shuffles.) */

/* ---- rows */

static int64_t tiles(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}

/* Does B come from memory at each call, in numbers that need no unpacking? */
static bool is_far(const Contract *c) {
    int64_t n = contract_estimate(c->size_n, 64), k = contract_estimate(c->size_k, 64);
    return n * k * dtype_bytes(c->type) > c->w->machine->l2 && c->at_b->base->type.dtype == c->type && !c->prologue;
}

/* Columns of one round of dot products. Memory is read fastest as one stream. */
static int dots_of(const Contract *c) {
    return c->dot_lanes == 1 || !is_far(c) ? DOTS : 1;
}

/* Terms of a column that go to several accumulators in turn, where it is a round by itself: the rest, less than all of them take, goes to one.
 * What a call has made or was given lies in a cache of all cores, faster than one accumulator; weights come from memory, which is slower, and
 * is read a little faster the less the loads bunch. */
static int64_t summed_of(const Contract *c) {
    int64_t k;
    if (dots_of(c) != 1 || c->at_b->base->op == OP_SLOT || c->sn < 0 || c->n[GROUP_K] != 1 || !size_is_const(c->size_k, &k)) return 0;
    return k / (COLUMN_SUMS * c->dot_lanes) * (COLUMN_SUMS * c->dot_lanes);
}

/* Columns of a panel of which whole runs are read: of some pages' part, and enough panels for threads. */
static int64_t run_width(const Contract *c) {
    int64_t part = tiles(contract_estimate(c->size_n, 64), ENOUGH), width = RUN_COLUMNS;
    while (width > 4 * c->lanes && width > part) width /= 2;
    return width;
}

/* Where the sums of a whole row are registers, and little of B goes past them: all columns, or half of them, so that two threads have work. Memory
 * is then read as one stream, or as two. 0: not so. */
static int64_t stream_width(const Contract *c) {
    int64_t n, k = 1;
    if (c->w->device || c->w->small || c->lanes == 1 || c->prologue || c->n_parts || c->sk < 0) return 0;
    if (!contract_contiguous(c->at_b, c->sn) || !size_is_const(c->size_n, &n)) return 0;
    for (int i = 0; i < c->n[GROUP_K]; i++) k *= contract_estimate(c->sp->symbol[c->symbol[GROUP_K][i]].n, 512);
    int64_t bytes = n * k * dtype_bytes(c->type), width = tiles(tiles(n, bytes > ONE_PASS ? 2 : 1), c->lanes) * c->lanes;
    return n <= (int64_t)(c->w->machine->registers - 1) * c->lanes && bytes <= TWO_PASSES ? width : 0;
}

/* Dot products of all rows, where these are few and known, by so many columns at once as cost the least: each vector that is loaded then meets
 * several. Columns whose values are made on the way (a prologue) are no more than they were, and one where memory is the limit. */
static bool pick_dots(Contract *c) {
    const TileTarget *t = c->w->machine;
    int64_t rows = 1, n = contract_estimate(c->size_n, 64);
    double best = 1e30;
    c->dots = c->sn < 0 ? 1 : dots_of(c);
    if (c->w->device || c->w->small || c->dot_lanes == 1 || c->sn < 0 || (c->sm >= 0 && !size_is_const(c->size_m, &rows)) || rows > SMALL) return false;
    if (rows == 1 && c->dots == 1) return false;
    int most = c->prologue ? DOTS : c->lanes < DOTS_MOST ? c->lanes : DOTS_MOST;
    for (int columns = 1; columns <= most; columns *= 2) {
        double cost = (double)tiles(n, columns) * contract_step_cost(t, columns, (int)rows);
        if ((int)rows * (columns + 1) + 1 + !t->fma > t->registers || cost >= best - 1e-9) continue;
        best = cost;
        c->dots = columns;
    }
    c->mr = (int)rows;
    return true;
}

/* Columns of a panel whose rows are copied first: so many that this takes little beside the sums, and some panels for threads. */
static int64_t copied_width(const Contract *c) {
    int64_t n = contract_estimate(c->size_n, 64), width = tiles(n, ENOUGH);
    if (width < COPIED_COLUMNS) width = COPIED_COLUMNS;
    if (width > RUN_COLUMNS) width = RUN_COLUMNS;
    if (width > n) width = n;
    return tiles(width, c->lanes) * c->lanes;
}

/* Few rows, each by itself, or all of them at once. Columns go first: a part of B serves all rows while it is in a cache. */
static void emit_rows(Contract *c) {
    Work *w = c->w;
    int64_t low, high, k = 0, terms = 0;
    if (schedule_is_narrow(c)) {
        schedule_narrow(c);
        return;
    }
    w->kind = "rows";
    c->mb = c->mr = 1;
    c->width = c->sn < 0 ? 1 : w->device ? c->lanes : 4 * w->machine->lanes;
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    size_range(c->size_n, &low, &high);
    while (c->width > c->lanes && c->width > DOTS && high <= c->width / 2) c->width /= 2;
    bool runs = is_far(c) && c->lanes > 1 && contract_contiguous(c->at_b, c->sn) && c->n[GROUP_K] == 1 && size_is_const(c->size_k, &terms);
    if (runs) c->width = run_width(c);
    else if (stream_width(c)) c->width = stream_width(c);
    bool dots = c->lanes > 1 && c->sn >= 0 && contract_contiguous(c->at_b, c->sk);
    c->copied = dots && !contract_contiguous(c->at_a, c->sk) && size_is_const(c->size_k, &k);
    c->copied_row = tiles(k, c->lanes) * c->lanes;
    int64_t copied = c->copied_row, last = k;
    for (int i = 0; i < c->kq; i++) {
        c->copied = c->copied && size_is_const(c->sp->symbol[c->symbol[GROUP_K][i]].n, &k);
        copied *= k;
    }
    c->copied = c->copied && copied <= ROW_COPIED;
    bool along_k = c->lanes > 1 && contract_contiguous(c->at_b, c->sk) && (c->copied || contract_contiguous(c->at_a, c->sk));
    c->dot_lanes = along_k ? c->lanes : 1;
    c->columns_first = c->sk >= 0; /* an outer product's B is one row, in a cache anyway: its results are written side by side */
    bool tile = pick_dots(c);
    if (tile) w->kind = "dots";
    c->mb = c->part_rows = c->mr;
    if (tile && c->copied) c->width = copied_width(c);
    c->nv = (int)(c->width / c->lanes);
    c->summed = along_k && !tile && !w->device ? summed_of(c) : 0;
    contract_begin(c);
    template_number(c->t, "sums", c->summed != 0);
    template_number(c->t, "SUMS", COLUMN_SUMS);
    template_number(c->t, "SUMMED", c->summed);
    template_number(c->t, "SUMS_LANES", COLUMN_SUMS * c->lanes);
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "rows_at_once", c->mr > 1);
    template_number(c->t, "tile", tile);
    template_number(c->t, "CT", (c->n_parts ? c->k->parts : 1) * c->mr);
    template_number(c->t, "copied", c->copied);
    template_number(c->t, "KR", copied);
    int64_t apart, vectors = 0;
    Size step = contract_stride(c->at_a, c->sk);
    if (tile && c->copied && step && size_is_const(step, &apart) && apart > 1 && apart <= NEIGHBOURS) vectors = last / c->lanes * c->lanes;
    template_number(c->t, "copied_vectors", vectors);
    template_number(c->t, "copied_rest", vectors < last);
    template_number(c->t, "copy_divides", c->copied && c->copied_row == last);
    template_number(c->t, "KR_LAST", c->copied_row - c->lanes);
    bool stream = c->lanes > 1 && contract_contiguous(c->at_b, c->sn);
    template_number(c->t, "runs", runs);
    template_number(c->t, "RUNS", RUNS);
    template_number(c->t, "K_RUNS", terms / RUNS * RUNS);
    template_number(c->t, "k_rest", terms % RUNS);
    template_number(c->t, "stream", stream && !runs);
    template_number(c->t, "by_dots", !stream);
    template_number(c->t, "DOTS", c->dots);
    template_set(c->t, "TV", along_k ? arena_printf(w->arena, "%sx%d", c->type_name, c->lanes) : c->type_name);
    template_run(c->t, "rows");
}

/* ---- panels */

int64_t contract_estimate(Size n, int64_t usual) {
    int64_t low, high;
    size_range(n, &low, &high);
    if (low == high) return low;
    return high < usual ? high : low > usual ? low : usual;
}

double contract_step_cost(const TileTarget *t, int rows, int vectors) {
    double work = rows * vectors, loads = vectors + 0.5 * rows;
    if (work < t->in_flight) work = t->in_flight;
    return (work > loads ? work : loads) + 0.05 * loads + 0.5;
}

/* A part of n of at most `most`: a divisor, if there is one that is not much smaller. */
static int64_t part_of(Size n, int64_t most) {
    int64_t whole;
    if (!size_is_const(n, &whole)) return most;
    if (whole <= most) return whole;
    for (int64_t d = most; d > most / 2; d--)
        if (whole % d == 0) return d;
    return most;
}

/* Rows of one of equal blocks, of about `wish`, in whole tiles. */
static int64_t block_rows(const Contract *c, int64_t m, int64_t wish) {
    int64_t all = tiles(m, c->mr) * c->mr;
    return all > wish + wish / 2 ? tiles(tiles(m, tiles(all, wish)), c->mr) * c->mr : all;
}

/* Rows of a block where there are at least so many rows, and often no more (of pictures in a batch of one): of blocks that are not much longer than
 * `wish`, those of which two threads, who take panel by panel of one block after the other, have the most equal shares. */
static int64_t equal_blocks(const Contract *c, int64_t rows, int64_t panels, int64_t wish) {
    int64_t best = 0, least = INT64_MAX;
    for (int64_t n = tiles(rows, wish + wish / 2); n <= 2 * tiles(rows, wish); n++) {
        int64_t mb = tiles(tiles(rows, n), c->mr) * c->mr, units = tiles(rows, mb) * panels, share[2] = {0, 0};
        for (int64_t u = 0; u < units; u++) {
            int64_t left = rows - u / panels * mb;
            share[u >= units / 2] += tiles(left < mb ? left : mb, c->mr);
        }
        int64_t longest = share[0] > share[1] ? share[0] : share[1];
        if (longest >= least) continue;
        least = longest;
        best = mb;
    }
    return best;
}

/* Rows of a block: enough to pay for packing a panel, few enough that several threads have work. Rows of the last symbol; if it
 * is static and short, all of it and a part of the symbols before. */
void contract_pick_block(Contract *c, int64_t m, int64_t n) {
    int64_t panels = tiles(n, c->width), rows = 1, whole, low, high;
    for (int i = 0; i < c->n[GROUP_M]; i++) rows *= contract_estimate(c->sp->symbol[c->symbol[GROUP_M][i]].n, 512);
    int64_t wish = panels * tiles(rows, LONG_BLOCK) >= ENOUGH ? LONG_BLOCK : LONG_BLOCK / 2;
    if (c->pack_cost > 0 && tiles(panels, PANELS) * tiles(rows, 2 * LONG_BLOCK) >= ENOUGH) wish = 2 * LONG_BLOCK;
    if (c->rows) wish = c->rows;
    c->mb = block_rows(c, m, wish);
    size_range(c->size_m, &low, &high);
    if (low < high && low >= wish && low < BLOCKS_MANY * wish && !c->rows) c->mb = equal_blocks(c, low, panels, wish);
    c->mq = c->n[GROUP_M] - 1;
    if (c->mb < m || !size_is_static(c->size_m)) return;
    for (rows = c->mb; c->mq > 0 && 2 * rows <= wish; rows *= c->mc) {
        c->mq--;
        c->mc = part_of(c->sp->symbol[c->symbol[GROUP_M][c->mq]].n, wish / rows);
        if (!size_is_const(c->sp->symbol[c->symbol[GROUP_M][c->mq]].n, &whole) || c->mc < whole) return;
    }
}

static int64_t longest_block(const Contract *c) {
    int64_t n = NEAREST / (4 * c->width);
    return c->lanes > 8 || n > KC ? KC : n;
}

/* A block of k: the last symbol, or all of it and as much of the ones before as fits, or a part of it. */
static void choose_k(Contract *c) {
    int64_t low, high, whole;
    for (c->kq = c->n[GROUP_K] - 1; c->kq > 0; c->kq--) {
        Size n = c->sp->symbol[c->symbol[GROUP_K][c->kq]].n;
        if (!size_is_const(n, &whole) || 2 * c->k_inner * whole > longest_block(c)) break;
        c->k_inner *= whole;
    }
    Size n = c->sp->symbol[c->symbol[GROUP_K][c->kq]].n;
    int64_t most = longest_block(c) / c->k_inner;
    size_range(n, &low, &high);
    c->k_whole = high <= most + most / 2;
    c->kc = c->k_whole ? high : part_of(n, most);
    c->k_divides = size_is_const(n, &whole) && whole % c->kc == 0;
    if (c->k_divides || !size_is_static(n) || c->kq == c->n[GROUP_K] - 1) return;
    c->k_inner /= contract_symbol_size(c, c->symbol[GROUP_K][++c->kq]); /* one by one, outside of blocks */
    c->kc = contract_symbol_size(c, c->symbol[GROUP_K][c->kq]);
    c->k_whole = c->k_divides = true;
}

/* The loops of the product over a block of k: symbols that lie side by side in a are one. */
static void choose_runs(Contract *c) {
    int last = c->n[GROUP_K] - 1;
    int run[MAX_SYMBOLS], n = 0;
    for (int i = last; i >= c->kq; i--) {
        int s = c->symbol[GROUP_K][i];
        Symbol *inner = n ? &c->sp->symbol[run[n - 1]] : NULL;
        Size step = n ? contract_stride(c->at_a, run[n - 1]) : NULL, wide = contract_stride(c->at_a, s);
        bool cut = i == c->kq && !c->k_whole;
        if (!n || c->direct || c->pack_a || cut || !step || !wide || size_mul(step, inner->n) != wide ||
            c->sp->n == MAX_SYMBOLS) {
            run[n++] = s;
            continue;
        }
        c->sp->symbol[c->sp->n] = (Symbol){.n = size_mul(c->sp->symbol[s].n, inner->n), .axis = inner->axis};
        c->at_a->at.coef[c->sp->n] = step;
        c->at_a->at.coef[run[n - 1]] = c->at_a->at.coef[s] = NULL;
        run[n - 1] = c->sp->n++;
    }
    c->n_runs = n;
    for (int i = 0; i < n; i++) c->run[i] = run[n - 1 - i];
}

/* The slot that B is, if the plan allows a copy of it; else -1. */
int contract_packed_slot(const Contract *c) {
    return c->w->device ? -1 : kernel_packed_slot(c->k, c->at_b->base);
}

/* Are the sizes known that a copy of B has? */
static bool is_copyable(const Contract *c) {
    if (c->k->limit.seen || c->sn < 0 || c->sk < 0) return false;
    if (!contract_stride(c->at_b, c->sn) || !contract_stride(c->at_b, c->sk) || !size_is_static(c->at_b->at.c)) return false;
    for (int s = 0; s < c->sp->n; s++)
        if (c->at_b->at.coef[s] && (!size_is_static(c->at_b->at.coef[s]) || !size_is_static(c->sp->symbol[s].n))) return false;
    for (int g = GROUP_N; g <= GROUP_K; g++) /* those along which B is the same, too */
        for (int i = 0; i < c->n[g]; i++)
            if (!size_is_static(c->sp->symbol[c->symbol[g][i]].n)) return false;
    return true;
}

/* May B be read from a copy that the session keeps? It must be a weight that the plan allows, of sizes known now. */
bool contract_can_pack(const Contract *c) { return contract_packed_slot(c) >= 0 && is_copyable(c); }

/* Of all tiles of m rows and n columns. Some panels share a packed copy of A's rows. */
static double tiles_cost(const Contract *c, int64_t m, int64_t n, int mr, int nv) {
    int64_t panels = tiles(n, nv * c->lanes);
    double copy = c->pack_cost / (double)(panels < PANELS ? panels : PANELS);
    return (double)(tiles(m, mr) * panels) * (contract_step_cost(c->w->machine, mr, nv) + copy);
}

/* May strips of A have so many rows? They are vectors. */
static bool is_strip(int rows) { return rows == 4 || rows == 8; }

/* What a tile holds: its sums, a step's columns, an element of A; of pairs that no one instruction adds up, their products on the
 * way, and of pairs of bf16 both halves of each. */
static int registers_of(const Contract *c, int mr, int nv) {
    bool pairs = c->group == 2, halves = pairs && c->type == DT_F32 && !c->w->machine->pairs;
    return mr * nv + (halves ? 2 * nv + 2 : nv + 1) + (pairs && c->type == DT_I32);
}

/* Is a panel of nv vectors some lines of each row of B, not just one? Then what is read of a row is worth the way to it. */
static bool is_wide(const Contract *c, int nv) { return nv * c->lanes * dtype_bytes(c->type) >= 2 * CACHE_LINE; }

/* The tile of the least cost for m rows and n columns, of `least` to `most` vectors. */
void contract_pick_tile(Contract *c, int64_t m, int64_t n, int least, int most, int rows) {
    const TileTarget *t = c->w->machine;
    int registers = t->registers - (t->registers > 16);
    double best = 1e30;
    for (int nv = least; nv <= most; nv++) {
        for (int mr = 1; mr <= rows; mr++) {
            if (registers_of(c, mr, nv) > registers || (c->pack_cost > 0 && !is_strip(mr))) continue;
            if (mr > ROWS_MOST && !is_wide(c, nv) && n > c->lanes) continue;
            double cost = tiles_cost(c, m, n, mr, nv);
            if (cost >= best - 1e-9) continue;
            best = cost;
            c->mr = mr;
            c->nv = nv;
        }
    }
}

/* Lines that are not much longer than a tile leave most of the last one empty; rows counted through all lines of a picture leave
 * few. Each row then finds its line by a division, which is little beside the sums of a tile. Blocks must be enough for
 * threads. A tile that was timed stays. */
void contract_flatten(Contract *c) {
    int last = c->n[GROUP_M] - 1;
    if (last < 1 || c->n_parts || c->k->limit.seen) return;
    Size x = c->sp->symbol[c->sm].n, y = c->sp->symbol[c->symbol[GROUP_M][last - 1]].n;
    int64_t lines, line, low, high, panels = tiles(contract_estimate(c->size_n, 64), c->width), terms = 1;
    for (int i = 0; i < c->n[GROUP_K]; i++) terms *= contract_estimate(c->sp->symbol[c->symbol[GROUP_K][i]].n, 1);
    for (int i = 0; i < c->n[GROUP_BATCH]; i++) panels *= contract_estimate(c->sp->symbol[c->symbol[GROUP_BATCH][i]].n, 1);
    size_range(x, &low, &high);
    if (terms < TERMS_FLAT || low < 1 || high > LINE_FLAT) return;
    bool known = size_is_const(y, &lines) && size_is_const(x, &line);
    int64_t m = known ? lines * line : 512, n = contract_estimate(c->size_n, 64);
    int mr = c->mr;
    int64_t wish = panels * tiles(m, LONG_BLOCK) >= ENOUGH ? LONG_BLOCK : LONG_BLOCK / 2;
    if (c->rows) wish = c->rows;
    if (panels * tiles(m, wish) < ENOUGH) return;
    double by_lines = known ? (double)lines * tiles_cost(c, line, n, mr, c->nv) : 1e30;
    if (!c->w->tuning) contract_pick_tile(c, m, n, c->nv, c->nv, ROWS_MOST);
    if (tiles_cost(c, m, n, c->mr, c->nv) > WORTH_FLAT * by_lines) {
        c->mr = mr;
        return;
    }
    c->flat = true;
    c->size_m = size_mul(y, x);
    c->mq = last - 1;
    c->mb = block_rows(c, m, wish);
}

/* Candidates for timing, beside the tile that was picked: tiles that the model finds little worse, then other blocks. */
static void offer_tiles(Contract *c, int64_t m, int64_t n, bool any_width) {
    const TileTarget *t = c->w->machine;
    int registers = t->registers - (t->registers > 16), picked = c->mr * 100 + c->nv;
    double best = tiles_cost(c, m, n, c->mr, c->nv);
    tuning_offer(c->w->tuning, (TileChoice){.mr = c->mr, .nv = c->nv});
    tuning_offer(c->w->tuning, (TileChoice){.mr = c->mr, .nv = c->nv, .rows = LONG_BLOCK / 2});
    tuning_offer(c->w->tuning, (TileChoice){.mr = c->mr, .nv = c->nv, .rows = 2 * LONG_BLOCK});
    for (int nv = any_width ? 1 : c->nv; nv <= (any_width ? 5 : c->nv); nv++)
        for (int mr = ROWS_LONG; mr >= 1; mr--) {
            double cost = tiles_cost(c, m, n, mr, nv);
            if (registers_of(c, mr, nv) > registers || cost > TUNED_WORSE * best || mr * 100 + nv == picked) continue;
            tuning_offer(c->w->tuning, (TileChoice){.mr = mr, .nv = nv});
        }
}

/* The tile by timing, where there is one. The panels of a weight stay as wide as they are: products share them. */
static void tune_tile(Contract *c, int64_t m, int64_t n) {
    Work *w = c->w;
    TileChoice choice;
    if (!w->tuning || c->k->limit.seen) return;
    if (tuning_lists(w->tuning)) offer_tiles(c, m, n, !contract_can_pack(c));
    else if (tuning_find(w->tuning, w->machine->name, c->k, w->text, &choice) && choice.mr) {
        c->mr = choice.mr;
        if (!contract_can_pack(c)) c->nv = choice.nv;
        c->rows = choice.rows;
    }
}

/* Is each step of k a few neighbours in memory, along that symbol, far from those of the next step? */
static bool lies_apart(const Contract *c, const Access *x, int along) {
    int64_t step;
    Size k = contract_stride(x, c->sk);
    return contract_contiguous(x, along) && k && (!size_is_const(k, &step) || step >= FAR);
}

/* Is A worth packing? A tile takes some elements of a row that are neighbours in memory; if steps of k are far apart, each is a
 * cache line of its own, many of one set of the cache. Processors with short vectors are slower than their memory, and often have little. */
bool contract_is_far_apart(const Contract *c) { return lies_apart(c, c->at_a, c->sm) && c->w->machine->lanes >= 8; }

static void choose_tile(Contract *c) {
    int64_t m = contract_estimate(c->size_m, 512), n = contract_estimate(c->size_n, 64);
    if (contract_is_far_apart(c) && !contract_can_pack(c) && m >= ROWS_MOST) c->pack_cost = PACK_COST;
    bool few = (m <= ROWS_FEW || n <= c->lanes) && !contract_can_pack(c);
    contract_pick_tile(c, contract_can_pack(c) ? 512 : m, n, 1, c->n_parts ? SLICE_VECTORS : 4, few ? ROWS_LONG : ROWS_MOST);
    if (contract_can_pack(c))
        contract_pick_tile(c, m, n, c->nv, c->nv, ROWS_MOST); /* products of any number of rows share the panels of a weight */
    tune_tile(c, m, n);
    c->width = (int64_t)c->nv * c->lanes;
    choose_k(c);
    contract_pick_block(c, m, n);
    if (!contract_is_far_apart(c)) contract_flatten(c);
}

/* Symbols of n that lie in a block, as far as its sums stay in a cache and enough work is left beside. Returns rows of them
 * all. */
static int64_t choose_columns(Contract *c, int64_t rows) {
    int64_t n, beside = 1;
    for (int g = 0; g < GROUP_K; g++)
        for (int i = 0; i < c->n[g] - (g != GROUP_BATCH); i++)
            beside *= contract_estimate(c->sp->symbol[c->symbol[g][i]].n, 64);
    beside *= tiles(contract_estimate(c->size_n, 64), c->width);
    for (; c->nq > 0 && c->direct && !(c->kq == 0 && c->k_whole); c->nq--) {
        Size size = c->sp->symbol[c->symbol[GROUP_N][c->nq - 1]].n;
        if (!size_is_const(size, &n) || rows * n * c->width > SUMS || beside / n < ENOUGH) break;
        rows *= n;
        beside /= n;
    }
    return rows;
}

/* Do so few rows use a panel that packing it does not pay? Where more than one tile reads a block of k, it must stay in a cache meanwhile: rows
 * of B that are a large power of two apart would push each other out. */
static bool is_used_once(const Contract *c, int64_t step) {
    int64_t rows = 1, n;
    for (int i = 0; i < c->n[GROUP_M]; i++) {
        if (!size_is_const(c->sp->symbol[c->symbol[GROUP_M][i]].n, &n)) return false;
        rows *= n;
    }
    int64_t tile = c->mr ? c->mr : SMALL, few = FEW_TILES; /* 0: not chosen yet */
    if (is_wide(c, c->nv)) few *= is_far(c) ? 4 : 8;
    else if (!c->k_whole || c->kq > 0) return rows <= tile;
    return rows <= tile || (rows <= few * tile && step % (PAGE / 4));
}

/* Are the last columns whole vectors, or masks that cost nothing? */
static bool ends_whole(const Contract *c) {
    int64_t n;
    return c->w->machine->avx512 || (size_is_const(c->size_n, &n) && n % c->lanes == 0);
}

/* May B be read where it lies? Its rows must be contiguous and close to each other, or nobody reads them twice. */
static bool is_direct(const Contract *c) {
    int64_t step;
    Size k = contract_stride(c->at_b, c->sk);
    if (c->prologue) return false;
    return ends_whole(c) && contract_contiguous(c->at_b, c->sn) && k && size_is_const(k, &step) && (step <= c->width || is_used_once(c, step));
}

/* Is packing B a matter of transposing? */
static bool is_transposed(const Contract *c) {
    DType d = c->at_b->base->type.dtype;
    return c->type == DT_F32 && (d == DT_F32 || d == DT_I8) && c->lanes > 1 && !contract_contiguous(c->at_b, c->sn) &&
           contract_contiguous(c->at_b, c->sk);
}

/* ---- copies of B
 *
 * A copy holds a block of panels for each place of B's outer symbols (batches, and n that do not merge with the last one),
 * panel after panel, in each row after row of k, all its symbols. The kernel that makes it is the packing of the product, over
 * all panels and all of k: the product that reads it sums in the same order and gives the same bits. */

/* Sets the strides of a copy; returns its elements. */
static int64_t copy_layout(Contract *c) {
    int64_t n = size_value(c->size_n), k = 1;
    for (int i = 0; i < c->n[GROUP_K]; i++) k *= contract_symbol_size(c, c->symbol[GROUP_K][i]);
    bool inside = !is_transposed(c) || size_value(c->size_k) % c->square == 0;
    c->pack_rows = inside ? k : k + c->square;
    int64_t elements = tiles(n, c->width) * c->width * c->pack_rows;
    for (int s = c->sp->n - 1; s >= 0; s--) {
        if (!c->at_b->at.coef[s] || c->sp->symbol[s].gone || s == c->sn || c->class[c->sp->symbol[s].axis] == GROUP_K) continue;
        c->pack_stride[s] = elements;
        elements *= contract_symbol_size(c, s);
    }
    c->copy_elements = elements;
    return elements;
}

static const char *copy_argument(Contract *c, const Pack *pack, int64_t elements, const char *suffix) {
    return work_arg(c->w, (KernelArg){.kind = ARG_PACK, .pack = pack},
                    arena_printf(c->w->arena, "%s[%lld]%s", dtype_name(contract_copy_type(c)), (long long)elements, suffix));
}

static const char *copy_shared(Contract *c, int64_t elements, const char *suffix) {
    const char *d = dtype_name(contract_copy_type(c));
    return work_shared(c->w, 0, elements * dtype_bytes(contract_copy_type(c)), arena_printf(c->w->arena, "%s[%lld]%s", d, (long long)elements, suffix));
}

/* Rows, about: a size by itself is that of a batch, sizes times others are rows of its texts. */
static int64_t usual_rows(const Contract *c) {
    int64_t rows = 1;
    for (int i = 0; i < c->n[GROUP_M]; i++) {
        Size n = c->sp->symbol[c->symbol[GROUP_M][i]].n;
        rows *= contract_estimate(n, size_bare_name(n) ? LONG_BLOCK / 2 : 512);
    }
    return rows;
}

/* All of k is one block, and the results do not stay in a cache: then a tile of rows goes through several panels before the next one does.
 * What it stores lies side by side in memory, not in pieces that are a row apart; with few terms these take longer than the sums. */
static bool goes_across(const Contract *c) {
    int64_t results = contract_estimate(c->size_m, 512) * contract_estimate(c->size_n, 64) * dtype_bytes(c->type);
    return c->kq == 0 && c->k_whole && results > c->w->machine->l2;
}

/* Does B pay for a copy that a call before the product makes? Each block of rows would pack it again, and each thread its own; with few terms
 * that matters little. */
static bool is_copied_before(const Contract *c) {
    int64_t rows = usual_rows(c), terms = 1, columns = 1;
    if (c->w->device || c->w->small || c->direct || c->prologue || c->n_parts || !is_copyable(c) || contract_is_far_apart(c)) return false;
    for (int i = 0; i < c->n[GROUP_BATCH]; i++)
        if (c->at_b->at.coef[c->symbol[GROUP_BATCH][i]]) return false;
    for (int i = 0; i < c->n[GROUP_K]; i++) terms *= contract_symbol_size(c, c->symbol[GROUP_K][i]);
    for (int i = 0; i < c->n[GROUP_N]; i++) columns *= contract_symbol_size(c, c->symbol[GROUP_N][i]);
    if (goes_across(c) && terms < COPY_TERMS) return false;
    return terms * columns * dtype_bytes(c->type) <= COPY_MOST && rows > 2 * LONG_BLOCK && rows * terms * columns >= COPY_WORTH;
}

/* Makes the product c, whose tile is chosen, read B from a copy: the session's, or one that a call before makes. */
static void use_copy(Contract *c, KernelCode *before) {
    Contract made;
    contract_start(&made, work_new(c->w->s, c->w->plan, c->k, before ? "panels" : "pack"), c->k);
    made.w->text = before ? "panels" : "pack";
    made.width = c->width;
    made.nv = c->nv;
    made.square = c->square;
    made.size_m = size_const(c->w->table, 1);
    made.kq = 0;
    made.k_whole = true;
    for (int i = 1; i < made.n[GROUP_K]; i++) made.k_inner *= contract_symbol_size(&made, made.symbol[GROUP_K][i]);
    contract_begin(&made);
    int64_t elements = copy_layout(&made), bytes = elements * dtype_bytes(contract_copy_type(c)), k = size_value(made.size_k);
    made.pack = before ? copy_shared(&made, elements, " out") : copy_argument(&made, NULL, elements, " out");
    made.copies = true;
    template_set(made.t, "KQ", work_size(made.w, made.sp->symbol[made.symbol[GROUP_K][0]].n));
    template_number(made.t, "packed", false);
    template_number(made.t, "squares", is_transposed(&made));
    template_number(made.t, "SQ", made.square);
    template_set(made.t, "masked", k % made.square == 0 ? "" : "masked");
    template_run(made.t, "copy");
    copy_layout(c);
    if (before) {
        made.w->when = c->w->when;
        made.w->low = c->w->low;
        made.w->high = c->w->high;
        work_finish(made.w, before);
        c->pack = copy_shared(c, elements, "");
        return;
    }
    const Pack *pack = work_pack(made.w, contract_packed_slot(c), bytes);
    c->pack = copy_argument(c, pack, elements, "");
}

/* A tile costs what all its rows cost, those beyond the last included. */
bool contract_has_few_left(const Contract *c) {
    int64_t rows;
    if (c->mr < 4) return false;
    return !size_is_const(c->size_m, &rows) || (rows % c->mr > 0 && rows % c->mr <= c->mr / 2);
}

static bool is_cheap(const Node *n) {
    return n->op == OP_CONTRACT || n->op == OP_ADD || n->op == OP_SUB || n->op == OP_MUL || n->op == OP_MAX || n->op == OP_MIN || n->op == OP_PAD;
}

bool contract_stores_vectors(const Contract *c) {
    return c->stores.n == 1 && ends_whole(c) && c->map_lanes == c->lanes && contract_contiguous(c->stores.at[0], c->sn);
}

/* Few terms and few maps: then the way of the sums through a buffer is what takes the time. Their code exists once for each vector. */
static bool stores_at_once(const Contract *c) {
    int64_t k = 1;
    int maps = c->k->nodes.n - 1;
    for (int i = 0; i < c->n[GROUP_K]; i++) k *= contract_estimate(c->sp->symbol[c->symbol[GROUP_K][i]].n, FEW_TERMS);
    if (k > (maps ? FEW_TERMS_OF_MAPS / c->lanes : FEW_TERMS) || maps > FEW_MAPS) return false;
    for (int i = 0; i <= maps; i++)
        if (!is_cheap(c->k->nodes.at[i])) return false;
    return c->kq == 0 && c->k_whole && !c->n_parts && contract_stores_vectors(c);
}

/* Many rows of B that lie apart, and are packed as they lie: short pieces of each, which no prefetcher guesses and each of which is in a page of
 * its own, would cost more than the copy. */
static bool is_in_pieces(const Contract *c) {
    bool as_it_lies = !c->direct && !c->prologue && !is_transposed(c) && c->at_b->base->type.dtype == c->type;
    return as_it_lies && c->kc * c->k_inner > REMEMBERED && lies_apart(c, c->at_b, c->sn) && c->w->machine->lanes >= 8;
}

/* So many panels share a packed block of A, or are packed together from rows of B, or a tile goes across them, that all iterations are
 * still enough for threads, and their sums, or panels that each tile reads again, stay in a cache. (Those of a weight are read ahead.) */
static void choose_panels(Contract *c) {
    int64_t panels = tiles(contract_estimate(c->size_n, 64), c->width), beside = tiles(contract_estimate(c->size_m, 512), c->mb), columns;
    bool across = goes_across(c) && !(c->pack && contract_can_pack(c));
    if (!(c->pack_a || is_in_pieces(c) || across) || (c->pack && !across) || c->n_parts || c->nq < c->n[GROUP_N] - 1) return;
    for (int i = 0; i < c->n[GROUP_BATCH]; i++) beside *= contract_estimate(c->sp->symbol[c->symbol[GROUP_BATCH][i]].n, 64);
    for (int i = 0; i < c->mq; i++) beside *= contract_estimate(c->sp->symbol[c->symbol[GROUP_M][i]].n, 64);
    int64_t most = c->pack_a ? PANELS : tiles(PIECE / 4, c->width), room = 3 * SUMS / (c->mb * c->width);
    if (across) most = room = c->w->machine->l2 / 2 / (c->width * dtype_bytes(c->type) * (c->kc * c->k_inner + 1));
    if (most > room) most = room;
    int n = (int)(panels < most ? panels : most);
    while (n > 1 && beside * tiles(panels, n) < ENOUGH) n--;
    if (n > 1) n = (int)tiles(panels, tiles(panels, n)); /* as many in each iteration */
    if (!c->w->machine->avx512 && size_is_const(c->size_n, &columns)) /* all panels of the last iteration are masked: let that be one */
        while (n > 1 && columns / c->width % n != 0) n--;
    c->panels = n > 1 ? n : 0;
}

/* Whether a copy in panels is read ahead of the product: not if each tile goes through several. A block has `rows` rows of so many elements,
 * each of so many bytes. */
void contract_set_ahead(Contract *c, int64_t rows, int64_t row, int bytes) {
    c->copy_line = CACHE_LINE / bytes < row ? CACHE_LINE / bytes : row;
    int64_t last = c->copy_elements - rows * (c->streams ? row : c->copy_line);
    template_number(c->t, "copy_ahead", c->pack && !c->panels && last >= 0 && (c->streams || c->copy_elements * bytes > STAYS));
    template_set(c->t, "copy", c->pack);
    template_number(c->t, "COPY_LINE", c->copy_line);
    template_number(c->t, "COPY_LINES", tiles(row, c->copy_line));
    template_number(c->t, "COPY_LAST", last);
}

/* While a tile's rows are multiplied, the maps behind it read memory that only these rows have (an optimizer's moments): asked for
 * a row at a time, since a core waits for two dozen lines at most. Where there are few steps of k, all at once. */
static int asked_steps(const Contract *c) {
    int64_t steps = contract_estimate(c->size_k, 64) / c->mr;
    if (c->kq > 0 || c->n_runs != 1 || steps < ASKS / 2 || !contract_wants(c)) return 0;
    return steps < ASKS ? (int)steps : ASKS;
}

static void emit_panels(Contract *c, KernelCode *code) {
    int64_t whole, rows;
    bool inside;
    choose_tile(c);
    c->square = c->lanes < SQUARE ? c->lanes : SQUARE;
    c->direct = !contract_can_pack(c) && is_direct(c);
    if (contract_can_pack(c)) use_copy(c, NULL);
    else if (is_copied_before(c)) use_copy(c, code);
    c->pack_a = contract_is_far_apart(c) && c->mq == c->n[GROUP_M] - 1 && is_strip(c->mr);
    choose_panels(c);
    choose_runs(c);
    contract_begin(c);
    inside = c->mq < c->n[GROUP_M] - 1 && !c->flat;
    rows = inside ? c->mb * c->mc : c->mb;
    for (int i = c->mq + 1; i < c->n[GROUP_M] - 1 && !c->flat; i++) rows *= contract_symbol_size(c, c->symbol[GROUP_M][i]);
    rows = choose_columns(c, rows);
    c->part_rows = c->kq == 0 && c->k_whole ? c->mr : rows;
    c->part_depth = c->kc * c->k_inner + c->lanes; /* packing through transposes may write so much further */
    bool cut = c->kq == c->n[GROUP_K] - 1 && !(c->k_divides && c->kc % c->square == 0);
    bool whole_squares = !cut && size_is_const(c->size_k, &whole) && whole % c->square == 0;
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "few_left", contract_has_few_left(c));
    template_number(c->t, "HALF", c->mr / 2);
    template_number(c->t, "MB", c->mb);
    int64_t panels = c->panels && !(c->kq == 0 && c->k_whole) ? c->panels : 1; /* sums of one tile at a time, if all of k is a block */
    template_number(c->t, "CT", panels * (c->n_parts ? c->k->parts : 1) * c->part_rows);
    template_number(c->t, "KC", c->kc);
    template_set(c->t, "KQ", work_size(c->w, c->sp->symbol[c->symbol[GROUP_K][c->kq]].n));
    template_number(c->t, "DEPTH", (c->n_parts ? c->k->parts : c->panels ? c->panels : 1) * c->part_depth);
    template_number(c->t, "pack_a", c->pack_a);
    template_number(c->t, "AD", c->part_depth);
    template_number(c->t, "panels", c->panels);
    template_number(c->t, "across", c->panels && goes_across(c));
    template_number(c->t, "panels_of_copy", c->panels && c->pack);
    template_number(c->t, "LAST_PANEL", c->panels && c->pack ? (tiles(size_value(c->size_n), c->width) - 1) * c->width : 0);
    int64_t ahead = contract_estimate(c->size_k, 4 * AHEAD) > AHEAD ? AHEAD : 0;
    template_number(c->t, "ahead", ahead);
    template_number(c->t, "ahead_b", !c->direct && !c->pack && !c->prologue && lies_apart(c, c->at_b, c->sn) ? ahead : 0);
    int line = CACHE_LINE / dtype_bytes(c->at_a->base->type.dtype);
    template_number(c->t, "LINE", line);
    template_number(c->t, "LINES", tiles(c->mb, line));
    template_number(c->t, "PR", (c->n_parts ? c->k->parts : 1) * c->part_rows);
    contract_set_ahead(c, c->kc * c->k_inner, c->width, dtype_bytes(contract_copy_type(c)));
    template_set(c->t, "above", "");
    template_number(c->t, "panels_divide", c->panels && size_is_const(c->size_n, &whole) && whole % (c->panels * c->width) == 0);
    template_number(c->t, "SQ", c->square);
    template_set(c->t, "masked", whole_squares ? "" : "masked");
    template_number(c->t, "one_block", c->kq == 0 && c->k_whole);
    template_number(c->t, "ends", c->kq == 0 && !c->k_whole);
    template_number(c->t, "adds", c->kq > 0);
    c->asks = asked_steps(c);
    template_number(c->t, "asks", c->asks);
    template_number(c->t, "k_whole", c->k_whole);
    template_number(c->t, "at_once", stores_at_once(c));
    template_number(c->t, "packed", c->pack != NULL || c->direct);
    template_number(c->t, "squares", is_transposed(c));
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    template_number(c->t, "k_divide", c->k_divides);
    template_run(c->t, "panels");
}

/* ---- devices */

/* Does k run along B's memory? */
static bool is_staged(const Contract *c) {
    return !c->prologue && !contract_contiguous(c->at_b, c->sn) && contract_contiguous(c->at_b, c->sk);
}

int64_t contract_tiles(const Contract *c, int64_t rows, int64_t columns) {
    int64_t n = tiles(contract_estimate(c->size_m, 512), rows) * tiles(contract_estimate(c->size_n, 512), columns);
    for (int g = 0; g < GROUP_K; g++)
        for (int i = 0; i < c->n[g]; i++)
            if (c->symbol[g][i] != c->sm && c->symbol[g][i] != c->sn) n *= contract_estimate(c->sp->symbol[c->symbol[g][i]].n, 64);
    return n;
}

/* The largest tile that leaves enough of them for a device's warps. */
static void pick_device_tile(Contract *c) {
    bool staged = is_staged(c);
    int64_t m = contract_estimate(c->size_m, 512), n = contract_estimate(c->size_n, 512), parts = split_most(c);
    c->mr = ROWS_MOST;
    c->nv = staged ? 2 : 4; /* so much of the buffers of a block's warps is shared memory */
    while (c->nv > 1 && n <= (int64_t)c->lanes * (c->nv - 1)) c->nv--;
    while (c->mr > 1 && m <= c->mr / 2) c->mr /= 2;
    while (parts * contract_tiles(c, c->mr, (int64_t)c->nv * c->lanes) < WARPS_WISHED && (c->nv > 1 || c->mr > 4)) {
        if (c->nv > 1) c->nv /= 2;
        else c->mr /= 2;
    }
    split_choose(c, contract_tiles(c, c->mr, (int64_t)c->nv * c->lanes));
}

static void emit_device(Contract *c) {
    int64_t whole;
    pick_device_tile(c);
    c->mb = c->mr;
    c->width = (int64_t)c->nv * c->lanes;
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    c->n_runs = 1;
    c->run[0] = c->sk;
    c->dot_lanes = c->lanes;
    contract_begin(c);
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "staged", is_staged(c));
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mr == 0);
    template_run(c->t, "device");
}

/* Are there more rows than a few, whatever the sizes that are known only at run time? */
static bool has_many_rows(const Contract *c) {
    int64_t rows = 1, n;
    for (int i = 0; i < c->n[GROUP_M]; i++)
        if (size_is_const(c->sp->symbol[c->symbol[GROUP_M][i]].n, &n)) rows *= n;
    return rows > SMALL;
}

/* Does a run-time size decide whether there are few rows? */
bool contract_may_be_few(const Contract *c) {
    int64_t low, high;
    size_range(c->size_m, &low, &high);
    return low <= SMALL && high > SMALL && !has_many_rows(c);
}

/* Few rows whatever happens, the smallest code wanted, or nothing that makes a panel. A few known ones are a tile that reads B once, if its columns lie side by side. */
static bool is_rows(const Contract *c) {
    int64_t low, high;
    size_range(c->size_m, &low, &high);
    if (low == high && low > 1 && c->n[GROUP_M] == 1 && c->sn >= 0 && c->sk >= 0 && c->lanes > 1 && !contract_can_pack(c) && is_direct(c)) return false;
    return c->w->small || c->sm < 0 || c->sn < 0 || c->sk < 0 || c->lanes == 1 || (high <= SMALL && !has_many_rows(c));
}

/* Few rows of a device whose sums are worth parts. */
static bool is_split_rows(const Contract *c) {
    Contract tile = *c;
    if (split_most(c) == 1 || schedule_is_narrow(&tile)) return false;
    pick_device_tile(&tile);
    return tile.split;
}

/* Does timing say that a convolution is not to go by Winograd's tiles? */
static bool tuned_as_written(Work *w) {
    TileChoice choice;
    if (!w->by_tiles || !w->tuning || w->k->limit.seen) return false;
    if (tuning_find(w->tuning, w->machine->name, w->k, NULL, &choice)) w->by_tiles = !choice.written;
    return !w->by_tiles;
}

/* A convolution goes by Winograd's tiles: the other way is a candidate for timing, or was one. */
static void by_winograd(Work *w) {
    TileChoice choice;
    if (!tuning_lists(w->tuning)) {
        tuning_find(w->tuning, w->machine->name, w->k, w->text, &choice);
        return;
    }
    tuning_offer(w->tuning, (TileChoice){.mr = 0});
    tuning_offer(w->tuning, (TileChoice){.written = true});
}

/* Of the two variants, the one for few rows may have its operands in the other places: [batch, 10] has the batch along the
 * lanes if that is long, and its ten columns one by one if it is short. */
void schedule_contract(Work *w, KernelCode *code) {
    Contract c, few;
    Size columns;
    if (w->blas && schedule_blas(w, code)) return;
    int64_t from = tuned_as_written(w) ? INT64_MAX : schedule_winograd(w, code, &columns);
    if (from == INT64_MIN || schedule_winograd_gradient(w, code)) {
        by_winograd(w);
        return;
    }
    contract_start(&c, w, w->k);
    if (from < INT64_MAX) { /* for pictures that are narrower */
        w->when = columns;
        w->low = INT64_MIN;
        w->high = from;
        emit_panels(&c, code);
        work_finish(w, code);
        return;
    }
    if (schedule_is_codes(&c)) {
        schedule_codes(&c, code);
        return;
    }
    if (is_rows(&c) && !is_split_rows(&c)) {
        emit_rows(&c);
        work_finish(w, code);
        return;
    }
    few = c;
    if (!contract_may_be_few(&few) && !c.prologue && !c.n_parts) contract_start_as(&few, w, w->k, !c.swap);
    if (contract_may_be_few(&few)) {
        emit_rows(&few);
        w->when = few.size_m;
        w->low = INT64_MIN;
        w->high = SMALL + 1;
        work_finish(w, code);
        w = work_new(w->s, w->plan, w->k, "contract");
        contract_start(&c, w, w->k);
        w->when = few.size_m;
        w->low = SMALL + 1;
        w->high = INT64_MAX;
    }
    if (schedule_is_group(&c)) schedule_group(&c);
    else if (schedule_is_mma(&c)) schedule_mma(&c);
    else if (w->device) emit_device(&c);
    else if (schedule_is_group_panels(&c)) schedule_group_panels(&c);
    else emit_panels(&c, code);
    if (c.split) split_finish(&c, code);
    else work_finish(w, code);
}
