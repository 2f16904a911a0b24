/* fuse_frame.c -- a product stores right into the frame that a pad puts around its values.
 *
 *   kernel 0 contract (x, w) -> %4          kernel 0 contract (x, w) -> %5
 *     %4 = max %3, 0                    →     %4 = max %3, 0
 *   kernel 1 map (%4) -> %5                   %5 = pad %4 [..] ; frame
 *     %5 = pad %4 [..]
 *
 * The convolution behind reads %5. What lies around the values is stored by a call of its own, which touches nothing else
 * (codegen/schedule_frame.c). */
#include "passes/fuse.h"

/* In a frame, values along an axis make no row with those of the next place: tiles end there. So long must they be. */
enum { ALONG_LEAST = 7 };

/* Are the places along the axis before the last so many that tiles may end with them? */
static bool is_long(const Node *pad) {
    const Type *t = &pad->in[0]->type;
    int64_t low, high;
    if (t->rank < 2) return false;
    size_range(t->dim[t->rank - 2], &low, &high);
    return low >= ALONG_LEAST;
}

/* The last axis stays whole, so that vectors do. */
static bool can_frame(const Node *n) {
    int last = n->type.rank - 1;
    bool takes = n->type.dtype == DT_F32 || n->type.dtype == DT_I8;
    return n->op == OP_PAD && takes && size_is(n->attrs.lo[last], 0) && size_is(n->attrs.hi[last], 0) && is_long(n);
}

/* Has x no other reader than the group `only`, and need not be stored either? Else both forms would live side by side. */
static bool is_read_by(Planner *p, const Node *x, const Group *only) {
    if (p->must[x->id]) return false;
    for (int i = 0; i < p->groups.n; i++) {
        Group *g = p->groups.at[i];
        if (g == only || g->dead) continue;
        NodeList reads = group_reads(p, g);
        for (int k = 0; k < reads.n; k++)
            if (reads.at[k] == x) return false;
    }
    return true;
}

static void join(Planner *p, Group *a, Group *b, Node *pad) {
    PUSH(p->scratch, a->nodes, pad);
    p->home[pad->id] = a;
    p->level[pad->id] = LEVEL_FRAME;
    b->dead = true;
    group_changed(a);
    for (int i = 0; i < p->groups.n; i++) { /* b waited for a and for what a waits for */
        Group *x = p->groups.at[i];
        if (!x->dead && group_waits(x, b)) x->ancestors[b->id / 64] &= ~((uint64_t)1 << (b->id % 64));
    }
}

/* A training keeps its frames for the gradients, hundreds of buffers at once: those that begin early leave gaps between others, and what is
 * gained on the way forward is little beside the way back. */
void fuse_frames(Planner *p) {
    if (p->options->device || graph_stores(p->g)) return;
    for (int i = 0; i < p->groups.n; i++) {
        Group *b = p->groups.at[i];
        if (b->dead || b->kind != KERNEL_MAP || b->nodes.n != 1 || b->extra.n || !can_frame(b->nodes.at[0])) continue;
        Node *pad = b->nodes.at[0];
        Edge e = edge_of(pad->in[0]);
        Group *a = p->home[e.base->id];
        if (!a || a->kind != KERNEL_CONTRACT || a->parts || group_is_library(p, a) || group_again(a) != group_again(b)) continue;
        if (e.kind == EDGE_SAME && p->level[e.base->id] == LEVEL_FULL && is_read_by(p, e.base, b)) join(p, a, b, pad);
    }
}
