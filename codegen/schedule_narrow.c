/* schedule_narrow.c -- few rows by a weight in fewer bits than its values: what takes the time is reading it.
 *
 * Memory is read fastest as one stream, so columns go one after the other, as they lie: k runs along the memory of both operands, and
 * a column's sums have accumulators enough to hide the latency of multiplications. Values are made in registers. Where a weight is
 * codes times a scale that a group of elements shares, the group's codes are added up first and then multiplied by it, once:
 *
 *   s = sum over groups (scale * (sum over the group (a * code)))
 *
 * The symbols of k thus are outer ones, of which each place has a scale, and inner ones, which the scale does not depend on. */
#include "codegen/contract.h"

enum {
    SUMS_MOST = 4,   /* accumulators of a column */
    INNER_MOST = 2   /* symbols inside of a group: halves of bytes, and bytes */
};

static bool item_depends(const Contract *c, const Item *item, int symbol);

static bool operand_depends(const Contract *c, Operand o, int symbol) {
    return o.item ? item_depends(c, o.item, symbol) : affine_uses(c->sp, &o.access->at, symbol);
}

static bool item_depends(const Contract *c, const Item *item, int symbol) {
    if (item_uses(c->sp, item, symbol, false)) return true;
    for (int i = 0; i < item->n->n_in; i++)
        if (item->in && item->in[i].item && item_depends(c, item->in[i].item, symbol)) return true;
    return false;
}

/* Symbols of k, from the last one on, that operand o does not depend on. */
static int inner_of(const Contract *c, Operand o) {
    int n = 0, last = c->n[GROUP_K] - 1;
    while (n <= last && !operand_depends(c, o, c->symbol[GROUP_K][last - n])) n++;
    return n;
}

static Item *last_of_prologue(const Contract *c) {
    Item *last = NULL;
    for (int i = 0; i < c->items->at.n; i++)
        if (c->items->at.at[i]->level == LEVEL_B) last = c->items->at.at[i];
    return last;
}

/* Is b what a group shares times something? Sets which operand is shared, and the symbols inside of a group. */
static bool find_scale(Contract *c) {
    Item *last = last_of_prologue(c);
    if (!last || last->n->op != OP_MUL || last->n->type.dtype != DT_F32) return false;
    for (int i = 0; i < 2; i++) {
        int n = inner_of(c, last->in[i]);
        if (n < 1 || n > INNER_MOST || n >= c->n[GROUP_K]) continue;
        c->scale = i;
        c->inner = n;
        return true;
    }
    return false;
}

/* Accumulators for so many elements of the last symbol, in vectors: they divide them. 0: vectors do not. */
static int sums_for(int64_t elements, int lanes) {
    int n = SUMS_MOST;
    if (elements % lanes) return 0;
    while (elements / lanes % n) n /= 2;
    return n;
}

bool schedule_is_narrow(Contract *c) {
    int64_t k;
    bool narrow = c->prologue || dtype_bytes(c->at_b->base->type.dtype) < dtype_bytes(DT_F32);
    if (!narrow || c->w->device || c->w->small || c->type != DT_F32 || c->lanes == 1 || c->sn < 0 || c->sk < 0 || c->k->limit.seen) return false;
    if (!contract_contiguous(c->at_a, c->sk) || !contract_contiguous(c->at_b, c->sk) || !size_is_const(c->size_k, &k)) return false;
    for (int i = 0; i < c->n[GROUP_K]; i++)
        if (!size_is_static(c->sp->symbol[c->symbol[GROUP_K][i]].n)) return false;
    c->inner = 1;
    c->scale = -1;
    if (c->prologue && !find_scale(c)) return false;
    c->nv = sums_for(k, c->lanes);
    return c->nv > 0;
}

void schedule_narrow(Contract *c) {
    int64_t low, high;
    c->w->kind = "rows";
    c->mb = 1;
    c->width = 4 * c->w->machine->lanes;
    size_range(c->size_n, &low, &high);
    while (c->width > c->lanes && high <= c->width / 2) c->width /= 2;
    c->columns_first = true;
    c->dot_lanes = c->lanes;
    contract_begin(c);
    template_number(c->t, "U", c->nv);
    template_number(c->t, "UL", (int64_t)c->nv * c->lanes);
    template_number(c->t, "scaled", c->scale >= 0);
    template_run(c->t, "narrow");
}

/* ---- holes */

const char *narrow_fill_groups(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = 0; i < c->n[GROUP_K] - c->inner; i++) {
        int s = c->symbol[GROUP_K][i];
        c->p.text[s] = arena_printf(c->w->arena, "x%d", s);
        text_line(&c->w->body, "for %s in 0..%lld {", c->p.text[s], (long long)contract_symbol_size(c, s));
    }
    return "";
}

/* Values that a group shares: written before its loops. The scale is one of them, or lies in memory. */
const char *narrow_fill_scale(void *context, const char *const *args) {
    Contract *c = context;
    Item *last = last_of_prologue(c);
    bool vector;
    c->group_point = point_inside(&c->p);
    c->group_point.text[c->sn] = args[0];
    c->group_point.lanes = 1;
    c->group_point.vector = -1;
    for (int i = 0; i < c->items->at.n; i++) {
        Item *item = c->items->at.at[i];
        if (item == last || item->level != LEVEL_B || inner_of(c, (Operand){.item = item}) < c->inner) continue;
        point_value(&c->group_point, item);
    }
    Operand o = last->in[c->scale];
    return o.item ? o.item->value : point_load(&c->group_point, o.access, false, &vector);
}

/* Loops over all inner symbols but the last. */
const char *narrow_fill_inner(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    for (int i = c->n[GROUP_K] - c->inner; i < c->n[GROUP_K] - 1; i++) {
        int s = c->symbol[GROUP_K][i];
        c->group_point.text[s] = c->p.text[s] = arena_printf(c->w->arena, "x%d", s);
        text_line(&c->w->body, "%s %s in 0..%lld {", size_is(c->sp->symbol[s].n, 2) ? "unroll" : "for", c->p.text[s],
                  (long long)contract_symbol_size(c, s));
    }
    return "";
}

/* A vector of codes along k, without the scale. */
const char *narrow_fill_code(void *context, const char *const *args) {
    Contract *c = context;
    Item *last = last_of_prologue(c);
    bool vector;
    Point p = point_inside(&c->group_point);
    p.text[c->sk] = args[0];
    p.lanes = c->lanes;
    p.vector = c->sk;
    for (int i = 0; i < c->items->at.n; i++) {
        Item *item = c->items->at.at[i];
        if (item == last || item->level != LEVEL_B || inner_of(c, (Operand){.item = item}) >= c->inner) continue;
        point_value(&p, item);
    }
    Operand o = last->in[!c->scale];
    return o.item ? o.item->value : point_load(&p, o.access, false, &vector);
}
