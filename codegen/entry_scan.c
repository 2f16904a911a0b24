/* entry_scan.c -- a scan as a loop around the kernels of its body.
 *
 *   copy initial carries into the memory of the last ones (where they do not live there already)
 *   for (i = 0; i < n; i++) {
 *       step = from the end ? n - 1 - i : i                       the body's argument 0, an i32 in memory
 *       sequence k: base + step * bytes of an element              y k likewise
 *       the body's kernels, then its copies (new carries that could not be made in place)
 *       stop ? i++, leave the loop
 *   }
 *   where a step may end the loop: zeros for the ys of the n - i steps that did not run
 *
 * A carry's memory is the place of the scan's GET of the same number, before, during and after the loop. */
#include "codegen/entry.h"

/* The GET of result `index`; NULL: nobody asks for it. */
static Node *result_get(const Graph *g, const Node *scan, int index) {
    for (int i = 0; i < g->nodes.n; i++) {
        Node *n = g->nodes.at[i];
        if (n->op == OP_GET && n->in[0] == scan && n->attrs.index == index) return n;
    }
    return NULL;
}

static bool same_place(Place a, Place b) {
    return a.kind == b.kind && a.index == b.index;
}

/* Where the initial value of carry i lies, and where the loop wants it. */
static LLVMValueRef carry_begin(EntryCode *c, const EntryMemory *mem, const Node *scan, int i) {
    Node *initial = scan->in[scan->attrs.counts[0] + i], *get = result_get(scan->graph, scan, i);
    if (!get) bug("carry %d of a scan in entry %s has no memory", i, c->entry);
    const Place *places = mem->plan->places;
    LLVMValueRef memory = entry_pointer(c, mem, get);
    Place from = places[initial->id];
    if (initial->op == OP_SLOT) from = (Place){PLACE_SLOT, initial->attrs.index};
    if (!same_place(places[get->id], from)) entry_copy(c, memory, entry_pointer(c, mem, initial), entry_bytes(c, &get->type));
    return memory;
}

/* A stacked value that advances by one element a step. */
typedef struct Moving {
    LLVMValueRef base, stride;
    LLVMValueRef *now; /* where its address in this step is kept */
} Moving;

static LLVMValueRef element_bytes(EntryCode *c, const Type *stacked) {
    Type element = *stacked;
    element.rank--;
    for (int i = 0; i < element.rank; i++) element.dim[i] = stacked->dim[i + 1];
    return entry_bytes(c, &element);
}

/* Zeros for the ys of the `left` steps that did not run: those after `done`, or with the scan from the end those before. */
static void clear_rest(EntryCode *c, const Node *scan, LLVMValueRef left, LLVMValueRef done, int n, const Moving *ys) {
    for (int i = 0; i < n; i++) {
        LLVMValueRef bytes = LLVMBuildMul(c->b, left, ys[i].stride, "");
        LLVMValueRef before = LLVMBuildMul(c->b, done, ys[i].stride, "");
        entry_clear(c, scan->attrs.flag ? ys[i].base : entry_advance(c, ys[i].base, before), bytes);
    }
}

void entry_scan(EntryCode *c, EntryMemory *mem, const Kernel *k) {
    Module *m = c->m;
    const Node *scan = k->anchor;
    const int *counts = scan->attrs.counts;
    int n_args = 1 + counts[0] + counts[1] + counts[2], n_moving = 0;
    LLVMValueRef arena = k->body_buffer >= 0 ? entry_advance(c, mem->arena, mem->offset[k->body_buffer]) : mem->arena;
    EntryMemory *body = entry_memory(c, k->body, arena);
    body->args = NEW_ARRAY(m->arena, LLVMValueRef, n_args);
    body->ys = NEW_ARRAY(m->arena, LLVMValueRef, counts[3] ? counts[3] : 1);
    Moving *moving = NEW_ARRAY(m->arena, Moving, counts[2] + counts[3] + 1);

    LLVMValueRef step_memory = entry_stack(c, m->i32, 1);
    LLVMValueRef *arg = body->args;
    *arg++ = step_memory;
    for (int i = 0; i < counts[0]; i++) *arg++ = entry_pointer(c, mem, scan->in[i]);
    for (int i = 0; i < counts[1]; i++) *arg++ = carry_begin(c, mem, scan, i);
    for (int i = 0; i < counts[2]; i++) {
        Node *sequence = scan->in[counts[0] + counts[1] + i];
        moving[n_moving++] = (Moving){entry_pointer(c, mem, sequence), element_bytes(c, &sequence->type), arg++};
    }
    for (int i = 0; i < counts[3]; i++) {
        Node *y = result_get(scan->graph, scan, counts[1] + i);
        if (y) moving[n_moving++] = (Moving){entry_pointer(c, mem, y), element_bytes(c, &y->type), &body->ys[i]};
    }

    LLVMValueRef n = size_code(c->sizes, scan->attrs.extent);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(c->b), head = entry_block(c, "scan"), step = entry_block(c, "step"),
                      after = entry_block(c, "");
    LLVMBuildBr(c->b, head);
    LLVMPositionBuilderAtEnd(c->b, head);
    LLVMValueRef i = LLVMBuildPhi(c->b, m->i64, "i");
    LLVMBuildCondBr(c->b, LLVMBuildICmp(c->b, LLVMIntSLT, i, n, ""), step, after);
    LLVMPositionBuilderAtEnd(c->b, step);
    LLVMValueRef t = scan->attrs.flag ? LLVMBuildSub(c->b, LLVMBuildSub(c->b, n, module_i64(m, 1), ""), i, "") : i;
    LLVMBuildStore(c->b, LLVMBuildTrunc(c->b, t, m->i32, ""), step_memory);
    for (int j = 0; j < n_moving; j++)
        *moving[j].now = entry_advance(c, moving[j].base, LLVMBuildMul(c->b, t, moving[j].stride, ""));

    if (counts[4]) body->stop = entry_cell(c, m->i8);
    entry_plan(c, body);

    LLVMValueRef next = LLVMBuildAdd(c->b, i, module_i64(m, 1), "");
    LLVMValueRef values[] = {module_i64(m, 0), next};
    LLVMBasicBlockRef last = LLVMGetInsertBlock(c->b), blocks[] = {before, last};
    LLVMAddIncoming(i, values, blocks, 2);
    if (!counts[4]) {
        LLVMBuildBr(c->b, head);
        LLVMPositionBuilderAtEnd(c->b, after);
        return;
    }
    LLVMValueRef stop = LLVMBuildLoad2(c->b, m->i8, entry_host(c, body->stop, module_i64(m, 1)), "");
    LLVMBuildCondBr(c->b, LLVMBuildICmp(c->b, LLVMIntNE, stop, LLVMConstInt(m->i8, 0, false), ""), after, head);
    LLVMPositionBuilderAtEnd(c->b, after);
    LLVMValueRef done = LLVMBuildPhi(c->b, m->i64, "done"), ends[] = {i, next};
    LLVMAddIncoming(done, ends, (LLVMBasicBlockRef[]){head, last}, 2);
    clear_rest(c, scan, LLVMBuildSub(c->b, n, done, ""), done, n_moving - counts[2], moving + counts[2]);
}
