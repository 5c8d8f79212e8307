# SPDX-License-Identifier: MIT
"""How the mount names datasets, snapshots and moments."""

import datetime
import os
import re
import time

from contract import DUMP, errno_of, iso, moment, newest, put, put_in_one_minute, read, until

MINUTE = r"\d{4}-\d\d-\d\dT\d\d:\d\d"


def test_a_snapshot_is_named_by_its_minute_and_the_second_of_a_minute_by_its_seconds(repo):
    first, second = put_in_one_minute(repo, "db", "app.txt", "one", "two")
    assert first["name"] == first["time"][:16]
    assert second["name"] == second["time"][:19]
    with repo.mount() as mnt:
        assert {first["name"], second["name"]} <= set(os.listdir(mnt + "/db"))
        assert read(f"{mnt}/db/{first['name']}/app.txt") == "one"
        assert read(f"{mnt}/db/{second['name']}/app.txt") == "two"


def test_many_snapshots_of_one_minute_all_have_names_of_their_own(repo):
    made = put_in_one_minute(repo, "db", "app.txt", *"abcdef")
    assert len({s["name"] for s in made}) == len(made)
    assert all(re.match(MINUTE, s["name"]) and "/" not in s["name"] for s in made)
    with repo.mount() as mnt:
        for snapshot, text in zip(made, "abcdef"):
            assert read(f"{mnt}/db/{snapshot['name']}/app.txt") == text


def test_a_name_never_changes_when_others_come(repo):
    first = put(repo, "db", "app.txt", "one")
    second = put(repo, "db", "app.txt", "two")
    put(repo, "db", "app.txt", "three")
    names = {s["id"]: s["name"] for s in repo.json("snapshots", "db")}
    assert names[first["id"]] == first["name"] and names[second["id"]] == second["name"]


def test_the_colon_free_name_is_unlisted_and_means_the_same_snapshot(repo):
    first = put(repo, "db", "app.txt", "one")
    compact = first["time"][:19].replace("-", "").replace(":", "") + "Z"
    with repo.mount() as mnt:
        assert compact not in os.listdir(mnt + "/db")
        assert read(f"{mnt}/db/{compact}/app.txt") == "one"
        assert errno_of(os.stat, f"{mnt}/db/19700101T000000Z") == "ENOENT"


def test_latest_is_a_relative_link_to_the_newest_snapshot(repo):
    put(repo, "db", "app.txt", "one")
    second = put(repo, "db", "app.txt", "two")
    with repo.mount() as mnt:
        assert os.readlink(mnt + "/db/latest") == second["name"]
        assert "latest" in os.listdir(mnt + "/db")
        assert read(mnt + "/db/latest/app.txt") == "two"


def test_the_moment_a_backup_returns_every_mount_shows_it(repo, source):
    put(repo, "db", "app.sql", DUMP.format("SELECT 0;"))
    with repo.mount() as one, repo.mount(where=repo.folder + "/mnt2") as two:
        for i in range(1, 6):
            for mnt in (one, two):  # what the kernel caches must not outlive the flip
                assert read(mnt + "/db/latest/app.sql") == DUMP.format(f"SELECT {i - 1};")
                os.lstat(mnt + "/db/latest.sql"), os.listdir(mnt + "/db")
                assert errno_of(os.stat, f"{mnt}/db/latest.new{i}") == "ENOENT"
                assert errno_of(os.stat, f"{mnt}/born{i}") == "ENOENT"
            made = put(repo, "db", "app.sql", DUMP.format(f"SELECT {i};"))
            repo.drfs("backup", f"born{i}", str(source / "a.txt"))
            for mnt in (one, two):
                assert os.readlink(mnt + "/db/latest") == made["name"]
                assert read(mnt + "/db/latest/app.sql") == DUMP.format(f"SELECT {i};")
                assert read(mnt + "/db/latest.sql") == DUMP.format(f"SELECT {i};")
                for at in ("/db/at/2099-01-01", "/at/2099-01-01/db", "/at/9999-12-31/db"):
                    assert read(f"{mnt}{at}/app.sql") == DUMP.format(f"SELECT {i};")
                assert f"born{i}" in os.listdir(mnt + "/at/2099-01-01")
                assert made["name"] in os.listdir(mnt + "/db")
                assert read(f"{mnt}/born{i}/latest/a.txt") == "alpha\n" and f"born{i}" in os.listdir(mnt)
            put(repo, "db", f"x.new{i}", "x")
            for mnt in (one, two):
                assert read(f"{mnt}/db/latest.new{i}") == "x"
                assert errno_of(os.stat, f"{mnt}/db/latest.sql") == "ENOENT"
            put(repo, "db", "app.sql", DUMP.format(f"SELECT {i};"))


def test_an_open_file_does_not_change_under_its_reader(repo):
    before = "".join(f"line {i}\n" for i in range(400_000))
    put(repo, "db", "app.txt", before)
    with repo.mount() as mnt, open(mnt + "/db/latest/app.txt", encoding="ascii") as f:
        head = f.read(1000)
        put(repo, "db", "app.txt", "short")
        assert read(mnt + "/db/latest/app.txt") == "short"
        assert head + f.read() == before


def test_snapshots_of_other_hosts_appear_with_the_poll(repo):
    put(repo, "db", "app.txt", "one")
    with repo.mount() as mnt:
        elsewhere = {"XDG_RUNTIME_DIR": repo.folder + "/run-of-another-host", "XDG_CACHE_HOME": repo.folder + "/cache2"}
        os.makedirs(elsewhere["XDG_RUNTIME_DIR"], mode=0o700)
        repo.drfs("backup", "db", "--stdin", "app.txt", input="two", env=elsewhere)
        until(lambda: read(mnt + "/db/latest/app.txt") == "two", "the other host's snapshot is shown", 12)


def test_latest_with_an_ending_is_the_newest_file_at_the_top(repo, tmp_path):
    src = tmp_path / "dumps"
    (src / "zz.sql.d").mkdir(parents=True)
    (src / "folder.csv").mkdir()
    times = {"old.sql": 100, "new.sql": 300, "a.tar.gz": 500, "tie-a.dump": 7, "tie-b.dump": 7, "noending": 9}
    for name, when in times.items():
        (src / name).write_text(DUMP.format(name))
        os.utime(src / name, (when, when))
    (src / "zz.sql.d" / "deep.sql").write_text("deeper is not at the top")
    os.rename(src / "a.tar.gz", src / "a.tar.bin")
    repo.drfs("backup", "db", f"{src}/")
    with repo.mount() as mnt:
        name = newest(repo, "db")["name"]
        assert os.readlink(mnt + "/db/latest.sql") == name + "/new.sql"
        assert os.readlink(mnt + "/db/latest.dump") == name + "/tie-b.dump"
        assert os.readlink(mnt + "/db/latest.tar.bin") == name + "/a.tar.bin"
        for wrong in ("latest.bin", "latest.csv", "latest.", "latest.noending", "latest.sql.d", "latestsql"):
            assert errno_of(os.lstat, f"{mnt}/db/{wrong}") == "ENOENT", wrong


def test_at_takes_every_spelling_of_a_time_in_a_dataset(repo):
    first, second = put_in_one_minute(repo, "db", "app.txt", "one", "two")
    (t1, n1), (t2, n2) = moment(first), moment(second)
    day, minute = second["time"][:10], second["time"][:16]
    east, west = t2 + datetime.timedelta(hours=2), t2 - datetime.timedelta(hours=5, minutes=30)
    compact = t2.strftime("%Y%m%dT%H%M")
    newest_for = [minute, day, day[:7], day[:4], day + "T24:00", minute.lower() + "z", minute + "Z", "2099-01-01", "2099-01-01T00:00", "9999-12-31", compact,
                  compact + "Z", iso(t2, n2), iso(t2, n2) + "Z", day.replace("-", ""), iso(east, n2) + "+02:00",
                  iso(west, n2) + "-05:30",
                  east.strftime("%Y-%m-%dT%H:%M") + "+02:00", east.strftime("%Y%m%dT%H%M") + "+0200",
                  minute.replace("T", " "), (t2 + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S"),
                  (t2 + datetime.timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ")]
    first_for = [iso(t1, n1), iso(t2, n2 - 1), iso(t2, n2 - 1) + "Z",
                 iso(t2 + datetime.timedelta(hours=2), n2 - 1) + "+02:00"]
    never = [iso(t1, n1 - 1), "1999-12-31", "1999-12-31T23:59:59Z", "nonsense", "2024-13-01", "2024-02-30T10:00",
             "2024-01-15T25:00", iso(t1 + datetime.timedelta(hours=2), n1) + "+02:01", "app.txt", "latest.txt"]
    with repo.mount() as mnt:
        for spelling in newest_for:
            assert read(f"{mnt}/db/at/{spelling}/app.txt") == "two", spelling
        for spelling in first_for:
            assert read(f"{mnt}/db/at/{spelling}/app.txt") == "one", spelling
        for spelling in never:
            assert errno_of(os.lstat, f"{mnt}/db/at/{spelling}") == "ENOENT", spelling
        assert os.readlink(f"{mnt}/db/at/{day}") == f"../{second['name']}"
        assert not set(newest_for) & set(os.listdir(mnt + "/db/at"))


def test_at_with_the_name_of_a_snapshot_is_that_snapshot_or_a_newer_one_of_its_minute(repo):
    until(lambda: time.time() % 60 < 45, "a fresh minute", 20)
    first, second = put(repo, "db", "app.txt", "one"), put(repo, "db", "app.txt", "two")
    with repo.mount() as mnt:
        assert os.readlink(f"{mnt}/db/at/{second['name']}") == f"../{second['name']}"
        wanted = second if first["time"][:16] == second["time"][:16] else first
        assert os.readlink(f"{mnt}/db/at/{first['name']}") == f"../{wanted['name']}"


def test_at_the_root_is_every_dataset_as_of_one_moment(repo):
    old = put(repo, "db", "app.txt", "db one")
    put(repo, "files", "f.txt", "files one")
    between = newest(repo, "files")
    put(repo, "db", "app.txt", "db two")
    put(repo, "late", "l.txt", "late one")
    with repo.mount() as mnt:
        t, n = moment(between)
        point = f"{mnt}/at/{iso(t, n)}"
        assert read(point + "/db/app.txt") == "db one" and read(point + "/files/f.txt") == "files one"
        assert sorted(os.listdir(point)) == ["db", "files"]
        assert errno_of(os.stat, point + "/late") == "ENOENT"
        assert sorted(os.listdir(f"{mnt}/at/{between['time'][:10]}")) == ["db", "files", "late"]
        assert read(f"{mnt}/at/{between['time'][:10]}/db/app.txt") == "db two"
        t, n = moment(old)
        offset = f"{mnt}/at/{iso(t + datetime.timedelta(hours=9), n)}+09:00"
        assert os.listdir(offset) == ["db"] and read(offset + "/db/app.txt") == "db one"
        assert errno_of(os.stat, mnt + "/at/nonsense") == "ENOENT"
        assert not any(n[:2] == "20" for n in os.listdir(mnt + "/at"))


def test_a_partial_snapshot_is_kept_under_its_name_and_never_chosen(repo):
    whole = DUMP.format("SELECT 1;")
    put(repo, "db", "app.sql", whole)
    repo.drfs("backup", "db", "--stdin", "app.sql", code=3, input=whole[:50])
    repo.drfs("backup", "torn", "--stdin", "app.sql", code=3, input=whole[:50])
    good, partial = repo.json("snapshots", "db")
    assert partial["name"].endswith(".partial") and re.match(MINUTE, partial["name"])
    with repo.mount() as mnt:
        assert partial["name"] in os.listdir(mnt + "/db")
        assert read(f"{mnt}/db/{partial['name']}/app.sql") == whole[:50]
        assert os.readlink(mnt + "/db/latest") == good["name"]
        for choice in ("latest/app.sql", "latest.sql", "at/2099-01-01/app.sql", f"at/{partial['time'][:10]}/app.sql"):
            assert read(f"{mnt}/db/{choice}") == whole, choice
        assert read(f"{mnt}/at/2099-01-01/db/app.sql") == whole
        for nothing in ("torn/latest", "torn/latest.sql", "torn/at/2099-01-01", "at/2099-01-01/torn"):
            assert errno_of(os.stat, f"{mnt}/{nothing}") == "ENOENT", nothing


def test_the_root_lists_datasets_and_never_what_drfs_adds(repo):
    for dataset in ("db", "my files", "déjà", "a.b"):
        put(repo, dataset, "x", "x")
    with repo.mount() as mnt:
        listed = set(os.listdir(mnt))
        assert {"db", "my files", "déjà", "a.b"} <= listed <= {"db", "my files", "déjà", "a.b", "at", "spool"}
        assert os.path.isdir(mnt + "/at") and os.path.isfile(mnt + "/.drfs/status.json")
        assert os.listdir(f"{mnt}/db/{newest(repo, 'db')['name']}") == ["x"]
