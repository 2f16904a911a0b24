/* elaborate.c -- a whole program, from its tree to its graphs.
 *
 *   1. the library: definitions of std, in the outermost scope
 *   2. the declarations of the file, in order; instances are made, but not their weights: sizes are not known yet
 *   3. each entry is executed symbolically: calls bind sizes, members come into being, nodes are made
 *   4. directives (init, load, quantize), which select weights that exist by now
 *   5. the end: slots in order of declaration, initial values as a graph of their own, run { } as JSON
 *
 * Every entry is elaborated, also when --entries keeps only some: sizes of layers may be bound by any of them, and errors are
 * errors. */
#include "frontend/elaborate.h"

#include "frontend/elab.h"
#include "frontend/lint.h"
#include "frontend/parse.h"
#include "ir/embed.h"
#include "runtime/philox.h"
#include "runtime/sizes.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- 1. the library */

static Value fn_value(Elab *el, const Ast *it, Env *env) {
    FnV *f = NEW(el->arena, FnV);
    *f = (FnV){it, env, it->text, NULL};
    return (Value){.kind = V_FN, .fn = f};
}

static Value layer_value(Elab *el, const Ast *it, Env *env) {
    LayerV *l = NEW(el->arena, LayerV);
    *l = (LayerV){it, env, it->text};
    return (Value){.kind = V_LAYER, .layer = l};
}

static void add_builtins(Elab *el, const Builtin *rows) {
    for (; rows->name; rows++) env_set(el, el->prelude, rows->name, (Value){.kind = V_BUILTIN, .builtin = rows});
}

static bool read_library(Elab *el) {
    el->prelude = env_new(el, NULL, ENV_STD);
    el->prelude->prefix = "";
    env_set(el, el->prelude, "none", value_none());
    env_set(el, el->prelude, "inf", value_num(INFINITY));
    env_set(el, el->prelude, "nan", value_num(NAN));
    env_set(el, el->prelude, "pi", value_num(3.14159265358979323846));
    add_builtins(el, builtins_map);
    add_builtins(el, builtins_shape);
    add_builtins(el, builtins_window);
    add_builtins(el, builtins_make);
    add_builtins(el, builtins_pattern);
    add_builtins(el, builtins_effect);
    add_builtins(el, builtins_sample);
    for (const Embedded *f = embedded_std; f->name; f++) {
        Source *s = source_memory(el->arena, arena_printf(el->arena, "std/%s", f->name), f->name, f->text, f->length, true);
        Ast *file = parse_file(el->arena, s, el->diag);
        if (!file) return false;
        const Ast *items = ast_kid(file, 0);
        for (int i = 0; i < items->n; i++) {
            const Ast *it = ast_kid(items, i);
            if (ast_is(it, AST_FN)) env_set(el, el->prelude, it->text, fn_value(el, it, el->prelude));
            if (ast_is(it, AST_LAYER)) env_set(el, el->prelude, it->text, layer_value(el, it, el->prelude));
        }
    }
    return true;
}

/* ---- 2. declarations */

static void twice(Elab *el, Env *env, const Ast *it) {
    Var *own = env_own(env, it->text);
    if (!own) return;
    fault(el, it, 102, "`%s` is declared twice", it->text);
    fault_label(el, "second declaration");
    fault_place(el, own->decl, "first declaration");
    fault_throw(el);
}

static void declared(Elab *el, Env *env, const Ast *it, Value v) { env_set(el, env, it->text, v)->decl = it; }

static const char *define_of(Elab *el, const Env *env, const char *name) {
    const char *key = arena_printf(el->arena, "%s%s", env->prefix, name);
    for (int i = el->options->n_defines; i-- > 0;) { /* the last one wins */
        if (strcmp(el->options->defines[i].name, key)) continue;
        for (int k = 0; k <= i; k++)
            if (!strcmp(el->options->defines[k].name, key)) el->define_used[k] = true;
        return el->options->defines[i].value;
    }
    return NULL;
}

/* 12, 1_000, 600k, 8Ki, -3 */
static bool parse_whole(const char *text, int64_t *out) {
    char digits[64];
    int n = 0;
    const char *p = text;
    if (*p == '-') digits[n++] = *p++;
    while ((isalnum((unsigned char)*p) || *p == '_') && n < 60) {
        if (strchr("kMGK", *p) && *p != 0) break;
        if (*p != '_') digits[n++] = *p;
        p++;
    }
    digits[n] = 0;
    static const struct {
        const char *suffix;
        int64_t factor;
    } rows[] = {{"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}};
    char *end;
    if (!n || !isdigit((unsigned char)digits[n - 1])) {
        if (!(n > 2 && digits[0] == '0' && digits[1] == 'x')) return false;
    }
    errno = 0;
    int64_t value = strtoll(digits, &end, !strncmp(digits, "0x", 2) ? 16 : 10);
    if (*end || errno == ERANGE) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(p, rows[i].suffix)) return !__builtin_mul_overflow(value, rows[i].factor, out);
    return false;
}

static bool parse_define(Elab *el, const char *text, Value like_, Value *out) {
    int64_t whole;
    char *end;
    size_t n = strlen(text);
    switch (like_.kind) {
    case V_BOOL: *out = value_bool(!strcmp(text, "true")); return !strcmp(text, "true") || !strcmp(text, "false");
    case V_INT:
        if (!parse_whole(text, &whole)) return false;
        *out = value_int(whole);
        return true;
    case V_NUM:
        if (parse_whole(text, &whole)) {
            *out = value_num((double)whole);
            return true;
        }
        *out = value_num(strtod(text, &end));
        return n && !*end;
    case V_STR:
        if (n >= 2 && text[0] == '"' && text[n - 1] == '"') *out = value_str(arena_copy(el->arena, text + 1, n - 2));
        else *out = value_str(text);
        return true;
    case V_LIST: {
        *out = value_list(el, V_LIST);
        Value item = like_.list->item.n ? like_.list->item.at[0] : value_int(0);
        if (n >= 2 && text[0] == '[' && text[n - 1] == ']') text = arena_copy(el->arena, text + 1, n - 2);
        while (*text) {
            size_t length = strcspn(text, ",");
            while (*text == ' ') text++, length--;
            Value v;
            if (!parse_define(el, arena_copy(el->arena, text, length), item, &v)) return false;
            list_push(el, *out, v);
            text += length + (text[length] == ',');
        }
        return true;
    }
    case V_TYPE: {
        DType d = DT_F32;
        bool tf32 = !strcmp(text, "tf32");
        if (!tf32 && !dtype_parse(text, &d)) return false;
        *out = tf32 ? value_tf32(el) : value_type(el, type_scalar(d), false);
        return true;
    }
    default: return false;
    }
}

static bool in_range(Value v, Value range) {
    if (range.kind == V_LIST) {
        for (int i = 0; i < range.list->item.n; i++)
            if (value_same(v, range.list->item.at[i])) return true;
        return false;
    }
    int64_t from, to;
    if (range.kind != V_RANGE || !size_is_const(range.range->from, &from) || !size_is_const(range.range->to, &to)) return true;
    return is_number(v) && v.kind != V_SIZE && number_value(v) >= (double)from && number_value(v) <= (double)to;
}

static void declare_config(Elab *el, const Ast *it, Env *env) {
    twice(el, env, it);
    Value v = ev(el, ast_kid(it, 0), env);
    const char *key = arena_printf(el->arena, "%s%s", env->prefix, it->text), *given = define_of(el, env, it->text);
    const Ast *type = ast_kid(it, 2);
    if (ast_given(type) && ast_is(type, AST_TYPE) && !strcmp(type->text, "num") && v.kind == V_INT)
        v = value_num((double)v.whole);
    if (given) {
        Value parsed;
        if (!parse_define(el, given, v, &parsed)) {
            fault(el, it, 106, "-D %s=%s: `%s` takes %s", key, given, key, value_kind_name(v));
            fault_label(el, "declared here with %s %s", value_kind_name(v), value_text(el, v));
            fault_throw(el);
        }
        v = parsed;
    }
    const Ast *r = ast_kid(it, 1);
    if (ast_given(r)) {
        Value range = ev(el, r, env);
        if (!in_range(v, range)) {
            const char *want = "";
            if (range.kind == V_RANGE) {
                want = arena_printf(el->arena, "%s to %s", size_text(el->arena, range.range->from),
                                    size_text(el->arena, range.range->to));
            } else {
                for (int i = 0; i < range.list->item.n; i++)
                    want =
                        arena_printf(el->arena, "%s%s%s", want, i ? ", " : "one of ", value_text(el, range.list->item.at[i]));
            }
            fault(el, ast_is(r, AST_LIST) && r->n ? ast_kid(r, 0) : r, 107, "`%s` = %s is not allowed", key, value_text(el, v));
            fault_label(el, "must be %s", want);
            if (given) fault_fact(el, "the value came from -D %s=%s", key, given);
            fault_throw(el);
        }
    }
    declared(el, env, it, v);
}

/* The range of a size: inclusive; nothing written: from 1. */
static void size_limits(Elab *el, const Ast *range, Env *env, int64_t *low, int64_t *high) {
    *low = 1;
    *high = SIZE_NO_LIMIT;
    if (!ast_given(range)) return;
    Value v = ev(el, range, env);
    if (v.kind != V_RANGE || !size_is_const(v.range->from, low) || !size_is_const(v.range->to, high) || *low < 0 ||
        *high < *low) {
        fault(el, range, 212, "the range of a size goes from one whole number to another, such as 1..64");
        fault_throw(el);
    }
}

static void declare_dims(Elab *el, const Ast *it, Env *env) {
    for (int i = 0; i < it->n; i++) {
        const Ast *d = ast_kid(it, i);
        int64_t low, high, fixed;
        twice(el, env, d);
        size_limits(el, ast_kid(d, 0), env, &low, &high);
        const char *given = define_of(el, env, d->text);
        if (!given) {
            declared(el, env, d,
                    value_size(size_named(el->program->sizes, size_declare(el->program->sizes, d->text, low, high))));
            continue;
        }
        if (!parse_whole(given, &fixed)) {
            fault(el, d, 106, "-D %s=%s: `%s` takes int", d->text, given, d->text);
            fault_throw(el);
        }
        if (fixed < low || fixed > high) {
            fault(el, d, 107, "`%s` = %lld is not allowed", d->text, (long long)fixed);
            if (high == SIZE_NO_LIMIT) fault_label(el, "must be at least %lld", (long long)low);
            else fault_label(el, "must be %lld to %lld", (long long)low, (long long)high);
            fault_fact(el, "the value came from -D %s=%s", d->text, given);
            fault_throw(el);
        }
        declared(el, env, d, value_int(fixed));
    }
}

/* One that does nothing where it stands is an error. */
static void check_attributes(Elab *el, const Ast *it) {
    static const struct {
        const char *name, *place;
        AstKind kind, or_kind;
    } rows[] = {{"checkpoint", "an instance", AST_INSTANCE, AST_INSTANCE},
                {"kernel", "a function", AST_FN, AST_FN},
                {"export", "an entry", AST_ENTRY, AST_TRAIN},
                {"deprecated", NULL, AST_NONE, AST_NONE}, /* before anything */
                {"noquant", NULL, AST_NONE, AST_NONE},
                {"device", NULL, AST_NONE, AST_NONE}};
    enum { ROWS = sizeof rows / sizeof *rows };
    for (int i = 0; it->attrs && i < it->attrs->n; i++) {
        const Ast *a = ast_kid(it->attrs, i);
        Names names = {0};
        int row = -1;
        for (int k = 0; k < ROWS; k++) {
            names_push(el, &names, rows[k].name);
            if (!strcmp(a->text, rows[k].name)) row = k;
        }
        if (row < 0) {
            fault(el, a, 105, "there is no attribute `@%s`", a->text);
            fault_close(el, &names, a->text);
            fault_throw(el);
        }
        if (!strcmp(a->text, "device")) PUSH(el->arena, el->devices, a);
        if (!rows[row].place || it->kind == rows[row].kind || it->kind == rows[row].or_kind) continue;
        fault(el, a, 105, "`@%s` stands before %s", a->text, rows[row].place);
        fault_throw(el);
    }
}

static void check_layer_items(Elab *el, const Ast *items) {
    for (int i = 0; i < items->n; i++) {
        const Ast *it = ast_kid(items, i);
        check_attributes(el, it);
        if (ast_is(it, AST_IF)) {
            check_layer_items(el, ast_kid(it, 1));
            check_layer_items(el, ast_kid(it, 2));
        }
        bool outside = ast_is(it, AST_ENTRY) || ast_is(it, AST_TRAIN) || ast_is(it, AST_IMPORT) || ast_is(it, AST_CONFIG) ||
                       ast_is(it, AST_INIT) || ast_is(it, AST_LOAD) || ast_is(it, AST_QUANTIZE) || ast_is(it, AST_SETTINGS) ||
                       ast_is(it, AST_LAYER);
        if (!outside) continue;
        fault(el, it, 103, "`%s` stands inside a layer", ast_kind_name(it->kind));
        fault_help(el, "move it to the file");
        fault_throw(el);
    }
}

static const char *quoted_text(Elab *el, const Ast *n, Env *env) {
    json_t *j = NULL;
    Value v = ev(el, n, env);
    switch (v.kind) {
    case V_STR: j = json_string(v.text); break;
    case V_INT: j = json_integer(v.whole); break;
    case V_NUM: j = json_real(v.number); break;
    case V_BOOL: j = json_boolean(v.truth); break;
    default:
        fault(el, n, 105, "a setting is a number, a string or true or false");
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    char *text = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(j);
    if (!text) {
        fault(el, n, 105, "this setting cannot be written as JSON");
        fault_throw(el);
    }
    const char *copy = arena_copy(el->arena, text, strlen(text));
    free(text);
    return copy;
}

static void check_setting_names(Elab *el, const Ast *it) {
    static const char *const rows[][16] = {
        {"precision", "params", "compute", "caches", "accumulate", "loss_scale"},
        {"target", "device", "arch", "threads", "memory"},
        {"run", "each", "test", "data", "test_data", "batch", "epochs", "steps", "seed", "tokenizer"},
#define X(name, said, help) said,
        {"budget", SIZE_LIBRARY, SIZE_ARENA, SIZE_PARTS(X)}};
#undef X
    enum { BLOCKS = sizeof rows / sizeof *rows };
    Names blocks = {0}, names = {0};
    int which = -1;
    for (int i = 0; i < BLOCKS; i++) {
        names_push(el, &blocks, rows[i][0]);
        if (!strcmp(rows[i][0], it->text)) which = i;
    }
    if (which < 0) {
        fault(el, it, 105, "no settings block is called `%s`", it->text);
        fault_close(el, &blocks, it->text);
        if (!el->fault.helps.n) fault_help(el, "known blocks: precision, target, run, budget");
        fault_throw(el);
    }
    const char *all = "";
    for (int k = 1; k < 16 && rows[which][k]; k++) {
        names_push(el, &names, rows[which][k]);
        all = arena_printf(el->arena, "%s%s%s", all, k > 1 ? ", " : "", rows[which][k]);
    }
    const Ast *sets = it;
    for (int i = 0; i < sets->n; i++) {
        const Ast *q = ast_kid(sets, i);
        bool known = false;
        for (int k = 0; k < names.n; k++) known = known || !strcmp(names.at[k], q->text);
        if (known) continue;
        fault(el, q, 105, "`%s` has no setting `%s`", it->text, q->text);
        fault_close(el, &names, q->text);
        if (!el->fault.helps.n) fault_help(el, "known settings: %s", all);
        fault_throw(el);
    }
}

static void declare_budgets(Elab *el, const Ast *it, Env *env) {
    for (int i = 0; i < it->n; i++) {
        const Ast *q = ast_kid(it, i), *value = ast_kid(q, 0);
        Value v = ev(el, value, env);
        if (v.kind != V_INT || v.whole < 0) {
            fault(el, value, 105, "a budget is a number of bytes, such as 64Ki");
            fault_label(el, "this is %s", v.kind == V_INT ? "negative" : value_a(el, v));
            fault_throw(el);
        }
        Budget b = {q->text, v.whole, q->loc};
        PUSH(el->program->arena, el->program->budgets, b);
    }
}

static bool is_tf32(const Ast *n) {
    return ast_is(n, AST_NAME) && !strcmp(n->text, "tf32");
}

static void declare_precision(Elab *el, const Ast *it, Env *env) {
    for (int i = 0; i < it->n; i++) {
        const Ast *q = ast_kid(it, i), *value = ast_kid(q, 0);
        if (!strcmp(q->text, "loss_scale")) {
            el->loss_scale = read_loss_scale(el, value, env);
            continue;
        }
        bool sums = !strcmp(q->text, "accumulate"), compute = !strcmp(q->text, "compute");
        Value v = is_tf32(value) ? value_tf32(el) : ev(el, value, env);
        bool type = v.kind == V_TYPE && !v.type->policy && !v.type->type.rank && (compute || !v.tf32);
        DType d = type ? v.type->type.dtype : DT_COUNT;
        if (d != DT_F32 && (sums || (d != DT_F16 && d != DT_BF16))) {
            fault(el, value, 105, "`%s` of precision is %s", q->text, sums ? "f32" : compute ? "f32, tf32, bf16 or f16" : "f32, bf16 or f16");
            if (sums) fault_help(el, "sums are accumulated in f32 whatever their operands are");
            else if (v.tf32) fault_help(el, "tf32 is how products of f32 are computed; what is stored is f32");
            fault_throw(el);
        }
        if (!strcmp(q->text, "params")) el->precision.params = d;
        if (!strcmp(q->text, "caches")) el->precision.caches = d;
        if (compute) el->precision.compute = d;
        if (compute) el->program->tf32 = v.tf32;
    }
}

static void declare_settings(Elab *el, const Ast *it, Env *env) {
    check_setting_names(el, it);
    if (!strcmp(it->text, "precision")) {
        declare_precision(el, it, env);
        return;
    }
    if (!strcmp(it->text, "budget")) {
        declare_budgets(el, it, env);
        return;
    }
    if (!strcmp(it->text, "run")) {
        const char *json = "{";
        for (int i = 0; i < it->n; i++) {
            const Ast *q = ast_kid(it, i);
            json = arena_printf(el->arena, "%s%s\"%s\": %s", json, i ? ", " : "", q->text, quoted_text(el, ast_kid(q, 0), env));
        }
        el->program->run_json = arena_printf(el->arena, "%s}", json);
        return;
    }
    const char *arch = NULL;
    bool cuda = false;
    for (int i = 0; i < it->n; i++) {
        const Ast *q = ast_kid(it, i), *value = ast_kid(q, 0);
        const char *what = arena_printf(el->arena, "%s { %s = %s; }", it->text, q->text, ast_text(el->arena, value));
        Value v = ev(el, value, env);
        bool device = !strcmp(q->text, "device") && v.kind == V_STR;
        if (device && !strcmp(v.text, "cuda")) cuda = true;
        else if (!strcmp(q->text, "device") && !(device && !strcmp(v.text, "cpu")))
            not_yet(el, value, arena_printf(el->arena, "`%s`", what));
        if (!strcmp(q->text, "memory")) {
            if (v.kind != V_INT || v.whole <= 0) {
                fault(el, value, 105, "`memory` is a number of bytes: 8Gi");
                fault_throw(el);
            }
            el->program->memory = v.whole;
        }
        if (strcmp(q->text, "arch")) continue;
        if (v.kind != V_STR) {
            fault(el, value, 105, "`arch` is a string");
            fault_throw(el);
        }
        arch = v.text;
    }
    if (cuda) arch = arena_printf(el->arena, "cuda:%s", arch ? arch : "sm_80"); /* the oldest that all since run */
    if (arch) el->program->target = arch;
}

/* A library is for one device, that of `target`: @device may say so again, for readers. */
static void check_device(Elab *el, void *attribute) {
    const Ast *a = attribute, *args = ast_kid(a, 0);
    const char *target = el->program->target && !strncmp(el->program->target, "cuda", 4) ? "cuda" : "cpu";
    if (args->n != 1 || !ast_is(ast_kid(args, 0), AST_STR)) {
        fault(el, a, 105, "`@device` takes the name of a device: @device(\"%s\")", target);
        fault_throw(el);
    }
    const char *name = ast_kid(args, 0)->text;
    if (!strcmp(name, target)) return;
    fault(el, ast_kid(args, 0), 900, "a part of a program on a device of its own is not supported yet");
    fault_fact(el, "here:           \"%s\"", name);
    fault_fact(el, "all the others: \"%s\", by target", target);
    fault_help(el, "a library runs on one device: target { device = \"cuda\"; } for all of it");
    fault_throw(el);
}

static void read_items(Elab *el, const Ast *items, Env *env, bool imported);

static void import_file(Elab *el, const Ast *it, Env *env) {
    const char *here = env->source->path, *slash = strrchr(here, '/');
    const char *path =
        it->text[0] == '/' || !slash ? it->text : arena_printf(el->arena, "%.*s/%s", (int)(slash - here), here, it->text);
    for (int i = 0; i < el->n_importing; i++) {
        if (strcmp(el->importing[i], path)) continue;
        fault(el, it, 104, "\"%s\" imports itself", it->text);
        fault_throw(el);
    }
    FILE *probe = fopen(path, "rb");
    if (!probe) {
        fault(el, it, 104, "cannot find \"%s\"", it->text);
        fault_label(el, "looked for %s", path);
        fault_throw(el);
    }
    fclose(probe);
    program_file(el->program, path);
    Source *s = source_read(el->arena, path, el->diag);
    Ast *file = s ? parse_file(el->arena, s, el->diag) : NULL;
    if (!file) fault_silent(el);
    const Ast *alias = ast_kid(it, 0), *items = ast_kid(file, 0);
    bool named = ast_given(alias);
    Env *inner = env_new(el, el->prelude, ENV_FILE);
    inner->source = s;
    inner->prefix = named ? arena_printf(el->arena, "%s%s.", env->prefix, alias->text) : env->prefix;
    const char **chain = NEW_ARRAY(el->arena, const char *, el->n_importing + 1), **before = el->importing;
    for (int i = 0; i < el->n_importing; i++) chain[i] = before[i];
    chain[el->n_importing] = path;
    el->importing = chain;
    el->n_importing++;
    PUSH(el->arena, inner->items, items);
    read_items(el, items, inner, true);
    check_names(el, items, inner);
    el->importing = before;
    el->n_importing--;
    if (named) {
        env_set(el, env, alias->text, (Value){.kind = V_MODULE, .module = inner});
        return;
    }
    env->open = env->open || inner->open;
    for (int i = 0; i < inner->items.n; i++) PUSH(el->arena, env->items, inner->items.at[i]);
    for (int i = 0; i < inner->vars.n; i++) {
        Var *v = &inner->vars.at[i];
        if (env_own(env, v->name)) {
            fault(el, it, 102, "`%s` of \"%s\" is declared here already", v->name, it->text);
            fault_place(el, env_own(env, v->name)->decl, "declared here");
            fault_place(el, v->decl, "and there");
            fault_help(el, "import \"%s\" as a name: then it is NAME.%s", it->text, v->name);
            fault_throw(el);
        }
        env_set(el, env, v->name, v->value)->decl = v->decl;
    }
}

static void declare_weight(Elab *el, const Ast *it, Env *env) {
    Weight *w = NEW(el->arena, Weight);
    *w = (Weight){.kind = ast_is(it, AST_PARAM)   ? SLOT_PARAM
                          : ast_is(it, AST_STATE) ? SLOT_STATE
                                                  : SLOT_CACHE,
                  .path = it->text,
                  .name = it->text,
                  .decl = it,
                  .env = env};
    Value v = {.kind = V_WEIGHT, .weight = w};
    declared(el, env, it, v);
    PUSH(el->arena, el->tops, ((Top){it->text, v}));
}

static void declare_instance(Elab *el, const Ast *it, Env *env) {
    twice(el, env, it);
    Value v = build(el, ast_kid(it, 0), env, it->text, overs_of(el, ast_kid(it, 1), env));
    if (v.kind == V_LAYER) {
        fault(el, ast_kid(it, 0), 306, "%s is a layer, not an instance", v.layer->name);
        fault_help(el, "make one: %s = %s(...);", it->text, v.layer->name);
        fault_throw(el);
    }
    inst_attributes(v, it);
    declared(el, env, it, v);
    if (value_path(v)) PUSH(el->arena, el->tops, ((Top){it->text, v}));
}

typedef struct Declaration {
    const Ast *it;
    Env *env;
    bool imported;
} Declaration;

static void declare(Elab *el, void *arg) {
    Declaration *d = arg;
    const Ast *it = d->it;
    Env *env = d->env;
    at(el, it);
    check_attributes(el, it);
    switch (it->kind) {
    case AST_IMPORT: import_file(el, it, env); return;
    case AST_CONFIG: declare_config(el, it, env); return;
    case AST_CONST:
        twice(el, env, it);
        declared(el, env, it, ev(el, ast_kid(it, 0), env));
        return;
    case AST_DIMS: declare_dims(el, it, env); return;
    case AST_LAYER:
        twice(el, env, it);
        check_layer_items(el, ast_kid(it, 1));
        declared(el, env, it, layer_value(el, it, env));
        return;
    case AST_FN:
        twice(el, env, it);
        declared(el, env, it, fn_value(el, it, env));
        return;
    case AST_IF: read_items(el, ast_kid(it, ev_condition(el, ast_kid(it, 0), env) ? 1 : 2), env, d->imported); return;
    default: break;
    }
    if (d->imported) return; /* an import brings definitions only */
    switch (it->kind) {
    case AST_INSTANCE: declare_instance(el, it, env); return;
    case AST_PARAM:
    case AST_STATE:
    case AST_CACHE:
        twice(el, env, it);
        declare_weight(el, it, env);
        return;
    case AST_ASSERT: ev_assert(el, it, env); return;
    case AST_SETTINGS: declare_settings(el, it, env); return;
    case AST_ENTRY:
    case AST_TRAIN:
        for (int i = 0; i < el->items.n; i++) {
            const Ast *other = el->items.at[i];
            if ((!ast_is(other, AST_ENTRY) && !ast_is(other, AST_TRAIN)) || strcmp(other->text, it->text)) continue;
            fault(el, it, 102, "entry `%s` is declared twice", it->text);
            fault_label(el, "second declaration");
            fault_place(el, other, "first declaration");
            fault_throw(el);
        }
        break;
    case AST_DIMPACK: fault(el, it, 207, "`dim ...;` stands in layers only"); fault_throw(el);
    default: break;
    }
    PUSH(el->arena, el->items, it);
}

/* What it would have brought is not missed. */
static void import_failed(Elab *el, const Ast *it, Env *env) {
    const Ast *alias = ast_kid(it, 0);
    if (!ast_given(alias)) env->open = true;
    else if (!env_own(env, alias->text)) env_set(el, env, alias->text, (Value){.kind = V_POISON});
}

static void read_items(Elab *el, const Ast *items, Env *env, bool imported) {
    for (int i = 0; i < items->n; i++) {
        Declaration d = {ast_kid(items, i), env, imported};
        bool good = elab_guard(el, declare, &d);
        if (!good && ast_is(d.it, AST_ASSERT)) el->impossible = el->options->n_defines > 0;
        bool names = d.it->text && !ast_is(d.it, AST_ENTRY) && !ast_is(d.it, AST_TRAIN) && !ast_is(d.it, AST_ASSERT) &&
                     !ast_is(d.it, AST_IMPORT);
        if (!good && ast_is(d.it, AST_IMPORT)) import_failed(el, d.it, env);
        if (!good && names && !env_own(env, d.it->text)) env_set(el, env, d.it->text, (Value){.kind = V_POISON});
        for (int k = 0; !good && ast_is(d.it, AST_DIMS) && k < d.it->n; k++)
            if (!env_own(env, ast_kid(d.it, k)->text)) env_set(el, env, ast_kid(d.it, k)->text, (Value){.kind = V_POISON});
        if (diag_full(el->diag)) return;
    }
}

static void unused_defines(Elab *el, void *arg) {
    (void)arg;
    for (int i = 0; i < el->options->n_defines; i++) {
        if (el->define_used[i]) continue;
        const char *name = el->options->defines[i].name;
        Names names = {0};
        for (int k = 0; k < el->file->vars.n; k++) {
            ValueKind kind = el->file->vars.at[k].value.kind;
            if (kind == V_INT || kind == V_NUM || kind == V_BOOL || kind == V_STR || kind == V_SIZE || kind == V_LIST)
                names_push(el, &names, el->file->vars.at[k].name);
        }
        fault_at(el, (Loc){0}, 108, "-D %s: there is no config or dim of this name", name);
        fault_close(el, &names, name);
        fault_throw(el);
    }
}

/* ---- 4. directives */

static void run_directive(Elab *el, void *arg) {
    const Ast *it = arg;
    at(el, it);
    switch (it->kind) {
    case AST_FREEZE: {
        const Ast *list = ast_kid(ast_kid(it, 0), 0);
        for (int i = 0; i < list->n; i++) {
            Values v = {0};
            select_values(el, ast_kid(list, i), el->file, &v);
        }
        return;
    }
    case AST_INIT: {
        WeightList weights = {0};
        select_weights(el, ast_kid(it, 0), el->file, &weights);
        for (int i = 0; i < weights.n; i++) weight_slot(el, weights.at[i], it)->init = ast_kid(it, 1);
        return;
    }
    case AST_QUANTIZE: ev_quantize(el, it, el->file); return;
    case AST_LOAD: ev_load(el, it, el->file); return;
    default: return;
    }
}

static void run_entry_directive(Elab *el, void *arg) {
    ev_quantize_entry(el, arg);
}

static void size_everything(Elab *el, void *arg) {
    WeightList weights = {0};
    value_weights(el, ((Top *)arg)->value, &weights);
    for (int i = 0; i < weights.n; i++) {
        Weight *w = weights.at[i];
        if (w->kind != SLOT_CACHE && !(w->inst && w->inst->has_pack)) weight_slot(el, w, w->decl);
    }
}

/* ---- 5. the end */

/* Returns the final number of each slot by the number that it was made with; -1: left out. */
static int *order_slots(Elab *el) {
    LIST(SlotInfo *) order = {0};
    bool filtered = el->options->n_entries > 0;
    WeightList weights = {0};
    for (int i = 0; i < el->tops.n; i++) value_weights(el, el->tops.at[i].value, &weights);
    for (int i = 0; i < weights.n; i++)
        for (int k = 0; k < weights.at[i]->slots.n; k++)
            if (!weights.at[i]->slots.at[k]->for_path) PUSH(el->arena, order, weights.at[i]->slots.at[k]);
    for (int i = 0; i < el->slots.n; i++) {
        bool seen = false;
        for (int k = 0; k < order.n && !el->slots.at[i]->for_path; k++) seen = seen || order.at[k] == el->slots.at[i];
        if (!seen) PUSH(el->arena, order, el->slots.at[i]);
    }
    Program *p = el->program;
    int *final = NEW_ARRAY(el->arena, int, p->slots.n + 1);
    for (int i = 0; i < p->slots.n; i++) final[i] = -1;
    p->slots.n = 0;
    el->slots.n = 0;
    for (int i = 0; i < order.n; i++) {
        SlotInfo *s = order.at[i];
        bool wanted = s->kept || (!filtered && s->kind != SLOT_CACHE && !s->optimizer);
        if (!wanted) continue;
        s->slot->optimizer = s->optimizer;
        s->slot->frozen = !s->stored;
        final[s->slot->index] = p->slots.n;
        s->slot->index = p->slots.n;
        s->kept = true;
        PUSH(el->arena, p->slots, s->slot);
        PUSH(el->arena, el->slots, s);
    }
    return final;
}

static int by_slot(const void *a, const void *b) {
    int x = ((const Effect *)a)->index, y = ((const Effect *)b)->index;
    return (x > y) - (x < y);
}

/* Slot nodes and stores name slots by their final number; the stores of a graph stand last, in the order of the slots. */
static void renumber(Elab *el, const int *final) {
    for (int e = 0; e < el->program->entries.n; e++) {
        Graph *g = el->program->entries.at[e]->graph;
        for (int i = 0; i < g->nodes.n; i++)
            if (g->nodes.at[i]->op == OP_SLOT) g->nodes.at[i]->attrs.index = final[g->nodes.at[i]->attrs.index];
        LIST(Effect) stores = {0};
        int others = 0;
        for (int i = 0; i < g->effects.n; i++) {
            Effect x = g->effects.at[i];
            if (x.kind != EFFECT_STORE && x.kind != EFFECT_RESET) {
                g->effects.at[others++] = x;
                continue;
            }
            x.index = final[x.index];
            PUSH(el->arena, stores, x);
        }
        if (stores.n) qsort(stores.at, (size_t)stores.n, sizeof *stores.at, by_slot);
        for (int i = 0; i < stores.n; i++) g->effects.at[others + i] = stores.at[i];
    }
}

static void initial_store(Elab *el, void *arg) {
    SlotInfo *s = arg;
    el->site = philox_site(s->path);
    for (int i = 0; i < el->sites.n; i++) /* taken: the next free number */
        if (el->sites.at[i] == el->site) {
            el->site++;
            i = -1;
        }
    el->draws = 0;
    el->cx.slot_of = s->for_path;
    el->cx.self = s->weight ? s->weight->inst : NULL;
    Node *n = slot_initial(el, s);
    if (el->draws) PUSH(el->arena, el->sites, el->site);
    graph_effect(el->cx.g, (Effect){.kind = EFFECT_STORE, .index = s->slot->index, .value = n, .loc = s->loc});
}

static void make_init(Elab *el) {
    Graph *g = graph_new(el->arena, el->program);
    el->program->init = g;
    el->cx = (Context){.g = g};
    el->root = g;
    el->initial = true;
    slots_begin_entry(el);
    for (int i = 0; i < el->slots.n; i++) elab_guard(el, initial_store, el->slots.at[i]);
    el->initial = false;
    for (int i = 0; i < el->slots.n; i++) el->slots.at[i]->slot->data = el->slots.at[i]->data;
}

static void load_given(Elab *el, void *arg) {
    load_option(el, arg);
}

/* A name of C, from the name of the file. */
static const char *exported_name(Arena *a, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    char *name = arena_copy(a, base, n);
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '_';
    return isdigit((unsigned char)*name) || !*name ? arena_printf(a, "m%s", name) : name;
}

Program *elaborate(Arena *arena, Ast *file, const Source *source, const ElabOptions *options, Diag *diag) {
    Elab *el = NEW(arena, Elab);
    el->arena = arena;
    el->diag = diag;
    el->options = options;
    el->precision = (Precision){DT_F32, DT_F32, DT_COUNT};
    el->define_used = NEW_ARRAY(arena, bool, options->n_defines + 1);
    Program *p = el->program = NEW(arena, Program);
    p->arena = arena;
    p->sizes = size_table_new(arena);
    p->name = options->name ? options->name : exported_name(arena, source->path);
    p->source_path = source->name;
    int errors = diag_errors(diag);
    if (!read_library(el)) return NULL;
    el->file = env_new(el, el->prelude, ENV_FILE);
    el->file->source = source;
    el->importing = NEW_ARRAY(arena, const char *, 1);
    el->importing[el->n_importing++] = source->path;
    PUSH(el->arena, el->file->items, ast_kid(file, 0));
    read_items(el, ast_kid(file, 0), el->file, false);
    for (int i = 0; i < el->devices.n; i++) elab_guard(el, check_device, (void *)el->devices.at[i]);
    if (el->impossible) return NULL;
    if (diag_errors(diag) == errors) elab_guard(el, unused_defines, NULL);
    elab_entries(el);
    el->cx = (Context){0};
    check_names(el, ast_kid(file, 0), el->file);
    if (diag_errors(diag) > errors) return NULL;
    for (int i = 0; i < el->tops.n && p->entries.n; i++)
        elab_guard(el, size_everything, &el->tops.at[i]); /* no entry: sizes are open */
    if (diag_errors(diag) > errors) return NULL;
    for (int i = 0; i < options->n_quantize; i++) {
        const Ast *it = quantize_option(el, options->quantize[i]);
        if (it) PUSH(el->arena, el->items, it);
    }
    for (int i = 0; i < el->items.n; i++) elab_guard(el, run_directive, (void *)el->items.at[i]);
    for (int i = 0; i < el->quantized.n; i++) elab_guard(el, run_entry_directive, &el->quantized.at[i]);
    elab_overs_used(el);
    if (diag_errors(diag) > errors) return NULL;
    load_ranges(el);
    renumber(el, order_slots(el));
    make_init(el);
    if (options->load) elab_guard(el, load_given, (void *)options->load);
    observe_ranges(el);
    if (diag_errors(diag) > errors) return NULL;
    exports_check(p, diag);
    if (diag_errors(diag) > errors) return NULL;
    elab_guard(el, lint_program, file);
    lint_file(file, diag);
    return p;
}
