# SPDX-License-Identifier: MIT
"""Writing into the spool, beside a bare passthrough FUSE file system over the same disk, interleaved."""
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

from .data import grow_tree
from .rows_scale import compile_c, set_readahead
from .shell import is_mounted, memory_of, run, wait_for

MIB = 1 << 20


@contextmanager
def passthrough(bench, binary):
    """Yields a folder to write into. What was written stays until the end of the run: see write_rows()."""
    below = bench.work / 'pass'
    below.mkdir(exist_ok=True)
    with subprocess.Popen([str(binary), str(below), str(bench.mnt)]) as server:
        try:
            wait_for('the passthrough mount', lambda: is_mounted(bench.mnt) or server.poll() is not None)
            set_readahead(bench.mnt, 1024)
            yield bench.mnt
        finally:
            if is_mounted(bench.mnt):
                run(['umount', bench.mnt])


class Spool:
    """drfs's mount with two datasets that are committed on request alone, `made` never."""

    def __init__(self, bench, tool):
        self.bench, self.tool = bench, tool
        tool.fresh('spool')
        conf = tool.home / 'spool.conf'
        conf.write_text('[dataset bench]\ncommit = manual\n[dataset made]\ncommit = manual\n', encoding='ascii')
        tool.env['DRFS_CONFIG'] = str(conf)
        self.pid = None

    @contextmanager
    def mounted(self, dataset='bench'):
        self.pid, _ = self.tool.mount(self.bench.mnt)
        try:
            folder = self.bench.mnt / 'spool' / dataset
            if not folder.exists():
                folder.mkdir()
            yield folder
        finally:
            self.tool.umount(self.bench.mnt, self.pid)

    def commit(self):
        return run([self.tool.binary, '-r', str(self.tool.repo), 'commit', 'bench'], env=self.tool.env).seconds

    def end(self):
        self.tool.env.pop('DRFS_CONFIG', None)
        self.tool.drop()


def stream(folder, size, piece):
    """MB/s of writing zeros that the store will not see (the file goes again before any commit)."""
    path = folder / 'stream'
    seconds = run(['dd', 'if=/dev/zero', f'of={path}', f'bs={piece}', f'count={size // piece}']).seconds
    path.unlink()
    return size / 1e6 / seconds


def create(folder, count):
    """Seconds of creating that many files of 1 KiB, 1,000 a folder."""
    data = os.urandom(1024)
    begin = time.monotonic()
    for i in range(count):
        if i % 1000 == 0:
            (folder / f'part{i // 1000}').mkdir()
        fd = os.open(folder / f'part{i // 1000}' / f'f{i}', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, data)
        os.close(fd)
    return time.monotonic() - begin


def write_rows(bench, spool, binary, turn):
    """
    Streams and small files, in both file systems, each in turn the first. Small files are not removed before all
    rounds are through: ext4 without a journal takes an inode that was just freed only after some minutes, and looks
    past all of them for each new file, which made creating some ten times slower in whichever came next.
    """
    small = bench.options.small
    size, count = (32 * MIB, 500) if small else (4096 * MIB, 50000)

    def both(folder, add):
        for name, piece in (('8k', 8 << 10), ('1m', MIB)):
            bench.cold()
            add(f'spool_stream_{name}', stream(folder, size, piece))
        bench.cold()
        add('spool_create', create(folder, count))

    def ours():
        with spool.mounted('made') as folder:
            made = folder / f'made{turn}'
            made.mkdir()
            both(made, lambda row, value: bench.add(row, 'drfs', value))
            bench.add('spool_memory', 'drfs', memory_of(spool.pid))

    def theirs():
        with passthrough(bench, binary) as folder:
            made = folder / f'made{turn}'
            made.mkdir()
            both(made, lambda row, value: bench.yard(row, 'passthrough', value))

    for step in (ours, theirs) if turn % 2 == 0 else (theirs, ours):
        step()


def unchanged_rsync(bench, spool, tree):
    """A tree that the spool holds already: rsync finds nothing to do."""
    with spool.mounted() as folder:
        dest = folder / 'tree'
        if not dest.exists():
            run(['rsync', '-a', f'{tree}/', f'{dest}/'])
            spool.commit()
    with spool.mounted() as folder:
        bench.cold()
        bench.add('spool_rsync', 'drfs', run(['rsync', '-a', f'{tree}/', f'{folder}/tree/']).seconds)
    copy = bench.work / 'tree-copy'
    if not copy.exists():
        run(['rsync', '-a', f'{tree}/', f'{copy}/'])
    bench.cold()
    bench.yard('spool_rsync', 'disk', run(['rsync', '-a', f'{tree}/', f'{copy}/']).seconds)


def change_rows(bench, spool, many, turn):
    """Small changes of something large: a file among many, a folder's name, the middle of a large file."""
    small = bench.options.small
    size = (16 if small else 4096) * MIB
    with spool.mounted() as folder:
        if not (folder / 'many').exists() and not (folder / 'moved').exists():
            run(['cp', '-a', many, folder / 'many'])
            run(['dd', 'if=/dev/urandom', f'of={folder}/large', 'bs=1M', f'count={size // MIB}'])
            spool.commit()
    with spool.mounted() as folder:
        top = folder / ('many' if (folder / 'many').exists() else 'moved')
        next(p for p in sorted(top.rglob('*.c')) if p.is_file() and not p.is_symlink()).write_text(f'changed {turn}\n')
        bench.add('spool_commit_one', 'drfs', spool.commit())
        with open(folder / 'large', 'r+b') as f:
            f.seek(size // 2 + turn * 4 * MIB)
            f.write(os.urandom(MIB))
        bench.add('spool_commit_large', 'drfs', spool.commit())
        begin = time.monotonic()
        top.rename(folder / ('moved' if top.name == 'many' else 'many'))
        bench.add('spool_rename', 'drfs', time.monotonic() - begin)
        bench.add('spool_commit_rename', 'drfs', spool.commit())
        bench.add('spool_memory', 'drfs', memory_of(spool.pid))


def spool_rows(bench, tool):
    """All rounds over one archive."""
    small = bench.options.small
    binary = compile_c(bench, 'passfs', 'fuse3')
    tree, many = bench.work / 'spool-tree', bench.work / 'spool-many'
    for folder, count in ((tree, 500 if small else 50000), (many, 2000 if small else bench.options.spool_many)):
        if not folder.exists():
            folder.mkdir()
            grow_tree(folder, count, 11, lambda rng: rng.randrange(100, 2000))
    spool = Spool(bench, tool)
    try:
        for turn in range(bench.options.rounds):
            write_rows(bench, spool, binary, turn)
        for turn in range(bench.options.rounds):
            unchanged_rsync(bench, spool, tree)
            change_rows(bench, spool, many, turn)
    finally:
        spool.end()
        shutil.rmtree(bench.work / 'tree-copy', ignore_errors=True)
        shutil.rmtree(bench.work / 'pass', ignore_errors=True)
