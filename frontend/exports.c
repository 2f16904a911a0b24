/* exports.c -- the names of the C functions of a program: NAME_ENTRY, or what @export says. Each must be one that a C program
 * can call and that nothing else in the library has. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

/* What a name must not be, and why; NULL: it is one for C. (What the runtime calls in the C library is known to who links.) */
static const char *no_name(const char *name) {
    bool word = isalpha((unsigned char)*name);
    for (const char *c = name; *c; c++) word = word && (isalnum((unsigned char)*c) || *c == '_');
    if (!word) return "a letter comes first, then letters, digits and _";
    if (c_keyword(name)) return "it is a keyword of C or C++";
    if (!strcmp(name, "main")) return "a C program begins there";
    return strncmp(name, "mdl_", 4) ? NULL : "names with mdl_ belong to the runtime";
}

const char *export_name(Elab *el, const Ast *entry) {
    const Ast *a = ast_attr(entry, "export");
    if (!a) return NULL;
    const Ast *args = ast_kid(a, 0);
    if (args->n != 1 || !ast_is(ast_kid(args, 0), AST_STR)) {
        fault(el, a, 105, "`@export` takes one string, the name of the C function");
        fault_help(el, "@export(\"%s\")", entry->text);
        fault_throw(el);
    }
    const char *name = ast_kid(args, 0)->text, *why = no_name(name);
    if (!why) return name;
    fault(el, ast_kid(args, 0), 616, "no C function can be called \"%s\"", name);
    fault_label(el, "%s", why);
    fault_throw(el);
}

/* Each entry becomes a C function, beside the two that every model has. */
void exports_check(const Program *p, Diag *diag) {
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i], *other = NULL;
        const char *symbol = entry_symbol(p->arena, p, e);
        for (int k = 0; k < i && !other; k++)
            if (!strcmp(entry_symbol(p->arena, p, p->entries.at[k]), symbol)) other = p->entries.at[k];
        bool taken = !strcmp(symbol, arena_printf(p->arena, "%s_open", p->name)) ||
                     !strcmp(symbol, arena_printf(p->arena, "%s_model", p->name));
        if (!other && !taken) continue;
        Report *r = e->symbol ? diag_error(diag, e->loc, 616, "the C function of `%s` cannot be called `%s`", e->name, symbol)
                              : diag_error(diag, e->loc, 616, "an entry cannot be called `%s`", e->name);
        if (other) diag_fact(r, "the C function of `%s` is called so already", other->name);
        else if (e->symbol) diag_fact(r, "every library has a %s already", symbol);
        else diag_fact(r, "its C function would be %s, which every library has already", symbol);
    }
}
