/* elaborate_fault.c -- the user's faults: collecting the facts of a message, and leaving by longjmp.
 *
 * A fault whose innermost place is in the library is reported at the innermost place of the user that led there, with the
 * library's line as a fact. A fault inside a list of layers shows the trail of shapes. Both are known from the call trace,
 * el->cx.frame. */
#include "frontend/elab.h"

#include <string.h>

Loc caret(const Ast *n) {
    switch (n->kind) {
    case AST_CALL:
    case AST_INDEX:
    case AST_PAREN:
    case AST_TUPLE:
    case AST_COMP:
    case AST_LIST:
    case AST_WINDOW:
    case AST_TYPE:
    case AST_LISTTYPE: return n->span;
    default: return n->loc;
    }
}

static Loc user_place(Elab *el, Loc at, bool *library) {
    *library = false;
    if (!at.source || !at.source->library) return at;
    *library = true;
    for (Frame *f = el->cx.frame; f; f = f->up)
        if (f->call && f->call->loc.source && !f->call->loc.source->library) return caret(f->call);
    return el->cx.user;
}

static Fault *begin(Elab *el, Loc at, int code, const char *format, va_list ap) {
    Fault *f = &el->fault;
    *f = (Fault){.code = code, .inner = at};
    f->at = user_place(el, at, &f->library);
    f->message = arena_vprintf(el->arena, format, ap);
    return f;
}

Fault *fault_at(Elab *el, Loc at, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    Fault *f = begin(el, at, code, format, ap);
    va_end(ap);
    return f;
}

Fault *fault(Elab *el, const Ast *at, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    Fault *f = begin(el, at ? caret(at) : (Loc){0}, code, format, ap);
    va_end(ap);
    return f;
}

void fault_label(Elab *el, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    el->fault.label = arena_vprintf(el->arena, format, ap);
    va_end(ap);
}

void fault_fact(Elab *el, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(el->arena, format, ap);
    va_end(ap);
    for (int i = 0; i < el->fault.facts.n; i++)
        if (!strcmp(el->fault.facts.at[i], text)) return;
    PUSH(el->arena, el->fault.facts, text);
}

void fault_help(Elab *el, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    PUSH(el->arena, el->fault.helps, arena_vprintf(el->arena, format, ap));
    va_end(ap);
}

void fault_close(Elab *el, const Names *names, const char *name) {
    const char *near = names_closest(names, name);
    if (near) fault_help(el, "did you mean `%s`?", near);
}

void fault_place(Elab *el, const Ast *at, const char *format, ...) {
    if (!at || !at->loc.source || at->loc.source->library) return;
    va_list ap;
    va_start(ap, format);
    PUSH(el->arena, el->fault.place, caret(at));
    PUSH(el->arena, el->fault.place_label, arena_vprintf(el->arena, format, ap));
    va_end(ap);
}

/* The last four steps through the innermost list of layers, and the one that failed. */
static void add_trail(Elab *el) {
    Frame *f = el->cx.frame;
    while (f && !f->list) f = f->up;
    if (!f || f->x.kind != V_TENSOR) return;
    const char *fails = arena_printf(el->arena, "%s.%d %s", f->list->path, f->at, value_text(el, f->list->item.at[f->at]));
    int width = (int)strlen(fails);
    for (int i = 0; i < f->trail.n; i += 2)
        if ((int)strlen(f->trail.at[i]) > width) width = (int)strlen(f->trail.at[i]);
    int first = f->trail.n > 8 ? f->trail.n - 8 : 0;
    for (int i = first; i < f->trail.n; i += 2) fault_fact(el, "%-*s  %s", width, f->trail.at[i], f->trail.at[i + 1]);
    fault_fact(el, "%-*s  fails on %s", width, fails, tensor_text(el, f->x));
}

static void add_library_line(Elab *el) {
    const Source *s = el->fault.inner.source;
    int line, column;
    loc_line_column(el->fault.inner, &line, &column);
    int begin_ = el->fault.inner.begin, end = begin_;
    while (begin_ > 0 && s->text[begin_ - 1] != '\n') begin_--;
    while ((size_t)end < s->length && s->text[end] != '\n') end++;
    while (begin_ < end && s->text[begin_] == ' ') begin_++;
    fault_fact(el, "in %s:%d: %.*s", s->name, line, end - begin_, s->text + begin_);
}

static void report(Elab *el, bool warning) {
    Fault *f = &el->fault;
    Report *r = warning ? diag_warning(el->diag, f->at, f->code, "%s", f->message)
                        : diag_error(el->diag, f->at, f->code, "%s", f->message);
    if (f->label && !f->library) diag_label(r, "%s", f->label);
    for (int i = 0; i < f->place.n; i++) diag_place(r, f->place.at[i], "%s", f->place_label.at[i]);
    for (int i = 0; i < f->facts.n; i++) diag_fact(r, "%s", f->facts.at[i]);
    for (int i = 0; i < f->helps.n; i++) diag_help(r, "%s", f->helps.at[i]);
}

void fault_silent(Elab *el) {
    if (!el->catch) bug("a fault outside of elab_guard");
    longjmp(*el->catch, 1);
}

void fault_throw(Elab *el) {
    add_trail(el);
    if (el->fault.library) add_library_line(el);
    report(el, false);
    fault_silent(el);
}

void elab_warn(Elab *el) {
    report(el, true);
}

void elab_error(Elab *el) {
    report(el, false);
}

void not_yet(Elab *el, const Ast *at, const char *what) {
    fault(el, at, 900, "%s is not supported yet", what);
    fault_throw(el);
}

bool elab_guard(Elab *el, void (*f)(Elab *el, void *arg), void *arg) {
    Context saved = el->cx;
    jmp_buf *outer = el->catch, here;
    int depth = el->depth, making = el->making.n;
    el->catch = &here;
    if (setjmp(here) == 0) {
        f(el, arg);
        el->catch = outer;
        return true;
    }
    el->catch = outer;
    el->cx = saved;
    el->depth = depth;
    while (el->making.n > making) el->making.at[--el->making.n]->broken = true;
    return false;
}
