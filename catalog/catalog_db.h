/* SPDX-License-Identifier: MIT */
#ifndef CATALOG_CATALOG_DB_H
#define CATALOG_CATALOG_DB_H

/*
 * An open catalog database: one connection that writes, a few that read, their
 * prepared statements, and who is using it.
 *
 * Each connection has a mutex, held from catalog_use_*() to catalog_use_end(),
 * over the database's work: that is what a connection is. Readers do not wait
 * for the writer. A private database has but its writing connection, which is
 * used for reading too. The struct is counted: struct catalog holds one
 * reference and every call one more, so that catalog_make_private() can swap
 * databases while lookups run; the last one closes it.
 *
 * Row digests: SQLite does not notice a changed bit in a page. Each row that
 * the archive would believe carries a keyed hash (SipHash, its key being the
 * repository's id) of what it says, and a row whose hash differs is
 * ERR_CORRUPT. This guards against damage, not against an enemy.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "catalog/catalog.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_sql.h"

enum { CATALOG_REPOSITORY_LEN = 16, CATALOG_READERS = 4 };

/* One connection. Everything below the lock is guarded by it. */
struct catalog_conn {
	pthread_mutex_t lock;
	struct sql *sql; /* NULL until first used */
	struct sql_stmt *stmts[STMT_COUNT];
};

struct catalog_db {
	atomic_uint refs;
	atomic_bool damaged; /* somebody met ERR_CORRUPT */
	const struct sql_driver *driver;
	struct catalog_place *place; /* NULL: private */
	uint8_t repository[CATALOG_REPOSITORY_LEN];
	unsigned reader_count; /* 0: private */
	atomic_uint turn;      /* which reader to wait for when all are busy */
	struct catalog_conn writer;
	struct catalog_conn readers[CATALOG_READERS];
};

/*
 * Opens what lies in `place` (the database's from then on, on success; NULL: a new private one) and makes its tables
 * where it is empty. ERR_CORRUPT: it is damaged, or of another version or repository; it should be begun anew.
 * *ret_fresh: it was empty.
 */
int catalog_db_open(const struct sql_driver *driver, struct catalog_place *place,
	const uint8_t repository[static CATALOG_REPOSITORY_LEN], struct catalog_db **ret_db, bool *ret_fresh,
	struct error *err);
/* Opens and closes what lies in `place`, which stays the caller's: can it be used? */
int catalog_db_check(const struct sql_driver *driver, struct catalog_place *place,
	const uint8_t repository[static CATALOG_REPOSITORY_LEN], struct error *err);
/* Gives a reference back; the last one closes. NULL is a no-op. */
void catalog_db_release(struct catalog_db *db);

struct catalog {
	pthread_mutex_t lock;  /* of db; held for a few instructions */
	struct catalog_db *db; /* changed by catalog_make_private() */
	atomic_int state;
	const struct sql_driver *driver;
	uint8_t repository[CATALOG_REPOSITORY_LEN];
};

/* A connection in use by one call. */
struct catalog_use {
	struct catalog_db *db;
	struct catalog_conn *conn;
};

/* Takes a connection for reading or for writing. After failure there is nothing to end. */
int catalog_use_reader(struct catalog *catalog, struct catalog_use *ret_use, struct error *err);
int catalog_use_writer(struct catalog *catalog, struct catalog_use *ret_use, struct error *err);
/* Gives it back. Returns `r`, and takes note where that is ERR_CORRUPT. */
int catalog_use_end(struct catalog_use *use, int r);
/* The statement, prepared once a connection. Borrowed; to be reset after its run. */
int catalog_use_stmt(struct catalog_use *use, enum catalog_stmt which, struct sql_stmt **ret_stmt, struct error *err);
/* Prepares, runs and resets a statement whose one parameter is `data` and that gives no rows. */
int catalog_use_run(struct catalog_use *use, enum catalog_stmt which, const void *data, size_t len,
	uint64_t *ret_changed, struct error *err);

/* The digests of rows. */
int64_t catalog_digest_chunk(const struct catalog_db *db, uint64_t domain, const struct catalog_chunk *chunk);
int64_t catalog_digest_pack(const struct catalog_db *db, const struct catalog_pack *pack);
int64_t catalog_digest_object(const struct catalog_db *db, const char *name, const void *data, size_t len);

#endif
