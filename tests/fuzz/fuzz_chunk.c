/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/chunkcodec.h"

enum { ROOM = 64 << 10 };

/*
 * Byte 0: with a base or not; bytes 1 and 2: the length it should have. The room is exactly that long. Without a base
 * it is unpacked step by step, too: what comes of it must be the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void by_steps(
	struct chunk_decoder *d, const uint8_t *opened, size_t size, const uint8_t *plain, size_t len, bool good)
{
	struct chunk_steps steps;
	uint8_t *dst = malloc(len == 0 ? 1 : len);

	if (dst == NULL)
		return;
	int r = chunk_steps_begin(d, opened, size, dst, len, &steps, NULL);
	while (r == 0 && !steps.done)
		r = chunk_steps_more(d, &steps, NULL);
	if (r == 0 && (!good || steps.have != len || memcmp(dst, plain, len) != 0))
		abort();
	free(dst);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct chunk_decoder *decoder;
	static uint8_t base[ROOM];

	if (size < 3 || (decoder == NULL && chunk_decoder_new(&decoder, NULL) < 0))
		return 0;
	size_t len = data[1] | (size_t)data[2] << 8;
	bool based = (data[0] & 1) != 0;
	uint8_t *dst = malloc(len == 0 ? 1 : len);
	if (dst == NULL)
		return 0;
	memset(base, 'b', sizeof(base));
	int r = chunk_unpack(
		decoder, data + 3, size - 3, based ? base : NULL, based ? sizeof(base) : 0, dst, len, NULL);
	if (!based)
		by_steps(decoder, data + 3, size - 3, dst, len, r == 0);
	free(dst);
	return 0;
}
