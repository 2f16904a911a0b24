/* budget.c -- budgets: read from the command line, held against an artifact. An error names what is largest of what counts: parts of the
 * library, values, kernels with their layer and line, the tensors that are alive when a call needs most memory. */
#include "codegen/budget.h"

#include "codegen/entry.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED 4 /* contributors in a message */

static const char *const part_names[] = {
#define X(name, said, help) said,
    SIZE_PARTS(X)
#undef X
};

/* ---- the command line ---------------------------------------------------------------------------------------------------- */

static int part_find(const char *name) {
    for (int i = 0; i < SIZE_PART_COUNT; i++)
        if (!strcmp(part_names[i], name)) return i;
    return -1;
}

const char *budget_names(Arena *arena) {
    const char *text = SIZE_LIBRARY ", " SIZE_ARENA;
    for (int i = 0; i < SIZE_PART_COUNT; i++) text = arena_printf(arena, "%s, %s", text, part_names[i]);
    return text;
}

/* "512Ki": a whole number with a unit of the language or none. */
bool budget_bytes(const char *text, int64_t *bytes) {
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", 1},  {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}};
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].name)) return !__builtin_mul_overflow(n, units[i].factor, bytes);
    return false;
}

static bool is_bytes(const char *name) {
    return !strcmp(name, SIZE_LIBRARY) || !strcmp(name, SIZE_ARENA) || part_find(name) >= 0;
}

static const char *budget_read(Arena *arena, const char *name, const char *sign, Budget *b) {
    if (!budget_bytes(sign + 2, &b->bytes))
        return arena_printf(arena, "\"%s\" is no number of bytes such as 65536, 64Ki, 2Mi", sign + 2);
    b->name = name;
    return NULL;
}

/* A number, NUMBER*float, float, float-NUMBER or float+NUMBER. */
static bool limit_parse(const char *text, Accuracy *a) {
    char *end;
    if (!strncmp(text, "float", 5)) {
        a->factor = 1;
        if (!text[5]) return true;
        a->add = strtod(text + 5, &end);
        return (text[5] == '+' || text[5] == '-') && end != text + 5 && !*end && isfinite(a->add);
    }
    double number = strtod(text, &end);
    if (end == text || !isfinite(number)) return false;
    *(*end ? &a->factor : &a->add) = number;
    return !*end || !strcmp(end, "*float");
}

/* One comparison: of bytes, or with a result. */
static const char *comparison_read(Arena *arena, const char *text, Budgets *budgets, Accuracies *accuracies) {
    const char *sign = strpbrk(text, "<>");
    if (!sign || sign == text || sign[1] != '=')
        return arena_printf(arena, "\"%s\" is no budget such as arena<=512Ki or accuracy>=0.98*float", text);
    const char *name = arena_copy(arena, text, (size_t)(sign - text));
    if (is_bytes(name) && *sign == '<') {
        Budget b = {0};
        const char *wrong = budget_read(arena, name, sign, &b);
        if (!wrong) PUSH(arena, *budgets, b);
        return wrong;
    }
    Accuracy a = {.text = text, .result = name, .most = *sign == '<'};
    int64_t bytes;
    bool unit = budget_bytes(sign + 2, &bytes) && sign[2 + strspn(sign + 2, "0123456789")];
    if (is_bytes(name) || unit) return arena_printf(arena, "nothing is called \"%s\"; there are %s", name, budget_names(arena));
    if (!limit_parse(sign + 2, &a))
        return arena_printf(arena, "\"%s\" is no limit such as 0.98*float, float-0.005 or 0.9", sign + 2);
    PUSH(arena, *accuracies, a);
    return NULL;
}

const char *budget_parse(Arena *arena, const char *text, Budgets *budgets, Accuracies *accuracies) {
    if (!*text) return "which budget?";
    while (*text) {
        size_t n = strcspn(text, ",");
        const char *wrong = comparison_read(arena, arena_copy(arena, text, n), budgets, accuracies);
        if (wrong) return wrong;
        text += n + (text[n] == ',');
    }
    return NULL;
}

/* ---- contributors -------------------------------------------------------------------------------------------------------- */

typedef struct Item {
    const char *said;
    int64_t bytes;
} Item;
typedef LIST(Item) Items;

static int item_compare(const void *a, const void *b) {
    const Item *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes) : strcmp(x->said, y->said);
}

static void items_add(Arena *arena, Items *items, int64_t bytes, const char *said) {
    Item item = {said, bytes};
    if (bytes > 0) PUSH(arena, *items, item);
}

/* "net.0.weight, mlp.mdl:4" */
static const char *placed(Arena *arena, const char *said, const char *place) {
    return *place ? arena_printf(arena, "%s, %s", said, place) : said;
}

static void kernels_collect(Arena *arena, const Sizes *sizes, Items *items) {
    for (int i = 0; i < sizes->n_kernels; i++) {
        const SizeKernel *k = &sizes->kernels[i];
        const char *said = arena_printf(arena, "kernel %s%s%s", *k->name ? k->name : k->function, *k->path ? " of " : "", k->path);
        items_add(arena, items, k->bytes, placed(arena, said, k->source));
    }
}

static void values_collect(Arena *arena, const Artifact *artifact, Items *items) {
    const Slot *slot;
    size_t bytes;
    for (int i = 0; artifact_value(artifact, i, &slot, &bytes); i++) {
        const char *said = slot ? arena_printf(arena, "value of %s: %s", slot->path, type_said(arena, &slot->type)) : "a constant tensor";
        items_add(arena, items, (int64_t)bytes, placed(arena, said, slot ? entry_place_text(arena, slot->loc) : ""));
    }
}

/* The buffers that are alive at the kernel where most bytes are; at: values of the run-time sizes. */
static void buffers_collect(Arena *arena, const Plan *p, const int64_t *at, Items *items) {
    int64_t *bytes = NEW_ARRAY(arena, int64_t, p->buffers.n + 1), most = -1;
    int worst = 0;
    for (int i = 0; i < p->buffers.n; i++)
        if (!size_eval(p->buffers.at[i].bytes, at, &bytes[i])) bytes[i] = 0;
    for (int k = 0; k < p->kernels.n; k++) {
        int64_t live = 0;
        for (int i = 0; i < p->buffers.n; i++)
            if (p->buffers.at[i].first <= k && k <= p->buffers.at[i].last) live += bytes[i];
        if (live > most) worst = k;
        if (live > most) most = live;
    }
    for (int i = 0; i < p->buffers.n; i++) {
        if (p->buffers.at[i].first > worst || p->buffers.at[i].last < worst) continue;
        const Node *n = plan_buffer_node(p, i);
        const char *said = "memory of a loop";
        if (n) {
            const char *name = n->name ? n->name : op_row(n->op)->name;
            said = arena_printf(arena, "%s: %s%s%s", name, type_said(arena, &n->type), n->path ? " of " : "", n->path ? n->path : "");
        }
        items_add(arena, items, bytes[i], placed(arena, said, n ? entry_place_text(arena, n->loc) : ""));
    }
}

static void contributors_say(Report *r, Items *items) {
    if (items->n) qsort(items->at, (size_t)items->n, sizeof *items->at, item_compare);
    for (int i = 0; i < items->n && i < NAMED; i++) diag_fact(r, "%lld bytes: %s", (long long)items->at[i].bytes, items->at[i].said);
}

/* ---- checking ------------------------------------------------------------------------------------------------------------ */

static Report *exceeded(Diag *diag, const Budget *b, const char *what, int64_t bytes) {
    return diag_error(diag, b->loc, 1001, "%s %lld bytes, %lld more than the budget of %lld", what, (long long)bytes,
                      (long long)(bytes - b->bytes), (long long)b->bytes);
}

static void arena_check(Arena *arena, const Program *p, Plan *const *plans, const Budget *b, Diag *diag) {
    for (int i = 0; i < p->entries.n; i++) {
        const char *entry = p->entries.at[i]->name;
        const SizeName *unlimited;
        const int64_t *at = plan_most(plans[i], &unlimited);
        if (!at) {
            Report *r = diag_error(diag, b->loc, 1002, "the memory of `%s` has no limit, so that no budget can hold", entry);
            diag_fact(r, "it grows with `%s`, which has no upper limit", unlimited->name);
            diag_help(r, "give it one: `dim %s in 1..64;`, or a value: -D %s=1", unlimited->name, unlimited->name);
            continue;
        }
        int64_t peak, bound;
        plan_peak(plans[i], at, &peak, &bound);
        if (peak <= b->bytes) continue;
        Items items = {0};
        buffers_collect(arena, plans[i], at, &items);
        Report *r = exceeded(diag, b, arena_printf(arena, "the arena of `%s` has", entry), peak);
        if (p->entries.at[i]->recompute) diag_fact(r, "even where gradients compute again what they can (--memory)");
        contributors_say(r, &items);
    }
}

void budget_check_arena(Arena *arena, const Program *program, Plan *const *plans, int64_t bytes, Diag *diag) {
    Budget b = {.name = SIZE_ARENA, .bytes = bytes};
    arena_check(arena, program, plans, &b, diag);
}

void budget_check(Arena *arena, const Program *program, Plan *const *plans, const Artifact *artifact, const Sizes *sizes, Diag *diag) {
    for (int i = 0; i < program->budgets.n; i++) {
        const Budget *b = &program->budgets.at[i];
        if (!strcmp(b->name, SIZE_ARENA)) {
            arena_check(arena, program, plans, b, diag);
            continue;
        }
        int part = part_find(b->name);
        int64_t bytes = part < 0 ? sizes->file : sizes->bytes[part];
        if (bytes <= b->bytes) continue;
        Items items = {0};
        for (int k = 0; part < 0 && k < SIZE_PART_COUNT; k++) items_add(arena, &items, sizes->bytes[k], part_names[k]);
        if (part == SIZE_KERNELS) kernels_collect(arena, sizes, &items);
        if (part == SIZE_WEIGHTS) values_collect(arena, artifact, &items);
        Report *r = exceeded(diag, b, part < 0 ? "the library has" : arena_printf(arena, "%s: the library has", b->name), bytes);
        contributors_say(r, &items);
        if (part >= 0) continue;
        Items inside = {0};
        kernels_collect(arena, sizes, &inside);
        values_collect(arena, artifact, &inside);
        contributors_say(r, &inside);
    }
}
