/* mdlrun_file.c -- files of arrays: .npz, .safetensors, and VALUE as the user writes it (a number, .npy, .npz:KEY,
 * .safetensors:KEY). Every length in a file is compared with the file before it is used.
 *
 * Formats: ZIP (APPNOTE 6.3, central directory, stored and deflated members), safetensors (u64 header length, JSON, data). */
#include "runtime/mdlrun.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static uint64_t little(const char *at, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | (unsigned char)at[i];
    return v;
}

/* ---- .npz ---------------------------------------------------------------------------------------------------------------- */

/* Raw deflate of known length; false when the stream is anything else. */
static bool inflate_whole(const char *from, size_t from_bytes, char *to, size_t to_bytes) {
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)from,
                  .avail_in = (unsigned)from_bytes,
                  .next_out = (unsigned char *)to,
                  .avail_out = (unsigned)to_bytes};
    if (from_bytes > UINT32_MAX || to_bytes > UINT32_MAX || inflateInit2(&z, -MAX_WBITS) != Z_OK) return false;
    int code = inflate(&z, Z_FINISH);
    bool good = code == Z_STREAM_END && z.avail_out == 0;
    inflateEnd(&z);
    return good;
}

static void zip_damaged(Tool *t, const char *path) __attribute__((noreturn));
static void zip_damaged(Tool *t, const char *path) {
    tool_fail(t, EXIT_INPUT, "%s is damaged or not a .npz file", path);
}

static Array npz_read(Tool *t, const char *path, const char *key) {
    size_t length;
    char *file = tool_file_read(t, path, &length);
    if (length < 22) zip_damaged(t, path);
    size_t end = length - 22, lowest = end > 65535 ? end - 65535 : 0;
    while (memcmp(file + end, "PK\5\6", 4)) {
        if (end == lowest) zip_damaged(t, path);
        end--;
    }
    size_t entries = little(file + end + 10, 2), at = little(file + end + 16, 4);
    char *wanted = tool_printf(t, "%s.npy", key), *names = tool_printf(t, "%s", "");
    for (size_t i = 0; i < entries; i++) {
        if (at > end || end - at < 46 || memcmp(file + at, "PK\1\2", 4)) zip_damaged(t, path);
        size_t name = little(file + at + 28, 2), skip = name + little(file + at + 30, 2) + little(file + at + 32, 2);
        if (end - at - 46 < skip) zip_damaged(t, path);
        const char *text = file + at + 46;
        bool found = name == strlen(wanted) && !memcmp(text, wanted, name);
        if (!found) {
            if (i < 20) names = tool_printf(t, "%s%s%.*s", names, i ? ", " : "", (int)(name > 4 ? name - 4 : name), text);
            at += 46 + skip;
            continue;
        }
        size_t method = little(file + at + 10, 2), packed = little(file + at + 20, 4), plain = little(file + at + 24, 4);
        size_t local = little(file + at + 42, 4);
        uint32_t crc = (uint32_t)little(file + at + 16, 4);
        if (packed == UINT32_MAX || plain == UINT32_MAX || local == UINT32_MAX)
            tool_fail(t, EXIT_INPUT, "%s: members of 4 GiB and more are not supported yet; store %s as .npy", path, key);
        if (local > end || end - local < 30 || memcmp(file + local, "PK\3\4", 4)) zip_damaged(t, path);
        size_t data = local + 30 + little(file + local + 26, 2) + little(file + local + 28, 2);
        if (data > end || end - data < packed) zip_damaged(t, path);
        /* Deflate makes at most 1032 bytes of one: a claim beyond that is a lie, and no memory is given to it. */
        if (method == 8 && plain / 1032 > packed + 1) zip_damaged(t, path);
        char *bytes = file + data;
        if (method == 8) {
            bytes = tool_alloc(t, plain + 1);
            if (!inflate_whole(file + data, packed, bytes, plain)) zip_damaged(t, path);
        } else if (method != 0 || packed != plain) {
            tool_fail(t, EXIT_INPUT, "%s: %s is packed by a method that is not supported", path, key);
        }
        if (crc32(crc32(0, NULL, 0), (const unsigned char *)bytes, (unsigned)plain) != crc)
            tool_fail(t, EXIT_INPUT, "%s: the checksum of %s is wrong", path, key);
        char *label = tool_printf(t, "%s:%s", path, key);
        Array a = npy_parse(t, label, bytes, plain);
        if (bytes != file + data) tool_release(t, bytes);
        tool_release(t, file);
        return a;
    }
    tool_fail(t, EXIT_INPUT, "%s has no array %s; it has %s", path, key, *names ? names : "none");
}

/* ---- .safetensors -------------------------------------------------------------------------------------------------------- */

/* Checks one row of the header and gives its array's place. */
static const char *tensor_check(const json_t *row, size_t length, Array *a, size_t *begin) {
    const json_t *shape = json_object_get(row, "shape"), *offsets = json_object_get(row, "data_offsets"), *dim;
    const char *type = json_string_value(json_object_get(row, "dtype"));
    if (!type || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return "is described incompletely";
    memset(a, 0, sizeof *a);
    a->dtype = element_type(type);
    if (!a->dtype.bits) return "has an unknown dtype";
    if (json_array_size(shape) > RANK_MAX) return "has too many axes";
    a->count = 1;
    size_t i;
    json_array_foreach(shape, i, dim) {
        int64_t d = json_integer_value(dim);
        if (!json_is_integer(dim) || d < 0 || __builtin_mul_overflow(a->count, d, &a->count)) return "has an impossible shape";
        a->shape[a->rank++] = d;
    }
    int64_t bytes, first = json_integer_value(json_array_get(offsets, 0)),
                   last = json_integer_value(json_array_get(offsets, 1));
    if (__builtin_mul_overflow(a->count, element_size(a->dtype), &bytes)) return "has an impossible shape";
    if (first < 0 || last < first || (uint64_t)last > length) return "lies outside the file";
    if (last - first != bytes) return "has another size than its shape and dtype say";
    *begin = (size_t)first;
    return NULL;
}

typedef struct Extent {
    size_t begin, end;
    const char *name;
} Extent;

static int extent_compare(const void *a, const void *b) {
    const Extent *x = a, *y = b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : (x->end > y->end) - (x->end < y->end);
}

Tensors tensors_open(Tool *t, const char *path) {
    size_t length;
    char *file = tool_file_read(t, path, &length);
    uint64_t n = length < 8 ? 0 : little(file, 8);
    if (length < 8 || n > length - 8)
        tool_fail(t, EXIT_INPUT, "%s is not a .safetensors file, or cut off: its header does not fit the file", path);
    Tensors f = {.data = file + 8 + n, .length = length - 8 - n, .path = path};
    json_error_t error;
    f.header = json_loadb(file + 8, n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(f.header)) tool_fail(t, EXIT_INPUT, "%s: its header is not JSON: %s", path, error.text);
    json_object_del(f.header, "__metadata__");
    size_t count = json_object_size(f.header), k = 0, begin;
    Extent *extents = tool_alloc(t, sizeof *extents * (count + 1));
    const char *name;
    json_t *row;
    json_object_foreach(f.header, name, row) {
        Array a;
        const char *why = tensor_check(row, f.length, &a, &begin);
        if (why) tool_fail(t, EXIT_INPUT, "%s: tensor \"%s\" %s", path, name, why);
        extents[k++] = (Extent){begin, begin + (size_t)(a.count * element_size(a.dtype)), name};
    }
    qsort(extents, count, sizeof *extents, extent_compare);
    for (k = 1; k < count; k++)
        if (extents[k].begin < extents[k - 1].end)
            tool_fail(t, EXIT_INPUT, "%s: tensors \"%s\" and \"%s\" overlap", path, extents[k - 1].name, extents[k].name);
    tool_release(t, extents);
    return f;
}

bool tensors_get(Tool *t, const Tensors *f, const char *name, Array *a) {
    const json_t *row = json_object_get(f->header, name);
    size_t begin;
    if (!row) return false;
    Array found;
    const char *why = tensor_check(row, f->length, &found, &begin);
    if (why) tool_fail(t, EXIT_INPUT, "%s: tensor \"%s\" %s", f->path, name, why);
    *a = array_new(t, found.dtype, found.rank, found.shape); /* a copy: the file's elements need not be aligned */
    memcpy(a->data, f->data + begin, (size_t)(found.count * element_size(found.dtype)));
    return true;
}

static Array safetensors_read(Tool *t, const char *path, const char *key) {
    Tensors f = tensors_open(t, path);
    Array a;
    if (!tensors_get(t, &f, key, &a)) tool_fail(t, EXIT_INPUT, "%s has no tensor \"%s\"", path, key);
    json_decref(f.header);
    return a;
}

void tensors_write(Tool *t, const char *path, int n, const char *const *names, const Array *arrays) {
    json_t *header = json_object();
    int64_t offset = 0;
    for (int i = 0; i < n; i++) {
        char type[16];
        const char *short_name = element_type_text(arrays[i].dtype);
        size_t k = 0;
        for (; short_name[k] && k + 2 < sizeof type; k++) type[k] = (char)toupper((unsigned char)short_name[k]);
        type[k] = 0;
        if (!strncmp(type, "F8", 2)) snprintf(type, sizeof type, "F8_%s", short_name[3] == '4' ? "E4M3" : "E5M2");
        json_t *shape = json_array();
        for (int d = 0; d < arrays[i].rank; d++) json_array_append_new(shape, json_integer(arrays[i].shape[d]));
        int64_t bytes = arrays[i].count * element_size(arrays[i].dtype);
        json_object_set_new(header, names[i],
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", type, "shape", shape, "data_offsets", (json_int_t)offset,
                                      (json_int_t)(offset + bytes)));
        offset += bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text) tool_fail(t, EXIT_INPUT, "cannot write %s: not enough memory", path);
    size_t length = strlen(text), whole = (length + 7) & ~(size_t)7;
    FILE *f = tool_file_create(t, path);
    unsigned char head[8];
    for (int i = 0; i < 8; i++) head[i] = (unsigned char)(whole >> (8 * i));
    fwrite(head, 1, 8, f);
    fprintf(f, "%s%*s", text, (int)(whole - length), "");
    free(text);
    for (int i = 0; i < n; i++) fwrite(arrays[i].data, (size_t)element_size(arrays[i].dtype), (size_t)arrays[i].count, f);
    tool_file_commit(t, f, path);
}

/* ---- VALUE --------------------------------------------------------------------------------------------------------------- */

const char *key_split(Tool *t, const char *text, const char *extension, char **path) {
    char *mark = tool_printf(t, "%s:", extension);
    const char *at = strstr(text, mark);
    if (!at) return NULL;
    *path = tool_copy(t, text, (size_t)(at - text) + strlen(extension));
    return at + strlen(mark);
}

bool array_file_read(Tool *t, const char *text, Array *a) {
    char *path;
    const char *key;
    if ((key = key_split(t, text, ".npz", &path))) {
        *a = npz_read(t, path, key);
    } else if ((key = key_split(t, text, ".safetensors", &path))) {
        *a = safetensors_read(t, path, key);
    } else if (tool_suffix(text, ".npy")) {
        size_t length;
        char *bytes = tool_file_read(t, text, &length);
        *a = npy_parse(t, text, bytes, length);
        tool_release(t, bytes);
    } else if (tool_suffix(text, ".npz") || tool_suffix(text, ".safetensors")) {
        tool_fail(t, EXIT_USAGE, "%s holds several arrays: write %s:NAME", text, text);
    } else {
        return false;
    }
    return true;
}

Array value_read(Tool *t, const char *text) {
    Array a;
    int64_t whole;
    if (tool_int(text, &whole)) {
        a = array_new(t, element_type("i64"), 0, NULL);
        memcpy(a.data, &whole, sizeof whole);
        return a;
    }
    char *end;
    double real = strtod(text, &end);
    if (*text && !*end) {
        a = array_new(t, element_type("f64"), 0, NULL);
        memcpy(a.data, &real, sizeof real);
        return a;
    }
    if (!strcmp(text, "true") || !strcmp(text, "false")) {
        a = array_new(t, element_type("bool"), 0, NULL);
        a.data[0] = *text == 't';
        return a;
    }
    if (array_file_read(t, text, &a)) return a;
    tool_fail(t, EXIT_USAGE, "\"%s\" is neither a number nor FILE.npy, FILE.npz:NAME or FILE.safetensors:NAME", text);
}
