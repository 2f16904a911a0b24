/* contract.h -- what the files of the schedule of products share (contract_axes.c, contract_fill.c, schedule_contract.c).
 *
 * The letters of a contract fall into four groups: batch (in a, b and the result), m (a and result), n (b and result), k (a and
 * b). Neighbouring symbols of a group merge where all accesses allow it. One symbol of n runs along the lanes; the operands
 * change places if that makes better vectors: full ones, contiguous in b, contiguous in the result. One symbol of m gives the
 * rows of a register tile. The others: an outer product of loops, parallel as far as they lie outside of a block. */
#ifndef CODEGEN_CONTRACT_H
#define CODEGEN_CONTRACT_H
#include "codegen/schedule.h"

#define SMALL        4 /* rows up to which nothing is packed */
#define CACHE_LINE   64 /* bytes */
#define AHEAD_BYTES  4096 /* by which a stream asks for what follows: a processor's prefetchers stop at the end of each page */
#define PANELS       8 /* most that share a packed block of A */
#define WARPS_WISHED 1024 /* of a device: some for each of its processors */

typedef enum { GROUP_BATCH, GROUP_M, GROUP_N, GROUP_K, GROUPS } Group;

typedef struct Contract {
    Work *w;
    const Kernel *k;
    bool swap;   /* the operands have changed places */
    Node *a, *b; /* after that */
    Space *sp;
    Items *items;
    Access *at_a, *at_b; /* at_b: only strides, where a prologue computes b */
    bool prologue;       /* b is made of maps (LEVEL_B), computed where it is read or packed */
    LIST(Access *) stores;                      /* beside k->writes */
    Affine *part;                               /* Kernel.parts: which slice of the last axis a column is in; NULL: there are none */
    int n_parts, parts[MAX_SYMBOLS];            /* .. the symbols of that, outermost first: none of GROUP_N, they are loops inside a tile */
    int64_t part_rows;                          /* .. of the buffer of sums, for each slice */
    int64_t part_depth;                         /* .. of the scratch panel, for each slice */
    int rank;                                   /* axes of the result; those of k follow */
    int class[MAX_SYMBOLS];                     /* Group of each axis */
    int n[GROUPS], symbol[GROUPS][MAX_SYMBOLS]; /* outermost first */
    int sm, sn, sk;                             /* the last symbol of the groups m, n, k; -1: none */
    int mq, nq, kq;                             /* of symbol[GROUP_M] ..: the first that lies in a block */
    int64_t mc, kc;                             /* longest part of that one in a block (mq: if it is not the last) */
    int64_t k_inner;                            /* elements of the symbols of k after it */
    bool k_whole;                               /* symbol kq is not cut */
    int asks;                                   /* steps of k for each of which what the maps read of a row is asked for */
    int n_runs, run[MAX_SYMBOLS];               /* loops of the product over a block of k, as a sees them */
    const char *m_first;                        /* where a block begins along symbol mq */
    const char *k_text;                         /* index along the last of them */
    bool flat;                                  /* the last two symbols of m are counted as one; size_m: of both */
    Size size_m, size_n, size_k;
    DType type; /* of the accumulators */
    const char *type_name;
    int lanes;
    int mr, nv;
    int64_t rows;  /* of a block, about, by timing; 0: by the cost model */
    int64_t mb;    /* rows of the last symbol in a block */
    int64_t width; /* columns of a panel */
    bool direct;   /* B is read where it lies: it makes good panels as it is */
    bool pack_a;   /* A is packed, too */
    int panels;    /* .. for so many panels, one after the other; 0: for one */
    double pack_cost; /* .. what a step of a strip takes, in multiplications; 0: that does not matter */
    bool k_divides;
    int square;                       /* side of the squares that packing transposes */
    const char *pack;                 /* argument that holds B in panels; NULL: they are made in scratch */
    const char *less_sums;            /* .. what sums of codes begin with, a column each; NULL: made beside the panels, or 0 */
    bool streams;                     /* few rows stream it */
    bool copies;                      /* this is the kernel that makes that copy */
    int64_t pack_stride[MAX_SYMBOLS]; /* of B's outer symbols, in elements */
    int64_t copy_elements, copy_line; /* of it, and of a line of a cache */
    int64_t pack_rows;                /* of a panel: K, and what packing through transposes may write beyond */
    int dot_lanes;                    /* of dot products: 1 where k is not contiguous in b, nor in a or its copy */
    int dots;                         /* .. of so many columns at once */
    bool copied;                      /* rows of a, whose elements lie apart, are copied for their dot products */
    int64_t copied_row;               /* elements of one, in whole vectors, along the last symbol of k */
    bool columns_first;               /* the nest goes through panels of columns, and in each through the rows */
    int map_lanes;                    /* of the maps behind the product */
    int group;                        /* of codes: neighbours along the last symbol of k that one step adds up; else 0 */
    int scale, inner;                 /* of narrow weights: the operand of b's last map that groups share, -1: none; symbols of k in a group */
    Access *scales;                   /* which lie side by side along the groups; NULL: not so, or one by one */
    int64_t less;                     /* what a group's sums begin with, times what meets it, instead of taking it from each code */
    int sums;                         /* groups one after the other that have sums of their own */
    int codes;                        /* .. in a vector, where a group is summed up as whole numbers */
    int side;                         /* .. groups that share one, side by side */
    Access *joined;                   /* .. the codes of these, through the symbol join; NULL: there is one */
    int join;
    int64_t summed; /* terms of a column that several accumulators have taken before the loop over k */
    int64_t columns_ahead; /* from a column to the one whose codes it asks for */
    Point group_point;                /* where values of a group stand */
    bool split;                       /* of a device: the sums are cut into parts, which this kernel leaves in shared memory, .. */
    int64_t split_parts;              /* .. so many; */
    int64_t step;                     /* terms that are multiplied at once, where a part must be whole ones of them; 0: as a warp does */
    int split_symbol;                 /* the symbol of k that is cut for them, .. */
    Size split_terms;                 /* .. and its longest piece */
    const char *split_sums;           /* argument that holds the sums of all parts */
    const char *split_part;           /* the part, in the nest */
    Template *t;
    Point p; /* inside the nest; symbols of outer loops over k are added as they open */
} Contract;

/* ---- contract_axes.c: the letters as symbols */

/* The product of kernel k: operands as they stand, or in the other order if that gives better vectors. */
void contract_start(Contract *c, Work *w, const Kernel *k);
void contract_start_as(Contract *c, Work *w, const Kernel *k, bool swap); /* in that order */
/* The same with the operands as they stand, and no symbol that stands for several axes. */
void contract_start_apart(Contract *c, Work *w, const Kernel *k);
Size contract_stride(const Access *x, int symbol);     /* of the access along the symbol; NULL: none, or symbol < 0 */
bool contract_contiguous(const Access *x, int symbol); /* is that 1? */
bool contract_epilogue_indirect(const Contract *c);    /* does a map behind the product divide or look up a column? */

/* ---- contract_fill.c: the holes of contract.tile */

/* Element type of a copy: that of a quantized weight's codes, else that of the sums. */
DType contract_copy_type(const Contract *c);
/* Starts the template, with the parameters of every form. Lanes, width and the choices of the form are set. */
void contract_begin(Contract *c);
bool contract_wants(const Contract *c); /* do the maps behind the product read memory of each row? */
const char *contract_fill_scalars(void *context, const char *const *args);
const char *contract_fill_epilogue(void *context, const char *const *args); /* row, column, sums */
const char *contract_loop(int64_t n);                                       /* "unroll" or "for", of a short one's n turns */
int64_t contract_symbol_size(const Contract *c, int s);                     /* of a static one */
/* The place `name` along symbol s, for each of the places before ("": there are none). */
const char *contract_flat(Contract *c, const char *before, int s, const char *name);
/* Operand x where the last symbols of the groups have these texts (NULL: not used); `lanes` along symbol `vector`, those at
 * and beyond its size zero unless `divides` says that vectors of that many never end inside. */
const char *contract_place(Contract *c, Access *x, const char *i, const char *j, const char *k, int lanes, int vector, int64_t divides);

/* What a prologue makes for column j, `lanes` along k: in the type of the sums. */
const char *contract_prologue(Contract *c, const char *j, const char *k, int lanes, int64_t divides);

/* ---- schedule_contract.c: choices */

bool contract_can_pack(const Contract *c);   /* may B be read from a copy? */
int contract_packed_slot(const Contract *c); /* the slot that B is, if the plan allows a copy of it; else -1 */
bool contract_is_far_apart(const Contract *c); /* is A worth packing, too? */
int64_t contract_estimate(Size n, int64_t usual);
int64_t contract_tiles(const Contract *c, int64_t rows, int64_t columns); /* of the results: so many, about */
/* Counts the last two symbols of m as one where that fills tiles better. The tile is chosen. */
void contract_flatten(Contract *c);
bool contract_has_few_left(const Contract *c); /* may the last tile have so few rows that half of one does? */
bool contract_stores_vectors(const Contract *c); /* is there one result, of vectors as they lie in the sums? After contract_begin. */
/* Vector instructions of one step of k for one tile: multiplications, at least as many as hide their latency, against loads. */
double contract_step_cost(const TileTarget *t, int rows, int vectors);
/* The register tile of the least cost for m rows and n columns, of `least` to `most` vectors and at most `rows` rows. */
void contract_pick_tile(Contract *c, int64_t m, int64_t n, int least, int most, int rows);

void contract_set_ahead(Contract *c, int64_t rows, int64_t row, int bytes);
void contract_pick_block(Contract *c, int64_t m, int64_t n); /* rows that share a panel; the tile is chosen */
bool contract_may_be_few(const Contract *c); /* does a run-time size decide whether there are few rows? */

/* ---- schedule_codes.c: products of i8 by i8 */

/* Does the machine sum several such products at once, and do the operands lie so that it can? */
bool schedule_is_codes(Contract *c);
void schedule_codes(Contract *c, KernelCode *code);
const char *codes_fill_loops(void *context, const char *const *args); /* holes of contract.tile */
const char *codes_fill_panel(void *context, const char *const *args);
const char *codes_fill_behind(void *context, const char *const *args);
const char *codes_fill_ahead(void *context, const char *const *args);
const char *codes_fill_put(void *context, const char *const *args);
const char *codes_fill_less(void *context, const char *const *args);
const char *codes_fill_a(void *context, const char *const *args);
const char *codes_fill_b(void *context, const char *const *args);
const char *codes_fill_left(void *context, const char *const *args);
const char *codes_fill_column(void *context, const char *const *args);

/* ---- schedule_narrow.c: few rows by a weight in fewer bits than its values */

/* Does k run along both operands, and are groups of b, if it has scales, whole vectors? */
bool schedule_is_narrow(Contract *c);
void schedule_narrow(Contract *c); /* writes the kernel */
/* The same where rows are codes, too, and many. */
bool schedule_is_group_panels(Contract *c);
void schedule_group_panels(Contract *c);
const char *narrow_fill_scales(void *context, const char *const *args);
const char *narrow_fill_next(void *context, const char *const *args);
const char *narrow_fill_ahead(void *context, const char *const *args);
const char *narrow_fill_groups(void *context, const char *const *args); /* holes of contract.tile */
const char *narrow_fill_scale(void *context, const char *const *args);
const char *narrow_fill_inner(void *context, const char *const *args);
const char *narrow_fill_code(void *context, const char *const *args);
const char *narrow_fill_codes(void *context, const char *const *args);
const char *narrow_fill_left(void *context, const char *const *args);

/* ---- schedule_mma.c: products on a device's matrix units */

/* Are there such units, and do the operands lie so that rows of them can be copied? */
bool schedule_is_mma(const Contract *c);
void schedule_mma(Contract *c); /* writes the kernel */
void mma_pick_tile(Contract *c); /* of a warp */
const char *mma_fill_copy_step(void *context, const char *const *args); /* holes of contract.tile */
const char *mma_fill_fragment(void *context, const char *const *args);

/* ---- schedule_group.c: .. by groups of four warps */

/* Does that pay? Then the tile is chosen. */
bool schedule_is_group(Contract *c);
void schedule_group(Contract *c); /* writes the kernel */
const char *group_fill_copy(void *context, const char *const *args); /* hole of contract.tile */

/* ---- schedule_split.c: on a device, sums of many terms for few results */

/* The most parts that such sums are worth; 1: they stay in one piece. */
int64_t split_most(const Contract *c);
/* So many parts that a device has enough warps, where `tiles` are what one part gives it. The tile is chosen. */
void split_choose(Contract *c, int64_t tiles);
/* The call that adds the parts up, in their order, and has the maps behind the product. The one that computes them is finished. */
void split_finish(const Contract *c, KernelCode *code);
/* Where the sums of part, row and column lie, `lanes` of them along the columns. */
const char *split_place(Contract *c, const char *part, const char *i, const char *j);
const char *split_fill_piece(void *context, const char *const *args); /* holes of contract.tile */
const char *split_fill_part(void *context, const char *const *args);

/* ---- schedule_winograd.c */

/* Convolutions by 3 x 3 windows without a stride, where fewer multiplications pay for the transforms. Appends calls that hold
 * from so many *columns of a picture on as it returns: INT64_MIN: always; INT64_MAX: never, there are none. */
int64_t schedule_winograd(Work *w, KernelCode *code, Size *columns);
/* Gradients of such convolutions by their weights. False: it is none, or does not pay. */
bool schedule_winograd_gradient(Work *w, KernelCode *code);

#endif
