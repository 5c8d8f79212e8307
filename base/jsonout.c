/* SPDX-License-Identifier: MIT */
#include "base/jsonout.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/hex.h"

static bool is_utf8(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = hex_utf8_length(p + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

json_t *jsonout_text(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	struct buf b = {0};
	if (len == 0)
		return json_string("");
	for (size_t i = 0; i < len;) {
		size_t n = hex_utf8_length(p + i, len - i);
		if (n > 0)
			buf_put(&b, p + i, n);
		else
			buf_put(&b, "\xef\xbf\xbd", 3); /* U+FFFD */
		i += n > 0 ? n : 1;
	}
	json_t *text = buf_failed(&b) ? NULL : json_stringn((const char *)b.data, b.len);
	buf_release(&b);
	return text;
}

void jsonout_set_name(json_t *obj, const char *key, const void *bytes, size_t len)
{
	(void)json_object_set_new(obj, key, jsonout_text(bytes, len));
	if (is_utf8(bytes, len))
		return;
	char *hex_key = fileio_format("%s_hex", key);
	char *digits = malloc(len * 2 + 1);
	if (hex_key && digits) {
		hex_encode(bytes, len, digits);
		(void)json_object_set_new(obj, hex_key, json_string(digits));
	}
	free(hex_key);
	free(digits);
}

json_t *jsonout_time(int64_t ns)
{
	char text[CLOCK_TEXT_MAX];
	clock_rfc3339(ns, text);
	return json_string(text);
}

int jsonout_line(FILE *out, json_t *obj)
{
	int rc = -1;
	if (!obj)
		return rc;
	flockfile(out); /* several threads may print, each a line */
	if (json_dumpf(obj, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0 && putc_unlocked('\n', out) != EOF)
		rc = 0;
	funlockfile(out);
	json_decref(obj);
	return rc;
}
