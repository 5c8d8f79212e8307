# SPDX-License-Identifier: MIT
"""A backup beside a mount of this host whose process does not answer."""

import contextlib
import os
import signal

from contract import newest, process_of


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_mount_that_does_not_answer_is_not_waited_for(repo, source):
    with repo.mount() as mnt, stopped(process_of(mnt)):
        repo.drfs("backup", "db", "--stdin", "n", input="text", timeout=60)
        repo.drfs("backup", "files", f"{source}/", timeout=60)
    assert newest(repo, "db")["state"] == newest(repo, "files")["state"] == "whole"
