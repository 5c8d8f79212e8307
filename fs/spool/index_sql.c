/* SPDX-License-Identifier: MIT */

/* SQLite's statements and errors for the index: every text stands here. */

#include "catalog/sqlite_code.h"
#include "fs/spool/index_impl.h"

static const char *const texts[INDEX_SQL_ALL] = {
	[INDEX_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[INDEX_SQL_COMMIT] = "COMMIT",
	[INDEX_SQL_GET] = "SELECT nlink, changed, data FROM inodes WHERE ino = ?1",
	[INDEX_SQL_PUT] = "REPLACE INTO inodes(ino, nlink, changed, staged, data) VALUES(?1, ?2, ?3, ?4, ?5)",
	[INDEX_SQL_DROP] = "DELETE FROM inodes WHERE ino = ?1",
	[INDEX_SQL_NAME] = "SELECT ino FROM names WHERE parent = ?1 AND name = ?2",
	[INDEX_SQL_NAME_PUT] = ("INSERT INTO names(parent, name, cookie, ino) VALUES(?1, ?2, ?3, ?4) "
				"ON CONFLICT(parent, name) DO UPDATE SET ino = excluded.ino"),
	[INDEX_SQL_NAME_DROP] = "DELETE FROM names WHERE parent = ?1 AND name = ?2",
	[INDEX_SQL_NAMES_DROP] = "DELETE FROM names WHERE parent = ?1",
	[INDEX_SQL_HAS_NAMES] = "SELECT 1 FROM names WHERE parent = ?1 LIMIT 1",
	[INDEX_SQL_ALIAS] = "SELECT ino FROM aliases WHERE rank = ?1",
	[INDEX_SQL_ALIAS_PUT] = "REPLACE INTO aliases(rank, ino) VALUES(?1, ?2)",
	[INDEX_SQL_FACT] = "SELECT data FROM facts WHERE name = ?1",
	[INDEX_SQL_FACT_PUT] = "REPLACE INTO facts(name, data) VALUES(?1, ?2)",
	[INDEX_SQL_STAGED] = ("SELECT ino, nlink, changed, data FROM inodes WHERE ino > ?1 AND staged ORDER BY ino "
			      "LIMIT ?2"),
	[INDEX_SQL_COUNT] = "SELECT count(*) FROM inodes",
	[INDEX_SQL_CHANGED_AFTER] = "SELECT 1 FROM inodes WHERE changed > ?1 LIMIT 1",
	[INDEX_SQL_CLEAR_INODES] = "DELETE FROM inodes",
	[INDEX_SQL_CLEAR_NAMES] = "DELETE FROM names",
	[INDEX_SQL_CLEAR_ALIASES] = "DELETE FROM aliases",
	[INDEX_SQL_ORPHANS] = "DELETE FROM inodes WHERE nlink = 0",
	[INDEX_SQL_LIST] = ("SELECT cookie, parent, ino, name FROM names WHERE parent = ?1 AND cookie > ?2 "
			    "ORDER BY cookie"),
	[INDEX_SQL_LIST_SORTED] = "SELECT cookie, parent, ino, name FROM names WHERE parent = ?1 ORDER BY name",
	[INDEX_SQL_NAMES_OF] = "SELECT cookie, parent, ino, name FROM names WHERE ino = ?1 AND ino <> -1",
};

/* After some failures SQLite has rolled back: the next change begins anew, and writes the counters again. */
static void notice_rollback(struct index *ix)
{
	if (!ix->open || !sqlite3_get_autocommit(ix->db))
		return;
	ix->open = false;
	index_rows_forget_all(ix);
	ix->inos.bound = ix->inos.last;
	ix->cookies.bound = ix->cookies.last;
	ix->changes.bound = ix->changes.last;
}

/* What is handed in is checked by nobody before: too large a row is the caller's, no damage. */
static enum error_code code_of(struct index *ix, int rc)
{
	return (rc & 0xff) == SQLITE_TOOBIG ? ERR_UNSUPPORTED : sqlite_code(ix->db, rc);
}

int index_fail(struct index *ix, int rc, const char *what, struct error *err)
{
	int code = error_set(err, code_of(ix, rc), "spool index '%s': %s: %s", ix->path, what,
		ix->db ? sqlite3_errmsg(ix->db) : sqlite3_errstr(rc));
	if (ix->db)
		notice_rollback(ix);
	return code;
}

int index_corrupt(const struct index *ix, const char *what, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "spool index '%s': %s is damaged", ix->path, what);
}

int index_exec(struct index *ix, const char *text, struct error *err)
{
	int rc = sqlite3_exec(ix->db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : index_fail(ix, rc, text, err);
}

static int prepare(struct index *ix, enum index_sql which, sqlite3_stmt **ret_stmt, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v3(ix->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (rc != SQLITE_OK)
		return index_fail(ix, rc, texts[which], err);
	*ret_stmt = stmt;
	return 0;
}

int index_stmt(struct index *ix, enum index_sql which, sqlite3_stmt **ret_stmt, struct error *err)
{
	int r = ix->stmts[which] ? 0 : prepare(ix, which, &ix->stmts[which], err);
	if (r == 0)
		*ret_stmt = ix->stmts[which];
	return r;
}

int index_step(struct index *ix, sqlite3_stmt *stmt, struct error *err)
{
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : index_fail(ix, rc, sqlite3_sql(stmt), err);
}

int index_run(struct index *ix, sqlite3_stmt *stmt, struct error *err)
{
	int r = index_step(ix, stmt, err);
	sqlite3_reset(stmt);
	return r > 0 ? error_set(err, ERR_BUG, "spool index: a change gave rows") : r;
}

int index_walk_take(struct index *ix, enum index_sql which, sqlite3_stmt **ret_stmt, struct error *err)
{
	struct index_idle *idle = &ix->idle[which - INDEX_SQL_LIST];
	if (idle->count == 0)
		return prepare(ix, which, ret_stmt, err);
	*ret_stmt = idle->stmts[--idle->count];
	return 0;
}

void index_walk_give(struct index *ix, enum index_sql which, sqlite3_stmt *stmt)
{
	struct index_idle *idle = &ix->idle[which - INDEX_SQL_LIST];
	sqlite3_reset(stmt);
	if (idle->count < INDEX_WALKS_KEPT)
		idle->stmts[idle->count++] = stmt;
	else
		sqlite3_finalize(stmt);
}

void index_stmts_free(struct index *ix)
{
	for (size_t i = 0; i < INDEX_SQL_ALL; i++)
		sqlite3_finalize(ix->stmts[i]);
	for (size_t i = 0; i < INDEX_SQL_ALL - INDEX_SQL_LIST; i++)
		for (unsigned n = 0; n < ix->idle[i].count; n++)
			sqlite3_finalize(ix->idle[i].stmts[n]);
}

/* Binding fails only for a mistake of ours or a blob over SQLite's limit: then the step fails, as a column is NOT NULL
 * or nothing is found. */
void index_bind_u64(sqlite3_stmt *stmt, int at, uint64_t value)
{
	sqlite3_bind_int64(stmt, at, (int64_t)value);
}

uint64_t index_column_u64(sqlite3_stmt *stmt, int at)
{
	return (uint64_t)sqlite3_column_int64(stmt, at);
}

void index_bind_bytes(sqlite3_stmt *stmt, int at, const void *data, size_t len)
{
	/* A NULL pointer would bind NULL, also where it stands for no bytes. */
	sqlite3_bind_blob64(stmt, at, len > 0 ? data : "", len, SQLITE_STATIC);
}
