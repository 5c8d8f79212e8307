/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_NODE_WIRE_H
#define ARCHIVE_NODE_WIRE_H

/*
 * What the encoder and the decoder of nodes share, and nobody else needs: the
 * field bits of an entry, the coding of references, varints over raw memory
 * (a million entries pass here, so these are inline), and the check of keys
 * that costs only what differs from the key before.
 *
 * A reference is coded against the number n of references that were used
 * before it in the node: 0 is a hole, 1 the reference n (a new one), c >= 2 the
 * reference n + 1 - c. So ids stand in the order of first use, and the
 * common codes are 1 and 2.
 */

#include <string.h>
#include <sys/stat.h>

#include "archive/node.h"

/* Which optional fields an entry has. On the wire: values never change. */
enum node_field {
	FIELD_SIZE = 1u << 0,
	FIELD_ONE = 1u << 1, /* one extent: the whole file */
	FIELD_CONTENT = 1u << 2,
	FIELD_CTIME = 1u << 3, /* differs from mtime */
	FIELD_LIST = 1u << 4,
	FIELD_DISK = 1u << 5, /* differs from node_disk_default() */
	FIELD_XATTRS = 1u << 6,
	FIELD_TARGET = 1u << 7,
	FIELD_NLINK = 1u << 8, /* differs from 1 */
	FIELD_LINK_GROUP = 1u << 9,
	FIELD_RDEV = 1u << 10,
	FIELD_XATTR_REF = 1u << 11,
	FIELD_PIECES = 1u << 12,
	FIELD_CHANGED = 1u << 13,
	FIELD_ALL = (1u << 14) - 1,
};

enum { NODE_VARINT_MAX = 10, NODE_NSEC_MAX = 999999999, NODE_ID_LEN = 32 };

/* What st_blocks * 512 most often is; told only when it differs. */
static inline uint64_t node_disk_default(uint32_t mode, uint64_t size)
{
	if (S_ISDIR(mode))
		return 4096;
	return S_ISREG(mode) && size <= INT64_MAX ? (size + 4095) & ~UINT64_C(4095) : 0;
}

static inline uint64_t node_sum_bytes(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static inline bool node_mode_ok(uint32_t mode)
{
	return (mode & ~(uint32_t)(S_IFMT | 07777)) == 0 &&
	       (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) ||
		       S_ISSOCK(mode));
}

/* ---- keys ---- */

/* Where the name begins in the key before; zeroed at a node's start. */
struct node_key_check {
	size_t name_at;
};

/* Is `key`, which has `shared` bytes in common with the last one passed here, well-formed? */
static inline bool node_key_check(struct node_key_check *k, const uint8_t *key, size_t len, size_t shared)
{
	size_t prefix_len, name_len;
	const uint8_t *name;
	/* The same directory as before: the name alone is new. */
	if (k->name_at > 0 && shared >= k->name_at && len <= ENTRY_KEY_MAX)
		return entry_name_ok(key + k->name_at, len - k->name_at);
	if (!entry_key_ok(key, len) || !entry_key_split(key, len, &prefix_len, &name, &name_len))
		return false;
	k->name_at = prefix_len + 1;
	return true;
}

static inline size_t node_key_shared(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t most = a_len < b_len ? a_len : b_len, i = 0;
	for (; i + 8 <= most; i += 8) {
		uint64_t x, y;
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			break;
	}
	while (i < most && a[i] == b[i])
		i++;
	return i;
}

static inline int node_key_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t most = a_len < b_len ? a_len : b_len;
	int order = most > 0 ? memcmp(a, b, most) : 0;
	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* ---- writing to memory that is known to suffice ---- */

static inline uint8_t *wire_put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *wire_put_svarint(uint8_t *p, int64_t v)
{
	uint64_t u = (uint64_t)v << 1;
	return wire_put_varint(p, v < 0 ? ~u : u);
}

static inline uint8_t *wire_put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

static inline uint8_t *wire_put(uint8_t *p, const void *data, size_t len)
{
	if (len > 0)
		memcpy(p, data, len);
	return p + len;
}

/* ---- reading, bounded and sticky ---- */

struct wire {
	const uint8_t *p, *end;
	bool bad;
};

static inline uint64_t wire_varint_long(struct wire *w)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < NODE_VARINT_MAX && w->p < w->end; i++) {
		uint8_t byte = *w->p++;
		if ((i == NODE_VARINT_MAX - 1 && byte > 1) || (i > 0 && byte == 0))
			break;
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80)
			return v;
	}
	w->bad = true;
	w->p = w->end;
	return 0;
}

static inline uint64_t wire_varint(struct wire *w)
{
	if (w->p < w->end && *w->p < 0x80)
		return *w->p++;
	return wire_varint_long(w);
}

static inline uint64_t wire_varint_max(struct wire *w, uint64_t max)
{
	uint64_t v = wire_varint(w);
	if (v <= max)
		return v;
	w->bad = true;
	return 0;
}

static inline int64_t wire_svarint(struct wire *w)
{
	uint64_t u = wire_varint(w);
	return (int64_t)((u >> 1) ^ (0 - (u & 1)));
}

/* The next `len` bytes; NULL when there are fewer. */
static inline const uint8_t *wire_bytes(struct wire *w, uint64_t len)
{
	if (len > (uint64_t)(w->end - w->p)) {
		w->bad = true;
		w->p = w->end;
		return NULL;
	}
	const uint8_t *at = w->p;
	w->p += len;
	return at;
}

static inline uint32_t wire_u32(struct wire *w)
{
	const uint8_t *p = wire_bytes(w, 4);
	return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

static inline uint8_t wire_u8(struct wire *w)
{
	const uint8_t *p = wire_bytes(w, 1);
	return p ? *p : 0;
}

#endif
