/* schedule_attention.c -- softmax-weighted products: attention.tile's parameters and holes.
 *
 * One space has the axes of the scores, then those that the scores sum over (the depth of keys), then those of the values alone. The
 * symbols fall into groups: batch (rows and keys have them), rows, keys, depth of keys, depth of values. Batches and all symbols of rows but
 * the last are parallel, and so are blocks of the last. Keys and values are packed, so only packing, rows and maps see how memory
 * lies: where a group is more than one symbol, or an address divides, they go element by element. */
#include "codegen/contract.h"

#include <string.h>

enum {
    KEYS_LONG = 256,      /* keys of a block .. */
    KEYS_WHOLE = 384,     /* .. unless so many are all */
    ROWS_LONG = 192,      /* rows that share packed keys, if that leaves .. */
    BLOCKS_ENOUGH = 6,    /* .. so many parallel iterations; else half of them */
    TILE_ROWS_MOST = 8,
    SQUARE_SIDE = 8,      /* of squares that packing transposes, at most */
};

typedef enum { OF_BATCH, OF_ROWS, OF_KEYS, OF_DEPTH, OF_VALUE, SETS } Set;

typedef struct Heads {
    Work *w;
    const Kernel *k;
    const Attention *a;
    Space *sp;
    Items *items;
    Node *key, *value; /* operands; the other one of scores are the rows */
    Access *at_q, *at_key, *at_value;
    LIST(Access *) stores; /* beside k->writes */
    int rank;              /* axes of the scores */
    Set class[MAX_SYMBOLS];
    int n[SETS], symbol[SETS][MAX_SYMBOLS];
    Size size_m, size_n;
    int64_t depth, width; /* of keys, of values */
    int lanes, mr, nv, vu;
    int64_t mb, kb;
    int map_lanes, result_lanes, square;
    bool *for_logits, *for_weights, *for_results; /* by place among k->nodes: needed there */
    bool gated;
    Template *t;
    Point p; /* inside the nest */
} Heads;

/* ---- axes */

static void set_axes(Heads *h, int *value_axes) {
    const Node *s = h->a->scores, *y = h->k->anchor;
    const char *out = s->attrs.labels[2];
    int n = h->rank = s->type.rank, key = strchr(s->attrs.labels[1], out[n - 1]) != NULL;
    Size dim[MAX_SYMBOLS];
    h->key = s->in[key];
    h->value = y->in[!h->a->side];
    h->depth = h->width = 1;
    for (int i = 0; i < n; i++) {
        dim[i] = s->type.dim[i];
        h->class[i] = i == n - 1 ? OF_KEYS : strchr(s->attrs.labels[key], out[i]) ? OF_BATCH : OF_ROWS;
    }
    for (int i = 0; s->attrs.labels[key][i]; i++) {
        if (strchr(out, s->attrs.labels[key][i])) continue;
        h->depth *= size_value(h->key->type.dim[i]);
        dim[n] = h->key->type.dim[i];
        h->class[n++] = OF_DEPTH;
    }
    const char *v = y->attrs.labels[!h->a->side], *w = y->attrs.labels[h->a->side];
    for (int i = 0; v[i]; i++) {
        value_axes[i] = strchr(w, v[i]) ? (int)(strchr(w, v[i]) - w) : n;
        if (value_axes[i] < n) continue;
        h->width *= size_value(h->value->type.dim[i]);
        dim[n] = h->value->type.dim[i];
        h->class[n++] = OF_VALUE;
    }
    h->sp = space_new(h->w->arena, h->w->table, n, dim);
}

/* The access of operand `side` of the scores. Summed letters have their axes in the order of the keys. */
static Access *scores_operand(Heads *h, bool keys) {
    const Node *s = h->a->scores;
    int key = h->key == s->in[1] && strchr(s->attrs.labels[1], s->attrs.labels[2][h->rank - 1]) ? 1 : 0;
    const char *out = s->attrs.labels[2], *of_key = s->attrs.labels[key], *mine = s->attrs.labels[keys ? key : !key];
    Affine *index[MAX_RANK];
    for (int i = 0; mine[i]; i++) {
        const char *at = strchr(out, mine[i]);
        int axis = at ? (int)(at - out) : h->rank;
        for (int j = 0; !at && of_key[j] != mine[i]; j++) axis += !strchr(out, of_key[j]);
        index[i] = space_axis(h->sp, axis);
    }
    return access_follow(h->sp, s->in[keys ? key : !key], index);
}

/* Nodes of the softmax itself have no operands here: the template computes them. */
static bool by_template(const Heads *h, const Node *n) {
    const Attention *a = h->a;
    const Node *e = plan_base(a->sum->in[0]);
    return n == h->k->anchor || n == a->scores || n == a->max || n == a->sum || n == a->quotient || n == e ||
           n == plan_base(e->in[0]);
}

static void add_items(Heads *h, const int *result_axes) {
    const Kernel *k = h->k;
    Space *sp = h->sp;
    const Type *scores = &h->a->scores->type, *y = &k->anchor->type;
    Affine *full[MAX_RANK], *result[MAX_RANK], *index[MAX_RANK];
    int axes[MAX_RANK];
    for (int i = 0; i < h->rank; i++) full[i] = space_axis(sp, axes[i] = i);
    for (int i = 0; i < y->rank; i++) result[i] = space_axis(sp, result_axes[i]);
    Affine *of_scores = space_linear(sp, h->rank, axes), *of_rows = space_linear(sp, h->rank - 1, axes);
    Affine *of_result = space_linear(sp, y->rank, result_axes), *zero = affine_const(sp, size_const(h->w->table, 0));
    for (int i = 0; i < k->nodes.n; i++) {
        Node *n = k->nodes.at[i];
        Level level = k->levels.at[i];
        if (by_template(h, n)) {
            Item *item = NEW(h->w->arena, Item);
            item->n = n;
            item->level = level;
            item->in = NEW_ARRAY(h->w->arena, Operand, n->n_in);
            PUSH(h->w->arena, h->items->at, item);
            continue;
        }
        if (level == LEVEL_FULL) space_reshape(sp, y->rank, y->dim, result, n->type.rank, n->type.dim, index);
        else if (level == LEVEL_SCALAR) space_reshape(sp, 0, y->dim, result, n->type.rank, n->type.dim, index);
        else space_reshape(sp, h->rank - (level == LEVEL_ROW), scores->dim, full, n->type.rank, n->type.dim, index);
        const Affine *linear = level == LEVEL_FULL ? of_result : level == LEVEL_A ? of_scores : level == LEVEL_ROW ? of_rows : zero;
        items_add(h->items, h->w, n, level, index, linear)->outer = level == LEVEL_SCALAR;
    }
    for (int i = 0; i < k->writes.n; i++) PUSH(h->w->arena, h->stores, access_linear(sp, k->writes.at[i], of_result));
}

static void make_accesses(Heads *h) {
    const Node *y = h->k->anchor;
    const char *v = y->attrs.labels[!h->a->side], *w = y->attrs.labels[h->a->side], *out = y->attrs.labels[2];
    int value_axes[MAX_RANK], result_axes[MAX_RANK];
    set_axes(h, value_axes);
    for (int i = 0; out[i]; i++)
        result_axes[i] = strchr(w, out[i]) ? (int)(strchr(w, out[i]) - w) : value_axes[strchr(v, out[i]) - v];
    do {
        Affine *index[MAX_RANK];
        space_begin(h->sp);
        h->items = items_new(h->w, h->sp);
        h->stores.n = 0;
        h->at_q = scores_operand(h, false);
        h->at_key = scores_operand(h, true);
        for (int i = 0; v[i]; i++) index[i] = space_axis(h->sp, value_axes[i]);
        h->at_value = access_follow(h->sp, h->value, index);
        add_items(h, result_axes);
    } while (h->sp->again);
}

/* The symbols of each set. The last of the rows is the longest, as far as that is known. */
static void sort_symbols(Heads *h) {
    Space *sp = h->sp;
    Size one = size_const(h->w->table, 1);
    int class[MAX_SYMBOLS];
    for (int i = 0; i < sp->n_axes; i++) class[i] = (int)h->class[i];
    space_merge(sp, class, 0);
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone) continue;
        Set g = h->class[sp->symbol[s].axis];
        h->symbol[g][h->n[g]++] = s;
    }
    int *rows = h->symbol[OF_ROWS], last = h->n[OF_ROWS] - 1;
    for (int i = last - 1; i >= 0; i--) {
        int64_t longest, n;
        if (!size_is_const(sp->symbol[rows[last]].n, &longest) || longest > SMALL) break;
        if (size_is_const(sp->symbol[rows[i]].n, &n) && n <= longest) continue;
        int s = rows[i];
        rows[i] = rows[last];
        rows[last] = s;
    }
    if (last < 0) bug("kernel %d: an attention of one row", h->k->index);
    h->size_m = sp->symbol[rows[last]].n;
    int keys = h->symbol[OF_KEYS][0];
    if (h->k->limit.seen && h->n[OF_KEYS] == 1 && sp->symbol[keys].n == h->a->scores->type.dim[h->rank - 1])
        sp->symbol[keys].n = h->k->limit.seen;
    h->size_n = h->n[OF_KEYS] == 1 ? sp->symbol[keys].n : h->n[OF_KEYS] == 0 ? one : h->a->scores->type.dim[h->rank - 1];
}

/* ---- which maps are needed where */

static int place_of(const Heads *h, const Node *n) {
    for (int i = 0; i < h->k->nodes.n; i++)
        if (h->k->nodes.at[i] == n) return i;
    return -1;
}

static void mark_needed(const Heads *h, bool *set, Node *n) {
    int i = place_of(h, n);
    if (i < 0 || set[i] || h->k->levels.at[i] == LEVEL_SCALAR || by_template(h, n)) return;
    set[i] = true;
    for (int k = 0; k < n->n_in; k++) mark_needed(h, set, plan_base(n->in[k]));
}

static bool is_row_gate(const Heads *h, const Node *w) {
    int i = w->op == OP_WHERE ? place_of(h, plan_base(w->in[0])) : -1;
    return i >= 0 && h->k->levels.at[i] == LEVEL_ROW;
}

static bool leads_to(const Heads *h, const Node *n, const Node *to) {
    if (n == to) return true;
    if (place_of(h, n) < 0 || n == h->a->scores) return false;
    for (int k = 0; k < n->n_in; k++)
        if (leads_to(h, plan_base(n->in[k]), to)) return true;
    return false;
}

/* The operand of a node between the weights and the quotient that leads on to the quotient. */
static int inner_operand(const Heads *h, const Node *w) {
    return w->op == OP_WHERE || !leads_to(h, plan_base(w->in[0]), h->a->quotient);
}

static void find_needed(Heads *h) {
    int n = h->k->nodes.n;
    h->for_logits = NEW_ARRAY(h->w->arena, bool, n);
    h->for_weights = NEW_ARRAY(h->w->arena, bool, n);
    h->for_results = NEW_ARRAY(h->w->arena, bool, n);
    mark_needed(h, h->for_logits, h->a->logits);
    for (Node *w = h->a->weights; w != h->a->quotient; w = plan_base(w->in[inner_operand(h, w)])) {
        if (is_row_gate(h, w)) {
            mark_needed(h, h->for_results, plan_base(w->in[0]));
            continue;
        }
        h->gated = true;
        h->for_weights[place_of(h, w)] = true;
        for (int k = 0; k < w->n_in; k++)
            if (k != inner_operand(h, w)) mark_needed(h, h->for_weights, plan_base(w->in[k]));
    }
}

/* ---- holes */

static const char *limit_of(Heads *h, Size n, int64_t lanes) {
    int64_t whole;
    return size_is_const(n, &whole) && whole % lanes == 0 ? NULL : work_size(h->w, n);
}

/* The index along a set of symbols, as symbols. */
static void set_index(Heads *h, Point *p, Set g, const char *text) {
    Work *w = h->w;
    const char *rest = text;
    for (int i = h->n[g] - 1; i >= 0; i--) {
        int s = h->symbol[g][i];
        const char *n = work_size(w, h->sp->symbol[s].n);
        if (h->n[g] == 1) {
            p->text[s] = text;
            return;
        }
        p->text[s] = arena_printf(w->arena, "q%d", ++w->names);
        text_line(&w->body, "index %s = (%s) %% %s in 0..%s", p->text[s], rest, n, n);
        if (i) rest = arena_printf(w->arena, "(%s) / %s", rest, n);
    }
}

static const char *load(Heads *h, Point *p, Access *x) {
    const char *place = point_place(p, x, "");
    return x->base->type.dtype == DT_F32 ? place : arena_printf(h->w->arena, "f32(%s)", place);
}

static int last_row(const Heads *h) {
    return h->symbol[OF_ROWS][h->n[OF_ROWS] - 1];
}

/* How many keys the rows up to `last` of the triangle's axis see. NULL: no triangle, or its axis is none of a single symbol. */
static const char *seen_text(Heads *h, const char *last) {
    const Attention *a = h->a;
    int found = -1;
    if (a->triangle < 0 || a->triangle == h->rank - 1) return NULL;
    for (int s = 0; s < h->sp->n; s++) {
        if (h->sp->symbol[s].axis != a->triangle || h->sp->symbol[s].gone) continue;
        if (found >= 0) return NULL;
        found = s;
    }
    const char *row = found < 0 ? "0" : found == last_row(h) ? last : h->p.text[found];
    if (found >= 0 && h->sp->symbol[found].n != a->scores->type.dim[a->triangle]) return NULL;
    return arena_printf(h->w->arena, "%s + %s", row, work_size(h->w, a->reach));
}

static const char *fill_nest(void *context, const char *const *args) {
    (void)args;
    Heads *h = context;
    Work *w = h->w;
    bool opened;
    for (int g = OF_BATCH; g <= OF_ROWS; g++)
        for (int i = 0; i < h->n[g]; i++) {
            int s = h->symbol[g][i];
            int64_t by = s == last_row(h) ? h->mb : 1;
            h->p.text[s] = open_parts(w, arena_printf(w->arena, "x%d", s), h->sp->symbol[s].n, by, false, &opened);
        }
    const char *i0 = h->p.text[last_row(h)];
    template_set(h->t, "i0", i0);
    const char *block = seen_text(h, arena_printf(w->arena, "%s + %lld", i0, (long long)h->mb - 1));
    const char *tile = seen_text(h, arena_printf(w->arena, "%s + t + %d", i0, h->mr - 1));
    template_number(h->t, "triangle", block != NULL);
    template_set(h->t, "block_seen", block ? block : "");
    template_set(h->t, "tile_seen", tile ? tile : "");
    return "";
}

static const char *fill_scalars(void *context, const char *const *args) {
    (void)args;
    Heads *h = context;
    for (int i = 0; i < h->items->at.n; i++)
        if (h->items->at.at[i]->outer) point_value(&h->p, h->items->at.at[i]);
    return "";
}

static const char *fill_q(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    p.text[last_row(h)] = args[0];
    set_index(h, &p, OF_DEPTH, args[1]);
    return load(h, &p, h->at_q);
}

static const char *fill_key(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    set_index(h, &p, OF_DEPTH, args[0]);
    set_index(h, &p, OF_KEYS, args[1]);
    return load(h, &p, h->at_key);
}

static const char *fill_key_square(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    set_index(h, &p, OF_DEPTH, args[0]);
    set_index(h, &p, OF_KEYS, args[1]);
    p.lanes = h->square;
    p.vector = h->symbol[OF_DEPTH][0];
    p.limit = limit_of(h, size_const(h->w->table, h->depth), h->square);
    return load(h, &p, h->at_key);
}

static const char *fill_value(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    set_index(h, &p, OF_KEYS, args[0]);
    set_index(h, &p, OF_VALUE, args[1]);
    p.lanes = h->lanes;
    p.vector = h->symbol[OF_VALUE][0];
    p.limit = limit_of(h, size_const(h->w->table, h->width), (int64_t)h->vu * h->lanes);
    return load(h, &p, h->at_value);
}

static const char *fill_value_one(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    set_index(h, &p, OF_KEYS, args[0]);
    set_index(h, &p, OF_VALUE, args[1]);
    return load(h, &p, h->at_value);
}

/* Those of the needed maps that have this level, at the point. */
static void write_maps(Heads *h, Point *p, const bool *needed, Level level) {
    for (int i = 0; i < h->k->nodes.n; i++) {
        Item *item = items_find(h->items, h->k->nodes.at[i]);
        if (needed[i] && item->level == level && !by_template(h, item->n)) point_value(p, item);
    }
}

static const char *fill_row_values(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    p.text[last_row(h)] = args[0];
    write_maps(h, &p, h->for_logits, LEVEL_ROW);
    write_maps(h, &p, h->for_weights, LEVEL_ROW);
    return "";
}

static Point at_scores(Heads *h, const char *row, const char *key) {
    Point p = point_inside(&h->p);
    p.text[last_row(h)] = row;
    set_index(h, &p, OF_KEYS, key);
    p.lanes = h->map_lanes;
    p.vector = h->map_lanes > 1 ? h->symbol[OF_KEYS][0] : -1;
    p.limit = h->map_lanes > 1 ? limit_of(h, h->size_n, h->kb) : NULL;
    return p;
}

/* Value of an item at the point of at_scores. */
static const char *score_value(Heads *h, const Item *item) {
    return item->vector || h->map_lanes == 1 ? item->value : arena_printf(h->w->arena, "splat(%s, %d)", item->value, h->lanes);
}

static void set_value(Heads *h, Node *n, const char *value, bool vector) {
    Item *item = items_find(h->items, n);
    item->value = arena_printf(h->w->arena, "v%d", ++h->w->names);
    item->vector = vector;
    text_line(&h->w->body, "let %s = %s", item->value, value);
}

static const char *fill_logits(void *context, const char *const *args) {
    Heads *h = context;
    Point p = at_scores(h, args[0], args[1]);
    set_value(h, h->a->scores, args[2], h->map_lanes > 1);
    write_maps(h, &p, h->for_logits, LEVEL_A);
    return score_value(h, items_find(h->items, h->a->logits));
}

/* Row gates wait for the end: here they hand on what is behind them. */
static const char *fill_weights(void *context, const char *const *args) {
    Heads *h = context;
    Point p = at_scores(h, args[0], args[1]);
    set_value(h, h->a->quotient, args[2], h->map_lanes > 1);
    for (int i = 0; i < h->k->nodes.n; i++) {
        Item *item = items_find(h->items, h->k->nodes.at[i]);
        bool between = item->level == LEVEL_A && item->n != h->a->quotient && leads_to(h, item->n, h->a->quotient);
        if (between && is_row_gate(h, item->n)) {
            const Item *inner = items_find(h->items, plan_base(item->n->in[1]));
            item->value = inner->value;
            item->vector = inner->vector;
        } else if (h->for_weights[i] && item->level == LEVEL_A) {
            point_value(&p, item);
        }
    }
    return score_value(h, items_find(h->items, h->a->weights));
}

static const char *fill_results(void *context, const char *const *args) {
    Heads *h = context;
    Point p = point_inside(&h->p);
    p.text[last_row(h)] = args[0];
    set_value(h, h->a->max, args[1], false);
    set_value(h, h->a->sum, args[2], false);
    write_maps(h, &p, h->for_results, LEVEL_ROW);
    return "";
}

static const char *fill_epilogue(void *context, const char *const *args) {
    Heads *h = context;
    Work *w = h->w;
    Point p = point_inside(&h->p);
    p.text[last_row(h)] = args[0];
    set_index(h, &p, OF_VALUE, args[1]);
    p.lanes = h->result_lanes;
    p.vector = p.lanes > 1 ? h->symbol[OF_VALUE][0] : -1;
    p.limit = p.lanes > 1 ? limit_of(h, size_const(w->table, h->width), p.lanes) : NULL;
    const char *value = args[2];
    for (Node *g = h->a->weights; g != h->a->quotient; g = plan_base(g->in[inner_operand(h, g)]))
        if (is_row_gate(h, g))
            value = arena_printf(w->arena, "select(%s, %s, f32(0))", items_find(h->items, plan_base(g->in[0]))->value, value);
    set_value(h, h->k->anchor, value, p.lanes > 1);
    for (int i = 0; i < h->items->at.n; i++) {
        Item *item = h->items->at.at[i];
        if (item->level == LEVEL_FULL && item->n != h->k->anchor) point_value(&p, item);
    }
    for (int i = 0; i < h->k->writes.n; i++)
        point_store(&p, h->stores.at[i], items_find(h->items, h->k->writes.at[i])->value);
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
    {NULL, 0, NULL},
};

/* ---- choices */

static int64_t tiles(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}

/* The tile of the least cost for both products, which share their rows. */
static void choose_tile(Heads *h, int64_t m, int64_t n) {
    const TileTarget *t = h->w->machine;
    int registers = t->registers - (t->registers > 16);
    double best = 1e30;
    for (int mr = 1; mr <= TILE_ROWS_MOST; mr++)
        for (int nv = 1; nv <= 4; nv++)
            for (int vu = 1; vu <= 4; vu++) {
                int wider = nv > vu ? nv : vu;
                if (mr * wider + wider + 1 > registers) continue;
                double scores = (double)(tiles(n, (int64_t)nv * h->lanes) * h->depth) * contract_step_cost(t, mr, nv);
                double values = (double)(tiles(h->width, (int64_t)vu * h->lanes) * n) * contract_step_cost(t, mr, vu);
                double cost = (double)tiles(m, mr) * (scores + values);
                if (cost >= best - 1e-9) continue;
                best = cost;
                h->mr = mr;
                h->nv = nv;
                h->vu = vu;
            }
}

static void choose_blocks(Heads *h, int64_t m) {
    int64_t low, high, beside = 1, panel = (int64_t)h->nv * h->lanes;
    size_range(h->size_n, &low, &high);
    h->kb = high <= KEYS_WHOLE ? tiles(high, panel) * panel : KEYS_LONG / panel * panel;
    for (int g = OF_BATCH; g <= OF_ROWS; g++)
        for (int i = 0; i < h->n[g]; i++)
            if (h->symbol[g][i] != last_row(h)) beside *= contract_estimate(h->sp->symbol[h->symbol[g][i]].n, 1);
    int64_t wish = beside * tiles(m, ROWS_LONG) >= BLOCKS_ENOUGH ? ROWS_LONG : ROWS_LONG / 2;
    h->mb = tiles(m, h->mr) * h->mr;
    if (h->mb > wish + wish / 2) h->mb = tiles(tiles(m, tiles(h->mb, wish)), h->mr) * h->mr;
}

/* Does an access divide, or load an index, along one of the set's symbols? Or has the set several? */
static bool is_bent(const Heads *h, const Access *x, Set g) {
    for (int i = 0; i < h->n[g]; i++)
        if (access_bends(h->sp, x, h->symbol[g][i])) return true;
    return h->n[g] != 1;
}

static bool maps_bend(const Heads *h, Level level, Set g) {
    if (h->n[g] != 1) return true;
    for (int i = 0; i < h->items->at.n; i++) {
        const Item *item = h->items->at.at[i];
        if (item->level == level && !by_template(h, item->n) && item_uses(h->sp, item, h->symbol[g][0], true)) return true;
    }
    for (int i = 0; i < h->stores.n && level == LEVEL_FULL; i++)
        if (access_bends(h->sp, h->stores.at[i], h->symbol[g][0])) return true;
    return false;
}

static void set_parameters(Heads *h) {
    Work *w = h->w;
    Template *t = h->t;
    int64_t whole, low, high;
    bool squares = !is_bent(h, h->at_key, OF_DEPTH) && contract_contiguous(h->at_key, h->symbol[OF_DEPTH][0]) &&
                   h->at_key->base->type.dtype == DT_F32 && h->n[OF_KEYS] == 1;
    h->square = h->lanes < SQUARE_SIDE ? h->lanes : SQUARE_SIDE;
    h->map_lanes = maps_bend(h, LEVEL_A, OF_KEYS) ? 1 : h->lanes;
    h->result_lanes = maps_bend(h, LEVEL_FULL, OF_VALUE) ? 1 : h->lanes;
    size_range(h->size_n, &low, &high);
    template_number(t, "D", h->depth);
    template_number(t, "DEPTH", squares ? tiles(h->depth, h->square) * h->square : h->depth);
    template_number(t, "DV", h->width);
    template_number(t, "VW", tiles(h->width, (int64_t)h->vu * h->lanes) * h->vu * h->lanes);
    template_set(t, "N", work_size(w, h->size_n));
    template_set(t, "M", work_size(w, h->size_m));
    template_number(t, "L", h->lanes);
    template_number(t, "MR", h->mr);
    template_number(t, "MB", h->mb);
    template_number(t, "KB", h->kb);
    template_number(t, "W", (int64_t)h->nv * h->lanes);
    template_number(t, "NV", h->nv);
    template_number(t, "VU", h->vu);
    template_number(t, "SQ", h->square);
    template_number(t, "EL", h->result_lanes);
    template_number(t, "one_block", high <= h->kb);
    template_number(t, "rows_divide", size_is_const(h->size_m, &whole) && whole % h->mb == 0);
    template_number(t, "squares", squares);
    template_number(t, "value_lanes", !is_bent(h, h->at_value, OF_VALUE) && h->n[OF_KEYS] <= 1);
    template_number(t, "scalar_maps", h->map_lanes == 1);
    template_number(t, "scalar_results", h->result_lanes == 1);
    template_number(t, "gated", h->gated);
}

void schedule_attention(Work *w, KernelCode *code) {
    Heads h = {.w = w, .k = w->k, .a = w->k->attention, .lanes = w->machine->lanes};
    make_accesses(&h);
    sort_symbols(&h);
    find_needed(&h);
    int64_t m = contract_estimate(h.size_m, 512), n = contract_estimate(h.size_n, KEYS_LONG);
    choose_tile(&h, m, n < KEYS_LONG ? n : KEYS_LONG);
    choose_blocks(&h, m);
    h.p = point_new(w, h.items, 1, -1);
    h.t = template_new(&w->body, "attention.tile", HOLES, &h);
    set_parameters(&h);
    template_run(h.t, "attention");
    work_finish(w, code);
}
