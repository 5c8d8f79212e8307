# SPDX-License-Identifier: MIT
"""The spool in trouble: a store that hangs or fails, a clock that is set back, a staging folder that refuses."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from contract import errno_of, newest, read, status, until
from spooling import commit, configure, count, dataset

pytestmark = pytest.mark.usefixtures("fuse")
HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 30  # seconds without progress, then EIO


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def row(mnt, name):
    """What status.json says of a dataset."""
    return next(r for r in status(mnt)["spool"] if r["dataset"] == name)


def compiled(out, source, *options):
    """Compiles a helper of these tests."""
    if not shutil.which("gcc") or not shutil.which("pkg-config"):
        pytest.skip("gcc and pkg-config are needed")
    found = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(found.stderr)
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", *options, "-o", out, source,
                    *found.stdout.split()], check=True)
    return out


@contextlib.contextmanager
def in_foreground(repo, env=None):
    """A mount whose log can be read: gives the mount point and the log's path."""
    mnt, log = repo.folder + "/mnt", repo.folder + "/log"
    os.makedirs(mnt, exist_ok=True)
    with open(log, "a", encoding="utf-8") as out:
        p = subprocess.Popen([repo.binary, "mount", mnt, "-f"], env=dict(repo.env, **(env or {})), stderr=out)
    try:
        until(lambda: os.path.ismount(mnt) or p.poll() is not None, "the mount is there")
        assert p.poll() is None, read(log)
        yield mnt, log
    finally:
        subprocess.run(["umount", "-l", mnt], check=False)
        try:
            p.wait(timeout=30)
        except subprocess.TimeoutExpired:
            p.kill()
            raise
    assert p.returncode == 0


class Disk:
    """A folder below a passthrough file system in a process of its own, which can be stopped, or told to refuse."""

    def __init__(self, folder, program):
        self.path, self.switch, self.backing = folder + "/disk", folder + "/refusing", folder + "/backing"
        for path in (self.path, self.backing):
            os.makedirs(path)
        self.process = subprocess.Popen([program, self.backing, self.path], env=dict(os.environ, REFUSING=self.switch))

    def hang(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def refuse(self, wanted):
        if wanted:
            write(self.switch, "")
        else:
            os.unlink(self.switch)

    def end(self):
        self.go_on()
        subprocess.run(["umount", "-l", self.path], check=False)
        self.process.wait(20)


@pytest.fixture
def disk(bare, tmp_path):
    program = compiled(str(tmp_path / "passfs"), HERE + "/../bench/passfs.c", "-D_FILE_OFFSET_BITS=64", "-include",
                       HERE + "/refusing.h")
    made = Disk(bare.folder, program)
    try:
        until(lambda: os.path.ismount(made.path), "the file system is mounted")
        yield made
    finally:
        made.end()


@pytest.fixture
def tmpfs(tmp_path):
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    path = str(tmp_path / "tmpfs")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48M", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=False)


def settle(repo, path):
    """Has the repository lie at `path`, and makes it there."""
    repo.path = path
    repo.env["DRFS_REPO"] = path
    repo.drfs("init")


class Waiting(threading.Thread):
    """A call in a thread of its own, since it may hang: how it ended, and after how many seconds."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.result, self.seconds = call, args, None, None
        self.start()

    def run(self):
        began = time.monotonic()
        self.result = self.call(*self.args)
        self.seconds = time.monotonic() - began

    def ended(self, within):
        self.join(within)
        assert self.seconds is not None, f"still waiting: {self.call.__name__}{self.args}"
        return self.result


def at_once(call, *args):
    return Waiting(call, *args).ended(5)


def closing(path, text):
    """The error of a close that waits."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, text.encode())
    return errno_of(os.close, fd)


def look_around(mnt, works, number):
    """What has nothing to do with the store goes on."""
    other = works["other"]
    at_once(write, f"{other}/{number}", "beside")
    assert at_once(read, f"{other}/{number}") == "beside"
    at_once(os.rename, f"{other}/{number}", f"{other}/beside")
    assert at_once(read, other + "/staged") == "staged"
    assert set(at_once(os.listdir, works["touched"])) == {"before", "new"}
    return {r["dataset"]: r for r in at_once(status, mnt)["spool"]}


def test_no_request_waits_longer_than_30_s_for_a_store_that_hangs(bare, disk):
    repo = bare
    settle(repo, disk.path + "/repo")
    configure(repo, touched="commit = manual", told="commit = manual", wal="commit = manual\ndurability = remote",
              idle="commit = idle:1s", other="commit = manual")
    behind = ("touched", "told", "wal", "idle")
    repo.drfs("backup", "touched", "--stdin", "before", input="touched")
    with in_foreground(repo) as (mnt, log):
        works = {name: f"{mnt}/spool/{name}" for name in (*behind, "other")}
        for name in ("told", "wal", "idle", "other"):
            dataset(mnt, name)
            write(works[name] + "/before", name)
            commit(works[name])
        assert read(works["touched"] + "/before") == "touched"
        write(works["other"] + "/staged", "staged")
        made = {name: count(repo, name) for name in behind}
        disk.hang()
        try:
            for name in ("touched", "told", "idle"):
                at_once(write, works[name] + "/new", name)
            # Before the others: a process that is started now would close what they have open, and wait with them.
            process = subprocess.Popen([repo.binary, "commit", "told"], env=repo.env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            command = Waiting(process.communicate)
            waiting = [Waiting(errno_of, commit, works["touched"]), Waiting(closing, works["wal"] + "/new", "wal")]
            number = 0
            while any(w.is_alive() for w in (*waiting, command)) and number < 4 * (PATIENCE + 12):
                rows = look_around(mnt, works, number)
                number += 1
                time.sleep(0.25)
            for w in waiting:
                assert w.ended(0) == "EIO" and PATIENCE - 1 < w.seconds < PATIENCE + 5
            out, said = command.ended(0)
            assert process.returncode == 1 and out == ""
            assert "kept and tried again: the commit of 'told' gets nowhere" in said, said
            for name in behind:
                assert rows[name]["state"] == "committing" and rows[name]["pending_changes"] > 0, rows[name]
            assert rows["touched"]["last_error"] == f"no progress for {PATIENCE} s", rows["touched"]
            assert "the commit of 'touched' gets nowhere" in read(log)
        finally:
            disk.go_on()
        for name in behind:
            until(lambda n=name: count(repo, n) > made[n], f"{name} is committed", 20)
            until(lambda n=name: row(mnt, n)["state"] == "clean", f"{name} is clean")
            assert row(mnt, name)["last_error"] is None
            assert [read(f"{mnt}/{name}/latest/{file}") for file in ("before", "new")] == [name, name]
        write(works["wal"] + "/new", "again")
        assert read(mnt + "/wal/latest/new") == "again"
        assert {name: count(repo, name) - made[name] for name in behind} == dict.fromkeys(behind, 1) | {"wal": 2}
    repo.drfs("check", "--read-data")


def read_only(store, wanted):
    subprocess.run(["mount", "-o", "remount," + ("ro" if wanted else "rw"), store], check=True)


def full(store, wanted):
    if not wanted:
        os.unlink(store + "/filling")
        return

    def fill():
        with open(store + "/filling", "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
    assert errno_of(fill) == "ENOSPC"


@pytest.mark.parametrize("trouble, words", ((read_only, "Read-only file system"), (full, "No space left on device")))
def test_a_store_that_fails_is_tried_again_until_it_works(bare, tmpfs, trouble, words):
    repo = bare
    settle(repo, tmpfs + "/repo")
    configure(repo, db="commit = close")
    with in_foreground(repo) as (mnt, log):
        work = dataset(mnt, "db")
        write(work + "/a", "before")
        commit(work)
        trouble(tmpfs, True)
        write(work + "/a", "behind")
        assert Waiting(errno_of, commit, work).ended(PATIENCE + 5) == "EIO"
        assert "what was written is kept and tried again: " in repo.cli("commit", "db", code=1).stderr
        seen = until(lambda: row(mnt, "db")["next_try"] and row(mnt, "db"), "it waits before it tries again")
        assert seen["state"] == "retrying" and seen["pending_changes"] > 0
        assert seen["last_error"].endswith(words), seen["last_error"]
        lines = [line for line in read(log).splitlines() if "cannot commit 'db': " in line]
        assert words in lines[0] and lines[0].endswith("what was written is kept, and tried again")
        until(lambda: read(log).count("cannot commit 'db': ") > len(lines), "it is tried again by itself", 70)
        assert read(work + "/a") == "behind" and read(mnt + "/db/latest/a") == "before"
        trouble(tmpfs, False)
        until(lambda: read(mnt + "/db/latest/a") == "behind", "the snapshot is there", 70)
        healed = until(lambda: row(mnt, "db")["state"] == "clean" and row(mnt, "db"), "status.json tells so")
        assert healed["last_error"] is None and healed["next_try"] is None and healed["pending_changes"] == 0
    assert count(repo, "db") == 2
    repo.drfs("check", "--read-data")


@pytest.fixture
def clock(repo, tmp_path):
    """The environment for a process whose clock can be set, and what sets it by so many seconds."""
    library = compiled(str(tmp_path / "clockshift.so"), HERE + "/clockshift.c", "-shared", "-fPIC")
    path = str(tmp_path / "shift")

    def turn(seconds):
        write(path + ".new", str(seconds))
        os.rename(path + ".new", path)
    turn(0)
    repo.env.update(CLOCKSHIFT=path)
    return {"LD_PRELOAD": library}, turn


def test_a_clock_that_is_set_back_changes_no_order_and_hides_no_change(repo, clock):
    env, turn = clock
    configure(repo, db="commit = manual", idle="commit = idle:1s")
    names, times = [], []
    with in_foreground(repo, env) as (mnt, _):
        works = [dataset(mnt, name) for name in ("db", "idle")]

        def change(number, text):
            for work in works:
                write(f"{work}/{number}", text)
                write(work + "/same", text)
            commit(works[0])
            for name, work in zip(("db", "idle"), works):
                until(lambda p=f"{mnt}/{name}/latest/same": os.path.exists(p) and read(p) == text, f"{name} is committed")
                assert read(work + "/same") == text
                for place in (f"{mnt}/{name}/latest", work):
                    assert sorted(os.listdir(place + "/")) == [*map(str, range(number + 1)), "same"]
            names.append(os.readlink(mnt + "/db/latest"))
            times.append(os.stat(works[0] + "/same").st_mtime)
        change(0, "one")
        turn(-3600)
        change(1, "two")
        change(2, "six")
        turn(-86400)
        change(3, "ten")
        assert times[0] - 3600 < times[1] + 60 and times[2] - 80000 > times[3], "the mount did not see the clock turn"
        time.sleep(3)  # a working copy moves when it was quiet so long
        for work in works:
            assert read(work + "/same") == "ten" and len(os.listdir(work)) == 5
    assert len(set(names)) == 4
    assert [s["name"] for s in sorted(repo.json("snapshots", "db"), key=lambda s: s["time"])] == names
    with in_foreground(repo, env) as (mnt, log):
        for name in ("db", "idle"):
            assert read(f"{mnt}/spool/{name}/same") == "ten" and len(os.listdir(f"{mnt}/spool/{name}")) == 5
        write(mnt + "/spool/db/same", "six")
        commit(mnt + "/spool/db")
        assert read(mnt + "/db/latest/same") == "six"
        assert "crossed" not in read(log) and "the clock was set back" in read(log)


def refused(call, *args):
    return at_once(errno_of, call, *args) in ("EROFS", "EIO")


def test_a_staging_disk_that_turns_read_only_refuses_at_once_and_keeps_what_was_closed(repo, disk):
    configure(repo, repository=f"spool_dir = {disk.path}", db="commit = manual", other="commit = idle:1s")
    repo.drfs("backup", "files", "--stdin", "saved", input="saved")
    with in_foreground(repo) as (mnt, log):
        works = [dataset(mnt, name) for name in ("db", "other")]
        for work in works:
            write(work + "/a", "closed")
        assert os.listdir(mnt + "/spool/files") == ["saved"]
        held = os.open(works[0] + "/a", os.O_RDWR)
        disk.refuse(True)
        try:
            assert refused(os.write, held, b"lost")
            assert refused(write, works[0] + "/b", "lost")
            assert refused(os.rename, works[0] + "/a", works[0] + "/c")
            assert refused(commit, works[0])
            assert at_once(read, mnt + "/files/latest/saved") == "saved"
            assert at_once(read, mnt + "/spool/files/saved") == "saved"
            assert at_once(read, works[1] + "/a") == "closed"
            assert row(mnt, "db")["state"] == "retrying" and row(mnt, "db")["last_error"]
            assert "Read-only file system" in read(log)
        finally:
            disk.refuse(False)
            errno_of(os.close, held)
        for work in works:
            write(work + "/d", "after")
            os.rename(work + "/d", work + "/e")
        repo.drfs("commit", "db")
        for name in ("db", "other"):
            until(lambda p=f"{mnt}/{name}/latest/e": os.path.exists(p), f"{name} is committed")
            assert {n: read(f"{mnt}/{name}/latest/{n}") for n in os.listdir(f"{mnt}/{name}/latest/")} == \
                {"a": "closed", "e": "after"}


def test_commits_finish_while_the_staging_disk_is_full(repo, tmpfs):
    configure(repo, repository=f"spool_dir = {tmpfs}", db="commit = manual", other="commit = manual")
    with repo.mount() as mnt:
        work, other = dataset(mnt, "db"), dataset(mnt, "other")
        for i in range(50):
            write(f"{other}/{i}", f"{i}" * 9000)
        write(work + "/small", "small")
        with open(work + "/big", "wb", buffering=0) as big:
            def fill():
                while True:
                    big.write(os.urandom(1 << 20))
            assert Waiting(errno_of, fill).ended(20) == "ENOSPC"
            assert shutil.disk_usage(tmpfs).free == 0
            assert at_once(errno_of, write, other + "/more", "x" * 9000) == "ENOSPC"
            assert read(other + "/7") == "7" * 9000
            commit(other)
            assert [read(f"{mnt}/other/latest/{i}") for i in range(50)] == [f"{i}" * 9000 for i in range(50)]
            assert shutil.disk_usage(tmpfs).free > 0, "what is committed is no longer staged"
        size = os.path.getsize(work + "/big")
        commit(work)
        assert read(mnt + "/db/latest/small") == "small" and os.path.getsize(mnt + "/db/latest/big") == size > 8 << 20
        write(other + "/more", "x" * 9000)
        write(work + "/big", "y" * 5_000_000)
        for name in ("db", "other"):
            commit(f"{mnt}/spool/{name}")
        assert os.path.getsize(mnt + "/db/latest/big") == 5_000_000 and read(mnt + "/other/latest/more") == "x" * 9000
