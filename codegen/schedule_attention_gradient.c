/* schedule_attention_gradient.c -- the gradients of softmax-weighted products: attention_gradient.tile's parameters and holes. (On a device's
 * matrix units: schedule_attention_gradient_mma.c.) */
#include "codegen/attention.h"

#include <string.h>

enum {
    ROWS_BLOCK = 48,     /* rows of a block: with all keys in a cache of 1 MiB .. */
    KEYS_SHORT = 512,    /* .. if there are no more; else half of them */
    TILE_ROWS_MOST = 8,
    DEVICE_ROWS = 4,     /* .. of a device: what its registers hold of five products */
};

static const Set SET_OF[PRODUCTS] = {OF_DEPTH, OF_VALUE, OF_BY_Q, OF_BY_K, OF_BY_V};

Set gradient_set(int product) { return SET_OF[product]; }

static Node *product_node(const Backward *b, int product) {
    const AttentionGradient *a = b->a;
    Node *const NODE[PRODUCTS] = {a->scores, a->by_weights, a->by_q, a->by_k, a->by_v};
    return NODE[product];
}

/* The operand of a product that is not made in the kernel, or of scores and gradients of weights: the one with rows or keys. */
static int operand_side(const Backward *b, int product, bool keys) {
    const Node *n = product_node(b, product);
    if (product >= 2) return n->in[0] == (product == 4 ? b->a->weights : b->a->by_scores);
    const char *out = n->attrs.labels[2];
    bool second = strchr(n->attrs.labels[1], out[strlen(out) - 1]) != NULL;
    return second == keys;
}

static bool has_operand(int product, bool keys) {
    return product < 2 || keys == (product == 2);
}

static void product_letters(Backward *b, int product) {
    const Node *n = product_node(b, product);
    Heads *h = &b->h;
    const char *of = product < 2 ? n->attrs.labels[2] : n->attrs.labels[!operand_side(b, product, false)];
    for (int keys = 0; keys < 2; keys++) {
        int side = operand_side(b, product, keys);
        if (!has_operand(product, keys)) continue;
        heads_letters(h, of, n->attrs.labels[side], &n->in[side]->type, SET_OF[product], keys ? b->of_key[product] : b->of_row[product]);
    }
    if (product >= 2) heads_letters(h, of, n->attrs.labels[2], &n->type, SET_OF[product], b->of_result[product]);
}

static bool is_stored(const Backward *b, const Node *n) {
    for (int i = 0; i < b->h.k->writes.n; i++)
        if (b->h.k->writes.at[i] == n) return true;
    return false;
}

static void make_accesses(Backward *b) {
    Heads *h = &b->h;
    h->given[heads_place(h, b->a->sum)] = true;
    for (int p = 0; p < PRODUCTS; p++) {
        h->given[heads_place(h, product_node(b, p))] = true;
        product_letters(b, p);
    }
    heads_space(h);
    do {
        space_begin(h->sp);
        for (int p = 0; p < PRODUCTS; p++) {
            Node *n = product_node(b, p);
            if (has_operand(p, false)) b->row[p] = heads_follow(h, n->in[operand_side(b, p, false)], b->of_row[p]);
            if (has_operand(p, true)) b->key[p] = heads_follow(h, n->in[operand_side(b, p, true)], b->of_key[p]);
        }
        heads_items(h, b->of_result[2]);
        for (int p = 2; p < PRODUCTS; p++) heads_store(h, product_node(b, p), product_node(b, p)->type.rank, b->of_result[p]);
        b->sums = NULL;
        if (!is_stored(b, b->a->sum)) continue;
        heads_store(h, b->a->sum, 0, NULL);
        b->sums = h->stores.at[h->stores.n - 1];
    } while (h->sp->again);
    heads_sort(h);
}

/* The second walk finds exponents where the scores were, if it needs the scores for nothing else. */
static void find_needed(Backward *b) {
    Heads *h = &b->h;
    int n = h->k->nodes.n, scores = heads_place(h, b->a->scores), e = heads_place(h, b->a->exponents);
    b->for_sum = NEW_ARRAY(h->w->arena, bool, n);
    b->for_scores = NEW_ARRAY(h->w->arena, bool, n);
    heads_need(h, b->for_sum, plan_base(b->a->sum->in[0]));
    b->keeps = b->for_sum[e];
    h->given[scores] = false;
    h->given[e] = b->keeps;
    heads_need(h, b->for_scores, b->a->by_scores);
    heads_need(h, b->for_scores, b->a->weights);
    b->keeps &= !b->for_scores[scores];
    h->given[scores] = true;
    h->given[e] = false;
    memset(b->for_scores, 0, sizeof(bool) * (size_t)n);
    h->given[e] = b->keeps;
    heads_need(h, b->for_scores, b->a->by_scores);
    heads_need(h, b->for_scores, b->a->weights);
    h->given[e] = false;
}

/* ---- holes */

static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Backward *b = context;
    Heads *h = &b->h;
    bool opened;
    if (b->of_rows || b->with_k || b->with_v) return gradient_mma_fill_nest(b);
    for (int i = 0; i < h->n[OF_BATCH]; i++) {
        int s = h->symbol[OF_BATCH][i];
        h->p.text[s] = open_parts(h->w, arena_printf(h->w->arena, "x%d", s), h->sp->symbol[s].n, 1, false, &opened);
    }
    return "";
}

static const char *fill_scalars(void *context, const char *const *args) {
    (void)args;
    Backward *b = context;
    heads_scalars(&b->h);
    return "";
}

static const char *fill_row_loops(void *context, const char *const *args) {
    (void)args;
    Backward *b = context;
    Heads *h = &b->h;
    for (int i = 0; i < h->n[OF_ROWS] - 1; i++) {
        int s = h->symbol[OF_ROWS][i];
        h->p.text[s] = arena_printf(h->w->arena, "m%d", s);
        text_line(&h->w->body, "for %s in 0..%s {", h->p.text[s], work_size(h->w, h->sp->symbol[s].n));
    }
    const char *i0 = template_get(h->t, "i0"), *seen = heads_seen(h, arena_printf(h->w->arena, "%s + %lld", i0, (long long)h->mb - 1));
    template_number(h->t, "triangle", seen != NULL);
    template_set(h->t, "block_seen", seen ? seen : "");
    template_set(h->t, "seen_before", seen ? heads_seen(h, arena_printf(h->w->arena, "%s - 1", i0)) : "");
    return "";
}

static int digit(const char *text) {
    return text[0] - '0';
}

static const char *fill_key(void *context, const char *const *args) {
    Backward *b = context;
    int p = digit(args[0]);
    return heads_element(&b->h, b->key[p], NULL, args[2], SET_OF[p], args[1], 1, 1);
}

static const char *fill_key_square(void *context, const char *const *args) {
    Backward *b = context;
    int p = digit(args[0]);
    return heads_element(&b->h, b->key[p], NULL, args[2], SET_OF[p], args[1], b->h.square, b->h.square);
}

static const char *fill_row(void *context, const char *const *args) {
    Backward *b = context;
    int p = digit(args[0]);
    return heads_element(&b->h, b->row[p], args[1], NULL, SET_OF[p], args[2], 1, 1);
}

static const char *columns(Backward *b, const char *const *args, int lanes) {
    int p = digit(args[0]);
    const char *row = p == 2 ? NULL : args[1], *key = p == 2 ? args[1] : NULL;
    return heads_element(&b->h, p == 2 ? b->key[p] : b->row[p], row, key, SET_OF[p], args[2], lanes, (int64_t)lanes * b->vu[p]);
}

static const char *fill_columns(void *context, const char *const *args) {
    Backward *b = context;
    return columns(b, args, b->h.lanes);
}

static const char *fill_column(void *context, const char *const *args) {
    return columns(context, args, 1);
}

/* Row maps that do not wait for the sum come first; all others with it. */
static const char *fill_row_values(void *context, const char *const *args) {
    Backward *b = context;
    Point p = point_inside(&b->h.p);
    p.text[heads_last_row(&b->h)] = args[0];
    heads_maps(&b->h, &p, b->for_sum, LEVEL_ROW);
    return "";
}

static const char *fill_row_sum(void *context, const char *const *args) {
    Backward *b = context;
    Point p = point_inside(&b->h.p);
    p.text[heads_last_row(&b->h)] = args[0];
    heads_set(&b->h, b->a->sum, args[1], false);
    if (b->sums) point_store(&p, b->sums, items_find(b->h.items, b->a->sum)->value);
    heads_maps(&b->h, &p, b->for_scores, LEVEL_ROW);
    return "";
}

static const char *fill_summed(void *context, const char *const *args) {
    Backward *b = context;
    Heads *h = &b->h;
    bool vector = h->map_lanes > 1;
    Point p = heads_at_scores(h, args[0], args[1], b->np);
    heads_set(h, b->a->scores, args[2], vector);
    heads_set(h, b->a->by_weights, args[3], vector);
    heads_maps(h, &p, b->for_sum, LEVEL_A);
    if (b->keeps) text_line(&h->w->body, "%s = %s", args[2], heads_score(h, b->a->exponents));
    return heads_score(h, plan_base(b->a->sum->in[0]));
}

static const char *fill_by_scores(void *context, const char *const *args) {
    Backward *b = context;
    Heads *h = &b->h;
    bool vector = h->map_lanes > 1;
    Point p = heads_at_scores(h, args[0], args[1], b->np);
    heads_set(h, b->keeps ? b->a->exponents : b->a->scores, args[2], vector);
    heads_set(h, b->a->by_weights, args[3], vector);
    heads_maps(h, &p, b->for_scores, LEVEL_A);
    return heads_score(h, b->a->by_scores);
}

static const char *fill_weights(void *context, const char *const *args) {
    (void)args;
    Backward *b = context;
    return heads_score(&b->h, b->a->weights);
}

bool gradient_stores_bend(const Backward *b, int product) {
    return heads_bent(&b->h, b->h.stores.at[product - 2], SET_OF[product]);
}

static const char *fill_store(void *context, const char *const *args) {
    Backward *b = context;
    Heads *h = &b->h;
    int product = digit(args[0]);
    Set g = SET_OF[product];
    Point p = point_inside(&h->p);
    if (product == 2) p.text[heads_last_row(h)] = args[1];
    else heads_index(h, &p, OF_KEYS, args[1]);
    heads_index(h, &p, g, args[2]);
    bool scalar = gradient_stores_bend(b, 2) || gradient_stores_bend(b, 3) || gradient_stores_bend(b, 4);
    p.lanes = scalar ? 1 : h->lanes;
    p.vector = scalar ? -1 : h->symbol[g][0];
    p.limit = scalar ? NULL : heads_limit(h, size_const(h->w->table, h->length[g]), h->lanes);
    point_store(&p, h->stores.at[product - 2], args[3]);
    return "";
}

const Hole gradient_holes[] = {
    {"nest", 0, fill_nest},
    {"scalars", 0, fill_scalars},
    {"row_loops", 0, fill_row_loops},
    {"key", 3, fill_key},
    {"key_square", 3, fill_key_square},
    {"row", 3, fill_row},
    {"columns", 3, fill_columns},
    {"column", 3, fill_column},
    {"row_values", 1, fill_row_values},
    {"row_sum", 2, fill_row_sum},
    {"summed", 4, fill_summed},
    {"by_scores", 4, fill_by_scores},
    {"weights", 0, fill_weights},
    {"store", 4, fill_store},
    {"copy_row", 3, gradient_mma_fill_copy_row},
    {"copy_key", 3, gradient_mma_fill_copy_key},
    {"row_sums", 1, gradient_mma_fill_row_sums},
    {"row_again", 2, gradient_mma_fill_row_again},
    {"gradients", 4, gradient_mma_fill_gradients},
    {"score_gradient", 0, gradient_mma_fill_score_gradient},
    {NULL, 0, NULL},
};

/* ---- choices */

static void choose_tile(Backward *b, int64_t m, int64_t n) {
    Heads *h = &b->h;
    double best = 1e30;
    int most = h->w->device ? DEVICE_ROWS : TILE_ROWS_MOST;
    for (int mr = 1; mr <= most; mr++) {
        int vectors[PRODUCTS] = {0}, nv = 0;
        double cost = heads_columns_cost(h->w->machine, mr, n, &nv) * (double)(h->length[OF_DEPTH] + h->length[OF_VALUE]);
        for (int p = 2; p < PRODUCTS; p++)
            cost += heads_columns_cost(h->w->machine, mr, h->length[SET_OF[p]], &vectors[p]) * (double)n;
        cost *= (double)heads_tiles(m, mr);
        if (cost >= best - 1e-9) continue;
        best = cost;
        h->mr = mr;
        b->nv = nv;
        memcpy(b->vu, vectors, sizeof vectors);
    }
}

static void choose_blocks(Backward *b, int64_t m) {
    Heads *h = &b->h;
    int64_t low, high, panel = (int64_t)b->nv * h->lanes, rows;
    size_range(h->size_n, &low, &high);
    rows = high <= KEYS_SHORT ? ROWS_BLOCK : ROWS_BLOCK / 2;
    if (m < rows) rows = m;
    b->np = heads_tiles(high, panel) * panel;
    h->mb = heads_tiles(rows, h->mr) * h->mr;
}

static const char *numbered(Backward *b, const char *name, int i) {
    return arena_printf(b->h.w->arena, "%s%d", name, i);
}

static void set_parameters(Backward *b) {
    Heads *h = &b->h;
    Work *w = h->w;
    Template *t = h->t;
    h->map_lanes = heads_maps_bend(h, LEVEL_A, OF_KEYS) ? 1 : h->lanes;
    for (int p = 0; p < PRODUCTS; p++) {
        int64_t length = h->length[SET_OF[p]], panel = (int64_t)b->vu[p] * h->lanes;
        const Access *copied = p == 2 ? b->key[p] : b->row[p];
        bool squares = p < 2 && heads_transposed(h, b->key[p], SET_OF[p]);
        template_number(t, numbered(b, "D", p), length);
        template_number(t, numbered(b, "squares", p), squares);
        template_number(t, numbered(b, "P", p), squares ? heads_tiles(length, h->square) * h->square : length);
        if (p < 2) continue;
        template_number(t, numbered(b, "V", p), b->vu[p]);
        template_number(t, numbered(b, "C", p), heads_tiles(length, panel) * panel);
        template_number(t, numbered(b, "lanes", p), !heads_bent(h, copied, SET_OF[p]) && h->n[OF_KEYS] <= 1);
    }
    template_set(t, "N", work_size(w, h->size_n));
    template_set(t, "M", work_size(w, h->size_m));
    template_set(t, "i0", "i0");
    template_number(t, "NP", b->np);
    template_number(t, "NS", b->np + h->lanes);
    template_number(t, "L", h->lanes);
    template_number(t, "MR", h->mr);
    int64_t keys = h->mr < h->lanes ? h->mr : h->lanes;
    template_number(t, "MK", keys);
    template_number(t, "NJ", heads_tiles(b->np, keys) * keys);
    template_number(t, "RB", h->mb);
    template_number(t, "W", (int64_t)b->nv * h->lanes);
    template_number(t, "NV", b->nv);
    template_number(t, "SQ", h->square);
    template_number(t, "scalar_maps", h->map_lanes == 1);
    template_number(t, "scalar_stores", gradient_stores_bend(b, 2) || gradient_stores_bend(b, 3) || gradient_stores_bend(b, 4));
}

void gradient_begin(Backward *b, Work *w) {
    *b = (Backward){.a = w->k->gradient};
    heads_begin(&b->h, w, b->a->scores, b->a->triangle, b->a->reach);
    make_accesses(b);
}

void schedule_attention_gradient(Work *w, KernelCode *code) {
    Backward b;
    gradient_begin(&b, w);
    if (gradient_is_mma(&b)) {
        schedule_gradient_mma(&b, code);
        return;
    }
    w->room = CUDA_FOUR;
    find_needed(&b);
    int64_t m = contract_estimate(b.h.size_m, 256), n = contract_estimate(b.h.size_n, 256);
    choose_tile(&b, m, n);
    choose_blocks(&b, m);
    b.h.p = point_new(w, b.h.items, 1, -1);
    b.h.t = template_new(&w->body, "attention_gradient.tile", gradient_holes, &b);
    set_parameters(&b);
    template_run(b.h.t, "attention_gradient");
    work_finish(w, code);
}
