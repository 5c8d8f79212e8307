# SPDX-License-Identifier: MIT
"""What the tests of the contract share: backups of one file, times in every spelling, another user, deadlines."""

import contextlib
import datetime
import errno
import json
import os
import shutil
import subprocess
import tempfile
import time

NOBODY = 65534


def until(condition, what, seconds=15):
    """Polls until the condition holds; fails when the deadline passes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def errno_of(call, *args, **options):
    """The name of the error that a call ends in; None when it works."""
    try:
        call(*args, **options)
    except OSError as e:
        return errno.errorcode[e.errno]
    return None


def put(repo, dataset, name, text):
    """One snapshot with one file; the snapshot's facts."""
    repo.drfs("backup", dataset, "--stdin", name, input=text)
    return newest(repo, dataset)


def newest(repo, dataset):
    return max(repo.json("snapshots", dataset), key=lambda s: s["time"])


def put_in_one_minute(repo, dataset, name, *texts):
    """Snapshots that share their minute; waits for the next one when this one is nearly over."""
    until(lambda: time.time() % 60 < 50, "a fresh minute", 20)
    made = [put(repo, dataset, name, text) for text in texts]
    assert len({s["time"][:16] for s in made}) == 1, "the machine is too slow for this test"
    return made


def moment(snapshot):
    """Seconds as a datetime in UTC, and the nanoseconds beyond."""
    text = snapshot["time"]
    return datetime.datetime.fromisoformat(text[:19]).replace(tzinfo=datetime.timezone.utc), int(text[20:29])


def iso(when, nanoseconds=0):
    """RFC 3339 to the nanosecond, carrying where the nanoseconds leave their second."""
    carry, nanoseconds = divmod(nanoseconds, 1_000_000_000)
    return (when + datetime.timedelta(seconds=carry)).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanoseconds:09}"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def files_below(folder):
    """Every file with its size and times: what changes when somebody writes."""
    out = {}
    for where, _, names in os.walk(folder):
        for name in names:
            st = os.lstat(os.path.join(where, name))
            out[os.path.join(where, name)] = (st.st_size, st.st_mtime_ns, st.st_ino)
    return out


def status(mnt):
    return json.loads(read(mnt + "/.drfs/status.json"))


def process_of(mnt):
    """The process that serves a mount, by its own word."""
    found = [v for k, v in status(mnt).items() if k in ("pid", "process", "process_id")]
    assert len(found) == 1, "status.json names no process"
    return int(found[0])


def running(pid):
    """Whether a process is there and has not ended."""
    try:
        return read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def shell(command, **options):
    """Runs a line of shell and expects success; its output."""
    done = subprocess.run(["bash", "-c", "set -o pipefail; " + command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="surrogateescape", timeout=120, check=False,
                          **options)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def as_nobody(repo, *args, binary=None, env=None):
    """Runs a command (drfs itself when only arguments are given) as a user without rights."""
    line = list(args) if binary == "" else [binary or repo.binary, *args]
    return subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *line],
                          env=dict(repo.env, HOME=repo.folder, **(env or {})), stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)


@contextlib.contextmanager
def open_to_all():
    """A folder that every user can enter, unlike pytest's own; drfs's binary is copied into it."""
    folder = tempfile.mkdtemp(prefix="drfs-contract-")
    os.chmod(folder, 0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give_to_nobody(folder):
    for where, folders, names in os.walk(folder):
        for path in [where] + [os.path.join(where, n) for n in folders + names]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def nobodys_repo(fresh_repo, folder):
    """An empty repository that belongs to the user without rights."""
    repo = fresh_repo(folder + "/drfs")
    repo.binary = shutil.copy(repo.binary, folder + "/drfs-binary")
    os.chmod(repo.binary, 0o755)
    give_to_nobody(repo.folder)
    done = as_nobody(repo, "init")
    assert done.returncode == 0, done.stderr
    return repo


DUMP = "--\n-- PostgreSQL database dump\n--\n\n{}\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
