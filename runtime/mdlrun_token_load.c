/* mdlrun_token_load.c -- the files that describe a tokenizer:
 *
 *   vocab.txt        BERT's: a token a line, the line's number is its id. [UNK] must be there; [CLS] and [SEP] are put round
 * rows where both are. Texts are lower-cased and lose their accents, unless a token has a capital letter. tokenizer.json   of
 * Hugging Face, chosen by the name's end .json: a model WordPiece, or BPE over bytes
 *
 * A field that asks for something that is not done here ends the command with its name, such as `pre_tokenizer.type`. Of
 * `truncation` only max_length counts (see --truncate), of `padding` the id: how wide rows are, the program's input says. */
#include "runtime/mdlrun_token.h"

#include <string.h>

/* The patterns behind names. WORD: \w of the type Whitespace, which is another library's than that of patterns in the file. */
#define GPT2        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define WORD        "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"
#define PUNCTUATION "[\\p{P}$+<=>^`|~]" /* Unicode's and ASCII's */

static const char *const bert_marks[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};

/* ---- fields of a JSON file ----------------------------------------------------------------------------------------------- */

static void not_supported(Tool *t, const Tokenizer *k, const char *field, const json_t *value) __attribute__((noreturn));
static void not_supported(Tool *t, const Tokenizer *k, const char *field, const json_t *value) {
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    tool_fail(t, EXIT_INPUT, "%s: %s: %.60s is not supported", k->path, field, text ? text : "null");
}

static void not_a(Tool *t, const Tokenizer *k, const char *field, const char *kind) __attribute__((noreturn));
static void not_a(Tool *t, const Tokenizer *k, const char *field, const char *kind) {
    tool_fail(t, EXIT_INPUT, "%s: %s is not %s", k->path, field, kind);
}

/* A field of an object; NULL where it is missing or null. */
static const json_t *field_of(const json_t *object, const char *name) {
    const json_t *v = json_object_get(object, name);
    return json_is_null(v) ? NULL : v;
}

static char *name_of(Tool *t, const char *at, const char *name) {
    return *at ? tool_printf(t, "%s.%s", at, name) : tool_printf(t, "%s", name);
}

static bool flag_of(Tool *t, const Tokenizer *k, const json_t *object, const char *at, const char *name, bool otherwise) {
    const json_t *v = field_of(object, name);
    if (v && !json_is_boolean(v)) not_a(t, k, name_of(t, at, name), "true or false");
    return v ? json_is_true(v) : otherwise;
}

static const char *text_of(Tool *t, const Tokenizer *k, const json_t *object, const char *at, const char *name) {
    const json_t *v = field_of(object, name);
    if (v && !json_is_string(v)) not_a(t, k, name_of(t, at, name), "a string");
    return json_string_value(v);
}

/* The type of a part, which must be an object. */
static const char *type_of(Tool *t, const Tokenizer *k, const json_t *part, const char *at) {
    if (!json_is_object(part)) not_a(t, k, at, "an object");
    const char *type = text_of(t, k, part, at, "type");
    if (!type) not_a(t, k, name_of(t, at, "type"), "a string");
    return type;
}

/* An id, in range. */
static int32_t id_of(Tool *t, const Tokenizer *k, const json_t *v, const char *field) {
    if (!json_is_integer(v)) not_a(t, k, field, "a whole number");
    json_int_t id = json_integer_value(v);
    if (id < 0 || id >= TOKEN_ID_MAX)
        tool_fail(t, EXIT_INPUT, "%s: %s: the id %lld is not in 0..%lld", k->path, field, (long long)id,
                  (long long)TOKEN_ID_MAX - 1);
    return (int32_t)id;
}

/* An id of this vocabulary. */
static int32_t known_id(Tool *t, const Tokenizer *k, const json_t *v, const char *field) {
    int32_t id = id_of(t, k, v, field);
    if (id >= k->vocab.n || !k->vocab.tokens[id].text)
        tool_fail(t, EXIT_INPUT, "%s: %s: no token has the id %d", k->path, field, id);
    return id;
}

/* ---- normalizer ---------------------------------------------------------------------------------------------------------- */

static void change_add(Tool *t, Tokenizer *k, const char *at, Change change) {
    if (k->n_changes == CHANGES_MAX) tool_fail(t, EXIT_INPUT, "%s: %s: more than %d steps", k->path, at, CHANGES_MAX);
    k->changes[k->n_changes++] = change;
}

static void bert_normalizer(Tool *t, Tokenizer *k, const char *at, bool clean, bool chinese, bool accents, bool lower) {
    if (clean) change_add(t, k, at, CHANGE_CLEAN);
    if (chinese) change_add(t, k, at, CHANGE_CHINESE);
    if (accents) change_add(t, k, at, CHANGE_NFD);
    if (accents) change_add(t, k, at, CHANGE_DROP_MN);
    if (lower) change_add(t, k, at, CHANGE_LOWER);
}

static void normalizer_load(Tool *t, Tokenizer *k, const json_t *part, const char *at) {
    static const struct {
        const char *type;
        Change change;
    } plain[] = {{"NFD", CHANGE_NFD},   {"NFKD", CHANGE_NFKD},           {"NFC", CHANGE_NFC},
                 {"NFKC", CHANGE_NFKC}, {"StripAccents", CHANGE_DROP_M}, {"Lowercase", CHANGE_LOWER}};
    const char *type = type_of(t, k, part, at);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(plain[i].type, type) != 0) continue;
        change_add(t, k, at, plain[i].change);
        return;
    }
    if (!strcmp(type, "BertNormalizer")) {
        bool lower = flag_of(t, k, part, at, "lowercase", true);
        bert_normalizer(t, k, at, flag_of(t, k, part, at, "clean_text", true),
                        flag_of(t, k, part, at, "handle_chinese_chars", true), flag_of(t, k, part, at, "strip_accents", lower),
                        lower);
    } else if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(part, "normalizers"), *one;
        size_t i;
        if (!json_is_array(list)) not_a(t, k, name_of(t, at, "normalizers"), "an array");
        json_array_foreach(list, i, one) normalizer_load(t, k, one, tool_printf(t, "%s.normalizers[%zu]", at, i));
    } else {
        not_supported(t, k, name_of(t, at, "type"), json_object_get(part, "type"));
    }
}

/* ---- pre_tokenizer ------------------------------------------------------------------------------------------------------- */

static void split_load(Tool *t, Tokenizer *k, const json_t *part, const char *at) {
    const json_t *pattern = json_object_get(part, "pattern");
    const char *regex = text_of(t, k, pattern, name_of(t, at, "pattern"), "Regex"),
               *string = text_of(t, k, pattern, name_of(t, at, "pattern"), "String"),
               *behavior = text_of(t, k, part, at, "behavior");
    if (!regex == !string) not_a(t, k, name_of(t, at, "pattern"), "a Regex or a String");
    bool removed = behavior && !strcmp(behavior, "Removed");
    if (!removed && (!behavior || strcmp(behavior, "Isolated") != 0))
        not_supported(t, k, name_of(t, at, "behavior"), json_object_get(part, "behavior"));
    split_add(t, k, name_of(t, at, "pattern"), regex ? regex : string, string != NULL, removed,
              flag_of(t, k, part, at, "invert", false));
}

static void bert_split(Tool *t, Tokenizer *k, const char *at) {
    split_add(t, k, at, "[^\\s\\p{P}$+<=>^`|~]+|" PUNCTUATION, false, true, true);
}

/* *bytes: a ByteLevel was among the parts. */
static void pre_tokenizer_load(Tool *t, Tokenizer *k, const json_t *part, const char *at, bool *bytes) {
    const char *type = type_of(t, k, part, at);
    if (!strcmp(type, "ByteLevel")) {
        *bytes = true;
        if (flag_of(t, k, part, at, "add_prefix_space", true)) split_add_prefix(t, k, at);
        if (flag_of(t, k, part, at, "use_regex", true)) split_add(t, k, at, GPT2, false, false, false);
    } else if (!strcmp(type, "Split")) {
        split_load(t, k, part, at);
    } else if (!strcmp(type, "BertPreTokenizer")) {
        bert_split(t, k, at);
    } else if (!strcmp(type, "Whitespace")) {
        split_add(t, k, at, "[" WORD "]+|[^\\s" WORD "]+", false, true, true);
    } else if (!strcmp(type, "WhitespaceSplit")) {
        split_add(t, k, at, "\\s", false, true, false);
    } else if (!strcmp(type, "Digits")) {
        bool each = flag_of(t, k, part, at, "individual_digits", false);
        split_add(t, k, at, each ? "\\p{N}" : "\\p{N}+", false, false, false);
    } else if (!strcmp(type, "Punctuation")) {
        const char *behavior = text_of(t, k, part, at, "behavior");
        if (behavior && strcmp(behavior, "Isolated") != 0)
            not_supported(t, k, name_of(t, at, "behavior"), json_object_get(part, "behavior"));
        split_add(t, k, at, PUNCTUATION, false, false, false);
    } else if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(part, "pretokenizers"), *one;
        size_t i;
        if (!json_is_array(list)) not_a(t, k, name_of(t, at, "pretokenizers"), "an array");
        json_array_foreach(list, i, one) pre_tokenizer_load(t, k, one, tool_printf(t, "%s.pretokenizers[%zu]", at, i), bytes);
    } else {
        not_supported(t, k, name_of(t, at, "type"), json_object_get(part, "type"));
    }
}

/* ---- model --------------------------------------------------------------------------------------------------------------- */

/* The bytes behind a token of a vocabulary over bytes, where each byte is written as a visible character: those that are
 * visible in Latin-1 as themselves, the others in order as U+0100 and on. The characters of anything else stay: false. */
static bool bytes_of(const char *text, int64_t n, char *to, int64_t *length) {
    *length = 0;
    for (int64_t i = 0; i < n;) {
        int bytes = text_char_bytes(text + i);
        int32_t c = (unsigned char)text[i];
        if (bytes > 2) return false;
        if (bytes == 2) c = (c & 31) << 6 | (text[i + 1] & 63);
        bool visible = (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
        int32_t k = c - 0x100; /* the k-th of the bytes 0..32, 127..160, 173 */
        if (!visible && (k < 0 || k > 67)) return false;
        to[(*length)++] = (char)(visible ? c : k < 33 ? k : k < 67 ? 127 + k - 33 : 173);
        i += bytes;
    }
    return true;
}

static void vocab_load(Tool *t, Tokenizer *k, json_t *vocab, bool bytes) {
    const char *key;
    json_t *value;
    if (!json_is_object(vocab) || !json_object_size(vocab)) not_a(t, k, "model.vocab", "an object with tokens");
    json_object_foreach(vocab, key, value) {
        int64_t n = (int64_t)strlen(key), length = n;
        char *text = tool_copy(t, key, (size_t)n);
        int32_t id = id_of(t, k, value, tool_printf(t, "model.vocab[\"%s\"]", key));
        bool apart = bytes && !bytes_of(key, n, text, &length);
        if (apart) memcpy(text, key, (size_t)n);
        if (!vocab_add(t, &k->vocab, id, text, apart ? n : length, apart))
            tool_fail(t, EXIT_INPUT, "%s: model.vocab: \"%s\" and another token have the id %d", k->path, key, id);
    }
}

/* One merge: "left right" or ["left", "right"]. */
static void merge_load(Tool *t, Tokenizer *k, const json_t *merge, size_t i) {
    const char *left = json_string_value(merge), *right = left ? strchr(left, ' ') : NULL;
    int64_t n = right ? right - left : 0;
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        n = left ? (int64_t)strlen(left) : 0;
    } else if (right) {
        right++;
    }
    if (!left || !right || (json_is_string(merge) && strchr(right, ' ')))
        not_a(t, k, tool_printf(t, "model.merges[%zu]", i), "a pair of tokens");
    int64_t m = (int64_t)strlen(right), left_n, right_n;
    char *a = tool_alloc(t, (size_t)n + 1), *b = tool_alloc(t, (size_t)m + 1);
    BpeMerge done = MERGE_UNKNOWN;
    if (bytes_of(left, n, a, &left_n) && bytes_of(right, m, b, &right_n)) done = bpe_merge(t, k, a, left_n, b, right_n);
    tool_release(t, a);
    tool_release(t, b);
    if (done == MERGE_DONE) return;
    tool_fail(t, EXIT_INPUT, "%s: model.merges[%zu]: \"%.*s\" and \"%s\" %s", k->path, i, (int)n, left, right,
              done == MERGE_TWICE ? "are merged twice" : "or what they make is not in model.vocab");
}

/* model.unk_token as an id; -1: null. */
static int32_t unk_of(Tool *t, const Tokenizer *k, const json_t *model) {
    const char *text = text_of(t, k, model, "model", "unk_token");
    const json_t *id = text ? json_object_get(json_object_get(model, "vocab"), text) : NULL;
    if (text && !id) tool_fail(t, EXIT_INPUT, "%s: model.unk_token: \"%s\" is not in model.vocab", k->path, text);
    return id ? (int32_t)json_integer_value(id) : -1;
}

static void bpe_load(Tool *t, Tokenizer *k, const json_t *model, bool bytes) {
    static const char *const not_done[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"};
    if (!bytes)
        tool_fail(t, EXIT_INPUT, "%s: pre_tokenizer: BPE is supported over bytes only, and no ByteLevel is there", k->path);
    for (size_t i = 0; i < sizeof not_done / sizeof *not_done; i++) {
        const json_t *v = field_of(model, not_done[i]);
        bool none = !v || json_is_false(v) || (json_is_string(v) && !json_string_length(v)) ||
                    (json_is_number(v) && json_number_value(v) == 0);
        if (!none) not_supported(t, k, name_of(t, "model", not_done[i]), v);
    }
    k->unk = unk_of(t, k, model);
    bpe_new(t, k, flag_of(t, k, model, "model", "ignore_merges", false), flag_of(t, k, model, "model", "fuse_unk", false));
    const json_t *merges = json_object_get(model, "merges"), *merge;
    size_t i;
    if (!json_is_array(merges)) not_a(t, k, "model.merges", "an array");
    json_array_foreach(merges, i, merge) merge_load(t, k, merge, i);
}

static void wordpiece_load(Tool *t, Tokenizer *k, const json_t *model, bool bytes) {
    if (bytes) tool_fail(t, EXIT_INPUT, "%s: pre_tokenizer: ByteLevel is not supported for WordPiece", k->path);
    k->unk = unk_of(t, k, model);
    if (k->unk < 0) not_a(t, k, "model.unk_token", "a string");
    const char *continuing = text_of(t, k, model, "model", "continuing_subword_prefix");
    k->continuing = continuing ? tool_printf(t, "%s", continuing) : "##";
    const json_t *most = field_of(model, "max_input_chars_per_word");
    k->word_max = most ? json_integer_value(most) : 100;
    if (most && (!json_is_integer(most) || k->word_max < 1)) not_a(t, k, "model.max_input_chars_per_word", "a whole number");
}

/* ---- added tokens -------------------------------------------------------------------------------------------------------- */

/* text must stay. */
static void added_add(Tool *t, Tokenizer *k, Added a, bool special) {
    k->added = tool_resize(t, k->added, sizeof a * (size_t)k->n_added, sizeof a * (size_t)(k->n_added + 1));
    int64_t length = a.length;
    a.normal = a.normalized && k->n_changes ? text_normalize(t, k, a.text, a.length, &length) : a.text;
    a.normal_length = (int32_t)length;
    if (a.length) k->first[a.normalized][(unsigned char)(a.normalized ? a.normal : a.text)[0]] = true;
    Token *token = &k->vocab.tokens[a.id];
    token->special = special;
    if (token->apart) { /* written as it is found */
        token->text = a.normal;
        token->length = a.normal_length;
    }
    k->added[k->n_added++] = a;
}

static void added_load(Tool *t, Tokenizer *k, const json_t *list, const json_t *vocab) {
    const json_t *row;
    size_t i;
    if (list && !json_is_array(list)) not_a(t, k, "added_tokens", "an array");
    json_array_foreach(list, i, row) {
        char *at = tool_printf(t, "added_tokens[%zu]", i);
        if (!json_is_object(row)) not_a(t, k, at, "an object");
        const char *content = text_of(t, k, row, at, "content");
        if (!content || !*content) not_a(t, k, name_of(t, at, "content"), "a string");
        int32_t id = id_of(t, k, json_object_get(row, "id"), name_of(t, at, "id"));
        int64_t n = (int64_t)strlen(content);
        const json_t *there = json_object_get(vocab, content);
        char *text = tool_copy(t, content, (size_t)n);
        if (there ? json_integer_value(there) != id : !vocab_add(t, &k->vocab, id, text, n, true))
            tool_fail(t, EXIT_INPUT, "%s: %s: \"%s\" has the id %d, which goes with another token", k->path, at, content, id);
        if (flag_of(t, k, row, at, "single_word", false))
            not_supported(t, k, name_of(t, at, "single_word"), json_object_get(row, "single_word"));
        bool special = flag_of(t, k, row, at, "special", false);
        Added a = {.text = text,
                   .length = (int32_t)n,
                   .id = id,
                   .left = flag_of(t, k, row, at, "lstrip", false),
                   .right = flag_of(t, k, row, at, "rstrip", false),
                   .normalized = flag_of(t, k, row, at, "normalized", !special)};
        added_add(t, k, a, special);
    }
}

/* ---- post_processor ------------------------------------------------------------------------------------------------------ */

/* ["[CLS]", 101] */
static void mark_load(Tool *t, Tokenizer *k, const json_t *part, const char *at, const char *name, Ids *to) {
    const json_t *pair = json_object_get(part, name);
    ids_push(t, to, known_id(t, k, json_array_get(pair, 1), name_of(t, at, name)));
}

/* Template: [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": {"id": "A"}}, ...], its names in special_tokens. */
static void template_load(Tool *t, Tokenizer *k, const json_t *part, const char *at) {
    const json_t *single = json_object_get(part, "single"), *piece, *id;
    size_t i, j;
    bool met = false;
    if (!json_is_array(single)) not_a(t, k, name_of(t, at, "single"), "an array");
    json_array_foreach(single, i, piece) {
        const json_t *special = json_object_get(piece, "SpecialToken"), *sequence = json_object_get(piece, "Sequence");
        char *here = tool_printf(t, "%s.single[%zu]", at, i);
        if (sequence && met) not_supported(t, k, here, piece);
        met = met || sequence;
        if (sequence) continue;
        const char *name = text_of(t, k, special, here, "id");
        if (!name) not_a(t, k, here, "a SpecialToken or a Sequence");
        const json_t *ids = json_object_get(json_object_get(json_object_get(part, "special_tokens"), name), "ids");
        if (!json_is_array(ids)) not_a(t, k, tool_printf(t, "%s.special_tokens[\"%s\"].ids", at, name), "an array");
        json_array_foreach(ids, j, id) ids_push(t, met ? &k->after : &k->before, known_id(t, k, id, here));
    }
    if (!met) not_supported(t, k, name_of(t, at, "single"), single);
}

static void post_processor_load(Tool *t, Tokenizer *k, const json_t *part, const char *at) {
    const char *type = type_of(t, k, part, at);
    if (!strcmp(type, "TemplateProcessing")) {
        template_load(t, k, part, at);
    } else if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing")) {
        mark_load(t, k, part, at, "cls", &k->before);
        mark_load(t, k, part, at, "sep", &k->after);
    } else if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(part, "processors"), *one;
        size_t i;
        if (!json_is_array(list)) not_a(t, k, name_of(t, at, "processors"), "an array");
        json_array_foreach(list, i, one) post_processor_load(t, k, one, tool_printf(t, "%s.processors[%zu]", at, i));
    } else if (strcmp(type, "ByteLevel") != 0) { /* which only moves offsets */
        not_supported(t, k, name_of(t, at, "type"), json_object_get(part, "type"));
    }
}

/* ---- the rest of tokenizer.json ------------------------------------------------------------------------------------------ */

static void decoder_load(Tool *t, Tokenizer *k, const json_t *part) {
    const char *type = type_of(t, k, part, "decoder");
    if (strcmp(type, k->bpe ? "ByteLevel" : "WordPiece") != 0)
        not_supported(t, k, "decoder.type", json_object_get(part, "type"));
    const char *prefix = text_of(t, k, part, "decoder", "prefix");
    if (!k->bpe && prefix && strcmp(prefix, k->continuing) != 0)
        not_supported(t, k, "decoder.prefix", json_object_get(part, "prefix"));
    k->cleanup = flag_of(t, k, part, "decoder", "cleanup", true);
}

/* Of both only the direction can ask for something else than is done. */
static void rows_load(Tool *t, Tokenizer *k, const json_t *truncation, const json_t *padding) {
    const struct {
        const json_t *part;
        const char *field;
    } both[] = {{truncation, "truncation.direction"}, {padding, "padding.direction"}};
    for (int i = 0; i < 2; i++) {
        const json_t *direction = field_of(both[i].part, "direction");
        if (direction && (!json_is_string(direction) || strcmp(json_string_value(direction), "Right") != 0))
            not_supported(t, k, both[i].field, direction);
    }
    const json_t *most = field_of(truncation, "max_length"), *pad = field_of(padding, "pad_id");
    if (most && (!json_is_integer(most) || json_integer_value(most) < 0))
        not_a(t, k, "truncation.max_length", "a whole number");
    if (most) k->most = json_integer_value(most);
    if (pad) k->pad = id_of(t, k, pad, "padding.pad_id");
}

static void json_file_load(Tool *t, Tokenizer *k, const char *file, size_t length) {
    json_error_t error;
    json_t *root = json_loadb(file, length, JSON_REJECT_DUPLICATES, &error);
    if (!root) tool_fail(t, EXIT_INPUT, "%s, line %d: no JSON: %s", k->path, error.line, error.text);
    json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
    if (!json_is_object(model)) not_a(t, k, "model", "an object");
    const json_t *part;
    bool bytes = false;
    if ((part = field_of(root, "normalizer"))) normalizer_load(t, k, part, "normalizer");
    if ((part = field_of(root, "pre_tokenizer"))) pre_tokenizer_load(t, k, part, "pre_tokenizer", &bytes);
    const char *type = text_of(t, k, model, "model", "type"); /* older files leave it out */
    if (!type) type = json_object_get(model, "merges") ? "BPE" : "WordPiece";
    bool bpe = !strcmp(type, "BPE");
    if (!bpe && strcmp(type, "WordPiece") != 0) not_supported(t, k, "model.type", json_object_get(model, "type"));
    vocab_load(t, k, vocab, bpe);
    if (bpe) bpe_load(t, k, model, bytes);
    else wordpiece_load(t, k, model, bytes);
    added_load(t, k, json_object_get(root, "added_tokens"), vocab);
    if ((part = field_of(root, "post_processor"))) post_processor_load(t, k, part, "post_processor");
    if ((part = field_of(root, "decoder"))) decoder_load(t, k, part);
    const json_t *pad = json_object_get(vocab, "[PAD]");
    k->pad = pad ? (int32_t)json_integer_value(pad) : 0;
    rows_load(t, k, field_of(root, "truncation"), field_of(root, "padding"));
    json_decref(root);
}

/* ---- vocab.txt ----------------------------------------------------------------------------------------------------------- */

static int32_t mark_find(const Tokenizer *k, const char *mark) {
    return vocab_find(&k->vocab, mark, (int64_t)strlen(mark));
}

static void list_file_load(Tool *t, Tokenizer *k, const char *file, size_t length) {
    const char *at = file, *end = file + length;
    bool capitals = false;
    int64_t bad = text_bad(file, (int64_t)length);
    if (bad >= 0 || memchr(file, 0, length))
        tool_fail(t, EXIT_INPUT, "%s is no list of tokens (and no .json): it is not text in UTF-8", k->path);
    for (int64_t id = 0; at < end; id++) {
        const char *line = memchr(at, '\n', (size_t)(end - at)), *next = line ? line + 1 : end;
        int64_t n = (line ? line : end) - at;
        if (n && at[n - 1] == '\r') n--;
        if (id >= TOKEN_ID_MAX) tool_fail(t, EXIT_INPUT, "%s has more than %lld lines", k->path, (long long)TOKEN_ID_MAX);
        for (int64_t i = 0; i < n && *at != '['; i++) capitals = capitals || (at[i] >= 'A' && at[i] <= 'Z');
        if (n && !vocab_add(t, &k->vocab, (int32_t)id, tool_copy(t, at, (size_t)n), n, false))
            tool_fail(t, EXIT_INPUT, "%s, line %lld: \"%.*s\" stands in line %d already", k->path, (long long)id + 1, (int)n,
                      at, vocab_find(&k->vocab, at, n) + 1);
        at = next;
    }
    k->unk = mark_find(k, "[UNK]");
    if (k->unk < 0) tool_fail(t, EXIT_INPUT, "%s has no token [UNK]", k->path);
    k->continuing = "##";
    k->word_max = 100;
    bert_normalizer(t, k, "", true, true, !capitals, !capitals);
    bert_split(t, k, "");
    int32_t front = mark_find(k, "[CLS]"), back = mark_find(k, "[SEP]"), pad = mark_find(k, "[PAD]");
    if (front >= 0 && back >= 0) {
        ids_push(t, &k->before, front);
        ids_push(t, &k->after, back);
    }
    k->pad = pad < 0 ? 0 : pad;
    for (size_t i = 0; i < sizeof bert_marks / sizeof *bert_marks; i++) {
        int32_t id = mark_find(k, bert_marks[i]);
        Added a = {.text = bert_marks[i], .length = (int32_t)strlen(bert_marks[i]), .id = id};
        if (id >= 0) added_add(t, k, a, true);
    }
}

Tokenizer *tokenizer_load(Tool *t, const char *path) {
    Tokenizer *k = tool_alloc(t, sizeof *k);
    size_t length;
    char *file = tool_file_read(t, path, &length);
    k->path = path;
    k->most = -1;
    k->cleanup = true;
    k->unk = -1;
    if (tool_suffix(path, ".json")) json_file_load(t, k, file, length);
    else list_file_load(t, k, file, length);
    tool_release(t, file);
    return k;
}
