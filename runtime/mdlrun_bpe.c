/* mdlrun_bpe.c -- the model BPE over bytes: a word is a row of bytes; of all neighbours that a merge knows, the one of the
 * lowest rank (the leftmost of equals) becomes one token, until no merge is left.
 *
 *     "lower" -> l o w e r -> l o w er -> lo w er -> low er -> lower       by the merges  e r | l o | lo w | low er
 *
 * Method: Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, 2016; over bytes: Radford et
 * al., GPT-2, 2019. The tokens of a word are a linked list and its merges a heap, so that a word of n bytes costs n log n;
 * words that were met before are looked up. */
#include "runtime/mdlrun_token.h"

#include <string.h>

typedef struct Pair {
    uint64_t key; /* left id + 1, right id; 0: free */
    int32_t rank, id;
} Pair;

typedef struct Symbol {
    int32_t id;           /* -1: merged into its left neighbour */
    int32_t before, next; /* -1: none */
} Symbol;

typedef struct Offer { /* a merge that may be made at `at` */
    int32_t rank, at, id;
    int32_t left, right; /* ids there when it was made: void when they have changed */
} Offer;

typedef struct Known { /* a word that was met before */
    uint64_t hash;
    const char *word; /* NULL: free */
    int32_t length, n;
    int64_t ids; /* where in Bpe.cached */
} Known;

/* The cache: 2^17 places, and the first comer keeps a place; words of up to CACHED_BYTES. */
#define CACHE_PLACES ((uint32_t)1 << 17)
#define CACHED_BYTES 48

struct Bpe {
    Pair *pairs;
    uint32_t mask, used;
    int32_t bytes[256]; /* the token of a byte, or -1 */
    bool ignore_merges; /* a word that is a token is this token */
    bool fuse_unk;      /* unknown bytes side by side are one unk */
    Known *known;
    Ids cached;
    Symbol *symbols;
    Offer *heap;
    int64_t room, offers; /* of symbols; of the heap, used */
};

/* ---- merges -------------------------------------------------------------------------------------------------------------- */

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(left + 1) << 32 | (uint32_t)right;
}

static Pair *pair_place(const Bpe *b, uint64_t key) {
    uint32_t at = hash_fold(key * 0x9e3779b97f4a7c15u) & b->mask;
    while (b->pairs[at].key && b->pairs[at].key != key) at = (at + 1) & b->mask;
    return &b->pairs[at];
}

static void pairs_grow(Tool *t, Bpe *b) {
    Pair *old = b->pairs;
    uint32_t n = old ? b->mask + 1 : 0;
    b->mask = n ? 2 * n - 1 : 1023;
    b->pairs = tool_alloc(t, sizeof *b->pairs * ((size_t)b->mask + 1));
    for (uint32_t i = 0; i < n; i++)
        if (old[i].key) *pair_place(b, old[i].key) = old[i];
    tool_release(t, old);
}

void bpe_new(Tool *t, Tokenizer *k, bool ignore_merges, bool fuse_unk) {
    Bpe *b = tool_alloc(t, sizeof *b);
    b->ignore_merges = ignore_merges;
    b->fuse_unk = fuse_unk;
    pairs_grow(t, b);
    for (int i = 0; i < 256; i++) b->bytes[i] = vocab_find(&k->vocab, (char[]){(char)i}, 1);
    b->known = tool_alloc(t, sizeof *b->known * CACHE_PLACES);
    k->bpe = b;
}

BpeMerge bpe_merge(Tool *t, Tokenizer *k, const char *left, int64_t left_n, const char *right, int64_t right_n) {
    Bpe *b = k->bpe;
    char *both = tool_alloc(t, (size_t)(left_n + right_n) + 1);
    memcpy(both, left, (size_t)left_n);
    memcpy(both + left_n, right, (size_t)right_n);
    int32_t l = vocab_find(&k->vocab, left, left_n), r = vocab_find(&k->vocab, right, right_n),
            id = vocab_find(&k->vocab, both, left_n + right_n);
    tool_release(t, both);
    if (l < 0 || r < 0 || id < 0) return MERGE_UNKNOWN;
    Pair *p = pair_place(b, pair_key(l, r));
    if (p->key) return MERGE_TWICE;
    *p = (Pair){pair_key(l, r), (int32_t)b->used, id};
    if (++b->used > b->mask / 2) pairs_grow(t, b);
    return MERGE_DONE;
}

/* ---- a word -------------------------------------------------------------------------------------------------------------- */

static bool offer_before(const Offer *a, const Offer *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

/* Offers the merge of the symbol at `at` with its right neighbour, where there is one. */
static void offer(Bpe *b, int32_t at) {
    int32_t next = at < 0 ? -1 : b->symbols[at].next;
    if (next < 0) return;
    const Pair *p = pair_place(b, pair_key(b->symbols[at].id, b->symbols[next].id));
    if (!p->key) return;
    Offer o = {p->rank, at, p->id, b->symbols[at].id, b->symbols[next].id};
    int64_t i = b->offers++;
    for (; i > 0 && offer_before(&o, &b->heap[(i - 1) / 2]); i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = o;
}

static Offer offer_take(Bpe *b) {
    Offer first = b->heap[0], o = b->heap[--b->offers];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < b->offers; i = child) {
        if (child + 1 < b->offers && offer_before(&b->heap[child + 1], &b->heap[child])) child++;
        if (!offer_before(&b->heap[child], &o)) break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = o;
    return first;
}

/* The bytes of a word as a list; returns the length. */
static int32_t symbols_fill(Tool *t, Tokenizer *k, const char *word, int64_t n) {
    Bpe *b = k->bpe;
    if (n >= INT32_MAX / 4) tool_fail(t, EXIT_INPUT, "%s: a word of %lld bytes", k->path, (long long)n);
    if (n > b->room) { /* every merge takes a symbol away and makes at most two offers: 3 n offers in all */
        int64_t room = n > 256 ? 2 * n : 512;
        b->symbols = tool_resize(t, b->symbols, 0, sizeof *b->symbols * (size_t)room);
        b->heap = tool_resize(t, b->heap, 0, sizeof *b->heap * 3 * (size_t)room);
        b->room = room;
    }
    int32_t made = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t id = b->bytes[(unsigned char)word[i]];
        if (id < 0 && k->unk < 0)
            tool_fail(t, EXIT_INPUT, "%s: no token for the byte 0x%02x, and model.unk_token is null", k->path,
                      (unsigned char)word[i]);
        bool again = id < 0 && made && b->fuse_unk && b->symbols[made - 1].id == k->unk;
        if (again) continue;
        b->symbols[made] = (Symbol){id < 0 ? k->unk : id, made - 1, made + 1};
        made++;
    }
    b->symbols[made - 1].next = -1;
    return made;
}

/* Merges a word of n >= 1 bytes; the ids are appended. */
static void word_merge(Tool *t, Tokenizer *k, const char *word, int64_t n, Ids *out) {
    Bpe *b = k->bpe;
    int32_t made = symbols_fill(t, k, word, n);
    b->offers = 0;
    for (int32_t i = 0; i < made; i++) offer(b, i);
    while (b->offers) {
        Offer o = offer_take(b);
        Symbol *left = &b->symbols[o.at];
        if (left->id != o.left || left->next < 0) continue;
        Symbol *right = &b->symbols[left->next];
        if (right->id != o.right) continue;
        left->id = o.id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) b->symbols[left->next].before = o.at;
        offer(b, left->before);
        offer(b, o.at);
    }
    for (int32_t i = 0; i >= 0; i = b->symbols[i].next) ids_push(t, out, b->symbols[i].id);
}

void bpe_word(Tool *t, Tokenizer *k, const char *word, int64_t n, Ids *out) {
    Bpe *b = k->bpe;
    uint64_t hash = hash_bytes(word, n);
    Known *known = &b->known[hash_fold(hash) & (CACHE_PLACES - 1)];
    if (known->word && known->hash == hash && known->length == n && !memcmp(known->word, word, (size_t)n)) {
        for (int32_t i = 0; i < known->n; i++) ids_push(t, out, b->cached.at[known->ids + i]);
        return;
    }
    int32_t whole = b->ignore_merges ? vocab_find_hashed(&k->vocab, hash, word, n) : -1;
    if (whole >= 0) {
        ids_push(t, out, whole);
        return;
    }
    int64_t from = out->n;
    word_merge(t, k, word, n, out);
    if (n > CACHED_BYTES || known->word) return; /* the first comer keeps its place */
    *known = (Known){hash, tool_copy(t, word, (size_t)n), (int32_t)n, (int32_t)(out->n - from), b->cached.n};
    for (int64_t i = from; i < out->n; i++) ids_push(t, &b->cached, out->at[i]);
}
