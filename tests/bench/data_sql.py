# SPDX-License-Identifier: MIT
"""A changing database: its daily plain pg_dumps, and its data directory before and after a day of pgbench.

A scratch PostgreSQL on a private socket makes them; where there is none, a generator writes texts like a pg_dump's.
"""
import os
import pwd
import random
import shutil
import subprocess
from pathlib import Path

from .data import DataSet, some_text
from .shell import BenchError, run

ROW = 162  # bytes of an order in the dump, about

SCHEMA = """
SELECT setseed(0.42);
CREATE TABLE words (n int PRIMARY KEY, word text);
INSERT INTO words SELECT i, substr(md5((i * 7919)::text), 1, 3 + i % 8) FROM generate_series(0, 4095) i;
CREATE TABLE customers (id int PRIMARY KEY, name text, mail text, city text, since timestamptz);
INSERT INTO customers SELECT i, 'Customer ' || i, 'c' || i || '@example.org',
  'City ' || (random() * 500)::int, timestamptz '2020-01-01 00:00Z' + i * interval '1 minute'
  FROM generate_series(1, {rows} / 20) i;
CREATE FUNCTION prose(n int) RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT string_agg(word, ' ') FROM words w WHERE w.n BETWEEN $1 AND $1 + 14 $$;
CREATE TABLE orders (id bigint PRIMARY KEY, customer int, state text, cents int, at timestamptz, note text);
CREATE TABLE notes AS SELECT i AS n, prose(i) AS note FROM generate_series(0, 4080) i;
CREATE INDEX ON notes (n);
INSERT INTO orders SELECT i, (random() * {rows} / 20)::int, (ARRAY['new','paid','sent','done'])[1 + i % 4],
  (random() * 100000)::int, timestamptz '2023-01-01 00:00Z' + i * interval '7 seconds', n.note
  FROM (SELECT i, (random() * 4080)::int AS n FROM generate_series(1, {rows}) i) x JOIN notes n USING (n) ORDER BY i;
DROP TABLE notes;
"""

DAY = """
SELECT setseed(0.{day});
UPDATE orders SET state = 'done', cents = cents + 1, at = at + interval '1 day' WHERE random() < 0.015;
DELETE FROM orders WHERE random() < 0.003;
INSERT INTO orders SELECT {rows} + {day} * {rows} / 100 + i, i, 'new', i % 1000,
  timestamptz '2024-01-01 00:00Z' + {day} * interval '1 day' + i * interval '1 second', md5(i::text)
  FROM generate_series(1, {rows} / 200) i;
"""


def postgres_folder():
    """Where the newest installed server's programs are, or None."""
    folders = sorted(Path('/usr/lib/postgresql').glob('*/bin/postgres'), key=lambda p: int(p.parts[4].split('.')[0]))
    if folders:
        return folders[-1].parent
    found = shutil.which('postgres')
    return Path(found).parent if found else None


class Cluster:
    """A scratch server in a folder of its own, run as the user postgres when this is root."""

    def __init__(self, home):
        self.home, self.data, self.bin = Path(home), Path(home) / 'data', postgres_folder()
        if not self.bin:
            raise BenchError('PostgreSQL is not installed: tools/install-deps --bench')
        self.user = ['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []
        self.env = dict(os.environ, PGHOST=str(self.home), PGUSER='bench', PGDATABASE='postgres', LC_ALL='C.UTF-8')
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        if self.user:
            account = pwd.getpwnam('postgres')
            os.chown(self.home, account.pw_uid, account.pw_gid)
        self._do('initdb', '-D', self.data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N')

    def _do(self, program, *words):
        run([*self.user, self.bin / program, *words], cwd='/', env=self.env)

    def start(self):
        options = f'-k {self.home} -c listen_addresses= -c fsync=off -c max_wal_size=4GB -c shared_buffers=256MB'
        self._do('pg_ctl', '-D', self.data, '-w', '-l', self.home / 'log', '-o', options, 'start')

    def stop(self):
        self._do('pg_ctl', '-D', self.data, '-w', '-m', 'fast', 'stop')

    def sql(self, text):
        subprocess.run([self.bin / 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null'], input=text, text=True,
                       env=self.env, check=True)

    def tool(self, program, *words):
        run([self.bin / program, *words], env=self.env)

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)


class Sql(DataSet):
    """One pg_dump a day, 1 to 3 % of the rows changed between two."""
    kind = 'sql'
    file = 'app.sql'

    def make(self):
        rows = self.how['mib'] * (1 << 20) // ROW
        for day in range(1, self.days + 1):
            self.path(day).mkdir()
        if postgres_folder():
            self._by_postgres(rows)
            maker = 'pg_dumps'
        else:
            self._by_text(rows)
            maker = 'generated texts (PostgreSQL is not installed)'
        size = (self.path(1) / self.file).stat().st_size
        self.note = f'{self.days} daily {maker} of {size / 1e6:.0f} MB, 2.3 % of the rows changed a day'

    def _by_postgres(self, rows):
        server = Cluster(self.home / 'pg')
        server.start()
        try:
            server.sql(SCHEMA.format(rows=rows))
            for day in range(1, self.days + 1):
                if day > 1:
                    server.sql(DAY.format(rows=rows, day=day))
                server.tool('pg_dump', '-f', self.path(day) / self.file)
        finally:
            server.stop()
            server.remove()

    def _by_text(self, rows):
        rng = random.Random(3)
        notes = [some_text(rng, 140).split(b'\n')[0] for _ in range(4096)]
        state = [rng.randrange(4096) for _ in range(rows)]
        for day in range(1, self.days + 1):
            if day > 1:
                for i in rng.sample(range(rows), rows * 2 // 100):
                    state[i] = rng.randrange(4096)
                state += [rng.randrange(4096) for _ in range(rows // 300)]
            with open(self.path(day) / self.file, 'wb') as out:
                out.write(b'--\n-- PostgreSQL database dump\n--\n\nCOPY public.orders (id, cents, note) FROM stdin;\n')
                for i, s in enumerate(state):
                    out.write(b'%d\t%d\t%s\n' % (i, s * 31, notes[s]))
                out.write(b'\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n')


class PgData(DataSet):
    """A stopped server's data directory, and the same after a day of pgbench."""
    kind = 'pgdata'

    def make(self):
        server = Cluster(self.home / 'pg')
        server.start()
        server.tool('pgbench', '-i', '-q', '-s', self.how['scale'])
        server.stop()
        run(['cp', '-a', server.data, self.path(1)])
        server.start()
        try:
            server.tool('pgbench', '-n', '-c', '2', '-t', self.how['transactions'])
        finally:
            server.stop()
        server.data.rename(self.path(2))
        server.remove()
        size = sum(p.stat().st_size for p in self.path(1).rglob('*') if p.is_file())
        self.note = f"{size / 1e6:.0f} MB, then {2 * self.how['transactions']} transactions of pgbench"
