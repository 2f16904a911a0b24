/* elaborate_names.c -- unknown names: what is said of them, and a walk over the tree that finds those which elaboration did not
 * meet, in functions that nobody calls and in branches that are not taken.
 *
 * The walk keeps scopes as elaboration does, in Env, but with names alone. Of what only elaboration knows it believes the best: a
 * name declared under any `if` exists, members of locals are not looked up, and after an import that failed every name may exist. A
 * name is told once, and no statement has two errors. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

static bool told(const Elab *el, const char *name) {
    for (int i = 0; i < el->told.n; i++)
        if (!strcmp(el->told.at[i], name)) return true;
    return false;
}

static bool is_open(const Env *e) {
    for (; e; e = e->up)
        if (e->open) return true;
    return false;
}

static void begin_unknown(Elab *el, const Ast *n, Env *env, NameUse use) {
    Names names = {0};
    bool size = use == NAME_SIZE || use == NAME_NEW_SIZE;
    env_names(el, env, &names);
    names_push(el, &el->told, n->text);
    fault(el, n, size ? 206 : 101, size ? "unknown dimension `%s`" : "`%s` is not declared", n->text);
    fault_close(el, &names, n->text);
    if (use == NAME_TARGET) fault_help(el, "to make a new local: let %s = ...;", n->text);
    if (use == NAME_NEW_SIZE) fault_help(el, "new dimensions are listed in brackets: fn name[%s](...)", n->text);
}

void unknown_name(Elab *el, const Ast *n, Env *env, NameUse use) {
    if (is_open(env)) fault_silent(el);
    begin_unknown(el, n, env, use);
}

/* ---- {name} in strings */

const char *string_brace(const char *text, const char **end) {
    for (const char *brace = text; (brace = strchr(brace, '{')); brace++) {
        const char *p = brace + 1;
        while (isalnum((unsigned char)*p) || *p == '_') p++;
        if (*p != '}' || p == brace + 1) continue;
        *end = p + 1;
        return brace;
    }
    return NULL;
}

/* The byte of the source that a byte of the string came from: before it stand a quote, and a \ in each escape. */
static int source_byte(const Ast *string, const char *at) {
    const char *text = string->loc.source->text;
    int place = string->loc.begin + 1;
    for (const char *p = string->text; p < at; p++) place += text[place] == '\\' ? 2 : 1;
    return place;
}

const Ast *string_name(Elab *el, const Ast *string, const char *brace, const char *end) {
    size_t n = (size_t)(end - brace) - 2;
    int at = source_byte(string, brace + 1);
    Loc loc = {string->loc.source, at, at + (int)n};
    return ast_new(el->arena, AST_NAME, loc, loc, arena_copy(el->arena, brace + 1, n));
}

/* ---- the walk */

static void walk(Elab *el, const Ast *n, Env *env);

static void walk_kids(Elab *el, const Ast *n, int first, Env *env) {
    for (int i = first; i < n->n; i++) walk(el, ast_kid(n, i), env);
}

static void declare(Elab *el, Env *env, const char *name) {
    bool of_file = env->kind == ENV_FILE && env_own(env->up, name); /* has its value there */
    if (*name && !of_file && !env_own(env, name)) env_set(el, env, name, (Value){.kind = V_POISON});
}

static void declare_pattern(Elab *el, Env *env, const Ast *pattern) {
    if (ast_is(pattern, AST_NAME)) declare(el, env, pattern->text);
    for (int i = 0; i < pattern->n; i++) declare_pattern(el, env, ast_kid(pattern, i));
}

/* What these items declare, under whatever condition; what a branch imports is not known. */
static void declare_items(Elab *el, Env *env, const Ast *items, bool branch) {
    for (int i = 0; i < items->n; i++) {
        const Ast *it = ast_kid(items, i);
        switch (it->kind) {
        case AST_IF:
            declare_items(el, env, ast_kid(it, 1), true);
            declare_items(el, env, ast_kid(it, 2), true);
            break;
        case AST_DIMS:
            for (int k = 0; k < it->n; k++) declare(el, env, ast_kid(it, k)->text);
            break;
        case AST_IMPORT:
            if (ast_given(ast_kid(it, 0))) declare(el, env, ast_kid(it, 0)->text);
            else env->open = env->open || branch;
            break;
        case AST_ENTRY:
        case AST_TRAIN:
        case AST_SETTINGS: break;
        default:
            if (it->text) declare(el, env, it->text);
        }
    }
}

static void name_used(Elab *el, const Ast *n, Env *env, NameUse how) {
    if (!strcmp(n->text, "training") || !strcmp(n->text, "_") || env_find(el, env, n->text)) return;
    if (told(el, n->text) || is_open(env) || diag_within(el->diag, el->statement)) return;
    begin_unknown(el, n, env, how);
    elab_error(el);
}

static void walk_string(Elab *el, const Ast *n, Env *env) {
    const char *p = n->text, *end;
    for (const char *brace; (brace = string_brace(p, &end)); p = end) name_used(el, string_name(el, n, brace, end), env, NAME_VALUE);
}

static bool hidden(Elab *el, const Env *module, const char *name) {
    Env *all = env_new(el, NULL, ENV_CALL);
    for (int i = 0; i < module->items.n; i++) declare_items(el, all, module->items.at[i], false);
    return all->open || env_own(all, name);
}

/* A member of an import, or of an instance of the file. */
static void walk_member(Elab *el, const Ast *n, Env *env) {
    const Ast *base = ast_kid(n, 0);
    walk(el, base, env);
    Env *e = ast_is(base, AST_NAME) ? env_find(el, env, base->text) : NULL;
    Var *own = e ? env_own(e, base->text) : NULL;
    if (!own || n->text[0] == '*' || diag_within(el->diag, el->statement)) return;
    Names names = {0};
    if (own->value.kind == V_MODULE) {
        Env *m = own->value.module;
        if (m->open || env_own(m, n->text) || hidden(el, m, n->text)) return;
        for (int i = 0; i < m->vars.n; i++) names_push(el, &names, m->vars.at[i].name);
        fault(el, n, 101, "`%s` has no `%s`", base->text, n->text);
    } else if (own->value.kind == V_INST) {
        Inst *i = own->value.inst;
        bool argument = false;
        for (int k = 0; k < i->args.n; k++) argument = argument || !strcmp(i->args.at[k].name, n->text);
        if (argument || inst_has(el, i, n->text)) return;
        inst_names(el, i, &names);
        fault(el, n, 503, "%s has no member `%s`", i->layer->name, n->text);
    } else {
        return;
    }
    fault_close(el, &names, n->text);
    elab_error(el);
}

static void walk_type(Elab *el, const Ast *type, Env *env, NameUse how) {
    for (int i = 0; i < type->n; i++) {
        const Ast *shape = ast_kid(type, i);
        for (int k = 0; k < shape->n && ast_is(shape, AST_SHAPE); k++) {
            const Ast *x = ast_kid(shape, k);
            if (ast_is(x, AST_NAME)) name_used(el, x, env, how);
            else walk(el, x, env);
        }
        if (!ast_is(shape, AST_SHAPE)) walk(el, shape, env);
    }
}

static void walk_params(Elab *el, const Ast *params, Env *env) {
    for (int i = 0; i < params->n; i++) declare(el, env, ast_kid(params, i)->text);
    for (int i = 0; i < params->n; i++) {
        const Ast *type = ast_kid(ast_kid(params, i), 0);
        el->statement = ast_kid(params, i)->span;
        if (ast_is(type, AST_TYPE)) walk_type(el, type, env, NAME_NEW_SIZE);
        else walk(el, type, env);
        walk(el, ast_kid(ast_kid(params, i), 1), env);
    }
    el->statement = (Loc){0};
}

static void walk_function(Elab *el, const Ast *f, Env *outer) {
    Env *env = env_new(el, outer, ENV_CALL);
    for (int i = 0; i < fn_dims(f)->n; i++) declare(el, env, ast_kid(fn_dims(f), i)->text);
    walk_kids(el, fn_dims(f), 0, env);
    walk_params(el, fn_params(f), env);
    walk_kids(el, f, 2, env);
}

static void walk_layer(Elab *el, const Ast *layer, Env *outer) {
    Env *env = env_new(el, outer, ENV_LAYER);
    declare_items(el, env, ast_kid(layer, 1), false);
    walk_params(el, ast_kid(layer, 0), env);
    walk(el, ast_kid(layer, 1), env);
}

/* A loop over kid 1 whose pattern, kid 0, is known in kid 2 and, of a scan, not in kid 3. */
static void walk_loop(Elab *el, const Ast *n, Env *env) {
    walk(el, ast_kid(n, 1), env);
    walk_kids(el, n, 3, env);
    Env *inner = env_new(el, env, ENV_BLOCK);
    declare_pattern(el, inner, ast_kid(n, 0));
    walk(el, ast_kid(n, 2), inner);
}

/* A statement has one error; so has a declaration that is no block of others, and an argument. */
static bool is_statement(const Ast *n) {
    switch (n->kind) {
    case AST_CONFIG:
    case AST_CONST:
    case AST_PARAM:
    case AST_STATE:
    case AST_CACHE:
    case AST_INSTANCE:
    case AST_INIT:
    case AST_FREEZE:
    case AST_ASSERT:
    case AST_LET:
    case AST_ASSIGN:
    case AST_EXPRSTMT:
    case AST_RETURN:
    case AST_YIELD:
    case AST_STOP:
    case AST_MINIMIZE: return true;
    default: return false;
    }
}

static void walk_kind(Elab *el, const Ast *n, Env *env);

static void walk(Elab *el, const Ast *n, Env *env) {
    Loc around = el->statement;
    if (is_statement(n)) el->statement = n->span;
    walk_kind(el, n, env);
    el->statement = around;
}

static void walk_kind(Elab *el, const Ast *n, Env *env) {
    switch (n->kind) {
    case AST_NAME: name_used(el, n, env, NAME_VALUE); return;
    case AST_STR: walk_string(el, n, env); return;
    case AST_DOT: walk_member(el, n, env); return;
    case AST_TYPE: walk_type(el, n, env, NAME_SIZE); return;
    case AST_FN:
    case AST_ENTRY:
    case AST_TRAIN: walk_function(el, n, env); return;
    case AST_LAYER: walk_layer(el, n, env); return;
    case AST_FOR:
    case AST_SCAN: walk_loop(el, n, env); return;
    case AST_IMPORT:
    case AST_SETTINGS: return; /* words of their own */
    case AST_GRADIENT:
    case AST_BLOCK: {
        Env *inner = env_new(el, env, ENV_BLOCK);
        if (ast_is(n, AST_GRADIENT)) walk_params(el, ast_kid(n, 0), inner);
        walk_kids(el, n, ast_is(n, AST_GRADIENT), inner);
        return;
    }
    case AST_LET:
        walk_kids(el, n, 1, env);
        declare_pattern(el, env, ast_kid(n, 0));
        return;
    case AST_ASSIGN:
        walk(el, ast_kid(n, 1), env);
        if (ast_is(ast_kid(n, 0), AST_NAME)) name_used(el, ast_kid(n, 0), env, NAME_TARGET);
        else walk(el, ast_kid(n, 0), env);
        return;
    case AST_COMP: {
        Env *inner = env_new(el, env, ENV_BLOCK);
        walk(el, ast_kid(n, 2), env);
        declare_pattern(el, inner, ast_kid(n, 1));
        walk(el, ast_kid(n, 0), inner);
        return;
    }
    case AST_WITH: walk(el, ast_kid(n, 1), env); return; /* its path begins below the instance */
    case AST_QUANTIZE: walk(el, ast_kid(n, 0), env); return;
    case AST_NAMED:
        if (strcmp(n->text, "loss_scale")) walk_kids(el, n, 0, env);
        return;
    case AST_LOAD: {
        Env *inner = env_new(el, env, ENV_BLOCK);
        if (ast_given(ast_kid(n, 3))) declare(el, inner, ast_kid(n, 3)->text);
        for (int i = 0; i < 3; i++) walk(el, ast_kid(n, i), env);
        walk(el, ast_kid(n, 4), inner);
        return;
    }
    default: walk_kids(el, n, 0, env);
    }
}

void check_names(Elab *el, const Ast *items, Env *file) {
    Env *env = env_new(el, file, ENV_FILE);
    for (int i = 0; i < file->items.n; i++) declare_items(el, env, file->items.at[i], false);
    walk(el, items, env);
}
