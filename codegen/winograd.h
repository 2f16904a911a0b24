/* winograd.h -- what the two schedules of 3 x 3 convolutions by tiles share (winograd_fill.c): pictures, seen as tiles. */
#ifndef CODEGEN_WINOGRAD_H
#define CODEGEN_WINOGRAD_H
#include "codegen/contract.h"

enum {
    TAPS = 3,
    TILES_MOST = 28, /* of a block: more do not make the products faster */
    TILE_ROWS = 14,  /* of a register tile */
    PICTURES = 8,    /* of a batch whose size is not known */
    TRANSFORM = 8,   /* vector instructions of a transform, per point of a tile and vector */
};
#define GAIN 1.2 /* the transforms must promise so much */

typedef struct Winograd {
    Contract c;             /* first: what fills contract.tile's holes is used here, too */
    int side, points;       /* outputs along a side of a tile: 4 or 2; products: 36 or 16 */
    Access *from;           /* how it reads pictures: A forward, B of a gradient by the weights */
    int si, sj, sc, su, sv; /* rows and columns, channels, taps */
    int sb;                 /* outside of rows: whose parts share a block, or -1 */
    Size rows, columns;     /* of tiles */
    int64_t channels, outputs, panels;
    Size group;            /* panels of a block, which are a part of them where there are few blocks .. */
    int64_t groups;        /* .. of at most so many parts */
    int64_t row;           /* elements from tile to tile */
    int64_t rn, ri, rj;    /* of pictures, rows, columns of tiles in a block */
    bool limited;          /* channels may end inside a vector */
    bool kept;             /* the transformed weights are a pack */
    int64_t most;          /* tiles of a block */
    Size by_i, by_j;       /* ri and rj, or what they are at run time .. */
    bool flows;            /* .. so that a block has at most `most` tiles */
    bool whole_i, whole_j; /* no tile reaches beyond the last row, column */
    const char *x, *u;     /* arguments */
    const char *first_n, *first_i, *first_j;
} Winograd;

int64_t winograd_tiles(int64_t n, int64_t of); /* n / of, rounded up */
int64_t winograd_least(int64_t a, int64_t b);
int64_t winograd_even(int64_t n, int64_t most); /* parts of at most `most`, as equal as they can be */

/* Are the last two symbols of group `pixels` rows and columns through which g->from steps as 3 x 3 windows of group `taps` do?
 * Sets si, sj, su, sv, sb, and the tiles in rows and columns, of g->side. */
bool winograd_windows(Winograd *g, Group pixels, Group taps);
void winograd_block(Winograd *g, int64_t most); /* for so many tiles at most */
/* n is a multiple of `by`, and of them there are a multiple of `part`. */
bool winograd_divides(Size n, int64_t by, int64_t part);
const char *winograd_input(Winograd *g); /* declares the pictures */
/* Opens parallel parts of a symbol; the text of a part's first index. */
const char *winograd_open(Winograd *g, const char *name, Size n, Size by);
/* Sets hn, hi, hj and live: what there is of the block at first_n, first_i, first_j. */
void winograd_live(Winograd *g);

/* Holes: tile(b, a, t), edges, channels, x(i, j, c). */
const char *winograd_fill_tile(void *context, const char *const *args);
const char *winograd_fill_edges(void *context, const char *const *args);
const char *winograd_fill_channels(void *context, const char *const *args);
const char *winograd_fill_x(void *context, const char *const *args);

#endif
