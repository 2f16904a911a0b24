/* mdlrun_token.h -- text to tokens and back: the option --tokenizer. How to read it, in the order of the data:
 *
 *   - mdlrun_token.c: the way of a text. Added tokens are cut out, the rest is normalized, split into words, and the model turns
 *     words into ids; marks round a row; ids to text again, as they come
 *   - mdlrun_token_load.c: vocab.txt and tokenizer.json; what a file asks for that is not done here is refused by its field's name
 *   - mdlrun_token_text.c: Unicode, normalizing (utf8proc's tables), splitting (patterns by PCRE2)
 *   - mdlrun_wordpiece.c: the model WordPiece, greedy longest match
 *   - mdlrun_bpe.c: the model BPE over bytes, merges by rank
 *
 * The tokens are those of the package `tokenizers` of Hugging Face (tests/mdlrun/tokens.py compares). */
#ifndef RUNTIME_MDLRUN_TOKEN_H
#define RUNTIME_MDLRUN_TOKEN_H
#include "runtime/mdlrun.h"

#define TOKEN_ID_MAX ((int64_t)1 << 22) /* ids are below; the largest vocabularies known have a quarter million */

typedef struct Ids {
    int32_t *at;
    int64_t n, room;
} Ids;

void ids_push(Tool *t, Ids *ids, int32_t id);

/* ---- the vocabulary: strings of bytes <-> ids ---------------------------------------------------------------------------- */

typedef struct Token {
    const char *text; /* NULL: no token has this id */
    int32_t length;
    bool special; /* not written when ids become text */
    bool apart;   /* stands outside the model's words: never found by vocab_find */
} Token;

typedef struct Vocab {
    Token *tokens;   /* by id */
    int32_t n, room; /* largest id + 1 */
    int32_t *slots;  /* hash -> id + 1, open addressing; 0: free */
    uint32_t mask, used;
    int32_t longest; /* bytes of the longest token that vocab_find finds */
} Vocab;

#define HASH_SEED 14695981039346656037u
static inline uint64_t hash_byte(uint64_t hash, unsigned char byte) { /* FNV-1a, continued by a byte */
    return (hash ^ byte) * 1099511628211u;
}
static inline uint32_t hash_fold(uint64_t hash) {
    return (uint32_t)(hash ^ hash >> 32);
}
uint64_t hash_bytes(const char *text, int64_t n);

/* The id of a string whose hash is known, or -1. */
int32_t vocab_find_hashed(const Vocab *v, uint64_t hash, const char *text, int64_t n);
int32_t vocab_find(const Vocab *v, const char *text, int64_t n);
/* Gives an id (0 <= id < TOKEN_ID_MAX) its token; text must stay. false: another token has the id, or the text another id. */
bool vocab_add(Tool *t, Vocab *v, int32_t id, const char *text, int64_t n, bool apart);

/* ---- the parts of a tokenizer -------------------------------------------------------------------------------------------- */

/* What normalizing does to a text, in order. */
typedef enum Change {
    CHANGE_CLEAN,   /* control characters go, white space becomes a blank */
    CHANGE_CHINESE, /* blanks round CJK characters */
    CHANGE_NFD,
    CHANGE_NFKD,
    CHANGE_NFC,
    CHANGE_NFKC,
    CHANGE_DROP_MN, /* non-spacing marks go */
    CHANGE_DROP_M,  /* all marks go */
    CHANGE_LOWER,
} Change;

/* A step that divides a piece of text. */
typedef struct Split {
    bool prefix;  /* no division: a blank is put in front of a piece that has none */
    bool removed; /* what is selected goes; else it stands alone */
    bool invert;  /* what does not match is selected, instead of what matches */
    void *code;   /* of PCRE2 */
    void *match;
} Split;

typedef struct Added {         /* a token found in the text before the model sees it */
    const char *text, *normal; /* normal: normalized */
    int32_t length, normal_length, id;
    bool left, right; /* takes the white space there along */
    bool normalized;  /* looked for after normalizing */
} Added;

#define CHANGES_MAX 16
#define SPLITS_MAX  16

typedef struct Bpe Bpe;

typedef struct Tokenizer Tokenizer;
struct Tokenizer {
    const char *path;
    Vocab vocab;
    Added *added;
    int32_t n_added;
    bool first[2][256]; /* [normalized]: the bytes that added tokens begin with */
    Change changes[CHANGES_MAX];
    int n_changes;
    Split splits[SPLITS_MAX];
    int n_splits;
    Bpe *bpe; /* NULL: WordPiece */
    int32_t unk;
    const char *continuing; /* WordPiece: "##" */
    int64_t word_max;       /* WordPiece: characters of a word that is not unk as a whole */
    bool cleanup;           /* WordPiece: no blank before . ? ! , when ids become text */
    Ids before, after;      /* marks round a row */
    int32_t pad;            /* what rows are filled up with */
    int64_t most;           /* tokens of a row that the file allows (truncation.max_length), or -1 */
    char *word;             /* WordPiece: room for a word, word_room bytes */
    int64_t word_room;
};

/* ---- mdlrun_token.c ------------------------------------------------------------------------------------------------------ */

/* The tokenizer of the command: --tokenizer, or run { tokenizer } (below --data); read when it is first asked for. NULL: none,
 * and texts are bytes. */
Tokenizer *tokenizer_of(Tool *t);
/* Appends the ids of n bytes of text, without marks. `what` names the text in messages: it must be UTF-8. */
void tokens_add(Tool *t, Tokenizer *k, const char *what, const char *text, int64_t n, Ids *out);
/* The same as a row: with marks. */
void tokens_add_row(Tool *t, Tokenizer *k, const char *what, const char *text, int64_t n, Ids *out);
/* The same as the beginning of a text that goes on: the marks in front, where the tokenizer has none behind. */
void tokens_add_prompt(Tool *t, Tokenizer *k, const char *what, const char *text, int64_t n, Ids *out);

/* Ends the command where an input cannot hold every id. */
void tokens_fit(Tool *t, const Tokenizer *k, const char *entry, const mdl_value *v);

/* Ids become text as they come; a character is written when it is whole. */
typedef struct Decoder {
    const Tokenizer *k;
    bool begun; /* something stands before: WordPiece puts a blank in between */
    unsigned char held[4];
    int n_held; /* the beginning of a character */
} Decoder;
void decoder_write(Decoder *d, FILE *f, int64_t id); /* special tokens and ids without a token write nothing */
void decoder_end(Decoder *d, FILE *f);               /* what is left of a half character becomes U+FFFD */

/* ---- the other files ----------------------------------------------------------------------------------------------------- */

Tokenizer *tokenizer_load(Tool *t, const char *path); /* ends the command with what is wrong, or not supported */

bool text_is_space(int32_t c);                                    /* the property White_Space */
int64_t text_bad(const char *text, int64_t n);                    /* the first byte that is not UTF-8, or -1 */
int text_char_bytes(const char *at);                              /* of valid UTF-8 */
bool text_has_space(const char *at, const char *end, int *bytes); /* does a white space begin here? */
/* A new text (to be released): all changes of k. */
char *text_normalize(Tool *t, const Tokenizer *k, const char *text, int64_t n, int64_t *length);
/* Appends a step to k: a pattern of PCRE2 (literal: a plain string). field names it in messages. */
void split_add(Tool *t, Tokenizer *k, const char *field, const char *pattern, bool literal, bool removed, bool invert);
void split_add_prefix(Tool *t, Tokenizer *k, const char *field);
/* The piece goes through the steps from `step` on; every word that comes out goes to the model. */
void text_split(Tool *t, Tokenizer *k, int step, const char *piece, int64_t n, Ids *out);

void wordpiece_word(Tool *t, Tokenizer *k, const char *word, int64_t n, Ids *out);

/* The model of a tokenizer whose vocabulary is complete. */
void bpe_new(Tool *t, Tokenizer *k, bool ignore_merges, bool fuse_unk);
typedef enum BpeMerge { MERGE_DONE, MERGE_UNKNOWN, MERGE_TWICE } BpeMerge;
BpeMerge bpe_merge(Tool *t, Tokenizer *k, const char *left, int64_t left_n, const char *right, int64_t right_n);
void bpe_word(Tool *t, Tokenizer *k, const char *word, int64_t n, Ids *out);

#endif
