/* attention.c -- see attention.h. */
#include "codegen/attention.h"

#include <string.h>

enum { SQUARE_SIDE = 8 }; /* of squares that packing transposes, at most (16: 8 ms of LLVM's time) */

/* ---- axes */

void heads_begin(Heads *h, Work *w, const Node *scores, int triangle, Size reach) {
    const char *out = scores->attrs.labels[2], *a = scores->attrs.labels[0], *b = scores->attrs.labels[1];
    int last = scores->type.rank - 1;
    const char *keys = strchr(b, out[last]) ? b : a;
    *h = (Heads){.w = w, .k = w->k, .scores = scores, .triangle = triangle, .reach = reach, .lanes = w->machine->lanes};
    h->square = h->lanes < SQUARE_SIDE ? h->lanes : SQUARE_SIDE;
    h->rank = h->axes = scores->type.rank;
    for (int i = 0; i < SETS; i++) h->length[i] = 1;
    for (int i = 0; i < h->rank; i++) {
        h->dim[i] = scores->type.dim[i];
        h->class[i] = i == last ? OF_KEYS : strchr(keys, out[i]) ? OF_BATCH : OF_ROWS;
    }
    h->given = NEW_ARRAY(w->arena, bool, w->k->nodes.n);
}

void heads_letters(Heads *h, const char *of, const char *letters, const Type *type, Set own, int *axis) {
    for (int i = 0; letters[i]; i++) {
        const char *at = strchr(of, letters[i]);
        axis[i] = at ? (int)(at - of) : h->axes;
        for (int a = h->rank; a < h->axes && !at; a++)
            if (h->class[a] == own && h->letter[a] == letters[i]) axis[i] = a;
        if (axis[i] < h->axes) continue;
        h->length[own] *= size_value(type->dim[i]);
        h->dim[h->axes] = type->dim[i];
        h->letter[h->axes] = letters[i];
        h->class[h->axes++] = own;
    }
}

void heads_space(Heads *h) {
    h->sp = space_new(h->w->arena, h->w->table, h->axes, h->dim);
}

Access *heads_follow(Heads *h, Node *x, const int *axis) {
    Affine *index[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) index[i] = space_axis(h->sp, axis[i]);
    return access_follow(h->sp, x, index);
}

void heads_items(Heads *h, const int *result_axis) {
    const Kernel *k = h->k;
    Space *sp = h->sp;
    const Type *scores = &h->scores->type, *y = &k->anchor->type;
    Affine *full[MAX_RANK], *result[MAX_RANK], *index[MAX_RANK];
    int axes[MAX_RANK];
    h->items = items_new(h->w, sp);
    h->stores.n = 0;
    for (int i = 0; i < h->rank; i++) full[i] = space_axis(sp, axes[i] = i);
    for (int i = 0; i < y->rank; i++) result[i] = space_axis(sp, result_axis[i]);
    Affine *of_scores = space_linear(sp, h->rank, axes), *of_rows = space_linear(sp, h->rank - 1, axes);
    Affine *of_result = space_linear(sp, y->rank, result_axis), *zero = affine_const(sp, size_const(h->w->table, 0));
    for (int i = 0; i < k->nodes.n; i++) {
        Node *n = k->nodes.at[i];
        Level level = k->levels.at[i];
        if (h->given[i]) {
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
}

void heads_store(Heads *h, Node *n, int rank, const int *axis) {
    int rows[MAX_RANK];
    for (int i = 0; i < h->rank; i++) rows[i] = i;
    bool row = h->k->levels.at[heads_place(h, n)] == LEVEL_ROW;
    Affine *at = row ? space_linear(h->sp, h->rank - 1, rows) : space_linear(h->sp, rank, axis);
    PUSH(h->w->arena, h->stores, access_linear(h->sp, n, at));
}

/* The last symbol of the rows is the longest, as far as that is known. */
void heads_sort(Heads *h) {
    Space *sp = h->sp;
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
    Size all = h->scores->type.dim[h->rank - 1];
    Symbol *keys = &sp->symbol[h->symbol[OF_KEYS][0]];
    if (h->k->limit.seen && h->n[OF_KEYS] == 1 && keys->n == all) keys->n = h->k->limit.seen;
    h->size_n = h->n[OF_KEYS] == 1 ? keys->n : all;
}

/* ---- questions */

int64_t heads_tiles(int64_t n, int64_t of) {
    return (n + of - 1) / of;
}

int heads_place(const Heads *h, const Node *n) {
    for (int i = 0; i < h->k->nodes.n; i++)
        if (h->k->nodes.at[i] == n) return i;
    return -1;
}

int heads_last_row(const Heads *h) {
    return h->symbol[OF_ROWS][h->n[OF_ROWS] - 1];
}

void heads_need(const Heads *h, bool *set, Node *n) {
    int i = heads_place(h, n);
    if (i < 0 || set[i] || h->k->levels.at[i] == LEVEL_SCALAR || h->given[i]) return;
    set[i] = true;
    for (int k = 0; k < n->n_in; k++) heads_need(h, set, plan_base(n->in[k]));
}

bool heads_bent(const Heads *h, const Access *x, Set g) {
    for (int i = 0; i < h->n[g]; i++)
        if (access_bends(h->sp, x, h->symbol[g][i])) return true;
    return h->n[g] != 1;
}

bool heads_maps_bend(const Heads *h, Level level, Set g) {
    if (h->n[g] != 1) return true;
    for (int i = 0; i < h->items->at.n; i++)
        if (h->items->at.at[i]->level == level && item_uses(h->sp, h->items->at.at[i], h->symbol[g][0], true)) return true;
    for (int i = 0; i < h->stores.n && level == LEVEL_FULL; i++)
        if (access_bends(h->sp, h->stores.at[i], h->symbol[g][0])) return true;
    return false;
}

bool heads_transposed(const Heads *h, const Access *x, Set g) {
    return !heads_bent(h, x, g) && contract_contiguous(x, h->symbol[g][0]) && x->base->type.dtype == DT_F32 && h->n[OF_KEYS] == 1;
}

double heads_columns_cost(const TileTarget *t, int mr, int64_t columns, int *vectors) {
    int registers = t->registers - (t->registers > 16);
    double best = 1e30;
    for (int nv = 1; nv <= 4; nv++) {
        if (mr * nv + nv + 1 > registers) break;
        double cost = (double)heads_tiles(columns, (int64_t)nv * t->lanes) * contract_step_cost(t, mr, nv);
        if (cost >= best - 1e-9) continue;
        best = cost;
        *vectors = nv;
    }
    return best;
}

/* ---- text */

const char *heads_limit(Heads *h, Size n, int64_t lanes) {
    int64_t whole;
    return size_is_const(n, &whole) && whole % lanes == 0 ? NULL : work_size(h->w, n);
}

void heads_index(Heads *h, Point *p, Set g, const char *text) {
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

const char *heads_element(Heads *h, Access *x, const char *row, const char *key, Set g, const char *column, int lanes,
                          int64_t divides) {
    Point p = point_inside(&h->p);
    if (row) p.text[heads_last_row(h)] = row;
    if (key) heads_index(h, &p, OF_KEYS, key);
    heads_index(h, &p, g, column);
    if (lanes > 1) {
        p.lanes = lanes;
        p.vector = h->symbol[g][0];
        p.limit = heads_limit(h, size_const(h->w->table, h->length[g]), divides);
    }
    const char *place = point_place(&p, x, "");
    return x->base->type.dtype == DT_F32 ? place : arena_printf(h->w->arena, "f32(%s)", place);
}

const char *heads_seen(Heads *h, const char *last) {
    int found = -1;
    if (h->triangle < 0 || h->triangle == h->rank - 1) return NULL;
    for (int s = 0; s < h->sp->n; s++) {
        if (h->sp->symbol[s].axis != h->triangle || h->sp->symbol[s].gone) continue;
        if (found >= 0) return NULL;
        found = s;
    }
    if (found >= 0 && h->sp->symbol[found].n != h->scores->type.dim[h->triangle]) return NULL;
    const char *row = found < 0 ? "0" : found == heads_last_row(h) ? last : h->p.text[found];
    return arena_printf(h->w->arena, "%s + %s", row, work_size(h->w, h->reach));
}

void heads_scalars(Heads *h) {
    for (int i = 0; i < h->items->at.n; i++)
        if (h->items->at.at[i]->outer) point_value(&h->p, h->items->at.at[i]);
}

void heads_maps(Heads *h, Point *p, const bool *needed, Level level) {
    for (int i = 0; i < h->k->nodes.n; i++) {
        Item *item = items_find(h->items, h->k->nodes.at[i]);
        if (needed[i] && !h->given[i] && item->level == level) point_value(p, item);
    }
}

Point heads_at_scores(Heads *h, const char *row, const char *key, int64_t divides) {
    Point p = point_inside(&h->p);
    p.text[heads_last_row(h)] = row;
    heads_index(h, &p, OF_KEYS, key);
    p.lanes = h->map_lanes;
    p.vector = h->map_lanes > 1 ? h->symbol[OF_KEYS][0] : -1;
    p.limit = h->map_lanes > 1 ? heads_limit(h, h->size_n, divides) : NULL;
    return p;
}

void heads_set(Heads *h, Node *n, const char *value, bool vector) {
    Item *item = items_find(h->items, n);
    item->value = arena_printf(h->w->arena, "v%d", ++h->w->names);
    item->vector = vector;
    item->unrounded = dtype_is_narrow(n->type.dtype);
    text_line(&h->w->body, "let %s = %s", item->value, value);
}

const char *heads_score(Heads *h, Node *n) {
    const Item *item = items_find(h->items, n);
    return item->vector || h->map_lanes == 1 ? item->value : arena_printf(h->w->arena, "splat(%s, %d)", item->value, h->lanes);
}
