/* elaborate_select.c -- paths and selections: `net.h[*].attn`, `net.**.bias`, `matrices(net)`, `of(net, BatchNorm2d)`. */
#include "frontend/elab.h"

#include <string.h>

typedef struct Search { /* children of one value by name */
    const char *name;   /* NULL or "*": all */
    bool deep;
    Values *found;
    Names names;
} Search;

static void found(Elab *el, Values *out, Value v) {
    for (int i = 0; i < out->n; i++)
        if (value_same(out->at[i], v)) return;
    PUSH(el->arena, *out, v);
}

static void visit_child(Elab *el, void *arg, const char *name, Value child) {
    Search *s = arg;
    names_push(el, &s->names, name);
    if (!s->name || !strcmp(s->name, name)) found(el, s->found, child);
    if (s->deep) value_children(el, child, visit_child, s);
}

static void no_selection(Elab *el, const Ast *n) __attribute__((noreturn));
static void no_selection(Elab *el, const Ast *n) {
    fault(el, n, 501, "not a selection");
    fault_help(el, "selections are paths like net.blocks[*].attn, matrices(x), vectors(x), of(x, Layer)");
    fault_throw(el);
}

static void select_member(Elab *el, const Ast *n, Env *env, Values *out) {
    Values base = {0};
    select_values(el, ast_kid(n, 0), env, &base);
    bool deep = !strcmp(n->text, "**"), star = !strcmp(n->text, "*");
    Search s = {.name = deep || star ? NULL : n->text, .deep = deep, .found = out};
    int before = out->n;
    for (int i = 0; i < base.n; i++) {
        if (deep) found(el, out, base.at[i]);
        value_children(el, base.at[i], visit_child, &s);
    }
    if (out->n > before) return;
    fault(el, n, 503, "nothing is called `%s` here", n->text);
    fault_label(el, "in %s", ast_text(el->arena, ast_kid(n, 0)));
    fault_close(el, &s.names, n->text);
    if (!el->fault.helps.n && s.names.n) {
        const char *all = "";
        for (int i = 0; i < s.names.n; i++) {
            bool again = false;
            for (int k = 0; k < i; k++) again = again || !strcmp(s.names.at[i], s.names.at[k]);
            if (!again) all = arena_printf(el->arena, "%s%s%s", all, *all ? ", " : "", s.names.at[i]);
        }
        fault_help(el, "it has: %s", all);
    }
    fault_throw(el);
}

static void select_index(Elab *el, const Ast *n, Env *env, Values *out) {
    Values base = {0};
    select_values(el, ast_kid(n, 0), env, &base);
    const Ast *x = ast_kid(ast_kid(n, 1), 0);
    const char *text = ast_text(el->arena, ast_kid(n, 0));
    if (ast_kid(n, 1)->n != 1) no_selection(el, n);
    for (int b = 0; b < base.n; b++) {
        Value v = base.at[b];
        if (v.kind != V_LIST) {
            fault(el, n, 501, "`%s` is not a list", text);
            fault_throw(el);
        }
        int count = v.list->item.n;
        if (ast_is(x, AST_STAR)) {
            for (int i = 0; i < count; i++) found(el, out, v.list->item.at[i]);
            continue;
        }
        Value i = ev_const(el, x, env);
        int64_t from, to;
        if (i.kind == V_RANGE && size_is_const(i.range->from, &from) && size_is_const(i.range->to, &to)) {
            for (int64_t k = from < 0 ? 0 : from; k < to && k < count; k++) found(el, out, v.list->item.at[k]);
            continue;
        }
        if (i.kind != V_INT) {
            fault(el, x, 504, "an index into a list must be a whole number, a range or *");
            fault_throw(el);
        }
        if (i.whole < -count || i.whole >= count) {
            fault(el, x, 504, "`%s` has %d elements, 0 to %d", text, count, count - 1);
            fault_label(el, "there is no number %lld", (long long)i.whole);
            fault_throw(el);
        }
        found(el, out, v.list->item.at[i.whole < 0 ? i.whole + count : i.whole]);
    }
}

static void visit_layer(Elab *el, void *arg, const char *name, Value child);

typedef struct LayerSearch {
    const LayerV *layer;
    Values *found;
} LayerSearch;

static void visit_layer(Elab *el, void *arg, const char *name, Value child) {
    LayerSearch *s = arg;
    (void)name;
    if (child.kind == V_INST && child.inst->layer->decl == s->layer->decl) found(el, s->found, child);
    value_children(el, child, visit_layer, s);
}

/* Known before the sizes are, so that a `freeze` of the file may ask for it; but for `...`. */
static int weight_rank(Elab *el, Weight *w, const Ast *n) {
    const Ast *type = ast_kid(w->decl, 0), *shape = ast_kid(type, 0);
    for (int i = 0; i < shape->n; i++)
        if (ast_is(ast_kid(shape, i), AST_PACK)) return weight_type(el, w, n)->type.rank;
    return shape->n;
}

static void select_call(Elab *el, const Ast *n, Env *env, Values *out) {
    const Ast *args = ast_kid(n, 1);
    const char *name = ast_is(ast_kid(n, 0), AST_NAME) ? ast_kid(n, 0)->text : "";
    if (!strcmp(name, "of") && args->n == 2) {
        Value layer = ev(el, ast_kid(args, 1), env);
        Values base = {0};
        if (layer.kind != V_LAYER) {
            fault(el, ast_kid(args, 1), 501, "`of` takes a layer, without parentheses");
            fault_label(el, "this is %s", value_a(el, layer));
            fault_throw(el);
        }
        select_values(el, ast_kid(args, 0), env, &base);
        LayerSearch s = {layer.layer, out};
        for (int i = 0; i < base.n; i++) visit_layer(el, &s, "", base.at[i]);
        return;
    }
    bool matrices = !strcmp(name, "matrices");
    if ((!matrices && strcmp(name, "vectors")) || !args->n) no_selection(el, n);
    Values base = {0};
    WeightList weights = {0};
    for (int i = 0; i < args->n; i++) select_values(el, ast_kid(args, i), env, &base);
    for (int i = 0; i < base.n; i++) value_weights(el, base.at[i], &weights);
    for (int i = 0; i < weights.n; i++) {
        Weight *w = weights.at[i];
        if (w->kind == SLOT_PARAM && (weight_rank(el, w, n) >= 2) == matrices)
            found(el, out, (Value){.kind = V_WEIGHT, .weight = w});
    }
}

void select_values(Elab *el, const Ast *n, Env *env, Values *out) {
    switch (n->kind) {
    case AST_NAME: {
        Value v = ev_raw(el, n, env);
        if (value_path(v)) {
            found(el, out, v);
            return;
        }
        fault(el, n, 501, "`%s` is %s, not a network or a parameter", n->text, value_a(el, v));
        fault_throw(el);
    }
    case AST_PAREN: select_values(el, ast_kid(n, 0), env, out); return;
    case AST_DOT: select_member(el, n, env, out); return;
    case AST_INDEX: select_index(el, n, env, out); return;
    case AST_CALL: select_call(el, n, env, out); return;
    default: no_selection(el, n);
    }
}

static void select_list(Elab *el, const Ast *list, Env *env, WeightList *out) {
    for (int i = 0; i < list->n; i++) {
        Values values = {0};
        select_values(el, ast_kid(list, i), env, &values);
        for (int k = 0; k < values.n; k++) value_weights(el, values.at[k], out);
    }
}

void select_weights(Elab *el, const Ast *sels, Env *env, WeightList *out) {
    WeightList all = {0}, without = {0};
    select_list(el, ast_kid(sels, 0), env, &all);
    select_list(el, ast_kid(sels, 1), env, &without);
    for (int i = 0; i < without.n; i++) without.at[i]->excepted = true;
    for (int i = 0; i < all.n; i++) {
        bool left_out = all.at[i]->kind == SLOT_CACHE;
        for (int k = 0; k < without.n; k++) left_out = left_out || without.at[k] == all.at[i];
        if (!left_out) PUSH(el->arena, *out, all.at[i]);
    }
    if (out->n) return;
    fault(el, ast_kid(ast_kid(sels, 0), 0), 502, "this selects no parameters");
    fault_throw(el);
}
