/* meta.c -- hashes, and the section .mdl.meta: "MDLMETA1", the length of the JSON (u64, little-endian), the JSON, its SHA-256.
 * The JSON says what the tables of mdl.h say, keys sorted; its reader is runtime/mdlrun_meta.c, where the form is written
 * down. */
#include "codegen/digest.h"
#include "codegen/tables.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void sha256(const void *data, size_t n, uint8_t hash[32]) {
    Digest *d = digest_new();
    digest_add(d, data, n);
    digest_end(d, hash);
}

/* ---- hashes -------------------------------------------------------------------------------------------------------------- */

/* A text under construction. */
typedef struct Text {
    char *at;
    size_t n;
} Text;

static void text_line(Arena *arena, Text *t, const char *line) {
    size_t n = strlen(line);
    t->at = arena_grow(arena, t->at, t->n, t->n + n + 1);
    memcpy(t->at + t->n, line, n);
    t->at[t->n + n] = '\n';
    t->n += n + 1;
}

static void hash_interface(Arena *arena, const Program *p, uint8_t hash[32]) {
    Text t = {NULL, 0};
    text_line(arena, &t, arena_printf(arena, "model %s", p->name));
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        text_line(arena, &t, arena_printf(arena, "%s %s", e->train ? "train" : "entry", e->name));
        for (int k = 0; k < e->n_sizes; k++) {
            const SizeName *n = e->sizes[k];
            text_line(arena, &t, arena_printf(arena, "size %s %lld %lld", n->name, (long long)n->low, (long long)n->high));
        }
        for (int k = 0; k < e->n_inputs; k++) {
            text_line(arena, &t, arena_printf(arena, "input %s %s", e->inputs[k].name, type_text(arena, &e->inputs[k].type)));
        }
        for (int k = 0; k < e->graph->results.n; k++) {
            const Result *r = &e->graph->results.at[k];
            text_line(arena, &t, arena_printf(arena, "result %s %s", r->name, type_text(arena, &r->value->type)));
        }
    }
    sha256(t.at, t.n, hash);
}

static int slot_order(const void *a, const void *b) {
    return strcmp((*(Slot *const *)a)->path, (*(Slot *const *)b)->path);
}

/* Parameters and states that are no optimizer's, by path: two artifacts with this in common can exchange checkpoints. */
static void hash_weights(Arena *arena, const Program *p, uint8_t hash[32]) {
    const Slot **slots = NEW_ARRAY(arena, const Slot *, p->slots.n + 1);
    int n = 0;
    for (int i = 0; i < p->slots.n; i++) {
        if (p->slots.at[i]->kind != SLOT_CACHE && !p->slots.at[i]->optimizer) slots[n++] = p->slots.at[i];
    }
    qsort(slots, (size_t)n, sizeof *slots, slot_order);
    Text t = {NULL, 0};
    text_line(arena, &t, "weights");
    for (int i = 0; i < n; i++) {
        text_line(arena, &t,
                  arena_printf(arena, "%d %s %s", (int)slots[i]->kind, slots[i]->path, type_text(arena, &slots[i]->type)));
    }
    sha256(t.at, t.n, hash);
}

ArtifactHashes artifact_hashes(Arena *arena, const ArtifactOptions *o) {
    ArtifactHashes hashes;
    const char *text = o->source ? o->source->text : "";
    sha256(text, o->source ? o->source->length : 0, hashes.source);
    hash_interface(arena, o->program, hashes.interface);
    hash_weights(arena, o->program, hashes.weights);
    return hashes;
}

/* ---- description --------------------------------------------------------------------------------------------------------- */

static json_t *hex(const uint8_t hash[32]) {
    char text[65];
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", hash[i]);
    return json_string(text);
}

static void set(json_t *object, const char *key, json_t *value) {
    if (!value || json_object_set_new(object, key, value)) bug("the description of the artifact: %s", key);
}

static json_t *value_json(Arena *arena, const char *name, const Type *type) {
    json_t *o = json_object();
    set(o, "name", json_string(name));
    set(o, "dtype", json_string(dtype_name(type->dtype)));
    set(o, "shape", json_string(type_said(arena, type)));
    return o;
}

static json_t *sizes_json(const Program *p) {
    json_t *list = json_array();
    for (int i = 0; i < size_inputs(p->sizes); i++) {
        const SizeName *n = size_name_at(p->sizes, i);
        json_t *o = json_object();
        set(o, "name", json_string(n->name));
        set(o, "low", json_integer(n->low));
        set(o, "high", json_integer(n->high == SIZE_NO_LIMIT ? -1 : n->high));
        set(o, "entry", json_integer(artifact_size_entry(p, n)));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *entry_json(Arena *arena, const Entry *e, const Plan *plan) {
    json_t *o = json_object(), *sizes = json_array(), *inputs = json_array(), *outputs = json_array();
    for (int i = 0; i < e->n_sizes; i++) json_array_append_new(sizes, json_integer(e->sizes[i]->index));
    for (int i = 0; i < e->n_inputs; i++)
        json_array_append_new(inputs, value_json(arena, e->inputs[i].name, &e->inputs[i].type));
    for (int i = 0; i < e->graph->results.n; i++) {
        const Result *r = &e->graph->results.at[i];
        json_t *output = value_json(arena, r->name, &r->value->type);
        set(output, "cached", json_boolean(artifact_cached(e, i)));
        json_array_append_new(outputs, output);
    }
    int64_t bytes;
    set(o, "name", json_string(e->name));
    set(o, "train", json_boolean(e->train));
    set(o, "sizes", sizes);
    set(o, "source", json_string(entry_place_text(arena, e->loc)));
    set(o, "bytes", entry_arena_static(plan, &bytes) ? json_integer(bytes) : json_null());
    set(o, "bytes_most", entry_arena_most(plan, &bytes) ? json_integer(bytes) : json_null());
    set(o, "inputs", inputs);
    set(o, "outputs", outputs);
    return o;
}

static json_t *kernel_json(const EntryKernel *k) {
    const char *words[] = {k->function, k->name, k->path, k->source};
    json_t *row = json_array();
    for (int i = 0; i < 4; i++)
        if (json_array_append_new(row, json_string(words[i]))) bug("the description of the artifact: %s", k->function);
    return row;
}

static json_t *slot_json(Arena *arena, const Slot *slot) {
    static const char *const kinds[] = {[SLOT_PARAM] = "param", [SLOT_STATE] = "state", [SLOT_CACHE] = "cache"};
    json_t *o = value_json(arena, slot->path, &slot->type), *dims = json_array();
    for (int i = 0; i < slot->type.rank; i++) {
        int64_t fixed;
        json_array_append_new(dims, size_is_const(slot->type.dim[i], &fixed) ? json_integer(fixed) : json_null());
    }
    set(o, "kind", json_string(kinds[slot->kind]));
    set(o, "dims", dims);
    set(o, "optimizer", json_boolean(slot->optimizer));
    return o;
}

Bytes artifact_meta(Arena *arena, const ArtifactOptions *o, const EntryUnit *unit, const ArtifactHashes *hashes,
                    const External *external, const uint8_t content[32]) {
    const Program *p = o->program;
    json_t *root = json_object(), *entries = json_array(), *values = json_array(), *kernels = json_array();
    for (int i = 0; i < p->entries.n; i++) json_array_append_new(entries, entry_json(arena, p->entries.at[i], o->entries[i]));
    for (int i = 0; i < p->slots.n; i++) json_array_append_new(values, slot_json(arena, p->slots.at[i]));
    for (int i = 0; i < unit->named.n && !o->strip; i++) /* stripped: nobody could tell which function is which */
        json_array_append_new(kernels, kernel_json(&unit->named.at[i]));
    json_error_t error;
    json_t *run = p->run_json ? json_loads(p->run_json, 0, &error) : json_null();
    if (!run) bug("run { } is no JSON: %s", error.text);
    char version[13];
    for (int i = 0; i < 6; i++) snprintf(version + 2 * i, 3, "%02x", hashes->source[i]);
    set(root, "name", json_string(p->name));
    set(root, "version", json_string(version));
    set(root, "compiler", json_string("modelc " MODELC_VERSION));
    set(root, "target", json_string(o->target->name));
    set(root, "content_hash", hex(content));
    set(root, "source_hash", hex(hashes->source));
    set(root, "interface_hash", hex(hashes->interface));
    set(root, "weights_hash", hex(hashes->weights));
    if (external) set(root, "weights_file", json_pack("{s:s, s:I, s:o}", "name", o->weights, "bytes", (json_int_t)external->bytes, "hash", hex(external->hash)));
    set(root, "sizes", sizes_json(p));
    set(root, "entries", entries);
    set(root, "values", values);
    set(root, "kernels", kernels);
    set(root, "run", run);
    char *text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(root);
    if (!text) bug("the description of the artifact cannot be written");

    size_t n = strlen(text);
    char *bytes = arena_alloc(arena, 16 + n + 32);
    memcpy(bytes, "MDLMETA1", 8);
    for (int i = 0; i < 8; i++) bytes[8 + i] = (char)((uint64_t)n >> (8 * i));
    memcpy(bytes + 16, text, n);
    sha256(text, n, (uint8_t *)bytes + 16 + n);
    free(text);
    return (Bytes){bytes, 16 + n + 32};
}
