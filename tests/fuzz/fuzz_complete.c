/* SPDX-License-Identifier: MIT */
/*
 * Feeds any bytes to the completeness checkers, in pieces whose size the first
 * byte chooses, and asks that the verdict does not depend on the pieces. The
 * same bytes are also taken for the toc.dat and blobs.toc of a folder.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/complete.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool find_some(void *ctx, const char *name, size_t name_len, uint64_t *ret_size)
{
	(void)ctx;
	*ret_size = name_len;
	return name_len > 0 && (name[0] & 1) != 0;
}

/* A run of zeros is fed as a hole where the first byte says so. */
static enum complete_verdict judge(const uint8_t *data, size_t size, size_t piece, bool holes)
{
	struct complete *c = NULL;
	const char *kind, *reason;

	if (complete_new("fuzz.sql", 8, 0, &c, NULL) != 0)
		abort();
	for (size_t at = 0, n; at < size; at += n) {
		n = size - at < piece ? size - at : piece;
		size_t zeros = 0;
		while (zeros < n && data[at + zeros] == 0)
			zeros++;
		if (holes && zeros > 0) {
			n = zeros;
			complete_hole(c, n);
		} else {
			complete_feed(c, data + at, n);
		}
	}
	enum complete_verdict v = complete_finish(c, &kind, &reason);
	if ((v == COMPLETE_BAD) != (reason[0] != '\0') || strlen(kind) > 30)
		abort();
	complete_free(c);
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char reason[COMPLETE_REASON_MAX];

	if (size < 1)
		return 0;
	size_t piece = (size_t)(data[0] & 0x7f) * 5 + 1;
	bool holes = (data[0] & 0x80) != 0;
	data++;
	size--;
	if (judge(data, size, size + 1, false) != judge(data, size, piece, holes))
		abort();
	complete_pgdir(data, size, find_some, NULL, reason);
	complete_pgdir_blobs(data, size, find_some, NULL, reason);
	complete_pgdir_name((const char *)data, size);
	return 0;
}
