/* elaborate_pattern.c -- rearrange and einsum: patterns such as "b t (heads hd) -> b heads t hd".
 *
 * A name that the program knows (a const, config, dim or argument) has that size; the others follow from the tensors. A pattern
 * is read into terms of groups: one group an axis, more than one name in it where axes are merged. `...` becomes names of its
 * own. */
#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

enum { MOST = 32 };

typedef struct Group {
    const char *name[MAX_RANK];
    int n;
    bool pack, merged;
} Group;

typedef struct Term {
    Group group[MOST];
    int n;
} Term;

typedef struct Pattern {
    Term left[8], right;
    int n_left;
    const char *text;
    const Ast *node;
} Pattern;

typedef struct Sizes {
    LIST(const char *) name;
    LIST(Size) size;
    Pack pack;
    bool has_pack;
    const Call *call;
} Sizes;

static void bad_pattern(Elab *el, const Pattern *p, const char *what) __attribute__((noreturn));
static void bad_pattern(Elab *el, const Pattern *p, const char *what) {
    fault(el, p->node, 701, "%s", what);
    fault_label(el, "\"%s\"", p->text);
    fault_throw(el);
}

static bool is_one(const char *name) {
    return !strcmp(name, "1");
}

/* ---- reading */

static void read_pattern(Elab *el, Pattern *p, const Arg *a) {
    *p = (Pattern){.node = a->node};
    if (a->value.kind != V_STR) {
        fault(el, a->node, 305, "a pattern is a string");
        fault_label(el, "such as \"b (h d) -> b h d\"");
        fault_throw(el);
    }
    p->text = a->value.text;
    Term *t = &p->left[0];
    Group *open = NULL;
    bool arrow = false;
    p->n_left = 1;
    for (const char *s = p->text; *s;) {
        if (isspace((unsigned char)*s)) {
            s++;
        } else if (s[0] == '-' && s[1] == '>' && !open) {
            if (arrow) bad_pattern(el, p, "a pattern has one `->`");
            arrow = true;
            t = &p->right;
            s += 2;
        } else if (*s == ',' && !open && !arrow) {
            if (p->n_left == 8) bad_pattern(el, p, "a pattern has at most 8 operands");
            t = &p->left[p->n_left++];
            s++;
        } else if (*s == '(' && !open) {
            if (t->n == MOST) bad_pattern(el, p, "a pattern has too many axes");
            open = &t->group[t->n++];
            *open = (Group){.merged = true};
            s++;
        } else if (*s == ')' && open) {
            open = NULL;
            s++;
        } else if (!strncmp(s, "...", 3) && !open) {
            if (t->n == MOST) bad_pattern(el, p, "a pattern has too many axes");
            t->group[t->n++] = (Group){.pack = true};
            s += 3;
        } else if (isalnum((unsigned char)*s) || *s == '_') {
            const char *end = s;
            while (isalnum((unsigned char)*end) || *end == '_') end++;
            const char *name = arena_copy(el->arena, s, (size_t)(end - s));
            if (isdigit((unsigned char)*s) && !is_one(name)) bad_pattern(el, p, "a pattern has names and 1, no other numbers");
            if (!open && t->n == MOST) bad_pattern(el, p, "a pattern has too many axes");
            Group *g = open ? open : &t->group[t->n++];
            if (g->n == MAX_RANK) bad_pattern(el, p, "a pattern has too many axes in parentheses");
            g->name[g->n++] = name;
            s = end;
        } else {
            bad_pattern(el, p, "this is not a pattern");
        }
    }
    if (open) bad_pattern(el, p, "`(` is never closed in the pattern");
    if (!arrow) bad_pattern(el, p, "a pattern has one `->`");
}

static void term_names(Elab *el, const Term *t, Names *out) {
    for (int i = 0; i < t->n; i++) {
        if (t->group[i].pack) PUSH(el->arena, *out, "...");
        for (int k = 0; k < t->group[i].n; k++) PUSH(el->arena, *out, t->group[i].name[k]);
    }
}

static int count_name(const Names *names, const char *name) {
    int n = 0;
    for (int i = 0; i < names->n; i++) n += !strcmp(names->at[i], name);
    return n;
}

static const char *group_text(Elab *el, const Group *g) {
    if (g->pack) return "...";
    const char *text = "";
    for (int i = 0; i < g->n; i++) text = arena_printf(el->arena, "%s%s%s", text, i ? " " : "", g->name[i]);
    return g->merged ? arena_printf(el->arena, "(%s)", text) : text;
}

static const char *term_text(Elab *el, const Term *t) {
    const char *text = "";
    for (int i = 0; i < t->n; i++) text = arena_printf(el->arena, "%s%s%s", text, i ? " " : "", group_text(el, &t->group[i]));
    return text;
}

/* ---- sizes */

static Size known_size(const Sizes *s, const char *name) {
    for (int i = 0; i < s->name.n; i++)
        if (!strcmp(s->name.at[i], name)) return s->size.at[i];
    return NULL;
}

static void set_size(Elab *el, Sizes *s, const char *name, Size size) {
    PUSH(el->arena, s->name, name);
    PUSH(el->arena, s->size, size);
}

static const Arg *given_size(const Sizes *s, const char *name) {
    for (int i = 0; s->call && i < s->call->rest.n; i++)
        if (s->call->rest.at[i].name && !strcmp(s->call->rest.at[i].name, name)) return &s->call->rest.at[i];
    return NULL;
}

/* The size that the program or the call gives a name already, or NULL. */
static Size program_size(Elab *el, const Sizes *s, const char *name, const Ast *node) {
    if (is_one(name)) return emit_size_const(el, 1);
    const Arg *given = given_size(s, name);
    Size told = given ? need_size(el, given, "a size") : NULL;
    Env *e = el->cx.env ? env_find(el, el->cx.env, name) : NULL;
    Var *own = e ? env_own(e, name) : NULL;
    Value v = value_none();
    if (own && !own->pending) v = own->value;
    if (e && !own && e->inst) {
        InstDim *d = inst_dim(e->inst, name);
        if (d && d->size) v = value_size(d->size);
        if (!d) v = inst_get(el, e->inst, name, node);
    }
    if (!is_size(v)) return told;
    Size have = value_as_size(el, v);
    if (told && told != have) {
        fault(el, given->node, 215, "`%s` is %s in this program, but the pattern is told %s", name, size_text(el->arena, have),
              size_text(el->arena, told));
        fault_help(el, "leave it out, or use another name in the pattern");
        fault_throw(el);
    }
    return have;
}

static void fit_group(Elab *el, Sizes *s, const Pattern *p, const Group *g, Size d, const char *which, Value x) {
    const char *unknown = NULL;
    Size known = emit_size_const(el, 1);
    for (int i = 0; i < g->n; i++) {
        Size size = known_size(s, g->name[i]);
        if (!size) {
            size = program_size(el, s, g->name[i], p->node);
            if (size && !is_one(g->name[i])) set_size(el, s, g->name[i], size);
        }
        if (size) {
            known = size_mul(known, size);
        } else if (unknown) {
            fault(el, p->node, 701, "the sizes of `%s` and `%s` in %s cannot both be inferred", unknown, g->name[i],
                  group_text(el, g));
            fault_label(el, "their product is %s", size_text(el->arena, d));
            fault_help(el, "give one: rearrange(..., %s = ...)", g->name[i]);
            fault_throw(el);
        } else {
            unknown = g->name[i];
        }
    }
    Size rest;
    if (unknown && size_divides(d, known, &rest)) {
        set_size(el, s, unknown, rest);
        return;
    }
    if (!unknown && known == d) return;
    if (unknown) {
        fault(el, p->node, 215, "%s does not divide by %s, so `%s` in %s has no size", size_text(el->arena, d),
              size_text(el->arena, known), unknown, group_text(el, g));
    } else if (g->n == 1) {
        fault(el, p->node, 215, "`%s` is %s in the pattern, but this dimension of %s is %s", g->name[0],
              size_text(el->arena, known), which, size_text(el->arena, d));
    } else {
        fault(el, p->node, 215, "%s is %s in the pattern, but this dimension of %s is %s", group_text(el, g),
              size_text(el->arena, known), which, size_text(el->arena, d));
    }
    fault_fact(el, "%s is %s", which, tensor_text(el, x));
    fault_throw(el);
}

static void fit_term(Elab *el, Sizes *s, const Pattern *p, const Term *t, Value x, const char *which) {
    int rank = tensor_rank(x), pack = -1;
    const Size *dim = tensor_type(x)->dim;
    for (int i = 0; i < t->n; i++) {
        if (!t->group[i].pack) continue;
        if (pack >= 0) bad_pattern(el, p, "`...` stands twice in one term");
        pack = i;
    }
    if (pack < 0 ? t->n != rank : t->n - 1 > rank) {
        fault(el, p->node, 701, "the pattern \"%s\" names %d dimension%s, but %s has %d", term_text(el, t), t->n,
              t->n == 1 ? "" : "s", which, rank);
        fault_fact(el, "%s is %s", which, tensor_text(el, x));
        fault_throw(el);
    }
    int axis = 0;
    for (int i = 0; i < t->n; i++) {
        if (i != pack) {
            fit_group(el, s, p, &t->group[i], dim[axis++], which, x);
            continue;
        }
        Pack found = {.rank = rank - t->n + 1};
        for (int k = 0; k < found.rank; k++) found.dim[k] = dim[axis++];
        if (s->has_pack && !dims_equal(found.rank, found.dim, s->pack.rank, s->pack.dim)) {
            fault(el, p->node, 215, "`...` is [%s] before, but [%s] in %s", dims_text(el, s->pack.rank, s->pack.dim),
                  dims_text(el, found.rank, found.dim), which);
            fault_throw(el);
        }
        s->pack = found;
        s->has_pack = true;
    }
}

/* ---- rearrange */

typedef struct Flat { /* names one by one, `...` resolved to ".0", ".1" */
    const char *name[MOST];
    Size size[MOST];
    int n;
} Flat;

static Flat flatten(Elab *el, const Pattern *p, const Sizes *s, const Term *t) {
    Flat f = {0};
    for (int i = 0; i < t->n; i++) {
        const Group *g = &t->group[i];
        int count = g->pack ? s->pack.rank : g->n;
        for (int k = 0; k < count; k++) {
            if (!g->pack && is_one(g->name[k])) continue;
            if (f.n == MOST) bad_pattern(el, p, "a pattern has too many axes");
            f.name[f.n] = g->pack ? arena_printf(el->arena, ".%d", k) : g->name[k];
            f.size[f.n++] = g->pack ? s->pack.dim[k] : known_size(s, g->name[k]);
        }
    }
    return f;
}

static int term_shape(Elab *el, const Pattern *p, const Sizes *s, const Term *t, Size *dim) {
    int rank = 0;
    for (int i = 0; i < t->n; i++) {
        const Group *g = &t->group[i];
        Size size = emit_size_const(el, 1);
        for (int k = 0; k < g->n; k++)
            if (!is_one(g->name[k])) size = size_mul(size, known_size(s, g->name[k]));
        int count = g->pack ? s->pack.rank : 1;
        for (int k = 0; k < count; k++) {
            if (rank == MAX_RANK) bad_pattern(el, p, "a pattern has too many axes");
            dim[rank++] = g->pack ? s->pack.dim[k] : size;
        }
    }
    return rank;
}

static void check_both_sides(Elab *el, const Pattern *p) {
    Names left = {0}, right = {0};
    term_names(el, &p->left[0], &left);
    term_names(el, &p->right, &right);
    for (int i = 0; i < right.n; i++) {
        if (is_one(right.at[i]) || count_name(&left, right.at[i])) continue;
        fault(el, p->node, 701, "`%s` is on the right of the pattern only", right.at[i]);
        fault_label(el, "\"%s\"", p->text);
        fault_close(el, &left, right.at[i]);
        fault_throw(el);
    }
    for (int i = 0; i < left.n; i++) {
        if (is_one(left.at[i])) continue;
        if (count_name(&left, left.at[i]) > 1 || count_name(&right, left.at[i]) > 1)
            bad_pattern(el, p, arena_printf(el->arena, "`%s` occurs twice on one side", left.at[i]));
        if (count_name(&right, left.at[i])) continue;
        fault(el, p->node, 701, "`%s` is lost: it is on the left of the pattern only", left.at[i]);
        fault_label(el, "\"%s\"", p->text);
        fault_close(el, &right, left.at[i]);
        fault_help(el, "to sum or average over it, use sum or mean");
        fault_throw(el);
    }
}

static Value fn_rearrange(Elab *el, Call *c) {
    if (c->n < 2 || c->rest.at[0].name || c->rest.at[1].name) {
        fault(el, c->node, 302, "rearrange takes a tensor and a pattern");
        fault_throw(el);
    }
    need_tensor(el, &c->rest.at[0]);
    Value x = c->rest.at[0].value;
    Pattern p;
    read_pattern(el, &p, &c->rest.at[1]);
    if (p.n_left != 1) bad_pattern(el, &p, "rearrange has one operand");
    check_both_sides(el, &p);
    Names names = {0};
    term_names(el, &p.left[0], &names);
    for (int i = 2; i < c->n; i++) {
        if (c->rest.at[i].name && count_name(&names, c->rest.at[i].name)) continue;
        fault(el, c->rest.at[i].node, 303, "the pattern has no `%s`", c->rest.at[i].name ? c->rest.at[i].name : "...");
        fault_fact(el, "\"%s\"", p.text);
        fault_throw(el);
    }
    Sizes sizes = {.call = c};
    fit_term(el, &sizes, &p, &p.left[0], x, "the tensor");
    Flat l = flatten(el, &p, &sizes, &p.left[0]), r = flatten(el, &p, &sizes, &p.right);
    if (l.n > MAX_RANK) bad_pattern(el, &p, "a pattern has too many axes");
    int order[MAX_RANK];
    for (int i = 0; i < r.n; i++)
        for (int k = 0; k < l.n; k++)
            if (!strcmp(l.name[k], r.name[i])) order[i] = k;
    Size dim[MAX_RANK];
    int rank = term_shape(el, &p, &sizes, &p.right, dim);
    Node *split = emit_reshape(el, x.node, l.n, l.size);
    return like(x, emit_reshape(el, emit_permute(el, split, order), rank, dim));
}

/* ---- einsum */

typedef struct Letters { /* one letter an axis, the same for the same name */
    LIST(const char *) name;
} Letters;

static char letter(Elab *el, Letters *l, const char *name) {
    for (int i = 0; i < l->name.n; i++)
        if (!strcmp(l->name.at[i], name)) return i < 26 ? (char)('a' + i) : (char)('A' + i - 26);
    PUSH(el->arena, l->name, name);
    int i = l->name.n - 1;
    return i < 26 ? (char)('a' + i) : (char)('A' + i - 26);
}

static void labels(Elab *el, const Pattern *p, const Sizes *s, Letters *l, const Term *t, char *out) {
    Flat f = flatten(el, p, s, t);
    if (f.n > MAX_RANK) bad_pattern(el, p, "a pattern has too many axes");
    for (int i = 0; i < f.n; i++) out[i] = letter(el, l, f.name[i]);
    out[f.n] = 0;
}

static void check_einsum(Elab *el, const Pattern *p) {
    Names all = {0}, right = {0};
    for (int i = 0; i < p->n_left; i++) {
        Names own = {0};
        term_names(el, &p->left[i], &own);
        term_names(el, &p->left[i], &all);
        for (int k = 0; k < own.n; k++)
            if (count_name(&own, own.at[k]) > 1)
                bad_pattern(el, p, arena_printf(el->arena, "`%s` stands twice in one operand; use diagonal", own.at[k]));
    }
    term_names(el, &p->right, &right);
    for (int i = 0; i < all.n; i++) {
        if (is_one(all.at[i])) bad_pattern(el, p, "einsum has no 1");
        if (!strcmp(all.at[i], "...") || count_name(&all, all.at[i]) > 1 || count_name(&right, all.at[i])) continue;
        Names others = {0};
        for (int k = 0; k < all.n; k++)
            if (strcmp(all.at[k], all.at[i])) names_push(el, &others, all.at[k]);
        for (int k = 0; k < right.n; k++) names_push(el, &others, right.at[k]);
        fault(el, p->node, 701, "`%s` occurs once and is not in the result", all.at[i]);
        fault_label(el, "\"%s\"", p->text);
        fault_close(el, &others, all.at[i]);
        fault_help(el, "to sum over it alone, use sum(...)");
        fault_throw(el);
    }
    for (int i = 0; i < right.n; i++) {
        if (count_name(&right, right.at[i]) > 1)
            bad_pattern(el, p, arena_printf(el->arena, "`%s` occurs twice in the result", right.at[i]));
        if (count_name(&all, right.at[i])) continue;
        fault(el, p->node, 701, "`%s` is in the result only", right.at[i]);
        fault_label(el, "\"%s\"", p->text);
        fault_close(el, &all, right.at[i]);
        fault_throw(el);
    }
    for (int i = 0; i <= p->n_left; i++) {
        const Term *t = i < p->n_left ? &p->left[i] : &p->right;
        for (int k = 0; k < t->n; k++)
            if (t->group[k].merged) bad_pattern(el, p, "einsum has no ( )");
    }
}

static Value fn_einsum(Elab *el, Call *c) {
    if (c->n < 2) {
        fault(el, c->node, 302, "einsum takes a pattern and tensors");
        fault_throw(el);
    }
    Pattern p;
    read_pattern(el, &p, &c->rest.at[0]);
    check_einsum(el, &p);
    int n = c->n - 1;
    if (p.n_left != n) {
        fault(el, p.node, 701, "the pattern has %d operand%s, but %d %s given", p.n_left, p.n_left == 1 ? "" : "s", n,
              n == 1 ? "is" : "are");
        fault_label(el, "\"%s\"", p.text);
        fault_throw(el);
    }
    Value *v = NEW_ARRAY(el->arena, Value, n);
    const Ast **nodes = NEW_ARRAY(el->arena, const Ast *, n);
    Sizes sizes = {0};
    for (int i = 0; i < n; i++) {
        need_tensor(el, &c->rest.at[i + 1]);
        v[i] = c->rest.at[i + 1].value;
        nodes[i] = c->rest.at[i + 1].node;
        fit_term(el, &sizes, &p, &p.left[i], v[i], arena_printf(el->arena, "operand %d", i + 1));
    }
    Common t = common_type(el, c->node, n, v, nodes);
    Letters letters = {0};
    char side[8][MAX_RANK + 1], result[MAX_RANK + 1];
    for (int i = 0; i < n; i++) labels(el, &p, &sizes, &letters, &p.left[i], side[i]);
    labels(el, &p, &sizes, &letters, &p.right, result);
    if (n == 1) { /* nothing is summed: each name is in the result */
        int order[MAX_RANK];
        for (int i = 0; result[i]; i++) order[i] = (int)(strchr(side[0], result[i]) - side[0]);
        return value_tensor(emit_permute(el, v[0].node, order), t.policy);
    }
    Node *product = emit_cast(el, v[0].node, t.dtype);
    char have[2 * MAX_RANK + 1];
    strcpy(have, side[0]);
    for (int i = 1; i < n; i++) { /* left to right; a name goes when nobody behind needs it */
        char out[2 * MAX_RANK + 1] = "";
        int count = 0;
        const char *both[] = {have, side[i]};
        for (int k = 0; k < 2 && i < n - 1; k++)
            for (const char *x = both[k]; *x; x++) {
                bool later = strchr(result, *x) != NULL;
                for (int q = i + 1; q < n; q++) later = later || strchr(side[q], *x);
                if (later && !strchr(out, *x)) {
                    out[count++] = *x;
                    out[count] = 0;
                }
            }
        if (i == n - 1) strcpy(out, result);
        if (strlen(out) > MAX_RANK) {
            fault(el, c->node, 205, "a tensor has at most %d dimensions", MAX_RANK);
            fault_label(el, "the product of the first %d has %zu", i + 1, strlen(out));
            fault_help(el, "order the operands so that names leave early, or take two steps");
            fault_throw(el);
        }
        product = emit_contract(el, product, emit_cast(el, v[i].node, t.dtype), have, side[i], out);
        strcpy(have, out);
    }
    return value_tensor(product, t.policy);
}

const Builtin builtins_pattern[] = {
    {"rearrange", "*", fn_rearrange},
    {"einsum", "*", fn_einsum},
    {NULL, NULL, NULL},
};
