/* SPDX-License-Identifier: MIT */

/*
 * SQLite under sql.h. A kept database is in WAL mode: readers go on while one
 * connection writes, and a commit costs no fsync (synchronous=NORMAL: a crash
 * of the host may lose the last commits, which a cache can bear, and never
 * damages the file). A temporary one lies in an unlinked file, or in memory
 * where the folder for temporary files has no room.
 */

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fileio.h"
#include "catalog/sql.h"
#include "catalog/sqlite_code.h"

enum {
	BUSY_MS = 30000,
	WAL_KEPT = 16 << 20,  /* what the log may occupy after it was written back */
	TEMP_ROOM = 32 << 20, /* less than this in the temporary folder, and memory is used instead */
};

struct sqlite_sql {
	struct sql base;
	sqlite3 *db;
};

struct sqlite_stmt {
	struct sql_stmt base;
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int bound; /* the first failure of a bind since reset, or SQLITE_OK */
};

static struct sqlite_sql *of_sql(struct sql *sql)
{
	return (struct sqlite_sql *)sql;
}

static struct sqlite_stmt *of_stmt(struct sql_stmt *stmt)
{
	return (struct sqlite_stmt *)stmt;
}

static int fail(sqlite3 *db, int rc, const char *what, struct error *err)
{
	return error_set(err, sqlite_code(db, rc), "catalog database: %s: %s", what,
		db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

static int sqlite_exec(struct sql *sql, const char *text, struct error *err)
{
	sqlite3 *db = of_sql(sql)->db;
	int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(db, rc, text, err);
}

/* SQLite answers with the mode that is now in force instead of failing, as where memory cannot be shared by mmap. */
static int ask_for_wal(sqlite3 *db, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;
	int rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW) {
		r = fail(db, rc, "switching to WAL mode", err);
		goto out;
	}
	const char *mode = (const char *)sqlite3_column_text(stmt, 0);
	if (!mode || strcmp(mode, "wal") != 0)
		r = error_set(err, ERR_UNSUPPORTED, "catalog database: this file system cannot do WAL mode");
out:
	sqlite3_finalize(stmt);
	return r;
}

/*
 * Of processes that open a new file at once, all want to switch it, and SQLite refuses some at once instead of letting
 * them wait: they could wait for each other.
 */
static int switch_to_wal(sqlite3 *db, struct error *err)
{
	int64_t end = clock_monotonic() + BUSY_MS * (CLOCK_SECOND / 1000);
	for (;;) {
		struct error why = ERROR_INIT;
		int r = ask_for_wal(db, &why);
		if (r != ERR_BUSY || clock_monotonic() > end) {
			if (r != 0 && err)
				*err = why;
			return r;
		}
		sqlite3_sleep(2);
	}
}

static int set_up(struct sqlite_sql *s, const struct sql_place *place, struct error *err)
{
	char text[400];
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_snprintf(sizeof(text), text,
		"PRAGMA cache_size=-%u; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=1; "
		"PRAGMA synchronous=%s; PRAGMA journal_size_limit=%d",
		place->cache_kib, place->path ? "NORMAL" : "OFF", (int)WAL_KEPT);
	int r = sqlite_exec(&s->base, text, err);
	if (r == 0 && place->path)
		r = switch_to_wal(s->db, err);
	if (r == 0 && place->path && !place->writes)
		r = sqlite_exec(&s->base, "PRAGMA query_only=1", err);
	return r;
}

/* "" is SQLite's name for an unlinked file in the temporary folder, which is made when memory runs over. */
static const char *temporary_name(void)
{
	int fd;
	if (fileio_tmpfile(fileio_tmpdir(), &fd, NULL) != 0)
		return ":memory:";
	int full = posix_fallocate(fd, 0, TEMP_ROOM);
	close(fd);
	return full ? ":memory:" : "";
}

static void sqlite_close(struct sql *sql)
{
	sqlite3_close_v2(of_sql(sql)->db);
	free(sql);
}

static int sqlite_open(const struct sql_place *place, struct sql **ret_sql, struct error *err)
{
	struct sqlite_sql *s = calloc(1, sizeof(*s));
	if (!s)
		return error_no_memory(err, "a catalog connection");
	s->base.driver = &sql_sqlite;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (place->path ? 0 : SQLITE_OPEN_CREATE);
	int rc = sqlite3_open_v2(place->path ? place->path : temporary_name(), &s->db, flags, NULL);
	int r = rc == SQLITE_OK ? set_up(s, place, err) : fail(s->db, rc, "opening", err);
	if (r != 0) {
		sqlite_close(&s->base);
		return r;
	}
	*ret_sql = &s->base;
	return 0;
}

static int sqlite_begin(struct sql *sql, struct error *err)
{
	return sqlite_exec(sql, "BEGIN IMMEDIATE", err);
}

static void sqlite_rollback(struct sql *sql)
{
	/* A full disk may have ended the transaction already. */
	if (!sqlite3_get_autocommit(of_sql(sql)->db))
		sqlite3_exec(of_sql(sql)->db, "ROLLBACK", NULL, NULL, NULL);
}

static int sqlite_commit(struct sql *sql, struct error *err)
{
	int r = sqlite_exec(sql, "COMMIT", err);
	if (r != 0)
		sqlite_rollback(sql);
	return r;
}

static void sqlite_free(struct sql_stmt *stmt)
{
	if (!stmt)
		return;
	sqlite3_finalize(of_stmt(stmt)->stmt);
	free(stmt);
}

static int sqlite_prepare(struct sql *sql, const char *text, struct sql_stmt **ret_stmt, struct error *err)
{
	struct sqlite_stmt *s = calloc(1, sizeof(*s));
	if (!s)
		return error_no_memory(err, "a catalog statement");
	s->base.driver = &sql_sqlite;
	s->db = of_sql(sql)->db;
	int rc = sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
	if (rc != SQLITE_OK) {
		int r = fail(s->db, rc, text, err);
		sqlite_free(&s->base);
		return r;
	}
	*ret_stmt = &s->base;
	return 0;
}

/* "$1" is a name to SQLite, numbered by first use: in the order that sql.h asks for, both numbers agree. */
static void sqlite_bind_int(struct sql_stmt *stmt, int at, int64_t value)
{
	int rc = sqlite3_bind_int64(of_stmt(stmt)->stmt, at, value);
	if (rc != SQLITE_OK)
		of_stmt(stmt)->bound = rc;
}

static void sqlite_bind_bytes(struct sql_stmt *stmt, int at, const void *data, size_t len)
{
	/* A NULL pointer would bind NULL, also where it stands for no bytes. */
	int rc = sqlite3_bind_blob64(of_stmt(stmt)->stmt, at, len ? data : "", len, SQLITE_STATIC);
	if (rc != SQLITE_OK)
		of_stmt(stmt)->bound = rc;
}

static int sqlite_step(struct sql_stmt *stmt, struct error *err)
{
	struct sqlite_stmt *s = of_stmt(stmt);
	int rc = s->bound == SQLITE_OK ? sqlite3_step(s->stmt) : s->bound;
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return fail(s->db, rc, sqlite3_sql(s->stmt), err);
}

static void sqlite_reset(struct sql_stmt *stmt)
{
	sqlite3_reset(of_stmt(stmt)->stmt);
	of_stmt(stmt)->bound = SQLITE_OK;
}

static int64_t sqlite_column_int(struct sql_stmt *stmt, int at)
{
	return sqlite3_column_int64(of_stmt(stmt)->stmt, at);
}

static const void *sqlite_column_bytes(struct sql_stmt *stmt, int at, size_t *ret_len)
{
	const void *data = sqlite3_column_blob(of_stmt(stmt)->stmt, at);
	*ret_len = data ? (size_t)sqlite3_column_bytes(of_stmt(stmt)->stmt, at) : 0;
	return data ? data : "";
}

static uint64_t sqlite_changed(struct sql_stmt *stmt)
{
	return (uint64_t)sqlite3_changes64(of_stmt(stmt)->db);
}

static int sqlite_batch(struct sql_stmt *stmt, const struct sql_batch *batch, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < batch->count; i++) {
		batch->bind(batch->arg, i, stmt);
		r = sqlite_step(stmt, err);
		if (r == 0 && batch->ran)
			batch->ran(batch->arg, i, sqlite_changed(stmt));
		sqlite_reset(stmt);
	}
	return r > 0 ? error_set(err, ERR_BUG, "catalog database: a batch gave rows") : r;
}

const struct sql_driver sql_sqlite = {
	.name = "sqlite",
	.number_key = "INTEGER PRIMARY KEY",
	.keyed_suffix = " WITHOUT ROWID",
	.connections_most = 4,
	.open = sqlite_open,
	.close = sqlite_close,
	.exec = sqlite_exec,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.prepare = sqlite_prepare,
	.free = sqlite_free,
	.bind_int = sqlite_bind_int,
	.bind_bytes = sqlite_bind_bytes,
	.step = sqlite_step,
	.reset = sqlite_reset,
	.column_int = sqlite_column_int,
	.column_bytes = sqlite_column_bytes,
	.changed = sqlite_changed,
	.batch = sqlite_batch,
};
