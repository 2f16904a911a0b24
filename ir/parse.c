/* parse.c -- reads the text that print.c writes: a program, line by line. Every node is checked as the verifier would (its type
 * is inferred and compared with the one written), so a text that parses makes a sound graph. The first error ends it, E0901.
 *
 * Source places are text too ("// net.0 mlp.mdl:10"): each file's name gets a Source of empty lines, long enough for its last
 * line. */
#include "ir/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARSE_ERROR = 901 };

typedef struct Parser {
    Arena *arena;
    const Source *source;
    Diag *diag;
    const char *at;
    Program *program;
    SizeName **scope; /* sizes of the entry */
    int n_scope;
    LIST(Source *) files; /* of places; length: the last line seen */
    bool failed;
} Parser;

/* Values of a graph by name. */
typedef struct Names {
    LIST(const char *) text;
    LIST(Node *) node;
} Names;

/* ---- characters and words ------------------------------------------------------------------------------------------------ */

static bool fail(Parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(Parser *p, const char *format, ...) {
    if (p->failed) return false;
    p->failed = true;
    va_list ap;
    va_start(ap, format);
    int at = (int)(p->at - p->source->text);
    int end = at < (int)p->source->length ? at + 1 : at;
    diag_error(p->diag, (Loc){p->source, at, end}, PARSE_ERROR, "%s", arena_vprintf(p->arena, format, ap));
    va_end(ap);
    return false;
}

static void blanks(Parser *p) {
    while (*p->at == ' ') p->at++;
}

static void blank_lines(Parser *p) {
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\r') p->at++;
}

static bool try(Parser *p, const char *text) {
    blanks(p);
    size_t n = strlen(text);
    if (strncmp(p->at, text, n) != 0) return false;
    if (isalnum((unsigned char)text[n - 1]) && (isalnum((unsigned char)p->at[n]) || p->at[n] == '_')) return false;
    p->at += n;
    return true;
}

static bool expect(Parser *p, const char *text) { return try(p, text) || fail(p, "`%s` is expected", text); }

/* Up to a blank or one of `until`. */
static const char *word(Parser *p, const char *until) {
    blanks(p);
    const char *begin = p->at;
    while (*p->at && *p->at != ' ' && *p->at != '\n' && !strchr(until, *p->at)) p->at++;
    if (p->at == begin) fail(p, "a name is expected");
    return arena_copy(p->arena, begin, (size_t)(p->at - begin));
}

static bool whole(Parser *p, int64_t *value) {
    blanks(p);
    char *end;
    *value = strtoll(p->at, &end, 10);
    if (end == p->at) return fail(p, "a whole number is expected");
    p->at = end;
    return true;
}

static bool whole_int(Parser *p, int *value) {
    int64_t wide;
    if (!whole(p, &wide)) return false;
    if (wide < -1000000 || wide > 1000000) return fail(p, "%" PRId64 " is too large here", wide);
    *value = (int)wide;
    return true;
}

static const char *string(Parser *p) {
    if (!expect(p, "\"")) return NULL;
    char *text = arena_alloc(p->arena, strcspn(p->at, "\n") + 1), *to = text;
    for (; *p->at != '"'; p->at++) {
        if (!*p->at || *p->at == '\n') {
            fail(p, "the string has no end");
            return NULL;
        }
        if (*p->at != '\\') {
            *to++ = *p->at;
        } else if (*++p->at == 'n') {
            *to++ = '\n';
        } else if (*p->at == 'x' && isxdigit((unsigned char)p->at[1]) && isxdigit((unsigned char)p->at[2])) {
            *to++ = (char)strtol(arena_copy(p->arena, p->at + 1, 2), NULL, 16);
            p->at += 2;
        } else if (*p->at == '"' || *p->at == '\\') {
            *to++ = *p->at;
        } else {
            fail(p, "an unknown escape");
            return NULL;
        }
    }
    p->at++;
    return text;
}

static Size size(Parser *p) {
    blanks(p);
    const char *end = p->at;
    Size s = size_parse_scoped(p->program->sizes, p->scope, p->n_scope, p->at, &end);
    if (!s) fail(p, "a size is expected");
    p->at = end;
    return s;
}

static bool type(Parser *p, Type *t) {
    const char *name = word(p, "[,)");
    *t = (Type){0};
    if (p->failed) return false;
    if (!dtype_parse(name, &t->dtype)) return fail(p, "`%s` is no dtype", name);
    if (!expect(p, "[")) return false;
    if (try(p, "]")) return true;
    do {
        if (t->rank == MAX_RANK) return fail(p, "more than %d axes", MAX_RANK);
        t->dim[t->rank++] = size(p);
        if (p->failed) return false;
    } while (try(p, ","));
    return expect(p, "]");
}

/* A number of the dtype: both forms of a constant. */
static bool number(Parser *p, DType d, Attrs *a) {
    blanks(p);
    char *end;
    if (d == DT_BOOL) {
        a->whole = try(p, "true");
        a->number = (double)a->whole;
        return a->whole || expect(p, "false");
    }
    if (!dtype_is_float(d)) {
        if (!whole(p, &a->whole)) return false;
        a->number = (double)a->whole;
        return true;
    }
    a->number = strtod(p->at, &end);
    if (end == p->at) return fail(p, "a number is expected");
    p->at = end;
    return true;
}

static void *hex(Parser *p, size_t bytes) {
    unsigned char *data = arena_alloc(p->arena, bytes);
    for (size_t i = 0; i < bytes; i++, p->at += 2) {
        if (!isxdigit((unsigned char)p->at[0]) || !isxdigit((unsigned char)p->at[1])) {
            fail(p, "%zu bytes in hex are expected", bytes);
            return NULL;
        }
        const char pair[3] = {p->at[0], p->at[1], 0};
        data[i] = (unsigned char)strtol(pair, NULL, 16);
    }
    return data;
}

/* ---- places -------------------------------------------------------------------------------------------------------------- */

/* A Source of that many empty lines; its text is made at the end. */
static Loc place_of(Parser *p, const char *file, int line) {
    Source *s = NULL;
    for (int k = 0; k < p->files.n && !s; k++)
        if (strcmp(p->files.at[k]->name, file) == 0) s = p->files.at[k];
    if (!s) {
        s = NEW(p->arena, Source);
        s->name = s->path = file;
        PUSH(p->arena, p->files, s);
    }
    if (s->length < (size_t)line) s->length = (size_t)line;
    return (Loc){s, line - 1, line - 1};
}

static void files_finish(Parser *p) {
    for (int k = 0; k < p->files.n; k++) {
        char *text = arena_alloc(p->arena, p->files.at[k]->length + 1);
        memset(text, '\n', p->files.at[k]->length);
        p->files.at[k]->text = text;
    }
}

/* The end of a line, with its "// path file:line". */
static bool end_of_line(Parser *p, const char **path, Loc *loc) {
    *path = NULL;
    *loc = (Loc){0};
    if (try(p, "//")) {
        blanks(p);
        const char *begin = p->at, *end = begin + strcspn(begin, "\n");
        const char *colon = end;
        while (colon > begin && isdigit((unsigned char)colon[-1])) colon--;
        bool has_loc = colon > begin + 1 && colon[-1] == ':' && colon < end && end - colon < 8;
        const char *space = memchr(begin, ' ', (size_t)(end - begin));
        const char *file = has_loc && space ? space + 1 : begin;
        if (!has_loc) *path = arena_copy(p->arena, begin, (size_t)(end - begin));
        else if (space) *path = arena_copy(p->arena, begin, (size_t)(space - begin));
        if (*path && strcmp(*path, "-") == 0) *path = NULL;
        if (has_loc && colon - 1 > file && atoi(colon) > 0)
            *loc = place_of(p, arena_copy(p->arena, file, (size_t)(colon - 1 - file)), atoi(colon));
        p->at = end;
    }
    blanks(p);
    if (*p->at == '\r') p->at++;
    if (*p->at && *p->at != '\n') return fail(p, "the end of the line is expected");
    blank_lines(p);
    return true;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static bool name_code(const char *const *names, const char *name, int *code) {
    for (*code = 0; names[*code]; ++*code)
        if (strcmp(names[*code], name) == 0) return true;
    return false;
}

static Node *value(Parser *p, const Names *names) {
    if (!expect(p, "%")) return NULL;
    const char *name = word(p, ",[]){}\"");
    for (int k = names->text.n; !p->failed && k-- > 0;)
        if (strcmp(names->text.at[k], name) == 0) return names->node.at[k];
    fail(p, "no value %%%s before", name);
    return NULL;
}

static int slot_index(Parser *p, const char *path) {
    for (int k = 0; k < p->program->slots.n; k++)
        if (strcmp(p->program->slots.at[k]->path, path) == 0) return k;
    fail(p, "no slot %s", path);
    return 0;
}

static bool tensor_data(Parser *p, const Type *t, Attrs *a) {
    int64_t dim[MAX_RANK], count = 1;
    for (int i = 0; i < t->rank; i++) {
        if (!size_is_const(t->dim[i], &dim[i]) || dim[i] < 0 || __builtin_mul_overflow(count, dim[i], &count) ||
            count > 1 << 28)
            return fail(p, "a constant tensor needs constant sizes");
    }
    size_t bytes = (size_t)type_fixed_bytes(t);
    blanks(p);
    if (strncmp(p->at, "0x", 2) == 0) {
        p->at += 2;
        a->data = hex(p, bytes);
        return !p->failed;
    }
    if (!expect(p, "[")) return false;
    Tensor *values = tensor_new(p->arena, t->dtype, t->rank, dim);
    for (int64_t k = 0; k < count; k++) {
        Attrs element = {0};
        if ((k && !expect(p, ",")) || !number(p, t->dtype, &element)) return false;
        if (values->f) values->f[k] = element.number;
        else values->i[k] = element.whole;
    }
    void *data = arena_alloc(p->arena, bytes);
    tensor_to_bytes(values, data);
    a->data = data;
    return expect(p, "]");
}

/* What stands between the op's name and the operands. */
static bool attrs_before(Parser *p, Op op, const Type *t, Attrs *a) {
    switch (op) {
    case OP_INPUT:
        if (!whole_int(p, &a->index)) return false;
        a->name = word(p, "");
        break;
    case OP_SLOT: a->index = slot_index(p, word(p, "")); break;
    case OP_ARG: return whole_int(p, &a->index);
    case OP_CALL: a->name = string(p); break;
    case OP_REDUCE:
    case OP_RANDOM:
    case OP_CONV: {
        const char *name = word(p, "");
        if (!p->failed && !name_code(op == OP_REDUCE ? reduce_names : op == OP_CONV ? conv_names : random_names, name, &a->fn))
            return fail(p, "`%s` is unknown", name);
        break;
    }
    case OP_CONST: return number(p, t->dtype, a);
    case OP_TENSOR: return tensor_data(p, t, a);
    case OP_SIZE: a->extent = size(p); break;
    default: break;
    }
    return !p->failed;
}

static const char *letters(Parser *p) {
    char text[MAX_RANK + 1] = {0};
    int n = 0;
    if (!expect(p, "[")) return "";
    while (!try(p, "]")) {
        if (n == MAX_RANK || !isalpha((unsigned char)*p->at)) {
            fail(p, "letters of axes are expected");
            return "";
        }
        text[n++] = *p->at++;
    }
    return arena_copy(p->arena, text, (size_t)n);
}

static bool ranges(Parser *p, Attrs *a) {
    if (!expect(p, "[")) return false;
    if (try(p, "]")) return true;
    int n = 0;
    do {
        if (n == MAX_RANK) return fail(p, "more than %d axes", MAX_RANK);
        a->lo[n] = size(p);
        if (p->failed || !expect(p, ":")) return false;
        a->hi[n++] = size(p);
        if (p->failed) return false;
    } while (try(p, ","));
    return expect(p, "]");
}

static bool axes(Parser *p, Attrs *a) {
    if (!expect(p, "[")) return false;
    if (try(p, "]")) return true;
    do {
        if (a->n_axes == MAX_RANK) return fail(p, "more than %d axes", MAX_RANK);
        if (!whole_int(p, &a->axes[a->n_axes++])) return false;
    } while (try(p, ","));
    return expect(p, "]");
}

static bool window(Parser *p, Window *w) {
    static const char *const WORD[] = {"taps", "stride", "dilation", "before"};
    int *pair[] = {w->taps, w->stride, w->dilation, w->before};
    for (int k = 0; k < 4; k++)
        if (!expect(p, WORD[k]) || !whole_int(p, &pair[k][0]) || !whole_int(p, &pair[k][1])) return false;
    return expect(p, "groups") && whole_int(p, &w->groups);
}

/* What follows the operands. */
static bool attrs_after(Parser *p, Op op, const Type *t, Attrs *a, int *recompute, bool *kept) {
    unsigned has = op_row(op)->attrs;
    int64_t wide;
    if (op == OP_CONTRACT) {
        if (!expect(p, "->")) return false;
        a->labels[2] = letters(p);
    }
    if (has & A_RANGE && !ranges(p, a)) return false;
    if (has & A_AXES && !axes(p, a)) return false;
    if (op == OP_PAD && (!expect(p, "value") || !number(p, t->dtype, a))) return false;
    if (op == OP_GET && !whole_int(p, &a->index)) return false;
    if (has & A_AXIS && (!expect(p, "axis") || !whole_int(p, &a->axis))) return false;
    if (has & A_SITE) {
        if (!expect(p, "site") || !whole(p, &wide)) return false;
        a->site = (uint32_t)wide;
        if (try(p, "step")) {
            blanks(p);
            char *end;
            a->step = strtoull(p->at, &end, 10);
            p->at = end;
        }
    }
    if (op == OP_CUSTOM && try(p, "values")) {
        if (!whole_int(p, &a->counts[0])) return false;
        a->counts[0]--;
    }
    if (op == OP_SCAN) {
        if (!expect(p, "counts")) return false;
        for (int k = 0; k < 4; k++)
            if (!whole_int(p, &a->counts[k])) return false;
        a->counts[4] = try(p, "stop");
    }
    if (has & A_WINDOW && !window(p, &a->window)) return false;
    if (has & A_FLAG) a->flag = try(p, "flag");
    if (try(p, "recompute") && !whole_int(p, recompute)) return false;
    *kept = *recompute < 0 && try(p, "kept");
    if (has & A_EXTENT && op != OP_SIZE) {
        if (!expect(p, "extent")) return false;
        a->extent = size(p);
    }
    if (has & A_DTYPE) a->dtype = t->dtype;
    if (has & A_SHAPE || op_row(op)->class == CLASS_LEAF || op == OP_RANDOM) {
        a->n_shape = t->rank;
        memcpy(a->shape, t->dim, sizeof a->shape);
        a->dtype = t->dtype;
    }
    return !p->failed;
}

static bool graph(Parser *p, Graph *g);

/* The types of several results are told by the body: they are skipped. */
static bool skip_types(Parser *p) {
    int depth = 0;
    do {
        if (!*p->at || *p->at == '\n') return fail(p, "`)` is expected");
        depth += *p->at == '(';
        depth -= *p->at == ')';
        p->at++;
    } while (depth);
    return true;
}

static Node *node_checked(Parser *p, Graph *g, Op op, const Attrs *a, int n, Node *const *in, const Type *said) {
    Infer i = {.g = g, .attrs = a, .n = n, .in = in};
    if (op_row(op)->class == CLASS_LEAF || op == OP_RANDOM) i.out = *said;
    if (!op_infer(op, &i)) {
        fail(p, "%s: %s", op_row(op)->name, i.error);
        return NULL;
    }
    if (!type_equal(&i.out, said)) {
        fail(p, "%s has the type %s", op_row(op)->name, type_text(p->arena, &i.out));
        return NULL;
    }
    if (op == OP_ARG) {
        if (a->index == g->n_args) return graph_arg(g, *said);
        fail(p, "argument %d stands where argument %d should", a->index, g->n_args);
        return NULL;
    }
    return graph_add(g, op, a, n, in);
}

static bool node(Parser *p, Graph *g, Names *names) { /* behind the % */
    const char *name = word(p, ":"), *op_name;
    Type said = {.rank = -1};
    Attrs a = {0};
    Op op;
    LIST(Node *) in = {0};
    int recompute = 0;
    bool kept;
    const char *begin = p->at;
    if (p->failed || !expect(p, ":")) return false;
    blanks(p);
    if (!(*p->at == '(' ? skip_types(p) : type(p, &said)) || !expect(p, "=")) return false;
    begin = p->at;
    op_name = word(p, "\"%[{");
    if (p->failed) return false;
    if (!op_parse(op_name, &op)) {
        p->at = begin + 1;
        return fail(p, "no operation `%s`", op_name);
    }
    if (!attrs_before(p, op, &said, &a)) return false;
    blanks(p);
    for (bool more = *p->at == '%'; more; more = try(p, ",")) {
        Node *x = value(p, names);
        if (!x) return false;
        PUSH(p->arena, in, x);
        if (op == OP_CONTRACT && in.n <= 2) a.labels[in.n - 1] = letters(p);
    }
    if (!attrs_after(p, op, &said, &a, &recompute, &kept)) return false;
    const char *path;
    Loc loc;
    bool body = op_row(op)->attrs & A_BODY;
    if (body && !expect(p, "{")) return false;
    if (!end_of_line(p, &path, &loc)) return false;
    if (body) {
        a.body = graph_new(p->arena, p->program);
        if (!graph(p, a.body) || !expect(p, "}")) return false;
        const char *none;
        Loc nowhere;
        const char *here = p->at;
        p->at = begin;
        if (!node_checked(p, g, op, &a, in.n, in.at, &said)) return false;
        p->at = here;
        if (!end_of_line(p, &none, &nowhere)) return false;
    } else {
        const char *here = p->at;
        p->at = begin;
        if (!node_checked(p, g, op, &a, in.n, in.at, &said)) return false;
        p->at = here;
    }
    Node *n = g->nodes.at[g->nodes.n - 1];
    n->loc = loc;
    n->path = path;
    n->recompute = recompute;
    n->kept = kept;
    if (!isdigit((unsigned char)*name)) n->name = name;
    PUSH(p->arena, names->text, name);
    PUSH(p->arena, names->node, n);
    return true;
}

/* ---- effects, results ---------------------------------------------------------------------------------------------------- */

static bool effect(Parser *p, Graph *g, const Names *names, EffectKind kind) {
    Effect e = {.kind = kind};
    const char *path;
    if (kind == EFFECT_STORE) {
        e.index = slot_index(p, word(p, ""));
        if (p->failed || !expect(p, "=")) return false;
    }
    if (kind == EFFECT_RESET) e.index = slot_index(p, word(p, ""));
    blanks(p);
    bool bare = kind == EFFECT_PRINT || kind == EFFECT_RESET;
    if (!bare || *p->at == '%') e.value = value(p, names);
    if (p->failed) return false;
    blanks(p);
    if (*p->at == '"') e.text = string(p);
    if (kind == EFFECT_RANGE && !p->failed) {
        Attrs a = {0};
        if (!ranges(p, &a) || !a.lo[0]) return fail(p, "a range is expected");
        e.lo = a.lo[0];
        e.hi = a.hi[0];
    }
    if (p->failed || !end_of_line(p, &path, &e.loc)) return false;
    graph_effect(g, e);
    return true;
}

static bool results(Parser *p, Graph *g, const Names *names) {
    const char *path;
    Loc loc;
    do {
        const char *name = NULL;
        blanks(p);
        if (*p->at != '%') {
            name = word(p, "=");
            if (p->failed || !expect(p, "=")) return false;
        }
        Node *n = value(p, names);
        if (!n) return false;
        graph_result(g, name, n);
    } while (try(p, ","));
    return end_of_line(p, &path, &loc);
}

/* Lines of a graph, up to a line of another kind. */
static bool graph(Parser *p, Graph *g) {
    static const char *const EFFECT[] = {"store", "check", "range", "print", "reset"};
    Names names = {0};
    for (;;) {
        int kind = -1;
        blank_lines(p);
        if (*p->at == '%') {
            p->at++;
            if (!node(p, g, &names)) return false;
            continue;
        }
        for (int k = 0; k < (int)(sizeof EFFECT / sizeof *EFFECT) && kind < 0; k++)
            if (try(p, EFFECT[k])) kind = k;
        if (kind >= 0) {
            if (!effect(p, g, &names, (EffectKind)kind)) return false;
        } else if (try(p, "results")) {
            if (!results(p, g, &names)) return false;
        } else {
            return true;
        }
    }
}

/* ---- programs ------------------------------------------------------------------------------------------------------------ */

static bool size_line(Parser *p) {
    const char *name = word(p, ""), *path;
    int64_t low, high = SIZE_NO_LIMIT;
    Loc loc;
    if (p->failed || !expect(p, "in") || !whole(p, &low) || !expect(p, "..")) return false;
    if (isdigit((unsigned char)*p->at) && !whole(p, &high)) return false;
    size_declare(p->program->sizes, name, low, high);
    return end_of_line(p, &path, &loc);
}

static bool slot_quant(Parser *p, Quant *q) {
    int scheme;
    int64_t group;
    const char *name = word(p, "");
    if (p->failed || !expect(p, "group") || !whole(p, &group)) return false;
    if (!name_code(quant_names, name, &scheme)) return fail(p, "`%s` is no quantization", name);
    if (group < 0 || group > 65536 || group % 2 != 0) return fail(p, "groups of %lld", (long long)group);
    q->scheme = (QuantScheme)(scheme + 1);
    q->group = (int)group;
    q->one_scale = try(p, "one_scale");
    q->zero_point = try(p, "zero_point");
    q->gptq = try(p, "gptq");
    for (int i = ACTIVATIONS_DYNAMIC; activation_names[i]; i++)
        if (try(p, activation_names[i])) q->activations = (Activations)i;
    q->budget = -1;
    return true;
}

static bool slot_line(Parser *p) {
    Slot *s = NEW(p->arena, Slot);
    const char *path;
    int kind;
    s->path = word(p, "");
    const char *name = word(p, "");
    if (p->failed) return false;
    if (!name_code(slot_kind_names, name, &kind)) return fail(p, "`%s` is no kind of slot", name);
    s->kind = (SlotKind)kind;
    if (!type(p, &s->type)) return false;
    s->optimizer = try(p, "optimizer");
    s->frozen = try(p, "frozen");
    if (try(p, "quantize") && !slot_quant(p, &s->quant)) return false;
    if (try(p, "data")) {
        Attrs a = {0};
        if (try(p, "(")) return fail(p, "the data of %s was left out of the text", s->path);
        if (!tensor_data(p, &s->type, &a)) return false;
        s->data = a.data;
    }
    s->index = p->program->slots.n;
    PUSH(p->arena, p->program->slots, s);
    return end_of_line(p, &path, &s->loc);
}

static bool entry_fake(Parser *p, Entry *e) {
    const char *path = word(p, "");
    Fake fake = {NULL, {0}};
    for (int i = 0; i < p->program->slots.n; i++)
        if (!strcmp(p->program->slots.at[i]->path, path)) fake.slot = p->program->slots.at[i];
    if (!fake.slot) return fail(p, "no slot is called %s", path);
    if (!slot_quant(p, &fake.quant)) return false;
    PUSH(p->arena, e->fakes, fake);
    return true;
}

static bool entry_sizes(Parser *p, Entry *e) {
    SizeTable *t = p->program->sizes;
    LIST(SizeName *) sizes = {0};
    if (try(p, "[")) {
        do {
            const char *name = word(p, ",]@");
            int index = -1;
            for (int k = 0; !p->failed && k < size_names(t) && index < 0; k++)
                if (strcmp(size_name_at(t, k)->name, name) == 0) index = k;
            if (try(p, "@") && !whole_int(p, &index)) return false;
            if (p->failed || index < 0 || index >= size_names(t)) return fail(p, "no size of this name");
            PUSH(p->arena, sizes, size_name_at(t, index));
        } while (try(p, ","));
        if (!expect(p, "]")) return false;
    }
    e->sizes = p->scope = sizes.at;
    e->n_sizes = p->n_scope = sizes.n;
    return true;
}

static bool entry_line(Parser *p, bool train) {
    Entry *e = NEW(p->arena, Entry);
    LIST(EntryInput) inputs = {0};
    const char *path;
    int64_t draws = 0;
    e->name = word(p, "[(");
    e->train = train;
    if (p->failed || !entry_sizes(p, e) || !expect(p, "(")) return false;
    while (!try(p, ")")) {
        EntryInput input = {0};
        if (inputs.n && !expect(p, ",")) return false;
        input.name = word(p, ":");
        if (p->failed || !expect(p, ":") || !type(p, &input.type)) return false;
        PUSH(p->arena, inputs, input);
    }
    e->inputs = inputs.at;
    e->n_inputs = inputs.n;
    if (!expect(p, "->")) return false;
    blanks(p);
    if (*p->at != '(') return fail(p, "`(` is expected");
    if (!skip_types(p)) return false;
    if (try(p, "draws") && !whole(p, &draws)) return false;
    e->draws = (uint32_t)draws;
    if (try(p, "export")) e->symbol = string(p);
    while (try(p, "fake"))
        if (!entry_fake(p, e)) return false;
    if (!end_of_line(p, &path, &e->loc)) return false;
    e->graph = graph_new(p->arena, p->program);
    PUSH(p->arena, p->program->entries, e);
    bool good = graph(p, e->graph);
    p->scope = NULL;
    p->n_scope = 0;
    return good;
}

static bool string_line(Parser *p, const char **text) {
    const char *path;
    Loc loc;
    *text = string(p);
    return !p->failed && end_of_line(p, &path, &loc);
}

static bool program_line(Parser *p) {
    Program *program = p->program;
    const char *path;
    Loc loc;
    if (try(p, "source")) return string_line(p, &program->source_path);
    if (try(p, "target")) return string_line(p, &program->target);
    if (try(p, "run")) return string_line(p, &program->run_json);
    if (try(p, "products")) {
        program->tf32 = true;
        return expect(p, "tf32") && end_of_line(p, &path, &loc);
    }
    if (try(p, "size")) return size_line(p);
    if (try(p, "slot")) return slot_line(p);
    if (try(p, "train")) return entry_line(p, true);
    if (try(p, "entry")) return entry_line(p, false);
    if (!try(p, "init")) return fail(p, "a line of a program is expected");
    if (program->init) return fail(p, "a second init");
    program->init = graph_new(p->arena, program);
    return end_of_line(p, &path, &loc) && graph(p, program->init);
}

Program *program_parse(Arena *a, const Source *s, Diag *d) {
    Program *program = NEW(a, Program);
    Parser p = {.arena = a, .source = s, .diag = d, .at = s->text, .program = program};
    const char *path;
    Loc loc;
    program->arena = a;
    program->sizes = size_table_new(a);
    blank_lines(&p);
    if (!expect(&p, "program")) return NULL;
    program->name = word(&p, "");
    if (p.failed || !end_of_line(&p, &path, &loc)) return NULL;
    while (*p.at)
        if (!program_line(&p)) return NULL;
    files_finish(&p);
    return program;
}
