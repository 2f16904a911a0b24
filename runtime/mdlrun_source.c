/* mdlrun_source.c -- SOURCE as the user writes it: what VALUE allows, IDX, a column of a CSV table, a text; each with a part
 * @A:B; and text:WORDS, one row. Texts are bytes, or tokens with --tokenizer.
 *
 * Formats: IDX (Le Cun's MNIST page: 0 0 type rank, big-endian dims, elements), CSV (RFC 4180). */
#include "runtime/mdlrun_token.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- IDX ----------------------------------------------------------------------------------------------------------------- */

/* Reads n bytes at most through zlib, which passes plain files on as they are; n grows piece by piece, as the file delivers. */
static char *gz_read(Tool *t, const char *path, gzFile gz, size_t n) {
    size_t have = 0, room = n < 1 << 20 ? n : 1 << 20;
    char *p = tool_alloc(t, room + 1);
    while (have < n) {
        if (have == room) {
            size_t more = room > n / 2 ? n : 2 * room;
            p = tool_resize(t, p, room, more + 1);
            room = more;
        }
        size_t piece = room - have < 1 << 26 ? room - have : 1 << 26;
        int got = gzread(gz, p + have, (unsigned)piece);
        if (got <= 0) {
            gzclose(gz);
            tool_fail(t, EXIT_INPUT, "%s is %s", path, got < 0 ? "damaged" : "cut off");
        }
        have += (size_t)got;
    }
    return p;
}

static Array idx_read(Tool *t, const char *path) {
    gzFile gz = gzopen(path, "rbe");
    if (!gz) tool_fail(t, EXIT_INPUT, "cannot open %s: %s", path, strerror(errno));
    unsigned char *head = (unsigned char *)gz_read(t, path, gz, 4);
    static const struct {
        unsigned char code;
        const char *dtype;
    } types[] = {{0x08, "u8"}, {0x09, "i8"}, {0x0b, "i16"}, {0x0c, "i32"}, {0x0d, "f32"}, {0x0e, "f64"}};
    mdl_dtype d = {0, 0, 0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == head[2]) d = element_type(types[i].dtype);
    int rank = head[3];
    if (head[0] || head[1] || !d.bits || rank < 1 || rank > RANK_MAX) {
        gzclose(gz);
        tool_fail(t, EXIT_INPUT, "%s is not an IDX file", path);
    }
    unsigned char *dims = (unsigned char *)gz_read(t, path, gz, 4 * (size_t)rank);
    Array a = {.dtype = d, .rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) {
        a.shape[i] = (int64_t)dims[4 * i] << 24 | dims[4 * i + 1] << 16 | dims[4 * i + 2] << 8 | dims[4 * i + 3];
        if (__builtin_mul_overflow(a.count, a.shape[i], &a.count) || a.count > (int64_t)1 << 40) {
            gzclose(gz);
            tool_fail(t, EXIT_INPUT, "the shape of %s is too large", path);
        }
    }
    int64_t size = element_size(d);
    a.data = gz_read(t, path, gz, (size_t)(a.count * size));
    gzclose(gz);
    for (int64_t i = 0; size > 1 && i < a.count; i++) {
        char *e = a.data + i * size;
        for (int64_t k = 0; k < size / 2; k++) {
            char c = e[k];
            e[k] = e[size - 1 - k];
            e[size - 1 - k] = c;
        }
    }
    return a;
}

/* ---- CSV ----------------------------------------------------------------------------------------------------------------- */

typedef struct Cell {
    char *text;
    int64_t line; /* of the file, from 1, where it begins */
} Cell;

/* The field at *at, unquoted, in place; *at moves behind its separator, *line along; *last tells that the row ended there. */
static char *field_next(char **at, int64_t *line, bool *last) {
    char *begin = *at, *to = *at, *from = *at;
    bool quoted = *from == '"';
    if (quoted) from++;
    while (*from) {
        if (quoted && *from == '"') {
            if (from[1] == '"') from++;
            else {
                quoted = false;
                from++;
                continue;
            }
        } else if (!quoted && (*from == ',' || *from == '\n')) {
            break;
        }
        *line += *from == '\n';
        *to++ = *from++;
    }
    *line += *from == '\n';
    *last = *from != ',';
    if (*from) from++;
    if (*last && to > begin && to[-1] == '\r') to--;
    *at = from;
    *to = 0;
    return begin;
}

/* The cells of a column by its name in the first row; they lie in the file's own memory, which stays. */
static Cell *column_read(Tool *t, const char *path, const char *column, int64_t *count) {
    size_t length;
    char *text = tool_file_read(t, path, &length), *at = text;
    if (strlen(text) != length) tool_fail(t, EXIT_INPUT, "%s is not a text file: it has a zero byte", path);
    int wanted = -1;
    int64_t line = 1;
    bool last = length == 0;
    for (int i = 0; !last; i++)
        if (!strcmp(field_next(&at, &line, &last), column) && wanted < 0) wanted = i;
    if (wanted < 0) tool_fail(t, EXIT_INPUT, "%s has no column %s in its first row", path, column);
    Cell *cells = NULL;
    int64_t n = 0, room = 0;
    while (*at) {
        if (*at == '\n' || (*at == '\r' && at[1] == '\n')) { /* an empty line */
            at += *at == '\n' ? 1 : 2;
            line++;
            continue;
        }
        Cell cell = {NULL, 0};
        int64_t row = line;
        last = false;
        for (int i = 0; !last; i++) {
            int64_t begin = line;
            char *field = field_next(&at, &line, &last);
            if (i == wanted) cell = (Cell){field, begin};
        }
        if (!cell.text) tool_fail(t, EXIT_INPUT, "%s, line %lld: no column %s", path, (long long)row, column);
        if (n == room) {
            int64_t more = room ? 2 * room : 1024;
            cells = tool_resize(t, cells, sizeof *cells * (size_t)room, sizeof *cells * (size_t)more);
            room = more;
        }
        cells[n++] = cell;
    }
    *count = n;
    return cells;
}

void text_row_set(Array *a, int64_t i, const void *elements, int64_t n) {
    int64_t width = a->shape[1], size = element_size(a->dtype);
    char *row = a->data + i * width * size;
    if (n) memcpy(row, elements, (size_t)(n * size));
    for (int64_t k = n; a->tokens && k < width; k++) memcpy(row + k * size, &a->tokens->pad, sizeof a->tokens->pad);
    a->lengths[i] = n;
}

bool text_follows(Tool *t, const Array *rows, const char *name, Array *a) {
    bool lengths = !strcmp(name, "lengths");
    if (!lengths && strcmp(name, "mask") != 0) return false;
    *a = array_new(t, element_type(lengths ? "i64" : "u8"), lengths ? 1 : 2, rows->shape);
    for (int64_t i = 0; i < rows->shape[0]; i++) {
        if (lengths) memcpy(a->data + 8 * i, &rows->lengths[i], 8);
        else memset(a->data + i * rows->shape[1], 1, (size_t)rows->lengths[i]);
    }
    return true;
}

/* Cells of text as rows, each padded to the longest: tokens where there is a tokenizer, else bytes. A cell of line 0 is the
 * user's own words. */
static Array texts_rows(Tool *t, const char *path, const Cell *cells, int64_t n) {
    Tokenizer *k = tokenizer_of(t);
    int64_t *starts = tool_alloc(t, sizeof *starts * (size_t)(n + 1)), longest = 0;
    Ids ids = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t bytes = (int64_t)strlen(cells[i].text);
        starts[i + 1] = starts[i] + bytes;
        if (k) {
            char *what = cells[i].line ? tool_printf(t, "%s, line %lld,", path, (long long)cells[i].line) : tool_printf(t, "%s", path);
            tokens_add_row(t, k, what, cells[i].text, bytes, &ids);
            tool_release(t, what);
            starts[i + 1] = ids.n;
        }
        if (starts[i + 1] - starts[i] > longest) longest = starts[i + 1] - starts[i];
    }
    int64_t shape[2] = {n, longest};
    Array a = array_new(t, element_type(k ? "i32" : "u8"), 2, shape);
    a.tokens = k;
    a.lengths = tool_alloc(t, sizeof *a.lengths * (size_t)(n + 1));
    for (int64_t i = 0; i < n; i++)
        text_row_set(&a, i, k ? (const void *)(ids.at + starts[i]) : cells[i].text, starts[i + 1] - starts[i]);
    tool_release(t, ids.at);
    tool_release(t, starts);
    return a;
}

/* A column of numbers as i64 where every value is whole, else f64; any other column as rows of text. */
static Array csv_read(Tool *t, const char *path, const char *column) {
    int64_t n, strange = -1; /* the first cell that is no number */
    Cell *cells = column_read(t, path, column, &n);
    double *values = tool_alloc(t, sizeof *values * (size_t)(n + 1));
    bool whole = true;
    for (int64_t i = 0; i < n && strange < 0; i++) {
        char *end;
        values[i] = strtod(cells[i].text, &end);
        if (end == cells[i].text || end[strspn(end, " ")]) strange = i;
        whole = whole && values[i] == floor(values[i]) && fabs(values[i]) < 9007199254740992.0;
    }
    Array a;
    if (strange >= 0) {
        a = texts_rows(t, path, cells, n);
        const char *text = cells[strange].text;
        int shown = (int)strnlen(text, 40);
        while (shown > 0 && (text[shown] & 0xc0) == 0x80) shown--; /* no half character */
        a.strange = tool_printf(t, "line %lld of %s:%s has \"%.*s\", which is no number", (long long)cells[strange].line, path,
                                column, shown, text);
    } else {
        a = array_new(t, element_type(whole ? "i64" : "f64"), 1, &n);
        for (int64_t i = 0; i < n; i++) {
            int64_t v = whole ? (int64_t)values[i] : 0;
            memcpy(a.data + 8 * i, whole ? (void *)&v : (void *)&values[i], 8);
        }
    }
    tool_release(t, values);
    tool_release(t, cells);
    return a;
}

bool text_words(Tool *t, const char *text, Array *a) {
    if (strncmp(text, "text:", 5)) return false;
    Cell cell = {(char *)(uintptr_t)text + 5, 0};
    *a = texts_rows(t, "the text", &cell, 1);
    a->strange = "text: gives words, which are no numbers";
    return true;
}

/* A text as one row without an end: a stream of tokens or bytes. */
static Array text_read(Tool *t, const char *path) {
    size_t length;
    char *bytes = tool_file_read(t, path, &length);
    int64_t n = (int64_t)length;
    Tokenizer *k = tokenizer_of(t);
    if (!k) return (Array){.dtype = element_type("u8"), .rank = 1, .count = n, .shape = {n}, .data = bytes};
    Ids ids = {0};
    tokens_add(t, k, path, bytes, n, &ids);
    tool_release(t, bytes);
    return (Array){
        .dtype = element_type("i32"), .rank = 1, .count = ids.n, .shape = {ids.n}, .data = (char *)ids.at, .tokens = k};
}

/* ---- SOURCE -------------------------------------------------------------------------------------------------------------- */

/* A bound of a part: "" the default, "12" samples, "90%" of n. */
static bool bound_parse(const char *text, size_t length, int64_t n, int64_t otherwise, int64_t *bound) {
    bool percent = length && text[length - 1] == '%';
    size_t digits = length - percent;
    *bound = otherwise;
    if (length == 0) return true;
    char copy[32];
    if (digits == 0 || digits >= sizeof copy) return false;
    memcpy(copy, text, digits);
    copy[digits] = 0;
    if (percent) {
        char *end;
        double p = strtod(copy, &end);
        if (*end || !(p >= 0 && p <= 100)) return false;
        *bound = (int64_t)floor((double)n * p / 100);
        return true;
    }
    return tool_int(copy, bound) && *bound >= 0;
}

/* The "@A:B" that ends a SOURCE, or NULL. */
static const char *part_find(const char *text) {
    const char *at = strrchr(text, '@');
    if (!at || !strchr(at, ':') || at[1 + strspn(at + 1, "0123456789.%:")]) return NULL;
    return at;
}

Array sample_read(Tool *t, const char *text) {
    Array words;
    if (text_words(t, text, &words)) return words;
    const char *part = part_find(text), *whole_text = text, *key;
    text = tool_copy(t, text, part ? (size_t)(part - text) : strlen(text));
    Array a;
    char *path;
    if (array_file_read(t, text, &a)) {
    } else if ((key = key_split(t, text, ".csv", &path))) {
        a = csv_read(t, path, key);
    } else if (tool_suffix(text, ".csv")) {
        tool_fail(t, EXIT_USAGE, "%s is a table: write %s:COLUMN", text, text);
    } else if (tool_suffix(text, ".txt")) {
        a = text_read(t, text);
    } else if (strstr(text, "idx") || strstr(text, "ubyte")) {
        a = idx_read(t, text);
    } else {
        tool_fail(t, EXIT_USAGE,
                  "%s: what kind of file is this? Known are .npy, .npz:NAME, .safetensors:NAME, .csv:COLUMN, .txt, IDX (idx in "
                  "its name), text:WORDS",
                  whole_text);
    }
    if (a.rank == 0) tool_fail(t, EXIT_INPUT, "%s has no axis of samples", whole_text);
    if (part) {
        int64_t n = a.shape[0], from, to;
        const char *colon = strchr(part, ':');
        if (!bound_parse(part + 1, (size_t)(colon - part - 1), n, 0, &from) ||
            !bound_parse(colon + 1, strlen(colon + 1), n, n, &to))
            tool_fail(t, EXIT_USAGE, "%s: a part is @A:B, in samples or percent", whole_text);
        if (from > to || to > n) tool_fail(t, EXIT_INPUT, "%s: there are %lld samples", whole_text, (long long)n);
        int64_t sample = n ? a.count / n : 0;
        a.data += from * sample * element_size(a.dtype);
        if (a.lengths) a.lengths += from;
        a.shape[0] = to - from;
        a.count = (to - from) * sample;
    }
    return a;
}
