/* SPDX-License-Identifier: MIT */
#include "archive/object_cache.h"

#include <stdio.h>

#include "base/hex.h"
#include "base/host.h"

enum { SALT_LEN = 16, CACHED_MAX = (1 << 20) - SALT_LEN - FORMAT_TAG_LEN };

/* The salt makes every sealing's key a fresh one, so that no (key, nonce) pair repeats. */
static void cache_key(const struct repo *repo, const uint8_t salt[static SALT_LEN], uint8_t dst[static FORMAT_KEY_LEN])
{
	char hex[2 * SALT_LEN + 1], purpose[sizeof("drfs cache ") + 2 * SALT_LEN];
	hex_encode(salt, SALT_LEN, hex);
	snprintf(purpose, sizeof(purpose), "drfs cache %s", hex);
	seal_derive(repo->sec->chunk_secret, purpose, dst);
}

static struct seal_place cache_place(const struct repo *repo, enum object_kind kind, const struct id *id)
{
	return (struct seal_place){
		.cipher = repo->config.cipher, .kind = kind, .repository = repo->config.repository, .object = id};
}

bool object_cache_get(
	const struct repo *repo, struct catalog *catalog, enum object_kind kind, const struct id *id, struct buf *ret)
{
	char name[FORMAT_NAME_MAX];
	uint8_t key[FORMAT_KEY_LEN];
	struct buf kept = {0};
	if (!catalog)
		return false;
	object_name(kind, 0, id, name);
	bool ok = catalog_object_get(catalog, name, &kept, NULL) == 0 && kept.len >= SALT_LEN + FORMAT_TAG_LEN;
	if (ok) {
		struct seal_place place = cache_place(repo, kind, id);
		size_t sealed = kept.len - SALT_LEN;
		cache_key(repo, kept.data, key);
		buf_clear(ret);
		ok = buf_reserve(ret, sealed) &&
		     seal_open(key, &place, kept.data + SALT_LEN, sealed, ret->data, NULL) == 0;
		if (ok)
			ret->len = sealed - FORMAT_TAG_LEN;
		host_wipe(key, sizeof(key));
	}
	buf_release(&kept);
	return ok;
}

void object_cache_put(const struct repo *repo, struct catalog *catalog, enum object_kind kind, const struct id *id,
	const void *content, size_t len)
{
	char name[FORMAT_NAME_MAX];
	uint8_t key[FORMAT_KEY_LEN];
	struct buf kept = {0};
	if (!catalog || len > CACHED_MAX || !buf_reserve(&kept, SALT_LEN + len + FORMAT_TAG_LEN))
		return;
	struct seal_place place = cache_place(repo, kind, id);
	object_name(kind, 0, id, name);
	host_random(kept.data, SALT_LEN);
	cache_key(repo, kept.data, key);
	if (seal_bytes(key, &place, content, len, kept.data + SALT_LEN, NULL) == 0)
		catalog_object_put(catalog, name, kept.data, SALT_LEN + len + FORMAT_TAG_LEN, NULL);
	host_wipe(key, sizeof(key));
	buf_release(&kept);
}
