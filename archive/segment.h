/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SEGMENT_H
#define ARCHIVE_SEGMENT_H

/*
 * Index segments: what packs hold, and their keys (wrapped). Signed by the
 * slot that wrote them; a segment counts only in its signer's domain of dedup. The store's LIST of index/ says which there
 * are; the catalog remembers what was taken in. Segments merge, size-tiered; a merged one names its inputs.
 */

#include "archive/repo.h"
#include "catalog/catalog.h"

enum { SEGMENT_CHUNKS_MAX = 1 << 20 };

struct segment {
	struct id id;
	uint64_t domain;
	struct id slot;
	struct id *inputs; /* of a merge */
	size_t input_count;
	struct catalog_pack *packs;
	size_t pack_count;
	struct catalog_chunk *chunks; /* in order of (id, pack, offset) */
	size_t chunk_count;
};

void segment_free(struct segment *s); /* and what it owns */
/* Encodes, signs, seals and puts. Fills s->id, s->slot. Sorts chunks. */
int segment_put(struct repo *repo, struct segment *s, struct error *err);
int segment_decode(const struct repo *repo, const struct id *id, const void *data, size_t len,
	struct segment **ret_segment, struct error *err);

/*
 * Brings the catalog up to the store: LIST index/, fetch what is new, take it in; segments that vanished without a merge
 * that names them mean that the catalog is stale: it is reset and filled again, saying so. A catalog that fails in the middle is made private and
 * filled again once. Damaged segments are logged and left out (their chunks are written anew).
 */
int segment_sync(struct repo *repo, struct catalog *catalog, struct error *err);
/* Merges when 16 or more segments of a tier stand. What a crash leaves is right. */
int segment_merge(struct repo *repo, struct catalog *catalog, struct error *err);

#endif
