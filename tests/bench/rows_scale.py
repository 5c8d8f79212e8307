# SPDX-License-Identifier: MIT
"""Memory against the number of files, and the limits of this machine: an empty FUSE file system, one core's ciphers."""
import json
import os
import shutil
import subprocess
from pathlib import Path

from .data import grow_tree
from .rows_mount import mounted
from .shell import BenchError, cold, count_lines, is_mounted, memory_of, output, run, wait_for

HERE = Path(__file__).resolve().parent
SCALE_CACHE = 64  # MiB: small, so that what grows beside it is seen


def scale(bench):
    """Backup and mount of generated trees of small files; everything is walked and read before memory is asked."""
    for size, files in zip('sl', bench.options.scale):
        top = bench.work / 'scale'
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir()
        grow_tree(top, files, 5, lambda rng: rng.randrange(100, 2000))
        for tool in bench.tools:
            tool.fresh('scale')
            bench.cold()
            done = tool.backup(top)
            bench.add(f'scale_backup_{size}', tool.name, done.peak_mib)
            with mounted(bench, tool, f'{SCALE_CACHE}M') as (pid, view):
                seen = count_lines(['find', f'{view}/', '-type', 'f', '-size', '-100k'])
                run(['bash', '-c', 'find "$1" -type f -print0 | xargs -0 cat', 'bash', f'{view}/'])
                memory = memory_of(pid)
            bench.add(f'scale_mount_{size}', tool.name, memory)
            want = count_lines(['find', top, '-type', 'f'])
            bench.check(f"{tool.name}'s mount shows {seen} of {want} files", seen == want)
            if tool.name == 'drfs':
                bench.check(f'drfs mount of {files} files took {memory:.0f} MiB', memory <= SCALE_CACHE + 64)
            tool.drop()
            bench.say(f'  {tool.name:12} {files} files: backup {done.peak_mib:.0f} MiB, mount {memory:.0f} MiB')
        shutil.rmtree(top)


def compile_c(bench, name, *packages):
    """A small C program beside this file, built with what pkg-config knows."""
    target = bench.work / name
    flags = output(['pkg-config', '--cflags', '--libs', *packages]).split()
    run(['gcc', '-std=gnu17', '-D_GNU_SOURCE', '-D_FILE_OFFSET_BITS=64', '-O2', '-o', target, HERE / f'{name}.c', *flags])
    return target


def core_limits(bench, sample):
    """GB a second of hash, seal and compression on one core, over the dump's text."""
    try:
        bench.limits.update(json.loads(output([compile_c(bench, 'limits', 'libsodium', 'libcrypto', 'libzstd'), sample])))
    except BenchError as error:
        bench.say(f'limits of one core: {error}')


def set_readahead(mnt, kib):
    """As drfs does after mounting as root: without it no read is larger than 128 KiB."""
    dev = os.stat(mnt).st_dev
    path = Path(f'/sys/class/bdi/{os.major(dev)}:{os.minor(dev)}/read_ahead_kb')
    try:
        path.write_text(str(kib), encoding='ascii')
    except OSError:
        return False
    return True


def empty_fuse(bench, size):
    """How fast a FUSE file system is that does nothing: through the page cache, past it, and over many entries."""
    try:
        binary = compile_c(bench, 'nullfs', 'fuse3')
        for mode in ('page cache', 'direct'):
            words = [binary, bench.mnt, size] + (['direct'] if mode == 'direct' else [])
            with subprocess.Popen([str(w) for w in words]) as server:
                try:
                    wait_for("the empty file system's mount", lambda: is_mounted(bench.mnt) or server.poll() is not None)
                    set_readahead(bench.mnt, 1024)
                    cold()
                    speed = size / 1e6 / run(['cat', bench.mnt / 'zero']).seconds
                    bench.yard('cat_cold', f'empty FUSE, {mode}', speed)
                    if mode == 'direct':
                        bench.yard('find', 'empty FUSE, 100,000 entries', run(
                            ['find', bench.mnt / 'many', '-size', '+8k']).seconds)
                finally:
                    if is_mounted(bench.mnt):
                        run(['umount', bench.mnt])
    except (BenchError, OSError) as error:
        bench.say(f'empty FUSE file system: {error}')
