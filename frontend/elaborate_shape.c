/* elaborate_shape.c -- intrinsics that reduce, move or look up elements (INTRINSICS.md 4 to 6, 10). */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

/* ---- reductions */

typedef struct Axes {
    int n, at[MAX_RANK];
    bool all; /* none given */
} Axes;

static Axes axes_of(Elab *el, const Arg *a, const Node *x) {
    Axes out = {0};
    int rank = x->type.rank;
    if (a->value.kind == V_NONE) {
        out.all = true;
        for (int i = 0; i < rank; i++) out.at[out.n++] = i;
        return out;
    }
    bool list = a->value.kind == V_LIST;
    int n = list ? a->value.list->item.n : 1;
    for (int i = 0; i < n; i++) {
        Arg one = {list ? a->value.list->item.at[i] : a->value, a->node, a->name};
        int axis = need_axis(el, &one, rank, x);
        for (int k = 0; k < out.n; k++) {
            if (out.at[k] != axis) continue;
            fault(el, a->node, 407, "axis %d is named twice", axis);
            fault_throw(el);
        }
        out.at[out.n++] = axis;
    }
    return out;
}

static bool keep_of(Elab *el, const Arg *a) {
    if (a->value.kind == V_NONE) return false;
    if (a->value.kind == V_BOOL) return a->value.truth;
    fault(el, a->node, 305, "`keep` must be true or false");
    fault_label(el, "this is %s", value_a(el, a->value));
    fault_throw(el);
}

/* Gives reduced axes back with size 1, if asked to. */
static Node *kept(Elab *el, Node *reduced, const Node *x, Axes axes, bool keep) {
    if (!keep) return reduced;
    Size dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = x->type.dim[i];
    for (int i = 0; i < axes.n; i++) dim[axes.at[i]] = emit_size_const(el, 1);
    return emit_reshape(el, reduced, x->type.rank, dim);
}

static Size count_of(Elab *el, const Node *x, Axes axes) {
    Size count = emit_size_const(el, 1);
    for (int i = 0; i < axes.n; i++) count = size_mul(count, x->type.dim[axes.at[i]]);
    return count;
}

/* x / count: by multiplication where that is the same. */
static Node *divide(Elab *el, Node *x, Size count) {
    int64_t n;
    if (size_is_const(count, &n) && n > 0 && !(n & (n - 1)))
        return emit2(el, OP_MUL, x, emit_const(el, x->type, 1.0 / (double)n));
    Node *by = emit_expand(el, emit_size(el, count, x->type.dtype), x->type.rank, x->type.dim);
    return emit2(el, OP_DIV, x, by);
}

/* sum, amax, amin, any, all of a compile-time list of numbers or bools. */
static bool of_list(Elab *el, Call *c, Value *out) {
    Value v = c->arg[0].value;
    if (v.kind != V_LIST || v.list->path) return false;
    const char *name = c->fn->name;
    bool logic = !strcmp(name, "any") || !strcmp(name, "all");
    Value r = logic ? value_bool(name[1] == 'l') : value_int(0);
    for (int i = 0; i < v.list->item.n; i++) {
        Value x = v.list->item.at[i];
        if (logic ? x.kind != V_BOOL : !is_number(x)) return false;
        if (logic) r.truth = name[1] == 'l' ? r.truth && x.truth : r.truth || x.truth;
        else if (!strcmp(name, "sum")) r = arith_binary(el, c->node, "+", r, x, c->node, c->node);
        else if (i == 0) r = x;
        else if (x.kind != V_SIZE && r.kind != V_SIZE && (number_value(x) > number_value(r)) == (name[2] == 'a')) r = x;
    }
    *out = r;
    return true;
}

/* The largest of nothing is an error, if there is a result at all: known here, or checked at the call. */
static void need_some(Elab *el, const Call *c, Size count) {
    const char *text = arena_printf(el->arena, "%s of an empty axis", c->fn->name);
    const Type *x = tensor_type(c->arg[0].value);
    int64_t low, high;
    size_range(count, &low, &high);
    if (low >= 1) return;
    Size all = emit_size_const(el, 1);
    for (int i = 0, same = 0; i < x->rank; i++) {
        all = size_mul(all, x->dim[i]);
        same += x->dim[i] == count;
        if (same == 2) return; /* t of t: nothing of no rows */
    }
    if (high >= 1 && all != count) { /* no result: no rows, or an empty axis of no rows */
        Node *one = emit_scalar(el, DT_I32, 1), *zero = emit_scalar(el, DT_I32, 0), *rows = NULL;
        Axes axes = axes_of(el, &c->arg[1], c->arg[0].value.node);
        for (int i = 0; i < x->rank; i++) {
            bool gone = false;
            for (int k = 0; k < axes.n; k++) gone = gone || axes.at[k] == i;
            Node *empty = gone ? NULL : emit2(el, OP_EQ, emit_size(el, x->dim[i], DT_I32), zero);
            if (empty) rows = rows ? emit2(el, OP_OR, rows, empty) : empty;
        }
        emit_check(el, emit2(el, OP_OR, rows, emit2(el, OP_GE, emit_size(el, count, DT_I32), one)), text);
        return;
    }
    if (require_ge(el, count, emit_size_const(el, 1), text)) return;
    fault(el, c->node, 409, "%s", text);
    fault_label(el, "of %s", tensor_text(el, c->arg[0].value));
    fault_throw(el);
}

static Value reduce(Elab *el, Call *c, ReduceFn fn) {
    Value list;
    if (of_list(el, c, &list)) return list;
    Node *x = need_tensor(el, &c->arg[0]);
    bool is_bool = x->type.dtype == DT_BOOL, logic = fn == REDUCE_ANY || fn == REDUCE_ALL;
    if (logic && !is_bool) {
        fault(el, c->arg[0].node, 203, "%s needs bool, but this is %s", c->fn->name, dtype_name(x->type.dtype));
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    if (!logic && is_bool) {
        fault(el, c->arg[0].node, 203, "%s of bool", c->fn->name);
        fault_help(el, "count with sum(cast(%s, i32))", ast_text(el->arena, c->arg[0].node));
        fault_throw(el);
    }
    Axes axes = axes_of(el, &c->arg[1], x);
    if (fn == REDUCE_MAX || fn == REDUCE_MIN) need_some(el, c, count_of(el, x, axes));
    Node *r = emit_reduce(el, fn, x, axes.n, axes.at);
    return like(c->arg[0].value, kept(el, r, x, axes, keep_of(el, &c->arg[2])));
}

static Value fn_sum(Elab *el, Call *c) {
    return reduce(el, c, REDUCE_SUM);
}
static Value fn_amax(Elab *el, Call *c) {
    return reduce(el, c, REDUCE_MAX);
}
static Value fn_amin(Elab *el, Call *c) {
    return reduce(el, c, REDUCE_MIN);
}
static Value fn_any(Elab *el, Call *c) {
    return reduce(el, c, REDUCE_ANY);
}
static Value fn_all(Elab *el, Call *c) {
    return reduce(el, c, REDUCE_ALL);
}

static Value fn_var(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    return reduce(el, c, REDUCE_VAR);
}

static Value fn_mean(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    DType narrow;
    Node *x = value_widened(el, c->arg[0].value.node, &narrow);
    Axes axes = axes_of(el, &c->arg[1], x);
    Node *r = divide(el, emit_reduce(el, REDUCE_SUM, x, axes.n, axes.at), count_of(el, x, axes));
    if (narrow != DT_COUNT) r = emit_cast(el, r, narrow);
    return like(c->arg[0].value, kept(el, r, x, axes, keep_of(el, &c->arg[2])));
}

/* m + log(sum(exp(x - m))), m the largest or 0; the gradient does not go through m, where it would cancel. A sum of 0, of nothing
 * but -inf, gives -inf as a constant: through the logarithm the gradient would be infinite. */
static Value fn_logsumexp(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    DType narrow;
    Node *x = value_widened(el, c->arg[0].value.node, &narrow);
    Axes axes = axes_of(el, &c->arg[1], x);
    Node *m = emit1(el, OP_STOP, emit_reduce(el, REDUCE_MAX, x, axes.n, axes.at));
    Node *inf = emit_const(el, m->type, INFINITY), *zero = emit_const(el, m->type, 0);
    Node *infinite = emit2(el, OP_EQ, emit1(el, OP_ABS, m), inf);
    m = emit3(el, OP_WHERE, infinite, zero, m);
    Node *wide = emit_expand(el, kept(el, m, x, axes, true), x->type.rank, x->type.dim);
    Node *total = emit_reduce(el, REDUCE_SUM, emit1(el, OP_EXP, emit2(el, OP_SUB, x, wide)), axes.n, axes.at);
    Node *none = emit2(el, OP_EQ, total, zero), *lowest = emit_const(el, m->type, -INFINITY);
    Node *r = emit2(el, OP_ADD, m, emit3(el, OP_WHERE, none, lowest, emit1(el, OP_LOG, total)));
    if (narrow != DT_COUNT) r = emit_cast(el, r, narrow);
    return like(c->arg[0].value, kept(el, r, x, axes, keep_of(el, &c->arg[2])));
}

/* A tensor of numbers: bool has no order and no sum. */
static Node *need_numbers(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    if (x->type.dtype != DT_BOOL) return x;
    fault(el, c->arg[0].node, 203, "%s of bool", c->fn->name);
    fault_help(el, "cast(%s, i32) makes 0 and 1 of it", ast_text(el->arena, c->arg[0].node));
    fault_throw(el);
}

static Value place_of(Elab *el, Call *c, ReduceFn fn) {
    Node *x = need_numbers(el, c);
    Axes axes = axes_of(el, &c->arg[1], x);
    bool keep = keep_of(el, &c->arg[2]);
    if (!axes.all && axes.n != 1) {
        fault(el, c->arg[1].node, 407, "%s takes one axis", c->fn->name);
        fault_throw(el);
    }
    Size count = count_of(el, x, axes);
    need_some(el, c, count);
    if (!axes.all) return value_tensor(kept(el, emit_reduce(el, fn, x, 1, axes.at), x, axes, keep), false);
    int zero = 0;
    return value_tensor(kept(el, emit_reduce(el, fn, emit_reshape(el, x, 1, &count), 1, &zero), x, axes, keep), false);
}

static Value fn_argmax(Elab *el, Call *c) {
    return place_of(el, c, REDUCE_ARGMAX);
}
static Value fn_argmin(Elab *el, Call *c) {
    return place_of(el, c, REDUCE_ARGMIN);
}

static Value fn_cumsum(Elab *el, Call *c) {
    Node *x = need_numbers(el, c);
    if (x->type.dtype == DT_I8 || x->type.dtype == DT_U8 || x->type.dtype == DT_I16) x = emit_cast(el, x, DT_I32);
    return like(c->arg[0].value, emit(el, OP_CUMSUM, &(Attrs){.axis = need_axis(el, &c->arg[1], x->type.rank, x)}, 1, &x));
}

static Node *along(Elab *el, Node *x, Node *ids, int axis) {
    return emit_gather(el, x, ids, &(Attrs){.axis = axis, .flag = 1});
}

static Value fn_topk(Elab *el, Call *c) {
    Node *x = need_numbers(el, c);
    Size k = need_size(el, &c->arg[1], "k"), one = emit_size_const(el, 1);
    if (!x->type.rank) {
        fault(el, c->arg[0].node, 407, "topk needs an axis");
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    Size n = x->type.dim[x->type.rank - 1];
    const char *text = arena_printf(el->arena, "topk: %s is not in 1 to %s", size_text(el->arena, k), size_text(el->arena, n));
    if (!require_ge(el, n, k, text) || !require_ge(el, k, one, text)) {
        fault(el, c->arg[1].node, 409, "k = %s of a dimension of size %s", size_text(el->arena, k), size_text(el->arena, n));
        fault_throw(el);
    }
    Node *ids = emit(el, OP_TOPK_IDS, &(Attrs){.extent = k}, 1, &x);
    Value out = value_list(el, V_TUPLE);
    list_push(el, out, like(c->arg[0].value, along(el, x, ids, x->type.rank - 1)));
    list_push(el, out, value_tensor(ids, false));
    return out;
}

/* ---- sorting: the last axis is sorted, others are brought there */

static void swap_last(int rank, int axis, int *order) {
    for (int i = 0; i < rank; i++) order[i] = i;
    order[axis] = rank - 1;
    order[rank - 1] = axis;
}

static Value sorted(Elab *el, Call *c, bool places) {
    Node *x = need_numbers(el, c);
    int rank = x->type.rank, order[MAX_RANK];
    Arg last = {value_int(-1), c->node, NULL};
    int axis = need_axis(el, c->arg[1].value.kind == V_NONE ? &last : &c->arg[1], rank, x);
    swap_last(rank, axis, order);
    x = emit_permute(el, x, order);
    Node *ids = emit(el, OP_SORT_IDS, &(Attrs){.flag = keep_of(el, &c->arg[2])}, 1, &x);
    Node *r = places ? ids : along(el, x, ids, rank - 1);
    return value_tensor(emit_permute(el, r, order), !places && c->arg[0].value.policy);
}

static Value fn_sort(Elab *el, Call *c) {
    return sorted(el, c, false);
}
static Value fn_argsort(Elab *el, Call *c) {
    return sorted(el, c, true);
}

/* ---- shapes */

static void size_list(Elab *el, const Arg *a, const char *name, Size *dim, int *rank, int *hole) {
    if (a->value.kind != V_LIST) {
        fault(el, a->node, 305, "%s takes a list of sizes", name);
        fault_label(el, "such as [b, %s]", hole ? "-1" : "d");
        fault_throw(el);
    }
    *rank = a->value.list->item.n;
    if (*rank > MAX_RANK) {
        fault(el, a->node, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    for (int i = 0; i < *rank; i++) {
        Arg one = {a->value.list->item.at[i], a->node, NULL};
        if (hole && one.value.kind == V_INT && one.value.whole == -1) {
            if (*hole >= 0) {
                fault(el, a->node, 302, "only one size may be -1");
                fault_throw(el);
            }
            *hole = i;
            dim[i] = emit_size_const(el, 1);
            continue;
        }
        dim[i] = need_size(el, &one, "a size");
    }
}

static Value fn_reshape(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    Size dim[MAX_RANK], total = emit_size_const(el, 1), known = total;
    int rank, hole = -1;
    size_list(el, &c->arg[1], "reshape", dim, &rank, &hole);
    for (int i = 0; i < x->type.rank; i++) total = size_mul(total, x->type.dim[i]);
    for (int i = 0; i < rank; i++) known = size_mul(known, dim[i]);
    const char *shown = value_text(el, c->arg[1].value);
    if (hole >= 0 && !size_divides(total, known, &dim[hole])) {
        fault(el, c->node, 214, "cannot reshape %s to %s", tensor_text(el, c->arg[0].value), shown);
        fault_label(el, "%s elements are not a multiple of %s", size_text(el->arena, total), size_text(el->arena, known));
        fault_throw(el);
    }
    if (hole < 0 && total != known) {
        fault(el, c->node, 214, "cannot reshape %s to %s", tensor_text(el, c->arg[0].value), shown);
        fault_label(el, "%s elements into %s", size_text(el->arena, total), size_text(el->arena, known));
        fault_throw(el);
    }
    return like(c->arg[0].value, emit_reshape(el, x, rank, dim));
}

static Value fn_flatten(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int64_t start = c->arg[1].value.kind == V_NONE ? 1 : need_int(el, &c->arg[1], "start");
    if (start < 0) {
        fault(el, c->arg[1].node, 407, "`start` cannot be negative");
        fault_throw(el);
    }
    if (x->type.rank <= start) return c->arg[0].value;
    Size dim[MAX_RANK], rest = emit_size_const(el, 1);
    for (int i = 0; i < start; i++) dim[i] = x->type.dim[i];
    for (int i = (int)start; i < x->type.rank; i++) rest = size_mul(rest, x->type.dim[i]);
    dim[start] = rest;
    return like(c->arg[0].value, emit_reshape(el, x, (int)start + 1, dim));
}

static Value fn_unsqueeze(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int rank = x->type.rank, axis = need_axis(el, &c->arg[1], rank + 1, x);
    if (rank == MAX_RANK) {
        fault(el, c->node, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    Size dim[MAX_RANK];
    for (int i = 0; i <= rank; i++)
        dim[i] = i < axis ? x->type.dim[i] : i == axis ? emit_size_const(el, 1) : x->type.dim[i - 1];
    return like(c->arg[0].value, emit_reshape(el, x, rank + 1, dim));
}

static Value fn_expand(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    Size dim[MAX_RANK];
    int rank;
    size_list(el, &c->arg[1], "expand", dim, &rank, NULL);
    if (!dims_fit(x->type.rank, x->type.dim, rank, dim)) {
        fault(el, c->node, 301, "cannot expand %s to %s", tensor_text(el, c->arg[0].value), value_text(el, c->arg[1].value));
        fault_throw(el);
    }
    return like(c->arg[0].value, emit_expand(el, x, rank, dim));
}

static Value fn_transpose(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int order[MAX_RANK], a = need_axis(el, &c->arg[1], x->type.rank, x), b = need_axis(el, &c->arg[2], x->type.rank, x);
    for (int i = 0; i < x->type.rank; i++) order[i] = i == a ? b : i == b ? a : i;
    return like(c->arg[0].value, emit_permute(el, x, order));
}

static Value fn_rev(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    return like(c->arg[0].value, emit(el, OP_REV, &(Attrs){.axis = need_axis(el, &c->arg[1], x->type.rank, x)}, 1, &x));
}

static Value fn_diagonal(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int rank = x->type.rank;
    if (rank < 2 || x->type.dim[rank - 1] != x->type.dim[rank - 2]) {
        fault(el, c->node, 301, "diagonal needs a square matrix");
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    return like(c->arg[0].value, emit1(el, OP_DIAGONAL, x));
}

/* The tensors of a list, of one type. */
static Node **tensor_list(Elab *el, Call *c, int *n, Common *type) {
    const Arg *a = &c->arg[0];
    if ((a->value.kind != V_LIST && a->value.kind != V_TUPLE) || !a->value.list->item.n) {
        fault(el, a->node, 305, "%s takes a list of tensors", c->fn->name);
        fault_label(el, "such as [a, b]");
        fault_throw(el);
    }
    *n = a->value.list->item.n;
    const Value *v = a->value.list->item.at;
    const Ast **nodes = NEW_ARRAY(el->arena, const Ast *, *n);
    for (int i = 0; i < *n; i++) {
        nodes[i] = ast_is(a->node, AST_LIST) && a->node->n == *n ? ast_kid(a->node, i) : a->node;
        Arg one = {v[i], nodes[i], NULL};
        if (v[i].kind != V_TENSOR) need_tensor(el, &one);
    }
    *type = common_type(el, c->node, *n, v, nodes);
    Node **out = NEW_ARRAY(el->arena, Node *, *n);
    for (int i = 0; i < *n; i++) out[i] = emit_cast(el, v[i].node, type->dtype);
    return out;
}

static void show_list(Elab *el, Call *c) {
    const ValueList *list = c->arg[0].value.list;
    for (int i = 0; i < list->item.n; i++) fault_fact(el, "%d: %s", i + 1, tensor_text(el, list->item.at[i]));
}

static Value fn_concat(Elab *el, Call *c) {
    if (c->arg[0].value.kind == V_LIST && c->arg[0].value.list->item.n && c->arg[0].value.list->item.at[0].kind == V_FILEREF)
        return load_concat(el, c);
    int n;
    Common t;
    Node **x = tensor_list(el, c, &n, &t);
    int axis = need_axis(el, &c->arg[1], x[0]->type.rank, x[0]);
    for (int i = 1; i < n; i++) {
        bool fits = x[i]->type.rank == x[0]->type.rank;
        for (int k = 0; fits && k < x[0]->type.rank; k++) fits = k == axis || x[i]->type.dim[k] == x[0]->type.dim[k];
        if (fits) continue;
        fault(el, c->node, 301, "shapes do not fit concat along axis %d", axis);
        show_list(el, c);
        fault_fact(el, "all other dimensions must be equal");
        fault_throw(el);
    }
    return value_tensor(n == 1 ? x[0] : emit(el, OP_CONCAT, &(Attrs){.axis = axis}, n, x), t.policy);
}

static Value fn_stack(Elab *el, Call *c) {
    int n;
    Common t;
    Node **x = tensor_list(el, c, &n, &t);
    int rank = x[0]->type.rank, axis = need_axis(el, &c->arg[1], rank + 1, x[0]);
    Size dim[MAX_RANK];
    for (int i = 1; i < n; i++) {
        if (type_equal(&x[i]->type, &x[0]->type)) continue;
        fault(el, c->node, 301, "stack needs equal shapes");
        show_list(el, c);
        fault_throw(el);
    }
    if (rank == MAX_RANK) {
        fault(el, c->node, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    for (int i = 0; i <= rank; i++)
        dim[i] = i < axis ? x[0]->type.dim[i] : i == axis ? emit_size_const(el, 1) : x[0]->type.dim[i - 1];
    for (int i = 0; i < n; i++) x[i] = emit_reshape(el, x[i], rank + 1, dim);
    return value_tensor(n == 1 ? x[0] : emit(el, OP_CONCAT, &(Attrs){.axis = axis}, n, x), t.policy);
}

static Value fn_split(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    Arg first = {value_int(0), c->node, NULL};
    int rank = x->type.rank, axis = need_axis(el, c->arg[2].value.kind == V_NONE ? &first : &c->arg[2], rank, x), n;
    Size whole = x->type.dim[axis], part[64], sum = emit_size_const(el, 0);
    Value parts = c->arg[1].value;
    if (parts.kind == V_LIST) {
        n = parts.list->item.n;
        for (int i = 0; i < n && i < 64; i++) {
            Arg one = {parts.list->item.at[i], c->arg[1].node, NULL};
            part[i] = need_size(el, &one, "a size");
            sum = size_add(sum, part[i]);
        }
        if (n <= 64 && sum != whole) {
            fault(el, c->node, 301, "the parts of split do not add up to the dimension");
            fault_label(el, "%s and %s", size_text(el->arena, sum), size_text(el->arena, whole));
            fault_throw(el);
        }
    } else {
        int64_t count = need_int(el, &c->arg[1], "the number of parts");
        n = count < 0 || count > 65 ? 65 : (int)count;
        Size each;
        if (count < 1 || !size_divides(whole, emit_size_const(el, count), &each)) {
            fault(el, c->node, 413, "dimension %d of %s does not split into %lld equal parts", axis,
                  tensor_text(el, c->arg[0].value), (long long)count);
            fault_label(el, "%s / %lld is not a whole number", size_text(el->arena, whole), (long long)count);
            fault_throw(el);
        }
        for (int i = 0; i < n && i < 64; i++) part[i] = each;
    }
    if (n > 64) {
        fault(el, c->arg[1].node, 413, "split makes at most 64 parts");
        fault_throw(el);
    }
    Value out = value_list(el, V_TUPLE);
    Size from = emit_size_const(el, 0);
    for (int i = 0; i < n; i++) {
        Size lo[MAX_RANK], hi[MAX_RANK];
        for (int k = 0; k < rank; k++) {
            lo[k] = k == axis ? from : emit_size_const(el, 0);
            hi[k] = k == axis ? size_add(from, part[i]) : x->type.dim[k];
        }
        from = size_add(from, part[i]);
        list_push(el, out, like(c->arg[0].value, emit_slice(el, x, lo, hi)));
    }
    return out;
}

static Node *padded(Elab *el, Node *x, const Size *lo, const Size *hi, double value) {
    Attrs a = {.number = value};
    for (int i = 0; i < x->type.rank; i++) {
        a.lo[i] = lo[i];
        a.hi[i] = hi[i];
    }
    return emit(el, OP_PAD, &a, 1, &x);
}

static Value fn_pad2d(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    Size pad = need_size(el, &c->arg[1], "pad"), around[MAX_RANK];
    if (x->type.rank < 2) {
        fault(el, c->arg[0].node, 205, "pad2d needs two dimensions or more, but this has %d", x->type.rank);
        fault_throw(el);
    }
    for (int i = 0; i < x->type.rank; i++) around[i] = i < x->type.rank - 2 ? emit_size_const(el, 0) : pad;
    return like(c->arg[0].value, padded(el, x, around, around, 0));
}

static Value fn_pad(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int axis = need_axis(el, &c->arg[1], x->type.rank, x);
    Size before = need_size(el, &c->arg[2], "before"), after = need_size(el, &c->arg[3], "after"), lo[MAX_RANK], hi[MAX_RANK];
    Value v = c->arg[4].value;
    if (v.kind != V_NONE && v.kind != V_INT && v.kind != V_NUM && v.kind != V_BOOL) {
        fault(el, c->arg[4].node, 305, "the value of pad must be a number known at compile time");
        fault_throw(el);
    }
    for (int i = 0; i < x->type.rank; i++) {
        lo[i] = i == axis ? before : emit_size_const(el, 0);
        hi[i] = i == axis ? after : emit_size_const(el, 0);
    }
    double number = v.kind == V_NONE ? 0 : v.kind == V_BOOL ? v.truth : number_value(v);
    return like(c->arg[0].value, padded(el, x, lo, hi, number));
}

static Value fn_repeat(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    Size n = need_size(el, &c->arg[1], "n"), wide[MAX_RANK], dim[MAX_RANK], one[MAX_RANK];
    int rank = x->type.rank, axis = need_axis(el, &c->arg[2], rank, x);
    if (rank == MAX_RANK) {
        fault(el, c->node, 205, "a tensor has at most %d dimensions here", MAX_RANK - 1);
        fault_throw(el);
    }
    for (int i = 0; i <= rank; i++) {
        one[i] = i <= axis ? x->type.dim[i] : i == axis + 1 ? emit_size_const(el, 1) : x->type.dim[i - 1];
        wide[i] = i == axis + 1 ? n : one[i];
    }
    for (int i = 0; i < rank; i++) dim[i] = i == axis ? size_mul(x->type.dim[i], n) : x->type.dim[i];
    Node *r = emit_expand(el, emit_reshape(el, x, rank + 1, one), rank + 1, wide);
    return like(c->arg[0].value, emit_reshape(el, r, rank, dim));
}

/* ---- looking up */

static Node *need_ids(Elab *el, const Arg *a, Size size) {
    Node *ids = need_tensor(el, a);
    if (!dtype_is_int(ids->type.dtype)) {
        fault(el, a->node, 203, "an index must be an integer, but it is %s",
              a->value.policy ? "float" : dtype_name(ids->type.dtype));
        fault_label(el, "this is %s", tensor_text(el, a->value));
        fault_throw(el);
    }
    emit_index_range(el, ids, size, ast_text(el->arena, a->node), a->node);
    return emit_cast(el, ids, DT_I32);
}

static Value fn_take(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]), *given = need_tensor(el, &c->arg[1]);
    Arg last = {value_int(-1), c->node, NULL};
    int rank = x->type.rank, axis = need_axis(el, c->arg[2].value.kind == V_NONE ? &last : &c->arg[2], rank, x);
    Size rest[MAX_RANK], one[MAX_RANK];
    for (int i = 0; i < rank; i++) one[i] = i == axis ? emit_size_const(el, 1) : x->type.dim[i];
    for (int i = 0; i < rank - 1; i++) rest[i] = x->type.dim[i < axis ? i : i + 1];
    if (!dims_equal(rank - 1, rest, given->type.rank, given->type.dim)) {
        fault(el, c->node, 301, "the indices of take have the wrong shape");
        fault_fact(el, "tensor:  %s", tensor_text(el, c->arg[0].value));
        fault_fact(el, "indices: %s", tensor_text(el, c->arg[1].value));
        fault_fact(el, "expected i32[%s]", dims_text(el, rank - 1, rest));
        fault_throw(el);
    }
    Node *ids = emit_reshape(el, need_ids(el, &c->arg[1], x->type.dim[axis]), rank, one);
    return like(c->arg[0].value, emit_reshape(el, along(el, x, ids, axis), rank - 1, rest));
}

static void fits_but_for(Elab *el, Call *c, const Node *x, const Node *ids, int axis, const char *name) {
    bool fits = x->type.rank == ids->type.rank;
    for (int i = 0; fits && i < x->type.rank; i++) fits = i == axis || x->type.dim[i] == ids->type.dim[i];
    if (fits) return;
    fault(el, c->node, 301, "the indices of %s have the wrong shape", name);
    fault_fact(el, "tensor:  %s", tensor_text(el, c->arg[0].value));
    fault_fact(el, "indices: %s", tensor_text(el, c->arg[1].value));
    fault_fact(el, "shapes must be equal except along axis %d", axis);
    fault_throw(el);
}

static Value fn_gather(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]);
    int axis = need_axis(el, &c->arg[2], x->type.rank, x);
    fits_but_for(el, c, x, need_tensor(el, &c->arg[1]), axis, "gather");
    return like(c->arg[0].value, along(el, x, need_ids(el, &c->arg[1], x->type.dim[axis]), axis));
}

static Value fn_scatter_add(Elab *el, Call *c) {
    Node *x = need_tensor(el, &c->arg[0]), *ids = need_tensor(el, &c->arg[1]), *v = need_tensor(el, &c->arg[2]);
    int axis = need_axis(el, &c->arg[3], x->type.rank, x);
    Value both[] = {c->arg[0].value, c->arg[2].value};
    const Ast *nodes[] = {c->arg[0].node, c->arg[2].node};
    Common t = common_type(el, c->node, 2, both, nodes);
    bool rows = ids->type.rank == 1 && x->type.rank != 1;
    bool fits = v->type.rank == x->type.rank;
    for (int i = 0; fits && i < x->type.rank; i++)
        fits = i == axis ? v->type.dim[i] == ids->type.dim[rows ? 0 : i] : v->type.dim[i] == x->type.dim[i];
    if (!rows) fits_but_for(el, c, x, ids, axis, "scatter_add");
    if (!fits) {
        fault(el, c->node, 301, "shapes do not fit scatter_add along axis %d", axis);
        for (int i = 0; i < 3; i++) fault_fact(el, "%s: %s", c->arg[i].name, tensor_text(el, c->arg[i].value));
        fault_throw(el);
    }
    Node *place = need_ids(el, &c->arg[1], x->type.dim[axis]);
    Attrs a = {.axis = axis, .flag = !rows, .n_shape = x->type.rank};
    for (int i = 0; i < x->type.rank; i++) a.shape[i] = x->type.dim[i];
    Node *sum = emit(el, OP_SCATTER_ADD, &a, 2, (Node *[]){v, place});
    return value_tensor(emit2(el, OP_ADD, x, sum), t.policy);
}

const Builtin builtins_shape[] = {
    {"sum", "x axis? keep?", fn_sum},
    {"mean", "x axis? keep?", fn_mean},
    {"var", "x axis? keep?", fn_var},
    {"amax", "x axis? keep?", fn_amax},
    {"amin", "x axis? keep?", fn_amin},
    {"argmax", "x axis? keep?", fn_argmax},
    {"argmin", "x axis? keep?", fn_argmin},
    {"any", "x axis? keep?", fn_any},
    {"all", "x axis? keep?", fn_all},
    {"logsumexp", "x axis? keep?", fn_logsumexp},
    {"cumsum", "x axis", fn_cumsum},
    {"topk", "x k", fn_topk},
    {"sort", "x axis? descending?", fn_sort},
    {"argsort", "x axis? descending?", fn_argsort},
    {"reshape", "x sizes", fn_reshape},
    {"flatten", "x start?", fn_flatten},
    {"unsqueeze", "x axis", fn_unsqueeze},
    {"expand", "x sizes", fn_expand},
    {"transpose", "x a b", fn_transpose},
    {"rev", "x axis", fn_rev},
    {"concat", "xs axis", fn_concat},
    {"stack", "xs axis", fn_stack},
    {"split", "x parts axis?", fn_split},
    {"pad2d", "x pad", fn_pad2d},
    {"pad", "x axis before after value?", fn_pad},
    {"repeat", "x n axis", fn_repeat},
    {"diagonal", "x", fn_diagonal},
    {"take", "x ids axis?", fn_take},
    {"gather", "x ids axis", fn_gather},
    {"scatter_add", "x ids updates axis", fn_scatter_add},
    {NULL, NULL, NULL},
};
