/* simplify.h -- inside pass simplify. A rule looks at one node whose operands are simplified already, and gives what stands for
 * it, or NULL. */
#ifndef PASSES_SIMPLIFY_H
#define PASSES_SIMPLIFY_H
#include "passes/pass.h"

typedef struct Simplify {
    Rewrite *r;
    Graph *g; /* the new graph */
    Arena *scratch;
    int changes;
    int *slices; /* by id of the old graph: its readers that are slices */
} Simplify;

/* n: the old node (type, attributes); in: its operands in the new graph. Nodes are made in s->g. */
Node *simplify_map(Simplify *s, const Node *n, Node **in);    /* simplify.c: arithmetic */
Node *simplify_view(Simplify *s, const Node *n, Node **in);   /* simplify_view.c */
Node *simplify_slice(Simplify *s, const Node *n, Node *x);    /* simplify_slice.c */
Node *simplify_access(Simplify *s, const Node *n, Node **in); /* simplify_access.c: pad, concat, gather, scatter */
Node *simplify_reduce(Simplify *s, const Node *n, Node **in); /* simplify_view.c */
Node *simplify_contract(Simplify *s, const Node *n, Node **in);
Node *simplify_pads(Simplify *s, const Node *n, Node **in); /* a sum of pads that fill an axis: concat */

bool used_once(const Simplify *s, const Node *n, int operand); /* operand of the old node n has no other reader */
Node *like_with(Simplify *s, const Node *n, const Attrs *attrs, int n_in, Node *const *in); /* op of n at n's place */
/* The axes of a reshape in groups: the shortest stretches before and after it that hold the same number of elements, the last with
 * the axes of size 1 that are left over. Group k: axes from[k] .. from[k + 1] - 1 before, to[k] .. after. false: there are none. */
typedef struct ReshapeGroups {
    int n, from[MAX_RANK + 1], to[MAX_RANK + 1];
} ReshapeGroups;
bool reshape_groups(const Node *reshape, ReshapeGroups *g);
/* A map over constants, counters, sizes and scalars only, of a few nodes; counter: some iota is among them. */
bool is_leafy(const Node *n, int *budget, bool *counter);

#endif
