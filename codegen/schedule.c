/* schedule.c -- planned kernels to tile kernels: the table of functions made so far, the text of a kernel under construction,
 * and its way through parser, verifier and lowering. Equal texts give one function, so kernels that differ only in the memory
 * they work on, or in a random site, share code. */
#include "codegen/schedule.h"
#include "codegen/cpu/blas.h"
#include "codegen/cpu/lower.h"
#include "codegen/cuda/lower.h"

#include <stdlib.h>
#include <string.h>

typedef struct Made {
    const char *text; /* the kernel without its name */
    const char *thunk;
    const char *whole; /* as printed by the tile printer */
    TileKernel *kernel;
} Made;

struct Scheduler {
    Arena *arena; /* the caller's: calls and texts the entry's code refers to */
    LLVMModuleRef module;
    Target target;
    const TileTarget *machine;
    LIST(Made) made;
    bool device;   /* kernels are CUDA C */
    Text cuda;
    LIST(CudaKernel) kernels; /* beside made */
    int64_t scratch, shared;
};

Scheduler *scheduler_new(Arena *a, struct LLVMOpaqueModule *module, const Target *target) {
    Scheduler *s = NEW(a, Scheduler);
    s->arena = a;
    s->module = module;
    s->target = *target;
    s->machine = target->machine;
    s->device = target->device;
    s->cuda.arena = a;
    return s;
}

int64_t scheduler_scratch(const Scheduler *s) {
    return s->scratch;
}
int64_t scheduler_shared(const Scheduler *s) {
    return s->shared;
}
int scheduler_functions(const Scheduler *s) {
    return s->made.n;
}
void scheduler_free(Scheduler *s) {
    (void)s;
} /* all of it lies in the caller's arena */

void scheduler_print_tiles(const Scheduler *s, FILE *f) {
    for (int i = 0; i < s->made.n; i++) fprintf(f, "%s%s", i ? "\n" : "", s->made.at[i].whole);
}

const char *scheduler_cuda(const Scheduler *s) {
    return s->cuda.n ? s->cuda.at : "";
}

int scheduler_device_kernel(const Scheduler *s, const char *function) {
    for (int i = 0; i < s->made.n; i++)
        if (strcmp(s->made.at[i].thunk, function) == 0) return i;
    return -1;
}

const CudaKernel *scheduler_cuda_kernels(const Scheduler *s, int *n) {
    *n = s->kernels.n;
    return s->kernels.at;
}

const CudaKernel *scheduler_cuda_kernel(const Scheduler *s, const char *function) {
    int i = scheduler_device_kernel(s, function);
    return i < 0 ? NULL : &s->kernels.at[i];
}

TileKernel *scheduler_tile(const Scheduler *s, const char *function) {
    for (int i = 0; i < s->made.n; i++)
        if (strcmp(s->made.at[i].thunk, function) == 0) return s->made.at[i].kernel;
    return NULL;
}

KernelCode *scheduler_kernel(Scheduler *s, const Plan *plan, const Kernel *k) {
    KernelCode *code = NEW(s->arena, KernelCode);
    switch (k->kind) {
    case KERNEL_MAP: schedule_map(work_new(s, plan, k, "map"), code); break;
    case KERNEL_REDUCE: schedule_map(work_new(s, plan, k, "reduce"), code); break;
    case KERNEL_CONTRACT:
        schedule_frames(s, plan, k, code); /* first: the last call is the one that stored everything */
        schedule_contract(work_new(s, plan, k, "contract"), code);
        break;
    case KERNEL_ATTENTION: schedule_attention(work_new(s, plan, k, "attention"), code); break;
    case KERNEL_ATTENTION_GRADIENT:
        schedule_attention_gradient(work_new(s, plan, k, "attention_gradient"), code);
        break;
    case KERNEL_SCATTER: schedule_scatter(work_new(s, plan, k, "scatter"), code); break;
    case KERNEL_UPDATE: schedule_update(work_new(s, plan, k, "update"), code); break;
    case KERNEL_ROUTINE: schedule_routine(work_new(s, plan, k, "routine"), code); break;
    case KERNEL_SCAN:
    case KERNEL_CHECK:
    case KERNEL_PRINT: bug("kernel %d belongs to the entry's code", k->index);
    }
    return code;
}

/* ---- work */

/* "contract [batch, 256] + add tanh mul": the anchor or kind, over what ("..": any shape), then the ops, at most eight. */
static const char *kernel_label(Arena *a, const Kernel *k, const char *kind, bool flat) {
    Text t = {.arena = a};
    text_add(&t, "%s [", k->anchor && !k->attention && !k->gradient ? op_row(k->anchor->op)->name : kind);
    for (int i = 0; i < k->space.rank && !flat; i++) text_add(&t, "%s%s", i ? ", " : "", size_text(a, k->space.dim[i]));
    text_add(&t, "%s]", flat ? ".." : "");
    int shown = 0;
    for (int i = 0; i < k->nodes.n && shown < 8; i++) {
        if (k->nodes.at[i] == k->anchor) continue;
        text_add(&t, "%s %s", shown++ ? "" : " +", op_row(k->nodes.at[i]->op)->name);
    }
    if (k->nodes.n - (k->anchor != NULL) > shown) text_add(&t, " ..");
    return t.at;
}

Work *work_new(Scheduler *s, const Plan *plan, const Kernel *k, const char *kind) {
    Work *w = NEW(s->arena, Work);
    w->s = s;
    w->arena = s->arena;
    w->table = plan->graph->program->sizes;
    w->plan = plan;
    w->k = k;
    w->machine = s->machine;
    w->optimize = s->target.optimize > 0;
    w->device = s->device;
    w->at_once = s->device && k->together > 1;
    w->tf32 = s->device && plan->graph->program->tf32;
    w->small = s->target.small && !s->device;
    w->by_tiles = s->target.optimize > 1 && !w->small && !s->device;
    w->blas = s->target.blas && !s->device;
    w->tuning = s->device ? NULL : s->target.tuning;
    w->kind = kind;
    w->text = kernel_label(w->arena, k, kind, w->at_once && k->flat);
    w->body.arena = w->arena;
    w->body.indent = 1;
    w->count = size_const(w->table, 1);
    return w;
}

static const char *size_symbol(Work *w, Size s) {
    for (int i = 0; i < w->sizes.n; i++)
        if (w->sizes.at[i] == s) return arena_printf(w->arena, "n%d", i);
    PUSH(w->arena, w->sizes, s);
    return arena_printf(w->arena, "n%d", w->sizes.n - 1);
}

static Size atom_size(Work *w, const Atom *a) {
    switch (a->kind) {
    case ATOM_NAME: return size_named(w->table, a->name);
    case ATOM_FLOORDIV: return size_floordiv(a->a, a->b);
    case ATOM_MOD: return size_mod(a->a, a->b);
    case ATOM_MIN: return size_min(a->a, a->b);
    case ATOM_MAX: return size_max(a->a, a->b);
    }
    bug("atom kind %d", a->kind);
}

/* Is a part of the size negative for some values? The whole is not, and sizes of the tile IR must not be. */
static bool has_negative_part(Work *w, Size s) {
    int64_t low, high;
    for (int i = 0; i < s->n; i++)
        for (int f = 0; f < s->term[i].n; f++) {
            size_range(atom_size(w, s->term[i].factor[f]), &low, &high);
            if (low < 0) return true;
        }
    return false;
}

const char *work_size(Work *w, Size s) {
    int64_t value;
    if (size_is_const(s, &value)) return arena_printf(w->arena, "%lld", (long long)value);
    if (has_negative_part(w, s)) return size_symbol(w, s);
    Text t = {.arena = w->arena};
    bool several = s->n + (s->constant != 0) > 1;
    if (several) text_add(&t, "(");
    for (int i = 0; i < s->n; i++) {
        const Monomial *m = &s->term[i];
        int64_t c = m->coefficient;
        if (i) text_add(&t, c < 0 ? " - " : " + ");
        else if (c < 0) text_add(&t, "0 - ");
        int64_t magnitude = c < 0 ? -c : c;
        if (magnitude != 1) text_add(&t, "%lld*", (long long)magnitude);
        for (int f = 0; f < m->n; f++) text_add(&t, "%s%s", f ? "*" : "", size_symbol(w, atom_size(w, m->factor[f])));
    }
    if (s->constant)
        text_add(&t, " %c %lld", s->constant < 0 ? '-' : '+', (long long)(s->constant < 0 ? -s->constant : s->constant));
    if (several) text_add(&t, ")");
    else if (s->term[0].coefficient < 0) return arena_printf(w->arena, "(%s)", t.at);
    return t.at;
}

/* ---- loops */

const char *text_plus(Work *w, const char *x, const char *y) {
    if (strcmp(x, "0") == 0) return y;
    return strcmp(y, "0") == 0 ? x : arena_printf(w->arena, "%s + %s", x, y);
}

const char *open_parts(Work *w, const char *name, Size n, int64_t by, bool rest, bool *opened) {
    int64_t whole, low, high;
    Size parts = size_ceildiv(n, size_const(w->table, by));
    size_range(parts, &low, &high);
    w->count = size_mul(w->count, parts);
    *opened = low != 1 || high != 1;
    if (!*opened) return "0";
    if (by == 1) {
        text_line(&w->body, "parallel %s in 0..%s {", name, work_size(w, n));
        return name;
    }
    bool divides = size_is_const(n, &whole) && whole % by == 0;
    if (divides || rest) {
        text_line(&w->body, "parallel %s in 0..%s by %lld%s {", name, work_size(w, n), (long long)by, divides ? "" : " masked");
        return name;
    }
    text_line(&w->body, "parallel %s in 0..%s {", name, work_size(w, parts));
    return arena_printf(w->arena, "%lld*%s", (long long)by, name);
}

const char *open_lanes(Work *w, const char *name, int64_t from, Size n, int lanes) {
    int64_t whole;
    bool divides = size_is_const(n, &whole) && whole % lanes == 0;
    if (divides || !w->machine->avx512) {
        text_line(&w->body, "for %s in %lld..%s by %d%s {", name, (long long)from, work_size(w, n), lanes, divides ? "" : " masked");
        return name;
    }
    text_line(&w->body, "for %s in %lld..%s {", name, (long long)(from / lanes), work_size(w, size_ceildiv(n, size_const(w->table, lanes))));
    return arena_printf(w->arena, "%d*%s", lanes, name);
}

const char *work_arg(Work *w, KernelArg arg, const char *type) {
    const char *name = arena_printf(w->arena, "a%d", w->args.n);
    PUSH(w->arena, w->args, arg);
    PUSH(w->arena, w->arg_text, arena_printf(w->arena, "%s: %s", name, type));
    return name;
}

static bool same_place(Place a, Place b) {
    return a.kind != PLACE_NONE && a.kind == b.kind && a.index == b.index;
}

const char *work_shared(Work *w, int64_t offset, int64_t bytes, const char *type) {
    if (offset + bytes > w->s->shared) w->s->shared = offset + bytes;
    return work_arg(w, (KernelArg){.kind = ARG_SHARED, .offset = offset}, type);
}

bool work_aliased(const Work *w, const Node *n) {
    const Place mine = w->plan->places[n->id];
    if (mine.kind == PLACE_NONE || mine.kind == PLACE_DATA) return false;
    for (int i = 0; i < w->k->reads.n; i++)
        if (w->k->reads.at[i] != n && same_place(mine, w->plan->places[w->k->reads.at[i]->id])) return true;
    for (int i = 0; i < w->k->writes.n; i++)
        if (w->k->writes.at[i] != n && same_place(mine, w->plan->places[w->k->writes.at[i]->id])) return true;
    return false;
}

/* The kernel as text; the name stands for itself in the key. */
static const char *whole_text(const Work *w, const char *name) {
    Text t = {.arena = w->arena};
    text_add(&t, "kernel %s", name);
    for (int i = 0; i < w->sizes.n; i++) {
        int64_t low, high;
        size_range(w->sizes.at[i], &low, &high);
        text_add(&t, "%sn%d in %lld..", i ? ", " : "<", i, (long long)(low < 0 ? 0 : low));
        if (high != SIZE_NO_LIMIT) text_add(&t, "%lld", (long long)high);
    }
    text_add(&t, "%s(", w->sizes.n ? ">" : "");
    for (int i = 0; i < w->arg_text.n; i++) text_add(&t, "%s%s", i ? ", " : "", w->arg_text.at[i]);
    text_add(&t, w->group ? ") group {\n%s}\n" : ") {\n%s}\n", w->body.at);
    return t.at;
}

static const char *printed(const Work *w, const TileKernel *k) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) bug("no memory");
    tile_print(f, k);
    fclose(f);
    const char *copy = arena_copy(w->arena, text, n);
    free(text);
    return copy;
}

/* Are its calls rows of a table? */
static bool takes_table(const Work *w) { return w->at_once || (w->device && w->args.n + w->sizes.n > CUDA_PARAMETERS); }

static void lower_to_cuda(Work *w, TileKernel *k, const char *name, const char *text) {
    Scheduler *s = w->s;
    CudaKernel made;
    const char *error;
    text_add(&s->cuda, "\n/* %s */\n", w->text);
    if (!cuda_lower(k, name, w->room, takes_table(w), &s->cuda, &made, &error)) bug("%s cannot be lowered: %s\n%s", name, error, text);
    PUSH(s->arena, s->kernels, made);
}

static const char *make_function(Work *w) {
    Scheduler *s = w->s;
    const char *key = whole_text(w, takes_table(w) ? "of a table" : "k");
    for (int i = 0; i < s->made.n; i++)
        if (strcmp(s->made.at[i].text, key) == 0) return s->made.at[i].thunk;
    const char *name = arena_printf(w->arena, "k%d_%s", s->made.n, w->kind), *error = NULL;
    const char *text = whole_text(w, name);
    TileKernel *k = tile_parse(w->arena, text, NULL, NULL, 0, &error);
    if (!k) bug("%s does not parse: %s\n%s", name, error, text);
    if (!tile_verify(k, s->machine, NULL, &error)) bug("%s\n%s", error, text);
    if (s->device) lower_to_cuda(w, k, name, text);
    else if (s->module && !tile_lower(k, s->machine, s->module, name, &error))
        bug("%s cannot be lowered: %s\n%s", name, error, text);
    if (s->module && !s->device)
        LLVMDeleteFunction(LLVMGetNamedFunction(s->module, arena_printf(w->arena, "%s.count", name))); /* the call knows */
    int64_t scratch = tile_scratch(k);
    if (scratch > s->scratch && !s->device) s->scratch = scratch;
    Made m = {key, arena_printf(s->arena, "%s.thunk", name), printed(w, k), k};
    PUSH(s->arena, s->made, m);
    return m.thunk;
}

/* The function of a product by a library; products of one form share it. */
static const char *make_blas(Work *w, const BlasForm *form) {
    Scheduler *s = w->s;
    const char *key = arena_printf(w->arena, "blas %d %d %d %d", form->rows, form->turned[0], form->turned[1], form->batches);
    for (int i = 0; i < s->made.n; i++)
        if (strcmp(s->made.at[i].text, key) == 0) return s->made.at[i].thunk;
    const char *name = arena_printf(s->arena, "k%d_blas.thunk", s->made.n);
    if (s->module) blas_lower(form, s->module, name);
    Made m = {key, name, arena_printf(s->arena, "// k%d_blas: cblas_sgemm of " BLAS_LIBRARY "\n", s->made.n), NULL};
    PUSH(s->arena, s->made, m);
    return m.thunk;
}

/* What a kernel of any shape is given for the number of its elements. */
static void flat_given(Work *w) {
    if (!w->k->flat || !w->at_once) return;
    const SizeName *name = size_bare_name(w->k->flat);
    Size count = type_count(w->plan->graph, &w->k->space);
    for (int i = 0; i < w->sizes.n; i++) w->sizes.at[i] = size_substitute(w->sizes.at[i], name, count);
    w->count = size_substitute(w->count, name, count);
}

static void call_add(Work *w, const char *function, KernelCode *code) {
    flat_given(w);
    KernelCall call = {
        .function = function,
        .n_args = w->args.n,
        .n_sizes = w->sizes.n,
        .args = w->args.at,
        .sizes = w->sizes.at,
        .count = w->count,
        .when = w->when,
        .low = w->low,
        .high = w->high,
        .text = w->text,
    };
    KernelCall *calls = NEW_ARRAY(w->arena, KernelCall, code->n + 1);
    if (code->n) memcpy(calls, code->calls, sizeof *calls * (size_t)code->n);
    calls[code->n++] = call;
    code->calls = calls;
}

void work_finish(Work *w, KernelCode *code) {
    call_add(w, make_function(w), code);
}

void work_finish_blas(Work *w, const BlasForm *form, KernelCode *code) {
    call_add(w, make_blas(w, form), code);
}

/* ---- packs */

Pack *work_pack(Work *w, int slot, int64_t bytes) {
    if (w->sizes.n) bug("kernel %d: a pack of run-time sizes", w->k->index);
    Pack *pack = NEW(w->arena, Pack);
    *pack = (Pack){.slot = slot, .text = whole_text(w, "k"), .bytes = bytes, .work = w};
    return pack;
}

int kernel_packed_slot(const Kernel *k, const Node *operand) {
    for (int i = 0; i < k->packed.n; i++)
        if (k->packed.at[i] == operand) return k->packed_slots.at[i];
    return -1;
}

const KernelCall *scheduler_pack(Scheduler *s, const Pack *pack) {
    if (pack->work->s != s) bug("a pack of another scheduler");
    KernelCode code = {0, NULL};
    work_finish(pack->work, &code);
    return &code.calls[0];
}
