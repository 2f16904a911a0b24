"""make_expected.py -- the values that tests/models/torch_*.test compare with, made by PyTorch (version in tests/requirements.txt).

    make venv && build/venv/bin/python tests/models/make_expected.py [NAME]...   rewrites the .safetensors files beside this script

Each class is one program of examples/, written down independently, without dropout. In f32, or rounded as their names say. expected.py says what a file holds."""
import sys

import numpy as np
import torch
import torch.nn.functional as F

from expected import expected, philox_normal, sample, weights


def heads_of(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merged(x):
    return x.transpose(1, 2).flatten(2)


def next_token_loss(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1).float(), ids.flatten().long())


def served(model):
    """What prefill of 6 tokens and then decode, token by token, must give: the logits of whole passes."""
    return {'prefill.in.ids': model.ids[:, :6], 'decode.in.id': model.ids[:, 6:10].T}, lambda w: {
        'prefill.logits': model.logits(w, model.ids[:, :6])[:, -1],
        'decode.logits': torch.stack([model.logits(w, model.ids[:, :t + 1])[:, -1] for t in range(6, 10)])}


class Mlp:
    """mlp.mdl"""

    def __init__(self, hidden):
        shapes = {'0.weight': (hidden, 784), '0.bias': (hidden,), '3.weight': (10, hidden), '3.bias': (10,)}
        self.w, self.how = weights({'net.' + k: (v, 0, 0.1) for k, v in shapes.items()})
        r = np.random.default_rng(11)
        self.x = torch.tensor(r.standard_normal((3, 784)).astype(np.float32))
        self.y = torch.tensor(r.integers(0, 10, 3).astype(np.int32))

    def inputs(self):
        return {'in.x': self.x, 'in.y': self.y}

    def logits(self, w):
        return F.linear(F.relu(F.linear(self.x.to(w['net.0.weight'].dtype), w['net.0.weight'], w['net.0.bias'])), w['net.3.weight'], w['net.3.bias'])

    def loss(self, w, step):
        return F.cross_entropy(self.logits(w).float(), self.y.long())

    def results(self, w):
        return {'predict.probs': self.logits(w).float().softmax(-1)}


class Text:
    """lstm_text.mdl, all weights trained, by nn.LSTM over packed sequences of different lengths."""

    def __init__(self, vocab, width, hidden):
        shapes = {'embed.weight': (vocab, width), 'lstm.cells.0.weight_ih': (4 * hidden, width), 'lstm.cells.0.weight_hh': (4 * hidden, hidden),
                  'lstm.cells.0.bias_ih': (4 * hidden,), 'lstm.cells.0.bias_hh': (4 * hidden,), 'fc.weight': (1, hidden), 'fc.bias': (1,)}
        self.w, self.how = weights({'net.' + k: (v, 0, 0.8) for k, v in shapes.items()})
        self.lstm = torch.nn.LSTM(width, hidden, batch_first=True)
        r = np.random.default_rng(13)
        self.lengths = torch.tensor(np.array([9, 1, 4, 9, 6], np.int32))
        self.ids = torch.tensor(r.integers(0, vocab, (5, 9)).astype(np.int32))
        self.y = torch.tensor(r.integers(0, 2, 5).astype(np.float32))

    def inputs(self):
        return {'in.ids': self.ids, 'in.lengths': self.lengths, 'in.y': self.y}

    def logits(self, w):
        cell = {k + '_l0': w['net.lstm.cells.0.' + k] for k in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')}
        x = torch.nn.utils.rnn.pack_padded_sequence(w['net.embed.weight'][self.ids.long()], self.lengths.long(), True, False)
        _, (last, _) = torch.func.functional_call(self.lstm, cell, (x,))
        return F.linear(last[0], w['net.fc.weight'], w['net.fc.bias'])[:, 0]

    def loss(self, w, step):
        return F.binary_cross_entropy_with_logits(self.logits(w), self.y)

    def results(self, w):
        return {'predict.positive': self.logits(w).sigmoid()}


class Transformer:
    """transformer.mdl (root `net`) and gpt.mdl (root `gpt`): the same model."""

    def __init__(self, root, layers, heads, d, vocab, context):
        self.root, self.layers, self.heads, self.d = root, layers, heads, d
        shapes = {'wte.weight': (vocab, d), 'wpe.weight': (context, d)}
        for i in range(layers):
            for name, shape in (('ln_1.weight', (d,)), ('ln_1.bias', (d,)), ('attn.qkv.weight', (3 * d, d)), ('attn.qkv.bias', (3 * d,)),
                                ('attn.proj.weight', (d, d)), ('attn.proj.bias', (d,)), ('ln_2.weight', (d,)), ('ln_2.bias', (d,)),
                                ('up.weight', (4 * d, d)), ('up.bias', (4 * d,)), ('down.weight', (d, 4 * d)), ('down.bias', (d,))):
                shapes[f'h.{i}.{name}'] = shape
        shapes['ln_f.weight'] = shapes['ln_f.bias'] = (d,)
        mean = lambda name: float('ln_' in name and name.endswith('weight'))
        self.w, self.how = weights({f'{root}.{k}': (v, mean(k), 0.2) for k, v in shapes.items()})
        self.ids = torch.tensor(np.random.default_rng(7).integers(0, vocab, (3, context)).astype(np.int32))

    def logits(self, w, ids):
        p = lambda name: w[f'{self.root}.{name}']
        linear = lambda x, name: F.linear(x, p(name + '.weight'), p(name + '.bias'))
        norm = lambda x, name: F.layer_norm(x, (self.d,), p(name + '.weight'), p(name + '.bias'), 1e-5)
        x = p('wte.weight')[ids.long()] + p('wpe.weight')[:ids.shape[1]]
        for i in range(self.layers):
            q, k, v = (heads_of(z, self.heads) for z in linear(norm(x, f'h.{i}.ln_1'), f'h.{i}.attn.qkv').split(self.d, -1))
            x = x + linear(merged(F.scaled_dot_product_attention(q, k, v, is_causal=True)), f'h.{i}.attn.proj')
            x = x + linear(F.gelu(linear(norm(x, f'h.{i}.ln_2'), f'h.{i}.up'), approximate='tanh'), f'h.{i}.down')
        return norm(x, 'ln_f') @ p('wte.weight').T

    def greedy(self, w, ids, n):
        """The n most likely tokens in a row; the second best is so far behind that a temperature of 0.0005 never draws it."""
        for _ in range(n):
            best = self.logits(w, ids)[:, -1].topk(2)
            assert ((best.values[:, 0] - best.values[:, 1]) > 0.01).all()
            ids = torch.cat([ids, best.indices[:, :1]], 1)
        return ids[:, -n:].to(torch.int32)

    def inputs(self):
        return {'in.ids': self.ids, 'generate.in.ids': self.ids[:, :4], 'in.n': torch.tensor(7, dtype=torch.int32),
                'in.temperature': torch.tensor(0.0005)} | served(self)[0]

    def loss(self, w, step):
        return next_token_loss(self.logits(w, self.ids[:, :-1]), self.ids[:, 1:])

    def results(self, w):
        return served(self)[1](w) | {'generate.out': self.greedy(w, self.ids[:, :4], 7)}


class Seq2Seq:
    """seq2seq.mdl, by torch.nn.Transformer: norms before, one more behind each stack, padding of the source hidden. The end is
    word 7, which these weights say after six words at most (vary.sh changes the program likewise)."""
    pad, bos, eos = 0, 1, 7

    def __init__(self, layers, heads, d, ff, vocab):
        self.d = d
        self.transformer = torch.nn.Transformer(d, heads, layers, layers, ff, dropout=0.0, batch_first=True, norm_first=True)
        shapes = {'embed.weight': (vocab, d)}
        norm, projections = lambda to: {to + '.weight': (d,), to + '.bias': (d,)}, ('q_proj', 'k_proj', 'v_proj', 'out_proj')
        for i in range(layers):
            for block, parts in ((f'encoder.{i}', [f'attn.{p}' for p in projections]),
                                 (f'decoder.{i}', ['qkv', 'out'] + [f'cross.{p}' for p in projections])):
                for part in parts:
                    n = 3 * d if part == 'qkv' else d
                    shapes |= {f'{block}.{part}.weight': (n, d), f'{block}.{part}.bias': (n,)}
                shapes |= norm(block + '.norm1') | norm(block + '.norm2')
                shapes |= {block + '.ffn.up.weight': (ff, d), block + '.ffn.up.bias': (ff,), block + '.ffn.down.weight': (d, ff),
                           block + '.ffn.down.bias': (d,)}
            shapes |= norm(f'decoder.{i}.norm3')
        shapes |= norm('norm_e') | norm('norm_d')
        self.layers = layers
        mean = lambda name: float('norm' in name and name.endswith('weight'))
        scale = lambda name: 0.15 if name.startswith('embed') else 0.6  # so that not every word is followed by itself
        self.w, self.how = weights({'net.' + k: (v, mean(k), scale(k)) for k, v in shapes.items()})
        r = np.random.default_rng(5)
        self.src = torch.tensor(r.integers(3, vocab, (4, 7)).astype(np.int32))
        self.dst = torch.tensor(r.integers(3, vocab, (4, 6)).astype(np.int32))
        self.dst[:, 0] = self.bos
        for row, (s, n) in enumerate(((7, 6), (4, 3), (1, 5), (6, 2))):
            self.src[row, s:] = self.dst[row, n:] = self.pad

    def named(self, w):
        """The weights by the names of torch.nn.Transformer."""
        named = {}
        def take(to, path):
            named[to + '.weight'], named[to + '.bias'] = w[f'net.{path}.weight'], w[f'net.{path}.bias']
        def attention(to, path):
            for x in ('weight', 'bias'):
                named[f'{to}.in_proj_{x}'] = torch.cat([w[f'net.{path}.{p}_proj.{x}'] for p in 'qkv'])
            take(to + '.out_proj', path + '.out_proj')
        for i in range(self.layers):
            e, d = f'encoder.layers.{i}', f'decoder.layers.{i}'
            attention(e + '.self_attn', f'encoder.{i}.attn')
            attention(d + '.multihead_attn', f'decoder.{i}.cross')
            for x in ('weight', 'bias'):
                named[f'{d}.self_attn.in_proj_{x}'] = w[f'net.decoder.{i}.qkv.{x}']
            take(d + '.self_attn.out_proj', f'decoder.{i}.out')
            for to, path in ((e, f'encoder.{i}'), (d, f'decoder.{i}')):
                take(to + '.linear1', path + '.ffn.up')
                take(to + '.linear2', path + '.ffn.down')
                take(to + '.norm1', path + '.norm1')
                take(to + '.norm2', path + '.norm2')
            take(d + '.norm3', f'decoder.{i}.norm3')
        take('encoder.norm', 'norm_e')
        take('decoder.norm', 'norm_d')
        return named

    def place(self, w, ids):
        t, i = torch.arange(ids.shape[1])[:, None], torch.arange(0, self.d, 2)
        angle = t * torch.exp(-i * (np.log(10000.0) / self.d))
        return w['net.embed.weight'][ids.long()] * self.d ** 0.5 + torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

    def logits(self, w, ids):
        hidden = self.src == self.pad
        args = (self.place(w, self.src), self.place(w, ids))
        causal = torch.nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        x = torch.func.functional_call(self.transformer, self.named(w), args,
                                       {'tgt_mask': causal, 'src_key_padding_mask': hidden, 'memory_key_padding_mask': hidden})
        return x @ w['net.embed.weight'].T

    def translated(self, w, n):
        """Greedy: the likeliest word after whole passes, padding behind the end."""
        ids, done = torch.full((len(self.src), 1), self.bos), torch.zeros(len(self.src), dtype=torch.bool)
        for _ in range(n):
            best = self.logits(w, ids)[:, -1].topk(2)
            assert (done | (best.values[:, 0] - best.values[:, 1] > 0.01)).all()
            word = torch.where(done, self.pad, best.indices[:, 0])
            done |= word == self.eos
            ids = torch.cat([ids, word[:, None]], 1)
        assert done.all()
        return ids[:, 1:].to(torch.int32)

    def inputs(self):
        return {'in.src': self.src, 'in.dst': self.dst, 'in.n': torch.tensor(9, dtype=torch.int32)}

    def loss(self, w, step):
        logits = self.logits(w, self.dst[:, :-1]).flatten(0, 1)
        return F.cross_entropy(logits, self.dst[:, 1:].flatten().long(), ignore_index=self.pad, label_smoothing=0.1)

    def results(self, w):
        return {'translate.out': self.translated(w, 9), 'read.probs': self.logits(w, self.dst).softmax(-1)}


class StreamGru:
    """stream_gru.mdl, by nn.GRU over the whole clip: `hear` gets its frames one by one. The noise of step s is our draw."""

    def __init__(self, hidden, words, bands, batch, frames):
        shapes = {'norm.weight': (bands,), 'norm.bias': (bands,), 'cell.weight_ih': (3 * hidden, bands), 'cell.weight_hh': (3 * hidden, hidden),
                  'cell.bias_ih': (3 * hidden,), 'cell.bias_hh': (3 * hidden,), 'out.weight': (words, hidden), 'out.bias': (words,)}
        self.w, self.how = weights({'net.' + k: (v, float(k == 'norm.weight'), 0.6) for k, v in shapes.items()})
        self.gru = torch.nn.GRU(bands, hidden, batch_first=True)
        r = np.random.default_rng(37)
        self.clip = torch.tensor(r.standard_normal((batch, frames, bands)).astype(np.float32))
        self.y = torch.tensor(r.integers(0, words, batch).astype(np.int32))

    def logits(self, w, clip):
        """After each frame."""
        cell = {k + '_l0': w['net.cell.' + k] for k in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')}
        x = F.layer_norm(clip, clip.shape[-1:], w['net.norm.weight'], w['net.norm.bias'], 1e-5)
        return F.linear(torch.func.functional_call(self.gru, cell, (x,))[0], w['net.out.weight'], w['net.out.bias'])

    def inputs(self):
        return {'in.clip': self.clip, 'in.y': self.y, 'hear.in.frame': self.clip.transpose(0, 1)}

    def loss(self, w, step):
        noise = philox_normal('step', 0, step, self.clip.numel()).reshape(self.clip.shape)
        logits = self.logits(w, self.clip + 0.05 * torch.tensor(noise))[:, -1]
        each = F.cross_entropy(logits, self.y.long(), reduction='none')
        return ((1 - (-each).exp()) ** 2 * each).mean()  # the focal loss

    def results(self, w):
        probs = self.logits(w, self.clip).softmax(-1)
        return {'hear.probs': probs.transpose(0, 1).contiguous(), 'whole.probs': probs[:, -1]}


class Bert:
    """bert.mdl: post-norm blocks, padding hidden by the mask."""

    def __init__(self, layers, heads, d, ff, vocab, context):
        self.layers, self.heads, self.d = layers, heads, d
        shapes = {'words.weight': (vocab, d), 'places.weight': (context, d), 'kinds.weight': (2, d), 'norm.weight': (d,), 'norm.bias': (d,)}
        for i in range(layers):
            for name in ('query', 'key', 'value', 'out'):
                shapes |= {f'blocks.{i}.{name}.weight': (d, d), f'blocks.{i}.{name}.bias': (d,)}
            shapes |= {f'blocks.{i}.up.weight': (ff, d), f'blocks.{i}.up.bias': (ff,), f'blocks.{i}.down.weight': (d, ff), f'blocks.{i}.down.bias': (d,)}
            for name in ('norm1', 'norm2'):
                shapes |= {f'blocks.{i}.{name}.weight': (d,), f'blocks.{i}.{name}.bias': (d,)}
        shapes |= {'pooler.weight': (d, d), 'pooler.bias': (d,)}
        shapes = {'bert.' + k: v for k, v in shapes.items()} | {'head.1.weight': (2, d), 'head.1.bias': (2,)}
        self.w, self.how = weights({k: (v, float('norm' in k and k.endswith('weight')), 0.3) for k, v in shapes.items()})
        r = np.random.default_rng(17)
        self.ids = torch.tensor(r.integers(0, vocab, (4, 9)).astype(np.int32))
        self.kind = torch.tensor((np.arange(9) >= r.integers(2, 7, (4, 1))).astype(np.int32))
        self.mask = torch.tensor(np.arange(9) < np.array([[9], [5], [1], [7]]))
        self.y = torch.tensor(r.integers(0, 2, 4).astype(np.int32))

    def inputs(self):
        return {'in.ids': self.ids, 'in.kind': self.kind, 'in.mask': self.mask, 'in.y': self.y}

    def pooled(self, w):
        p = lambda name: w['bert.' + name]
        linear = lambda x, name: F.linear(x, p(name + '.weight'), p(name + '.bias'))
        norm = lambda x, name: F.layer_norm(x, (self.d,), p(name + '.weight'), p(name + '.bias'), 1e-12)
        x = p('words.weight')[self.ids.long()] + p('places.weight')[:self.ids.shape[1]] + p('kinds.weight')[self.kind.long()]
        x = norm(x, 'norm')
        for i in range(self.layers):
            b = f'blocks.{i}.'
            q, k, v = (heads_of(linear(x, b + name), self.heads) for name in ('query', 'key', 'value'))
            x = norm(x + linear(merged(F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask[:, None, None])), b + 'out'), b + 'norm1')
            x = norm(x + linear(F.gelu(linear(x, b + 'up')), b + 'down'), b + 'norm2')
        return torch.tanh(linear(x[:, 0], 'pooler'))

    def logits(self, w):
        return F.linear(self.pooled(w), w['head.1.weight'], w['head.1.bias'])

    def loss(self, w, step):
        return F.cross_entropy(self.logits(w), self.y.long())

    def results(self, w):
        return {'embed.pooled': self.pooled(w), 'classify.probs': self.logits(w).softmax(-1)}


class Vae:
    """vae.mdl: the noise of step s is our draw number 0 of the entry `step`."""

    def __init__(self, latent):
        self.latent = latent
        shapes = {'enc.0.weight': (400, 784), 'enc.0.bias': (400,), 'enc.2.weight': (2 * latent, 400), 'enc.2.bias': (2 * latent,),
                  'dec.0.weight': (400, latent), 'dec.0.bias': (400,), 'dec.2.weight': (784, 400), 'dec.2.bias': (784,)}
        self.w, self.how = weights({k: (v, 0, 0.05) for k, v in shapes.items()})
        r = np.random.default_rng(19)
        self.x = torch.tensor(r.uniform(0, 1, (2, 784)).astype(np.float32))
        self.z = torch.tensor(r.standard_normal((2, latent)).astype(np.float32))

    def inputs(self):
        return {'in.x': self.x, 'in.z': self.z}

    def coder(self, w, name, x):
        linear = lambda x, i: F.linear(x, w[f'{name}.{i}.weight'], w[f'{name}.{i}.bias'])
        return linear(F.relu(linear(x, 0)), 2)

    def loss(self, w, step):
        mu, logvar = self.coder(w, 'enc', self.x).chunk(2, -1)
        noise = philox_normal('step', 0, step, mu.numel()).reshape(mu.shape)
        z = mu + (0.5 * logvar).exp() * torch.tensor(noise)
        kl = torch.distributions.kl_divergence(torch.distributions.Normal(mu, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0))
        rate = 1e-3  # the loss is a sum over 784 pixels: steps of 0.1 would leave everything; vary.sh scales it likewise
        return rate * (F.binary_cross_entropy_with_logits(self.coder(w, 'dec', z), self.x, reduction='sum') / 2 + kl.sum() / 2)

    def results(self, w):
        return {'encode.mu': self.coder(w, 'enc', self.x)[:, :self.latent], 'sample_.x': torch.tensor(sample(self.coder(w, 'dec', self.z).sigmoid(), 64))}


class Llama:
    """llama.mdl: rotary positions, queries that share keys, SwiGLU."""

    def __init__(self, root='model', depth=2, d=16, heads=4, kv_heads=2, hd=6, ff=24, vocab=40):
        self.root, self.depth, self.heads, self.kv_heads, self.hd, self.d = root, depth, heads, kv_heads, hd, d
        shapes = {'embed_tokens.weight': (vocab, d), 'norm.weight': (d,)}
        for i in range(depth):
            a, m = f'layers.{i}.self_attn.', f'layers.{i}.mlp.'
            shapes |= {a + 'q_proj.weight': (heads * hd, d), a + 'k_proj.weight': (kv_heads * hd, d), a + 'v_proj.weight': (kv_heads * hd, d),
                       a + 'o_proj.weight': (d, heads * hd), m + 'gate_proj.weight': (ff, d), m + 'up_proj.weight': (ff, d), m + 'down_proj.weight': (d, ff),
                       f'layers.{i}.input_layernorm.weight': (d,), f'layers.{i}.post_attention_layernorm.weight': (d,)} | self.more(a)
        self.w, self.how = weights({f'{root}.{k}': (v, float('norm' in k), 0.3) for k, v in shapes.items()})
        self.ids = torch.tensor(np.random.default_rng(23).integers(0, vocab, (2, 12)).astype(np.int32))

    def more(self, attention):
        return {}

    def weight(self, w, name):
        return w[f'{self.root}.{name}.weight']

    def rope(self, x):
        angle = torch.arange(x.shape[-2])[:, None] / 500000.0 ** (torch.arange(0, self.hd, 2) / self.hd)
        turn = torch.polar(torch.ones_like(angle), angle)
        pairs = torch.complex(x[..., :self.hd // 2], x[..., self.hd // 2:]) * turn
        return torch.cat([pairs.real, pairs.imag], -1)

    def logits(self, w, ids):
        linear = lambda x, name: F.linear(x, self.weight(w, name))
        norm = lambda x, name: F.rms_norm(x, (self.d,), self.weight(w, name), 1e-5)
        x = self.weight(w, 'embed_tokens')[ids.long()]
        for i in range(self.depth):
            l = f'layers.{i}.'
            y = norm(x, l + 'input_layernorm')
            q = self.rope(heads_of(linear(y, l + 'self_attn.q_proj'), self.heads))
            k = self.rope(heads_of(linear(y, l + 'self_attn.k_proj'), self.kv_heads))
            v = heads_of(linear(y, l + 'self_attn.v_proj'), self.kv_heads)
            x = x + linear(merged(F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)), l + 'self_attn.o_proj')
            y = norm(x, l + 'post_attention_layernorm')
            x = x + linear(F.silu(linear(y, l + 'mlp.gate_proj')) * linear(y, l + 'mlp.up_proj'), l + 'mlp.down_proj')
        return norm(x, 'norm') @ self.weight(w, 'embed_tokens').T

    def inputs(self):
        return served(self)[0] | {'in.ids': self.ids}

    def loss(self, w, step):
        return next_token_loss(self.logits(w, self.ids[:, :-1]), self.ids[:, 1:])

    def results(self, w):
        return served(self)[1](w)


class Lora(Llama):
    """lora.mdl: rank 2, only the small matrices are trained, on the answers alone. The forward pass uses merged matrices."""

    def __init__(self):
        super().__init__(root='net')
        self.answer = torch.tensor(np.random.default_rng(29).uniform(size=(2, 12)) < 0.4)

    def more(self, attention):
        return {attention + 'q_proj.lora_a': (2, 16), attention + 'q_proj.lora_b': (24, 2), attention + 'v_proj.lora_a': (2, 16),
                attention + 'v_proj.lora_b': (12, 2)}

    def trained(self, path):
        return 'lora' in path

    def weight(self, w, name):
        p = f'{self.root}.{name}.'
        return w[p + 'weight'] + 32 / 2 * w[p + 'lora_b'] @ w[p + 'lora_a'] if p + 'lora_a' in w else w[p + 'weight']

    def inputs(self):
        return {'in.ids': self.ids, 'in.answer': self.answer}

    def loss(self, w, step):
        target = torch.where(self.answer, self.ids, -100)[:, 1:]
        return F.cross_entropy(self.logits(w, self.ids[:, :-1]).flatten(0, 1), target.flatten().long())

    def results(self, w):
        return {'score.loss': next_token_loss(self.logits(w, self.ids[:, :-1]), self.ids[:, 1:])}


def rounded(base, dtype):
    """precision { compute = dtype; }: weights in f32, everything else of the forward pass in 16 bits, the loss in f32."""
    class Rounded(base):
        def loss(self, w, step):
            return super().loss({k: v.to(dtype) for k, v in w.items()}, step)

        def results(self, w):
            return {k: v.float() if v.is_floating_point() else v for k, v in super().results({k: v.to(dtype) for k, v in w.items()}).items()}
    return Rounded


programs = {
    'mlp': (lambda: Mlp(hidden=9), 128),
    'lstm_text': (lambda: Text(vocab=11, width=5, hidden=6), 64),
    'stream_gru': (lambda: StreamGru(hidden=6, words=5, bands=7, batch=3, frames=12), 64),
    'transformer': (lambda: Transformer('net', layers=2, heads=2, d=16, vocab=32, context=16), 64),
    'gpt': (lambda: Transformer('gpt', layers=2, heads=2, d=16, vocab=59, context=16), 16),
    'seq2seq': (lambda: Seq2Seq(layers=2, heads=2, d=16, ff=24, vocab=12), 8),
    'bert': (lambda: Bert(layers=2, heads=2, d=16, ff=24, vocab=40, context=16), 16),
    'vae': (lambda: Vae(latent=4), 64),
    'llama': (Llama, 16),
    'lora': (Lora, 16),
    'mlp_bf16': (lambda: rounded(Mlp, torch.bfloat16)(hidden=9), 16),
    'mlp_f16': (lambda: rounded(Mlp, torch.float16)(hidden=9), 16),
    'transformer_bf16': (lambda: rounded(Transformer, torch.bfloat16)('net', layers=2, heads=2, d=16, vocab=32, context=16), 8),
}
for name in sys.argv[1:] or programs:
    make, rows = programs[name]
    expected(name, make(), rows)
