/* schedule_other.c -- the anchors that are neither maps nor products.
 *
 *   SCATTER  scatter.tile. Parallel over what no id selects: leading axes, blocks of columns
 *   UPDATE   update.tile. A copy of x, unless it lies in the result's memory, then v
 *   ROUTINE  cumsum: update.tile; sort_ids, topk_ids and categorical: routines of the runtime, a row an iteration */
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

static void open_parallel(Work *w, Point *p, int s, int64_t by) {
    bool opened;
    p->text[s] = open_parts(w, symbol_name(w, s), p->sp->symbol[s].n, by, !w->machine->avx512, &opened);
}

/* for x in 0..n { for every symbol of a class, the vector symbol by its lanes. */
static void open_loops(Work *w, Point *p, const int *class, int which) {
    for (int s = 0; s < p->sp->n; s++) {
        const Symbol *y = &p->sp->symbol[s];
        if (y->axis < 0 || y->gone || class[y->axis] != which) continue;
        bool vector = s == p->vector && p->lanes > 1;
        p->text[s] = symbol_name(w, s);
        if (vector) p->text[s] = open_lanes(w, p->text[s], 0, y->n, p->lanes);
        else text_line(&w->body, "for %s in 0..%s {", p->text[s], work_size(w, y->n));
    }
}

/* parallel over every symbol of the given classes; the vector symbol by its lanes. */
static void open_nest(Work *w, Point *p, const int *class, int which, int or_which) {
    for (int s = 0; s < p->sp->n; s++) {
        const Symbol *y = &p->sp->symbol[s];
        if (y->axis < 0 || y->gone || (class[y->axis] != which && class[y->axis] != or_which)) continue;
        open_parallel(w, p, s, s == p->vector ? p->lanes : 1);
    }
}

/* ---- scatter */

typedef struct Scatter {
    Work *w;
    Template *t;
    Space *sp;
    Node *n;
    Access *v, *out;
    int class[MAX_SYMBOLS];
    int place;  /* the symbol that holds the loaded index */
    int lanes;  /* along the vector symbol */
    Point p, q; /* inside the nest; inside the walk */
} Scatter;

static void scatter_follow(Scatter *s) {
    Node *n = s->n, *v = n->in[0], *ids = n->in[1];
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
        at[axis] = access_place(s->sp, loaded, n->type.dim[axis]);
        s->place = -1;
        for (int y = 0; y < s->sp->n; y++)
            if (at[axis]->coef[y]) s->place = y;
        s->out = access_own(s->sp, n, at);
    } while (s->sp->again);
}

static const char *scatter_nest(void *context, const char *const *args) {
    (void)args;
    Scatter *s = context;
    s->p.lanes = s->lanes;
    open_nest(s->w, &s->p, s->class, CLASS_KEPT, CLASS_COLUMN);
    if (s->p.vector < 0) s->p.lanes = 1;
    else s->p.limit = limit_of(s->w, s->sp->symbol[s->p.vector].n, s->lanes);
    return "";
}

static const char *scatter_walk(void *context, const char *const *args) {
    (void)args;
    Scatter *s = context;
    s->q = point_inside(&s->p);
    open_loops(s->w, &s->q, s->class, CLASS_WALKED);
    Point load = point_inside(&s->q); /* the index is a scalar, whatever the lanes */
    load.lanes = 1;
    load.vector = -1;
    point_derived(&load, &s->out->at);
    s->q.text[s->place] = load.text[s->place];
    template_set(s->t, "place", load.text[s->place]);
    return "";
}

static const char *scatter_out(void *context, const char *const *args) {
    Scatter *s = context;
    Point p = point_inside(s->q.w ? &s->q : &s->p);
    p.text[s->place] = args[0];
    return point_place(&p, s->out, " inout");
}

static const char *scatter_plus(void *context, const char *const *args) {
    Scatter *s = context;
    Work *w = s->w;
    bool vector;
    DType d = s->n->type.dtype, from = s->n->in[0]->type.dtype;
    const char *v = point_load(&s->q, s->v, false, &vector);
    if (dtype_arithmetic(from) != dtype_arithmetic(d)) v = arena_printf(w->arena, "%s(%s)", dtype_name(dtype_arithmetic(d)), v);
    return value_stored(w, arena_printf(w->arena, "%s + %s", value_float(w, args[0], d), v), d);
}

static const Hole SCATTER_HOLES[] = {
    {"nest", 0, scatter_nest}, {"walk", 0, scatter_walk}, {"out", 1, scatter_out}, {"plus", 1, scatter_plus}, {NULL, 0, NULL}};

void schedule_scatter(Work *w, KernelCode *code) {
    Node *n = w->k->anchor;
    Scatter s = {.w = w, .n = n, .sp = space_new(w->arena, w->table, n->in[0]->type.rank, n->in[0]->type.dim)};
    scatter_follow(&s);
    space_merge(s.sp, s.class, 0);
    s.p = point_new(w, items_new(w, s.sp), 1, -1);
    s.lanes = lanes_of(w, n->type.dtype);
    for (int y = 0; y < s.sp->n; y++) {
        const Symbol *x = &s.sp->symbol[y];
        if (x->axis >= 0 && !x->gone && s.class[x->axis] == CLASS_COLUMN) s.p.vector = y; /* the last one */
    }
    if (s.p.vector >= 0 && access_bends(s.sp, s.v, s.p.vector)) s.p.vector = -1;
    s.t = template_new(&w->body, "scatter.tile", SCATTER_HOLES, &s);
    template_set(s.t, "N", work_size(w, s.sp->symbol[s.place].n));
    template_run(s.t, "scatter");
    work_finish(w, code);
}

/* ---- update */

static Size count_of(const Work *w, const Type *t) {
    Size n = size_const(w->table, 1);
    for (int i = 0; i < t->rank; i++) n = size_mul(n, t->dim[i]);
    return n;
}

typedef struct Copying {
    Work *w;
    Template *t;
    Space *sp;
    Access from, to;
    int64_t block;
    Point p;
} Copying;

static const char *copy_nest(void *context, const char *const *args) {
    (void)args;
    Copying *c = context;
    open_parallel(c->w, &c->p, 0, c->block);
    template_set(c->t, "part", c->p.text[0]);
    return "";
}

/* An element, or lanes of them from the place args[0] on. */
static const char *copy_place(Copying *c, Access *a, const char *at, const char *suffix) {
    Point p = point_inside(&c->p);
    if (c->sp->n) {
        p.text[0] = at;
        p.limit = limit_of(c->w, c->sp->symbol[0].n, p.lanes);
    }
    return point_place(&p, a, suffix);
}

static const char *copy_to(void *context, const char *const *args) {
    Copying *c = context;
    return copy_place(c, &c->to, args[0], " out");
}

static const char *copy_from(void *context, const char *const *args) {
    Copying *c = context;
    bool vector;
    if (c->from.base->op != OP_CONST) return copy_place(c, &c->from, args[0], "");
    return value_stored(c->w, point_load(&c->p, &c->from, false, &vector), c->to.base->type.dtype);
}

static const Hole COPY_HOLES[] = {{"nest", 0, copy_nest}, {"to", 1, copy_to}, {"from", 1, copy_from}, {NULL, 0, NULL}};

/* to = from, element by element. */
static void copy_kernel(Work *w, KernelCode *code, Node *from, Node *to) {
    Size dim = count_of(w, &to->type);
    Copying c = {.w = w, .sp = space_new(w->arena, w->table, 1, &dim)};
    Items *items = items_new(w, c.sp);
    space_begin(c.sp);
    int lanes = lanes_of(w, to->type.dtype);
    c.block = 64 * lanes;
    c.p = point_new(w, items, lanes, c.sp->n ? 0 : -1);
    c.from = (Access){.base = from, .at = *space_axis(c.sp, 0)};
    c.to = (Access){.base = to, .at = *space_axis(c.sp, 0)};
    c.t = template_new(&w->body, "update.tile", COPY_HOLES, &c);
    template_number(c.t, "several", c.sp->n > 0);
    template_number(c.t, "L", lanes);
    template_number(c.t, "BLOCK", c.block);
    template_set(c.t, "N", work_size(w, dim));
    template_run(c.t, "copy");
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

typedef struct Update {
    Work *w;
    Node *n;
    Affine *index[MAX_RANK], *start; /* of the elements of v; the place along the axis where it goes */
    Access *from;
    int class[MAX_SYMBOLS];
    int vector; /* the symbol that may run along the lanes, -1: none */
    Point p;
} Update;

static const char *update_nest(void *context, const char *const *args) {
    (void)args;
    Update *u = context;
    open_nest(u->w, &u->p, u->class, CLASS_KEPT, CLASS_KEPT);
    return "";
}

static const char *update_start(void *context, const char *const *args) {
    (void)args;
    Update *u = context;
    point_derived(&u->p, u->start);
    return "";
}

static const char *update_walk(void *context, const char *const *args) {
    (void)args;
    Update *u = context;
    if (u->vector >= 0) {
        u->p.lanes = lanes_of(u->w, u->n->type.dtype);
        u->p.vector = u->vector;
        u->p.limit = limit_of(u->w, u->p.sp->symbol[u->vector].n, u->p.lanes);
    }
    open_loops(u->w, &u->p, u->class, CLASS_WALKED);
    open_loops(u->w, &u->p, u->class, CLASS_COLUMN);
    return "";
}

static const char *update_to(void *context, const char *const *args) {
    (void)args;
    Update *u = context;
    Work *w = u->w;
    const Node *n = u->n, *v = n->in[1];
    int axis = n->attrs.axis, rank = n->type.rank;
    Text type = {.arena = w->arena}, to = {.arena = w->arena};
    affine_add(u->index[axis], u->start);
    text_add(&type, "%s[", dtype_name(n->type.dtype));
    for (int a = 0; a < rank; a++) {
        text_add(&type, "%s%s", a ? ", " : "", work_size(w, n->type.dim[a]));
        text_add(&to, "%s%s", a ? ", " : "", affine_text(w, &u->p, u->index[a]));
        if (a != rank - 1 || u->p.lanes == 1) continue;
        text_add(&to, " : %d", u->p.lanes);
        if (!u->p.limit) continue;
        Affine end = *u->start; /* the lanes end where v does */
        end.c = size_add(end.c, v->type.dim[a]);
        text_add(&to, " < %s", a == axis ? affine_text(w, &u->p, &end) : u->p.limit);
    }
    text_add(&type, rank ? "] out" : "1] out");
    const char *name = work_arg(w, (KernelArg){.kind = ARG_VALUE, .node = u->n}, type.at);
    return arena_printf(w->arena, "%s[%s]", name, rank ? to.at : "0");
}

static const char *update_value(void *context, const char *const *args) {
    (void)args;
    Update *u = context;
    bool vector;
    return value_stored(u->w, point_load(&u->p, u->from, false, &vector), u->n->type.dtype);
}

static const Hole UPDATE_HOLES[] = {{"nest", 0, update_nest}, {"start", 0, update_start}, {"walk", 0, update_walk},
                                    {"to", 0, update_to},     {"value", 0, update_value}, {NULL, 0, NULL}};

void schedule_update(Work *w, KernelCode *code) {
    Node *n = w->k->anchor, *x = strip_views(n->in[0]), *v = n->in[1];
    if (!same_memory(w->plan, x, n)) {
        copy_kernel(w, code, x, n);
        w = work_new(w->s, w->plan, w->k, "update");
    }
    Update u = {.w = w, .n = n, .vector = -1};
    int axis = n->attrs.axis, rank = n->type.rank;
    Space *sp = space_new(w->arena, w->table, rank, v->type.dim);
    Items *items = items_new(w, sp);
    Size one = size_const(w->table, 1), places = size_add(size_sub(n->type.dim[axis], v->type.dim[axis]), one);
    for (int a = 0; a < rank; a++) u.class[a] = a == axis ? CLASS_WALKED : a == rank - 1 ? CLASS_COLUMN : CLASS_KEPT;
    do {
        space_begin(sp);
        for (int a = 0; a < rank; a++) u.index[a] = space_axis(sp, a);
        u.from = access_follow(sp, v, u.index);
        u.start = access_index(sp, access_follow(sp, n->in[2], NULL), places);
    } while (sp->again);
    int last = -1, factors = 0;
    for (int s = 0; s < sp->n; s++)
        if (sp->symbol[s].axis == rank - 1) last = s, factors++;
    if (factors == 1 && !access_bends(sp, u.from, last)) u.vector = last;
    u.p = point_new(w, items, 1, -1);
    template_run(template_new(&w->body, "update.tile", UPDATE_HOLES, &u), "update");
    work_finish(w, code);
}

/* ---- routines */

typedef struct Cumsum {
    Work *w;
    Node *n;
    Access *from, *to;
    int class[MAX_SYMBOLS];
    Point p, q; /* inside the nest; inside the walk */
} Cumsum;

static const char *cumsum_nest(void *context, const char *const *args) {
    (void)args;
    Cumsum *c = context;
    open_nest(c->w, &c->p, c->class, CLASS_KEPT, CLASS_KEPT);
    return "";
}

/* The axis, in one or several symbols. */
static const char *cumsum_walk(void *context, const char *const *args) {
    (void)args;
    Cumsum *c = context;
    Work *w = c->w;
    c->q = point_inside(&c->p);
    for (int s = 0; s < c->p.sp->n; s++) {
        const Symbol *y = &c->p.sp->symbol[s];
        if (y->axis < 0 || y->gone || c->class[y->axis] != CLASS_WALKED) continue;
        const char *size = work_size(w, y->n);
        text_line(&w->body, "for t%d in 0..%s {", s, size);
        c->q.text[s] = c->n->attrs.flag ? arena_printf(w->arena, "%s - 1 - t%d", size, s) : arena_printf(w->arena, "t%d", s);
    }
    return "";
}

static const char *cumsum_value(void *context, const char *const *args) {
    (void)args;
    Cumsum *c = context;
    bool vector;
    DType d = dtype_arithmetic(c->n->type.dtype);
    const char *x = point_load(&c->q, c->from, false, &vector);
    return dtype_arithmetic(c->n->in[0]->type.dtype) == d ? x : arena_printf(c->w->arena, "%s(%s)", dtype_name(d), x);
}

static const char *cumsum_stored(void *context, const char *const *args) {
    Cumsum *c = context;
    point_store(&c->q, c->to, args[0]);
    return "";
}

static const Hole CUMSUM_HOLES[] = {{"nest", 0, cumsum_nest},
                                    {"walk", 0, cumsum_walk},
                                    {"value", 0, cumsum_value},
                                    {"stored", 1, cumsum_stored},
                                    {NULL, 0, NULL}};

static void schedule_cumsum(Work *w, KernelCode *code) {
    Node *n = w->k->anchor;
    Cumsum c = {.w = w, .n = n};
    Space *sp = space_new(w->arena, w->table, n->type.rank, n->type.dim);
    Items *items = items_new(w, sp);
    Affine *index[MAX_RANK];
    for (int a = 0; a < n->type.rank; a++) c.class[a] = a == n->attrs.axis ? CLASS_WALKED : CLASS_KEPT;
    do {
        space_begin(sp);
        for (int a = 0; a < n->type.rank; a++) index[a] = space_axis(sp, a);
        c.from = access_follow(sp, n->in[0], index);
        c.to = access_own(sp, n, index);
    } while (sp->again);
    space_merge(sp, c.class, 0);
    DType d = dtype_arithmetic(n->type.dtype);
    int last = -1;
    for (int s = 0; s < sp->n; s++)
        if (sp->symbol[s].axis >= 0 && !sp->symbol[s].gone) last = s;
    c.p = point_new(w, items, 1, -1);
    if (last >= 0 && c.class[sp->symbol[last].axis] == CLASS_KEPT && !access_bends(sp, c.from, last)) {
        c.p.vector = last;
        c.p.lanes = lanes_of(w, d);
        c.p.limit = limit_of(w, sp->symbol[last].n, c.p.lanes);
    }
    const char *name = dtype_name(d);
    Template *t = template_new(&w->body, "update.tile", CUMSUM_HOLES, &c);
    template_set(t, "T", name);
    template_set(t, "TV", c.p.lanes > 1 ? arena_printf(w->arena, "%sx%d", name, c.p.lanes) : name);
    template_run(t, "cumsum");
    work_finish(w, code);
}

/* Of the runtime; passes/lower.c casts to the types that have one. */
static const char *routine_name(const Node *n, DType d) {
    const char *const name[2][3] = {{"rt_sort_f32", "rt_sort_f64", "rt_sort_i64"},
                                    {"rt_topk_f32", "rt_topk_f64", "rt_topk_i64"}};
    if (n->op == OP_CATEGORICAL && d == DT_F32) return "rt_categorical_f32";
    if (n->op == OP_CATEGORICAL || (d != DT_F32 && d != DT_F64 && d != DT_I64))
        bug("no routine for %s of %s", op_row(n->op)->name, dtype_name(d));
    return name[n->op == OP_TOPK_IDS][d == DT_F32 ? 0 : d == DT_F64 ? 1 : 2];
}

void schedule_routine(Work *w, KernelCode *code) {
    Node *n = w->k->anchor, *x = strip_views(n->in[0]);
    if (n->op == OP_CUMSUM) {
        schedule_cumsum(w, code);
        return;
    }
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
    call->function = routine_name(n, x->type.dtype);
    call->text = w->text;
    code->n = 1;
    code->calls = call;
}
