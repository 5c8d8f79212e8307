/* SPDX-License-Identifier: MIT */
/* Any bytes as the file of what a host saw: refused, or put together again to the very same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/seen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen_row *rows = NULL;
	size_t count = 0;
	struct buf text = {0};
	int rc = seen_decode(data, size, &rows, &count, NULL);
	if (rc == 0) {
		seen_encode(rows, count, &text);
		if (text.len != size || memcmp(text.data, data, size) != 0)
			abort();
	} else if (rc != ERR_CORRUPT) {
		abort();
	}
	buf_release(&text);
	free(rows);
	return 0;
}
