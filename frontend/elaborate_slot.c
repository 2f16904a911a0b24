/* elaborate_slot.c -- the current value of each weight, state and cache.
 *
 * An entry reads a slot through slot_get and changes it through slot_set: nothing is written while the graph is built, only
 * which node is the slot's value from here on. What differs from the value loaded at the beginning is stored at the end of the
 * entry. Inside a scan the value is an argument of the body (elaborate_scan.c).
 *
 * `reset` needs no sizes: nothing is made until the slot is read again. One that an entry leaves reset is not stored, but
 * forgotten (EFFECT_RESET): the next entry that touches it makes it anew, with that call's sizes. */
#include "frontend/elab.h"

#include <string.h>

const TypeV *weight_type(Elab *el, Weight *w, const Ast *n) {
    return &weight_slot(el, w, n)->type;
}

static const char *kind_name(SlotKind kind) {
    return kind == SLOT_PARAM ? "param" : kind == SLOT_STATE ? "state" : "cache";
}

static TypeV declared_type(Elab *el, Weight *w, const Ast *n) {
    Context saved = el->cx;
    el->cx.pack = w->inst && w->inst->has_pack && w->inst->pack_bound ? &w->inst->pack : NULL;
    el->cx.build = NULL;
    el->cx.wide = false;
    if (w->inst)
        for (int i = 0; i < w->inst->dims.n; i++) {
            InstDim *d = &w->inst->dims.at[i];
            if (d->size || w->inst->called) continue;
            fault(el, w->inst->node, 209, "`%s` is never called, so its sizes are unknown", w->inst->path);
            fault_label(el, "%s is made here", w->inst->layer->name);
            fault_help(el, "remove it, call it, or state the size: %s(..., %s = ...)", w->inst->layer->name, d->name);
            fault_throw(el);
        }
    TypeV t = *ev_type(el, ast_kid(w->decl, 0), w->env).type;
    DType kept = w->kind == SLOT_CACHE ? el->precision.caches : el->precision.params;
    if (t.policy && kept != DT_COUNT) t.type.dtype = kept;
    el->cx = saved;
    if (w->kind != SLOT_CACHE)
        for (int i = 0; i < t.type.rank; i++) {
            if (size_is_static(t.type.dim[i])) continue;
            fault(el, w->inst ? w->inst->node : w->decl, 211, "%s `%s` would have the shape %s",
                  kind_name(w->kind), w->path, typev_text(el, &t));
            fault_label(el, "`%s` is known only at run time", size_text(el->arena, t.type.dim[i]));
            const char *fix = "";
            for (int k = size_names(el->program->sizes); k-- > 0;)
                if (size_uses(t.type.dim[i], size_name_at(el->program->sizes, k)))
                    fix = size_name_at(el->program->sizes, k)->name;
            fault_help(el,
                       "weights need sizes known at compile time; fix `%s` with -D, or reduce it first (global_avg_pool, mean)",
                       fix);
            fault_throw(el);
        }
    int64_t size;
    for (int i = 0; i < t.type.rank; i++) {
        if (!size_is_const(t.type.dim[i], &size) || size != 0) continue;
        fault(el, w->inst ? w->inst->node : w->decl, 218, "%s `%s` would have no elements", kind_name(w->kind), w->path);
        fault_label(el, "%s", typev_text(el, &t));
        fault_throw(el);
    }
    (void)n;
    return t;
}

static SlotInfo *slot_new(Elab *el, Weight *w, const char *path, SlotKind kind, TypeV type, Loc loc) {
    SlotInfo *s = NEW(el->arena, SlotInfo);
    s->weight = w;
    s->path = path;
    s->kind = kind;
    s->type = type;
    s->loc = loc;
    s->slot = NEW(el->program->arena, Slot);
    *s->slot = (Slot){.path = path, .kind = kind, .type = type.type, .loc = loc, .index = el->program->slots.n};
    PUSH(el->program->arena, el->program->slots, s->slot);
    PUSH(el->arena, el->slots, s);
    return s;
}

static bool per_parameter(const Elab *el, const Weight *w) {
    return el->cx.slot_of && w->inst && w->inst->has_pack;
}

SlotInfo *weight_slot(Elab *el, Weight *w, const Ast *n) {
    const char *of = per_parameter(el, w) ? el->cx.slot_of : NULL;
    for (int i = 0; i < w->slots.n; i++) {
        SlotInfo *s = w->slots.at[i];
        if (of ? s->for_path && !strcmp(s->for_path, of) : !s->for_path) return s;
    }
    TypeV t = declared_type(el, w, n);
    const char *path = of ? arena_printf(el->arena, "%s.%s", w->path, of) : w->path;
    SlotInfo *s = slot_new(el, w, path, w->kind, t, w->decl->loc);
    s->for_path = of;
    s->optimizer = of || el->cx.slot_of;
    PUSH(el->arena, w->slots, s);
    return s;
}

SlotInfo *slot_extra(Elab *el, const char *path, const char *for_path, Type type) {
    for (int i = 0; i < el->slots.n; i++)
        if (!el->slots.at[i]->weight && !strcmp(el->slots.at[i]->path, path)) return el->slots.at[i];
    SlotInfo *s = slot_new(el, NULL, path, SLOT_STATE, (TypeV){type, false}, el->cx.user);
    s->for_path = for_path;
    s->optimizer = true;
    return s;
}

SlotInfo *slot_range(Elab *el, const char *weight, bool pooled, Loc loc) {
    Arena *a = el->program->arena;
    const char *of = pooled ? pooled_path(a, weight) : observed_path(a, weight), *path = range_path(a, of);
    for (int i = 0; i < el->slots.n; i++) {
        if (strcmp(el->slots.at[i]->path, path) != 0) continue;
        if (el->slots.at[i]->range_of) return el->slots.at[i];
        fault_at(el, loc, 305, "the range of what flows into `%s` would be called `%s`, as another value is", weight, path);
        fault_throw(el);
    }
    Size two = size_const(el->program->sizes, 2);
    SlotInfo *s = slot_new(el, NULL, path, SLOT_STATE, (TypeV){type_of(DT_F32, 1, &two), false}, loc);
    s->range_of = of;
    s->kept = true;
    return s;
}

Value weight_value(Elab *el, Weight *w, const Ast *n) {
    SlotInfo *s = weight_slot(el, w, n);
    if (!el->cx.g) {
        fault(el, n, 417, "the value of `%s` is known only at run time", w->path);
        fault_throw(el);
    }
    w->read = true;
    Node *stored = slot_get(el, s);
    if (!s->type.policy) return value_tensor(stored, false);
    TypeV t = float_type(el);
    if (t.type.dtype == stored->type.dtype) return value_tensor(stored, t.policy);
    if (s->read_from != stored || s->read->type.dtype != t.type.dtype) { /* one node, so that `grad(y, w)` finds it in y */
        s->read_from = stored;
        s->read = emit_cast(el, stored, t.type.dtype);
    }
    return value_tensor(s->read, t.policy);
}

Node *slot_get(Elab *el, SlotInfo *s) {
    s->touched = true;
    if (el->cx.body) return body_slot(el, el->cx.body, s);
    if (s->reset) slot_set(el, s, slot_initial(el, s));
    if (!s->now) {
        if (el->initial) {
            fault_at(el, el->cx.user, 417, "an initial value cannot use the weight `%s`", s->path);
            fault_throw(el);
        }
        Graph *g = el->cx.g;
        g->loc = s->loc.source && !s->loc.source->library ? s->loc : el->cx.user;
        g->path = NULL;
        Node *n = node_leaf(g, OP_SLOT, &(Attrs){.index = s->slot->index, .name = s->path}, s->type.type);
        s->load = s->now = n;
    }
    return s->now;
}

Node *slot_now(Elab *el, SlotInfo *s, Node **first) {
    if (el->cx.body) return body_slot_now(el->cx.body, s, first);
    *first = s->load;
    return s->now;
}

void slot_set(Elab *el, SlotInfo *s, Node *value) {
    s->touched = true;
    if (!el->cx.body) s->reset = false;
    if (!el->cx.body && !s->load) slot_get(el, s); /* keeps `load` and `now` different even if it was never read */
    Node *v = emit1(el, OP_STOP, emit_cast(el, value, s->type.type.dtype));
    if (el->cx.body) body_slot_set(el, el->cx.body, s, v);
    else s->now = v;
}

void slot_reset(Elab *el, SlotInfo *s) {
    if (el->cx.body) {
        slot_set(el, s, slot_initial(el, s));
        return;
    }
    s->touched = s->reset = true;
}

void slots_begin_entry(Elab *el) {
    for (int i = 0; i < el->slots.n; i++) {
        el->slots.at[i]->reset = false;
        el->slots.at[i]->load = el->slots.at[i]->now = NULL;
        el->slots.at[i]->touched = false;
    }
}

/* f(T, args...) of `param w: T = f(args)` and `init .. with f(args)`; a number fills the tensor. */
static Value initial_value(Elab *el, const Ast *e, Env *env, const TypeV *t) {
    Pack pack = {.rank = t->type.rank};
    memcpy(pack.dim, t->type.dim, sizeof pack.dim);
    el->cx.pack = &pack;
    el->cx.build = NULL;
    if (!ast_is(e, AST_CALL)) return ev(el, e, env);
    Value f = ev(el, ast_kid(e, 0), env);
    Args args = {0};
    PUSH(el->arena, args, ((Arg){value_type(el, t->type, t->policy), e, NULL}));
    call_args(el, ast_kid(e, 1), env, f, &args);
    return call_value(el, f, &args, e);
}

Node *slot_initial(Elab *el, SlotInfo *s) {
    if (!s->weight) return emit_const(el, s->type.type, s->first);
    const Ast *e = s->init ? s->init : ast_kid(s->weight->decl, 1);
    Env *env = s->init ? el->file : s->weight->env;
    Context saved = el->cx;
    at(el, e);
    Value v = initial_value(el, e, env, &s->type);
    if (!is_numeric(v) && v.kind != V_TENSOR && v.kind != V_BOOL) {
        fault(el, e, 202, "the initial value of `%s` must be a tensor or a number", s->path);
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    if (v.kind == V_TENSOR && !v.weak &&
        (tensor_checked(v) != type_checked(s->type.type.dtype, s->type.policy) ||
         !dims_fit(tensor_rank(v), tensor_type(v)->dim, s->type.type.rank, s->type.type.dim))) {
        fault(el, e, 201, "the initial value of `%s` must be %s", s->path, typev_text(el, &s->type));
        fault_label(el, "this is %s", tensor_text(el, v));
        fault_throw(el);
    }
    Node *n = operand(el, v, &s->type.type);
    el->cx = saved;
    return n;
}
