/* plan.c -- what everybody asks a plan: what an operand is made of, how much memory it takes, its text. How plans are made:
 * passes/plan.c. */
#include "ir/plan.h"

#include <inttypes.h>
#include <string.h>

int plan_part(const Node *n, int parts) {
    const Type *whole = &n->in[0]->type;
    int last = n->type.rank - 1;
    if (n->op != OP_SLICE || last < 0) return -1;
    for (int i = 0; i < last; i++)
        if (n->type.dim[i] != whole->dim[i]) return -1;
    if (size_scale(n->type.dim[last], parts) != whole->dim[last]) return -1;
    for (int i = 0; i < parts; i++)
        if (n->attrs.lo[last] == size_scale(n->type.dim[last], i)) return i;
    return -1;
}

Node *plan_base(Node *n) {
    while (op_row(n->op)->class == CLASS_VIEW) n = n->in[0];
    return n;
}

static int64_t rounded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

void plan_peak(const Plan *p, const int64_t *sizes, int64_t *peak, int64_t *bound) {
    Arena *scratch = arena_new();
    int64_t *end = NEW_ARRAY(scratch, int64_t, p->buffers.n), *bytes = NEW_ARRAY(scratch, int64_t, p->buffers.n);
    *peak = *bound = 0;
    for (int i = 0; i < p->buffers.n; i++) {
        int b = p->order[i];
        const Buffer *buffer = &p->buffers.at[b];
        int64_t offset = 0;
        if (!size_eval(buffer->bytes, sizes, &bytes[b])) bytes[b] = 0;
        for (int k = 0; k < buffer->n_below; k++)
            if (end[buffer->below[k]] > offset) offset = end[buffer->below[k]];
        end[b] = offset + rounded(bytes[b]);
        if (end[b] > *peak) *peak = end[b];
    }
    for (int k = 0; k < p->kernels.n; k++) {
        int64_t live = 0;
        for (int i = 0; i < p->buffers.n; i++)
            if (p->buffers.at[i].first <= k && k <= p->buffers.at[i].last) live += rounded(bytes[i]);
        if (live > *bound) *bound = live;
    }
    arena_free(scratch);
}

/* ---- text */

static const char *const KIND[] = {"map", "reduce", "contract", "attention", "attention_gradient", "scatter", "update", "routine", "scan", "check", "print"};
static const char *const LEVEL[] = {"full", "row", "final", "a", "b", "part", "frame", "scalar"};
static const char *const PLACE[] = {"none", "arena", "slot", "input", "result", "data", "arg", "y", "stop"};

typedef struct Writer {
    FILE *f;
    const Plan *p;
    Arena *a;
    int indent;
} Writer;

static void start(const Writer *w) {
    fprintf(w->f, "%*s", w->indent, "");
}

static void write_value(const Writer *w, const Node *n) {
    switch (n->op) {
    case OP_SLOT:
    case OP_INPUT: fprintf(w->f, "%s", n->attrs.name ? n->attrs.name : op_row(n->op)->name); break;
    case OP_ARG: fprintf(w->f, "arg%d", n->attrs.index); break;
    default: fprintf(w->f, "%%%d", n->id); break;
    }
}

/* An operand with the views on the way to its base: reshape(%4). */
static void write_operand(const Writer *w, const Node *n) {
    if (n->op == OP_CONST) {
        if (dtype_is_int(n->type.dtype)) fprintf(w->f, "%" PRId64, n->attrs.whole);
        else fprintf(w->f, "%.9g", n->attrs.number);
    } else if (n->op == OP_SIZE) {
        fprintf(w->f, "size(%s)", size_text(w->a, n->attrs.extent));
    } else if (n->op == OP_IOTA) {
        fprintf(w->f, "iota(%d)", n->attrs.axis);
    } else if (op_row(n->op)->class == CLASS_VIEW) {
        fprintf(w->f, "%s(", op_row(n->op)->name);
        write_operand(w, n->in[0]);
        fputc(')', w->f);
    } else {
        write_value(w, n);
    }
}

static void write_place(const Writer *w, const Node *n) {
    Place at = w->p->places[n->id];
    if (at.kind == PLACE_NONE) return;
    fprintf(w->f, " @%s", PLACE[at.kind]);
    if (at.kind != PLACE_DATA) fprintf(w->f, " %d", at.index);
}

static void write_node(const Writer *w, const Node *n, Level level) {
    static const char *const FN[] = {"sum", "var", "max", "min", "any", "all", "argmax", "argmin"};
    start(w);
    fprintf(w->f, "    %%%d: %s = %s", n->id, n->type.rank < 0 ? "(..)" : type_text(w->a, &n->type), op_row(n->op)->name);
    if (n->op == OP_REDUCE) fprintf(w->f, " %s", FN[n->attrs.fn]);
    for (int i = 0; i < n->n_in; i++) {
        fputs(i ? ", " : " ", w->f);
        write_operand(w, n->in[i]);
    }
    if (n->op == OP_CONTRACT) fprintf(w->f, " [%s][%s]->[%s]", n->attrs.labels[0], n->attrs.labels[1], n->attrs.labels[2]);
    if (n->op == OP_REDUCE) {
        fputs(" [", w->f);
        for (int i = 0; i < n->attrs.n_axes; i++) fprintf(w->f, i ? " %d" : "%d", n->attrs.axes[i]);
        fputc(']', w->f);
    }
    if (n->op == OP_GET) fprintf(w->f, " %d", n->attrs.index);
    if (level != LEVEL_FULL) fprintf(w->f, " ; %s", LEVEL[level]);
    write_place(w, n);
    if (n->name) fprintf(w->f, "  // %s", n->name);
    fputc('\n', w->f);
}

static void write_values(const Writer *w, Node *const *at, int n) {
    fputc('(', w->f);
    for (int i = 0; i < n; i++) {
        if (i) fputs(", ", w->f);
        write_value(w, at[i]);
    }
    fputc(')', w->f);
}

static void write_plan(Writer *w);

static void write_kernel(Writer *w, const Kernel *k) {
    start(w);
    fprintf(w->f, "kernel %d %s [", k->index, KIND[k->kind]);
    for (int i = 0; i < k->space.rank; i++) fprintf(w->f, i ? ", %s" : "%s", size_text(w->a, k->space.dim[i]));
    fputc(']', w->f);
    if (k->row) fprintf(w->f, " row %d", k->row);
    fputc(' ', w->f);
    write_values(w, k->reads.at, k->reads.n);
    fputs(" -> ", w->f);
    write_values(w, k->writes.at, k->writes.n);
    if (k->limit.seen) {
        fprintf(w->f, " seen %s", size_text(w->a, k->limit.offset ? k->limit.plus : k->limit.seen));
        if (k->limit.offset) {
            fputs(" + ", w->f);
            write_operand(w, k->limit.offset);
        }
    }
    if (k->packed.n) {
        fputs(" packed ", w->f);
        write_values(w, k->packed.at, k->packed.n);
    }
    if (k->together > 1) fprintf(w->f, " at once %d of %d%s", k->turn + 1, k->together, k->flat ? ", of any shape" : "");
    const Node *named = k->anchor ? k->anchor : k->nodes.n ? k->nodes.at[0] : NULL;
    if (named && named->path) fprintf(w->f, "  // %s", named->path);
    fputc('\n', w->f);
    if (k->effect) {
        start(w);
        fprintf(w->f, "    \"%s\"\n", k->effect->text ? k->effect->text : "");
    }
    for (int i = 0; i < k->nodes.n; i++) write_node(w, k->nodes.at[i], k->levels.at[i]);
    if (k->body) {
        Writer body = {w->f, k->body, w->a, w->indent + 8};
        start(w);
        fprintf(w->f, "    body");
        if (k->body_buffer >= 0) fprintf(w->f, " in buffer %d", k->body_buffer);
        fputc('\n', w->f);
        write_plan(&body);
    }
}

static void write_plan(Writer *w) {
    const Plan *p = w->p;
    for (int i = 0; i < p->kernels.n; i++) write_kernel(w, p->kernels.at[i]);
    for (int i = 0; i < p->copies.n; i++) {
        start(w);
        fputs("copy ", w->f);
        write_value(w, p->copies.at[i].value);
        fprintf(w->f, " -> @%s %d\n", PLACE[p->copies.at[i].to.kind], p->copies.at[i].to.index);
    }
    for (int i = 0; i < p->buffers.n; i++) {
        const Buffer *b = &p->buffers.at[p->order[i]];
        start(w);
        fprintf(w->f, "buffer %d: %s bytes, kernels %d to %d", p->order[i], size_text(w->a, b->bytes), b->first, b->last);
        for (int k = 0; k < b->n_below; k++) fprintf(w->f, k ? ", %d" : ", above %d", b->below[k]);
        fputc('\n', w->f);
    }
}

const int64_t *kernel_size_values(Arena *a, const Kernel *k, const int64_t *sizes, int64_t offset) {
    if (!k->limit.offset) return sizes;
    const SizeName *name = k->limit.seen->term[0].factor[0]->name;
    SizeTable *t = k->limit.seen->table;
    int64_t *values = NEW_ARRAY(a, int64_t, size_names(t)), seen;
    memcpy(values, sizes, sizeof *values * (size_t)size_inputs(t));
    if (!size_eval(k->limit.plus, sizes, &seen)) bug("a size cannot be computed");
    seen += offset;
    values[name->index] = seen < 1 ? 1 : seen > name->high ? name->high : seen;
    return values;
}

/* Length of the axis of a contract that is looked at in part, as a whole. */
static Size limited_axis(const Kernel *k) {
    const Node *n = k->anchor;
    if (k->limit.axis >= 0) return n->type.dim[k->limit.axis];
    for (int i = 0;; i++)
        if (!strchr(n->attrs.labels[2], n->attrs.labels[0][i])) return n->in[0]->type.dim[i];
}

/* Each axis letter of a product once. Of an axis that is looked at in part, that part; if data decides, its least. */
static Size contract_flops(const Kernel *k, const Node *n) {
    Size flops = size_const(n->graph->program->sizes, 2);
    for (int i = 0; i < n->in[0]->type.rank; i++) flops = size_mul(flops, n->in[0]->type.dim[i]);
    for (int i = 0; i < n->in[1]->type.rank; i++)
        if (!strchr(n->attrs.labels[0], n->attrs.labels[1][i])) flops = size_mul(flops, n->in[1]->type.dim[i]);
    Size all;
    if (k->limit.seen && size_divides(flops, limited_axis(k), &all))
        flops = size_mul(all, k->limit.offset ? k->limit.plus : k->limit.seen);
    return flops;
}

Size plan_kernel_flops(const Kernel *k) {
    Size flops = contract_flops(k, k->anchor);
    if (k->attention) return size_add(flops, contract_flops(k, k->attention->scores));
    for (int i = 0; k->gradient && i < 3; i++) {
        const Node *other[] = {k->gradient->by_weights, k->gradient->by_k, k->gradient->by_v};
        flops = size_add(flops, contract_flops(k, other[i]));
    }
    return flops;
}

/* Bytes of all elements of a type; of an axis that the kernel looks at in part, that part. */
static Size type_bytes(const Graph *g, const Kernel *k, const Type *t) {
    Size bytes = size_scale(type_count(g, t), dtype_bytes(t->dtype)), rest;
    if (!k->limit.seen) return bytes;
    Size whole = k->kind == KERNEL_CONTRACT || k->kind == KERNEL_ATTENTION ? limited_axis(k) : k->space.dim[k->limit.axis];
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] == whole && size_divides(bytes, whole, &rest))
            return size_mul(rest, k->limit.offset ? k->limit.plus : k->limit.seen);
    return bytes;
}

/* The part of stored value v that operand `in` of n takes: NULL where it is all of it, or the operand is another value. */
static const Node *part_taken(const Node *n, int in, const Node *v, bool *all) {
    const Node *part = NULL;
    if (plan_base(n->in[in]) != v) return NULL;
    for (const Node *view = n->in[in]; view != v; view = view->in[0])
        if (view->op == OP_SLICE) part = view;
    if ((n->op == OP_GATHER || n->op == OP_SLICE_AT || n->op == OP_DIAGONAL) && in == 0) part = n;
    if (!part) *all = true;
    return part;
}

static Size bytes_read(const Plan *p, const Kernel *k, const Node *v) {
    Size sum = size_const(p->graph->program->sizes, 0);
    bool all = false;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        for (int in = n->op == OP_UPDATE_AT; in < n->n_in; in++) { /* an update leaves the rest of its first operand alone */
            const Node *part = part_taken(n, in, v, &all);
            if (part) sum = size_add(sum, type_bytes(p->graph, k, &part->type));
        }
    }
    return all ? type_bytes(p->graph, k, &v->type) : sum;
}

Size plan_kernel_bytes(const Plan *p, const Kernel *k) {
    Size sum = size_const(p->graph->program->sizes, 0);
    for (int i = 0; i < k->reads.n; i++) sum = size_add(sum, bytes_read(p, k, k->reads.at[i]));
    for (int i = 0; i < k->writes.n; i++) {
        const Node *w = k->writes.at[i];
        sum = size_add(sum, type_bytes(p->graph, k, w->op == OP_UPDATE_AT ? &w->in[1]->type : &w->type));
    }
    return sum;
}

Size plan_flops(const Plan *p) {
    Size total = size_const(p->graph->program->sizes, 0);
    for (int i = 0; i < p->kernels.n; i++) {
        const Kernel *k = p->kernels.at[i];
        if (k->kind == KERNEL_CONTRACT || k->attention || k->gradient) total = size_add(total, plan_kernel_flops(k));
        if (k->kind == KERNEL_SCAN) total = size_add(total, size_mul(k->anchor->attrs.extent, plan_flops(k->body)));
    }
    return total;
}

const int64_t *plan_most(const Plan *p, const SizeName **unlimited) {
    Arena *arena = p->graph->program->arena;
    SizeTable *t = p->graph->program->sizes;
    int n = size_names(t);
    bool *used = NEW_ARRAY(arena, bool, n + 1);
    int64_t *at = NEW_ARRAY(arena, int64_t, n + 1);
    for (int i = 0; i < p->buffers.n; i++) size_collect(p->buffers.at[i].bytes, used);
    for (int i = 0; i < n; i++) {
        *unlimited = size_name_at(t, i);
        if (!used[i]) continue;
        if ((*unlimited)->high == SIZE_NO_LIMIT) return NULL;
        at[i] = (*unlimited)->high;
    }
    *unlimited = NULL;
    return at;
}

const Node *plan_buffer_node(const Plan *p, int buffer) {
    for (int i = 0; i < p->graph->nodes.n; i++) {
        const Place *at = &p->places[p->graph->nodes.at[i]->id];
        if (at->kind == PLACE_ARENA && at->index == buffer) return p->graph->nodes.at[i];
    }
    return NULL;
}

const char *plan_arena_text(Arena *a, const Plan *p) {
    SizeTable *t = p->graph->program->sizes;
    int n = size_names(t);
    bool *used = NEW_ARRAY(a, bool, n + 1);
    int64_t *at = NEW_ARRAY(a, int64_t, n + 1), peak, bound;
    for (int i = 0; i < p->buffers.n; i++) size_collect(p->buffers.at[i].bytes, used);
    const char *where = "";
    for (int i = 0; i < n; i++) {
        const SizeName *s = size_name_at(t, i);
        at[i] = s->low > 64 ? s->low : s->high < 64 ? s->high : 64;
        if (used[i]) where = arena_printf(a, "%s%s %s = %" PRId64, where, *where ? "," : " at", s->name, at[i]);
    }
    plan_peak(p, at, &peak, &bound);
    return arena_printf(a, "%" PRId64 " bytes%s; no plan needs less than %" PRId64, peak, where, bound);
}

void plan_print(FILE *f, const Plan *p) {
    Writer w = {f, p, arena_new(), 0};
    write_plan(&w);
    fprintf(f, "arena: %s\n", plan_arena_text(w.a, p));
    arena_free(w.a);
}
