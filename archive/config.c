/* SPDX-License-Identifier: MIT */
#include "archive/config.h"

#include <sodium.h>
#include <string.h>

#include "archive/chunkref.h"
#include "base/host.h"

enum config_tag {
	CONFIG_REPOSITORY = TLV_CRITICAL | 1,
	CONFIG_CIPHER = TLV_CRITICAL | 2,
	CONFIG_HASH = TLV_CRITICAL | 3,
	CONFIG_TRAILER = TLV_CRITICAL | 4,
	CONFIG_CHUNK_MIN = TLV_CRITICAL | 5,
	CONFIG_CHUNK_AVG = TLV_CRITICAL | 6,
	CONFIG_CHUNK_MAX = TLV_CRITICAL | 7,
	CONFIG_SMALL_FILE = TLV_CRITICAL | 8,
	CONFIG_PACK_SIZE = TLV_CRITICAL | 9,
	CONFIG_SALT = TLV_CRITICAL | 10,
	CONFIG_ARGON_PASSES = TLV_CRITICAL | 11,
	CONFIG_ARGON_KIB = TLV_CRITICAL | 12,
	CONFIG_TAGS = 12,
};

enum {
	CHUNK_MIN_LEAST = 64,
	PACK_SIZE_LEAST = 64 << 10,
	PACK_SIZE_MOST = 1 << 30,
	ARGON_PASSES_MOST = 16,
	ARGON_KIB_LEAST = 8 << 10,
	ARGON_KIB_MOST = 1 << 20,
};

void config_draw(struct repo_config *ret_config)
{
	*ret_config = (struct repo_config){
		.cipher = seal_fastest_cipher(),
		.hash = seal_fastest_hash(),
		.trailer = seal_fastest_trailer(),
		.chunk_min = 512 << 10,
		.chunk_avg = 1 << 20,
		.chunk_max = 4 << 20,
		.small_file = 256 << 10,
		.pack_size = 32 << 20,
		.argon_passes = 3,
		.argon_kib = 64 << 10,
	};
	host_random(ret_config->repository, sizeof(ret_config->repository));
	host_random(ret_config->salt, sizeof(ret_config->salt));
}

int config_encode(const struct repo_config *config, struct buf *ret, struct error *err)
{
	struct object_header header = {
		.kind = KIND_CONFIG, .version = FORMAT_VERSION, .trailer = (uint8_t)config->trailer};
	buf_clear(ret);
	object_header_put(ret, &header);
	tlv_put(ret, CONFIG_REPOSITORY, config->repository, sizeof(config->repository));
	tlv_put_u64(ret, CONFIG_CIPHER, config->cipher);
	tlv_put_u64(ret, CONFIG_HASH, config->hash);
	tlv_put_u64(ret, CONFIG_TRAILER, config->trailer);
	tlv_put_u64(ret, CONFIG_CHUNK_MIN, config->chunk_min);
	tlv_put_u64(ret, CONFIG_CHUNK_AVG, config->chunk_avg);
	tlv_put_u64(ret, CONFIG_CHUNK_MAX, config->chunk_max);
	tlv_put_u64(ret, CONFIG_SMALL_FILE, config->small_file);
	tlv_put_u64(ret, CONFIG_PACK_SIZE, config->pack_size);
	tlv_put(ret, CONFIG_SALT, config->salt, sizeof(config->salt));
	tlv_put_u64(ret, CONFIG_ARGON_PASSES, config->argon_passes);
	tlv_put_u64(ret, CONFIG_ARGON_KIB, config->argon_kib);
	object_trailer_put(ret, config->trailer);
	return buf_failed(ret) ? error_no_memory(err, "'config'") : 0;
}

/* One field; a value of the wrong size fails its cursor. */
static int config_field(struct repo_config *config, uint16_t tag, struct cursor *value, struct error *err)
{
	switch (tag) {
	case CONFIG_REPOSITORY:
		cursor_copy(value, config->repository, sizeof(config->repository));
		return 0;
	case CONFIG_CIPHER:
		config->cipher = (enum cipher_kind)cursor_varint_max(value, UINT8_MAX);
		return 0;
	case CONFIG_HASH:
		config->hash = (enum hash_kind)cursor_varint_max(value, UINT8_MAX);
		return 0;
	case CONFIG_TRAILER:
		config->trailer = (enum trailer_kind)cursor_varint_max(value, UINT8_MAX);
		return 0;
	case CONFIG_CHUNK_MIN:
		config->chunk_min = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CONFIG_CHUNK_AVG:
		config->chunk_avg = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CONFIG_CHUNK_MAX:
		config->chunk_max = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CONFIG_SMALL_FILE:
		config->small_file = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CONFIG_PACK_SIZE:
		config->pack_size = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CONFIG_SALT:
		cursor_copy(value, config->salt, sizeof(config->salt));
		return 0;
	case CONFIG_ARGON_PASSES:
		config->argon_passes = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CONFIG_ARGON_KIB:
		config->argon_kib = (uint32_t)cursor_varint_max(value, UINT32_MAX);
		return 0;
	default:
		value->p = value->end;
		return tlv_unknown(tag, "config", err);
	}
}

/* Which of our fields a tag is, as a bit; 0 for another's. */
static unsigned config_bit(uint16_t tag)
{
	unsigned number = tag & ~(unsigned)TLV_CRITICAL;
	return (tag & TLV_CRITICAL) && number >= 1 && number <= CONFIG_TAGS ? 1u << (number - 1) : 0;
}

static int config_check(const struct repo_config *c, struct error *err)
{
	if (c->cipher != CIPHER_XCHACHA20_POLY1305 && c->cipher != CIPHER_AES_256_GCM)
		return error_set(err, ERR_UNSUPPORTED, "'config' names a cipher that this drfs does not know (%d)",
			(int)c->cipher);
	if (c->hash != HASH_BLAKE2B_256 && c->hash != HASH_HMAC_SHA256)
		return error_set(
			err, ERR_UNSUPPORTED, "'config' names a hash that this drfs does not know (%d)", (int)c->hash);
	if (c->trailer != TRAILER_BLAKE2B_256 && c->trailer != TRAILER_SHA256)
		return error_set(err, ERR_UNSUPPORTED,
			"'config' names a trailing hash that this drfs does not know (%d)", (int)c->trailer);
	bool chunks = c->chunk_min >= CHUNK_MIN_LEAST && c->chunk_avg / 2 >= c->chunk_min &&
		      c->chunk_avg <= c->chunk_max && c->chunk_max <= CHUNK_PLAIN_MAX &&
		      (c->chunk_avg & (c->chunk_avg - 1)) == 0 && c->small_file <= c->chunk_max;
	bool packs = c->pack_size >= PACK_SIZE_LEAST && c->pack_size <= PACK_SIZE_MOST;
	bool argon = c->argon_passes >= 1 && c->argon_passes <= ARGON_PASSES_MOST && c->argon_kib >= ARGON_KIB_LEAST &&
		     c->argon_kib <= ARGON_KIB_MOST;
	if (!chunks || !packs || !argon)
		return error_set(err, ERR_CORRUPT, "'config' holds %s out of bounds",
			!chunks  ? "chunk sizes"
			: !packs ? "a pack size"
				 : "passphrase parameters");
	return 0;
}

int config_decode(const void *data, size_t len, struct repo_config *ret_config, struct error *err)
{
	struct object_header header;
	struct repo_config config = {0};
	int rc = object_verify(data, len, KIND_CONFIG, "config", &header, err);
	if (rc != 0)
		return rc;
	struct cursor c =
		cursor_of((const uint8_t *)data + FORMAT_HEADER_LEN, len - FORMAT_HEADER_LEN - FORMAT_TRAILER_LEN);
	struct cursor value;
	unsigned seen = 0;
	uint16_t tag;
	while (tlv_next(&c, &tag, &value)) {
		unsigned bit = config_bit(tag);
		rc = config_field(&config, tag, &value, err);
		if (rc != 0)
			return rc;
		if ((seen & bit) != 0 || !cursor_done(&value))
			return error_set(err, ERR_CORRUPT, "'config' holds a field that is not well-formed (tag %u)",
				tag & ~(unsigned)TLV_CRITICAL);
		seen |= bit;
	}
	if (header.cipher != CIPHER_NONE || cursor_failed(&c) || seen != (1u << CONFIG_TAGS) - 1)
		return error_set(err, ERR_CORRUPT, "'config' is not whole");
	rc = config_check(&config, err);
	if (rc != 0)
		return rc;
	config.ro_unknown = header.ro_compat;
	crypto_generichash(config.hash_of_config.b, sizeof(config.hash_of_config.b), data, len, NULL, 0);
	*ret_config = config;
	return 0;
}
