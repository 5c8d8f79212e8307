# SPDX-License-Identifier: MIT
"""What is backed up. A data set has versions ('days'); stage(day) brings the source folder to one of them.

Each is made once below the work folder and kept there with a note of what it was made with, so that a second run with
the same sizes starts at once.
"""
import json
import os
import random
import shutil
from pathlib import Path

from .shell import run


class DataSet:
    """`days` versions in folders <home>/day1…, of which one at a time is the source, always under the same name."""
    kind = ''

    def __init__(self, home, days, **how):
        self.home, self.days, self.how = Path(home) / self.kind, days, how
        self.src = self.home / 'source'
        self.day = 0
        self.note = ''

    def prepare(self):
        """Makes the versions unless they are there already."""
        stamp = self.home / 'made.json'
        how = json.dumps([self.days, self.how, 1])
        if stamp.exists() and json.loads(stamp.read_text('utf-8'))['how'] == how:
            self.note = json.loads(stamp.read_text('utf-8'))['note']
            self.unstage()
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.make()
        stamp.write_text(json.dumps({'how': how, 'note': self.note}), encoding='utf-8')

    def make(self):
        raise NotImplementedError

    def path(self, day):
        return self.home / f'day{day}'

    def unstage(self):
        """Puts the source folder back to where it came from, after this run or one that was stopped."""
        if self.src.exists():
            day = next(d for d in range(1, self.days + 1) if not self.path(d).exists())
            self.src.rename(self.path(day))
        self.day = 0

    def stage(self, day):
        """A whole version takes the place of the one before, as a new dump or a copied data directory does."""
        if self.day != day:
            self.unstage()
            self.path(day).rename(self.src)
            self.day = day


class Media(DataSet):
    """One incompressible file, then 4 KiB in its middle edited."""
    kind = 'media'

    def make(self):
        for day in (1, 2):
            self.path(day).mkdir()
        with open(self.path(1) / 'film.mkv', 'wb') as film:
            for _ in range(self.how['mib']):
                film.write(os.urandom(1 << 20))
        run(['cp', '-a', self.path(1) / 'film.mkv', self.path(2) / 'film.mkv'])
        with open(self.path(2) / 'film.mkv', 'r+b') as film:
            film.seek(self.how['mib'] // 2 * (1 << 20) + 12345)
            film.write(os.urandom(4096))
        self.note = f"{self.how['mib']} MiB random, then 4 KiB edited"


class Tree(DataSet):
    """A tree that is changed in place: only files whose content differs are touched, as by a checkout."""

    def stage(self, day):
        if self.day == day:
            return
        self.src.mkdir(exist_ok=True)
        # By content: the archives date all their files alike, and a checkout leaves what is equal alone.
        flags = ['-rlpgoD', '--checksum'] if self.day else ['-a']
        run(['rsync', *flags, '--delete', f'{self.path(day)}/', f'{self.src}/'])
        self.day = day

    def unstage(self):
        """The source is a copy: it is made anew by the next stage()."""
        shutil.rmtree(self.src, ignore_errors=True)
        self.day = 0


WORDS = ('archive block chunk delta entry file graph host index journal key leaf mount node object pack queue range '
         'snapshot tree unit value wrap static int return struct const char void size if else for while').split()


def some_text(rng, size):
    """About `size` bytes that compress as source code does."""
    lines = []
    while size > 0:
        line = ' '.join(rng.choice(WORDS) for _ in range(rng.randint(3, 12))) + f' {rng.getrandbits(20):x};'
        lines.append(line)
        size -= len(line) + 1
    return ('\n'.join(lines) + '\n').encode()


def grow_tree(top, files, seed, size=lambda rng: int(rng.lognormvariate(8, 1.2))):
    """A generated tree: 60 files a folder, three levels, a symlink and a hard link in each hundred."""
    rng = random.Random(seed)
    pool = some_text(rng, 1 << 20)
    for i in range(files):
        folder = top / f'part{i // 6000}' / f'module{i // 600}' / f'unit{i // 60}'
        if i % 60 == 0:
            folder.mkdir(parents=True)
        name = folder / f'file{i}.c'
        if i % 100 == 98:
            os.symlink(f'file{i - 1}.c', name)
        elif i % 100 == 99:
            os.link(folder / f'file{i - 2}.c' if i % 60 > 1 else previous, name)
        else:
            length = size(rng)
            start = rng.randrange(len(pool))
            with open(name, 'wb') as f:
                f.write(f'/* {i} {rng.getrandbits(64):x} */\n'.encode() + pool[start:start + length])
            previous = name


class GeneratedTree(Tree):
    """Small trees for a smoke test."""
    kind = 'tree'

    def make(self):
        self.path(1).mkdir()
        grow_tree(self.path(1), self.how['files'], 7)
        run(['cp', '-a', self.path(1), self.path(2)])
        rng = random.Random(8)
        names = sorted(p for p in self.path(2).rglob('*.c') if p.is_file() and not p.is_symlink())
        for name in rng.sample(names, len(names) // 25):
            text = name.read_bytes()
            name.unlink()
            name.write_bytes(text + some_text(rng, 200))
        self.note = f"{self.how['files']} generated files, then 4 % of them changed"
