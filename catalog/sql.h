/* SPDX-License-Identifier: MIT */
#ifndef CATALOG_SQL_H
#define CATALOG_SQL_H

/*
 * What the catalog asks of a database: open, run, prepare, read rows, batch.
 *
 * A driver is one table of functions and two words of dialect. Statements are
 * written once above it (catalog_sql.c) in what SQLite and PostgreSQL both
 * take: parameters are $1, $2, ... each used once and in this order; types
 * are BIGINT and BYTEA; a conflict is settled by INSERT ... ON CONFLICT.
 *
 * Threads: a connection and its statements are used by one thread at a time,
 * which the caller sees to; different connections are independent. Ownership:
 * closing a connection needs its statements freed before. Errors: every call
 * that can fail says which statement failed; ERR_CORRUPT means that what lies
 * there is damaged or is not a catalog, ERR_NO_SPACE that it is full, ERR_BUSY
 * that another process held it for longer than a driver waits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sql_driver;

/* A connection; a driver's own struct begins with it. */
struct sql {
	const struct sql_driver *driver;
};

/* A prepared statement; a driver's own struct begins with it. */
struct sql_stmt {
	const struct sql_driver *driver;
};

struct sql_place {
	const char *path;   /* of the database, which exists; NULL: a new temporary one that ends with its connection */
	bool writes;        /* false: only reads will be asked of this connection */
	unsigned cache_kib; /* memory that it may keep pages in */
};

/* Many runs of one statement, which a driver may send together. */
struct sql_batch {
	size_t count;
	/* Binds the parameters of run `i`; what it binds by pointer lives until the batch returns. */
	void (*bind)(void *arg, size_t i, struct sql_stmt *stmt);
	/* Told once a run, in their order, how many rows it changed. NULL: nobody asks. */
	void (*ran)(void *arg, size_t i, uint64_t changed);
	void *arg;
};

struct sql_driver {
	const char *name;
	const char *number_key;    /* the type of a primary key that numbers its rows by itself */
	const char *keyed_suffix;  /* put behind CREATE TABLE for small rows that are only found by their primary key */
	unsigned connections_most; /* reading connections that are of use beside the writing one */

	/* Opens a connection. */
	int (*open)(const struct sql_place *place, struct sql **ret_sql, struct error *err);
	void (*close)(struct sql *sql);
	/* Runs a text without parameters or rows. */
	int (*exec)(struct sql *sql, const char *text, struct error *err);
	/* Begins a transaction that will write; other writers wait or fail with ERR_BUSY. */
	int (*begin)(struct sql *sql, struct error *err);
	/* Makes it lasting, or leaves nothing of it and returns why. */
	int (*commit)(struct sql *sql, struct error *err);
	/* Undoes it; a no-op outside a transaction. */
	void (*rollback)(struct sql *sql);

	/* Prepares a statement for many runs. ERR_CORRUPT where a table or column that it names is missing. */
	int (*prepare)(struct sql *sql, const char *text, struct sql_stmt **ret_stmt, struct error *err);
	void (*free)(struct sql_stmt *stmt);
	/* Parameter `at` counts from 1. A mistake shows in the next step. */
	void (*bind_int)(struct sql_stmt *stmt, int at, int64_t value);
	/* The bytes are borrowed until reset. */
	void (*bind_bytes)(struct sql_stmt *stmt, int at, const void *data, size_t len);
	/* 1: a row is there; 0: no more; negative: failed. */
	int (*step)(struct sql_stmt *stmt, struct error *err);
	/* Ends the run, so that the statement can be bound and stepped again. To be called after every run. */
	void (*reset)(struct sql_stmt *stmt);
	/* Column `at` of the row, counted from 0. */
	int64_t (*column_int)(struct sql_stmt *stmt, int at);
	/* Borrowed until the next step or reset; never NULL, not even with *ret_len 0. */
	const void *(*column_bytes)(struct sql_stmt *stmt, int at, size_t *ret_len);
	/* Rows that the last step changed, where it inserted, updated or deleted. */
	uint64_t (*changed)(struct sql_stmt *stmt);
	/* Runs a statement that gives no rows batch->count times, as if each was bound, stepped and reset. */
	int (*batch)(struct sql_stmt *stmt, const struct sql_batch *batch, struct error *err);
};

/* The embedded default. */
extern const struct sql_driver sql_sqlite;

#endif
