/* variants.c -- see variants.h. */
#include "codegen/variants.h"

#include "ir/diag.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MOST 10000 /* variants: a product of axes grows fast, and a slip of the pen should not */

typedef LIST(Axis) Axes;

/* Options of modelc that an axis may be. */
static const char *const option_axes[] = {"target", "load", "entries", "runtime"};

const char *axis_parse(Arena *arena, const char *text, Axis *axis) {
    const char *equal = strchr(text, '=');
    if (!equal || equal == text) return arena_printf(arena, "\"%s\" is not NAME=VALUE,VALUE...", text);
    axis->name = arena_copy(arena, text, (size_t)(equal - text));
    for (const char *at = equal + 1;; at++) {
        size_t n = strcspn(at, ",");
        if (!n) return arena_printf(arena, "\"%s\" has an empty value", text);
        PUSH(arena, axis->values, arena_copy(arena, at, n));
        at += n;
        if (!*at) return NULL;
    }
}

/* NAME=VALUE as an option; of `kind` as the variant's. */
static const char *setting_add(Arena *arena, Variant *v, const char *name, const char *value) {
    if (!strcmp(name, "kind")) {
        v->kind = value;
        if (strcmp(value, "so") && strcmp(value, "a") && strcmp(value, "o")) return arena_printf(arena, "kind is so, a or o, not %s", value);
        return NULL;
    }
    if (!strcmp(name, "level")) {
        PUSH(arena, v->options, arena_printf(arena, "-O%s", value));
        return NULL;
    }
    for (size_t i = 0; i < sizeof option_axes / sizeof *option_axes; i++) {
        if (strcmp(name, option_axes[i])) continue;
        PUSH(arena, v->options, arena_printf(arena, "--%s=%s", name, value));
        return NULL;
    }
    PUSH(arena, v->options, "-D");
    PUSH(arena, v->options, arena_printf(arena, "%s=%s", name, value));
    return NULL;
}

/* "gpt" of "models/gpt.mdl" */
static const char *model_name(Arena *arena, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return arena_copy(arena, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

/* A part of a file's name: what is neither letter nor digit becomes an underscore. */
static const char *name_part(Arena *arena, const char *text) {
    char *part = arena_copy(arena, text, strlen(text));
    for (char *p = part; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) *p = '_';
    return part;
}

static const char *product(Variants *v, const Variant *base, const Axis *axes, int n) {
    Arena *arena = v->arena;
    long total = 1;
    for (int i = 0; i < n; i++) total = total > MOST ? total : total * axes[i].values.n;
    if (total + v->list.n > MOST) return arena_printf(arena, "these are more than %d variants", MOST);
    for (long k = 0; k < total; k++) {
        Variant one = {.name = base->name, .model = base->model, .kind = base->kind};
        for (int i = 0; i < base->options.n; i++) PUSH(arena, one.options, base->options.at[i]);
        long rest = k, below = total;
        for (int i = 0; i < n; i++) {
            below /= axes[i].values.n;
            const char *value = axes[i].values.at[rest / below], *wrong = setting_add(arena, &one, axes[i].name, value);
            if (wrong) return wrong;
            if (strcmp(axes[i].name, "kind")) one.name = arena_printf(arena, "%s-%s-%s", one.name, name_part(arena, axes[i].name), name_part(arena, value));
            rest %= below;
        }
        for (int i = 0; i < v->list.n; i++)
            if (!strcmp(v->list.at[i].name, one.name) && !strcmp(v->list.at[i].kind, one.kind))
                return arena_printf(arena, "two variants are called %s", one.name);
        PUSH(arena, v->list, one);
    }
    return NULL;
}

static void options_append(Arena *arena, Variant *v, const Strings *options) {
    for (int i = 0; options && i < options->n; i++) PUSH(arena, v->options, options->at[i]);
}

const char *variants_product(Variants *v, const char *model, const Axis *axes, int n, const Strings *options) {
    Variant base = {.name = model_name(v->arena, model), .model = model, .kind = "so"};
    options_append(v->arena, &base, options);
    return product(v, &base, axes, n);
}

/* ---- variants.json ------------------------------------------------------------------------------------------------------- */

/* The text of a value of JSON as -D takes it; NULL: it is none. */
static const char *value_text(Arena *arena, const json_t *value) {
    if (json_is_string(value)) return arena_copy(arena, json_string_value(value), json_string_length(value));
    if (json_is_integer(value)) return arena_printf(arena, "%lld", (long long)json_integer_value(value));
    if (json_is_real(value)) return arena_printf(arena, "%.17g", json_real_value(value));
    if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
    return NULL;
}

static const char *keys_check(Arena *arena, json_t *object, const char *what, const char *const *known, int n) {
    const char *key;
    json_t *value;
    if (!json_is_object(object)) return arena_printf(arena, "%s is no object { }", what);
    json_object_foreach(object, key, value) {
        bool fine = false;
        const char *names = "";
        for (int i = 0; i < n; i++) {
            fine = fine || !strcmp(key, known[i]);
            names = arena_printf(arena, "%s%s%s", names, i ? ", " : "", known[i]);
        }
        if (!fine) return arena_printf(arena, "%s has no \"%s\"; there are %s", what, key, names);
    }
    return NULL;
}

static const char *text_read(Arena *arena, const json_t *object, const char *key, const char **text) {
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_string(value)) return arena_printf(arena, "\"%s\" is no string", key);
    if (value) *text = value_text(arena, value);
    return NULL;
}

static const char *beside(Arena *arena, const char *json, const char *path) {
    const char *slash = strrchr(json, '/');
    return *path == '/' || !slash ? path : arena_printf(arena, "%.*s/%s", (int)(slash - json), json, path);
}

/* The text of a setting; that of a file is beside the .json. */
static const char *setting_text(Arena *arena, const char *json, const char *name, const json_t *value) {
    const char *text = value_text(arena, value);
    return text && !strcmp(name, "load") ? beside(arena, json, text) : text;
}

static const char *axes_read(Arena *arena, const char *path, json_t *each, Axes *axes) {
    const char *name;
    json_t *values, *value;
    size_t i;
    if (each && !json_is_object(each)) return "\"each\" is no object { }";
    json_object_foreach(each, name, values) {
        Axis axis = {.name = arena_copy(arena, name, strlen(name))};
        if (!json_array_size(values)) return arena_printf(arena, "\"each\": \"%s\" is no list of values", name);
        json_array_foreach(values, i, value) {
            const char *text = setting_text(arena, path, axis.name, value);
            if (!text) return arena_printf(arena, "\"each\": \"%s\" has a value that is no number, string or truth", name);
            PUSH(arena, axis.values, text);
        }
        PUSH(arena, *axes, axis);
    }
    return NULL;
}

static const char *options_read(Arena *arena, const json_t *object, Variant *v) {
    const json_t *list = json_object_get(object, "options"), *option;
    size_t i;
    if (list && !json_is_array(list)) return "\"options\" is no list of strings";
    json_array_foreach(list, i, option) {
        const char *text = json_is_string(option) ? value_text(arena, option) : NULL;
        if (!text || *text != '-') return "\"options\" is no list of strings that begin with -";
        PUSH(arena, v->options, text);
    }
    return NULL;
}

/* One of "variants", in front of the product. */
static const char *variant_read(Variants *v, const char *path, json_t *object, const Variant *common, Axes *axes) {
    static const char *const known[] = {"name", "model", "set", "options"};
    Arena *arena = v->arena;
    const char *wrong = keys_check(arena, object, "a variant", known, 4), *model = NULL, *name = NULL, *key;
    Variant base = {.model = common->model, .kind = common->kind};
    options_append(arena, &base, &common->options);
    if (!wrong) wrong = text_read(arena, object, "model", &model);
    if (!wrong) wrong = text_read(arena, object, "name", &name);
    if (!wrong) wrong = options_read(arena, object, &base);
    json_t *set = json_object_get(object, "set"), *value;
    if (!wrong && set && !json_is_object(set)) wrong = "\"set\" is no object { }";
    json_object_foreach(set, key, value) {
        const char *text = setting_text(arena, path, key, value);
        if (!wrong && !text) wrong = arena_printf(arena, "\"set\": \"%s\" is no number, string or truth", key);
        if (!wrong) wrong = setting_add(arena, &base, arena_copy(arena, key, strlen(key)), text);
    }
    if (wrong) return wrong;
    if (model) base.model = beside(arena, path, model);
    if (!base.model) return "a variant has no \"model\"";
    base.name = name ? name_part(arena, name) : model_name(arena, base.model);
    return product(v, &base, axes->at, axes->n);
}

static const char *root_read(Variants *v, const char *path, json_t *root, const Axis *given, int n, const Strings *options) {
    static const char *const known[] = {"model", "out", "options", "each", "variants"};
    Arena *arena = v->arena;
    Axes axes = {0};
    Variant common = {.kind = "so"};
    const char *wrong = keys_check(arena, root, "the file", known, 5), *model = NULL, *out = NULL;
    if (!wrong) wrong = text_read(arena, root, "model", &model);
    if (!wrong) wrong = text_read(arena, root, "out", &out);
    if (!wrong) wrong = axes_read(arena, path, json_object_get(root, "each"), &axes);
    if (!wrong) wrong = options_read(arena, root, &common);
    if (wrong) return wrong;
    for (int i = 0; i < n; i++) PUSH(arena, axes, given[i]);
    options_append(arena, &common, options);
    if (model) common.model = beside(arena, path, model);
    if (out && !v->out) v->out = beside(arena, path, out);
    json_t *list = json_object_get(root, "variants"), *variant;
    size_t i;
    if (list && !json_is_array(list)) return "\"variants\" is no list";
    if (!list && !common.model) return "there is no \"model\"";
    json_t *only = list ? NULL : json_object();
    if (only) wrong = variant_read(v, path, only, &common, &axes);
    json_decref(only);
    json_array_foreach(list, i, variant) if (!wrong) wrong = variant_read(v, path, variant, &common, &axes);
    return wrong;
}

const char *variants_read(Variants *v, const char *path, const Axis *axes, int n, const Strings *options) {
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root && error.line < 0) return arena_printf(v->arena, "%s", error.text);
    if (!root) return arena_printf(v->arena, "line %d, column %d: %s", error.line, error.column, error.text);
    const char *wrong = root_read(v, path, root, axes, n, options);
    json_decref(root);
    return wrong;
}
