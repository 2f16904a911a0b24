/* elaborate_index.c -- x[...]: slices, windows with a run-time start, gathers; and the same on the left of `=`.
 *
 * Subscripts are first brought to one form per axis (Place), then the nodes follow: one static slice, slice_at for run-time
 * starts, gather for the tensor of indices, and a reshape that drops the axes with a single index. */
#include "frontend/elab.h"

#include <string.h>

typedef struct Place {
    Size lo, length; /* length 1 of a single index; lo NULL if `start` says it */
    Node *start;     /* i32 scalar */
    Node *ids;       /* indices of any rank: the axis becomes their shape */
    bool single;     /* the axis goes */
} Place;

static void out_of_bounds(Elab *el, const Ast *n, const char *format_what, Size value, Size size) __attribute__((noreturn));
static void out_of_bounds(Elab *el, const Ast *n, const char *what, Size value, Size size) {
    fault(el, n, 409, "%s %s %s a dimension of size %s", what, size_text(el->arena, value),
          !strcmp(what, "index") ? "in" : "of", size_text(el->arena, size));
    fault_throw(el);
}

/* A bound of a slice: constants and sizes; negative ones count from the end. */
static Size slice_bound(Elab *el, const Ast *n, Env *env, Size d, Size missing) {
    if (!ast_given(n)) return missing;
    Value v = ev(el, n, env);
    if (v.kind == V_TENSOR) {
        fault(el, n, 408, "the length of this slice would be known only at run time");
        fault_label(el, "this is %s", tensor_text(el, v));
        fault_help(el, "give start and length: x[start : +length]");
        fault_throw(el);
    }
    if (!is_size(v)) {
        fault(el, n, 203, "an index must be an integer");
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    Size s = value_as_size(el, v);
    int64_t low, high;
    size_range(s, &low, &high);
    return high < 0 ? size_add(d, s) : s;
}

static Place slice_place(Elab *el, const Ast *x, Env *env, Size d) {
    Size zero = emit_size_const(el, 0);
    Size lo = slice_bound(el, ast_kid(x, 0), env, d, zero), hi = slice_bound(el, ast_kid(x, 1), env, d, d);
    at(el, x);
    const char *text = arena_printf(el->arena, "slice %s of a dimension of size %s is out of bounds", ast_text(el->arena, x),
                                    size_text(el->arena, d));
    if (!require_ge(el, d, hi, text)) out_of_bounds(el, x, "slice up to", hi, d);
    if (!require_ge(el, lo, zero, text)) out_of_bounds(el, x, "slice from", lo, d);
    if (!require_ge(el, hi, lo, text)) out_of_bounds(el, x, "slice from the end before its start", hi, d);
    return (Place){.lo = lo, .length = size_sub(hi, lo)};
}

static Node *index_scalar(Elab *el, Value v, Size size, const Ast *n) {
    emit_index_range(el, v.node, size, ast_text(el->arena, n), n);
    return emit_cast(el, v.node, DT_I32);
}

static void need_integer(Elab *el, const Ast *x, Value v) {
    if (is_size(v) || (is_strong(v) && dtype_is_int(tensor_dtype(v)))) return;
    if (v.kind == V_TENSOR)
        fault(el, x, 203, "an index must be an integer, but it is %s", v.policy ? "float" : dtype_name(tensor_dtype(v)));
    else fault(el, x, 203, "an index must be an integer");
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
    fault_throw(el);
}

static Place window_place(Elab *el, const Ast *x, Env *env, Size d) {
    Size length = ev_dim(el, ast_kid(x, 1), env), one = emit_size_const(el, 1);
    Value v = ev(el, ast_kid(x, 0), env);
    need_integer(el, ast_kid(x, 0), v);
    at(el, x);
    const char *text = arena_printf(el->arena, "window %s of a dimension of size %s is out of bounds", ast_text(el->arena, x),
                                    size_text(el->arena, d));
    if (!require_ge(el, d, length, text)) out_of_bounds(el, x, "window of", length, d);
    if (v.kind == V_TENSOR) {
        if (tensor_rank(v)) {
            fault(el, ast_kid(x, 0), 203, "the start of a window is one number");
            fault_label(el, "this is %s", tensor_text(el, v));
            fault_throw(el);
        }
        return (Place){.start = index_scalar(el, v, size_add(size_sub(d, length), one), ast_kid(x, 0)), .length = length};
    }
    Size lo = value_as_size(el, v);
    if (!require_ge(el, lo, emit_size_const(el, 0), text)) out_of_bounds(el, x, "window from", lo, d);
    if (!require_ge(el, d, size_add(lo, length), text)) out_of_bounds(el, x, "window up to", size_add(lo, length), d);
    return (Place){.lo = lo, .length = length};
}

static Place index_place(Elab *el, const Ast *x, Env *env, Size d, bool *gathered) {
    Value v = ev(el, x, env);
    Size one = emit_size_const(el, 1);
    if (v.kind == V_POISON) fault_silent(el);
    need_integer(el, x, v);
    at(el, x);
    if (v.kind == V_TENSOR && !tensor_rank(v))
        return (Place){.start = index_scalar(el, v, d, x), .length = one, .single = true};
    if (v.kind == V_TENSOR) {
        if (*gathered) {
            fault(el, x, 410, "only one index may be a tensor");
            fault_throw(el);
        }
        *gathered = true;
        emit_index_range(el, v.node, d, ast_text(el->arena, x), x);
        return (Place){.ids = v.node};
    }
    Size s = value_as_size(el, v), given = s;
    int64_t low, high;
    size_range(s, &low, &high);
    if (high < 0) s = size_add(d, s);
    const char *text = arena_printf(el->arena, "index %s of a dimension of size %s is out of bounds", ast_text(el->arena, x),
                                    size_text(el->arena, d));
    if (!require_ge(el, s, emit_size_const(el, 0), text)) out_of_bounds(el, x, "index", given, d);
    if (!require_ge(el, d, size_add(s, one), text)) out_of_bounds(el, x, "index", given, d);
    return (Place){.lo = s, .length = one, .single = true};
}

/* One place an axis of b; `...` and what is missing at the end are whole axes. */
static void places(Elab *el, const Ast *n, const Ast *subs, Value b, Env *env, Place *out) {
    int rank = tensor_rank(b), given = 0, axis = 0;
    bool gathered = false, packed = false;
    for (int i = 0; i < subs->n; i++) given += !ast_is(ast_kid(subs, i), AST_PACK);
    if (given > rank) {
        fault(el, n, 407, "%d indices for %d dimension%s", given, rank, rank == 1 ? "" : "s");
        fault_label(el, "%s is %s", ast_text(el->arena, ast_kid(n, 0)), tensor_text(el, b));
        fault_throw(el);
    }
    const Size *dim = tensor_type(b)->dim;
    for (int i = 0; i < subs->n; i++) {
        const Ast *x = ast_kid(subs, i);
        if (ast_is(x, AST_PACK)) {
            if (packed) {
                fault(el, x, 407, "`...` stands twice in one index");
                fault_throw(el);
            }
            packed = true;
            for (int k = given; k < rank; k++, axis++) out[axis] = (Place){.lo = emit_size_const(el, 0), .length = dim[axis]};
            continue;
        }
        if (ast_is(x, AST_STAR)) {
            fault(el, x, 501, "`[*]` selects parameters and has no value here");
            fault_throw(el);
        }
        if (ast_is(x, AST_SLICE)) out[axis] = slice_place(el, x, env, dim[axis]);
        else if (ast_is(x, AST_WINDOW)) out[axis] = window_place(el, x, env, dim[axis]);
        else out[axis] = index_place(el, x, env, dim[axis], &gathered);
        axis++;
    }
    for (; axis < rank; axis++) out[axis] = (Place){.lo = emit_size_const(el, 0), .length = dim[axis]};
}

static Size ids_count(Elab *el, const Place *p) {
    Size n = emit_size_const(el, 1);
    for (int k = 0; k < p->ids->type.rank; k++) n = size_mul(n, p->ids->type.dim[k]);
    return n;
}

static Node *flat_ids(Elab *el, const Place *p) {
    Size n = ids_count(el, p);
    return emit_reshape(el, emit_cast(el, p->ids, DT_I32), 1, &n);
}

static Value tensor_index(Elab *el, const Ast *n, Value b, Env *env) {
    int rank = tensor_rank(b), out_rank = 0;
    Place place[MAX_RANK] = {{0}};
    places(el, n, ast_kid(n, 1), b, env, place);
    at(el, n);
    Size lo[MAX_RANK], hi[MAX_RANK], out[2 * MAX_RANK];
    const Size *dim = tensor_type(b)->dim;
    for (int i = 0; i < rank; i++) {
        bool whole = place[i].start || place[i].ids;
        lo[i] = whole ? emit_size_const(el, 0) : place[i].lo;
        hi[i] = whole ? dim[i] : size_add(place[i].lo, place[i].length);
    }
    Node *x = emit_slice(el, b.node, lo, hi);
    for (int i = 0; i < rank; i++)
        if (place[i].start)
            x = emit(el, OP_SLICE_AT, &(Attrs){.axis = i, .extent = place[i].length}, 2, (Node *[]){x, place[i].start});
    for (int i = 0; i < rank; i++) {
        if (!place[i].ids) {
            if (!place[i].single) out[out_rank++] = place[i].length;
            continue;
        }
        const Type *t = &place[i].ids->type;
        for (int k = 0; k < t->rank; k++) out[out_rank++] = t->dim[k];
    }
    if (out_rank > MAX_RANK) {
        fault(el, n, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    for (int i = 0; i < rank; i++)
        if (place[i].ids) {
            bool many = rank - 1 + place[i].ids->type.rank > MAX_RANK; /* axes of single indices go only below */
            Node *ids = many ? flat_ids(el, &place[i]) : emit_cast(el, place[i].ids, DT_I32);
            x = emit_gather(el, x, ids, &(Attrs){.axis = i});
        }
    return value_tensor(emit_reshape(el, x, out_rank, out), b.policy);
}

Value ev_index(Elab *el, const Ast *n, Env *env) {
    const Ast *subs = ast_kid(n, 1);
    Value b = ev(el, ast_kid(n, 0), env);
    if (b.kind == V_POISON) fault_silent(el);
    if (b.kind == V_TENSOR) return tensor_index(el, n, b, env);
    if (b.kind == V_FILEREF) return load_slice(el, b, n, env);
    if (b.kind == V_TYPE) {
        Ast type = *n; /* `T[b, t]`: the sizes of a type word */
        type.kind = AST_TYPE;
        type.text = dtype_text(b.type);
        Ast *shape[] = {ast_kid(n, 1)};
        type.kid = shape;
        type.n = 1;
        return ev_type(el, &type, env);
    }
    if (b.kind == V_FILE) {
        Value name = ev(el, ast_kid(subs, 0), env);
        if (name.kind == V_STR && subs->n == 1) return load_ref(el, b, name.text, n);
        fault(el, n, 703, "a tensor of a file is named by one string");
        fault_throw(el);
    }
    if (b.kind != V_LIST && b.kind != V_TUPLE) {
        fault(el, n, 504, "%s cannot be indexed", value_a(el, b));
        fault_throw(el);
    }
    if (subs->n != 1 || ast_is(ast_kid(subs, 0), AST_SLICE) || ast_is(ast_kid(subs, 0), AST_PACK) ||
        ast_is(ast_kid(subs, 0), AST_WINDOW)) {
        fault(el, n, 504, "a list has one index");
        fault_throw(el);
    }
    if (ast_is(ast_kid(subs, 0), AST_STAR)) {
        fault(el, ast_kid(subs, 0), 501, "`[*]` selects parameters and has no value here");
        fault_throw(el);
    }
    Value i = ev_const(el, ast_kid(subs, 0), env);
    int count = b.list->item.n;
    if (i.kind != V_INT) {
        fault(el, ast_kid(subs, 0), 504, "an index into a list must be known at compile time");
        fault_label(el, "this is %s", value_a(el, i));
        fault_throw(el);
    }
    if (i.whole < -count || i.whole >= count) {
        fault(el, ast_kid(subs, 0), 504, "`%s` has %d elements, 0 to %d", ast_text(el->arena, ast_kid(n, 0)), count, count - 1);
        fault_label(el, "there is no number %lld", (long long)i.whole);
        fault_throw(el);
    }
    return b.list->item.at[i.whole < 0 ? i.whole + count : i.whole];
}

/* ---- c[...] = v */

static Node *place_start(Elab *el, const Place *p) {
    return p->start ? p->start : emit_size(el, p->lo, DT_I32);
}

/* For each of n rows 1 + the last place j with ids[j] = row, or 0. In the order that sorts ids, equal ones stand together,
 * earlier ones first: the last of each run is the only one that counts. */
static Node *last_places(Elab *el, Node *ids, Size n) {
    Size zero = emit_size_const(el, 0), one = emit_size_const(el, 1), m = ids->type.dim[0], end = size_add(m, one);
    Node *order = emit(el, OP_SORT_IDS, NULL, 1, &ids);
    Node *sorted = emit(el, OP_GATHER, NULL, 2, (Node *[]){ids, order});
    Node *padded = emit(el, OP_PAD, &(Attrs){.number = -1, .lo = {zero}, .hi = {one}}, 1, &sorted);
    Node *last = emit2(el, OP_NE, sorted, emit_slice(el, padded, &one, &end));
    Node *counted = emit2(el, OP_ADD, order, emit_whole(el, order->type, 1));
    counted = emit_where(el, last, counted, emit_whole(el, order->type, 0));
    return emit(el, OP_SCATTER_ADD, &(Attrs){.n_shape = 1, .shape = {n}}, 2, (Node *[]){counted, sorted});
}

/* x with the slices of v at the places ids along `axis`; of equal ids the last counts. */
static Node *scattered(Elab *el, Node *x, Node *v, Node *ids, int axis) {
    Node *place = last_places(el, ids, x->type.dim[axis]), *none = emit_whole(el, place->type, 0);
    Node *hit = emit2(el, OP_GT, place, none), *row = emit2(el, OP_SUB, place, emit_whole(el, place->type, 1));
    Node *values = emit(el, OP_GATHER, &(Attrs){.axis = axis}, 2, (Node *[]){v, emit2(el, OP_MAX, row, none)});
    Size column[MAX_RANK];
    for (int k = 0; k < x->type.rank; k++) column[k] = k == axis ? x->type.dim[k] : emit_size_const(el, 1);
    return emit_where(el, emit_reshape(el, hit, x->type.rank, column), values, x);
}

static bool whole_axis(const Place *p, Size d) {
    return !p->start && !p->ids && size_is(p->lo, 0) && p->length == d;
}

/* x with v written at the places of axes from `axis` on: outer axes are cut out, updated, and put back. */
static Node *update(Elab *el, Node *x, Node *v, const Place *place, int axis) {
    int rank = x->type.rank, next = -1;
    while (axis < rank && whole_axis(&place[axis], x->type.dim[axis])) axis++;
    if (axis == rank) return v;
    for (int k = axis + 1; k < rank && next < 0; k++)
        if (!whole_axis(&place[k], x->type.dim[k])) next = k;
    Node *ids = place[axis].ids ? flat_ids(el, &place[axis]) : NULL;
    if (next >= 0) {
        Node *inner;
        if (ids) {
            inner = emit(el, OP_GATHER, &(Attrs){.axis = axis}, 2, (Node *[]){x, ids});
        } else if (place[axis].start) {
            inner = emit(el, OP_SLICE_AT, &(Attrs){.axis = axis, .extent = place[axis].length}, 2,
                         (Node *[]){x, place[axis].start});
        } else {
            Size lo[MAX_RANK], hi[MAX_RANK];
            for (int k = 0; k < rank; k++) {
                lo[k] = k == axis ? place[k].lo : emit_size_const(el, 0);
                hi[k] = k == axis ? size_add(place[k].lo, place[k].length) : x->type.dim[k];
            }
            inner = emit_slice(el, x, lo, hi);
        }
        v = update(el, inner, v, place, next);
    }
    if (ids) return scattered(el, x, v, ids, axis);
    return emit(el, OP_UPDATE_AT, &(Attrs){.axis = axis}, 3, (Node *[]){x, v, place_start(el, &place[axis])});
}

/* The tensor b with the slice that the index expression n names replaced by v. */
Node *index_update(Elab *el, const Ast *n, Value b, Value v, Env *env) {
    Place place[MAX_RANK] = {{0}};
    int rank = tensor_rank(b), shown = 0;
    places(el, n, ast_kid(n, 1), b, env, place);
    at(el, n);
    Type full = {.dtype = tensor_dtype(b), .rank = rank}, slice = {.dtype = tensor_dtype(b)};
    for (int i = 0; i < rank; i++) {
        const Type *ids = place[i].ids ? &place[i].ids->type : NULL;
        full.dim[i] = ids ? ids_count(el, &place[i]) : place[i].length;
        int more = ids ? ids->rank : !place[i].single;
        if (shown + more > MAX_RANK) {
            fault(el, n, 205, "a tensor has at most %d dimensions", MAX_RANK);
            fault_throw(el);
        }
        for (int k = 0; k < more; k++) slice.dim[shown++] = ids ? ids->dim[k] : place[i].length;
    }
    slice.rank = shown;
    TypeV want = {slice, b.policy};
    const char *what = arena_printf(el->arena, "`%s`", ast_text(el->arena, n));
    if (v.kind != V_TENSOR && !is_number(v) && v.kind != V_BOOL) {
        fault(el, n, 202, "%s must be a tensor", what);
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    if (is_strong(v) && tensor_rank(v) && !dims_equal(tensor_rank(v), tensor_type(v)->dim, slice.rank, slice.dim)) {
        fault(el, n, 201, "%s has the shape %s, but the new value has %s", what, typev_text(el, &want), tensor_text(el, v));
        fault_throw(el);
    }
    bool type_fits = !is_strong(v) || (tensor_checked(v) == tensor_checked(b) && (v.policy == b.policy || v.policy));
    if (!type_fits || (v.kind == V_NUM && !dtype_is_float(slice.dtype))) {
        const char *have = v.kind == V_TENSOR ? (v.policy ? "float" : dtype_name(tensor_dtype(v))) : value_a(el, v);
        fault(el, n, 203, "%s is %s, but the new value is %s", what, dtype_text(&want), have);
        fault_help(el, "convert it: cast(..., %s)", dtype_text(&want));
        fault_throw(el);
    }
    Node *value = emit_reshape(el, operand(el, v, &slice), rank, full.dim);
    return update(el, b.node, value, place, 0);
}
