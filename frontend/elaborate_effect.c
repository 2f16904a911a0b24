/* elaborate_effect.c -- intrinsics that are more than a value: gradients, reset, print; and the selections, which have none. */
#include "frontend/elab.h"

#include <string.h>

static Value fn_stop_gradient(Elab *el, Call *c) {
    return like(c->arg[0].value, emit1(el, OP_STOP, need_tensor(el, &c->arg[0])));
}

static bool reaches(const Node *from, const Node *to, bool *seen) {
    if (from == to) return true;
    if (seen[from->id]) return false;
    seen[from->id] = true;
    for (int i = 0; i < from->n_in; i++)
        if (reaches(from->in[i], to, seen)) return true;
    return false;
}

static Value fn_grad(Elab *el, Call *c) {
    need_float(el, &c->arg[0]);
    need_float(el, &c->arg[1]);
    Value y = c->arg[0].value, x = c->arg[1].value;
    if (tensor_rank(y)) {
        fault(el, c->arg[0].node, 606, "grad needs one number");
        fault_label(el, "this is %s", tensor_text(el, y));
        fault_help(el, "reduce it with mean(...) or sum(...)");
        fault_throw(el);
    }
    Node *in[] = {use(el, y.node), use(el, x.node)};
    if (!reaches(in[0], in[1], NEW_ARRAY(el->arena, bool, el->cx.g->nodes.n))) {
        fault(el, c->arg[1].node, 606, "`%s` was not computed from `%s`", ast_text(el->arena, c->arg[0].node),
              ast_text(el->arena, c->arg[1].node));
        fault_throw(el);
    }
    return like(x, emit_get(el, emit(el, OP_GRAD, NULL, 2, in), 0, x.node->type));
}

/* The arguments are instances, lists and weights, found as a selection is. */
static Value fn_reset(Elab *el, Call *c) {
    for (int i = 0; i < c->n; i++) {
        WeightList weights = {0};
        int caches = 0;
        value_weights(el, c->rest.at[i].value, &weights);
        for (int k = 0; k < weights.n; k++) {
            if (weights.at[k]->kind != SLOT_CACHE) continue;
            caches++;
            slot_reset(el, weight_slot(el, weights.at[k], c->node));
        }
        if (caches) continue;
        fault(el, c->rest.at[i].node, 503, "`%s` has no cache", ast_text(el->arena, c->rest.at[i].node));
        fault_throw(el);
    }
    return value_none();
}

/* One line a value, with the strings before it. */
static Value fn_print(Elab *el, Call *c) {
    if (body_stopped(el)) {
        fault(el, c->node, 617, "`print` stands after `stop if`");
        fault_help(el, "write it before: a step that stops prints nothing more");
        fault_throw(el);
    }
    const char *text = "";
    bool pending = false;
    for (int i = 0; i < c->n; i++) {
        Value v = c->rest.at[i].value;
        if (v.kind != V_TENSOR) {
            text = arena_printf(el->program->arena, "%s%s%s", text, *text ? " " : "", value_text(el, v));
            pending = true;
            continue;
        }
        graph_effect(el->cx.g, (Effect){.kind = EFFECT_PRINT, .value = use(el, v.node), .text = text, .loc = el->cx.user});
        text = "";
        pending = false;
    }
    if (pending) graph_effect(el->cx.g, (Effect){.kind = EFFECT_PRINT, .text = text, .loc = el->cx.user});
    return value_none();
}

static Value fn_selection(Elab *el, Call *c) {
    fault(el, c->node, 501, "%s(...) selects parameters and has no value here", c->fn->name);
    fault_throw(el);
}

const Builtin builtins_effect[] = {
    {"stop_gradient", "x", fn_stop_gradient},
    {"grad", "y x", fn_grad},
    {"reset", "*", fn_reset},
    {"print", "*", fn_print},
    {"matrices", "*", fn_selection},
    {"vectors", "*", fn_selection},
    {"of", "*", fn_selection},
    {NULL, NULL, NULL},
};
