"""common.py -- what the bench's processes share: folders, an artifact through its C functions, the machine's limits."""
import ctypes as C
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get('BUILD', 'build'))
OUT = os.path.join(BUILD, 'bench')
os.makedirs(OUT, exist_ok=True)


class Options(C.Structure):
    """mdl_options of runtime/mdl.h."""
    _fields_ = [('size', C.c_uint32), ('flags', C.c_uint32), ('threads', C.c_int32), ('device_type', C.c_int32), ('device_id', C.c_int32), ('seed', C.c_uint64),
                ('weights', C.c_char_p), ('memory', C.c_void_p), ('memory_bytes', C.c_size_t), ('parallel', C.c_void_p), ('pool', C.c_void_p),
                ('log', C.c_void_p), ('log_context', C.c_void_p)]


class Model(C.Structure):
    """The head of mdl_model."""
    _fields_ = [('abi', C.c_uint32), ('size', C.c_uint32), ('strings', C.c_void_p * 4), ('hashes', C.c_uint8 * 96), ('counts', C.c_int32 * 3),
                ('tables', C.c_void_p * 4), ('open', C.c_void_p), ('close', C.CFUNCTYPE(None, C.c_void_p))]


COPY_WEIGHTS = 1  # MDL_COPY_WEIGHTS: from the file to large pages, as rivals do that keep them in memory of their own


def session(lib, name, threads, weights=None, flags=0):
    s, o = C.c_void_p(), Options(size=C.sizeof(Options), flags=flags, threads=threads, seed=1, weights=weights and weights.encode())
    code = getattr(lib, name + '_open')(C.byref(s), C.byref(o))
    assert code == 0, f'{name}_open: code {code}'
    return s


def close(s):
    C.cast(C.cast(s, C.POINTER(C.c_void_p))[0], C.POINTER(Model)).contents.close(s)


def pointer(a):
    return a.ctypes.data_as(C.c_void_p)


def inputs_of(w, inputs, names):
    return [inputs[k] for k in (names or inputs)]


def probe():
    """mdlrun's own probe (runtime/mdlrun_probe.h) as a library: flops(threads) and bandwidth(bytes, threads), both a second."""
    so = os.path.join(OUT, 'probe.so')
    subprocess.run(['gcc', '-O2', '-D_GNU_SOURCE', '-I' + ROOT, '-shared', '-fPIC', ROOT + '/runtime/mdlrun_probe.c', '-o', so, '-lpthread'], check=True)
    lib = C.CDLL(so)
    lib.probe_flops.restype = lib.probe_bandwidth.restype = C.c_double
    lib.probe_bandwidth.argtypes = [C.c_int64, C.c_int]
    return lib.probe_flops, lib.probe_bandwidth
