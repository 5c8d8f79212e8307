# SPDX-License-Identifier: MIT
"""Mounting, unmounting, and what is left when a mount dies."""

import json
import os
import signal
import socket
import subprocess

import pytest
from contract import (NOBODY, as_nobody, errno_of, nobodys_repo, open_to_all, process_of, put, read, running, shell,
                      status, until)

pytestmark = pytest.mark.usefixtures("fuse")


@pytest.fixture
def db(repo):
    """A repository with one snapshot, an empty folder to mount on; whatever is mounted there is taken away."""
    put(repo, "db", "app.txt", "one")
    repo.mnt = repo.folder + "/mnt"
    os.mkdir(repo.mnt)
    yield repo
    while subprocess.run(["umount", "-l", repo.mnt], capture_output=True, check=False).returncode == 0:
        pass


def shown(db):
    return read(db.mnt + "/db/latest/app.txt")


def test_a_mount_that_returned_is_usable_at_once_and_umount_waits_for_the_process(db):
    for _ in range(5):
        db.drfs("mount", db.mnt)
        assert os.path.ismount(db.mnt) and shown(db) == "one"
        pid = process_of(db.mnt)
        db.drfs("umount", db.mnt)
        assert not running(pid) and not os.path.ismount(db.mnt) and os.listdir(db.mnt) == []


def test_one_process_in_the_background_keeps_its_command_line(db):
    db.drfs("mount", db.mnt)
    pid = process_of(db.mnt)
    words = open(f"/proc/{pid}/cmdline", "rb").read().decode().split("\0")
    assert words[:3] == [db.binary, "mount", db.mnt]
    serving = [p for p in os.listdir("/proc") if p.isdigit() and p != str(os.getpid())
               and db.mnt in (open(f"/proc/{p}/cmdline", "rb").read().decode(errors="replace").split("\0"))]
    assert serving == [str(pid)]
    assert os.getsid(pid) != os.getsid(0)
    db.drfs("umount", db.mnt)


def test_status_json_gives_repository_process_and_version(db):
    db.drfs("mount", db.mnt)
    facts = status(db.mnt)
    values = [v for v in facts.values() if isinstance(v, str)]
    assert db.path in values or "file://" + db.path in values
    assert db.drfs("--version").split()[-1] in values
    assert running(process_of(db.mnt))
    assert ".drfs" not in os.listdir(db.mnt) and errno_of(os.open, db.mnt + "/.drfs/status.json", os.O_WRONLY)
    assert os.stat(db.mnt + "/.drfs/status.json").st_size in (0, len(read(db.mnt + "/.drfs/status.json")))
    db.drfs("umount", db.mnt)


def test_umount_needs_no_repository_and_no_key(db):
    db.drfs("mount", db.mnt)
    db.drfs("umount", db.mnt, env={"DRFS_REPO": None, "DRFS_KEY_FILE": None, "XDG_RUNTIME_DIR": None})
    assert not os.path.ismount(db.mnt)


def test_plain_umount_ends_the_process(db):
    db.drfs("mount", db.mnt)
    pid = process_of(db.mnt)
    subprocess.run(["umount", db.mnt], check=True)
    until(lambda: not running(pid), "the process ends after umount")
    assert os.listdir(db.mnt) == []


def test_umount_of_a_mount_in_use_is_busy_and_breaks_nothing(db):
    db.drfs("mount", db.mnt)
    with open(db.mnt + "/db/latest/app.txt", encoding="ascii") as f:
        assert db.mnt in db.cli("umount", db.mnt, code=11).stderr
        assert f.read() == "one" and shown(db) == "one"
    db.drfs("umount", db.mnt)


def test_umount_of_what_is_not_mounted_says_so(db):
    for path in (db.mnt, db.folder + "/nowhere", "/proc"):
        done = db.run("umount", path)
        assert done.returncode in (1, 2) and path in done.stderr
    assert os.path.ismount("/proc")


def test_sigterm_unmounts_when_nothing_is_open(db):
    db.drfs("mount", db.mnt)
    pid = process_of(db.mnt)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not running(pid), "the process ends")
    assert not os.path.ismount(db.mnt) and os.listdir(db.mnt) == []


def test_sigterm_with_an_open_file_leaves_the_mount_point_dead(db):
    db.drfs("mount", db.mnt)
    pid = process_of(db.mnt)
    with open(db.mnt + "/db/latest/app.txt", encoding="ascii"):
        os.kill(pid, signal.SIGTERM)
        until(lambda: not running(pid), "the process ends")
        until(lambda: errno_of(os.listdir, db.mnt) == "ENOTCONN", "the mount point is dead")


@pytest.mark.parametrize("way", ["mount again", "umount"])
def test_a_killed_mount_is_dead_not_empty_and_can_be_replaced_or_taken_away(db, way):
    db.drfs("mount", db.mnt)
    pid = process_of(db.mnt)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running(pid), "the process ends")
    until(lambda: errno_of(os.listdir, db.mnt) == "ENOTCONN", "the mount point is dead")
    if way == "mount again":
        db.drfs("mount", db.mnt)
        assert shown(db) == "one" and shell(f"grep -c ' {db.mnt} ' /proc/self/mounts").strip() == "1"
    db.drfs("umount", db.mnt)
    assert os.listdir(db.mnt) == []


def test_one_repository_can_be_mounted_twice_and_backed_up_into_meanwhile(db):
    with db.mount(where=db.folder + "/m1") as one, db.mount(where=db.folder + "/m2") as two:
        assert process_of(one) != process_of(two)
        put(db, "db", "app.txt", "two")
        assert read(one + "/db/latest/app.txt") == read(two + "/db/latest/app.txt") == "two"
        db.drfs("check")


def test_in_the_foreground_it_mounts_until_it_is_told_to_stop(db):
    for number in (signal.SIGTERM, signal.SIGINT):
        p = subprocess.Popen([db.binary, "mount", db.mnt, "-f"], env=db.env, stderr=subprocess.DEVNULL)
        until(lambda: os.path.ismount(db.mnt) and shown(db) == "one", "the mount is there")
        assert p.poll() is None and process_of(db.mnt) == p.pid
        p.send_signal(number)
        p.wait(timeout=15)
        assert not os.path.ismount(db.mnt)


def test_systemd_is_told_when_the_mount_can_be_used(db):
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.bind(db.folder + "/notify")
    bell.settimeout(15)
    p = subprocess.Popen([db.binary, "mount", db.mnt, "-f"], env=dict(db.env, NOTIFY_SOCKET=db.folder + "/notify"))
    try:
        said = b""
        while b"READY=1" not in said.split(b"\n"):
            said = bell.recv(4096)
        assert shown(db) == "one"
    finally:
        p.terminate()
        p.wait(timeout=15)
        bell.close()


def test_mount_drfs_takes_a_line_of_fstab(db):
    helper = db.folder + "/mount.drfs"
    os.symlink(db.binary, helper)
    words = "rw,_netdev,nofail,noauto,x-systemd.automount,x-systemd.requires=network-online.target,cache=64M"
    for url in (db.path, "file://" + db.path):
        done = subprocess.run([helper, url, db.mnt, "-o", words], env=dict(db.env, DRFS_REPO="/nowhere"), text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert shown(db) == "one"
        subprocess.run(["umount", db.mnt], check=True)


def test_a_line_of_fstab_mounts_and_plain_umount_waits_through_the_helper(db):
    helpers, fstab = db.folder + "/sbin", db.folder + "/fstab"
    os.mkdir(helpers)
    for name in ("mount.drfs", "umount.fuse.drfs"):  # what an installation puts there
        os.symlink(db.binary, f"{helpers}/{name}")
    with open(fstab, "w", encoding="ascii") as f:
        f.write(f"{db.path} {db.mnt} drfs noauto,nofail,_netdev,x-systemd.automount 0 0\n")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount name space may be made here")
    script = 'mount --bind "$1" /usr/sbin && mount -T "$2" "$3" && cat "$3/.drfs/status.json" "$3/db/latest/app.txt"' \
             ' && umount "$3"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", helpers, fstab, db.mnt], env=db.env, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.endswith("one"), done.stderr
    assert not running(json.loads(done.stdout[:-3])["pid"])


def test_the_kernel_knows_the_mount_as_fuse_drfs_and_with_its_option_words(db):
    db.drfs("mount", db.mnt, "-o", "_netdev,nofail,noauto,x-own.word=1,cache=64M")
    line, = [x for x in read("/proc/self/mounts").splitlines() if f" {db.mnt} " in x]
    assert line.split()[2] == "fuse.drfs"
    assert db.run("mount", db.folder, "-o", "no_such_option").returncode != 0
    db.drfs("umount", db.mnt)


def test_a_mount_is_private_unless_others_are_allowed(fresh_repo):
    with open_to_all() as folder:
        repo = fresh_repo(folder + "/drfs")
        repo.drfs("init")
        src = folder + "/src"
        os.mkdir(src)
        for name, mode in (("open", 0o644), ("secret", 0o600)):
            with open(f"{src}/{name}", "w", encoding="ascii") as f:
                f.write(name)
            os.chmod(f"{src}/{name}", mode)
        repo.drfs("backup", "db", src + "/")
        with repo.mount() as mnt:
            assert "ermission denied" in as_nobody(repo, "ls", mnt, binary="").stderr
        with repo.mount("-o", "allow_other") as mnt:
            assert as_nobody(repo, "cat", mnt + "/db/latest/open", binary="").stdout == "open"
            refused = as_nobody(repo, "cat", mnt + "/db/latest/secret", binary="")
            assert "ermission denied" in refused.stderr and refused.stdout == ""
            assert read(mnt + "/db/latest/secret") == "secret"


def test_a_user_without_rights_mounts_and_unmounts_too(fresh_repo):
    dev = ("mount -t tmpfs -o mode=755 tmpfs /dev && mknod -m 666 /dev/null c 1 3 && "
           "mknod -m 666 /dev/urandom c 1 9 && mknod -m 666 /dev/fuse c 10 229 && ")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "sh", "-c", dev + "true"], check=False).returncode != 0:
        pytest.skip("no other user can be given a /dev/fuse here")
    script = """set -e; cd "$2"; mkdir mnt
        echo one | "$1" -q backup db --stdin app.txt; "$1" mount mnt; cat mnt/db/latest.txt
        echo two | "$1" -q backup db --stdin app.txt; cat mnt/db/latest/app.txt; stat -c '%u %a' mnt/db
        "$1" umount mnt; ! mountpoint -q mnt; "$1" mount mnt; fusermount3 -u mnt; ls mnt"""
    with open_to_all() as folder:
        repo = nobodys_repo(fresh_repo, folder)
        line = dev + f'exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups bash -c "$@"'
        done = subprocess.run(["unshare", "-m", "sh", "-c", line, "sh", script, "sh", repo.binary, repo.folder],
                              env=dict(repo.env, HOME=repo.folder), text=True, capture_output=True, timeout=60,
                              check=False)
        assert (done.returncode, done.stdout) == (0, f"one\ntwo\n{NOBODY} 755\n"), done.stderr


def test_a_mount_point_that_is_not_empty_not_there_or_taken_is_refused(db):
    os.mkdir(db.folder + "/full")
    open(db.folder + "/full/file", "w", encoding="ascii").close()
    for bad in (db.folder + "/full", db.folder + "/nowhere", db.folder + "/full/file"):
        done = db.run("mount", bad)
        assert done.returncode in (1, 2) and bad in done.stderr and not os.path.ismount(bad)
    db.drfs("mount", db.mnt)
    taken = db.run("mount", db.mnt)
    assert taken.returncode in (1, 11) and db.mnt in taken.stderr and shown(db) == "one"
    db.drfs("umount", db.mnt)


def test_a_mount_over_its_own_repository_is_refused(db):
    before = sorted(os.listdir(db.path))
    for place in (db.path, db.path + "/packs", db.path + "/", db.folder):
        assert db.run("mount", place).returncode in (1, 2), place
        assert not os.path.ismount(place)
    os.mkdir(db.path + "/hollow")  # empty, and yet inside
    assert db.run("mount", db.path + "/hollow").returncode in (1, 2)
    os.rmdir(db.path + "/hollow")
    assert sorted(os.listdir(db.path)) == before


def test_without_the_fuse_device_only_mount_fails_and_says_what_to_do(db):
    hide = "mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && chmod 666 /dev/* && "
    if subprocess.run(["unshare", "-m", "sh", "-c", hide + "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount name space may be made here")
    for device in ("true", "mknod -m 600 /dev/fuse c 10 229; chown 1:1 /dev/fuse; set -- setpriv --bounding-set=-all"
                           " --inh-caps=-all"):
        line = hide + device + '; "$@" ' + f"{db.binary} "
        done = subprocess.run(["unshare", "-m", "sh", "-c", line + "mount " + db.mnt], env=db.env, text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 1 and "/dev/fuse" in done.stderr, done.stderr
        done = subprocess.run(["unshare", "-m", "sh", "-c", line + "cat db/latest/app.txt"], env=db.env, text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0 and done.stdout == "one", done.stderr
