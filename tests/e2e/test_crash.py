# SPDX-License-Identifier: MIT
"""kill -9 at every store call of init and backup: nothing that was good is ever lost."""

import os
import shutil
import signal
import subprocess

import tree_kinds

CALLS_MAX = 400


def killed_at(repo, n, when, *args):
    """Runs a command that is killed at its nth store call. True when it was."""
    env = dict(repo.env, DRFS_FAULT=f"kill-{when}={n}")
    result = subprocess.run([repo.binary, *args], env=env, capture_output=True, check=False)
    if result.returncode == -signal.SIGKILL:
        return True
    assert result.returncode == 0, result.stderr.decode()
    return False


def test_init_killed_at_any_call_leaves_no_repository_or_a_good_one(fresh_repo, tmp_path):
    for when in ("before", "after"):
        for n in range(1, CALLS_MAX):
            repo = fresh_repo(tmp_path / f"{when}-{n}")
            was_killed = killed_at(repo, n, when, "init")
            exists = os.path.exists(repo.path + "/config")
            if exists:
                repo.drfs("snapshots")
                repo.drfs("check")
            else:
                assert repo.run("snapshots").returncode == 10
                repo.drfs("init")
            if not was_killed:
                break
        else:
            raise AssertionError("init makes more calls than expected")


def copy_of(repo, fresh_repo, folder):
    """The same repository elsewhere, opened by the same key: each kill begins from the same state."""
    other = fresh_repo(folder)
    shutil.copytree(repo.path, other.path)
    shutil.copy(repo.key, other.key)
    return other


def test_backup_killed_at_any_call_keeps_what_was_and_the_next_one_works(repo, fresh_repo, tmp_path):
    source = str(tmp_path / "source")
    for i in range(12):
        tree_kinds.write(f"{source}/{i}", tree_kinds.noise(i + 1, i * 40_000))
    repo.drfs("backup", "files", source + "/")
    first = repo.json("snapshots", "files")[0]["name"]
    before = str(tmp_path / "before")
    repo.drfs("restore", "files/latest", before)
    tree_kinds.write(f"{source}/new", tree_kinds.noise(1000, 300_000))
    for when in ("before", "after"):
        for n in range(1, CALLS_MAX):
            trial = copy_of(repo, fresh_repo, tmp_path / f"{when}-{n}")
            was_killed = killed_at(trial, n, when, "backup", "files", source + "/")
            trial.drfs("check", "--read-data")
            assert first in [s["name"] for s in trial.json("snapshots", "files")]
            again, done = str(tmp_path / f"{when}-{n}-again"), str(tmp_path / f"{when}-{n}-done")
            trial.drfs("restore", f"files/{first}", again)
            assert tree_kinds.rsync_differences(before, again) == ""
            trial.drfs("backup", "files", source + "/")
            trial.drfs("restore", "files/latest", done)
            assert tree_kinds.rsync_differences(source, done) == ""
            for folder in (trial.folder, again, done):
                shutil.rmtree(folder)
            if not was_killed:
                break
        else:
            raise AssertionError("backup makes more calls than expected")


def test_what_a_killed_backup_stored_is_taken_up_by_the_next(repo, fresh_repo, tmp_path):
    source = str(tmp_path / "source")
    tree_kinds.write(f"{source}/large", os.urandom(8 << 20))
    for n in range(1, CALLS_MAX):
        trial = copy_of(repo, fresh_repo, tmp_path / f"trial-{n}")
        assert killed_at(trial, n, "before", "backup", "files", source + "/"), "it ended without a segment"
        if os.path.isdir(trial.path + "/index") and os.listdir(trial.path + "/index"):
            break
        shutil.rmtree(trial.folder)
    result = trial.json("backup", "files", source + "/")[0]
    assert result["new_bytes"] == 0, "chunks in an acknowledged segment are not stored twice"
