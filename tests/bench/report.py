# SPDX-License-Identifier: MIT
"""What a run prints and keeps."""
import json
import platform
import statistics
import time
from pathlib import Path

from .table import ROWS

PEERS = ('restic', 'borg zstd-3')  # the better of these two is what drfs is measured against


def best_peer(bench, key):
    """(name, median) of the better of the peers, or None."""
    found = [(bench.median(key, name), name) for name in PEERS if bench.median(key, name) is not None]
    if not found:
        return None
    value, name = (max if ROWS[key].more else min)(found)
    return name, value


def verdict(bench, key):
    """PASS, MISS or '' where nothing is asked or nothing can be compared; with it the ratio drfs : best peer."""
    row, ours, peer = ROWS[key], bench.median(key, 'drfs'), best_peer(bench, key)
    if ours is None:
        return '', None
    if row.beside:
        yard = bench.yards.get(key, {}).get(row.beside)
        if not yard:
            return '', None
        ratio = ours / statistics.median(yard)
        return ('PASS' if (ratio >= row.share if row.more else ratio <= row.share) else 'MISS'), ratio
    ratio = ours / peer[1] if peer and peer[1] else None
    if row.limit:
        return ('PASS' if max(bench.results[key]['drfs']) <= row.limit else 'MISS'), ratio
    if not row.need or ratio is None:
        return '', ratio
    good = ratio >= row.need if row.more else ratio <= 1 / row.need
    return ('PASS' if good else 'MISS'), ratio


def show(value):
    if value is None:
        return '-'
    return f'{value:.0f}' if value >= 100 else f'{value:.1f}' if value >= 10 else f'{value:.2f}' if value >= 1 else f'{value:.3f}'


def need_text(row):
    if row.limit:
        return f'<= {row.limit:g}'
    if row.beside:
        return f"{'>=' if row.more else '<='} {row.share:.2g} x"
    if not row.need:
        return ''
    return f'>= {row.need:g} x' if row.more else f'<= {1 / row.need:g} x'


def print_table(bench, names):
    """One line a row: medians, the ratio to the best peer, what is asked, the verdict, the goal, the yardsticks."""
    print(f"\n{'medians':40}{'':6}" + ''.join(f'{n:>13}' for n in names)
          + f"{'ratio':>8}  {'need':9}{'':6}{'goal':38}beside it")
    for key, row in ROWS.items():
        if not bench.results.get(key):
            continue
        word, ratio = verdict(bench, key)
        beside = '; '.join(f'{n} {show(statistics.median(v))}' for n, v in bench.yards.get(key, {}).items())
        columns = ''.join(f'{show(bench.median(key, n)):>13}' for n in names)
        print(f"{row.title:40}{row.unit:6}{columns}{show(ratio):>8}  {need_text(row):9}{word:6}{row.goal:38}{beside}".rstrip())
    if bench.limits:
        print('\nlimits of one core (GB/s): ' + '; '.join(f'{n} {v:.2f}' for n, v in bench.limits.items()))


def machine():
    """What the figures belong to."""
    cpu = next((line.split(':')[1].strip() for line in Path('/proc/cpuinfo').read_text('utf-8').splitlines()
                if line.startswith('model name')), platform.machine())
    memory = int(Path('/proc/meminfo').read_text('utf-8').split()[1]) / (1 << 20)
    cores = Path('/proc/cpuinfo').read_text('utf-8').count('\nprocessor') + 1
    return f'{cores} cores, {cpu}, {memory:.0f} GiB, Linux {platform.release()}'


def summary(bench):
    """How many rows passed and missed, and by name what was wrong."""
    words = {key: verdict(bench, key)[0] for key in ROWS if bench.results.get(key)}
    missed = [ROWS[key].title.strip() for key, word in words.items() if word == 'MISS']
    return list(words.values()).count('PASS'), missed


def keep(bench, path, versions, notes):
    """Everything that was measured, every round of it, as JSON."""
    kept = {
        'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'machine': machine(), 'versions': versions, 'data': notes, 'cold': bench.is_cold,
        'rows': {key: {'title': ROWS[key].title, 'unit': ROWS[key].unit, 'values': dict(who),
                       'yardsticks': dict(bench.yards.get(key, {})), 'ratio': verdict(bench, key)[1],
                       'verdict': verdict(bench, key)[0]} for key, who in bench.results.items()},
        'limits': bench.limits, 'wrong': bench.wrong,
    }
    Path(path).write_text(json.dumps(kept, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
