/* schedule_split.c -- on a device, sums of many terms for few results: gradients of weights, steps of decoding. Tiles of the results alone
 * would leave most of its warps idle, so one symbol of k is cut into parts, each of which is summed by iterations of its own to memory that
 * the calls of the kernel share. A second call adds the parts up in their order, and has the maps behind the product: no warp waits for
 * another, and the bits depend on the shapes alone. */
#include "codegen/contract.h"

enum {
    TERMS_LEAST = 64,    /* of a part: a sum is stored and loaded once for so many multiplications */
    PARTS_MOST = 32,
    TERMS_WORTH = 512,   /* of a sum: fewer take no longer than a second launch */
    STEP = TILE_BLOCK,   /* parts begin at multiples of it along the last symbol of k: of matrices they are whole steps */
};

/* Is the number of results known? The parts have memory of a known size, with an axis for each symbol. */
static bool results_known(const Contract *c) {
    if (1 + c->n[GROUP_BATCH] + c->n[GROUP_M] + c->n[GROUP_N] > TILE_RANK) return false;
    for (int g = 0; g < GROUP_K; g++)
        for (int i = 0; i < c->n[g]; i++)
            if (!size_is_static(c->sp->symbol[c->symbol[g][i]].n)) return false;
    return true;
}

/* The longest symbol of k. */
static int longest(const Contract *c) {
    int best = c->sk;
    for (int i = 0; i < c->n[GROUP_K]; i++) {
        int s = c->symbol[GROUP_K][i];
        if (contract_estimate(c->sp->symbol[s].n, 512) > contract_estimate(c->sp->symbol[best].n, 512)) best = s;
    }
    return best;
}

int64_t split_most(const Contract *c) {
    if (!c->w->device || c->sn < 0 || c->sk < 0 || c->lanes == 1 || c->prologue || c->n_parts || c->k->parts || c->k->limit.seen) return 1;
    if (!results_known(c)) return 1;
    int64_t terms = 1, low, high, along = contract_estimate(c->sp->symbol[longest(c)].n, 512);
    size_range(c->sp->symbol[longest(c)].n, &low, &high);
    if (low < 0) return 1; /* of a window, whose size the verifier cannot be sure of */
    for (int i = 0; i < c->n[GROUP_K]; i++) terms *= contract_estimate(c->sp->symbol[c->symbol[GROUP_K][i]].n, 512);
    if (terms < TERMS_WORTH) return 1;
    int64_t most = terms / TERMS_LEAST;
    if (most > along) most = along;
    return most < 1 ? 1 : most > PARTS_MOST ? PARTS_MOST : most;
}

void split_choose(Contract *c, int64_t tiles) {
    SizeTable *table = c->w->table;
    int64_t parts = (WARPS_WISHED + tiles - 1) / tiles, most = split_most(c), low, high;
    if (parts > most) parts = most;
    c->split_symbol = longest(c);
    int64_t whole = c->split_symbol != c->sk ? 1 : c->step ? c->step : STEP;
    Size n = c->sp->symbol[c->split_symbol].n;
    c->split_terms = size_mul(size_ceildiv(n, size_const(table, parts * whole)), size_const(table, whole));
    size_range(n, &low, &high);
    if (low == high) { /* equal parts, if there are not many fewer; none is empty */
        int64_t terms = size_value(c->split_terms), equal = terms;
        while (equal < 2 * terms && high % equal) equal += whole;
        if (high % equal == 0) terms = equal;
        c->split_terms = size_const(table, terms);
        parts = (high + terms - 1) / terms;
    }
    c->split = parts > 1;
    c->split_parts = parts;
}

/* ---- holes */

const char *split_place(Contract *c, const char *part, const char *i, const char *j) {
    Work *w = c->w;
    int64_t columns = size_value(c->size_n), sums = c->split_parts * columns;
    const char *dim = arena_printf(w->arena, "%lld", (long long)c->split_parts), *at = part;
    for (int g = 0; g < GROUP_K; g++)
        for (int k = 0; k < c->n[g]; k++) {
            int s = c->symbol[g][k];
            if (s == c->sn) continue;
            sums *= contract_symbol_size(c, s);
            dim = arena_printf(w->arena, "%s, %lld", dim, (long long)contract_symbol_size(c, s));
            at = arena_printf(w->arena, "%s, %s", at, s == c->sm ? i : c->p.text[s]);
        }
    if (!c->split_sums) {
        const char *type = arena_printf(w->arena, "%s[%s, %lld]%s", c->type_name, dim, (long long)columns, c->split ? " out" : "");
        c->split_sums = work_shared(w, 0, sums * dtype_bytes(c->type), type);
    }
    const char *limit = columns % c->lanes ? arena_printf(w->arena, " < %lld", (long long)columns) : "";
    return arena_printf(w->arena, "%s[%s, %s : %d%s]", c->split_sums, at, j, c->lanes, limit);
}

const char *split_fill_part(void *context, const char *const *args) {
    return split_place(context, args[0], args[1], args[2]);
}

/* Where the part begins along the symbol that is cut, and how long it is: numbers, if all parts are equal. */
static void open_piece(Contract *c) {
    Work *w = c->w;
    int64_t whole, equal;
    const char *n = work_size(w, c->sp->symbol[c->split_symbol].n), *terms = work_size(w, c->split_terms);
    if (size_is_const(c->sp->symbol[c->split_symbol].n, &whole) && size_is_const(c->split_terms, &equal) && whole % equal == 0) {
        template_set(c->t, "begin", arena_printf(w->arena, "%lld*%s + ", (long long)equal, c->split_part));
        template_set(c->t, "longest", terms);
        return;
    }
    text_line(&w->body, "index first = min(%s * %s, %s) in 0..%s + 1", c->split_part, terms, n, n);
    text_line(&w->body, "index piece = min(%s - first, %s) in 0..%s + 1", n, terms, terms);
    text_line(&w->body, "if first + piece <= %s {", n); /* what the verifier cannot see through min */
    template_set(c->t, "begin", "first + ");
    template_set(c->t, "longest", "piece");
}

const char *split_fill_piece(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    if (c->split) open_piece(c);
    bool last = c->split && c->split_symbol == c->sk;
    template_set(c->t, "from", last ? template_get(c->t, "begin") : "");
    template_set(c->t, "piece", last ? template_get(c->t, "longest") : work_size(c->w, c->size_k));
    return "";
}

void split_finish(const Contract *c, KernelCode *code) {
    Contract sum;
    work_finish(c->w, code);
    contract_start_as(&sum, work_new(c->w->s, c->w->plan, c->k, "parts"), c->k, c->swap);
    sum.split_parts = c->split_parts;
    sum.mb = 1;
    sum.nv = 1;
    sum.width = sum.lanes;
    contract_begin(&sum);
    template_number(sum.t, "SPLIT", c->split_parts);
    template_run(sum.t, "parts_added");
    work_finish(sum.w, code);
}
