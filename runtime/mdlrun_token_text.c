/* mdlrun_token_text.c -- Unicode for tokenizers: UTF-8, normalizing, splitting.
 *
 * Normalizing works on an array of characters, one change after the other; tables of categories, lower case and decompositions
 * are utf8proc's. Splitting is one mechanism: a pattern selects parts of a piece, and parts selected are removed or stand
 * alone. Patterns are PCRE2's with Unicode properties, as tokenizer.json has them; the difference is \s, which there is
 * White_Space. */
#include "runtime/mdlrun_token.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- UTF-8 --------------------------------------------------------------------------------------------------------------- */

bool text_is_space(int32_t c) {
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

int64_t text_bad(const char *text, int64_t n) {
    for (int64_t i = 0; i < n;) {
        int32_t c;
        if (!(text[i] & 0x80)) {
            i++;
            continue;
        }
        utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text + i, n - i, &c);
        if (bytes <= 0) return i;
        i += bytes;
    }
    return -1;
}

int text_char_bytes(const char *at) {
    unsigned char c = (unsigned char)*at;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

bool text_has_space(const char *at, const char *end, int *bytes) {
    int32_t c;
    if (at >= end) return false;
    *bytes = (int)utf8proc_iterate((const utf8proc_uint8_t *)at, end - at, &c);
    return *bytes > 0 && text_is_space(c);
}

/* ---- normalizing --------------------------------------------------------------------------------------------------------- */

typedef struct Chars {
    int32_t *at;
    int64_t n, room;
} Chars;

static void chars_room(Tool *t, Chars *s, int64_t more) {
    if (s->n + more <= s->room) return;
    int64_t room = 2 * s->room > s->n + more ? 2 * s->room : s->n + more + 64;
    s->at = tool_resize(t, s->at, sizeof *s->at * (size_t)s->n, sizeof *s->at * (size_t)room);
    s->room = room;
}

static void chars_push(Tool *t, Chars *s, int32_t c) {
    chars_room(t, s, 1);
    s->at[s->n++] = c;
}

static bool is_control(int32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    utf8proc_category_t g = utf8proc_category(c);
    return g == UTF8PROC_CATEGORY_CC || g == UTF8PROC_CATEGORY_CF || g == UTF8PROC_CATEGORY_CO;
}

/* The blocks of ideographs that BERT puts blanks round. */
static bool is_chinese(int32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_mark(int32_t c, bool nonspacing_only) {
    utf8proc_category_t g = utf8proc_category(c);
    return g == UTF8PROC_CATEGORY_MN || (!nonspacing_only && (g == UTF8PROC_CATEGORY_MC || g == UTF8PROC_CATEGORY_ME));
}

static int class_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Puts every run of combining characters into the order of their classes, equals as they stand. (utf8proc_decompose does the
 * same by exchanging neighbours, which a long run makes quadratic.) */
static void marks_order(Tool *t, Chars *s) {
    for (int64_t i = 0; i < s->n;) {
        int64_t end = i;
        while (end < s->n && utf8proc_get_property(s->at[end])->combining_class) end++;
        if (end - i > 1) {
            uint64_t *keys = tool_alloc(t, sizeof *keys * (size_t)(end - i));
            int32_t *copy = tool_alloc(t, sizeof *copy * (size_t)(end - i));
            memcpy(copy, s->at + i, sizeof *copy * (size_t)(end - i));
            for (int64_t k = i; k < end; k++)
                keys[k - i] = (uint64_t)utf8proc_get_property(s->at[k])->combining_class << 40 | (uint64_t)(k - i);
            qsort(keys, (size_t)(end - i), sizeof *keys, class_compare);
            for (int64_t k = i; k < end; k++) s->at[k] = copy[keys[k - i] & (((uint64_t)1 << 40) - 1)];
            tool_release(t, keys);
            tool_release(t, copy);
        }
        i = end > i ? end : i + 1;
    }
}

static void decompose(Tool *t, const Chars *from, Chars *to, bool compatible) {
    int options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0), state = 0;
    for (int64_t i = 0; i < from->n; i++) {
        chars_room(t, to, 32); /* the longest decomposition has 18 */
        utf8proc_ssize_t made = utf8proc_decompose_char(from->at[i], to->at + to->n, 32, options, &state);
        if (made > 0 && made <= 32) to->n += made;
    }
    marks_order(t, to);
}

/* One change of `from`; `to` is empty and has room. */
static void change_make(Tool *t, Change change, const Chars *from, Chars *to) {
    switch (change) {
    case CHANGE_NFD:
    case CHANGE_NFKD: decompose(t, from, to, change == CHANGE_NFKD); return;
    case CHANGE_NFC:
    case CHANGE_NFKC:
        decompose(t, from, to, change == CHANGE_NFKC);
        to->n = utf8proc_normalize_utf32(to->at, to->n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        return;
    default: break;
    }
    for (int64_t i = 0; i < from->n; i++) {
        int32_t c = from->at[i];
        switch (change) {
        case CHANGE_CLEAN:
            if (c != 0 && c != 0xfffd && !is_control(c)) chars_push(t, to, text_is_space(c) ? ' ' : c);
            break;
        case CHANGE_CHINESE:
            if (is_chinese(c)) chars_push(t, to, ' ');
            chars_push(t, to, c);
            if (is_chinese(c)) chars_push(t, to, ' ');
            break;
        case CHANGE_DROP_MN:
        case CHANGE_DROP_M:
            if (!is_mark(c, change == CHANGE_DROP_MN)) chars_push(t, to, c);
            break;
        default: /* CHANGE_LOWER; I with a dot is the one letter that becomes two */
            chars_push(t, to, c == 0x130 ? 'i' : utf8proc_tolower(c));
            if (c == 0x130) chars_push(t, to, 0x307);
        }
    }
}

char *text_normalize(Tool *t, const Tokenizer *k, const char *text, int64_t n, int64_t *length) {
    Chars a = {0}, b = {0};
    chars_room(t, &a, n);
    chars_room(t, &b, n);
    for (int64_t i = 0; i < n;) i += utf8proc_iterate((const utf8proc_uint8_t *)text + i, n - i, &a.at[a.n++]);
    for (int i = 0; i < k->n_changes; i++) {
        b.n = 0;
        change_make(t, k->changes[i], &a, &b);
        Chars swap = a;
        a = b;
        b = swap;
    }
    char *out = tool_alloc(t, (size_t)(4 * a.n + 1));
    *length = 0;
    for (int64_t i = 0; i < a.n; i++) *length += utf8proc_encode_char(a.at[i], (utf8proc_uint8_t *)out + *length);
    tool_release(t, a.at);
    tool_release(t, b.at);
    return out;
}

/* ---- splitting ----------------------------------------------------------------------------------------------------------- */

/* PCRE2's memory is the tool's. */
static void *pattern_alloc(size_t bytes, void *tool) {
    return tool_alloc(tool, bytes);
}
static void pattern_free(void *p, void *tool) {
    tool_release(tool, p);
}

/* Characters of words in Oniguruma, which patterns of tokenizer.json are written for. */
#define WORD "\\p{Alphabetic}\\p{M}\\p{N}\\p{Pc}"

typedef struct Pattern {
    const char *at; /* what is not translated yet */
    char *to;
    bool in_class;
} Pattern;

/* Is a name in \p{ } a script's? Categories have one or two letters, and these are properties. */
static bool name_is_script(const char *name, int64_t n) {
    static const char *const others[] = {"Any", "Alphabetic", "White_Space", "Lowercase", "Uppercase", "Emoji"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if ((int64_t)strlen(others[i]) == n && !memcmp(others[i], name, (size_t)n)) return false;
    return n > 2;
}

/* One escape. NULL, or what is not supported. */
static const char *escape_translate(Pattern *p) {
    char c = p->at[1];
    const char *end = c == 'p' || c == 'P' ? strchr(p->at, '}') : NULL;
    if (strchr("hHbB", c) && c) return c == 'h' || c == 'H' ? "\\h" : "\\b";
    if (c == 'W' && p->in_class) return "\\W in [ ]";
    if (c == 's' || c == 'S') {
        p->to += sprintf(p->to, "\\%c{White_Space}", c == 's' ? 'p' : 'P');
    } else if (c == 'w' || c == 'W') {
        p->to += sprintf(p->to, p->in_class ? WORD : c == 'w' ? "[" WORD "]" : "[^" WORD "]");
    } else if (end && p->at[2] == '{') {
        bool not = p->at[3] == '^';
        const char *name = p->at + 3 + not ;
        bool script = name_is_script(name, end - name); /* alone: PCRE2 would take its extensions along */
        p->to += sprintf(p->to, "\\%c{%s%s%.*s}", c, not ? "^" : "", script ? "sc:" : "", (int)(end - name), name);
        p->at = end + 1;
        return NULL;
    } else {
        *p->to++ = '\\';
        if (c) *p->to++ = c;
    }
    p->at += c ? 2 : 1;
    return NULL;
}

/* A pattern of Oniguruma for PCRE2: \s is White_Space, \w has marks, names are scripts. What the two understand differently is
 * refused. */
static char *pattern_translate(Tool *t, const Tokenizer *k, const char *field, const char *pattern) {
    char *out = tool_alloc(t, 32 * strlen(pattern) + 1);
    Pattern p = {pattern, out, false};
    while (*p.at) {
        const char *refused = NULL;
        if (*p.at == '\\') {
            refused = escape_translate(&p);
        } else if (p.in_class) {
            if (*p.at == '[' || !strncmp(p.at, "&&", 2)) refused = "[ ] or && in [ ]";
            p.in_class = *p.at != ']';
            *p.to++ = *p.at++;
        } else if (*p.at == '[') {
            p.in_class = true;
            *p.to++ = *p.at++;
            if (*p.at == '^') *p.to++ = *p.at++;
            if (*p.at == ']') *p.to++ = *p.at++;
        } else {
            bool flags = !strncmp(p.at, "(?", 2);
            if (flags && memchr(p.at + 2, 'm', strspn(p.at + 2, "imsx-"))) refused = "(?m)";
            *p.to++ = *p.at++;
        }
        if (refused)
            tool_fail(t, EXIT_INPUT, "%s: %s: %s is not supported, in the pattern %s", k->path, field, refused, pattern);
    }
    return out;
}

static Split *split_new(Tool *t, Tokenizer *k, const char *field) {
    if (k->n_splits == SPLITS_MAX) tool_fail(t, EXIT_INPUT, "%s: %s: more than %d steps", k->path, field, SPLITS_MAX);
    return &k->splits[k->n_splits++];
}

void split_add_prefix(Tool *t, Tokenizer *k, const char *field) {
    split_new(t, k, field)->prefix = true;
}

void split_add(Tool *t, Tokenizer *k, const char *field, const char *pattern, bool literal, bool removed, bool invert) {
    Split *s = split_new(t, k, field);
    s->removed = removed;
    s->invert = invert;
    pcre2_general_context *general = pcre2_general_context_create(pattern_alloc, pattern_free, t);
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    const char *translated = literal ? pattern : pattern_translate(t, k, field, pattern);
    int code;
    size_t offset;
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE); /* ^ and $ are of lines */
    s->code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED, options, &code, &offset, context);
    if (!s->code) {
        char why[256] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        tool_fail(t, EXIT_INPUT, "%s: %s: the pattern %s: %s", k->path, field, pattern, why);
    }
    pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); /* where that is not possible, patterns are interpreted */
    s->match = pcre2_match_data_create(1, general);
}

/* Finds the next match in [from, n) of a piece; false: none. */
static bool match_find(Tool *t, const Tokenizer *k, const Split *s, const char *piece, int64_t n, int64_t from, int64_t *begin,
                       int64_t *end) {
    int code = pcre2_match(s->code, (PCRE2_SPTR)piece, (size_t)n, (size_t)from, PCRE2_NO_UTF_CHECK, s->match, NULL);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
        code =
            pcre2_match(s->code, (PCRE2_SPTR)piece, (size_t)n, (size_t)from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, NULL);
    if (code == PCRE2_ERROR_NOMATCH) return false;
    if (code < 0) {
        char why[256] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        tool_fail(t, EXIT_INPUT, "%s: a pattern of its pre_tokenizer failed: %s", k->path, why);
    }
    const size_t *at = pcre2_get_ovector_pointer(s->match);
    *begin = (int64_t)at[0];
    *end = (int64_t)at[1];
    return true;
}

void text_split(Tool *t, Tokenizer *k, int step, const char *piece, int64_t n, Ids *out) {
    if (n == 0) return;
    if (step == k->n_splits) {
        if (k->bpe) bpe_word(t, k, piece, n, out);
        else wordpiece_word(t, k, piece, n, out);
        return;
    }
    const Split *s = &k->splits[step];
    if (s->prefix) {
        if (*piece == ' ') {
            text_split(t, k, step + 1, piece, n, out);
            return;
        }
        char *longer = tool_alloc(t, (size_t)n + 2);
        longer[0] = ' ';
        memcpy(longer + 1, piece, (size_t)n);
        text_split(t, k, step + 1, longer, n + 1, out);
        tool_release(t, longer);
        return;
    }
    bool keep_match = !s->removed || s->invert, keep_gap = !s->removed || !s->invert;
    int64_t begin, end, done = 0, from = 0;
    while (from < n && match_find(t, k, s, piece, n, from, &begin, &end)) {
        if (keep_gap) text_split(t, k, step + 1, piece + done, begin - done, out);
        if (keep_match && end > begin) text_split(t, k, step + 1, piece + begin, end - begin, out);
        done = end;
        from = end > begin || end >= n ? end : end + text_char_bytes(piece + end); /* an empty match divides, and is passed */
    }
    if (keep_gap) text_split(t, k, step + 1, piece + done, n - done, out);
}
