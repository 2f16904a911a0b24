"""GPTQ as the paper writes it, for the weight and the samples of gptq.mdl: what each code stands for. gptq.test compares with what
passes/quantize_gptq.c makes of them. NumPy's inverse and Cholesky, no blocks; scales and zero points by the formulas of the language's
reference."""
import sys
import numpy as np

r, c = np.mgrid[0:40, 0:12].astype(float)
x = np.sin(0.37 * r) * np.cos(0.5 * c) + 0.5 * np.cos(1.1 * r) * (c - 5) / 6 + 0.2 * np.sin(r * (c + 1))
o, i = np.mgrid[0:4, 0:12].astype(float)
w = np.sin(1.7 * o + 0.9 * i ** 2 + 0.3)


def steps(row, kind):
    if kind == "int8":
        return np.abs(row).max() / 127, 0, -127, 127
    if kind == "int4":
        return np.float16((row.max() if row.max() > -row.min() else row.min()) / -8), 8, 0, 15
    low, high = min(row.min(), 0), max(row.max(), 0)
    scale = np.float16((high - low) / 15)
    return scale, np.clip(np.round(-low / float(scale)), 0, 15), 0, 15


def gptq(w, kind, group):
    h = x.T @ x
    order = np.argsort(-np.diag(h), kind="stable")
    h = h[np.ix_(order, order)] + 0.01 * np.mean(np.diag(h)) * np.eye(12)
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    v = np.zeros_like(w)
    for row in range(4):
        left = w[row, order].copy()
        for k, column in enumerate(order):
            first = column // group * group
            whole = np.zeros(group)
            whole[:len(w[row, first:first + group])] = w[row, first:first + group]
            scale, zero, low, high = steps(whole, kind)
            scale = float(scale)
            code = np.clip(np.round(left[k] / scale) + zero, low, high)
            v[row, column] = (code - zero) * scale
            left[k + 1:] -= (left[k] - v[row, column]) / u[k, k] * u[k, k + 1:]
    return v


v = gptq(w, sys.argv[1], int(sys.argv[2]))
print("%.2g" % np.square(x @ (w - v).T).sum())
print(" ".join("%.3f" % (round(value, 3) + 0) for value in v.T.ravel()))
