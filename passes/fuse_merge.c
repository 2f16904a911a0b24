/* fuse_merge.c -- two groups become one kernel: a reader and what it reads, or two that go over the same elements and share
 * what they read.
 *
 *   k1: m' = 0.9 m + g    k2: w' = w - r m'      →  one kernel (reader and read)
 *   k1: m' = 0.9 m + g    k2: v' = 0.9 v + g g   →  one kernel with two results (siblings that share g)
 * A group over the rows of another may join it too: its nodes get level ROW. */
#include "passes/fuse.h"

#include <stdlib.h>
#include <string.h>

enum { TRAFFIC_MOST = 28, NODES_MOST = 96 }; /* values read and stored, and nodes, of one merged kernel */

typedef struct Shape {   /* of the kernel that a merge would make */
    const Group *space;  /* whose space it has */
    bool rows_a, rows_b; /* nodes of a, b go over rows: FULL → ROW */
    bool part_b;         /* nodes of b go over a slice of the product a: FULL → PART */
} Shape;

static Level level_in(const Planner *p, bool rows, const Node *n) {
    Level l = p->level[n->id];
    return rows && l == LEVEL_FULL ? LEVEL_ROW : l;
}

/* Only maps and picks may be moved to row level. */
static bool may_be_rows(const Group *g) {
    if (g->row_length) return false;
    for (int i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        bool pick = n->op == OP_GATHER && n->attrs.flag == 1 && n->attrs.axis == n->type.rank - 1 &&
                    size_is(n->type.dim[n->type.rank - 1], 1);
        if (op_row(n->op)->class != CLASS_MAP && !pick) return false;
    }
    for (int i = 0; i < g->extra.n; i++)
        if (op_row(g->extra.at[i]->op)->class != CLASS_MAP) return false;
    return true;
}

/* .. and only maps to that of slices. */
static bool may_be_part(const Group *g) {
    for (int i = 0; i < g->nodes.n; i++)
        if (op_row(g->nodes.at[i]->op)->class != CLASS_MAP) return false;
    return may_be_rows(g);
}

static bool same_axes(const Group *a, const Group *b) {
    if (a->n_axes != b->n_axes || a->space.rank != b->space.rank) return false;
    for (int i = 0; i < a->space.rank; i++)
        if (a->space.dim[i] != b->space.dim[i]) return false;
    return memcmp(a->axes, b->axes, sizeof a->axes[0] * (size_t)a->n_axes) == 0;
}

/* Can the two have one space? */
static bool shape_of(const Group *a, const Group *b, Shape *s) {
    *s = (Shape){a, false, false, false};
    if (a->kind == KERNEL_REDUCE && b->kind == KERNEL_REDUCE) return same_axes(a, b);
    s->part_b = a->parts && b->kind == KERNEL_MAP && b->space.rank > 0 && size_scale(b->count, a->parts) == a->count;
    if (s->part_b) return may_be_part(b);
    if (a->kind == KERNEL_CONTRACT && b->kind == KERNEL_MAP)
        return !b->row_length && a->count == b->count && (a->space.rank == 0) == (b->space.rank == 0);
    if (a->kind != KERNEL_MAP || b->kind != KERNEL_MAP) return false;
    if (a->count == b->count && (a->space.rank == 0) == (b->space.rank == 0)) {
        if (a->row_length && b->row_length && a->row_length != b->row_length) return false;
        if (!a->row_length && b->row_length) s->space = b;
        return true;
    }
    if (a->rows && a->rows == b->count && may_be_rows(b)) {
        s->rows_b = true;
        return a->space.rank > 0 && b->space.rank > 0;
    }
    if (b->rows && b->rows == a->count && may_be_rows(a)) {
        s->rows_a = true;
        s->space = b;
        return a->space.rank > 0 && b->space.rank > 0;
    }
    return false;
}

/* Every operand that b's nodes take from a's can be had inside. */
static bool edges_fit(Planner *p, const Group *a, const Group *b, const Shape *s) {
    for (int i = 0; i < b->nodes.n + b->extra.n; i++) {
        const Node *n = i < b->nodes.n ? b->nodes.at[i] : b->extra.at[i - b->nodes.n];
        for (int k = 0; k < n->n_in; k++) {
            Edge e = edge_of(n->in[k]);
            if (p->home[e.base->id] != a || group_has(b, e.base)) continue;
            if (i >= b->nodes.n && (e.kind != EDGE_SAME || type_count(p->g, &n->type) != s->space->count)) return false;
            Level to = s->part_b ? LEVEL_PART : i < b->nodes.n ? level_in(p, s->rows_b, n) : LEVEL_FULL;
            if (!edge_inside(n, to, e, level_in(p, s->rows_a, e.base), s->space->row_length, s->space->space.rank == 0))
                return false;
        }
    }
    return true;
}

/* Some third group waits for a, and b for it. */
static bool between(const Planner *p, const Group *a, const Group *b) {
    for (int i = 0; i < p->groups.n; i++) {
        const Group *x = p->groups.at[i];
        if (x != a && x != b && !x->dead && group_waits(x, a) && group_waits(b, x)) return true;
    }
    return false;
}

static void merge(Planner *p, Group *a, Group *b, const Shape *s) {
    for (int i = 0; i < a->nodes.n; i++) p->level[a->nodes.at[i]->id] = level_in(p, s->rows_a, a->nodes.at[i]);
    for (int i = 0; i < b->nodes.n; i++) {
        Node *n = b->nodes.at[i];
        p->level[n->id] = s->part_b ? LEVEL_PART : level_in(p, s->rows_b, n);
        p->home[n->id] = a;
        PUSH(p->scratch, a->nodes, n);
    }
    NodeList extra = {NULL, 0, 0};
    for (int i = 0; i < a->extra.n + b->extra.n; i++) {
        Node *n = i < a->extra.n ? a->extra.at[i] : b->extra.at[i - a->extra.n];
        bool there = p->home[n->id] == a;
        for (int k = 0; k < extra.n && !there; k++) there = extra.at[k] == n;
        if (!there) PUSH(p->scratch, extra, n);
    }
    a->extra.at = extra.at;
    a->extra.n = extra.n;
    a->extra.cap = extra.cap;
    if (s->space == b) {
        a->space = b->space;
        a->count = b->count;
        a->row = b->row;
        a->row_length = b->row_length;
        a->rows = b->rows;
    }
    b->dead = true;
    group_changed(a);
    for (int w = 0; w < p->words; w++) a->ancestors[w] |= b->ancestors[w];
    a->ancestors[a->id / 64] &= ~((uint64_t)1 << (a->id % 64));
    a->ancestors[b->id / 64] &= ~((uint64_t)1 << (b->id % 64));
    for (int i = 0; i < p->groups.n; i++) {
        Group *x = p->groups.at[i];
        if (x == a || x->dead || (!group_waits(x, a) && !group_waits(x, b))) continue;
        for (int w = 0; w < p->words; w++) x->ancestors[w] |= a->ancestors[w];
        x->ancestors[a->id / 64] |= (uint64_t)1 << (a->id % 64);
        x->ancestors[b->id / 64] &= ~((uint64_t)1 << (b->id % 64));
    }
}

/* ---- what is gained */

typedef struct Traffic {
    NodeList reads;
    bool *moved; /* of each: elements are read at other places than the kernel's own */
    int64_t bytes;
} Traffic;

static bool reads_moved(const Group *g, const Node *x) {
    for (int i = 0; i < g->nodes.n + g->extra.n; i++) {
        const Node *n = i < g->nodes.n ? g->nodes.at[i] : g->extra.at[i - g->nodes.n];
        for (int k = 0; k < n->n_in; k++) {
            Edge e = edge_of(n->in[k]);
            if (e.base == x && e.kind == EDGE_SAME) return false;
        }
    }
    return true;
}

static Traffic traffic_of(Planner *p, Group *g) {
    Traffic t = {.reads = group_reads(p, g)};
    t.moved = NEW_ARRAY(p->scratch, bool, t.reads.n);
    for (int i = 0; i < t.reads.n; i++) {
        t.bytes += plan_bytes(p, t.reads.at[i]);
        t.moved[i] = reads_moved(g, t.reads.at[i]);
    }
    return t;
}

/* What one kernel reads in the order of its elements and the other across them, a relayout of weights beside their update, comes
 * from memory twice, whatever kernel reads it. */
static int64_t shared_bytes(Planner *p, const Traffic *a, const Traffic *b) {
    int64_t shared = 0;
    p->stamp += 2;
    for (int i = 0; i < a->reads.n; i++) p->mark[a->reads.at[i]->id] = p->stamp - a->moved[i];
    for (int i = 0; i < b->reads.n; i++)
        if (p->mark[b->reads.at[i]->id] == p->stamp - b->moved[i]) shared += plan_bytes(p, b->reads.at[i]);
    return shared;
}

static bool reads_from(const Planner *p, const Traffic *reader, const Group *a) {
    for (int i = 0; i < reader->reads.n; i++)
        if (p->home[reader->reads.at[i]->id] == a) return true;
    return false;
}

/* Both read something that one third group makes. */
static bool same_source(const Planner *p, const Traffic *a, const Traffic *b) {
    for (int i = 0; i < a->reads.n; i++) {
        const Group *home = p->home[a->reads.at[i]->id];
        for (int j = 0; j < b->reads.n && home; j++)
            if (p->home[b->reads.at[j]->id] == home && a->reads.at[i]->type.rank > 0) return true;
    }
    return false;
}

static bool worth(Planner *p, const Group *a, const Group *b, const Traffic *ta, const Traffic *tb, bool vertical) {
    if (a->nodes.n + b->nodes.n + a->extra.n + b->extra.n > NODES_MOST) return false;
    int64_t shared = shared_bytes(p, ta, tb);
    if (ta->reads.n + tb->reads.n > TRAFFIC_MOST) return false;
    if (vertical) return true;
    if (a->kind == KERNEL_REDUCE && same_source(p, ta, tb))
        return true; /* then the values may be computed again: see fuse_again.c */
    int64_t least = ta->bytes < tb->bytes ? ta->bytes : tb->bytes;
    return shared > 0 && 2 * shared >= least;
}

static bool can_merge(const Planner *p, const Group *g) {
    return !group_is_library(p, g) && !g->dead && !g->effect && (g->kind == KERNEL_MAP || g->kind == KERNEL_REDUCE || g->kind == KERNEL_CONTRACT);
}

/* One try for groups a (earlier or read) and b. */
static bool try_merge(Planner *p, Group *a, Group *b, const Traffic *ta, const Traffic *tb) {
    Shape s;
    if (!shape_of(a, b, &s)) return false;
    bool vertical = reads_from(p, tb, a);
    int again = group_again(b);
    if (again != group_again(a) && (again || !vertical)) return false;
    if (!vertical && (group_waits(b, a) || group_waits(a, b) || (a->kind == KERNEL_CONTRACT && !s.part_b) || s.rows_a || s.rows_b))
        return false;
    if (vertical && (between(p, a, b) || !edges_fit(p, a, b, &s))) return false;
    if (!worth(p, a, b, ta, tb, vertical)) return false;
    merge(p, a, b, &s);
    return true;
}

/* What try_merge may find anything in common with. */
typedef struct Merger {
    Planner *p;
    Traffic *traffic;  /* by group */
    Numbers *readers;  /* by node: groups that read it, or did before they were merged */
    Numbers found;     /* candidates for one group */
    int *seen, stamp;  /* by group: among them already */
} Merger;

static void note_reads(Merger *m, int group) {
    m->traffic[group] = traffic_of(m->p, m->p->groups.at[group]);
    const NodeList *reads = &m->traffic[group].reads;
    for (int i = 0; i < reads->n; i++) PUSH(m->p->scratch, m->readers[reads->at[i]->id], group);
}

static void add_readers(Merger *m, const Node *of) {
    const Numbers *r = &m->readers[of->id];
    for (int i = 0; i < r->n; i++) {
        if (m->seen[r->at[i]] == m->stamp) continue;
        m->seen[r->at[i]] = m->stamp;
        PUSH(m->p->scratch, m->found, r->at[i]);
    }
}

static int by_number(const void *a, const void *b) { return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b); }

/* Groups, in order, that read what this one makes, what it reads, or what else comes from where that does: with no others is there anything
 * to gain (try_merge). */
static void find_candidates(Merger *m, int group) {
    const Group *a = m->p->groups.at[group];
    const NodeList *reads = &m->traffic[group].reads;
    m->found.n = 0;
    m->stamp++;
    for (int i = 0; i < a->nodes.n; i++) add_readers(m, a->nodes.at[i]);
    for (int i = 0; i < reads->n; i++) {
        const Group *home = m->p->home[reads->at[i]->id];
        add_readers(m, reads->at[i]);
        for (int k = 0; home && a->kind == KERNEL_REDUCE && k < home->nodes.n; k++) add_readers(m, home->nodes.at[k]);
    }
    if (m->found.n) qsort(m->found.at, (size_t)m->found.n, sizeof *m->found.at, by_number);
}

void fuse_merge(Planner *p) {
    int n = p->groups.n;
    Merger m = {.p = p, .traffic = NEW_ARRAY(p->scratch, Traffic, n), .readers = NEW_ARRAY(p->scratch, Numbers, p->g->nodes.n), .seen = NEW_ARRAY(p->scratch, int, n)};
    for (int i = 0; i < n; i++)
        if (can_merge(p, p->groups.at[i])) note_reads(&m, i);
    for (int i = 0; i < n; i++) {
        Group *a = p->groups.at[i];
        if (!can_merge(p, a)) continue;
        find_candidates(&m, i);
        for (int k = 0; k < m.found.n; k++) {
            int j = m.found.at[k];
            Group *b = p->groups.at[j];
            if (j == i || !can_merge(p, b) || !can_merge(p, a)) continue;
            if (!try_merge(p, a, b, &m.traffic[i], &m.traffic[j])) continue;
            note_reads(&m, i);
            find_candidates(&m, i); /* the new group may take what the old ones could not */
            k = -1;
        }
    }
}
