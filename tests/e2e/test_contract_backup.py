# SPDX-License-Identifier: MIT
"""What a backup takes, what it leaves, and how it ends."""

import gzip
import os
import signal
import subprocess
import time

import pytest
from contract import (DUMP, NOBODY, as_nobody, files_below, give_to_nobody, newest, nobodys_repo, open_to_all, put,
                      read, shell, until)


def tree(repo, dataset, snapshot="latest"):
    """All paths in a snapshot, by restoring it."""
    place = f"{repo.folder}/out-{time.monotonic_ns()}"
    repo.drfs("restore", f"{dataset}/{snapshot}", place)
    found = set(shell("find . -mindepth 1 -printf '%P\\n'", cwd=place).splitlines())
    subprocess.run(["rm", "-rf", place], check=True)
    return found


def test_the_slash_at_the_end_means_what_it_means_to_rsync(repo, source):
    repo.drfs("backup", "inside", f"{source}/")
    repo.drfs("backup", "named", str(source))
    repo.drfs("backup", "several", f"{source}/sub", f"{source}/a.txt", f"{source}/empty/")
    repo.drfs("backup", "dot", "./sub/.", cwd=source)
    assert {"a.txt", "sub", "sub/b.txt", "empty"} <= tree(repo, "inside")
    assert {"src", "src/a.txt", "src/sub/b.txt"} <= tree(repo, "named") and "a.txt" not in tree(repo, "named")
    assert {"sub", "sub/b.txt", "a.txt"} <= tree(repo, "several") and "empty" not in tree(repo, "several")
    assert "b.txt" in tree(repo, "dot") and "sub" not in tree(repo, "dot")


def test_a_backup_is_exactly_what_it_was_given_and_nothing_of_earlier_ones(repo, source):
    repo.drfs("backup", "files", f"{source}/")
    repo.drfs("backup", "files", f"{source}/a.txt")
    assert tree(repo, "files") == {"a.txt"}
    repo.drfs("backup", "files", f"{source}/a.txt")
    assert len(repo.json("snapshots", "files")) == 3
    (source / "sub" / "b.txt").unlink()
    repo.drfs("backup", "files", f"{source}/")
    assert "sub/b.txt" not in tree(repo, "files") and "sub/b.txt" in tree(repo, "files", "latest~3")


def test_two_paths_of_one_name_are_not_mixed_silently(repo, tmp_path):
    for side in ("left", "right"):
        (tmp_path / side / "data").mkdir(parents=True)
        (tmp_path / side / "data" / "same").write_text(side)
        (tmp_path / side / "data" / side).write_text(side)
    done = repo.run("backup", "both", f"{tmp_path}/left/data", f"{tmp_path}/right/data")
    assert done.returncode != 0 or {"data/left", "data/right", "data/same"} <= tree(repo, "both")


def test_excludes_by_word_and_by_file(repo, source, tmp_path):
    (tmp_path / "rules").write_text("deeper\n")
    (source / "sub" / "x.log").write_text("x")
    repo.drfs("backup", "files", f"{source}/", "--exclude", "*.log", "--exclude", "/a.txt", "--exclude-from",
              str(tmp_path / "rules"))
    found = tree(repo, "files")
    assert {"sub", "sub/b.txt", "sub/a-again.txt", "empty"} <= found
    assert not {"a.txt", "sub/x.log", "sub/deeper", "sub/deeper/c.bin"} & found
    assert repo.cli("backup", "files", f"{source}/", "--exclude-from", "/nowhere", code=1).stderr


def test_one_file_system_stays_on_it(repo, source):
    (source / "other").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(source / "other")], check=False).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        (source / "other" / "inside").write_text("x")
        repo.drfs("backup", "one", f"{source}/", "--one-file-system")
        repo.drfs("backup", "all", f"{source}/")
    finally:
        subprocess.run(["umount", str(source / "other")], check=True)
    assert "other/inside" not in tree(repo, "one") and "a.txt" in tree(repo, "one")
    assert "other/inside" in tree(repo, "all")


def test_a_dry_run_makes_no_snapshot_and_writes_nothing(repo, source):
    put(repo, "db", "x", "x")
    before = files_below(repo.path)
    assert repo.cli("backup", "-n", "files", f"{source}/").stdout
    repo.drfs("backup", "--dry-run", "files", f"{source}/")
    assert files_below(repo.path) == before and [s["dataset"] for s in repo.json("snapshots")] == ["db"]


def test_stdin_is_read_from_a_pipe_to_its_last_byte(repo):
    shell(f"seq 1 2000000 | {repo.binary} backup db --stdin numbers", env=repo.env)
    want = shell("seq 1 2000000 | sha256sum")
    assert shell(f"{repo.binary} cat db/latest/numbers | sha256sum", env=repo.env) == want
    put(repo, "db", "empty", "")
    assert repo.drfs("cat", "db/latest/empty") == ""


def test_a_command_is_run_and_its_exit_status_believed(repo):
    repo.drfs("backup", "db", "--stdin", "out", "--", "sh", "-c", "echo said; exit 0")
    assert repo.drfs("cat", "db/latest/out") == "said\n"
    for line in (["sh", "-c", "echo half; exit 7"], ["sh", "-c", "echo half; kill -9 $$"]):
        repo.drfs("backup", "db", "--stdin", "out", "--", *line, code=1)
        torn = newest(repo, "db")
        assert torn["name"].endswith(".partial") and torn["state"] == "partial"
        assert repo.drfs("cat", f"db/{torn['name']}/out") == "half\n"
        assert repo.drfs("cat", "db/latest/out") == "said\n"
    assert "no-such-command" in repo.cli("backup", "db", "--stdin", "out", "--", "no-such-command", code=1).stderr
    assert repo.drfs("cat", "db/latest/out") == "said\n"


@pytest.mark.parametrize("name, whole, torn", [
    ("app.sql", DUMP.format("SELECT 1;").encode(), DUMP.format("SELECT 1;").encode()[:60]),
    ("log.gz", gzip.compress(os.urandom(5000)), gzip.compress(os.urandom(5000))[:-9]),
    ("dump.rdb", b"REDIS0011\xff" + b"\0" * 8, b"REDIS0011\xfe\x00"),
    ("early.rdb", b"REDIS0011\xff" + b"\0" * 8, b"REDI"),
    ("none.tar.gz", gzip.compress(b"\0" * 10240), b""),
], ids=["pg_dump", "gzip", "rdb", "first-bytes", "empty"])
def test_files_of_known_kinds_that_were_cut_short_are_partial(repo, tmp_path, name, whole, torn):
    src = tmp_path / "dumps"
    src.mkdir()
    (src / name).write_bytes(whole)
    repo.drfs("backup", "db", f"{src}/")
    assert newest(repo, "db")["state"] == "whole"
    (src / name).write_bytes(torn)
    assert name in repo.cli("backup", "db", f"{src}/", code=3).stderr
    assert newest(repo, "db")["name"].endswith(".partial")
    (tmp_path / "around").mkdir()
    os.rename(src, tmp_path / "around" / "below")
    repo.drfs("backup", "deeper", f"{tmp_path}/around/")  # what is not at the top is a note only
    assert newest(repo, "deeper")["state"] == "whole"


def test_a_change_that_hides_behind_size_and_time_is_seen(repo, source):
    st = os.stat(source / "a.txt")
    repo.drfs("backup", "files", f"{source}/")
    (source / "a.txt").write_text("ALPHA\n")
    os.utime(source / "a.txt", ns=(st.st_atime_ns, st.st_mtime_ns))
    repo.drfs("backup", "files", f"{source}/")
    assert repo.drfs("cat", "files/latest/a.txt") == "ALPHA\n"
    assert repo.drfs("cat", "files/latest~1/a.txt") == "alpha\n"


def test_what_cannot_be_read_is_told_and_the_rest_is_kept(fresh_repo):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    with open_to_all() as folder:
        repo = nobodys_repo(fresh_repo, folder)
        src = folder + "/src"
        os.makedirs(src + "/closed")
        for name in ("good", "bad", "closed/inside"):
            with open(f"{src}/{name}", "w", encoding="ascii") as f:
                f.write(name)
        give_to_nobody(src)
        os.chown(src + "/bad", 0, 0), os.chmod(src + "/bad", 0o600)
        os.chown(src + "/closed", 0, 0), os.chmod(src + "/closed", 0o700)
        done = as_nobody(repo, "backup", "files", src + "/")
        assert done.returncode == 3 and "bad" in done.stderr and "closed" in done.stderr
        facts = as_nobody(repo, "--json", "snapshots").stdout
        assert '"incomplete"' in facts.replace(" ", "") and ".partial" not in facts
        assert as_nobody(repo, "cat", "files/latest/good").stdout == "good"
        assert as_nobody(repo, "restore", "files/latest", folder + "/drfs/out").returncode == 0
        assert "good" in os.listdir(folder + "/drfs/out") and "bad" not in os.listdir(folder + "/drfs/out")
        assert os.stat(folder + "/drfs/out/good").st_uid == NOBODY


def test_of_several_sources_one_that_is_missing_is_named(repo, source):
    done = repo.run("backup", "files", f"{source}/a.txt", f"{source}/missing")
    assert done.returncode in (1, 2, 3) and "missing" in done.stderr
    alone = repo.run("backup", "gone", f"{source}/missing")
    assert alone.returncode in (1, 2) and not repo.json("snapshots") or done.returncode == 3
    assert "gone" not in {s["dataset"] for s in repo.json("snapshots")}


def test_its_own_repository_cache_and_mounts_are_left_out(repo, source):
    put(repo, "db", "x.txt", "the mounted file")
    with repo.mount(where=str(source / "mnt")):
        os.rename(repo.path, source / "repository")
        env = {"DRFS_REPO": source / "repository", "XDG_CACHE_HOME": source / "cache",
               "XDG_STATE_HOME": source / "state"}
        repo.drfs("backup", "all", f"{source}/", env=env)
        repo.drfs("backup", "all", f"{source}/", env=env)
        os.rename(source / "repository", repo.path)
    found = tree(repo, "all")
    assert "a.txt" in found
    assert not [p for p in found if p.startswith(("repository/", "mnt/")) or p.startswith("cache/drfs/")]


def test_two_backups_at_one_time_both_succeed(repo, tmp_path):
    running = []
    for i in range(4):
        (tmp_path / f"tree{i}").mkdir()
        for j in range(50):
            (tmp_path / f"tree{i}" / f"{j}").write_bytes(os.urandom(20_000) if j % 2 else b"common" * 5000)
        running.append(subprocess.Popen([repo.binary, "backup", f"set{i % 2}", f"{tmp_path}/tree{i}"], env=repo.env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    for p in running:
        assert p.wait(timeout=120) == 0, p.stderr.read()
    made = repo.json("snapshots")
    assert sorted(s["dataset"] for s in made) == ["set0", "set0", "set1", "set1"]
    assert len({(s["dataset"], s["name"]) for s in made}) == 4
    repo.drfs("check", "--read-data")
    kept = [(tree(repo, s["dataset"], s["name"]), s) for s in made]
    assert sorted(next(iter(t))[:5] for t, _ in kept) == ["tree0", "tree1", "tree2", "tree3"] or \
        {p for t, _ in kept for p in t if "/" not in p} == {"tree0", "tree1", "tree2", "tree3"}


def test_ctrl_c_is_130_and_leaves_the_archive_in_order(repo):
    put(repo, "db", "x", "before")
    with subprocess.Popen([repo.binary, "backup", "db", "--stdin", "x"], env=repo.env, stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
        for _ in range(64):  # more than a pipe holds: the backup is reading
            p.stdin.write(os.urandom(1 << 18))
        p.send_signal(signal.SIGINT)
        assert p.wait(timeout=30) == 130
        p.stdin = None
    repo.drfs("check", "--read-data")
    assert repo.drfs("cat", "db/latest/x") == "before" and len(repo.json("snapshots", "db")) == 1
    put(repo, "db", "x", "after")
    assert repo.drfs("cat", "db/latest/x") == "after"


def test_ctrl_c_reaches_the_command_too(repo):
    mark = repo.folder + "/pid"
    command = ["sh", "-c", f"echo $$ >{mark}; exec sleep 99"]
    p = subprocess.Popen([repo.binary, "backup", "db", "--stdin", "x", "--", *command], env=repo.env,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         start_new_session=True)
    pid = int(until(lambda: os.path.exists(mark) and read(mark).strip(), "the command runs"))
    os.killpg(p.pid, signal.SIGINT)  # as a terminal does
    assert p.wait(timeout=30) == 130
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the command ended")
    assert [s for s in repo.json("snapshots") if s["state"] != "partial"] == []


@pytest.mark.parametrize("name", ["a/b", "at", "spool", "clones", ".hidden", "", ".", "..", "/abs"],
                         ids=repr)
def test_names_that_are_no_dataset_are_refused(repo, name):
    assert repo.run("backup", name, "--stdin", "x", input="x").returncode in (1, 2)
    assert repo.json("snapshots") == []
