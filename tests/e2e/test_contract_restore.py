# SPDX-License-Identifier: MIT
"""Restoring: every way to name a source, and rsync's manners at the destination."""

import os
import signal
import subprocess

import pytest
from contract import (DUMP, as_nobody, files_below, iso, moment, newest, nobodys_repo, open_to_all, put, read, shell)


@pytest.fixture
def files(repo, source):
    """Two snapshots of `source`: in the second a.txt says 'second'."""
    repo.drfs("backup", "files", f"{source}/")
    (source / "a.txt").write_text("second\n")
    repo.drfs("backup", "files", f"{source}/")
    return repo


def differences(source, dest):
    return shell(f"rsync -aHAXnc --modify-window=-1 --numeric-ids --delete -i {source}/ {dest}/")


def test_every_form_of_dataset_and_snapshot_names_a_source(files):
    old, new = sorted(files.json("snapshots", "files"), key=lambda s: s["time"])
    t1, n1 = moment(old)
    t2, n2 = moment(new)
    compact = new["time"][:19].replace("-", "").replace(":", "") + "Z"
    second = ["latest", new["name"], new["time"], new["time"][:10], iso(t2, n2), iso(t2, n2).replace("T", " "),
              new["time"][:16].replace("T", " "), compact, "2099-01-01", "2099-12-31T10:00+02:00", "2099-12-31 10:00"]
    first = ["latest~1", old["time"], iso(t1, n1), iso(t2, n2 - 1), iso(t2, n2 - 1).replace("T", " ")]
    for word in second:
        assert files.drfs("cat", f"files/{word}/a.txt") == "second\n", word
    for word in first:
        assert files.drfs("cat", f"files/{word}/a.txt") == "alpha\n", word
    for word in ("latest~2", "1999-01-01", "nonsense", "latest~x"):
        assert files.run("cat", f"files/{word}/a.txt").returncode == 1, word
    files.drfs("restore", "files", files.folder + "/by-dataset")
    assert read(files.folder + "/by-dataset/a.txt") == "second\n"


def test_mounted_paths_name_a_source_however_they_are_spelled(files, source):
    with files.mount() as mnt:
        day = newest(files, "files")["time"][:10]
        for i, (path, cwd) in enumerate([
                (mnt + "/files/latest", "/"), (mnt + "/files/latest/", "/"), (mnt + "/files/at/2099-01-01", "/"),
                (f"{mnt}/at/{day}/files", "/"), ("latest", mnt + "/files"), (".", mnt + "/files/latest"),
                ("./latest", mnt + "/files"), ("../files/latest", mnt + "/files"),
                (mnt + "/files/" + newest(files, "files")["name"], "/")]):
            files.drfs("restore", path, f"{files.folder}/out{i}", cwd=cwd)
            assert differences(source, f"{files.folder}/out{i}") == "", path
        assert files.drfs("cat", mnt + "/files/latest/a.txt") == "second\n"
        assert files.drfs("cat", mnt + "/files/latest/sub/b.txt") == "beta\n" * 1000
        files.drfs("restore", mnt + "/files/latest/dangling", files.folder + "/link")
        assert os.readlink(files.folder + "/link") == "/nowhere"
        put(files, "db", "app.sql", DUMP.format("SELECT 1;"))
        files.drfs("restore", mnt + "/db/latest.sql", files.folder + "/app.sql")
        assert read(files.folder + "/app.sql") == DUMP.format("SELECT 1;")
        assert "b.txt" in files.drfs("ls", mnt + "/files/latest/sub")
        # A mounted path needs no word about its repository: the mount knows it.
        assert files.drfs("cat", mnt + "/files/latest/a.txt", env={"DRFS_REPO": None}) == "second\n"


def test_a_path_of_this_machine_that_is_no_mount_is_told_so(files, source):
    for path in (str(source), "./sub", "../src/a.txt", "/nowhere/at/all"):
        done = files.run("restore", path, files.folder + "/out", cwd=source)
        assert done.returncode in (1, 2) and path in done.stderr
        assert not os.path.exists(files.folder + "/out")


def test_a_directory_comes_back_with_all_attributes_and_its_own(files, source):
    os.chmod(source, 0o2750)
    os.utime(source, ns=(1, 1_600_000_000_123_456_789))
    files.drfs("backup", "files", f"{source}/")
    dest = files.folder + "/deep"
    files.drfs("restore", "--verify", "files/latest", dest)
    assert differences(source, dest) == ""
    assert (os.stat(dest).st_mode & 0o7777, os.stat(dest).st_mtime_ns) == (0o2750, 1_600_000_000_123_456_789)
    assert os.stat(dest + "/a.txt").st_ino == os.stat(dest + "/sub/a-again.txt").st_ino
    assert os.stat(dest + "/sparse").st_blocks * 512 < 1_000_000
    os.mkdir(files.folder + "/there")
    files.drfs("restore", "files/latest/sub", files.folder + "/there")
    assert differences(source / "sub", files.folder + "/there") == ""


def test_a_file_becomes_dest_or_goes_into_the_folder(files):
    out = files.folder
    files.drfs("restore", "files/latest/a.txt", out + "/new-name")
    assert read(out + "/new-name") == "second\n"
    os.mkdir(out + "/folder")
    files.drfs("restore", "files/latest/sub/b.txt", out + "/folder")
    files.drfs("restore", "files/latest/a.txt", out + "/folder/")
    assert sorted(os.listdir(out + "/folder")) == ["a.txt", "b.txt"]
    files.drfs("restore", "files/latest~1/a.txt", out + "/new-name")
    assert read(out + "/new-name") == "alpha\n"


def test_what_differs_is_written_and_what_is_equal_by_size_and_time_left(files, source):
    dest = files.folder + "/out"
    files.drfs("restore", "files/latest", dest)
    kept = {p: os.lstat(p).st_ctime_ns for p in (dest + "/sub/b.txt", dest + "/sub/deeper/c.bin", dest + "/to-b")}
    st = os.stat(dest + "/sub/deeper/c.bin")
    with open(dest + "/sub/deeper/c.bin", "r+b") as f:
        f.write(b"behind the back")
    os.utime(dest + "/sub/deeper/c.bin", ns=(1, st.st_mtime_ns))
    with open(dest + "/a.txt", "a", encoding="ascii") as f:
        f.write("longer")
    os.chmod(dest + "/sub/deeper", 0o700)
    files.drfs("restore", "files/latest", dest)
    assert read(dest + "/a.txt") == "second\n"
    assert open(dest + "/sub/deeper/c.bin", "rb").read(15) == b"behind the back"
    assert os.stat(dest + "/sub/b.txt").st_ctime_ns == kept[dest + "/sub/b.txt"]
    files.drfs("restore", "--checksum", "files/latest", dest)
    assert differences(source, dest) == ""


def test_nothing_is_deleted_without_delete(files, source):
    dest = files.folder + "/out"
    os.makedirs(dest + "/own/deep")
    for name in ("extra", "own/deep/file"):
        with open(f"{dest}/{name}", "w", encoding="ascii") as f:
            f.write("mine")
    files.drfs("restore", "files/latest", dest)
    assert read(dest + "/extra") == read(dest + "/own/deep/file") == "mine" and read(dest + "/a.txt") == "second\n"
    planned = files.drfs("restore", "-n", "--delete", "files/latest", dest)
    assert "extra" in planned and read(dest + "/extra") == "mine"
    files.drfs("restore", "--delete", "files/latest", dest)
    assert differences(source, dest) == ""


def test_a_dry_run_says_what_and_how_much_and_writes_nothing(files):
    dest = files.folder + "/out"
    planned = files.drfs("restore", "--dry-run", "files/latest", dest)
    assert "c.bin" in planned and not os.path.exists(dest)
    assert any("600000" in str(x.values()) for x in files.json("restore", "-n", "files/latest", dest))
    files.drfs("restore", "files/latest", dest)
    before = files_below(dest)
    assert "c.bin" not in files.drfs("restore", "-n", "files/latest", dest)
    assert files_below(dest) == before


def test_ctrl_c_stops_a_restore_and_leaves_nothing_half_named(repo, tmp_path):
    src, dest = tmp_path / "many", repo.folder + "/out"
    src.mkdir()
    for i in range(3000):
        (src / f"{i:05}").write_bytes(b"%d" % i * 50)
    (src / "zz-big").write_bytes(os.urandom(40_000_000))
    repo.drfs("backup", "many", f"{src}/")
    p = subprocess.Popen([repo.binary, "restore", "--jobs", "1", "many/latest", dest], env=repo.env,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and not (os.path.isdir(dest) and os.listdir(dest)):
        pass  # not a moment to lose
    p.send_signal(signal.SIGINT)
    said = p.communicate(timeout=60)[1]
    assert p.returncode == 130, said
    for name in os.listdir(dest):
        assert (src / name).read_bytes() == open(f"{dest}/{name}", "rb").read(), name
    repo.drfs("restore", "many/latest", dest)
    assert differences(src, dest) == ""


def test_an_entry_of_another_kind_in_the_way_is_replaced(files, source):
    dest = files.folder + "/out"
    os.makedirs(dest)
    os.symlink("/etc/passwd", dest + "/a.txt")
    with open(dest + "/sub", "w", encoding="ascii") as f:
        f.write("a file where a folder belongs")
    before = os.stat("/etc/passwd")
    files.drfs("restore", "--delete", "files/latest", dest)
    assert differences(source, dest) == "" and not os.path.islink(dest + "/a.txt")
    assert os.stat("/etc/passwd").st_mtime_ns == before.st_mtime_ns


def test_a_user_without_rights_gets_content_modes_and_times(fresh_repo):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    with open_to_all() as folder:
        repo = nobodys_repo(fresh_repo, folder)
        os.mkdir(folder + "/src")
        with open(folder + "/src/roots", "w", encoding="ascii") as f:
            f.write("owned by root")
        os.utime(folder + "/src/roots", ns=(1, 1_234_567_890_123_456_789))
        os.chmod(folder + "/src/roots", 0o604)
        assert as_nobody(repo, "backup", "files", folder + "/src/").returncode == 0
        done = as_nobody(repo, "restore", "files/latest", repo.folder + "/out")
        assert done.returncode == 0, done.stderr
        st = os.stat(repo.folder + "/out/roots")
        assert read(repo.folder + "/out/roots") == "owned by root"
        assert (st.st_mode & 0o7777, st.st_mtime_ns) == (0o604, 1_234_567_890_123_456_789)


def test_owners_are_mapped_by_name_and_stay_numbers_without_one(repo, source):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(source / "a.txt", 65534, 65534)
    os.chown(source / "empty", 4_000_000, 4_000_001)
    repo.drfs("backup", "files", f"{source}/")
    repo.drfs("restore", "files/latest", repo.folder + "/out")
    assert differences(source, repo.folder + "/out") == ""


def test_jobs_may_be_chosen(files, source):
    for jobs in ("1", "8"):
        files.drfs("restore", "--jobs", jobs, "files/latest", f"{files.folder}/out{jobs}")
        assert differences(source, f"{files.folder}/out{jobs}") == ""


def test_a_restore_over_a_damaged_archive_never_brings_wrong_bytes(repo, tmp_path):
    with open(tmp_path / "big", "wb") as f:
        f.write(os.urandom(2_000_000))
    repo.drfs("backup", "big", str(tmp_path / "big"))
    repo.drfs("check", "--read-data")
    pack = max(files_below(repo.path + "/packs").items(), key=lambda kv: kv[1][0])[0]
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as f:
        f.seek(1_000_000)
        byte = f.read(1)
        f.seek(1_000_000)
        f.write(bytes([byte[0] ^ 1]))
    before = files_below(repo.path)
    checked = repo.cli("check", "--read-data", code=1)
    assert os.path.basename(pack)[:8] in checked.stdout + checked.stderr
    done = repo.run("restore", "big/latest", repo.folder + "/out")
    assert done.returncode in (1, 3) and "big" in done.stderr
    assert not os.path.exists(repo.folder + "/out/big") and repo.run("cat", "big/latest/big").returncode == 1
    os.unlink(pack)
    checked = repo.cli("check", code=1)
    assert os.path.basename(pack)[:8] in checked.stdout + checked.stderr
    before.pop(pack)
    assert files_below(repo.path) == before, "check writes nothing"


def test_everything_comes_back_on_a_machine_that_never_saw_the_archive(files, source):
    new = {"XDG_CACHE_HOME": files.folder + "/new-cache", "XDG_STATE_HOME": files.folder + "/new-state"}
    files.drfs("restore", "--verify", "files/latest", files.folder + "/out", env=new)
    assert differences(source, files.folder + "/out") == ""
    subprocess.run(["rm", "-rf", files.folder + "/cache"], check=True)
    files.drfs("backup", "files", f"{source}/")
    files.drfs("check", "--read-data")


def test_diff_and_find_tell_what_is_where(files):
    changed = files.drfs("diff", "files/latest~1", "files/latest")
    assert "a.txt" in changed and "b.txt" not in changed and "c.bin" not in changed
    assert files.drfs("diff", "files/latest", "files/latest") == ""
    assert "sub/deeper/c.bin" in files.drfs("find", "files/latest")
    assert set(files.drfs("ls", "files/latest/sub").split()) == {"a-again.txt", "b.txt", "deeper"}
