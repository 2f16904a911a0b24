/* attention.h -- what the schedules of attention and of its gradient share (schedule_attention.c, schedule_attention_gradient.c, and those
 * two with _mma.c, for a device's matrix units).
 *
 * One space has the axes of the scores, then those that a product sums over or makes beside: the depth of keys, of values, columns of
 * gradients. The symbols fall into sets. */
#ifndef CODEGEN_ATTENTION_H
#define CODEGEN_ATTENTION_H
#include "codegen/contract.h"

typedef enum {
    OF_BATCH, /* rows and keys have it */
    OF_ROWS,
    OF_KEYS,
    OF_DEPTH, /* of the scores: rows by keys */
    OF_VALUE, /* of values */
    OF_BY_Q,  /* columns of the gradients */
    OF_BY_K,
    OF_BY_V,
    SETS
} Set;

typedef struct Heads {
    Work *w;
    const Kernel *k;
    const Node *scores;
    int triangle; /* as in ir/plan.h */
    Size reach;
    Space *sp;
    Items *items;
    bool *given;           /* by place among k->nodes: the template knows the value */
    LIST(Access *) stores; /* beside k->writes */
    int rank;              /* axes of the scores */
    int axes;              /* of the space */
    Size dim[MAX_SYMBOLS];
    Set class[MAX_SYMBOLS];
    char letter[MAX_SYMBOLS]; /* of axes that a product has beside those of scores: in that product */
    int64_t length[SETS]; /* of the static sets, those from OF_DEPTH on */
    int n[SETS], symbol[SETS][MAX_SYMBOLS];
    Size size_m, size_n; /* of the last symbol of rows; of all keys */
    int lanes, map_lanes; /* map_lanes: of maps along keys */
    int mr;               /* rows of a tile */
    int64_t mb;           /* of a block */
    int square;           /* side of squares that packing transposes */
    Template *t;
    Point p; /* inside the nest */
} Heads;

/* An attention itself, not its gradient. */
typedef struct Forward {
    Heads h;
    const Attention *a;
    Access *at_q, *at_key, *at_value;
    int nv, vu; /* vectors of a panel of keys, of values */
    int64_t kb; /* keys of a block */
    int result_lanes;
    bool *for_logits, *for_weights, *for_results; /* by place among k->nodes: needed there */
    bool gated;
} Forward;

/* Five products share rows and keys: 0 scores = q k, 1 gradients of weights = dy v, 2 by_q = gradients of scores by k, 3 by_k = the same
 * by q, 4 by_v = weights by dy. Each has an operand of its own for rows (0, 1, 3, 4) and for keys (0, 1, 2), whose letters beside
 * those of rows and keys are set gradient_set(product) of the space. */
enum { PRODUCTS = 5 };

typedef struct Backward {
    Heads h;
    const AttentionGradient *a;
    Access *row[PRODUCTS], *key[PRODUCTS]; /* NULL: it has none */
    int of_row[PRODUCTS][MAX_RANK], of_key[PRODUCTS][MAX_RANK], of_result[PRODUCTS][MAX_RANK];
    int nv, vu[PRODUCTS];
    int64_t np;                             /* keys at most, in whole panels; on matrix units: keys of a block */
    bool *for_sum, *for_scores;             /* by place among k->nodes: needed there */
    bool keeps;                             /* exponents of the first walk take the place of the scores */
    bool of_rows, with_k, with_v;           /* of a kernel on matrix units: what it is for */
    Access *sums;                           /* where the rows' sums are stored; NULL: nowhere */
} Backward;

/* ---- schedule_attention_gradient.c */

Set gradient_set(int product);
void gradient_begin(Backward *b, Work *w); /* axes and accesses */
bool gradient_stores_bend(const Backward *b, int product);
extern const Hole gradient_holes[]; /* of attention_gradient.tile and attention_gradient_mma.tile */

/* ---- schedule_attention_gradient_mma.c: on a device's matrix units */

bool gradient_is_mma(const Backward *b);                       /* as attention_is_mma */
void schedule_gradient_mma(Backward *b, KernelCode *code);     /* what is begun, and further kernels */
const char *gradient_mma_fill_nest(Backward *b);               /* holes */
const char *gradient_mma_fill_copy_row(void *context, const char *const *args);
const char *gradient_mma_fill_copy_key(void *context, const char *const *args);
const char *gradient_mma_fill_row_sums(void *context, const char *const *args);
const char *gradient_mma_fill_row_again(void *context, const char *const *args);
const char *gradient_mma_fill_gradients(void *context, const char *const *args);
const char *gradient_mma_fill_score_gradient(void *context, const char *const *args);

/* ---- schedule_attention_mma.c: on a device's matrix units */

/* Can rows of x along symbol s be copied: are they of type d, do columns, of set g, lie side by side, and the rows at a distance that no
 * symbol bends? */
bool heads_in_rows(const Heads *h, const Access *x, int s, Set g, DType d);
/* Copies 16 rows of x along symbol s, from row `from` on, to half of the template's buffer of rows; what lies beyond the last row or column is
 * zero. */
void heads_copy(Heads *h, Access *x, int s, const char *from, Set g, int64_t columns, const char *half);

/* Are there such units, do rows lie so that they can be copied, and does a warp have the registers and the shared memory? Accesses are made. */
bool attention_is_mma(const Forward *f);
void attention_mma_choose(Forward *f);                                       /* the tile */
void attention_mma_set(Forward *f);                                          /* parameters of attention_mma.tile */
const char *attention_mma_fill_q(void *context, const char *const *args);    /* holes of it */
const char *attention_mma_fill_key(void *context, const char *const *args);
const char *attention_mma_fill_value(void *context, const char *const *args);

/* ---- axes */

/* Begins with the axes of scores. */
void heads_begin(Heads *h, Work *w, const Node *scores, int triangle, Size reach);
/* Axes of operand (or result) letters of a product whose operand `of` has the axes of scores; letters that `of` lacks are
 * axes of set `own`, made where they first come. axis[]: one a letter. */
void heads_letters(Heads *h, const char *of, const char *letters, const Type *type, Set own, int *axis);
void heads_space(Heads *h); /* after all axes are there */
Access *heads_follow(Heads *h, Node *x, const int *axis);
/* Items of all nodes; result_axis: of the anchor's result, for nodes of FULL level that are not given. */
void heads_items(Heads *h, const int *result_axis);
/* Appends to stores: n counts its elements over these axes, or over rows. */
void heads_store(Heads *h, Node *n, int rank, const int *axis);
void heads_sort(Heads *h);                            /* merges, and sorts the symbols */

/* ---- questions */

int64_t heads_tiles(int64_t n, int64_t of);
int heads_place(const Heads *h, const Node *n); /* among k->nodes; -1 */
int heads_last_row(const Heads *h);
/* Marks the maps that n needs, itself included, but for what is given. */
void heads_need(const Heads *h, bool *set, Node *n);
/* Must the access go element by element along the set: are there several symbols, or does it divide? */
bool heads_bent(const Heads *h, const Access *x, Set g);
bool heads_maps_bend(const Heads *h, Level level, Set g);

/* Are keys packed by transposing squares: is the access contiguous along set g, which has one symbol? */
bool heads_transposed(const Heads *h, const Access *x, Set g);
/* Cost of one step of a product, of so many columns by a tile of mr rows; *vectors: of a panel, at the least cost. */
double heads_columns_cost(const TileTarget *t, int mr, int64_t columns, int *vectors);

/* ---- text */

const char *heads_limit(Heads *h, Size n, int64_t lanes); /* NULL: vectors never end inside */
void heads_index(Heads *h, Point *p, Set g, const char *text);
/* An access at a row, a key (NULL: it has none) and a column of set g, `lanes` columns of which those beyond the last are zero;
 * `divides`: vectors of so many never end inside. */
const char *heads_element(Heads *h, Access *x, const char *row, const char *key, Set g, const char *column, int lanes,
                          int64_t divides);
/* How many keys rows up to `last` see; NULL: no triangle, or its axis is not a single symbol. */
const char *heads_seen(Heads *h, const char *last);
void heads_scalars(Heads *h);
void heads_maps(Heads *h, Point *p, const bool *needed, Level level);
Point heads_at_scores(Heads *h, const char *row, const char *key, int64_t divides);
void heads_set(Heads *h, Node *n, const char *value, bool vector);
const char *heads_score(Heads *h, Node *n); /* its value at that point, in all lanes */

#endif
