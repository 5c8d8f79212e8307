# SPDX-License-Identifier: MIT
"""Fixtures: the command, a repository with a key file, mounts that are taken away again."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.environ.get("DRFS") or os.environ.get("DRFS_BIN") or os.path.join(HERE, "..", "..", "build", "drfs")


SECONDS = 300


def fuse_missing():
    """Why nothing can be mounted here; None when it can."""
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse is missing"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        return f"/dev/fuse cannot be opened: {e.strerror}"
    return None


class Repo:
    """A repository at `path`, and the command with the environment to use it."""

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.path = self.folder + "/repo"
        self.key = self.folder + "/key"
        self.binary = os.path.abspath(BINARY)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("DRFS_") and not k.startswith("XDG_")}
        self.env.update(DRFS_REPO=self.path, DRFS_KEY_FILE=self.key, XDG_CACHE_HOME=self.folder + "/cache",
                        XDG_STATE_HOME=self.folder + "/state", XDG_RUNTIME_DIR=self.folder + "/run",
                        XDG_CONFIG_HOME=self.folder + "/config", LC_ALL="C.UTF-8")
        os.makedirs(self.folder + "/run", mode=0o700, exist_ok=True)

    def run(self, *args, env=None, **options):
        """Runs drfs; the result has returncode, stdout and stderr as text. A variable of `env` that is None is unset."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("timeout", SECONDS)
        wanted = {k: str(v) for k, v in dict(self.env, **(env or {})).items() if v is not None}
        return subprocess.run([self.binary, *args], env=wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, errors="surrogateescape", check=False, **options)

    def cli(self, *args, code=0, **options):
        """Runs drfs and expects an exit code; the result, for who looks at stderr too."""
        result = self.run(*args, **options)
        assert result.returncode == code, \
            f"drfs {' '.join(args)}: exit {result.returncode}, not {code}\n{result.stdout}{result.stderr}"
        return result

    def drfs(self, *args, **options):
        """Runs drfs and expects an exit code; returns what it printed."""
        return self.cli(*args, **options).stdout

    def json(self, *args, **options):
        """The JSON lines that a command prints."""
        return [json.loads(line) for line in self.drfs("--json", *args, **options).splitlines()]

    @contextlib.contextmanager
    def mount(self, *options, where=None):
        """Mounts for the length of a `with`; gives the mount point."""
        why = fuse_missing()
        if why:
            pytest.skip(why)
        mnt = where or self.folder + "/mnt"
        os.makedirs(mnt, exist_ok=True)
        self.drfs("mount", mnt, *options)
        try:
            yield mnt
        finally:
            result = self.run("umount", mnt)
            if os.path.ismount(mnt):
                subprocess.run(["umount", "-l", mnt], check=False)
            assert result.returncode == 0, result.stderr


@pytest.fixture
def fresh_repo():
    """Makes Repo objects (no repository in them yet)."""
    return Repo


@pytest.fixture
def bare(tmp_path):
    """The command, with no repository yet."""
    return Repo(tmp_path / "drfs")


@pytest.fixture
def repo(bare):
    """The command with an empty repository."""
    bare.drfs("init")
    return bare


@pytest.fixture
def fuse():
    """For tests that mount by themselves."""
    why = fuse_missing()
    if why:
        pytest.skip(why)


@pytest.fixture
def source(tmp_path):
    """A little tree that needs no privilege; tree_kinds makes the large one."""
    src = tmp_path / "src"
    (src / "sub" / "deeper").mkdir(parents=True)
    (src / "empty").mkdir()
    (src / "a.txt").write_text("alpha\n")
    (src / "sub" / "b.txt").write_text("beta\n" * 1000)
    (src / "sub" / "deeper" / "c.bin").write_bytes(os.urandom(600_000))
    os.link(src / "a.txt", src / "sub" / "a-again.txt")
    (src / "to-b").symlink_to("sub/b.txt")
    (src / "dangling").symlink_to("/nowhere")
    with open(src / "sparse", "wb") as f:
        f.truncate(5_000_000)
        f.seek(2_000_000)
        f.write(b"in the middle")
    with open(os.fsencode(src) + b"/not-utf8-\xff", "wb") as f:
        f.write(b"odd name\n")
    os.chmod(src / "sub" / "b.txt", 0o4640)
    os.utime(src / "a.txt", ns=(1, -123_456_789))
    os.utime(src / "sub", ns=(1, 1_700_000_000_123_456_789))
    return src


@pytest.fixture(autouse=True)
def remove_folder(tmp_path):
    """Trees with odd names and large files do not wait for pytest's own clean-up."""
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)
