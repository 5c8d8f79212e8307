/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_CHUNKER_H
#define ARCHIVE_CHUNKER_H

/*
 * FastCDC with a keyed gear table and normalised chunking (level 2): Xia et
 * al., "The Design of Fast Content Defined Chunking for Data Deduplication
 * Based Storage Systems" (2020). A cut depends only on the bytes since the
 * last one. The table is drawn from the gear key, so chunk sizes tell less.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct chunker_params {
	uint32_t min, avg, max; /* avg a power of two; min <= avg/2.. <= max */
};

struct chunker;
/* Immutable once made: one serves all threads. */
int chunker_new(const uint8_t gear_key[static 32], const struct chunker_params *params, struct chunker **ret_chunker,
	struct error *err);
void chunker_free(struct chunker *c);
/*
 * Length of the first chunk of data[0..len): a cut, or len where the data ends before one is found (then the caller
 * either has the end of the file, or must call again with more data: at least params.max bytes make it certain).
 */
size_t chunker_cut(const struct chunker *c, const uint8_t *data, size_t len);
/*
 * The same, resumable: `state` (zeroed at a chunk's start) remembers how far the chunk was searched, so bytes are
 * hashed once though data grew. Returns the cut, or 0 when all len bytes belong to the chunk and more are needed.
 */
struct chunker_state {
	uint64_t hash;
	size_t at;
};
size_t chunker_scan(const struct chunker *c, struct chunker_state *state, const uint8_t *data, size_t len);

#endif
