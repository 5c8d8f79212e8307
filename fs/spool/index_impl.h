/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_INDEX_IMPL_H
#define FS_SPOOL_INDEX_IMPL_H

/*
 * Inside the index: one SQLite connection with its prepared statements, the
 * counters that outlive a run, and what index_sync() shares between threads.
 *
 * The database is opened by SQLite's "unix-excl" way: one process has it, and
 * its connections agree in memory, so that a transaction costs no lock calls.
 * index_vfs.h lies over it and lets a commit cost one write.
 * The log is never written back by a commit: that would wait for the disk
 * under the owner's lock. index_tidy() does it on a connection of its own.
 *
 * A commit that finds the disk full would undo what callers were already told
 * had happened. So room is allocated behind the end of the log before a
 * transaction begins: a full disk refuses new changes and undoes none.
 *
 * Threads: the connection and the counters belong to the owner's lock;
 * `sync` has a lock of its own; fields marked atomic are read by both.
 */

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "fs/spool/index.h"

enum {
	INDEX_PAGE = 2048,          /* a commit writes and sums whole pages: measured against 1024 and 4096 */
	INDEX_LOG_LARGE = 16 << 20, /* a log that is written back when somebody has time for it */
	INDEX_LOG_MOST = 64 << 20,  /* and at this size by whoever ends a transaction */
	INDEX_WALKS_KEPT = 8,       /* idle statements of one kind of walk that are kept */
	INDEX_ROWS_KEPT = 256,      /* inodes that were read or written last */
	INDEX_ROW_LARGE = 1024,     /* bytes of one that is not kept */
};

enum index_sql {
	INDEX_SQL_BEGIN,
	INDEX_SQL_COMMIT,
	INDEX_SQL_GET,
	INDEX_SQL_PUT,
	INDEX_SQL_DROP,
	INDEX_SQL_NAME,
	INDEX_SQL_NAME_PUT,
	INDEX_SQL_NAME_DROP,
	INDEX_SQL_NAMES_DROP,
	INDEX_SQL_HAS_NAMES,
	INDEX_SQL_ALIAS,
	INDEX_SQL_ALIAS_PUT,
	INDEX_SQL_FACT,
	INDEX_SQL_FACT_PUT,
	INDEX_SQL_STAGED,
	INDEX_SQL_COUNT,
	INDEX_SQL_CHANGED_AFTER,
	INDEX_SQL_CLEAR_INODES,
	INDEX_SQL_CLEAR_NAMES,
	INDEX_SQL_CLEAR_ALIASES,
	INDEX_SQL_ORPHANS,
	INDEX_SQL_LIST, /* the next three are walks: each run has a statement of its own */
	INDEX_SQL_LIST_SORTED,
	INDEX_SQL_NAMES_OF,
	INDEX_SQL_ALL,
};

/* Statements of walks that nobody is in right now. */
struct index_idle {
	sqlite3_stmt *stmts[INDEX_WALKS_KEPT];
	unsigned count;
};

/*
 * What the table holds under a number, as it was read or written last: a folder is asked for with each name in it.
 * A row that is known not to be there is kept, too.
 */
struct index_row {
	bool known, there;
	uint64_t ino, nlink, changed;
	struct buf data;
};

/* A number that is given out once. What the file says is always beyond what was given out, so that it need not be
 * written each time. */
struct index_counter {
	uint64_t last;  /* given out last */
	uint64_t bound; /* up to here the file knows */
};

struct index_sync_state {
	pthread_mutex_t lock;
	pthread_cond_t done;
	uint64_t started, finished; /* rounds of fdatasync */
	uint64_t synced;            /* transactions that survive a power cut */
	bool running;
	bool failed; /* a sync failed once: what the kernel then forgot, a later one would not tell */
	int failed_errno;
	pthread_mutex_t tidy_lock;
	sqlite3 *tidy_db; /* made at first use */
};

struct index {
	sqlite3 *db;
	char *path;
	bool frozen;
	bool open;        /* a transaction is */
	bool urgent;      /* may use the room that is kept */
	unsigned changed; /* statements run in the open transaction */
	sqlite3_stmt *stmts[INDEX_SQL_ALL];
	struct index_idle idle[INDEX_SQL_ALL - INDEX_SQL_LIST];
	struct buf scratch; /* an inode being encoded */
	struct index_row rows[INDEX_ROWS_KEPT];
	struct index_counter inos, cookies, changes;
	bool counters_moved; /* the file's bounds are to be written by this transaction */
	uint64_t opened_at;  /* `changes` as it was at first */
	bool unclean;        /* the last run was cut short: `changes` may be larger than it was */
	int wal;       /* its log, for fdatasync() and for room; the database file itself must never be opened beside
			* SQLite: closing it would drop SQLite's locks */
	uint64_t room; /* offset in the log up to which disk space is allocated */
	bool no_room;  /* the file system cannot do that */
	_Atomic uint64_t log_pages;
	_Atomic uint64_t tidied; /* pages that the log had when it was written back last */
	_Atomic uint64_t ended;  /* transactions */
	struct index_sync_state sync;
};

/* ---- index_sql.c ---- */

/* An error of SQLite in the words and codes of the project. Also notices that SQLite undid the transaction. */
int index_fail(struct index *ix, int rc, const char *what, struct error *err);
int index_exec(struct index *ix, const char *text, struct error *err);
/* The statement, prepared at first use. */
int index_stmt(struct index *ix, enum index_sql which, sqlite3_stmt **ret_stmt, struct error *err);
/* 1: a row; 0: done; negative: failed. The caller resets. */
int index_step(struct index *ix, sqlite3_stmt *stmt, struct error *err);
/* Runs a statement that gives no rows and resets it. */
int index_run(struct index *ix, sqlite3_stmt *stmt, struct error *err);
/* A statement of a walk, and back. */
int index_walk_take(struct index *ix, enum index_sql which, sqlite3_stmt **ret_stmt, struct error *err);
void index_walk_give(struct index *ix, enum index_sql which, sqlite3_stmt *stmt);
void index_stmts_free(struct index *ix);
/* A number as SQLite keeps it; INDEX_NONE is -1. */
void index_bind_u64(sqlite3_stmt *stmt, int at, uint64_t value);
uint64_t index_column_u64(sqlite3_stmt *stmt, int at);
/* Bytes that live until the statement is reset. */
void index_bind_bytes(sqlite3_stmt *stmt, int at, const void *data, size_t len);
int index_corrupt(const struct index *ix, const char *what, struct error *err);

/* ---- index_end.c ---- */

/* Before each change: opens the transaction where none is, and sees to room for it. */
int index_begin(struct index *ix, struct error *err);
uint64_t index_count_up(struct index *ix, struct index_counter *counter);
/* Counters to and from the file. */
int index_counters_put(struct index *ix, bool clean, struct error *err);
int index_counters_load(struct index *ix, struct error *err);

/* ---- index_open.c ---- */

int index_connect(const char *path, bool make, unsigned cache_kib, sqlite3 **ret_db, struct error *err);

/* ---- index_sync.c ---- */

int index_sync_init(struct index_sync_state *s);
void index_sync_release(struct index_sync_state *s);

/* ---- index_rows.c ---- */

/* NULL: it has to be looked up. Else `known`, and good until the next call. */
const struct index_row *index_rows_find(const struct index *ix, uint64_t ino);
/* This is what the table holds now; data NULL: nothing. */
void index_rows_keep(struct index *ix, uint64_t ino, uint64_t nlink, uint64_t changed, const void *data, size_t len);
void index_rows_forget(struct index *ix, uint64_t ino);
/* The table changed otherwise, or was undone. */
void index_rows_forget_all(struct index *ix);
void index_rows_free(struct index *ix);

/* ---- index_codec.c ---- */

/* What the data column holds: everything but the number, nlink and changed. */
void index_inode_encode(const struct index_inode *inode, struct buf *b);
/* False: it is damaged, or there is no memory (then a buffer of *ret has failed). */
bool index_inode_decode(const void *data, size_t len, struct index_inode *ret);

#endif
