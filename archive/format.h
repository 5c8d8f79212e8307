/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_FORMAT_H
#define ARCHIVE_FORMAT_H

/*
 * What every object of an archive has in common: its envelope, its name, its
 * padding, and the numbers that are fixed for ever. FORMAT.md is the
 * specification; this header is its constants. Values here never change
 * their meaning.
 *
 * Envelope, all integers little-endian:
 *   0  4  magic "drfs"
 *   4  1  kind            enum object_kind
 *   5  1  version         FORMAT_VERSION
 *   6  1  trailer hash    enum trailer_kind
 *   7  1  cipher          enum cipher_kind; 0: nothing in it is sealed
 *   8  8  incompat flags  a reader refuses what it does not know
 *  16  8  ro-compat flags a writer refuses what it does not know
 *  24  8  compat flags
 *  32  …  body
 * end-32  32 hash over all that comes before
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum {
	FORMAT_VERSION = 1,
	FORMAT_HEADER_LEN = 32,
	FORMAT_TRAILER_LEN = 32,
	FORMAT_TAG_LEN = 16, /* of either cipher */
	FORMAT_KEY_LEN = 32,
	FORMAT_REPO_LEN = 16,
	FORMAT_NAME_MAX = 120, /* longest object name, with its NUL */
};

/* 256 bits that name an object, a chunk or a node. */
struct id {
	uint8_t b[32];
};

bool id_equal(const struct id *a, const struct id *b);
int id_compare(const struct id *a, const struct id *b);
bool id_is_zero(const struct id *id);
enum { ID_HEX_MAX = 65 };
void id_hex(const struct id *id, char dst[static ID_HEX_MAX]);
bool id_parse(const char *hex, struct id *ret_id); /* exactly 64 lower-case digits */

enum object_kind {
	KIND_CONFIG = 1,
	KIND_SLOT = 2,
	KIND_DATA_PACK = 3,
	KIND_TREE_PACK = 4,
	KIND_WRAP = 5,
	KIND_INDEX = 6,
	KIND_SNAPSHOT = 7,
	KIND_SUMMARY = 8,
	KIND_MARK = 9,
	KIND_SESSION = 10,
	KIND_CONDEMNED = 11,
	KIND_VERDICT = 12,
};

enum cipher_kind {
	CIPHER_NONE = 0,
	CIPHER_XCHACHA20_POLY1305 = 1,
	CIPHER_AES_256_GCM = 2,
};

enum hash_kind {
	HASH_BLAKE2B_256 = 1, /* keyed BLAKE2b */
	HASH_HMAC_SHA256 = 2,
};

enum trailer_kind {
	TRAILER_BLAKE2B_256 = 1,
	TRAILER_SHA256 = 2,
};

struct object_header {
	uint8_t kind, version, trailer, cipher;
	uint64_t incompat, ro_compat, compat;
};

/* Appends the 32 bytes. */
void object_header_put(struct buf *b, const struct object_header *h);
/*
 * Reads and judges the header of an object that should be of `kind` (0: any).
 * ERR_CORRUPT: no such header; ERR_UNSUPPORTED: newer version or an unknown
 * incompat flag; the text names `name`. An unknown ro-compat flag is left to the writer.
 */
int object_header_parse(
	const void *data, size_t len, int kind, const char *name, struct object_header *ret, struct error *err);
/* Appends the trailing hash over all that b holds. */
void object_trailer_put(struct buf *b, enum trailer_kind trailer);
/* Checks header (as above) and trailing hash of a whole object. ERR_CORRUPT when the hash does not fit. */
int object_verify(
	const void *data, size_t len, int kind, const char *name, struct object_header *ret, struct error *err);

/* A running trailer hash, for what is too large to hold. */
struct trailer_hash;
struct trailer_hash *trailer_hash_new(enum trailer_kind trailer); /* NULL without memory or for an unknown kind */
void trailer_hash_update(struct trailer_hash *h, const void *data, size_t len);
void trailer_hash_final(struct trailer_hash *h, uint8_t dst[static FORMAT_TRAILER_LEN]);
void trailer_hash_free(struct trailer_hash *h);

/* Writes the store name of an object; packs and wraps stand in folders of two digits. generation: for wraps only. */
void object_name(enum object_kind kind, uint32_t generation, const struct id *id, char dst[static FORMAT_NAME_MAX]);
/* The id at the end of a name under `prefix` ("snapshots/", "packs/" …). False for a name of another form. */
bool object_name_parse(const char *name, const char *prefix, struct id *ret_id);

/* The padded size for `len` (Padmé: at most 12 % more, O(log log len) bits of size told). */
uint64_t format_padme(uint64_t len);

/*
 * TLV, used by config, slots, statements: u16 tag (top bit: critical), varint
 * length, bytes. A reader skips an unknown tag unless it is critical, then
 * ERR_UNSUPPORTED.
 */
enum { TLV_CRITICAL = 0x8000 };
void tlv_put(struct buf *b, uint16_t tag, const void *data, size_t len);
void tlv_put_u64(struct buf *b, uint16_t tag, uint64_t v); /* as varint */
void tlv_put_s64(struct buf *b, uint16_t tag, int64_t v);  /* as zigzag varint */
void tlv_put_str(struct buf *b, uint16_t tag, const char *s);
/* Reads the next; false at the end or on failure (then c->failed). *ret_value is a cursor over its bytes. */
bool tlv_next(struct cursor *c, uint16_t *ret_tag, struct cursor *ret_value);
/* For the default branch of a reader: 0 to skip, ERR_UNSUPPORTED for a critical tag. */
int tlv_unknown(uint16_t tag, const char *where, struct error *err);

#endif
