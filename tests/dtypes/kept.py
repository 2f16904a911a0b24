"""Makes the numbers of kept.test: what ml_dtypes (0.5 and later, with NumPy) rounds, and numbers of 4 bits two in a byte.
Inputs are .npz; NAME.want is the bytes of the results, one behind the other. Run it in this folder: python3 kept.py"""
import ml_dtypes
import numpy as np

E4, E5, I4, U4 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.uint4
rng = np.random.default_rng(4)


def finite(d):
    v = np.arange(256, dtype=np.uint8).view(d).astype(np.float32)
    return np.unique(v[np.isfinite(v)])


def saturated(x, d, most, infinite):
    """What the language says: finite overflow becomes the largest number, an infinity stays where there is one."""
    y = np.clip(x, -most, most)
    return np.where(np.isinf(x) & infinite, x, y).astype(d).astype(np.float32)


def whole(x, low, high):
    """Truncated, saturated, NaN is 0."""
    return np.where(np.isnan(x), 0, np.clip(np.trunc(x), low, high)).astype(np.int8)


def packed(x, d):
    """Two in a byte, the first in the lower half; a row begins with a byte."""
    bits = x.astype(d).view(np.uint8) & 15
    if bits.shape[-1] % 2:
        bits = np.concatenate([bits, np.zeros(bits.shape[:-1] + (1,), np.uint8)], -1)
    return bits[..., 0::2] | bits[..., 1::2] << 4


def want(name, *results):
    with open(name + ".want", "wb") as f:
        for r in results:
            f.write(np.ascontiguousarray(r).tobytes())


x = [np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 448, 464, 465, 480, -1e38, 57344, 61439, 61440, 61441, -61440, 65536], np.float32)]
for d in E4, E5:
    v = finite(d)
    middle = ((v[1:].astype(np.float64) + v[:-1]) / 2).astype(np.float32)[::2 if d is E5 else 1]
    x += [v[::3], middle, np.nextafter(middle, np.float32(np.inf))[::2], np.nextafter(middle, np.float32(-np.inf))[1::2]]
x.append((np.arange(-40, 41) / 4).astype(np.float32))
x.append((rng.standard_normal(300) * np.exp2(rng.integers(-18, 17, 300))).astype(np.float32))
x = np.concatenate(x)
np.savez("narrow.npz", x=x)
want("narrow", saturated(x, E4, np.float32(448), False), saturated(x, E5, np.float32(57344), True), packed(whole(x, -8, 7), I4),
     packed(whole(x, 0, 15), U4))

codes = np.arange(256, dtype=np.uint8)
i, k = np.array([np.arange(15) - 8, rng.integers(-8, 8, 15)], np.int32), np.arange(16, dtype=np.int8)
x, y = codes.view(E4).astype(np.float32), codes.view(E5).astype(np.float32)
np.savez("widen.npz", a=x, b=y, i=packed(i, I4), k=packed(k, U4))
want("widen", np.where(np.isnan(x), np.float32(1000), x), np.where(np.isnan(y), np.float32(1000), y), i, k, k != 0)
