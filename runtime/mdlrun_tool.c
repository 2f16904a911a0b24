/* mdlrun_tool.c -- memory that lives as long as the command, messages, files that appear whole or not at all. */
#include "runtime/mdlrun.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A piece of memory: a link in the tool's list, the bytes after it. */
struct Block {
    Block *next, **link; /* link: what points here */
    char padding[64 - 2 * sizeof(void *)];
};

void tool_init(Tool *t, const char *program) {
    memset(t, 0, sizeof *t);
    t->program = program;
    Options *o = &t->o;
    o->batch = o->epochs = o->steps = o->every = o->test_every = o->patience = o->rounds = o->n = -1;
    o->temperature = 0.8;
    o->top_p = 1.0;
}

void tool_free(Tool *t) {
    data_close(t);
    mdl_close(t->session);
    json_decref(t->meta);
    json_decref(t->run);
    while (t->blocks) {
        Block *next = t->blocks->next;
        free(t->blocks);
        t->blocks = next;
    }
}

void *tool_alloc(Tool *t, size_t bytes) {
    Block *b = NULL;
    if (bytes < (size_t)1 << 46) {
        size_t whole = (sizeof(Block) + bytes + 63) & ~(size_t)63;
        b = aligned_alloc(64, whole);
        if (b) memset(b, 0, whole);
    }
    if (!b) tool_fail(t, EXIT_INPUT, "not enough memory for %zu bytes", bytes);
    b->next = t->blocks;
    b->link = &t->blocks;
    if (b->next) b->next->link = &b->next;
    t->blocks = b;
    return (char *)b + sizeof(Block);
}

void tool_release(Tool *t, void *p) {
    (void)t;
    if (!p) return;
    Block *b = (Block *)((char *)p - sizeof(Block));
    *b->link = b->next;
    if (b->next) b->next->link = b->link;
    free(b);
}

void *tool_resize(Tool *t, void *old, size_t old_bytes, size_t new_bytes) {
    void *p = tool_alloc(t, new_bytes);
    if (old) memcpy(p, old, old_bytes < new_bytes ? old_bytes : new_bytes);
    tool_release(t, old);
    return p;
}

char *tool_copy(Tool *t, const char *text, size_t n) {
    char *p = tool_alloc(t, n + 1);
    if (n) memcpy(p, text, n);
    return p;
}

char *tool_printf(Tool *t, const char *format, ...) {
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    char *p = tool_alloc(t, (size_t)(n < 0 ? 0 : n) + 1);
    vsnprintf(p, (size_t)(n < 0 ? 0 : n) + 1, format, again);
    va_end(ap);
    va_end(again);
    return p;
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

void tool_fail(Tool *t, int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fflush(stdout);
    fprintf(stderr, "%s: ", t->program);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(status);
}

void tool_check(Tool *t, int code, const char *doing) {
    if (code == MDL_OK) return;
    const char *why = t->model && t->model->error ? t->model->error(t->session) : NULL;
    if (!why || !*why) why = "the artifact gave no reason";
    if (doing) tool_fail(t, EXIT_ARTIFACT, "%s: %s", doing, why);
    tool_fail(t, EXIT_ARTIFACT, "%s", why);
}

void tool_note(Tool *t, const char *format, ...) {
    if (t->o.quiet) return;
    va_list ap;
    va_start(ap, format);
    fflush(stdout);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

double tool_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* A signal handler can reach nothing but a global. */
static volatile sig_atomic_t stop_mark;

static void stop_handler(int signal_number) {
    (void)signal_number;
    stop_mark = 1;
}

void stop_watch(void) {
    struct sigaction action = {.sa_handler = stop_handler, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool stop_asked(void) {
    return stop_mark != 0;
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

char *tool_file_read(Tool *t, const char *path, size_t *length) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) tool_fail(t, EXIT_INPUT, "cannot open %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) tool_fail(t, EXIT_INPUT, "cannot read %s: %s", path, strerror(EISDIR));
    size_t size = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 65536, n = 0;
    char *p = tool_alloc(t, size + 1);
    for (;;) {
        ssize_t got = read(fd, p + n, size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) tool_fail(t, EXIT_INPUT, "cannot read %s: %s", path, strerror(errno));
        if (got == 0) break;
        n += (size_t)got;
        if (n == size && !S_ISREG(st.st_mode)) { /* a pipe: its length is not known before */
            p = tool_resize(t, p, n, 2 * size + 1);
            size *= 2;
        } else if (n == size) {
            break;
        }
    }
    close(fd);
    p[n] = 0;
    *length = n;
    return p;
}

FILE *tool_file_create(Tool *t, const char *path) {
    char *aside = tool_printf(t, "%s.tmp", path);
    FILE *f = fopen(aside, "wbe");
    if (!f) tool_fail(t, EXIT_INPUT, "cannot write %s: %s", path, strerror(errno));
    return f;
}

void tool_file_commit(Tool *t, FILE *f, const char *path) {
    char *aside = tool_printf(t, "%s.tmp", path);
    int broken = ferror(f) || fflush(f) || fsync(fileno(f));
    int why = errno;
    if (fclose(f) && !broken) {
        broken = 1;
        why = errno;
    }
    if (!broken && rename(aside, path)) {
        broken = 1;
        why = errno;
    }
    if (broken) {
        unlink(aside);
        tool_fail(t, EXIT_INPUT, "cannot write %s: %s", path, strerror(why));
    }
}

void tool_folder(Tool *t, const char *path) {
    char *p = tool_copy(t, path, strlen(path));
    for (char *at = p + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        mkdir(p, 0777); /* whether it is there shows below */
        *at = '/';
    }
    struct stat st;
    if (mkdir(p, 0777) && (errno != EEXIST || stat(p, &st) || !S_ISDIR(st.st_mode)))
        tool_fail(t, EXIT_INPUT, "cannot make the folder %s: %s", path, strerror(errno));
    tool_release(t, p);
}

/* ---- small text ---------------------------------------------------------------------------------------------------------- */

bool tool_suffix(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && !strcmp(text + n - m, suffix);
}

bool tool_int(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno) return false;
    *value = v;
    return true;
}
