/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/seen.h"
#include "base/hex.h"

static const char head[] = "drfs-seen-1\n";

enum { HEX_LEN = 2 * sizeof(struct id), NUMBER_MAX = 20, LINE_MAX_LEN = 2 * HEX_LEN + NUMBER_MAX + 4 };

/* 64 digits at `text`, which has as many bytes. */
static bool take_id(const char *text, struct id *ret)
{
	char digits[HEX_LEN + 1];
	memcpy(digits, text, HEX_LEN);
	digits[HEX_LEN] = '\0';
	return hex_decode(digits, sizeof(ret->b), ret->b);
}

/* A number from 1, without leading zeros. */
static bool take_number(const char *text, size_t len, uint64_t *ret)
{
	uint64_t n = 0;
	if (len == 0 || len > NUMBER_MAX || text[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return false;
	}
	*ret = n;
	return true;
}

/* A line without its end: slot, number, snapshot. */
static bool take_line(const char *line, size_t len, struct seen_row *ret)
{
	struct seen_row row = {0};
	if (len < 2 * HEX_LEN + 3 || line[HEX_LEN] != ' ' || line[len - HEX_LEN - 1] != ' ')
		return false;
	bool ok = take_id(line, &row.slot) && take_id(line + len - HEX_LEN, &row.snapshot) &&
		  take_number(line + HEX_LEN + 1, len - 2 * HEX_LEN - 2, &row.seq);
	if (ok)
		*ret = row;
	return ok;
}

int seen_decode(const void *data, size_t len, struct seen_row **ret_rows, size_t *ret_count, struct error *err)
{
	const char *at = data, *end = at + len;
	size_t count = 0, room = len / (2 * HEX_LEN) + 1;
	if (len < sizeof(head) - 1 || memcmp(at, head, sizeof(head) - 1) != 0)
		return error_set(err, ERR_CORRUPT, "it does not begin with 'drfs-seen-1'");
	struct seen_row *rows = calloc(room, sizeof(*rows));
	if (!rows)
		return error_no_memory(err, "what was seen of a repository");
	for (at += sizeof(head) - 1; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		if (!stop || count == room || !take_line(at, (size_t)(stop - at), &rows[count])) {
			free(rows);
			return error_set(err, ERR_CORRUPT, "line %zu is malformed", count + 2);
		}
		count++;
		at = stop + 1;
	}
	*ret_rows = rows;
	*ret_count = count;
	return 0;
}

void seen_encode(const struct seen_row *rows, size_t count, struct buf *b)
{
	buf_put(b, head, sizeof(head) - 1);
	for (size_t i = 0; i < count; i++) {
		char line[LINE_MAX_LEN + 1], slot[ID_HEX_MAX], snapshot[ID_HEX_MAX];
		id_hex(&rows[i].slot, slot);
		id_hex(&rows[i].snapshot, snapshot);
		int len = snprintf(line, sizeof(line), "%s %llu %s\n", slot, (unsigned long long)rows[i].seq, snapshot);
		buf_put(b, line, (size_t)len);
	}
}
