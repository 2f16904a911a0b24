/* elaborate_builtin.c -- the intrinsics: their table, their arguments, and those that work element by element (INTRINSICS.md
 * 3).
 *
 * A row is name, parameters, function. Parameters with `?` may be left out (the value is none then). Rows with `*` take any
 * number of arguments and look at Call.rest themselves. Rows without a function are known and refused: "not supported yet". The
 * other tables stand in elaborate_shape.c, elaborate_window.c, elaborate_make.c, elaborate_pattern.c, elaborate_effect.c,
 * elaborate_sample.c. */
#include "frontend/elab.h"
#include "ir/op.h"

#include <math.h>
#include <string.h>

/* ---- arguments */

static int split_params(Elab *el, const Builtin *b, Names *names) {
    const char *p = b->params;
    int required = 0;
    while (*p) {
        const char *end = strchr(p, ' ');
        if (!end) end = p + strlen(p);
        bool optional = end[-1] == '?';
        names_push(el, names, arena_copy(el->arena, p, (size_t)(end - p) - optional));
        required += !optional;
        p = *end ? end + 1 : end;
    }
    return required;
}

/* "sum(x, [axis], [keep])": those in brackets may be left out. */
static void fact_signature(Elab *el, const Builtin *b, const Names *names, int required) {
    const char *text = "";
    for (int i = 0; i < names->n; i++)
        text = arena_printf(el->arena, i < required ? "%s%s%s" : "%s%s[%s]", text, i ? ", " : "", names->at[i]);
    fault_fact(el, "%s(%s)", b->name, text);
}

Value call_builtin(Elab *el, const Builtin *b, Args *args, const Ast *node) {
    Call c = {.fn = b, .node = node};
    for (int i = 0; i < args->n; i++)
        if (args->at[i].value.kind == V_POISON) fault_silent(el);
    if (b->params[0] == '*') {
        c.rest = *args;
        c.n = args->n;
        return b->fn(el, &c);
    }
    Names names = {0};
    int required = split_params(el, b, &names), position = 0;
    bool given[10] = {false};
    for (int i = 0; i < names.n; i++) c.arg[i] = (Arg){value_none(), node, names.at[i]};
    for (int i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        int k = a->name ? -1 : position++;
        for (int p = 0; a->name && p < names.n; p++)
            if (!strcmp(names.at[p], a->name)) k = p;
        if (k < 0) {
            fault(el, a->node, 303, "%s has no argument `%s`", b->name, a->name);
            fact_signature(el, b, &names, required);
            fault_close(el, &names, a->name);
            fault_throw(el);
        }
        if (k >= names.n) {
            fault(el, a->node, 302, "%s takes %d argument%s, not %d", b->name, names.n, names.n == 1 ? "" : "s", args->n);
            fact_signature(el, b, &names, required);
            fault_throw(el);
        }
        if (given[k]) {
            fault(el, a->node, 303, "`%s` is given twice", names.at[k]);
            fault_throw(el);
        }
        given[k] = true;
        c.arg[k] = (Arg){a->value, a->node, names.at[k]};
    }
    for (int i = 0; i < names.n; i++) { /* the first ones must be there; they are the ones without `?` */
        if (i >= required || given[i]) continue;
        fault(el, node, 304, "%s needs `%s`", b->name, names.at[i]);
        fault_label(el, "missing argument");
        fact_signature(el, b, &names, required);
        fault_throw(el);
    }
    c.n = args->n;
    return b->fn(el, &c);
}

Value like(Value x, Node *n) {
    return value_tensor(n, x.policy);
}

Node *need_tensor(Elab *el, const Arg *a) {
    if (a->value.kind == V_TENSOR) return a->value.node;
    fault(el, a->node, 202, "this must be a tensor");
    fault_label(el, "this is %s", value_a(el, a->value));
    if (a->value.kind == V_NONE)
        fault_help(el, "it is an optional argument that was not given; test it first: if %s != none { ... }",
                   ast_text(el->arena, a->node));
    if (a->value.kind == V_TUPLE)
        fault_help(el, "it is a tuple of %d: take it apart with let (a, b) = ...;", a->value.list->item.n);
    fault_throw(el);
}

void need_float(Elab *el, const Arg *a) {
    if (dtype_is_float(need_tensor(el, a)->type.dtype)) return;
    fault(el, a->node, 203, "this needs a float tensor, but it is %s", dtype_name(tensor_dtype(a->value)));
    fault_label(el, "this is %s", tensor_text(el, a->value));
    fault_help(el, "convert it: cast(%s, float)", ast_text(el->arena, a->node));
    fault_throw(el);
}

int need_axis(Elab *el, const Arg *a, int rank, const Node *x) {
    Value v = a->value;
    if (v.kind != V_INT) {
        fault(el, a->node, 305, "an axis must be an integer known at compile time");
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    if (v.whole < -rank || v.whole >= rank) {
        const char *shown = tensor_text(el, value_tensor((Node *)x, false));
        fault(el, a->node, 407, "axis %lld does not exist", (long long)v.whole);
        if (rank) fault_label(el, "the tensor is %s, with axes 0 to %d", shown, rank - 1);
        else fault_label(el, "the tensor is %s, without axes", shown);
        fault_throw(el);
    }
    return (int)(v.whole < 0 ? v.whole + rank : v.whole);
}

int64_t need_int(Elab *el, const Arg *a, const char *what) {
    if (a->value.kind == V_INT) return a->value.whole;
    fault(el, a->node, 305, "%s must be an integer known at compile time", what);
    fault_label(el, "this is %s", value_a(el, a->value));
    fault_throw(el);
}

Size need_size(Elab *el, const Arg *a, const char *what) {
    if (is_size(a->value)) return value_as_size(el, a->value);
    fault(el, a->node, 305, "%s must be an integer or a dimension", what);
    fault_label(el, "this is %s", value_a(el, a->value));
    fault_throw(el);
}

const TypeV *need_type(Elab *el, const Call *c, const char *example) {
    if (c->arg[0].value.kind == V_TYPE) return c->arg[0].value.type;
    fault(el, c->node, 305, "%s takes the type to make", c->fn->name);
    fault_help(el, "such as %s", example);
    fault_throw(el);
}

/* ---- one argument */

static Value map1(Elab *el, Call *c, Op op) {
    if (is_numeric(c->arg[0].value)) return number_map(el, c->arg[0].value, c->node, op);
    need_float(el, &c->arg[0]);
    return like(c->arg[0].value, emit1(el, op, c->arg[0].value.node));
}

#define MAP1(name, OP)                                                                                                         \
    static Value fn_##name(Elab *el, Call *c) {                                                                                \
        return map1(el, c, OP);                                                                                                \
    }
MAP1(exp, OP_EXP)
MAP1(expm1, OP_EXPM1)
MAP1(log, OP_LOG)
MAP1(log1p, OP_LOG1P)
MAP1(sqrt, OP_SQRT)
MAP1(rsqrt, OP_RSQRT)
MAP1(sin, OP_SIN)
MAP1(cos, OP_COS)
MAP1(tanh, OP_TANH)
MAP1(erf, OP_ERF)

static Value fn_sigmoid(Elab *el, Call *c) {
    Value r = map1(el, c, OP_SIGMOID);
    if (r.kind == V_TENSOR) r.tag = "sigmoid";
    return r;
}

static Value fn_abs(Elab *el, Call *c) {
    Value v = c->arg[0].value;
    if (v.kind == V_INT && v.whole != INT64_MIN) return value_int(v.whole < 0 ? -v.whole : v.whole);
    if (v.kind == V_NUM) return value_num(fabs(v.number));
    if (v.kind == V_SIZE) return number_map(el, v, c->node, OP_ABS);
    Value r = like(v, emit1(el, OP_ABS, need_tensor(el, &c->arg[0])));
    r.weak = v.weak;
    return r;
}

static Value fn_sign(Elab *el, Call *c) {
    Value v = c->arg[0].value;
    if (v.kind == V_INT) return value_int((v.whole > 0) - (v.whole < 0));
    if (v.kind == V_NUM) return isnan(v.number) ? v : value_num((v.number > 0) - (v.number < 0));
    if (v.kind == V_SIZE) return number_map(el, v, c->node, OP_SIGN);
    Value r = like(v, emit1(el, OP_SIGN, need_tensor(el, &c->arg[0])));
    r.weak = v.weak;
    return r;
}

static Value rounder(Elab *el, Call *c, Op op, double rounded) {
    Value v = c->arg[0].value;
    if (is_size(v)) return v;
    if (v.kind == V_NUM) {
        if (fabs(rounded) < 9.2e18) return value_int((int64_t)rounded);
        fault(el, c->node, 415, "%s does not fit in 64 bits", value_text(el, v));
        fault_throw(el);
    }
    need_float(el, &c->arg[0]);
    Value r = like(v, emit1(el, op, v.node));
    r.weak = v.weak;
    return r;
}

static double number_or_zero(Value v) {
    return v.kind == V_NUM ? v.number : 0;
}
static Value fn_floor(Elab *el, Call *c) {
    return rounder(el, c, OP_FLOOR, floor(number_or_zero(c->arg[0].value)));
}
static Value fn_ceil(Elab *el, Call *c) {
    return rounder(el, c, OP_CEIL, ceil(number_or_zero(c->arg[0].value)));
}
static Value fn_round(Elab *el, Call *c) {
    return rounder(el, c, OP_ROUND, nearbyint(number_or_zero(c->arg[0].value)));
}

static Value fn_isnan(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    return value_tensor(emit1(el, OP_ISNAN, c->arg[0].value.node), false);
}

static Value fn_isinf(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    Node *x = emit1(el, OP_ABS, c->arg[0].value.node), *inf = emit_const(el, x->type, INFINITY);
    return value_tensor(emit2(el, OP_EQ, x, inf), false);
}

static Value fn_isfinite(Elab *el, Call *c) { /* abs(x) < inf is false for NaN */
    need_float(el, &c->arg[0]);
    Node *x = emit1(el, OP_ABS, c->arg[0].value.node), *inf = emit_const(el, x->type, INFINITY);
    return value_tensor(emit2(el, OP_LT, x, inf), false);
}

/* ---- several arguments */

static void need_values(Elab *el, int n, const Arg *a) {
    for (int i = 0; i < n; i++) {
        if (a[i].value.kind == V_TENSOR || is_number(a[i].value) || a[i].value.kind == V_BOOL) continue;
        fault(el, a[i].node, 202, "this must be a tensor or a number");
        fault_label(el, "this is %s", value_a(el, a[i].value));
        if (a[i].value.kind == V_NONE)
            fault_help(el, "it is an optional argument that was not given; test it first: if %s != none { ... }",
                       ast_text(el->arena, a[i].node));
        fault_throw(el);
    }
}

static Value extreme(Elab *el, Call *c, bool larger) {
    if (c->n != 2 || c->rest.at[0].name || c->rest.at[1].name) {
        fault(el, c->node, 302, "%s(a, b) compares element by element", c->fn->name);
        fault_help(el, "to reduce an axis: a%s(x, axis)", c->fn->name);
        fault_throw(el);
    }
    const Arg *a = c->rest.at;
    need_values(el, 2, a);
    Value v[] = {a[0].value, a[1].value};
    const Ast *n[] = {a[0].node, a[1].node};
    if (is_number(v[0]) && is_number(v[1])) {
        if (v[0].kind == V_INT && v[1].kind == V_INT) return (v[0].whole > v[1].whole) == larger ? v[0] : v[1];
        if (is_size(v[0]) && is_size(v[1])) {
            Size x = value_as_size(el, v[0]), y = value_as_size(el, v[1]);
            return value_size(larger ? size_max(x, y) : size_min(x, y));
        }
        if (v[0].kind != V_SIZE && v[1].kind != V_SIZE) {
            double x = number_value(v[0]), y = number_value(v[1]);
            return (x > y) == larger ? v[0] : v[1];
        }
    }
    Common t = common_type(el, c->node, 2, v, n);
    Type shape = {.dtype = t.dtype};
    common_shape(el, c->node, c->fn->name, 2, v, n, &shape);
    Node *x = operand(el, v[0], &shape), *y = operand(el, v[1], &shape);
    Value r = value_tensor(emit2(el, larger ? OP_MAX : OP_MIN, x, y), t.policy);
    r.weak = is_numeric(v[0]) && is_numeric(v[1]);
    return r;
}

static Value fn_max(Elab *el, Call *c) {
    return extreme(el, c, true);
}
static Value fn_min(Elab *el, Call *c) {
    return extreme(el, c, false);
}

static Value fn_atan2(Elab *el, Call *c) {
    need_values(el, 2, c->arg);
    Value v[] = {c->arg[0].value, c->arg[1].value};
    const Ast *n[] = {c->arg[0].node, c->arg[1].node};
    if (is_number(v[0]) && is_number(v[1]) && v[0].kind != V_SIZE && v[1].kind != V_SIZE)
        return value_num(atan2(number_value(v[0]), number_value(v[1])));
    for (int i = 0; i < 2; i++)
        if (is_strong(v[i])) need_float(el, &c->arg[i]);
    Common t = common_type(el, c->node, 2, v, n);
    Type shape = {.dtype = t.dtype};
    common_shape(el, c->node, "atan2", 2, v, n, &shape);
    Node *y = operand(el, v[0], &shape), *x = operand(el, v[1], &shape);
    return value_tensor(emit2(el, OP_ATAN2, y, x), t.policy);
}

static Value fn_clamp(Elab *el, Call *c) {
    need_values(el, 3, c->arg);
    Value v[] = {c->arg[0].value, c->arg[1].value, c->arg[2].value};
    const Ast *n[] = {c->arg[0].node, c->arg[1].node, c->arg[2].node};
    if ((v[0].kind == V_INT || v[0].kind == V_NUM) && is_number(v[1]) && is_number(v[2]) && v[1].kind != V_SIZE &&
        v[2].kind != V_SIZE) {
        double x = fmin(fmax(number_value(v[0]), number_value(v[1])), number_value(v[2]));
        return v[0].kind == V_INT && v[1].kind == V_INT && v[2].kind == V_INT ? value_int((int64_t)x) : value_num(x);
    }
    Common t = common_type(el, c->node, 3, v, n);
    Type shape = {.dtype = t.dtype}, all = {.dtype = t.dtype};
    common_shape(el, c->node, "clamp", 3, v, n, &all);
    if (v[0].kind == V_TENSOR) shape = *tensor_type(v[0]);
    if (!dims_equal(shape.rank, shape.dim, all.rank, all.dim)) {
        fault(el, c->node, 301, "the limits of clamp do not fit its argument");
        fault_fact(el, "argument: %s", v[0].kind == V_TENSOR ? tensor_text(el, v[0]) : value_text(el, v[0]));
        fault_throw(el);
    }
    shape.dtype = t.dtype;
    Node *x = operand(el, v[0], &shape), *low = operand(el, v[1], &shape), *high = operand(el, v[2], &shape);
    Value r = value_tensor(emit3(el, OP_CLAMP, x, low, high), t.policy);
    r.weak = is_numeric(v[0]) && is_numeric(v[1]) && is_numeric(v[2]);
    return r;
}

static Value fn_where(Elab *el, Call *c) {
    Value cond = c->arg[0].value;
    if (cond.kind == V_BOOL) {
        fault(el, c->arg[0].node, 405, "this condition is known at compile time");
        fault_help(el, "use c ? a : b");
        fault_throw(el);
    }
    need_tensor(el, &c->arg[0]);
    if (tensor_dtype(cond) != DT_BOOL) {
        fault(el, c->arg[0].node, 203, "the condition of where must be bool, but it is %s",
              cond.policy ? "float" : dtype_name(tensor_dtype(cond)));
        fault_label(el, "this is %s", tensor_text(el, cond));
        fault_throw(el);
    }
    need_values(el, 2, c->arg + 1);
    Value v[] = {cond, c->arg[1].value, c->arg[2].value};
    const Ast *n[] = {c->arg[0].node, c->arg[1].node, c->arg[2].node};
    bool all_bool = true;
    for (int i = 1; i < 3; i++)
        all_bool = all_bool && (v[i].kind == V_BOOL || (is_strong(v[i]) && tensor_dtype(v[i]) == DT_BOOL));
    Common t = all_bool ? (Common){DT_BOOL, false, true} : common_type(el, c->node, 2, v + 1, n + 1);
    if (!t.found && is_size(v[1]) && is_size(v[2])) t = (Common){DT_I32, false, true};
    Type cond_type = {.dtype = DT_BOOL};
    common_shape(el, c->node, "where", 3, v, n, &cond_type);
    Type type = cond_type;
    type.dtype = t.dtype;
    Node *k = operand(el, cond, &cond_type), *a = operand(el, v[1], &type), *b = operand(el, v[2], &type);
    return value_tensor(emit3(el, OP_WHERE, k, a, b), t.policy);
}

static Value fn_cast(Elab *el, Call *c) {
    Value x = c->arg[0].value, t = c->arg[1].value;
    if (t.kind != V_TYPE) {
        fault(el, c->arg[1].node, 305, "cast needs a type");
        fault_label(el, "such as f32");
        fault_throw(el);
    }
    DType d = t.type->type.dtype;
    if (t.type->type.rank) {
        fault(el, c->arg[1].node, 305, "cast takes a type without sizes");
        fault_label(el, "this is %s", value_text(el, t));
        fault_throw(el);
    }
    if (x.kind == V_NUM && dtype_is_int(d)) x = value_tensor(emit_scalar(el, DT_F64, x.number), false);
    if (x.kind == V_INT && dtype_is_int(d)) x.whole = saturate_whole(d, x.whole);
    if (is_number(x) || x.kind == V_BOOL) return value_tensor(scalar_of(el, x, d), t.type->policy);
    need_tensor(el, &c->arg[0]);
    return value_tensor(emit_cast(el, x.node, d), t.type->policy);
}

const Builtin builtins_map[] = {
    {"exp", "x", fn_exp},
    {"expm1", "x", fn_expm1},
    {"log", "x", fn_log},
    {"log1p", "x", fn_log1p},
    {"sqrt", "x", fn_sqrt},
    {"rsqrt", "x", fn_rsqrt},
    {"sin", "x", fn_sin},
    {"cos", "x", fn_cos},
    {"tanh", "x", fn_tanh},
    {"erf", "x", fn_erf},
    {"sigmoid", "x", fn_sigmoid},
    {"abs", "x", fn_abs},
    {"sign", "x", fn_sign},
    {"floor", "x", fn_floor},
    {"ceil", "x", fn_ceil},
    {"round", "x", fn_round},
    {"isnan", "x", fn_isnan},
    {"isinf", "x", fn_isinf},
    {"isfinite", "x", fn_isfinite},
    {"max", "*", fn_max},
    {"min", "*", fn_min},
    {"clamp", "x low high", fn_clamp},
    {"where", "cond a b", fn_where},
    {"cast", "x T", fn_cast},
    {"atan2", "y x", fn_atan2},
    {NULL, NULL, NULL},
};
