/* elaborate_value.c -- values and scopes: making, comparing, describing them.
 *
 * A description has two lengths: value_a says what kind of thing it is ("a tuple"), value_text says which ("float[batch, 10]").
 */
#include "frontend/elab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Value value_none(void) {
    return (Value){.kind = V_NONE};
}
Value value_bool(bool b) {
    return (Value){.kind = V_BOOL, .truth = b};
}
Value value_int(int64_t i) {
    return (Value){.kind = V_INT, .whole = i};
}
Value value_num(double d) {
    return (Value){.kind = V_NUM, .number = d};
}
Value value_str(const char *s) {
    return (Value){.kind = V_STR, .text = s};
}

Value value_size(Size s) {
    int64_t n;
    if (size_is_const(s, &n)) return value_int(n);
    return (Value){.kind = V_SIZE, .size = s};
}

Value value_tensor(Node *n, bool policy) {
    return (Value){.kind = V_TENSOR, .policy = policy, .node = n};
}

Value value_type(Elab *el, Type t, bool policy) {
    TypeV *v = NEW(el->arena, TypeV);
    v->type = t;
    v->policy = policy;
    return (Value){.kind = V_TYPE, .type = v};
}

Value value_tf32(Elab *el) {
    Value v = value_type(el, type_scalar(DT_F32), false);
    v.tf32 = true;
    return v;
}

TypeV float_type(const Elab *el) {
    DType policy = el->initial ? el->precision.params : el->precision.compute;
    return (TypeV){.type = type_scalar(el->cx.wide ? DT_F32 : policy), .policy = !el->cx.wide};
}

Value value_bound(Elab *el, Value v) {
    if (v.kind != V_TENSOR || !v.policy || v.weak || !el->cx.wide) return v;
    return value_tensor(emit_cast(el, v.node, DT_F32), false);
}

Node *value_widened(Elab *el, Node *n, DType *narrow) {
    DType d = n->type.dtype;
    bool is_narrow = d == DT_F16 || d == DT_BF16;
    *narrow = is_narrow ? d : DT_COUNT;
    return is_narrow ? emit_cast(el, n, DT_F32) : n;
}

Value value_list(Elab *el, ValueKind kind) {
    return (Value){.kind = kind, .list = NEW(el->arena, ValueList)};
}

void list_push(Elab *el, Value list, Value item) {
    PUSH(el->arena, list.list->item, item);
}

Size value_as_size(Elab *el, Value v) {
    return v.kind == V_INT ? emit_size_const(el, v.whole) : v.size;
}

bool value_same(Value a, Value b) {
    if (is_number(a) && is_number(b)) {
        if (a.kind == V_INT && b.kind == V_INT) return a.whole == b.whole;
        if (a.kind == V_SIZE || b.kind == V_SIZE) return a.kind == b.kind && a.size == b.size;
        double x = a.kind == V_INT ? (double)a.whole : a.number, y = b.kind == V_INT ? (double)b.whole : b.number;
        return x == y;
    }
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case V_NONE: return true;
    case V_BOOL: return a.truth == b.truth;
    case V_STR: return !strcmp(a.text, b.text);
    case V_TYPE: {
        Type x = a.type->type, y = b.type->type;
        x.dtype = type_checked(x.dtype, a.type->policy);
        y.dtype = type_checked(y.dtype, b.type->policy);
        return type_equal(&x, &y) && a.type->policy == b.type->policy;
    }
    case V_TUPLE:
    case V_LIST:
        if (a.list->item.n != b.list->item.n) return false;
        for (int i = 0; i < a.list->item.n; i++)
            if (!value_same(a.list->item.at[i], b.list->item.at[i])) return false;
        return true;
    case V_RANGE: return a.range->from == b.range->from && a.range->to == b.range->to;
    case V_FN: return a.fn->decl == b.fn->decl && a.fn->inst == b.fn->inst;
    case V_LAYER: return a.layer->decl == b.layer->decl;
    case V_BUILTIN: return a.builtin == b.builtin;
    case V_INST: return a.inst == b.inst;
    case V_WEIGHT: return a.weight == b.weight;
    case V_TENSOR: return a.node == b.node;
    case V_MODULE: return a.module == b.module;
    case V_FILE:
    case V_FILEREF: return a.file == b.file;
    case V_INT:
    case V_NUM:
    case V_SIZE:
    case V_POISON: return false;
    }
    return false;
}

const char *value_kind_name(Value v) {
    switch (v.kind) {
    case V_NONE: return "none";
    case V_BOOL: return "bool";
    case V_INT: return "int";
    case V_NUM: return "num";
    case V_SIZE: return "dimension";
    case V_STR: return "str";
    case V_TYPE: return "type";
    case V_TENSOR: return v.weak ? "num" : "tensor";
    case V_TUPLE: return "tuple";
    case V_LIST: return "list";
    case V_RANGE: return "range";
    case V_FN:
    case V_BUILTIN: return "function";
    case V_LAYER: return "layer";
    case V_INST: return "instance";
    case V_WEIGHT: return v.weight->kind == SLOT_PARAM ? "param" : v.weight->kind == SLOT_STATE ? "state" : "cache";
    case V_MODULE: return "module";
    case V_FILE: return "weight file";
    case V_FILEREF: return "tensor of a file";
    case V_POISON: return "error";
    }
    return "value";
}

const char *text_a(Elab *el, const char *word) {
    if (!strcmp(word, "none")) return word;
    return arena_printf(el->arena, "%s %s", strchr("aeiou", word[0]) ? "an" : "a", word);
}

const char *value_a(Elab *el, Value v) {
    if (v.kind == V_INST) return text_a(el, arena_printf(el->arena, "%s instance", v.inst->layer->name));
    return text_a(el, value_kind_name(v));
}

const char *number_text(Arena *a, double d) {
    if (isnan(d)) return "nan";
    if (isinf(d)) return d < 0 ? "-inf" : "inf";
    char *text = NULL;
    for (int digits = 1; digits <= 17; digits++) {
        text = arena_printf(a, "%.*g", digits, d);
        if (strtod(text, NULL) == d) break;
    }
    if (fabs(d) < 1e16 && d == floor(d)) return arena_printf(a, "%.1f", d);
    return text;
}

const char *dims_text(Elab *el, int n, const Size *dim) {
    const char *text = "";
    for (int i = 0; i < n; i++) text = arena_printf(el->arena, "%s%s%s", text, i ? ", " : "", size_text(el->arena, dim[i]));
    return text;
}

const char *dtype_text(const TypeV *t) {
    return t->policy ? "float" : dtype_name(t->type.dtype);
}

const char *typev_text(Elab *el, const TypeV *t) {
    if (!t->type.rank) return dtype_text(t);
    return arena_printf(el->arena, "%s[%s]", dtype_text(t), dims_text(el, t->type.rank, t->type.dim));
}

const char *tensor_text(Elab *el, Value v) {
    TypeV t = {v.node->type, v.policy};
    return typev_text(el, &t);
}

static const char *items_text(Elab *el, const ValueList *list, const char *open, const char *close) {
    const char *text = open;
    for (int i = 0; i < list->item.n; i++)
        text = arena_printf(el->arena, "%s%s%s", text, i ? ", " : "", value_text(el, list->item.at[i]));
    return arena_printf(el->arena, "%s%s", text, close);
}

const char *value_text(Elab *el, Value v) {
    switch (v.kind) {
    case V_BOOL: return v.truth ? "true" : "false";
    case V_INT: return arena_printf(el->arena, "%lld", (long long)v.whole);
    case V_NUM: return number_text(el->arena, v.number);
    case V_SIZE: return size_text(el->arena, v.size);
    case V_STR: return v.text;
    case V_TYPE: return typev_text(el, v.type);
    case V_TENSOR: return tensor_text(el, v);
    case V_TUPLE: return items_text(el, v.list, "(", ")");
    case V_LIST: return items_text(el, v.list, "[", "]");
    case V_RANGE:
        return arena_printf(el->arena, "%s..%s", size_text(el->arena, v.range->from), size_text(el->arena, v.range->to));
    case V_FN: return v.fn->name;
    case V_BUILTIN: return v.builtin->name;
    case V_LAYER: return v.layer->name;
    case V_INST: return v.inst->layer->name;
    case V_WEIGHT: return v.weight->path;
    case V_NONE:
    case V_MODULE:
    case V_FILE:
    case V_FILEREF:
    case V_POISON: return value_kind_name(v);
    }
    return "";
}

/* ---- scopes */

Env *env_new(Elab *el, Env *up, EnvKind kind) {
    Env *e = NEW(el->arena, Env);
    e->up = up;
    e->kind = kind;
    e->source = up ? up->source : NULL;
    e->prefix = up ? up->prefix : "";
    return e;
}

enum { FEW = 16 }; /* variables are found one by one */

/* Where the name stands in the index, or the free entry where it belongs. */
static int *env_entry(const Env *e, const char *name) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *p = name; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
    int i = (int)(h >> 32) & (e->n_index - 1);
    while (e->index[i] && strcmp(e->vars.at[e->index[i] - 1].name, name)) i = (i + 1) & (e->n_index - 1);
    return &e->index[i];
}

/* Half of the entries stay free. */
static void env_index(Elab *el, Env *e) {
    if (e->vars.n <= FEW) return;
    if (e->index && 2 * e->vars.n <= e->n_index) {
        *env_entry(e, e->vars.at[e->vars.n - 1].name) = e->vars.n;
        return;
    }
    e->n_index = e->n_index ? 2 * e->n_index : 4 * FEW;
    e->index = NEW_ARRAY(el->arena, int, e->n_index);
    for (int i = 0; i < e->vars.n; i++) *env_entry(e, e->vars.at[i].name) = i + 1;
}

Var *env_own(Env *e, const char *name) {
    if (e->index) {
        int place = *env_entry(e, name);
        return place ? &e->vars.at[place - 1] : NULL;
    }
    for (int i = e->vars.n; i-- > 0;) {
        const char *own = e->vars.at[i].name;
        if (own == name || (own[0] == name[0] && !strcmp(own, name))) return &e->vars.at[i];
    }
    return NULL;
}

Var *env_set(Elab *el, Env *e, const char *name, Value v) {
    Var *own = env_own(e, name);
    if (!own) {
        PUSH(el->arena, e->vars, (Var){.name = name});
        own = &e->vars.at[e->vars.n - 1];
        env_index(el, e);
    }
    own->value = v;
    own->pending = false;
    return own;
}

Env *env_find(Elab *el, Env *e, const char *name) {
    for (; e; e = e->up)
        if (env_own(e, name) || (e->inst && inst_has(el, e->inst, name))) return e;
    return NULL;
}

void names_push(Elab *el, Names *names, const char *name) {
    if (name && *name) PUSH(el->arena, *names, name);
}

void env_names(Elab *el, Env *e, Names *names) {
    for (; e; e = e->up) {
        for (int i = 0; i < e->vars.n; i++) names_push(el, names, e->vars.at[i].name);
        if (e->inst) inst_names(el, e->inst, names);
    }
}

/* Edits (insert, delete, replace, swap neighbours) between two words; more than 63 letters: far apart. */
static int word_distance(const char *a, const char *b) {
    int n = (int)strlen(a), m = (int)strlen(b), row[3][64];
    if (n > 63 || m > 62) return 1000;
    for (int j = 0; j <= m; j++) row[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *names_closest(const Names *names, const char *name) {
    int best = (int)strlen(name) / 3 + 1;
    if (strlen(name) <= 2) best = 1;
    if (strlen(name) == 1) return NULL; /* any other letter would do */
    const char *found = NULL;
    for (int i = 0; i < names->n; i++) {
        if (!strcmp(names->at[i], name)) continue;
        int d = word_distance(name, names->at[i]);
        if (d < best || (d == best && !found)) {
            best = d;
            found = names->at[i];
        }
    }
    return found;
}
