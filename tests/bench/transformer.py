"""transformer.py -- the demo's transformer against eager PyTorch, in one run, interleaved: a training step (batch 12, 64 predictions, AdamW,
clip 1.0) and a decoded token (batch 1, key/value cache), at 1 and 2 threads. Prints medians, ratios, and the share of the machine's floor:
what the arithmetic of the products alone would take at the FMA peak measured beside it.

    make bench            or: build/venv/bin/python tests/bench/transformer.py [rounds]

The rival at its best setting: fused AdamW, foreach clipping, scaled_dot_product_attention, inference_mode for decoding."""
import ctypes as C
import statistics
import sys

import numpy as np
import torch
import torch.nn.functional as F
from lib.common import compile_artifact, peak_gflops, pointer, session, timed

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
LAYERS, HEADS, D, VOCAB, CONTEXT, BATCH = 4, 4, 128, 256, 64, 12


# ---- ours: the artifact through its C functions -----------------------------------------------------------------------------------

class Ours:
    def __init__(self, lib, threads):
        self.lib = lib
        self.train, self.serve = session(lib, 'transformer', threads), session(lib, 'transformer', threads)
        self.loss, self.logits = np.zeros(1, np.float32), np.zeros((1, VOCAB), np.float32)

    def step(self, ids):
        code = self.lib.transformer_step(self.train, C.c_int64(BATCH), C.c_int64(CONTEXT + 1), pointer(ids), pointer(self.loss))
        assert code == 0, code

    def prefill(self, ids):
        assert self.lib.transformer_prefill(self.serve, C.c_int64(1), C.c_int64(len(ids)), pointer(ids), pointer(self.logits)) == 0

    def decode(self, one):
        assert self.lib.transformer_decode(self.serve, C.c_int64(1), pointer(one), pointer(self.logits)) == 0


# ---- the rival ----------------------------------------------------------------------------------------------------------------------

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(D), torch.nn.LayerNorm(D)
        self.qkv, self.proj = torch.nn.Linear(D, 3 * D), torch.nn.Linear(D, D)
        self.up, self.down = torch.nn.Linear(D, 4 * D), torch.nn.Linear(4 * D, D)

    def forward(self, x, cache=None, pos=0):
        b, t, _ = x.shape
        q, k, v = (z.view(b, t, HEADS, -1).transpose(1, 2) for z in self.qkv(self.ln_1(x)).split(D, -1))
        if cache is not None:
            cache[0][:, :, pos:pos + t], cache[1][:, :, pos:pos + t] = k, v
            k, v = cache[0][:, :, :pos + t], cache[1][:, :, :pos + t]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, D))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate='tanh'))


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = torch.nn.Embedding(VOCAB, D), torch.nn.Embedding(CONTEXT, D)
        self.h, self.ln_f = torch.nn.ModuleList(Block() for _ in range(LAYERS)), torch.nn.LayerNorm(D)
        self.caches = [[torch.zeros(1, HEADS, CONTEXT, D // HEADS) for _ in range(2)] for _ in range(LAYERS)]
        self.pos = 0
        for p in self.parameters():
            if p.dim() > 1:
                torch.nn.init.normal_(p, 0, 0.02)
        groups = [{'params': [p for p in self.parameters() if p.dim() > 1], 'weight_decay': 0.1},
                  {'params': [p for p in self.parameters() if p.dim() < 2], 'weight_decay': 0.0}]
        self.opt = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)

    def forward(self, ids, cached=False, pos=0):
        x = self.wte(ids) + self.wpe.weight[pos:pos + ids.shape[1]]
        for block, cache in zip(self.h, self.caches):
            x = block(x, cache if cached else None, pos)
        return self.ln_f(x) @ self.wte.weight.T

    def step(self, ids):
        z = self(ids[:, :-1])
        loss = F.cross_entropy(z.reshape(-1, VOCAB), ids[:, 1:].reshape(-1))
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0, foreach=True)
        self.opt.step()
        return loss.item()

    @torch.inference_mode()
    def prefill(self, ids):
        self.pos = ids.shape[1]
        return self(ids, True, 0)[:, -1]

    @torch.inference_mode()
    def decode(self, one):
        z = self(one, True, self.pos)[:, -1]
        self.pos += 1
        return z


# ---- the floor -----------------------------------------------------------------------------------------------------------------------

def step_flops():
    tokens, t, hd = BATCH * CONTEXT, CONTEXT, D // HEADS
    forward = 2 * tokens * (LAYERS * 12 * D * D + D * VOCAB) + LAYERS * 2 * 2 * BATCH * HEADS * t * t * hd
    return 3 * forward


def main():
    lib, peak = compile_artifact('examples/transformer.mdl'), peak_gflops()
    r = np.random.default_rng(1)
    batches = [r.integers(0, VOCAB, (BATCH, CONTEXT + 1)).astype(np.int32) for _ in range(10)]
    prompt, one = r.integers(0, VOCAB, 8).astype(np.int32), np.array([65], np.int32)
    print(f'PyTorch {torch.__version__}; median of {ROUNDS} rounds, interleaved')
    for threads in (1, 2):
        torch.set_num_threads(threads)
        ours, rival = Ours(lib, threads), Torch()
        tb = [torch.tensor(b, dtype=torch.int64) for b in batches]
        tp, to = torch.tensor(prompt, dtype=torch.int64)[None], torch.tensor([[65]])
        times = {k: [] for k in ('ours step', 'torch step', 'ours token', 'torch token')}
        for k in range(ROUNDS + 1):  # the first round warms up
            row = {'ours step': timed(lambda: [ours.step(b) for b in batches]) / 10, 'torch step': timed(lambda: [rival.step(b) for b in tb]) / 10}
            ours.prefill(prompt)
            row['ours token'] = timed(lambda: [ours.decode(one) for _ in range(50)]) / 50
            rival.prefill(tp)
            row['torch token'] = timed(lambda: [rival.decode(to) for _ in range(50)]) / 50
            for name, value in row.items():
                if k:
                    times[name].append(value)
        m = {k: statistics.median(v) for k, v in times.items()}
        floor = f', {step_flops() / (peak * 1e9 * threads) / m["ours step"]:.0%} of the floor ({peak:.0f} GFLOP/s a core)' if peak else ''
        print(f'{threads} thread(s): step  ours {m["ours step"] * 1e3:8.2f} ms  PyTorch {m["torch step"] * 1e3:8.2f} ms  ratio {m["torch step"] / m["ours step"]:5.2f}{floor}')
        print(f'{threads} thread(s): token ours {m["ours token"] * 1e6:8.1f} us  PyTorch {m["torch token"] * 1e6:8.1f} us  ratio {m["torch token"] / m["ours token"]:5.2f}')


main()
