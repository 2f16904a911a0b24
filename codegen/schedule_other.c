/* schedule_other.c -- the anchors that are neither maps nor products.
 *
 *   SCATTER  out = 0, then out[ids[s]] += v[s] in the order of s: parallel over what no id selects (leading axes, blocks of
 * columns) UPDATE   x is copied unless it lies in the result's memory, then v is written from the run-time start on ROUTINE
 * cumsum is a tile kernel; sort_ids, topk_ids and categorical are routines of the runtime, a row an iteration */
#include "codegen/schedule.h"

#include <string.h>

enum { CLASS_KEPT, CLASS_WALKED, CLASS_COLUMN }; /* parallel; a loop inside; along the lanes */

static const char *symbol_name(Work *w, int s) {
    return arena_printf(w->arena, "x%d", s);
}

static const char *limit_of(Work *w, Size n, int64_t lanes) {
    int64_t whole;
    return size_is_const(n, &whole) && whole % lanes == 0 ? NULL : work_size(w, n);
}

static int lanes_of(const Work *w, DType d) {
    return dtype_bytes(d) == 8 ? w->machine->lanes / 2 : w->machine->lanes;
}

/* Returns how many braces it opens. */
static int open_parallel(Work *w, Point *p, int s, int64_t by) {
    bool opened;
    p->text[s] = open_parts(w, symbol_name(w, s), p->sp->symbol[s].n, by, !w->machine->avx512, &opened);
    return opened;
}

/* for x in 0..n { for every symbol of a class, the vector symbol by its lanes. Returns how many braces are open. */
static int open_loops(Work *w, Point *p, const int *class, int which) {
    int n = 0;
    for (int s = 0; s < p->sp->n; s++) {
        const Symbol *y = &p->sp->symbol[s];
        if (y->axis < 0 || y->gone || class[y->axis] != which) continue;
        bool vector = s == p->vector && p->lanes > 1;
        p->text[s] = symbol_name(w, s);
        if (vector) p->text[s] = open_lanes(w, p->text[s], y->n, p->lanes);
        else text_line(&w->body, "for %s in 0..%s {", p->text[s], work_size(w, y->n));
        n++;
    }
    return n;
}

/* ---- scatter */

typedef struct Scatter {
    Space *sp;
    Access *v, *out;
    int class[MAX_SYMBOLS];
    int place; /* the symbol that holds the loaded index */
} Scatter;

static void scatter_follow(Scatter *s, Node *n) {
    Node *v = n->in[0], *ids = n->in[1];
    int axis = n->attrs.axis, span = n->attrs.flag ? 1 : ids->type.rank;
    for (int a = 0; a < v->type.rank; a++)
        s->class[a] = a >= axis && a < axis + span ? CLASS_WALKED : a < axis || n->attrs.flag ? CLASS_KEPT : CLASS_COLUMN;
    do {
        Affine *index[MAX_RANK], *at[MAX_RANK];
        space_begin(s->sp);
        for (int a = 0; a < v->type.rank; a++) index[a] = space_axis(s->sp, a);
        s->v = access_follow(s->sp, v, index);
        Access *loaded = access_follow(s->sp, ids, n->attrs.flag ? index : index + axis);
        for (int a = 0; a < n->type.rank; a++) at[a] = index[a < axis ? a : a == axis ? 0 : a + span - 1];
        at[axis] = access_index(s->sp, loaded, n->type.dim[axis]);
        s->place = -1;
        for (int y = 0; y < s->sp->n; y++)
            if (at[axis]->coef[y]) s->place = y;
        s->out = access_own(s->sp, n, at);
    } while (s->sp->again);
}

void schedule_scatter(Work *w, KernelCode *code) {
    Node *n = w->k->anchor;
    Scatter s = {.sp = space_new(w->arena, w->table, n->in[0]->type.rank, n->in[0]->type.dim)};
    scatter_follow(&s, n);
    if (s.place < 0 || s.sp->symbol[s.place].axis >= 0) bug("scatter_add by constant indices in kernel %d", w->k->index);
    space_merge(s.sp, s.class, 0);
    Items *items = items_new(w, s.sp);
    Point p = point_new(w, items, 1, -1);
    int lanes = lanes_of(w, n->type.dtype), braces = 0;
    for (int y = 0; y < s.sp->n; y++) {
        const Symbol *x = &s.sp->symbol[y];
        if (x->axis < 0 || x->gone || s.class[x->axis] == CLASS_WALKED) continue;
        if (s.class[x->axis] == CLASS_COLUMN) p.vector = y; /* the last one */
    }
    if (p.vector >= 0 && access_bends(s.sp, s.v, p.vector)) p.vector = -1;
    for (int y = 0; y < s.sp->n; y++) {
        const Symbol *x = &s.sp->symbol[y];
        if (x->axis < 0 || x->gone || s.class[x->axis] == CLASS_WALKED) continue;
        braces += open_parallel(w, &p, y, y == p.vector ? lanes : 1);
    }
    if (p.vector >= 0) {
        p.lanes = lanes;
        p.limit = limit_of(w, s.sp->symbol[p.vector].n, lanes);
    }
    Point zero = point_inside(&p);
    zero.text[s.place] = "z";
    text_line(&w->body, "for z in 0..%s {", work_size(w, s.sp->symbol[s.place].n));
    text_line(&w->body, "%s = 0", point_place(&zero, s.out, " inout"));
    text_close(&w->body, 1);
    Point q = point_inside(&p);
    braces += open_loops(w, &q, s.class, CLASS_WALKED);
    Point load = point_inside(&q); /* the index is a scalar, whatever the lanes */
    load.lanes = 1;
    load.vector = -1;
    point_derived(&load, &s.out->at);
    q.text[s.place] = load.text[s.place];
    const char *place = point_place(&q, s.out, " inout");
    bool vector;
    DType d = n->type.dtype, from = n->in[0]->type.dtype;
    const char *v = point_load(&q, s.v, false, &vector);
    if (dtype_arithmetic(from) != dtype_arithmetic(d)) v = arena_printf(w->arena, "%s(%s)", dtype_name(dtype_arithmetic(d)), v);
    const char *sum = arena_printf(w->arena, "%s + %s", value_float(w, place, d), v);
    text_line(&w->body, "%s = %s", place, value_stored(w, sum, d));
    text_close(&w->body, braces);
    work_finish(w, code);
}

/* ---- update */

static Size count_of(const Work *w, const Type *t) {
    Size n = size_const(w->table, 1);
    for (int i = 0; i < t->rank; i++) n = size_mul(n, t->dim[i]);
    return n;
}

/* to = from, element by element. */
static void copy_kernel(Work *w, KernelCode *code, Node *from, Node *to) {
    Size dim = count_of(w, &to->type);
    Space *sp = space_new(w->arena, w->table, 1, &dim);
    Items *items = items_new(w, sp);
    space_begin(sp);
    int lanes = lanes_of(w, to->type.dtype), braces = 0;
    Point p = point_new(w, items, lanes, sp->n ? 0 : -1);
    Access *a = NEW(w->arena, Access), *b = NEW(w->arena, Access);
    *a = (Access){.base = from, .at = *space_axis(sp, 0)};
    *b = (Access){.base = to, .at = *space_axis(sp, 0)};
    if (sp->n) {
        int64_t block = 64 * lanes;
        braces = open_parallel(w, &p, 0, block) + 2;
        text_line(&w->body, "for j in 0..%lld by %d {", (long long)block, lanes);
        p.text[0] = text_plus(w, p.text[0], "j");
        text_line(&w->body, "if %s < %s {", p.text[0], work_size(w, dim));
        p.limit = limit_of(w, dim, lanes);
    }
    bool vector;
    if (from->op == OP_CONST) point_store(&p, b, point_load(&p, a, false, &vector));
    else text_line(&w->body, "%s = %s", point_place(&p, b, " out"), point_place(&p, a, ""));
    text_close(&w->body, braces);
    work_finish(w, code);
}

static Node *strip_views(Node *x) {
    while (op_row(x->op)->class == CLASS_VIEW) x = x->in[0];
    return x;
}

static bool same_memory(const Plan *plan, const Node *a, const Node *b) {
    Place x = plan->places[a->id], y = plan->places[b->id];
    return x.kind != PLACE_NONE && x.kind != PLACE_DATA && x.kind == y.kind && x.index == y.index;
}

void schedule_update(Work *w, KernelCode *code) {
    Node *n = w->k->anchor, *x = strip_views(n->in[0]), *v = n->in[1];
    if (!same_memory(w->plan, x, n)) {
        copy_kernel(w, code, x, n);
        w = work_new(w->s, w->plan, w->k, "update");
    }
    int axis = n->attrs.axis, rank = n->type.rank;
    Space *sp = space_new(w->arena, w->table, rank, v->type.dim);
    Items *items = items_new(w, sp);
    Affine *index[MAX_RANK], *start;
    Access *from;
    int class[MAX_SYMBOLS];
    Size one = size_const(w->table, 1), places = size_add(size_sub(n->type.dim[axis], v->type.dim[axis]), one);
    for (int a = 0; a < rank; a++) class[a] = a == axis ? CLASS_WALKED : a == rank - 1 ? CLASS_COLUMN : CLASS_KEPT;
    do {
        space_begin(sp);
        for (int a = 0; a < rank; a++) index[a] = space_axis(sp, a);
        from = access_follow(sp, v, index);
        start = access_index(sp, access_follow(sp, n->in[2], NULL), places);
    } while (sp->again);
    int last = -1, factors = 0, braces = 0;
    for (int s = 0; s < sp->n; s++)
        if (sp->symbol[s].axis == rank - 1) last = s, factors++;
    Point p = point_new(w, items, 1, -1);
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || class[sp->symbol[s].axis] != CLASS_KEPT) continue;
        braces += open_parallel(w, &p, s, 1);
    }
    point_derived(&p, start);
    if (factors == 1 && !access_bends(sp, from, last)) {
        p.lanes = lanes_of(w, n->type.dtype);
        p.vector = last;
        p.limit = limit_of(w, sp->symbol[last].n, p.lanes);
    }
    braces += open_loops(w, &p, class, CLASS_WALKED) + open_loops(w, &p, class, CLASS_COLUMN);
    affine_add(index[axis], start);
    Text type = {.arena = w->arena}, to = {.arena = w->arena};
    text_add(&type, "%s[", dtype_name(n->type.dtype));
    for (int a = 0; a < rank; a++) {
        text_add(&type, "%s%s", a ? ", " : "", work_size(w, n->type.dim[a]));
        text_add(&to, "%s%s", a ? ", " : "", affine_text(w, &p, index[a]));
        if (a != rank - 1 || p.lanes == 1) continue;
        text_add(&to, " : %d", p.lanes);
        if (!p.limit) continue;
        Affine end = *start; /* the lanes end where v does */
        end.c = size_add(end.c, v->type.dim[a]);
        text_add(&to, " < %s", a == axis ? affine_text(w, &p, &end) : p.limit);
    }
    bool vector;
    const char *value = point_load(&p, from, false, &vector);
    text_add(&type, rank ? "] out" : "1] out");
    const char *name = work_arg(w, (KernelArg){.kind = ARG_VALUE, .node = n}, type.at);
    text_line(&w->body, "%s[%s] = %s", name, rank ? to.at : "0", value_stored(w, value, n->type.dtype));
    text_close(&w->body, braces);
    work_finish(w, code);
}

/* ---- routines */

static void schedule_cumsum(Work *w, KernelCode *code) {
    Node *n = w->k->anchor;
    Space *sp = space_new(w->arena, w->table, n->type.rank, n->type.dim);
    Items *items = items_new(w, sp);
    Affine *index[MAX_RANK];
    Access *from, *to;
    int class[MAX_SYMBOLS], braces = 0;
    for (int a = 0; a < n->type.rank; a++) class[a] = a == n->attrs.axis ? CLASS_WALKED : CLASS_KEPT;
    do {
        space_begin(sp);
        for (int a = 0; a < n->type.rank; a++) index[a] = space_axis(sp, a);
        from = access_follow(sp, n->in[0], index);
        to = access_own(sp, n, index);
    } while (sp->again);
    space_merge(sp, class, 0);
    DType d = dtype_arithmetic(n->type.dtype);
    Point p = point_new(w, items, 1, -1);
    int last = -1;
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone) continue;
        last = s;
    }
    if (last >= 0 && class[sp->symbol[last].axis] == CLASS_KEPT && !access_bends(sp, from, last)) {
        p.vector = last;
        p.lanes = lanes_of(w, d);
        p.limit = limit_of(w, sp->symbol[last].n, p.lanes);
    }
    for (int s = 0; s < sp->n; s++) {
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone || class[sp->symbol[s].axis] == CLASS_WALKED) continue;
        braces += open_parallel(w, &p, s, s == p.vector ? p.lanes : 1);
    }
    text_line(&w->body, "reg s: %s%s = %s(0)", dtype_name(d), p.lanes > 1 ? arena_printf(w->arena, "x%d", p.lanes) : "",
              dtype_name(d));
    for (int s = 0; s < sp->n; s++) { /* the axis, in one or several symbols */
        if (sp->symbol[s].axis < 0 || sp->symbol[s].gone || class[sp->symbol[s].axis] != CLASS_WALKED) continue;
        const char *size = work_size(w, sp->symbol[s].n);
        text_line(&w->body, "for t%d in 0..%s {", s, size);
        p.text[s] = n->attrs.flag ? arena_printf(w->arena, "%s - 1 - t%d", size, s) : arena_printf(w->arena, "t%d", s);
        braces++;
    }
    Point q = point_inside(&p);
    bool vector;
    const char *x = point_load(&q, from, false, &vector);
    if (dtype_arithmetic(n->in[0]->type.dtype) != d) x = arena_printf(w->arena, "%s(%s)", dtype_name(d), x);
    text_line(&w->body, "s = s + %s", x);
    point_store(&q, to, "s");
    text_close(&w->body, braces);
    work_finish(w, code);
}

void schedule_routine(Work *w, KernelCode *code) {
    Node *n = w->k->anchor, *x = strip_views(n->in[0]);
    if (n->op == OP_CUMSUM) {
        schedule_cumsum(w, code);
        return;
    }
    if (x->type.dtype != DT_F32) bug("%s of %s is not supported yet", op_row(n->op)->name, dtype_name(x->type.dtype));
    const Type *t = &n->in[0]->type;
    Size row = t->rank ? t->dim[t->rank - 1] : size_const(w->table, 1), rows = size_const(w->table, 1),
         zero = size_const(w->table, 0);
    for (int i = 0; i + 1 < t->rank; i++) rows = size_mul(rows, t->dim[i]);
    KernelArg args[5];
    int count = 0;
    args[count++] = (KernelArg){.kind = ARG_VALUE, .node = x};
    if (n->op == OP_CATEGORICAL) {
        args[count++] = (KernelArg){.kind = ARG_RNG};
        args[count++] = (KernelArg){.kind = ARG_SITE, .site = n->attrs.site};
        args[count++] =
            n->n_in > 1 ? (KernelArg){.kind = ARG_VALUE, .node = strip_views(n->in[1])} : (KernelArg){.kind = ARG_NULL};
    }
    args[count++] = (KernelArg){.kind = ARG_VALUE, .node = n};
    KernelCall *call = NEW(w->arena, KernelCall);
    call->n_args = count;
    call->args = NEW_ARRAY(w->arena, KernelArg, count);
    memcpy(call->args, args, sizeof *args * (size_t)count);
    call->n_sizes = 4;
    call->sizes = NEW_ARRAY(w->arena, Size, 4);
    call->sizes[0] = rows;
    call->sizes[1] = row;
    call->sizes[2] = n->op == OP_TOPK_IDS ? n->attrs.extent : row;
    call->sizes[3] = n->op == OP_SORT_IDS && n->attrs.flag ? size_const(w->table, 1) : zero;
    call->count = rows;
    call->function = n->op == OP_TOPK_IDS ? "rt_topk_f32" : n->op == OP_SORT_IDS ? "rt_sort_f32" : "rt_categorical_f32";
    call->text = w->text;
    code->n = 1;
    code->calls = call;
}
