/* SPDX-License-Identifier: MIT */

/* Opening, making, freezing and closing an index. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fileio.h"
#include "fs/spool/index_impl.h"
#include "fs/spool/index_vfs.h"

enum {
	BUSY_MS = 10000,
	CACHE_KIB = 8 << 10,
	FROZEN_CACHE_KIB = 4 << 10,
	VERSION = 1,
	APPLICATION = 0x64725370,
};

/*
 * names is found by (parent, name) at every lookup: it is its own index. `staged` says whether data holds layers.
 */
static const char schema[] =
	"CREATE TABLE inodes(ino INTEGER PRIMARY KEY, nlink INTEGER NOT NULL, changed INTEGER NOT NULL,"
	" staged INTEGER NOT NULL, data BLOB NOT NULL);"
	"CREATE INDEX orphans ON inodes(ino) WHERE nlink = 0;"
	"CREATE TABLE names(parent INTEGER NOT NULL, name BLOB NOT NULL, cookie INTEGER NOT NULL, ino INTEGER NOT NULL,"
	" PRIMARY KEY(parent, name)) WITHOUT ROWID;"
	"CREATE INDEX names_cookie ON names(parent, cookie);"
	"CREATE INDEX names_ino ON names(ino) WHERE ino <> -1;"
	"CREATE TABLE aliases(rank INTEGER PRIMARY KEY, ino INTEGER NOT NULL);"
	"CREATE TABLE facts(name BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;";

static int connect_fail(sqlite3 *db, int rc, const char *path, const char *what, struct error *err)
{
	struct index shell = {.db = db, .path = (char *)path};
	return index_fail(&shell, rc, what, err);
}

int index_connect(const char *path, bool make, unsigned cache_kib, sqlite3 **ret_db, struct error *err)
{
	sqlite3 *db = NULL;
	char text[300];
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (make ? SQLITE_OPEN_CREATE : 0);
	/* SQLite would make it 0644; its log takes the mode of it. What fails here, fails again there and is told. */
	if (make)
		(void)mknod(path, S_IFREG | 0600, 0);
	int rc = sqlite3_open_v2(path, &db, flags, index_vfs_name());
	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(db, 1);
		sqlite3_busy_timeout(db, BUSY_MS);
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_snprintf(sizeof(text), text,
			"PRAGMA page_size=%d; PRAGMA cache_size=-%u; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; "
			"PRAGMA cell_size_check=1; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0",
			(int)INDEX_PAGE, cache_kib);
		rc = sqlite3_exec(db, text, NULL, NULL, NULL);
	}
	if (rc != SQLITE_OK) {
		int r = connect_fail(db, rc, path, "opening", err);
		sqlite3_close_v2(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

/* A number that a pragma tells; -1 where it tells none. */
static int pragma(struct index *ix, const char *text, int64_t *ret, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(ix->db, text, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	int r = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : index_fail(ix, rc, text, err);
	if (r == 0)
		*ret = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
	sqlite3_finalize(stmt);
	return r;
}

/* SQLite answers with the mode that is now in force instead of failing. */
static int switch_to_wal(struct index *ix, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(ix->db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	int r = rc == SQLITE_ROW ? 0 : index_fail(ix, rc, "switching to a write-ahead log", err);
	const char *mode = r == 0 ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
	if (r == 0 && (!mode || strcmp(mode, "wal") != 0))
		r = error_set(err, ERR_UNSUPPORTED, "spool index '%s': this file system cannot keep a write-ahead log",
			ix->path);
	sqlite3_finalize(stmt);
	return r;
}

/* The folder of the file: names of the file and of its log are to survive a power cut. */
static int sync_folder(const struct index *ix, struct error *err)
{
	const char *slash = strrchr(ix->path, '/');
	char *dir = slash ? strndup(ix->path, slash == ix->path ? 1 : (size_t)(slash - ix->path)) : strdup(".");
	int r = dir ? fileio_fsync_dir(dir, err) : error_no_memory(err, "a spool index");
	free(dir);
	return r;
}

/* Made in one transaction, so that a file cut short while it was made is an empty one. */
static int make(struct index *ix, struct error *err)
{
	char text[100];
	sqlite3_snprintf(
		sizeof(text), text, "PRAGMA application_id=%d; PRAGMA user_version=%d", (int)APPLICATION, (int)VERSION);
	int r = index_exec(ix, "BEGIN IMMEDIATE", err);
	if (r == 0)
		r = index_exec(ix, schema, err);
	if (r == 0)
		r = index_exec(ix, text, err);
	if (r == 0)
		r = index_exec(ix, "COMMIT", err);
	int rc = r == 0 ? sqlite3_wal_checkpoint_v2(ix->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL) : SQLITE_OK;
	return rc == SQLITE_OK ? r : index_fail(ix, rc, "writing the new file", err);
}

static int check_version(struct index *ix, struct error *err)
{
	int64_t application = 0, version = 0, pages = 0;
	int r = pragma(ix, "PRAGMA application_id", &application, err);
	if (r == 0)
		r = pragma(ix, "PRAGMA user_version", &version, err);
	if (r == 0)
		r = pragma(ix, "SELECT count(*) FROM sqlite_master", &pages, err);
	if (r != 0)
		return r;
	if (pages == 0 && application == 0 && version == 0)
		return make(ix, err);
	if (application != APPLICATION || version < 1)
		return index_corrupt(ix, "its header", err);
	if (version > VERSION)
		return error_set(err, ERR_UNSUPPORTED, "spool index '%s' was made by a newer version (%lld)", ix->path,
			(long long)version);
	return 0;
}

static int open_log(struct index *ix, struct error *err)
{
	char *path = fileio_format("%s-wal", ix->path);
	if (!path)
		return error_no_memory(err, "a spool index");
	ix->wal = open(path, O_RDWR | O_CLOEXEC | O_CREAT, 0600);
	int r = ix->wal < 0 ? error_set_errno(err, errno, "opening '%s'", path) : 0;
	free(path);
	return r;
}

static int log_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct index *ix = arg;
	(void)db;
	(void)name;
	if ((uint64_t)pages < atomic_load_explicit(&ix->log_pages, memory_order_relaxed))
		atomic_store_explicit(&ix->tidied, 0, memory_order_relaxed); /* the log began anew */
	atomic_store_explicit(&ix->log_pages, (uint64_t)pages, memory_order_relaxed);
	return SQLITE_OK;
}

/* How much log a run that was cut short has left: it counts against what is large. */
static int measure_log(struct index *ix, struct error *err)
{
	int pages = 0;
	int rc = sqlite3_wal_checkpoint_v2(ix->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, NULL);
	if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || rc == SQLITE_FULL || (rc & 0xff) == SQLITE_IOERR) {
		atomic_store(&ix->log_pages, pages > 0 ? (uint64_t)pages : 0);
		return 0;
	}
	return index_fail(ix, rc, "writing the log back", err);
}

static int drop_orphans(struct index *ix, struct error *err)
{
	int64_t any = -1;
	sqlite3_stmt *stmt;
	int r = pragma(ix, "SELECT 1 FROM inodes WHERE nlink = 0 LIMIT 1", &any, err);
	if (r != 0 || any < 0)
		return r;
	ix->urgent = true; /* makes room, and must work on a full disk */
	r = index_begin(ix, err);
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_ORPHANS, &stmt, err);
	if (r == 0)
		r = index_run(ix, stmt, err);
	index_rows_forget_all(ix);
	if (r == 0)
		r = index_end(ix, err);
	ix->urgent = false;
	return r;
}

static int set_up(struct index *ix, struct error *err)
{
	int r = index_connect(ix->path, true, CACHE_KIB, &ix->db, err);
	if (r == 0)
		r = switch_to_wal(ix, err);
	if (r == 0)
		r = check_version(ix, err);
	if (r == 0)
		r = index_counters_load(ix, err);
	if (r == 0)
		r = open_log(ix, err);
	if (r == 0)
		r = sync_folder(ix, err);
	if (r == 0)
		r = measure_log(ix, err);
	if (r != 0)
		return r;
	sqlite3_wal_hook(ix->db, log_grew, ix);
	return drop_orphans(ix, err);
}

static struct index *index_new(const char *path)
{
	struct index *ix = calloc(1, sizeof(*ix));
	if (!ix)
		return NULL;
	ix->wal = -1;
	ix->path = strdup(path);
	if (ix->path && index_sync_init(&ix->sync) == 0)
		return ix;
	free(ix->path);
	free(ix);
	return NULL;
}

static void index_free(struct index *ix)
{
	index_stmts_free(ix);
	index_rows_free(ix);
	index_sync_release(&ix->sync);
	sqlite3_close_v2(ix->db);
	if (ix->wal >= 0)
		close(ix->wal);
	buf_release(&ix->scratch);
	free(ix->path);
	free(ix);
}

int index_open(const char *path, struct index **ret_index, struct error *err)
{
	struct index *ix = index_new(path);
	if (!ix)
		return error_no_memory(err, "a spool index");
	int r = set_up(ix, err);
	if (r != 0) {
		index_free(ix);
		return r;
	}
	*ret_index = ix;
	return 0;
}

void index_close(struct index *ix)
{
	if (!ix)
		return;
	if (!ix->frozen) {
		ix->urgent = true;
		/* What fails here costs the next start some time: the counters' bounds stand in the file. */
		if (index_end(ix, NULL) == 0 && index_counters_put(ix, true, NULL) == 0)
			(void)index_end(ix, NULL);
	}
	index_free(ix);
}

/* The transaction begins with its first read. */
static int pin(struct index *frozen, struct error *err)
{
	int64_t any;
	int r = index_exec(frozen, "PRAGMA query_only=1; BEGIN", err);
	return r == 0 ? pragma(frozen, "SELECT 1 FROM inodes LIMIT 1", &any, err) : r;
}

int index_freeze(struct index *ix, struct index **ret_frozen, struct error *err)
{
	int r = index_end(ix, err);
	if (r != 0)
		return r;
	struct index *frozen = index_new(ix->path);
	if (!frozen)
		return error_no_memory(err, "a frozen spool index");
	frozen->frozen = true;
	frozen->changes = ix->changes;
	frozen->opened_at = ix->opened_at;
	frozen->unclean = ix->unclean;
	r = index_connect(ix->path, false, FROZEN_CACHE_KIB, &frozen->db, err);
	if (r == 0)
		r = pin(frozen, err);
	if (r != 0) {
		index_free(frozen);
		return r;
	}
	*ret_frozen = frozen;
	return 0;
}
