/* plan.h -- what the passes hand to the code generator: kernels in order, and where every stored value lives.
 *
 * A kernel computes some nodes of its graph from stored values and stores some of them. Leaves that need no memory (const, iota, size)
 * and strided views (CLASS_VIEW) are no kernels: whoever reads through them computes the index map. */
#ifndef IR_PLAN_H
#define IR_PLAN_H
#include "ir/graph.h"

/* Levels of a node inside a kernel, relative to its iteration space (a list of axes). */
typedef enum {
    LEVEL_FULL,  /* one value an element: row-major order of the node's shape = that of the space */
    LEVEL_ROW,   /* one value a row: = that of the space without its last `row` axes */
    LEVEL_FINAL, /* after a reduction over other axes: shape of that reduction's result */
    LEVEL_A,     /* KERNEL_ATTENTION: one value a score; never stored. LEVEL_ROW there: one value a row of scores */
    LEVEL_B,     /* of operand 1: maps of slots that hold it in fewer bytes; computed where the product reads or packs it, never stored */
    LEVEL_PART,  /* KERNEL_CONTRACT: one value an element of one of Kernel.parts equal slices of the last axis: maps of those slices (gates) */
    LEVEL_FRAME, /* KERNEL_CONTRACT: a pad of a FULL node, which its own kernel stores inside of it; read by none of its nodes */
    LEVEL_SCALAR /* rank 0, computed once from leaves, stored rank 0 values and other SCALAR nodes: before the loops (a learning rate).
                    Any node of the kernel may read it, directly or through expand. In a kernel whose space has rank 0 every node is FULL */
} Level;

typedef enum {
    KERNEL_MAP,      /* maps, accesses, reductions over exactly the last `row` axes, maps of rows, maps of everything again */
    KERNEL_REDUCE,   /* FULL maps over the operand's shape, then reductions over one same set of axes (not the trailing ones, or rank 0 results
                        of more than a row), then maps of FINAL shape */
    KERNEL_CONTRACT, /* anchor contract (space: its result), prologue maps on operands, epilogue maps of FULL or PART level */
    KERNEL_ATTENTION, /* anchor contract of softmax weights, which are made here of another contract (Kernel.attention), with epilogue
                        maps of FULL level */
    KERNEL_ATTENTION_GRADIENT, /* the three gradients of an attention, which makes its weights again: Kernel.gradient */
    KERNEL_SCATTER,  /* anchor scatter_add alone */
    KERNEL_UPDATE,   /* anchor update_at alone: x is copied first unless the result lies in x's memory */
    KERNEL_ROUTINE,  /* cumsum, sort_ids, topk_ids, categorical: a routine of the runtime, row by row */
    KERNEL_SCAN,     /* anchor scan; body has a plan of its own */
    KERNEL_CHECK,    /* an EFFECT_CHECK or EFFECT_RANGE: stops the call */
    KERNEL_PRINT
} KernelKind;

enum { SLICES_MOST = 8 };

typedef struct Plan Plan;

/* Elements that nobody looks at: along the last axis of what a kernel computes row by row, or along the axis that a contract sums over,
 * those from `seen` on. Attention over a cache: scores of keys that no query sees yet are -inf, their weights 0. The kernels that
 * make and read such scores need not go there, and what they store is undefined there. */
typedef struct Limit {
    Size seen;    /* NULL: no limit. In terms of the call's sizes, or a name of data: then min(*offset + plus, its greatest value) */
    Node *offset; /* rank 0, i32, stored; NULL: no data */
    Size plus;
    int axis;     /* of the space of a map (its last), of the result of a contract (its last); -1: the one that the contract sums over */
} Limit;

/* y = contract (weights, v), weights = softmax of logits along their last axis, logits = maps of scores = contract (q, k). */
typedef struct Attention {
    Node *scores;        /* [.., rows, keys] */
    Node *logits;        /* scores, or maps of them */
    Node *max, *sum;     /* reductions of logits, and of exp(logits - max) */
    Node *quotient;      /* exp(logits - max) / sum */
    Node *weights;       /* quotient, or products and wheres of it: 0 where it is 0, and linear in it */
    int side;            /* of the anchor: which operand the weights are */
    int triangle;        /* axis of scores: at index i of it, logits of keys from i + reach on are -inf; -1: nothing of that sort */
    Size reach;
} Attention;

/* Gradients of an attention. Level A: scores, exponents, weights and the maps between them, made again; by_weights = contract (dy, v), maps
 * of these with one sum along keys between them, by_scores at their end. Then by_q = contract (by_scores, k), by_k = contract (by_scores, q),
 * by_v = contract (weights, dy), which alone are stored; for a device that multiplies such on matrix units, the sum is, too (it takes several
 * kernels, which hand it on). Maximum and sum of the softmax are read. */
typedef struct AttentionGradient {
    Node *scores, *exponents, *weights;
    Node *by_weights, *sum, *by_scores;
    Node *by_q, *by_k, *by_v;
    int triangle;        /* as of the attention */
    Size reach;
} AttentionGradient;

typedef struct Kernel {
    KernelKind kind;
    int index;                  /* place in the plan's order */
    Node *anchor;               /* contract, scatter_add, update_at, routine, scan; NULL otherwise */
    LIST(Node *) nodes;         /* all nodes it computes, operands first (no views, no leaves) */
    LIST(Level) levels;         /* beside nodes */
    LIST(Node *) reads;         /* stored values (views stripped), in order of first use; each once */
    LIST(Node *) writes;        /* nodes it stores, in order */
    LIST(Node *) packed;        /* KERNEL_CONTRACT: slots among its reads (in a body: invariants that are slots; or a cast to bf16 of one) that no kept entry changes: a
                                   schedule may read a copy of the slot in an order of its own (codegen/kernel_code.h: Pack) instead.
                                   Interpreters read the slot. KERNEL_MAP: such slots that it takes slices of, and reads that are codes of one, as i32 */
    LIST(int) packed_slots;     /* beside packed: their indices */
    Type space;                 /* iteration space; dtype unused */
    int row;                    /* KERNEL_MAP: trailing axes that form a row; 0: no rows */
    int parts;                  /* KERNEL_CONTRACT: equal slices of the last axis, 2 to SLICES_MOST; 0: no PART nodes */
    Limit limit;                /* KERNEL_MAP with rows, KERNEL_CONTRACT, KERNEL_ATTENTION */
    const Attention *attention; /* KERNEL_ATTENTION */
    const AttentionGradient *gradient; /* KERNEL_ATTENTION_GRADIENT: its anchor is by_q */
    const Effect *effect;       /* KERNEL_CHECK, KERNEL_PRINT */
    Plan *body;                 /* KERNEL_SCAN */
    int body_buffer;            /* KERNEL_SCAN: outer buffer that holds the body's arena; -1: none */
    LIST(SizeName *) sizes;     /* run-time size names in its shapes and attributes, in order of first use: its size arguments */
    int together;               /* kernels that may run at once, this one among them: they stand one behind the other, have equal keys (or, with
                                   `flat`, keys that differ in shapes alone), and none reads or stores what another one stores. 1: it alone */
    int turn;                   /* its place among them, from 0 */
    Size flat;                  /* of kernels of several shapes that run at once: a name that stands for the number of elements, a run-time size of
                                   the one function that serves them all; NULL: it is written for its shape */
    const char *key;            /* equal keys: one function serves both. Operands and size names are numbered by first use; slots, inputs,
                                   random sites, user names, source places are not part of it */
} Kernel;

/* What a schedule may rely on (the passes promise it, plan_verify checks it):
 * - MAP: a reduce has level ROW; its operand (a node of FULL level or a stored value or leaf through views) has the elements of the space in row-major
 *   order, and its reduced axes are exactly the trailing ones whose product is the length of a row. Nodes of FULL and ROW level may be
 *   stored. argmax, argmin appear in MAP kernels only, over the last axis.
 * - REDUCE: only FINAL nodes are stored. Every reduce has the same operand shape (the space) and the same axes. The axes leave out the last
 *   axis, unless the result has rank 0. REDUCE_VAR appears nowhere: it is written out before.
 * - CONTRACT: operands 0 and 1 are views over stored values; epilogue nodes are FULL, PART or SCALAR, any of them may be stored. FRAME nodes,
 *   which leave the last axis as it is, are stored. PART nodes read FULL ones of the shape of the space through a slice that is one of
 *   `parts` equal ones of the last axis, which is an axis of one operand alone; there are no FRAME or B nodes beside them.
 * - ATTENTION: operands of both contracts are views over stored values; FULL nodes are stored, and maximum and sum where a gradient wants them. Of nodes that depend on the maximum or the
 *   sum, exp(logits - max), the quotient, and what is between it and the weights have level A; all others ROW.
 * - ACCESS nodes: data operands and tensors of indices are views over stored values; a rank 0 index may also be a const, size or SCALAR node.
 *   `gather` along the last axis with one element a row may have level ROW.
 * - UPDATE: operand x is stored and contiguous (reshape at most); v is a view over a stored value. ROUTINE, SCAN, CHECK (range), PRINT: all
 *   tensors are stored and contiguous. SCAN: writes are its GET nodes (all of them, in order).
 * - Rank 0 operands of `random` are like operands of any map.
 * - Kernels that run at once are of kind MAP or REDUCE, without a limit, and write over no value in the arena. `flat`: a MAP of a static
 *   number of elements, without rows or with one row that is all of them; its nodes are maps and reductions whose operands are elements of
 *   stored values or its own nodes at the same place in row-major order, or have rank 0.
 * - A value written into the memory of a value that the same kernel reads: only elementwise (equal position) in MAP kernels without
 *   rows, in epilogues of CONTRACT, among FINAL nodes of REDUCE; and operand x of UPDATE. */

/* Views and leaves between nodes: what a reader finds when it follows an operand. Two nodes of one kernel are connected only by views that
 * keep the order of elements (reshape), by expand of a ROW or rank-0 value, and by the slice that makes a PART of a FULL value; every other view ends at a stored value. */

typedef enum {
    PLACE_NONE,   /* not stored: computed where it is used */
    PLACE_ARENA,  /* buffer `index` */
    PLACE_SLOT,   /* memory of slot `index`: the slot's value at the beginning, or a store in place */
    PLACE_INPUT,  /* input `index` of the entry */
    PLACE_RESULT, /* memory of result `index` of the entry */
    PLACE_DATA,   /* the node's own constant data (tensor) */
    PLACE_ARG,    /* argument `index` of a body: an invariant, element t of a sequence, the step (an i32), or a carry's memory */
    PLACE_Y,      /* element t of stacked result `index` (0: the first y) of the scan whose body this is */
    PLACE_STOP    /* one byte that ends the scan whose body this is, if it is not 0 after a step */
} PlaceKind;

typedef struct Place {
    PlaceKind kind;
    int index;
} Place;

/* A block of the arena. Offsets are not fixed but ordered: a buffer lies above all of below[]; its offset is the longest path,
 * max over below of (offset + bytes), bytes rounded up to 64. Constants if all is static. */
typedef struct Buffer {
    Size bytes;
    int first, last; /* kernels between which it is alive, inclusive */
    int n_below;
    int *below;      /* buffers; every one has been listed before this in Plan.order */
} Buffer;

typedef struct Copy { /* after all kernels: a value into a place (a store that could not be made in place, a result that is also stored) */
    Node *value;
    Place to;
} Copy;

struct Plan {
    Graph *graph;
    LIST(Kernel *) kernels;
    Place *places;      /* by node id */
    LIST(Buffer) buffers;
    int *order;         /* buffers, such that every below[] comes first */
    LIST(Copy) copies;  /* carries of a body: to PLACE_ARG of the carry */
};

/* What a node's operand is made of: strips views. The stored value, the kernel's own node, or a leaf. */
Node *plan_base(Node *n);

/* Which of `parts` equal slices of the last axis of its operand is the view n? -1: none. */
int plan_part(const Node *n, int parts);

/* Values of the size names while a kernel runs, in the arena: those of the call, and that of a limit which is data. offset: what
 * stands at limit.offset. */
const int64_t *kernel_size_values(Arena *a, const Kernel *k, const int64_t *sizes, int64_t offset);

/* Operations of the products of a call, 2 for each multiplication with its addition; those in loops as often as they run. Nothing else
 * counts: it is what a rate in GFLOP/s is commonly quoted of. */
Size plan_flops(const Plan *p);

/* The same of one kernel with a product: as if a triangle left nothing out; scores that a gradient makes again are not counted again. */
Size plan_kernel_flops(const Kernel *k);

/* Bytes that one kernel must move at least: what it reads of stored values and what it stores, each once; of gathered and sliced values
 * only the part that is taken. */
Size plan_kernel_bytes(const Plan *p, const Kernel *k);

/* Peak of the arena and lower bound (largest sum of live buffers) in bytes for given values of the size names. */
void plan_peak(const Plan *p, const int64_t *sizes, int64_t *peak, int64_t *bound);

/* Values of the size names for which the arena is largest: each that decides at its upper limit (the others 0), in the program's arena.
 * NULL: *unlimited decides, and has none. */
const int64_t *plan_most(const Plan *p, const SizeName **unlimited);

/* The node whose value lies in a buffer of the arena first; NULL: none, as for the memory of a loop's body. */
const Node *plan_buffer_node(const Plan *p, int buffer);

/* The same as a sentence, at run-time sizes of 64 or the nearest that is allowed. */
const char *plan_arena_text(Arena *a, const Plan *p);

void plan_print(FILE *f, const Plan *p); /* --emit=planned: kernels, their nodes, reads, writes, places, arena */

#endif
