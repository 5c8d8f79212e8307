/* SPDX-License-Identifier: MIT */

/*
 * Lookups, drops, counts and small objects; segments are in catalog_segment.c,
 * opening in catalog_open.c.
 */

#include "catalog/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "catalog/catalog_db.h"

static int damaged(const char *what, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "the catalog's row of %s is damaged", what);
}

/* A column that must fill `dst`, or be empty where `may_lack`. */
static bool take_id(struct sql_stmt *stmt, int at, uint8_t dst[static CATALOG_ID_LEN], bool may_lack)
{
	size_t len;
	const void *data = stmt->driver->column_bytes(stmt, at, &len);
	if (len != CATALOG_ID_LEN && !(may_lack && len == 0))
		return false;
	memcpy(dst, data, len);
	return true;
}

/* What does not fit its type is damage; the digest finds all else. */
static int take_chunk(const struct catalog_db *db, struct sql_stmt *stmt, uint64_t domain, const uint8_t *id,
	struct catalog_chunk *ret_chunk, struct error *err)
{
	const struct sql_driver *driver = stmt->driver;
	struct catalog_chunk chunk = {.offset = (uint64_t)driver->column_int(stmt, 1)};
	int64_t stored = driver->column_int(stmt, 2), plain = driver->column_int(stmt, 3);
	int64_t depth = driver->column_int(stmt, 4);
	memcpy(chunk.id, id, CATALOG_ID_LEN);
	if (!take_id(stmt, 0, chunk.pack, false) || !take_id(stmt, 5, chunk.base, true) || stored < 0 ||
		stored > UINT32_MAX || plain < 0 || plain > UINT32_MAX || depth < 0 || depth > UINT8_MAX)
		return damaged("a chunk", err);
	chunk.stored = (uint32_t)stored;
	chunk.plain = (uint32_t)plain;
	chunk.depth = (uint8_t)depth;
	if (driver->column_int(stmt, 6) != catalog_digest_chunk(db, domain, &chunk))
		return damaged("a chunk", err);
	*ret_chunk = chunk;
	return 0;
}

/* Not found is an everyday answer: a code without a text. */
static int not_found(struct error *err, const char *what)
{
	return error_set(err, ERR_NOT_FOUND, "the catalog does not know this %s", what);
}

int catalog_chunk_find(struct catalog *catalog, uint64_t domain, const uint8_t id[static CATALOG_ID_LEN],
	struct catalog_chunk *ret_chunk, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_CHUNK_FIND, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_int(stmt, 1, (int64_t)domain);
	stmt->driver->bind_bytes(stmt, 2, id, CATALOG_ID_LEN);
	r = stmt->driver->step(stmt, err);
	if (r == 1)
		r = take_chunk(use.db, stmt, domain, id, ret_chunk, err);
	else if (r == 0)
		r = not_found(err, "chunk");
	stmt->driver->reset(stmt);
out:
	return catalog_use_end(&use, r);
}

static int take_pack(const struct catalog_db *db, struct sql_stmt *stmt, const uint8_t *id,
	struct catalog_pack *ret_pack, struct error *err)
{
	const struct sql_driver *driver = stmt->driver;
	struct catalog_pack pack = {.size = (uint64_t)driver->column_int(stmt, 2)};
	int64_t generation = driver->column_int(stmt, 0);
	const void *wrap = driver->column_bytes(stmt, 1, &pack.wrap_len);
	memcpy(pack.id, id, CATALOG_ID_LEN);
	if (generation < 0 || generation > UINT32_MAX || pack.wrap_len > CATALOG_WRAP_MAX)
		return damaged("a pack", err);
	pack.generation = (uint32_t)generation;
	memcpy(pack.wrap, wrap, pack.wrap_len);
	if (driver->column_int(stmt, 3) != catalog_digest_pack(db, &pack))
		return damaged("a pack", err);
	*ret_pack = pack;
	return 0;
}

int catalog_pack_find(struct catalog *catalog, const uint8_t id[static CATALOG_ID_LEN], struct catalog_pack *ret_pack,
	struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_PACK_FIND, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_bytes(stmt, 1, id, CATALOG_ID_LEN);
	r = stmt->driver->step(stmt, err);
	if (r == 1)
		r = take_pack(use.db, stmt, id, ret_pack, err);
	else if (r == 0)
		r = not_found(err, "pack");
	stmt->driver->reset(stmt);
out:
	return catalog_use_end(&use, r);
}

/* Runs `work` between begin and commit. */
static int in_transaction(struct catalog *catalog, int (*work)(struct catalog_use *use, void *arg, struct error *err),
	void *arg, struct error *err)
{
	struct catalog_use use;
	int r = catalog_use_writer(catalog, &use, err);
	if (r != 0)
		return r;
	struct sql *sql = use.conn->sql;
	r = sql->driver->begin(sql, err);
	if (r != 0)
		goto out;
	r = work(&use, arg, err);
	if (r == 0)
		r = sql->driver->commit(sql, err);
	else
		sql->driver->rollback(sql);
out:
	return catalog_use_end(&use, r);
}

static int clear_all(struct catalog_use *use, void *arg, struct error *err)
{
	(void)arg;
	return catalog_schema_clear(use->conn->sql, err);
}

int catalog_reset(struct catalog *catalog, struct error *err)
{
	return in_transaction(catalog, clear_all, NULL, err);
}

struct drop {
	const uint8_t (*ids)[CATALOG_ID_LEN];
	size_t count;
	uint64_t doomed;
};

static void bind_doomed(void *arg, size_t i, struct sql_stmt *stmt)
{
	const struct drop *drop = arg;
	stmt->driver->bind_bytes(stmt, 1, drop->ids[i], CATALOG_ID_LEN);
}

static void ran_doomed(void *arg, size_t i, uint64_t changed)
{
	(void)i;
	((struct drop *)arg)->doomed += changed;
}

static int drop_packs(struct catalog_use *use, void *arg, struct error *err)
{
	struct drop *drop = arg;
	struct sql_stmt *stmt;
	int r = catalog_use_stmt(use, STMT_PACK_DOOM, &stmt, err);
	if (r != 0)
		return r;
	const struct sql_batch batch = {.count = drop->count, .bind = bind_doomed, .ran = ran_doomed, .arg = drop};
	r = stmt->driver->batch(stmt, &batch, err);
	/* The walk over all chunks is spared where a verdict names only what is unknown here. */
	if (r == 0 && drop->doomed > 0)
		r = catalog_use_run(use, STMT_CHUNKS_DROP, NULL, 0, NULL, err);
	if (r == 0 && drop->doomed > 0)
		r = catalog_use_run(use, STMT_PACKS_DROP, NULL, 0, NULL, err);
	return r;
}

int catalog_packs_drop(struct catalog *catalog, const uint8_t (*ids)[CATALOG_ID_LEN], size_t count, struct error *err)
{
	struct drop drop = {.ids = ids, .count = count};
	return count == 0 ? 0 : in_transaction(catalog, drop_packs, &drop, err);
}

int catalog_counts(struct catalog *catalog, struct catalog_counts *ret_counts, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_COUNTS, &stmt, err);
	if (r != 0)
		goto out;
	r = stmt->driver->step(stmt, err);
	if (r == 1) {
		ret_counts->packs = (uint64_t)stmt->driver->column_int(stmt, 0);
		ret_counts->pack_bytes = (uint64_t)stmt->driver->column_int(stmt, 1);
		ret_counts->chunks = (uint64_t)stmt->driver->column_int(stmt, 2);
		ret_counts->segments = (uint64_t)stmt->driver->column_int(stmt, 3);
	}
	stmt->driver->reset(stmt);
	r = r == 1 ? 0 : r == 0 ? error_set(err, ERR_BUG, "the catalog cannot count") : r;
out:
	return catalog_use_end(&use, r);
}
