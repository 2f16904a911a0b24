/* verify.c -- the rules that every graph keeps, after every pass. The first violation is told with the node it is about.
 *
 *   place       a node's id is its place in its graph's list; operands come before it, in the same graph
 *   type        what inference says of operands and attributes is the type that the node has
 *   attributes  those of the row are in range, the others are zero
 *   leaves      inputs and slots exist and have these types; arguments stand in bodies only, inputs and slots only outside
 *   effects     values are of this graph and of the kind that the effect wants; a slot is stored at most once
 *   bodies      keep the same rules, see nothing outside, and store nothing */
#include "ir/op.h"

#include <stdarg.h>
#include <string.h>

typedef struct Verify {
    const Graph *g;
    const Entry *entry; /* or NULL */
    Arena *arena;
    const char *message;
    bool body;
    const char *within; /* of a body: where */
} Verify;

static bool wrong(Verify *v, const Node *n, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool wrong(Verify *v, const Node *n, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const char *what = arena_vprintf(v->arena, format, ap);
    va_end(ap);
    const char *where = v->within ? v->within : "";
    if (n)
        v->message =
            arena_printf(v->arena, "%s%%%d %s%s%s: %s", where, n->id, (unsigned)n->op < OP_COUNT ? op_row(n->op)->name : "?",
                         n->name ? " " : "", n->name ? n->name : "", what);
    else v->message = arena_printf(v->arena, "%s%s", where, what);
    return false;
}

/* ---- attributes ---------------------------------------------------------------------------------------------------------- */

static bool attrs_clear(Verify *v, const Node *n) {
    unsigned has = op_row(n->op)->attrs;
    const Attrs *a = &n->attrs;
    bool typed = op_row(n->op)->class == CLASS_LEAF || n->op == OP_RANDOM;
    const struct {
        bool extra;
        const char *name;
    } FIELD[] = {
        {!(has & A_INDEX) && a->index, "index"},
        {!(has & A_NAME) && a->name, "name"},
        {!(has & A_NUMBER) && (a->number != 0 || a->whole), "number"},
        {!(has & A_DATA) && a->data, "data"},
        {!(has & A_AXIS) && a->axis, "axis"},
        {!(has & A_AXES) && a->n_axes, "axes"},
        {!(has & A_SHAPE) && !typed && a->n_shape, "shape"},
        {!(has & A_RANGE) && (a->lo[0] || a->hi[0]), "range"},
        {!(has & A_LABELS) && (a->labels[0] || a->labels[1] || a->labels[2]), "labels"},
        {!(has & A_FN) && a->fn, "fn"},
        {!(has & A_SITE) && (a->site || a->step), "site"},
        {!(has & A_DTYPE) && !typed && a->dtype, "dtype"},
        {!(has & A_EXTENT) && a->extent, "extent"},
        {!(has & A_FLAG) && a->flag, "flag"},
        {!(has & A_BODY) && a->body, "body"},
        {!(has & A_WINDOW) && a->window.taps[0], "window"},
        {!(has & A_COUNTS) && (a->counts[0] || a->counts[1] || a->counts[2] || a->counts[3] || a->counts[4]), "counts"},
    };
    for (size_t k = 0; k < sizeof FIELD / sizeof *FIELD; k++)
        if (FIELD[k].extra) return wrong(v, n, "the attribute %s is set", FIELD[k].name);
    if (has & A_NUMBER && !dtype_is_float(n->type.dtype) && a->number != (double)a->whole)
        return wrong(v, n, "number and whole differ");
    return true;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static bool verify_graph(Verify *v);

static bool verify_body(Verify *v, const Node *n) {
    const Graph *body = n->attrs.body;
    if (!body) return wrong(v, n, "no body");
    Verify inner = {.g = body, .arena = v->arena, .body = true};
    inner.within = arena_printf(v->arena, "%sin the body of %%%d: ", v->within ? v->within : "", n->id);
    if (verify_graph(&inner)) return true;
    v->message = inner.message;
    return false;
}

static bool verify_leaf(Verify *v, const Node *n) {
    const Attrs *a = &n->attrs;
    if (n->op == OP_ARG) {
        if (!v->body) return wrong(v, n, "an argument outside of a body");
        if (a->index < 0 || a->index >= v->g->n_args || v->g->args[a->index] != n)
            return wrong(v, n, "argument %d is not this node", a->index);
    }
    if (v->body && (n->op == OP_INPUT || n->op == OP_SLOT)) return wrong(v, n, "a body sees its arguments only");
    if (n->op == OP_INPUT && v->entry) {
        if (a->index < 0 || a->index >= v->entry->n_inputs) return wrong(v, n, "input %d of %d", a->index, v->entry->n_inputs);
        const Type *t = &v->entry->inputs[a->index].type;
        if (!type_equal(t, &n->type)) return wrong(v, n, "the input is %s", type_text(v->arena, t));
    }
    bool typed = op_row(n->op)->class == CLASS_LEAF || n->op == OP_RANDOM;
    if (typed && n->type.rank >= 0) {
        Type said = type_of(a->dtype, a->n_shape, a->shape);
        if (!type_equal(&said, &n->type))
            return wrong(v, n, "attributes say %s, the type is %s", type_text(v->arena, &said), type_text(v->arena, &n->type));
    }
    return true;
}

static bool verify_node(Verify *v, int place) {
    const Graph *g = v->g;
    const Node *n = g->nodes.at[place];
    if ((unsigned)n->op >= OP_COUNT) return wrong(v, n, "op %d", (int)n->op);
    if (n->graph != g) return wrong(v, n, "it belongs to another graph");
    if (n->id != place) return wrong(v, n, "it is number %d of the list", place);
    for (int k = 0; k < n->n_in; k++) {
        const Node *x = n->in[k];
        if (!x) return wrong(v, n, "operand %d is missing", k);
        if (x->graph != g) return wrong(v, n, "operand %d is of another graph", k);
        if (x->id < 0 || x->id >= g->nodes.n || g->nodes.at[x->id] != x) return wrong(v, n, "operand %d is not in the list", k);
        if (x->id >= place) return wrong(v, n, "operand %d, %%%d, does not come before", k, x->id);
    }
    if (!attrs_clear(v, n)) return false;
    if (op_row(n->op)->attrs & A_BODY && !verify_body(v, n)) return false;
    Infer i = {.g = n->graph, .attrs = &n->attrs, .n = n->n_in, .in = n->in};
    bool typed = op_row(n->op)->class == CLASS_LEAF || n->op == OP_RANDOM;
    if (typed) i.out = n->type;
    if (!op_infer(n->op, &i)) return wrong(v, n, "%s", i.error);
    if (!type_equal(&i.out, &n->type))
        return wrong(v, n, "the type is %s, it should be %s", type_text(v->arena, &n->type), type_text(v->arena, &i.out));
    return verify_leaf(v, n);
}

/* ---- effects and results ------------------------------------------------------------------------------------------------- */

static bool is_value(const Graph *g, const Node *n) {
    return n && n->graph == g && n->id >= 0 && n->id < g->nodes.n && g->nodes.at[n->id] == n;
}

static bool verify_effect(Verify *v, int place, bool *stored) {
    const Effect *e = &v->g->effects.at[place];
    const Program *p = v->g->program;
    const Node *x = e->value;
    if (!x && e->kind == EFFECT_PRINT) return true;
    if (e->kind == EFFECT_RESET) {
        if (x || v->body) return wrong(v, x, "a reset %s", x ? "with a value" : "in a body");
        if (e->index < 0 || e->index >= p->slots.n) return wrong(v, NULL, "a reset of slot %d of %d", e->index, p->slots.n);
        const Slot *slot = p->slots.at[e->index];
        if (slot->kind != SLOT_CACHE) return wrong(v, NULL, "a reset of %s, which is no cache", slot->path);
        if (stored[e->index]) return wrong(v, NULL, "a reset of %s beside another change", slot->path);
        return stored[e->index] = true;
    }
    if (!is_value(v->g, x)) return wrong(v, NULL, "effect %d: its value is not of this graph", place);
    if (x->type.rank < 0) return wrong(v, x, "effect %d wants one value", place);
    switch (e->kind) {
    case EFFECT_STORE:
        if (v->body) return wrong(v, x, "a store in a body");
        if (e->index < 0 || e->index >= p->slots.n) return wrong(v, x, "a store to slot %d of %d", e->index, p->slots.n);
        if (stored[e->index]) return wrong(v, x, "a second store to %s", p->slots.at[e->index]->path);
        stored[e->index] = true;
        if (!type_equal(&x->type, &p->slots.at[e->index]->type))
            return wrong(v, x, "%s is stored to %s, which is %s", type_text(v->arena, &x->type), p->slots.at[e->index]->path,
                         type_text(v->arena, &p->slots.at[e->index]->type));
        return true;
    case EFFECT_CHECK:
        if (x->type.rank != 0 || x->type.dtype != DT_BOOL) return wrong(v, x, "a check of %s", type_text(v->arena, &x->type));
        return true;
    case EFFECT_RANGE:
        if (!dtype_is_int(x->type.dtype)) return wrong(v, x, "a range of %s", type_text(v->arena, &x->type));
        if (!e->lo || !e->hi) return wrong(v, x, "a range without limits");
        return true;
    case EFFECT_RESET:
    case EFFECT_PRINT: return true;
    }
    return wrong(v, x, "an effect of kind %d", (int)e->kind);
}

static bool verify_graph(Verify *v) {
    const Graph *g = v->g;
    if (!g->program) return wrong(v, NULL, "a graph without program");
    for (int k = 0; k < g->nodes.n; k++)
        if (!verify_node(v, k)) return false;
    for (int k = 0; k < g->n_args; k++)
        if (!is_value(g, g->args[k]) || g->args[k]->op != OP_ARG) return wrong(v, NULL, "argument %d is not in the list", k);
    bool *stored = NEW_ARRAY(v->arena, bool, g->program->slots.n);
    for (int k = 0; k < g->effects.n; k++)
        if (!verify_effect(v, k, stored)) return false;
    for (int k = 0; k < g->results.n; k++) {
        const Node *x = g->results.at[k].value;
        if (!is_value(g, x)) return wrong(v, NULL, "result %d is not of this graph", k);
        if (x->type.rank < 0) return wrong(v, x, "result %d has several values", k);
    }
    return true;
}

bool graph_verify(const Graph *g, Arena *arena, const char **message) {
    Verify v = {.g = g, .arena = arena, .body = g->n_args > 0};
    bool good = verify_graph(&v);
    *message = v.message;
    return good;
}

bool graph_verify_no_marks(const Graph *g, Arena *arena, const char **message) {
    Verify v = {.g = g, .arena = arena};
    for (int k = 0; k < g->nodes.n; k++) {
        const Node *n = g->nodes.at[k];
        bool good = op_row(n->op)->class != CLASS_MARK || wrong(&v, n, "it should be gone after the pass grad");
        *message = v.message;
        if (!good) return false;
        if (op_row(n->op)->attrs & A_BODY && !graph_verify_no_marks(n->attrs.body, arena, message)) return false;
    }
    return true;
}

/* ---- programs ------------------------------------------------------------------------------------------------------------ */

static bool verify_slot(Verify *v, const Slot *s, int index) {
    if (!s->path) return wrong(v, NULL, "slot %d has no path", index);
    if (s->index != index) return wrong(v, NULL, "slot %s is number %d of the list, not %d", s->path, index, s->index);
    if (s->type.rank < 0) return wrong(v, NULL, "slot %s has no type", s->path);
    for (int k = 0; s->kind != SLOT_CACHE && k < s->type.rank; k++)
        if (!size_is_static(s->type.dim[k])) return wrong(v, NULL, "slot %s has a run-time size", s->path);
    return true;
}

bool program_verify(const Program *p, Arena *arena, const char **message) {
    Verify v = {.arena = arena};
    bool good = true;
    for (int k = 0; good && k < p->slots.n; k++) good = verify_slot(&v, p->slots.at[k], k);
    if (good && p->init) {
        v = (Verify){.g = p->init, .arena = arena, .within = "init: "};
        good = verify_graph(&v);
    }
    for (int k = 0; good && k < p->entries.n; k++) {
        const Entry *e = p->entries.at[k];
        v = (Verify){.g = e->graph, .entry = e, .arena = arena, .within = arena_printf(arena, "%s: ", e->name)};
        good = e->graph->program == p ? verify_graph(&v) : wrong(&v, NULL, "the graph belongs to another program");
    }
    *message = v.message;
    return good;
}
