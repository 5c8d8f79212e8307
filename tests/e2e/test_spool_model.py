# SPDX-License-Identifier: MIT
"""Random operations on a working copy and on a plain folder: both answer alike and end up alike."""

import errno
import os
import random
import stat

import pytest
from contract import shell
from spooling import assert_same, commit, configure, dataset

pytestmark = pytest.mark.usefixtures("fuse")
STEPS = int(os.environ.get("SPOOL_MODEL_STEPS", "1500"))


class Twins:
    """The same operation in both places; answers are compared."""

    def __init__(self, one, other, seed):
        self.places = (one, other)
        self.rng = random.Random(seed)
        self.handles = []  # (flags, fd in one, fd in other)
        self.trace = []

    def name(self):
        depth = self.rng.choice((1, 1, 2, 2, 3))
        return "/".join(self.rng.choice("abcdef") for _ in range(depth))

    def both(self, what, call):
        answers = []
        for i, place in enumerate(self.places):
            try:
                answers.append(call(place, i))
            except OSError as e:
                answers.append(errno.errorcode[e.errno])
        self.trace.append((what, answers[0]))
        assert answers[0] == answers[1], f"{what}: {answers[0]!r}, a plain folder: {answers[1]!r}; {self.trace[-20:]}"
        return answers[0]

    def data(self):
        return self.rng.randbytes(self.rng.choice((1, 10, 4096, 5000, 70_000)))

    def show(self, path):
        st = os.lstat(path)
        size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
        links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
        return oct(st.st_mode), size, links, st.st_uid, st.st_gid, st.st_rdev

    def open(self):
        if len(self.handles) > 5:
            self.close()
        name = self.name()
        flags = self.rng.choice((os.O_RDONLY, os.O_RDWR, os.O_WRONLY)) | self.rng.choice((0, os.O_CREAT, os.O_CREAT,
                                os.O_CREAT | os.O_EXCL, os.O_CREAT | os.O_TRUNC)) | self.rng.choice((0, 0, os.O_APPEND))
        mode = self.rng.choice((0o644, 0o600, 0o4755))
        fds = [None, None]

        def call(place, i):
            fds[i] = os.open(f"{place}/{name}", flags, mode)
            return stat.S_ISDIR(os.fstat(fds[i]).st_mode)
        if self.both(f"open {name} {flags:o}", call) is False:
            self.handles.append((name, *fds))
        else:
            for fd in fds:
                if fd is not None:
                    os.close(fd)

    def close(self):
        if self.handles:
            name, one, other = self.handles.pop(self.rng.randrange(len(self.handles)))
            self.both(f"close {name}", lambda _, i: os.close((one, other)[i]))

    def on_handle(self):
        if not self.handles:
            return self.open()
        name, *fds = self.rng.choice(self.handles)
        at, data, size = self.rng.randrange(100_000), self.data(), self.rng.randrange(120_000)
        what = self.rng.randrange(7)
        if what <= 2:
            self.both(f"pwrite {name} {at}+{len(data)}", lambda _, i: os.pwrite(fds[i], data, at))
        elif what == 3:
            self.both(f"pread {name} {at}", lambda _, i: os.pread(fds[i], 100_000, at))
        elif what == 4:
            self.both(f"ftruncate {name} {size}", lambda _, i: os.ftruncate(fds[i], size))
        elif what == 5:
            self.both(f"write {name}", lambda _, i: os.write(fds[i], data))
        else:
            self.both(f"fsync {name}", lambda _, i: os.fsync(fds[i]))
        return self.both(f"fstat {name}", lambda _, i: (os.fstat(fds[i]).st_size, os.fstat(fds[i]).st_nlink))

    def on_name(self):
        a, b, size = self.name(), self.name(), self.rng.randrange(120_000)
        calls = {
            "mkdir": lambda p, i: os.mkdir(f"{p}/{a}", 0o755),
            "rmdir": lambda p, i: os.rmdir(f"{p}/{a}"),
            "unlink": lambda p, i: os.unlink(f"{p}/{a}"),
            "rename": lambda p, i: os.rename(f"{p}/{a}", f"{p}/{b}"),
            "link": lambda p, i: os.link(f"{p}/{a}", f"{p}/{b}", follow_symlinks=False),
            "symlink": lambda p, i: os.symlink(b, f"{p}/{a}"),
            "truncate": lambda p, i: os.truncate(f"{p}/{a}", size),
            "chmod": lambda p, i: os.chmod(f"{p}/{a}", size & 0o777 | 0o400),
            "chown": lambda p, i: os.chown(f"{p}/{a}", 1234, -1, follow_symlinks=False),
            "utime": lambda p, i: os.utime(f"{p}/{a}", ns=(size, size), follow_symlinks=False),
            "mtime": lambda p, i: (os.utime(f"{p}/{a}", ns=(size, size)), os.stat(f"{p}/{a}").st_mtime_ns)[1],
            "setxattr": lambda p, i: os.setxattr(f"{p}/{a}", "user." + b.replace("/", "-"), bytes(size % 100)),
            "listxattr": lambda p, i: sorted(os.listxattr(f"{p}/{a}")),
            "readlink": lambda p, i: os.readlink(f"{p}/{a}"),
            "mkfifo": lambda p, i: os.mkfifo(f"{p}/{a}-fifo"),
            "listdir": lambda p, i: sorted(os.listdir(f"{p}/{a}")),
            "stat": lambda p, i: self.show(f"{p}/{a}"),
        }
        if os.geteuid() != 0:
            del calls["chown"]
        what = self.rng.choice(list(calls))
        self.both(f"{what} {a} {b} {size}", calls[what])

    def step(self):
        self.rng.choice((self.open, self.on_handle, self.on_handle, self.on_name, self.on_name, self.close))()

    def end(self):
        while self.handles:
            self.close()


@pytest.mark.parametrize("seed", range(int(os.environ.get("SPOOL_MODEL_SEEDS", "3"))))
def test_a_working_copy_answers_as_a_plain_folder_does(repo, tmp_path, seed):
    configure(repo, files="commit = manual")
    plain = tmp_path / "plain"
    plain.mkdir()
    with repo.mount() as mnt:
        work = dataset(mnt, "files")
        twins = Twins(work, str(plain), seed)
        for part in range(3):
            for _ in range(STEPS // 3):
                twins.step()
            if part == 1:
                twins.end()
            assert_same(work, plain, times=False)
            commit(work)
            if part != 0:
                continue
            assert shell(f"find {work} -name '.fuse_hidden*'") == ""
        twins.end()
        assert_same(work, plain, times=False)
        commit(work)
        assert_same(work, mnt + "/files/latest")
    # From the snapshot, in a new mount, it goes on.
    with repo.mount() as mnt:
        work = mnt + "/spool/files"
        assert_same(work, plain, times=False)
        twins = Twins(work, str(plain), seed + 1000)
        for _ in range(STEPS // 3):
            twins.step()
        twins.end()
        assert_same(work, plain, times=False)
        commit(work)
        assert_same(work, mnt + "/files/latest")
