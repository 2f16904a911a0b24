"""Compiles the kernels of examples for devices with NVRTC and prints a table.   examples.py NVRTC-FOLDER CACHE-FOLDER [EXAMPLE[:PRECISION]...]

Kernels that are equal but for their names are compiled once, some at a time, on two threads; what came of each is kept in the cache, by a hash
of the compiler's version, its options, the prelude and the text. Of registers, shared memory and spilled bytes a row has the most of one kernel.
A kernel fails that spills, that wants more than a device has, that has a C75xx in its log, or a warning."""
import collections
import ctypes
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

ARCHS = ["80", "90a", "100", "120"]
OPTIONS = ["--fmad=false", "--std=c++17", "--diag-suppress=177", "--ptxas-options=-v"]  # those of codegen/cuda/nvrtc.c
AT_ONCE = 12  # kernels of a program: the prelude costs as much as one of them
REGISTERS, SHARED = 255, 48 << 10
PRECISE = ["transformer:bf16", "transformer:tf32"]  # examples as they are in another precision: products and attention on matrix units
DIVISION = 64  # bytes that are kept around the call of the function that divides or takes roots exactly


class Nvrtc:
    def __init__(self, folder):
        self.library = ctypes.CDLL(str(pathlib.Path(folder) / "libnvrtc.so.13"))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def compile(self, text, arch):
        """The log, and whether it went well."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        options = [f"--gpu-architecture=sm_{arch}"] + OPTIONS
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        self.library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
        code = self.library.nvrtcCompileProgram(program, len(options), array)
        self.library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value + 1)
        self.library.nvrtcGetProgramLog(program, log)
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return log.value.decode(), code == 0


def kernels_of(text):
    """The prelude, and pairs of a kernel's name and its text, in which @ is the name."""
    found = list(re.finditer(r"^(NT_\w*KERNEL)\((k\w+)\)(.*?^\}\n)", text, re.M | re.S))
    return text[: found[0].start()] if found else text, [(m[2], f"{m[1]}(@){m[3]}") for m in found]


def emit(name):
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/kernels.cu"
        modelc = os.environ.get("BUILD", "build") + "/modelc"
        example, _, precision = name.partition(":")
        source = pathlib.Path(f"examples/{example}.mdl")
        if precision:
            text = source.read_text()
            source = pathlib.Path(folder) / f"{example}.mdl"
            source.write_text(f"precision {{ compute = {precision}; }}\n{text}")
        subprocess.run([modelc, source, "--emit=cuda", "-o", out], check=True, stdout=subprocess.DEVNULL)
        return pathlib.Path(out).read_text()


def read_log(log, names):
    """What ptxas says of each kernel: registers, shared memory, bytes of spills."""
    use = {}
    for part in log.split("Compiling entry function '")[1:]:
        name = part.split("'")[0]

        def most(pattern):
            return max((int(n) for n in re.findall(pattern, part)), default=0)

        use[name] = {"registers": most(r"Used (\d+) registers"), "shared": most(r"(\d+) bytes smem"), "spilled": most(r"(\d+) bytes spill")}
    missing = [n for n in names if n not in use]
    if missing:
        raise SystemExit(f"NVRTC's log lacks {missing}:\n{log}")
    return use


class Check:
    def __init__(self, nvrtc, cache):
        self.nvrtc, self.cache = nvrtc, pathlib.Path(cache)
        self.cache.mkdir(parents=True, exist_ok=True)
        self.lock, self.result, self.bad = threading.Lock(), {}, []

    def key(self, prelude, body, arch):
        text = "\0".join([self.nvrtc.version, arch, *OPTIONS, prelude, body])
        return hashlib.sha256(text.encode()).hexdigest()

    def known(self, key):
        try:
            return json.loads((self.cache / key).read_text())
        except (OSError, ValueError):
            return None

    def keep(self, key, row):
        aside = self.cache / f"{key}.{os.getpid()}.{threading.get_ident()}"
        aside.write_text(json.dumps(row))
        aside.replace(self.cache / key)

    def program(self, prelude, arch, bodies):
        """Compiles kernels as one program; bodies: (key, text) each."""
        text = prelude + "".join(body.replace("@", f"k{i}", 1) for i, (_, body) in enumerate(bodies))
        start = time.thread_time()
        log, fine = self.nvrtc.compile(text, arch)
        each = (time.thread_time() - start) / sum(len(b) for _, b in bodies)
        complaints = [line for line in log.splitlines() if re.search(r"C75\d\d|: (warning|error)", line)]
        if complaints or not fine:
            with self.lock:
                self.bad.append(f"sm_{arch}: " + "\n".join(complaints or [log]))
            if not fine:
                return
        use = read_log(log, [f"k{i}" for i in range(len(bodies))])
        for i, (key, body) in enumerate(bodies):
            row = dict(use[f"k{i}"], ms=1000 * each * len(body))
            self.result[key] = row
            if not complaints:
                self.keep(key, row)

    def compile(self, jobs):
        jobs, threads = collections.deque(jobs), []

        def work():
            while True:
                try:
                    job = jobs.popleft()
                except IndexError:
                    return
                self.program(*job)

        for _ in range(2):
            threads.append(threading.Thread(target=work))
            threads[-1].start()
        for t in threads:
            t.join()


def main():
    check = Check(Nvrtc(sys.argv[1]), sys.argv[2])
    names = sys.argv[3:] or sorted(p.stem for p in pathlib.Path("examples").glob("*.mdl")) + PRECISE
    texts = {name: kernels_of(emit(name)) for name in names}
    wanted = collections.OrderedDict()  # by architecture and key
    for prelude, kernels in texts.values():
        for _, body in kernels:
            for arch in ARCHS:
                wanted[arch, check.key(prelude, body, arch)] = (prelude, body)
    missing = collections.defaultdict(list)
    for (arch, key), (prelude, body) in wanted.items():
        row = check.known(key)
        if row:
            check.result[key] = row
        else:
            missing[prelude, arch].append((key, body))
    jobs = [(prelude, arch, rows[i : i + AT_ONCE]) for (prelude, arch), rows in missing.items() for i in range(0, len(rows), AT_ONCE)]
    check.compile(jobs)

    print(f"{'example':16} {'device':7} {'kernels':>8} {'registers':>10} {'shared':>8} {'spilled':>8} {'ms':>8}")
    for name, (prelude, kernels) in texts.items():
        for arch in ARCHS:
            rows = [(n, check.result.get(check.key(prelude, body, arch))) for n, body in kernels]
            rows = [(n, r) for n, r in rows if r]
            most = {what: max((r[what] for _, r in rows), default=0) for what in ("registers", "shared", "spilled")}
            print(f"{name:16} sm_{arch:4} {len(kernels):8} {most['registers']:10} {most['shared']:8} {most['spilled']:8} {sum(r['ms'] for _, r in rows):8.0f}")
            for n, r in rows:
                if r["spilled"] > DIVISION or r["registers"] > REGISTERS or r["shared"] > SHARED:
                    check.bad.append(f"{name}, sm_{arch}: {n} takes {r}")
    compiled = sum(len(j[2]) for j in jobs)
    print(f"{len(wanted)} different kernels times devices, {compiled} of them compiled now; NVRTC {check.nvrtc.version}")
    if check.bad:
        print("\n".join(check.bad), file=sys.stderr)
        sys.exit(1)


main()
