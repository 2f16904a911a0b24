"""run.py -- `make bench`: ours and the rivals, each in a process of its own, asked in turn (A B C A B C ...), so that a noisy minute hits
all of them. Who is not asked is stopped: no spinning thread of one takes a core from another. Results are compared before anything is
timed; medians go to a table and a picture.

    build/venv/bin/python tests/bench/run.py [--rounds N] [--threads 1,2] [--only PART]... [--rivals a,b] [--without a,b] [--quick] [--list]

Writes build/bench/bench.md, .png and .json (all times). Exit status 1 where a result is wrong or ours failed."""
import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time

import numpy as np
import report
from common import OUT, probe
from workloads import LLAMA, ORT, WORKLOADS

HERE = os.path.dirname(os.path.abspath(__file__))
SLICE = 0.12  # seconds of a contestant in a round


class Child:
    """A contestant in its process."""

    def __init__(self, name, number, threads):
        self.name = name
        flags = {'TF_CPP_MIN_LOG_LEVEL': '3', 'OMP_NUM_THREADS': str(threads), 'XLA_FLAGS': '--xla_cpu_multi_thread_eigen=' + ('true' if threads > 1 else 'false')}
        command = [sys.executable, os.path.join(HERE, 'contestants.py'), name, str(number)]
        if name == 'jax':
            command = ['taskset', '-c', ','.join(map(str, sorted(os.sched_getaffinity(0))[:threads])), *command]
        with open(os.path.join(OUT, name + '.log'), 'a') as log:
            self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | flags)
        self.hello = self.answer()
        self.pause()

    def answer(self):
        line = self.p.stdout.readline()
        return json.loads(line) if line else {'missing': f'it stopped: see {OUT}/{self.name}.log'}

    def pause(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGSTOP)

    def ask(self, **request):
        if self.p.poll() is not None:
            return {'missing': 'it has stopped'}
        self.p.send_signal(signal.SIGCONT)
        try:
            self.p.stdin.write(json.dumps(request) + '\n')
            self.p.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.answer()
        self.pause()
        return answer

    def end(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGCONT)
        self.p.stdin.close()
        try:
            self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
        self.p.stdout.close()


def made(number):
    """The workload's files, made anew where the scripts that make them are younger. Returns what is known of it."""
    path = os.path.join(OUT, WORKLOADS[number].file + '.json')
    sources = [os.path.join(HERE, f) for f in ('make.py', 'models.py', 'workloads.py')]
    if not os.path.exists(path) or any(os.path.getmtime(s) > os.path.getmtime(path) for s in sources):
        if subprocess.run([sys.executable, os.path.join(HERE, 'make.py'), str(number)], stdout=subprocess.DEVNULL).returncode:
            return None
    with open(path) as f:
        return json.load(f)


def differences(w, files):
    """How far each contestant's results are from the first rival's, or ours from it: [text] of what is too far. llama.cpp, which rounds values
    between layers, is compared with ours. Of a training the loss of the first step is compared too, loosely: dropout differs."""
    arrays = {name: list(np.load(path).values()) for name, path in files.items()}
    ours = arrays.pop('modelc', None)
    if not arrays or ours is None:
        return []
    first, wrong = next(iter(arrays)), []
    for name, got in [('modelc', ours), *list(arrays.items())[1:]]:
        reference, want = ('modelc', ours) if name == LLAMA else (first, arrays[first])
        tolerance = w.near if LLAMA in (name, reference) else w.tolerance
        bounds = [tolerance, 0.1] if w.training else [tolerance]
        for a, b, bound in zip(reversed(got) if not w.training else got, reversed(want) if not w.training else want, bounds):
            a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
            far = np.abs(a.ravel() - b.ravel()).max() / np.abs(b).max() if a.size == b.size else np.inf
            if not far <= bound:
                wrong.append(f'{name} differs from {reference} by {far:.1e}')
    return wrong


def measure(w, children, threads, rounds):
    """{contestant: [seconds a call]}: one round to warm up and to count calls, then `rounds`."""
    calls, times = {}, {c.name: [] for c in children}
    for c in children:
        once = c.ask(do='time', calls=1).get('seconds')
        if once is None:
            continue
        once = min(once, c.ask(do='time', calls=1)['seconds'])
        calls[c.name] = w.calls or max(1, min(100000, int(SLICE / max(once, 1e-7))))
        c.ask(do='time', calls=calls[c.name])
    for _ in range(rounds):
        for c in children:
            if c.name in calls:
                seconds = c.ask(do='time', calls=calls[c.name]).get('seconds')
                if seconds is not None:
                    times[c.name].append(seconds)
    return times


def compete(number, known, options, limits, versions, missing):
    """The results of one row, for each number of threads."""
    w, results = WORKLOADS[number], []
    for threads in options.threads:
        children, wrong, files, opening = [], [], {}, {}
        for name in ['modelc', *[r for r in w.rivals if r in options.rivals]]:
            c = Child(name, number, threads)
            reason = c.hello.get('missing')
            opened = {} if reason else c.ask(do='open', threads=threads)
            reason = reason or opened.get('missing')
            if reason:
                if name == 'modelc':
                    wrong.append('modelc: ' + reason)
                elif missing.get(name) != reason:
                    print(f'{name} is left out: {reason}', flush=True)
                    missing[name] = reason
                c.end()
                continue
            versions[name] = c.hello['version']
            files[name], opening[name] = opened['results'], opened['seconds']
            children.append(c)
        wrong += differences(w, files)
        times = measure(w, children, threads, options.rounds)
        memory = {c.name: c.ask(do='memory').get('bytes') for c in children}
        hello = next((c.hello for c in children if c.name == 'modelc'), {})
        for c in children:
            c.end()
        flops, bandwidth = limits
        at_once = 4 if w.codes else 1  # of codes an instruction adds up four products where it adds one of f32
        read = known['weights'] * w.bits // 32 if w.streams else 0
        results.append({'name': w.name, 'threads': threads, 'times': times, 'ours': 'modelc', 'memory': memory, 'opened': opening, 'wrong': wrong,
                        'compiled': hello.get('compiled'), 'bytes': hello.get('size'),
                        'floor': report.floor(known['flops'], at_once * flops(threads), read, bandwidth(read, threads) if read else 0)})
        row = report.row(results[-1])
        print('  '.join(x for x in [*row[:2], 'ours', *row[2:6], row[11], row[12]] if x), flush=True)
    return results


def parse(arguments):
    p = argparse.ArgumentParser(prog='run.py', description='Times ours and the rivals side by side.')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--threads', default='1,2', type=lambda t: [int(n) for n in t.split(',')])
    p.add_argument('--only', action='append', default=[], metavar='PART', help='rows whose name has this in it')
    p.add_argument('--rivals', default=None, type=lambda t: t.split(','))
    p.add_argument('--without', default=[], type=lambda t: t.split(','), metavar='RIVAL,...', help='leave these out: "compiled" takes minutes to warm up')
    p.add_argument('--quick', action='store_true', help='a minute: some rows, ONNX Runtime only, 3 rounds')
    p.add_argument('--list', action='store_true', help='the rows, and who competes')
    o = p.parse_args(arguments)
    if o.quick:
        o.rounds, o.threads, o.rivals = min(o.rounds, 3), o.threads[:1], o.rivals or [ORT]
    known = sorted({r for w in WORKLOADS for r in w.rivals})
    for name in [*(o.rivals or []), *o.without]:
        if name not in known:
            p.error(f'{name} is none of {", ".join(known)}')
    o.rivals = [r for r in o.rivals or known if r not in o.without]
    return o


def chosen(o):
    return [i for i, w in enumerate(WORKLOADS) if (w.quick or not o.quick) and (not o.only or any(part in w.name for part in o.only))]


def main():
    o, begin = parse(sys.argv[1:]), time.time()
    if o.list:
        for i in chosen(o):
            print(WORKLOADS[i].name + ':', ', '.join(WORKLOADS[i].rivals))
        return 0
    limits, versions, missing, results = probe(), {}, {}, []
    for i in chosen(o):
        known = made(i)
        if known is None:
            print(f'{WORKLOADS[i].name}: PyTorch is needed to make its weights and inputs: left out', flush=True)
            continue
        results += compete(i, known, o, limits, versions, missing)
    if not results:
        print('nothing was timed')
        return 1
    peak = limits[0](1) * 1e-9
    title = (f'{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, {peak:.0f} GFLOP/s a core; median of {o.rounds} rounds; '
             + ', '.join(sorted(versions.values())))
    text = title + '\n\n' + report.table([report.row(r) for r in results])
    with open(os.path.join(OUT, 'bench.md'), 'w') as f:
        f.write(text)
    with open(os.path.join(OUT, 'bench.json'), 'w') as f:
        json.dump(results, f, indent=1)
    drawn = report.bars(results, os.path.join(OUT, 'bench.png'))
    print('\n' + text + f'\n{OUT}/bench.md, bench.json' + (', bench.png' if drawn else '') + f'; {time.time() - begin:.0f} s')
    return 1 if any(r['wrong'] or not r['times'].get(r['ours']) for r in results) else 0


if __name__ == '__main__':
    sys.exit(main())
