/* pass.h -- what the passes share: how one graph is rewritten into another. */
#ifndef PASSES_PASS_H
#define PASSES_PASS_H
#include "passes/passes.h"

typedef struct PassContext PassContext;
typedef Graph *PassFunction(PassContext *c, const Graph *g);

struct PassContext {
    Arena *scratch; /* freed after the pass */
    Diag *diag;
    bool marks;                      /* grad has not run: STOP, CUSTOM, GRAD may exist */
    LIST(const Graph *) bodies_from; /* bodies done, and what they became: shared bodies stay shared */
    LIST(Graph *) bodies_to;
    struct QuantPlan **quantized;    /* pass quantize: by slot, NULL: it stays as it is */
    Recompute *recompute;            /* of the entry; NULL: nothing */
    PassFunction *function; /* the running pass, for bodies; NULL: bodies stay as they are */
};

#define PASS(function, name, level, help) PassFunction pass_##function;
#include "passes/passes.def"
#undef PASS

/* A new graph for what is live in another. The arguments of a body are made, in order. */
typedef struct Rewrite {
    PassContext *c;
    const Graph *from;
    Graph *to;
    Node **map; /* by id of `from` */
    bool *live; /* reached from results and effects */
    int *uses;  /* by live nodes, results and effects */
} Rewrite;

Rewrite rewrite_begin(PassContext *c, const Graph *from);
Node **rewrite_operands(const Rewrite *r, const Node *n); /* n's operands in the new graph (scratch memory) */
Node *rewrite_copy(Rewrite *r, const Node *n);            /* copies n; bodies go through the running pass */
void rewrite_at(Graph *to, const Node *n);                /* nodes made from now on stand where n stands */
Node *rewrite_with(Graph *to, const Node *n, const Attrs *attrs, int n_in,
                   Node *const *in);                    /* like n, with these attributes, operands */
Graph *rewrite_end(Rewrite *r);                         /* results and effects; returns r->to */
Graph *rewrite_body(PassContext *c, const Graph *body); /* the body after the running pass */
/* The body's nodes in `to`, args[] for its arguments; values of its results, in scratch memory. */
Node **rewrite_inline(PassContext *c, Graph *to, const Graph *body, Node *const *args);

/* Small questions. */
static inline bool node_is_const(const Node *n) {
    return n->op == OP_CONST;
}
bool const_is(const Node *n, double v);                             /* a const with this value (0.0 is not -0.0) */
Node *node_filled(Graph *g, const Node *like, const Type *type);    /* the const `like` in another shape */
bool graph_stores(const Graph *g);                                  /* changes slots: a training, a step over a cache */
bool *nodes_steady(Arena *a, const Graph *g);                       /* by id: computed from slots and constants alone */
bool *nodes_steady_but_statistics(Arena *a, const Graph *g);        /* the same, and from statistics of batches (ir/graph.h) */
Size type_product(const Graph *g, const Type *t, int from, int to); /* product of dims from..to-1 */
/* Equal ops, attributes and types (not operands). Bodies are compared by address. */
bool node_same_op(const Node *a, const Node *b);
uint64_t node_hash(const Node *n); /* of what node_same_op compares */

#endif
