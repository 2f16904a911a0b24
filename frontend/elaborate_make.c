/* elaborate_make.c -- intrinsics that make tensors: constants, counters, random numbers (INTRINSICS.md 7 and 9).
 *
 * A random number is a pure function of seed, site, step and element. The site is given here: for entries FNV-1a of the entry's
 * name plus the number of the draw, for initial values FNV-1a of the weight's path with a step of its own. Inside a scan the
 * number of the iteration is one more operand. */
#include "frontend/elab.h"
#include "ir/op.h"

#include <math.h>
#include <string.h>

static Value of_type(const TypeV *t, Node *n) {
    return value_tensor(n, t->policy);
}

static Value fn_zeros(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "zeros(float[b, d])");
    return of_type(t, emit_const(el, t->type, 0));
}

static Value fn_ones(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "ones(float[b, d])");
    return of_type(t, emit_const(el, t->type, 1));
}

static Value fn_full(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "full(float[b, d], 0.5)");
    Value v = c->arg[1].value;
    if (v.kind == V_BOOL || is_number(v) || (v.kind == V_TENSOR && !tensor_rank(v))) {
        bool fits = v.kind == V_BOOL ? t->type.dtype == DT_BOOL
                                     : t->type.dtype != DT_BOOL && (v.kind != V_NUM || dtype_is_float(t->type.dtype));
        if (is_strong(v)) fits = tensor_checked(v) == type_checked(t->type.dtype, t->policy);
        if (fits) return of_type(t, operand(el, v, &t->type));
    }
    fault(el, c->arg[1].node, 203, "the value of full must be one %s", dtype_text(t));
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_text(el, v));
    fault_throw(el);
}

static Value fn_iota(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "iota(i32[t])");
    int axis = 0;
    if (t->type.dtype == DT_BOOL) {
        fault(el, c->arg[0].node, 203, "iota of bool");
        fault_throw(el);
    }
    if (c->arg[1].value.kind != V_NONE) {
        Node shown = {.type = t->type};
        axis = need_axis(el, &c->arg[1], t->type.rank, &shown);
    } else if (t->type.rank != 1) {
        fault(el, c->node, 302, "say along which axis iota counts");
        fault_help(el, "iota(i32[t, s], axis = 0)");
        fault_throw(el);
    }
    return of_type(t, emit_iota(el, t->type, axis));
}

/* ---- tensor([[1, 2], [3, 4]], i32) */

static void list_shape(Elab *el, Call *c, Value v, int depth, Type *t) {
    if (v.kind != V_LIST) return;
    if (depth == MAX_RANK) {
        fault(el, c->node, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    if (depth >= t->rank) {
        t->rank = depth + 1;
        t->dim[depth] = emit_size_const(el, v.list->item.n);
    }
    if (v.list->item.n) list_shape(el, c, v.list->item.at[0], depth + 1, t);
}

static void put_number(Elab *el, Call *c, Value v, const TypeV *type, Tensor *t, int64_t at) {
    bool whole = v.kind == V_INT || v.kind == V_BOOL;
    if (!whole && !(v.kind == V_NUM && t->f)) {
        fault(el, c->arg[0].node, 203, "an element of tensor must be %s known at compile time", dtype_text(type));
        fault_label(el, "one is %s", value_text(el, v));
        fault_throw(el);
    }
    int64_t n = v.kind == V_INT ? v.whole : v.kind == V_BOOL && v.truth;
    if (t->f) {
        t->f[at] = v.kind == V_NUM ? v.number : (double)n;
    } else if (t->dtype == DT_BOOL) {
        t->i[at] = n != 0;
    } else if (saturate_whole(t->dtype, n) != n) {
        fault(el, c->arg[0].node, 203, "%lld does not fit in %s", (long long)n, dtype_text(type));
        fault_throw(el);
    } else {
        t->i[at] = n;
    }
}

/* Elements from `at` on; returns the place behind them. */
static int64_t put_list(Elab *el, Call *c, Value v, const TypeV *type, int depth, Tensor *t, int64_t at) {
    if (depth == t->rank) {
        put_number(el, c, v, type, t, at);
        return at + 1;
    }
    if (v.kind != V_LIST || v.list->item.n != t->dim[depth]) {
        fault(el, c->arg[0].node, 301, "the rows of tensor differ in length");
        fault_throw(el);
    }
    for (int i = 0; i < v.list->item.n; i++) at = put_list(el, c, v.list->item.at[i], type, depth + 1, t, at);
    return at;
}

static Value fn_tensor(Elab *el, Call *c) {
    if (c->arg[1].value.kind != V_TYPE || c->arg[1].value.type->type.rank) {
        fault(el, c->arg[1].node, 305, "tensor takes a list and a type without sizes");
        fault_help(el, "tensor([1, 2, 3], i32)");
        fault_throw(el);
    }
    TypeV t = *c->arg[1].value.type;
    list_shape(el, c, c->arg[0].value, 0, &t.type);
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t.type.rank; i++) dim[i] = size_value(t.type.dim[i]);
    Tensor *values = tensor_new(el->arena, t.type.dtype, t.type.rank, dim);
    put_list(el, c, c->arg[0].value, &t, 0, values, 0);
    void *data = arena_alloc(el->program->arena, (size_t)type_fixed_bytes(&t.type) + 1);
    tensor_to_bytes(values, data);
    return of_type(&t, emit_data(el, t.type, data));
}

/* ---- random numbers */

static uint32_t next_site(Elab *el, uint64_t *step) {
    uint32_t draw = el->draws++;
    if (el->cx.training) lint_moved(el, el->cx.self);
    *step = el->initial ? UINT64_MAX - draw : 0;
    return el->initial ? el->site : el->site + draw;
}

static Node *number_operand(Elab *el, const Arg *a, double preset, DType d) {
    Value v = a->value;
    if (v.kind == V_NONE) return emit_scalar(el, d, preset);
    bool fits = is_numeric(v) || (v.kind == V_TENSOR && !tensor_rank(v) && tensor_dtype(v) != DT_BOOL);
    if (fits && d == DT_I64 && (v.kind == V_NUM || (v.kind == V_TENSOR && !dtype_is_int(tensor_dtype(v))))) fits = false;
    if (fits) return scalar_of(el, v, d);
    fault(el, a->node, 305, "`%s` must be one %s", a->name, d == DT_I64 ? "whole number" : "number");
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
    fault_throw(el);
}

static Value draw(Elab *el, Call *c, RandomFn fn, const TypeV *t, int n, Node **params) {
    Node *in[3];
    for (int i = 0; i < n; i++) in[i] = params[i];
    Node *step = iteration(el);
    if (step) in[n++] = step;
    Attrs a = {.fn = fn, .dtype = t->type.dtype, .n_shape = t->type.rank};
    for (int i = 0; i < t->type.rank; i++) a.shape[i] = t->type.dim[i];
    a.site = next_site(el, &a.step);
    (void)c;
    return of_type(t, emit(el, OP_RANDOM, &a, n, in));
}

static const TypeV *drawn_type(Elab *el, Call *c, bool fits, const char *want) {
    if (fits) return c->arg[0].value.type;
    kept_only(el, c->arg[0].value.type->type.dtype);
    fault(el, c->arg[0].node, 203, "%s makes %s, but the type is %s", c->fn->name, want, value_text(el, c->arg[0].value));
    fault_throw(el);
}

static Value fn_normal(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "normal(float[b, d])");
    drawn_type(el, c, dtype_has_gradient(t->type.dtype), "floats");
    Node *mean = number_operand(el, &c->arg[1], 0, DT_F32), *std = number_operand(el, &c->arg[2], 1, DT_F32);
    return draw(el, c, RANDOM_NORMAL, t, 2, (Node *[]){mean, std});
}

static Value fn_uniform(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "uniform(float[b, d])");
    drawn_type(el, c, dtype_has_gradient(t->type.dtype), "floats");
    Value low_value = c->arg[1].value, high_value = c->arg[2].value;
    if (low_value.kind != V_TENSOR && high_value.kind != V_TENSOR && low_value.kind != V_SIZE && high_value.kind != V_SIZE) {
        double low = low_value.kind == V_NONE ? 0 : number_value(low_value),
               high = high_value.kind == V_NONE ? 1 : number_value(high_value);
        if (low > high) {
            fault(el, c->node, 305, "uniform from %s to %s", number_text(el->arena, low), number_text(el->arena, high));
            fault_throw(el);
        }
    }
    Node *low = number_operand(el, &c->arg[1], 0, DT_F32), *high = number_operand(el, &c->arg[2], 1, DT_F32);
    return draw(el, c, RANDOM_UNIFORM, t, 2, (Node *[]){low, high});
}

static Value fn_bernoulli(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "bernoulli(bool[b, d], 0.5)");
    drawn_type(el, c, t->type.dtype == DT_BOOL, "bool");
    Node *p = number_operand(el, &c->arg[1], 0.5, DT_F32);
    return draw(el, c, RANDOM_BERNOULLI, t, 1, &p);
}

static Value fn_randint(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "randint(i32[b], 0, 10)");
    drawn_type(el, c, dtype_is_int(t->type.dtype) && !dtype_is_kept(t->type.dtype), "integers");
    Node *low = number_operand(el, &c->arg[1], 0, DT_I64), *high = number_operand(el, &c->arg[2], 0, DT_I64);
    if (c->arg[1].value.kind == V_INT && c->arg[2].value.kind == V_INT) {
        int64_t from = c->arg[1].value.whole, to = c->arg[2].value.whole;
        if (to <= from || (double)to - (double)from >= 4294967296.0) {
            fault(el, c->node, 409, "randint from %lld to %lld", (long long)from, (long long)to);
            fault_help(el, "low < high, at most 2^32 - 1 apart");
            fault_throw(el);
        }
    } else { /* 1 <= high - low < 2^32, checked when the entry runs */
        Node *span = emit2(el, OP_SUB, high, low), *one = emit_whole(el, type_scalar(DT_I64), 1);
        Node *most = emit_whole(el, type_scalar(DT_I64), 0xffffffff);
        Node *enough = emit2(el, OP_GE, span, one), *fits = emit2(el, OP_LE, span, most);
        emit_check(el, emit2(el, OP_AND, enough, fits), "randint: high - low is not in 1 to 4294967295");
    }
    return draw(el, c, RANDOM_RANDINT, t, 2, (Node *[]){low, high});
}

/* One step of Gram and Schmidt: v, row t of the matrix, without its part along the rows of q so far (twice, which makes it exact: Giraud and
 * others, 2005), as long as 1, becomes row t of q. */
static Graph *orthogonal_step(Elab *el, Type rows, Type row) {
    Graph *g = graph_new(el->program->arena, el->program);
    Node *t = graph_arg(g, type_scalar(DT_I32)), *q = graph_arg(g, rows), *v = graph_arg(g, row);
    for (int twice = 0; twice < 2; twice++) {
        Node *along = node_contract(g, q, v, "km", "m", "k");
        v = node_map2(g, OP_SUB, v, node_contract(g, along, q, "k", "km", "m"));
    }
    int all = 0;
    Node *length = node_map1(g, OP_SQRT, node_reduce(g, REDUCE_SUM, node_map2(g, OP_MUL, v, v), 1, &all));
    v = node_map2(g, OP_DIV, v, node_expand_like(g, length, v));
    Size one[2] = {emit_size_const(el, 1), row.dim[0]};
    graph_result(g, NULL, graph_add(g, OP_UPDATE_AT, NULL, 3, (Node *[]){q, node_reshape(g, v, 2, one), t}));
    return g;
}

/* Q of the QR decomposition of normal numbers, R with a positive diagonal: that is what Gram and Schmidt give, in f64. */
static Value fn_orthogonal(Elab *el, Call *c) {
    const TypeV *t = need_type(el, c, "orthogonal(float[64, 64])");
    drawn_type(el, c, dtype_has_gradient(t->type.dtype), "floats");
    if (!el->initial) {
        fault(el, c->node, 307, "orthogonal makes initial values only");
        fault_help(el, "write it after `param w: T =`, or in `init ... with`");
        fault_throw(el);
    }
    if (t->type.rank < 2) {
        fault(el, c->node, 205, "orthogonal makes two dimensions or more, but this has %d", t->type.rank);
        fault_throw(el);
    }
    Type a = {.dtype = DT_F64, .rank = 2, .dim = {t->type.dim[0], emit_size_const(el, 1)}};
    int64_t out, rest;
    for (int i = 1; i < t->type.rank; i++) a.dim[1] = size_mul(a.dim[1], t->type.dim[i]);
    if (!size_is_const(a.dim[0], &out) || !size_is_const(a.dim[1], &rest)) bug("a weight with a run-time size");
    TypeV drawn = {a, false};
    Node *mean = emit_scalar(el, DT_F32, 0), *deviation = emit_scalar(el, DT_F32, 1);
    Node *x = draw(el, c, RANDOM_NORMAL, &drawn, 2, (Node *[]){mean, deviation}).node;
    bool turned = out >= rest;
    int turn[2] = {1, 0};
    if (turned) x = emit_permute(el, x, turn);
    Graph *body = orthogonal_step(el, x->type, type_of(DT_F64, 1, x->type.dim + 1));
    Attrs scan = {.body = body, .extent = x->type.dim[0], .counts = {0, 1, 1, 0}};
    Node *in[] = {emit_const(el, x->type, 0), x};
    Node *q = emit_get(el, emit(el, OP_SCAN, &scan, 2, in), 0, x->type);
    if (turned) q = emit_permute(el, q, turn);
    Node *gain = number_operand(el, &c->arg[1], 1, DT_F64);
    q = emit2(el, OP_MUL, q, emit_expand(el, gain, 2, q->type.dim));
    return of_type(t, emit_reshape(el, emit_cast(el, q, t->type.dtype), t->type.rank, t->type.dim));
}

static Value fn_categorical(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    Node *in[2] = {c->arg[0].value.node, NULL};
    int n = 1;
    if (!in[0]->type.rank) {
        fault(el, c->arg[0].node, 407, "categorical needs an axis");
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    Node *step = iteration(el);
    if (step) in[n++] = step;
    Attrs a = {0};
    a.site = next_site(el, &a.step);
    return value_tensor(emit(el, OP_CATEGORICAL, &a, n, in), false);
}

static Value fn_one_hot(Elab *el, Call *c) {
    Node *ids = need_tensor(el, &c->arg[0]);
    Size count = need_size(el, &c->arg[1], "count");
    int rank = ids->type.rank;
    if (!dtype_is_int(ids->type.dtype)) {
        fault(el, c->arg[0].node, 203, "an index must be an integer, but it is %s", dtype_name(ids->type.dtype));
        fault_label(el, "this is %s", tensor_text(el, c->arg[0].value));
        fault_throw(el);
    }
    if (rank == MAX_RANK) {
        fault(el, c->node, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    emit_index_range(el, ids, count, ast_text(el->arena, c->arg[0].node), c->arg[0].node);
    Type t = {.dtype = ids->type.dtype, .rank = rank + 1};
    memcpy(t.dim, ids->type.dim, sizeof t.dim);
    t.dim[rank] = emit_size_const(el, 1);
    Node *column = emit_reshape(el, ids, rank + 1, t.dim);
    t.dim[rank] = count;
    Node *wide = emit_expand(el, column, rank + 1, t.dim), *places = emit_iota(el, t, rank);
    return value_tensor(emit_cast(el, emit2(el, OP_EQ, wide, places), DT_F32), false);
}

/* ---- fans of a type */

static Value fan(Elab *el, Call *c, bool in) {
    const TypeV *t = need_type(el, c, in ? "fan_in(T)" : "fan_out(T)");
    if (!t->type.rank) {
        fault(el, c->node, 305, "%s of a scalar", c->fn->name);
        fault_throw(el);
    }
    if (t->type.rank == 1) return value_size(t->type.dim[0]);
    Size n = emit_size_const(el, 1);
    for (int i = 0; i < t->type.rank; i++)
        if (i != (in ? 0 : 1)) n = size_mul(n, t->type.dim[i]);
    return value_size(n);
}

static Value fn_fan_in(Elab *el, Call *c) {
    return fan(el, c, true);
}
static Value fn_fan_out(Elab *el, Call *c) {
    return fan(el, c, false);
}

const Builtin builtins_make[] = {
    {"zeros", "T", fn_zeros},
    {"ones", "T", fn_ones},
    {"full", "T value", fn_full},
    {"iota", "T axis?", fn_iota},
    {"tensor", "values T", fn_tensor},
    {"normal", "T mean? std?", fn_normal},
    {"uniform", "T low? high?", fn_uniform},
    {"bernoulli", "T p", fn_bernoulli},
    {"randint", "T low high", fn_randint},
    {"orthogonal", "T gain?", fn_orthogonal},
    {"categorical", "probs", fn_categorical},
    {"one_hot", "ids count", fn_one_hot},
    {"fan_in", "T", fn_fan_in},
    {"fan_out", "T", fn_fan_out},
    {NULL, NULL, NULL},
};
