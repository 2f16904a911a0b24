"""Ranges of the samples that calibrate.mdl makes, found another way than runtime/mdlrun_observe.c: percentiles of sorted values, the
best of many ranges for real rounding to 256 codes, TensorRT's loop over a histogram of 2,048 even bins. The numbers in
calibrate.test are what this prints."""
import numpy as np

k = np.arange(16000 * 64)
u = (k % 1000 * 1024 + k // 1000 + 0.5) / 512000 - 1
x = np.where(u > 0, -np.log(1 - np.abs(u)), 0.75 * np.log(1 - np.abs(u)))
print("percentile", np.percentile(x, 1), np.percentile(x, 99))


def error(lo, hi):
    step = (hi - lo) / 255
    zero = np.round(-lo / step)
    codes = np.clip(np.round(x / step) + zero, 0, 255)
    return np.square((codes - zero) * step - x).mean()


ranges = [(x.min() * i / 50, x.max() * j / 50) for i in range(20, 51) for j in range(20, 51)]
print("mse", min((error(*r), r) for r in ranges)[1])

counts, _ = np.histogram(np.abs(x[x != 0]), 2048, (0, np.abs(x).max()))
best = (np.inf, 0)
for n in range(128, 2049, 16):
    p = counts[:n].astype(float)
    q = np.zeros(n)
    for c in range(128):
        part = slice(c * n // 128, (c + 1) * n // 128)
        used = p[part] > 0
        if used.any():
            q[part] = np.where(used, p[part].sum() / used.sum(), 0)
    p[-1] += counts[n:].sum()
    p, q = p / p.sum(), np.maximum(q / q.sum(), 1e-9)
    best = min(best, ((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum(), n))
print("entropy", max(x.min(), -np.abs(x).max() * best[1] / 2048), np.abs(x).max() * best[1] / 2048)
