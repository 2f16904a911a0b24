/* schedule_attention.c -- softmax-weighted products: attention.tile's parameters and holes.
 *
 * One space has the axes of the scores, then those that the scores sum over (the depth of keys), then those of the values alone. The
 * symbols fall into groups: batch (rows and keys have them), rows, keys, depth of keys, depth of values. Batches and all symbols of rows but
 * the last are parallel, and so are blocks of the last. Keys and values are packed, so only packing, rows and maps see how memory
 * lies: where a group is more than one symbol, or an address divides, they go element by element. */
#include "codegen/attention.h"

#include <string.h>

enum {
    KEYS_LONG = 256,      /* keys of a block .. */
    KEYS_WHOLE = 384,     /* .. unless so many are all */
    ROWS_LONG = 192,      /* rows that share packed keys, if that leaves .. */
    BLOCKS_ENOUGH = 6,    /* .. so many parallel iterations; else half of them */
    TILE_ROWS_MOST = 8,
    DEVICE_KEYS = 64,     /* of a device, whose warps are many and have a small share of its caches: keys of a block .. */
    DEVICE_ROWS = 32,     /* .. and rows */
};

static void make_accesses(Forward *f) {
    Heads *h = &f->h;
    const Node *s = f->a->scores, *y = h->k->anchor;
    const Node *e = plan_base(f->a->sum->in[0]);
    const Node *given[] = {y, s, f->a->max, f->a->sum, f->a->quotient, e, plan_base(e->in[0])};
    int side = f->a->side, key = strchr(s->attrs.labels[1], s->attrs.labels[2][h->rank - 1]) != NULL;
    int of_q[MAX_RANK], of_key[MAX_RANK], of_value[MAX_RANK], of_result[MAX_RANK];
    for (int i = 0; i < 7; i++) h->given[heads_place(h, given[i])] = true;
    heads_letters(h, s->attrs.labels[2], s->attrs.labels[key], &s->in[key]->type, OF_DEPTH, of_key);
    heads_letters(h, s->attrs.labels[2], s->attrs.labels[!key], &s->in[!key]->type, OF_DEPTH, of_q);
    heads_letters(h, y->attrs.labels[side], y->attrs.labels[!side], &y->in[!side]->type, OF_VALUE, of_value);
    heads_letters(h, y->attrs.labels[side], y->attrs.labels[2], &y->type, OF_VALUE, of_result);
    heads_space(h);
    do {
        space_begin(h->sp);
        f->at_q = heads_follow(h, s->in[!key], of_q);
        f->at_key = heads_follow(h, s->in[key], of_key);
        f->at_value = heads_follow(h, y->in[!side], of_value);
        heads_items(h, of_result);
        for (int i = 0; i < h->k->writes.n; i++) heads_store(h, h->k->writes.at[i], y->type.rank, of_result);
    } while (h->sp->again);
    heads_sort(h);
}

/* ---- which maps are needed where */

static bool is_row_gate(const Forward *f, const Node *w) {
    int i = w->op == OP_WHERE ? heads_place(&f->h, plan_base(w->in[0])) : -1;
    return i >= 0 && f->h.k->levels.at[i] == LEVEL_ROW;
}

/* Does w wait for the end (a row's gate), or happen as the product reads it (a cast)? */
static bool hands_on(const Forward *f, const Node *w) {
    return w->op == OP_CAST || is_row_gate(f, w);
}

static bool leads_to(const Forward *f, const Node *n, const Node *to) {
    if (n == to) return true;
    if (heads_place(&f->h, n) < 0 || n == f->a->scores) return false;
    for (int k = 0; k < n->n_in; k++)
        if (leads_to(f, plan_base(n->in[k]), to)) return true;
    return false;
}

/* The operand of a node between the weights and the quotient that leads on to the quotient. */
static int inner_operand(const Forward *f, const Node *w) {
    return w->op == OP_WHERE || !leads_to(f, plan_base(w->in[0]), f->a->quotient);
}

static void find_needed(Forward *f) {
    Heads *h = &f->h;
    int n = h->k->nodes.n;
    f->for_logits = NEW_ARRAY(h->w->arena, bool, n);
    f->for_weights = NEW_ARRAY(h->w->arena, bool, n);
    f->for_results = NEW_ARRAY(h->w->arena, bool, n);
    heads_need(h, f->for_logits, f->a->logits);
    for (Node *w = f->a->weights; w != f->a->quotient; w = plan_base(w->in[inner_operand(f, w)])) {
        if (is_row_gate(f, w)) heads_need(h, f->for_results, plan_base(w->in[0]));
        if (hands_on(f, w)) continue;
        f->gated = true;
        f->for_weights[heads_place(h, w)] = true;
        for (int k = 0; k < w->n_in; k++)
            if (k != inner_operand(f, w)) heads_need(h, f->for_weights, plan_base(w->in[k]));
    }
}

/* ---- holes */

static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Forward *f = context;
    Heads *h = &f->h;
    Work *w = h->w;
    bool opened;
    for (int g = OF_BATCH; g <= OF_ROWS; g++)
        for (int i = 0; i < h->n[g]; i++) {
            int s = h->symbol[g][i];
            int64_t by = s == heads_last_row(h) ? h->mb : 1;
            h->p.text[s] = open_parts(w, arena_printf(w->arena, "x%d", s), h->sp->symbol[s].n, by, false, &opened);
        }
    const char *i0 = h->p.text[heads_last_row(h)];
    template_set(h->t, "i0", i0);
    const char *block = heads_seen(h, arena_printf(w->arena, "%s + %lld", i0, (long long)h->mb - 1));
    const char *tile = heads_seen(h, arena_printf(w->arena, "%s + t + %d", i0, h->mr - 1));
    template_number(h->t, "triangle", block != NULL);
    template_set(h->t, "block_seen", block ? block : "");
    template_set(h->t, "tile_seen", tile ? tile : "");
    return "";
}

static const char *fill_scalars(void *context, const char *const *args) {
    (void)args;
    Forward *f = context;
    heads_scalars(&f->h);
    return "";
}

static const char *fill_q(void *context, const char *const *args) {
    Forward *f = context;
    return heads_element(&f->h, f->at_q, args[0], NULL, OF_DEPTH, args[1], 1, 1);
}

static const char *fill_key(void *context, const char *const *args) {
    Forward *f = context;
    return heads_element(&f->h, f->at_key, NULL, args[1], OF_DEPTH, args[0], 1, 1);
}

static const char *fill_key_square(void *context, const char *const *args) {
    Forward *f = context;
    return heads_element(&f->h, f->at_key, NULL, args[1], OF_DEPTH, args[0], f->h.square, f->h.square);
}

static const char *fill_value(void *context, const char *const *args) {
    Forward *f = context;
    return heads_element(&f->h, f->at_value, NULL, args[0], OF_VALUE, args[1], f->h.lanes, (int64_t)f->vu * f->h.lanes);
}

static const char *fill_value_one(void *context, const char *const *args) {
    Forward *f = context;
    return heads_element(&f->h, f->at_value, NULL, args[0], OF_VALUE, args[1], 1, 1);
}

static Point at_row(Heads *h, const char *row) {
    Point p = point_inside(&h->p);
    p.text[heads_last_row(h)] = row;
    return p;
}

static const char *fill_row_values(void *context, const char *const *args) {
    Forward *f = context;
    Point p = at_row(&f->h, args[0]);
    heads_maps(&f->h, &p, f->for_logits, LEVEL_ROW);
    heads_maps(&f->h, &p, f->for_weights, LEVEL_ROW);
    return "";
}

static const char *fill_logits(void *context, const char *const *args) {
    Forward *f = context;
    Point p = heads_at_scores(&f->h, args[0], args[1], f->kb);
    heads_set(&f->h, f->a->scores, args[2], f->h.map_lanes > 1);
    heads_maps(&f->h, &p, f->for_logits, LEVEL_A);
    return heads_score(&f->h, f->a->logits);
}

static const char *fill_weights(void *context, const char *const *args) {
    Forward *f = context;
    Heads *h = &f->h;
    Point p = heads_at_scores(h, args[0], args[1], f->kb);
    heads_set(h, f->a->quotient, args[2], h->map_lanes > 1);
    for (int i = 0; i < h->k->nodes.n; i++) {
        Item *item = items_find(h->items, h->k->nodes.at[i]);
        bool between = item->level == LEVEL_A && item->n != f->a->quotient && leads_to(f, item->n, f->a->quotient);
        if (between && hands_on(f, item->n)) {
            const Item *inner = items_find(h->items, plan_base(item->n->in[inner_operand(f, item->n)]));
            item->value = inner->value;
            item->vector = inner->vector;
        } else if (f->for_weights[i] && item->level == LEVEL_A) {
            point_value(&p, item);
        }
    }
    return heads_score(h, f->a->weights);
}

static const char *fill_results(void *context, const char *const *args) {
    Forward *f = context;
    Heads *h = &f->h;
    Point p = at_row(h, args[0]);
    heads_set(h, f->a->max, args[1], false);
    heads_set(h, f->a->sum, args[2], false);
    heads_maps(h, &p, f->for_results, LEVEL_ROW);
    for (int i = 0; i < h->k->writes.n; i++) {
        const Item *item = items_find(h->items, h->k->writes.at[i]);
        if (item->level == LEVEL_ROW) point_store(&p, h->stores.at[i], item->value);
    }
    return "";
}

static const char *fill_epilogue(void *context, const char *const *args) {
    Forward *f = context;
    Heads *h = &f->h;
    Work *w = h->w;
    Point p = at_row(h, args[0]);
    heads_index(h, &p, OF_VALUE, args[1]);
    p.lanes = f->result_lanes;
    p.vector = p.lanes > 1 ? h->symbol[OF_VALUE][0] : -1;
    p.limit = p.lanes > 1 ? heads_limit(h, size_const(w->table, h->length[OF_VALUE]), p.lanes) : NULL;
    const char *value = args[2];
    for (Node *g = f->a->weights; g != f->a->quotient; g = plan_base(g->in[inner_operand(f, g)]))
        if (is_row_gate(f, g))
            value = arena_printf(w->arena, "select(%s, %s, f32(0))", items_find(h->items, plan_base(g->in[0]))->value, value);
    heads_set(h, h->k->anchor, value, p.lanes > 1);
    for (int i = 0; i < h->items->at.n; i++) {
        Item *item = h->items->at.at[i];
        if (item->level == LEVEL_FULL && item->n != h->k->anchor) point_value(&p, item);
    }
    for (int i = 0; i < h->k->writes.n; i++) {
        const Item *item = items_find(h->items, h->k->writes.at[i]);
        if (item->level == LEVEL_FULL) point_store(&p, h->stores.at[i], item->value);
    }
    return "";
}

static const Hole HOLES[] = {
    {"nest", 0, fill_nest},
    {"scalars", 0, fill_scalars},
    {"q", 2, fill_q},
    {"key", 2, fill_key},
    {"key_square", 2, fill_key_square},
    {"value", 2, fill_value},
    {"value_one", 2, fill_value_one},
    {"row_values", 1, fill_row_values},
    {"logits", 3, fill_logits},
    {"weights", 3, fill_weights},
    {"results", 3, fill_results},
    {"epilogue", 3, fill_epilogue},
    {"copy_q", 1, attention_mma_fill_q},
    {"copy_key", 2, attention_mma_fill_key},
    {"copy_value", 2, attention_mma_fill_value},
    {NULL, 0, NULL},
};

/* ---- choices */

/* The tile of the least cost for both products, which share their rows. */
static void choose_tile(Forward *f, int64_t m, int64_t n) {
    Heads *h = &f->h;
    const TileTarget *t = h->w->machine;
    double best = 1e30;
    for (int mr = 1; mr <= TILE_ROWS_MOST; mr++) {
        int nv = 0, vu = 0;
        double scores = heads_columns_cost(t, mr, n, &nv) * (double)h->length[OF_DEPTH];
        double values = heads_columns_cost(t, mr, h->length[OF_VALUE], &vu) * (double)n;
        double cost = (double)heads_tiles(m, mr) * (scores + values);
        if (cost >= best - 1e-9) continue;
        best = cost;
        h->mr = mr;
        f->nv = nv;
        f->vu = vu;
    }
}

static void choose_blocks(Forward *f, int64_t m) {
    Heads *h = &f->h;
    int64_t low, high, beside = 1, panel = (int64_t)f->nv * h->lanes;
    size_range(h->size_n, &low, &high);
    if (h->w->device) {
        int64_t keys = high < DEVICE_KEYS ? high : DEVICE_KEYS;
        f->kb = heads_tiles(keys, panel) * panel;
        h->mb = heads_tiles(m < DEVICE_ROWS ? m : DEVICE_ROWS, h->mr) * h->mr;
        return;
    }
    f->kb = high <= KEYS_WHOLE ? heads_tiles(high, panel) * panel : KEYS_LONG / panel * panel;
    for (int g = OF_BATCH; g <= OF_ROWS; g++)
        for (int i = 0; i < h->n[g]; i++)
            if (h->symbol[g][i] != heads_last_row(h)) beside *= contract_estimate(h->sp->symbol[h->symbol[g][i]].n, 1);
    int64_t wish = beside * heads_tiles(m, ROWS_LONG) >= BLOCKS_ENOUGH ? ROWS_LONG : ROWS_LONG / 2;
    h->mb = heads_tiles(m, h->mr) * h->mr;
    if (h->mb > wish + wish / 2) h->mb = heads_tiles(heads_tiles(m, heads_tiles(h->mb, wish)), h->mr) * h->mr;
}

static void choose(Forward *f) {
    int64_t m = contract_estimate(f->h.size_m, 512), n = contract_estimate(f->h.size_n, KEYS_LONG);
    choose_tile(f, m, n < KEYS_LONG ? n : KEYS_LONG);
    choose_blocks(f, m);
}

static void set_parameters(Forward *f) {
    Heads *h = &f->h;
    Work *w = h->w;
    Template *t = h->t;
    int64_t whole, low, high, depth = h->length[OF_DEPTH], width = h->length[OF_VALUE], panel = (int64_t)f->vu * h->lanes;
    bool squares = heads_transposed(h, f->at_key, OF_DEPTH);
    h->map_lanes = heads_maps_bend(h, LEVEL_A, OF_KEYS) ? 1 : h->lanes;
    f->result_lanes = heads_maps_bend(h, LEVEL_FULL, OF_VALUE) ? 1 : h->lanes;
    size_range(h->size_n, &low, &high);
    template_number(t, "D", depth);
    template_number(t, "DEPTH", squares ? heads_tiles(depth, h->square) * h->square : depth);
    template_number(t, "DV", width);
    template_number(t, "VW", heads_tiles(width, panel) * panel);
    template_set(t, "N", work_size(w, h->size_n));
    template_set(t, "M", work_size(w, h->size_m));
    template_number(t, "L", h->lanes);
    template_number(t, "MR", h->mr);
    template_number(t, "MB", h->mb);
    template_number(t, "KB", f->kb);
    template_number(t, "W", (int64_t)f->nv * h->lanes);
    template_number(t, "NV", f->nv);
    template_number(t, "VU", f->vu);
    template_number(t, "SQ", h->square);
    template_number(t, "EL", f->result_lanes);
    template_number(t, "one_block", high <= f->kb);
    template_number(t, "rows_divide", size_is_const(h->size_m, &whole) && whole % h->mb == 0);
    template_number(t, "squares", squares);
    template_number(t, "value_lanes", !heads_bent(h, f->at_value, OF_VALUE) && h->n[OF_KEYS] <= 1);
    template_number(t, "scalar_maps", h->map_lanes == 1);
    template_number(t, "scalar_results", f->result_lanes == 1);
    template_number(t, "gated", f->gated);
}

void schedule_attention(Work *w, KernelCode *code) {
    Forward f = {.a = w->k->attention};
    heads_begin(&f.h, w, f.a->scores, f.a->triangle, f.a->reach);
    make_accesses(&f);
    find_needed(&f);
    bool mma = attention_is_mma(&f);
    w->room = CUDA_FOUR;
    if (mma) attention_mma_choose(&f);
    else choose(&f);
    f.h.p = point_new(w, f.h.items, 1, -1);
    f.h.t = template_new(&w->body, mma ? "attention_mma.tile" : "attention.tile", HOLES, &f);
    set_parameters(&f);
    if (mma) attention_mma_set(&f);
    template_run(f.h.t, mma ? "matrices" : "attention");
    work_finish(w, code);
}
