/* elaborate_quantize.c -- `quantize SEL [except SEL] with int8(...);`: which weights are to be stored in fewer bits.
 *
 * Here slots are marked only. What a mark becomes depends on how the weight is used, which the pass quantize knows. */
#include "frontend/elab.h"
#include "frontend/parse.h"

#include <string.h>

enum { GROUP_LEAST = 8, GROUP_MOST = 4096, GROUP_USUAL = 32 };

static void no_scheme(Elab *el, const Ast *n) __attribute__((noreturn));
static void no_scheme(Elab *el, const Ast *n) {
    fault(el, n, 702, "not a quantization scheme");
    fault_help(el, "there are int8(), int8(group = 64) and int4(group = 32)");
    fault_throw(el);
}

/* group = n: an even number, so that two elements of 4 bits make a byte. */
static int read_group(Elab *el, const Ast *n, Env *env) {
    Value v = ev_const(el, n, env);
    if (v.kind == V_INT && v.whole >= GROUP_LEAST && v.whole <= GROUP_MOST && v.whole % 2 == 0) return (int)v.whole;
    fault(el, n, 305, "`group` must be an even number from %d to %d", GROUP_LEAST, GROUP_MOST);
    fault_label(el, "group = %s", value_text(el, v));
    fault_throw(el);
}

static void read_option(Elab *el, const Ast *x, Env *env, Quant *q) {
    static const char *const known[] = {"group", "per_channel", "calibrate", "samples", "method"};
    const char *scheme = q->scheme == QUANT_INT8 ? "int8" : "int4";
    Names names = {0};
    int which = -1;
    if (!ast_is(x, AST_NAMED)) no_scheme(el, x);
    for (int k = 0; k < 5; k++) {
        names_push(el, &names, known[k]);
        if (!strcmp(known[k], x->text)) which = k;
    }
    if (which < 0) {
        fault(el, x, 303, "`%s` has no option `%s`", scheme, x->text);
        fault_close(el, &names, x->text);
        fault_throw(el);
    }
    if (which == 0) {
        q->group = read_group(el, ast_kid(x, 0), env);
        return;
    }
    if (which == 1) {
        Value v = ev_const(el, ast_kid(x, 0), env);
        if (v.kind == V_BOOL && v.truth) return;
    }
    not_yet(el, x, arena_printf(el->arena, "this option of `%s`", scheme));
}

static Quant read_scheme(Elab *el, const Ast *n, Env *env) {
    Quant q = {.loc = n->loc};
    const char *name = ast_is(n, AST_CALL) && ast_is(ast_kid(n, 0), AST_NAME) ? ast_kid(n, 0)->text : "";
    if (!strcmp(name, "int8")) q.scheme = QUANT_INT8;
    else if (!strcmp(name, "int4")) q = (Quant){QUANT_INT4, GROUP_USUAL, n->loc};
    else if (!strcmp(name, "fp8")) not_yet(el, n, "`fp8`");
    else no_scheme(el, n);
    const Ast *args = ast_kid(n, 1);
    for (int i = 0; i < args->n; i++) read_option(el, ast_kid(args, i), env, &q);
    return q;
}

void ev_quantize(Elab *el, const Ast *it, Env *env) {
    WeightList weights = {0};
    bool some = false;
    select_weights(el, ast_kid(it, 0), env, &weights);
    Quant q = read_scheme(el, ast_kid(it, 1), env);
    q.loc = it->loc;
    for (int i = 0; i < weights.n; i++) {
        SlotInfo *s = weight_slot(el, weights.at[i], it);
        if (s->kind != SLOT_PARAM || s->type.type.rank < 2) continue; /* biases, scales of norms: next to nothing */
        s->slot->quant = q;
        some = true;
    }
    if (some) return;
    fault(el, ast_kid(ast_kid(ast_kid(it, 0), 0), 0), 712, "there is no matrix to quantize in this selection");
    fault_help(el, "weights of products and embeddings are quantized; biases and the scales of norms stay as they are");
    fault_throw(el);
}

/* The last colon outside of brackets and parentheses. */
static const char *last_colon(const char *text) {
    const char *found = NULL;
    int depth = 0;
    for (const char *p = text; *p; p++) {
        depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
        if (*p == ':' && depth == 0) found = p;
    }
    return found;
}

static void bad_option(Elab *el, const char *text) {
    Report *r = diag_error(el->diag, (Loc){0}, 702, "--quantize=%s: a selection, a colon and a scheme are wanted", text);
    diag_help(r, "as in --quantize='net except net.head: int8'");
}

const Ast *quantize_option(Elab *el, const char *text) {
    const char *colon = last_colon(text);
    if (!colon) {
        bad_option(el, text);
        return NULL;
    }
    const char *scheme = colon + 1 + strspn(colon + 1, " ");
    char *line = (char *)arena_printf(el->arena, "quantize %.*s with %s%s;\n", (int)(colon - text), text, scheme,
                                      strchr(scheme, '(') ? "" : "()");
    const Source *source = source_memory(el->arena, "--quantize", "--quantize", line, strlen(line), false);
    Ast *file = parse_file(el->arena, source, el->diag);
    const Ast *items = file ? ast_kid(file, 0) : NULL;
    if (!file) return NULL;
    if (items->n == 1 && ast_is(ast_kid(items, 0), AST_QUANTIZE)) return ast_kid(items, 0);
    bad_option(el, text);
    return NULL;
}
