/* fuse_attention.h -- what fuse_attention.c and fuse_attention_gradient.c share. */
#ifndef PASSES_FUSE_ATTENTION_H
#define PASSES_FUSE_ATTENTION_H
#include "passes/fuse.h"

/* An attention that was found, whose scores or weights others read, too, and what was found of its gradient. */
typedef struct AttentionParts {
    Planner *p;
    const bool *stored;
    Group *scores, *rows, *product;
    const Attention *softmax;
    Group *more[6]; /* by_weights and by_scores with their maps, by_q, by_k, by_v */
    int n_more;
    Group *first;   /* of these: the one of by_weights */
    AttentionGradient found;
} AttentionParts;

bool attention_same_shape(const Node *a, const Node *b);
/* Is what the letters of operand `side` say that are not among `but`, static and not too much for a packed block? */
bool attention_depth_fits(const Node *n, int side, const char *but);
/* Are the operands of n, but for `except`, floats that lie in memory and are not made in g? */
bool attention_operands_stored(const Group *g, const Node *n, const Node *except);
/* Is s a product of rows and keys: the last letter of its result is of one operand, the keys, alone, and no other is? */
bool attention_scores_fit(const Group *g, const Node *s);

/* All nodes of `from` become nodes of `to` that come before its anchor; `from` is dead. */
void group_take(Planner *p, Group *to, Group *from);

/* Are all readers of scores and weights parts of one gradient? Then sets more and found. */
bool attention_gradient_find(AttentionParts *parts);
/* Makes these groups one, which computes scores and weights again. Called when the attention itself is one group. */
void attention_gradient_make(AttentionParts *parts);

#endif
