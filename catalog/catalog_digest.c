/* SPDX-License-Identifier: MIT */

#include <sodium.h>
#include <string.h>

#include "catalog/catalog_db.h"

_Static_assert(CATALOG_REPOSITORY_LEN == crypto_shorthash_KEYBYTES, "the repository's id is the digests' key");

/* A row laid out for hashing; no row is longer. */
struct row {
	uint8_t bytes[256];
	size_t len;
};

static void row_bytes(struct row *row, const void *data, size_t len)
{
	memcpy(row->bytes + row->len, data, len);
	row->len += len;
}

static void row_number(struct row *row, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		row->bytes[row->len++] = (uint8_t)(value >> (8 * i));
}

static int64_t hash(const struct catalog_db *db, const void *data, size_t len)
{
	int64_t digest;
	uint8_t out[crypto_shorthash_BYTES];
	crypto_shorthash(out, data, len, db->repository);
	memcpy(&digest, out, sizeof(digest));
	return (int64_t)le64toh((uint64_t)digest);
}

int64_t catalog_digest_chunk(const struct catalog_db *db, uint64_t domain, const struct catalog_chunk *chunk)
{
	struct row row = {.len = 0};
	row_number(&row, domain);
	row_bytes(&row, chunk->id, sizeof(chunk->id));
	row_bytes(&row, chunk->pack, sizeof(chunk->pack));
	row_bytes(&row, chunk->base, sizeof(chunk->base));
	row_number(&row, chunk->offset);
	row_number(&row, (uint64_t)chunk->stored << 32 | chunk->plain);
	row_number(&row, chunk->depth);
	return hash(db, row.bytes, row.len);
}

int64_t catalog_digest_pack(const struct catalog_db *db, const struct catalog_pack *pack)
{
	struct row row = {.len = 0};
	row_bytes(&row, pack->id, sizeof(pack->id));
	row_number(&row, pack->generation);
	row_number(&row, pack->size);
	row_bytes(&row, pack->wrap, pack->wrap_len);
	return hash(db, row.bytes, row.len);
}

int64_t catalog_digest_object(const struct catalog_db *db, const char *name, const void *data, size_t len)
{
	struct row row = {.len = 0};
	row_number(&row, (uint64_t)hash(db, name, strlen(name)));
	row_number(&row, (uint64_t)hash(db, data, len));
	row_number(&row, len);
	return hash(db, row.bytes, row.len);
}
