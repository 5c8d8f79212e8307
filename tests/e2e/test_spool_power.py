# SPDX-License-Identifier: MIT
"""Power cuts under the spool and the archive: what was promised is there, and nothing else than what once was.

Staging folder and repository lie on recordfs, which writes down every change; power.py makes what a cut would leave.
SPOOL_POWER_CUTS says how many cuts are tried (0: all of them, in every mode), SPOOL_POWER_SEED which (0: others each time).
"""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import time

import power
import pytest
from contract import until
from spooling import configure, dataset

pytestmark = pytest.mark.usefixtures("fuse")
HERE = os.path.dirname(os.path.abspath(__file__))
CUTS = int(os.environ.get("SPOOL_POWER_CUTS", "30"))
SEED = int(os.environ.get("SPOOL_POWER_SEED", "8")) or random.SystemRandom().randrange(1, 1 << 30)
PIECE = 512


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """recordfs and otherboot.so."""
    if not shutil.which("gcc") or not shutil.which("pkg-config"):
        pytest.skip("gcc and pkg-config are needed")
    found = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(found.stderr)
    folder = str(tmp_path_factory.mktemp("programs"))
    cc = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2"]
    subprocess.run([*cc, "-D_FILE_OFFSET_BITS=64", "-o", folder + "/recordfs", HERE + "/recordfs.c",
                    *found.stdout.split()], check=True)
    subprocess.run([*cc, "-shared", "-fPIC", "-o", folder + "/otherboot.so", HERE + "/otherboot.c"], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def recording(programs, folder):
    """A folder all changes to which are written down; gives it and its log."""
    disk, mnt, log = folder + "/backing", folder + "/disk", folder + "/log"
    for path in (disk + "/spool", mnt):
        os.makedirs(path)
    with subprocess.Popen([programs + "/recordfs", disk, mnt, log]) as process:
        try:
            until(lambda: os.path.ismount(mnt), "recordfs is mounted")
            yield mnt, log
        finally:
            subprocess.run(["umount", mnt], check=False)
            process.wait(20)
    shutil.rmtree(disk)


class Thing:
    """A file of the workload: all contents that it ever had (since when), and which were promised (since when)."""

    def __init__(self):
        self.versions, self.promised = [], []
        self.recorded = None  # version as of the last close or fsync

    def allowed(self, at):
        """Contents that a cut may leave, and whether the first of them is promised."""
        first = max((i for since, i in self.promised if since <= at), default=None)
        return [data for since, data in self.versions[first or 0:] if since <= at], first is not None

    def complaint(self, data, at):
        """Why these bytes may not be there after a cut; None when they may."""
        versions, safe = self.allowed(at)
        sizes = [len(v) for v in versions] or [0]
        if safe and not min(sizes) <= len(data) <= max(sizes):
            return f"{len(data)} bytes, not {sizes}"
        for off in range(0, len(data), PIECE):
            piece = data[off:off + PIECE]
            known = any(v[off:off + len(piece)] == piece for v in versions)
            if not known and not any_mixture(piece, off, versions, safe):
                return f"bytes at {off} were never there: {piece[:16]!r}, not {[v[off:off + 16] for v in versions]}"
        return None


def any_mixture(piece, at, versions, safe):
    """Each byte from any version, or nothing where nothing was promised."""
    for i, byte in enumerate(piece, at):
        blank = byte == 0 and not (safe and i < len(versions[0]))
        if not blank and not any(len(v) > i and v[i] == byte for v in versions):
            return False
    return True


class Workload:
    """Changes a working copy and keeps account of what must be there after a cut, by length of the log."""

    def __init__(self, work, log, strong):
        self.work, self.log, self.strong = work, log, strong
        self.names, self.steps, self.promises = {}, [], []
        self.open, self.pending = {}, set()
        self.rows, self.safe_rows = [], []
        self.started = self.at()
        self.steps.append((self.started, {}))

    def at(self):
        return os.path.getsize(self.log)

    def named(self, **changes):
        """A change of names that begins now: path → Thing, "folder" or None (gone)."""
        self.names = {k: v for k, v in {**self.names, **changes}.items() if v is not None}
        self.steps.append((self.at(), self.names))

    def promise(self, *things):
        """What was answered: all names so far, and these files as they are now."""
        now = self.at()
        self.promises.append((now, len(self.steps) - 1))
        for thing in things:
            thing.promised.append((now, len(thing.versions) - 1))

    def path(self, name):
        return f"{self.work}/{name}"

    def create(self, name):
        thing = self.names[name] if isinstance(self.names.get(name), Thing) else Thing()
        if name not in self.names:
            self.named(**{name: thing})
        thing.versions.append((self.at(), b""))
        self.open[name] = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644), thing

    def edit(self, name):
        self.open[name] = os.open(self.path(name), os.O_RDWR), self.names[name]

    def write(self, name, offset, data):
        fd, thing = self.open[name]
        old = bytearray(thing.versions[-1][1])
        power.put(old, offset, data)
        thing.versions.append((self.at(), bytes(old)))
        assert os.pwrite(fd, data, offset) == len(data)

    def append(self, name, data):
        self.write(name, len(self.open[name][1].versions[-1][1]), data)

    def cut(self, name, size):
        fd, thing = self.open[name]
        thing.versions.append((self.at(), thing.versions[-1][1][:size].ljust(size, b"\0")))
        os.ftruncate(fd, size)

    def fsync(self, name):
        fd, thing = self.open[name]
        os.fsync(fd)
        thing.recorded = len(thing.versions) - 1
        self.promise(thing)

    def close(self, name):
        fd, thing = self.open.pop(name)
        os.close(fd)
        thing.recorded = len(thing.versions) - 1
        if self.strong:
            self.promise(thing)

    def fsync_folder(self):
        fd = os.open(self.work, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)
        self.promise()

    def rename(self, old, new):
        self.named(**{new: self.names[old], old: None})
        os.rename(self.path(old), self.path(new))
        if self.strong:
            self.promise()

    def link(self, old, new):
        self.named(**{new: self.names[old]})
        os.link(self.path(old), self.path(new))

    def unlink(self, name):
        self.named(**{name: None})
        os.unlink(self.path(name))

    def mkdir(self, name):
        self.named(**{name: "folder"})
        os.mkdir(self.path(name))

    def file(self, name, data, sync=True):
        self.create(name)
        self.append(name, data)
        if sync:
            self.fsync(name)
        self.close(name)

    def commit(self, repo):
        repo.drfs("commit", "db")
        self.promise()
        now = self.at()
        for thing in self.names.values():
            if isinstance(thing, Thing) and thing.recorded is not None:
                thing.promised.append((now, thing.recorded))

    def transaction(self, db, count):
        """More rows; what COMMIT was answered for is promised."""
        self.rows.append((self.at(), count + (self.rows[-1][1] if self.rows else 0)))
        db.execute("BEGIN")
        db.executemany("INSERT INTO t(x) VALUES(?)", [(os.urandom(300),) for _ in range(count)])
        db.execute("COMMIT")
        self.safe_rows.append((self.at(), self.rows[-1][1]))


def database(load, name, mode):
    """In a folder of its own, which names and bytes are not looked at but by SQLite itself."""
    db = sqlite3.connect(f"{load.work}/sql/{name}", isolation_level=None)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("PRAGMA synchronous=EXTRA")
    db.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, x BLOB)")
    return db


def run(load, repo, rng):
    """The workload."""
    noise = rng.randbytes
    load.mkdir("sql")
    load.mkdir("dir")
    load.file("a", noise(10_000))
    load.file("dir/b", noise(50_000))
    load.file("unsafe", noise(9_000), sync=False)
    db = database(load, "one.db", "DELETE")
    for _ in range(3):
        load.transaction(db, 20)
    load.file("c.tmp", noise(20_000))
    load.rename("c.tmp", "c")
    load.fsync_folder()
    load.edit("a")
    for i in range(6):  # in place, safe and not safe in turn
        load.write("a", rng.randrange(8_000), noise(2_000))
        if i % 2:
            load.fsync("a")
    load.close("a")
    load.file("d", noise(3_000))  # what was changed to a and not synced may be there, and what was synced must
    load.edit("dir/b")
    load.write("dir/b", 4_096, noise(8_192))
    load.close("dir/b")
    load.file("e", noise(100))
    load.edit("dir/b")
    load.write("dir/b", 0, noise(30_000))
    load.close("dir/b")
    load.fsync_folder()
    load.commit(repo)
    load.transaction(db, 10)
    db.close()
    load.edit("e")  # over what a commit holds, not synced
    load.write("e", 50, noise(10))
    load.close("e")
    load.file("f", noise(200))
    load.edit("unsafe")
    load.write("unsafe", 0, noise(5_000))
    load.commit(repo)  # while a file is open that was not recorded
    load.write("unsafe", 4_096, noise(4_000))
    load.close("unsafe")
    load.create("held")
    load.append("held", noise(6_000))
    load.close("held")
    load.edit("held")
    load.write("held", 100, noise(300))
    load.commit(repo)
    load.write("held", 5_000, noise(3_000))
    load.close("held")
    load.file("g", noise(200))
    load.edit("c")
    load.append("c", noise(6_000))
    load.fsync("c")
    load.append("c", noise(6_000))
    load.close("c")
    load.unlink("d")
    load.file("e", noise(7_000))
    load.file("a.tmp", noise(12_000))
    load.rename("a.tmp", "a")
    load.link("a", "dir/a")
    load.fsync_folder()
    load.file("unsafe.tmp", noise(4_000), sync=False)
    load.rename("unsafe.tmp", "unsafe")
    load.create("log")
    for _ in range(4):
        load.append("log", noise(5_000))
        load.fsync("log")
    load.commit(repo)
    load.append("log", noise(5_000))
    load.fsync("log")
    load.cut("log", 7_000)
    load.append("log", noise(500))
    load.fsync("log")
    load.close("log")
    load.edit("dir/b")
    load.write("dir/b", 45_000, noise(9_000))
    load.fsync("dir/b")
    load.write("dir/b", 20_000, noise(9_000))
    load.close("dir/b")
    load.rename("dir/b", "dir/b2")
    load.unlink("unsafe")
    load.fsync_folder()
    db = database(load, "one.db", "DELETE")
    load.transaction(db, 5)
    db.close()
    load.commit(repo)


def contents(folder):
    """Path → bytes, or "folder"."""
    found = {}
    for top, dirs, files in os.walk(folder):
        for name in dirs + files:
            path = os.path.join(top, name)
            with contextlib.suppress(IsADirectoryError), open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = f.read()
            found.setdefault(os.path.relpath(path, folder), "folder")
    return found


def without_sql(found):
    return {k: v for k, v in found.items() if not k.startswith("sql/")}


def complaints(load, names, found, at):
    """Why this state may not stand after a cut."""
    bad = []
    for path in sorted(set(names) | set(found)):
        thing, data = names.get(path), found.get(path)
        if path not in found:
            if thing == "folder" or thing.allowed(at)[1]:  # what was never synced may be missing
                bad.append(f"{path} is missing")
        elif path not in names:
            bad.append(f"{path} is there")
        elif "folder" in (thing, data):
            bad += [f"{path}: {str(data)[:10]}"] if thing != data else []
        else:  # what was never synced may have given way to what was there before
            things = [thing] + ([] if thing.allowed(at)[1] else
                                [s[path] for _, s in load.steps if isinstance(s.get(path), Thing)])
            why = [t.complaint(data, at) for t in things]
            bad += [f"{path}: {why[0]}"] if None not in why else []
    return bad


def judge(load, found, at):
    """Is there a moment, not before what was promised last, that looks like this?"""
    first = max((i for since, i in load.promises if since <= at), default=0)
    tried = [complaints(load, names, found, at) for since, names in load.steps[first:] if since <= at]
    assert [] in tried, f"{first}: {min(tried, key=len)}"


def judge_database(load, found, folder, at):
    least = max((n for since, n in load.safe_rows if since <= at), default=0)
    most = max((n for since, n in load.rows if since <= at), default=0)
    os.mkdir(folder)
    for path, data in found.items():
        if path.startswith("sql/"):
            with open(f"{folder}/{path[4:]}", "wb") as f:
                f.write(data)
    if least == 0 and not os.path.exists(folder + "/one.db"):
        return
    with contextlib.closing(sqlite3.connect(folder + "/one.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = db.execute("SELECT count(*) FROM t").fetchone()[0] if most else 0
    assert least <= rows <= most


def examine(repo, load, folder, at):
    """Mounts what a cut left and holds it against what was promised; then goes on working with it."""
    conf = folder + "/drfs.conf"
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f"[repository]\nspool_dir = {folder}/disk/spool\n[dataset db]\ncommit = manual\n")
    repo.env.update(DRFS_CONFIG=conf, DRFS_REPO=folder + "/disk/repo", XDG_STATE_HOME=folder + "/state",
                    XDG_CACHE_HOME=folder + "/cache")
    with repo.mount() as mnt:
        work = mnt + "/spool/db"
        found = contents(work)
        judge(load, without_sql(found), at)
        judge_database(load, found, folder + "/sql", at)
        with open(work + "/after", "wb") as f:
            f.write(b"after the cut")
        repo.drfs("commit", "db")
        for place in (work, mnt + "/db/latest"):
            again = contents(place)
            assert again.pop("after") == b"after the cut"
            if again != found:  # a commit was cut short that had stored what was not synced: that counts
                judge(load, without_sql(again), at)
                judge_database(load, again, f"{folder}/sql-{os.path.basename(place)}", at)
    repo.drfs("check", "--read-data")


def cuts_of(records, load, rng):
    """(records there, mode): around every fsync, or some of these."""
    first = next(i for i, r in enumerate(records) if r.end > load.started)
    around = {i + n for i, r in enumerate(records) if r.op.startswith("fsync") and i >= first for n in (0, 1, 2)}
    around = sorted(i for i in around if first < i <= len(records))
    if CUTS == 0:
        return [(i, mode) for i in around for mode in power.MODES]
    chosen = sorted(rng.sample(around, min(CUTS, len(around))))
    return [(i, rng.choice(power.MODES[1:] if rng.random() < 0.9 else power.MODES[:1])) for i in chosen]


def record(repo, programs, folder, strong, rng):
    """Runs the workload; its account and its log."""
    with recording(programs, folder) as (disk, log):
        repo.env["DRFS_REPO"] = disk + "/repo"
        configure(repo, repository=f"spool_dir = {disk}/spool",
                  db="commit = manual" + ("\ndurability = power" if strong else ""))
        repo.drfs("init")
        with open(folder + "/boot", "w", encoding="utf-8") as f:
            f.write("00000000-0000-4000-8000-000000000000\n")
        repo.env.update(LD_PRELOAD=programs + "/otherboot.so", OTHERBOOT=folder + "/boot")
        with repo.mount() as mnt:
            load = Workload(dataset(mnt, "db"), log, strong)
            run(load, repo, rng)
        del repo.env["LD_PRELOAD"]
    return load, power.parse(log)


@pytest.mark.parametrize("strong", (False, True), ids=("local", "power"))
def test_a_power_cut_takes_nothing_that_was_promised(bare, programs, tmp_path, strong):
    rng = random.Random(SEED)
    folder = str(tmp_path / "power")
    os.mkdir(folder)
    load, records = record(bare, programs, folder, strong, rng)
    disk, at, failed = power.Disk(["/spool"]), 0, []
    cuts = cuts_of(records, load, rng)
    began = time.monotonic()
    for n, mode in cuts:
        for r in records[at:n]:
            disk.replay(r)
        at = n
        trial = f"{folder}/{n}-{mode}"
        os.mkdir(trial)
        disk.write(trial + "/disk", mode, seed=SEED + n)
        try:
            examine(bare, load, trial, records[n - 1].end)
        except (AssertionError, OSError, sqlite3.Error) as e:
            failed.append(f"seed {SEED}, record {n}, {mode}, behind {records[n - 1].op} {records[n - 1].path}: {e}")
        finally:
            if not os.environ.get("SPOOL_POWER_KEEP"):
                shutil.rmtree(trial, ignore_errors=True)
    print(f"seed {SEED}: {len(cuts)} cuts in {len(records)} records, {time.monotonic() - began:.0f} s")
    assert not failed, f"{len(failed)} of {len(cuts)}:\n" + "\n".join(failed[:20])
