# SPDX-License-Identifier: MIT
"""Every kind of entry through backup, mount and restore."""

import os
import subprocess

import tree_kinds


def link_sets(root):
    """Groups of paths that are one file."""
    groups = {}
    for folder, _, files in os.walk(os.fsencode(root)):
        for name in files:
            st = os.lstat(folder + b"/" + name)
            if st.st_nlink > 1:
                groups.setdefault((st.st_dev, st.st_ino), set()).add(os.path.relpath(folder + b"/" + name, os.fsencode(root)))
    return sorted(sorted(g) for g in groups.values())


def test_the_mounted_snapshot_is_the_source_to_the_last_attribute(repo, tmp_path):
    source = str(tmp_path / "source")
    tree_kinds.make(source)
    repo.drfs("backup", "files", source + "/")
    with repo.mount() as mnt:
        shown = f"{mnt}/files/latest/"
        assert tree_kinds.rsync_differences(source, shown.rstrip("/") + "/.") == ""
        assert subprocess.run(["diff", "-r", "--no-dereference", "-x", "special", source, shown]).returncode == 0
        tree_kinds.same_holes(source, shown.rstrip("/"))
        assert link_sets(source) == link_sets(shown)
        want = sorted(os.path.relpath(os.path.join(d, n), source) for d, ds, fs in os.walk(source) for n in ds + fs)
        got = sorted(os.path.relpath(os.path.join(d, n), shown) for d, ds, fs in os.walk(shown) for n in ds + fs)
        assert want == got


def test_restore_brings_the_source_back_to_the_last_attribute(repo, tmp_path):
    source, dest = str(tmp_path / "source"), str(tmp_path / "dest")
    tree_kinds.make(source)
    repo.drfs("backup", "files", source + "/")
    repo.drfs("restore", "--verify", "files/latest", dest)
    assert tree_kinds.rsync_differences(source, dest) == ""
    tree_kinds.same_holes(source, dest)
    assert link_sets(source) == link_sets(dest)


def test_a_second_restore_finds_nothing_to_do_and_mends_what_was_changed(repo, tmp_path):
    source, dest = str(tmp_path / "source"), str(tmp_path / "dest")
    tree_kinds.make(source)
    repo.drfs("backup", "files", source + "/")
    repo.drfs("restore", "files/latest", dest)
    with open(dest + "/sizes/100000", "ab") as f:
        f.write(b"more")
    os.unlink(dest + "/many/007")
    os.chmod(dest + "/many/008", 0o777)
    with open(dest + "/extra", "w") as f:
        f.write("not in the snapshot")
    repo.drfs("restore", "--delete", "files/latest", dest)
    assert tree_kinds.rsync_differences(source, dest) == ""


def test_rsync_out_of_the_mount_makes_a_true_copy(repo, tmp_path):
    source, dest = str(tmp_path / "source"), str(tmp_path / "dest")
    tree_kinds.make(source)
    repo.drfs("backup", "files", source + "/")
    with repo.mount() as mnt:
        subprocess.run(["rsync", "-aHAX", "--numeric-ids", f"{mnt}/files/latest/", dest + "/"], check=True)
        copied = str(tmp_path / "copied")
        subprocess.run(["cp", "-a", f"{mnt}/files/latest/.", copied], check=True)
    assert tree_kinds.rsync_differences(source, dest) == ""
    assert tree_kinds.rsync_differences(source, copied) == ""


def test_the_next_backup_of_an_unchanged_tree_stores_nothing_and_reads_the_same(repo, tmp_path):
    source = str(tmp_path / "source")
    tree_kinds.make(source)
    repo.drfs("backup", "files", source + "/")
    second = repo.json("backup", "files", source + "/")[0]
    assert second["new_bytes"] == 0
    dest = str(tmp_path / "dest")
    repo.drfs("restore", "files/latest", dest)
    assert tree_kinds.rsync_differences(source, dest) == ""
