/* tuning.c -- see tuning.h. */
#include "codegen/tuning.h"

#include "codegen/digest.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, ROWS_MOST = 32, VECTORS_MOST = 8, BLOCK_MOST = 1 << 16 };

typedef struct TuningEntry {
    const char *machine, *key, *said;
    TileChoice choice;
    double gain;
} TuningEntry;

struct Tuning {
    Arena *arena;
    LIST(TuningEntry) entries;
    bool lists;
    const TileChoice *forced;
    int n_offered, n_missing;
    TileChoice offered[TUNING_MOST];
    const char *first_missing;
};

Tuning *tuning_new(Arena *a) {
    Tuning *t = NEW(a, Tuning);
    t->arena = a;
    return t;
}

/* Kernels of equal structure share a choice, as they share a function. */
static const char *key_of(Arena *a, const Kernel *k) {
    uint8_t hash[32];
    Digest *d = digest_new();
    digest_text(d, k->key ? k->key : "");
    digest_end(d, hash);
    return arena_copy(a, digest_hex(a, hash), 24);
}

static TuningEntry *entry_find(const Tuning *t, const char *machine, const char *key) {
    for (int i = 0; i < t->entries.n; i++)
        if (!strcmp(t->entries.at[i].key, key) && !strcmp(t->entries.at[i].machine, machine)) return &t->entries.at[i];
    return NULL;
}

bool tuning_has(const Tuning *t, const char *machine, const Kernel *k) {
    return entry_find(t, machine, key_of(t->arena, k)) != NULL;
}

void tuning_set(Tuning *t, const char *machine, const Kernel *k, const char *said, const TileChoice *c, double gain) {
    TuningEntry e = {machine, key_of(t->arena, k), said, *c, gain};
    PUSH(t->arena, t->entries, e);
}

int tuning_count(const Tuning *t) {
    return t->entries.n;
}

int tuning_better(const Tuning *t, double *best) {
    int n = 0;
    *best = 1;
    for (int i = 0; i < t->entries.n; i++) {
        n += t->entries.at[i].gain > 1;
        if (t->entries.at[i].gain > *best) *best = t->entries.at[i].gain;
    }
    return n;
}

bool tuning_lists(const Tuning *t) {
    return t && t->lists;
}

void tuning_offer(Tuning *t, TileChoice c) {
    if (t->n_offered < TUNING_MOST) t->offered[t->n_offered++] = c;
}

void tuning_list(Tuning *t) {
    t->lists = true;
    t->forced = NULL;
    t->n_offered = 0;
}

const TileChoice *tuning_offered(const Tuning *t, int *n) {
    *n = t->n_offered;
    return t->offered;
}

void tuning_force(Tuning *t, const TileChoice *c) {
    t->lists = false;
    t->forced = c;
}

bool tuning_find(Tuning *t, const char *machine, const Kernel *k, const char *said, TileChoice *c) {
    if (!t || t->lists) return false;
    if (t->forced) {
        *c = *t->forced;
        return true;
    }
    const TuningEntry *e = entry_find(t, machine, key_of(t->arena, k));
    if (!e) {
        if (said && !t->n_missing++) t->first_missing = said;
        return false;
    }
    *c = e->choice;
    return true;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b) {
    const TuningEntry *x = a, *y = b;
    int machine = strcmp(x->machine, y->machine);
    return machine ? machine : strcmp(x->key, y->key);
}

const char *tuning_text(Arena *a, const Tuning *t) {
    TuningEntry *sorted = NEW_ARRAY(a, TuningEntry, t->entries.n + 1);
    if (t->entries.n) memcpy(sorted, t->entries.at, sizeof *sorted * (size_t)t->entries.n);
    qsort(sorted, (size_t)t->entries.n, sizeof *sorted, by_key);
    const char *text = "";
    for (int i = 0; i < t->entries.n; i++) {
        const TuningEntry *e = &sorted[i];
        json_t *one = json_pack("{s:s, s:s, s:s, s:f, s:[i, i], s:i}", "machine", e->machine, "key", e->key, "kernel", e->said, "gain",
                                round(e->gain * 100) / 100, "tile", e->choice.mr, e->choice.nv, "rows", e->choice.rows);
        if (e->choice.written) json_object_set_new(one, "written", json_true());
        char *line = json_dumps(one, JSON_SORT_KEYS | JSON_REAL_PRECISION(3));
        if (!line) bug("no memory for JSON");
        text = arena_printf(a, "%s%s\n  %s", text, i ? "," : "", line);
        free(line);
        json_decref(one);
    }
    return arena_printf(a, "{\"tune\": %d, \"choices\": [%s\n]}\n", VERSION, text);
}

/* May a register tile of a machine be so large? The rule of contract_pick_tile. */
static bool choice_fits(const TileTarget *machine, const TileChoice *c) {
    int registers = machine->registers - (machine->registers > 16);
    bool tile = c->mr >= 1 && c->nv >= 1 && c->mr <= ROWS_MOST && c->nv <= VECTORS_MOST && c->mr * c->nv + c->nv + 1 <= registers;
    return (tile || (c->mr == 0 && c->nv == 0)) && c->rows >= 0 && c->rows <= BLOCK_MOST;
}

static const char *entry_read(Tuning *t, json_t *one) {
    TuningEntry e = {.gain = 1};
    int written = 0;
    if (json_unpack(one, "{s:s, s:s, s:s, s?F, s:[i, i!], s:i, s?b}", "machine", &e.machine, "key", &e.key, "kernel", &e.said, "gain", &e.gain,
                    "tile", &e.choice.mr, &e.choice.nv, "rows", &e.choice.rows, "written", &written))
        return "a choice is not complete";
    e.choice.written = written;
    const TileTarget *machine = tile_target(e.machine);
    if (!machine) return arena_printf(t->arena, "there is no machine %s", e.machine);
    if (!choice_fits(machine, &e.choice)) return arena_printf(t->arena, "the tile of %s, %s does not fit %s", e.key, e.said, e.machine);
    if (entry_find(t, e.machine, e.key)) return arena_printf(t->arena, "%s has two choices for %s", e.key, e.machine);
    e.machine = machine->name;
    e.key = arena_copy(t->arena, e.key, strlen(e.key));
    e.said = arena_copy(t->arena, e.said, strlen(e.said));
    PUSH(t->arena, t->entries, e);
    return NULL;
}

Tuning *tuning_read(Arena *a, const char *path, const char **error) {
    Tuning *t = tuning_new(a);
    json_error_t at;
    json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, &at), *choices = json_object_get(all, "choices"), *one;
    json_t *version = json_object_get(all, "tune");
    const char *why = NULL;
    size_t i;
    if (!all) why = at.line > 0 ? arena_printf(a, "line %d: %s", at.line, at.text) : at.text;
    else if (!json_is_array(choices) || !json_is_integer(version)) why = "it is no file of tiles";
    else if (json_integer_value(version) != VERSION) why = "it was written by another version of modelc";
    else json_array_foreach(choices, i, one) {
        why = entry_read(t, one);
        if (why) break;
    }
    *error = why ? arena_printf(a, "%s: %s; remove it, and tiles are timed anew", path, why) : arena_printf(a, "%d products of %s", t->entries.n, path);
    json_decref(all);
    return why ? NULL : t;
}

const char *tuning_stale(const Tuning *t, const char *path) {
    if (!t || !t->n_missing) return NULL;
    return arena_printf(t->arena, "%s is stale: it says nothing of %d product%s of this program (%s); remove it, and tiles are timed anew", path,
                        t->n_missing, t->n_missing == 1 ? "" : "s", t->first_missing);
}
