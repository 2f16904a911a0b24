/* cache.c -- see cache.h. A write that fails (a full disk, a folder of someone else) costs a note and the next run's time. */
#include "codegen/cache.h"

#include "codegen/digest.h"
#include "codegen/link.h"
#include "ir/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALTERNATIVES 8 /* states of the sources that are remembered for a key: a branch and another */

void cache_note(Cache *c, const char *text) {
    for (int i = 0; i < c->notes.n; i++)
        if (!strcmp(c->notes.at[i], text)) return;
    PUSH(c->arena, c->notes, text);
}

Cache *cache_open(Arena *arena, const char *folder) {
    Cache *c = NEW(arena, Cache);
    c->arena = arena;
    const char *home;
    if (!folder) folder = getenv("MODELC_CACHE");
    if (!folder && (home = getenv("XDG_CACHE_HOME")) && *home) folder = arena_printf(arena, "%s/modelc", home);
    if (!folder && (home = getenv("HOME")) && *home) folder = arena_printf(arena, "%s/.cache/modelc", home);
    c->folder = folder && *folder ? folder : NULL;
    uint8_t hash[32];
    digest_compiler(hash);
    c->compiler = digest_hex(arena, hash);
    return c;
}

bool cache_read_file(Arena *arena, const char *path, Bytes *bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return false;
    bool good = !fstat(fd, &st) && S_ISREG(st.st_mode);
    size_t size = good ? (size_t)st.st_size : 0, done = 0;
    char *at = arena_alloc(arena, size + 1);
    while (good && done < size) {
        ssize_t n = read(fd, at + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) good = false;
        else done += (size_t)n;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    *bytes = (Bytes){at, size};
    return good;
}

/* FOLDER/ab/abcdef....kind */
static const char *path_of(const Cache *c, const char *hash, const char *kind) {
    return arena_printf(c->arena, "%s/%.2s/%s.%s", c->folder, hash, hash, kind);
}

static bool folders_make(const Cache *c, const char *path) {
    char *at = arena_copy(c->arena, path, strlen(path));
    for (char *p = at + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        if (mkdir(at, 0777) && errno != EEXIST && errno != EROFS) return false;
        *p = '/';
    }
    return true;
}

static bool store_file(Cache *c, const char *path, Bytes bytes) {
    OutputFile file = {path, content_of(bytes)};
    int failed;
    if (folders_make(c, path) && output_write(&file, 1, &failed)) return true;
    cache_note(c, arena_printf(c->arena, "the cache %s cannot be written: %s", c->folder, strerror(errno)));
    return false;
}

static const char *file_hash(Cache *c, const char *path) {
    for (int i = 0; i < c->digests.n; i++)
        if (!strcmp(c->digests.at[i].path, path)) return c->digests.at[i].hash;
    uint8_t hash[32];
    struct CacheDigest d = {arena_copy(c->arena, path, strlen(path)), digest_file(path, hash) ? digest_hex(c->arena, hash) : NULL};
    PUSH(c->arena, c->digests, d);
    return d.hash;
}

/* ---- results ------------------------------------------------------------------------------------------------------------- */

static const char *bytes_hash(Arena *arena, Bytes bytes) {
    uint8_t hash[32];
    Digest *d = digest_new();
    digest_add(d, bytes.at, bytes.n);
    digest_end(d, hash);
    return digest_hex(arena, hash);
}

/* Takes a result apart; its line of JSON says how long library and header are. */
static bool result_split(Bytes bytes, CacheResult *r) {
    const char *end = memchr(bytes.at, '\n', bytes.n);
    if (!end) return false;
    size_t line = (size_t)(end - bytes.at), rest = bytes.n - line - 1;
    r->report = json_loadb(bytes.at, line, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(r->report, "library_bytes"));
    json_int_t header = json_integer_value(json_object_get(r->report, "header_bytes"));
    if (!json_is_object(r->report) || n <= 0 || (size_t)n > rest || header <= 0 || (size_t)header > rest - (size_t)n) return false;
    r->library = (Bytes){end + 1, (size_t)n};
    r->header = (Bytes){end + 1 + n, (size_t)header};
    r->weights = (Bytes){end + 1 + n + header, rest - (size_t)n - (size_t)header};
    return true;
}

static bool result_read(Cache *c, const char *hash, CacheResult *r) {
    const char *path = path_of(c, hash, "result");
    Bytes bytes;
    if (!cache_read_file(c->arena, path, &bytes)) return false;
    cache_used(path);
    if (!strcmp(bytes_hash(c->arena, bytes), hash) && result_split(bytes, r)) return true;
    cache_note(c, arena_printf(c->arena, "the cache's %s is damaged: built again", path));
    unlink(path);
    return false;
}

static const char *result_write(Cache *c, const CacheResult *r) {
    json_object_set_new(r->report, "library_bytes", json_integer((json_int_t)r->library.n));
    json_object_set_new(r->report, "header_bytes", json_integer((json_int_t)r->header.n));
    char *line = json_dumps(r->report, JSON_COMPACT | JSON_SORT_KEYS);
    if (!line) bug("no memory for JSON");
    size_t n = strlen(line);
    const Bytes parts[] = {{line, n}, {"\n", 1}, r->library, r->header, r->weights};
    char *at = arena_alloc(c->arena, n + 1 + r->library.n + r->header.n + r->weights.n);
    Bytes bytes = {at, 0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; bytes.n += parts[i++].n)
        if (parts[i].n) memcpy(at + bytes.n, parts[i].at, parts[i].n);
    free(line);
    const char *hash = bytes_hash(c->arena, bytes);
    return store_file(c, path_of(c, hash, "result"), bytes) ? hash : NULL;
}

/* ---- compiled modules ---------------------------------------------------------------------------------------------------- */

enum { HASH = 64 }; /* characters */

bool cache_object_find(Cache *c, const char *key, Bytes *object) {
    const char *path = c->folder ? path_of(c, key, "object") : NULL;
    Bytes bytes;
    if (!path || !cache_read_file(c->arena, path, &bytes)) return false;
    cache_used(path);
    *object = (Bytes){bytes.at + HASH, bytes.n - HASH};
    if (bytes.n > HASH && !memcmp(bytes_hash(c->arena, *object), bytes.at, HASH)) return true;
    cache_note(c, arena_printf(c->arena, "the cache's %s is damaged: compiled again", path));
    return false;
}

void cache_object_store(Cache *c, const char *key, Bytes object) {
    if (!c->folder) return;
    char *at = arena_alloc(c->arena, HASH + object.n);
    memcpy(at, bytes_hash(c->arena, object), HASH);
    memcpy(at + HASH, object.at, object.n);
    store_file(c, path_of(c, key, "object"), (Bytes){at, HASH + object.n});
}

void cache_notes_print(const Cache *c) {
    for (int i = 0; i < c->notes.n; i++) fprintf(stderr, "modelc: note: %s\n", c->notes.at[i]);
}

/* ---- what was made ------------------------------------------------------------------------------------------------------- */

/* The alternatives of a key: [{"files": [[path, hash]...], "result": hash}...]; an empty list where there is none. */
static json_t *made_read(Cache *c, const char *path) {
    Bytes bytes;
    if (!cache_read_file(c->arena, path, &bytes)) return json_array();
    cache_used(path);
    json_t *list = json_loadb(bytes.at, bytes.n, 0, NULL);
    if (json_is_array(list)) return list;
    json_decref(list);
    cache_note(c, arena_printf(c->arena, "the cache's %s is damaged: built again", path));
    return json_array();
}

static bool files_same(Cache *c, const json_t *files) {
    const json_t *file;
    size_t i;
    json_array_foreach(files, i, file) {
        const char *path = json_string_value(json_array_get(file, 0)), *hash = json_string_value(json_array_get(file, 1));
        const char *now = path && hash ? file_hash(c, path) : NULL;
        if (!now || strcmp(now, hash)) return false;
    }
    return json_array_size(files) > 0;
}

static bool hash_text(const char *text) {
    return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

bool cache_find(Cache *c, const char *key, CacheResult *result) {
    if (!c->folder) return false;
    json_t *list = made_read(c, path_of(c, key, "made"));
    const json_t *made;
    size_t i;
    bool found = false;
    json_array_foreach(list, i, made) {
        const char *hash = json_string_value(json_object_get(made, "result"));
        if (!hash_text(hash) || !files_same(c, json_object_get(made, "files"))) continue;
        found = result_read(c, hash, result);
        break;
    }
    json_decref(list);
    return found;
}

static json_t *files_json(Cache *c, const char *const *files, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        const char *hash = file_hash(c, files[i]);
        if (!hash) cache_note(c, arena_printf(c->arena, "%s has gone", files[i]));
        json_array_append_new(list, json_pack("[s, s]", files[i], hash ? hash : ""));
    }
    return list;
}

/* Reading and writing of the list is one step for all processes: it is done under a lock of the whole cache. */
static void made_write(Cache *c, const char *key, json_t *files, const char *result) {
    const char *path = path_of(c, key, "made");
    int lock = open(arena_printf(c->arena, "%s/lock", c->folder), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock >= 0) flock(lock, LOCK_EX);
    json_t *list = made_read(c, path);
    for (size_t i = json_array_size(list); i-- > 0;)
        if (i + 1 >= ALTERNATIVES || json_equal(json_object_get(json_array_get(list, i), "files"), files)) json_array_remove(list, i);
    json_array_insert_new(list, 0, json_pack("{s:o, s:s}", "files", files, "result", result));
    char *text = json_dumps(list, JSON_COMPACT);
    if (!text) bug("no memory for JSON");
    store_file(c, path, (Bytes){text, strlen(text)});
    free(text);
    json_decref(list);
    if (lock >= 0) close(lock);
}

static bool changed_since(const char *path, double since) {
    struct stat st;
    return stat(path, &st) || (double)st.st_ctim.tv_sec + 1e-9 * (double)st.st_ctim.tv_nsec >= since;
}

void cache_store(Cache *c, const char *key, const char *const *files, int n, double since, const CacheResult *result) {
    if (!c->folder) return;
    for (int i = 0; i < n; i++)
        if (changed_since(files[i], since)) return;
    const char *hash = result_write(c, result);
    if (hash) made_write(c, key, files_json(c, files, n), hash);
}
