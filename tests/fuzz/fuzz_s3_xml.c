/* SPDX-License-Identifier: MIT */
/* Any bytes as what an S3 server answers: an error, a page of a listing, or neither. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backends/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count_object(void *arg, const char *key, uint64_t size, struct error *err)
{
	unsigned *count = arg;
	(void)size, (void)err;
	if (strlen(key) > S3_KEY_MAX)
		abort();
	return ++*count >= 1000 ? 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_fault fault;
	struct s3_page page;
	struct error err = ERROR_INIT;
	unsigned count = 0;

	if (s3_xml_fault(data, size, &fault) && fault.code[0] == '\0')
		abort();
	int r = s3_xml_page(data, size, &page, count_object, &count, &err);
	if ((r < 0 && err.code != r) || (r == 1 && count < 1000))
		abort();
	return 0;
}
