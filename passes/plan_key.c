/* plan_key.c -- the structural text of a kernel. Two kernels with equal texts are served by one function: layers of a model
 * share their code. Operands and run-time sizes are numbered by first use. Which slot, input or buffer an operand is, its name,
 * its source place, and the site of a draw are not part of the text; which outputs lie over which inputs is. */
#include "passes/planner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct Key {
    FILE *f;
    Planner *p;
    Kernel *k;
    const Plan *plan;
    bool shapes; /* false: the key is that of the kernel at any shape */
    int *number; /* by node id: of an operand or node of the kernel, from 1; 0 between kernels */
    int operands;
    LIST(int) numbered; /* ids that have one */
} Key;

static void give_number(Key *key, const Node *n) {
    key->number[n->id] = ++key->operands;
    PUSH(key->p->scratch, key->numbered, n->id);
}

static int name_number(Key *key, SizeName *name) {
    for (int i = 0; i < key->k->sizes.n; i++)
        if (key->k->sizes.at[i] == name) return i;
    PUSH(key->p->arena, key->k->sizes, name);
    return key->k->sizes.n - 1;
}

static void key_size(Key *key, Size s) {
    static const char *const ATOM[] = {"name", "floor", "mod", "min", "max"};
    fprintf(key->f, "%" PRId64, s->constant);
    for (int i = 0; i < s->n; i++) {
        const Monomial *m = &s->term[i];
        fprintf(key->f, "%+" PRId64, m->coefficient);
        for (int k = 0; k < m->n; k++) {
            const Atom *a = m->factor[k];
            if (a->kind == ATOM_NAME) {
                fprintf(key->f, "n%d", name_number(key, a->name));
                continue;
            }
            fprintf(key->f, "%s(", ATOM[a->kind]);
            key_size(key, a->a);
            fputc(' ', key->f);
            key_size(key, a->b);
            fputc(')', key->f);
        }
    }
}

static void key_sizes(Key *key, const Size *s, int n) {
    fputc('[', key->f);
    for (int i = 0; i < n; i++) {
        if (i) fputc(',', key->f);
        key_size(key, s[i]);
    }
    fputc(']', key->f);
}

static void key_type(Key *key, const Type *t) {
    fputs(dtype_name(t->dtype), key->f);
    if (!key->shapes) fputs(t->rank == 0 ? "" : "[..]", key->f);
    else if (t->rank >= 0) key_sizes(key, t->dim, t->rank);
}

static void key_attrs(Key *key, const Node *n) {
    const Attrs *a = &n->attrs;
    unsigned has = op_row(n->op)->attrs;
    if (has & A_NUMBER) fprintf(key->f, " %a:%" PRId64, a->number, a->whole);
    if (has & A_AXIS) fprintf(key->f, " axis%d", a->axis);
    if (has & A_AXES && key->shapes) {
        fputs(" axes", key->f);
        for (int i = 0; i < a->n_axes; i++) fprintf(key->f, ".%d", a->axes[i]);
    }
    if (has & A_RANGE) {
        key_sizes(key, a->lo, n->type.rank);
        key_sizes(key, a->hi, n->type.rank);
    }
    if (has & A_LABELS) fprintf(key->f, " %s %s %s", a->labels[0], a->labels[1], a->labels[2]);
    if (has & A_FN) fprintf(key->f, " fn%d", a->fn);
    if (has & A_SITE) fprintf(key->f, " step%" PRIu64, a->step);
    if (has & A_FLAG) fprintf(key->f, " flag%d", a->flag);
    if (has & A_EXTENT) {
        fputc(' ', key->f);
        key_size(key, a->extent);
    }
    if (has & A_WINDOW) {
        const Window *w = &a->window;
        fprintf(key->f, " window%dx%d,%dx%d,%dx%d,%dx%d,%d", w->taps[0], w->taps[1], w->stride[0], w->stride[1], w->dilation[0],
                w->dilation[1], w->before[0], w->before[1], w->groups);
    }
}

/* An operand: the kernel's own node, a stored value, or the leaf or view written out. */
static void key_operand(Key *key, Node *n) {
    if (!key->shapes) n = plan_base(n); /* its elements, or one for all */
    if (key->number[n->id] > 0) {
        fprintf(key->f, " %%%d", key->number[n->id]);
    } else if (node_is_free(n) || node_is_view(n)) {
        fprintf(key->f, " (%s ", op_row(n->op)->name);
        key_type(key, &n->type);
        key_attrs(key, n);
        for (int i = 0; i < n->n_in; i++) key_operand(key, n->in[i]);
        fputc(')', key->f);
    } else {
        give_number(key, n);
        fprintf(key->f, " in%d:", key->number[n->id]);
        key_type(key, &n->type);
    }
}

static bool same_memory(const Plan *plan, const Node *a, const Node *b) {
    Place x = plan->places[a->id], y = plan->places[b->id];
    if (x.kind != y.kind || x.kind == PLACE_NONE || x.kind == PLACE_DATA) return false;
    return x.index == y.index;
}

static void key_write(Key *key) {
    const Kernel *k = key->k;
    fprintf(key->f, "%d space", (int)k->kind);
    if (key->shapes && k->space.rank >= 0) key_sizes(key, k->space.dim, k->space.rank);
    fprintf(key->f, " row%d", key->shapes ? k->row : k->row > 0);
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        fprintf(key->f, "; %s %d ", op_row(n->op)->name, (int)k->levels.at[i]);
        key_type(key, &n->type);
        key_attrs(key, n);
        for (int j = 0; j < n->n_in; j++) key_operand(key, n->in[j]);
        give_number(key, n);
    }
    if (k->effect) fprintf(key->f, "; effect %d", k->index);
    if (k->kind == KERNEL_SCAN) fprintf(key->f, "; scan %d", k->index);
    for (int i = 0; i < k->writes.n; i++) {
        const Node *w = k->writes.at[i];
        fprintf(key->f, "; store %%%d", key->number[w->id]);
        for (int j = 0; j < k->reads.n; j++)
            if (same_memory(key->plan, w, k->reads.at[j])) fprintf(key->f, " over in%d", key->number[k->reads.at[j]->id]);
    }
    if (k->limit.seen) {
        fprintf(key->f, "; limit %d ", k->limit.axis);
        key_size(key, k->limit.seen);
        if (k->limit.offset) fprintf(key->f, " of in%d + ", key->number[k->limit.offset->id]);
        if (k->limit.offset) key_size(key, k->limit.plus);
    }
    for (int i = 0; i < k->packed.n; i++) fprintf(key->f, "; packed in%d", key->number[k->packed.at[i]->id]);
    for (int i = 0; i < k->sizes.n; i++)
        fprintf(key->f, "; n%d %" PRId64 "..%" PRId64, i, k->sizes.at[i]->low, k->sizes.at[i]->high);
}

const char *plan_key(Planner *p, const Plan *plan, Kernel *k, bool shapes, int *number) {
    char *text = NULL;
    size_t length = 0;
    Key key = {.f = open_memstream(&text, &length), .p = p, .k = k, .plan = plan, .shapes = shapes, .number = number};
    if (!key.f) bug("out of memory");
    k->sizes.n = 0;
    key_write(&key);
    fclose(key.f);
    const char *made = arena_copy(p->arena, text, length);
    free(text);
    for (int i = 0; i < key.numbered.n; i++) number[key.numbered.at[i]] = 0;
    return made;
}

void plan_keys(Planner *p, Plan *plan) {
    int *number = NEW_ARRAY(p->scratch, int, p->g->nodes.n);
    for (int i = 0; i < plan->kernels.n; i++) plan->kernels.at[i]->key = plan_key(p, plan, plan->kernels.at[i], true, number);
}
