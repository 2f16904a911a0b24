/* safetensors.c -- the strict reader of safetensors headers. The JSON of such a file has one fixed form, an object of objects, so the
 * reader is a cursor that demands what the format says and refuses everything else; artifacts stay free of a JSON library. */
#include "runtime/host/safetensors.h"

#include "runtime/host/libc.h"
#include "runtime/internal.h"

#define MAX_HEADER ((int64_t)100 << 20) /* the reference implementation's limit */

typedef struct Cursor {
    const unsigned char *p, *end;
    StFile *f;
} Cursor;

static bool fail(Cursor *c, const char *what) {
    if (!*c->f->error) snprintf(c->f->error, sizeof c->f->error, "%s", what);
    return false;
}

static void blanks(Cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r')) c->p++;
}

static bool at(Cursor *c, char ch) {
    blanks(c);
    return c->p < c->end && *c->p == (unsigned char)ch;
}

static bool take(Cursor *c, char ch) {
    if (!at(c, ch)) return false;
    c->p++;
    return true;
}

static bool expect(Cursor *c, char ch) {
    char text[] = "the header is not valid JSON: `?` is missing";
    text[31] = ch;
    return take(c, ch) || fail(c, text);
}

static int hex4(const unsigned char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int d = p[i] >= '0' && p[i] <= '9' ? p[i] - '0' : p[i] >= 'a' && p[i] <= 'f' ? p[i] - 'a' + 10 : p[i] >= 'A' && p[i] <= 'F' ? p[i] - 'A' + 10 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

static char *utf8(char *out, uint32_t v) {
    if (v < 0x80) {
        *out++ = (char)v;
    } else if (v < 0x800) {
        *out++ = (char)(0xc0 | v >> 6);
        *out++ = (char)(0x80 | (v & 63));
    } else if (v < 0x10000) {
        *out++ = (char)(0xe0 | v >> 12);
        *out++ = (char)(0x80 | (v >> 6 & 63));
        *out++ = (char)(0x80 | (v & 63));
    } else {
        *out++ = (char)(0xf0 | v >> 18);
        *out++ = (char)(0x80 | (v >> 12 & 63));
        *out++ = (char)(0x80 | (v >> 6 & 63));
        *out++ = (char)(0x80 | (v & 63));
    }
    return out;
}

/* "\uD83D\uDE00" and the like; c->p stands behind the u. */
static bool escape_unicode(Cursor *c, char **out) {
    if (c->end - c->p < 4) return fail(c, "the header ends inside a string");
    int v = hex4(c->p);
    c->p += 4;
    if (v >= 0xd800 && v < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u') {
        int low = hex4(c->p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
            c->p += 6;
        }
    }
    if (v <= 0 || (v >= 0xd800 && v < 0xe000)) return fail(c, "the header has a bad \\u escape");
    *out = utf8(*out, (uint32_t)v);
    return true;
}

static char *string(Cursor *c) {
    if (!expect(c, '"')) return NULL;
    const unsigned char *close = c->p;
    while (close < c->end && *close != '"') close += *close == '\\' && close + 1 < c->end ? 2 : 1;
    if (close >= c->end) {
        fail(c, "the header ends inside a string");
        return NULL;
    }
    char *text = malloc((size_t)(close - c->p) + 1), *out = text;
    if (!text) {
        fail(c, "no memory for the header");
        return NULL;
    }
    while (c->p < close) {
        unsigned char ch = *c->p++;
        bool good = true;
        if (ch < 0x20) {
            good = fail(c, "the header has a control character in a string");
        } else if (ch != '\\') {
            *out++ = (char)ch;
        } else {
            static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
            char e = (char)*c->p++;
            const char *k = e ? strchr(FROM, e) : NULL;
            if (k) *out++ = TO[k - FROM];
            else good = e == 'u' ? escape_unicode(c, &out) : fail(c, "the header has a bad escape in a string");
        }
        if (!good) {
            free(text);
            return NULL;
        }
    }
    c->p = close + 1;
    *out = 0;
    return text;
}

static bool number(Cursor *c, int64_t *v) {
    blanks(c);
    if (c->p >= c->end || *c->p < '0' || *c->p > '9') return fail(c, "the header has something else where a whole number must be");
    for (*v = 0; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(*v, (int64_t)10, v) || __builtin_add_overflow(*v, (int64_t)(*c->p - '0'), v)) return fail(c, "the header has a number beyond 63 bits");
    return true;
}

static int width_of(const char *dtype) {
    static const struct {
        char name[8]; /* here, not pointed at: a pointer costs a relocation */
        uint8_t width;
    } ROW[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},     {"I8", 1},
               {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t i = 0; i < sizeof ROW / sizeof *ROW; i++)
        if (strcmp(ROW[i].name, dtype) == 0) return ROW[i].width;
    return 0;
}

static bool dtype(Cursor *c, StTensor *t) {
    char *text = string(c);
    if (!text) return false;
    t->width = width_of(text);
    if (t->width) snprintf(t->dtype, sizeof t->dtype, "%s", text);
    else snprintf(c->f->error, sizeof c->f->error, "tensor \"%.80s\" has the unknown dtype \"%.40s\"", t->name, text);
    free(text);
    return t->width != 0;
}

static bool shape(Cursor *c, StTensor *t) {
    if (!expect(c, '[')) return false;
    if (take(c, ']')) return true;
    do {
        if (t->rank == ST_MAX_RANK) {
            snprintf(c->f->error, sizeof c->f->error, "tensor \"%.80s\" has more than %d axes", t->name, ST_MAX_RANK);
            return false;
        }
        if (!number(c, &t->dims[t->rank++])) return false;
    } while (take(c, ','));
    return expect(c, ']');
}

/* {"dtype": …, "shape": […], "data_offsets": [a, b]}, each key once, in any order. */
static bool tensor(Cursor *c, StTensor *t, int64_t room) {
    unsigned seen = 0;
    if (!expect(c, '{')) return false;
    do {
        char *key = string(c);
        if (!key) return false;
        unsigned bit = !strcmp(key, "dtype") ? 1 : !strcmp(key, "shape") ? 2 : !strcmp(key, "data_offsets") ? 4 : 0;
        free(key);
        if (!bit || seen & bit) {
            snprintf(c->f->error, sizeof c->f->error, "tensor \"%.80s\" has a surplus key", t->name);
            return false;
        }
        seen |= bit;
        if (!expect(c, ':')) return false;
        bool good = bit == 1   ? dtype(c, t)
                    : bit == 2 ? shape(c, t)
                               : expect(c, '[') && number(c, &t->begin) && expect(c, ',') && number(c, &t->end) && expect(c, ']');
        if (!good) return false;
    } while (take(c, ','));
    if (!expect(c, '}')) return false;
    if (seen != 7) {
        snprintf(c->f->error, sizeof c->f->error, "tensor \"%.80s\" lacks its dtype, shape or offsets", t->name);
        return false;
    }
    int64_t bytes = t->width;
    bool fits = true;
    for (int i = 0; i < t->rank; i++) fits = fits && !__builtin_mul_overflow(bytes, t->dims[i], &bytes);
    if (t->begin > t->end || t->end > room) {
        snprintf(c->f->error, sizeof c->f->error, "tensor \"%.80s\" lies outside the file: bytes %lld to %lld of %lld", t->name, (long long)t->begin,
                 (long long)t->end, (long long)room);
        return false;
    }
    if (!fits || t->end - t->begin != bytes) {
        snprintf(c->f->error, sizeof c->f->error, "tensor \"%.80s\" has %lld bytes, which its shape and dtype do not fit", t->name, (long long)(t->end - t->begin));
        return false;
    }
    return true;
}

static bool metadata(Cursor *c) {
    if (!expect(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        StPair pair = {string(c), NULL};
        if (pair.key && expect(c, ':')) pair.value = string(c);
        StPair *more = pair.value ? realloc(c->f->metadata, sizeof *more * (size_t)(c->f->n_metadata + 1)) : NULL;
        if (!more) {
            free(pair.key);
            free(pair.value);
            return fail(c, "no memory for the header");
        }
        c->f->metadata = more;
        more[c->f->n_metadata++] = pair;
    } while (take(c, ','));
    return expect(c, '}');
}

static bool entries(Cursor *c, int64_t room) {
    int cap = 0;
    if (!expect(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        char *name = string(c);
        if (!name) return false;
        if (!expect(c, ':')) {
            free(name);
            return false;
        }
        if (strcmp(name, "__metadata__") == 0) {
            free(name);
            if (!metadata(c)) return false;
            continue;
        }
        if (c->f->n == cap) {
            StTensor *more = realloc(c->f->tensor, sizeof *more * (size_t)(cap = cap ? 2 * cap : 64));
            if (!more) {
                free(name);
                return fail(c, "no memory for the header");
            }
            c->f->tensor = more;
        }
        StTensor *t = &c->f->tensor[c->f->n++];
        *t = (StTensor){.name = name};
        if (!tensor(c, t, room)) return false;
    } while (take(c, ','));
    return expect(c, '}');
}

static int by_name(const void *a, const void *b) { return strcmp((*(StTensor *const *)a)->name, (*(StTensor *const *)b)->name); }

static int by_begin(const void *a, const void *b) {
    const StTensor *x = *(StTensor *const *)a, *y = *(StTensor *const *)b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : (x->end > y->end) - (x->end < y->end);
}

/* No name twice, and the tensors fill the `room` bytes of data, each beginning where the one before ends, as the format demands. */
static bool distinct(Cursor *c, int64_t room) {
    StFile *f = c->f;
    int64_t end = 0;
    StTensor **order = malloc(sizeof *order * (size_t)(f->n + 1));
    if (!order) return fail(c, "no memory for the header");
    for (int i = 0; i < f->n; i++) order[i] = &f->tensor[i];
    qsort(order, (size_t)f->n, sizeof *order, by_name);
    for (int i = 1; i < f->n && !*f->error; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0) snprintf(f->error, sizeof f->error, "there are two tensors \"%.80s\"", order[i]->name);
    qsort(order, (size_t)f->n, sizeof *order, by_begin);
    for (int i = 0; i < f->n && !*f->error; end = order[i++]->end) {
        if (end > order[i]->begin) snprintf(f->error, sizeof f->error, "tensors \"%.80s\" and \"%.80s\" overlap", order[i - 1]->name, order[i]->name);
        if (end < order[i]->begin) snprintf(f->error, sizeof f->error, "there is a hole in the data before tensor \"%.80s\"", order[i]->name);
    }
    if (end < room && !*f->error) snprintf(f->error, sizeof f->error, "there are %lld bytes behind the last tensor", (long long)(room - end));
    free(order);
    return !*f->error;
}

int st_parse(StFile *f, const unsigned char *bytes, int64_t size) {
    *f = (StFile){0};
    Cursor c = {bytes, bytes, f};
    uint64_t length = 0;
    if (size < 8) return fail(&c, "the file is too short to be a safetensors file");
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > (uint64_t)MAX_HEADER || (int64_t)length > size - 8) {
        snprintf(f->error, sizeof f->error, "the header claims %llu bytes, and the file has %lld", (unsigned long long)length, (long long)(size - 8));
        return 0;
    }
    c.p = bytes + 8;
    c.end = c.p + length;
    f->data = 8 + (int64_t)length;
    if (!entries(&c, size - f->data)) return fail(&c, "the header is not valid JSON");
    blanks(&c);
    if (c.p != c.end) return fail(&c, "the header goes on after its end");
    return distinct(&c, size - f->data);
}

void st_free(StFile *f) {
    for (int i = 0; i < f->n; i++) free(f->tensor[i].name);
    for (int i = 0; i < f->n_metadata; i++) {
        free(f->metadata[i].key);
        free(f->metadata[i].value);
    }
    free(f->tensor);
    free(f->metadata);
    f->tensor = NULL;
    f->metadata = NULL;
    f->n = f->n_metadata = 0;
}

const StTensor *st_find(const StFile *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->tensor[i].name, name) == 0) return &f->tensor[i];
    return NULL;
}

const char *st_metadata(const StFile *f, const char *key) {
    for (int i = 0; i < f->n_metadata; i++)
        if (strcmp(f->metadata[i].key, key) == 0) return f->metadata[i].value;
    return NULL;
}
