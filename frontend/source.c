/* source.c -- source files: reading them, and refusing what cannot be one. */
#include "frontend/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE_LIMIT = 16 << 20 };

Source *source_memory(Arena *arena, const char *path, const char *name, const char *text, size_t length, bool library) {
    Source *s = NEW(arena, Source);
    s->path = path;
    s->name = name;
    s->text = text;
    s->length = length;
    s->library = library;
    return s;
}

static void *cannot_read(Diag *diag, const char *path, const char *reason) {
    diag_error(diag, (Loc){0}, 3, "cannot read %s: %s", path, reason);
    return NULL;
}

/* The whole file with a final 0, or NULL. A pipe has no size, so it is read until it ends. */
static char *read_all(Arena *arena, int fd, const char *path, Diag *diag, size_t *length) {
    size_t cap = 1 << 16, n = 0;
    char *text = arena_alloc(arena, cap);
    for (;;) {
        ssize_t got = read(fd, text + n, cap - n - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return cannot_read(diag, path, strerror(errno));
        if (got == 0) break;
        n += (size_t)got;
        if (n > SIZE_LIMIT) return cannot_read(diag, path, "it is larger than 16 MiB");
        if (n + 1 == cap) {
            text = arena_grow(arena, text, n, 2 * cap);
            cap *= 2;
        }
    }
    text[n] = 0;
    *length = n;
    return text;
}

static bool check_characters(const Source *s, Diag *diag) {
    for (size_t i = 0; i < s->length;) {
        const unsigned char *t = (const unsigned char *)s->text + i;
        int n = utf8_length(t);
        Loc at = {s, (int)i, (int)i + 1};
        if (*t == 0) {
            diag_fact(diag_error(diag, at, 4, "this is no text file"), "it contains a byte 0");
            return false;
        }
        if (n == 0) {
            diag_fact(diag_error(diag, at, 4, "this is not UTF-8"), "the byte 0x%02X cannot stand here", *t);
            return false;
        }
        i += (size_t)n;
    }
    return true;
}

Source *source_read(Arena *arena, const char *path, Diag *diag) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cannot_read(diag, path, errno == ENOENT ? "there is no such file" : strerror(errno));
    struct stat st;
    size_t length = 0;
    char *text = NULL;
    if (fstat(fd, &st) < 0) cannot_read(diag, path, strerror(errno));
    else if (S_ISDIR(st.st_mode)) cannot_read(diag, path, "it is a directory");
    else text = read_all(arena, fd, path, diag, &length);
    close(fd);
    if (!text) return NULL;
    if (length >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3;
        length -= 3;
    }
    const char *name = arena_copy(arena, path, strlen(path));
    Source *s = source_memory(arena, name, name, text, length, false);
    return check_characters(s, diag) ? s : NULL;
}
