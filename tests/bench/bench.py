# SPDX-License-Identifier: MIT
"""What all rows share: the work folder, the tools, the results, and the checks of what came back."""
import os
import shutil
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

from .shell import BenchError, cold, is_mounted, run

DEFAULT_CACHE_MIB = 256  # drfs mount without -o cache=
COMMANDS = ('cat', 'cp', 'find', 'openssl', 'rsync', 'tar', 'zstd')


class Bench:
    """One run. Results are lists of values by row and tool; yardsticks likewise by row and name."""

    def __init__(self, work, tools, options, say):
        self.work, self.tools, self.options, self.say = Path(work), tools, options, say
        self.mnt, self.out = self.work / 'mnt', self.work / 'out'
        if is_mounted(self.mnt):
            raise BenchError(f"something is still mounted at '{self.mnt}': umount it")
        self.mnt.mkdir(exist_ok=True)
        self.results = defaultdict(lambda: defaultdict(list))
        self.yards = defaultdict(lambda: defaultdict(list))
        self.limits, self.wrong = {}, []
        self.is_cold = True
        self.trash, self.many_files = self.work / 'trash', False
        self.clear()  # of a run that was stopped
        self.sweep()

    def add(self, row, who, value):
        self.results[row][who].append(value)

    def yard(self, row, name, value):
        self.yards[row][name].append(value)

    def cold(self, tool=None):
        """Data out of memory; the programs that are about to run back into it."""
        self.is_cold = cold() and self.is_cold
        for program in COMMANDS:
            subprocess.run([program, '--version'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if tool:
            tool.warm()

    def in_turn(self, turn):
        """The tools, each round beginning with another, so that none is always the first after the data changed."""
        k = turn % len(self.tools)
        return self.tools[k:] + self.tools[:k]

    def clear(self):
        """
        No output folder. One of many files is only put aside: ext4 without a journal looks past inodes that were just
        freed for each new file, which made the next copy three times slower, whoever's turn it was.
        """
        if self.many_files and self.out.exists():
            self.trash.mkdir(exist_ok=True)
            self.out.rename(self.trash / str(len(os.listdir(self.trash))))
        shutil.rmtree(self.out, ignore_errors=True)

    def sweep(self):
        """What was put aside goes."""
        shutil.rmtree(self.trash, ignore_errors=True)

    def check(self, what, good):
        """A wrong result is kept for the end and fails the run; the measuring goes on."""
        if not good:
            self.wrong.append(what)
            self.say(f'WRONG: {what}')

    def timed_yard(self, row, name, argv, **how):
        """A yardstick is measured cold like the tools."""
        self.cold()
        try:
            self.yard(row, name, run(argv, **how).seconds)
        except BenchError as error:
            self.say(f'{name}: {error}')

    def median(self, row, who):
        values = self.results[row].get(who)
        return statistics.median(values) if values else None


def differences(src, dest, whole):
    """Lines of rsync --itemize-changes between two trees, by content; `whole`: with owners, times, links and xattrs.

    The root folder's own attributes count only where everything does: not every tool keeps them.
    """
    flags = ['-aHAX', '--modify-window=-1'] if whole else ['-rl', '--ignore-times']
    done = subprocess.run(['rsync', *flags, '-nci', '--delete', f'{src}/', f'{dest}/'], stdout=subprocess.PIPE, text=True,
                          errors='replace', check=False, env=dict(os.environ, LC_ALL='C.UTF-8'))
    if done.returncode:
        raise BenchError(f"rsync cannot compare '{src}' with '{dest}'")
    lines = [line for line in done.stdout.splitlines() if whole or line[1:2] in ('f', 'L') and line[0] in '<>c'
             or line.startswith('*deleting')]
    return lines
