/* fake.h -- what the files of the pass fake share. */
#ifndef PASSES_FAKE_H
#define PASSES_FAKE_H
#include "passes/quantize.h"

/* x of the new graph where codes of one step are made of it. */
typedef struct Held {
    const Node *x, *scale;
    Node *value, *codes; /* value: what the codes stand for if fixed point made them, else x */
} Held;

typedef struct FakePass {
    Rewrite r;
    const Entry *entry;
    /* by slot, NULL where it is none of the entry's */
    QuantPlan **plan;
    Node **value;   /* what products see of the weight, once made */
    Stored *stored; /* its codes, of its shape, once made */
    QuantPlan **pools; /* by id of the old graph: sums in front of these products (quantize_pool.c) */
    /* by slot that is a range, f32[2]: as the last product left it; what it was when the entry began, once read; what was met of it */
    Node **range, **leaf, **seen;
    CodedValues coded;
    LIST(Held) held;
    bool *said;     /* that it stays float */
} FakePass;

/* value, with the gradients of carrier, of the same type, which nobody computes. */
Node *fake_through(Graph *g, Node *value, Node *carrier);
/* n, a view of a slot in the old graph, as the same view of `slot`, a node of the new one. */
Node *fake_view(Graph *g, const Node *n, Node *slot);
/* n, a view of a slot that is quantized, as a view of what its codes stand for. */
Node *fake_weight(FakePass *f, const Node *n);

/* Contract n, whose operand k is a weight that is quantized with static activations; likewise convolution n. */
Node *fake_product(FakePass *f, const QuantPlan *q, const Node *n, int k);
Node *fake_convolution(FakePass *f, const QuantPlan *q, const Node *n);
/* Sum n in front of products of weight q, as one of codes; NULL: it stays one of floats. */
Node *fake_pool(FakePass *f, const QuantPlan *q, const Node *n);
/* The new graph stores the ranges that training moved. */
void fake_store_ranges(FakePass *f);

#endif
