/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "judging.h"

struct bytes load(const char *name)
{
	const char *dir = getenv("DRFS_FIXTURES");
	const char *slash = strrchr(__FILE__, '/');
	int here_len = slash == NULL ? 0 : (int)(slash - __FILE__) + 1;
	char path[1000];
	struct bytes b = {malloc(1 << 20), 0};

	if (dir != NULL)
		snprintf(path, sizeof(path), "%s/complete/%s", dir, name);
	else
		snprintf(path, sizeof(path), "%.*s../fixtures/complete/%s", here_len, __FILE__, name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("cannot open '%s'", path);
	assert_non_null(b.p);
	b.len = fread(b.p, 1, 1 << 20, f);
	fclose(f);
	/* As long as it is and no longer: a read past its end is seen. */
	b.p = realloc(b.p, b.len);
	assert_non_null(b.p);
	return b;
}

struct complete *begin(const char *name)
{
	struct complete *c = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(complete_new(name, strlen(name), 0, &c, &err), 0);
	return c;
}

struct result end(struct complete *c)
{
	struct result r;
	const char *kind = NULL, *reason = NULL;

	r.verdict = complete_finish(c, &kind, &reason);
	snprintf(r.kind, sizeof(r.kind), "%s", kind);
	snprintf(r.reason, sizeof(r.reason), "%s", reason);
	complete_free(c);
	assert_true((r.verdict == COMPLETE_BAD) == (r.reason[0] != '\0'));
	return r;
}

struct result judge_in(const char *name, const void *data, size_t len, size_t piece)
{
	struct complete *c = begin(name);

	for (size_t at = 0; at < len; at += piece)
		complete_feed(c, (const uint8_t *)data + at, len - at < piece ? len - at : piece);
	return end(c);
}

struct result judge(const char *name, const void *data, size_t len)
{
	return judge_in(name, data, len, len + 1);
}

struct result judge_text(const char *name, const char *text)
{
	return judge(name, text, strlen(text));
}
