/* plan_together.c -- for a device: kernels that may be one launch stand one behind the other.
 *
 * A training step updates each parameter by a kernel of its own, and each has a sum of squares where the norm of all gradients is clipped:
 * the same few operations on other memory, too little work to fill a device, and a launch each. From the end to the beginning, a kernel is moved
 * to the nearest later one of its kind, if nothing that runs until then waits for it and the values that have to live longer are not large, and fit into
 * what is alive at a time anyway.
 *
 *   update w1; norm of dx; update w2; ..; update w3   →   norm of dx; ..; update w1, w2, w3 at once
 *
 * Of its kind: with an equal key. What goes through its elements in their order, whatever their shape, is of one kind at all shapes: if
 * those that meet differ in shape, all of them are `flat`. */
#include "passes/planner.h"

#include <string.h>

#define KEPT_MOST (4 << 20) /* bytes of a value that may live longer, and leave a device's cache: to read it from memory takes an H100 1.25 us, a launch 2.5 */
#define FLAT "elements" /* the name of their number */

typedef struct Value { /* in the arena */
    int maker;    /* the kernel that stores it */
    int64_t bytes;
    bool copied;  /* at the end */
    Numbers readers;
} Value;

typedef struct Kind { /* kernels with one key, the nearest ones so far */
    const char *key;
    int at;       /* the last of them, to which the others move */
} Kind;

typedef struct Together {
    Planner *p;
    Plan *plan;
    int n;               /* kernels */
    int *when;           /* by kernel, in the order so far: the place at which it runs; several kernels at one place run at once */
    const char **key;    /* by kernel; NULL: it runs alone */
    Value *values;       /* by node id; readers.n == 0 and bytes == 0: not in the arena */
    int64_t *live, most; /* by place: bytes alive there; the most of all places, at first */
    LIST(Kind) kinds;
} Together;

/* ---- kinds */

/* Does n read elements at its own place, or single values, alone? */
static bool is_straight(const Node *n) {
    bool reduce = n->op == OP_REDUCE && n->attrs.fn != REDUCE_ARGMAX && n->attrs.fn != REDUCE_ARGMIN;
    if ((op_row(n->op)->class != CLASS_MAP && !reduce) || n->op == OP_RANDOM) return false;
    for (int i = 0; i < n->n_in; i++) {
        Edge e = edge_of(n->in[i]);
        if ((e.kind != EDGE_SAME && e.kind != EDGE_SCALAR) || e.base->op == OP_IOTA) return false;
    }
    return true;
}

static bool may_be_flat(const Planner *p, const Kernel *k) {
    int64_t count;
    if (k->kind != KERNEL_MAP || k->space.rank < 1 || (k->row && k->row != k->space.rank)) return false;
    if (!size_is_const(type_count(p->g, &k->space), &count) || count < 2 || count > INT32_MAX) return false;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        Level level = k->levels.at[i];
        if (!is_straight(n) || (level != LEVEL_FULL && n->type.rank > 0)) return false;
    }
    return true;
}

static bool may_join(const Kernel *k) {
    return (k->kind == KERNEL_MAP || k->kind == KERNEL_REDUCE) && !k->limit.seen && !k->effect;
}

static Kind *kind_of(Together *t, const char *key) {
    for (int i = 0; i < t->kinds.n; i++)
        if (!strcmp(t->kinds.at[i].key, key)) return &t->kinds.at[i];
    PUSH(t->p->scratch, t->kinds, ((Kind){key, -1}));
    return &t->kinds.at[t->kinds.n - 1];
}

/* ---- memory: a value is alive from the place of its maker to that of its last reader */

static int death(const Together *t, const Value *v, int except) {
    int last = v->copied ? t->n - 1 : v->maker == except ? -1 : t->when[v->maker];
    for (int i = 0; i < v->readers.n; i++)
        if (v->readers.at[i] != except && t->when[v->readers.at[i]] > last) last = t->when[v->readers.at[i]];
    return last;
}

static void live_add(Together *t, int from, int to, int64_t bytes) {
    for (int i = from; i <= to; i++) t->live[i] += bytes;
}

static void values_find(Together *t) {
    Planner *p = t->p;
    for (int i = 0; i < t->n; i++) {
        const Kernel *k = t->plan->kernels.at[i];
        for (int j = 0; j < k->writes.n; j++) {
            const Node *n = k->writes.at[j];
            if (p->places[n->id].kind != PLACE_NONE) continue;
            t->values[n->id].maker = i;
            t->values[n->id].bytes = (plan_bytes(p, n) + 63) / 64 * 64;
        }
        for (int j = 0; j < k->reads.n; j++) PUSH(p->scratch, t->values[k->reads.at[j]->id].readers, i);
    }
    for (int i = 0; i < t->plan->copies.n; i++) t->values[t->plan->copies.at[i].value->id].copied = true;
    for (int i = 0; i < p->g->nodes.n; i++)
        if (t->values[i].bytes) live_add(t, t->values[i].maker, death(t, &t->values[i], -1), t->values[i].bytes);
    for (int i = 0; i < t->n; i++)
        if (t->live[i] > t->most) t->most = t->live[i];
}

/* What changes in live[] when kernel i runs at place `to` and not at its own, or (sign -1) back. */
static void live_move(Together *t, int i, int to, int sign) {
    const Kernel *k = t->plan->kernels.at[i];
    for (int j = 0; j < k->reads.n; j++) {
        const Value *v = &t->values[k->reads.at[j]->id];
        int others = v->bytes ? death(t, v, i) : to;
        if (others < to) live_add(t, (others > i ? others : i) + 1, to, sign * v->bytes);
    }
    for (int j = 0; j < k->writes.n; j++) {
        const Value *v = &t->values[k->writes.at[j]->id];
        bool unread = v->bytes && death(t, v, i) < 0; /* it lives at the place of its maker alone */
        if (v->bytes) live_add(t, i, to - 1, -sign * v->bytes);
        if (unread) live_add(t, to, to, sign * v->bytes);
    }
}

/* ---- moving */

/* Nothing that runs before place `to` or at it waits for kernel i. */
static bool may_wait(const Together *t, int i, int to) {
    const Group *g = t->p->order[i];
    for (int k = i + 1; k <= to; k++)
        if (t->when[k] <= to && group_waits(t->p->order[k], g)) return false;
    return true;
}

/* No large value is read later than it would be. */
static bool keeps_near(const Together *t, int i, int to) {
    const Kernel *k = t->plan->kernels.at[i];
    for (int j = 0; j < k->reads.n; j++) {
        const Value *v = &t->values[k->reads.at[j]->id];
        if (v->bytes > KEPT_MOST && death(t, v, i) < to) return false;
    }
    return true;
}

static bool fits(Together *t, int i, int to) {
    if (!keeps_near(t, i, to)) return false;
    live_move(t, i, to, 1);
    bool ok = true;
    for (int at = i; at <= to; at++) ok = ok && t->live[at] <= t->most;
    if (!ok) live_move(t, i, to, -1);
    return ok;
}

static void kernels_move(Together *t) {
    for (int i = t->n - 1; i >= 0; i--) {
        if (!t->key[i]) continue;
        Kind *kind = kind_of(t, t->key[i]);
        if (kind->at >= 0 && may_wait(t, i, kind->at) && fits(t, i, kind->at)) t->when[i] = kind->at;
        else kind->at = i;
    }
}

/* ---- the new order */

static Size flat_size(Planner *p) {
    for (int i = size_inputs(p->sizes); i < size_names(p->sizes); i++)
        if (!strcmp(size_name_at(p->sizes, i)->name, FLAT)) return size_named(p->sizes, size_name_at(p->sizes, i));
    return size_named(p->sizes, size_declare_data(p->sizes, FLAT, 1, SIZE_NO_LIMIT));
}

/* Kernels first .. first + n - 1 of the new order run at once. */
static void join(Together *t, int first, int n, int *number) {
    Kernel **k = &t->plan->kernels.at[first];
    bool same = true;
    const char *key = n > 1 ? plan_key(t->p, t->plan, k[0], true, number) : NULL;
    for (int i = 1; i < n && same; i++) same = !strcmp(key, plan_key(t->p, t->plan, k[i], true, number));
    for (int i = 0; i < n; i++) {
        k[i]->index = first + i;
        k[i]->together = n;
        k[i]->turn = i;
        if (!same) k[i]->flat = flat_size(t->p);
    }
}

static void kernels_order(Together *t, int *number) {
    Kernel **kernels = NEW_ARRAY(t->p->scratch, Kernel *, t->n);
    Group **groups = NEW_ARRAY(t->p->scratch, Group *, t->n);
    int *count = NEW_ARRAY(t->p->scratch, int, t->n), *next = NEW_ARRAY(t->p->scratch, int, t->n);
    for (int i = 0; i < t->n; i++) count[t->when[i]]++;
    for (int i = 1; i < t->n; i++) next[i] = next[i - 1] + count[i - 1];
    for (int i = 0; i < t->n; i++) {
        int at = next[t->when[i]]++;
        kernels[at] = t->plan->kernels.at[i];
        groups[at] = t->p->order[i];
    }
    memcpy(t->plan->kernels.at, kernels, sizeof *kernels * (size_t)t->n);
    memcpy(t->p->order, groups, sizeof *groups * (size_t)t->n);
    for (int i = 0, first = 0; i < t->n; first += count[i++])
        if (count[i]) join(t, first, count[i], number);
}

void plan_together(Planner *p, Plan *plan) {
    Together t = {.p = p, .plan = plan, .n = plan->kernels.n};
    int *number = NEW_ARRAY(p->scratch, int, p->g->nodes.n);
    t.when = NEW_ARRAY(p->scratch, int, t.n);
    t.key = NEW_ARRAY(p->scratch, const char *, t.n);
    t.live = NEW_ARRAY(p->scratch, int64_t, t.n);
    t.values = NEW_ARRAY(p->scratch, Value, p->g->nodes.n);
    for (int i = 0; i < t.n; i++) {
        Kernel *k = plan->kernels.at[i];
        t.when[i] = i;
        if (may_join(k)) t.key[i] = plan_key(p, plan, k, !may_be_flat(p, k), number);
    }
    values_find(&t);
    kernels_move(&t);
    kernels_order(&t, number);
}
