# SPDX-License-Identifier: MIT
"""What a Redis server streams, through a pipe and back into a server."""

import contextlib
import shutil
import subprocess
import time

import pytest
from contract import newest, shell


@contextlib.contextmanager
def redis(folder):
    """A server on a socket in `folder`, which loads the dump.rdb there; gives the socket."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no Redis")
    words = ["redis-server", "--port", "0", "--unixsocket", f"{folder}/s", "--dir", str(folder), "--save", ""]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                done = subprocess.run(["redis-cli", "-s", f"{folder}/s", "ping"], capture_output=True, check=False)
                if b"PONG" in done.stdout:
                    break
                time.sleep(0.05)
            else:
                pytest.fail("the server does not answer")
            yield f"{folder}/s"
        finally:
            server.terminate()


def test_a_streamed_rdb_is_whole_and_comes_back_and_a_cut_one_is_partial(repo, tmp_path):
    with redis(tmp_path) as s:
        shell(f"seq 3000 | sed 's/.*/set key:& {'value' * 40}/' | redis-cli -s {s}")
        repo.drfs("backup", "redis", "--stdin", "dump.rdb", "--", "redis-cli", "-s", s, "--rdb", "-")
        made = newest(repo, "redis")
        assert made["state"] == "whole" and made["checks"][0]["kind"] == "rdb"
        torn = f"redis-cli -s {s} --rdb - | head -c -41 | {repo.binary} backup redis --stdin dump.rdb"
        done = subprocess.run(["bash", "-c", torn], env=repo.env, capture_output=True, text=True, check=False)
        assert done.returncode == 3, done.stderr
        before = shell(f"redis-cli -s {s} debug digest", env=repo.env)
    back = tmp_path / "back"
    back.mkdir()
    repo.drfs("restore", "redis/latest", str(back))
    with redis(back) as s:
        assert shell(f"redis-cli -s {s} dbsize").strip() == "3000"
        assert shell(f"redis-cli -s {s} debug digest") == before
