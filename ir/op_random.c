/* op_random.c -- draws: random, categorical. Every draw is a pure function of (seed, site, step, element), INTRINSICS.md
 * section 9; the arithmetic is runtime/random.h. */
#include "ir/op.h"

#include "runtime/mdl.h"
#include "runtime/random.h"

#include <math.h>

static int parameters_of(RandomFn fn) { return fn == RANDOM_BERNOULLI ? 1 : 2; }

static bool scalar_whole(const Node *x) { return x->type.rank == 0 && dtype_is_int(x->type.dtype); }

bool infer_RANDOM(Infer *i) {
    RandomFn fn = (RandomFn)i->attrs->fn;
    DType d = i->out.dtype;
    if ((int)fn < 0 || fn > RANDOM_RANDINT) return infer_fail(i, "function %d", (int)fn);
    bool fits = fn == RANDOM_BERNOULLI ? d == DT_BOOL : fn == RANDOM_RANDINT ? dtype_is_int(d) : dtype_is_float(d);
    if (!fits) return infer_fail(i, "draws of function %d as %s", (int)fn, dtype_name(d));
    int n = parameters_of(fn);
    if (i->n != n && i->n != n + 1) return infer_fail(i, "%d operands, %d or %d are wanted", i->n, n, n + 1);
    for (int k = 0; k < n; k++) {
        const Type *p = &i->in[k]->type;
        if (p->rank || (fn == RANDOM_RANDINT ? !dtype_is_int(p->dtype) : !dtype_is_float(p->dtype)))
            return infer_fail(i, "parameter %d is %s", k, type_text(i->g->arena, p));
    }
    return i->n == n || scalar_whole(i->in[n]) || infer_fail(i, "the step of the scan is no whole scalar");
}

bool infer_CATEGORICAL(Infer *i) {
    if (i->n != 1 && i->n != 2) return infer_fail(i, "%d operands, 1 or 2 are wanted", i->n);
    i->out = i->in[0]->type;
    if (!dtype_is_float(i->out.dtype) || i->out.rank < 1)
        return infer_fail(i, "weights are %s", type_text(i->g->arena, &i->in[0]->type));
    i->out.dtype = DT_I32;
    i->out.dim[--i->out.rank] = NULL;
    return i->n == 1 || scalar_whole(i->in[1]) || infer_fail(i, "the step of the scan is no whole scalar");
}

static uint64_t step_of(const Eval *e, const Node *n) { return n->attrs.step ? n->attrs.step : e->step; }

bool eval_RANDOM(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    if (!y) return false;
    RandomFn fn = (RandomFn)n->attrs.fn;
    int parameters = parameters_of(fn);
    uint64_t first = n->n_in > parameters ? (uint64_t)in[parameters]->i[0] * (uint64_t)y->count : 0;
    float a = in[0]->f ? (float)in[0]->f[0] : 0, b = parameters > 1 && in[1]->f ? (float)in[1]->f[0] : 0;
    int64_t low = 0, high = 0, width;
    if (fn == RANDOM_RANDINT) {
        low = in[0]->i[0];
        high = in[1]->i[0];
        if (__builtin_sub_overflow(high, low, &width) || width < 1 || width >= INT64_C(1) << 32)
            return eval_fail(e, MDL_RANGE, "random integers from %lld below %lld", (long long)low, (long long)high);
    }
    for (int64_t k = 0; k < y->count; k++) {
        uint32_t word = philox_word(e->seed, n->attrs.site, step_of(e, n), first + (uint64_t)k);
        switch (fn) {
        case RANDOM_UNIFORM: y->f[k] = eval_round(e, y->dtype, (double)random_uniform(word, a, b)); break;
        case RANDOM_NORMAL: y->f[k] = eval_round(e, y->dtype, (double)random_normal(word, a, b)); break;
        case RANDOM_BERNOULLI: y->i[k] = random_u01(word) < a; break;
        case RANDOM_RANDINT: y->i[k] = wrap_int(y->dtype, (uint64_t)random_integer(word, low, high)); break;
        }
    }
    return true;
}

bool eval_CATEGORICAL(Eval *e, const Node *n, Tensor *const *in, Tensor **out) {
    Tensor *y = out[0] = eval_new(e, &n->type);
    const Tensor *x = in[0];
    if (!y) return false;
    int64_t length = x->dim[x->rank - 1];
    uint64_t first = n->n_in > 1 ? (uint64_t)in[1]->i[0] * (uint64_t)y->count : 0;
    for (int64_t row = 0; row < y->count; row++) {
        const double *p = x->f + row * length;
        float total = 0, sum = 0;
        bool good = true;
        for (int64_t k = 0; k < length; k++) {
            good = good && p[k] >= 0;
            total += (float)p[k];
        }
        if (!good || !(total > 0) || isinf(total))
            return eval_fail(e, MDL_RANGE,
                             "row %lld of the weights of a draw has a negative number, a NaN, or a sum of 0 or inf",
                             (long long)row);
        float limit = random_u01(philox_word(e->seed, n->attrs.site, step_of(e, n), first + (uint64_t)row)) * total;
        int64_t place = 0;
        for (int64_t k = 0; k < length; k++) {
            sum += (float)p[k];
            place = k;
            if (sum > limit) break;
        }
        y->i[row] = place;
    }
    return true;
}
