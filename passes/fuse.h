/* fuse.h -- inside fusion: the greedy rule (fuse.c), merging of groups (fuse_merge.c), computing again (fuse_again.c),
 * pads (fuse_frame.c), slices of a product (fuse_parts.c).
 * GRAPH.md, "Fusion, the rule". */
#ifndef PASSES_FUSE_H
#define PASSES_FUSE_H
#include "passes/planner.h"

bool node_is_heavy(Op op);                                /* a map that costs tens of instructions an element */
Size row_length_of(const Planner *p, const Node *reduce); /* product of the reduced axes */
bool reduce_is_rows(Planner *p, const Node *reduce);      /* trailing axes, done as rows of a MAP kernel */
/* Are the elements that node n of level `level` reads through e, from a value of level `from` in a kernel with rows of
 * row_length, computed where n is? */
bool edge_inside(const Node *n, Level level, Edge e, Level from, Size row_length, bool rank0_space);
void fuse_merge(Planner *p);
void fuse_frames(Planner *p); /* outside of training, pads of products become part of them */
bool fuse_again(Planner *p); /* anything done */
/* Into how many slices n, a map of slices of what c computes and of other maps of them, cuts the product c; 0: it cannot join it as such. */
int fuse_parts(Planner *p, const Group *c, const Node *n);
void group_drop_unused(Planner *p, Group *g);

/* A mask ge (iota(row_axis) + plus, iota(last axis)), or with a stored rank 0 value `offset` in place of plus; of several joined
 * by `and`, the first. */
typedef struct Causal {
    int row_axis;
    int64_t plus;
    Node *offset; /* NULL: none */
} Causal;
bool mask_is_causal(const Node *mask, Causal *c);

bool group_is_library(const Planner *p, const Group *g); /* a product that a library computes: nothing joins it */
bool group_has(const Group *g, const Node *n); /* among nodes or extra */

#endif
