"""mdl.py -- calls a library of modelc from Python: ctypes and NumPy, no package. Copy it beside your program.

    import mdl, numpy as np
    line = mdl.Model("line.so")
    print(line)                                         # its entries
    s = line.session(threads=2, seed=1)
    s.step(x=x, y=y)                                    # {"loss": 0.25}
    y = s.predict(x=x)["y"]                             # a new array, or the one that is given: s.predict(x=x, out={"y": y})
    s["net.weight"]; s["net.weight"] = w; s.save("line.safetensors"); s.load("line.safetensors")

Nothing is copied: arrays go in where they lie, with their strides, and results are written where they belong. Whatever knows DLPack (a
PyTorch tensor, a JAX array) may stand for an array, as an input or in `out`; one on a device goes into sessions on that device. With dlpack=True
results are made where the session computes, and go on from there uncopied, into another call or another package:

    s = line.session(device="cuda:0")
    r = s.predict(x=torch.ones(8, 1, device="cuda"), dlpack=True)["y"]
    y = torch.from_dlpack(r)

The structs below are those of mdl.h."""
import ctypes as c

import numpy as np


class DType(c.Structure):
    _fields_ = [("code", c.c_uint8), ("bits", c.c_uint8), ("lanes", c.c_uint16)]


class Device(c.Structure):
    _fields_ = [("type", c.c_int32), ("id", c.c_int32)]


class Tensor(c.Structure):  # DLPack's DLTensor
    _fields_ = [("data", c.c_void_p), ("device", Device), ("rank", c.c_int32), ("dtype", DType), ("shape", c.POINTER(c.c_int64)),
                ("strides", c.POINTER(c.c_int64)), ("offset", c.c_uint64)]


class Managed(c.Structure):  # DLPack's DLManagedTensor
    pass


_Release = c.CFUNCTYPE(None, c.POINTER(Managed))
Managed._fields_ = [("tensor", Tensor), ("context", c.c_void_p), ("release", _Release)]


class Options(c.Structure):
    _fields_ = [("size", c.c_uint32), ("flags", c.c_uint32), ("threads", c.c_int32), ("device", Device), ("seed", c.c_uint64),
                ("weights", c.c_char_p), ("memory", c.c_void_p), ("memory_bytes", c.c_size_t), ("parallel", c.c_void_p),
                ("pool", c.c_void_p), ("log", c.c_void_p), ("log_context", c.c_void_p)]


class Value(c.Structure):
    _fields_ = [("name", c.c_char_p), ("kind", c.c_int32), ("dtype", DType), ("rank", c.c_int32), ("dims", c.POINTER(c.c_int64)),
                ("shape", c.c_char_p)]


class Size(c.Structure):
    _fields_ = [("name", c.c_char_p), ("low", c.c_int64), ("high", c.c_int64), ("entry", c.c_int32)]


class Entry(c.Structure):
    _fields_ = [("name", c.c_char_p), ("train", c.c_int32), ("n_sizes", c.c_int32), ("n_inputs", c.c_int32), ("n_outputs", c.c_int32),
                ("sizes", c.POINTER(c.c_int32)), ("inputs", c.POINTER(Value)), ("outputs", c.POINTER(Value)), ("source", c.c_char_p)]


_session = c.c_void_p
_sizes = c.POINTER(c.c_int64)


class Table(c.Structure):  # mdl_model
    _fields_ = [("abi", c.c_uint32), ("size", c.c_uint32), ("name", c.c_char_p), ("version", c.c_char_p), ("compiler", c.c_char_p),
                ("target", c.c_char_p), ("source_hash", c.c_uint8 * 32), ("interface_hash", c.c_uint8 * 32),
                ("weights_hash", c.c_uint8 * 32), ("n_entries", c.c_int32), ("n_values", c.c_int32), ("n_sizes", c.c_int32),
                ("entries", c.POINTER(Entry)), ("values", c.POINTER(Value)), ("sizes", c.POINTER(Size)), ("run", c.c_char_p),
                ("open", c.CFUNCTYPE(c.c_int, c.POINTER(_session), c.POINTER(Options))),
                ("close", c.CFUNCTYPE(None, _session)),
                ("call", c.CFUNCTYPE(c.c_int, _session, c.c_int32, _sizes, c.POINTER(Tensor), c.POINTER(Tensor))),
                ("shape", c.CFUNCTYPE(c.c_int, c.POINTER(Value), _sizes, _sizes)),
                ("bytes", c.CFUNCTYPE(c.c_int64, c.c_int32, _sizes)),
                ("load", c.CFUNCTYPE(c.c_int, _session, c.c_char_p)),
                ("save", c.CFUNCTYPE(c.c_int, _session, c.c_char_p, c.c_int32)),
                ("get", c.CFUNCTYPE(c.c_int, _session, c.c_char_p, c.POINTER(Tensor))),
                ("set", c.CFUNCTYPE(c.c_int, _session, c.c_char_p, c.POINTER(Tensor))),
                ("reset", c.CFUNCTYPE(c.c_int, _session)),
                ("seed", c.CFUNCTYPE(c.c_int, _session, c.c_uint64)),
                ("error", c.CFUNCTYPE(c.c_char_p, _session)), ("stats", c.c_void_p), ("selftest", c.c_void_p), ("note", c.c_void_p),
                ("flops", c.c_void_p), ("work", c.c_void_p),
                ("call_managed", c.CFUNCTYPE(c.c_int, _session, c.c_int32, _sizes, c.POINTER(Tensor), c.POINTER(c.POINTER(Managed))))]


class Error(Exception):
    """What the library said."""


def _numpy_type(d):
    kinds = {0: "int", 1: "uint", 2: "float", 6: "bool"}
    if d.code not in kinds:
        raise TypeError("NumPy has no type for this one (bfloat, 8-bit floats)")
    return np.dtype("bool" if d.code == 6 else f"{kinds[d.code]}{d.bits}")


_python = c.pythonapi
_python.PyCapsule_New.restype, _python.PyCapsule_New.argtypes = c.py_object, [c.c_void_p, c.c_char_p, c.c_void_p]
_python.PyCapsule_GetPointer.restype, _python.PyCapsule_GetPointer.argtypes = c.c_void_p, [c.py_object, c.c_char_p]


@c.PYFUNCTYPE(None, c.c_void_p)
def _capsule_end(capsule):
    """Who takes what is in a capsule renames it; what nobody took is released."""
    if c.PYFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p)(("PyCapsule_IsValid", _python))(capsule, b"dltensor"):
        pointer = c.PYFUNCTYPE(c.c_void_p, c.c_void_p, c.c_char_p)(("PyCapsule_GetPointer", _python))(capsule, b"dltensor")
        managed = c.cast(pointer, c.POINTER(Managed))
        managed.contents.release(managed)


class Lent:
    """A tensor that belongs to `owner`, where it lies."""

    def __init__(self, tensor, owner):
        self.tensor, self._owner, self.ndim = tensor, owner, tensor.rank
        self.shape = tuple(tensor.shape[:tensor.rank])


class Result(Lent):
    """A result in memory of its own. DLPack's functions give it away, once: torch.from_dlpack(r)."""

    def __init__(self, managed):
        super().__init__(managed.contents.tensor, None)
        self._managed = managed

    def __del__(self):
        if self._managed:
            self._managed.contents.release(self._managed)

    def __dlpack_device__(self):
        return self.tensor.device.type, self.tensor.device.id

    def __dlpack__(self, stream=None, **_):  # it is complete: no stream has to wait
        if not self._managed:
            raise BufferError("this result was given away")
        managed, self._managed = self._managed, None
        return _python.PyCapsule_New(c.cast(managed, c.c_void_p), b"dltensor", c.cast(_capsule_end, c.c_void_p))


def _lent(value):
    """A result, or what lies on a device and knows DLPack; None: another thing."""
    if isinstance(value, Result):
        if not value._managed:
            raise BufferError("this result was given away")
        return value
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__") or value.__dlpack_device__()[0] != 2:
        return None
    capsule = value.__dlpack__()  # releases it when it goes
    managed = c.cast(_python.PyCapsule_GetPointer(capsule, b"dltensor"), c.POINTER(Managed))
    return Lent(managed.contents.tensor, capsule)


def _array(value, dtype):
    """Where it lies: an array as it is, DLPack's through it, numbers and lists as a new array."""
    lent = _lent(value)
    if lent:
        return lent
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    if not isinstance(value, np.ndarray):
        value = np.asarray(value, dtype)
    if value.dtype != dtype:
        raise TypeError(f"{value.dtype} is given where {dtype} is wanted: convert it, .astype({str(dtype)!r})")
    return value


def _tensor(array, dtype):
    """A description of the array's memory; it must outlive the call."""
    if isinstance(array, Lent):
        return array.tensor
    n = array.ndim
    if any(s % array.itemsize for s in array.strides):
        raise TypeError("the strides of the array are no whole number of elements")
    t = Tensor(array.__array_interface__["data"][0], Device(1, 0), n, dtype, (c.c_int64 * n)(*array.shape),
               (c.c_int64 * n)(*(s // array.itemsize for s in array.strides)), 0)
    return t


class Model:
    def __init__(self, path):
        self._library = c.CDLL(path if "/" in path else "./" + path)
        table = self._library.mdl_model_v1
        table.restype = c.POINTER(Table)
        self.table = table().contents
        if self.table.abi != 1:
            raise Error(f"{path} has the ABI {self.table.abi}; this is written for 1")
        self.name = self.table.name.decode()
        self.entries = {e.name.decode(): (i, e) for i, e in enumerate(self.table.entries[:self.table.n_entries])}
        self.values = [v.name.decode() for v in self.table.values[:self.table.n_values]]

    def __str__(self):
        def said(values, n):
            return ", ".join(f"{v.name.decode()}: {v.shape.decode()}" for v in values[:n])
        return "\n".join(f"{name}({said(e.inputs, e.n_inputs)}) -> ({said(e.outputs, e.n_outputs)})" for name, (_, e) in self.entries.items())

    def session(self, threads=0, seed=0, weights=None, device=None):
        """device: "cpu", "cuda:1"; None: the best there is."""
        return Session(self, threads, seed, weights, device)


class Session:
    def __init__(self, model, threads, seed, weights, device):
        self.model, self._table, self._s = model, model.table, _session()
        kind, _, number = (device or "").partition(":")
        where = Device({"": 0, "cpu": 1, "cuda": 2}[kind], int(number or 0))
        options = Options(size=c.sizeof(Options), threads=threads, device=where, seed=seed, weights=weights.encode() if weights else None)
        if self._table.open(c.byref(self._s), c.byref(options)):
            raise Error(self._table.error(None).decode())

    def __del__(self):
        if getattr(self, "_s", None):
            self._table.close(self._s)

    def _check(self, code):
        if code:
            raise Error(self._table.error(self._s).decode())

    def _size(self, value, axis, place):
        """The entry's size that an axis is, by its place among the entry's; None: another number or a formula."""
        named = -2 - value.dims[axis]
        return place.get(named) if named >= 0 else None

    def call(self, entry, out=None, dlpack=False, **given):
        index, e = self.model.entries[entry]
        place = {e.sizes[i]: i for i in range(e.n_sizes)}
        sizes = (c.c_int64 * max(e.n_sizes, 1))(*[-1] * e.n_sizes)
        for number, i in place.items():
            name = self._table.sizes[number].name.decode()
            if name in given:
                sizes[i] = given.pop(name)
        arrays = []
        for v in e.inputs[:e.n_inputs]:
            if v.name.decode() not in given:
                raise TypeError(f"{entry} wants {v.name.decode()}: {v.shape.decode()}")
            arrays.append(_array(given.pop(v.name.decode()), _numpy_type(v.dtype)))
            for axis in range(min(v.rank, arrays[-1].ndim)):
                i = self._size(v, axis, place)
                if i is not None and sizes[i] < 0:
                    sizes[i] = arrays[-1].shape[axis]
        if given:
            raise TypeError(f"{entry} has no {', '.join(given)}")
        inputs = (Tensor * max(e.n_inputs, 1))(*(_tensor(a, v.dtype) for a, v in zip(arrays, e.inputs[:e.n_inputs])))
        if dlpack and self._table.size == c.sizeof(Table):
            managed = (c.POINTER(Managed) * max(e.n_outputs, 1))()
            self._check(self._table.call_managed(self._s, index, sizes, inputs, managed))
            return {v.name.decode(): Result(managed[i]) for i, v in enumerate(e.outputs[:e.n_outputs])}
        results = {v.name.decode(): self._result(v, sizes, (out or {}).get(v.name.decode())) for v in e.outputs[:e.n_outputs]}
        outputs = (Tensor * max(e.n_outputs, 1))(*(_tensor(a, v.dtype) for a, v in zip(results.values(), e.outputs[:e.n_outputs])))
        self._check(self._table.call(self._s, index, sizes, inputs, outputs))
        return {name: a.item() if a.ndim == 0 and not dlpack and not (out and name in out) else a for name, a in results.items()}

    def _result(self, v, sizes, given):
        dtype = _numpy_type(v.dtype)
        if given is not None:
            return _array(given, dtype)
        shape = (c.c_int64 * max(v.rank, 1))()
        self._check(self._table.shape(c.byref(v), sizes, shape))
        return np.empty(tuple(shape[:v.rank]), dtype)

    def __getattr__(self, entry):
        if entry.startswith("_") or entry not in self.model.entries:
            raise AttributeError(entry)
        return lambda **given: self.call(entry, **given)

    def __getitem__(self, path):
        v = self._table.values[self.model.values.index(path)]
        a = np.empty(tuple(v.dims[:v.rank]), _numpy_type(v.dtype))
        self._check(self._table.get(self._s, path.encode(), c.byref(_tensor(a, v.dtype))))
        return a

    def __setitem__(self, path, value):
        v = self._table.values[self.model.values.index(path)]
        a = _array(value, _numpy_type(v.dtype))
        self._check(self._table.set(self._s, path.encode(), c.byref(_tensor(a, v.dtype))))

    def load(self, path):
        self._check(self._table.load(self._s, path.encode()))

    def save(self, path, optimizer=True):
        self._check(self._table.save(self._s, path.encode(), optimizer))

    def reset(self):
        self._check(self._table.reset(self._s))

    def seed(self, seed):
        self._check(self._table.seed(self._s, seed))
