# SPDX-License-Identifier: MIT
"""Running commands and measuring them: seconds, peak memory, cold caches, daemons found by their command line."""
import os
import resource
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """A command failed or a result was wrong; the text says which."""


@dataclass
class Run:
    """One finished command: wall-clock seconds and the peak memory of it and the children it waited for, in MiB."""
    seconds: float
    peak_mib: float


def run(argv, cwd=None, env=None, stdin=None, stdout=subprocess.DEVNULL, ok=(0,)):
    """Runs a command to its end; raises BenchError with what it said when its status is not in `ok`."""
    with tempfile.TemporaryFile() as said:
        begin = time.monotonic()
        child = subprocess.Popen([str(a) for a in argv], cwd=cwd, env=env, stdin=stdin or subprocess.DEVNULL,
                                 stdout=stdout, stderr=said)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()  # else it would hold on to what is now cleaned up
            child.wait()
            raise
        seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in ok:
            said.seek(0)
            text = said.read()[-2000:].decode(errors='replace')
            raise BenchError(f"'{' '.join(str(a) for a in argv)}' ended with {child.returncode}: {text.strip()}")
    return Run(seconds, usage.ru_maxrss / 1024)


def output(argv, cwd=None, env=None):
    """What a command prints, as text without the last newline."""
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors='replace', check=False)
    if done.returncode != 0:
        raise BenchError(f"'{' '.join(str(a) for a in argv)}' ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.rstrip('\n')


def cold():
    """Writes back and drops the kernel's caches; False where that is not allowed (then all is measured warm)."""
    os.sync()
    try:
        Path('/proc/sys/vm/drop_caches').write_text('3\n', encoding='ascii')
    except OSError:
        return False
    return True


def size_of(folder):
    """Bytes of all regular files below a folder."""
    return sum(os.lstat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names)


def is_mounted(path):
    """Whether something is mounted exactly there; a dead mount counts."""
    return any(line.split()[4] == str(path) for line in Path('/proc/self/mountinfo').read_text('utf-8').splitlines())


def daemon_of(mnt):
    """The process that serves a mount point: the one that names it on its command line, and 'mount'."""
    for entry in Path('/proc').iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / 'cmdline').read_bytes().decode(errors='replace').split('\0')
        except OSError:
            continue
        if str(mnt) in words and any('mount' in word for word in words):
            return int(entry.name)
    raise BenchError(f"no process serves '{mnt}'")


def memory_of(pid):
    """Peak resident memory of a living process, in MiB."""
    for line in Path(f'/proc/{pid}/status').read_text('utf-8').splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) / 1024
    raise BenchError(f'process {pid} has ended')


def wait_for(what, test, seconds=30.0, step=0.002):
    """Polls until test() is true; raises when that takes too long."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise BenchError(f'{what} did not happen within {seconds:.0f} s')
        time.sleep(step)


def stop(pid, seconds=10.0):
    """Ends a process that this benchmark started, and waits for it to be gone."""
    try:
        os.kill(pid, signal.SIGTERM)
        wait_for(f'the end of process {pid}', lambda: not Path(f'/proc/{pid}').exists(), seconds)
    except ProcessLookupError:
        pass


def count_lines(argv):
    """How many lines a command prints, without holding them; its exit status does not matter."""
    with subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE) as child:
        try:
            return sum(1 for _ in child.stdout)
        except BaseException:
            child.kill()
            raise


def own_peak():
    """Peak memory of this script in MiB: what it starts cannot be seen to take less."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
