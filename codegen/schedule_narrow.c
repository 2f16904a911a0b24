/* schedule_narrow.c -- products with a weight in fewer bits than its values. Of few rows, what takes the time is reading it.
 *
 * Memory is read fastest as one stream, so columns go one after the other, as they lie: k runs along the memory of both operands, and
 * a column's sums have accumulators enough to hide the latency of multiplications. Values are made in registers. Where a weight is
 * codes times a scale that a group of elements shares, the group's codes are added up first and then multiplied by it, once:
 *
 *   s = sum over groups (scale * (sum over the group (a * code)))
 *
 * Where a is codes u8 and b's codes are whole numbers of 8 bits, too, a group is added up as whole numbers, exactly.
 *
 * For many rows those codes go to a panel of whole numbers once, with the scales of its columns, and a tile has two sets of sums: those of
 * a group, and those of all.
 *
 * The symbols of k thus are outer ones, of which each place has a scale, and inner ones, which the scale does not depend on. */
#include "codegen/contract.h"

#include <stdlib.h>

enum {
    SUMS_MOST = 4,     /* accumulators of a column */
    ROWS_MOST = 8,     /* of a tile */
    ROWS_SHARED = 512, /* of a block: a panel takes long to make */
    PANELS_ENOUGH = 6, /* .. where there are so many panels that threads have work */
    INNER_MOST = 2,    /* symbols inside of a group: halves of bytes, and bytes */
    PACED_BYTES = 8192 /* from a line of codes to the one that is asked for meanwhile */
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

/* What the scale multiplies, as whole numbers: a cast of codes i8, or of halves of bytes from which a constant is taken away. */
typedef struct Codes {
    const Item *cast, *less, *nibble; /* less, nibble: the subtraction, the choice of a half; or NULL */
    int64_t offset;
} Codes;

static bool find_codes(const Contract *c, Codes *codes) {
    const Item *x = last_of_prologue(c)->in[!c->scale].item;
    *codes = (Codes){0};
    if (x && x->n->op == OP_SUB) {
        const Access *by = x->in[1].access;
        if (!by || by->base->op != OP_CONST || by->base->attrs.number != (int8_t)by->base->attrs.number) return false;
        codes->less = x;
        codes->offset = (int64_t)by->base->attrs.number;
        x = x->in[0].item;
    }
    if (!x || x->n->op != OP_CAST) return false;
    codes->cast = x;
    if (x->n->in[0]->type.dtype == DT_I8) return !codes->less;
    codes->nibble = x->in[0].item;
    return codes->nibble && codes->nibble->n->op == OP_NIBBLE;
}

/* Is a codes, and b in groups of codes, of which the machine adds up products? Sets how many at once, and how many a vector has. */
static bool is_coded(Contract *c, int64_t k) {
    Codes codes;
    const TileTarget *t = c->w->machine;
    if (c->at_a->base->type.dtype != DT_U8 || c->scale < 0 || t->dots < 2 || t->signed_dots || !find_codes(c, &codes)) return false;
    c->group = t->dots;
    c->codes = c->group * c->lanes;
    while (k % c->codes) c->codes /= 2;
    return c->codes >= 4 * c->group; /* the shortest vector of sums that there is an instruction for */
}

/* Places of the symbols inside of a group but the last. */
static int64_t halves_of(const Contract *c) {
    int64_t n = 1;
    for (int i = c->n[GROUP_K] - c->inner; i < c->n[GROUP_K] - 1; i++) n *= contract_symbol_size(c, c->symbol[GROUP_K][i]);
    return n;
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
    if (!narrow || c->w->device || c->w->small || c->type != DT_F32 || c->lanes == 1 || c->sn < 0 || c->sk < 0 || c->k->limit.seen || c->n_parts) return false;
    if (!contract_contiguous(c->at_a, c->sk) || !contract_contiguous(c->at_b, c->sk) || !size_is_const(c->size_k, &k)) return false;
    for (int i = 0; i < c->n[GROUP_K]; i++)
        if (!size_is_static(c->sp->symbol[c->symbol[GROUP_K][i]].n)) return false;
    c->inner = 1;
    c->scale = -1;
    if (c->prologue ? !find_scale(c) : c->n[GROUP_K] > 1) return false; /* groups have symbols of k outside of them; else there is one */
    if (is_coded(c, k)) return true;
    c->group = 0;
    c->nv = sums_for(k, c->lanes);
    return c->nv > 0;
}

/* The scales of a column, where they lie side by side along the groups; NULL: they are made in another way. */
static Access *scales_in_memory(const Contract *c) {
    int outer = c->n[GROUP_K] - c->inner;
    Operand o = last_of_prologue(c)->in[c->scale];
    if (o.item && o.item->n->op == OP_CAST) o = o.item->in[0];
    return o.access && outer == 1 && contract_contiguous(o.access, c->symbol[GROUP_K][0]) ? o.access : NULL;
}

static int last_group(const Contract *c) { return c->symbol[GROUP_K][c->n[GROUP_K] - c->inner - 1]; }

static int64_t groups_of(const Contract *c) {
    int64_t n = 1;
    for (int i = 0; i < c->n[GROUP_K] - c->inner; i++) n *= contract_symbol_size(c, c->symbol[GROUP_K][i]);
    return n;
}

/* Where a group's codes are less than a vector: so many groups at once, side by side as they lie in memory. */
static void pick_side(Contract *c) {
    Codes codes;
    int64_t groups = contract_symbol_size(c, last_group(c));
    int most = c->group * c->lanes / c->codes;
    c->side = 1;
    if (!c->scales || size_value(c->size_k) != c->codes || !find_codes(c, &codes)) return;
    const Access *b = (codes.nibble ? codes.nibble : codes.cast)->in[0].access;
    while (groups % most) most /= 2;
    if (most > 1 && b) c->joined = access_joined(c->sp, b, last_group(c), c->sk, &c->join);
    if (c->joined) c->side = most;
}

/* Groups one after the other, `side` at once, that have a sum each. */
static int parts_of(const Contract *c) {
    int64_t groups = contract_symbol_size(c, last_group(c)) / c->side;
    int parts = SUMS_MOST;
    while (groups % parts) parts /= 2;
    return parts;
}

/* Do the codes of a step through the groups fill lines of their own, and columns follow each other? Then each step asks for its like in a column
 * two pages on: the processor's own prefetchers stop at the end of a page, and see little beside so much arithmetic; and lines that are asked for
 * in a bunch wait for each other. Where there is less arithmetic, the prefetchers do better alone (schedule_codes.c). */
static bool is_paced(Contract *c) {
    Codes codes;
    if (!find_codes(c, &codes)) return false;
    Operand from = (codes.nibble ? codes.nibble : codes.cast)->in[0];
    const Access *x = c->joined ? c->joined : from.item ? NULL : from.access;
    Size between = x ? contract_stride(x, c->sn) : NULL;
    int64_t apart;
    if (!between || !size_is_const(between, &apart) || apart <= 0) return false;
    int64_t size = dtype_bytes(x->base->type.dtype);
    c->columns_ahead = (PACED_BYTES + apart * size - 1) / (apart * size);
    return c->side * size_value(c->size_k) * size % CACHE_LINE == 0;
}

void schedule_narrow(Contract *c) {
    int64_t low, high;
    c->side = 1;
    c->scales = c->scale >= 0 ? scales_in_memory(c) : NULL;
    if (c->group) pick_side(c);
    c->sums = c->scale >= 0 ? parts_of(c) : 1;
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
    int64_t groups = c->scales ? contract_symbol_size(c, c->symbol[GROUP_K][0]) : 0;
    template_number(c->t, "PARTS", c->sums);
    template_number(c->t, "vectors", c->scales != NULL);
    template_number(c->t, "SCALES", (groups + c->lanes - 1) / c->lanes * c->lanes);
    if (c->group) {
        Codes codes;
        c->less = c->scales && find_codes(c, &codes) ? codes.offset : 0;
        template_number(c->t, "AL", c->codes * c->side);
        template_number(c->t, "SL", c->codes * c->side / c->group);
        template_number(c->t, "AL1", c->codes);
        template_number(c->t, "SL1", c->codes / c->group);
        template_number(c->t, "SIDE", c->side);
        template_number(c->t, "GROUPS", groups_of(c));
        template_number(c->t, "HALVES", halves_of(c));
        template_set(c->t, "AT", c->group == 2 ? "i16" : "u8");
        template_number(c->t, "paced", is_paced(c));
        template_number(c->t, "less", c->less != 0);
        template_set(c->t, "LESS", arena_printf(c->w->arena, "%s(%lld)", c->group == 2 ? "i16" : "i8", (long long)-c->less));
    }
    template_run(c->t, c->group ? "narrow_codes" : "narrow");
}

/* ---- many rows */

/* The tile of the least cost whose two sets of sums have registers. */
static void pick_tile(Contract *c, int64_t m, int64_t n) {
    const TileTarget *t = c->w->machine;
    double best = 1e30;
    for (int nv = 1; nv <= 4; nv++)
        for (int mr = 1; mr <= ROWS_MOST; mr++) {
            if (2 * mr * nv + nv + 1 >= t->registers) continue;
            double cost = (double)((m + mr - 1) / mr * ((n + nv * c->lanes - 1) / (nv * c->lanes))) * contract_step_cost(t, mr, nv);
            if (cost >= best - 1e-9) continue;
            best = cost;
            c->mr = mr;
            c->nv = nv;
        }
}

bool schedule_is_group_panels(Contract *c) {
    return c->prologue && c->sm >= 0 && schedule_is_narrow(c) && c->group;
}

void schedule_group_panels(Contract *c) {
    int64_t m = contract_estimate(c->size_m, 512), n = contract_estimate(c->size_n, 64), k = size_value(c->size_k), whole;
    int64_t groups = groups_of(c), steps = groups * halves_of(c) * (k / c->group);
    c->w->kind = "codes";
    c->sums = c->side = 1;
    pick_tile(c, m, n);
    c->width = (int64_t)c->nv * c->lanes;
    if (!c->rows && n / c->width >= PANELS_ENOUGH) c->rows = ROWS_SHARED;
    contract_pick_block(c, m, n);
    contract_begin(c);
    template_number(c->t, "G", c->group);
    template_number(c->t, "GL", (int64_t)c->group * c->lanes);
    template_number(c->t, "AL", c->codes);
    template_number(c->t, "SL", c->codes / c->group);
    template_number(c->t, "PIECES", k / c->codes);
    template_number(c->t, "STEPS", k / c->group);
    template_number(c->t, "GROUPS", groups);
    template_number(c->t, "PANEL", steps * c->width * c->group);
    template_set(c->t, "PT", c->group == 2 ? "i16" : "i8");
    template_number(c->t, "MR", c->mr);
    template_number(c->t, "one_block", true);
    template_number(c->t, "ends", false);
    template_number(c->t, "asks", 0);
    template_number(c->t, "adds", false);
    template_number(c->t, "MB", c->mb);
    template_number(c->t, "rows_divide", size_is_const(c->size_m, &whole) && whole % c->mb == 0);
    template_run(c->t, "group_panels");
}

/* ---- holes */

const char *narrow_fill_groups(void *context, const char *const *args) {
    Contract *c = context;
    int last = c->n[GROUP_K] - c->inner - 1, side = atoi(args[0]);
    const char *flat = "";
    for (int i = 0; i <= last; i++) {
        int s = c->symbol[GROUP_K][i], parts = i == last ? c->sums : 1;
        c->p.text[s] = arena_printf(c->w->arena, "x%d", s);
        text_line(&c->w->body, "for %s in 0..%lld {", c->p.text[s], (long long)contract_symbol_size(c, s) / (parts * (i == last ? side : 1)));
        if (i == last) {
            text_line(&c->w->body, "unroll part in 0..%d {", parts);
            c->p.text[s] = arena_printf(c->w->arena, "(%d*x%d + %d*part)", parts * side, s, side);
        }
        flat = contract_flat(c, flat, s, c->p.text[s]);
    }
    template_set(c->t, "group", flat);
    return "";
}

/* A column's scales as f32, into a buffer. */
const char *narrow_fill_scales(void *context, const char *const *args) {
    Contract *c = context;
    int s = c->symbol[GROUP_K][0];
    int64_t groups = contract_symbol_size(c, s);
    Point p = point_inside(&c->p);
    p.text[c->sn] = args[0];
    p.text[s] = arena_printf(c->w->arena, "%d*g", c->lanes);
    p.lanes = c->lanes;
    p.vector = s;
    p.limit = groups % c->lanes ? work_size(c->w, c->sp->symbol[s].n) : NULL;
    int64_t vectors = (groups + c->lanes - 1) / c->lanes;
    text_line(&c->w->body, "%s g in 0..%lld { sf[%s : %d] = f32(%s) }", contract_loop(vectors), (long long)vectors, p.text[s], c->lanes,
              point_place(&p, c->scales, ""));
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
        if (c->scales && item == last->in[c->scale].item) continue;
        point_value(&c->group_point, item);
    }
    Operand o = last->in[c->scale];
    if (c->scales) return arena_printf(c->w->arena, c->side > 1 ? "sf[%s : %d]" : "sf[%s]", template_get(c->t, "group"), c->side);
    return o.item ? o.item->value : point_load(&c->group_point, o.access, false, &vector);
}

/* Loops over all inner symbols but the last. */
const char *narrow_fill_inner(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    const char *flat = template_get(c->t, "group"), *half = "";
    for (int i = c->n[GROUP_K] - c->inner; i < c->n[GROUP_K] - 1; i++) {
        int s = c->symbol[GROUP_K][i];
        c->group_point.text[s] = c->p.text[s] = arena_printf(c->w->arena, "x%d", s);
        text_line(&c->w->body, "%s %s in 0..%lld {", size_is(c->sp->symbol[s].n, 2) ? "unroll" : "for", c->p.text[s],
                  (long long)contract_symbol_size(c, s));
        flat = contract_flat(c, flat, s, c->p.text[s]);
        half = contract_flat(c, half, s, c->p.text[s]);
    }
    template_set(c->t, "before", flat);
    template_set(c->t, "half", *half ? half : "0");
    return "";
}

/* Where elements stand, `lanes` along k. */
static Point element_point(Contract *c, const char *k, int lanes) {
    Point p = point_inside(&c->group_point);
    p.text[c->sk] = k;
    p.lanes = lanes;
    p.vector = c->sk;
    return p;
}

/* The value of an operand, and of all that it is made of but what the group shares. */
static const char *operand_made(Contract *c, Point *p, Operand o) {
    bool vector;
    if (!o.item) return point_load(p, o.access, false, &vector);
    if (inner_of(c, o) >= c->inner) return o.item->value;
    for (int i = 0; i < o.item->n->n_in; i++)
        if (o.item->in[i].item) operand_made(c, p, o.item->in[i]);
    point_value(p, o.item);
    return o.item->value;
}

/* A vector of codes along k, without the scale. */
const char *narrow_fill_code(void *context, const char *const *args) {
    Contract *c = context;
    Point p = element_point(c, args[0], c->lanes);
    return operand_made(c, &p, last_of_prologue(c)->in[!c->scale]);
}

/* The codes that a group's sum reads, and in *p where they stand: `lanes` of them from place k of the group (of all that are side by side) on. */
static Operand codes_at(Contract *c, const Codes *codes, const char *k, int lanes, Point *p) {
    Operand o = (codes->nibble ? codes->nibble : codes->cast)->in[0];
    *p = element_point(c, k, lanes);
    if (c->joined) {
        o.access = c->joined;
        p->vector = c->join;
        p->text[c->join] = arena_printf(c->w->arena, "%lld*%s + %s", (long long)size_value(c->size_k), p->text[last_group(c)], k);
    }
    return o;
}

/* n of them as whole numbers, in the type that stands beside a's. Halves are taken of bytes, as they are. */
const char *narrow_fill_codes(void *context, const char *const *args) {
    Contract *c = context;
    Codes codes;
    Arena *a = c->w->arena;
    if (!find_codes(c, &codes)) bug("kernel %d: no codes", c->k->index);
    Point p;
    Operand from = codes_at(c, &codes, args[0], atoi(args[1]), &p);
    const char *x = operand_made(c, &p, from);
    if (codes.nibble)
        x = arena_printf(a, "and(shr(%s, shl(and(%s, u8(1)), u8(2))), u8(15))", x, operand_made(c, &p, codes.nibble->in[1]));
    if (!codes.nibble) return c->group == 2 ? arena_printf(a, "i16(%s)", x) : x;
    x = arena_printf(a, "%s(%s)", c->group == 2 ? "i16" : "i8", x);
    return c->less ? x : arena_printf(a, "%s - %lld", x, (long long)codes.offset);
}

/* The column whose codes the steps of this one ask for; and those of a step. */
const char *narrow_fill_next(void *context, const char *const *args) {
    Contract *c = context;
    const char *n = work_size(c->w, c->size_n);
    text_line(&c->w->body, "index next = min(%s + %lld, %s - 1) in 0..%s", args[0], (long long)c->columns_ahead, n, n);
    return "";
}

const char *narrow_fill_ahead(void *context, const char *const *args) {
    (void)args;
    Contract *c = context;
    Codes codes;
    Point p;
    if (!find_codes(c, &codes)) bug("kernel %d: no codes", c->k->index);
    for (int i = c->n[GROUP_K] - c->inner; i < c->n[GROUP_K] - 1; i++) c->group_point.text[c->symbol[GROUP_K][i]] = "0";
    Operand from = (codes.nibble ? codes.nibble : codes.cast)->in[0];
    int64_t line = CACHE_LINE / dtype_bytes(from.access->base->type.dtype), lines = c->side * size_value(c->size_k) / line;
    Operand asked = codes_at(c, &codes, arena_printf(c->w->arena, "%lld*line", (long long)line), 1, &p);
    p.text[c->sn] = "next";
    text_line(&c->w->body, "%s line in 0..%lld { prefetch %s second }", contract_loop(lines), (long long)lines, point_place(&p, asked.access, ""));
    return "";
}

/* n codes of row i of a along k, likewise. */
const char *narrow_fill_left(void *context, const char *const *args) {
    Contract *c = context;
    int lanes = atoi(args[2]);
    const char *x = contract_place(c, c->at_a, args[0], NULL, args[1], lanes, c->sk, lanes);
    return c->group == 2 ? arena_printf(c->w->arena, "i16(%s)", x) : x;
}
