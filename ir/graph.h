/* graph.h -- the graph: what is computed. Tensors in SSA form, no loops but `scan` (GRAPH.md settles it).
 *
 * A Program has slots (parameters, states, caches), entries, and an init graph. A Graph is the list of its nodes in an order in which
 * operands come first, its results, and its effects in the order of the text. Passes make new graphs, they do not edit old ones. */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H
#include "ir/arena.h"
#include "ir/diag.h"
#include "ir/size.h"
#include "ir/type.h"

#include <stdint.h>

#define MAX_RANK 8

typedef enum Op {
#define OP(e, name, n, attrs, class, help) OP_##e,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;

/* How fusion sees an op. */
typedef enum {
    CLASS_LEAF,   /* read, or computed in place (const, iota, size) */
    CLASS_MAP,    /* element by element */
    CLASS_VIEW,   /* a strided index map */
    CLASS_ACCESS, /* an index map with tests or run-time indices; its operands are stored values */
    CLASS_REDUCE,
    CLASS_ANCHOR, /* a kernel of its own */
    CLASS_GET,
    CLASS_MARK    /* gone after grad */
} OpClass;

enum { /* fields of Attrs that an op has */
    A_INDEX = 1, A_NAME = 2, A_NUMBER = 4, A_DATA = 8, A_AXIS = 16, A_AXES = 32, A_SHAPE = 64, A_RANGE = 128, A_LABELS = 256,
    A_FN = 512, A_SITE = 1024, A_DTYPE = 2048, A_EXTENT = 4096, A_FLAG = 8192, A_BODY = 16384, A_COUNTS = 32768,
    A_WINDOW = 65536
};

typedef enum { REDUCE_SUM, REDUCE_VAR, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL, REDUCE_ARGMAX, REDUCE_ARGMIN } ReduceFn;
typedef enum { RANDOM_UNIFORM, RANDOM_NORMAL, RANDOM_BERNOULLI, RANDOM_RANDINT } RandomFn; /* operands low high | mean std | p | low high */

typedef enum { CONV_Y, CONV_X, CONV_W } ConvSlot; /* which of the three tensors of a convolution the result is */

/* Windows over two axes (rows, columns): element u of window i lies at i * stride + u * dilation - before of its axis. */
typedef struct Window {
    int taps[2];     /* size, in elements */
    int stride[2];   /* from one window to the next */
    int dilation[2]; /* from one element to the next */
    int before[2];   /* places before the axis at which the first window begins: they count as padding */
    int groups;      /* conv: of channels */
} Window;

typedef struct Type {
    DType dtype;
    int rank;
    Size dim[MAX_RANK];
} Type;

/* Numbers of Node.recompute above it are those of the pass remake: a product with a weight that carries one (kept) lets the weight's gradient see
 * copies of the maps that carry it; the maps' own gradients read the values themselves. */
enum { NODE_REMADE = 1 << 21 };

typedef struct Node Node;
typedef struct Graph Graph;
typedef struct Slot Slot;
typedef struct Entry Entry;
typedef struct Program Program;

/* What an op has beside operands: only the fields named by its row count, the rest is zero. */
typedef struct Attrs {
    int index;              /* input, slot, arg, get */
    const char *name;       /* input, slot path, call */
    double number;          /* const, pad; integers up to 2^53 are exact */
    int64_t whole;          /* const of an integer type: the value itself (number is its rounding) */
    const void *data;       /* tensor: row-major, in the node's dtype (host representation), bool as bytes */
    int axis;
    int n_axes, axes[MAX_RANK]; /* reduce: sorted; permute */
    Size lo[MAX_RANK], hi[MAX_RANK];
    int n_shape;
    Size shape[MAX_RANK];   /* reshape, expand, scatter_add, conv, window_argmax, window_put */
    const char *labels[3];  /* contract: one letter an axis: of a, of b, of the result */
    int fn;                 /* ReduceFn, RandomFn, ConvSlot */
    uint32_t site;          /* random, categorical */
    uint64_t step;          /* random: a fixed step (initial values); 0: that of the session */
    DType dtype;            /* cast, random */
    Size extent;            /* size, slice_at, topk_ids (a constant), window: number of windows, scan: number of steps */
    int flag;               /* gather, scatter_add: along; cumsum, scan: from the end; sort_ids: descending */
    Graph *body;
    /* scan: operands are counts[0] invariants, counts[1] initial carries, counts[2] sequences (axis 0 is the step). Body arguments:
     * the step t (i32 scalar), invariants, carries, elements of the sequences. Body results: new carries, counts[3] ys, and if counts[4]
     * is 1 a bool scalar: true ends the loop after this step. The ys of steps that do not run are zeros. */
    /* custom: counts[0] values more than one */
    int counts[5];
    Window window;          /* conv, window_*; window: [0] of taps, stride, dilation */
} Attrs;

struct Node {
    Op op;
    int id;           /* place in its graph's list */
    int n_in;
    Node **in;
    Type type;        /* of the result; of scan, call, custom, grad: rank -1, ask get */
    Attrs attrs;
    Graph *graph;
    Loc loc;          /* source place; source NULL: none */
    const char *path; /* layer path: "net.h.3.attn"; NULL: none */
    const char *name; /* the user's name for the value (a let, a result); NULL: none */
    int recompute;    /* number of the @checkpoint call it is computed again for; negative, until gradients are taken: it belongs to the call
                         of that number, and gradients compute it again; 0: none */
    bool kept;        /* recompute is negative: gradients read the value itself; its own gradient sees what its call computes again */
};

typedef enum {
    EFFECT_STORE, /* slot `index` = value, at the end of the entry (in a body of scan: not used, carries are results) */
    EFFECT_CHECK, /* value is a bool scalar that must be true: MDL_ASSERT with `text` */
    EFFECT_RANGE, /* every element of the integer tensor value is in lo <= v < hi, else MDL_RANGE naming `text`: precedes its use as an index */
    EFFECT_PRINT, /* value may be NULL; `text` before it */
    EFFECT_RESET  /* the cache `index` is as if no entry had touched it, its sizes free again: at the end of the entry; no value, no store beside it */
} EffectKind;

typedef struct Effect {
    EffectKind kind;
    int index;        /* store, reset: slot */
    Node *value;
    Size lo, hi;      /* range */
    const char *text; /* check: message; range: name of the tensor for the message ("ids", "pos"); print */
    Loc loc;
} Effect;

typedef struct Result {
    const char *name;
    Node *value;
} Result;

struct Graph {
    Arena *arena;
    Program *program;
    LIST(Node *) nodes;
    LIST(Result) results; /* of an entry: named; of a body: in order */
    LIST(Effect) effects; /* in the order of the text */
    Node **args;          /* of a body */
    int n_args;
    /* copied into every node made: where and for whom we are building */
    Loc loc;
    const char *path;
    int recompute;
};

/* How the weights of a slot are to be stored (passes/quantize.c). */
typedef enum { QUANT_NONE, QUANT_INT8, QUANT_INT4, QUANT_NF4, QUANT_FP8 } QuantScheme;

/* What products with a quantized weight take from the other side. */
typedef enum { ACTIVATIONS_FLOAT, ACTIVATIONS_DYNAMIC, ACTIVATIONS_STATIC } Activations; /* dynamic: codes by rows, found when they run */
extern const char *const activation_names[]; /* NULL at the end */

/* How a range follows from what was seen (runtime/observe.h says what each means). */
typedef enum { RANGE_MINMAX, RANGE_PERCENTILE, RANGE_ENTROPY, RANGE_MSE } RangeMethod;
extern const char *const range_names[]; /* NULL at the end */

typedef struct Quant {
    QuantScheme scheme;
    int group;       /* elements along the summed axis that share a scale; 0: all of a channel */
    bool one_scale;  /* for all channels; no groups */
    bool zero_point; /* the codes cover least to largest, not the same to both sides of 0 */
    bool gptq;       /* codes are chosen by what products of samples become, not by the weights alone */
    Activations activations;
    RangeMethod range;
    bool learned;          /* of ranges in a `train` entry: its `minimize` updates them (in the graph: their slots are stored) */
    double percentile;     /* of RANGE_PERCENTILE */
    const char *calibrate; /* samples: a file of arrays named like inputs, or "NAME=SOURCE ..."; NULL: none */
    int64_t samples;       /* at most; 0: all */
    const char *on;        /* the entry that samples go through, of budgets too; NULL: the first that reads the weight */
    const char *data;      /* "NAME=SOURCE ...": what the budget is measured on */
    double budget;         /* the share of a result of `on` that may be lost; negative: no budget */
    Loc loc;               /* of the directive */
} Quant;

typedef enum { SLOT_PARAM, SLOT_STATE, SLOT_CACHE } SlotKind;

struct Slot {
    const char *path; /* "net.0.weight"; optimizer slots "opt.m.net.0.weight"; counters "opt.step.net.0.weight" (i64) */
    SlotKind kind;
    Type type;        /* static for params and states; caches may have named sizes */
    bool optimizer;   /* a state that belongs to an optimizer (saved on request) */
    bool frozen;      /* never changed: no store in any entry */
    const void *data; /* value loaded at compile time (bytes of type, row-major), or NULL: the init graph's */
    Quant quant;      /* asked for by `quantize`; none again after the pass */
    Loc loc;
    int index;
};

/* A weight that an entry computes with as if it were quantized; it stays what it is. */
typedef struct Fake {
    Slot *slot;
    Quant quant;
} Fake;

typedef struct EntryInput {
    const char *name;
    Type type;
    Loc loc;
} EntryInput;

struct Entry {
    const char *name;
    const char *symbol; /* of the C function, if not PROGRAM_ENTRY; or NULL */
    bool train;
    Graph *graph;
    int n_sizes, n_inputs;
    SizeName **sizes;   /* in order of first appearance: arguments of the C function */
    EntryInput *inputs; /* rank 0: passed by value */
    struct Recompute *recompute; /* what its gradients are to compute again (passes/passes.h); NULL: what @checkpoint says */
    LIST(Fake) fakes;   /* the last one of a slot counts; none after the pass fake */
    uint32_t draws;     /* random sites used: the entry has a step counter if not 0 */
    Loc loc;
};

/* A limit on bytes of the artifact, or on a call's memory: names are those of runtime/sizes.h. */
typedef struct Budget {
    const char *name;
    int64_t bytes;
    Loc loc; /* source NULL: from the command line */
} Budget;

/* What quantization may cost: a comparison with a scalar result of an entry, measured while the program is compiled. */
typedef struct Accuracy {
    const char *text;   /* "accuracy>=0.98*float", for messages */
    const char *result; /* NULL: the first scalar */
    bool most;          /* <=, else >=; where result is NULL: decided by its name */
    double factor, add; /* the limit: factor * what the float program gives + add */
    const char *on;     /* the entry; NULL: that of `run { test = .. }` */
    const char *data;   /* "NAME=SOURCE ..."; NULL: that of `run { test_data = .. }` */
    Loc loc;            /* source NULL: from the command line */
} Accuracy;

/* What flows into products with a weight that `quantize` marks, over samples. */
typedef struct Observed {
    const char *path;       /* of the weight, ".input" for its ".weight" or behind another name: "net.0.input"; or ".pooled" */
    double lo, hi;          /* the range that codes are to cover: lo <= 0 <= hi */
    const char *method;     /* how that follows from what was seen: one of range_names */
    double clipped;         /* share of the elements seen that lie beyond it */
    int64_t length;         /* of a row: elements that a product sums over */
    double *gram;           /* [length, length]: X^T X of the rows seen; NULL: not asked for, or not possible */
    int64_t rows;           /* in gram */
} Observed;

/* What became of a quantized weight. */
typedef struct Quantized {
    const char *path;
    QuantScheme scheme;
    int group;
    bool one_scale, zero_point, gptq;
    Activations activations;
    int64_t before, after;      /* bytes: of the weight; of codes, scales and zeros */
    bool measured;              /* its values are known at compile time, and the rest was asked for */
    double signal, kept, both;  /* sums of w^2, of v^2, of w v: w the weight, v what its codes stand for */
    double error;               /* of (w - v)^2 */
    double least, most;         /* of w */
    int64_t count, clipped;     /* elements; those that codes of rounding to nearest do not reach */
} Quantized;

struct Program {
    Arena *arena;
    SizeTable *sizes;
    const char *name;   /* prefix of exported names */
    LIST(Slot *) slots;
    LIST(Entry *) entries;
    Graph *init;        /* EFFECT_STORE of every slot: initial values (those with `data` too, for reset and documentation) */
    const char *run_json; /* `run { }` as JSON text or NULL */
    const char *target;   /* `target { cpu... }` or NULL */
    const char *source_path;
    bool tf32;            /* `precision { compute = tf32; }`: what products of f32 multiply may be rounded to tf32, where a device has units for that */
    int64_t memory;       /* bytes that a call may take, of `target { memory = }`; 0: not said */
    LIST(Budget) budgets; /* `budget { }` */
    LIST(Accuracy) accuracies;
    LIST(const char *) files; /* what was read beside the program's own: imports, weights; each once, in order */
    LIST(Quantized) quantized; /* by the pass */
    bool measure_quantized;    /* fill what `measured` speaks of: takes time */
    LIST(Observed) observed;   /* calibration */
    bool observe;              /* the pass quantize leaves weights alone: entries give out what fills `observed` (passes/observe.c) */
};
const Observed *program_observed(const Program *p, const char *path); /* NULL: not seen */
const char *observed_path(Arena *arena, const char *weight);          /* "net.0.input" of "net.0.weight" */
const char *pooled_path(Arena *arena, const char *weight);           /* "net.0.pooled": what sums and means in front of it are taken of */
const char *range_path(Arena *arena, const char *observed);          /* "net.0.input.range" of "net.0.input": the state f32[2] that training for codes moves */
void program_file(Program *p, const char *path); /* adds to files */

/* ---- the table of operations (ir/op.c) */
typedef struct OpRow {
    const char *name;
    int n_in;
    unsigned attrs;
    OpClass class;
    const char *help;
} OpRow;
const OpRow *op_row(Op op);
bool op_parse(const char *name, Op *op);
bool op_moves(Op op); /* it takes types that are stored only (dtype_is_kept): it computes nothing with its operands, or casts them */

/* ---- making nodes (ir/graph.c). The type is inferred; inconsistent operands are our fault: bug(). */
Graph *graph_new(Arena *arena, Program *program);
Node *graph_add(Graph *g, Op op, const Attrs *attrs, int n, Node *const *in);
void graph_result(Graph *g, const char *name, Node *value);
void graph_effect(Graph *g, Effect e);
Node *graph_arg(Graph *g, Type type); /* next argument of a body */

Type type_of(DType d, int rank, const Size *dim);
Type type_scalar(DType d);
bool type_equal(const Type *a, const Type *b);
Size type_count(const Graph *g, const Type *t); /* number of elements */
Type type_packed(SizeTable *t, const Type *type); /* as bytes hold it: i4[.., n] and u4[.., n] are u8[.., ceil(n / 2)], the first in the lower half; else as it is */
int64_t type_fixed_bytes(const Type *t);              /* of fixed sizes, as bytes hold it; -1: too many */
const char *type_text(Arena *a, const Type *t); /* f32[batch, 784], f32[]: in the text form of graphs */
const char *type_said(Arena *a, const Type *t); /* f32[batch, 784], f32: as the language writes it, for users */

/* Short forms; all of them fold nothing but what is an identity (a reshape to the same shape gives x itself). */
Node *node_const(Graph *g, Type type, double number);
Node *node_scalar(Graph *g, DType d, double number);
Node *node_map1(Graph *g, Op op, Node *x);
Node *node_map2(Graph *g, Op op, Node *a, Node *b);
Node *node_map3(Graph *g, Op op, Node *a, Node *b, Node *c);
Node *node_cast(Graph *g, Node *x, DType d);
Node *node_reshape(Graph *g, Node *x, int rank, const Size *dim);
Node *node_permute(Graph *g, Node *x, const int *order);
Node *node_expand(Graph *g, Node *x, int rank, const Size *dim);
Node *node_expand_like(Graph *g, Node *x, Node *like);
Node *node_slice(Graph *g, Node *x, const Size *lo, const Size *hi);
Node *node_reduce(Graph *g, ReduceFn fn, Node *x, int n_axes, const int *axes);
bool node_follows_codes(const Node *n); /* a view, or a map that takes and gives codes of a quantized layer; factors are up to who asks */
bool node_is_statistic(const Node *n); /* a reduction that leaves one axis, and not the first: what a norm takes of its batch */
Node *node_contract(Graph *g, Node *a, Node *b, const char *la, const char *lb, const char *lo);
Node *node_get(Graph *g, Node *x, int index);
int node_results(const Node *n); /* how many: 1, or those of a scan, call, custom or grad, read by get */

/* A leaf or a random node: their type is not inferred but given (graph_add takes it from attrs.dtype, n_shape, shape). */
Node *node_leaf(Graph *g, Op op, const Attrs *attrs, Type type);

/* Copies node n of another graph with operands in[]; attributes, place, path, name, recompute go along. */
Node *graph_copy_node(Graph *g, const Node *n, Node *const *in);
/* Puts a body in line: its nodes and effects go into g with args[] for its arguments; results[] are its results, in g. */
void graph_inline(Graph *g, const Graph *body, Node *const *args, Node **results);

/* ---- names for C (c_names.c) */
const char *entry_symbol(Arena *a, const Program *p, const Entry *e); /* of the function of an entry */
bool c_keyword(const char *word);                                     /* of C or C++ */

/* ---- text (print.c, parse.c), verifier (verify.c) */
void graph_print(FILE *f, const Graph *g, const char *header_indent);
void program_print(FILE *f, const Program *p);                       /* all entries and init: the text of --emit=graph; parses back */
Program *program_parse(Arena *a, const Source *s, Diag *d);          /* NULL after errors */
/* Every rule on every node; the first violation is described in message and false returned. pass: name of the pass that ran last. */
bool graph_verify(const Graph *g, Arena *arena, const char **message);
bool program_verify(const Program *p, Arena *arena, const char **message);
/* After the pass grad: no op of CLASS_MARK, bodies included. */
bool graph_verify_no_marks(const Graph *g, Arena *arena, const char **message);

/* ---- gradients: one rule an op (op_*.c), the sweep is passes/grad.c */
typedef struct GradRule {
    Graph *g;     /* where to emit */
    Node *y;      /* the node, in g */
    Node *dy;     /* gradient of its result; of nodes with several results: dys[] (entries may be NULL) */
    Node **dys;
    Node **dx;    /* out: gradient of each operand, NULL for none; dx[i] is only wanted where want[i] */
    const bool *want;
} GradRule;
typedef void GradFunction(GradRule *r);
GradFunction *op_grad(Op op); /* NULL: no derivative (integer results, draws) */

#endif
