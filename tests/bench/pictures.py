"""pictures.py -- convolutional nets against eager PyTorch, in one run, interleaved, at 1 and 2 threads: ResNet-18 on one picture of
224 x 224, and a training step of fashion_cnn (batch 128, SGD with momentum). The same weights and inputs; outputs are compared before
anything is timed. Prints medians, ratios, and the share of the machine's floor: what the multiplications alone would take at the FMA peak
measured beside it.

    make bench            or: build/venv/bin/python tests/bench/pictures.py [rounds]

The rival at its best setting: channels-last tensors, inference_mode, foreach SGD. It does less in the step of fashion_cnn: no crop, no
flip, no cutout, and its pictures are floats already."""
import ctypes as C
import json
import os
import statistics
import sys

import numpy as np
import torch
import torch.nn.functional as F
from lib.common import OUT, compile_artifact, peak_gflops, pointer, session, timed
from torch import nn

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7


def save(path, tensors):
    """A safetensors file of f32."""
    header, at, data = {}, 0, []
    for name, t in tensors.items():
        a = t.detach().numpy().astype(np.float32)
        header[name] = {'dtype': 'F32', 'shape': list(a.shape), 'data_offsets': [at, at + a.nbytes]}
        at += a.nbytes
        data.append(np.ascontiguousarray(a).tobytes())
    text = json.dumps(header).encode()
    with open(path, 'wb') as f:
        f.write(len(text).to_bytes(8, 'little') + text + b''.join(data))


def conv(i, o, k, stride=1, pad=0):
    return nn.Conv2d(i, o, k, stride, pad, bias=False)


class Basic(nn.Module):
    def __init__(self, i, o, stride, project):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(i, o, 3, stride, 1), nn.BatchNorm2d(o), conv(o, o, 3, 1, 1), nn.BatchNorm2d(o)
        if project:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))
        self.project = project

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.project else x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2, 3), nn.BatchNorm2d(64)
        for n, (i, o) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
            setattr(self, f'layer{n}', nn.Sequential(Basic(i, o, 1 if n == 1 else 2, n > 1), Basic(o, o, 1, False)))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class Stage(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv(i, o, 3, 1, 1), nn.BatchNorm2d(o), conv(o, o, 3, 1, 1), nn.BatchNorm2d(o)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))), 2)


class Fashion(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages, self.fc = nn.ModuleList([Stage(1, 32), Stage(32, 64)]), nn.Linear(3136, 10)
        self.opt = torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, foreach=True)

    def forward(self, x):
        return self.fc(F.dropout(self.stages[1](self.stages[0](x)).flatten(1), 0.3, self.training))

    def step(self, x, y):
        loss = F.cross_entropy(self(x), y, label_smoothing=0.1)
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        self.opt.step()
        return loss.item()


def conv_flops(net, x):
    """Two for each multiplication of the convolutions and dense layers of a forward pass."""
    total, hooks = [0], []

    def count(m, _, y):
        k = m.weight[0].numel()
        total[0] += 2 * k * y.numel()
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            hooks.append(m.register_forward_hook(count))
    with torch.inference_mode():
        net(x)
    for h in hooks:
        h.remove()
    return total[0]


def renamed(net, prefixes):
    """Parameters and statistics by the program's names."""
    out = {}
    for k, v in net.state_dict().items():
        if k.endswith('num_batches_tracked'):
            continue
        for old, new in prefixes:
            if k.startswith(old):
                out[new + k[len(old):]] = v
                break
    return out


def checked(name, ours, theirs):
    worst = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert worst < 1e-4, f'{name}: outputs differ by {worst:.1e} of the largest'


def report(what, threads, ours, theirs, flops, peak):
    floor = f', {flops / (peak * 1e9 * threads) / ours:.0%} of the floor ({peak:.0f} GFLOP/s a core)' if peak else ''
    print(f'{threads} thread(s): {what}  ours {ours * 1e3:8.2f} ms  PyTorch {theirs * 1e3:8.2f} ms  ratio {theirs / ours:5.2f}{floor}', flush=True)


def compare(what, threads, ours, theirs, flops, peak):
    times = [(timed(ours), timed(theirs)) for _ in range(ROUNDS + 1)][1:]  # the first round warms up
    report(what, threads, statistics.median(t[0] for t in times), statistics.median(t[1] for t in times), flops, peak)


def calm(net):
    """Statistics as they are after training: not 0 and 1 everywhere."""
    torch.manual_seed(1)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)


def main():
    torch.manual_seed(1)
    peak, rng = peak_gflops(), np.random.default_rng(1)
    print(f'PyTorch {torch.__version__}; median of {ROUNDS} rounds, interleaved')

    net = ResNet18().eval().to(memory_format=torch.channels_last)
    calm(net)
    weights = os.path.join(OUT, 'resnet.safetensors')
    save(weights, renamed(net, [('', 'net.')]))
    lib = compile_artifact('examples/resnet.mdl', '-D', 'depth=18', '--entries=classify', '--load=' + weights)
    x = rng.standard_normal((1, 3, 224, 224)).astype(np.float32)
    tx, probs = torch.from_numpy(x).to(memory_format=torch.channels_last), np.zeros((1, 1000), np.float32)
    flops = conv_flops(net, tx)
    size = C.c_int64
    for threads in (1, 2):
        torch.set_num_threads(threads)
        s = session(lib, 'resnet', threads)

        def ours():
            assert lib.resnet_classify(s, size(1), size(224), size(224), pointer(x), pointer(probs)) == 0

        def theirs():
            with torch.inference_mode():
                return torch.softmax(net(tx), -1)
        ours()
        checked('resnet', probs, theirs().numpy())
        compare('ResNet-18, 224 x 224    ', threads, ours, theirs, flops, peak)

    lib = compile_artifact('examples/fashion_cnn.mdl', '--entries=evaluate,step')
    pixels, labels = rng.integers(0, 256, (128, 28, 28, 1)).astype(np.uint8), rng.integers(0, 10, 128).astype(np.int32)
    tx = torch.from_numpy((pixels.transpose(0, 3, 1, 2) / 255.0 - 0.2860) / 0.3530).float().contiguous(memory_format=torch.channels_last)
    ty, loss, acc = torch.from_numpy(labels).long(), np.zeros(1, np.float32), np.zeros(1, np.float32)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rival = Fashion().to(memory_format=torch.channels_last)
        calm(rival)
        weights = os.path.join(OUT, 'fashion_cnn.safetensors')
        save(weights, renamed(rival, [('stages.0.', 'net.0.'), ('stages.1.', 'net.1.'), ('fc.', 'net.4.')]))
        s = session(lib, 'fashion_cnn', threads, weights)
        assert lib.fashion_cnn_evaluate(s, size(128), pointer(pixels), pointer(labels), pointer(loss), pointer(acc)) == 0
        with torch.inference_mode():
            checked('fashion_cnn', loss, F.cross_entropy(rival.eval()(tx), ty).numpy())
        rival.train()

        def ours():
            assert lib.fashion_cnn_step(s, size(128), pointer(pixels), pointer(labels), pointer(loss), pointer(acc)) == 0
        compare('fashion_cnn, step of 128', threads, ours, lambda: rival.step(tx, ty), 3 * conv_flops(rival, tx) - 2 * 128 * 784 * 32 * 9, peak)


main()
