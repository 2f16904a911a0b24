"""make_expected_vision.py -- the values that torch_*.test compares with for the programs with convolutions, made by PyTorch.

    make venv && build/venv/bin/python tests/models/make_expected_vision.py [NAME]...

Each class is one program of examples/, written down independently. Computed in f64 from f32 weights; draws are those that INTRINSICS.md,
section 9, defines. expected.py says what a file holds; here p.PATH is there for running means and variances too, loss.MODE has a column
for each loss, made.in.NAME is [mean, scale, size of each axis] of an input made from its name; SGD is at 0.01, since these are deep (at
0.001 for the 50 layers, or PyTorch's own f32 and f64 part); statistics of many thousand values are within bound.statistics; and where
vary.sh leaves a program its own optimizers, the column of AdamW is theirs."""
import sys

import numpy as np
import torch
import torch.nn.functional as F

from expected import made, philox, philox_normal, philox_uniform, sample, save, weights


class Corners:
    """How near an activation came to a corner, where its derivative jumps: there f32 and f64 may take different sides, and both are
    right. `calm` looks for inputs that keep away from them."""
    nearest = np.inf

    @classmethod
    def seen(cls, x, *corners):
        for corner in corners:
            cls.nearest = min(cls.nearest, (x.detach() - corner).abs().min().item())
        return x


def relu(x):
    return Corners.seen(x, 0).relu()


def relu6(x):
    return F.relu6(Corners.seen(x, 0, 6))


def leaky_relu(x):
    return F.leaky_relu(Corners.seen(x, 0), 0.2)


def calm(make, tries=12):
    """make(mean of the inputs) for the mean that keeps five steps of SGD farthest from corners."""
    best = None
    for mean in np.arange(tries) / 64:
        Corners.nearest, model = np.inf, make(mean)
        trained(model, 'sgd', 5)
        if not best or Corners.nearest > best[0]:
            best = Corners.nearest, model
    print('nearest to a corner:', best[0])
    return best[1]


def made_input(name, mean, scale, *shape):
    how = np.array([mean, scale, *shape], np.float32)
    value = float(how[0]) + float(how[1]) * made('in.' + name, int(np.prod(shape)))
    return {'made.in.' + name: how}, torch.tensor(value.astype(np.float32).reshape(shape)).double()


# ---- parts: what they need, by path, as (shape, mean, scale); how they compute -------------------------------------------------

def conv_shape(out, inp, kernel):
    return (out, inp, kernel, kernel), 0, (6 / (inp * kernel * kernel)) ** 0.5


def norm_shapes(path, c, bias=0):
    """A bias away from corners leaves fewer activations near them."""
    return {path + '.weight': ((c,), 1, 0.2), path + '.bias': ((c,), bias, 0.2), path + '.running_mean': ((c,), 0, 0.2),
            path + '.running_var': ((c,), 1, 0.2)}


def linear_shapes(path, out, inp, scale=1):
    return {path + '.weight': ((out, inp), 0, scale * (3 / inp) ** 0.5), path + '.bias': ((out,), 0, 0.1)}


def norm(w, path, x, training):
    return F.batch_norm(x, w[path + '.running_mean'], w[path + '.running_var'], w[path + '.weight'], w[path + '.bias'], training, 0.1, 1e-5)


def linear(w, path, x):
    return F.linear(x, w[path + '.weight'], w[path + '.bias'])


def running(path):
    return path.endswith(('.running_mean', '.running_var'))


# ---- training -------------------------------------------------------------------------------------------------------------

class Updates:
    """Optimizers over parts of the weights; they remember which gradients were never small."""

    def __init__(self, w):
        self.w, self.sure = w, {}

    def step(self, optimizer, loss):
        taken = [p for group in optimizer.param_groups for p in group['params']]
        for p, g in zip(taken, torch.autograd.grad(loss, taken)):
            p.grad = g
        names = {id(v): k for k, v in self.w.items()}
        for p in taken:
            big, path = p.grad.abs() > 1e-6, names[id(p)]
            self.sure[path] = self.sure[path] & big if path in self.sure else big
        optimizer.step()


def trained(model, mode, steps):
    """(weights after so many steps, gradients that were large in all, losses [steps, k]); `mode`: gradient, sgd, adamw."""
    w = {k: v.double().clone() for k, v in model.w.items()}
    for path in w:
        w[path].requires_grad_(not running(path) and model.trains(path))
    updates, optimizers = Updates(w), model.optimizers(mode, w)
    losses = [[x.item() for x in model.step(w, updates, optimizers, step)] for step in range(steps)]
    return {k: v.detach() for k, v in w.items()}, updates.sure, np.array(losses, np.float32)


class Model:
    own = False  # has optimizers of its own, which vary.sh leaves
    rate = 0.01
    statistics = None  # the bound on them, where it is not that of weights

    def optimizers(self, mode, w):
        return [self.optimizer(mode, [v for v in w.values() if v.requires_grad])]

    def optimizer(self, mode, taken):
        return torch.optim.SGD(taken, lr=1.0 if mode == 'gradient' else self.rate)

    def trains(self, path):
        return True


def expected(name, model, rows=16):
    out = {k: v if isinstance(v, np.ndarray) else v.numpy() for k, v in model.given.items()} | model.how
    with torch.no_grad():
        w = {k: v.double() for k, v in model.w.items()}
        out.update({k: v.numpy().astype(np.int32 if v.dtype == torch.int64 else np.float32) for k, v in model.results(w).items()})
    if model.statistics:
        out['bound.statistics'] = np.array(model.statistics, np.float32)
    if hasattr(model, 'step'):
        first, _, losses = trained(model, 'gradient', 1)
        after_sgd, _, out['loss.sgd'] = trained(model, 'sgd', 5)
        after_adamw, sure = after_sgd, {}
        if model.own:
            after_adamw, sure, out['loss.adamw'] = trained(model, 'adamw', 5)
        if (losses[0] != out['loss.sgd'][0]).any():
            out['loss.gradient'] = losses  # there were two updates
        for path, v in model.w.items():
            if not model.trains(path):
                continue
            gradient = v.double() - first[path]
            columns = [x.numpy() for x in (gradient, after_sgd[path], after_adamw[path], sure.get(path, torch.ones_like(gradient)))]
            columns = [x.astype(np.float64) for x in columns]
            out['made.' + path][2] = abs(columns[0]).max()
            coefficients = made('p.' + path, columns[0].size)
            sums = [(c.reshape(-1) * coefficients).sum() for c in columns[:2]] + [0, 0]
            out['p.' + path] = np.vstack([np.stack([sample(c, rows) for c in columns], 1), sums]).astype(np.float32)
    save(name, out)


# ---- the programs ---------------------------------------------------------------------------------------------------------

class FashionCnn(Model):
    """examples/fashion_cnn.mdl as it stands: the draws of its augmentation and dropout, its optimizer in the column of AdamW."""
    own = True

    def __init__(self, width, steps, batch, seed):
        self.steps, shapes = steps, {}
        for stage, (inp, out) in enumerate(((1, width), (width, 2 * width))):
            for i in (1, 2):
                shapes[f'net.{stage}.conv{i}.weight'] = conv_shape(out, inp if i == 1 else out, 3)
                shapes.update(norm_shapes(f'net.{stage}.bn{i}', out, 1))
        self.flat = 2 * width * 7 * 7
        shapes.update(linear_shapes('net.4', 10, self.flat, 0.3))
        self.w, self.how = weights(shapes)
        r = np.random.default_rng(seed)
        self.x, self.y = torch.tensor(r.integers(0, 256, (batch, 28, 28, 1)).astype(np.uint8)), torch.tensor(r.integers(0, 10, batch))
        self.given = {'in.x': self.x, 'in.y': self.y.int()}

    def pixels(self):
        return ((self.x.double() / 255 - 0.2860) / 0.3530).permute(0, 3, 1, 2)

    def augmented(self, x, step):
        b, _, h, w = x.shape
        integers = lambda draw, n: [int(word) * n >> 32 for word in philox('step', draw, step, b)]
        top, left, y0, x0 = integers(0, 5), integers(1, 5), integers(3, h), integers(4, w)
        flip = philox_uniform('step', 2, step, b) < 0.5
        wide, out = F.pad(x, (2, 2, 2, 2)), []
        for i in range(b):
            z = wide[i, :, top[i]:top[i] + h, left[i]:left[i] + w]
            z = (z.flip(2) if flip[i] else z).clone()
            z[:, max(0, y0[i] - 5):y0[i] + 6, max(0, x0[i] - 5):x0[i] + 6] = 0
            out.append(z)
        return torch.stack(out)

    def logits(self, w, x, training, keep=None):
        for stage in range(2):
            for i in (1, 2):
                x = F.conv2d(x, w[f'net.{stage}.conv{i}.weight'], padding=1)
                x = relu(norm(w, f'net.{stage}.bn{i}', x, training))
            x = F.max_pool2d(x, 2)
        x = x.flatten(1)
        return linear(w, 'net.4', x if keep is None else x * keep / 0.7)

    def results(self, w):
        z = self.logits(w, self.pixels(), False)
        return {'predict.label': z.argmax(-1), 'predict.probs': z.softmax(-1), 'evaluate.loss': F.cross_entropy(z, self.y),
                'evaluate.acc': (z.argmax(-1) == self.y).double().mean()}

    def optimizers(self, mode, w):
        taken = [v for v in w.values() if v.requires_grad]
        return [torch.optim.SGD(taken, lr=1.0, momentum=0.9, weight_decay=5e-4) if mode == 'adamw' else self.optimizer(mode, taken)]

    def step(self, w, updates, optimizers, step):
        group = optimizers[0].param_groups[0]
        if group['momentum']:
            group['lr'] = 0.2 * (step + 1) / self.steps / 0.3  # OneCycle, rising
        keep = torch.tensor(philox_uniform('step', 5, step, len(self.x) * self.flat) < np.float32(0.7)).reshape(-1, self.flat)
        z = self.logits(w, self.augmented(self.pixels(), step), True, keep)
        loss = F.cross_entropy(z, self.y, label_smoothing=0.1)
        updates.step(optimizers[0], loss)
        return [loss]


class ResNet(Model):
    """examples/resnet.mdl without smoothing changed: only the optimizers are others."""
    plans = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}

    def __init__(self, depth, classes, batch, size, mean=0.0, prefix='net', train=True, rate=0.01, statistics=None):
        self.depth, self.prefix, self.rate, self.statistics = depth, prefix, rate, statistics
        self.w, self.how = weights(self.shapes(classes))
        self.given, self.x = made_input('x', mean, 1.7, batch, 3, size, size)
        self.y = torch.tensor(np.random.default_rng(3).integers(0, classes, batch))
        if train:
            self.given['in.y'] = self.y.int()
            self.step = self.train

    def shapes(self, classes):
        shapes = {}

        def conv(path, out, inp, kernel):
            shapes[f'{self.prefix}.{path}.weight'] = conv_shape(out, inp, kernel)

        def bn(path, c, bias=2):
            shapes.update(norm_shapes(f'{self.prefix}.{path}', c, bias))

        conv('conv1', 64, 3, 7)
        bn('bn1', 64)
        inp, grow = 64, 4 if self.depth >= 50 else 1
        for stage, count in enumerate(self.plans[self.depth]):
            width = 64 << stage
            for i in range(count):
                p = f'layer{stage + 1}.{i}'
                kernels = [(1, inp, width), (3, width, width), (1, width, 4 * width)] if grow == 4 else [(3, inp, width), (3, width, width)]
                for k, (kernel, a, b) in enumerate(kernels):
                    conv(f'{p}.conv{k + 1}', b, a, kernel)
                    bn(f'{p}.bn{k + 1}', b, 0 if k + 1 == len(kernels) else 2)
                if inp != grow * width or (i == 0 and stage > 0):
                    conv(p + '.downsample.0', grow * width, inp, 1)
                    bn(p + '.downsample.1', grow * width, 2)
                inp = grow * width
        shapes.update(linear_shapes(self.prefix + '.fc', classes, inp, 0.2))
        return shapes

    def logits(self, w, x, training, frozen=lambda path: False):
        def conv(path, x, stride, pad):
            return F.conv2d(x, w[f'{self.prefix}.{path}.weight'], stride=stride, padding=pad)

        def bn(path, x):
            return norm(w, f'{self.prefix}.{path}', x, training and not frozen(path))

        x = F.max_pool2d(relu(bn('bn1', conv('conv1', x, 2, 3))), 3, 2, 1)
        for stage, count in enumerate(self.plans[self.depth]):
            for i in range(count):
                p, stride = f'layer{stage + 1}.{i}', 2 if i == 0 and stage > 0 else 1
                if self.depth >= 50:
                    y = relu(bn(p + '.bn1', conv(p + '.conv1', x, 1, 0)))
                    y = relu(bn(p + '.bn2', conv(p + '.conv2', y, stride, 1)))
                    y = bn(p + '.bn3', conv(p + '.conv3', y, 1, 0))
                else:
                    y = relu(bn(p + '.bn1', conv(p + '.conv1', x, stride, 1)))
                    y = bn(p + '.bn2', conv(p + '.conv2', y, 1, 1))
                if f'{self.prefix}.{p}.downsample.0.weight' in w:
                    x = bn(p + '.downsample.1', conv(p + '.downsample.0', x, stride, 0))
                x = relu(x + y)
        return linear(w, self.prefix + '.fc', x.mean([2, 3]))

    def results(self, w):
        return {'classify.probs': self.logits(w, self.x, False).softmax(-1)}

    def train(self, w, updates, optimizers, step):
        flip = torch.tensor(philox_uniform('step', 0, step, len(self.x)) < 0.5)
        x = torch.where(flip[:, None, None, None], self.x.flip(3), self.x)
        loss = F.cross_entropy(self.logits(w, x, True), self.y, label_smoothing=0.1)
        updates.step(optimizers[0], loss)
        return [loss]


class MobileNet(Model):
    """examples/mobilenet.mdl with a step of training, without dropout."""
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]

    def __init__(self, scale, size, classes, batch, mean):
        self.blocks, shapes = [], {}

        def channels(n):
            return 8 * max(1, int((n * scale + 4) // 8))

        def conv_bn(path, out, inp, kernel):
            shapes[path + '.conv.weight'] = conv_shape(out, inp, kernel)
            shapes.update(norm_shapes(path + '.bn', out, 3))

        inp = channels(32)
        conv_bn('net.stem', inp, 3, 3)
        for r, (expand, c, repeats, stride) in enumerate(self.table):
            for i in range(repeats):
                p, out, wide = f'net.body.{r}.{i}', channels(c), expand * inp
                if expand > 1:
                    conv_bn(p + '.up.0', wide, inp, 1)
                shapes[p + '.depth.weight'] = conv_shape(wide, 1, 3)
                shapes.update(norm_shapes(p + '.bn1', wide, 3))
                shapes[p + '.down.weight'] = conv_shape(out, wide, 1)
                shapes.update(norm_shapes(p + '.bn2', out))
                self.blocks.append((p, expand, stride if i == 0 else 1, inp == out))
                inp = out
        conv_bn('net.head', channels(1280), inp, 1)
        shapes.update(linear_shapes('net.fc', classes, channels(1280)))
        self.w, self.how = weights(shapes)
        self.given, self.x = made_input('x', mean, 1.7, batch, 3, size, size)
        self.y = torch.tensor(np.random.default_rng(5).integers(0, classes, batch))
        self.given['in.y'] = self.y.int()

    def logits(self, w, x, training):
        def conv_bn(path, x, stride, pad):
            return relu6(norm(w, path + '.bn', F.conv2d(x, w[path + '.conv.weight'], stride=stride, padding=pad), training))

        x = conv_bn('net.stem', x, 2, 1)
        for p, expand, stride, same in self.blocks:
            y = conv_bn(p + '.up.0', x, 1, 0) if expand > 1 else x
            depth = w[p + '.depth.weight']
            y = relu6(norm(w, p + '.bn1', F.conv2d(y, depth, stride=stride, padding=1, groups=len(depth)), training))
            y = norm(w, p + '.bn2', F.conv2d(y, w[p + '.down.weight']), training)
            x = x + y if stride == 1 and same else y
        return linear(w, 'net.fc', conv_bn('net.head', x, 1, 0).mean([2, 3]))

    def results(self, w):
        return {'classify.probs': self.logits(w, self.x, False).softmax(-1)}

    def step(self, w, updates, optimizers, step):
        loss = F.cross_entropy(self.logits(w, self.x, True), self.y)
        updates.step(optimizers[0], loss)
        return [loss]


class Gan(Model):
    """examples/gan.mdl with its own optimizers in the column of AdamW: two critic steps, then the generator through the new critic."""
    own = True

    def __init__(self, latent, width, critic_steps, batch, mean):
        self.latent, self.critic_steps, self.batch = latent, critic_steps, batch
        c = [latent, 8 * width, 4 * width, 2 * width, width]
        shapes = {}
        for i in range(4):
            shapes[f'G.body.{i}.conv.weight'] = ((c[i], c[i + 1], 4, 4), 0, (6 / (4 * c[i] if i else c[i])) ** 0.5)
            shapes.update(norm_shapes(f'G.body.{i}.norm', c[i + 1]))
        shapes['G.last.weight'] = ((width, 3, 4, 4), 0, (3 / (4 * width)) ** 0.5)
        for i in range(4):
            shapes[f'D.convs.{i}.weight'] = conv_shape(width << i, width << (i - 1) if i else 3, 4)
        for i in range(3):
            shapes.update(norm_shapes(f'D.norms.{i}', width << (i + 1)))
        shapes['D.score.weight'] = ((1, 8 * width, 4, 4), 0, 0.3 * (6 / (16 * 8 * width)) ** 0.5)
        self.w, self.how = weights(shapes)
        self.given, self.real = made_input('real', mean, 1, batch, 3, 64, 64)
        z, self.z = made_input('z', 0, 1.7, batch, latent)
        self.given |= z

    def generator(self, w, z, training):
        x = z[:, :, None, None]
        for i in range(4):
            x = F.conv_transpose2d(x, w[f'G.body.{i}.conv.weight'], stride=2 if i else 1, padding=1 if i else 0)
            x = relu(norm(w, f'G.body.{i}.norm', x, training))
        return F.conv_transpose2d(x, w['G.last.weight'], stride=2, padding=1).tanh()

    def critic(self, w, x, training):
        y = leaky_relu(F.conv2d(x, w['D.convs.0.weight'], stride=2, padding=1))
        for i in range(3):
            y = F.conv2d(y, w[f'D.convs.{i + 1}.weight'], stride=2, padding=1)
            y = leaky_relu(norm(w, f'D.norms.{i}', y, training))
        return F.conv2d(y, w['D.score.weight']).reshape(-1)

    def results(self, w):
        return {'generate.pictures': torch.tensor(sample(self.generator(w, self.z, False).numpy(), 256))}

    def optimizers(self, mode, w):
        parts = [[v for k, v in w.items() if k.startswith(p) and v.requires_grad] for p in 'GD']
        if mode == 'adamw':
            return [torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999), eps=1e-8) for p in parts]
        return [self.optimizer(mode, p) for p in parts]

    def step(self, w, updates, optimizers, step):
        def noise(draw):
            return torch.tensor(philox_normal('step', draw, step, self.batch * self.latent)).double().reshape(self.batch, self.latent)

        score = lambda x: self.critic(w, x, True)
        against = lambda scores, what: F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, what))
        for i in range(self.critic_steps):
            fake = self.generator(w, noise(i), True)
            d_loss = against(score(self.real), 1.0) + against(score(fake), 0.0)
            updates.step(optimizers[1], d_loss)
        g_loss = against(score(self.generator(w, noise(self.critic_steps), True)), 1.0)
        updates.step(optimizers[0], g_loss)
        return [d_loss, g_loss]


class Multitask(Model):
    """examples/multitask.mdl with faster rates; the trunk's stem and first stage are frozen, their statistics too."""
    own = True

    def __init__(self, people, batch, mean):
        self.trunk = ResNet(18, 256, 1, 32, prefix='trunk')
        shapes = self.trunk.shapes(256)
        for name, out in (('who', people), ('age', 1), ('smile', 1)):
            shapes.update(linear_shapes(name, out, 256))
        shapes['log_var'] = ((3,), 0, 0.3)
        self.w, self.how = weights(shapes)
        self.given, self.x = made_input('x', mean, 1.7, batch, 3, 112, 112)
        r = np.random.default_rng(17)
        self.id, self.years = torch.tensor(r.integers(0, people, batch)), torch.tensor(r.uniform(-2, 2, batch).astype(np.float32))
        self.smiling = torch.tensor(r.integers(0, 2, batch).astype(np.float32))
        self.given |= {'in.id': self.id.int(), 'in.years': self.years, 'in.smiling': self.smiling}

    def trains(self, path):
        return not path.startswith(('trunk.conv1.', 'trunk.bn1.', 'trunk.layer1.'))

    def heads(self, w, x, training, keep=None):
        h = self.trunk.logits(w, x, training, lambda path: not self.trains('trunk.' + path + '.'))
        h = relu(h)
        if keep is not None:
            h = h * keep / 0.8
        return linear(w, 'who', h), linear(w, 'age', h)[:, 0], linear(w, 'smile', h)[:, 0]

    def results(self, w):
        who, age, smile = self.heads(w, self.x, False)
        return {'predict.who': who.argmax(-1), 'predict.years': age, 'predict.smiling': smile.sigmoid()}

    def optimizers(self, mode, w):
        slow = [v for k, v in w.items() if v.requires_grad and k.startswith('trunk.') and not k.startswith('trunk.fc.')]
        fast = [v for v in w.values() if v.requires_grad and not any(v is s for s in slow)]
        if mode == 'adamw':
            return [torch.optim.AdamW([{'params': slow, 'lr': 1e-4}, {'params': fast, 'lr': 1e-3}], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)]
        return [self.optimizer(mode, slow + fast)]

    def step(self, w, updates, optimizers, step):
        groups = optimizers[0].param_groups
        if len(groups) == 2:
            groups[1]['lr'] = 1e-3 * (step + 1) / 10  # the warm-up of Cosine
        b = len(self.x)
        flip = torch.tensor(philox_uniform('step', 0, step, b) < 0.5)
        x = torch.where(flip[:, None, None, None], self.x.flip(3), self.x)
        keep = torch.tensor(philox_uniform('step', 1, step, b * 256) < np.float32(0.8)).reshape(b, 256)
        who, age, smile = self.heads(w, x, True, keep)
        each = torch.stack([F.cross_entropy(who, self.id), F.huber_loss(age, self.years.double()),
                            F.binary_cross_entropy_with_logits(smile, self.smiling.double())])
        loss = ((-w['log_var']).exp() * each + w['log_var']).sum()
        updates.step(optimizers[0], loss)
        return [loss]


programs = {
    'fashion_cnn': lambda: calm(lambda mean: FashionCnn(4, 468, 5, int(64 * mean))),
    'resnet': lambda: calm(lambda mean: ResNet(18, 10, 8, 32, mean)),
    'resnet18': lambda: ResNet(18, 1000, 2, 224, statistics=1e-4),
    'resnet50': lambda: ResNet(50, 1000, 1, 224, train=False),
    'resnet50_32': lambda: calm(lambda mean: ResNet(50, 10, 8, 32, mean, rate=0.001), tries=4),
    'mobilenet': lambda: calm(lambda mean: MobileNet(0.1, 64, 10, 8, mean)),
    'gan': lambda: calm(lambda mean: Gan(latent=8, width=4, critic_steps=2, batch=4, mean=mean)),
    'multitask': lambda: calm(lambda mean: Multitask(people=7, batch=4, mean=mean)),
}
for name in sys.argv[1:] or programs:
    expected(name, programs[name](), rows=4 if name.startswith('resnet') and name != 'resnet' else 16)
