/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { BUF_FIRST = 64, VARINT_MAX = 10 };

bool buf_reserve(struct buf *b, size_t more)
{
	size_t need;
	if (b->failed)
		return false;
	if (!checked_add_size(b->len, more, &need) || need > PTRDIFF_MAX) {
		b->failed = true;
		return false;
	}
	if (need <= b->cap)
		return true;
	size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
	while (cap < need)
		cap = cap > PTRDIFF_MAX / 2 ? need : cap * 2;
	uint8_t *data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len) || len == 0)
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void buf_put_le(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t raw[8];
	for (size_t i = 0; i < bytes; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	buf_put(b, raw, bytes);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}
void buf_put_u16(struct buf *b, uint16_t v)
{
	buf_put_le(b, v, 2);
}
void buf_put_u32(struct buf *b, uint32_t v)
{
	buf_put_le(b, v, 4);
}
void buf_put_u64(struct buf *b, uint64_t v)
{
	buf_put_le(b, v, 8);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
	uint8_t raw[VARINT_MAX];
	size_t n = 0;
	while (v >= 0x80) {
		raw[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	raw[n++] = (uint8_t)v;
	buf_put(b, raw, n);
}

void buf_put_svarint(struct buf *b, int64_t v)
{
	uint64_t u = (uint64_t)v << 1;
	buf_put_varint(b, v < 0 ? ~u : u);
}

void buf_put_blob(struct buf *b, const void *data, size_t len)
{
	buf_put_varint(b, len);
	buf_put(b, data, len);
}

void buf_put_str(struct buf *b, const char *s)
{
	buf_put_blob(b, s, s ? strlen(s) : 0);
}

void buf_put_zeros(struct buf *b, size_t len)
{
	if (!buf_reserve(b, len) || len == 0)
		return;
	memset(b->data + b->len, 0, len);
	b->len += len;
}

bool buf_failed(const struct buf *b)
{
	return b->failed;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_release(b);
}

struct cursor cursor_of(const void *data, size_t len)
{
	static const uint8_t nothing[1];
	const uint8_t *p = data ? data : nothing;
	return (struct cursor){.p = p, .end = data ? p + len : p};
}

size_t cursor_left(const struct cursor *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->p);
}

const uint8_t *cursor_bytes(struct cursor *c, size_t len)
{
	if (c->failed || len > (size_t)(c->end - c->p)) {
		c->failed = true;
		return NULL;
	}
	const uint8_t *at = c->p;
	c->p += len;
	return at;
}

static uint64_t cursor_le(struct cursor *c, size_t bytes)
{
	const uint8_t *p = cursor_bytes(c, bytes);
	uint64_t v = 0;
	for (size_t i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t cursor_u8(struct cursor *c)
{
	return (uint8_t)cursor_le(c, 1);
}
uint16_t cursor_u16(struct cursor *c)
{
	return (uint16_t)cursor_le(c, 2);
}
uint32_t cursor_u32(struct cursor *c)
{
	return (uint32_t)cursor_le(c, 4);
}
uint64_t cursor_u64(struct cursor *c)
{
	return cursor_le(c, 8);
}

uint64_t cursor_varint(struct cursor *c)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < VARINT_MAX; i++) {
		uint8_t byte = cursor_u8(c);
		if (c->failed)
			return 0;
		/* The tenth byte holds bit 63 only; a last byte of zero would be a longer form of a shorter number. */
		if ((i == VARINT_MAX - 1 && byte > 1) || (i > 0 && byte == 0))
			break;
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80)
			return v;
	}
	c->failed = true;
	return 0;
}

int64_t cursor_svarint(struct cursor *c)
{
	uint64_t u = cursor_varint(c);
	return (int64_t)((u >> 1) ^ (0 - (u & 1)));
}

uint64_t cursor_varint_max(struct cursor *c, uint64_t max)
{
	uint64_t v = cursor_varint(c);
	if (v <= max)
		return v;
	c->failed = true;
	return 0;
}

void cursor_copy(struct cursor *c, void *dst, size_t len)
{
	const uint8_t *p = cursor_bytes(c, len);
	if (len == 0)
		return;
	if (p)
		memcpy(dst, p, len);
	else
		memset(dst, 0, len);
}

const uint8_t *cursor_blob(struct cursor *c, size_t max, size_t *ret_len)
{
	size_t len = (size_t)cursor_varint_max(c, max);
	const uint8_t *p = cursor_bytes(c, len);
	*ret_len = p ? len : 0;
	return p;
}

char *cursor_str(struct cursor *c, size_t max)
{
	size_t len;
	const uint8_t *p = cursor_blob(c, max, &len);
	if (!p)
		return NULL;
	char *s = memchr(p, 0, len) ? NULL : strndup((const char *)p, len);
	if (!s)
		c->failed = true;
	return s;
}

bool cursor_failed(const struct cursor *c)
{
	return c->failed;
}
bool cursor_done(const struct cursor *c)
{
	return !c->failed && c->p == c->end;
}
