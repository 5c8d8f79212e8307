/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_TREE_H
#define ARCHIVE_TREE_H

/*
 * The counted prolly tree: a snapshot's metadata as one ordered map from key
 * to entry. A node is cut after an element whose hash(level, key) falls under a
 * threshold (1,000 elements on average) or with which the node is full (256 KiB
 * of content), so the shape depends on the entries alone and equal stretches of
 * two snapshots are the same nodes. A root with one child is dropped.
 *
 * The hash is SipHash-2-4 of the key (of an inner node's child: its first key)
 * under a key for the level: BLAKE2b-128, keyed with node_cut_key, of
 * "drfs cut" and the level as one byte. It costs 50 ns an entry.
 *
 * Neither kind of cut looks at what comes after it. So wherever a cut falls
 * at some level, all that follows is built as if the tree began there, and a
 * node that ended by a cut is built again, byte by byte, wherever its entries
 * follow such a place: that is what tree_builder_add_subtree() lives on.
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

/* What ids and cuts are made with. The struct is copied, the keys are borrowed. */
struct tree_keys {
	enum hash_kind hash;
	const uint8_t *node_id_key;  /* 32 bytes */
	const uint8_t *node_cut_key; /* 32 bytes */
	uint32_t target;             /* elements of a node on average; 0: NODE_TARGET_ENTRIES. Only tests want others */
};

/* ---- reading ---- */

/* A place in a tree: steps entry by entry, knows its rank. A new one stands at the first entry. */
struct tree_cursor;
int tree_cursor_new(
	struct node_source *source, const struct tree_root *root, struct tree_cursor **ret_cursor, struct error *err);
/* The same, but standing at the first entry with key >= key (or at the end): reads nothing else on the way. */
int tree_cursor_new_at(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	struct tree_cursor **ret_cursor, struct error *err);
/* The same, but standing nowhere and having read nothing. */
int tree_cursor_new_nowhere(
	struct node_source *source, const struct tree_root *root, struct tree_cursor **ret_cursor, struct error *err);
void tree_cursor_free(struct tree_cursor *c); /* NULL is a no-op */
/* Places it at the first entry with key >= key. ERR_NOT_FOUND: there is none (the cursor is at the end). Other errors:
 * a node on the way cannot be read; the rank is then that of the first entry below this node, and there is no entry. */
int tree_cursor_seek(struct tree_cursor *c, const uint8_t *key, size_t key_len, struct error *err);
/* Places it at the entry of that rank (0-based). ERR_NOT_FOUND past the end. */
int tree_cursor_seek_rank(struct tree_cursor *c, uint64_t rank, struct error *err);
/* The entry under the cursor; NULL at the end. Valid until the cursor moves. */
const struct entry *tree_cursor_entry(const struct tree_cursor *c);
uint64_t tree_cursor_rank(const struct tree_cursor *c);
/* Steps on; ERR_NOT_FOUND at the end. Prefetches coming leaves. */
int tree_cursor_next(struct tree_cursor *c, struct error *err);
/*
 * When the cursor stands on the first entry of a node, tells the highest such node's ref, level and sums, for taking it
 * over unread; else false. Told are only nodes that tree_builder_add_subtree() may take: ended by a cut (so none on the
 * right edge of the tree, whose end may be just the end of the tree), and no inner node with a single child.
 */
bool tree_cursor_subtree(const struct tree_cursor *c, struct tree_root *ret_node, const uint8_t **ret_first_key,
	size_t *ret_first_key_len);
/* The same among the nodes of at most that level. */
bool tree_cursor_subtree_upto(const struct tree_cursor *c, int max_level, struct tree_root *ret_node,
	const uint8_t **ret_first_key, size_t *ret_first_key_len);
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

/*
 * Entries of ranks [first, end), in order. node_fn (NULL: none) is asked first about each node that lies in there from
 * end to end and that tree_builder_add_subtree() may take, the higher ones first; what it takes is passed over unread.
 * The rest is told to entry_fn (NULL: nobody), whose entry is valid during the call. What they return other than 0 ends
 * it and is returned. ERR_USAGE: the stretch is not in the tree.
 */
typedef int tree_range_node_fn(void *arg, const struct tree_root *node, const uint8_t *first_key, size_t first_key_len,
	bool *ret_taken, struct error *err);
typedef int tree_range_entry_fn(void *arg, const struct entry *entry, struct error *err);
int tree_range(struct node_source *source, const struct tree_root *root, uint64_t first, uint64_t end,
	tree_range_node_fn *node_fn, tree_range_entry_fn *entry_fn, void *arg, struct error *err);

/*
 * What differs between two trees, in key order; equal subtrees are skipped unread. old or new is NULL where it is
 * missing there. What fn returns other than 0 ends it and is returned.
 */
typedef int tree_diff_fn(void *arg, const struct entry *old_entry, const struct entry *new_entry, struct error *err);
int tree_diff(struct node_source *source, const struct tree_root *old_root, const struct tree_root *new_root,
	tree_diff_fn *fn, void *arg, struct error *err);

/* Bytes of a file by extents, whether in the entry or in its pieces. */
struct extent_reader;
int extent_reader_new(struct node_source *source, const struct entry *entry, struct extent_reader **ret_reader,
	struct error *err); /* copies what it needs of entry */
void extent_reader_free(struct extent_reader *r);
/*
 * The extent that covers file offset `off` (off < size): what is left of it from there, its chunk (NULL: hole) and the
 * offset in it. *ret_ref is valid until the next call.
 */
int extent_reader_at(struct extent_reader *r, uint64_t off, uint64_t *ret_length, const struct chunk_ref **ret_ref,
	uint32_t *ret_offset, struct error *err);
/* Where the extent begins that covers file offset `off` (off < size). */
int extent_reader_start(struct extent_reader *r, uint64_t off, uint64_t *ret_start, struct error *err);
/* All xattrs of an entry, encoded, appended to *ret. */
int entry_xattrs(struct node_source *source, const struct entry *entry, struct buf *ret, struct error *err);

/* ---- writing ---- */

/*
 * Builds a tree from entries in strictly ascending key order. One open node a level in memory. An entry whose
 * encoding would pass ENTRY_INLINE_MAX has its extents and xattrs put into pieces here.
 */
struct tree_builder;
int tree_builder_new(
	const struct tree_keys *keys, struct node_sink *sink, struct tree_builder **ret_builder, struct error *err);
void tree_builder_free(struct tree_builder *b);
int tree_builder_add(struct tree_builder *b, const struct entry *entry, struct error *err);
/*
 * Takes over a node that tree_cursor_subtree() told (no others!), unread, when no node is open at its level or below,
 * that is, right after a cut at its level. False in *ret_taken: add its entries instead. The tree is then exactly the
 * one that its entries, added one by one, would have made.
 */
int tree_builder_add_subtree(struct tree_builder *b, const struct tree_root *node, const uint8_t *first_key,
	size_t first_key_len, bool *ret_taken, struct error *err);
/* Takes over the highest node that begins under the cursor and can be taken, and steps the cursor behind it. */
int tree_builder_take(struct tree_builder *b, struct tree_cursor *c, bool *ret_taken, struct error *err);
/*
 * Stores what is open and tells the root. The builder is done with: nothing but freeing it may follow (as after an
 * error).
 */
int tree_builder_finish(struct tree_builder *b, struct tree_root *ret_root, struct error *err);

/*
 * Gathers the extents of one file and puts them into pieces as they come, when they are more than an entry holds: for
 * files whose list of extents is too long to be held. The builder does the same with what it is given.
 */
struct extent_writer;
int extent_writer_new(
	const struct tree_keys *keys, struct node_sink *sink, struct extent_writer **ret_writer, struct error *err);
void extent_writer_free(struct extent_writer *w); /* NULL is a no-op */
/* The next extent; ref NULL: a hole. */
int extent_writer_add(
	struct extent_writer *w, uint64_t length, const struct chunk_ref *ref, uint32_t offset, struct error *err);
/*
 * Sets extents or pieces, refs and size of *entry. xattr_ref, if any, is kept and joins the refs. They are borrowed
 * from the writer until it is reset or freed.
 */
int extent_writer_finish(struct extent_writer *w, struct entry *entry, struct error *err);
/* Back to the start, for the next file. */
void extent_writer_reset(struct extent_writer *w);

#endif
