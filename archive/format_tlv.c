/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "archive/format.h"

void tlv_put(struct buf *b, uint16_t tag, const void *data, size_t len)
{
	buf_put_u16(b, tag);
	buf_put_blob(b, data, len);
}

/* Bytes that v takes as a varint. */
static size_t varint_len(uint64_t v)
{
	size_t n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

void tlv_put_u64(struct buf *b, uint16_t tag, uint64_t v)
{
	buf_put_u16(b, tag);
	buf_put_varint(b, varint_len(v));
	buf_put_varint(b, v);
}

void tlv_put_s64(struct buf *b, uint16_t tag, int64_t v)
{
	uint64_t zigzag = ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
	tlv_put_u64(b, tag, zigzag);
}

void tlv_put_str(struct buf *b, uint16_t tag, const char *s)
{
	tlv_put(b, tag, s, s ? strlen(s) : 0);
}

bool tlv_next(struct cursor *c, uint16_t *ret_tag, struct cursor *ret_value)
{
	if (c->failed || c->p == c->end)
		return false;
	size_t len = 0;
	uint16_t tag = cursor_u16(c);
	const uint8_t *value = cursor_blob(c, (size_t)(c->end - c->p), &len);
	if (c->failed)
		return false;
	*ret_tag = tag;
	*ret_value = cursor_of(value, len);
	return true;
}

int tlv_unknown(uint16_t tag, const char *where, struct error *err)
{
	if (!(tag & TLV_CRITICAL))
		return 0;
	return error_set(err, ERR_UNSUPPORTED,
		"'%s' holds a field that this drfs must know and does not (tag %u): use a "
		"newer drfs",
		where, tag & ~(unsigned)TLV_CRITICAL);
}
