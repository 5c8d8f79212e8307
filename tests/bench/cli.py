# SPDX-License-Identifier: MIT
"""The benchmark's command line and order of work."""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import report, rows_backup, rows_mount, rows_scale, rows_spool
from .bench import Bench
from .data import GeneratedTree, Media
from .data_sql import PgData, Sql
from .data_tree import KernelTree
from .peers import Drfs, find_tools
from .shell import BenchError, own_peak
from .table import GROUPS

ROOT = Path(__file__).resolve().parent.parent.parent


def comma(kind):
    return lambda text: [kind(part.strip()) for part in text.split(',') if part.strip()]


def parse(argv):
    p = argparse.ArgumentParser(
        prog='tests/bench/run', formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description='Measures drfs beside restic and borg: interleaved, with cold caches (as root), every result compared '
        'with its source; medians of the rounds. Exit status 1: a result was wrong. Rows that drfs misses are printed.')
    p.add_argument('--rows', type=comma(str), default=list(GROUPS), metavar='A,B', help='groups of rows')
    p.add_argument('--tools', type=comma(str), default=['drfs', 'restic', 'borg lz4', 'borg zstd-3'], metavar='A,B')
    p.add_argument('--rounds', type=int, default=3, help='5 for figures that are to be kept')
    p.add_argument('--small', action='store_true', help='small generated data: whether it works, not how fast it is')
    p.add_argument('--json', metavar='FILE', help='keep all values there')
    p.add_argument('--work', metavar='DIR', help='work there and keep the data for the next run (default: a temporary folder)')
    p.add_argument('--drfs', default=str(ROOT / 'build' / 'drfs'), metavar='FILE', help='the program to measure')
    p.add_argument('--sql-mib', type=int, default=400, help='size of a dump')
    p.add_argument('--sql-days', type=int, default=4, help='how many daily dumps')
    p.add_argument('--pgdata-scale', type=int, default=45, help='pgbench scale; one is about 15 MB')
    p.add_argument('--media-mib', type=int, default=512)
    p.add_argument('--tree-skip', type=comma(str), default=['drivers/gpu', 'drivers/net'], metavar='A,B',
                   help='folders of the kernel tree to leave out')
    p.add_argument('--scale', type=comma(int), default=[50000, 300000], metavar='N,M', help='files of the memory rows')
    p.add_argument('--spool-many', type=int, default=1000000, metavar='N', help='files of the large tree in the spool')
    o = p.parse_args(argv)
    for name in o.rows:
        if name not in GROUPS:
            p.error(f"no group of rows '{name}': there are {', '.join(GROUPS)}")
    if o.rounds < 1 or len(o.scale) != 2 or o.sql_days < 2:
        p.error('at least one round, two scales and two days are needed')
    if o.small:
        o.sql_mib, o.sql_days, o.pgdata_scale, o.media_mib, o.scale = 16, 3, 2, 16, [1000, 4000]
    return o


def data_sets(o, home):
    small = o.small
    return [
        Sql(home, o.sql_days, mib=o.sql_mib),
        GeneratedTree(home, 2, files=2000) if small else KernelTree(home, 2, skip=o.tree_skip),
        PgData(home, 2, scale=o.pgdata_scale, transactions=500 if small else 20000),
        Media(home, 2, mib=o.media_mib),
    ]


def measure(bench, data, o, key_tool):
    """Round by round, so that a drift of the machine falls on all rows alike."""
    try:
        for turn in range(o.rounds):
            for d in data:
                rows_backup.one_round(bench, d, turn)
                if d.kind == 'sql':
                    rows_mount.sql_rows(bench, d, turn)
                if d.kind == 'tree':
                    rows_mount.tree_rows(bench, d, turn)
                    if key_tool:
                        rows_mount.key_file_row(bench, d, key_tool, turn)
                rows_backup.drop(bench)
        if 'scale' in o.rows:
            rows_scale.scale(bench)
        if 'spool' in o.rows and bench.tools[0].name == 'drfs':
            rows_spool.spool_rows(bench, bench.tools[0])
        if 'limits' in o.rows:
            rows_scale.empty_fuse(bench, (64 if o.small else 2000) * 1000000)
            sql = next((d for d in data if d.kind == 'sql'), None)
            if sql:
                rows_scale.core_limits(bench, sql.src / sql.file)
    finally:
        for d in data:
            d.unstage()
        if key_tool:
            key_tool.drop()
        rows_backup.drop(bench)


def work_in(o, work):
    begin = time.monotonic()
    say = lambda text: print(f'[{time.monotonic() - begin:6.1f}] {text}', flush=True)
    tools, missing = find_tools(o.tools, work / 'repos', o.drfs)
    if missing:
        say(f"left out, not installed: {', '.join(missing)}")
    if not tools:
        raise BenchError('there is no tool to measure')
    versions = {tool.name: tool.version() for tool in tools}
    print(f"{report.machine()}\n{'; '.join(dict.fromkeys(versions.values()))}", flush=True)
    data = [d for d in data_sets(o, work / 'data') if d.kind in o.rows]
    for d in data:
        d.prepare()
        say(f'{d.kind}: {d.note}')
    bench = Bench(work, tools, o, say)
    key_tool = Drfs(work / 'repos' / 'drfs-key', o.drfs, True) if tools[0].name == 'drfs' else None
    measure(bench, data, o, key_tool)
    report.print_table(bench, [tool.name for tool in tools])
    if not bench.is_cold:
        print('the caches could not be dropped (run as root): all values are warm')
    print(f'(memory below {own_peak():.0f} MiB cannot be seen: it is what this script takes itself)')
    passed, missed = report.summary(bench)
    if any(tool.name == 'drfs' for tool in tools):
        print(f"\n{passed} rows PASS, {len(missed)} MISS{': ' + '; '.join(missed) if missed else ''}")
    for line in bench.wrong:
        print(f'WRONG: {line}')
    if o.json:
        report.keep(bench, o.json, versions, {d.kind: d.note for d in data})
    return 1 if bench.wrong else 0


def stop_at(_number, _frame):
    raise KeyboardInterrupt


def main(argv=None):
    o = parse(argv)
    signal.signal(signal.SIGTERM, stop_at)
    work = Path(o.work or tempfile.mkdtemp(prefix='drfs-bench.')).resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not o.work:
        os.chmod(work, 0o711)  # the scratch PostgreSQL runs as another user
    try:
        return work_in(o, work)
    except BenchError as error:
        print(f'bench: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('bench: stopped', file=sys.stderr)
        return 130
    finally:
        if not o.work:
            shutil.rmtree(work, ignore_errors=True)
