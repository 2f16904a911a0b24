/* schedule_codes.c -- products of i8 by i8 with sums in i32, and of bf16 by bf16 with sums in f32, on machines with an instruction
 * that adds up several of them.
 *
 * Steps of k are G neighbours: four where the machine multiplies i8 by i8, or u8 by i8 (A becomes u8 by 128 more, and 128 times the
 * sum of B's column is what the sums begin with, negative), two where it multiplies i16, eight where it multiplies two rows by two columns. The panel
 * holds the G codes of a column side by side; k need not be a multiple of G: B's codes beyond the end read 0. For few rows no panel is made:
 * columns are summed up as they lie, and it is their codes that are 128 more. Sums wrap as those of the interpreter do, so all orders give the
 * same bits, and k is not cut into blocks: a panel has a byte an element, or two of bf16.
 *
 * Of bf16 a step is two neighbours, and nothing is widened. Machines without the instruction do the same by shifts where B is a
 * weight, whose panel then has half the bytes that it would have in f32. */
#include "codegen/contract.h"

#include <stdlib.h>
#include <string.h>

enum {
    PANEL_MOST = 1 << 20, /* codes of a panel that is made in scratch */
    CODES_ROWS = 8,       /* most rows of a register tile */
    ROWS_UNKNOWN = 96,    /* of a block, of so many as a call says, where they have to be shared out evenly: .. */
    PANELS_SHARED = 12,   /* .. fewer panels than this do not suffice for that */
    MAPS_AT_ONCE = 12,
    STEPS_UNROLLED = 2    /* steps along a symbol so short that most are cut at its end: by masks that are known then */
};

static int64_t tiles(int64_t n, int64_t of) { return (n + of - 1) / of; }

/* Of all symbols of k but the last. */
static int64_t outer_k(const Contract *c) {
    int64_t n = 1;
    for (int i = 0; i < c->n[GROUP_K] - 1; i++) n *= contract_symbol_size(c, c->symbol[GROUP_K][i]);
    return n;
}

/* Rows of a panel. */
static int64_t steps_of(const Contract *c) { return outer_k(c) * tiles(size_value(c->size_k), c->group); }

/* Codes of A that are widened or summed at once: a vector, or as many as its last symbol has. */
static int64_t codes_at_once(const Contract *c) {
    int64_t most = (int64_t)c->group * c->lanes, k = size_value(c->size_k), n = 4 * c->group; /* the shortest vector there is */
    while (n < most && n < k) n *= 2;
    return n;
}

static bool is_pairs(const Contract *c) {
    return c->type == DT_F32 && c->at_a->base->type.dtype == DT_BF16 && c->b->type.dtype == DT_BF16;
}

/* Two rows by two columns at a time? */
static bool is_blocks(const Contract *c) { return c->w->machine->blocks && !is_pairs(c); }

static int group_of(const Contract *c) { return is_pairs(c) ? 2 : is_blocks(c) ? 8 : c->w->machine->dots; }

/* Are codes 128 more than they are beside others? */
static bool is_biased(const Contract *c) { return c->group == 4 && !c->w->machine->signed_dots; }

static bool is_code(const Access *x) { return x->base->type.dtype == DT_I8; }

/* A prologue of bf16 is the rounding of a weight. */
static bool is_codes(const Contract *c) {
    if (c->w->device) return false; /* no instruction of it, and no packs */
    if (is_pairs(c)) return c->prologue || c->at_b->base->type.dtype == DT_BF16;
    return group_of(c) >= 2 && !c->prologue && c->type == DT_I32 && is_code(c->at_a) && is_code(c->at_b);
}

static bool fits(const Contract *c) {
    if (c->lanes == 1 || c->sn < 0 || c->sk < 0 || c->k->limit.seen) return false;
    for (int i = 0; i < c->n[GROUP_K]; i++)
        if (!size_is_static(c->sp->symbol[c->symbol[GROUP_K][i]].n)) return false;
    if (!contract_contiguous(c->at_a, c->sk)) return false;
    if (contract_can_pack(c)) return true;
    if (is_pairs(c) && (c->prologue || !c->w->machine->pairs)) return false;
    return outer_k(c) * size_value(c->size_k) <= PANEL_MOST / (4 * c->lanes);
}

/* The symbol of k that lies side by side in A is the last one: the steps go along it. */
static void start(Contract *c, Work *w, const Kernel *k, bool swap) {
    contract_start_as(c, w, k, swap);
    int *symbol = c->symbol[GROUP_K], last = c->n[GROUP_K] - 1;
    for (int i = 0; i < last && !contract_contiguous(c->at_a, symbol[last]); i++) {
        if (!contract_contiguous(c->at_a, symbol[i])) continue;
        int s = symbol[i];
        for (; i < last; i++) symbol[i] = symbol[i + 1];
        symbol[last] = c->sk = c->run[0] = s;
        c->size_k = c->sp->symbol[s].n;
    }
}

bool schedule_is_codes(Contract *c) {
    Contract other;
    if (!is_codes(c)) return false;
    Contract mine;
    start(&mine, c->w, c->w->k, c->swap);
    bool fine = fits(&mine);
    if (c->prologue) { /* which stays the one of b */
        if (fine) *c = mine;
        return fine;
    }
    start(&other, c->w, c->w->k, !c->swap);
    if (!fine && !fits(&other)) return false;
    bool take = !fine || (!contract_can_pack(&mine) && fits(&other) && contract_can_pack(&other)); /* a weight is packed once, what meets it each time */
    *c = take ? other : mine;
    return true;
}

static int code_bytes(const Contract *c) { return is_pairs(c) ? 2 : 1; }

/* ---- holes */

const char *codes_fill_loops(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    const char *outer = "";
    int64_t n = atoll(args[0]), count = tiles(size_value(c->size_k), n);
    for (int i = 0; i < c->n[GROUP_K] - 1; i++) {
        int s = c->symbol[GROUP_K][i];
        c->p.text[s] = arena_printf(a, "k_%d", i);
        text_line(&c->w->body, "for %s in 0..%lld {", c->p.text[s], (long long)contract_symbol_size(c, s));
        outer = contract_flat(c, outer, s, c->p.text[s]);
    }
    text_line(&c->w->body, "%s k in 0..%lld {", count <= STEPS_UNROLLED ? "unroll" : "for", (long long)count);
    c->k_text = c->p.text[c->sk] = arena_printf(a, "%lld*k", (long long)n);
    const char *row = *outer ? arena_printf(a, "%lld*(%s) + ", (long long)tiles(size_value(c->size_k), c->group), outer) : "";
    template_set(c->t, "step", arena_printf(a, "%sk", row));
    int64_t whole = codes_at_once(c); /* A's widened rows go by these */
    row = *outer ? arena_printf(a, "%lld*(%s) + ", (long long)(tiles(size_value(c->size_k), whole) * whole), outer) : "";
    template_set(c->t, "place", arena_printf(a, "%s%s", row, c->k_text));
    return "";
}

/* Where a panel begins in the copy. */
static const char *copy_place(Contract *c) {
    const char *at = "";
    for (int s = 0; s < c->sp->n; s++)
        if (c->pack_stride[s]) at = arena_printf(c->w->arena, "%s%lld*%s + ", at, (long long)c->pack_stride[s], c->p.text[s]);
    return arena_printf(c->w->arena, "%s%lld*(%s)", at, (long long)c->pack_rows, c->p.text[c->sn]);
}

const char *codes_fill_panel(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    const char *in = arena_printf(a, "%lld*(%s) + %d*(%s) : %s", (long long)(c->width * c->group), template_get(c->t, "step"), c->group,
                                  args[0], args[1]);
    if (!c->pack) return arena_printf(a, "bp[%s]", in);
    return arena_printf(a, "%s[%s + %s]", c->pack, copy_place(c), in);
}

/* As products of floats do, of the next panel; few rows stream the copy, and ask for what they read half a page on, for the second cache: a line
 * is three or four steps, and the first cache has few places for lines on their way. */
const char *codes_fill_behind(void *context, const char *const *args) {
    Contract *c = context;
    long long panel = c->pack_rows * c->width, line = c->copy_line * steps_of(c);
    if (c->streams) return arena_printf(c->w->arena, "%s + %lld", copy_place(c), (long long)(AHEAD_BYTES / 2 / code_bytes(c)));
    return arena_printf(c->w->arena, "%s + %lld + %lld*%s", copy_place(c), panel, line, args[0]);
}

const char *codes_fill_ahead(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    long long row = c->streams ? c->width * c->group : c->copy_line;
    for (long long i = 0; i < row; i += c->copy_line)
        text_line(&c->w->body, "prefetch %s[ahead + %lld*(%s) + %lld]%s", c->pack, row, template_get(c->t, "step"), i, c->streams ? " second" : "");
    return "";
}

const char *codes_fill_put(void *context, const char *const *args) {
    const Contract *c = context;
    return is_pairs(c) && c->prologue ? arena_printf(c->w->arena, "bf16(%s)", args[0]) : args[0]; /* it is rounded already */
}

/* What the sums of columns from args[0] on, of the panel, begin with. */
const char *codes_fill_less(void *context, const char *const *args) {
    Contract *c = context;
    Arena *a = c->w->arena;
    const char *lanes = strcmp(args[1], "1") ? arena_printf(a, " : %s", args[1]) : "", *at = "";
    if (!c->less_sums) return arena_printf(a, "bs[%s%s]", args[0], lanes);
    for (int s = 0; s < c->sp->n; s++)
        if (c->pack_stride[s]) at = arena_printf(a, "%s%lld*%s + ", at, (long long)(c->pack_stride[s] / c->pack_rows), c->p.text[s]);
    return arena_printf(a, "%s[%s%s + %s%s]", c->less_sums, at, c->p.text[c->sn], args[0], lanes);
}

const char *codes_fill_a(void *context, const char *const *args) {
    Contract *c = context;
    int lanes = atoi(args[1]);
    return contract_place(c, c->at_a, args[0], NULL, c->k_text, lanes, c->sk, lanes);
}

const char *codes_fill_b(void *context, const char *const *args) {
    Contract *c = context;
    if (c->prologue) return contract_prologue(c, args[0], c->k_text, c->group, c->group);
    return contract_place(c, c->at_b, NULL, args[0], c->k_text, c->group, c->sk, c->group);
}

const char *codes_fill_left(void *context, const char *const *args) {
    const Contract *c = context;
    return is_biased(c) ? arena_printf(c->w->arena, "lift(%s)", args[0]) : args[0];
}

const char *codes_fill_column(void *context, const char *const *args) {
    Contract *c = context;
    int lanes = atoi(args[1]);
    const char *place = contract_place(c, c->at_b, NULL, args[0], c->k_text, lanes, c->sk, lanes);
    return c->group == 2 ? arena_printf(c->w->arena, "i16(%s)", place) : place;
}

/* ---- one variant */

static const char *panel_type(const Contract *c) { return is_pairs(c) ? "bf16" : "i8"; }

static void set_parameters(Contract *c) {
    int64_t whole = codes_at_once(c), k = size_value(c->size_k);
    template_number(c->t, "G", c->group);
    template_number(c->t, "GL", (int64_t)c->group * c->lanes);
    template_number(c->t, "AL", whole);
    template_number(c->t, "SL", whole / c->group);
    template_number(c->t, "AP", outer_k(c) * tiles(k, whole) * whole);
    template_number(c->t, "PANEL", steps_of(c) * c->width * c->group);
    template_set(c->t, "PT", panel_type(c));
    template_number(c->t, "words", c->group == 2);
    template_number(c->t, "biased", is_biased(c));
    template_number(c->t, "blocks", is_blocks(c));
    template_number(c->t, "floats", is_pairs(c));
}

/* Few rows by a B that lies apart from its panels: each product of a row and a column is summed up where they lie. */
static bool is_code_rows(const Contract *c, bool few) {
    int64_t low, high;
    if (is_pairs(c) || c->n[GROUP_M] > 1 || contract_can_pack(c) || !fits(c)) return false;
    size_range(c->size_m, &low, &high);
    return (few || high <= SMALL) && contract_contiguous(c->at_b, c->sk);
}

static void emit_code_rows(Contract *c) {
    int64_t low, high;
    c->mb = 1;
    c->width = 4 * c->w->machine->lanes;
    size_range(c->size_n, &low, &high);
    while (c->width > c->lanes && high <= c->width / 2) c->width /= 2;
    c->columns_first = true;
    contract_begin(c);
    set_parameters(c);
    template_set(c->t, "AT", c->group == 2 ? "i16" : "i8");
    template_run(c->t, "code_rows");
}

/* Sets the strides of a copy in panels; returns its elements. */
static int64_t copy_layout(Contract *c) {
    c->pack_rows = steps_of(c) * c->group;
    int64_t count = tiles(size_value(c->size_n), c->width) * c->width * c->pack_rows;
    for (int s = c->sp->n - 1; s >= 0; s--) {
        if (!c->at_b->at.coef[s] || c->sp->symbol[s].gone || s == c->sn || c->class[c->sp->symbol[s].axis] == GROUP_K) continue;
        c->pack_stride[s] = count;
        count *= contract_symbol_size(c, s);
    }
    c->copy_elements = count;
    return count;
}

static const char *copy_argument(Contract *c, const Pack *pack, const char *type, int64_t count, const char *suffix) {
    return work_arg(c->w, (KernelArg){.kind = ARG_PACK, .pack = pack}, arena_printf(c->w->arena, "%s[%lld]%s", type, (long long)count, suffix));
}

/* The kernel that makes a copy for c, whose tile is chosen: *count elements in panels. */
static void start_copy(const Contract *c, Contract *made, int64_t *count) {
    start(made, work_new(c->w->s, c->w->plan, c->k, "pack"), c->k, c->swap);
    made->w->text = "pack";
    made->group = c->group;
    made->width = c->width;
    made->nv = c->nv;
    made->size_m = size_const(c->w->table, 1);
    contract_begin(made);
    set_parameters(made);
    *count = copy_layout(made);
}

/* Makes the product, whose tile is chosen, read B from a copy in panels, which the session keeps, and what its sums begin with from another. */
static void use_copy(Contract *c, bool few) {
    Contract made;
    int64_t count, low, high;
    start_copy(c, &made, &count);
    made.pack = copy_argument(&made, NULL, panel_type(c), count, " out");
    template_run(made.t, "codes_copy");
    copy_layout(c);
    size_range(c->size_m, &low, &high);
    c->streams = few || high <= SMALL;
    c->pack = copy_argument(c, work_pack(made.w, contract_packed_slot(c), count * code_bytes(c)), panel_type(c), count, "");
    if (!is_biased(c)) return;
    start_copy(c, &made, &count);
    int64_t sums = count / made.pack_rows;
    made.less_sums = copy_argument(&made, NULL, "i32", sums, " out");
    template_run(made.t, "codes_less");
    c->less_sums = copy_argument(c, work_pack(made.w, contract_packed_slot(c), sums * dtype_bytes(DT_I32)), "i32", sums, "");
}

/* Maps of codes are so short that the way of the sums through a buffer takes as long. Their code exists once for each vector of a tile. */
static bool stores_at_once(const Contract *c) {
    return !is_blocks(c) && !is_pairs(c) && c->k->nodes.n - 1 <= MAPS_AT_ONCE && contract_stores_vectors(c);
}

static void emit(Contract *c, bool few) {
    int64_t whole, m = few ? 1 : contract_estimate(c->size_m, 512), n = contract_estimate(c->size_n, 64);
    c->w->kind = "codes";
    if (is_code_rows(c, few)) {
        c->group = c->w->machine->dots;
        emit_code_rows(c);
        return;
    }
    c->group = group_of(c);
    contract_pick_tile(c, 512, n, 1, 4, CODES_ROWS); /* products of any number of rows share the panels of a weight */
    contract_pick_tile(c, m, n, c->nv, c->nv, CODES_ROWS);
    if (is_blocks(c)) c->mr = c->mr < 2 ? 2 : c->mr / 2 * 2; /* one row costs half of what it computes: what a dot product takes for it */
    c->width = (int64_t)c->nv * c->lanes;
    if (!few && contract_can_pack(c) && !size_is_static(c->size_m) && tiles(n, c->width) < PANELS_SHARED) c->rows = ROWS_UNKNOWN;
    contract_pick_block(c, few ? SMALL : m, n);
    if (!few) contract_flatten(c);
    if (contract_can_pack(c)) use_copy(c, few);
    contract_begin(c);
    set_parameters(c);
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "few_left", !is_blocks(c) && contract_has_few_left(c));
    template_number(c->t, "HALF", c->mr / 2);
    template_number(c->t, "at_once", stores_at_once(c));
    template_number(c->t, "MB", c->mb);
    template_number(c->t, "one_block", true);
    template_number(c->t, "ends", false);
    template_number(c->t, "asks", 0);
    template_number(c->t, "adds", false);
    contract_set_ahead(c, steps_of(c), c->width * c->group, code_bytes(c));
    template_number(c->t, "MR2", c->mr / 2);
    template_number(c->t, "W2", c->width / 2);
    template_number(c->t, "STEPS", steps_of(c));
    template_number(c->t, "packed", c->pack != NULL);
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    template_run(c->t, "codes");
}

/* The product with few rows, where a run-time size decides whether there are: as it stands, or, by columns as they lie, the other way round. */
static bool find_few(const Contract *c, Contract *few) {
    *few = *c;
    if (contract_may_be_few(few)) return true;
    if (c->prologue) return false;
    start(few, c->w, c->w->k, !c->swap);
    return contract_may_be_few(few) && is_code_rows(few, true);
}

void schedule_codes(Contract *c, KernelCode *code) {
    Work *w = c->w;
    Contract few, other;
    if (!is_pairs(c) && !is_code_rows(c, false)) { /* a weight may have come to stand on the left of its few rows */
        start(&other, w, w->k, !c->swap);
        if (is_code_rows(&other, false)) *c = other;
    }
    if (find_few(c, &few)) {
        emit(&few, true);
        w->when = few.size_m;
        w->low = INT64_MIN;
        w->high = SMALL + 1;
        work_finish(w, code);
        w = work_new(w->s, w->plan, w->k, "contract");
        start(c, w, w->k, c->swap);
        w->when = few.size_m;
        w->low = SMALL + 1;
        w->high = INT64_MAX;
    }
    emit(c, false);
    work_finish(w, code);
}
