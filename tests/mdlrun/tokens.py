"""tokens.py -- what `mdlrun --tokenizer` is compared with: the package tokenizers of Hugging Face (make venv).

tokens.py make             trains wordpiece.txt, wordpiece.json, gpt2.json and llama3.json in this folder
tokens.py expect FILE...   prints for each tokenizer the hash of the ids of sentences.pl, as tokens.test has them
tokens.py variants         the same for the files that variants.txt makes of those, as tokens_variants.test has them
tokens.py compare FILE ECHO.so CSV   runs mdlrun over a table text,n and prints the first rows that differ

Rows are padded to the longest, have the marks of the file, and are cut where the file says so (truncation.max_length)."""
import hashlib, json, os, re, subprocess, sys, tempfile
import numpy as np
from tokenizers import (AddedToken, BertWordPieceTokenizer, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

HERE = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def sentences(path=None, *numbers):
    made = subprocess.run(["perl", f"{HERE}/sentences.pl", *numbers], stdout=subprocess.PIPE).stdout
    data = open(path, "rb").read() if path else made
    return [text.replace('""', '"') for text in re.findall(r'"((?:[^"]|"")*)",\d+\n', data.decode())]


def load(path):
    if path.endswith(".txt"):
        return BertWordPieceTokenizer(path, lowercase=True)._tokenizer
    k = Tokenizer.from_file(path)
    k.no_padding()
    return k


def rows(k, texts):
    """The ids of all texts as one array."""
    ids = [e.ids for e in k.encode_batch(texts)]
    pad = k.token_to_id("[PAD]") or 0
    out = np.full((len(ids), max(map(len, ids))), pad, "<i4")
    for i, row in enumerate(ids):
        out[i, : len(row)] = row
    return out


def bible():
    text = subprocess.run(["bible", "-f", "gen1:1-ex10:1", "ps1:1-ps60:1", "rom1:1-rom16:1"], stdout=subprocess.PIPE).stdout.decode()
    return [line.split(" ", 1)[1] for line in text.splitlines() if " " in line]


def wordpiece():
    k = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    k.normalizer = normalizers.BertNormalizer(lowercase=True)
    k.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    extra = ["café", "你好 世 界", "привет мир", "ελλαδα", "don't ' s t", "0 1 2 3 4 5 6 7 8 9", "— … “ ” ¿ ¡ $ + < = > ^ ` | ~ - # @ 😀 ❤"] * 20
    k.train_from_iterator(bible() + extra, trainers.WordPieceTrainer(vocab_size=900, special_tokens=MARKS, show_progress=False))
    vocab = sorted(k.get_vocab(), key=k.token_to_id)
    open(f"{HERE}/wordpiece.txt", "w").write("".join(v + "\n" for v in vocab))
    # The same model with other settings: cased, NFKC, limits, a token looked for after normalizing.
    k.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    k.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)])
    k.add_tokens([AddedToken("Extra", normalized=True), AddedToken("<extra>", normalized=False, lstrip=True, rstrip=True)])
    k.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    k.decoder = decoders.WordPiece(cleanup=False)
    k.enable_truncation(64)
    save(k, "wordpiece.json", max_input_chars_per_word=20)


def bpe(name, size, pre, post, **settings):
    k = Tokenizer(models.BPE())
    k.pre_tokenizer = pre
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<|end|>", "<|begin|>"], show_progress=False)
    k.train_from_iterator(bible() + ["你好，世界。 café Привет 12 123 \n\n 😀👍"] * 40, trainer)
    k.post_processor = post
    k.decoder = decoders.ByteLevel()
    save(k, name, **settings)


def save(k, name, **settings):
    data = json.loads(k.to_str())
    data["model"].update(settings)
    if name == "gpt2.json":  # merges as older files have them
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    Tokenizer.from_str(json.dumps(data))
    open(f"{HERE}/{name}", "w").write(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")


def make():
    wordpiece()
    bpe("gpt2.json", 900, pre_tokenizers.ByteLevel(add_prefix_space=False), processors.ByteLevel(trim_offsets=False))
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    mark = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
    bpe("llama3.json", 700, pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        processors.Sequence([processors.ByteLevel(trim_offsets=False), mark]), ignore_merges=True)


def expect(path):
    out = rows(load(path), sentences())
    print(os.path.basename(path), *out.shape, hashlib.sha256(out.tobytes()).hexdigest())


def variants():
    texts = sentences(None, "300", "2")
    for line in open(f"{HERE}/variants.txt"):
        name, edit = line.rstrip("\n").split(" ", 1)
        with tempfile.NamedTemporaryFile(suffix=".json") as f:
            subprocess.run(["sed", edit, f"{HERE}/{name}"], stdout=f, check=True)
            print(hashlib.sha256(rows(load(f.name), texts).tobytes()).hexdigest(), " -")


def compare(path, echo, table):
    texts = sentences(table)
    want = rows(load(path), texts)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mdlrun", echo, "eval", "echo", f"ids={table}:text", "--tokenizer", path, "--out", folder, "--truncate",
                        "--quiet"], check=True)
        got = np.load(f"{folder}/same.npy")
    wrong = [i for i in range(len(texts)) if got.shape[0] <= i or row_text(got[i]) != row_text(want[i])]
    for i in wrong[:10]:
        print("row", i + 1, ascii(texts[i]), "\n  want", list(want[i]), "\n  got ", list(got[i]))
    print(len(texts), "rows,", len(wrong), "differ, shapes", got.shape, want.shape)


def row_text(row):
    return " ".join(map(str, row)).rstrip(" 0")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make()
    elif sys.argv[1] == "expect":
        for path in sys.argv[2:]:
            expect(path)
    elif sys.argv[1] == "variants":
        variants()
    else:
        compare(*sys.argv[2:])
