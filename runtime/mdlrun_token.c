/* mdlrun_token.c -- the way of a text through a tokenizer, and back:
 *
 *     "Hi there<|end|>"  added tokens are cut out      "Hi there" | <|end|>
 *                        the rest is normalized        "hi there"
 *                        added tokens that are looked for in normalized text are cut out of that
 *                        what is left is split         "hi" | " there"
 *                        the model turns words to ids  [2, 17, 40]
 *
 * A row gets the marks of the post_processor ([CLS] and [SEP]); ids become text by the tokens' bytes (BPE), or by tokens with
 * blanks between, "##" joined (WordPiece). */
#include "runtime/mdlrun_token.h"

#include <string.h>

void ids_push(Tool *t, Ids *ids, int32_t id) {
    if (ids->n == ids->room) {
        int64_t room = ids->room ? 2 * ids->room : 64;
        ids->at = tool_resize(t, ids->at, sizeof *ids->at * (size_t)ids->n, sizeof *ids->at * (size_t)room);
        ids->room = room;
    }
    ids->at[ids->n++] = id;
}

/* ---- the vocabulary ------------------------------------------------------------------------------------------------------ */

uint64_t hash_bytes(const char *text, int64_t n) {
    uint64_t hash = HASH_SEED;
    for (int64_t i = 0; i < n; i++) hash = hash_byte(hash, (unsigned char)text[i]);
    return hash;
}

int32_t vocab_find_hashed(const Vocab *v, uint64_t hash, const char *text, int64_t n) {
    if (!v->used) return -1;
    for (uint32_t at = hash_fold(hash) & v->mask; v->slots[at]; at = (at + 1) & v->mask) {
        const Token *token = &v->tokens[v->slots[at] - 1];
        if (token->length == n && !memcmp(token->text, text, (size_t)n)) return v->slots[at] - 1;
    }
    return -1;
}

int32_t vocab_find(const Vocab *v, const char *text, int64_t n) {
    return vocab_find_hashed(v, hash_bytes(text, n), text, n);
}

static void slot_take(Vocab *v, int32_t id) {
    uint32_t at = hash_fold(hash_bytes(v->tokens[id].text, v->tokens[id].length)) & v->mask;
    while (v->slots[at]) at = (at + 1) & v->mask;
    v->slots[at] = id + 1;
}

bool vocab_add(Tool *t, Vocab *v, int32_t id, const char *text, int64_t n, bool apart) {
    if (id < v->n && v->tokens[id].text) return false;
    if (!apart && vocab_find(v, text, n) >= 0) return false;
    if (id >= v->room) {
        int32_t room = 2 * v->room > id + 1024 ? 2 * v->room : id + 1024;
        v->tokens = tool_resize(t, v->tokens, sizeof *v->tokens * (size_t)v->n, sizeof *v->tokens * (size_t)room);
        v->room = room;
    }
    if (id >= v->n) v->n = id + 1;
    v->tokens[id] = (Token){text, (int32_t)n, false, apart};
    if (apart) return true;
    if (n > v->longest) v->longest = (int32_t)n;
    if (2 * (v->used + 1) > v->mask) { /* half full, or there is no table yet */
        tool_release(t, v->slots);
        v->mask = v->mask ? 2 * v->mask + 1 : 2047;
        v->slots = tool_alloc(t, sizeof *v->slots * ((size_t)v->mask + 1));
        for (int32_t i = 0; i < v->n; i++)
            if (v->tokens[i].text && !v->tokens[i].apart && i != id) slot_take(v, i);
    }
    slot_take(v, id);
    v->used++;
    return true;
}

/* ---- text to ids --------------------------------------------------------------------------------------------------------- */

static void rest_add(Tool *t, Tokenizer *k, bool normalized, const char *text, int64_t n, Ids *out);

/* The longest added token of its kind that text begins with, or NULL. */
static const Added *added_find(const Tokenizer *k, bool normalized, const char *text, int64_t n) {
    const Added *best = NULL;
    for (int32_t i = 0; i < k->n_added; i++) {
        const Added *a = &k->added[i];
        int64_t length = normalized ? a->normal_length : a->length;
        if (a->normalized != normalized || length > n || length == 0) continue;
        if (best && length <= (normalized ? best->normal_length : best->length)) continue;
        if (!memcmp(normalized ? a->normal : a->text, text, (size_t)length)) best = a;
    }
    return best;
}

/* Cuts out the added tokens of one kind; what is between goes on its way. */
static void added_cut(Tool *t, Tokenizer *k, bool normalized, const char *text, int64_t n, Ids *out) {
    const char *done = text, *end = text + n;
    for (const char *at = text; at < end;) {
        const Added *a = k->first[normalized][(unsigned char)*at] ? added_find(k, normalized, at, end - at) : NULL;
        if (!a) {
            at++;
            continue;
        }
        const char *begin = at;
        int bytes;
        at += normalized ? a->normal_length : a->length;
        while (a->right && text_has_space(at, end, &bytes)) at += bytes;
        while (a->left && begin > done) { /* the character before */
            const char *before = begin - 1;
            while ((*before & 0xc0) == 0x80) before--;
            if (!text_has_space(before, begin, &bytes)) break;
            begin = before;
        }
        rest_add(t, k, normalized, done, begin - done, out);
        ids_push(t, out, a->id);
        done = at;
    }
    rest_add(t, k, normalized, done, end - done, out);
}

/* What is left when added tokens were cut out: normalized next, or split when it is normalized. */
static void rest_add(Tool *t, Tokenizer *k, bool normalized, const char *text, int64_t n, Ids *out) {
    if (n == 0) return;
    if (normalized) {
        text_split(t, k, 0, text, n, out);
        return;
    }
    int64_t length = n;
    char *normal = k->n_changes ? text_normalize(t, k, text, n, &length) : NULL;
    added_cut(t, k, true, normal ? normal : text, length, out);
    tool_release(t, normal);
}

void tokens_add(Tool *t, Tokenizer *k, const char *what, const char *text, int64_t n, Ids *out) {
    int64_t bad = text_bad(text, n);
    if (bad >= 0)
        tool_fail(t, EXIT_INPUT, "%s is not UTF-8, which --tokenizer needs: byte %lld is 0x%02x", what, (long long)bad,
                  (unsigned char)text[bad]);
    added_cut(t, k, false, text, n, out);
}

void tokens_add_row(Tool *t, Tokenizer *k, const char *what, const char *text, int64_t n, Ids *out) {
    for (int64_t i = 0; i < k->before.n; i++) ids_push(t, out, k->before.at[i]);
    tokens_add(t, k, what, text, n, out);
    for (int64_t i = 0; i < k->after.n; i++) ids_push(t, out, k->after.at[i]);
}

void tokens_add_prompt(Tool *t, Tokenizer *k, const char *what, const char *text, int64_t n, Ids *out) {
    for (int64_t i = 0; k->after.n == 0 && i < k->before.n; i++) ids_push(t, out, k->before.at[i]);
    tokens_add(t, k, what, text, n, out);
}

Tokenizer *tokenizer_of(Tool *t) {
    const char *path = t->o.tokenizer;
    if (!path) {
        path = run_text(t, "tokenizer");
        if (path && t->o.data && *path != '/') path = tool_printf(t, "%s/%s", t->o.data, path);
    }
    if (path && !t->tokenizer) t->tokenizer = tokenizer_load(t, path);
    return t->tokenizer;
}

void tokens_fit(Tool *t, const Tokenizer *k, const char *entry, const mdl_value *v) {
    int64_t largest = k->vocab.n - 1, there;
    if (array_convert(&there, v->dtype, &largest, element_type("i64"), 1) == 1) return;
    tool_fail(t, EXIT_INPUT, "%s: %s is %s, which cannot hold the ids of %s: they go up to %lld", entry, v->name, v->shape,
              k->path, (long long)largest);
}

/* ---- ids to text --------------------------------------------------------------------------------------------------------- */

/* 1: the bytes are a character; 0: the beginning of one; -1: of none (Unicode, table 3-7). */
static int utf8_state(const unsigned char *at, int n) {
    unsigned char c = at[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return -1;
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (n > 1 && (at[1] < low || at[1] > high)) return -1;
    for (int i = 2; i < n; i++)
        if ((at[i] & 0xc0) != 0x80) return -1;
    return n == text_char_bytes((const char *)at);
}

void decoder_end(Decoder *d, FILE *f) {
    if (d->n_held) fputs("\xef\xbf\xbd", f);
    d->n_held = 0;
}

static void byte_write(Decoder *d, FILE *f, unsigned char byte) {
    d->held[d->n_held++] = byte;
    int state = utf8_state(d->held, d->n_held);
    if (state < 0 && d->n_held > 1) { /* what was held stays half; the byte may begin a new character */
        decoder_end(d, f);
        d->held[d->n_held++] = byte;
        state = utf8_state(d->held, 1);
    }
    if (state < 0) decoder_end(d, f);
    if (state <= 0) return;
    fwrite(d->held, 1, (size_t)d->n_held, f);
    d->n_held = 0;
}

/* Does a token stand close to the one before? Those of the reference's cleanup. */
static bool token_is_close(const char *text) {
    static const char *const begins[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (!strncmp(text, begins[i], strlen(begins[i]))) return true;
    return false;
}

void decoder_write(Decoder *d, FILE *f, int64_t id) {
    const Tokenizer *k = d->k;
    if (id < 0 || id >= k->vocab.n) return;
    const Token *token = &k->vocab.tokens[id];
    if (!token->text || token->special) return;
    const char *text = token->text;
    int64_t n = token->length, mark = k->bpe ? 0 : (int64_t)strlen(k->continuing);
    if (!k->bpe && d->begun) {
        bool inside = n >= mark && !memcmp(text, k->continuing, (size_t)mark);
        if (inside) {
            text += mark;
            n -= mark;
        } else if (!k->cleanup || !token_is_close(text)) {
            byte_write(d, f, ' ');
        }
    }
    for (int64_t i = 0; i < n; i++) byte_write(d, f, (unsigned char)text[i]);
    d->begun = true;
}
