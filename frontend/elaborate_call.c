/* elaborate_call.c -- calls: arguments, the sizes they bind, results.
 *
 * A size is bound only where a bare name stands in a parameter type; everything else is checked (LANGUAGE.md 5.2). A check that
 * uses a size which a later argument binds is put off until all arguments were seen: match returns *again for it. */
#include "frontend/elab.h"

#include <string.h>

/* ---- signatures, for messages */

static const char *join(Elab *el, const char *a, const char *b) {
    return arena_printf(el->arena, "%s%s", a, b);
}

static const char *params_text(Elab *el, const Ast *params) {
    const char *text = "";
    for (int i = 0; i < params->n; i++) text = join(el, text, join(el, i ? ", " : "", ast_text(el->arena, ast_kid(params, i))));
    return text;
}

const char *signature(Elab *el, const Ast *decl, const char *name) {
    if (ast_is(decl, AST_LAYER)) return arena_printf(el->arena, "%s(%s)", name, params_text(el, ast_kid(decl, 0)));
    const Ast *dims = fn_dims(decl), *result = fn_result(decl);
    const char *text = name;
    for (int i = 0; i < dims->n; i++) text = arena_printf(el->arena, "%s%s%s", text, i ? ", " : "[", ast_kid(dims, i)->text);
    text = arena_printf(el->arena, "%s%s(%s)", text, dims->n ? "]" : "", params_text(el, fn_params(decl)));
    return ast_given(result) ? arena_printf(el->arena, "%s -> %s", text, ast_text(el->arena, result)) : text;
}

/* ---- one value against one written type */

static const char *shown_type(Elab *el, const Matching *m, const Ast *t);

static void tell_signature(Elab *el, const Matching *m) {
    if (m->of) fault_fact(el, "%s", signature(el, m->of->decl, m->of->name));
}

static void mismatch(Elab *el, const Matching *m) __attribute__((noreturn));
static void mismatch(Elab *el, const Matching *m) {
    tell_signature(el, m);
    fault_throw(el);
}

/* The value of a written dimension if it is known, else as written: for messages. */
static const char *shown_dim(Elab *el, const Ast *x, Env *env) {
    if (ast_is(x, AST_INT)) return x->text;
    if (ast_is(x, AST_NAME) && strcmp(x->text, "_")) {
        Env *e = env_find(el, env, x->text);
        Var *own = e ? env_own(e, x->text) : NULL;
        if (own && !own->pending && is_size(own->value)) return value_text(el, own->value);
        InstDim *d = e && !own && e->inst ? inst_dim(e->inst, x->text) : NULL;
        if (d && d->size) return size_text(el->arena, d->size);
    }
    return ast_text(el->arena, x);
}

static const char *shown_type(Elab *el, const Matching *m, const Ast *t) {
    if (!t->n || !ast_given(ast_kid(t, 0))) return t->text;
    const Ast *dims = ast_kid(t, 0);
    const char *text = join(el, t->text, "[");
    int parts = 0;
    for (int i = 0; i < dims->n; i++) {
        const Ast *x = ast_kid(dims, i);
        const char *part;
        if (ast_is(x, AST_PACK)) {
            if (m->pack && !m->pack->rank) continue;
            part = m->pack ? dims_text(el, m->pack->rank, m->pack->dim) : "...";
        } else {
            part = shown_dim(el, x, m->env);
        }
        text = arena_printf(el->arena, "%s%s%s", text, parts++ ? ", " : "", part);
    }
    return join(el, text, "]");
}

static void wrong_rank(Elab *el, const Matching *m, const Ast *t, Value v, const Ast *node, const char *what)
    __attribute__((noreturn));
static void wrong_rank(Elab *el, const Matching *m, const Ast *t, Value v, const Ast *node, const char *what) {
    const Ast *dims = t->n ? ast_kid(t, 0) : NULL;
    int count = 0;
    bool pack = false;
    for (int i = 0; dims && i < dims->n; i++) {
        pack = pack || ast_is(ast_kid(dims, i), AST_PACK);
        count += !ast_is(ast_kid(dims, i), AST_PACK);
    }
    fault(el, node, 205, "%s must have %d%s dimension%s, but it has %d", what, count, pack ? " or more" : "",
          count == 1 && !pack ? "" : "s", tensor_rank(v));
    fault_label(el, "this is %s", tensor_text(el, v));
    fault_fact(el, "expected %s", shown_type(el, m, t));
    fault_fact(el, "but got  %s", tensor_text(el, v));
    mismatch(el, m);
}

static void match_pack(Elab *el, Matching *m, const Ast *t, Value v, const Size *dim, int n, const Ast *node,
                       const char *what) {
    if (!m->pack) {
        m->own.rank = n;
        memcpy(m->own.dim, dim, sizeof(Size) * (size_t)n);
        m->pack = &m->own;
        m->pack_from = what;
        m->pack_node = node;
        return;
    }
    if (dims_equal(m->pack->rank, m->pack->dim, n, dim)) return;
    const char *from = m->pack_from ? m->pack_from : "before";
    const char *of = strstr(from, " of ");
    fault(el, node, 201, "%s has the wrong shape", what);
    fault_label(el, "this is %s", tensor_text(el, v));
    fault_fact(el, "%.*s makes `...` = [%s], so this must be %s", of ? (int)(of - from) : (int)strlen(from), from,
               dims_text(el, m->pack->rank, m->pack->dim), shown_type(el, m, t));
    if (m->pack_node) hint_broadcast(el, m->pack->rank, m->pack->dim, n, dim, m->pack_node, node);
    mismatch(el, m);
}

static const char *bound_by(const Matching *m, const char *name) {
    for (int i = 0; i < m->bound.n; i++)
        if (!strcmp(m->bound.at[i], name)) return m->bound_by.at[i];
    return NULL;
}

static const char *inst_args_text(Elab *el, Inst *i) {
    const char *text = "";
    for (int k = 0; k < i->args.n; k++) {
        Value v = i->args.at[k].value;
        if (v.kind == V_INST || v.kind == V_FN) continue;
        text = arena_printf(el->arena, "%s%s%s = %s", text, *text ? ", " : "", i->args.at[k].name, value_text(el, v));
    }
    return text;
}

static void match_inst_dim(Elab *el, Matching *m, Inst *i, InstDim *d, Size got, Value v, const Ast *node) {
    if (!d->size) {
        d->size = got;
        d->from = node;
        return;
    }
    if (d->size == got) return;
    const char *is = size_text(el->arena, d->size);
    fault(el, node, 204, "`%s` takes %s = %s, but here it gets %s", i->path, d->name, is, size_text(el->arena, got));
    fault_label(el, "this is %s", tensor_text(el, v));
    fault_place(el, d->from, "%s = %s comes from here", d->name, is);
    fault_fact(el, "%s(%s) was given %s = %s by its first use", i->layer->name, inst_args_text(el, i), d->name, is);
    mismatch(el, m);
}

/* Does the expression use a size that is not bound yet? */
static bool uses_pending(Env *env, const Ast *n) {
    if (ast_is(n, AST_NAME)) {
        Var *own = env_own(env, n->text);
        return own && own->pending;
    }
    for (int i = 0; i < n->n; i++)
        if (uses_pending(env, ast_kid(n, i))) return true;
    return false;
}

static void match_dim(Elab *el, Matching *m, const Ast *t, const Ast *x, Size got, int place, Value v, const Ast *node,
                      const char *what, bool late, bool *again) {
    if (ast_is(x, AST_NAME)) {
        if (!strcmp(x->text, "_")) return;
        Var *own = env_own(m->env, x->text);
        if (own && own->pending) {
            env_set(el, m->env, x->text, value_size(got));
            PUSH(el->arena, m->bound, x->text);
            PUSH(el->arena, m->bound_by, what);
            return;
        }
        Env *e = env_find(el, m->env, x->text);
        InstDim *d = e && e->inst && !env_own(e, x->text) ? inst_dim(e->inst, x->text) : NULL;
        if (d) {
            if (!late) match_inst_dim(el, m, e->inst, d, got, v, node);
            return;
        }
        if (!e) {
            unknown_name(el, x, m->env, NAME_NEW_SIZE);
            mismatch(el, m);
        }
    }
    if (!late && uses_pending(m->env, x)) {
        *again = true;
        return;
    }
    Size want = ev_dim(el, x, m->env);
    if (want == got) return;
    const char *text = ast_text(el->arena, x), *is = size_text(el->arena, want), *by = bound_by(m, text);
    fault(el, node, 201, "%s has the wrong shape", what);
    fault_label(el, "this is %s", tensor_text(el, v));
    fault_fact(el, "expected %s", shown_type(el, m, t));
    fault_fact(el, "but got  %s", tensor_text(el, v));
    const char *said = strcmp(text, is) ? arena_printf(el->arena, "`%s` is %s", text, is)
                                        : arena_printf(el->arena, "dimension %d must be %s", place, is);
    fault_fact(el, "%s%s%s, but dimension %d here is %s", said, by ? ", from " : "", by ? by : "", place,
               size_text(el->arena, got));
    mismatch(el, m);
}

static Value match_compile_time(Elab *el, const char *kind, Value v, const Ast *node, const char *what) {
    bool ok = true;
    if (!strcmp(kind, "int")) ok = is_size(v);
    else if (!strcmp(kind, "num")) ok = is_numeric(v);
    else if (!strcmp(kind, "str")) ok = v.kind == V_STR;
    else if (!strcmp(kind, "type")) ok = v.kind == V_TYPE;
    else if (!strcmp(kind, "layer")) ok = v.kind == V_LAYER;
    else if (!strcmp(kind, "fn")) ok = is_callable(v) || v.kind == V_LIST || is_number(v);
    if (ok) return v;
    fault(el, node, 305, "%s must be %s known at compile time", what, text_a(el, kind));
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
    fault_throw(el);
}

static void match_element_type(Elab *el, Matching *m, const char *kind, Value *v, const Ast *node, const char *what) {
    DType have = tensor_checked(*v), want = DT_F32;
    bool policy = !strcmp(kind, "float");
    const char *have_text = v->policy ? "float" : dtype_name(have);
    if (policy && m->result && el->cx.g) *v = value_bound(el, *v);
    if (policy && dtype_has_gradient(have)) return;
    if (!policy && dtype_parse(kind, &want) && want == have) {
        if (v->policy) v->node = emit_cast(el, v->node, want);
        v->policy = false;
        return;
    }
    if (v->weak && !policy && dtype_is_float(want)) {
        v->node = emit_cast(el, v->node, want);
        return;
    }
    fault(el, node, 203, "%s must be %s, but it is %s", what, kind, have_text);
    fault_label(el, "this is %s", tensor_text(el, *v));
    if (m->result) fault_help(el, "return cast(..., %s), or declare the result %s", kind, have_text);
    else fault_help(el, "convert it: cast(%s, %s)", ast_text(el->arena, node), kind);
    if (!m->result) tell_signature(el, m);
    fault_throw(el);
}

static bool whole_kind(const char *kind) {
    DType d;
    return dtype_parse(kind, &d) && dtype_is_int(d);
}

/* late: the second time, for what the first time put off (*again). what: "argument `x` of f". */
Value match(Elab *el, Matching *m, const Ast *t, Value v, const Ast *node, const char *what, bool late, bool *again) {
    if (v.kind == V_POISON) fault_silent(el);
    if (ast_is(t, AST_LISTTYPE)) {
        if (v.kind == V_LIST) return v;
        fault(el, node, 305, "%s must be a list", what);
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    if (ast_is(t, AST_TUPTYPE)) return v;
    const char *kind = t->text;
    bool shaped = t->n && ast_is(ast_kid(t, 0), AST_SHAPE);
    if (!strcmp(kind, "dim")) {
        if (is_size(v)) return v;
        fault(el, node, 210, "%s is a dimension, but %s is given", what,
              v.kind == V_TENSOR ? "a tensor value" : value_a(el, v));
        if (v.kind == V_TENSOR) fault_help(el, "sizes must be known before the call: pass a dimension");
        mismatch(el, m);
    }
    if (!strcmp(kind, "int") || !strcmp(kind, "num") || !strcmp(kind, "str") || !strcmp(kind, "type") ||
        !strcmp(kind, "layer") || !strcmp(kind, "fn"))
        return match_compile_time(el, kind, v, node, what);
    if (v.kind == V_BOOL && !strcmp(kind, "bool")) return v;
    if (is_number(v)) { /* fits any shape */
        if (strcmp(kind, "bool") && !(whole_kind(kind) && v.kind == V_NUM)) return v;
        fault(el, node, 203, "%s must be %s", what, kind);
        fault_label(el, "%s is not %s", value_text(el, v), !strcmp(kind, "bool") ? "true or false" : "an integer");
        mismatch(el, m);
    }
    if (v.kind != V_TENSOR) {
        fault(el, node, 202, "%s must be a tensor", what);
        if (v.kind == V_TUPLE) {
            fault_label(el, "this is a tuple: %s", value_text(el, v));
            const char *names = "";
            for (int i = 0; i < v.list->item.n && i < 8; i++)
                names = arena_printf(el->arena, "%s%s%c", names, i ? ", " : "", "abcdefgh"[i]);
            fault_help(el, "take it apart first: let (%s) = ...;", names);
        } else {
            fault_label(el, "this is %s", value_a(el, v));
        }
        mismatch(el, m);
    }
    match_element_type(el, m, kind, &v, node, what);
    const Ast *dims = shaped ? ast_kid(t, 0) : NULL;
    int n = dims ? dims->n : 0, pack = -1, rank = tensor_rank(v);
    const Size *shape = tensor_type(v)->dim;
    if (v.weak) return v;
    for (int i = 0; i < n; i++)
        if (ast_is(ast_kid(dims, i), AST_PACK)) pack = i;
    if (pack < 0 ? n != rank : rank < n - 1) wrong_rank(el, m, t, v, node, what);
    int after = pack < 0 ? 0 : n - pack - 1;
    if (pack >= 0 && !late) match_pack(el, m, t, v, shape + pack, rank - n + 1, node, what);
    for (int i = 0; i < n; i++) {
        if (i == pack) continue;
        int place = pack < 0 || i < pack ? i : rank - after + (i - pack - 1);
        match_dim(el, m, t, ast_kid(dims, i), shape[place], i, v, node, what, late, again);
    }
    return v;
}

Value match_results(Elab *el, const Ast *result, Value r, Matching *m, const char *name) {
    if (!ast_given(result)) return r;
    bool again = false;
    m->result = true;
    bool several = ast_is(result, AST_FIELDS) || ast_is(result, AST_TUPTYPE);
    if (!several) {
        if (r.kind == V_NONE) {
            fault(el, result, 310, "%s returns nothing, but a result is declared", name);
            fault_throw(el);
        }
        return match(el, m, result, r, result, arena_printf(el->arena, "the result of %s", name), false, &again);
    }
    int have = r.kind == V_TUPLE ? r.list->item.n : r.kind == V_NONE ? 0 : 1;
    if (have != result->n) {
        fault(el, result, 310, "%s returns %d value%s, but %d are declared", name, have, have == 1 ? "" : "s", result->n);
        fault_throw(el);
    }
    Value out = value_list(el, V_TUPLE);
    for (int i = 0; i < result->n; i++) {
        const Ast *q = ast_kid(result, i);
        bool field = ast_is(q, AST_FIELD);
        const char *what =
            field ? arena_printf(el->arena, "result `%s` of %s", q->text, name) : arena_printf(el->arena, "result of %s", name);
        list_push(el, out,
                  match(el, m, field ? ast_kid(q, 0) : q, r.kind == V_TUPLE ? r.list->item.at[i] : r, q, what, false, &again));
    }
    return out.list->item.n == 1 ? out.list->item.at[0] : out;
}

/* ---- functions */

static int param_index(const Ast *params, const char *name) {
    for (int i = 0; i < params->n; i++)
        if (!strcmp(ast_kid(params, i)->text, name)) return i;
    return -1;
}

/* Which argument goes to which parameter; E0302, E0303. given[i] NULL: none. */
static const Arg **place_args(Elab *el, FnV *f, const Args *args) {
    const Ast *params = fn_params(f->decl);
    const Arg **given = NEW_ARRAY(el->arena, const Arg *, params->n + 1);
    int position = 0;
    for (int i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        if (!a->name && position >= params->n) {
            int count = 0;
            for (int k = 0; k < args->n; k++) count += !args->at[k].name;
            fault(el, a->node, 302, "%s takes %d argument%s, not %d", f->name, params->n, params->n == 1 ? "" : "s", count);
            fault_label(el, "one too many");
            fault_fact(el, "%s", signature(el, f->decl, f->name));
            fault_throw(el);
        }
        int k = a->name ? param_index(params, a->name) : position++;
        if (k < 0) {
            Names names = {0};
            for (int p = 0; p < params->n; p++) names_push(el, &names, ast_kid(params, p)->text);
            fault(el, a->node, 303, "%s has no argument `%s`", f->name, a->name);
            fault_fact(el, "%s", signature(el, f->decl, f->name));
            fault_close(el, &names, a->name);
            fault_throw(el);
        }
        if (given[k]) {
            fault(el, a->node, 303, "`%s` is given twice", ast_kid(params, k)->text);
            fault_throw(el);
        }
        given[k] = a;
    }
    return given;
}

/* Probabilities for a loss that makes them of logits: softmax twice, or sigmoid. */
static void warn_softmax(Elab *el, FnV *f, const Ast *param, Value v, const Ast *node) {
    if (strcmp(param->text, "logits") || v.kind != V_TENSOR || !v.tag) return;
    if (!node->loc.source || node->loc.source->library) return;
    bool sigmoid = !strcmp(v.tag, "sigmoid");
    if (sigmoid != !strncmp(f->name, "bce", 3)) return;
    fault(el, node, sigmoid ? 802 : 801, "%s takes logits, but this is already a %s", f->name, v.tag);
    fault_label(el, "probabilities, from %s", v.tag);
    fault_help(el, "pass the value before %s; %s applies it itself", v.tag, f->name);
    elab_warn(el);
}

Value run_block(Elab *el, const Ast *body, Env *env) {
    el->result = value_none();
    bool returned = exec_block(el, body, env);
    Value r = returned ? el->result : value_none();
    el->result = value_none();
    return r;
}

static Env *env_copy(Elab *el, const Env *e) {
    Env *copy = env_new(el, e->up, e->kind);
    for (int i = 0; i < e->vars.n; i++) PUSH(el->arena, copy->vars, e->vars.at[i]);
    return copy;
}

/* A number given for a float scalar is a tensor to a function with a gradient: so every call has the same float arguments. */
static void numbers_to_tensors(Elab *el, const Ast *params, Env *env) {
    for (int i = 0; i < params->n; i++) {
        const Ast *p = ast_kid(params, i), *type = ast_kid(p, 0);
        Var *own = env_own(env, p->text);
        bool is_float = ast_given(type) && !strcmp(type->text, "float");
        TypeV want = float_type(el);
        if (!ast_is(type, AST_TYPE) || !is_numeric(own->value)) continue;
        if (!is_float) want.policy = false;
        if (!is_float && (!dtype_parse(type->text, &want.type.dtype) || !dtype_is_float(want.type.dtype))) continue;
        own->value = value_tensor(operand(el, own->value, &want.type), want.policy);
    }
}

static Value with_gradient(Elab *el, FnV *f, Env *scope, Value r) {
    const Ast *params = fn_params(f->decl);
    Value *x = NEW_ARRAY(el->arena, Value, params->n + 1);
    int n = 0;
    for (int i = 0; i < params->n; i++) {
        Value v = env_own(scope, ast_kid(params, i)->text)->value;
        if (is_strong(v) && dtype_is_float(tensor_dtype(v))) x[n++] = v;
    }
    return n ? custom_gradient(el, ast_kid(f->decl, 4), scope, r, n, x) : r;
}

/* The argument of a parameter declared `float`; NULL: it is declared otherwise. */
static Var *float_argument(const Ast *params, int i, Env *env) {
    const Ast *p = ast_kid(params, i), *type = ast_kid(p, 0);
    return ast_is(type, AST_TYPE) && !strcmp(type->text, "float") ? env_own(env, p->text) : NULL;
}

/* All `float`s of a signature are one type: f32 where one argument is that. */
static void bind_float(Elab *el, const Ast *params, Env *env) {
    el->cx.wide = false;
    for (int i = 0; i < params->n; i++) {
        const Var *x = float_argument(params, i, env);
        if (x && is_strong(x->value) && !x->value.policy && tensor_dtype(x->value) == DT_F32) el->cx.wide = true;
    }
    for (int i = 0; i < params->n; i++) {
        Var *x = float_argument(params, i, env);
        if (x) x->value = value_bound(el, x->value);
    }
}

static Value call_fn(Elab *el, FnV *f, Args *args, const Ast *node) {
    const Ast *d = f->decl, *params = fn_params(d);
    const Arg **given = place_args(el, f, args);
    Matching m = {.env = env_new(el, f->env, ENV_CALL), .of = f};
    for (int i = 0; i < fn_dims(d)->n; i++) env_set(el, m.env, ast_kid(fn_dims(d), i)->text, value_none())->pending = true;
    if (f->inst && f->inst->has_pack && f->inst->pack_bound) m.pack = &f->inst->pack;

    Context saved = el->cx;
    Frame frame = {.up = saved.frame, .call = node, .depth = saved.frame ? saved.frame->depth + 1 : 1};
    if (frame.depth > 200) {
        fault(el, node, 308, "%s calls itself without end", f->name);
        fault_help(el,
                   "functions and layers cannot be recursive: write `for` over compile-time values, or `scan` over tensors");
        fault_throw(el);
    }
    bool *again = NEW_ARRAY(el->arena, bool, params->n + 1);
    for (int i = 0; i < params->n; i++) {
        const Ast *p = ast_kid(params, i), *type = ast_kid(p, 0), *preset = ast_kid(p, 1);
        Value v = given[i] ? given[i]->value : value_none();
        const Ast *from = given[i] ? given[i]->node : node;
        if (v.kind == V_POISON) fault_silent(el);
        if (v.kind == V_NONE && !ast_given(preset) && !given[i]) {
            fault(el, node, 304, "%s needs `%s`", f->name, p->text);
            fault_label(el, "missing argument");
            tell_signature(el, &m);
            fault_throw(el);
        }
        if (v.kind == V_NONE && ast_given(preset)) {
            el->cx.build = NULL;
            v = ev(el, preset, m.env);
            el->cx = saved;
        }
        if (v.kind == V_WEIGHT) v = weight_value(el, v.weight, from);
        if (v.kind != V_NONE && ast_given(type))
            v = match(el, &m, type, v, from, arena_printf(el->arena, "argument `%s` of %s", p->text, f->name), false,
                      &again[i]);
        env_set(el, m.env, p->text, v);
        warn_softmax(el, f, p, v, from);
    }
    for (int i = 0; i < params->n; i++) {
        if (!again[i]) continue;
        const Ast *p = ast_kid(params, i);
        match(el, &m, ast_kid(p, 0), env_own(m.env, p->text)->value, given[i] ? given[i]->node : node,
              arena_printf(el->arena, "argument `%s` of %s", p->text, f->name), true, &again[i]);
    }
    if (f->inst) {
        f->inst->called = true;
        if (f->inst->has_pack && !f->inst->pack_bound && m.pack) {
            f->inst->pack = *m.pack;
            f->inst->pack_bound = true;
        }
    }
    at(el, node);
    el->cx.frame = &frame;
    el->cx.pack = m.pack;
    el->cx.build = NULL;
    el->cx.over = NULL;
    el->cx.env = m.env;
    el->cx.collecting = false;
    bind_float(el, params, m.env);
    if (f->inst) {
        el->cx.self = f->inst;
        if (is_frozen(el, f->inst->path)) el->cx.training = false;
        else if (is_excepted(el, f->inst->path)) el->cx.training = el->entry && ast_is(el->entry, AST_TRAIN);
        if (f->inst->checkpoint && el->cx.training && !el->cx.region) {
            el->cx.region = ++el->regions;
            el->cx.region_body = el->cx.body;
        }
    }
    const Ast *gradient = ast_kid(d, 4);
    if (ast_given(gradient)) numbers_to_tensors(el, params, m.env);
    Env *scope = ast_given(gradient) ? env_copy(el, m.env) : NULL; /* the arguments as they came in */
    Value r = run_block(el, fn_body(d), m.env);
    r = value_tensor_of(el, r, node);
    if (scope) r = with_gradient(el, f, scope, r);
    m.of = NULL;
    r = match_results(el, fn_result(d), r, &m, f->name);
    if (r.kind == V_TENSOR && (!strcmp(f->name, "softmax") || !strcmp(f->name, "log_softmax"))) r.tag = f->name;
    Context now = el->cx;
    el->cx = saved;
    el->cx.user = now.user;
    return r;
}

/* ---- a list of layers: each element takes the result of the one before */

static Value call_list(Elab *el, Value f, Args *args, const Ast *node) {
    if (args->n != 1 || args->at[0].name) {
        fault(el, node, 302, "a list of layers takes one argument");
        fault_throw(el);
    }
    Context saved = el->cx;
    Frame frame = {.up = saved.frame,
                   .call = node,
                   .list = f.list,
                   .x = args->at[0].value,
                   .depth = saved.frame ? saved.frame->depth + 1 : 1};
    el->cx.frame = &frame;
    for (frame.at = 0; frame.at < f.list->item.n; frame.at++) {
        Value layer = f.list->item.at[frame.at];
        Args one = {0};
        PUSH(el->arena, one, ((Arg){frame.x, args->at[0].node, NULL}));
        Value y = call_value(el, layer, &one, node);
        if (y.kind == V_TENSOR && frame.x.kind == V_TENSOR) {
            PUSH(el->arena, frame.trail, arena_printf(el->arena, "%s.%d %s", f.list->path, frame.at, value_text(el, layer)));
            PUSH(el->arena, frame.trail, arena_printf(el->arena, "%s -> %s", tensor_text(el, frame.x), tensor_text(el, y)));
        }
        frame.x = y;
    }
    Value r = frame.x;
    el->cx.frame = saved.frame;
    return r;
}

Value call_value(Elab *el, Value f, Args *args, const Ast *node) {
    switch (f.kind) {
    case V_POISON: fault_silent(el);
    case V_INT:
    case V_NUM: return f; /* a constant function */
    case V_LAYER: return instantiate(el, f.layer, node, args);
    case V_LIST:
        if (!f.list->path) break;
        return call_list(el, f, args, node);
    case V_INST: {
        const Ast *fn = inst_call_fn(el, f.inst);
        if (!fn) {
            const char *names = "";
            const Ast *items = ast_kid(f.inst->layer->decl, 1);
            for (int i = 0; i < items->n; i++)
                if (ast_is(ast_kid(items, i), AST_FN))
                    names = arena_printf(el->arena, "%s%s%s", names, *names ? ", " : "", ast_kid(items, i)->text);
            fault(el, node, 307, "%s cannot be called: it has no unnamed `fn`", f.inst->layer->name);
            if (*names) fault_help(el, "call one of its functions: %s", names);
            fault_throw(el);
        }
        FnV call = {fn, f.inst->env, f.inst->layer->name, f.inst};
        return call_fn(el, &call, args, node);
    }
    case V_FN: return call_fn(el, f.fn, args, node);
    case V_BUILTIN: {
        at(el, node);
        Frame frame = {.up = el->cx.frame, .call = node, .depth = el->cx.frame ? el->cx.frame->depth : 0};
        el->cx.frame = &frame;
        Value r = call_builtin(el, f.builtin, args, node);
        el->cx.frame = frame.up;
        return r;
    }
    default: break;
    }
    fault(el, node, 307, "%s cannot be called", value_a(el, f));
    fault_throw(el);
}

/* Arguments of a call. While an instance is made, one made in its argument list is a member named after the parameter. */
void call_args(Elab *el, const Ast *args, Env *env, Value f, Args *out) {
    int position = 0;
    bool any_named = false;
    for (int i = 0; i < args->n; i++) {
        const Ast *a = ast_kid(args, i);
        Context saved = el->cx;
        bool by_name = ast_is(a, AST_NAMED);
        if (saved.build) {
            const char *name = by_name ? a->text : arena_printf(el->arena, "%d", position);
            if (!by_name && f.kind == V_LAYER && position < ast_kid(f.layer->decl, 0)->n)
                name = ast_kid(ast_kid(f.layer->decl, 0), position)->text;
            el->cx.build = arena_printf(el->arena, "%s.%s", saved.build, name);
            el->cx.over = NULL;
            el->cx.inherit = NULL;
        }
        if (!by_name && any_named) {
            fault(el, a, 302, "positional arguments come before named ones");
            fault_throw(el);
        }
        any_named = any_named || by_name;
        position += !by_name;
        const Ast *node = by_name ? ast_kid(a, 0) : a;
        Value v = ev(el, node, env);
        PUSH(el->arena, *out, ((Arg){v, node, by_name ? a->text : NULL}));
        Loc user = el->cx.user;
        el->cx = saved;
        el->cx.user = user;
    }
}
