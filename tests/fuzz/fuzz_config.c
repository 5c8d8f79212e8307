/* SPDX-License-Identifier: MIT */
/* The object `config`: the body is the fuzzer's, envelope and trailing hash are made to fit. */
#include <stdint.h>
#include <stdlib.h>

#include "archive/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct repo_config config, again;
	struct buf b = {0};
	if (size > CONFIG_OBJECT_MAX)
		return 0;
	(void)config_decode(data, size, &config, NULL);
	object_header_put(
		&b, &(struct object_header){.kind = KIND_CONFIG, .version = FORMAT_VERSION, .trailer = TRAILER_SHA256});
	buf_put(&b, data, size);
	object_trailer_put(&b, TRAILER_SHA256);
	if (!buf_failed(&b) && config_decode(b.data, b.len, &config, NULL) == 0) {
		/* What is accepted is within its bounds and can be written again. */
		if (config.argon_kib > 1 << 20 || config.chunk_max > 8 << 20 || config.chunk_avg == 0)
			abort();
		if (config_encode(&config, &b, NULL) != 0 || config_decode(b.data, b.len, &again, NULL) != 0)
			abort();
	}
	buf_release(&b);
	return 0;
}
