/* schedule_channels.c -- weights of channels, which a map reads along its lanes though they lie apart.
 *
 *     for c in 0..64 by 16 { let v2 = w[c : 16]  let v5 = w1[c : 16] .. }          w: f32[64] stride(9), w1: f32[64] stride(9) offset(1) ..
 *     →   the same, w: f32[64], w1: f32[64] offset(64) .. of a copy
 *
 * A depthwise convolution has a window of weights for each channel, one behind the other; a vector of channels is gathered element by element,
 * which takes longer than what is multiplied with it. Where the plan allows a copy of the weight (Kernel.packed), the session makes one
 * once, in which the channels of each place of the window lie side by side. */
#include "codegen/schedule.h"

typedef struct Channels {
    Work *w;
    const Node *slot;
    int number;         /* of the slot */
    int64_t n, step;    /* channels; from one to the next, in elements */
    LIST(int64_t) place; /* of the window: where the first channel of each is */
} Channels;

/* Does it go along the lanes alone, a number of elements at a time? Says how many, and where it begins. */
static bool is_apart(const Space *sp, const Access *x, int vector, int64_t *step, int64_t *place) {
    for (int s = 0; s < sp->n; s++)
        if ((s == vector) != (x->at.coef[s] != NULL)) return false;
    return size_is_const(x->at.coef[vector], step) && *step > 1 && size_is_const(x->at.c, place);
}

static bool is_of(const Channels *c, const Space *sp, const Access *x, int vector, int64_t *place) {
    int64_t step;
    return x->base == c->slot && !x->name && is_apart(sp, x, vector, &step, place) && step == c->step;
}

/* Its number; a new one is added. */
static int place_number(Channels *c, int64_t place) {
    for (int i = 0; i < c->place.n; i++)
        if (c->place.at[i] == place) return i;
    PUSH(c->w->arena, c->place, place);
    return c->place.n - 1;
}

/* Writes the kernel that puts them in order, and has the accesses read what it makes. */
static void use_copy(Channels *c, Space *sp, int vector) {
    Work *w = c->w, *made = work_new(w->s, w->plan, w->k, "pack");
    Arena *a = w->arena;
    const Type *type = &c->slot->type;
    const char *dtype = dtype_name(type->dtype);
    int64_t all = 1, place;
    for (int i = 0; i < sp->accesses.n; i++)
        if (is_of(c, sp, sp->accesses.at[i], vector, &place)) place_number(c, place);
    int64_t elements = c->place.n * c->n;
    for (int i = 0; i < type->rank; i++) all *= size_value(type->dim[i]);
    const char *to = work_arg(made, (KernelArg){.kind = ARG_PACK}, arena_printf(a, "%s[%lld] out", dtype, (long long)elements));
    const char *from = work_arg(made, (KernelArg){.kind = ARG_VALUE, .node = (Node *)c->slot}, arena_printf(a, "%s[%lld]", dtype, (long long)all));
    made->text = "pack";
    text_line(&made->body, "for c in 0..%lld {", (long long)c->n);
    for (int i = 0; i < c->place.n; i++)
        text_line(&made->body, "%s[%lld + c] = %s[%lld*c + %lld]", to, (long long)(i * c->n), from, (long long)c->step, (long long)c->place.at[i]);
    text_line(&made->body, "}");
    const Pack *pack = work_pack(made, c->number, elements * dtype_bytes(type->dtype));
    for (int i = 0; i < sp->accesses.n; i++) {
        Access *x = sp->accesses.at[i];
        if (!is_of(c, sp, x, vector, &place)) continue;
        const char *its = arena_printf(a, "%s[%lld] offset(%lld)", dtype, (long long)c->n, (long long)(place_number(c, place) * c->n));
        x->name = work_arg(w, (KernelArg){.kind = ARG_PACK, .pack = pack}, its);
    }
}

void channels_side_by_side(Work *w, Space *sp, int vector) {
    Channels c = {.w = w};
    int64_t place;
    if (vector < 0 || !size_is_const(sp->symbol[vector].n, &c.n)) return;
    for (int i = 0; i < sp->accesses.n; i++) {
        const Access *x = sp->accesses.at[i];
        c.number = kernel_packed_slot(w->k, x->base);
        if (x->name || c.number < 0 || !is_apart(sp, x, vector, &c.step, &place)) continue;
        c.slot = x->base;
        c.place.n = 0;
        use_copy(&c, sp, vector);
    }
}
