/* plan_memory.c -- the arena: which values share memory, for every value of the run-time sizes.
 *
 * A value lives from the kernel that makes it to the last that reads it, and to those that run at once with these. A kernel may write over an operand that dies in it
 * (same bytes, same positions), unless it runs at once with others. The plan is no list of offsets but an *orientation*: for each two buffers alive together, which
 * lies below. Offsets are longest paths, so they are right for any sizes. The orientation comes from placing the buffers at
 * usual sizes: largest first, each into the smallest gap that fits; then in other orders, if that is not the best there can be.
 * Relations that follow from others are left out. */
#include "passes/planner.h"

#include <stdlib.h>
#include <string.h>

static int64_t rounded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

typedef struct Memory {
    Planner *p;
    Plan *plan;
    int *last;     /* by node id: the last kernel that needs it */
    int *taken_at; /* by buffer: 1 + the kernel in which it was written over last */
} Memory;

/* The first and the last of the kernels that run at once with k. */
static int first_of(const Kernel *k) { return k->index - k->turn; }
static int last_of(const Kernel *k) { return first_of(k) + k->together - 1; }

static void last_uses(Memory *m) {
    Plan *plan = m->plan;
    for (int i = 0; i < plan->kernels.n; i++) {
        const Kernel *k = plan->kernels.at[i];
        for (int j = 0; j < k->writes.n; j++) m->last[k->writes.at[j]->id] = last_of(k);
        for (int j = 0; j < k->reads.n; j++) m->last[k->reads.at[j]->id] = last_of(k);
    }
    for (int i = 0; i < plan->copies.n; i++) m->last[plan->copies.at[i].value->id] = plan->kernels.n - 1;
}

/* A buffer whose value dies in kernel k and may be written over by v; -1: none. */
static int reusable(Memory *m, Group *g, const Kernel *k, const Node *v) {
    Planner *p = m->p;
    for (int i = 0; i < k->reads.n; i++) {
        const Node *x = k->reads.at[i];
        Place at = p->places[x->id];
        if (at.kind != PLACE_ARENA || m->plan->buffers.at[at.index].last != k->index || m->taken_at[at.index] == k->index + 1)
            continue;
        if (node_bytes(p->g, x) != node_bytes(p->g, v)) continue;
        Old old = {{PLACE_NONE, 0}, x};
        bool carried = plan_carried(v) >= 0 && plan_base((v->op == OP_GET ? v->in[0] : v)->in[plan_carried(v)]) == x;
        if (g->anchor && (g->kind == KERNEL_UPDATE || g->kind == KERNEL_SCAN) && !carried) continue;
        if (g->kind == KERNEL_SCATTER || g->kind == KERNEL_ROUTINE || g->kind == KERNEL_REDUCE) continue;
        if (plan_in_place(p, g, v, old)) return at.index;
    }
    return -1;
}

static int buffer_new(Memory *m, Size bytes, int first, int last) {
    Buffer b = {.bytes = bytes, .first = first, .last = last};
    PUSH(m->p->arena, m->plan->buffers, b);
    return m->plan->buffers.n - 1;
}

static void buffers_make(Memory *m) {
    Planner *p = m->p;
    Plan *plan = m->plan;
    for (int i = 0; i < plan->kernels.n; i++) {
        Kernel *k = plan->kernels.at[i];
        Group *g = p->order[i];
        for (int j = 0; j < k->writes.n; j++) {
            Node *v = k->writes.at[j];
            if (p->places[v->id].kind != PLACE_NONE) continue;
            int b = p->options->level > 0 && k->together == 1 ? reusable(m, g, k, v) : -1;
            if (b >= 0) {
                m->taken_at[b] = i + 1;
                if (plan->buffers.at[b].last < m->last[v->id]) plan->buffers.at[b].last = m->last[v->id];
            } else {
                b = buffer_new(m, node_bytes(p->g, v), first_of(k), m->last[v->id]);
            }
            p->places[v->id] = (Place){PLACE_ARENA, b};
        }
        if (k->body) {
            Size body = plan_peak_size(k->body, p->sizes);
            if (!size_is(body, 0)) k->body_buffer = buffer_new(m, body, i, i);
        }
    }
}

/* ---- placing at usual sizes */

typedef struct Block {
    int buffer;
    int64_t bytes, offset;
    int first, last;
} Block;

static int by_size(const void *a, const void *b) {
    const Block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static int by_offset(const void *a, const void *b) {
    const Block *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static bool alive_together(const Block *a, const Block *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest place in the smallest gap between the placed blocks that are alive with b. placed[] is sorted by offset. */
static int64_t best_offset(const Block *placed, int n, const Block *b) {
    int64_t end = 0, best = -1, best_gap = 0;
    for (int i = 0; i < n; i++) {
        if (!alive_together(&placed[i], b)) continue;
        int64_t gap = placed[i].offset - end;
        if (gap >= b->bytes && (best < 0 || gap < best_gap)) {
            best = end;
            best_gap = gap;
        }
        if (placed[i].offset + placed[i].bytes > end) end = placed[i].offset + placed[i].bytes;
    }
    return best >= 0 ? best : end;
}

/* below[] of each buffer, without what follows from others. blocks are sorted by offset. */
static void orient(Memory *m, const Block *blocks, int n) {
    Planner *p = m->p;
    int words = n / 64 + 1;
    uint64_t *under = NEW_ARRAY(p->scratch, uint64_t, (size_t)n * (size_t)words); /* transitive, by place in blocks */
    int *list = NEW_ARRAY(p->scratch, int, n);
    for (int i = 0; i < n; i++) {
        int count = 0;
        uint64_t *mine = under + (size_t)i * (size_t)words;
        for (int j = i - 1; j >= 0; j--) {
            if (!alive_together(&blocks[i], &blocks[j]) || (mine[j / 64] >> (j % 64) & 1)) continue;
            list[count++] = blocks[j].buffer;
            for (int w = 0; w < words; w++) mine[w] |= under[(size_t)j * (size_t)words + (size_t)w];
            mine[j / 64] |= (uint64_t)1 << (j % 64);
        }
        Buffer *b = &m->plan->buffers.at[blocks[i].buffer];
        b->n_below = count;
        b->below = NEW_ARRAY(p->arena, int, count);
        memcpy(b->below, list, sizeof *list * (size_t)count);
        m->plan->order[i] = blocks[i].buffer;
    }
}

/* Places blocks[0..n), in this order, into placed[], sorted by offset. The peak. */
static int64_t place_all(const Block *blocks, int n, Block *placed) {
    int64_t peak = 0;
    for (int i = 0; i < n; i++) {
        Block b = blocks[i];
        b.offset = best_offset(placed, i, &b);
        if (b.offset + b.bytes > peak) peak = b.offset + b.bytes;
        int at = i;
        while (at > 0 && by_offset(&b, &placed[at - 1]) < 0) at--;
        memmove(&placed[at + 1], &placed[at], sizeof *placed * (size_t)(i - at));
        placed[at] = b;
    }
    return peak;
}

/* The largest sum of blocks that are alive together: no plan needs less. */
static int64_t lower_bound(const Block *blocks, int n, int kernels) {
    int64_t most = 0;
    for (int k = 0; k < kernels; k++) {
        int64_t live = 0;
        for (int i = 0; i < n; i++)
            if (blocks[i].first <= k && k <= blocks[i].last) live += blocks[i].bytes;
        if (live > most) most = live;
    }
    return most;
}

/* Moves the block at `from` to the front of the one at `to`, which comes before it. */
static void hasten(Block *blocks, int from, int to) {
    Block b = blocks[from];
    memmove(&blocks[to + 1], &blocks[to], sizeof *blocks * (size_t)(from - to));
    blocks[to] = b;
}

/* One step of a linear congruential generator (Knuth, MMIX); a number below n. */
static int draw(uint64_t *state, int n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (int)((*state >> 33) % (uint64_t)n);
}

/* How many of placed[] end above `limit`. */
static int count_above(const Block *placed, int n, int64_t limit) {
    int count = 0;
    for (int i = 0; i < n; i++) count += placed[i].offset + placed[i].bytes > limit;
    return count;
}

/* The place in blocks[] of the k-th of placed[] that ends above `limit`. */
static int place_above(const Block *blocks, const Block *placed, int k, int64_t limit) {
    int top = 0, i = 0;
    while (placed[top].offset + placed[top].bytes <= limit || k-- > 0) top++;
    while (blocks[i].buffer != placed[top].buffer) i++;
    return i;
}

/* A search for a placing with a peak of at most `limit`: tries orders in which one block comes sooner, every other time one that ends above
 * that. Keeps those that are no worse: of equal peaks, those with no more blocks so high. best: its blocks by offset. The peak. */
static int64_t search(Arena *scratch, const Block *start, int n, int tries, int64_t limit, uint64_t *state, Block *best) {
    Block *blocks = NEW_ARRAY(scratch, Block, n), *order = NEW_ARRAY(scratch, Block, n), *placed = NEW_ARRAY(scratch, Block, n);
    int64_t least = place_all(start, n, best);
    int high = count_above(best, n, limit);
    memcpy(blocks, start, sizeof *blocks * (size_t)n);
    for (int i = 0; i < tries && least > limit; i++) {
        memcpy(order, blocks, sizeof *order * (size_t)n);
        int from = i % 2 ? place_above(blocks, best, draw(state, high), limit) : 0;
        if (from == 0) from = 1 + draw(state, n - 1);
        hasten(order, from, draw(state, from));
        int64_t peak = place_all(order, n, placed);
        int above = count_above(placed, n, limit);
        if (peak > least || (peak == least && above > high)) continue;
        least = peak;
        high = above;
        memcpy(blocks, order, sizeof *order * (size_t)n);
        memcpy(best, placed, sizeof *best * (size_t)n);
    }
    return least;
}

/* Places the blocks, largest first; where that needs more than the bound by one part in NEAR, searches for better, SEARCH tries at a time
 * from the beginning, until it is so near or the work is that of PLACE_WORK comparisons. Always the same draws: always the same plan. */
enum { PLACE_WORK = 10000000, SEARCH = 250, SEARCHES = 4, NEAR = 200 };
static void place_best(Memory *m, const Block *blocks, int n, Block *best) {
    Block *found = NEW_ARRAY(m->p->scratch, Block, n);
    int64_t bound = lower_bound(blocks, n, m->plan->kernels.n), limit = bound + bound / NEAR, least = INT64_MAX;
    int tries = n > 1 ? (int)(PLACE_WORK / ((int64_t)n * n)) : 0;
    uint64_t state = 1;
    for (int i = 0; i < SEARCHES && least > limit && (i == 0 || tries > 0); i++, tries -= SEARCH) {
        int64_t peak = search(m->p->scratch, blocks, n, tries < SEARCH ? tries : SEARCH, limit, &state, found);
        if (peak >= least) continue;
        least = peak;
        memcpy(best, found, sizeof *best * (size_t)n);
    }
}

/* The run-time sizes for which the arena is printed (plan_arena_text): 64, or the nearest that is allowed. */
static const int64_t *usual_sizes(Planner *p) {
    int n = size_names(p->sizes);
    int64_t *at = NEW_ARRAY(p->scratch, int64_t, n + 1);
    for (int i = 0; i < n; i++) {
        const SizeName *s = size_name_at(p->sizes, i);
        at[i] = s->low > 64 ? s->low : s->high < 64 ? s->high : 64;
    }
    return at;
}

/* Orients the buffers as they are best placed at these sizes. */
static void place_at(Memory *m, const int64_t *sizes) {
    Plan *plan = m->plan;
    int n = plan->buffers.n;
    Block *blocks = NEW_ARRAY(m->p->scratch, Block, n), *placed = NEW_ARRAY(m->p->scratch, Block, n);
    for (int i = 0; i < n; i++) {
        const Buffer *b = &plan->buffers.at[i];
        int64_t bytes;
        if (!size_eval(b->bytes, sizes, &bytes)) bytes = 0;
        blocks[i] = (Block){i, rounded(bytes), 0, b->first, b->last};
    }
    if (n) qsort(blocks, (size_t)n, sizeof *blocks, by_size);
    place_best(m, blocks, n, placed);
    plan->order = NEW_ARRAY(m->p->arena, int, n);
    orient(m, placed, n);
}

/* What is best at the usual sizes may follow from a placing at others, which leaves the search elsewhere. */
static void place(Memory *m) {
    const int64_t *usual = usual_sizes(m->p);
    int64_t peak, other, bound;
    place_at(m, usual);
    plan_peak(m->plan, usual, &peak, &bound);
    if (peak - bound <= bound / NEAR) return;
    place_at(m, m->p->reference);
    plan_peak(m->plan, usual, &other, &bound);
    if (other > peak) place_at(m, usual);
}

void plan_memory(Planner *p, Plan *plan) {
    Memory m = {.p = p, .plan = plan};
    int nodes = p->g->nodes.n;
    m.last = NEW_ARRAY(p->scratch, int, nodes);
    m.taken_at = NEW_ARRAY(p->scratch, int, nodes + plan->kernels.n);
    last_uses(&m);
    buffers_make(&m);
    place(&m);
}

Size plan_peak_size(const Plan *plan, SizeTable *t) {
    Arena *scratch = arena_new();
    Size *end = NEW_ARRAY(scratch, Size, plan->buffers.n);
    Size peak = size_const(t, 0), unit = size_const(t, 64);
    for (int i = 0; i < plan->buffers.n; i++) {
        const Buffer *b = &plan->buffers.at[plan->order[i]];
        Size offset = size_const(t, 0);
        for (int k = 0; k < b->n_below; k++) offset = size_max(offset, end[b->below[k]]);
        end[plan->order[i]] = size_add(offset, size_scale(size_ceildiv(b->bytes, unit), 64));
        peak = size_max(peak, end[plan->order[i]]);
    }
    arena_free(scratch);
    return peak;
}
