/* SPDX-License-Identifier: MIT */
/* Times, durations and sizes as users type them: what is taken keeps its order and can be written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_moment(int64_t t)
{
	char text[CLOCK_TEXT_MAX];
	int64_t first;
	int64_t last;
	clock_rfc3339(t, text);
	if (!clock_parse(text, &first, &last) || first != t || last != t)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char human[CLOCK_TEXT_MAX];
	int64_t first;
	int64_t last;
	int64_t ns;
	uint64_t bytes;
	char *text = strndup((const char *)data, size);
	if (!text)
		abort();
	if (clock_parse(text, &first, &last)) {
		if (first > last)
			abort();
		check_moment(first);
		check_moment(last);
	}
	if (clock_parse_duration(text, &ns)) {
		if (ns < 0)
			abort();
		clock_human_duration(ns, human);
	}
	(void)conf_parse_size(text, &bytes);
	free(text);
	return 0;
}
