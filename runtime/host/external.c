/* external.c -- weights in a file beside the artifact (modelc --weights=external). The artifact knows the file's name, length and SHA-256,
 * so a file that passes has every tensor where the compiler put it, and is used where it is mapped. */
#include "runtime/host/libc.h"
#include "runtime/host/sha256.h"
#include "runtime/internal.h"

typedef struct Lines { /* of a file, one after another */
    int fd, at, n;
    char bytes[1024];
} Lines;

/* The next line, cut to size - 1 bytes; false: there are no more. */
static bool line_next(Lines *f, char *line, int size) {
    for (int n = 0;;) {
        if (f->at == f->n) {
            f->n = (int)read(f->fd, f->bytes, sizeof f->bytes);
            f->at = 0;
            if (f->n <= 0) return false;
        }
        char c = f->bytes[f->at++];
        line[n] = c == '\n' ? 0 : c;
        if (c == '\n') return true;
        if (n < size - 1) n++;
    }
}

static uint64_t hexadecimal(const char **text) {
    uint64_t v = 0;
    for (;; ++*text) {
        char c = **text;
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0) return v;
        v = v << 4 | (uint64_t)d;
    }
}

/* The folder, with its final slash, of the file that `inside` was loaded from: "7f1200-7f1300 r--p 00000000 08:01 1234   /lib/a.so". */
static bool own_folder(const void *inside, char *folder, int size) {
    Lines f = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    bool found = false;
    while (f.fd >= 0 && !found && line_next(&f, folder, size)) {
        const char *p = folder;
        uint64_t low = hexadecimal(&p), high = *p == '-' ? (p++, hexadecimal(&p)) : 0;
        char *path = strchr(folder, '/'), *end = strrchr(folder, '/');
        found = low <= (uintptr_t)inside && (uintptr_t)inside < high && path;
        if (!found) continue;
        end[1] = 0;
        memmove(folder, path, (size_t)(end + 2 - path));
    }
    if (f.fd >= 0) close(f.fd);
    return found;
}

/* Is it the file? It is read and not looked at where it is mapped: a file that is cut short meanwhile is an error then, and no SIGBUS. */
static int check(mdl_session *s, const RtExternal *e, const char *path, int fd) {
    RtSha256 sum;
    uint8_t hash[32];
    unsigned char piece[16384];
    ptrdiff_t n;
    rt_sha256_begin(&sum);
    while (sum.n < e->bytes && (n = read(fd, piece, sizeof piece)) != 0) {
        if (n > 0) rt_sha256_add(&sum, piece, n);
        else if (errno != EINTR) return rt_fail(s, MDL_IO, "cannot read %s: %s", path, strerror(errno));
    }
    if (sum.n < e->bytes) return rt_fail(s, MDL_IO, "cannot read %s: it became shorter", path);
    rt_sha256_end(&sum, hash);
    for (int i = 0; i < 32; i++)
        if (hash[i] != e->hash[i])
            return rt_fail(s, MDL_MISMATCH, "%s is not the file of weights that was made with %s: its SHA-256 is another", path, s->model->name);
    return MDL_OK;
}

static int map(mdl_session *s, const RtExternal *e, const char *path, int fd) {
    char first;
    int64_t size = lseek(fd, 0, SEEK_END);
    if (size > 0 && (lseek(fd, 0, SEEK_SET) != 0 || read(fd, &first, 1) < 0 || lseek(fd, 0, SEEK_SET) != 0))
        return rt_fail(s, MDL_IO, "%s is not a file", path);
    if (size != e->bytes)
        return rt_fail(s, MDL_FORMAT, "%s has %lld bytes, and the weights of %s are %lld", path, (long long)size, s->model->name, (long long)e->bytes);
    int code = check(s, e, path, fd);
    if (code) return code;
    void *at = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return rt_fail(s, MDL_IO, "cannot map %s: %s", path, strerror(errno));
    s->external = at;
    return MDL_OK;
}

int rt_external_open(mdl_session *s, const RtExternal *e) {
    char path[4096];
    if (!own_folder(e, path, sizeof path - 256))
        return rt_fail(s, MDL_IO, "cannot find out where %s was loaded from, and so not %s beside it: mdl_options.weights can name a file", s->model->name, e->name);
    size_t n = rt_text_length(path);
    rt_text(path + n, sizeof path - n, "%s", e->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return rt_fail(s, MDL_IO, "cannot open %s, the weights of %s: %s", path, s->model->name, strerror(errno));
    int code = map(s, e, path, fd);
    close(fd);
    return code;
}

void rt_external_close(mdl_session *s, const RtExternal *e) {
    munmap((void *)(uintptr_t)s->external, (size_t)e->bytes);
    s->external = NULL;
}
