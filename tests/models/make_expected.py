"""make_expected.py -- the values that tests/models/*.test compare with, made by PyTorch (version in tests/requirements.txt).

    make venv && build/venv/bin/python tests/models/make_expected.py        rewrites the .safetensors files beside this script

Each file holds: w.PATH initial weights; the batch; g.PATH gradients of the first step; sgd.PATH weights after five steps of SGD at
0.1; adamw.PATH after five steps of AdamW at 1e-3 (betas 0.9 and 0.99, decay 0.1 on matrices, eps 1e-8); sure.PATH 1 where |g| > 1e-6
in each of those five steps; loss.sgd, loss.adamw the five losses; out.* outputs before any step. All in f32, from f32 weights."""
import json
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)


def save(path, tensors):
    head, data = {}, b''
    names = {'float32': 'F32', 'int32': 'I32', 'uint8': 'U8'}
    for name, value in tensors.items():
        value = np.ascontiguousarray(value)
        head[name] = {'dtype': names[str(value.dtype)], 'shape': list(value.shape), 'data_offsets': [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(head, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)
    print(path, os.path.getsize(path), 'bytes')


class Transformer:
    """examples/transformer.mdl, written down independently."""

    def __init__(self, layers, heads, d, vocab, context):
        self.layers, self.heads, self.d = layers, heads, d
        r = np.random.default_rng(7)
        shapes = {'wte.weight': (vocab, d), 'wpe.weight': (context, d)}
        for i in range(layers):
            for name, shape in (('ln_1.weight', (d,)), ('ln_1.bias', (d,)), ('attn.qkv.weight', (3 * d, d)), ('attn.qkv.bias', (3 * d,)),
                                ('attn.proj.weight', (d, d)), ('attn.proj.bias', (d,)), ('ln_2.weight', (d,)), ('ln_2.bias', (d,)),
                                ('up.weight', (4 * d, d)), ('up.bias', (4 * d,)), ('down.weight', (d, 4 * d)), ('down.bias', (d,))):
                shapes[f'h.{i}.{name}'] = shape
        shapes['ln_f.weight'] = shapes['ln_f.bias'] = (d,)
        self.w = {}
        for name, shape in shapes.items():
            norm = 'ln_' in name and name.endswith('weight')
            value = (1 if norm else 0) + 0.1 * r.standard_normal(shape)
            self.w['net.' + name] = torch.tensor(value.astype(np.float32))
        self.ids = torch.tensor(r.integers(0, vocab, (3, context + 1)).astype(np.int32))

    def inputs(self):
        return {'ids': self.ids.numpy()}

    def logits(self, w, ids):
        b, t = ids.shape
        p = lambda name: w['net.' + name]
        norm = lambda x, name: F.layer_norm(x, (self.d,), p(name + '.weight'), p(name + '.bias'), 1e-5)
        x = p('wte.weight')[ids.long()] + p('wpe.weight')[:t]
        for i in range(self.layers):
            qkv = F.linear(norm(x, f'h.{i}.ln_1'), p(f'h.{i}.attn.qkv.weight'), p(f'h.{i}.attn.qkv.bias'))
            q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in qkv.split(self.d, -1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, self.d)
            x = x + F.linear(y, p(f'h.{i}.attn.proj.weight'), p(f'h.{i}.attn.proj.bias'))
            y = F.gelu(F.linear(norm(x, f'h.{i}.ln_2'), p(f'h.{i}.up.weight'), p(f'h.{i}.up.bias')), approximate='tanh')
            x = x + F.linear(y, p(f'h.{i}.down.weight'), p(f'h.{i}.down.bias'))
        return norm(x, 'ln_f') @ p('wte.weight').T

    def loss(self, w):
        z = self.logits(w, self.ids[:, :-1])
        return F.cross_entropy(z.reshape(-1, z.shape[-1]), self.ids[:, 1:].reshape(-1).long())

    def outputs(self, w):
        return {'logits': self.logits(w, self.ids[:, :-1])[:, -1]}


class Mlp:
    """examples/mlp.mdl without dropout."""

    def __init__(self, hidden):
        r = np.random.default_rng(11)
        self.w = {}
        for name, shape in (('0.weight', (hidden, 784)), ('0.bias', (hidden,)), ('3.weight', (10, hidden)), ('3.bias', (10,))):
            self.w['net.' + name] = torch.tensor((0.05 * r.standard_normal(shape)).astype(np.float32))
        self.x = torch.tensor(r.standard_normal((7, 784)).astype(np.float32))
        self.y = torch.tensor(r.integers(0, 10, 7).astype(np.int32))

    def inputs(self):
        return {'x': self.x.numpy(), 'y': self.y.numpy()}

    def logits(self, w):
        return F.linear(F.relu(F.linear(self.x, w['net.0.weight'], w['net.0.bias'])), w['net.3.weight'], w['net.3.bias'])

    def loss(self, w):
        return F.cross_entropy(self.logits(w), self.y.long())

    def outputs(self, w):
        return {'probs': self.logits(w).softmax(-1)}


class Text:
    """examples/lstm_text.mdl without dropout, all weights trained, by nn.LSTM over packed sequences of different lengths."""

    def __init__(self, vocab, width, hidden):
        r = np.random.default_rng(13)
        shapes = {'embed.weight': (vocab, width), 'lstm.cells.0.weight_ih': (4 * hidden, width), 'lstm.cells.0.weight_hh': (4 * hidden, hidden),
                  'lstm.cells.0.bias_ih': (4 * hidden,), 'lstm.cells.0.bias_hh': (4 * hidden,), 'fc.weight': (1, hidden), 'fc.bias': (1,)}
        self.w = {'net.' + k: torch.tensor((0.5 * r.standard_normal(v)).astype(np.float32)) for k, v in shapes.items()}
        self.lstm = torch.nn.LSTM(width, hidden, batch_first=True)
        self.lengths = torch.tensor(np.array([9, 1, 4, 9, 6], np.int32))
        self.ids = torch.tensor(r.integers(0, vocab, (5, 9)).astype(np.int32))
        self.y = torch.tensor(r.integers(0, 2, 5).astype(np.float32))

    def inputs(self):
        return {'ids': self.ids.numpy(), 'lengths': self.lengths.numpy(), 'y': self.y.numpy()}

    def logits(self, w):
        cell = {k + '_l0': w['net.lstm.cells.0.' + k] for k in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')}
        x = torch.nn.utils.rnn.pack_padded_sequence(w['net.embed.weight'][self.ids.long()], self.lengths.long(), True, False)
        _, (last, _) = torch.func.functional_call(self.lstm, cell, (x,))
        return F.linear(last[0], w['net.fc.weight'], w['net.fc.bias'])[:, 0]

    def loss(self, w):
        return F.binary_cross_entropy_with_logits(self.logits(w), self.y)

    def outputs(self, w):
        return {'positive': self.logits(w).sigmoid()}


def five(model, make):
    w = {k: v.clone().requires_grad_() for k, v in model.w.items()}
    optimizer, losses, first, sure = make(w), [], None, None
    for _ in range(5):
        optimizer.zero_grad()
        loss = model.loss(w)
        loss.backward()
        grads = {k: v.grad.clone() for k, v in w.items()}
        first = first or grads
        big = {k: g.abs() > 1e-6 for k, g in grads.items()}
        sure = big if sure is None else {k: sure[k] & big[k] for k in big}
        optimizer.step()
        losses.append(loss.item())
    return w, first, sure, np.array(losses, np.float32)


def adamw(w):
    groups = [{'params': [v for v in w.values() if v.dim() > 1], 'weight_decay': 0.1}, {'params': [v for v in w.values() if v.dim() < 2], 'weight_decay': 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)


def expected(name, model):
    out = {'in.' + k: v for k, v in model.inputs().items()}
    out.update({'w.' + k: v.numpy() for k, v in model.w.items()})
    with torch.no_grad():
        out.update({'out.' + k: v.numpy() for k, v in model.outputs(model.w).items()})
    w, first, _, losses = five(model, lambda w: torch.optim.SGD(w.values(), lr=0.1))
    out.update({'g.' + k: v.numpy() for k, v in first.items()})
    out.update({'sgd.' + k: v.detach().numpy() for k, v in w.items()})
    out['loss.sgd'] = losses
    w, _, sure, losses = five(model, adamw)
    out.update({'adamw.' + k: v.detach().numpy() for k, v in w.items()})
    out.update({'sure.' + k: v.numpy().astype(np.uint8) for k, v in sure.items()})
    out['loss.adamw'] = losses
    save(os.path.join(HERE, name + '.safetensors'), out)


expected('transformer', Transformer(layers=2, heads=2, d=16, vocab=32, context=16))
expected('mlp', Mlp(hidden=9))
expected('lstm_text', Text(vocab=11, width=5, hidden=6))
