"""models.py -- the rivals' side of tests/bench/workloads.py: each program of examples/ once more, for PyTorch, as a function of a Net and
the entry's inputs. ONNX Runtime and OpenVINO get the same functions, exported.

A Net holds weights by the program's names. It makes them when a function first asks (seeded by the name: the same in every process), and
counts multiply-adds meanwhile, those of the gradients too: that is what the floor of a workload is computed from."""
import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F


class Net(torch.nn.Module):
    def __init__(self, function, weights=None):
        super().__init__()
        self.function, self.making = function, weights is None
        self.exporting = False
        self.w, self.macs, self.step_macs = {}, 0, 0
        for name, value in (weights or {}).items():
            self.put(name, torch.tensor(value))

    def forward(self, *inputs):
        return self.function(self, *inputs)

    def put(self, name, value):
        """Statistics are buffers, all else parameters; self.w finds both, without the search of nn.Module."""
        plain = name.replace('.', '/')
        if '.running_' in name:
            self.register_buffer(plain, value)
        else:
            self.register_parameter(plain, torch.nn.Parameter(value))
        self.w[name] = getattr(self, plain)

    def get(self, name, shape=None, mean=0.0, std=1.0):
        if name not in self.w and self.making:
            r = np.random.default_rng(zlib.crc32(name.encode()))
            self.put(name, torch.tensor((mean + std * r.standard_normal(shape)).astype(np.float32)))
        return self.w[name]

    def channels_last(self):
        for v in self.w.values():
            if v.dim() == 4:
                v.data = v.data.contiguous(memory_format=torch.channels_last)
        return self

    def count(self, macs, *operands):
        """A product of these operands; each one whose gradient is wanted costs as much again."""
        if self.making:
            self.macs += int(macs)
            self.step_macs += int(macs) * (1 + sum(x.requires_grad for x in operands))

    # ---- layers

    def product(self, a, b):
        self.count(a.numel() * b.shape[-1], a, b)
        return a @ b

    def linear(self, name, x, out, bias=True, gain=1.0):
        w = self.get(name + '.weight', (out, x.shape[-1]), std=gain / math.sqrt(x.shape[-1]))
        self.count(x.numel() * out, x, w)
        return F.linear(x, w, self.get(name + '.bias', (out,), std=0.1) if bias else None)

    def conv(self, name, x, out, kernel, stride=1, pad=0, groups=1):
        inputs = x.shape[1] // groups
        w = self.get(name + '.weight', (out, inputs, kernel, kernel), std=math.sqrt(2 / inputs) / kernel)
        y = F.conv2d(x, w, None, stride, pad, 1, groups)
        self.count(y.numel() * inputs * kernel * kernel, x, w)
        return y

    def conv_transpose(self, name, x, out, kernel, stride=1, pad=0):
        w = self.get(name + '.weight', (x.shape[1], out, kernel, kernel), std=math.sqrt(2 / x.shape[1]) / kernel)
        self.count(x.numel() * out * kernel * kernel, x, w)
        return F.conv_transpose2d(x, w, None, stride, pad)

    def batch_norm(self, name, x):
        c = x.shape[1]
        mean, var = self.get(name + '.running_mean', (c,), std=0.1), self.get(name + '.running_var', (c,), mean=1.0, std=0.1)
        scale, shift = self.get(name + '.weight', (c,), mean=1.0, std=0.1), self.get(name + '.bias', (c,), std=0.1)
        return F.batch_norm(x, mean, var, scale, shift, self.training and not self.making)

    def layer_norm(self, name, x, eps=1e-5):
        d = x.shape[-1]
        return F.layer_norm(x, (d,), self.get(name + '.weight', (d,), mean=1.0, std=0.1), self.get(name + '.bias', (d,), std=0.1), eps)

    def attention(self, q, k, v, mask=None, causal=False):
        self.count(2 * q.numel() * k.shape[-2] // (2 if causal else 1), q, k)  # q k and p v: two gradients each
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def heads_of(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merged(x):
    return x.transpose(1, 2).flatten(2)


# ---- examples/mlp.mdl, vae.mdl ------------------------------------------------------------------------------------------------

def mlp_logits(n, x, hidden=(256,)):
    for i, h in enumerate(hidden):
        x = F.dropout(F.relu(n.linear(f'net.{3 * i}', x, h)), 0.2, n.training)
    return n.linear(f'net.{3 * len(hidden)}', x, 10)


def mlp(n, x):
    return mlp_logits(n, x).softmax(-1)


def mlp_loss(n, x, y):
    return F.cross_entropy(mlp_logits(n, x), y.long())


def vae_encode(n, x):
    return n.linear('enc.2', F.relu(n.linear('enc.0', x, 400)), 40)


def vae_decode(n, z):
    return n.linear('dec.2', F.relu(n.linear('dec.0', z, 400)), 784)


def vae_mean(n, x):
    return vae_encode(n, x).chunk(2, -1)[0]


def vae_loss(n, x):
    mu, logvar = vae_encode(n, x).chunk(2, -1)
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
    kl = 0.5 * (mu * mu + logvar.exp() - 1 - logvar).sum(-1).mean()
    return F.binary_cross_entropy_with_logits(vae_decode(n, z), x, reduction='sum') / len(x) + kl


# ---- pictures -------------------------------------------------------------------------------------------------------------------

def fashion_logits(n, x):
    """examples/fashion_cnn.mdl without its augmentation: what a rival need not do in the step."""
    x = ((x.float() / 255 - 0.2860) / 0.3530).permute(0, 3, 1, 2)
    for i, c in enumerate((32, 64)):
        for k in '12':
            x = F.relu(n.batch_norm(f'net.{i}.bn{k}', n.conv(f'net.{i}.conv{k}', x, c, 3, 1, 1)))
        x = F.max_pool2d(x, 2)
    return n.linear('net.4', F.dropout(x.flatten(1), 0.3, n.training), 10)


def fashion(n, x):
    return fashion_logits(n, x).softmax(-1)


def fashion_loss(n, x, y):
    return F.cross_entropy(fashion_logits(n, x), y.long(), label_smoothing=0.1)


def resnet_logits(n, x, depth, classes, small=False):
    """small: the stem for pictures of 32 x 32."""
    def conv(name, x, out, kernel, stride=1):
        return n.batch_norm(name.replace('conv', 'bn').replace('sample.0', 'sample.1'), n.conv(name, x, out, kernel, stride, kernel // 2))

    x = F.relu(conv('net.conv1', x, 64, 3)) if small else F.max_pool2d(F.relu(conv('net.conv1', x, 64, 7, 2)), 3, 2, 1)
    grow = 4 if depth >= 50 else 1
    for stage, count in enumerate({18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}[depth]):
        width = 64 << stage
        for i in range(count):
            p, stride = f'net.layer{stage + 1}.{i}.', 2 if i == 0 and stage else 1
            if grow == 4:
                y = F.relu(conv(p + 'conv1', x, width, 1))
                y = conv(p + 'conv3', F.relu(conv(p + 'conv2', y, width, 3, stride)), 4 * width, 1)
            else:
                y = conv(p + 'conv2', F.relu(conv(p + 'conv1', x, width, 3, stride)), width, 3)
            x = F.relu(y + (conv(p + 'downsample.0', x, grow * width, 1, stride) if i == 0 and (stage or grow == 4) else x))
    return n.linear('net.fc', x.mean((2, 3)), classes, gain=0.2)


def resnet(depth, classes=1000, small=False):
    return lambda n, x: resnet_logits(n, x, depth, classes, small).softmax(-1)


def resnet_loss(depth, classes, small):
    return lambda n, x, y: F.cross_entropy(resnet_logits(n, x, depth, classes, small), y.long(), label_smoothing=0.1)


def mobilenet(n, x):
    def conv_bn(name, x, out, kernel, stride=1):
        return F.relu6(n.batch_norm(name + '.bn', n.conv(name + '.conv', x, out, kernel, stride, kernel // 2)))

    x = conv_bn('net.stem', x, 32, 3, 2)
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for r, (expand, out, repeats, stride) in enumerate(rows):
        for i in range(repeats):
            p, wide, step = f'net.body.{r}.{i}', expand * x.shape[1], 1 if i else stride
            y = conv_bn(p + '.up.0', x, wide, 1) if expand > 1 else x
            y = F.relu6(n.batch_norm(p + '.bn1', n.conv(p + '.depth', y, wide, 3, step, 1, wide)))
            y = n.batch_norm(p + '.bn2', n.conv(p + '.down', y, out, 1))
            x = x + y if i else y
    return n.linear('net.fc', conv_bn('net.head', x, 1280, 1).mean((2, 3)), 1000).softmax(-1)


def dcgan_generate(n, z):
    x = z[:, :, None, None]
    for i, c in enumerate((512, 256, 128, 64)):
        x = n.conv_transpose(f'G.body.{i}.conv', x, c, 4, 2 if i else 1, 1 if i else 0)
        x = F.relu(n.batch_norm(f'G.body.{i}.norm', x))
    return n.conv_transpose('G.last', x, 3, 4, 2, 1).tanh()


def dcgan_score(n, x):
    y = F.leaky_relu(n.conv('D.convs.0', x, 64, 4, 2, 1), 0.2)
    for i in range(3):
        y = F.leaky_relu(n.batch_norm(f'D.norms.{i}', n.conv(f'D.convs.{i + 1}', y, 128 << i, 4, 2, 1)), 0.2)
    return n.conv('D.score', y, 1, 4).flatten()


def dcgan_against(n, x, what):
    s = dcgan_score(n, x)
    return F.binary_cross_entropy_with_logits(s, torch.full_like(s, what))


# ---- text -----------------------------------------------------------------------------------------------------------------------

def lstm_logits(n, ids, lengths):
    """examples/lstm_text.mdl where every row is as long as the batch: nothing to pack."""
    x = F.embedding(ids.long(), n.get('net.embed.weight', (20000, 100)))
    h, names = 128, ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
    shapes = ((4 * h, 100), (4 * h, h), (4 * h,), (4 * h,))
    cell = [n.get('net.lstm.cells.0.' + name, s, std=0.08) for name, s in zip(names, shapes)]
    n.count(ids.numel() * 4 * h * 100, x, cell[0])
    n.count(ids.numel() * 4 * h * h, cell[1], cell[1])
    zero = x.new_zeros(1, len(x), h)
    _, last, _ = torch.lstm(x, (zero, zero), cell, True, 1, 0.0, n.training, False, True)
    return n.linear('net.fc', F.dropout(last[0], 0.5, n.training), 1)[:, 0]


def lstm_text(n, ids, lengths):
    return lstm_logits(n, ids, lengths).sigmoid()


def lstm_loss(n, ids, lengths, y):
    return F.binary_cross_entropy_with_logits(lstm_logits(n, ids, lengths), y)


def bert(layers, d, heads):
    def pooled(n, ids, kind, mask):
        mask = mask[:, None, None]
        x = F.embedding(ids.long(), n.get('bert.words.weight', (30522, d), std=0.5)) + n.get('bert.places.weight', (512, d), std=0.5)[:ids.shape[1]]
        x = n.layer_norm('bert.norm', x + F.embedding(kind.long(), n.get('bert.kinds.weight', (2, d), std=0.5)), 1e-12)
        for i in range(layers):
            p = f'bert.blocks.{i}.'
            q, k, v = (heads_of(n.linear(p + name, x, d), heads) for name in ('query', 'key', 'value'))
            x = n.layer_norm(p + 'norm1', x + n.linear(p + 'out', merged(n.attention(q, k, v, mask)), d), 1e-12)
            x = n.layer_norm(p + 'norm2', x + n.linear(p + 'down', F.gelu(n.linear(p + 'up', x, 4 * d)), d), 1e-12)
        return n.linear('bert.pooler', x[:, 0], d).tanh()
    return pooled


class Decoder:
    """examples/transformer.mdl and gpt.mdl: the whole pass, and the step that appends to a cache."""

    def __init__(self, root, layers, heads, d, vocab, context):
        self.root, self.layers, self.heads, self.d, self.vocab, self.context = root + '.', layers, heads, d, vocab, context

    def hidden(self, n, ids, attend, at=0):
        wte, wpe = n.get(self.root + 'wte.weight', (self.vocab, self.d), std=0.1), n.get(self.root + 'wpe.weight', (self.context, self.d), std=0.1)
        x = F.embedding(ids.long(), wte) + wpe[at:at + ids.shape[1]]
        for i in range(self.layers):
            p = f'{self.root}h.{i}.'
            q, k, v = (heads_of(z, self.heads) for z in n.linear(p + 'attn.qkv', n.layer_norm(p + 'ln_1', x), 3 * self.d).split(self.d, -1))
            x = x + n.linear(p + 'attn.proj', merged(attend(i, q, k, v)), self.d, gain=0.5)
            x = x + n.linear(p + 'down', F.gelu(n.linear(p + 'up', n.layer_norm(p + 'ln_2', x), 4 * self.d), approximate='tanh'), self.d, gain=0.5)
        return n.layer_norm(self.root + 'ln_f', x), wte

    def logits(self, n, ids, cache=None):
        """cache: a list that gets each layer's keys and values."""
        def attend(i, q, k, v):
            if cache is not None:
                cache.append(torch.stack([k, v]))
            return n.attention(q, k, v, causal=True)
        x, wte = self.hidden(n, ids, attend)
        return x, wte

    def prefill(self, n, ids):
        x, wte = self.logits(n, ids)
        return n.product(x[:, -1], wte.T)

    def past(self, n, ids):
        """Keys and values of ids, and room for one more: [layer, 2, b, head, t + 1, hd]."""
        cache = []
        self.logits(n, ids, cache)
        return F.pad(torch.stack(cache), (0, 0, 0, 1))

    def decode(self, n, id, past):
        """Writes into the last place of past, in place in PyTorch; an exported graph joins, and hands back what it joined."""
        t, news = past.shape[-2] - 1, []

        def attend(i, q, k, v):
            k0, v0 = past[i, 0], past[i, 1]
            if n.exporting:
                news.append(torch.stack([k, v]))
                k0, v0 = torch.cat([k0[:, :, :t], k], 2), torch.cat([v0[:, :, :t], v], 2)
            else:
                k0[:, :, t:], v0[:, :, t:] = k, v
            return n.attention(q, k0, v0)
        x, wte = self.hidden(n, id[:, None], attend, t)
        logits = n.product(x[:, -1], wte.T)
        return (logits, torch.stack(news)) if n.exporting else logits

    def loss(self, n, ids):
        x, wte = self.logits(n, ids[:, :-1])
        return F.cross_entropy(n.product(x, wte.T).flatten(0, 1), ids[:, 1:].flatten().long())


class Seq2Seq:
    """examples/seq2seq.mdl's training: encoder and decoder with their norms before each part, one table of words for both."""

    def __init__(self, layers, d, heads, vocab):
        self.layers, self.d, self.heads, self.vocab = layers, d, heads, vocab

    def place(self, n, ids):
        words = n.get('net.embed.weight', (self.vocab, self.d), std=0.05)
        angle = torch.arange(ids.shape[1])[:, None] / 10000 ** (2 * (torch.arange(self.d) / 2).floor() / self.d)
        table = torch.where(torch.arange(self.d) % 2 == 0, angle.sin(), angle.cos())
        return self.drop(n, F.embedding(ids.long(), words) * math.sqrt(self.d) + table)

    def drop(self, n, x):
        return F.dropout(x, 0.1, n.training and not n.making)

    def feed(self, n, p, x):
        return n.linear(p + 'down', F.relu(n.linear(p + 'up', x, 2048)), self.d)

    def attend(self, n, p, x, memory, mask):
        q, k, v = (heads_of(n.linear(p + name, z, self.d), self.heads) for name, z in (('q_proj', x), ('k_proj', memory), ('v_proj', memory)))
        return n.linear(p + 'out_proj', merged(n.attention(q, k, v, mask)), self.d)

    def encode(self, n, src, mask):
        x = self.place(n, src)
        for i in range(self.layers):
            p = f'net.encoder.{i}.'
            y = n.layer_norm(p + 'norm1', x)
            x = x + self.drop(n, self.attend(n, p + 'attn.', y, y, mask))
            x = x + self.drop(n, self.feed(n, p + 'ffn.', n.layer_norm(p + 'norm2', x)))
        return n.layer_norm('net.norm_e', x)

    def decode(self, n, ids, memory, mask):
        x = self.place(n, ids)
        for i in range(self.layers):
            p = f'net.decoder.{i}.'
            q, k, v = (heads_of(z, self.heads) for z in n.linear(p + 'qkv', n.layer_norm(p + 'norm1', x), 3 * self.d).chunk(3, -1))
            x = x + self.drop(n, n.linear(p + 'out', merged(n.attention(q, k, v, causal=True)), self.d))
            x = x + self.drop(n, self.attend(n, p + 'cross.', n.layer_norm(p + 'norm2', x), memory, mask))
            x = x + self.drop(n, self.feed(n, p + 'ffn.', n.layer_norm(p + 'norm3', x)))
        return n.product(n.layer_norm('net.norm_d', x), n.get('net.embed.weight').T)

    def loss(self, n, src, dst):
        mask = (src != 0)[:, None, None]
        logits = self.decode(n, dst[:, :-1], self.encode(n, src, mask), mask)
        return F.cross_entropy(logits.flatten(0, 1), dst[:, 1:].flatten().long(), ignore_index=0, label_smoothing=0.1)

    evaluate = loss


# ---- training: a function step() for a net that trains --------------------------------------------------------------------------

def parts(n, prefix=''):
    """Matrices, and vectors."""
    chosen = [v for k, v in n.w.items() if k.startswith(prefix) and v.requires_grad]
    return [v for v in chosen if v.dim() > 1], [v for v in chosen if v.dim() < 2]


def training(loss, optimizer, clip=None):
    """optimizer(net) makes one. What is compiled is the loss and its gradient, as people do."""
    def make(n, inputs, compiled):
        opt, value = optimizer(n), (torch.compile(loss) if compiled else loss)

        def step():
            z = value(n, *inputs)
            opt.zero_grad(set_to_none=True)
            z.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_([p for g in opt.param_groups for p in g['params']], clip, foreach=True)
            opt.step()
            return z
        return step
    make.loss = loss
    return make


def dcgan_training(n, inputs, compiled):
    real, = inputs
    g, d = (torch.optim.Adam(sum(parts(n, p), []), lr=2e-4, betas=(0.5, 0.999), fused=True) for p in ('G.', 'D.'))
    make, against = dcgan_generate, torch.compile(dcgan_against) if compiled else dcgan_against

    def noise():
        return torch.randn(len(real), 100)

    def step():
        with torch.no_grad():
            fake = make(n, noise())
        d_loss = against(n, real, 1.0) + against(n, fake, 0.0)
        d.zero_grad(set_to_none=True)
        d_loss.backward()
        d.step()
        g_loss = against(n, make(n, noise()), 1.0)
        g.zero_grad(set_to_none=True)
        g_loss.backward(inputs=sum(parts(n, 'G.'), []))
        g.step()
        return d_loss
    return step


def dcgan_work(n, real):
    """What the two halves of a step compute; the second takes no gradient of D's weights."""
    z = torch.zeros(len(real), 100)
    with torch.no_grad():
        fake = dcgan_generate(n, z)
    dcgan_score(n, real), dcgan_score(n, fake)
    for half in (False, True):
        for v in sum(parts(n, 'D.'), []):
            v.requires_grad_(half)
        if not half:
            dcgan_score(n, dcgan_generate(n, z))


dcgan_training.loss = dcgan_work


def adamw(n):
    return torch.optim.AdamW(n.parameters(), lr=1e-3, weight_decay=0.01, fused=True)


def adam(n):
    return torch.optim.Adam([p for p in n.parameters() if p.requires_grad], lr=1e-3, fused=True)


def adamw_matrices(n):
    matrices, vectors = parts(n)
    groups = [{'params': matrices, 'weight_decay': 0.1}, {'params': vectors, 'weight_decay': 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)


def sgd(n):
    return torch.optim.SGD(n.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)


def sgd_nesterov(n):
    matrices, vectors = parts(n)
    groups = [{'params': matrices, 'weight_decay': 5e-5}, {'params': vectors, 'weight_decay': 0.0}]
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, fused=True)
