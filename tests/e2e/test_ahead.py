# SPDX-License-Identifier: MIT
"""Callers who ask for names one by one: what the kernel asks the mount for, counted in its own log of requests."""

import contextlib
import glob
import os
import re
import subprocess
import time

import pytest
from contract import read, until
from spooling import commit, configure
from test_mount_serving import in_foreground

pytestmark = pytest.mark.usefixtures("fuse")

FOLDERS, FILES = 20, 100


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def grow(folder):
    for d in range(FOLDERS):
        os.makedirs(f"{folder}/d{d:02}")
        for f in range(FILES):
            write(f"{folder}/d{d:02}/f{f:02}", f"{d} {f}\n")


def requests(log, kind):
    """The nodes that requests of a kind were for."""
    return [int(node) for node in re.findall(rf"opcode: {kind} \(\d+\), nodeid: (\d+)", read(log))]


def quiet(log):
    """Waits until no request has come for a while."""
    size, since = -1, time.monotonic()

    def settled():
        nonlocal size, since
        now = os.path.getsize(log)
        if now != size:
            size, since = now, time.monotonic()
        return time.monotonic() - since > 0.3

    until(settled, "no requests")


def ask(folder, names):
    for name in names:
        os.lstat(f"{folder}/{name}")


def folders_of(top):
    return {os.stat(path).st_ino for path, _, _ in os.walk(top)}


@pytest.fixture(name="tree")
def fixture_tree(repo, tmp_path):
    grow(tmp_path / "tree")
    repo.drfs("backup", "files", f"{tmp_path}/tree/")
    return repo


@pytest.mark.parametrize("where", ["files/latest", "spool/files"])
def test_what_comes_after_names_that_were_asked_for_is_not_asked_for_any_more(tree, where):
    configure(tree, files="commit = manual")
    names = [f"f{f:02}" for f in range(FILES)]
    with in_foreground(tree, "-o", "debug") as (mnt, log):
        top = f"{mnt}/{where}"
        ask(f"{top}/d03", names[:20])
        quiet(log)
        before = len(requests(log, "LOOKUP"))
        ask(f"{top}/d03", names[20:])
        for d in range(4, FOLDERS):
            ask(f"{top}/d{d:02}", names)
        assert len(requests(log, "LOOKUP")) - before <= 2
        # And what was learned is right.
        assert os.lstat(f"{top}/d19/f99").st_size == len("19 99\n")


def test_nothing_outside_of_the_snapshot_is_listed(tree, tmp_path):
    write(f"{tmp_path}/tree/more", "more")
    tree.drfs("backup", "files", f"{tmp_path}/tree/")
    with in_foreground(tree, "-o", "debug") as (mnt, log):
        ask(f"{mnt}/files/latest/d03", [f"f{f:02}" for f in range(20)])
        until(lambda: len(requests(log, "OPENDIR")) > FOLDERS / 2, "folders are listed")
        quiet(log)
        opened = set(requests(log, "OPENDIR"))
        allowed = folders_of(f"{mnt}/files/latest/") | {os.stat(mnt).st_ino, 1}
        assert opened <= allowed


def test_a_few_names_here_and_there_list_nothing(tree):
    with in_foreground(tree, "-o", "debug") as (mnt, log):
        for d in range(0, FOLDERS, 4):
            ask(f"{mnt}/files/latest/d{d:02}", ["f01", "f02", "f03"])
        quiet(log)
        assert not requests(log, "OPENDIR")


def test_changes_made_meanwhile_are_seen_at_once(tree):
    configure(tree, files="commit = manual")
    with in_foreground(tree) as (mnt, _):
        top = f"{mnt}/spool/files"
        for d in range(FOLDERS):
            folder = f"{top}/d{d:02}"
            ask(folder, [f"f{f:02}" for f in range(10)])
            os.unlink(f"{folder}/f50")
            os.rename(f"{folder}/f51", f"{folder}/moved")
            write(f"{folder}/f52", "another text\n")
            os.chmod(f"{folder}/f53", 0o600)
            assert not os.path.lexists(f"{folder}/f50")
            assert not os.path.lexists(f"{folder}/f51")
            assert read(f"{folder}/moved") == f"{d} 51\n"
            assert os.lstat(f"{folder}/f52").st_size == len("another text\n")
            assert os.lstat(f"{folder}/f53").st_mode & 0o777 == 0o600
        commit(top)
        for d in range(FOLDERS):
            assert sorted(os.listdir(f"{top}/d{d:02}")) == sorted(os.listdir(f"{mnt}/files/latest/d{d:02}"))
            assert len(os.listdir(f"{top}/d{d:02}")) == FILES - 1


def serving(mnt):
    """Is a process there that serves this mount point?"""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"\0{mnt}\0" in read(path):
                return True
    return False


def test_it_never_keeps_a_mount_point_busy_nor_the_process_behind(tree):
    mnt = tree.folder + "/mnt"
    os.makedirs(mnt)
    for names in range(8, 40, 4):
        tree.drfs("mount", mnt)
        assert serving(mnt)
        ask(f"{mnt}/files/latest/d00", [f"f{f:02}" for f in range(names)])
        subprocess.run(["umount", mnt], check=True)
        until(lambda: not serving(mnt), "the process ends")
