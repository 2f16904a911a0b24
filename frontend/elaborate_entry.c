/* elaborate_entry.c -- entries: inputs, their sizes, the body, results and stores. One error a statement: a name whose value
 * failed is poison, and what uses it fails silently. */
#include "frontend/elab.h"
#include "runtime/philox.h"

#include <string.h>

typedef struct Run {
    const Ast *it;
    Env *env;
    Entry *entry;
    const Ast *st; /* of exec_guarded */
    bool returned, failed;
} Run;

static void unused_dims(Elab *el, const Ast *it) {
    for (int i = 0; i < fn_dims(it)->n; i++) {
        const Ast *d = ast_kid(fn_dims(it), i);
        bool used = false;
        for (int k = 0; k < fn_params(it)->n && !used; k++) {
            const Ast *type = ast_kid(ast_kid(fn_params(it), k), 0);
            if (!ast_is(type, AST_TYPE) || !type->n || !ast_is(ast_kid(type, 0), AST_SHAPE)) continue;
            const Ast *shape = ast_kid(type, 0);
            for (int q = 0; q < shape->n; q++)
                used = used || (ast_is(ast_kid(shape, q), AST_NAME) && !strcmp(ast_kid(shape, q)->text, d->text));
        }
        if (used) continue;
        fault(el, d, 212, "dimension `%s` occurs in no input of %s", d->text, it->text);
        fault_label(el, "its size would be unknown");
        fault_help(el, "take it as an argument: `%s: dim`", d->text);
        fault_throw(el);
    }
}

static Size named_size(Elab *el, const Ast *range, const char *name, Env *env) {
    int64_t low = 1, high = SIZE_NO_LIMIT;
    if (ast_given(range)) {
        Value v = ev(el, range, env);
        if (v.kind != V_RANGE || !size_is_const(v.range->from, &low) || !size_is_const(v.range->to, &high) || low < 0 ||
            high < low) {
            fault(el, range, 212, "the range of a size goes from one whole number to another, such as 1..64");
            fault_throw(el);
        }
    }
    return size_named(el->program->sizes, size_declare(el->program->sizes, name, low, high));
}

/* `name: dim`: the size of the file of that name if there is one and no other range is wanted, else a new one. */
static Size argument_size(Elab *el, const Ast *type, const char *name, Env *env) {
    Var *of_file = env_own(el->file, name);
    const Ast *range = type->n ? ast_kid(type, 0) : type;
    if (of_file && is_size(of_file->value) && !ast_given(range)) return value_as_size(el, of_file->value);
    return named_size(el, range, name, env);
}

static void add_size(Elab *el, Entry *e, SizeName *name) {
    for (int i = 0; i < e->n_sizes; i++)
        if (e->sizes[i] == name) return;
    e->sizes =
        arena_grow(el->arena, e->sizes, sizeof *e->sizes * (size_t)e->n_sizes, sizeof *e->sizes * (size_t)(e->n_sizes + 1));
    e->sizes[e->n_sizes++] = name;
}

/* The names of a dimension of an input, in order; those that stand alone are known at the call. */
static void sizes_of(Elab *el, Entry *e, Size s) {
    int n = size_names(el->program->sizes);
    bool *used = NEW_ARRAY(el->arena, bool, n + 1);
    size_collect(s, used);
    for (int i = 0; i < n; i++)
        if (used[i]) add_size(el, e, size_name_at(el->program->sizes, i));
}

static bool carried(Elab *el, const Entry *e, const Ast *params, SizeName *name, Env *env) {
    Size s = size_named(el->program->sizes, name);
    for (int i = 0; i < e->n_inputs; i++)
        for (int k = 0; k < e->inputs[i].type.rank; k++)
            if (e->inputs[i].type.dim[k] == s) return true;
    for (int i = 0; i < params->n; i++) {
        const Ast *type = ast_kid(ast_kid(params, i), 0);
        Var *own = env_own(env, ast_kid(params, i)->text);
        if (ast_is(type, AST_TYPE) && !strcmp(type->text, "dim") && own && own->value.kind == V_SIZE && own->value.size == s)
            return true;
    }
    return false;
}

static void read_inputs(Elab *el, Run *r) {
    const Ast *params = fn_params(r->it);
    Entry *e = r->entry;
    e->inputs = NEW_ARRAY(el->arena, EntryInput, params->n + 1);
    for (int i = 0; i < params->n; i++) {
        const Ast *p = ast_kid(params, i), *type = ast_kid(p, 0);
        static const char *const compile_time[] = {"int", "num", "str", "type", "layer", "fn"};
        bool wrong = !ast_is(type, AST_TYPE);
        at(el, p);
        for (int k = 0; k < 6 && !wrong; k++) wrong = !strcmp(type->text, compile_time[k]);
        if (wrong || ast_given(ast_kid(p, 1))) {
            fault(el, p, 601, wrong ? "input `%s` of %s must have a tensor type" : "input `%s` of %s cannot have a default",
                  p->text, r->it->text);
            fault_label(el, "compile-time values come from `config`");
            fault_throw(el);
        }
        if (env_own(r->env, p->text)) {
            fault(el, p, 102, "`%s` is declared twice", p->text);
            fault_label(el, "second declaration");
            fault_throw(el);
        }
        if (!strcmp(type->text, "dim")) {
            Size s = argument_size(el, type, p->text, r->env);
            env_set(el, r->env, p->text, value_size(s));
            sizes_of(el, e, s);
            continue;
        }
        TypeV t = *ev_type(el, type, r->env).type;
        for (int k = 0; k < t.type.rank; k++) sizes_of(el, e, t.type.dim[k]);
        DType inside = t.type.dtype;
        if (t.policy) t.type.dtype = DT_F32; /* so it crosses the border */
        e->inputs[e->n_inputs] = (EntryInput){p->text, t.type, p->loc};
        Node *n = node_leaf(el->root, OP_INPUT, &(Attrs){.index = e->n_inputs++, .name = p->text}, t.type);
        n->loc = p->loc;
        env_set(el, r->env, p->text, value_tensor(inside == t.type.dtype ? n : emit_cast(el, n, inside), t.policy));
    }
    for (int i = 0; i < e->n_sizes; i++) {
        if (carried(el, e, params, e->sizes[i], r->env)) continue;
        fault(el, r->it, 212, "dimension `%s` stands in no input of %s by itself", e->sizes[i]->name, r->it->text);
        fault_label(el, "its size would be unknown");
        fault_help(el, "take it as an argument: `%s: dim`", e->sizes[i]->name);
        fault_throw(el);
    }
}

/* Ranges of the sizes, checked before anything runs. */
static void check_sizes(Elab *el, const Entry *e) {
    for (int i = 0; i < e->n_sizes; i++) {
        const SizeName *s = e->sizes[i];
        int64_t high = s->high == SIZE_NO_LIMIT || s->high > INT32_MAX ? INT32_MAX : s->high;
        Node *n = node_leaf(el->root, OP_SIZE, &(Attrs){.extent = size_named(el->program->sizes, (SizeName *)s)},
                            type_scalar(DT_I64));
        graph_effect(el->root, (Effect){.kind = EFFECT_RANGE,
                                        .value = n,
                                        .lo = emit_size_const(el, s->low),
                                        .hi = emit_size_const(el, high + 1),
                                        .text = s->name,
                                        .loc = e->loc});
    }
}

static void freeze_list(Elab *el, const Ast *sels, Env *env) {
    const Ast *list = ast_kid(sels, 0), *except = ast_kid(sels, 1);
    Frozen f = {0};
    for (int i = 0; i < list->n; i++) select_values(el, ast_kid(list, i), env, &f.what);
    for (int i = 0; i < except->n; i++) {
        int first = f.except.n;
        bool inside = false;
        select_values(el, ast_kid(except, i), env, &f.except);
        for (int k = first; k < f.except.n; k++) inside = inside || values_hold(&f.what, value_path(f.except.at[k]));
        if (inside) continue;
        fault(el, ast_kid(except, i), 502, "`%s` is no part of what is frozen here", ast_text(el->arena, ast_kid(except, i)));
        fault_throw(el);
    }
    bool any = false;
    for (int k = 0; k < f.what.n; k++) any = any || !values_hold(&f.except, value_path(f.what.at[k]));
    if (!any) {
        fault(el, ast_kid(list, 0), 502, "this freezes nothing");
        if (except->n) fault_label(el, "`except` leaves all of it out");
        fault_throw(el);
    }
    PUSH(el->arena, el->frozen, f);
    PUSH(el->arena, el->ever_frozen, f);
}

static void begin(Elab *el, void *arg) {
    Run *r = arg;
    for (int i = 0; i < fn_dims(r->it)->n; i++) {
        const Ast *d = ast_kid(fn_dims(r->it), i);
        env_set(el, r->env, d->text, value_size(named_size(el, ast_kid(d, 0), d->text, r->env)));
    }
    unused_dims(el, r->it);
    r->entry->symbol = export_name(el, r->it);
    read_inputs(el, r);
    check_sizes(el, r->entry);
    for (int i = 0; i < el->items.n; i++)
        if (ast_is(el->items.at[i], AST_FREEZE)) freeze_list(el, ast_kid(el->items.at[i], 0), el->file);
    const Ast *body = fn_body(r->it);
    for (int i = 0; i < body->n; i++)
        if (ast_is(ast_kid(body, i), AST_FREEZE)) freeze_list(el, ast_kid(ast_kid(body, i), 0), r->env);
}

static void exec_guarded(Elab *el, void *arg) {
    Run *r = arg;
    r->returned = exec(el, r->st, r->env);
}

static void results(Elab *el, void *arg) {
    Run *r = arg;
    const Ast *result = fn_result(r->it);
    Matching m = {.env = r->env};
    Value v = value_tensor_of(el, el->result, result);
    if (!ast_given(result)) {
        if (v.kind == V_NONE) return;
        fault(el, r->it, 310, "%s returns a value, but no result is declared", r->it->text);
        fault_help(el, "write -> (name: type) behind its inputs");
        fault_throw(el);
    }
    if (v.kind == V_NONE) {
        fault(el, r->it, 310, "%s returns nothing, but a result is declared", r->it->text);
        fault_throw(el);
    }
    if (ast_is(result, AST_TUPTYPE) && result->n > 1) {
        fault(el, result, 310, "the results of an entry have names");
        fault_help(el, "write -> (name: type, name: type)");
        fault_throw(el);
    }
    if (v.kind == V_TUPLE)
        for (int i = 0; i < v.list->item.n; i++) v.list->item.at[i] = value_tensor_of(el, v.list->item.at[i], result);
    v = match_results(el, result, v, &m, r->it->text);
    bool fields = ast_is(result, AST_FIELDS);
    int n = fields ? result->n : 1;
    for (int i = 0; i < n; i++) {
        const Ast *field = fields ? ast_kid(result, i) : NULL, *type = field                         ? ast_kid(field, 0)
                                                                       : ast_is(result, AST_TUPTYPE) ? ast_kid(result, 0)
                                                                                                     : result;
        const char *name = field ? field->text : "out";
        Value x = n > 1 ? v.list->item.at[i] : v;
        for (int k = 0; k < i; k++) {
            if (strcmp(el->root->results.at[k].name, name)) continue;
            fault(el, field, 102, "result `%s` is declared twice", name);
            fault_throw(el);
        }
        at(el, type);
        if (is_numeric(x) || x.kind == V_BOOL) {
            const TypeV *t = ev_type(el, type, r->env).type;
            x = value_tensor(operand(el, x, &t->type), t->policy);
        }
        Node *node = x.policy ? emit_cast(el, x.node, DT_F32) : use(el, x.node);
        if (!node->name && op_row(node->op)->class != CLASS_LEAF) node->name = name;
        graph_result(el->root, name, node);
    }
}

/* A size that comes in through a cache alone has no value at the call. */
static void check_free_sizes(Elab *el, void *arg) {
    Run *r = arg;
    int n = size_names(el->program->sizes);
    bool *used = NEW_ARRAY(el->arena, bool, n + 1);
    for (int i = 0; i < el->root->nodes.n; i++)
        for (int k = 0; k < el->root->nodes.at[i]->type.rank; k++) size_collect(el->root->nodes.at[i]->type.dim[k], used);
    for (int i = 0; i < r->entry->n_sizes; i++) used[r->entry->sizes[i]->index] = false;
    for (int i = 0; i < n; i++) {
        if (!used[i]) continue;
        const char *name = size_name_at(el->program->sizes, i)->name;
        fault(el, r->it, 212, "dimension `%s` occurs in no input of %s", name, r->it->text);
        fault_label(el, "its size would be unknown");
        fault_help(el, "take it as an argument: `%s: dim`, or fix it with -D %s=...", name, name);
        fault_throw(el);
    }
}

static void poison_names(Elab *el, const Ast *st, Env *env) {
    Value poison = {.kind = V_POISON};
    if (ast_is(st, AST_LET)) bind_pattern(el, ast_kid(st, 0), poison, env, false);
    if (!ast_is(st, AST_ASSIGN)) return;
    const Ast *t = ast_kid(st, 0);
    while (ast_is(t, AST_INDEX)) t = ast_kid(t, 0);
    if (ast_is(t, AST_NAME) && env_own(env, t->text)) env_set(el, env, t->text, poison);
}

static bool keeps(const Elab *el, const char *name) {
    for (int i = 0; i < el->options->n_entries; i++)
        if (!strcmp(el->options->entries[i], name)) return true;
    return !el->options->n_entries;
}

static void missing_minimize(Elab *el, void *arg) {
    Run *r = arg;
    fault(el, r->it, 602, "train %s never minimizes anything", r->it->text);
    fault_help(el, "use `entry` if nothing is to be learned here, or add: minimize loss over net using opt;");
    if (!el->options->check) fault_throw(el);
    elab_warn(el);
}

static void run_entry(Elab *el, const Ast *it) {
    Run r = {.it = it, .env = env_new(el, el->file, ENV_CALL), .entry = NEW(el->arena, Entry)};
    el->root = graph_new(el->arena, el->program);
    *r.entry = (Entry){.name = it->text, .train = ast_is(it, AST_TRAIN), .graph = el->root, .loc = it->loc};
    el->cx = (Context){.g = el->root, .training = r.entry->train, .env = r.env, .user = caret(it)};
    el->entry = it;
    el->running = r.entry;
    el->site = philox_site(it->text);
    el->draws = 0;
    el->regions = 0;
    el->minimized = false;
    el->frozen.n = 0;
    el->result = value_none();
    slots_begin_entry(el);
    if (!elab_guard(el, begin, &r)) return;
    const Ast *body = fn_body(it);
    for (int i = 0; i < body->n && !r.returned; i++) {
        r.st = ast_kid(body, i);
        at(el, r.st);
        if (!elab_guard(el, exec_guarded, &r)) {
            poison_names(el, r.st, r.env);
            r.failed = true;
        }
        if (diag_full(el->diag)) return;
    }
    if (!r.returned) el->result = value_none();
    if (r.failed) return;
    if (!elab_guard(el, results, &r) || !elab_guard(el, check_free_sizes, &r)) return;
    if (r.entry->train && !el->minimized && !elab_guard(el, missing_minimize, &r)) return;
    r.entry->draws = el->draws;
    if (!keeps(el, it->text)) return;
    for (int i = 0; i < el->slots.n; i++) {
        SlotInfo *s = el->slots.at[i];
        s->kept = s->kept || s->touched;
        if (s->reset) graph_effect(el->root, (Effect){.kind = EFFECT_RESET, .index = s->slot->index, .loc = s->loc});
        if (s->reset || !s->now || s->now == s->load) continue;
        s->stored = true;
        graph_effect(el->root,
                     (Effect){.kind = EFFECT_STORE, .index = s->slot->index, .value = s->now, .loc = s->now->loc});
    }
    PUSH(el->arena, el->program->entries, r.entry);
}

static void no_entry(Elab *el, void *arg) {
    (void)arg;
    fault_at(el, (Loc){0}, 614, "the program has no entry");
    fault_help(el, "declare what can be called: entry predict(x: float[batch, 8]) -> (y: float[batch, 4]) { ... }");
    if (!el->options->check) fault_throw(el);
    elab_warn(el);
}

static void unknown_entry(Elab *el, void *arg) {
    Names names = {0};
    for (int i = 0; i < el->items.n; i++)
        if (ast_is(el->items.at[i], AST_ENTRY) || ast_is(el->items.at[i], AST_TRAIN))
            names_push(el, &names, el->items.at[i]->text);
    fault_at(el, (Loc){0}, 615, "--entries: there is no entry `%s`", (const char *)arg);
    fault_close(el, &names, arg);
    fault_throw(el);
}

void elab_entries(Elab *el) {
    int entries = 0;
    for (int i = 0; i < el->options->n_entries; i++) {
        bool found = false;
        for (int k = 0; k < el->items.n; k++) {
            const Ast *it = el->items.at[k];
            found = found || ((ast_is(it, AST_ENTRY) || ast_is(it, AST_TRAIN)) && !strcmp(it->text, el->options->entries[i]));
        }
        if (!found) elab_guard(el, unknown_entry, (void *)el->options->entries[i]);
    }
    for (int i = 0; i < el->items.n; i++) {
        const Ast *it = el->items.at[i];
        if (!ast_is(it, AST_ENTRY) && !ast_is(it, AST_TRAIN)) continue;
        entries++;
        run_entry(el, it);
        if (diag_full(el->diag)) return;
    }
    el->cx = (Context){0};
    el->entry = NULL;
    el->root = NULL;
    if (!entries && !diag_errors(el->diag)) elab_guard(el, no_entry, NULL);
}

static void unused_over(Elab *el, void *arg) {
    const Over *o = arg;
    fault(el, o->path, 503, "`with` finds nothing at `%s`", ast_text(el->arena, o->path));
    fault_throw(el);
}

void elab_overs_used(Elab *el) {
    for (int i = 0; i < el->overs.n; i++)
        if (!*el->overs.at[i]->used) elab_guard(el, unused_over, el->overs.at[i]);
}
