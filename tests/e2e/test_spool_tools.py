# SPDX-License-Identifier: MIT
"""Everyday tools write into the spool; what they wrote is in the snapshot."""

import mmap
import os
import random
import sqlite3

import pytest
from contract import errno_of, newest, read, shell
from spooling import assert_committed, assert_same, commit, configure, count, dataset, differences, killed

pytestmark = pytest.mark.usefixtures("fuse")


@pytest.fixture
def mnt(repo):
    configure(repo, files="commit = manual", db="commit = manual", other="commit = manual")
    with repo.mount() as where:
        yield where


def test_cp_a_into_a_new_dataset_is_in_the_snapshot_as_it_was(repo, mnt, source):
    work = dataset(mnt, "files")
    shell(f"cp -a '{source}/.' '{work}/'")
    assert_same(source, work)
    assert_committed(repo, mnt, "files", like=source)


@pytest.mark.parametrize("how", ["", "--inplace", "--whole-file", "--inplace --no-whole-file"])
def test_rsync_brings_a_dataset_to_what_the_source_is_now(repo, mnt, source, how):
    work = dataset(mnt, "files")
    # rsync looks at whole seconds: what is changed below must not be as old as this.
    os.utime(source / "sub" / "deeper" / "c.bin", (1_600_000_000, 1_600_000_000))
    shell(f"rsync -aHAX --delete {how} '{source}/' '{work}/'")
    assert_committed(repo, mnt, "files", like=source)
    (source / "sub" / "b.txt").write_text("beta\n" * 500 + "gamma\n" + "beta\n" * 500)
    with open(source / "sub" / "deeper" / "c.bin", "r+b") as f:
        f.seek(300_000)
        f.write(b"changed in the middle")
    (source / "a.txt").unlink()
    (source / "to-b").unlink()
    (source / "empty").rmdir()
    (source / "new folder").mkdir()
    (source / "new folder" / "new").write_text("new")
    shell(f"rsync -aHAX --delete {how} '{source}/' '{work}/'")
    assert_same(source, work)
    assert_committed(repo, mnt, "files", like=source)
    assert differences(source, work) == ""


def test_tar_unpacks_into_the_spool(repo, mnt, source):
    work = dataset(mnt, "files")
    shell(f"tar -C '{source}' --xattrs --acls -cf - . | tar -C '{work}' --xattrs --acls -xpf -")
    assert_committed(repo, mnt, "files", like=source)


def test_edits_in_a_tree_of_a_snapshot(repo, mnt, source, tmp_path):
    """sed -i, mv, ln, appending, cutting: a working copy over a snapshot ends up as a plain folder does."""
    repo.drfs("backup", "files", str(source) + "/")
    twin = tmp_path / "twin"
    shell(f"cp -a '{source}' '{twin}'")
    script = """
        sed -i s/beta/BETA/ sub/b.txt
        mv sub moved; mkdir sub; mv moved/deeper sub/
        ln a.txt third-link; ln moved/b.txt b-link; ln -s moved link-to-moved
        echo more >> a.txt
        truncate -s 100 sparse; truncate -s 1000000 sparse
        rm to-b; rmdir empty; mkfifo pipe
        chmod 600 sub/deeper/c.bin; setfattr -n user.k -v v sub/deeper/c.bin
        setfacl -m u:12345:rw moved/b.txt
        cp -a moved moved-2; rm -r moved; mv moved-2 moved
        dd if=/dev/zero of=sub/deeper/c.bin bs=1000 seek=100 count=3 conv=notrunc status=none
        fallocate -p -o 200000 -l 100000 sub/deeper/c.bin
    """
    work = mnt + "/spool/files"
    assert_same(source, work)
    for folder in (work, str(twin)):
        shell("set -e; umask 022; " + script, cwd=folder)
    assert_same(twin, work, times=False)
    assert_committed(repo, mnt, "files")
    assert_same(twin, mnt + "/files/latest", times=False)


def test_git_works_in_the_spool(repo, mnt):
    work = dataset(mnt, "files")
    script = """
        git init -q . && git config user.email a@b && git config user.name n
        for i in $(seq 30); do echo $i > file$i; done
        git add . && git commit -qm one && git checkout -qb side && git mv file1 renamed && echo x >> file2
        git commit -qam two && git checkout -q - && git merge -q side && git gc -q && git fsck --strict
    """
    shell("set -e; " + script, cwd=work)
    assert_committed(repo, mnt, "files")
    assert shell("git -c safe.directory='*' log --oneline | wc -l", cwd=mnt + "/files/latest").strip() == "2"


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite_works_in_the_spool(repo, mnt, journal):
    work = dataset(mnt, "db")
    db = sqlite3.connect(work + "/app.sqlite")
    db.execute(f"PRAGMA journal_mode={journal}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
    for i in range(200):
        with db:
            db.execute("INSERT INTO t (v) VALUES (?)", (os.urandom(500),))
        if i % 50 == 0:
            with db:
                db.execute("DELETE FROM t WHERE id % 3 = 0")
    db.execute("VACUUM")
    want = db.execute("SELECT count(*), sum(length(v)) FROM t").fetchone()
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert_committed(repo, mnt, "db")
    again = sqlite3.connect(f"file:{mnt}/db/latest/app.sqlite?mode=ro&immutable=1", uri=True)
    assert again.execute("SELECT count(*), sum(length(v)) FROM t").fetchone() == want
    again.close()


def test_a_mapped_file_can_be_written(repo, mnt):
    work = dataset(mnt, "files")
    with open(work + "/mapped", "w+b") as f:
        f.truncate(1_000_000)
        with mmap.mmap(f.fileno(), 1_000_000) as m:
            m[123_456:123_460] = b"here"
            m[999_990:] = b"at the end"
            m.flush()
        f.seek(123_456)
        assert f.read(4) == b"here"
    assert_committed(repo, mnt, "files")
    data = open(mnt + "/files/latest/mapped", "rb").read()
    assert data[123_456:123_460] == b"here" and data[-10:] == b"at the end" and data.count(0) == 999_986


def test_appending_and_an_unlinked_open_file(mnt):
    work = dataset(mnt, "files")
    with open(work + "/log", "ab", buffering=0) as one, open(work + "/log", "ab", buffering=0) as other:
        for i in range(50):
            one.write(b"one\n")
            other.write(b"two\n")
    assert read(work + "/log") == "one\ntwo\n" * 50
    with open(work + "/gone", "w+b", buffering=0) as f:
        os.unlink(work + "/gone")
        f.write(b"still here")
        assert os.fstat(f.fileno()).st_nlink == 0
        assert os.pread(f.fileno(), 100, 0) == b"still here"
    assert os.listdir(work) == ["log"]


def test_copying_out_of_a_snapshot_shares_what_is_there(repo, mnt, tmp_path):
    data = random.Random(1).randbytes(20_000_000)
    (tmp_path / "big").write_bytes(data)
    repo.drfs("backup", "files", str(tmp_path / "big"))
    work = dataset(mnt, "other")
    shell(f"cp '{mnt}/files/latest/big' '{work}/copy'")
    assert open(work + "/copy", "rb").read() == data
    assert_committed(repo, mnt, "other")
    assert newest(repo, "other")["stored"] < 1_000_000


def test_small_writes_at_random_places(repo, mnt):
    """A file of a snapshot is changed in a thousand places, cut and grown, as a model in memory is."""
    rng = random.Random(42)
    model = bytearray(rng.randbytes(3_000_000))
    work = dataset(mnt, "files")
    with open(work + "/f", "wb") as f:
        f.write(model)
    commit(work)
    with open(work + "/f", "r+b", buffering=0) as f:
        for step in range(1000):
            at, piece = rng.randrange(3_500_000), rng.randbytes(rng.choice((1, 100, 5000)))
            if step % 100 == 99:
                size = rng.randrange(1_000_000, 3_500_000)
                f.truncate(size)
                model = model[:size] + bytes(max(0, size - len(model)))
            if at > len(model):
                model += bytes(at - len(model))
            model[at:at + len(piece)] = piece
            os.pwrite(f.fileno(), piece, at)
            assert os.pread(f.fileno(), len(piece) + 50, max(0, at - 25)) == model[max(0, at - 25):][:len(piece) + 50]
    assert open(work + "/f", "rb").read() == model
    assert_committed(repo, mnt, "files")
    assert open(mnt + "/files/latest/f", "rb").read() == model


def test_errors_are_those_of_any_file_system(mnt):
    work = dataset(mnt, "files")
    os.mkdir(work + "/d")
    open(work + "/d/f", "w").close()
    assert errno_of(os.rmdir, work + "/d") == "ENOTEMPTY"
    assert errno_of(os.mkdir, work + "/d") == "EEXIST"
    assert errno_of(os.unlink, work + "/d") == "EISDIR"
    assert errno_of(os.rename, work + "/d", work + "/d/below") == "EINVAL"
    assert errno_of(os.open, work + "/d/f", os.O_CREAT | os.O_EXCL) == "EEXIST"
    assert errno_of(os.open, work + "/none", os.O_RDONLY) == "ENOENT"
    assert errno_of(os.getxattr, work + "/d/f", "user.none") == "ENODATA"
    assert errno_of(os.getxattr, work + "/d/f", "user.drfs.ref") == "ENODATA"
    assert errno_of(os.setxattr, work + "/d/f", "user.drfs.x", b"") == "EPERM"
    assert errno_of(os.mkdir, work + "/" + "n" * 256) == "ENAMETOOLONG"


def test_renaming_a_folder_of_a_snapshot_keeps_what_is_in_it(repo, mnt, tmp_path):
    src = tmp_path / "many"
    for d in range(10):
        (src / "top" / f"d{d}").mkdir(parents=True)
        for f in range(50):
            (src / "top" / f"d{d}" / f"f{f}").write_text(f"{d} {f}")
    repo.drfs("backup", "files", str(src) + "/")
    work = mnt + "/spool/files"
    os.rename(work + "/top", work + "/renamed")
    os.rename(work + "/renamed/d3", work + "/out")
    (src / "top").rename(src / "renamed")
    (src / "renamed" / "d3").rename(src / "out")
    assert_same(src, work, times=False)
    assert_committed(repo, mnt, "files")
    assert_same(src, mnt + "/files/latest", times=False)


def test_links_of_folders_are_counted_after_a_remount_and_a_kill(repo):
    configure(repo, files="commit = manual")

    def links(work):
        shell("ls -l . d > /dev/null", cwd=work)
        return shell("stat -c '%n %h' . d d/e d/g d/e/f", cwd=work)

    with repo.mount() as mnt:
        work = dataset(mnt, "files")
        shell("mkdir -p d/e/f d/g; touch d/file", cwd=work)
        commit(work)
        expected = ". 3\nd 4\nd/e 3\nd/g 2\nd/e/f 2\n"
        assert links(work) == expected
    with killed(repo) as mnt:
        assert links(mnt + "/spool/files") == expected
        shell("mkdir d/new; mv d/g d/e/f/g; touch d", cwd=mnt + "/spool/files")
    with repo.mount() as mnt:
        shell("cd spool/files && ls -l > /dev/null && chmod 750 d", cwd=mnt)
        assert shell("stat -c '%n %h' d d/e/f d/new", cwd=mnt + "/spool/files") == "d 4\nd/e/f 3\nd/new 2\n"


def test_no_change_makes_no_snapshot(repo, mnt, source):
    work = dataset(mnt, "files")
    shell(f"cp -a '{source}/.' '{work}/'")
    commit(work)
    assert count(repo, "files") == 1
    commit(work)
    shell(f"rsync -aHAX --delete '{source}/' '{work}/'")
    commit(work)
    assert count(repo, "files") == 1
