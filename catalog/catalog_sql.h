/* SPDX-License-Identifier: MIT */
#ifndef CATALOG_CATALOG_SQL_H
#define CATALOG_CATALOG_SQL_H

/*
 * Every text of SQL that the catalog uses, written once for all drivers. The
 * comment at each statement tells its parameters and columns. Only constants
 * and one function live here; nothing is owned, any thread may use them.
 */

#include "catalog/sql.h"

enum catalog_stmt {
	STMT_META_GET,
	STMT_META_PUT,
	STMT_SEGMENT_SEEN,
	STMT_SEGMENT_PUT,
	STMT_SEGMENT_FORGET,
	STMT_SEGMENT_PAGE,
	STMT_PACK_PUT,
	STMT_PACK_NUMBER,
	STMT_PACK_TALLY,
	STMT_PACK_FIND,
	STMT_PACK_DOOM,
	STMT_CHUNK_PUT,
	STMT_CHUNK_FIND,
	STMT_CHUNKS_DROP,
	STMT_PACKS_DROP,
	STMT_COUNTS,
	STMT_OBJECT_PUT,
	STMT_OBJECT_GET,
	STMT_OBJECT_PAGE,
	STMT_OBJECT_DROP,
	STMT_COUNT,
};

/* Rows that one run of a STMT_*_PAGE gives at most. */
enum { CATALOG_PAGE = 256 };

/* The version of tables and row digests; a catalog of another one is begun anew. */
#define CATALOG_SCHEMA "1"

/* The text of a statement. */
const char *catalog_stmt_text(enum catalog_stmt stmt);
/* Makes the table that says whose catalog this is, where it is missing. */
int catalog_schema_begin(struct sql *sql, struct error *err);
/* Makes all other tables where they are missing. */
int catalog_schema_create(struct sql *sql, struct error *err);
/* Deletes every row but those of the first table. Inside a transaction of the caller. */
int catalog_schema_clear(struct sql *sql, struct error *err);

#endif
