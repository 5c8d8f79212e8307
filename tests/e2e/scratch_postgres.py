# SPDX-License-Identifier: MIT
"""A scratch PostgreSQL for tests that need a real one."""

import glob
import os
import subprocess
from contextlib import contextmanager

from contract import open_to_all

PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin"))


@contextmanager
def scratch_server(script):
    """A server on a socket of its own, gone at the end, after psql has run `script`: the environment to reach it."""
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with open_to_all() as folder:
        if become:
            subprocess.run(["chown", "postgres", folder], check=True)
        env = dict(os.environ, PATH=PROGRAMS[-1] + ":" + os.environ["PATH"], PGHOST=folder, PGUSER="postgres")

        def as_postgres(line):
            subprocess.run([*become, "bash", "-c", line], env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        as_postgres(f"initdb -U postgres -A trust -N {folder}/data")
        as_postgres(f"pg_ctl -w -D {folder}/data -l {folder}/log -o \"-c listen_addresses= -k {folder} -F\" start")
        try:
            subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1"], env=env, check=True, text=True, input=script)
            yield env
        finally:
            as_postgres(f"pg_ctl -w -D {folder}/data -m immediate stop")
