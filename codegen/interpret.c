/* interpret.c -- the reference interpreter behind the interface of an artifact. Each call evaluates the entry's graph, on
 * values in double precision, and then replaces the session's slots. The tables of mdl.h are made in memory as tables.c makes
 * them in a library.
 *
 * Functions of mdl_model that make a session get no pointer of their own to work with, so the one program that is interpreted
 * stands in a static variable: a process interprets one program at a time. */
#include "codegen/interpret.h"

#include "codegen/initial.h"
#include "codegen/module.h"
#include "ir/eval.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct Interpreter {
    Arena *arena;
    const Program *program;
    mdl_model model;
    const Type **types; /* of the values handed out by model: rows[i] has types[i] */
    const mdl_value **rows;
    int n_rows, cap_rows;
    InterpreterRun *run;      /* NULL: eval_graph */
    void *context;
};

struct mdl_session {
    const mdl_model *model; /* first: mdl_of */
    Interpreter *interpreter;
    Arena *values;         /* holds slots; made anew after every call */
    Tensor **slots;        /* NULL: a cache that no call has touched */
    int64_t *sizes;        /* by size name, of the latest call */
    uint64_t seed, *steps; /* by entry: successful calls */
    char error[512];
};

static Interpreter *interpreted;
static char open_error[512];

static int failed(mdl_session *s, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int failed(mdl_session *s, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(s ? s->error : open_error, sizeof open_error, format, ap);
    va_end(ap);
    return code;
}

/* ---- tables -------------------------------------------------------------------------------------------------------------- */

static int64_t axis_code(Size s) {
    int64_t fixed;
    if (size_is_const(s, &fixed)) return fixed;
    bool bare = s->n == 1 && s->constant == 0 && s->term[0].coefficient == 1 && s->term[0].n == 1 &&
                s->term[0].factor[0]->kind == ATOM_NAME;
    return bare ? MDL_NAMED - s->term[0].factor[0]->name->index : MDL_COMPUTED;
}

static mdl_dtype dtype_row(DType d) {
    return (mdl_dtype){(uint8_t)dtype_code(d), (uint8_t)dtype_bits(d), 1};
}

static void value_fill(Interpreter *it, mdl_value *v, const char *name, int kind, const Type *type) {
    int64_t *dims = NEW_ARRAY(it->arena, int64_t, type->rank + 1);
    for (int i = 0; i < type->rank; i++) dims[i] = axis_code(type->dim[i]);
    *v = (mdl_value){.name = name,
                     .kind = kind,
                     .dtype = dtype_row(type->dtype),
                     .rank = type->rank,
                     .dims = dims,
                     .shape = type_said(it->arena, type)};
    if (it->n_rows == it->cap_rows) {
        size_t cap = it->cap_rows ? 2 * (size_t)it->cap_rows : 64, n = (size_t)it->n_rows;
        it->rows = arena_grow(it->arena, it->rows, n * sizeof *it->rows, cap * sizeof *it->rows);
        it->types = arena_grow(it->arena, it->types, n * sizeof *it->types, cap * sizeof *it->types);
        it->cap_rows = (int)cap;
    }
    it->rows[it->n_rows] = v;
    it->types[it->n_rows++] = type;
}

static const mdl_value *slots_table(Interpreter *it) {
    static const int kinds[] = {[SLOT_PARAM] = MDL_PARAM, [SLOT_STATE] = MDL_STATE, [SLOT_CACHE] = MDL_CACHE};
    mdl_value *rows = NEW_ARRAY(it->arena, mdl_value, it->program->slots.n + 1);
    for (int i = 0; i < it->program->slots.n; i++) {
        const Slot *slot = it->program->slots.at[i];
        value_fill(it, &rows[i], slot->path, kinds[slot->kind], &slot->type);
    }
    return rows;
}

static const mdl_size *sizes_table(Interpreter *it) {
    int n = size_inputs(it->program->sizes);
    mdl_size *rows = NEW_ARRAY(it->arena, mdl_size, n + 1);
    for (int i = 0; i < n; i++) {
        const SizeName *name = size_name_at(it->program->sizes, i);
        rows[i] = (mdl_size){name->name, name->low, name->high == SIZE_NO_LIMIT ? -1 : name->high, -1};
    }
    return rows;
}

static const mdl_entry *entries_table(Interpreter *it) {
    mdl_entry *rows = NEW_ARRAY(it->arena, mdl_entry, it->program->entries.n + 1);
    for (int i = 0; i < it->program->entries.n; i++) {
        const Entry *e = it->program->entries.at[i];
        int n_out = e->graph->results.n;
        int32_t *sizes = NEW_ARRAY(it->arena, int32_t, e->n_sizes + 1);
        mdl_value *in = NEW_ARRAY(it->arena, mdl_value, e->n_inputs + 1), *out = NEW_ARRAY(it->arena, mdl_value, n_out + 1);
        for (int k = 0; k < e->n_sizes; k++) sizes[k] = e->sizes[k]->index;
        for (int k = 0; k < e->n_inputs; k++) value_fill(it, &in[k], e->inputs[k].name, MDL_INPUT, &e->inputs[k].type);
        for (int k = 0; k < n_out; k++)
            value_fill(it, &out[k], e->graph->results.at[k].name, MDL_OUTPUT, &e->graph->results.at[k].value->type);
        rows[i] = (mdl_entry){e->name, e->train, e->n_sizes, e->n_inputs, n_out, sizes, in, out, ""};
    }
    return rows;
}

/* ---- sessions ------------------------------------------------------------------------------------------------------------ */

static bool type_dims(const Type *t, const int64_t *sizes, int64_t *dims) {
    for (int i = 0; i < t->rank; i++) {
        if (!size_eval(t->dim[i], sizes, &dims[i])) return false;
    }
    return true;
}

/* The initial value of a slot for the session's sizes. */
static int slot_make(mdl_session *s, Arena *arena, int index) {
    const Program *p = s->interpreter->program;
    const Slot *slot = p->slots.at[index];
    int64_t dims[MAX_RANK];
    if (slot->data) {
        if (!type_dims(&slot->type, s->sizes, dims)) return failed(s, MDL_RANGE, "%s has no size", slot->path);
        s->slots[index] = tensor_from_bytes(arena, slot->type.dtype, slot->type.rank, dims, slot->data);
        return MDL_OK;
    }
    const Graph *g = slot_init_graph(arena, p, index);
    Tensor *none[1], **values = NEW_ARRAY(arena, Tensor *, p->slots.n + 1);
    Eval e = {.arena = arena, .program = p, .sizes = s->sizes, .slots = values, .seed = s->seed, .step = UINT64_MAX};
    if (!eval_graph(&e, g, none)) return failed(s, e.status, "%s: %s", slot->path, e.error);
    s->slots[index] = values[index];
    return MDL_OK;
}

/* Makes the slots of one kind that are missing: caches when an entry touches them, the others when a session opens. */
static int slots_make(mdl_session *s, const Graph *g) {
    const Program *p = s->interpreter->program;
    bool *wanted = NEW_ARRAY(s->values, bool, p->slots.n + 1);
    for (int i = 0; g && i < g->nodes.n; i++) {
        if (g->nodes.at[i]->op == OP_SLOT) wanted[g->nodes.at[i]->attrs.index] = true;
    }
    for (int i = 0; i < p->slots.n; i++) {
        bool cache = p->slots.at[i]->kind == SLOT_CACHE;
        if (s->slots[i] || cache != (g != NULL) || (cache && !wanted[i])) continue;
        int code = slot_make(s, s->values, i);
        if (code) return code;
    }
    return MDL_OK;
}

static Tensor *tensor_copy(Arena *arena, const Tensor *t) {
    Tensor *copy = tensor_new(arena, t->dtype, t->rank, t->dim);
    if (t->f) memcpy(copy->f, t->f, sizeof *t->f * (size_t)t->count);
    if (t->i) memcpy(copy->i, t->i, sizeof *t->i * (size_t)t->count);
    return copy;
}

/* After a call: slots move to a fresh arena, and everything else of the call is freed. */
static void values_settle(mdl_session *s) {
    Arena *fresh = arena_new();
    for (int i = 0; i < s->interpreter->program->slots.n; i++) {
        if (s->slots[i]) s->slots[i] = tensor_copy(fresh, s->slots[i]);
    }
    arena_free(s->values);
    s->values = fresh;
}

static void session_close(mdl_session *s) {
    if (!s) return;
    arena_free(s->values);
    free(s->slots);
    free(s->sizes);
    free(s->steps);
    free(s);
}

static int session_open(mdl_session **out, const mdl_options *options) {
    Interpreter *it = interpreted;
    *out = NULL;
    if (options && options->weights)
        return failed(NULL, MDL_ARGUMENT, "the interpreter takes weights from modelc's --load=F alone");
    if (options && options->flags & MDL_CHECK_NUMBERS)
        return failed(NULL, MDL_ARGUMENT, "the interpreter does not look for NaN: leave out --interpret or --check-nan");
    mdl_session *s = calloc(1, sizeof *s);
    if (!s) return failed(NULL, MDL_MEMORY, "no memory for a session");
    s->model = &it->model;
    s->interpreter = it;
    s->values = arena_new();
    s->slots = calloc((size_t)it->program->slots.n + 1, sizeof *s->slots);
    s->sizes = calloc((size_t)size_inputs(it->program->sizes) + 1, sizeof *s->sizes);
    s->steps = calloc((size_t)it->program->entries.n + 1, sizeof *s->steps);
    s->seed = options ? options->seed : 0;
    int code = s->slots && s->sizes && s->steps ? slots_make(s, NULL) : failed(s, MDL_MEMORY, "no memory for a session");
    if (code) {
        memcpy(open_error, s->error, sizeof open_error);
        session_close(s);
        return code;
    }
    *out = s;
    return MDL_OK;
}

/* ---- calls --------------------------------------------------------------------------------------------------------------- */

static int64_t dims_count(int rank, const int64_t *dims) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dims[i];
    return n;
}

/* Is the tensor what the entry declares, row-major without gaps? */
static int tensor_check(mdl_session *s, const Entry *e, const char *name, const Type *type, const int64_t *dims,
                        const mdl_tensor *t) {
    mdl_dtype d = dtype_row(type->dtype);
    bool same = t->data && t->rank == type->rank && t->dtype.code == d.code && t->dtype.bits == d.bits;
    int64_t stride = 1;
    for (int i = type->rank - 1; same && i >= 0; i--) {
        same = t->shape[i] == dims[i] && (!t->strides || t->shape[i] == 1 || t->strides[i] == stride);
        stride *= dims[i];
    }
    if (same) return MDL_OK;
    return failed(s, MDL_ARGUMENT, "%s: %s is not a row-major %s", e->name, name, type_said(s->values, type));
}

static int call_sizes(mdl_session *s, const Entry *e, const int64_t *sizes) {
    for (int i = 0; i < e->n_sizes; i++) {
        const SizeName *n = e->sizes[i];
        if (sizes[i] < n->low || sizes[i] > n->high) {
            if (n->high == SIZE_NO_LIMIT)
                return failed(s, MDL_RANGE, "%s: %s = %lld is not at least %lld", e->name, n->name, (long long)sizes[i],
                              (long long)n->low);
            return failed(s, MDL_RANGE, "%s: %s = %lld is not in %lld..%lld", e->name, n->name, (long long)sizes[i],
                          (long long)n->low, (long long)n->high);
        }
        s->sizes[n->index] = sizes[i];
    }
    return MDL_OK;
}

/* Caches keep the sizes that they were made with. */
static int call_caches(mdl_session *s, const Entry *e) {
    const Program *p = s->interpreter->program;
    int64_t dims[MAX_RANK];
    for (int i = 0; i < e->graph->nodes.n; i++) {
        const Node *n = e->graph->nodes.at[i];
        if (n->op != OP_SLOT || !s->slots[n->attrs.index]) continue;
        const Tensor *t = s->slots[n->attrs.index];
        bool same = type_dims(&n->type, s->sizes, dims);
        for (int k = 0; same && k < t->rank; k++) same = t->dim[k] == dims[k];
        if (!same)
            return failed(s, MDL_RANGE, "%s: the cache %s has another size in this session, until it is reset", e->name,
                          p->slots.at[n->attrs.index]->path);
    }
    return slots_make(s, e->graph);
}

static int session_call(mdl_session *s, int32_t index, const int64_t *sizes, const mdl_tensor *inputs, mdl_tensor *outputs) {
    const Program *p = s->interpreter->program;
    if (index < 0 || index >= p->entries.n) return failed(s, MDL_ARGUMENT, "there is no entry number %d", index);
    const Entry *e = p->entries.at[index];
    int n_out = e->graph->results.n;
    int64_t dims[MAX_RANK];
    Tensor **in = NEW_ARRAY(s->values, Tensor *, e->n_inputs + 1), **out = NEW_ARRAY(s->values, Tensor *, n_out + 1);
    int code = call_sizes(s, e, sizes);
    for (int i = 0; !code && i < e->n_inputs; i++) {
        const EntryInput *input = &e->inputs[i];
        if (!type_dims(&input->type, s->sizes, dims))
            return failed(s, MDL_RANGE, "%s: the size of %s overflows", e->name, input->name);
        code = tensor_check(s, e, input->name, &input->type, dims, &inputs[i]);
        if (!code)
            in[i] = tensor_from_bytes(s->values, input->type.dtype, input->type.rank, dims,
                                      (const char *)inputs[i].data + inputs[i].offset);
    }
    for (int i = 0; !code && i < n_out; i++) {
        const Result *r = &e->graph->results.at[i];
        if (!type_dims(&r->value->type, s->sizes, dims))
            return failed(s, MDL_RANGE, "%s: the size of %s overflows", e->name, r->name);
        code = tensor_check(s, e, r->name, &r->value->type, dims, &outputs[i]);
    }
    if (!code) code = call_caches(s, e);
    if (code) return code;
    Eval eval = {.arena = s->values,
                 .program = p,
                 .sizes = s->sizes,
                 .inputs = in,
                 .slots = s->slots,
                 .seed = s->seed,
                 .step = s->steps[index],
                 .print = stderr};
    const Interpreter *it = s->interpreter;
    bool done = it->run ? it->run(it->context, &eval, e, out) : eval_graph(&eval, e->graph, out);
    if (!done) return failed(s, eval.status, "%s: %s", e->name, eval.error);
    for (int i = 0; i < n_out; i++) tensor_to_bytes(out[i], (char *)outputs[i].data + outputs[i].offset);
    s->steps[index]++;
    values_settle(s);
    return MDL_OK;
}

/* The entry whose input or output v is; NULL: v is a slot. */
static const mdl_entry *value_entry(const mdl_model *m, const mdl_value *v) {
    for (int i = 0; i < m->n_entries; i++) {
        const mdl_entry *e = &m->entries[i];
        if ((v >= e->inputs && v < e->inputs + e->n_inputs) || (v >= e->outputs && v < e->outputs + e->n_outputs)) return e;
    }
    return NULL;
}

/* Sizes come in the order of the entry's arguments, for slots in that of the table; types want the latter. */
static int value_shape(const mdl_value *v, const int64_t *sizes, int64_t *shape) {
    Interpreter *it = interpreted;
    const mdl_entry *e = value_entry(&it->model, v);
    int64_t values[it->model.n_sizes + 1];
    for (int i = 0; i < it->model.n_sizes; i++) values[i] = e || !sizes ? 0 : sizes[i];
    for (int i = 0; e && i < e->n_sizes; i++) values[e->sizes[i]] = sizes[i];
    for (int i = 0; i < it->n_rows; i++) {
        if (it->rows[i] == v) return type_dims(it->types[i], values, shape) ? MDL_OK : MDL_RANGE;
    }
    return MDL_ARGUMENT;
}

static int64_t entry_bytes_unknown(int32_t entry, const int64_t *sizes) {
    (void)entry, (void)sizes;
    return 0;
}

/* ---- values by name ------------------------------------------------------------------------------------------------------ */

static int slot_find(mdl_session *s, const char *path) {
    const Program *p = s->interpreter->program;
    for (int i = 0; i < p->slots.n; i++) {
        if (!strcmp(p->slots.at[i]->path, path)) return i;
    }
    return -1;
}

static int session_get(mdl_session *s, const char *path, mdl_tensor *t) {
    int i = slot_find(s, path);
    if (i < 0 || !s->slots[i]) return failed(s, MDL_ARGUMENT, "there is no value %s", path);
    Tensor *v = s->slots[i];
    if (t->data) {
        if (dims_count(t->rank, t->shape) != v->count) return failed(s, MDL_ARGUMENT, "%s has another shape", path);
        tensor_to_bytes(v, (char *)t->data + t->offset);
        return MDL_OK;
    }
    t->dtype = dtype_row(v->dtype);
    t->rank = v->rank;
    if (t->shape) memcpy(t->shape, v->dim, sizeof *v->dim * (size_t)v->rank);
    else t->shape = v->dim;
    return MDL_OK;
}

static int session_set(mdl_session *s, const char *path, const mdl_tensor *t) {
    int i = slot_find(s, path);
    if (i < 0 || !s->slots[i]) return failed(s, MDL_ARGUMENT, "there is no value %s", path);
    Tensor *v = s->slots[i];
    mdl_dtype d = dtype_row(v->dtype);
    bool same = t->rank == v->rank && t->dtype.code == d.code && t->dtype.bits == d.bits && !t->strides;
    for (int k = 0; same && k < v->rank; k++) same = t->shape[k] == v->dim[k];
    if (!same)
        return failed(s, MDL_MISMATCH, "%s is not %s", path, type_said(s->values, &s->interpreter->program->slots.at[i]->type));
    s->slots[i] = tensor_from_bytes(s->values, v->dtype, v->rank, v->dim, (const char *)t->data + t->offset);
    return MDL_OK;
}

static int session_reset(mdl_session *s) {
    for (int i = 0; i < s->interpreter->program->slots.n; i++) {
        if (s->interpreter->program->slots.at[i]->kind == SLOT_CACHE) s->slots[i] = NULL;
    }
    return MDL_OK;
}

static int session_seed(mdl_session *s, uint64_t seed) {
    s->seed = seed;
    memset(s->steps, 0, sizeof *s->steps * (size_t)s->interpreter->program->entries.n);
    return MDL_OK;
}

static const char *session_error(const mdl_session *s) {
    return s ? s->error : open_error;
}

static int session_load(mdl_session *s, const char *path) {
    return failed(s, MDL_IO, "the interpreter does not load %s: modelc run --load=%s puts it into the program", path, path);
}

static int session_save(mdl_session *s, const char *path, int32_t optimizer) {
    (void)optimizer;
    return failed(s, MDL_IO, "the interpreter does not save %s", path);
}

static int session_stats(const mdl_session *s, int32_t kernel, const char **name, const char **source, int64_t *calls,
                         int64_t *ns) {
    (void)s, (void)kernel, (void)name, (void)source, (void)calls, (void)ns;
    return MDL_ARGUMENT;
}

static int session_selftest(mdl_session *s, const char **first_wrong_layer, double *error) {
    (void)first_wrong_layer, (void)error;
    return failed(s, MDL_ARGUMENT, "the interpreter is what others are tested against");
}

static int session_note(mdl_session *s, const char *key, const char *value, char *out, size_t out_size) {
    (void)key, (void)value;
    if (out && out_size) out[0] = 0;
    return s ? MDL_OK : MDL_ARGUMENT;
}

Interpreter *interpreter_new(Arena *arena, const Program *program) {
    Interpreter *it = NEW(arena, Interpreter);
    it->arena = arena;
    it->program = program;
    it->model = (mdl_model){
        .abi = MDL_ABI,
        .size = sizeof it->model,
        .name = program->name,
        .version = "",
        .compiler = "the reference interpreter",
        .target = "",
        .n_entries = program->entries.n,
        .n_values = program->slots.n,
        .n_sizes = size_inputs(program->sizes),
        .run = program->run_json,
        .open = session_open,
        .close = session_close,
        .call = session_call,
        .shape = value_shape,
        .bytes = entry_bytes_unknown,
        .load = session_load,
        .save = session_save,
        .get = session_get,
        .set = session_set,
        .reset = session_reset,
        .seed = session_seed,
        .error = session_error,
        .stats = session_stats,
        .selftest = session_selftest,
        .note = session_note,
    };
    it->model.entries = entries_table(it);
    it->model.values = slots_table(it);
    it->model.sizes = sizes_table(it);
    interpreted = it;
    return it;
}

const mdl_model *interpreter_model(Interpreter *it) {
    return &it->model;
}

void interpreter_by(Interpreter *it, InterpreterRun *run, void *context) {
    it->run = run;
    it->context = context;
}
