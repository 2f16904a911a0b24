/* quantize_slots.c -- which of the weights that `quantize` marks can be stored in fewer bits.
 *
 * A weight is quantized if all that reads it, in all entries, are products that sum over the same axes of it, and gathers of whole
 * channels (an embedding). The axes that are not summed over are its channels. A convolution of groups takes the first axis of w[o c u v] apart:
 * its weight is quantized, and stored, as [g o/g c u v]. */
#include "passes/quantize.h"

#include <string.h>

enum { TRAINED = 711, NOTHING = 712, LEFT = 713, PADDED = 714, NO_RANGE = 715, NEAREST = 716, SAID_MOST = 4 };

typedef struct Use { /* of a slot, by all entries */
    bool marked, product;
    bool deep; /* one has no letters left for groups of codes */
    Type apart; /* what products take it for, if that is not what is declared: its first axis as two; else of rank 0 */
    bool seen[MAX_RANK], summed[MAX_RANK]; /* axes, by products */
    int gathered; /* axis, -1: none */
    const Node *spoiler; /* reads it in another way */
} Use;

/* Is n[g o/g c u v] a slot w[o c u v] for a convolution of groups? One of a channel for each output has axes enough as it is. */
static bool takes_apart(const Node *n) {
    const Node *w = n->in[0];
    if (n->op != OP_RESHAPE || (w->op != OP_SLOT && w->op != OP_ARG) || w->type.rank != 4 || n->type.rank != 5) return false;
    for (int i = 1; i < 4; i++)
        if (w->type.dim[i] != n->type.dim[i + 1]) return false;
    bool single = size_is(n->type.dim[1], 1) && size_is(n->type.dim[2], 1);
    return !single && !size_is(n->type.dim[0], 1) && size_mul(n->type.dim[0], n->type.dim[1]) == w->type.dim[0];
}

/* Of a view of a slot: its type once its first axis is taken apart; rank 0: it is not. */
static Type type_apart(const Node *n) {
    for (; n->op == OP_PERMUTE || n->op == OP_RESHAPE; n = n->in[0])
        if (takes_apart(n)) return n->type;
    return (Type){.rank = 0};
}

int quantize_trace(const QuantScope *scope, const Node *n, int *axis) {
    int inner[MAX_RANK];
    if (n->op == OP_ARG && scope && n->attrs.index >= 1 && n->attrs.index <= scope->scan->attrs.counts[0])
        return quantize_trace(scope->outer, scope->scan->in[n->attrs.index - 1], axis);
    if (n->op == OP_SLOT) {
        for (int i = 0; i < n->type.rank; i++) axis[i] = i;
        return n->attrs.index;
    }
    if (n->op != OP_PERMUTE && n->op != OP_RESHAPE) return -1;
    const Node *x = n->in[0];
    int slot = quantize_trace(scope, x, inner), at = 0;
    if (slot < 0) return -1;
    if (takes_apart(n)) {
        for (int i = 0; i < n->type.rank; i++) axis[i] = i;
        return slot;
    }
    if (n->op == OP_PERMUTE) {
        for (int i = 0; i < n->type.rank; i++) axis[i] = inner[n->attrs.axes[i]];
        return slot;
    }
    for (int i = 0; i < n->type.rank; i++) { /* axes of size 1 come and go, the others stay in order */
        bool added = n->type.rank - i > x->type.rank - at && size_is(n->type.dim[i], 1); /* of several the first */
        while (x->type.rank - at > n->type.rank - i && size_is(x->type.dim[at], 1) && inner[at] < 0) at++; /* one that was added goes */
        while (at < x->type.rank && x->type.dim[at] != n->type.dim[i] && size_is(x->type.dim[at], 1)) at++;
        if (!added && at < x->type.rank && x->type.dim[at] == n->type.dim[i]) axis[i] = inner[at++];
        else if (size_is(n->type.dim[i], 1)) axis[i] = -1;
        else return -1;
    }
    return slot;
}

/* Is every axis of type t among those of a view of it, but for some of size 1, and no other? */
static bool all_axes(const Type *t, int rank, const int *axis) {
    bool there[MAX_RANK] = {false};
    for (int i = 0; i < rank; i++) {
        if (axis[i] < 0) return false;
        there[axis[i]] = true;
    }
    for (int i = 0; i < t->rank; i++)
        if (!there[i] && !size_is(t->dim[i], 1)) return false;
    return true;
}

static bool is_view_of_slot(const QuantScope *scope, const Node *n) {
    int axis[MAX_RANK];
    return quantize_trace(scope, n, axis) >= 0;
}

/* All products take the weight for the same. */
static bool use_as(Use *u, const Type *apart) {
    if (u->product) return u->apart.rank == apart->rank && (!apart->rank || type_equal(&u->apart, apart));
    u->apart = *apart;
    return true;
}

static bool use_product(Use *u, const Node *n, int k, const int *axis) {
    const char *labels = n->attrs.labels[k], *result = n->attrs.labels[2];
    bool some = false;
    if (n->type.dtype != DT_F32) return false;
    for (int i = 0; labels[i]; i++) {
        bool summed = !strchr(result, labels[i]);
        if (u->seen[axis[i]] && u->summed[axis[i]] != summed) return false;
        u->seen[axis[i]] = true;
        u->summed[axis[i]] = summed;
        some |= summed;
    }
    u->product = true;
    u->deep |= n->in[!k]->type.rank + 2 > MAX_RANK || n->type.rank + 2 > MAX_RANK;
    return some;
}

/* Before the pass layout: w[o c u v] has a channel each o. */
static bool use_convolution(const Program *p, Use *u, const Node *n, int k, const int *axis) {
    const Type *w = &n->in[1]->type;
    int groups = n->attrs.window.groups;
    bool apart = groups > 1 && !(size_is(w->dim[1], 1) && size_is(w->dim[0], groups));
    Type t = {.rank = 0};
    if (n->attrs.fn != CONV_Y || k != 1) return false;
    if (apart) {
        t = type_of(w->dtype, 5, (Size[]){size_const(p->sizes, groups), NULL, w->dim[1], w->dim[2], w->dim[3]});
        if (!size_divides(w->dim[0], t.dim[0], &t.dim[1]) || n->in[1]->op != OP_SLOT) return false;
    }
    if (!use_as(u, &t)) return false;
    for (int i = 0; i < 4 + apart; i++) {
        int at = apart ? i : axis[i];
        u->seen[at] = true;
        u->summed[at] = i > apart;
    }
    return u->product = true;
}

static bool use_gather(Use *u, const Node *n, const int *axis) {
    for (int i = 0; i < n->in[0]->type.rank; i++)
        if (axis[i] != i) return false;
    if (n->attrs.flag || (u->gathered >= 0 && u->gathered != n->attrs.axis)) return false;
    u->gathered = n->attrs.axis;
    return n->type.rank + 2 <= MAX_RANK;
}

static bool is_marked(const QuantScope *scope, const Node *n, const Use *uses) {
    int axis[MAX_RANK], slot = quantize_trace(scope, n, axis);
    return slot >= 0 && uses[slot].marked;
}

static void look_at_operands(const Program *p, const QuantScope *scope, const Node *n, Use *uses) {
    int axis[MAX_RANK];
    for (int k = 0; k < n->n_in; k++) {
        int slot = quantize_trace(scope, n->in[k], axis);
        bool inside = n->op == OP_SCAN && k < n->attrs.counts[0]; /* what reads it stands in the body */
        if (slot < 0 || !uses[slot].marked || inside || is_view_of_slot(scope, n)) continue;
        Use *u = &uses[slot];
        Type apart = type_apart(n->in[k]);
        bool fits = all_axes(apart.rank ? &apart : &p->slots.at[slot]->type, n->in[k]->type.rank, axis);
        if (n->op == OP_CONV) fits = fits && use_convolution(p, u, n, k, axis);
        else if (n->op == OP_CONTRACT) fits = fits && !is_marked(scope, n->in[!k], uses) && use_as(u, &apart) && use_product(u, n, k, axis);
        else fits = fits && n->op == OP_GATHER && k == 0 && use_gather(u, n, axis);
        if (!fits && !u->spoiler) u->spoiler = n;
    }
}

static void spoil(const QuantScope *scope, const Node *n, Use *uses) {
    int axis[MAX_RANK], slot = quantize_trace(scope, n, axis);
    if (slot >= 0 && !uses[slot].spoiler) uses[slot].spoiler = n;
}

static void look_at_graph(const Program *p, const QuantScope *scope, const Graph *g, Use *uses) {
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        look_at_operands(p, scope, n, uses);
        if (n->op == OP_SCAN) look_at_graph(p, &(QuantScope){scope, n}, n->attrs.body, uses);
    }
    for (int i = 0; i < g->results.n; i++) spoil(scope, g->results.at[i].value, uses);
    for (int i = 0; i < g->effects.n; i++)
        if (g->effects.at[i].value) spoil(scope, g->effects.at[i].value, uses);
}

/* False: training changes a marked weight, and that was said. */
static bool look_at_entry(PassContext *c, const Program *p, const Entry *e, Use *uses) {
    const Graph *g = e->graph;
    look_at_graph(p, NULL, g, uses);
    for (int i = 0; i < g->effects.n; i++) {
        const Effect *x = &g->effects.at[i];
        if (x->kind != EFFECT_STORE || !uses[x->index].marked) continue;
        const Slot *s = p->slots.at[x->index];
        Report *r = diag_error(c->diag, s->quant.loc, TRAINED, "`%s` is changed by `%s`, so it cannot be quantized", s->path, e->name);
        diag_help(r, "keep the entries that only read it: --entries=NAME,...; or leave it out with `except`");
        diag_help(r, "to train it for that, write `quantize` in the body of `%s`", e->name);
        return false;
    }
    return true;
}

/* Axes of q; false: its groups would run over several axes. */
static bool plan_axes(QuantPlan *q, const Use *u) {
    int several = 0, long_axis = -1;
    q->channels = q->length = 1;
    for (int i = 0; i < q->declared.rank; i++) {
        int64_t n = size_value(q->declared.dim[i]);
        bool summed = u->product ? u->summed[i] : i != u->gathered;
        *(summed ? &q->length : &q->channels) *= n;
        if (!summed) {
            q->channel[q->n_channels++] = i;
            continue;
        }
        several += n > 1;
        if (n > 1 || long_axis < 0) long_axis = i;
        q->summed[q->n_summed++] = i;
    }
    if (q->zero_point && !q->group) q->group = (int)(q->length + q->length % 2); /* a channel is a group */
    if (!q->group) return true;
    if (several > 1 || q->n_summed > 1 || q->declared.rank + 2 > MAX_RANK) return false;
    q->groups = (q->length + q->group - 1) / q->group;
    return true;
}

/* NULL: *why says why the weight stays. */
static QuantPlan *plan_slot(PassContext *c, Program *p, Slot *s, const Use *u, const char **why) {
    *why = NULL;
    if (u->spoiler && (u->spoiler->op == OP_ARG || is_view_of_slot(NULL, u->spoiler))) *why = "it is given out as it is";
    else if (u->spoiler) *why = arena_printf(p->arena, "it is read by %s", op_row(u->spoiler->op)->name);
    else if (s->type.dtype != DT_F32) *why = arena_printf(p->arena, "it is %s", dtype_name(s->type.dtype));
    else if (u->product && u->gathered >= 0 && u->summed[u->gathered]) *why = "a product sums over the axis that is gathered from";
    else if (u->gathered >= 0 && u->apart.rank) *why = "a convolution of groups takes the axis apart that is gathered from";
    else if (u->deep && (s->quant.group || s->quant.zero_point)) *why = "its products have too many axes for groups";
    if (*why || (!u->product && u->gathered < 0)) return NULL; /* nobody reads it: no reason */
    QuantPlan *q = NEW(c->scratch, QuantPlan);
    *q = (QuantPlan){.slot = s, .declared = u->apart.rank ? u->apart : s->type, .apart = u->apart.rank > 0, .scheme = s->quant.scheme, .group = s->quant.group,
                     .one_scale = s->quant.one_scale, .zero_point = s->quant.zero_point, .gptq = s->quant.gptq,
                     .activations = u->product ? s->quant.activations : ACTIVATIONS_FLOAT};
    if (plan_axes(q, u)) return q;
    *why = "its products sum over several axes, which groups do not cross";
    return NULL;
}

typedef enum { CODES, SCALES, ZEROS, SUMS } StoredPart;

QuantPlan *quantize_plan(PassContext *c, const Graph *g, Slot *s, const Quant *quant, const char **why) {
    Program *p = g->program;
    Use *uses = NEW_ARRAY(c->scratch, Use, p->slots.n + 1), *u = &uses[s->index];
    Slot marked = *s;
    marked.quant = *quant;
    for (int i = 0; i < p->slots.n; i++) uses[i].gathered = -1;
    u->marked = true;
    look_at_graph(p, NULL, g, uses);
    const Node *spoiler = u->spoiler;
    u->spoiler = NULL; /* an optimizer, a penalty: they see the weight itself */
    QuantPlan *q = plan_slot(c, p, &marked, u, why);
    if (q) q->slot = s;
    if (!q && spoiler && spoiler->op == OP_CONV) *why = "it is read by a transposed convolution";
    if (!q && !*why) *why = "no product reads it";
    return q;
}

static Type stored_type(const Program *p, const QuantPlan *q, StoredPart part) {
    Type t = {.dtype = q->scheme == QUANT_FP8 ? DT_F8E4M3 : q->scheme == QUANT_INT8 && !q->zero_point ? DT_I8 : DT_U8};
    for (int i = 0; i < q->n_channels; i++) t.dim[t.rank++] = q->declared.dim[q->channel[i]];
    for (int i = 0; i < q->n_summed && !q->group && part == CODES; i++) t.dim[t.rank++] = q->declared.dim[q->summed[i]];
    if (part == SCALES) t.dtype = q->group ? DT_F16 : DT_F32;
    if (part == SUMS) {
        t.dtype = DT_F32;
        return t;
    }
    if (q->group) t.dim[t.rank++] = size_const(p->sizes, q->groups);
    if (q->group && part == CODES) t.dim[t.rank++] = size_const(p->sizes, quantize_halves(q) ? q->group / 2 : q->group);
    return t;
}

static Slot *slot_beside(Program *p, const QuantPlan *q, const char *name, StoredPart part) {
    Slot *s = NEW(p->arena, Slot);
    *s = (Slot){.path = arena_printf(p->arena, "%s.%s", q->slot->path, name), .kind = SLOT_PARAM, .type = stored_type(p, q, part),
                .frozen = true, .loc = q->slot->loc, .index = p->slots.n};
    PUSH(p->arena, p->slots, s);
    return s;
}

/* The slot holds codes from here on, new ones at the end of the program their scales, zeros and sums. */
static void change_slot(Program *p, QuantPlan *q) {
    q->scale = slot_beside(p, q, "scale", SCALES);
    q->zero = q->zero_point ? slot_beside(p, q, "zero", ZEROS) : NULL;
    q->sum = q->activations ? slot_beside(p, q, "sum", SUMS) : NULL;
    q->slot->type = stored_type(p, q, CODES);
    quantize_values(p, q);
}

static bool same_place(Loc a, Loc b) {
    return a.source == b.source && a.begin == b.begin;
}

/* One message a directive: about the weights that it left, or about its padded groups. */
typedef struct Said {
    Loc loc;
    Report *report;
    int n;
} Said;
typedef LIST(Said) SaidList;

static void say(PassContext *c, SaidList *list, int code, const char *sentence, const Slot *s, const char *fact, const Node *reader) {
    Said *said = NULL;
    for (int i = 0; i < list->n; i++)
        if (same_place(list->at[i].loc, s->quant.loc)) said = &list->at[i];
    if (!said) {
        Report *r = code == NOTHING ? diag_error(c->diag, s->quant.loc, code, "%s", sentence)
                                    : diag_warning(c->diag, s->quant.loc, code, "%s", sentence);
        PUSH(c->scratch, *list, ((Said){s->quant.loc, r, 0}));
        said = &list->at[list->n - 1];
    }
    if (said->n++ < SAID_MOST) {
        diag_fact(said->report, "`%s`: %s", s->path, fact);
        if (reader && reader->loc.source && !reader->loc.source->library) diag_place(said->report, reader->loc, "here");
    } else if (said->n == SAID_MOST + 1) diag_fact(said->report, "and more");
}

static void say_padded(PassContext *c, SaidList *list, const QuantPlan *q) {
    if (!q->group || q->length % q->group == 0) return;
    say(c, list, PADDED, "rows are filled up with zeros to whole groups", q->slot,
        arena_printf(c->scratch, "%lld elements in groups of %d", (long long)q->length, q->group), NULL);
}

/* GPTQ wants known values, and a product that was seen. */
static void say_nearest(PassContext *c, const Program *p, SaidList *list, const QuantPlan *q) {
    const char *path = observed_path(c->scratch, q->slot->path), *why = NULL;
    const Observed *seen = program_observed(p, path);
    if (!q->gptq || p->observe) return;
    if (!q->slot->data) why = "its values are not known when it is compiled: load them";
    else if (p->observed.n && !seen) why = "no product of the entry reads it";
    else if (p->observed.n && !seen->gram) why = "its products share an axis with it";
    if (why) say(c, list, NEAREST, "some weights are rounded to nearest", q->slot, why, NULL);
}

/* Static activations want a range. That of a calibration may still be unknown where a program is only checked. */
static void find_input(PassContext *c, const Program *p, QuantPlan *q) {
    const char *path = observed_path(p->arena, q->slot->path);
    bool calibrated = q->slot->quant.calibrate != NULL;
    if (q->activations != ACTIVATIONS_STATIC || p->observe || (calibrated && !p->observed.n)) return;
    const Observed *seen = program_observed(p, path), *pooled = program_observed(p, pooled_path(p->arena, q->slot->path));
    q->is_static = seen != NULL;
    q->is_pooled = seen && pooled;
    if (q->is_pooled) q->pooled = quantize_step(pooled);
    if (seen) {
        q->input = quantize_step(seen);
        return;
    }
    Report *r = diag_error(c->diag, q->slot->quant.loc, NO_RANGE, "there is no range of `%s`, which flows into codes", path);
    if (calibrated) diag_help(r, "calibrate with an entry that uses this layer, or leave it out with `except`");
    else diag_help(r, "load what was trained with this `quantize` in its entry, or add `calibrate`, or leave the layer out with `except`");
}

/* Does a directive at this place quantize anything? */
static bool does_something(const Program *p, QuantPlan **plan, int n, Loc loc) {
    for (int i = 0; i < n; i++)
        if (plan[i] && same_place(p->slots.at[i]->quant.loc, loc)) return true;
    return false;
}

QuantPlan **quantize_slots(PassContext *c, Program *p) {
    int n = p->slots.n;
    QuantPlan **plan = NEW_ARRAY(c->scratch, QuantPlan *, n + 1);
    Use *uses = NEW_ARRAY(c->scratch, Use, n + 1);
    SaidList left = {0}, nothing = {0}, padded = {0}, nearest = {0};
    bool some = false;
    for (int i = 0; i < n; i++) {
        uses[i].marked = p->slots.at[i]->quant.scheme != QUANT_NONE;
        uses[i].gathered = -1;
        some |= uses[i].marked;
    }
    for (int i = 0; i < p->entries.n && some; i++)
        if (!look_at_entry(c, p, p->entries.at[i], uses)) return plan;
    const char **why = NEW_ARRAY(c->scratch, const char *, n + 1);
    for (int i = 0; i < n; i++)
        if (uses[i].marked) plan[i] = plan_slot(c, p, p->slots.at[i], &uses[i], &why[i]);
    for (int i = 0; i < n; i++) {
        Slot *s = p->slots.at[i];
        if (plan[i]) say_padded(c, &padded, plan[i]);
        if (plan[i]) say_nearest(c, p, &nearest, plan[i]);
        if (plan[i]) find_input(c, p, plan[i]);
        if (!why[i]) continue;
        if (does_something(p, plan, n, s->quant.loc)) say(c, &left, LEFT, "some weights stay as they are", s, why[i], uses[i].spoiler);
        else say(c, &nothing, NOTHING, "none of these weights can be quantized", s, why[i], uses[i].spoiler);
    }
    for (int i = 0; i < n && !p->observe; i++) {
        if (plan[i]) change_slot(p, plan[i]);
        p->slots.at[i]->quant = (Quant){0};
    }
    return plan;
}
