/* mdlrun_model.c -- the artifact in this process: loaded after its description was verified, a session with the weights the
 * user asked for, weights saved, whole or by selection. */
#include "runtime/mdlrun.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

static void log_line(void *context, int level, const char *line) {
    Tool *t = context;
    if (level == 0 && t->o.quiet) return;
    fflush(stdout);
    fprintf(stderr, "%s%s\n", level ? "warning: " : "", line);
}

/* What this program runs on, as ELF numbers it. */
#if defined __x86_64__
enum { OUR_MACHINE = EM_X86_64 };
#elif defined __aarch64__
enum { OUR_MACHINE = EM_AARCH64 };
#else
#error "which ELF machine is this?"
#endif

/* The loader would say no more than that it cannot open the file. */
static void machine_check(Tool *t, const char *path) {
    unsigned char head[EI_NIDENT + 4] = {0}; /* up to e_machine, which lies behind e_type */
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) fclose(f);
    if (n != sizeof head || (head[EI_NIDENT + 2] | head[EI_NIDENT + 3] << 8) == OUR_MACHINE) return;
    const char *target = json_string_value(json_object_get(t->meta, "target"));
    tool_fail(t, EXIT_INPUT, "%s was compiled for %s, another processor than this one; info reads it, nothing else", path,
              target ? target : "an unknown target");
}

void model_load(Tool *t, const char *path) {
    t->artifact = path;
    t->meta = meta_read(t, path);
    machine_check(t, path);
    cut_watch(t->program);
    char *real = realpath(path, NULL); /* dlopen searches its own folders for a name without a slash */
    if (!real) tool_fail(t, EXIT_INPUT, "cannot open %s", path);
    /* Never closed: threads of a session may outlive it by an instant, and the process ends soon. */
    void *library = dlopen(real, RTLD_NOW | RTLD_LOCAL);
    free(real);
    if (!library) tool_fail(t, EXIT_INPUT, "cannot load %s: %s", path, dlerror());
    mdl_model_function *table = NULL;
    *(void **)&table = dlsym(library, MDL_MODEL_SYMBOL);
    if (!table) tool_fail(t, EXIT_INPUT, "%s is not an artifact of modelc: it has no " MDL_MODEL_SYMBOL, path);
    t->model = table();
    if (!t->model || t->model->abi != MDL_ABI || t->model->size < offsetof(mdl_model, note))
        tool_fail(t, EXIT_INPUT, "%s was made by another version of modelc: its ABI is not %d", path, MDL_ABI);
    if (t->model->run) t->run = json_loads(t->model->run, 0, NULL);
}

void model_open(Tool *t) {
    uint32_t flags = (t->o.profile ? MDL_PROFILE : 0) | (t->o.check_nan ? MDL_CHECK_NUMBERS : 0) | (t->o.copy_weights ? MDL_COPY_WEIGHTS : 0);
    mdl_options options = {.size = sizeof options,
                           .threads = t->o.threads,
                           .device = t->o.device,
                           .seed = t->o.seed,
                           .flags = flags,
                           .log = log_line,
                           .log_context = t,
                           .trace = t->o.trace ? trace_kernel : NULL,
                           .trace_context = t,
                           .watch = t->watch,
                           .watch_context = t};
    tool_check(t, t->model->open(&t->session, &options), NULL);
    if (!t->o.load) return;
    if (!t->o.only) {
        tool_check(t, t->model->load(t->session, t->o.load), NULL);
        return;
    }
    Tensors f = tensors_open(t, t->o.load);
    int done = 0;
    for (int i = 0; i < t->model->n_values; i++) {
        const mdl_value *v = &t->model->values[i];
        Array a;
        if (v->kind == MDL_CACHE || !selection_match(t->o.only, v->name)) continue;
        if (!tensors_get(t, &f, v->name, &a)) tool_fail(t, EXIT_INPUT, "%s has no tensor \"%s\"", t->o.load, v->name);
        mdl_tensor tensor = {.data = a.data, .device = {1, 0}, .rank = a.rank, .dtype = a.dtype, .shape = a.shape};
        tool_check(t, t->model->set(t->session, v->name, &tensor), NULL);
        done++;
    }
    json_decref(f.header);
    if (!done) tool_fail(t, EXIT_INPUT, "--only %s selects no parameter", t->o.only);
}

void model_save(Tool *t, const char *path) {
    if (!t->o.only) {
        tool_check(t, t->model->save(t->session, path, 1), NULL);
        return;
    }
    int n = 0;
    const char **names = tool_alloc(t, sizeof *names * (size_t)t->model->n_values);
    Array *arrays = tool_alloc(t, sizeof *arrays * (size_t)t->model->n_values);
    for (int i = 0; i < t->model->n_values; i++) {
        const mdl_value *v = &t->model->values[i];
        if (v->kind == MDL_CACHE || !selection_match(t->o.only, v->name)) continue;
        if (v->rank > RANK_MAX) tool_fail(t, EXIT_INPUT, "%s has more than %d axes", v->name, RANK_MAX);
        Array a = array_new(t, v->dtype, v->rank, v->dims);
        mdl_tensor tensor = {.data = a.data, .device = {1, 0}, .rank = a.rank, .dtype = a.dtype, .shape = a.shape};
        tool_check(t, t->model->get(t->session, v->name, &tensor), NULL);
        names[n] = v->name;
        arrays[n++] = a;
    }
    if (!n) tool_fail(t, EXIT_INPUT, "--only %s selects no parameter", t->o.only);
    tensors_write(t, path, n, names, arrays);
}

int model_entry(const Tool *t, const char *name) {
    for (int i = 0; i < t->model->n_entries; i++)
        if (!strcmp(t->model->entries[i].name, name)) return i;
    return -1;
}

/* How many letters must be put in, left out or changed to make b of a (Levenshtein); long words count as very different. */
static int word_distance(const char *a, const char *b) {
    enum { MOST = 64 };
    int n = (int)strnlen(a, MOST), m = (int)strnlen(b, MOST), row[MOST + 1];
    if (n == MOST || m == MOST) return MOST;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

int model_entry_must(Tool *t, const char *name) {
    int found = model_entry(t, name), best = (int)strlen(name) / 3 + 1;
    if (found >= 0) return found;
    const char *near = NULL;
    for (int i = 0; i < t->model->n_entries; i++) {
        int distance = word_distance(name, t->model->entries[i].name);
        if (distance > best || (near && distance == best)) continue;
        best = distance;
        near = t->model->entries[i].name;
    }
    if (near) tool_fail(t, EXIT_INPUT, "%s has no entry %s; did you mean %s?", t->model->name, name, near);
    char *names = tool_printf(t, "%s", "");
    for (int i = 0; i < t->model->n_entries; i++)
        names = tool_printf(t, "%s%s%s", names, i ? ", " : "", t->model->entries[i].name);
    tool_fail(t, EXIT_INPUT, "%s has no entry %s; it has %s", t->model->name, name, *names ? names : "none");
}

const char *run_text(const Tool *t, const char *key) {
    return json_string_value(json_object_get(t->run, key));
}

int64_t run_int(const Tool *t, const char *key, int64_t otherwise) {
    const json_t *v = json_object_get(t->run, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : json_is_real(v) ? (int64_t)json_real_value(v) : otherwise;
}

/* ---- selections ---------------------------------------------------------------------------------------------------------- */

/* Does one component of a selection, [s, s_end), match one name of a path? */
static bool component_match(const char *s, const char *s_end, const char *p, const char *p_end) {
    while (s < s_end && *s != '*') {
        if (p == p_end || *s++ != *p++) return false;
    }
    if (s == s_end) return p == p_end;
    for (;; p++) { /* a star stands for any characters of this name */
        if (component_match(s + 1, s_end, p, p_end)) return true;
        if (p == p_end) return false;
    }
}

static const char *component_end(const char *at) {
    return at + strcspn(at, ".");
}

static bool path_match(const char *s, const char *path) {
    if (!*s) return true; /* everything below what was named */
    const char *s_end = component_end(s), *s_next = *s_end ? s_end + 1 : s_end;
    if (s_end - s == 2 && !strncmp(s, "**", 2)) {
        for (const char *at = path;;) {
            if (path_match(s_next, at)) return true;
            at = component_end(at);
            if (!*at) return !*s_next;
            at++;
        }
    }
    if (!*path) return false;
    const char *p_end = component_end(path);
    return component_match(s, s_end, path, p_end) && path_match(s_next, *p_end ? p_end + 1 : p_end);
}

bool selection_match(const char *selection, const char *path) {
    char one[512];
    while (*selection) {
        size_t n = strcspn(selection, ","), k = 0;
        for (size_t i = 0; i < n && k + 2 < sizeof one; i++) { /* h[3] is the path h.3 */
            char c = selection[i];
            if (c == '[') one[k++] = '.';
            else if (c != ']' && c != ' ') one[k++] = c;
        }
        one[k] = 0;
        if (k && path_match(one, path)) return true;
        selection += n;
        if (*selection) selection++;
    }
    return false;
}
