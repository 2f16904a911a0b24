/* checkpoint.c -- load and save in the safetensors format. A load changes all or nothing: the whole file is read and checked first. A save
 * writes beside the target, syncs and renames, so that a full disk or a crash leaves the old file as it was, and keeps in its metadata a
 * checksum of the data, by which a load knows a file that was damaged on its way. */
#include "runtime/internal.h"
#include "runtime/checksum.h"
#include "runtime/host/libc.h"
#include "runtime/host/safetensors.h"

/* "F32": our names in capitals; "F8_E4M3" for f8e4m3. */
typedef struct FileDtype {
    char name[8];
} FileDtype;

static FileDtype file_dtype(mdl_dtype t) {
    FileDtype f = {0};
    const char *name = rt_dtype_name(t);
    for (int i = 0, k = 0; i < 7 && name[k]; i++) {
        bool between = i == 2 && name[1] == '8' && t.code != 1;
        char c = between ? '_' : name[k++];
        f.name[i] = c >= 'a' ? (char)(c - 'a' + 'A') : c;
    }
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
    *bytes = aligned_alloc(RT_ALIGN, (size_t)*size / RT_ALIGN * RT_ALIGN + RT_ALIGN);
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

/* The tensor for one slot, and whether it fits there. */
static bool fits(const mdl_session *s, const StFile *f, int slot, const StTensor **found) {
    const mdl_value *v = rt_slot_value(s, slot);
    const StTensor *t = *found = st_find(f, v->name);
    bool same = t && t->rank == v->rank && st_converts(t->dtype, file_dtype(v->dtype).name);
    for (int i = 0; same && i < t->rank; i++) same = t->dims[i] == s->dims[slot][i];
    return same;
}

/* The reason why the tensor for one slot does not fit. */
static int unfit(mdl_session *s, const char *path, int slot, const StTensor *t) {
    const mdl_value *v = rt_slot_value(s, slot);
    if (!t) return rt_fail(s, MDL_MISMATCH, "%s has no tensor \"%s\"", path, v->name);
    FileDtype want = file_dtype(v->dtype);
    if (!st_converts(t->dtype, want.name))
        return rt_fail(s, MDL_MISMATCH, "%s: \"%s\" is %s, and the model wants %s", path, v->name, t->dtype, want.name);
    char text[2][160];
    rt_shape_text(text[0], sizeof *text, t->dims, t->rank);
    rt_shape_text(text[1], sizeof *text, s->dims[slot], v->rank);
    return rt_fail(s, MDL_MISMATCH, "%s: \"%s\" is %s, and the model wants %s", path, v->name, text[0], text[1]);
}

/* One more name behind the message. */
static void also(mdl_session *s, int *n, const char *name) {
    size_t used = rt_text_length(s->error);
    rt_text(s->error + used, sizeof s->error - used, "%s \"%.80s\"", (*n)++ ? "," : "; more that differ:", name);
}

static bool is_saved(const mdl_session *s, int slot, bool optimizer) {
    return rt_slot_value(s, slot)->kind != MDL_CACHE && (optimizer || !s->program->slots[slot].optimizer);
}

/* "opt.m.net.0.weight": what an optimizer keeps for a parameter. A checkpoint of a training serves an artifact without that optimizer. */
static bool is_slot_of_parameter(const mdl_session *s, const char *name) {
    size_t n = rt_text_length(name);
    for (int i = 0; i < s->program->n_slots; i++) {
        const char *path = rt_slot_value(s, i)->name;
        size_t m = rt_text_length(path);
        if (rt_slot_value(s, i)->kind == MDL_PARAM && n > m + 1 && name[n - m - 1] == '.' && rt_text_order(name + n - m, path) == 0) return true;
    }
    return false;
}

static int match_all(mdl_session *s, const StFile *f, const char *path, const StTensor **found) {
    int with = 0, without = 0, code = MDL_OK, known = 0, more = 0;
    for (int i = 0; i < s->program->n_slots; i++) {
        if (!is_saved(s, i, true)) continue;
        bool fine = fits(s, f, i, &found[i]), optimizer = s->program->slots[i].optimizer;
        if (optimizer) found[i] ? with++ : without++;
        known += found[i] != NULL;
        if (fine || (optimizer && !found[i])) continue;
        if (code) also(s, &more, rt_slot_value(s, i)->name);
        else code = unfit(s, path, i, found[i]);
    }
    if (code) return code;
    if (with && without) return rt_fail(s, MDL_MISMATCH, "%s has %d of %d tensors of the optimizer: all or none must be there", path, with, with + without);
    for (int k = 0; known < f->n && k < f->n; k++) {
        const char *name = f->tensor[k].name;
        if (rt_slot_find(s, name) >= 0 || is_slot_of_parameter(s, name)) continue;
        if (code) also(s, &more, name);
        else code = rt_fail(s, MDL_MISMATCH, "%s has a tensor \"%.80s\" that the model has not", path, name);
    }
    return code;
}

static uint64_t number_of(const char *text) {
    uint64_t v = 0;
    for (; *text >= '0' && *text <= '9'; text++) v = 10 * v + (uint64_t)(*text - '0');
    return v;
}

/* Is the data what was saved? A file from elsewhere says nothing of it. */
static bool is_whole(const StFile *f, const char *data) {
    uint64_t sum = 0;
    const char *saved = st_metadata(f, "sum");
    for (int i = 0; saved && i < f->n; i++) sum = checksum_add(sum, data + f->tensor[i].begin, f->tensor[i].end - f->tensor[i].begin);
    return !saved || number_of(saved) == sum;
}

/* What stands in text behind the prefix; NULL: it has another beginning. */
static const char *behind(const char *text, const char *prefix) {
    while (*prefix && *text == *prefix) text++, prefix++;
    return *prefix ? NULL : text;
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
    for (int i = 0; i < f->n_metadata; i++) {
        const char *note = behind(f->metadata[i].key, "note.");
        if (note) rt_note(s, note, f->metadata[i].value, NULL, 0);
    }
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
    if (!code && !is_whole(&f, (const char *)bytes + f.data)) code = rt_fail(s, MDL_FORMAT, "%s is damaged: its data is not what was saved", path);
    int64_t missing = 0;
    for (int i = 0; i < s->program->n_slots && !code; i++) missing += found[i] ? rt_slot_missing(s, i) : 0;
    rt_room(s, missing);
    for (int i = 0; i < s->program->n_slots && !code; i++)
        if (found[i]) code = rt_slot_own(s, i);
    for (int i = 0; i < s->program->n_slots && !code; i++)
        if (found[i]) rt_slot_written(s, i), st_copy(s->slots[i], file_dtype(rt_slot_value(s, i)->dtype).name, bytes + f.data + found[i]->begin, found[i]);
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

/* A header is written twice: without room, to know its length, then into as much. */
typedef struct Text {
    char *at;
    size_t n, room; /* n: of the whole text, also where it is longer than the room */
} Text;

__attribute__((format(printf, 2, 3))) static void text(Text *t, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    size_t used = t->n < t->room ? t->n : t->room;
    t->n += rt_text_list(t->at + used, t->room - used, format, ap);
    va_end(ap);
}

/* s as a part of a JSON string. */
static void text_escaped(Text *t, const char *before, const char *s, const char *after) {
    text(t, "%s", before);
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20) text(t, "\\u%04x", *s);
        else text(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    }
    text(t, "%s", after);
}

static void header_metadata(Text *t, const mdl_session *s, uint64_t sum) {
    text_escaped(t, "{\"__metadata__\":{\"format\":\"modelc\",\"model\":\"", s->model->name, "\",\"weights_hash\":\"");
    for (int i = 0; i < 32; i++) text(t, "%02x", s->model->weights_hash[i]);
    text(t, "\",\"sum\":\"%llu\",\"seed\":\"%llu\"", (unsigned long long)sum, (unsigned long long)s->seed);
    for (int i = 0; i < s->program->n_entries; i++) {
        if (!s->program->entries[i].draws) continue;
        text_escaped(t, ",\"step.", s->model->entries[i].name, "\":");
        text(t, "\"%llu\"", (unsigned long long)s->steps[i]);
    }
    for (const RtNote *n = s->notes; n; n = n->next) {
        text_escaped(t, ",\"note.", n->key, "\":\"");
        text_escaped(t, "", n->value, "\"");
    }
    text(t, "}");
}

static void header(Text *t, const mdl_session *s, uint64_t sum, bool optimizer) {
    int64_t at = 0;
    header_metadata(t, s, sum);
    for (int i = 0; i < s->program->n_slots; i++) {
        if (!is_saved(s, i, optimizer)) continue;
        const mdl_value *v = rt_slot_value(s, i);
        text_escaped(t, ",\"", v->name, "\"");
        text(t, ":{\"dtype\":\"%s\",\"shape\":[", file_dtype(v->dtype).name);
        for (int k = 0; k < v->rank; k++) text(t, k ? ",%lld" : "%lld", (long long)s->dims[i][k]);
        int64_t end = at + rt_slot_bytes(s, i);
        text(t, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)end);
        at = end;
    }
    text(t, "}");
    while (t->n % 8) text(t, " ");
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

static bool write_checkpoint(const mdl_session *s, int fd, const Text *head, bool optimizer) {
    uint64_t length = head->n; /* little-endian, as all targets are */
    if (!write_all(fd, &length, 8) || !write_all(fd, head->at, head->n)) return false;
    for (int i = 0; i < s->program->n_slots; i++)
        if (is_saved(s, i, optimizer) && !write_all(fd, s->slots[i], (size_t)rt_slot_bytes(s, i))) return false;
    return fsync(fd) == 0;
}

/* The folder of a file, whose name is cut off. */
static void sync_folder(char *path) {
    size_t n = rt_text_length(path);
    while (n && path[n - 1] != '/') n--;
    path[n] = 0;
    int fd = open(n ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static int save_to(mdl_session *s, const char *path, const Text *head, bool optimizer) {
    char temporary[4096];
    if (rt_text(temporary, sizeof temporary, "%s.tmp%d", path, getpid()) >= sizeof temporary)
        return rt_fail(s, MDL_IO, "cannot write %.200s: the name is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return rt_fail(s, MDL_IO, "cannot write %s: %s", path, strerror(errno));
    bool good = write_checkpoint(s, fd, head, optimizer);
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
        sync_folder(temporary);
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
    Text head = {0};
    uint64_t sum = 0;
    for (int i = 0; i < s->program->n_slots && !code; i++) {
        if (!is_saved(s, i, optimizer != 0)) continue;
        code = rt_slot_read(s, i);
        if (!code) sum = checksum_add(sum, s->slots[i], rt_slot_bytes(s, i));
    }
    if (!code) {
        header(&head, s, sum, optimizer != 0);
        head.room = head.n + 1;
        head.at = rt_host_take((int64_t)head.room);
        head.n = 0;
        if (head.at) header(&head, s, sum, optimizer != 0);
        code = head.at ? save_to(s, path, &head, optimizer != 0) : rt_fail(s, MDL_MEMORY, "no memory to save %s", path);
    }
    rt_host_give(head.at);
    rt_leave(s);
    return code;
}
