/* contract_axes.c -- the letters of a contract as symbols of a Space: merged, in groups, each group in its order. */
#include "codegen/contract.h"

#include <math.h>
#include <string.h>

#define STORE_APART 1.5 /* cycles to store an element by itself */
#define DOT_SUM     8.0 /* .. to add up the lanes of one, .. */
#define DOT_STEP    2.0 /* .. and for each of its vectors */
#define TILE_SUM    4.0 /* .. in a tile of them, stored apart, .. */
#define TILE_STEP   0.6
#define COPY_VECTOR 2.0 /* .. to bring a vector of a row to where its elements along k lie side by side, .. */
#define COPY_ONE    0.2 /* .. and for each of them */
#define PACK_TURNED 0.5 /* .. to pack one through a transposition */

static Affine *letter_index(const Contract *c, const char *letters, char x) {
    const char *place = strchr(letters, x);
    return place ? space_axis(c->sp, (int)(place - letters)) : NULL;
}

typedef struct Index {
    Affine *at[MAX_RANK];
    bool known;
} Index;

/* The index of each node of the prologue behind operand x, which has the index given[]; by place among the kernel's nodes. */
static void prologue_index(Contract *c, Node *x, Affine *const *given, Index *of) {
    Affine *index[MAX_RANK];
    x = access_behind(c->sp, x, given, index);
    for (int i = 0; i < c->k->nodes.n; i++) {
        if (c->k->nodes.at[i] != x || c->k->levels.at[i] != LEVEL_B || of[i].known) continue;
        of[i].known = true;
        memcpy(of[i].at, index, sizeof index);
        for (int j = 0; j < x->n_in; j++) prologue_index(c, x->in[j], index, of);
    }
}

/* The last axis of the space as slices and places in them: c->part, and index[] of what has one value for an element of a slice. Row-major
 * index of such a value. */
static Affine *part_index(Contract *c, const Type *whole, Affine *const *full, Size *dim, Affine **index) {
    Affine *cut[MAX_RANK + 1], *linear = affine_const(c->sp, size_const(c->w->table, 0));
    int last = c->rank - 1;
    Size to[MAX_RANK + 1], stride = size_const(c->w->table, 1);
    for (int i = 0; i < last; i++) to[i] = dim[i] = whole->dim[i];
    to[last] = size_const(c->w->table, c->k->parts);
    to[c->rank] = dim[last] = size_const(c->w->table, size_value(whole->dim[last]) / c->k->parts);
    space_reshape(c->sp, c->rank, whole->dim, full, c->rank + 1, to, cut);
    c->part = affine_copy(c->sp, cut[last]);
    space_keep(c->sp, c->part);
    for (int i = 0; i <= last; i++) index[i] = cut[i < last ? i : c->rank];
    for (int i = last; i >= 0; i--) {
        affine_add_scaled(linear, index[i], stride);
        stride = size_mul(stride, dim[i]);
    }
    return linear;
}

static void set_parts(Contract *c, Item *item) {
    for (int k = 0; k < item->n->n_in; k++) {
        Operand *o = &item->in[k];
        if (o->item && o->item->level == LEVEL_FULL) o->part = plan_part(item->n->in[k], c->k->parts);
    }
}

static void make_accesses(Contract *c, const char *axes, const char *la, const char *lb) {
    const Kernel *k = c->k;
    do {
        Affine *index[MAX_RANK], *full[MAX_RANK];
        space_begin(c->sp);
        c->items = items_new(c->w, c->sp);
        c->stores.n = 0;
        for (int i = 0; la[i]; i++) index[i] = letter_index(c, axes, la[i]);
        c->at_a = access_follow(c->sp, c->a, index);
        for (int i = 0; lb[i]; i++) index[i] = letter_index(c, axes, lb[i]);
        c->at_b = access_follow(c->sp, c->b, index);
        Index *before = NEW_ARRAY(c->w->arena, Index, k->nodes.n);
        prologue_index(c, c->b, index, before);
        int result[MAX_RANK];
        for (int i = 0; i < c->rank; i++) full[i] = space_axis(c->sp, result[i] = i);
        Affine *linear = space_linear(c->sp, c->rank, result), *part[MAX_RANK], *part_linear = NULL;
        Size part_dim[MAX_RANK];
        if (k->parts) part_linear = part_index(c, &k->anchor->type, full, part_dim, part);
        for (int i = 0; i < k->nodes.n; i++) {
            Node *n = k->nodes.at[i];
            if (n == k->anchor) {
                Item *item = NEW(c->w->arena, Item);
                item->n = n;
                item->level = LEVEL_FULL;
                item->in = NEW_ARRAY(c->w->arena, Operand, 2);
                PUSH(c->w->arena, c->items->at, item);
                continue;
            }
            if (k->levels.at[i] == LEVEL_A) bug("kernel %d: a prologue of operand 0", k->index);
            if (k->levels.at[i] == LEVEL_B) {
                items_add(c->items, c->w, n, LEVEL_B, before[i].at, linear);
                c->prologue = true;
                continue;
            }
            if (k->levels.at[i] == LEVEL_FRAME) continue;
            if (k->levels.at[i] == LEVEL_PART) {
                space_reshape(c->sp, c->rank, part_dim, part, n->type.rank, n->type.dim, index);
                set_parts(c, items_add(c->items, c->w, n, LEVEL_PART, index, part_linear));
                continue;
            }
            bool scalar = k->levels.at[i] == LEVEL_SCALAR;
            space_reshape(c->sp, scalar ? 0 : c->rank, k->anchor->type.dim, full, n->type.rank, n->type.dim, index);
            Item *item = items_add(c->items, c->w, n, k->levels.at[i], index,
                                   scalar ? affine_const(c->sp, size_const(c->w->table, 0)) : linear);
            item->outer = scalar;
        }
        for (int i = 0; i < k->writes.n; i++) {
            Node *n = k->writes.at[i];
            bool framed = n->op == OP_PAD && !items_find(c->items, n);
            const Item *item = items_find(c->items, n);
            Access *to = item && item->level == LEVEL_PART ? access_linear(c->sp, n, part_linear) : framed ? frame_access(c->sp, n, c->rank, k->anchor->type.dim, full) : access_linear(c->sp, n, linear);
            PUSH(c->w->arena, c->stores, to);
        }
    } while (c->sp->again);
}

Size contract_stride(const Access *x, int symbol) {
    return symbol < 0 ? NULL : x->at.coef[symbol];
}

bool contract_contiguous(const Access *x, int symbol) {
    Size s = contract_stride(x, symbol);
    return s && size_is(s, 1);
}

/* How good vectors of `lanes` along symbol s are, from 0 to 1: full, contiguous in b, contiguous where they are stored. */
static double lane_value(const Contract *c, int s, int lanes) {
    int64_t low, high;
    double value = 1;
    size_range(c->sp->symbol[s].n, &low, &high);
    if (high < 8 * lanes) value = (double)high / (double)((high + lanes - 1) / lanes * lanes);
    if (!contract_contiguous(c->at_b, s)) value *= 0.8;
    for (int i = 0; i < c->stores.n; i++)
        if (!contract_contiguous(c->stores.at[i], s)) value *= i ? 1 : 0.95;
    return value;
}

/* Moves the symbol at `place` of a group to its end. */
static void make_last(Contract *c, Group g, int place) {
    int s = c->symbol[g][place];
    memmove(&c->symbol[g][place], &c->symbol[g][place + 1], sizeof(int) * (size_t)(c->n[g] - 1 - place));
    c->symbol[g][c->n[g] - 1] = s;
}

/* The symbols of each group; last in n: the best one for vectors; last in m: the last one, unless it is too short for a tile.
 */
static void sort_symbols(Contract *c, int lanes) {
    const Space *sp = c->sp;
    memset(c->n, 0, sizeof c->n);
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone || (c->part && c->part->coef[s])) continue;
        int g = c->class[sp->symbol[s].axis];
        c->symbol[g][c->n[g]++] = s;
    }
    int best = c->n[GROUP_N] - 1, longest = c->n[GROUP_M] - 1;
    for (int i = best - 1; i >= 0; i--)
        if (lane_value(c, c->symbol[GROUP_N][i], lanes) > lane_value(c, c->symbol[GROUP_N][best], lanes) + 1e-9) best = i;
    if (best >= 0) make_last(c, GROUP_N, best);
    for (int i = longest - 1; i >= 0; i--) {
        int64_t n, most;
        if (!size_is_const(sp->symbol[c->symbol[GROUP_M][longest]].n, &most) || most >= SMALL) break;
        if (!size_is_const(sp->symbol[c->symbol[GROUP_M][i]].n, &n) || n > most) longest = i;
    }
    if (longest >= 0) make_last(c, GROUP_M, longest);
    Size one = size_const(c->w->table, 1);
    c->sm = c->n[GROUP_M] ? c->symbol[GROUP_M][c->n[GROUP_M] - 1] : -1;
    c->sn = c->n[GROUP_N] ? c->symbol[GROUP_N][c->n[GROUP_N] - 1] : -1;
    c->sk = c->n[GROUP_K] ? c->symbol[GROUP_K][c->n[GROUP_K] - 1] : -1;
    c->size_m = c->sm < 0 ? one : sp->symbol[c->sm].n;
    c->size_n = c->sn < 0 ? one : sp->symbol[c->sn].n;
    c->size_k = c->sk < 0 ? one : sp->symbol[c->sk].n;
    c->mq = c->n[GROUP_M] - 1;
    c->nq = c->n[GROUP_N] - 1;
    c->kq = c->n[GROUP_K] - 1;
    c->k_inner = 1;
    c->run[0] = c->sk;
    c->n_runs = 1;
}

/* Letters of the result, then those summed over in the order of b; groups of the axes. swap: the operands change places. */
static void set_axes(Contract *c, Node *anchor, bool swap, char *axes, const char **la, const char **lb) {
    const char *a = anchor->attrs.labels[swap], *b = anchor->attrs.labels[!swap], *out = anchor->attrs.labels[2];
    Size dim[MAX_SYMBOLS];
    c->a = anchor->in[swap];
    c->b = anchor->in[!swap];
    c->rank = anchor->type.rank;
    int n = 0;
    for (; n < c->rank; n++) {
        axes[n] = out[n];
        dim[n] = anchor->type.dim[n];
        bool in_a = strchr(a, out[n]) != NULL, in_b = strchr(b, out[n]) != NULL;
        c->class[n] = in_a && in_b ? GROUP_BATCH : in_a ? GROUP_M : GROUP_N;
    }
    for (int i = 0; b[i]; i++) {
        if (strchr(out, b[i])) continue;
        axes[n] = b[i];
        dim[n] = c->b->type.dim[i];
        c->class[n++] = GROUP_K;
    }
    axes[n] = 0;
    c->sp = space_new(c->w->arena, c->w->table, n, dim);
    *la = a;
    *lb = b;
}

/* Does an address of the product divide or load an index? */
static bool indirect(const Contract *c) {
    for (int s = 0; s < c->sp->n; s++)
        if (c->sp->symbol[s].axis < 0 && (c->at_a->at.coef[s] || c->at_b->at.coef[s])) return true;
    for (int i = 0; i < c->items->at.n; i++)
        for (int s = 0; s < c->sp->n && c->items->at.at[i]->level == LEVEL_B; s++)
            if (item_uses(c->sp, c->items->at.at[i], s, true)) return true;
    return false;
}

bool contract_epilogue_indirect(const Contract *c) {
    for (int i = 0; c->sn >= 0 && i < c->items->at.n; i++)
        if (c->items->at.at[i]->n != c->k->anchor && c->items->at.at[i]->level != LEVEL_B &&
            item_uses(c->sp, c->items->at.at[i], c->sn, true))
            return true;
    return false;
}

/* Of an axis that is looked at in part, the symbol is as long as that part: the one of scores if it did not merge, the one that
 * is summed over in any case. */
static void limit_symbol(Contract *c, const char *axes, const char *la, const char *lb) {
    const Limit *limit = &c->k->limit;
    if (!limit->seen) return;
    int axis = limit->axis;
    for (int i = 0; axis < 0 && la[i]; i++)
        if (strchr(lb, la[i]) && c->class[strchr(axes, la[i]) - axes] == GROUP_K) axis = (int)(strchr(axes, la[i]) - axes);
    Size whole = limit->axis < 0 ? c->sp->dim[axis] : c->k->anchor->type.dim[axis];
    for (int s = 0; s < c->sp->n; s++) {
        Symbol *symbol = &c->sp->symbol[s];
        if (symbol->gone || symbol->axis != axis || symbol->n != whole) continue;
        symbol->n = limit->seen;
        return;
    }
    if (limit->axis < 0) bug("kernel %d: the axis that is summed over in part is not one symbol", c->k->index);
}

static void start_as(Contract *c, Work *w, const Kernel *k, bool swap, bool apart) {
    char axes[2 * MAX_RANK + 1];
    const char *la, *lb;
    *c = (Contract){.w = w, .k = k, .swap = swap};
    set_axes(c, k->anchor, swap, axes, &la, &lb);
    make_accesses(c, axes, la, lb);
    int each[MAX_SYMBOLS];
    for (int i = 0; i < MAX_SYMBOLS; i++) each[i] = i;
    space_merge(c->sp, apart ? each : c->class, 0);
    limit_symbol(c, axes, la, lb);
    c->type = dtype_arithmetic(k->anchor->type.dtype);
    c->type_name = dtype_name(c->type);
    c->lanes = w->machine->lanes / (dtype_bytes(c->type) == 8 ? 2 : 1);
    sort_symbols(c, c->lanes);
    for (int s = 0; s < c->sp->n && c->part; s++)
        if (c->part->coef[s]) c->parts[c->n_parts++] = s;
    if (indirect(c)) c->lanes = 1;
}

/* Cycles for an element of the result, about: multiplications, of vectors that may not be full; stores, one by one where they are apart in
 * memory; its share of packing b, which all rows share, and of a, where that is worth it, which some panels share. Few rows may be dot
 * products. 512 stands for what is known at run time only. */
static double lane_cost(const Contract *c) {
    int64_t n = contract_estimate(c->size_n, 512);
    double k = 1, rows = 1, full = n >= 8 * c->lanes ? 1 : (double)n / (double)((n + c->lanes - 1) / c->lanes * c->lanes);
    double vector = c->lanes * full, rate = n <= c->lanes ? 1.2 : 2; /* multiplications a cycle: a tile of one vector waits for loads */
    for (int i = 0; i < c->n[GROUP_K]; i++) k *= (double)contract_estimate(c->sp->symbol[c->symbol[GROUP_K][i]].n, 512);
    for (int i = 0; i < c->n[GROUP_M]; i++) rows *= (double)contract_estimate(c->sp->symbol[c->symbol[GROUP_M][i]].n, 512);
    if (rows <= SMALL && c->sk >= 0 && contract_contiguous(c->at_b, c->sk)) {
        if (c->w->device || c->w->small) return DOT_STEP * ceil(k / c->lanes) + DOT_SUM;
        double copied = contract_contiguous(c->at_a, c->sk) ? 0 : (COPY_VECTOR / c->lanes + COPY_ONE) * k / (double)n;
        return TILE_STEP * ceil(k / c->lanes) + TILE_SUM + copied;
    }
    double cost = k / (rate * vector);
    for (int i = 0; i < c->stores.n; i++) cost += contract_contiguous(c->stores.at[i], c->sn) ? 1 / vector : STORE_APART;
    if (c->sk < 0 || contract_can_pack(c)) return cost;
    double shared = (double)(n < PANELS * c->lanes ? n : PANELS * c->lanes); /* columns that share a packed copy of a */
    if (!c->w->device && rows > SMALL && contract_is_far_apart(c)) cost += k / shared * 2.0 / c->lanes;
    return cost + k / rows * (contract_contiguous(c->at_b, c->sn) ? 2.0 / c->lanes : PACK_TURNED);
}

/* Of equals, the result's last axis along the lanes. A prologue stays the one of b. */
void contract_start(Contract *c, Work *w, const Kernel *k) {
    double value[2];
    int last[2];
    for (int i = 0; i < k->nodes.n; i++) {
        if (k->levels.at[i] != LEVEL_B) continue;
        contract_start_as(c, w, k, false);
        return;
    }
    if (k->parts) { /* slices are of columns */
        contract_start_as(c, w, k, false);
        if (c->class[c->rank - 1] != GROUP_N) contract_start_as(c, w, k, true);
        return;
    }
    for (int swap = 0; swap < 2; swap++) {
        contract_start_as(c, w, k, swap);
        value[swap] = c->sn < 0 ? 0 : c->sm < 0 || c->lanes == 1 ? lane_value(c, c->sn, w->machine->lanes) : 1 / lane_cost(c);
        last[swap] = c->sn < 0 ? -1 : c->sp->symbol[c->sn].axis;
    }
    bool swap = value[1] > value[0] + 1e-9 || (value[1] > value[0] - 1e-9 && last[1] > last[0]);
    if (!swap) contract_start_as(c, w, k, false);
}

void contract_start_as(Contract *c, Work *w, const Kernel *k, bool swap) {
    start_as(c, w, k, swap, false);
}

void contract_start_apart(Contract *c, Work *w, const Kernel *k) {
    start_as(c, w, k, false, true);
}
