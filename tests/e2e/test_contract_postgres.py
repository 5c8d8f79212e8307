# SPDX-License-Identifier: MIT
"""A real database through a real pg_dump, and back by `psql <` from the mount."""

import os
import subprocess

import pytest
from contract import newest, shell
from scratch_postgres import PROGRAMS, scratch_server


@pytest.fixture(scope="module")
def server():
    """A scratch PostgreSQL with a database: the words of the environment by which it is reached."""
    if not PROGRAMS:
        pytest.skip("there is no PostgreSQL")
    with scratch_server("CREATE DATABASE shop;\n\\c shop\nCREATE TABLE users (id int PRIMARY KEY, name text);"
                        "INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 20000) i;") as env:
        yield {k: env[k] for k in ("PATH", "PGHOST", "PGUSER")}


def count(env, database):
    return shell(f"psql -XAt {database} -c 'SELECT count(*), md5(string_agg(name, id::text ORDER BY id)) FROM users'",
                 env=env)


def test_psql_reads_latest_sql_and_has_the_database_again(repo, server):
    env = repo.env | server
    repo.drfs("backup", "db", "--stdin", "shop.sql", "--", "pg_dump", "shop", env=server)
    with repo.mount() as mnt:
        shell(f"createdb back && psql -qX -v ON_ERROR_STOP=1 back < {mnt}/db/latest.sql", env=env)
        assert count(env, "back") == count(env, "shop")
        shell(f"pg_dump shop | {repo.binary} backup db --stdin shop.sql", env=env)
        assert os.readlink(mnt + "/db/latest.sql") == newest(repo, "db")["name"] + "/shop.sql"


def test_a_pg_dump_that_dies_never_passes_for_a_backup(repo, server):
    env = repo.env | server
    repo.drfs("backup", "db", "--stdin", "shop.sql", "--", "pg_dump", "shop", env=server)
    good = newest(repo, "db")
    repo.drfs("backup", "db", "--stdin", "shop.sql", "--", "pg_dump", "no-such-database", env=server, code=1)
    torn = subprocess.run(["bash", "-c", f"pg_dump shop | head -c 100000 | {repo.binary} backup db --stdin shop.sql"],
                          env=env, capture_output=True, text=True, check=False)
    assert torn.returncode == 3, torn.stderr
    assert [s["state"] for s in repo.json("snapshots", "db")] == ["whole", "partial", "partial"]
    with repo.mount() as mnt:
        assert os.readlink(mnt + "/db/latest") == good["name"]
        assert "users" in shell(f"head -c 3000 {mnt}/db/latest.sql; grep -c user {mnt}/db/latest.sql")


def test_dumps_in_the_custom_and_the_folder_format_come_back(repo, server, tmp_path):
    env = repo.env | server
    shell(f"mkdir {tmp_path}/dumps; pg_dump -Fc -f {tmp_path}/dumps/shop.dump shop; "
          f"pg_dump -Fd -j 2 -f {tmp_path}/dumps/shop.d shop", env=env)
    repo.drfs("backup", "db", f"{tmp_path}/dumps/")
    with repo.mount() as mnt:
        shell(f"createdb custom && pg_restore -d custom {mnt}/db/latest.dump", env=env)
        shell(f"createdb folder && pg_restore -j 2 -d folder {mnt}/db/latest/shop.d", env=env)
        assert count(env, "custom") == count(env, "folder") == count(env, "shop")
    os.truncate(f"{tmp_path}/dumps/shop.dump", 600)
    repo.drfs("backup", "db", f"{tmp_path}/dumps/", code=3)
    assert newest(repo, "db")["state"] == "partial"


@pytest.mark.parametrize("options", ["-Z 0", "", "-Z 0 --inserts"])
def test_a_folder_with_the_data_of_a_table_cut_is_partial_and_names_the_file(repo, server, tmp_path, options):
    env = repo.env | server
    dump = tmp_path / "dumps" / "shop.d"
    shell(f"mkdir {tmp_path}/dumps; pg_dump -Fd {options} -f {dump} shop", env=env)
    repo.drfs("backup", "db", f"{tmp_path}/dumps/")
    assert newest(repo, "db")["state"] == "whole"
    [data] = [path for path in dump.iterdir() if path.name != "toc.dat"]
    os.truncate(data, data.stat().st_size // 2)
    if "inserts" in options:  # nothing says where these end
        repo.drfs("backup", "db", f"{tmp_path}/dumps/")
        return
    told = repo.cli("backup", "db", f"{tmp_path}/dumps/", code=3)
    assert newest(repo, "db")["state"] == "partial"
    (tmp_path / "dumps" / "other").write_text("the dump stays as it is")
    again = repo.cli("backup", "db", f"{tmp_path}/dumps/", code=3)
    for said in (told, again):
        assert f"{data.name}: ends " in said.stderr, said.stderr
