/* SPDX-License-Identifier: MIT */
#include "archive/snapshot_void.h"

#include <stdio.h>

#include "archive/object_part.h"
#include "archive/snapshot.h"
#include "base/host.h"

static void void_key(
	const uint8_t key[static FORMAT_KEY_LEN], const struct id *slot, uint8_t dst[static FORMAT_KEY_LEN])
{
	char hex[ID_HEX_MAX], purpose[sizeof("drfs void ") + ID_HEX_MAX];
	id_hex(slot, hex);
	snprintf(purpose, sizeof(purpose), "drfs void %s", hex);
	seal_derive(key, purpose, dst);
}

int snapshot_void_seal(const struct repo *repo, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN],
	struct buf *ret, struct error *err)
{
	uint8_t own[FORMAT_KEY_LEN];
	struct buf content = {0};
	int rc = snapshot_encode_void(repo, id, &content, err);
	void_key(key, &repo->own->id, own);
	if (rc == 0)
		rc = object_seal(repo, KIND_SNAPSHOT, id, own, content.data, content.len, ret, err);
	host_wipe(own, sizeof(own));
	buf_release(&content);
	return rc;
}

static int open_by(const struct signers *signers, const struct slot_card *card, const struct id *id,
	const uint8_t key[static FORMAT_KEY_LEN], const struct buf *object, struct buf *ret, struct error *err)
{
	uint8_t own[FORMAT_KEY_LEN];
	void_key(key, &card->id, own);
	int rc = object_unseal(signers->repo, KIND_SNAPSHOT, id, own, object->data, object->len, ret, err);
	host_wipe(own, sizeof(own));
	return rc;
}

int snapshot_void_open(const struct signers *signers, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN],
	const void *object, size_t len, struct buf *ret, struct error *err)
{
	const struct repo *repo = signers->repo;
	const struct buf whole = {.data = (uint8_t *)object, .len = len};
	for (unsigned i = 0; i < repo->slot_count; i++)
		if (open_by(signers, repo->slots[i], id, key, &whole, ret, NULL) == 0)
			return 0;
	for (unsigned i = 0; i < signers->fresh_count; i++)
		if (open_by(signers, signers->fresh[i], id, key, &whole, ret, NULL) == 0)
			return 0;
	for (size_t i = 0; i < signers->revoked_count; i++)
		if (open_by(signers, signers->revoked[i].card, id, key, &whole, ret, NULL) == 0)
			return 0;
	return error_set(err, ERR_CORRUPT, "this is no void that a known key slot made");
}

int snapshot_void_get(
	struct repo *repo, const struct signers *signers, const struct id *id, struct buf *ret, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	uint8_t key[FORMAT_KEY_LEN];
	struct buf object = {0};
	object_name(KIND_SNAPSHOT, 0, id, name);
	int rc = object_get_key(repo, KIND_SNAPSHOT, id, key, err);
	if (rc == 0)
		rc = store_get_all(repo->store, NULL, name, OBJECT_STORED_MAX, &object, err);
	if (rc == 0)
		rc = snapshot_void_open(signers, id, key, object.data, object.len, ret, err);
	host_wipe(key, sizeof(key));
	buf_release(&object);
	return rc;
}
