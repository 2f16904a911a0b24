/* elaborate_lint.c -- warnings about a program as a whole: what all of its entries together leave out.
 *
 *   W0804  a weight that no entry trains and no file gives: it stays what chance made it
 *   W0805  a part that no entry trains, but that is in training mode: its dropout draws, its statistics move
 *   W0806  a cache that is read and never written: a constant
 *   W0807  minimize names matrices(net); the vectors of net are in no group
 *
 * What they ask is noted while entries are elaborated: the flags of Weight and Inst. What a `freeze` or an `except` names is left
 * out on purpose (its values may come when a session is opened); and what W0807 tells, the others do not. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

void lint_moved(Elab *el, Inst *i) {
    if (!i) return;
    i->moved = true;
    el->moved = el->moved || i->asked;
}

static bool ever_frozen(const Elab *el, const char *path) {
    for (int i = 0; i < el->ever_frozen.n; i++)
        if (frozen_by(&el->ever_frozen.at[i], path)) return true;
    return false;
}

/* Where a part is made: in the user's text, or else the member of the file that it belongs to. */
static Loc made_at(Elab *el, const Ast *node, const char *path) {
    if (node && node->loc.source && !node->loc.source->library) return caret(node);
    Var *top = env_own(el->file, arena_copy(el->arena, path, strcspn(path, ".")));
    return top && top->decl ? top->decl->loc : (Loc){0};
}

/* net.0.bias as it is written in a program: net[0].bias */
static const char *written_path(Elab *el, const char *path) {
    const char *out = "";
    while (*path) {
        size_t n = strcspn(path, ".");
        bool index = isdigit((unsigned char)*path);
        out = arena_printf(el->arena, index ? "%s[%.*s]" : *out ? "%s.%.*s" : "%s%.*s", out, (int)n, path);
        path += n + (path[n] == '.');
    }
    return out;
}

/* "a, b, c and 5 more" */
static const char *paths_text(Elab *el, const Values *v) {
    const char *text = "";
    int shown = v->n > 4 ? 3 : v->n;
    for (int i = 0; i < shown; i++) text = arena_printf(el->arena, "%s%s%s", text, i ? ", " : "", value_path(v->at[i]));
    return shown < v->n ? arena_printf(el->arena, "%s and %d more", text, v->n - shown) : text;
}

/* ---- W0804 */

/* Does a `load` of these items, under whatever condition, name the path or what is above it? An index counts as all. */
static bool loads(Elab *el, const Ast *items, const char *path) {
    for (int i = 0; i < items->n; i++) {
        const Ast *it = ast_kid(items, i);
        if (ast_is(it, AST_IF) && (loads(el, ast_kid(it, 1), path) || loads(el, ast_kid(it, 2), path))) return true;
        if (!ast_is(it, AST_LOAD)) continue;
        const char *target = ast_text(el->arena, ast_kid(it, 0));
        size_t n = strcspn(target, "[*");
        while (n && target[n - 1] == '.') n--;
        if (!strncmp(path, target, n) && (!path[n] || path[n] == '.')) return true;
    }
    return false;
}

static bool forgotten(const Elab *el, const Weight *w) {
    for (int i = 0; i < el->beside.n; i++)
        if (el->beside.at[i].weight == w) return true;
    return false;
}

static bool lost_weight(Elab *el, const Weight *w, const Ast *items) {
    if (w->kind != SLOT_PARAM || !w->slots.n || w->trained || forgotten(el, w)) return false;
    return !w->excepted && !ever_frozen(el, w->path) && !loads(el, items, w->path);
}

typedef struct Lost { /* the largest parts of which no parameter is trained or given */
    Values part;
    const Ast *items;
} Lost;

static void lost_parts(Elab *el, void *arg, const char *name, Value v) {
    (void)name;
    Lost *lost = arg;
    WeightList weights = {0};
    value_weights(el, v, &weights);
    int params = 0, none = 0;
    for (int i = 0; i < weights.n; i++) {
        params += weights.at[i]->kind == SLOT_PARAM;
        none += lost_weight(el, weights.at[i], lost->items);
    }
    if (!none) return;
    if (none == params) PUSH(el->arena, lost->part, v);
    else value_children(el, v, lost_parts, lost);
}

static void untrained(Elab *el, const Top *top, const Ast *items) {
    Lost lost = {.items = items};
    lost_parts(el, &lost, top->name, top->value);
    if (!lost.part.n) return;
    Value v = lost.part.at[0];
    const Ast *node = v.kind == V_INST ? v.inst->node : v.kind == V_WEIGHT ? v.weight->decl : NULL;
    if (v.kind == V_WEIGHT && node->loc.source->library && v.weight->inst) node = v.weight->inst->node;
    bool one = lost.part.n == 1;
    fault_at(el, made_at(el, node, value_path(v)), 804, "no entry trains `%s`%s, and no file gives %s", value_path(v),
             one ? "" : arena_printf(el->arena, " and %d more", lost.part.n - 1), one ? "it" : "them");
    fault_label(el, "it keeps what it is at first");
    if (!one) fault_fact(el, "%s", paths_text(el, &lost.part));
    fault_help(el, "select it in a minimize, or load it: load %s from \"FILE.safetensors\";", written_path(el, value_path(v)));
    elab_warn(el);
}

/* ---- W0805 */

typedef struct Moving {
    Values inst, told;
} Moving;

static void find_moving(Elab *el, void *arg, const char *name, Value v) {
    (void)name;
    Moving *m = arg;
    if (v.kind == V_INST && v.inst->asked && v.inst->moved) PUSH(el->arena, m->inst, v);
    value_children(el, v, find_moving, m);
}

static void part_moves(Elab *el, Moving *m, Value v) {
    for (int i = 0; i < m->told.n; i++)
        if (value_same(m->told.at[i], v)) return;
    PUSH(el->arena, m->told, v);
    const char *path = value_path(v);
    fault_at(el, made_at(el, v.kind == V_INST ? v.inst->node : NULL, path), 805,
             "no entry trains `%s`, but it runs in training mode", path);
    fault_label(el, "dropout draws, statistics move");
    fault_fact(el, "in training mode: %s", paths_text(el, &m->inst));
    fault_help(el, "freeze %s;", written_path(el, path));
    elab_warn(el);
}

/* The largest parts that have parameters of which none is chosen. */
static void moving_parts(Elab *el, void *arg, const char *name, Value v) {
    (void)name;
    Moving *m = arg;
    if (v.kind == V_WEIGHT) return;
    m->inst.n = 0;
    find_moving(el, m, "", v);
    if (!m->inst.n) return;
    WeightList weights = {0};
    bool params = false, chosen = false;
    value_weights(el, v, &weights);
    for (int i = 0; i < weights.n; i++) {
        const Weight *w = weights.at[i];
        params = params || w->kind == SLOT_PARAM;
        chosen = chosen || w->trained || w->excepted || forgotten(el, w) || ever_frozen(el, w->path);
    }
    if (params && !chosen) part_moves(el, m, v);
    else value_children(el, v, moving_parts, m);
}

/* ---- W0806 */

static void unwritten(Elab *el, const WeightList *weights) {
    for (int i = 0; i < weights->n; i++) {
        const Weight *w = weights->at[i];
        if (w->kind != SLOT_CACHE || !w->read || w->written) continue;
        bool library = w->decl->loc.source->library;
        fault_at(el, made_at(el, library && w->inst ? w->inst->node : w->decl, w->path), 806,
                 "the cache `%s` is read, but no entry writes it", w->path);
        fault_label(el, library ? "its cache keeps its initial value" : "it keeps its initial value");
        fault_help(el, "assign it in an entry, or write the value itself");
        elab_warn(el);
    }
}

/* ---- W0807 */

static void forgotten_vectors(Elab *el) {
    for (int i = 0; i < el->beside.n; i++) {
        const Ast *group = el->beside.at[i].group;
        if (i && el->beside.at[i - 1].group == group) continue;
        Values left = {0};
        for (int k = i; k < el->beside.n && el->beside.at[k].group == group; k++) {
            Weight *w = el->beside.at[k].weight;
            if (w->kind == SLOT_PARAM && !w->trained && !w->excepted && !ever_frozen(el, w->path)) 
                PUSH(el->arena, left, ((Value){.kind = V_WEIGHT, .weight = w}));
        }
        if (!left.n) continue;
        const char *of = ast_text(el->arena, ast_kid(group, 1));
        fault(el, group, 807, "the matrices of `%.*s` are trained, its vectors are not", (int)strlen(of) - 2, of + 1);
        fault_label(el, "%d parameter%s in no group", left.n, left.n == 1 ? " is" : "s are");
        fault_fact(el, "not trained: %s", paths_text(el, &left));
        fault_help(el, "give them one, commonly without decay: over vectors%s using ...; or leave them: freeze vectors%s;", of, of);
        elab_warn(el);
    }
}

void lint_program(Elab *el, void *file) {
    el->cx = (Context){0};
    Moving moving = {0};
    for (int i = 0; i < el->tops.n; i++) {
        const Top *top = &el->tops.at[i];
        WeightList weights = {0};
        value_weights(el, top->value, &weights);
        if (el->trains && !el->options->load) untrained(el, top, ast_kid(file, 0));
        if (el->moved) moving_parts(el, &moving, top->name, top->value);
        unwritten(el, &weights);
    }
    forgotten_vectors(el);
}
