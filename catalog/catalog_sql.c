/* SPDX-License-Identifier: MIT */

#include "catalog/catalog_sql.h"

#include <stdio.h>

#include "base/checked.h"

/*
 * packs are numbered, so that a chunk's row names its pack in a few bytes and
 * a new name of 32 bytes is not stored for each. `chunks` counts the rows that
 * lie in a pack, which spares status a walk over the largest table. Chunks are
 * found by the front of their primary key, the least deep one first. Offsets,
 * domains and digests are unsigned and stored with the same bits.
 */
static const struct {
	const char *head;
	const char *tail; /* the driver's type of a numbering key stands before it; NULL: no such key */
	bool keyed;       /* small rows, only found by the primary key */
} tables[] = {
	{"segments (id BYTEA NOT NULL PRIMARY KEY)", NULL, true},
	{"packs (number ",
		", id BYTEA NOT NULL UNIQUE, generation BIGINT NOT NULL, wrap BYTEA NOT NULL, size BIGINT NOT NULL,"
		" chunks BIGINT NOT NULL, doomed BIGINT NOT NULL, digest BIGINT NOT NULL)",
		false},
	{"chunks (domain BIGINT NOT NULL, id BYTEA NOT NULL, depth BIGINT NOT NULL, pack BIGINT NOT NULL,"
	 " place BIGINT NOT NULL, stored BIGINT NOT NULL, plain BIGINT NOT NULL, base BYTEA NOT NULL,"
	 " digest BIGINT NOT NULL, PRIMARY KEY (domain, id, depth, pack, place))",
		NULL, true},
	{"objects (name BYTEA NOT NULL PRIMARY KEY, data BYTEA NOT NULL, digest BIGINT NOT NULL)", NULL, false},
};

static const char *const texts[STMT_COUNT] = {
	/* name → value */
	[STMT_META_GET] = "SELECT value FROM meta WHERE name = $1",
	/* name, value; a value that is there stays */
	[STMT_META_PUT] = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",

	/* id → 1 */
	[STMT_SEGMENT_SEEN] = "SELECT 1 FROM segments WHERE id = $1",
	/* id; changes nothing where it was seen */
	[STMT_SEGMENT_PUT] = "INSERT INTO segments (id) VALUES ($1) ON CONFLICT DO NOTHING",
	[STMT_SEGMENT_FORGET] = "DELETE FROM segments WHERE id = $1",
	/* the id before → ids after it */
	[STMT_SEGMENT_PAGE] = "SELECT id FROM segments WHERE id > $1 ORDER BY id LIMIT 256",

	/* id, generation, wrap, size, digest; the newest generation's wrap stays */
	[STMT_PACK_PUT] = "INSERT INTO packs (id, generation, wrap, size, digest, chunks, doomed)"
			  " VALUES ($1, $2, $3, $4, $5, 0, 0) ON CONFLICT (id) DO UPDATE SET"
			  " generation = excluded.generation, wrap = excluded.wrap, size = excluded.size,"
			  " digest = excluded.digest WHERE excluded.generation > packs.generation",
	/* id → number */
	[STMT_PACK_NUMBER] = "SELECT number FROM packs WHERE id = $1",
	/* more chunks, number */
	[STMT_PACK_TALLY] = "UPDATE packs SET chunks = chunks + $1 WHERE number = $2",
	/* id → generation, wrap, size, digest */
	[STMT_PACK_FIND] = "SELECT generation, wrap, size, digest FROM packs WHERE id = $1",
	/* id */
	[STMT_PACK_DOOM] = "UPDATE packs SET doomed = 1 WHERE id = $1",

	/* domain, id, depth, pack's number, offset, stored, plain, base, digest */
	[STMT_CHUNK_PUT] = "INSERT INTO chunks (domain, id, depth, pack, place, stored, plain, base, digest)"
			   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
	/* domain, id → pack's id, offset, stored, plain, depth, base, digest */
	[STMT_CHUNK_FIND] = "SELECT packs.id, chunks.place, chunks.stored, chunks.plain, chunks.depth, chunks.base,"
			    " chunks.digest FROM chunks JOIN packs ON packs.number = chunks.pack"
			    " WHERE chunks.domain = $1 AND chunks.id = $2"
			    " ORDER BY chunks.depth, chunks.pack, chunks.place LIMIT 1",
	/* One walk for all doomed packs: an index by pack would double the table for what only a prune asks. */
	[STMT_CHUNKS_DROP] = "DELETE FROM chunks WHERE pack IN (SELECT number FROM packs WHERE doomed = 1)",
	[STMT_PACKS_DROP] = "DELETE FROM packs WHERE doomed = 1",
	/* → packs, their bytes, chunks, segments */
	[STMT_COUNTS] = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT),"
			" CAST(COALESCE(SUM(chunks), 0) AS BIGINT), (SELECT COUNT(*) FROM segments) FROM packs",

	/* name, data, digest */
	[STMT_OBJECT_PUT] = "INSERT INTO objects (name, data, digest) VALUES ($1, $2, $3)"
			    " ON CONFLICT (name) DO UPDATE SET data = excluded.data, digest = excluded.digest",
	/* name → data, digest */
	[STMT_OBJECT_GET] = "SELECT data, digest FROM objects WHERE name = $1",
	/* the least name asked for → names from it on */
	[STMT_OBJECT_PAGE] = "SELECT name FROM objects WHERE name >= $1 ORDER BY name LIMIT 256",
	[STMT_OBJECT_DROP] = "DELETE FROM objects WHERE name = $1",
};

_Static_assert(CATALOG_PAGE == 256, "what the statements above say behind LIMIT");

const char *catalog_stmt_text(enum catalog_stmt stmt)
{
	return texts[stmt];
}

int catalog_schema_begin(struct sql *sql, struct error *err)
{
	return sql->driver->exec(
		sql, "CREATE TABLE IF NOT EXISTS meta (name BYTEA NOT NULL PRIMARY KEY, value BYTEA NOT NULL)", err);
}

static int create_table(struct sql *sql, size_t i, struct error *err)
{
	const struct sql_driver *driver = sql->driver;
	const char *tail = tables[i].tail;
	char text[600];
	snprintf(text, sizeof(text), "CREATE TABLE IF NOT EXISTS %s%s%s%s", tables[i].head,
		tail ? driver->number_key : "", tail ? tail : "", tables[i].keyed ? driver->keyed_suffix : "");
	return driver->exec(sql, text, err);
}

int catalog_schema_create(struct sql *sql, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(tables); i++)
		r = create_table(sql, i, err);
	return r;
}

int catalog_schema_clear(struct sql *sql, struct error *err)
{
	return sql->driver->exec(
		sql, "DELETE FROM chunks; DELETE FROM packs; DELETE FROM segments; DELETE FROM objects", err);
}
