# SPDX-License-Identifier: MIT
"""What a mounted snapshot looks like to the tools of everyday."""

import os
import stat
import subprocess

import pytest
from contract import errno_of, files_below, put, read, shell

REF = "user.drfs.ref"


@pytest.fixture
def shown(repo, source):
    """The snapshot of `source`, mounted: (mount point, snapshot's folder)."""
    os.setxattr(source / "a.txt", "user.note", b"\x00\xffbytes")
    os.setxattr(source / "sub", "user.of-a-folder", b"1")
    subprocess.run(["setfacl", "-m", "u:12345:r--", str(source / "a.txt")], check=True)
    os.chmod(source, 0o2751)
    os.utime(source, ns=(1, 1_600_000_000_000_000_001))
    repo.drfs("backup", "files", f"{source}/")
    with repo.mount() as mnt:
        yield mnt, mnt + "/files/" + os.readlink(mnt + "/files/latest")


def test_every_kind_of_write_to_a_snapshot_is_erofs(shown):
    _, snap = shown
    file, folder = snap + "/a.txt", snap + "/sub"
    writes = {
        "create": lambda: os.open(snap + "/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        "create below": lambda: os.open(folder + "/new", os.O_WRONLY | os.O_CREAT),
        "open to write": lambda: os.open(file, os.O_WRONLY),
        "open to read and write": lambda: os.open(file, os.O_RDWR),
        "append": lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
        "open to truncate": lambda: os.open(file, os.O_WRONLY | os.O_TRUNC),
        "truncate": lambda: os.truncate(file, 0),
        "mkdir": lambda: os.mkdir(snap + "/d"),
        "rmdir": lambda: os.rmdir(snap + "/empty"),
        "unlink": lambda: os.unlink(file),
        "rename": lambda: os.rename(file, snap + "/b"),
        "rename onto": lambda: os.rename(file, folder + "/b.txt"),
        "rename the folder": lambda: os.rename(folder, snap + "/sub2"),
        "link": lambda: os.link(file, snap + "/b"),
        "symlink": lambda: os.symlink("x", snap + "/b"),
        "mknod": lambda: os.mknod(snap + "/b", stat.S_IFREG | 0o600),
        "mkfifo": lambda: os.mkfifo(snap + "/b"),
        "chmod": lambda: os.chmod(file, 0o600),
        "chmod a folder": lambda: os.chmod(folder, 0o700),
        "chown": lambda: os.chown(file, os.geteuid(), os.getegid()),
        "lchown": lambda: os.chown(snap + "/to-b", os.geteuid(), os.getegid(), follow_symlinks=False),
        "utime": lambda: os.utime(file),
        "utime to a time": lambda: os.utime(file, (1, 1)),
        "setxattr": lambda: os.setxattr(file, "user.x", b"1"),
        "setxattr of the ref": lambda: os.setxattr(file, REF, b"1"),
        "removexattr": lambda: os.removexattr(file, "user.note"),
        "setxattr on the root": lambda: os.setxattr(snap, "user.x", b"1"),
        "chmod the root": lambda: os.chmod(snap, 0o700),
    }
    wrong = {what: errno_of(call) for what, call in writes.items()}
    assert {what: e for what, e in wrong.items() if e != "EROFS"} == {}
    assert read(file) == "alpha\n"


def test_nothing_can_be_made_or_taken_away_in_a_virtual_folder(shown):
    mnt, snap = shown
    for folder in (mnt, mnt + "/files", mnt + "/at", mnt + "/files/at", mnt + "/.drfs"):
        assert errno_of(os.mkdir, folder + "/new"), folder
        assert errno_of(os.open, folder + "/new", os.O_WRONLY | os.O_CREAT), folder
        assert errno_of(os.chmod, folder, 0o777), folder
    for path in (snap, mnt + "/files"):
        assert errno_of(os.rmdir, path) and errno_of(os.rename, path, mnt + "/gone"), path
    for path in (mnt + "/files/latest", mnt + "/.drfs/status.json"):
        assert errno_of(os.unlink, path), path
    assert errno_of(os.open, mnt + "/.drfs/status.json", os.O_RDWR)
    assert read(snap + "/a.txt") == "alpha\n"


def test_virtual_folders_are_0755_and_the_mounting_users(shown):
    mnt, snap = shown
    for folder in (mnt, mnt + "/files", mnt + "/at", mnt + "/files/at", mnt + "/.drfs", mnt + "/at/2099-01-01"):
        st = os.stat(folder)
        assert (stat.filemode(st.st_mode), st.st_uid, st.st_gid) == \
            ("drwxr-xr-x", os.geteuid(), os.getegid()), folder


def test_the_snapshots_root_has_the_attributes_of_the_path_that_was_given(shown, source):
    _, snap = shown
    want, got = os.stat(source), os.stat(snap)
    assert (got.st_mode, got.st_uid, got.st_gid, got.st_mtime_ns) == \
        (want.st_mode, want.st_uid, want.st_gid, 1_600_000_000_000_000_001)


def test_links_inodes_and_the_device_are_what_tools_expect(repo, shown):
    mnt, snap = shown
    devices, numbers = {os.stat(mnt).st_dev}, {}
    for where, folders, names in os.walk(os.fsencode(snap)):
        assert os.lstat(where).st_nlink == 1
        for name in folders + names:
            st = os.lstat(where + b"/" + name)
            devices.add(st.st_dev)
            numbers.setdefault(st.st_ino, []).append(os.path.relpath(where + b"/" + name, os.fsencode(snap)))
    assert len(devices) == 1
    assert [sorted(v) for v in numbers.values() if len(v) > 1] == [[b"a.txt", b"sub/a-again.txt"]]
    assert os.stat(snap + "/a.txt").st_nlink == os.stat(snap + "/sub/a-again.txt").st_nlink == 2
    inodes = {e.name: e.inode() for e in os.scandir(snap)}
    assert inodes == {n: os.lstat(f"{snap}/{n}").st_ino for n in inodes}
    with repo.mount(where=repo.folder + "/other") as other:
        again = other + snap[len(mnt):]
        assert {os.lstat(again + "/" + os.fsdecode(p)).st_ino for v in numbers.values() for p in v} == set(numbers)
        assert os.stat(again + "/sub/b.txt").st_ino == os.stat(snap + "/sub/b.txt").st_ino


def test_blocks_and_holes_are_the_files_own(shown):
    _, snap = shown
    st = os.stat(snap + "/sparse")
    assert st.st_size == 5_000_000 and st.st_blocks * 512 <= 1_000_000
    assert os.stat(snap + "/sub/deeper/c.bin").st_blocks * 512 >= 600_000
    fd = os.open(snap + "/sparse", os.O_RDONLY)
    data = os.lseek(fd, 0, os.SEEK_DATA)
    assert 1_900_000 < data <= 2_000_000 and os.lseek(fd, data, os.SEEK_HOLE) < 2_100_000
    assert os.pread(fd, 13, 2_000_000) == b"in the middle" and os.pread(fd, 10, 4_999_995) == b"\0" * 5
    os.close(fd)


def test_statfs_tells_the_archives_size_and_what_is_free(repo, shown):
    mnt, _ = shown
    vfs, disk = os.statvfs(mnt), os.statvfs(repo.folder)
    stored = sum(size for size, _, _ in files_below(repo.path).values())
    free = vfs.f_bavail * vfs.f_frsize
    assert abs(free - disk.f_bavail * disk.f_frsize) < 512 << 20
    assert vfs.f_blocks * vfs.f_frsize >= stored + vfs.f_bfree * vfs.f_frsize * 0.99
    assert vfs.f_namemax == 255
    assert shell(f"df {mnt}").splitlines()[-1].endswith(mnt)


def test_refs_are_answered_by_name_and_never_listed(shown, source):
    _, snap = shown
    paths = [snap, snap + "/a.txt", snap + "/sub", snap + "/sub/deeper", snap + "/sub/b.txt"]
    refs = [os.getxattr(p, REF) for p in paths]
    assert len(set(refs)) == len(paths) and all(b"files" in ref for ref in refs)
    assert b"sub/deeper" in refs[3] and b"sub/b.txt" in refs[4]
    assert shell(f"getfattr --only-values -n {REF} {snap}/sub/b.txt").encode() == refs[-1]
    for path in paths:
        assert REF not in os.listxattr(path)
    assert REF not in shell(f"getfattr -h -R -d -m - {snap}")
    assert os.getxattr(snap + "/a.txt", "user.note") == b"\x00\xffbytes"
    assert set(os.listxattr(snap + "/a.txt")) == set(os.listxattr(source / "a.txt"))
    assert os.listxattr(snap + "/sub") == ["user.of-a-folder"]
    assert errno_of(os.getxattr, snap + "/a.txt", "user.nothing") == "ENODATA"
    acl = "getfacl -c --absolute-names -n "
    assert shell(acl + snap + "/a.txt") == shell(acl + str(source / "a.txt"))


def test_copies_out_of_the_mount_carry_no_refs_and_are_the_source(shown, source, tmp_path):
    _, snap = shown
    shell(f"cp -a {snap}/. {tmp_path}/cp && rsync -aHAX {snap}/ {tmp_path}/rsync/")
    shell(f"mkdir {tmp_path}/tar; tar -C {snap} --xattrs --acls -cf - . | tar -C {tmp_path}/tar --xattrs --acls -xpf -")
    for copy in ("cp", "rsync", "tar"):
        there = f"{tmp_path}/{copy}"
        assert REF not in shell(f"getfattr -h -R -d -m - {there}")
        # A sparse file comes out of tar and rsync with its holes filled: a comparison of contents does not mind.
        assert shell(f"rsync -aHAXnc --numeric-ids --delete -i {source}/ {there}/") == "", copy
    assert shell(f"diff -r --no-dereference {source} {snap}") == ""


def test_the_snapshot_and_the_source_list_alike(shown, source):
    mnt, snap = shown
    listing = ("find . -printf '%P %y %m %n %U %G %T@ %l\\n' | sed -E 's/^(([^ ]*) d [0-7]+) [0-9]+/\\1/' |"
               " LC_ALL=C sort")
    assert shell(listing, cwd=snap) == shell(listing, cwd=source)
    sizes = "find . -type f -printf '%P %s\\n' | LC_ALL=C sort"
    assert shell(sizes, cwd=snap) == shell(sizes, cwd=source)
    columns = "ls -lAR --time-style=full-iso | awk '$1 != \"total\" && !/^d/'"
    assert shell(columns, cwd=snap) == shell(columns, cwd=source)
    assert int(shell(f"du -sB1 --apparent-size {snap}").split()[0]) > 5_600_000
    assert int(shell(f"du -sB1 {snap}").split()[0]) < 3_000_000
    assert "files/latest" in shell(f"find {mnt}")
    assert shell(f"grep -rl 'in the middle' {snap}").strip() == snap + "/sparse"


def test_reads_at_any_offset_are_the_bytes_of_the_source(shown, source):
    _, snap = shown
    with open(source / "sub/deeper/c.bin", "rb") as f:
        want = f.read()
    fd = os.open(snap + "/sub/deeper/c.bin", os.O_RDONLY)
    for offset, size in ((0, 1), (599_999, 10), (600_000, 10), (700_000, 1), (123_457, 200_001), (1, 4096), (4095, 2)):
        assert os.pread(fd, size, offset) == want[offset:offset + size], (offset, size)
    os.close(fd)
    assert errno_of(os.open, snap + "/nowhere", os.O_RDONLY) == "ENOENT"
    assert errno_of(os.open, snap + "/a.txt/below", os.O_RDONLY) == "ENOTDIR"
    assert errno_of(os.listdir, snap + "/a.txt") == "ENOTDIR"


def test_a_folder_of_many_entries_is_listed_whole_and_can_be_read_twice(repo, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for i in range(3000):
        (many / f"{i:05}").write_text(str(i))
    repo.drfs("backup", "many", f"{many}/")
    with repo.mount() as mnt:
        for _ in range(2):
            assert sorted(os.listdir(mnt + "/many/latest")) == [f"{i:05}" for i in range(3000)]
        assert read(mnt + "/many/latest/02321") == "2321"


def test_devices_and_fifos_are_shown_as_they_are(repo, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root makes device nodes")
    src = tmp_path / "special"
    src.mkdir()
    os.mknod(src / "null", stat.S_IFCHR | 0o622, os.makedev(1, 3))
    os.mknod(src / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    os.mkfifo(src / "fifo", 0o610)
    repo.drfs("backup", "special", f"{src}/")
    with repo.mount() as mnt:
        for name in ("null", "loop", "fifo"):
            want, got = os.lstat(src / name), os.lstat(f"{mnt}/special/latest/{name}")
            assert (got.st_mode, got.st_rdev, got.st_mtime_ns) == (want.st_mode, want.st_rdev, want.st_mtime_ns), name


def test_what_the_archive_lost_is_eio_and_all_else_reads(repo, tmp_path):
    put(repo, "db", "app.bin", "good\n" * 100)
    before = set(files_below(repo.path + "/packs"))
    with open(tmp_path / "big", "wb") as f:
        f.write(os.urandom(3_000_000))
    repo.drfs("backup", "big", str(tmp_path / "big"))
    packs = sorted(set(files_below(repo.path + "/packs")) - before, key=os.path.getsize)
    os.unlink(packs[-1])  # the data; the tree lies in a pack of its own
    with repo.mount() as mnt:
        assert errno_of(lambda: open(mnt + "/big/latest/big", "rb").read()) == "EIO"
        assert os.stat(mnt + "/big/latest/big").st_size == 3_000_000
        assert read(mnt + "/db/latest/app.bin") == "good\n" * 100
