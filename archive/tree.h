/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_TREE_H
#define ARCHIVE_TREE_H

/*
 * The counted prolly tree: a snapshot's metadata as one ordered map from key
 * to entry. Nodes are cut where keyed-hash(level, key) falls under a
 * threshold (1,000 entries on average) or before their content would pass
 * 256 KiB, so the shape depends on the entries alone and equal stretches of
 * two snapshots are the same nodes. A root with one child is dropped.
 *
 * Reading goes through a node_source, writing through a node_sink: the tree
 * knows neither stores nor packs. A cursor or builder belongs to one thread;
 * a source may be shared by all.
 */

#include "archive/node.h"
#include "archive/seal.h"

/* Where decoded nodes come from. get() pins, put() lets go. */
struct node_source {
	int (*get)(struct node_source *source, const struct chunk_ref *ref, const struct node **ret_node,
		struct error *err);
	void (*put)(struct node_source *source, const struct node *node);
	/* Optional (may be NULL): these will be read soon. Never fails, never blocks for long. */
	void (*prefetch)(struct node_source *source, const struct chunk_ref *refs, size_t count);
};

/* Where encoded nodes go. Stores (or recognises) a node; *ret_ref has its locator. May block. */
struct node_sink {
	int (*store)(struct node_sink *sink, const struct id *id, const void *plain, size_t len,
		struct chunk_ref *ret_ref, struct error *err);
};

/* What ids and cuts are made with. Borrowed keys. */
struct tree_keys {
	enum hash_kind hash;
	const uint8_t *node_id_key;  /* 32 bytes */
	const uint8_t *node_cut_key; /* 32 bytes */
};

/* ---- reading ---- */

/* A place in a tree: steps entry by entry, knows its rank. */
struct tree_cursor;
int tree_cursor_new(struct node_source *source, const struct tree_root *root, struct tree_cursor **ret_cursor,
	struct error *err);
void tree_cursor_free(struct tree_cursor *c);
/* Places it at the first entry with key >= key. ERR_NOT_FOUND: there is none (the cursor is at the end). */
int tree_cursor_seek(struct tree_cursor *c, const uint8_t *key, size_t key_len, struct error *err);
/* Places it at the entry of that rank (0-based). ERR_NOT_FOUND past the end. */
int tree_cursor_seek_rank(struct tree_cursor *c, uint64_t rank, struct error *err);
/* The entry under the cursor; NULL at the end. Valid until the cursor moves. */
const struct entry *tree_cursor_entry(const struct tree_cursor *c);
uint64_t tree_cursor_rank(const struct tree_cursor *c);
/* Steps on; ERR_NOT_FOUND at the end. Prefetches coming leaves. */
int tree_cursor_next(struct tree_cursor *c, struct error *err);
/*
 * When the cursor stands on the first entry of a whole node at `level` or above (0: a leaf), tells the highest such
 * node's ref, level and sums, for taking it over unread; else false.
 */
bool tree_cursor_subtree(const struct tree_cursor *c, struct tree_root *ret_node, const uint8_t **ret_first_key,
	size_t *ret_first_key_len);
/* Steps behind that node. */
int tree_cursor_skip(struct tree_cursor *c, const struct tree_root *node, struct error *err);

/*
 * Exactly this key. The entry points into *ret_leaf, which the caller gives back with source->put().
 * ERR_NOT_FOUND. *ret_rank may be NULL.
 */
int tree_find(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	const struct node **ret_leaf, const struct entry **ret_entry, uint64_t *ret_rank, struct error *err);
/* Likewise by rank. */
int tree_at(struct node_source *source, const struct tree_root *root, uint64_t rank, const struct node **ret_leaf,
	const struct entry **ret_entry, struct error *err);
/* Rank of the first entry with key >= key (root->entries when none): directories as ranges. */
int tree_rank(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	uint64_t *ret_rank, struct error *err);

/* What differs between two trees, in key order; equal subtrees are skipped unread. old or new is NULL where it is missing there. */
typedef int tree_diff_fn(void *arg, const struct entry *old_entry, const struct entry *new_entry, struct error *err);
int tree_diff(struct node_source *source, const struct tree_root *old_root, const struct tree_root *new_root,
	tree_diff_fn *fn, void *arg, struct error *err);

/* Bytes of a file by extents, whether in the entry or in its pieces. */
struct extent_reader;
int extent_reader_new(struct node_source *source, const struct entry *entry, struct extent_reader **ret_reader,
	struct error *err); /* copies what it needs of entry */
void extent_reader_free(struct extent_reader *r);
/*
 * The extent that covers file offset `off` (off < size): what is left of it from there, its chunk (NULL: hole) and the offset in it.
 * *ret_ref is valid until the next call.
 */
int extent_reader_at(struct extent_reader *r, uint64_t off, uint64_t *ret_length, const struct chunk_ref **ret_ref,
	uint32_t *ret_offset, struct error *err);
/* All xattrs of an entry, encoded, appended to *ret. */
int entry_xattrs(struct node_source *source, const struct entry *entry, struct buf *ret, struct error *err);

/* ---- writing ---- */

/*
 * Builds a tree from entries in strictly ascending key order. One open node a level in memory. An entry whose
 * encoding would pass ENTRY_INLINE_MAX has its extents and xattrs put into pieces here.
 */
struct tree_builder;
int tree_builder_new(const struct tree_keys *keys, struct node_sink *sink, struct tree_builder **ret_builder,
	struct error *err);
void tree_builder_free(struct tree_builder *b);
int tree_builder_add(struct tree_builder *b, const struct entry *entry, struct error *err);
/*
 * Takes a whole node of an earlier tree over, unread, when the open nodes below its level are empty (cuts fall there
 * by content, so that is so right after a cut). False in *ret_taken: add its entries instead.
 */
int tree_builder_add_subtree(struct tree_builder *b, const struct tree_root *node, const uint8_t *first_key,
	size_t first_key_len, bool *ret_taken, struct error *err);
int tree_builder_finish(struct tree_builder *b, struct tree_root *ret_root, struct error *err);

#endif
