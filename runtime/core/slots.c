/* slots.c -- parameters, states and caches of a session: memory, initial values, get, set, reset. */
#include "runtime/internal.h"

int rt_slot_find(const mdl_session *s, const char *path) {
    for (int i = 0; i < s->program->n_slots; i++)
        if (rt_text_order(rt_slot_value(s, i)->name, path) == 0) return i;
    return -1;
}

#ifdef RT_DEVICES
int rt_slot_read(mdl_session *s, int slot) {
    const RtDevice *d = rt_device(s->program);
    return d && s->device ? d->runtime->read(s, slot) : MDL_OK;
}

void rt_slot_written(mdl_session *s, int slot) {
    const RtDevice *d = rt_device(s->program);
    if (d && s->device) d->runtime->written(s, slot);
}
#endif

int64_t rt_slot_bytes(const mdl_session *s, int slot) {
    const mdl_value *v = rt_slot_value(s, slot);
    return rt_count(s->dims[slot], v->rank) * rt_width(v->dtype);
}

static int no_memory(mdl_session *s, int slot, int64_t bytes) {
    return rt_fail(s, MDL_MEMORY, "no memory for %s: %lld bytes", rt_slot_value(s, slot)->name, (long long)bytes);
}

/* Zeroed memory of a slot: what it had before, if that is still at hand. Caches go again, the others stay. */
static char *slot_alloc(mdl_session *s, int slot, int64_t bytes) {
    char *old = s->spare[slot];
    if (!old || bytes > s->spare_bytes[slot]) return rt_slot_value(s, slot)->kind == MDL_CACHE ? rt_alloc(s, bytes) : rt_place(s, bytes);
    s->spare[slot] = NULL;
    return memset(old, 0, (size_t)bytes);
}

int64_t rt_slot_missing(const mdl_session *s, int slot) {
    return s->owned[slot] || !s->slots[slot] ? 0 : rt_aligned(rt_slot_bytes(s, slot));
}

int rt_slot_own(mdl_session *s, int slot) {
    rt_packs_old(s, slot);
    if (s->owned[slot] || !s->slots[slot]) return MDL_OK;
    int64_t bytes = rt_slot_bytes(s, slot);
    char *copy = slot_alloc(s, slot, bytes);
    if (!copy) return no_memory(s, slot, bytes);
    memcpy(copy, s->slots[slot], (size_t)bytes);
    s->slots[slot] = copy;
    s->owned[slot] = true;
    s->memory_floor = s->memory_used; /* caches below it stay behind once */
    s->arena_bytes = s->memory ? 0 : s->arena_bytes;
    return MDL_OK;
}

/* The value that the artifact, or the file beside it, has for a slot; NULL: none. */
static const char *slot_data(const mdl_session *s, int slot) {
    int64_t place = s->external ? s->program->external->places[slot] : 0;
    return place ? s->external + place : s->program->slots[slot].data;
}

int rt_slot_init(mdl_session *s, int slot, const int64_t *sizes) {
    const RtSlot *r = &s->program->slots[slot];
    const mdl_value *v = rt_slot_value(s, slot);
    const char *data = slot_data(s, slot);
    rt_dims(s->program, v, sizes, s->dims[slot]);
    rt_slot_written(s, slot);
    if (data) {
        s->slots[slot] = (char *)(uintptr_t)data; /* never written: rt_slot_own comes before every store */
        s->owned[slot] = false;
        return MDL_OK;
    }
    int64_t bytes = rt_slot_bytes(s, slot);
    if (bytes < 0) return rt_fail(s, MDL_RANGE, "%s is too large", v->name);
    s->slots[slot] = slot_alloc(s, slot, bytes);
    if (!s->slots[slot]) return no_memory(s, slot, bytes);
    s->owned[slot] = true;
    if (!r->init || (s->flags & MDL_NO_INIT && v->kind == MDL_PARAM)) return MDL_OK;
    int code = rt_arena_need(s, rt_here(s->program)->measure(r->init_arena, sizes));
    if (code) return code;
    RtFrame f = {.session = s, .sizes = sizes, .slots = s->slots, .arena = s->arena, .shared = s->shared,
                 .rng = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32), 0xffffffffu, 0xffffffffu}};
    return r->init(&f);
}

int rt_slots_open(mdl_session *s) {
    int64_t none[s->program->n_names + 1], total = 0;
    memset(none, 0, sizeof none);
    for (int i = 0; i < s->program->n_slots; i++) {
        const mdl_value *v = rt_slot_value(s, i);
        if (v->kind == MDL_CACHE || slot_data(s, i)) continue;
        rt_dims(s->program, v, none, s->dims[i]);
        total += rt_aligned(rt_slot_bytes(s, i));
    }
    rt_room(s, total);
    for (int i = 0; i < s->program->n_slots; i++) {
        if (rt_slot_value(s, i)->kind == MDL_CACHE) continue;
        int code = rt_slot_init(s, i, none);
        if (code) return code;
    }
    return MDL_OK;
}

/* The bytes that a copy of a slot takes; 0: it is no weight that lies in the artifact or the file beside it. */
static int64_t copied_bytes(const mdl_session *s, int slot) { return rt_slot_value(s, slot)->kind == MDL_CACHE ? 0 : rt_slot_missing(s, slot); }

int rt_slots_copy(mdl_session *s) {
    int64_t total = 0;
    for (int i = 0; i < s->program->n_slots; i++) total += copied_bytes(s, i);
    rt_room(s, total);
    for (int i = 0; i < s->program->n_slots; i++) {
        if (!copied_bytes(s, i)) continue;
        char *copy = rt_place(s, rt_slot_bytes(s, i));
        if (!copy) return rt_fail(s, MDL_MEMORY, "no memory for a copy of the weights: %lld bytes", (long long)total);
        s->slots[i] = memcpy(copy, s->slots[i], (size_t)rt_slot_bytes(s, i));
        s->owned[i] = true;
    }
    return MDL_OK;
}

/* Sizes that a cache was made with cannot change until a reset. */
static int check_fixed(mdl_session *s, int slot, const char *entry, const int64_t *dims) {
    const mdl_value *v = rt_slot_value(s, slot);
    for (int i = 0; i < v->rank; i++) {
        if (dims[i] == s->dims[slot][i]) continue;
        if (v->dims[i] <= MDL_NAMED)
            return rt_fail(s, MDL_RANGE, "%s: %s is %lld in this session, not %lld, until it is reset", entry, s->model->sizes[MDL_NAMED - v->dims[i]].name,
                           (long long)s->dims[slot][i], (long long)dims[i]);
        return rt_fail(s, MDL_RANGE, "%s: axis %d of %s is %lld in this session, not %lld, until it is reset", entry, i, v->name, (long long)s->dims[slot][i],
                       (long long)dims[i]);
    }
    return MDL_OK;
}

int rt_slots_touch(mdl_session *s, const RtEntry *e, const char *entry, const int64_t *sizes) {
    for (int k = 0; k < e->n_touched; k++) {
        int slot = e->slots[k];
        if (rt_slot_value(s, slot)->kind != MDL_CACHE || !s->slots[slot]) continue;
        int64_t dims[RT_MAX_RANK] = {0};
        rt_dims(s->program, rt_slot_value(s, slot), sizes, dims);
        int code = check_fixed(s, slot, entry, dims);
        if (code) return code;
    }
    for (int k = 0; k < e->n_touched; k++) {
        int slot = e->slots[k];
        if (rt_slot_value(s, slot)->kind != MDL_CACHE || s->slots[slot]) continue;
        if (s->memory) s->arena_bytes = 0; /* it lay where the cache goes */
        int code = rt_slot_init(s, slot, sizes);
        if (code) {
            if (s->owned[slot]) rt_release(s, s->slots[slot]);
            s->slots[slot] = NULL;
            s->owned[slot] = false;
            return code;
        }
    }
    return MDL_OK;
}

static void cache_forget(mdl_session *s, int slot) {
    rt_slot_written(s, slot);
    if (s->owned[slot] && s->memory) {
        s->spare[slot] = s->slots[slot];
        s->spare_bytes[slot] = rt_slot_bytes(s, slot);
    } else if (s->owned[slot]) {
        rt_release(s, s->slots[slot]);
    }
    s->slots[slot] = NULL;
    s->owned[slot] = false;
}

/* No cache is left: the caller's memory above the floor is free again. */
static void caches_gone(mdl_session *s) {
    if (s->memory) {
        rt_packs_forget(s);
        memset(s->spare, 0, sizeof *s->spare * (size_t)s->program->n_slots);
        s->memory_used = s->memory_floor;
        s->arena_bytes = 0;
    }
    if (s->broken == 1) s->broken = 0;
}

static bool cache_lives(const mdl_session *s) {
    for (int i = 0; i < s->program->n_slots; i++)
        if (rt_slot_value(s, i)->kind == MDL_CACHE && s->slots[i]) return true;
    return false;
}

void rt_slots_reset(mdl_session *s, const RtEntry *e) {
    const int32_t *slots = rt_reset_slots(e);
    for (int i = 0; i < e->n_reset; i++)
        if (s->slots[slots[i]]) cache_forget(s, slots[i]);
    if (e->n_reset && !cache_lives(s)) caches_gone(s);
}

int rt_reset(mdl_session *s) {
    if (!s) return MDL_ARGUMENT;
    if (!rt_enter(s)) return MDL_BUSY;
    for (int i = 0; i < s->program->n_slots; i++)
        if (rt_slot_value(s, i)->kind == MDL_CACHE && s->slots[i]) cache_forget(s, i);
    caches_gone(s);
    rt_leave(s);
    return MDL_OK;
}

static int find_for(mdl_session *s, const char *what, const char *path, const mdl_tensor *t, int *slot) {
    if (!path || !t) return rt_fail(s, MDL_ARGUMENT, "%s: a path and a tensor are needed", what);
    *slot = rt_slot_find(s, path);
    if (*slot < 0) return rt_fail(s, MDL_ARGUMENT, "%s: there is no parameter, state or cache %s", what, path);
    if (!s->slots[*slot]) return rt_fail(s, MDL_ARGUMENT, "%s: the cache %s has no sizes before an entry has used it", what, path);
    return MDL_OK;
}

/* With data NULL: dtype and rank are set, and the sizes are written to t->shape, or t->shape points at the session's if it is NULL. */
int rt_get(mdl_session *s, const char *path, mdl_tensor *t) {
    if (!s) return MDL_ARGUMENT;
    if (!rt_enter(s)) return MDL_BUSY;
    int slot, code = find_for(s, "get", path, t, &slot);
    if (!code && !t->data) {
        const mdl_value *v = rt_slot_value(s, slot);
        t->dtype = v->dtype;
        t->rank = v->rank;
        if (t->shape) memcpy(t->shape, s->dims[slot], sizeof *t->shape * (size_t)v->rank);
        else t->shape = s->dims[slot];
    } else if (!code) {
        code = rt_tensor_check(s, "get", rt_slot_value(s, slot), s->dims[slot], t);
        if (!code) code = rt_slot_read(s, slot);
        if (!code) rt_tensor_copy(t, s->slots[slot], true);
    }
    rt_leave(s);
    return code;
}

int rt_set(mdl_session *s, const char *path, const mdl_tensor *t) {
    if (!s) return MDL_ARGUMENT;
    if (!rt_enter(s)) return MDL_BUSY;
    int slot, code = find_for(s, "set", path, t, &slot);
    if (!code) code = rt_tensor_check(s, "set", rt_slot_value(s, slot), s->dims[slot], t);
    if (!code) code = rt_slot_own(s, slot);
    if (!code) rt_slot_written(s, slot);
    if (!code) rt_tensor_copy(t, s->slots[slot], false);
    rt_leave(s);
    return code;
}
