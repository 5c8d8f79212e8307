# SPDX-License-Identifier: MIT
"""Reading through a mount: each row on a mount of its own, with cold caches, and each result compared."""
import os
import random
import statistics
import subprocess
import time
from contextlib import contextmanager

from .bench import DEFAULT_CACHE_MIB, differences
from .shell import count_lines, memory_of, run, size_of

READS = 200


@contextmanager
def mounted(bench, tool, cache=None):
    """A mount with nothing warm; yields the process and the folder that shows the newest snapshot."""
    bench.cold(tool)
    pid, view = tool.mount(bench.mnt, cache)
    try:
        os.listdir(view)
        bench.cold()
        yield pid, view
    finally:
        tool.umount(bench.mnt, pid)


def first_ls(bench, tool, row='mount_ls'):
    """From the mount command to the first listing of the newest snapshot."""
    bench.cold(tool)
    begin = time.monotonic()
    pid, view = tool.mount(bench.mnt)
    names = os.listdir(view)
    bench.add(row, tool.name, time.monotonic() - begin)
    tool.umount(bench.mnt, pid)
    bench.check(f"{tool.name}'s mount shows an empty snapshot", names)


def cat(bench, tool, data):
    """The dump as a stream, cold, then once more from what is warm by then."""
    with mounted(bench, tool) as (_, view):
        path = view / data.file
        size = path.stat().st_size
        cold_mb = size / 1e6 / run(['cat', path]).seconds
        warm_mb = size / 1e6 / run(['cat', path]).seconds
        bench.add('cat_cold', tool.name, cold_mb)
        bench.add('cat_warm', tool.name, warm_mb)
        bench.check(f"{tool.name}'s mount shows other bytes in {data.file}",
                    subprocess.run(['cmp', '-s', path, data.src / data.file], check=False).returncode == 0)
        bench.say(f'  {tool.name:12} cat: {cold_mb:.0f} MB/s cold, {warm_mb:.0f} warm')


def read_at_random(path, seed):
    """(milliseconds, offset, bytes) of reads of 4 KiB at random places."""
    rng = random.Random(seed)
    size = os.stat(path).st_size
    fd = os.open(path, os.O_RDONLY)
    found = []
    for _ in range(READS):
        at = rng.randrange(max(1, size // 4096)) * 4096
        begin = time.perf_counter()
        piece = os.pread(fd, 4096, at)
        found.append(((time.perf_counter() - begin) * 1e3, at, piece))
    os.close(fd)
    return found


def random_reads(bench, tool, data, turn):
    with mounted(bench, tool) as (_, view):
        found = read_at_random(view / data.file, turn)
    with open(data.src / data.file, 'rb') as source:
        good = all(os.pread(source.fileno(), 4096, at) == piece for _, at, piece in found)
    bench.check(f"{tool.name}'s random reads gave other bytes", good)
    _add_reads(found, lambda row, value: bench.add(row, tool.name, value))


def _add_reads(found, add):
    times = sorted(ms for ms, _, _ in found)
    add('rand_median', statistics.median(times))
    add('rand_p95', times[int(len(times) * 0.95)])


def sql_rows(bench, data, turn):
    for tool in bench.in_turn(turn):
        cat(bench, tool, data)
        random_reads(bench, tool, data, turn)
    path = data.src / data.file
    bench.cold()
    for name in ('disk', 'page cache'):
        row = 'cat_cold' if name == 'disk' else 'cat_warm'
        bench.yard(row, name, path.stat().st_size / 1e6 / run(['cat', path]).seconds)
    bench.cold()
    _add_reads(read_at_random(path, turn), lambda row, value: bench.yard(row, 'disk', value))


def find(bench, tool, data, expected):
    with mounted(bench, tool) as (_, view):
        begin = time.monotonic()
        lines = count_lines(['find', f'{view}/', '-type', 'f', '-size', '+8k'])
        bench.add('find', tool.name, time.monotonic() - begin)
    bench.check(f"find sees {lines} files in {tool.name}'s mount, {expected} in the source", lines == expected)


def rsync_lines(src, dest):
    """Seconds of rsync -a --dry-run, and how many differences it lists."""
    begin = time.monotonic()
    lines = count_lines(['rsync', '-a', '--dry-run', '-i', f'{src}/', f'{dest}/'])
    return time.monotonic() - begin, lines


def rsync(bench, tool, data):
    with mounted(bench, tool) as (_, view):
        seconds, lines = rsync_lines(data.src, view)
    bench.add('rsync', tool.name, seconds)
    bench.add('rsync_differs', tool.name, lines)
    if tool.name == 'drfs':
        bench.check(f"rsync sees {lines} differences between the source and drfs's mount", lines == 0)


def copy(bench, tool, data):
    """Copies the tree out, and then, with all of it touched, tells how much memory the mount has ever taken."""
    bench.clear()
    with mounted(bench, tool) as (pid, view):
        seconds = run(['cp', '-a', f'{view}/.', bench.out]).seconds
        bench.add('cp', tool.name, seconds)
        count_lines(['find', f'{view}/', '-ls'])
        memory = memory_of(pid)
        bench.add('mem_mount', tool.name, memory)
    if tool.name == 'drfs':
        bench.check(f'drfs mount took {memory:.0f} MiB, its cache is {DEFAULT_CACHE_MIB}', memory <= DEFAULT_CACHE_MIB + 64)
    left = differences(data.src, bench.out, tool.name == 'drfs')
    bench.check(f"the copy out of {tool.name}'s mount differs: {left[:3]}", not left)
    bench.clear()
    bench.say(f'  {tool.name:12} cp -a out of the mount: {seconds:.2f} s; the mount took {memory:.0f} MiB')


def tree_rows(bench, data, turn):
    """All rows over the tree, with the same done on the disk beside them."""
    bench.cold()
    begin = time.monotonic()
    expected = count_lines(['find', data.src, '-type', 'f', '-size', '+8k'])
    bench.yard('find', 'disk', time.monotonic() - begin)
    for tool in bench.in_turn(turn):
        first_ls(bench, tool)
        find(bench, tool, data, expected)
        rsync(bench, tool, data)
        copy(bench, tool, data)
    bench.clear()
    bench.timed_yard('cp', 'disk', ['cp', '-a', data.src, bench.out])
    bench.cold()
    seconds, _ = rsync_lines(data.src, bench.out)
    bench.yard('rsync', 'disk', seconds)
    bench.clear()


def key_file_row(bench, data, tool, turn):
    """drfs once more, opened by a key file: only the time to the first listing differs."""
    if turn == 0:
        tool.fresh(data.kind)
        tool.backup(data.src)
    bench.check('the archive with a key file is empty', size_of(tool.repo) > 0)
    first_ls(bench, tool, 'mount_ls_key')
