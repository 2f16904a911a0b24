/* letters.c -- see letters.h. */
#include "tests/schedule/letters.h"

#include "ir/op.h"

#include <string.h>

static bool is_fixed(int rank, const Size *dim) {
    for (int i = 0; i < rank; i++) {
        if (!size_is_static(dim[i])) return false;
    }
    return true;
}

Node *case_weight(Case *c, DType d, int rank, const Size *dim) {
    Slot *s = NEW(c->p->arena, Slot);
    *s = (Slot){.path = arena_printf(c->p->arena, "w%d", c->p->slots.n), .kind = SLOT_PARAM, .index = c->p->slots.n};
    s->type = type_of(d, rank, dim);
    PUSH(c->p->arena, c->p->slots, s);
    return node_leaf(c->g, OP_SLOT, &(Attrs){.index = s->index, .name = s->path}, s->type);
}

Node *case_input(Case *c, DType d, int rank, const Size *dim) {
    if (c->weights && is_fixed(rank, dim)) return case_weight(c, d, rank, dim);
    int i = c->e->n_inputs++;
    c->e->inputs[i] = (EntryInput){.name = arena_printf(c->p->arena, "x%d", i), .type = type_of(d, rank, dim)};
    return node_leaf(c->g, OP_INPUT, &(Attrs){.index = i, .name = c->e->inputs[i].name}, c->e->inputs[i].type);
}

void case_shuffle(Rng *r, char *s) {
    for (int i = (int)strlen(s) - 1; i > 0; i--) {
        int j = rng_below(r, i + 1);
        char x = s[i];
        s[i] = s[j];
        s[j] = x;
    }
}

static int order_of(const char *letters, char x) {
    return (int)(strchr(letters, x) - letters);
}

Node *case_operand(Case *c, DType d, const char *letters) {
    Size dim[MAX_RANK], lo[MAX_RANK], hi[MAX_RANK];
    char stored[MAX_RANK + 1];
    int rank = (int)strlen(letters), order[MAX_RANK];
    for (int i = 0; i < rank; i++) dim[i] = c->size[letters[i] - 'a'];
    switch (rng_below(&c->r, 5)) {
    case 0: { /* stored in another order */
        strcpy(stored, letters);
        case_shuffle(&c->r, stored);
        for (int i = 0; i < rank; i++) dim[i] = c->size[stored[i] - 'a'];
        Node *x = case_input(c, d, rank, dim);
        for (int i = 0; i < rank; i++) order[i] = order_of(stored, letters[i]);
        return node_permute(c->g, x, order);
    }
    case 1: { /* a part of something larger */
        int axis = rank ? rng_below(&c->r, rank) : 0;
        Size more = size_const(c->p->sizes, 1 + rng_below(&c->r, 20)), zero = size_const(c->p->sizes, 0);
        if (!rank) break;
        for (int i = 0; i < rank; i++) {
            lo[i] = zero;
            hi[i] = dim[i];
        }
        lo[axis] = more;
        hi[axis] = size_add(dim[axis], more);
        dim[axis] = size_add(dim[axis], size_scale(more, 2));
        return node_slice(c->g, case_input(c, d, rank, dim), lo, hi);
    }
    case 2: { /* two axes stored as one */
        if (rank < 2) break;
        Size flat[MAX_RANK];
        int axis = rng_below(&c->r, rank - 1);
        for (int i = 0, n = 0; i < rank; i++) {
            if (i == axis + 1) flat[n - 1] = size_mul(flat[n - 1], dim[i]);
            else flat[n++] = dim[i];
        }
        return node_reshape(c->g, case_input(c, d, rank - 1, flat), rank, dim);
    }
    case 3: { /* one axis repeated */
        if (rank < 2) break;
        return node_expand(c->g, case_input(c, d, rank - 1, dim + 1), rank, dim);
    }
    default: break;
    }
    return case_input(c, d, rank, dim);
}

Tensor *case_tensor(Case *c, const Type *type, const int64_t *sizes) {
    int64_t dim[MAX_RANK];
    for (int k = 0; k < type->rank; k++) size_eval(type->dim[k], sizes, &dim[k]);
    Tensor *x = tensor_new(c->p->arena, type->dtype, type->rank, dim);
    for (int64_t k = 0; k < x->count; k++) {
        if (x->f) x->f[k] = round_float(type->dtype, (double)(float)rng_unit(&c->r));
        else if (c->codes && x->dtype == DT_I8) x->i[k] = rng_below(&c->r, 3) ? rng_below(&c->r, 256) - 128 : 127 - 255 * rng_below(&c->r, 2);
        else x->i[k] = x->dtype == DT_I8 ? rng_below(&c->r, 32) - 16 : rng_below(&c->r, 2001) - 1000;
    }
    return x;
}

void case_begin(Case *c, const char *program) {
    enum { INPUTS = 64 };
    c->e = harness_entry(arena_new(), program, INPUTS);
    c->g = c->e->graph;
    c->p = c->g->program;
}

void case_end(Case *c) { arena_free(c->p->arena); }

void case_results(Case *c, DType d, Node *y, bool maps) {
    graph_result(c->g, "y", y);
    if (!maps) return;
    Node *bias = node_expand_like(c->g, case_input(c, d, 1, y->type.dim + y->type.rank - 1), y);
    graph_result(c->g, "z", node_map2(c->g, OP_MAX, node_map2(c->g, OP_ADD, y, bias), node_const(c->g, y->type, 0)));
}

bool case_run(Case *c, Harness *h, const int64_t *sizes, const char *name) {
    Arena *a = c->p->arena;
    Diag *d = diag_new();
    Eval values = {.arena = a, .program = c->p, .sizes = sizes, .slots = NEW_ARRAY(a, Tensor *, c->p->slots.n + 1), .inputs = NEW_ARRAY(a, Tensor *, c->e->n_inputs + 1)};
    for (int i = 0; i < c->e->n_inputs; i++) values.inputs[i] = case_tensor(c, &c->e->inputs[i].type, sizes);
    for (int i = 0; i < c->p->slots.n; i++) values.slots[i] = case_tensor(c, &c->p->slots.at[i]->type, sizes);
    bool ok = passes_run(c->p, &(PassOptions){.level = 2}, d) && harness_run(h, c->p, c->e, &values, 2, name);
    diag_free(d);
    case_end(c);
    return ok;
}
