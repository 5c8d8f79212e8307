# SPDX-License-Identifier: MIT
"""Backing up and restoring: seconds, peak memory, stored bytes."""
import os

from .bench import differences
from .shell import run, size_of

MB = 1e6


def first(bench, data, turn):
    """A first backup of day 1 into an empty repository, and what tar with zstd and openssl takes for the same."""
    data.stage(1)
    for tool in bench.in_turn(turn):
        tool.fresh(data.kind)
        _backup(bench, tool, data, f'first_{data.kind}')
        bench.add(f'stored_{data.kind}', tool.name, size_of(tool.repo) / MB)
    pipe = ('set -o pipefail; tar -C "$1" -cf - . | zstd -q -3 -T2 | '
            'openssl enc -aes-256-ctr -pbkdf2 -pass pass:x >"$2"')
    packed = bench.work / 'pipe.out'
    bench.timed_yard(f'first_{data.kind}', 'tar pipe', ['bash', '-c', pipe, 'bash', data.src, packed])
    bench.yard(f'stored_{data.kind}', 'tar.zst', packed.stat().st_size / MB)
    if data.kind in ('sql', 'tree'):
        _restore_yards(bench, data, packed)
    packed.unlink()
    bench.clear()
    bench.timed_yard(f'first_{data.kind}', 'cp -a', ['cp', '-a', data.src, bench.out])
    bench.clear()


def _restore_yards(bench, data, packed):
    bench.out.mkdir()
    back = ('set -o pipefail; openssl enc -d -aes-256-ctr -pbkdf2 -pass pass:x <"$1" | zstd -q -d | tar -C "$2" -xf -')
    bench.timed_yard(f'restore_{data.kind}', 'tar pipe', ['bash', '-c', back, 'bash', packed, bench.out])


def later(bench, data, turn):
    """Day 2 is timed; the days after it, in the first round only, are for what they store."""
    days = range(2, data.days + 1) if turn == 0 else (2,)
    for day in days:
        data.stage(day)
        for tool in bench.in_turn(turn):
            before = size_of(tool.repo)
            _backup(bench, tool, data, f'next_{data.kind}' if day == 2 and data.kind in ('sql', 'tree') else None)
            row = 'stored_sql_later' if data.kind == 'sql' else f'stored_{data.kind}_next'
            bench.add(row, tool.name, (size_of(tool.repo) - before) / MB)


def same(bench, data, turn):
    """The same tree once more; find tells what only looking at it takes."""
    for tool in bench.in_turn(turn):
        _backup(bench, tool, data, f'same_{data.kind}')
    bench.timed_yard(f'same_{data.kind}', 'find', ['find', data.src, '-size', '+100k'])


def _backup(bench, tool, data, row):
    bench.cold(tool)
    done = tool.backup(data.src)
    if row:
        bench.add(row, tool.name, done.seconds)
    bench.add('mem_backup', tool.name, done.peak_mib)
    bench.say(f'  {tool.name:12} backup of {data.kind}, day {data.day}: {done.seconds:.2f} s, {done.peak_mib:.0f} MiB')


def restore(bench, data, turn, timed=True):
    """The newest snapshot into an empty folder, then compared with the source by content, drfs by everything."""
    for tool in bench.in_turn(turn):
        bench.clear()
        bench.cold(tool)
        done = tool.restore(bench.out)
        if timed:
            bench.add(f'restore_{data.kind}', tool.name, done.seconds)
        left = differences(data.src, bench.out, tool.name == 'drfs')
        bench.check(f"{tool.name}'s restore of {data.kind} differs: {left[:3]}", not left)
        bench.say(f'  {tool.name:12} restore of {data.kind}: {done.seconds:.2f} s')
    bench.clear()
    if timed:
        bench.timed_yard(f'restore_{data.kind}', 'cp -a', ['cp', '-a', data.src, bench.out])
        bench.clear()


def one_round(bench, data, turn):
    """All of this file for one data set; the repositories are left for the mounts' rows."""
    bench.say(f'{data.kind}, round {turn + 1}: {data.note}')
    bench.many_files = data.kind == 'tree'
    first(bench, data, turn)
    later(bench, data, turn)
    if data.kind == 'tree':
        same(bench, data, turn)
    timed = data.kind in ('sql', 'tree')
    if timed or turn == 0:
        restore(bench, data, turn, timed)


def drop(bench):
    """The repositories of this data set are not needed any more."""
    for tool in bench.tools:
        tool.drop()
    bench.sweep()
    os.sync()
