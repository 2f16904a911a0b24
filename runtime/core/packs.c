/* packs.c -- weights in the order in which products walk them. A pack is made from its slot by a kernel of the artifact, when a call first
 * uses it; whoever writes the slot calls rt_packs_old (rt_slot_own does), and the next call that uses it makes it again. Packs take no part
 * in checkpoints, get and set: the slot is the value.
 *
 * In the caller's memory packs lie among the caches, above the floor, and go with them at a reset. */
#include "runtime/internal.h"

static bool used(const RtProgram *p, const RtPackUse *u, const int64_t *sizes) {
    if (u->when == RT_UNMEASURED) return true;
    int64_t v = p->measure(u->when, sizes);
    return u->low <= v && v < u->high;
}

static int make(mdl_session *s, int index, const int64_t *sizes) {
    const RtPack *p = &s->program->packs[index];
    if (!s->packs[index]) {
        if (s->memory) s->arena_bytes = 0; /* it lay where the pack goes */
        s->packs[index] = rt_place(s, p->bytes);
        if (!s->packs[index])
            return rt_fail(s, MDL_MEMORY, "no memory for a packed copy of %s: %lld bytes", rt_slot_value(s, p->slot)->name, (long long)p->bytes);
    }
    RtFrame f = {.session = s, .sizes = sizes, .slots = s->slots};
    void *args[] = {s->packs[index], s->slots[p->slot]};
    rt_parallel(&f, p->kernel, p->thunk, args, NULL, p->count);
    s->pack_made[index] = true;
    return MDL_OK;
}

void rt_packs_old(mdl_session *s, int slot) {
    for (int i = 0; i < s->program->n_packs; i++)
        if (s->program->packs[i].slot == slot) s->pack_made[i] = false;
}

void rt_packs_forget(mdl_session *s) {
    for (int i = 0; i < s->program->n_packs; i++) {
        if (!s->packs[i] || s->packs[i] < s->memory + s->memory_floor) continue;
        s->packs[i] = NULL;
        s->pack_made[i] = false;
    }
}

/* Of the packs that such a call uses, those that s, if there is one, has no memory for. */
static int64_t packs_bytes(const RtProgram *p, const mdl_session *s, const RtEntry *e, const int64_t *sizes) {
    int64_t total = 0;
    for (int i = 0; i < e->n_packs; i++) {
        int index = e->packs[i].pack;
        bool counted = s && s->packs[index];
        for (int k = 0; k < i && !counted; k++) counted = e->packs[k].pack == index && used(p, &e->packs[k], sizes);
        if (!counted && used(p, &e->packs[i], sizes)) total += rt_aligned(p->packs[index].bytes);
    }
    return total;
}

int64_t rt_packs_bytes(const RtProgram *p, const RtEntry *e, const int64_t *sizes) { return packs_bytes(p, NULL, e, sizes); }

int rt_packs_need(mdl_session *s, const RtEntry *e, const int64_t *sizes) {
    for (int i = 0; i < e->n_packs; i++) {
        int index = e->packs[i].pack;
        if (s->pack_made[index] || !used(s->program, &e->packs[i], sizes)) continue;
        if (!s->packs[index]) rt_room(s, packs_bytes(s->program, s, e, sizes));
        int code = make(s, index, sizes);
        if (code) return code;
    }
    return MDL_OK;
}
