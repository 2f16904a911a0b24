/* eval.c -- the reference interpreter: runs a graph node by node. What each op means is eval_X in op_*.c.
 *
 * Only nodes that results and effects need are computed. A large value lives in an arena of its own that is freed after its
 * last reader, so that a training step of a model needs the memory of what is alive. Effects are judged when all values are
 * there, in order of the text; if a node itself fails (a remainder by 0, say), the checks that can already be judged speak
 * first. */
#include "ir/op.h"

#include "runtime/mdl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool eval_fail(Eval *e, int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    e->status = status;
    e->error = arena_vprintf(e->arena, format, ap);
    va_end(ap);
    return false;
}

bool eval_size(Eval *e, Size s, int64_t *value) {
    if (size_is_const(s, value)) return true;
    if (size_eval(s, e->sizes, value)) return true;
    return eval_fail(e, MDL_RANGE, "the size %s cannot be computed", size_text(e->arena, s));
}

Tensor *eval_new(Eval *e, const Type *type) {
    int64_t dim[MAX_RANK], count = 1;
    for (int i = 0; i < type->rank; i++) {
        if (!eval_size(e, type->dim[i], &dim[i])) return NULL;
        if (dim[i] < 0) {
            eval_fail(e, MDL_RANGE, "the size %s is %" PRId64, size_text(e->arena, type->dim[i]), dim[i]);
            return NULL;
        }
        if (__builtin_mul_overflow(count, dim[i], &count) || count > INT64_C(1) << 40) {
            eval_fail(e, MDL_RANGE, "%s is too large", type_text(e->arena, type));
            return NULL;
        }
    }
    return tensor_new(e->arena, type->dtype, type->rank, dim);
}

static Tensor *tensor_copy(Arena *a, const Tensor *t) {
    Tensor *c = tensor_new(a, t->dtype, t->rank, t->dim);
    if (t->count && t->f) memcpy(c->f, t->f, sizeof(double) * (size_t)t->count);
    if (t->count && t->i) memcpy(c->i, t->i, sizeof(int64_t) * (size_t)t->count);
    return c;
}

/* ---- effects ------------------------------------------------------------------------------------------------------------- */

static bool eval_range(Eval *e, const Effect *effect, const Tensor *t) {
    int64_t lo, hi;
    if (!eval_size(e, effect->lo, &lo) || !eval_size(e, effect->hi, &hi)) return false;
    int64_t index[MAX_RANK] = {0};
    for (int64_t k = 0; k < t->count; k++, index_next(t->rank, t->dim, index)) {
        if (lo <= t->i[k] && t->i[k] < hi) continue;
        const char *place = "";
        for (int i = 0; i < t->rank; i++) place = arena_printf(e->arena, "%s%s%" PRId64, place, i ? ", " : "[", index[i]);
        if (t->rank) place = arena_printf(e->arena, "%s]", place);
        return eval_fail(e, MDL_RANGE, "%s%s = %" PRId64 " is not in %" PRId64 " to %" PRId64,
                         effect->text ? effect->text : "index", place, t->i[k], lo, hi - 1);
    }
    return true;
}

/* One value with nine digits; several as dtype, smallest, mean, largest and the first eight: as rt_print of the runtime does. */
static void print_tensor(FILE *f, const Tensor *t) {
    double low = 0, high = 0, sum = 0;
    for (int64_t k = 0; k < t->count; k++) {
        double x = t->f ? t->f[k] : (double)t->i[k];
        low = k == 0 || x < low ? x : low;
        high = k == 0 || x > high ? x : high;
        sum += x;
    }
    if (t->count != 1) {
        double mean = t->count ? sum / (double)t->count : 0;
        fprintf(f, " %s min %.9g mean %.9g max %.9g:", dtype_name(t->dtype), low, mean, high);
    }
    for (int64_t k = 0; k < t->count && k < 8; k++) fprintf(f, " %.9g", t->f ? t->f[k] : (double)t->i[k]);
}

/* Values that are not there yet (values[id] NULL) are passed over when `partial`; then nothing is printed. */
static bool judge_effects(Eval *e, const Graph *g, Tensor **const *values, bool partial) {
    for (int k = 0; k < g->effects.n; k++) {
        const Effect *effect = &g->effects.at[k];
        const Tensor *t = effect->value && values[effect->value->id] ? values[effect->value->id][0] : NULL;
        if (!t && (partial || effect->value)) continue;
        switch (effect->kind) {
        case EFFECT_STORE:
        case EFFECT_RESET: break;
        case EFFECT_CHECK:
            if (!t->i[0]) return eval_fail(e, MDL_ASSERT, "%s", effect->text ? effect->text : "assertion failed");
            break;
        case EFFECT_RANGE:
            if (!eval_range(e, effect, t)) return false;
            break;
        case EFFECT_PRINT:
            if (!e->print || partial) break;
            if (effect->text) fputs(effect->text, e->print);
            if (t) print_tensor(e->print, t);
            fputc('\n', e->print);
            break;
        }
    }
    return true;
}

/* ---- a graph ------------------------------------------------------------------------------------------------------------- */

enum { LARGE = 4096 }; /* elements: a value of its own arena */

typedef struct Run {
    const Graph *g;
    bool *live;
    int *last;        /* last node that reads it; g->nodes.n: a result or an effect */
    Tensor ***values; /* by node: its results */
    Arena **own;      /* by node, or NULL */
    Arena *arena;     /* the rest */
} Run;

static void run_lifetimes(Run *r) {
    const Graph *g = r->g;
    for (int k = 0; k < g->nodes.n; k++) r->last[k] = -1;
    for (int k = 0; k < g->results.n; k++)
        r->live[g->results.at[k].value->id] = true, r->last[g->results.at[k].value->id] = g->nodes.n;
    for (int k = 0; k < g->effects.n; k++) {
        const Node *v = g->effects.at[k].value;
        if (v) r->live[v->id] = true, r->last[v->id] = g->nodes.n;
    }
    for (int k = g->nodes.n; k-- > 0;) {
        const Node *n = g->nodes.at[k];
        if (!r->live[k]) continue;
        int until = n->op == OP_GET && r->last[k] > k ? r->last[k] : k; /* a get is its operand's memory */
        for (int i = 0; i < n->n_in; i++) {
            r->live[n->in[i]->id] = true;
            if (r->last[n->in[i]->id] < until) r->last[n->in[i]->id] = until;
        }
    }
}

int node_results(const Node *n) {
    switch (n->op) {
    case OP_SCAN: return n->attrs.counts[1] + n->attrs.counts[3];
    case OP_CALL: return n->attrs.body->results.n;
    case OP_GRAD: return n->n_in - 1;
    case OP_CUSTOM: return n->attrs.counts[0] + 1;
    default: return 1;
    }
}

static bool large(Eval *e, const Node *n) {
    if (n->type.rank < 0) return true;
    int64_t count;
    return eval_size(e, type_count(n->graph, &n->type), &count) && count >= LARGE;
}

static bool run_nodes(Eval *e, Run *r, Tensor *const *args) {
    for (int k = 0; k < r->g->nodes.n; k++) {
        const Node *n = r->g->nodes.at[k];
        if (!r->live[k]) continue;
        Tensor *few[8], **in = n->n_in <= 8 ? few : NEW_ARRAY(r->arena, Tensor *, n->n_in);
        for (int i = 0; i < n->n_in; i++) in[i] = r->values[n->in[i]->id][0];
        if (n->op == OP_GET) {
            r->values[k] = r->values[n->in[0]->id] + n->attrs.index;
            continue;
        }
        Tensor **out = NEW_ARRAY(r->arena, Tensor *, node_results(n));
        if (n->op == OP_ARG) {
            out[0] = args[n->attrs.index];
            r->values[k] = out;
            continue;
        }
        e->arena = r->arena;
        if (large(e, n)) e->arena = r->own[k] = arena_new();
        if (e->status || !eval_node(e, n, in, out)) return false;
        r->values[k] = out;
        for (int i = 0; i < n->n_in; i++) {
            int dead = n->in[i]->id;
            if (r->last[dead] > k || !r->own[dead]) continue;
            arena_free(r->own[dead]);
            r->own[dead] = NULL;
        }
    }
    return true;
}

/* Runs g and copies results (and stored values, by effect) to arena `to`. */
static bool run_graph(Eval *e, const Graph *g, Tensor *const *args, Arena *to, Tensor **results, Tensor **stores) {
    Arena *scratch = arena_new();
    int n = g->nodes.n;
    Run r = {g,
             NEW_ARRAY(scratch, bool, n),
             NEW_ARRAY(scratch, int, n),
             NEW_ARRAY(scratch, Tensor **, n),
             NEW_ARRAY(scratch, Arena *, n),
             scratch};
    run_lifetimes(&r);
    bool good = run_nodes(e, &r, args);
    e->arena = scratch;
    if (good) {
        good = judge_effects(e, g, r.values, false);
    } else {
        int status = e->status;
        const char *error = e->error;
        if (judge_effects(e, g, r.values, true)) e->status = status, e->error = error;
    }
    e->arena = to;
    if (!good) e->error = arena_copy(to, e->error, strlen(e->error));
    for (int k = 0; good && k < g->results.n; k++) results[k] = tensor_copy(to, r.values[g->results.at[k].value->id][0]);
    for (int k = 0; good && stores && k < g->effects.n; k++) {
        const Effect *effect = &g->effects.at[k];
        if (effect->kind == EFFECT_STORE) stores[k] = tensor_copy(to, r.values[effect->value->id][0]);
    }
    for (int k = 0; k < n; k++) arena_free(r.own[k]);
    arena_free(scratch);
    return good;
}

bool eval_graph(Eval *e, const Graph *g, Tensor **results) {
    e->status = MDL_OK;
    e->error = NULL;
    Arena *outer = e->arena;
    Tensor **stores = NEW_ARRAY(outer, Tensor *, g->effects.n);
    bool good = run_graph(e, g, NULL, outer, results, stores);
    e->arena = outer;
    for (int k = 0; good && k < g->effects.n; k++)
        if (stores[k] || g->effects.at[k].kind == EFFECT_RESET) e->slots[g->effects.at[k].index] = stores[k];
    return good;
}

bool eval_body(Eval *e, const Graph *body, Tensor *const *args, Tensor **results) {
    Arena *outer = e->arena;
    bool good = run_graph(e, body, args, outer, results, NULL);
    e->arena = outer;
    return good;
}

bool eval_node(Eval *e, const Node *n, Tensor *const *in, Tensor **out) { return op_eval(n->op)(e, n, in, out); }
