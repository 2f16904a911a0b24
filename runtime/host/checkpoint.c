/* checkpoint.c -- load and save in the safetensors format. A load changes all or nothing: the whole file is read and checked first. A save
 * writes beside the target, syncs and renames, so that a full disk or a crash leaves the old file as it was. */
#include "runtime/internal.h"
#include "runtime/host/libc.h"
#include "runtime/host/safetensors.h"

/* "F32": our names in capitals. */
typedef struct FileDtype {
    char name[8];
} FileDtype;

static FileDtype file_dtype(mdl_dtype t) {
    FileDtype f = {0};
    const char *name = rt_dtype_name(t);
    for (int i = 0; i < 7 && name[i]; i++) f.name[i] = name[i] >= 'a' ? (char)(name[i] - 'a' + 'A') : name[i];
    return f;
}

/* ---- load */

static int read_file(mdl_session *s, const char *path, unsigned char **bytes, int64_t *size) {
    char first;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return rt_fail(s, MDL_IO, "cannot open %s: %s", path, strerror(errno));
    *size = lseek(fd, 0, SEEK_END); /* libc has an fstat to link with since glibc 2.33 only */
    if (*size < 0 || lseek(fd, 0, SEEK_SET) != 0 || read(fd, &first, 1) < 0 || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd); /* a pipe has no end to go to, a folder has none to read */
        return rt_fail(s, MDL_IO, "%s is not a file", path);
    }
    *bytes = malloc((size_t)*size + 1);
    int64_t have = 0;
    while (*bytes && have < *size) {
        ptrdiff_t n = read(fd, *bytes + have, (size_t)(*size - have));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        have += n;
    }
    int error = errno;
    close(fd);
    if (!*bytes) return rt_fail(s, MDL_MEMORY, "no memory for %s: %lld bytes", path, (long long)*size);
    if (have == *size) return MDL_OK;
    free(*bytes);
    return rt_fail(s, MDL_IO, "cannot read %s: %s", path, error ? strerror(error) : "it became shorter");
}

/* The tensor for one slot: its place in the file, or the reason why it does not fit. */
static int match(mdl_session *s, const StFile *f, const char *path, int slot, const StTensor **found) {
    const mdl_value *v = rt_slot_value(s, slot);
    const StTensor *t = *found = st_find(f, v->name);
    if (!t) return rt_fail(s, MDL_MISMATCH, "%s has no tensor \"%s\"", path, v->name);
    FileDtype want = file_dtype(v->dtype);
    if (!st_converts(t->dtype, want.name))
        return rt_fail(s, MDL_MISMATCH, "%s: \"%s\" is %s, and the model wants %s", path, v->name, t->dtype, want.name);
    bool same = t->rank == v->rank;
    for (int i = 0; same && i < t->rank; i++) same = t->dims[i] == s->dims[slot][i];
    if (same) return MDL_OK;
    char text[2][160];
    for (int k = 0; k < 2; k++) {
        size_t n = 0;
        text[k][0] = 0;
        int rank = k ? v->rank : t->rank;
        for (int i = 0; i < rank && n < sizeof text[k]; i++)
            n += rt_text(text[k] + n, sizeof text[k] - n, i ? ", %lld" : "%lld", (long long)(k ? s->dims[slot][i] : t->dims[i]));
    }
    return rt_fail(s, MDL_MISMATCH, "%s: \"%s\" is [%s], and the model wants [%s]", path, v->name, text[0], text[1]);
}

static bool is_saved(const mdl_session *s, int slot, bool optimizer) {
    return rt_slot_value(s, slot)->kind != MDL_CACHE && (optimizer || !s->program->slots[slot].optimizer);
}

/* "opt.m.net.0.weight": what an optimizer keeps for a parameter. A checkpoint of a training serves an artifact without that optimizer. */
static bool is_slot_of_parameter(const mdl_session *s, const char *name) {
    size_t n = strlen(name);
    for (int i = 0; i < s->program->n_slots; i++) {
        const char *path = rt_slot_value(s, i)->name;
        size_t m = strlen(path);
        if (rt_slot_value(s, i)->kind == MDL_PARAM && n > m + 1 && name[n - m - 1] == '.' && strcmp(name + n - m, path) == 0) return true;
    }
    return false;
}

static int match_all(mdl_session *s, const StFile *f, const char *path, const StTensor **found) {
    int with = 0, without = 0, code = MDL_OK, known = 0;
    for (int i = 0; i < s->program->n_slots && !code; i++) {
        if (!is_saved(s, i, true)) continue;
        bool there = st_find(f, rt_slot_value(s, i)->name) != NULL;
        if (s->program->slots[i].optimizer) there ? with++ : without++;
        if (there || !s->program->slots[i].optimizer) code = match(s, f, path, i, &found[i]);
        known += there;
    }
    if (code) return code;
    if (with && without) return rt_fail(s, MDL_MISMATCH, "%s has %d of %d tensors of the optimizer: all or none must be there", path, with, with + without);
    for (int k = 0; known < f->n && k < f->n; k++) {
        const char *name = f->tensor[k].name;
        if (rt_slot_find(s, name) < 0 && !is_slot_of_parameter(s, name))
            return rt_fail(s, MDL_MISMATCH, "%s has a tensor \"%.80s\" that the model has not", path, name);
    }
    return MDL_OK;
}

static uint64_t number_of(const char *text) {
    uint64_t v = 0;
    for (; *text >= '0' && *text <= '9'; text++) v = 10 * v + (uint64_t)(*text - '0');
    return v;
}

static void load_metadata(mdl_session *s, const StFile *f) {
    const char *seed = st_metadata(f, "seed");
    if (seed) s->seed = number_of(seed);
    for (int i = 0; i < s->program->n_entries; i++) {
        char key[160];
        rt_text(key, sizeof key, "step.%s", s->model->entries[i].name);
        const char *step = st_metadata(f, key);
        if (step) s->steps[i] = number_of(step);
    }
    for (int i = 0; i < f->n_metadata; i++)
        if (strncmp(f->metadata[i].key, "note.", 5) == 0) rt_note(s, f->metadata[i].key + 5, f->metadata[i].value, NULL, 0);
}

int rt_load(mdl_session *s, const char *path) {
    if (!s) return MDL_ARGUMENT;
    if (!path) return rt_fail(s, MDL_ARGUMENT, "load: no file name");
    if (!rt_enter(s)) return MDL_BUSY;
    unsigned char *bytes = NULL;
    int64_t size = 0;
    int code = read_file(s, path, &bytes, &size);
    if (code) {
        rt_leave(s);
        return code;
    }
    StFile f;
    const StTensor **found = rt_host_take((int64_t)sizeof *found * (s->program->n_slots + 1));
    if (!st_parse(&f, bytes, size)) code = rt_fail(s, MDL_FORMAT, "%s: %s", path, f.error);
    if (!code && !found) code = rt_fail(s, MDL_MEMORY, "no memory to load %s", path);
    if (!code) code = match_all(s, &f, path, found);
    for (int i = 0; i < s->program->n_slots && !code; i++)
        if (found[i]) code = rt_slot_own(s, i);
    for (int i = 0; i < s->program->n_slots && !code; i++)
        if (found[i]) st_copy(s->slots[i], file_dtype(s->program->slots[i].value->dtype).name, bytes + f.data + found[i]->begin, found[i]);
    if (!code) {
        load_metadata(s, &f);
        s->broken = 0;
    }
    st_free(&f);
    rt_host_give(found);
    free(bytes);
    rt_leave(s);
    return code;
}

/* ---- save */

typedef struct Text {
    char *at;
    size_t n, cap;
    bool failed;
} Text;

static void text_add(Text *t, const char *bytes, size_t n) {
    if (t->n + n > t->cap) {
        size_t cap = (t->n + n) * 2 + 256;
        char *more = realloc(t->at, cap);
        if (!more) {
            t->failed = true;
            return;
        }
        t->at = more;
        t->cap = cap;
    }
    memcpy(t->at + t->n, bytes, n);
    t->n += n;
}

static void text_string(Text *t, const char *s) {
    text_add(t, "\"", 1);
    for (; *s; s++) {
        char code[8];
        if ((unsigned char)*s < 0x20) text_add(t, code, rt_text(code, sizeof code, "\\u%04x", *s));
        else if (*s == '"' || *s == '\\') text_add(t, (char[]){'\\', *s}, 2);
        else text_add(t, s, 1);
    }
    text_add(t, "\"", 1);
}

static void text_pair(Text *t, const char *key, const char *value) {
    if (t->at[t->n - 1] != '{') text_add(t, ",", 1);
    text_string(t, key);
    text_add(t, ":", 1);
    text_string(t, value);
}

static void header_metadata(Text *t, const mdl_session *s) {
    char text[160], key[200];
    text_add(t, "{\"__metadata__\":{", 17);
    text_pair(t, "format", "modelc");
    text_pair(t, "model", s->model->name);
    for (int i = 0; i < 32; i++) rt_text(text + 2 * i, 3, "%02x", s->model->weights_hash[i]);
    text_pair(t, "weights_hash", text);
    rt_text(text, sizeof text, "%llu", (unsigned long long)s->seed);
    text_pair(t, "seed", text);
    for (int i = 0; i < s->program->n_entries; i++) {
        if (!s->program->entries[i].draws) continue;
        rt_text(key, sizeof key, "step.%s", s->model->entries[i].name);
        rt_text(text, sizeof text, "%llu", (unsigned long long)s->steps[i]);
        text_pair(t, key, text);
    }
    for (const RtNote *n = s->notes; n; n = n->next) {
        rt_text(key, sizeof key, "note.%s", n->key);
        text_pair(t, key, n->value);
    }
    text_add(t, "}", 1);
}

static void header_tensors(Text *t, const mdl_session *s, bool optimizer) {
    char text[96];
    int64_t at = 0;
    for (int i = 0; i < s->program->n_slots; i++) {
        if (!is_saved(s, i, optimizer)) continue;
        const mdl_value *v = rt_slot_value(s, i);
        text_add(t, ",", 1);
        text_string(t, v->name);
        text_add(t, text, rt_text(text, sizeof text, ":{\"dtype\":\"%s\",\"shape\":[", file_dtype(v->dtype).name));
        for (int k = 0; k < v->rank; k++) text_add(t, text, rt_text(text, sizeof text, k ? ",%lld" : "%lld", (long long)s->dims[i][k]));
        int64_t end = at + rt_slot_bytes(s, i);
        text_add(t, text, rt_text(text, sizeof text, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)end));
        at = end;
    }
    text_add(t, "}", 1);
    while (t->n % 8 && !t->failed) text_add(t, " ", 1);
}

static bool write_all(int fd, const void *data, size_t n) {
    for (const char *p = data; n > 0;) {
        ptrdiff_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool write_checkpoint(const mdl_session *s, int fd, const Text *header, bool optimizer) {
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header->n >> 8 * i);
    if (!write_all(fd, length, 8) || !write_all(fd, header->at, header->n)) return false;
    for (int i = 0; i < s->program->n_slots; i++)
        if (is_saved(s, i, optimizer) && !write_all(fd, s->slots[i], (size_t)rt_slot_bytes(s, i))) return false;
    return fsync(fd) == 0;
}

static void sync_folder(const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    rt_text(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static int save_to(mdl_session *s, const char *path, const Text *header, bool optimizer) {
    char temporary[4096];
    if (rt_text(temporary, sizeof temporary, "%s.tmp%ld", path, (long)getpid()) >= sizeof temporary)
        return rt_fail(s, MDL_IO, "cannot write %.200s: the name is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return rt_fail(s, MDL_IO, "cannot write %s: %s", path, strerror(errno));
    bool good = write_checkpoint(s, fd, header, optimizer);
    int error = errno;
    if (close(fd) != 0 && good) {
        good = false;
        error = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        error = errno;
    }
    if (good) {
        sync_folder(path);
        return MDL_OK;
    }
    unlink(temporary);
    return rt_fail(s, MDL_IO, "cannot write %s: %s", path, strerror(error));
}

int rt_save(mdl_session *s, const char *path, int32_t optimizer) {
    if (!s) return MDL_ARGUMENT;
    if (!path) return rt_fail(s, MDL_ARGUMENT, "save: no file name");
    if (!rt_enter(s)) return MDL_BUSY;
    int code = MDL_OK;
    if (s->broken == 2) code = rt_fail(s, MDL_BROKEN, "save: an earlier call failed after it had begun to change weights: load a checkpoint first");
    Text header = {0};
    if (!code) {
        header_metadata(&header, s);
        header_tensors(&header, s, optimizer != 0);
        code = header.failed ? rt_fail(s, MDL_MEMORY, "no memory to save %s", path) : save_to(s, path, &header, optimizer != 0);
    }
    free(header.at);
    rt_leave(s);
    return code;
}
