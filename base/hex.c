/* SPDX-License-Identifier: MIT */
#include "base/hex.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static const char digits[] = "0123456789abcdef";

void hex_encode(const uint8_t *src, size_t len, char *dst)
{
	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[src[i] >> 4];
		dst[2 * i + 1] = digits[src[i] & 15];
	}
	dst[2 * len] = 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(const char *src, size_t len, uint8_t *dst)
{
	for (size_t i = 0; i < len; i++) {
		int hi = hex_value(src[2 * i]);
		int lo = hi < 0 ? -1 : hex_value(src[2 * i + 1]);
		if (lo < 0)
			return false;
		dst[i] = (uint8_t)(hi << 4 | lo);
	}
	return src[2 * len] == 0;
}

static uint32_t utf8_join(const uint8_t *p, size_t n)
{
	uint32_t v = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		v = v << 6 | (p[i] & 0x3f);
	return v;
}

size_t hex_utf8_length(const void *src, size_t len)
{
	const uint8_t *p = src;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (len == 0)
		return 0;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	uint32_t v = utf8_join(p, n);
	bool surrogate = v >= 0xd800 && v <= 0xdfff;
	return v < least[n] || v > 0x10ffff || surrogate ? 0 : n;
}

/* Controls move the cursor; line separators and direction marks make a terminal show another text than is there. */
static bool utf8_is_printable(uint32_t v)
{
	if (v < 0x20 || (v >= 0x7f && v < 0xa0))
		return false;
	return !(v >= 0x2028 && v <= 0x202e) && !(v >= 0x2066 && v <= 0x2069) && v != 0xfeff;
}

/* The length of what stands at `p` and may be printed as it is, or 0. */
static size_t printable_length(const uint8_t *p, size_t left)
{
	size_t n = hex_utf8_length(p, left);
	return n > 0 && utf8_is_printable(utf8_join(p, n)) ? n : 0;
}

char *hex_printable_to(const void *src, size_t len, char *dst, size_t cap)
{
	const uint8_t *p = src;
	size_t used = 0;
	if (cap == 0)
		return dst;
	for (size_t i = 0; i < len;) {
		size_t n = printable_length(p + i, len - i);
		size_t width = n > 0 ? n : 4;
		if (width >= cap - used)
			break;
		if (n > 0) {
			memcpy(dst + used, p + i, n);
		} else {
			dst[used] = '\\';
			dst[used + 1] = 'x';
			dst[used + 2] = digits[p[i] >> 4];
			dst[used + 3] = digits[p[i] & 15];
		}
		used += width;
		i += n > 0 ? n : 1;
	}
	dst[used] = 0;
	return dst;
}

char *hex_printable(const void *src, size_t len)
{
	size_t cap;
	if (!checked_mul_size(len, 4, &cap) || !checked_add_size(cap, 1, &cap))
		return NULL;
	char *dst = malloc(cap);
	return dst ? hex_printable_to(src, len, dst, cap) : NULL;
}
