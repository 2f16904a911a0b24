/* mdlrun_wordpiece.c -- the model WordPiece: from the left, the longest token that the rest of the word begins with; inside a
 * word tokens begin with "##". A word that does not come out even, or is too long, is [UNK] as a whole.
 *
 *     "embeddings" -> em ##bed ##ding ##s
 *
 * Method: Schuster and Nakajima, Japanese and Korean voice search, 2012; BERT's tokenization.py. The hash of every beginning of
 * the rest is made in one pass, so a word costs its length times the longest token. */
#include "runtime/mdlrun_token.h"

#include <string.h>

void wordpiece_word(Tool *t, Tokenizer *k, const char *word, int64_t n, Ids *out) {
    int64_t chars = 0, mark = (int64_t)strlen(k->continuing), begun = out->n;
    for (int64_t i = 0; i < n; i += text_char_bytes(word + i)) chars++;
    if (chars > k->word_max) {
        ids_push(t, out, k->unk);
        return;
    }
    int64_t most = k->vocab.longest, room = mark + n;
    if (room > k->word_room) {
        k->word = tool_resize(t, k->word, 0, (size_t)(2 * room));
        k->word_room = 2 * room;
    }
    /* The word stands behind room for a mark; the mark of a later token overwrites what earlier tokens took. */
    char *copy = k->word + mark;
    memcpy(copy, word, (size_t)n);
    for (int64_t at = 0; at < n;) {
        const char *from = at ? copy + at - mark : copy, *end = copy + n;
        if (at) memcpy(copy + at - mark, k->continuing, (size_t)mark);
        uint64_t hash = at ? hash_bytes(from, mark) : HASH_SEED;
        int64_t best = 0;
        int32_t id = -1;
        for (const char *p = copy + at; p < end;) {
            const char *next = p + text_char_bytes(p);
            if (next - from > most) break;
            for (; p < next; p++) hash = hash_byte(hash, (unsigned char)*p);
            int32_t found = vocab_find_hashed(&k->vocab, hash, from, next - from);
            if (found < 0) continue;
            id = found;
            best = next - (copy + at);
        }
        if (id < 0) {
            out->n = begun;
            ids_push(t, out, k->unk);
            return;
        }
        ids_push(t, out, id);
        at += best;
    }
}
