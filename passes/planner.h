/* planner.h -- inside planning: groups of nodes that become kernels. The stages, in order (passes/plan.c):
 *
 *   plan_prepare   a copy of the graph in which all that must have memory of its own is a node that a kernel makes
 *   plan_fuse      nodes → groups (level 0: each by itself)
 *   plan_limits    rows that are looked at in part
 *   plan_attention softmax-weighted products as one kernel
 *   plan_place     which stores happen in place; order of the kernels
 *   plan_together  (for a device) kernels that may run at once
 *   plan_memory    buffers of the arena
 *   plan_packs     weights that products may read from packed copies
 *   plan_key       structural keys */
#ifndef PASSES_PLANNER_H
#define PASSES_PLANNER_H
#include "passes/pass.h"

/* How an operand is made from its base (views stripped). */
typedef enum {
    EDGE_SAME,   /* same elements in the same row-major order */
    EDGE_ROW,    /* each element of the base repeated `row` times */
    EDGE_SCALAR, /* the base has rank 0 */
    EDGE_OTHER
} EdgeKind;

typedef struct Edge {
    Node *base;
    EdgeKind kind;
    Size row;
} Edge;

typedef LIST(Node *) NodeList;

typedef struct Group {
    int id; /* place in Planner.groups */
    KernelKind kind;
    Node *anchor;
    const Effect *effect;
    LIST(Node *) nodes; /* at home here */
    LIST(Node *) extra; /* computed again here */
    Type space;
    Size count;                 /* elements of the space */
    int row;                    /* trailing axes of a row */
    int parts;                  /* slices of the last axis of a product that its maps read; 0: none do */
    Size row_length;            /* NULL: no rows */
    Size rows;                  /* count of ROW values; NULL without rows */
    int n_axes, axes[MAX_RANK]; /* KERNEL_REDUCE */
    Size final;                 /* elements of its results */
    Limit limit;
    const Attention *attention; /* KERNEL_ATTENTION .. */
    const AttentionGradient *gradient;
    NodeList before;            /* .. and those of its nodes that come before its anchor */
    uint64_t *ancestors;        /* bit set over ids of groups */
    bool dead;                  /* merged into another */
    NodeList reads;             /* what group_reads found; forgotten by group_changed */
    bool reads_known;
} Group;

typedef struct Target { /* a value that must end up in a place */
    Node *value;
    Place to;
} Target;

typedef struct Numbers { /* of groups */
    int *at;
    int n, cap;
} Numbers;

typedef struct Planner {
    Arena *arena, *scratch; /* of the plan; of planning */
    Graph *g;
    const Node *scan;            /* the scan whose body this is, or NULL */
    const struct Planner *outer; /* of the graph that the scan stands in */
    const PlanOptions *options;
    Diag *diag;
    SizeTable *sizes;
    int64_t *reference;   /* values of sizes, for choices */
    const bool *plain;    /* by slot: it must be read where it is (plan_pack.c); NULL: nothing is packed */
    LIST(Target) targets; /* slots, carries */
    bool body_checks;     /* (body) some effect may stop the call */
    LIST(Group *) groups;
    int words;        /* of a bit set */
    Group **home;     /* by node id; NULL: leaf, view, floating map */
    Level *level;     /* by node id: in its home */
    bool *must;       /* by node id: stored for other reasons than being read by another kernel */
    int *mark, stamp; /* by node id: scratch membership */
    bool *stored;     /* by node id: memory of group_drop_unused; NULL: not used so far */
    Place *places;    /* by node id */
    Numbers *slot_readers, *arg_readers; /* by index: groups that read that memory */
    Numbers checks;
    Group **order;    /* groups in the order of execution */
    int n_order;
    LIST(Copy) copies;
    Plan **body_plans; /* by node id of a scan */
} Planner;

/* ---- questions about nodes */
bool node_is_free(const Node *n);       /* const, iota, size: no memory */
bool node_is_memory(const Node *n);     /* input, slot, tensor, arg */
bool node_is_computed(const Node *n);   /* made by a kernel */
bool node_is_contiguous(const Node *n); /* reshapes at most over something in memory or computed */
bool node_is_view(const Node *n);
Edge edge_of(Node *operand);
bool plan_same_shape(const Type *t, const Type *u);
int64_t plan_bytes(const Planner *p, const Node *n); /* at the reference sizes */
Size node_bytes(const Graph *g, const Node *n);

/* ---- stages */
void plan_prepare(Planner *p, const Graph *from);
void plan_fuse(Planner *p);
void plan_limits(Planner *p);
void plan_attention(Planner *p);
void plan_place(Planner *p);
void plan_memory(Planner *p, Plan *plan);
void plan_plain(Planner *p, const Graph *from); /* sets p->plain; from: the graph as it was before plan_prepare */
void plan_packs(Planner *p, Plan *plan);
int plan_packed_slot(const Planner *p, const Node *x); /* the weight that x is, or rounds to bf16, if it may be packed; else -1 */
void plan_together(Planner *p, Plan *plan); /* plan: kernels, in the order of p->order, which it changes, too */
void plan_keys(Planner *p, Plan *plan);
/* The key of a kernel as far as its memory is known. shapes: false: of a flat kernel (ir/plan.h) without its shape. number: by node id, all 0. */
const char *plan_key(Planner *p, const Plan *plan, Kernel *k, bool shapes, int *number);
Place plan_result_place(const Node *scan, int index); /* where result `index` goes, of an entry or (scan) of a body, carries excepted */
/* scan, outer: of a body; NULL of an entry. */
Plan *plan_make(Arena *arena, const Graph *g, const Node *scan, const Planner *outer, const PlanOptions *o, Diag *d);

/* Memory whose old contents a kernel may still read: a place (slot, carry) at the beginning, or the value of a node. */
typedef struct Old {
    Place place;
    const Node *node; /* or NULL */
} Old;
/* May the group write `value` into that memory, as far as its own reads go? */
bool plan_in_place(Planner *p, Group *g, const Node *value, Old old);
/* Which operand's memory goes on in `value`: x of update_at, the initial value of a carry; -1: none. */
int plan_carried(const Node *value);
Size plan_peak_size(const Plan *plan, SizeTable *t); /* bytes of the arena as a size */

bool attention_before(const Group *g, const Node *n); /* is n one of g->before */
/* Level of such a node; level: of the nodes before it, by id. */
Level attention_level(Planner *p, const Group *g, const Node *n, const Level *level);

Level attention_gradient_level(Planner *p, const Group *g, const Node *n);

/* ---- groups */
Group *group_new(Planner *p, KernelKind kind);
Group *group_of_node(Planner *p, Node *n); /* a new group for a computed node; GETs follow their scan */
void group_groups_of_effects(Planner *p);
/* Stored values it reads, each once, in order of first use. */
NodeList group_reads(Planner *p, Group *g);
void group_changed(Group *g);                            /* its nodes or extras are others now */
int group_again(const Group *g);                         /* number of the @checkpoint call it is computed again for, or 0 */
void group_members(Planner *p, const Group *g);          /* marks its nodes: p->mark[id] == p->stamp */
bool group_waits(const Group *g, const Group *for_this); /* is for_this among its ancestors */
bool group_link(Planner *p, Group *g, Group *before);    /* g waits for `before`; false (nothing done) if that closes a cycle */
void plan_stored(Planner *p, bool *stored);              /* by node id: read by another group, or must be */

#endif
