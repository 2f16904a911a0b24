/* build.c -- `modelc build`. In order: which variants (variants.c), which of them the cache knows (cache.c), the others compiled, each by a
 * process of its own (this program again, so that a fault takes one variant along), a report (build_report.c). */
#include "codegen/build.h"

#include "codegen/artifact.h"
#include "codegen/budget.h"
#include "codegen/cache.h"
#include "codegen/digest.h"
#include "codegen/link.h"
#include "ir/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DONE = 0, INPUT = 1, USAGE = 2 }; /* exit statuses: COMMANDS.md */

static const char help[] =
    "modelc build MODEL.mdl [--each NAME=VALUE,VALUE...]... [-o FOLDER] [OPTIONS of modelc]\n"
    "modelc build VARIANTS.json [-o FOLDER] [OPTIONS of modelc]\n"
    "\n"
    "Every combination of the values, each a library FOLDER/MODEL-NAME-VALUE.so with its header. NAME is a config or dim of the\n"
    "program, or target, load, entries, runtime, kind (so, a, o), level (0, 2, s).\n"
    "\n"
    "--jobs=N          compilers at a time (default: as many as there are processors)\n"
    "--cache=FOLDER    what was made before (default: $MODELC_CACHE, ~/.cache/modelc); --no-cache: nothing is kept\n"
    "--cache-size=4Gi  what it may take of the disk; what was used least recently goes (default: 4Gi)\n"
    "--json            the report as JSON instead of a table\n"
    "--junit=F.xml     the report for a CI service, too\n"
    "\n"
    "Exit status: 0 all made, 1 some not, 2 wrong usage\n";

typedef struct Options {
    Arena *arena;
    Strings files, passed; /* passed on to every compilation */
    LIST(Axis) axes;
    const char *out, *cache, *junit;
    int jobs;
    int64_t cache_size; /* bytes */
    bool json;
} Options;

typedef struct Run { /* a compilation under way */
    pid_t pid;
    int build, messages; /* index; what the process prints: a file of memory */
    double started, since; /* ms of the steady clock; seconds of the day's */
} Run;

typedef struct Session {
    Arena *arena;
    const BuildTools *tools;
    Options *o;
    Cache *cache;
    Build *builds;
    int n;
} Session;

extern char **environ;

static int wrong_usage(const char *text) {
    fprintf(stderr, "modelc: build: %s\nmodelc: modelc build --help lists what there is\n", text);
    return USAGE;
}

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* ---- options ------------------------------------------------------------------------------------------------------------- */

static const char *value_of(const char *argument, const char *name) {
    size_t n = strlen(name);
    return !strncmp(argument, name, n) && argument[n] == '=' ? argument + n + 1 : NULL;
}

/* NULL, or what is wrong. */
static const char *option_read(Options *o, int argc, char **argv, int *i) {
    const char *a = argv[*i], *value, *next = *i + 1 < argc ? argv[*i + 1] : NULL;
    if ((value = value_of(a, "--each")) || !strcmp(a, "--each")) {
        if (!value && !next) return "--each wants NAME=VALUE,VALUE...";
        if (!value) ++*i;
        Axis axis = {0};
        const char *wrong = axis_parse(o->arena, value ? value : next, &axis);
        if (wrong) return wrong;
        for (int k = 0; k < o->axes.n; k++)
            if (!strcmp(o->axes.at[k].name, axis.name)) return arena_printf(o->arena, "--each %s twice", axis.name);
        PUSH(o->arena, o->axes, axis);
        return NULL;
    }
    if (!strncmp(a, "-o", 2)) {
        if (!a[2] && !next) return "-o wants a folder";
        o->out = a[2] ? a + 2 : argv[++*i];
        return NULL;
    }
    if ((value = value_of(a, "--jobs"))) {
        char *end;
        long n = strtol(value, &end, 10);
        if (end == value || *end || n < 1 || n > 1024) return arena_printf(o->arena, "--jobs=%s: a number from 1 to 1024", value);
        o->jobs = (int)n;
        return NULL;
    }
    if ((value = value_of(a, "--cache-size")))
        return budget_bytes(value, &o->cache_size) ? NULL : arena_printf(o->arena, "--cache-size=%s: a number of bytes such as 512Mi, 4Gi", value);
    if ((value = value_of(a, "--cache"))) o->cache = value;
    else if (!strcmp(a, "--no-cache")) o->cache = "";
    else if ((value = value_of(a, "--junit"))) o->junit = value;
    else if (!strcmp(a, "--json")) o->json = true;
    else if (!strncmp(a, "-MF", 3) || !strncmp(a, "--emit", 6) || !strncmp(a, "--after", 7) || !strncmp(a, "--name", 6) ||
             !strcmp(a, "--time") || !strcmp(a, "-v"))
        return arena_printf(o->arena, "%s is for one library", a);
    else if (a[0] == '-') {
        PUSH(o->arena, o->passed, a);
        if (!strcmp(a, "-D") && next) PUSH(o->arena, o->passed, argv[++*i]);
    } else PUSH(o->arena, o->files, a);
    return NULL;
}

static bool has_suffix(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n > m && !strcmp(text + n - m, suffix);
}

/* ---- what a library is made of ------------------------------------------------------------------------------------------- */

static bool is_external(const Variant *v) {
    bool external = false;
    for (int i = 0; i < v->options.n; i++)
        if (!strncmp(v->options.at[i], "--weights=", 10)) external = !strcmp(v->options.at[i], "--weights=external");
    return external;
}

static const char *build_key(const Session *s, const Variant *v) {
    uint8_t hash[32];
    Digest *d = digest_new();
    digest_text(d, s->cache->compiler);
    digest_text(d, s->tools->machine);
    digest_text(d, v->model);
    digest_text(d, v->kind);
    if (is_external(v)) digest_text(d, v->name); /* the library looks for a file of its own name */
    for (int i = 0; i < v->options.n; i++) digest_text(d, v->options.at[i]);
    digest_end(d, hash);
    return digest_hex(s->arena, hash);
}

/* The files behind the colon of a depfile: words, with the marks that modelc writes for make taken away. */
static Strings depfile_read(Arena *arena, const char *path) {
    Strings files = {0};
    Bytes text;
    if (!cache_read_file(arena, path, &text)) return files;
    char *word = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    bool target = true;
    for (size_t i = 0; i <= text.n; i++) {
        char c = i < text.n ? text.at[i] : '\n';
        bool marked = (c == '\\' && i + 1 < text.n && strchr(" #\\", text.at[i + 1])) || (c == '$' && i + 1 < text.n && text.at[i + 1] == '$');
        if (marked) word[n++] = text.at[++i];
        else if (c != ' ' && c != '\n') word[n++] = c;
        else if (n) {
            if (!target) PUSH(arena, files, arena_copy(arena, word, n));
            else if (word[n - 1] == ':') target = false;
            n = 0;
        }
    }
    return files;
}

static const char *path_with(Arena *arena, const char *path, const char *suffix) {
    return arena_printf(arena, "%.*s%s", (int)(strrchr(path, '.') - path), path, suffix);
}

/* ---- from the cache ------------------------------------------------------------------------------------------------------ */

static bool file_same(Arena *arena, const char *path, Bytes bytes) {
    struct stat st;
    Bytes now;
    if (stat(path, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size != bytes.n) return false;
    return cache_read_file(arena, path, &now) && now.n == bytes.n && !memcmp(now.at, bytes.at, bytes.n);
}

/* True: the library is there, from now or from before. */
static bool from_cache(Session *s, Build *b) {
    CacheResult r = {.report = NULL};
    double start = now_ms();
    if (!cache_find(s->cache, b->key, &r)) return false;
    const char *header = path_with(s->arena, b->path, ".h"), *message = json_string_value(json_object_get(r.report, "message"));
    const char *weights = is_external(b->variant) ? path_with(s->arena, b->path, ".safetensors") : NULL;
    bool same = file_same(s->arena, b->path, r.library) && file_same(s->arena, header, r.header) && (!weights || file_same(s->arena, weights, r.weights));
    b->status = same ? BUILD_FRESH : BUILD_CACHED;
    OutputFile files[] = {{b->path, content_of(r.library)}, {header, content_of(r.header)}, {weights, content_of(r.weights)}};
    int failed = 0;
    if (b->status == BUILD_CACHED && !output_write(files, weights ? 3 : 2, &failed)) {
        b->status = BUILD_FAILED;
        b->message = arena_printf(s->arena, "modelc: cannot write %s: %s\n", files[failed].path, strerror(errno));
        json_decref(r.report);
        return true;
    }
    b->message = message ? arena_copy(s->arena, message, strlen(message)) : "";
    b->report = r.report;
    b->ms = now_ms() - start;
    return true;
}

static void to_cache(Session *s, Build *b, const char *depfile, double since) {
    CacheResult r = {.report = json_deep_copy(b->report)};
    Strings files = depfile_read(s->arena, depfile);
    json_object_set_new(r.report, "message", json_string(b->message));
    bool read = cache_read_file(s->arena, b->path, &r.library) && cache_read_file(s->arena, path_with(s->arena, b->path, ".h"), &r.header);
    if (read && is_external(b->variant)) read = cache_read_file(s->arena, path_with(s->arena, b->path, ".safetensors"), &r.weights);
    if (files.n && read) cache_store(s->cache, b->key, files.at, files.n, since, &r);
    json_decref(r.report);
}

/* ---- compiling ----------------------------------------------------------------------------------------------------------- */

static bool run_start(Session *s, int index, Run *run) {
    Build *b = &s->builds[index];
    const Variant *v = b->variant;
    const char *arguments[16];
    Strings words = {0};
    int n = 0;
    arguments[n++] = "modelc";
    arguments[n++] = v->model;
    arguments[n++] = "-o";
    arguments[n++] = b->path;
    arguments[n++] = "-MD";
    arguments[n++] = "-MF";
    arguments[n++] = path_with(s->arena, b->path, ".d");
    arguments[n++] = "--color=never";
    arguments[n++] = arena_printf(s->arena, "--cache=%s", s->cache->folder ? s->cache->folder : "");
    for (int i = 0; i < n; i++) PUSH(s->arena, words, arguments[i]);
    for (int i = 0; i < v->options.n; i++) PUSH(s->arena, words, v->options.at[i]);
    PUSH(s->arena, words, NULL);
    posix_spawn_file_actions_t actions;
    *run = (Run){.build = index, .started = now_ms(), .since = now_seconds(), .messages = memfd_create("messages", MFD_CLOEXEC)};
    int error = run->messages < 0 ? errno : posix_spawn_file_actions_init(&actions);
    if (!error) {
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, run->messages, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, run->messages, STDERR_FILENO);
        error = posix_spawn(&run->pid, "/proc/self/exe", &actions, NULL, (char **)words.at, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    if (!error) return true;
    if (run->messages >= 0) close(run->messages);
    b->status = BUILD_FAILED;
    b->message = arena_printf(s->arena, "modelc: cannot start a compiler: %s\n", strerror(error));
    return false;
}

static const char *messages_read(Arena *arena, int fd) {
    struct stat st;
    size_t size = fstat(fd, &st) ? 0 : (size_t)st.st_size;
    char *text = arena_alloc(arena, size + 1);
    ssize_t n = size ? pread(fd, text, size, 0) : 0;
    text[n > 0 ? n : 0] = 0;
    close(fd);
    return text;
}

/* Takes what a compiler says of the cache out of a message: it is nothing of the variant, and many of them say it. */
static const char *notes_take(Session *s, const char *message) {
    static const char mark[] = "modelc: note: ";
    char *rest = arena_alloc(s->arena, strlen(message) + 1), *to = rest;
    while (*message) {
        size_t n = strcspn(message, "\n") + 1;
        if (!message[n - 1]) n--;
        if (!strncmp(message, mark, sizeof mark - 1)) {
            cache_note(s->cache, arena_copy(s->arena, message + sizeof mark - 1, n - sizeof mark));
        } else {
            memcpy(to, message, n);
            to += n;
        }
        message += n;
    }
    *to = 0;
    return rest;
}

/* A compilation has ended. */
static void run_end(Session *s, const Run *run, int status) {
    Build *b = &s->builds[run->build];
    b->ms = now_ms() - run->started;
    b->message = notes_take(s, messages_read(s->arena, run->messages));
    b->status = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? BUILD_BUILT : BUILD_FAILED;
    if (WIFSIGNALED(status))
        b->message = arena_printf(s->arena, "%smodelc: a compiler was ended by signal %d\n", b->message, WTERMSIG(status));
    if (b->status == BUILD_FAILED) return;
    b->report = s->tools->report(b->path);
    to_cache(s, b, path_with(s->arena, b->path, ".d"), run->since);
}

/* Compiles what the cache did not have, `jobs` at a time. */
static void compile_all(Session *s, const int *missing, int n) {
    int jobs = s->o->jobs < n ? s->o->jobs : n, running = 0, next = 0;
    Run *runs = NEW_ARRAY(s->arena, Run, jobs + 1);
    while (next < n || running) {
        while (next < n && running < jobs)
            if (run_start(s, missing[next++], &runs[running])) running++;
        int status;
        pid_t pid = running ? waitpid(-1, &status, 0) : 0;
        if (pid < 0 && errno != EINTR) bug("a compiler is lost: %s", strerror(errno));
        for (int i = 0; pid > 0 && i < running; i++) {
            if (runs[i].pid != pid) continue;
            run_end(s, &runs[i], status);
            runs[i] = runs[--running];
            break;
        }
    }
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

static void builds_plan(Session *s, const Variants *v) {
    s->n = v->list.n;
    s->builds = NEW_ARRAY(s->arena, Build, s->n + 1);
    for (int i = 0; i < s->n; i++) {
        const Variant *one = &v->list.at[i];
        const char *out = v->out ? v->out : ".";
        s->builds[i] = (Build){.variant = one, .message = "", .key = build_key(s, one),
                               .path = strcmp(out, ".") ? arena_printf(s->arena, "%s/%s.%s", out, one->name, one->kind)
                                                        : arena_printf(s->arena, "%s.%s", one->name, one->kind)};
    }
}

static bool folder_make(Arena *arena, const char *path) {
    char *at = arena_printf(arena, "%s/", path);
    for (char *p = at + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        struct stat st;
        if (mkdir(at, 0777) && (stat(at, &st) || !S_ISDIR(st.st_mode))) {
            fprintf(stderr, "modelc: cannot make the folder %s: %s\n", at, strerror(ENOTDIR));
            return false;
        }
        *p = '/';
    }
    return true;
}

static bool report_write(const Session *s) {
    for (int i = 0; i < s->n; i++)
        if (*s->builds[i].message) fprintf(stderr, "%s:\n%s", s->builds[i].path, s->builds[i].message);
    cache_trim(s->cache, s->o->cache_size);
    cache_notes_print(s->cache);
    if (s->o->json) {
        json_t *list = build_json(s->builds, s->n);
        char *text = json_dumps(list, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        json_decref(list);
        if (!text) bug("no memory for JSON");
        puts(text);
        free(text);
    } else {
        build_table(s->builds, s->n);
    }
    if (!s->o->junit) return true;
    char *text = build_junit(s->builds, s->n);
    OutputFile file = {s->o->junit, content_of((Bytes){text, strlen(text)})};
    int failed;
    bool done = output_write(&file, 1, &failed);
    if (!done) fprintf(stderr, "modelc: cannot write %s: %s\n", s->o->junit, strerror(errno));
    free(text);
    return done;
}

static int build_all(Session *s) {
    int *missing = NEW_ARRAY(s->arena, int, s->n + 1), n = 0, status = DONE;
    for (int i = 0; i < s->n; i++)
        if (!from_cache(s, &s->builds[i])) missing[n++] = i;
    compile_all(s, missing, n);
    for (int i = 0; i < s->n; i++)
        if (s->builds[i].status == BUILD_FAILED) status = INPUT;
    if (!report_write(s)) status = INPUT;
    for (int i = 0; i < s->n; i++) json_decref(s->builds[i].report);
    return status;
}

int build_command(Arena *arena, const BuildTools *tools, int argc, char **argv) {
    Options o = {.arena = arena, .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN), .cache_size = (int64_t)4 << 30};
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(help, stdout);
            return DONE;
        }
        const char *wrong = option_read(&o, argc, argv, &i);
        if (wrong) return wrong_usage(wrong);
    }
    if (o.files.n != 1) return wrong_usage("one model, or one file of variants");
    const char *file = o.files.at[0], *wrong;
    Variants v = {.arena = arena, .out = o.out};
    if (has_suffix(file, ".json")) wrong = variants_read(&v, file, o.axes.at, o.axes.n, &o.passed);
    else wrong = variants_product(&v, file, o.axes.at, o.axes.n, &o.passed);
    if (wrong) {
        fprintf(stderr, "modelc: %s: %s\n", file, wrong);
        return INPUT;
    }
    if (v.out && !folder_make(arena, v.out)) return INPUT;
    Session s = {.arena = arena, .tools = tools, .o = &o, .cache = cache_open(arena, o.cache)};
    builds_plan(&s, &v);
    return build_all(&s);
}
