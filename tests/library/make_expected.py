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
from expected import save, weights  # noqa: E402

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


optimizers()
