/* harness.c -- see harness.h. DEVICE=1: whatever a test asked for, kernels run on the emulated device. */
#include "tests/schedule/harness.h"

#include "tests/passes/graphs.h"
#include "tests/schedule/device.h"
#include "tests/schedule/guard.h"
#include "tests/seen.h"
#include "codegen/cpu/lower.h"
#include "codegen/cuda/lower.h"
#include "codegen/schedule.h"
#include "ir/op.h"
#include "passes/pass.h"
#include "runtime/runtime.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Memory {
    char *at;
    size_t bytes;
} Memory;

typedef struct PackMemory { /* packed copy of a slot, made when it is first asked for */
    const Pack *pack;
    const KernelCall *call;
    char *at;
    bool made;
} PackMemory;

typedef struct Run {
    Harness *h;
    Arena *arena;
    const Plan *p;
    Eval e;
    Memory *memory[8]; /* by PlaceKind, then index */
    int n[8];
    Scheduler *s;
    KernelCode **code; /* by kernel */
    LIST(PackMemory) packs;
    PackMemory *making; /* whose kernel is running */
    LLVMOrcLLJITRef jit;
    Device *device;
    char *scratch, *shared;
    bool like; /* the kernel called a function that is counted */
    const char *name;
} Run;

Target harness_target(int level, int optimize) {
    static const char *const name[] = {"", "", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+vnni", "x86-64-v4+bf16"};
    Target target;
    if (!target_find(name[level], optimize, &target)) abort();
    return target;
}

Target harness_device(int optimize) {
    Target target;
    if (!target_find("cuda:sm_80", optimize, &target)) abort();
    return target_variant(&target, target.variants - 1);
}

Entry *harness_entry(Arena *a, const char *program, int inputs) {
    Program *p = NEW(a, Program);
    p->arena = a;
    p->name = program;
    p->sizes = size_table_new(a);
    Entry *e = NEW(a, Entry);
    *e = (Entry){.name = "run", .graph = graph_new(a, p), .inputs = NEW_ARRAY(a, EntryInput, inputs)};
    PUSH(a, p->entries, e);
    return e;
}

bool harness_can_run(int level) {
    __builtin_cpu_init();
    if (level >= 6 && !__builtin_cpu_supports("avx512bf16")) return false;
    if (level >= 5 && !__builtin_cpu_supports("avx512vnni")) return false;
    if (level >= 4)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq");
    if (level == 3) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return true;
}

Sweep harness_sweep(Harness *h, int argc, char **argv, uint64_t usual, unsigned tile, bool (*agrees)(Harness *h, uint64_t seed)) {
    const Seeds seeds = seeds_of(argc, argv, usual);
    Sweep s = {.cases = (int)(seeds.to - seeds.from), .level = argc > 3 ? atoi(argv[3]) : 0};
    if (s.level && !harness_can_run(s.level)) {
        printf("this processor has no level %d\n", s.level);
        s.failures = 1;
        return s;
    }
    for (uint64_t seed = seeds.from; seed < seeds.to && s.failures < 8; seed++) {
        int level = s.level ? s.level : 2 + (int)(seed % 3);
        h->mode = s.level || (seed % tile && harness_can_run(level)) ? BY_CODE : BY_TILE;
        h->target = harness_target(level, 2);
        s.failures += !agrees(h, seed);
    }
    return s;
}

void harness_count(const Harness *h) {
    if (getenv("DEVICE")) printf("%d programs\n", h->programs);
}

static int64_t size_of(const Run *r, Size s) {
    int64_t v;
    if (!size_eval(s, r->e.sizes, &v)) bug("a size cannot be computed");
    return v;
}

static size_t bytes_of(const Run *r, const Type *t) {
    int64_t n = dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) n *= size_of(r, t->dim[i]);
    return (size_t)n;
}

static void memory_make(Run *r, PlaceKind kind, int index, size_t bytes) {
    Memory *m = &r->memory[kind][index];
    m->at = guard_alloc(bytes);
    m->bytes = bytes;
    memset(m->at, 0xff, bytes);
}

static void memory_all(Run *r, const Entry *e) {
    const Plan *p = r->p;
    const Graph *g = p->graph;
    int counts[8] = {0};
    counts[PLACE_ARENA] = p->buffers.n;
    counts[PLACE_SLOT] = g->program->slots.n;
    counts[PLACE_INPUT] = e->n_inputs;
    counts[PLACE_RESULT] = g->results.n;
    for (int k = 0; k < 8; k++) {
        r->memory[k] = NEW_ARRAY(r->arena, Memory, counts[k]);
        r->n[k] = counts[k];
    }
    for (int i = 0; i < counts[PLACE_ARENA]; i++) memory_make(r, PLACE_ARENA, i, (size_t)size_of(r, p->buffers.at[i].bytes));
    for (int i = 0; i < counts[PLACE_SLOT]; i++) {
        memory_make(r, PLACE_SLOT, i, bytes_of(r, &g->program->slots.at[i]->type));
        tensor_to_bytes(r->e.slots[i], r->memory[PLACE_SLOT][i].at);
    }
    for (int i = 0; i < counts[PLACE_INPUT]; i++) {
        memory_make(r, PLACE_INPUT, i, bytes_of(r, &e->inputs[i].type));
        tensor_to_bytes(r->e.inputs[i], r->memory[PLACE_INPUT][i].at);
    }
    for (int i = 0; i < counts[PLACE_RESULT]; i++) memory_make(r, PLACE_RESULT, i, bytes_of(r, &g->results.at[i].value->type));
}

static void *memory_of(const Run *r, const Node *n) {
    Place p = r->p->places[n->id];
    if (p.kind == PLACE_DATA) return (void *)n->attrs.data;
    if (p.kind == PLACE_NONE || p.index >= r->n[p.kind]) bug("node %d (%s) has no memory", n->id, op_row(n->op)->name);
    return r->memory[p.kind][p.index].at;
}

static Tensor *tensor_of(const Run *r, Arena *a, const Node *n) {
    int64_t dim[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++) dim[i] = size_of(r, n->type.dim[i]);
    return tensor_from_bytes(a, n->type.dtype, n->type.rank, dim, memory_of(r, n));
}

/* ---- what a kernel should store */

typedef struct Expected {
    Run *r;
    Eval e;
    Tensor **value; /* by node id */
} Expected;

static Tensor *operand(Expected *x, const Node *n) {
    Tensor **value = &x->value[n->id];
    if (*value) return *value;
    if (op_row(n->op)->class == CLASS_VIEW || n->op == OP_CONST || n->op == OP_IOTA || n->op == OP_SIZE) {
        Tensor *in[1] = {n->n_in ? operand(x, n->in[0]) : NULL};
        if (!eval_node(&x->e, n, in, value)) bug("node %d cannot be computed: %s", n->id, x->e.error);
    } else {
        *value = tensor_of(x->r, x->e.arena, n);
    }
    return *value;
}

static Expected expect(Run *r, Arena *a, const Kernel *k) {
    Expected x = {.r = r, .e = r->e, .value = NEW_ARRAY(a, Tensor *, r->p->graph->nodes.n)};
    x.e.arena = a;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        Tensor **in = NEW_ARRAY(a, Tensor *, n->n_in);
        for (int j = 0; j < n->n_in; j++) in[j] = operand(&x, n->in[j]);
        if (!eval_node(&x.e, n, in, &x.value[n->id])) bug("node %d cannot be computed: %s", n->id, x.e.error);
    }
    return x;
}

/* ---- running */

static bool run_call(Run *r, const KernelCall *c);

static void packs_find(Run *r, const KernelCode *code) {
    for (int i = 0; i < code->n; i++) {
        for (int k = 0; k < code->calls[i].n_args; k++) {
            const Pack *pack = code->calls[i].args[k].pack;
            if (!pack) continue;
            PackMemory m = {pack, scheduler_pack(r->s, pack), guard_alloc((size_t)pack->bytes), false};
            memset(m.at, 0xff, (size_t)pack->bytes);
            r->h->packs++;
            PUSH(r->arena, r->packs, m);
        }
    }
}

static void *pack_memory(Run *r, const Pack *pack) {
    if (!pack) return r->making->at;
    int i = 0;
    while (r->packs.at[i].pack != pack) i++;
    r->making = &r->packs.at[i];
    if (!r->making->made && !run_call(r, r->making->call)) bug("a pack cannot be made");
    r->packs.at[i].made = true;
    return r->packs.at[i].at;
}

static void *argument(Run *r, const KernelArg *a, uint32_t *rng) {
    switch (a->kind) {
    case ARG_VALUE: return memory_of(r, a->node);
    case ARG_RNG: return rng;
    case ARG_SITE: return (void *)&a->site;
    case ARG_NULL: return NULL;
    case ARG_PACK: return pack_memory(r, a->pack);
    case ARG_SHARED: return r->shared + a->offset;
    }
    return NULL;
}

static RtThunk *routine(const char *name) {
    if (strcmp(name, "rt_topk_f32") == 0) return rt_topk_f32;
    if (strcmp(name, "rt_sort_f32") == 0) return rt_sort_f32;
    if (strcmp(name, "rt_topk_f64") == 0) return rt_topk_f64;
    if (strcmp(name, "rt_sort_f64") == 0) return rt_sort_f64;
    if (strcmp(name, "rt_topk_i64") == 0) return rt_topk_i64;
    if (strcmp(name, "rt_sort_i64") == 0) return rt_sort_i64;
    if (strcmp(name, "rt_categorical_f32") == 0) return rt_categorical_f32;
    return NULL;
}

/* What the argument has in memory, 0: it is not written. */
static size_t argument_bytes(const Run *r, const KernelArg *a) {
    if (a->kind == ARG_PACK && !a->pack) return (size_t)r->making->pack->bytes;
    if (a->kind == ARG_SHARED) return (size_t)(scheduler_shared(r->s) - a->offset);
    if (a->kind != ARG_VALUE) return 0;
    Place p = r->p->places[a->node->id];
    return p.kind == PLACE_DATA || p.kind == PLACE_NONE ? 0 : r->memory[p.kind][p.index].bytes;
}

static bool run_on_device(Run *r, const KernelCall *c, void *const *args, const int64_t *sizes, int64_t count) {
    size_t *bytes = NEW_ARRAY(r->arena, size_t, c->n_args + 1);
    for (int i = 0; i < c->n_args; i++) bytes[i] = argument_bytes(r, &c->args[i]);
    r->h->launches++;
    return device_run(r->device, c, scheduler_cuda_kernel(r->s, c->function)->table, args, bytes, sizes, &count);
}

static void count_like(Run *r, const KernelCall *c) {
    for (int i = 0; i < 4 && r->h->like[i]; i++) {
        if (!strstr(c->function, r->h->like[i])) continue;
        r->h->calls_like[i]++;
        r->like = true;
    }
}

static bool run_call(Run *r, const KernelCall *c) {
    if (c->when) {
        int64_t v = size_of(r, c->when);
        if (v < c->low || v >= c->high) return true;
    }
    count_like(r, c);
    uint32_t rng[4] = {(uint32_t)r->e.seed, (uint32_t)(r->e.seed >> 32), (uint32_t)r->e.step, (uint32_t)(r->e.step >> 32)};
    void **args = NEW_ARRAY(r->arena, void *, c->n_args + 1);
    int64_t *sizes = NEW_ARRAY(r->arena, int64_t, c->n_sizes + 1), count = size_of(r, c->count);
    for (int i = 0; i < c->n_args; i++) args[i] = argument(r, &c->args[i], rng);
    for (int i = 0; i < c->n_sizes; i++) sizes[i] = size_of(r, c->sizes[i]);
    RtThunk *thunk = routine(c->function);
    TileKernel *k = scheduler_tile(r->s, c->function);
    if (!thunk && tile_count(k, sizes) != count) {
        printf("%s: %lld iterations said, %lld in the tile kernel\n", c->function, (long long)count,
               (long long)tile_count(k, sizes));
        return false;
    }
    if (thunk) {
        thunk(args, sizes, NULL, 0, count);
        return true;
    }
    if (r->h->mode == BY_TILE) {
        const char *error;
        if (tile_interp(k, args, sizes, 0, -1, &error)) return true;
        printf("%s: %s\n", c->function, error);
        return false;
    }
    if (r->h->mode == BY_DEVICE) return run_on_device(r, c, args, sizes, count);
    LLVMOrcExecutorAddress at;
    LLVMErrorRef e = LLVMOrcLLJITLookup(r->jit, &at, c->function);
    if (e) bug("%s", LLVMGetErrorMessage(e));
    thunk = (RtThunk *)(uintptr_t)at;
    guard_context(r->name, c->function);
    int64_t third = count / 3; /* in three pieces, the last first: iterations do not depend on each other */
    thunk(args, sizes, r->scratch, 2 * third, count);
    thunk(args, sizes, r->scratch, third, 2 * third);
    thunk(args, sizes, r->scratch, 0, third);
    return true;
}

static bool close_enough(Harness *h, const Tensor *got, const Tensor *want, bool like, int64_t *worst) {
    if (!want->f) {
        for (int64_t i = 0; i < want->count; i++)
            if (got->i[i] != want->i[i]) return *worst = i, false;
        return true;
    }
    double largest = 0;
    for (int64_t i = 0; i < want->count; i++)
        if (isfinite(want->f[i]) && fabs(want->f[i]) > largest) largest = fabs(want->f[i]);
    double unit = want->dtype == DT_F16 ? 1e-3 : want->dtype == DT_BF16 ? 8e-3 : 0;
    for (int64_t i = 0; i < want->count; i++) {
        double a = got->f[i], b = want->f[i];
        if (a == b || (isnan(a) && isnan(b))) continue;
        if (like && isfinite(a) && fabs(a - b) > h->worst * largest) h->worst = fabs(a - b) / largest;
        if (fabs(a - b) <= h->of_largest * largest) continue;
        if (!(fabs(a - b) <= (h->tolerance + unit) * (0.1 + fabs(b) + largest / 100))) return *worst = i, false;
    }
    return true;
}

static const Node *behind_views(const Node *n) {
    while (op_row(n->op)->class == CLASS_VIEW) n = n->in[0];
    return n;
}

/* Does the kernel compute it by something that code may round otherwise than the interpreter? */
static bool is_rounded(const Kernel *k, const Node *n) {
    n = behind_views(n);
    bool computed = false, same = false;
    for (int i = 0; i < k->nodes.n; i++) computed = computed || k->nodes.at[i] == n;
    if (!computed || !dtype_is_float(n->type.dtype)) return false;
    switch (n->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_NEG:
    case OP_ABS:
    case OP_MIN:
    case OP_MAX:
    case OP_WHERE:
    case OP_CAST: same = true; break;
    case OP_REDUCE: same = n->attrs.fn == REDUCE_MAX || n->attrs.fn == REDUCE_MIN; break;
    default: break;
    }
    for (int i = 0; i < n->n_in && same; i++) same = !is_rounded(k, n->in[i]);
    return !same;
}

/* Functions of such values may jump. (None crosses -inf.) */
static bool jumps(const Kernel *k) {
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.at[i];
        switch (n->op) {
        case OP_FLOOR:
        case OP_CEIL:
        case OP_ROUND:
        case OP_SIGN:
        case OP_MOD:
        case OP_LT:
        case OP_GT:
        case OP_LE:
        case OP_GE:
        case OP_EQ:
        case OP_NE:
            if (n->n_in == 2 && const_is(behind_views(n->in[1]), -INFINITY)) continue;
            for (int q = 0; q < n->n_in; q++)
                if (is_rounded(k, n->in[q])) return true;
            break;
        default: break;
        }
    }
    return false;
}

/* What lies beyond a limit is undefined: there it counts as right. */
static void forgive(Run *r, const Kernel *k, Tensor *got, const Tensor *want) {
    if (!k->limit.seen || k->limit.axis < 0) return;
    int64_t all = want->dim[want->rank - 1], seen = size_of(r, k->limit.seen);
    for (int64_t i = 0; i < want->count; i++)
        if (i % all >= seen) got->f[i] = want->f[i];
}

/* Does each value that k stores agree with what is expected? Then that is there: errors do not add up. */
static bool check_kernel(Run *r, Arena *a, const Kernel *k, const Expected *x) {
    bool ok = true;
    for (int i = 0; i < k->writes.n && ok; i++) {
        const Node *n = k->writes.at[i];
        const Tensor *want = x->value[n->id];
        Tensor *got = tensor_of(r, a, n);
        int64_t worst;
        forgive(r, k, got, want);
        if (close_enough(r->h, got, want, r->like, &worst)) continue;
        if (jumps(k)) continue;
        ok = false;
        if (want->f)
            printf("%s: kernel %d, node %d (%s) [%lld] = %.9g, expected %.9g\n", r->name, k->index, n->id, op_row(n->op)->name,
                   (long long)worst, got->f[worst], want->f[worst]);
        else
            printf("%s: kernel %d, node %d (%s) [%lld] = %lld, expected %lld\n", r->name, k->index, n->id, op_row(n->op)->name,
                   (long long)worst, (long long)got->i[worst], (long long)want->i[worst]);
    }
    for (int i = 0; i < k->writes.n; i++)
        tensor_to_bytes(x->value[k->writes.at[i]->id], memory_of(r, k->writes.at[i]));
    return ok;
}

/* What is counted of a kernel that ran; it failed: what it is. */
static void kernel_ran(Run *r, const Kernel *k, bool ok) {
    const KernelCode *code = r->code[k->index];
    if (!ok && r->h->show) {
        for (int i = 0; i < code->n; i++) {
            TileKernel *t = scheduler_tile(r->s, code->calls[i].function);
            if (t) tile_print(stdout, t);
        }
        graph_print(stdout, r->p->graph, "");
    }
    r->h->kernels++;
    r->h->kinds[k->kind]++;
    r->h->parts += k->parts > 0;
    for (int i = 0; i < k->nodes.n; i++)
        if (k->levels.at[i] == LEVEL_B) {
            r->h->prologues++;
            break;
        }
}

static bool run_kernel(Run *r, const Kernel *k) {
    Arena *a = arena_new();
    Expected x = expect(r, a, k);
    const KernelCode *code = r->code[k->index];
    const int64_t *sizes = r->e.sizes;
    int32_t offset = 0;
    if (k->limit.offset) memcpy(&offset, memory_of(r, k->limit.offset), sizeof offset);
    r->e.sizes = kernel_size_values(a, k, sizes, offset);
    bool ok = true;
    r->like = false;
    for (int i = 0; i < code->n && ok; i++) ok = run_call(r, &code->calls[i]);
    ok = check_kernel(r, a, k, &x) && ok;
    r->e.sizes = sizes;
    kernel_ran(r, k, ok);
    arena_free(a);
    return ok;
}

/* Call q of each of the kernels that run at once with `first`, as one launch. */
static bool run_launch(Run *r, Arena *a, const Kernel *first, int q, uint32_t *rng) {
    const KernelCall *c = &r->code[first->index]->calls[q];
    int n = first->together;
    void **args = NEW_ARRAY(a, void *, n * c->n_args + 1);
    size_t *bytes = NEW_ARRAY(a, size_t, n * c->n_args + 1);
    int64_t *sizes = NEW_ARRAY(a, int64_t, n * c->n_sizes + 1), *counts = NEW_ARRAY(a, int64_t, n);
    for (int i = 0; i < n; i++) {
        const KernelCall *call = &r->code[first->index + i]->calls[q];
        if (strcmp(call->function, c->function)) bug("kernels %d and %d run at once, by other functions", first->index, first->index + i);
        for (int k = 0; k < c->n_args; k++) args[i * c->n_args + k] = argument(r, &call->args[k], rng);
        for (int k = 0; k < c->n_args; k++) bytes[i * c->n_args + k] = argument_bytes(r, &call->args[k]);
        for (int k = 0; k < c->n_sizes; k++) sizes[i * c->n_sizes + k] = size_of(r, call->sizes[k]);
        counts[i] = size_of(r, call->count);
    }
    count_like(r, c);
    r->h->launches++;
    r->h->at_once++;
    r->h->flat += first->flat != NULL;
    return device_run(r->device, c, n, args, bytes, sizes, counts);
}

static bool run_at_once(Run *r, const Kernel *first) {
    Arena *a = arena_new();
    Expected *x = NEW_ARRAY(a, Expected, first->together);
    uint32_t rng[4] = {(uint32_t)r->e.seed, (uint32_t)(r->e.seed >> 32), (uint32_t)r->e.step, (uint32_t)(r->e.step >> 32)};
    bool ok = true;
    r->like = false;
    for (int i = 0; i < first->together; i++) x[i] = expect(r, a, r->p->kernels.at[first->index + i]);
    for (int q = 0; q < r->code[first->index]->n && ok; q++) ok = run_launch(r, a, first, q, rng);
    for (int i = 0; i < first->together && ok; i++) {
        const Kernel *k = r->p->kernels.at[first->index + i];
        ok = check_kernel(r, a, k, &x[i]);
        kernel_ran(r, k, ok);
    }
    arena_free(a);
    return ok;
}

/* The best of some runs; kernels that write over what they read compute nonsense meanwhile. */
static void time_kernel(Run *r, const Kernel *k) {
    const KernelCode *code = r->code[k->index];
    double best = 1e30;
    for (int round = 0; round < 12; round++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < code->n; i++) run_call(r, &code->calls[i]);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
        if (ns < best) best = ns;
    }
    double flops = 0;
    if (k->kind == KERNEL_CONTRACT) {
        flops = 2;
        for (int i = 0; i < k->anchor->type.rank; i++) flops *= (double)size_of(r, k->anchor->type.dim[i]);
        for (int i = 0; i < k->anchor->in[1]->type.rank; i++)
            if (!strchr(k->anchor->attrs.labels[2], k->anchor->attrs.labels[1][i]))
                flops *= (double)size_of(r, k->anchor->in[1]->type.dim[i]);
    }
    printf("%-24s %8.1f us", code->calls[0].function, best * 1e-3);
    if (flops > 0) printf("  %6.1f GF", flops / best);
    printf("  %lld iterations, %d calls", (long long)size_of(r, code->calls[code->n - 1].count), code->n);
    for (int i = 0; i < k->nodes.n; i++) printf(" %s", op_row(k->nodes.at[i]->op)->name);
    printf("\n");
}

static void generate(Run *r) {
    Emit *emit = r->h->mode == BY_CODE ? emit_new("test", r->h->target.platform, r->h->target.optimize > 0) : NULL;
    r->s = scheduler_new(r->arena, emit ? emit_module(emit) : NULL, &r->h->target);
    for (int i = 0; i < r->p->kernels.n; i++) {
        const Kernel *k = r->p->kernels.at[i];
        if (k->kind <= KERNEL_ROUTINE) r->code[k->index] = scheduler_kernel(r->s, r->p, k);
        if (r->code[k->index]) packs_find(r, r->code[k->index]);
    }
    if (r->h->mode == BY_DEVICE) r->device = device_new(r->arena, r->s);
    if (!emit) return;
    const char *error, *bytes;
    size_t n;
    if (r->h->time) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        printf("texts, lowering done at %.1f ms\n", (double)(t.tv_sec % 1000) * 1e3 + (double)t.tv_nsec * 1e-6);
    }
    if (!emit_verify(emit, r->arena, &error)) bug("%s", error);
    for (int i = 0; i < r->p->kernels.n; i++)
        for (int c = 0; r->code[i] && c < r->code[i]->n; c++) {
            LLVMValueRef f = LLVMGetNamedFunction(emit_module(emit), r->code[i]->calls[c].function);
            if (f) LLVMSetVisibility(f, LLVMDefaultVisibility);
        }
    for (int i = 0; i < r->packs.n; i++) {
        LLVMValueRef f = LLVMGetNamedFunction(emit_module(emit), r->packs.at[i].call->function);
        LLVMSetVisibility(f, LLVMDefaultVisibility);
    }
    if (!emit_object(emit, r->arena, &bytes, &n, &error)) bug("%s", error);
    if (getenv("OBJECT")) {
        FILE *f = fopen(getenv("OBJECT"), "w");
        if (f) fwrite(bytes, 1, n, f), fclose(f);
    }
    LLVMErrorRef e = LLVMOrcCreateLLJIT(&r->jit, NULL);
    if (!e)
        e = LLVMOrcLLJITAddObjectFile(r->jit, LLVMOrcLLJITGetMainJITDylib(r->jit),
                                      LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, n, "t.o"));
    if (e) bug("%s", LLVMGetErrorMessage(e));
    emit_free(emit);
}

bool harness_run(Harness *h, const Program *program, const Entry *e, const Eval *values, int plan_level, const char *name) {
    Arena *a = arena_new();
    Diag *d = diag_new();
    if (getenv("DEVICE")) {
        h->mode = BY_DEVICE;
        h->target = harness_device(h->target.optimize);
    }
    Run r = {.h = h, .arena = a, .e = *values, .name = name};
    r.e.arena = a;
    r.p = plan_entry(a, e->graph, &(PlanOptions){.level = plan_level, .device = h->mode == BY_DEVICE}, d);
    if (!r.p) bug("no plan");
    r.e.program = program;
    r.code = NEW_ARRAY(a, KernelCode *, r.p->kernels.n);
    memory_all(&r, e);
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    if (h->time) printf("begin at %.1f ms\n", (double)(t0.tv_sec % 1000) * 1e3 + (double)t0.tv_nsec * 1e-6);
    generate(&r);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    if (h->time)
        printf("%d functions in %.1f ms\n", scheduler_functions(r.s),
               (double)(t1.tv_sec - t0.tv_sec) * 1e3 + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-6);
    r.scratch = guard_alloc((size_t)scheduler_scratch(r.s));
    r.shared = guard_alloc((size_t)scheduler_shared(r.s));
    bool ok = true;
    int launches = h->launches;
    for (int i = 0; i < r.p->kernels.n && ok; i++)
        if (r.p->kernels.at[i]->kind <= KERNEL_ROUTINE) {
            const Kernel *k = r.p->kernels.at[i];
            if (k->together == 1) ok = run_kernel(&r, k);
            else if (!k->turn) ok = run_at_once(&r, k);
            if (h->time && k->together == 1) time_kernel(&r, k);
        }
    h->programs += ok && h->launches > launches;
    r.h->maps += device_free(r.device);
    if (r.jit) {
        LLVMErrorRef error = LLVMOrcDisposeLLJIT(r.jit);
        if (error) bug("%s", LLVMGetErrorMessage(error));
    }
    if (h->mode == BY_CODE && ok) {
        static bool known[OP_COUNT];
        bool seen[OP_COUNT] = {false};
        seen_graph(seen, e->graph);
        for (int op = 0; op < OP_COUNT; op++) {
            seen[op] = seen[op] && !known[op];
            known[op] = known[op] || seen[op];
        }
        seen_write("code", seen);
    }
    guard_free(r.scratch);
    guard_free(r.shared);
    for (int i = 0; i < r.packs.n; i++) guard_free(r.packs.at[i].at);
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < r.n[k]; i++) guard_free(r.memory[k][i].at);
    scheduler_free(r.s);
    diag_free(d);
    arena_free(a);
    return ok;
}
