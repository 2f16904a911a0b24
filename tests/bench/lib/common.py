"""common.py -- what the benches share: an artifact through its C functions, the FMA peak of this machine, a clock."""
import ctypes as C
import os
import subprocess
import time

BUILD = os.environ.get('BUILD', 'build')
OUT = os.path.join(BUILD, 'bench')
os.makedirs(OUT, exist_ok=True)


class Options(C.Structure):
    _fields_ = [('size', C.c_uint32), ('flags', C.c_uint32), ('threads', C.c_int32), ('device_type', C.c_int32), ('device_id', C.c_int32), ('seed', C.c_uint64),
                ('weights', C.c_char_p), ('memory', C.c_void_p), ('memory_bytes', C.c_size_t), ('parallel', C.c_void_p), ('pool', C.c_void_p),
                ('log', C.c_void_p), ('log_context', C.c_void_p)]


def compile_artifact(source, *options):
    so = os.path.abspath(os.path.join(OUT, os.path.basename(source).replace('.mdl', '.so')))
    subprocess.run([os.path.join(BUILD, 'modelc'), source, '-o', so, *options], check=True)
    return C.CDLL(so)


def session(lib, name, threads, weights=None):
    s, o = C.c_void_p(), Options(size=C.sizeof(Options), threads=threads, seed=1, weights=weights and weights.encode())
    code = getattr(lib, name + '_open')(C.byref(s), C.byref(o))
    assert code == 0, f'{name}_open: code {code}'
    return s


def pointer(a):
    return a.ctypes.data_as(C.c_void_p)


# The floor of a product: its FMAs over the peak of one core, times threads.
PEAK_C = r'''
#include <immintrin.h>
#include <time.h>
double peak(void) {
    __m512 a[12]; for (int i = 0; i < 12; i++) a[i] = _mm512_set1_ps(i);
    __m512 x = _mm512_set1_ps(1.0000001f), y = _mm512_set1_ps(1e-9f);
    struct timespec t0, t1; double best = 0;
    for (int r = 0; r < 20; r++) {
        clock_gettime(CLOCK_MONOTONIC, &t0);
        for (int k = 0; k < 200000; k++) for (int i = 0; i < 12; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
        clock_gettime(CLOCK_MONOTONIC, &t1);
        double s = (t1.tv_sec - t0.tv_sec) + 1e-9 * (t1.tv_nsec - t0.tv_nsec), g = 200000.0 * 12 * 32 / s * 1e-9;
        if (g > best) best = g;
    }
    float out[16], sum = 0; for (int i = 1; i < 12; i++) a[0] = _mm512_add_ps(a[0], a[i]);
    _mm512_storeu_ps(out, a[0]); for (int i = 0; i < 16; i++) sum += out[i];
    return sum == 12345.f ? 0 : best;
}
'''


def peak_gflops():
    if 'avx512f' not in open('/proc/cpuinfo').read():
        return None
    c, so = os.path.join(OUT, 'peak.c'), os.path.abspath(os.path.join(OUT, 'peak.so'))
    open(c, 'w').write(PEAK_C)
    subprocess.run(['gcc', '-O3', '-funroll-loops', '-mavx512f', '-shared', '-fPIC', c, '-o', so], check=True)
    lib = C.CDLL(so)
    lib.peak.restype = C.c_double
    return lib.peak()


def timed(f):
    t = time.perf_counter()
    f()
    return time.perf_counter() - t
