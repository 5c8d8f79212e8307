/* SPDX-License-Identifier: MIT */
/* Summaries. Every entry lies inside the content, and what can be put again can be read again. */
#include <stdint.h>
#include <stdlib.h>

#include "archive/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct summary s = {0}, again = {0};
	struct buf b = {0};
	size_t put = 0;
	if (summary_decode(data, size, &s, NULL) != 0)
		return 0;
	for (size_t i = 0; i < s.count; i++) {
		const struct summary_entry *e = &s.entries[i];
		if (e->data < data || e->data + e->len > data + size)
			abort();
		put += summary_put_entry(&b, e, i % 2 == 0);
	}
	summary_put_inputs(&b, &s.inputs);
	if (summary_decode(b.data, b.len, &again, NULL) != 0 || again.count != put ||
		again.inputs.count != s.inputs.count)
		abort();
	summary_release(&again);
	summary_release(&s);
	buf_release(&b);
	return 0;
}
