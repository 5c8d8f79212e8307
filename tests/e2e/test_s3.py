# SPDX-License-Identifier: MIT
"""An archive in S3, on real servers: the contract of a store, and a whole way from init to a restore."""

import contextlib
import os
import subprocess

import pytest
from conftest import BINARY, Repo
from contract import read
from servers import Radosgw, Swift
from spooling import assert_same

CONFORM = os.path.join(os.path.dirname(BINARY), "tests", "unit", "conform_s3")


def aws(server, *args):
    env = {**os.environ, **server.env(), "AWS_ENDPOINT_URL": server.endpoint}
    return subprocess.run(
        ["aws", "--endpoint-url", server.endpoint, *args], env=env, check=True, capture_output=True, text=True
    ).stdout


@contextlib.contextmanager
def running(kind, folder):
    """A server of its own, with a bucket in it."""
    if kind.missing() is not None:
        pytest.skip(f"{kind.missing()} is not installed")
    server = kind(str(folder))
    try:
        server.start()
        aws(server, "s3api", "create-bucket", "--bucket", "backups")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", name="rgw")
def fixture_rgw(tmp_path_factory):
    with running(Radosgw, tmp_path_factory.mktemp("ceph")) as server:
        yield server


def assert_conforms(server):
    env = {**os.environ, **server.env()}
    done = subprocess.run([CONFORM, "s3://backups/conform"], env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def test_radosgw_holds_the_contract_of_a_store(rgw):
    assert "SKIPPED" not in assert_conforms(rgw)


def test_swift_holds_the_contract_of_a_store_but_for_the_race_that_it_cannot_decide(tmp_path):
    with running(Swift, tmp_path) as server:
        said = assert_conforms(server)
        assert said.count("[ RUN") - said.count("[       OK ]") == 1 and "test_race__of_different_bodies_exactly_one_wins" in said


@pytest.fixture(name="bucket")
def fixture_bucket(rgw, tmp_path):
    repo = Repo(str(tmp_path / "drfs"))
    repo.env.update(rgw.env())
    repo.env["DRFS_REPO"] = f"s3://backups/{tmp_path.name}"
    repo.drfs("init")
    return repo


def test_a_tree_goes_into_a_bucket_and_comes_back_equal(bucket, source, tmp_path):
    bucket.drfs("backup", "files", f"{source}/")
    bucket.drfs("restore", "files/latest", str(tmp_path / "back"))
    assert_same(str(source), str(tmp_path / "back"))
    bucket.drfs("check", "--read-data")


def test_a_bucket_is_mounted_and_written_through_the_spool(bucket, fuse, source, tmp_path):
    bucket.drfs("backup", "files", f"{source}/")
    with bucket.mount() as mnt:
        assert_same(str(source), f"{mnt}/files/latest")
        os.makedirs(f"{mnt}/spool/notes")
        with open(f"{mnt}/spool/notes/a", "w", encoding="utf-8") as f:
            f.write("written into a bucket\n")
        bucket.drfs("commit", "notes")
        assert read(f"{mnt}/notes/latest/a") == "written into a bucket\n"


def test_a_wrong_key_is_told_with_the_store_and_what_to_do(bucket, rgw):
    done = bucket.cli("snapshots", code=1, env={**bucket.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert "access denied" in done.stderr and "backups" in done.stderr
    assert rgw.keys[1] not in done.stderr


def test_a_bucket_that_is_not_there_is_no_repository(bucket):
    done = bucket.cli("snapshots", code=10, env={**bucket.env, "DRFS_REPO": "s3://nobodys-bucket/x"})
    assert "nobodys-bucket" in done.stderr
