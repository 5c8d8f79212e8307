/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_NODE_DECODER_H
#define ARCHIVE_NODE_DECODER_H

/*
 * A node on its way from bytes to a block: where the reading is, and what is
 * left of each part of the block. Shared by the two halves of the decoder, and
 * private to them. All readers answer false for bytes that are damaged.
 */

#include "archive/node_wire.h"

struct node_class {
	uint32_t mode, uid, gid;
	const char *user, *group;
};

struct decoder {
	struct wire w;
	struct node *node;
	struct node_class *classes;
	uint32_t class_count;
	struct entry_piece *pieces;
	uint8_t *text;      /* next free byte of the block's text */
	uint64_t text_left; /* bytes of it */
	uint64_t extents_left, pieces_left;
	struct extent *extents; /* next free */
	uint32_t refs_seen;     /* references used so far */
	uint64_t keys_left;     /* bytes that whole keys may still take */
	const uint8_t *last;    /* key before */
	size_t last_len;
	struct node_key_check keys;
};

/* Copies `len` bytes into the block. NULL when the head promised fewer. */
static inline uint8_t *text_take(struct decoder *d, const uint8_t *from, uint64_t len)
{
	if (!from || len > d->text_left)
		return NULL;
	uint8_t *at = d->text;
	memcpy(at, from, len);
	d->text += len;
	d->text_left -= len;
	return at;
}

/* The next key, made whole in the block. */
static inline bool key_read(struct decoder *d, const uint8_t **ret_key, size_t *ret_len)
{
	uint64_t shared = wire_varint(&d->w);
	uint64_t more = wire_varint_max(&d->w, ENTRY_KEY_MAX);
	const uint8_t *rest = wire_bytes(&d->w, more);
	if (!rest || shared > d->last_len || more == 0 || shared + more > d->text_left || shared + more > d->keys_left)
		return false;
	/* Ascending, and everything that is shared is told as shared. */
	if (shared < d->last_len && d->last[shared] >= rest[0])
		return false;
	uint8_t *key = d->text;
	if (shared > 0)
		memcpy(key, d->last, shared);
	memcpy(key + shared, rest, more);
	d->text += shared + more;
	d->text_left -= shared + more;
	d->keys_left -= shared + more;
	d->last = key;
	d->last_len = shared + more;
	*ret_key = key;
	*ret_len = shared + more;
	return node_key_check(&d->keys, key, shared + more, shared);
}

/* True with the index (or EXTENT_HOLE) of a code; references appear in order. */
static inline bool ref_decode(struct decoder *d, uint64_t code, uint32_t *ret)
{
	if (code == 0) {
		*ret = EXTENT_HOLE;
		return true;
	}
	if (code - 1 > d->refs_seen || (code == 1 && d->refs_seen == d->node->ref_count))
		return false;
	*ret = d->refs_seen + 1 - (uint32_t)code;
	d->refs_seen += code == 1;
	return true;
}

/* The rest of an extent whose length is set: its reference and offset. */
static inline bool extent_read(struct decoder *d, struct extent *x)
{
	uint64_t code = wire_varint(&d->w);
	x->offset = code & 1 ? (uint32_t)wire_varint_max(&d->w, CHUNK_PLAIN_MAX) : 0;
	if (d->w.bad || x->length == 0 || (code & 1) != (x->offset != 0) || !ref_decode(d, code >> 1, &x->ref))
		return false;
	if (x->ref == EXTENT_HOLE)
		return x->offset == 0;
	return x->length <= CHUNK_PLAIN_MAX && x->offset <= CHUNK_PLAIN_MAX - x->length;
}

/* The table of mode and owner that stands before the entries. */
bool node_decode_classes(struct decoder *d);
/* The next entry. */
bool node_decode_entry(struct decoder *d, struct entry *e);

#endif
