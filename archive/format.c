/* SPDX-License-Identifier: MIT */
#include "archive/format.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/host.h"

static const uint8_t format_magic[4] = {'d', 'r', 'f', 's'};

/* Sets of flags that this version knows: none yet. */
static const uint64_t format_known_incompat = 0;

bool id_equal(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}
int id_compare(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool id_is_zero(const struct id *id)
{
	static const struct id zero;
	return id_equal(id, &zero);
}

void id_hex(const struct id *id, char dst[static ID_HEX_MAX])
{
	hex_encode(id->b, sizeof(id->b), dst);
}

bool id_parse(const char *hex, struct id *ret_id)
{
	struct id id;
	if (strnlen(hex, ID_HEX_MAX) != ID_HEX_MAX - 1 || !hex_decode(hex, sizeof(id.b), id.b))
		return false;
	*ret_id = id;
	return true;
}

void object_header_put(struct buf *b, const struct object_header *h)
{
	buf_put(b, format_magic, sizeof(format_magic));
	buf_put_u8(b, h->kind);
	buf_put_u8(b, h->version);
	buf_put_u8(b, h->trailer);
	buf_put_u8(b, h->cipher);
	buf_put_u64(b, h->incompat);
	buf_put_u64(b, h->ro_compat);
	buf_put_u64(b, h->compat);
}

/* Takes the fields apart; only a short or foreign beginning is an error here. */
static int header_read(const void *data, size_t len, const char *name, struct object_header *ret, struct error *err)
{
	struct cursor c = cursor_of(data, len);
	const uint8_t *magic = cursor_bytes(&c, sizeof(format_magic));
	if (!magic || memcmp(magic, format_magic, sizeof(format_magic)) != 0)
		return error_set(err, ERR_CORRUPT, "'%s' is no drfs object", name);
	struct object_header h = {.kind = cursor_u8(&c), .version = cursor_u8(&c)};
	h.trailer = cursor_u8(&c);
	h.cipher = cursor_u8(&c);
	h.incompat = cursor_u64(&c);
	h.ro_compat = cursor_u64(&c);
	h.compat = cursor_u64(&c);
	if (cursor_failed(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is cut off in its header", name);
	*ret = h;
	return 0;
}

static int header_judge(const struct object_header *h, int kind, const char *name, struct error *err)
{
	if (kind != 0 && h->kind != kind)
		return error_set(err, ERR_CORRUPT, "'%s' is an object of kind %u where one of kind %d should be", name,
			h->kind, kind);
	if (h->version == 0)
		return error_set(err, ERR_CORRUPT, "'%s' has format version 0, which never was", name);
	if (h->version > FORMAT_VERSION)
		return error_set(err, ERR_UNSUPPORTED,
			"'%s' has format version %u, this drfs reads up to %d: use a newer drfs", name, h->version,
			FORMAT_VERSION);
	uint64_t unknown = h->incompat & ~format_known_incompat;
	if (unknown != 0)
		return error_set(err, ERR_UNSUPPORTED,
			"'%s' needs features that this drfs does not have (flags %llx): use a newer drfs", name,
			(unsigned long long)unknown);
	if (h->trailer != TRAILER_BLAKE2B_256 && h->trailer != TRAILER_SHA256)
		return error_set(err, ERR_UNSUPPORTED, "'%s' has a trailing hash of unknown kind %u", name, h->trailer);
	if (h->cipher > CIPHER_AES_256_GCM)
		return error_set(err, ERR_UNSUPPORTED, "'%s' is sealed by an unknown cipher %u", name, h->cipher);
	return 0;
}

int object_header_parse(
	const void *data, size_t len, int kind, const char *name, struct object_header *ret, struct error *err)
{
	struct object_header h;
	int rc = header_read(data, len, name, &h, err);
	if (rc == 0)
		rc = header_judge(&h, kind, name, err);
	if (rc == 0)
		*ret = h;
	return rc;
}

struct trailer_hash {
	enum trailer_kind kind;
	crypto_generichash_state blake2b;
	EVP_MD_CTX *sha256;
};

struct trailer_hash *trailer_hash_new(enum trailer_kind trailer)
{
	if (trailer != TRAILER_BLAKE2B_256 && trailer != TRAILER_SHA256)
		return NULL;
	/* libsodium's state wants 64-byte alignment. */
	struct trailer_hash *h = NULL;
	if (posix_memalign((void **)&h, 64, sizeof(*h)) != 0)
		return NULL;
	*h = (struct trailer_hash){.kind = trailer};
	if (trailer == TRAILER_BLAKE2B_256) {
		crypto_generichash_init(&h->blake2b, NULL, 0, FORMAT_TRAILER_LEN);
		return h;
	}
	h->sha256 = EVP_MD_CTX_new();
	if (!h->sha256 || EVP_DigestInit_ex(h->sha256, EVP_sha256(), NULL) != 1) {
		trailer_hash_free(h);
		return NULL;
	}
	return h;
}

void trailer_hash_update(struct trailer_hash *h, const void *data, size_t len)
{
	if (h->kind == TRAILER_BLAKE2B_256)
		crypto_generichash_update(&h->blake2b, data, len);
	else
		EVP_DigestUpdate(h->sha256, data, len);
}

void trailer_hash_final(struct trailer_hash *h, uint8_t dst[static FORMAT_TRAILER_LEN])
{
	if (h->kind == TRAILER_BLAKE2B_256)
		crypto_generichash_final(&h->blake2b, dst, FORMAT_TRAILER_LEN);
	else
		EVP_DigestFinal_ex(h->sha256, dst, NULL);
}

void trailer_hash_free(struct trailer_hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->sha256);
	free(h);
}

static bool trailer_of(enum trailer_kind trailer, const void *data, size_t len, uint8_t dst[static FORMAT_TRAILER_LEN])
{
	switch (trailer) {
	case TRAILER_BLAKE2B_256:
		return crypto_generichash(dst, FORMAT_TRAILER_LEN, data, len, NULL, 0) == 0;
	case TRAILER_SHA256:
		return EVP_Digest(data, len, dst, NULL, EVP_sha256(), NULL) == 1;
	default:
		return false;
	}
}

void object_trailer_put(struct buf *b, enum trailer_kind trailer)
{
	uint8_t hash[FORMAT_TRAILER_LEN];
	if (buf_failed(b))
		return;
	if (trailer_of(trailer, b->data, b->len, hash))
		buf_put(b, hash, sizeof(hash));
	else
		b->failed = true;
}

int object_verify(
	const void *data, size_t len, int kind, const char *name, struct object_header *ret, struct error *err)
{
	struct object_header h;
	uint8_t hash[FORMAT_TRAILER_LEN];
	int rc = header_read(data, len, name, &h, err);
	if (rc != 0)
		return rc;
	if (len < FORMAT_HEADER_LEN + FORMAT_TRAILER_LEN)
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", name);
	/*
	 * The envelope is the same in every version, so the hash is looked at
	 * before anything in the header is believed: a flipped version byte is
	 * damage, not a newer drfs.
	 */
	bool known = h.trailer == TRAILER_BLAKE2B_256 || h.trailer == TRAILER_SHA256;
	if (known && !trailer_of((enum trailer_kind)h.trailer, data, len - FORMAT_TRAILER_LEN, hash))
		return error_no_memory(err, "a trailing hash");
	const uint8_t *stored = (const uint8_t *)data + len - FORMAT_TRAILER_LEN;
	if (known && memcmp(hash, stored, sizeof(hash)) != 0)
		return error_set(err, ERR_CORRUPT, "'%s' is damaged: its trailing hash does not fit%s", name,
			h.version > FORMAT_VERSION ? " (or a newer drfs wrote it)" : "");
	rc = header_judge(&h, kind, name, err);
	if (rc == 0)
		*ret = h;
	return rc;
}

static const char *kind_prefix(enum object_kind kind)
{
	switch (kind) {
	case KIND_CONFIG:
		return "config";
	case KIND_SLOT:
		return "keys/";
	case KIND_DATA_PACK:
	case KIND_TREE_PACK:
		return "packs/";
	case KIND_WRAP:
		return "wraps/";
	case KIND_INDEX:
		return "index/";
	case KIND_SNAPSHOT:
		return "snapshots/";
	case KIND_SUMMARY:
		return "summaries/";
	case KIND_MARK:
		return "marks/";
	case KIND_SESSION:
		return "sessions/";
	case KIND_CONDEMNED:
	case KIND_VERDICT:
		return "prune/";
	}
	return "";
}

void object_name(enum object_kind kind, uint32_t generation, const struct id *id, char dst[static FORMAT_NAME_MAX])
{
	char hex[ID_HEX_MAX] = "";
	const char *prefix = kind_prefix(kind);
	if (id)
		id_hex(id, hex);
	if (kind == KIND_DATA_PACK || kind == KIND_TREE_PACK)
		snprintf(dst, FORMAT_NAME_MAX, "%s%.2s/%s", prefix, hex, hex);
	else if (kind == KIND_WRAP)
		snprintf(dst, FORMAT_NAME_MAX, "%s%u/%.2s/%s", prefix, generation, hex, hex);
	else if (kind == KIND_CONDEMNED || kind == KIND_VERDICT)
		snprintf(dst, FORMAT_NAME_MAX, "%s%u.%s", prefix, generation,
			kind == KIND_CONDEMNED ? "condemned" : "verdict");
	else
		snprintf(dst, FORMAT_NAME_MAX, "%s%s", prefix, kind == KIND_CONFIG ? "" : hex);
}

bool object_name_parse(const char *name, const char *prefix, struct id *ret_id)
{
	size_t prefix_len = strlen(prefix);
	if (strncmp(name, prefix, prefix_len) != 0)
		return false;
	const char *rest = name + prefix_len;
	bool folders = strncmp(prefix, "packs/", 6) == 0 || strncmp(prefix, "wraps/", 6) == 0;
	if (!folders)
		return id_parse(rest, ret_id);
	/* Prefixes may reach into the folder of two digits ("packs/ab/"); then the name alone must still agree with it.
	 */
	const char *slash = strrchr(name, '/');
	if (!slash || slash - name < 3 || slash[-3] != '/' || strncmp(slash - 2, slash + 1, 2) != 0)
		return false;
	if (rest != slash + 1 && rest != slash - 2)
		return false;
	return id_parse(slash + 1, ret_id);
}

uint64_t format_padme(uint64_t len)
{
	if (len < 2)
		return len;
	unsigned exponent = 63u - (unsigned)__builtin_clzll(len);
	if (exponent == 0)
		return len;
	unsigned kept = 32u - (unsigned)__builtin_clz(exponent);
	if (kept >= exponent)
		return len;
	uint64_t mask = (UINT64_C(1) << (exponent - kept)) - 1;
	return len > UINT64_MAX - mask ? len : (len + mask) & ~mask;
}
