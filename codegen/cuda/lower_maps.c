/* lower_maps.c -- squares that come by TMA: where their copies read plain strided matrices, a unit of sm_90 brings each of them whole, zeros beyond the
 * ends, when one thread asks for it. What it must know of a matrix is a map, which the runtime has the driver make when a launch's addresses and
 * sizes are known (runtime.h, RtDeviceKernel.maps); the kernel names squares by their first indices. */
#include "codegen/cuda/lower_impl.h"

_Static_assert(RT_SQUARE == TILE_SQUARE, "the runtime's squares are those of copies");

static bool is_number(TilePoly p, int64_t n) { return poly_equal(p, poly_const(n)); }

/* Its value where every size is 64: what orders strides. */
static double about(TilePoly p) {
    double y = (double)p.c;
    for (int i = 0; i < p.n; i++) {
        double term = (double)p.t[i].c;
        for (int k = 0; k < p.t[i].n; k++) term *= 64;
        y += term;
    }
    return y;
}

/* Does the runtime know it? */
static bool is_of_sizes(TilePoly p) {
    for (int i = 0; i < p.n; i++)
        for (int k = 0; k < p.t[i].n; k++)
            if (p.t[i].v[k]->k != TS_SIZE) return false;
    return true;
}

static TilePoly extent_of(Cuda *c, const CudaMap *m, int i) { return poly_of(&c->w, m->s->hi[m->dim[i]]); }
static TilePoly stride_of(Cuda *c, const CudaMap *m, int i) { return buffer_stride(&c->w, m->s, m->dim[i]); }

/* Dimensions whose places differ: that of the vectors, then the others in the order of their strides, as the driver wants them. */
static bool dims_find(Cuda *c, const TileAccess *a, CudaMap *m) {
    m->s = a->s;
    m->dim[0] = a->lane_dim;
    m->rank = 1;
    for (int d = 0; d < a->n; d++) {
        if (!is_number(poly_of(&c->w, a->s->lo[d]), 0)) return false;
        TilePoly stride = buffer_stride(&c->w, a->s, d);
        if (d == a->lane_dim || is_number(stride, 0)) continue;
        if (m->rank == RT_MAP_RANK) return false;
        int i = m->rank++;
        for (; i > 1 && about(stride_of(c, m, i - 1)) > about(stride); i--) m->dim[i] = m->dim[i - 1];
        m->dim[i] = d;
    }
    bool known = is_of_sizes(poly_of(&c->w, a->s->offset));
    for (int i = 0; i < m->rank; i++) known = known && is_of_sizes(extent_of(c, m, i)) && is_of_sizes(stride_of(c, m, i));
    return known;
}

/* Is what it leaves out what lies beyond the ends of the matrix, and nothing else? at: indices of the square in the order of the map. */
static bool square_find(Cuda *c, const TileStmt *s, CudaMap *m, TilePoly *at) {
    const TileAccess *a = &s->e->a;
    m->row = 0;
    for (int i = 0; i < m->rank; i++) {
        TilePoly step;
        if (!poly_split(&c->w, poly_of(&c->w, a->ix[m->dim[i]]), s->s, &step, &at[i])) return false;
        if (is_number(step, 0)) continue;
        if (!i || m->row || !is_number(step, 1)) return false;
        m->row = i;
    }
    if (!m->row) return false;
    if (s->by && !poly_equal(poly_of(&c->w, s->by), poly_add(&c->w, extent_of(c, m, m->row), at[m->row], -1))) return false;
    return !a->limit || poly_equal(poly_of(&c->w, a->limit), extent_of(c, m, 0));
}

static bool is_same(const CudaMap *x, const CudaMap *y) {
    bool same = x->s == y->s && x->rank == y->rank && x->row == y->row;
    for (int i = 0; i < x->rank && same; i++) same = x->dim[i] == y->dim[i];
    return same;
}

int cuda_map(Cuda *c, const TileStmt *s, const char **at) {
    CudaMap m;
    TilePoly first[RT_MAP_RANK];
    if (!dims_find(c, &s->e->a, &m) || !square_find(c, s, &m, first)) return -1;
    int i = 0;
    while (i < c->n_maps && !is_same(&c->maps[i], &m)) i++;
    if (i == RT_MAPS) return -1;
    if (i == c->n_maps) c->maps[c->n_maps++] = m;
    *at = arena_printf(c->w.arena, "%d", m.rank);
    for (int d = 0; d < RT_MAP_RANK; d++) *at = arena_printf(c->w.arena, "%s, (int)(%s)", *at, d < m.rank ? cuda_poly(c, first[d]) : "0");
    return i;
}

/* ---- for the runtime */

typedef struct Words {
    Arena *arena;
    LIST(int64_t) list;
} Words;

static void word(Words *w, int64_t x) { PUSH(w->arena, w->list, x); }

/* How many terms; of each its coefficient, how many factors, which sizes these are. */
static void poly_words(Words *w, TilePoly p) {
    word(w, p.n + (p.c != 0));
    if (p.c) word(w, p.c), word(w, 0);
    for (int i = 0; i < p.n; i++) {
        word(w, p.t[i].c);
        word(w, p.t[i].n);
        for (int k = 0; k < p.t[i].n; k++) word(w, p.t[i].v[k]->arg);
    }
}

void cuda_maps_write(Cuda *c, CudaKernel *made) {
    Words w = {.arena = c->k->arena};
    for (int i = 0; i < c->n_maps; i++) {
        const CudaMap *m = &c->maps[i];
        word(&w, m->s->arg);
        word(&w, m->rank);
        word(&w, m->row);
        poly_words(&w, poly_of(&c->w, m->s->offset));
        for (int d = 0; d < m->rank; d++) poly_words(&w, extent_of(c, m, d)), poly_words(&w, stride_of(c, m, d));
    }
    made->n_maps = c->n_maps;
    made->maps = w.list.at;
    made->n_words = w.list.n;
}
