/* inspect.c -- what is in a program: `modelc params` and `modelc entries`. */
#include "codegen/inspect.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t static_count(const Type *t) {
    int64_t count = 1, size;
    for (int i = 0; i < t->rank; i++) {
        if (!size_is_const(t->dim[i], &size) || __builtin_mul_overflow(count, size, &count)) return -1;
    }
    return count;
}

static void print_json(json_t *value) {
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text) bug("no memory for JSON");
    puts(text);
    free(text);
    json_decref(value);
}

static const char *slot_kind_name(SlotKind k) {
    return k == SLOT_PARAM ? "param" : k == SLOT_STATE ? "state" : "cache";
}

void params_print(Arena *arena, const Program *p) {
    int width = 4, shape = 5;
    int64_t parameters = 0;
    for (int i = 0; i < p->slots.n; i++) {
        int n = (int)strlen(p->slots.at[i]->path), m = (int)strlen(type_said(arena, &p->slots.at[i]->type));
        if (n > width) width = n;
        if (m > shape) shape = m;
    }
    printf("%-*s  %-5s  %-*s  %s\n", width, "path", "kind", shape, "shape", "elements");
    for (int i = 0; i < p->slots.n; i++) {
        const Slot *slot = p->slots.at[i];
        int64_t count = static_count(&slot->type);
        printf("%-*s  %-5s  %-*s  ", width, slot->path, slot_kind_name(slot->kind), shape, type_said(arena, &slot->type));
        printf("%s%s\n", count < 0 ? "-" : arena_printf(arena, "%lld", (long long)count), slot->frozen ? "  frozen" : "");
        if (slot->kind == SLOT_PARAM && count > 0) parameters += count;
    }
    printf("%lld parameters\n", (long long)parameters);
}

void params_json(Arena *arena, const Program *p) {
    json_t *list = json_array();
    for (int i = 0; i < p->slots.n; i++) {
        const Slot *slot = p->slots.at[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:b, s:b}", "path", slot->path, "kind",
                                              slot_kind_name(slot->kind), "shape", type_said(arena, &slot->type), "elements",
                                              (json_int_t)static_count(&slot->type), "frozen", slot->frozen, "optimizer",
                                              slot->optimizer));
    }
    print_json(list);
}

void entries_print(Arena *arena, const Program *p) {
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        printf("%s %s", e->train ? "train" : "entry", e->name);
        for (int k = 0; k < e->n_sizes; k++) {
            const SizeName *n = e->sizes[k];
            printf("%s%s in %lld..", k ? ", " : "[", n->name, (long long)n->low);
            if (n->high != SIZE_NO_LIMIT) printf("%lld", (long long)n->high);
        }
        fputs(e->n_sizes ? "](" : "(", stdout);
        for (int k = 0; k < e->n_inputs; k++)
            printf("%s%s: %s", k ? ", " : "", e->inputs[k].name, type_said(arena, &e->inputs[k].type));
        fputs(") -> (", stdout);
        for (int k = 0; k < e->graph->results.n; k++) {
            const Result *r = &e->graph->results.at[k];
            printf("%s%s: %s", k ? ", " : "", r->name, type_said(arena, &r->value->type));
        }
        puts(")");
    }
}

static json_t *named_type_json(Arena *arena, const char *name, const Type *t) {
    return json_pack("{s:s, s:s}", "name", name, "type", type_said(arena, t));
}

void entries_json(Arena *arena, const Program *p) {
    json_t *list = json_array();
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        json_t *sizes = json_array(), *inputs = json_array(), *results = json_array();
        for (int k = 0; k < e->n_sizes; k++) {
            const SizeName *n = e->sizes[k];
            json_array_append_new(sizes, json_pack("{s:s, s:I, s:o}", "name", n->name, "low", (json_int_t)n->low, "high",
                                                   n->high == SIZE_NO_LIMIT ? json_null() : json_integer(n->high)));
        }
        for (int k = 0; k < e->n_inputs; k++)
            json_array_append_new(inputs, named_type_json(arena, e->inputs[k].name, &e->inputs[k].type));
        for (int k = 0; k < e->graph->results.n; k++) {
            const Result *r = &e->graph->results.at[k];
            json_array_append_new(results, named_type_json(arena, r->name, &r->value->type));
        }
        json_array_append_new(list, json_pack("{s:s, s:b, s:o, s:o, s:o}", "name", e->name, "train", e->train, "sizes", sizes,
                                              "inputs", inputs, "results", results));
    }
    print_json(list);
}
