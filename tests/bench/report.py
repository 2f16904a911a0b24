"""report.py -- what becomes of the times: medians, ratios, a table in Markdown, a picture of bars. Pure functions, but for the last."""
import statistics


def median(times):
    return statistics.median(times)


def best(rivals):
    """(name, seconds) of the fastest, of {name: seconds}; (None, None) where nobody competes."""
    return min(rivals.items(), key=lambda item: item[1]) if rivals else (None, None)


def floor(flops, peak, bytes_read=0, bandwidth=0):
    """Seconds that arithmetic takes at the peak, or reading the memory, whichever is longer; None where nothing is known."""
    arithmetic = flops / peak if peak else 0
    memory = bytes_read / bandwidth if bandwidth else 0
    return max(arithmetic, memory) or None


def duration(seconds):
    """Three digits, in the unit that fits."""
    for unit, scale in (('s', 1), ('ms', 1e3), ('us', 1e6)):
        if seconds * scale >= 1 or unit == 'us':
            v = seconds * scale
            return f'{v:.0f} {unit}' if v >= 100 else f'{v:.1f} {unit}' if v >= 10 else f'{v:.2f} {unit}'


def size(bytes_):
    return '' if bytes_ is None else f'{bytes_ / 1048576:.0f} MiB' if bytes_ >= 10485760 else f'{bytes_ / 1048576:.1f} MiB'


def row(result):
    """A line of the table. result: name, threads, times {contestant: [seconds]}, ours (its name), floor (seconds or None), memory
    {contestant: bytes}, opened {contestant: seconds until the first call has returned}, compiled (seconds), wrong [text]."""
    middle = {k: median(v) for k, v in result['times'].items() if v}
    ours = middle.pop(result['ours'], None)
    rival, time = best(middle)
    memory, opened = result['memory'], {k: duration(v) for k, v in result['opened'].items()}
    return [result['name'], str(result['threads']), duration(ours) if ours else 'failed',
            f'{rival} {duration(time)}' if rival else '', f'{time / ours:.2f}' if rival and ours else '',
            f'{result["floor"] / ours:.0%}' if result['floor'] and ours else '',
            size(memory.get(result['ours'])), size(memory.get(rival)), opened.get(result['ours'], ''), opened.get(rival, ''),
            duration(result['compiled']) if result['compiled'] else '',
            ', '.join(f'{k} {duration(v)}' for k, v in sorted(middle.items(), key=lambda item: item[1]) if k != rival),
            '; '.join(result['wrong'])]


HEAD = ['workload', 'threads', 'ours', 'best rival', 'ratio', 'of the floor', 'memory', "rival's", 'first result', "rival's", 'compiled in', 'others', '']


def table(rows, head=HEAD):
    """Markdown with its columns aligned; a column that is empty in all rows is left out."""
    keep = [i for i in range(len(head)) if any(r[i] for r in rows)]
    cells = [[r[i] for i in keep] for r in [head, *rows]]
    width = [max(len(r[i]) for r in cells) for i in range(len(keep))]
    lines = ['| ' + ' | '.join(c.ljust(n) for c, n in zip(r, width)) + ' |' for r in cells]
    return '\n'.join([lines[0], '|' + '|'.join('-' * (n + 2) for n in width) + '|', *lines[1:]]) + '\n'


def bars(results, path):
    """A PNG: how many times longer than ours each contestant takes. Returns whether it could be drawn."""
    try:
        import matplotlib
        matplotlib.use('Agg')
        import matplotlib.pyplot as plot
    except ImportError:
        return False
    names = sorted({k for r in results for k in r['times'] if k != r['ours']})
    results = [r for r in results if r['times'].get(r['ours'])]
    figure, axes = plot.subplots(figsize=(9, 1 + 0.22 * len(results) * (len(names) + 1)))
    step = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        at = [(k, median(r['times'][name]) / median(r['times'][r['ours']])) for k, r in enumerate(results) if r['times'].get(name)]
        axes.barh([k + i * step for k, _ in at], [v for _, v in at], step, label=name)
    axes.axvline(1, color='black', linewidth=1)
    axes.set_xscale('log')
    axes.set_yticks([k + 0.4 - step / 2 for k in range(len(results))], [f'{r["name"]}, {r["threads"]}T' for r in results])
    axes.invert_yaxis()
    axes.set_xlabel('time as a multiple of ours (right of the line: slower than ours)')
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    return True
