/* schedule_frame.c -- what a product stores with a frame around it (LEVEL_FRAME): the places of its values, and the frame.
 *
 *   parallel x0 in 0..n0 {                                       y: [n0, 114, 114, 32], a pad by 1 along axes 1 and 2
 *     for r in 0..1 { for j in 0..3648 by 16 { y[x0, 0, r, j : 16] = 0.0 } }   for r in 113..114 ..     rows
 *     for i in 0..114 { for r in 0..1 { for j in 0..32 by 16 { y'[x0, i, r, j : 16] = 0.0 } } ..        columns of all rows
 *   } */
#include "codegen/schedule.h"

Access *frame_access(Space *sp, Node *pad, int rank, const Size *dim, Affine *const *index) {
    Node *x = pad->in[0];
    Affine *inside[MAX_RANK], *at[MAX_RANK];
    space_reshape(sp, rank, dim, index, x->type.rank, x->type.dim, inside);
    for (int i = 0; i < x->type.rank; i++) {
        at[i] = affine_copy(sp, inside[i]);
        at[i]->c = size_add(at[i]->c, pad->attrs.lo[i]);
    }
    return access_own(sp, pad, at);
}

Node *frame_value(Node *n) {
    n = n->in[0];
    while (op_row(n->op)->class == CLASS_VIEW) n = n->in[0];
    return n;
}

static Size product(Work *w, const Type *t, int from, int to) {
    Size n = size_const(w->table, 1);
    for (int i = from; i < to; i++) n = size_mul(n, t->dim[i]);
    return n;
}

/* Places from..to - 1 along the axis of buffer y[outer, middle, axis, inner]. */
static void strip(Work *w, const char *y, const char *outer, Size middle, const char *from, const char *to, Size inner, const char *fill) {
    int lanes = w->machine->lanes;
    int64_t low, high;
    size_range(inner, &low, &high);
    while (lanes > 1 && high <= lanes / 2) lanes /= 2;
    text_line(&w->body, "for i in 0..%s {", work_size(w, middle));
    text_line(&w->body, "for r in %s..%s {", from, to);
    const char *j = lanes > 1 ? open_lanes(w, "j", 0, inner, lanes) : "j";
    if (lanes == 1) text_line(&w->body, "for j in 0..%s {", work_size(w, inner));
    bool whole = lanes == 1 || (low == high && low % lanes == 0);
    const char *limit = whole ? "" : arena_printf(w->arena, " < %s", work_size(w, inner));
    const char *vector = lanes > 1 ? arena_printf(w->arena, " : %d%s", lanes, limit) : "";
    text_line(&w->body, "%s[%s, i, r, %s%s] = %s } } }", y, outer, j, vector, fill);
}

static void store_around(Work *w, Node *pad, KernelCode *code) {
    const Type *t = &pad->type;
    int first = 0;
    bool opened;
    while (size_is(pad->attrs.lo[first], 0) && size_is(pad->attrs.hi[first], 0)) first++;
    Size outer = product(w, t, 0, first);
    const char *at = open_parts(w, "x", outer, 1, false, &opened), *fill = value_fill(w, pad);
    for (int a = first; a < t->rank; a++) {
        Size lo = pad->attrs.lo[a], hi = pad->attrs.hi[a], n = t->dim[a], zero = size_const(w->table, 0);
        if (size_is(lo, 0) && size_is(hi, 0)) continue;
        Size middle = product(w, t, first, a), inner = product(w, t, a + 1, t->rank);
        const char *type = arena_printf(w->arena, "%s[%s, %s, %s, %s] out alias", dtype_name(t->dtype), work_size(w, outer),
                                        work_size(w, middle), work_size(w, n), work_size(w, inner));
        const char *y = work_arg(w, (KernelArg){.kind = ARG_VALUE, .node = pad}, type);
        if (lo != zero) strip(w, y, at, middle, "0", work_size(w, lo), inner, fill);
        if (hi != zero) strip(w, y, at, middle, work_size(w, size_sub(n, hi)), work_size(w, n), inner, fill);
    }
    if (opened) text_line(&w->body, "}");
    w->text = "pad";
    work_finish(w, code);
}

void schedule_frames(Scheduler *s, const Plan *plan, const Kernel *k, KernelCode *code) {
    for (int i = 0; i < k->nodes.n; i++)
        if (k->levels.at[i] == LEVEL_FRAME) store_around(work_new(s, plan, k, "frame"), k->nodes.at[i], code);
}
