# SPDX-License-Identifier: MIT
"""restic, borg and drfs behind one interface, so that each row is measured the same way for all."""
import os
import shutil
import subprocess
from pathlib import Path

from .shell import BenchError, daemon_of, is_mounted, output, run, stop, wait_for

PASSWORD = 'a passphrase of the benchmark'


class Tool:
    """A backup program with one repository at a time. `kind` names the data set that is in it."""
    name = ''

    def __init__(self, home):
        self.home = Path(home)
        self.repo = self.home / 'repo'
        self.kind = ''
        self.count = 0
        self.env = dict(os.environ, HOME=str(self.home), LC_ALL='C.UTF-8')

    def fresh(self, kind):
        """Makes an empty repository; the one before, and all that was cached of it, is gone."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.kind, self.count = kind, 0
        self.init()

    def warm(self):
        """Brings the program itself, not its data, back into memory: what is measured is no cold start of Python."""
        self.version()

    def drop(self):
        """Gives the disk space back."""
        shutil.rmtree(self.home, ignore_errors=True)

    def umount(self, mnt, pid):
        """Unmounts and waits until the process has gone."""
        if is_mounted(mnt):
            run(['umount', mnt], ok=(0, 32))
        if is_mounted(mnt):
            run(['umount', '-l', mnt])
        try:
            wait_for(f"the end of {self.name}'s mount", lambda: not Path(f'/proc/{pid}').exists() or zombie(pid), 20)
        except BenchError:
            stop(pid)


def zombie(pid):
    """Whether a process has ended and only waits to be asked for its status."""
    try:
        return Path(f'/proc/{pid}/stat').read_text('utf-8').rsplit(')', 1)[1].split()[0] == 'Z'
    except OSError:
        return True


class Restic(Tool):
    """restic, as it is out of the box."""
    name = 'restic'

    def __init__(self, home):
        super().__init__(home)
        self.env.update(RESTIC_REPOSITORY=str(self.repo), RESTIC_PASSWORD=PASSWORD,
                        RESTIC_CACHE_DIR=str(self.home / 'cache'))

    @staticmethod
    def version():
        return output(['restic', 'version']).split(' compiled')[0]

    def init(self):
        run(['restic', 'init', '-q'], env=self.env)

    def backup(self, src):
        self.count += 1
        return run(['restic', 'backup', '-q', '.'], cwd=src, env=self.env)

    def restore(self, dest):
        return run(['restic', 'restore', '-q', 'latest', '--target', dest], env=self.env)

    def mount(self, mnt, _cache=None):
        """Stays in the foreground, so that its readiness has to be looked for."""
        with open(self.home / 'mount.log', 'wb') as log:
            child = subprocess.Popen(['restic', 'mount', '-q', str(mnt)], env=self.env, stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log)
        view = Path(mnt) / 'snapshots' / 'latest'
        wait_for("restic's mount", lambda: is_mounted(mnt) or child.poll() is not None, step=0.001)
        if child.poll() is not None:
            raise BenchError('restic mount: ' + (self.home / 'mount.log').read_text('utf-8', 'replace'))
        return child.pid, view


class Borg(Tool):
    """borg with one compression; the files cache and all else as out of the box."""

    def __init__(self, home, compression, name):
        super().__init__(home)
        self.compression, self.name = compression, name
        self.env.update(BORG_REPO=str(self.repo), BORG_PASSPHRASE=PASSWORD, BORG_BASE_DIR=str(self.home / 'base'),
                        BORG_RELOCATED_REPO_ACCESS_IS_OK='yes', BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK='yes')

    @staticmethod
    def version():
        return output(['borg', '--version'])

    def init(self):
        run(['borg', 'init', '-e', 'repokey-blake2'], env=self.env)

    def backup(self, src):
        self.count += 1
        return run(['borg', 'create', '-C', self.compression, f'::n{self.count}', '.'], cwd=src, env=self.env)

    def restore(self, dest):
        Path(dest).mkdir()
        return run(['borg', 'extract', f'::n{self.count}'], cwd=dest, env=self.env)

    def mount(self, mnt, _cache=None):
        run(['borg', 'mount', '::', mnt], env=self.env)
        return daemon_of(mnt), Path(mnt) / f'n{self.count}'


class Drfs(Tool):
    """drfs, opened by a passphrase as the others are, or by a key file."""

    def __init__(self, home, binary, key_file=False, name='drfs'):
        super().__init__(home)
        self.binary, self.name = str(binary), name
        for word in ('DRFS_REPO', 'DRFS_CONFIG', 'DRFS_PASSWORD_FILE', 'DRFS_PASSWORD_COMMAND', 'DRFS_KEY_FILE'):
            self.env.pop(word, None)
        self.env.update(XDG_CACHE_HOME=str(self.home / 'cache'), XDG_STATE_HOME=str(self.home / 'state'),
                        XDG_CONFIG_HOME=str(self.home / 'conf'), XDG_RUNTIME_DIR=str(self.home / 'run'))
        if key_file:
            self.env['DRFS_KEY_FILE'] = str(self.home / 'key')
        else:
            self.env['DRFS_PASSWORD'] = PASSWORD

    def version(self):
        return output([self.binary, '--version'])

    def _argv(self, *words):
        return [self.binary, '-r', str(self.repo), *words]

    def init(self):
        (self.home / 'run').mkdir(mode=0o700)
        run(self._argv('init'), env=self.env)

    def backup(self, src):
        self.count += 1
        return run(self._argv('backup', self.kind, f'{src}/'), env=self.env)

    def restore(self, dest):
        return run(self._argv('restore', f'{self.kind}/latest', dest), env=self.env)

    def mount(self, mnt, cache=None):
        options = ['-o', f'cache={cache}'] if cache else []
        run(self._argv('mount', *options, str(mnt)), env=self.env)
        return daemon_of(mnt), Path(mnt) / self.kind / 'latest'

    def umount(self, mnt, pid):
        if is_mounted(mnt):
            run([self.binary, 'umount', mnt], env=self.env)
        wait_for("the end of drfs's mount", lambda: not Path(f'/proc/{pid}').exists(), 20)


def find_tools(names, home, binary):
    """The wanted tools that are installed, as a list, drfs first; what is missing is told by name."""
    tools, missing = [], []
    for name in names:
        if name == 'drfs':
            if Path(binary).exists():
                tools.append(Drfs(home / 'drfs', binary))
            else:
                missing.append(f"drfs (no '{binary}')")
        elif not shutil.which(name.split()[0]):
            missing.append(name)
        elif name == 'restic':
            tools.append(Restic(home / 'restic'))
        elif name == 'borg lz4':
            tools.append(Borg(home / 'borg-lz4', 'lz4', name))
        elif name == 'borg zstd-3':
            tools.append(Borg(home / 'borg-zstd', 'zstd,3', name))
        else:
            raise BenchError(f"there is no tool '{name}'")
    return tools, missing
