/* link.c -- objects to a library, in memory: lld reads them as /proc/self/fd/N of memory files and writes to its standard
 * output, which is one, too; so nothing is left behind in a temporary folder, whatever happens. Then the file is written as a
 * whole. */
#include "codegen/link.h"

#include "codegen/cpu/blas.h"
#include "codegen/lld.h"
#include "ir/diag.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBJECTS 128 /* at a time: ARTIFACT_MODULES for each variant of a target, and a few */

/* ---- memory files -------------------------------------------------------------------------------------------------------- */

Content content_of(Bytes bytes) {
    return (Content){bytes, NULL, 0};
}

size_t content_size(const Content *c) {
    size_t n = c->bytes.n;
    for (int i = 0; i < c->n_more; i++) n += c->more[i].n;
    return n;
}

static bool write_bytes(int fd, Bytes bytes) {
    while (bytes.n) {
        ssize_t done = write(fd, bytes.at, bytes.n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        bytes.at += done;
        bytes.n -= (size_t)done;
    }
    return true;
}

static bool write_all(int fd, const Content *c) {
    bool done = write_bytes(fd, c->bytes);
    for (int i = 0; done && i < c->n_more; i++) done = write_bytes(fd, c->more[i]);
    return done;
}

int memory_file(const char *name, Content content) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0 && !write_all(fd, &content)) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

static bool memory_read(Arena *arena, int fd, Bytes *result) {
    struct stat status;
    if (fstat(fd, &status)) return false;
    char *at = arena_alloc(arena, (size_t)status.st_size + 1);
    size_t done = 0;
    while (done < (size_t)status.st_size) {
        ssize_t n = pread(fd, at + done, (size_t)status.st_size - done, (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    *result = (Bytes){at, done};
    return true;
}

/* ---- lld ----------------------------------------------------------------------------------------------------------------- */

typedef struct Command {
    const char *argument[OBJECTS + 32];
    int n;
} Command;

static void add(Command *c, const char *argument) {
    c->argument[c->n++] = argument;
}

/* Runs lld with its standard output, and so the result, in a memory file. */
static bool lld_to_memory(Arena *arena, Command *c, Bytes *result, const char **error) {
    char messages[16384] = "";
    fflush(stdout);
    int out = memfd_create("linked", MFD_CLOEXEC), before = dup(STDOUT_FILENO), status = -1;
    bool closed = before < 0 && errno == EBADF; /* the compiler was started without a standard output */
    bool ready = out >= 0 && (before >= 0 || closed) && dup2(out, STDOUT_FILENO) >= 0;
    if (ready) status = lld_run(c->n, c->argument, messages, sizeof messages);
    int reason = errno;
    if (before >= 0) {
        dup2(before, STDOUT_FILENO);
        close(before);
    } else if (closed) {
        close(STDOUT_FILENO);
    }
    bool done = ready && status == 0 && memory_read(arena, out, result);
    *error = NULL;
    if (ready && !done && status != LLD_REFUSED)
        *error = arena_printf(arena, "the linker failed (status %d): %s", status, messages);
    if (out >= 0) close(out);
    errno = reason;
    return done;
}

static bool link_run(Arena *arena, Command *c, const Bytes *objects, int n, Bytes *result, const char **error) {
    int fd[OBJECTS], opened = 0;
    bool ready = true;
    if (n > OBJECTS) bug("%d objects to link", n);
    *error = NULL;
    for (; opened < n; opened++) {
        fd[opened] = memory_file("object", content_of(objects[opened]));
        ready = fd[opened] >= 0;
        if (!ready) break;
        add(c, arena_printf(arena, "/proc/self/fd/%d", fd[opened]));
    }
    add(c, "-o");
    add(c, "-");
    bool done = ready && lld_to_memory(arena, c, result, error);
    int reason = errno;
    for (int i = 0; i < opened; i++) close(fd[i]);
    errno = reason;
    return done;
}

/* The libc to link with: names alone, and no version of any. */
static const char *const libc_names[] = {
#define IMPORT(name, since) #name,
#include "codegen/libc.def"
#undef IMPORT
};

bool link_hides(const char *name) {
    for (size_t i = 0; i < sizeof libc_names / sizeof *libc_names; i++)
        if (!strcmp(libc_names[i], name)) return true;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD); /* this one has all the others, too */
    bool found = libc && dlsym(libc, name);
    if (libc) dlclose(libc);
    return found;
}

/* The same for --blas: it is needed where a product calls it. */
static const char *const blas_names[] = BLAS_NAMES;

bool link_shared(Arena *arena, const Platform *platform, bool strip, const Bytes *objects, int n, Bytes *result,
                 const char **error) {
    Command c = {.n = 0};
    Bytes all[OBJECTS];
    if (n + 2 > OBJECTS) bug("%d objects to link", n);
    memcpy(all, objects, sizeof *objects * (size_t)n);
    all[n] = elf_names(arena, platform, "libc.so.6", libc_names, (int)(sizeof libc_names / sizeof *libc_names));
    all[n + 1] = elf_names(arena, platform, BLAS_LIBRARY, blas_names, (int)(sizeof blas_names / sizeof *blas_names));
    add(&c, "ld.lld");
    add(&c, "-shared");
    add(&c, "--gc-sections");
    add(&c, "--hash-style=gnu");
    add(&c, "--build-id=none");
    add(&c, "--threads=1");
    add(&c, "-z");
    add(&c, "now");
    add(&c, "--no-undefined");
    add(&c, "--as-needed");
    if (strip) add(&c, "--strip-all");
    return link_run(arena, &c, all, n + 2, result, error);
}

bool link_object(Arena *arena, const Bytes *objects, int n, Bytes *result, const char **error) {
    Command c = {.n = 0};
    add(&c, "ld.lld");
    add(&c, "-r");
    add(&c, "--threads=1");
    Bytes joined;
    return link_run(arena, &c, objects, n, &joined, error) && elf_localize(arena, joined, result, error);
}

/* Memory is the module's own and grows; what is above __heap_base is the program's that loads it. */
bool link_module(Arena *arena, const Bytes *objects, int n, Bytes *result, const char **error) {
    Command c = {.n = 0};
    add(&c, "wasm-ld");
    add(&c, "--no-entry");
    add(&c, "--export-dynamic");
    add(&c, "--export-table");
    add(&c, "--export=__heap_base");
    add(&c, "--stack-first");
    add(&c, "-z");
    add(&c, "stack-size=1048576");
    add(&c, "--gc-sections");
    add(&c, "--fatal-warnings");
    add(&c, "--strip-debug");
    add(&c, "--threads=1");
    return link_run(arena, &c, objects, n, result, error);
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

/* A file on its way: the temporary one, and where it goes. Both NULL: it has been written already. */
typedef struct Pending {
    char *temporary, *path;
} Pending;

static void pending_free(Pending *p) {
    free(p->temporary);
    free(p->path);
}

/* What is no regular file cannot be replaced by a rename. */
static bool write_directly(const char *path, const Content *content) {
    bool standard = !strcmp(path, "-");
    if (standard) fflush(stdout);
    int fd = standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write_all(fd, content);
    int reason = errno;
    if (fd >= 0 && !standard && close(fd) && done) return false;
    errno = reason;
    return done;
}

/* Writes and syncs the temporary file, with the permissions of the file that it will replace, if there is one. On failure
 * nothing is left of it. */
static bool write_temporary(const char *temporary, const Content *content, const struct stat *replaced) {
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    if (replaced && fchmod(fd, replaced->st_mode & 0777)) { /* a file system without permissions: then the usual ones must do */
        errno = 0;
    }
    bool done = write_all(fd, content) && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) && done) {
        done = false;
        reason = errno;
    }
    if (!done) unlink(temporary);
    errno = reason;
    return done;
}

static bool pending_write(Pending *p, const OutputFile *file) {
    struct stat status;
    bool exists = !stat(file->path, &status);
    if (exists && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return false;
    }
    if (!strcmp(file->path, "-") || (exists && !S_ISREG(status.st_mode))) return write_directly(file->path, &file->content);
    char *real = realpath(file->path, NULL); /* through symbolic links: the rename replaces the file, not the link */
    p->path = real ? real : strdup(file->path);
    if (!p->path || asprintf(&p->temporary, "%s.%ld.tmp", p->path, (long)getpid()) < 0) {
        p->temporary = NULL;
        errno = ENOMEM;
        return false;
    }
    if (write_temporary(p->temporary, &file->content, exists ? &status : NULL)) return true;
    int reason = errno;
    free(p->temporary);
    p->temporary = NULL;
    errno = reason;
    return false;
}

bool output_write(const OutputFile *files, int n, int *failed) {
    Pending *pending = calloc((size_t)n, sizeof *pending);
    bool done = pending != NULL;
    *failed = 0;
    for (int i = 0; done && i < n; i++) {
        done = pending_write(&pending[i], &files[i]);
        if (!done) *failed = i;
    }
    for (int i = 0; done && i < n; i++) {
        if (!pending[i].temporary) continue;
        done = !rename(pending[i].temporary, pending[i].path);
        if (!done) *failed = i;
        if (done) {
            free(pending[i].temporary);
            pending[i].temporary = NULL;
        }
    }
    int reason = errno;
    for (int i = 0; pending && i < n; i++) {
        if (pending[i].temporary) unlink(pending[i].temporary);
        pending_free(&pending[i]);
    }
    free(pending);
    errno = reason;
    return done;
}
