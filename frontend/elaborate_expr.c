/* elaborate_expr.c -- expressions: one function a kind. What is known at compile time is computed; tensors become nodes. */
#include "frontend/elab.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { STEP_LIMIT = 10 * 1000 * 1000, DEPTH_LIMIT = 8000 };

static Value ev_any(Elab *el, const Ast *n, Env *env, bool raw);

Value ev(Elab *el, const Ast *n, Env *env) {
    return ev_any(el, n, env, false);
}
Value ev_raw(Elab *el, const Ast *n, Env *env) {
    return ev_any(el, n, env, true);
}

Value ev_rhs(Elab *el, const Ast *n, Env *env) {
    return ast_is(n, AST_SCAN) ? ev_scan(el, n, env) : ev(el, n, env);
}

Value ev_const(Elab *el, const Ast *n, Env *env) {
    Value v = ev(el, n, env);
    if (v.kind == V_POISON) fault_silent(el);
    if (v.kind == V_TENSOR) {
        fault(el, n, 405, "this condition is known only at run time");
        fault_label(el, "this is %s", tensor_text(el, v));
        fault_help(el, "`if` and `?:` choose at compile time; to choose per element use where(cond, a, b)");
        fault_throw(el);
    }
    if (v.kind == V_SIZE) {
        fault(el, n, 405, "this is known only at run time");
        fault_label(el, "%s = %s", ast_text(el->arena, n), value_text(el, v));
        fault_throw(el);
    }
    return v;
}

bool ev_condition(Elab *el, const Ast *n, Env *env) {
    Value v = ev_const(el, n, env);
    if (v.kind == V_BOOL) return v.truth;
    fault(el, n, 405, "a condition must be true or false");
    fault_label(el, "this is %s", value_a(el, v));
    fault_throw(el);
}

Value value_tensor_of(Elab *el, Value v, const Ast *n) {
    return v.kind == V_WEIGHT ? weight_value(el, v.weight, n) : v;
}

/* ---- types */

Size ev_dim(Elab *el, const Ast *n, Env *env) {
    if (ast_is(n, AST_NAME) && !env_find(el, env, n->text)) {
        unknown_name(el, n, env, NAME_SIZE);
        fault_throw(el);
    }
    Value v = ev(el, n, env);
    if (v.kind == V_POISON) fault_silent(el);
    if (v.kind == V_NUM && v.number == floor(v.number) && fabs(v.number) < 9e15) v = value_int((int64_t)v.number);
    if (is_size(v)) {
        Size s = value_as_size(el, v);
        int64_t low, high;
        size_range(s, &low, &high);
        if (high < 0 && high != SIZE_NO_LIMIT) {
            fault(el, n, 217, "a dimension cannot be negative");
            fault_label(el, "%s = %s", ast_text(el->arena, n), size_text(el->arena, s));
            fault_throw(el);
        }
        return s;
    }
    if (v.kind == V_TENSOR) {
        fault(el, n, 210, "a dimension must be known before the program runs");
        fault_label(el, "this is a tensor, %s", tensor_text(el, v));
        fault_help(el, "take it as an argument of type `dim`, or from the shape of an input");
        fault_throw(el);
    }
    fault(el, n, 206, "a dimension must be an integer");
    fault_label(el, "this is %s", value_a(el, v));
    fault_throw(el);
}

static void add_dim(Elab *el, Type *t, Size s, const Ast *n) {
    if (t->rank == MAX_RANK) {
        fault(el, n, 205, "a tensor has at most %d dimensions", MAX_RANK);
        fault_throw(el);
    }
    t->dim[t->rank++] = s;
}

static void add_dims(Elab *el, Type *t, const Ast *dims, Env *env) {
    for (int i = 0; i < dims->n; i++) {
        const Ast *x = ast_kid(dims, i);
        if (!ast_is(x, AST_PACK)) {
            add_dim(el, t, ev_dim(el, x, env), x);
            continue;
        }
        if (!el->cx.pack) {
            fault(el, x, 207, "`...` stands for nothing here");
            fault_throw(el);
        }
        for (int k = 0; k < el->cx.pack->rank; k++) add_dim(el, t, el->cx.pack->dim[k], x);
    }
}

static Type element_type(Elab *el, const Ast *t, bool *policy) {
    TypeV here = float_type(el);
    DType d = here.type.dtype;
    bool is_float = !strcmp(t->text, "float");
    *policy = is_float && here.policy;
    if (!is_float && !dtype_parse(t->text, &d)) {
        fault(el, t, 206, "`%s` is no tensor type", t->text);
        fault_throw(el);
    }
    return type_scalar(d);
}

Value ev_type(Elab *el, const Ast *t, Env *env) {
    bool policy;
    if (!ast_is(t, AST_TYPE) && !ast_is(t, AST_DTYPE)) {
        fault(el, t, 206, "a tensor type is needed here");
        fault_throw(el);
    }
    Type type = element_type(el, t, &policy);
    if (t->n && ast_given(ast_kid(t, 0))) add_dims(el, &type, ast_kid(t, 0), env);
    Size count = emit_size_const(el, dtype_is_nibble(type.dtype) ? 1 : dtype_bytes(type.dtype));
    for (int i = 0; i < type.rank; i++) count = size_mul(count, type.dim[i]);
    if (count->overflow) {
        fault(el, t, 415, "a tensor of this type has more than 2^63 bytes");
        fault_throw(el);
    }
    return value_type(el, type, policy);
}

/* ---- names */

/* W0809: a name of a file, used where @deprecated stands before its declaration. */
static void warn_deprecated(Elab *el, const Ast *use, const Ast *decl) {
    const Ast *a = decl ? ast_attr(decl, "deprecated") : NULL;
    if (!a || !use->loc.source || use->loc.source->library) return;
    const Ast *args = ast_kid(a, 0);
    fault(el, use, 809, "`%s` is deprecated", decl->text);
    fault_place(el, decl, "declared here");
    if (args->n && ast_is(ast_kid(args, 0), AST_STR)) fault_help(el, "%s", ast_kid(args, 0)->text);
    elab_warn(el);
}

static Value named(Elab *el, const char *name, const Ast *n, Env *env, bool raw) {
    if (!strcmp(name, "training")) {
        if (el->cx.training && el->cx.self) el->cx.self->asked = true;
        return value_bool(el->cx.training);
    }
    if (!strcmp(name, "_")) {
        fault(el, n, 101, "`_` has no value");
        fault_throw(el);
    }
    Env *e = env_find(el, env, name);
    if (!e) {
        unknown_name(el, n, env, NAME_VALUE);
        fault_throw(el);
    }
    Var *own = env_own(e, name);
    Value v;
    if (own && own->pending) {
        fault(el, n, 213, "dimension `%s` is not known here", name);
        fault_label(el, "no argument given has it");
        fault_throw(el);
    } else if (own) {
        v = own->value;
        warn_deprecated(el, n, own->decl);
    } else {
        v = inst_get(el, e->inst, name, n);
        if (v.kind == V_POISON) {
            fault(el, n, 101, "`%s` does not exist in this variant of %s", name, e->inst->layer->name);
            fault_label(el, "it is declared under an `if` that is false");
            fault_throw(el);
        }
    }
    if (v.kind == V_POISON) fault_silent(el);
    return raw ? v : value_tensor_of(el, v, n);
}

/* "h.{i}.attn": {name} is a compile-time value of the scope. */
static Value string_value(Elab *el, const Ast *n, Env *env) {
    const char *out = "", *p = n->text, *end;
    for (const char *brace; (brace = string_brace(p, &end)); p = end) {
        const Ast *name = string_name(el, n, brace, end);
        Value v = named(el, name->text, name, env, false);
        if (v.kind == V_TENSOR || v.kind == V_SIZE) {
            fault(el, name, 405, "`%s` in a string must be known at compile time", name->text);
            fault_label(el, "this is %s", value_a(el, v));
            fault_throw(el);
        }
        out = arena_printf(el->arena, "%s%.*s%s", out, (int)(brace - p), p, value_text(el, v));
    }
    return value_str(*out ? arena_printf(el->arena, "%s%s", out, p) : p);
}

/* ---- lists: an element knows its place, because layers in it take their path from it */

static Value element(Elab *el, const Ast *n, Env *env, const char *base, Over *over, int i) {
    if (!base) return ev(el, n, env);
    return build(el, n, env, arena_printf(el->arena, "%s.%d", base, i), overs_below(el, over, NULL, i));
}

static Value list_value(Elab *el, const Ast *n, Env *env) {
    Value out = value_list(el, V_LIST);
    out.list->path = el->cx.build;
    Over *over = el->cx.over;
    for (int i = 0; i < n->n; i++) list_push(el, out, element(el, ast_kid(n, i), env, out.list->path, over, i));
    return out;
}

void ev_sequence(Elab *el, const Ast *n, Env *env, Values *out) {
    Value v = ev(el, n, env);
    const char *text = ast_text(el->arena, n);
    if (v.kind == V_POISON) fault_silent(el);
    if (v.kind == V_RANGE) {
        int64_t from, to;
        if (!size_is_const(v.range->from, &from) || !size_is_const(v.range->to, &to)) {
            fault(el, n, 612, "`for` is unrolled at compile time, but this range is known only at run time");
            fault_label(el, "%s = %s", text, value_text(el, v));
            fault_help(el, "use `scan` for a loop at run time");
            fault_throw(el);
        }
        if (to - from > STEP_LIMIT) {
            fault(el, n, 612, "`for` is unrolled, and %lld iterations are too many", (long long)(to - from));
            fault_help(el, "use `scan` for a loop at run time");
            fault_throw(el);
        }
        for (int64_t i = from; i < to; i++) PUSH(el->arena, *out, value_int(i));
        return;
    }
    if (v.kind == V_LIST || v.kind == V_TUPLE) {
        for (int i = 0; i < v.list->item.n; i++) PUSH(el->arena, *out, v.list->item.at[i]);
        return;
    }
    if (v.kind == V_TENSOR) {
        fault(el, n, 612, "`for` is unrolled at compile time and cannot run over a tensor");
        fault_label(el, "this is %s", tensor_text(el, v));
        fault_help(el, "loop over time with scan: scan x in %s along %d { ... }", text, tensor_rank(v) > 2 ? 1 : 0);
        fault_throw(el);
    }
    fault(el, n, 612, "`for` needs a range or a list");
    fault_label(el, "this is %s", value_a(el, v));
    fault_throw(el);
}

static Value comprehension(Elab *el, const Ast *n, Env *env) {
    Value out = value_list(el, V_LIST);
    out.list->path = el->cx.build;
    Over *over = el->cx.over;
    const char *build_path = el->cx.build;
    el->cx.build = NULL;
    Values items = {0};
    ev_sequence(el, ast_kid(n, 2), env, &items);
    el->cx.build = build_path;
    for (int i = 0; i < items.n; i++) {
        Env *e = env_new(el, env, ENV_BLOCK);
        bind_pattern(el, ast_kid(n, 1), items.at[i], e, false);
        list_push(el, out, element(el, ast_kid(n, 0), e, out.list->path, over, i));
    }
    return out;
}

static Size range_end(Elab *el, const Ast *n, Env *env) {
    Value v = ev(el, n, env);
    if (is_size(v)) return value_as_size(el, v);
    fault(el, n, 610, "a range goes from one whole number to another");
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
    if (v.kind == V_TENSOR) fault_help(el, "sizes must be known before the call: take it as an argument of type `dim`");
    fault_throw(el);
}

/* ---- members */

static Value tensor_member(Elab *el, const Ast *n, Value v) {
    if (!strcmp(n->text, "T")) {
        int rank = tensor_rank(v), order[MAX_RANK];
        if (rank < 2) {
            fault(el, n, 407, "`.T` needs two dimensions");
            fault_label(el, "this is %s", tensor_text(el, v));
            fault_throw(el);
        }
        for (int i = 0; i < rank; i++) order[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
        at(el, n);
        return value_tensor(emit_permute(el, v.node, order), v.policy);
    }
    if (!strcmp(n->text, "dtype")) return value_type(el, type_scalar(tensor_dtype(v)), v.policy);
    fault(el, n, 503, "a tensor has no `.%s`", n->text);
    fault_help(el, "it has .T and .dtype; dimensions are named in the signature: fn f[b, t](x: float[b, t])");
    fault_throw(el);
}

static Value member(Elab *el, const Ast *n, Env *env, bool raw) {
    if (n->text[0] == '*') {
        fault(el, n, 501, "`.%s` selects parameters and has no value here", n->text);
        fault_help(el, "selections are used in: over, freeze, init, quantize, except");
        fault_throw(el);
    }
    Value b = ev(el, ast_kid(n, 0), env);
    Names names = {0};
    switch (b.kind) {
    case V_POISON: fault_silent(el);
    case V_MODULE: {
        Var *own = env_own(b.module, n->text);
        if (own) warn_deprecated(el, n, own->decl);
        if (own) return own->value;
        for (int i = 0; i < b.module->vars.n; i++) names_push(el, &names, b.module->vars.at[i].name);
        fault(el, n, 101, "`%s` has no `%s`", ast_text(el->arena, ast_kid(n, 0)), n->text);
        fault_close(el, &names, n->text);
        fault_throw(el);
    }
    case V_INST: {
        Value v = inst_has(el, b.inst, n->text) ? inst_get(el, b.inst, n->text, n) : (Value){.kind = V_POISON};
        if (v.kind != V_POISON) return raw ? v : value_tensor_of(el, v, n);
        inst_names(el, b.inst, &names);
        fault(el, n, 503, "%s has no member `%s`", b.inst->layer->name, n->text);
        fault_close(el, &names, n->text);
        fault_throw(el);
    }
    case V_FILEREF: return load_member(el, b, n->text, n);
    case V_TENSOR: return tensor_member(el, n, b);
    default: fault(el, n, 503, "%s has no `.%s`", value_a(el, b), n->text); fault_throw(el);
    }
}

/* ---- calls and pipes */

static bool needs_parentheses(const Ast *n) {
    return ast_is(n, AST_BIN) || ast_is(n, AST_UN) || ast_is(n, AST_RANGE) || ast_is(n, AST_COND);
}

static void refuse_layer(Elab *el, const Ast *n, Value f, bool made) {
    if (f.kind != V_LAYER) return;
    if (made) {
        fault(el, n, 306, "layer %s is made inside a function", f.layer->name);
        fault_label(el, "its weights would have no name");
        fault_help(el, "make it a member, `m = %s;`, and write `|> m`", ast_text(el->arena, n));
    } else {
        fault(el, n, 306, "%s is a layer, not an instance", f.layer->name);
        fault_help(el, "make it a member, `m = %s(...);`, and write `|> m`", f.layer->name);
    }
    fault_throw(el);
}

static Value pipe(Elab *el, const Ast *n, Env *env) {
    const Ast *left = ast_kid(n, 0), *right = ast_kid(n, 1);
    for (int i = 0; i < 2; i++) { /* the parser says it too; kept for trees made otherwise */
        const Ast *q = ast_kid(n, i);
        if (!needs_parentheses(q)) continue;
        fault(el, q, 414, "`%s` and `|>` need parentheses", q->text ? q->text : "..");
        fault_throw(el);
    }
    Value x = ev(el, left, env);
    Args args = {0};
    PUSH(el->arena, args, ((Arg){x, left, NULL}));
    if (!ast_is(right, AST_CALL)) {
        Value f = ev(el, right, env);
        refuse_layer(el, right, f, false);
        el->cx.env = env;
        return call_value(el, f, &args, right);
    }
    Value f = ev(el, ast_kid(right, 0), env);
    refuse_layer(el, right, f, true);
    call_args(el, ast_kid(right, 1), env, f, &args);
    el->cx.env = env;
    return call_value(el, f, &args, right);
}

/* floor(a / b) and ceil(a / b) of whole numbers round instead of asking for a whole quotient. */
static bool rounded_division(Elab *el, const Ast *n, Env *env, Value *out) {
    const Ast *f = ast_kid(n, 0), *args = ast_kid(n, 1);
    if (!ast_is(f, AST_NAME) || (strcmp(f->text, "floor") && strcmp(f->text, "ceil")) || args->n != 1) return false;
    const Ast *q = ast_kid(args, 0);
    if (!ast_is(q, AST_BIN) || strcmp(q->text, "/")) return false;
    Value fn = ev(el, f, env);
    if (fn.kind != V_BUILTIN) return false;
    Value a = ev(el, ast_kid(q, 0), env), b = ev(el, ast_kid(q, 1), env);
    bool up = f->text[0] == 'c';
    if (is_size(a) && is_size(b)) {
        Size x = value_as_size(el, a), y = value_as_size(el, b);
        if (size_is(y, 0)) {
            fault(el, q, 413, "division by 0");
            fault_throw(el);
        }
        *out = value_size(up ? size_ceildiv(x, y) : size_floordiv(x, y));
        return true;
    }
    Value r = arith_binary(el, q, "/", a, b, ast_kid(q, 0), ast_kid(q, 1));
    Args one = {0};
    PUSH(el->arena, one, ((Arg){r, q, NULL}));
    *out = call_value(el, fn, &one, n);
    return true;
}

static Value call_expression(Elab *el, const Ast *n, Env *env) {
    Value rounded;
    if (rounded_division(el, n, env, &rounded)) return rounded;
    Value f = ev(el, ast_kid(n, 0), env);
    Args args = {0};
    bool paths = f.kind == V_BUILTIN && !strcmp(f.builtin->name, "reset");
    if (paths) {
        const Ast *a = ast_kid(n, 1);
        for (int i = 0; i < a->n; i++) {
            Values found = {0};
            select_values(el, ast_kid(a, i), env, &found);
            for (int k = 0; k < found.n; k++) PUSH(el->arena, args, ((Arg){found.at[k], ast_kid(a, i), NULL}));
        }
    } else {
        call_args(el, ast_kid(n, 1), env, f, &args);
    }
    el->cx.env = env;
    return call_value(el, f, &args, n);
}

static Value binary(Elab *el, const Ast *n, Env *env) {
    const Ast *an = ast_kid(n, 0), *bn = ast_kid(n, 1);
    Value a = ev(el, an, env);
    if (a.kind == V_BOOL && !strcmp(n->text, "&&") && !a.truth) return a;
    if (a.kind == V_BOOL && !strcmp(n->text, "||") && a.truth) return a;
    Value b = ev(el, bn, env);
    return arith_binary(el, n, n->text, a, b, an, bn);
}

static Value tuple_value(Elab *el, const Ast *n, Env *env) {
    Value out = value_list(el, V_TUPLE);
    for (int i = 0; i < n->n; i++) list_push(el, out, ev(el, ast_kid(n, i), env));
    return out;
}

static Value ev_kind(Elab *el, const Ast *n, Env *env, bool raw) {
    switch (n->kind) {
    case AST_PAREN: return ev_any(el, ast_kid(n, 0), env, raw);
    case AST_INT: return value_int(n->integer);
    case AST_REAL: return value_num(n->real);
    case AST_BOOL: return value_bool(n->integer != 0);
    case AST_STR: return string_value(el, n, env);
    case AST_NAME: return named(el, n->text, n, env, raw);
    case AST_TYPE:
    case AST_DTYPE: return ev_type(el, n, env);
    case AST_TUPLE: return tuple_value(el, n, env);
    case AST_LIST: return list_value(el, n, env);
    case AST_COMP: return comprehension(el, n, env);
    case AST_RANGE: {
        Range *r = NEW(el->arena, Range);
        r->from = range_end(el, ast_kid(n, 0), env);
        r->to = range_end(el, ast_kid(n, 1), env);
        return (Value){.kind = V_RANGE, .range = r};
    }
    case AST_COND: return ev_any(el, ast_kid(n, ev_condition(el, ast_kid(n, 0), env) ? 1 : 2), env, raw);
    case AST_UN: return arith_unary(el, n, n->text, ev(el, ast_kid(n, 0), env));
    case AST_BIN: return binary(el, n, env);
    case AST_PIPE: return pipe(el, n, env);
    case AST_CALL: return call_expression(el, n, env);
    case AST_DOT: return member(el, n, env, raw);
    case AST_INDEX: return ev_index(el, n, env);
    case AST_SCAN: return ev_scan(el, n, env);
    default: fault(el, n, 1, "`%s` has no value here", ast_kind_name(n->kind)); fault_throw(el);
    }
}

static Value ev_any(Elab *el, const Ast *n, Env *env, bool raw) {
    if (++el->steps > STEP_LIMIT) {
        if (el->steps > STEP_LIMIT + 1) fault_silent(el); /* said once */
        fault(el, n, 309, "elaboration takes more than 10 million steps");
        fault_throw(el);
    }
    if (el->depth >= DEPTH_LIMIT) {
        fault(el, n, 308, "expressions and calls are nested too deeply");
        fault_throw(el);
    }
    el->depth++;
    Value v = ev_kind(el, n, env, raw || el->cx.collecting); /* in a load block weights are targets, not values */
    el->depth--;
    return v;
}
