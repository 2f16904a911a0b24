/* weights.c -- reading .safetensors. The format: 8 bytes length n (little-endian), n bytes of JSON, then the data. The JSON
 * maps names to {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, offsets counted from the end of the JSON;
 * "__metadata__" maps strings to strings. Every rule of the format is checked before a byte of data is used: the length against
 * the file, names once, types known, shape times type equal to the range, ranges inside the file, without overlap and without
 * holes; and the checksum that our own checkpoints carry. */
#include "frontend/weights.h"

#include "runtime/checksum.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_LIMIT = 100 * 1000 * 1000 };

static bool parse_type(const char *text, DType *d) {
    static const struct {
        const char *name;
        DType dtype;
    } rows[] = {{"F64", DT_F64},        {"F32", DT_F32}, {"F16", DT_F16},  {"BF16", DT_BF16}, {"F8_E4M3", DT_F8E4M3},
                {"F8_E5M2", DT_F8E5M2}, {"I64", DT_I64}, {"I32", DT_I32},  {"I16", DT_I16},   {"I8", DT_I8},
                {"U32", DT_U32},        {"U8", DT_U8},   {"BOOL", DT_BOOL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, text)) continue;
        *d = rows[i].dtype;
        return true;
    }
    return false;
}

typedef struct Reading {
    Arena *arena;
    WeightFile *out;
    const unsigned char *data; /* after the header */
    uint64_t data_size;
    const char *sum; /* that the metadata states; NULL: none */
    const char *error;
} Reading;

static bool bad(Reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool bad(Reading *r, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    if (!r->error) r->error = arena_vprintf(r->arena, format, ap);
    va_end(ap);
    return false;
}

static bool whole(json_t *j, uint64_t *out) {
    if (!json_is_integer(j) || json_integer_value(j) < 0) return false;
    *out = (uint64_t)json_integer_value(j);
    return true;
}

static bool read_tensor(Reading *r, const char *name, json_t *j) {
    FileTensor t = {.name = arena_copy(r->arena, name, strlen(name))};
    json_t *type = json_object_get(j, "dtype"), *shape = json_object_get(j, "shape"),
           *offsets = json_object_get(j, "data_offsets");
    uint64_t begin, end, count = 1;
    if (!json_is_object(j) || !json_is_string(type) || !json_is_array(shape) || !json_is_array(offsets) ||
        json_array_size(offsets) != 2)
        return bad(r, "the header of \"%.60s\" lacks dtype, shape or data_offsets", name);
    if (!parse_type(json_string_value(type), &t.dtype))
        return bad(r, "\"%.60s\" has the unknown type %.20s", name, json_string_value(type));
    if (json_array_size(shape) > FILE_RANK) return bad(r, "\"%.60s\" has %zu dimensions", name, json_array_size(shape));
    t.rank = (int)json_array_size(shape);
    for (int i = 0; i < t.rank; i++) {
        uint64_t d;
        if (!whole(json_array_get(shape, (size_t)i), &d) || d > INT64_MAX || __builtin_mul_overflow(count, d, &count))
            return bad(r, "\"%.60s\" has an impossible shape", name);
        t.dim[i] = (int64_t)d;
    }
    if (!whole(json_array_get(offsets, 0), &begin) || !whole(json_array_get(offsets, 1), &end) || begin > end)
        return bad(r, "\"%.60s\" has impossible data_offsets", name);
    bool outside = end > r->data_size;
    uint64_t bytes;
    if (__builtin_mul_overflow(count, (uint64_t)dtype_bytes(t.dtype), &bytes) || bytes != end - begin)
        return bad(r, "\"%.60s\" has %llu bytes of data, its shape and type make another number", name,
                   (unsigned long long)(end - begin));
    if (outside && !r->out->broken)
        r->out->broken = arena_printf(r->arena, "the data of \"%.60s\" lies outside of the file", name);
    t.data = outside ? NULL : r->data + begin;
    t.bytes = (size_t)bytes;
    PUSH(r->arena, r->out->tensors, t);
    return true;
}

static int by_place(const void *a, const void *b) {
    const FileTensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const FileTensor *)a)->name, ((const FileTensor *)b)->name);
}

/* Is the data what was saved? Needs the order of check_places. */
static bool check_sum(Reading *r, int first) {
    uint64_t sum = 0;
    for (int i = first; r->sum && i < r->out->tensors.n; i++)
        sum = checksum_add(sum, r->out->tensors.at[i].data, (int64_t)r->out->tensors.at[i].bytes);
    return !r->sum || strtoull(r->sum, NULL, 10) == sum || bad(r, "it is damaged: its data is not what was saved");
}

/* Ranges lie one behind the other and fill the file. */
static bool check_places(Reading *r, int first) {
    FileTensor *t = r->out->tensors.at + first;
    int n = r->out->tensors.n - first;
    if (n) qsort(t, (size_t)n, sizeof *t, by_place);
    const unsigned char *p = r->data;
    for (int i = 0; i < n; i++) {
        if (t[i].data < p) return bad(r, "\"%.60s\" overlaps another tensor", t[i].name);
        if (t[i].data > p) return bad(r, "there is a hole in the data before \"%.60s\"", t[i].name);
        p = t[i].data + t[i].bytes;
    }
    uint64_t used = (uint64_t)(p - r->data);
    return used == r->data_size ||
           bad(r, "the file has %llu bytes behind its last tensor", (unsigned long long)(r->data_size - used));
}

static bool read_header(Reading *r, json_t *root) {
    const char *name;
    json_t *j;
    if (!json_is_object(root)) return bad(r, "the header is no JSON object");
    json_object_foreach(root, name, j) {
        if (!strcmp(name, "__metadata__")) {
            const char *sum = json_string_value(json_object_get(j, "sum"));
            if (sum) r->sum = arena_copy(r->arena, sum, strlen(sum));
        } else if (!read_tensor(r, name, j)) return false;
    }
    return true;
}

static bool parse_bytes(Reading *r, const unsigned char *bytes, size_t size) {
    uint64_t n = 0;
    if (size < 8) return bad(r, "the file has %zu bytes: too short for safetensors", size);
    for (int i = 7; i >= 0; i--) n = n << 8 | bytes[i];
    if (n > size - 8 || n > HEADER_LIMIT)
        return bad(r, "the header is said to have %llu bytes, the file has %zu: truncated, or no safetensors",
                   (unsigned long long)n, size);
    r->data = bytes + 8 + n;
    r->data_size = size - 8 - n;
    json_error_t error;
    json_t *root = json_loadb((const char *)bytes + 8, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    if (!root) return bad(r, "the header is no JSON: %s", error.text);
    int first = r->out->tensors.n;
    bool good = read_header(r, root) && (r->out->broken || (check_places(r, first) && check_sum(r, first)));
    json_decref(root);
    return good;
}

/* The data is used where it lies in the file, all through the compilation. Touching what somebody cuts off meanwhile raises SIGBUS. */
static struct Mapped {
    const unsigned char *from;
    size_t bytes;
    char name[256];
} mapped[64]; /* the last files */
static int n_mapped;

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(1);
}

static void cut_short(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number, (void)context;
    const unsigned char *at = info->si_addr;
    for (int i = 0; i < 64; i++) {
        if (!mapped[i].from || at < mapped[i].from || at >= mapped[i].from + mapped[i].bytes) continue;
        say("error[E0710]: \"");
        say(mapped[i].name);
        say("\" cannot be loaded: it became shorter while it was read\n");
        _exit(1);
    }
    signal(SIGBUS, SIG_DFL); /* another's: it comes again */
}

static const unsigned char *map(Arena *arena, int fd, const char *path, size_t bytes) {
    const unsigned char *at = arena_map(arena, fd, bytes);
    if (!at) return NULL;
    struct Mapped *m = &mapped[n_mapped++ % 64];
    *m = (struct Mapped){.from = at, .bytes = bytes};
    snprintf(m->name, sizeof m->name, "%s", path);
    struct sigaction action = {.sa_sigaction = cut_short, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    return at;
}

static WeightStatus read_one(Arena *arena, const char *path, WeightFile *out, const char **error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return WEIGHTS_MISSING;
    if (fd < 0) {
        *error = arena_printf(arena, "it cannot be opened: %s", strerror(errno));
        return WEIGHTS_BAD;
    }
    struct stat st;
    WeightStatus status = WEIGHTS_BAD;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        *error = "it is not a regular file";
    } else {
        size_t size = (size_t)st.st_size;
        const unsigned char *bytes = size ? map(arena, fd, path, size) : NULL;
        if (size && !bytes) {
            *error = arena_printf(arena, "it cannot be read: %s", strerror(errno));
        } else {
            Reading r = {.arena = arena, .out = out};
            if (parse_bytes(&r, bytes, size)) status = WEIGHTS_OK;
            *error = r.error;
            PUSH(arena, out->read, path);
            out->bytes = bytes;
            out->size += size;
        }
    }
    close(fd);
    return status;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All shards of a folder, in the order of their names. */
static WeightStatus read_folder(Arena *arena, const char *path, WeightFile *out, const char **error) {
    DIR *d = opendir(path);
    if (!d) {
        *error = arena_printf(arena, "it cannot be opened: %s", strerror(errno));
        return WEIGHTS_BAD;
    }
    LIST(const char *) files = {0};
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n > 12 && !strcmp(e->d_name + n - 12, ".safetensors"))
            PUSH(arena, files, arena_printf(arena, "%s/%s", path, e->d_name));
    }
    closedir(d);
    if (!files.n) {
        *error = "the folder has no .safetensors";
        return WEIGHTS_BAD;
    }
    qsort(files.at, (size_t)files.n, sizeof *files.at, by_text);
    for (int i = 0; i < files.n; i++)
        if (read_one(arena, files.at[i], out, error) != WEIGHTS_OK) {
            *error = arena_printf(arena, "%s: %s", strrchr(files.at[i], '/') + 1, *error ? *error : "it went away");
            return WEIGHTS_BAD;
        }
    return WEIGHTS_OK;
}

WeightStatus weights_read(Arena *arena, const char *path, WeightFile *out, const char **error) {
    *out = (WeightFile){.path = path};
    *error = NULL;
    const char *slash = strrchr(path, '/');
    out->name = slash && slash[1] ? slash + 1 : path;
    struct stat st;
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    WeightStatus status = folder ? read_folder(arena, path, out, error) : read_one(arena, path, out, error);
    if (status != WEIGHTS_OK) return status;
    FileTensor *t = out->tensors.at;
    if (out->tensors.n) qsort(t, (size_t)out->tensors.n, sizeof *t, by_name);
    for (int i = 1; i < out->tensors.n; i++)
        if (!strcmp(t[i - 1].name, t[i].name)) {
            *error = arena_printf(arena, "\"%.60s\" stands in two files", t[i].name);
            return WEIGHTS_BAD;
        }
    return WEIGHTS_OK;
}

const FileTensor *weights_find(const WeightFile *f, const char *name) {
    int low = 0, high = f->tensors.n - 1;
    while (low <= high) {
        int middle = low + (high - low) / 2, order = strcmp(f->tensors.at[middle].name, name);
        if (!order) return &f->tensors.at[middle];
        if (order < 0) low = middle + 1;
        else high = middle - 1;
    }
    return NULL;
}
