/* plan_run.c -- runs a plan kernel by kernel in the interpreter: the oracle of plans.
 *
 * All stored values are bytes at their planned places: one block for the arena, with offsets as generated code computes them,
 * one for each slot, input and result. A kernel reads its operands from there when it begins and writes its results when it
 * ends; nothing else goes from kernel to kernel. Memory of buffers that nobody needs any more is filled with 0xff, so that a
 * lifetime that is too short shows. */
#include "passes/passes.h"
#include "runtime/mdl.h"

#include <stdlib.h>
#include <string.h>

typedef struct PlanRun Run;

struct PlanRun {
    Eval *e;
    const Plan *p;
    PlanKernel *kernel; /* NULL: eval_node */
    void *context;
    char *arena;
    int64_t *offset, *bytes; /* by buffer */
    char **slots, **inputs, **results, **args, **ys, *stop;
};

static int64_t value_of(Run *r, Size s) {
    int64_t v;
    if (!size_eval(s, r->e->sizes, &v)) bug("a size cannot be computed");
    return v;
}

static int64_t bytes_of(Run *r, const Type *t) {
    int64_t n = dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) n *= value_of(r, t->dim[i]);
    return n;
}

static int64_t rounded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* Offsets of the buffers; returns the bytes of the arena. */
static int64_t lay_out(Run *r) {
    const Plan *p = r->p;
    int64_t peak = 0;
    r->offset = NEW_ARRAY(r->e->arena, int64_t, p->buffers.n);
    r->bytes = NEW_ARRAY(r->e->arena, int64_t, p->buffers.n);
    for (int i = 0; i < p->buffers.n; i++) {
        int b = p->order[i];
        const Buffer *buffer = &p->buffers.at[b];
        r->bytes[b] = rounded(value_of(r, buffer->bytes));
        for (int k = 0; k < buffer->n_below; k++) {
            int64_t top = r->offset[buffer->below[k]] + r->bytes[buffer->below[k]];
            if (top > r->offset[b]) r->offset[b] = top;
        }
        if (r->offset[b] + r->bytes[b] > peak) peak = r->offset[b] + r->bytes[b];
    }
    return peak;
}

static char *memory_at(Run *r, Place at, const Node *n) {
    switch (at.kind) {
    case PLACE_ARENA: return r->arena + r->offset[at.index];
    case PLACE_SLOT: return r->slots[at.index];
    case PLACE_INPUT: return r->inputs[at.index];
    case PLACE_RESULT: return r->results[at.index];
    case PLACE_ARG: return r->args[at.index];
    case PLACE_Y: return r->ys[at.index];
    case PLACE_STOP: return r->stop;
    case PLACE_DATA:
    case PLACE_NONE: break;
    }
    bug("node %d (%s) has no memory", n->id, op_row(n->op)->name);
}

static char *memory_of(Run *r, const Node *n) {
    return memory_at(r, r->p->places[n->id], n);
}

static Tensor *load(Run *r, Arena *a, const Node *n) {
    int64_t dim[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++) dim[i] = value_of(r, n->type.dim[i]);
    const void *data = r->p->places[n->id].kind == PLACE_DATA ? n->attrs.data : memory_of(r, n);
    return tensor_from_bytes(a, n->type.dtype, n->type.rank, dim, data);
}

/* ---- one kernel */

typedef struct Values {
    Run *run;
    Eval e;         /* with an arena of this kernel */
    Tensor **value; /* by node id */
} Values;

/* An operand: there already, or a leaf or view that the kernel computes on its way. */
static Tensor *operand(Values *v, const Node *n) {
    if (v->value[n->id]) return v->value[n->id];
    bool on_the_way = op_row(n->op)->class == CLASS_VIEW || n->op == OP_CONST || n->op == OP_IOTA || n->op == OP_SIZE;
    if (!on_the_way) bug("a kernel reads node %d (%s), which is not stored", n->id, op_row(n->op)->name);
    Tensor *in[1] = {n->n_in ? operand(v, n->in[0]) : NULL};
    if (!eval_node(&v->e, n, in, &v->value[n->id])) bug("node %d cannot be computed: %s", n->id, v->e.error);
    return v->value[n->id];
}

static bool run_nodes(Values *v, const Kernel *k) {
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        Tensor **in = NEW_ARRAY(v->e.arena, Tensor *, n->n_in);
        for (int j = 0; j < n->n_in; j++) in[j] = operand(v, n->in[j]);
        if (!eval_node(&v->e, n, in, &v->value[n->id])) return false;
    }
    for (int i = 0; i < k->writes.n; i++) tensor_to_bytes(v->value[k->writes.at[i]->id], memory_of(v->run, k->writes.at[i]));
    return true;
}

/* The effect alone, as the only effect of a graph whose input is its value. */
static bool run_effect(Values *v, const Kernel *k) {
    const Node *x = k->effect->value;
    Graph *one = graph_new(v->e.arena, v->run->p->graph->program);
    Effect effect = *k->effect;
    Eval e = v->e;
    Tensor *value = x ? operand(v, x) : NULL;
    if (x) effect.value = node_leaf(one, OP_INPUT, &(Attrs){.name = "value"}, x->type);
    e.inputs = &value;
    graph_effect(one, effect);
    bool ok = eval_graph(&e, one, NULL);
    v->e.status = e.status;
    v->e.error = e.error;
    return ok;
}

static bool run_plan(Run *r);

static bool run_scan(Values *v, const Kernel *k) {
    Run *r = v->run;
    const Node *scan = k->anchor;
    const int *counts = scan->attrs.counts;
    Arena *a = v->e.arena;
    Eval inner = v->e;
    Run body = {.e = &inner, .p = k->body, .kernel = r->kernel, .context = r->context};
    body.slots = r->slots;
    body.inputs = r->inputs;
    body.args = NEW_ARRAY(a, char *, scan->n_in + 1);
    body.ys = NEW_ARRAY(a, char *, counts[3]);
    int64_t need = lay_out(&body);
    if (need > 0 && (k->body_buffer < 0 || r->bytes[k->body_buffer] < need)) bug("the body of a scan has too little memory");
    if (need > 0) body.arena = r->arena + r->offset[k->body_buffer];
    int32_t step;
    body.args[0] = (char *)&step;
    for (int i = 0; i < counts[0]; i++) body.args[1 + i] = memory_of(r, plan_base(scan->in[i]));
    for (int i = 0; i < counts[1]; i++) {
        const Node *initial = scan->in[counts[0] + i], *get = k->writes.at[i];
        body.args[1 + counts[0] + i] = memory_of(r, get);
        memmove(memory_of(r, get), memory_of(r, plan_base(scan->in[counts[0] + i])), (size_t)bytes_of(r, &initial->type));
    }
    bool stopped = false;
    body.stop = (char *)&stopped;
    int64_t steps = value_of(r, scan->attrs.extent), done = 0;
    for (; done < steps && !stopped; done++) {
        step = (int32_t)(scan->attrs.flag ? steps - 1 - done : done);
        for (int i = counts[0] + counts[1]; i < scan->n_in; i++)
            body.args[1 + i] = memory_of(r, plan_base(scan->in[i])) + step * bytes_of(r, &scan->attrs.body->args[1 + i]->type);
        for (int i = 0; i < counts[3]; i++)
            body.ys[i] = memory_of(r, k->writes.at[counts[1] + i]) +
                         step * bytes_of(r, &scan->attrs.body->results.at[counts[1] + i].value->type);
        if (!run_plan(&body)) {
            v->e.status = inner.status;
            v->e.error = inner.error;
            return false;
        }
    }
    for (int i = 0; i < counts[3] && done < steps; i++) { /* ys of steps that did not run */
        int64_t element = bytes_of(r, &scan->attrs.body->results.at[counts[1] + i].value->type);
        memset(memory_of(r, k->writes.at[counts[1] + i]) + (scan->attrs.flag ? 0 : done * element), 0,
               (size_t)((steps - done) * element));
    }
    return true;
}

static bool run_kernel(Run *r, const Kernel *k) {
    Arena *a = arena_new();
    Values v = {r, *r->e, NEW_ARRAY(a, Tensor *, r->p->graph->nodes.n)};
    v.e.arena = a;
    v.e.status = 0;
    bool ok;
    if (k->kind == KERNEL_SCAN) {
        ok = run_scan(&v, k);
    } else if (r->kernel && k->kind <= KERNEL_ROUTINE) {
        ok = r->kernel(r->context, r, k);
        v.e.status = r->e->status;
        v.e.error = r->e->error;
    } else {
        for (int i = 0; i < k->reads.n; i++) v.value[k->reads.at[i]->id] = load(r, a, k->reads.at[i]);
        ok = k->effect ? run_effect(&v, k) : run_nodes(&v, k);
    }
    if (!ok) {
        r->e->status = v.e.status;
        r->e->error = v.e.error ? arena_copy(r->e->arena, v.e.error, strlen(v.e.error)) : "";
    }
    arena_free(a);
    return ok;
}

static bool run_plan(Run *r) {
    const Plan *p = r->p;
    for (int i = 0; i < p->kernels.n; i++) {
        if (!run_kernel(r, p->kernels.at[i])) return false;
        for (int b = 0; b < p->buffers.n; b++) {
            if (p->buffers.at[b].last != i) continue;
            bool copied = false; /* copies come after all kernels */
            for (int k = 0; k < p->copies.n; k++) {
                Place at = p->places[p->copies.at[k].value->id];
                copied |= at.kind == PLACE_ARENA && at.index == b;
            }
            if (!copied) memset(r->arena + r->offset[b], 0xff, (size_t)r->bytes[b]);
        }
    }
    for (int i = 0; i < p->copies.n; i++) {
        const Copy *c = &p->copies.at[i];
        memmove(memory_at(r, c->to, c->value), memory_of(r, c->value), (size_t)bytes_of(r, &c->value->type));
    }
    return true;
}

static char *bytes_of_tensor(Arena *a, const Tensor *t) {
    char *data = arena_alloc(a, (size_t)(t->count * dtype_bytes(t->dtype)));
    tensor_to_bytes(t, data);
    return data;
}

void *plan_run_memory(PlanRun *r, const Node *n) {
    return r->p->places[n->id].kind == PLACE_DATA ? (void *)n->attrs.data : memory_of(r, n);
}

Eval *plan_run_eval(PlanRun *r) { return r->e; }

const Plan *plan_run_plan(const PlanRun *r) { return r->p; }

bool plan_interpret(Eval *e, const Plan *p, Tensor **results) { return plan_interpret_with(e, p, results, NULL, NULL); }

bool plan_interpret_with(Eval *e, const Plan *p, Tensor **results, PlanKernel *kernel, void *context) {
    Arena *outer = e->arena, *a = arena_new();
    const Program *program = p->graph->program;
    e->status = MDL_OK;
    e->error = NULL;
    Eval inner = *e;
    inner.arena = a;
    Run r = {.e = &inner, .p = p, .kernel = kernel, .context = context};
    int inputs = 0;
    for (int i = 0; i < p->graph->nodes.n; i++) {
        const Node *n = p->graph->nodes.at[i];
        if (n->op == OP_INPUT && n->attrs.index >= inputs) inputs = n->attrs.index + 1;
    }
    r.inputs = NEW_ARRAY(a, char *, inputs);
    for (int i = 0; i < inputs; i++)
        if (e->inputs[i]) r.inputs[i] = bytes_of_tensor(a, e->inputs[i]);
    r.slots = NEW_ARRAY(a, char *, program->slots.n);
    for (int i = 0; i < program->slots.n; i++) {
        if (e->slots[i]) r.slots[i] = bytes_of_tensor(a, e->slots[i]);
        else r.slots[i] = arena_alloc(a, (size_t)bytes_of(&r, &program->slots.at[i]->type));
    }
    r.results = NEW_ARRAY(a, char *, p->graph->results.n);
    for (int i = 0; i < p->graph->results.n; i++) {
        size_t n = (size_t)bytes_of(&r, &p->graph->results.at[i].value->type);
        r.results[i] = arena_alloc(a, n);
        memset(r.results[i], 0xff, n);
    }
    int64_t peak = lay_out(&r);
    r.arena = arena_alloc(a, (size_t)peak);
    memset(r.arena, 0xff, (size_t)peak);
    bool ok = run_plan(&r);
    e->status = inner.status;
    e->error = inner.error ? arena_copy(outer, inner.error, strlen(inner.error)) : NULL;
    for (int i = 0; ok && i < p->graph->results.n; i++) {
        const Type *t = &p->graph->results.at[i].value->type;
        int64_t dim[MAX_RANK];
        for (int k = 0; k < t->rank; k++) dim[k] = value_of(&r, t->dim[k]);
        results[i] = tensor_from_bytes(outer, t->dtype, t->rank, dim, r.results[i]);
    }
    /* Slots are what lies in their memory, changed or not: a refused call must have changed nothing. */
    for (int i = 0; i < program->slots.n; i++) {
        const Type *t = &program->slots.at[i]->type;
        if (!e->slots[i] && !ok) continue;
        int64_t dim[MAX_RANK];
        for (int k = 0; k < t->rank; k++) dim[k] = value_of(&r, t->dim[k]);
        e->slots[i] = tensor_from_bytes(outer, t->dtype, t->rank, dim, r.slots[i]);
    }
    for (int i = 0; ok && i < p->graph->effects.n; i++)
        if (p->graph->effects.at[i].kind == EFFECT_RESET) e->slots[p->graph->effects.at[i].index] = NULL;
    arena_free(a);
    return ok;
}
