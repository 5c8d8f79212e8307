# SPDX-License-Identifier: MIT
"""PostgreSQL's own tools write into the spool: dumps of every format, base backups, WAL."""

import glob
import os

import pytest
from contract import newest, shell
from scratch_postgres import PROGRAMS, scratch_server
from spooling import assert_committed, commit, configure, count, dataset

pytestmark = [pytest.mark.usefixtures("fuse"), pytest.mark.skipif(not PROGRAMS, reason="there is no PostgreSQL")]


@pytest.fixture(scope="module")
def server():
    """A scratch PostgreSQL with a database of several tables: the environment to reach it."""
    tables = "".join(f"CREATE TABLE t{i} AS SELECT g, md5(g::text) FROM generate_series(1,20000) g;" for i in range(4))
    with scratch_server("CREATE DATABASE shop;\n\\c shop\n" + tables) as env:
        yield env


@pytest.fixture
def mnt(repo):
    configure(repo, db="commit = manual", wal="commit = manual\ndurability = remote")
    with repo.mount() as where:
        yield where


def test_pg_dump_writes_every_format_and_they_load_again(repo, mnt, server):
    work = dataset(mnt, "db")
    shell(f"pg_dump -Fp shop > {work}/shop.sql && pg_dump -Fc shop > {work}/shop.dump && "
          f"pg_dump -Fd -j 4 -f {work}/shop.dir shop", env=server)
    assert_committed(repo, mnt, "db")
    shell("dropdb --if-exists back; createdb back; dropdb --if-exists back2; createdb back2; "
          "dropdb --if-exists back3; createdb back3", env=server)
    shell(f"psql -qX -v ON_ERROR_STOP=1 back < {mnt}/db/latest.sql", env=server)
    shell(f"pg_restore -d back2 {mnt}/db/latest.dump", env=server)
    shell(f"pg_restore -j 2 -d back3 {mnt}/db/latest/shop.dir", env=server)


def test_a_pg_dump_that_was_cut_short_is_partial(repo, mnt, server):
    work = dataset(mnt, "db")
    shell(f"pg_dump -Fp shop > {work}/shop.sql", env=server)
    commit(work)
    good = newest(repo, "db")["name"]
    shell(f"{{ pg_dump -Fp shop || true; }} | head -c 300000 > {work}/shop.sql", env=server)
    commit(work)
    torn = newest(repo, "db")
    assert torn["state"] == "partial" and torn["name"].endswith(".partial")
    assert os.readlink(mnt + "/db/latest") == good


@pytest.mark.parametrize("options", ["-Z 0", ""])
def test_a_dumped_folder_with_the_data_of_a_table_cut_is_partial_until_it_is_whole(repo, mnt, server, options):
    work = dataset(mnt, "db")
    shell(f"pg_dump -Fd {options} -f {work}/shop.part shop && mv {work}/shop.part {work}/shop.dir", env=server)
    commit(work)
    good = newest(repo, "db")
    assert good["state"] == "whole"
    data = sorted(glob.glob(f"{work}/shop.dir/[0-9]*"))[1]
    with open(data, "rb") as f:
        whole = f.read()
    os.truncate(data, len(whole) // 2)
    commit(work)
    assert newest(repo, "db")["state"] == "partial"
    shell(f"mv {work}/shop.dir {work}/moved.dir; touch {work}/other")
    commit(work)
    torn = newest(repo, "db")
    assert torn["state"] == "partial"
    assert os.path.basename(data) + ": ends " in repo.drfs("--json", "snapshots", "db")
    with open(f"{work}/moved.dir/{os.path.basename(data)}", "wb") as f:
        f.write(whole)
    commit(work)
    assert newest(repo, "db")["state"] == "whole"


def test_pg_basebackup_is_whole_in_the_snapshot(repo, mnt, server):
    work = dataset(mnt, "db")
    shell(f"pg_basebackup -c fast -X stream -D {work}/base", env=server)
    assert_committed(repo, mnt, "db")
    shell(f"pg_verifybackup {mnt}/db/latest/base", env=server)
    # The next one over it costs what changed.
    shell(f"rm -rf {work}/base && pg_basebackup -c fast -X stream -D {work}/base", env=server)
    assert_committed(repo, mnt, "db")
    shell(f"pg_verifybackup {mnt}/db/latest/base", env=server)
    assert newest(repo, "db")["stored"] < newest(repo, "db")["size"] / 5


def test_wal_is_in_the_store_when_cp_returns_and_archivecleanup_removes_it(repo, mnt, server, tmp_path):
    work = dataset(mnt, "wal")
    names = [f"00000001000000000000000{i}" for i in range(1, 6)]
    for name in names:
        (tmp_path / name).write_bytes(os.urandom(1 << 20))
        shell(f"test ! -f {work}/{name} && cp {tmp_path}/{name} {work}/{name}")
        assert os.path.getsize(f"{mnt}/wal/latest/{name}") == 1 << 20
    assert count(repo, "wal") == 5
    shell(f"pg_archivecleanup {work} {names[3]}", env=server)
    commit(work)
    assert sorted(os.listdir(mnt + "/wal/latest/")) == names[3:]
