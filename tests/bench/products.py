"""products.py -- single products against OpenBLAS and oneDNN, in one process, in turn: shapes drawn from a seed, M, N, K from 1 to 2,048, both operands
given at run time. Results are compared first. A shape at which ours is slower by more than 10 % and by more than a microsecond is measured
again, three times; one that is slower each time counts.

    build/venv/bin/python tests/bench/products.py [--shapes 200] [--seed 1] [--threads 1] [--list] [--rivals OpenBLAS,oneDNN]      (python3 with NumPy is enough)

Prints the median ratio, the slow shapes, and the quartiles; exit status 1 where a result is wrong."""
import argparse
import ctypes as C
import os
import random
import subprocess
import sys

import numpy as np
import report
from common import BUILD, OUT, ROOT, close, pointer, session

LARGEST, ROUNDS, SLICE, BATCH = 2048, 5, 4e-3, 20
# Each rival: its libraries, of which the first that loads counts, its function, and Debian's package.
RIVALS = {'OpenBLAS': (('/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0', 'libopenblas.so.0'), 'cblas_sgemm', 'libopenblas0-pthread'),
          'oneDNN': (('libdnnl.so.2', 'libdnnl.so.3'), 'dnnl_sgemm', 'libdnnl2')}


def shapes(count, seed):
    """Each size on its own: half of them by magnitude, a quarter anywhere, a quarter multiples of 16. Distinct."""
    r, drawn = random.Random(seed), []

    def one():
        what = r.randrange(4)
        return max(1, round(LARGEST ** r.random())) if what < 2 else r.randint(1, LARGEST) if what < 3 else 16 * r.randint(1, LARGEST // 16)
    while len(drawn) < count:
        s = (one(), one(), one())
        if s not in drawn:
            drawn.append(s)
    return drawn


def compiled(batch, number):
    """An artifact with an entry p0, p1 ... for each shape."""
    source = os.path.join(OUT, f'products{number}.mdl')
    with open(source, 'w') as f:
        for i, (m, n, k) in enumerate(batch):
            f.write(f'entry p{i}(a: f32[{m}, {k}], b: f32[{k}, {n}]) -> (c: f32[{m}, {n}]) {{ return a @ b; }}\n')
    so = source.replace('.mdl', '.so')
    subprocess.run([BUILD + '/modelc', source, '-o', so], check=True)
    return C.CDLL(so), os.path.basename(so)[:-3]


def timing():
    so = os.path.join(OUT, 'timing.so')
    subprocess.run(['gcc', '-O2', '-D_GNU_SOURCE', '-shared', '-fPIC', os.path.join(ROOT, 'tests/bench/timing.c'), '-o', so], check=True)
    lib = C.CDLL(so)
    lib.time_ours.restype = lib.time_sgemm.restype = lib.time_dnnl.restype = C.c_double
    return lib


def core_of_openblas(library):
    """What OpenBLAS takes this processor for. One that is younger than it is a Prescott to it, which has no vectors of 256 bits."""
    ask = 'import ctypes, sys; f = ctypes.CDLL(sys.argv[1]).openblas_get_corename; f.restype = ctypes.c_char_p; print(f().decode())'
    core = subprocess.run([sys.executable, '-c', ask, library], capture_output=True, text=True).stdout.strip()
    with open('/proc/cpuinfo') as f:
        has = ' avx512vl ' in f.read()
    return 'SkylakeX' if core == 'Prescott' and has else core


def rival_function(rival, threads):
    """None: its library is not here. oneDNN asks OpenMP for its threads, which reads the environment when it is loaded, as OpenBLAS does for what
    it is to take the processor for."""
    os.environ['OMP_NUM_THREADS'] = str(threads)
    for name in RIVALS[rival][0]:
        core = core_of_openblas(name) if rival == 'OpenBLAS' else ''
        if core:
            os.environ.setdefault('OPENBLAS_CORETYPE', core)
        try:
            library = C.CDLL(name)
        except OSError:
            continue
        if rival == 'OpenBLAS':
            library.openblas_set_num_threads(threads)
        return getattr(library, RIVALS[rival][1])
    return None


def aligned(shape):
    """64 bytes, as both sides like it."""
    n = int(np.prod(shape))
    raw = np.empty(n + 16, np.float32)
    at = (-raw.ctypes.data % 64) // 4
    return raw[at:at + n].reshape(shape)


class Pair:
    """The two ways to compute one shape."""

    def __init__(self, lib, function, s, rival, theirs, shape):
        m, n, k = self.shape = shape
        r = np.random.default_rng(m * n + k)
        self.a, self.b, self.c, self.d = aligned((m, k)), aligned((k, n)), aligned((m, n)), aligned((m, n))
        self.a[:], self.b[:] = r.standard_normal((m, k)), r.standard_normal((k, n))
        given = pointer(self.a), pointer(self.b)
        self.ours = lambda calls: lib.time_ours(function, s, *given, pointer(self.c), calls)
        timed = lib.time_sgemm if rival == 'OpenBLAS' else lib.time_dnnl
        self.rival, self.theirs = rival, lambda calls: timed(theirs, m, n, k, *given, pointer(self.d), calls)

    def wrong(self):
        code = self.ours(1)
        if code < 0:
            return f'code {-code:.0f}'
        self.theirs(1)
        far = np.abs(self.c - self.d).max() / np.sqrt(self.shape[2])
        return '' if far < 3e-5 else f'differs from {self.rival} by {far:.1e} of a standard deviation'

    def times(self):
        """Medians of both; calls: as many as fill a slice of the slower."""
        once = max(min(f(1), f(1)) for f in (self.ours, self.theirs))
        calls = max(1, min(20000, int(SLICE / max(once, 1e-8))))
        pairs = [(self.ours(calls), self.theirs(calls)) for _ in range(ROUNDS)]
        return report.median(p[0] for p in pairs), report.median(p[1] for p in pairs)


def is_slow(ours, theirs):
    return ours > 1.1 * theirs and ours > theirs + 1e-6


def sweep(chosen, threads, rival, theirs):
    """[(shape, ours, theirs)], those that stay slow, texts of what is wrong."""
    lib, results, slow, wrong = timing(), [], [], []
    for at in range(0, len(chosen), BATCH):
        batch = chosen[at:at + BATCH]
        artifact, name = compiled(batch, at // BATCH)
        s = session(artifact, name, threads)
        for i, shape in enumerate(batch):
            pair = Pair(lib, getattr(artifact, f'{name}_p{i}'), s, rival, theirs, shape)
            error = pair.wrong()
            if error:
                wrong.append(f'{shape}: {error}')
                continue
            measured = [pair.times()]
            while is_slow(*measured[-1]) and len(measured) < 4:
                measured.append(pair.times())
            if len(measured) == 4 and is_slow(*measured[-1]):
                slow.append((shape, *measured[-1]))
            results.append((shape, *measured[-1]))
        close(s)
    return results, slow, wrong


def main():
    p = argparse.ArgumentParser(prog='products.py', description='Times products of random shapes beside OpenBLAS.')
    p.add_argument('--shapes', type=int, default=200)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--list', action='store_true', help='every shape with its times')
    p.add_argument('--rivals', default='OpenBLAS,oneDNN', help='which of them')
    o = p.parse_args()
    names = o.rivals.split(',')
    for name in names:
        if name not in RIVALS:
            p.error(f'{name} is none of {", ".join(RIVALS)}')
    functions = {name: rival_function(name, o.threads) for name in names}
    if not any(functions.values()):
        sys.exit(f'products.py: there is none of {", ".join(names)} here: apt-get install {RIVALS[names[0]][2]}')
    failed = 0
    for name, function in functions.items():
        if function:
            failed |= compare(o, name, function)
        else:
            print(f'{name} was left out: apt-get install {RIVALS[name][2]}')
    return failed


def compare(o, rival, function):
    """One rival's table, slow shapes and faults; 1: a result is wrong, or there is none."""
    results, slow, wrong = sweep(shapes(o.shapes, o.seed), o.threads, rival, function)
    if o.list:
        print(report.table([[f'{m} x {n} x {k}', report.duration(a), report.duration(b), f'{b / a:.2f}'] for (m, n, k), a, b in results],
                           ['M x N x K', 'ours', rival, 'ratio']))
    ratios = sorted(b / a for _, a, b in results)
    if ratios:
        quarter = [ratios[int(q * (len(ratios) - 1))] for q in (0, 0.25, 0.5, 0.75, 1)]
        print(f'{len(ratios)} products beside {rival}, {o.threads} thread(s): ratio median {quarter[2]:.2f}, quartiles {quarter[1]:.2f} and {quarter[3]:.2f}, '
              f'least {quarter[0]:.2f}; {len(slow)} slower by more than 10 % and a microsecond, four times in a row')
    for (m, n, k), a, b in slow:
        print(f'  slow: {m} x {n} x {k}  ours {report.duration(a)}  {rival} {report.duration(b)}  ratio {b / a:.2f}')
    for text in wrong:
        print('  wrong: ' + text)
    return 1 if wrong or not results else 0


if __name__ == '__main__':
    sys.exit(main())
