/* verifier.c -- plan_verify finds plans that were broken on purpose, and names what is wrong. */
#include "tests/passes/graphs.h"

#include <string.h>

static int failures;

typedef bool Breaker(Plan *p, Arena *a); /* false: this plan has nothing to break so */

static bool drop_read(Plan *p, Arena *a) {
    (void)a;
    for (int i = 0; i < p->kernels.n; i++) {
        Kernel *k = p->kernels.at[i];
        if (k->reads.n == 0 || k->effect || k->anchor) continue;
        k->reads.n--;
        return true;
    }
    return false;
}

static bool drop_write(Plan *p, Arena *a) {
    (void)a;
    Kernel *k = p->kernels.at[p->kernels.n - 1];
    if (k->writes.n == 0) return false;
    k->writes.n = 0;
    return true;
}

static bool swap_dependent(Plan *p, Arena *a) {
    (void)a;
    for (int i = 0; i + 1 < p->kernels.n; i++) {
        Kernel *x = p->kernels.at[i], *y = p->kernels.at[i + 1];
        for (int r = 0; r < y->reads.n; r++)
            for (int w = 0; w < x->writes.n; w++) {
                if (y->reads.at[r] != x->writes.at[w]) continue;
                p->kernels.at[i] = y;
                p->kernels.at[i + 1] = x;
                y->index = i;
                x->index = i + 1;
                return true;
            }
    }
    return false;
}

static bool forget_below(Plan *p, Arena *a) {
    (void)a;
    bool any = false;
    for (int i = 0; i < p->buffers.n; i++) {
        any |= p->buffers.at[i].n_below > 0;
        p->buffers.at[i].n_below = 0;
    }
    return any;
}

static bool end_early(Plan *p, Arena *a) {
    (void)a;
    for (int i = 0; i < p->buffers.n; i++) {
        Buffer *b = &p->buffers.at[i];
        if (b->last == b->first) continue;
        b->last = b->first;
        return true;
    }
    return false;
}

static bool one_place(Plan *p, Arena *a) { /* two values alive together in one buffer */
    (void)a;
    for (int i = 0; i < p->kernels.n; i++) {
        Kernel *k = p->kernels.at[i];
        for (int w = 1; w < k->writes.n; w++) {
            Place *x = &p->places[k->writes.at[0]->id], *y = &p->places[k->writes.at[w]->id];
            if (x->kind != PLACE_ARENA || y->kind != PLACE_ARENA) continue;
            *y = *x;
            return true;
        }
    }
    return false;
}

static bool lose_copy(Plan *p, Arena *a) {
    (void)a;
    if (p->copies.n == 0) return false;
    p->copies.n--;
    return true;
}

static bool wrong_level(Plan *p, Arena *a) {
    (void)a;
    for (int i = 0; i < p->kernels.n; i++) {
        Kernel *k = p->kernels.at[i];
        for (int j = 0; j < k->nodes.n; j++) {
            if (k->levels.at[j] != LEVEL_ROW || k->nodes.at[j]->op != OP_REDUCE) continue;
            k->levels.at[j] = LEVEL_FULL;
            return true;
        }
    }
    return false;
}

static bool not_at_once(Plan *p, Arena *a) { /* a kernel and the one that it waits for */
    (void)a;
    for (int i = 0; i + 1 < p->kernels.n; i++) {
        Kernel *x = p->kernels.at[i], *y = p->kernels.at[i + 1];
        if (x->kind != KERNEL_MAP || y->kind != KERNEL_MAP || x->limit.seen || y->limit.seen) continue;
        for (int r = 0; r < y->reads.n; r++)
            for (int w = 0; w < x->writes.n; w++) {
                if (y->reads.at[r] != x->writes.at[w]) continue;
                x->together = y->together = 2;
                y->turn = 1;
                x->key = y->key; /* as if they were one */
                for (int b = 0; b < p->buffers.n; b++) {
                    if (p->buffers.at[b].first == i + 1) p->buffers.at[b].first = i;
                    if (p->buffers.at[b].last == i) p->buffers.at[b].last = i + 1;
                }
                return true;
            }
    }
    return false;
}

static bool of_one_shape(Plan *p, Arena *a) { /* is called flat */
    (void)a;
    for (int i = 0; i < p->kernels.n; i++) {
        Kernel *k = p->kernels.at[i];
        if (k->effect || k->anchor) continue;
        k->flat = size_const(p->graph->program->sizes, 1);
        return true;
    }
    return false;
}

static const struct {
    const char *name;
    Breaker *breaker;
    const char *says; /* part of every message */
} BREAKER[] = {
    {"a read is missing", drop_read, "which is not in its reads"},
    {"a write is missing", drop_write, ""},
    {"two kernels change places", swap_dependent, "nobody stored yet"},
    {"buffers lie on each other", forget_below, "overlap"},
    {"a buffer ends early", end_early, ""},
    {"two results in one buffer", one_place, ""},
    {"a copy is lost", lose_copy, ""},
    {"a row is called full", wrong_level, ""},
    {"kernels run at once, one of which waits for the other", not_at_once, "it runs at once with"},
    {"a kernel that is alone is of any shape", of_one_shape, "it is alone"},
};
enum { BREAKERS = sizeof BREAKER / sizeof *BREAKER };

int main(void) {
    int used[BREAKERS] = {0};
    for (int b = 0; b < BREAKERS; b++) {
        for (uint64_t seed = 0; seed < 60; seed++) {
            Arena *a = arena_new();
            Diag *d = diag_new();
            Program *p = random_program_with(a, seed, WITH_ALL & ~WITH_SCAN);
            const char *message = NULL;
            if (!passes_run(p, &(PassOptions){.level = 2}, d)) failures++;
            Plan *plan = plan_entry(a, p->entries.at[0]->graph, &(PlanOptions){.level = 2}, d);
            if (BREAKER[b].breaker(plan, a)) {
                used[b]++;
                if (plan_verify(plan, a, &message)) {
                    failures++;
                    printf("seed %d: %s, and nobody notices\n", (int)seed, BREAKER[b].name);
                } else if (!message || !strstr(message, BREAKER[b].says)) {
                    failures++;
                    printf("seed %d: %s: %s\n", (int)seed, BREAKER[b].name, message ? message : "(nothing)");
                }
            }
            diag_free(d);
            arena_free(a);
        }
        if (used[b] == 0) {
            failures++;
            printf("no plan to try: %s\n", BREAKER[b].name);
        }
    }
    return failures != 0;
}
