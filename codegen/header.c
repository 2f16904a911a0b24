/* header.c -- NAME.h: what a C program includes to use the model. Self-contained: the text of mdl.h, behind its own guard, then
 * the model's functions with their shapes beside them (LANGUAGE.md, section 11). */
#include "codegen/artifact.h"
#include "codegen/entry.h"
#include "codegen/memory.h"
#include "ir/embed.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *c_type(DType d) {
    switch (d) {
    case DT_F64: return "double";
    case DT_F32: return "float";
    case DT_F16:
    case DT_BF16: return "uint16_t";
    case DT_I64: return "int64_t";
    case DT_I32: return "int32_t";
    case DT_I16: return "int16_t";
    case DT_I8: return "int8_t";
    case DT_U32: return "uint32_t";
    case DT_U8:
    case DT_BOOL:
    case DT_F8E4M3:
    case DT_F8E5M2: return "uint8_t";
    case DT_I4:
    case DT_U4:
    case DT_COUNT: break;
    }
    bug("%s does not cross the C interface", dtype_name(d));
}

/* A parameter's name: that of the program, and an underscore where C (or the session) has taken it or an earlier parameter has
 * it. */
static const char *parameter_name(Arena *arena, const char *name, const char **taken, int n) {
    if (c_keyword(name) || !strcmp(name, "s")) name = arena_printf(arena, "%s_", name);
    for (int i = 0; i < n; i++) {
        if (strcmp(taken[i], name)) continue;
        name = arena_printf(arena, "%s_", name);
        i = -1;
    }
    return name;
}

/* "ids[batch * t]" of a tensor, nothing of a scalar. */
static void shape_comment(FILE *f, Arena *arena, const char *name, const Type *type, bool *first) {
    if (!type->rank) return;
    fprintf(f, "%s%s[", *first ? "   /* " : ", ", name);
    for (int i = 0; i < type->rank; i++) {
        const char *text = size_text(arena, type->dim[i]);
        bool sum = type->rank > 1 && strpbrk(text, "+-");
        fprintf(f, "%s%s%s%s", i ? " * " : "", sum ? "(" : "", text, sum ? ")" : "");
    }
    fputc(']', f);
    *first = false;
}

static void entry_declare(FILE *f, Arena *arena, const Program *p, const Entry *e) {
    int n_out = e->graph->results.n, n = 0, total = e->n_sizes + e->n_inputs + n_out;
    const char **names = NEW_ARRAY(arena, const char *, total + 1);
    fprintf(f, "int %s(mdl_session *s", entry_symbol(arena, p, e));
    for (int i = 0; i < e->n_sizes; i++, n++) {
        names[n] = parameter_name(arena, e->sizes[i]->name, names, n);
        fprintf(f, ", int64_t %s", names[n]);
    }
    for (int i = 0; i < e->n_inputs; i++, n++) {
        const Type *t = &e->inputs[i].type;
        names[n] = parameter_name(arena, e->inputs[i].name, names, n);
        fprintf(f, t->rank ? ", const %s *%s" : ", %s %s", c_type(t->dtype), names[n]);
    }
    for (int i = 0; i < n_out; i++, n++) {
        names[n] = parameter_name(arena, e->graph->results.at[i].name, names, n);
        fprintf(f, ", %s *%s", c_type(e->graph->results.at[i].value->type.dtype), names[n]);
    }
    fputs(");", f);
    bool first = true;
    for (int i = 0; i < e->n_inputs; i++) shape_comment(f, arena, names[e->n_sizes + i], &e->inputs[i].type, &first);
    for (int i = 0; i < n_out; i++)
        shape_comment(f, arena, names[e->n_sizes + e->n_inputs + i], &e->graph->results.at[i].value->type, &first);
    fputs(first ? "\n" : " */\n", f);
}

static const char *upper(Arena *arena, const char *text) {
    char *copy = arena_copy(arena, text, strlen(text));
    for (char *c = copy; *c; c++) *c = (char)toupper((unsigned char)*c);
    return copy;
}

/* The arena of each entry: a macro where its size is fixed, a remark where it follows from run-time sizes. */
static void arenas_declare(FILE *f, Arena *arena, const Program *p, Plan *const *entries) {
    fprintf(f,
            "/* Bytes of arena that a call needs; %s_model()->bytes(entry, sizes) says it at run time, with the session's own. "
            "*/\n",
            p->name);
    for (int i = 0; i < p->entries.n; i++) {
        const Entry *e = p->entries.at[i];
        int64_t bytes;
        if (entry_arena_static(entries[i], &bytes)) {
            fprintf(f, "#define %s_ARENA_%s %lldu\n", upper(arena, p->name), upper(arena, e->name), (long long)bytes);
            continue;
        }
        fprintf(f, "/* %s: %s */\n", e->name, plan_arena_text(arena, entries[i]));
    }
}

/* What a caller must bring in mdl_options.memory. */
static void memory_declare(FILE *f, Arena *arena, const Program *p, const Artifact *a) {
    SessionMemory memory;
    const char *name = upper(arena, p->name);
    if (!a || !artifact_memory(a, &memory) || memory.opened < 0) return;
    fprintf(f,
            "\n/* Bytes, to the last one. Weights lie in the library, or in the file beside it, and are used there. Memory that the caller brings\n"
            " * (mdl_options.memory), with one thread: for open; for that and calls of an entry, where they do not follow from run-time sizes. */\n"
            "#define %s_WEIGHTS %lldu\n#define %s_SESSION %lldu\n",
            name, (long long)memory.weights, name, (long long)memory.opened);
    for (int i = 0; i < p->entries.n; i++)
        if (memory.called[i] >= 0) fprintf(f, "#define %s_MEMORY_%s %lldu\n", name, upper(arena, p->entries.at[i]->name), (long long)memory.called[i]);
}

/* Is this a function of the program, and so not ours? */
static bool has_entry(Arena *arena, const Program *p, const char *name) {
    const char *symbol = arena_printf(arena, "%s_%s", p->name, name);
    for (int i = 0; i < p->entries.n; i++)
        if (!strcmp(entry_symbol(arena, p, p->entries.at[i]), symbol)) return true;
    return false;
}

Bytes artifact_header(Arena *arena, const Program *p, Plan *const *entries, bool selftest, const Artifact *a) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) bug("no memory for the header");
    const char *guard = upper(arena, p->name);
    fprintf(f,
            "/* %s.h -- made by modelc %s; do not edit. The functions of the model %s; what is common to all models is the "
            "first half. */\n",
            p->name, MODELC_VERSION, p->name);
    fprintf(f, "#ifndef MDL_MODEL_%s_H\n#define MDL_MODEL_%s_H\n\n", guard, guard);
    fwrite(embedded_header[0].text, 1, embedded_header[0].length, f);
    fprintf(f, "\n/* ---- %s ---- */\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", p->name);
    fprintf(f, "const mdl_model *%s_model(void);\n", p->name);
    fprintf(
        f,
        "int %s_open(mdl_session **s, const mdl_options *options); /* options NULL: the defaults. The end: mdl_close(s) */\n\n",
        p->name);
    if (!has_entry(arena, p, "load"))
        fprintf(f,
            "/* New weights from a .safetensors or a checkpoint: all of them, or, where the file is damaged or another model's, none. */\n"
            "static inline int %s_load(mdl_session *s, const char *path) { return mdl_load(s, path); }\n\n", p->name);
    if (selftest) {
        fputs("/* Calls entries on recorded samples: MDL_OK, or what went wrong, with the first layer that is wrong and by how much of its\n"
              " * largest value. For a session as it was opened, with seed 0; its caches are reset. NULL is fine for both. */\n", f);
        fprintf(f, "static inline int %s_selftest(mdl_session *s, const char **first_wrong_layer, double *error) {\n"
                   "    return mdl_of(s)->selftest(s, first_wrong_layer, error);\n}\n\n", p->name);
    }
    fputs("/* Sizes, inputs, results; each returns MDL_OK or a code, and mdl_error(s) says what was wrong. */\n", f);
    for (int i = 0; i < p->entries.n; i++) entry_declare(f, arena, p, p->entries.at[i]);
    fputc('\n', f);
    arenas_declare(f, arena, p, entries);
    memory_declare(f, arena, p, a);
    fputs("\n#ifdef __cplusplus\n}\n#endif\n#endif\n", f);
    if (fclose(f)) bug("no memory for the header");
    Bytes result = {arena_copy(arena, text, n), n};
    free(text);
    return result;
}
