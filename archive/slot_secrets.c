/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "archive/slot.h"
#include "base/host.h"

enum secret_tag {
	SECRET_CONFIG_HASH = TLV_CRITICAL | 1,
	SECRET_ROOT_PUBLIC = TLV_CRITICAL | 2,
	SECRET_SIGN = TLV_CRITICAL | 3,
	SECRET_CHUNK = TLV_CRITICAL | 4,
	SECRET_GEAR = TLV_CRITICAL | 5,
	SECRET_WRAP = TLV_CRITICAL | 6, /* once a generation, oldest first: u32 generation, public key, secret key */
	SECRET_ROOT = TLV_CRITICAL | 7, /* only with the right to keys */
};

/* What every slot must hold: bits by tag number. */
enum { SECRETS_NEEDED = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 };

void slot_derive_keys(struct repo_secrets *sec)
{
	seal_derive(sec->chunk_secret, "drfs chunk id", sec->chunk_id_key);
	seal_derive(sec->chunk_secret, "drfs node id", sec->node_id_key);
	seal_derive(sec->chunk_secret, "drfs node cut", sec->node_cut_key);
	seal_derive(sec->chunk_secret, "drfs content", sec->content_key);
	seal_derive(sec->chunk_secret, "drfs slot card", sec->card_key);
	seal_derive(sec->gear_secret, "drfs gear", sec->gear_key);
}

void slot_secrets_put(struct buf *b, const struct repo_config *config, const struct repo_secrets *sec, bool with_root)
{
	tlv_put(b, SECRET_CONFIG_HASH, config->hash_of_config.b, sizeof(config->hash_of_config.b));
	tlv_put(b, SECRET_ROOT_PUBLIC, sec->root_public, sizeof(sec->root_public));
	tlv_put(b, SECRET_SIGN, sec->sign_secret, sizeof(sec->sign_secret));
	tlv_put(b, SECRET_CHUNK, sec->chunk_secret, sizeof(sec->chunk_secret));
	tlv_put(b, SECRET_GEAR, sec->gear_secret, sizeof(sec->gear_secret));
	for (unsigned i = 0; i < sec->wrap_count; i++) {
		const struct wrap_key *w = &sec->wraps[i];
		buf_put_u16(b, SECRET_WRAP);
		buf_put_varint(b, 4 + sizeof(w->public_key) + sizeof(w->secret_key));
		buf_put_u32(b, w->generation);
		buf_put(b, w->public_key, sizeof(w->public_key));
		buf_put(b, w->secret_key, sizeof(w->secret_key));
	}
	if (with_root)
		tlv_put(b, SECRET_ROOT, sec->root_secret, sizeof(sec->root_secret));
}

/* Generations ascend, so that the last is the current one. */
static void read_wrap(struct cursor *value, struct repo_secrets *sec)
{
	uint32_t generation = cursor_u32(value);
	if (sec->wrap_count == SLOT_WRAPS_MAX ||
		(sec->wrap_count > 0 && generation <= sec->wraps[sec->wrap_count - 1].generation)) {
		value->failed = true;
		return;
	}
	struct wrap_key *w = &sec->wraps[sec->wrap_count++];
	w->generation = generation;
	cursor_copy(value, w->public_key, sizeof(w->public_key));
	cursor_copy(value, w->secret_key, sizeof(w->secret_key));
}

static int secret_field(
	struct repo_secrets *sec, uint16_t tag, struct cursor *value, struct id *config_hash, struct error *err)
{
	switch (tag) {
	case SECRET_CONFIG_HASH:
		cursor_copy(value, config_hash->b, sizeof(config_hash->b));
		return 0;
	case SECRET_ROOT_PUBLIC:
		cursor_copy(value, sec->root_public, sizeof(sec->root_public));
		return 0;
	case SECRET_SIGN:
		cursor_copy(value, sec->sign_secret, sizeof(sec->sign_secret));
		return 0;
	case SECRET_CHUNK:
		cursor_copy(value, sec->chunk_secret, sizeof(sec->chunk_secret));
		return 0;
	case SECRET_GEAR:
		cursor_copy(value, sec->gear_secret, sizeof(sec->gear_secret));
		return 0;
	case SECRET_WRAP:
		read_wrap(value, sec);
		return 0;
	case SECRET_ROOT:
		cursor_copy(value, sec->root_secret, sizeof(sec->root_secret));
		return 0;
	default:
		value->p = value->end;
		return tlv_unknown(tag, "a key slot", err);
	}
}

int slot_secrets_read(
	struct cursor *c, const struct repo_config *config, struct repo_secrets *ret_sec, struct error *err)
{
	struct id config_hash = {0};
	struct cursor value;
	unsigned seen = 0;
	uint16_t tag;
	host_wipe(ret_sec, sizeof(*ret_sec));
	while (tlv_next(c, &tag, &value)) {
		unsigned number = tag & ~(unsigned)TLV_CRITICAL;
		int rc = secret_field(ret_sec, tag, &value, &config_hash, err);
		if (rc != 0)
			return rc;
		bool known = (tag & TLV_CRITICAL) && number <= 7;
		bool again = known && tag != SECRET_WRAP && (seen & 1u << number);
		if (!cursor_done(&value) || again)
			return error_set(
				err, ERR_CORRUPT, "the secrets hold a field that is not well-formed (tag %u)", number);
		if (known)
			seen |= 1u << number;
	}
	if (cursor_failed(c) || (seen & SECRETS_NEEDED) != SECRETS_NEEDED)
		return error_set(err, ERR_CORRUPT, "the secrets are not whole");
	if (!id_equal(&config_hash, &config->hash_of_config))
		return error_set(err, ERR_CORRUPT,
			"'config' is not the one that the repository was made with: someone exchanged it");
	slot_derive_keys(ret_sec);
	return 0;
}
