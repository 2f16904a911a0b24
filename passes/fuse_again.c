/* fuse_again.c -- sentence 3: a stored value that is a few maps of values stored anyway, or of a statistic of its rows, is
 * computed again by each reader, if that moves fewer bytes.
 *
 *   k1: p = a * b (stored)   k2: reads p; k3: reads p    →   k2, k3 read a and b, which were read anyway; p is not stored */
#include "passes/fuse.h"

#include <string.h>

enum { CONE_MOST = 12, HEAVY_MOST = 1, STATISTIC = 16 /* a statistic has this many times fewer bytes */ };

typedef struct Cone {
    NodeList nodes;   /* computed again */
    NodeList sources; /* stored values it starts from (in memory or of a group) */
    NodeList small;   /* statistics that will be stored */
    int heavy;
} Cone;

static bool list_has(const NodeList *l, const Node *n) {
    for (int i = 0; i < l->n; i++)
        if (l->at[i] == n) return true;
    return false;
}

static bool cone_grow(Planner *p, Cone *c, Node *n, const Node *v, const bool *stored) {
    if (list_has(&c->nodes, n)) return true;
    if (op_row(n->op)->class != CLASS_MAP || n->op == OP_RANDOM || c->nodes.n == CONE_MOST) return false;
    c->heavy += node_is_heavy(n->op);
    if (c->heavy > HEAVY_MOST) return false;
    PUSH(p->scratch, c->nodes, n);
    for (int i = 0; i < n->n_in; i++) {
        Edge e = edge_of(n->in[i]);
        Node *q = e.base;
        if (node_is_free(q) || list_has(&c->sources, q)) continue;
        const Group *own = p->home[v->id];
        bool statistic =
            p->home[q->id] == own && p->level[q->id] == LEVEL_ROW && plan_bytes(p, q) * STATISTIC <= plan_bytes(p, v);
        if (node_is_memory(q) || stored[q->id]) {
            PUSH(p->scratch, c->sources, q);
        } else if (statistic) {
            PUSH(p->scratch, c->sources, q);
            PUSH(p->scratch, c->small, q);
        } else if (e.kind == EDGE_SAME || (e.kind == EDGE_SCALAR && !p->home[q->id])) {
            if (!cone_grow(p, c, q, v, stored)) return false;
        } else {
            return false;
        }
    }
    return true;
}

/* Can the reader compute v where it reads it, and the cone's inner edges to its own nodes? */
static bool reader_fits(Planner *p, const Group *c, const Node *v, const Cone *cone) {
    if (c->effect || (c->kind != KERNEL_MAP && c->kind != KERNEL_REDUCE && c->kind != KERNEL_CONTRACT)) return false;
    if (type_count(p->g, &v->type) != c->count || c->space.rank == 0) return false;
    for (int i = 0; i < c->nodes.n + c->extra.n; i++) {
        const Node *n = i < c->nodes.n ? c->nodes.at[i] : c->extra.at[i - c->nodes.n];
        for (int k = 0; k < n->n_in; k++) {
            Edge e = edge_of(n->in[k]);
            if (e.base != v) continue;
            bool at_place = op_row(n->op)->class == CLASS_MAP || op_row(n->op)->class == CLASS_REDUCE;
            if (n == c->anchor || !at_place || e.kind != EDGE_SAME) return false;
            if (n->op != OP_REDUCE && type_count(p->g, &n->type) != c->count) return false;
            if (i < c->nodes.n && n->op != OP_REDUCE && p->level[n->id] != LEVEL_FULL) return false;
        }
    }
    for (int i = 0; i < cone->nodes.n; i++) {
        const Node *n = cone->nodes.at[i];
        for (int k = 0; k < n->n_in; k++) {
            Edge e = edge_of(n->in[k]);
            if (p->home[e.base->id] == c && !edge_inside(n, LEVEL_FULL, e, p->level[e.base->id], c->row_length, false))
                return false;
        }
    }
    for (int i = 0; i < cone->sources.n; i++) {
        const Group *s = p->home[cone->sources.at[i]->id];
        if (s && s != c && group_waits(s, c)) return false;
    }
    return true;
}

static int64_t bytes_saved(Planner *p, NodeList *users_reads, Group **users, int n_users, const Node *v, const Cone *cone) {
    int64_t v_bytes = plan_bytes(p, v), saved = v_bytes;
    for (int i = 0; i < cone->small.n; i++) saved -= plan_bytes(p, cone->small.at[i]);
    for (int u = 0; u < n_users; u++) {
        saved += v_bytes;
        for (int i = 0; i < cone->sources.n; i++) {
            const Node *q = cone->sources.at[i];
            if (list_has(&users_reads[u], q) || p->home[q->id] == users[u]) continue;
            int64_t b = plan_bytes(p, q);
            saved -= b < 4 * v_bytes ? b : 4 * v_bytes;
        }
    }
    return saved;
}

static bool used_inside(const Group *g, const Node *v) {
    for (int i = 0; i < g->nodes.n + g->extra.n; i++) {
        const Node *n = i < g->nodes.n ? g->nodes.at[i] : g->extra.at[i - g->nodes.n];
        for (int k = 0; k < n->n_in; k++)
            if (plan_base(n->in[k]) == v) return true;
    }
    return false;
}

void group_drop_unused(Planner *p, Group *g) {
    if (!p->stored) p->stored = NEW_ARRAY(p->scratch, bool, p->g->nodes.n);
    const bool *stored = p->stored;
    plan_stored(p, p->stored);
    for (bool again = true; again;) {
        again = false;
        for (int i = g->nodes.n - 1; i >= 0; i--) {
            Node *n = g->nodes.at[i];
            if (n == g->anchor || n->op == OP_GET || stored[n->id] || used_inside(g, n)) continue;
            memmove(&g->nodes.at[i], &g->nodes.at[i + 1], sizeof *g->nodes.at * (size_t)(g->nodes.n - i - 1));
            g->nodes.n--;
            group_changed(g);
            p->home[n->id] = NULL;
            again = true;
        }
        for (int i = g->extra.n - 1; i >= 0; i--) {
            Node *n = g->extra.at[i];
            if (used_inside(g, n)) continue;
            memmove(&g->extra.at[i], &g->extra.at[i + 1], sizeof *g->extra.at * (size_t)(g->extra.n - i - 1));
            g->extra.n--;
            group_changed(g);
            again = true;
        }
    }
    if (g->nodes.n == 0) g->dead = true;
}

/* users, users_reads: room for one of each group. */
static bool try_again(Planner *p, Node *v, const bool *stored, const NodeList *reads, Group **users, NodeList *users_reads) {
    Group *own = p->home[v->id];
    int n_users = 0;
    Cone cone = {0};
    if (!cone_grow(p, &cone, v, v, stored)) return false;
    for (int i = 0; i < p->groups.n; i++) {
        Group *c = p->groups.at[i];
        if (c->dead || c == own || !list_has(&reads[i], v)) continue;
        if (!reader_fits(p, c, v, &cone)) return false;
        users[n_users] = c;
        users_reads[n_users++] = reads[i];
    }
    if (n_users == 0 || bytes_saved(p, users_reads, users, n_users, v, &cone) <= 0) return false;
    for (int u = 0; u < n_users; u++) {
        for (int i = 0; i < cone.nodes.n; i++)
            if (!group_has(users[u], cone.nodes.at[i])) PUSH(p->scratch, users[u]->extra, cone.nodes.at[i]);
        group_changed(users[u]);
        for (int i = 0; i < cone.sources.n; i++) {
            Group *s = p->home[cone.sources.at[i]->id];
            if (s && !group_link(p, users[u], s)) bug("computing node %d again closes a cycle", v->id);
        }
    }
    group_drop_unused(p, own);
    return true;
}

bool fuse_again(Planner *p) {
    int n = p->g->nodes.n;
    bool *stored = NEW_ARRAY(p->scratch, bool, n), done = false;
    NodeList *reads = NEW_ARRAY(p->scratch, NodeList, p->groups.n), *users_reads = NEW_ARRAY(p->scratch, NodeList, p->groups.n);
    Group **users = NEW_ARRAY(p->scratch, Group *, p->groups.n);
    bool fresh = false;
    for (int i = 0; i < n; i++) {
        Node *v = p->g->nodes.at[i];
        if (!fresh) {
            plan_stored(p, stored);
            for (int k = 0; k < p->groups.n; k++)
                if (!p->groups.at[k]->dead) reads[k] = group_reads(p, p->groups.at[k]);
            fresh = true;
        }
        if (!stored[i] || p->must[i] || !p->home[i] || op_row(v->op)->class != CLASS_MAP || v->type.rank == 0) continue;
        if (!try_again(p, v, stored, reads, users, users_reads)) continue;
        done = true;
        fresh = false;
    }
    return done;
}
