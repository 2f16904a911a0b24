/* schedule.h -- what the files schedule*.c share. The way of a kernel:
 *
 *   scheduler_kernel (schedule.c) → schedule_map, _contract, _attention, _attention_gradient, _scatter, _update, _routine
 *     → items: the nodes with their operands as accesses of a Space (access.h), refined and merged
 *     → Work: text of one tile kernel, arguments, sizes; loops from templates (*.tile, template.h), values in their holes
 *       written by schedule_value.c
 *     → work_finish: text → tile_parse → tile_verify → tile_lower, once for equal texts. */
#ifndef CODEGEN_SCHEDULE_H
#define CODEGEN_SCHEDULE_H
#include "codegen/access.h"
#include "codegen/cuda/lower.h"
#include "codegen/kernel_code.h"
#include "codegen/template.h"
#include "codegen/tile.h"

/* The tile kernel behind KernelCall.function, for interpreters and tests; NULL: a routine of the runtime. A scheduler whose
 * module is NULL makes tile kernels without lowering them. */
TileKernel *scheduler_tile(const Scheduler *s, const char *function);

/* ---- one tile kernel under construction */
typedef struct Work {
    Scheduler *s;
    Arena *arena;
    SizeTable *table;
    const Plan *plan;
    const Kernel *k;
    const TileTarget *machine;
    bool optimize;
    bool device;      /* for a device */
    bool at_once;     /* .. where calls of it run at once */
    bool tf32;        /* .. on whose matrix units products of f32 may be in tf32 */
    bool group;       /* .. in groups of four warps */
    CudaRoom room;    /* .. and what its compiler makes room for */
    bool small;       /* code of few bytes */
    struct Tuning *tuning; /* tiles by timing; NULL */
    bool blas;        /* products by a library, where they are such as it computes (schedule_blas.c) */
    bool by_tiles;    /* convolutions may be computed in another way, which rounds otherwise (schedule_winograd.c) */
    const char *kind; /* second part of the function's name: "map" */
    const char *text; /* for people */
    Text body;
    LIST(KernelArg) args;
    LIST(const char *) arg_text; /* "a0: f32[n0, 128]", beside args */
    LIST(Size) sizes;            /* run-time sizes n0, n1 .. */
    Size count;                  /* iterations of the parallel nest */
    int names;                   /* values named so far, blocks opened so far */
    int blocks;
    Size when; /* variant: NULL always, else low <= when < high */
    int64_t low, high;
} Work;

Work *work_new(Scheduler *s, const Plan *plan, const Kernel *k, const char *kind);
/* A size as tile text over n0, n1 ..; names are declared on first use. Sums come in parentheses. */
const char *work_size(Work *w, Size s);
/* Declares an argument: type is what follows the name. Returns its name. */
const char *work_arg(Work *w, KernelArg arg, const char *type);
/* Declares memory that this call and the others of the kernel share: so many bytes from `offset` on. */
const char *work_shared(Work *w, int64_t offset, int64_t bytes, const char *type);
/* Lowers the kernel, or finds the function of an equal text, and appends the call. */
void work_finish(Work *w, KernelCode *code);
/* The same for a product by a library: arguments and sizes are those of codegen/cpu/blas.h. */
struct BlasForm;
void work_finish_blas(Work *w, const struct BlasForm *form, KernelCode *code);
bool schedule_blas(Work *w, KernelCode *code); /* false: that product is none for it; the work is as it was */
/* The pack that the kernel w makes of a slot: w is kept, and lowered when scheduler_pack asks for it. */
Pack *work_pack(Work *w, int slot, int64_t bytes);
/* The slot of an operand that the plan allows a copy of (Kernel.packed); else -1. */
int kernel_packed_slot(const Kernel *k, const Node *operand);
bool work_aliased(const Work *w, const Node *n); /* does n share its memory with another argument of the kernel? */

/* x + y without a summand that is "0". */
const char *text_plus(Work *w, const char *x, const char *y);
/* Opens `parallel` over 0..n in parts of `by` and returns the text of a part's first index. A last part that is incomplete gets
 * no copy of the body: the body tests or masks what lies beyond n. Where masks are dear (rest: true on machines without them)
 * it does get one. No loop is opened if there is one part: *opened says. */
const char *open_parts(Work *w, const char *name, Size n, int64_t by, bool rest, bool *opened);
/* The same for a loop along the lanes inside the body. */
const char *open_lanes(Work *w, const char *name, int64_t from, Size n, int lanes); /* from: a multiple of lanes */

/* ---- values */
typedef struct Item Item;

/* An operand as the schedule sees it: a value of the kernel itself, or an access. */
typedef struct Operand {
    Item *item;
    Access *access;
    int part; /* item is LEVEL_FULL and its reader LEVEL_PART: which slice */
} Operand;

typedef struct Test { /* 0 <= at < n */
    Affine *at;
    Size n;
} Test;

/* A part of a pad or concat: this operand where all tests hold. */
typedef struct Piece {
    Operand x;
    Node *type; /* whose dtype it has */
    LIST(Test) tests;
} Piece;

struct Item {
    Node *n;
    Level level;
    bool outer; /* one value a row (or column, or kernel): computed outside the inner loops */
    int phase;  /* the pass over the row in which it can first be computed */
    Operand *in;
    LIST(Piece) pieces; /* pad, concat */
    bool unrounded;     /* of 16 bits, but its value is still that of f32 */
    Affine *linear;     /* random: row-major index of the element */
    const char *value;  /* text of its value where the walk stands; NULL: none yet */
    const char *part[SLICES_MOST]; /* of a product in parts, LEVEL_FULL: in each slice */
    bool vector;
    bool needed;
    struct Taps *taps; /* a sum of products of codes, which one instruction adds up several of (schedule_taps.c); NULL: none */
    bool inside;       /* part of such a sum: not computed by itself */
    const char *kept; /* row buffer that keeps its elements from one pass to the next; NULL: computed again */
    int kept_since;   /* the pass that filled it, -1: none so far */
};

typedef struct Items {
    Space *sp;
    LIST(Item *) at;
} Items;

/* Where values are written: texts of the symbols, the vector symbol and its limit. Derived symbols and loads common to all
 * iterations of the block are written once. */
typedef struct Point {
    Work *w;
    Space *sp;
    Items *items;
    const struct Point *parent;    /* the block around this one; NULL: outermost */
    int block;                     /* number of the block: values cached in accesses belong to one */
    int lanes;                     /* 1: no vectors */
    int vector;                    /* symbol along the lanes, -1: none */
    const char *limit;             /* lanes at and beyond it are dead; NULL: none */
    int stepped;                   /* symbol of which the block writes several values one after another, -1: none */
    int64_t step;                  /* of those the one being written; text[stepped] says the same */
    const char *text[MAX_SYMBOLS]; /* of loop symbols in scope, and of derived ones already written */
} Point;

Items *items_new(Work *w, Space *sp);
/* Operands of node n, whose axes are indexed by index[] and whose elements are counted by linear, as accesses or items made
 * before. */
Item *items_add(Items *items, Work *w, Node *n, Level level, Affine *const *index, const Affine *linear);
Item *items_find(const Items *items, const Node *n);
Operand items_operand(Items *items, Node *x, Affine *const *index);

Point point_new(Work *w, Items *items, int lanes, int vector);
Point point_inside(const Point *outer);                            /* a block inside */
const char *affine_text(Work *w, const Point *p, const Affine *a); /* derived symbols must have been written */
void point_derived(Point *p, const Affine *a);                     /* writes what the affine needs */
/* The value of an access: a load, a literal (literal: allowed to be one without a type), an index. */
const char *point_load(Point *p, Access *a, bool literal, bool *vector);
const char *point_place(Point *p, Access *a, const char *suffix); /* "a3[i0, j : 16 < n1]": declares the buffer */
void point_value(Point *p, Item *item);                           /* writes `let` for the item, sets item->value */
void point_store(Point *p, Access *to, const char *value);
const char *value_float(Work *w, const char *text, DType d);  /* arithmetic form: f32(x) of narrow floats */
const char *value_stored(Work *w, const char *text, DType d); /* back */
DType dtype_arithmetic(DType d);                              /* f32 of narrow floats; else d */
/* Does what the item reads depend on the symbol (through derived symbols, for derived_only)? */
bool item_uses(const Space *sp, const Item *item, int symbol, bool derived_only);

/* How many values of symbol s a map should compute one after another: more than 1 where their windows overlap (schedule_windows.c). */
int64_t windows_steps(const Items *items, int s, int vector);

/* Has weights that a map reads along symbol `vector`, and that lie apart, read from copies in which they do not (schedule_channels.c). */
void channels_side_by_side(Work *w, Space *sp, int vector);

/* ---- sums of codes times weights of their channels (schedule_taps.c) */
typedef struct Taps Taps;
/* Marks such sums: Item.taps, Item.inside. The symbol and the number of lanes are chosen. */
void taps_find(Work *w, Items *items, int vector, int lanes);
void taps_value(Point *p, Item *sum); /* like point_value */

/* ---- values in a frame (schedule_frame.c): a pad of level LEVEL_FRAME */
/* Where it holds the value of the place index[] of a space with shape dim[]. */
Access *frame_access(Space *sp, Node *pad, int rank, const Size *dim, Affine *const *index);
Node *frame_value(Node *pad); /* the node whose values it holds */
void schedule_frames(Scheduler *s, const Plan *plan, const Kernel *k, KernelCode *code); /* calls that store the kernel's frames */
const char *value_fill(Work *w, const Node *pad); /* what lies around, as tile text (schedule_value.c) */

void schedule_map(Work *w, KernelCode *code); /* KERNEL_MAP and KERNEL_REDUCE */
void schedule_contract(Work *w, KernelCode *code);
void schedule_attention(Work *w, KernelCode *code);
void schedule_attention_gradient(Work *w, KernelCode *code);
void schedule_scatter(Work *w, KernelCode *code);
void schedule_update(Work *w, KernelCode *code);
void schedule_routine(Work *w, KernelCode *code);

#endif
