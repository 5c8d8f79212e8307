# SPDX-License-Identifier: MIT
"""A mount at work: many readers at once, broken objects, a store that goes away, and what it costs in memory."""

import concurrent.futures
import contextlib
import os
import random
import subprocess

import pytest
from contract import errno_of, files_below, put, read, status, until

pytestmark = pytest.mark.usefixtures("fuse")


@contextlib.contextmanager
def in_foreground(repo, *options):
    """A mount whose log can be read: gives the mount point and the log's path."""
    mnt, log = repo.folder + "/mnt", repo.folder + "/log"
    os.makedirs(mnt, exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        p = subprocess.Popen([repo.binary, "mount", mnt, "-f", *options], env=repo.env, stderr=out)
    try:
        until(lambda: os.path.ismount(mnt) or p.poll() is not None, "the mount is there")
        assert p.poll() is None, read(log)
        yield mnt, log
    finally:
        subprocess.run(["umount", mnt], check=False)
        p.wait(timeout=30)
    assert p.returncode == 0


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def data_packs(repo, since=()):
    found = [os.path.join(d, f) for d, _, files in os.walk(repo.path + "/packs") for f in files]
    return sorted(set(found) - set(since), key=os.path.getsize)


def flip(path):
    """Turns one bit in the middle of an object, as a bad disk does."""
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 16]))


def test_many_readers_get_the_sources_bytes_while_backups_come_in(repo, tmp_path):
    rng = random.Random(7)
    blocks = [rng.randbytes(65536) for _ in range(8)]
    data = b"".join(rng.choice(blocks) + rng.randbytes(3000) for _ in range(300))
    (tmp_path / "big").write_bytes(data)
    repo.drfs("backup", "big", str(tmp_path / "big"))

    def reader(mnt, seed):
        mine = random.Random(seed)
        with open(mnt + "/big/latest/big", "rb", buffering=0) as f:
            for _ in range(150):
                at, length = mine.randrange(len(data)), mine.choice((1, 4096, 70000, 1 << 20))
                if os.pread(f.fileno(), length, at) != data[at:at + length]:
                    return f"other bytes at {at}+{length}"
        return None if read_bytes(mnt + "/big/latest/big") == data else "other bytes in a whole read"

    with repo.mount("-o", "cache=24M") as mnt, concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(reader, mnt, seed) for seed in range(6)]
        for number in range(5):
            put(repo, "db", "app.txt", str(number))
            assert read(mnt + "/db/latest/app.txt") == str(number)
        assert [job.result(timeout=120) for job in jobs] == [None] * 6


def test_both_names_of_a_snapshot_can_be_walked_at_once(repo, tmp_path):
    src = tmp_path / "src"
    for d in range(20):
        (src / f"d{d}" / "inner").mkdir(parents=True)
        for f in range(10):
            (src / f"d{d}" / "inner" / f"f{f}").write_text(f"{d} {f}")
    repo.drfs("backup", "files", f"{src}/")
    shown = repo.json("snapshots", "files")[0]
    compact = shown["time"][:19].replace("-", "").replace(":", "") + "Z"
    want = sorted(os.path.relpath(os.path.join(d, n), src) for d, _, names in os.walk(src) for n in names)

    def walk(root):
        def stop(error):
            raise error
        found = []
        for d, _, names in os.walk(root, onerror=stop):
            for n in names:
                read(os.path.join(d, n))
                found.append(os.path.relpath(os.path.join(d, n), root))
        return sorted(found)

    with repo.mount() as mnt, concurrent.futures.ThreadPoolExecutor(4) as pool:
        roots = [f"{mnt}/files/{shown['name']}", f"{mnt}/files/{compact}", f"{mnt}/files/latest", f"{mnt}/files/{compact}"]
        for found in pool.map(walk, roots * 5):
            assert found == want


def test_a_broken_object_is_eio_for_all_and_one_line_that_names_it(repo, tmp_path):
    put(repo, "db", "app.txt", "good")
    before = data_packs(repo)
    (tmp_path / "big").write_bytes(os.urandom(2_000_000))
    repo.drfs("backup", "big", str(tmp_path / "big"))
    bad = data_packs(repo, before)[-1]
    flip(bad)
    with in_foreground(repo) as (mnt, log):
        for _ in range(10):
            assert errno_of(lambda: read_bytes(mnt + "/big/latest/big")) == "EIO"
        assert read(mnt + "/db/latest/app.txt") == "good"
        facts = status(mnt)["reads"]
        assert facts["failed"] >= 10 and os.path.basename(bad) in facts["error"] and facts["last"]
    lines = [line for line in read(log).splitlines() if os.path.basename(bad) in line]
    assert len(lines) == 1, read(log)


def test_a_store_whose_lists_are_empty_all_at_once_changes_nothing_that_is_shown(repo):
    put(repo, "db", "app.txt", "one")
    with in_foreground(repo, "-o", "poll=200ms") as (mnt, log):
        names = os.listdir(mnt + "/db")
        away = repo.folder + "/away"
        os.mkdir(away)
        taken = [path for name in ("snapshots", "summaries", "marks") for path in files_below(f"{repo.path}/{name}")]
        for path in taken:
            os.rename(path, f"{away}/{os.path.basename(path)}")
        until(lambda: status(mnt)["poll"]["error"], "the poll says that something is wrong")
        assert os.listdir(mnt + "/db") == names and read(mnt + "/db/latest/app.txt") == "one"
        for path in taken:
            os.rename(f"{away}/{os.path.basename(path)}", path)
        until(lambda: status(mnt)["poll"]["error"] is None, "the poll works again")
        put(repo, "db", "app.txt", "two")
        assert read(mnt + "/db/latest/app.txt") == "two"
    said = read(log)
    assert said.count("cannot look for new snapshots") == 1 and "works again" in said


def test_status_tells_datasets_faults_poll_and_cache(repo):
    put(repo, "db", "app.txt", "one")
    put(repo, "db", "app.txt", "two")
    newest = max(repo.json("snapshots", "db"), key=lambda s: s["time"])
    with repo.mount("-o", "cache=32M,poll=7s") as mnt:
        read(mnt + "/db/latest/app.txt")
        facts = status(mnt)
        assert facts["mountpoint"] == mnt and facts["started"].endswith("Z")
        assert facts["poll"]["seconds"] == 7 and facts["poll"]["error"] is None
        dataset, = facts["datasets"]
        assert dataset["dataset"] == "db" and dataset["snapshots"] == 2
        for key in ("newest", "latest"):
            assert {k: dataset[key][k] for k in ("name", "id", "time")} == {k: newest[k] for k in ("name", "id", "time")}
        assert facts["faults"] == [] and facts["reads"] == {"failed": 0, "last": None, "error": None}
        assert facts["cache"]["limit"] == 32 << 20 and 0 < facts["cache"]["bytes"] <= 32 << 20


def test_status_tells_of_the_newest_snapshots_object_though_a_summary_covers_it(repo):
    for i in range(17):
        repo.drfs("backup", "db", "--stdin", "n.txt", input=str(i))
    last = repo.json("snapshots")[-1]
    repo.drfs("status")
    with open(f"{repo.path}/snapshots/{last['id']}", "r+b") as f:
        f.seek(100)
        f.write(b"XY")
    assert len(repo.json("snapshots")) == 17  # the summary and the cache still tell it
    assert last["id"] in repo.cli("status", code=1).stderr
    assert last["id"] in repo.cli("status", "db", code=1).stderr
    fault, = [line for line in repo.json("status", code=1) if "fault" in line]
    assert fault["fault"] == last["id"] and fault["reason"]
    os.unlink(f"{repo.path}/snapshots/{last['id']}")
    assert last["id"] in repo.cli("status", code=1).stderr


def test_a_snapshot_that_does_not_open_is_a_fault_in_status_and_hides_no_other(repo):
    first = put(repo, "db", "app.txt", "one")
    second = put(repo, "db", "app.txt", "two")
    flip(f"{repo.path}/snapshots/{second['id']}")
    with in_foreground(repo) as (mnt, log):
        fault, = status(mnt)["faults"]
        assert fault["id"] == second["id"] and fault["reason"]
        assert read(mnt + "/db/latest/app.txt") == "one"
        assert os.readlink(mnt + "/db/latest") == first["name"]
    assert second["id"] in read(log)


def test_read_ahead_is_raised_so_that_reads_are_of_a_mebibyte(repo):
    if os.geteuid() != 0:
        pytest.skip("only root may raise a mount's read-ahead")
    put(repo, "db", "app.txt", "one")
    with repo.mount() as mnt:
        device = os.stat(mnt).st_dev
        path = f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb"
        assert read(path).strip() == "1024"


def test_who_keeps_a_mount_busy_is_named(repo):
    put(repo, "db", "app.txt", "one")
    with repo.mount() as mnt:
        holder = subprocess.Popen(["sleep", "60"], cwd=mnt + "/db/latest")
        try:
            said = repo.cli("umount", mnt, code=11).stderr
            assert f"sleep ({holder.pid})" in said
        finally:
            holder.kill()
            holder.wait()


def memory_of(pid):
    """The most memory that a process ever had, in MiB."""
    line, = [x for x in read(f"/proc/{pid}/status").splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def test_memory_does_not_grow_with_the_files_that_were_touched(repo, tmp_path):
    src = tmp_path / "src"
    for d in range(40):
        os.makedirs(src / f"folder{d}")
        for f in range(150):
            with open(src / f"folder{d}" / f"a-file-of-some-name-{f}", "w", encoding="ascii") as out:
                out.write(f"{d} {f}\n" * 20)
    repo.drfs("backup", "files", f"{src}/")
    with repo.mount("-o", "cache=24M") as mnt:
        pid = status(mnt)["pid"]
        for _ in range(2):
            subprocess.run(f"find {mnt}/files/latest/ -type f -print0 | xargs -0 cat > /dev/null", shell=True, check=True)
        assert memory_of(pid) <= 24 + 64


def test_a_file_much_larger_than_the_cache_is_read_whole(repo, tmp_path):
    block = os.urandom(1 << 20)
    with open(tmp_path / "big", "wb") as f:
        for i in range(120):
            f.write(bytes([i]) + block[1:])
    repo.drfs("backup", "big", str(tmp_path / "big"))
    with repo.mount("-o", "cache=24M") as mnt:
        subprocess.run(["cmp", tmp_path / "big", mnt + "/big/latest/big"], check=True, timeout=120)
        facts = status(mnt)
        assert facts["cache"]["bytes"] <= 24 << 20 and memory_of(facts["pid"]) <= 24 + 64
