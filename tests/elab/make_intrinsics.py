"""make_intrinsics.py MODELC > intrinsics.mdl -- intrinsics that are formulas, and gradients of orders: inputs, and values and gradients by PyTorch and NumPy.

Every entry compares what modelc computes with what stands in the program, and answers whether it is within 1e-5 (absolute, values are about 1).
"""
import json
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.default_rng(1)


def numbers(*shape):
    return np.round(rng.uniform(-2, 2, shape), 3)


def text(a):
    """As a list of the language, seven digits."""
    return "[" + ", ".join(map(text, a)) + "]" if np.ndim(a) else f"{a:.7g}"


def case(name, inputs, expression, function, grad=True):
    """expression: of the language, over the names of inputs; function: the same by torch. Weights make the gradient's loss."""
    xs = {k: torch.tensor(v, dtype=torch.float64, requires_grad=grad) for k, v in inputs.items()}
    y = function(**xs)
    lines = [f"    let {k} = tensor({text(v)}, f32) * one;" for k, v in inputs.items()]
    lines.append(f"    let r = {expression};")
    checks = [f"amax(abs(r - tensor({text(y.detach().numpy())}, f32))) < 1e-5"]
    if grad:
        w = torch.tensor(numbers(*y.shape), dtype=torch.float64)
        lines.append(f"    let loss = sum(r * tensor({text(w.numpy())}, f32));")
        for (k, x), d in zip(xs.items(), torch.autograd.grad((y * w).sum(), list(xs.values()))):
            checks.append(f"amax(abs(grad(loss, {k}) - tensor({text(d.numpy())}, f32))) < 1e-5")
    print(f"\nentry {name}(one: f32) -> (good: bool) {{\n" + "\n".join(lines))
    print("    return " + " && ".join(checks) + ";\n}")


print("// Written by make_intrinsics.py: values and gradients by PyTorch.")
for n, (h, w) in enumerate([(7, 5), (2, 3), (3, 8), (1, 1), (4, 3)]):
    x = {"x": numbers(1, 2, 4, 3)}
    case(f"nearest{n}", x, f"interpolate(x, size = [{h}, {w}])", lambda x: F.interpolate(x, size=(h, w), mode="nearest"))
    for corners in (False, True):
        option = ", align_corners = true" if corners else ""
        case(f"bilinear{n}{'c' if corners else ''}", x, f'interpolate(x, size = [{h}, {w}], mode = "bilinear"{option})',
             lambda x: F.interpolate(x, size=(h, w), mode="bilinear", align_corners=corners))
case("scaled", {"x": numbers(1, 1, 5, 4)}, "interpolate(x, scale = [1.5, 2])",
     lambda x: F.interpolate(x, size=(7, 8), mode="nearest"))
case("one_row", {"x": numbers(1, 2, 1, 3)}, 'interpolate(x, size = 4, mode = "bilinear")',
     lambda x: F.interpolate(x, size=(4, 4), mode="bilinear"))
for axis in (0, 1, -1):
    x = numbers(3, 4, 2)
    x[1, 1] = 0
    x[0, 2, 0] = x[2, 1, 1] = x[1, 3, 1] = 0
    case(f"cumprod{axis % 3}", {"x": x}, f"cumprod(x, {axis})", lambda x: torch.cumprod(x, axis))
case("cumprod_row", {"x": np.array([2.0, 0, 3, 0, 1])}, "cumprod(x, 0)", lambda x: torch.cumprod(x, 0))
case("cumsum", {"x": numbers(3, 4, 2)}, "cumsum(x, 1)", lambda x: torch.cumsum(x, 1))


def cropped(x, top, left, h, w):
    return torch.stack([x[i, ..., t:t + h, l:l + w] for i, (t, l) in enumerate(zip(top, left))])


case("crop_each", {"x": numbers(3, 2, 5, 4)}, "crop(x, tensor([0, 3, 1], i32), tensor([2, 0, 1], i64), 2, 2)",
     lambda x: cropped(x, [0, 3, 1], [2, 0, 1], 2, 2))
case("crop_scalar", {"x": numbers(2, 5, 4)}, "crop(x, cast(one, i32) + 2, 1, 2, 3)", lambda x: cropped(x, [3, 3], [1, 1], 2, 3))
case("crop_mixed", {"x": numbers(2, 1, 1, 5, 4)}, "crop(x, 2, tensor([1, 0], u8), 3, 1)", lambda x: cropped(x, [2, 2], [1, 0], 3, 1))
case("sort_inner", {"x": numbers(3, 4, 2)}, "sort(x, axis = 1)", lambda x: torch.sort(x, 1)[0])
case("sort_first", {"x": numbers(4, 1, 2)}, "sort(x, axis = 0, descending = true)", lambda x: torch.sort(x, 0, descending=True)[0])
case("sort_last", {"x": numbers(2, 5)}, "sort(x)", lambda x: torch.sort(x)[0])
case("top", {"x": numbers(2, 3, 5)}, "best(x)", lambda x: torch.topk(x, 2)[0])
case("gathered", {"x": numbers(3, 4), "v": numbers(3, 2)}, "scatter_add(x, tensor([[0, 1], [3, 3], [2, 0]], i32), v, 1)",
     lambda x, v: x.scatter_add(1, torch.tensor([[0, 1], [3, 3], [2, 0]]), v))
print("fn best[b, t, n](x: f32[b, t, n]) {\n    let (values, ids) = topk(x, 2);\n    return values;\n}")

y, x = np.array([0, 1, -1, 2, -3, 1e-3, 5, -0.2, 0, 1e30, 2e-30, 3]), np.array([2, 0, 0, -1, -1, 1, 1, -3, -1, 1e30, -1e-30, 3])
case("angle", {"y": y[:8], "x": x[:8]}, "atan2(y, x)", lambda y, x: torch.atan2(y, x))
case("angles", {"y": numbers(2, 1, 3), "x": numbers(4, 2, 1, 3)}, "atan2(y, x)", lambda y, x: torch.atan2(y, x))
case("angle_of_number", {"y": numbers(5)}, "atan2(y, 1.0)", lambda y: torch.atan(y))
case("angle_far", {"y": y, "x": x}, "atan2(y, x)", lambda y, x: torch.atan2(y, x), grad=False)
inf, nan = float("inf"), float("nan")
pairs = [(0.0, 0.0), (-0.0, 0.0), (0.0, -0.0), (-0.0, -0.0), (inf, 1), (1, inf), (-1, -inf), (inf, inf), (-inf, -inf), (inf, -inf), (-0.0, 1), (-0.0, -1)]
value = lambda v: "inf" if v == inf else "-inf" if v == -inf else repr(float(v))
print("\nentry corners(one: f32) -> (good: bool, origin: bool) {")
for k in (0, 1):
    print(f"    let {'yx'[k]} = tensor([{', '.join(value(p[k]) for p in pairs)}], f32) * one;")
print(f"    let nothing = zeros(f32[3]) * one;\n    let d = grad(sum(atan2(nothing, nothing)), nothing);")
print(f"    return (all(abs(atan2(y, x) - tensor({text(np.arctan2(*zip(*pairs)))}, f32)) < 1e-6), all(d == 0.0));\n}}")

print("""
entry run_time(k: f32, h: dim in 1..9) -> (good: bool) {
    let x = k * sin(cast(iota(i32[2, 1, h, 3], axis = 2) * 3 + iota(i32[2, 1, h, 3], axis = 3), f32));
    let back = interpolate(interpolate(x, scale = 2), size = [h, 3]);        // the same rows
    let half = interpolate(interpolate(x, scale = [2, 1]), scale = [0.5, 1]);
    let c    = crop(x, tensor([0, 0], i32), cast(k, i32), h, 1);
    let p    = cumprod(abs(x), 2)[:, :, -1] - exp(sum(log(abs(x)), 2));
    return amax(abs(back - x)) == 0.0 && amax(abs(half - x)) == 0.0 && amax(abs(c - x[:, :, :, 1:2])) == 0.0 && amax(abs(p)) < 1e-5;
}""")


# The gradient of every other intrinsic that has one.
one_x = {"x": numbers(2, 3, 4)}
for name, expression, function in [
    ("exp", "exp(x)", torch.exp), ("expm1", "expm1(x)", torch.expm1), ("sin", "sin(x)", torch.sin), ("cos", "cos(x)", torch.cos),
    ("tanh", "tanh(x)", torch.tanh), ("erf", "erf(x)", torch.erf), ("sigmoid", "sigmoid(x)", torch.sigmoid), ("abs", "abs(x)", torch.abs),
    ("steps", "sign(x) + floor(x) + ceil(x) + round(x) + x", lambda x: torch.sign(x) + torch.floor(x) + torch.ceil(x) + torch.round(x) + x),
    ("sums", "sum(x, 1)", lambda x: x.sum(1)), ("mean", "mean(x, [0, 2])", lambda x: x.mean((0, 2))), ("mean_all", "mean(x)", lambda x: x.mean()),
    ("var", "var(x, 1, keep = true)", lambda x: x.var(1, correction=0, keepdim=True)),
    ("amax", "amax(x, 0)", lambda x: x.amax(0)), ("amin", "amin(x, -1)", lambda x: x.amin(-1)),
    ("logsumexp", "logsumexp(x, [1, 2])", lambda x: x.logsumexp((1, 2))), ("clamped", "clamp(x, -1.0, 0.5)", lambda x: x.clamp(-1, 0.5)),
    ("extremes", "max(x, 0.5) * min(x, x * x)", lambda x: x.clamp(min=0.5) * torch.minimum(x, x * x)),
    ("chosen", "where(x > 0.5, x * x, 3.0 * x)", lambda x: torch.where(x > 0.5, x * x, 3 * x)),
    ("reshaped", "reshape(x, [4, -1])", lambda x: x.reshape(4, 6)), ("flattened", "flatten(x)", lambda x: x.flatten(1)),
    ("more_axes", "unsqueeze(x, 1) * expand(x[:, :1], [2, 2, 3, 4])", lambda x: x[:, None] * x[:, :1].expand(2, 2, 3, 4)),
    ("turned", "transpose(x, 0, 2) + rev(x, 1)[0, 0, 1]", lambda x: x.transpose(0, 2) + x.flip(1)[0, 0, 1]),
    ("joined", "concat([x, 2.0 * x, x * x], 1)", lambda x: torch.cat([x, 2 * x, x * x], 1)),
    ("stacked", "stack([x, x * x], -1)", lambda x: torch.stack([x, x * x], -1)),
    ("padded", "pad2d(x, 2) + pad(pad(x, 1, 1, 3, value = 5.0), 2, 2, 2)", lambda x: F.pad(x, (2, 2, 2, 2)) + F.pad(F.pad(x, (0, 0, 1, 3), value=5.0), (2, 2))),
    ("repeated", "repeat(x, 3, 1)", lambda x: x.repeat_interleave(3, 1)), ("diagonals", "diagonal(x[:, :, 1:])", lambda x: x[:, :, 1:].diagonal(0, 1, 2)),
    ("arranged", 'rearrange(x, "a b (c d) -> c a (d b)", c = 2)', lambda x: x.reshape(2, 3, 2, 2).permute(2, 0, 3, 1).reshape(2, 2, 6)),
    ("einsums", 'einsum("a b c, d b c, a e c -> e d", x, x, x)', lambda x: torch.einsum("abc,dbc,aec->ed", x, x, x)),
    ("taken", "take(x, tensor([[0, 1, 2], [3, 3, 0]], i32))", lambda x: x.gather(2, torch.tensor([[0, 1, 2], [3, 3, 0]])[..., None])[..., 0]),
    ("gathers", "gather(x, tensor([[[2, 0, 1, 1]], [[0, 0, 2, 1]]], i32), 1)", lambda x: x.gather(1, torch.tensor([[[2, 0, 1, 1]], [[0, 0, 2, 1]]]))),
    ("rows", "x[:, tensor([[2, 0], [2, 1]], i32), 1:]", lambda x: x[:, torch.tensor([[2, 0], [2, 1]]), 1:]),
    ("powers", "x ** 3 + x ** 2.0 + x % 0.7", lambda x: x ** 3 + x ** 2 + torch.remainder(x, 0.7)),
    ("products", "(x @ x.T) @ x[:, :, 0].T", lambda x: (x @ x.mT) @ x[:, :, 0].T),
    ("halves", "half(x)", lambda x: x.split(2, -1)[0] * x.split(2, -1)[1]),
    ("stopped", "x * stop_gradient(x)", lambda x: x * x.detach()),
    ("second", "grad(sum(tanh(x) * x), x)", lambda x: torch.autograd.grad((torch.tanh(x) * x).sum(), x, create_graph=True)[0]),
]:
    case("d_" + name, one_x, expression, function)
print("fn half[a, b](x: f32[a, b, 4]) {\n    let (first, second) = split(x, 2, axis = -1);\n    return first * second;\n}")
positive = {"x": np.abs(numbers(2, 3)) + 0.1, "y": np.abs(numbers(2, 3)) + 0.1}
case("d_positive", positive, "log(x) + log1p(y) * sqrt(x) - rsqrt(y) / x + x ** y", lambda x, y: torch.log(x) + torch.log1p(y) * x.sqrt() - y.rsqrt() / x + x ** y)
picture, taps = {"x": numbers(1, 4, 5, 4), "w": numbers(4, 2, 3, 2)}, {"x": numbers(2, 2, 5), "w": numbers(2, 3, 2)}
case("d_conv2d", picture, "conv2d(x, w, stride = [2, 1], pad = 1, groups = 2)", lambda x, w: F.conv2d(x, w, stride=(2, 1), padding=1, groups=2))
case("d_conv_transpose2d", picture, "conv_transpose2d(x, w, stride = 2, pad = 1)", lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1))
case("d_conv1d", {"x": numbers(1, 2, 6), "w": numbers(3, 2, 2)}, "conv1d(x, w, dilation = 2)", lambda x, w: F.conv1d(x, w, dilation=2))
case("d_conv_transpose1d", taps, "conv_transpose1d(x, w, stride = 2, out_pad = 1)", lambda x, w: F.conv_transpose1d(x, w, stride=2, output_padding=1))
case("d_max_pool2d", {"x": picture["x"]}, "max_pool2d(x, 3, stride = 2, pad = 1)", lambda x: F.max_pool2d(x, 3, stride=2, padding=1))
case("d_avg_pool2d", {"x": picture["x"]}, "avg_pool2d(x, 2)", lambda x: F.avg_pool2d(x, 2))
case("d_max_pool1d", {"x": taps["x"]}, "max_pool1d(x, 2)", lambda x: F.max_pool1d(x, 2))
case("d_avg_pool1d", {"x": taps["x"]}, "avg_pool1d(x, 3, stride = 1, pad = 1)", lambda x: F.avg_pool1d(x, 3, stride=1, padding=1))

shapes = {"wide": (3, 5), "tall": (5, 3), "square": (4, 4), "deep": (3, 2, 2), "line": (1, 4)}
with tempfile.NamedTemporaryFile("w", suffix=".mdl") as f:
    for name, s in shapes.items():
        f.write(f"param {name}: f32{list(s)} = normal();\nentry get_{name}() -> (y: f32{list(s)}) {{ return {name}; }}\n")
    f.flush()
    for name, s in shapes.items():
        out = subprocess.run([sys.argv[1], "run", "--interpret", f.name, f"get_{name}"], capture_output=True, text=True, check=True).stdout
        a = np.array(json.loads(re.search(r"= (\[.*\])", out).group(1))).reshape(s[0], -1)
        q, r = np.linalg.qr(a if a.shape[0] >= a.shape[1] else a.T)
        q = q * np.sign(np.diag(r))
        q = (q if a.shape[0] >= a.shape[1] else q.T).reshape(s)
        print(f"\nparam {name}: f32{list(s)} = orthogonal();")
        print(f"entry orthogonal_{name}(one: f32) -> (good: bool) {{\n    return amax(abs({name} - one * tensor({text(q)}, f32))) < 1e-5;\n}}")
print("""
param scaled_up: f32[20, 30] = orthogonal(gain = 2.0);
entry orthogonal_gain(one: f32) -> (good: bool) {
    let q = scaled_up @ scaled_up.T;
    return amax(abs(q - 4.0 * cast(iota(i32[20, 20], axis = 0) == iota(i32[20, 20], axis = 1), f32) * one)) < 1e-5;
}""")
