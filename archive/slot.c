/* SPDX-License-Identifier: MIT */
#include "archive/slot.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"

enum slot_tag {
	SLOT_TAG_ID = TLV_CRITICAL | 1,
	SLOT_TAG_KIND = TLV_CRITICAL | 2,
	SLOT_TAG_CONFIG_HASH = TLV_CRITICAL | 3,
};

enum {
	SLOT_PAD = 512,              /* sealed parts are whole multiples: sizes tell nothing of labels and rights */
	SLOT_SECRETS_ROOM = 8 << 10, /* more than secrets can take; see slot_secrets_put() */
	SLOT_PURPOSE_MAX = ID_HEX_MAX + 16,
};

static int slot_public(struct cursor *c, struct slot_view *view, struct error *err)
{
	struct cursor value;
	unsigned seen = 0;
	uint16_t tag;
	while (tlv_next(c, &tag, &value)) {
		int rc = 0;
		unsigned bit = 0;
		if (tag == SLOT_TAG_ID) {
			bit = 1;
			cursor_copy(&value, view->id.b, sizeof(view->id.b));
		} else if (tag == SLOT_TAG_KIND) {
			bit = 2;
			view->kind = (enum slot_kind)cursor_varint_max(&value, UINT8_MAX);
		} else if (tag == SLOT_TAG_CONFIG_HASH) {
			bit = 4;
			cursor_copy(&value, view->config_hash.b, sizeof(view->config_hash.b));
		} else {
			value.p = value.end;
			rc = tlv_unknown(tag, "a key slot", err);
		}
		if (rc != 0)
			return rc;
		if ((seen & bit) != 0 || !cursor_done(&value))
			return error_set(err, ERR_CORRUPT, "a field of a key slot is not well-formed");
		seen |= bit;
	}
	if (cursor_failed(c) || seen != 7)
		return error_set(err, ERR_CORRUPT, "the public part of a key slot is not whole");
	return 0;
}

/* A u32 length and as many bytes. */
static struct cursor slot_part(struct cursor *c, size_t max)
{
	size_t len = cursor_u32(c);
	const uint8_t *p = cursor_bytes(c, len > max ? SIZE_MAX : len);
	struct cursor part = cursor_of(p, p ? len : 0);
	part.failed = !p;
	return part;
}

int slot_parse(const void *data, size_t len, const struct id *id, struct slot_view *ret_view, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	struct object_header header;
	struct slot_view view = {.object = data};
	object_name(KIND_SLOT, 0, id, name);
	int rc = len > SLOT_OBJECT_MAX ? error_set(err, ERR_CORRUPT, "'%s' is too large for a key slot", name)
				       : object_verify(data, len, KIND_SLOT, name, &header, err);
	if (rc != 0)
		return rc;
	struct cursor c = cursor_of(view.object + FORMAT_HEADER_LEN, len - FORMAT_HEADER_LEN - FORMAT_TRAILER_LEN);
	struct cursor public = slot_part(&c, SLOT_SEALED_MAX);
	struct cursor secrets = slot_part(&c, SLOT_SEALED_MAX);
	struct cursor card = slot_part(&c, SLOT_SEALED_MAX);
	const uint8_t *signature = cursor_bytes(&c, SEAL_SIGNATURE_LEN);
	if (!cursor_done(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is not well-formed", name);
	rc = slot_public(&public, &view, err);
	if (rc != 0)
		return error_wrap(err, rc, "'%s'", name);
	if (!id_equal(&view.id, id))
		return error_set(err, ERR_CORRUPT, "'%s' holds another key slot", name);
	view.cipher = (enum cipher_kind)header.cipher;
	view.secrets_at = (uint64_t)(secrets.p - view.object);
	view.secrets_len = cursor_left(&secrets);
	view.card_at = (uint64_t)(card.p - view.object);
	view.card_len = cursor_left(&card);
	view.signature_at = (uint64_t)(signature - view.object);
	*ret_view = view;
	return 0;
}

enum slot_kind slot_unlock_kind(const struct repo_unlock *unlock)
{
	return unlock->key ? SLOT_KEY_FILE : SLOT_PASSPHRASE;
}

int slot_kek(const struct repo_config *config, const struct repo_unlock *unlock, uint8_t ret_kek[static FORMAT_KEY_LEN],
	struct error *err)
{
	uint8_t stretched[FORMAT_KEY_LEN];
	if (unlock->key) {
		seal_derive(unlock->key, "drfs slot kek", ret_kek);
		return 0;
	}
	if (!unlock->passphrase)
		return error_set(err, ERR_USAGE, "neither a passphrase nor a key file is given");
	if (crypto_pwhash(stretched, sizeof(stretched), unlock->passphrase, strlen(unlock->passphrase), config->salt,
		    config->argon_passes, (size_t)config->argon_kib << 10, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return error_set(err, ERR_NO_MEMORY,
			"stretching the passphrase takes %u MiB of memory, which are not there",
			config->argon_kib >> 10);
	host_trim();
	seal_derive(stretched, "drfs slot kek", ret_kek);
	host_wipe(stretched, sizeof(stretched));
	return 0;
}

/* The key of one sealed part of one slot: a key-encrypting key serves many slots, its derivations one each. */
static void part_key(const uint8_t key[static FORMAT_KEY_LEN], const char *part, const struct id *slot,
	uint8_t dst[static FORMAT_KEY_LEN])
{
	char hex[ID_HEX_MAX], purpose[SLOT_PURPOSE_MAX];
	id_hex(slot, hex);
	snprintf(purpose, sizeof(purpose), "drfs %s %s", part, hex);
	seal_derive(key, purpose, dst);
}

/* Opens a part into guarded memory; *ret_content is a cursor over its TLV, in *ret_plain. */
static int part_open(const struct slot_view *view, const struct repo_config *config,
	const uint8_t key[static FORMAT_KEY_LEN], uint64_t at, size_t len, void **ret_plain, struct cursor *ret_content,
	struct error *err)
{
	struct seal_place place = {.cipher = view->cipher,
		.kind = KIND_SLOT,
		.repository = config->repository,
		.object = &view->id,
		.offset = at};
	if (len < FORMAT_TAG_LEN + 4)
		return error_set(err, ERR_CORRUPT, "a sealed part of a key slot is cut off");
	void *plain = host_secret_alloc(len - FORMAT_TAG_LEN);
	if (!plain)
		return error_no_memory(err, "a key slot");
	int rc = seal_open(key, &place, view->object + at, len, plain, err);
	struct cursor c = cursor_of(plain, len - FORMAT_TAG_LEN);
	size_t content = rc == 0 ? cursor_u32(&c) : 0;
	if (rc == 0 && content > cursor_left(&c))
		rc = error_set(err, ERR_CORRUPT, "a sealed part of a key slot is not well-formed");
	if (rc != 0) {
		host_secret_free(plain);
		return rc;
	}
	*ret_content = cursor_of(c.p, content);
	*ret_plain = plain;
	return 0;
}

static bool root_signed(const struct slot_view *view, const struct repo_config *config, const struct repo_secrets *sec)
{
	return id_equal(&view->config_hash, &config->hash_of_config) &&
	       seal_verify(sec->root_public, KIND_SLOT, config->repository, view->object, (size_t)view->signature_at,
		       view->object + view->signature_at);
}

int slot_open_secrets(const struct slot_view *view, const struct repo_config *config,
	const uint8_t kek[static FORMAT_KEY_LEN], struct repo_secrets *ret_sec, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct cursor content;
	void *plain = NULL;
	part_key(kek, "slot", &view->id, key);
	int rc = part_open(view, config, key, view->secrets_at, view->secrets_len, &plain, &content, err);
	host_wipe(key, sizeof(key));
	if (rc == ERR_CORRUPT) {
		error_clear(err);
		return error_set(err, ERR_PASSPHRASE, "the key slot does not open with what was given");
	}
	if (rc != 0)
		return rc;
	rc = slot_secrets_read(&content, config, ret_sec, err);
	if (rc == 0 && !root_signed(view, config, ret_sec))
		rc = error_set(err, ERR_CORRUPT, "the key slot opens, but is not signed by the repository's root key");
	host_secret_free(plain);
	return rc;
}

int slot_open_card(const struct slot_view *view, const struct repo_config *config, const struct repo_secrets *sec,
	struct slot_card **ret_card, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct cursor content;
	void *plain = NULL;
	if (!root_signed(view, config, sec))
		return error_set(err, ERR_CORRUPT, "the key slot is not signed by the repository's root key");
	part_key(sec->card_key, "card", &view->id, key);
	int rc = part_open(view, config, key, view->card_at, view->card_len, &plain, &content, err);
	host_wipe(key, sizeof(key));
	if (rc != 0)
		return rc;
	rc = slot_card_read(&content, ret_card, err);
	if (rc == 0) {
		(*ret_card)->id = view->id;
		(*ret_card)->kind = view->kind;
	}
	host_secret_free(plain);
	return rc;
}

/*
 * Appends u32 length and the sealed form of what `plain` holds from 4 on; its first four bytes are the room for the
 * content's length.
 */
static int part_seal(struct buf *ret, const struct repo_config *config, const uint8_t key[static FORMAT_KEY_LEN],
	const struct id *slot, struct buf *plain, struct error *err)
{
	size_t content = plain->len - 4;
	buf_put_zeros(plain, (SLOT_PAD - plain->len % SLOT_PAD) % SLOT_PAD);
	if (buf_failed(plain) || plain->len > SLOT_SEALED_MAX - FORMAT_TAG_LEN)
		return error_set(err, buf_failed(plain) ? ERR_NO_MEMORY : ERR_USAGE,
			"a key slot cannot hold that many names of datasets");
	for (unsigned i = 0; i < 4; i++)
		plain->data[i] = (uint8_t)(content >> (8 * i));
	buf_put_u32(ret, (uint32_t)(plain->len + FORMAT_TAG_LEN));
	struct seal_place place = {.cipher = config->cipher,
		.kind = KIND_SLOT,
		.repository = config->repository,
		.object = slot,
		.offset = ret->len};
	if (!buf_reserve(ret, plain->len + FORMAT_TAG_LEN))
		return error_no_memory(err, "a key slot");
	int rc = seal_bytes(key, &place, plain->data, plain->len, ret->data + ret->len, err);
	if (rc == 0)
		ret->len += plain->len + FORMAT_TAG_LEN;
	return rc;
}

static void slot_public_put(struct buf *ret, const struct repo_config *config, const struct slot_card *card)
{
	struct object_header header = {.kind = KIND_SLOT,
		.version = FORMAT_VERSION,
		.trailer = (uint8_t)config->trailer,
		.cipher = (uint8_t)config->cipher};
	struct buf public = {0};
	object_header_put(ret, &header);
	tlv_put(&public, SLOT_TAG_ID, card->id.b, sizeof(card->id.b));
	tlv_put_u64(&public, SLOT_TAG_KIND, card->kind);
	tlv_put(&public, SLOT_TAG_CONFIG_HASH, config->hash_of_config.b, sizeof(config->hash_of_config.b));
	buf_put_u32(ret, (uint32_t) public.len);
	buf_put(ret, public.data, public.len);
	ret->failed |= buf_failed(&public);
	buf_release(&public);
}

static int slot_sign(
	const struct repo_config *config, const struct repo_secrets *sec, struct buf *ret, struct error *err)
{
	uint8_t signature[SEAL_SIGNATURE_LEN];
	int rc = buf_failed(ret) ? error_no_memory(err, "a key slot")
				 : seal_sign(sec->root_secret, KIND_SLOT, config->repository, ret->data, ret->len,
					   signature, err);
	if (rc != 0)
		return rc;
	buf_put(ret, signature, sizeof(signature));
	object_trailer_put(ret, config->trailer);
	return buf_failed(ret) ? error_no_memory(err, "a key slot") : 0;
}

int slot_seal(const struct repo_config *config, const uint8_t kek[static FORMAT_KEY_LEN],
	const struct repo_secrets *sec, const struct slot_card *card, struct buf *ret, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct buf secrets = {0}, public = {0};
	buf_clear(ret);
	slot_public_put(ret, config, card);
	buf_reserve(&secrets, SLOT_SECRETS_ROOM);
	buf_put_zeros(&secrets, 4);
	slot_secrets_put(&secrets, config, sec, (card->rights & RIGHT_KEYS) != 0);
	part_key(kek, "slot", &card->id, key);
	int rc = part_seal(ret, config, key, &card->id, &secrets, err);
	if (rc == 0) {
		buf_put_zeros(&public, 4);
		slot_card_put(&public, card);
		part_key(sec->card_key, "card", &card->id, key);
		rc = part_seal(ret, config, key, &card->id, &public, err);
	}
	if (rc == 0)
		rc = slot_sign(config, sec, ret, err);
	host_wipe(key, sizeof(key));
	buf_wipe(&secrets);
	buf_release(&public);
	return rc;
}
