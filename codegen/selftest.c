/* selftest.c -- recorded calls as data and tables. The data: for each record its inputs, each on 64 bytes, then the values of its rows;
 * the table points into it in the same order. */
#include "codegen/selftest.h"

#include "runtime/runtime.h"

#include <string.h>

#define SYMBOL "mdl.selftest"

bool selftest_possible(const Entry *e) {
    const Graph *g = e->graph;
    bool stores = false;
    for (int i = 0; i < g->effects.n; i++)
        stores = stores || (g->effects.at[i].kind == EFFECT_STORE && g->program->slots.at[g->effects.at[i].index]->kind != SLOT_CACHE);
    return !e->train && !e->draws && !stores;
}

static size_t aligned(size_t n) {
    return (n + 63) / 64 * 64;
}

static size_t put(char *to, size_t at, const void *data, size_t n) {
    if (to) memcpy(to + at, data, n);
    return at + aligned(n);
}

/* The bytes that everything takes; written too where to is not NULL. */
static size_t data_lay(const SelfTests *tests, const Program *p, char *to) {
    size_t at = 0;
    for (int i = 0; i < tests->n; i++) {
        const Record *r = &tests->records[i];
        for (int k = 0; k < p->entries.at[r->entry]->n_inputs; k++) at = put(to, at, r->inputs[k].data, (size_t)r->inputs[k].bytes);
        for (int k = 0; k < r->n_rows; k++) at = put(to, at, r->rows[k].values, sizeof(float) * (size_t)r->rows[k].kept);
    }
    return at;
}

ElfData selftest_data(Arena *arena, const SelfTests *tests, const Program *p) {
    size_t n = data_lay(tests, p, NULL);
    char *data = arena_alloc(arena, n + 1);
    data_lay(tests, p, data);
    return (ElfData){SYMBOL, data, n};
}

typedef struct Cursor {
    Module *m;
    LLVMValueRef data;
    size_t at;
} Cursor;

/* The address of the next n bytes. */
static LLVMValueRef next(Cursor *c, size_t n) {
    LLVMValueRef at = module_i64(c->m, (int64_t)c->at);
    c->at += aligned(n);
    return LLVMConstInBoundsGEP2(c->m->i8, c->data, &at, 1);
}

static LLVMValueRef longs(Module *m, int n, const int64_t *values) {
    LLVMValueRef *constants = NEW_ARRAY(m->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) constants[i] = module_i64(m, values[i]);
    return module_array(m, m->i64, n, constants);
}

static LLVMValueRef row_constant(Cursor *c, const RecordRow *r) {
    Module *m = c->m;
    LLVMValueRef fields[] = {module_text(m, r->layer),    module_text(m, r->source), module_i64(m, r->count),
                             module_i64(m, r->step),      next(c, sizeof(float) * (size_t)r->kept),
                             LLVMConstReal(LLVMFloatTypeInContext(m->context), (double)r->largest)};
    return module_struct(m, 6, fields);
}

static LLVMValueRef record_constant(Cursor *c, const Entry *e, const Record *r) {
    Module *m = c->m;
    LLVMValueRef *inputs = NEW_ARRAY(m->arena, LLVMValueRef, e->n_inputs + 1), *rows = NEW_ARRAY(m->arena, LLVMValueRef, r->n_rows + 1);
    for (int k = 0; k < e->n_inputs; k++) inputs[k] = next(c, (size_t)r->inputs[k].bytes);
    for (int k = 0; k < r->n_rows; k++) rows[k] = row_constant(c, &r->rows[k]);
    LLVMValueRef fields[] = {module_i32(m, r->entry),
                             module_i32(m, r->sample),
                             module_i32(m, r->n_rows),
                             longs(m, e->n_sizes, r->sizes),
                             module_array(m, m->ptr, e->n_inputs, inputs),
                             longs(m, e->graph->results.n, r->output_bytes),
                             r->n_rows ? module_array(m, LLVMTypeOf(rows[0]), r->n_rows, rows) : module_null(m)};
    return module_struct(m, 7, fields);
}

/* Machines round differently, and sums are long: a wrong instruction, a flipped bit of an exponent or a torn copy is far beyond this. Where
 * values have few bits, a sum on the edge between two of them falls to either side. */
static double tolerance(const Program *p) {
    if (p->tf32) return 3e-2;
    for (int i = 0; i < p->entries.n; i++) {
        const Graph *g = p->entries.at[i]->graph;
        for (int k = 0; k < g->nodes.n; k++) {
            DType d = g->nodes.at[k]->type.dtype;
            if (d == DT_F16 || d == DT_BF16 || d == DT_I8) return 3e-2;
        }
    }
    return 1e-3;
}

LLVMValueRef selftest_table(Module *m, const Program *p, const SelfTests *tests) {
    Cursor c = {m, module_external(m, SYMBOL), 0};
    LLVMValueRef *records = NEW_ARRAY(m->arena, LLVMValueRef, tests->n);
    for (int i = 0; i < tests->n; i++) records[i] = record_constant(&c, p->entries.at[tests->records[i].entry], &tests->records[i]);
    LLVMValueRef fields[] = {module_i32(m, tests->n),
                             LLVMConstReal(LLVMFloatTypeInContext(m->context), tolerance(p)),
                             module_array(m, LLVMTypeOf(records[0]), tests->n, records)};
    return module_constant(m, module_struct(m, 3, fields));
}
