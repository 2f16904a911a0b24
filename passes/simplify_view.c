/* simplify_view.c -- views: composed, moved towards leaves (masks are computed where they are read), into the letters of
 * contracts. */
#include "passes/simplify.h"

#include <string.h>

enum { LEAFY_MOST = 8, SHORT_ROW = 16 };

/* ---- composing */

static Node *compose_permutes(Simplify *s, const Node *n, Node *x) {
    int order[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++) order[i] = x->attrs.axes[n->attrs.axes[i]];
    return node_permute(s->g, x->in[0], order);
}

static Node *compose_slices(Simplify *s, const Node *n, Node *x) {
    Size lo[MAX_RANK], hi[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++) {
        lo[i] = size_add(x->attrs.lo[i], n->attrs.lo[i]);
        hi[i] = size_add(x->attrs.lo[i], n->attrs.hi[i]);
    }
    return node_slice(s->g, x->in[0], lo, hi);
}

/* Only axes of size 1 move: the elements keep their order. */
static bool keeps_order(const Node *n, const Type *x) {
    int last = -1;
    for (int i = 0; i < n->type.rank; i++) {
        int from = n->attrs.axes[i];
        if (size_is(x->dim[from], 1)) continue;
        if (from < last) return false;
        last = from;
    }
    return true;
}

/* [d] → [1, 1, d]: what expand does by itself. */
static bool adds_leading_ones(const Node *reshape) {
    const Type *to = &reshape->type, *from = &reshape->in[0]->type;
    int more = to->rank - from->rank;
    if (more < 0) return false;
    for (int i = 0; i < to->rank; i++)
        if (i < more ? !size_is(to->dim[i], 1) : to->dim[i] != from->dim[i - more]) return false;
    return true;
}

/* ---- towards leaves */

static Node *view_again(Simplify *s, const Node *n, Node *x) { /* the view n of another node of the same shape */
    switch (n->op) {
    case OP_RESHAPE: return node_reshape(s->g, x, n->type.rank, n->type.dim);
    case OP_EXPAND: return node_expand(s->g, x, n->type.rank, n->type.dim);
    case OP_PERMUTE: return node_permute(s->g, x, n->attrs.axes);
    case OP_SLICE: return node_slice(s->g, x, n->attrs.lo, n->attrs.hi);
    case OP_WINDOW: return graph_add(s->g, OP_WINDOW, &n->attrs, 1, &x);
    default: bug("%s is no view", op_row(n->op)->name);
    }
}

static Node *view_of_iota(Simplify *s, const Node *n, Node *x) {
    int axis = -1;
    if (n->op == OP_EXPAND) {
        axis = x->attrs.axis + n->type.rank - x->type.rank;
        if (x->type.dim[x->attrs.axis] != n->type.dim[axis]) return NULL; /* an axis of one zero, repeated */
    } else if (n->op == OP_PERMUTE) {
        for (int i = 0; i < n->type.rank; i++)
            if (n->attrs.axes[i] == x->attrs.axis) axis = i;
    } else {
        return NULL;
    }
    return node_leaf(s->g, OP_IOTA, &(Attrs){.axis = axis}, n->type);
}

static Node *sink(Simplify *s, const Node *n, Node *x) {
    int budget = LEAFY_MOST;
    bool counter = false;
    if (op_row(x->op)->class != CLASS_MAP || x->op == OP_RANDOM || x->type.rank == 0 || !is_leafy(x, &budget, &counter))
        return NULL;
    if (!counter) return NULL;
    Node *in[3];
    for (int i = 0; i < x->n_in; i++) {
        Node *q = x->in[i];
        if (node_is_const(q)) {
            Type t = n->type;
            t.dtype = q->type.dtype;
            in[i] = node_filled(s->g, q, &t);
        } else {
            in[i] = view_again(s, n, q);
        }
    }
    return graph_add(s->g, x->op, &x->attrs, x->n_in, in);
}

static Node *permute_of_concat(Simplify *s, const Node *n, Node *x) {
    int axis = 0;
    Node **in = NEW_ARRAY(s->scratch, Node *, x->n_in);
    for (int i = 0; i < x->n_in; i++) in[i] = node_permute(s->g, x->in[i], n->attrs.axes);
    for (int i = 0; i < n->type.rank; i++)
        if (n->attrs.axes[i] == x->attrs.axis) axis = i;
    return graph_add(s->g, OP_CONCAT, &(Attrs){.axis = axis}, x->n_in, in);
}

/* A product writes rows along its last axis. Rows too short for a vector, the taps of a window, would tear each vector apart: then
 * whoever reads the result finds its way. */
static bool shortens_rows(const Node *n) {
    Size before = n->in[0]->type.dim[n->type.rank - 1], after = n->type.dim[n->type.rank - 1];
    int64_t row, now;
    return size_is_const(after, &now) && now < SHORT_ROW && (!size_is_const(before, &row) || row >= SHORT_ROW);
}

static Node *permute_of_contract(Simplify *s, const Node *n, Node *x) {
    char labels[MAX_RANK + 1] = "";
    for (int i = 0; i < n->type.rank; i++) labels[i] = x->attrs.labels[2][n->attrs.axes[i]];
    labels[n->type.rank] = 0;
    return node_contract(s->g, x->in[0], x->in[1], x->attrs.labels[0], x->attrs.labels[1], labels);
}

/* A slice of a concat that is exactly one of its parts, or lies in one. */
static Node *slice_of_concat(Simplify *s, const Node *n, Node *x) {
    int axis = x->attrs.axis;
    Size from = size_const(s->g->program->sizes, 0);
    for (int i = 0; i < x->n_in; i++) {
        Size to = size_add(from, x->in[i]->type.dim[axis]);
        if (n->attrs.lo[axis] == from && n->attrs.hi[axis] == to) {
            Size lo[MAX_RANK], hi[MAX_RANK];
            memcpy(lo, n->attrs.lo, sizeof lo);
            memcpy(hi, n->attrs.hi, sizeof hi);
            lo[axis] = size_const(s->g->program->sizes, 0);
            hi[axis] = x->in[i]->type.dim[axis];
            return node_slice(s->g, x->in[i], lo, hi);
        }
        from = to;
    }
    return NULL;
}

bool reshape_groups(const Node *reshape, ReshapeGroups *g) {
    const Type *from = &reshape->in[0]->type, *to = &reshape->type;
    int i = 0, j = 0;
    *g = (ReshapeGroups){0};
    while (i < from->rank && j < to->rank) {
        Size a = from->dim[i++], b = to->dim[j++], quotient;
        while (a != b) {
            if (j < to->rank && size_divides(a, size_mul(b, to->dim[j]), &quotient)) b = size_mul(b, to->dim[j++]);
            else if (i < from->rank) a = size_mul(a, from->dim[i++]);
            else return false;
        }
        g->from[++g->n] = i;
        g->to[g->n] = j;
    }
    while (i < from->rank && size_is(from->dim[i], 1)) i++;
    while (j < to->rank && size_is(to->dim[j], 1)) j++;
    g->from[g->n] = i;
    g->to[g->n] = j;
    return g->n > 0 && i == from->rank && j == to->rank;
}

/* reshape then permute, where the permute moves whole groups of the reshape: permute first, so that it can vanish into the
 * letters of the contract below. */
static Node *permute_before_reshape(Simplify *s, const Node *n, Node *reshape) {
    ReshapeGroups g;
    int order[MAX_RANK], m = 0;
    if (!reshape_groups(reshape, &g)) return NULL;
    for (int k = 0; k < n->type.rank;) { /* axes of a group stay together, in order */
        int q = 0;
        while (g.to[q + 1] <= n->attrs.axes[k]) q++;
        for (int a = g.to[q]; a < g.to[q + 1]; a++, k++)
            if (k >= n->type.rank || n->attrs.axes[k] != a) return NULL;
        for (int a = g.from[q]; a < g.from[q + 1]; a++) order[m++] = a;
    }
    return node_reshape(s->g, node_permute(s->g, reshape->in[0], order), n->type.rank, n->type.dim);
}

/* Rows of a table, taken in the order in which they are wanted: sequences come time by time then, and a product over all steps
 * has one axis of rows. NULL: the elements of a row change places, too. */
static Node *permute_of_rows(Simplify *s, const Node *n, Node *gather) {
    Node *ids = gather->in[1];
    if (gather->attrs.flag || gather->attrs.axis || ids->type.rank < 2) return NULL;
    for (int i = ids->type.rank; i < n->type.rank; i++)
        if (n->attrs.axes[i] != i) return NULL;
    Node *in[] = {gather->in[0], node_permute(s->g, ids, n->attrs.axes)};
    return graph_add(s->g, OP_GATHER, &gather->attrs, 2, in);
}

static Node *simplify_permute(Simplify *s, const Node *n, Node *x) {
    if (x->op == OP_PERMUTE) return compose_permutes(s, n, x);
    if (keeps_order(n, &x->type)) return node_reshape(s->g, x, n->type.rank, n->type.dim);
    if (x->op == OP_CONCAT && used_once(s, n, 0)) return permute_of_concat(s, n, x);
    if (x->op == OP_CONTRACT && used_once(s, n, 0) && !shortens_rows(n)) return permute_of_contract(s, n, x);
    if (x->op == OP_GATHER && used_once(s, n, 0)) return permute_of_rows(s, n, x);
    if (x->op == OP_RESHAPE && used_once(s, n, 0) && (x->in[0]->op == OP_CONTRACT || x->in[0]->op == OP_CONCAT))
        return permute_before_reshape(s, n, x);
    return NULL;
}

Node *simplify_view(Simplify *s, const Node *n, Node **in) {
    Node *x = in[0];
    if (type_equal(&x->type, &n->type) && n->op != OP_PERMUTE) return x;
    if (node_is_const(x)) return node_filled(s->g, x, &n->type);
    if (x->op == OP_IOTA) return view_of_iota(s, n, x);
    Node *sunk = sink(s, n, x);
    if (sunk) return sunk;
    switch (n->op) {
    case OP_RESHAPE: return x->op == OP_RESHAPE ? node_reshape(s->g, x->in[0], n->type.rank, n->type.dim) : NULL;
    case OP_EXPAND:
        if (x->op == OP_EXPAND || (x->op == OP_RESHAPE && adds_leading_ones(x)))
            return node_expand(s->g, x->in[0], n->type.rank, n->type.dim);
        return NULL;
    case OP_SLICE:
        if (x->op == OP_SLICE) return compose_slices(s, n, x);
        return x->op == OP_CONCAT ? slice_of_concat(s, n, x) : simplify_slice(s, n, x);
    case OP_PERMUTE: return simplify_permute(s, n, x);
    default: return NULL;
    }
}

/* ---- reductions */

Node *simplify_reduce(Simplify *s, const Node *n, Node **in) {
    Node *x = in[0];
    bool ones = true;
    for (int i = 0; i < n->attrs.n_axes; i++) ones = ones && size_is(x->type.dim[n->attrs.axes[i]], 1);
    if (n->attrs.fn == REDUCE_ARGMAX || n->attrs.fn == REDUCE_ARGMIN) return ones ? node_const(s->g, n->type, 0) : NULL;
    if (ones) return node_reshape(s->g, x, n->type.rank, n->type.dim);
    Size count = size_const(s->g->program->sizes, 1);
    for (int i = 0; i < n->attrs.n_axes; i++) count = size_mul(count, x->type.dim[n->attrs.axes[i]]);
    int64_t low, high, k;
    size_range(count, &low, &high);
    if (node_is_const(x) && low > 0) {
        if (n->attrs.fn != REDUCE_SUM || const_is(x, 0)) return node_filled(s->g, x, &n->type);
        if (dtype_is_float(n->type.dtype) && size_is_const(count, &k))
            return node_const(s->g, n->type, x->attrs.number * (double)k);
    }
    return NULL;
}

/* ---- contracts */

static Node *without_batch(Simplify *s, Node *x, const char *labels, const char *other, const char *result, char *left) {
    if (x->op != OP_EXPAND) return NULL;
    Node *z = x->in[0];
    int missing = x->type.rank - z->type.rank, rank = 0;
    Size dim[MAX_RANK];
    bool dropped = false;
    for (int i = 0; i < x->type.rank; i++) {
        bool stretched = i < missing || z->type.dim[i - missing] != x->type.dim[i];
        if (stretched && !(strchr(other, labels[i]) && strchr(result, labels[i]))) return NULL;
        if (stretched) {
            dropped = true;
            continue;
        }
        dim[rank] = x->type.dim[i];
        left[rank++] = labels[i];
    }
    left[rank] = 0;
    return dropped ? node_reshape(s->g, z, rank, dim) : NULL;
}

static bool shares_summed(const char *a, const char *b, const char *result) { /* some letter is summed, in both */
    for (const char *c = a; *c; c++)
        if (strchr(b, *c) && !strchr(result, *c)) return true;
    return false;
}

static bool is_kept(const Graph *g, const Node *n) {
    while (op_row(n->op)->class == CLASS_VIEW) n = n->in[0];
    return n->op == OP_UPDATE_AT || (n->op == OP_SLOT && g->program->slots.at[n->attrs.index]->kind == SLOT_CACHE);
}

/* What x makes f32 of, f16 or bf16 that a cache keeps, in the places of x; NULL: something else. */
static Node *kept_halves(Simplify *s, Node *x) {
    if (x->op == OP_CAST) {
        DType d = x->in[0]->type.dtype;
        return x->type.dtype == DT_F32 && (d == DT_F16 || d == DT_BF16) && is_kept(s->g, x->in[0]) ? x->in[0] : NULL;
    }
    if (op_row(x->op)->class != CLASS_VIEW || x->n_in != 1) return NULL;
    Node *inner = kept_halves(s, x->in[0]);
    return inner ? like_with(s, x, &x->attrs, 1, &inner) : NULL;
}

/*   contract %q, (cast %cache)  →  contract %q, %cache        a product reads them as they are: they never stand in memory as f32 */
static Node *contract_halves(Simplify *s, const Node *n, Node **in) {
    const Attrs *a = &n->attrs;
    for (int side = 1; side >= 0; side--) {
        Node *kept = in[1 - side]->type.dtype == DT_F32 ? kept_halves(s, in[side]) : NULL;
        if (kept) return node_contract(s->g, in[1 - side], kept, a->labels[1 - side], a->labels[side], a->labels[2]);
    }
    return NULL;
}

Node *simplify_contract(Simplify *s, const Node *n, Node **in) {
    Node *halves = contract_halves(s, n, in);
    if (halves) return halves;
    for (int side = 0; side < 2; side++) {
        Node *x = in[side];
        const char *labels = n->attrs.labels[side], *other = n->attrs.labels[1 - side];
        char changed[MAX_RANK + 1] = "";
        Node *operand = NULL;
        if (x->op == OP_PERMUTE) {
            for (int i = 0; i < x->type.rank; i++) changed[x->attrs.axes[i]] = labels[i];
            changed[x->type.rank] = 0;
            operand = x->in[0];
        } else {
            operand = without_batch(s, x, labels, other, n->attrs.labels[2], changed);
            if (operand && !shares_summed(changed, other, n->attrs.labels[2])) operand = NULL;
        }
        if (!operand) continue;
        return side == 0 ? node_contract(s->g, operand, in[1], changed, other, n->attrs.labels[2])
                         : node_contract(s->g, in[0], operand, other, changed, n->attrs.labels[2]);
    }
    return NULL;
}
