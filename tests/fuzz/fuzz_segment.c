/* SPDX-License-Identifier: MIT */
/* Index segments. What is accepted keeps its order and its bounds, and comes out the same when written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/chunkref.h"
#include "archive/segment.h"
#include "fuzz_repo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(struct segment *s)
{
	struct buf b = {0};
	size_t packs = s->pack_count, chunks = s->chunk_count;
	for (size_t i = 0; i < s->chunk_count; i++)
		if (s->chunks[i].depth > CHUNK_DEPTH_MAX || s->chunks[i].stored > CHUNK_STORED_MAX)
			abort();
	for (size_t i = 0; i < s->pack_count; i++)
		if (s->packs[i].wrap_len > CATALOG_WRAP_MAX)
			abort();
	if (segment_encode(fuzz_repo(), s, &b, NULL) != 0 || s->pack_count != packs || s->chunk_count != chunks)
		abort();
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct id zero;
	struct segment *s = NULL;
	struct buf b = fuzz_statement(KIND_INDEX, data, size);
	if (segment_decode(fuzz_repo(), &zero, data, size, &s, NULL) == 0)
		segment_free(s);
	if (segment_decode(fuzz_repo(), &zero, b.data, b.len, &s, NULL) == 0) {
		look_at(s);
		segment_free(s);
	}
	buf_release(&b);
	return 0;
}
