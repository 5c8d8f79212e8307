# SPDX-License-Identifier: MIT
"""What the tests of the spool share: policies, commits, comparing trees, a mount that can be killed."""

import contextlib
import os
import signal
import subprocess

from contract import newest, process_of, running, shell, until


def configure(repo, **datasets):
    """Writes a configuration: configure(repo, db="commit = manual"), and has the command use it."""
    path = repo.folder + "/drfs.conf"
    with open(path, "w", encoding="utf-8") as f:
        f.write("[repository]\n" + datasets.pop("repository", "") + "\n")
        for name, lines in datasets.items():
            f.write(f"[dataset {name}]\n{lines}\n")
    repo.env["DRFS_CONFIG"] = path


def dataset(mnt, name):
    """A new dataset's working copy."""
    path = f"{mnt}/spool/{name}"
    os.mkdir(path)
    return path


def commit(folder):
    """As `touch .commit` does it: returns when the snapshot is in the store."""
    fd = os.open(folder + "/.commit", os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.utime(fd)
    finally:
        os.close(fd)


def count(repo, name):
    return sum(s["dataset"] == name for s in repo.json("snapshots"))


def differences(one, other, times=True):
    """What rsync would do to make `other` like `one`, by content."""
    how = "-aHAXnci" if times else "-rlpgoDHAXnci"
    return shell(f"rsync {how} --delete '{one}/' '{other}/'")


def assert_same(one, other, times=True):
    found = differences(one, other, times)
    assert found == "", found


def assert_committed(repo, mnt, name, like=None):
    """Commits, and finds in latest what the working copy showed, and what `like` has."""
    work = f"{mnt}/spool/{name}"
    before = count(repo, name)
    commit(work)
    assert count(repo, name) == before + 1
    assert newest(repo, name)["state"] == "whole"
    assert_same(work, f"{mnt}/{name}/latest")
    if like:
        assert_same(like, f"{mnt}/{name}/latest")


@contextlib.contextmanager
def killed(repo, *options):
    """A mount whose process is killed without a word when the `with` ends."""
    mnt = repo.folder + "/mnt"
    os.makedirs(mnt, exist_ok=True)
    repo.drfs("mount", mnt, *options)
    pid = process_of(mnt)
    try:
        yield mnt
    finally:
        os.kill(pid, signal.SIGKILL)
        until(lambda: not running(pid), "the process is gone")
        subprocess.run(["umount", "-l", mnt], check=False)
