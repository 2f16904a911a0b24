"""make_expected.py -- the values that tests/library/*.test compare with: torch.optim, torch.nn.functional, numpy where PyTorch has none.

    make venv && build/venv/bin/python tests/library/make_expected.py       rewrites the .safetensors files beside this script

tests/models/expected.py says what a file holds."""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'models'))
from expected import philox_normal, philox_uniform, save, weights  # noqa: E402

STEPS = 6


# ---- optimizers.mdl ---------------------------------------------------------------------------------------------------------

class Lion(torch.optim.Optimizer):
    """Chen et al., 2023, Algorithm 2."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {'lr': lr, 'betas': betas, 'weight_decay': weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group['params']:
                m = self.state[p].setdefault('m', torch.zeros_like(p))
                beta1, beta2 = group['betas']
                update = torch.sign(beta1 * m + (1 - beta1) * p.grad)
                p -= group['lr'] * (update + group['weight_decay'] * p)
                m.copy_(beta2 * m + (1 - beta2) * p.grad)


def optimizers():
    r = np.random.default_rng(1)
    x, y = r.standard_normal((STEPS, 5, 4)).astype(np.float32), r.uniform(-0.9, 0.9, (STEPS, 5, 3)).astype(np.float32)
    x[3] *= 0.05  # small gradients: not clipped, and eps counts
    xs, ys = torch.tensor(x).double(), torch.tensor(y).double()
    shapes = {f'n.{i}.{k}': (s, 0, 0.7) for i in range(24) for k, s in (('weight', (3, 4)), ('bias', (3,)))}
    w, out = weights(shapes)
    out |= {'in.x': x, 'in.y': y}
    net = lambda p, x: torch.tanh(F.linear(x, *p))
    mse = lambda p, x, y: F.mse_loss(net(p, x), y)

    def run(name, i, make, loss=mse, groups=None, every=1, before=None, train=(0, 1), xs=xs):
        p = [w[f'n.{i}.{k}'].double() for k in ('weight', 'bias')]
        for k in train:
            p[k].requires_grad_()
        optimizers = [m([p[k] for k in g]) for m, g in zip(make, groups or [train])]
        rows, calls = [], 0
        for step in range(STEPS):
            if xs[step].isfinite().all():  # else the call is skipped
                (loss(p, xs[step], ys[step]) / every).backward()
                calls += 1
            if xs[step].isfinite().all() and calls % every == 0:
                if before:
                    before([p[k] for k in train])
                for o in optimizers:
                    o.step()
                    o.zero_grad()
            rows.append(torch.cat([q.detach().reshape(-1) for q in p]).numpy())
        out[name + '.w'] = np.stack(rows).astype(np.float32)

    O = torch.optim
    plain = lambda p: O.SGD(p, lr=0.5)
    moving = lambda p: O.SGD(p, lr=0.3, momentum=0.9)
    adam = lambda p: O.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3)
    adamw = lambda p: O.AdamW(p, lr=0.05, weight_decay=0.2)
    adagrad = lambda p: O.Adagrad(p, lr=0.1, eps=1e-2)
    run('sgd', 0, [plain])
    run('sgd_momentum', 1, [moving])
    run('sgd_nesterov', 2, [lambda p: O.SGD(p, lr=0.3, momentum=0.8, nesterov=True, weight_decay=0.05)])
    run('sgd_decay', 3, [lambda p: O.SGD(p, lr=0.5, weight_decay=0.1)])
    run('by_adam', 4, [adam])
    run('by_adamw', 5, [adamw])
    run('by_adamw0', 6, [lambda p: O.AdamW(p, lr=0.05, betas=(0.7, 0.999), eps=1e-2, weight_decay=0)])
    run('by_lion', 7, [lambda p: Lion(p, 0.03, (0.85, 0.99), 0.1)])
    run('by_lion0', 8, [lambda p: Lion(p, 0.03, (0.9, 0.9), 0)])
    run('by_rmsprop', 9, [lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-2)])
    run('by_adagrad', 10, [adagrad])

    # A schedule of PyTorch gives the first step its value at 0, ours its value at 1: one step ahead.
    def at(step, make, start):
        o = O.SGD([torch.zeros(1, requires_grad=True)], lr=start)
        s = make(o)
        for _ in range(step):
            o.step()
            s.step()
        return o.param_groups[0]['lr']

    S = O.lr_scheduler
    stepped = lambda t: at(t, lambda o: S.StepLR(o, 2, 0.3), 0.5)
    ramp = lambda t, total, warmup: t / warmup if t < warmup else max(0, (total - t) / (total - warmup))
    linear = lambda t: at(t, lambda o: S.LambdaLR(o, lambda t: ramp(t, 9, 3)), 0.5)
    linear0 = lambda t: at(t, lambda o: S.LinearLR(o, 1.0, 0.0, 5), 2.0)
    cosine = lambda t: 0.5 * t / 2 if t < 2 else at(min(t - 2, 7), lambda o: S.CosineAnnealingLR(o, 7, 0.05), 0.5)
    noam = lambda t: 16 ** -0.5 * min(t ** -0.5, t * 4 ** -1.5)
    cycle = lambda t: float(np.interp(t / 8, [0, 0.4, 1], [0, 0.5, 0]))
    steps = np.arange(1, 13)
    out['in.step'] = steps.astype(np.float32)
    for name, f in (('stepped', stepped), ('linear', linear), ('cosine', cosine), ('noam', noam), ('cycle', cycle), ('no_warmup', linear0)):
        out['rates.' + name] = np.array([f(int(t)) for t in steps], np.float32)

    class Scheduled:
        def __init__(self, optimizer, rate):
            self.o, self.rate, self.zero_grad, self.t = optimizer, rate, optimizer.zero_grad, 0

        def step(self):
            self.t += 1
            self.o.param_groups[0]['lr'] = self.rate(self.t)
            self.o.step()

    run('by_schedule', 11, [lambda p: Scheduled(plain(p), cosine)])
    run('by_warmup', 12, [lambda p: Scheduled(O.AdamW(p, weight_decay=0.5), linear)])
    run('groups', 13, [adamw, moving], groups=[[0], [1]])
    run('frozen', 14, [plain], train=[0])

    norms = []
    def norm(limit):
        return lambda p: norms.append(float(torch.nn.utils.clip_grad_norm_(p, limit)))
    value = lambda limit: lambda p: torch.nn.utils.clip_grad_value_(p, limit)
    run('norm_clipped', 15, [plain, moving], groups=[[0], [1]], before=norm(0.5))
    assert min(norms) < 0.45 and max(norms) > 0.55, norms
    run('value_clipped', 16, [plain], before=value(0.1))
    run('both_clipped', 17, [plain], before=lambda p: (value(0.1)(p), norm(0.2)(p)))
    run('accumulated', 18, [adam], every=3)
    run('accumulated_clipped', 19, [plain], every=2, before=lambda p: (value(0.2)(p), norm(0.3)(p)))

    class Twice:  # two statements: the loss of the second is taken after the first update
        def __init__(self, p):
            self.p, self.first, self.second, self.t = p, adagrad(p[:1]), plain(p), 0

        def zero_grad(self):
            self.second.zero_grad()

        def step(self):
            self.first.step()
            self.zero_grad()
            F.l1_loss(net(self.p, xs[self.t]), ys[self.t]).backward()
            self.second.step()
            self.t += 1

    run('twice', 20, [Twice])

    def penalized(p, x, y):
        x = x.clone().requires_grad_()
        z = net(p, x)
        g, = torch.autograd.grad((z * z).sum(), x, create_graph=True)
        return F.mse_loss(z, y) + 0.1 * (g ** 2).sum()

    run('penalized', 21, [plain], loss=penalized)

    bad = x.copy()
    bad[1, 2, 3], bad[4, 0, 1] = np.nan, np.inf
    out['skipping.in.x'] = out['skipping_sums.in.x'] = bad
    run('skipping', 22, [adam], xs=torch.tensor(bad).double())
    run('skipping_sums', 23, [moving], every=2, before=norm(0.3), xs=torch.tensor(bad).double())
    save('../library/optimizers', out)



# ---- functions.mdl ----------------------------------------------------------------------------------------------------------

def f32(x):
    x = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    return x.astype({'f': np.float32, 'i': np.int32, 'b': bool}[x.dtype.kind])


def with_gradient(out, name, f, x, c=None):
    """NAME and d_NAME."""
    x = torch.tensor(np.asarray(x, np.float64), requires_grad=True)
    y = f(x)
    entry, result = name.split('.')
    g, = torch.autograd.grad((y if c is None else torch.tensor(c).double() * y).sum(), x)
    out[name], out[f'{entry}.d_{result}'] = f32(y), f32(g)


def activations(out, r):
    special = [0, -0.0, 1, -1, 3, -3, 6, -6, 2.5, -1.5, 0.5, -0.5, 20, -20, 100, -100, 1e-4, -1e-4, 88.8, -88.8, 1e-20, 709, -709]
    x = np.concatenate([special, 3 * r.standard_normal(14)]).astype(np.float32)
    c = r.uniform(0.5, 1.5, x.size).astype(np.float32)
    out |= {'activations.in.x': x, 'activations.in.c': c}
    rounded = lambda x: x + (torch.round(x) - x).detach()
    ste_sign = lambda x: torch.sign(x).detach() + (x - x.detach()) * (x.abs() <= 1)
    for name, f in {'relu': F.relu, 'relu6': F.relu6, 'leaky': lambda x: F.leaky_relu(x, 0.2), 'elu': lambda x: F.elu(x, 0.7),
                    'silu': F.silu, 'gelu': F.gelu, 'gelu_tanh': lambda x: F.gelu(x, approximate='tanh'), 'softplus': lambda x: F.softplus(x, threshold=1e9),
                    'hardsigmoid': F.hardsigmoid, 'hardswish': F.hardswish,
                    'log_sigmoid': F.logsigmoid, 'prelu': lambda x: F.prelu(x, torch.tensor([0.25], dtype=torch.float64)),
                    'ste_round': rounded, 'ste_sign': ste_sign}.items():
        with_gradient(out, 'activations.' + name, f, x, c)


def by_rows(out, r):
    x = (4 * r.standard_normal((5, 6))).astype(np.float32)
    x[1] = [500, -500, 499, 0, 500, 1]
    x[2] = 3.0
    c, h = r.standard_normal((5, 6)).astype(np.float32), r.standard_normal((5, 3)).astype(np.float32)
    out |= {'by_rows.in.x': x, 'by_rows.in.c': c, 'by_rows.in.h': h}
    for name, f, w in (('softmax', lambda x: x.softmax(-1), c), ('log_softmax', lambda x: x.log_softmax(-1), c), ('columns', lambda x: x.softmax(0), c),
                       ('lse', lambda x: x.logsumexp(-1), c[:, 0]), ('glu', F.glu, h)):
        with_gradient(out, 'by_rows.' + name, f, x, w)


def edges(out):
    inf, nan = np.inf, np.nan
    x = np.array([[-inf] * 4, [inf, 1, 2, 3], [1, nan, 5, nan], [-inf, 2, -inf, 2], [7, 7, 7, -7], [-inf, inf, inf, 0]], np.float32)
    v = np.array([0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 2.7, -2.7, 300, -300, nan, inf, -inf, 3e9, 1e-30], np.float32)
    r = np.random.default_rng(5)
    mask = np.array([[True, False, True], [False, False, False]])
    q, k = r.standard_normal((2, 1, 2, 4)).astype(np.float32), r.standard_normal((2, 1, 3, 4)).astype(np.float32)
    out |= {'edges.in.x': x, 'edges.in.v': v, 'edges.in.mask': mask, 'edges.in.q': q, 'edges.in.k': k}
    t = torch.tensor(x).double()
    best = [max(row, key=lambda a: (np.isnan(a), a)) for row in x]  # NaN counts as largest
    order = [sorted(range(4), key=lambda i: (not np.isnan(row[i]), -row[i] if not np.isnan(row[i]) else 0, i)) for row in x]
    out |= {'edges.softmax': f32(t.softmax(-1)), 'edges.log_softmax': f32(t.log_softmax(-1)), 'edges.lse': f32(t.logsumexp(-1)),
            'edges.largest': f32(best), 'edges.place': f32([o[0] for o in order]), 'edges.best_at': f32([o[:2] for o in order]),
            'edges.best': f32([[row[i] for i in o[:2]] for row, o in zip(x, order)]),
            'edges.smallest': f32(x.min(-1)), 'edges.least': f32([int(np.argmin(row)) for row in x])}
    tame = t.clamp(max=50)  # the gradient is 0 where that is not x or NaN, and in a row of -inf
    g = (tame - tame.logsumexp(-1, keepdim=True)).exp()
    out['edges.d_lse'] = f32(torch.where((t == -inf).all(-1, keepdim=True) | ~(t < 50), 0.0, g))

    def attended(q):
        m = torch.tensor(mask)[:, None, None]
        p = torch.where(m, q @ torch.tensor(k).double().transpose(-1, -2) / 2, -1e300).softmax(-1) * m.any(-1, keepdim=True)
        return p @ (2 * torch.tensor(k).double())

    Q = torch.tensor(q).double().requires_grad_()
    a = attended(Q)
    out['edges.attended'], out['edges.d_attended'] = f32(a), f32(torch.autograd.grad((a * a).sum(), Q)[0])
    with np.errstate(all='ignore'):
        V = v.astype(np.float64)
        clean = np.nan_to_num(V, nan=0)
        out |= {'edges.root': f32(np.where(v > 0, np.sqrt(V), 0)), 'edges.d_root': f32(np.where(v > 0, 0.5 / np.sqrt(V), 0)), 'edges.power': f32(V ** V),
                'edges.remainder': f32(np.mod(V, 1.5)), 'edges.rounded': f32(np.round(V)), 'edges.signs': f32(np.sign(V)), 'edges.larger': f32(np.maximum(V, 1)),
                'edges.limited': f32(np.clip(V, -1, 1)), 'edges.bytes': np.clip(np.trunc(clean), 0, 255).astype(np.int32),
                'edges.whole': np.clip(np.trunc(clean), -2 ** 31, 2 ** 31 - 1).astype(np.int32), 'edges.truth': v != 0,
                'edges.d_clamp': f32((v >= -1) & (v <= 2.5)).astype(np.float32), 'edges.d_abs': f32(np.sign(V)), 'edges.d_max': f32(np.nan_to_num(np.sign(V))),  # a NaN has no winner
                'edges.d_power': f32(2 * V)}


def losses(out, r):
    p, t = r.standard_normal((2, 6, 3)).astype(np.float32)
    p[0], t[0] = [1, 0, 0], [0.5, 0, 1]   # |e| = 0.5, 0, 1
    z, teacher = (2 * r.standard_normal((2, 5, 4))).astype(np.float32)
    z[1] = [30, -30, 0, 0]
    y, skipped = np.array([1, 0, 2, 3, 2], np.int32), np.array([1, -100, 2, -100, 0], np.int32)
    s, w = r.standard_normal((2, 3, 4)).astype(np.float32), r.integers(0, 4, (2, 3)).astype(np.int32)
    out |= {'losses.in.' + k: a for k, a in (('p', p), ('t', t), ('z', z), ('y', y), ('skipped', skipped), ('teacher', teacher), ('s', s), ('w', w))}
    T, Y, K, A, W = (torch.tensor(a) for a in (t.astype(np.float64), y.astype(np.int64), skipped.astype(np.int64), teacher.astype(np.float64), w.astype(np.int64)))
    N = torch.distributions.Normal
    focal = lambda gamma: lambda z: (-(1 - z.softmax(-1).gather(-1, Y[:, None])) ** gamma * z.log_softmax(-1).gather(-1, Y[:, None])).mean()
    for name, f, x in (
            ('mse', lambda p: F.mse_loss(p, T), p), ('mae', lambda p: F.l1_loss(p, T), p), ('huber', lambda p: F.huber_loss(p, T), p),
            ('huber4', lambda p: F.huber_loss(p, T, delta=0.4), p), ('bce', lambda p: F.binary_cross_entropy_with_logits(p, T.sigmoid()), p),
            ('bce1', lambda p: F.binary_cross_entropy_with_logits(p, torch.ones_like(p)), p),
            ('kl', lambda p: torch.distributions.kl_divergence(N(p, (T / 2).exp()), N(0.0, 1.0)).mean(), p),
            ('ce', lambda z: F.cross_entropy(z, Y), z), ('ignored', lambda z: F.cross_entropy(z, K), z), ('ignored2', lambda z: F.cross_entropy(z, Y, ignore_index=2), z),
            ('smooth', lambda z: F.cross_entropy(z, Y, label_smoothing=0.1), z), ('both', lambda z: F.cross_entropy(z, K, label_smoothing=0.3), z),
            ('none', lambda z: 0 * z.sum(), z), ('words', lambda s: F.cross_entropy(s.flatten(0, 1), W.flatten()), s),
            ('soft', lambda z: F.cross_entropy(z, A.softmax(-1)), z), ('focal', focal(2), z), ('focal15', focal(1.5), z),
            ('taught', lambda z: 9 * F.cross_entropy(z / 3, (A / 3).softmax(-1)), z)):
        with_gradient(out, 'losses.' + name, f, x)


def metrics(out, r):
    calls = 3
    z, y = r.standard_normal((calls, 8, 6)).astype(np.float32), r.integers(0, 6, (calls, 8)).astype(np.int32)
    z[0, 0] = z[0, 1] = 1  # ties: the first
    y[0, :2] = [0, 1]
    u, b = r.standard_normal((calls, 8)).astype(np.float32), r.integers(0, 2, (calls, 8)).astype(np.float32)
    u[0, 0] = 0
    out |= {'metrics.in.z': z, 'metrics.in.y': y, 'metrics.in.u': u, 'metrics.in.b': b}
    order = np.argsort(-z, -1, kind='stable')
    hit = lambda k: (order[..., :k] == y[..., None]).any(-1).mean(-1)
    rows = {'accuracy': hit(1), 'top2': hit(2), 'top5': hit(5), 'binary': ((u > 0) == (b > 0.5)).mean(-1),
            'perplexity': [np.exp(F.cross_entropy(torch.tensor(z[i]).double(), torch.tensor(y[i]).long()).item()) for i in range(calls)],
            'r2': 1 - ((b - u.astype(float)) ** 2).sum(-1) / ((b - b.mean(-1, keepdims=True)) ** 2).sum(-1),
            'mean': np.cumsum(hit(1)) / np.arange(1, calls + 1)}
    for i in range(calls):  # those with a memory see all calls up to this one
        yes, true = u[:i + 1].ravel() > 0, b[:i + 1].ravel() > 0.5
        p, q = (yes & true).sum() / yes.sum(), (yes & true).sum() / true.sum()
        best, want = order[:i + 1, :, 0].ravel(), y[:i + 1].ravel()
        f1 = [2 * ((best == c) & (want == c)).sum() / max(1, (best == c).sum() + (want == c).sum()) for c in range(6)]
        for name, value in (('precision', p), ('recall', q), ('f1', 2 * p * q / (p + q)), ('macro', np.mean(f1))):
            rows.setdefault(name, []).append(value)
    out |= {'metrics.' + k: f32(np.array(v, np.float64)) for k, v in rows.items()}


def drawing(out, r):
    calls, n, temperature = 4, 8, np.float32(0.7)
    z = (2 * r.standard_normal((calls, n, 6))).astype(np.float32)
    out |= {'drawing.in.z': z, 'drawing.in.temperature': temperature}

    def draw(x, site, step):
        p = np.exp(x - x.max(-1, keepdims=True))
        c = np.cumsum(p / p.sum(-1, keepdims=True), -1)
        aim = philox_uniform('drawing', site, step, n)[:, None] * c[:, -1:]
        assert np.abs(c - aim).min() > 1e-5  # not decided by rounding
        return (c > aim).argmax(-1)

    def filtered(x, k, p):
        x = x / temperature.astype(np.float64)
        keep = np.ones(x.shape, bool)
        for i, row in enumerate(x):
            order = np.argsort(-row)[:k]
            e = np.exp(row[order] - row.max())
            before = np.cumsum(e / e.sum()) - e / e.sum()
            keep[i] = False
            keep[i, order[before < p]] = True
        return np.where(keep, x, -np.inf)

    ways = {'plain': lambda x: x.astype(float), 'top3': lambda x: filtered(x, 3, 1), 'nucleus': lambda x: filtered(x, 6, 0.7), 'both': lambda x: filtered(x, 4, 0.9)}
    for site, (name, way) in enumerate(ways.items()):
        out['drawing.' + name] = np.stack([draw(way(z[t]), site, t) for t in range(calls)]).astype(np.int32)
    out['drawing.greedy'] = z.argmax(-1).astype(np.int32)


def initial(out, r):
    last = 2 ** 64 - 1
    u = lambda path, shape, a: (2 * philox_uniform(path, 0, last, int(np.prod(shape))) - 1).reshape(shape) * a
    z = lambda path, shape, std: philox_normal(path, 0, last, int(np.prod(shape))).reshape(shape) * std
    v = r.standard_normal((1, 8)).astype(np.float32)
    w, b = u('fc.weight', (5, 8), 8 ** -0.5), u('fc.bias', (5,), 0.5)
    s = (5, 2, 4)  # fans: in 8, out 5 * 4
    out |= {'initial.in.v': v} | {'initial.' + k: f32(a) for k, a in (
        ('a1', u('a1', (5, 8), 2 ** 0.5 * (3 / 8) ** 0.5)), ('a2', z('a2', (5, 8), 1.5 / 5 ** 0.5)), ('a3', u('a3', s, (6 / 28) ** 0.5)),
        ('a4', z('a4', s, 0.5 * (2 / 28) ** 0.5)), ('a5', np.clip(1 + z('a5', (40,), 0.5), 0, 2)), ('w', w), ('b', b), ('y', v @ w.T + b))}


def functions():
    out, r = {'made.prelu.weight': np.array([0.25, 0, 0], np.float32)}, np.random.default_rng(3)
    for part in (activations, by_rows, losses, metrics, drawing, initial):
        part(out, r)
    edges(out)
    save('../library/functions', out)


optimizers()
functions()
