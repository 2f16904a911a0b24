"""expected.py -- what the make_*.py beside it share: numbers made from a name, our random draws, files of expected values.

A file holds, for tests/models/tools/agree.c:
    in.NAME, ENTRY.in.NAME   inputs; with one axis more, one for each call of the entry
    ENTRY.RESULT             results, likewise; in one dimension and shorter than the result: a sample of it
    made.PATH                [mean, scale, largest |gradient|]: the first weights are mean + scale * made(PATH)
    p.PATH                   [elements or a sample of them, then one weighted sum; 4]: gradient of the first step, the weight after five
                             steps of SGD at 0.1, after five of AdamW (1e-3, betas 0.9 and 0.99, eps 1e-8, decay 0.1 on matrices), and
                             1 where |g| > 1e-6 in each of those. A parameter without p.PATH must not change.
    loss.sgd, loss.adamw     the five losses"""
import json
import os
import struct

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)


def save(name, tensors):
    head, data = {}, b''
    names = {'float32': 'F32', 'int32': 'I32', 'uint8': 'U8', 'bool': 'BOOL'}
    for key, value in sorted(tensors.items(), key=lambda item: -item[1].itemsize):  # so that all are aligned
        value = np.asarray(value, order='C')
        head[key] = {'dtype': names[str(value.dtype)], 'shape': list(value.shape), 'data_offsets': [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(head, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    path = os.path.join(HERE, name + '.safetensors')
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)
    print(path, os.path.getsize(path), 'bytes')


# ---- numbers ----------------------------------------------------------------------------------------------------------------

def fnv(text):
    h = 2166136261
    for c in text.encode():
        h = ((h ^ c) * 16777619) & 0xffffffff
    return h


def made(text, n):
    """n numbers in -1..1."""
    x = (fnv(text) + np.arange(n, dtype=np.uint64) * 0x9e3779b9) & 0xffffffff
    x = ((x ^ (x >> 16)) * 0x85ebca6b) & 0xffffffff
    x = ((x ^ (x >> 13)) * 0xc2b2ae35) & 0xffffffff
    x ^= x >> 16
    return 2.0 * (x / 4294967296.0) - 1.0


def weights(shapes):
    """{path: (shape, mean, scale)} -> {path: tensor}, and the entries made.PATH without the gradient."""
    values, how = {}, {}
    for path, (shape, mean, scale) in shapes.items():
        mean, scale = np.float32(mean), np.float32(scale)
        v = float(mean) + float(scale) * made(path, int(np.prod(shape)))
        values[path] = torch.tensor(v.astype(np.float32).reshape(shape))
        how['made.' + path] = np.array([mean, scale, 0], np.float32)
    return values, how


def philox(entry, draw, step, n, seed=0):
    """The n words of INTRINSICS.md, section 9, of the draw number `draw` of an entry in its call number `step`, from 0."""
    k = [np.uint64(seed & 0xffffffff), np.uint64((seed >> 32) ^ ((fnv(entry) + draw) & 0xffffffff))]
    block = np.arange((n + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xffffffff)
    c = [block & low, block >> np.uint64(32), np.full_like(block, step & 0xffffffff), np.full_like(block, step >> 32)]
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k[0], p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ k[1], p0 & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, 1).reshape(-1)[:n]


def philox_uniform(entry, draw, step, n, seed=0):
    return (philox(entry, draw, step, n, seed) >> np.uint64(8)) * 2.0 ** -24


def philox_normal(entry, draw, step, n, seed=0):
    """The exact quantiles: ours are within 3e-7."""
    x = (2.0 * (philox(entry, draw, step, n, seed) >> np.uint64(9)) + 1 - (1 << 23)) * 2.0 ** -23
    return (2 ** 0.5 * torch.special.erfinv(torch.tensor(x))).numpy().astype(np.float32)


assert abs(philox_normal('', 0x100000000 - fnv(''), 0, 4, seed=1) - [1.22790778, 1.25183356, 0.216564089, 0.557093263]).max() < 1e-6


# ---- training ---------------------------------------------------------------------------------------------------------------

def sgd(w):
    return torch.optim.SGD(list(w.values()), lr=0.1)


def adamw(w):
    groups = [{'params': [v for v in w.values() if v.dim() > 1], 'weight_decay': 0.1}, {'params': [v for v in w.values() if v.dim() < 2], 'weight_decay': 0.0}]
    return torch.optim.AdamW([g for g in groups if g['params']], lr=1e-3, betas=(0.9, 0.99), eps=1e-8)


def five(model, optimizer_of):
    """Five steps: the weights after them, the first gradients, where all gradients were large, the losses."""
    trained = getattr(model, 'trained', lambda path: True)
    all_w = {k: v.clone() for k, v in model.w.items()}
    w = {k: v.requires_grad_() for k, v in all_w.items() if trained(k)}
    optimizer, losses, first, sure = optimizer_of(w), [], None, None
    for step in range(5):
        optimizer.zero_grad()
        loss = model.loss(all_w, step)
        loss.backward()
        grads = {k: v.grad.clone() for k, v in w.items()}
        first = first or grads
        big = {k: g.abs() > 1e-6 for k, g in grads.items()}
        sure = big if sure is None else {k: sure[k] & big[k] for k in big}
        optimizer.step()
        losses.append(loss.item())
    return {k: v.detach() for k, v in w.items()}, first, sure, np.array(losses, np.float32)


def sample(values, rows):
    """All elements in a row, or `rows` of them."""
    flat = np.asarray(values).reshape(-1)
    return flat if len(flat) <= rows else flat[np.arange(rows, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(len(flat))]


def expected(name, model, rows=16):
    out = {k: v.numpy() for k, v in model.inputs().items()} | model.how
    with torch.no_grad():
        out.update({k: v.numpy() for k, v in model.results(model.w).items()})
    if hasattr(model, 'loss'):
        after_sgd, first, _, out['loss.sgd'] = five(model, sgd)
        after_adamw, _, sure, out['loss.adamw'] = five(model, adamw)
        if '_' in name and name.rsplit('_', 1)[1] in ('bf16', 'f16'):
            del out['loss.adamw']  # its first steps are the signs of gradients, and rounding turns those of small ones
        for path in first:
            out['made.' + path][2] = first[path].abs().max()
            columns = [x[path].numpy().astype(np.float64) for x in (first, after_sgd, after_adamw, sure)]
            coefficients = made('p.' + path, columns[0].size)
            sums = [(c.reshape(-1) * coefficients).sum() for c in columns[:2]] + [0, 0]
            out['p.' + path] = np.vstack([np.stack([sample(c, rows) for c in columns], 1), sums]).astype(np.float32)
    save(name, out)
