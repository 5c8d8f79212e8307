# SPDX-License-Identifier: MIT
"""When the spool commits, what it says, and what survives."""

import json
import os
import subprocess
import threading
import time

import pytest
from contract import DUMP, errno_of, newest, read, shell, status, until
from spooling import assert_same, commit, configure, count, dataset, killed

pytestmark = pytest.mark.usefixtures("fuse")
USAGE = 2


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def test_the_spool_is_shown_with_every_dataset(repo):
    repo.drfs("backup", "db", "--stdin", "a.txt", input="a")
    with repo.mount() as mnt:
        assert "spool" in os.listdir(mnt)
        assert os.listdir(mnt + "/spool") == ["db"]
        assert os.listdir(mnt + "/spool/db") == ["a.txt"]
        assert os.stat(mnt + "/spool").st_nlink == 3
        dataset(mnt, "new")
        assert sorted(os.listdir(mnt + "/spool")) == ["db", "new"]
        assert errno_of(os.mkdir, mnt + "/spool/new") == "EEXIST"
        assert errno_of(os.mkdir, mnt + "/spool/.hidden") == "EINVAL"
        os.rmdir(mnt + "/spool/new")
        assert os.listdir(mnt + "/spool") == ["db"]
        assert errno_of(os.rmdir, mnt + "/spool/db") in ("ENOTEMPTY", "EPERM")
        assert errno_of(write, mnt + "/spool/file", "") == "EPERM"
        assert errno_of(write, mnt + "/db/latest/a.txt", "") == "EROFS"
        assert read(mnt + "/spool/db/a.txt") == "a"
        assert shell(f"stat -f -c %T {mnt}/spool/db") != ""


def test_no_spool_is_shown_when_none_is_wanted(repo):
    with repo.mount("-o", "no_spool") as mnt:
        assert "spool" not in os.listdir(mnt)
        assert not os.path.exists(mnt + "/spool")
        assert status(mnt)["spool"] is None


def test_the_second_mount_has_no_spool(repo):
    with repo.mount() as mnt, repo.mount(where=repo.folder + "/mnt2") as other:
        assert os.path.isdir(mnt + "/spool")
        assert not os.path.exists(other + "/spool")
        write(dataset(mnt, "db") + "/a.txt", "a")
        commit(mnt + "/spool/db")
        assert read(other + "/db/latest/a.txt") == "a"


def test_dot_commit_answers_to_its_name_and_is_no_file(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        assert os.path.exists(work + "/.commit")
        assert os.listdir(work) == []
        assert errno_of(os.unlink, work + "/.commit") == "EPERM"
        assert errno_of(os.mkdir, work + "/.commit") == "EEXIST"
        assert errno_of(os.open, work + "/.commit", os.O_CREAT | os.O_EXCL | os.O_WRONLY) == "EEXIST"
        write(work + "/x", "x")
        assert errno_of(os.rename, work + "/x", work + "/.commit") == "EPERM"
        assert errno_of(os.rename, work + "/.commit", work + "/y") == "EPERM"
        assert os.listxattr(work + "/.commit") == []
        shell(f"touch {work}/.commit")
        assert count(repo, "db") == 1
        os.mkdir(work + "/sub")
        assert not os.path.exists(work + "/sub/.commit")


def test_drfs_commit_names_the_snapshot_and_takes_words_along(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        write(work + "/a.txt", "a")
        out = repo.drfs("commit", "db", "--description", "before the upgrade", "--tag", "one", "--tag", "two",
                        env={"DRFS_KEY_FILE": None})
        made = newest(repo, "db")
        assert out == f"db/{made['name']}\n"
        assert made["description"] == "before the upgrade" and made["tags"] == ["one", "two"]
        assert read(mnt + "/db/latest/a.txt") == "a"
        assert repo.drfs("commit", "db") == "nothing had changed\n"
        assert repo.json("commit", "db") == [{"dataset": "db", "snapshot": None, "state": None, "reason": None}]
        assert count(repo, "db") == 1
        assert "mkdir" in repo.cli("commit", "unknown", code=1).stderr
        repo.cli("commit", code=USAGE)
    assert "drfs mount" in repo.cli("commit", "db", code=1).stderr


def test_what_was_told_stands_in_the_attribute(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        write(work + "/a", "a")
        os.setxattr(work + "/.commit", "user.drfs.commit", b'{"description": "x"}')
        result = json.loads(os.getxattr(work + "/.commit", "user.drfs.commit.result"))
        assert result == {"snapshot": newest(repo, "db")["name"], "state": "whole", "reason": None, "error": None}
        assert errno_of(os.setxattr, work + "/.commit", "user.drfs.commit", b"no json") == "EINVAL"


def test_an_idle_dataset_is_committed_by_itself(repo):
    configure(repo, db="commit = idle:1s")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        write(work + "/a.txt", "a")
        until(lambda: os.path.exists(mnt + "/db/latest/a.txt"), "the dataset is committed")
        with open(work + "/b.txt", "w", encoding="utf-8") as f:
            f.write("b")
            f.flush()
            time.sleep(2)
            assert count(repo, "db") == 1, "a file with unsaved writes was open"
        until(lambda: os.path.exists(mnt + "/db/latest/b.txt"), "the dataset is committed again")
        assert read(mnt + "/db/latest/b.txt") == "b"


def test_closes_become_one_snapshot(repo):
    configure(repo, db="commit = close")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        for i in range(20):
            write(f"{work}/{i}", str(i))
        until(lambda: os.path.exists(mnt + "/db/latest/19"), "the dataset is committed")
        assert count(repo, "db") <= 2


def test_with_remote_durability_close_waits_for_the_store(repo):
    configure(repo, wal="commit = manual\ndurability = remote")
    with repo.mount() as mnt:
        work = dataset(mnt, "wal")
        write(work + "/000001", "segment")
        assert read(mnt + "/wal/latest/000001") == "segment"
        jobs = [threading.Thread(target=write, args=(f"{work}/w{i}", "x" * 1000)) for i in range(8)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(60)
        assert len(os.listdir(mnt + "/wal/latest/")) == 9
        before = count(repo, "wal")
        assert before <= 9
        assert read(work + "/w0") == "x" * 1000
        assert count(repo, "wal") == before


def test_a_torn_dump_is_partial_and_latest_stays(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        write(work + "/app.sql", DUMP.format("SELECT 1;"))
        commit(work)
        good = newest(repo, "db")["name"]
        write(work + "/app.sql", DUMP.format("SELECT 2;")[:-60])
        commit(work)
        torn = newest(repo, "db")
        assert torn["state"] == "partial" and torn["name"].endswith(".partial")
        assert os.readlink(mnt + "/db/latest") == good
        write(work + "/app.sql", DUMP.format("SELECT 3;"))
        commit(work)
        assert newest(repo, "db")["state"] == "whole"
        assert os.readlink(mnt + "/db/latest") == newest(repo, "db")["name"]


def test_what_was_closed_survives_the_death_of_the_mount(repo, source):
    configure(repo, files="commit = manual")
    repo.drfs("backup", "files", str(source) + "/")
    with killed(repo) as mnt:
        work = mnt + "/spool/files"
        write(work + "/closed", "closed\n" * 1000)
        os.rename(work + "/a.txt", work + "/renamed.txt")
        os.unlink(work + "/to-b")
        os.mkdir(work + "/folder")
        os.chmod(work + "/sub/b.txt", 0o600)
        shell(f"cd {work} && sed -i s/beta/BETA/ sub/b.txt && rsync -aHAX '{source}/' copy/ && mv copy whole")
        half = open(work + "/half", "wb", buffering=0)
        half.write(b"x" * 100_000)
    assert errno_of(half.close) == "ENOTCONN"
    with repo.mount() as mnt:
        work = mnt + "/spool/files"
        assert read(work + "/closed") == "closed\n" * 1000
        assert read(work + "/renamed.txt") == "alpha\n" and not os.path.exists(work + "/a.txt")
        assert not os.path.lexists(work + "/to-b") and os.path.isdir(work + "/folder")
        assert read(work + "/sub/b.txt") == "BETA\n" * 1000
        assert_same(source, work + "/whole")
        commit(work)
        assert_same(work, mnt + "/files/latest")


def test_inode_numbers_stay_from_mount_to_mount_and_over_a_commit(repo, source):
    repo.drfs("backup", "files", str(source) + "/")

    def numbers(work):
        return shell(f"cd {work} && find . -printf '%P %i\\n' | sort")
    configure(repo, files="commit = manual")
    with repo.mount() as mnt:
        before = numbers(mnt + "/spool/files")
        lines = [line.rsplit(" ", 1)[1] for line in before.splitlines()]
        assert len(set(lines)) == len(lines) - 1, "two names share one file, no others do"
        with open(mnt + "/spool/files/sub/b.txt", "a", encoding="utf-8") as f:
            f.write("more")
        assert numbers(mnt + "/spool/files") == before
        commit(mnt + "/spool/files")
        assert numbers(mnt + "/spool/files") == before


def test_a_backup_by_the_command_moves_an_untouched_working_copy(repo):
    repo.drfs("backup", "db", "--stdin", "a.txt", input="one")
    with repo.mount() as mnt:
        assert read(mnt + "/spool/db/a.txt") == "one"
        repo.drfs("backup", "db", "--stdin", "a.txt", input="two, longer")
        until(lambda: read(mnt + "/spool/db/a.txt") == "two, longer", "the working copy moved")
        with open(mnt + "/spool/db/a.txt", "a", encoding="utf-8") as f:
            f.write("!")
        repo.drfs("commit", "db")
        assert read(mnt + "/db/latest/a.txt") == "two, longer!"


def test_a_full_disk_is_enospc_at_once_and_the_rest_can_be_committed(repo, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root")
    disk = str(tmp_path / "disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", disk], check=True)
    try:
        configure(repo, repository=f"spool_dir = {disk}", db="commit = manual")
        with repo.mount() as mnt:
            work = dataset(mnt, "db")
            write(work + "/small", "small")
            with open(work + "/big", "wb", buffering=0) as f:
                def fill():
                    for _ in range(64):
                        f.write(os.urandom(1 << 20))
                assert errno_of(fill) == "ENOSPC"
            assert read(work + "/small") == "small"
            os.unlink(work + "/big")
            write(work + "/after", "after")
            commit(work)
            assert sorted(os.listdir(mnt + "/db/latest/")) == ["after", "small"]
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_status_tells_what_is_pending(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        write(work + "/a", "a" * 5000)
        row = next(r for r in status(mnt)["spool"] if r["dataset"] == "db")
        assert row["pending_changes"] > 0
        commit(work)
        row = next(r for r in status(mnt)["spool"] if r["dataset"] == "db")
        assert row["pending_changes"] == 0
        assert row["last_snapshot"] == newest(repo, "db")["name"]


def test_unmounting_keeps_what_is_not_committed(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        write(dataset(mnt, "db") + "/a", "kept")
    with repo.mount() as mnt:
        assert read(mnt + "/spool/db/a") == "kept"
        commit(mnt + "/spool/db")
        assert read(mnt + "/db/latest/a") == "kept"


def test_a_quiet_commit_says_nothing(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        write(dataset(mnt, "db") + "/a.txt", "a")
        said = repo.cli("-q", "commit", "db")
        assert said.stdout == "" and said.stderr == ""
        assert count(repo, "db") == 1
        assert repo.cli("-q", "commit", "db").stdout == ""


def test_a_small_difference_in_size_is_no_anomaly(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")

        def warned(size):
            with open(work + "/data", "wb") as f:
                f.write(os.urandom(size))
            commit(work)
            return next(r for r in status(mnt)["spool"] if r["dataset"] == "db")["size_warning"]
        assert [warned(size) for size in (100, 101, 102, 5000, 10, 900_000)] == [None] * 6
        assert newest(repo, "db")["notes"] == []
        assert "more than" in warned(3 << 20)
        assert "unusual size" in newest(repo, "db")["notes"][0]


def test_the_passphrase_is_kept_from_a_check_command(repo, tmp_path):
    seen = tmp_path / "seen"
    configure(repo, db=f"commit = manual\ncheck = env > {seen}")
    secrets = {"DRFS_PASSWORD": "s3cret", "DRFS_PASSWORD_FILE": "/nowhere", "DRFS_PASSWORD_COMMAND": "echo s3cret"}
    repo.drfs("backup", "db", "--stdin", "a.txt", input="a", env=secrets)
    assert "DRFS_DATASET=db" in read(seen) and "DRFS_PASSWORD" not in read(seen)
    seen.unlink()
    repo.env.update(secrets)
    with repo.mount() as mnt:
        write(mnt + "/spool/db/b.txt", "b")
        commit(mnt + "/spool/db")
    assert "DRFS_DATASET=db" in read(seen) and "DRFS_PASSWORD" not in read(seen)


def test_a_commit_that_is_partial_exits_3_and_says_why(repo):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "db")
        write(work + "/app.sql", DUMP.format("SELECT 1;"))
        assert repo.json("commit", "db")[0]["state"] == "whole"
        write(work + "/app.sql", DUMP.format("SELECT 2;")[:-60])
        said = repo.cli("commit", "db", code=3)
        torn = newest(repo, "db")
        reason = torn["checks"][0]["reason"]
        assert said.stdout == f"db/{torn['name']}\n"
        assert f"app.sql: {reason}" in said.stderr and "this snapshot is partial" in said.stderr
        write(work + "/app.sql", DUMP.format("SELECT 3;")[:-60])
        said = repo.cli("-q", "commit", "db", code=3)
        assert said.stdout == ""
        write(work + "/app.sql", DUMP.format("SELECT 4;")[:-60])
        told = repo.json("commit", "db", code=3)
        assert told == [{"dataset": "db", "snapshot": newest(repo, "db")["name"], "state": "partial",
                         "reason": f"app.sql: {reason}"}]
        write(work + "/app.sql", DUMP.format("SELECT 5;")[:-60])
        shell(f"touch {work}/.commit")
        assert newest(repo, "db")["state"] == "partial"


def test_a_commit_finds_its_mount_when_the_repository_is_out_of_sight(repo, tmp_path):
    configure(repo, db="commit = manual")
    with repo.mount() as mnt:
        write(dataset(mnt, "db") + "/a.txt", "a")
        os.rename(repo.path, repo.path + ".away")
        try:
            for url in (repo.path, f"file://{repo.path}/", os.path.relpath(repo.path, tmp_path)):
                repo.cli("-r", url, "commit", "db", cwd=tmp_path)
            assert "drfs init" in repo.cli("-r", repo.path + "-other", "commit", "db", code=10).stderr
        finally:
            os.rename(repo.path + ".away", repo.path)
        assert count(repo, "db") == 1
        assert read(mnt + "/db/latest/a.txt") == "a"
    os.rename(repo.path, repo.path + ".away")
    assert "drfs init" in repo.cli("commit", "db", code=10).stderr


def test_unmounting_tells_what_is_not_committed_and_so_does_the_next_mount(repo):
    configure(repo, db="commit = manual", wal="commit = manual", files="commit = idle:1h")
    mnt = repo.folder + "/mnt"
    os.makedirs(mnt)
    kept = f"{repo.folder}/state/drfs"

    def session():
        mounted = repo.cli("mount", mnt).stderr
        yield mounted
        yield repo.cli("umount", mnt).stderr

    steps = session()
    assert "not committed" not in next(steps)
    for name in ("db", "wal", "files"):
        write(dataset(mnt, name) + "/a", "kept")
    repo.drfs("commit", "wal")
    folder = status(mnt)["spool_folder"]
    said = next(steps).splitlines()
    assert len(said) == 1 and "'db' has changes that are not committed" in said[0] and f"'{folder}/db'" in said[0]
    assert folder.startswith(kept) and os.path.isdir(folder + "/db")
    steps = session()
    said = next(steps).splitlines()
    assert len(said) == 1 and "'db'" in said[0] and "taken up" in said[0]
    repo.drfs("commit", "db")
    assert next(steps) == ""
    steps = session()
    assert next(steps) == "" and next(steps) == ""
    steps = session()
    next(steps)
    write(mnt + "/spool/db/b", "kept")
    assert repo.cli("-q", "umount", mnt).stderr == ""
    next(steps := session())
    assert "'db'" in next(steps)
