/* elaborate_instance.c -- instances of layers: making them, their members, replacing them by path (`with`).
 *
 * Members are made when they are first needed, at the earliest during the first call, when the sizes of the layer (`dim inp;`)
 * are bound: so members may depend on them. A member that is being made does not hide an outer name (`layers = [.. for i in
 * 0..layers]`). */
#include "frontend/elab.h"

#include <string.h>

enum { PATH_LIMIT = 2000 }; /* characters: a layer that is a member of itself reaches it */

/* ---- replacements */

Over *overs_of(Elab *el, const Ast *withs, Env *env) {
    Over *first = NULL, **end = &first;
    for (int i = 0; i < withs->n; i++) {
        const Ast *w = ast_kid(withs, i), *path = ast_kid(w, 0);
        int n = 0;
        for (const Ast *p = path; !ast_is(p, AST_NAME); p = ast_kid(p, 0)) {
            if (!ast_is(p, AST_DOT) && !ast_is(p, AST_INDEX)) {
                fault(el, p, 501, "not a path");
                fault_throw(el);
            }
            n++;
        }
        Segment *s = NEW_ARRAY(el->arena, Segment, n + 1);
        int k = n;
        for (const Ast *p = path; k >= 0; p = ast_kid(p, 0), k--) {
            if (ast_is(p, AST_NAME)) {
                s[k].name = p->text;
                break;
            }
            if (ast_is(p, AST_DOT)) {
                s[k].name = p->text;
                s[k].star = !strcmp(p->text, "*");
                continue;
            }
            const Ast *x = ast_kid(ast_kid(p, 1), 0);
            s[k].star = ast_is(x, AST_STAR);
            if (s[k].star) continue;
            Value v = ev_const(el, x, env);
            if (v.kind != V_INT) {
                fault(el, x, 504, "an index of a path is a whole number or *");
                fault_throw(el);
            }
            s[k].index = v.whole;
        }
        Over *o = NEW(el->arena, Over);
        *o = (Over){.segment = s, .n = n + 1, .path = path, .value = ast_kid(w, 1), .env = env, .used = NEW(el->arena, bool)};
        PUSH(el->arena, el->overs, o);
        *end = o;
        end = &o->next;
    }
    return first;
}

Over *overs_below(Elab *el, Over *all, const char *name, int64_t index) {
    Over *first = NULL, **end = &first;
    for (; all; all = all->next) {
        if (!all->n) continue;
        const Segment *s = &all->segment[0];
        bool fits = s->star || (name ? s->name && !strcmp(s->name, name) : !s->name && s->index == index);
        if (!fits) continue;
        Over *o = NEW(el->arena, Over);
        *o = *all;
        o->next = NULL;
        o->segment = s + 1;
        o->n--;
        *end = o;
        end = &o->next;
    }
    return first;
}

Value build(Elab *el, const Ast *e, Env *env, const char *path, Over *over) {
    Context saved = el->cx;
    Over *mine = NULL, *rest = NULL, **end = &rest;
    for (Over *o = over; o; o = o->next) {
        if (!o->n) {
            mine = o;
            continue;
        }
        Over *copy = NEW(el->arena, Over);
        *copy = *o;
        copy->next = NULL;
        *end = copy;
        end = &copy->next;
    }
    el->cx.build = path;
    el->cx.over = rest;
    el->cx.inherit = NULL;
    Value v = ev_raw(el, e, env);
    if (mine) {
        *mine->used = true;
        el->cx.inherit = v.kind == V_INST ? v.inst : NULL;
        v = ev_raw(el, mine->value, mine->env);
    }
    Loc user = el->cx.user;
    el->cx = saved;
    el->cx.user = user;
    return v;
}

/* ---- making an instance */

static void collect_dims(Elab *el, Inst *i) {
    const Ast *items = ast_kid(i->layer->decl, 1);
    for (int k = 0; k < items->n; k++) {
        const Ast *it = ast_kid(items, k);
        if (ast_is(it, AST_DIMPACK)) i->has_pack = true;
        if (!ast_is(it, AST_DIMS)) continue;
        for (int d = 0; d < it->n; d++) PUSH(el->arena, i->dims, ((InstDim){ast_kid(it, d)->text, NULL, NULL}));
    }
}

InstDim *inst_dim(Inst *i, const char *name) {
    for (int k = 0; k < i->dims.n; k++)
        if (!strcmp(i->dims.at[k].name, name)) return &i->dims.at[k];
    return NULL;
}

static int arg_place(const Ast *params, const char *name) {
    for (int i = 0; i < params->n; i++)
        if (!strcmp(ast_kid(params, i)->text, name)) return i;
    return -1;
}

/* What an argument must be: its declared kind, or that of its default. */
static const char *wanted_kind(Elab *el, LayerV *layer, const Ast *p, Env *env) {
    if (ast_given(ast_kid(p, 0))) return ast_is(ast_kid(p, 0), AST_TYPE) ? ast_kid(p, 0)->text : NULL;
    const char *build_path = el->cx.build;
    el->cx.build = NULL;
    Value v = ev(el, ast_kid(p, 1), env);
    el->cx.build = build_path;
    (void)layer;
    switch (v.kind) {
    case V_BOOL: return "bool";
    case V_INT: return "int";
    case V_NUM: return "num";
    case V_STR: return "str";
    default: return NULL;
    }
}

static void check_kind(Elab *el, LayerV *layer, const Ast *p, const char *want, Value v, const Ast *node) {
    bool ok = true;
    if (!strcmp(want, "int")) ok = is_size(v);
    else if (!strcmp(want, "num")) ok = is_number(v);
    else if (!strcmp(want, "bool")) ok = v.kind == V_BOOL;
    else if (!strcmp(want, "str")) ok = v.kind == V_STR;
    else if (!strcmp(want, "layer")) ok = v.kind == V_LAYER;
    else if (!strcmp(want, "fn")) ok = is_callable(v) || v.kind == V_INT || v.kind == V_NUM || v.kind == V_LIST;
    if (ok || v.kind == V_TENSOR) return;
    fault(el, node, 305, "`%s` of %s must be %s, not %s", p->text, layer->name, text_a(el, want), value_a(el, v));
    fault_label(el, "%s = %s", p->text, value_text(el, v));
    if (!strcmp(want, "int") && v.kind == V_NUM) fault_help(el, "use floor(%s) or ceil(...) to make it an integer", p->text);
    if (!strcmp(want, "layer") && v.kind == V_INST) fault_help(el, "write `%s` without parentheses", v.inst->layer->name);
    fault_throw(el);
}

static void too_many(Elab *el, LayerV *layer, Inst *i, const Args *args, int required, int positional)
    __attribute__((noreturn));
static void too_many(Elab *el, LayerV *layer, Inst *i, const Args *args, int required, int positional) {
    const Ast *params = ast_kid(layer->decl, 0);
    fault(el, args->at[required].node, 302, "%s takes %d argument%s by position, not %d", layer->name, required,
          required == 1 ? "" : "s", positional);
    fault_fact(el, "%s", signature(el, layer->decl, layer->name));
    bool ints = true;
    for (int k = 0; k < positional; k++) ints = ints && args->at[k].value.kind == V_INT;
    if (i->dims.n && positional == required + 1 && ints) {
        const char *rest = "", *dim = i->dims.at[0].name;
        for (int k = 1; k < positional; k++)
            rest = arena_printf(el->arena, "%s%s%s", rest, k > 1 ? ", " : "", value_text(el, args->at[k].value));
        fault_help(el, "`%s` is inferred from the input: write %s(%s), or %s(%s, %s = %s) to state it", dim, layer->name, rest,
                   layer->name, rest, dim, value_text(el, args->at[0].value));
    } else if (positional <= params->n) {
        fault_help(el, "optional arguments are named: %s = %s", ast_kid(params, required)->text,
                   value_text(el, args->at[required].value));
    }
    fault_throw(el);
}

Value instantiate(Elab *el, LayerV *layer, const Ast *node, Args *args) {
    const Ast *params = ast_kid(layer->decl, 0);
    Inst *i = NEW(el->arena, Inst);
    Inst *inherit = el->cx.inherit;
    i->layer = layer;
    i->path = el->cx.build;
    i->over = el->cx.over;
    i->node = node;
    i->env = env_new(el, layer->env, ENV_LAYER);
    i->env->inst = i;
    collect_dims(el, i);

    int required = 0, positional = 0;
    for (int k = 0; k < params->n; k++) required += !ast_given(ast_kid(ast_kid(params, k), 1));
    for (int k = 0; k < args->n; k++) positional += !args->at[k].name;
    if (positional > required) too_many(el, layer, i, args, required, positional);
    const Arg **given = NEW_ARRAY(el->arena, const Arg *, params->n + 1);
    int next = 0;
    for (int k = 0; k < args->n; k++) {
        const Arg *a = &args->at[k];
        InstDim *d = a->name ? inst_dim(i, a->name) : NULL;
        if (d) {
            if (!is_size(a->value)) {
                fault(el, a->node, 305, "`%s` of %s must be an int, not %s", a->name, layer->name, value_a(el, a->value));
                fault_throw(el);
            }
            d->size = value_as_size(el, a->value);
            d->from = a->node;
            continue;
        }
        int place = 0;
        if (a->name) {
            place = arg_place(params, a->name);
        } else {
            while (ast_given(ast_kid(ast_kid(params, next), 1))) next++; /* those without default are positional */
            place = next++;
        }
        if (place < 0) {
            Names names = {0};
            for (int p = 0; p < params->n; p++) names_push(el, &names, ast_kid(params, p)->text);
            for (int p = 0; p < i->dims.n; p++) names_push(el, &names, i->dims.at[p].name);
            fault(el, a->node, 303, "%s has no argument `%s`", layer->name, a->name);
            fault_fact(el, "%s", signature(el, layer->decl, layer->name));
            fault_close(el, &names, a->name);
            fault_throw(el);
        }
        if (given[place]) {
            fault(el, a->node, 303, "`%s` is given twice", ast_kid(params, place)->text);
            fault_throw(el);
        }
        given[place] = a;
    }
    Env *defaults = env_new(el, layer->env, ENV_BLOCK);
    for (int k = 0; k < params->n; k++) {
        const Ast *p = ast_kid(params, k);
        Value v = given[k] ? given[k]->value : value_none();
        if (v.kind == V_POISON) fault_silent(el);
        if (!given[k] && inherit)
            for (int q = 0; q < inherit->args.n; q++)
                if (!strcmp(inherit->args.at[q].name, p->text)) v = inherit->args.at[q].value;
        if (v.kind == V_NONE && ast_given(ast_kid(p, 1))) {
            Context saved = el->cx;
            if (saved.build) el->cx.build = arena_printf(el->arena, "%s.%s", saved.build, p->text);
            el->cx.inherit = NULL;
            v = ev_raw(el, ast_kid(p, 1), defaults);
            el->cx = saved;
        } else if (v.kind == V_NONE && !given[k]) {
            fault(el, node, 304, "%s needs `%s`", layer->name, p->text);
            fault_label(el, "missing argument");
            fault_fact(el, "%s", signature(el, layer->decl, layer->name));
            fault_throw(el);
        }
        const char *want = wanted_kind(el, layer, p, defaults);
        if (want) check_kind(el, layer, p, want, v, node);
        if (v.kind == V_TENSOR) {
            fault(el, node, 306, "`%s` of %s must be known at compile time, but it is a tensor", p->text, layer->name);
            fault_help(el, "a layer is made once, outside the function: `name = %s(...);`, and then called: `name(x)`",
                       layer->name);
            fault_throw(el);
        }
        env_set(el, defaults, p->text, v);
        env_set(el, i->env, p->text, v);
        PUSH(el->arena, i->args, ((Var){.name = p->text, .value = v}));
    }
    if (!el->cx.build) {
        fault(el, node, 306, "layer %s is made inside a function", layer->name);
        fault_label(el, "its weights would have no name");
        fault_help(el, "make it a member of the layer, `m = %s(...);`, and call it here: `m(x)`", layer->name);
        fault_throw(el);
    }
    if (strlen(el->cx.build) > PATH_LIMIT) {
        fault(el, node, 308, "layers are members of each other without end");
        fault_label(el, "reached by %.40s...", el->cx.build);
        fault_throw(el);
    }
    return (Value){.kind = V_INST, .inst = i};
}

/* ---- members */

static bool is_member(const Ast *it) {
    return ast_is(it, AST_PARAM) || ast_is(it, AST_STATE) || ast_is(it, AST_CACHE) || ast_is(it, AST_INSTANCE) ||
           ast_is(it, AST_FN) || ast_is(it, AST_CONST);
}

/* Is the name declared in these items, under whatever condition? */
static bool declares(const Ast *items, const char *name) {
    for (int k = 0; k < items->n; k++) {
        const Ast *it = ast_kid(items, k);
        if (ast_is(it, AST_IF)) {
            if (declares(ast_kid(it, 1), name) || declares(ast_kid(it, 2), name)) return true;
        } else if (is_member(it) && !strcmp(it->text, name)) {
            return true;
        }
    }
    return false;
}

static const Ast *active_decl(Elab *el, Inst *i, const Ast *items, const char *name) {
    for (int k = 0; k < items->n; k++) {
        const Ast *it = ast_kid(items, k);
        if (ast_is(it, AST_IF)) {
            if (!declares(ast_kid(it, 1), name) && !declares(ast_kid(it, 2), name)) continue;
            const Ast *found = active_decl(el, i, ast_kid(it, ev_condition(el, ast_kid(it, 0), i->env) ? 1 : 2), name);
            if (found) return found;
        } else if (is_member(it) && !strcmp(it->text, name)) {
            return it;
        }
    }
    return NULL;
}

static Member *find_member(Inst *i, const char *name) {
    for (int k = 0; k < i->members.n; k++)
        if (!strcmp(i->members.at[k]->name, name)) return i->members.at[k];
    return NULL;
}

bool inst_has(Elab *el, Inst *i, const char *name) {
    (void)el;
    if (inst_dim(i, name)) return true;
    Member *m = find_member(i, name);
    if (m) return !m->busy || m->broken;
    return declares(ast_kid(i->layer->decl, 1), name);
}

static void names_of(Elab *el, const Ast *items, Names *names) {
    for (int k = 0; k < items->n; k++) {
        const Ast *it = ast_kid(items, k);
        if (ast_is(it, AST_IF)) {
            names_of(el, ast_kid(it, 1), names);
            names_of(el, ast_kid(it, 2), names);
        } else if (is_member(it)) {
            names_push(el, names, it->text);
        }
    }
}

void inst_names(Elab *el, Inst *i, Names *names) {
    for (int k = 0; k < i->dims.n; k++) names_push(el, names, i->dims.at[k].name);
    names_of(el, ast_kid(i->layer->decl, 1), names);
}

static const char *below(Elab *el, const char *path, const char *name) {
    return path && *path ? arena_printf(el->arena, "%s.%s", path, name) : name;
}

static Over *joined(Over *a, Over *b) {
    if (!a) return b;
    Over *last = a;
    while (last->next) last = last->next;
    last->next = b;
    return a;
}

static Value make_member(Elab *el, Inst *i, const Ast *it) {
    switch (it->kind) {
    case AST_CONST: return ev(el, ast_kid(it, 0), i->env);
    case AST_PARAM:
    case AST_STATE:
    case AST_CACHE: {
        Weight *w = NEW(el->arena, Weight);
        *w = (Weight){.kind = ast_is(it, AST_PARAM)   ? SLOT_PARAM
                              : ast_is(it, AST_STATE) ? SLOT_STATE
                                                      : SLOT_CACHE,
                      .path = below(el, i->path, it->text),
                      .name = it->text,
                      .decl = it,
                      .inst = i,
                      .env = i->env};
        return (Value){.kind = V_WEIGHT, .weight = w};
    }
    case AST_FN: {
        FnV *f = NEW(el->arena, FnV);
        *f = (FnV){it, i->env, arena_printf(el->arena, "%s.%s", i->layer->name, it->text), i};
        return (Value){.kind = V_FN, .fn = f};
    }
    default: {
        Over *over = joined(overs_below(el, i->over, it->text, 0), overs_of(el, ast_kid(it, 1), i->env));
        return build(el, ast_kid(it, 0), i->env, below(el, i->path, it->text), over);
    }
    }
}

void inst_attributes(Value v, const Ast *decl) {
    bool checkpoint = false;
    for (int i = 0; decl->attrs && i < decl->attrs->n; i++)
        checkpoint = checkpoint || !strcmp(ast_kid(decl->attrs, i)->text, "checkpoint");
    if (v.kind == V_INST && checkpoint) v.inst->checkpoint = true;
    for (int i = 0; v.kind == V_LIST && i < v.list->item.n; i++) inst_attributes(v.list->item.at[i], decl);
}

Value inst_get(Elab *el, Inst *i, const char *name, const Ast *n) {
    InstDim *d = inst_dim(i, name);
    if (d) {
        if (d->size) return value_size(d->size);
        fault(el, n, 208, "dimension `%s` of %s `%s` is not known yet", name, i->layer->name, i->path);
        fault_label(el, "needed here");
        fault_help(el, "it is inferred at the first call; give it by name: %s(..., %s = ...)", i->layer->name, name);
        fault_throw(el);
    }
    Member *m = find_member(i, name);
    if (m && m->broken) fault_silent(el);
    if (m && !m->busy) return m->value;
    const Ast *it = active_decl(el, i, ast_kid(i->layer->decl, 1), name);
    if (!it) return (Value){.kind = V_POISON};
    m = NEW(el->arena, Member);
    *m = (Member){.name = name, .decl = it, .busy = true};
    PUSH(el->arena, i->members, m);
    PUSH(el->arena, el->making, m);
    Context saved = el->cx;
    el->cx.build = NULL;
    el->cx.over = NULL;
    el->cx.pack = NULL;
    el->cx.inherit = NULL;
    m->value = make_member(el, i, it);
    inst_attributes(m->value, it);
    el->cx = saved;
    el->making.n--;
    m->busy = false;
    return m->value;
}

static const Ast *call_decl(Elab *el, Inst *i, const Ast *items) {
    return active_decl(el, i, items, "");
}
const Ast *inst_call_fn(Elab *el, Inst *i) {
    return call_decl(el, i, ast_kid(i->layer->decl, 1));
}

/* ---- what is below a value */

const char *value_path(Value v) {
    if (v.kind == V_INST) return v.inst->path;
    if (v.kind == V_LIST) return v.list->path;
    if (v.kind == V_WEIGHT) return v.weight->path;
    return NULL;
}

static bool has_path(Value v) {
    return v.kind == V_INST || v.kind == V_WEIGHT || (v.kind == V_LIST && v.list->path);
}

static void visit_items(Elab *el, Inst *i, const Ast *items, Visit *visit, void *arg) {
    for (int k = 0; k < items->n; k++) {
        const Ast *it = ast_kid(items, k);
        if (ast_is(it, AST_IF)) {
            visit_items(el, i, ast_kid(it, ev_condition(el, ast_kid(it, 0), i->env) ? 1 : 2), visit, arg);
        } else if (is_member(it) && !ast_is(it, AST_FN) && !ast_is(it, AST_CONST)) {
            Value v = inst_get(el, i, it->text, it);
            if (has_path(v)) visit(el, arg, it->text, v);
        }
    }
}

void value_children(Elab *el, Value v, Visit *visit, void *arg) {
    if (v.kind == V_LIST) {
        for (int k = 0; k < v.list->item.n; k++)
            if (has_path(v.list->item.at[k])) visit(el, arg, arena_printf(el->arena, "%d", k), v.list->item.at[k]);
        return;
    }
    if (v.kind != V_INST) return;
    visit_items(el, v.inst, ast_kid(v.inst->layer->decl, 1), visit, arg);
    for (int k = 0; k < v.inst->args.n; k++)
        if (has_path(v.inst->args.at[k].value)) visit(el, arg, v.inst->args.at[k].name, v.inst->args.at[k].value);
}

static void visit_weight(Elab *el, void *arg, const char *name, Value child) {
    (void)name;
    value_weights(el, child, arg);
}

void value_weights(Elab *el, Value v, WeightList *out) {
    if (v.kind != V_WEIGHT) {
        value_children(el, v, visit_weight, out);
        return;
    }
    for (int i = 0; i < out->n; i++)
        if (out->at[i] == v.weight) return;
    PUSH(el->arena, *out, v.weight);
}

bool values_hold(const Values *v, const char *path) {
    for (int i = 0; i < v->n; i++) {
        const char *p = value_path(v->at[i]);
        size_t n = p ? strlen(p) : 0;
        if (p && !strncmp(path, p, n) && (!path[n] || path[n] == '.')) return true;
    }
    return false;
}

bool frozen_by(const Frozen *f, const char *path) {
    return values_hold(&f->what, path) && !values_hold(&f->except, path);
}

bool is_frozen(Elab *el, const char *path) {
    for (int i = 0; i < el->frozen.n; i++)
        if (frozen_by(&el->frozen.at[i], path)) return true;
    return false;
}

bool is_excepted(Elab *el, const char *path) {
    for (int i = 0; i < el->frozen.n; i++)
        if (values_hold(&el->frozen.at[i].except, path)) return !is_frozen(el, path);
    return false;
}
