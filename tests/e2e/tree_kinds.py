# SPDX-License-Identifier: MIT
"""A source tree with every kind of entry, and how two trees are compared."""

import os
import socket
import stat
import struct
import subprocess


def write(path, data, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def noise(seed, size):
    """Bytes that follow from a seed and do not compress."""
    out = bytearray()
    state = seed * 2654435761 % 2**32 or 1
    while len(out) < size:
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        out += struct.pack("<I", state) * 7 if state % 3 else struct.pack("<I", state)
    return bytes(out[:size])


def make_names(root):
    """Names that are awkward: not UTF-8, as long as may be, with every other byte, deep."""
    base = os.fsencode(root) + b"/names"
    os.makedirs(base)
    for name in [b"\xff\xfe not utf-8", b"x" * 255, b"new\nline", b"tab\t", b"quote'\"", b" leading", b"trailing ",
                 b"back\\slash", b"-dash", b"*star?", "déjà vu 日本".encode(), b"\x01\x02", b"a:b", b".hidden", b"%41"]:
        with open(base + b"/" + name, "wb") as f:
            f.write(name)
    deep = base
    for _ in range(24):
        deep += b"/" + b"d" * 60
        os.mkdir(deep)
    with open(deep + b"/bottom", "wb") as f:
        f.write(b"reached")


def make_sparse(root):
    os.makedirs(root + "/sparse")
    with open(root + "/sparse/ends", "wb") as f:
        f.write(b"begin")
        f.seek(32 << 20)
        f.write(b"end")
    with open(root + "/sparse/islands", "wb") as f:
        for i in range(64):
            f.seek(i * 300_000)
            f.write(noise(i + 1, 5000))
        f.truncate(64 * 300_000 + 123_456)
    with open(root + "/sparse/small", "wb") as f:
        f.write(b"x" * 4096)
        f.seek(100_000)
        f.write(b"y")
    with open(root + "/sparse/only-a-hole", "wb") as f:
        f.truncate(1 << 20)


def make_links(root):
    os.makedirs(root + "/links/far/away")
    write(root + "/links/first", noise(9, 70_000))
    os.link(root + "/links/first", root + "/links/second")
    os.link(root + "/links/first", root + "/links/far/away/third")
    os.symlink("first", root + "/links/symlink")
    os.link(root + "/links/symlink", root + "/links/hard-symlink", follow_symlinks=False)
    os.symlink("/nowhere/at all", root + "/links/dangling")
    os.symlink(b"\xff\xfe", os.fsencode(root) + b"/links/odd-target")
    os.symlink("y" * 4000, root + "/links/long")


def make_special(root):
    os.makedirs(root + "/special")
    os.mkfifo(root + "/special/fifo", 0o640)
    s = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(root + "/special")
    s.bind("socket")
    os.chdir(here)
    s.close()
    if os.geteuid() == 0:
        try:
            os.mknod(root + "/special/char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            os.mknod(root + "/special/block", stat.S_IFBLK | 0o660, os.makedev(7, 200))
        except PermissionError:
            pass


def make_attributes(root):
    base = root + "/attributes"
    os.makedirs(base)
    write(base + "/acl", b"acl")
    write(base + "/xattr", b"xattr")
    write(base + "/modes", b"", 0o4755)
    write(base + "/unreadable-by-others", b"s", 0o600)
    os.makedirs(base + "/sticky", 0o755)
    os.chmod(base + "/sticky", 0o1777)
    os.makedirs(base + "/empty")
    os.setxattr(base + "/xattr", "user.note", b"caf\xc3\xa9\x00\xff")
    os.setxattr(base + "/xattr", "user.large", b"v" * 3000)
    os.setxattr(base + "/empty", "user.on-a-folder", b"1")
    subprocess.run(["setfacl", "-m", "u:12345:r--,g:54321:rwx", base + "/acl"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:12345:rwx", base + "/empty"], check=True)
    if os.geteuid() == 0:
        write(base + "/owned", b"o")
        os.chown(base + "/owned", 12345, 54321)
        write(base + "/capable", b"#!", 0o755)
        subprocess.run(["setcap", "cap_net_raw+ep", base + "/capable"], check=True)


def make_sizes(root):
    for size in [0, 1, 4095, 4096, 100_000, 262_143, 262_144, 262_145, 1_048_576, 5_000_003]:
        write(f"{root}/sizes/{size}", noise(size + 1, size))
    for i in range(300):
        write(f"{root}/many/{i:03}", noise(i + 100, i * 37))


def set_times(root):
    """Nanoseconds, before 1970, far ahead; folders last, deepest first."""
    times = [-86_400_123_456_789, -1, 1, 1_700_000_000_123_456_789, 4_102_444_800_999_999_999]
    n = 0
    for folder, dirs, files in os.walk(os.fsencode(root), topdown=False):
        for name in sorted(files) + sorted(dirs):
            t = times[n % len(times)]
            n += 1
            os.utime(folder + b"/" + name, ns=(t, t), follow_symlinks=False)
    os.utime(root, ns=(times[3], times[3]))


def make(root):
    os.makedirs(root)
    make_names(root)
    make_sparse(root)
    make_links(root)
    make_special(root)
    make_attributes(root)
    make_sizes(root)
    set_times(root)


def holes(path):
    """The data stretches of a file, as (begin, end)."""
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    out, at = [], 0
    try:
        while at < size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(fd, data, os.SEEK_HOLE)
            out.append((data, at))
    finally:
        os.close(fd)
    return out


def rsync_differences(a, b):
    """What rsync would do to make b like a, by content and every attribute."""
    result = subprocess.run(
        ["rsync", "-aHAXnc", "--numeric-ids", "--modify-window=-1", "--delete", "-i", a + "/", b + "/"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = result.stdout.decode(errors="replace")
    return text if result.returncode == 0 else f"rsync failed ({result.returncode}): {text}"


def same_holes(a, b):
    for name in sorted(os.listdir(a + "/sparse")):
        want, got = holes(f"{a}/sparse/{name}"), holes(f"{b}/sparse/{name}")
        assert want == got, f"holes of sparse/{name}: {got} instead of {want}"
