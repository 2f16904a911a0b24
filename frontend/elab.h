/* elab.h -- what the files elaborate_*.c share: values, scopes, instances, and the state of one elaboration. Not for others.
 *
 * How to read elaboration: elaborate.c (declarations, directives, the end), elaborate_entry.c, then elaborate_expr.c (one
 * function a kind of expression), elaborate_call.c (arguments and sizes), elaborate_instance.c (members by path),
 * elaborate_stmt.c; the rest is by topic.
 *
 * Errors leave by longjmp to the nearest elab_guard (a declaration, a statement of an entry), which is safe because everything
 * lives in one arena and all that changes on the way down is `cx`, which the guard restores. */
#ifndef FRONTEND_ELAB_H
#define FRONTEND_ELAB_H
#include "frontend/ast.h"
#include "frontend/elaborate.h"
#include "frontend/weights.h"
#include "ir/arena.h"
#include "ir/diag.h"
#include "ir/graph.h"

#include <setjmp.h>

typedef struct Elab Elab;
typedef struct Value Value;
typedef struct Env Env;
typedef struct Inst Inst;
typedef struct Weight Weight;
typedef struct Call Call;
typedef struct Body Body;

/* ---- values */
typedef enum {
    V_NONE,    /* the argument that was not given */
    V_BOOL, V_INT, V_NUM, V_STR,
    V_SIZE,    /* a whole number made of run-time sizes; constants are V_INT */
    V_TYPE, V_TENSOR, V_TUPLE, V_LIST, V_RANGE, V_FN, V_BUILTIN, V_LAYER, V_INST, V_WEIGHT, V_MODULE,
    V_FILE,    /* f of `load .. as f` */
    V_FILEREF, /* f["name"] */
    V_POISON   /* what a statement with an error would have made: whoever touches it fails silently */
} ValueKind;

typedef struct TypeV { /* a type with sizes; `policy`: written `float` */
    Type type;
    bool policy;
} TypeV;

typedef struct ValueList {
    LIST(Value) item;
    const char *path; /* of a list of layers: "net"; NULL otherwise */
} ValueList;

typedef struct Range {
    Size from, to;
} Range;

typedef struct FnV {
    const Ast *decl;
    Env *env;         /* where it was declared */
    const char *name; /* of messages */
    Inst *inst;       /* whose function it is, or NULL */
} FnV;

typedef struct LayerV {
    const Ast *decl;
    Env *env;
    const char *name;
} LayerV;

typedef struct Builtin Builtin;
typedef struct FileRef FileRef;

struct Value {
    ValueKind kind;
    bool policy;     /* V_TENSOR: its type is `float`; the node has the type that `precision` says, or f32 */
    bool weak;       /* V_TENSOR: a number made of run-time sizes; takes the type of what it meets */
    bool tf32;       /* V_TYPE: f32, said of a precision whose products may be in tf32 */
    const char *tag; /* V_TENSOR: "softmax" when it came straight from there */
    union {
        bool truth;
        int64_t whole;
        double number;
        const char *text;
        Size size;
        TypeV *type;
        Node *node;
        ValueList *list; /* V_TUPLE, V_LIST */
        Range *range;
        FnV *fn;
        const Builtin *builtin;
        LayerV *layer;
        Inst *inst;
        Weight *weight;
        Env *module;
        FileRef *file;
    };
};

Value value_none(void);
Value value_bool(bool b);
Value value_int(int64_t i);
Value value_num(double d);
Value value_str(const char *s);
Value value_size(Size s); /* V_INT if constant */
Value value_tensor(Node *n, bool policy);
Value value_type(Elab *el, Type t, bool policy);
Value value_tf32(Elab *el);
TypeV float_type(const Elab *el);                /* what `float` is here, without sizes; of initial values that of weights */
Value value_bound(Elab *el, Value v);            /* a `float` where f32 flows is f32; others as they are */
Node *value_widened(Elab *el, Node *n, DType *narrow); /* of 16 bits: as f32, and *narrow its type; else n, and DT_COUNT */
Value value_list(Elab *el, ValueKind kind);
void list_push(Elab *el, Value list, Value item);

static inline bool is_number(Value v) { return v.kind == V_INT || v.kind == V_NUM || v.kind == V_SIZE; }
static inline bool is_size(Value v) { return v.kind == V_INT || v.kind == V_SIZE; }
static inline bool is_tensor(Value v) { return v.kind == V_TENSOR; }
static inline bool is_strong(Value v) { return v.kind == V_TENSOR && !v.weak; }
static inline bool is_numeric(Value v) { return is_number(v) || (v.kind == V_TENSOR && v.weak); }
static inline bool is_callable(Value v) {
    return v.kind == V_FN || v.kind == V_BUILTIN || v.kind == V_INST || (v.kind == V_LIST && v.list->path);
}
static inline const Type *tensor_type(Value v) { return &v.node->type; }
static inline DType tensor_dtype(Value v) { return v.node->type.dtype; }
/* What it is to whoever checks: programs are right or wrong under any policy. */
static inline DType type_checked(DType d, bool policy) { return policy ? DT_F32 : d; }
static inline DType tensor_checked(Value v) { return type_checked(v.node->type.dtype, v.policy); }
static inline int tensor_rank(Value v) { return v.node->type.rank; }
Size value_as_size(Elab *el, Value v); /* of V_INT, V_SIZE */
bool value_same(Value a, Value b);     /* compile-time == */

const char *value_kind_name(Value v);           /* "tensor", "layer", "Linear instance", ... */
const char *value_a(Elab *el, Value v);         /* "a tensor", "an int", "none" */
const char *text_a(Elab *el, const char *word); /* with its article */
const char *value_text(Elab *el, Value v);      /* "784", "0.5", "float[batch, 10]", "Linear" */
const char *number_text(Arena *a, double d);    /* shortest text that reads back, with a point or exponent */
const char *tensor_text(Elab *el, Value v);
const char *typev_text(Elab *el, const TypeV *t);
const char *dims_text(Elab *el, int n, const Size *dim); /* "batch, 1" */
const char *dtype_text(const TypeV *t);                  /* "float" or its name */

/* ---- scopes */
typedef enum { ENV_STD, ENV_FILE, ENV_LAYER, ENV_CALL, ENV_BLOCK } EnvKind;

typedef struct Var {
    const char *name;
    Value value;
    bool pending;    /* a size in brackets that no argument has bound yet */
    const Ast *decl; /* of a file's name: where it is declared; or NULL */
} Var;

struct Env {
    Env *up;
    EnvKind kind;
    Inst *inst; /* ENV_LAYER: whose members are visible here */
    const Source *source;
    const char *prefix; /* ENV_FILE: of -D names: "llama." */
    LIST(const Ast *) items; /* ENV_FILE: its own, and those imported without a name: what an `if` hides is declared, too */
    bool open;          /* ENV_FILE: an import failed: names may come from there */
    LIST(Var) vars;
    int *index; /* of many variables: an open hash table of 1 + their place in vars, n_index entries, a power of two */
    int n_index;
};

Env *env_new(Elab *el, Env *up, EnvKind kind);
Var *env_own(Env *e, const char *name);                   /* of this scope only, or NULL */
Var *env_set(Elab *el, Env *e, const char *name, Value v);
Env *env_find(Elab *el, Env *e, const char *name);        /* the scope that has the name, or NULL */
/* "did you mean `x`?" as a help of the fault, if a name in scope (or in the list) is near. */
typedef LIST(const char *) Names;
void env_names(Elab *el, Env *e, Names *names);
void names_push(Elab *el, Names *names, const char *name);
const char *names_closest(const Names *names, const char *name); /* or NULL */

/* ---- instances and weights */
typedef struct Pack { /* what `...` stands for */
    int rank;
    Size dim[MAX_RANK];
} Pack;

typedef struct Segment { /* of a path: name, [index], [*] */
    const char *name;
    int64_t index;
    bool star;
} Segment;

typedef struct Over { /* one replacement of `with { path = value; }`, seen from the instance it stands at */
    struct Over *next;
    const Segment *segment;
    int n;
    const Ast *path, *value;
    Env *env;
    bool *used;
} Over;

typedef struct InstDim {
    const char *name;
    Size size; /* NULL: not known yet */
    const Ast *from;
} InstDim;

typedef struct Member {
    const char *name;
    const Ast *decl;
    bool busy, broken; /* being made; making it failed */
    Value value;
} Member;

struct Inst {
    LayerV *layer;
    Env *env;
    const char *path;
    Over *over;
    const Ast *node; /* where it is made */
    LIST(InstDim) dims;
    bool has_pack, pack_bound, called;
    bool checkpoint; /* @checkpoint: in training, gradients compute its call again */
    bool asked, moved; /* in a train entry it asked for `training`; it drew random numbers or set its state (W0805) */
    Pack pack;
    LIST(Member *) members; /* those made so far */
    LIST(Var) args;
};

/* One slot: a weight, or one optimizer state of one parameter. */
typedef struct SlotInfo {
    Weight *weight; /* NULL: a counter or pending sum of minimize */
    const char *path, *for_path; /* for_path: the parameter an optimizer state belongs to */
    SlotKind kind;
    TypeV type;
    double first; /* without a weight: the initial value */
    const char *range_of; /* what it is the range of (slot_range): "net.0.input", "net.0.pooled"; or NULL */
    bool optimizer;
    bool kept, touched;  /* in an entry that is kept */
    bool stored;         /* by some kept entry */
    Node *load, *now;    /* in the entry being elaborated */
    Node *read, *read_from; /* a value of it as the `float` that was last asked for */
    bool reset;          /* by it, and not read or assigned since: its value is the initial one, which is made when it is read */
    Loc loc;
    const void *data;    /* loaded at compile time, or NULL */
    const Ast *init;     /* the `init` directive that won, or NULL */
    Slot *slot; /* in the program from the start; renumbered at the end */
} SlotInfo;

struct Weight {
    SlotKind kind;
    const char *path, *name;
    const Ast *decl;
    Inst *inst; /* or NULL: of the file */
    Env *env;
    LIST(SlotInfo *) slots; /* one; of optimizers one a parameter */
    bool trained, excepted; /* a minimize selects it; a selection names it after `except` */
    bool read, written;     /* by a statement of an entry */
};

/* ---- the dynamic context: saved and restored as a whole */
typedef struct Frame { /* of the call trace */
    struct Frame *up;
    const Ast *call;      /* place of the call */
    ValueList *list;      /* a list of layers: its trail */
    int at;               /* element that runs */
    Value x;              /* what it was given */
    LIST(const char *) trail;
    int depth;
} Frame;

typedef struct Context {
    Graph *g;           /* where nodes go; NULL while only declarations are read */
    Body *body;         /* of the scan around, or NULL */
    bool training;
    bool wide;          /* a call that f32 goes into: its `float` is f32 */
    const Pack *pack;   /* what `...` means, or NULL */
    const char *build;  /* path of the instance being made; NULL inside functions */
    Over *over;
    Inst *inherit;      /* `with`: arguments not given come from here */
    Inst *self;         /* the instance whose function runs, or NULL */
    Frame *frame;
    Env *env;           /* scope of the call (patterns look names up here) */
    const char *slot_of; /* parameter for which an optimizer runs */
    Loc user;           /* innermost place in a file of the user */
    bool collecting;    /* inside the block of `load .. as` */
    int region;         /* number of the @checkpoint call around, or 0 */
    Body *region_body;  /* of the scan in which that call stands, or NULL */
} Context;

/* ---- faults of the user */
typedef struct Fault {
    Loc at;
    bool library;    /* the fault is inside std: `at` is the user's call */
    Loc inner;
    int code;
    const char *message, *label;
    LIST(const char *) facts;
    LIST(const char *) helps;
    LIST(Loc) place;
    LIST(const char *) place_label;
} Fault;

Loc caret(const Ast *n); /* where a caret stands for this node */
Fault *fault(Elab *el, const Ast *at, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));
Fault *fault_at(Elab *el, Loc at, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));
void fault_label(Elab *el, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fault_fact(Elab *el, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fault_help(Elab *el, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fault_close(Elab *el, const Names *names, const char *name); /* did you mean */
void fault_place(Elab *el, const Ast *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fault_throw(Elab *el) __attribute__((noreturn));
void fault_silent(Elab *el) __attribute__((noreturn)); /* of poison: already reported */
void not_yet(Elab *el, const Ast *at, const char *what) __attribute__((noreturn)); /* "WHAT is not supported yet" */
void elab_warn(Elab *el);  /* reports the fault begun as a warning and goes on */
void elab_error(Elab *el); /* as an error, and goes on */
/* Runs f(el, arg); false if it failed (the context is as before then). */
bool elab_guard(Elab *el, void (*f)(Elab *el, void *arg), void *arg);

/* ---- the elaboration */
typedef struct Top { /* a member of the file: instance, list, weight */
    const char *name;
    Value value;
} Top;

typedef LIST(Value) Values;

typedef struct LossScale { /* what the loss is multiplied by before gradients are taken, and they are divided by */
    double factor;         /* 0: nothing */
    bool dynamic;          /* found while training, instead */
} LossScale;

typedef struct Precision { /* of weights declared `float`, as they are stored, and of `float` where nothing else goes in */
    DType params, compute;
    DType caches; /* of caches declared `float`, as they are stored; DT_COUNT: as compute */
} Precision;

typedef struct Frozen { /* one `freeze`: instances, lists and weights */
    Values what, except;
} Frozen;

typedef LIST(Weight *) WeightList;

typedef struct Beside {
    const Ast *group; /* matrices(net) */
    Weight *weight;
} Beside;

typedef struct EntryQuantize { /* a `quantize` that an entry executed */
    Entry *entry;
    const Ast *st;
} EntryQuantize;

struct Elab {
    Arena *arena;
    Diag *diag;
    const ElabOptions *options;
    Program *program;
    LIST(const Ast *) devices; /* the attributes @device, in order */
    Env *prelude, *file;
    Context cx;
    jmp_buf *catch;
    Fault fault;
    LIST(Top) tops;
    LIST(const Ast *) items; /* of the file, with `if` resolved */
    LIST(SlotInfo *) slots;  /* in order of creation */
    LIST(EntryQuantize) quantized;
    LIST(Observed) ranges;   /* of what flows into weights that were loaded, where their file has them */
    Entry *running;          /* the entry that is executed */
    LIST(Over *) overs;      /* all replacements, to find those that match nothing */
    LIST(Frozen) frozen;      /* in this entry */
    LIST(Frozen) ever_frozen; /* in all entries */
    LIST(Beside) beside;     /* vectors of networks of which a minimize names the matrices (W0807) */
    bool trains, moved;      /* there is a minimize; an instance is `asked` and `moved` */
    LIST(Member *) making;   /* members on the way */
    Names told;              /* names that were reported as unknown */
    Loc statement;           /* that check_names looks at, or no place */
    Precision precision;
    LossScale loss_scale;    /* of `precision`: of every minimize that has none of its own */
    bool *define_used;
    bool impossible;         /* with these -D an assertion of the file is false: what follows from it is not worth telling */
    const char **importing;  /* files being read, to find cycles */
    int n_importing;
    int64_t steps;
    int depth;
    /* the entry being elaborated */
    Graph *root;
    const Ast *entry;
    const char *entry_name;
    bool entry_kept, minimized, returned;
    Value result;
    uint32_t site, draws;
    int regions;         /* @checkpoint calls of the entry so far */
    /* initial values: draws count down from 2^64 - 1 */
    bool initial;
    LIST(uint32_t) sites;
    /* load .. as f { } */
    struct LoadMap *load_map;
};

/* ---- elaborate_expr.c */
Value ev(Elab *el, const Ast *n, Env *env);
Value ev_raw(Elab *el, const Ast *n, Env *env);  /* a weight stays a V_WEIGHT */
Value ev_rhs(Elab *el, const Ast *n, Env *env);  /* expression or scan */
Value ev_const(Elab *el, const Ast *n, Env *env); /* not a tensor, not a run-time size: E0405 */
bool ev_condition(Elab *el, const Ast *n, Env *env);
Value ev_type(Elab *el, const Ast *t, Env *env);  /* TYPE or DTYPE node */
Value ev_index(Elab *el, const Ast *n, Env *env);
void ev_sequence(Elab *el, const Ast *n, Env *env, Values *out); /* what `for` runs over */
Size ev_dim(Elab *el, const Ast *n, Env *env);
Value value_tensor_of(Elab *el, Value v, const Ast *n); /* a weight becomes its tensor */
void at(Elab *el, const Ast *n); /* nodes made from here on come from n */

/* ---- elaborate_arith.c: operators */
Value arith_binary(Elab *el, const Ast *n, const char *op, Value a, Value b, const Ast *an, const Ast *bn);
Value arith_unary(Elab *el, const Ast *n, const char *op, Value v);
typedef struct Common { /* the element type of several operands; found: false if all are numbers */
    DType dtype;
    bool policy, found;
} Common;
Common common_type(Elab *el, const Ast *at, int count, const Value *v, const Ast *const *n);
void common_shape(Elab *el, const Ast *at, const char *name, int count, const Value *v, const Ast *const *n, Type *shape);
Value number_map(Elab *el, Value v, const Ast *n, Op op); /* of a number: folded, or a weak tensor */
double number_value(Value v);                             /* of V_INT, V_NUM */
Node *operand(Elab *el, Value v, const Type *want); /* number or tensor as a node of exactly this type, stretched */
Node *scalar_of(Elab *el, Value v, DType d);        /* number or tensor of rank 0 as a scalar node */
bool dims_equal(int n, const Size *a, int m, const Size *b);
bool dims_fit(int n, const Size *a, int m, const Size *b);
void hint_broadcast(Elab *el, int na, const Size *a, int nb, const Size *b, const Ast *an, const Ast *bn);
Value size_compare(Elab *el, const char *op, Value a, Value b);
/* An entry check that a >= b, unless known; known to be false: false is returned and nothing made. */
bool require_ge(Elab *el, Size a, Size b, const char *text);
void require_divides(Elab *el, Size a, Size b, const char *text);

/* ---- elaborate_emit.c: nodes */
int region_mark(const Elab *el); /* Node.recompute of what is made here */
Node *use(Elab *el, Node *n); /* the node as seen from the graph being built: captures across a scan's border */
void kept_only(Elab *el, DType d); /* refuses to compute with a type that is for storing */
Node *emit(Elab *el, Op op, const Attrs *attrs, int n, Node *const *in);
Node *emit1(Elab *el, Op op, Node *a);
Node *emit2(Elab *el, Op op, Node *a, Node *b);
Node *emit3(Elab *el, Op op, Node *a, Node *b, Node *c);
Node *emit_gather(Elab *el, Node *x, Node *ids, const Attrs *attrs); /* axis and flag */
Node *emit_where(Elab *el, Node *condition, Node *yes, Node *no); /* condition: a scalar; yes and no of one type */
Node *emit_const(Elab *el, Type t, double number);
Node *emit_whole(Elab *el, Type t, int64_t whole);
Node *emit_scalar(Elab *el, DType d, double number);
Node *emit_size(Elab *el, Size s, DType d); /* a scalar of dtype d */
Node *emit_iota(Elab *el, Type t, int axis);
Node *emit_data(Elab *el, Type t, const void *data);
Node *emit_cast(Elab *el, Node *x, DType d);
Node *emit_expand(Elab *el, Node *x, int rank, const Size *dim);
Node *emit_reshape(Elab *el, Node *x, int rank, const Size *dim);
Node *emit_permute(Elab *el, Node *x, const int *order);
Node *emit_slice(Elab *el, Node *x, const Size *lo, const Size *hi);
Node *emit_reduce(Elab *el, ReduceFn fn, Node *x, int n_axes, const int *axes);
Node *emit_contract(Elab *el, Node *a, Node *b, const char *la, const char *lb, const char *lo);
Node *emit_get(Elab *el, Node *x, int index, Type type);
void emit_check(Elab *el, Node *ok, const char *text);
/* Every element of ids is in 0..size - 1: nothing if known, E0409 if known to be wrong, else an effect. name: of messages. */
void emit_index_range(Elab *el, Node *ids, Size size, const char *name, const Ast *at);
Size emit_size_const(Elab *el, int64_t n);

/* ---- elaborate_slot.c: current values of weights, states, caches */
const TypeV *weight_type(Elab *el, Weight *w, const Ast *n);
SlotInfo *weight_slot(Elab *el, Weight *w, const Ast *n);
Value weight_value(Elab *el, Weight *w, const Ast *n);
SlotInfo *slot_extra(Elab *el, const char *path, const char *for_path, Type type);
/* f32[2], 0 at first: what flows into products with the weight, or what sums in front of these are taken of; kept. */
SlotInfo *slot_range(Elab *el, const char *weight, bool pooled, Loc loc);
Node *slot_get(Elab *el, SlotInfo *s);
/* Its value here if it has been read or changed, and what it was when the entry, or the step of the scan around, began; or
 * NULL. */
Node *slot_now(Elab *el, SlotInfo *s, Node **first);
void slot_set(Elab *el, SlotInfo *s, Node *value); /* detached */
void slot_reset(Elab *el, SlotInfo *s);
Node *slot_initial(Elab *el, SlotInfo *s);         /* its initial value, as nodes of the current graph */
void slots_begin_entry(Elab *el);

/* ---- elaborate_quantize.c */
void ev_quantize(Elab *el, const Ast *it, Env *env);          /* `quantize SEL with SCHEME`: marks slots */
void ev_quantize_entry(Elab *el, const EntryQuantize *q);    /* what an entry computes with */
/* Is what flows into products with the weight in g made of sums or means (passes/quantize_pool.c), by what codes may follow? Where it says so
 * too often, there is a range that nothing moves. */
bool stands_behind_pool(const Elab *el, const Graph *g, const Slot *weight);
bool learns_range(Elab *el, const char *weight); /* does a directive before this place of the entry learn the range of what flows into it? */
void load_ranges(Elab *el);    /* what `load` found of ranges that training moved becomes the value of their slots */
void observe_ranges(Elab *el); /* and, with that of --load, stands for calibration where there is none */
const Ast *quantize_option(Elab *el, const char *text);       /* --quantize='SEL: SCHEME' as that directive; NULL: reported */

/* ---- elaborate_scan.c */
Value ev_scan(Elab *el, const Ast *st, Env *env);
Node *body_slot(Elab *el, Body *b, SlotInfo *s);
Node *body_slot_now(Body *b, SlotInfo *s, Node **first); /* as slot_now */
void body_slot_set(Elab *el, Body *b, SlotInfo *s, Node *value);
Node *body_use(Elab *el, Body *b, Node *n);
Node *iteration(Elab *el); /* number of the iteration, nested ones counted through: the extra operand of draws; NULL outside of scans */
/* The value r of a function with a `gradient` block: x are its float arguments, scope has its arguments. */
Value custom_gradient(Elab *el, const Ast *gradient, Env *scope, Value r, int n, const Value *x);
void body_yield(Elab *el, const Ast *n, Value v);
void body_stop(Elab *el, const Ast *st, Value condition);
Node *body_stopped(Elab *el); /* bool scalar: an earlier `stop if` has ended this step; NULL: there is none */

/* ---- elaborate_entry.c */
void elab_entries(Elab *el);
void elab_overs_used(Elab *el); /* E0503 for replacements that matched nothing */

/* ---- exports.c */
const char *export_name(Elab *el, const Ast *entry); /* of its @export; NULL: none */
void exports_check(const Program *p, Diag *diag);    /* E0616: two functions of one name */

/* ---- elaborate_call.c */
typedef struct Arg {
    Value value;
    const Ast *node;
    const char *name; /* NULL: by position */
} Arg;
typedef LIST(Arg) Args;
Value call_value(Elab *el, Value f, Args *args, const Ast *node);
void call_args(Elab *el, const Ast *args, Env *env, Value f, Args *out);
const char *signature(Elab *el, const Ast *decl, const char *name);
typedef struct Matching { /* what one signature binds */
    Env *env;
    const Pack *pack;
    Pack own;
    const char *pack_from;
    const Ast *pack_node;
    Names bound, bound_by;
    const FnV *of; /* whose signature a message shows, or NULL */
    bool result;
} Matching;
Value match(Elab *el, Matching *m, const Ast *type, Value v, const Ast *node, const char *what, bool late, bool *again);
Value match_results(Elab *el, const Ast *result, Value r, Matching *m, const char *name);
Value run_block(Elab *el, const Ast *body, Env *env); /* of a function: what it returns */

/* ---- elaborate_instance.c */
Value build(Elab *el, const Ast *e, Env *env, const char *path, Over *over);
Value instantiate(Elab *el, LayerV *layer, const Ast *node, Args *args);
bool inst_has(Elab *el, Inst *i, const char *name);
void inst_attributes(Value v, const Ast *decl); /* what the attributes of its declaration say of an instance, or of each of a list */
Value inst_get(Elab *el, Inst *i, const char *name, const Ast *n); /* V_POISON: does not exist in this variant */
InstDim *inst_dim(Inst *i, const char *name);
void inst_names(Elab *el, Inst *i, Names *names);
const Ast *inst_call_fn(Elab *el, Inst *i);
typedef void Visit(Elab *el, void *arg, const char *name, Value child);
void value_children(Elab *el, Value v, Visit *visit, void *arg);
void value_weights(Elab *el, Value v, WeightList *out); /* all below, in order of declaration */
const char *value_path(Value v);
bool frozen_by(const Frozen *f, const char *path);
bool is_frozen(Elab *el, const char *path);
bool is_excepted(Elab *el, const char *path);        /* not frozen, though something around it is */
bool values_hold(const Values *v, const char *path); /* the path, or a part that it lies in, is one of them */
Over *overs_of(Elab *el, const Ast *withs, Env *env);
Over *overs_below(Elab *el, Over *all, const char *name, int64_t index); /* what is left for this member or element */

/* ---- elaborate_select.c: paths and selections */
void select_values(Elab *el, const Ast *n, Env *env, Values *out);
void select_weights(Elab *el, const Ast *sels, Env *env, WeightList *out); /* with `except` */

/* ---- elaborate_stmt.c */
bool exec_block(Elab *el, const Ast *b, Env *env); /* true: returned; the value is el->result */
bool exec(Elab *el, const Ast *st, Env *env);
void bind_pattern(Elab *el, const Ast *pattern, Value v, Env *env, bool guard);
void assign(Elab *el, const Ast *target, Value v, Env *env, const Ast *from);
Node *index_update(Elab *el, const Ast *n, Value b, Value v, Env *env); /* b with the slice that n names replaced */
void need_condition(Elab *el, const Ast *condition, Value c, const char *statement); /* E0406 unless c is one bool */
void ev_assert(Elab *el, const Ast *st, Env *env);

/* ---- elaborate_names.c */
typedef enum { NAME_VALUE, NAME_TARGET, NAME_SIZE, NAME_NEW_SIZE } NameUse;
/* Begins the fault E0101 or E0206 of a name that no scope has. Fails silently where it may come from an import that failed. */
void unknown_name(Elab *el, const Ast *n, Env *env, NameUse use);
/* The next {name} of a string: where it begins, and where it ends; NULL: there is none. */
const char *string_brace(const char *text, const char **end);
const Ast *string_name(Elab *el, const Ast *string, const char *brace, const char *end); /* the name, at its place */
/* Names that elaboration did not look up, because nobody calls the function or the branch is not taken: E0101, E0206, E0503. */
void check_names(Elab *el, const Ast *items, Env *file);

/* ---- elaborate_lint.c */
void lint_moved(Elab *el, Inst *i); /* in training mode: it draws, or its state is set; i may be NULL */
void lint_program(Elab *el, void *file); /* an Ast; for elab_guard, after the initial values are made */

/* ---- elaborate_minimize.c, elaborate_load.c */
void ev_minimize(Elab *el, const Ast *st, Env *env);
LossScale read_loss_scale(Elab *el, const Ast *n, Env *env); /* a number, or the word `dynamic` */
void ev_load(Elab *el, const Ast *st, Env *env);
void load_assign(Elab *el, const Ast *target, Value v, Env *env, const Ast *st);
Value load_ref(Elab *el, Value file, const char *name, const Ast *n);
Value load_member(Elab *el, Value ref, const char *member, const Ast *n);
Value load_slice(Elab *el, Value ref, const Ast *n, Env *env);
Value load_concat(Elab *el, Call *c);
void load_option(Elab *el, const char *path); /* --load */

/* ---- elaborate_builtin.c and those beside it */
struct Call { /* of a builtin: arguments in the order of its row */
    const Builtin *fn;
    const Ast *node;
    int n; /* arguments given, of a varying number of them: in `rest` */
    Arg arg[10];
    Args rest;
};
typedef Value BuiltinFn(Elab *el, Call *c);
struct Builtin {
    const char *name;
    const char *params; /* "x axis? keep?"; "*" in front: any number, see rest */
    BuiltinFn *fn;
};
/* Each ends with a row of NULLs. */
extern const Builtin builtins_map[], builtins_shape[], builtins_make[], builtins_pattern[], builtins_effect[],
    builtins_window[], builtins_sample[];
Value call_builtin(Elab *el, const Builtin *b, Args *args, const Ast *node);
Node *need_tensor(Elab *el, const Arg *a);
void need_float(Elab *el, const Arg *a);
int need_axis(Elab *el, const Arg *a, int rank, const Node *x); /* one axis, 0.. */
int64_t need_int(Elab *el, const Arg *a, const char *what);
Size need_size(Elab *el, const Arg *a, const char *what);
const TypeV *need_type(Elab *el, const Call *c, const char *example);
Value like(Value x, Node *n); /* n with the `float` of x */

#endif
