# SPDX-License-Identifier: MIT
"""The two newest kernel source trees that the package index offers, fetched by apt and unpacked, nothing installed."""
import os
import shutil
import subprocess
from pathlib import Path

from .data import Tree
from .shell import BenchError, output, run

PACKAGES = ('linux-source-6.1', 'linux-source-6.12')


def offered():
    """(package, version) pairs, newest first; two of the older kernel are preferred: a point release is its daily change."""
    found = []
    for package in PACKAGES:
        versions = []
        for line in output(['apt-cache', 'madison', package]).splitlines():
            version = line.split('|')[1].strip()
            if version not in versions:
                versions.append(version)
        found += [(package, version) for version in two_releases(versions)]
    return found


def two_releases(versions):
    """The newest and the newest of another upstream version, if there is one; else the newest two."""
    upstream = [v.rsplit('-', 1)[0] for v in versions]
    other = next((v for v, u in zip(versions, upstream) if u != upstream[0]), None)
    return [v for v in (versions[:1] + ([other] if other else versions[1:2])) if v]


class KernelTree(Tree):
    """Day 1 is the older, day 2 the newer; folders named in `skip` are left out."""
    kind = 'tree'

    def make(self):
        newest = offered()[:2]
        if len(newest) < 2:
            raise BenchError('the package index offers fewer than two kernel sources; try apt-get update, or --small')
        loads = self.home / 'packages'
        loads.mkdir()
        loads.chmod(0o777)  # apt downloads as a user of its own
        for day, (package, version) in zip((2, 1), newest):
            run(['apt-get', 'download', '-q', f'{package}={version}'], cwd=loads)
            self._unpack(next(loads.glob('*.deb')), self.path(day))
        shutil.rmtree(loads)
        files = sum(len(names) for _, _, names in os.walk(self.path(1)))
        self.note = (f"{files} files: {' -> '.join(f'{p} {v}' for p, v in reversed(newest))}"
                     + (f", without {', '.join(self.how['skip'])}" if self.how['skip'] else ''))

    def _unpack(self, deb, top):
        top.mkdir()
        package = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', str(deb)], stdout=subprocess.PIPE)
        inner = subprocess.Popen(['tar', '-xO', '--wildcards', './usr/src/linux-source-*.tar.xz'],
                                 stdin=package.stdout, stdout=subprocess.PIPE)
        skip = [f'--exclude=linux-source-*/{folder}' for folder in self.how['skip']]
        done = subprocess.run(['tar', '-xJ', '--strip-components=1', '--no-same-owner', *skip, '-C', str(top)],
                              stdin=inner.stdout, check=False)
        if done.returncode or inner.wait() or package.wait():
            raise BenchError(f"cannot unpack '{Path(deb).name}'")
        deb.unlink()
