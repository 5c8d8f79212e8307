/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_NODE_H
#define ARCHIVE_NODE_H

/*
 * Tree objects and their encoding: leaves (entries), inner nodes (children),
 * extent pieces and xattr pieces. Each has two parts: content, over which its
 * id is taken, with everything below named by id alone; and locators, which
 * say where those lie and may differ between equal nodes. On the wire:
 * u32 content length, content, locators. They are sealed as chunks in tree packs.
 *
 * A decoded node is one block of memory, immutable, found by its pointers;
 * node_free() gives it back. Decoding is total: every count, length and order
 * is checked (keys strictly ascending, refs in range, sums consistent with the
 * children, no duplicate), ERR_CORRUPT otherwise.
 */

#include "archive/entry.h"

enum node_type { NODE_LEAF = 1, NODE_INNER = 2, NODE_EXTENTS = 3, NODE_XATTRS = 4 };
enum { NODE_PLAIN_MAX = 4 << 20, NODE_CONTENT_CUT = 256 << 10, NODE_TARGET_ENTRIES = 1000, NODE_LEVEL_MAX = 12 };
/* A node is also cut when its whole keys reach this, or its elements that: it bounds what decoding takes. */
enum { NODE_KEYS_CUT = 1 << 20, NODE_COUNT_CUT = 16384 };

/*
 * A child of an inner node; sums are over its whole subtree: entries, directories among them, and the sizes of the
 * regular files among them (this one stops at UINT64_MAX, since a few sparse files may pass it).
 */
struct node_child {
	const uint8_t *key; /* its first key */
	size_t key_len;
	uint64_t entries, dirs, bytes;
	uint64_t before; /* entries of the children before it; set by node_decode() */
	uint32_t ref;    /* in a decoded node: its own index */
};

struct node {
	enum node_type type;
	uint8_t level; /* 0 for leaves */
	uint32_t count;
	uint64_t entries, dirs, bytes; /* sums over what is below; NODE_EXTENTS: bytes of the file */
	struct entry *list;            /* NODE_LEAF */
	struct node_child *children;   /* NODE_INNER */
	struct extent *extents;        /* NODE_EXTENTS */
	const uint8_t *xattrs;         /* NODE_XATTRS */
	size_t xattrs_len;
	struct chunk_ref *refs;
	uint32_t ref_count;
	size_t memory; /* bytes of the block: what a cache charges */
};

int node_decode(const void *plain, size_t len, struct node **ret_node, struct error *err);
void node_free(struct node *node); /* NULL is a no-op */

/* Index of the last element whose key is <= key; -1 when key is before the first. For leaves and inner nodes. */
int32_t node_search(const struct node *node, const uint8_t *key, size_t key_len);

/*
 * Encoder of one node. Entries or children are added in key order; refs are
 * gathered from what each brings (an entry's refs/ref indexes are its own).
 * The encoding is a pure function of what was added.
 */
struct node_encoder;
struct node_encoder *node_encoder_new(enum node_type type, uint8_t level); /* NULL without memory */
void node_encoder_free(struct node_encoder *e);
int node_encoder_entry(struct node_encoder *e, const struct entry *entry, struct error *err);
int node_encoder_child(
	struct node_encoder *e, const struct node_child *child, const struct chunk_ref *ref, struct error *err);
int node_encoder_extent(
	struct node_encoder *e, const struct extent *extent, const struct chunk_ref *ref, struct error *err);
int node_encoder_xattrs(struct node_encoder *e, const void *xattrs, size_t len, struct error *err);
/* Bytes of ids, owners and elements so far (content without its few bytes of head). */
size_t node_encoder_size(const struct node_encoder *e);
/*
 * What was added reaches NODE_CONTENT_CUT, NODE_KEYS_CUT or NODE_COUNT_CUT: the node ends here. It depends only on what
 * the node holds, never on what comes next, so that a node that was cut once is cut wherever its entries stand.
 */
bool node_encoder_full(const struct node_encoder *e);
uint32_t node_encoder_count(const struct node_encoder *e);
/*
 * The whole (u32, content, locators) in *ret (what it held is replaced), and where content lies in it for taking the
 * id. Resets the encoder. ERR_UNSUPPORTED: more than NODE_PLAIN_MAX. After a failed call an encoder can only be freed.
 */
int node_encoder_finish(struct node_encoder *e, struct buf *ret, size_t *ret_content_offset, size_t *ret_content_len,
	struct error *err);
/* Where content lies in an encoded node. ERR_CORRUPT. */
int node_content(const void *plain, size_t len, const uint8_t **ret_content, size_t *ret_len, struct error *err);

#endif
