/* safetensors.c -- the strict reader of safetensors headers. The JSON of such a file has one fixed form, an object of objects, so the
 * reader is a cursor that demands what the format says and refuses everything else; artifacts stay free of a JSON library. A string is
 * never longer decoded than it was, so it is decoded where it stands. */
#include "runtime/host/safetensors.h"

#include "runtime/host/libc.h"
#include "runtime/internal.h"

#define MAX_HEADER ((int64_t)100 << 20) /* the reference implementation's limit */
#define TENSOR_TEXT 48                  /* bytes of the shortest: "":{"dtype":"I8","shape":[],"data_offsets":[0,0]} */
#define PAIR_TEXT 5                     /* "":"" */

typedef struct Cursor {
    unsigned char *p, *end;
    StFile *f;
} Cursor;

/* The first reason is the one that counts. */
__attribute__((format(printf, 2, 3))) static bool fail(StFile *f, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    if (!*f->error) rt_text_list(f->error, sizeof f->error, format, ap);
    va_end(ap);
    return false;
}

static bool ended(const Cursor *c) { return fail(c->f, "the header ends inside a string"); }

static void blanks(Cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r')) c->p++;
}

/* The next byte that is no blank is ch: steps over it. */
static bool take(Cursor *c, char ch) {
    blanks(c);
    if (c->p >= c->end || *c->p != (unsigned char)ch) return false;
    c->p++;
    return true;
}

static bool expect(Cursor *c, char ch) { return take(c, ch) || fail(c->f, "the header is not valid JSON: `%c` is missing", ch); }

/* Four digits behind a \u; -1: they are none. */
static int hex4(const unsigned char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int d = p[i] - '0', letter = (p[i] | 0x20) - 'a';
        if (letter >= 0 && letter < 6) d = letter + 10;
        else if (d < 0 || d > 9) return -1;
        v = v * 16 + d;
    }
    return v;
}

static unsigned char *utf8(unsigned char *out, int v) {
    int more = v < 0x80 ? 0 : v < 0x800 ? 1 : v < 0x10000 ? 2 : 3;
    *out++ = (unsigned char)(more ? 0xff00 >> (more + 1) | v >> 6 * more : v);
    while (more) *out++ = (unsigned char)(0x80 | (v >> 6 * --more & 63));
    return out;
}

/* "\uD83D\uDE00" and the like; c->p stands behind the u. */
static bool escape_unicode(Cursor *c, unsigned char **out) {
    if (c->end - c->p < 4) return ended(c);
    int v = hex4(c->p);
    c->p += 4;
    if (v >= 0xd800 && v < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u') {
        int low = hex4(c->p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
            c->p += 6;
        }
    }
    if (v <= 0 || (v >= 0xd800 && v < 0xe000)) return fail(c->f, "the header has a bad \\u escape");
    *out = utf8(*out, v);
    return true;
}

/* c->p stands behind the backslash. */
static bool escape(Cursor *c, unsigned char **out) {
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    if (c->p >= c->end) return ended(c);
    char e = (char)*c->p++;
    if (e == 'u') return escape_unicode(c, out);
    for (int i = 0; FROM[i]; i++) {
        if (FROM[i] != e) continue;
        *(*out)++ = (unsigned char)TO[i];
        return true;
    }
    return fail(c->f, "the header has a bad escape in a string");
}

/* NULL: there is none. */
static char *string(Cursor *c) {
    if (!expect(c, '"')) return NULL;
    unsigned char *text = c->p, *out = text;
    for (;;) {
        if (c->p >= c->end) return ended(c), NULL;
        unsigned char ch = *c->p++;
        if (ch == '"') break;
        if (ch < 0x20) return fail(c->f, "the header has a control character in a string"), NULL;
        if (ch != '\\') *out++ = ch;
        else if (!escape(c, &out)) return NULL;
    }
    *out = 0;
    return (char *)text;
}

static bool number(Cursor *c, int64_t *v) {
    blanks(c);
    const unsigned char *first = c->p;
    for (*v = 0; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(*v, (int64_t)10, v) || __builtin_add_overflow(*v, (int64_t)(*c->p - '0'), v))
            return fail(c->f, "the header has a number beyond 63 bits");
    return c->p > first || fail(c->f, "the header has something else where a whole number must be");
}

static bool dtype(Cursor *c, StTensor *t) {
    static const struct {
        char name[8]; /* here, not pointed at: a pointer costs a relocation */
        uint8_t width;
    } ROW[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},     {"I8", 1},
               {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    t->dtype = string(c);
    if (!t->dtype) return false;
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        if (rt_text_order(ROW[i].name, t->dtype) == 0) t->width = ROW[i].width;
    return t->width || fail(c->f, "tensor \"%.80s\" has the unknown dtype \"%.40s\"", t->name, t->dtype);
}

static bool shape(Cursor *c, StTensor *t) {
    if (!expect(c, '[')) return false;
    if (take(c, ']')) return true;
    do {
        if (t->rank == ST_MAX_RANK) return fail(c->f, "tensor \"%.80s\" has more than %d axes", t->name, ST_MAX_RANK);
        if (!number(c, &t->dims[t->rank++])) return false;
    } while (take(c, ','));
    return expect(c, ']');
}

static bool offsets(Cursor *c, StTensor *t) {
    return expect(c, '[') && number(c, &t->begin) && expect(c, ',') && number(c, &t->end) && expect(c, ']');
}

/* {"dtype": …, "shape": […], "data_offsets": [a, b]}, each key once, in any order. */
static bool tensor(Cursor *c, StTensor *t, int64_t room) {
    unsigned seen = 0;
    if (!expect(c, '{')) return false;
    do {
        const char *key = string(c);
        if (!key) return false;
        unsigned bit = !rt_text_order(key, "dtype") ? 1 : !rt_text_order(key, "shape") ? 2 : !rt_text_order(key, "data_offsets") ? 4 : 0;
        if (!bit || seen & bit) return fail(c->f, "tensor \"%.80s\" has a surplus key", t->name);
        seen |= bit;
        if (!expect(c, ':') || !(bit == 1 ? dtype(c, t) : bit == 2 ? shape(c, t) : offsets(c, t))) return false;
    } while (take(c, ','));
    if (!expect(c, '}')) return false;
    if (seen != 7) return fail(c->f, "tensor \"%.80s\" lacks its dtype, shape or offsets", t->name);
    int64_t bytes = t->width;
    bool fits = true;
    for (int i = 0; i < t->rank; i++) fits = fits && !__builtin_mul_overflow(bytes, t->dims[i], &bytes);
    if (t->begin > t->end || t->end > room)
        return fail(c->f, "tensor \"%.80s\" lies outside the file: bytes %lld to %lld of %lld", t->name, (long long)t->begin, (long long)t->end, (long long)room);
    return (fits && t->end - t->begin == bytes) ||
           fail(c->f, "tensor \"%.80s\" has %lld bytes, which its shape and dtype do not fit", t->name, (long long)(t->end - t->begin));
}

static bool twice(StFile *f, const char *name) { return fail(f, "there are two tensors \"%.80s\"", name); }

/* Room for all rows that the rest of the header can hold. */
static void *rows(const Cursor *c, size_t row, int text) {
    void *p = aligned_alloc(RT_ALIGN, (row * (size_t)((c->end - c->p) / text + 1) + RT_ALIGN - 1) / RT_ALIGN * RT_ALIGN);
    if (!p) fail(c->f, "no memory for the header");
    return p;
}

static bool metadata(Cursor *c) {
    StFile *f = c->f;
    if (f->metadata) return twice(f, "__metadata__");
    f->metadata = rows(c, sizeof *f->metadata, PAIR_TEXT);
    if (!f->metadata || !expect(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        StPair *pair = &f->metadata[f->n_metadata];
        pair->key = string(c);
        if (!pair->key || !expect(c, ':')) return false;
        pair->value = string(c);
        if (!pair->value) return false;
        f->n_metadata++;
    } while (take(c, ','));
    return expect(c, '}');
}

static bool entries(Cursor *c, int64_t room) {
    StFile *f = c->f;
    f->tensor = rows(c, sizeof *f->tensor, TENSOR_TEXT);
    if (!f->tensor || !expect(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        const char *name = string(c);
        if (!name || !expect(c, ':')) return false;
        StTensor *t = &f->tensor[f->n];
        bool is_tensor = rt_text_order(name, "__metadata__") != 0;
        if (is_tensor) *t = (StTensor){.name = name};
        if (!(is_tensor ? tensor(c, t, room) : metadata(c))) return false;
        f->n += is_tensor;
    } while (take(c, ','));
    return expect(c, '}');
}

static int by_name(const void *a, const void *b) { return rt_text_order(((const StTensor *)a)->name, ((const StTensor *)b)->name); }

static int by_begin(const void *a, const void *b) {
    const StTensor *x = a, *y = b;
    int64_t d = x->begin != y->begin ? x->begin - y->begin : x->end - y->end;
    return (d > 0) - (d < 0);
}

/* No name twice, and the tensors fill the `room` bytes of data, each beginning where the one before ends, as the format demands. */
static bool distinct(StFile *f, int64_t room) {
    int64_t end = 0;
    StTensor *t = f->tensor;
    qsort(t, (size_t)f->n, sizeof *t, by_name);
    for (int i = 1; i < f->n; i++)
        if (by_name(&t[i - 1], &t[i]) == 0) return twice(f, t[i].name);
    qsort(t, (size_t)f->n, sizeof *t, by_begin);
    for (int i = 0; i < f->n; end = t[i++].end) {
        if (end > t[i].begin) return fail(f, "tensors \"%.80s\" and \"%.80s\" overlap", t[i - 1].name, t[i].name);
        if (end < t[i].begin) return fail(f, "there is a hole in the data before tensor \"%.80s\"", t[i].name);
    }
    return end == room || fail(f, "there are %lld bytes behind the last tensor", (long long)(room - end));
}

int st_parse(StFile *f, unsigned char *bytes, int64_t size) {
    *f = (StFile){0};
    Cursor c = {bytes, bytes, f};
    uint64_t length = 0;
    if (size < 8) return fail(f, "the file is too short to be a safetensors file");
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > (uint64_t)MAX_HEADER || (int64_t)length > size - 8)
        return fail(f, "the header claims %llu bytes, and the file has %lld", (unsigned long long)length, (long long)(size - 8));
    c.p = bytes + 8;
    c.end = c.p + length;
    f->data = 8 + (int64_t)length;
    if (!entries(&c, size - f->data)) return fail(f, "the header is not valid JSON");
    blanks(&c);
    if (c.p != c.end) return fail(f, "the header goes on after its end");
    return distinct(f, size - f->data);
}

void st_free(StFile *f) {
    free(f->tensor);
    free(f->metadata);
    *f = (StFile){0};
}

const StTensor *st_find(const StFile *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (rt_text_order(f->tensor[i].name, name) == 0) return &f->tensor[i];
    return NULL;
}

const char *st_metadata(const StFile *f, const char *key) {
    for (int i = 0; i < f->n_metadata; i++)
        if (rt_text_order(f->metadata[i].key, key) == 0) return f->metadata[i].value;
    return NULL;
}
