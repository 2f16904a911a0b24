/* elaborate_stmt.c -- statements: let, =, if, for, return, assert and the rest. */
#include "frontend/elab.h"

#include <string.h>

/* A value that the user named keeps that name through the passes. */
static void give_name(Elab *el, Value v, const Ast *pattern) {
    if (v.kind != V_TENSOR || v.node->name || v.node->graph != el->cx.g) return;
    if (!pattern->loc.source || pattern->loc.source->library) return;
    if (op_row(v.node->op)->class == CLASS_LEAF) return;
    v.node->name = pattern->text;
}

static void hides_weight(Elab *el, const Ast *pattern, Env *env) {
    Env *e = env_find(el, env, pattern->text);
    if (!e || !e->inst || env_own(e, pattern->text) || inst_dim(e->inst, pattern->text)) return;
    Value v = inst_get(el, e->inst, pattern->text, pattern);
    if (v.kind != V_WEIGHT) return;
    const char *kind = value_kind_name(v);
    fault(el, pattern, 401, "`let %s` hides the %s `%s` of %s", pattern->text, kind, pattern->text, e->inst->layer->name);
    fault_label(el, "a new local is made here");
    fault_help(el, "to update the %s, write `%s = ...;`", kind, pattern->text);
    fault_help(el, "to have a local, give it another name");
    fault_throw(el);
}

/* A tensor is taken apart along axis 0. */
static Value parts_of(Elab *el, Value v) {
    int64_t count;
    if (v.kind != V_TENSOR || !tensor_rank(v) || !size_is_const(tensor_type(v)->dim[0], &count) || count > 64) return v;
    Value out = value_list(el, V_TUPLE);
    const Type *t = tensor_type(v);
    for (int64_t i = 0; i < count; i++) {
        Size lo[MAX_RANK], hi[MAX_RANK];
        for (int k = 0; k < t->rank; k++) {
            lo[k] = emit_size_const(el, k ? 0 : i);
            hi[k] = k ? t->dim[k] : emit_size_const(el, i + 1);
        }
        Node *part = emit_slice(el, v.node, lo, hi);
        list_push(el, out, value_tensor(emit_reshape(el, part, t->rank - 1, t->dim + 1), v.policy));
    }
    return out;
}

void bind_pattern(Elab *el, const Ast *pattern, Value v, Env *env, bool guard) {
    if (ast_is(pattern, AST_NAME)) {
        if (!strcmp(pattern->text, "_")) return;
        if (guard) hides_weight(el, pattern, env);
        give_name(el, v, pattern);
        env_set(el, env, pattern->text, v);
        return;
    }
    if (v.kind == V_POISON) {
        for (int i = 0; i < pattern->n; i++) bind_pattern(el, ast_kid(pattern, i), v, env, false);
        return;
    }
    Value parts = parts_of(el, v);
    bool list = parts.kind == V_TUPLE || parts.kind == V_LIST;
    int have = list ? parts.list->item.n : 1;
    if (!list || have != pattern->n) {
        fault(el, pattern, 403, "%d names for %d value%s", pattern->n, have, have == 1 ? "" : "s");
        fault_label(el, "the right side is %s", value_text(el, v));
        fault_throw(el);
    }
    for (int i = 0; i < have; i++) bind_pattern(el, ast_kid(pattern, i), parts.list->item.at[i], env, guard);
}

/* ---- assignment */

static void check_weight_value(Elab *el, const TypeV *t, Value v, const Ast *node, const char *what) {
    if (is_number(v) && !(v.kind == V_NUM && !dtype_is_float(t->type.dtype)) && t->type.dtype != DT_BOOL) return;
    if ((v.kind == V_BOOL && t->type.dtype == DT_BOOL) || (v.kind == V_TENSOR && v.weak && dtype_is_float(t->type.dtype)))
        return;
    if (v.kind != V_TENSOR && !is_number(v)) {
        fault(el, node, 202, "%s must be a tensor", what);
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    if (v.kind == V_TENSOR && tensor_rank(v) && !dims_equal(tensor_rank(v), tensor_type(v)->dim, t->type.rank, t->type.dim)) {
        fault(el, node, 201, "%s has the shape %s, but the new value has %s", what, typev_text(el, t), tensor_text(el, v));
        fault_label(el, "this is %s", tensor_text(el, v));
        fault_throw(el);
    }
    bool is_float = t->policy && !el->cx.wide;
    if (v.kind == V_TENSOR && tensor_checked(v) == type_checked(t->type.dtype, t->policy) && (v.policy == is_float || v.policy))
        return;
    const char *have = v.kind == V_TENSOR ? (v.policy ? "float" : dtype_name(tensor_dtype(v))) : value_text(el, v);
    fault(el, node, 203, "%s is %s, but the new value is %s", what, dtype_text(t), have);
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
    fault_help(el, "convert it: cast(..., %s)", dtype_text(t));
    fault_throw(el);
}

static void refuse_param(Elab *el, const Ast *target, const Weight *w) {
    if (w->kind != SLOT_PARAM) return;
    fault(el, target, 404, "parameters are changed only by `minimize`");
    fault_label(el, "`%s` is a param", ast_text(el->arena, target));
    fault_help(el, "declare it as `state` if the program itself updates it");
    fault_throw(el);
}

static void weight_written(Elab *el, Weight *w) {
    w->written = true;
    if (w->kind == SLOT_STATE && el->cx.training) lint_moved(el, w->inst);
}

static void assign_weight(Elab *el, const Ast *target, Weight *w, Value v, const Ast *from) {
    refuse_param(el, target, w);
    SlotInfo *s = weight_slot(el, w, target);
    weight_written(el, w);
    check_weight_value(
        el, &s->type, v, from,
        arena_printf(el->arena, "%s `%s`", w->kind == SLOT_STATE ? "state" : "cache", ast_text(el->arena, target)));
    at(el, target);
    slot_set(el, s, operand(el, v, &s->type.type));
}

static void assign_name(Elab *el, const Ast *target, Value v, Env *env, const Ast *from) {
    Env *e = env_find(el, env, target->text);
    if (!e) {
        unknown_name(el, target, env, NAME_TARGET);
        fault_throw(el);
    }
    Var *own = env_own(e, target->text);
    Value now = own ? own->value : inst_get(el, e->inst, target->text, target);
    if (now.kind == V_WEIGHT) {
        assign_weight(el, target, now.weight, v, from);
        return;
    }
    if (own && own->pending) {
        fault(el, target, 404, "`%s` is a dimension", target->text);
        fault_throw(el);
    }
    if (!own || (e->kind != ENV_CALL && e->kind != ENV_BLOCK)) {
        fault(el, target, 404, "`%s` cannot be assigned here", target->text);
        fault_throw(el);
    }
    give_name(el, v, target);
    own->value = v;
}

static void assign_slice(Elab *el, const Ast *target, Value v, Env *env) {
    const Ast *base = ast_kid(target, 0);
    Value b = ev_raw(el, base, env);
    if (b.kind == V_WEIGHT) {
        refuse_param(el, base, b.weight);
        Value old = weight_value(el, b.weight, base);
        SlotInfo *s = weight_slot(el, b.weight, base);
        if (old.policy) old = value_tensor(slot_get(el, s), true); /* what is stored, not what is read: the rest stays as it is */
        weight_written(el, b.weight);
        slot_set(el, s, index_update(el, target, old, v, env));
        return;
    }
    Env *e = ast_is(base, AST_NAME) ? env_find(el, env, base->text) : NULL;
    Var *own = e ? env_own(e, base->text) : NULL;
    if (b.kind != V_TENSOR || !own || (e->kind != ENV_CALL && e->kind != ENV_BLOCK)) {
        fault(el, target, 404, "this cannot be assigned");
        fault_label(el, "expected a slice of a cache, a state or a local");
        fault_throw(el);
    }
    Node *n = index_update(el, target, b, v, env);
    env_own(e, base->text)->value = value_tensor(n, b.policy);
}

void assign(Elab *el, const Ast *target, Value v, Env *env, const Ast *from) {
    if (v.kind == V_POISON) fault_silent(el);
    if (el->cx.collecting) {
        load_assign(el, target, v, env, from);
        return;
    }
    switch (target->kind) {
    case AST_NAME: assign_name(el, target, v, env, from); return;
    case AST_TUPLE: {
        Value parts = parts_of(el, v);
        int have = parts.kind == V_TUPLE ? parts.list->item.n : 1;
        if (parts.kind != V_TUPLE || have != target->n) {
            fault(el, target, 403, "%d names for %d value%s", target->n, have, have == 1 ? "" : "s");
            fault_throw(el);
        }
        for (int i = 0; i < have; i++) assign(el, ast_kid(target, i), parts.list->item.at[i], env, from);
        return;
    }
    case AST_INDEX: assign_slice(el, target, v, env); return;
    case AST_DOT: {
        Value t = ev_raw(el, target, env);
        if (t.kind == V_WEIGHT) {
            assign_weight(el, target, t.weight, v, from);
            return;
        }
        break;
    }
    default: break;
    }
    fault(el, target, 404, "this cannot be assigned");
    fault_label(el, "expected a name, a slice, or a tuple of names");
    fault_throw(el);
}

/* ---- statements */

void need_condition(Elab *el, const Ast *condition, Value c, const char *statement) {
    if (is_strong(c) && tensor_dtype(c) == DT_BOOL && !tensor_rank(c)) return;
    fault(el, condition, 406, "`%s` needs one bool", statement);
    fault_label(el, "this is %s", c.kind == V_TENSOR ? tensor_text(el, c) : value_a(el, c));
    if (c.kind == V_TENSOR && tensor_dtype(c) == DT_BOOL) fault_help(el, "reduce it with all(...) or any(...)");
    fault_throw(el);
}

void ev_assert(Elab *el, const Ast *st, Env *env) {
    const Ast *condition = ast_kid(st, 0);
    Value c = ev(el, condition, env);
    const char *said = ast_given(ast_kid(st, 1)) ? ev(el, ast_kid(st, 1), env).text : NULL;
    if (c.kind == V_BOOL && c.truth) return;
    if (c.kind == V_BOOL) {
        fault(el, condition, 604, "this assertion is false%s%s", said ? ": " : "", said ? said : "");
        fault_label(el, "%s", ast_text(el->arena, condition));
        fault_throw(el);
    }
    if (c.kind == V_POISON) fault_silent(el);
    need_condition(el, condition, c, "assert");
    at(el, st);
    emit_check(el, c.node, said ? said : arena_printf(el->arena, "%s does not hold", ast_text(el->arena, condition)));
}

static bool exec_for(Elab *el, const Ast *st, Env *env) {
    Values items = {0};
    ev_sequence(el, ast_kid(st, 1), env, &items);
    for (int i = 0; i < items.n; i++) {
        Env *e = env_new(el, env, ENV_BLOCK);
        bind_pattern(el, ast_kid(st, 0), items.at[i], e, false);
        if (exec_block(el, ast_kid(st, 2), e)) return true;
    }
    return false;
}

static void exec_let(Elab *el, const Ast *st, Env *env) {
    const Ast *type = ast_kid(st, 2);
    Value v = ev_rhs(el, ast_kid(st, 1), env);
    if (ast_given(type)) {
        bool again = false;
        Matching m = {.env = env, .pack = el->cx.pack, .result = true};
        v = match(el, &m, type, v, ast_kid(st, 1), arena_printf(el->arena, "`%s`", ast_text(el->arena, ast_kid(st, 0))), false,
                  &again);
        if (is_number(v) && ast_is(type, AST_TYPE) && type->n && ast_is(ast_kid(type, 0), AST_SHAPE)) {
            TypeV *t = ev_type(el, type, env).type;
            v = value_tensor(operand(el, v, &t->type), t->policy);
        }
    }
    bind_pattern(el, ast_kid(st, 0), v, env, true);
}

bool exec(Elab *el, const Ast *st, Env *env) {
    switch (st->kind) {
    case AST_LET: exec_let(el, st, env); return false;
    case AST_ASSIGN: assign(el, ast_kid(st, 0), ev_rhs(el, ast_kid(st, 1), env), env, ast_kid(st, 1)); return false;
    case AST_EXPRSTMT: {
        const Ast *e = ast_kid(st, 0);
        if (!ast_is(e, AST_CALL) && !ast_is(e, AST_PIPE)) {
            fault(el, e, 402, "this computes a value and throws it away");
            fault_help(el, "name it with `let`, or remove it");
            fault_throw(el);
        }
        ev(el, e, env);
        return false;
    }
    case AST_RETURN: {
        Value v = st->n && ast_given(ast_kid(st, 0)) ? ev_rhs(el, ast_kid(st, 0), env) : value_none();
        el->result = v;
        return true;
    }
    case AST_YIELD: body_yield(el, st, ev(el, ast_kid(st, 0), env)); return false;
    case AST_STOP: body_stop(el, st, ev(el, ast_kid(st, 0), env)); return false;
    case AST_IF: return exec_block(el, ast_kid(st, ev_condition(el, ast_kid(st, 0), env) ? 1 : 2), env_new(el, env, ENV_BLOCK));
    case AST_FOR: return exec_for(el, st, env);
    case AST_SCAN: ev_scan(el, st, env); return false;
    case AST_ASSERT: ev_assert(el, st, env); return false;
    case AST_FREEZE: return false; /* holds for the whole entry: elaborate.c has read it */
    case AST_QUANTIZE: PUSH(el->arena, el->quantized, ((EntryQuantize){el->running, st})); return false; /* once sizes of weights are known */
    case AST_MINIMIZE: ev_minimize(el, st, env); return false;
    default: fault(el, st, 1, "`%s` is no statement here", ast_kind_name(st->kind)); fault_throw(el);
    }
}

bool exec_block(Elab *el, const Ast *b, Env *env) {
    for (int i = 0; i < b->n; i++)
        if (exec(el, ast_kid(b, i), env)) return true;
    return false;
}
