/* schedule_windows.c -- how many steps of a loop a map takes at once, because windows that lie side by side overlap.
 *
 * A depthwise convolution, or a pool, reads element i + 1 for window i, and again for window i + 1. Of several windows written one
 * after another (Point.step, schedule_value.c) each element is loaded once, and what is the same for all, the weights, too:
 *
 *     for r in 0..112 { y[r, c : 16] = x[r, c : 16] * w[0, c : 16] + x[r + 1, c : 16] * w[1, c : 16] + .. }
 *     →   for r in 0..112 step 4 { let v1 = x[r, c : 16]  let v2 = w[0, c : 16]  .. y[r + 3, c : 16] = .. }
 *
 * 3 x 3 windows load 6 to 7 vectors for each of theirs in place of 18, where a cycle computes one product and loads one vector. */
#include "codegen/schedule.h"

enum { STEPS_MOST = 8 }; /* windows of 3 x 3 need 18 registers, however many steps; more save little */

/* Do x and y meet within a few steps along s? */
static bool meet(const Access *x, const Access *y, int s) {
    if (x == y || x->base != y->base) return false;
    for (int steps = 1; steps < STEPS_MOST; steps++)
        if (access_meets(x, steps, y, 0, s)) return true;
    return false;
}

/* Is all that depends on s loaded where the elements are computed, at places that are affine in it? */
static bool plain_along(const Items *items, int s, int vector) {
    const Space *sp = items->sp;
    for (int i = 0; i < items->at.n; i++) {
        const Item *item = items->at.at[i];
        if (item_uses(sp, item, s, true)) return false;
        if (item->linear && affine_uses(sp, item->linear, s)) return false;
    }
    for (int i = 0; i < sp->accesses.n; i++) {
        const Access *a = sp->accesses.at[i];
        if (a->at.coef[s] && (!a->at.coef[vector] || a->base->op == OP_IOTA)) return false;
    }
    return true;
}

int64_t windows_steps(const Items *items, int s, int vector) {
    const Space *sp = items->sp;
    int64_t n, steps = STEPS_MOST;
    bool any = false;
    if (!size_is_const(sp->symbol[s].n, &n) || !plain_along(items, s, vector)) return 1;
    for (int i = 0; i < sp->accesses.n && !any; i++)
        for (int k = 0; k < sp->accesses.n && !any; k++) any = meet(sp->accesses.at[i], sp->accesses.at[k], s);
    while (!any || n % steps) {
        if (!any || --steps == 1) return 1;
    }
    return steps;
}
