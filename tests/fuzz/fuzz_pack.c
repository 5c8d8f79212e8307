/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/pack.h"

/* The first eight bytes say where the table begins; what is taken must fill the pack up to there without a gap. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pack_row *rows = NULL;
	size_t count = 0;
	uint64_t limit, at = FORMAT_HEADER_LEN;

	if (size < sizeof(limit))
		return 0;
	memcpy(&limit, data, sizeof(limit));
	if (pack_parse_toc(data + sizeof(limit), size - sizeof(limit), limit, &rows, &count, NULL) < 0)
		return rows == NULL ? 0 : (abort(), 0);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].offset != at || rows[i].stored < FORMAT_TAG_LEN + CHUNK_HEADER_LEN ||
			rows[i].plain > CHUNK_PLAIN_MAX || rows[i].depth > CHUNK_DEPTH_MAX)
			abort();
		at += rows[i].stored;
	}
	if (at != limit)
		abort();
	free(rows);
	return 0;
}
