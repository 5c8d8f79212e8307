/* SPDX-License-Identifier: MIT */

#include "catalog/catalog_db.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CACHE_KIB = 8192 }; /* of all connections together */

static int conn_open(struct catalog_db *db, struct catalog_conn *conn, struct error *err)
{
	const struct sql_place place = {
		.path = db->place ? catalog_place_file(db->place) : NULL,
		.writes = conn == &db->writer,
		.cache_kib = db->reader_count == 0 ? CACHE_KIB
			     : conn == &db->writer ? CACHE_KIB / 2
						   : CACHE_KIB / 2 / db->reader_count,
	};
	return db->driver->open(&place, &conn->sql, err);
}

static void conn_close(struct catalog_conn *conn)
{
	if (conn->sql) {
		for (int i = 0; i < STMT_COUNT; i++)
			conn->sql->driver->free(conn->stmts[i]);
		conn->sql->driver->close(conn->sql);
	}
	pthread_mutex_destroy(&conn->lock);
}

static int conn_stmt(struct catalog_conn *conn, enum catalog_stmt which, struct sql_stmt **ret_stmt, struct error *err)
{
	if (!conn->stmts[which]) {
		int r = conn->sql->driver->prepare(conn->sql, catalog_stmt_text(which), &conn->stmts[which], err);
		if (r != 0)
			return r;
	}
	*ret_stmt = conn->stmts[which];
	return 0;
}

/* One reader a core: more would only divide the memory. */
static unsigned readers_wanted(const struct sql_driver *driver)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned most = driver->connections_most < CATALOG_READERS ? driver->connections_most : CATALOG_READERS;
	return cores < 2 ? 1 : cores > (long)most ? most : (unsigned)cores;
}

/* 1: the value of `name` is `want`; 0: there is no such name; ERR_CORRUPT: it is another. */
static int meta_is(struct catalog_conn *conn, const char *name, const void *want, size_t want_len, struct error *err)
{
	struct sql_stmt *stmt;
	int r = conn_stmt(conn, STMT_META_GET, &stmt, err);
	if (r != 0)
		return r;
	const struct sql_driver *driver = stmt->driver;
	driver->bind_bytes(stmt, 1, name, strlen(name));
	r = driver->step(stmt, err);
	if (r == 1) {
		size_t len;
		const void *value = driver->column_bytes(stmt, 0, &len);
		if (len != want_len || memcmp(value, want, len) != 0)
			r = error_set(err, ERR_CORRUPT, "its %s is another", name);
	}
	driver->reset(stmt);
	return r;
}

static int meta_put(struct catalog_conn *conn, const char *name, const void *value, size_t len, uint64_t *ret_changed,
	struct error *err)
{
	struct sql_stmt *stmt;
	int r = conn_stmt(conn, STMT_META_PUT, &stmt, err);
	if (r != 0)
		return r;
	const struct sql_driver *driver = stmt->driver;
	driver->bind_bytes(stmt, 1, name, strlen(name));
	driver->bind_bytes(stmt, 2, value, len);
	r = driver->step(stmt, err);
	if (r == 0)
		*ret_changed = driver->changed(stmt);
	driver->reset(stmt);
	return r;
}

/* Makes the tables. Of two processes that do so at once, one finds all made: *ret_fresh false. */
static int create(struct catalog_db *db, bool *ret_fresh, struct error *err)
{
	struct catalog_conn *conn = &db->writer;
	uint64_t put = 0, also = 0;
	int r = db->driver->begin(conn->sql, err);
	if (r != 0)
		return r;
	r = catalog_schema_create(conn->sql, err);
	if (r == 0)
		r = meta_put(conn, "repository", db->repository, sizeof(db->repository), &put, err);
	if (r == 0)
		r = meta_put(conn, "version", CATALOG_SCHEMA, strlen(CATALOG_SCHEMA), &also, err);
	if (r == 0)
		r = db->driver->commit(conn->sql, err);
	else
		db->driver->rollback(conn->sql);
	if (r == 0)
		*ret_fresh = put > 0;
	return r;
}

/* 1 when it is a catalog of this repository and version, 0 when it is empty. */
static int recognise(struct catalog_db *db, struct error *err)
{
	int r = catalog_schema_begin(db->writer.sql, err);
	if (r == 0)
		r = meta_is(&db->writer, "version", CATALOG_SCHEMA, strlen(CATALOG_SCHEMA), err);
	if (r == 1)
		r = meta_is(&db->writer, "repository", db->repository, sizeof(db->repository), err);
	return r;
}

/* Where a table is another than we think, a statement cannot be prepared: better found now than in the middle. */
static int prepare_all(struct catalog_db *db, struct error *err)
{
	int r = 0;
	struct sql_stmt *stmt;
	for (int i = 0; r == 0 && i < STMT_COUNT; i++)
		r = conn_stmt(&db->writer, (enum catalog_stmt)i, &stmt, err);
	return r;
}

static int set_up(struct catalog_db *db, bool *ret_fresh, struct error *err)
{
	bool fresh = false;
	int r = conn_open(db, &db->writer, err);
	if (r == 0)
		r = recognise(db, err);
	if (r == 0) {
		r = create(db, &fresh, err);
		if (r == 0)
			r = recognise(db, err);
		if (r == 0)
			r = error_set(err, ERR_CORRUPT, "catalog database: it forgets what is written to it");
	}
	if (r == 1)
		r = prepare_all(db, err);
	if (r == 0)
		*ret_fresh = fresh;
	return r;
}

int catalog_db_open(const struct sql_driver *driver, struct catalog_place *place,
	const uint8_t repository[static CATALOG_REPOSITORY_LEN], struct catalog_db **ret_db, bool *ret_fresh,
	struct error *err)
{
	struct catalog_db *db = calloc(1, sizeof(*db));
	if (!db)
		return error_no_memory(err, "a catalog");
	atomic_init(&db->refs, 1);
	db->driver = driver;
	db->place = place;
	db->reader_count = place ? readers_wanted(driver) : 0;
	memcpy(db->repository, repository, sizeof(db->repository));
	pthread_mutex_init(&db->writer.lock, NULL);
	for (unsigned i = 0; i < CATALOG_READERS; i++)
		pthread_mutex_init(&db->readers[i].lock, NULL);
	int r = set_up(db, ret_fresh, err);
	if (r != 0) {
		db->place = NULL; /* stays the caller's */
		catalog_db_release(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

int catalog_db_check(const struct sql_driver *driver, struct catalog_place *place,
	const uint8_t repository[static CATALOG_REPOSITORY_LEN], struct error *err)
{
	struct catalog_db *db;
	bool fresh;
	int r = catalog_db_open(driver, place, repository, &db, &fresh, err);
	if (r != 0)
		return r;
	db->place = NULL; /* stays the caller's */
	catalog_db_release(db);
	return 0;
}

void catalog_db_release(struct catalog_db *db)
{
	if (!db || atomic_fetch_sub(&db->refs, 1) != 1)
		return;
	for (unsigned i = 0; i < CATALOG_READERS; i++)
		conn_close(&db->readers[i]);
	conn_close(&db->writer);
	if (db->place && atomic_load(&db->damaged))
		catalog_place_suspect(db->place);
	/* The lock last: until here the files were in use. */
	catalog_place_close(db->place);
	free(db);
}

static struct catalog_db *acquire(struct catalog *catalog)
{
	pthread_mutex_lock(&catalog->lock);
	struct catalog_db *db = catalog->db;
	atomic_fetch_add(&db->refs, 1);
	pthread_mutex_unlock(&catalog->lock);
	return db;
}

/*
 * The first free reader, so that a single thread always meets the one whose pages are warm; when all are busy, each in
 * its turn is waited for.
 */
static struct catalog_conn *lock_reader(struct catalog_db *db)
{
	for (unsigned i = 0; i < db->reader_count; i++)
		if (pthread_mutex_trylock(&db->readers[i].lock) == 0)
			return &db->readers[i];
	struct catalog_conn *conn = &db->writer;
	if (db->reader_count > 0)
		conn = &db->readers[atomic_fetch_add(&db->turn, 1) % db->reader_count];
	pthread_mutex_lock(&conn->lock);
	return conn;
}

int catalog_use_reader(struct catalog *catalog, struct catalog_use *ret_use, struct error *err)
{
	struct catalog_use use = {.db = acquire(catalog)};
	use.conn = lock_reader(use.db);
	int r = use.conn->sql ? 0 : conn_open(use.db, use.conn, err);
	if (r != 0)
		return catalog_use_end(&use, r);
	*ret_use = use;
	return 0;
}

int catalog_use_writer(struct catalog *catalog, struct catalog_use *ret_use, struct error *err)
{
	(void)err; /* a driver that loses its connection will open it anew here */
	ret_use->db = acquire(catalog);
	ret_use->conn = &ret_use->db->writer;
	pthread_mutex_lock(&ret_use->conn->lock);
	return 0;
}

int catalog_use_end(struct catalog_use *use, int r)
{
	if (r == ERR_CORRUPT)
		atomic_store(&use->db->damaged, true);
	pthread_mutex_unlock(&use->conn->lock);
	catalog_db_release(use->db);
	return r;
}

int catalog_use_stmt(struct catalog_use *use, enum catalog_stmt which, struct sql_stmt **ret_stmt, struct error *err)
{
	return conn_stmt(use->conn, which, ret_stmt, err);
}

int catalog_use_run(struct catalog_use *use, enum catalog_stmt which, const void *data, size_t len,
	uint64_t *ret_changed, struct error *err)
{
	struct sql_stmt *stmt;
	int r = conn_stmt(use->conn, which, &stmt, err);
	if (r != 0)
		return r;
	if (len > 0)
		stmt->driver->bind_bytes(stmt, 1, data, len);
	r = stmt->driver->step(stmt, err);
	if (r == 0 && ret_changed)
		*ret_changed = stmt->driver->changed(stmt);
	stmt->driver->reset(stmt);
	return r > 0 ? error_set(err, ERR_BUG, "catalog: a statement gave rows that nobody asked for") : r;
}
