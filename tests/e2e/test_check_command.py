# SPDX-License-Identifier: MIT
"""The dataset's own check: what it finds bad never becomes latest, and it is told why."""

import os
import signal
import subprocess
import time

import pytest
from contract import newest, read


@pytest.fixture
def checked(repo, tmp_path):
    """Sets the check of a dataset in the configuration, which the repository then uses."""
    config = tmp_path / "drfs.conf"
    repo.env["DRFS_CONFIG"] = str(config)

    def use(check, dataset="db"):
        config.write_text(f"[dataset {dataset}]\ncheck = {check}\n")
    return use


def save(repo, text, **options):
    return repo.cli("backup", "db", "--stdin", "app.sql", input=text, **options)


def test_a_dump_that_the_check_refuses_is_partial_and_latest_stays(repo, checked):
    checked("grep -q 'TABLE users' || { echo \"$DRFS_DATASET/$DRFS_FILE has no users\" >&2; exit 1; }")
    done = save(repo, "TABLE users 1")
    assert done.stderr == "" and newest(repo, "db")["state"] == "whole"
    good = newest(repo, "db")["name"]
    done = save(repo, "TABLE other", code=3)
    assert "db/app.sql has no users" in done.stderr
    bad = newest(repo, "db")
    assert bad["state"] == "partial" and bad["name"].endswith(".partial") and bad["name"] != good
    assert bad["checks"] == [{"path": ".", "kind": "command", "ok": False,
                              "reason": "the check command says: db/app.sql has no users"}]
    listed = repo.drfs("snapshots", "-v", "db")
    assert "db/app.sql has no users" in listed and "the check command found it good" in listed
    assert repo.drfs("cat", "db/latest/app.sql") == "TABLE users 1"
    with repo.mount() as mnt:
        assert os.readlink(mnt + "/db/latest") == good
        assert read(mnt + "/db/latest.sql") == "TABLE users 1"
        assert read(f"{mnt}/db/{bad['name']}/app.sql") == "TABLE other"


def test_without_a_word_its_exit_status_is_the_reason(repo, checked):
    for check, reason in (("exit 4", "exit status 4"), ("kill -9 $$", "signal 9"), ("/no/such/check", "not found")):
        checked(check)
        assert reason in save(repo, "x", code=3).stderr
        assert reason in newest(repo, "db")["checks"][0]["reason"]


def test_a_command_that_is_saved_is_checked_when_it_succeeded(repo, checked, tmp_path):
    checked(f"cat > {tmp_path}/seen")
    repo.drfs("backup", "db", "--stdin", "n", "--", "seq", "100000")
    assert read(tmp_path / "seen") == "".join(f"{i}\n" for i in range(1, 100001))
    os.unlink(tmp_path / "seen")
    repo.drfs("backup", "db", "--stdin", "n", "--", "sh", "-c", "echo 1; exit 1", code=1)
    assert not os.path.exists(tmp_path / "seen")


def test_of_paths_the_check_is_told_the_sources(repo, checked, source, tmp_path):
    checked(f'printf %s "$DRFS_SOURCE" > {tmp_path}/seen; wc -c > {tmp_path}/size', "files")
    repo.drfs("backup", "files", f"{source}/", "/etc/hostname")
    assert read(tmp_path / "seen") == f"{source}/\n/etc/hostname" and read(tmp_path / "size").strip() == "0"
    checked("test -e \"$DRFS_SOURCE/missing\"", "files")
    repo.drfs("backup", "files", f"{source}/", code=3)
    assert newest(repo, "files")["state"] == "partial"
    repo.drfs("backup", "other", f"{source}/")


def test_its_output_does_not_mix_with_json(repo, checked):
    checked("echo noise; cat")
    made, = repo.json("backup", "db", "--stdin", "n", input="text")
    assert made["state"] == "whole"


def test_ctrl_c_ends_the_check_and_leaves_no_snapshot(repo, checked, tmp_path):
    checked(f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 300")
    with subprocess.Popen([repo.binary, "backup", "db", "--stdin", "n"], env=repo.env, stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as run:
        for _ in range(200):
            if os.path.exists(tmp_path / "pid"):
                break
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 130
    assert repo.json("snapshots") == []
    assert not os.path.exists(f"/proc/{read(tmp_path / 'pid').strip()}/fd/0")
