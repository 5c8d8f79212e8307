/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fileio.h"
#include "fs/spool/index.h"
#include "fs/spool/index_vfs.h"

/* ---- the calls below: counted, and failing as on a full disk ---- */

static unsigned writes;                 /* calls since the counter was set */
static long long written;               /* and their bytes */
static long long room_left = INT64_MAX; /* bytes until the disk is full */

static ssize_t counted_pwrite(int fd, const void *data, size_t n, off_t at)
{
	writes++;
	written += (long long)n;
	if (room_left == 0) {
		errno = ENOSPC;
		return -1;
	}
	ssize_t done = pwrite(fd, data, (long long)n < room_left ? n : (size_t)room_left, at);
	if (done > 0 && room_left != INT64_MAX)
		room_left -= done;
	return done;
}

static int stand_in(void **state)
{
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix-excl");
	static const char *const calls[] = {"pwrite", "pwrite64"};
	(void)state;
	for (size_t i = 0; i < 2; i++)
		if (unix_vfs->xGetSystemCall(unix_vfs, calls[i]))
			assert_int_equal(unix_vfs->xSetSystemCall(unix_vfs, calls[i],
						 (sqlite3_syscall_ptr)(void (*)(void))counted_pwrite),
				SQLITE_OK);
	return 0;
}

/* ---- a database and what it should hold ---- */

enum { KEYS = 400, VALUE_MOST = 3000 };

struct model {
	unsigned seed[KEYS]; /* 0: no row */
	unsigned len[KEYS];
};

struct place {
	char dir[200], path[240], copy[240];
	sqlite3 *db, *other;
	struct model now;
	unsigned seed;
	bool ventures, faults;
};

static void run(sqlite3 *db, const char *text)
{
	char *told = NULL;
	if (sqlite3_exec(db, text, NULL, NULL, &told) != SQLITE_OK)
		fail_msg("%s: %s", text, told);
}

static sqlite3 *open_by(const char *vfs, const char *path, unsigned page)
{
	sqlite3 *db = NULL;
	char text[200];
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs), SQLITE_OK);
	(void)snprintf(text, sizeof(text),
		"PRAGMA page_size=%u; PRAGMA cache_size=3; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
		"PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA journal_mode=WAL",
		page);
	run(db, text);
	return db;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "%.80s/drfs-vfs-XXXXXX", fileio_tmpdir());
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/a.sqlite", p->dir);
	(void)snprintf(p->copy, sizeof(p->copy), "%s/b.sqlite", p->dir);
	room_left = INT64_MAX;
	*state = p;
	return 0;
}

static void forget(const char *path)
{
	static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
	char name[260];
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		unlink(name);
	}
}

static int teardown(void **state)
{
	struct place *p = *state;
	room_left = INT64_MAX;
	sqlite3_close(p->other);
	sqlite3_close(p->db);
	forget(p->path);
	forget(p->copy);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void start(struct place *p, unsigned page)
{
	p->db = open_by(index_vfs_name(), p->path, page);
	run(p->db, "CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB NOT NULL)");
	p->other = open_by(index_vfs_name(), p->path, page);
}

static unsigned draw(struct place *p, unsigned below)
{
	p->seed = p->seed * 1103515245u + 12345u;
	return (p->seed >> 12) % below;
}

static void value(unsigned seed, unsigned len, uint8_t *ret)
{
	for (unsigned i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		ret[i] = (uint8_t)(seed >> 24);
	}
}

static void expect_rows(sqlite3 *db, const struct model *m)
{
	uint8_t want[VALUE_MOST];
	sqlite3_stmt *stmt;
	int key = -1;
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT k, v FROM t ORDER BY k", -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		for (key++; key < sqlite3_column_int(stmt, 0); key++)
			assert_int_equal(m->seed[key], 0);
		assert_int_not_equal(m->seed[key], 0);
		assert_int_equal(sqlite3_column_bytes(stmt, 1), m->len[key]);
		value(m->seed[key], m->len[key], want);
		assert_memory_equal(sqlite3_column_blob(stmt, 1), want, m->len[key]);
	}
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	for (key++; key < KEYS; key++)
		assert_int_equal(m->seed[key], 0);
}

static void expect_whole(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
}

static void copy_file(const char *from, const char *to, const char *tail)
{
	static uint8_t part[1 << 16];
	char name[260];
	(void)snprintf(name, sizeof(name), "%s%s", from, tail);
	int in = open(name, O_RDONLY | O_CLOEXEC);
	(void)snprintf(name, sizeof(name), "%s%s", to, tail);
	int out = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, part, sizeof(part))) > 0;)
		assert_int_equal(write(out, part, (size_t)n), n);
	close(in);
	close(out);
}

/* What a run that were killed now would leave, read without the layer. */
static void expect_files_hold(struct place *p)
{
	forget(p->copy);
	copy_file(p->path, p->copy, "");
	copy_file(p->path, p->copy, "-wal");
	sqlite3 *db = open_by("unix-excl", p->copy, 2048);
	expect_whole(db);
	expect_rows(db, &p->now);
	sqlite3_close(db);
}

/* ---- random transactions ---- */

static int step_once(sqlite3_stmt *stmt)
{
	(void)sqlite3_step(stmt);
	return sqlite3_finalize(stmt);
}

static int put_row(struct place *p, struct model *m)
{
	uint8_t bytes[VALUE_MOST];
	unsigned key = draw(p, KEYS), seed = draw(p, 1 << 20) + 1, len = draw(p, draw(p, 4) ? 200 : VALUE_MOST);
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(p->db, "REPLACE INTO t(k, v) VALUES(?1, ?2)", -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return rc;
	value(seed, len, bytes);
	sqlite3_bind_int(stmt, 1, (int)key);
	sqlite3_bind_blob(stmt, 2, len > 0 ? (const void *)bytes : "", (int)len, SQLITE_STATIC);
	rc = step_once(stmt);
	if (rc == SQLITE_OK) {
		m->seed[key] = seed;
		m->len[key] = len;
	}
	return rc;
}

/* One statement over many rows. It may fail half way. */
static int drop_rows(struct place *p, struct model *m)
{
	char text[100];
	unsigned from = draw(p, KEYS), to = from + draw(p, 60);
	(void)snprintf(text, sizeof(text), "DELETE FROM t WHERE k BETWEEN %u AND %u", from, to);
	int rc = sqlite3_exec(p->db, text, NULL, NULL, NULL);
	for (unsigned k = from; rc == SQLITE_OK && k <= to && k < KEYS; k++)
		m->seed[k] = 0;
	return rc;
}

/* And one that can be undone alone, as a column is NOT NULL. */
static int cut_rows(struct place *p, struct model *m)
{
	char text[120];
	unsigned from = draw(p, KEYS), to = from + draw(p, 100), len = draw(p, VALUE_MOST);
	(void)snprintf(text, sizeof(text),
		"UPDATE t SET v = substr(v, 1, %u) WHERE k BETWEEN %u AND %u AND length(v) > 0", len, from, to);
	int rc = sqlite3_exec(p->db, text, NULL, NULL, NULL);
	for (unsigned k = from; rc == SQLITE_OK && k <= to && k < KEYS; k++)
		m->len[k] = m->len[k] < len ? m->len[k] : len;
	return rc;
}

static int change(struct place *p, struct model *m)
{
	unsigned what = draw(p, 40);
	if (what == 0)
		return drop_rows(p, m);
	if (what == 1)
		return cut_rows(p, m);
	if (what == 2 && room_left == INT64_MAX)
		expect_rows(p->db, m); /* reads what was spilled */
	return put_row(p, m);
}

/* Some changes behind a savepoint, to which it goes back. False: the transaction is gone. */
static bool venture(struct place *p, const struct model *m)
{
	struct model undone = *m;
	int rc = sqlite3_exec(p->db, "SAVEPOINT s", NULL, NULL, NULL);
	for (unsigned n = draw(p, 60); rc == SQLITE_OK && n > 0; n--)
		rc = change(p, &undone);
	room_left = INT64_MAX;
	if (sqlite3_get_autocommit(p->db))
		return false;
	run(p->db, "ROLLBACK TO s; RELEASE s");
	return true;
}

/* A change that failed alone is left out, as the index does. */
static void transact(struct place *p)
{
	static const unsigned sizes[] = {3, 40, 300};
	struct model m = p->now;
	bool gone = false, keep = draw(p, 5) != 0;
	run(p->db, "BEGIN IMMEDIATE");
	if (p->faults && draw(p, 2))
		room_left = draw(p, 3) ? draw(p, 20000) : draw(p, 300000);
	for (unsigned n = draw(p, sizes[draw(p, 3)]) + 1; n > 0 && !gone; n--) {
		if (p->ventures && draw(p, 50) == 0) {
			gone = !venture(p, &m);
		} else if (change(p, &m) != SQLITE_OK) {
			assert_true(p->faults);
			room_left = INT64_MAX;
			gone = sqlite3_get_autocommit(p->db);
		}
	}
	if (!gone && sqlite3_exec(p->db, keep ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK && keep)
		p->now = m;
	room_left = INT64_MAX;
	assert_true(sqlite3_get_autocommit(p->db));
}

static void tidy(struct place *p)
{
	static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART,
		SQLITE_CHECKPOINT_TRUNCATE};
	sqlite3 *who = draw(p, 2) ? p->db : p->other;
	assert_int_equal(sqlite3_wal_checkpoint_v2(who, NULL, modes[draw(p, 4)], NULL, NULL), SQLITE_OK);
}

static void expect_model(struct place *p, unsigned seed, unsigned page)
{
	p->seed = seed;
	start(p, page);
	for (unsigned i = 0; i < 120; i++) {
		transact(p);
		expect_rows(p->other, &p->now);
		if (i % 4 == 0 && !p->ventures)
			expect_files_hold(p);
		if (draw(p, 12) == 0)
			tidy(p);
	}
	expect_rows(p->db, &p->now);
	expect_whole(p->db);
	assert_int_equal(sqlite3_close(p->other), SQLITE_OK);
	assert_int_equal(sqlite3_close(p->db), SQLITE_OK);
	p->db = p->other = NULL;
	forget(p->path);
	memset(&p->now, 0, sizeof(p->now));
}

static void test_index_vfs__commits_are_what_others_read_and_what_the_files_hold(void **state)
{
	expect_model(*state, 1, 2048);
	expect_model(*state, 2, 512);
	expect_model(*state, 3, 65536);
}

/* Not what the files hold: SQLite 3.40 by itself can end the log's sums early after it went back to a savepoint. */
static void test_index_vfs__savepoints_are_gone_back_to(void **state)
{
	struct place *p = *state;
	p->ventures = true;
	for (unsigned i = 0; i < 3; i++)
		expect_model(p, 10 + i, 2048);
}

static void test_index_vfs__a_full_disk_undoes_what_fails_and_nothing_else(void **state)
{
	struct place *p = *state;
	p->faults = true;
	for (unsigned i = 0; i < 4; i++)
		expect_model(p, 100 + i, 2048);
}

/* A commit on a disk with so much room; -1: as much as it wants. */
static int commit_row(struct place *p, const char *row, long long room)
{
	char text[200];
	(void)snprintf(text, sizeof(text), "BEGIN IMMEDIATE; REPLACE INTO t VALUES(%s, zeroblob(20000))", row);
	run(p->db, text);
	room_left = room < 0 ? INT64_MAX : room;
	int rc = sqlite3_exec(p->db, "COMMIT", NULL, NULL, NULL);
	room_left = INT64_MAX;
	return rc;
}

static int count_rows(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int count = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return count;
}

static void test_index_vfs__a_commit_that_finds_the_disk_full_fails_and_stays_failed(void **state)
{
	struct place *p = *state;
	start(p, 2048);
	run(p->db, "PRAGMA cache_size=100");
	assert_int_equal(commit_row(p, "1", -1), SQLITE_OK);
	for (long long room = 0; room < 20000; room += 1999) {
		assert_int_equal(commit_row(p, "1", -1), SQLITE_OK);
		assert_int_equal(commit_row(p, "2", room), SQLITE_FULL);
		assert_true(sqlite3_get_autocommit(p->db));
		assert_int_equal(count_rows(p->db), 1);
		assert_int_equal(count_rows(p->other), 1);
		assert_int_equal(
			sqlite3_wal_checkpoint_v2(p->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), SQLITE_OK);
		forget(p->copy);
		copy_file(p->path, p->copy, "");
		copy_file(p->path, p->copy, "-wal");
		sqlite3 *db = open_by("unix-excl", p->copy, 2048);
		expect_whole(db);
		assert_int_equal(count_rows(db), 1);
		sqlite3_close(db);
	}
	assert_int_equal(commit_row(p, "2", -1), SQLITE_OK);
	assert_int_equal(count_rows(p->other), 2);
	expect_whole(p->other);
}

static void test_index_vfs__what_was_rolled_back_needs_no_room(void **state)
{
	struct place *p = *state;
	start(p, 2048);
	assert_int_equal(commit_row(p, "1", -1), SQLITE_OK);
	writes = 0;
	run(p->db, "BEGIN IMMEDIATE; INSERT INTO t VALUES(3, zeroblob(50000)); ROLLBACK");
	assert_int_equal(writes, 0); /* it fits into what is gathered */
	run(p->db, "BEGIN IMMEDIATE; INSERT INTO t VALUES(2, x'00')");
	room_left = 4LL * (2048 + 24);
	assert_int_equal(count_rows(p->db), 2);
	run(p->db, "COMMIT");
	assert_int_equal(count_rows(p->other), 2);
}

/* ---- what it is for ---- */

static void test_index_vfs__a_commit_of_many_pages_is_one_write(void **state)
{
	struct place *p = *state;
	start(p, 2048);
	run(p->db, "PRAGMA cache_size=100");
	assert_int_equal(commit_row(p, "1", -1), SQLITE_OK);
	writes = 0;
	written = 0;
	assert_int_equal(commit_row(p, "2", -1), SQLITE_OK);
	assert_true(written >= 10LL * (2048 + 24));
	assert_int_equal(writes, 1);
}

static void put_file(struct index *ix, uint64_t n)
{
	struct index_inode inode = INDEX_INODE_INIT;
	char name[20];
	(void)snprintf(name, sizeof(name), "f%u", (unsigned)n);
	inode.ino = INDEX_NEW + n;
	inode.nlink = 1;
	inode.changed = index_next_change(ix);
	assert_int_equal(index_put(ix, &inode, NULL), 0);
	assert_int_equal(index_name_put(ix, 0, name, inode.ino, NULL), 0);
}

static void test_index_end__writes_to_the_log_once(void **state)
{
	struct place *p = *state;
	struct index *ix = NULL;
	assert_int_equal(index_open(p->path, &ix, NULL), 0);
	for (uint64_t n = 0; n < 200; n++) {
		put_file(ix, n);
		writes = 0;
		written = 0;
		assert_int_equal(index_end(ix, NULL), 0);
		if (n > 0)
			assert_int_equal(writes, 1);
		assert_true(written >= 3LL * (2048 + 24));
	}
	index_close(ix);
}

/* ---- runs that are cut short ---- */

/* Every transaction writes its number to all rows of `u` and adds a row of a random size. */
static void child_commits(struct place *p, int tell)
{
	sqlite3 *db = open_by(index_vfs_name(), p->path, 2048);
	run(db, "CREATE TABLE IF NOT EXISTS t(k INTEGER PRIMARY KEY, v BLOB NOT NULL);"
		"CREATE TABLE IF NOT EXISTS u(k INTEGER PRIMARY KEY, n INTEGER, pad BLOB);"
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40)"
		"INSERT OR IGNORE INTO u SELECT i, 0, zeroblob(300) FROM c");
	for (int n = count_rows(db) + 1;; n++) {
		char text[200];
		(void)snprintf(text, sizeof(text),
			"BEGIN IMMEDIATE; UPDATE u SET n = %d; INSERT INTO t VALUES(%d, randomblob(%u)); UPDATE u SET "
			"n = %d",
			n, n, draw(p, 8) ? draw(p, 3000) : draw(p, 150000), n);
		run(db, text);
		run(db, draw(p, 4) ? "COMMIT" : "ROLLBACK; BEGIN; COMMIT");
		n = count_rows(db);
		if (write(tell, &n, sizeof(n)) != sizeof(n))
			_exit(1);
		if (draw(p, 20) == 0)
			sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	}
}

/* Returns the number that was told last. */
static int kill_at_random(struct place *p)
{
	int ends[2], told = 0, n;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	unsigned until = draw(p, 60), spin = draw(p, 200000);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child_commits(p, ends[1]);
		_exit(1);
	}
	close(ends[1]);
	for (unsigned i = 0; i <= until; i++)
		if (read(ends[0], &n, sizeof(n)) == sizeof(n))
			told = n;
	for (volatile unsigned i = 0; i < spin; i++)
		;
	kill(pid, SIGKILL);
	while (read(ends[0], &n, sizeof(n)) == sizeof(n))
		told = n;
	close(ends[0]);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return told;
}

static void test_index_vfs__what_was_committed_survives_kill_9(void **state)
{
	struct place *p = *state;
	for (unsigned i = 0; i < 25; i++) {
		p->seed = i;
		int told = kill_at_random(p);
		sqlite3 *db = open_by("unix-excl", p->path, 2048);
		expect_whole(db);
		int count = count_rows(db);
		assert_in_range(count, told, told + 1);
		char text[200];
		(void)snprintf(text, sizeof(text),
			"CREATE TEMP TABLE one(x CHECK(x = 40));"
			"INSERT INTO one SELECT count(*) FROM u WHERE n = %d",
			count);
		run(db, text);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_index_vfs__commits_are_what_others_read_and_what_the_files_hold),
		CASE(test_index_vfs__savepoints_are_gone_back_to),
		CASE(test_index_vfs__a_full_disk_undoes_what_fails_and_nothing_else),
		CASE(test_index_vfs__a_commit_that_finds_the_disk_full_fails_and_stays_failed),
		CASE(test_index_vfs__what_was_rolled_back_needs_no_room),
		CASE(test_index_vfs__a_commit_of_many_pages_is_one_write),
		CASE(test_index_end__writes_to_the_log_once),
		CASE(test_index_vfs__what_was_committed_survives_kill_9),
	};
	return cmocka_run_group_tests(tests, stand_in, NULL);
}
