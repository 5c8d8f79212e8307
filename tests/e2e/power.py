# SPDX-License-Identifier: MIT
"""What a disk holds after a power cut: replays the log of recordfs.c up to a record, and forgets what was not synced.

Modes, from a kind disk to a mean one:

all     everything up to the record is there.
early   names are as they were last, files hold what they held at their last fsync: as with ext4, where names reach the
        disk before bytes do, so that a removal may outlive what it waited for.
strict  names are as at the last fsync of their folder, too. A file's fsync makes its own creation safe.
torn    of each folder either of these; of what was written to a file and not synced, any 4 KiB blocks are there.
"""

import os
import random

MODES = ("all", "early", "strict", "torn")
BLOCK = 4096
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
EXCHANGE = 2  # of renameat2()


class Record:
    """A line of the log and the bytes behind it."""

    def __init__(self, op, numbers, path, other, data, end):
        self.op, self.path, self.other, self.data = op, path, other, data
        self.a, self.b, self.c = numbers
        self.end = end  # where it ends in the log


def parse(path):
    """All records of a log."""
    records = []
    with open(path, "rb") as log:
        while True:
            line = log.readline().split()
            if not line:
                return records
            lengths = [int(word) for word in line[4:]]
            parts = [log.read(n) for n in lengths]
            assert [len(part) for part in parts] == lengths, "the log ends within a record"
            records.append(Record(line[0].decode(), [int(word) for word in line[1:4]], os.fsdecode(parts[0]),
                                  os.fsdecode(parts[1]), parts[2], log.tell()))


def put(data, at, new):
    """Writes into a bytearray as into a file."""
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at:at + len(new)] = new


class File:
    """A file: its bytes, those of its last fsync, and what was done since."""

    def __init__(self):
        self.data, self.safe, self.since, self.synced = bytearray(), b"", [], False

    def change(self, offset, new, size=None):
        """Writes bytes; `size` cuts or grows."""
        put(self.data, offset, new)
        if size is not None:
            put(self.data, max(len(self.data), size), b"")
            del self.data[size:]
        self.since.append((offset, new, size))

    def sync(self):
        self.safe, self.since, self.synced = bytes(self.data), [], True

    def left(self, mode, rng):
        """What the disk holds."""
        if mode == "all":
            return self.data
        data = bytearray(self.safe)
        if mode == "torn":
            for offset, new, size in self.since:
                end = offset + len(new)
                while offset < end:
                    step = min(end, (offset // BLOCK + 1) * BLOCK) - offset
                    piece, new = new[:step], new[step:]
                    if rng.random() < 0.5:
                        put(data, offset, piece)
                    offset += step
                if size is not None and rng.random() < 0.5:
                    put(data, max(len(data), size), b"")
                    del data[size:]
            if rng.random() < 0.5:  # the size is there before the bytes
                put(data, max(len(data), len(self.data)), b"")
        return data


class Link:
    """A symlink."""

    def __init__(self, target):
        self.target = target


class Folder:
    """A folder: its names, and those of its last fsync."""

    def __init__(self):
        self.names, self.safe = {}, {}

    def sync(self):
        self.safe = dict(self.names)

    def left(self, mode, rng):
        return self.safe if mode == "strict" or (mode == "torn" and rng.random() < 0.5) else self.names


class Disk:
    """Replays records, one after the other; at any time says what would be left."""

    def __init__(self, folders=()):
        self.root, self.handles = Folder(), {}
        for path in folders:  # were there, and safe, before the log began
            folder, name = self.find(path)
            folder.names[name] = Folder()
            folder.sync()

    def at(self, path):
        node = self.root
        for name in path.strip("/").split("/"):
            node = node.names[name] if name else node
        return node

    def find(self, path):
        """The folder of a path, and its name there."""
        above, name = os.path.split(path)
        return self.at(above), name

    def file_of(self, record):
        return self.handles[record.a] if record.a else self.at(record.path)

    def replay(self, record):
        getattr(self, "do_" + record.op)(record)

    def do_mkdir(self, record):
        folder, name = self.find(record.path)
        folder.names[name] = Folder()

    def do_symlink(self, record):
        folder, name = self.find(record.path)
        folder.names[name] = Link(record.other)

    def do_unlink(self, record):
        folder, name = self.find(record.path)
        del folder.names[name]

    do_rmdir = do_unlink

    def do_link(self, record):
        folder, name = self.find(record.other)
        folder.names[name] = self.at(record.path)

    def do_rename(self, record):
        (folder, name), (other, new) = self.find(record.path), self.find(record.other)
        moved = folder.names.pop(name)
        if record.a == EXCHANGE:
            folder.names[name] = other.names[new]
        other.names[new] = moved

    def do_create(self, record):
        folder, name = self.find(record.path)
        self.handles[record.a] = folder.names.setdefault(name, File())
        self.cut(record)

    def do_open(self, record):
        self.handles[record.a] = self.at(record.path)
        self.cut(record)

    def cut(self, record):
        file = self.handles[record.a]
        if record.b and file.data:
            file.change(0, b"", 0)

    def do_release(self, record):
        del self.handles[record.a]

    def do_write(self, record):
        self.file_of(record).change(record.b, record.data)

    def do_truncate(self, record):
        self.file_of(record).change(0, b"", record.b)

    def do_fallocate(self, record):
        file, mode, end = self.file_of(record), int(record.path), record.b + record.c
        assert mode & ~(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE) == 0, f"fallocate mode {mode}"
        stop = min(end, len(file.data))
        if mode & (PUNCH_HOLE | ZERO_RANGE) and record.b < stop:
            file.change(record.b, bytes(stop - record.b))
        if not mode & KEEP_SIZE and end > len(file.data):
            file.change(0, b"", end)

    def do_fsync(self, record):
        file = self.file_of(record)
        if not file.synced:  # its creation is safe with it, and the folders that lead to it
            self.keep(self.root, file)
        file.sync()

    def keep(self, folder, file):
        """Makes the names safe that lead to a file from here; whether there is one."""
        for name, node in folder.names.items():
            if node is file or (isinstance(node, Folder) and self.keep(node, file)):
                folder.safe.setdefault(name, node)
                return True
        return False

    def do_fsyncdir(self, record):
        self.at(record.path).sync()

    def write(self, target, mode, seed=0):
        """Makes the folder `target` hold what is left after a cut now."""
        assert mode in MODES, mode
        write_folder(self.root, target, mode, random.Random(seed), {})


def write_folder(folder, target, mode, rng, written):
    """Links to one file stay links."""
    os.mkdir(target)
    for name, node in folder.left(mode, rng).items():
        path = f"{target}/{name}"
        if isinstance(node, Folder):
            write_folder(node, path, mode, rng, written)
        elif isinstance(node, Link):
            os.symlink(node.target, path)
        elif id(node) in written:
            os.link(written[id(node)], path)
        else:
            with open(path, "wb") as f:
                f.write(node.left(mode, rng))
            os.chmod(path, 0o600)
            written[id(node)] = path
