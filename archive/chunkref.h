/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_CHUNKREF_H
#define ARCHIVE_CHUNKREF_H

/*
 * A reference to something stored in a pack: its id, and where it lies. With
 * a locator a reader needs no index; when the pack is gone (repacked) the
 * index is asked for the id. Plain values, copied freely.
 */

#include "archive/format.h"

enum { CHUNK_DEPTH_MAX = 3, CHUNK_PLAIN_MAX = 8 << 20, CHUNK_STORED_MAX = (8 << 20) + 4096 };

struct locator {
	struct id pack;
	uint64_t offset; /* of the sealed bytes in the pack */
	uint32_t stored; /* sealed bytes, tag included */
	uint32_t plain;  /* bytes after opening and unpacking */
};

struct chunk_ref {
	struct id id;
	uint8_t depth; /* 0: stands alone; else chain[1..depth] are its bases, nearest first */
	struct locator chain[CHUNK_DEPTH_MAX + 1];
};

/* The root of a tree. entries == 0: the tree is empty and ref is zeros. */
struct tree_root {
	struct chunk_ref ref;
	uint8_t level; /* 0: the root is a leaf */
	uint64_t entries, dirs, bytes;
};

#endif
