# SPDX-License-Identifier: MIT
"""Uploads that live in a bucket are backed up by `rclone sync` and `aws s3 sync` into the spool."""

import os
import random
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from bucket_server import serving
from contract import files_below, newest, until
from spooling import assert_committed, commit, configure, count, dataset, differences

pytestmark = pytest.mark.usefixtures("fuse")

MIB = 1 << 20
BIG = "video/big.mp4"
ODD = ["a b/c  d.txt", " leading and trailing ", "plus+plus/1+1=2.txt", "100%.txt", "not%20a%2Fescape%",
       "ümlaut/日本語/🙂.txt", "e\u0301 and \u00e9", "quote'and\"quote", "amp&lt;<tag>.xml", "semi;colon,comma",
       "hash#and?question", "star*[0-9]{a,b}", "back\\slash", "-dash", "--delete", ".hidden/.env", "dots...", "..two",
       "$HOME/`id`/$(id)", "tilde~", "col:on", "at@sign", "long/" + "n" * 200, "deep/" + "d/" * 40 + "leaf",
       ".commit-not", "Case", "case"]


class Tool:
    """A program that syncs: its name, and what comes with it to work alone in a folder, far from any network."""

    def __init__(self, name, folder):
        self.name = name
        if not os.path.exists("/usr/bin/" + name):
            pytest.skip(f"there is no /usr/bin/{name}: tools/install-deps --test installs it")
        os.makedirs(folder + "/.aws")
        with open(folder + "/.aws/config", "w", encoding="ascii") as f:
            f.write("[default]\nregion = us-east-1\ns3 =\n  multipart_threshold = 8MB\n  multipart_chunksize = 5MB\n"
                    "  addressing_style = path\n")
        with open(folder + "/rclone.conf", "w", encoding="ascii") as f:
            f.write("[bucket]\ntype = s3\nprovider = Other\nlist_version = 2\nforce_path_style = true\n"
                    "region = us-east-1\naccess_key_id = dummy\nsecret_access_key = dummy\nno_check_bucket = true\n")
        self.env = {"PATH": "/usr/bin:/bin", "HOME": folder, "LC_ALL": "C.UTF-8", "AWS_ACCESS_KEY_ID": "dummy",
                    "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
                    "RCLONE_CONFIG": folder + "/rclone.conf", "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1",
                    "RCLONE_MULTI_THREAD_CUTOFF": "4M"}

    def run(self, *words):
        done = subprocess.run(["/usr/bin/" + self.name, *words], env=self.env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        assert done.returncode == 0, f"{self.name} {' '.join(words)}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    def sync(self, bucket, folder, prefix=""):
        """Makes the folder what the bucket is; the keys of which bytes were read."""
        bucket.forget_reads()
        if self.name == "aws":
            # Without --exact-timestamps aws leaves a file alone that is as large as the object and older.
            self.run("--endpoint-url", bucket.url, "s3", "sync", "--delete", "--exact-timestamps",
                     f"s3://{bucket.name}/{prefix}", folder)
        else:
            self.run("sync", "--s3-endpoint", bucket.url, f"bucket:{bucket.name}/{prefix}", folder)
        return {key for key, _ in bucket.reads}


@pytest.fixture(params=["rclone", "aws"])
def tool(request, tmp_path):
    return Tool(request.param, str(tmp_path / "home"))


@pytest.fixture
def bucket():
    """Many pages of uploads: nested, empty, with odd names, and one that is fetched in parts."""
    rng = random.Random(7)
    with serving("uploads") as b:
        for i in range(180):
            b.put(f"{2020 + i % 4}/{i % 12:02}/{i:04}.jpg", rng.randbytes(rng.randrange(1, 20_000)), age=9000 + i)
        for i, key in enumerate(ODD):
            b.put(key, f"{i} {key}\n".encode() * (i + 1))
        for i in range(20):
            b.put(f"empty/{i}", b"")
        b.put(BIG, rng.randbytes(20 * MIB))
        yield b


def assert_holds(folder, bucket, prefix=""):
    """The folder has every key as a file with the object's bytes and time, and no other file."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = (f.read(), int(os.stat(path).st_mtime))
    wanted = {key[len(prefix):]: (o.data, o.time) for key, o in bucket.objects.items() if key.startswith(prefix)}
    assert found.keys() == wanted.keys()
    wrong = [key for key, what in wanted.items() if found[key] != what]
    assert not wrong, [(key, len(found[key][0]), found[key][1], len(wanted[key][0]), wanted[key][1]) for key in wrong]


def changes(repo, name):
    """What the newest snapshot changed of the one before, folders aside: {("A", new), ("D", gone), ("M", other)}."""
    lines = repo.json("diff", f"{name}/latest~1", f"{name}/latest")
    return {(e["change"], e["path"]) for e in lines if e["type"] != "dir"}


def change(bucket):
    """A later state of the bucket; what a snapshot of it has that one of the earlier state has not."""
    before = dict(bucket.objects)
    big = bytearray(before[BIG].data)
    big[9_000_000:9_001_000] = bytes(1000)
    bucket.put(BIG, bytes(big), age=100)
    bucket.put("a b/c  d.txt", before["a b/c  d.txt"].data[::-1], age=100)
    bucket.put("2020/00/0000.jpg", before["2020/00/0000.jpg"].data + b"grown", age=100)
    bucket.put("2021/01/0001.jpg", b"", age=100)
    bucket.put("empty/3", b"no more", age=100)
    bucket.put("100%.txt", before["100%.txt"].data, age=100)
    odd = ["ümlaut/日本語/🙂.txt", "--delete", "hash#and?question", "empty/4"]
    for key in [k for k in before if k.startswith("2023/")] + odd:
        del bucket.objects[key]
    bucket.objects["moved/0002 (1).jpg"] = bucket.objects.pop("2022/02/0002.jpg")
    bucket.put("2024/new+folder/50%/ß.jpg", b"new", age=100)
    bucket.put("empty/new", b"", age=100)
    after = bucket.objects
    return {("A", k) for k in after.keys() - before.keys()} | {("D", k) for k in before.keys() - after.keys()} | \
        {("M", k) for k in after.keys() & before.keys() if after[k] is not before[k]}


def test_a_bucket_is_in_the_snapshot_with_every_byte_and_a_second_sync_moves_nothing(repo, tool, bucket):
    configure(repo, files="commit = manual")
    bucket.hold(BIG)
    with repo.mount() as mnt:
        work = dataset(mnt, "files")
        assert tool.sync(bucket, work) == set(bucket.objects)
        assert bucket.pages_after_a_first > 0
        assert len({first for key, first in bucket.reads if key == BIG}) >= 4, "it was not fetched in parts"
        assert_holds(work, bucket)
        assert_committed(repo, mnt, "files")
        assert_holds(mnt + "/files/latest", bucket)
        assert tool.sync(bucket, work) == set()
        commit(work)
        assert count(repo, "files") == 1


def test_changes_and_deletions_are_what_the_next_snapshot_has_of_its_own(repo, tool, bucket):
    configure(repo, files="commit = manual")
    with repo.mount() as mnt:
        tool.sync(bucket, dataset(mnt, "files"))
        commit(mnt + "/spool/files")
    expected = change(bucket)
    with repo.mount() as mnt:  # sizes and times by which the tool chooses are those of the store now
        work = mnt + "/spool/files"
        moved = tool.sync(bucket, work)
        assert moved <= {key for _, key in expected}
        assert {key for what, key in expected if what != "D"} - moved <= {"100%.txt"}  # whose bytes stayed
        assert_holds(work, bucket)
        assert_committed(repo, mnt, "files")
        assert_holds(mnt + "/files/latest", bucket)
        assert changes(repo, "files") == expected


def test_one_folder_of_a_bucket_is_synced_and_the_others_stay(repo, tool, bucket):
    configure(repo, files="commit = manual")
    with repo.mount() as mnt:
        work = dataset(mnt, "files")
        os.mkdir(work + "/uploads")
        for path in ("config.json", "uploads/stale"):
            with open(f"{work}/{path}", "w", encoding="ascii") as f:
                f.write("here already")
        assert tool.sync(bucket, work + "/uploads", "empty/") == {k for k in bucket.objects if k.startswith("empty/")}
        assert_holds(work + "/uploads", bucket, "empty/")
        assert_committed(repo, mnt, "files")
        assert_holds(mnt + "/files/latest/uploads", bucket, "empty/")
        assert os.listdir(mnt + "/files/latest") == ["config.json", "uploads"]


def test_a_commit_amid_a_sync_has_whole_files_only_and_the_next_one_all(repo, tool, bucket):
    configure(repo, files="commit = manual")
    bucket.hold(BIG, by_hand=True)
    with repo.mount() as mnt, ThreadPoolExecutor() as pool:
        work, latest = dataset(mnt, "files"), mnt + "/files/latest"
        try:
            syncing = pool.submit(tool.sync, bucket, work)
            assert bucket.asked.wait(20)
            until(lambda: os.path.isdir(work + "/video") and os.listdir(work + "/video"), "a part of it is written")
            commit(work)
            assert newest(repo, "files")["state"] == "whole"
            shown = files_below(latest)
            assert not any(BIG in path for path in shown)
            assert len(shown) > 10
            for path, (size, _, _) in shown.items():
                # aws closes a file by another name before it gives it its own.
                key = re.sub(r"\.[0-9A-Fa-f]{8}$", "", os.path.relpath(path, latest))
                assert size == len(bucket.objects[key].data), path
        finally:
            bucket.let_go.set()
        syncing.result()
        commit(work)
        assert_holds(work, bucket)
        assert_holds(mnt + "/files/latest", bucket)


def test_rclone_syncs_a_folder_into_the_spool(repo, tmp_path):
    configure(repo, files="commit = manual")
    rng, src = random.Random(8), tmp_path / "uploads"
    for i in range(100):
        (src / f"{i % 7}").mkdir(parents=True, exist_ok=True)
        (src / f"{i % 7}" / f"{i} ü+%.jpg").write_bytes(rng.randbytes(rng.randrange(20_000)))
    (src / "large").write_bytes(rng.randbytes(20 * MIB))
    (src / "script").write_text("#!/bin/sh\n")
    (src / "script").chmod(0o750)
    (src / "to-large").symlink_to("large")
    (src / "no files here" / "nor here").mkdir(parents=True)
    rclone = Tool("rclone", str(tmp_path / "home"))

    def sync(work):
        said = rclone.run("sync", "--links", "--metadata", "--create-empty-src-dirs", "--stats-log-level=NOTICE",
                          str(src), work)
        sent = re.search(r"Transferred:\s+(\d+) / \1, 100%", said)
        return int(sent[1]) if sent else 0

    with repo.mount() as mnt:
        work = dataset(mnt, "files")
        assert sync(work) == 103
        assert_committed(repo, mnt, "files")
        assert differences(src, mnt + "/files/latest", times=False) == ""
        assert sync(work) == 0
        commit(work)
        assert count(repo, "files") == 1
        with open(src / "large", "r+b") as f:
            f.seek(10 * MIB)
            f.write(b"changed in the middle")
        shutil.rmtree(src / "3")
        (src / "script").unlink()
        (src / "new").write_text("new")
        gone = {f"3/{i} ü+%.jpg" for i in range(3, 100, 7)} | {"script"}
        assert sync(work) == 2
        assert_committed(repo, mnt, "files")
        assert differences(src, mnt + "/files/latest", times=False) == ""
        assert changes(repo, "files") == {("M", "large"), ("A", "new")} | {("D", path) for path in gone}
