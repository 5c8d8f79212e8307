/* SPDX-License-Identifier: MIT */
#include "archive/proofs.h"

#include <sodium.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/host.h"
#include "catalog/catalog.h"

enum { SALT_LEN = 16, PROOFS_MAX = 20000 };

static void proofs_name(const struct repo *repo, char dst[static FORMAT_NAME_MAX])
{
	char hex[ID_HEX_MAX];
	id_hex(&repo->own->id, hex);
	snprintf(dst, FORMAT_NAME_MAX, "proofs/%s", hex);
}

/* From the slot's signing key, which nobody else has; a salt makes every sealing's key a fresh one. */
static void proofs_key(const struct repo *repo, const uint8_t salt[static SALT_LEN], uint8_t dst[static FORMAT_KEY_LEN])
{
	char hex[2 * SALT_LEN + 1], purpose[sizeof("drfs proofs ") + 2 * SALT_LEN];
	hex_encode(salt, SALT_LEN, hex);
	snprintf(purpose, sizeof(purpose), "drfs proofs %s", hex);
	seal_derive(repo->sec->sign_secret, purpose, dst);
}

static struct seal_place proofs_place(const struct repo *repo)
{
	return (struct seal_place){.cipher = repo->config.cipher,
		.kind = KIND_SLOT,
		.repository = repo->config.repository,
		.object = &repo->own->id};
}

void proofs_load(struct proofs *p, const struct repo *repo, struct catalog *catalog)
{
	char name[FORMAT_NAME_MAX];
	uint8_t key[FORMAT_KEY_LEN];
	struct buf kept = {0};
	*p = (struct proofs){0};
	pthread_mutex_init(&p->lock, NULL);
	if (!catalog)
		return;
	proofs_name(repo, name);
	if (catalog_object_get(catalog, name, &kept, NULL) == 0 && kept.len >= SALT_LEN + FORMAT_TAG_LEN) {
		struct seal_place place = proofs_place(repo);
		size_t sealed = kept.len - SALT_LEN;
		uint8_t *body = kept.data + SALT_LEN;
		proofs_key(repo, kept.data, key);
		if (seal_open(key, &place, body, sealed, body, NULL) == 0 &&
			!id_list_unpack(&p->known, body, sealed - FORMAT_TAG_LEN))
			id_list_release(&p->known);
		id_list_sort(&p->known);
		host_wipe(key, sizeof(key));
	}
	buf_release(&kept);
}

void proofs_hash(enum object_kind kind, const struct signed_view *view,
	const uint8_t public_key[static SEAL_PUBLIC_LEN], struct id *ret_hash)
{
	crypto_generichash_state state;
	uint8_t kind_byte = (uint8_t)kind;
	crypto_generichash_init(&state, NULL, 0, sizeof(ret_hash->b));
	crypto_generichash_update(&state, &kind_byte, 1);
	crypto_generichash_update(&state, public_key, SEAL_PUBLIC_LEN);
	crypto_generichash_update(&state, view->signature, SEAL_SIGNATURE_LEN);
	crypto_generichash_update(&state, view->data, view->len);
	crypto_generichash_final(&state, ret_hash->b, sizeof(ret_hash->b));
}

bool proofs_has(const struct proofs *p, const struct id *hash)
{
	return id_list_has(&p->known, hash);
}

void proofs_note(struct proofs *p, const struct id *hash)
{
	pthread_mutex_lock(&p->lock);
	id_list_add(&p->fresh, hash);
	pthread_mutex_unlock(&p->lock);
}

static void put(struct proofs *p, const struct repo *repo, struct catalog *catalog)
{
	char name[FORMAT_NAME_MAX];
	uint8_t key[FORMAT_KEY_LEN];
	struct buf kept = {0};
	struct seal_place place = proofs_place(repo);
	size_t len = p->fresh.count * sizeof(struct id);
	if (!buf_reserve(&kept, SALT_LEN + len + FORMAT_TAG_LEN))
		return;
	proofs_name(repo, name);
	host_random(kept.data, SALT_LEN);
	proofs_key(repo, kept.data, key);
	if (seal_bytes(key, &place, p->fresh.ids, len, kept.data + SALT_LEN, NULL) == 0)
		catalog_object_put(catalog, name, kept.data, SALT_LEN + len + FORMAT_TAG_LEN, NULL);
	host_wipe(key, sizeof(key));
	buf_release(&kept);
}

void proofs_save(struct proofs *p, const struct repo *repo, struct catalog *catalog)
{
	if (catalog && p->fresh.count > 0) {
		/* When there are very many, old ones go: they are checked again when they are met. */
		if (p->known.count + p->fresh.count <= PROOFS_MAX)
			id_list_add_all(&p->fresh, p->known.ids, p->known.count);
		id_list_sort(&p->fresh);
		if (p->fresh.count <= PROOFS_MAX)
			put(p, repo, catalog);
	}
	id_list_release(&p->known);
	id_list_release(&p->fresh);
	pthread_mutex_destroy(&p->lock);
}
