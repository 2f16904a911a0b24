/* cache_trim.c -- keeps a cache below a size: what nobody has read for longest goes first. The time of a file is that of its last use
 * (cache_used); a file that goes while another process reads it stays readable there, and one that is missing is made again. */
#include "codegen/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TORN_SECONDS 3600 /* a temporary file that old has lost its writer */

typedef struct Kept {
    const char *path;
    int64_t bytes;
    struct timespec used;
} Kept;

typedef struct Folder {
    Arena *arena;
    LIST(Kept) files;
    int64_t bytes;
} Folder;

static bool is_temporary(const char *name) {
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, ".tmp");
}

static void folder_add(Folder *f, const char *path) {
    DIR *d = opendir(path);
    if (!d) return;
    time_t now = time(NULL);
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat st;
        const char *file = arena_printf(f->arena, "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || stat(file, &st) || !S_ISREG(st.st_mode)) continue;
        if (is_temporary(e->d_name)) {
            if (now - st.st_mtim.tv_sec > TORN_SECONDS) unlink(file);
            continue;
        }
        Kept kept = {file, (int64_t)st.st_blocks * 512, st.st_mtim};
        PUSH(f->arena, f->files, kept);
        f->bytes += kept.bytes;
    }
    closedir(d);
}

static int older(const void *a, const void *b) {
    const Kept *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec) return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* The 256 folders 00 to ff: nothing else in the cache's folder is touched, whatever it is. */
void cache_trim(Cache *c, int64_t limit) {
    if (!c->folder) return;
    Folder f = {.arena = c->arena};
    int lock = open(arena_printf(c->arena, "%s/lock", c->folder), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0) return;
    flock(lock, LOCK_EX); /* two would take twice as much away */
    for (int i = 0; i < 256; i++) folder_add(&f, arena_printf(c->arena, "%s/%02x", c->folder, i));
    if (f.files.n) qsort(f.files.at, (size_t)f.files.n, sizeof *f.files.at, older);
    for (int i = 0; i < f.files.n && f.bytes > limit; i++) {
        if (unlink(f.files.at[i].path) && errno != ENOENT) continue;
        f.bytes -= f.files.at[i].bytes;
    }
    if (f.bytes > limit) cache_note(c, arena_printf(c->arena, "the cache %s takes %lld bytes, and files of it cannot be removed", c->folder, (long long)f.bytes));
    close(lock);
}

void cache_used(const char *path) {
    int reason = errno;
    utimensat(AT_FDCWD, path, NULL, 0); /* a cache that cannot be written is not trimmed either */
    errno = reason;
}
