/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SEGMENT_H
#define ARCHIVE_SEGMENT_H

/*
 * Index segments: what packs hold, and their keys (wrapped). Signed by the
 * slot that wrote them; a segment counts only in its signer's domain of dedup. The store's LIST of index/ says which
 * there are; the catalog remembers what was taken in. Segments merge, size-tiered; a merged one names its inputs.
 */

#include "archive/repo.h"
#include "catalog/catalog.h"

enum {
	SEGMENT_CHUNKS_MAX = 1 << 20,
	SEGMENT_PACKS_MAX = 1 << 18,
	SEGMENT_ANCESTORS_MAX = 1 << 16, /* inputs and ancestors; what is left out costs a slow host a refill */
};

struct segment {
	struct id id;
	uint64_t domain;
	struct id slot;
	struct id *inputs; /* of a merge: all they held is here */
	size_t input_count;
	struct id *ancestors; /* inputs of the inputs, and theirs: for hosts that slept through a merge */
	size_t ancestor_count;
	struct catalog_pack *packs;
	size_t pack_count;
	struct catalog_chunk *chunks; /* in order of (id, pack, offset) */
	size_t chunk_count;
};

void segment_free(struct segment *s); /* and what it owns; NULL is a no-op */
/*
 * Encodes, signs, seals and puts. Fills s->id, s->slot. Sorts packs, chunks and inputs and drops doubles. Every chunk's
 * pack must be in the table (ERR_BUG). Packs and chunks may be the caller's: then free them yourself and not by
 * segment_free().
 */
int segment_put(struct repo *repo, struct segment *s, struct error *err);
/* Decodes and judges: ERR_CORRUPT, ERR_DENIED (signer unknown or without RIGHT_WRITE), ERR_UNSUPPORTED. */
int segment_decode(const struct repo *repo, const struct id *id, const void *data, size_t len,
	struct segment **ret_segment, struct error *err);
/* As segment_decode(), with slots that were revoked later among the signers. */
struct signers;
int segment_decode_by(const struct signers *signers, const struct id *id, const void *data, size_t len,
	struct segment **ret_segment, struct error *err);
/* The statement of s, to be signed. Sorts as segment_put() does. */
int segment_encode(const struct repo *repo, struct segment *s, struct buf *ret, struct error *err);

/*
 * Brings the catalog up to the store: LIST index/, fetch what is new, take it in; segments that vanished without a
 * merge that names them mean that the catalog is stale: it is reset and filled again, saying so. A catalog that fails
 * in the middle is made private and filled again once. Damaged segments are logged and left out (their chunks are
 * written anew).
 */
int segment_sync(struct repo *repo, struct catalog *catalog, struct error *err);
/* Merges when 16 or more segments of a tier stand. What a crash leaves is right. */
int segment_merge(struct repo *repo, struct catalog *catalog, struct error *err);

#endif
